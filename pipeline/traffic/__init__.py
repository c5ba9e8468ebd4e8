"""Who gets the requests."""
