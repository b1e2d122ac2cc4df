"""Where things lie in a process that runs a guest (Docs/memory.md), seen from outside: above the guest's window and its
lower guard nothing of Vitrine's, no stack, no vdso but the guest's, no hole where the kernel could put something, and in Vitrine's memory
no address of the places that were left."""

import ctypes
import os
import re
import resource
import select
import subprocess

import image
import wild

GUARD = 1 << 36
PR_SET_MM, PR_SET_MM_MAP_SIZE = 35, 15
ADDR_NO_RANDOMIZE = 0x0040000
TOP = (1 << 47) - 4096

# The kernel's mappings that a guest has in its window.
GUESTS_VDSO = ["[vvar]", "[vvar_vclock]", "[vdso]"]

# Maps 64 MiB, says so, waits for a byte, maps 64 MiB more, says so, waits again, and leaves.
MAP = wild.move(wild.RDI, 0) + wild.move(wild.RSI, 64 << 20) + wild.move(wild.RDX, 3) \
    + b"\x49\xc7\xc2\x22\0\0\0\x49\xc7\xc0\xff\xff\xff\xff\x4d\x31\xc9" + wild.move(wild.RAX, 9) + wild.SYSCALL
SAY, WAIT = (wild.move(wild.RDI, descriptor) + b"\x48\x89\xe6" + wild.move(wild.RDX, 1) + wild.move(wild.RAX, number)
             + wild.SYSCALL for descriptor, number in ((1, 1), (0, 0)))  # one byte, from and to where rsp points
GUEST = image.with_code((MAP + SAY + WAIT) * 2 + wild.EXIT_42)

libc = ctypes.CDLL(None, use_errno=True)


def without_randomization():
    libc.personality(ADDR_NO_RANDOMIZE)


def with_any_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def with_small_stack():
    resource.setrlimit(resource.RLIMIT_STACK, (256 << 10, 256 << 10))


def with_8_tebibytes():
    resource.setrlimit(resource.RLIMIT_AS, (8 << 40, 8 << 40))


# The host keeps 2^40 bytes.
WIDE = (1 << 47) - (1 << 40) - 2 * GUARD

# name, what the child does before it executes, the window's size, words of the guest, environment
CASES = [
    ("plain", None, WIDE, ["a", ""], {}),
    ("not randomised", without_randomization, WIDE, ["a"], {}),
    ("any stack", with_any_stack, WIDE, ["a"], {}),
    ("small stack", with_small_stack, WIDE, ["a"], {"SMALL": "1"}),
    ("8 TiB", with_8_tebibytes, 1 << 42, ["a"], {}),
    ("a megabyte of arguments", None, WIDE, ["x" * 100_000] * 10, {"LONG": "y" * 100_000}),
    ("arguments larger than the stack's old room, not randomised", without_randomization, WIDE, ["x" * 100_000] * 15, {}),
]


def mappings(process):
    """(start, end, permissions, name) of each, without [vsyscall], which is the kernel's."""
    found = []
    with open(f"/proc/{process}/maps", encoding="utf-8") as file:
        for line in file:
            words = line.split(maxsplit=5)
            start, end = (int(word, 16) for word in words[0].split("-"))
            if start < 1 << 63:
                found.append((start, end, words[1], words[5].strip() if len(words) > 5 else ""))
    return found


