"""Guests that run wild: small machine-code programs and what must end them, as a signal, an exit code, or `budget` (the
limit on instructions). On an x86-64 Linux host each is also run natively and must end the same way there."""

import random
import struct

import image

ILL, TRAP, BUS, FPE, SEGV = 4, 5, 7, 8, 11
EXIT_42 = b"\xbf\x2a\0\0\0\xb8\x3c\0\0\0\x0f\x05"


def move(register, value):
    """mov $value, %register for rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi (0 to 7)."""
    return bytes([0x48, 0xB8 + register]) + struct.pack("<Q", value & (1 << 64) - 1)


RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
SYSCALL = b"\x0f\x05"


def call(number, *arguments):
    """A system call with up to three arguments."""
    code = b"".join(move(register, value) for register, value in zip((RDI, RSI, RDX), arguments))
    return code + move(RAX, number) + SYSCALL


def jump(address):
    return move(RAX, address) + b"\xff\xe0"


def handler(signal, address, restorer, flags=0x04000000):
    """rt_sigaction(signal, {address, flags | SA_RESTORER, restorer}) through a structure at 0x402100."""
    code = move(RBX, image.DATA + 0x100)
    for offset, value in ((0, address), (8, flags), (16, restorer), (24, 0)):
        code += move(RAX, value) + b"\x48\x89\x43" + bytes([offset])
    code += move(RDI, signal) + b"\x48\x89\xde" + b"\x31\xd2" + b"\x41\xba\x08\0\0\0" + move(RAX, 13) + SYSCALL
    return code


def jumps():
    yield "jump-null", jump(0), SEGV
    yield "jump-minus-one", jump(-1), SEGV
    yield "jump-not-canonical", jump(1 << 62), SEGV
    yield "jump-top-of-user-space", jump((1 << 47) - 1), SEGV
    yield "jump-high-half", jump(0xFFFF800000000000), SEGV
    yield "jump-data", jump(image.DATA), SEGV
    yield "jump-stack", b"\xff\xe4", SEGV
    yield "jump-headers", jump(image.BASE), SEGV
    yield "fall-off-the-page", b"\x90" * image.PAGE, SEGV
    yield "call-null", b"\x31\xc0\xff\xd0", SEGV
    yield "return-to-argc", b"\xc3", SEGV
    # Far transfers are decoded but not executed: #UD where hardware would look at the selector.
    yield "far-jump", b"\xff\x2c\x24", None
    yield "jump-into-an-instruction", b"\xeb\x01\x0f\x0b", TRAP
    yield "endless-loop", b"\xeb\xfe", "budget"


def stacks():
    yield "stack-zero-push", b"\x31\xe4\x50", SEGV
    yield "stack-zero-return", b"\x31\xe4\xc3", SEGV
    yield "stack-zero-call", b"\x31\xe4\xe8\0\0\0\0", SEGV
    yield "stack-not-canonical", move(RSP, 1 << 62) + b"\x50", BUS
    yield "stack-not-canonical-pop", move(RSP, 1 << 62) + b"\x58", BUS
    yield "stack-in-code", move(RSP, image.BASE + 0x1800) + b"\x50", SEGV
    yield "stack-in-data", move(RSP, image.DATA + 0x800) + b"\x50\x58" + EXIT_42, "exit 42"
    yield "endless-recursion", b"\xe8\xfb\xff\xff\xff", SEGV
    yield "enter-huge", move(RBP, 0) + b"\xc8\xff\xff\x1f", SEGV
    yield "big-frames", b"\x48\x81\xec\0\0\x10\0\x50\xeb\xf6", SEGV


