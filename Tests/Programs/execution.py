"""Runs one command of a case in a directory of its own and tells everything that can be seen of it from outside:
standard output, standard error, exit status and the files it leaves. Owns the directories under the scratch root, which
exist only while a command runs. Knows nothing of Vitrine: the native run and the run inside the engine differ only in
the words before the program's path."""

import hashlib
import os
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import confinement
import samples
import terminal


@dataclass
class Outcome:
    """What a command did. `status` is the exit code, or 128 + n for death by signal n, as a shell says it."""

    status: int
    output: bytes = b""
    errors: bytes = b""
    files: dict = field(default_factory=dict)
    screens: list = field(default_factory=list)
    seconds: float = 0.0
    signalled: bool = False
    timed_out: bool = False


def snapshot(directory):
    """Every file below `directory`: relative path → type, permissions, size and contents or target."""
    entries = {}
    for folder, names, leaves in os.walk(directory):
        for name in names + leaves:
            path = Path(folder, name)
            state = path.lstat()
            kind = stat.S_IFMT(state.st_mode)
            facts = [oct(state.st_mode)]
            if kind == stat.S_IFREG:
                facts += [state.st_size, hashlib.sha256(path.read_bytes()).hexdigest()[:16]]
                facts += [f"links {state.st_nlink}"]
            elif kind == stat.S_IFLNK:
                facts += [os.readlink(path)]
            entries[str(path.relative_to(directory))] = " ".join(map(str, facts))
    return entries


def environment(case, programs):
    """The same small environment for both runs."""
    variables = {
        "PATH": str(programs.applets),
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "TZ": "UTC0",
        "TERM": "vt100",
        "PS1": "$ ",
    }
    variables.update(case.environment)
    return variables


def make_readable(directory):
    """Gives the owner back the right to look into folders that a guest has closed, so that they can be removed."""
    for folder, names, _ in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o700)


def run(case, prefix, programs, directory, limit, expected_screens=None):
    """Runs `case` with the words `prefix` before the program, in a fresh `directory`, for at most `limit` seconds."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    samples.write(directory)
    for name, text in case.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    before = snapshot(directory)
    command = (list(confinement.namespaces()) if case.confined else []) + prefix + case.words
    begin = time.monotonic()
    if case.keys:
        outcome = run_in_terminal(case, command, programs, directory, limit, expected_screens)
    else:
        outcome = run_with_pipes(case, command, programs, directory, limit)
    outcome.seconds = time.monotonic() - begin
    after = snapshot(directory)
    outcome.files = {path: facts for path, facts in after.items() if before.get(path) != facts}
    outcome.files.update({path: "removed" for path in before if path not in after})
    make_readable(directory)
    shutil.rmtree(directory, ignore_errors=True)
    return outcome


def run_with_pipes(case, command, programs, directory, limit):
    process = subprocess.Popen(
        command, cwd=directory, env=environment(case, programs), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    timed_out = False
    try:
        output, errors = process.communicate(case.input, timeout=limit)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, 9)
        output, errors = process.communicate()
    return outcome_of(process.returncode, output, errors, timed_out)


def run_in_terminal(case, command, programs, directory, limit, expected_screens):
    session = terminal.Session(command, directory, environment(case, programs))
    screens = session.play(case.keys, expected_screens, min(limit, 15))
    status, timed_out = session.finish(limit)
    outcome = outcome_of(status, b"", b"", timed_out)
    outcome.screens = screens
    return outcome


def outcome_of(returncode, output, errors, timed_out):
    signalled = returncode < 0
    status = 128 - returncode if signalled else returncode
    return Outcome(status, output, errors, signalled=signalled, timed_out=timed_out)
