#!/usr/bin/env python3
"""How long time travel takes: seeks to random instants, steps backwards, and the way back to who wrote a word, over recordings of
a program that writes all over 4 MiB, 10^7 to 5·10^9 instructions long.

    Benchmarks/travel.py [--vitrine PATH] [--seeks N] [--longest INSTRUCTIONS]

Wall clock in milliseconds; nothing is asserted.
"""

import argparse
import json
import random
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Eleven instructions a turn. The word `planted` is written once, a fifth of the way through.
SOURCE = """
#include <stdio.h>
#include <stdlib.h>
volatile unsigned long planted;
int main(int count, char **words) {
  long turns = atol(words[1]);
  unsigned *places = calloc(1 << 20, 4), x = 1;
  printf("%p\\n", (void *)&planted);
  fflush(stdout);
  for (long i = 0; i < turns; i++) {
    x = x * 1664525 + 1013904223;
    places[x >> 12] += i;
    if (i == turns / 5) planted = x;
  }
  printf("%u\\n", x);
}
"""


class Session:
    """Commands to `vitrine debug` on a recording, one after the other."""

    def __init__(self, vitrine, recording):
        self.process = subprocess.Popen([vitrine, "debug", "--json", recording], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        """The answer, and the milliseconds it took."""
        begin = time.monotonic()
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        return answer, (time.monotonic() - begin) * 1000

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vitrine", default=str(ROOT / ".build/release/vitrine"))
    parser.add_argument("--seeks", type=int, default=100)
    parser.add_argument("--longest", type=float, default=5e9)
    options = parser.parse_args()
    print("instructions    first pass   seek median    seek worst   step back median   worst   last-change   checkpoints")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "program.c").write_text(SOURCE)
        subprocess.run(["gcc", "-O1", "-o", "program", "program.c"], cwd=folder, check=True)
        length = 1e7
        while length <= options.longest:
            measure(options, folder, str(int(length / 11)))
            length = length * 10 if length < 1e9 else length * 5


def measure(options, folder, turns):
    recording = folder / "program.rec"
    run = subprocess.run([options.vitrine, "record", "-o", recording, folder / "program", turns], capture_output=True, text=True, check=True)
    planted = run.stdout.split()[0]
    session = Session(options.vitrine, recording)
    answer, first = session.ask("seek end")
    end = json.loads(answer)["instant"]
    chance = random.Random(turns)
    seeks = [session.ask(f"seek {chance.randrange(end)}")[1] for _ in range(options.seeks)]
    session.ask(f"seek {end // 2}")
    backs = [session.ask("back 1")[1] for _ in range(options.seeks)]
    session.ask("seek end")
    answer, change = session.ask(f"last-change {planted} 8")
    assert "about to change" in answer, answer
    checkpoints, _ = session.ask("checkpoints")
    count, size = re.search(r"(\d+) checkpoints, (\d+) bytes", checkpoints).groups()
    session.end()
    print(f"{end:12}  {first:9.0f} ms  {statistics.median(seeks):9.1f} ms  {max(seeks):9.1f} ms  {statistics.median(backs):13.2f} ms"
          f"  {max(backs):6.1f} ms  {change:8.0f} ms  {count} with {int(size) >> 20} MiB", flush=True)


if __name__ == "__main__":
    main()
