#!/usr/bin/env python3
"""Tests of the terminal debugger (`vitrine debug` without --gdb): scripts of commands with what they have to answer; every step of a
program against the native one under gdb; the guest's terminal against tmux, with random sequences; the whole screen inside
tmux at three sizes against stored screens, storms of sizes and of keys, the terminal's state afterwards, the time a stop takes.
The last line is `N passed, M failed`.

    Tests/Debugger/terminal.py              all
    Tests/Debugger/terminal.py screens      those whose name contains the word
    Tests/Debugger/terminal.py --update     stores the screens as they are now: look at the difference before committing it
"""

import json
import os
import pty
import random
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import inlined
import inlined_places
import lines
import recordings

ROOT = Path(__file__).resolve().parents[2]
VITRINE = os.environ.get("VITRINE") or str(ROOT / ".build/release/vitrine")
OUT = ROOT / "Tests/Guests/.out"
SCREENS = Path(__file__).resolve().parent / "screens"
# The screens show paths.
FOLDER = Path("/tmp/.vitrine-terminal")
PANELS = str(FOLDER / "panels")
FIXED = ["--clear-env", "--cpu", "v2", "--no-vdso", "--engine", "translator"]
UPDATE = "--update" in sys.argv

results = {"passed": 0, "failed": 0}


def check(name, condition, told=""):
    results["passed" if condition else "failed"] += 1
    if not condition:
        print(f"FAILED {name}\n{told}".rstrip(), flush=True)


def batch(commands, program, *options, timeout=60):
    words = [VITRINE, "debug", *options]
    for command in commands:
        words += ["--command", command]
    program = [program] if isinstance(program, str) else program
    return subprocess.run(words + ["--"] + program, capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)


# MARK: Scripts

