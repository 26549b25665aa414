/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions of 32-bit protected mode with their exact error codes: SDM vol. 3, 6.13-6.15.
 *
 * QEMU's TCG (7.2) fails the last three tests: it checks neither limits nor types when memory is
 * accessed, knows no bad MSR,
 * loads a null TR, takes INT1 for an undefined opcode, and loops on a bad CR4.
 */
#include "lib/kernel.h"

#define GATE_ERROR(vector) ((vector)*8 + 2) /* IDT bit set: 6.13 */

static void faults(void)
{
    uint32_t bounds[2] = {10, 20};

    TRY("xorl %%edx, %%edx; movl $1, %%eax; xorl %%ecx, %%ecx; divl %%ecx",
        :
        :
        : "eax", "ecx", "edx");
    CHECK_TRAP(VEC_DE, 0);
    TRY("movl $0x80000000, %%eax; cltd; movl $-1, %%ecx; idivl %%ecx", : : : "eax", "ecx", "edx");
    CHECK_TRAP(VEC_DE, 0);
    TRY("movw $0x1234, %%ax; xorl %%ecx, %%ecx; aam $0", : : : "eax", "ecx");
    CHECK_TRAP(VEC_DE, 0);
    TRY("int3", );
    CHECK_TRAP(VEC_BP, 0);
    TRY("movb $0x7f, %%al; addb $1, %%al; into", : : : "eax");
    CHECK_TRAP(VEC_OF, 0);
    TRY("xorl %%eax, %%eax; into", : : : "eax");
    CHECK_NO_TRAP();
    TRY("movl $21, %%eax; boundl %%eax, %0", : : "m"(bounds) : "eax");
    CHECK_TRAP(VEC_BR, 0);
    TRY("movl $9, %%eax; boundl %%eax, %0", : : "m"(bounds) : "eax");
    CHECK_TRAP(VEC_BR, 0);
    TRY("movl $20, %%eax; boundl %%eax, %0", : : "m"(bounds) : "eax");
    CHECK_NO_TRAP();
    TRY("ud2", );
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0x0f, 0xff, 0xc0", ); /* UD0 */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0xf0, 0x90", ); /* LOCK NOP */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0xf0, 0x01, 0xc0", ); /* LOCK ADD eax, eax: no memory operand */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0x8e, 0xc8", ); /* MOV CS, ax */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0xc5, 0xc0", ); /* LDS with a register (or bad VEX) */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0x0f, 0x20, 0xc8", ); /* MOV eax, CR1 */
    CHECK_TRAP(VEC_UD, 0);
    /* A fault's address is the instruction's own; a trap's is the next one's. */
    TRY("movl $1f, %%ebx; 1: ud2", : : : "ebx");
    CHECK_TRAP(VEC_UD, 0);
}

static void device_not_available(void)
{
    word cr0 = cr0_get();

    cr0_set(cr0 | CR0_TS);
    TRY("fnop", );
    CHECK_TRAP(VEC_NM, 0);
    TRY("fwait", ); /* MP clear: no trap */
    if (!(cr0 & CR0_MP))
        CHECK_NO_TRAP();
    cr0_set(cr0 | CR0_TS | CR0_MP);
    TRY("fwait", );
    CHECK_TRAP(VEC_NM, 0);
    cr0_set((cr0 | CR0_EM) & ~(word)CR0_TS);
    TRY("fninit", );
    CHECK_TRAP(VEC_NM, 0);
    cr0_set(cr0);
    asm volatile("clts");
}

static void general_protection(void)
{
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x92, 0xc);

    TRY("movw $0x1000, %%ax; movw %%ax, %%ds", : : : "eax"); /* beyond the table */
    CHECK_TRAP(VEC_GP, 0x1000);
    TRY("movw $0x1007, %%ax; movw %%ax, %%ds", : : : "eax"); /* no LDT; RPL is not in the code */
    CHECK_TRAP(VEC_GP, 0x1004);
    TRY("movw %w0, %%es", : : "r"(SEL_CODE)); /* readable code may be loaded */
    CHECK_NO_TRAP();
    asm volatile("movw %w0, %%es" : : "r"(SEL_DATA));
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x98, 0xc); /* execute-only */
    TRY("movw %w0, %%es", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_GP, SEL_FREE);
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x82, 0xc); /* an LDT */
    TRY("movw %w0, %%es", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_GP, SEL_FREE);
    TRY("movw %w0, %%ss", : : "r"(0));
    CHECK_TRAP(VEC_GP, 0);
    TRY("movw %w0, %%ss", : : "r"(SEL_DATA | 3)); /* RPL ≠ CPL */
    CHECK_TRAP(VEC_GP, SEL_DATA);
    TRY("movw %w0, %%ss", : : "r"(SEL_UDATA)); /* DPL ≠ CPL */
    CHECK_TRAP(VEC_GP, SEL_UDATA & ~3);
    TRY("movw %w0, %%ss", : : "r"(SEL_CODE));
    CHECK_TRAP(VEC_GP, SEL_CODE);
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x90, 0xc); /* read-only data */
    TRY("movw %w0, %%ss", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_GP, SEL_FREE);
    TRY("ljmp $0, $0", );
    CHECK_TRAP(VEC_GP, 0);
    TRY("ljmp %0, $0", : : "i"(SEL_DATA));
    CHECK_TRAP(VEC_GP, SEL_DATA);
    TRY("ljmp %0, $0", : : "i"(SEL_UCODE));
    CHECK_TRAP(VEC_GP, SEL_UCODE & ~3);
    TRY("ljmp $0xff8, $0", ); /* beyond the table */
    CHECK_TRAP(VEC_GP, 0xff8 & 0xfffc);
}

