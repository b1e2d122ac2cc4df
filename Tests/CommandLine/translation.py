"""What the translator shows of its work, from outside: perf maps, jitdumps, listings. Each test gives one problem or None."""

import os
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "BadInput"))
import image  # noqa: E402
import wild  # noqa: E402

EXIT_0 = b"\x31\xff\xb8\x3c\0\0\0\x0f\x05"
# mov ecx, N; again: dec ecx; jnz again; exit(0)
LOOP = b"\xb9" + struct.pack("<I", 600_000_000) + b"\xff\xc9\x75\xfc" + EXIT_0
# fork(); wait4(-1, 0, 0, 0): the child gets ECHILD; exit(0)
FORK = wild.call(57) + wild.call(61, -1, 0, 0) + EXIT_0
# mov r12d, 8; again: fork(); test eax, eax; jz end; wait4(-1, 0, 0, 0); dec r12d; jnz again; end: exit(0)
WAIT = wild.call(61, -1, 0, 0) + b"\x41\xff\xcc"
ROUND = wild.call(57) + b"\x85\xc0\x74" + bytes([len(WAIT) + 2]) + WAIT
FORKS = b"\x41\xbc" + struct.pack("<I", 8) + ROUND + b"\x75" + bytes([256 - len(ROUND) - 2]) + EXIT_0
# clone(a thread's flags, a stack in the data page); test eax, eax; jz child; again: pause(); jmp again; child: exit_group(0)
CLONE = wild.call(56, 0x50F00, image.DATA + 2048, 0) + b"\x85\xc0"
PAUSE = wild.call(34)
PAUSES = PAUSE + b"\xeb" + bytes([256 - len(PAUSE) - 2])
THREAD = CLONE + b"\x74" + bytes([len(PAUSES)]) + PAUSES + b"\x31\xff\xb8\xe7\0\0\0\x0f\x05"
THREAD_CHILD = len(CLONE) + 2 + len(PAUSES)
# mov r13, [rsp]; add qword [rbx + rcx*4 + 8], 1 in a data page; call over; exit(0); over: ret
BLOCK = (b"\xbb" + struct.pack("<I", image.DATA) + b"\x31\xc9\x4c\x8b\x2c\x24\x48\x83\x44\x8b\x08\x01"
         + b"\xe8\x09\0\0\0" + EXIT_0 + b"\xc3")
CODE = image.BASE + image.PAGE

GUESTS = {
    "loop-named": image.with_sections(LOOP)[0],
    "fork-named": image.with_sections(FORK)[0],
    "forks-named": image.with_sections(FORKS)[0],
    "thread-named": image.with_sections(THREAD)[0],
    "block-named": image.with_sections(BLOCK)[0],
    "block-stripped": image.with_code(BLOCK),
}


def start(words, folder):
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder)
    output, errors = process.communicate(timeout=60)
    return process, output.decode(), errors.decode()


def map_lines(pid):
    path = f"/tmp/perf-{pid}.map"
    with open(path) as file:
        lines = [line.rstrip("\n") for line in file]
    os.unlink(path)
    return lines


def perf_map(vitrine, folder):
    process, _, errors = start([vitrine, "run", "--perf-map", "block-named"], folder)
    if process.returncode != 0 or errors:
        return f"exit code {process.returncode}, {errors[:200]!r}"
    lines = map_lines(process.pid)
    if not all(re.fullmatch(r"[0-9a-f]+ [0-9a-f]+ \S.*", line) for line in lines):
        return f"malformed: {lines}"
    pieces = sorted((int(line.split()[0], 16), int(line.split()[1], 16)) for line in lines)
    if any(first[0] + first[1] > second[0] for first, second in zip(pieces, pieces[1:])):
        return "pieces of code overlap"
    names = {line.split(" ", 2)[2] for line in lines}
    wanted = {"vitrine_common_code", "start", f"start+{hex(len(BLOCK) - 1)}"}
    return None if wanted <= names else f"{wanted - names} are missing in {names}"


