"""What Alembic runs: on the connection that `app.migrate` holds its lock on, or by hand.

By hand, to write the next revision (then give it the next number, in name and file):
`alembic revision --autogenerate --rev-id 0002 -m "what it does"`.
"""

from alembic import context
from sqlalchemy import Connection

from app import settings
from app.database import open_engine
from app.models import Base


def run(connection: Connection) -> None:
    """Run the revisions that Alembic chose, all in one transaction where the database can."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # it cannot alter most things
    )
    with context.begin_transaction():
        context.run_migrations()


held = context.config.attributes.get("connection")
if held is not None:
    run(held)
else:
    with open_engine(settings.load().database_url).connect() as opened:
        run(opened)
