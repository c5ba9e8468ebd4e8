"""One commit, two platforms, one name: built at once, or each by itself and then merged."""

import os
from typing import Any

import pytest

from tests.e2e.support import machine
from tests.e2e.support.site import Site
from tests.platforms.conftest import Merged, Whole
from tests.platforms.emulation import FOREIGN, MACHINES, NATIVE, PLATFORMS
from tests.platforms.listing import Listing

SBOM = "https://spdx.dev/Document"
PROVENANCE = "https://slsa.dev/provenance/v"
SERVICE = {"fastapi", "uvicorn", "sqlalchemy"}  # some of what the lock has it made of
# The compiled packages are loaded, too; reaching a database is not needed for that.
SAYS = "import os, platform, app.main; print(platform.machine(), os.environ['APP_SHA'])"


def test_one_build_makes_one_list_of_both_platforms(whole: Whole) -> None:
    assert tuple(whole.built.json["platforms"]) == PLATFORMS
    assert tuple(whole.listing.images) == PLATFORMS
    assert whole.listing.digest == whole.built.json["digest"]


def test_a_merge_makes_one_list_of_both_platforms(merged: Merged) -> None:
    assert tuple(merged.merged.json["platforms"]) == PLATFORMS
    assert set(merged.listing.images) == set(PLATFORMS)
    assert merged.listing.digest == merged.merged.json["digest"]


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_has_the_same_digest_both_ways(
    whole: Whole, merged: Merged, platform: str
) -> None:
    assert whole.listing.images[platform] == merged.listing.images[platform]


def test_every_tag_names_the_list(whole: Whole, merged: Merged, sha: str) -> None:
    for made, listing in ((whole.built, whole.listing), (merged.merged, merged.listing)):
        tags = made.json["tags"]
        assert {sha, "latest"} <= set(tags)
        found = [Listing.read(listing.name, tag, config=listing.config).digest for tag in tags]
        assert found == [listing.digest] * len(tags)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_has_provenance_and_an_sbom(listing: Listing, platform: str) -> None:
    kinds = listing.statements(platform)

    assert SBOM in kinds
    assert [kind for kind in kinds if kind.startswith(PROVENANCE)]
    assert listing.packages(platform) >= SERVICE


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_the_registry_has_runs(listing: Listing, platform: str, sha: str) -> None:
    image = f"{listing.name}@{listing.images[platform]}"
    env = os.environ | {"DOCKER_CONFIG": str(listing.config)}
    machine.docker("pull", "--quiet", "--platform", platform, image, timeout=120, env=env)
    try:
        said = machine.docker(
            *("run", "--rm", "--read-only", "--network=none", "--platform", platform),
            *("--env", "DATABASE_URL=postgresql://nobody:x@db:5432/none"),
            *(image, "python", "-c", SAYS),
            timeout=120,
        )
    finally:
        machine.docker("rmi", "--force", image, check=False)

    assert said.split() == [MACHINES[platform], sha]


def test_inspect_names_both_platforms(sites: dict[str, Site], listing: Listing, sha: str) -> None:
    (site,) = [each for each in sites.values() if each.repository == listing.name]
    shown: dict[str, Any] = site.invoke("inspect", "--sha", sha, "--json").ok().json

    assert shown["sha"] == sha
    found = {each["platform"]: each["digest"] for each in shown["platforms"]}
    assert found == listing.images
    for each in shown["platforms"]:
        assert set(each["attestations"]) == listing.statements(each["platform"])
        assert {package["name"] for package in each["packages"]} >= SERVICE


def test_a_part_that_is_missing_is_named(merged: Merged) -> None:
    early = merged.early.refused(1)

    assert FOREIGN in early.error
    assert NATIVE not in early.error
    assert f"--platforms {FOREIGN} --push --part" in early.next_step
    assert not merged.tagged_early


def test_merging_again_changes_nothing(sites: dict[str, Site], merged: Merged, sha: str) -> None:
    site = sites["parts"]
    again = site.invoke("manifest", "--sha", sha, "--platforms", ",".join(PLATFORMS), "--json").ok()

    assert again.json["digest"] == merged.listing.digest
    now = Listing.read(site.repository, sha, config=merged.listing.config)
    assert now.content == merged.listing.content
