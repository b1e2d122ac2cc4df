"""What the debugger says about the last stretch of a recording (reads, writes and executions of each cell, functions, the whole space), checked
against the lists of `vitrine trace`; a program that lives against its recording; and the PNG of a map against its SVG."""

import collections
import json
import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib

from memory import rows


def cells(listing, start, size, cell):
    """Reads, writes and the last instant of each cell that was touched, by its address."""
    found = collections.defaultdict(lambda: [0, 0, -1])
    for row in listing:
        first = int(row[4], 16)
        last = first + int(row[5]) - 1
        for place in range(max(first, start) // cell, min(last, start + size - 1) // cell + 1):
            found[place * cell][0 if row[3] == "R" else 1] += 1
            found[place * cell][2] = int(row[0])
    return found


def compare(machine, path, instant, stretch, place, size, cell):
    """What differs between the debugger's counts and those of the lists."""
    answers, _ = machine.objects(path, [f"seek {instant}", f"stretch {stretch}", f"accesses {place} {size} {cell}", f"print {place}"])
    answer = answers[2]
    start = int(answers[3]["value"], 16) // cell * cell
    size = -(-size // cell) * cell
    begin = max(0, instant - stretch)
    span = ["--from", str(begin), "--to", str(instant)]
    accesses = cells(rows(machine.trace(path, "accesses", *span)), start, size, cell)
    executed = collections.Counter(int(row[2], 16) for row in rows(machine.trace(path, "instructions", *span)))
    differences = [] if (answer["from"], answer["to"]) == (begin, instant) else [(answer["from"], answer["to"])]
    seen = {int(one["address"], 16): one for one in answer["cells"]}
    for address in set(seen) | set(accesses):
        one = seen.get(address, {"reads": 0, "writes": 0})
        if [one["reads"], one["writes"]] != accesses.get(address, [0, 0])[:2]:
            differences.append((hex(address), one, accesses.get(address)))
    if cell == 1:
        for address, count in executed.items():
            if start <= address < start + size and seen[address]["executions"] != count:
                differences.append((hex(address), seen[address], count))
    for line in answer["lines"][1:]:
        address, age = int(line.split()[0], 16), int(re.search(r"(\d+) instructions ago", line)[1])
        if "executed 0" in line and accesses[address][2] != instant - 1 - age:
            differences.append((line, accesses[address]))
    return differences, len(seen)


def heat(machine, checks):
    path = machine.basics()
    answers = machine.debug(path, ["break multiply", "continue", "print instant", "finish", "print instant"])
    begin, end = (int(answers[number][0].split()[2]) for number in (2, 4))
    for instant, stretch, place, size, cell in [
        (end, end - begin, "left", 4608, 8), (end, end - begin, "right", 4608, 8), (end, end - begin, "product", 4608, 8),
        (end, 200000, "left", 4608, 1), (begin + 30001, 1000, "right", 4608, 16), (begin + 30002, 7, "product", 4608, 64),
        (end, 200000, "rsp - 4096", 8192, 1), (end, 200000, "multiply", 128, 1), (end, 200000, "accesses", 256, 1),
        (end, 200000, "0x400000", 65536 * 16, 65536), (end, 1, "0x400000", 65536 * 16, 4096), (begin, begin, "copy", 4096, 256),
    ]:
        differences, count = compare(machine, path, instant, stretch, place, size, cell)
        checks.check(f"accesses of {place}, {size} by {cell}, {stretch} up to {instant}", not differences and (count > 0 or stretch < 10),
                     (count, differences[:3]))
    # The matrices as the source has it: each element of one is read 24 times, each of the result written once.
    counts = machine.objects(path, [f"seek {end}", f"stretch {end - begin}", "accesses left 4608 8", "accesses product 4608 8"])[0]
    checks.check("matrices", len(counts[2]["cells"]) == 576 and {(one["reads"], one["writes"]) for one in counts[2]["cells"]} == {(24, 0)}
                 and {(one["reads"], one["writes"]) for one in counts[3]["cells"]} == {(0, 1)}, counts[2]["cells"][:2])
    threads = machine.basics("dynamic", "threads")
    last = machine.count(threads)
    for instant in (last, last // 2, last // 3):
        differences, count = compare(machine, threads, instant, 50000, "rsp - 2048", 4096, 1)
        checks.check(f"accesses with threads at {instant}", not differences and count > 0, (count, differences[:3]))
    # Looking leaves the present as it is.
    commands = [f"seek {last * 2 // 3}", "hash", "registers", "where", "accesses rsp 64", "profile", "hash", "registers", "where", "step",
                "where", "seek end", "hash", "profile", "accesses rsp", "hash", "status"]
    answers = machine.debug(threads, commands)
    checks.check("looking changes nothing", answers[1:4] == answers[6:9] and answers[12] == answers[15] and answers[16] == answers[11],
                 answers[6:12])
    answers, _ = machine.objects(path, ["accesses", "accesses left 0", "accesses left 8 3", "accesses left 64 131072", "stretch 0", "stretch 9000000",
                                        "profile 3", "profile 9 3", "view heat", "view cell 3", "space 1x1", "accesses left 8"])
    checks.check("wrong words", [answer["ok"] for answer in answers] == [False] * 11 + [True], answers)


def profile(machine, checks):
    for path in (machine.basics(), machine.basics("dynamic", "threads")):
        last = machine.count(path)
        for begin, end in [(0, last), (last // 3, last // 2), (last - 100, last)]:
            listing = rows(machine.trace(path, "instructions", "--from", str(begin), "--to", str(end)))
            expected = collections.Counter(row[3].split("+")[0].split(".cold")[0] for row in listing)
            named = {name: count for name, count in expected.items() if name != "-"}
            for commands in (["seek 5", f"profile {begin} {end}"], [f"seek {end}", f"stretch {end - begin}", "profile"]):
                answer = machine.objects(path, commands)[0][-1]
                counts = collections.Counter()
                for one in answer["functions"]:
                    counts[one["function"]] += one["count"]
                wrong = {name: (count, counts[name]) for name, count in named.items() if counts[name] != count}
                checks.check(f"profile {path.name} {begin} to {end} ({len(commands)})",
                             answer["total"] == end - begin == sum(counts.values()) and answer["samples"] == 0 and not wrong, list(wrong.items())[:3])
    # Enter in the panel goes to the function.
    answers = machine.debug(machine.basics(), ["seek end", "show profile", "screen 100x40", "key enter", "screen 100x40"])
    checks.check("the profile's panel", any("multiply" in line and "%" in line for line in answers[2]) and "code multiply" in answers[4][0],
                 answers[4][:2])


def space(machine, checks):
    path = machine.basics()
    for width, height in [(64, 16), (40, 60), (7, 3), (101, 50), (250, 70)]:
        answers, _ = machine.objects(path, ["seek 60000", "stretch 60000", f"space {width}x{height}"])
        bands, lines = answers[2]["bands"], answers[2]["lines"][:height]
        letters = collections.Counter("".join(lines))
        kinds = {"code": "xX", "constants": "rR", "data": "dD", "heap": "hH", "stack": "sS", "anonymous": "aA", "reserved": "-="}
        counted = collections.Counter()
        for band in bands:
            counted[band["kind"]] += band["cells"]
        wrong = {kind: (count, letters) for kind, count in counted.items() if count != sum(letters[letter] for letter in kinds[kind])}
        touched = sum(count for letter, count in letters.items() if letter in "XRDHSA=")
        checks.check(f"space {width}x{height}: each cell has its place", not wrong and sum(letters.values()) == width * height
                     and sum(band["cells"] for band in bands) == width * height and touched == sum(band["touched"] for band in bands), wrong)
        # The curve does not jump: what belongs together hangs together.
        if width % 2 == 0 or height % 2 != 0:
            checks.check(f"space {width}x{height}: heap and stack are whole", all(pieces(lines, pair) == 1 for pair in ("hH", "sS")), lines)
    pages = {int(row[4], 16) >> 12 for row in rows(machine.trace(path, "accesses", "--to", "60000"))}
    pages |= {int(row[2], 16) >> 12 for row in rows(machine.trace(path, "instructions", "--to", "60000"))}
    starts = sorted(int(band["start"], 16) for band in bands)
    used = {max(start for start in starts if start >> 12 <= page) for page in pages}
    checks.check("space: what was touched", {int(band["start"], 16) for band in bands if band["touched"]} == used, (bands, used))


def pieces(lines, letters):
    """Connected regions of cells that have one of the letters."""
    left = {(x, y) for y, line in enumerate(lines) for x, letter in enumerate(line) if letter in letters}
    count = 0
    while left:
        count += 1
        todo = [left.pop()]
        while todo:
            x, y = todo.pop()
            for place in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
                if place in left:
                    left.remove(place)
                    todo.append(place)
    return count


def live(machine, checks):
    """Steps of a program that lives are those of its recording."""
    program = machine.basics_program()
    commands = ["break multiply", "continue", "step 3000", "accesses left 4608 8", "accesses right 4608 8", "accesses multiply 128 1"]
    words = [word for command in ["handle SIGUSR1 pass"] + commands for word in ("--command", command)]
    run = machine.run("debug", "--cpu", "v3", "--json", *words, program)
    own = [json.loads(line) for line in run.stdout.decode().splitlines()][1:]
    answers, _ = machine.objects(machine.basics(), commands[:3] + ["stretch 3000"] + commands[3:])
    same = [one.get("cells") for one in own[3:]] == [one.get("cells") for one in answers[4:]]
    checks.check("steps of a live program", len(own) == len(commands) and same and len(own[3]["cells"]) > 10, (own[-1:], run.stderr[-300:]))
    checks.check("steps are counted", "3,000 steps, 0 samples" in own[3]["lines"][0], own[3]["lines"][:1])


# Pictures

def decode(data):
    """Width, height and the pixels of a PNG with a palette, as colours."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG")
    place, chunks = 8, {}
    while place < len(data):
        size = struct.unpack(">I", data[place:place + 4])[0]
        kind, body = data[place + 4:place + 8], data[place + 8:place + 8 + size]
        if zlib.crc32(kind + body) != struct.unpack(">I", data[place + 8 + size:place + 12 + size])[0]:
            raise ValueError(f"checksum of {kind}")
        chunks[kind] = body
        place += 12 + size
    width, height, depth, colours = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    if (depth, colours, list(chunks)) != (8, 3, [b"IHDR", b"PLTE", b"IDAT", b"IEND"]):
        raise ValueError("another kind of PNG")
    raw, palette = zlib.decompress(chunks[b"IDAT"]), chunks[b"PLTE"]
    lines, last = [], bytes(width)
    for row in range(height):
        line = raw[row * (width + 1):(row + 1) * (width + 1)]
        last = bytes((a + b) & 255 for a, b in zip(line[1:], last)) if line[0] == 2 else line[1:]
        lines.append([palette[3 * number:3 * number + 3].hex() for number in last])
    return width, height, lines


def pixels(machine, checks):
    path = machine.basics()
    space = "{http://www.w3.org/2000/svg}"
    for columns, height in [(240, 160), (60, 41), (1, 1), (300, 7)]:
        picture = machine.folder / "map.png"
        size = ["--size", f"{columns}x{height}"]
        svg = ElementTree.fromstring(machine.trace(path, "map", *size))
        machine.trace(path, "map", *size, "-o", str(picture))
        width, tall, lines = decode(picture.read_bytes())
        expected = {}
        for group in svg.findall(space + "g"):
            for one in group.findall(space + "rect"):
                x, y, wide, high = (int(one.get(name)) for name in ("x", "y", "width", "height"))
                for row in range(y - 40, y - 40 + high):
                    for column in range(x - 330, x - 330 + wide):
                        expected[column, row] = group.get("fill")[1:]
        bands = {int(re.match(r"M\d+ (\d+)H", line.get("d"))[1]) - 40 for line in svg.findall(space + "path")}
        wrong = [(x, y, lines[y][x]) for y in range(tall) for x in range(width)
                 if lines[y][x] != expected.get((x, y), "34343c" if y in bands else "16161c")]
        checks.check(f"PNG {columns}x{height}", (width, tall) == (columns * 4, height * 4) and expected and not wrong, (width, tall, wrong[:3]))
    # Nothing is in the picture of what was not executed; the stream has no run at all, and one over everything.
    machine.trace(path, "map", "--from", "1", "--to", "1", "-o", str(picture))
    width, tall, lines = decode(picture.read_bytes())
    checks.check("an empty PNG", {colour for line in lines for colour in line} <= {"16161c", "34343c"} and width == 960, (width, tall))
    full = machine.folder / "full.png"
    full.symlink_to("/dev/full")
    run = machine.run("trace", "--format", "map", "-o", full, path)
    checks.check("a PNG that cannot be written", run.returncode == 125, run)
