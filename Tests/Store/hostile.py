"""Guests that damage the files that they run from, and code that is another one at the same address the next time: programs that are built
anew, libraries that are replaced, mappings of other files."""

import os
import shutil
import struct

from harness import difference, files, need

# The letters of c/own-file.c: one kind of damage all the time, and all by turns. `l` links to /dev/zero, `f` makes a FIFO, `D` a folder.
DAMAGE = ["t", "h", "p", "g", "d", "l", "f", "D", "j", "o", "thpgdljo", "jogphtd"]


def own_file(harness, letters, options):
    """From a warm store, while the program has its file open; and again, whatever that has left."""
    place = harness.folder(f"own-{letters}-{len(options)}")
    store = place / "store"
    program = harness.compile("own-file.c", place / "program", *options)
    wanted = harness.run([program], place).outcome
    for number in range(2):
        warm = harness.guest(store, [program], place)
    if warm.stored < 500:
        return f"not warm: {warm}"
    for number in range(4):
        run = harness.guest(store, [program, store, letters], place, seconds=60)
        if problem := difference(wanted, run.outcome):
            return f"run {number}: {problem}"
        if number == 0 and not run.stored:
            return "nothing came from the store"
    # Nothing of it stays: at the latest a run that damages nothing makes the file good, unless a folder stands in its place.
    for number in range(3):
        run = harness.guest(store, [program], place)
        if problem := difference(wanted, run.outcome):
            return f"afterwards: {problem}"
    return None if letters == "D" or run.stored > warm.stored // 2 else f"not mended: {run}"


def replace(source, target, how):
    """Puts a program or library in another one's place: the same inode or a new one, the same time or a new one."""
    times = target.stat() if target.exists() else None
    if "same inode" in how and target.exists():
        with open(target, "r+b") as file:
            file.truncate(0)
            file.write(source.read_bytes())
    else:
        shutil.copy(source, target.with_suffix(".new"))
        target.with_suffix(".new").rename(target)
    if "same time" in how and times:
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


WAYS = ["same inode, same time", "same inode, other time", "other inode, same time", "other inode, other time"]


def rebuilt(harness, how, options):
    """The same addresses and lengths, other immediates: what is printed is always the present program's."""
    place = harness.folder("rebuilt-" + how.replace(" ", "") + str(len(options)))
    builds = [harness.compile("rebuilt.c", place / f"build-{value}", f"-DVALUE={value}", *options) for value in (1234567, 7654321, 1234568)]
    if len({build.stat().st_size for build in builds}) != 1:
        return "the builds differ in size"
    program = place / "program"
    for number in range(9):
        build = builds[number * 2 % 3 if number < 6 else number % 3]
        replace(build, program, how)
        native = harness.run([program], place)
        for again in range(2):
            run = harness.guest(place / "store", [program], place)
            if problem := difference(native.outcome, run.outcome):
                return f"{build.name}, run {number}, {again}: {problem}"
        if run.stored < 300:
            return f"nothing came from the store: {run}"
    return None


def replaced_library(harness, how):
    """A library that dlopen finds: replaced between runs; two of them, by turns, at one address."""
    place = harness.folder("library-" + how.replace(" ", ""))
    builds = [harness.compile("library.c", place / f"{value}.so", f"-DVALUE={value}", "-shared", "-fPIC") for value in (123, 321, 222)]
    loader = harness.compile("loader.c", place / "loader")
    library, other = place / "library.so", place / "other.so"
    for number in range(6):
        replace(builds[number % 3], library, how)
        replace(builds[(number + 1) % 3], other, how)
        words = [loader, library, other, library]
        native = harness.run(words, place)
        if b"at the same place again" not in native.output:
            return f"the libraries do not follow each other: {native}"
        for again in range(2):
            run = harness.guest(place / "store", words, place)
            if problem := difference(native.outcome, run.outcome):
                return f"run {number}, {again}: {problem}"
        if run.stored < 500:
            return f"nothing came from the store: {run}"
    return None


def truncated(harness):
    """A library is truncated when its code has run, so that its bytes cannot be read at the end."""
    place = harness.folder("truncated")
    program = harness.compile("truncated.c", place / "program")
    whole = harness.compile("library.c", place / "whole.so", "-DVALUE=5", "-shared", "-fPIC")
    for number in range(3):
        shutil.copy(whole, place / "library.so")
        run = harness.guest(place / "store", [program, place / "library.so"], place)
        if run.code != 7 or run.errors:
            return f"run {number}: {run}"
    return None


