"""The sample files that every case finds in its directory. Made by arithmetic, so that they are the same everywhere and
nothing big is kept in the repository."""

import os

WORDS = (
    "glass case window pane light shadow mirror lens prism amber cobalt quartz silica furnace crucible kiln anneal temper "
    "bevel facet etch frost stain lead solder glaze gather bubble stem foot rim bowl vessel flask beaker vial ampoule"
).split()


def generator(seed):
    """Numbers below 2³², from a linear congruence (Knuth's MMIX multiplier)."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        yield state >> 32


def prose(lines, seed=1):
    numbers = generator(seed)
    text = []
    for _ in range(lines):
        count = 3 + next(numbers) % 8
        words = [WORDS[next(numbers) % len(WORDS)] for _ in range(count)]
        text.append(" ".join(words).capitalize() + ".")
    return "\n".join(text) + "\n"


def table(rows, seed=2):
    numbers = generator(seed)
    lines = []
    for row in range(rows):
        word = WORDS[next(numbers) % len(WORDS)]
        amount = next(numbers) % 100000
        lines.append(f"{row}\t{word}\t{amount // 100}.{amount % 100:02}\t{next(numbers) % 7}")
    return "\n".join(lines) + "\n"


def noise(size, seed=3):
    numbers = generator(seed)
    return b"".join((next(numbers) & 0xFF).to_bytes(1, "little") for _ in range(size))


SAMPLES = {
    "prose.txt": prose(120).encode(),
    "other.txt": prose(120).replace("Glass", "Crystal").replace("lens", "ocular").encode(),
    "table.tsv": table(150).encode(),
    "noise.bin": noise(4096),
    "tree/one.txt": b"one\n",
    "tree/two.c": b"int two;\n",
    "tree/deep/three.txt": b"three\nthree\n",
    "tree/deep/deeper/four.c": b"int four(void) { return 4; }\n",
}

# 2020-02-20 20:20:20 UTC
TIME = 1582230020


def write(directory):
    """Puts the samples into `directory`, with fixed permissions and times."""
    for name, contents in SAMPLES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        path.chmod(0o644)
        os.utime(path, (TIME, TIME))
    for folder, _, _ in os.walk(directory, topdown=False):
        os.utime(folder, (TIME, TIME))
