"""Source lines: the tables of many programs against readelf's, lines of addresses against addr2line's, steps by lines against gdb's, and
commands that show sources. Parts of terminal.py, whose helpers it gets."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[1] / "Guests"
C = SOURCES / "c/source-lines.c"
CPP = SOURCES / "cpp/source-lines.cpp"


def parts(terminal):
    """The parts, as terminal.py runs them."""
    tests = Lines(terminal)
    return [tests.line_tables, tests.line_files, tests.line_damage, tests.line_commands, tests.line_steps, tests.line_screens]


def number(text, source):
    """The line of a source that contains `text`."""
    return next(place for place, line in enumerate(source.read_text().splitlines(), 1) if text in line)


def build(path, source, *options):
    """A program with debug information, and its path."""
    compiler = "g++" if source.suffix == ".cpp" else "gcc"
    subprocess.run([compiler, "-g", *options, source, "-o", path], check=True, capture_output=True, timeout=120)
    return path


class Lines:
    def __init__(self, terminal):
        self.terminal = terminal
        self.check = terminal.check
        self.temporary = tempfile.TemporaryDirectory(prefix="vitrine-lines-")
        self.folder = Path(self.temporary.name)

    def table(self, path, timeout=60):
        """Rows as `vitrine disassemble --lines` prints them: address, path, line, whether a statement begins."""
        run = subprocess.run([self.terminal.VITRINE, "disassemble", "--lines", path], capture_output=True, timeout=timeout)
        found = []
        for line in run.stdout.decode(errors="replace").splitlines():
            address, place, *statement = line.split("\t")
            file, _, line = place.rpartition(":")
            found.append((int(address, 16), file, int(line), bool(statement)))
        return found, run

    def expected(self, path):
        """The same by readelf, with files as it shows them."""
        text = subprocess.run(["readelf", "-W", "--debug-dump=decodedline", path], capture_output=True, timeout=120).stdout
        found = []
        for line in text.decode(errors="replace").splitlines():
            row = re.match(r"(\S.*?)\s+(\d+)\s+(0x[0-9a-f]+)\s*(\d+)?\s*(x)?\s*$", line)
            # Code that the linker has dropped has tables at low addresses.
            if row and row[2] != "0" and int(row[3], 16) > 0x200:
                found.append((int(row[3], 16), os.path.basename(row[1]), int(row[2]), bool(row[5])))
        return sorted(found)

    # MARK: Tables

    def line_tables(self):
        variants = [(source, ["-O" + level, "-gdwarf-" + version]) for source in (C, CPP) for level in "02" for version in "2345"]
        variants += [(C, ["-gz=zlib"]), (C, ["-Wl,--compress-debug-sections=zlib-gnu"]), (CPP, ["-O2", "-gdwarf64"]), (CPP, ["-O2", "-flto"]),
                     (CPP, ["-O2", "-gz=zlib", "-ffunction-sections", "-Wl,--gc-sections"]), (C, ["-static", "-O1"]),
                     (C, ["-gno-as-loc-support"]), (CPP, ["-O1", "-no-pie"])]
        rows = addresses = 0
        for index, (source, options) in enumerate(variants):
            path = build(self.folder / f"table{index}", source, *options)
            own, run = self.table(path)
            theirs = self.expected(path)
            shown = sorted((address, os.path.basename(file), line, statement) for address, file, line, statement in own)
            different = sorted(set(shown) ^ set(theirs))
            self.check(f"line table of {source.name} {options}", shown == theirs and len(shown) > 30, (len(shown), len(theirs), different[:3], run.stderr))
            rows += len(shown)
            if "-gdwarf64" not in options:
                # addr2line does not read that.
                addresses += self.lookups(path, own, options)
        print(f"{rows} rows as readelf has them, {addresses} addresses as addr2line does")
        self.check("thousands of rows and addresses", rows > 15000 and addresses > 5000, (rows, addresses))

    def lookups(self, path, rows, options):
        """Lines of addresses by addr2line, where one row is about an address; how many were compared."""
        at = {}
        for address, file, line, _ in rows:
            at.setdefault(address, set()).add((file, line))
        chosen = [address for address in at if len(at[address]) == 1]
        run = subprocess.run(["addr2line", "-e", path], input="\n".join(map(hex, chosen)), capture_output=True, text=True, timeout=120)
        wrong = []
        for address, answer in zip(chosen, run.stdout.splitlines()):
            # Its files are those of functions, which is wrong where one has been inlined.
            line = answer.split(" (disc")[0].rsplit(":", 1)[1]
            known = next(iter(at[address]))
            if line != str(known[1]):
                wrong.append((hex(address), answer, known))
        # addr2line looks functions up first; at their borders it may take a neighbour's line.
        self.check(f"addr2line {path.name} {options}", len(wrong) <= len(chosen) // 200, (len(chosen), wrong[:5]))
        return len(chosen)

    def line_files(self):
        """Tables in separate files, by a link with a checksum and by build-id; and none."""
        for name, options in [("link", ["-Wl,--build-id=none"]), ("identity", ["-Wl,--build-id"])]:
            path = build(self.folder / f"separate-{name}", CPP, "-O1", *options)
            whole, _ = self.table(path)
            debug = self.folder / f"separate-{name}.debug"
            subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
            subprocess.run(["strip", "-g", path], check=True)
            bare, run = self.table(path)
            self.check(f"no table without {name}", not bare and run.returncode == 125 and b"no table of source lines" in run.stderr, run.stderr)
            subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", path], check=True)
            self.check(f"a separate file by {name}", self.table(path)[0] == whole and len(whole) > 1000, len(whole))
            # Another program's, or a changed one, is not taken.
            data = bytearray(debug.read_bytes())
            if name == "link":
                data[-1] ^= 1
            else:
                place = data.find(b"GNU\0", data.find(b"\x14\0\0\0\x03\0\0\0GNU\0"))
                data[place + 6] ^= 1
            debug.write_bytes(data)
            self.check(f"a wrong separate file, {name}", not self.table(path)[0])
        library = "/lib/x86_64-linux-gnu/libc.so.6"
        note = subprocess.run(["readelf", "-n", library], capture_output=True, text=True).stdout
        identity = re.search(r"Build ID: (\w\w)(\w+)", note)
        if identity and Path(f"/usr/lib/debug/.build-id/{identity[1]}/{identity[2]}.debug").exists():
            debug = f"/usr/lib/debug/.build-id/{identity[1]}/{identity[2]}.debug"
            own, _ = self.table(library, 120)
            shown = sorted((address, os.path.basename(file), line, statement) for address, file, line, statement in own)
            # readelf shows tables of separate files twice.
            self.check("the C library's tables", sorted(set(shown)) == sorted(set(self.expected(debug))) and len(shown) > 100000, len(shown))

    def line_damage(self):
        """Damaged sections: less is known, nothing else happens."""
        numbers = random.Random(3)
        path = build(self.folder / "damage", C, "-gdwarf-5")
        old = build(self.folder / "damage-old", C, "-gdwarf-3")
        packed = build(self.folder / "damage-packed", C, "-gz=zlib")
        ends, lost = [], 0
        listings = {one: subprocess.run(["readelf", "-SW", one], capture_output=True, text=True).stdout for one in (path, old, packed)}
        for round in range(150):
            original = [path, old, packed][round % 3]
            data = bytearray(original.read_bytes())
            for section in re.finditer(r"\.(debug_(?:line|line_str|str|info|abbrev))\s+PROGBITS\s+\w+ (\w+) (\w+)", listings[original]):
                start, size = int(section[2], 16), int(section[3], 16)
                for _ in range(numbers.randint(0, 6)):
                    data[start + numbers.randrange(min(size, numbers.choice([40, 300, size])))] = numbers.choice([0, 255, numbers.randrange(256)])
            broken = self.folder / "broken"
            broken.write_bytes(data)
            rows, run = self.table(broken, 20)
            ends.append(run.returncode)
            lost += not rows
        self.check("damaged tables", set(ends) <= {0, 125}, set(ends))
        self.check("damaged tables are still read", lost < 100, lost)

    # MARK: Commands

    def ask(self, commands, program, recording=None):
        words = [self.terminal.VITRINE, "debug", "--json"]
        for command in commands:
            words += ["--command", command]
        run = subprocess.run(words + ([recording] if recording else ["--", program]), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return [json.loads(line) for line in run.stdout.splitlines()], run

    def line_commands(self):
        program = build(self.folder / "commands", C, "-O0")
        inside = number("int y = x * 2", C)
        first, returns = number("int a = leaf(3);", C), number("return 0;", C)
        answers, run = self.ask([f"break source-lines.c:{first}", "continue", "list", "frames", f"list source-lines.c:{inside} 3", "step-line",
                                 "frames", "where", f"until :{inside + 2}", f"break source-lines.c:{number('static int total', C)}", "lines",
                                 f"print 'source-lines.c:{returns}' - main", f"break {C}:{returns} if total == 1", "continue",
                                 ], program)
        self.check("line commands succeed", run.returncode == 0 and len(answers) == 14, run.stdout + run.stderr)
        if len(answers) < 14:
            return
        text = C.read_text().splitlines()
        self.check("a stop names its line", answers[1]["line"] == first and answers[1]["file"] == str(C)
                   and answers[1]["lines"][0].endswith(f"at source-lines.c:{first}"), answers[1])
        self.check("list", f"=> {first:4}  {text[first - 1]}" in answers[2]["lines"] and len(answers[2]["lines"]) == 10, answers[2])
        self.check("frames", f"at source-lines.c:{first}" in answers[3]["lines"][0],
                   answers[3])
        self.check("list of a place", answers[4]["lines"] == [f"   {line:4}  {text[line - 1]}" for line in range(inside - 1, inside + 2)], answers[4])
        self.check("step-line enters", answers[5]["line"] == inside and answers[5]["lines"][1] == f"{inside}  {text[inside - 1]}", answers[5])
        self.check("frames in a call", [f"at source-lines.c:{line}" in shown for line, shown in zip((inside, first), answers[6]["lines"])] == [True, True],
                   answers[6])
        self.check("where", f"{inside}  {text[inside - 1]}" in answers[7]["lines"] and answers[7]["line"] == inside, answers[7])
        self.check("until a line", answers[8]["line"] == inside + 2, answers[8])
        self.check("a line without code is the next one", f"source-lines.c:{number('int leaf', C) + 1}" in answers[9]["lines"][0], answers[9])
        self.check("lines of the function", len(answers[10]["lines"]) == 5 and sum(row.startswith("=>") for row in answers[10]["lines"]) == 1, answers[10])
        self.check("a line in an expression", 0 < int(answers[11]["value"], 16) < 0x200, answers[11])
        answers, run = self.ask(["break nowhere.c:3"], program)
        self.check("a source that is not there", run.returncode == 1, run.stdout)
        bare = self.folder / "bare"
        subprocess.run(["strip", "-g", "-o", bare, program], check=True)
        _, run = self.ask(["break main", "continue", "next-line"], bare)
        self.check("no lines, no steps by lines", run.returncode == 1 and "no source line is known" in run.stdout, run.stdout)
        # A recording takes lines from the program's file as long as that is the one that was recorded.
        copy, recording = self.folder / "copy", self.folder / "copy.rec"
        shutil.copy(program, copy)
        subprocess.run([self.terminal.VITRINE, "record", "-o", recording, "--", copy], capture_output=True, timeout=60)
        there, _ = self.ask(["until main", "where"], None, recording)
        self.check("a recording has lines", there[-1].get("line") == number("int main(", C), there)
        moved = self.folder / "source-lines.c"
        moved.write_text("\n" * 7 + C.read_text())
        shutil.copy(build(self.folder / "other", moved, "-O0"), copy)
        gone, _ = self.ask(["until main", "where"], None, recording)
        # What was recorded of a small file may be all of it.
        self.check("another file's lines are not a recording's", gone[-1]["rip"] == there[-1]["rip"]
                   and gone[-1].get("line") in (None, there[-1]["line"]), gone)
        crash = self.folder / "crash.c"
        crash.write_text("static void fault(int *p)\n{\n  *p = 42;\n}\nint main(void) {\n  fault(0);\n  return 0;\n}\n")
        subprocess.run(["gcc", "-g", crash, "-o", self.folder / "crash"], check=True)
        run = subprocess.run([self.terminal.VITRINE, "run", self.folder / "crash"], capture_output=True, text=True, timeout=60)
        self.check("the report of a fault", re.search(r"at 0x\w+ in fault\+0x\w+ at crash.c:3\n", run.stderr)
                   and re.search(r"#1 \w+ in main\+0x\w+ at crash.c:6\n", run.stderr), run.stderr)

    # MARK: Steps

    def native(self, program, command, count):
        """Functions and lines behind each step of gdb."""
        script = self.folder / "steps.gdb"
        script.write_text(f"""set confirm off
