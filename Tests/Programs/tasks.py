"""Runs tasks, pairs of a name and a function that returns what is wrong (None: nothing), several at once. What failed or was
skipped is printed in the order of the tasks; the last line is `N passed, M failed`."""

import argparse
import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import confinement

ROOT = Path(__file__).resolve().parents[2]


class Skipped(Exception):
    """The task cannot be done on this machine; the text says why."""


def parser(description, damage, damaged, kept):
    """The options that all such commands have. `damaged` are what --damage makes, by default `damage` of them, `kept` is what --keep keeps."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("words", nargs="*", help="only what contains one of these in its name")
    result.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    result.add_argument("--damage", type=int, default=damage, metavar="N", help=f"so many damaged {damaged} of each kind")
    result.add_argument("--seed", type=int, default=1, help="other damage")
    result.add_argument("--keep", metavar="FOLDER", help=f"{kept} stays in this folder")
    result.add_argument("--verbose", action="store_true", help="print every name, and how long it took")
    return result


def prepare():
    """What is common to all tasks of a process: signals as they should be, no core files. Returns the path of Vitrine."""
    confinement.restore_ignored()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    vitrine = Path(os.environ.get("VITRINE") or ROOT / ".build/release/vitrine").resolve()
    if not vitrine.exists():
        sys.exit(f"{vitrine} is missing; build it with `make build`")
    return vitrine


@contextlib.contextmanager
def scratch(options, name):
    """The folder that --keep names, or one that goes away."""
    folder = Path(options.keep or tempfile.mkdtemp(prefix=f"vitrine-{name}-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


def timed(task):
    start = time.monotonic()
    try:
        problem = task()
    except Skipped as reason:
        problem = reason
    except (OSError, AssertionError, subprocess.SubprocessError) as error:
        problem = f"{type(error).__name__}: {error}"
    return problem, time.monotonic() - start


def run(tasks, options):
    """Returns the exit code of the command."""
    tasks = [task for task in tasks if not options.words or any(word in task[0] for word in options.words)]
    passed = failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for (name, _), (problem, seconds) in zip(tasks, pool.map(lambda task: timed(task[1]), tasks)):
            if isinstance(problem, Skipped):
                print(f"skipped {name}: {problem}", flush=True)
            elif problem:
                failed += 1
                print(f"FAILED {name}: {problem}", flush=True)
            else:
                passed += 1
                if options.verbose:
                    print(f"passed {name} ({seconds:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0
