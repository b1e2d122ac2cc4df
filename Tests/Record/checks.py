"""What else is promised of recordings: a replay touches nothing outside, a killed recorder leaves what it has written, children are
listed and can be replayed alone, and wrong words are refused."""

import os
import re
import shutil
import signal
import subprocess
import time

import recording

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
# What a replay may open besides the recording: what Vitrine looks at before any program, and its own memory.
OWN_FILES = re.compile(r"^/(proc/(self|thread-self)/|sys/devices/system/cpu|dev/null)")


class Checks:
    def __init__(self, harness, out):
        self.harness, self.out = harness, out

    def vitrine(self, *words, folder=None, seconds=60):
        return self.harness.run([self.harness.vitrine, *words], folder or self.harness.scratch, ENVIRONMENT, seconds)

    def record(self, folder, *words):
        path = folder / "a.rec"
        return path, self.vitrine("record", "-o", path, *words, folder=folder)

    # MARK: the checks

    def outside(self, folder):
        """strace sees all of a replay of several processes that read and wrote files and asked for the time."""
        if not shutil.which("strace"):
            return None
        (folder / "input").write_text("words\n")
        path, first = self.record(
            folder, "/bin/sh", "-c", "cat input | tr a-z A-Z; date +%N > made; (cat made; exit 3) & wait $!; echo $?; exec cat made")
        (folder / "input").write_text("other words\n")
        (folder / "made").unlink()
        log = folder / "log"
        again = self.harness.run(
            ["strace", "-f", "-qq", "-o", log, "-e", "trace=%file,%network", self.harness.vitrine, "replay", path],
            folder, {}, 120)
        if again[:2] != first[:2]:
            return f"recorded {first}, replayed {again}"
        seen = []
        for line in log.read_text(errors="replace").splitlines():
            call = re.match(r"\d+\s+(\w+)\((?:AT_FDCWD, )?(?:\"([^\"]*)\")?", line)
            if not call or " ENOENT " in line and OWN_FILES.match(call[2] or ""):
                continue
            if call[1] == "execve" and call[2] == str(self.harness.vitrine) or call[2] == str(path):
                continue
            # The Swift runtime looks for its backtracer beside the program.
            if call[1] == "newfstatat" and call[2].startswith(str(self.harness.vitrine.parent)):
                continue
            if call[2] and OWN_FILES.match(call[2]) and "O_WRONLY" not in line and "O_RDWR" not in line:
                continue
            seen.append(line)
        if seen:
            return f"the replay asks the outside: {seen[:5]}"
        return f"the replay left files: {os.listdir(folder)}" if (folder / "made").exists() else None

    def killed(self, folder):
        """What has been printed and is 0.2 s old is in the recording of a killed recorder, and comes out of its replay."""
        path = folder / "a.rec"
        script = "i=0; while :; do i=$((i+1)); echo line $i $(date +%N); done"
        recorder = subprocess.Popen(
            [self.harness.vitrine, "record", "-o", path, "/bin/sh", "-c", script], cwd=folder, env=ENVIRONMENT,
            stdin=subprocess.DEVNULL, stdout=open(folder / "out", "wb"), stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(2)
        early = (folder / "out").read_bytes()
        time.sleep(1.5)
        os.killpg(recorder.pid, signal.SIGKILL)
        recorder.wait()
        whole = (folder / "out").read_bytes()
        # The parent alone, because children are killed anywhere.
        code, output, errors = self.vitrine("replay", "--timeline", "0", path, folder=folder)
        if code != 0 or b"ends here" not in errors:
            return f"code {code}: {errors[-300:]}"
        if not whole.startswith(output):
            return "the replay prints something else"
        if len(output) < len(early) or not early:
            return f"of {len(early)} bytes that were 1.5 s old {len(output)} are replayed"
        code, output, errors = self.vitrine("replay", path, folder=folder)
        return None if code == 0 and b"ends here" in errors else f"with children: code {code}: {errors[-300:]}"

    def children(self, folder):
        path, answer = self.record(folder, "/bin/sh", "-c", "(echo one; exit 4) & wait $!; echo two $?; (echo three) & wait; exit 5")
        code, output, errors = self.vitrine("replay", "--list", path, folder=folder)
        lines = output.decode().splitlines()
        if code != 0 or len(lines) != 3 or "exit code 5" not in lines[0] or "exit code 4" not in lines[1]:
            return f"--list: {code} {output}"
        for number, (code, text) in enumerate([(5, b"two 4\n"), (4, b"one\n"), (0, b"three\n")]):
            alone = self.vitrine("replay", "--timeline", str(number), path, folder=folder)
            if alone[:2] != (code, text):
                return f"--timeline {number}: {alone}"
        quiet = self.vitrine("replay", "--quiet", path, folder=folder)
        return None if quiet == (5, b"", b"") else f"--quiet: {quiet}"

    def others_writes(self, folder):
        """Who wrote a word of shared memory last: another process, or an instruction of this one."""
        path, _ = self.record(folder, self.out / "record-sharing", "forks")

        def debug(*commands):
            words = [word for command in ("seek end", *commands) for word in ("--command", command)]
            code, output, errors = self.vitrine("debug", *words, path, folder=folder)
            return output.decode()

        areas = [line.split("-")[0] for line in debug("maps").splitlines() if " rw-s " in line]
        if not areas:
            return "there is no shared memory"
        # Each child stores its sum behind the eight words that its parent counts in.
        child = debug(f"last-change 0x{areas[0]}+64 8")
        own = debug(f"last-change 0x{areas[0]}+24 8", "step", f"print [0x{areas[0]}+24]")
        return None if "another process is about to change it from 0x0" in child and "is about to change from 0x" in own else child + own

    def divergence(self, folder):
        """A replay that differs says so: a byte of the program's code is another one in the recording."""
        path, answer = self.record(folder, "--strict", self.out / "signals")
        data = path.read_bytes()
        chunks = [(timeline, index, recording.unpack(packed)) for _, timeline, index, _, packed in recording.split(data)]
        message = b"kept"
        changed = [(timeline, index, contents.replace(message, b"Kept")) for timeline, index, contents in chunks]
        if changed == chunks:
            return "the text is not in the recording"
        path.write_bytes(recording.assemble(changed))
        code, output, errors = self.vitrine("replay", path, folder=folder)
        return None if code == 125 and b"the replay differs from the recording: process " in errors else f"code {code}: {errors[-300:]}"

    def child_divergence(self, folder):
        """A child that differs makes the whole replay fail."""
        path, answer = self.record(folder, "--strict", "/bin/sh", "-c", "(echo aardvark; exit 4) & wait $!; exit 5")
        data = path.read_bytes()
        chunks = [(timeline, index, recording.unpack(packed)) for _, timeline, index, _, packed in recording.split(data)]
        # The last event of the child is `end`; in front of its registers' digest stand code, signal and hash. A slow child has several chunks.
        last = max(place for place, (timeline, _, _) in enumerate(chunks) if timeline == 1)
        timeline, index, contents = chunks[last]
        hash_place = contents.rindex(b"\x87") + 6
        chunks[last] = (timeline, index, contents[:hash_place] + bytes([contents[hash_place] ^ 1]) + contents[hash_place + 1:])
        path.write_bytes(recording.assemble(chunks))
        code, output, errors = self.vitrine("replay", path, folder=folder)
        return None if code == 125 and b"a child process" in errors else f"code {code}: {errors[-300:]}"

    def words(self, folder):
        path, _ = self.record(folder, "/bin/true")
        for words, message in [
            (["replay", "/nowhere"], b"cannot open /nowhere"), (["replay", folder], b"is not a recording"),
            (["replay", self.out / "hello"], b"is not a recording"), (["replay", "--timeline", "9", path], b"no timeline 9"),
            (["replay"], b"usage: "), (["replay", "--engine", "none", path], b"unknown engine"),
            (["record", "-o", "/nowhere/x", "/bin/true"], b"cannot write /nowhere/x"),
            (["record", "--budget", "5", "/bin/true"], b"--budget"), (["record", "--seed", "x", "/bin/true"], b"--seed"),
        ]:
            code, output, errors = self.vitrine(*words, folder=folder)
            if code != 125 or message not in errors:
                return f"{words}: code {code}, {errors[-200:]}"
        for words in (["help", "record"], ["help", "replay"], ["record", "--help"], ["replay", "--help"]):
            code, output, errors = self.vitrine(*words, folder=folder)
            if code != 0 or b"vitrine replay" not in output:
                return f"{words}: code {code}"
        return None

    def size(self, folder):
        """A recording is at most a tenth larger than what came from outside: the program's files, what it read, what calls
        answered. (A byte for each thousand instructions more would be allowed.)"""
        noise = folder / "noise"
        noise.write_bytes(os.urandom(4_000_000))
        times = "import time\nfor i in range(200000): time.time()"
        for words, answers in [
            (["/usr/bin/cat", noise], noise.stat().st_size),
            (["/usr/bin/gzip", "-c", noise], noise.stat().st_size),
            # struct timespec.
            (["/usr/bin/python3", "-c", times], 200_000 * 16),
            ([self.out / "kernels-v2", "quicksort", "300000"], 0),
            ([self.out / "hello"], 0),
            # Files are recorded once, however many processes have them.
            (["/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do /usr/bin/cat /dev/null; done"], os.path.getsize("/usr/bin/cat")),
        ]:
            path, (code, _, errors) = self.record(folder, *words)
            if code in (None, 125):
                return f"cannot record {words}: {errors[-300:]}"
            outside = answers + sum(os.path.getsize(one) for one in loaded_files(words[0]))
            if path.stat().st_size > outside * 1.1:
                return f"{words}: {path.stat().st_size} bytes for {outside} from outside"
        return None


def loaded_files(program):
    """The program, its libraries, and the interpreter of both; a static program alone."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return {os.path.realpath(path) for path in [str(program), *re.findall(r"(/\S+) \(0x", listed)]}


def tasks(harness, out):
    checks = Checks(harness, out)
    for name in ("outside", "killed", "children", "others_writes", "divergence", "child_divergence", "words", "size"):
        def task(name=name):
            return getattr(checks, name)(harness.folder("check-" + name))
        yield "check-" + name.replace("_", "-"), task
