"""The backtrace of a crash report, through libraries and back, against gdb's of the same crash natively: the program's own functions
in the same order. Numbers differ, because gdb also shows functions that have left by a jump to others."""

import re
import shutil
import subprocess

PROGRAM = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define OWN __attribute__((noinline))
static volatile int three = 3;
static int OWN compare(const void *a, const void *b) {
  if (*(const int *)a == 5) *(volatile int *)0 = 1;
  return *(const int *)a - *(const int *)b;
}
static void OWN in_callback(void) {
  int numbers[9];
  for (int i = 0; i < 9; i++) numbers[i] = i * three % 8;
  qsort(numbers, 9, sizeof *numbers, compare);
  puts("sorted");
}
static void OWN leave(void) { *(volatile int *)0 = 1; }
static void OWN in_exit(void) { atexit(leave); exit(three); }
static void OWN in_abort(void) { if (three) abort(); puts("no"); }
static void OWN in_library(void) { printf("%s\\n", (char *)(long)(three + 5)); puts("no"); }
static void OWN in_free(void) { free((void *)0x1000); puts("no"); }
static void *OWN work(void *argument) { in_callback(); return argument; }
static void OWN in_thread(void) {
  pthread_t thread;
  pthread_create(&thread, 0, work, 0);
  pthread_join(thread, 0);
  puts("no");
}
int main(int count, char **words) {
  static const struct { const char *name; void (*call)(void); } ways[] = {
    {"callback", in_callback}, {"exit", in_exit}, {"abort", in_abort}, {"library", in_library}, {"free", in_free}, {"thread", in_thread}};
  for (int i = 0; i < 6; i++)
    if (count > 1 && !strcmp(words[1], ways[i].name)) ways[i].call();
  return 0;
}
"""
WAYS = ["callback", "exit", "abort", "library", "free", "thread"]
OWN = re.compile(r"compare|in_\w+|leave|work|main")


def own_frames(text, ending):
    """The program's own functions, innermost first, up to the one that began."""
    names = re.findall(r"^ *#\d+ +(?:(?:0x)?[0-9a-f]{12,16} in )?(\w+)", text, re.M)
    found = [name for name in names if OWN.fullmatch(name)]
    return found[:found.index(ending) + 1] if ending in found else found


def check(vitrine, folder):
    """The number of checks, and of those that failed."""
    if not shutil.which("gdb"):
        print("left out reports: no gdb")
        return 0, 0
    source, program = folder / "reports.c", folder / "reports"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-w", "-g", "-O1", "-pthread", "-o", program, source], check=True)
    failures = 0
    for way in WAYS:
        ending = "work" if way == "thread" else "main"
        native = subprocess.run(["gdb", "-nx", "-q", "--batch", "-ex", "run", "-ex", "backtrace", "--args", program, way],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120).stdout
        ours = subprocess.run([vitrine, "run", program, way], stdin=subprocess.DEVNULL, capture_output=True, text=True).stderr
        wanted, found = own_frames(native, ending), own_frames(ours, ending)
        library = re.search(r"\(libc\.so\.6", ours)
        if not wanted or wanted[-1] != ending or found != wanted or not library:
            failures += 1
            print(f"FAILED report of {way}: {found} instead of {wanted}\n{ours}\n{native}")
    return len(WAYS), failures
