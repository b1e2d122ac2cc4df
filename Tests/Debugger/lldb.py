"""Sessions of an unmodified lldb about programs that run and about recordings: it gets to know the program by itself, with or without
`target create`, static and position-independent. Each check returns nothing or raises; without lldb there are none."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from checks import Machine

CANDIDATES = (os.environ.get("LLDB"), shutil.which("lldb"), "/opt/swift/usr/bin/lldb")


def find():
    """An lldb that starts, or None."""
    for path in CANDIDATES:
        if path and os.path.exists(path):
            try:
                if subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0:
                    return path
            except (OSError, subprocess.TimeoutExpired):
                pass
    return None


class Debugger:
    """lldb sessions about one program, or a recording of it."""

    def __init__(self, vitrine, out):
        self.vitrine, self.out, self.lldb = str(vitrine), Path(out), find()

    def session(self, words, commands, target=None, environment=None):
        """The answers to commands, by command."""
        machine = Machine(self.vitrine, *words, environment=environment)
        try:
            return self.typed(machine, commands, target)
        finally:
            machine.__exit__()

    def typed(self, machine, commands, target=None):
        lines = [f"target create {target}"] if target else []
        lines += [f"gdb-remote 127.0.0.1:{machine.place}", *commands]
        with tempfile.NamedTemporaryFile("w", suffix=".lldb") as script:
            # A script of its own: lldb's batch mode leaves a program that gets a signal.
            script.write("\n".join(lines) + "\n")
            script.flush()
            answer = subprocess.run([self.lldb, "--no-lldbinit", "-b", "-o", "settings set use-color false",
                                     "-o", f"command source -s 0 -e 0 -c 0 {script.name}"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                    errors="replace", timeout=120)
        parts = re.split(r"^\(lldb\) (.*)\n", answer.stdout, flags=re.M)
        pairs = list(zip(parts[1::2], parts[2::2]))
        places = [index for index, (command, _) in enumerate(pairs) if command == lines[0]]
        assert places, answer.stdout[-2000:]
        pairs = pairs[places[0]:]
        assert [command for command, _ in pairs] == lines, ([command for command, _ in pairs], answer.stdout[-2000:])
        return [text for _, text in pairs][-len(commands) - 1:]


def wants(answer, *patterns):
    for pattern in patterns:
        assert re.search(pattern, answer, re.M), f"wanted {pattern!r}, got {answer!r:.1200}"


SESSION = [
    ("image list", [r"\[  0\] .*/debug-basics-"]),
    ("breakpoint set --name add", [r"Breakpoint 1: where = debug-basics-\w+`add \+ \d+ at debug-basics.c:13"]),
    ("continue", [r"stop reason = breakpoint 1\.1", r"add\(a=0, b=0\) at debug-basics.c:13"]),
    ("thread backtrace", [r"frame #0: .*add\(a=0, b=0\)", r"frame #1: .*main\(argc=1, .*debug-basics.c:40"]),
    ("frame variable", [r"\(int\) a = 0", r"\(int\) b = 0"]),
    ("finish", [r"stop reason = step out", r"Return value: \(int\) \$\d = 0"]),
    ("next", [r"breakpoint 1\.1", r"add\(a=0, b=1\)"]),
    ("step", [r"stop reason = step in", r"debug-basics.c:14"]),
    ("stepi", [r"stop reason = instruction step into"]),
    ("expression add(20, 22)", [r"\(int\) \$\d = 42"]),
    ("expression factorial(6)", [r"\(long\) \$\d = 720"]),
    ("expression total", [r"\(int\) \$\d = 42"]),
    ("watchpoint set expression -w write -s 4 -- &total", [r"Watchpoint created"]),
    ("breakpoint disable", []),
    ("continue", [r"stop reason = watchpoint 1", r"debug-basics.c:15"]),
    ("watchpoint delete -f", []),
    ("expression total = 77", [r"= 77"]),
    ("memory read --size 4 --format d --count 1 &total", [r": 77"]),
    ("memory write --size 4 &total 78", []),
    ("expression --format d -- total", [r"= 120"]),
    # `next` met a breakpoint in the function: its plan ends here.
    ("continue", [r"stop reason = step over", r"debug-basics.c:41"]),
    ("breakpoint delete -f", []),
    ("breakpoint set --name mean", []),
    ("continue", [r"mean\(values=0x[0-9a-f]+, count=3\)"]),
    ("finish", [r"Return value: \(double\) \$\d = 2\.5"]),
    ("register write rbx 0x1234567890", []),
    ("register read rbx", [r"rbx = 0x0000001234567890"]),
    ("register read xmm0", [r"xmm0 = \{0x00 0x00 0x00 0x00 0x00 0x00 0x04 0x40 "]),
    ("register read ymm0", [r"ymm0 = \{(0x[0-9a-f]{2} ?){32}\}"]),
    ("register read --all", [r"mxcsr = 0x00001f\w\w", r"fctrl = 0x0000037f", r"fs_base = 0x", r"orig_rax = 0x"]),
    ("memory region $pc", [r"r-x .*debug-basics-"]),
    ("expression -- (void)0", []),
    ("continue", [r"exited with status = 5"]),
]


def check_session(debugger):
    """What one does with a debugger, on static and dynamic programs, with a local file and without."""
    for kind in ("static", "dynamic", "dynamic-fixed"):
        program = debugger.out / f"debug-basics-{kind}"
        if not program.exists():
            continue
        for target in (None, program) if kind == "dynamic" else (None,):
            answers = debugger.session([program], [command for command, _ in SESSION], target)[1:]
            for (command, patterns), answer in zip(SESSION, answers, strict=True):
                try:
                    wants(answer, *patterns)
                except AssertionError as problem:
                    raise AssertionError(f"{kind}, {target}, {command}: {problem}") from None


def check_threads(debugger):
    """Threads are listed with what they do, and can be chosen; others keep their registers."""
    program = debugger.out / "debug-threads-dynamic"
    # The first thread may be anywhere behind the barrier, and lldb cannot unwind out of the dynamic loader's resolver.
    first, _, hit, listed, _, back, _, again, _, _, end = debugger.session([program], [
        "breakpoint set --name work", "continue", "thread list", "thread select 1", "thread backtrace", "thread select 2",
        "continue", "breakpoint delete -f", "breakpoint set --name finished", "continue"], environment={"LD_BIND_NOW": "1"})
    wants(first, "stop reason = signal SIGSTOP", "ld-linux")
    wants(hit, r"\* thread #2.*stop reason = breakpoint 1.1")
    assert len(re.findall(r"^[* ] thread #\d: tid = \d+, 0x", listed, re.M)) == 4, listed
    assert listed.count("stop reason") == 1, listed
    wants(back, r"frame #\d+: .*main at debug-threads.c:(29|30)")
    wants(again, r"\* thread #2.*breakpoint 1.1", r"work\(amount=1\)")
    wants(end, r"\* thread #1.*breakpoint 2.1", "finished at debug-threads.c")


def check_signals(debugger):
    """Signals have Linux's numbers and are passed on; forks are left alone, another program is shown."""
    program = debugger.out / "debug-signals-dynamic"
    answers = debugger.session([program, "exec"], ["breakpoint set --name marker", *["continue"] * 7, "image list", "continue"])
    wants(answers[2], "stop reason = signal SIGUSR1")
    wants(answers[3], "stop reason = signal SIGUSR2")
    wants(answers[4], "stop reason = breakpoint 1.1")
    wants(answers[5], "stop reason = signal SIGSEGV", "debug-signals.c:30")
    wants(answers[6], "stop reason = breakpoint 1.1")
    wants(answers[7], "stop reason = exec")
    wants(answers[8] + answers[10], "exited with status = 9")


