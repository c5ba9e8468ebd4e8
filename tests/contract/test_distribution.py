"""The registry asked by ourselves: a real one with a login, and one that wants tokens."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from pipeline.errors import RegistryError
from pipeline.image import credentials, distribution, manifests
from pipeline.image.manifests import Manifest
from pipeline.settings import Secret, Settings
from tests.contract import token_service
from tests.contract.token_service import Front
from tests.e2e.support import machine
from tests.e2e.support.registry import Registry

NOWHERE = f"sha256:{'0' * 64}"


def upload(settings: Settings, content: bytes) -> str:
    """Put a blob into the registry by hand, and return its digest."""
    login = (settings.registry_user, settings.registry_password.reveal())
    with requests.Session() as session:
        session.auth = login
        begun = session.post(
            f"http://{settings.registry}/v2/{settings.repository}/blobs/uploads/", timeout=10
        )
        digest = manifests.digest_of(content)
        where = begun.headers["Location"]
        ended = session.put(where, params={"digest": digest}, data=content, timeout=10)
        assert ended.status_code == 201
    return digest


def image_for(settings: Settings, architecture: str) -> Manifest:
    """Put a configuration into the registry; return a manifest that names it."""
    config = json.dumps({"architecture": architecture, "os": "linux"}).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": manifests.OCI_MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": upload(settings, config),
            "size": len(config),
        },
        "layers": [],
    }
    return manifests.read(json.dumps(document).encode())


@pytest.fixture
def nobody(settings: Settings) -> Settings:
    return replace(settings, registry_user="", registry_password=Secret(""))


@pytest.fixture
def front(registry: Registry) -> Iterator[Front]:
    with token_service.running(registry) as front:
        yield front


@pytest.fixture
def behind_tokens(settings: Settings, front: Front) -> Settings:
    return replace(settings, registry=front.host)


class TestRepository:
    def test_what_was_put_is_found_by_tag_and_by_digest(self, settings: Settings) -> None:
        manifest = image_for(settings, "amd64")

        with distribution.connect(settings) as repository:
            repository.put("one", manifest)

            assert repository.digest("one") == manifest.digest
            assert repository.digest(manifest.digest) == manifest.digest
            assert repository.manifest("one") == manifest
            assert repository.manifest(manifest.digest) == manifest

    def test_an_index_of_two_platforms_and_an_attestation(self, settings: Settings) -> None:
        with distribution.connect(settings) as repository:
            parts = []
            for architecture in ("arm64", "amd64"):
                manifest = image_for(settings, architecture)
                repository.put(architecture, manifest)
                parts.append(manifest.described(f"linux/{architecture}"))
            beside = image_for(settings, "unknown")
            repository.put("beside", beside)
            said = dict(beside.described("unknown/unknown").raw)
            said["annotations"] = {
                manifests.REFERENCE_TYPE: "attestation-manifest",
                manifests.REFERENCE_DIGEST: parts[0].digest,
            }
            document = {
                "schemaVersion": 2,
                "mediaType": manifests.OCI_INDEX,
                "manifests": [dict(parts[0].raw), said],
            }
            arm = manifests.read(json.dumps(document).encode())
            repository.put("both", manifests.merge([arm, parts[1]]))

            found = repository.manifest("both")

        assert found is not None
        assert found.platforms == ("linux/amd64", "linux/arm64")
        assert [each.digest for each in found.attestations] == [beside.digest]

    def test_a_blob(self, settings: Settings) -> None:
        digest = upload(settings, b"content")

        with distribution.connect(settings) as repository:
            assert repository.blob(digest) == b"content"
            with pytest.raises(RegistryError, match="no place for"):
                repository.blob(NOWHERE)

    def test_what_is_unknown(self, settings: Settings) -> None:
        with distribution.connect(settings) as repository:
            assert repository.digest("nosuch") is None
            assert repository.manifest(NOWHERE) is None

    def test_a_manifest_whose_content_is_missing_is_refused(self, settings: Settings) -> None:
        manifest = image_for(settings, "amd64")
        document = manifest.json | {"config": manifest.json["config"] | {"digest": NOWHERE}}

        with (
            distribution.connect(settings) as repository,
            pytest.raises(RegistryError) as refused,
        ):
            repository.put("broken", manifests.read(json.dumps(document).encode()))

        assert "MANIFEST_BLOB_UNKNOWN" in refused.value.details

    def test_rights_are_proven(self, settings: Settings) -> None:
        with distribution.connect(settings) as repository:
            repository.prove_pull()
            repository.prove_push()

    @pytest.mark.parametrize("ask", ["prove_pull", "prove_push"])
    def test_without_a_login(self, nobody: Settings, ask: str) -> None:
        with (
            distribution.connect(nobody) as repository,
            pytest.raises(RegistryError, match="refused") as refused,
        ):
            getattr(repository, ask)()

        assert "invoke login" in refused.value.hint

    def test_a_wrong_password(self, settings: Settings) -> None:
        wrong = replace(settings, registry_password=Secret("wr0ng-password"))

        with (
            distribution.connect(wrong) as repository,
            pytest.raises(RegistryError, match="refused") as refused,
        ):
            repository.prove_push()

        assert "wr0ng-password" not in str(refused.value.as_dict())

    def test_the_users_own_login(self, settings: Settings, nobody: Settings) -> None:
        with credentials.lent(settings) as variables, pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_CONFIG", variables["DOCKER_CONFIG"])
            with distribution.connect(nobody) as repository:
                repository.prove_push()
        assert not Path(variables["DOCKER_CONFIG"]).exists()

    def test_the_builder_finds_the_login_that_is_lent(
        self, settings: Settings, docker_config: Path
    ) -> None:
        theirs = {"credsStore": "of-nobody", "auths": {"other.example": {}}}
        (docker_config / "config.json").write_text(json.dumps(theirs))
        with distribution.connect(settings) as repository:
            repository.put("one", manifest := image_for(settings, "amd64"))

        with credentials.lent(settings) as variables:
            shown = machine.docker(
                *("buildx", "imagetools", "inspect", "--raw", f"{settings.image}:one"),
                env={**os.environ, **variables},
            )

        assert shown.encode() == manifest.content


class TestTokens:
    def test_the_password_buys_a_token_for_each_scope_once(
        self, behind_tokens: Settings, settings: Settings, front: Front
    ) -> None:
        manifest = image_for(settings, "amd64")

        with distribution.connect(behind_tokens) as repository:
            repository.prove_push()
            repository.put("one", manifest)
            assert repository.digest("one") == manifest.digest
            assert repository.manifest("one") == manifest

        name = settings.repository
        assert front.asked == [
            ("GET", f"repository:{name}:pull,push"),
            ("GET", f"repository:{name}:pull"),
        ]

    def test_an_identity_token_buys_one(
        self, behind_tokens: Settings, docker_config: Path, front: Front
    ) -> None:
        known = {front.host: {"identitytoken": token_service.IDENTITY}}
        (docker_config / "config.json").write_text(json.dumps({"auths": known}))
        nobody = replace(behind_tokens, registry_user="", registry_password=Secret(""))

        with distribution.connect(nobody) as repository:
            repository.prove_push()

        assert [method for method, _ in front.asked] == ["POST"]

    def test_a_token_that_has_run_out_is_bought_anew(
        self, behind_tokens: Settings, front: Front
    ) -> None:
        with distribution.connect(behind_tokens) as repository:
            assert repository.digest("nosuch") is None
            front.tokens.clear()
            assert repository.digest("nosuch") is None

        assert len(front.asked) == 2

    def test_a_token_that_counts_for_nothing(
        self, behind_tokens: Settings, front: Front, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(token_service._Registry, "is_allowed", lambda self: False)

        with (
            distribution.connect(behind_tokens) as repository,
            pytest.raises(RegistryError, match="refused"),
        ):
            repository.prove_pull()

        assert (front.challenges, len(front.asked)) == (2, 1)

    def test_who_may_pull_may_not_push(self, behind_tokens: Settings, front: Front) -> None:
        front.denied = frozenset({"push"})

        with distribution.connect(behind_tokens) as repository:
            repository.prove_pull()
            with pytest.raises(RegistryError, match="refused a push to") as refused:
                repository.prove_push()

        assert "invoke login" in refused.value.hint

    def test_a_password_goes_nowhere_in_the_clear(
        self, behind_tokens: Settings, front: Front
    ) -> None:
        front.realm = "http://tokens.example/token"

        with (
            distribution.connect(behind_tokens) as repository,
            pytest.raises(RegistryError, match="others could read it"),
        ):
            repository.prove_pull()

        assert front.asked == []
