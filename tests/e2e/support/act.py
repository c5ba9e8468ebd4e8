"""GitHub's part, played by act as `invoke ci` has it, with this session's own act."""

import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.parity.act import GitHub, Run, play


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
) -> Run:
    """Run a workflow of `checkout`; return how its jobs ended, and what act said.

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
    github = GitHub(event=event, actor=actor, secrets=secrets, variables=variables, environ=environ)
    program = Path(sys.executable).with_name("act")
    return play(checkout, workflow, program=program, folder=folder, github=github, report=print)
