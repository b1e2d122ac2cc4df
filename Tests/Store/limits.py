"""What a guest could notice of the store: limits of files and descriptors, full file systems, roots, signals at the end, and what is
said in /proc. Compared with runs without a store, or with native ones."""

import os
import resource
import shutil
import stat

from harness import Skipped, difference, files, leftovers, need, only_file


def same(harness, place, words, *more, times=2, **options):
    """Runs with a store, empty at first, and without: no difference."""
    wanted = harness.guest(["--no-store"], words, place, *more, **options)
    for number in range(times):
        run = harness.guest(place / "store", words, place, *more, **options)
        if problem := difference(wanted.outcome, run.outcome):
            return f"run {number}: {problem}", run
    return None, run


def file_size(harness):
    """RLIMIT_FSIZE, of the guest's own making and inherited: no signal but the one that the guest's write gets, and no part of a file."""
    place = harness.folder("file-size")
    program = harness.compile("writes.c", place / "program", "-static")
    store = place / "store"
    for limit in (0, 1, 600, 4096, 100000):
        words = [program, place / "written", limit]
        native = harness.run([str(word) for word in words], place)
        for inherited in (False, True):
            before = (lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if inherited else None
            run = harness.guest(store, [str(word) for word in words], place, before=before)
            if problem := difference(native.outcome, run.outcome):
                return f"limit {limit}, inherited {inherited}: {problem}"
            if list(store.iterdir()):
                return f"limit {limit}: there is {list(store.iterdir())}"
    return None


def full_device(harness):
    """A small tmpfs for a store: no file, or a whole one, and nothing left over."""
    if os.geteuid() != 0:
        raise Skipped("mount(2) is for root")
    place = harness.folder("full-device")
    program = harness.compile("own-file.c", place / "program", "-static")
    wanted = harness.run([program], place).outcome
    mount = place / "mount"
    mount.mkdir()
    script = 'mount -t tmpfs -o size=$1,mode=700 none "$2" && shift 2 && "$@"; code=$?; ls "$0"; exit $code'
    for size, has_file in (("4k", False), ("64k", False), ("300k", False), ("64m", True)):
        words = ["unshare", "-m", "/bin/sh", "-c", script, mount, size, mount, harness.vitrine, "run", "--stats", "--store", mount, program]
        run = harness.run(words, place)
        if b"mount:" in run.errors:
            raise Skipped("mount(2) is not permitted here")
        names = run.output.removeprefix(wanted[1]).decode().split()
        if (run.code, run.errors) != (wanted[0], wanted[2]) or len(names) != has_file or any(not name.endswith(".vts") for name in names):
            return f"{size}: {run}"
    return None


def descriptors(harness, is_hard):
    """As many descriptors, with the same numbers, under every limit, be it `is_hard` or could be raised, also when all were closed."""
    place = harness.folder(f"descriptors-{is_hard}")
    program = harness.compile("descriptors.c", place / "program", "-static")
    helper = harness.compile("own-file.c", place / "helper")
    most = 4096 if is_hard else resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (3, 4, 5, 6, 8, 12, 20, 64, 1024):
        def before(limit=limit):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit if is_hard else most))
        for words in ([program], [program, helper]):
            problem, run = same(harness, place, words, times=3, before=before)
            if problem:
                return f"limit {limit}: {problem}"
    # With room it is kept, although all descriptors were closed.
    return None if run.stored > 500 and not leftovers(place / "store") else f"{run}, {leftovers(place / 'store')}"


