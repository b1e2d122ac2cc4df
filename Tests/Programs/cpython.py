#!/usr/bin/env python3
"""Runs modules of CPython's own regression suite (Debian: libpython3.11-testsuite) twice, natively and inside Vitrine,
and demands the same result of every single test: passed, failed, or skipped with the same reason.

    Tests/Programs/cpython.py                     all modules of cpython.txt
    Tests/Programs/cpython.py test_os test_mmap   these
    Tests/Programs/cpython.py --sample 100        as many as take about 100 seconds, drawn with --seed
    Tests/Programs/cpython.py --measure           all that are installed, to find those for cpython.txt
    Tests/Programs/cpython.py --options "--engine interpreter" test_struct

Each run has namespaces, limits and an empty directory of its own (confinement.py). A module that fails natively, or
reports no test, says nothing and is skipped by name. What differs and does not differ a second time is printed and counted
as `once only`. The last line is `N passed, M failed`; modules are counted, the line before counts tests."""

import argparse
import json
import os
import random
import re
import shlex
import shutil
import sys
import tempfile
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import confinement

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
PYTHON = "/usr/bin/python3"
# Words in a reason or a name that differ between two native runs.
CHANGING = (
    (re.compile(r"0x[0-9a-f]+"), "ADDRESS"),
    (re.compile(r"\b\d+\.\d+(s|\b)"), "NUMBER"),
    (re.compile(r"(process|pid|fd)[ =:]*\d+"), r"\1 NUMBER"),
)


@dataclass
class Tests:
    """What one run of a module came to."""

    status: int
    seconds: float
    timed_out: bool
    output: list
    results: dict = field(default_factory=dict)  # name of a test → passed, failed, skipped: reason

    @property
    def succeeded(self):
        return self.status == 0 and not self.timed_out


def steady(text):
    for pattern, replacement in CHANGING:
        text = pattern.sub(replacement, text)
    return text


def verdict(case):
    """What became of one <testcase>."""
    for kind in ("failure", "error"):
        if case.find(kind) is not None:
            return "failed"
    skipped = case.find("skipped")
    if skipped is not None:
        return "skipped: " + steady((skipped.text or "").strip())
    return case.get("status", "run")


def read_results(path):
    """The verdicts in the JUnit file that regrtest has written. Tests of one name are numbered."""
    results = {}
    if not path.exists():
        return results
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        name, number = steady(case.get("name", "?")), 2
        unique = name
        while unique in results:
            unique, number = f"{name} #{number}", number + 1
        results[unique] = verdict(case)
    return results


class Suite:
    """Runs modules below one scratch directory."""

    def __init__(self, prefix, scratch):
        self.prefix = prefix
        self.scratch = scratch
        self.once_only = []  # modules that differed once, and not again

    def run(self, module, prefix, seconds):
        directory = self.scratch / module  # the same name for both runs: programs print it
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "tmp").mkdir(parents=True)
        report = directory / "report.xml"
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(directory), "TMPDIR": str(directory / "tmp"),
            "LC_ALL": "C.UTF-8", "TZ": "UTC0", "TERM": "vt100", "PYTHONDONTWRITEBYTECODE": "1"}
        command = prefix + [PYTHON, "-m", "test", "--junit-xml", str(report), module]
        result = confinement.run(command, directory, environment, seconds)
        lines = result.output.decode("utf-8", "backslashreplace").splitlines()
        try:
            results = read_results(report)
        except xml.etree.ElementTree.ParseError as error:
            results = {"report.xml": f"cannot be read: {error}"}
        shutil.rmtree(directory, ignore_errors=True)
        # "test_x skipped -- reason": a module that is skipped as a whole.
        for line in lines:
            if re.match(rf"{module} skipped --", line):
                results[module] = steady(line)
        return Tests(result.status, result.seconds, result.timed_out, lines, results)

    def check(self, module, limit):
        """Both runs and what differs, as lines. No lines mean that the runs agree; None that native says nothing."""
        native = self.run(module, [], limit)
        if not native.succeeded:
            native = self.run(module, [], limit)  # a busy machine; once more
        if not native.succeeded or not native.results:
            return None, native, native
        engine = self.run(module, self.prefix, max(60, 15 * native.seconds))
        report = compare(native, engine)
        if report:  # what does not show twice is a matter of time, and of both
            native = self.run(module, [], limit)
            again = self.run(module, self.prefix, max(60, 15 * native.seconds))
            if native.succeeded and not compare(native, again):
                self.once_only.append(module)
                print(f"once only: {module}\n" + "\n".join("    " + line for line in report[:6]), flush=True)
                return [], native, again
        return report, native, engine


