/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Local APICs: without these, processors do not start, timers do not tick, interrupts are lost. */
#include "hw/irq/lapic.h"
#include "hwtest.h"

#define CPUS 20

struct fixture {
    struct clock *clock;
    struct lapic *l;
    bool intr[CPUS];
    unsigned nmi[CPUS], init[CPUS], sipi[CPUS];
    uint8_t sipi_vector;
    int eoi;
    int pic_vector;
};

static void on_intr(void *ctx, unsigned cpu, bool level)
{
    ((struct fixture *)ctx)->intr[cpu] = level;
}

static void on_nmi(void *ctx, unsigned cpu)
{
    ((struct fixture *)ctx)->nmi[cpu]++;
}

static void on_init(void *ctx, unsigned cpu)
{
    ((struct fixture *)ctx)->init[cpu]++;
}

static void on_sipi(void *ctx, unsigned cpu, uint8_t vector)
{
    ((struct fixture *)ctx)->sipi[cpu]++;
    ((struct fixture *)ctx)->sipi_vector = vector;
}

static void on_eoi(void *ctx, uint8_t vector)
{
    ((struct fixture *)ctx)->eoi = vector;
}

static int on_pic_ack(void *ctx)
{
    return ((struct fixture *)ctx)->pic_vector;
}

/* A TSC of 2 GHz that began with guest time. */
static uint64_t on_tsc_to_ns(void *ctx, unsigned cpu, uint64_t tsc)
{
    (void)ctx;
    (void)cpu;
    return tsc / 2;
}

static uint32_t get(struct fixture *f, unsigned cpu, unsigned offset)
{
    return (uint32_t)lapic_mmio_read(f->l, cpu, offset, 4);
}

static void set(struct fixture *f, unsigned cpu, unsigned offset, uint32_t value)
{
    lapic_mmio_write(f->l, cpu, offset, 4, value);
}

static bool wrmsr(struct fixture *f, unsigned cpu, uint32_t msr, uint64_t value)
{
    return lapic_msr(f->l, cpu, msr, &value, true);
}

static bool rdmsr(struct fixture *f, unsigned cpu, uint32_t msr, uint64_t *ret)
{
    return lapic_msr(f->l, cpu, msr, ret, false);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->clock = test_clock();
    f->eoi = f->pic_vector = -1;
    struct lapic_env env = {
        .cpus = CPUS,
        .clock = f->clock,
        .intr = on_intr,
        .nmi = on_nmi,
        .init = on_init,
        .sipi = on_sipi,
        .ioapic_eoi = on_eoi,
        .pic_ack = on_pic_ack,
        .tsc_to_ns = on_tsc_to_ns,
        .ctx = f,
    };
    assert_int_equal(lapic_new(&env, &f->l), 0);
    for (unsigned i = 0; i < CPUS; i++)
        set(f, i, 0xf0, 0x1ff);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    lapic_dev_ops.free(f->l);
    clock_free(f->clock);
    free(f);
    return 0;
}

static void msi(struct fixture *f, uint8_t dest, uint32_t data)
{
    lapic_msi(f->l, 0xfee00000 | (uint64_t)dest << 12, data);
}

static void test_fixed_and_priorities(void **state)
{
    struct fixture *f = *state;
    msi(f, 3, 0x41);
    assert_true(f->intr[3]);
    assert_false(f->intr[0]);
    assert_int_equal(lapic_intr_ack(f->l, 3), 0x41);
    assert_false(f->intr[3]);
    assert_int_equal(get(f, 3, 0xa0), 0x40);
    msi(f, 3, 0x4f); /* same class: waits */
    assert_false(f->intr[3]);
    msi(f, 3, 0x51);
    assert_int_equal(lapic_intr_ack(f->l, 3), 0x51);
    set(f, 3, 0xb0, 0);
    set(f, 3, 0xb0, 0);
    assert_true(f->intr[3]);
    lapic_tpr_set(f->l, 3, 4);
    assert_false(f->intr[3]);
    assert_int_equal(get(f, 3, 0x80), 0x40);
    assert_int_equal(lapic_intr_ack(f->l, 3), -1);
    lapic_tpr_set(f->l, 3, 3);
    assert_int_equal(lapic_intr_ack(f->l, 3), 0x4f);
}

static void test_level_eoi_goes_to_ioapic(void **state)
{
    struct fixture *f = *state;
    msi(f, 0, 0x60);
    lapic_intr_ack(f->l, 0);
    set(f, 0, 0xb0, 0);
    assert_int_equal(f->eoi, -1);
    msi(f, 0, 0xc061);
    assert_int_equal(get(f, 0, 0x1b0), 2);
    lapic_intr_ack(f->l, 0);
    set(f, 0, 0xb0, 0);
    assert_int_equal(f->eoi, 0x61);
}

