"""The page for people: plain HTML forms, answered by a redirect, no script."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Form, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.templating import Jinja2Templates
from pydantic import ValidationError

from app import tasks
from app.deps import Sessions, TaskId
from app.models import TITLE_LENGTH, Task

__all__ = ["render", "router"]

PAGE_SIZE = 50
HEADERS = {
    # Styles are inline, so that a page never mixes two releases during a cutover.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}

templates = Jinja2Templates(Path(__file__).parent / "templates")


async def _same_origin(request: Request) -> None:
    """Refuse forms that another site's page sends; browsers say where a form came from."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    if request.method == "POST" and site not in {"none", "same-origin"}:
        raise HTTPException(403, "Forms of other sites are refused.")


router = APIRouter(include_in_schema=False, dependencies=[Depends(_same_origin)])
Offset = Annotated[int, Query(ge=0, le=tasks.MAX_ID)]


def render(request: Request, *, status: int = 200, **context: object) -> Response:
    """Return the page; without `tasks` it has only its frame and the `problem`."""
    context |= {"sha": request.app.state.settings.app_sha, "title_length": TITLE_LENGTH}
    return templates.TemplateResponse(
        request, "index.html", context, status_code=status, headers=HEADERS
    )


def _show(
    request: Request, sessions: Sessions, offset: int = 0, *, status: int = 200, **context: object
) -> Response:
    with sessions() as session:
        found, total = tasks.page(
            session, Task.done, Task.id.desc(), limit=PAGE_SIZE, offset=offset
        )
    newer = max(offset - PAGE_SIZE, 0) if offset else None
    older = offset + PAGE_SIZE if offset + PAGE_SIZE < total else None
    listing = {"tasks": found, "total": total, "offset": offset, "newer": newer, "older": older}
    return render(request, status=status, **listing, **context)


def _back(offset: int) -> Response:
    return RedirectResponse(f"/?offset={offset}" if offset else "/", status_code=303)


@router.get("/")
def index(request: Request, sessions: Sessions, offset: Offset = 0) -> Response:
    """Show the tasks: open ones first, newest first."""
    return _show(request, sessions, offset)


@router.post("/tasks")
def add_task(request: Request, sessions: Sessions, title: Annotated[str, Form()] = "") -> Response:
    """Add a task; what is wrong with it is said on the page."""
    try:
        new = tasks.NewTask(title=title)
    except ValidationError:
        problem = f"A task needs one line of text, at most {TITLE_LENGTH} characters."
        return _show(request, sessions, status=422, problem=problem, title=title)
    with sessions.begin() as session:
        tasks.add(session, new)
    return _back(0)


@router.post("/tasks/{task_id}")
def tick_task(
    *,
    task_id: TaskId,
    request: Request,
    sessions: Sessions,
    done: Annotated[bool, Form()],
    offset: Offset = 0,
) -> Response:
    """Set a task done or open (never a toggle: sent twice, it means the same)."""
    with sessions.begin() as session:
        found = tasks.change(session, task_id, tasks.TaskChange(done=done))
    if found is None:
        problem = "This task is gone; somebody removed it."
        return _show(request, sessions, offset, status=404, problem=problem)
    return _back(offset)
