#!/usr/bin/env python3
"""Traces of recordings, checked against what is known otherwise: the recording's own count of instructions, the source of the guest, objdump's
text, memory before and after (memory.py), callgrind_annotate.

    Tests/Trace/run.py [--vitrine PATH] [PART ...]

The parts are listed in PARTS, below. Prints `N passed, M failed`.
"""

import argparse
import collections
import json
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Tools/recordings"))
import activity  # noqa: E402
import memory  # noqa: E402
from memory import rows  # noqa: E402
from recorded import Checks, Machine  # noqa: E402

GUESTS = ROOT / "Tests/Guests/.out"
FORMATS = ["instructions", "accesses", "calls", "callgrind", "chrome", "collapsed", "coverage", "lcov", "map"]
# Functions of trace-basics and how often they are entered; with threads `factorial` more often.
ENTERED = {"factorial": 10, "tail_caller": 7, "tail_target": 7, "jumps_out": 4, "deep": 24, "handler": 6, "handler_part": 6, "raises": 2,
           "many": 1, "leaf": 100, "multiply": 1, "accesses": 1, "main": 1}
WITH_THREADS = {**ENTERED, "factorial": 10 + 50 * (5 + 6 + 7), "worker": 3}


class Traced(Machine):
    def basics(self, kind="static", *words):
        return self.record("-".join(["basics", kind, *words]), [self.basics_program(kind), *words])

    def basics_program(self, kind="static"):
        return GUESTS / f"trace-basics-{kind}"


# Lists

