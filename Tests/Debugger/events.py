"""Sessions of Debian's gdb about what happens in recordings: reads of variables, system calls, signals, children, other programs.
Forwards a recording has to answer as the machine does; backwards the same comes in the opposite order."""

import re
import tempfile

from backwards import BASICS, ENGINES, Debugger, run_checks, same, words


def plain(text):
    """Without numbers of processes, which differ from run to run."""
    text = re.sub(r"0x0*7edf[bf][0-9a-f]{7}", "PLACE", text)
    return re.sub(r"process \d+|inferior \d+ \(process \d+\)|Catchpoint \d+", "PROCESS", text)


def compare(debugger, commands, ends=()):
    """Returns the machine's answers and the recording's; those to `ends`, which follow `commands`, may differ."""
    wanted, got = debugger.live([*commands, *ends]), debugger.recorded([*commands, *ends])
    assert len(wanted) == len(got) == len(commands) + len(ends), (wanted, got)
    for command, live, recorded in zip(commands, wanted, got):
        same(command, plain(live), plain(recorded))
    return wanted, got


def check_reads(vitrine, out, folder):
    """rwatch and awatch stop behind the instruction that reads, or reads or writes; backwards in front of it."""
    commands = ["break main", "continue", "delete", "awatch total", *["continue", "p $pc", "p total"] * 5, "delete", "break locate",
                "rwatch total", "continue", "delete", "awatch ratio", *["continue", "p $pc"] * 2, "next", "watch text", "continue", "delete",
                "rwatch ratio", "tbreak half", "continue", "delete", "rwatch table[4]", "continue", "p $pc", "p table[4]"]
    for kind in BASICS:
        for engine in ENGINES:
            compare(Debugger(vitrine, out, f"debug-basics-{kind}", folder, engine), commands)
    # From the end, as often as it is accessed, and no oftener.
    for engine in ENGINES:
        debugger = Debugger(vitrine, out, "debug-basics-static", folder, engine)
        begin = ["break main", "continue", "delete", "break 53", "awatch total", "rwatch total"]
        count = 14
        forwards = debugger.recorded([*begin, *["continue", "p $pc"] * count])[6:]
        places = [answer for stop, answer in zip(forwards[::2], forwards[1::2]) if "watchpoint" in stop]
        assert "Breakpoint 2" in forwards[2 * len(places)], forwards
        # total += c in each of six calls, and what printf(3) is given.
        same("accesses", 13, len(places))
        back = debugger.recorded([*begin[:4], "continue", *begin[4:], *["reverse-continue", "x/i $pc", "stepi", "p $pc", "reverse-stepi"] * 13,
                                  "reverse-continue"])[7:]
        same("backwards", [words(place)[-1] for place in places[::-1]], [words(place)[-1] for place in back[3::5]])
        assert all("<total>" in place for place in back[1::5][:13]), back
        assert "No more reverse-execution history" in back[-1], back[-1]


def check_calls(vitrine, out, folder):
    """Both sides of caught system calls, with arguments and results, forwards and backwards."""
    look = ["continue", "p $orig_rax", "p (long)$rax", "p $rdi"]
    commands = ["break mean", "continue", "delete", "catch syscall write", *look * 2, "delete", "catch syscall exit_group", *look]
    for kind in BASICS:
        for engine in ENGINES:
            debugger = Debugger(vitrine, out, f"debug-basics-{kind}", folder, engine)
            compare(debugger, commands)
    debugger = Debugger(vitrine, out, "debug-basics-static", folder, "translator")
    # All calls: each once on each side.
    stops = debugger.recorded(["catch syscall", *["continue"] * 60])[1:]
    sides = [found for stop in stops for found in re.findall(r"\((call to|returned from) syscall (\w+)\)", stop)]
    assert len(sides) > 10 and sides[-1] == ("call to", "exit_group"), sides
    for place in range(0, len(sides) - 1, 2):
        same("sides", [("call to", sides[place][1]), ("returned from", sides[place][1])], sides[place:place + 2])
    back = debugger.recorded(["continue", "catch syscall", *["reverse-continue"] * (len(sides) + 1)])[2:]
    same("backwards", sides[::-1], [found for stop in back for found in re.findall(r"\((call to|returned from) syscall (\w+)\)", stop)])
    assert "No more reverse-execution history" in back[-1], back[-1]


