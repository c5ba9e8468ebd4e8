"""deploy.yml itself, run by act: gates, image, production, proof."""

import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.e2e.support import act
from tests.e2e.support.checkout import REPOSITORY
from tests.e2e.support.site import ENV, SENTINEL

JOBS = ("test", "image", "deploy")


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
    with tempfile.TemporaryDirectory(prefix="act-") as folder:
        ran = act.run(
            clone,
            "deploy.yml",
            folder=Path(folder),
            actor=registry.user,
            secrets={"GITHUB_TOKEN": registry.password, "ENV_FILE": ENV},
            variables={"PIPELINE_REGISTRY": registry.host},
            environ=runner,
        )
    said = "\n".join(ran.text.splitlines()[-100:])
    assert {job.name: job.result for job in ran.jobs} == dict.fromkeys(JOBS, "success"), said

    assert spare_site.served() == "a"
    (deployment,) = spare_site.history()
    assert deployment["outcome"] == "live"
    assert deployment["sha"] == spare_site.commits["a"]

    for secret in (SENTINEL, registry.password):
        assert secret not in ran.text
