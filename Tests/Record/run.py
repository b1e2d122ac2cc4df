#!/usr/bin/env python3
"""Records programs (programs.py) and replays them: standard output, standard error and exit code have to be the same, and every event, all
registers on the way and memory at the end as well (`--strict`, checked by the replay itself, also for children). Then again without
`--strict`, when translated code makes and logs system calls by itself. A replay
runs in an empty folder, without environment, when the folder that the program ran in is gone; what was recorded for a
CPU that the interpreter is too is replayed by the interpreter as well. Then come damaged recordings (damage.py) and checks
of what else is promised (checks.py). The last line is `N passed, M failed`.

    Tests/Record/run.py                    all
    Tests/Record/run.py python redis       cases and checks whose name contains one of the words
    Tests/Record/run.py --damage 5000 --seed 7 damage     more damaged recordings, other ones
    Tests/Record/run.py --keep FOLDER      recordings stay there
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Programs"))
import checks  # noqa: E402
import confinement  # noqa: E402
import damage  # noqa: E402
import tasks  # noqa: E402
from programs import GUESTS, PROGRAMS, V3, Case  # noqa: E402

OUT = tasks.ROOT / "Tests/Guests/.out"
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

    def record(self, case, recording, options):
        folder = self.folder(case.name + ".run")
        for name, text in case.files.items():
            (folder / name).write_text(text)
        words = [self.vitrine, "record", *options, *case.options, "-o", recording, "--", *case.command]
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
        for path in case.needs:
            if not os.path.exists(path):
                raise tasks.Skipped(f"there is no {path}")
        problem = self.difference(case, ["--strict"], ["translator", "interpreter"] if case.on_interpreter else ["translator"])
        if problem:
            return problem
        problem = self.difference(case, [], ["translator"])
        return problem and "not strict: " + problem

    def difference(self, case, options, engines):
        recording = self.scratch / (case.name + ".rec")
        try:
            code, output, errors = self.record(case, recording, options)
            if code is None:
                return f"the recording did not end; {tail(errors)}"
            if code == 125 or not recording.exists():
                return f"cannot record: {tail(errors)}"
            for engine in engines:
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


def main():
    options = tasks.parser(__doc__, 120, damaged="recordings", kept="what is recorded").parse_args()
    vitrine = tasks.prepare()
    with tasks.scratch(options, "record") as folder:
        harness = Harness(vitrine, folder, bool(options.keep))
        every = [(case.name, lambda case=case: harness.problem(case)) for case in [*PROGRAMS, *guest_cases()]]
        every += checks.tasks(harness, OUT)
        every += damage.tasks(harness, OUT, options.damage, options.seed)
        return tasks.run(every, options)


sys.exit(main())
