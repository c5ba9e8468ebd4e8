"""What the engine has besides what runs, asked of an API in memory."""

import json
from types import SimpleNamespace

import pytest
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import HTTPError

from pipeline.engine.leftovers import Container, Image, Leftovers
from pipeline.errors import EngineError

NAME = "ghcr.io/o/r"


def listed(number, *tags, digests=(), size=10, shared=-1, revision="a" * 40):
    return {
        "Id": f"sha256:{number}",
        "RepoTags": list(tags) or None,
        "RepoDigests": list(digests) or None,
        "Size": size,
        "SharedSize": shared,
        "Labels": {"org.opencontainers.image.revision": revision} if revision else None,
    }


class Api:
    """The SDK's client; what it answers by path, and what was asked and removed."""

    base_url, api_version = "http+docker://localhost", "1.45"

    def __init__(self, answers=None, **plans):
        self.answers, self.plans, self.asked, self.removed = answers or {}, plans, [], []

    def get(self, url, *, params, timeout):
        assert 0 < timeout <= 120
        path = url.removeprefix(f"{self.base_url}/v{self.api_version}/")
        self.asked.append((path, params))
        answer = self.answers[path]
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: answer)

    def containers(self, **asked):
        assert asked == {"all": True}
        return self.plans["containers"]

    def remove_image(self, name):
        self.removed.append(name)
        if error := self.plans.get("errors", {}).get(name):
            raise error

    def remove_container(self, number, **how):
        assert how == {"v": True}  # what was its alone goes with it
        self.remove_image(number)

    def post(self, url, *, params, timeout):
        assert url.endswith("/v1.45/build/prune")
        self.asked.append(("build/prune", params))
        done = {"SpaceReclaimed": self.plans["freed"].pop(0)}
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: done)


def leftovers(*answers, **plans):
    found = Leftovers()
    api = Api(*answers, **plans)
    found._connected = SimpleNamespace(api=api)
    return found, api


def test_images_are_those_of_the_repositories():
    found, api = leftovers(
        {"images/json": [listed(1, f"{NAME}:a", f"{NAME}:latest", digests=[f"{NAME}@sha256:d"])]}
    )
    assert found.images({NAME}) == [
        Image(
            id="sha256:1",
            names=(f"{NAME}:a", f"{NAME}:latest", f"{NAME}@sha256:d"),
            digests=frozenset({"sha256:1", "sha256:d"}),
            size=10,
        )
    ]
    ((path, asked),) = api.asked
    assert path == "images/json"
    assert json.loads(asked["filters"]) == {"reference": [NAME]}
    assert asked["shared-size"] == "1"


def test_names_of_others_are_not_ours_to_remove():
    there = listed(1, f"{NAME}:a", f"{NAME}/x:a", "o/r:b", digests=["o/r@sha256:d"])
    found, _ = leftovers({"images/json": [there]})
    (image,) = found.images({NAME})
    assert image.names == (f"{NAME}:a",)
    assert image.digests == {"sha256:1"}


def test_a_repository_of_docker_hub_is_asked_for_as_the_engine_calls_it():
    found, api = leftovers({"images/json": [listed(1, "o/r:a")]})
    (image,) = found.images({"docker.io/o/r"})
    assert image.names == ("o/r:a",)
    assert json.loads(api.asked[0][1]["filters"]) == {"reference": ["o/r"]}


def test_a_name_is_no_pattern():
    found, api = leftovers({"images/json": []})
    found.images({"[::1]:5000/r"})
    assert json.loads(api.asked[0][1]["filters"]) == {"reference": [r"\[::1\]:5000/r"]}


def test_what_others_share_does_not_count():
    found, _ = leftovers({"images/json": [listed(1, f"{NAME}:a", size=100, shared=60)]})
    assert [each.size for each in found.images({NAME})] == [40]


def test_nameless_images_are_ours_by_their_label_and_have_no_name_at_all():
    there = [
        listed(1),
        listed(2, digests=["else/where@sha256:d"]),
        listed(3, revision="unknown"),  # somebody's, built by hand
        listed(4, revision=None),
    ]
    found, api = leftovers({"images/json": there})
    assert [each.id for each in found.nameless()] == ["sha256:1"]
    asked = json.loads(api.asked[0][1]["filters"])
    assert asked == {"dangling": ["true"], "label": ["pipeline.migrations"]}
    assert [str(each) for each in found.nameless()] == ["sha256:1"]


def test_when_an_image_got_a_name():
    image = Image(id="sha256:1", names=(), digests=frozenset(), size=0)
    found, _ = leftovers({"images/sha256:1/json": {"Metadata": {"LastTagTime": "2026-01-02T"}}})
    assert found.named_at(image) == "2026-01-02T"
    found, _ = leftovers({"images/sha256:1/json": {"Metadata": None}})
    assert found.named_at(image) == ""