def check_interrupt(debugger):
    """`process interrupt` stops a program that computes; `detach` lets it run on, `kill` ends it."""
    for leave in ("detach", "kill"):
        machine = Machine(debugger.vitrine, debugger.out / "debug-endless-static")
        lldb = subprocess.Popen([debugger.lldb, "--no-lldbinit"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, errors="replace")
        try:
            def say(line, wait):
                lldb.stdin.write(line + "\n")
                lldb.stdin.flush()
                time.sleep(wait)

            say(f"gdb-remote 127.0.0.1:{machine.place}", 3)
            say("continue", 1)
            say("process interrupt", 2)
            say("thread backtrace", 1)
            say("expression rounds > 1000", 1)
            say(leave, 1)
            answer = lldb.communicate("quit\n", timeout=30)[0]
            wants(answer, r"stop reason = signal SIG(STOP|INT)[^$]*frame #0: .*main[^$]*\(bool\) \$0 = true")
            if leave == "detach":
                wants(answer, r"Process \d+ detached")
                assert machine.process.poll() is None, "ended with lldb"
            else:
                machine.process.wait(10)
        finally:
            lldb.kill()
            machine.__exit__()


def check_recording(debugger):
    """A recording is a program like another; calls of its functions go on in timelines."""
    for kind in ("static", "dynamic"):
        with tempfile.TemporaryDirectory() as folder:
            recording = Path(folder) / "program.rec"
            subprocess.run([debugger.vitrine, "record", "-o", recording, debugger.out / f"debug-basics-{kind}"],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            commands = ["image list", "breakpoint set --name add", "continue", "thread backtrace", "expression total + 1", "finish",
                        "process plugin packet monitor where", "breakpoint disable",
                        "watchpoint set expression -w write -s 4 -- &total", "continue", "watchpoint delete -f",
                        "expression factorial(6)", "breakpoint set --name mean", "continue", "kill"]
            answers = dict(zip(commands, debugger.session([recording], commands)[1:]))
            wants(answers["image list"], r"\[  0\] .*/debug-basics-")
            wants(answers["thread backtrace"], r"#1: .*main\(argc=1.* at debug-basics.c:40")
            wants(answers["expression total + 1"], r"\(int\) \$0 = 1$")
            wants(answers["finish"], r"Return value: \(int\) \$\d = 0")
            where = re.search(r"response: ([0-9a-f]+)", answers["process plugin packet monitor where"])
            wants(bytes.fromhex(where[1]).decode(), r"^instant \d+, thread \d+, 0x[0-9a-f]+ <main")
            wants(answers["expression factorial(6)"], r"= 720")
            wants(answers["continue"], r"mean\(values=0x[0-9a-f]+, count=3\)")
            wants(answers["kill"], r"exited with status = 9")


def check_backwards(debugger):
    """Where lldb can go back it meets breakpoints in the opposite order, and both ends."""
    if "--reverse" not in subprocess.run([debugger.lldb, "-b", "-o", "help process continue"], capture_output=True, text=True).stdout:
        return
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "program.rec"
        subprocess.run([debugger.vitrine, "record", "-o", recording, debugger.out / "debug-basics-static"], stdin=subprocess.DEVNULL,
                       capture_output=True, timeout=60)
        answers = debugger.session([recording], [
            "breakpoint set --name mean", "continue", "breakpoint delete -f", "breakpoint set --name add", *["process continue --reverse"] * 3,
            "breakpoint delete -f", "process continue --reverse", "process continue --forward", "process continue --reverse"])[1:]
        for answer, arguments in zip(answers[4:7], ("a=10, b=5", "a=6, b=4", "a=3, b=3"), strict=True):
            wants(answer, "stop reason = breakpoint 2.1", rf"add\({arguments}\)")
        wants(answers[8], "the beginning of the recording", "_start")
        wants(answers[9], "the end of the recording")
        wants(answers[10], "the beginning of the recording")


CHECKS = [check_session, check_threads, check_signals, check_interrupt, check_recording, check_backwards]


def run(vitrine, out, words):
    chosen = [check for check in CHECKS if not words or any(word in "lldb_" + check.__name__[6:] for word in words)]
    debugger = Debugger(vitrine, out)
    if chosen and debugger.lldb is None:
        print(f"lldb is not installed: {len(chosen)} of its sessions left out")
        return
    for check in chosen:
        name = "lldb_" + check.__name__.removeprefix("check_")
        try:
            check(debugger)
            yield name, None
        except Exception as problem:
            yield name, f"{type(problem).__name__}: {problem}"
