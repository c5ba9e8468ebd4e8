"""Port, names, registry, certificates."""

import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import RegistryError
from pipeline.host.doctor import network
from pipeline.host.doctor.greeting import Greeting
from pipeline.host.doctor.listeners import Listener
from tests.unit.host.doctor.conftest import container

IN_USE = "Address already in use"
REGISTRY, PUBLIC = "https://ghcr.io/v2/", "https://panager.example/"


@pytest.fixture
def port(look, monkeypatch):
    """Look at a port that cannot be had: for what reason, and who listens there."""

    def looked(trouble=IN_USE, listens=None):
        monkeypatch.setattr(network, "port_trouble", lambda host, port: trouble)
        monkeypatch.setattr(network, "listener", lambda host, port: listens)
        return look("port")

    return looked


def test_a_port_that_is_ours(port, look):
    look.engine.published = [container("proxy")]
    assert port().message == "127.0.0.1:8000 is this service's"


def test_a_port_of_another_container(port, look):
    look.engine.published = [container("web", app="shop")]
    found = port()
    assert (found.status, found.message) == (
        "fail",
        "127.0.0.1:8000 is taken by container shop-web-1",
    )
    assert found.remedy == "docker stop shop-web-1"


@pytest.mark.parametrize(
    ("listens", "message", "remedy"),
    [
        (
            Listener(pid=7, program="python3"),
            "127.0.0.1:8000 is taken by python3 (process 7)",
            "sudo kill 7  # or set PIPELINE_PORT to another port",
        ),
        (
            Listener(pid=7, program="nginx", unit="nginx.service"),
            "127.0.0.1:8000 is taken by nginx (process 7)",
            "sudo systemctl stop nginx.service  # or set PIPELINE_PORT to another port",
        ),
        (
            Listener(),
            f"127.0.0.1:8000 cannot be had: {IN_USE}",
            "sudo ss -ltnp 'sport = :8000'  # names who has it; or set PIPELINE_PORT",
        ),
    ],
)
def test_a_port_of_another_process(port, listens, message, remedy):
    found = port(listens=listens)
    assert (found.status, found.message, found.remedy) == ("fail", message, remedy)


def test_a_port_that_only_root_gets_is_free_for_the_engine(port):
    assert port("Permission denied").status == "ok"
    assert port("Permission denied", Listener(pid=7, program="nginx")).status == "fail"


def test_a_port_is_looked_at_without_an_engine(port, no_engine):
    assert port(listens=Listener(pid=7, program="nginx")).remedy.startswith("sudo kill 7")


def test_an_address_of_another_machine(port):
    found = port("Cannot assign requested address")
    assert (found.status, found.message) == ("fail", "127.0.0.1 is no address of this machine")
    assert found.remedy.startswith("export PIPELINE_BIND_ADDRESS=127.0.0.1")


@pytest.fixture
def nameless(look, monkeypatch):
    def refuse(host, *_, **__):
        raise socket.gaierror(-2, f"{host}: Name or service not known")

    monkeypatch.setattr(network.socket, "getaddrinfo", refuse)
    return look


@pytest.mark.parametrize(("source", "status"), [("PIPELINE_REGISTRY", "fail"), ("x", "warn")])
def test_a_registry_that_no_name_server_knows(nameless, greetings, source, status):
    nameless.set(sources={"registry": source})
    greetings[REGISTRY] = Greeting(trouble="its name is not known: Name or service not known")
    found = nameless("DNS")
    assert found.status == status
    assert found.message.startswith("ghcr.io is not known: ghcr.io: Name or service not known")
    assert found.remedy.startswith("getent ahosts ghcr.io")
    assert nameless("registry").status == status


def test_name_servers_that_say_nothing(look, monkeypatch):
    monkeypatch.setattr(network, "within", lambda seconds, work, otherwise: otherwise)
    assert look("DNS").message == "ghcr.io is not known: no answer within 1 s"


