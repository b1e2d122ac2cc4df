"""Sessions of Debian's gdb about recordings. Forwards a recording answers as the machine itself does under `vitrine debug --gdb`;
backwards it answers the same in the opposite order. Each check returns nothing or raises."""

import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from checks import Client, Machine, symbol

BASICS = ("static", "dynamic")
ENGINES = ("translator", "interpreter")


class Debugger:
    """gdb sessions about one program and its recording."""

    def __init__(self, vitrine, out, guest, folder, engine, arguments=()):
        self.vitrine, self.engine, self.program = vitrine, engine, Path(out) / guest
        self.arguments = list(arguments)
        self.recording = Path(folder) / f"{guest}.rec"
        if not self.recording.exists():
            # --cpu v3: for the interpreter, too.
            subprocess.run([vitrine, "record", "--cpu", "v3", "-o", self.recording, self.program, *self.arguments],
                           stdin=subprocess.DEVNULL, capture_output=True, timeout=60)

    def session(self, target, commands, program=True):
        """The answer to each command."""
        words = ["gdb", "-nx", "-q", "--batch"]
        settings = ("pagination off", "confirm off", "width 0", "debuginfod enabled off", "sysroot /", "auto-load off")
        for setting in settings if program else settings[:4]:
            words += ["-ex", f"set {setting}"]
        words += ["-ex", f"target remote | exec {target} 2>/dev/null"]
        for command in commands:
            words += ["-ex", "echo \\n== next\\n", "-ex", command]
        if program:
            words.append(str(self.program))
        answer = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=120,
                                stdin=subprocess.DEVNULL)
        return [normalised(text) for text in answer.stdout.split("\n== next\n")[1:]]

    def live(self, commands):
        words = " ".join(["--cpu v3", "--engine", self.engine, "--gdb", "STDIO", str(self.program), *self.arguments])
        return self.session(f"{self.vitrine} debug {words}", commands)

    def recorded(self, commands, program=True):
        return self.session(f"{self.vitrine} debug --engine {self.engine} --gdb STDIO {self.recording}", commands, program)


def normalised(text):
    lines = [line.rstrip() for line in text.splitlines()
             if line.strip() and not re.match(r"\[(New|Switching|Thread|Inferior)|warning: |Reading |\d+\tin |\d+\t\S+: No such file", line)]
    text = "\n".join(lines)
    text = re.sub(r"Thread \d+\.\d+|Thread \d+ \"[^\"]*\" hit ", "", text)
    # The machine has a vDSO, behind which libraries lie elsewhere, and of which the stack tells; recordings have none.
    text = re.sub(r"^\$\d+ = ", "= ", text, flags=re.M)
    return re.sub(r"0x7edf[bf][0-9a-f]{7}\b|\b1(39499|39500)\d{9}\b", "PLACE", text)


def same(name, wanted, got):
    if wanted != got:
        place = next((i for i, (a, b) in enumerate(zip(wanted, got)) if a != b), min(len(wanted), len(got)))
        raise AssertionError(f"{name}: from {place} on wanted {wanted[place:]!r:.900}, got {got[place:]!r:.900}")


def words(text):
    return text.split()


FORWARDS = """
break add; continue; info registers rip rax rdx eflags cs fs_base; backtrace; info args; finish; next; next; step; step; stepi; stepi 3
x/3i $pc; delete; watch total; continue; continue; delete; break locate; continue; p *p; p total; finish; delete
break factorial if n == 3; continue; backtrace; info args; up; p x; delete
break mean; continue; next; p values[1]; watch sum; continue; continue; info locals; delete
break half; continue; p $mxcsr; p $xmm0.v2_double; p $ymm1.v4_int64; finish; p $fctrl; p $ftag; p $st0; x/s text; p table
advance 53; info symbol $pc; tbreak write; continue; finish; p $rax; p $orig_rax
"""
FORWARDS = [word.strip() for word in FORWARDS.replace("\n", ";").split(";") if word.strip()]


