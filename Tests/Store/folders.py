"""Which folder it is, what is made in it with which rights, and folders and files that are not taken: then there is no store, nothing is
said of it, and the program does what it does."""

import os
import shutil
import socket
import stat

from harness import ENVIRONMENT, Skipped, difference, files, leftovers, need, only_file

WORDS = ["busybox", "sh", "-c", "echo hello; exit 4"]
WANTED = (4, b"hello\n", b"")
# Any user but this one.
STRANGER = 54321


def state(path):
    """Everything under a path: names, kinds and rights, owners, sizes, times."""
    found = []
    for each in [path, *sorted(path.rglob("*"))]:
        status = each.lstat()
        found.append((str(each), status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns))
    return found


def no_store(harness):
    """`--no-store` takes nothing from a folder that has something, and leaves nothing."""
    place = harness.folder("no-store")
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(place)}
    empty = state(place)
    run = harness.guest(["--no-store"], WORDS, harness.scratch, environment=environment)
    if run.outcome != WANTED or run.stored or state(place) != empty:
        return f"{run}, {state(place)}"
    for _ in range(2):
        run = harness.guest([], WORDS, harness.scratch, environment=environment)
    if run.stored < 300:
        return f"without the option: {run}"
    full = state(place)
    run = harness.guest(["--no-store"], WORDS, harness.scratch, environment=environment)
    return None if run.outcome == WANTED and not run.stored and run.translated >= 300 and state(place) == full else f"{run}"


def default(harness):
    """XDG_CACHE_HOME if it is absolute, or HOME, or none. Where the folder for such things is missing it is not made."""
    place = harness.folder("default")
    home, cache, here = place / "home", place / "cache", place / "here"

    def run(where, has=True, **variables):
        for path in (home, cache, here):
            shutil.rmtree(path, ignore_errors=True)
        there = [home, here] + ([cache, home / ".cache"] if has else [])
        for path in there:
            path.mkdir(mode=0o700)
        # Two runs: the second one has to profit.
        names = {key: value for key, value in ENVIRONMENT.items() if key != "HOME"}
        for _ in range(2):
            answer = harness.guest([], WORDS, here, environment={**names, **variables}, before=lambda: os.umask(0))
        if answer.outcome != WANTED:
            return f"{variables}: {answer}"
        made = [path for path in place.rglob("*") if path not in there]
        if where is None:
            return f"{variables}: there are {made}, {answer.stored} blocks from the store" if made or answer.stored else None
        if answer.stored < 300 or not files(where):
            return f"{variables}: {answer.stored} blocks from the store, {made}"
        for path in made:
            if not (path == where or path in where.parents or path.parent == where):
                return f"{variables}: {path}"
            mode = stat.S_IMODE(path.stat().st_mode)
            if mode != (0o700 if path.is_dir() else 0o600):
                return f"{variables}: {path} has the mode {mode:o}"
        return None

    inHome = home / ".cache/vitrine"
    return (
        run(cache / "vitrine", XDG_CACHE_HOME=str(cache), HOME=str(home))
        or run(cache / "vitrine", XDG_CACHE_HOME=str(cache))
        or run(inHome, HOME=str(home))
        or run(inHome, HOME=str(home), XDG_CACHE_HOME="")
        or run(inHome, HOME=str(home), XDG_CACHE_HOME="relative/cache")
        or run(inHome, HOME=str(home), XDG_CACHE_HOME="cache")
        or run(None, has=False, HOME=str(home)) or run(None, has=False, HOME=str(home), XDG_CACHE_HOME=str(cache))
        or run(None) or run(None, HOME="") or run(None, HOME=".") or run(None, HOME="home", XDG_CACHE_HOME=".")
        or run(None, XDG_CACHE_HOME="../cache")
        or run(None, XDG_CACHE_HOME=str(place / "missing/parents"), HOME=str(home)))


