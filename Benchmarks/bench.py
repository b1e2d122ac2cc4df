#!/usr/bin/env python3
"""Measures Vitrine side by side with native and qemu-x86_64, all in one session, and prints ratios.

    Benchmarks/bench.py                   kernels, programs, and all sections
    Benchmarks/bench.py calls lua         only these benchmarks and sections
    Benchmarks/bench.py program           a group: kernel, exchange, program, dynamic
    Benchmarks/bench.py translation       a section: start-up, servers, threads, size, growth, allocations, translation, record
    Benchmarks/bench.py --engines translator,unguarded,interpreter,counting,qemu
    Benchmarks/bench.py --quick           two runs each of smaller sizes, for CI; prints, asserts nothing
                                          but that every section could be measured
    Benchmarks/bench.py --json FILE       the numbers for a program

Runs alternate: native, vitrine, qemu, native, … A ratio is the median of the ratios of runs that stood next to each
other, of processor time (user + system) of the whole process tree, so that a busy machine
disturbs it little; in the group exchange and with `--wall` of wall-clock time. The environment variable VITRINE names another command than `.build/release/vitrine run`; engines other
than `vitrine`, which is whatever that command does by itself, add their options to it."""

import argparse
import json
import math
import os
import signal
import statistics
import sys
from pathlib import Path

import measure
import recording
import sections
import servers
import translation

FOLDER = Path(__file__).resolve().parent
# The ratio to native that a translator may have on one benchmark of a group; lines above it are named.
LIMITS = {"kernel": 1.8, "exchange": 1.3, "program": 1.5, "dynamic": 2.5}
# What is measured with and without: the price of the second engine over the first.
PRICES = [("the guard", "unguarded", "translator"), ("counting", "translator", "counting")]
SECTIONS = ["start-up", "servers", "threads", "size", "growth", "allocations", "translation", "record"]


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values)) if values else float("nan")


def compare(benchmark, engines, options, start_up):
    """Runs one benchmark in all engines in turn. Returns engine → list of seconds, and what each printed. An engine that
    has had its share of time runs no more."""
    seconds = {name: [] for name in engines}
    outputs = {}
    for _ in range(options.runs):
        for name, prefix in engines.items():
            if sum(seconds[name]) > options.most:
                continue
            result = measure.run(prefix + benchmark.words, benchmark.input)
            spent = result.wall if options.wall or benchmark.clock == "wall" else result.processor
            seconds[name].append(max(spent - start_up.get(name, 0), 1e-5))
            outputs[name] = (result.status, result.digest)
    return seconds, outputs


def ratio(mine, others):
    """The median of the ratios of neighbouring runs; lists may differ in length, they begin together."""
    return statistics.median(a / b for a, b in zip(mine, others))


def rival(engines):
    """The engine whose factor against qemu is printed: the translator, else the first of Vitrine's."""
    mine = [name for name in engines if name in measure.VARIANTS]
    if "qemu" not in engines or not mine:
        return None
    return "translator" if "translator" in mine else mine[0]


def print_group(group, rows, others, champion):
    """Means and worst of one group, and how it stands against qemu. Returns the same as numbers."""
    of_group = [row for row in rows if row["group"] == group]
    ratios = {name: [row[name]["ratio"] for row in of_group if row[name]["same"]] for name in others}
    means = {name: geometric_mean(ratios[name]) for name in others}
    worst = {name: max(ratios[name], default=float("nan")) for name in others}
    factors = [(row["faster than qemu"], row["name"]) for row in of_group if "faster than qemu" in row]
    mean_factor = geometric_mean([factor for factor, _ in factors])
    end = f"{mean_factor:10.2f} ×" if factors else ""
    print(f"{'mean ' + group:23}" + "".join(f"{means[name]:11.2f} ×" for name in others) + end)
    end = f"{min(factors)[0]:10.2f} ×" if factors else ""
    print(f"{'worst ' + group:23}" + "".join(f"{worst[name]:11.2f} ×" for name in others) + end)
    report = {"group": group, "mean": means, "worst": worst}
    if factors:
        faster = sum(factor > 1 for factor, _ in factors)
        least, name = min(factors)
        print(f"{champion} is faster than qemu on {faster} of {len(of_group)} {group}s: "
              f"{mean_factor:.2f} × on the mean, {least:.2f} × at least ({name})")
        report |= {"faster than qemu": faster, "of": len(of_group), "mean factor": mean_factor, "least factor": least}
    return report | {"prices": print_prices(group, of_group, others)}


def print_prices(group, rows, others):
    """What the guard and counting cost, and which benchmarks the translator runs slower than it may."""
    prices = {}
    for what, without, having in PRICES:
        pairs = [(ratio(row[having]["seconds"], row[without]["seconds"]), row["name"]) for row in rows
                 if without in others and having in others and row[having]["same"] and row[without]["same"]]
        if pairs:
            most, name = max(pairs)
            prices[what] = {"mean": geometric_mean([price for price, _ in pairs]), "most": most}
            print(f"price of {what}: {prices[what]['mean']:.2f} × on the mean of {group}s, {most:.2f} × at most ({name})")
    if "translator" in others:
        limit = LIMITS[group]
        over = [f"{row['name']} {row['translator']['ratio']:.2f}" if row["translator"]["same"] else f"{row['name']} (wrong)"
                for row in rows if row["translator"]["ratio"] > limit or not row["translator"]["same"]]
        print(f"{group}s over {limit} × native with the translator: {', '.join(over) or 'none'}")
    return prices