def check_forwards(vitrine, out, folder):
    """The same commands forwards, on the machine and on a recording: the same answers."""
    for kind in BASICS:
        for engine in ENGINES:
            debugger = Debugger(vitrine, out, f"debug-basics-{kind}", folder, engine)
            for command, wanted, got in zip(FORWARDS, debugger.live(FORWARDS), debugger.recorded(FORWARDS), strict=True):
                same(f"{kind} {engine} {command}", wanted, got)


def check_breakpoints(vitrine, out, folder):
    """From the end backwards, breakpoints are met in the opposite order, at the same places and with the same arguments."""
    stops = ["break add", "break locate", "break mean", "break half"]
    look = ["backtrace 1", "info registers rip rsp rdi", "p total"]
    count = 9
    for kind in BASICS:
        for engine in ENGINES:
            debugger = Debugger(vitrine, out, f"debug-basics-{kind}", folder, engine)
            live = debugger.live(["break main", "continue", "delete", *stops, *(["continue", *look] * count)])[7:]
            forwards = [live[place + 1:place + 4] for place in range(0, len(live), 4)]
            assert len({str(stop) for stop in forwards}) == count, forwards
            answers = debugger.recorded(["break main", "continue", "delete", "continue", *stops, *(["reverse-continue", *look] * count),
                                         "reverse-continue", "p $pc"])
            assert "No more reverse-execution history" in answers[3], answers[3]
            backwards = [answers[place + 1:place + 4] for place in range(8, 8 + 4 * count, 4)]
            same(f"{kind} {engine}", forwards[::-1], backwards)
            assert "Breakpoint" in answers[8] and "half" in answers[8], answers[8]
            assert "No more reverse-execution history" in answers[-2], answers[-2]
            assert "_start" in answers[-1], answers[-1]


def check_watchpoints(vitrine, out, folder):
    """Backwards each change is met in front of the instruction that made it, which one step forwards makes again."""
    count = 5
    for engine in ENGINES:
        debugger = Debugger(vitrine, out, "debug-basics-static", folder, engine)
        live = debugger.live(["break main", "continue", "watch total", *(["continue", "p $pc", "p total"] * count)])[3:]
        places = live[1::3]
        changes = [re.findall(r"(Old|New) value = (\d+)", text) for text in live[::3]]
        answers = debugger.recorded(["break mean", "continue", "delete", "watch total",
                                     *(["reverse-continue", "x/i $pc", "stepi", "p $pc", "reverse-stepi"] * count)])[4:]
        for index in range(count):
            stop, instruction, _, place, _ = answers[index * 5:index * 5 + 5]
            wanted = changes[count - 1 - index]
            assert len(wanted) == 2, live
            backwards = re.findall(r"(Old|New) value = (\d+)", stop)
            same("values", [wanted[1][1], wanted[0][1]], [value for _, value in backwards])
            assert "<total>" in instruction, instruction
            same("place", places[count - 1 - index].split("=")[1], place.split("=")[1])


def check_lines(vitrine, out, folder):
    """reverse-next goes over calls: the lines in the opposite order, with the same stack pointer. reverse-step goes into them."""
    steps = 5
    for kind in BASICS:
        debugger = Debugger(vitrine, out, f"debug-basics-{kind}", folder, "translator")
        look = ["info line", "p $rsp", "p found", "p average"]

        def parts(answers):
            return [answers[place:place + 4] for place in range(0, len(answers), 5)]

        begin = ["break 44", "continue", "delete"]
        live = parts(debugger.live([*begin, *((look + ["next"]) * steps)])[3:])
        live = [re.sub(r" and ends at.*|address \S+|\$\d+", "", str(part)) for part in live]
        assert len(set(live)) == steps, live
        answers = debugger.recorded([*begin, *(["next"] * (steps - 1)), *((look + ["reverse-next"]) * steps)])
        back = parts(answers[3 + steps - 1:])
        back = [re.sub(r" and ends at.*|address \S+|\$\d+", "", str(part)) for part in back]
        same(kind, live[::-1], back)
        into = debugger.recorded(["break 43", "continue", "reverse-step", "info symbol $pc", "reverse-finish", "info symbol $pc", "x/i $pc",
                                  "stepi", "stepi 5", "info args"])
        assert "locate" in into[2] and into[3].startswith("locate"), into
        assert into[5].startswith("main") and "locate" in into[6] and "call" in into[6], into