# Commands, the program, the exit code, and regular expressions that the lines of the answer have to match.
SCRIPTS = {
    "breakpoint": (["break square", "continue", "registers rdi", "continue 3", "registers rdi", "delete 1", "continue"], PANELS, 0, [
        r"1 at square \(0x40014d\)", r"breakpoint 1 at 0x40014d <square>", "rdi 0x1 = 1", "breakpoint 1 .*", "rdi 0x4 = 4",
        "exited with code 7"]),
    "condition": (["break square if rdi == 9 && byte[begins] == 'b'", "continue", "registers rdi", "breakpoints", "continue"], PANELS, 0, [
        "1 at square, on a condition .*", "breakpoint 1 .*", "rdi 0x9 = 9", "1 at square, on a condition, 1 times", "exited with code 7"]),
    "finish": (["break square if rdi == 5", "continue", "frames", "finish", "registers rax"], PANELS, 0, [
        "1 .*", "breakpoint 1 .*", r" #0 0040014d square", r" #1 00400110 again\+0x8", r"reached 0x400110 <again\+0x8>, rax = 0x19",
        "rax 0x19 = 25"]),
    "next-and-step": (["next 4", "registers rip", "step 4", "until square", "next 100000", "expect-stop exited"], PANELS, 0, [
        r"stepped to 0x400100 .*", "rip 0x400100 .*", "stepped to 0x400110.*|stepped to 0x40014d .*", r"reached 0x40014d <square>",
        "exited with code 7"]),
    "watch": (["watch total", "continue", "print [total]", "expect [total] == 385", "awatch large 8", "delete 1", "continue"], PANELS, 0, [
        "1 changes of total, 8 bytes at 0x401000 .*", r"watchpoint 1 \(total\): now 0x181, at 0x40012e .*", "0x181 = 385",
        "2 reads and writes of large, 8 bytes at 0x401008 .*", "exited with code 7"]),
    "read-watch": (["rwatch large", "continue", "continue", "status"], PANELS, 0, [
        "1 reads of large.*", r"watchpoint 1 \(large\): now 0x1, at 0x400162 .*", "watchpoint 1 .*: now 0x2, .*", "watchpoint 1 .*"]),
    "system-calls": (["catch write", "continue", "continue", "catch none", "continue", "calls 4"], PANELS, 0, [
        "stops around write", "system call write begins", "system call write returned 7", "system calls do not stop",
        "exited with code 7", r'write\(1, "begins\\n", 7\) = 7', r'write\(1, "ends\\n", 5\) = 5', r'exit_group\(7\) = \?', ".*exited with 7 .*"]),
    "change": (["break square", "continue", "set rdi = 100", "poke large 2a", "delete all", "finish", "expect rax == 10000",
                "expect [large] == 43", "set eax = 3", "expect rax == 3", "set ah = 1", "expect rax == 0x103"], PANELS, 0, [
        "1 .*", "breakpoint 1 .*", "reached .*"]),
    "find": (["find 62 65 67 69 6e 73", "find \"ends\"", "find-code imul", "goto table", "expect-stop loaded"], PANELS, 0, [
        "0x400177 <begins> in .*panels", "0x40017e <ends> in .*panels", r"0x400151 <square\+0x4>: imul .*", "0x401010 <table>"]),
    "memory": (["continue", "memory table 24", "string begins", "disassemble square 2", "syntax att", "disassemble square 2"], PANELS, 0, [
        "exited with code 7", r"000000401010 00( 00){7} 01( 00){7} +\.{16}", r"000000401020 05( 00){7} +\.{8}",
        r'"begins\\nends\\n.*', "square:", r" +0040014d push +rbp", r" +0040014e mov +rax,rdi", "square:", r" +0040014d push +%rbp",
        r" +0040014e mov +%rdi,%rax"]),
    "fails": (["expect 1", "expect rax == 1", "print 2"], PANELS, 1, []),
    "unknown": (["brake main"], PANELS, 1, []),
    "wrong-place": (["break nowhere"], PANELS, 1, []),
    "quits": (["print 1", "quit", "print 2"], PANELS, 0, ["0x1 = 1"]),
    "threads": (["break work", "continue", "frames", "finish", "delete all", "watch counter", "continue", "print [counter] != 0",
                 "delete all", "continue"], [str(OUT / "debug-threads-static")], 0, [
        "1 at work .*", r"breakpoint 1 at .*<work> at debug-threads.c:\d+", r" #0 .* work at debug-threads.c:\d+",
        r" #1 .* run\+0x[0-9a-f]+ at debug-threads.c:\d+", r" #2 .* start_thread.*", " #3 .*",
        r"reached .* <run\+0x[0-9a-f]+> at debug-threads.c:\d+, rax = 0x[0-9a-f]+", "2 changes of counter.*", r"watchpoint 2 \(counter\): now .*", "0x1 = 1",
        "exited with code 0"]),
    "interrupted": (["run-for 300", "type \\x03", "continue", "registers rip"], [str(OUT / "debug-endless-static")], 0, [
        "stopped at .*", "killed by SIGINT", "rip .*"]),
    "exec": (["catch exec", "continue", "catch none", "continue"], ["/bin/busybox", "sh", "-c", "exec " + PANELS], 0, [
        "stops where a program begins", "executes .*panels", "system calls do not stop", "exited with code 7"]),
    "signal": (["handle SIGUSR1 stop", "continue", "expect-stop SIGUSR1", "continue"], ["/bin/busybox", "sh", "-c", "kill -USR1 $$"], 0, [
        "SIGUSR1 stops", "signal SIGUSR1 .*", "killed by SIGUSR1"]),
    "signal-refused": (["handle SIGUSR1 stop", "continue", "signal 0"], ["/bin/busybox", "sh", "-c", "kill -USR1 $$; exit 3"], 0, [
        "SIGUSR1 stops", "signal SIGUSR1 .*", "exited with code 3"]),
}


def scripts():
    for name, (commands, program, code, expected) in SCRIPTS.items():
        answer = batch(commands, program)
        lines = answer.stdout.splitlines()
        told = f"code {answer.returncode}\n{answer.stdout}{answer.stderr}"
        check(f"script {name}", answer.returncode == code and len(lines) == len(expected)
              and all(re.fullmatch(pattern, line) for pattern, line in zip(expected, lines)), told)
    more_scripts()


