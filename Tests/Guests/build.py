#!/usr/bin/env python3
"""Compiles the guest programs named in guests.toml into .out/, each only when its sources, command or compiler changed.
A guest whose compiler is missing is left out with a line that says so. Also makes .out/bin, the folder of busybox
applets that cases get as their PATH."""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
OUT = FOLDER / ".out"
BUSYBOX = Path("/bin/busybox")


def find(tool):
    """The path of a compiler, also where rustup and the Swift toolchain put theirs."""
    places = [os.environ.get("PATH", ""), str(Path.home() / ".cargo/bin"), "/root/.cargo/bin", "/opt/swift/usr/bin"]
    return shutil.which(tool, path=":".join(places))


def expand(document):
    """One (name, command) per guest: every source of a family with the family's command."""
    for family in document["family"]:
        for source in family["sources"]:
            name = family["name"].replace("{stem}", Path(source).stem)
            command = family["command"].replace("{source}", source).replace("{out}", str(OUT / name))
            yield name, shlex.split(command), [source] + family.get("depends", [])


def version(compiler, known={}):
    if compiler not in known:
        answer = subprocess.run([compiler, "--version"], capture_output=True, text=True)
        known[compiler] = answer.stdout + answer.stderr
    return known[compiler]


def build(name, command, sources):
    """Returns a word for the summary and the compiler's messages."""
    compiler = find(command[0])
    if not compiler:
        return "skipped", f"{name}: {command[0]} is not installed"
    digest = hashlib.sha256("\0".join([version(compiler)] + command).encode())
    for source in sources:
        digest.update((FOLDER / source).read_bytes())
    stamp = OUT / f"{name}.stamp"
    if stamp.exists() and stamp.read_text() == digest.hexdigest() and (OUT / name).exists():
        return "kept", ""
    answer = subprocess.run([compiler] + command[1:], cwd=FOLDER, capture_output=True, text=True)
    if answer.returncode:
        (OUT / name).unlink(missing_ok=True)
        return "failed", f"{name}: {shlex.join(command)}\n{answer.stdout}{answer.stderr}"
    stamp.write_text(digest.hexdigest())
    return "built", ""


def link_applets():
    folder = OUT / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    if not BUSYBOX.exists():
        return
    listing = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True).stdout.split()
    targets = {applet: BUSYBOX for applet in listing + ["busybox"]} | {"bash": Path("/bin/bash-static")}
    for name, target in targets.items():
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(target)


def main():
    link_applets()
    document = tomllib.loads((FOLDER / "guests.toml").read_text())
    tasks = [task for task in expand(document) if len(sys.argv) < 2 or any(word in task[0] for word in sys.argv[1:])]
    counts = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for word, message in pool.map(lambda task: build(*task), tasks):
            counts[word] = counts.get(word, 0) + 1
            if message:
                print(f"{word}: {message}", flush=True)
    print("guests: " + ", ".join(f"{count} {word}" for word, count in sorted(counts.items())))
    sys.exit(1 if counts.get("failed") else 0)


main()
