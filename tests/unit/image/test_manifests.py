import hashlib
import json

import pytest

from pipeline.errors import RegistryError, UsageError
from pipeline.image import manifests
from pipeline.image.manifests import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, read

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def child(digest, platform_="", attests="", **more):
    said = {"mediaType": OCI_MANIFEST, "digest": digest, "size": 7}
    if platform_:
        keys = ("os", "architecture", "variant")
        said["platform"] = dict(zip(keys, platform_.split("/"), strict=False))
    if attests:
        said["platform"] = {"os": "unknown", "architecture": "unknown"}
        said["annotations"] = {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": attests,
        }
    return said | more


def index(*children, **more):
    said = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children)}
    return read(json.dumps(said | more).encode())


def image(**more):
    layers = [child(B, mediaType="layer"), child(C, mediaType="layer")]
    said = {"schemaVersion": 2, "config": child(A), "layers": layers, **more}
    return read(json.dumps(said).encode(), OCI_MANIFEST)


class TestIndex:
    def test_platforms_and_attestations_are_told_apart(self):
        found = index(
            child(A, "linux/amd64"), child(B, "linux/arm64"), child(C, attests=A), child(D)
        )

        assert found.is_index
        assert found.platforms == ("linux/amd64", "linux/arm64")
        assert [each.digest for each in found.images] == [A, B]
        assert [(each.digest, each.subject) for each in found.attestations] == [(C, A)]
        assert [each.digest for each in found.children] == [A, B, C, D]
        assert (found.config, found.layers) == (None, ())

    def test_an_attestation_is_for_no_platform_whatever_it_says(self):
        where = {"os": "linux", "architecture": "amd64"}

        found = index(child(A, "linux/amd64"), child(C, attests=A, platform=where))

        assert found.platforms == ("linux/amd64",)

    @pytest.mark.parametrize(
        ("said", "shown"),
        [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm/v7", "linux/arm/v7"),
        ],
    )
    def test_a_variant_that_goes_without_saying(self, said, shown):
        assert index(child(A, said)).platforms == (shown,)

    def test_its_digest_is_that_of_its_bytes(self):
        content = b'{"schemaVersion":2,\n "manifests":[]}'

        found = read(content, OCI_INDEX)

        assert found.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert found.content == content


class TestImage:
    def test_configuration_and_layers(self):
        found = image()

        assert not found.is_index
        assert found.config.digest == A
        assert [(layer.digest, layer.size) for layer in found.layers] == [(B, 7), (C, 7)]
        assert (found.children, found.platforms, found.attestations) == ((), (), ())

    def test_how_an_index_names_it(self):
        found = image()

        named = found.described("linux/arm/v7")

        assert (named.digest, named.size) == (found.digest, len(found.content))
        assert named.raw["platform"] == {"os": "linux", "architecture": "arm", "variant": "v7"}


class TestRead:
    @pytest.mark.parametrize(
        ("keys", "said", "kind"),
        [
            ({"mediaType": DOCKER_LIST, "manifests": []}, "text/plain", DOCKER_LIST),
            ({"manifests": []}, f"{DOCKER_LIST}; charset=utf-8", DOCKER_LIST),
            ({"manifests": []}, "", OCI_INDEX),
            ({"config": child(A), "layers": []}, "application/json", OCI_MANIFEST),
            ({"config": child(A), "layers": []}, DOCKER_MANIFEST, DOCKER_MANIFEST),
        ],
    )
    def test_what_it_is(self, keys, said, kind):
        assert read(json.dumps(keys).encode(), said).media_type == kind

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"<html>",
            b"\xff",
            b"[]",
            b"[" * 100_000,
            b"{}",
            b'{"manifests": {}}',
            b'{"manifests": ["x"]}',
            b'{"mediaType": 1, "manifests": []}',
            b'{"mediaType": "application/vnd.docker.distribution.manifest.v1+json"}',
            json.dumps({"manifests": [child("sha512:1")]}).encode(),
            json.dumps({"manifests": [child(A, size=True)]}).encode(),
            json.dumps({"manifests": [child(A, size=-1)]}).encode(),
            json.dumps({"manifests": [child(A, mediaType=None)]}).encode(),
            json.dumps({"manifests": [child(A, platform=["os"])]}).encode(),
            json.dumps({"manifests": [child(A, platform={"os": 1})]}).encode(),
            json.dumps({"manifests": [child(A, annotations=["x"])]}).encode(),
            json.dumps({"layers": []}).encode(),
            json.dumps({"config": child(A), "layers": {}}).encode(),
            json.dumps({"config": child(A), "layers": [], "manifests": []}).encode(),
            json.dumps({"mediaType": OCI_INDEX, "manifests": [], "layers": []}).encode(),
        ],
        ids=lambda content: content[:60].decode(errors="replace"),
    )
    def test_what_is_malformed(self, content):
        with pytest.raises(RegistryError, match="no image manifest"):
            read(content)


class TestMerge:
    def test_the_parts_come_in_any_order(self):
        arm = index(child(B, "linux/arm64"), child(D, attests=B))
        amd = index(child(A, "linux/amd64"), child(C, attests=A))

        merged = manifests.merge([arm, amd])

        assert merged == manifests.merge([amd, arm])
        assert merged.media_type == OCI_INDEX
        assert merged.platforms == ("linux/amd64", "linux/arm64")
        assert [each.digest for each in merged.children] == [A, B, C, D]
        assert merged.attestations[0].subject == A

    def test_a_descriptor_is_taken_as_it_is(self):
        one = child(A, "linux/amd64", urls=["kept"])
        (named,) = index(one).children
        alone = image().described("linux/arm64")

        merged = manifests.merge([named, alone])

        assert merged.json["manifests"] == [one, alone.raw]

    def test_what_attests_nothing_of_it_is_left_out(self):
        merged = manifests.merge([index(child(A, "linux/amd64"), child(C, attests=B))])

        assert merged.attestations == ()

    @pytest.mark.parametrize("second", ["linux/arm64", "linux/arm64/v8"])
    def test_a_platform_comes_once(self, second):
        with pytest.raises(UsageError, match=f"linux/arm64: {A} and {B}"):
            manifests.merge([index(child(A, "linux/arm64")), index(child(B, second))])

    def test_a_single_manifest_does_not_say_for_which_platform_it_is(self):
        with pytest.raises(UsageError, match="single manifest") as refused:
            manifests.merge([image()])

        assert "invoke build --push" in refused.value.hint

    def test_nothing_to_merge(self):
        with pytest.raises(UsageError, match="No part names a platform"):
            manifests.merge([index(child(C, attests=A))])