def check_signals(vitrine, out, folder):
    """Signals stop in front of their handlers, with their siginfo_t; gdb chooses which."""
    information = ["info symbol $pc", "p $_siginfo.si_signo", "p $_siginfo.si_code", "p $_siginfo._sifields._sigfault.si_addr"]
    commands = ["continue", *information[:3], "break count", "continue", "backtrace 2", "finish", "delete",
                "handle SIGUSR2 nostop noprint pass", "break marker", "continue", "p hits", "continue", *information, "continue", "p faults"]
    catching = ["catch signal SIGUSR2", "handle SIGUSR1 nostop noprint pass", "continue", *information[:3], "stepi", "info symbol $pc",
                "delete", "handle all nostop noprint pass", "break marker", "continue"]
    for kind in BASICS:
        for engine in ENGINES:
            debugger = Debugger(vitrine, out, f"debug-signals-{kind}", folder, engine)
            compare(debugger, commands)
            compare(debugger, catching)
    for engine in ENGINES:
        debugger = Debugger(vitrine, out, "debug-signals-static", folder, engine)
        answers = debugger.recorded(["handle all nostop noprint pass", "continue", "handle SIGUSR1 SIGUSR2 SIGSEGV stop print pass",
                                     *["reverse-continue", "info symbol $pc"] * 3, "reverse-continue", *["continue", "info symbol $pc"] * 3])[3:]
        names = [re.findall(r"received signal (\w+)", answer) for answer in answers]
        same("backwards", [["SIGSEGV"], ["SIGUSR2"], ["SIGUSR1"]], names[0:6:2])
        assert "No more reverse-execution history" in answers[6], answers[6]
        same("and forwards again", names[4::-2], names[7:13:2])
        same("places", answers[5::-2], answers[8:13:2])


def check_fault(vitrine, out, folder):
    """The signal that ends a program: its siginfo_t tells which address was not there."""
    debugger = Debugger(vitrine, out, "debug-corruption", folder, "translator")
    commands = ["continue", "p $_siginfo.si_signo", "p $_siginfo.si_code", "p $_siginfo._sifields._sigfault.si_addr", "info symbol $pc"]
    wanted, got = debugger.live(commands), debugger.recorded(commands)
    assert "SIGSEGV" in wanted[0], wanted
    same("siginfo", wanted[1:], got[1:])


def check_family(vitrine, out, folder):
    """Children that are made and programs that are executed stop as they do on the machine, and on the way back as well."""
    commands = ["handle all nostop noprint pass", "catch fork", "catch exec", "continue", "info symbol $pc", "continue", "p hits"]
    for kind in BASICS:
        with tempfile.TemporaryDirectory() as other:
            debugger = Debugger(vitrine, out, f"debug-signals-{kind}", other, "translator", ["exec"])
            _, got = compare(debugger, commands, ["continue"])
            assert "forked process" in got[3] and "exec'd" in got[5], got
            assert "No more reverse-execution history" in got[7], got[7]
            answers = debugger.recorded([*commands[:1], "continue", *commands[1:3], "reverse-continue", "p hits", "reverse-continue", "p hits",
                                         "reverse-continue", "p $pc"])[4:]
            assert "exec'd" in answers[0] and "forked process" in answers[2], answers
            same("in front of both", ["22", "22"], [words(answers[1])[-1], words(answers[3])[-1]])
            assert "No more reverse-execution history" in answers[4], answers[4]
            # A child is another timeline of the recording.
            answers = debugger.recorded(["handle all nostop noprint pass", "set follow-fork-mode child", "catch fork", "continue", "next"])
            assert "Can't detach process" in answers[4], answers[4]


def check_vfork(vitrine, out, folder):
    """A child that borrows its parent's memory stops as it does on the machine, and on the way back as well."""
    commands = ["handle all nostop noprint pass", "catch vfork", "continue", "info symbol $pc", "p hits"]
    for kind in BASICS:
        with tempfile.TemporaryDirectory() as other:
            debugger = Debugger(vitrine, out, f"debug-signals-{kind}", other, "translator", ["vfork"])
            wanted, got = compare(debugger, commands, ["continue", "p $_exitcode"])
            assert "vforked process" in got[2] and wanted[6] == "= 7", (wanted, got)
            answers = debugger.recorded([*commands[:1], "continue", commands[1], "reverse-continue", "info symbol $pc", "p hits",
                                         "reverse-continue"])[3:]
            assert "vforked process" in answers[0] and "No more reverse-execution history" in answers[3], answers
            same("in front of it", got[3:5], answers[1:3])


CHECKS = [check_reads, check_calls, check_signals, check_fault, check_family, check_vfork]


def run(vitrine, out, words):
    return run_checks("events", CHECKS, vitrine, out, words)
