// Moving the kernel's block of arguments and leaving its stack (evacuate.h). The variables of glibc that point into the
// block or into the vdso are named here, as weak symbols: those of another version of the library are simply absent. Which
// ones there are was found by searching the memory of a running static executable for addresses in the old places; the test
// `layout` (Tests/CommandLine) repeats that search.
#define _GNU_SOURCE
#include "CHost.h"

#if defined(__linux__) && defined(__ELF__)
#include <elf.h>

extern char **environ;

/// The end of a string, or `end` if that is higher.
static uint64_t string_end(const char *string, uint64_t end) {
  if ((uintptr_t)string < end) return end;
  return (uintptr_t)string + __builtin_strlen(string) + 1;
}

int vt_kernel_block_find(vt_kernel_block *block) {
  char **environment = environ;
  // A changed environment (setenv(3)) lies in the heap, below every stack.
  if (environment == NULL || (uintptr_t)environment <= (uintptr_t)__builtin_frame_address(0)) return -1;
  // Back over NULL and the arguments to their number, which no pointer equals.
  int64_t count = 0;
  char **word = environment - 1;
  if (*word != NULL) return -1;
  for (word--; (uintptr_t)*word != (uintptr_t)count; word--) {
    if (++count > 1 << 24) return -1;
  }
  *block = (vt_kernel_block){.start = (uintptr_t)word, .count = count, .arguments = word + 1, .environment = environment};
  uint64_t end = 0;
  for (; *environment != NULL; environment++) end = string_end(*environment, end);
  for (int64_t i = 0; i < count; i++) end = string_end(block->arguments[i], end);
  for (const Elf64_auxv_t *entry = (void *)(environment + 1); entry->a_type != AT_NULL; entry++) {
    const char *value = (const char *)(uintptr_t)entry->a_un.a_val;
    if (entry->a_type == AT_SYSINFO_EHDR) block->vdso = (uintptr_t)value;
    if (entry->a_type == AT_EXECFN || entry->a_type == AT_PLATFORM) end = string_end(value, end);
    if (entry->a_type == AT_RANDOM && (uintptr_t)value + 16 > end) end = (uintptr_t)value + 16;
  }
  block->end = end;
  return 0;
}

/// What Swift's `CommandLine` asks for. In a static executable this stands in for the runtime's own, which remembers where
/// the arguments were before they moved, and which reads /proc/self/maps at every start to find them: a twentieth of a short
/// run. Hidden, so that the runtime's shared library, where there is one, keeps its own.
__attribute__((visibility("hidden"))) char **_swift_stdlib_getUnsafeArgvArgc(int *count) {
  static char *none[1];
  vt_kernel_block block;
  int isFound = vt_kernel_block_find(&block) == 0;
  *count = isFound ? (int)block.count : 0;
  return isFound ? block.arguments : none;
}

/// Where the runtime's tool `name` lies, to be freed. The runtime's own function looks for swift-backtrace at every start, with
/// nine system calls; there is none beside this executable.
__attribute__((visibility("hidden"))) const char *swift_copyAuxiliaryExecutablePath(const char *name) {
  (void)name;
  return NULL;
}

/// For programs that embed the runtime and have arguments of their own, which this one is not.
__attribute__((visibility("hidden"))) void _swift_stdlib_overrideUnsafeArgvArgc(char **arguments, int count) {
  (void)arguments, (void)count;
}
#else
int vt_kernel_block_find(vt_kernel_block *block) {
  (void)block;
  return -1;
}
#endif

#if defined(__linux__) && defined(__x86_64__) && defined(__GLIBC__)
#include <link.h>
#include <linux/prctl.h>
#include <string.h>

enum { SYS_MPROTECT = 10, SYS_BRK = 12, SYS_PRCTL = 157, READ = 1, READ_WRITE = 3 };

#define WEAK extern __attribute__((weak))
// Pointers into the block.
WEAK char *__libc_argv[], *_dl_argv[], *_dl_auxv[], *_dl_random[], *_dl_platform[], *_dl_origin_path[];
WEAK char *_dl_profile_output[], *program_invocation_name[], *program_invocation_short_name[], *__libc_stack_end[];
// Pointers into the vdso: its header and, since 2.31 without mangling, its functions. Without them the library makes
// system calls.
WEAK char *_dl_sysinfo_dso[], *_dl_vdso_clock_gettime64[], *_dl_vdso_gettimeofday[], *_dl_vdso_time[], *_dl_vdso_getcpu[];
WEAK char *_dl_vdso_clock_getres_time64[], *_dl_vdso_getrandom[];
WEAK struct link_map *_dl_sysinfo_map;
WEAK const uint32_t _thread_db_sizeof_pthread;
// From the linker.
WEAK const Elf64_Ehdr __ehdr_start;
WEAK char etext, edata, end;

