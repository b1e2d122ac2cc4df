#!/usr/bin/env python3
"""Makes what the drivers of real libraries work on, the same bytes every time: `generate.py text FILE` a text of 24 MB whose
words are as unevenly frequent as in a language; `generate.py source FILE` a C file of 24 MB, of functions that call earlier ones,
so that it can be cut after any function. Nothing outside is read."""

import random
import sys

SYLLABLES = ["gla", "ss", "ca", "se", "win", "dow", "pa", "ne", "li", "ght", "sha", "dor", "mir", "ro", "qua", "rtz", "ki", "ln",
             "pri", "sm", "en", "er", "ing", "ed", "ion", "al", "st", "ve", "th", "o"]
SIZE = 24 << 20


def text(dice):
    """Words with frequencies as 1 / rank, sentences, now and then a line of numbers, as in a log."""
    words = ["".join(dice.choices(SYLLABLES, k=dice.randint(1, 4))) for _ in range(12000)]
    weights, total = [], 0.0
    for rank in range(len(words)):
        total += 1 / (rank + 2)
        weights.append(total)
    size = 0
    number = 0
    while size < SIZE:
        number += 1
        if dice.random() < 0.2:
            line = f"{number:08d} {dice.randrange(256)}.{dice.randrange(256)} {dice.choice(words)}={dice.random():.6f}\n"
        else:
            line = " ".join(dice.choices(words, cum_weights=weights, k=dice.randint(5, 40))).capitalize() + ".\n"
        size += len(line)
        yield line


def expression(dice, names, depth):
    """An expression of unsigned numbers, without a division by zero or a shift by too much."""
    kind = dice.randrange(8) if depth else 7
    if kind == 7:
        return dice.choice(names) if dice.random() < 0.8 else f"{dice.randrange(100000)}u"
    left, right = expression(dice, names, depth - 1), expression(dice, names, depth - 1)
    if kind < 5:
        return f"({left} {'+-*^&'[kind]} {right})"
    if kind == 5:
        return f"({left} >> ({right} & 15))"
    return f"({left} / ({right} | 1))"


def body(dice, number):
    """The statements of one function."""
    names = ["x", "table[x & 63]", "s->first", "s->second"]
    for line in range(dice.randint(3, 12)):
        value = expression(dice, names, 3)
        kind = dice.randrange(6)
        if kind == 0:
            yield f"  unsigned v{line} = {value};"
            names.append(f"v{line}")
        elif kind == 1:
            yield f"  if ({value} > {expression(dice, names, 1)}) s->first += {expression(dice, names, 2)};"
            yield f"  else s->second ^= {expression(dice, names, 1)};"
        elif kind == 2:
            yield f"  for (unsigned i = 0; i < ({expression(dice, names, 1)} & 7); i++) table[i] += {value};"
        elif kind == 3:
            yield f"  switch ({value} & 3) {{"
            for label in range(4):
                yield f"    case {label}: s->first = {expression(dice, names, 1)}; break;"
            yield "  }"
        elif kind == 4 and number > 40:
            yield f"  if ({value} == {dice.randrange(1000)}u) x += f{dice.randrange(max(0, number - 400), number)}(s, x);"
        else:
            yield f"  s->second = {value}; /* {' '.join(dice.choices(SYLLABLES, k=5))} */"


def source(dice):
    """`start` calls the first functions; what follows them may be cut anywhere between two functions."""
    yield "struct state { unsigned first, second; };\nstatic unsigned table[64];\n"
    yield "#define ROUND(x) ((x) * 2654435761u ^ (x) >> 7)\n"
    size, number = 0, 0
    while size < SIZE:
        lines = [f"unsigned f{number}(struct state *s, unsigned x) {{"] + list(body(dice, number))
        code = "\n".join(lines + ["  return ROUND(x + s->first) + s->second;", "}", ""])
        size += len(code)
        number += 1
        yield code
        if number == 40:
            calls = " ".join(f"x = f{i}(&s, x);" for i in range(40))
            yield "unsigned start(unsigned x) {\n  struct state s = {1, 2};\n  " + calls + "\n  return x;\n}\n"


def main():
    kind, path = sys.argv[1:]
    parts = {"text": text, "source": source}[kind]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(parts(random.Random(3)))


main()
