"""Accesses to memory, checked against memory itself. Between two system calls only the program writes: whatever is different there afterwards has
to be in the trace, and what the trace says was written last is what stands there."""

import re


def rows(text):
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def parse(lines):
    """Bytes by address; each line begins with its address, and ends with the bytes as text."""
    data = {}
    for line in lines:
        address, rest = line.split(" ", 1)
        for offset, byte in enumerate(rest[:47].split()):
            data[int(address, 16) + offset] = int(byte, 16)
    return data


def dump(machine, path, instants, regions):
    """What is in memory at each of the instants."""
    commands = []
    for instant in instants:
        commands.append(f"seek {instant}")
        commands += [f"memory {start:#x} {size}" for start, size in regions]
    answers = iter(machine.debug(path, commands))
    result = []
    for _ in instants:
        next(answers)
        data = {}
        for _ in regions:
            data.update(parse(next(answers)))
        result.append(data)
    return result


def regions(machine, path, instant):
    """Writable memory at an instant, in pieces that can be printed."""
    pieces = []
    for line in machine.debug(path, [f"seek {instant}", "maps"])[1]:
        match = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if match:
            start, end = (int(match[index], 16) for index in (1, 2))
            # Of a stack only what is near its end was used.
            start = max(start, end - (1 << 18))
            pieces += [(place, min(1 << 16, end - place)) for place in range(start, end, 1 << 16)]
    return pieces


def changes(machine, checks):
    for kind in ("static", "dynamic"):
        path = machine.basics(kind)
        listing = rows(machine.trace(path, "calls"))
        system = [int(row[0]) for row in listing if row[4] == "system"] + [machine.count(path)]
        # The longest stretches without a system call, among them the functions that are made for this.
        stretches = sorted(((end - start, start, end - 1) for start, end in zip(system, system[1:]) if end - start > 50), reverse=True)[:4]
        for _, start, end in stretches:
            before, after = dump(machine, path, [start + 1, end], regions(machine, path, start + 1))
            written = {}
            for row in rows(machine.trace(path, "accesses", "--values", "--from", str(start + 1), "--to", str(end))):
                if row[3] == "W":
                    address, size, values = int(row[4], 16), int(row[5]), bytes.fromhex(row[6])
                    for offset in range(size):
                        written[address + offset] = values[offset] if offset < len(values) else None
            changed = [address for address in before if address in after and before[address] != after[address]]
            unseen = [hex(address) for address in changed if address not in written]
            checks.check(f"{kind} {start}-{end}: every change is in the trace", changed and not unseen, (len(changed), unseen[:5]))
            wrong = [hex(address) for address, byte in written.items() if byte is not None and after.get(address, byte) != byte]
            checks.check(f"{kind} {start}-{end}: what was written last is there", written and not wrong, (len(written), wrong[:5]))


def kinds(machine, checks):
    """Accesses of the guest's function `accesses`, instruction by instruction."""
    path = machine.basics()
    texts = {row[0]: row[4] for row in rows(machine.trace(path, "instructions", "--only", "accesses"))}
    by_instant = {}
    for row in rows(machine.trace(path, "accesses", "--only", "accesses")):
        by_instant.setdefault(row[0], []).append((row[3], int(row[4], 16), int(row[5])))

    def of(pattern):
        return next(by_instant[instant] for instant, text in texts.items() if re.match(pattern, text))

    move = of(r"rep movs")
    checks.check("rep movsb", [(kind, size) for kind, _, size in move] == [("R", 1000), ("W", 1000)], move)
    store = of(r"rep stos")
    checks.check("rep stosb backwards", store == [("W", move[1][1] + 900, 100)], (store, move))
    compare = of(r"repz cmps")
    # The first 900 bytes are equal, and the one behind them is compared, too.
    checks.check("repe cmpsb", compare == [("R", move[0][1], 901), ("R", move[1][1], 901)], compare)
    bits, exchange = of(r"bts "), of(r"xchg ")
    # Bit 77 is in the second word; bits[3] is two words behind that.
    checks.check("bts", exchange[0][1] - bits[0][1] == 16 and [kind for kind, _, _ in bits] == ["R", "W"], (bits, exchange))
    swap = of(r"lock cmpxchg")
    checks.check("lock cmpxchg", [(kind, size) for kind, _, size in swap] == [("R", 8), ("W", 8)], swap)
    push, pop = of(r"push   QWORD PTR"), of(r"pop    QWORD PTR")
    checks.check("push and pop of memory", [one[0] for one in push + pop] == ["R", "W", "R", "W"] and push[1][1] == pop[0][1], (push, pop))
    checks.check("pushf and popf", of(r"pushf") == [("W", push[1][1], 8)] and of(r"popf") == [("R", push[1][1], 8)], of(r"pushf"))
    checks.check("fxsave", [(kind, size) for kind, _, size in of(r"fxsave")] == [("W", 512)], of(r"fxsave"))
    checks.check("enter and leave", of(r"enter") == [("W", of(r"leave")[0][1], 8)], (of(r"enter"), of(r"leave")))
    wide, high = of(r"movups"), of(r"movhps")
    checks.check("vector stores", wide[0][::2] == ("W", 16) and high[0][::2] == ("W", 8) and high[0][1] - wide[0][1] == 99, (wide, high))
    returns = of(r"ret")
    checks.check("return", len(returns) == 1 and returns[0][::2] == ("R", 8), returns)
