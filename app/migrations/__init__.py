"""Alembic's folder: the schema's revisions."""
