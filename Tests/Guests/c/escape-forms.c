// The addressing forms of the escape tests, and the code around them. Each form is a few instructions that end in a jump to
// `probe_done`; registers hold what the table says.
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "escape.h"

uint64_t probe_registers[16], probe_vectors[16] __attribute__((aligned(64))), probe_fs, probe_gs;
const void *probe_code;
volatile int probe_signal, probe_reason;
volatile uint64_t probe_address;
uint64_t probe_saved_rsp, probe_saved_fs;
int probe_lacks;
static char handler_stack[65536] __attribute__((aligned(64)));

__asm__(
    ".text\n.globl probe_run\n.type probe_run,@function\n"
    "probe_run:\n"
    "  push %rbp\n push %rbx\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "  mov %rsp, probe_saved_rsp(%rip)\n"
    "  testl $128, probe_lacks(%rip)\n  jne 1f\n"
    "  vmovups probe_vectors(%rip), %ymm0\n  vmovups probe_vectors+64(%rip), %ymm1\n"
    "  1: cmpq $0, probe_fs(%rip)\n  je 1f\n"
    "  rdfsbase %rax\n  mov %rax, probe_saved_fs(%rip)\n  mov probe_fs(%rip), %rax\n  wrfsbase %rax\n"
    "  1:\n"
    "  mov probe_registers(%rip), %rax\n  mov probe_registers+8(%rip), %rcx\n"
    "  mov probe_registers+16(%rip), %rdx\n  mov probe_registers+24(%rip), %rbx\n"
    "  mov probe_registers+40(%rip), %rbp\n  mov probe_registers+48(%rip), %rsi\n"
    "  mov probe_registers+56(%rip), %rdi\n  mov probe_registers+64(%rip), %r8\n"
    "  mov probe_registers+72(%rip), %r9\n  mov probe_registers+80(%rip), %r10\n"
    "  mov probe_registers+88(%rip), %r11\n  mov probe_registers+96(%rip), %r12\n"
    "  mov probe_registers+104(%rip), %r13\n  mov probe_registers+112(%rip), %r14\n"
    "  mov probe_registers+120(%rip), %r15\n"
    "  cmpq $0, probe_registers+32(%rip)\n  je 1f\n  mov probe_registers+32(%rip), %rsp\n"
    "  1: jmp *probe_code(%rip)\n"
    ".globl probe_done\n"
    "probe_done:\n"
    "  cld\n"
    "  mov probe_saved_rsp(%rip), %rsp\n"
    "  cmpq $0, probe_fs(%rip)\n  je 1f\n"
    "  mov probe_saved_fs(%rip), %rax\n  wrfsbase %rax\n"
    "  1: fninit\n"
    "  testl $128, probe_lacks(%rip)\n  jne 1f\n  vzeroall\n"
    "  1: xor %eax, %eax\n  xor %ecx, %ecx\n  xor %edx, %edx\n  xor %esi, %esi\n  xor %edi, %edi\n"
    "  xor %r8d, %r8d\n  xor %r9d, %r9d\n  xor %r10d, %r10d\n  xor %r11d, %r11d\n"
    "  pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbx\n pop %rbp\n"
    "  ret\n.size probe_run, .-probe_run\n");
extern const char probe_done[];

static void handler(int number, siginfo_t *info, void *context) {
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  probe_signal = number;
  probe_reason = info->si_code;
  probe_address = (uint64_t)info->si_addr;
  registers[REG_RIP] = (greg_t)probe_done;
}

