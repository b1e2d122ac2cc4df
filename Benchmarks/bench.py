#!/usr/bin/env python3
"""Measures Vitrine side by side with native and qemu-x86_64, all in one session, and prints ratios.

    Benchmarks/bench.py                   kernels, programs, start-up, size, cost per instruction, allocations
    Benchmarks/bench.py calls lua         only these benchmarks
    Benchmarks/bench.py --quick           two runs each of smaller sizes, for CI; prints, asserts nothing
    Benchmarks/bench.py --json FILE       the numbers for a program

Runs alternate: native, vitrine, qemu, native, … A ratio is the median of the ratios of runs that stood next to each
other, of processor time (user + system) of the whole process tree unless `--wall` is given, so that a busy machine
disturbs it little. The environment variable VITRINE names another engine than `.build/release/vitrine run`."""

import argparse
import json
import math
import os
import statistics
import sys
from pathlib import Path

import measure
import sections

FOLDER = Path(__file__).resolve().parent


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else float("nan")


def compare(benchmark, engines, options, start_up):
    """Runs one benchmark in all engines in turn. Returns engine → list of seconds, and what each printed."""
    seconds = {name: [] for name in engines}
    outputs = {}
    for _ in range(options.runs):
        for name, prefix in engines.items():
            result = measure.run(prefix + benchmark.words, benchmark.input)
            spent = result.wall if options.wall else result.processor
            seconds[name].append(max(spent - start_up.get(name, 0), 1e-5))
            outputs[name] = (result.status, result.digest)
    return seconds, outputs


def table(benchmarks, engines, options):
    """Prints a line per benchmark and the geometric mean of each group; returns the numbers."""
    start_up = {}
    if options.subtract:
        null = measure.Benchmark("null", "kernel", [str(measure.KERNELS), "null", "0"], None)
        start_up = {name: statistics.median(times) for name, times in compare(null, engines, options, {})[0].items()}
    others = [name for name in engines if name != "native"]
    print(f"{'':12}{'native':>10}" + "".join(f"{name:>12}" for name in others))
    ratios = {}
    report = []
    for benchmark in benchmarks:
        seconds, outputs = compare(benchmark, engines, options, start_up)
        line = f"{benchmark.name:12}{statistics.median(seconds['native']) * 1000:8.1f} ms"
        row = {"name": benchmark.name, "group": benchmark.group, "native": statistics.median(seconds["native"])}
        for name in others:
            ratio = statistics.median(mine / native for mine, native in zip(seconds[name], seconds["native"]))
            same = outputs[name] == outputs["native"]
            line += f"{ratio:10.2f} ×" + ("" if same else " (other result!)")
            row[name] = {"ratio": ratio, "same": same}
            if same:
                ratios.setdefault((benchmark.group, name), []).append(ratio)
        report.append(row)
        print(line, flush=True)
    for group in dict.fromkeys(benchmark.group for benchmark in benchmarks):
        means = {name: geometric_mean(ratios.get((group, name), [])) for name in others}
        worst = {name: max(ratios.get((group, name), [float("nan")])) for name in others}
        print(f"{'mean ' + group:22}" + "".join(f"{means[name]:10.2f} ×" for name in others))
        print(f"{'worst ' + group:22}" + "".join(f"{worst[name]:10.2f} ×" for name in others))
        report.append({"group": group, "mean": means, "worst": worst})
    return report


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="benchmarks to run; all when none is given")
    parser.add_argument("--quick", action="store_true", help="few runs of smaller sizes")
    parser.add_argument("--runs", type=int, help="runs of each benchmark in each engine (default 5, quick 2)")
    parser.add_argument("--wall", action="store_true", help="wall-clock time instead of processor time")
    parser.add_argument("--subtract", action="store_true", help="subtract each engine's start-up time")
    parser.add_argument("--engines", default="native,vitrine,qemu", help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args()
    options.runs = options.runs or (2 if options.quick else 5)
    return options


def main():
    options = parse()
    engines = measure.engines(options.engines.split(","))
    measure.prepare()
    benchmarks = [
        benchmark for benchmark in measure.load(FOLDER / "benchmarks.toml", options.quick)
        if not options.names or benchmark.name in options.names]
    report = {"table": table(benchmarks, engines, options)}
    if not options.names:
        report["start-up"] = sections.start_up(engines, 60 if options.quick else 300)
        vitrine = engines.get("vitrine")
        if vitrine:
            report["size"] = sections.size(vitrine)
            report["growth"] = sections.growth(vitrine, (7, 8) if options.quick else (7, 8, 9))
            report["allocations"] = sections.allocations(vitrine)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


os.environ.pop("LD_PRELOAD", None)
sys.exit(main())
