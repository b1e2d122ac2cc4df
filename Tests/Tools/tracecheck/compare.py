#!/usr/bin/env python3
"""Compares `vitrine run --trace` with `strace`, line by line, over busybox-static commands and dynamically linked
programs of Debian; and looks through the traces of large programs, servers and runtimes for calls without a name.

    Tests/Tools/tracecheck/compare.py [VITRINE]

What differs between any two runs is left out or replaced: addresses, process ids, random bytes, times, free memory.
What differs by design (Docs/linux.md) is left out: ignored signals. What a program does by chance (an allocator
that needs one piece more, by where its memory lies) shows in native runs, too: a command that differs is run again, both
ways, and counts as different when none of Vitrine's runs is like any of the native ones.

Prints each command with the number of lines and of differences, and whether it was repeated. The last line is
`N passed, M failed`; commands are counted. Without strace nothing is compared.
"""

import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

BUSYBOX = "/usr/bin/busybox"

COMMANDS = [
    "ls -la /etc", "cat /etc/passwd", "stat /etc/passwd", "df /", "id", "uname -m", "touch a", "cp /etc/passwd b",
    "head -c 10 /etc/passwd", "sha256sum /etc/passwd", "tar cf t.tar /etc/passwd", "gzip -c /etc/passwd",
    "dd if=/etc/passwd of=/dev/null", "rm -f b", "mkdir -p d/e", "rmdir d/e", "ln -s x l", "chmod 600 t.tar",
    "mv t.tar u.tar", "wc /etc/passwd", "sort /etc/passwd", "find d", "wget -T1 http://127.0.0.1:1/", "kill -0 1",
    "stty -a", "sleep 0.01", "sh -c 'exit 3'", "sh -c 'kill -TERM $$'", "cat /nonexistent", "od -c /etc/hostname",
]

SCRIPT = """
import array, ctypes, fcntl, mmap, os, resource, select, signal, socket, tempfile
left, right = socket.socketpair()
left.sendmsg([b"one", b"two"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])
right.recvmsg(100, socket.CMSG_SPACE(8))
right.setblocking(False)
try: right.recvmsg(5, 100)
except BlockingIOError: pass
server = socket.create_server(("127.0.0.1", 0))
server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
client = socket.create_connection(server.getsockname()); peer, _ = server.accept()
client.send(b"x"); peer.recv(3); client.shutdown(2); client.close(); peer.close()
local = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); local.bind("sock"); local.sendto(b"hi", "sock")
local.recvfrom(20); os.unlink("sock")
queue = select.epoll(); queue.register(local, select.EPOLLIN | select.EPOLLOUT); queue.poll(0.01)
queue.unregister(local); queue.close()
poll = select.poll(); poll.register(local, select.POLLIN); poll.poll(5); select.select([local], [], [], 0.01)
signal.signal(signal.SIGALRM, lambda *_: 0); signal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGRTMIN + 3})
os.kill(os.getpid(), signal.SIGUSR1); signal.sigtimedwait({signal.SIGUSR1}, 1)
area = mmap.mmap(-1, 8192); area[0] = 1; area.madvise(mmap.MADV_DONTNEED); area.resize(16384); area.close()
resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
file = os.open("f", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640); os.write(file, b"x" * 100); os.pwrite(file, b"yy", 5)
os.pread(file, 3, 2); os.ftruncate(file, 50); os.fsync(file); fcntl.flock(file, fcntl.LOCK_EX)
fcntl.lockf(file, fcntl.LOCK_UN); os.posix_fallocate(file, 0, 99); os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
os.copy_file_range(file, file, 3, 0, 60); os.sendfile(file, file, 0, 3); os.utime("f", (1, 2))
os.utime("f", ns=(5, 1600000000123456789)); os.chmod("f", 0o600); os.link("f", "g"); os.rename("g", "h")
os.symlink("f", "l2"); os.readlink("l2"); os.unlink("l2"); os.unlink("h"); os.unlink("f"); os.mkdir("dd"); os.rmdir("dd")
one, two = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC); fcntl.fcntl(one, 1031, 65536); os.dup2(one, 50); os.close(50)
os.eventfd(3, os.EFD_NONBLOCK); os.memfd_create("m", os.MFD_CLOEXEC); os.sched_yield(); os.getpriority(0, 0); os.uname()
library = ctypes.CDLL(None); library.inotify_init1(0o4000); library.timerfd_create(1, 0)
library.prctl(15, b"name", 0, 0, 0); library.prctl(23, 5, 0, 0, 0); library.personality(0xffffffff)
word, other = ctypes.c_int(0), ctypes.c_int(0)
for arguments in [(10, 1, 0, 0, 5), (3, 1, 1, ctypes.byref(other), 0), (4, 1, 1, ctypes.byref(other), 0),
                  (5, 1, 1, ctypes.byref(other), 0x04001001), (9, 7, 0, 0, 0xff), (8, 0, 0, 0, 0)]:
    library.syscall(202, ctypes.byref(word), *arguments)
pid = os.fork()
if pid == 0: os._exit(3)
os.waitpid(pid, 0)
pid = os.posix_spawn("/bin/true", ["true"], {}); os.waitpid(pid, 0)
os.getgroups(); os.getresuid(); os.umask(0o22); os.getcwd(); os.access("/", os.R_OK | os.X_OK)
"""

