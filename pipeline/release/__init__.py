"""What a release is, and its history."""
