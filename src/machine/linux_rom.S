/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The option ROM that starts a Linux kernel: guest code, run by the BIOS in real mode as a boot
 * device (BIOS Boot Specification 1.01, 3.3; Plug and Play BIOS Specification 1.0A, 3.2). It
 * fetches the parts that boot_linux.c put into fw_cfg, by fw_cfg's DMA, and enters the kernel's
 * setup code as Documentation/arch/x86/boot.rst says. The checksum is filled in by boot_linux.c.
 */
    .section .rodata
    .code16
    .globl boot_linux_rom, boot_linux_rom_end

#define FW_CFG_DMA_HIGH 0x514
#define FW_CFG_DMA_LOW 0x518
#define DMA_ERROR 1
#define DMA_READ_SELECT 0x0a

#define KERNEL_ADDR 0x07
#define KERNEL_SIZE 0x08
#define INITRD_ADDR 0x0a
#define INITRD_SIZE 0x0b
#define KERNEL_DATA 0x11
#define INITRD_DATA 0x12
#define CMDLINE_ADDR 0x13
#define CMDLINE_SIZE 0x14
#define CMDLINE_DATA 0x15
#define SETUP_ADDR 0x16
#define SETUP_SIZE 0x17
#define SETUP_DATA 0x18

    .balign 16
boot_linux_rom:
    .word 0xaa55
    .byte (boot_linux_rom_end - boot_linux_rom) / 512
    lret                                    /* initialisation: nothing to do */
    .org boot_linux_rom + 0x18, 0
    .word 0
    .word pnp - boot_linux_rom
    .balign 16
pnp:
    .ascii "$PnP"
    .byte 1, (pnp_end - pnp) / 16
    .word 0
    .byte 0
    .byte 0                                 /* checksum of this header */
    .long 0
    .word maker - boot_linux_rom
    .word product - boot_linux_rom
    .byte 2, 0, 0                           /* device type: mass storage */
    .byte 0x14                              /* it can be booted from */
    .word 0, 0
    .word boot - boot_linux_rom
    .word 0, 0
pnp_end:
maker:
    .asciz "Yado"
product:
    .asciz "Linux kernel"

/* %ax: key; %ecx: length; %edi: physical address. All registers but flags are kept. */
fetch:
    pushal
    bswapl %edi
    pushl %edi                              /* address, low half */
    pushl $0                                /* address, high half */
    bswapl %ecx
    pushl %ecx
    movzwl %ax, %eax
    shll $16, %eax
    orb $DMA_READ_SELECT, %al
    bswapl %eax
    pushl %eax
    xorl %eax, %eax
    movw $FW_CFG_DMA_HIGH, %dx
    outl %eax, %dx
    movw %ss, %ax
    shll $4, %eax
    movzwl %sp, %ebx
    addl %ebx, %eax
    bswapl %eax
    movw $FW_CFG_DMA_LOW, %dx
    outl %eax, %dx
1:  movl %ss:(%bx), %eax
    bswapl %eax
    testl $~DMA_ERROR, %eax
    jnz 1b
    addw $16, %sp
    popal
    ret

/* %ax: key of a number; the number comes in %eax. Other registers are kept. */
number:
    pushl %ecx
    pushl %edi
    xorl %edi, %edi
    movw %ss, %di
    shll $4, %edi
    pushl $0                                /* the number will be here */
    movzwl %sp, %ecx
    addl %ecx, %edi
    movl $4, %ecx
    call fetch
    popl %eax
    popl %edi
    popl %ecx
    ret

/* One part: %al address key, %ah size key, %bl data key. */
part:
    pushw %ax
    movzbw %al, %ax
    call number
    movl %eax, %edi
    popw %ax
    movzbw %ah, %ax
    call number
    movl %eax, %ecx
    movzbw %bl, %ax
    jecxz 2f
    call fetch
2:  ret

boot:
    cli
    cld
    movw $(SETUP_SIZE << 8 | SETUP_ADDR), %ax
    movb $SETUP_DATA, %bl
    call part
    movw $(CMDLINE_SIZE << 8 | CMDLINE_ADDR), %ax
    movb $CMDLINE_DATA, %bl
    call part
    movw $(KERNEL_SIZE << 8 | KERNEL_ADDR), %ax
    movb $KERNEL_DATA, %bl
    call part
    movw $(INITRD_SIZE << 8 | INITRD_ADDR), %ax
    movb $INITRD_DATA, %bl
    call part

    movw $CMDLINE_ADDR, %ax
    call number
    movl %eax, %ecx
    movw $SETUP_ADDR, %ax
    call number
    subl %eax, %ecx                         /* stack: below the command line */
    subw $16, %cx
    shrl $4, %eax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %fs
    movw %ax, %gs
    movw %ax, %ss
    movzwl %cx, %esp
    addw $0x20, %ax
    pushw %ax
    pushw $0
    xorl %eax, %eax
    xorl %ebx, %ebx
    xorl %ecx, %ecx
    xorl %edx, %edx
    xorl %esi, %esi
    xorl %edi, %edi
    xorl %ebp, %ebp
    lret

    .balign 512, 0
boot_linux_rom_end:

    .section .note.GNU-stack, "", @progbits
