"""Files of the store that are damaged between two runs, at random and on purpose. What the program does is right, nothing is said, what is
damaged is translated anew; and when enough of it is, the next file is whole again."""

import random
import struct
import time

from harness import FILE_HEADER, difference, only_file

# The guest executes all that it is made of each time, in one thread.
SOURCE = "own-file.c"


class File:
    """The parts of a file of the store."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.identity, self.count, self.capacity = struct.unpack_from("<QQQ", data, 8)
        self.slots = struct.unpack_from(f"<{self.capacity}Q", data, FILE_HEADER)
        self.places = [place * 8 for place in struct.unpack_from(f"<{self.count + 1}I", data, FILE_HEADER + self.capacity * 8)]

    def images(self):
        """(number of the slot, place, size of what is signed) of each block, by place."""
        return sorted(((number, self.places[(slot & 0xffffffff) - 1], self.signed(self.places[(slot & 0xffffffff) - 1]))
                       for number, slot in enumerate(self.slots) if slot), key=lambda image: image[1])

    def signed(self, place):
        return struct.unpack_from("<I", self.data, place + 24)[0]

    @property
    def beginning(self):
        """Of the images."""
        return self.places[0]

    def set_slot(self, number, value):
        struct.pack_into("<Q", self.data, FILE_HEADER + number * 8, value)

    def exchange(self, pairs):
        """The images of these pairs of slots, in the slots and wherever else they are named."""
        names = {}
        for one, other in pairs:
            for number, source in ((one, other), (other, one)):
                names[self.slots[number] & 0xffffffff] = self.slots[source] & 0xffffffff
                self.set_slot(number, self.slots[number] & ~0xffffffff | self.slots[source] & 0xffffffff)
        for first, last in zip(self.places, self.places[1:]):
            begin = first + self.signed(first)
            hints = struct.unpack_from(f"<{(last - begin) // 4}I", self.data, begin)
            struct.pack_into(f"<{len(hints)}I", self.data, begin, *(names.get(hint, hint) for hint in hints))


class Subject:
    """A program, what it does, its file, and how many blocks a run from this file takes."""

    def __init__(self, harness, name="damage", seed=0, options=()):
        self.harness = harness
        self.place = harness.folder(f"{name}-{seed}")
        self.store = self.place / "store"
        self.options = options
        self.program = harness.compile(SOURCE, self.place / "program", "-static")
        self.words = [self.program]
        self.wanted = harness.run(self.words, self.place).outcome
        self.cold = self.run()
        self.warm = self.run()
        self.path = only_file(self.store)
        self.data = self.path.read_bytes()
        assert self.warm.stored > 500 and self.warm.translated < 10, f"without damage: {self.warm}"

    def run(self):
        return self.harness.guest(self.store, self.words, self.place, *self.options)

    def problem(self, data, lost=None):
        """Runs from other contents. `lost`: blocks that have to be translated then, in words of `range`."""
        self.path.write_bytes(data)
        run = self.run()
        if problem := difference(self.wanted, run.outcome):
            return problem
        more = run.translated - self.warm.translated
        if lost is not None and more not in lost:
            return f"{more} blocks more were translated than without damage, not {lost}"
        # All or nothing of a run is taken from the store.
        if run.stored + run.translated < self.warm.stored:
            return f"{run.stored} blocks from the store and {run.translated} translated, of {self.warm.stored}"
        return None

    def mended(self):
        """After `problem`: the next run is as good as the one before the damage."""
        run = self.run()
        if problem := difference(self.wanted, run.outcome):
            return problem
        least = max(32, self.warm.stored // 16)
        return None if run.translated < self.warm.translated + least else f"not mended: {run.translated} blocks translated"


def random_bytes(chance, count):
    return bytes(chance.getrandbits(8) for _ in range(count))


# Each takes a file and a source of chance, and returns other contents and the numbers of blocks that may be lost (None: any).

def flip(file, chance):
    """One bit in each of many images."""
    chosen = chance.sample(file.images(), 60)
    for _, place, size in chosen:
        file.data[place + chance.randrange(size)] ^= 1 << chance.randrange(8)
    return file.data, range(len(chosen) - 8, len(chosen) + 1)


def overwrite(file, chance):
    """A range of many images."""
    images = file.images()
    first = chance.randrange(len(images) // 2)
    last = first + len(images) // 3
    begin, end = images[first][1], images[last][1]
    file.data[begin:end] = random_bytes(chance, end - begin) if chance.random() < 0.5 else bytes(end - begin)
    lost = last - first
    return file.data, range(lost - 8, lost + 1)


def anywhere(file, chance):
    place = chance.randrange(len(file.data))
    length = min(chance.choice([1, 8, 4096, 100000]), len(file.data) - place)
    file.data[place:place + length] = random_bytes(chance, length)
    return file.data, None


def truncate(file, chance):
    size = chance.randrange(len(file.data))
    lost = sum(1 for end in file.places[1:] if end > size)
    # Below the slots nothing of the tables can be trusted to be missing: what is left of them is used.
    return file.data[:size], range(max(0, lost - 8), lost + 1) if size > file.beginning else None


def append(file, chance):
    return file.data + random_bytes(chance, chance.choice([1, 7, 4096, 50000])), range(0, 1)


def header(file, chance):
    """Words of the header: random ones, and those at the edges."""
    edges = [0, 1, 2, 63, 64, 1 << 23, 1 << 24, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, file.capacity * 2,
             chance.getrandbits(64), 1 << chance.randrange(64)]
    # The number of images (word 2) is only used for what is worth a new file.
    struct.pack_into("<Q", file.data, 8 * chance.randrange(4), chance.choice(edges))
    return file.data, None


def image_header(file, chance):
    """Lengths and counts in many images' headers, at their edges."""
    for _, place, _ in file.images():
        field, form = chance.choice([(24, "<I")] + [(offset, "<H") for offset in range(28, 44, 2)])
        value = chance.choice([0, 1, 0x7fff, 0xffff, 48, chance.getrandbits(16)])
        struct.pack_into(form, file.data, place + field, value)
    return file.data, None