def more_scripts():
    # JSON: one object a command, also for the one that fails.
    answer = batch(["break square", "continue", "registers rdi", "expect 0"], PANELS, "--json")
    objects = [json.loads(line) for line in answer.stdout.splitlines()]
    check("json", answer.returncode == 1 and [item["ok"] for item in objects] == [True, True, True, False]
          and objects[1]["rip"] == "0x40014d" and objects[2]["rdi"] == "0x1" and "error" in objects[3], answer.stdout)
    # What runs shows in the profile while a script waits.
    answer = batch(["run-for 700", "profile", "show profile", "screen 100x30"], [str(OUT / "debug-endless-static")], "--json")
    objects = [json.loads(line) for line in answer.stdout.splitlines()]
    check("profile of a program that runs", len(objects) == 4 and objects[1]["samples"] == objects[1]["total"] > 5
          and any("samples" in line for line in objects[3]["lines"]), answer.stdout + answer.stderr)
    # From a file, with remarks and empty lines.
    with tempfile.NamedTemporaryFile("w", suffix=".commands") as file:
        file.write("# a remark\n\n  break square\ncontinue\n\tprint rdi + 1\n")
        file.flush()
        answer = batch([], PANELS, "--script", file.name)
        check("script file", answer.stdout.splitlines()[2:] == ["0x2 = 2"], answer.stdout + answer.stderr)
        answer = batch([f"source {file.name}"], PANELS)
        check("source", answer.stdout.splitlines()[2:] == ["0x2 = 2"], answer.stdout + answer.stderr)
    # A program that cannot be started says why.
    answer = batch(["continue"], "/nonexistent/program")
    check("no program", answer.returncode == 125 and "nonexistent" in answer.stderr, answer.stderr)
    # Conversations with real programs, and the stop of one that runs.
    answer = batch(["run-for 1500", "type echo $((6*7))!\\n", "run-for 500", "expect-terminal 42!", "frames", "type exit 5\\n", "continue"],
                   ["/bin/bash", "--norc", "--noprofile"])
    check("bash", answer.returncode == 0 and "exited with code 5" in answer.stdout and "readline" in answer.stdout, answer.stdout + answer.stderr)
    loop = "n = 0\nwhile True: n += 1"
    answer = batch(["run-for 1500", "expect-stop stopped", "frames", "find \"while True\"", "threads"], [shutil.which("python3", path="/usr/bin"), "-c", loop])
    check("python", answer.returncode == 0 and "PyEval_EvalCode" in answer.stdout and "Py_BytesMain" in answer.stdout, answer.stdout + answer.stderr)
    answer = batch(["catch openat", "continue", "expect-stop openat", "frames", "catch none", "continue"], ["/bin/busybox", "cat", "/etc/hostname"])
    check("busybox", answer.returncode == 0 and "exited with code 0" in answer.stdout, answer.stdout + answer.stderr)
    # The picture is XML.
    picture = FOLDER / "picture.svg"
    answer = batch(["break square", "continue", f"picture {picture} 120x40"], PANELS, *FIXED)
    import xml.etree.ElementTree
    try:
        root = xml.etree.ElementTree.parse(picture).getroot()
        check("picture", root.tag.endswith("svg") and "square" in "".join(root.itertext()))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        check("picture", False, f"{error} {answer.stderr}")


# MARK: Steps, natively

