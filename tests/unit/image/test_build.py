from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import CommandError, EngineError, UsageError
from pipeline.image import registry
from pipeline.image.build import build, build_argv, build_files, part_of
from pipeline.settings import Settings
from tests.fake_docker import digest_of

NAME = "registry.example/team/app"
SHA = "1234567890" * 4


class TestArgv:
    def test_all_that_the_labels_need(self, settings, commit):
        argv = build_argv(settings, replace(commit, version="1.4.2"), Path("/context"))

        assert argv == [
            "docker",
            "buildx",
            "build",
            "--progress=plain",
            "--attest=type=provenance,mode=max",
            "--attest=type=sbom",
            f"--build-arg=REVISION={SHA}",
            "--build-arg=CREATED=2026-01-02T03:04:05+01:00",
            "--build-arg=VERSION=1.4.2",
            "--build-arg=SOURCE=https://git.example/team/app",
            f"--build-arg=MIGRATIONS={'m' * 40}",
            "--build-arg=SOURCE_DATE_EPOCH=1767319445",
            f"--tag={NAME}:{SHA}",
            "/context",
        ]

    def test_platforms_cache_and_secrets(self, settings, commit):
        argv = build_argv(
            replace(settings, platforms="linux/amd64,linux/arm64"),
            commit,
            Path("/context"),
            no_cache=True,
            secrets={"ca": Path("/ca.crt")},
        )

        assert "--platform=linux/amd64,linux/arm64" in argv
        assert "--no-cache" in argv
        assert "--secret=id=ca,src=/ca.crt" in argv

    def test_a_cache_in_a_registry(self, settings, commit):
        cached = replace(settings, build_cache="registry.example/team/app:cache")

        argv = build_argv(cached, commit, Path("/context"))

        where = "type=registry,ref=registry.example/team/app:cache"
        assert f"--cache-from={where}" in argv
        assert f"--cache-to={where},mode=max" in argv


@pytest.fixture(autouse=True)
def checkout(root, git, commit, monkeypatch):
    monkeypatch.setattr(Settings, "root", root)
    monkeypatch.setattr("pipeline.image.build.export", lambda sha, folder, root: folder)


