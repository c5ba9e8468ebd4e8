"""A registry that misbehaves is pulled from: the right error in time, and nothing is kept."""

import pytest

from pipeline.errors import RegistryError
from pipeline.image.http import BusyError, NoAnswerError
from tests.contract import hostile
from tests.contract.hostile import Behaviour, status
from tests.contract.scene import (
    BLOB,
    BROKE_OFF,
    BROKEN,
    BUSY,
    HEAD,
    LATE,
    MANIFEST,
    NO_ANSWER,
    NO_NEWS,
    NOWHERE,
    REFUSED,
    SLACK,
    Case,
    Over,
    Scene,
    cases,
)


class TestPull:
    @cases(
        asked_refused=(HEAD, status(403), RegistryError, REFUSED),
        asked_unknown=(HEAD, status(404), RegistryError, "has no"),
        asked_broken=(HEAD, status(503), BusyError, BROKEN),
        asked_silent=(HEAD, hostile.silent, NoAnswerError, NO_ANSWER),
        elsewhere=(HEAD, hostile.naming(NOWHERE), RegistryError, "not found"),
        refused=(BLOB, status(403), RegistryError, REFUSED),
        unknown=(BLOB, status(404), RegistryError, "not found"),
        limited=(BLOB, status(429, retry_after="7"), BusyError, BROKEN),
        broken=(BLOB, status(503), BusyError, BROKEN),
        truncated=(BLOB, hostile.broken_off, RegistryError, "unexpected EOF"),
        shortened=(BLOB, hostile.shortened, RegistryError, "unexpected EOF"),
        corrupted=(BLOB, hostile.corrupted, BusyError, "digest"),
        hung_up=(BLOB, hostile.hung_up, RegistryError, "EOF"),
        silent_in_the_middle=(BLOB, hostile.silent_in_the_middle, NoAnswerError, NO_NEWS),
        dripping=(BLOB, hostile.dripping, NoAnswerError, LATE),
        manifest_corrupted=(MANIFEST, hostile.corrupted, BusyError, "digest"),
    )
    def test_nothing_is_kept(self, scene: Scene, case: Case) -> None:
        lost = scene.lose()
        request, behaviour, error, says = case
        rule = scene.front.on(request, behaviour)

        with scene.failing(error, says):
            scene.ensure()

        assert rule.hits
        assert scene.here(tag=scene.sha) is scene.here(digest=lost.digest) is None

    def test_the_engine_stops_when_it_is_given_up(self, scene: Scene) -> None:
        lost = scene.lose()
        scene.front.on(BLOB, hostile.silent)

        with scene.failing(NoAnswerError, NO_NEWS):
            scene.ensure()

        assert scene.front.left.wait(SLACK)
        assert scene.here(digest=lost.digest) is None

    def test_the_tag_names_another_commits_image(self, scene: Scene) -> None:
        scene.lose()
        scene.make(scene.sha[::-1])
        other = scene.push(scene.sha[::-1])
        scene.moves.clear()
        scene.front.on(HEAD, hostile.naming(other.digest))

        with scene.failing(RegistryError, f"is not an image of commit {scene.sha[:12]}"):
            scene.ensure()

        assert scene.here(tag=scene.sha) is None

    @cases(
        asked=(HEAD, status(503), 2, BUSY),
        manifest=(MANIFEST, status(503), 2, BUSY),
        blob=(BLOB, status(503), 1, BUSY[:1]),
        the_engine_tries_itself=(BLOB, status(429, retry_after="7"), 2, []),
        the_engine_takes_the_rest=(BLOB, hostile.broken_off, 1, []),
    )
    def test_what_is_over_is_forgotten(self, scene: Scene, case: Over) -> None:
        lost = scene.lose()
        request, behaviour, times, waited = case
        rule = scene.front.on(request, behaviour, times=times)

        assert scene.ensure().digest == lost.digest
        assert (rule.hits, scene.pauses) == (times, waited)


class TestTheImageIsHere:
    @pytest.mark.parametrize(
        "behaviour",
        [
            pytest.param(hostile.silent, id="silent"),
            pytest.param(hostile.hung_up, id="hung-up"),
            pytest.param(status(429), id="429"),
            pytest.param(status(503), id="503"),
        ],
    )
    def test_it_is_taken_where_the_registry_cannot_be_asked(
        self, scene: Scene, behaviour: Behaviour, lines: list[str]
    ) -> None:
        published = scene.publish()
        scene.front.on(HEAD, behaviour)

        image = scene.ensure(lines.append)

        assert (image.revision, image.digest) == (scene.sha, published.digest)
        assert image.reference == f"{scene.settings.image}@{published.digest}"
        (line,) = lines
        assert line.endswith("Taking the image that is here.")

    @cases(
        refused=(HEAD, status(403), RegistryError, REFUSED),
        no_login=(HEAD, status(401), RegistryError, REFUSED),
        unknown=(HEAD, status(404), RegistryError, "has no"),
        elsewhere=(HEAD, hostile.naming(NOWHERE), RegistryError, "not found"),
    )
    def test_what_the_registry_says_counts_for_more(self, scene: Scene, case: Case) -> None:
        scene.publish()
        request, behaviour, error, says = case
        scene.front.on(request, behaviour)

        with scene.failing(error, says):
            scene.ensure()

    def test_another_commits_image_is_not_taken(self, scene: Scene) -> None:
        scene.make(revision=scene.sha[::-1])
        scene.front.on(HEAD, hostile.hung_up)

        with scene.failing(NoAnswerError, BROKE_OFF):
            scene.ensure()