REGISTERS = ["rip", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r12"]


def steps():
    count = 130
    script = "set pagination off\nstarti\nset $n = 0\nwhile $n < %d\n stepi\n printf \"STEP\"\n" % count
    script += "".join(f' printf " %lx", ${name}\n' for name in REGISTERS) + ' printf "\\n"\n set $n = $n + 1\nend\nkill\n'
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as file:
        file.write(script)
        file.flush()
        native = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", file.name, PANELS], capture_output=True, text=True, timeout=120)
    expected = [line.split()[1:] for line in native.stdout.splitlines() if line.startswith("STEP")]
    commands = []
    for _ in range(count):
        commands += ["step", "registers " + " ".join(REGISTERS)]
    answer = batch(commands, PANELS, "--json")
    objects = [json.loads(line) for line in answer.stdout.splitlines()][1::2]
    own = [[item[name][2:] for name in REGISTERS] for item in objects]
    first = next((place for place, pair in enumerate(zip(expected, own)) if pair[0] != pair[1]), None)
    told = f"{len(expected)} native, {len(own)} own" if first is None else f"step {first + 1}: {expected[first]} {own[first]}"
    check("steps as natively", len(expected) == count and own == expected, told + native.stderr[-500:])


# MARK: tmux


class Tmux:
    """A tmux server of its own with one window that runs `command`."""

    def __init__(self, width, height, command):
        self.socket = tempfile.mktemp(prefix="vitrine-tmux-")
        configuration = FOLDER / "tmux.conf"
        configuration.write_text("set -g remain-on-exit on\nset -g escape-time 0\nset -g default-terminal screen-256color\nset -g status off\n")
        self.run("-f", str(configuration), "new-session", "-d", "-x", str(width), "-y", str(height), command)

    def run(self, *words):
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "TERM": "screen-256color"}
        return subprocess.run(["tmux", "-u", "-S", self.socket, *words], capture_output=True, text=True, timeout=30, env=environment)

    def screen(self, *words):
        return self.run("capture-pane", "-p", *words).stdout

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def bytes(self, data):
        for start in range(0, len(data), 500):
            self.run("send-keys", "-H", *[f"{byte:02x}" for byte in data[start : start + 500]])

    def resize(self, width, height):
        self.run("resize-window", "-x", str(width), "-y", str(height))

    def wait(self, wanted, seconds=10):
        """The screen, once it is what `wanted` says and has stopped changing."""
        end = time.monotonic() + seconds
        old = ""
        while time.monotonic() < end:
            new = self.screen()
            if new == old and wanted(new):
                return new
            old = new
            time.sleep(0.1)
        print(f"waited in vain at {sys._getframe(1).f_code.co_name}:{sys._getframe(1).f_lineno}", flush=True)
        return old

    def close(self):
        self.run("kill-server")
        Path(self.socket).unlink(missing_ok=True)


def start(width, height, program=None, options=FIXED):
    words = [VITRINE, "debug", *options, "--", *(program or [PANELS])]
    return Tmux(width, height, "COLORTERM=truecolor " + " ".join(words) + "; echo CODE $?; exec sleep 100")


def compare(name, screen):
    path = SCREENS / f"{name}.txt"
    screen = "\n".join(line.rstrip() for line in screen.rstrip("\n").split("\n")) + "\n"
    if UPDATE:
        path.write_text(screen)
    expected = path.read_text() if path.exists() else ""
    pairs = [f"- {a}\n+ {b}" for a, b in zip(expected.splitlines(), screen.splitlines()) if a != b]
    check(f"screen {name}", screen == expected, "\n".join(pairs[:10]))


def screens():
    for width, height in [(80, 24), (120, 40), (250, 70)]:
        size = f"{width}x{height}"
        tmux = start(width, height)
        shown = tmux.wait(lambda text: "the program is loaded" in text)
        # More rows of the kernel's stack would depend on the kernel.
        if height == 24:
            compare(f"{size}-begin", shown)
        check(f"begins {size}", "_start:" in shown, shown)
        tmux.keys(":", "break square if rdi == 6", "Enter", "c")
        tmux.wait(lambda text: "breakpoint 1 at" in text)
        tmux.keys("g", "table", "Enter", "1")
        time.sleep(0.2)
        tmux.keys("Escape")
        compare(f"{size}-breakpoint", tmux.wait(lambda text: "breakpoint 1 at" in text))
        tmux.keys("f", "a", "s", "s", "s", "s")
        compare(f"{size}-steps", tmux.wait(lambda text: "stepped to 0x400121" in text))
        tmux.keys("?")
        compare(f"{size}-help", tmux.wait(lambda text: "step, next, finish" in text))
        tmux.keys("Escape")
        time.sleep(0.2)
        tmux.keys("z")
        compare(f"{size}-zoom", tmux.wait(lambda text: "2 registers" not in text))
        tmux.keys("z", "Tab", "x", "8", "c")
        compare(f"{size}-end", tmux.wait(lambda text: "exited with code 7" in text))
        check(f"colours {size}", "\x1b[38;2;" in tmux.screen("-e"))
        tmux.close()


