"""Changes of the past (parts of travel.py): a register or a byte that is changed makes a timeline of its own, which is the same each time
it is visited, while the recording stays what it was."""

import random
import re
import shutil
import subprocess
from pathlib import Path

GUESTS = Path(__file__).resolve().parents[2] / "Tests/Guests/.out"
TEXT = "begin\nthe usual way\nas recorded\ntwice: 42\nvalue 5\n"


def session(machine, path, commands, *options):
    """The lines of the answer to each command, by command; those that failed, and the exit code."""
    answers, code = machine.travel(path, commands, *options)
    return [lines for _, lines in answers], [failed for failed, _ in answers], code


def output(lines):
    return "".join(line + "\n" for line in lines)


def recorded(machine, guest, *words):
    path = machine.record(guest + "-" + "".join(words), [GUESTS / guest, *words])
    return path


def whatif(machine, checks, count):
    """Another way, another output; the recording keeps its own."""
    for guest in ("debug-whatif-static", "debug-whatif-dynamic"):
        path = recorded(machine, guest)
        for options in ([], ["--engine", "interpreter"]):
            begin = ["seek start", "break start", "continue", "delete all"]
            commands = [*begin, "hash", "seek end", "hash", *begin, "poke other_way 01", "where", "seek end", "terminal", "timelines", "timeline 0",
                        "seek end", "hash", "terminal", *begin, "hash"]
            lines, failed, code = session(machine, path, commands, *options)
            name = f"{guest} {options}"
            checks.check(f"{name}: commands", code == 0, [pair for pair in zip(commands, lines, failed) if pair[2]])
            at = commands.index("poke other_way 01")
            instant = re.search(r"instant (\d+)", lines[2][0])[1]
            checks.check(f"{name}: says so", lines[at] == [f"new timeline 1 branches off at instant {instant}"], lines[at])
            checks.check(f"{name}: where", lines[at + 1][0].startswith(f"timeline 1, instant {instant} of "), lines[at + 1])
            checks.check(f"{name}: another end", lines[at + 2] == ["exited with code 41"], lines[at + 2])
            other = TEXT.replace("the usual way", "the other way 120")
            checks.check(f"{name}: another output", output(lines[at + 3]) == other, lines[at + 3])
            checks.check(f"{name}: list", len(lines[at + 4]) == 2 and "exited with code 40" in lines[at + 4][0]
                         and lines[at + 4][1].startswith(f"* 1  from 0 at instant {instant}: ") and "code 41" in lines[at + 4][1],
                         lines[at + 4])
            checks.check(f"{name}: the recording's output", output(lines[at + 8]) == TEXT, lines[at + 8])
            checks.check(f"{name}: the recording's memory", lines[4] == lines[-1] and lines[6] == lines[at + 7], lines)


def answers(machine, checks, count):
    """What the recording does not have is answered as far as that is possible, and said otherwise."""
    path = recorded(machine, "debug-whatif-static")
    begin = ["break start", "continue", "delete all"]
    lines, _, code = session(machine, path, [*begin, "poke extra 03", "seek end", "terminal"])
    more = TEXT.replace("way\n", "way\nextra 0\nextra 1\nextra 2\n")
    checks.check("further output", output(lines[5]) == more and lines[4] == ["exited with code 40"] and code == 0, lines)
    lines, _, _ = session(machine, path, [*begin, "poke asks 01", "seek end", "terminal", "timelines", "where"])
    wanted = 'here the program asks for something that the recording does not know: openat(AT_FDCWD, "/no/such/file", O_RDONLY)'
    checks.check("a question", lines[4] == [wanted] and lines[6][1].endswith(wanted), lines)
    checks.check("up to the question", output(lines[5]) == "begin\nthe usual way\n", lines[5])
    lines, _, _ = session(machine, path, ["break twice", "continue", "delete all", "set rdi = 50", "print rdi", "finish", "print rax", "seek end",
                                          "terminal"])
    checks.check("a register", output(lines[8]) == TEXT.replace("42", "100") and "100" in lines[6][0], lines)
    # Bytes of another text of the same length, and of another one.
    lines, _, _ = session(machine, path, [*begin, 'poke message "as altered!"', "seek end", "terminal", "seek start", "terminal", "continue",
                                          "terminal"])
    checks.check("a text", output(lines[5]) == TEXT.replace("as recorded", "as altered!") and lines[9] == lines[5], lines)
    # Circles end some day.
    lines, failed, _ = session(machine, path, ["break work", "continue", "delete all", "set rdi = 0x7fffffffffff", "continue"])
    checks.check("circles", "not followed any further" in lines[4][0], lines)
    lines, failed, _ = session(machine, path, ["seek end", "set rax = 1", "poke message 00", "timelines", "timeline 1", "timeline x"])
    checks.check("nothing behind the end", failed == [False, True, True, False, True, True] and "has ended" in lines[1][0]
                 and len(lines[3]) == 1, lines)
    lines, failed, _ = session(machine, path, [*begin, "set rax = rax", "poke 0 00", "timelines"])
    checks.check("no change, no timeline", failed[3:] == [False, True, False] and len(lines[5]) == 1, lines)


