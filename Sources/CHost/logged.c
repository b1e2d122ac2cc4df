// System calls that translated code makes by itself while a recorder wants to know of each: as in translated.c, but what the call was and
// what it did is logged. The flags are kept aside, so that C can do most of it. That C uses no vector registers, which hold the guest's.
#define _GNU_SOURCE
#include "border.h"

#if defined(__linux__) && defined(__x86_64__)
#include <errno.h>
#include <ucontext.h>

#define WITHOUT_VECTORS __attribute__((noinline, used, target("general-regs-only")))
#define INLINE static inline __attribute__((always_inline, target("general-regs-only")))

enum { RAX = 0, RDX = 2, RSI = 6, RDI = 7, R11 = 11 };

INLINE vt_cpu_state *counting(const vt_cpu_state *cpu) { return (vt_cpu_state *)(cpu->translated.other - VT_STATE_BIAS); }
/// Read at a masked number, because a processor may guess past the comparison.
INLINE uint8_t kind_of(const vt_direct_calls *calls, uint64_t number) { return calls->kinds[number % sizeof calls->kinds]; }
/// Bytes of the structure that such a call fills; 0: it fills none.
INLINE uint64_t structure_size(uint8_t kind) { return kind & VT_DIRECT_STRUCTURE ? (uint64_t)(kind - VT_DIRECT_STRUCTURE) * 8 : 0; }
INLINE uint64_t room(uint64_t size) { return (size + 7) & ~(uint64_t)7; }

/// What a descriptor is for the log; 3: not known.
INLINE uint64_t output_of(const vt_call_log *log, uint64_t descriptor) {
  uint64_t output = 0;
  while (output < 3 && (descriptor >= 64 || !(log->descriptors[output] >> descriptor & 1))) output++;
  return output;
}

/// Whether translated code may make the call of the guest's registers. Its pointer, if it has one, is put into `scratch` as the host's.
WITHOUT_VECTORS static int may_log(vt_cpu_state *cpu) {
  const vt_direct_calls *calls = cpu->translated.direct_calls;
  const vt_call_log *log = calls->log;
  uint64_t number = cpu->general[RAX], address = cpu->general[RSI], size = cpu->general[RDX];
  cpu->translated.scratch = address;
  if (log == NULL || number >= sizeof calls->kinds || calls->has_threads) return 0;
  if (log->next > log->end - sizeof(vt_logged_call) - VT_MOST_LOGGED) return 0;
  if (counting(cpu)->translated.remaining <= log->least || __builtin_ia32_rdtsc() >= log->deadline) return 0;
  uint8_t kind = kind_of(calls, number);
  if (kind == VT_DIRECT_NUMBERS) return 1;
  uint32_t descriptor = (uint32_t)cpu->general[RDI];
  if (descriptor >= calls->hidden) return 0;
  if (kind == VT_DIRECT_DESCRIPTOR) return 1;
  if (address == 0 || address >> calls->window_bits != 0 || calls->needs_care) return 0;
  cpu->translated.scratch = address + cpu->translated.window;
  if (kind == VT_DIRECT_FILLING) return size <= VT_MOST_LOGGED;
  if (structure_size(kind) != 0) return 1;
  return kind == VT_DIRECT_WRITING && size >> 31 == 0 && output_of(log, descriptor) < 3;
}

/// The call has been made.
WITHOUT_VECTORS static int64_t log_call(vt_cpu_state *cpu, int64_t result) {
  const vt_direct_calls *calls = cpu->translated.direct_calls;
  vt_call_log *log = calls->log;
  vt_logged_call *call = (vt_logged_call *)log->next;
  uint8_t kind = result >= 0 ? kind_of(calls, cpu->general[RAX]) : 0;
  call->remaining = counting(cpu)->translated.remaining;
  call->number = cpu->general[RAX];
  call->result = result;
  call->address = cpu->general[RSI];
  call->output = kind == VT_DIRECT_WRITING && result > 0 ? output_of(log, (uint32_t)cpu->general[RDI]) : 0;
  call->order = call->output != 0 ? __atomic_fetch_add(log->order, 1, __ATOMIC_SEQ_CST) : 0;
  void *to = call + 1;
  const void *from = (const void *)cpu->translated.scratch;
  uint64_t size = kind == VT_DIRECT_FILLING ? (uint64_t)result : structure_size(kind), left = size;
  // Another process may just have made the file shorter that is mapped there: `vt_logged_fault` ends the copy then.
  __asm__ volatile(".globl vt_logged_copy\nvt_logged_copy: rep movsb" : "+D"(to), "+S"(from), "+c"(left) : : "memory");
  call->size = size - left;
  log->next += sizeof *call + room(call->size);
  counting(cpu)->general[R11] = cpu->translated.rflags;
  counting(cpu)->translated.site = VT_EXIT_NONE;
  cpu->translated.direct_count++;
  return result;
}

/// A signal has come in between: translated code is to be left at the next border of two instructions.
WITHOUT_VECTORS static void step_on(vt_cpu_state *cpu) {
  cpu->translated.rflags |= TRAP_FLAG;
  vt_translated_begin_stepping();
}

#define SAVE \
  "mov %%rax, -60(%%rbp)\n mov %%rdx, 16-60(%%rbp)\n mov %%rsi, 48-60(%%rbp)\n mov %%rdi, 56-60(%%rbp)\n" \
  "mov %%r8, 96-60(%%rbp)\n mov %%r9, 104-60(%%rbp)\n mov %%r10, 112-60(%%rbp)\n mov %%r11, 120-60(%%rbp)\n"
