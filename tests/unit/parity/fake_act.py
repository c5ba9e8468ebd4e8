"""A program in act's place: it notes how it was called, and prints what it is told to."""

import json
from dataclasses import dataclass
from pathlib import Path

SCRIPT = """\
#!/bin/sh
cd "{folder}"
case "$*" in
*--list*) kind=list ;;
*) kind=run ;;
esac
printf '%s\\n' "$@" >"$kind.argv"
env >"$kind.env"
echo "$OLDPWD" >"$kind.cwd"
previous=
for each; do
    case $previous in
    --secret-file) cp -p "$each" secrets ;;
    --eventpath) cp -p "$each" event ;;
    --directory) rm -rf clone && cp -rp "$each" clone ;;
    esac
    previous=$each
done
[ ! -e "$kind.does" ] || . "./$kind.does"
cat "$kind.out"
exit "$(cat "$kind.code")"
"""


@dataclass
class FakeAct:
    """The program, and what it was given."""

    folder: Path
    jobs: tuple[str, ...] = ("changes", "lint")

    def __post_init__(self):
        self.folder.mkdir()
        self.program = self.folder / "act"
        self.program.write_text(SCRIPT.format(folder=self.folder))
        self.program.chmod(0o755)
        self.prints(
            *(
                f'{{"jobID":"{job}","level":"info","msg":"","jobResult":"success"}}'
                for job in self.jobs
            )
        )
        header = "Stage  Job ID  Job name  Workflow name\n"
        rows = "".join(f"{n}      {job}  A  name  ci\n" for n, job in enumerate(self.jobs))
        self.put("list", header + rows)

    def prints(self, *lines, code=0):
        self.put("run", "".join(f"{line}\n" for line in lines), code)

    def put(self, kind, text, code=0):
        (self.folder / f"{kind}.out").write_text(text)
        (self.folder / f"{kind}.code").write_text(str(code))

    def does(self, script, kind="run"):
        (self.folder / f"{kind}.does").write_text(script)

    def argv(self, kind="run"):
        return self.read(f"{kind}.argv").splitlines()

    def given(self, option, kind="run"):
        """Return each value that an option was given."""
        argv = self.argv(kind)
        return [argv[at + 1] for at, word in enumerate(argv) if word == option]

    def environ(self, kind="run"):
        return dict(line.partition("=")[::2] for line in self.read(f"{kind}.env").splitlines())

    def event(self):
        return json.loads(self.read("event"))

    def read(self, name):
        return (self.folder / name).read_text()

    def ran(self):
        return (self.folder / "run.argv").exists()
