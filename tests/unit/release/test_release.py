import pytest

from pipeline.release.release import release

GIVEN = {
    "sha": "0123456789abcdef" * 2 + "01234567",
    "image": f"ghcr.io/panager/panager@sha256:{'a' * 64}",
    "compose": "services: {}",
    "env_hash": "e",
    "migrations": "m",
}


def test_the_same_is_the_same_release():
    assert release(**GIVEN) == release(**GIVEN)
    assert release(**GIVEN).id.startswith("0123456-")


@pytest.mark.parametrize("change", ["image", "compose", "env_hash"])
def test_any_change_is_another_release(change):
    assert release(**GIVEN | {change: "other"}).id != release(**GIVEN).id


def test_a_digest_names_the_image():
    assert release(**GIVEN).digest == f"sha256:{'a' * 64}"
    assert release(**GIVEN).as_dict()["image"] == GIVEN["image"]
