"""Checks of the remote protocol that need no gdb, or that no native session can be compared with: a client of our own that
speaks packets, well-formed and broken."""

import os
import random
import socket
import subprocess
import time
from pathlib import Path


class Client:
    """A debugger that says what it is told to."""

    def __init__(self, place):
        if isinstance(place, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(place)
        else:
            self.socket = socket.create_connection(("127.0.0.1", place), timeout=10)
        self.socket.settimeout(10)
        self.rest = b""
        self.acknowledges = True

    def byte(self):
        if not self.rest:
            self.rest = self.socket.recv(65536)
            if not self.rest:
                raise EOFError
        first, self.rest = self.rest[:1], self.rest[1:]
        return first

    def packet(self):
        while self.byte() != b"$":
            pass
        data, total = b"", 0
        while (one := self.byte()) != b"#":
            total += one[0]
            if one == b"}":
                escaped = self.byte()
                total += escaped[0]
                one = bytes([escaped[0] ^ 0x20])
            data += one
        checksum = self.byte() + self.byte()
        assert int(checksum, 16) == total % 256, "checksum"
        if self.acknowledges:
            try:
                self.socket.sendall(b"+")
            except BrokenPipeError:
                pass  # The other side has said its last word.
        return data

    @staticmethod
    def framed(data):
        if isinstance(data, str):
            data = data.encode()
        data = b"".join(b"}" + bytes([b ^ 0x20]) if b in b"#$}*" else bytes([b]) for b in data)
        return b"$" + data + b"#%02x" % (sum(data) % 256)

    def ask(self, data):
        self.socket.sendall(self.framed(data))
        return self.packet()

    def close(self):
        self.socket.close()


class Machine:
    """A program under `vitrine debug`."""

    def __init__(self, vitrine, program, *arguments, place=":0", environment=None):
        self.process = subprocess.Popen(
            [vitrine, "debug", "--gdb", place, program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, **(environment or {})})
        line = self.process.stderr.readline()
        assert "waiting for a debugger" in line, line
        self.place = place[5:] if place.startswith("unix:") else int(line.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def connect(self):
        return Client(self.place)


def run_for_a_while(client, seconds):
    """Lets the program run, and stops it by Ctrl-C."""
    client.socket.sendall(client.framed("c"))
    time.sleep(seconds)
    client.socket.sendall(b"\x03")
    assert client.packet().startswith(b"T02")


def symbol(program, name):
    for line in subprocess.run(["nm", program], capture_output=True, text=True).stdout.splitlines():
        if line.split()[-1] == name:
            return int(line.split()[0], 16)
    raise KeyError(name)


def check_interrupt(vitrine, out):
    """Ctrl-C stops a program that computes, and one that sleeps, within 50 ms: the best of five times, for a busy machine."""
    for arguments in ([], ["sleep"]):
        with Machine(vitrine, out / "debug-endless-static", *arguments) as machine:
            client = machine.connect()
            client.ask("?")
            best = 10.0
            for _ in range(5):
                client.socket.sendall(client.framed("c"))
                time.sleep(0.1)
                begin = time.time()
                client.socket.sendall(b"\x03")
                answer = client.packet()
                best = min(best, time.time() - begin)
                assert answer.startswith(b"T02"), answer
            assert best < 0.05, f"{best * 1000:.0f} ms"


def check_detach(vitrine, out):
    """A program runs on without its debugger, and another debugger finds it again, by TCP and by a socket file."""
    program = out / "debug-endless-static"
    for place in (":0", f"unix:{out}/debugger.socket"):
        with Machine(vitrine, program, place=place) as machine:
            client = machine.connect()
            client.ask("?")
            client.ask(f"Z0,{symbol(program, 'main'):x},1")
            assert b"thread" in client.ask("c")
            assert client.ask("D") == b"OK"
            client.close()
            time.sleep(0.2)
            client = machine.connect()
            assert client.ask("?").startswith(b"T05")
            rounds = symbol(program, "rounds")
            first = int.from_bytes(bytes.fromhex(client.ask(f"m{rounds:x},8").decode()), "little")
            assert first > 1000, first
            assert client.ask(f"M{symbol(program, 'stop'):x},4:01000000") == b"OK"
            assert client.ask("c") == b"W04"
            assert machine.process.wait(10) == 4


def check_kill(vitrine, out):
    with Machine(vitrine, out / "debug-endless-static") as machine:
        client = machine.connect()
        client.socket.sendall(client.framed("k"))
        assert machine.process.wait(10) == 137, machine.process.returncode


def check_acknowledgements(vitrine, out):
    """A packet with a wrong checksum is refused; a refused reply comes again; without acknowledgements neither happens."""
    with Machine(vitrine, out / "debug-basics-static") as machine:
        client = machine.connect()
        client.socket.sendall(b"$?#00")
        assert client.byte() == b"-"
        client.socket.sendall(b"$qC#b4")
        assert client.byte() == b"+"
        first = client.packet()
        client.socket.sendall(b"-")
        assert client.packet() == first
        assert client.ask("QStartNoAckMode") == b"OK"
        client.acknowledges = False
        client.socket.sendall(b"$?#00")
        assert client.packet().startswith(b"T05")


def check_memory_unchanged(vitrine, out):
    """A breakpoint does not show in memory, and memory beyond the last page is refused."""
    program = out / "debug-basics-static"
    with Machine(vitrine, program) as machine:
        client = machine.connect()
        place = symbol(program, "add")
        before = client.ask(f"m{place:x},10")
        assert client.ask(f"Z0,{place:x},1") == b"OK"
        assert client.ask("c").startswith(b"T05")
        assert client.ask(f"m{place:x},10") == before
        assert client.ask("m10,4").startswith(b"E")
        assert client.ask("Z0,10,1").startswith(b"E")


def check_transfers(vitrine, out):
    """The target description in pieces is the whole; registers by number are the ones of `g`."""
    with Machine(vitrine, out / "debug-basics-dynamic") as machine:
        client = machine.connect()
        client.ask("qSupported:multiprocess+;swbreak+;hwbreak+;xmlRegisters=i386")
        whole = client.ask("qXfer:features:read:target.xml:0,fff0")
        assert whole[:1] == b"l"
        pieces, offset = b"", 0
        while True:
            part = client.ask(f"qXfer:features:read:target.xml:{offset:x},31")
            pieces += part[1:]
            offset += len(part) - 1
            if part[:1] == b"l":
                break
        assert pieces == whole[1:]
        registers = client.ask("g").decode()
        assert client.ask("p0").decode() == registers[:16]
        assert client.ask("p10").decode() == registers[256:272]
        assert client.ask("qXfer:exec-file:read::0,1000").endswith(b"debug-basics-dynamic")
        assert client.ask("qXfer:features:read:nothing.xml:0,100") == b"E00"
        assert bytes.fromhex(client.ask("qRcmd," + b"help".hex()).decode()).startswith(b"monitor")
        assert b"<thread" in client.ask("qXfer:threads:read::0,1000")


def check_garbage(vitrine, out):
    """Random and truncated packets, valid and invalid checksums: never the end of Vitrine."""
    source = random.Random(5)
    words = [
        "qSupported:x", "Z0,401000,1;X3,220127", "Z2,500000,8", "z2,500000,8", "vCont;r1,2:p1.1", "vFile:open:2f,0,0", "vFile:pread:1,10,0",
        "g", "p5", "P5=00", "m400000,40", "M400000,2:0000", "X400000,2:ab", "qXfer:auxv:read::0,1000", "qXfer:siginfo:write::0:abc",
        "qThreadExtraInfo,1", "Hgp1.-1", "Hc0", "T1", "qRcmd,6d617073", "QPassSignals:e;10;14", "QCatchSyscalls:1;1;2", "qfThreadInfo",
        "qsThreadInfo", "vCont?", "qMemoryRegionInfo:400000", "G00", "vFile:fstat:1", "vFile:readlink:2f", "qSymbol::", "?", "!",
        "QProgramSignals:1", "vMustReplyEmpty", "QCatchSyscalls:0", "Zf,0,0", "qC", "H", "v", "q", "Q", "", "Z", "m", "X", "qXfer:",
    ]
    with Machine(vitrine, out / "debug-basics-static") as machine:
        client = machine.connect()
        for number in range(1500):
            data = bytearray(source.choice(words).encode())
            for _ in range(source.choice((0, 1, 1, 2, 5))):
                if data and source.random() < 0.6:
                    data[source.randrange(len(data))] = source.randrange(256)
                else:
                    data.insert(source.randrange(len(data) + 1), source.randrange(256))
            # What resumes or ends the program is for others.
            if data[:1] in (b"k", b"c", b"s", b"C", b"S", b"D", b"R") or data[:5] in (b"vKill", b"vCont"):
                data[:1] = b"q"
            data = data.replace(b"\x03", b"3")
            frame = client.framed(bytes(data))
            kind = source.random()
            if kind < 0.2:
                frame = frame[: source.randrange(len(frame))]
            elif kind < 0.3:
                frame = bytes(source.randrange(4, 256) for _ in range(source.randrange(40))).replace(b"$", b"%")
            client.socket.sendall(frame)
            if number % 100 == 0:
                client.socket.sendall(b"#00")
                time.sleep(0.01)
            assert machine.process.poll() is None, f"ended at packet {number}: {bytes(data)!r}"
        client.close()
        # Another debugger finds everything in order.
        client = machine.connect()
        assert client.ask("qC").startswith(b"QC")
        client.close()


def check_long_packet(vitrine, out):
    with Machine(vitrine, out / "debug-basics-static") as machine:
        client = machine.connect()
        client.socket.sendall(b"$" + b"m" * 300000 + b"#00")
        assert client.byte() == b"-"
        assert client.ask("qC").startswith(b"QC")


def gdb(vitrine, program, *commands, arguments=""):
    words = ["gdb", "-nx", "-q", "--batch", "-ex", "set debuginfod enabled off", "-ex", "set confirm off"]
    for command in (f"target remote | exec {vitrine} debug --gdb STDIO {program} {arguments} 2>/dev/null", *commands):
        words += ["-ex", command]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL).stdout


def check_no_local_files(vitrine, out):
    """gdb that is given neither the program nor a sysroot finds functions, lines and libraries through the server."""
    text = gdb(vitrine, out / "debug-basics-dynamic", "break locate", "continue", "info sharedlibrary", "backtrace", "continue")
    for word in ("locate (p=0x", "target:", "libc.so.6", "main (argc=1", "exited with code 05"):
        assert word in text, f"{word!r} is missing in {text}"


def check_rewritten_code(vitrine, out):
    """A breakpoint stays where it is when the program writes other code there; natively the program would overwrite it."""
    program = out / "debug-patching-static"
    with Machine(vitrine, program) as machine:
        client = machine.connect()
        client.ask("qSupported:swbreak+")
        run = symbol(program, "run")
        assert client.ask(f"Z0,{run:x},1") == b"OK"
        assert b"swbreak" in client.ask("c")
        place = int.from_bytes(bytes.fromhex(client.ask(f"m{symbol(program, 'place'):x},8").decode()), "little")
        assert client.ask(f"z0,{run:x},1") == b"OK"
        assert client.ask(f"Z0,{place + 5:x},1") == b"OK"
        for number in range(4):
            assert b"swbreak" in client.ask("c")
            assert client.ask("p0") == b"%02x00000000000000" % (10 + number)
            assert client.ask(f"m{place:x},7") == b"b8%02x00000090c3" % (10 + number)
            # Behind the breakpoint, as gdb does it.
            client.ask(f"z0,{place + 5:x},1")
            assert client.ask("s").startswith(b"T05")
            client.ask(f"Z0,{place + 5:x},1")
        assert client.ask("c") == b"W%02x" % 46


def check_busy_page(vitrine, out):
    """Watching a variable beside one that changes all the time costs no more than executing instructions one by one."""
    program = out / "debug-endless-static"
    with Machine(vitrine, program) as machine:
        client = machine.connect()
        client.ask("qSupported:swbreak+")
        rounds = symbol(program, "rounds")
        assert client.ask(f"Z2,{symbol(program, 'stop'):x},4") == b"OK"
        run_for_a_while(client, 1)
        count = int.from_bytes(bytes.fromhex(client.ask(f"m{rounds:x},8").decode()), "little")
        assert count > 20_000, count


def check_unlimited_watchpoints(vitrine, out):
    """Forty watchpoints, one of them half a page large, stop at the right instruction."""
    program = out / "debug-basics-static"
    with Machine(vitrine, program) as machine:
        client = machine.connect()
        client.ask(f"Z0,{symbol(program, 'main'):x},1")
        assert b"thread" in client.ask("c")
        # A breakpoint at the place to go on from would be met again.
        client.ask(f"z0,{symbol(program, 'main'):x},1")
        table = symbol(program, "table")
        for index in range(39):
            assert client.ask(f"Z2,{table + 0x10000 + index * 64:x},8") == b"OK"
        assert client.ask(f"Z2,{table & ~0x7ff:x},800") == b"OK"
        answer = client.ask("c")
        assert b"watch:%x" % (table & ~0x7ff) in answer, answer


def check_waiting_call(vitrine, out):
    """A thread that waits in a call shows it as the kernel does, goes on waiting, and can be sent elsewhere."""
    program = out / "debug-endless-static"
    with Machine(vitrine, program, "sleep") as machine:
        client = machine.connect()
        client.ask("?")
        waits = 0
        # A busy machine needs some time to come to the call.
        for _ in range(20):
            run_for_a_while(client, 0.3)
            if client.ask("p0") == b"00feffffffffffff":
                assert client.ask("p39") == b"2200000000000000"
                waits += 1
                if waits == 2:
                    break
            else:
                assert waits == 0
        assert waits == 2
        # To main, as if without arguments: rdi, rip, and no call to begin again.
        assert client.ask("P5=0100000000000000") == b"OK"
        assert client.ask(f"P10={symbol(program, 'main').to_bytes(8, 'little').hex()}") == b"OK"
        assert client.ask("P39=ffffffffffffffff") == b"OK"
        rounds = 0
        for _ in range(20):
            run_for_a_while(client, 0.3)
            answer = bytes.fromhex(client.ask(f"m{symbol(program, 'rounds'):x},8").decode())
            rounds = int.from_bytes(answer, "little")
            if rounds > 1000:
                break
        assert rounds > 1000, rounds


def check_running_anew(vitrine, out):
    """In extended mode a program runs again, with other arguments, and after it was killed."""
    with Machine(vitrine, out / "debug-basics-static") as machine:
        client = machine.connect()
        assert client.ask("!") == b"OK"
        assert client.ask("c").startswith(b"W05")
        assert client.ask("vRun;;" + b"one".hex()).startswith(b"T05")
        assert client.ask("c").startswith(b"W00")
        assert client.ask("QStartNoAckMode") == b"OK"
        client.acknowledges = False
        assert client.ask("vRun;" + str(out / "debug-signals-static").encode().hex()).startswith(b"T05")
        assert client.ask("vKill;1") == b"OK"
        assert client.ask("vRun;" + str(out / "debug-basics-static").encode().hex()).startswith(b"T05")
        assert client.ask("c").startswith(b"W05")
        client.close()
        assert machine.process.wait(10) == 5


def opened(process):
    """What the descriptors of a process lead to."""
    found = []
    for entry in Path(f"/proc/{process}/fd").iterdir():
        try:
            found.append(str(entry.readlink()))
        except FileNotFoundError:
            pass
    return sorted(found)


def check_descriptors(vitrine, out):
    """A child that the debugger goes over to has one connection and one event, and no listener; files that a debugger opens
    are closed when it says so, and when it leaves."""
    text = str(out / "debug-signals-static").encode().hex()
    with Machine(vitrine, out / "debug-signals-static") as machine:
        client = machine.connect()
        client.ask("qSupported:multiprocess+;fork-events+;vfork-events+")
        assert client.ask("QPassSignals:b;1e;1f") == b"OK"
        before = opened(machine.process.pid)
        assert client.ask(f"vFile:open:{text},0,0") == b"F1"
        assert len(opened(machine.process.pid)) == len(before) + 1
        assert client.ask("vFile:close:1") == b"F0"
        assert opened(machine.process.pid) == before
        assert client.ask(f"vFile:open:{text},0,0") == b"F2"
        answer = client.ask("c")
        assert b"fork:p" in answer, answer
        child = int(answer.split(b"fork:p")[1].split(b".")[0], 16)
        assert client.ask(f"D;{machine.process.pid:x}") == b"OK"
        assert client.ask("qC").startswith(b"QC")
        links = opened(child)
        assert sum("eventfd" in link for link in links) == 1, links
        assert sum(link.startswith("socket:") for link in links) == 1, links
        assert client.ask("vFile:close:2") == b"F0"
        assert len(opened(child)) == len(links) - 1
        assert client.ask("c").startswith(b"W07")


CHECKS = [check_descriptors, check_waiting_call, check_running_anew, check_interrupt, check_detach, check_kill, check_acknowledgements, check_memory_unchanged, check_transfers,
          check_garbage, check_long_packet, check_no_local_files, check_rewritten_code, check_busy_page, check_unlimited_watchpoints]


def run(vitrine, out, words):
    for check in CHECKS:
        name = check.__name__.removeprefix("check_")
        if words and not any(word in name for word in words):
            continue
        try:
            check(str(vitrine), Path(out))
            yield name, None
        except Exception as problem:
            yield name, f"{type(problem).__name__}: {problem}"
