"""A registry that misbehaves is asked and pushed to: the right error in time, never a green run.

The engine is a real one. What it does by itself is its own: it asks a registry that is busy
again a few times at once, before we hear of it. Pulls are in test_hostile_pull.py.
"""

from dataclasses import replace

import pytest

from pipeline.errors import RegistryError
from pipeline.image import credentials, transfer
from pipeline.image import registry as images
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.ref import ImageRef
from tests.contract import hostile
from tests.contract.hostile import Behaviour, status
from tests.contract.scene import (
    BASIC,
    BEGIN,
    BROKE_OFF,
    BROKEN,
    BUSY,
    ELSEWHERE,
    HEAD,
    LATEST,
    MANIFEST,
    NAME,
    NO_ANSWER,
    NO_NEWS,
    NOTHING,
    NOWHERE,
    REFUSED,
    SLACK,
    UPLOAD,
    Case,
    Over,
    Scene,
    cases,
    silent,
)


class TestQuestions:
    @pytest.mark.parametrize(
        ("asked", "behaviour", "error", "says"),
        [
            pytest.param(1, status(403), RegistryError, REFUSED, id="403"),
            pytest.param(1, status(401), RegistryError, REFUSED, id="401-for-whatever-login"),
            pytest.param(2, status(401, **BASIC), RegistryError, REFUSED, id="401-for-ours"),
            pytest.param(1, ELSEWHERE, RegistryError, "could read it", id="401-in-the-clear"),
            pytest.param(1, status(302, location="/v2/x"), RegistryError, "in circles", id="302"),
            pytest.param(3, status(429), BusyError, BROKEN, id="429"),
            pytest.param(3, status(500), BusyError, BROKEN, id="500"),
            pytest.param(1, hostile.silent, NoAnswerError, NO_ANSWER, id="silent"),
            pytest.param(1, hostile.dripping_headers, NoAnswerError, NO_ANSWER, id="dripping"),
            pytest.param(1, hostile.hung_up, NoAnswerError, BROKE_OFF, id="hung-up"),
        ],
    )
    def test_nothing_is_believed(
        self, scene: Scene, asked: int, behaviour: Behaviour, error: type[RegistryError], says: str
    ) -> None:
        scene.front.on("HEAD /v2/x", status(302, location="/v2/x"))
        scene.front.on(HEAD, behaviour)

        with scene.failing(error, says):
            images.remote_digest(scene.settings, scene.sha)

        assert scene.front.count(HEAD) == asked

    def test_what_is_not_there_is_asked_for_once(self, scene: Scene) -> None:
        scene.publish()
        scene.front.on(HEAD, status(404))

        assert images.remote_digest(scene.settings, scene.sha) is None
        assert (scene.front.count(HEAD), scene.pauses) == (1, [])

    @cases(
        limited=(HEAD, status(429, retry_after="7"), 2, [7.0, 7.0]),
        limited_for_an_hour=(HEAD, status(429, retry_after="3600"), 1, [30.0]),
        broken=(HEAD, status(503), 2, BUSY),
        no_login=(HEAD, status(401, **BASIC), 1, []),
        nameless=(HEAD, hostile.nameless, 2, []),
    )
    def test_what_is_over_is_forgotten(self, scene: Scene, case: Over) -> None:
        published = scene.publish()
        request, behaviour, times, waited = case
        rule = scene.front.on(request, behaviour, times=times)

        assert images.remote_digest(scene.settings, scene.sha) == published.digest
        assert (rule.hits, scene.pauses) == (times, waited)

    @cases(
        no_pull=(HEAD, status(403), RegistryError, REFUSED),
        no_push=(BEGIN, status(403), RegistryError, "refused a push to"),
        no_login=(BEGIN, status(401), RegistryError, "refused a push to"),
        no_such_place=(BEGIN, status(404), RegistryError, "no place for a push"),
        broken=(BEGIN, status(503), BusyError, BROKEN),
        silent=(BEGIN, hostile.silent, NoAnswerError, NO_ANSWER),
    )
    def test_a_right_is_not_proven(self, scene: Scene, case: Case) -> None:
        request, behaviour, error, says = case
        scene.front.on(request, behaviour)

        with scene.failing(error, says):
            images.prove(scene.settings)

    def test_rights_are_proven_although_it_is_busy_and_takes_nothing_back(
        self, scene: Scene
    ) -> None:
        scene.front.on(BEGIN, status(503), times=2)
        taken_back = scene.front.on("DELETE .*/uploads/.*", status(405))

        images.prove(scene.settings)

        assert scene.pauses == BUSY
        assert taken_back.hits == 1


