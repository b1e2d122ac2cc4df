// The border between the run loop and translated code, and what signal handlers do when they interrupt translated code.
//
// While translated code runs, RBP holds the CPU state's address plus VT_STATE_BIAS (or, in code that counts, the number of
// instructions that are left), RSP is the shadow stack, every guest register is where Translator/X64/RegisterMap.swift says, and RFLAGS are the guest's. A fault and an asynchronous signal
// leave by the same exit as everything else, so that no register has to be looked up in a signal frame.
#define _GNU_SOURCE
#include "border.h"

#if defined(__linux__) && defined(__x86_64__)
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

static __thread const vt_translation *current_translation;
static __thread vt_cpu_state *current_state;
static __thread int is_stepping;
/// FSGSBASE: user code may read and write segment bases itself.
static int has_base_instructions;

#define VECTORS(operation, prefix) \
  operation(0, prefix) operation(1, prefix) operation(2, prefix) operation(3, prefix) \
  operation(4, prefix) operation(5, prefix) operation(6, prefix) operation(7, prefix) \
  operation(8, prefix) operation(9, prefix) operation(10, prefix) operation(11, prefix) \
  operation(12, prefix) operation(13, prefix) operation(14, prefix) operation(15, prefix)
#define HIGH_VECTORS(operation) \
  operation(16, zmm) operation(17, zmm) operation(18, zmm) operation(19, zmm) \
  operation(20, zmm) operation(21, zmm) operation(22, zmm) operation(23, zmm) \
  operation(24, zmm) operation(25, zmm) operation(26, zmm) operation(27, zmm) \
  operation(28, zmm) operation(29, zmm) operation(30, zmm) operation(31, zmm)
#define LOAD_XMM(n, name) "movups %c[vector]+64*" #n "(%%rdi), %%" #name #n "\n"
#define LOAD_YMM(n, name) "vmovups %c[vector]+64*" #n "(%%rdi), %%" #name #n "\n"
#define SAVE_XMM(n, name) "movups %%" #name #n ", %c[vector]-60+64*" #n "(%%rbp)\n"
#define SAVE_YMM(n, name) "vmovups %%" #name #n ", %c[vector]-60+64*" #n "(%%rbp)\n"
/// Into YMM0 all bits of a vector register above the XMM register, as they are in the state.
#define OR_ABOVE_XMM(n, name) "vorps %c[vector]+16+64*" #n "(%%rdi), %%xmm1, %%xmm1\n"
#define OR_ABOVE_YMM(n, name) "vorps %c[vector]+32+64*" #n "(%%rdi), %%ymm0, %%ymm0\n"
/// Jumps if any of the vector registers 0 to 15 has a bit above its XMM register, else leaves their upper parts in the state in which
/// VZEROUPPER leaves them. To load zeros is not the same: processors merge them into the results of SSE
/// instructions, each of which then waits for the last writer of its register.
#define LOAD_CLEAN(parts_above, otherwise) \
  "vxorps %%xmm0, %%xmm0, %%xmm0\n vmovaps %%ymm0, %%ymm1\n" \
  parts_above \
  "vorps %%ymm1, %%ymm0, %%ymm0\n vptest %%ymm0, %%ymm0\n" \
  "jne " otherwise "\n" \
  "vzeroupper\n" \
  VECTORS(LOAD_YMM, xmm)
#define LOAD_MASK(n) "kmovq %c[mask]+8*" #n "(%%rdi), %%k" #n "\n"
#define SAVE_MASK(n) "kmovq %%k" #n ", %c[mask]-60+8*" #n "(%%rbp)\n"
#define MASKS(operation) \
  operation(0) operation(1) operation(2) operation(3) operation(4) operation(5) operation(6) operation(7)

