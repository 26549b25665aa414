/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clocks and timers against each other: 8254, RTC, PM timer, HPET, TSC, local APIC timer in its
 * three modes. Rates are held to 20 %, since the host may be busy.
 *
 * QEMU's 8254 (7.2) counts on in mode 0 when its gate is low.
 */
#include "lib/kernel.h"

#define APIC 0xfee00000u
#define HPET 0xfed00000u
#define PM_TIMER 0x608
#define PM_HZ 3579545u

static volatile uint32_t hits, rtc_hits;

static inline uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(APIC + reg);
}

static inline void apic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(APIC + reg) = v;
}

static bool on_timer(struct trap_frame *frame)
{
    (void)frame;
    hits++;
    apic_write(0xb0, 0);
    return true;
}

static uint32_t pm_now(void)
{
    return inl(PM_TIMER) & 0xffffff;
}

/* Busy for a number of PM timer ticks. */
static void pm_wait(uint32_t ticks)
{
    uint32_t start = pm_now();

    while (((pm_now() - start) & 0xffffff) < ticks)
        asm volatile("pause");
}

static bool near(uint64_t have, uint64_t want)
{
    return have * 10 >= want * 8 && have * 10 <= want * 12;
}

/* A host that is busy may take the processor away in the middle: measure until it did not. */
#define TRIES 20
#define CHECK_NEAR(measure, want)                                                                  \
    do {                                                                                           \
        uint64_t near_have_ = 0;                                                                   \
        for (unsigned near_try_ = 0; near_try_ < TRIES; near_try_++) {                             \
            near_have_ = (measure);                                                                \
            if (near(near_have_, want))                                                            \
                break;                                                                             \
        }                                                                                          \
        if (!near(near_have_, want))                                                               \
            check_eq_failed(__LINE__, #measure, (word)near_have_, (word)(want));                   \
    } while (0)

static uint16_t pit_read(unsigned n)
{
    uint16_t lo;

    outb(0x43, (uint8_t)(n << 6));
    lo = inb((uint16_t)(0x40 + n));
    return (uint16_t)(lo | inb((uint16_t)(0x40 + n)) << 8);
}

static uint16_t pit_counts(void)
{
    uint16_t before = pit_read(2);

    pm_wait(PM_HZ / 50);
    return (uint16_t)(before - pit_read(2));
}

static void pit(void)
{
    uint16_t before;

    outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1)); /* gate of counter 2 */
    outb(0x43, 0xb4);                            /* mode 2 */
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    CHECK_NEAR(pit_counts(), 23864); /* in 20 ms */
    /* Mode 0 on counter 2: OUT can be seen in port 61. */
    outb(0x43, 0xb0);
    outb(0x42, 0x10);
    outb(0x42, 0x10);
    CHECK_EQ(inb(0x61) & 0x20, 0);
    pm_wait(PM_HZ / 100);
    CHECK_EQ(inb(0x61) & 0x20, 0x20);
    /* The status by the read-back command: mode, access, null count, OUT. */
    outb(0x43, 0xe8);
    CHECK_EQ(inb(0x42) & 0xbf, 0xb0);
    /* With the gate low counting stops. */
    outb(0x43, 0xb0);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    outb(0x61, (uint8_t)(inb(0x61) & ~1));
    before = pit_read(2);
    pm_wait(PM_HZ / 200);
    CHECK_EQ(pit_read(2), before);
}

static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static void rtc(void)
{
    unsigned spin;
    uint8_t second;

    CHECK(cmos(0x0d) & 0x80);
    for (spin = 0; spin < 30000000 && !(cmos(0x0a) & 0x80); spin++)
        ;
    CHECK(spin < 30000000); /* update in progress is seen each second */
    while (cmos(0x0a) & 0x80)
        ;
    second = cmos(0);
    pm_wait(PM_HZ * 11 / 10);
    CHECK(cmos(0) != second);
    CHECK(cmos(0x32) == 0x20 || cmos(0x32) == 20);
    /* The periodic flag at 1,024 Hz. */
    outb(0x70, 0x0a);
    outb(0x71, 0x26);
    outb(0x70, 0x0b);
    outb(0x71, (uint8_t)(cmos(0x0b) | 0x40));
    cmos(0x0c);
    pm_wait(PM_HZ / 100);
    CHECK(cmos(0x0c) & 0x40);
    outb(0x70, 0x0b);
    outb(0x71, (uint8_t)(cmos(0x0b) & ~0x40));
}