def geometry(process, size, guest):
    """What is wrong with the process's mappings; None: nothing."""
    base = TOP + 4096 - 2 * GUARD - size
    lowest, limit = base - GUARD, base + size
    every = mappings(process)
    above = [mapping for mapping in every if mapping[1] > lowest]
    reached = lowest
    for start, end, permissions, name in above:
        if start != reached:
            return f"a hole or an overlap at {start:x}, after {reached:x}"
        reached = end
        inside = base <= start and end <= limit
        if permissions != "---p" and not inside:
            return f"{start:x}-{end:x} {permissions} {name} outside the window"
        if inside and "x" in permissions:
            return f"{start:x}-{end:x} {permissions} {name}: executable for the host"
        if name and not (inside and (name == guest or name in GUESTS_VDSO)):
            return f"{name} at {start:x}, above {lowest:x}"
    if reached != TOP:
        return f"free room from {reached:x}"
    stack = [mapping for mapping in every if mapping[1] == lowest]
    if not stack or not stack[0][2].startswith("rw") or lowest - stack[0][0] < 8 << 20:
        return "no stack below the guard"
    if not any(mapping[1] == stack[0][0] and mapping[2] == "---p" for mapping in every):
        return "no inaccessible page below the stack"
    return None


def words_of(process, name):
    with open(f"/proc/{process}/{name}", "rb") as file:
        return file.read().split(b"\0")[:-1]


# An address in the last 2 MiB of user space, where the stack is when addresses are not randomised, from its third byte.
OLD_STACK = re.compile(rb"[\xe0-\xff]\xff\xff\x7f\0\0", re.DOTALL)


def remembered(process, vitrine):
    """Words of Vitrine's data, heap and stack that point to where the stack was, when addresses are not randomised."""
    with open(vitrine, "rb") as file:
        constants = file.read()
    found = []
    with open(f"/proc/{process}/mem", "rb") as memory:
        for start, end, permissions, name in mappings(process):
            is_data = name == vitrine and "x" not in permissions
            if start >= TOP + 4096 - WIDE - 3 * GUARD or not (permissions.startswith("rw") or is_data):
                continue
            memory.seek(start)
            data = memory.read(end - start)
            for match in OLD_STACK.finditer(data):
                place = match.start() - 2
                if data[place:place + 8] == TOP.to_bytes(8, "little"):
                    continue  # the end of user space, which is nobody's address
                if place % 8 == 0 and not (is_data and data[place:place + 8] in constants):
                    found.append(f"{start + place:x}: {data[place:place + 8][::-1].hex()}")
    return "old addresses at " + ", ".join(found[:4]) if found else None


def can_tell_kernel():
    size = ctypes.c_uint()
    return libc.prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, ctypes.byref(size), 0, 0) == 0


def problem_of(child, size, guest, command, environment, old_stack):
    """Looks at the process at each of its two stops; the kernel has been told the guest's words. `old_stack`: also for what points there."""
    for _ in range(2):
        if not select.select([child.stdout], [], [], 20)[0] or child.stdout.read(1) == b"":
            return "the guest did not come that far"
        problem = geometry(child.pid, size, guest)
        if problem:
            return problem
        if can_tell_kernel():
            if words_of(child.pid, "cmdline") != [word.encode() for word in command[2:]]:
                return "/proc/PID/cmdline is wrong"
            if sorted(words_of(child.pid, "environ")) != sorted(f"{k}={v}".encode() for k, v in environment.items()):
                return "/proc/PID/environ is wrong"
        problem = remembered(child.pid, os.path.realpath(command[0])) if old_stack else None
        if problem:
            return problem
        child.stdin.write(b"x")
        child.stdin.flush()
    return None if child.wait(20) == 42 else f"exit code {child.returncode}"


def check(vitrine, folder):
    """The number of cases and of failures."""
    guest = os.path.join(folder, "waiting")
    with open(guest, "wb") as file:
        file.write(GUEST)
    os.chmod(guest, 0o755)
    failures = 0
    for name, prepare, size, words, extra in CASES:
        command = [vitrine, "run", guest] + words
        environment = {"PATH": "/usr/bin:/bin", **extra}
        with subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                              preexec_fn=prepare) as child:
            try:
                problem = problem_of(child, size, os.path.realpath(guest), command, environment,
                                     prepare is without_randomization)
            except (OSError, subprocess.TimeoutExpired) as error:
                problem = str(error)
            child.kill()
        if problem:
            failures += 1
            print(f"FAILED layout, {name}: {problem}")
    return len(CASES), failures
