"""Which releases this host keeps: pure, of what is known to what stays."""

from collections.abc import Mapping, Sequence

from pipeline.release.release import Release

__all__ = ["keep"]


def keep(lives: Sequence[Release], *, held: Mapping[str, str], last: int) -> dict[str, str]:
    """Return the ids of the releases that stay, each with why.

    Args:
        lives: Every release that was live, each once, the one that was live last first.
        held: Ids that stay however old they are (live, standby, pinned), each with why.
        last: How many others stay: those that were live last.
    """
    others = [release.id for release in lives if release.id not in held]
    return {**held, **dict.fromkeys(others[:last], f"one of the last {last}")}
