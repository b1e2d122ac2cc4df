// Self-modifying code in all the ways that a translator has to notice: instructions patched ahead in the same block, in loops,
// by every kind of store and by system calls, across pages, through other mappings, in signal handlers and after fork.
// Every result is known and checked; the program says which checks it made. Pieces of code are templates in read-only
// memory, copied to where they run.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include "guest.h"

enum { page = 4096 };
typedef long function(long);

#define TEMPLATE(name, text)                                                            \
  extern const unsigned char name[], name##_end[];                                      \
  __asm__(".pushsection .rodata\n" #name ": " text "\n" #name "_end:\n.popsection\n")

// The patched instruction is ahead in the same block, patched by one kind of store each.
TEMPLATE(by_byte, "movb $2, 1f+1(%rip); 1: movl $1, %eax; ret");
TEMPLATE(by_long, "xorl %eax, %eax; movl $5, 1f+1(%rip); .rept 10; incl %eax; .endr; 1: addl $1000, %eax; ret");
TEMPLATE(by_vector, "xorl %eax, %eax; movdqu 2f(%rip), %xmm0; movdqu %xmm0, 1f(%rip); 1: .rept 16; nop; .endr; ret\n"
                    "2: .rept 8; incl %eax; .endr");
TEMPLATE(by_push, "xorl %eax, %eax; movq %rsp, %rdx; leaq 1f+8(%rip), %rsp; movabsq $0xc0ffc0ffc0ffc0ff, %rcx; pushq %rcx\n"
                  "1: .rept 8; nop; .endr; movq %rdx, %rsp; ret");
TEMPLATE(by_string, "leaq 1f(%rip), %rdi; movl $8, %ecx; movb $0x90, %al; cld; rep stosb; movl $7, %eax; 1: .rept 4; ud2; .endr; ret");
TEMPLATE(by_movs, "leaq 2f(%rip), %rsi; leaq 1f(%rip), %rdi; movsl; movsb; 1: movl $1, %eax; ret; 2: movl $77, %eax");
TEMPLATE(by_exchange, "movl $6, %ecx; xchgl %ecx, 1f+1(%rip); 1: movl $1, %eax; addl %ecx, %eax; ret");
TEMPLATE(by_compare, "movl $1, %eax; movl $8, %ecx; lock cmpxchgl %ecx, 1f+1(%rip); 1: movl $1, %eax; ret");
TEMPLATE(by_add, "lock addl $41, 1f+1(%rip); 1: movl $1, %eax; ret");
TEMPLATE(by_set, "xorl %eax, %eax; testl %eax, %eax; setz 1f+1(%rip); 1: movl $0, %eax; ret");
TEMPLATE(by_float, "flds 2f(%rip); fstps 1f+1(%rip); 1: movl $1, %eax; ret; 2: .float 1.0");
TEMPLATE(by_bit, "btsl $3, 1f+1(%rip); 1: movl $1, %eax; ret");

// What the patch changes: the operation, the length, the end.
TEMPLATE(to_other_operation, "movl $9, %eax; movl $4, %edx; movb $0x29, 1f(%rip); 1: addl %edx, %eax; ret");
TEMPLATE(to_longer, "movb $0xb8, 1f(%rip); xorl %eax, %eax; 1: .rept 5; nop; .endr; ret");
TEMPLATE(to_shorter, "movw $0x9090, 1f(%rip); xorl %eax, %eax; 1: addl $0x40404000, %eax; ret");
TEMPLATE(to_return, "movl $3, %eax; movb $0xc3, 1f(%rip); 1: nop; movl $4, %eax; ret");
TEMPLATE(from_return, "movl $3, %eax; movb $0x90, 1f(%rip); 1: ret; movl $4, %eax; ret");
TEMPLATE(to_jump, "movl $3, %eax; movw $0x05eb, 1f(%rip); 1: nop; nop; movl $4, %eax; ret");
TEMPLATE(callers, "call 2f; 1: movl $1, %eax; ret; 2: movl $9, 1b+1(%rip); ret");
TEMPLATE(middle, "movl $1, %eax; jmp 1f+1; 1: movl $0xc3c0ff90, %ecx; ret");  // jumps into the constant: nop; inc eax; ret

// Loops that patch themselves; rdi is the number of turns.
TEMPLATE(loop_constant, "xorl %eax, %eax; 1: addl $1, %eax; incb 1b+2(%rip); decl %edi; jnz 1b; ret");
TEMPLATE(loop_operation, "xorl %eax, %eax; movl $3, %edx; 1: addl %edx, %eax; xorb $0x28, 1b(%rip); incl %edx; decl %edi; jnz 1b; ret");
TEMPLATE(loop_target, "xorl %eax, %eax; 1: jmp 2f; 2: incl %eax; incl %eax; xorb $2, 1b+1(%rip); decl %edi; jnz 1b; ret");
TEMPLATE(loop_ahead, "xorl %eax, %eax; 1: incl 2f+1(%rip); nop; 2: movl $0, %ecx; addl %ecx, %eax; decl %edi; jnz 1b; ret");
TEMPLATE(loop_callee, "xorl %eax, %eax; 1: incl 3f+1(%rip); call 3f; addl %ecx, %eax; decl %edi; jnz 1b; ret\n"
                      ".balign 64; 3: movl $0, %ecx; ret");
TEMPLATE(loop_data, "1: incl 2f(%rip); decl %edi; jnz 1b; movl 2f(%rip), %eax; ret; 2: .long 0");

static unsigned char *code;  // 16 pages, writable and executable

static function *placed(unsigned char *at, const unsigned char *begin, const unsigned char *end) {
  memcpy(at, begin, (size_t)(end - begin));
  return (function *)(void *)at;
}
#define PLACE(at, name) placed(at, name, name##_end)

static void expect(const char *name, long value, long wanted) {
  if (value != wanted) {
    printf("%s: %ld instead of %ld\n", name, value, wanted);
    exit(1);
  }
}

struct test {
  const char *name;
  const unsigned char *begin, *end;
  long argument, wanted;
};
#define TEST(name, argument, wanted) {#name, name, name##_end, argument, wanted}

// Each template at several places, so that it lies in one page, ends one, or crosses into the next; and again where it has
// run before, because a translation of it may be there.
static void templates(void) {
  static const struct test tests[] = {
      TEST(by_byte, 0, 2), TEST(by_long, 0, 15), TEST(by_vector, 0, 8), TEST(by_push, 0, 4), TEST(by_string, 0, 7),
      TEST(by_movs, 0, 77), TEST(by_exchange, 0, 7), TEST(by_compare, 0, 8), TEST(by_add, 0, 42), TEST(by_set, 0, 1),
      TEST(by_float, 0, 0x3f800000), TEST(by_bit, 0, 9), TEST(to_other_operation, 0, 5), TEST(to_longer, 0, 0x90909090),
      TEST(to_shorter, 0, 0), TEST(to_return, 0, 3), TEST(from_return, 0, 4), TEST(to_jump, 0, 3), TEST(callers, 0, 9),
      TEST(middle, 0, 2), TEST(loop_constant, 10, 55), TEST(loop_operation, 10, -5), TEST(loop_target, 10, 15),
      TEST(loop_ahead, 100, 5050), TEST(loop_callee, 100, 5050), TEST(loop_data, 300, 300),
  };
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    const struct test *test = &tests[i];
    size_t length = (size_t)(test->end - test->begin);
    for (size_t back = 0; back <= length; back++)
      for (int again = 0; again < 2; again++) {
        function *run = placed(code + 2 * page - back, test->begin, test->end);
        expect(test->name, (int)run(test->argument), (int)test->wanted);
      }
    printf("%s: ", test->name);
  }
  printf("right\n");
}

