"""The engine: one Docker Engine, driven by Compose; the SDK looks, Compose acts.

Everything of an app is one Compose project. A colour is a Compose service; which release
it runs is decided by the files and variables of the bundle it is started with.
"""

import json
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.ports import Bundle, Colour, Replica

if TYPE_CHECKING:
    from docker import DockerClient

__all__ = ["INHERITED", "ComposeEngine", "compose_argv", "docker_errors"]

SHARED = ("db", "proxy")  # services that every release uses; a deploy never restarts them
SDK_TIMEOUT = 30  # seconds for one API call
PATIENCE = 30.0  # seconds that an engine may be away while it restarts
POLL = 0.1  # seconds
CONFLICT = 409  # HTTP
# Compose has one exit code for everything: its words choose a better message, nothing else.
_PORT_TAKEN = re.compile(r"port is already allocated|address already in use")
_NETWORK_GONE = re.compile(r"network \S+ not found")
_ENGINE_GONE = re.compile(r"Cannot connect to the Docker daemon|EOF|connection re(fused|set)")
T = TypeVar("T")
# How to reach the engine. Anything else of the shell's would override the release's own env
# file (POSTGRES_PASSWORD) or steer Compose (COMPOSE_FILE).
INHERITED = re.compile(r"PATH|HOME|USER|TMPDIR|XDG_\w+|DOCKER_\w+|SSH_\w+|(?i:\w+_proxy)")
RELEASE_LABEL = "pipeline.release"
REVISION_LABEL = "org.opencontainers.image.revision"