def roots(harness):
    """A guest in a root of its own, by chroot(2) and by --root: nothing of the store comes to be there. After chroot(2) the store is out of reach."""
    if os.geteuid() != 0:
        raise Skipped("chroot(2) is for root")
    place = harness.folder("roots")
    tree = place / "tree"
    for folder in ("bin", "root/.cache", "cache"):
        (tree / folder).mkdir(parents=True)
    shutil.copy(os.path.realpath(need("busybox")), tree / "bin/busybox")
    if harness.run(["ldd", tree / "bin/busybox"], place).code == 0:
        raise Skipped("busybox is not static")
    before = sorted(tree.rglob("*"))
    words = ["busybox", "chroot", tree, "/bin/busybox", "sh", "-c", "echo inside; /bin/busybox ls /; cd /cache; exec /bin/busybox seq 3"]
    native = harness.run(words, place)
    if native.code != 0:
        raise Skipped("chroot(2) is not permitted here")
    for number in range(3):
        run = harness.guest(place / "store", words, place)
        if problem := difference(native.outcome, run.outcome):
            return f"chroot, run {number}: {problem}"
    for number in range(2):
        run = harness.guest(place / "other", ["/bin/busybox", "ls", "/"], place, "--root", tree, "--env", "XDG_CACHE_HOME=/cache")
        if run.outcome != (0, b"bin\ncache\nproc\nroot\n", b"") or bool(run.stored) != bool(number):
            return f"--root, run {number}: {run}"
    return None if sorted(tree.rglob("*")) == before else f"in the root: {set(tree.rglob('*')) - set(before)}"


def other_user(harness):
    """A guest that becomes somebody else and executes a program: nothing is said, and nobody but the user can read the folder's files."""
    if os.geteuid() != 0:
        raise Skipped("only root can become somebody else")
    place = harness.folder("other-user")
    words = [need("setpriv"), "--reuid=54321", "--regid=54321", "--clear-groups", "bash", "-c", "echo $UID; exit 3"]
    native = harness.run(words, "/")
    for number in range(3):
        run = harness.guest(place / "store", words, "/")
        if problem := difference(native.outcome, run.outcome):
            return f"run {number}: {problem}"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (place / "store").iterdir()}
    return None if native.output == b"54321\n" and modes <= {0o600} else f"{native}, modes {modes}"


def mask(harness):
    """A guest's umask is the guest's: the file can be read by the user."""
    place = harness.folder("mask")
    program = harness.compile("masked.c", place / "program", "-static")
    harness.guest(place / "store", [program], place)
    mode = stat.S_IMODE(only_file(place / "store").stat().st_mode)
    return None if mode == 0o600 else f"the file's mode is {mode:o}"


def late_signals(harness):
    """A signal that comes when the guest has ended finds nobody: not while a file is written either."""
    place = harness.folder("late")
    program = harness.compile("late.c", place / "program", "-static")
    wanted = harness.run([program, "900000"], place).outcome
    late = []
    for number in range(40):
        shutil.rmtree(place / "store", ignore_errors=True)
        words = [program, str(600 + number * 100)]
        run = harness.guest(place / "store", words, place)
        if difference(wanted, run.outcome) and not difference(wanted, harness.guest(["--no-store"], words, place).outcome):
            late.append(int(words[1]))
    # The guest needs far less than a millisecond to its end; but a busy machine can hold it up.
    return f"killed by a signal so many us after the end: {late}" if len(late) > 4 else None


def pending_signals(harness):
    """A blocked signal that comes while a file is written in front of execve(2) stays pending."""
    place = harness.folder("pending")
    program = harness.compile("late.c", place / "program", "-static")
    for number in range(20):
        shutil.rmtree(place / "store", ignore_errors=True)
        words = [program, str(500 + number * 700), need("grep"), "SigBlk", "/proc/self/status"]
        native = harness.run(words, place)
        run = harness.guest(place / "store", words, place)
        if problem := difference((0, native.output, b""), run.outcome):
            return f"after {words[1]} us: {problem}"
    return None


