"""From a commit to an image: build it, push it, have it on this host by digest."""
