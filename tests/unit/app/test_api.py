from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from app.application import create_app

pytestmark = pytest.mark.usefixtures("cold")

TASKS = "/api/v1/tasks"


def add(client, title="Buy milk", **more):
    answer = client.post(TASKS, json={"title": title, **more})
    assert answer.status_code == 201
    return answer.json()


def test_a_created_task_can_be_read_where_the_answer_says(client):
    answer = client.post(TASKS, json={"title": "  Buy milk "})
    assert answer.status_code == 201
    task = answer.json()
    assert answer.headers["Location"] == f"{TASKS}/{task['id']}"
    assert client.get(answer.headers["Location"]).json() == task
    assert (task["title"], task["done"]) == ("Buy milk", False)
    age = datetime.now(UTC) - datetime.fromisoformat(task["created_at"])
    assert timedelta(0) <= age < timedelta(minutes=1)


def test_tasks_outlive_the_process(settings):
    with TestClient(create_app(settings)) as first:
        task = add(first)
    with TestClient(create_app(settings)) as second:
        assert second.get(f"{TASKS}/{task['id']}").json() == task


def test_the_list_comes_in_pages(client):
    ids = [add(client, f"Task {n}")["id"] for n in range(5)]
    answer = client.get(TASKS, params={"limit": 2, "offset": 1}).json()
    assert [task["id"] for task in answer["items"]] == ids[1:3]
    assert (answer["total"], answer["limit"], answer["offset"]) == (5, 2, 1)
    assert client.get(TASKS, params={"offset": 5}).json()["items"] == []
    assert len(client.get(TASKS).json()["items"]) == 5


@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"offset": -1}, {"offset": 10**30}],
)
def test_a_page_outside_its_limits_is_refused(client, params):
    answer = client.get(TASKS, params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(params))]


def test_a_change_leaves_what_it_does_not_name(client):
    task = add(client)
    changed = client.patch(f"{TASKS}/{task['id']}", json={"done": True})
    assert changed.status_code == 200
    assert changed.json() == task | {"done": True}
    changed = client.patch(f"{TASKS}/{task['id']}", json={"title": "Buy oats"})
    assert changed.json() == task | {"done": True, "title": "Buy oats"}
    assert client.get(f"{TASKS}/{task['id']}").json() == changed.json()


def test_a_change_of_nothing_changes_nothing(client):
    task = add(client, done=True)
    answer = client.patch(f"{TASKS}/{task['id']}", json={})
    assert (answer.status_code, answer.json()) == (200, task)


def test_a_deleted_task_is_gone(client):
    task, other = add(client), add(client)
    answer = client.delete(f"{TASKS}/{task['id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get(f"{TASKS}/{task['id']}").status_code == 404
    assert client.get(TASKS).json()["items"] == [other]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_no_such_task(client, method):
    body = {"done": True} if method == "PATCH" else None
    answer = client.request(method, f"{TASKS}/7", json=body)
    assert (answer.status_code, answer.json()) == (404, {"detail": "There is no task 7."})


def test_no_such_path(client):
    answer = client.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


@pytest.mark.parametrize("task_id", ["0", "-1", "x", str(2**31), "9" * 40])
def test_an_id_that_no_database_holds_is_refused(client, task_id):
    assert client.get(f"{TASKS}/{task_id}").status_code == 422


BAD_BODIES = [
    "",
    "{",
    "[]",
    "null",
    "{}",
    '{"title": null}',
    '{"title": 1}',
    '{"title": NaN}',
    '{"title": ""}',
    '{"title": "   "}',
    '{"title": "two\\nlines"}',
    '{"title": "nul \\u0000"}',
    '{"title": "half a pair \\ud800"}',
    '{"title": "%s"}' % ("x" * 201),
    '{"title": "x", "done": "yes"}',
    '{"title": "x", "done": null}',
    '{"title": "x", "colour": "red"}',
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_bad_task_is_refused_in_clean_json_and_not_stored(client, body):
    answer = client.post(TASKS, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    for problem in answer.json()["detail"]:
        assert set(problem) == {"loc", "msg", "type"}  # no echo of what was sent
    assert client.get(TASKS).json()["total"] == 0


@pytest.mark.parametrize(
    "body", ['{"title": null}', '{"done": null}', '{"id": 5}', '{"title": ""}']
)
def test_a_bad_change_is_refused_and_changes_nothing(client, body):
    task = add(client)
    headers = {"Content-Type": "application/json"}
    answer = client.patch(f"{TASKS}/{task['id']}", content=body, headers=headers)
    assert answer.status_code == 422
    assert client.get(f"{TASKS}/{task['id']}").json() == task


def test_the_longest_title_fits(client):
    assert add(client, "ü" * 200)["title"] == "ü" * 200


def test_without_a_database_the_answer_is_503(unreachable, caplog):
    with TestClient(create_app(unreachable)) as client:
        answer = client.get(TASKS)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "The database does not answer. Try again in a moment."}
    assert answer.headers["Retry-After"] == "1"
    (said,) = [record for record in caplog.records if "does not answer" in record.message]
    assert "\n" not in said.message
    assert "sentinel" not in said.message


def test_the_api_describes_itself(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {TASKS, f"{TASKS}/{{task_id}}", "/health", "/ready"}
