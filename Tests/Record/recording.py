"""Reads and writes recordings (the format: Docs/record.md, Sources/Record/RecordingFile.swift), so that tests can damage them
below their checksums. What is written is not compressed: a block of literals alone is a valid block."""

import struct

SIGNATURE = b"Vitrine recording\n"
HEADER_SIZE = len(SIGNATURE) + 4
CHUNK_HEADER_SIZE = 32
MAGIC = 0x4B4E4843
# The timeline of chunks without records, which are contents of mapped files.
PIECES = (1 << 32) - 1
MASK = (1 << 64) - 1


def checksum(*parts):
    def mix(mixed, word):
        product = ((mixed ^ word) * 0x9E3779B97F4A7C15) & MASK
        return product ^ product >> 32

    mixed = 0xCBF29CE484222325
    for part in parts:
        lanes = [(mixed + number) & MASK for number in range(4)]
        whole = len(part) // 32 * 32
        for place, word in enumerate(struct.unpack(f"<{whole // 8}Q", part[:whole])):
            lanes[place % 4] = mix(lanes[place % 4], word)
        mixed = lanes[0]
        for word in [*lanes[1:], *part[whole:]]:
            mixed = mix(mixed, word)
    return mixed


def unpack(block):
    """The LZ4 block format."""
    result, place = bytearray(), 0

    def extended(count):
        nonlocal place
        if count == 15:
            while True:
                more = block[place]
                place += 1
                count += more
                if more < 255:
                    break
        return count

    while place < len(block):
        token = block[place]
        place += 1
        literals = extended(token >> 4)
        result += block[place:place + literals]
        place += literals
        if place == len(block):
            break
        back = block[place] | block[place + 1] << 8
        place += 2
        length = extended(token & 15) + 4
        while length > 0:
            piece = result[len(result) - back:][:length]
            result += piece
            length -= len(piece)
    return bytes(result)


def pack(contents):
    """`contents` as literals."""
    count = len(contents)
    if count < 15:
        return bytes([count << 4]) + contents
    return b"\xf0" + b"\xff" * ((count - 15) // 255) + bytes([(count - 15) % 255]) + contents


def chunk(timeline, index, packed, size):
    header = struct.pack("<6I", MAGIC, timeline, index, size, len(packed), 0)
    return header + struct.pack("<Q", checksum(header, packed)) + packed


def split(data):
    """A recording's chunks: place, timeline, index, size, packed contents."""
    place = HEADER_SIZE
    while place + CHUNK_HEADER_SIZE <= len(data):
        magic, timeline, index, size, packed, _ = struct.unpack_from("<6I", data, place)
        assert magic == MAGIC, f"no chunk at {place}"
        start = place + CHUNK_HEADER_SIZE
        yield place, timeline, index, size, data[start:start + packed]
        place = start + packed


def assemble(chunks):
    """A recording of `chunks`: timeline, index, contents."""
    return SIGNATURE + struct.pack("<I", 4) + b"".join(
        chunk(timeline, index, pack(contents), len(contents)) for timeline, index, contents in chunks)
