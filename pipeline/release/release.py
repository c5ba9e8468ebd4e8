"""The Release: all that is needed to run one image again."""

import hashlib
from dataclasses import asdict, dataclass

__all__ = ["Release", "release"]


@dataclass(frozen=True, kw_only=True)
class Release:
    """Image digest + Compose file + env snapshot + migrations.

    Attributes:
        id: Made from everything below, so that a change of env alone is another release.
        sha: Commit.
        image: `registry/repository@sha256:...`, what Compose runs.
        compose_hash: Of the Compose file.
        env_hash: Of the env snapshot.
        migrations: Identity of the migration scripts in the image, "" if unknown.
    """

    id: str
    sha: str
    image: str
    compose_hash: str
    env_hash: str
    migrations: str

    @property
    def digest(self) -> str:
        """`sha256:...` of the image."""
        return self.image.partition("@")[2]

    def as_dict(self) -> dict[str, str]:
        """Return the release as the ledger keeps it."""
        return asdict(self)


def release(*, sha: str, image: str, compose: str, env_hash: str, migrations: str) -> Release:
    """Make the release of `image` with the text of its Compose file and its environment."""
    compose_hash = hashlib.sha256(compose.encode()).hexdigest()
    identity = hashlib.sha256(f"{image}\n{compose_hash}\n{env_hash}".encode()).hexdigest()
    return Release(
        id=f"{sha[:7]}-{identity[:8]}",
        sha=sha,
        image=image,
        compose_hash=compose_hash,
        env_hash=env_hash,
        migrations=migrations,
    )
