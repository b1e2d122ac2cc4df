"""What harnesses over recordings share: a count of what holds, and Vitrine with a folder for recordings."""

import json
import re
import subprocess
from pathlib import Path


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, holds, details=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {str(details)[:600]}")


class Machine:
    """Vitrine and a folder for recordings and what is made of them."""

    def __init__(self, vitrine, folder):
        self.vitrine, self.folder = Path(vitrine).resolve(), Path(folder)
        self.recordings = {}

    def run(self, *words, timeout=120, **options):
        return subprocess.run([self.vitrine, *words], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, **options)

    def record(self, name, words, *options):
        """A recording that the interpreter can replay, too; made once."""
        if name not in self.recordings:
            path = self.folder / f"{name}.rec"
            self.run("record", "--cpu", "v3", *options, "-o", path, "--", *words)
            self.recordings[name] = path
        return self.recordings[name]

    def count(self, path):
        """Instructions of the first timeline, as the recording says."""
        listing = self.run("replay", "--list", path).stdout.decode()
        return int(re.search(r"(\d+) instructions", listing)[1])

    def trace(self, path, form, *options):
        """The text of a trace."""
        run = self.run("trace", "--format", form, *options, path)
        if run.returncode != 0:
            raise RuntimeError(f"{form} {options}: {run.returncode} {run.stderr[-300:]}")
        return run.stdout.decode()

    def objects(self, path, commands, *options, words=()):
        """The objects that answer each command, and the exit code. `words`: of a program that is not recorded."""
        run = subprocess.run([self.vitrine, "debug", "--json", "--script", "-", *options, path, *words], input="\n".join(commands) + "\n",
                             capture_output=True, text=True, timeout=300)
        answers = [json.loads(line) for line in run.stdout.splitlines()]
        if len(answers) != len(commands):
            raise RuntimeError(f"{len(answers)} answers to {len(commands)} commands, {run.returncode}: {run.stderr[-500:]}")
        return answers, run.returncode

    def debug(self, path, commands):
        """The lines that answer each command."""
        return [answer.get("lines", []) for answer in self.objects(path, commands)[0]]

    def travel(self, path, commands, *options, words=()):
        """The answers, as (failed, lines) each; and the exit code."""
        answers, code = self.objects(path, commands, *options, words=words)
        return [(not answer["ok"], answer.get("lines") or [answer.get("error", "")]) for answer in answers], code

    def end(self, path):
        """The last instant."""
        answers, _ = self.travel(path, ["seek end", "print instant"])
        return int(answers[1][1][0].split()[2])
