"""Actually Portable Executables and flat programs, well-formed and broken. A portable executable is made around static ELF
programs: a magic number that opens a quoted string, then a script that writes one of the ELF headers over the file's start
and executes the file, then the programs, with their file offsets moved. Run by a shell it works natively, too."""

import struct

import image

MAGICS = (b"MZqFpD='", b"jartsr='")
DEBUG_MAGIC = b"APEDBG='"
WINDOW = 8192
# Machines by e_machine, as `uname -m` says them.
MACHINES = {62: "x86_64", 183: "aarch64", 3: "i386", 243: "riscv64"}


def moved(elf, distance):
    """The program's header and the program, with everything in them that is a file offset `distance` further on."""
    def add(offset):
        nonlocal elf
        value = struct.unpack_from("<Q", elf, offset)[0]
        elf = image.patched(elf, offset, value + distance, 8)

    start, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
    for number in range(count):
        add(start + number * image.PROGRAM_HEADER_SIZE + 8)
    add(32)
    if struct.unpack_from("<Q", elf, 40)[0]:
        add(40)
    return elf[:image.HEADER_SIZE], elf


def escaped(header, style="mixed"):
    """Bytes as printf(1) takes them. `long`: three octal digits each; `short`: as few as the byte that follows allows;
    `mixed`: letters and digits as they are where that cannot be misread."""
    text = ""
    for place, byte in enumerate(header):
        after = header[place + 1] if place + 1 < len(header) else 0
        isDigitNext = style == "mixed" and chr(after) in "01234567"
        if style == "mixed" and chr(byte).isalnum() and byte < 128:
            text += chr(byte)
        elif style == "long" or isDigitNext:
            text += f"\\{byte:03o}"
        else:
            text += f"\\{byte:o}"
    return text.encode()


def statement(header, style="mixed"):
    return b"printf '" + escaped(header, style) + b"' >&7\n"


