"""A terminal for programs that draw on a screen: a pseudo-terminal, a typist and a picture of the screen as a VT100 would
show it. Native run and engine run are compared by their pictures after every stroke of keys, not by their bytes, because
a slow program may merge two updates that a fast one sends apart."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time

ROWS, COLUMNS = 24, 80
CONTROL = re.compile(rb"\x1b\[([?>]?)([0-9;]*)([@-~])|\x1b([()][AB0]|[=>78DME])")


class Screen:
    """The characters on the screen and where the cursor stands. Colours and other looks are left out, except reverse."""

    def __init__(self):
        self.row = self.column = 0
        self.top, self.bottom = 0, ROWS - 1
        self.saved = (0, 0)
        self.lines = [[" "] * COLUMNS for _ in range(ROWS)]
        self.pending = b""

    def picture(self):
        """The lines without trailing blanks, and the cursor's place."""
        return ["".join(line).rstrip() for line in self.lines] + [f"cursor {self.row},{self.column}"]

    def feed(self, data):
        """Takes the program's output; returns what a terminal would answer."""
        data, self.pending = self.pending + data, b""
        answer = b""
        at = 0
        while at < len(data):
            byte = data[at]
            if byte == 0x1B:
                match = CONTROL.match(data, at)
                if not match:
                    if len(data) - at < 16:
                        self.pending = data[at:]
                        break
                    at += 1
                    continue
                answer += self.control(match)
                at = match.end()
                continue
            self.character(byte)
            at += 1
        return answer

    def character(self, byte):
        if byte == 0x0D:
            self.column = 0
        elif byte == 0x0A:
            self.line_feed()
        elif byte == 0x08:
            self.column = max(0, self.column - 1)
        elif byte == 0x09:
            self.column = min(COLUMNS - 1, (self.column // 8 + 1) * 8)
        elif byte >= 0x20:
            if self.column == COLUMNS:
                self.column = 0
                self.line_feed()
            self.lines[self.row][self.column] = chr(byte)
            self.column += 1

    def line_feed(self):
        if self.row == self.bottom:
            del self.lines[self.top]
            self.lines.insert(self.bottom, [" "] * COLUMNS)
        else:
            self.row = min(ROWS - 1, self.row + 1)

    def reverse_line_feed(self):
        if self.row == self.top:
            del self.lines[self.bottom]
            self.lines.insert(self.top, [" "] * COLUMNS)
        else:
            self.row = max(0, self.row - 1)

    def erase(self, first, last):
        """Blanks the cells from `first` up to, not including, `last`, counted through the lines."""
        for cell in range(first, last):
            self.lines[cell // COLUMNS][cell % COLUMNS] = " "

    def control(self, match):
        private, text, final, short = match.groups()
        if short:
            if short == b"M":
                self.reverse_line_feed()
            elif short == b"7":
                self.saved = (self.row, self.column)
            elif short == b"8":
                self.row, self.column = self.saved
            return b""
        numbers = [int(word or 0) for word in text.split(b";")]
        first = numbers[0]
        count = max(1, first)
        here = self.row * COLUMNS + min(self.column, COLUMNS - 1)
        line = self.row * COLUMNS
        final = final.decode()
        if private:
            return b""
        if final in "Hf":
            self.row = min(ROWS, count) - 1
            self.column = min(COLUMNS, max(1, numbers[1] if len(numbers) > 1 else 1)) - 1
        elif final == "A":
            self.row = max(0, self.row - count)
        elif final == "B":
            self.row = min(ROWS - 1, self.row + count)
        elif final == "C":
            self.column = min(COLUMNS - 1, self.column + count)
        elif final == "D":
            self.column = max(0, min(self.column, COLUMNS - 1) - count)
        elif final == "G":
            self.column = min(COLUMNS, count) - 1
        elif final == "J":
            self.erase(*((here, ROWS * COLUMNS), (0, here + 1), (0, ROWS * COLUMNS))[min(first, 2)])
        elif final == "K":
            self.erase(*((here, line + COLUMNS), (line, here + 1), (line, line + COLUMNS))[min(first, 2)])
        elif final == "P":
            self.lines[self.row][self.column:] = (
                self.lines[self.row][self.column + count:] + [" "] * count)[: COLUMNS - self.column]
        elif final == "@":
            self.lines[self.row][self.column:] = (
                [" "] * count + self.lines[self.row][self.column:])[: COLUMNS - self.column]
        elif final == "L":
            for _ in range(count):
                del self.lines[self.bottom]
                self.lines.insert(self.row, [" "] * COLUMNS)
        elif final == "M":
            for _ in range(count):
                del self.lines[self.row]
                self.lines.insert(self.bottom, [" "] * COLUMNS)
        elif final == "r":
            self.top = count - 1
            self.bottom = (numbers[1] if len(numbers) > 1 and numbers[1] else ROWS) - 1
        elif final == "n" and first == 6:
            return b"\x1b[%d;%dR" % (self.row + 1, self.column + 1)
        return b""


class Session:
    """A program that runs on a pseudo-terminal of its own."""

    QUIET = 0.2  # seconds without output after which a native program counts as waiting for keys

    def __init__(self, command, directory, environment):
        self.screen = Screen()
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, cwd=directory, env=environment, stdin=slave, stdout=slave, stderr=slave,
            start_new_session=True, preexec_fn=take_terminal)
        os.close(slave)

    def absorb(self, seconds):
        """Waits at most `seconds` for output and takes it; false when none came or the program has gone."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        if not data:
            return False
        answer = self.screen.feed(data)
        if answer:
            os.write(self.master, answer)
        return True

    def settle(self, expected, limit):
        """Waits until the picture is the expected one; without one, until output pauses."""
        deadline = time.monotonic() + limit
        if expected is None:
            # The first output of a program may take a while; later pauses are short.
            self.absorb(2.0)
            while self.absorb(self.QUIET):
                pass
        else:
            while self.screen.picture() != expected and time.monotonic() < deadline:
                if not self.absorb(0.05) and self.process.poll() is not None:
                    break
            while self.absorb(0.1):  # a program may change the terminal's modes after its last output
                pass
        return self.screen.picture()

    def play(self, keys, expected, limit):
        """Types `keys`, one stroke after the other, and returns the picture before the first and after each."""
        pictures = [self.settle(expected[0] if expected else None, limit)]
        for number, stroke in enumerate(keys):
            try:
                os.write(self.master, stroke.encode())
            except OSError:
                break
            pictures.append(self.settle(expected[number + 1] if expected else None, limit))
            if expected and pictures[-1] != expected[number + 1]:
                break
        return pictures

    def finish(self, limit):
        """Waits for the program's end; after `limit` seconds kills it. Returns its status and whether it was killed."""
        timed_out = False
        deadline = time.monotonic() + min(limit, 5)
        while self.process.poll() is None and time.monotonic() < deadline:
            self.absorb(0.02)
        if self.process.poll() is None:
            timed_out = True
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        return self.process.returncode, timed_out
