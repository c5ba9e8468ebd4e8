import json
from dataclasses import replace

import pytest

from pipeline.errors import RegistryError
from pipeline.image.about import SPDX, about, same_content
from pipeline.image.local import inspect
from pipeline.image.manifests import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Manifest
from pipeline.image.ref import ImageRef
from tests.fake_docker import NAME, SHA, bytes_digest, digest_of, manifest_of

CONTENT = f"{SHA} files"
PACKAGES = [
    {
        "name": name,
        "versionInfo": "1.0",
        "externalRefs": [{"referenceType": "purl", "referenceLocator": f"pkg:{kind}/{name}@1.0"}],
    }
    for kind, name in (("pypi", "fastapi"), ("deb", "libc6"), ("pypi", "click"), ("pypi", "click"))
]
SBOM = json.dumps({"predicate": {"packages": [*PACKAGES, {"name": "the image itself"}]}}).encode()


def manifest(document, kind=OCI_MANIFEST):
    content = json.dumps({"schemaVersion": 2, "mediaType": kind, **document}).encode()
    return Manifest(media_type=kind, content=content)


@pytest.fixture
def sbom():
    return SBOM


@pytest.fixture
def published(docker, sbom):
    """An index with one image and an attestation of it, in the registry."""

    def layer(content, predicate):
        return {
            "mediaType": "application/vnd.in-toto+json",
            "digest": bytes_digest(content),
            "size": len(content),
            "annotations": {"in-toto.io/predicate-type": predicate},
        }

    config = {"mediaType": "x", "digest": bytes_digest(b"{}"), "size": 2}
    attests = manifest(
        {
            "config": config,
            "layers": [layer(sbom, SPDX), layer(b"how", "https://slsa.dev/provenance/v0.2")],
        }
    )
    image = manifest_of(CONTENT)
    index = manifest(
        {
            "manifests": [
                dict(image.described("linux/amd64").raw),
                {
                    **attests.described("unknown/unknown").raw,
                    "annotations": {
                        "vnd.docker.reference.type": "attestation-manifest",
                        "vnd.docker.reference.digest": image.digest,
                    },
                },
            ]
        },
        OCI_INDEX,
    )
    docker.remote = {f"{NAME}:anything": CONTENT, f"{NAME}:{SHA}": index.digest}
    docker.blobs = {each.digest: each for each in (attests, index)}
    docker.blobs[bytes_digest(sbom)] = sbom
    return index


def test_everything_in_one_look(published, settings):
    found = about(settings, SHA)

    assert found["sha"] == SHA
    assert found["reference"] == f"{NAME}@{published.digest}"
    (platform,) = found["platforms"]
    assert platform["platform"] == "linux/amd64"
    assert platform["digest"] == digest_of(CONTENT)
    assert platform["layers"] == [
        {"digest": bytes_digest(CONTENT.encode()), "size": len(CONTENT), "made_by": "COPY app"}
    ]
    assert platform["size"] == len(CONTENT)
    assert platform["attestations"] == ["https://slsa.dev/provenance/v0.2", SPDX]
    assert platform["packages"] == [
        {"kind": "deb", "name": "libc6", "version": "1.0"},
        {"kind": "pypi", "name": "click", "version": "1.0"},
        {"kind": "pypi", "name": "fastapi", "version": "1.0"},
    ]


def test_a_single_manifest_has_no_attestations(docker, settings):
    docker.remote[f"{NAME}:{SHA}"] = CONTENT

    (platform,) = about(settings, SHA)["platforms"]

    assert (platform["attestations"], platform["packages"]) == ([], [])


def test_nothing_published(docker, settings):
    with pytest.raises(RegistryError, match="has no") as unknown:
        about(settings, SHA)

    assert f"invoke build --sha {SHA} --push" in unknown.value.hint


@pytest.mark.parametrize("sbom", [b"no json", b"{}", b"[]", b'{"predicate":{"packages":[1]}}'])
def test_an_sbom_that_is_none(published, settings):
    with pytest.raises(RegistryError, match="malformed"):
        about(settings, SHA)


def test_what_the_registry_names_but_lacks(published, docker, settings):
    del docker.remote[f"{NAME}:anything"]

    with pytest.raises(RegistryError, match="does not have it"):
        about(settings, SHA)


def test_an_index_within_an_index(docker, settings):
    empty = manifest({"manifests": []}, DOCKER_LIST)
    docker.remote[f"{NAME}:{SHA}"] = empty.digest
    docker.blobs[empty.digest] = empty

    with pytest.raises(RegistryError, match="malformed"):
        about(settings, SHA)


class TestSameContent:
    @pytest.fixture
    def pair(self, docker, settings):
        from pipeline.image.about import config_of as published_config
        from tests.fake_docker import FakeRepository

        docker.images[f"{NAME}:x"] = docker.remote[f"{NAME}:x"] = CONTENT
        here = inspect(ImageRef(name=NAME, tag="x"))
        there = published_config(FakeRepository(docker, NAME), digest_of(CONTENT))
        return here, there

    def test_the_same(self, pair):
        assert same_content(*pair)

    @pytest.mark.parametrize(
        "other",
        [
            {"layers": ("sha256:other",)},
            {"runs": {"Labels": {"org.opencontainers.image.revision": SHA}, "User": "0"}},
            {"runs": {}},
        ],
    )
    def test_other_files_user_or_labels(self, other, pair):
        here, there = pair

        assert not same_content(replace(here, **other), there)
