import sys
from dataclasses import replace

import pytest

from pipeline import shell
from pipeline.errors import EngineError, RegistryError, UsageError
from pipeline.image import registry
from pipeline.image.http import BusyError, NoAnswerError
from pipeline.image.manifests import merge
from pipeline.image.ref import part_tag
from pipeline.settings import Secret, Settings
from tests.fake_docker import digest_of, manifest_of

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
REF = f"{NAME}:{SHA}"


class TestLogin:
    def test_the_password_goes_to_standard_input(self, docker, settings, lines):
        registry.login(settings, lines.append)

        assert docker.ran == [("ci", "registry.example")]
        assert docker.secrets == ["hunter2"]
        assert lines == ["Logged in to registry.example as ci."]

    @pytest.mark.parametrize("missing", [{"registry_user": ""}, {"registry_password": Secret("")}])
    def test_nothing_to_log_in_with(self, missing, docker, settings, lines):
        with pytest.raises(UsageError) as refused:
            registry.login(replace(settings, **missing), lines.append)

        assert "PIPELINE_REGISTRY_PASSWORD" in refused.value.hint
        assert (docker.ran, lines) == ([], [])

    def test_refused(self, docker, settings, lines):
        docker.refuse["docker login"] = "login failed with status: 401 Unauthorized"

        with pytest.raises(RegistryError, match="refused a login as ci") as refused:
            registry.login(settings, lines.append)

        assert "registry.example" in refused.value.message
        assert lines == []


class TestProve:
    def test_both_rights(self, docker, settings):
        registry.prove(settings)

        assert docker.asked == ["a pull", "a push"]

    def test_a_right_that_is_missing(self, docker, settings):
        docker.trouble = [RegistryError("refused")]

        with pytest.raises(RegistryError, match="refused"):
            registry.prove(settings)


class TestPush:
    @pytest.fixture(autouse=True)
    def built(self, docker):
        docker.images[REF] = f"{SHA} built"

    def test_the_content_goes_once_and_gets_every_name(self, docker, settings, commit, lines):
        pushed = registry.push(settings, replace(commit, version="1.0.0-rc1"), lines.append)

        names = (f"{NAME}:latest", f"{NAME}:1.0.0-rc1")
        assert docker.ran == [("push", REF), *(("put", name) for name in names)]
        assert {docker.remote[name] for name in (REF, *names)} == {f"{SHA} built"}
        assert pushed.digest == digest_of(f"{SHA} built")
        assert pushed.tags == (SHA, "latest", "1.0.0-rc1")
        assert pushed.platforms == ("linux/amd64",)

    def test_the_engine_gets_the_login(self, docker, settings, commit):
        registry.push(settings, commit, lambda line: None)

        assert docker.secrets == ["hunter2"]

    def test_a_second_push_does_no_work(self, docker, settings, commit, lines):
        first = registry.push(settings, commit, lambda line: None)
        docker.ran.clear()

        second = registry.push(settings, commit, lines.append)

        assert docker.ran == []
        assert second.digest == first.digest
        assert all("already" in line for line in lines)

    def test_what_was_rebuilt_with_the_same_content_is_there_already(
        self, docker, settings, commit, lines
    ):
        docker.remote[REF] = f"{SHA} built and attested at another time"

        pushed = registry.push(settings, commit, lines.append)

        assert docker.ran == [("put", f"{NAME}:latest")]
        assert pushed.digest == digest_of(docker.remote[REF])
        assert docker.remote[f"{NAME}:latest"] == docker.remote[REF]

    def test_latest_moves(self, docker, settings, commit, lines):
        docker.remote[f"{NAME}:latest"] = "older content"

        registry.push(settings, commit, lines.append)

        assert docker.remote[f"{NAME}:latest"] == f"{SHA} built"

    @pytest.mark.parametrize("there", [f"{SHA} earlier", "other built"])
    def test_a_commits_tag_never_moves(self, there, docker, settings, commit, lines):
        docker.remote[REF] = there

        with pytest.raises(RegistryError, match="never moves"):
            registry.push(settings, commit, lines.append)

        assert (docker.ran, lines) == ([], [])
        assert docker.remote == {REF: there}

    @pytest.mark.parametrize("images", [{}, {REF: "other content"}])
    def test_nothing_to_push(self, images, docker, settings, commit):
        docker.images = images

        with pytest.raises(EngineError, match="no image of commit") as refused:
            registry.push(settings, commit, lambda line: None)

        assert f"invoke build --sha {SHA}" in refused.value.hint

    def test_a_refused_push(self, docker, settings, commit, lines):
        docker.refuse["push"] = "denied: permission_denied: write_package"

        with pytest.raises(RegistryError, match="refused") as refused:
            registry.push(settings, commit, lines.append)

        assert "write_package" in refused.value.details
        assert docker.remote == {}

    def test_a_green_push_that_did_not_arrive_is_found(self, docker, settings, commit):
        docker.lost.add(SHA)

        with pytest.raises(RegistryError, match=f"{SHA} names nothing after the push of sha256:"):
            registry.push(settings, commit, lambda line: None)

        assert docker.ran == [("push", REF)]  # no other name was touched