def check_finish(vitrine, out, folder):
    """reverse-finish stops at the call; from there a step leads in again."""
    for engine in ENGINES:
        debugger = Debugger(vitrine, out, "debug-basics-static", folder, engine)
        answers = debugger.recorded(["break add if a == 3", "continue", "p $rsp", "info args", "reverse-finish", "x/i $pc", "stepi",
                                     "info symbol $pc", "p $rsp", "continue", "info args"])
        assert "call" in answers[5] and "<add>" in answers[5], answers[5]
        same("entry", "add", words(answers[7])[0])
        same("arguments", answers[3], answers[10])
        assert "a = 3" in answers[3], answers[3]


def check_steps(vitrine, out, folder):
    """Fifty instructions and back: the same registers at each, over system calls as well."""
    count = 50
    for kind in BASICS:
        debugger = Debugger(vitrine, out, f"debug-basics-{kind}", folder, "translator")
        look = ["info registers rip rax rcx rsp rdi eflags"]
        begin = ["break write", "continue", "delete"]
        live = debugger.live([*begin, *((look + ["stepi"]) * count)])[3::2]
        answers = debugger.recorded([*begin, *((look + ["stepi"]) * count), *((["reverse-stepi"] + look) * count)])[3:]
        # Flags tell of the stack's address.
        plain = [re.sub(r"\neflags.*", "", text) for text in live]
        same(f"{kind} forwards", plain, [re.sub(r"\neflags.*", "", text) for text in answers[:2 * count:2]])
        same(f"{kind} backwards", answers[:2 * count:2][::-1], answers[2 * count + 1::2])


def check_threads(vitrine, out, folder):
    """Threads call a function in turn; backwards in the opposite turn. A step stays in its thread."""
    for engine in ENGINES:
        debugger = Debugger(vitrine, out, "debug-threads-dynamic", folder, engine)
        live = debugger.live(["break work", *(["continue", "p amount", "p counter"] * 6)])[1:]
        wanted = [(words(live[place + 1])[1], words(live[place + 2])[1]) for place in range(0, 18, 3)]
        same("live", [("1", "0"), ("1", "1"), ("2", "2"), ("2", "4"), ("3", "6"), ("3", "9")], wanted)
        answers = debugger.recorded(["break finished", "continue", "p $_inferior_thread_count", "break work",
                                     *(["reverse-continue", "p amount", "p counter"] * 6)])[4:]
        same(engine, wanted[::-1], [(words(answers[place + 1])[1], words(answers[place + 2])[1]) for place in range(0, 18, 3)])
        answers = debugger.recorded(["break work", "continue", "delete", "p $_inferior_thread_count", "p $pc", "stepi", "stepi", "p $_thread",
                                     "reverse-stepi", "reverse-stepi", "p $pc", "p $_thread", "thread apply all backtrace 1"])
        same("threads", "4", words(answers[3])[1])
        same("place", answers[4], answers[10])
        same("thread", answers[7], answers[11])
        assert answers[12].count("#0 ") == 4, answers[12]


def check_ends(vitrine, out, folder):
    """Both ends say so, as often as one asks, and nothing can be changed behind the end."""
    debugger = Debugger(vitrine, out, "debug-basics-static", folder, "translator")
    answers = debugger.recorded(["p $pc", "reverse-stepi", "reverse-continue", "p $pc", "continue", "p $pc", "continue", "stepi", "p $pc",
                                 "set var total = 77", "p total", "set $rax = 1", "print add(1, 2)", "reverse-stepi", "stepi", "p $pc"])
    for place in (1, 2, 4, 6, 7):
        assert "No more reverse-execution history" in answers[place], answers[place]
    same("beginning", answers[0], answers[3])
    for place in (8, 15):
        same("end", answers[5], answers[place])
    assert "Cannot access memory" in answers[9] and words(answers[10])[1] == "35", answers[9:11]
    assert "has ended" in answers[11], answers[11]


