"""The containers of a colour."""
