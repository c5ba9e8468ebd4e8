"""What a registry has, as buildx reads it: none of the pipeline's own code is asked."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.support import machine
from tests.platforms.emulation import PLATFORMS

OF = "vnd.docker.reference.digest"
PREDICATE = "in-toto.io/predicate-type"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A manifest list.

    Attributes:
        name: Registry and repository.
        config: A Docker configuration that has a login there.
        content: The list itself, and its digest.
    """

    name: str
    config: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, name: str, tag: str, *, config: Path) -> "Listing":
        """Read what a tag names; fail where it names no list."""
        content = json.loads(_ask(f"{name}:{tag}", "{{json .Manifest}}", config))
        assert "manifests" in content, f"{name}:{tag} is no manifest list"
        return cls(name=name, config=config, content=content)

    @property
    def digest(self) -> str:
        return str(self.content["digest"])

    @property
    def images(self) -> dict[str, str]:
        """The digest of each platform's image; each platform may be there once."""
        pairs = [
            ("/".join(filter(None, map(each["platform"].get, _PARTS))), each["digest"])
            for each in self.content["manifests"]
            if OF not in each.get("annotations", {})
        ]
        assert len(dict(pairs)) == len(pairs), f"a platform is there twice: {pairs}"
        return dict(pairs)

    def statements(self, platform: str) -> set[str]:
        """Return the kinds of what is attested of a platform's image."""
        found = set()
        for each in self.content["manifests"]:
            if each.get("annotations", {}).get(OF) == self.images[platform]:
                raw = _imagetools("inspect", "--raw", f"{self.name}@{each['digest']}", self.config)
                layers = json.loads(raw)["layers"]
                found |= {layer["annotations"][PREDICATE] for layer in layers}
        return found

    def packages(self, platform: str) -> set[str]:
        """Return the names of what a platform's SBOM lists."""
        sboms = json.loads(_ask(f"{self.name}@{self.digest}", "{{json .SBOM}}", self.config))
        assert set(sboms) == set(PLATFORMS)
        return {package["name"] for package in sboms[platform]["SPDX"]["packages"]}


_PARTS = ("os", "architecture", "variant")


def exists(name: str, tag: str, *, config: Path) -> bool:
    """Tell whether a registry has a tag."""
    env = os.environ | {"DOCKER_CONFIG": str(config)}
    argv = ("buildx", "imagetools", "inspect", "--raw", f"{name}:{tag}")
    return bool(machine.docker(*argv, check=False, env=env))


def _ask(reference: str, template: str, config: Path) -> str:
    return _imagetools("inspect", "--format", template, reference, config)


def _imagetools(*argv: str | Path) -> str:
    *words, config = argv
    env = os.environ | {"DOCKER_CONFIG": str(config)}
    return machine.docker("buildx", "imagetools", *map(str, words), env=env)
