"""The login to the registry: the pipeline's own, or the one in the user's Docker configuration.

A password is on disk only while the builder runs (`lent()`), in a folder of ours that nobody
else can read; it is in no argv, and no child finds it in its environment.
"""

import json
import os
import re
import shutil
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import shell
from pipeline.errors import CommandError, RegistryError
from pipeline.settings import Secret, Settings

__all__ = ["Login", "engine_auth", "lent", "of"]

HELPER_TIMEOUT = 20.0  # seconds; a helper that asks a person would wait for ever
PREFIX = "pipeline-docker-"
HUB = "https://index.docker.io/v1/"  # what Docker's configuration calls docker.io

NOTHING = Secret("")

_TOKEN_USER = "<token>"  # noqa: S105 - helpers say so of an identity token
_UNKNOWN = "credentials not found"


@dataclass(frozen=True, kw_only=True)
class Login:
    """Who we are to a registry: user and password, or an identity token.

    Attributes:
        user: "" with an identity token.
        password: Shows itself only when asked by name.
        identity_token: Is exchanged for a token at each use.
    """

    user: str = ""
    password: Secret = NOTHING
    identity_token: Secret = NOTHING

    def basic(self) -> Secret:
        """Return user and password as HTTP's Basic scheme and Docker's configuration want them."""
        pair = f"{self.user}:{self.password.reveal()}".encode()
        return Secret(b64encode(pair).decode())

    def hide_in(self, text: str) -> str:
        """Return `text` without the secrets, should somebody have sent them back."""
        for secret in (self.basic(), self.password, self.identity_token):
            text = secret.hide_in(text)
        return text


def of(settings: Settings) -> Login | None:
    """Return the login to the registry; None where nobody has given one.

    `PIPELINE_REGISTRY_USER` and `PIPELINE_REGISTRY_PASSWORD` come first, then the Docker
    configuration of the user or the runner, its credential helpers included.

    Raises:
        RegistryError: A credential helper fails, or the configuration cannot be read.
    """
    if _has_own(settings):
        return Login(user=settings.registry_user, password=settings.registry_password)
    from docker import auth
    from docker.errors import DockerException

    key = _key(settings.registry)
    try:
        config = auth.load_config()
        helper = config.get_credential_store(key)
        login = _from_helper(helper, key) if helper else None
        if login is None:
            known = auth.AuthConfig({"auths": config.auths})
            login = _login(known.resolve_authconfig(key) or {})
    except (DockerException, ValueError, TypeError, AttributeError) as exc:
        # without its text, which may quote what is in the file
        raise RegistryError(
            f"The Docker configuration has no login to {settings.registry} that can be read.",
            hint=f"`docker logout {settings.registry}`, then log in again; or set "
            "PIPELINE_REGISTRY_USER and PIPELINE_REGISTRY_PASSWORD.",
        ) from exc
    return login


def engine_auth(login: Login | None, registry: str) -> dict[str, str]:
    """Return the login as the Docker SDK's `auth_config`; empty means nobody."""
    if login is None:
        return {}
    address = {"serveraddress": _key(registry)}
    if login.identity_token:
        return {"identitytoken": login.identity_token.reveal(), **address}
    return {"username": login.user, "password": login.password.reveal(), **address}


@contextmanager
def lent(settings: Settings) -> Iterator[dict[str, str]]:
    """Yield variables for the builder, with which it finds the login; gone after the `with` block.

    Everything else that is in the user's Docker configuration (contexts, builders, plugins,
    other logins) stays where it is and is found. Without a login of the pipeline's own there
    is nothing to lend: the builder uses the user's configuration by itself.
    """
    _sweep()
    if not _has_own(settings):
        yield {}
        return
    from docker.utils.config import config_path_from_environment, home_dir

    given = config_path_from_environment()
    theirs = Path(given).parent if given else Path(home_dir()) / ".docker"
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))  # which is 0700
    try:
        _link(theirs.absolute(), folder)
        login = Login(user=settings.registry_user, password=settings.registry_password)
        _write(folder / "config.json", _with_login(_read(theirs / "config.json"), settings, login))
        yield {"DOCKER_CONFIG": str(folder)}
    finally:
        shutil.rmtree(folder)


def _has_own(settings: Settings) -> bool:
    return bool(settings.registry_user and settings.registry_password)


def _key(registry: str) -> str:
    return HUB if registry in {"docker.io", "index.docker.io"} else registry


def _from_helper(helper: str, key: str) -> Login | None:
    """Ask a credential helper, with a deadline, which the SDK's own way has not."""
    try:
        result = shell.run(
            [f"docker-credential-{helper}", "get"], timeout=HELPER_TIMEOUT, stdin=key, check=False
        )
    except CommandError as exc:
        raise _no_login(helper, key, exc.message) from exc
    if result.code != 0 and _UNKNOWN in result.tail:
        return None
    if result.code != 0:
        raise _no_login(helper, key, f"it failed with exit code {result.code}.")
    try:
        said = json.loads(result.stdout)
        user, secret = said["Username"], said["Secret"]
    except (ValueError, KeyError, TypeError):
        raise _no_login(helper, key, "its answer is malformed.") from None  # it has the answer
    if user == _TOKEN_USER:
        return _login({"identitytoken": secret})
    return _login({"username": user, "password": secret})


def _no_login(helper: str, key: str, why: str) -> RegistryError:
    return RegistryError(
        f"The credential helper {helper!r} gave no login to {key}: {why}",
        hint="Set PIPELINE_REGISTRY_USER and PIPELINE_REGISTRY_PASSWORD, or repair what "
        "`credsStore` and `credHelpers` in the Docker configuration name.",
    )


def _login(said: dict[str, Any]) -> Login | None:
    lower = {name.lower(): str(value or "") for name, value in said.items()}
    if lower.get("identitytoken"):
        return Login(identity_token=Secret(lower["identitytoken"]))
    if lower.get("username") and lower.get("password"):
        return Login(user=lower["username"], password=Secret(lower["password"]))
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # as Docker's own programs do
    return document if isinstance(document, dict) else {}


def _with_login(config: dict[str, Any], settings: Settings, login: Login) -> dict[str, Any]:
    from docker.auth import resolve_index_name

    def others(name: str) -> dict[str, Any]:
        table = config.get(name)
        entries = table if isinstance(table, dict) else {}
        ours = resolve_index_name(settings.registry)
        return {key: value for key, value in entries.items() if resolve_index_name(key) != ours}

    key = _key(settings.registry)
    helpers = others("credHelpers")
    if config.get("credsStore"):
        helpers[key] = ""  # nobody: for this registry, the file counts
    auths = {**others("auths"), key: {"auth": login.basic().reveal()}}
    return {**config, "auths": auths, "credHelpers": helpers}


def _link(theirs: Path, folder: Path) -> None:
    with suppress(OSError):  # there is none, which is fine
        for entry in theirs.iterdir():
            if entry.name != "config.json":
                (folder / entry.name).symlink_to(entry)


def _write(path: Path, config: dict[str, Any]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(config, file)


def _sweep() -> None:
    """Remove what processes that were killed have left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        match = re.fullmatch(rf"{PREFIX}([0-9]{{1,9}})-\w+", folder.name)
        if match is None or _is_alive(int(match[1])):
            continue
        with suppress(OSError):  # somebody else removes it just now
            if folder.lstat().st_uid == os.getuid():
                shutil.rmtree(folder)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