class TestParts:
    ARM = "linux/arm64"

    def part(self, docker, content, platform):
        """Have a part in the registry: an index with one image."""
        image = manifest_of(content)
        index = merge([image.described(platform)])
        docker.remote[f"{NAME}:of {platform}"] = content
        docker.blobs[index.digest] = index
        docker.remote[f"{NAME}:{part_tag(SHA, platform)}"] = index.digest
        return index

    def both(self, docker):
        self.part(docker, f"{SHA} arm", self.ARM)
        self.part(docker, f"{SHA} intel", "linux/amd64")
        return (self.ARM, "linux/amd64")

    def test_a_part_has_a_name_of_its_own(self, docker, settings, commit, lines):
        name = part_tag(SHA, self.ARM)
        docker.images[f"{NAME}:{name}"] = f"{SHA} arm"

        pushed = registry.push(settings, commit, lines.append, part=self.ARM)

        assert docker.ran == [("push", f"{NAME}:{name}")]
        assert pushed.tags == (name,)

    def test_parts_become_one_image_with_every_name(self, docker, settings, commit, lines):
        merged = registry.merge(settings, commit, self.both(docker), lines.append)

        assert merged.platforms == ("linux/amd64", "linux/arm64")
        assert docker.ran == [("put", REF), ("put", f"{NAME}:latest")]
        assert docker.remote[REF] == docker.remote[f"{NAME}:latest"] == merged.digest

    def test_a_second_merge_does_no_work(self, docker, settings, commit, lines):
        platforms = self.both(docker)
        first = registry.merge(settings, commit, platforms, lambda line: None)
        docker.ran.clear()

        assert registry.merge(settings, commit, platforms, lines.append).digest == first.digest
        assert docker.ran == []

    def test_a_part_that_is_missing_is_named(self, docker, settings, commit, lines):
        self.part(docker, f"{SHA} intel", "linux/amd64")

        with pytest.raises(RegistryError, match="for linux/arm64") as missing:
            registry.merge(settings, commit, ("linux/amd64", self.ARM), lines.append)

        assert "--platforms linux/arm64 --push --part" in missing.value.hint
        assert docker.ran == []

    def test_a_part_of_another_commit_is_refused(self, docker, settings, commit, lines):
        self.part(docker, "fedcba arm", self.ARM)

        with pytest.raises(RegistryError, match="its label names fedcba"):
            registry.merge(settings, commit, (self.ARM,), lines.append)

        assert docker.ran == []

    def test_a_commits_tag_never_moves(self, docker, settings, commit, lines):
        platforms = self.both(docker)
        docker.remote[REF] = f"{SHA} earlier"

        with pytest.raises(RegistryError, match="never moves"):
            registry.merge(settings, commit, platforms, lines.append)

        assert docker.remote[REF] == f"{SHA} earlier"


