import sys
from dataclasses import replace

import pytest
from docker.errors import APIError, DockerException
from requests.exceptions import ReadTimeout

from pipeline import shell
from pipeline.errors import CommandError, EngineError, RegistryError, UsageError
from pipeline.image import local, registry
from pipeline.image.ref import ImageRef
from pipeline.settings import Secret, Settings

NAME = "registry.example/team/app"
SHA = "1234567890" * 4
REF = f"{NAME}:{SHA}"


def engine_says(text):
    return APIError("500 Server Error", explanation=text)


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


class TestRemoteDigest:
    def test_known_and_unknown(self, docker):
        docker.remote[REF] = f"{SHA} x"

        assert registry.remote_digest(ImageRef.parse(REF)).startswith("sha256:")
        assert registry.remote_digest(ImageRef(name=NAME, tag="nosuch")) is None

    @pytest.mark.parametrize(
        "said",
        [
            "toomanyrequests: rate limit",
            "received unexpected HTTP status: 503 Service Unavailable",
            "received unexpected HTTP status: 429 Too Many Requests",
        ],
    )
    def test_a_busy_registry_is_asked_again(self, said, docker):
        docker.remote[REF] = f"{SHA} x"
        docker.trouble = [engine_says(said)] * 2

        assert registry.remote_digest(ImageRef.parse(REF)) is not None
        assert len(docker.asked) == 3

    def test_a_busy_registry_is_named_in_the_end(self, docker):
        docker.trouble = [engine_says("toomanyrequests: x")] * 3

        with pytest.raises(RegistryError, match="busy or out of order"):
            registry.remote_digest(ImageRef.parse(REF))

        assert len(docker.asked) == 3

    @pytest.mark.parametrize(
        ("trouble", "message", "hint"),
        [
            (engine_says("no basic auth credentials"), "refused", "invoke login"),
            (engine_says("denied: requested access"), "refused", "invoke login"),
            (engine_says("unauthorized: authentication required"), "refused", "invoke login"),
            (engine_says("connect: connection refused"), "connection refused", "Is it running"),
            (engine_says("no such host"), "no such host", "setting `registry`"),
            (ReadTimeout("Read timed out."), "Read timed out", "Is it running"),
            (ReadTimeout(), "could not be asked", "Is it running"),
        ],
    )
    def test_other_trouble_is_told_at_once(self, trouble, message, hint, docker):
        docker.trouble = [trouble]

        with pytest.raises(RegistryError, match=message) as told:
            registry.remote_digest(ImageRef.parse(REF))

        assert told.value.exit_code == 1
        assert "registry.example" in told.value.message
        assert hint in told.value.hint
        assert len(docker.asked) == 1

    def test_no_engine(self, monkeypatch):
        import docker

        def nobody(**how):
            assert 0 < how["timeout"] < 60
            raise DockerException("connection refused")

        monkeypatch.setattr(docker, "from_env", nobody)

        with pytest.raises(EngineError, match="No Docker Engine answers") as told:
            registry.remote_digest(ImageRef.parse(REF))

        assert "invoke host" in told.value.hint


