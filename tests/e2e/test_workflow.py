"""deploy.yml itself, run by act: gates, image, production, proof, coverage."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.support import act, codecov
from tests.e2e.support.checkout import REPOSITORY
from tests.e2e.support.site import ENV, SENTINEL

JOBS = ("Quality gates", "Image", "Production", "Coverage")
TOKEN = "sentinel-codecov-token"


@pytest.fixture
def clone(tmp_path, spare_site):
    """A clone of HEAD whose origin is on GitHub, owned by somebody with capitals."""

    def git(*argv):
        subprocess.run(["git", *argv], check=True, timeout=60)

    root = tmp_path / "clone"
    origin = f"https://github.com/{spare_site.app.title()}/Panager.git"
    git("clone", "--quiet", "--no-hardlinks", str(REPOSITORY), str(root))
    git("-C", str(root), "checkout", "--quiet", "-B", "main")
    git("-C", str(root), "remote", "set-url", "origin", origin)
    return root


def test_a_push_to_main_is_live(clone, spare_site, registry):
    runner = {
        name: value
        for name, value in spare_site.invoke.environ.items()
        if name in {"DOCKER_CONFIG", "PIPELINE_APP", "PIPELINE_PORT", "PIPELINE_STATE_DIR"}
    }
    with codecov.running() as server, tempfile.TemporaryDirectory(prefix="act-") as folder:
        ran = act.run(
            clone,
            "deploy.yml",
            folder=Path(folder),
            actor=registry.user,
            secrets={"GITHUB_TOKEN": registry.password, "ENV_FILE": ENV, "CODECOV_TOKEN": TOKEN},
            variables={"PIPELINE_REGISTRY": registry.host, "PIPELINE_CODECOV_URL": server.url},
            environ=runner,
        )
    said = "\n".join(ran.stdout.splitlines()[-100:])
    assert ran.returncode == 0, said
    assert ran.stdout.count("Job succeeded") == len(JOBS), said

    assert spare_site.served() == "a"
    (deployment,) = spare_site.history()
    assert deployment["outcome"] == "live"
    assert deployment["sha"] == spare_site.commits["a"]

    (path, authorization, upload), _storage = server.requests
    assert path.endswith("/upload-coverage")
    assert authorization == f"token {TOKEN}"
    assert upload["commitid"] == spare_site.commits["a"]

    for secret in (SENTINEL, TOKEN, registry.password):
        assert secret not in ran.stdout