/// Fills the return-address predictor: neither side's returns shall be predicted into the other's code, where the registers
/// mean something else and guards guard nothing. Translated code may return as often as it likes without having called, so
/// all entries are filled before it; behind it as many as the run loop has frames below the machine's, and as many again.
#define FORGET_RETURNS(count) ".rept " #count "\n call 9f\n int3\n 9:\n .endr\n lea 8*" #count "(%%rsp), %%rsp\n"

/// Bits of futex(2)'s operation that are zero in FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET (and FUTEX_TRYLOCK_PI, which has no other
/// pointer either), private or not, by whatever clock.
enum { OTHER_FUTEX_BITS = (int)~(uint32_t)(FUTEX_WAIT_BITSET | FUTEX_WAKE | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME) };

/// The guest registers that a direct call borrows, from the state.
#define DIRECT_CALL_RESTORE \
  "mov 48-60(%%rbp), %%rsi\n mov 56-60(%%rbp), %%rdi\n" \
  "mov 96-60(%%rbp), %%r8\n mov 104-60(%%rbp), %%r9\n mov 112-60(%%rbp), %%r10\n mov 120-60(%%rbp), %%r11\n"
/// SYSCALL in translated code jumps here. R12 says where it goes on, `site` what it leaves for. Only RCX, R12 and what the state
/// keeps may be used, and no flag may change; the host's SYSCALL puts them back. The table is read at a masked number, because
/// a processor may guess past a comparison. Attention is looked at last: whoever calls for it later finds RIP at or
/// before `vt_direct_made`.
#define DIRECT_CALL \
  ".globl vt_direct_call\nvt_direct_call:\n" \
  "mov %%rax, -60(%%rbp)\n mov %%rsi, 48-60(%%rbp)\n mov %%rdi, 56-60(%%rbp)\n" \
  "mov %%r8, 96-60(%%rbp)\n mov %%r9, 104-60(%%rbp)\n mov %%r10, 112-60(%%rbp)\n mov %%r11, 120-60(%%rbp)\n" \
  ".globl vt_direct_kept\nvt_direct_kept:\n" \
  "mov %c[direct_calls]-60(%%rbp), %%r11\n" \
  "movzbl %%al, %%ecx\n" \
  "movzbl %c[kinds](%%r11, %%rcx), %%r10d\n" \
  "not %%rcx\n lea 1(%%rcx, %%rax), %%rcx\n" /* RAX without AL */ \
  "jrcxz 1f\n" \
  "2: jmp vt_direct_refused\n" \
  "1: mov %%r10, %%rcx\n jrcxz 2b\n" \
  "lea -%c[futex](%%r10), %%rcx\n jrcxz 7f\n" \
  "lea -%c[numbers](%%r10), %%rcx\n jrcxz 5f\n" \
  "mov %%edi, %%ecx\n not %%rcx\n" \
  "mov %c[hidden](%%r11), %%r8\n lea (%%rcx, %%r8), %%rcx\n" /* negative: not below it */ \
  "mov $63, %%r8d\n shrx %%r8, %%rcx, %%rcx\n" \
  "jrcxz 3f\n jmp 2b\n" \
  "3: lea -%c[descriptor](%%r10), %%rcx\n jrcxz 5f\n" \
  "mov %c[needs_care](%%r11), %%rcx\n jrcxz 4f\n jmp 2b\n" \
  "5: jmp 5f\n" \
  "7: mov $%c[futex_bits], %%r8d\n pext %%r8, %%rsi, %%rcx\n jrcxz 7f\n jmp 2b\n" \
  "7: mov 80-60(%%rbp), %%rcx\n jrcxz 7f\n jmp 2b\n" /* the guest's R10: a timeout */ \
  "7: mov %c[needs_care](%%r11), %%rcx\n jrcxz 7f\n jmp 2b\n" \
  "7: mov %c[window_bits](%%r11), %%rcx\n shrx %%rcx, %%rdi, %%rcx\n jrcxz 7f\n jmp 2b\n" \
  "7: mov %c[window]-60(%%rbp), %%rcx\n lea (%%rdi, %%rcx), %%rdi\n jmp 5f\n" \
  "4: lea -%c[message](%%r10), %%rcx\n jrcxz 3f\n" \
  "lea -%c[waiting](%%r10), %%rcx\n jrcxz 4f\n" \
  "1: mov %%rsi, %%rcx\n jrcxz 2f\n" \
  "mov %c[window_bits](%%r11), %%rcx\n shrx %%rcx, %%rsi, %%rcx\n" \
  "mov $31, %%r8d\n shrx %%r8, %%rdx, %%r8\n lea (%%rcx, %%r8), %%rcx\n" /* neither is large enough to cancel the other */ \
  "jrcxz 6f\n" \
  "2: jmp vt_direct_refused\n" \
  "3: mov 64-60(%%rbp), %%rcx\n jrcxz 1b\n jmp 2b\n" \
  "4: mov %c[has_threads](%%r11), %%rcx\n jrcxz 1b\n jmp 2b\n" \
  "6: mov %c[window]-60(%%rbp), %%rcx\n lea (%%rsi, %%rcx), %%rsi\n" \
  "5: mov 64-60(%%rbp), %%r8\n mov 72-60(%%rbp), %%r9\n mov 80-60(%%rbp), %%r10\n" \
  "mov %c[attention]-60(%%rbp), %%ecx\n jrcxz 6f\n" \
  "jmp vt_direct_refused\n" \
  "6: mov $0, %%r11d\n" /* a processor that guesses past SYSCALL takes it for the guest's flags */ \
  "syscall\n" \
  ".globl vt_direct_made\nvt_direct_made:\n" \
  "lea %c[interrupted](%%rax), %%rcx\n jrcxz 7f\n" \
  "mov %%r11, 88-60(%%rbp)\n" \
  DIRECT_CALL_RESTORE \
  "lea %c[fault](%%rax), %%rcx\n jrcxz 8f\n" \
  "mov %c[direct_count]-60(%%rbp), %%rcx\n lea 1(%%rcx), %%rcx\n mov %%rcx, %c[direct_count]-60(%%rbp)\n" \
  "jmp *%%r12\n int3\n" \
  "7: jmp vt_direct_interrupted\n" \
  "8: jmp vt_direct_refused\n"

