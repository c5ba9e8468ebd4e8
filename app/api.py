"""The JSON API, /api/v1/tasks."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict
from sqlalchemy import delete

from app import tasks
from app.deps import Sessions, TaskId
from app.models import Task

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/tasks", tags=["tasks"])


def _utc(time: datetime) -> datetime:
    """SQLite forgets the zone; what is stored is always UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


class TaskOut(BaseModel):
    """A task as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str
    done: bool
    created_at: Annotated[datetime, AfterValidator(_utc)]


class TaskPage(BaseModel):
    """A part of the list, and how long all of it is."""

    model_config = ConfigDict(from_attributes=True)

    items: list[TaskOut]
    total: int
    limit: int
    offset: int


def _found(task: Task | None, task_id: int) -> Task:
    if task is None:
        raise HTTPException(404, f"There is no task {task_id}.")
    return task


@router.post("", status_code=201)
def create_task(
    new: tasks.NewTask, sessions: Sessions, request: Request, response: Response
) -> TaskOut:
    """Store a task; when this has answered, it is on disk."""
    with sessions.begin() as session:
        task = TaskOut.model_validate(tasks.add(session, new))
    response.headers["Location"] = request.app.url_path_for("read_task", task_id=task.id)
    return task


@router.get("")
def list_tasks(
    sessions: Sessions,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    offset: Annotated[int, Query(ge=0, le=tasks.MAX_ID)] = 0,
) -> TaskPage:
    """List tasks, oldest first."""
    with sessions() as session:
        found, total = tasks.page(session, Task.id, limit=limit, offset=offset)
    items = [TaskOut.model_validate(task) for task in found]
    return TaskPage(items=items, total=total, limit=limit, offset=offset)


@router.get("/{task_id}")
def read_task(task_id: TaskId, sessions: Sessions) -> TaskOut:
    """Return one task."""
    with sessions() as session:
        return TaskOut.model_validate(_found(session.get(Task, task_id), task_id))


@router.patch("/{task_id}")
def update_task(task_id: TaskId, wanted: tasks.TaskChange, sessions: Sessions) -> TaskOut:
    """Change what is given, leave the rest."""
    with sessions.begin() as session:
        return TaskOut.model_validate(_found(tasks.change(session, task_id, wanted), task_id))


@router.delete("/{task_id}", status_code=204)
def delete_task(task_id: TaskId, sessions: Sessions) -> None:
    """Remove one task."""
    with sessions.begin() as session:
        removed = session.scalar(delete(Task).where(Task.id == task_id).returning(Task))
        _found(removed, task_id)
