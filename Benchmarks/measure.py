"""Running a command and measuring it, and the table of what is measured. Owns Benchmarks/.out, where kernels and input
files are made."""

import hashlib
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
OUT = FOLDER / ".out"
KERNELS = OUT / "kernels"
GUESTS = ROOT / "Tests/Guests/.out"


@dataclass
class Benchmark:
    name: str
    group: str
    words: list
    input: Path | None


@dataclass
class Result:
    status: int
    wall: float  # seconds
    processor: float  # seconds, user and system, of the process and its children
    digest: str  # of standard output
    errors: str


def run(words, input=None, keep_errors=False):
    """Runs a command; its standard output is only digested."""
    output, errors = OUT / "stdout", OUT / "stderr"
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(input or "/dev/null"), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
    ]
    begin = time.perf_counter()
    process = os.posix_spawn(words[0], words, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, file_actions=actions)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begin
    return Result(
        os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime,
        hashlib.sha256(output.read_bytes()).hexdigest(), errors.read_text(errors="replace") if keep_errors else "")


def engines(names):
    """The words before a command for each engine that is there."""
    prefix = shlex.split(os.environ.get("VITRINE", "")) or [str(ROOT / ".build/release/vitrine"), "run"]
    known = {"native": [], "vitrine": prefix, "qemu": ["qemu-x86_64", "-cpu", "max"]}
    found = {}
    for name in dict.fromkeys(["native"] + names):
        words = known[name]
        program = shutil.which(words[0]) if words else None
        if words and not program:
            print(f"{name} is left out: {words[0]} is missing", file=sys.stderr)
            continue
        found[name] = [os.path.abspath(program)] + words[1:] if words else []
    return found


def prepare():
    """Compiles the kernels and makes the input files, when they are missing or older than their source."""
    OUT.mkdir(exist_ok=True)
    sources = sorted((FOLDER / "kernels").glob("*.[ch]"))
    if not KERNELS.exists() or any(path.stat().st_mtime > KERNELS.stat().st_mtime for path in sources):
        command = ["gcc", "-O2", "-static", "-o", KERNELS] + [path for path in sources if path.suffix == ".c"] + ["-lm"]
        subprocess.run(command, check=True)
    if not (GUESTS / "lua").exists():
        subprocess.run([ROOT / "Tests/Guests/build.py", "lua", "sqlite", "workload"], check=True)
    dice = random.Random(1)
    text, noise = OUT / "text", OUT / "noise"
    if not text.exists():
        words = ["glass", "case", "window", "pane", "light", "shadow", "mirror", "prism", "quartz", "kiln"]
        text.write_text("".join(f"{i} {' '.join(dice.choices(words, k=6))}\n" for i in range(30000)))
    if not noise.exists():
        noise.write_bytes(dice.randbytes(8 << 20))


def located(word):
    places = {"{kernels}": KERNELS, "{guests}": GUESTS, "{data}": OUT, "{here}": FOLDER}
    for name, path in places.items():
        word = word.replace(name, str(path))
    return word


def host_flags():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def load(path, quick):
    """The benchmarks of the table that this machine can run. Quick sizes are a fifth; `calls` and `matrix`, `insertion`
    grow faster than their size."""
    flags = host_flags()
    found = []
    for row in tomllib.loads(path.read_text())["benchmark"]:
        sizes = row.get("sizes") or {row["name"]: 0}
        for name, size in sizes.items():
            if set(row.get("cpu", {}).get(name, [])) - flags:
                continue
            if quick:
                size = {"calls": size - 3, "matrix": size * 3 // 5, "insertion": size // 2}.get(name, size // 5)
            words = [located(word) for word in shlex.split(row["command"])]
            words = [word.replace("{name}", name).replace("{size}", str(size)) for word in words]
            input = Path(located(row["input"])) if "input" in row else None
            found.append(Benchmark(name, row["group"], words, input))
    return found