class TestEnsureLocal:
    def test_what_is_here_is_only_asked_for(self, docker, settings, lines):
        docker.images[REF] = docker.remote[REF] = f"{SHA} x"

        image = registry.ensure_local(settings, SHA, lines.append)

        assert image.reference == f"{NAME}@{image.digest}"
        assert (docker.asked, docker.ran, lines) == ([SHA], [], [])

    @pytest.mark.parametrize("here", [None, f"{SHA} never pushed", "mislabelled content"])
    def test_else_it_is_pulled_by_digest_and_tagged(self, here, docker, settings, lines):
        docker.remote[REF] = f"{SHA} published"
        if here:
            docker.images[REF] = here

        image = registry.ensure_local(settings, SHA, lines.append)

        assert docker.ran == [("pull", image.reference)]
        assert docker.images[REF] == f"{SHA} published"
        assert lines == [f"Pulling {image.reference}"]

    @pytest.mark.parametrize("trouble", [NoAnswerError("silence."), BusyError("busy.")])
    def test_where_nobody_answers_what_is_here_is_taken(self, trouble, docker, settings, lines):
        docker.images[REF] = f"{SHA} built here"
        docker.trouble = [trouble]

        image = registry.ensure_local(settings, SHA, lines.append)

        assert image.digest == digest_of(f"{SHA} built here")
        assert lines == [f"{trouble.message} Taking the image that is here."]

    @pytest.mark.parametrize("here", [None, "mislabelled content"])
    def test_where_nobody_answers_nothing_else_is_taken(self, here, docker, settings, lines):
        if here:
            docker.images[REF] = here
        docker.trouble = [NoAnswerError("silence.")]

        with pytest.raises(NoAnswerError):
            registry.ensure_local(settings, SHA, lines.append)

    def test_a_refusal_counts_whatever_is_here(self, docker, settings, lines):
        docker.images[REF] = f"{SHA} built here"
        docker.trouble = [RegistryError("refused")]

        with pytest.raises(RegistryError, match="refused"):
            registry.ensure_local(settings, SHA, lines.append)

    def test_an_earlier_release_is_taken_by_its_digest(self, docker, settings, lines):
        docker.remote[REF] = f"{SHA} published"
        reference = registry.ensure_local(settings, SHA, lines.append).reference
        docker.remote = {f"{NAME}:moved": f"{SHA} published"}
        docker.images[f"{NAME}:moved"] = docker.images[REF]
        docker.images[REF] = f"{SHA} rebuilt here"
        docker.asked.clear()

        image = registry.ensure_local(settings, SHA, lines.append, reference=reference)

        assert (image.reference, docker.asked) == (reference, [])
        assert docker.images[REF] == f"{SHA} rebuilt here"

    def test_an_unknown_commit(self, docker, settings, lines):
        with pytest.raises(RegistryError) as unknown:
            registry.ensure_local(settings, SHA, lines.append)

        assert REF in unknown.value.message
        assert f"invoke push --sha {SHA}" in unknown.value.hint

    def test_an_image_of_another_commit_is_refused(self, docker, settings, lines):
        docker.remote[REF] = "fedcba other"

        with pytest.raises(RegistryError, match="its label names fedcba") as refused:
            registry.ensure_local(settings, SHA, lines.append)

        assert "Remove the tag" in refused.value.hint
        assert REF not in docker.images

    def test_a_refused_pull(self, docker, settings, lines):
        docker.remote[REF] = f"{SHA} x"
        docker.refuse["pull"] = "no space left on device"

        with pytest.raises(RegistryError, match="no space left on device"):
            registry.ensure_local(settings, SHA, lines.append)

    def test_a_pull_that_left_nothing(self, docker, settings, lines):
        docker.remote[REF] = f"{SHA} x"
        docker.lost.add(f"{NAME}@{digest_of(docker.remote[REF])}")

        with pytest.raises(RegistryError, match="after its pull"):
            registry.ensure_local(settings, SHA, lines.append)

    def test_a_malformed_reference(self, docker, settings, lines):
        with pytest.raises(UsageError):
            registry.ensure_local(settings, SHA, lines.append, reference="--help")


def test_neither_sdk_nor_http_client_is_loaded_with_the_module():
    seen = (
        "import sys, pipeline.image.registry; "
        "sys.exit(bool({'docker', 'requests'} & set(sys.modules)))"
    )

    shell.run([sys.executable, "-c", seen], timeout=30, cwd=Settings.root)
