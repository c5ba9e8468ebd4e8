from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import CommandError, EngineError, UsageError
from pipeline.image.build import build, build_argv
from pipeline.settings import Settings

NAME = "registry.example/team/app"
SHA = "1234567890" * 4


class TestArgv:
    def test_all_that_the_labels_need(self, settings, commit):
        argv = build_argv(settings, replace(commit, version="1.4.2"), Path("/context"))

        assert argv == [
            "docker",
            "buildx",
            "build",
            "--load",
            "--progress=plain",
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


@pytest.fixture(autouse=True)
def checkout(root, git, commit, monkeypatch):
    monkeypatch.setattr(Settings, "root", root)
    monkeypatch.setattr("pipeline.image.build.export", lambda sha, folder, root: folder)


class TestBuild:
    def test_builds_and_tags(self, docker, settings, commit, lines):
        built = build(settings, replace(commit, version="1.4.2"), report=lines.append)

        assert built.tags == (SHA, "latest", "1.4.2", "1.4", "1")
        assert (built.sha, built.digest, built.size) == (SHA, "", 7)
        assert built.platforms == ("linux/amd64",)
        assert {docker.images[f"{NAME}:{tag}"] for tag in built.tags} == {f"{SHA} built"}
        assert f"Building {NAME}:{SHA}" in lines
        assert lines[-1] == "#1 done"

    def test_what_is_here_is_kept(self, docker, settings, commit, lines):
        docker.images[f"{NAME}:{SHA}"] = f"{SHA} earlier"

        built = build(settings, commit, report=lines.append)

        assert (docker.ran, docker.asked, built.digest) == ([], [], "")
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
        assert [argv[1] for argv in docker.ran] == ["pull"]

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

    def test_a_build_past_its_deadline(self, docker, settings, commit, monkeypatch):
        def too_slow(argv, **how):
            if "buildx" in argv:
                raise CommandError("it did not finish within 1800 s")
            return docker.run(argv, **how)

        monkeypatch.setattr("pipeline.shell.run", too_slow)

        with pytest.raises(EngineError, match="did not finish within"):
            build(settings, commit, report=lambda line: None)


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