static void test_start_of_other_processors(void **state)
{
    struct fixture *f = *state;
    set(f, 0, 0x310, 1u << 24);
    set(f, 0, 0x300, 0x4500);
    assert_int_equal(f->init[1], 1);
    assert_int_equal(get(f, 1, 0xf0), 0xff);
    set(f, 0, 0x300, 0x8500); /* de-assert */
    set(f, 0, 0x300, 0x4608);
    assert_int_equal(f->init[1], 1);
    assert_int_equal(f->sipi[1], 1);
    assert_int_equal(f->sipi_vector, 8);
    set(f, 0, 0x300, 0xc4500); /* SeaBIOS: all but self */
    assert_int_equal(f->init[0], 0);
    assert_int_equal(f->init[CPUS - 1], 1);
    set(f, 0, 0x300, 0xc4400);
    assert_int_equal(f->nmi[0], 0);
    assert_int_equal(f->nmi[2], 1);
}

static void test_shorthands_and_logical(void **state)
{
    struct fixture *f = *state;
    set(f, 2, 0x300, 0x40033);
    assert_true(f->intr[2]);
    assert_false(f->intr[1]);
    set(f, 2, 0x300, 0x80034);
    assert_int_equal(lapic_intr_ack(f->l, 7), 0x34);
    /* Flat. */
    set(f, 4, 0xd0, 0x10000000);
    set(f, 5, 0xd0, 0x20000000);
    set(f, 0, 0x310, 0x30000000);
    set(f, 0, 0x300, 0x0871);
    assert_int_equal(lapic_intr_ack(f->l, 4), 0x71);
    assert_int_equal(lapic_intr_ack(f->l, 5), 0x71);
    assert_int_not_equal(lapic_intr_ack(f->l, 6), 0x71);
    /* Cluster 2, second member. */
    set(f, 8, 0xe0, 0x0fffffff);
    set(f, 8, 0xd0, 0x22000000);
    set(f, 9, 0xe0, 0x0fffffff);
    set(f, 9, 0xd0, 0x21000000);
    lapic_msi(f->l, 0xfee22004, 0x81);
    assert_int_equal(lapic_intr_ack(f->l, 8), 0x81);
    assert_int_not_equal(lapic_intr_ack(f->l, 9), 0x81);
}

static void test_lowest_priority(void **state)
{
    struct fixture *f = *state;
    set(f, 4, 0xd0, 0x10000000);
    set(f, 5, 0xd0, 0x20000000);
    lapic_tpr_set(f->l, 4, 2);
    lapic_msi(f->l, 0xfee3000c, 0x0171);
    assert_false(f->intr[4]);
    assert_true(f->intr[5]);
}

static void test_extint(void **state)
{
    struct fixture *f = *state;
    f->pic_vector = 0x08;
    lapic_lint(f->l, 0, true);
    assert_true(f->intr[0]); /* as a BIOS sets it up */
    assert_false(f->intr[1]);
    assert_int_equal(lapic_intr_ack(f->l, 0), 0x08);
    set(f, 0, 0x350, 0x10700);
    assert_false(f->intr[0]);
    set(f, 0, 0x350, 0x00045); /* as an ordinary interrupt */
    lapic_lint(f->l, 0, false);
    lapic_lint(f->l, 0, true);
    assert_int_equal(lapic_intr_ack(f->l, 0), 0x45);
    set(f, 1, 0x360, 0x400);
    lapic_lint(f->l, 1, true);
    assert_int_equal(f->nmi[1], 1);
    /* Switched off, the processor has an INTR pin. */
    lapic_lint(f->l, 0, true);
    assert_false(f->intr[1]);
    assert_true(wrmsr(f, 1, 0x1b, 0xfee00000));
    assert_true(f->intr[1]);
    assert_false(lapic_claims(f->l, 1, 0xfee00000));
}

