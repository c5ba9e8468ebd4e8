"""What GitHub calls things, and the one question to its API: may everybody see this repository?"""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import CommandError, UnavailableError, UsageError
from pipeline.host.runner.web import NoAnswerError, asked

__all__ = ["TOKEN_VARIABLE", "refusal", "refuse_public", "scope", "token_missing"]

# The runner takes each argument from a variable, too, and removes that from its environment.
TOKEN_VARIABLE = "ACTIONS_RUNNER_INPUT_TOKEN"  # noqa: S105 - a name
HOSTS = {"github.com", "www.github.com"}
API = "https://api.github.com"
LIMIT = 2**20  # bytes of an answer
_OK, _NOT_FOUND = 200, 404
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REFUSED = re.compile(r"Http response code: (NotFound|Unauthorized|Forbidden)")
FROM = (
    "Settings > Actions > Runners > New self-hosted runner shows one, and so does "
    "`gh api -X POST repos/OWNER/REPOSITORY/actions/runners/registration-token --jq .token`."
)
WHY = "whoever opens a pull request there could run code on this machine"


def scope(url: str) -> tuple[str, ...]:
    """Return what a runner's URL names: an organisation, or an owner and a repository.

    Raises:
        UsageError: It names neither.
    """
    try:
        parts = urlsplit(url)
        path = parts.path.strip("/").removesuffix(".git").split("/")
        plain = parts.hostname and not (parts.username or parts.query or parts.fragment)
    except ValueError:
        path, plain = [], None
    if not plain or len(path) not in {1, 2} or not all(map(_SEGMENT.fullmatch, path)):
        raise UsageError(
            f"{url!r} is no address of a repository or organisation.",
            hint="Set PIPELINE_RUNNER_URL to https://github.com/OWNER/REPOSITORY.",
        )
    return tuple(path)


def refuse_public(url: str, *, api: str, ca_bundle: Path) -> str:
    """Return where `url` may have a runner here; "" or a warning.

    Args:
        url: Of the repository or organisation.
        api: GitHub's API.
        ca_bundle: What is trusted.

    Raises:
        UsageError: It is a public repository.
        UnavailableError: Nobody can tell.
    """
    names = scope(url)
    if len(names) == 1:
        return (
            f"{url} is an organisation: its runner group must leave out public repositories"
            " (Settings > Actions > Runner groups), which cannot be seen from here"
        )
    if urlsplit(url).hostname not in HOSTS and api == API:
        raise UsageError(
            f"Whether {url} is public is not known to {API}.",
            hint="Set PIPELINE_GITHUB_API to that server's: https://HOST/api/v3.",
        )
    question = f"{api.rstrip('/')}/repos/{'/'.join(names)}"
    try:
        status, answer = _ask(question, ca_bundle)
    except NoAnswerError as exc:
        raise _unknown(url, f"{question} cannot be asked: {exc}") from exc
    if status == _NOT_FOUND or (status == _OK and answer.get("private") is True):
        return ""
    if status == _OK and answer.get("private") is False:
        raise UsageError(
            f"{url} is a public repository: {WHY}.",
            hint="Use a private one; or, where no workflow that a pull request starts uses this "
            "runner and forks need approval, say `--allow-public`.",
        )
    raise _unknown(url, f"{question} answers with status {status}")


def refusal(url: str, failed: CommandError) -> UnavailableError:
    """Return what the failure of config.sh means, which has GitHub's words in its output."""
    if _REFUSED.search(failed.details):
        return UnavailableError(
            f"GitHub does not accept the token for {url}.",
            hint="A token is valid for an hour, and for one repository or organisation: set "
            f"PIPELINE_RUNNER_TOKEN to a new one. {FROM}",
            details=failed.details,
        )
    return UnavailableError(
        f"The runner's own configuration failed: {failed.message}",
        hint="Its last lines are above; the same command tries again.",
        details=failed.details,
    )


def token_missing(url: str, *, what: str) -> UsageError:
    """Return the error for a token that is needed and not there; `what` it is for."""
    return UsageError(
        f"PIPELINE_RUNNER_TOKEN is not set; it is needed to {what} the runner at {url}.",
        hint=f"{FROM} Give it in the environment only, never in an argument.",
    )


def _ask(question: str, ca_bundle: Path) -> tuple[int, dict[str, Any]]:
    kind = "application/vnd.github+json"
    with asked(question, ca_bundle=ca_bundle, accept=kind) as response:
        body = response.raw.read(LIMIT, decode_content=True)
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    return response.status_code, answer if isinstance(answer, dict) else {}


def _unknown(url: str, why: str) -> UnavailableError:
    return UnavailableError(
        f"Nobody can tell whether {url} is public: {why}.",
        hint="Try again later; or, where you know that it is not (if it is, "
        f"{WHY}), say `--allow-public`.",
    )