break source-lines.c:{number("int a = leaf(3);", C)}
run
python
for index in range({count}):
    gdb.execute("{command}", to_string=True)
    frame = gdb.selected_frame()
    print("@", frame.name(), frame.find_sal().line)
end
kill
""")
        run = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", script, program], capture_output=True, text=True, timeout=120)
        return [tuple(line.split()[1:]) for line in run.stdout.splitlines() if line.startswith("@ ")]

    @staticmethod
    def places(answers):
        """Functions and lines of stops."""
        return [(re.search(r"<([^+>]+)", item["lines"][0])[1], str(item.get("line"))) for item in answers]

    def line_steps(self):
        stop = f"break source-lines.c:{number('int a = leaf(3);', C)}"
        for options in [["-O0"], ["-O0", "-gdwarf-4", "-no-pie"], ["-O0", "-static"], ["-Og", "-fno-inline"]]:
            name = "steps" + "".join(options)
            program = build(self.folder / name, C, *options)
            recording = self.folder / f"{name}.rec"
            subprocess.run([self.terminal.VITRINE, "record", "-o", recording, "--", program], capture_output=True, timeout=60)
            for command in ("step", "next"):
                # Up to the library's functions, which have lines here and there.
                expected = self.native(program, command, 150)
                last = str(number("strcpy(text, classify(a))", C))
                end = next((place for place, found in enumerate(expected) if found[1] == last), len(expected))
                expected = expected[:end]
                count = len(expected)
                self.check(f"gdb steps {options} {command}", count > (40 if command == "step" else 5), count)
                answers, run = self.ask([stop, "continue"] + [f"{command}-line"] * count, program)
                own = self.places(answers[2:])
                first = next((pair for pair in zip(expected, own) if pair[0] != pair[1]), None)
                self.check(f"{command}-line as gdb {options}", own == expected, (len(own), count, first))
                answers, _ = self.ask([stop, "continue"] + [f"{command}-line"] * count + [f"reverse-{command}-line"] * count, None, recording)
                own = self.places(answers[2:2 + count])
                first = next((pair for pair in zip(expected, own) if pair[0] != pair[1]), None)
                self.check(f"{command}-line in a recording {options}", own == expected, (len(own), count, first))
                if "-O0" not in options:
                    # The same lines, but not the same places: statements do not begin where control comes back to.
                    continue
                there = [item["instant"] for item in answers[1:1 + count]]
                back = [item["instant"] for item in answers[2 + count:]][::-1]
                wrong = [pair for pair in zip(there, back) if pair[0] != pair[1]]
                self.check(f"reverse-{command}-line undoes {options}", there == back and count > 0, (len(back), wrong[:3]))
                # Many at once are as many one by one.
                answers, _ = self.ask([stop, "continue", f"{command}-line {count}", f"reverse-{command}-line {count}"], None, recording)
                self.check(f"many lines at once {options} {command}", [item["instant"] for item in answers[1:]]
                           == [there[0], *[item["instant"] for item in answers[2:3]], there[0]] and self.places(answers[2:3]) == expected[-1:], answers[1:])

    # MARK: The screen

    def line_screens(self):
        """Source lines in the disassembly, and the panel of the source with its keys and clicks."""
        program = build(self.folder / "screens", C, "-O0", "-no-pie")
        text = C.read_text().splitlines()
        first, second = number("int a = leaf(3);", C), number("int b = middle(3) +", C)
        answer = self.terminal.batch([f"break source-lines.c:{first}", "continue", "screen 120x40"], str(program))
        shown = answer.stdout.splitlines()
        row = next((place for place, line in enumerate(shown) if f"source-lines.c:{first}  {text[first - 1].strip()}" in line), 0)
        self.check("source in the disassembly", row > 0 and "●▶" in shown[row + 1], answer.stdout + answer.stderr)
        commands = [f"break source-lines.c:{first}", "continue", "show source", "screen 200x60", "key n", "screen 200x60", f"key {'down ' * 2}b",
                    "breakpoints", "screen 200x60", "key b", "breakpoints", "key u", "status", f"goto source-lines.c:{number('int y = x * 2;', C)}"]
        answers, run = self.ask(commands, program)
        self.check("source panel's commands", run.returncode == 0 and len(answers) == len(commands), run.stdout[-600:])
        if len(answers) < len(commands):
            return
        def has(answer, mark, line):
            return any(f"{mark}{line:5} {text[line - 1]}".rstrip() in row for row in answer["lines"])
        self.check("the panel shows the present", has(answers[3], "●▶", first) and has(answers[3], "  ", second), "\n".join(answers[3]["lines"]))
        self.check("n goes to the next line", has(answers[5], "● ", first) and has(answers[5], " ▶", second), "\n".join(answers[5]["lines"]))
        third = second + 2
        self.check("b sets a breakpoint", any(f"source-lines.c:{third}" in row or "main+" in row for row in answers[7]["lines"][1:])
                   and len(answers[7]["lines"]) == 2 and has(answers[8], "● ", third), answers[7])
        self.check("b removes it", len(answers[10]["lines"]) == 1, answers[10])
        self.check("u runs to the cursor", answers[12]["line"] == third, answers[12])
        tmux = self.terminal.start(120, 40, [str(program)])
        tmux.wait(lambda screen: "the program is loaded" in screen)
        tmux.keys(":", f"until source-lines.c:{first}", "Enter")
        tmux.wait(lambda screen: "reached" in screen)
        tmux.keys("l")
        screen = tmux.wait(lambda screen: "source source-lines.c" in screen)
        row = next((place for place, line in enumerate(screen.splitlines()) if text[second - 1] in line and f"{second} " in line and "source-lines.c:" not in line), 0)
        tmux.bytes(b"\x1b[<0;5;%dM\x1b[<0;5;%dm" % (row + 1, row + 1))
        screen = tmux.wait(lambda screen: f"●  {second:4}" in screen or f"● {second:5}" in screen)
        self.check("a click sets a breakpoint", f"● {second:5}" in screen and "breakpoint 1" in screen, screen)
        tmux.keys("c")
        screen = tmux.wait(lambda screen: "breakpoint 1 at" in screen)
        self.check("it stops there", f"●▶{second:5}" in screen, screen)
        tmux.close()
