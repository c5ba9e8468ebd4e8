"""Which steps make a release live; knows only ports."""
