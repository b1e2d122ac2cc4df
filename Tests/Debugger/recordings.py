"""The terminal debugger over recordings: movements backwards undo those forwards, the screen inside tmux at two sizes against stored ones,
the time line, keys that stop a journey, random keys. Parts of terminal.py, whose helpers it gets."""

import json
import os
import random
import re
import subprocess
import time


def parts(terminal):
    """The parts, as terminal.py runs them."""
    tests = Recordings(terminal)
    return [tests.recordings, tests.recording_screens, tests.recording_mouse, tests.recording_keys, tests.recording_stops,
            tests.activity_screens, tests.activity_keys, tests.few_colours]


class Recordings:
    def __init__(self, terminal):
        self.terminal = terminal
        self.check = terminal.check

    def record(self, name, words):
        path = self.terminal.FOLDER / f"{name}.rec"
        subprocess.run([self.terminal.VITRINE, "record", "--clear-env", "--cpu", "v2", "--no-vdso", "-o", path, "--", *words],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)
        return path

    def ask(self, path, commands):
        """The answers, as objects."""
        run = subprocess.run([self.terminal.VITRINE, "debug", "--json", "--script", "-", path], input="\n".join(commands) + "\n",
                             capture_output=True, text=True, timeout=120)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def script(self, name, path, commands, expected):
        run = subprocess.run([self.terminal.VITRINE, "debug", *[word for command in commands for word in ("--command", command)], path],
                             capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        lines = run.stdout.splitlines()
        self.check(f"recording: {name}", run.returncode == 0 and len(lines) == len(expected)
                   and all(re.fullmatch(pattern, line) for pattern, line in zip(expected, lines)), run.stdout + run.stderr)

    # MARK: Movements

    def recordings(self):
        panels = self.record("panels", [self.terminal.PANELS])
        self.script("calls", panels, ["break square if rdi == 6", "continue", "frames", "reverse-finish", "next", "delete 1", "reverse-step",
                                      "next", "reverse-next", "registers rax"], [
            "1 at square, on a condition .*", r"breakpoint 1 at instant 90, 0x40014d <square>", " #0 0040014d square",
            r" #1 00400110 again\+0x8", r"back at instant 89, 0x40010b <again\+0x3>", r"breakpoint 1 at instant 90, .*",
            r"stepped back to instant 89, .*", r"stepped to instant 98, 0x400110 <again\+0x8>",
            r"stepped back to instant 89, .*", "rax 0x19 = 25"])
        self.script("stops", panels, ["watch total", "continue", "print [total]", "reverse-continue", "print [total]", "delete all",
                                      "reverse-until square", "until say", "catch write", "continue", "reverse", "expect rax == 1"], [
            "1 changes of total.*", r"watchpoint 1 \(total\): now 0x181, at instant 169, .*", "0x181 = 385",
            r"watchpoint 1 \(total\): is about to change from 0x0, at instant 168, .*", "0x0 = 0", r"back at instant \d+, 0x40014d <square>",
            r"reached instant \d+, 0x400164 <say>", "stops around write", r"system call write returned 5, at instant 177, .*",
            r"system call write begins, at instant 176, .*"])
        self.script("output", panels, ["seek 20", "terminal", "seek end", "terminal", "reverse-step", "calls 2", "seek start", "terminal"], [
            "at instant 20, .*", "begins", "exited with code 7", "begins", "ends", "stepped back to .*", r'write\(1, "ends\\n", 5\) = 5',
            "→ exit_group, in .*", "the beginning, at instant 0, .*"])
        self.consistency(panels, 60)
        self.consistency(self.record("threads", [str(self.terminal.OUT / "debug-threads-static")]), 60)
        self.consistency(self.record("signals", [str(self.terminal.OUT / "debug-signals-static")]), 60)
        self.calls_back()

    def consistency(self, path, count):
        """A step back undoes a step, wherever one is, and so does `reverse-next` a `next`; whatever way leads to an instant."""
        end = self.ask(path, ["seek end", "print instant"])[1]["value"]
        numbers = random.Random(str(path))
        all_registers = "registers rip rax rbx rcx rdx rsi rdi rbp rsp r8 r11 r12 fs_base"
        wrong = []
        for _ in range(count):
            place = numbers.randrange(1, int(end, 16) - 1)
            commands = [f"seek {place}", "step", "reverse-step"]
            for _ in range(3):
                commands += ["where", all_registers, "hash", "step", "where", all_registers, "reverse-step"]
            commands += [all_registers, "hash"]
            answers = [answer.get("lines") for answer in self.ask(path, commands)][3:]
            if any(answers[7 * turn] != answers[0] or answers[7 * turn + 1] != answers[1] or answers[7 * turn + 2] != answers[2]
                   or answers[7 * turn + 4] != answers[4] or answers[7 * turn + 5] != answers[5] for turn in range(3)) \
                    or answers[21:] != answers[1:3]:
                wrong.append((place, answers))
        self.check(f"reverse-step undoes step, {path.name}", not wrong, str(wrong[:2])[:1500])

    def calls_back(self):
        """`reverse-next` over calls and `reverse-finish`, in a program with a library's functions: they land on call instructions."""
        path = self.record("static", [str(self.terminal.OUT / "debug-basics-static")])
        end = int(self.ask(path, ["seek end", "print instant"])[1]["value"], 16)
        numbers = random.Random(4)
        wrong, calls, finishes = [], 0, 0
        for _ in range(40):
            place = numbers.randrange(end // 10, end - 1)
            answers = self.ask(path, [f"seek {place}", "print rip", "next", "where", "reverse-next", "print rip", "print instant",
                                      f"seek {place}", "disassemble rip 1"])
            lines = [answer.get("lines", [answer.get("error")]) for answer in answers]
            # Out of a function: the way back leads over its whole call.
            isOver = "end" == answers[2].get("stop") or " ret" in lines[-1][-1]
            if not isOver and (answers[1].get("value") != answers[5].get("value") or answers[6].get("value") != hex(place)):
                wrong.append(lines)
            answers = self.ask(path, [f"seek {place}", "frames", "print rsp", "reverse-finish", "disassemble rip 1", "step", "finish"])
            if answers[1].get("depth", 0) > 1 and "no call" not in str(answers[3]):
                finishes += 1
                if "call" not in answers[4]["lines"][-1]:
                    wrong.append([answer.get("lines", [answer.get("error")]) for answer in answers])
        self.check("reverse-next undoes next, reverse-finish lands on calls", not wrong and finishes > 10, f"{finishes} {wrong[:2]}")

    # MARK: The screen

    def start(self, width, height, path):
        words = f"COLORTERM=truecolor {self.terminal.VITRINE} debug {path}; echo CODE $?; exec sleep 100"
        return self.terminal.Tmux(width, height, words)

    def recording_screens(self):
        path = self.record("panels", [self.terminal.PANELS])
        for width, height in [(80, 24), (120, 40)]:
            size = f"{width}x{height}"
            tmux = self.start(width, height, path)
            shown = tmux.wait(lambda text: "the beginning of the recording" in text)
            self.check(f"recording begins {size}", "_start:" in shown and "0 of 181" in shown, shown)
            # On the stack there are random bytes.
            tmux.keys("g", "table", "Enter", "1")
            tmux.keys(":", "break square if rdi == 6", "Enter", "c")
            self.terminal.compare(f"recording-{size}-breakpoint", tmux.wait(lambda text: "breakpoint 1 at instant 90" in text))
            tmux.keys("F")
            self.terminal.compare(f"recording-{size}-call", tmux.wait(lambda text: "at instant 89," in text))
            tmux.keys(":", "watch total", "Enter", "c", "c")
            tmux.wait(lambda text: "instant 169" in text)
            tmux.keys(":", "seek end", "Enter")
            self.terminal.compare(f"recording-{size}-end", tmux.wait(lambda text: "exited with code 7" in text))
            tmux.keys("C")
            self.terminal.compare(f"recording-{size}-change", tmux.wait(lambda text: "is about to change" in text))
            # Who wrote the byte at the memory panel's cursor.
            tmux.keys(":", "seek end", "Enter", "g", "total", "Enter", "w")
            shown = tmux.wait(lambda text: "0x401000: is about to change" in text)
            self.check(f"who wrote a byte {size}", "0x401000: is about to change" in shown and "168 of 181" in shown, shown)
            tmux.keys("S", "S", "s", "N")
            tmux.wait(lambda text: "stepped back to instant" in text)
            tmux.keys(":", "set rax = 1", "Enter")
            shown = tmux.wait(lambda text: "branches off at instant" in text)
            self.check(f"a timeline branches off {size}", "new timeline 1" in shown and "timeline 1: " in shown, shown)
            tmux.keys(":", "seek 90", "Enter")
            shown = tmux.wait(lambda text: "timeline 1: 90 of" in text)
            self.check(f"where it branches off {size}", "├" in shown, shown)
            tmux.keys(":", "timeline 0", "Enter")
            shown = tmux.wait(lambda text: "timeline 1:" not in text)
            self.check(f"what was recorded {size}", "timeline 1: " not in shown and "instant" in shown, shown)
            tmux.keys("q")
            self.check(f"recording quits {size}", "CODE 0" in tmux.wait(lambda text: "CODE" in text))
            tmux.close()

    def recording_mouse(self):
        tmux = self.start(120, 40, self.record("panels", [self.terminal.PANELS]))
        tmux.wait(lambda text: "0 of 181" in text)
        tmux.bytes(b"\x1b[<65;8;5M" * 3)
        self.check("wheel goes forwards in time", "stepped to instant 3," in tmux.wait(lambda text: " 3 of 181" in text))
        tmux.bytes(b"\x1b[<64;8;5M" * 2)
        self.check("wheel goes back in time", "stepped back to instant 1," in tmux.wait(lambda text: " 1 of 181" in text))
        # The last column of the line is the end; the label is behind it.
        row = len(tmux.screen().rstrip("\n").split("\n")) - 1
        column = tmux.screen().split("\n")[row - 1].index(" 1 of 181")
        tmux.bytes(b"\x1b[<0;%d;%dM\x1b[<0;%d;%dm" % (column, row, column, row))
        self.check("a click on the time line goes there", "181 of 181" in tmux.wait(lambda text: "181 of 181" in text))
        tmux.bytes(b"\x1b[<0;%d;%dM\x1b[<0;%d;%dm" % (column // 2, row, column // 2, row))
        shown = tmux.wait(lambda text: "at instant" in text)
        there = re.search(r"at instant (\d+)", shown)
        self.check("a click in the middle goes to the middle", there is not None and 85 < int(there[1]) < 95, shown)
        tmux.close()

    def recording_keys(self):
        self.storm("panels", self.record("panels", [self.terminal.PANELS]), (250, 70), 10000)
        self.storm("threads", self.record("threads", [str(self.terminal.OUT / "debug-threads-static")]), (100, 30), 3000)

    def storm(self, name, path, size, count, panels=()):
        numbers = random.Random(f"{name} 2")
        tmux = self.start(*size, path)
        tmux.wait(lambda text: "the beginning of the recording" in text)
        for panel in panels:
            tmux.keys(":", f"show {panel}", "Enter")
        letters = "abcdefghijklmnoprstuvwxyzSNFCU0123456789<>[]()+-*=\"' "
        for _ in range(count // 100):
            data = b""
            for _ in range(100):
                kind = numbers.random()
                if kind < 0.5:
                    data += numbers.choice(self.terminal.PIECES)
                elif kind < 0.85:
                    data += numbers.choice(letters).encode()
                elif kind < 0.95:
                    button = numbers.choice([0, 0, 1, 2, 32, 64, 65, 68, 80, 81])
                    data += b"\x1b[<%d;%d;%d%c" % (button, numbers.randint(1, size[0] + 10), numbers.randint(1, size[1] + 5), numbers.choice(b"Mm"))
                else:
                    data += bytes(numbers.choice([byte for byte in range(256) if byte not in b"qQ\x1c"]) for _ in range(3))
            tmux.bytes(data)
        shown = ""
        for _ in range(5):
            tmux.bytes(b"\x18\x1d")
            for _ in range(3):
                time.sleep(0.1)
                tmux.bytes(b"\x1b")
            time.sleep(0.2)
            tmux.bytes(b"?")
            shown = tmux.wait(lambda text: "step, next, finish" in text, 3)
            if "step, next, finish" in shown:
                break
        self.check(f"storm of keys, recording {name}", "step, next, finish" in shown, shown)
        tmux.bytes(b"\x1b")
        time.sleep(0.2)
        tmux.bytes(b"q")
        shown = tmux.wait(lambda text: "CODE" in text, 5)
        self.check(f"quits after a storm, recording {name}", "CODE 0" in shown, shown)
        tmux.close()

    def recording_stops(self):
        """A key stops a journey, forwards and backwards, and what is drawn meanwhile is the way."""
        self.stops([])

    def stops(self, panels):
        shown = f"with {len(panels)} more panels" if panels else "first panels"
        path = self.record("loop", ["/usr/bin/python3", "-S", "-c", "n = 0\nwhile n < 20000000: n += 1"])
        screen = self.terminal.Screen([str(path)])
        screen.until(b"recording")
        for panel in panels:
            screen.type(f":show {panel}\r".encode())
            time.sleep(0.2)
        screen.until(b"\x1b[?2026l")
        taken = []
        for key in [b"c", b"c", b":seek end\r", b"C", b"C", b"C"]:
            if key.startswith(b":"):
                # Backwards from the end the way is long enough.
                screen.type(key)
                screen.until(b"exited", 60)
                continue
            # Long enough to be on the way, short enough not to arrive, however fast the machine.
            taken.append(screen.stop_time(key, 0.1))
            if taken[-1] == 9:
                break
        screen.type(b"q")
        code = screen.process.wait(10)
        taken.sort()
        print(f"a key stops a journey in {taken[len(taken) // 2] * 1000:.0f} ms (median of {len(taken)}), {shown}")
        self.check(f"a key stops a journey within 50 ms, {shown}", len(taken) == 5 and taken[2] < 0.05 and code == 0, f"{taken} {code}")

    # MARK: What the last instructions did

    def activity_screens(self):
        path = self.record("panels", [self.terminal.PANELS])
        for width, height in [(80, 24), (120, 40), (250, 70)]:
            size = f"{width}x{height}"
            tmux = self.start(width, height, path)
            tmux.wait(lambda text: "the beginning of the recording" in text)
            tmux.keys(":", "seek 100", "Enter", "g", "table", "Enter")
            tmux.wait(lambda text: "instant 100" in text)
            for panel in ["space", "profile", "read"]:
                tmux.keys(":", f"show {panel}", "Enter")
            self.terminal.compare(f"activity-{size}-panels", tmux.wait(lambda text: "last read 0x" in text))
            # Only what has been read or written has such a ground.
            self.check(f"the last read stands out {size}", "48;2;112;255;112" in tmux.screen("-e"), tmux.screen("-e"))
            tmux.keys(":", "focus memory", "Enter", "+", "h")
            self.terminal.compare(f"activity-{size}-cells", tmux.wait(lambda text: "16 a cell, by frequency" in text))
            tmux.keys("h")
            shown = tmux.wait(lambda text: "16 a cell rw-p" in text)
            self.check(f"no heat {size}", "by " not in shown.split("memory")[1].split("\n")[0], shown)
            tmux.keys("h", "+", "+", "+", "+", "+", "-")
            self.check(f"cells {size}", "4K a cell, by recency" in tmux.wait(lambda text: "4K a cell" in text))
            tmux.keys("r", ":", "zoom maps", "Enter")
            self.terminal.compare(f"activity-{size}-maps", tmux.wait(lambda text: "touched: r w x" in text))
            tmux.keys("r", ":", "zoom space", "Enter")
            tmux.wait(lambda text: "code" in text.splitlines()[-3])
            # A click goes there in the memory panel.
            tmux.bytes(b"\x1b[<0;%d;%dM\x1b[<0;%d;%dm" % (width - 2, 4, width - 2, 4))
            tmux.keys("Enter")
            shown = tmux.wait(lambda text: "memory 0x" in text)
            self.check(f"a click in the space goes there {size}", "memory 0x7edf" in shown and "[stack]" in shown, shown)
            # Ctrl and the wheel change the cells.
            tmux.bytes(b"\x1b[<81;%d;%dM" % (40, 6))
            self.check(f"wheel zooms {size}", "64K a cell" in tmux.wait(lambda text: "64K a cell" in text))
            tmux.bytes(b"\x1b[<80;%d;%dM" % (40, 6))
            tmux.wait(lambda text: "4K a cell" in text and "64K" not in text)
            tmux.keys("q")
            self.check(f"activity quits {size}", "CODE 0" in tmux.wait(lambda text: "CODE" in text))
            tmux.close()

    def activity_keys(self):
        """Random keys with all these panels open, and the stop while they are."""
        words = [str(self.terminal.OUT / "debug-threads-static")]
        self.storm("activity", self.record("threads", words), (100, 30), 4000, ["space", "profile", "read", "memory"])
        self.stops(["memory", "space", "profile", "read"])

    def few_colours(self):
        path = self.record("panels", [self.terminal.PANELS])
        for name, variables in [("plain", "NO_COLOR=1"), ("basic", "TERM=xterm COLORTERM=")]:
            words = f"{variables} {self.terminal.VITRINE} debug {path}; echo CODE $?; exec sleep 100"
            tmux = self.terminal.Tmux(80, 24, words)
            tmux.wait(lambda text: "the beginning of the recording" in text)
            tmux.keys(":", "seek 100", "Enter", ":", "zoom space", "Enter")
            # Letters take the place of colours.
            self.terminal.compare(f"activity-{name}-space", tmux.wait(lambda text: "x=code" in text))
            tmux.keys("r", "g", "table", "Enter", "z")
            tmux.wait(lambda text: "memory 0x401010" in text)
            # Lines take the place of dark grounds; the last access is turned over.
            rows = tmux.screen("-e")
            self.check(f"marks instead of colours, {name}", "\x1b[4" in rows or ";4m" in rows or ";4;" in rows, rows)
            self.check(f"colours, {name}", "38;2;" not in rows and (re.search(r"\x1b\[3[0-7]", rows) is not None) == (name == "basic"), rows)
            tmux.close()
