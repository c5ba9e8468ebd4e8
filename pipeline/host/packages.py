"""What keeps apt and dpkg from installing: seen before it is tried, explained afterwards."""

import re

from pipeline import shell
from pipeline.errors import CommandError, EngineError
from pipeline.host.apt import Distro

__all__ = ["broken", "explained", "known", "name", "names"]

# The releases that an installation from the distribution itself is known to work on.
RELEASES = {
    ("debian", "bookworm"): "Debian 12",
    ("debian", "trixie"): "Debian 13",
    ("ubuntu", "jammy"): "Ubuntu 22.04",
    ("ubuntu", "noble"): "Ubuntu 24.04",
}
LOOK_SECONDS = 10.0

# What apt says, and in our words: message, and what to do before this is run again. The first
# that fits.
EXPLAINED = (
    (
        r"dpkg was interrupted",
        "An earlier installation on this machine was interrupted, and apt waits for its end.",
        "As root: `dpkg --configure -a`.",
    ),
    (
        r"Could not get lock (?P<what>\S+?)\. .* process (?P<pid>\d+)( \((?P<who>.*?)\))?",
        "Another installation runs on this machine: process {pid} ({who}) has {what}.",
        "Wait until it has ended; `ps -fp {pid}` shows it.",
    ),
    (
        r"Could not get lock (?P<what>\S+)",
        "Another installation runs on this machine: {what} is locked.",
        "Wait until it has ended; `ps -e | grep -E 'apt|dpkg|unattended'` shows it.",
    ),
    (
        r"(Temporary failure resolving|Could not resolve) '(?P<what>[^']+)'",
        "This machine cannot find the address of {what}, from where it gets its packages.",
        "`getent hosts {what}` must answer: correct /etc/resolv.conf, or name another mirror.",
    ),
    (
        r"No space left on device|You don't have enough free space in",
        "There is not enough free space on this machine for the packages.",
        "`df -h / /var` shows it; `apt-get clean` frees some.",
    ),
    (
        r"E: (Unable to locate package|Package) '?(?P<what>[\w.+-]+)",
        "No archive that apt is set up with has the package {what}.",
        "On Ubuntu: `add-apt-repository universe`, with -updates; on Debian: its component main.",
    ),
    (
        r"unmet dependencies|held broken packages|fix-broken",
        "Packages of this machine lack others that they depend on, so apt installs nothing.",
        "As root: `apt-get --fix-broken install`, which says first what it would do.",
    ),
)


def known(distro: Distro) -> bool:
    """Return whether an installation is known to work on this release."""
    return (distro.id, distro.codename) in RELEASES


def name(distro: Distro) -> str:
    """Return the release in words."""
    given = f"{distro.id} {distro.codename}".strip() or "something else"
    return RELEASES.get((distro.id, distro.codename), given)


def names() -> str:
    """Return all releases that an installation is known to work on."""
    *others, last = RELEASES.values()
    return f"{', '.join(others)} and {last}"


def broken() -> tuple[str, ...]:
    """Return the packages that dpkg has begun to install and not ended; none where all is well.

    Needs no root, and changes nothing.
    """
    fields = "${db:Status-Abbrev} ${binary:Package}\n"
    try:
        said = shell.run(
            ["dpkg-query", "--show", f"--showformat={fields}"], timeout=LOOK_SECONDS, check=False
        ).stdout
    except CommandError:  # no dpkg here
        return ()
    return tuple(re.findall(r"^.(?:[UFH].|.R) *(\S+)", said, re.MULTILINE))


def explained(error: EngineError) -> EngineError:
    """Return what apt could not do with its cause in our words, where we know it."""
    for pattern, message, hint in EXPLAINED:
        if found := re.search(pattern, error.details):
            words = {key: value or "" for key, value in found.groupdict().items()}
            return EngineError(
                f"{error.message} {message.format_map(words)}",
                hint=f"{hint.format_map(words)} Then run this again.",
                details=error.details,
            )
    return error
