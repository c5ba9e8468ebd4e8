"""The main job on this machine: one command up, a second one for nothing, one down."""

import http.client
import json

from tests.e2e.support import load, machine
from tests.e2e.support.command import CommandLine
from tests.e2e.support.site import Site

PHASES = ["engine", "bases", "registry", "build", "push", "deploy", "verify"]


def test_up_and_down(spare_site: Site):
    site = spare_site
    port = machine.free_port()
    invoke = as_on_a_fresh_clone(site, registry_port=port)
    image = f"127.0.0.1:{port}/{site.app}/panager:{site.commits['a']}"
    try:
        first = invoke("up", "--yes", "--json", timeout=300).ok()
        assert site.served() == "a"
        assert f"http://{site.address}" in first.stdout
        assert site.commits["a"] in first.stdout
        assert list(first.json["up"]) == PHASES
        env = invoke.root / ".env"
        assert env.stat().st_mode & 0o777 == 0o600
        assert "change-me" not in env.read_text()

        built, there = machine.inspect(image)["Id"], machine.containers(site.app)
        second = invoke("up", "--yes", "--json").ok()
        assert machine.inspect(image)["Id"] == built
        assert machine.containers(site.app) == there
        assert "already" in second.stderr
        assert second.json["outcome"] == "live"
        assert second.seconds < first.seconds

        task = create_task(site.address, "still there after down and up")
        invoke("down", "--json").ok()
        assert machine.containers(site.app) == []
        assert registry(site) == []
        assert invoke("status", "--json").ok().json["live"] is None

        invoke("up", "--yes").ok()
        assert load.tasks(site.address)[task] == "still there after down and up"

        invoke("down", "--volumes").ok()
        assert machine.containers(site.app) == []
        assert volumes(site) == []
        invoke("down").ok()
    finally:
        machine.docker("rm", "--force", "--volumes", f"{site.app}-registry", check=False)
        machine.docker("volume", "rm", "--force", f"{site.app}-registry", check=False)
        machine.remove_images(image.rpartition(":")[0])


def as_on_a_fresh_clone(site: Site, *, registry_port: int) -> CommandLine:
    """Return the command line with nothing set but what keeps us out of others' way."""
    ours = ("PIPELINE_REGISTRY", "PIPELINE_REGISTRY_USER", "PIPELINE_REGISTRY_PASSWORD")
    ours += ("PIPELINE_ENV_FILE",)
    environ = {key: value for key, value in site.invoke.environ.items() if key not in ours}
    environ["PIPELINE_LOCAL_REGISTRY_PORT"] = str(registry_port)
    (site.invoke.root / ".env").unlink(missing_ok=True)
    return CommandLine(root=site.invoke.root, environ=environ)


def create_task(address: str, title: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    body, kind = json.dumps({"title": title}), {"Content-Type": "application/json"}
    connection.request("POST", "/api/v1/tasks", body=body, headers=kind)
    answer = connection.getresponse()
    assert answer.status == 201
    task = json.loads(answer.read())["id"]
    connection.close()
    return int(task)


def registry(site: Site) -> list[str]:
    return machine.docker("ps", "--all", "--quiet", "--filter", f"name={site.app}-registry").split()


def volumes(site: Site) -> list[str]:
    return machine.docker("volume", "ls", "--quiet", "--filter", f"name={site.app}").split()