def test_a_proxy_is_asked_for_instead(nameless, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    assert nameless("DNS").message.startswith("proxy.example is not known")


@pytest.mark.parametrize("name", ["127.0.0.1:5000", "10.0.0.7:5000", "localhost:5000"])
def test_an_address_needs_no_name_server(nameless, name):
    nameless.set(registry=name)
    assert nameless("DNS").status == "ok"


def unreachable(look, greetings, name, *, source="PIPELINE_REGISTRY"):
    look.set(registry=name, sources={"registry": source})
    url = f"{'http' if name[0] == '1' else 'https'}://{name}/v2/"
    greetings[url] = Greeting(trouble="connection refused")
    return look("registry", prove=threading.Event().wait)  # it would be waited for in vain


@pytest.mark.parametrize(("source", "status"), [("PIPELINE_REGISTRY", "fail"), ("x", "warn")])
def test_an_unreachable_registry(look, greetings, source, status):
    found = unreachable(look, greetings, "registry.example:5000", source=source)
    assert found.status == status
    assert found.message == "registry.example:5000 cannot be reached: connection refused"
    assert found.remedy.startswith("curl --head https://registry.example:5000/v2/  # from here")


def test_a_registry_of_this_machine_that_stopped(look, greetings):
    look.containers.append(container("registry", state="exited", app="other"))
    look.inspected = {"PortBindings": {"5000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "5001"}]}}
    found = unreachable(look, greetings, "127.0.0.1:5001")
    assert found.remedy == "docker start other-registry-1"


@pytest.mark.parametrize("bindings", [{}, {"5000/tcp": [{"HostPort": "5002"}]}])
def test_a_registry_of_this_machine_that_is_gone(look, greetings, bindings):
    look.containers.append(container("registry", state="exited"))
    look.inspected = {"PortBindings": bindings}
    found = unreachable(look, greetings, "127.0.0.1:5001")
    assert found.remedy.startswith("./bin/invoke up  #")


def test_a_registry_that_is_out_of_order(look, greetings):
    greetings[REGISTRY] = Greeting(status=503)
    found = look("registry")
    assert (found.status, found.message) == ("fail", "ghcr.io answers with HTTP status 503")


def test_docker_hub_is_asked_where_it_is(look, greetings):
    look.set(registry="docker.io")
    greetings["https://registry-1.docker.io/v2/"] = Greeting(status=502)
    assert look("registry").message == "docker.io answers with HTTP status 502"


def test_rights_are_proven(look):
    asked = []
    found = look("registry", prove=lambda: asked.append("rights"))
    assert (found.status, found.message) == ("ok", "ghcr.io: pull and push are allowed")
    assert asked == ["rights"]
    assert look("registry", prove=None).message == "ghcr.io can be reached"


@pytest.mark.parametrize(("source", "status"), [("PIPELINE_REGISTRY", "fail"), ("x", "warn")])
@pytest.mark.parametrize("hint", ["Set a user, then `invoke login`.", ""])
def test_rights_that_are_missing(look, source, status, hint):
    def prove():
        raise RegistryError("The registry ghcr.io refused the push.", hint=hint)

    look.set(sources={"registry": source})
    found = look("registry", prove=prove)
    assert (found.status, found.message) == (status, "The registry ghcr.io refused the push")
    assert found.remedy.startswith("./bin/invoke login")


def expires(**then):
    seen = {"status": 401, "expires": datetime.now(UTC) + timedelta(hours=1, **then)}
    return Greeting(**seen)


EXPIRED = Greeting(trouble="its certificate is refused: certificate has expired", distrusted=True)


@pytest.mark.parametrize(
    ("name", "url", "host"),
    [
        ("registry certificate", REGISTRY, "ghcr.io"),
        ("public URL", PUBLIC, "panager.example"),
    ],
)
def test_certificates(look, greetings, name, url, host):
    greetings[url] = expires(days=21)
    assert (look(name).status, look(name).remedy) == ("ok", "")
    assert look(name).message.startswith(f"{host}: good for 21 days, until 20")
    greetings[url] = expires(days=20)
    assert look(name).status == "warn"
    assert f"openssl s_client -connect {host}:443 -servername {host}" in look(name).remedy
    greetings[url] = EXPIRED
    found = look(name)
    assert found.message == f"{host}: its certificate is refused: certificate has expired"
    assert found.status == "fail"


def test_a_registry_that_nobody_named_only_warns(look, greetings):
    look.set(sources={"registry": "pyproject.toml"})
    greetings[REGISTRY] = EXPIRED
    assert look("registry certificate").status == "warn"
    greetings[REGISTRY] = Greeting(trouble="connection refused")
    assert look("registry certificate").message.endswith("not seen, as there was no answer")


@pytest.mark.parametrize(
    ("seen", "status", "message"),
    [
        (Greeting(trouble="connection refused"), "warn", "cannot be reached from here: connection"),
        (Greeting(status=502), "fail", "answers with HTTP status 502"),
        (Greeting(status=404), "ok", "answers; plain HTTP has no certificate"),
    ],
)
def test_what_users_see(look, greetings, seen, status, message):
    look.set(public_url="http://panager.example/")
    greetings["http://panager.example/"] = seen
    found = look("public URL")
    assert found.status == status
    assert message in found.message
