import sys
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from app import migrate, schema
from app.models import TITLE_LENGTH, Base, Task

ROOT = Path(migrate.__file__).resolve().parent.parent


def tables(engine):
    with engine.connect() as connection:
        return set(inspect(connection).get_table_names())


def test_revisions_count_upwards_and_the_cheap_head_is_alembics():
    scripts = ScriptDirectory(schema.MIGRATIONS)
    chain = list(reversed(list(scripts.walk_revisions())))
    numbers = [f"{n:04}" for n in range(1, len(chain) + 1)]
    assert [script.revision for script in chain] == numbers
    assert [script.down_revision for script in chain] == [None, *numbers[:-1]]
    assert all(Path(script.path).name.startswith(f"{script.revision}_") for script in chain)
    assert scripts.get_current_head() == schema.HEAD


def test_migrations_make_what_the_models_say(engine):
    assert migrate.upgrade(engine) == (None, schema.HEAD)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_title_is_as_long_in_the_table_as_in_the_model(engine):
    migrate.upgrade(engine)
    with engine.connect() as connection:
        columns = {column["name"]: column for column in inspect(connection).get_columns("tasks")}
    assert columns["title"]["type"].length == TITLE_LENGTH == Task.title.type.length


def test_migrations_go_down_and_up_again(engine):
    migrate.upgrade(engine)
    with engine.connect() as connection:
        command.downgrade(migrate._config(connection), "base")
    assert tables(engine) == {"alembic_version"}
    assert migrate.upgrade(engine) == (None, schema.HEAD)
    assert tables(engine) == {"alembic_version", "tasks"}


def test_a_second_migration_has_nothing_to_do(engine, monkeypatch):
    migrate.upgrade(engine)
    monkeypatch.setattr(migrate, "_run_alembic", None)
    assert migrate.upgrade(engine) == (schema.HEAD, schema.HEAD)


def test_a_database_past_our_head_is_left_alone(engine):
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    assert migrate.upgrade(engine) == ("0099", "0099")


class Recorder:
    """A PostgreSQL connection that is at head, and keeps what it is asked."""

    class dialect:  # noqa: N801 - stands for an attribute
        name = "postgresql"

    def __init__(self):
        self.asked = []

    def connect(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.asked.append("closed")

    def execute(self, statement, parameters=None):
        self.asked.append((str(statement), parameters))

    def scalar(self, statement):
        self.asked.append(str(statement))
        return schema.HEAD

    def commit(self):
        self.asked.append("committed")


def test_on_postgresql_the_lock_comes_before_the_look_and_is_the_sessions():
    database = Recorder()
    migrate.upgrade(database)
    assert database.asked == [
        ("SELECT pg_advisory_lock(:key)", {"key": migrate.LOCK_KEY}),
        ("SET lock_timeout = '10s'", None),
        "SELECT max(version_num) FROM alembic_version",
        "committed",
        "closed",
    ]
    assert 0 < migrate.LOCK_KEY < 2**63


def test_the_command_says_what_it_did(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/tasks.db")
    assert migrate.main() == 0
    said = f"the schema went from nothing to {schema.HEAD} (this code's head: {schema.HEAD})"
    assert capsys.readouterr().out == f"app.migrate: {said}\n"
    assert migrate.main() == 0
    assert f"the schema is at {schema.HEAD} " in capsys.readouterr().out


def one_line(capsys):
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"app.migrate: not migrated to {schema.HEAD}: ")
    assert said.err.count("\n") == 1
    assert "sentinel" not in said.err
    return said.err


def test_a_database_that_does_not_answer_is_one_line_and_exit_1(unreachable, monkeypatch, capsys):
    url = unreachable.database_url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    assert migrate.main() == 1
    assert "No such file or directory" in one_line(capsys)


def test_a_bad_environment_is_one_line_and_exit_1(monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URL", "sentinel")
    assert migrate.main() == 1
    assert "DATABASE_URL" in one_line(capsys)


def test_a_failing_migration_is_one_line_and_exit_1(engine, monkeypatch, capsys):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tasks (id INTEGER)"))
    monkeypatch.setenv("DATABASE_URL", str(engine.url))
    assert migrate.main() == 1
    assert "table tasks already exists" in one_line(capsys)


def test_what_alembic_refuses_is_one_line_and_exit_1(engine, monkeypatch, capsys):
    migrate.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    monkeypatch.setenv("DATABASE_URL", str(engine.url))
    assert migrate.main() == 1
    assert "0000" in one_line(capsys)


def test_alembic_by_hand_takes_the_same_database(engine, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", str(engine.url))
    monkeypatch.setattr(sys, "path", list(sys.path))  # alembic.ini adds to it
    command.upgrade(Config(ROOT / "alembic.ini"), "head")
    assert tables(engine) == {"alembic_version", "tasks"}
