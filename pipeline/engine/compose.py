"""The engine: one Docker Engine, driven by Compose; the SDK looks, Compose acts.

Everything of an app is one Compose project. A colour is a Compose service; which release
it runs is decided by the files and variables of the bundle it is started with.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.ports import Bundle, Colour, Replica

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["ComposeEngine"]

SHARED = ("db", "proxy")  # services that every release uses; a deploy never restarts them
SDK_TIMEOUT = 30  # seconds for one API call
# Compose has one exit code for everything: its words choose a better message, nothing else.
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use")
T = TypeVar("T")
# How to reach the engine. Anything else of the shell's would override the release's own env
# file (POSTGRES_PASSWORD) or steer Compose (COMPOSE_FILE).
_INHERITED = re.compile(r"PATH|HOME|USER|TMPDIR|XDG_\w+|DOCKER_\w+|SSH_\w+|(?i:\w+_proxy)")
REVISION_LABEL = "org.opencontainers.image.revision"


class ComposeEngine:
    """The containers of one app.

    Args:
        project: Compose project name.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._connected: DockerClient | None = None

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> None:
        """Start database and proxy where they do not run; never touch running ones.

        Raises:
            EngineError: They do not get healthy within `timeout` seconds.
        """
        with _docker_errors():
            healthy = {
                container["Labels"]["com.docker.compose.service"]
                for container in self._list(*SHARED)
                if "(healthy)" in container["Status"]
            }
        if healthy.issuperset(SHARED):
            return
        try:
            self._compose(
                bundle,
                ["up", "--detach", "--no-recreate", "--no-build", "--wait", *SHARED],
                timeout=timeout,
            )
        except EngineError as exc:
            self._remove_never_started(*SHARED)
            if _PORT_TAKEN.search(exc.details):
                port = bundle.variables.get("PIPELINE_PORT", "")
                raise EngineError(
                    f"Port {port} of this machine is in use by something else.",
                    hint="`ss -ltnp` shows by what. End that, or set another PIPELINE_PORT.",
                    details=exc.details,
                ) from exc
            raise

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        """Run the release's pending migrations in a container of its own.

        Raises:
            EngineError: The migration failed or ran past its deadline.
        """
        self._compose(bundle, ["run", "--rm", "--no-deps", "--no-TTY", "migrate"], timeout=timeout)

    def start(self, colour: Colour, bundle: Bundle, *, replicas: int, timeout: float) -> None:
        """Start fresh containers of the release as `colour`; do not wait for their health.

        Raises:
            EngineError: Compose could not start them.
        """
        self._compose(
            bundle,
            [
                "up",
                "--detach",
                "--no-deps",
                "--no-build",
                "--pull",
                "never",
                "--force-recreate",
                "--scale",
                f"{colour}={replicas}",
                colour,
            ],
            timeout=timeout,
        )

    def stop(self, colour: Colour, *, timeout: float) -> None:
        """Stop and remove the colour's containers.

        Raises:
            EngineError: The engine refused.
        """

        def end(container: str) -> None:
            self._client.api.stop(container, timeout=round(timeout))
            self._client.api.remove_container(container, force=True)

        self._each(colour, end)

    def replicas(self, colour: Colour) -> tuple[Replica, ...]:
        """Return the colour's containers, running or not.

        Raises:
            EngineError: The engine does not answer.
        """
        return tuple(
            self._each(colour, lambda each: _replica(self._client.api.inspect_container(each)))
        )

    def logs(self, colour: Colour, *, lines: int) -> str:
        """Return the last lines of each of the colour's containers.

        Raises:
            EngineError: The engine does not answer.
        """
        said = self._each(colour, lambda each: self._client.api.logs(each, tail=lines))
        return "\n".join(each.decode(errors="replace").rstrip() for each in said)

    def remove(self, bundle: Bundle, *, volumes: bool, timeout: float) -> None:
        """Remove the whole project; the data stays unless `volumes`.

        Raises:
            EngineError: Compose refused.
        """
        argv = ["--profile", "*", "down", "--remove-orphans", *(["--volumes"] if volumes else [])]
        self._compose(bundle, argv, timeout=timeout)

    @property
    def _client(self) -> "DockerClient":
        if self._connected is None:
            import docker

            self._connected = docker.from_env(timeout=SDK_TIMEOUT)
        return self._connected

    def _remove_never_started(self, *services: str) -> None:
        # They would be started later as they are, with settings that may have changed since.
        with _docker_errors():
            for each in self._list(*services):
                if each["State"] == "created":
                    self._client.api.remove_container(each["Id"], force=True)

    def _each(self, colour: Colour, ask: Callable[[str], T]) -> list[T]:
        """Ask about each of the colour's containers; one that is gone meanwhile is none."""
        from docker.errors import NotFound

        answers = []
        with _docker_errors():
            for container in self._list(colour):
                with suppress(NotFound):
                    answers.append(ask(container["Id"]))
        return answers

    def _list(self, *services: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.api.containers(
            all=True, filters={"label": [f"com.docker.compose.project={self._project}"]}
        )
        return [
            each
            for each in found
            if each["Labels"].get("com.docker.compose.service") in services
            and each["Labels"].get("com.docker.compose.oneoff") != "True"
        ]

    def _compose(self, bundle: Bundle, arguments: Sequence[str], *, timeout: float) -> None:
        try:
            shell.run(
                compose_argv(self._project, bundle, arguments),
                timeout=timeout,
                env=bundle.variables,
                inherit=_INHERITED,
            )
        except CommandError as exc:
            last = (exc.details.splitlines() or [""])[-1].strip()
            cause = last if exc.code and last else exc.message
            raise EngineError(
                f"Docker Compose failed: {cause}",
                hint="`invoke doctor` looks at the engine; `invoke logs` shows the containers.",
                details=exc.details,
            ) from exc


def compose_argv(project: str, bundle: Bundle, arguments: Sequence[str]) -> list[str]:
    """Return the argv of a Compose command for one release."""
    return [
        *("docker", "compose", "--progress", "plain", "--project-name", project),
        *("--project-directory", str(bundle.compose_file.parent)),
        *("--file", str(bundle.compose_file)),
        # What the file itself interpolates for the database; the path is no secret.
        *("--env-file", bundle.variables["PIPELINE_ENV_FILE"]),
        *arguments,
    ]


def _replica(inspected: dict[str, Any]) -> Replica:
    networks = inspected["NetworkSettings"]["Networks"].values()
    return Replica(
        id=inspected["Id"],
        name=inspected["Name"].removeprefix("/"),
        state=inspected["State"]["Status"],
        exit_code=inspected["State"]["ExitCode"],
        restarts=inspected["RestartCount"],
        address=next((each["IPAddress"] for each in networks if each["IPAddress"]), ""),
        digest=inspected["Config"]["Image"],
        revision=(inspected["Config"]["Labels"] or {}).get(REVISION_LABEL, ""),
    )


@contextmanager
def _docker_errors() -> Iterator[None]:
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, json.JSONDecodeError) as exc:
        raise EngineError(
            f"The Docker Engine does not answer as it should: {exc}",
            hint="`./bin/invoke host --yes` installs and starts it; `docker info` shows its state.",
        ) from exc
