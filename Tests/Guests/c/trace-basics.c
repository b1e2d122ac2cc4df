// What traces are checked against: functions that are called a known number of times, by each way that confuses a stack of calls:
// recursion, a tail call, longjmp, a signal's handler on its own stack and on the same one, a call through a pointer, threads. And
// memory that is accessed in every way that an instruction has.
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone, used))

static jmp_buf place;
static volatile int caught, sink;
static double left[24][24], right[24][24], product[24][24];
static char text[4096], copy[4096];

NOINLINE int factorial(int n) {
  return n < 2 ? 1 : n * factorial(n - 1);
}

NOINLINE int tail_target(int n) {
  sink += n;
  return n + 1;
}

// Ends in a jump to tail_target at every optimisation level.
__asm__(".globl tail_caller\n.type tail_caller, @function\ntail_caller:\n\tadd $1, %edi\n\tjmp tail_target\n"
        ".size tail_caller, . - tail_caller\n");
int tail_caller(int n);

NOINLINE void deep(int n) {
  if (n == 0) longjmp(place, 1);
  deep(n - 1);
  sink++;
}

NOINLINE void jumps_out(void) {
  if (setjmp(place) == 0) deep(5);
}

NOINLINE void handler_part(void) { caught++; }
NOINLINE void handler(int number) { (void)number; handler_part(); }

NOINLINE void raises(void) {
  for (int i = 0; i < 3; i++) kill(getpid(), SIGUSR1);
}

NOINLINE void leaf(int *p) { (*p)++; }

NOINLINE void many(void) {
  int n = 0;
  void (*volatile pointer)(int *) = leaf;
  for (int i = 0; i < 100; i++) pointer(&n);
  sink = n;
}

NOINLINE void multiply(void) {
  for (int i = 0; i < 24; i++)
    for (int j = 0; j < 24; j++) {
      double sum = 0;
      for (int k = 0; k < 24; k++) sum += left[i][k] * right[k][j];
      product[i][j] = sum;
    }
}

// String instructions, bit strings, pushes of memory, a swap, a compare-and-swap, a saved state.
NOINLINE void accesses(void) {
  static char state[1024] __attribute__((aligned(64)));
  static long bits[8], cell = 5;
  long expected = 5, position = 77, size = 1000;
  char *from = text, *to = copy;
  __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(size) : : "memory");
  size = 100;
  to = copy + 999;
  __asm__ volatile("std\n\trep stosb\n\tcld" : "+D"(to), "+c"(size) : "a"('x') : "memory");
  from = text;
  to = copy;
  size = 4096;
  __asm__ volatile("repe cmpsb" : "+S"(from), "+D"(to), "+c"(size) : : "memory", "cc");
  __asm__ volatile("bts %1, %0" : "+m"(bits) : "r"(position) : "memory", "cc");
  __asm__ volatile("lock cmpxchg %2, %1" : "+a"(expected), "+m"(cell) : "r"(9L) : "memory", "cc");
  __asm__ volatile("sub $128, %%rsp\n\tpushq %0\n\tpopq %1\n\tpushfq\n\tpopfq\n\tadd $128, %%rsp" : "+m"(cell), "=m"(bits[7]) : : "memory");
  __asm__ volatile("fxsave %0" : "=m"(state) : : "memory");
  __asm__ volatile("sub $128, %%rsp\n\tenter $32, $0\n\tleave\n\tadd $128, %%rsp" : : : "memory");
  __asm__ volatile("xchg %0, %1" : "+m"(bits[3]), "+r"(position) : : "memory");
  __asm__ volatile("movups %%xmm0, %0\n\tmovhps %%xmm0, %1" : "=m"(*(char(*)[16])(copy + 3001)), "=m"(*(char(*)[8])(copy + 3100)) : : "memory");
  sink += (int)cell + (int)expected;
}

NOINLINE void *worker(void *argument) {
  for (int i = 0; i < 50; i++) factorial((int)(long)argument);
  return NULL;
}

int main(int count, char **words) {
  (void)words;
  printf("%d\n", factorial(10));
  for (int i = 0; i < 7; i++) tail_caller(i);
  for (int i = 0; i < 4; i++) jumps_out();
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, NULL);
  raises();
  static char stack[1 << 16];
  stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
  sigaltstack(&alternate, NULL);
  action.sa_flags = SA_ONSTACK;
  sigaction(SIGUSR1, &action, NULL);
  raises();
  many();
  memset(text, 'a', sizeof text);
  accesses();
  for (int i = 0; i < 24; i++)
    for (int j = 0; j < 24; j++) left[i][j] = i, right[i][j] = j;
  multiply();
  if (count > 1) {
    pthread_t threads[3];
    for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, worker, (void *)(i + 5));
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
  }
  printf("%d %g\n", caught, product[3][5]);
  return 7;
}