def pieces(path, seed):
    """Code for c/mappings.c."""
    path.write_bytes(b"".join(
        (b"\xb8" + struct.pack("<I", (index * 7919 ^ seed) & 0x7fffffff) + b"\xc3").ljust(16, b"\x90") for index in range(256)))


def mappings(harness):
    """Files of code, mapped at the same address in all ways; other contents every time, and the same."""
    place = harness.folder("mappings")
    program = harness.compile("mappings.c", place / "program")
    stored = []
    for number in range(8):
        for index, name in enumerate(("first", "second")):
            pieces(place / name, (number // 2 * 17 + index) * 1001)
        words = [program, place / "first", place / "second"]
        native = harness.run(words, place)
        if native.output.count(b": -1\n") != 2 or native.code:
            return f"natively: {native}"
        run = harness.guest(place / "store", words, place)
        if problem := difference(native.outcome, run.outcome):
            return f"run {number}: {problem}"
        stored.append(run.stored)
    # What is in both files at the same time in one store is one of them: those pieces come back when the contents are the same.
    return None if stored[1] > stored[0] + 500 and stored[7] > 500 else f"blocks from the store: {stored}"


def scripts(harness):
    """A script, and a program as the loader's argument: the file is the interpreter's, whose programs have the same addresses by turns."""
    place = harness.folder("loader")
    loader = need("/lib64/ld-linux-x86-64.so.2")
    builds = [harness.compile("rebuilt.c", place / f"build-{value}", f"-DVALUE={value}") for value in (1234567, 7654321)]
    (place / "script").write_text("#!/bin/sh\necho script $0 $1\nexit 3\n")
    (place / "script").chmod(0o755)
    for number in range(4):
        for words in ([loader, builds[0]], [loader, builds[1]], [place / "script", "word"], [loader, need("busybox"), "echo", "hello"]):
            native = harness.run(words, place)
            run = harness.guest(place / "store", words, place)
            if problem := difference(native.outcome, run.outcome):
                return f"run {number} of {words[-1]}: {problem}"
            if number == 3 and run.stored < 300:
                return f"nothing came from the store: {words[-1]}, {run}"
    return None if len(files(place / "store")) >= 2 else "there is one file"


def options(harness):
    """Runs with other options share a store and do not disturb each other."""
    place = harness.folder("options")
    program = harness.compile("rebuilt.c", place / "program", "-DVALUE=77")
    native = harness.run([program], place)
    chosen = [[], ["--unguarded"], ["--translation-cache", "64"], ["--cpu", "v1"], ["--cpu", "v3"], ["--no-links"], ["--flush-after", "50"],
              ["--count"], ["--engine", "interpreter"], ["--randomize"], ["--no-vdso"], ["--budget", "100000000"], []]
    for number in range(2):
        for words in chosen:
            run = harness.guest(place / "store", [program], place, *words)
            if problem := difference(native.outcome, run.outcome):
                return f"{words}, {number}: {problem}"
    return None if run.stored > 500 and run.translated < 32 else f"at the end: {run}"


def random_addresses(harness):
    """With addresses that are others each time the file does not grow without an end."""
    place = harness.folder("random")
    sizes = []
    for _ in range(8):
        run = harness.guest(place / "store", ["bash", "-c", "exit 3"], place, "--randomize")
        if run.outcome != (3, b"", b""):
            return f"{run}"
        sizes.append(sum(path.stat().st_size for path in files(place / "store")) if (place / "store").exists() else 0)
    return None if sizes[-1] <= 3 * max(sizes[0], 1) else f"bytes in the store, run by run: {sizes}"


def tasks(harness):
    for letters in DAMAGE:
        yield f"hostile: damages its own file, {letters}", lambda letters=letters: own_file(harness, letters, ["-static"])
    yield "hostile: damages its own file, all by turns, dynamic", lambda: own_file(harness, "thpgdlfjo", [])
    for how in WAYS:
        for options_ in (["-static"], []):
            kind = "static" if options_ else "dynamic"
            yield f"hostile: rebuilt, {how}, {kind}", lambda how=how, options_=options_: rebuilt(harness, how, options_)
        yield f"hostile: library replaced, {how}", lambda how=how: replaced_library(harness, how)
    yield "hostile: truncated library", lambda: truncated(harness)
    yield "hostile: mappings", lambda: mappings(harness)
    yield "hostile: scripts and ld.so", lambda: scripts(harness)
    yield "hostile: options", lambda: options(harness)
    yield "hostile: random addresses", lambda: random_addresses(harness)
