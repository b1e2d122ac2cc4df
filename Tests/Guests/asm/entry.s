# The state of the machine at entry, as the System V ABI (section 3.4.1) and Linux leave it: RDX 0, direction flag clear,
# stack aligned to 16, argc on the stack, default x87 control word and MXCSR; and what a system call leaves: RCX = next
# instruction, R11 = flags, other registers kept. The exit code counts what is wrong; it is 0.
.globl _start
.text
_start:
  xor %ebx, %ebx
  test %rdx, %rdx
  setne %al
  movzx %al, %eax
  add %eax, %ebx
  test $15, %rsp
  setne %al
  add %eax, %ebx
  pushf
  pop %rcx
  test $0x400, %ecx
  setne %al
  add %eax, %ebx
  cmpq $1, (%rsp)
  setne %al
  add %eax, %ebx
  sub $16, %rsp
  fnstcw (%rsp)
  cmpw $0x37f, (%rsp)
  setne %al
  add %eax, %ebx
  stmxcsr 4(%rsp)
  cmpl $0x1f80, 4(%rsp)
  setne %al
  add %eax, %ebx
  mov $0x1234, %r8d
  mov $0x5678, %r15d
  mov $-1, %r10
  mov $39, %eax
  stc
  syscall
after:
  setnc %al
  movzx %al, %eax
  add %eax, %ebx
  lea after(%rip), %rdx
  cmp %rdx, %rcx
  setne %al
  add %eax, %ebx
  test $1, %r11d
  sete %al
  add %eax, %ebx
  cmp $0x1234, %r8d
  setne %al
  add %eax, %ebx
  cmp $0x5678, %r15d
  setne %al
  add %eax, %ebx
  cmp $-1, %r10
  setne %al
  add %eax, %ebx
  mov $999, %eax
  syscall
  cmp $-38, %rax
  setne %al
  movzx %al, %eax
  add %eax, %ebx
  mov %ebx, %edi
  mov $60, %eax
  syscall