def stripped_map(vitrine, folder):
    process, _, _ = start([vitrine, "run", "--perf-map", "block-stripped"], folder)
    names = [line.split(" ", 2)[2] for line in map_lines(process.pid)]
    return None if f"guest_{hex(CODE)}" in names else f"unnamed code: {names}"


def library_names(vitrine, folder):
    """Code of libraries has the libraries' names, in maps and listings."""
    process, _, errors = start([vitrine, "run", "--perf-map", "--dump-translation", "__libc_start_main,nothing", "/bin/cat", "/dev/null"], folder)
    names = [line.split(" ", 2)[2] for line in map_lines(process.pid)]
    if not any(name.startswith("__libc_start_main") for name in names):
        return f"no __libc_start_main in {names}"
    if not re.match(r"translation of 0x[0-9a-f]+ <__libc_start_main>: ", errors) or "vitrine: there is no symbol nothing\n" not in errors:
        return errors[:300] + errors[-100:]
    return None


def forked_maps(vitrine, folder):
    before = set(name for name in os.listdir("/tmp") if re.fullmatch(r"perf-\d+\.map", name))
    process, _, errors = start([vitrine, "run", "--perf-map", "--perf-dump=.", "fork-named"], folder)
    if process.returncode != 0 or errors:
        return f"exit code {process.returncode}, {errors[:200]!r}"
    made = set(name for name in os.listdir("/tmp") if re.fullmatch(r"perf-\d+\.map", name)) - before
    dumps = [name for name in os.listdir(folder) if re.fullmatch(r"jit-\d+\.dump", name)]
    # The child has the parent's standard output until it ends, so its number is one that was in use just now.
    children = [name for name in dumps if name != f"jit-{process.pid}.dump"]
    problem = None
    if len(dumps) != 2 or len(children) != 1:
        problem = f"dumps: {dumps}"
    for name in dumps:
        pid = int(name[4:-5])
        problem = problem or dump_problem(os.path.join(folder, name), pid)
        os.unlink(os.path.join(folder, name))
        if f"perf-{pid}.map" not in made:
            problem = problem or f"no map of {pid}"
        elif not any(" start" in line for line in map_lines(pid)):
            problem = problem or f"the map of {pid} names nothing"
    return problem


def thread_map(vitrine, folder):
    """The code of a further thread, which ends the process, has names, too; and the counters are both threads'."""
    process, _, errors = start([vitrine, "run", "--perf-map", "--stats", "thread-named"], folder)
    names = {line.split(" ", 2)[2] for line in map_lines(process.pid)}
    if process.returncode != 0:
        return f"exit code {process.returncode}, {errors[:200]!r}"
    if f"start+{hex(THREAD_CHILD)}" not in names:
        return f"the thread's code is missing: {names}"
    calls = re.search(r"vitrine: system calls (\d+)", errors)
    return None if calls and int(calls[1]) in (2, 3) else f"system calls: {errors[:400]!r}"


def dump_problem(path, pid):
    """What is wrong with a jitdump file."""
    with open(path, "rb") as file:
        data = file.read()
    magic, version, size, machine, _, owner, _, flags = struct.unpack_from("<IIIIIIQQ", data)
    if (magic, version, size, machine, owner, flags) != (0x4A695444, 1, 40, 62, pid, 0):
        return f"header {(hex(magic), version, size, machine, owner, flags)}"
    place, last, names, kind = 40, 0, [], None
    while place < len(data):
        kind, size, time = struct.unpack_from("<IIQ", data, place)
        if time < last or place + size > len(data):
            return f"record at {place}: time {time}, size {size}"
        last = time
        if kind == 0:
            owner, _, address, code_address, code_size, index = struct.unpack_from("<IIQQQQ", data, place + 16)
            end = data.index(b"\0", place + 56)
            names.append(data[place + 56:end].decode())
            if owner != pid or address != code_address or index != len(names) - 1:
                return f"record {names[-1]}: {owner}, {address:x}, {code_address:x}, {index}"
            if end + 1 + code_size != place + size or code_size == 0:
                return f"record {names[-1]}: {code_size} bytes of code do not fill it"
        place += size
    if kind != 3:
        return f"the last record has the kind {kind}"
    return None if any(name.startswith("start") for name in names) else f"names: {names}"


