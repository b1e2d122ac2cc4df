"""Names of the stubs that lead to other files (`puts@plt`), against those that objdump finds: of system programs and libraries, and of
one program as the linker can make it."""

import re
import shutil
import subprocess

SYSTEM = ["/usr/bin/python3", "/usr/bin/perl", "/usr/bin/git", "/bin/bash", "/usr/bin/gcc", "/lib/x86_64-linux-gnu/libc.so.6",
          "/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/lib64/ld-linux-x86-64.so.2"]
FORMS = [[], ["-fcf-protection", "-Wl,-z,ibtplt"], ["-Wl,-z,now"], ["-no-pie", "-Wl,-z,lazy"], ["-no-pie", "-fno-plt"], ["-static"],
         ["-static-pie"], ["-fuse-ld=gold"], ["-Wl,-z,lazy", "-s"]]
PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
int main(int count, char **words) { void (*end)(int) = exit; printf("%s %f\\n", words[0], sin(count)); end(puts("end") < 0); }
"""


def output(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True).stdout


def expected(file):
    """The name of each address; the form *ABS*+… is what has no name."""
    text = output("objdump", "-d", "--no-show-raw-insn", file)
    return {int(address, 16): name for address, name in re.findall(r"^([0-9a-f]{16}) <([^>*]+@plt)>:", text, re.M)}


def found(vitrine, file):
    """What our listing says of each place that it names."""
    text = ""
    for size, address in re.findall(r"^ *\d+ \.plt\S* +([0-9a-f]+) +([0-9a-f]+)", output("objdump", "-h", file), re.M):
        start = int(address, 16)
        text += output(vitrine, "disassemble", "--range", f"{start}-{start + int(size, 16)}", file)
    return {int(address, 16): name for address, name in re.findall(r"^([0-9a-f]{16}) <(\S+@plt)>:", text, re.M)}


def check(vitrine, folder):
    """The number of checks, and of those that failed."""
    if not shutil.which("objdump"):
        print("left out stubs: no objdump")
        return 0, 0
    source = folder / "stubs.c"
    source.write_text(PROGRAM)
    files = [path for path in SYSTEM if shutil.which(path) or output("file", "-L", path).find("ELF") > 0]
    for number, options in enumerate(FORMS):
        program = folder / f"stubs-{number}"
        made = subprocess.run(["gcc", "-O1", *options, source, "-o", program, "-lm"], capture_output=True)
        if made.returncode == 0:
            files.append(str(program))
        else:
            print(f"left out stubs with {options}: this gcc cannot")
    failures = 0
    for file in files:
        wanted, ours = expected(file), found(vitrine, file)
        if wanted != ours:
            failures += 1
            print(f"FAILED stubs of {file}: {sorted(set(wanted.items()) ^ set(ours.items()))[:6]}")
    return len(files), failures
