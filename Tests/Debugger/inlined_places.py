"""Inlined functions as places: breakpoints at all copies of a function by its name against gdb's, the way out of inlined calls against gdb's
`finish`, and in recordings the same ways back. Parts of terminal.py, whose helpers it gets."""

import random
import re
import shutil
import subprocess

from inlined import CALLS, Inlined
from lines import SOURCES, number

NAMES = SOURCES / "cpp/inlined-names.cpp"
RECURSION = SOURCES / "c/inlined-recursion.c"
# Functions that are inlined in each source.
FUNCTIONS = {CALLS: ["innermost", "middle", "count", "fault"],
             NAMES: ["space::add", "space::twice", "space::Counter::next", "half<int>", "half<double>"]}


def parts(terminal):
    """The parts, as terminal.py runs them."""
    tests = Places(terminal)
    return [tests.places_found, tests.places_met, tests.places_commands, tests.places_missing, tests.places_left, tests.places_back, tests.places_calls]


class Places(Inlined):
    def compile(self, source, compiler, *options):
        """A program by this compiler, and its path."""
        path = self.folder / re.sub(r"\W+", "-", f"{source.stem}-{compiler}{''.join(options)}")
        command = {"gcc": "g++", "clang": "clang++"}[compiler] if source.suffix == ".cpp" else compiler
        subprocess.run([command, "-g", "-no-pie", *options, source, "-o", path], check=True, capture_output=True, timeout=120)
        return path

    @staticmethod
    def compilers():
        return [name for name in ("gcc", "clang") if shutil.which(name) and shutil.which({"gcc": "g++", "clang": "clang++"}[name])]

    def record(self, program):
        path = program.with_name(program.name + ".rec")
        subprocess.run([self.terminal.VITRINE, "record", "-o", path, "--", program], capture_output=True, timeout=60)
        return path

    def gdb(self, program, script):
        """What a script for gdb prints behind `@`, as values of Python's."""
        source = self.folder / "script.py"
        source.write_text("""import gdb
gdb.execute("set confirm off")
gdb.execute("set pagination off")
def chain():
    frame, names = gdb.newest_frame(), []
    while frame is not None:
        names.append((frame.name(), frame.find_sal().line))
        if frame.name().startswith("main") and frame.type() == gdb.NORMAL_FRAME: break
        frame = frame.older()
    return names
def alive(): return gdb.selected_inferior().pid != 0
""" + script)
        run = subprocess.run(["gdb", "-nx", "-q", "-batch", "-x", source, program], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return [eval(line[2:]) for line in run.stdout.splitlines() if line.startswith("@ ")]

    def places(self, program, name):
        """Where a breakpoint at a function is: address, and whether it is that of an inlined copy."""
        answers, run = self.ask([f"break {name}"], program)
        found = [re.fullmatch(rf"\d+ at {re.escape(name)}(, inlined in .+)? \(0x(\w+)\)", line) for line in answers[0].get("lines", [])]
        self.check(f"break {name} is understood", bool(found) and all(found), run.stdout + run.stderr)
        return [(int(match[2], 16), bool(match[1])) for match in found if match]

    # MARK: Breakpoints

    def places_found(self):
        """The places of a function's breakpoint are in the same blocks as gdb's, and begin there."""
        count = 0
        for source, names in FUNCTIONS.items():
            for compiler in self.compilers():
                for options in (["-gdwarf-4"], ["-gdwarf-5"], ["-gdwarf-4", "-gsplit-dwarf"], ["-gdwarf-5", "-O3"]):
                    program = self.compile(source, compiler, "-O2", *options)
                    for name in names:
                        places = self.places(program, name)
                        answer = self.gdb(program, f"""name, own = {name!r}, {[address for address, _ in places]}
def block(address):
    block = gdb.block_for_pc(address)
    while block and not (block.function and block.function.name.split("(")[0] == name): block = block.superblock
    return (block.start, block.end) if block else None
breakpoint = gdb.Breakpoint(name)
theirs = [int(address, 16) for address in __import__("re").findall(r"(0x[0-9a-f]{{16}}) in", gdb.execute("info breakpoints", to_string=True))]
print("@", (sorted(map(block, own)), sorted(map(block, theirs)), sorted(theirs)))
""")
                        title = f"{name} {compiler} {options}"
                        self.check(f"places in gdb's blocks {title}", len(answer) == 1 and answer[0][0] == answer[0][1] and None not in answer[0][0], (places, answer))
                        self.begin(program, title, places, answer[0][2] if answer else [])
                        count += len(places)
        print(f"{count} places of inlined functions")
        self.check("many places", count > 60, count)

    def begin(self, program, title, places, theirs):
        """Copies begin where the compiler says that they are entered, or else where gdb 13 has them, which does not read that."""
        listing = subprocess.run(["readelf", "--debug-dump=info", program], capture_output=True, text=True, timeout=60).stdout
        for file in program.parent.glob(program.name + "*.dwo"):
            listing += subprocess.run(["readelf", "--debug-dump=info", file], capture_output=True, text=True, timeout=60).stdout
        entries = {int(text, 16) for text in re.findall(r"DW_AT_entry_pc .*?0x(\w+)\n", listing)}
        # Where code is set up for the function around gdb goes behind that.
        symbols = subprocess.run(["nm", program], capture_output=True, text=True, timeout=60).stdout
        starts = {int(line.split()[0], 16) for line in symbols.splitlines() if re.match(r"\w{16} ", line)}
        wrong = [hex(address) for address, is_inlined in places if is_inlined and address not in entries | starts | set(theirs)]
        self.check(f"places begin {title}", not wrong, (wrong, places))

    def places_met(self):
        """Each copy of a function is met as often, and in the same frames, as under gdb; in recordings in both directions."""
        met = 0
        for source, names in FUNCTIONS.items():
            for compiler, options in [(compiler, options) for compiler in self.compilers() for options in (["-O0"], ["-O2"], ["-O2", "-gdwarf-4"])]:
                program = self.compile(source, compiler, *options)
                recording = self.record(program)
                for name in names:
                    expected = self.gdb(program, f"""gdb.Breakpoint({name!r})
gdb.execute("run", to_string=True)
while alive():
    print("@", chain())
    gdb.execute("continue", to_string=True)
""")
                    # Where gdb stops some instructions earlier lines may differ.
                    expected = [self.functions(chain) for chain in expected]
                    title = f"{name} {compiler} {options}"
                    answers, run = self.ask([f"break {name}"] + ["continue", "frames"] * len(expected) + ["continue"], program)
                    own = [self.functions(self.own_chain(answer)) for answer in answers[2:-1:2]]
                    self.check(f"stops as gdb {title}", own == expected and answers[-1].get("stop") == "end", (own[:3], expected[:3], len(own), len(expected), run.stderr))
                    answers, run = self.ask([f"break {name}"] + ["continue", "frames"] * len(expected) + ["seek end"]
                                            + ["reverse-continue", "frames"] * len(expected) + ["reverse-continue"], None, recording)
                    half = 1 + 2 * len(expected)
                    there, back = answers[1:half], answers[half + 1:-1]
                    places = [[(stop["rip"], stop["instant"], self.own_chain(frames)) for stop, frames in zip(way[::2], way[1::2])] for way in (there, back)]
                    self.check(f"stops in a recording {title}", places[0] == places[1][::-1] and [self.functions(chain) for _, _, chain in places[0]] == expected
                               and answers[-1].get("stop") == "start", (places, expected, run.stderr))
                    met += len(expected)
        self.check("many stops", met > 100, met)

    @staticmethod
    def functions(chain):
        return [name.split("(")[0].split("::")[-1] for name, _ in chain]

    def places_commands(self):
        """Other commands that take places."""
        program = self.compile(CALLS, "gcc", "-O2")
        recording = self.record(program)
        places = self.places(program, "innermost")
        lines = CALLS.read_text().splitlines()
        first, last = (next(place for place, line in enumerate(lines, 1) if place > number("INLINED int innermost", CALLS) and line == text) for text in "{}")
        for title, arguments in (("program", (program,)), ("recording", (None, recording))):
            answers, run = self.ask(["until innermost", "frames", "until innermost", "frames", "list innermost 3", "print innermost", "disassemble innermost 1",
                                     "break middle if rip == count || 1", "breakpoints", "continue"], *arguments)
            self.check(f"commands succeed, {title}", run.returncode == 0 and len(answers) == 10, run.stdout + run.stderr)
            if len(answers) < 10:
                continue
            self.check(f"until a copy, {title}", [answer["rip"] for answer in answers[:3:2]] == [hex(address) for address, _ in sorted(places)[:2]]
                       and all(answer.get("inlined") == "innermost" and "reached" in answer["lines"][0] for answer in answers[:3:2])
                       and self.functions(self.own_chain(answers[1])) == ["innermost", "middle", "around", "main"], answers[:4])
            shown = [int(line.replace("=>", "").split()[0]) for line in answers[4]["lines"]]
            self.check(f"list a function, {title}", first < shown[1] < last, answers[4])
            # In the function where the program stands.
            self.check(f"a copy as a number, {title}", answers[5]["value"] in [hex(address) for address, _ in places], answers[5])
            self.check(f"listed, {title}", len(answers[8]["lines"]) == len(answers[7]["lines"]) >= 3
                       and all(re.fullmatch(r"\d+ at middle, inlined in \w+(\+0x\w+)?, on a condition", line) for line in answers[8]["lines"]), answers[8])
            self.check(f"a condition, {title}", answers[9].get("stop") == "breakpoint" and answers[9].get("inlined") == "middle", answers[9])
        answers, _ = self.ask(["seek end", "reverse-until innermost", "frames"], None, recording)
        self.check("back to a copy", answers[1].get("inlined") == "innermost" and int(answers[1]["rip"], 16) == max(places)[0], answers)
        # A step by lines that comes to a copy with a breakpoint has come to the breakpoint.
        program = self.compile(CALLS, "gcc", "-O0")
        for title, arguments in (("program", (program,)), ("recording", (None, self.record(program)))):
            answers, _ = self.ask([f"until inlined-calls.c:{number('total = 1;', CALLS)}", "break middle", "next-line"], *arguments)
            self.check(f"a step to a breakpoint, {title}", answers[-1].get("stop") == "breakpoint" and answers[-1].get("inlined") == "middle", answers)

    def places_missing(self):
        """What only functions with code of their own can do says so."""
        program = self.compile(CALLS, "gcc", "-O2")
        places = [address for address, _ in self.places(program, "innermost")]

        def run(*words):
            return subprocess.run([self.terminal.VITRINE, *words], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        told = run("disassemble", "--symbol", "innermost", program)
        self.check("disassemble --symbol", told.returncode != 0 and "no code of its own" in told.stderr and all(hex(address) in told.stderr for address in places), told.stderr)
        told = run("disassemble", "--symbol", "nothing", program)
        self.check("disassemble without such a function", told.returncode != 0 and "no symbol nothing" in told.stderr, told.stderr)
        told = run("run", "--dump-translation", "innermost", "--dump-translation", "nothing", program)
        self.check("run --dump-translation", "innermost has no code of its own" in told.stderr and "there is no symbol nothing" in told.stderr, told.stderr)
        # A trace of it is one of its copies.
        told = run("trace", "--format", "instructions", "--only", "innermost", program)
        traced = {int(row.split("\t")[2], 16) for row in told.stdout.splitlines() if row.count("\t") == 4 and not row.startswith("#")}
        wanted = self.gdb(program, f"""def inside(address):
    block, names = gdb.block_for_pc(address), []
    while block:
        if block.function: names.append(block.function.name)
        block = block.superblock
    return "innermost" in names
print("@", [inside(address) for address in {sorted(traced)}])
""")
        self.check("trace --only", set(places) & traced and wanted == [[True] * len(traced)] and len(traced) > 20, (told.stderr, len(traced), wanted))
        answers, told = self.ask(["break nothing"], program)
        self.check("no such function", told.returncode == 1 and "no register or symbol nothing" in told.stdout + told.stderr, told.stdout + told.stderr)

    # MARK: Ways out and back

    def places_left(self):
        """`finish` out of inlined calls as gdb has it."""
        left = 0
        for compiler, options in [(compiler, options) for compiler in self.compilers() for options in (["-O0"], ["-Og"], ["-O2"], ["-O2", "-gdwarf-4"])]:
            program = self.compile(CALLS, compiler, *options)
            recording = self.record(program)
            for name in FUNCTIONS[CALLS][:3]:
                stops = "\n".join(f"gdb.execute('break *{address:#x}', to_string=True)" for address, _ in self.places(program, name))
                expected = self.gdb(program, f"""{stops}
gdb.execute("run", to_string=True)
while alive():
    before = chain()
    for breakpoint in gdb.breakpoints(): breakpoint.enabled = False
    gdb.execute("finish", to_string=True)
    print("@", (before, hex(gdb.newest_frame().pc()), chain()))
    for breakpoint in gdb.breakpoints(): breakpoint.enabled = True
    gdb.execute("continue", to_string=True)
""")
                title = f"{name} {compiler} {options}"
                for subject, arguments in (("program", (program,)), ("recording", (None, recording))):
                    answers, run = self.ask([f"break {name}"] + ["continue", "frames", "disable all", "finish", "frames", "enable all"] * len(expected), *arguments)
                    own = [(self.own_chain(answers[at + 1]), answers[at + 3]["rip"], self.own_chain(answers[at + 4])) for at in range(1, len(answers) - 5, 6)]
                    # gdb is always in the innermost call at an address.
                    pairs = [pair for pair in zip(expected, own) if pair[0][0] == pair[1][0]]
                    wrong = [pair for pair in pairs if pair[0] != pair[1]]
                    self.check(f"finish as gdb {title}, {subject}", len(own) == len(expected) and not wrong, (len(own), len(expected), wrong[:1], run.stderr[-200:]))
                    left += len(pairs)
        self.check("many ways out", left > 60, left)

    def walk(self, program, recording, command):
        """Forward steps through `around`: instants, places and frames with what is inlined; and the commands that lead to the last of them."""
        begin = [f"break {self.start(program)}", "continue", "delete all"]
        answers, _ = self.ask(begin + ["frames"] + [command, "frames"] * 70, None, recording)
        steps = [(answers[1], answers[3])] + list(zip(answers[4::2], answers[5::2]))
        found = [(stop["instant"], stop["rip"], self.own_chain(frames), [frame["inlined"] for frame in frames["frames"]]) for stop, frames in steps
                 if "rip" in stop]
        end = next((place for place, step in enumerate(found) if step[2][0][0] == "main"), len(found))
        return found[:end], begin + [command] * (end - 1)

    def places_back(self):
        """Steps back by lines undo steps: over inlined calls, and into them from their ends."""
        for source, inside in ((CALLS, {"innermost", "middle", "count", "around"}), (RECURSION, {"body", "around"})):
            for compiler, options in [(compiler, options) for compiler in self.compilers() for options in (["-O0"], ["-Og"], ["-O2"], ["-O2", "-gdwarf-4"])]:
                program = self.compile(source, compiler, *options)
                recording = self.record(program)
                for kind in ("next", "step"):
                    there, commands = self.walk(program, recording, f"{kind}-line")
                    answers, run = self.ask(commands + [f"reverse-{kind}-line", "frames"] * (len(there) + 5), None, recording)
                    way = answers[len(commands):]
                    back = [(stop["instant"], stop["rip"], self.own_chain(frames)) for stop, frames in zip(way[::2], way[1::2])]
                    back = [step for step in back if step[0] >= there[0][0]]
                    wanted = [step[:3] for step in there[:-1]][::-1]
                    title = f"{kind} {source.name} {compiler} {options}"
                    if kind == "next":
                        self.check(f"over inlined calls {title}", len(back) > 1 and all(self.functions(chain) == ["around", "main"] for _, _, chain in back), back)
                    else:
                        self.check(f"into inlined calls {title}", inside <= {chain[0][0] for _, _, chain in back}, back)
                    if "-O0" in options or compiler == "clang":
                        wrong = next((pair for pair in zip(wanted, back) if pair[0] != pair[1]), None)
                        self.check(f"steps back undo steps {title}", back == wanted and len(back) > 2, (len(back), len(wanted), wrong, run.stderr[-200:]))
                    else:
                        # In code that gcc has mixed calls begin again where parts of them do, in one direction only.
                        common = sum(step in back for step in wanted)
                        self.check(f"steps back meet steps {title}", common >= len(wanted) * 0.75, (common, len(wanted), back))

    def places_calls(self):
        """`reverse-finish` leads to where an inlined call is about to be made."""
        for compiler in self.compilers():
            for options in (["-O0"], ["-O0", "-gdwarf-4"]):
                program = self.compile(CALLS, compiler, *options)
                recording = self.record(program)
                there, commands = self.walk(program, recording, "step-line")
                calls, expected, own, entered = [], [], [], []
                for place, (instant, _, chain, inlined) in enumerate(there):
                    # The instants at which the calls around this place began.
                    names, depth = self.functions(chain)[::-1], len(chain)
                    before = self.functions(there[place - 1][2])[::-1] if place else []
                    common = next((at for at, pair in enumerate(zip(names, before)) if pair[0] != pair[1]), min(depth, len(before)))
                    entered = entered[:common] + [instant] * (depth - common)
                    if not inlined[0]:
                        continue
                    calls.append((place, entered[-1], chain[1:]))
                for place, instant, chain in random.Random(4).sample(calls, 15):
                    expected.append((instant, chain))
                    answers, _ = self.ask([*commands[:3 + place], "reverse-finish", "frames"], None, recording)
                    own.append((answers[-2].get("instant"), self.own_chain(answers[-1])))
                wrong = [pair for pair in zip(expected, own) if pair[0] != pair[1]]
                self.check(f"back to inlined calls {compiler} {options}", own == expected and len(calls) > 25, (len(calls), wrong[:2]))