def compare(native, engine):
    report = []
    if engine.timed_out:
        report.append(f"timed out after {engine.seconds:.0f} s (native {native.seconds:.1f} s)")
    if native.status != engine.status:
        report.append(f"exit code: native {native.status}, engine {engine.status}")
    for name in sorted(native.results.keys() | engine.results.keys()):
        left, right = native.results.get(name, "absent"), engine.results.get(name, "absent")
        if left != right:
            report.append(f"{name}: native {left}, engine {right}")
    unknown = [line for line in engine.output if line.startswith("vitrine: ")]
    if report:
        report = report[:30] + [line for line in engine.output[-160:] if line.strip()] + unknown[:10]
    return report


def listed():
    """The modules of cpython.txt with the seconds that both runs took together when it was made."""
    found = {}
    for line in (FOLDER / "cpython.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            found[words[0]] = float(words[1])
    return found


def installed():
    import test.libregrtest.runtest as suite
    return [name for name in suite.findtests()]


def sample(modules, seconds, seed, jobs):
    """As many of `modules` as fit into `seconds`, drawn at random but the same for the same seed."""
    names = sorted(modules)
    random.Random(seed).shuffle(names)
    chosen, left = [], seconds * jobs
    for name in names:
        if modules[name] <= min(left, seconds / 4):
            chosen.append(name)
            left -= modules[name]
    return chosen


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="run only these")
    parser.add_argument("--options", default="", help="options of `vitrine run`, such as '--engine interpreter'")
    parser.add_argument("--list", action="store_true", help="print the modules and end")
    parser.add_argument("--sample", type=float, metavar="SECONDS", help="as many modules as take about that long")
    parser.add_argument("--seed", type=int, default=1, help="which ones --sample draws (default 1)")
    parser.add_argument("--measure", action="store_true", help="try all that are installed")
    parser.add_argument("--limit", type=float, default=90, metavar="SECONDS", help="time limit of a native run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", metavar="FILE", help="append a line of JSON for every module")
    return parser.parse_args()


def choose(options):
    if options.modules:
        return options.modules
    if options.measure:
        return installed()
    if options.sample:
        return sample(listed(), options.sample, options.seed, options.jobs)
    return list(listed())


def main():
    options = parse()
    modules = choose(options)
    if options.list:
        print("\n".join(modules))
        return
    if not Path("/usr/lib/python3.11/test/libregrtest").is_dir():
        sys.exit("CPython's tests are missing; Tests/install-packages.sh installs libpython3.11-testsuite")
    prefix = shlex.split(os.environ.get("VITRINE", "")) or [str(ROOT / ".build/release/vitrine"), "run"]
    prefix += shlex.split(options.options)
    os.umask(0o022)
    scratch = Path(tempfile.gettempdir(), f"vitrine-cpython-{os.getpid()}")
    suite = Suite(prefix, scratch)
    passed = failed = tests = 0
    begin, skipped = time.monotonic(), []
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(suite.check, module, options.limit): module for module in modules}
        for future in as_completed(running):
            module, (report, native, engine) = running[future], future.result()
            if options.record:
                with open(options.record, "a") as file:
                    file.write(json.dumps({
                        "module": module, "report": report, "native": native.seconds, "engine": engine.seconds,
                        "tests": len(native.results), "status": native.status, "late": native.timed_out}) + "\n")
            if report is None:
                reason = "late" if native.timed_out else f"status {native.status}" if native.status else "without a result"
                skipped.append(f"skipped {module}: natively {reason}")
                continue
            tests += len(native.results)
            if report:
                failed += 1
                print(f"FAILED {module}")
                print("\n".join("    " + line for line in report), flush=True)
            else:
                passed += 1
                print(f"passed {module}: {len(native.results)} tests ({native.seconds:.1f} s, {engine.seconds:.1f} s)",
                      flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join(skipped))
    print(f"{tests} tests of CPython's under `{shlex.join(prefix)}` in {time.monotonic() - begin:.0f} s:")
    print(f"{len(skipped)} modules skipped, {len(suite.once_only)} different once only {' '.join(suite.once_only)}".rstrip())
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
