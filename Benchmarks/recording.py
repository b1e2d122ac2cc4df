"""What recording costs: processor time of `vitrine record` and of `vitrine replay` against `vitrine run --no-store`, because neither uses
translations kept from an earlier run; and the size of the recording against what the program executed. Runs alternate; times are
medians, ratios medians of those of runs that followed each other."""

import re
import shlex
import statistics
import subprocess

import measure

# Name, words, whether for quick runs too. Computing, many system calls, a start with many libraries, threads, children.
PROGRAMS = [
    ("compute", "{kernels} mixing 30000000", True),
    ("calls", "/usr/bin/dd if=/dev/zero of=/dev/null bs=512 count=100000 status=none", True),
    ("reading", "/usr/bin/cksum {data}/noise", True),
    ("python", "/usr/bin/python3 -c 'import json, re; print(len(json.dumps([str(n) for n in range(200000)])))'", True),
    ("threads", "/usr/bin/xz -T2 --block-size=300KiB -1 -c {data}/text", True),
    ("sqlite", "{guests}/sqlite :memory:", True),
    ("gcc", "/usr/bin/gcc -O1 -c {data}/lines.c -o {private}/lines.o", False),
]


def command(vitrine, word, *options):
    return [vitrine[0], word, *map(str, options)]


def instructions(vitrine, path):
    """How many instructions all processes of a recording have executed."""
    listing = subprocess.run(command(vitrine, "replay", "--list", path), capture_output=True, text=True).stdout
    return sum(int(count) for count in re.findall(r"(\d+) instructions", listing))


def measured(vitrine, runs, quick):
    recording = measure.PRIVATE / "measured.rec"
    print(f"\nrecording and replay, processor time against `vitrine run --no-store`, medians of {runs}")
    print(f"{'':10}{'run':>10}{'record':>10}{'replay':>10}{'recording':>13}{'instructions':>16}")
    report = {}
    for name, text, in_quick in PROGRAMS:
        if quick and not in_quick:
            continue
        words = [measure.located(word) for word in shlex.split(text)]
        input = measure.GUESTS / "workload.sql" if name == "sqlite" else None
        kinds = {
            "run": (command(vitrine, "run", "--no-store") + words, input),
            "record": (command(vitrine, "record", "-o", recording, "--") + words, input),
            "replay": (command(vitrine, "replay", recording), None),
        }
        seconds = {kind: [] for kind in kinds}
        digests = set()
        for _ in range(runs):
            for kind, (line, given) in kinds.items():
                result = measure.run(line, given)
                seconds[kind].append(result.processor)
                digests.add((result.status, result.digest))
        middle = {kind: statistics.median(values) for kind, values in seconds.items()}
        size, count = recording.stat().st_size, instructions(vitrine, recording)
        ratios = {
            kind: statistics.median(time / max(run, 1e-5) for time, run in zip(seconds[kind], seconds["run"]))
            for kind in ("record", "replay")
        }
        note = "" if len(digests) == 1 else "   other output"
        print(f"{name:10}{middle['run'] * 1e3:7.0f} ms{ratios['record']:8.2f} ×{ratios['replay']:8.2f} ×"
              f"{size / 1e6:10.2f} MB{count:16,}{note}", flush=True)
        report[name] = {"seconds": seconds, **ratios, "size": size, "instructions": count}
    recording.unlink(missing_ok=True)
    return report
