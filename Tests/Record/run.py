#!/usr/bin/env python3
"""Records programs (programs.py) and replays them: standard output, standard error and exit code have to be the same, and every event, all
registers on the way and memory at the end as well (`--strict`, checked by the replay itself, also for children). A replay
runs in an empty folder, without environment, when the folder that the program ran in is gone; what was recorded for a
CPU that the interpreter is too is replayed by the interpreter as well. Then come damaged recordings (damage.py) and checks
of what else is promised (checks.py). The last line is `N passed, M failed`.

    Tests/Record/run.py                    all
    Tests/Record/run.py python redis       cases and checks whose name contains one of the words
    Tests/Record/run.py --damage 5000 --seed 7 damage     more damaged recordings, other ones
    Tests/Record/run.py --keep FOLDER      recordings stay there
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/Programs"))
import checks  # noqa: E402
import confinement  # noqa: E402
import damage  # noqa: E402
from programs import GUESTS, PROGRAMS, V3, Case  # noqa: E402

OUT = ROOT / "Tests/Guests/.out"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": ".", "LC_ALL": "C", "TZ": "UTC0"}


def guest_cases():
    for name, arguments, for_v3 in GUESTS:
        options = list(V3) if for_v3 else []
        yield Case("-".join(["guest", name, *arguments]), [str(OUT / name), *arguments], options, needs=[str(OUT / name)])


def without_own_lines(errors):
    """Standard error without Vitrine's own lines: about unknown calls, and the report about a death, which comes last."""
    lines = []
    for line in errors.splitlines(True):
        if line.startswith(b"guest killed by "):
            break
        if not line.startswith(b"vitrine: "):
            lines.append(line)
    return b"".join(lines)


def tail(data, most=300):
    return data[-most:].decode("utf-8", "backslashreplace")


class Harness:
    def __init__(self, vitrine, scratch, keeps):
        self.vitrine, self.scratch, self.keeps = vitrine, scratch, keeps

    def run(self, words, folder, environment, seconds, confined=False):
        """(exit code, standard output, standard error); the code is None when it did not end in time."""
        prefix = list(confinement.namespaces()) if confined else []
        process = subprocess.Popen(
            prefix + [str(word) for word in words], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=confinement.prepare)
        try:
            output, errors = process.communicate(timeout=seconds)
            return process.returncode, output, errors
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, errors = process.communicate()
            return None, output, errors

    def folder(self, name):
        path = self.scratch / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def record(self, case, recording):
        folder = self.folder(case.name + ".run")
        for name, text in case.files.items():
            (folder / name).write_text(text)
        words = [self.vitrine, "record", "--strict", *case.options, "-o", recording, "--", *case.command]
        answer = self.run(words, folder, ENVIRONMENT, case.seconds, case.confined)
        shutil.rmtree(folder)
        return answer

    def replay(self, case, recording, *options):
        folder = self.folder(case.name + ".empty")
        answer = self.run([self.vitrine, "replay", *options, recording], folder, {}, case.seconds)
        left = os.listdir(folder)
        shutil.rmtree(folder)
        return answer, left

    def problem(self, case):
        """What is wrong; None when nothing is."""
        recording = self.scratch / (case.name + ".rec")
        try:
            code, output, errors = self.record(case, recording)
            if code is None:
                return f"the recording did not end; {tail(errors)}"
            if code == 125 or not recording.exists():
                return f"cannot record: {tail(errors)}"
            for engine in ["translator", "interpreter"] if case.on_interpreter else ["translator"]:
                again, left = self.replay(case, recording, "--engine", engine)
                if again[0] is None:
                    return f"{engine}: the replay did not end; {tail(again[2])}"
                # What the recorder says of a guest's death by a signal is no part of the program's output.
                wanted = code if code >= 0 else 128 - code
                for what, first, second in [
                    ("exit code", wanted, again[0]), ("standard output", output, again[1]),
                    ("standard error", without_own_lines(errors), again[2]),
                ]:
                    if case.mixes and isinstance(first, bytes):
                        first, second = sorted(first.splitlines()), sorted(second.splitlines())
                    if first != second:
                        shown = [tail(one) if isinstance(one, bytes) else one for one in (first, second)]
                        return f"{engine}: {what}: recorded {shown[0]!r}, replayed {shown[1]!r}; {tail(again[2])}"
                if left:
                    return f"{engine}: the replay left files: {left}"
            return None
        finally:
            if not self.keeps:
                recording.unlink(missing_ok=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="only cases and checks whose name contains one of these")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4))
    parser.add_argument("--damage", type=int, default=120, metavar="N", help="so many damaged recordings of each kind")
    parser.add_argument("--seed", type=int, default=1, help="other damage")
    parser.add_argument("--keep", metavar="FOLDER", help="recordings stay in this folder")
    parser.add_argument("--verbose", action="store_true", help="print every case, and how long it took")
    return parser.parse_args()


def main():
    confinement.restore_ignored()
    options = parse()
    vitrine = Path(os.environ.get("VITRINE") or ROOT / ".build/release/vitrine").resolve()
    if not vitrine.exists():
        sys.exit(f"{vitrine} is missing; build it with `make build`")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    scratch = Path(options.keep).resolve() if options.keep else Path(tempfile.mkdtemp(prefix="vitrine-record-"))
    harness = Harness(vitrine, scratch, bool(options.keep))
    scratch.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    tasks, skipped = [], []
    for case in [*PROGRAMS, *guest_cases()]:
        missing = [path for path in case.needs if not os.path.exists(path)]
        if missing:
            skipped.append(f"skipped {case.name}: there is no {missing[0]}")
        else:
            tasks.append((case.name, lambda case=case: harness.problem(case)))
    tasks += checks.tasks(harness, OUT)
    tasks += damage.tasks(harness, OUT, options.damage, options.seed)
    tasks = [task for task in tasks if not options.words or any(word in task[0] for word in options.words)]

    def timed(task):
        start = time.monotonic()
        try:
            return task[1](), time.monotonic() - start
        except (OSError, AssertionError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}", time.monotonic() - start

    passed = failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for (name, _), (problem, seconds) in zip(tasks, pool.map(timed, tasks)):
            if problem:
                failed += 1
                print(f"FAILED {name}: {problem}", flush=True)
            else:
                passed += 1
                if options.verbose:
                    print(f"passed {name} ({seconds:.1f} s)", flush=True)
    if not options.keep:
        shutil.rmtree(scratch, ignore_errors=True)
    for line in skipped:
        print(line)
    print(f"recordings: {len(tasks)} cases in {time.monotonic() - begin:.0f} s")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
