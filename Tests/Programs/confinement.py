"""Gives large programs a place of their own to run in: namespaces in which they are alone with their processes, their
loopback interface and their shared memory, limits on what they may take, and a time after which everything they have
started is killed. Knows nothing of Vitrine: native runs and runs inside the engine are confined alike."""

import functools
import os
import resource
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

# What a run may take. There is no limit of addresses: Vitrine reserves a window of them, and uses little of it.
LIMITS = {
    resource.RLIMIT_CORE: 0,
    resource.RLIMIT_FSIZE: 4 << 30,
    resource.RLIMIT_NOFILE: 4096,
    resource.RLIMIT_CPU: 1800,
}
# Signals that whoever started the harness may have left ignored, and that programs would inherit so.
RESTORED = (
    signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP, signal.SIGPIPE, signal.SIGUSR1)


@dataclass
class Result:
    status: int  # 128 + n for death by signal n
    output: bytes  # standard output and standard error as they came
    seconds: float
    timed_out: bool


@functools.cache
def namespaces(maps_root=True):
    """The words before a command that put it into namespaces; none where the system does not allow them. Who is not root needs
    a namespace of users besides: there it is root, or with `maps_root=False` who it was."""
    if not shutil.which("unshare"):
        return ()
    common = ["unshare", "--fork", "--kill-child", "--pid", "--mount-proc", "--ipc", "--net"]
    for words in (common, common + ["--user", "--map-root-user" if maps_root else "--map-current-user"]):
        if subprocess.run(words + ["true"], capture_output=True).returncode == 0:
            # A new network namespace has a loopback interface that is down, and only its root can change that.
            up = "if command -v ip >/dev/null; then ip link set lo up 2>/dev/null; fi; exec \"$@\""
            return tuple(words + ["/bin/sh", "-c", up, "sh"])
    return ()


def restore_ignored():
    """For a harness that starts programs by other ways than `run`: what it inherited as ignored, they would inherit, natively
    too. SIGPIPE is Python's own to ignore, and subprocess restores it in the child."""
    for number in RESTORED:
        if number != signal.SIGPIPE and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def prepare():
    for number in RESTORED:
        signal.signal(number, signal.SIG_DFL)
    for limit, value in LIMITS.items():
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))


def run(command, directory, environment, seconds):
    """Runs `command` with `directory` as working directory, for at most `seconds`."""
    begin = time.monotonic()
    process = subprocess.Popen(
        list(namespaces()) + [str(word) for word in command], cwd=directory, env=environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        preexec_fn=prepare)
    timed_out = False
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        timed_out = True
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Result(status, output, time.monotonic() - begin, timed_out)
