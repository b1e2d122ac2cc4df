# The smallest Linux program: writes a line, then leaves with code 7. No libc, no stack use, every register printed once.
.globl _start
.section .rodata
text: .ascii "hello from bare instructions\n"
.set length, . - text
.text
_start:
  mov $1, %eax
  mov $1, %edi
  lea text(%rip), %rsi
  mov $length, %edx
  syscall
  cmp $length, %rax
  jne failed
  mov $231, %eax
  mov $7, %edi
  syscall
failed:
  ud2
