"""What can be done with tasks; the JSON API and the page both go through here."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints
from sqlalchemy import ColumnExpressionArgument, func, select, update
from sqlalchemy.orm import Session

from app.models import TITLE_LENGTH, Task

__all__ = ["MAX_ID", "NewTask", "TaskChange", "add", "change", "page"]

MAX_ID = 2**31 - 1  # PostgreSQL's integer
# One line of text: no control characters (PostgreSQL cannot store NUL at all).
Title = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        min_length=1,
        max_length=TITLE_LENGTH,
        pattern=r"^[^\x00-\x1f\x7f]*$",
    ),
]


class NewTask(BaseModel):
    """What a client may say of a new task."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Title
    done: bool = False


class TaskChange(BaseModel):
    """What a client may change; only what was given counts, so no default is ever used."""

    model_config = ConfigDict(extra="forbid", strict=True)

    title: Title = ""
    done: bool = False


def add(session: Session, new: NewTask) -> Task:
    """Store a task; it has its id when this returns."""
    task = Task(**new.model_dump())
    session.add(task)
    session.flush()
    return task


def page(
    session: Session, *order: ColumnExpressionArgument[Any], limit: int, offset: int
) -> tuple[Sequence[Task], int]:
    """Return `limit` tasks in `order`, after the first `offset`, and how many there are."""
    tasks = session.scalars(select(Task).order_by(*order).limit(limit).offset(offset)).all()
    total = session.scalar(select(func.count()).select_from(Task))
    return tasks, total or 0


def change(session: Session, task_id: int, wanted: TaskChange) -> Task | None:
    """Change a task and return it; None where there is none (any more: it is one statement)."""
    values = wanted.model_dump(exclude_unset=True)
    if not values:
        return session.get(Task, task_id)
    return session.scalar(update(Task).where(Task.id == task_id).values(values).returning(Task))
