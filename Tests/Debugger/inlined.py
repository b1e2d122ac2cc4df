"""Inlined functions: those of each row of many programs' tables against addr2line's and gdb's, frames against gdb's at many instants, steps by
lines of optimised code against gdb's, sections that zstd has compressed. Parts of terminal.py, whose helpers it gets."""

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lines import C as LINES, CPP as TEMPLATES, SOURCES, build, number

CALLS = SOURCES / "c/inlined-calls.c"


def parts(terminal):
    """The parts, as terminal.py runs them."""
    tests = Inlined(terminal)
    return [tests.inlined_tables, tests.inlined_split, tests.inlined_split_damage, tests.inlined_split_root, tests.inlined_library,
            tests.inlined_damage, tests.inlined_compressed, tests.inlined_frames, tests.inlined_instants, tests.inlined_templates, tests.inlined_steps]


class Inlined:
    def __init__(self, terminal):
        self.terminal = terminal
        self.check = terminal.check
        self.temporary = tempfile.TemporaryDirectory(prefix="vitrine-inlined-")
        self.folder = Path(self.temporary.name)

    def rows(self, path, timeout=60):
        """Addresses of rows, and the functions there: names with file and line, the innermost first."""
        run = subprocess.run([self.terminal.VITRINE, "disassemble", "--inlined", path], capture_output=True, timeout=timeout)
        found, rows = {}, {}
        for line in run.stdout.decode(errors="replace").splitlines():
            address, *functions = line.split("\t")
            frames = []
            for text in functions:
                name, _, place = text.rpartition(" at ")
                frames.append((name, os.path.basename(place)) if name else (text, "??:0"))
            found[address] = frames
            rows[address] = rows.get(address, 0) + 1
        return found, [address for address in found if rows[address] == 1], run

    @staticmethod
    def addr2line(path, addresses):
        text = subprocess.run(["addr2line", "-a", "-i", "-f", "-e", path], input="\n".join(addresses).encode(), capture_output=True, timeout=300).stdout
        result, name = [], None
        for line in text.decode(errors="replace").splitlines():
            if re.fullmatch(r"0x[0-9a-f]{16}", line):
                result.append([])
            elif name is None:
                name = line
            else:
                result[-1].append((name, os.path.basename(line.split(" (disc")[0])))
                name = None
        return result

    @staticmethod
    def is_equal(own, theirs):
        """Whether frames are the same, but for what addr2line does not know: it gives the innermost frame the file that its function began
        in, and functions without a linkage name (lambdas and templates of them) no scope, or the symbol's name."""
        if not own:
            return len(theirs) == 1
        if len(own) != len(theirs):
            return False
        for place, ((name, line), (their_name, their_line)) in enumerate(zip(own, theirs)):
            if line != their_line and (place > 0 or line.rsplit(":", 1)[1] != their_line.rsplit(":", 1)[1]):
                return False
            is_plain = not name.startswith("_Z")
            is_edge = place in (0, len(own) - 1) and is_plain
            if name != their_name and not (is_plain and name.endswith("::" + their_name)) and not is_edge:
                return False
        return True

    # MARK: Tables

    def inlined_tables(self):
        variants = [(source, ["-O" + level, "-gdwarf-" + version])
                    for source, level in ((CALLS, "0"), (CALLS, "2"), (LINES, "3"), (TEMPLATES, "2")) for version in "2345"]
        variants += [(TEMPLATES, ["-O3", "-flto"]), (TEMPLATES, ["-O2", "-gz=zlib", "-ffunction-sections", "-Wl,--gc-sections"]),
                     (CALLS, ["-O1", "-static"]), (CALLS, ["-O2", "-no-pie", "-gno-as-loc-support"]),
                     (LINES, ["-O2", "-flto"])]
        addresses = frames = several = 0
        for index, (source, options) in enumerate(variants):
            path = build(self.folder / f"table{index}", source, *options)
            found, chosen, run = self.rows(path)
            theirs = self.addr2line(path, chosen)
            wrong = [(address, found[address], other) for address, other in zip(chosen, theirs) if not self.is_equal(found[address], other)]
            self.check(f"functions of {source.name} {options}", len(theirs) == len(chosen) and len(chosen) > 5 and not wrong,
                       (len(chosen), len(theirs), len(wrong), wrong[:3], run.stderr))
            blocks = self.gdb_blocks(path, found)
            wrong = [(address, found[address], blocks[address]) for address in blocks
                     if [self.bare(name) for name, _ in found[address]] != [self.bare(name) for name in blocks[address]]]
            if source != TEMPLATES:
                self.check(f"functions as gdb has them {source.name} {options}", len(blocks) == len(found) and not wrong, (len(blocks), len(found), wrong[:3]))
            addresses += len(chosen)
            frames += sum(map(len, theirs))
            several += sum(len(other) > 1 for other in theirs)
        print(f"{frames} frames of {addresses} addresses as addr2line has them, {several} addresses in inlined functions")
        self.check("thousands of addresses", addresses > 2500 and several > 1500, (addresses, several))

    @staticmethod
    def bare(name):
        """Without what compilers add to copies."""
        return re.split(r"\.(?:constprop|part|cold|isra)", name)[0]

    def gdb_blocks(self, path, addresses):
        """The names of functions around each address, the innermost first."""
        script, wanted = self.folder / "blocks.py", self.folder / "addresses"
        wanted.write_text(" ".join(addresses))
        script.write_text(f"""import gdb
gdb.execute("file {path}")
for address in open("{wanted}").read().split():
    block, names = gdb.block_for_pc(int(address, 16)), []
    while block and not block.is_static and not block.is_global:
        if block.function: names.append(block.function.name)
        block = block.superblock
    print("@", address, ";".join(names), sep="\\t")
""")
        run = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", script], capture_output=True, text=True, timeout=120)
        rows = [line.split("\t") for line in run.stdout.splitlines() if line.startswith("@\t")]
        return {address: names.split(";") if names else [] for _, address, names in rows}

    # MARK: Units outside the program

    def split(self, name, source, *options):
        """A program in a folder of its own, with its functions in a `.dwo` file; and that file."""
        folder = self.folder / name
        folder.mkdir()
        path = build(folder / "program", source, "-O2", "-gsplit-dwarf", *options)
        return path, next(folder.glob("*.dwo"))

    def inlined_split(self):
        """Functions in `.dwo` files and packages: those of the same program without -gsplit-dwarf, which addr2line can read, and gdb's."""
        # The packer of binutils stops at DWARF 5, that of LLVM 14 at what gcc writes of C.
        variants = [(CALLS, ["-gdwarf-4"], "dwp"), (CALLS, ["-gdwarf-5"], None), (TEMPLATES, ["-gdwarf-4"], "dwp"),
                    (TEMPLATES, ["-gdwarf-5"], "llvm-dwp")]
        for index, (source, options, packer) in enumerate(variants):
            plain = build(self.folder / f"whole{index}", source, "-O2", *options)
            path, unit = self.split(f"split{index}", source, *options)
            title = f"{source.name} {options}"
            found, chosen, run = self.rows(path)
            theirs = self.addr2line(plain, chosen)
            wrong = [(address, found[address], other) for address, other in zip(chosen, theirs) if not self.is_equal(found[address], other)]
            self.check(f"functions outside {title}", len(theirs) == len(chosen) and sum(len(other) > 1 for other in theirs) > 15 and not wrong,
                       (len(chosen), len(theirs), len(wrong), wrong[:3], run.stderr))
            inside, _, _ = self.rows(plain)
            self.check(f"functions outside as inside {title}", found == inside)
            if source == CALLS:
                # On some C++ of DWARF 5 gdb 13 dies.
                blocks = self.gdb_blocks(path, found)
                self.check(f"functions outside as gdb has them {title}", {address: [self.bare(name) for name, _ in frames] for address, frames in found.items()}
                           == {address: [self.bare(name) for name in names] for address, names in blocks.items()}, len(blocks))
            self.split_places(path, unit, packer, found, title)
        # The unit is not the first of its file, and not in the same section as the others.
        path, unit = self.split("split-types", TEMPLATES, "-fdebug-types-section")
        self.check("units of types beside functions", self.rows(path)[0] == inside, path)

    def split_places(self, path, unit, packer, expected, title):
        """The unit in a package; beside a program that has been moved; beside its separate file; and another build's."""
        package = path.with_name("program.dwp")
        lines = {address: [] for address in expected}
        if packer and shutil.which(packer):
            subprocess.run([packer, "-e", path, "-o", package], check=True, capture_output=True, timeout=60)
            away = unit.rename(unit.with_suffix(".away"))
            self.check(f"a package {title}", self.rows(path)[0] == expected)
            subprocess.run(["objcopy", "--compress-debug-sections=zlib", package], check=True, timeout=60)
            listing = subprocess.run(["readelf", "-SW", package], capture_output=True, text=True, timeout=60).stdout
            self.check(f"a compressed package {title}", self.rows(path)[0] == expected and re.search(r"debug_info\.dwo .* 00 +C", listing), listing)
            moved = package.rename(package.with_suffix(".away"))
            self.check(f"no unit, no functions {title}", self.rows(path)[0] == lines)
            # Beside the file that has the skeletons.
            debug = path.parent / "debug"
            debug.mkdir()
            bare, separate = debug.parent / "bare", debug / "bare.debug"
            shutil.copy(path, bare)
            subprocess.run(["objcopy", "--only-keep-debug", bare, separate], check=True, timeout=60)
            subprocess.run(["strip", "-g", bare], check=True, timeout=60)
            subprocess.run(["objcopy", f"--add-gnu-debuglink={separate}", bare], check=True, timeout=60)
            separate.rename(bare.with_name("bare.debug"))
            for name in ("bare.debug.dwp", "bare.dwp"):
                shutil.copy(moved, bare.with_name(name))
                self.check(f"a package of a separate file, {name} {title}", self.rows(bare)[0] == expected)
                bare.with_name(name).unlink()
            self.check(f"no package, no functions {title}", self.rows(bare)[0] == lines)
            away.rename(unit)
        subprocess.run(["objcopy", "--compress-debug-sections=zlib", unit, unit.with_suffix(".packed")], check=True, timeout=60)
        original = unit.rename(unit.with_suffix(".away"))
        unit.with_suffix(".packed").rename(unit)
        self.check(f"a compressed unit {title}", self.rows(path)[0] == expected and unit.stat().st_size < original.stat().st_size)
        original.rename(unit)
        elsewhere = path.parent / "elsewhere"
        elsewhere.mkdir()
        for file in (path, unit):
            file.rename(elsewhere / file.name)
        self.check(f"a unit beside its program {title}", self.rows(elsewhere / path.name)[0] == expected)
        # One whose code differs has another identity.
        data = bytearray((elsewhere / unit.name).read_bytes())
        identity = re.search(rb"(?:GNU_dwo_id +: |DWO ID: +)0x(\w+)", subprocess.run(
            ["readelf", "--debug-dump=info", elsewhere / path.name], capture_output=True, timeout=60).stdout)
        place = data.find(int(identity[1], 16).to_bytes(8, "little"))
        self.check(f"a unit's identity {title}", place > 0)
        data[place] ^= 1
        (elsewhere / unit.name).write_bytes(data)
        self.check(f"another build's unit {title}", self.rows(elsewhere / path.name)[0] == lines)

    @staticmethod
    def sections(path, names):
        """Where sections lie in a file, and their sizes."""
        listing = subprocess.run(["readelf", "-SW", path], capture_output=True, text=True, timeout=60).stdout
        return [(int(start, 16), int(size, 16)) for start, size in re.findall(rf"\.{names}\S*\s+PROGBITS\s+\w+ (\w+) (\w+)", listing)]

    def inlined_split_damage(self):
        """Damaged units, packages and skeletons: less is known, nothing else happens."""
        numbers = random.Random(11)
        for version, packer in (("4", "dwp"), ("5", None)):
            path, unit = self.split(f"split-damage{version}", CALLS, "-gdwarf-" + version)
            files = [path, unit]
            if packer and shutil.which(packer):
                subprocess.run([packer, "-e", path, "-o", path.with_name("program.dwp")], check=True, capture_output=True, timeout=60)
                files.append(path.with_name("program.dwp"))
            whole = {file: file.read_bytes() for file in files}
            sections = {file: self.sections(file, r"debug_(?:info|abbrev|str_offsets|rnglists|addr|ranges|cu_index)") for file in files}
            ends, known = set(), 0
            for round in range(90):
                for file, data in whole.items():
                    file.write_bytes(data)
                broken = files[round % len(files)]
                # Only the unit, or only the package, is there; with the program damaged all are.
                for other in files[1:]:
                    if broken not in (path, other):
                        other.unlink()
                data = bytearray(whole[broken])
                for start, size in sections[broken]:
                    for _ in range(numbers.randint(0, 2)):
                        data[start + numbers.randrange(min(size, numbers.choice([40, 300, size])))] = numbers.choice([0, 1, 255, numbers.randrange(256)])
                if broken != path and numbers.randrange(8) == 0:
                    del data[numbers.randrange(len(data)):]
                broken.write_bytes(data)
                found, _, run = self.rows(path, 20)
                ends.add(run.returncode)
                known += any(found.values())
            self.check(f"damaged units, DWARF {version}", ends == {0} and 20 < known, (ends, known))

    def inlined_split_root(self):
        """With --root files are those of the guest: of the directory of the compilation, too."""
        root = self.folder / "root"
        sources = root / "src"
        sources.mkdir(parents=True)
        subprocess.run(["gcc", "-g", "-O2", "-static", "-gsplit-dwarf", f"-fdebug-prefix-map={sources}=/src", CALLS, "-o", "program"], cwd=sources,
                       check=True, capture_output=True, timeout=120)
        unit = next(sources.glob("*.dwo"))
        (sources / "program").rename(root / "program")
        for title, inlined in (("with its unit", True), ("without", False)):
            run = subprocess.run([self.terminal.VITRINE, "run", "--root", root, "/program", "200"], capture_output=True, text=True, timeout=60)
            self.check(f"a report of a guest in a root {title}", ("in fault (inlined in last+" in run.stderr) == inlined and "in last+" in run.stderr
                       and f"at inlined-calls.c:{number('*nowhere = code', CALLS)}" in run.stderr, run.stderr)
            words = [self.terminal.VITRINE, "debug", "--json", "--root", root, "--command", f"break inlined-calls.c:{number('total -= 1;', CALLS)}"]
            run = subprocess.run([*words, "--command", "continue", "/program"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
            stop = json.loads((run.stdout.splitlines() or ["{}"])[-1])
            self.check(f"a debugger of a guest in a root {title}", stop.get("inlined") == ("innermost" if inlined else None) and "line" in stop,
                       run.stdout + run.stderr)
            unit.unlink(missing_ok=True)

    # MARK: The C library, and damage

    def inlined_library(self):
        """The C library's, whose information is compressed, in a separate file, and refers to other units."""
        library = "/lib/x86_64-linux-gnu/libc.so.6"
        note = subprocess.run(["readelf", "-n", library], capture_output=True, text=True).stdout
        identity = re.search(r"Build ID: (\w\w)(\w+)", note)
        debug = identity and Path(f"/usr/lib/debug/.build-id/{identity[1]}/{identity[2]}.debug")
        if not debug or not debug.exists():
            return
        found, chosen, _ = self.rows(library, 120)
        random.Random(5).shuffle(chosen)
        chosen = chosen[:20000]
        theirs = self.addr2line(debug, chosen)
        wrong = [(address, found[address], other) for address, other in zip(chosen, theirs) if not self.is_equal(found[address], other)]
        self.check("the C library's functions", len(chosen) == 20000 and not wrong and sum(len(other) > 1 for other in theirs) > 2000, (len(chosen), wrong[:3]))

    def inlined_damage(self):
        """Damaged sections: less is known, nothing else happens."""
        numbers = random.Random(7)
        originals = [build(self.folder / f"damage{version}", CALLS, "-O2", "-gdwarf-" + version) for version in "245"]
        listings = [subprocess.run(["readelf", "-SW", one], capture_output=True, text=True).stdout for one in originals]
        ends, known, whole = [], 0, len(self.rows(originals[2])[0])
        for round in range(150):
            data = bytearray(originals[round % 3].read_bytes())
            for section in re.finditer(r"\.(debug_(?:info|abbrev|ranges|rnglists|str))\s+PROGBITS\s+\w+ (\w+) (\w+)", listings[round % 3]):
                start, size = int(section[2], 16), int(section[3], 16)
                for _ in range(numbers.randint(0, 3)):
                    data[start + numbers.randrange(min(size, numbers.choice([60, 400, size])))] = numbers.choice([0, 1, 255, numbers.randrange(256)])
            broken = self.folder / "broken"
            broken.write_bytes(data)
            found, _, run = self.rows(broken, 20)
            ends.append(run.returncode)
            known += any(found.values())
        self.check("damaged functions", set(ends) == {0} and whole > 10, set(ends))
        self.check("damaged functions are still read", known > 40, known)

    def inlined_compressed(self):
        """Sections that zstd has compressed, and damage in them."""
        plain = build(self.folder / "plain", TEMPLATES, "-O2")
        packed = self.folder / "packed"
        subprocess.run(["objcopy", "--compress-debug-sections=zstd", plain, packed], check=True)
        listing = subprocess.run(["readelf", "-tW", packed], capture_output=True, text=True).stdout
        own, _, run = self.rows(packed)
        self.check("sections compressed by zstd", own == self.rows(plain)[0] and len(own) > 300 and listing.count("ZSTD") > 4, (len(own), run.stderr))
        numbers = random.Random(9)
        place = re.search(r"\.debug_info\s+PROGBITS\s+\w+ (\w+) (\w+)", subprocess.run(["readelf", "-SW", packed], capture_output=True, text=True).stdout)
        start, size = int(place[1], 16), int(place[2], 16)
        ends, known = set(), 0
        for _ in range(60):
            data = bytearray(packed.read_bytes())
            for _ in range(numbers.randint(1, 3)):
                data[start + numbers.randrange(min(size, numbers.choice([60, size])))] ^= 1 << numbers.randrange(8)
            broken = self.folder / "broken"
            broken.write_bytes(data)
            found, _, run = self.rows(broken, 20)
            ends.add(run.returncode)
            known += any(found.values())
        # A frame without a checksum may be damaged without anybody's noticing.
        self.check("damaged compression", ends == {0} and known < 60, (ends, known))

    # MARK: Frames

    def ask(self, commands, program, recording=None):
        words = [self.terminal.VITRINE, "debug", "--json"]
        for command in commands:
            words += ["--command", command]
        run = subprocess.run(words + ([recording] if recording else ["--", program]), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return [json.loads(line) for line in run.stdout.splitlines()], run

    def inlined_frames(self):
        program = build(self.folder / "frames", CALLS, "-O2")
        run = subprocess.run([self.terminal.VITRINE, "run", program, "200"], capture_output=True, text=True, timeout=60)
        written, call = number("*nowhere = code", CALLS), number("fault(value);", CALLS)
        self.check("the report of a fault", re.search(rf"at 0x\w+ in fault \(inlined in last\+0x\w+\) at inlined-calls.c:{written}\n", run.stderr)
                   and re.search(rf"#0 \w+ in fault at inlined-calls.c:{written}  \(inlined\)\n   #1 \w+ in last\+0x\w+ at inlined-calls.c:{call}\n   #2 \w+ in main\+",
                                 run.stderr), run.stderr)
        inside = number("total -= 1;", CALLS)
        answers, run = self.ask([f"break inlined-calls.c:{inside}", "continue", "frames", "where", "screen 120x40"], program)
        self.check("commands succeed", run.returncode == 0 and len(answers) == 5, run.stdout + run.stderr)
        if len(answers) < 5:
            return
        self.check("a stop names the inlined function", answers[1].get("line") == inside and answers[1].get("inlined") == "innermost"
                   and f"in innermost at inlined-calls.c:{inside}" in answers[1]["lines"][0], answers[1])
        shown = [f"innermost at inlined-calls.c:{inside}  (inlined)", f"middle at inlined-calls.c:{number('int second = innermost', CALLS)}  (inlined)"]
        self.check("frames", [row.split(None, 2)[2] for row in answers[2]["lines"][:2]] == shown
                   and "around+" in answers[2]["lines"][2] and "main+" in answers[2]["lines"][3], answers[2])
        first = answers[2]["frames"][0]
        self.check("frames for programs", first == {"address": answers[1]["rip"], "inlined": True, "function": "innermost", "file": str(CALLS), "line": inside}
                   and [frame["inlined"] for frame in answers[2]["frames"][:4]] == [True, True, False, False], answers[2])
        self.check("frames on the screen", any("innermost at inlined-calls.c" in row for row in answers[4]["lines"]), answers[4])
        # Each place where a line of an inlined function is has a breakpoint.
        answers, _ = self.ask([f"break inlined-calls.c:{number('int first = value * 3;', CALLS)}"], program)
        self.check("a breakpoint for each copy", len(answers[0]["lines"]) >= 3, answers)

    def chains(self, program, script):
        """Frames as gdb prints them wherever the script says `chain()`: functions and lines, up to main."""
        source = self.folder / "chains.gdb"
        source.write_text(f"""set confirm off
python
def chain():
    frame, names = gdb.newest_frame(), []
    while frame is not None:
        names.append((frame.name(), frame.find_sal().line))
        if frame.name() == "main" and frame.type() == gdb.NORMAL_FRAME: break
        frame = frame.older()
    print("@", names)
end
{script}
kill
""")
        run = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", source, program], capture_output=True, text=True, timeout=300)
        return [eval(line[2:]) for line in run.stdout.splitlines() if line.startswith("@ ")]

    @staticmethod
    def own_chain(answer):
        """The same of an answer to `frames`."""
        found = []
        for frame in answer.get("frames", []):
            found.append((frame.get("function"), frame.get("line", 0)))
            if frame.get("function") == "main" and not frame["inlined"]:
                break
        return found

    def inlined_instants(self):
        """Frames behind each of many instructions."""
        for options in (["-O2", "-no-pie"], ["-O3", "-no-pie", "-gdwarf-4"], ["-O1", "-no-pie"], ["-O2", "-no-pie", "-gsplit-dwarf"]):
            program = build(self.folder / ("instants" + "".join(options)), CALLS, *options)
            count = 120
            expected = self.chains(program, f"""break *around
run
python
for index in range({count}):
    gdb.execute("stepi", to_string=True)
    chain()
end""")
            answers, run = self.ask(["break around", "continue"] + ["step", "frames"] * count, program)
            own = [self.own_chain(answer) for answer in answers[3::2]]
            wrong = [(place, pair) for place, pair in enumerate(zip(expected, own)) if pair[0] != pair[1]]
            self.check(f"frames at {count} instants {options}", len(expected) == count == len(own) and not wrong
                       and sum(len(chain) > 2 for chain in expected) > count / 3, (len(expected), len(own), len(wrong), wrong[:2], run.stderr[-300:]))

    def inlined_templates(self):
        """Frames of C++ at many places of the program, chosen at random: addresses, lines, and what is inlined."""
        program = build(self.folder / "templates", TEMPLATES, "-O2", "-no-pie")
        found, _, _ = self.rows(program)
        places = random.Random(2).sample(sorted(address for address in found if len(found[address]) > 1), 50)
        count = 120
        stops = "\n".join(f"break *{address}" for address in places)
        expected = self.chains(program, f"""{stops}
run > /dev/null
python
for index in range({count}):
    gdb.execute("stepi", to_string=True)
    chain()
    gdb.execute("continue", to_string=True)
end""")
        commands = [f"break {address}" for address in places] + ["continue"] + ["step", "frames", "continue"] * count
        answers, run = self.ask(commands, program)
        own = [self.own_chain(answer) for answer in answers if answer["command"] == "frames"]
        # Names of templates are spelled in many ways.
        lines = [[[line for _, line in chain] for chain in chains] for chains in (expected, own)]
        wrong = next((pair for pair in zip(*lines) if pair[0] != pair[1]), None)
        frames = sum(map(len, expected))
        self.check("frames of C++ at many instants", len(expected) == count and lines[0] == lines[1] and frames > 4 * count, (len(expected), len(own), frames, wrong))
        names = {frame["function"] for answer in answers for frame in answer.get("frames", []) if "function" in frame}
        self.check("names of inlined functions", {"main", "std::__cxx11::to_string"} < names and any("std::allocator<char> >::_M_" in name for name in names)
                   and not any(name in ("std", "") for name in names), names)

    # MARK: Steps

    def inlined_steps(self):
        """step-line and next-line through optimised code: the frames behind each step."""
        for options in (["-O2", "-no-pie"], ["-Og", "-no-pie"], ["-O1", "-no-pie", "-gdwarf-4", "-gsplit-dwarf"]):
            program = build(self.folder / ("steps" + "".join(options)), CALLS, *options)
            recording = self.folder / "steps.rec"
            subprocess.run([self.terminal.VITRINE, "record", "-o", recording, "--", program], capture_output=True, timeout=60)
            for command in ("next", "step"):
                expected = self.chains(program, f"""break around
run
python
for index in range(60):
    gdb.execute("{command}", to_string=True)
    chain()
end""")
                # Up to main, where the library's functions are.
                end = next((place for place, chain in enumerate(expected) if chain[0][0] == "main"), len(expected))
                expected = expected[:end]
                for subject, arguments in (("program", (program,)), ("recording", (None, recording))):
                    start = self.start(program)
                    answers, run = self.ask([f"break {start}", "continue"] + [f"{command}-line", "frames"] * end, *arguments)
                    own = [self.own_chain(answer) for answer in answers[3::2]]
                    wrong = next(((place, pair) for place, pair in enumerate(zip(expected, own)) if pair[0] != pair[1]), None)
                    self.check(f"{command}-line as gdb {options}, {subject}", own == expected and end > 4, (len(own), end, wrong, run.stderr[-300:]))

    def start(self, program):
        """Where gdb's breakpoint at the function is, behind what sets up its frame."""
        run = subprocess.run(["gdb", "-nx", "-q", "-batch", "-ex", "break around", program], capture_output=True, text=True, timeout=60)
        return re.search(r"at (0x[0-9a-f]+)", run.stdout)[1]
