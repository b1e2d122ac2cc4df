"""The measurements that are not ratios of run times: start-up, memory, size, cost per guest instruction, allocations."""

import os
import re
import statistics
import struct
import subprocess
from pathlib import Path

import measure


def start_up(engines, runs):
    """A hello world, static and dynamic, started over and over. Wall-clock time from spawn to the end, and peak resident memory."""
    return {kind: start_up_of(kind, options, engines, runs) for kind, options in (("static", ["-static"]), ("dynamic", []))}


def start_up_of(kind, options, engines, runs):
    hello = measure.OUT / f"hello-{kind}"
    if not hello.exists():
        source = '#include <stdio.h>\nint main(void) { puts("hello"); }\n'
        subprocess.run(["gcc", "-O2", *options, "-x", "c", "-", "-o", hello], input=source, text=True, check=True)
    rounds = {name: [] for name in engines}
    for _ in range(10):
        for name, prefix in engines.items():
            launched = measure.launch(prefix + [str(hello)], max(1, runs // 10))
            if launched:
                rounds[name].append(launched)
    print(f"\nstart-up of a {kind} hello world, {runs} runs")
    report = {}
    for name, figures in rounds.items():
        if not figures:
            print(f"{name:12}failed")
            continue
        low = min(figure.least for figure in figures) * 1e3
        middle = statistics.median(figure.median for figure in figures) * 1e3
        over = statistics.median(
            (mine.median - native.median) * 1e3 for mine, native in zip(figures, rounds["native"]))
        peak = max(figure.peak for figure in figures)
        print(f"{name:12}min {low:7.2f} ms   median {middle:7.2f} ms   native + {over:6.2f} ms   peak {peak:6.1f} MiB")
        report[name] = {"min": low, "median": middle, "over native": over, "peak": peak}
    return report


def threads(engines, runs, quick):
    """How much sooner two threads end than one that does the work of both, by wall-clock time: 2 is the most there is."""
    number = str(30_000_000 if quick else 300_000_000)
    factors = {name: [] for name in engines}
    for _ in range(runs):
        for name, prefix in engines.items():
            one, two = (measure.run(prefix + [str(measure.KERNELS), kernel, number]) for kernel in ("work-twice", "work-two"))
            if one.status == two.status == 0 and one.digest == two.digest:
                factors[name].append(one.wall / two.wall)
    print(f"\ntwo busy threads against one, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    report = {name: statistics.median(found) for name, found in factors.items() if found}
    for name in engines:
        print(f"{name:12}{report[name]:6.2f} ×" if name in report else f"{name:12}failed")
    return report


def size(vitrine):
    """The product's size without symbols."""
    stripped = measure.OUT / "stripped"
    subprocess.run(["strip", "-o", stripped, vitrine[0]], check=True)
    bytes = stripped.stat().st_size
    print(f"\nproduct, stripped: {bytes / 1e6:.2f} MB")
    return bytes


def instructions(errors):
    """The count in what `--stats` wrote."""
    match = re.search(r"([\d,_ ]*\d)\s+(?:guest )?instructions|instructions\D{1,12}([\d,_]+)", errors)
    return int(re.sub(r"\D", "", match.group(1) or match.group(2))) if match else None


def with_stats(vitrine, size):
    words = vitrine[:2] + ["--stats"] + vitrine[2:] + [str(measure.KERNELS), "mixing", str(size)]
    result = measure.run(words, keep_errors=True)
    return result, instructions(result.errors)


def per_turn(vitrine):
    """Guest instructions of a turn of `mixing`, and of all around the turns, by an engine that counts: the one that is measured,
    the translator when it counts, or the interpreter. None when there is none."""
    for words in (vitrine, vitrine[:2] + ["--engine", "translator", "--count"], vitrine[:2] + ["--engine", "interpreter"]):
        _, short = with_stats(words, 1000)
        _, long = with_stats(words, 101000)
        if short and long and long > short:
            each = (long - short) / 100000
            return each, short - 1000 * each
    return None


def growth(vitrine, powers):
    """Time per guest instruction of one loop at 10⁷, 10⁸ and 10⁹ instructions."""
    print("\ncost per guest instruction")
    counts = per_turn(vitrine)
    if not counts:
        print("not measured: no engine counts instructions (--stats)")
        return None
    each, around = counts
    report = {}
    for power in powers:
        turns = int(10**power / each)
        result = measure.run(vitrine + [str(measure.KERNELS), "mixing", str(turns)])
        count = int(turns * each + around)
        nanoseconds = result.processor / count * 1e9
        print(f"{count:14,} instructions {result.processor:8.3f} s {nanoseconds:8.3f} ns each")
        report[power] = {"instructions": count, "seconds": result.processor, "nanoseconds": nanoseconds}
    return report


COUNTER = r"""
// Counts the calls of the allocator, in a file that outlives the process however it ends.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
// A page of the program's own: Vitrine reserves the range of addresses in which a mapping of its own would lie.
static union { uint64_t value; char room[4096]; } page __attribute__((aligned(4096)));
static uint64_t *const counter = &page.value;
__attribute__((constructor)) static void begin(void) {
  int file = open(getenv("ALLOCATIONS") ? getenv("ALLOCATIONS") : "", O_RDWR);
  if (file >= 0) mmap(&page, sizeof page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
}
void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t), *__real_aligned_alloc(size_t, size_t);
int __real_posix_memalign(void **, size_t, size_t);
void *__wrap_malloc(size_t n) { ++*counter; return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { ++*counter; return __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { ++*counter; return __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t a, size_t n) { ++*counter; return __real_aligned_alloc(a, n); }
int __wrap_posix_memalign(void **p, size_t a, size_t n) { ++*counter; return __real_posix_memalign(p, a, n); }
"""


def counting_product():
    """The product linked once more from its object files, with an allocator that counts. None when they are not there."""
    modules = [path.name for path in Path(measure.ROOT, "Sources").iterdir() if path.is_dir()]
    objects = [path for name in modules for path in Path(measure.ROOT, f".build/release/{name}.build").rglob("*.o")]
    if not objects:
        return None
    counter, product = measure.OUT / "counter.o", measure.OUT / "counting-vitrine"
    subprocess.run(["gcc", "-O2", "-c", "-x", "c", "-", "-o", counter], input=COUNTER, text=True, check=True)
    wraps = ["malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign"]
    flags = [word for name in wraps for word in ("-Xlinker", f"--wrap={name}")]
    flags += ["-Xlinker", "--gc-sections", "-Xlinker", "--defsym=main=vitrine_main"]  # SwiftPM renames main
    command = ["swiftc", "-static-executable", "-o", product, counter] + objects + flags
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        print(answer.stderr[-2000:])
        return None
    return product


def counted(product, size):
    """How often the product allocated while it ran `mixing` of this size."""
    file = measure.OUT / "allocations"
    file.write_bytes(bytes(4096))
    words = [str(product), "run", str(measure.KERNELS), "mixing", str(size)]
    subprocess.run(words, env={"ALLOCATIONS": str(file)}, stdout=subprocess.DEVNULL, check=True)
    return struct.unpack("<Q", file.read_bytes()[:8])[0]


def allocations(vitrine):
    """Allocations per million guest instructions: the difference between a short and a long run of one loop."""
    if os.environ.get("VITRINE"):
        return {}
    product = counting_product()
    counts = per_turn(vitrine)
    if not product or not counts:
        print("\nallocations: not measured")
        return None
    try:
        first, second = counted(product, 100000), counted(product, 10000000)
    except subprocess.CalledProcessError as error:
        print(f"\nallocations: not measured, the instrumented product ended with {error.returncode}")
        return None
    millions = 9900000 * counts[0] / 1e6
    rate = (second - first) / millions
    print(f"\nallocations: {first} at start-up, then {second - first} in {millions:.0f} million guest instructions"
          f" ({rate:.4f} per million)")
    return {"start-up": first, "per million": rate}