def mended(machine, checks, count):
    """From the crash back to the null pointer; it is mended, and the program comes to its end."""
    path = recorded(machine, "debug-whatif-static", "crash")
    lines, _, _ = session(machine, path, ["seek end", "hash", "last-change pointer 8", "step", "print &node", "symbols node"])
    node = next(line.split()[0] for line in lines[5] if line.endswith(" node"))
    little = " ".join(re.findall("..", node[-8:])[::-1])
    crash = TEXT.replace("42", "44").replace("value 5\n", "")
    commands = ["seek end", "hash", "last-change pointer 8", "step", f"poke pointer {little}", "continue", "terminal", "timelines",
                "timeline 0", "seek end", "hash", "terminal"]
    lines, failed, _ = session(machine, path, commands)
    checks.check("the crash", lines[0] == ["killed by SIGSEGV"] and lines[9] == lines[0] and lines[1] == lines[10], lines)
    checks.check("mended", lines[5] == ["exited with code 40"] and output(lines[6]) == crash + "value 5\n", lines)
    checks.check("not mended", output(lines[11]) == crash, lines[11])
    # Also at the very end, where the instruction is tried again.
    lines, failed, _ = session(machine, path, ["seek end", f"set rax = 0x{node}", "continue", "terminal"])
    checks.check("mended at the end", lines[2] == ["exited with code 40"] and output(lines[3]) == crash + "value 5\n", lines)
    # And one that is broken.
    path = recorded(machine, "debug-whatif-static")
    lines, failed, _ = session(machine, path, ["break use", "continue", "delete all", "poke pointer 00 00 00 00", "continue", "timelines"])
    checks.check("broken", lines[4] == ["killed by SIGSEGV"] and lines[5][1].endswith("killed by SIGSEGV"), lines)


def branches(machine, checks, count):
    """Random instants of timelines, in any order, and steps over the places where they branch off."""
    path = recorded(machine, "debug-whatif-dynamic")
    begin = ["break start", "continue", "delete all", "poke other_way 01", "seek end", "print instant", "timeline 0", "seek start",
             "break twice", "continue", "delete all", "set rdi = 7", "poke message 41", "seek end", "print instant"]
    lines, failed, code = session(machine, path, begin)
    checks.check("two timelines", code == 0 and lines[3][0].startswith("new timeline 1") and lines[11][0].startswith("new timeline 2")
                 and lines[12][0].startswith("timeline 2,"), lines)
    number = r"instant (\d+)"
    places = {1: int(re.search(number, lines[3][0])[1]), 2: int(re.search(number, lines[11][0])[1])}
    ends = {1: int(lines[5][0].split()[2]), 2: int(lines[14][0].split()[2])}
    ends[0] = machine.end(path)
    chance = random.Random(7)
    # Close to the places and anywhere.
    visits = [(line, chance.choice([chance.randrange(ends[line]), places.get(line, 5000) + chance.randrange(-3, 300)]))
              for line in (chance.randrange(3) for _ in range(max(50, count)))]
    states = {}
    for options in ([], ["--checkpoint-memory", "2"], ["--engine", "interpreter"]):
        order = visits[:]
        for _ in range(2):
            chance.shuffle(order)
            commands = begin + [word for line, instant in order for word in (f"timeline {line}", f"seek {instant}", "registers", "hash")]
            lines, failed, code = session(machine, path, commands, *options)
            wrong = []
            for index, visit in enumerate(order):
                state = lines[len(begin) + 4 * index + 2:len(begin) + 4 * index + 4]
                state[0] = [line for line in state[0] if not line.startswith("rflags")]
                if states.setdefault(visit, state) != state:
                    wrong.append(visit)
            checks.check(f"visits {options}", code == 0 and not wrong, wrong[:5])
    # In front of the place there is only one past.
    front = places[1] - 10
    commands = begin + ["timeline 1", f"seek {front}", "hash", "timeline 0", f"seek {front}", "hash"]
    lines, _, _ = session(machine, path, commands)
    checks.check("one past", lines[-1] == lines[-4], lines[-6:])
    # Back over the place the change is undone, and forwards it is made again.
    commands = begin + ["timeline 2", f"seek {places[2]}", "print rdi", "reverse-step", "print rdi", "step", "print rdi", "reverse-step 5", "step 9",
                        "reverse-step 9", "print rdi", "step 5", "print rdi"]
    lines, _, _ = session(machine, path, commands)
    values = [line[0].split()[0] for line in lines[len(begin):] if len(line) == 1 and " = " in line[0]]
    checks.check("over the place", values[:3] + values[4:] == ["0x7", "0x15", "0x7", "0x7"] and values[3] != "0x7", (values, lines[len(begin):]))
    # Stops on the way back: the change of the bytes is one, as the stores of the program are.
    commands = begin + ["seek end", "watch message 1", "reverse", "where", "reverse", "timelines"]
    lines, _, _ = session(machine, path, commands)
    checks.check("who wrote this", f"instant {places[2]}," in lines[-4][0] and "is about to change from 0x61" in lines[-4][0]
                 and "beginning" in lines[-2][0], lines[-6:])
    commands = begin + ["timeline 1", "seek start", "break twice", "continue", "print rdi", "reverse", "timeline 2", "break twice", "seek end",
                        "reverse"]
    lines, _, _ = session(machine, path, commands)
    checks.check("breakpoints", "breakpoint" in lines[len(begin) + 3][0] and "0x15" in lines[len(begin) + 4][0]
                 and "breakpoint" in lines[-1][0] and f"instant {places[2]}," in lines[-1][0], lines[len(begin):])
    # A change of a changed past.
    commands = ["break start", "continue", "poke other_way 01", "seek end", "print instant", "break use", "reverse", "poke other_way 09",
                "continue", "timelines", "timeline 1", "seek end", "timeline 2", "seek end", "terminal"]
    lines, _, code = session(machine, path, commands)
    checks.check("a branch of a branch", code == 0 and lines[8] == ["exited with code 49"] and lines[11] == ["exited with code 41"]
                 and lines[13] == lines[8] and lines[9][2].startswith("* 2  from 1 at ")
                 and output(lines[14]) == TEXT.replace("the usual way", "the other way 120"), lines)