/// In front of the way out: a call that has been made and is to be finished by the run loop, and one that it is to make.
#define DIRECT_CALL_LEFT \
  ".globl vt_direct_interrupted\nvt_direct_interrupted:\n" \
  "mov %%rax, %c[call_result]-60(%%rbp)\n movq $1, %c[call_is_made]-60(%%rbp)\n" \
  ".globl vt_direct_refused\nvt_direct_refused:\n" \
  "mov -60(%%rbp), %%rax\n" DIRECT_CALL_RESTORE

extern const char vt_translated_checked[], vt_translated_entered[];
extern const char vt_direct_call[], vt_direct_kept[], vt_direct_made[], vt_direct_interrupted[], vt_direct_refused[];

/// (RDI: state). Everything but RFLAGS is loaded first: no instruction behind POPFQ changes a flag. The attention word is
/// looked at last: whoever sets it later finds RIP behind `vt_translated_checked`.
__attribute__((naked)) static void enter(vt_cpu_state *cpu __attribute__((unused))) {
  __asm__ volatile(
      "push %%rbp\n push %%rbx\n push %%r12\n push %%r13\n push %%r14\n push %%r15\n"
      "mov %%rsp, %c[host_rsp](%%rdi)\n"
      "lea 60(%%rdi), %%rbp\n"
      "cmpl $0, %c[uses_x87](%%rdi)\n"
      "je 1f\n"
      "mov %c[x87_area](%%rdi), %%rax\n"
      "fxrstor64 (%%rax)\n"
      "1:\n"
      "cmpl $0, %c[uses_zmm](%%rdi)\n"
      "jne 3f\n"
      "cmpl $0, %c[has_avx](%%rdi)\n"
      "je 2f\n"
      LOAD_CLEAN(VECTORS(OR_ABOVE_XMM, xmm), "6f")
      "jmp 4f\n"
      "6:\n"
      VECTORS(LOAD_YMM, ymm)
      "jmp 4f\n"
      "2:\n"
      VECTORS(LOAD_XMM, xmm)
      "jmp 4f\n"
      "3:\n"
      LOAD_CLEAN(VECTORS(OR_ABOVE_XMM, xmm) VECTORS(OR_ABOVE_YMM, ymm), "6f")
      "jmp 7f\n"
      "6:\n"
      VECTORS(LOAD_YMM, zmm)
      "7:\n"
      HIGH_VECTORS(LOAD_YMM) MASKS(LOAD_MASK)
      "4:\n"
      "ldmxcsr %c[mxcsr](%%rdi)\n"
      FORGET_RETURNS(32)
      "push %c[rflags](%%rdi)\n"
      "popfq\n"
      "mov %c[shadow_rsp](%%rdi), %%rsp\n"
      "mov 0(%%rdi), %%rax\n mov 8(%%rdi), %%r13\n mov 16(%%rdi), %%rdx\n mov 24(%%rdi), %%rbx\n"
      "mov 32(%%rdi), %%r15\n mov 40(%%rdi), %%r14\n mov 48(%%rdi), %%rsi\n"
      "mov 96(%%rdi), %%r8\n mov 104(%%rdi), %%r9\n mov 112(%%rdi), %%r10\n mov 120(%%rdi), %%r11\n"
      "mov 56(%%rdi), %%rdi\n"
      "mov %c[attention]-60(%%rbp), %%ecx\n"
      ".globl vt_translated_checked\nvt_translated_checked:\n"
      "jrcxz 5f\n"
      "movl %[attention_exit], %c[site]-60(%%rbp)\n"
      "jmp vt_translated_leave\n"
      "5: jmp *%c[entry]-60(%%rbp)\n"
      DIRECT_CALL
      ".globl vt_translated_entered\nvt_translated_entered:\n"
      DIRECT_CALL_LEFT
      ".globl vt_translated_leave\nvt_translated_leave:\n"
      "mov %%rax, -60(%%rbp)\n mov %%r13, 8-60(%%rbp)\n mov %%rdx, 16-60(%%rbp)\n mov %%rbx, 24-60(%%rbp)\n"
      "mov %%r15, 32-60(%%rbp)\n mov %%r14, 40-60(%%rbp)\n mov %%rsi, 48-60(%%rbp)\n mov %%rdi, 56-60(%%rbp)\n"
      "mov %%r8, 96-60(%%rbp)\n mov %%r9, 104-60(%%rbp)\n mov %%r10, 112-60(%%rbp)\n mov %%r11, 120-60(%%rbp)\n"
      "mov %%rcx, %c[scratch]-60(%%rbp)\n"
      "mov %%r12, %c[target]-60(%%rbp)\n"
      "mov %%rsp, %c[shadow_rsp]-60(%%rbp)\n"
      "mov %c[host_rsp]-60(%%rbp), %%rsp\n"
      "pushfq\n"
      "pop %c[rflags]-60(%%rbp)\n"
      "cld\n"
      FORGET_RETURNS(16)
      "testl %[alignment], %c[rflags]-60(%%rbp)\n"
      "je 6f\n"
      "push $0x202\n popfq\n"
      "6:\n"
      "stmxcsr %c[mxcsr]-60(%%rbp)\n"
      "ldmxcsr vt_standard_mxcsr(%%rip)\n"
      "cmpl $0, %c[uses_zmm]-60(%%rbp)\n"
      "jne 8f\n"
      "cmpl $0, %c[has_avx]-60(%%rbp)\n"
      "je 7f\n"
      VECTORS(SAVE_YMM, ymm)
      "vzeroupper\n"
      "jmp 9f\n"
      "7:\n"
      VECTORS(SAVE_XMM, xmm)
      "jmp 9f\n"
      "8:\n"
      VECTORS(SAVE_YMM, zmm) HIGH_VECTORS(SAVE_YMM) MASKS(SAVE_MASK)
      "vzeroupper\n"
      "9:\n"
      "cmpl $0, %c[uses_x87]-60(%%rbp)\n"
      "je 1f\n"
      "mov %c[x87_area]-60(%%rbp), %%rax\n"
      "fxsave64 (%%rax)\n"
      "fninit\n"
      "1:\n"
      "pop %%r15\n pop %%r14\n pop %%r13\n pop %%r12\n pop %%rbx\n pop %%rbp\n"
      "ret\n"
      ".p2align 2\n"
      "vt_standard_mxcsr: .long 0x1f80\n"
      :
      : FIELD(host_rsp), FIELD(shadow_rsp), FIELD(rflags), FIELD(uses_x87), FIELD(uses_zmm), FIELD(has_avx),
        FIELD(x87_area), FIELD(scratch), FIELD(target), FIELD(entry), FIELD(site), [vector] "i"(offsetof(vt_cpu_state, vector)),
        [mask] "i"(offsetof(vt_cpu_state, mask)), [mxcsr] "i"(offsetof(vt_cpu_state, mxcsr)),
        [attention] "i"(offsetof(vt_cpu_state, attention)), [attention_exit] "i"(VT_EXIT_ATTENTION),
        [alignment] "i"(ALIGNMENT_FLAG),
        FIELD(window), FIELD(direct_calls), FIELD(direct_count), FIELD(call_result), FIELD(call_is_made),
        [kinds] "i"(offsetof(vt_direct_calls, kinds)), [hidden] "i"(offsetof(vt_direct_calls, hidden)),
        [needs_care] "i"(offsetof(vt_direct_calls, needs_care)),
        [window_bits] "i"(offsetof(vt_direct_calls, window_bits)),
        [has_threads] "i"(offsetof(vt_direct_calls, has_threads)),
        [numbers] "i"(VT_DIRECT_NUMBERS), [descriptor] "i"(VT_DIRECT_DESCRIPTOR),
        [message] "i"(VT_DIRECT_MESSAGE), [waiting] "i"(VT_DIRECT_WAITING),
        [futex] "i"(VT_DIRECT_FUTEX), [futex_bits] "i"(OTHER_FUTEX_BITS),
        [interrupted] "i"(EINTR), [fault] "i"(EFAULT));
}