def option(harness):
    """`--store` goes before the environment, may be relative, and wants a word; `--no-store` wants none; the last of both counts."""
    place = harness.folder("option")
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(place / "cache")}
    run = harness.guest(["--store", "mine"], WORDS, place, environment=environment)
    if run.outcome != WANTED or (place / "cache").exists() or stat.S_IMODE((place / "mine").stat().st_mode) != 0o700:
        return f"{run}, {os.listdir(place)}"
    if stat.S_IMODE(only_file(place / "mine").stat().st_mode) != 0o600:
        return "the file's mode"
    for options, stored in ((["--no-store", "--store", "mine"], True), (["--store", "mine", "--no-store"], False)):
        run = harness.guest(options, WORDS, place, environment=environment)
        if run.outcome != WANTED or bool(run.stored) != stored:
            return f"{options}: {run}"
    for options in (["--store", ""], ["--store="], ["--no-store=x"]):
        run = harness.guest(options, WORDS, place, environment=environment)
        if run.code != 125 or b"-store" not in run.errors:
            return f"{options}: {run}"
    return None


def symbolic_link(place):
    (place / "target").mkdir(mode=0o700)
    (place / "store").symlink_to("target")


def strange_owner(place):
    if os.geteuid() != 0:
        raise Skipped("only root can give folders away")
    (place / "store").mkdir(mode=0o700)
    os.chown(place / "store", STRANGER, STRANGER)


def mode(number):
    def make(place):
        (place / "store").mkdir()
        os.chmod(place / "store", number)
    return make


def fifo(place):
    os.mkfifo(place / "store")


REFUSED = {
    "a symbolic link": symbolic_link,
    "somebody else's": strange_owner,
    "writable by the group": mode(0o770),
    "writable by others": mode(0o707),
    "like /tmp": mode(0o1777),
    "a file": lambda place: (place / "store").write_text("text"),
    "a FIFO": fifo,
    "a link that leads nowhere": lambda place: (place / "store").symlink_to("nowhere"),
}


def refused(harness, make):
    place = harness.folder("refused-" + make.__name__.strip("<>") + str(id(make)))
    make(place)
    before = state(place)
    for number in range(2):
        run = harness.guest(place / "store", WORDS, place)
        if run.outcome != WANTED or run.stored or state(place) != before:
            return f"run {number}: {run}, {state(place)}"
    return None


def missing(harness):
    """Places where no folder can be."""
    place = harness.folder("missing")
    before = state(place)
    long = (place / ("x" * 300), place / ("y/" * 3000))
    for path in (place / "a/b/c", "/proc/vitrine-store", "/proc/self/fd", "/dev/null", "/dev/null/x", *long):
        run = harness.guest(["--store", path], WORDS, place)
        if run.outcome != WANTED or run.stored or state(place) != before:
            return f"{str(path)[:60]}: {run}"
    return None


def read_only(harness):
    """A folder that cannot be written is read."""
    place = harness.folder("read-only")
    harness.guest(place / "store", WORDS, place)
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
    prefix = ["unshare", "-m", "/bin/sh", "-c", script, "sh", place / "store"]
    if os.geteuid() != 0 or harness.run([*prefix, "true"], place).code != 0:
        raise Skipped("mount(2) is not permitted here")
    before = state(place)
    for words, wanted, stored in ((WORDS, WANTED, True), (["bash", "-c", "echo hello; exit 4"], WANTED, False)):
        run = harness.run([*prefix, harness.vitrine, "run", "--stats", "--store", place / "store", *words], place)
        if run.outcome != wanted or bool(run.stored) != stored or state(place) != before:
            return f"{words[0]}: {run}"
    return None