def slots(file, chance):
    """All slots lead somewhere: to each other's images, to images that there are not, to one image."""
    kind = chance.randrange(4)
    for number in range(file.capacity):
        image = [chance.randrange(file.count) + 1, chance.getrandbits(32), chance.randrange(file.count * 2), 1][kind]
        tag = file.slots[number] >> 32 or chance.getrandbits(32)
        file.set_slot(number, tag << 32 | image)
    return file.data, None


def places(file, chance):
    """All places are others: of other images, behind the end, in the middle of images, the same."""
    kind = chance.randrange(4)
    for number in range(file.count + 1):
        place = [chance.choice(file.places) // 8, chance.getrandbits(32), chance.randrange(len(file.data)) // 8, file.beginning // 8][kind]
        struct.pack_into("<I", file.data, FILE_HEADER + file.capacity * 8 + number * 4, place)
    return file.data, None


def hints(file, chance):
    """All hints are others: of other images, of ones that there are not, of one image, none. No block is lost."""
    kind = chance.randrange(4)
    for first, last in zip(file.places, file.places[1:]):
        for place in range(first + file.signed(first), last, 4):
            image = [chance.randrange(file.count) + 1, chance.getrandbits(32), 1, 0][kind]
            struct.pack_into("<I", file.data, place, image)
    return file.data, range(-8, 9)


def swap(file, chance):
    """Pairs of images exchanged, so that each is found at the other's address."""
    images = file.images()
    chance.shuffle(images)
    pairs = len(images) // 4
    file.exchange([(one, other) for (one, _, _), (other, _, _) in zip(images[:pairs], images[pairs:2 * pairs])])
    return file.data, range(2 * pairs - 8, 2 * pairs + 1)


def readdress(file, chance):
    """Images exchanged, and each says that it is the other's: its guest address, and the hash of the guest's bytes."""
    images = file.images()
    chance.shuffle(images)
    pairs = len(images) // 4
    for (one, first, _), (other, second, _) in zip(images[:pairs], images[pairs:2 * pairs]):
        names = file.data[first + 8:first + 24], file.data[second + 8:second + 24]
        file.data[first + 8:first + 24], file.data[second + 8:second + 24] = names[1], names[0]
    file.exchange([(one, other) for (one, _, _), (other, _, _) in zip(images[:pairs], images[pairs:2 * pairs])])
    return file.data, range(2 * pairs - 8, 2 * pairs + 1)


KINDS = {function.__name__: function for function in (
    flip, overwrite, anywhere, truncate, append, header, image_header, slots, places, hints, swap, readdress)}


def random_damage(harness, kind, number, seed):
    subject = Subject(harness, "damage-" + kind, seed)
    for index in range(number):
        chance = random.Random(f"{kind} {seed} {index}")
        data, lost = KINDS[kind](File(subject.data), chance)
        if problem := subject.problem(data, lost) or (subject.mended() if lost and lost.stop > 100 else None):
            return f"number {index} of seed {seed}: {problem}"
    return None


def count_and_images(harness):
    """The header's number of images is damaged together with most of the images: the file is mended all the same."""
    for bit in (20, 40, 62, 63):
        subject = Subject(harness, f"count-{bit}")
        file = File(subject.data)
        struct.pack_into("<Q", file.data, 16, file.count ^ 1 << bit)
        file.data[file.beginning:] = bytes(len(file.data) - file.beginning)
        if problem := subject.problem(file.data) or subject.mended():
            return f"bit {bit}: {problem}"
    return None


def large_table(harness):
    """Four million slots that lead to one large image: that is no reason to take long."""
    subject = Subject(harness, "table")
    slots = 1 << 22
    # 65000 bytes of host code and 2290 sites, of the block at 0x7777777.
    signed = (48 + 24 * 2290 + 65000 + 7) & ~7
    image = bytearray(signed + 4 * 2290)
    struct.pack_into("<QQQIHHHHHHHH", image, 0, 0, 0x7777777, 0, signed, 10, 65000, 0, 0, 2290, 0, 0, 1)
    place = (FILE_HEADER + slots * 8) // 8 + 3
    places = struct.pack("<6I", place, *[place + len(image) // 8] * 5)
    data = subject.data[:16] + struct.pack("<QQ", 5, slots) + struct.pack("<Q", 1 << 32 | 1) * slots + places + image
    begin = time.monotonic()
    problem = subject.problem(data, range(subject.warm.stored - 8, subject.warm.stored + 8)) or subject.mended()
    seconds = time.monotonic() - begin
    return problem or (f"{seconds:.0f} s" if seconds > 8 else None)


def whole_files(harness):
    """Another program's file, a copy's, one of an unguarded run: under the name of the right one, as they are and with its identity."""
    subject = Subject(harness, "whole")
    others = {}
    unguarded = Subject(harness, "unguarded", options=["--unguarded"])
    others["of an unguarded run of a copy"] = unguarded.data
    run = harness.guest(subject.store, subject.words, subject.place, "--unguarded")
    if problem := difference(subject.wanted, run.outcome) or (run.stored and "an unguarded run takes guarded blocks"):
        return problem
    own, = [path for path in subject.store.glob("*.vts") if path != subject.path]
    others["of an unguarded run"] = own.read_bytes()
    own.unlink()
    others["of a copy of the program"] = Subject(harness, "copy").data
    words = ["busybox", "echo"]
    harness.guest(subject.place / "busybox", words, subject.place)
    others["of another program"] = only_file(subject.place / "busybox").read_bytes()
    all_of_it = range(subject.warm.stored - 8, subject.warm.stored + 8)
    for name, data in others.items():
        renamed = bytearray(data)
        renamed[8:16] = subject.data[8:16]
        for what, contents in (("", data), (" with the right identity", renamed)):
            if contents == subject.data:
                return f"the file {name} is the same"
            if problem := subject.problem(contents, all_of_it) or subject.mended():
                return f"a file {name}{what}: {problem}"
    return None


def tasks(harness, number, seed):
    for kind in KINDS:
        yield f"damage: {kind}", lambda kind=kind: random_damage(harness, kind, number, seed)
    yield "damage: whole files", lambda: whole_files(harness)
    yield "damage: a large table", lambda: large_table(harness)
    yield "damage: number of images", lambda: count_and_images(harness)
