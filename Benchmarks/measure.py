"""Running a command and measuring it, and the table of what is measured. Owns Benchmarks/.out, where kernels and input
files are made, and a directory of its own for what programs write."""

import atexit
import hashlib
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
OUT = FOLDER / ".out"
KERNELS = OUT / "kernels"
GUESTS = ROOT / "Tests/Guests/.out"
PRIVATE = Path(tempfile.mkdtemp(prefix="vitrine-bench-"))  # what measured programs write; two sessions may run at once
atexit.register(shutil.rmtree, PRIVATE, ignore_errors=True)


@dataclass
class Benchmark:
    name: str
    group: str
    words: list
    input: Path | None
    clock: str = "processor"  # or "wall": which time is compared


@dataclass
class Result:
    status: int
    wall: float  # seconds
    processor: float  # seconds, user and system, of the process and its children
    digest: str  # of standard output
    errors: str


MOST = 120  # seconds of processor time after which a command is killed, which makes its result another than native's


def run(words, input=None, keep_errors=False):
    """Runs a command; its standard output is only digested. It does not outlive this program."""
    output, errors = PRIVATE / "stdout", PRIVATE / "stderr"
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, str(input or "/dev/null"), os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(output), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        (os.POSIX_SPAWN_OPEN, 2, str(errors), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
    ]
    begin = time.perf_counter()
    process = os.posix_spawn(words[0], words, {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, file_actions=actions)
    resource.prlimit(process, resource.RLIMIT_CPU, (MOST, MOST))
    try:
        _, status, usage = os.wait4(process, 0)
    except BaseException:
        os.kill(process, signal.SIGKILL)
        raise
    wall = time.perf_counter() - begin
    return Result(
        os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime,
        hashlib.sha256(output.read_bytes()).hexdigest(), errors.read_text(errors="replace") if keep_errors else "")


def compile_launcher():
    launch = OUT / "launch"
    source = FOLDER / "launch.c"
    if not launch.exists() or launch.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["gcc", "-O2", "-static", "-o", launch, source], check=True)
    return launch


@dataclass
class Launch:
    least: float  # seconds from spawn to end
    median: float
    peak: float  # MiB of resident memory
    processor: float  # median seconds, user and system
    output: bytes


def launch(words, runs=1):
    """Runs a command by the launcher, which also measures its memory. None when a run fails."""
    output = PRIVATE / "launched"
    answer = subprocess.run([compile_launcher(), str(runs), output] + words, capture_output=True, text=True)
    if answer.returncode:
        return None
    least, median, peak, processor = (int(word) for word in answer.stdout.split())
    return Launch(least / 1e9, median / 1e9, peak / 1024, processor / 1e9, output.read_bytes())


STORE = ["--store", str(PRIVATE / "store")]  # empty at first: a program's first run of a session fills it
VARIANTS = {  # of Vitrine: the words after `vitrine run`
    "vitrine": STORE,
    "translator": STORE + ["--engine", "translator"],
    "fresh": ["--no-store"],
    "unguarded": STORE + ["--engine", "translator", "--unguarded"],
    "counting": ["--engine", "translator", "--count"],
    "interpreter": ["--engine", "interpreter"],
}


def obstacle(words):
    """Why an engine cannot run even an empty kernel, in its own words; "" when it can."""
    result = run(words + [str(KERNELS), "null", "0"], keep_errors=True)
    native = run([str(KERNELS), "null", "0"])
    if (result.status, result.digest) == (native.status, native.digest):
        return ""
    first = next(iter(result.errors.strip().splitlines()), "")
    return first or f"an empty kernel ended with status {result.status}"


def engines(names):
    """The words before a command for each engine that is there and knows its options; says which are left out and why."""
    prefix = shlex.split(os.environ.get("VITRINE", "")) or [str(ROOT / ".build/release/vitrine"), "run"]
    known = {"native": [], "qemu": ["qemu-x86_64", "-cpu", "max"]}
    known |= {name: prefix + words for name, words in VARIANTS.items()}
    found = {}
    for name in dict.fromkeys(["native"] + names):
        if name not in known:
            sys.exit(f"there is no engine {name}; there are {', '.join(known)}")
        words = known[name]
        program = shutil.which(words[0]) if words else None
        if words and not program:
            print(f"{name} is left out: {words[0]} is missing", file=sys.stderr)
            continue
        words = [os.path.abspath(program)] + words[1:] if words else []
        reason = obstacle(words) if words else ""
        if reason:
            print(f"{name} is left out: `{shlex.join(words)}` says: {reason}", file=sys.stderr)
        else:
            found[name] = words
    return found