// A block that crosses into a second page; every byte of its constant is patched from outside, in either page.
TEMPLATE(crossing, "xorl %eax, %eax; addl $0x01010101, %eax; ret");
static void across_pages(void) {
  for (int back = 1; back <= 8; back++) {
    unsigned char *at = code + 4 * page - back;
    function *run = PLACE(at, crossing);
    expect("crossing", run(0), 0x01010101);
    for (int byte = 0; byte < 4; byte++) {
      at[3 + byte] = (unsigned char)(0x20 + byte);
      long wanted = 0x01010101;
      for (int i = 0; i <= byte; i++) wanted = (wanted & ~(0xffl << i * 8)) | (0x20l + i) << i * 8;
      expect("crossing", run(0), wanted);
    }
    // One store into both pages: all of the template that lies in the eight bytes.
    PLACE(at, crossing);
    expect("crossing", run(0), 0x01010101);
    unsigned char *middle_at = code + 4 * page - 4;
    uint64_t bytes;
    memcpy(&bytes, middle_at, 8);
    for (int i = 0; i < 8; i++)
      if (((unsigned char *)&bytes)[i] == 1) ((unsigned char *)&bytes)[i] = 2;
    long wanted = 0;
    for (int i = 0; i < 4; i++) wanted |= (long)(at + 3 + i >= middle_at && at + 3 + i < middle_at + 8 ? 2 : 1) << i * 8;
    *(volatile uint64_t *)(void *)middle_at = bytes;
    expect("crossing, one store", run(0), wanted);
  }
  // A chain of jumps from page to page; the last page changes.
  unsigned char *at[4];
  for (int i = 0; i < 4; i++) at[i] = code + (5 + i) * page + 100;
  for (int i = 0; i < 3; i++) {
    int32_t distance = page - 5;
    at[i][0] = 0xe9;
    memcpy(at[i] + 1, &distance, 4);
  }
  for (int i = 0; i < 50; i++) {
    memcpy(at[3], "\xb8\0\0\0\0\xc3", 6);  // mov eax, i; ret
    at[3][1] = (unsigned char)i;
    expect("page to page", ((function *)(void *)at[0])(0), i);
    if (i % 10 == 9) expect("page to page, second", ((function *)(void *)at[1])(0), i);
  }
  printf("across pages: right\n");
}

