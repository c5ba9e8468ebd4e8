"""An image in the registry of which no engine has everything: a pull must bring something."""

import gzip
import hashlib
import io
import json
import tarfile
import uuid

import requests

from pipeline.image.distribution import Repository, connect
from pipeline.image.manifests import OCI_MANIFEST, Manifest, digest_of
from pipeline.settings import Secret, Settings
from tests.e2e.support.registry import Registry

CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def renew(registry: Registry, repository: str, tag: str) -> None:
    """Give the image of a tag one more layer, in the registry alone.

    To remove it from the engine would not do: the build cache keeps its content.
    """
    settings = Settings(
        registry=registry.host,
        repository=repository,
        registry_user=registry.user,
        registry_password=Secret(registry.password),
    )
    with connect(settings) as place:
        image = _image(place, tag)
        config = json.loads(place.blob(image.json["config"]["digest"]))
        layer = _layer()
        config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
        config["history"].append({"created_by": "renewed"})
        packed, described = gzip.compress(layer), json.dumps(config).encode()
        for content in (packed, described):
            _upload(settings, content)
        document = {
            **image.json,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(described, CONFIG),
            "layers": [*image.json["layers"], _descriptor(packed, LAYER)],
        }
        place.put(tag, Manifest(media_type=OCI_MANIFEST, content=json.dumps(document).encode()))


def _image(place: Repository, tag: str) -> Manifest:
    found = place.manifest(tag)
    assert found is not None
    if found.is_index:
        found = place.manifest(found.images[0].digest)
    assert found is not None
    return found


def _layer() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(f"renewed-{uuid.uuid4().hex}"))
    return data.getvalue()


def _descriptor(content: bytes, kind: str) -> dict[str, object]:
    return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}


def _upload(settings: Settings, content: bytes) -> None:
    url = f"http://{settings.registry}/v2/{settings.repository}/blobs/uploads/"
    login = (settings.registry_user, settings.registry_password.reveal())
    begun = requests.post(url, auth=login, timeout=10)
    begun.raise_for_status()
    done = requests.put(
        begun.headers["Location"],
        params={"digest": digest_of(content)},
        data=content,
        headers={"Content-Type": "application/octet-stream"},
        auth=login,
        timeout=10,
    )
    done.raise_for_status()