def program(magic, elves, style="mixed", before=b"", machines=None, offset=None):
    """A portable executable of `elves`, whose statements stand in this order. `before`: what stands between the quoted string
    and the script; `machines` replaces their e_machine; `offset`: where the script begins."""
    machines = machines or [62] * len(elves)
    start = max(0x4000, (offset or 0) + 0x1000 & ~0xFFF)
    headers, body = [], b""
    for elf, machine in zip(elves, machines):
        header, whole = moved(elf, start + len(body))
        header = image.patched(image.patched(header, 18, machine, 2), 7, 9, 1)
        headers.append((machine, header))
        body += whole.ljust(-(-len(whole) // image.PAGE) * image.PAGE, b"\0")
    text = magic + b"\n" + bytes(range(1, 32)) + b"\x7fELF not here\n'\n" + before
    if offset is not None:
        text = text + b"#" * (offset - len(text) - 1) + b"\n"
    text += b'o="$0"\n'
    for machine, header in headers:
        text += b'if [ "$(uname -m)" = ' + MACHINES[machine].encode() + b" ]; then\nexec 7<>\"$o\" || exit 121\n"
        text += statement(header, style) + b'exec 7<&-\nexec "$o" "$@"\nfi\n'
    text += b"exit 122\n"
    assert len(text) <= start, len(text)
    return text.ljust(start, b"\n") + body


def flat(code, size=None):
    return code.ljust(size or len(code), b"\xcc")


LEAVE = b"\xb8" + struct.pack("<I", 60) + b"\x0f\x05\x0f\x0b"
# Exits with 42 when it runs at 0x400000 with all registers zero, an aligned stack that says one argument, and zeroed
# memory of 16 MiB behind the file, which can be written and executed; else with 43.
FLAT = (
    b"\x48\x89\xc3" + b"".join(b"\x48\x09" + bytes([0xC3 | number << 3]) for number in (1, 2, 5, 6, 7))
    + b"".join(b"\x4c\x09" + bytes([0xC3 | (number & 7) << 3]) for number in range(8, 16)) + b"\x48\x85\xdb\x75\x59"
    + b"\x48\x8d\x05\xca\xff\xff\xff" + b"\x48\x3d\0\0\x40\0\x75\x4a"  # lea rax, [start]; cmp rax, 0x400000
    + b"\x48\x83\x3c\x24\x01\x75\x43" + b"\x40\xf6\xc4\x0f\x75\x3d"  # argc = 1; rsp aligned
    + b"\xbf\0\x10\x40\0\x48\x8b\x07\x48\x85\xc0\x75\x30"  # the page behind the file
    + b"\xbf\xf8\xff\x3f\x01\x48\x8b\x07\x48\x85\xc0\x75\x23"  # 0x400000 + 16 MiB - 8
    + b"\xc6\x07\xc3\xff\xd7"  # mov byte [rdi], 0xc3; call rdi
    + b"\xbf\x2a\0\0\0" + LEAVE)
FLAT = FLAT.ljust(0x94, b"\x90") + b"\xbf\x2b\0\0\0" + LEAVE


def cases():
    """Name, bytes, what must come of it, a part of the message."""
    whole = image.well_formed()
    for magic in MAGICS:
        name = "portable-" + magic[:6].decode().lower()
        for style in ("long", "short", "mixed"):
            yield f"{name}-{style}", program(magic, [whole], style), "exit 42", ""
        yield f"{name}-foreign-first", program(magic, [whole, whole], machines=[183, 62]), "exit 42", ""
        yield f"{name}-foreign-last", program(magic, [whole, whole], machines=[62, 183]), "exit 42", ""
        yield f"{name}-foreign-only", program(magic, [whole], machines=[183]), "error", "without a part for x86-64"
    magic = MAGICS[0]
    yield "portable-debug", program(DEBUG_MAGIC, [whole]), "error", "APEDBG"
    yield "portable-pie", program(magic, [image.well_formed(position_independent=True)]), "exit 42", ""
    yield from windows(magic, whole)
    yield from escapes(magic, whole)
    broken = [("entry", 24, 0, 8, "e_entry"), ("phoff", 32, 1 << 62, 8, "e_phoff"), ("phnum", 56, 0, 2, "e_phnum"),
              ("type", 16, 1, 2, "ET_REL"), ("class", 4, 1, 1, "x32"), ("osabi", 7, 12, 1, "OpenBSD")]
    for name, offset, value, size, text in broken:
        data = program(magic, [whole])
        header = image.patched(image.patched(moved(whole, 0x4000)[0], 7, 9, 1), offset, value, size)
        begin = data.index(b"printf '")
        end = data.index(b">&7", begin)
        data = data[:begin] + statement(header)[:-4] + data[end:]
        yield f"portable-{name}", (data[:0x3F00] + bytes(0x4000))[:0x4000] + whole, "error", text
    yield "portable-nothing", magic + b"\n", "error", "no printf statement"
    yield "portable-cut-magic", magic[:7], "error", "MZ"
    yield "dos-program", b"MZ" + bytes(1000), "error", "DOS or Windows"
    yield from flat_cases(whole)


def windows(magic, whole):
    """Statements at the end of the first 8192 bytes: the last one that is inside, and those that are not."""
    lead = program(magic, [whole], "long", offset=4096).index(b"printf '") - 4096
    length = len(statement(bytes(64), "long")) - len(b" >&7\n")
    last = WINDOW - length - lead
    yield "portable-window-last", program(magic, [whole], "long", offset=last), "exit 42", ""
    yield "portable-window-cut", program(magic, [whole], "long", offset=last + 1), "error", "goes on after"
    yield "portable-window-beyond", program(magic, [whole], "long", offset=WINDOW), "error", "no printf statement"
    cut = program(magic, [whole], "long")
    yield "portable-file-cut", cut[:cut.index(b"printf '") + 100], "error", "goes on after"


def escapes(magic, whole):
    header = image.patched(moved(whole, 0x4000)[0], 7, 9, 1)

    def with_text(text):
        data = program(magic, [whole])
        begin, end = data.index(b"printf '"), data.index(b" >&7")
        script = data[:begin] + b"printf '" + text + b"'" + data[end:data.index(b"exit 122")]
        return script.ljust(0x4000, b"\n") + data[0x4000:]

    text = escaped(header, "long")
    yield "portable-escape-plain", with_text(text), "exit 42", ""
    yield "portable-escape-short", with_text(text[:-4]), "error", "less than the 64 bytes"
    yield "portable-escape-long", with_text(text + b"x"), "error", "more than the 64 bytes"
    yield "portable-escape-letter", with_text(text[:-4] + b"\\n"), "error", "not octal"
    yield "portable-escape-eight", with_text(text[:-4] + b"\\8"), "error", "not octal"
    yield "portable-escape-quote", with_text(text[:-4] + b"\\"), "error", "not octal"
    yield "portable-escape-other", with_text(b"\\177elf"), "error", "no printf statement"
    good = program(magic, [whole], before=b"printf 'hello' >/dev/null\n")
    yield "portable-other-statement-first", good, "exit 42", ""
    good = program(magic, [whole], before=b": printf '" + text[:40] + b"'\n")
    yield "portable-broken-statement-first", good, "exit 42", ""


def flat_cases(whole):
    yield "flat.bin", FLAT, "exit 42", ""
    yield "flat-page.bin", flat(FLAT, 4096), "exit 42", ""
    yield "flat-empty.bin", b"", "error", "not an ELF program"
    yield "flat-one-byte.bin", b"\xf4", "killed 11", ""
    yield "flat-other-name.com", FLAT, "error", "not an ELF program"
    yield "flat-elf.bin", whole, "exit 42", ""
    yield "flat-portable.bin", program(MAGICS[1], [whole]), "exit 42", ""
    yield "flat-script.bin", b"#!/nonexistent/interpreter\n", "error", "no such file"