extern const char vt_translated_leave[];

const void *vt_translated_exit_address(void) { return vt_translated_leave; }
const void *vt_direct_call_address(void) { return vt_direct_call; }

void vt_translated_run(vt_cpu_state *cpu, const vt_translation *translation) {
  current_state = cpu;
  current_translation = translation;
  __asm__ volatile("" ::: "memory");
  enter(cpu);
  __asm__ volatile("" ::: "memory");
  current_translation = NULL;
}

const vt_translated_entry *vt_translated_find(
    const vt_translation *translation, uint32_t host, const vt_translated_block **found) {
  uint32_t low = 0, high = translation->block_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (translation->blocks[middle].host <= host) low = middle + 1; else high = middle;
  }
  if (low == 0) return NULL;
  const vt_translated_block *block = &translation->blocks[low - 1];
  if (host >= block->host_end) return NULL;
  const vt_translated_entry *entries = translation->entries + block->first_entry;
  uint32_t offset = host - block->host;
  low = 0;
  high = block->entry_count;
  while (low < high) {
    uint32_t middle = low + (high - low) / 2;
    if (entries[middle].host <= offset) low = middle + 1; else high = middle;
  }
  if (low == 0) return NULL;
  *found = block;
  return &entries[low - 1];
}

static int is_translated(const greg_t *registers) {
  uint64_t rip = (uint64_t)registers[REG_RIP];
  return current_translation != NULL && rip >= current_translation->start && rip < current_translation->end;
}