def other_users(harness):
    """Another user does not take root's folder, and has files of their own in their own; root does not take theirs."""
    if os.geteuid() != 0:
        raise Skipped("only root can be somebody else")
    need("setpriv")
    prefix = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    place = harness.folder("users")
    os.chmod(harness.scratch, 0o755)
    if harness.run([*prefix, harness.vitrine, "--version"], place).code != 0:
        raise Skipped("another user cannot execute Vitrine here")

    def run(store):
        return harness.run([*prefix, harness.vitrine, "run", "--stats", "--store", store, *WORDS], place)

    mine, theirs = place / "mine", place / "theirs"
    for _ in range(2):
        harness.guest(mine, WORDS, place)
    os.chmod(mine, 0o755)
    for path in files(mine):
        os.chmod(path, 0o644)
    before = state(mine)
    for _ in range(2):
        answer = run(mine)
        if answer.outcome != WANTED or answer.stored or state(mine) != before:
            return f"in root's folder: {answer}"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, STRANGER, STRANGER)
    for _ in range(2):
        answer = run(theirs)
    if answer.outcome != WANTED or answer.stored < 300 or only_file(theirs).stat().st_uid != STRANGER:
        return f"in their own folder: {answer}, {state(theirs)}"
    before = state(theirs)
    answer = harness.guest(theirs, WORDS, place)
    if answer.outcome != WANTED or answer.stored or state(theirs) != before:
        return f"root in their folder: {answer}"
    # The other user's file under the name that root's has: signed with another key.
    shutil.copy(only_file(theirs), only_file(mine))
    answer = harness.guest(mine, WORDS, place)
    return None if answer.outcome == WANTED and not answer.stored else f"root with their file: {answer}"


def listen(path):
    server = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_RDONLY)
    server.bind(f"/proc/self/fd/{here}/{path.name}")
    server.close()
    os.close(here)


def large(path):
    with open(path, "wb") as file:
        file.truncate(100 << 20)


# What stands where the program's file should be, and whether the next run puts a file in its place.
STRANGE_FILES = {
    "a FIFO": (os.mkfifo, True),
    "a socket": (listen, True),
    "a folder": (lambda path: path.mkdir(), False),
    "a link to /dev/zero": (lambda path: path.symlink_to("/dev/zero"), True),
    "a link to itself": (lambda path: path.symlink_to(path.name), True),
    "an empty file": (lambda path: path.write_bytes(b""), True),
    "a file of zeros, too large": (large, True),
}


def strange_file(harness, name):
    make, mends = STRANGE_FILES[name]
    place = harness.folder("strange-" + "".join(filter(str.isalpha, name)))
    store = place / "store"
    harness.guest(store, WORDS, place)
    path = only_file(store)
    path.unlink()
    make(path)
    for number in range(2):
        run = harness.guest(store, WORDS, place, seconds=20)
        if run.outcome != WANTED or leftovers(store) or bool(run.stored) != (mends and number > 0):
            return f"run {number}: {run}, {leftovers(store)}"
    return None


def linked_file(harness):
    """A symbolic link to a good file is not followed."""
    place = harness.folder("linked")
    store = place / "store"
    harness.guest(store, WORDS, place)
    path = only_file(store)
    path.rename(place / "kept")
    path.symlink_to(place / "kept")
    kept = state(place / "kept")
    run = harness.guest(store, WORDS, place)
    if run.outcome != WANTED or run.stored or path.is_symlink() or state(place / "kept") != kept:
        return f"{run}, {state(place)}"
    return None


def tasks(harness):
    yield "folders: --no-store", lambda: no_store(harness)
    yield "folders: by the environment", lambda: default(harness)
    yield "folders: by option", lambda: option(harness)
    for name, make in REFUSED.items():
        yield f"folders: {name}", lambda make=make: refused(harness, make)
    yield "folders: none can be made", lambda: missing(harness)
    yield "folders: read-only", lambda: read_only(harness)
    yield "folders: of other users", lambda: other_users(harness)
    for name in STRANGE_FILES:
        yield f"folders: in place of a file {name}", lambda name=name: strange_file(harness, name)
    yield "folders: in place of a file a link to it", lambda: linked_file(harness)