def memory():
    yield "read-null", move(RAX, 0) + b"\x8a\x00", SEGV
    yield "write-null", move(RAX, 0) + b"\x88\x00", SEGV
    yield "write-code", move(RAX, image.BASE + 0x1000) + b"\x88\x00", SEGV
    yield "write-headers", move(RAX, image.BASE) + b"\x88\x00", SEGV
    yield "read-high-half", move(RAX, -8) + b"\x48\x8b\x00", SEGV
    yield "read-not-canonical", move(RAX, 1 << 60) + b"\x48\x8b\x00", SEGV
    yield "read-over-the-end", move(RAX, image.DATA + 0x1FFC) + b"\x48\x8b\x00", SEGV
    yield "read-window-end", move(RAX, (1 << 47) - (1 << 40) - (1 << 37) - 4) + b"\x48\x8b\x00", None
    yield "read-behind-window", move(RAX, (1 << 47) - (1 << 40) - (1 << 37)) + b"\x48\x8b\x00", SEGV
    yield "read-above-user-space", move(RAX, (1 << 47) - 4) + b"\x48\x8b\x00", SEGV
    yield "fs-without-base", b"\x64\x48\x8b\x04\x25\0\0\0\0", SEGV
    yield "movaps-misaligned", move(RAX, image.DATA + 1) + b"\x0f\x28\x00", SEGV
    yield "rep-movs-endless", move(RCX, -1) + move(RSI, image.DATA) + move(RDI, image.DATA + 8) + b"\xf3\xa4", SEGV
    yield "rep-stos-backwards", b"\xfd" + move(RCX, -1) + move(RDI, image.DATA + 8) + b"\xf3\xaa", SEGV
    yield "rep-scas-endless", b"\xb0\x77" + move(RCX, -1) + move(RDI, image.DATA) + b"\xf2\xae", SEGV
    yield "cmpxchg16b-misaligned", move(RBX, image.DATA + 8) + b"\xf0\x48\x0f\xc7\x0b", SEGV
    yield "xsave-misaligned", move(RBX, image.DATA + 8) + move(RAX, 7) + b"\x31\xd2\x0f\xae\x23", SEGV


def instructions():
    yield "ud2", b"\x0f\x0b", ILL
    yield "int3", b"\xcc", TRAP
    yield "int1", b"\xf1", TRAP
    yield "int-1", b"\xcd\x01", SEGV
    yield "int-3", b"\xcd\x03", TRAP
    yield "int-4", b"\xcd\x04", SEGV
    yield "fnsave-unmapped", b"\x31\xed\xdd\x75\x3d", SEGV
    yield "fbstp-unmapped", b"\x31\xff\xdf\x77\x11", SEGV
    yield "fstp-unmapped", b"\x31\xff\xd9\xe8\xdb\x3f", SEGV
    yield "movups-over-the-end", move(RAX, image.DATA + 0x1FF8) + b"\x0f\x11\x00", SEGV
    yield "enter-nested", b"\x48\x89\xe5\x48\x89\xe3\xc8\0\0\x03\x48\x29\xe3\x83\xc3\x0a\x89\xdf" \
        b"\xb8\x3c\0\0\0\x0f\x05", "exit 42"
    yield "int-0x81", b"\xcd\x81", SEGV
    yield "hlt", b"\xf4", SEGV
    yield "cli", b"\xfa", SEGV
    yield "in", b"\xec", SEGV
    yield "out", b"\xef", SEGV
    yield "iret-garbage", b"\x31\xc0\x50\x50\x50\x50\x50\x48\xcf", None
    yield "sysret", b"\x48\x0f\x07", SEGV
    yield "wrmsr", b"\x0f\x30", SEGV
    yield "mov-cr0", b"\x0f\x20\xc0", SEGV
    yield "lgdt", b"\x0f\x01\x10", SEGV
    yield "divide-by-zero", b"\x31\xc9\xf7\xf1", FPE
    yield "divide-overflow", move(RDX, 1) + b"\x31\xc0\x31\xc9\xff\xc1\x48\xf7\xf1", FPE
    yield "lock-nop", b"\xf0\x90", ILL
    yield "lock-register", b"\xf0\x01\xc0", ILL
    yield "prefixes-16", b"\x66" * 16 + b"\x90", SEGV
    yield "push-es", b"\x06", ILL
    yield "vex-reserved", b"\xc5\xf8\xff\xff\xff\xff", None
    # Single stepping by the guest itself is not implemented: natively SIGTRAP.
    yield "trap-flag", b"\x9c\x81\x0c\x24\0\x01\0\0\x9d\x90\x90" + EXIT_42, None
    yield "xgetbv-bad", b"\xb9\xff\0\0\0\x0f\x01\xd0", SEGV
    yield "ldmxcsr-reserved", b"\x68\xff\xff\xff\xff\x0f\xae\x14\x24", SEGV
    yield "sse-exception", b"\x68\0\0\0\0\x0f\xae\x14\x24\x0f\x57\xc0\x0f\x5e\xc0", FPE
    yield "x87-exception", b"\x68\x40\x03\0\0\xd9\x2c\x24\xd9\xee\xd9\xee\xde\xf9\x9b", FPE