int vt_kernel_block_is_movable(void) {
  return _dl_auxv != NULL && _dl_random != NULL && _dl_vdso_clock_gettime64 != NULL && __libc_stack_end != NULL
      && &__ehdr_start != NULL && __ehdr_start.e_type == ET_EXEC;
}

/// Adds `distance` to each of `words` that points to within [from, to).
static void shift(char **words, size_t count, uint64_t from, uint64_t to, uint64_t distance) {
  for (size_t i = 0; words != NULL && i < count; i++)
    if ((uintptr_t)words[i] >= from && (uintptr_t)words[i] < to) words[i] += distance;
}

/// Makes the part of the data that is read-only after relocation writable, or read-only again.
static void protect_relocated(int protection) {
  const Elf64_Phdr *header = (const void *)((const char *)&__ehdr_start + __ehdr_start.e_phoff);
  for (int i = 0; i < __ehdr_start.e_phnum; i++, header++) {
    if (header->p_type != PT_GNU_RELRO) continue;
    uint64_t start = header->p_vaddr & ~4095ull, end = (header->p_vaddr + header->p_memsz) & ~4095ull;
    vt_syscall6(SYS_MPROTECT, (int64_t)start, (int64_t)(end - start), protection, 0, 0, 0);
  }
}

static void forget_library_vdso(void) {
  char **const words[] = {
    _dl_sysinfo_dso, _dl_vdso_clock_gettime64, _dl_vdso_gettimeofday, _dl_vdso_time, _dl_vdso_getcpu,
    _dl_vdso_clock_getres_time64, _dl_vdso_getrandom,
  };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (words[i] != NULL) *words[i] = NULL;
  if (&_dl_sysinfo_map == NULL || _dl_sysinfo_map == NULL) return;
  // dl_iterate_phdr(3) would show the vdso's headers to an unwinder.
  struct link_map *map = _dl_sysinfo_map;
  if (map->l_prev != NULL) map->l_prev->l_next = map->l_next;
  if (map->l_next != NULL) map->l_next->l_prev = map->l_prev;
  _dl_sysinfo_map = NULL;
}

/// What the kernel has been told; `brk` is 0 when it does not listen.
static struct prctl_mm_map told;

/// Tells the kernel where arguments and environment lie now, for ps(1). Needs no privilege; a kernel without
/// CONFIG_CHECKPOINT_RESTORE refuses, and then the process has no command line there.
static void tell_kernel(const vt_kernel_block *block, uint64_t distance) {
  if (block->count < 1 || &edata == NULL) return;
  uint64_t thread = (uintptr_t)__builtin_thread_pointer() & ~4095ull;  // the library's first allocation from the break
  uint64_t brk = (uint64_t)vt_syscall6(SYS_BRK, 0, 0, 0, 0, 0, 0);
  uint64_t arguments = (uintptr_t)block->arguments[0] + distance;
  uint64_t environment = arguments, environment_end;
  for (int64_t i = 0; i < block->count; i++)
    environment = (uintptr_t)block->arguments[i] + distance + strlen(block->arguments[i]) + 1;
  environment_end = environment;
  for (char **word = block->environment; *word != NULL; word++)
    environment_end = (uintptr_t)*word + distance + strlen(*word) + 1;
  told = (struct prctl_mm_map){
    .start_code = (uintptr_t)&__ehdr_start, .end_code = (uintptr_t)&etext,
    .start_data = (uintptr_t)&etext, .end_data = (uintptr_t)&edata,
    .start_brk = thread > (uintptr_t)&end && thread <= brk ? thread : ((uintptr_t)&end | 4095) + 1, .brk = brk,
    .start_stack = block->start + distance,
    .arg_start = arguments, .arg_end = environment, .env_start = environment, .env_end = environment_end,
    .exe_fd = (uint32_t)-1,
  };
  if (vt_syscall6(SYS_PRCTL, PR_SET_MM, PR_SET_MM_MAP, (int64_t)&told, sizeof told, 0, 0) != 0) told.brk = 0;
}

int vt_kernel_tell_guest(
    uint64_t arguments, uint64_t arguments_end, uint64_t environment, uint64_t environment_end, const void *vector,
    uint32_t size) {
  if (told.brk == 0) return -1;
  told.brk = (uint64_t)vt_syscall6(SYS_BRK, 0, 0, 0, 0, 0, 0);
  told.arg_start = arguments;
  told.arg_end = arguments_end;
  told.env_start = environment;
  told.env_end = environment_end;
  told.auxv = (void *)(uintptr_t)vector;
  told.auxv_size = size;
  return (int)vt_syscall6(SYS_PRCTL, PR_SET_MM, PR_SET_MM_MAP, (int64_t)&told, sizeof told, 0, 0);
}