static void test_timer_modes(void **state)
{
    struct fixture *f = *state;
    set(f, 0, 0x3e0, 0x3); /* by 16 */
    set(f, 0, 0x320, 0x31);
    set(f, 0, 0x380, 1000);
    clock_advance(f->clock, 8000);
    assert_int_equal(get(f, 0, 0x390), 500);
    clock_advance(f->clock, 7999);
    assert_false(f->intr[0]);
    clock_advance(f->clock, 1);
    assert_int_equal(lapic_intr_ack(f->l, 0), 0x31);
    set(f, 0, 0xb0, 0);
    assert_int_equal(get(f, 0, 0x390), 0);
    set(f, 0, 0x320, 0x20031); /* a finished count does not begin anew */
    assert_int_equal(get(f, 0, 0x390), 0);
    set(f, 0, 0x380, 10000); /* 160 us */
    unsigned ticks = 0;
    for (unsigned i = 0; i < 1600; i++) {
        clock_advance(f->clock, US(1));
        if (lapic_intr_ack(f->l, 0) == 0x31) {
            ticks++;
            set(f, 0, 0xb0, 0);
        }
    }
    assert_int_equal(ticks, 10);
    clock_advance(f->clock, US(80));
    set(f, 0, 0x320, 0x31); /* periodic to one-shot goes on */
    assert_int_equal(get(f, 0, 0x390), 5000);
    clock_advance(f->clock, US(80));
    assert_true(f->intr[0]);
    clock_advance(f->clock, MS(1));
    assert_int_equal(get(f, 0, 0x390), 0);
    /* The shortest period there is must not keep the host busy for ever. */
    set(f, 0, 0x3e0, 0xb);
    set(f, 0, 0x320, 0x20031);
    set(f, 0, 0x380, 1);
    clock_advance(f->clock, MS(10));
}

static void test_tsc_deadline(void **state)
{
    struct fixture *f = *state;
    uint64_t value;
    assert_true(wrmsr(f, 0, 0x6e0, 5000)); /* ignored in other modes */
    assert_true(rdmsr(f, 0, 0x6e0, &value));
    assert_int_equal(value, 0);
    set(f, 0, 0x320, 0x40032);
    assert_true(wrmsr(f, 0, 0x6e0, 5000));
    clock_advance(f->clock, 2499);
    assert_false(f->intr[0]);
    clock_advance(f->clock, 1);
    assert_true(f->intr[0]);
    assert_true(rdmsr(f, 0, 0x6e0, &value));
    assert_int_equal(value, 0);
}

/* A guest that finds its next deadline gone by must not wait for whoever runs the clock. */
static void test_past_deadline(void **state)
{
    struct fixture *f = *state;
    uint64_t value;
    clock_advance(f->clock, 2500);
    set(f, 0, 0x320, 0x40032);
    assert_true(wrmsr(f, 0, 0x6e0, 5000));
    assert_true(f->intr[0]);
    assert_true(rdmsr(f, 0, 0x6e0, &value));
    assert_int_equal(value, 0);
}

static void test_x2apic(void **state)
{
    struct fixture *f = *state;
    uint64_t value;
    assert_false(rdmsr(f, 17, 0x802, &value));
    assert_false(wrmsr(f, 17, 0x1b, 0xfee00400));
    assert_true(wrmsr(f, 17, 0x1b, 0xfee00c00));
    assert_false(wrmsr(f, 17, 0x1b, 0xfee00800));
    assert_false(lapic_claims(f->l, 17, 0xfee00000));
    assert_true(rdmsr(f, 17, 0x802, &value));
    assert_int_equal(value, 17);
    assert_true(rdmsr(f, 17, 0x80d, &value));
    assert_int_equal(value, 0x10002);
    assert_false(rdmsr(f, 17, 0x80e, &value));
    assert_false(wrmsr(f, 17, 0x80b, 1));
    assert_false(rdmsr(f, 17, 0x83f, &value));
    assert_false(wrmsr(f, 17, 0x80d, 0));
    assert_false(wrmsr(f, 17, 0x808, 0x100));
    assert_true(wrmsr(f, 17, 0x83f, 0x77));
    assert_int_equal(lapic_intr_ack(f->l, 17), 0x77);
    assert_true(wrmsr(f, 17, 0x80b, 0));
    assert_true(wrmsr(f, 17, 0x830, 17ull << 32 | 0x78));
    assert_int_equal(lapic_intr_ack(f->l, 17), 0x78);
    assert_true(wrmsr(f, 17, 0x830, 0x10002ull << 32 | 0x890)); /* logical */
    assert_true(f->intr[17]);
    assert_true(wrmsr(f, 17, 0x830, 0xffffffffull << 32 | 0x4400));
    assert_int_equal(f->nmi[0], 1);
    /* Remapped interrupts: cluster 0 is not everybody, and 0xff is its first eight. */
    lapic_msi_x2apic(f->l, 0xff, 0xfee00004, 0x400);
    assert_int_equal(f->nmi[17], 1);
    lapic_msi_x2apic(f->l, 0x10002, 0xfee00004, 0x400);
    assert_int_equal(f->nmi[17], 2);
    lapic_msi_x2apic(f->l, 17, 0xfee00000, 0x400);
    assert_int_equal(f->nmi[17], 3);
    assert_true(wrmsr(f, 17, 0x1b, 0xfee00000));
    assert_false(wrmsr(f, 17, 0x1b, 0xfee00c00));
    assert_false(wrmsr(f, 17, 0x1b, 1ull << 50 | 0x800));
}

