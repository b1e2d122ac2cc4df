// The order of everything that runs before and after main: constructors by priority, atexit, on_exit, destructors, and
// quick_exit, which leaves most of that out. Exit code 17.
#include <string.h>
#include <unistd.h>
#include "guest.h"

__attribute__((constructor(101))) static void early(void) { puts("constructor 101"); }
__attribute__((constructor(102))) static void later(void) { puts("constructor 102"); }
__attribute__((constructor)) static void usual(void) { puts("constructor"); }
__attribute__((destructor)) static void usual_end(void) { puts("destructor"); }
__attribute__((destructor(101))) static void last(void) { puts("destructor 101"); }

static void preinit(void) { write(1, "preinit\n", 8); }
__attribute__((section(".preinit_array"), used)) static void (*preinit_entry)(void) = preinit;

static void third(void) { puts("atexit registered in atexit"); }
static void second(void) {
  puts("atexit second");
  atexit(third);
}
static void first(void) { puts("atexit first"); }
static void quick(void) { puts("at_quick_exit"); fflush(stdout); }

int main(int argc, char **argv) {
  atexit(first);
  atexit(second);
  at_quick_exit(quick);
  puts("main");
  fflush(stdout);
  if (argc > 1 && !strcmp(argv[1], "quick")) quick_exit(18);
  if (argc > 1 && !strcmp(argv[1], "immediate")) _exit(19);
  return 17;
}
