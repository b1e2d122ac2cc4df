"""Damaged recordings: cut off at many places, with flipped bits, with garbage; and, below the checksums, with other bytes in what the
chunks hold. Each of them ends soon, in bounded memory, by itself, and says what is wrong: exit code 125, or the program's
output so far and a line that the recording ends early. A recording whose contents were changed with care may also replay to the end, or
let the program compute without one, waiting for a signal that was taken away."""

import random
import re
import resource
import shutil
import subprocess
import time

import recording

OWN_FAILURE = 125
SECONDS = 20
# A replay that never gets what it waits for is limited by processor time as well.
PROCESSOR_SECONDS = 10
# In KiB, of the replaying process; the guest's own memory is a few hundred.
MEMORY_LIMIT = 192 * 1024
EARLY = b"the recording ends here, before the program did"
# Many times as far as any of the programs gets.
FAR = 300_000_000


def limits():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))


class Damage:
    def __init__(self, harness, guest, name, count, seed):
        self.harness, self.guest, self.name, self.count = harness, guest, name, count
        self.random = random.Random(seed)
        self.folder = harness.folder("damage-" + name)
        self.path = self.folder / "whole.rec"

    def replay(self, data, *options):
        """(exit code, standard output, standard error, KiB); the process is waited for here because of its usage."""
        broken = self.folder / "broken.rec"
        broken.write_bytes(data)
        with open(self.folder / "out", "wb+") as out, open(self.folder / "errors", "wb+") as errors:
            process = subprocess.Popen(
                [self.harness.vitrine, "replay", *options, broken], cwd=self.folder, env={}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=errors, preexec_fn=limits)
            before = time.monotonic()
            usage = self.wait(process, before)
            for stream in (out, errors):
                stream.seek(0)
            return process.returncode, out.read(1 << 20), errors.read(1 << 20), usage

    def computes(self):
        """The program itself goes on and on in what was replayed last: a replay takes as long as the recording says."""
        answer = self.harness.run(
            [self.harness.vitrine, "debug", "--command", f"seek {FAR}", "--command", f"expect instant == {FAR}",
             self.folder / "broken.rec"], self.folder, {}, SECONDS)
        return answer[0] == 0

    @staticmethod
    def wait(process, begin):
        import os

        while True:
            number, status, usage = os.wait4(process.pid, os.WNOHANG)
            if number:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_maxrss
            if time.monotonic() - begin > SECONDS:
                process.kill()
                os.wait4(process.pid, 0)
                process.returncode = None
                return 0
            time.sleep(0.002)

    def record(self):
        answer = self.harness.run(
            [self.harness.vitrine, "record", "--strict", "--cpu", "v3", "-o", self.path, "--", *self.guest],
            self.folder, {"PATH": "/usr/bin:/bin"}, 60)
        assert answer[0] != OWN_FAILURE, answer[2][-300:]
        self.data = self.path.read_bytes()
        self.whole = self.replay(self.data)
        assert self.whole[0] != OWN_FAILURE and EARLY not in self.whole[2], self.whole[2][-300:]
        return self.data

    def problem_with(self, result, may_be_whole):
        code, output, errors, memory = result
        if code is None:
            return "no end"
        if code < 0:
            return f"killed by signal {-code}"
        if memory > MEMORY_LIMIT:
            return f"{memory} KiB"
        if re.search(rb"Fatal error|internal error", errors):
            return "a crash of Vitrine's own"
        if code == OWN_FAILURE:
            return None if b"vitrine: " in errors else "exit code 125 without a word"
        if EARLY in errors:
            if code != 0:
                return f"an early end with exit code {code}"
            # Children write between each other's lines, so only a lone program's output is a beginning.
            return None if may_be_whole or self.whole[1].startswith(output) else "other output than the program's"
        if may_be_whole or (code, output) == (self.whole[0], self.whole[1]):
            return None
        return f"exit code {code}, other output, and no complaint"

    def check(self, variants, may_be_whole=False):
        """The first problem of `variants`: pairs of what has been done and the broken recording."""
        try:
            self.record()
            outcomes = {}
            for what, data in variants():
                result = self.replay(data, "--engine", self.random.choice(["translator", "interpreter"]))
                problem = self.problem_with(result, may_be_whole)
                is_late = result[0] in (None, -9) and result[3] <= MEMORY_LIMIT
                if is_late and may_be_whole and self.computes():
                    outcomes["computing"] = outcomes.get("computing", 0) + 1
                    continue
                if problem:
                    kept = self.harness.scratch.parent / f"vitrine-broken-{self.name}.rec"
                    kept.write_bytes(data)
                    tail = result[2][-300:].decode("utf-8", "replace")
                    return f"{what}: {problem} ({kept}); {tail}"
                kind = "125" if result[0] == OWN_FAILURE else "early" if EARLY in result[2] else "whole"
                outcomes[kind] = outcomes.get(kind, 0) + 1
            # Damage that nobody notices would be none.
            if outcomes.get("125", 0) + outcomes.get("early", 0) == 0:
                return f"nothing was noticed: {outcomes}"
            return None
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # MARK: kinds

    def truncated(self):
        places = {0, 1, recording.HEADER_SIZE - 1, recording.HEADER_SIZE, len(self.data) - 1}
        for place, *_, packed in recording.split(self.data):
            places |= {place, place + 1, place + recording.CHUNK_HEADER_SIZE, place + recording.CHUNK_HEADER_SIZE + len(packed) // 2}
        places |= {self.random.randrange(len(self.data)) for _ in range(self.count // 3)}
        for place in sorted(place for place in places if place < len(self.data)):
            yield f"cut off at {place}", self.data[:place]

    def flipped(self):
        starts = [place for place, *_ in recording.split(self.data)]
        for _ in range(self.count):
            # Headers are few bytes, and much hangs on them.
            place = self.random.randrange(len(self.data))
            if self.random.random() < 0.3:
                place = min(self.random.choice([0, *starts]) + self.random.randrange(recording.CHUNK_HEADER_SIZE), len(self.data) - 1)
            bit = self.random.randrange(8)
            data = bytearray(self.data)
            data[place] ^= 1 << bit
            yield f"bit {bit} of byte {place}", bytes(data)

    def overwritten(self):
        for _ in range(self.count // 3):
            data = bytearray(self.data)
            place, size = self.random.randrange(len(data)), self.random.choice([1, 8, 100, 5000])
            kind = self.random.randrange(4)
            if kind == 0:
                data[place:place + size] = self.random.randbytes(size)
            elif kind == 1:
                data[place:place + size] = bytes(size)
            elif kind == 2:
                del data[place:place + size]
            else:
                data[place:place] = data[place // 2:place // 2 + size]
            yield f"kind {kind} at {place}, {size} bytes", bytes(data)

    def contents(self):
        chunks = [(timeline, index, recording.unpack(packed)) for _, timeline, index, _, packed in recording.split(self.data)]
        yield "packed anew, nothing changed, but the last chunk missing", recording.assemble(chunks[:-1]) if len(chunks) > 1 else b""
        yield "chunks in the wrong order", recording.assemble(chunks[::-1]) if len(chunks) > 1 else b""
        yield "a chunk twice", recording.assemble(chunks + chunks[-1:])
        pieces = [chunk for chunk in chunks if chunk[0] == recording.PIECES]
        yield "a piece missing", recording.assemble([chunk for chunk in chunks if chunk is not pieces[0]])
        yield "no pieces", recording.assemble([chunk for chunk in chunks if chunk not in pieces])
        yield "nothing but pieces", recording.assemble(pieces)
        # Bytes that decide are records: mapped files are the most of a recording.
        places = [[] if timeline == recording.PIECES else range(len(contents)) for timeline, _, contents in chunks]
        for _ in range(self.count):
            which = self.random.choice([index for index, list_ in enumerate(places) if list_])
            timeline, index, contents = chunks[which]
            changed = bytearray(contents)
            for _ in range(self.random.choice([1, 1, 2, 5])):
                place = min(self.random.choice(places[which]), len(changed) - 1)
                kind = self.random.randrange(5)
                if kind == 0:
                    changed[place] ^= 1 << self.random.randrange(8)
                elif kind == 1:
                    changed[place] = self.random.choice([0, 1, 0x7F, 0x80, 0xFF])
                elif kind == 2:
                    changed[place:place + 1] = b"\xff" * 9 + b"\x01"
                elif kind == 3:
                    del changed[place:place + self.random.choice([1, 4, 40])]
                else:
                    changed[place:place] = changed[place - 30:place] if place > 30 else b"\x04"
                if not changed:
                    changed = bytearray(b"\x04")
            new = chunks[:which] + [(timeline, index, bytes(changed))] + chunks[which + 1:]
            yield f"contents of chunk {which}", recording.assemble(new)

    def headers(self):
        """Chunks with right checksums that lie about themselves."""
        chunks = [chunk for chunk in recording.split(self.data) if chunk[1] != recording.PIECES]
        head = self.data[:recording.HEADER_SIZE]
        for place, timeline, index, size, packed in chunks:
            for new_size in (0, 1, size - 1, size + 1, 1 << 30, (1 << 32) - 1):
                yield f"{new_size} bytes", head + recording.chunk(timeline, index, packed, new_size)
            for new_timeline in (1, 7, recording.PIECES - 1, recording.PIECES):
                yield f"timeline {new_timeline}", self.data + recording.chunk(new_timeline, 0, packed, size)
            for block in (b"", b"\xf0", b"\xff" * 1000, b"\x00\x00\x00", b"\x10A\x01\x00", b"\x0f\xff\xff" + b"\xff" * 60000):
                for new_size in (0, 20, 1 << 24, 1 << 30):
                    yield f"block of {len(block)}", head + recording.chunk(timeline, index, block, new_size)
            break
        for index in range(1, 4):
            # Each claims to fork from the one before, from itself, or from a later one.
            records = b"".join(
                recording.chunk(timeline, 0, recording.pack(contents), len(contents))
                for timeline in range(1, 30)
                for contents in [b"\x01\x01" + bytes([max(timeline - 2 + index, 0)]) + b"\x00\x01\x03\x00\x00\x00"])
            yield f"forks {index}", self.data + records


def tasks(harness, out, count, seed):
    kinds = {
        "truncated": ([out / "hello"], False), "flipped": ([out / "signals"], False), "overwritten": ([out / "hello"], False),
        "headers": ([out / "hello"], True), "contents-small": ([out / "hello"], True), "contents-signals": ([out / "signals"], True),
        "contents-threads": ([out / "threads", "conditions"], True),
        "contents-children": (["/bin/sh", "-c", "(echo one; exit 2) & (echo two); wait; exec /bin/echo three"], True),
    }
    for name, (guest, may_be_whole) in kinds.items():
        def task(name=name, guest=guest, may_be_whole=may_be_whole):
            damage = Damage(harness, guest, name, count, f"{seed} {name}")
            return damage.check(getattr(damage, name.split("-")[0]), may_be_whole)
        yield "damage-" + name, task
