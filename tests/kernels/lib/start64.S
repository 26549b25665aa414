/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of a 64-bit test kernel: multiboot 1 enters in 32-bit protected mode; the first 4 GiB are
 * mapped to themselves with 2 MiB pages and long mode is switched on (SDM vol. 3, 10.8.5).
 */
#define MAGIC 0x1badb002
#define FLAGS 0x00000003

    .section .multiboot, "ax"
    .code32
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    cli
    cld
    movl %eax, multiboot_magic
    movl %ebx, multiboot_info
    movl $pdpt + 7, %eax
    movl %eax, pml4
    movl $pd + 7, %eax
    movl $4, %ecx
    movl $pdpt, %edi
1:  movl %eax, (%edi)
    addl $4096, %eax
    addl $8, %edi
    loop 1b
    movl $0x87, %eax
    movl $2048, %ecx
    movl $pd, %edi
2:  movl %eax, (%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 2b
    movl %cr4, %eax
    orl $0x20, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x901, %eax
    wrmsr
    movl %cr0, %eax
    orl $0x80010001, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $0x08, $3f

    .code64
3:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movq $stack_top, %rsp
    xorl %ebp, %ebp
    call kernel_main
4:  hlt
    jmp 4b

/* void user_enter(rip, rsp, rflags): to ring 3 until user_leave(). */
    .globl user_enter
user_enter:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, user_saved_rsp
    pushq $0x23
    pushq %rsi
    pushq %rdx
    pushq $0x2b
    pushq %rdi
    iretq

    .globl user_leave
user_leave:
    movq user_saved_rsp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

trap_common:
    pushq %rax
    pushq %rcx
    pushq %rdx
    pushq %rbx
    pushq %rbp
    pushq %rsi
    pushq %rdi
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call trap_entry
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rdi
    popq %rsi
    popq %rbp
    popq %rbx
    popq %rdx
    popq %rcx
    popq %rax
    addq $16, %rsp
    iretq

    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00af9a000000ffff    /* 08 code, 64 bits */
    .quad 0x00cf92000000ffff    /* 10 data */
    .quad 0x00cffa000000ffff    /* 18 user code, 32 bits (SYSRET) */
    .quad 0x00cff2000000ffff    /* 20 user data */
    .quad 0x00affa000000ffff    /* 28 user code, 64 bits */
    .quad 0, 0                  /* 30 TSS */
    .quad 0x00cf9a000000ffff    /* 40 code, 32 bits */
    .fill 247, 8, 0             /* 48 and on: the tests' own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

    .bss
    .balign 4096
    .globl pml4, pdpt, pd
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096 * 4
    .skip 32768
stack_top:
    .skip 16384
    .globl trap_stack_top
trap_stack_top:
    .globl multiboot_magic, multiboot_info
    .balign 8
multiboot_magic: .skip 8
multiboot_info: .skip 8
user_saved_rsp: .skip 8

    .section .note.GNU-stack, "", @progbits