void vt_kernel_block_move(const vt_kernel_block *block, uint64_t target, int forget_vdso) {
  uint64_t from = block->start, to = block->end, distance = target - from;
  memcpy((void *)(uintptr_t)target, (const void *)(uintptr_t)from, to - from);
  tell_kernel(block, distance);
  char **word = (char **)(uintptr_t)target + 1;
  for (int strings = 0; strings < 2; word++) {
    if (*word == NULL) strings++; else shift(word, 1, from, to, distance);
  }
  for (Elf64_auxv_t *entry = (void *)word; entry->a_type != AT_NULL; entry++) {
    if (forget_vdso && entry->a_type == AT_SYSINFO_EHDR) *entry = (Elf64_auxv_t){.a_type = AT_IGNORE};
    shift((char **)&entry->a_un.a_val, 1, from, to, distance);
  }
  shift((char **)&environ, 1, from, to, distance);
  protect_relocated(READ_WRITE);
  char **const words[] = {
    __libc_argv, _dl_argv, _dl_auxv, _dl_random, _dl_platform, _dl_origin_path, _dl_profile_output,
    program_invocation_name, program_invocation_short_name,
  };
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) shift(words[i], 1, from, to, distance);
  __libc_stack_end[0] = (char *)(uintptr_t)target;
  if (forget_vdso) forget_library_vdso();
  protect_relocated(READ);
  // The thread's descriptor: where pthread_exit(3) would return to. Nothing may return there.
  if (&_thread_db_sizeof_pthread == NULL) return;
  char **descriptor = __builtin_thread_pointer();
  for (size_t i = 0; i < _thread_db_sizeof_pthread / sizeof *descriptor; i++)
    if ((uintptr_t)descriptor[i] > from - (1 << 20) && (uintptr_t)descriptor[i] < to) descriptor[i] = NULL;
}

__attribute__((target("avx"))) static void forget_lower_vectors(void) { __asm__ volatile("vzeroall"); }

__attribute__((target("avx512f"))) static void forget_upper_vectors(void) {
#define FORGET(number) "vpxord %%zmm" #number ", %%zmm" #number ", %%zmm" #number "\n"
  __asm__ volatile(FORGET(16) FORGET(17) FORGET(18) FORGET(19) FORGET(20) FORGET(21) FORGET(22) FORGET(23) FORGET(24) FORGET(25)
                       FORGET(26) FORGET(27) FORGET(28) FORGET(29) FORGET(30) FORGET(31)::);
}

void vt_forget_vectors(void) {
  if (__builtin_cpu_supports("avx")) forget_lower_vectors();
  if (__builtin_cpu_supports("avx512f")) forget_upper_vectors();
}

__asm__(
    ".text\n"
    ".globl vt_run_on_stack\n"
    ".type vt_run_on_stack,@function\n"
    "vt_run_on_stack:\n"
    "  .cfi_startproc\n"
    "  .cfi_undefined rip\n"
    "  mov %rdi, %rsp\n"
    "  and $-16, %rsp\n"
    "  xor %ebp, %ebp\n"
    // The callee saves these on the new stack; they point into the old one.
    "  xor %ebx, %ebx\n"
    "  xor %r12d, %r12d\n"
    "  xor %r13d, %r13d\n"
    "  xor %r14d, %r14d\n"
    "  xor %r15d, %r15d\n"
    "  mov %rdx, %rdi\n"
    "  call *%rsi\n"
    "  ud2\n"
    "  .cfi_endproc\n"
    ".size vt_run_on_stack, .-vt_run_on_stack\n");
#else
int vt_kernel_tell_guest(
    uint64_t arguments, uint64_t arguments_end, uint64_t environment, uint64_t environment_end, const void *vector,
    uint32_t size) {
  (void)arguments, (void)arguments_end, (void)environment, (void)environment_end, (void)vector, (void)size;
  return -1;
}

int vt_kernel_block_is_movable(void) { return 0; }

void vt_kernel_block_move(const vt_kernel_block *block, uint64_t target, int forget_vdso) {
  (void)block, (void)target, (void)forget_vdso;
}

void vt_forget_vectors(void) {}

_Noreturn void vt_run_on_stack(uint64_t top, void (*function)(void *context), void *context) {
  (void)top;
  function(context);
  __builtin_trap();
}
#endif