static void leave(greg_t *registers, uint32_t site) {
  vt_cpu_state *cpu = current_state;
  cpu->translated.site = site;
  cpu->translated.host_rbp = (uint64_t)registers[REG_RBP];
  registers[REG_RBP] = (greg_t)cpu + VT_STATE_BIAS;
  cpu->translated.host_rip = (uint64_t)registers[REG_RIP];
  registers[REG_RIP] = (greg_t)vt_translated_leave;
  registers[REG_EFL] &= ~TRAP_FLAG;
  is_stepping = 0;
}

int vt_translated_fault(int signal, uint64_t address, void *context_pointer) {
  greg_t *registers = ((ucontext_t *)context_pointer)->uc_mcontext.gregs;
  if (!is_translated(registers)) return vt_logged_fault(context_pointer);
  vt_translated_state *state = &current_state->translated;
  state->fault_signal = (uint32_t)signal;
  state->fault_trap = (uint32_t)registers[REG_TRAPNO];
  state->fault_error = (uint32_t)registers[REG_ERR];
  state->fault_address = address;
  leave(registers, VT_EXIT_FAULT);
  return 1;
}

/// Leaves for the run loop with a direct call that has not been made, or has just been.
static int interrupt_direct_call(greg_t *registers) {
  uint64_t rip = (uint64_t)registers[REG_RIP];
  if (current_translation == NULL || rip < (uint64_t)vt_direct_call || rip > (uint64_t)vt_direct_made) return 0;
  const char *next = rip < (uint64_t)vt_direct_kept ? vt_translated_leave
      : rip < (uint64_t)vt_direct_made ? vt_direct_refused : vt_direct_interrupted;
  registers[REG_RIP] = (greg_t)next;
  registers[REG_EFL] &= ~TRAP_FLAG;
  is_stepping = 0;
  return 1;
}