int probe_prepare(void) {
  stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
  sigaltstack(&stack, NULL);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  sigaction(SIGILL, &action, NULL);
  sigaction(SIGFPE, &action, NULL);
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2")) probe_lacks |= NEEDS_AVX2 | NEEDS_XSAVE;
  if (!__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512vl")) probe_lacks |= NEEDS_AVX512;
  if (!(getauxval(AT_HWCAP2) & 2)) probe_lacks |= NEEDS_FSGSBASE;
  return probe_lacks;
}

#define CODE(name, text) \
  __asm__(".text\n.p2align 4\nform_" #name ":\n" text "\njmp probe_done\n"); extern const char form_##name[];

CODE(load, "mov (%rax), %rdx") CODE(store, "mov %rdx, (%rbx)") CODE(load8, "mov 100(%rsi), %al")
CODE(high, "mov (%rbx), %ah") CODE(storehigh, "mov %dh, (%rdi)") CODE(rbpbase, "mov 8(%rbp), %rax")
CODE(rcxbase, "mov %rdx, -64(%rcx)") CODE(r12base, "mov %rdx, (%r12)") CODE(r13base, "mov 0x7fffffff(%r13), %rax")
CODE(r14base, "mov %rdx, -0x80000000(%r14)") CODE(r15base, "mov %edx, (%r15)") CODE(r8base, "add %rdx, (%r8)")
CODE(index1, "mov %rdx, (%rax,%rbx)") CODE(index2, "mov %rdx, 16(%r12,%r13,2)")
CODE(index4, "mov -1(%r15,%rcx,4), %rax") CODE(index8, "mov %rdx, 0x12345678(%rbp,%rsi,8)")
CODE(indexonly, "mov %rdx, -0x1000(,%r9,8)") CODE(same, "mov %rdx, (%rax,%rax)")
CODE(again, "mov probe_code(%rip), %r10\nmov (%rax), %r11\nmov 8(%rax), %r11")
CODE(reused, "mov (%r10), %r11\nmov %rbx, %rax\nmov %rdx, (%rax)")
CODE(clobbered, "lea probe_registers(%rip), %rax\nmov (%rax), %r11\nadd %rbx, %rax\nmov %rdx, (%rax)")
CODE(narrow, "mov %rdx, 0x100(%eax,%ebx,4)") CODE(narrowload, "movb -1(%r12d), %al")
CODE(gs, "mov %rdx, %gs:0x100") CODE(gsbase, "mov %gs:(%rax), %rbx") CODE(gsindex, "mov %rdx, %gs:8(%rax,%rbx,2)")
CODE(gsnarrow, "mov %rdx, %gs:8(%eax)") CODE(fs, "mov %rdx, %fs:-8") CODE(fsindex, "mov %rdx, %fs:(%rbx,%r12,8)")
CODE(wrgs, "wrgsbase %rax\nmov %rdx, %gs:(%rbx)") CODE(locked, "lock xadd %rdx, (%r9)")
CODE(cmpxchg, "lock cmpxchg %rdx, (%r11)") CODE(cmpxchg16, "lock cmpxchg16b (%rdi)") CODE(exchange, "xchg %rdx, (%rsi)")
CODE(shift, "shll %cl, (%rax)") CODE(shld, "shld %cl, %rdx, (%r14)") CODE(multiply, "mulq (%rbx)")
CODE(setcc, "setc (%r10)") CODE(cmov, "cmovne (%r10), %rax") CODE(bit, "btsl $3, (%rdi)")
CODE(bitstring, "bts %rbx, (%rdi)") CODE(movbe, "movbe %rdx, (%rax)") CODE(nti, "movnti %rdx, (%r13)")
CODE(movups, "movups %xmm1, 32(%rax)") CODE(movaps, "movaps (%r12), %xmm0") CODE(ntps, "movntps %xmm1, (%rdx)")
CODE(vmovups, "vmovups %ymm1, (%rax,%rcx,4)") CODE(vex, "vaddps (%r14), %ymm0, %ymm2")
CODE(maskmovdqu, "pcmpeqd %xmm0, %xmm0\nmaskmovdqu %xmm0, %xmm1") CODE(maskmovq, "pcmpeqd %mm0, %mm0\nmaskmovq %mm0, %mm1")
CODE(vmaskmov, "vmaskmovps %ymm0, %ymm1, (%rsi)") CODE(vpmaskload, "vpmaskmovd (%r8), %ymm1, %ymm2")
CODE(gather32, "vpgatherdd %ymm1, 64(%rax,%ymm0,4), %ymm2") CODE(gather32r12, "vpgatherdq %ymm1, (%r12,%xmm0,8), %ymm2")
CODE(gather64, "vpgatherqq %ymm1, (%rbx,%ymm0,8), %ymm2") CODE(gathernobase, "vpgatherqq %ymm1, 0x100(,%ymm0,1), %ymm2")
CODE(evex, "kxnorw %k1, %k1, %k1\nvmovups %zmm1, (%rax){%k1}") CODE(evexbyte, "kxnorq %k2, %k2, %k2\nvmovdqu8 %zmm1, 64(%r13){%k2}")
CODE(evexgather, "mov $1, %r9d\nkmovw %r9d, %k1\nvpgatherdd (%rbx,%zmm0,8), %zmm2{%k1}")
CODE(evexgather64, "mov $1, %r9d\nkmovw %r9d, %k1\nvpgatherqq (%rbx,%zmm0,8), %zmm2{%k1}")
CODE(scatter, "mov $1, %r9d\nkmovw %r9d, %k1\nvpscatterdd %zmm1, 8(%rsi,%zmm0,2){%k1}")
CODE(scatter64, "mov $1, %r9d\nkmovw %r9d, %k1\nvpscatterqq %zmm1, (%rsi,%zmm0,1){%k1}")
CODE(compress, "kxnorq %k1, %k1, %k1\nvcompressps %zmm1, (%rdi){%k1}")
CODE(movsource, "lea probe_vectors(%rip), %rdi\nmovsq") CODE(movdestination, "lea probe_vectors(%rip), %rsi\nmovsb")
CODE(repmovsource, "lea probe_vectors(%rip), %rdi\nmov $5, %ecx\nrep movsb")
CODE(repmovdestination, "lea probe_vectors(%rip), %rsi\nmov $3, %ecx\nrep movsq")
CODE(repmovdown, "std\nlea probe_vectors+64(%rip), %rsi\nmov $7, %ecx\nrep movsl") CODE(stos, "stosq")
CODE(repstos, "mov $64, %ecx\nrep stosq") CODE(repstosdown, "std\nmov $64, %ecx\nrep stosb") CODE(lods, "lodsq")
CODE(scas, "mov $9, %ecx\nrepne scasb") CODE(cmps, "lea probe_vectors(%rip), %rdi\nmov $9, %ecx\nrepe cmpsb")
CODE(cmpsdown, "std\nlea probe_vectors(%rip), %rsi\nmov $9, %ecx\nrepe cmpsl") CODE(gslods, "lodsb %gs:(%rsi)")
CODE(xlat, "xlat") CODE(push, "push %rdx") CODE(pushimm, "push $-1") CODE(pushmem, "push (%rax)") CODE(pushf, "pushf")
CODE(pop, "pop %rax") CODE(popmem, "popq (%rbx)") CODE(popf, "popf") CODE(call, "call probe_done")
CODE(callmem, "call *(%rax)") CODE(callreg, "lea probe_done(%rip), %rax\ncall *%rax") CODE(jmpmem, "jmp *8(%r12,%r13,8)")
CODE(ret, "ret") CODE(retimm, "ret $16") CODE(leave, "leave") CODE(enter, "enter $16, $0") CODE(enternested, "enter $0, $3")
CODE(rspload, "mov 64(%rsp), %rax") CODE(rspstore, "mov %rdx, -128(%rsp)") CODE(rspindex, "mov %rdx, (%rsp,%rbx,8)")
CODE(rspmoved, "sub $0x100000, %rsp\nadd $0x100008, %rsp\nmov %rdx, -8(%rsp)")
CODE(rsplea, "lea -0x7fffffff(%rsp), %rsp\nlea 0x7fffffff(%rsp), %rsp\npush %rdx")
CODE(walkmask, "xor %eax, %eax\nvpxor %xmm1, %xmm1, %xmm1\n1: sub $0x100000, %rsp\nvmaskmovps %ymm0, %ymm1, (%rsp)\ndec %rbx\njne 1b\npush %rdx")
CODE(walkprefetch, "1: sub $0x100000, %rsp\nprefetcht0 (%rsp)\ndec %rbx\njne 1b\npush %rdx")
CODE(walkopmask, "kxorw %k1, %k1, %k1\n1: sub $0x100000, %rsp\nvmovups %zmm1, (%rsp){%k1}\ndec %rbx\njne 1b\npush %rdx")
CODE(walkgather, "1: sub $0x100000, %rsp\nvpxor %xmm1, %xmm1, %xmm1\nvpgatherdd %ymm1, (%rsp,%ymm0,1), %ymm2\ndec %rbx\njne 1b\npush %rdx")
CODE(fxsave, "fxsave (%rax)") CODE(fxrstor, "fxrstor (%r13)") CODE(xsave, "mov $7, %eax\nxor %edx, %edx\nxsave (%rbx)")
CODE(xrstor, "mov $7, %eax\nxor %edx, %edx\nxrstor (%r12)") CODE(xsavec, "mov $7, %eax\nxor %edx, %edx\nxsavec (%rdi)")
CODE(fnstenv, "fnstenv (%rax)") CODE(fldt, "fldt (%r9)") CODE(fstp, "fld1\nfstpt (%r9)") CODE(fbstp, "fld1\nfbstp (%rsi)")
CODE(ldmxcsr, "ldmxcsr (%rdi)") CODE(stmxcsr, "stmxcsr (%r14)") CODE(crc, "crc32q (%rax), %rbx")
CODE(pcmpestri, "pcmpestri $0, (%rbx), %xmm0") CODE(pextr, "pextrq $1, %xmm1, (%r15)") CODE(mulx, "mulx (%r12), %rax, %rbx")
CODE(andn, "andn (%r14), %r12, %r13")

// Loops whose first turns are harmless and whose last one is not: a pointer becomes a copy of another register, in every turn or in one,
// directly or by way of a third; is loaded by LODS; keeps what it was behind BSF of zero, as on all processors of 64 bits since.
#define LOOP "lea probe_registers(%rip), %rbx\nmov $4, %r8d\njmp 1f\n1: "
CODE(loopcopy, LOOP "mov (%rbx), %rdx\nmov %rax, %rbx\ndec %r8d\njne 1b")
CODE(loopcopies, "lea probe_registers(%rip), %r9\n" LOOP "mov (%rbx), %rdx\nmov %r9, %rbx\nmov %rax, %r9\ndec %r8d\njne 1b")
CODE(loopr12, LOOP "mov (%rbx), %rdx\nlea 8(%r12), %rbx\ndec %r8d\njne 1b")
CODE(loopsometimes, LOOP "mov (%rbx), %rdx\ndec %r8d\njs 2f\ncmp $1, %r8d\njne 1b\nmov %rax, %rbx\njmp 1b\n2:")
CODE(loopspoilt, LOOP "mov %rax, %r9\nadd %rax, %r9\nmov %r9, %rdi\nmov (%rbx), %rdx\nmov %rdi, %rbx\ndec %r8d\njne 1b")
CODE(looplods, "lea probe_vectors(%rip), %rsi\nmov %r11, (%rsi)\nmov %rsi, %rax\nmov $4, %r8d\njmp 1f\n"
     "1: mov (%rax), %rdx\nlodsq\ndec %r8d\njne 1b")
CODE(loopbsf, "xor %ecx, %ecx\nmov $4, %r8d\njmp 1f\n1: bsf %ecx, %eax\nmov (%rax), %rdx\ndec %r8d\njne 1b")
CODE(loopstep, LOOP "mov (%rbx), %rdx\ncmp $2, %r8d\ncmove %rax, %rbx\nadd $8, %rbx\ndec %r8d\njne 1b")

#define F(name, ...) {#name, form_##name, __VA_ARGS__}
const struct form escape_forms[] = {
    F(load, RAX, -1, 0, 0, 0), F(store, RBX, -1, 0, 0, 0), F(load8, RSI, -1, 0, 100, 0), F(high, RBX, -1, 0, 0, 0),
    F(storehigh, RDI, -1, 0, 0, 0), F(rbpbase, RBP, -1, 0, 8, 0), F(rcxbase, RCX, -1, 0, -64, 0),
    F(r12base, R12, -1, 0, 0, 0), F(r13base, R13, -1, 0, 0x7fffffff, 0), F(r14base, R14, -1, 0, -0x80000000ll, 0),
    F(r15base, R15, -1, 0, 0, 0), F(r8base, R8, -1, 0, 0, 0), F(index1, RAX, RBX, 0, 0, 0), F(index2, R12, R13, 1, 16, 0),
    F(index4, R15, RCX, 2, -1, 0), F(index8, RBP, RSI, 3, 0x12345678, 0), F(indexonly, -1, R9, 3, -0x1000, 0),
    F(same, -1, RAX, 1, 0, 0), F(again, RAX, -1, 0, 0, 0), F(narrow, RAX, RBX, 2, 0x100, ADDRESS_32),
    F(narrowload, R12, -1, 0, -1, ADDRESS_32), F(gs, -1, -1, 0, 0x100, USES_GS), F(gsbase, RAX, -1, 0, 0, USES_GS),
    F(gsindex, RAX, RBX, 1, 8, USES_GS), F(fs, -1, -1, 0, -8, USES_FS | NEEDS_FSGSBASE),
    F(fsindex, RBX, R12, 3, 0, USES_FS | NEEDS_FSGSBASE), F(locked, R9, -1, 0, 0, 0), F(cmpxchg, R11, -1, 0, 0, 0),
    F(cmpxchg16, RDI, -1, 0, 0, ALIGN_16), F(exchange, RSI, -1, 0, 0, 0), F(shift, RAX, -1, 0, 0, 0),
    F(shld, R14, -1, 0, 0, 0), F(multiply, RBX, -1, 0, 0, 0), F(setcc, R10, -1, 0, 0, 0), F(cmov, R10, -1, 0, 0, 0),
    F(bit, RDI, -1, 0, 0, 0), F(movbe, RAX, -1, 0, 0, 0), F(nti, R13, -1, 0, 0, 0), F(movups, RAX, -1, 0, 32, 0),
    F(movaps, R12, -1, 0, 0, ALIGN_16), F(ntps, RDX, -1, 0, 0, ALIGN_16), F(vmovups, RAX, RCX, 2, 0, NEEDS_AVX2),
    F(vex, R14, -1, 0, 0, NEEDS_AVX2), F(maskmovdqu, RDI, -1, 0, 0, LARGE), F(maskmovq, RDI, -1, 0, 0, LARGE),
    F(vmaskmov, RSI, -1, 0, 0, NEEDS_AVX2), F(vpmaskload, R8, -1, 0, 0, NEEDS_AVX2),
    F(gather32, RAX, -1, 2, 64, NEEDS_AVX2 | INDEX_32), F(gather32r12, R12, -1, 3, 0, NEEDS_AVX2 | INDEX_32),
    F(gather64, RBX, -1, 3, 0, NEEDS_AVX2 | INDEX_64), F(gathernobase, -1, -1, 0, 0x100, NEEDS_AVX2 | INDEX_64),
    F(evex, RAX, -1, 0, 0, NEEDS_AVX512), F(evexbyte, R13, -1, 0, 64, NEEDS_AVX512),
    F(evexgather, RBX, -1, 3, 0, NEEDS_AVX512 | INDEX_32), F(evexgather64, RBX, -1, 3, 0, NEEDS_AVX512 | INDEX_64),
    F(scatter, RSI, -1, 1, 8, NEEDS_AVX512 | INDEX_32), F(scatter64, RSI, -1, 0, 0, NEEDS_AVX512 | INDEX_64),
    F(compress, RDI, -1, 0, 0, NEEDS_AVX512 | LARGE), F(movsource, RSI, -1, 0, 0, 0), F(movdestination, RDI, -1, 0, 0, 0),
    F(repmovsource, RSI, -1, 0, 0, 0), F(repmovdestination, RDI, -1, 0, 0, 0), F(repmovdown, RDI, -1, 0, 0, 0),
    F(stos, RDI, -1, 0, 0, 0), F(repstos, RDI, -1, 0, 0, 0), F(repstosdown, RDI, -1, 0, 0, 0), F(lods, RSI, -1, 0, 0, 0),
    F(scas, RDI, -1, 0, 0, 0), F(cmps, RSI, -1, 0, 0, 0), F(cmpsdown, RDI, -1, 0, 0, 0), F(gslods, RSI, -1, 0, 0, USES_GS),
    F(xlat, RBX, -1, 0, 0x57, 0), F(push, RSP, -1, 0, -8, 0), F(pushimm, RSP, -1, 0, -8, 0), F(pushmem, RAX, -1, 0, 0, 0),
    F(pushf, RSP, -1, 0, -8, 0), F(pop, RSP, -1, 0, 0, 0), F(popmem, RBX, -1, 0, 0, 0), F(popf, RSP, -1, 0, 0, 0),
    F(call, RSP, -1, 0, -8, 0), F(callmem, RAX, -1, 0, 0, 0), F(callreg, RSP, -1, 0, -8, 0), F(jmpmem, R12, R13, 3, 8, 0),
    F(ret, RSP, -1, 0, 0, 0), F(retimm, RSP, -1, 0, 0, 0), F(leave, RBP, -1, 0, 0, 0), F(enter, RSP, -1, 0, -8, LARGE),
    F(enternested, RSP, -1, 0, -8, LARGE), F(rspload, RSP, -1, 0, 64, 0), F(rspstore, RSP, -1, 0, -128, 0),
    F(rspindex, RSP, RBX, 3, 0, 0), F(rspmoved, RSP, -1, 0, 0, 0), F(rsplea, RSP, -1, 0, -8, 0),
    F(walkmask, RSP, -1, 0, -8, WALKS | NEEDS_AVX2), F(walkprefetch, RSP, -1, 0, -8, WALKS),
    F(walkgather, RSP, -1, 0, -8, WALKS | NEEDS_AVX2), F(walkopmask, RSP, -1, 0, -8, WALKS | NEEDS_AVX512),
    F(fxsave, RAX, -1, 0, 0, ALIGN_16 | LARGE), F(fxrstor, R13, -1, 0, 0, ALIGN_16 | LARGE),
    F(xsave, RBX, -1, 0, 0, ALIGN_64 | LARGE | NEEDS_XSAVE), F(xrstor, R12, -1, 0, 0, ALIGN_64 | LARGE | NEEDS_XSAVE),
    F(xsavec, RDI, -1, 0, 0, ALIGN_64 | LARGE | NEEDS_XSAVE), F(fnstenv, RAX, -1, 0, 0, LARGE), F(fldt, R9, -1, 0, 0, 0),
    F(fstp, R9, -1, 0, 0, 0), F(fbstp, RSI, -1, 0, 0, 0), F(ldmxcsr, RDI, -1, 0, 0, 0), F(stmxcsr, R14, -1, 0, 0, 0),
    F(crc, RAX, -1, 0, 0, 0), F(pcmpestri, RBX, -1, 0, 0, 0), F(pextr, R15, -1, 0, 0, 0), F(mulx, R12, -1, 0, 0, NEEDS_AVX2),
    F(andn, R14, -1, 0, 0, NEEDS_AVX2), F(loopcopy, RAX, -1, 0, 0, 0), F(loopcopies, RAX, -1, 0, 0, 0),
    F(loopr12, R12, -1, 0, 8, 0), F(loopsometimes, RAX, -1, 0, 0, 0), F(loopspoilt, -1, RAX, 1, 0, 0),
    F(looplods, R11, -1, 0, 0, 0), F(loopbsf, RAX, -1, 0, 0, 0), F(loopstep, RAX, -1, 0, 8, 0),
};
const int escape_form_count = sizeof escape_forms / sizeof *escape_forms;
