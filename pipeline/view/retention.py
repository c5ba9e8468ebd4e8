"""What people see of what is kept and what goes: `prune`, `pin`, `unpin`."""

from collections.abc import Mapping
from typing import Any

from pipeline.view.terminal import result

__all__ = ["pinned", "pruned"]

MB = 10**6  # bytes


def pruned(value: Mapping[str, Any], *, dry_run: bool) -> None:
    """Show what stays, with why, and what has gone or would go."""
    for release, why in value["kept"].items():
        result(f"keeps    release   {release}  ({why})")
    removed = dict(value["removed"])
    cache = removed.pop("cache_bytes")
    verb = "would go" if dry_run else "removed"
    for kind, names in removed.items():
        for name in names:
            result(f"{verb:<8} {kind.removesuffix('s'):<9} {name}")
    if cache:
        result(f"{verb:<8} {'cache':<9} {cache / MB:.0f} MB of builds")
    some = cache or any(removed.values())
    result(f"{verb}: about {value['bytes'] / MB:.1f} MB" if some else "nothing to remove")


def pinned(value: Mapping[str, Any], *, verb: str) -> None:
    """Show which releases of a commit were pinned, or let go, and all that are pinned now."""
    releases = ", ".join(value["releases"]) or "no release"
    result(f"{verb}: {releases} of commit {value['sha'][:12]}")
    for release, since in value["pinned"].items():
        result(f"pinned   {release}  since {since}")