class TestPush:
    @cases(
        asked_refused=(HEAD, status(403), RegistryError, REFUSED),
        asked_broken=(HEAD, status(503), BusyError, BROKEN),
        refused=(BEGIN, status(403), RegistryError, REFUSED),
        no_login=(BEGIN, status(401), RegistryError, REFUSED),
        no_such_place=(BEGIN, status(404), RegistryError, "404 Not Found"),
        limited=(BEGIN, status(429, retry_after="7"), BusyError, BROKEN),
        broken=(BEGIN, status(500), BusyError, BROKEN),
        silent=(BEGIN, hostile.silent, NoAnswerError, NO_NEWS),
        blob_broken=(UPLOAD, status(503), BusyError, BROKEN),
        blob_hung_up=(UPLOAD, hostile.hung_up, RegistryError, "EOF"),
        manifest_refused=(NAME, status(403), RegistryError, REFUSED),
        manifest_not_kept=(NAME, hostile.forgotten, RegistryError, NOTHING),
        manifest_silent=(NAME, hostile.silent, NoAnswerError, NO_NEWS),
        seen_shortened=(MANIFEST, hostile.shortened, RegistryError, "other content"),
        seen_corrupted=(MANIFEST, hostile.corrupted, RegistryError, "other content"),
        seen_broken_off=(MANIFEST, hostile.broken_off, NoAnswerError, BROKE_OFF),
        seen_endless=(MANIFEST, hostile.saying(b" " * 2**23), RegistryError, "more than"),
        seen_dripping=(MANIFEST, hostile.dripping, NoAnswerError, NO_ANSWER),
        seen_gone=(MANIFEST, status(404), RegistryError, "no longer has"),
        latest_refused=(LATEST, status(403), RegistryError, REFUSED),
        latest_broken=(LATEST, status(503), BusyError, BROKEN),
        latest_not_kept=(LATEST, hostile.forgotten, RegistryError, NOTHING),
        latest_silent=(LATEST, hostile.silent, NoAnswerError, NO_ANSWER),
    )
    def test_no_name_moves(self, scene: Scene, case: Case) -> None:
        scene.make()
        request, behaviour, error, says = case
        rule = scene.front.on(request, behaviour)

        with scene.failing(error, says):
            scene.push()

        assert rule.hits
        assert scene.there("latest") is None

    def test_the_engine_stops_when_it_is_given_up(self, scene: Scene) -> None:
        scene.make()
        scene.front.on(UPLOAD, hostile.silent)

        with scene.failing(NoAnswerError, NO_NEWS):
            scene.push()

        assert scene.front.left.wait(SLACK)

    def test_the_tag_names_something_else_afterwards(self, scene: Scene) -> None:
        scene.make()
        scene.front.on(HEAD, hostile.naming(NOWHERE), since=NAME)

        with scene.failing(RegistryError, f"names {NOWHERE} after the push of sha256:"):
            scene.push()

        assert scene.front.count(LATEST) == 0

    @cases(
        asked=(HEAD, status(429, retry_after="7"), 2, [7.0, 7.0]),
        login_is_asked_for_again=(BEGIN, status(401, **BASIC), 1, []),
        upload=(BEGIN, status(503), 1, BUSY[:1]),
        blob=(UPLOAD, status(500), 1, BUSY[:1]),
        manifest=(NAME, status(503), 2, BUSY),
        the_engine_tries_itself=(NAME, status(429, retry_after="7"), 2, []),
        login_has_run_out=(MANIFEST, status(401, **BASIC), 1, []),
        latest=(LATEST, status(503), 2, BUSY),
    )
    def test_what_is_over_is_forgotten(self, scene: Scene, case: Over) -> None:
        scene.make()
        request, behaviour, times, waited = case
        rule = scene.front.on(request, behaviour, times=times)

        pushed = scene.push()

        assert {scene.there(tag) for tag in pushed.tags} == {pushed.digest}
        assert (rule.hits, scene.pauses) == (times, waited)

    def test_an_error_within_the_engines_answer_is_one(self, scene: Scene) -> None:
        scene.make()
        scene.front.on(UPLOAD, hostile.hung_up)
        login = credentials.engine_auth(credentials.of(scene.settings), scene.settings.registry)
        ref = ImageRef(name=scene.settings.image, tag=scene.sha)

        # which raises where the engine answers with another status than 200
        said = list(
            scene.engine.api.push(
                ref.name, tag=ref.tag, stream=True, decode=True, auth_config=login
            )
        )
        assert "EOF" in said[-1]["errorDetail"]["message"]

        with pytest.raises(RegistryError, match="EOF"):
            transfer.push(scene.settings, ref, silent)

    def test_words_in_a_repositorys_name_are_no_refusal(self, scene: Scene) -> None:
        name = f"{scene.settings.repository}/denied-toomanyrequests"
        scene.settings = replace(scene.settings, repository=name)
        scene.make()
        scene.front.on(BEGIN, status(404))

        try:
            with scene.failing(RegistryError, "404 Not Found"):
                scene.push()
        finally:
            scene.forget(scene.settings.image)