class ComposeEngine:
    """The containers of one app.

    Args:
        project: Compose project name.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._ours = {"label": [f"com.docker.compose.project={project}"]}
        self._connected: DockerClient | None = None
        self._answered = False

    def ensure_services(self, bundle: Bundle, *, timeout: float) -> tuple[str, ...]:
        """Start database and proxy where they do not run; never touch running ones.

        Returns:
            What `missing()` had said before.

        Raises:
            EngineError: They do not get healthy within `timeout` seconds.
        """
        healthy = {
            container["Labels"]["com.docker.compose.service"]
            for container in self._ask(lambda: self._list(*SHARED))
            if "(healthy)" in container["Status"]
        }
        if healthy.issuperset(SHARED):
            return ()
        missing = self.missing()
        up = ["up", "--detach", "--no-recreate", "--no-build", "--wait", *SHARED]
        try:
            try:
                self._compose(bundle, up, timeout=timeout)
            except EngineError as exc:
                if not _NETWORK_GONE.search(exc.details):
                    raise
                # Somebody removed it: who was in it can never be started again, only replaced.
                self._remove_those(*SHARED, state={"created", "exited"})
                self._compose(bundle, up, timeout=timeout)
        except EngineError as exc:
            # They would be started later as they are, with settings that may have changed since.
            self._remove_those(*SHARED, state={"created"})
            if _PORT_TAKEN.search(exc.details):
                port = bundle.variables.get("PIPELINE_PORT", "")
                raise EngineError(
                    f"Port {port} of this machine is in use by something else.",
                    hint="`ss -ltnp` shows by what. End that, or set another PIPELINE_PORT.",
                    details=exc.details,
                ) from exc
            raise
        return missing

    def missing(self) -> tuple[str, ...]:
        """Say what is not there of the services that every release uses, and of their data.

        Raises:
            EngineError: The engine does not answer.
        """
        states = {
            each["Labels"]["com.docker.compose.service"]: each["State"]
            for each in self._ask(lambda: self._list(*SHARED))
        }
        found = [
            f"{name} is {states[name]}." if name in states else f"There is no container of {name}."
            for name in SHARED
            if states.get(name) != "running"
        ]
        # A volume that a container uses cannot be removed.
        if "db" not in states and not self._volumes():
            found.append(
                "There is no volume either: the data is gone, and a database would be empty."
            )
        return tuple(found)

    def migrate(self, bundle: Bundle, *, timeout: float) -> None:
        """Run the release's pending migrations in a container of its own.

        Raises:
            EngineError: The migration failed or ran past its deadline.
        """
        self._compose(bundle, ["run", "--rm", "--no-deps", "--no-TTY", "migrate"], timeout=timeout)

    def start(
        self,
        colour: Colour,
        bundle: Bundle,
        *,
        replicas: int,
        timeout: float,
        keep: bool = False,
    ) -> None:
        """Start containers of the release as `colour`; do not wait for their health.

        With `keep`, those that are there stay, and only missing ones are made.

        Raises:
            EngineError: Compose could not start them.
        """
        self._compose(
            bundle,
            [
                *("up", "--detach", "--no-deps", "--no-build", "--pull", "never"),
                "--no-recreate" if keep else "--force-recreate",
                *("--scale", f"{colour}={replicas}", colour),
            ],
            timeout=timeout,
        )

    def stop(self, colour: Colour, *, timeout: float, only: Collection[str] | None = None) -> None:
        """Stop and remove the colour's containers, all at once, or `only` those of these ids.

        Raises:
            EngineError: The engine refused.
        """
        from docker.errors import APIError, NotFound

        def end(container: str) -> None:
            if only is not None and container not in only:
                return
            with suppress(NotFound):
                if timeout:
                    self._client.api.stop(container, timeout=round(timeout))
                try:
                    self._client.api.remove_container(container, force=True)
                except APIError as exc:
                    if exc.status_code != CONFLICT:  # somebody is removing it already
                        raise

        with ThreadPoolExecutor(max_workers=8) as together:
            self._ask(lambda: list(together.map(end, self._ids(colour))))

    def replicas(self, colour: Colour) -> tuple[Replica, ...]:
        """Return the colour's containers, running or not.

        Raises:
            EngineError: The engine does not answer.
        """
        return tuple(self._each(colour, self._replica))

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

    def _ask(self, ask: Callable[[], T]) -> T:
        """Ask the engine; one that answered before and is away is waited for: it restarts."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                with docker_errors():
                    answer = ask()
            except EngineError as exc:
                if not (self._answered and _away(exc)) or time.monotonic() > deadline:
                    raise
                time.sleep(POLL)
            else:
                self._answered = True
                return answer

    def _replica(self, container: str) -> Replica:
        found = self._client.api.inspect_container(container)
        state, labels = found["State"], found["Config"]["Labels"] or {}
        networks = found["NetworkSettings"]["Networks"].values()
        return Replica(
            id=found["Id"],
            name=found["Name"].removeprefix("/"),
            state=state["Status"],
            exit_code=state["ExitCode"] or (self._last_exit(found) if found["RestartCount"] else 0),
            restarts=found["RestartCount"],
            address=next((each["IPAddress"] for each in networks if each["IPAddress"]), ""),
            digest=found["Config"]["Image"],
            revision=labels.get(REVISION_LABEL, ""),
            number=int(labels.get("com.docker.compose.container-number", 0)),
            release=labels.get(RELEASE_LABEL, ""),
            env=dict(each.partition("=")[::2] for each in found["Config"]["Env"] or ()),
        )

    def _last_exit(self, found: dict[str, Any]) -> int:
        # One that was started again shows 0: its end is known to the events alone.
        window: Any = {"since": 0, "until": time.time()}  # Unix times only; finer than in its stubs
        ends = self._client.api.events(
            **window, filters={"container": found["Id"], "event": "die"}, decode=True
        )
        codes = [int(each["Actor"]["Attributes"].get("exitCode", 0)) for each in ends]
        return codes[-1] if codes else 0

    def _remove_those(self, *services: str, state: Collection[str]) -> None:
        with docker_errors():
            for each in self._list(*services):
                if each["State"] in state:
                    self._client.api.remove_container(each["Id"], force=True)

    def _volumes(self) -> list[dict[str, Any]]:
        asked = self._ask(lambda: self._client.api.volumes(filters=self._ours))
        return asked["Volumes"] or []

    def _ids(self, *services: str) -> list[str]:
        return [each["Id"] for each in self._list(*services)]

    def _each(self, colour: Colour, ask: Callable[[str], T]) -> list[T]:
        """Ask about each of the colour's containers; one that is gone meanwhile is none."""
        from docker.errors import NotFound

        def all_of_them() -> list[T]:
            answers = []
            for container in self._ids(colour):
                with suppress(NotFound):
                    answers.append(ask(container))
            return answers

        return self._ask(all_of_them)

    def _list(self, *services: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._client.api.containers(all=True, filters=self._ours)
        return [
            each
            for each in found
            if each["Labels"].get("com.docker.compose.service") in services
            and each["Labels"].get("com.docker.compose.oneoff") != "True"
        ]

    def _compose(self, bundle: Bundle, arguments: Sequence[str], *, timeout: float) -> None:
        try:
            self._run(bundle, arguments, timeout=timeout)
        except EngineError as exc:
            # An engine that restarts takes a command with it; each of ours may be done twice.
            if not (self._answered and _ENGINE_GONE.search(exc.details)):
                raise
            self._ask(self._client.api.ping)
            self._run(bundle, arguments, timeout=timeout)

    def _run(self, bundle: Bundle, arguments: Sequence[str], *, timeout: float) -> None:
        try:
            shell.run(
                compose_argv(self._project, bundle, arguments),
                timeout=timeout,
                env=bundle.variables,
                inherit=INHERITED,
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


def _away(error: EngineError) -> bool:
    """Tell whether the engine did not answer at all; what it answered is not worth a wait."""
    from requests.exceptions import ConnectionError as Refused

    return isinstance(error.__cause__, Refused)


@contextmanager
def docker_errors() -> Iterator[None]:
    """Make what the SDK raises an EngineError."""
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except (DockerException, RequestException, json.JSONDecodeError) as exc:
        raise EngineError(
            f"The Docker Engine does not answer as it should: {exc}",
            hint="`./bin/invoke host --yes` installs and starts it; `docker info` shows its state.",
        ) from exc
