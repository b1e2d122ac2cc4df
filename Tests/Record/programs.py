"""The programs that are recorded and replayed. A case: name, options of `vitrine record`, command, files that it finds in its folder.
Times, process numbers and random numbers are what makes these runs differ from each other: only a replay can be compared."""

from dataclasses import dataclass, field


@dataclass
class Case:
    name: str
    command: list
    options: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    # Several processes with sockets: in namespaces of its own.
    confined: bool = False
    # Several processes print at the same time: the order of their lines is not exact.
    mixes: bool = False
    needs: list = field(default_factory=list)
    seconds: int = 120

    @property
    def on_interpreter(self):
        """Recorded for a CPU that the interpreter is, too."""
        return "v3" in self.options


V3 = ["--cpu", "v3"]

PYTHON_THREADS = """
import threading, os, time, random
order, lock = [], threading.Lock()
def work(name):
    for step in range(40):
        total = sum(value * value for value in range(random.randrange(300)))
        with lock:
            order.append((name, step, total))
        if step % 8 == 0: time.sleep(0)
threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(order)
print(time.time_ns(), os.getpid(), os.urandom(8).hex(), hash("order"))
"""

PYTHON_PROCESSES = """
import os, subprocess, sys, time
pipes = []
for value in range(3):
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, f"{value * value} {os.getpid()} {time.time_ns()} {os.urandom(4).hex()}".encode())
        print("child", value, flush=True)
        os._exit(value)
    os.close(writing)
    pipes.append(reading)
print([os.read(reading, 100) for reading in pipes], [os.wait() for _ in pipes], flush=True)
print(subprocess.run(["sh", "-c", "echo $$; date +%N; exit 7"], capture_output=True, text=True))
print(time.perf_counter_ns(), file=sys.stderr)
sys.exit(3)
"""

PYTHON_SHARED = """
import multiprocessing as mp, random, time
from multiprocessing import shared_memory
def add(lock, total, values):
    for _ in range(200):
        step = random.randrange(1000)
        with lock:
            total.value += step
            values[total.value % 64] += 1
def fill(name, lock, event, queue, number):
    event.wait()
    memory = shared_memory.SharedMemory(name)
    for i in range(100):
        with lock: memory.buf[i % 50] = (memory.buf[i % 50] * 3 + number) % 256
    queue.put((number, bytes(memory.buf[:10]).hex()))
    memory.close()
if __name__ == "__main__":
    lock, total, values = mp.Lock(), mp.Value("q", 0, lock=False), mp.Array("i", 64, lock=False)
    workers = [mp.Process(target=add, args=(lock, total, values)) for _ in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    print(total.value, list(values), time.time_ns())
    with mp.Pool(2) as pool: print(sum(pool.map(abs, range(-500, 0))))
    context = mp.get_context("spawn")
    memory = shared_memory.SharedMemory(create=True, size=10000)
    lock, queue, event = context.Lock(), context.Queue(), context.Event()
    workers = [context.Process(target=fill, args=(memory.name, lock, event, queue, number)) for number in (1, 2)]
    for worker in workers: worker.start()
    event.set()
    for worker in workers: print(queue.get())
    for worker in workers: worker.join()
    print(bytes(memory.buf[:50]).hex())
    memory.close()
    memory.unlink()
"""

# The server refuses to be root, who may give the directory to another user.
POSTGRES = """
set -e
mkdir -m 755 place
if [ "$(id -u)" = 0 ]; then
  chown 65534:65534 place && chmod 755 . && exec setpriv --reuid 65534 --regid 65534 --clear-groups /bin/sh -e steps
fi
exec /bin/sh -e steps
"""

POSTGRES_STEPS = """
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
export PGHOST=$PWD/place PGUSER=keeper PGDATABASE=postgres
initdb -D place/data -U keeper -A trust --locale C -E UTF8 -N >place/log
pg_ctl -D place/data -w -o "-c listen_addresses= -k $PGHOST" -l place/server.log start >/dev/null
pgbench -i -q -s 1 2>/dev/null
pgbench -n -c 4 -j 2 -t 20 2>&1 | grep -E 'processed|failed|latency'
psql -At <<'SQL'
create table t as select i, random() as r, md5(i::text) as m from generate_series(1, 20000) i;
set max_parallel_workers_per_gather = 2; set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0;
select count(*), sum(i), sum(r), max(m) from t where m > '5';
select now();
SQL
pg_ctl -D place/data -m fast stop >/dev/null
"""

PERL = """
use strict; my @pipes;
$| = 1;
for my $child (1 .. 4) {
  pipe(my $in, my $out) or die;
  my $pid = fork() // die;
  if (!$pid) { close $in; srand(); print $out "child $child $$ ", rand(), " ", time, "\\n"; exit $child }
  close $out; push @pipes, $in;
}
print <$_> for @pipes;
while ((my $pid = wait()) > 0) { print "$pid ended with ", $? >> 8, "\\n" }
local $SIG{ALRM} = sub { print "alarm\\n" };
alarm 1; select(undef, undef, undef, 3);
my %words; $words{$_ % 97} .= chr(65 + $_ % 26) for 1 .. 5000;
print join(",", map { "$_=" . length $words{$_} } keys %words), "\\n";
"""