class TestBuild:
    def test_builds_and_tags(self, docker, settings, commit, lines):
        built = build(settings, replace(commit, version="1.4.2"), report=lines.append)

        assert built.tags == (SHA, "latest", "1.4.2", "1.4", "1")
        assert (built.sha, built.size) == (SHA, 7)
        assert built.digest == digest_of(f"{SHA} built")
        assert built.platforms == ("linux/amd64",)
        assert {docker.images[f"{NAME}:{tag}"] for tag in built.tags} == {f"{SHA} built"}
        assert f"Building {NAME}:{SHA}" in lines
        assert lines[-1] == "#1 done"

    def test_what_is_here_is_kept(self, docker, settings, commit, lines):
        docker.images[f"{NAME}:{SHA}"] = f"{SHA} earlier"

        built = build(settings, commit, report=lines.append)

        assert (docker.ran, docker.asked) == ([], [])
        assert built.digest == digest_of(f"{SHA} earlier")
        assert docker.images[f"{NAME}:latest"] == f"{SHA} earlier"
        assert lines == [f"{NAME}:{SHA} is here already; nothing to build."]

    def test_what_is_here_under_a_wrong_name_is_not_kept(self, docker, settings, commit, lines):
        docker.images[f"{NAME}:{SHA}"] = "other content"

        build(settings, commit, report=lines.append)

        assert docker.images[f"{NAME}:{SHA}"] == f"{SHA} built"

    def test_what_the_registry_has_is_pulled(self, docker, settings, commit, lines):
        docker.remote[f"{NAME}:{SHA}"] = f"{SHA} published"

        built = build(settings, commit, report=lines.append)

        assert built.digest.startswith("sha256:")
        assert docker.images[f"{NAME}:{SHA}"] == f"{SHA} published"
        assert [argv[0] for argv in docker.ran] == ["pull"]

    def test_no_cache_builds_whatever_is_there(self, docker, settings, commit, lines):
        docker.images[f"{NAME}:{SHA}"] = docker.remote[f"{NAME}:{SHA}"] = f"{SHA} earlier"

        build(settings, commit, no_cache=True, report=lines.append)

        (argv,) = docker.ran
        assert "--no-cache" in argv
        assert docker.asked == []
        assert docker.images[f"{NAME}:{SHA}"] == f"{SHA} built"

    def test_an_image_of_another_commit_is_refused(self, docker, settings, commit, lines):
        docker.on_build = lambda context: "other content"

        with pytest.raises(EngineError, match="labelled with commit") as refused:
            build(settings, commit, report=lines.append)

        assert "REVISION" in refused.value.hint

    def test_a_failed_build(self, docker, settings, commit, lines):
        docker.refuse["docker buildx"] = "ERROR: failed to solve"

        with pytest.raises(EngineError) as failed:
            build(settings, commit, report=lines.append)

        assert failed.value.message == (
            f"The image of commit {SHA[:12]} could not be built: the builder ended with 1."
        )
        assert failed.value.details == "ERROR: failed to solve"

    def test_an_engine_whose_store_keeps_no_attestations(self, docker, settings, commit, lines):
        docker.refuse["docker buildx"] = "ERROR: Attestation is not supported"
        docker.attests = False

        with pytest.raises(EngineError, match="neither attestations nor") as failed:
            build(settings, commit, report=lines.append)

        assert "invoke host --yes" in failed.value.hint

    def test_the_builder_gets_the_login_in_a_file(self, docker, settings, commit, lines):
        build(settings, commit, report=lines.append)

        (variables,) = docker.variables
        assert not Path(variables["DOCKER_CONFIG"]).exists()  # any more
        assert "hunter2" not in str(docker.ran) + str(lines)

    def test_platforms_are_the_builders_to_know(self, docker, settings, commit, lines):
        docker.images[f"{NAME}:{SHA}"] = f"{SHA} of one platform"
        both = replace(settings, platforms="linux/amd64,linux/arm64")

        built = build(both, commit, report=lines.append)

        assert docker.images[f"{NAME}:{SHA}"] == f"{SHA} built"
        assert built.platforms == ("linux/amd64", "linux/arm64")

    def test_a_part_gets_no_other_name(self, docker, settings, commit, lines):
        one = replace(settings, platforms="linux/arm64")

        built = build(one, commit, part=part_of(one), report=lines.append)

        assert built.tags == (f"{SHA}-linux-arm64",)
        assert set(docker.images) == {f"{NAME}:{SHA}-linux-arm64"}

    @pytest.mark.parametrize("platforms", ["", "linux/amd64,linux/arm64"])
    def test_a_part_is_of_one_platform(self, platforms, settings):
        with pytest.raises(UsageError, match="one platform") as refused:
            part_of(replace(settings, platforms=platforms))

        assert "--platforms" in refused.value.hint

    def test_a_build_past_its_deadline(self, docker, settings, commit, monkeypatch):
        def too_slow(argv, **how):
            if "buildx" in argv:
                raise CommandError("it did not finish within 1800 s")
            return docker.run(argv, **how)

        monkeypatch.setattr("pipeline.shell.run", too_slow)

        with pytest.raises(EngineError, match="did not finish within"):
            build(settings, commit, report=lambda line: None)


class TestFiles:
    def test_they_get_a_name_and_a_label_that_are_no_commits(self, docker, settings, commit, lines):
        docker.on_build = lambda context: f"{SHA}-dirty files"

        built = build_files(
            settings, replace(commit, version="1.4.2"), "ab" * 20, report=lines.append
        )

        assert (built.sha, built.tags) == (f"{SHA}-dirty", ("dirty-abababababab",))
        (argv,) = docker.ran
        assert f"--build-arg=REVISION={SHA}-dirty" in argv
        assert "--build-arg=VERSION=" in argv
        with pytest.raises(EngineError, match="no image of commit"):
            registry.push(settings, commit, lines.append)


class TestSecrets:
    def test_files_that_exist_are_mounted(self, docker, settings, commit, tmp_path):
        for name in ("ca", "pip"):
            (tmp_path / name).write_text("secret")
        settings = replace(settings, ca_bundle=tmp_path / "ca", pip_config=tmp_path / "pip")

        build(settings, commit, report=lambda line: None)

        (argv,) = docker.ran
        assert f"--secret=id=ca,src={tmp_path}/ca" in argv
        assert f"--secret=id=pip,src={tmp_path}/pip" in argv

    @pytest.mark.parametrize("name", ["ca_bundle", "pip_config"])
    def test_a_file_that_somebody_named_must_exist(self, name, docker, settings, commit):
        settings = replace(settings, **{name: Path("/nosuch")})

        with pytest.raises(UsageError, match="nosuch"):
            build(settings, commit, report=lambda line: None)

        assert docker.ran == []
