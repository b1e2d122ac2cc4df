"""What all checks of the store need: folders of their own, runs of Vitrine with a store and natively, and what `--stats` says."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Programs"))
import confinement  # noqa: E402
import tasks  # noqa: E402
from tasks import ROOT, Skipped  # noqa: E402

SOURCES = Path(__file__).resolve().parent / "c"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": ".", "LC_ALL": "C", "TZ": "UTC0"}
# Of a file of the store: magic, identity, number of images, slots; then the slots, places, images (TranslationStore.swift).
FILE_HEADER = 32


@dataclass
class Answer:
    code: int | None  # None: it did not end in time
    output: bytes
    errors: bytes  # without the lines of --stats
    translated: int = 0
    stored: int = 0
    processes: int = 0

    @property
    def outcome(self):
        return self.code, self.output, self.errors


def answer(code, output, errors):
    """Takes the lines of --stats out of standard error."""
    result = Answer(code, output, b"")
    kept = []
    for line in errors.splitlines(True):
        if match := re.match(rb"vitrine: blocks (\d+)$", line):
            result.translated += int(match[1])
            result.processes += 1
        elif match := re.match(rb"vitrine: blocks from the store (\d+)$", line):
            result.stored += int(match[1])
        elif not re.match(rb"vitrine: [a-z ]+ [\w. %]+$", line):
            kept.append(line)
    result.errors = b"".join(kept)
    return result


def difference(wanted, given):
    """What is not as it has to be, as text; None when nothing is."""
    for what, one, other in zip(("exit code", "standard output", "standard error"), wanted, given):
        if one != other:
            shown = [text[-300:].decode("utf-8", "backslashreplace") if isinstance(text, bytes) else text for text in (one, other)]
            return f"{what}: wanted {shown[0]!r}, got {shown[1]!r}"
    return None


class Harness:
    def __init__(self, vitrine, scratch):
        self.vitrine, self.scratch = vitrine, scratch

    def folder(self, name):
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def run(self, words, folder, seconds=120, environment=ENVIRONMENT, before=None):
        def prepare():
            for number in confinement.RESTORED:
                signal.signal(number, signal.SIG_DFL)
            for limit, value in confinement.LIMITS.items():
                _, most = resource.getrlimit(limit)
                value = value if most == resource.RLIM_INFINITY else min(value, most)
                # Programs usually may have more descriptors if they want to.
                resource.setrlimit(limit, (value, most if limit == resource.RLIMIT_NOFILE else value))
            if before:
                before()

        process = subprocess.Popen(
            [str(word) for word in words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=prepare)
        try:
            return answer(*((lambda streams: (process.returncode, *streams))(process.communicate(timeout=seconds))))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            return answer(None, *process.communicate())

    def guest(self, store, words, folder, *options, **more):
        """Vitrine with `store`: a folder, or options."""
        chosen = ["--store", store] if isinstance(store, Path) else list(store)
        return self.run([self.vitrine, "run", "--stats", *chosen, *options, "--", *words], folder, **more)

    def compile(self, source, target, *options):
        """A program of `Tests/Store/c`."""
        if not shutil.which("gcc"):
            raise Skipped("there is no gcc")
        words = ["gcc", "-O1", "-pthread", "-Wno-unused-result", *options, SOURCES / source, "-o", target]
        subprocess.run([str(word) for word in words], check=True, timeout=120)
        return target


def files(store):
    """The files of programs in a folder."""
    return sorted(store.glob("*.vts"))


def only_file(store):
    found = files(store)
    assert len(found) == 1, f"one file was wanted, there are {found}"
    return found[0]


def leftovers(store):
    return sorted(path.name for path in store.iterdir() if path.suffix != ".vts")


def need(program):
    path = shutil.which(program, path=ENVIRONMENT["PATH"])
    if not path:
        raise Skipped(f"there is no {program}")
    return path