BASH = """
for part in 1 2 3; do (echo "job $part $BASHPID $RANDOM"; sleep 0.0$part; exit $part) & jobs+=($!); done
for job in "${jobs[@]}"; do wait $job; echo "job $job: $?"; done
seq 2000 | sort -R | tee copy | head -n 3 | tr '0-9' 'a-j'
wc -l < copy; date +%s.%N; echo $SECONDS $EPOCHREALTIME
diff <(seq 5) <(seq 2 6) || echo different
trap 'echo caught USR1' USR1; kill -USR1 $$; ls /proc/$$/fd | wc -l
cat <<< "$(od -An -N8 -tx8 /dev/urandom)" >&2
exec sh -c 'echo last; exit 9'
"""

SQL = """
create table numbers (value integer, noise blob);
with recursive counter(value) as (select 1 union all select value + 1 from counter where value < 3000)
insert into numbers select random() % 1000, randomblob(16) from counter;
create index by_value on numbers (value);
select count(*), sum(value), hex(max(noise)) from numbers;
select value, count(*) from numbers group by value order by 2 desc, 1 limit 5;
select julianday('now'), strftime('%f', 'now');
"""

C_SOURCE = """
#include <stdio.h>
#include <time.h>
int main(void) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now); printf("%ld %s\\n", now.tv_nsec, __TIME__); return 5; }
"""

REDIS = """
redis-server --port 7001 --save "" --dir . --logfile /dev/null & server=$!
until redis-cli -p 7001 ping 2>&1 | grep -q PONG; do sleep 0.05; done
redis-benchmark -p 7001 -n 400 -c 5 -t set,get,lpush --csv
redis-cli -p 7001 llen mylist
redis-cli -p 7001 info server | grep -E 'run_id|process_id'
redis-cli -p 7001 shutdown nosave
wait $server; echo ended $?
"""

# What other programs map again while it is changed: at the same moment, after a while, and by a mapping that was written before.
CHANGING_FILES = """
import mmap, os, subprocess, sys, time
READ = "import mmap, os; print(mmap.mmap(os.open('changing', os.O_RDONLY), 0, mmap.MAP_PRIVATE)[:].decode())"
def look(): subprocess.run([sys.executable, "-S", "-c", READ], check=True)
def write(text):
    with open("changing", "wb") as file: file.write(text)
for text in (b"one", b"two", b"six"):
    write(text)
    look()
time.sleep(2.1)
for text in (None, None, b"ten"):
    if text: write(text)
    look()
area = mmap.mmap(os.open("changing", os.O_RDWR), 0)
area[:] = b"new"
time.sleep(2.1)
for text in (b"hot", b"odd"):
    look()
    area[:] = text
look()
"""

NODE = """
const { randomBytes } = require("crypto");
const start = Date.now();
Promise.all([1, 2, 3].map(n => new Promise(done => setTimeout(() => done(n * Math.random()), n)))).then(values => {
  console.log(values, randomBytes(6).toString("hex"), Date.now() - start, process.hrtime());
  process.exitCode = 4;
});
"""


def real(name, command, **more):
    words = [command[0]] if command[0].startswith("/") else []
    return Case(name, command, needs=words + more.pop("needs", []), **more)


