"""Reads the cases. A case is a table in one of `cases/*.toml`:

    [[case]]
    name = "awk-sum"                    # unique in its file; the case is called FILE/NAME
    command = "busybox awk '…'"         # split as a shell splits words; the first word names a program
    stdin = "…"                         # optional: what comes from standard input
    input = "workload.sql"              # optional: the same from a file among the compiled guests
    files = { "script.sh" = "…" }       # optional: more files than the samples (samples.py)
    environment = { NAME = "VALUE" }    # optional
    keys = ["iHello", "\\u001b", ":wq\\r"]  # optional: run on a terminal and type these strokes
    cpu = ["avx2"]                      # optional: skipped where /proc/cpuinfo lacks a flag
    level = "v4"                        # optional: skipped where the engine refuses this --cpu
    seconds = 60                        # optional: time limit inside the engine
    scale = "big"                       # optional: "small" runs in every stage, "big" in one, "long" on demand only
    confined = true                     # optional: in namespaces with loopback of their own, for servers; else skipped
    needs = ["/usr/bin/node"]           # optional: skipped where one of these files is missing

`[defaults]` gives keys for all cases of a file. `[[matrix]]` with a list `programs` and a `command` holding `{program}`
stands for one case per program. In commands and files, `{guests}` is the folder of compiled guests, `{sources}` that of
their sources, `{vitrine}` the built product, `{rust}` and `{swift}` the folders of the compilers, `{postgres}` that of the
database's programs; `samples.py` writes the files that every case finds."""

import functools
import glob
import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import confinement

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
GUESTS = ROOT / "Tests/Guests/.out"
SYSTEM = {"busybox": Path("/bin/busybox"), "bash": Path("/bin/bash-static")}


class Programs:
    """Where programs are: the system's static ones, and the guests compiled by Tests/Guests/build.py."""

    def __init__(self):
        self.applets = GUESTS / "bin"

    def path(self, name):
        return SYSTEM.get(name) or GUESTS / name


@dataclass
class Case:
    name: str
    words: list
    input: bytes = b""
    files: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    keys: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    level: str = ""
    seconds: float = 60.0
    scale: str = "small"
    confined: bool = False
    obstacle: str = ""  # why it cannot run here

    @property
    def can_run(self):
        return not self.obstacle


def host_flags():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


@functools.cache
def places():
    """What stands in braces in commands and files → a path; a path that does not exist where something is missing."""
    missing = "/nonexistent"
    rust = shutil.which("rustc")
    if rust:  # what is in PATH may be rustup, which looks for the compiler
        answer = subprocess.run([rust, "--print", "sysroot"], capture_output=True, text=True)
        rust = answer.stdout.strip() + "/bin" if answer.returncode == 0 else missing
    swift = shutil.which("swiftc")
    servers = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    return {
        "{guests}": str(GUESTS), "{sources}": str(GUESTS.parent), "{vitrine}": str(ROOT / ".build/release/vitrine"),
        "{rust}": rust or missing, "{swift}": str(Path(swift).resolve().parent) if swift else missing,
        "{postgres}": servers[-1] if servers else missing}


def located(text):
    """Fills in where things are."""
    for word, path in places().items():
        if word in text:
            text = text.replace(word, path)
    return text


def standard_input(table):
    if "input" in table:
        path = GUESTS / table["input"]
        return path.read_bytes() if path.exists() else b""
    return table.get("stdin", "").encode()


def make(group, table, programs, flags):
    words = shlex.split(table["command"])
    program = programs.path(located(words[0]))
    words = [str(program)] + [located(word) for word in words[1:]]
    case = Case(
        name=f"{group}/{table['name']}", words=words, input=standard_input(table),
        files={name: located(text) for name, text in table.get("files", {}).items()},
        environment={name: located(text) for name, text in table.get("environment", {}).items()},
        keys=table.get("keys", []), cpu=table.get("cpu", []), level=table.get("level", ""),
        seconds=table.get("seconds", 60.0), scale=table.get("scale", "small"), confined=table.get("confined", False))
    absent = [path for path in map(located, table.get("needs", [])) if not Path(path).exists()]
    lacking = [flag for flag in case.cpu if flag not in flags]
    if lacking:
        case.obstacle = "this processor lacks " + " ".join(lacking)
    elif absent:
        case.obstacle = "missing: " + " ".join(absent)
    elif not program.exists():
        case.obstacle = f"{program.name} has not been built"
    elif case.confined and not confinement.namespaces():
        case.obstacle = "no namespaces here: its servers would meet others, and stay behind"
    return case


def load(programs):
    flags = host_flags()
    found = []
    for path in sorted((FOLDER / "cases").glob("*.toml")):
        document = tomllib.loads(path.read_text())
        defaults = document.get("defaults", {})
        tables = list(document.get("case", []))
        for matrix in document.get("matrix", []):
            for program in matrix["programs"]:
                command = matrix["command"].replace("{program}", program)
                name = matrix.get("name", "{program}").replace("{program}", program)
                tables.append({**matrix, "name": name, "command": command})
        for table in tables:
            found.append(make(path.stem, {**defaults, **table}, programs, flags))
    names = [case.name for case in found]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]
    return found
