"""Looking for an instant: the next or previous call of a function, system call of some kind, access, signal, or time at which something
holds; by the program while it runs and in its recording, forwards and backwards."""

import re
import subprocess
from pathlib import Path

# In front of the guest's execve(2): behind that its symbols mean nothing.
LATE = "next-syscall write"
GUEST = Path(__file__).resolve().parents[1] / "Guests/.out/debug-searches"


def values(answers, pattern):
    """What the pattern finds in the first line of each answer."""
    return [found[1] if (found := re.search(pattern, lines[0])) else lines[0] for _, lines in answers]


def instants(answers):
    return [int(value) for value in values(answers, r"instant (\d+)")]


def functions(machine, checks, count):
    """The argument of each call says which one it is."""
    path = machine.record("searches", [GUEST])
    expected = [*range(10), *range(20)]
    for subject in (GUEST, path):
        answers, _ = machine.travel(subject, ["handle SIGUSR1 pass"] + ["next-call square", "print edi"] * 30)
        found = [int(value) for value in values(answers[2::2], r"= (\d+)")]
        checks.check(f"{subject.name}: next calls", found == expected, found)
    answers, _ = machine.travel(path, [LATE] + ["previous-call square", "print edi"] * 30 + ["previous-call square"])
    found = [int(value) for value in values(answers[2::2], r"= (\d+)")]
    checks.check("previous calls", found == expected[::-1] and "the beginning" in answers[-1][1][0], answers[-1])
    # Without a name it is the function where the program stands.
    answers, code = machine.travel(path, ["next-call work", "next-call", "print edi", "step 3", "previous-call", "print edi"])
    checks.check("calls of this function", values(answers[2::3], r"= (\d+)") == ["20", "20"] and code == 0, answers)


def conditions(machine, checks, count):
    """What stepping shows is what a search finds."""
    path = machine.record("searches", [GUEST])
    answers, _ = machine.travel(path, ["next-call work", "where"])
    begin, length = instants(answers[:1])[0], 500
    answers, _ = machine.travel(path, [f"seek {begin}"] + ["print eax", "step"] * length)
    held = [int(value, 16) for value in values(answers[1::2], r"^0x(\w+)")]
    for value in (81, 4, held[-1], held[200]):
        truth = [number == value for number in held]
        begins = [begin + i for i in range(1, length) if truth[i] and not truth[i - 1]]
        found, _ = machine.travel(path, [f"seek {begin}"] + [f"when eax == {value}"] * len(begins))
        checks.check(f"when eax == {value}", begins and instants(found[1:]) == begins, (begins, found))
        # Backwards: the end of each stretch in which it holds, and its beginning where that is another instant.
        last = length - 1
        stretches = sorted({i for i in range(1, last) if truth[i] and (not truth[i - 1] or not truth[i + 1])}, reverse=True)
        wanted = [begin + i for i in stretches]
        found, _ = machine.travel(path, [f"seek {begin + last}"] + [f"reverse-when eax == {value}"] * len(wanted))
        checks.check(f"reverse-when eax == {value}", instants(found[1:]) == wanted, (wanted, found))
        live, _ = machine.travel(GUEST, ["next-call work"] + [f"when eax == {value}", "print rip"] * len(begins))
        same, _ = machine.travel(path, [f"seek {begin}"] + [f"when eax == {value}", "print rip"] * len(begins))
        checks.check(f"live: when eax == {value}", live[2::2] == same[2::2], (live, same))
    answers, code = machine.travel(path, [LATE, "reverse-when dword[total] == 286 && rip == work", "print edi",
                                          "reverse-when ax == 0x1234 && dword[total] == 99", "where", "when nothing == 1", "when"])
    checks.check("memory and registers", values(answers[2:3], r"= (\d+)") == ["20"], answers)
    checks.check("what never held fails, and stays", code == 1 and [failed for failed, _ in answers[3:]] == [True, False, True, True]
                 and instants(answers[1:2]) == instants(answers[4:5]), answers)


