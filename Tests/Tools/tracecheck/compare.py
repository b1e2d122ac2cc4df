#!/usr/bin/env python3
"""Compares `vitrine run --trace` with `strace`, line by line, over busybox-static commands.

    Tests/Tools/tracecheck/compare.py [VITRINE]

What differs between any two runs is left out or replaced: addresses, process ids, random bytes, times, free memory.
What differs by design (Docs/linux.md) is left out: rseq, ignored signals. Prints each command
with the number of lines and of differences; exits with 1 when there is a difference, with 77 when strace is missing.
"""

import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUSYBOX = "/usr/bin/busybox"

COMMANDS = [
    "ls -la /etc", "cat /etc/passwd", "stat /etc/passwd", "df /", "id", "uname -m", "touch a", "cp /etc/passwd b",
    "head -c 10 /etc/passwd", "sha256sum /etc/passwd", "tar cf t.tar /etc/passwd", "gzip -c /etc/passwd",
    "dd if=/etc/passwd of=/dev/null", "rm -f b", "mkdir -p d/e", "rmdir d/e", "ln -s x l", "chmod 600 t.tar",
    "mv t.tar u.tar", "wc /etc/passwd", "sort /etc/passwd", "find d", "wget -T1 http://127.0.0.1:1/", "kill -0 1",
    "stty -a", "sleep 0.01", "sh -c 'exit 3'", "sh -c 'kill -TERM $$'", "cat /nonexistent", "od -c /etc/hostname",
]

LEFT_OUT = (
    "rseq(", "getrandom(", "brk(", "execve(", "prlimit64(0, RLIMIT_STACK", "--- SIGCHLD", "set_tid_address(",
    "set_robust_list(", "arch_prctl(", "sysinfo(", "statfs(",
)


def normalised(path):
    """The lines that two runs must share."""
    lines = []
    with open(path, errors="replace") as trace:
        for line in trace:
            line = line.rstrip("\n")
            if line.startswith(LEFT_OUT):
                continue
            line = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", line)
            line = re.sub(r"\s+= ", " = ", line)
            line = re.sub(r"pid=\d+", "pid=P", line)
            line = re.sub(r"^(getpid|getppid|gettid)\(\) = \d+", r"\1() = P", line)
            line = re.sub(r"^kill\(\d{2,}", "kill(P", line)
            line = re.sub(r"^(clone\(.*\)) = \d+", r"\1 = P", line)
            lines.append(line)
    return lines


def traced(prefix, command, trace, template):
    """Runs `command` in a fresh copy of the template directory and returns its normalised trace."""
    # The same name for both: programs print it.
    directory = os.path.join(os.path.dirname(template), "work")
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(template, directory, symlinks=True)
    words = prefix + [BUSYBOX] + (
        ["sh", "-c", command[7:-1]] if command.startswith("sh -c ") else command.split())
    subprocess.run(
        words, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=60, check=False)
    return normalised(trace)


def main():
    if not shutil.which("strace") or not os.path.exists(BUSYBOX):
        print("tracecheck: strace or busybox-static is missing")
        return 77
    here = os.path.dirname(os.path.abspath(__file__))
    vitrine = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.path.join(here, "../../../vitrine")
    total = different = 0
    with tempfile.TemporaryDirectory() as scratch:
        template = os.path.join(scratch, "template")
        os.makedirs(os.path.join(template, "d/e"))
        for name in ("b", "t.tar"):
            with open(os.path.join(template, name), "w") as file:
                file.write("content\n")
        trace = os.path.join(scratch, "trace")
        for command in COMMANDS:
            expected = traced(["strace", "-o", trace], command, trace, template)
            seen = traced([vitrine, "run", "--trace=" + trace], command, trace, template)
            delta = [line for line in difflib.ndiff(expected, seen) if line[0] in "-+"]
            total += len(expected)
            different += len(delta)
            print(f"{command}: {len(expected)} lines, {len(delta)} differences")
            for line in delta[:10]:
                print("   ", line[:160])
    print(f"tracecheck: {total} lines, {different} differences")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