def test_containers_are_everybody_s():
    labels = {
        "com.docker.compose.project": "app",
        "com.docker.compose.oneoff": "False",
        "pipeline.release": "a-1",
    }
    there = {"Id": "1", "State": "exited", "ImageID": "sha256:1", "Image": f"{NAME}@sha256:d"}
    found, _ = leftovers(
        containers=[
            {**there, "Names": ["/app-blue-1"], "Labels": labels},
            {**there, "Names": None, "Labels": None},
            {**there, "Names": ["/x"], "Labels": {"com.docker.compose.oneoff": "True"}},
        ]
    )
    blue, strange, once = found.containers()
    made_from = frozenset({"sha256:1", f"{NAME}@sha256:d"})
    assert blue == Container(
        id="1", name="app-blue-1", state="exited", image=made_from, project="app", release="a-1"
    )
    assert strange == Container(id="1", name="1", state="exited", image=made_from)
    assert once.once


@pytest.mark.parametrize(
    ("state", "once", "ended"),
    [
        ("running", False, False),
        ("restarting", False, False),
        ("paused", False, False),
        ("exited", False, True),
        ("dead", True, True),
        ("created", False, True),
        ("created", True, False),  # `docker compose run` is about to start it
    ],
)
def test_what_has_ended(state, once, ended):
    container = Container(id="1", name="x", state=state, image=frozenset(), once=once)
    assert container.ended == ended


def test_an_image_goes_with_all_its_names():
    gone = {f"{NAME}@sha256:d": NotFound("no such image")}
    found, api = leftovers(errors=gone)
    names = (f"{NAME}:a", f"{NAME}:b", f"{NAME}@sha256:d")
    found.remove_image(Image(id="sha256:1", names=names, digests=frozenset(), size=0))
    found.remove_image(Image(id="sha256:2", names=(), digests=frozenset(), size=0))
    assert api.removed == [*names, "sha256:2"]


def test_a_container_that_is_gone_already_is_no_trouble():
    found, api = leftovers(errors={"1": NotFound("no such container")})
    found.remove_container(Container(id="1", name="x", state="exited", image=frozenset()))
    assert api.removed == ["1"]


def test_an_image_in_use_is_a_refusal():
    found, _ = leftovers(errors={"n:a": APIError("409", explanation="conflict: in use")})
    image = Image(id="sha256:1", names=("n:a",), digests=frozenset(), size=0)
    with pytest.raises(EngineError, match="the engine refused: conflict: in use"):
        found.remove_image(image)


@pytest.mark.parametrize("trouble", [DockerException("away"), HTTPError("500"), ValueError("no")])
def test_an_engine_that_does_not_answer_is_an_error_of_ours(trouble):
    found, _ = leftovers(errors={"1": trouble})
    with pytest.raises(EngineError, match="does not answer as it should") as caught:
        found.remove_container(Container(id="1", name="x", state="exited", image=frozenset()))
    assert "`docker info`" in caught.value.hint


def of_size(*sizes, in_use=()):
    """Return what the engine says of a build cache of these sizes."""
    records = [{"Size": size, "Shared": True, "InUse": False} for size in sizes]
    records += [{"Size": size, "Shared": False, "InUse": True} for size in in_use]
    return {"BuildCache": records or None}


def test_of_the_build_cache_counts_what_no_build_uses():
    found, api = leftovers({"system/df": of_size(1, 1000, in_use=[10])})
    assert found.cache_size() == 1001
    assert api.asked == [("system/df", {"type": "build-cache"})]
    found, _ = leftovers({"system/df": of_size()})
    assert found.cache_size() == 0


def ages(api):
    """Return for how long what was removed had not been used."""
    asked = [params for path, params in api.asked if path == "build/prune"]
    assert all(params["all"] == "1" for params in asked)
    return [json.loads(params.get("filters", '{"until": [""]}'))["until"][0] for params in asked]


def test_what_nobody_used_for_a_month_goes_whatever_the_budget():
    found, api = leftovers({"system/df": of_size(100)}, freed=[7])
    assert found.shrink_cache(100) == 7
    assert ages(api) == ["720h"]


def test_while_it_is_over_its_budget_younger_ones_go():
    found, api = leftovers({"system/df": of_size(100)}, freed=[None, 1, 2, 3, 4])
    sizes = iter([130, 120, 100])
    found.cache_size = lambda: next(sizes)
    assert found.shrink_cache(100) == 3
    assert ages(api) == ["720h", "168h", "24h"]


def test_a_budget_of_nothing_leaves_nothing():
    found, api = leftovers({"system/df": of_size(100)}, freed=[None] * 5)
    found.shrink_cache(0)
    assert ages(api) == ["720h", "168h", "24h", "1h", ""]