def mouse():
    tmux = start(120, 40)
    tmux.wait(lambda text: "the program is loaded" in text)
    row = next((number for number, line in enumerate(tmux.screen().splitlines()) if "call" in line and "square" in line), 0)
    tmux.bytes(b"\x1b[<0;8;%dM\x1b[<0;8;%dm" % (row + 1, row + 1))
    shown = tmux.wait(lambda text: "●" in text)
    check("mouse sets a breakpoint", "●" in shown.splitlines()[row] and "breakpoint 1" in shown, shown)
    tmux.keys("c")
    check("mouse's breakpoint stops", "breakpoint 1 at 0x40010b" in tmux.wait(lambda text: "breakpoint 1 at 0x40010b" in text))
    tmux.bytes(b"\x1b[<0;8;%dM\x1b[<0;8;%dm" % (row + 1, row + 1))
    check("mouse removes it", "●" not in tmux.wait(lambda text: "●" not in text))
    # A register that points somewhere is followed into memory; there bytes are chosen, and watched.
    row, column = next((number, line.index("rsp ")) for number, line in enumerate(tmux.screen().splitlines()) if "rsp 0" in line)
    stack = tmux.screen().splitlines()[row][column + 4:column + 20].lstrip("0")
    tmux.bytes(b"\x1b[<0;%d;%dM\x1b[<0;%d;%dm" % ((column + 6, row + 1) * 2))
    shown = tmux.wait(lambda text: f"memory 0x{stack}" in text)
    check("a click follows a register", f"memory 0x{stack}" in shown, shown)
    row, column = next((number, line.index("memory 0x")) for number, line in enumerate(shown.splitlines()) if "memory 0x" in line)
    left = shown.splitlines()[row + 1].rfind("│", 0, column) + 1 + 14
    tmux.bytes(b"\x1b[<0;%d;%dM\x1b[<32;%d;%dM\x1b[<0;%d;%dm" % (left, row + 2, left + 11, row + 2, left + 11, row + 2))
    shown = tmux.wait(lambda text: "12 bytes chosen" in text)
    check("dragging chooses bytes", "12 bytes chosen" in shown, shown)
    tmux.keys(":", "watch", "Enter")
    shown = tmux.wait(lambda text: "changes of 0x" in text)
    check("what is chosen is watched", re.search(r"changes of 0x\w+, 12 bytes", shown) is not None, shown)
    tmux.keys("Escape")
    check("Escape chooses nothing", "bytes chosen" not in tmux.wait(lambda text: "bytes chosen" not in text))
    # Over code a word is part of an instruction; what is none is a symbol.
    tmux.keys("1", "/", "syscall", "Enter")
    shown = tmux.wait(lambda text: ": syscall" in text)
    check("/ finds an instruction", ": syscall" in shown, shown)
    tmux.keys("5", "/", "squar", "Enter")
    shown = tmux.wait(lambda text: "<square>" in text.splitlines()[-1])
    check("/ finds a symbol", "<square>" in shown.splitlines()[-1], shown)
    before = tmux.screen()
    tmux.bytes(b"\x1b[<65;8;5M")
    check("wheel scrolls", tmux.wait(lambda text: text != before) != before)
    tmux.close()