# Dynamically linked, one process, and the same twice.
DYNAMIC = [
    "/bin/ls -la d", "/usr/bin/sort b", "/usr/bin/sha256sum b", "/bin/cp b c", "/usr/bin/find . -name x", "/bin/tar cf v.tar d",
    "/usr/bin/sed -i s/content/other/ b", "/usr/bin/mawk {n++}END{print(n)} b", "/usr/bin/gzip -k b",
    "/usr/bin/id", "/bin/stat b", "/usr/bin/env printenv PATH", "/bin/dash -c 'cd d; echo *; exit 3'", "/usr/bin/git --version",
    "/usr/bin/git config -f b --list", "/usr/bin/make -f /dev/null", "/usr/bin/openssl dgst -sha512 b", "/usr/bin/gcc --version",
    "/usr/bin/perl -e 'print 2.5; exit 4'", "/usr/bin/sqlite3 :memory: 'create table t(a); insert into t values(1)'",
    "/usr/bin/python3 -S -c 'print(1)'", "/usr/bin/python3 -S script", "/usr/sbin/nginx -v", "/usr/bin/htop --version",
    "/usr/bin/tmux -V", "/usr/bin/as --version", "/usr/bin/objdump --version", "/usr/bin/vim -es -u NONE -i NONE -n -c q b",
]

# Threads, code generators, servers: their order varies, but no call may be without a name.
NAMED = [
    "/usr/bin/node -e 'require(\"http\").createServer().listen(0, function () { this.close() }); new (require(\"worker_threads\")"
    ".Worker)(\"1\", { eval: true })'",
    "/usr/bin/java -version", "/usr/bin/gdb --version", "/usr/bin/redis-server --version",
    "/usr/bin/ffmpeg -v error -f lavfi -i testsrc2=size=96x64:duration=1 -c:v libx264 -f null -",
    "/usr/bin/qemu-x86_64 /usr/bin/busybox sh -c 'echo 1 | cat'", "/usr/bin/python3 -c 'import asyncio, ssl, sqlite3, threading; "
    "t = threading.Thread(target=lambda: asyncio.run(asyncio.sleep(0.01))); t.start(); t.join()'", "/bin/ps aux",
    "/usr/bin/openssl speed -seconds 1 -bytes 64 sha256", "/usr/bin/strace --version", "/usr/bin/timeout 2 /usr/bin/redis-server --port 0",
]
UNNAMED = re.compile(r"^(\[pid +\d+\] )?(syscall_0x|.*(?<!CAP_)\?\?\?|ioctl\(-?\d+, (0x|ADDRESS))")

# Small and always the same, with no hash seeds drawn: by its size and by theirs allocators do more or less.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PERL_HASH_SEED": "0"}
# How often a command may be run until a run of Vitrine's is like a native one.
RUNS = 3

LEFT_OUT = (
    "getrandom(", "brk(", "execve(", "prlimit64(0, RLIMIT_STACK", "--- SIGCHLD", "set_tid_address(",
    "set_robust_list(", "arch_prctl(", "sysinfo(", "statfs(", "getrusage(",
    # The loader's own allocator begins where its data ends: how many pages it asks for varies natively, too.
    "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)",
    "mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)",
)


def normalised(path):
    """The lines that two runs must share."""
    lines = []
    random = None  # the descriptor from which random bytes come
    with open(path, errors="replace") as trace:
        for line in trace:
            line = line.rstrip("\n")
            if line.startswith(LEFT_OUT):
                continue
            line = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", line)
            if opened := re.match(r'openat\(AT_FDCWD, "/dev/u?random".* = (\d+)', line):
                random = opened[1]
            if random and line.startswith(f"read({random},"):
                line = f"read({random}, RANDOM"
            if random and line.startswith(f"close({random})"):
                random = None
            line = re.sub(r"\s+= ", " = ", line)
            line = re.sub(r"pid=\d+", "pid=P", line)
            line = re.sub(r"^(getpid|getppid|gettid)\(\) = \d+", r"\1() = P", line)
            line = re.sub(r"\./sed\w{6}", "./sedXXXXXX", line)
            line = re.sub(r"^getpgrp\(\) = \d+", "getpgrp() = P", line)
            line = re.sub(r"^wait4\(\d+(.*) = \d+$", r"wait4(P\1 = P", line)
            line = re.sub(r"htons\(\d+\)", "htons(PORT)", line)
            line = re.sub(r"u64=\d+", "u64=DATA", line)  # its upper half is what has been on the stack
            line = re.sub(r"^(clone3\(.*\)) = \d+", r"\1 = P", line)
            line = re.sub(r"(f_bfree|f_bavail|f_ffree|ss_size)=\d+", r"\1=N", line)
            line = re.sub(r"^kill\(\d{2,}", "kill(P", line)
            line = re.sub(r"^(clone\(.*\)) = \d+", r"\1 = P", line)
            lines.append(line)
    return lines