PROGRAMS = [
    real("date", ["/usr/bin/date", "+%s.%N"], options=V3),
    real("python-threads", ["/usr/bin/python3", "threads.py"], files={"threads.py": PYTHON_THREADS}),
    real("python-seed", ["/usr/bin/python3", "threads.py"], options=["--seed", "12345"], files={"threads.py": PYTHON_THREADS}),
    real("python-chaos", ["/usr/bin/python3", "threads.py"], options=["--chaos", "--seed", "3"] + V3,
         files={"threads.py": PYTHON_THREADS}),
    real("python-processes", ["/usr/bin/python3", "processes.py"], mixes=True, files={"processes.py": PYTHON_PROCESSES}),
    real("python-multiprocessing", ["/usr/bin/python3", "shared.py"], files={"shared.py": PYTHON_SHARED}),
    real("postgres", ["/bin/sh", "script"], confined=True, files={"script": POSTGRES, "steps": POSTGRES_STEPS},
         needs=["/usr/lib/postgresql", "/usr/bin/setpriv"]),
    real("changing-files", ["/usr/bin/python3", "script"], files={"script": CHANGING_FILES}),
    real("setpriv", ["/usr/bin/setpriv", "--dump"]),
    real("perl-fork", ["/usr/bin/perl", "script"], options=V3, files={"script": PERL}),
    real("bash-jobs", ["/usr/bin/bash", "script"], mixes=True, options=V3, files={"script": BASH}),
    real("sqlite", ["/usr/bin/sqlite3", "data.db", ".read script"], files={"script": SQL}),
    real("gcc", ["/bin/sh", "-c", "gcc -O2 -o time time.c && ./time"], files={"time.c": C_SOURCE}, needs=["/usr/bin/gcc"]),
    real("openssl", ["/bin/sh", "-c", "openssl genpkey -algorithm ED25519; openssl rand -hex 20; openssl dgst -sha256 script"],
         files={"script": SQL}, needs=["/usr/bin/openssl"]),
    real("redis", ["/bin/sh", "script"], files={"script": REDIS}, confined=True, mixes=True,
         needs=["/usr/bin/redis-server", "/usr/bin/redis-benchmark"]),
    real("node", ["/usr/bin/node", "script.js"], files={"script.js": NODE}),
    real("xz-threads", ["/bin/sh", "-c", "head -c 600000 /dev/urandom >noise; xz -T2 --block-size=150000 -c noise | tee noise.xz | cksum; xz -dc noise.xz | cmp - noise"],
         needs=["/usr/bin/xz"]),
    real("sort-parallel", ["/bin/sh", "-c", "od -An -N200000 -tx4 -w4 /dev/urandom | sort --parallel=2 -S 300K | md5sum"], options=V3),
    real("tar-gzip", ["/bin/sh", "-c", "mkdir d; date +%N >d/a; seq 9999 >d/b; tar czf t.gz d; tar tvzf t.gz; md5sum <t.gz"], options=V3),
    real("awk", ["/usr/bin/awk", "BEGIN { srand(); for (i = 0; i < 20000; i++) s += rand(); print s, srand(); \"date +%N\" | getline t; print t }"],
         options=V3),
    real("find", ["/usr/bin/find", "/etc", "-newer", "/etc/hostname", "-printf", "%p %A@\\n"]),
    real("git", ["/bin/sh", "-c", "git init -q r; cd r; git config user.email a@b; git config user.name c; date +%N >f; git add f;"
                 " git commit -qm one; git log --format='%H %at'; git gc -q; git fsck"], needs=["/usr/bin/git"]),
    real("make", ["/usr/bin/make", "-j3", "-Otarget", "-f", "script"], mixes=True,
         files={"script": "all: a b c\na b c:\n\t@sleep 0.01; echo $@ $$$$\n"}),
    real("vim", ["/usr/bin/vim", "-es", "-u", "NONE", "-i", "NONE", "-n", "-c", "r !date", "-c", "w out", "-c", "q!"]),
    real("ffmpeg", ["/usr/bin/ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:duration=0.2", "-c:v", "mpeg4", "-f",
                    "md5", "-"]),
    real("objdump", ["/bin/sh", "-c", "objdump -d /usr/bin/env | tail -n 5; date +%N"], needs=["/usr/bin/objdump"]),
    real("gdb", ["/usr/bin/gdb", "-nx", "-batch", "-ex", "print 6*7", "-ex", "show version"]),
    real("python-asyncio", ["/usr/bin/python3", "-c", "import asyncio, random, time\nasync def f(n):\n  await asyncio.sleep(random.random()"
                            " / 50)\n  print(n, time.time())\nasync def main(): await asyncio.gather(*map(f, range(8)))\nasyncio.run(main())"]),
    real("busybox", ["/bin/busybox", "sh", "-c", "for i in 1 2 3; do echo $i $RANDOM; done | sort -r; ls -la /proc/self"]),
    real("nginx", ["/usr/sbin/nginx", "-V"]),
]

# Guests of Tests/Guests: name, arguments, whether for v3.
GUESTS = [
    ("record-timer", [], True), ("record-timer", ["syscalls"], False), ("record-chance", [], True), ("record-files", [], True),
    ("faults", ["recover"], True), ("trapping", [], True), ("far", [], True), ("signals", [], True), ("signals-dynamic", [], False), ("memory", [], True),
    ("selfmodifying", [], True), ("patching", [], True), ("executing", [], True), ("waiting", [], False),
    ("files", [], True), ("aio", [], True), ("clocks", [], True), ("threads", ["mutexes"], True),
    ("threads", ["conditions"], False), ("threads", ["cancelling"], False), ("threads-events", ["storm"], True),
    ("threads-events", ["forking"], True), ("threads-events", ["executing"], False), ("threads-events", ["end-fault"], False),
    ("threads-events", ["patching"], False), ("thread-calls", [], False), ("vectors512", [], False), ("x87", [], False),
    ("record-sharing", [], True), ("record-sharing", ["race"], False), ("direct-calls", [], False), ("seccomp", [], True), ("record-spinning", [], True),
    ("jumps", [], True), ("exceptions", [], True), ("rust-program", [], False), ("swift-program", [], False),
]
