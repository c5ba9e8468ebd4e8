"""GitHub's part, played by act: a workflow of a checkout, run on this machine."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TIMEOUT = 900.0  # seconds; a whole workflow, gates included
SETUP_PYTHON = """\
name: Python of this machine
description: In place of actions/setup-python, which would fetch one.
runs:
  using: composite
  steps:
    - run: python3.11 --version
      shell: bash
"""


def run(
    checkout: Path,
    workflow: str,
    *,
    folder: Path,
    actor: str,
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
    environ: Mapping[str, str],
    event: str = "push",
) -> subprocess.CompletedProcess[str]:
    """Run a workflow of `checkout` in host mode; return what act said, both streams in one.

    Args:
        checkout: A clone whose branch and origin are what GitHub would see.
        workflow: Its file name.
        folder: An empty folder, for act's workspaces and the secrets (0600).
        actor: `github.actor`.
        secrets: The repository's and the environment's secrets.
        variables: The repository's variables.
        environ: What the runner's own environment has.
        event: What happened.
    """
    stub = folder / "setup-python"
    stub.mkdir()
    (stub / "action.yml").write_text(SETUP_PYTHON, encoding="utf-8")
    hidden = folder / "secrets.yml"
    hidden.touch(mode=0o600)
    hidden.write_text(json.dumps(dict(secrets)), encoding="utf-8")  # JSON is YAML
    argv = [
        *(str(Path(sys.executable).with_name("act")), event),
        *("--workflows", f".github/workflows/{workflow}", "--actor", actor),
        *("--platform", "ubuntu-latest=-self-hosted", "--platform", "self-hosted=-self-hosted"),
        *("--local-repository", f"{_setup_python(checkout)}={stub}"),
        *("--action-cache-path", str(folder / "cache"), "--no-cache-server"),
        *("--secret-file", str(hidden), "--env", "NO_COLOR=1"),
    ]
    argv += [word for name, value in variables.items() for word in ("--var", f"{name}={value}")]
    argv += [word for name, value in environ.items() for word in ("--env", f"{name}={value}")]
    return subprocess.run(
        argv,
        cwd=checkout,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def _setup_python(checkout: Path) -> str:
    """Return the pinned name of setup-python."""
    action = (checkout / ".github/actions/setup/action.yml").read_text(encoding="utf-8")
    return re.findall(r"uses: (actions/setup-python@\S+)", action)[0]


def _environment() -> dict[str, str]:
    """Return our environment as a runner has it: nothing of this test's virtual environment."""
    ours = str(Path(sys.executable).parent)
    path = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder != ours]
    private = re.compile(
        r"(PIPELINE|GITHUB|PYTEST|NOX)_\w+|VIRTUAL_ENV|UV_P\w+|ENV_FILE|CODECOV_TOKEN"
    )
    kept = {name: value for name, value in os.environ.items() if not private.fullmatch(name)}
    return kept | {"PATH": os.pathsep.join(path)}
