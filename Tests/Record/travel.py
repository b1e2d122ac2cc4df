#!/usr/bin/env python3
"""Time travel over recordings: whatever way leads to an instant, the machine is the same there.

    Tests/Record/travel.py [--vitrine PATH] [--seeks N] [PART ...]

Parts: seeks (random instants of real programs, visited in order and out of order, on both engines), steps (back and forth),
stops (breakpoints, watchpoints and system calls forwards and backwards), stores (a watched word, written by
stores of every kind), corruption (who wrote this, from the crash), limits (memory of checkpoints, wrong commands); of timelines.py: whatif,
answers, mended, branches, programs (changes of the past); and of searches.py: functions, conditions, accesses, systemcalls, events
(looking for an instant). Prints `N passed, M failed`.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import searches
import timelines

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Tools/recordings"))
from recorded import Checks, Machine  # noqa: E402

GUESTS = ROOT / "Tests/Guests/.out"
PROGRAMS = {
    "busybox": ["/bin/busybox", "sh", "-c", "echo a; ls /; exit 3"],
    "python": ["/usr/bin/python3", "-S", "-c", "import json; print(json.dumps({str(i): i * i for i in range(3000)})[:50])"],
    "threads": ["/usr/bin/python3", "-S", "-c", "import threading\nl = []\ndef f(i):\n  for j in range(500): l.append(i)\n"
                "t = [threading.Thread(target=f, args=(i,)) for i in range(3)]\n[x.start() for x in t]\n[x.join() for x in t]\n"
                "print(len(l))"],
    "perl": ["/usr/bin/perl", "-e", 'my %h; $h{$_ % 97} .= "x$_" for 1..20000; print length join(",", sort values %h), "\\n"'],
    "sqlite": ["/usr/bin/sqlite3", ":memory:", "create table t(a); insert into t values(1),(2),(3); select sum(a) from t"],
    "sort": ["/usr/bin/sort", "/etc/services"],
    "bash": ["/bin/bash", "-c", "trap 'echo signal' USR1; kill -USR1 $$; for i in {1..200}; do ((s += i)); done; echo $s"],
}


def seeks(machine, checks, count):
    for name, words in PROGRAMS.items():
        path = machine.record(name, words)
        end = machine.end(path)
        chance = random.Random(name)
        instants = [chance.randrange(end) for _ in range(count)]
        states = {}
        for order, options in [(sorted(instants), []), (instants, []), (instants, ["--checkpoint-memory", "4"]),
                               (instants[:count // 4], ["--engine", "interpreter"])]:
            commands = [word for instant in order for word in (f"seek {instant}", "registers", "hash")]
            answers, code = machine.travel(path, commands, *options)
            wrong = []
            for index, instant in enumerate(order):
                state = [lines for _, lines in answers[3 * index + 1:3 * index + 3]]
                # Flags are left undefined by some instructions.
                state[0] = [line for line in state[0] if not line.startswith("rflags")]
                if not answers[3 * index][1][0].startswith(f"at instant {instant},") or states.setdefault(instant, state) != state:
                    wrong.append((instant, answers[3 * index][1]))
            checks.check(f"{name}: {len(order)} seeks {options}", not wrong and code == 0, wrong[:2])


def steps(machine, checks, count):
    path = machine.record("python", PROGRAMS["python"])
    end = machine.end(path)
    chance = random.Random(3)
    for _ in range(count // 10):
        start, distance = chance.randrange(1000, end - 1000), chance.choice([1, 2, 17, 900])
        commands = [f"seek {start}", "registers", "hash", f"back {distance}", "registers", f"step {distance}", "registers", "hash",
                    f"step {distance}", f"back {distance}", "registers", "hash"]
        answers, _ = machine.travel(path, commands)
        lines = [lines for _, lines in answers]
        checks.check(f"steps at {start}", lines[1:3] == lines[6:8] == lines[10:12] and lines[4] != lines[1], answers)


def stops(machine, checks, count):
    path = machine.record("sort", PROGRAMS["sort"])
    end = machine.end(path)

    def places(direction, commands, most=12):
        begin = ["seek start"] if direction == "continue" else ["seek end"]
        answers, _ = machine.travel(path, begin + commands + [direction] * most)
        return [lines[0] for _, lines in answers[len(begin) + len(commands):]]

    # An instruction in the middle of a loop: where the program is at some instants.
    answers, _ = machine.travel(path, [f"seek {end * 3 // 4}", "print rip"])
    address = answers[1][1][0].split()[0]
    hits, _ = machine.travel(path, ["seek start", f"break {address}"] + ["continue"] * 40)
    forwards = [lines[0] for _, lines in hits[2:] if lines[0].startswith("breakpoint")]
    checks.check("breakpoint met", len(forwards) > 1, hits[2])
    # Libraries are not there yet at the beginning.
    for part in (60, 80, 90, 97):
        answers, _ = machine.travel(path, [f"seek {end * part // 100}", "print rip"])
        place = answers[1][1][0].split()[0]
        hits, _ = machine.travel(path, ["seek start", f"break {place}", "continue"])
        checks.check(f"breakpoint met, {part} %", hits[2][1][0].startswith("breakpoint"), hits[1:])

    # From behind the last of them all are met again, in the other order.
    last = int(re.search(r"instant (\d+)", forwards[-1])[1])
    hits, _ = machine.travel(path, [f"seek {last + 1}", f"break {address}"] + ["reverse"] * len(forwards))
    backwards = [lines[0] for _, lines in hits[2:]]
    checks.check("breakpoint met backwards", backwards == forwards[::-1], (forwards[-3:], backwards[:3]))

    # Also when little is left between the stop and where one goes, or comes from.
    for distance in range(1, 70, 3):
        answers, _ = machine.travel(path, [f"seek {last + distance}", f"break {address}", "reverse"])
        checks.check(f"breakpoint {distance} back", answers[2][1][0] == forwards[-1], answers[2])

    answers, _ = machine.travel(path, ["seek start", "catch"] + ["continue"] * 30)
    forwards = [lines[0] for _, lines in answers[2:]]
    checks.check("system calls", all(line.startswith("system call") for line in forwards), forwards[:3])
    instants = [int(re.search(r"instant (\d+)", line)[1]) for line in forwards]
    answers, _ = machine.travel(path, [f"seek {instants[-1] + 1}", "catch"] + ["reverse"] * 30)
    backwards = [lines[0] for _, lines in answers[2:]]
    names = [re.search(r"system call (\w+) returned", line)[1] for line in forwards]
    checks.check("system calls backwards", [re.search(r"system call (\w+) begins", line)[1] for line in backwards] == names[::-1],
                 (forwards[-3:], backwards[:3]))

    # What a watchpoint says of the stack is what comparing at each step says.
    begin = instants[5]
    answers, _ = machine.travel(path, [f"seek {begin}", "print rsp"])
    stack = int(answers[1][1][0].split()[0], 16) - 64
    length = 3000
    answers, _ = machine.travel(path, [f"seek {begin}"] + [f"memory {stack} 8", "where", "step"] * length)
    contents = [(lines[0], where[0]) for (_, lines), (_, where) in zip(answers[1::3], answers[2::3])]
    changes = [int(re.search(r"instant (\d+)", now[1])[1]) for before, now in zip(contents, contents[1:]) if before[0] != now[0]]
    answers, _ = machine.travel(path, [f"seek {begin}", f"watch {stack} 8"] + ["continue"] * (len(changes) + 1))
    found = [int(re.search(r"instant (\d+)", lines[0])[1]) for _, lines in answers[2:]]
    checks.check("watchpoint", len(changes) > 3 and changes == found[:len(changes)],
                 (changes[:5], found[:5]))
    answers, _ = machine.travel(path, [f"seek {begin + length}", f"watch {stack} 8"] + ["reverse"] * len(changes))
    found = [int(re.search(r"instant (\d+)", lines[0])[1]) for _, lines in answers[2:]]
    # In front of the instruction that made the change.
    checks.check("watchpoint backwards", [change - 1 for change in changes[::-1]] == found,
                 (changes[-5:], found[:5]))


def stores(machine, checks, count):
    """Each change is met once, by the program and by its recording, forwards and backwards."""
    guest = GUESTS / "debug-stores"
    for level, engines, words in [("v3", ("translator", "interpreter"), []), ("max", ("translator",), []), ("max", ("translator",), ["hot"]),
                                  ("v3", ("interpreter",), ["hot"])]:
        path = machine.folder / f"stores-{level}-{len(words)}.rec"
        total = int(machine.run("record", "--cpu", level, "-o", path, guest, *words).stdout)
        for engine in engines:
            live, _ = machine.travel(guest, ["watch word 8"] + ["continue"] * total, "--engine", engine, "--cpu", level, words=words)
            forwards, _ = machine.travel(path, ["watch word 8"] + ["continue"] * total, "--engine", engine)
            backwards, _ = machine.travel(path, ["seek end", "watch word 8"] + ["reverse"] * total, "--engine", engine)
            values = [[re.search(r"(now|change from) 0x(\w+)", lines[0])[2] for _, lines in answers]
                      for answers in (live[1:], forwards[1:], backwards[:1:-1])]
            checks.check(f"stores, {level}, {engine}: forwards",
                         total > 9 and len(set(values[0])) == total and values[0] == values[1], values)
            # In front of a change is what the one before it has left.
            checks.check(f"stores, {level}, {engine}: backwards", values[2] == ["0", *values[0][:-1]], values)
            instants = [[int(re.search(r"instant (\d+)", lines[0])[1]) for _, lines in answers]
                        for answers in (forwards[1:], backwards[:1:-1])]
            checks.check(f"stores, {level}, {engine}: instants", [instant - 1 for instant in instants[0]] == instants[1], instants)


def corruption(machine, checks, count):
    """From the crash to the wild write by one command, with symbols in the file and without."""
    guest = GUESTS / "debug-corruption"
    stripped = machine.folder / "stripped"
    subprocess.run(["strip", "-o", stripped, guest], check=True)
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", guest], capture_output=True, text=True, check=True).stdout
    start, body = re.search(r"^([0-9a-f]+) <fill>:\n(.*?)\n\n", listing, re.S | re.M).groups()
    store = [int(line.split(":")[0], 16) for line in body.splitlines() if re.search(r"mov\s+%\w+,\(", line)]
    copy = shutil.copy(guest, machine.folder / "corruption")
    for program in (Path(copy), stripped):
        path = machine.folder / "corruption.rec"
        run = subprocess.run([machine.vitrine, "record", "-o", path, program], stdin=subprocess.DEVNULL, capture_output=True,
                             text=True)
        # The recording holds the names.
        program.unlink()
        node = int(run.stdout.splitlines()[0], 16)
        answers, code = machine.travel(path, ["seek end", f"last-change {node} 8", "where", "step", f"expect [{node}] != 0"])
        # By its symbol, or by its place in the file.
        where = re.search(r"[<(]([^)+]+)\+0x([0-9a-f]+)[>)]", answers[2][1][0])
        base = int(start, 16) if where and where[1] == "fill" else 0
        checks.check(f"{program.name}: named", where and where[1] == ("fill" if program.name == "corruption" else "stripped"), answers[2])
        checks.check(f"{program.name}: the crash", "killed by SIGSEGV" in answers[0][1][0] and run.returncode == 139, answers[0])
        checks.check(f"{program.name}: the wild write", where and base + int(where[2], 16) in store and code == 0, (store, answers))


def limits(machine, checks, count):
    path = machine.record("python", PROGRAMS["python"])
    end = machine.end(path)
    answers, _ = machine.travel(path, ["seek end", "seek 5", f"seek {end // 2}", "checkpoints"], "--checkpoint-memory", "2")
    size = int(re.search(r"(\d+) bytes", answers[3][1][0])[1])
    # The first checkpoint stays, and the last one may be larger than the limit by itself.
    checks.check("memory of checkpoints", size < 12 << 20, answers[3])
    wrong = ["seek", "seek x", "seek 99999999999999999999", "step -1", "watch 0", "watch 5 0", "memory", "memory 0 8",
             "memory 0 99999999999", "last-change", "disassemble 0xffffffffffffffff 3", "expect 1 == 2", "expect 0", "expect a b c",
             "nonsense", "watch 0xffffffffffffffff 8"]
    answers, code = machine.travel(path, wrong)
    mild = {"watch 0", "disassemble 0xffffffffffffffff 3"}
    bad = [command for command, (failed, _) in zip(wrong, answers) if not failed and command not in mild]
    checks.check("wrong commands fail", not bad and code == 1, bad)
    answers, code = machine.travel(path, ["seek start", "back 1", "reverse", "seek end", "step 5", "continue"])
    checks.check("both ends", code == 1 and [failed for failed, _ in answers] == [False] * 4 + [True] * 2
                 and "beginning" in answers[2][1][0] and "exited with code 0" in answers[3][1][0], answers)
    # Nobody can tell a recorded program anything.
    answers, _ = machine.travel(path, ["print rax", "signal 9", "type x", "print rax"])
    checks.check("nothing changes", [failed for failed, _ in answers] == [False] + [True] * 2 + [False]
                 and answers[0] == answers[3] and "past" in answers[1][1][0], answers)
    # A recording with a damaged end: what is before it can be visited, and a journey there fails and says why.
    damaged = machine.folder / "damaged.rec"
    content = bytearray(path.read_bytes())
    content[len(content) * 9 // 10] ^= 0x55
    damaged.write_bytes(content)
    answers, code = machine.travel(damaged, ["seek 1000", "where", "seek end", "seek 1000", "where"])
    checks.check("damaged", code == 1 and [failed for failed, _ in answers] == [False, False, True, False, False]
                 and answers[1] == answers[4] and "damaged" in answers[2][1][0], answers)
    # Scripts of a recording end with what fails, as those of a program.
    run = subprocess.run([machine.vitrine, "debug", "--command", "expect 0", "--command", "print 1", path], capture_output=True, text=True)
    checks.check("the first failure is the end", run.returncode == 1 and not run.stdout, run)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default=str(ROOT / ".build/release/vitrine"))
    parser.add_argument("--seeks", type=int, default=60, help="instants of each program")
    parser.add_argument("parts", nargs="*", default=[])
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(options.vitrine, folder)
        for part in (seeks, steps, stops, stores, corruption, limits, timelines.whatif, timelines.answers, timelines.mended,
                     timelines.branches, timelines.programs, *searches.PARTS):
            if options.parts and part.__name__ not in options.parts:
                continue
            try:
                part(machine, checks, options.seeks)
            except (RuntimeError, subprocess.SubprocessError, StopIteration, TypeError, IndexError) as problem:
                checks.check(part.__name__, False, repr(problem))
    print(f"{checks.passed} passed, {checks.failed} failed")
    return checks.failed > 0


if __name__ == "__main__":
    sys.exit(main())
