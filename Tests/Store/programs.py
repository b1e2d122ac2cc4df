"""Real programs, three times with a store that is empty at first: what they do is what they do natively, and in the end next to nothing is
translated. (Not the second time: processes of one program that run at once lose each other's blocks, and a compiler's are too many for
one file at first.) Then threads and subshells that share a warm store, and how often its file is written."""

import re
import shutil
import time

from harness import ENVIRONMENT, ROOT, Skipped, difference, files, leftovers, need, only_file
from watch import Watch

OUT = ROOT / "Tests/Guests/.out"

COMPILED = r"""
#include <stdio.h>
#include <string.h>
struct pair { int key; double value; };
static int compare(const struct pair *a, const struct pair *b) { return (a->key > b->key) - (a->key < b->key); }
int main(void) {
  struct pair pairs[9];
  for (int i = 0; i < 9; i++) pairs[i] = (struct pair){i * 7 % 9, i / 3.0};
  for (int i = 0; i < 8; i++)
    for (int j = i + 1; j < 9; j++)
      if (compare(&pairs[i], &pairs[j]) > 0) { struct pair t = pairs[i]; pairs[i] = pairs[j]; pairs[j] = t; }
  for (int i = 0; i < 9; i++) printf("%d %.3f\n", pairs[i].key, pairs[i].value);
  return (int)strlen("nine");
}
"""
PYTHON = """
import collections, decimal, hashlib, json, math, random, re, struct, sys, zlib
random.seed(7)
words = [''.join(random.choice('abcde') for _ in range(4)) for _ in range(500)]
print(collections.Counter(words).most_common(3), decimal.Decimal(2).sqrt(), math.erf(0.3))
print(hashlib.sha256(zlib.compress(json.dumps(words).encode())).hexdigest(), re.findall('a(b+)', ' '.join(words))[:5])
print(struct.pack('<dI', 1.5, 7), sorted(words)[::99])
sys.exit(9)
"""
PERL = r"""
my %h; $h{$_ % 7} .= chr(97 + $_ % 26) for 1 .. 500;
print map { "$_ " . reverse($h{$_}) . "\n" } sort keys %h;
my $t = join ' ', map { $h{$_} } sort keys %h;
my $n = () = $t =~ /([aeiou])[^aeiou]*\1/g; printf "%d %.6g %s\n", $n, exp(2.5), sprintf("%b", 12345);
print pack("A3 n N", "perl", 1, 2), "\n"; exit 5;
"""
SQL = """
create table t(a integer primary key, b text, c real);
with recursive n(i) as (values(1) union all select i + 1 from n where i < 900)
insert into t select i, printf('%05d', i * 7919 % 1000), i / 7.0 from n;
create index tb on t(b);
select b, count(*), round(sum(c), 3) from t group by substr(b, 3) order by 1 limit 7;
select group_concat(a) from (select a from t where b like '%77%' order by b desc limit 9);
"""
GIT = """
git init -q -b one . && echo first > file && git add file && git commit -q -m first
echo second >> file && git commit -q -a -m second && git checkout -q -b two HEAD~1 && echo other > other
git add other && git commit -q -m other && git merge -q --no-edit one
git log --graph --format='%h %s' && git show --stat HEAD~1 && git fsck
"""
BASH = r"""
declare -A table; for i in {1..60}; do table[$((i % 7))]+=" $i"; done
for key in "${!table[@]}"; do printf '%s:%q\n' "$key" "${table[$key]}"; done | sort
x=$(seq 20 | while read n; do (( n % 3 )) || echo -n "$n,"; done); [[ $x =~ ,(1.), ]] && echo "${BASH_REMATCH[1]} ${x//,/;}"
(exit 4) || echo "left with $?"; trap 'echo trapped' EXIT; exit 6
"""
SHELL = r"""
seq 300 | sort -r | md5sum; ls -l /etc/passwd | cut -c1-10; date -u -d @86400
printf '%s\n' b a c | sort | uniq -c | tr a-c x-z; factor 1234567; exit 3
"""
APPLETS = "echo a b | sed s/a/c/; expr 3 + 4; seq 9 | awk '{ s += $1 } END { print s }'; exit 3"

# Name, words, files, and how many programs' files have to be in the store at least.
CASES = [
    ("busybox", ["busybox", "sh", "-c", APPLETS], {}, 1),
    ("bash", ["bash", "script"], {"script": BASH}, 2),
    ("coreutils", ["bash", "-c", SHELL], {}, 7),
    ("perl", ["perl", "script"], {"script": PERL}, 1),
    ("python", ["python3", "script"], {"script": PYTHON}, 1),
    ("sqlite", ["sqlite3", ":memory:", SQL], {}, 1),
    ("gcc", ["gcc", "-O2", "program.c", "-o", "program"], {"program.c": COMPILED}, 4),
    ("git", ["bash", "-c", GIT], {}, 2),
]
GIT_ENVIRONMENT = {
    **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER")
       for what, value in (("NAME", "Anna"), ("EMAIL", "anna@example.org"), ("DATE", "2024-05-06T07:08:09Z"))},
    "GIT_CONFIG_NOSYSTEM": "1"}