void vt_translated_interrupt(void *context_pointer) {
  greg_t *registers = ((ucontext_t *)context_pointer)->uc_mcontext.gregs;
  uint64_t rip = (uint64_t)registers[REG_RIP];
  if (interrupt_direct_call(registers)) return;
  if (is_translated(registers)) {
    const vt_translated_block *block;
    uint32_t host = (uint32_t)(rip - current_translation->start);
    const vt_translated_entry *entry = vt_translated_find(current_translation, host, &block);
    if (entry != NULL && block->host + entry->host == host && !(entry->kind & VT_ENTRY_INSIDE))
      return leave(registers, VT_EXIT_INTERRUPTED);
  } else if (current_translation == NULL
             || (!vt_logged_interrupt(context_pointer)
                 && (rip < (uint64_t)vt_translated_checked || rip >= (uint64_t)vt_translated_entered))) {
    registers[REG_EFL] &= ~TRAP_FLAG;
    is_stepping = 0;
    return;
  }
  registers[REG_EFL] |= TRAP_FLAG;
  is_stepping = 1;
}

void vt_translated_begin_stepping(void) { is_stepping = 1; }

static void on_trap(int signal, siginfo_t *info, void *context_pointer) {
  if (is_stepping && info->si_code > 0) return vt_translated_interrupt(context_pointer);
  if (info->si_code <= 0 && vt_signal_forward(signal, info)) {
    vt_signal_interrupt(context_pointer);
    return;
  }
  struct sigaction action = {.sa_handler = SIG_DFL};
  sigaction(signal, &action, NULL);
  vt_syscall6(SYS_tgkill, vt_syscall6(SYS_getpid, 0, 0, 0, 0, 0, 0), vt_syscall6(SYS_gettid, 0, 0, 0, 0, 0, 0), signal,
              0, 0, 0);
}

