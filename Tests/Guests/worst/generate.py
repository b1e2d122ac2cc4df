#!/usr/bin/env python3
"""Makes the guest `cold`, whose instructions run once each: `generate.py FILE`. Writes two pieces of assembly, the same every
time, assembles them, and links cold.c with them: `mixed`, 20,000 instructions in the proportions of compiled code, with
branches, calls and vectors, of which 50 copies stand in the executable one behind the other, so that 4 MB of code are
mapped from a file; and `straight`, 64 KiB without any branch, which cold.c copies itself. Needs gcc and objcopy.

The pieces may change all registers but rbx, rdi (pointers to 1 KiB each), rsi (an index of at most 31) and rsp."""

import random
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
COPIES = 50
WIDE = ["rax", "rcx", "rdx", "rbp"] + [f"r{i}" for i in range(8, 16)]
NARROW = ["eax", "ecx", "edx", "ebp"] + [f"r{i}d" for i in range(8, 16)]
BYTES = ["al", "cl", "dl", "bpl"] + [f"r{i}b" for i in range(8, 16)]
CONDITIONS = "o no b nb z nz be nbe s ns p np l nl le nle".split()


class Piece:
    """Assembly text and how many of its instructions run."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.lines = []
        self.count = 0
        self.labels = 0

    def say(self, *lines, runs=True):
        self.lines += lines
        self.count += len(lines) if runs else 0

    def register(self, names=None):
        return "%" + self.dice.choice(names or self.dice.choice([WIDE, NARROW]))

    def pair(self):
        names = self.dice.choice([WIDE, NARROW])
        return self.register(names), self.register(names), "q" if names is WIDE else "l"

    def memory(self, size=8):
        at = self.dice.randrange(0, 512, size)
        if self.dice.random() < 0.15:
            return f"{at}(%rbx,%rsi,8)" if size <= 8 else f"{at}(%rbx)"
        return f"{at}({self.dice.choice(['%rbx', '%rbx', '%rdi'])})"

    def vector(self):
        return f"%xmm{self.dice.randrange(16)}"

    def load(self):
        target, _, width = self.pair()
        self.say(f"mov{width} {self.memory()}, {target}")

    def store(self):
        source, _, width = self.pair()
        self.say(f"mov{width} {source}, {self.memory()}")

    def move(self):
        source, target, width = self.pair()
        self.say(f"mov{width} {source}, {target}" if self.dice.random() < 0.7 else
                 f"mov{width} ${self.dice.randrange(1 << 20)}, {target}")

    def address(self):
        base, index = self.register(WIDE), self.register(WIDE)
        scale = self.dice.choice([1, 2, 4, 8])
        self.say(f"leaq {self.dice.randrange(-128, 128)}({base},{index},{scale}), {self.register(WIDE)}")

    def arithmetic(self):
        source, target, width = self.pair()
        name = self.dice.choice(["add", "sub", "and", "or", "xor", "add", "sub", "cmp"])
        source = self.dice.choice([source, f"${self.dice.randrange(1, 5000)}", self.memory()])
        self.say(f"{name}{width} {source}, {target}")

    def widen(self):
        self.say(self.dice.choice([
            f"movzbl {self.memory()}, {self.register(NARROW)}", f"movslq {self.memory()}, {self.register(WIDE)}",
            f"movzbl {self.register(BYTES)}, {self.register(NARROW)}", f"movzwl {self.memory()}, {self.register(NARROW)}"]))

    def shift(self):
        name = self.dice.choice(["shl", "shr", "sar", "rol"])
        _, target, width = self.pair()
        self.say(f"{name}{width} ${self.dice.randrange(1, 31)}, {target}")

    def multiply(self):
        source, target, width = self.pair()
        self.say(f"imul{width} {source}, {target}")

    def choose(self):
        source, target, width = self.pair()
        condition = self.dice.choice(CONDITIONS)
        self.say(f"cmp{width} {target}, {source}")  # flags of other instructions may be undefined
        self.say(self.dice.choice([f"cmov{condition}{width} {source}, {target}", f"set{condition} {self.register(BYTES)}"]))

    def push(self):
        self.say(f"pushq {self.register(WIDE)}", f"popq {self.register(WIDE)}")

    def vectors(self):
        a, b = self.vector(), self.vector()
        self.say(self.dice.choice([
            f"movdqu {self.memory(16)}, {a}", f"movdqu {a}, {self.memory(16)}", f"paddd {a}, {b}", f"pxor {a}, {b}",
            f"movdqa {a}, {b}", f"pshufd ${self.dice.randrange(256)}, {a}, {b}", f"punpcklbw {a}, {b}",
            f"movq {self.register(WIDE)}, {a}", f"pcmpeqb {a}, {b}", f"psrldq ${self.dice.randrange(16)}, {a}"]))
        if self.dice.random() < 0.2:
            self.say(f"cvtsi2sdl {self.register(NARROW)}, {a}", f"cvtsi2sdq {self.register(WIDE)}, {b}", f"addsd {a}, {b}")

    def label(self):
        self.labels += 1
        return f".L{self.labels}"

    def branch(self):
        """A comparison whose result is known and a jump, taken over a few bytes or not taken at all."""
        target, register = self.label(), self.register(WIDE)
        if self.dice.random() < 0.5:
            self.say("testq %rsp, %rsp", f"jz {target}")
            for _ in range(self.dice.randint(1, 3)):
                self.arithmetic()
        else:
            self.say(f"cmpq {register}, {register}", f"je {target}")
            self.say("ud2", runs=False)
        self.lines.append(f"{target}:")

    def call(self):
        """A call of a function that nobody else calls, which stands behind a jump over it."""
        function, behind = self.label(), self.label()
        self.say(f"call {function}", f"jmp {behind}")
        self.lines.append(f"{function}:")
        for _ in range(self.dice.randint(2, 6)):
            self.dice.choice([self.load, self.arithmetic, self.move])()
        self.say("ret")
        self.lines.append(f"{behind}:")

    def fill(self, count, branches):
        straight = [
            (self.load, 20), (self.store, 10), (self.move, 10), (self.address, 8), (self.arithmetic, 16), (self.widen, 4),
            (self.shift, 4), (self.multiply, 2), (self.choose, 3), (self.push, 2), (self.vectors, 8)]
        kinds = straight + ([(self.branch, 8), (self.call, 1)] if branches else [])
        names, weights = zip(*kinds)
        self.say("xorl %eax, %eax")  # rax holds the address of the code, which differs from run to run
        while self.count < count:
            self.dice.choices(names, weights)[0]()
        return self


def assembled(piece, folder, name):
    """The machine code of a piece, as a file. It refers only to itself, so it runs at any address."""
    source, file = folder / f"{name}.s", folder / f"{name}.o"
    source.write_text("\n".join(piece.lines) + "\n")
    subprocess.run(["gcc", "-c", source, "-o", file], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", file, folder / f"{name}.code"], check=True)


def main():
    mixed, straight = Piece(5).fill(20000, True), Piece(6).fill(14000, False)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        assembled(mixed, folder, "mixed")
        assembled(straight, folder, "straight")
        (folder / "pieces.s").write_text(
            f'.text\n.globl mixed, mixed_end\n.balign 4096\nmixed:\n.rept {COPIES}\n.incbin "{folder}/mixed.code"\n.endr\n'
            'mixed_end: ret\n.section .rodata\n.globl straight, straight_end\n'
            f'straight: .incbin "{folder}/straight.code"\nstraight_end:\n.section .note.GNU-stack,"",@progbits\n')
        sizes = [f"-DCOPIES={COPIES}", f"-DMIXED_COUNT={mixed.count}", f"-DSTRAIGHT_COUNT={straight.count}"]
        command = ["gcc", "-O2", "-static"] + sizes + [FOLDER / "cold.c", folder / "pieces.s", "-o", sys.argv[1]]
        subprocess.run(command, check=True)


main()
