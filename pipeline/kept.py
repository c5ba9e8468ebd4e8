"""What this host keeps of earlier releases, and what a new one takes from there."""

from pipeline.errors import UsageError
from pipeline.parts import Parts
from pipeline.release import env
from pipeline.release.release import Release

__all__ = ["earlier", "environment", "what_there_is"]


def environment(parts: Parts) -> tuple[dict[str, str], str]:
    """Return the environment of a new release, and where it comes from.

    Raises:
        UsageError: It cannot be read, is malformed, or lacks a required key.
    """
    required = parts.settings.required_env
    if parts.settings.env_content:
        text = parts.settings.env_content.reveal()
        return env.parse(text, name="ENV_FILE", required=required), "ENV_FILE"
    path = parts.settings.root / parts.settings.env_file
    kept = parts.ledger.lives()
    if kept and not path.exists() and parts.settings.sources.get("env_file") != "--env-file":
        # On a server without an env file, the service goes on with what it had.
        name = f"release {kept[0][1].id}"
        text = parts.state.env(kept[0][1].id)
        return env.restore(text, name=name, required=required), name
    return env.read(path, required=required), str(path)


def earlier(parts: Parts, to: str | None) -> Release:
    """Return the previous release, or the one of commit `to` (full or shortened).

    Raises:
        UsageError: There is none; the message lists what there is.
    """
    if to is None:
        previous = parts.ledger.previous()
        if previous is None:
            raise UsageError(
                "There is no previous release to roll back to.",
                hint="`invoke history` lists the deployments of this host.",
            )
        return previous[1]
    for _, target in parts.ledger.lives():
        if to and target.sha.startswith(to):
            if not parts.state.keeps(target.id):
                raise UsageError(
                    f"Release {target.id} cannot be had any more: its files are gone.",
                    hint=what_there_is(parts, except_for=target),
                )
            return target
    raise UsageError(f"No release of commit {to!r} was ever live here.", hint=what_there_is(parts))


def what_there_is(parts: Parts, *, except_for: Release | None = None) -> str:
    """Return the hint that lists the commits whose releases this host keeps."""
    kept = [each for _, each in parts.ledger.lives() if parts.state.keeps(each.id)]
    had = dict.fromkeys(each.sha[:12] for each in kept if each != except_for)
    return f"These can be had: {', '.join(had) or 'none'}."
