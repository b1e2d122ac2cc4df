"""Readable names of C++ functions against those of c++filt: thousands of names of the libraries that are there, as labels of a program
whose symbols the debugger lists. Lists have at most 200 lines, so each name gets the number of its group behind a point, as clones have."""

import glob
import re
import shutil
import subprocess

# Files, and the share of names in a thousand that may differ: there is more than one opinion on some.
LIBRARIES = [("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", 1), ("/usr/lib/x86_64-linux-gnu/libLLVM-*.so.1", 2),
             ("/usr/lib/llvm-*/lib/libclang-cpp.so.*", 2), ("/usr/lib/x86_64-linux-gnu/libicui18n.so.*", 2), ("/usr/bin/node", 2)]
GROUP = 200
MOST = 8000

# Names of which nothing in libraries is sure to have some, and what they are called.
OWN = {
    "_ZN4core3fmt9Formatter3pad17h0123456789abcdefE": "core::fmt::Formatter::pad",
    "_ZN51_$LT$core..fmt..Foo$u20$as$u20$core..fmt..Debug$GT$3fmt17h0123456789abcdefE": "<core::fmt::Foo as core::fmt::Debug>::fmt",
    "_RNvMsr_NtCsjrHSEGnQ3l9_3std4pathNtB5_7PathBuf3pop": "<std::path::PathBuf>::pop",
    "_ZZ3fooIiEvT_E1x": "foo<int>(int)::x",
    "_Z1fIJicdEEvDpT_": "f<int, char, double>",
    "_ZN3foo": "_ZN3foo",
    "_ZN1AcvT_IiEEv": "A::operator int<int>",
}


def output(*words, text=""):
    return subprocess.run(words, input=text, capture_output=True, text=True, errors="replace").stdout


def names_of(file):
    """Up to MOST mangled names, evenly out of all. Those with a point have something appended that c++filt leaves out."""
    every = sorted(set(re.findall(r" (_Z[^\s.@]+)(?:@\S+)?$", output("nm", "-D", file), re.M)))
    return every[::max(1, -(-len(every) // MOST))]


def found(vitrine, folder, names):
    """What the debugger calls each of the names."""
    source, program, script = folder / "names.s", folder / "names", folder / "names.script"
    labels = "".join(f'.globl "{name}.g{number // GROUP}g"\n"{name}.g{number // GROUP}g": nop\n' for number, name in enumerate(names))
    source.write_text(f".globl _start\n_start: hlt\n{labels}")
    subprocess.run(["as", source, "-o", folder / "names.o"], check=True)
    subprocess.run(["ld", "-Ttext=0x500000", folder / "names.o", "-o", program], check=True)
    script.write_text("".join(f"symbols .g{group}g\n" for group in range(-(-len(names) // GROUP))))
    text = output(vitrine, "debug", "--script", str(script), str(program))
    lines = re.findall(r"^([0-9a-f]{12}) (?:function|data) +\S+ (.*?)(?:\.g\d+g)$", text, re.M)
    readable = {int(address, 16): name for address, name in lines}
    return [readable.get(0x500001 + number, "") for number in range(len(names))]


def check(vitrine, folder):
    """The number of checks, and of those that failed."""
    missing = [tool for tool in ("c++filt", "nm", "as", "ld") if not shutil.which(tool)]
    if missing:
        print(f"left out names: no {missing[0]}")
        return 0, 0
    failures = 0
    for name, ours in zip(OWN, found(vitrine, folder, list(OWN))):
        if ours != OWN[name]:
            failures += 1
            print(f"FAILED name {name}: {ours}, not {OWN[name]}")
    checks = len(OWN)
    for file, share in [(file, share) for pattern, share in LIBRARIES for file in glob.glob(pattern)[:1]]:
        names = names_of(file)
        if not names:
            print(f"left out names of {file}: it has none")
            continue
        wanted = output("c++filt", "-p", text="".join(name + "\n" for name in names)).splitlines()
        different = [(name, theirs, ours) for name, theirs, ours in zip(names, wanted, found(vitrine, folder, names)) if theirs != ours]
        checks += 1
        if len(wanted) != len(names) or len(different) * 1000 > share * len(names):
            failures += 1
            print(f"FAILED names of {file}: {len(different)} of {len(names)}, as {different[:3]}")
    return checks, failures