def programs(machine, checks, count):
    """Texts of real programs, changed in their past."""
    python = machine.record("print", ["/usr/bin/python3", "-S", "-c", "import time\nt = time.time()\nword = 'untouched'\nfor i in range(3): print(word, i)"])
    lines, _, code = session(machine, python, ["catch write", "continue", 'find "untouched"', "timelines"])
    end = int(re.search(r"instant (\d+)", lines[1][0])[1]) if "instant" in lines[1][0] else 0
    lines, _, _ = session(machine, python, [f"seek {end - 1500}", "hash", 'find "untouched"'] + ["find"] * 12)
    places = [match[0] for line in lines[2:] for match in [re.search(r"0x[0-9a-f]+", line[0])] if match]
    checks.check("the text is found", len(places) > 0, lines)
    commands = [f"seek {end - 1500}", "hash"] + [f'poke {place} "retouched"' for place in sorted(set(places))]
    commands += ["seek end", "terminal", f"timeline 0", f"seek {end - 1500}", "hash", "seek end", "terminal"]
    lines, failed, _ = session(machine, python, commands)
    checks.check("python prints another text", lines[-6] == ["retouched 0", "retouched 1", "retouched 2"] or
                 lines[-6][0].startswith("retouched"), lines[-7:])
    checks.check("python as recorded", lines[1] == lines[-3] and lines[-1] == ["untouched 0", "untouched 1", "untouched 2"], lines[-4:])
    # Nothing can be changed in a recording whose end cannot be read, and one stays where one is.
    damaged = machine.folder / "damaged-whatif.rec"
    content = bytearray(python.read_bytes())
    content[len(content) * 9 // 10] ^= 0x55
    damaged.write_bytes(content)
    lines, failed, _ = session(machine, damaged, ["seek 2000", "hash", "where", "set rax = 1234567", "where", "hash", "timelines", "seek 2001"])
    checks.check("damaged", failed == [False] * 3 + [True] + [False] * 4 and "damaged" in lines[3][0] and lines[1:3] == [lines[5], lines[4]]
                 and len(lines[6]) == 1, lines)
    # Threads: what is changed here is printed there.
    text = ("import threading\nl = []\nword = 'untouched'\ndef f(i):\n  for j in range(300): l.append(i)\n"
            "t = [threading.Thread(target=f, args=(i,)) for i in range(3)]\n[x.start() for x in t]\n[x.join() for x in t]\nprint(word, len(l))")
    threads = machine.record("pythreads", ["/usr/bin/python3", "-S", "-c", text])
    lines, _, _ = session(machine, threads, ["catch write", "continue"])
    end = int(re.search(r"instant (\d+)", lines[1][0])[1])
    lines, _, _ = session(machine, threads, [f"seek {end * 9 // 10}", 'find "untouched"'] + ["find"] * 12)
    places = sorted({match[0] for line in lines[1:] for match in [re.search(r"0x[0-9a-f]+", line[0])] if match})
    commands = [f"seek {end * 9 // 10}"] + [f'poke {place} "retouched"' for place in places] + ["seek end", "terminal", "hash", f"seek {end - 500}",
                                                                                        "hash", "seek end", "hash"]
    lines, failed, _ = session(machine, threads, commands)
    checks.check("threads: another text", lines[-6] == ["retouched 900"] and lines[-5] == lines[-1] != lines[-3], (lines[-7:], places))