static void not_present(void)
{
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x12, 0xc);
    TRY("movw %w0, %%es", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_NP, SEL_FREE);
    TRY("movw %w0, %%ss", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_SS, SEL_FREE);
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x1a, 0xc);
    TRY("ljmp %0, $0", : : "i"(SEL_FREE));
    CHECK_TRAP(VEC_NP, SEL_FREE);
    gdt[SEL_FREE / 8] = descriptor(0, 0xffff, 0x02, 0);
    TRY("lldt %w0", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_NP, SEL_FREE);
    gdt[SEL_FREE / 8] = descriptor(0, 0xffff, 0x09, 0);
    TRY("ltr %w0", : : "r"(SEL_FREE));
    CHECK_TRAP(VEC_NP, SEL_FREE);
    TRY("ltr %w0", : : "r"(SEL_TSS)); /* busy already */
    CHECK_TRAP(VEC_GP, SEL_TSS);
}

static void interrupt_table(void)
{
    struct table_pointer shorter = {33 * 8 - 1, (word)idt};

    idt[0x30].attr = 0x0e;
    TRY("int $0x30", );
    CHECK_TRAP(VEC_NP, GATE_ERROR(0x30));
    idt[0x30].attr = 0x8c; /* a call gate is no interrupt gate */
    TRY("int $0x30", );
    CHECK_TRAP(VEC_GP, GATE_ERROR(0x30));
    gate_set(0x30, 0, 0, 0x8e);
    TRY("int $0x30", );
    CHECK_TRAP(VEC_GP, 0);
    gate_set(0x30, 0, SEL_DATA, 0x8e);
    TRY("int $0x30", );
    CHECK_TRAP(VEC_GP, SEL_DATA);
    gate_set(0x30, (word)trap_stubs[0x30], SEL_CODE, 0x8e);
    asm volatile("lidt %0" : : "m"(shorter));
    TRY("int $0x21", );
    CHECK_TRAP(VEC_GP, GATE_ERROR(0x21));
    asm volatile("lidt %0" : : "m"(idt_pointer));
    TRY("int $0x21", );
    CHECK_TRAP(0x21, 0);
}

static void user_int_30(void)
{
    asm volatile("int $0x30");
}

static void user_cli(void)
{
    cli();
}

static void user_hlt(void)
{
    asm volatile("hlt");
}

static void user_in(void)
{
    inb(0x80);
}

static void user_cr(void)
{
    cr0_get();
}

static void user_lgdt(void)
{
    asm volatile("lgdt %0" : : "m"(gdt_pointer));
}

static void user_kernel_data(void)
{
    asm volatile("movw %w0, %%ds" : : "r"(SEL_DATA));
}

static void user_popf(void)
{
    word flags;

    /* IOPL 0 and CPL 3: IF and IOPL stay as they are, silently. */
    asm volatile("pushf; orl $0x3200, (%%esp); popf; pushf; pop %0" : "=r"(flags));
    if ((flags & 0x3200) == 0)
        USER_LEAVE();
    asm volatile("ud2");
}

static void from_ring_3(void)
{
    user_run(user_int_30);
    CHECK_TRAP(VEC_GP, GATE_ERROR(0x30));
    user_run(user_cli);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_hlt);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_in);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_cr);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_lgdt);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_kernel_data);
    CHECK_TRAP(VEC_GP, SEL_DATA);
    user_run(user_popf);
    CHECK_TRAP(VEC_LEAVE, 0);
    tss.bitmap[0x80 / 8] = 0;
    tss.iomap = offsetof(struct tss, bitmap);
    user_run(user_in);
    CHECK(last_trap.vector != VEC_GP);
    tss.iomap = offsetof(struct tss, bitmap) + 8192;
}

