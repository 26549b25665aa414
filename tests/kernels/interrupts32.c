/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts: 8259A pair, IOAPIC, local APIC with interprocessor interrupts, NMI, and the shadows
 * of STI and MOV SS. SDM vol. 3, chapters 6 and 11; 8259A and 82093AA datasheets.
 */
#include "lib/kernel.h"

#define APIC 0xfee00000u
#define IOAPIC 0xfec00000u
#define PIC_BASE 0x20

static volatile uint32_t hits[256], order[16], ordered;
static volatile uint32_t last_ip;

static inline uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(APIC + reg);
}

static inline void apic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(APIC + reg) = v;
}

static void ioapic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)IOAPIC = reg;
    *(volatile uint32_t *)(IOAPIC + 0x10) = v;
}

static bool on_pic(struct trap_frame *frame)
{
    hits[frame->vector]++;
    last_ip = frame->ip;
    if (ordered < ARRAY_LEN(order))
        order[ordered++] = frame->vector;
    if (frame->vector >= PIC_BASE + 8)
        outb(0xa0, 0x20);
    outb(0x20, 0x20);
    return true;
}

static bool on_apic(struct trap_frame *frame)
{
    hits[frame->vector]++;
    last_ip = frame->ip;
    if (ordered < ARRAY_LEN(order))
        order[ordered++] = frame->vector;
    apic_write(0xb0, 0);
    return true;
}

static bool on_nmi(struct trap_frame *frame)
{
    hits[frame->vector]++;
    return true;
}

static void pics_setup(void)
{
    static const uint8_t master[] = {0x11, PIC_BASE, 4, 1}, slave[] = {0x11, PIC_BASE + 8, 2, 1};

    for (unsigned i = 0; i < 4; i++) {
        outb(i ? 0x21 : 0x20, master[i]);
        outb(i ? 0xa1 : 0xa0, slave[i]);
    }
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    for (unsigned v = 0; v < 16; v++)
        trap_handle(PIC_BASE + v, on_pic);
}

/* Counter 0 of the 8254 once, in mode 0: OUT rises when it is over. */
static void pit_once(uint16_t count)
{
    outb(0x43, 0x30);
    outb(0x40, (uint8_t)count);
    outb(0x40, (uint8_t)(count >> 8));
}

static bool wait_for(volatile uint32_t *counter, uint32_t value)
{
    for (unsigned spin = 0; spin < 20000000 && *counter < value; spin++)
        asm volatile("pause");
    return *counter >= value;
}

static void pic_timer(void)
{
    hits[PIC_BASE] = 0;
    outb(0x21, 0xfe);
    pit_once(1000);
    sti();
    CHECK(wait_for(&hits[PIC_BASE], 1));
    cli();
    CHECK_EQ(hits[PIC_BASE], 1);
    /* Masked it stays in the request register, and comes when it is let through. */
    outb(0x21, 0xff);
    pit_once(100);
    outb(0x20, 0x0a);
    for (unsigned spin = 0; spin < 2000000 && !(inb(0x20) & 1); spin++)
        asm volatile("pause");
    CHECK_EQ(inb(0x20) & 1, 1);
    sti();
    asm volatile("nop");
    cli();
    CHECK_EQ(hits[PIC_BASE], 1);
    outb(0x21, 0xfe);
    sti();
    asm volatile("nop; nop");
    cli();
    CHECK_EQ(hits[PIC_BASE], 2);
    outb(0x21, 0xff);
}

/* HLT ends with the interrupt, whose return address is the next instruction. */
static void halt(void)
{
    uint32_t after;

    outb(0x21, 0xfe);
    hits[PIC_BASE] = 0;
    pit_once(2000);
    asm volatile("movl $1f, %0; sti; hlt; 1: cli" : "=r"(after) : : "memory");
    outb(0x21, 0xff);
    CHECK_EQ(hits[PIC_BASE], 1);
    CHECK_EQ(last_ip, after);
}

