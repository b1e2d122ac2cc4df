#!/usr/bin/env python3
"""Translated code that is kept between runs (`vitrine run --store FOLDER`, Sources/Translator/Store): nobody can tell whether there
is a store but by the time. Real programs (programs.py), the folder (folders.py), damaged files (damage.py), guests that damage them and code that is
another one next time (hostile.py), many processes at once (crowds.py), limits and namespaces (limits.py). Where a check
needs what the machine does not have, that is said. The last line is `N passed, M failed`.

    Tests/Store/run.py                       all
    Tests/Store/run.py damage gcc            checks whose name contains one of the words
    Tests/Store/run.py --damage 500 --seed 7 damage     more damaged files, other ones
"""

import argparse
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crowds
import damage
import folders
import hostile
import limits
import programs
from harness import ROOT, Harness, Skipped, confinement


def has_keyring():
    """keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, create): without this keyring nothing is kept."""
    return ctypes.CDLL(None).syscall(250, 0, -4, 1) > 0


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only checks whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--damage", type=int, default=60, metavar="N", help="so many damaged files of each kind")
    parser.add_argument("--seed", type=int, default=1, help="other damage")
    parser.add_argument("--keep", metavar="FOLDER", help="what checks make stays in this folder")
    parser.add_argument("--verbose", action="store_true", help="print every check, and how long it took")
    return parser.parse_args()


def timed(check):
    start = time.monotonic()
    try:
        return check(), time.monotonic() - start
    except (OSError, AssertionError, subprocess.SubprocessError) as error:
        return f"{type(error).__name__}: {error}", time.monotonic() - start
    except Skipped as reason:
        return reason, time.monotonic() - start


def main():
    confinement.restore_ignored()
    options = parse()
    vitrine = Path(os.environ.get("VITRINE") or ROOT / ".build/release/vitrine").resolve()
    if not vitrine.exists():
        sys.exit(f"{vitrine} is missing; build it with `make build`")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not has_keyring():
        print("skipped all: there is no user keyring, so that nothing is kept\n0 passed, 0 failed")
        return 0
    scratch = Path(options.keep or tempfile.mkdtemp(prefix="vitrine-store-")).resolve()
    harness = Harness(vitrine, scratch)
    checks = [check for module in (programs, folders, hostile, crowds, limits) for check in module.tasks(harness)]
    checks += damage.tasks(harness, options.damage, options.seed)
    checks = [check for check in checks if not options.words or any(word in check[0] for word in options.words)]
    passed = failed = 0
    try:
        with ThreadPoolExecutor(options.jobs) as pool:
            for (name, _), (problem, seconds) in zip(checks, pool.map(lambda check: timed(check[1]), checks)):
                if isinstance(problem, Skipped):
                    print(f"skipped {name}: {problem}", flush=True)
                elif problem:
                    failed += 1
                    print(f"FAILED {name}: {problem}", flush=True)
                else:
                    passed += 1
                    if options.verbose:
                        print(f"passed {name} ({seconds:.1f} s)", flush=True)
    finally:
        if not options.keep:
            shutil.rmtree(scratch, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