def perf_dump(vitrine, folder):
    process, _, errors = start([vitrine, "run", "--perf-dump", "block-named"], folder)
    if process.returncode != 0 or errors:
        return f"exit code {process.returncode}, {errors[:200]!r}"
    path = os.path.join(folder, f"jit-{process.pid}.dump")
    problem = dump_problem(path, process.pid)
    os.unlink(path)
    return problem


def listing(vitrine, folder):
    """Every guest instruction of the block, each with host code under it, in 120 columns."""
    process, output, errors = start([vitrine, "run", "--dump-translation", "start", "block-named"], folder)
    if process.returncode != 0 or output:
        return f"exit code {process.returncode}, {output[:200]!r}"
    lines = errors.splitlines()
    if max(map(len, lines)) > 120:
        return f"{max(map(len, lines))} columns"
    block = lines[:lines.index("")]
    if not re.match(r"translation of 0x401000 <start>: \d+ instructions in \d+ bytes; host 0x[0-9a-f]+, ", block[0]):
        return block[0]
    guest = [index for index, line in enumerate(block) if re.match(r"  [0-9a-f]+ ", line)]
    addresses = [int(block[index].split()[0], 16) - CODE for index in guest]
    if addresses[:5] != [0, 5, 7, 11, 17]:
        return f"guest instructions at {addresses}"
    for index in guest:
        if not re.match(r"      [0-9a-f]+ +[0-9a-f]{2}", block[index + 1]):
            return f"no host code under {block[index]!r}"
    for part in (r"^  exit \d+: branch to 0x4010[0-9a-f]{2} <start.*, linked$", r" jmp +0x[0-9a-f]+ <(leave|block start.*)>$"):
        if not re.search(part, errors, re.MULTILINE):
            return f"{part!r} is missing in\n{errors}"
    return None


def listing_by_address(vitrine, folder):
    words = [vitrine, "run", "--dump-translation", f"{hex(CODE + 6)},nothing,0x1234", "--syntax=att", "block-stripped"]
    process, _, errors = start(words, folder)
    if "%r13" not in errors or errors.count("translation of") != 1:
        return errors[:300]
    wanted = "vitrine: there is no symbol nothing\nvitrine: nothing was translated at 0x1234\n"
    return None if errors.endswith(wanted) and process.returncode == 0 else errors[-300:]


def listing_of_flushed(vitrine, folder):
    """Blocks that were forgotten are shown too."""
    words = [vitrine, "run", "--flush-after", "1", "--dump-translation", "start", "block-named"]
    _, _, errors = start(words, folder)
    return None if errors.count("translation of") >= 3 else errors[:300]


def listing_after_fork(vitrine, folder):
    """What the parent translated before the fork is the parent's; what comes after it is listed by both."""
    _, _, errors = start([vitrine, "run", "--dump-translation", "start", "fork-named"], folder)
    first = errors.count("translation of 0x401000 <start>:")
    all_of_them, again = errors.count("translation of"), len(set(re.findall(r"translation of 0x\w+ <start\+", errors)))
    return None if (first, all_of_them) == (1, 2 * again + 1) and again > 0 else errors[:300]


