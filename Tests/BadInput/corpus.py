"""The corpus of broken files: every case is a name, the bytes and what must come of it.

`error`   Vitrine refuses the file: exit code 125, one line on standard error that holds `text`
`any`     refused, run or killed, whatever the host kernel does (compared with it when the host is x86-64 Linux)
`exit 42` runs; for formats that the kernel does not know, and that are not compared
"""

import struct

import image
import portable


class Case:
    def __init__(self, name, data, expected="any", text="", mode=0o755, native=True):
        self.name, self.data, self.expected, self.text, self.mode = name, data, expected, text, mode
        self.native = native


def truncations(whole):
    end = image.HEADER_SIZE + 3 * image.PROGRAM_HEADER_SIZE
    for count in range(end):
        text = "e_ident" if count < 4 else "e_phoff" if count == 64 else "file ends inside"
        yield Case(f"truncated-{count}", whole[:count], "error", text)
    for count in range(end, len(whole), 16):
        yield Case(f"truncated-{count}", whole[:count])


def interesting(size):
    top = 1 << (8 * size)
    values = {0, 1, 2, 3, 0x7F, 0x80, 0xFF, top - 1, top // 2, top // 2 - 1, top - image.PAGE}
    if size == 8:
        values |= {image.PAGE, image.BASE, 1 << 32, 1 << 46, 1 << 47, (1 << 47) - image.PAGE, 1 << 63, 0x10000, 0x1001}
    return sorted(value % top for value in values)


def fields(whole, label):
    for name, offset, size in image.HEADER_FIELDS:
        for value in interesting(size):
            yield Case(f"{label}-{name}-{value:x}", image.patched(whole, offset, value, size))
    for number in range(3):
        start = image.HEADER_SIZE + number * image.PROGRAM_HEADER_SIZE
        for name, offset, size in image.PROGRAM_HEADER_FIELDS:
            for value in interesting(size):
                yield Case(f"{label}-{number}-{name}-{value:x}", image.patched(whole, start + offset, value, size))


def layouts(whole):
    base, size = image.HEADER_SIZE, image.PROGRAM_HEADER_SIZE
    second = base + size
    yield Case("entry-in-data", image.patched(whole, 24, image.DATA + 0x210, 8), "error", "e_entry")
    yield Case("entry-in-hole", image.patched(whole, 24, image.BASE + 0x1800, 8), "error", "e_entry")
    yield Case("entry-not-canonical", image.patched(whole, 24, 1 << 63, 8), "error", "e_entry")
    yield Case("segments-overlap", image.patched(
        image.patched(whole, second + 16, image.BASE + 0x100, 8), second + 8, 0x100, 8), "error", "overlaps")
    yield Case("segments-equal", whole[:second] + whole[base:second] + whole[second + size:], "error", "overlaps")
    yield Case("bss-of-exabytes", image.patched(whole, second + 40, 1 << 60, 8), "error", "p_vaddr")
    yield Case("bss-of-terabytes", image.patched(whole, second + 40, 1 << 45, 8), "error", "")
    yield Case("file-part-of-terabytes", image.patched(
        image.patched(whole, second + 32, 1 << 40, 8), second + 40, 1 << 40, 8), "error", "p_filesz")
    yield Case("no-loadable-segment", image.patched(
        image.patched(whole, base, 4, 4), second, 4, 4), "error", "PT_LOAD")
    yield Case("headers-of-64-KiB", image.patched(whole, 56, 1170, 2), "error", "program headers")
    yield Case("headers-extended", image.patched(whole, 56, 0xFFFF, 2), "error", "PN_XNUM")
    yield Case("headers-inside-header", image.patched(whole, 32, 0, 8))
    yield Case("object-file", image.patched(whole, 16, 1, 2), "error", "ET_REL")
    yield Case("core-file", image.patched(whole, 16, 4, 2), "error", "ET_CORE")
    yield Case("i386", image.patched(image.patched(whole, 18, 3, 2), 4, 1, 1), "error", "32-bit x86")
    yield Case("x32", image.patched(whole, 4, 1, 1), "error", "x32")
    yield Case("arm64", image.patched(whole, 18, 183, 2), "error", "Arm64")
    yield Case("big-endian", image.patched(whole, 5, 2, 1), "error", "big-endian")
    third = second + size
    for name, path, expected, text in [
            ("plain", b"/lib64/ld-linux-x86-64.so.2\0", "any", ""), ("control", b"\x1b[2J\n\0", "error", "PT_INTERP"),
            ("no-zero", b"/x", "error", "p_filesz"), ("folder", b"/tmp\0", "error", "is a directory"),
            ("script", b"/usr/bin/ldd\0", "error", "not an ELF program"), ("device", b"/dev/null\0", "error", "not a regular")]:
        header = image.program_header(kind=3, flags=4, offset=len(whole), file_size=len(path), memory_size=len(path))
        yield Case(f"interpreter-{name}", whole[:third] + header + whole[third + size:] + path, expected, text)
    header = image.program_header(kind=3, offset=1 << 62, file_size=20)
    yield Case("interpreter-far", whole[:third] + header + whole[third + size:], "error", "p_offset")
    header = image.program_header(kind=3, offset=0, file_size=1)
    yield Case("interpreter-short", whole[:third] + header + whole[third + size:], "error", "p_filesz")


def many_segments():
    """A thousand segments of one page each: slow only when something is quadratic in a bad way."""
    count = 1000
    headers = b"".join(
        image.program_header(flags=4, address=image.BASE + 0x100000 + index * 0x2000, memory_size=1)
        for index in range(count - 1))
    code = b"\xbf" + struct.pack("<I", 42) + b"\xb8" + struct.pack("<I", 60) + b"\x0f\x05"
    size = image.HEADER_SIZE + count * image.PROGRAM_HEADER_SIZE
    text = image.program_header(flags=5, address=image.BASE, file_size=size + len(code), memory_size=size + len(code))
    yield Case("many-segments", image.elf_header(2, image.BASE + size, count) + text + headers + code)


def not_elf():
    yield Case("empty", b"", "error", "not an ELF program")
    yield Case("text", b"hello, world\n", "error", "not an ELF program")
    yield Case("zeros", bytes(4096), "error", "not an ELF program")
    yield Case("no-permission", image.well_formed(), "error", "execute permission", mode=0o644)
    yield Case("script-empty", b"#!\n", "error", "interpreter")
    yield Case("script-blank", b"#!   \t \n", "error", "interpreter")
    yield Case("script-missing", b"#!/nonexistent/interpreter\n", "error", "no such file")
    yield Case("script-folder", b"#!/tmp\n", "error", "directory")
    yield Case("script-long", b"#!/" + b"a" * 5000 + b"\n", "error", "interpreter")
    yield Case("script-zero", b"#!\0/bin/sh\n", "error", "interpreter")


def cases():
    whole = image.well_formed()
    yield from truncations(whole)
    yield from layouts(whole)
    yield from many_segments()
    yield from not_elf()
    for name, data, expected, text in portable.cases():
        yield Case(name, data, expected, text, native=False)
    yield from fields(whole, "exec")
    yield from fields(image.well_formed(position_independent=True), "pie")