def check_timelines(vitrine, out, folder):
    """A variable that is set in the past, a register, and a function that is called there make timelines; each says so."""
    for form in BASICS:
        debugger = Debugger(vitrine, out, f"debug-whatif-{form}", folder, "translator")
        begin = ["break start", "continue", "delete"]
        answers = debugger.recorded([*begin, "set var other_way = 1", "continue", "monitor timelines", "p other_way", "reverse-continue", "p other_way",
                                     "monitor timeline 0", "maintenance flush register-cache", "maintenance flush dcache", "continue",
                                     "monitor timelines"])
        assert "new timeline 1 branches off at instant" in answers[4], answers[4]
        assert "the other way 120" in answers[4] and "value 5" in answers[4] and "ends here with code 41" in answers[4], answers[4]
        assert "* 1  from 0 at instant" in answers[5], answers[5]
        same("changed", words(answers[6])[1], "1")
        same("undone", words(answers[8])[1], "0")
        assert "the other way" not in answers[12] and "* 0" in answers[13], answers[12:]
        # At a breakpoint in the past, after one has gone back to it.
        answers = debugger.recorded(["break use", "continue", "break twice", "reverse-continue", "p number", "set var number = 50", "p number",
                                     "delete", "print twice(4)", "p number", "finish", "continue"])
        same("argument", words(answers[4])[1], "21")
        same("argument", words(answers[6])[1], "50")
        same("call", words(answers[8])[-1], "8")
        same("argument after the call", words(answers[9])[1], "50")
        assert "Value returned is" in answers[10] and "100" in answers[10], answers[10]
        assert "twice: 100" in answers[11] and "value 5" in answers[11], answers[11]
        answers = debugger.recorded([*begin, "set var asks = 1", "continue"])
        assert "does not know: openat(AT_FDCWD, \"/no/such/file\", O_RDONLY)" in answers[4], answers[4]
        answers = debugger.recorded(["break use", "continue", "delete", "set $rip = twice", "set $rdi = 3", "p $rdi", "reverse-stepi", "p $rdi != 3"])
        same("register", words(answers[5])[1], "3")
        same("undone", words(answers[7])[1], "1")


def check_pipe(vitrine, out, folder):
    """Where the recorded program's file was there is a pipe now: nobody waits for it, and the names are those of the recording."""
    program = Path(folder) / "replaced"
    shutil.copy(Path(out) / "debug-basics-static", program)
    debugger = Debugger(vitrine, folder, "replaced", folder, "translator")
    program.unlink()
    os.mkfifo(program)
    answers = debugger.recorded(["break add", "continue"], program=False)
    assert "Breakpoint 1 at" in answers[0] and "add" in answers[1], answers


def check_crash(vitrine, out, folder):
    """A program that a signal has killed stops there, and what spoilt its memory is one command away."""
    debugger = Debugger(vitrine, out, "debug-corruption", folder, "translator")
    answers = debugger.recorded(["continue", "backtrace 2", "continue", "monitor where", "reverse-stepi", "stepi"])
    assert "received signal SIG" in answers[0], answers[0]
    assert "No more reverse-execution history" in answers[2], answers[2]
    assert answers[3].startswith("instant "), answers[3]


def check_commands(vitrine, out, folder):
    """What `monitor` offers: where, seek, last-change."""
    debugger = Debugger(vitrine, out, "debug-basics-static", folder, "translator")
    total = symbol(debugger.program, "total")
    flush = ["maintenance flush register-cache", "maintenance flush dcache"]
    answers = debugger.recorded(["monitor help", "monitor where", "monitor seek end", *flush, "p $pc", f"monitor last-change {total:#x} 4", *flush,
                                 "x/i $pc", "stepi", "p total", "monitor seek 17", "monitor where", "monitor seek start", "monitor where",
                                 "monitor seek", "monitor nonsense", "monitor last-change"])
    assert "monitor seek" in answers[0] and "monitor maps" in answers[0], answers[0]
    assert answers[1].startswith("instant 0,"), answers[1]
    assert "_exit" in answers[5], answers[5]
    assert "<total>" in answers[9], answers[9]
    same("total", "35", words(answers[11])[1])
    assert answers[13].startswith("instant 17,") and answers[15].startswith("instant 0,"), answers[13:16]
    assert "monitor seek N" in answers[16] and "no such command" in answers[17] and "monitor last-change A" in answers[18], answers[16:]


