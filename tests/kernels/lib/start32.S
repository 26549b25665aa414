/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of a 32-bit test kernel: multiboot 1 header (with the memory map asked for), then flat
 * protected mode on our own tables.
 */
#define MAGIC 0x1badb002
#define FLAGS 0x00000003

    .section .multiboot, "ax"
    .balign 4
    .long MAGIC, FLAGS, -(MAGIC + FLAGS)

    .text
    .globl start
start:
    cli
    cld
    movl %eax, multiboot_magic
    movl %ebx, multiboot_info
    movl $stack_top, %esp
    lgdt gdt_pointer
    ljmp $0x08, $1f
1:  movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    xorl %ebp, %ebp
    call kernel_main
2:  hlt
    jmp 2b

/* void user_enter(uint32_t eip, uint32_t esp, uint32_t eflags): to ring 3 (or, with VM set in
 * eflags, to virtual-8086 mode with the segments of user_segments) until user_leave(). */
    .globl user_enter
user_enter:
    movl 4(%esp), %eax
    movl 8(%esp), %ecx
    movl 12(%esp), %edx
    pushl %ebx
    pushl %esi
    pushl %edi
    pushl %ebp
    movl %esp, user_saved_esp
    testl $0x20000, %edx
    jnz 3f
    pushl $0x23
    pushl %ecx
    pushl %edx
    pushl $0x1b
    pushl %eax
    movw $0x23, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    iret
3:  pushl user_segments+20
    pushl user_segments+16
    pushl user_segments+12
    pushl user_segments+8
    pushl user_segments+4
    pushl %ecx
    pushl %edx
    pushl user_segments+0
    pushl %eax
    iret

/* void user_leave(void): called by the trap handler; user_enter() returns. */
    .globl user_leave
user_leave:
    movl user_saved_esp, %esp
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    popl %ebp
    popl %edi
    popl %esi
    popl %ebx
    ret

trap_common:
    pusha
    pushl %ds
    pushl %es
    pushl %fs
    pushl %gs
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    cld
    pushl %esp
    call trap_entry
    addl $4, %esp
    popl %gs
    popl %fs
    popl %es
    popl %ds
    popa
    addl $8, %esp
    iret

    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
    pushl $0
    .endif
    pushl $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00cf9a000000ffff    /* 08 code */
    .quad 0x00cf92000000ffff    /* 10 data */
    .quad 0x00cffa000000ffff    /* 18 user code */
    .quad 0x00cff2000000ffff    /* 20 user data */
    .quad 0                     /* 28 TSS */
    .quad 0x00009a000000ffff    /* 30 code, 16 bits, base 0 */
    .quad 0x000092000000ffff    /* 38 data, 16 bits, base 0 */
    .fill 248, 8, 0             /* 40 and on: the tests' own */
gdt_end:
    .globl gdt_pointer
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
    .globl user_segments
    .balign 4
user_segments:                  /* CS, SS, ES, DS, FS, GS of virtual-8086 mode */
    .long 0, 0, 0, 0, 0, 0

    .bss
    .balign 16
    .skip 32768
stack_top:
    .skip 16384
    .globl trap_stack_top
trap_stack_top:
    .globl multiboot_magic, multiboot_info, user_saved_esp
multiboot_magic: .skip 4
multiboot_info: .skip 4
user_saved_esp: .skip 4

    .section .note.GNU-stack, "", @progbits