class TestPush:
    @pytest.fixture(autouse=True)
    def built(self, docker):
        docker.images[REF] = f"{SHA} built"

    def test_pushes_every_tag(self, docker, settings, commit, lines):
        pushed = registry.push(settings, replace(commit, version="1.0.0-rc1"), lines.append)

        assert [argv[-1] for argv in docker.ran] == [REF, f"{NAME}:latest", f"{NAME}:1.0.0-rc1"]
        assert set(docker.remote.values()) == {f"{SHA} built"}
        assert pushed.digest == registry.remote_digest(ImageRef.parse(REF))
        assert pushed.tags == (SHA, "latest", "1.0.0-rc1")

    def test_a_second_push_does_no_work(self, docker, settings, commit, lines):
        first = registry.push(settings, commit, lambda line: None)
        docker.ran.clear()

        second = registry.push(settings, commit, lines.append)

        assert docker.ran == []
        assert second.digest == first.digest
        assert all("already" in line for line in lines)

    def test_latest_moves(self, docker, settings, commit, lines):
        docker.remote[f"{NAME}:latest"] = "older content"

        registry.push(settings, commit, lines.append)

        assert docker.remote[f"{NAME}:latest"] == f"{SHA} built"

    def test_a_commits_tag_never_moves(self, docker, settings, commit, lines):
        docker.remote[REF] = f"{SHA} earlier"

        with pytest.raises(RegistryError, match="never moves"):
            registry.push(settings, commit, lines.append)

        assert (docker.ran, lines) == ([], [])
        assert docker.remote == {REF: f"{SHA} earlier"}

    @pytest.mark.parametrize("images", [{}, {REF: "other content"}])
    def test_nothing_to_push(self, images, docker, settings, commit):
        docker.images = images

        with pytest.raises(EngineError, match="no image of commit") as refused:
            registry.push(settings, commit, lambda line: None)

        assert f"invoke build --sha {SHA}" in refused.value.hint

    def test_a_refused_push(self, docker, settings, commit, lines):
        docker.refuse["docker push"] = "Preparing\ndenied: permission_denied: write_package"

        with pytest.raises(RegistryError, match="refused") as refused:
            registry.push(settings, commit, lines.append)

        assert "write_package" in refused.value.details

    def test_a_push_past_its_deadline(self, docker, settings, commit, monkeypatch):
        def too_slow(argv, **how):
            if argv[1] == "push":
                raise CommandError("`docker push` did not finish within 600 s and was ended.")
            return docker.run(argv, **how)

        monkeypatch.setattr("pipeline.shell.run", too_slow)

        with pytest.raises(RegistryError, match="did not finish within 600 s"):
            registry.push(settings, commit, lambda line: None)

    def test_a_green_push_that_did_not_arrive_is_found(self, docker, settings, commit, monkeypatch):
        def lost(argv, **how):
            result = docker.run(argv, **how)
            if argv[1:] == ["push", f"{NAME}:latest"]:
                docker.remote[f"{NAME}:latest"] = "somebody else's"
            return result

        monkeypatch.setattr("pipeline.shell.run", lost)

        with pytest.raises(RegistryError, match=f"{NAME}:latest names sha256:"):
            registry.push(settings, commit, lambda line: None)


class TestEnsureLocal:
    def test_what_is_here_needs_no_registry(self, docker, settings, lines):
        docker.images[REF] = docker.remote[REF] = f"{SHA} x"

        image = registry.ensure_local(settings, SHA, lines.append)

        assert image.reference == f"{NAME}@{image.digest}"
        assert (docker.asked, docker.ran, lines) == ([], [], [])

    @pytest.mark.parametrize("here", [None, f"{SHA} never pushed", "mislabelled content"])
    def test_else_it_is_pulled_by_digest_and_tagged(self, here, docker, settings, lines):
        docker.remote[REF] = f"{SHA} published"
        if here:
            docker.images[REF] = here

        image = registry.ensure_local(settings, SHA, lines.append)

        assert docker.ran == [("docker", "pull", "--quiet", image.reference)]
        assert docker.images[REF] == f"{SHA} published"
        assert lines == [f"Pulling {image.reference}"]

    def test_an_earlier_release_is_taken_by_its_digest(self, docker, settings, lines):
        docker.remote[REF] = f"{SHA} published"
        reference = registry.ensure_local(settings, SHA, lines.append).reference
        docker.remote = {f"{NAME}:moved": f"{SHA} published"}
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
        docker.refuse["docker pull"] = "no space left on device"

        with pytest.raises(RegistryError, match="no space left on device"):
            registry.ensure_local(settings, SHA, lines.append)

    def test_a_pull_that_left_nothing(self, docker, settings, lines, monkeypatch):
        docker.remote[REF] = f"{SHA} x"

        def lost(argv, **how):
            result = docker.run(argv, **how)
            if argv[1] == "pull":
                docker.images.clear()
            return result

        monkeypatch.setattr("pipeline.shell.run", lost)

        with pytest.raises(RegistryError, match="after its pull"):
            registry.ensure_local(settings, SHA, lines.append)

    def test_a_malformed_reference(self, docker, settings, lines):
        with pytest.raises(UsageError):
            registry.ensure_local(settings, SHA, lines.append, reference="--help")


class TestLocal:
    def test_no_engine(self, docker):
        docker.down = True

        with pytest.raises(EngineError, match="No Docker Engine answers") as told:
            local.inspect(ImageRef.parse(REF))

        assert told.value.details == "no daemon"

    def test_no_docker_command(self, monkeypatch, tmp_path):
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(EngineError, match="`docker` is not installed") as told:
            local.inspect(ImageRef.parse(REF))

        assert "invoke host" in told.value.hint

    def test_a_tag_that_is_refused(self, docker):
        docker.images[REF] = f"{SHA} x"
        image = local.inspect(ImageRef.parse(REF))
        docker.refuse["docker image tag"] = "no such image"

        with pytest.raises(EngineError, match="could not tag"):
            local.tag(image, "latest")


def test_the_sdk_is_not_loaded_with_the_module():
    seen = "import sys, pipeline.image.registry; sys.exit('docker' in sys.modules)"

    shell.run([sys.executable, "-c", seen], timeout=30, cwd=Settings.root)