def check_without_files(vitrine, out, folder):
    """Where the program is gone, gdb gets it from the recording, with its names."""
    own = Path(folder) / "elsewhere"
    own.mkdir()
    program = own / "basics"
    program.write_bytes((Path(out) / "debug-basics-dynamic").read_bytes())
    program.chmod(0o755)
    debugger = Debugger(vitrine, own, "basics", folder, "translator")
    program.unlink()
    answers = debugger.recorded(["info sharedlibrary", "break locate", "continue", "backtrace", "continue", "reverse-continue"], program=False)
    assert "libc" not in answers[0] and "ld-linux" in answers[0], answers[0]
    assert "locate" in answers[3] and "main" in answers[3], answers[3]
    assert "locate" in answers[5], answers[5]


def check_core(vitrine, out, folder):
    """A core file of an instant tells gdb what a session that stands there tells: registers, frames, memory, threads, mapped files."""
    look = ["info registers", "backtrace", "p table", "p total", "x/8xg $sp", "info symbol $pc", "p $st0", "p $xmm0.v2_double", "p $mxcsr", "p $ymm3.v4_int64",
            "thread apply all backtrace 3"]
    for guest, place in (("debug-basics-static", "half"), ("debug-basics-dynamic", "mean"), ("debug-threads-dynamic", "work")):
        debugger = Debugger(vitrine, out, guest, folder, "translator")
        answers = debugger.recorded([f"break {place}", "continue", "continue", "reverse-continue", "monitor where", *look])
        instant = re.search(r"instant (\d+)", answers[4])[1]
        core = Path(folder) / "core"
        subprocess.run([vitrine, "core", f"{debugger.recording}@{instant}", "-o", core], check=True, timeout=60)
        command = ["gdb", "-nx", "-q", "--batch", "-ex", "set width 0", "-ex", "set debuginfod enabled off", "-ex", f"core-file {core}"]
        for word in look:
            command += ["-ex", "echo \\n== next\\n", "-ex", word]
        text = subprocess.run([*command, debugger.program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
        parts = [normalised(part) for part in text.split("\n== next\n")[1:]]
        for word, wanted, got in zip(look, answers[5:], parts, strict=True):
            # A core file has no threads' names, and begins with the thread that runs.
            plain = [re.sub(r"^Thread \d+ \(.*", "Thread", re.sub(r"LWP \d+", "", part), flags=re.M) for part in (wanted, got)]
            same(f"{guest} {word}", *(sorted(block.strip() for block in part.split("Thread\n")) for part in plain))
        notes = subprocess.run(["readelf", "-n", core], capture_output=True, text=True, timeout=30).stdout
        for name in ("NT_PRSTATUS", "NT_PRPSINFO", "NT_AUXV", "NT_FILE", "NT_FPREGSET", "NT_X86_XSTATE"):
            assert name in notes, (name, notes)
        mappings = subprocess.run(["gdb", "-nx", "-q", "--batch", "-ex", "info proc mappings", "-ex", "info auxv", "-c", core],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
        assert str(debugger.program) in mappings and "AT_ENTRY" in mappings, mappings
        size = core.stat()
        assert size.st_blocks * 512 < size.st_size, "pages of zeros take room"
    crash = Debugger(vitrine, out, "debug-corruption", folder, "translator")
    subprocess.run([vitrine, "core", crash.recording, "-o", core], check=True, timeout=60)
    text = subprocess.run(["gdb", "-nx", "-q", "--batch", "-ex", "backtrace", crash.program, core], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60).stdout
    assert "terminated with signal SIGSEGV" in text and "main ()" in text, text


class Recording(Machine):
    """A recording that waits for debuggers."""

    def __init__(self, vitrine, recording):
        super().__init__(vitrine, recording)


def check_interrupt(vitrine, out, folder):
    """Ctrl-C breaks off journeys in both directions within 100 ms: the best of five, for a busy machine."""
    recording = Path(folder) / "long.rec"
    subprocess.run([vitrine, "record", "-o", recording, "/usr/bin/perl", "-e", "my $s = 0; $s += $_ % 7 for 1 .. 2_000_000; print $s"],
                   capture_output=True, timeout=120, check=True)
    with Recording(vitrine, recording) as machine:
        client = machine.connect()
        client.socket.settimeout(60)
        assert client.ask("c").startswith(b"T05replaylog:end")
        stack = int.from_bytes(bytes.fromhex(client.ask("p7").decode()), "little")
        # So that the way takes long: a page that is written all the time.
        assert client.ask(f"Z2,{stack - 4096:x},1") == b"OK"
        for command in ("bc", "c"):
            best = 10.0
            for _ in range(5):
                # Within the loop: what comes before it may write there.
                client.ask("qRcmd," + (b"seek 20000000" if command == "c" else b"seek end").hex())
                client.socket.sendall(client.framed(command))
                time.sleep(0.05)
                begin = time.time()
                client.socket.sendall(b"\x03")
                answer = client.packet()
                best = min(best, time.time() - begin)
                assert answer.startswith(b"T02"), (command, answer)
            assert best < 0.1, f"{command}: {best * 1000:.0f} ms"


def check_garbage(vitrine, out, folder):
    """Random packets never end the server, and another debugger finds it well."""
    source = random.Random(11)
    texts = ["bs", "bc", "bx", "b", "vCont;s:p1.1", "vCont;c", "vCont;r400000,500000:1", "Hc0", "Hc1", "Hgp1.-1", "s", "c", "g", "p5", "P0=00",
             "M400000,1:00", "Z2,400000,fffffff", "Z2,4a72e0,4", "z2,4a72e0,4", "Z3,400000,4", "Z0,40161f,1;X3,220127", "qRcmd,7365656b20",
             "qRcmd," + b"seek 99999999999999999999".hex(), "qRcmd," + b"seek 9000000000000000000".hex(), "qRcmd," + b"seek -5".hex(),
             "qRcmd," + b"last-change 0xfffffffffffffff9 8".hex(), "qXfer:memory-map:read::0,100", "vFile:open:2f,0,0", "vFile:pread:1,10,0", "?"]
    debugger = Debugger(vitrine, out, "debug-basics-static", folder, "translator")
    with Recording(vitrine, debugger.recording) as machine:
        client = machine.connect()
        client.ask("QStartNoAckMode")
        client.acknowledges = False
        for number in range(800):
            data = bytearray(source.choice(texts).encode())
            if source.random() < 0.4 and data:
                data[source.randrange(len(data))] = source.randrange(4, 256)
            if data[:1] in (b"k", b"D", b"\x03") or data[:5] == b"vKill":
                continue
            client.socket.sendall(client.framed(bytes(data)))
            if number % 10 == 0:
                client.socket.sendall(b"\x03")
                time.sleep(0.01)
            assert machine.process.poll() is None, f"ended at packet {number}: {bytes(data)!r}"
        client.close()
        client = machine.connect()
        assert client.ask("qC").startswith(b"QC")
        assert b"ReverseStep+;ReverseContinue+" in client.ask("qSupported:swbreak+")
        assert client.ask("D") == b"OK"
        client = machine.connect()
        assert client.ask("bc").startswith(b"T05replaylog:begin")
        assert client.ask("vKill;1") == b"OK"
        assert machine.process.wait(10) == 0


CHECKS = [check_forwards, check_breakpoints, check_watchpoints, check_lines, check_finish, check_steps, check_threads, check_ends, check_timelines, check_pipe, check_crash,
          check_commands, check_core, check_without_files, check_interrupt, check_garbage]


def run_checks(kind, checks, vitrine, out, words):
    """Runs the checks whose name, behind the kind, contains one of the words, or all; yields each name with what was wrong, or None. They
    share a folder for recordings."""
    with tempfile.TemporaryDirectory() as folder:
        for check in checks:
            name = f"{kind}-{check.__name__.removeprefix('check_')}"
            if words and not any(word in name for word in words):
                continue
            try:
                check(str(vitrine), Path(out), Path(folder))
                yield name, None
            except Exception as problem:
                yield name, f"{type(problem).__name__}: {problem}"


def run(vitrine, out, words):
    return run_checks("backwards", CHECKS, vitrine, out, words)
