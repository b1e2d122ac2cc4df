# A small program for the terminal debugger's tests: its addresses, instructions and screens are always the same. It sums the squares of
# 1 to 10 in a loop with a call, leaves each sum in a table, writes two lines, and exits with 7. Its stack is its own, because the kernel's
# holds what differs.
    .text
    .globl _start
    .type _start, @function
_start:
    .cfi_startproc
    .cfi_undefined rip
    lea     stack_end(%rip), %rsp
    lea     begins(%rip), %rdi
    mov     $7, %esi
    call    say
    xor     %ebx, %ebx
    mov     $1, %r12d
again:
    mov     %r12, %rdi
    call    square
    add     %rax, %rbx
    lea     table(%rip), %rcx
    mov     %rbx, (%rcx,%r12,8)
    inc     %r12
    cmp     $10, %r12
    jle     again
    mov     %rbx, total(%rip)
    lea     ends(%rip), %rdi
    mov     $5, %esi
    call    say
    mov     $7, %edi
    mov     $231, %eax
    syscall
    ud2
    .cfi_endproc
    .size _start, . - _start

    .type square, @function
square:
    .cfi_startproc
    push    %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset rbp, -16
    mov     %rdi, %rax
    imul    %rdi, %rax
    cmp     $20, %rax
    jle     1f
    incq    large(%rip)
1:  pop     %rbp
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size square, . - square

# say(text, count)
    .type say, @function
say:
    .cfi_startproc
    mov     %rsi, %rdx
    mov     %rdi, %rsi
    mov     $1, %edi
    mov     $1, %eax
    syscall
    ret
    .cfi_endproc
    .size say, . - say

    .section .rodata
begins: .ascii "begins\n"
ends:   .ascii "ends\n"

    .data
    .globl total, large, table
    .type total, @object
    .size total, 8
total:  .quad 0
    .type large, @object
    .size large, 8
large:  .quad 0
    .type table, @object
    .size table, 96
table:  .fill 12, 8, 0
    .bss
    .balign 16
    .skip 4096
stack_end:
    .skip 2048
    .section .note.GNU-stack, "", @progbits