def accesses(machine, checks, count):
    """Reads, writes of what is there already, and all instructions of a range: 30 rounds of each."""
    path = machine.record("searches", [GUEST])
    for command, rounds in [("rwatch cell 4", 30), ("wwatch cell 4", 30), ("awatch cell 4", 60), ("watch cell 4", 0),
                            ("rwatch table 64", 0), ("wwatch table 64", 30), ("xwatch square 4", 60), ("xwatch square 1", 30)]:
        words = [command] + ["continue", "print rip"] * rounds
        live, _ = machine.travel(GUEST, ["break work", "continue", "delete 1", "handle SIGUSR1 pass", *words, LATE])
        recorded, _ = machine.travel(path, [*words, LATE])
        places = [lines for _, lines in recorded[2::2]]
        checks.check(f"{command}: live", places[:rounds] == [lines for _, lines in live[6::2]][:rounds], (live[:9], recorded[:9]))
        checks.check(f"{command}: all of them", len(places) == rounds and "write returned" in recorded[-1][1][0]
                     and "write returned" in live[-1][1][0], (live[-1], recorded[-1]))
        forwards = instants(recorded[1:-1:2])
        backwards, _ = machine.travel(path, [LATE, command] + ["reverse"] * (rounds + 1))
        step = 0 if command.startswith("x") else 1
        checks.check(f"{command}: backwards", instants(backwards[2:-1]) == [instant - step for instant in forwards[::-1]]
                     and "the beginning" in backwards[-1][1][0], (forwards, backwards))


def systemcalls(machine, checks, count):
    """By name, by what their line says, by arguments and results."""
    path = machine.record("searches", [GUEST])
    for words, number in [("openat \"/nowhere\"", 3), ("openat \"/dev/null\"", 2), ("\"nowhere\" if rax == -2", 3),
                          ("openat if rax == -2 && byte[rsi + 1] == 'n'", 3), ("close \"nowhere\"", 0), ("write if rdi == 1", 1)]:
        for subject in (GUEST, path):
            answers, _ = machine.travel(subject, ["handle SIGUSR1 pass"] + [f"next-syscall {words}", "calls 2"] * (number + 1))
            stops = [line for _, lines in answers[1:-2:2] for line in lines if "returned" in line]
            checks.check(f"{subject.name}: next-syscall {words}", len(stops) == number and "exited" in answers[-2][1][0], answers)
        forwards, _ = machine.travel(path, [f"next-syscall {words}"] * number)
        backwards, _ = machine.travel(path, [LATE, "step"] + [f"previous-syscall {words}"] * (number + 1))
        checks.check(f"previous-syscall {words}", instants(backwards[2:-1]) == [instant - 1 for instant in instants(forwards)[::-1]]
                     and "the beginning" in backwards[-1][1][0], (forwards, backwards))
    answers, code = machine.travel(path, ["next-syscall nosuch", "next-syscall \"open", "next-syscall if", "next-syscall write if zzz"])
    checks.check("wrong patterns", code == 1 and all(failed for failed, _ in answers), answers)


def events(machine, checks, count):
    """Signals, processes and programs of a recording stop, in both directions."""
    path = machine.record("searches", [GUEST])
    commands = ["handle SIGUSR1 stop", "catch fork", "catch exec"]
    forwards, _ = machine.travel(path, commands + ["continue", "step", "where", "continue", "continue", "where", "continue"])
    lines = [lines[0] for _, lines in forwards[3:]]
    checks.check("forwards", "signal SIGUSR1 comes" in lines[0] and "<handle>" in lines[2] and "fork of process" in lines[3]
                 and "executes /usr/bin/true" in lines[4].replace(" /bin/", " /usr/bin/") and "exited with code 0" in lines[6], lines)
    backwards, _ = machine.travel(path, commands + ["seek end"] + ["reverse"] * 4)
    lines = [lines[0] for _, lines in backwards[4:]]
    checks.check("backwards", "is about to execute" in lines[0] and "is about to fork" in lines[1] and "SIGUSR1" in lines[2]
                 and "the beginning" in lines[3], lines)
    # A thread that waits while others run: its call began long before it ends.
    python = machine.record("waiting", ["/usr/bin/python3", "-S", "-c", "import threading\nt = threading.Thread(target=sum, args=("
                                        "range(100000),))\nt.start(); t.join()"])
    answers, _ = machine.travel(python, ["seek end", "previous-syscall futex", "thread", "next-syscall futex"])
    waits = "has waited" in answers[1][1][0]
    checks.check("a call that waits", (not waits or any("in a system call" in line for line in answers[2][1] if line.startswith("*")))
                 and "futex returned" in answers[3][1][0], answers)


PARTS = (functions, conditions, accesses, systemcalls, events)
