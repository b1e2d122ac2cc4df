"""What translating costs: programs whose code runs once, or is made anew for ever (Tests/Guests/worst). Time and memory must
grow in proportion to the code, and memory must not grow with code that is thrown away."""

import re
import statistics

import measure

CHAINS = ["through", "next", "same", "skip", "back", "scattered", "both"]
FOREVER = ["open", "toggle", "twin", "fresh", "beside"]
PIECE = 71441  # bytes of one piece of `worst-cold straight`; a few percent more or less do not matter


def row(label, words, engines, report):
    """Runs one program in each engine, prints time and memory of each, and returns engine → Launch of what succeeded."""
    found = {}
    line = f"{label:26}"
    for name, prefix in engines.items():
        launched = measure.launch(prefix + words)
        good = launched and launched.output == found.get("native", launched).output
        line += f"{launched.processor:10.3f} s{launched.peak:7.1f} MiB" if good else f"{'wrong' if launched else 'failed':>22}"
        if good:
            found[name] = launched
    print(line, flush=True)
    report.append({"name": label} | {
        name: {"seconds": launched.processor, "peak": launched.peak} for name, launched in found.items()})
    return found


def program(kind, *words):
    return [str(measure.GUESTS / f"worst-{kind}")] + [str(word) for word in words]


def cold(engines, runs):
    """Nanoseconds that an instruction costs beyond its native time, when it runs once: the median of `runs` rounds of
    the program with all its code minus the program with none of it, in turn with native."""
    costs = {name: [] for name in engines if name != "native"}
    count = 0
    for _ in range(runs):
        spent = {}
        for name, prefix in engines.items():
            none = measure.launch(prefix + program("cold", "mixed", 0))
            whole = measure.launch(prefix + program("cold", "mixed", 50))
            if none and whole:
                spent[name] = whole.processor - none.processor
                count = int(re.match(rb"\d+", whole.output).group())
        for name in costs:
            if name in spent and count:
                costs[name].append((spent[name] - spent["native"]) / count * 1e9)
    report = {}
    for name, values in costs.items():
        if values:
            report[name] = statistics.median(values)
            print(f"{name}: {report[name]:.0f} ns for an instruction that runs once, of {count:,}")
    return report


def straight(engines, mebibytes, report):
    """One function without branches, of several sizes."""
    figures = {name: [] for name in engines}
    for size in mebibytes:
        copies = max(1, round(size * (1 << 20) / PIECE))
        found = row(f"straight line of {size} MiB", program("cold", "straight", copies), engines, report)
        for name, launched in found.items():
            figures[name].append((size, launched.processor, launched.peak))
    for name, sizes in figures.items():
        if name != "native" and len(sizes) > 1:
            native = {size: peak for size, _, peak in figures["native"]}
            costs = " ".join(f"{seconds / size * 1000:.0f}" for size, seconds, _ in sizes)
            peaks = " ".join(f"{(peak - native.get(size, 0)) / size:.1f}" for size, _, peak in sizes)
            print(f"{name}: {costs} ms for each MiB of straight code; {peaks} MiB of memory beyond native for each")


def chains(engines, counts, report):
    """Chains of conditional jumps of two lengths."""
    for kind in CHAINS:
        growth = {}
        for count in counts:
            for name, launched in row(f"chain {kind} {count}", program("chain", kind, count), engines, report).items():
                growth.setdefault(name, []).append(launched.processor)
        words = [f"{name} {times[-1] / max(times[0], 1e-4):.1f} ×" for name, times in growth.items()
                 if name != "native" and len(times) == len(counts) > 1]
        if words:
            print(f"  {counts[-1] // counts[0]} × the jumps in the time of: {', '.join(words)}")


def forever(engines, counts, report):
    """New code, over and over: the rate, and that memory does not depend on how much there was."""
    for kind in FOREVER:
        rates = {}
        for count in counts:
            found = row(f"new code {kind} {count}", program("forever", kind, count), engines, report)
            rates |= {name: (count / max(launched.processor, 1e-4)) for name, launched in found.items()}
        print("  a second: " + ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items()))


def measured(engines, quick):
    # What was kept of an earlier run would not be translated.
    engines = {name: words + ["--no-store"] if name in measure.VARIANTS else words for name, words in engines.items()}
    print("\ntranslation: processor time and peak of resident memory")
    print(f"{'':26}" + "".join(f"{name:>23}" for name in engines))
    rows = []
    straight(engines, (2, 5) if quick else (10, 25, 50), rows)
    chains(engines, (10000,) if quick else (10000, 100000), rows)
    forever(engines, (4000,) if quick else (100000, 300000), rows)
    return {"rows": rows, "cold": cold(engines, 3 if quick else 9)}