def descriptor_names(harness):
    """The folder's descriptor has no name in /proc by which a guest could go there, from wherever its root is."""
    place = harness.folder("names")
    program = harness.compile("names.c", place / "program", "-static")
    tree = place / "tree"
    (tree / "proc").mkdir(parents=True)
    shutil.copy(program, tree / "program")
    script = 'mount --bind /proc "$0"/proc && exec "$@"'
    chroot = ["unshare", "-m", "/bin/sh", "-c", script, tree]
    guest = [harness.vitrine, "run"]
    cases = {
        "as it is": ([], [program]),
        "--root": ([], ["--root", tree, "/program"]),
        "chroot": (chroot, ["busybox", "chroot", tree, "/program"])}
    if os.geteuid() != 0 or harness.run([*chroot, "true"], place).code != 0:
        del cases["chroot"]
    problems = []
    for name, (prefix, words) in cases.items():
        wanted = harness.run([*prefix, *guest, "--no-store", *words], place)
        run = harness.run([*prefix, *guest, "--store", place / "store", *words], place)
        if problem := difference(wanted.outcome, run.outcome):
            problems.append(f"{name}: {problem}")
    return "; ".join(problems) or (None if files(place / "store") else "nothing is kept")


def relative(harness):
    """A relative folder is one of the host's, also with --root."""
    place = harness.folder("relative")
    tree = place / "tree"
    tree.mkdir()
    shutil.copy(harness.compile("own-file.c", place / "program", "-static"), tree / "program")
    for number in range(2):
        run = harness.guest(["--store", "store"], ["/program"], place, "--root", tree)
        if list(tree.rglob("*.vts")) or not files(place / "store") or bool(run.stored) != bool(number):
            return f"run {number}: in the root are {sorted(path.name for path in tree.iterdir())}, {run}"
    return None


def deaths(harness):
    """A guest that dies by a signal: the same code, and a report that begins alike. (Its process number is in some registers.)"""
    place = harness.folder("deaths")
    for name in ("KILL", "TERM", "SEGV", "ABRT", "HUP"):
        words = ["bash", "-c", f"x=$(seq 5); echo ${{x//3/4}}; kill -{name} $$; echo not here"]
        wanted = harness.guest(["--no-store"], words, place)
        for number in range(2):
            run = harness.guest(place / "store", words, place)
            for answer in (wanted, run):
                answer.errors = answer.errors.partition(b"\n")[0]
            if problem := difference(wanted.outcome, run.outcome):
                return f"{name}, run {number}: {problem}"
    return None


def descriptor_list(harness):
    place = harness.folder("descriptor-list")
    script = "ls -l /proc/self/fd | sed 's/.* [0-9][0-9]:[0-9][0-9] //; s/:\\[[0-9]*\\]//; s/proc.[0-9]*/proc/' | sort\n"
    script += "for i in 0 1 2 3 4 5 6 7 8 9 10 11; do [ -e /proc/self/fd/$i ] && echo $i; done"
    for words in (["busybox", "sh", "-c", script], ["bash", "-c", script]):
        problem, run = same(harness, place, words, times=3)
        if problem:
            return f"{words[0]}: {problem}"
        if run.stored < 300 or b"/dev/null" not in run.output:
            return f"{run}"
    return None


def mapping_list(harness):
    """/proc/self/maps and its kin name neither the folder nor its files, and are the same as without a store."""
    place = harness.folder("mapping-list")
    for file in ("maps", "smaps", "numa_maps", "environ", "cmdline", "limits"):
        problem, run = same(harness, place, ["busybox", "grep", "-v", "^[A-Z].*kB$", f"/proc/self/{file}"], times=3)
        if problem:
            return f"{file}: {problem}"
        if b"vts" in run.output or b"store" in run.output:
            return f"{file}: {run.output}"
    return None


def tasks(harness):
    for is_hard in (False, True):
        yield f"limits: descriptors, {'hard' if is_hard else 'soft'}", lambda is_hard=is_hard: descriptors(harness, is_hard)
    for check in (file_size, full_device, roots, other_user, mask, late_signals, pending_signals, deaths, descriptor_list, descriptor_names, relative, mapping_list):
        yield f"limits: {check.__name__.replace('_', ' ')}", lambda check=check: check(harness)
