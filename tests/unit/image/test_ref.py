import pytest

from pipeline.errors import UsageError
from pipeline.image.ref import ImageRef, LocalImage, tags

SHA = "a" * 40
DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("version", "more"),
    [
        ("", ()),
        ("1.4.2", ("1.4.2", "1.4", "1")),
        ("0.1.0", ("0.1.0", "0.1", "0")),
        ("1.4.2-rc1", ("1.4.2-rc1",)),
        ("1.4.2-rc.1", ("1.4.2-rc.1",)),
    ],
)
def test_tags(version, more):
    assert tags(SHA, version) == (SHA, "latest", *more)


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        (f"ghcr.io/panager/panager:{SHA}", "ghcr.io/panager/panager", SHA, ""),
        (f"127.0.0.1:5000/a@{DIGEST}", "127.0.0.1:5000/a", "", DIGEST),
        ("localhost/a/b-c__d.e:1.4.2-rc1", "localhost/a/b-c__d.e", "1.4.2-rc1", ""),
    ],
)
def test_a_reference_reads_and_writes_itself(text, name, tag, digest):
    ref = ImageRef.parse(text)

    assert ref == ImageRef(name=name, tag=tag, digest=digest)
    assert str(ref) == text


def test_the_registry_is_its_first_part():
    assert ImageRef.parse("127.0.0.1:5000/a/b:latest").registry == "127.0.0.1:5000"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "app",
        "app:latest",
        "ghcr.io/app",
        "ghcr.io/App:latest",
        "ghcr.io/a//b:latest",
        "ghcr.io/../b:latest",
        "ghcr.io/a/:latest",
        "ghcr.io/a:",
        "ghcr.io/a:-x",
        f"ghcr.io/a:{'x' * 129}",
        "ghcr.io/a@sha256:12",
        f"ghcr.io/a@{DIGEST.upper()}",
        f"ghcr.io/a:latest@{DIGEST}",
        "ghcr.io/a:latest\n",
        "ghcr.io/a:latest; rm -rf /",
        "-/a:x y",
        "ghcr.io:port/a:latest",
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="not an image reference"):
        ImageRef.parse(text)


@pytest.mark.parametrize("parts", [{}, {"tag": "latest", "digest": DIGEST}])
def test_it_is_a_tag_or_a_digest(parts):
    with pytest.raises(UsageError):
        ImageRef(name="ghcr.io/a", **parts)


def test_an_image_that_no_registry_knows_has_no_reference():
    image = LocalImage(
        id="i", name="ghcr.io/a", digests=(), revision="", migrations="", platform="", size=1
    )

    assert image.digest == ""
    with pytest.raises(UsageError):
        assert image.reference
