"""Runs one program with limits and says how it ended. Hostile programs run as an unprivileged user, without core dumps,
without writing files, for a bounded time; natively also under a seccomp filter that allows next to nothing."""

import ctypes
import os
import resource
import signal
import struct
import time

NOBODY = 65534


class Result:
    """`code`: exit code, or minus the signal; `errors`: standard error; `peak`: resident set in KiB; `refused`: errno of
    a native execve that failed."""

    def __init__(self, code, output, errors, peak, seconds, timed_out, refused=None):
        self.code, self.output, self.errors, self.peak = code, output, errors, peak
        self.seconds, self.timed_out, self.refused = seconds, timed_out, refused


# System calls that a native test program, and Python on its way to execve, may make.
ALLOWED = [0, 1, 3, 9, 10, 11, 12, 13, 14, 15, 56 + 3, 60, 131, 158, 202, 231, 218, 273, 302, 334, 28]


def seccomp_filter():
    """Classic BPF: EPERM for every call that is not in the list, kill for a foreign architecture."""
    def statement(code, k):
        return struct.pack("<HBBI", code, 0, 0, k)

    def jump_equal(k, yes, no):
        return struct.pack("<HBBI", 0x15, yes, no, k)

    program = statement(0x20, 4) + jump_equal(0xC000003E, 1, 0) + statement(0x06, 0x80000000) + statement(0x20, 0)
    for index, number in enumerate(ALLOWED):
        program += jump_equal(number, len(ALLOWED) - index, 0)
    # ENOSYS rather than EPERM: a call that does not exist looks the same.
    return program + statement(0x06, 0x00050000 | 38) + statement(0x06, 0x7FFF0000)


def install_seccomp():
    library = ctypes.CDLL(None, use_errno=True)
    code = seccomp_filter()
    buffer = ctypes.create_string_buffer(code)
    header = struct.pack("<HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    if library.prctl(38, 1, 0, 0, 0) != 0 or library.prctl(22, 2, header, 0, 0) != 0:
        os._exit(251)


def limit(seconds, stack=None):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    if stack:
        resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (64, 64))


def run(arguments, seconds=10, native=False, folder="/"):
    """Runs `arguments` with an empty standard input."""
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    fail_read, fail_write = os.pipe()
    begin = time.monotonic()
    child = os.fork()
    if child == 0:
        child_main(arguments, seconds, native, folder, out_write, err_write, fail_write)
    for descriptor in (out_write, err_write, fail_write):
        os.close(descriptor)
    streams, timed_out = collect([out_read, err_read, fail_read], child, begin + seconds + 2)
    _, status, usage = os.wait4(child, 0)
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    code = os.waitstatus_to_exitcode(status)
    refused = int(streams[2]) if streams[2] else None
    return Result(code, streams[0], streams[1], usage.ru_maxrss, time.monotonic() - begin, timed_out, refused)


def child_main(arguments, seconds, native, folder, out_write, err_write, fail_write):
    try:
        os.setsid()
        os.chdir(folder)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(out_write, 1)
        os.dup2(err_write, 2)
        limit(seconds)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if native:
            install_seccomp()
        os.execv(arguments[0], arguments)
    except OSError as error:
        os.write(fail_write, str(error.errno).encode())
    finally:
        os._exit(250)


def collect(descriptors, child, deadline):
    """Reads all streams (at most a mebibyte each) until they are closed or time is up."""
    import select

    data = {descriptor: b"" for descriptor in descriptors}
    open_ones = set(descriptors)
    timed_out = False
    while open_ones:
        left = deadline - time.monotonic()
        if left <= 0:
            timed_out = True
            os.kill(child, signal.SIGKILL)
            break
        for descriptor in select.select(list(open_ones), [], [], left)[0]:
            chunk = os.read(descriptor, 65536)
            if not chunk or len(data[descriptor]) > 1 << 20:
                open_ones.discard(descriptor)
            data[descriptor] += chunk
    for descriptor in descriptors:
        os.close(descriptor)
    return [data[descriptor] for descriptor in descriptors], timed_out