def traced(prefix, words, trace, template):
    """Runs `words` in a fresh copy of the template directory and returns its normalised trace."""
    # The same name for both: programs print it.
    directory = os.path.join(os.path.dirname(template), "work")
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(template, directory, symlinks=True)
    # Whoever does not even begin must not be taken for the run before.
    open(trace, "w").close()
    nothing = subprocess.DEVNULL
    subprocess.run(
        prefix + words, cwd=directory, env={**ENVIRONMENT, "HOME": directory}, stdin=nothing, stdout=nothing,
        stderr=nothing, timeout=100, check=False)
    return normalised(trace)


def difference(expected, seen):
    """The lines that only one of two traces has. Two traces without a line are no agreement."""
    if not expected or not seen:
        return ["strace wrote nothing" if not expected else "Vitrine wrote nothing"]
    return [line for line in difflib.ndiff(expected, seen) if line[0] in "-+"]


class Checker:
    """Runs the commands, and counts."""

    def __init__(self, vitrine, scratch):
        self.vitrine = vitrine
        self.trace = os.path.join(scratch, "trace")
        self.template = os.path.join(scratch, "template")
        self.passed = self.failed = self.total = self.different = self.unnamed = 0
        os.makedirs(os.path.join(self.template, "d/e"))
        for name, text in (("b", "content\n"), ("t.tar", "content\n"), ("script", SCRIPT)):
            path = os.path.join(self.template, name)
            with open(path, "w") as file:
                file.write(text)
            # Read in the future: so copying it for a run does not change when it was read, which gzip hands on.
            os.utime(path, (time.time() + 86400, 1600000000))

    def natively(self, words):
        return traced(["strace", "-o", self.trace], words, self.trace, self.template)

    def inside(self, words):
        return traced([self.vitrine, "run", "--trace=" + self.trace], words, self.trace, self.template)

    def count(self, is_right):
        self.passed, self.failed = self.passed + is_right, self.failed + (not is_right)

    def compare(self, command, words):
        """Up to RUNS runs of both; they agree as soon as one of Vitrine's is like one of the native ones."""
        native, guest, first = [], [], []
        for number in range(1, RUNS + 1):
            native.append(self.natively(words))
            guest.append(self.inside(words))
            delta = min((difference(expected, seen) for expected in native for seen in guest), key=len)
            if not delta:
                break
            first = first or delta
        self.total += len(native[0])
        self.different += len(delta)
        self.count(not delta)
        repeated = f"; run {number} times, {len(first)} in the first run" if number > 1 else ""
        print(f"{command}: {len(native[0])} lines, {len(delta)} differences{repeated}")
        if number > 1 and any(run != native[0] for run in native):
            print("    the native runs differ among themselves")
        for line in (delta or first)[:10]:
            print("   ", line[:160])

    def look_for_names(self, command, words):
        seen = self.inside(words)
        bad = [line for line in seen if UNNAMED.match(line)]
        self.unnamed += len(bad)
        self.count(bool(seen) and not bad)
        print(f"{command[:60]}: {len(seen)} lines, {len(bad)} without a name")
        for line in bad[:10]:
            print("   ", line[:160])


def main():
    if not shutil.which("strace") or not os.path.exists(BUSYBOX):
        print("skipped all: strace or busybox-static is missing")
        print("0 passed, 0 failed")
        return 0
    here = os.path.dirname(os.path.abspath(__file__))
    vitrine = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(here, "../../../vitrine")
    with tempfile.TemporaryDirectory() as scratch:
        checker = Checker(vitrine, scratch)
        commands = [(command, [BUSYBOX] + shlex.split(command), checker.compare) for command in COMMANDS]
        commands += [(command, shlex.split(command), checker.compare) for command in DYNAMIC]
        commands += [(command, shlex.split(command), checker.look_for_names) for command in NAMED]
        for command, words, check in commands:
            if os.path.exists(words[0]):
                check(command, words)
            else:
                print(f"skipped {command}: {words[0]} is missing")
    print(f"tracecheck: {checker.total} lines, {checker.different} differences, {checker.unnamed} calls without a name")
    print(f"{checker.passed} passed, {checker.failed} failed")
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