static void test_errors(void **state)
{
    struct fixture *f = *state;
    set(f, 0, 0x370, 0xee);
    set(f, 0, 0x300, 0x40005);
    assert_int_equal(lapic_intr_ack(f->l, 0), 0xee);
    assert_int_equal(get(f, 0, 0x280), 0);
    set(f, 0, 0x280, 0);
    assert_int_equal(get(f, 0, 0x280), 0x20);
    get(f, 0, 0x40);
    set(f, 0, 0x280, 0);
    assert_int_equal(get(f, 0, 0x280), 0x80);
    set(f, 0, 0x370, 5);
    msi(f, 0, 0x0f);
    set(f, 0, 0x280, 0);
    assert_int_equal(get(f, 0, 0x280), 0x40);
}

static void test_software_disable(void **state)
{
    struct fixture *f = *state;
    set(f, 0, 0x320, 0x31);
    set(f, 0, 0xf0, 0xff);
    assert_int_equal(get(f, 0, 0x320), 0x10031);
    set(f, 0, 0x320, 0x31);
    assert_int_equal(get(f, 0, 0x320), 0x10031);
    msi(f, 0, 0x55);
    assert_false(f->intr[0]);
    msi(f, 0, 0x400);
    assert_int_equal(f->nmi[0], 1);
}

/* Handed over as pages and back, nothing a guest can see is different: counts, deadlines, queues. */
static void test_pages(void **state)
{
    struct fixture *f = *state;
    uint8_t page[LAPIC_PAGE_BYTES], again[LAPIC_PAGE_BYTES];
    uint64_t base, deadline, value;

    msi(f, 0, 0x55);
    msi(f, 0, 0x46);
    assert_int_equal(lapic_intr_ack(f->l, 0), 0x55);
    set(f, 0, 0x80, 0x20);
    set(f, 0, 0x3e0, 0x3);
    set(f, 0, 0x320, 0x20031);
    set(f, 0, 0x380, 2000);
    clock_advance(f->clock, 8000);
    set(f, 1, 0x320, 0x40032);
    assert_true(wrmsr(f, 1, 0x6e0, 100000));
    assert_true(wrmsr(f, 2, 0x1b, 0xfee00c00));
    assert_true(wrmsr(f, 2, 0x830, 0x300000055));
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        lapic_page_get(f->l, cpu, page, &base, &deadline);
        lapic_page_put(f->l, 10 + cpu, page, base, deadline); /* a neighbour's, to see all of it */
        lapic_page_put(f->l, cpu, page, base, deadline);
        lapic_page_get(f->l, cpu, again, &base, &deadline);
        assert_memory_equal(page, again, sizeof(page));
    }
    assert_int_equal(get(f, 10, 0x390), 1500);
    assert_int_equal(get(f, 10, 0x80), 0x20);
    assert_int_equal(get(f, 10, 0x100 + 2 * 16), 1u << 21);
    assert_int_equal(get(f, 10, 0x200 + 2 * 16), 1u << 6);
    set(f, 10, 0xb0, 0); /* the one in service ends: the next can come */
    assert_int_equal(lapic_intr_ack(f->l, 10), 0x46);
    set(f, 10, 0xb0, 0);
    clock_advance(f->clock, 24000);
    assert_int_equal(lapic_intr_ack(f->l, 10), 0x31);
    clock_advance(f->clock, 50000 - 32000 - 1);
    assert_false(f->intr[11]);
    clock_advance(f->clock, 1);
    assert_int_equal(lapic_intr_ack(f->l, 11), 0x32);
    assert_true(rdmsr(f, 12, 0x830, &value));
    assert_int_equal(value, 0x300000055);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_fixed_and_priorities),
        T(test_level_eoi_goes_to_ioapic),
        T(test_start_of_other_processors),
        T(test_shorthands_and_logical),
        T(test_lowest_priority),
        T(test_extint),
        T(test_timer_modes),
        T(test_tsc_deadline),
        T(test_past_deadline),
        T(test_x2apic),
        T(test_errors),
        T(test_software_disable),
        T(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