#define RESTORE \
  "mov -60(%%rbp), %%rax\n mov 16-60(%%rbp), %%rdx\n mov 48-60(%%rbp), %%rsi\n mov 56-60(%%rbp), %%rdi\n" \
  "mov 96-60(%%rbp), %%r8\n mov 104-60(%%rbp), %%r9\n mov 112-60(%%rbp), %%r10\n mov 120-60(%%rbp), %%r11\n" \
  "mov %c[shadow_rsp]-60(%%rbp), %%rsp\n"
#define LOAD_FLAGS "mov %c[host_rsp]-60(%%rbp), %%rsp\n push %c[rflags]-60(%%rbp)\n popfq\n"

/// SYSCALL in translated code that counts jumps here. RBP leads to the state already, the budget is in the counting one, R12 says where it
/// goes on. Attention is looked at in front of the call, behind it, and once more when everything has been written down.
__attribute__((naked, used)) static void logged_call(void) {
  __asm__ volatile(
      ".globl vt_log_call\nvt_log_call:\n"
      SAVE
      "mov %%rsp, %c[shadow_rsp]-60(%%rbp)\n mov %c[host_rsp]-60(%%rbp), %%rsp\n"
      "pushfq\n pop %c[rflags]-60(%%rbp)\n cld\n"
      "testl %[alignment], %c[rflags]-60(%%rbp)\n jne vt_logged_refused\n"
      "sub $8, %%rsp\n lea -60(%%rbp), %%rdi\n call %P[may_log]\n"
      "test %%eax, %%eax\n je vt_logged_refused\n"
      "mov -60(%%rbp), %%rax\n mov 56-60(%%rbp), %%rdi\n mov %c[scratch]-60(%%rbp), %%rsi\n mov 16-60(%%rbp), %%rdx\n"
      "mov %c[other]-60(%%rbp), %%rcx\n mov 64-60(%%rcx), %%r8\n mov 72-60(%%rcx), %%r9\n mov 80-60(%%rcx), %%r10\n"
      ".globl vt_logged_checked\nvt_logged_checked:\n"
      "cmpl $0, %c[attention]-60(%%rbp)\n jne vt_logged_refused\n"
      "syscall\n"
      ".globl vt_logged_made\nvt_logged_made:\n"
      "cmpl $0, %c[attention]-60(%%rbp)\n jne vt_logged_interrupted\n"
      "cmp %[interrupted], %%rax\n je vt_logged_interrupted\n"
      "cmp %[fault], %%rax\n je vt_logged_refused\n"
      "lea -60(%%rbp), %%rdi\n mov %%rax, %%rsi\n call %P[log_call]\n"
      "mov %%rax, -60(%%rbp)\n"
      ".globl vt_logged_done\nvt_logged_done:\n"
      "cmpl $0, %c[attention]-60(%%rbp)\n je 1f\n"
      "mov %c[host_rsp]-60(%%rbp), %%rsp\n sub $8, %%rsp\n lea -60(%%rbp), %%rdi\n call %P[step_on]\n"
      "1:\n"
      LOAD_FLAGS
      ".globl vt_logged_loaded\nvt_logged_loaded:\n"
      RESTORE
      "mov %c[other]-60(%%rbp), %%rcx\n mov %c[remaining]-60(%%rcx), %%rbp\n"
      "jmp *%%r12\n int3\n"
      ".globl vt_logged_interrupted\nvt_logged_interrupted:\n"
      "mov %%rax, %c[call_result]-60(%%rbp)\n movq $1, %c[call_is_made]-60(%%rbp)\n"
      ".globl vt_logged_refused\nvt_logged_refused:\n"
      LOAD_FLAGS
      RESTORE
      "jmp vt_translated_leave\n"
      :
      : FIELD(host_rsp), FIELD(shadow_rsp), FIELD(rflags), FIELD(scratch), FIELD(other), FIELD(remaining), FIELD(call_result),
        FIELD(call_is_made), [attention] "i"(offsetof(vt_cpu_state, attention)), [alignment] "i"(ALIGNMENT_FLAG),
        [interrupted] "i"(-EINTR), [fault] "i"(-EFAULT), [may_log] "i"(may_log), [log_call] "i"(log_call), [step_on] "i"(step_on));
}

extern const char vt_logged_copy[], vt_log_call[], vt_logged_checked[], vt_logged_made[], vt_logged_done[], vt_logged_loaded[],
    vt_logged_interrupted[], vt_logged_refused[];

const void *vt_logged_call_address(void) { return vt_log_call; }

int vt_logged_fault(void *context_pointer) {
  enum { COPY_SIZE = 2 };
  greg_t *rip = &((ucontext_t *)context_pointer)->uc_mcontext.gregs[REG_RIP];
  if ((uint64_t)*rip != (uint64_t)vt_logged_copy) return 0;
  *rip += COPY_SIZE;
  return 1;
}

int vt_logged_interrupt(void *context_pointer) {
  greg_t *rip = &((ucontext_t *)context_pointer)->uc_mcontext.gregs[REG_RIP];
  uint64_t now = (uint64_t)*rip;
  if (now >= (uint64_t)vt_logged_loaded && now < (uint64_t)vt_logged_interrupted) return 1;
  const char *next = now >= (uint64_t)vt_logged_checked && now < (uint64_t)vt_logged_made ? vt_logged_refused
      : now >= (uint64_t)vt_logged_done && now < (uint64_t)vt_logged_loaded ? vt_logged_done : NULL;
  if (next != NULL) *rip = (greg_t)next;
  return 0;
}
#endif