int vt_translated_install(void) {
  enum { FSGSBASE = 2 };
  has_base_instructions = (getauxval(AT_HWCAP2) & FSGSBASE) != 0;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  // A signal that arrives together with the step's trap would be handled first, find itself in this handler, and end the
  // stepping that the trap belongs to.
  sigfillset(&action.sa_mask);
  return sigaction(SIGTRAP, &action, NULL) == 0 ? 0 : -errno;
}

int64_t vt_set_gs_base(uint64_t base) {
  enum { ARCH_SET_GS = 0x1001 };
  if (has_base_instructions) {
    uint64_t now;
    __asm__("rdgsbase %0" : "=r"(now));
    if (now != base) __asm__ volatile("wrgsbase %0" : : "r"(base));
    return 0;
  }
  return vt_syscall6(SYS_arch_prctl, ARCH_SET_GS, (int64_t)base, 0, 0, 0, 0);
}

int vt_host_has_bmi2(void) {
  uint32_t registers[4];
  vt_host_identify(7, 0, registers);
  return registers[1] >> 8 & 1;
}

/// Puts two mappings of a memfd, which begins with the `used` bytes at `writable`, in the place of both; for hosts that let
/// nobody make memory executable later (systemd's MemoryDenyWriteExecute).
static int64_t map_code_file(size_t size, size_t used, void *writable, void *executable) {
  int file = memfd_create("vitrine-code", MFD_CLOEXEC);
  if (file < 0) return -errno;
  int64_t result = 0;
  if (ftruncate(file, (off_t)size) != 0 || write(file, writable, used) != (ssize_t)used
      || mmap(writable, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED
      || mmap(executable, size, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, file, 0) == MAP_FAILED)
    result = -errno;
  close(file);
  return result;
}

/// Shared memory without a file: perf looks for the names of such code, unlike that of files, in /tmp/perf-PID.map.
/// mremap(2) with the old size 0 maps shared memory a second time.
static int64_t map_executable(size_t size, size_t used, void *writable, void *executable) {
  if (mremap(writable, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, executable) == executable
      && mprotect(executable, size, PROT_READ | PROT_EXEC) == 0)
    return 0;
  return map_code_file(size, used, writable, executable);
}

int64_t vt_map_code(size_t size, void **writable, void **executable) {
  enum { RESERVED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE };
  *writable = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (*writable == MAP_FAILED) return -errno;
  *executable = mmap(NULL, size, PROT_NONE, RESERVED | MAP_32BIT, -1, 0);
  if (*executable == MAP_FAILED) *executable = mmap(NULL, size, PROT_NONE, RESERVED, -1, 0);
  if (*executable == MAP_FAILED) return -errno;
  return map_executable(size, 0, *writable, *executable);
}

int64_t vt_separate_code(size_t size, size_t used, void *writable, void *executable, uint64_t sequence) {
  enum { POPULATE_WRITE = 23 };
  if (mmap(writable, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != writable)
    return -errno;
  // All page faults at once; kernels before 5.14 take them one by one.
  madvise(writable, (used + 4095) & ~(size_t)4095, POPULATE_WRITE);
  memcpy(writable, executable, used);
  const uint64_t *word = (const uint64_t *)((const char *)executable + size - 8);
  int isWhole = __atomic_load_n(word, __ATOMIC_ACQUIRE) == sequence;
  int64_t result = map_executable(size, used, writable, executable);
  vt_code_changes((uint64_t *)((char *)writable + size - 8), sequence);
  return result < 0 ? result : isWhole;
}

uint32_t *vt_map_fork_marker(void) {
  uint32_t *marker = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (marker == MAP_FAILED) return NULL;
  madvise(marker, 4096, MADV_WIPEONFORK);
  *marker = 1;
  return marker;
}

int64_t vt_map_low(size_t size, void **memory) {
  *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  if (*memory == MAP_FAILED) return -ENOMEM;
  if ((uint64_t)*memory + size <= 1ull << 31) return 0;
  munmap(*memory, size);
  return -ENOMEM;
}
#endif