/* An interrupt in the very moment of a HLT ends it, and its handler runs to its end. */
static void halt_under_fire(void)
{
    outb(0x43, 0x34); /* 8254, mode 2, 5 kHz */
    outb(0x40, 239);
    outb(0x40, 0);
    outb(0x21, 0xfe);
    hits[PIC_BASE] = 0;
    sti();
    for (unsigned i = 0; i < 1500; i++) {
        for (volatile unsigned spin = 0; spin < i % 97; spin++)
            ;
        asm volatile("hlt");
        CHECK(flags_get() & FLAG_IF);
    }
    cli();
    outb(0x21, 0xff);
    outb(0x43, 0x30);
    CHECK(hits[PIC_BASE] >= 1500);
}

static void apic_setup(void)
{
    wrmsr(0x1b, (rdmsr(0x1b) & 0xfff) | APIC | 0x800);
    apic_write(0xf0, 0x1ff);
    apic_write(0x80, 0);
    apic_write(0xe0, 0xffffffff);
    apic_write(0xd0, 0x01000000);
    for (unsigned v = 0x40; v < 0x100; v++)
        if (v != VEC_LEAVE)
            trap_handle(v, on_apic);
}

static void self_ipi(uint32_t vector)
{
    apic_write(0x310, apic_read(0x20));
    apic_write(0x300, 0x4000 | vector);
}

static void interprocessor(void)
{
    ordered = 0;
    self_ipi(0x51);
    self_ipi(0x61);
    self_ipi(0x52);
    CHECK(apic_read(0x200 + 0x10 * (0x51 / 32)) >> (0x51 % 32) & 1);
    CHECK(apic_read(0x200 + 0x10 * (0x61 / 32)) >> (0x61 % 32) & 1);
    sti();
    asm volatile("nop; nop; nop");
    cli();
    CHECK_EQ(ordered, 3);
    CHECK_EQ(order[0], 0x61);
    CHECK_EQ(order[1], 0x52);
    CHECK_EQ(order[2], 0x51);
    /* The shorthands: self, and all including self. */
    ordered = 0;
    apic_write(0x300, 0x40000 | 0x4000 | 0x71);
    apic_write(0x300, 0x80000 | 0x4000 | 0x72);
    sti();
    asm volatile("nop; nop; nop");
    cli();
    CHECK_EQ(ordered, 2);
    /* Logical destination. */
    ordered = 0;
    apic_write(0x310, 0x01000000);
    apic_write(0x300, 0x4800 | 0x73);
    apic_write(0x310, 0x02000000);
    apic_write(0x300, 0x4800 | 0x74);
    sti();
    asm volatile("nop; nop; nop");
    cli();
    CHECK_EQ(ordered, 1);
    CHECK_EQ(order[0], 0x73);
}

static void task_priority(void)
{
    ordered = 0;
    apic_write(0x80, 0x60);
    self_ipi(0x65);
    self_ipi(0x75);
    sti();
    asm volatile("nop; nop; nop");
    cli();
    CHECK_EQ(ordered, 1);
    CHECK_EQ(order[0], 0x75);
    CHECK_EQ(apic_read(0xa0), 0x60);
    sti();
    apic_write(0x80, 0);
    asm volatile("nop; nop; nop");
    cli();
    CHECK_EQ(ordered, 2);
    CHECK_EQ(order[1], 0x65);
}

/* After STI (that changes IF) and after a load of SS one more instruction runs first. */
static void shadows(void)
{
    uint32_t at;

    ordered = 0;
    self_ipi(0x55);
    asm volatile("movl $1f, %0; sti; nop; 1: nop; cli" : "=r"(at) : : "memory");
    CHECK_EQ(ordered, 1);
    CHECK_EQ(last_ip, at);
    self_ipi(0x55);
    asm volatile("sti; cli; nop" : : : "memory"); /* the shadow hides it altogether */
    CHECK_EQ(ordered, 1);
    sti();
    asm volatile("nop; nop");
    cli();
    CHECK_EQ(ordered, 2);
    /* POPF has no shadow. */
    self_ipi(0x55);
    asm volatile("movl $1f, %0; pushf; orl $0x200, (%%esp); popf; 1: nop; cli"
                 : "=r"(at)
                 :
                 : "memory", "cc");
    CHECK_EQ(ordered, 3);
    CHECK_EQ(last_ip, at);
}

