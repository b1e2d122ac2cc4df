"""Many processes of one program at once, some of them killed, what they leave behind, and how a folder that is full is emptied."""

import os
import random
import signal
import subprocess
import time

from harness import ENVIRONMENT, Skipped, confinement, difference, files, leftovers, need, only_file

WORDS = ["perl", "-e", "my %h; $h{$_ % 9} .= chr(65 + $_ % 26) for 1 .. 99; print map { \"$_$h{$_}\\n\" } sort keys %h; exit 5"]


def start(harness, store, place):
    return subprocess.Popen(
        [harness.vitrine, "run", "--store", store, *WORDS], cwd=place, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=confinement.prepare)


def at_once(harness):
    """Twenty processes and no file yet: all do what they do, and one good file is there in the end."""
    need("perl")
    place = harness.folder("at-once")
    store = place / "store"
    wanted = harness.run(WORDS, place).outcome
    for number in range(3):
        for process in [start(harness, store, place) for _ in range(20)]:
            output, errors = process.communicate(timeout=120)
            if problem := difference(wanted, (process.returncode, output, errors)):
                return f"round {number}: {problem}"
        only_file(store)
        if leftovers(store):
            return f"round {number}: left are {leftovers(store)}"
    run = harness.guest(store, WORDS, place)
    return difference(wanted, run.outcome) or (None if run.stored > 50 * run.translated else f"no good file: {run}")


def killed(harness):
    """Processes that are killed at any time, also while they write; the others are not disturbed, nor is who comes later."""
    need("perl")
    place = harness.folder("killed")
    store = place / "store"
    wanted = harness.run(WORDS, place).outcome
    chance = random.Random(3)
    alone = []
    for _ in range(3):
        for path in files(store) if store.exists() else []:
            path.unlink()
        begin = time.monotonic()
        start(harness, store, place).communicate()
        alone.append(time.monotonic() - begin)
    left = set()
    for number in range(40):
        for path in files(store):
            path.unlink()
        victims = [start(harness, store, place) for _ in range(3)]
        other = start(harness, store, place)
        # Three quarters of the time, in which it mostly runs, to the end, when it writes.
        time.sleep(min(alone) * (0.6 + chance.random() * 1.6))
        for victim in victims:
            victim.send_signal(signal.SIGKILL)
        for process in [*victims, other]:
            output, errors = process.communicate(timeout=120)
            if process is other and (problem := difference(wanted, (process.returncode, output, errors))):
                return f"round {number}: {problem}"
        left |= set(leftovers(store))
    for _ in range(2):
        run = harness.guest(store, WORDS, place)
        if problem := difference(wanted, run.outcome):
            return f"afterwards, with {sorted(left)} left over: {problem}"
    return None if run.stored > 50 * run.translated else f"no good file, {sorted(left)} left over: {run}"


def left_over(harness):
    """What killed processes left, under the numbers that processes have in each new namespace, does not keep anybody from writing."""
    prefix = confinement.namespaces()
    if not prefix or os.geteuid() != 0:
        raise Skipped("namespaces with this user's keyring are not permitted here")
    place = harness.folder("left-over")
    store = place / "store"
    store.mkdir(mode=0o700)
    for number in range(1, 30):
        (store / f"new-{number}").write_bytes(b"half")
    words = ["busybox", "echo", "hello"]
    for _ in range(2):
        run = harness.run([*prefix, harness.vitrine, "run", "--stats", "--store", store, *words], place)
        if run.outcome != (0, b"hello\n", b""):
            return f"{run}"
    return None if files(store) and run.stored > 300 else f"nothing was written beside {len(leftovers(store))} files that are left over"


def full(harness):
    """When there is more than 512 MiB, the files of the store that were written first go. Files that are not the store's stay."""
    place = harness.folder("full")
    store = place / "store"
    store.mkdir(mode=0o700)
    for number in range(9):
        path = store / f"{number:016x}.vts"
        with open(path, "wb") as file:
            file.truncate(64 << 20)
        os.utime(path, (1000 + number, 1000 + number))
    run = harness.guest(store, ["busybox", "echo"], place)
    names = [path.name for path in files(store)]
    if run.code != 0 or f"{0:016x}.vts" in names or f"{1:016x}.vts" in names or f"{8:016x}.vts" not in names or len(names) != 8:
        return f"{run}, {names}"
    return None


def others_files(harness):
    """A folder that is used for something else, too: only the store's own files are ever removed."""
    place = harness.folder("others-files")
    store = place / "store"
    store.mkdir(mode=0o700)
    for name in ("precious", "new-year.txt", "film.vts.part"):
        with open(store / name, "wb") as file:
            file.truncate(600 << 20)
    run = harness.guest(store, ["busybox", "echo"], place)
    there = sorted(path.name for path in store.iterdir())
    return None if run.code == 0 and len(leftovers(store)) == 3 else f"only {there} are there"


def tasks(harness):
    yield "crowds: at once", lambda: at_once(harness)
    yield "crowds: killed", lambda: killed(harness)
    yield "crowds: left over", lambda: left_over(harness)
    yield "crowds: full", lambda: full(harness)
    yield "crowds: others' files", lambda: others_files(harness)