/* INT n pushes no error code, whatever n is, and returns behind itself. */
static void software_interrupts(void)
{
    word next = 0;

    gate_set(VEC_GP, (word)trap_stubs[0x31], SEL_CODE, 0x8e);
    TRY("movl $1f, %0; int $0x0d; 1:", : "=m"(next));
    gate_set(VEC_GP, (word)trap_stubs[VEC_GP], SEL_CODE, 0x8e);
    CHECK_TRAP(0x31, 0);
    CHECK_EQ(last_trap.ip, next);
}

static bool double_fault_seen;

static bool on_double_fault(struct trap_frame *frame)
{
    double_fault_seen = frame->error == 0;
    frame->ip = trap_resume;
    trap_resume = 0;
    return true;
}

/* 6.15: a contributory exception while another is delivered is a double fault. */
static void double_fault(void)
{
    trap_handle(VEC_DF, on_double_fault);
    idt[VEC_GP].attr = 0x0e;
    double_fault_seen = false;
    TRY("movw $0x1000, %%ax; movw %%ax, %%es", : : : "eax"); /* #GP, its gate gives #NP */
    idt[VEC_GP].attr = 0x8e;
    CHECK(double_fault_seen);

    /* #UD is benign: the #NP on its gate is delivered by itself. */
    idt[VEC_UD].attr = 0x0e;
    double_fault_seen = false;
    TRY("ud2", );
    idt[VEC_UD].attr = 0x8e;
    CHECK(!double_fault_seen);
    CHECK_TRAP(VEC_NP, GATE_ERROR(VEC_UD) | 1); /* EXT: an event outside the program */
    trap_handle(VEC_DF, NULL);
}

static void limits(void)
{
    static uint8_t bytes[16] __attribute__((aligned(16)));

    gdt[SEL_FREE / 8] = descriptor((uint32_t)bytes, 7, 0x92, 4);
    asm volatile("movw %w0, %%gs" : : "r"(SEL_FREE));
    TRY("movl %%gs:4, %%eax", : : : "eax");
    CHECK_NO_TRAP();
    TRY("movl %%gs:5, %%eax", : : : "eax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movb %%gs:8, %%al", : : : "eax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movl %%gs:-1, %%eax", : : : "eax");
    CHECK_TRAP(VEC_GP, 0);
    gdt[SEL_FREE / 8] = descriptor((uint32_t)bytes, 7, 0x96, 4); /* expand-down: valid above 7 */
    asm volatile("movw %w0, %%gs" : : "r"(SEL_FREE));
    TRY("movb %%gs:7, %%al", : : : "eax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movb %%gs:8, %%al", : : : "eax");
    CHECK_NO_TRAP();
    asm volatile("movw %w0, %%gs" : : "r"(SEL_DATA));
}

static void segment_types(void)
{
    gdt[SEL_FREE / 8] = descriptor(0, 0xfffff, 0x90, 0xc);                   /* read-only data */
    TRY("movl $0, %%eax; movw %%ax, %%gs; movl %%gs:0, %%eax", : : : "eax"); /* null segment */
    CHECK_TRAP(VEC_GP, 0);
    asm volatile("movw %w0, %%gs" : : "r"(SEL_FREE));
    TRY("movl $0, %%gs:(%0)", : : "r"(&gdt[255])); /* read-only */
    CHECK_TRAP(VEC_GP, 0);
    TRY("movl $0, %%cs:(%0)", : : "r"(&gdt[255]));
    CHECK_TRAP(VEC_GP, 0);
    asm volatile("movw %w0, %%gs" : : "r"(SEL_DATA));
}

static void reserved_bits(void)
{
    TRY("ltr %w0", : : "r"(0));
    CHECK_TRAP(VEC_GP, 0);
    TRY("rdmsr", : : "c"(0x12345) : "eax", "edx");
    CHECK_TRAP(VEC_GP, 0);
    TRY("wrmsr", : : "c"(0x12345), "a"(0), "d"(0));
    CHECK_TRAP(VEC_GP, 0);
    TRY("movl %0, %%cr0",
        :
        : "r"((cr0_get() & ~(word)0x40000000) | 0x20000000)); /* NW without CD */
    CHECK_TRAP(VEC_GP, 0);
    TRY("movl %0, %%cr4", : : "r"(cr4_get() | 0x8000)); /* reserved */
    CHECK_TRAP(VEC_GP, 0);
    TRY(".byte 0xf1", ); /* INT1 */
    CHECK_TRAP(VEC_DB, 0);
}

void test_main(void)
{
    test("faults", faults);
    test("device-not-available", device_not_available);
    test("general-protection", general_protection);
    test("not-present", not_present);
    test("interrupt-table", interrupt_table);
    test("software-interrupts", software_interrupts);
    test("from-ring-3", from_ring_3);
    test("double-fault", double_fault);
    test("limits", limits);
    test("segment-types", segment_types);
    test("reserved-bits", reserved_bits);
}