static void nmi(void)
{
    trap_handle(VEC_NMI, on_nmi);
    hits[VEC_NMI] = 0;
    apic_write(0x310, apic_read(0x20));
    apic_write(0x300, 0x4400);
    CHECK(wait_for(&hits[VEC_NMI], 1)); /* IF is clear */
    CHECK_EQ(hits[VEC_NMI], 1);
    trap_handle(VEC_NMI, NULL);
}

/* The timer's line goes to pin 2 of the IOAPIC. */
static void io_apic(void)
{
    uint32_t id = apic_read(0x20);

    hits[0x91] = 0;
    ioapic_write(0x10 + 2 * 2 + 1, id);
    ioapic_write(0x10 + 2 * 2, 0x91);
    pit_once(1000);
    sti();
    CHECK(wait_for(&hits[0x91], 1));
    cli();
    ioapic_write(0x10 + 2 * 2, 0x10000);
    pit_once(100);
    for (unsigned i = 0; i < 2000; i++)
        inb(0x80);
    sti();
    asm volatile("nop; nop");
    cli();
    CHECK_EQ(hits[0x91], 1);
    *(volatile uint32_t *)IOAPIC = 1;
    CHECK_EQ(*(volatile uint32_t *)(IOAPIC + 0x10) >> 16 & 0xff, 23);
}

/* x2APIC: registers as MSRs, no MMIO any more; self-IPI register. SDM vol. 3, 11.12. */
static void x2apic(void)
{
    if (!has_cpuid_bit(1, 2, 21)) {
        test_skip("x2apic", "the processor has none");
        return;
    }
    wrmsr(0x1b, rdmsr(0x1b) | 0x400);
    CHECK_EQ(rdmsr(0x802), apic_read(0x20) == 0xffffffff ? 0 : rdmsr(0x802));
    ordered = 0;
    wrmsr(0x83f, 0x77);
    if (!is_kvm()) { /* which lets the virtual APIC page answer before Linux 6.3 */
        TRY("rdmsr", : : "c"(0x80e) : "eax", "edx"); /* no DFR here */
        CHECK_TRAP(VEC_GP, 0);
    }
    TRY("wrmsr", : : "c"(0x802), "a"(1), "d"(0)); /* the ID is read-only */
    CHECK_TRAP(VEC_GP, 0);
    CHECK(rdmsr(0x820 + 0x77 / 32) >> (0x77 % 32) & 1);
    wrmsr(0x80b, 0);
    if (!is_kvm()) { /* which looks at the value only where the processor does it */
        TRY("wrmsr", : : "c"(0x80b), "a"(1), "d"(0));
        CHECK_TRAP(VEC_GP, 0);
    }
    TRY("wrmsr", : : "c"(0x1b), "a"(APIC | 0x900), "d"(0)); /* straight back to xAPIC: no */
    CHECK_TRAP(VEC_GP, 0);
}

/*
 * Nothing is offered whose state a saved machine could not take along: of what KVM has for guests
 * the clock alone. Not CPUID's word only: its registers for page faults are not there.
 */
static void paravirtual(void)
{
    uint32_t r[4];

    if (is_kvm()) {
        cpuid(0x40000001, 0, r);
        CHECK_EQ(r[0] & ~(1u << 1 | 1u << 3 | 1u << 24), 0);
    }
    TRY("rdmsr", : : "c"(0x4b564d02) : "eax", "edx");
    CHECK_TRAP(VEC_GP, 0);
}

void test_main(void)
{
    pics_setup();
    test("pic-timer", pic_timer);
    test("halt", halt);
    test("halt-under-fire", halt_under_fire);
    apic_setup();
    test("interprocessor", interprocessor);
    test("task-priority", task_priority);
    test("shadows", shadows);
    test("nmi", nmi);
    test("io-apic", io_apic);
    test("x2apic", x2apic);
    test("paravirtual", paravirtual);
}