def contents(folder):
    """What a program left: files with their contents; what is git's own only by name."""
    return {str(path.relative_to(folder)): path.read_bytes() if ".git/" not in str(path) and path.is_file() else None
            for path in folder.rglob("*") if "/.git/index" not in str(path)}


def real(harness, name, words, given, least):
    need(words[0])
    environment = {**ENVIRONMENT, **(GIT_ENVIRONMENT if name == "git" else {})}
    place = harness.folder("real-" + words[0] + name[:3])
    store = place / "store"
    folder = place / "run"

    def fresh():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file, text in given.items():
            (folder / file).write_text(text)

    fresh()
    native = harness.run(words, folder, environment=environment)
    wanted = contents(folder)
    first = None
    for number in (1, 2, 3):
        fresh()
        run = harness.guest(store, words, folder, environment=environment, seconds=300)
        if problem := difference(native.outcome, run.outcome):
            return f"run {number}: {problem}"
        left = contents(folder)
        if left != wanted:
            return f"run {number}: other files: {[name for name in {*left, *wanted} if left.get(name) != wanted.get(name)][:5]}"
        if number == 1:
            first = run
            if run.translated < 300 or len(files(store)) < least:
                return f"run 1: {run.translated} blocks, {len(files(store))} files, at least {least} wanted"
        elif run.translated * (4 if number == 2 else 12) > first.translated or run.stored < first.translated // 2:
            counts = f"{run.translated} blocks translated, {run.stored} from the store"
            return f"run {number}: {counts}; at first {first.translated} and {first.stored}"
    if leftovers(store):
        return f"in the store: {leftovers(store)}"
    return None


def again(harness, guest, changes=False):
    """Guests whose threads come to new code at the same time, or that are hard on a translator, half a dozen times from a warm store.
    Code that they make themselves (`changes`) is not kept."""
    program = OUT / guest
    if not program.exists():
        raise Skipped(f"there is no {program}")
    folder = harness.folder("again-" + guest)
    native = harness.run([program], folder)
    warm = 0
    for number in range(7):
        run = harness.guest(folder / "store", [program], folder)
        if problem := difference(native.outcome, run.outcome):
            return f"run {number}: {problem}"
        warm += number > 0 and run.stored > (0 if changes else 10 * run.translated)
    return None if warm == 6 else f"{warm} of 6 runs came from the store; the last one: {run.stored} stored, {run.translated} translated"


# What each subshell does the shell itself has not done.
SUBSHELLS = r"""
for i in {1..200}; do
  (x=$((i * 3)); printf -v z '%05d' $x; declare -A q; q[$x]=1; [[ $z =~ ^0+(.*) ]] && echo ${BASH_REMATCH[1]} ${!q[@]})
done
"""


def subshells(harness, state):
    """Two hundred subshells write no two hundred files: whatever is in the store, a program's file is written now and then."""
    need("bash")
    folder = harness.folder("subshells-" + state)
    store = folder / "store"
    store.mkdir(mode=0o700)
    native = harness.run(["bash", "-c", SUBSHELLS], folder)
    if state == "warm":
        for _ in range(3):
            harness.guest(store, ["bash", "-c", SUBSHELLS], folder)
    elif state == "of another script":
        harness.guest(store, ["bash", "-c", "true"], folder)
    with Watch(store) as watch:
        run = harness.guest(store, ["bash", "-c", SUBSHELLS], folder)
        if problem := difference(native.outcome, run.outcome):
            return problem
        made = sum(1 for name in watch.names() if not name.endswith(".vts"))
    most = {"warm": 2}.get(state, 20)
    if made > most:
        return f"files were written {made} times, at most {most} wanted"
    return f"{leftovers(store)} in the store" if leftovers(store) else None


def forks_and_threads(harness):
    """A guest that forks, executes and waits in all ways (Tests/Guests/c/processes.c), cold and warm."""
    program = OUT / "processes"
    if not program.exists():
        raise Skipped(f"there is no {program}")
    folder = harness.folder("processes")
    native = harness.run([program], folder)
    for number in range(3):
        run = harness.guest(folder / "store", [program], folder)
        if problem := difference(native.outcome, run.outcome):
            return f"run {number}: {problem}"
    return None if only_file(folder / "store").stat().st_size > 10000 else "the file is empty"


def tasks(harness):
    for name, words, given, least in CASES:
        yield f"programs: {name}", lambda case=(name, words, given, least): real(harness, *case)
    for guest in ("threads", "threads-musl", "thread-calls", "signals", "exceptions", "jumps", "x87", "faults", "segments"):
        yield f"programs: {guest}", lambda guest=guest: again(harness, guest)
    for guest in ("selfmodifying", "patching"):
        yield f"programs: {guest}", lambda guest=guest: again(harness, guest, changes=True)
    yield "programs: processes", lambda: forks_and_threads(harness)
    for state in ("empty", "warm", "of another script"):
        yield f"programs: subshells, the store {state}", lambda state=state: subshells(harness, state)
