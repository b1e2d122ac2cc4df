"""Builds small static x86-64 ELF programs, byte by byte, so that each of their fields can be broken on purpose."""

import struct

PAGE = 0x1000
BASE = 0x400000
DATA = 0x402000
BSS = 0x403800
HEADER_SIZE = 64
PROGRAM_HEADER_SIZE = 56

# (name, offset, size) of the ELF header's fields.
HEADER_FIELDS = [
    ("EI_MAG0", 0, 1), ("EI_MAG1", 1, 1), ("EI_MAG2", 2, 1), ("EI_MAG3", 3, 1), ("EI_CLASS", 4, 1),
    ("EI_DATA", 5, 1), ("EI_VERSION", 6, 1), ("EI_OSABI", 7, 1), ("EI_ABIVERSION", 8, 1), ("EI_PAD", 9, 4),
    ("e_type", 16, 2), ("e_machine", 18, 2), ("e_version", 20, 4), ("e_entry", 24, 8), ("e_phoff", 32, 8),
    ("e_shoff", 40, 8), ("e_flags", 48, 4), ("e_ehsize", 52, 2), ("e_phentsize", 54, 2), ("e_phnum", 56, 2),
    ("e_shentsize", 58, 2), ("e_shnum", 60, 2), ("e_shstrndx", 62, 2),
]
# The same for a program header, from its start.
PROGRAM_HEADER_FIELDS = [
    ("p_type", 0, 4), ("p_flags", 4, 4), ("p_offset", 8, 8), ("p_vaddr", 16, 8), ("p_paddr", 24, 8),
    ("p_filesz", 32, 8), ("p_memsz", 40, 8), ("p_align", 48, 8),
]

EXIT_CODE = 42
# Exits with 42 when its bss is clear and its data is there, with 43 otherwise. Position independent.
#   lea rbx, [rip + data]; cmp byte [rbx], 0x5a; jne bad; mov rax, [rip + bss]; test rax, rax; jne bad
#   mov edi, 42; jmp leave; bad: mov edi, 43; leave: mov eax, 60; syscall; ud2
def _main(address):
    def relative(target, end):
        return struct.pack("<i", target - (address + end))

    code = b"\x48\x8d\x1d" + relative(DATA - BASE + 0x200, 7)
    code += b"\x80\x3b\x5a" + b"\x75\x13"
    code += b"\x48\x8b\x05" + relative(BSS - BASE, 19)
    code += b"\x48\x85\xc0" + b"\x75\x07"
    code += b"\xbf" + struct.pack("<I", EXIT_CODE) + b"\xeb\x05"
    code += b"\xbf" + struct.pack("<I", 43)
    code += b"\xb8" + struct.pack("<I", 60) + b"\x0f\x05\x0f\x0b"
    return code


def program_header(kind=1, flags=5, offset=0, address=BASE, file_size=0, memory_size=0, align=PAGE):
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, file_size, memory_size, align)


def elf_header(kind, entry, count, phoff=HEADER_SIZE):
    identification = b"\x7fELF\x02\x01\x01" + bytes(9)
    return identification + struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, entry, phoff, 0, 0, 64, 56, count, 64, 0, 0)


def well_formed(position_independent=False):
    """The program that every broken one is made from: text, data with bss, a stack header. Exits with 42."""
    base = 0 if position_independent else BASE
    code_offset = 0x180
    code = _main(code_offset)
    headers = program_header(flags=5, address=base, file_size=0x200, memory_size=0x200)
    headers += program_header(
        flags=6, offset=0x200, address=base + DATA - BASE + 0x200, file_size=0x80, memory_size=0x2000)
    headers += program_header(kind=0x6474E551, flags=6, address=0, align=16)
    image = elf_header(3 if position_independent else 2, base + code_offset, 3) + headers
    image = image.ljust(code_offset, b"\xcc") + code
    return image.ljust(0x200, b"\xcc") + b"\x5a" * 0x80


def with_code(code, data=b"", text_flags=5, data_flags=6):
    """A program of one page of code at 0x401000 (entry) and two pages of data at 0x402000."""
    headers = program_header(flags=text_flags, offset=PAGE, address=BASE + PAGE, file_size=PAGE, memory_size=PAGE)
    headers += program_header(
        flags=data_flags, offset=2 * PAGE, address=DATA, file_size=PAGE, memory_size=2 * PAGE)
    image = elf_header(2, BASE + PAGE, 2) + headers
    image = image.ljust(PAGE, b"\0") + code[:PAGE].ljust(PAGE, b"\xcc")
    return image + data[:PAGE].ljust(PAGE, b"\0")


def with_sections(code):
    """`with_code`, followed by unwind tables, symbols and section headers: what a report reads. The second value is the
    offset where these begin."""
    whole = with_code(code)
    begin = len(whole)
    # A CIE (CFA = rsp + 8, return address at CFA - 8) and an FDE for the page of code; absolute pointers.
    common = b"\0\0\0\0\x01zR\0\x01\x78\x10\x01\0\x0c\x07\x08\x90\x01".ljust(28, b"\0")
    frames = struct.pack("<I", len(common)) + common
    body = struct.pack("<QQ", BASE + PAGE, PAGE) + b"\0\x41\x0e\x10\x0a\x16\x03\x03\x77\x08\x06\x41\x0b".ljust(16, b"\0")
    frames += struct.pack("<II", len(body) + 4, len(frames) + 4) + body + bytes(4)
    symbols = bytes(24) + struct.pack("<IBBHQQ", 1, 0x12, 0, 1, BASE + PAGE, PAGE)
    strings = b"\0start\0"
    names = b"\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab\0"
    contents = [(b".eh_frame", 1, frames, 0), (b".symtab", 2, symbols, 4), (b".strtab", 3, strings, 0),
                (b".shstrtab", 3, names, 0)]
    headers = bytes(64) + struct.pack("<IIQQQQIIQQ", 1, 1, 6, BASE + PAGE, PAGE, PAGE, 0, 0, 16, 0)
    for name, kind, data, link in contents:
        address = 0x500000 if name == b".eh_frame" else 0
        headers += struct.pack(
            "<IIQQQQIIQQ", names.index(name), kind, 0, address, len(whole), len(data), link, 1, 8, 24)
        whole += data
    whole = whole[:40] + struct.pack("<Q", len(whole)) + whole[48:60] + struct.pack("<HH", 6, 5) + whole[64:] + headers
    return whole, begin


def patched(image, offset, value, size):
    """`image` with the `size` bytes at `offset` replaced by the number `value`."""
    value &= (1 << (8 * size)) - 1
    return image[:offset] + value.to_bytes(size, "little") + image[offset + size:]