def calls():
    data = image.DATA
    yield "bad-pointers", call(1, 1, 0xDEAD, 100) + call(0, 0, 1 << 63, -1) + call(2, -1, 0, 0) + EXIT_42, "exit 42"
    yield "unknown-call", call(999999, 1, 2, 3) + call(-1) + EXIT_42, "exit 42"
    yield "mprotect-then-execute", call(10, data, 0x1000, 5) + jump(data), SEGV
    yield "unmap-own-code", call(11, image.BASE + 0x1000, 0x1000) + EXIT_42, SEGV
    yield "unmap-everything", call(11, 0x10000, 0x3FFFFFFF0000) + EXIT_42, SEGV
    yield "protect-own-code", call(10, image.BASE + 0x1000, 0x1000, 0) + EXIT_42, SEGV
    # Twice: were a rest of the stack left above, the kernel would let it grow down again.
    unmap = move(RSI, 0x10000) + move(RAX, 11) + SYSCALL
    yield "unmap-stack-then-push", b"\x48\x89\xe7\x48\x81\xe7\0\0\xff\xff" + unmap + b"\x48\x01\xf7" + unmap \
        + b"\x50", SEGV
    yield "break-absurd", call(12, 1 << 62) + call(12, -1) + call(12, 0) + EXIT_42, "exit 42"
    yield "handler-null", handler(11, 0x10, 0) + b"\x0f\x0b", ILL
    yield "handler-bad", handler(11, 0x1000, 0) + jump(0), SEGV
    yield "handler-bad-restorer", handler(4, image.BASE + 0x1FF0, 0) + b"\x0f\x0b", TRAP
    yield "handler-without-stack", handler(11, image.BASE + 0x1000, 0) + b"\x31\xe4\x50", SEGV
    yield "handler-faults-again", handler(11, image.BASE + 0x1000, 0) + jump(0), "native"
    yield "sigreturn-garbage", call(15), SEGV
    yield "sigreturn-nowhere", move(RSP, 8) + call(15), SEGV
    yield "alternate-stack-bad", move(RBX, data) + call(131, data, 0) + EXIT_42, "exit 42"
    yield "fs-not-canonical", call(158, 0x1002, 1 << 62) + EXIT_42, "exit 42"
    yield "map-everything", b"".join(
        call(9, 0, 1 << 45) for _ in range(4)) + EXIT_42, "exit 42"
    yield "execute-nothing", call(59, 0, 0, 0) + call(59, 1 << 63, -1, -1) + EXIT_42, "exit 42"


def named():
    for group in (jumps, stacks, memory, instructions, calls):
        for name, code, expected in group():
            yield name, image.with_code(code), expected


def random_registers(generator):
    """Sets all registers: most to places in the data, so that random instructions run on for a while; rsp always, so that
    nothing depends on where the stack is."""
    code = b""
    for register in range(16):
        value = image.DATA + 8 * generator.randrange(0x200)
        if register == RSP:
            value = image.DATA + 0x800
        elif generator.randrange(4) == 0:
            value = generator.choice([0, 1, -1, 1 << 63, generator.getrandbits(64), generator.getrandbits(16)])
        value &= (1 << 64) - 1
        code += bytes([0x48 | register >> 3, 0xB8 + (register & 7)]) + struct.pack("<Q", value)
    return code


def random_code(seed, count):
    """Programs whose code and data are random bytes, with a bias towards bytes that start interesting instructions."""
    generator = random.Random(seed)
    starts = b"\x0f\x48\x66\xf2\xf3\xf0\xc5\xc4\xff\xe8\xe9\xeb\x75\x89\x8b\xd9\xdd\xcd\xc3\x9d\x64\x65"
    for number in range(count):
        code = bytearray(generator.randbytes(image.PAGE))
        for _ in range(generator.randrange(800)):
            code[generator.randrange(image.PAGE)] = generator.choice(starts)
        if generator.randrange(5) != 0:
            code[:0] = random_registers(generator)
        text_flags = generator.choice([5, 5, 5, 7, 1])
        data_flags = generator.choice([6, 6, 7, 2, 0])
        data = generator.randbytes(image.PAGE)
        yield f"random-{seed}-{number}", image.with_code(bytes(code), data, text_flags, data_flags)