TEMPLATE(constant, "movl $1, %eax; ret");

static function *with_constant(unsigned char *at, int value) {
  function *run = PLACE(at, constant);
  memcpy(at + 1, &value, 4);
  return run;
}

static sigjmp_buf escape;
static void *fault_address;
static void escaped(int number, siginfo_t *information, void *context) {
  (void)number, (void)context;
  fault_address = information->si_addr;
  siglongjmp(escape, 1);
}

// Calls code that must fault at its first instruction.
static void expect_fault(const char *name, unsigned char *at) {
  struct sigaction action = {.sa_sigaction = escaped, .sa_flags = SA_SIGINFO}, before;
  sigaction(SIGSEGV, &action, &before);
  if (!sigsetjmp(escape, 1)) {
    ((function *)(void *)at)(0);
    expect(name, 0, 1);
  }
  expect(name, fault_address == at, 1);
  sigaction(SIGSEGV, &before, NULL);
}

static void *mapped(void *at, size_t size, int protection, int flags, int file) {
  void *result = mmap(at, size, protection, flags, file, 0);
  CHECK(result != MAP_FAILED);
  return result;
}

// Code goes away, or other code comes to the same address, by system calls.
static void remapped(void) {
  enum { everything = PROT_READ | PROT_WRITE | PROT_EXEC, private = MAP_PRIVATE | MAP_ANONYMOUS };
  unsigned char *at = mapped(NULL, 4 * page, everything, private, -1);
  expect("first", with_constant(at, 1)(0), 1);
  CHECK(mprotect(at, page, PROT_READ | PROT_WRITE) == 0);
  expect_fault("not executable", at);
  CHECK(mprotect(at, page, PROT_READ | PROT_EXEC) == 0);
  expect("executable again", ((function *)(void *)at)(0), 1);
  CHECK(mprotect(at, page, PROT_NONE) == 0);
  expect_fault("no access", at);
  CHECK(munmap(at, page) == 0);
  expect_fault("unmapped", at);
  mapped(at, page, everything, private | MAP_FIXED, -1);
  expect("mapped anew", with_constant(at, 2)(0), 2);
  mapped(at, page, everything, private | MAP_FIXED, -1);
  expect("mapped over", at[0], 0);
  expect("mapped over", with_constant(at, 3)(0), 3);
  CHECK(madvise(at, page, MADV_DONTNEED) == 0);
  expect("emptied", at[0], 0);
  expect("emptied", with_constant(at, 4)(0), 4);
  unsigned char *away = mremap(at, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at + 2 * page);
  CHECK(away == at + 2 * page);
  expect("moved", ((function *)(void *)away)(0), 4);
  expect_fault("moved away", at);
  CHECK(mremap(away, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
  expect("moved back", ((function *)(void *)at)(0), 4);
  int ends[2];
  CHECK(pipe(ends) == 0);
  unsigned char bytes[6] = {0xb8, 5, 0, 0, 0, 0xc3};
  CHECK(write(ends[1], bytes, 6) == 6 && read(ends[0], at, 6) == 6);
  expect("read from a pipe", ((function *)(void *)at)(0), 5);
  CHECK(write(ends[1], "\x06", 1) == 1 && read(ends[0], at + 1, 1) == 1);
  expect("read again", ((function *)(void *)at)(0), 6);
  printf("remapped: right\n");
}

// One page at two and three addresses, written through each, by stores and by the file's descriptor.
static void aliased(void) {
  int file = memfd_create("code", 0);
  CHECK(file >= 0 && ftruncate(file, 2 * page) == 0);
  unsigned char *write_at = mapped(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file);
  unsigned char *run_at = mapped(NULL, page, PROT_READ | PROT_EXEC, MAP_SHARED, file);
  unsigned char *both_at = mapped(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, file);
  for (int i = 0; i < 30; i++) {
    with_constant(i % 2 ? write_at : both_at, i);
    expect("aliased, run", ((function *)(void *)run_at)(0), i);
    expect("aliased, both", ((function *)(void *)both_at)(0), i);
  }
  unsigned char *own = mapped(NULL, page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, file);
  expect("private", with_constant(own, 1000)(0), 1000);
  expect("private, others", ((function *)(void *)run_at)(0), 29);
  with_constant(write_at, 31);
  expect("private, after", ((function *)(void *)own)(0), 1000);
  expect("shared, after", ((function *)(void *)run_at)(0), 31);
  CHECK(munmap(run_at, page) == 0 && munmap(both_at, page) == 0);
  with_constant(write_at, 32);
  run_at = mapped(run_at, page, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file);
  expect("aliased anew", ((function *)(void *)run_at)(0), 32);
  printf("aliased: right\n");
}

// Signal handlers that rewrite the code they interrupted.
TEMPLATE(stopped, "movl $1, %eax; ud2; addl $5, %eax; ret");
TEMPLATE(trapped, "movl $1, %eax; int3; nop; addl $5, %eax; ret");
TEMPLATE(waiting, "xorl %eax, %eax; 1: jmp 1b; movl $11, %eax; ret");
TEMPLATE(counting, "xorl %eax, %eax; 1: incl %eax; incl 2f(%rip); jmp 1b; movl $12, %eax; ret; .balign 4; 2: .long 0");
static unsigned char *interrupted;

static void rewrites(int number, siginfo_t *information, void *context) {
  (void)information;
  ucontext_t *state = context;
  unsigned char *at = (unsigned char *)state->uc_mcontext.gregs[REG_RIP];
  if (number == SIGILL) {
    memcpy(at, "\x90\x90", 2);
    at[4] = 60;  // the constant of the addition behind it
  } else if (number == SIGTRAP) {
    memcpy(at, "\x83\xe8\x03\x90", 4);  // sub eax, 3; nop
  } else if (number == SIGALRM) {
    for (int i = 0; i < 24; i++)
      if (interrupted[i] == 0xeb) {
        memcpy(interrupted + i, "\x90\x90", 2);
        break;
      }
  }
}

static void handlers(void) {
  struct sigaction action = {.sa_sigaction = rewrites, .sa_flags = SA_SIGINFO};
  sigaction(SIGILL, &action, NULL);
  sigaction(SIGTRAP, &action, NULL);
  sigaction(SIGALRM, &action, NULL);
  for (int i = 0; i < 20; i++) {
    unsigned char *at = code + 10 * page + (i % 2 ? page - 6 : 0);
    expect("stopped", PLACE(at, stopped)(0), 61);
    expect("stopped, run again", ((function *)(void *)at)(0), 61);
    expect("trapped", PLACE(at, trapped)(0), -2 & 0xffffffff);
  }
  struct itimerval timer = {.it_value = {.tv_usec = 5000}};
  for (int i = 0; i < 6; i++) {
    interrupted = code + 12 * page + (i % 3) * 700;
    function *run = i % 2 ? PLACE(interrupted, waiting) : PLACE(interrupted, counting);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    expect("interrupted", run(0), i % 2 ? 11 : 12);
  }
  printf("handlers: right\n");
}

// W^X by faults: a store to executable memory and a jump to writable memory are repaired by the handler.
static int repairs;
static void repair(int number, siginfo_t *information, void *context) {
  (void)number;
  ucontext_t *state = context;
  unsigned char *at = information->si_addr;
  int run = state->uc_mcontext.gregs[REG_RIP] == (greg_t)at;
  unsigned char *begin = (unsigned char *)((uintptr_t)at & -(uintptr_t)page);
  if (++repairs > 1000 || mprotect(begin, page, PROT_READ | (run ? PROT_EXEC : PROT_WRITE))) _exit(98);
}

static void repaired(void) {
  struct sigaction action = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO}, before;
  sigaction(SIGSEGV, &action, &before);
  unsigned char *at = mapped(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  for (int i = 0; i < 50; i++) expect("repaired", with_constant(at + i, i)(0), i);
  expect("repairs", repairs, 99);
  sigaction(SIGSEGV, &before, NULL);
  printf("repaired: right\n");
}

// fork in a program that makes code, and fork by made code, whose child patches what it runs next.
TEMPLATE(forking, "movl $57, %eax; syscall; movl %eax, %ecx; testl %eax, %eax; jnz 1f; movb $2, 1f+1(%rip)\n"
                  "1: movl $1, %eax; movl %ecx, (%rdi); ret");

static int status_of(pid_t child) {
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
  return WEXITSTATUS(status);
}

static void forks(void) {
  function *run = with_constant(code + 14 * page, 1);
  expect("before fork", run(0), 1);
  fflush(stdout);
  for (int i = 2; i < 6; i++) {
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      long before = run(0);
      with_constant(code + 14 * page, i * 10);
      _exit((int)run(0) + (int)before);
    }
    expect("parent", run(0), i - 1);
    with_constant(code + 14 * page, i);
    expect("parent, patched", run(0), i);
    expect("child", status_of(child), i * 10 + i - 1);
    expect("parent, after", run(0), i);
  }
  for (int i = 0; i < 3; i++) {
    int child = -1;
    long value = PLACE(code + 15 * page - 10 * i, forking)((long)&child);
    if (child == 0) _exit((int)value);
    expect("forking, parent", value, 1);
    expect("forking, child", status_of(child), 2);
  }
  printf("forks: right\n");
}

// The less usual ways: a write to the mapped file (`descriptor`), anonymous shared memory that mremap has doubled, and a private
// mapping whose page still is the file's while a shared mapping changes it (`mixed`).
static void changed(const char *way) {
  int file = memfd_create("code", 0), doubled = !strcmp(way, "doubled"), mixed = !strcmp(way, "mixed");
  CHECK(file >= 0 && ftruncate(file, page) == 0);
  int everything = PROT_READ | PROT_WRITE | PROT_EXEC, sharing = MAP_SHARED | (doubled ? MAP_ANONYMOUS : 0);
  unsigned char *write_at = mapped(NULL, page, everything, sharing, doubled ? -1 : file), *run_at = write_at;
  if (doubled) run_at = mremap(write_at, 0, page, MREMAP_MAYMOVE);
  if (mixed) run_at = mapped(NULL, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file);
  CHECK(run_at != MAP_FAILED);
  with_constant(write_at, 0);
  for (int i = 1; i < 20; i++) {
    unsigned char value = (unsigned char)i;
    if (doubled || mixed) *(volatile unsigned char *)(write_at + 1) = value;
    else CHECK(pwrite(file, &value, 1, 1) == 1);
    expect(way, ((function *)(void *)run_at)(0), i);
  }
  printf("%s: right\n", way);
}

int main(void) {
  code = mapped(NULL, 16 * page, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  templates();
  across_pages();
  remapped();
  aliased();
  handlers();
  repaired();
  forks();
  changed("descriptor");
  changed("doubled");
  changed("mixed");
}
