"""A machine in memory for the runner: its user, the scripts of its archive, GitHub's answers."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline import shell
from pipeline.errors import CommandError, UsageError
from pipeline.host import accounts, runner
from pipeline.host.accounts import Account
from pipeline.settings import Secret, Settings

URL = "https://github.com/owner/repository"
USER = "ci-runner"
TOKEN = "valid-token"
VERSION = "2.330.0"
REFUSED = "Http response code: NotFound from 'POST https://api.github.com/actions/...'"
ENTRIES = (
    "config.sh",
    "run.sh",
    "bin/Runner.Listener",
    "bin/runsvc.sh",
    "bin/installdependencies.sh",
    "externals/node",
)


def no(question):
    raise AssertionError(f"nobody may be asked here: {question}")


@dataclass(kw_only=True)
class World:
    """What the runner's commands find and leave, as files; what was run, as lines.

    Attributes:
        root: Of all files.
        there: The user is there.
        member: It is in the group docker; None where there is no such group.
        holds: Version of what is downloaded.
        lacks_packages: The new programs do not run before their packages are installed.
        failing: Starts of command lines that fail, and what they say.
        public: What is raised where it is asked whether the repository is public.
        ran: Command lines, without the change of the user.
        environments: What each was given beside ours.
    """

    root: Path
    there: bool = True
    member: bool | None = True
    holds: str = VERSION
    lacks_packages: bool = False
    failing: dict[str, str] = field(default_factory=dict)
    public: UsageError | None = None
    asked: list[str] = field(default_factory=list)
    downloaded: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    environments: dict[str, dict[str, str]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    owned: list[Path] = field(default_factory=list)
    settings: Settings = field(
        default_factory=lambda: Settings(
            app="app",
            runner_url=URL,
            runner_version=VERSION,
            runner_sha256="a" * 64,
            runner_labels=("production",),
            runner_user=USER,
            runner_token=Secret(TOKEN),
        )
    )

    @property
    def folder(self) -> Path:
        return self.root / "actions-runner"

    def wants(self, **settings):
        self.settings = replace(self.settings, **settings)

    def install(self, *, allow_public=False, yes=True):
        return runner.install(self.settings, allow_public=allow_public, **self._consent(yes))

    def remove(self, *, local=False, yes=True):
        return runner.remove(self.settings, local=local, **self._consent(yes))

    def status(self):
        return runner.status(self.settings)

    def _consent(self, yes):
        return {"yes": yes, "interactive": False, "confirm": no, "report": self.said.append}

    def changes(self):
        """Return what was run, without looks."""
        return [line for line in self.ran if "status" not in line and "--version" not in line]

    def forget(self):
        """Forget what was run and said."""
        for each in (self.ran, self.said, self.asked, self.downloaded):
            each.clear()

    def account(self, name):
        assert name in {USER, "root"}
        uid = 0 if name == "root" else 1234
        found = Account(name=name, uid=uid, gid=uid, home=self.root, shell="/bin/bash")
        return found if self.there or uid == 0 else None

    def download(self, url, part, *, sha256, ca_bundle):
        self.downloaded.append(url)
        if self.failing.get("download"):
            raise UsageError(self.failing["download"])
        part.write_text(self.holds)

    def unpack(self, archive, into):
        for name in ENTRIES:
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_text(archive.read_text())

    def refuse_public(self, url, *, api, ca_bundle):
        self.asked.append(url)
        if self.public:
            raise self.public
        return ""

    def run(self, argv, *, cwd=None, timeout, env=None, check=True, secrets=(), **_):
        assert timeout > 0
        argv = list(argv)
        as_user = argv[0] == "setpriv"
        if as_user:
            assert argv[1:4] == ["--reuid=1234", "--regid=1234", "--init-groups"]
            argv = argv[argv.index("--") + 1 :]
        program = Path(argv[0]).name
        line = " ".join([program, *argv[1:]])
        self.ran.append(line)
        self.environments[line] = dict(env or {})
        assert TOKEN not in line
        code, said = 0, ""
        for start, words in self.failing.items():
            if line.startswith(start):
                code, said = 1, words
        if not code:
            assert as_user == (program == "config.sh")
            done = getattr(self, f"_{program.lower().replace('.', '_')}")(argv[1:], cwd)
            code, said = done if isinstance(done, tuple) else (0, done or "")
        if check and code:
            raise CommandError(f"`{line}` failed with exit code {code}.", code=code, details=said)
        return shell.Result(argv=tuple(argv), code=code, stdout=said, tail=said, seconds=0.0)

    def _useradd(self, argv, cwd):
        self.there = True

    def _gpasswd(self, argv, cwd):
        self.member = True

    def _installdependencies_sh(self, argv, cwd):
        self.lacks_packages = False

    def _config_sh(self, argv, cwd):
        (cwd / ".env").touch()
        if argv[0] == "--version":
            if self.lacks_packages:
                return 1, "Libicu's dependencies is missing for Dotnet Core 6.0"
            return f"{(cwd / 'bin/Runner.Listener').read_text()}\n"
        if argv[0] == "remove":
            assert not (cwd / ".service").exists()
            (cwd / ".runner").unlink()
            return ""
        assert not (cwd / ".runner").exists()
        given = dict(zip(argv[1::2], argv[2::2], strict=False))
        about = {"agentName": given["--name"], "gitHubUrl": given["--url"]}
        (cwd / ".runner").write_text(json.dumps(about), encoding="utf-8-sig")
        (cwd / ".credentials").write_text(given.get("--labels", ""))
        (cwd / "svc.sh").write_text("")
        return ""

    def _svc_sh(self, argv, cwd):
        service, active = cwd / ".service", cwd / ".active"
        if argv[0] == "status":
            return "   Active: active (running)" if active.exists() else "inactive"
        if argv[0] == "install":
            assert argv[1] == USER
            assert not service.exists()
            service.write_text("actions.runner.app.service\n")
        elif argv[0] == "start" and service.exists():
            active.touch()
        elif argv[0] in {"stop", "uninstall"}:
            active.unlink(missing_ok=True)
            if argv[0] == "uninstall":
                service.unlink()
        return ""

    def patch(self, monkeypatch):
        """Let the wing see this machine."""
        from pipeline.host.runner import archive, github, seen, user, wanted

        monkeypatch.setattr(accounts, "find", self.account)
        monkeypatch.setattr(accounts, "group_exists", lambda name: name == accounts.DOCKER)
        monkeypatch.setattr(wanted, "home_of", lambda name: self.root)
        monkeypatch.setattr(seen, "in_docker", lambda account: self.member)
        monkeypatch.setattr(seen, "PROC", self.root / "proc")
        monkeypatch.setattr(user, "own", lambda account, path: self.owned.append(path))
        monkeypatch.setattr(archive, "download", self.download)
        monkeypatch.setattr(archive, "unpack", self.unpack)
        monkeypatch.setattr(github, "refuse_public", self.refuse_public)
        monkeypatch.setattr(shell, "run", self.run)
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        monkeypatch.setattr("socket.gethostname", lambda: "web1")