def table(benchmarks, engines, options):
    """Prints a line per benchmark and the geometric mean of each group; returns the numbers."""
    start_up = {}
    if options.subtract:
        null = measure.Benchmark("null", "kernel", [str(measure.KERNELS), "null", "0"], None)
        start_up = {name: statistics.median(times) for name, times in compare(null, engines, options, {})[0].items()}
    others = [name for name in engines if name != "native"]
    champion = rival(engines)
    heading = "".join(f"{name:>13}" for name in others) + (f"{'faster':>12}" if champion else "")
    print(f"{'':13}{'native':>10}{heading}")
    rows = []
    for benchmark in benchmarks:
        seconds, outputs = compare(benchmark, engines, options, start_up)
        native = statistics.median(seconds["native"])
        line = f"{benchmark.name:13}{native * 1000:7.0f} ms"
        row = {"name": benchmark.name, "group": benchmark.group, "native": native}
        for name in others:
            value, same = ratio(seconds[name], seconds["native"]), outputs[name] == outputs["native"]
            line += f"{value:11.2f} {'×' if same else '!'}"
            row[name] = {"ratio": value, "same": same, "seconds": seconds[name]}
        if champion and row[champion]["same"] and row["qemu"]["same"]:
            row["faster than qemu"] = ratio(seconds["qemu"], seconds[champion])
            line += f"{row['faster than qemu']:10.2f} ×"
        wrong = [name for name in others if not row[name]["same"]]
        print(line + (f"   other result than native: {', '.join(wrong)}" if wrong else ""), flush=True)
        rows.append(row)
    groups = dict.fromkeys(benchmark.group for benchmark in benchmarks)
    return rows + [print_group(group, rows, others, champion) for group in groups]


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="benchmarks, groups and sections; everything when none is given")
    parser.add_argument("--quick", action="store_true", help="few runs of smaller sizes")
    parser.add_argument("--runs", type=int, help="runs of each benchmark in each engine (default 5, quick 2)")
    parser.add_argument(
        "--most", type=float, help="seconds after which an engine is not run again on a benchmark (default 8, quick 0.5)")
    parser.add_argument("--wall", action="store_true", help="wall-clock time instead of processor time")
    parser.add_argument("--subtract", action="store_true", help="subtract each engine's start-up time")
    parser.add_argument(
        "--engines", default="vitrine,qemu", help=f"of {', '.join(measure.VARIANTS)}, qemu; default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args()
    options.runs = options.runs or (2 if options.quick else 5)
    options.most = options.most or (0.5 if options.quick else 8)
    return options


def chosen(options):
    """The benchmarks and sections that were named; all without names."""
    benchmarks = measure.load(FOLDER / "benchmarks.toml", options.quick)
    if not options.names:
        return benchmarks, SECTIONS
    known = set(SECTIONS).union(*({benchmark.name, benchmark.group} for benchmark in benchmarks))
    unknown = [name for name in options.names if name not in known]
    if unknown:
        sys.exit(f"there is no {unknown[0]}; there are {', '.join(sorted(known))}")
    picked = [benchmark for benchmark in benchmarks if {benchmark.name, benchmark.group} & set(options.names)]
    return picked, [name for name in SECTIONS if name in options.names]


def main():
    options = parse()
    measure.prepare()
    benchmarks, parts = chosen(options)
    engines = measure.engines(options.engines.split(","))
    report = {}
    if benchmarks:
        report["table"] = table(benchmarks, engines, options)
    vitrine = next((engines[name] for name in measure.VARIANTS if name in engines), None)
    if "start-up" in parts:
        report["start-up"] = sections.start_up(engines, 60 if options.quick else 300)
    if "servers" in parts:
        report["servers"] = servers.throughput(engines, options.runs, options.quick)
    if "threads" in parts:
        report["threads"] = sections.threads(engines, options.runs, options.quick)
    if "translation" in parts:
        report["translation"] = translation.measured(engines, options.quick)
    if vitrine and "size" in parts:
        report["size"] = sections.size(vitrine)
    if vitrine and "growth" in parts:
        report["growth"] = sections.growth(vitrine, (7, 8) if options.quick else (7, 8, 9))
    if vitrine and "allocations" in parts:
        report["allocations"] = sections.allocations(vitrine)
    if vitrine and "record" in parts:
        report["record"] = recording.measured(vitrine, options.runs, options.quick)
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if None in report.values() else 0


os.environ.pop("LD_PRELOAD", None)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an ordinary end, so that what runs is ended too
sys.exit(main())
