#!/usr/bin/env python3
"""Runs real programs twice, natively and inside Vitrine, and demands that nobody can tell the difference: the same
standard output, standard error, exit status, screens and files.

    Tests/Programs/run.py                  all cases but those marked big or long
    Tests/Programs/run.py --scale long     really all; `--scale big` leaves out those that take minutes
    Tests/Programs/run.py busybox-text/    cases whose name contains one of the words, of every scale
    Tests/Programs/run.py --options "--engine interpreter"
    VITRINE="qemu-x86_64 -cpu max" …       another engine instead of `.build/release/vitrine run`

The last line is `N passed, M failed`, with skipped cases named before it; the exit code is 1 when a case failed."""

import argparse
import difflib
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cases
import confinement
import execution


SCALES = ("small", "big", "long")


def lines_of(data):
    return data.decode("utf-8", "backslashreplace").splitlines()


def difference(what, native, engine, most=16):
    if native == engine:
        return []
    lines = list(difflib.unified_diff(native, engine, "native " + what, "engine " + what, lineterm="", n=1))
    if not lines:
        lines = [f"{what} differs only in line ends"]
    return lines[:most] + ([f"… {len(lines) - most} more lines"] if len(lines) > most else [])


def compare(native, engine):
    """The differences as lines of text; none when the runs cannot be told apart."""
    report = []
    if engine.timed_out:
        report.append(f"timed out after {engine.seconds:.1f} s (native {native.seconds:.2f} s)")
    if native.status != engine.status:
        report.append(f"status: native {native.status}, engine {engine.status}")
    report += difference("stdout", lines_of(native.output), lines_of(engine.output))
    if native.output != engine.output and not report:
        report.append("stdout differs in line ends")
    errors = engine.errors
    if native.signalled and errors.startswith(native.errors):
        errors = native.errors  # the engine's report about the guest's death follows
    # An unknown call is reported once, between the guest's own lines.
    errors = b"".join(
        line for line in errors.splitlines(True) if not line.startswith(b"vitrine: system call "))
    report += difference("stderr", lines_of(native.errors), lines_of(errors))
    for number, (left, right) in enumerate(zip(native.screens, engine.screens)):
        if left != right:
            report += difference(f"screen {number}", left, right)
            break
    files = [[f"{path}: {facts}" for path, facts in sorted(run.files.items())] for run in (native, engine)]
    return report + difference("files", *files)


def description(case, outcome):
    """What a run did, for whoever writes a case."""
    lines = [f"== {case.name}: {shlex.join(case.words)}", f"status {outcome.status}"]
    lines += lines_of(outcome.output) + ["! " + line for line in lines_of(outcome.errors)]
    lines += [line for screen in outcome.screens[-1:] for line in screen]
    return lines + [f"file {path}: {facts}" for path, facts in sorted(outcome.files.items())]


def skip_unknown_levels(chosen, prefix):
    """Cases that need a --cpu level are skipped where `vitrine run` refuses it; other emulators are not asked."""
    if Path(prefix[0]).name != "vitrine":
        return
    accepted = {}
    for case in chosen:
        if case.can_run and case.level and case.level not in accepted:
            command = prefix + ["--cpu", case.level, str(cases.SYSTEM["busybox"]), "true"]
            accepted[case.level] = subprocess.run(command, capture_output=True).returncode == 0
        if case.can_run and not accepted.get(case.level, True):
            case.obstacle = f"the engine does not offer --cpu {case.level}"


class Runner:
    def __init__(self, prefix, scratch, patience):
        self.prefix = prefix
        self.patience = patience
        self.scratch = scratch
        self.programs = cases.Programs()

    def check(self, case):
        """Runs `case` both ways in the same place. Returns the report and the two times."""
        directory = self.scratch / case.name.replace("/", "-")
        limit = max(60, case.seconds / 2)
        native = execution.run(case, [], self.programs, directory, limit)
        if native.timed_out:  # a busy machine; once more
            native = execution.run(case, [], self.programs, directory, limit)
        if native.timed_out:
            return ["the native run timed out"], native, native
        engine = execution.run(case, self.prefix, self.programs, directory, case.seconds * self.patience, native.screens)
        return compare(native, engine), native, engine


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="run only cases whose name contains one of these")
    parser.add_argument("--options", default="", help="options of `vitrine run`, such as '--engine interpreter'")
    parser.add_argument("--scale", choices=SCALES, default="small", help="the largest cases that are run")
    parser.add_argument("--patience", type=float, default=1, help="what the time limits inside the engine are multiplied by")
    parser.add_argument("--list", action="store_true", help="print the names and end")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--slowest", type=int, default=0, metavar="N", help="print the N slowest cases")
    parser.add_argument("--show", action="store_true", help="print what each case does natively")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    return parser.parse_args()


def main():
    # Under nohup or in the background of a script Ctrl-C would be ignored.
    confinement.restore_ignored()
    options = parse()
    prefix = shlex.split(os.environ.get("VITRINE", ""))
    if not prefix:
        prefix = [str(cases.ROOT / ".build/release/vitrine"), "run"]
    prefix += shlex.split(options.options)
    engine = shutil.which(prefix[0])
    if not engine:
        sys.exit(f"{prefix[0]} is missing; build it with `make build`")
    prefix[0] = os.path.abspath(engine)
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    scratch = Path(tempfile.gettempdir(), f"vitrine-programs-{os.getpid()}")
    runner = Runner(prefix, scratch, options.patience)
    chosen = [
        case for case in cases.load(runner.programs)
        if (any(word in case.name for word in options.words) if options.words
            else SCALES.index(case.scale) <= SCALES.index(options.scale))]
    skip_unknown_levels(chosen, prefix)
    if options.list:
        print("\n".join(case.name for case in chosen))
        return
    passed, failed, timings = 0, 0, []
    begin = time.monotonic()
    runnable = [case for case in chosen if case.can_run]
    with ThreadPoolExecutor(options.jobs) as pool:
        for case, (report, native, engine) in zip(runnable, pool.map(runner.check, runnable)):
            if options.show:
                print("\n".join(description(case, native)))
            timings.append((engine.seconds, native.seconds, case.name))
            if report:
                failed += 1
                print(f"FAILED {case.name}: {shlex.join(case.words)}")
                print("\n".join("    " + line for line in report), flush=True)
            else:
                passed += 1
                if options.verbose:
                    print(f"passed {case.name} ({native.seconds:.2f} s, {engine.seconds:.2f} s)", flush=True)
    shutil.rmtree(scratch, ignore_errors=True)
    for seconds, native_seconds, name in sorted(timings, reverse=True)[: options.slowest]:
        print(f"{seconds:8.2f} s  native {native_seconds:.2f} s  {name}")
    for case in chosen:
        if not case.can_run:
            print(f"skipped {case.name}: {case.obstacle}")
    print(f"programs under `{shlex.join(prefix)}` in {time.monotonic() - begin:.0f} s:")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
