#!/usr/bin/env python3
"""Types sessions (cases.py) into Debian's gdb twice: about the native program, and about the same program under `vitrine debug
--gdb`; gdb has to say the same. What cannot be the same (addresses of stack and libraries, numbers of processes) is
replaced first. Then come checks of what a native session cannot show, sessions about recordings (backwards.py, events.py), and those of lldb (lldb.py). The last line is `N passed, M failed`.

    Tests/Debugger/run.py               all
    Tests/Debugger/run.py watch         those whose name contains the word
    Tests/Debugger/run.py --show threads    with both sides' words
"""

import difflib
import itertools
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import backwards
import checks
import events
import lldb
from cases import SESSIONS

ROOT = Path(__file__).resolve().parents[2]
VITRINE = Path(os.environ.get("VITRINE") or ROOT / ".build/release/vitrine")
OUT = ROOT / "Tests/Guests/.out"
SETTINGS = """set pagination off
set confirm off
set debuginfod enabled off
set width 0
set sysroot /
set auto-load off
set disassemble-next-line off
set breakpoint pending off
"""
MARK = "== begin\\n"
# What gdb says that does not know how much state a newer processor has: it cannot call functions of native programs there.
LACK = "Couldn't write extended state status"


def normalised(text):
    text = text.split("== begin\n", 1)[-1]
    lines = []
    for line in text.splitlines():
        if re.match(r"\[(New|Switching to|Thread|Using host|Detaching|Attaching)|Using host libthread|warning: |\[Inferior .* killed", line):
            continue
        line = re.sub(r"Thread 0x[0-9a-f]+ \(LWP \d+\)|Thread \d+\.\d+|process \d+|LWP \d+", "THREAD", line)
        line = re.sub(r"0x0*(7fff|7edf|5555)[0-9a-f]{8}\b", "ADDRESS", line)
        line = re.sub(r"\b\d{14,15}\b", "NUMBER", line).replace(" (target evals)", "")
        # gdb names the file when there are several: natively there is a vDSO.
        line = re.sub(r" in section (\S+) of \S+$", r" in section \1", line)
        line = re.sub(r'(THREAD) "[^"]*"', r"\1", line)
        # Which source of the C library gdb looked for and did not find.
        line = re.sub(r"^(\d+)\t(in )?\S+: No such file or directory\.$|^(\d+)\tin \S+$", "LIBRARY SOURCE", line)
        lines.append(re.sub(r"\s+", " ", line).rstrip())
    return lines


def gdb(start, commands, program):
    script = SETTINGS + start + f"\necho {MARK}\n" + "\n".join(word.strip() for word in commands.strip().splitlines())
    # Not as a file: gdb ends a script at the first error, and commands that fail are part of some sessions.
    words = ["gdb", "-nx", "-q", "--batch"]
    for line in script.splitlines():
        words += ["-ex", line]
    try:
        answer = subprocess.run(words + [str(program)], capture_output=True, text=True, timeout=60, errors="replace",
                                stdin=subprocess.DEVNULL, cwd=OUT)
        return answer.stdout + answer.stderr
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode(errors="replace") + "\nTIMED OUT\n"


def session(task):
    name, guest, arguments, commands = task
    program = OUT / guest
    native = gdb(f"starti {arguments} > /dev/null 2>&1", commands, program)
    if LACK in native:
        return name, None, (native, "")
    ours = gdb(f"target remote | exec {VITRINE} debug --gdb STDIO {program} {arguments} 2>/dev/null", commands, program)
    wanted, got = normalised(native), normalised(ours)
    difference = list(difflib.unified_diff(wanted, got, "native", "vitrine", lineterm="", n=2))
    return name, difference, (native, ours)


def can_debug():
    """Whether this machine lets gdb have native processes."""
    return "exited" in gdb("starti > /dev/null 2>&1", "continue", OUT / "debug-basics-static")


def main():
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    shows = "--show" in sys.argv
    tasks = []
    for name, guest, kinds, arguments, commands in SESSIONS:
        for kind in kinds:
            tasks.append((f"{name}/{kind}", f"{guest}-{kind}", arguments, commands))
    tasks = [task for task in tasks if not words or any(word in task[0] for word in words)]
    if tasks and not can_debug():
        print(f"no native debugging here (ptrace): {len(tasks)} sessions left out")
        tasks = []
    passed = failed = 0
    begin = time.time()
    with ThreadPoolExecutor(2) as pool:
        for name, difference, texts in pool.map(session, tasks):
            if shows:
                print(f"--- {name}: native\n{texts[0]}\n--- {name}: vitrine\n{texts[1]}")
            if difference is None:
                print(f"left out {name}: this machine's gdb cannot write registers natively")
            elif difference:
                failed += 1
                print(f"FAILED {name}\n" + "\n".join("    " + line for line in difference))
            else:
                passed += 1
    others = (part.run(VITRINE, OUT, words) for part in (checks, backwards, events, lldb))
    for name, problem in itertools.chain.from_iterable(others):
        if problem:
            failed += 1
            print(f"FAILED {name}: {problem}")
        else:
            passed += 1
    print(f"debugger: {len(tasks)} sessions in {time.time() - begin:.0f} s")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
