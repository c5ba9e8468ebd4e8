"""`nox -s bench`: this pipeline beside plain Compose, beside the floor, and beside any peer."""