def storms():
    numbers = random.Random(5)
    tmux = start(80, 24)
    first = tmux.wait(lambda text: "the program is loaded" in text)
    for _ in range(60):
        tmux.resize(numbers.randint(2, 300), numbers.randint(2, 100))
        if numbers.random() < 0.3:
            time.sleep(0.02)
    tmux.resize(80, 24)
    after = tmux.wait(lambda text: text.rstrip() == first.rstrip())
    check("storm of sizes", after.rstrip() == first.rstrip(), after)
    tmux.close()
    keys_storm("endless", (80, 24), [str(OUT / "debug-endless-static")], 10000)
    keys_storm("cat", (120, 40), ["/bin/busybox", "cat"], 10000)


PIECES = [b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[5~", b"\x1b[6~", b"\x1b[H", b"\x1b[F", b"\x1b[Z", b"\t", b"\r", b"\x7f", b"\x1b",
          b"\x1d", b"\x1bOP", b"\xc3\xa9", b"\xff", b"\x03", b"s", b"n", b"c", b" ", b"b", b"z", b"t\x1d", b"v", b"a", b"?", b"g", b"/", b":"]


def keys_storm(name, size, program, count):
    """Random keys: letters (but q, which ends it), sequences, the mouse, garbage."""
    numbers = random.Random(f"{name} 1")
    tmux = start(*size, program, ["--cpu", "v2"])
    tmux.wait(lambda text: "the program is loaded" in text)
    sent = 0
    while sent < count:
        data = b""
        for _ in range(100):
            kind = numbers.random()
            if kind < 0.5:
                data += numbers.choice(PIECES)
            elif kind < 0.8:
                data += numbers.choice("abcdefghijklmnoprstuvwxyz0123456789<>[]()+-*=\"' ".replace("q", "")).encode()
            elif kind < 0.9:
                button = numbers.choice([0, 0, 1, 2, 32, 64, 65])
                data += b"\x1b[<%d;%d;%d%c" % (button, numbers.randint(1, size[0] + 10), numbers.randint(1, size[1] + 5), numbers.choice(b"Mm"))
            else:
                data += bytes(numbers.choice([byte for byte in range(256) if byte not in b"qQ\x1c"]) for _ in range(numbers.randint(1, 4)))
            sent += 1
        tmux.bytes(data)
    # Out of whatever it is in: a sequence, the terminal, an overlay, a line; then it still answers.
    shown = ""
    for _ in range(5):
        tmux.bytes(b"\x18\x1d")
        time.sleep(0.1)
        for _ in range(3):
            tmux.bytes(b"\x1b")
            time.sleep(0.1)
        tmux.bytes(b"?")
        shown = tmux.wait(lambda text: "step, next, finish" in text, 3)
        if "step, next, finish" in shown:
            break
    check(f"storm of keys, {name}", "step, next, finish" in shown, shown)
    tmux.bytes(b"\x1b")
    time.sleep(0.2)
    tmux.bytes(b"q")
    shown = tmux.wait(lambda text: "CODE" in text, 5)
    # The code is the program's, if a signal has ended it, or 0; nothing has crashed.
    code = re.search(r"CODE (\d+)", shown)
    check(f"quits after a storm, {name}", code is not None and code[1] in ["0", "129", "130", "143"], shown)
    tmux.close()


# MARK: The guest's terminal against tmux


def stream(numbers):
    """Text and the sequences that both have to understand. A place comes in front of each sequence: what sequences do when a row has just
    been filled, and in which column lines are inserted, differs between tmux and xterm."""
    out = []
    for _ in range(numbers.randint(20, 120)):
        kind = numbers.random()
        a, b = numbers.randint(0, 26), numbers.randint(0, 84)
        if kind < 0.45:
            out.append("".join(numbers.choice("abcXYZ 0123.éß─") for _ in range(numbers.randint(1, 30))))
            continue
        out.append(f"\x1b[{numbers.randint(1, 24)};{numbers.randint(1, 79)}H")
        if kind < 0.55:
            out.append(numbers.choice(["\r\n", "\n", "\r", "\b", "\t"]))
        elif kind < 0.85:
            letter = numbers.choice("ABCDGd@PXLMSTKJEF")
            # tmux 3.3 moves too much where many characters are inserted.
            count = numbers.choice([a % 9, ""]) if letter == "@" else numbers.choice([a, b, ""])
            out.append(f"\x1b[{count}{letter}".replace("[3J", "[J"))
            if out[-1][-1] in "LM":
                # Outside the range that scrolls they do nothing in xterm.
                out[-1] = f"\x1b[r\x1b[{numbers.randint(1, 24)};1H" + out[-1]
        elif kind < 0.93:
            out.append(f"\x1b[{a};{b}H")
        elif kind < 0.96:
            top = numbers.randint(1, 20)
            out.append(numbers.choice([f"\x1b[{top};{top + numbers.randint(1, 4)}r", "\x1b[r"]))
        else:
            out.append(numbers.choice(["\x1bM", "\x1bD", "\x1bE", "\x1b7\x1b[9;9H\x1b8", "\x1b[?7l", "\x1b[?7h", "\x1b[?1049h\x1b[4;4Hother\x1b[?1049l",
                                       "\x1b[5;9H\x1b[4hins\x1b[4l", "\x1b[1;31m", "\x1b[0m", "\x1b[38;5;99m", "\x1b[48;2;1;2;3m"]))
    return "".join(out) + "\x1b[m\x1b[r\x1b[24;1HEND"


def emulator():
    numbers = random.Random(11)
    file = FOLDER / "stream"
    differences = []
    rounds = 40
    for number in range(rounds):
        file.write_text(stream(numbers))
        tmux = Tmux(80, 24, f"stty raw; cat {file}; exec sleep 100")
        expected = tmux.wait(lambda text: "END" in text).rstrip("\n").split("\n")
        tmux.close()
        answer = batch(["continue", "terminal"], ["/bin/busybox", "sh", "-c", f"stty raw; cat {file}"])
        own = answer.stdout.split("\n")[1:-1]
        expected = [line.rstrip() for line in expected]
        while expected and not expected[-1]:
            expected.pop()
        own = [line.rstrip() for line in own]
        if own != expected:
            shutil.copy(file, FOLDER / f"stream-{number}")
            pairs = [f"tmux {a!r}\nown  {b!r}" for a, b in zip(expected + [""] * 30, own + [""] * 30) if a != b]
            differences.append(f"stream {number}:\n" + "\n".join(pairs[:3]))
    check(f"terminal as tmux has it ({rounds} streams)", not differences, "\n".join(differences[:3]) + f"\n{len(differences)} differ")


def guests():
    """Full-screen programs: what they show in the debugger's terminal is what they show outside."""
    for name, words in [("vim", ["/usr/bin/vim", "-u", "NONE", "-N", "-i", "NONE", "/etc/passwd"]), ("less", ["/usr/bin/less", "/etc/services"])]:
        outside = Tmux(80, 24, "TERM=xterm-256color exec " + " ".join(words))
        keys = ["j", "j", "G", "k"]
        time.sleep(0.5)
        outside.keys(*keys)
        expected = outside.wait(lambda text: text.strip() != "").splitlines()
        outside.close()
        commands = ["run-for 1500", "type jjGk", "run-for 700", "terminal"]
        answer = batch(commands, words, "--env", "TERM=xterm-256color")
        own = answer.stdout.splitlines()[2:]
        expected = [line.rstrip() for line in expected]
        while expected and not expected[-1]:
            expected.pop()
        pairs = [f"outside {a!r}\ninside  {b!r}" for a, b in zip(expected + [""] * 30, own + [""] * 30) if a.rstrip() != b.rstrip()]
        check(f"terminal shows {name}", [line.rstrip() for line in own] == expected, "\n".join(pairs[:4]))


# MARK: The state of the terminal, and times


class Screen:
    """The debugger on a pseudo-terminal of ours."""

    def __init__(self, program, options=()):
        self.master, slave = pty.openpty()
        import fcntl
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([VITRINE, "debug", *options, "--", *program], stdin=slave, stdout=slave, stderr=slave,
                                        env=dict(os.environ, TERM="xterm-256color", COLORTERM="truecolor"), start_new_session=True)
        self.seen = b""
        self.mark = 0

    def until(self, wanted, seconds=5):
        """Whether `wanted` comes behind what the last call found."""
        end = time.monotonic() + seconds
        while wanted not in self.seen[self.mark :] and time.monotonic() < end:
            if select.select([self.master], [], [], 0.01)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
        place = self.seen.find(wanted, self.mark)
        self.mark = place + len(wanted) if place >= 0 else len(self.seen)
        return place >= 0

    def type(self, data):
        os.write(self.master, data)

    def stop_time(self, key, seconds):
        """How long a stop takes, so many seconds after `key` has set the program going; 9: there was none."""
        self.type(key)
        self.until(b"running")
        time.sleep(seconds)
        begin = time.monotonic()
        self.type(b" ")
        return time.monotonic() - begin if self.until(b"stopped") else 9


def restored():
    for name, end in [("q", lambda screen: screen.type(b"q")),
                      ("SIGTERM", lambda screen: os.kill(screen.process.pid, signal.SIGTERM)),
                      ("SIGINT", lambda screen: os.kill(screen.process.pid, signal.SIGINT)),
                      ("death of the machine", kill_child)]:
        screen = Screen([PANELS], FIXED)
        check(f"begins ({name})", screen.until(b"\x1b[?1049h") and screen.until(b"loaded"))
        inside = termios.tcgetattr(screen.slave)
        end(screen)
        left = screen.until(b"\x1b[?1049l")
        code = screen.process.wait(10)
        same = termios.tcgetattr(screen.slave) == screen.before
        check(f"terminal restored after {name}", left and same and inside != screen.before and b"\x1b[?25h" in screen.seen[-300:]
              and b"\x1b[?1000l" in screen.seen[-300:], f"{left} {same} {code} {screen.seen[-200:]!r}")
        codes = {"q": 0, "SIGTERM": -15, "SIGINT": -2, "death of the machine": 137}
        check(f"exit code after {name}", code == codes[name], str(code))


def kill_child(screen):
    children = Path(f"/proc/{screen.process.pid}/task/{screen.process.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGKILL)


def times():
    screen = Screen([str(OUT / "debug-endless-static")])
    screen.until(b"loaded")
    taken = []
    while len(taken) < 12 and 9 not in taken:
        taken.append(screen.stop_time(b"c", 0.25))
    # While it runs, frames come at 30 Hz.
    screen.type(b"c")
    screen.until(b"running")
    begin, frames = time.monotonic(), len(screen.seen)
    screen.until(b"never", 1)
    count = screen.seen[frames:].count(b"\x1b[?2026h")
    screen.type(b" q")
    screen.process.wait(10)
    taken.sort()
    print(f"a key stops a running program in {taken[len(taken) // 2] * 1000:.0f} ms (median of {len(taken)}), {count} frames a second")
    check("a key stops within 50 ms", taken[len(taken) // 2] < 0.05, str(taken))


PARTS = [scripts, steps, screens, mouse, storms, emulator, guests, restored, times, *recordings.parts(sys.modules[__name__]),
         *lines.parts(sys.modules[__name__]), *inlined.parts(sys.modules[__name__]), *inlined_places.parts(sys.modules[__name__])]


def main():
    FOLDER.mkdir(exist_ok=True)
    SCREENS.mkdir(exist_ok=True)
    shutil.copy(OUT / "panels", PANELS)
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    for part in PARTS:
        if not words or any(word in part.__name__ for word in words):
            begin = time.monotonic()
            part()
            print(f"{part.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
    print(f"{results['passed']} passed, {results['failed']} failed")
    sys.exit(1 if results["failed"] else 0)


if __name__ == "__main__":
    main()
