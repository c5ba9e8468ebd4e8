"""Users and groups of a machine in memory."""

import grp
import os
import pwd
from types import SimpleNamespace

from pipeline.host import accounts

FIRST = 1000  # the number of a person


class People:
    """What pwd and grp know, and what useradd and its kin do to it."""

    def __init__(self, homes, commands):
        self.homes, self.ran = homes, commands.ran
        self.owner = FIRST  # of every folder, whoever runs these tests
        self.users = {"root": self._user("root", 0, homes / "root")}
        self.users["backup"] = self._user("backup", 34, homes / "backup")
        self.users["nobody"] = self._user("nobody", 65534, homes / "nonexistent")
        self.groups = {"root": [], "docker": [], "sudo": []}
        self.answers = {
            "useradd": self._useradd,
            "groupadd": lambda argv: self.groups.update({argv[-1]: []}),
            "gpasswd": lambda argv: self.groups[argv[-1]].append(argv[-2]),
            "runuser": self._runuser,
            "install": lambda argv: self._make(argv[-1]),
        }
        for program, answer in self.answers.items():
            commands.plan(program, answer)

    def add(self, name, *, uid=FIRST, groups=(), home=True, shell="/bin/bash"):
        """Put a user there."""
        self.users[name] = self._user(name, uid, self.homes / name, shell)
        self.groups[name] = [name]
        for group in groups:
            self.groups[group].append(name)
        if home:
            (self.homes / name).mkdir(parents=True)

    def ready(self, name, app="panager", **about):
        """Put a user there that lacks nothing."""
        self.add(name, groups=["docker"], **about)
        for folder in (".ssh", f".local/state/{app}"):
            self._make(self.homes / name / folder)

    @property
    def did(self):
        """Command lines that change something, without the folder of this test."""
        lines = [line for line in self.ran if line.split()[0] in self.answers]
        return [line.replace(f"{self.homes}/", "") for line in lines]

    def _user(self, name, uid, home, shell="/bin/bash"):
        return SimpleNamespace(
            pw_name=name, pw_uid=uid, pw_gid=uid, pw_dir=str(home), pw_shell=shell
        )

    def _useradd(self, argv):
        self.add(argv[-1])

    def _runuser(self, argv):
        if "mkdir" in argv:
            self._make(argv[-1])

    def _make(self, path):
        path = self.homes / path
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)

    def getpwnam(self, name):
        return self.users[name]

    def getpwuid(self, uid):
        return {user.pw_uid: user for user in self.users.values()}[uid]

    def getgrnam(self, name):
        if name not in self.groups:
            raise KeyError(name)
        return SimpleNamespace(gr_name=name, gr_gid=list(self.groups).index(name))

    def getgrall(self):
        return [SimpleNamespace(gr_name=n, gr_gid=i) for i, n in enumerate(self.groups)]

    def getgrouplist(self, name, _):
        return [number for number, who in enumerate(self.groups.values()) if name in who]

    def take_over(self, monkeypatch):
        """Be what pwd and grp say."""
        for module, names in {
            pwd: ("getpwnam", "getpwuid"),
            grp: ("getgrnam", "getgrall"),
            os: ("getgrouplist",),
        }.items():
            for name in names:
                monkeypatch.setattr(module, name, getattr(self, name))
        monkeypatch.setattr(accounts, "_owner", lambda _: self.owner)
