import pytest
from fastapi.testclient import TestClient

from app.application import create_app
from app.pages import PAGE_SIZE
from tests.unit.app.conftest import SHA

pytestmark = pytest.mark.usefixtures("cold")


def add(client, title):
    answer = client.post("/tasks", data={"title": title}, follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_the_page_names_the_running_commit(client):
    page = client.get("/")
    assert page.status_code == 200
    assert f"<code>{SHA[:7]}</code>" in page.text
    assert "Nothing to do." in page.text


def test_a_task_is_added_and_ticked_off_by_plain_forms(client):
    add(client, "Buy milk")
    assert "Tick off: Buy milk" in client.get("/").text
    ticked = client.post("/tasks/1", data={"done": "true"}, follow_redirects=False)
    assert (ticked.status_code, ticked.headers["Location"]) == (303, "/")
    assert client.get("/api/v1/tasks/1").json()["done"] is True
    assert "Reopen: Buy milk" in client.get("/").text
    client.post("/tasks/1", data={"done": "true"})  # sent twice, it means the same
    assert client.get("/api/v1/tasks/1").json()["done"] is True
    client.post("/tasks/1", data={"done": "false"})
    assert client.get("/api/v1/tasks/1").json()["done"] is False


def test_open_tasks_come_first_then_the_newest(client):
    for title in ("first", "second", "third"):
        add(client, title)
    client.post("/tasks/3", data={"done": "true"})
    page = client.get("/").text
    assert page.index(": second") < page.index(": first") < page.index(": third")


def test_what_people_type_is_text_and_never_markup(client):
    add(client, '"><script>alert(1)</script>')
    page = client.get("/").text
    assert "<script" not in page
    assert "&#34;&gt;&lt;script&gt;" in page
    refused = client.post("/tasks", data={"title": '"><script>' + "x" * 200})
    assert "<script" not in refused.text


def test_the_page_runs_no_script_and_is_not_framed(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("title", ["", "   ", "x" * 201, "two\nlines"])
def test_a_bad_title_is_explained_on_the_page_and_not_stored(client, title):
    answer = client.post("/tasks", data={"title": title})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert client.get("/api/v1/tasks").json()["total"] == 0


def test_a_form_without_its_field_is_refused(client):
    assert client.post("/tasks").status_code == 422
    assert client.post("/tasks/1").status_code == 422


def test_ticking_off_what_is_gone_is_said(client):
    answer = client.post("/tasks/9", data={"done": "true"})
    assert answer.status_code == 404
    assert "This task is gone" in answer.text


def test_long_lists_have_pages_and_a_tick_stays_on_its_page(client):
    for number in range(PAGE_SIZE + 1):
        client.post("/api/v1/tasks", json={"title": f"Task {number}"})
    first, second = client.get("/").text, client.get("/", params={"offset": PAGE_SIZE}).text
    assert f'href="/?offset={PAGE_SIZE}"' in first
    assert "Newer" not in first
    assert 'href="/?offset=0"' in second
    assert "Older" not in second
    assert second.count("Tick off:") == 1
    assert f'action="/tasks/1?offset={PAGE_SIZE}"' in second
    answer = client.post(
        f"/tasks/1?offset={PAGE_SIZE}", data={"done": "true"}, follow_redirects=False
    )
    assert answer.headers["Location"] == f"/?offset={PAGE_SIZE}"


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 303), ("none", 303), ("same-site", 403), ("cross-site", 403)],
)
def test_forms_of_other_sites_are_refused(client, site, status):
    answer = client.post(
        "/tasks",
        data={"title": "x"},
        headers={"Sec-Fetch-Site": site},
        follow_redirects=False,
    )
    assert answer.status_code == status
    assert client.get("/api/v1/tasks").json()["total"] == (status == 303)


def test_a_link_from_another_site_still_opens_the_page(client):
    assert client.get("/", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_without_a_database_the_page_says_so(unreachable):
    with TestClient(create_app(unreachable)) as client:
        answer = client.get("/")
    assert answer.status_code == 503
    assert "The database does not answer." in answer.text
    assert "Nothing to do" not in answer.text
    assert "<nav" not in answer.text
    assert SHA[:7] in answer.text