def instructions(machine, checks):
    path = machine.basics()
    listing = rows(machine.trace(path, "instructions"))
    count = machine.count(path)
    checks.check("a line for each instruction", [int(row[0]) for row in listing] == list(range(count)), (len(listing), count))

    # Every line of the program's own code is objdump's, at its address.
    dump = subprocess.run(["objdump", "-d", "-M", "intel", "--no-show-raw-insn", GUESTS / "trace-basics-static"],
                          capture_output=True, text=True).stdout
    known = dict(re.findall(r"^\s+([0-9a-f]+):\t(.+?)\s*$", dump, re.M))
    wrong, compared = [], 0
    for row in {tuple(row[2:]) for row in listing}:
        text = known.get(row[0][2:])
        if text is None:
            wrong.append((row, "objdump has nothing there"))
            continue
        compared += 1
        # objdump writes negative distances from RIP as numbers without a sign.
        text = re.sub(r"\[rip\+0x(f{4}\w+)\]", lambda match: f"[rip-{(1 << 64) - int(match[1], 16):#x}]", text)
        ours, theirs = (re.sub(r"\s+|<.*?>|#.*|0x", "", one) for one in (row[2], text))
        if ours != theirs:
            wrong.append((row, text))
    checks.check("objdump's text", not wrong and compared > 1000, (compared, wrong[:3]))
    symbols = {row[3].split("+")[0] for row in listing}
    checks.check("symbols", set(ENTERED) <= symbols, sorted(symbols)[:5])

    # The state at each of some instants is where the line says.
    chosen = listing[::len(listing) // 60]
    answers = machine.debug(path, [word for row in chosen for word in (f"seek {row[0]}", "registers rip")])
    wrong = []
    for index, row in enumerate(chosen):
        rip = next(line.split()[1] for line in answers[2 * index + 1] if line.startswith("rip"))
        if rip != row[2]:
            wrong.append((rip, row))
    checks.check("instants are those of time travel", not wrong, wrong[:2])


def selection(machine, checks):
    path = machine.basics()
    listing = rows(machine.trace(path, "instructions"))
    for options, expected in [
        (["--from", "1000", "--to", "1500"], listing[1000:1500]),
        (["--limit", "77"], listing[:77]),
        (["--from", "5000", "--limit", "3"], listing[5000:5003]),
        (["--only", "multiply"], [row for row in listing if row[3].split("+")[0] == "multiply"]),
        (["--only", "leaf", "--only", "handler", "--limit", "250"],
         [row for row in listing if row[3].split("+")[0] in ("leaf", "handler")][:250]),
        (["--from", str(len(listing) - 1)], listing[-1:]),
        (["--from", str(len(listing) + 100)], []),
    ]:
        found = rows(machine.trace(path, "instructions", *options))
        checks.check(f"instructions {options}", found == expected, (len(found), len(expected)))
    first = int(next(row[2] for row in listing if row[3] == "leaf"), 16)
    found = rows(machine.trace(path, "instructions", "--only", f"{first:#x}-{first + 4:#x}"))
    checks.check("a range of addresses", found and found == [row for row in listing if first <= int(row[2], 16) < first + 4], len(found))
    calls = rows(machine.trace(path, "calls", "--only", "leaf"))
    checks.check("only one function's calls", len(calls) == 200 and {row[5].strip() for row in calls} == {"leaf"}, calls[:2])


def nesting(listing):
    """The first line at which calls and returns do not fit each other, if there is one."""
    stacks = collections.defaultdict(list)
    for row in listing:
        stack, name, depth = stacks[row[2]], row[5].strip(), int(row[3])
        if row[4] in ("call", "signal"):
            if depth != len(stack):
                return row
            stack.append(name)
        elif row[4] == "jump":
            # In place of the function that jumps, or deeper when that one has not given up its part of the stack.
            del stack[depth:]
            stack.append(name)
        elif row[4] in ("return", "unwind") and (not stack or stack.pop() != name or depth != len(stack)):
            return row
    return next((stack for stack in stacks.values() if stack), None)


def calls(machine, checks):
    for kind, words, expected in [("static", [], ENTERED), ("static", ["threads"], WITH_THREADS), ("dynamic", ["threads"], WITH_THREADS)]:
        path = machine.basics(kind, *words)
        listing = rows(machine.trace(path, "calls"))
        entered = collections.Counter(row[5].strip() for row in listing if row[4] in ("call", "jump", "signal"))
        wrong = {name: (entered[name], number) for name, number in expected.items() if entered[name] != number}
        checks.check(f"{kind} {words}: functions entered", not wrong, wrong)
        kinds = collections.Counter((row[4], row[5].strip()) for row in listing)
        checks.check(f"{kind} {words}: signals", kinds["signal", "handler"] == 6 and kinds["jump", "tail_target"] == 7,
                     (kinds["signal", "handler"], kinds["jump", "tail_target"]))
        # deep(0) leaves by longjmp: none of its frames returns.
        checks.check(f"{kind} {words}: longjmp", kinds["unwind", "deep"] == 24 and kinds["return", "deep"] == 0, kinds["unwind", "deep"])
        checks.check(f"{kind} {words}: nesting", nesting(listing) is None, nesting(listing))
        # main's own calls stand right below it, whatever happened in between.
        main = next(int(row[3]) for row in listing if row[5].strip() == "main")
        depths = {int(row[3]) for row in listing if row[4] == "call" and row[5].strip() in ("multiply", "many", "raises", "accesses")}
        checks.check(f"{kind} {words}: depths", depths == {main + 1}, (main, depths))
    threads = {row[1] for row in listing if row[5].strip() == "worker"}
    checks.check("threads have stacks of their own", len(threads) == 3, threads)
    arguments = rows(machine.trace(machine.basics(), "calls", "--arguments", "--only", "factorial"))
    numbers = [int(re.search(r"\(0x(\w+)", row[5])[1], 16) & 0xffff_ffff for row in arguments if row[4] == "call"]
    checks.check("arguments", numbers == list(range(10, 0, -1)), numbers)
    results = [int(row[5].split("= ")[1], 16) & 0xffff_ffff for row in arguments if row[4] == "return"]
    checks.check("results", results[:3] == [1, 2, 6] and results[-1] == 3628800, results)


def system_calls(machine, checks):
    path = machine.basics("static", "threads")
    listing = [row for row in rows(machine.trace(path, "calls")) if row[4] == "system"]
    text = [re.sub(r"\s+", " ", row[5].strip()) for row in listing]
    checks.check("write", any(line.startswith('write(1, "3628800\\n6 360\\n", 14) = 14') for line in text), text)
    checks.check("kill", sum(line.startswith("kill(") for line in text) == 6, text)
    checks.check("sigreturn", sum(line.startswith("rt_sigreturn") for line in text) == 6, text)
    checks.check("the last call", text[-1].startswith("exit_group(7)") and text[-1].endswith("= ?"), text[-1:])
    answers = machine.debug(path, ["seek start", "catch"] + ["continue"] * (len(listing) + 5))
    instants = [re.search(r"instant (\d+)", lines[0])[1] for lines in answers[2:] if lines and lines[0].startswith("system call")]
    checks.check("their instants are those of time travel", len(instants) > 20 and instants == [row[0] for row in listing][:len(instants)],
                 (instants[:5], [row[0] for row in listing][:5]))


# Profiles

class Callgrind:
    """A profile, read by the format's description (valgrind's manual, Callgrind Format Specification)."""

    def __init__(self, text):
        self.own, self.calls, self.inclusive = collections.Counter(), collections.Counter(), collections.Counter()
        self.header = dict(re.findall(r"^(\w+): (.*)$", text, re.M))
        # Own costs by source and line, too.
        self.lines, file = collections.Counter(), None
        names, function, target, is_call = {}, None, None, False
        for line in text.splitlines():
            match = re.match(r"(c?fn|c?ob|fl|fi|fe|cfi)=\((\d+)\)(?: (.*))?$", line)
            if match:
                kind = "fl" if match[1] in ("fl", "fi", "fe", "cfi") else match[1][-2:]
                if match[3]:
                    names[kind, match[2]] = match[3]
                if match[1] in ("fl", "fi", "fe"):
                    file = names[kind, match[2]]
                if match[1] == "fn":
                    function = names[kind, match[2]]
                elif match[1] == "cfn":
                    target = names[kind, match[2]]
            elif match := re.match(r"calls=(\d+) 0x[0-9a-f]+ \d+$", line):
                self.calls[function, target] += int(match[1])
                is_call = True
            elif match := re.match(r"0x[0-9a-f]+ (\d+) (\d+)$", line):
                if is_call:
                    self.inclusive[function, target] += int(match[2])
                    is_call = False
                else:
                    self.own[function] += int(match[2])
                    self.lines[file, int(match[1])] += int(match[2])

    def entered(self):
        result = collections.Counter()
        for (_, target), number in self.calls.items():
            result[target] += number
        return result


def callgrind(machine, checks):
    for kind, words, expected in [("static", [], ENTERED), ("dynamic", ["threads"], WITH_THREADS)]:
        path = machine.basics(kind, *words)
        text, count = machine.trace(path, "callgrind"), machine.count(path)
        profile = Callgrind(text)
        checks.check(f"{kind}: the sum of all costs", sum(profile.own.values()) == count == int(profile.header["totals"]),
                     (sum(profile.own.values()), count))
        entered = profile.entered()
        # Handlers are not called by an instruction.
        wrong = {name: (entered[name], number) for name, number in expected.items() if name != "handler" and entered[name] != number}
        checks.check(f"{kind}: calls", not wrong, wrong)
        listing = rows(machine.trace(path, "instructions", "--only", "multiply"))
        checks.check(f"{kind}: what a function costs", profile.own["multiply"] == len(listing) > 10000, (profile.own["multiply"], len(listing)))
        checks.check(f"{kind}: what a call costs", profile.inclusive["main", "multiply"] == len(listing), profile.inclusive["main", "multiply"])
        if shutil.which("callgrind_annotate"):
            file = machine.folder / "callgrind.out.1"
            file.write_text(text)
            run = subprocess.run(["callgrind_annotate", file], capture_output=True, text=True, timeout=60)
            total = re.search(r"([\d,]+) \(100.0%\)\s+PROGRAM TOTALS", run.stdout)
            first = re.search(r"([\d,]+) .*:(\S+) \[", run.stdout)
            checks.check(f"{kind}: callgrind_annotate", total and int(total[1].replace(",", "")) == count and first[2] == "multiply",
                         run.stdout[:400] + run.stderr)


def collapsed(machine, checks):
    path = machine.basics("dynamic", "threads")
    stacks = [line.rsplit(" ", 1) for line in machine.trace(path, "collapsed").splitlines()]
    checks.check("weights are instructions", sum(int(number) for _, number in stacks) == machine.count(path))
    profile = Callgrind(machine.trace(path, "callgrind"))
    own = collections.Counter()
    for stack, number in stacks:
        own[stack.rsplit(";", 1)[-1]] += int(number)
    wrong = {name: (own[name], profile.own[name]) for name in WITH_THREADS if not own[name] == profile.own[name] > 0}
    checks.check("weights are the profile's", not wrong, wrong)
    checks.check("a path", any(stack.endswith(";main;many;leaf") for stack, _ in stacks), stacks[:3])
    deepest = max(stack.count(";factorial") for stack, _ in stacks)
    checks.check("recursion", deepest == 10, deepest)


def inlined(machine, checks):
    """Inlined calls are frames of collapsed stacks: what each of them executes, by the list of instructions and addr2line."""
    program = machine.folder / "inlined-calls"
    subprocess.run(["gcc", "-g", "-O2", "-no-pie", ROOT / "Tests/Guests/c/inlined-calls.c", "-o", program], check=True)
    path = machine.record("inlined-calls", [program])
    stacks = [line.rsplit(" ", 1) for line in machine.trace(path, "collapsed").splitlines()]
    checks.check("weights with inlined calls", sum(int(number) for _, number in stacks) == machine.count(path))
    executed = collections.Counter()
    for line in machine.trace(path, "instructions", "--only", "around", "--only", "last").splitlines():
        if not line.startswith("#"):
            executed[line.split("\t")[2]] += 1
    text = subprocess.run(["addr2line", "-a", "-i", "-f", "-e", program], input="\n".join(executed), capture_output=True, text=True).stdout
    expected = collections.Counter()
    for block in re.split(r"^0x", text, flags=re.MULTILINE)[1:]:
        address, *lines = block.splitlines()
        expected[";".join(reversed(lines[::2]))] += executed[hex(int(address, 16))]
    own = collections.Counter()
    for stack, number in stacks:
        names = stack.split(";")
        place = next((place for place, name in enumerate(names) if name in ("around", "last")), None)
        if place is not None and "real" not in names:
            own[";".join(names[place:])] += int(number)
    checks.check("what inlined calls execute", own == expected and len(expected) > 5, (own, expected))
    checks.check("a call of an inlined function", any(";main;around;middle;innermost;real" in stack for stack, _ in stacks), stacks[-5:])


def chrome(machine, checks):
    path = machine.basics("dynamic", "threads")
    events = json.loads(machine.trace(path, "chrome"))["traceEvents"]
    stacks, problem, last = collections.defaultdict(list), None, 0
    entered = collections.Counter()
    for event in events:
        if event["ph"] in "BE":
            if event["ts"] < last:
                problem = problem or ("time goes back", event)
            last = event["ts"]
        if event["ph"] == "B":
            stacks[event["tid"]].append(event["name"])
            entered[event["name"]] += 1
        elif event["ph"] == "E":
            if not stacks[event["tid"]]:
                problem = problem or ("end without begin", event)
            else:
                stacks[event["tid"]].pop()
    checks.check("begin and end are balanced", problem is None and not any(stacks.values()), problem or dict(stacks))
    wrong = {name: (entered[name], number) for name, number in WITH_THREADS.items() if entered[name] != number}
    checks.check("functions", not wrong, wrong)
    checks.check("time", round(last * 1000) == machine.count(path), last)
    named = {event["tid"] for event in events if event.get("name") == "thread_name"}
    checks.check("tracks have names", set(stacks) <= named and len(named) >= 4, named)
    system = [event for event in events if event["ph"] == "X"]
    checks.check("system calls", sum(event["name"] == "kill" for event in system) == 6
                 and any(event["args"]["call"].startswith('write(1, "3628800\\n6 360\\n", 14)') for event in system), system[:2])


def coverage(machine, checks):
    path = machine.basics()
    listing = rows(machine.trace(path, "instructions"))
    times = collections.Counter(int(row[2], 16) for row in listing)
    lines = rows(machine.trace(path, "coverage"))
    objects = [row for row in lines if row[0] == "object"]
    blocks = [(int(row[1], 16), int(row[2], 16), int(row[3]), int(row[4])) for row in lines if row[0] == "block"]
    checks.check("objects", sum(int(row[3]) for row in objects) == len(listing) and sum(int(row[2]) for row in objects) == len(times), objects)
    checks.check("blocks", sum(size * count for _, _, size, count in blocks) == len(listing))
    wrong = [block for block in blocks if times[block[0]] != block[3] or times[block[1]] != block[3]]
    checks.check("how often", not wrong, wrong[:3])
    functions = {row[2]: int(row[4]) for row in lines if row[0] == "function"}
    own = collections.Counter(row[3].split("+")[0] for row in listing)
    checks.check("functions", all(functions[name] == own[name] for name in ENTERED), [functions.get("main"), own["main"]])


def picture(machine, checks):
    path = machine.basics()
    space = "{http://www.w3.org/2000/svg}"

    def numbers(svg):
        return [int(number) for number in re.findall(r"\d+", svg.find(space + "desc").text)]

    for columns, height in [(240, 160), (60, 40), (1, 1), (300, 7)]:
        svg = ElementTree.fromstring(machine.trace(path, "map", "--size", f"{columns}x{height}"))
        cells = set()
        for group in svg.findall(space + "g"):
            for rectangle in group.findall(space + "rect"):
                x, y, width = (int(rectangle.get(name)) for name in ("x", "y", "width"))
                cells |= {(x + step, y) for step in range(0, width, 4)}
        said = numbers(svg)
        checks.check(f"map {columns}x{height}: cells", said[:2] == [columns, height] and len(cells) == said[5] <= columns * height,
                     (said, len(cells)))
    # What the picture counts as touched are the pages that the lists name.
    pages = {int(row[2], 16) >> 12 for row in rows(machine.trace(path, "instructions"))}
    for row in rows(machine.trace(path, "accesses")):
        address = int(row[4], 16)
        pages |= set(range(address >> 12, (address + int(row[5]) - 1 >> 12) + 1))
    checks.check("map: pages", said[2] == len(pages), (said, len(pages)))
    # multiply reads two matrices of 4608 bytes and writes one.
    only = ElementTree.fromstring(machine.trace(path, "map", "--only", "multiply"))
    colours = {group.get("fill") for group in only.findall(space + "g")}
    checks.check("map: only one function", any(colour[3:5] != "00" for colour in colours) and any(colour[1:3] != "00" for colour in colours)
                 and 5 <= numbers(only)[2] <= 9, (numbers(only), colours))


# Source lines

def lcov(machine, checks):
    """Lines and functions with how often they were executed, as gcov has them; and callgrind's costs of lines."""
    source = ROOT / "Tests/Guests/c/source-lines.c"
    counted = machine.folder / "counted"
    subprocess.run(["gcc", "--coverage", "-O0", source, "-o", counted], check=True, cwd=machine.folder)
    subprocess.run([counted], check=True, cwd=machine.folder, capture_output=True)
    subprocess.run(["gcov", "-t", "-o", machine.folder, "counted-source-lines.gcno"], check=True, cwd=machine.folder, capture_output=True)
    text = subprocess.run(["gcov", "-t", "counted-source-lines.gcno"], cwd=machine.folder, capture_output=True, text=True).stdout
    expected = {}
    for row in text.splitlines():
        count, line = (part.strip() for part in row.split(":")[:2])
        if int(line) and count != "-":
            expected[int(line)] = 0 if "#" in count else int(count.rstrip("*"))
    for options in (["-g", "-O0"], ["-g", "-O0", "-gdwarf-3", "-static"]):
        program = machine.folder / ("lines" + "".join(options))
        subprocess.run(["gcc", *options, source, "-o", program], check=True)
        path = machine.record(program.name, [program])
        files = tracefile(machine.trace(path, "lcov"), checks)
        own = files.get(str(source), {"lines": {}, "functions": {}})
        shared = expected.keys() & own["lines"].keys()
        wrong = {line: (own["lines"][line], expected[line]) for line in shared if own["lines"][line] != expected[line]}
        checks.check(f"lcov {options}: gcov's counts", not wrong and len(shared) > 35, (wrong, len(shared)))
        # gcov has no lines of closing braces, and the line of a function's name for its opening brace; labels have no code.
        text = [""] + source.read_text().splitlines()
        single = {line: text[line].strip() for line in own["lines"].keys() ^ expected.keys()}
        checks.check(f"lcov {options}: gcov's lines", all(what in ("{", "}", "default:", "int leaf(int x)") for what in single.values()), single)
        calls = {"leaf": 5, "middle": 1, "recursive": 4, "classify": 2, "never": 0, "main": 1}
        found = {name: own["functions"].get(name, (None, None))[1] for name in calls}
        checks.check(f"lcov {options}: functions", found == calls, found)
        profile = Callgrind(machine.trace(path, "callgrind"))
        total = sum(cost for (file, _), cost in profile.lines.items() if file == str(source))
        inside = sum(cost for name, cost in profile.own.items() if name in calls)
        checks.check(f"callgrind {options}: costs of lines", total == inside > 200, (total, inside))
        checks.check(f"callgrind {options}: each line", {line for file, line in profile.lines if file == str(source)}
                     == {line for line, count in own["lines"].items() if count}, sorted(profile.lines)[:5])
        if shutil.which("callgrind_annotate"):
            file = machine.folder / "callgrind.out.lines"
            file.write_text(machine.trace(path, "callgrind"))
            shown = subprocess.run(["callgrind_annotate", "--auto=yes", "--threshold=100", file, str(source)], capture_output=True, text=True).stdout
            line = next((row for row in shown.splitlines() if "int y = x * 2;" in row), "")
            cost = profile.lines[str(source), next(n for n, row in enumerate(source.read_text().splitlines(), 1) if "int y = x * 2;" in row)]
            checks.check(f"callgrind_annotate {options}: a line of the source", line.split()[:1] == [str(cost)] and cost > 0, (line, cost))
    # Optimised C++: what is listed are lines of the table, each source once.
    program = machine.folder / "lines-cpp"
    subprocess.run(["g++", "-g", "-O2", ROOT / "Tests/Guests/cpp/source-lines.cpp", "-o", program], check=True)
    path = machine.record("lines-cpp", [program])
    files = tracefile(machine.trace(path, "lcov"), checks)
    table = subprocess.run([machine.vitrine, "disassemble", "--lines", program], capture_output=True, text=True).stdout
    known = {tuple(row.split("\t")[1].rsplit(":", 1)) for row in table.splitlines()}
    listed = {(name, str(line)) for name, file in files.items() for line in file["lines"]}
    if shutil.which("genhtml"):
        info = machine.folder / "cpp.info"
        info.write_text(machine.trace(path, "lcov"))
        run = subprocess.run(["genhtml", "-o", machine.folder / "pages", info], capture_output=True, text=True, timeout=120)
        told = [line for line in (run.stdout + run.stderr).splitlines() if "WARNING" in line or "ERROR" in line]
        checks.check("genhtml makes pages", run.returncode == 0 and not told and "lines......:" in run.stdout, (run.returncode, told[:3]))
    checks.check("lcov: all lines of the program", known <= listed and len(known) > 300, (len(known - listed), len(known)))
    bare = rows(machine.trace(machine.basics(), "lcov"))
    checks.check("lcov: nothing without tables", not [row for row in bare if "trace-basics" in row[0]], bare[:2])


def tracefile(text, checks):
    """Sources of a tracefile, with what its sums have to be."""
    files = {}
    for record in text.split("end_of_record\n")[:-1]:
        fields = [line.split(":", 1) for line in record.splitlines()]
        name = next(value for key, value in fields if key == "SF")
        lines = {int(value.split(",")[0]): int(value.split(",")[1]) for key, value in fields if key == "DA"}
        first = {value.split(",", 1)[1]: int(value.split(",")[0]) for key, value in fields if key == "FN"}
        calls = {value.split(",", 1)[1]: int(value.split(",")[0]) for key, value in fields if key == "FNDA"}
        sums = {key: int(value) for key, value in fields if key in ("LF", "LH", "FNF", "FNH")}
        right = {"LF": len(lines), "LH": sum(map(bool, lines.values())), "FNF": len(first), "FNH": sum(map(bool, calls.values()))}
        if sums != right or name in files or first.keys() != calls.keys():
            checks.check(f"tracefile {name}", False, (sums, right))
        files[name] = {"lines": lines, "functions": {function: (first[function], calls[function]) for function in first}}
    return files


# Everything else

def stripped(machine, checks):
    for kind in ("static", "dynamic"):
        copy = machine.folder / f"stripped-{kind}"
        subprocess.run(["strip", "-o", copy, GUESTS / f"trace-basics-{kind}"], check=True)
        path = machine.record(f"stripped-{kind}", [copy, "threads"])
        profile = Callgrind(machine.trace(path, "callgrind"))
        checks.check(f"stripped {kind}: the sum of all costs", sum(profile.own.values()) == machine.count(path))
        symbols = subprocess.run(["nm", GUESTS / f"trace-basics-{kind}"], capture_output=True, text=True).stdout
        entered = profile.entered()
        for name in ("factorial", "leaf", "multiply", "deep"):
            address = "0x" + re.search(rf"^0*(\w+) \w {name}$", symbols, re.M)[1]
            checks.check(f"stripped {kind}: {name}", entered[address] == WITH_THREADS[name], (address, entered[address]))
        listing = rows(machine.trace(path, "calls"))
        checks.check(f"stripped {kind}: nesting", len(listing) > 1000 and nesting(listing) is None, nesting(listing))


def engines(machine, checks):
    path = machine.basics("dynamic", "threads")
    for form in ("callgrind", "calls", "accesses", "map"):
        checks.check(f"{form}: both engines", machine.trace(path, form, "--engine", "translator")
                     == machine.trace(path, form, "--engine", "interpreter"))
    wide = machine.folder / "wide.rec"
    machine.run("record", "-o", wide, "--", GUESTS / "trace-basics-dynamic", "threads")
    profile = Callgrind(machine.trace(wide, "callgrind"))
    checks.check("as recorded by default", sum(profile.own.values()) == machine.count(wide))
    for name in ("selfmodifying", "patching"):
        path = machine.record(name, [GUESTS / name])
        objects = [row for row in rows(machine.trace(path, "coverage")) if row[0] == "object"]
        checks.check(f"code that changes: {name}", sum(int(row[3]) for row in objects) == machine.count(path) > 1000, objects)


def outputs(machine, checks):
    path = machine.basics()
    files = [machine.folder / f"out.{form}" for form in FORMATS]
    words = [word for form, file in zip(FORMATS, files) for word in ("--format", form, "-o", file)]
    run = machine.run("trace", *words, path)
    checks.check("all formats at once", run.returncode == 0 and not run.stdout, run.stderr)
    for form, file in zip(FORMATS, files):
        checks.check(f"{form}: the same alone", file.read_text() == machine.trace(path, form))
    output = machine.folder / "of-program"
    run = machine.run("trace", "--format", "callgrind", "-o", output, GUESTS / "trace-basics-static")
    checks.check("a program", run.returncode == 7 and run.stdout.startswith(b"3628800\n"), (run.returncode, run.stdout, run.stderr))
    profile = Callgrind(output.read_text())
    checks.check("a program's profile", profile.calls["main", "many"] == 1 and sum(profile.own.values()) == int(profile.header["totals"]))
    temporary = machine.folder / "temporary"
    temporary.mkdir()
    run = machine.run("trace", "--limit", "9", "/bin/true", env={"TMPDIR": str(temporary)})
    checks.check("nothing is left behind", run.returncode == 0 and run.stdout and not list(temporary.iterdir()), run.stderr)
    family = machine.record("family", ["/bin/sh", "-c", "(exit 3); exit 4"])
    child = rows(machine.trace(family, "calls", "--timeline", "1"))
    checks.check("a child", any("exit_group(3)" in row[5] for row in child) and not any("exit_group(4)" in row[5] for row in child), child[-3:])


def problems(machine, checks):
    path = machine.basics()
    data = bytearray(path.read_bytes())
    # So much that its events are several chunks.
    long = machine.record("long", ["/usr/bin/dd", "if=/dev/urandom", "of=/dev/null", "bs=4096", "count=200", "status=none"])
    cut = machine.folder / "cut.rec"
    cut.write_bytes(long.read_bytes()[:-40])
    data[len(data) // 2] ^= 0x40
    damaged = machine.folder / "damaged.rec"
    damaged.write_bytes(data)
    for words, message in [
        (["--format", "steam", path], "unknown format: steam"),
        (["--only", "", path], "--only needs"),
        (["--only", "0x20-0x10", path], "A below B"),
        (["--only", "no_such_function", path], "has a symbol no_such_function"),
        (["--size", "0x9", path], "--size needs"),
        (["--size", "3000x9", path], "--size needs"),
        (["--from", "9", "--to", "3", path], "--from lies behind --to"),
        (["--limit", "many", path], "--limit needs a number"),
        (["--nonsense", path], "unknown option: --nonsense"),
        (["--values=1", path], "takes no value"),
        (["--timeline", "5", path], "there is no timeline 5"),
        (["--format", "map", "--format", "calls", path], "only one trace can go to standard output"),
        ([path, "more"], "one recording is needed"),
        ([], "no recording and no program"),
        (["-o", "/dev/null/x", path], "cannot create /dev/null/x"),
        (["-o", "/dev/full", path], "cannot write /dev/full"),
        (["/nonexistent/program"], "nonexistent"),
        ([damaged], "damaged"),
    ]:
        run = machine.run("trace", *words)
        checks.check(f"trace {words[:2]}", run.returncode == 125 and message in run.stderr.decode(), (run.returncode, run.stderr))
    run = machine.run("trace", "--format", "callgrind", cut)
    checks.check("a recording that was cut off", run.returncode == 0 and b"totals" in run.stdout, (run.returncode, run.stderr))
    # What came before the damage is worth having.
    data = bytearray(long.read_bytes())
    data[-100] ^= 0x40
    damaged.write_bytes(data)
    run = machine.run("trace", "--format", "callgrind", damaged)
    checks.check("a recording that is damaged at its end", run.returncode == 125 and re.search(rb"totals: [1-9]", run.stdout),
                 (run.returncode, run.stdout[-100:], run.stderr))
    run = machine.run("trace", "--help")
    checks.check("help", run.returncode == 0 and all(form.encode() in run.stdout for form in FORMATS))


PARTS = [instructions, selection, calls, system_calls, callgrind, collapsed, inlined, chrome, coverage, lcov, picture, activity.pixels, memory.changes, memory.kinds,
         activity.heat, activity.profile, activity.space, activity.live, stripped, engines, outputs,
         problems]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default=str(ROOT / ".build/release/vitrine"))
    parser.add_argument("parts", nargs="*", default=[])
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="trace-tests-") as folder:
        machine = Traced(options.vitrine, folder)
        for part in PARTS:
            if options.parts and part.__name__ not in options.parts:
                continue
            try:
                part(machine, checks)
            except (RuntimeError, subprocess.SubprocessError, StopIteration, TypeError, IndexError, KeyError, ValueError,
                    OSError) as problem:
                checks.check(part.__name__, False, repr(problem))
    print(f"{checks.passed} passed, {checks.failed} failed")
    return checks.failed > 0


if __name__ == "__main__":
    sys.exit(main())