static volatile uint32_t *const counter = (uint32_t *)(HPET + 0xf0);

static uint32_t hpet_counts(void)
{
    uint32_t before = *counter;

    pm_wait(PM_HZ / 50);
    return *counter - before;
}

static void hpet(void)
{
    volatile uint32_t *capabilities = (uint32_t *)HPET, *config = (uint32_t *)(HPET + 0x10);
    uint32_t period = capabilities[1], before, hz; /* femtoseconds a tick */

    CHECK(period > 0 && period <= 100000000);
    hz = 1000000000u / (period / 1000000);
    *config |= 1;
    CHECK_NEAR(hpet_counts(), hz / 50);
    *config &= ~1u;
    before = *counter;
    pm_wait(PM_HZ / 1000);
    CHECK_EQ(*counter, before);
}

static uint32_t apic_hz;

static uint32_t apic_counts(void)
{
    apic_write(0x380, 0xffffffff);
    pm_wait(PM_HZ / 50);
    return 0xffffffff - apic_read(0x390);
}

static void one_shot(void)
{
    trap_handle(0x40, on_timer);
    wrmsr(0x1b, (rdmsr(0x1b) & 0xfff) | APIC | 0x800);
    apic_write(0xf0, 0x1ff);
    apic_write(0x3e0, 0xb); /* divide by 1 */
    apic_write(0x320, 0x10000);
    apic_hz = apic_counts() * 50;
    CHECK(apic_hz > 1000000);
    apic_write(0x320, 0x40);
    hits = 0;
    apic_write(0x380, apic_hz / 100);
    sti();
    pm_wait(PM_HZ / 20);
    cli();
    CHECK_EQ(hits, 1);
    CHECK_EQ(apic_read(0x390), 0);
    apic_write(0x3e0, 3); /* by 16 */
    apic_write(0x320, 0x10000);
    CHECK_NEAR((uint64_t)apic_counts() * 16, apic_hz / 50);
    apic_write(0x380, 0);
}

static void periodic(void)
{
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x20040);
    hits = 0;
    apic_write(0x380, apic_hz / 200);
    sti();
    pm_wait(PM_HZ / 5); /* 40 of them */
    cli();
    apic_write(0x380, 0);
    CHECK(hits >= 10 && hits <= 60);
    hits = 0;
    sti();
    pm_wait(PM_HZ / 50);
    cli();
    CHECK(hits <= 1);
}

static void deadline(void)
{
    uint64_t start = rdtsc(), hz;

    pm_wait(PM_HZ / 50);
    hz = (rdtsc() - start) * 50;
    apic_write(0x320, 0x40040);
    hits = 0;
    wrmsr(0x6e0, rdtsc() + hz / 100);
    CHECK(rdmsr(0x6e0) != 0);
    sti();
    pm_wait(PM_HZ / 20);
    cli();
    CHECK_EQ(hits, 1);
    CHECK_EQ(rdmsr(0x6e0), 0);
    wrmsr(0x6e0, rdtsc() - 1000); /* in the past: at once */
    sti();
    pm_wait(PM_HZ / 100);
    cli();
    CHECK_EQ(hits, 2);
    wrmsr(0x6e0, rdtsc() + hz / 100);
    wrmsr(0x6e0, 0); /* called off */
    sti();
    pm_wait(PM_HZ / 40);
    cli();
    CHECK_EQ(hits, 2);
    apic_write(0x320, 0x40); /* in the other modes the MSR reads as zero */
    wrmsr(0x6e0, rdtsc() + hz);
    CHECK_EQ(rdmsr(0x6e0), 0);
}

void test_main(void)
{
    test("pit", pit);
    test("rtc", rtc);
    test("hpet", hpet);
    test("apic-one-shot", one_shot);
    test("apic-periodic", periodic);
    if (has_cpuid_bit(1, 2, 24))
        test("apic-deadline", deadline);
    else
        test_skip("apic-deadline", "the processor has none");
}