def compile_guests():
    """The programs and inputs of Tests/Guests that are missing or older than their source."""
    words = [ROOT / "Tests/Guests/build.py", "lua", "sqlite", "workload", "real-", "worst-"]
    answer = subprocess.run(words, capture_output=True, text=True)
    for line in answer.stdout.splitlines():
        if line.startswith(("failed", "skipped")):
            print(line, file=sys.stderr)


def generated_source(lines):
    """A C file of about that many lines: structs, loops over tables, floating point, switches; each part calls the last."""
    text = "#include <stddef.h>\nstruct s { int a; double b; struct s *next; char c[16]; };\n"
    for i in range(lines // 16):
        before = f"sum + f{i - 1}(NULL, x, n / 2)" if i else "sum"
        text += (
            f"static int table{i}[64] = {{ {i}, {i * 7}, {i * 13} }};\n"
            f"double f{i}(struct s *p, const double *x, size_t n)\n{{\n  double sum = {i};\n"
            f"  for (size_t k = 0; k < n; k++) sum += x[k] * table{i}[k & 63];\n"
            f"  while (p) {{\n    switch (p->a % {i % 7 + 4}) {{\n    case 0: sum += p->b; break;\n"
            f"    case 1: sum *= p->c[{i % 16}]; break;\n    case 3: sum -= table{i}[p->a & 63]; break;\n"
            f"    default: p->a ^= {i};\n    }}\n    p = p->next;\n  }}\n  return {before};\n}}\n")
    return text


def prepare():
    """Compiles the kernels and makes the input files, when they are missing or older than their source."""
    OUT.mkdir(exist_ok=True)
    sources = sorted((FOLDER / "kernels").glob("*.[ch]"))
    if not KERNELS.exists() or any(path.stat().st_mtime > KERNELS.stat().st_mtime for path in sources):
        command = ["gcc", "-O2", "-static", "-o", KERNELS] + [path for path in sources if path.suffix == ".c"] + ["-lm", "-pthread"]
        subprocess.run(command, check=True)
    compile_guests()
    words = ["glass", "case", "window", "pane", "light", "shadow", "mirror", "prism", "quartz", "kiln"]
    for name, lines in {"text": 30000, "text-full": 300000}.items():
        dice = random.Random(1)
        if not (OUT / name).exists():
            text = "".join(f"{i} {' '.join(dice.choices(words, k=6))}\n" for i in range(lines))
            (OUT / name).write_text(text)
    for name, lines in {"lines.c": 320, "lines-full.c": 2000}.items():
        (OUT / name).write_text(generated_source(lines))
    for name, mebibytes in {"noise": 8, "noise-full": 64}.items():
        if not (OUT / name).exists():
            (OUT / name).write_bytes(random.Random(1).randbytes(mebibytes << 20))


def located(word):
    places = {"{kernels}": KERNELS, "{guests}": GUESTS, "{data}": OUT, "{private}": PRIVATE, "{here}": FOLDER}
    if "{cc1}" in word:
        answer = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True)
        places["{cc1}"] = answer.stdout.strip()
    for name, path in places.items():
        word = word.replace(name, str(path))
    return word


def host_flags():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":")[1].split())
    return set()


def load(path, quick):
    """The benchmarks of the table that this machine can run, in their full or their quick sizes."""
    flags = host_flags()
    size_kind = "quick" if quick else "full"
    found = []
    for row in tomllib.loads(path.read_text())["benchmark"]:
        for name, size in row[size_kind].items():
            lacking = set(row.get("cpu", {}).get(name, [])) - flags
            words = [located(word) for word in shlex.split(row["command"])]
            words = [word.replace("{name}", name).replace("{size}", str(size)) for word in words]
            if lacking or not Path(words[0]).exists():
                reason = f"this processor lacks {' '.join(lacking)}" if lacking else f"{words[0]} is missing"
                print(f"{name} is left out: {reason}", file=sys.stderr)
                continue
            input = Path(located(row["input"][size_kind])) if "input" in row else None
            found.append(Benchmark(name, row["group"], words, input, row.get("clock", "processor")))
    return found