def statistics(vitrine, folder):
    """Numbers that are known beforehand."""
    _, _, errors = start([vitrine, "run", "--stats", "block-named"], folder)
    numbers = dict(re.findall(r"^vitrine: (.*) ([0-9.]+)$", errors, re.MULTILINE))
    known = {"system calls": "1", "faults": "0", "flushes": "0", "invalidations": "0"}
    for name, value in known.items():
        if numbers.get(name) != value:
            return f"{name}: {numbers.get(name)}, not {value}"
    for name in ("blocks", "guest bytes", "host bytes", "translation nanoseconds per instruction", "cache bytes used"):
        if not float(numbers.get(name, "0")) > 0:
            return f"{name}: {numbers.get(name)}"
    ratio = int(numbers["host bytes"]) / int(numbers["translated instructions"])
    if abs(ratio - float(numbers["host bytes per instruction"])) > 0.06:
        return "host bytes per instruction"
    return None


def code_survives_forks(vitrine, folder):
    """Children go on with what the parent has translated. Where the parent translates at that moment they begin anew, which
    happens at the first fork, if at all."""
    process, _, errors = start([vitrine, "run", "--stats", "forks-named"], folder)
    flushes = re.findall(r"^vitrine: flushes (\d+)$", errors, re.MULTILINE)
    if process.returncode != 0 or len(flushes) != 9:
        return errors[-300:]
    return None if flushes.count("0") >= 6 else f"flushes: {flushes}"


def interpreted(vitrine, folder):
    """CPUID has no host form."""
    path = os.path.join(folder, "cpuid")
    with open(path, "wb") as file:
        file.write(image.with_code(b"\x31\xc0\x0f\xa2" * 3 + EXIT_0))
    os.chmod(path, 0o755)
    _, _, errors = start([vitrine, "run", "--stats", path], folder)
    return None if re.search(r"^vitrine: interpreted cpuid 3$", errors, re.MULTILINE) else errors[-300:]


def perf_names(vitrine, folder, words, prepare):
    data = os.path.join(folder, "perf.data")
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "999", "-k", "mono", "-o", data, "--"]
    process = subprocess.run(record + [vitrine, "run", *words, "loop-named"], cwd=folder, capture_output=True, timeout=60)
    if process.returncode != 0:
        return f"perf record: {process.stderr[-200:]!r}"
    if prepare:
        named = os.path.join(folder, "named.data")
        inject = ["perf", "inject", "--jit", "-i", data, "-o", named]
        process = subprocess.run(inject, cwd=folder, capture_output=True, timeout=60)
        if process.returncode != 0:
            return f"perf inject: {process.stderr[-200:]!r}"
        data = named
    report = ["perf", "report", "-i", data, "--stdio", "--sort", "sym", "-g", "none"]
    process = subprocess.run(report, cwd=folder, capture_output=True, text=True, timeout=60)
    share = re.search(r"^ *([0-9.]+)% +\[\.\] +start\b", process.stdout, re.MULTILINE)
    return None if share and float(share.group(1)) > 50 else f"perf report: {process.stdout[:600]}"


def perf_report_map(vitrine, folder):
    return perf_names(vitrine, folder, ["--perf-map"], False)


def perf_report_dump(vitrine, folder):
    return perf_names(vitrine, folder, ["--perf-dump"], True)


def can_sample(folder):
    """Whether perf is there and may sample."""
    if not shutil.which("perf"):
        return False
    probe = os.path.join(folder, "probe.data")
    words = ["perf", "record", "-q", "-e", "cpu-clock", "-k", "mono", "-o", probe, "--", "true"]
    return subprocess.run(words, capture_output=True, timeout=30).returncode == 0


def check(vitrine, folder):
    """(passed, failed)"""
    for name, data in GUESTS.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o755)
    tests = [perf_map, stripped_map, library_names, perf_dump, forked_maps, thread_map, listing, listing_by_address, listing_of_flushed,
             listing_after_fork, code_survives_forks,
             statistics, interpreted]
    if can_sample(folder):
        tests += [perf_report_map, perf_report_dump]
    else:
        print("perf cannot sample here: its files were read, but perf did not read them")
    failures = 0
    for test in tests:
        problem = test(vitrine, folder)
        if problem:
            failures += 1
            print(f"FAILED {test.__name__}: {problem}")
    return len(tests) - failures, failures
