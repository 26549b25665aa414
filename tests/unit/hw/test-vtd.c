/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel VT-d: without these a device reaches memory that its guest took from it, sends interrupts
 * that are not its own, or a driver waits for ever for its invalidations.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "hw/iommu/vtd.h"
#include "hwtest.h"

#define ROOT 0x1000u
#define CONTEXTS 0x2000u
#define TABLE 0x3000u /* of the highest level; the next ones follow */
#define QUEUE 0x10000u
#define STATUS 0x12000u
#define IRTES 0x14000u
#define DEVFN 0x18u
#define DOMAIN 7u

enum {
    VER = 0x00,
    CAP = 0x08,
    ECAP = 0x10,
    GCMD = 0x18,
    GSTS = 0x1c,
    RTADDR = 0x20,
    CCMD = 0x28,
    FSTS = 0x34,
    FECTL = 0x38,
    FEDATA = 0x3c,
    FEADDR = 0x40,
    IQH = 0x80,
    IQT = 0x88,
    IQA = 0x90,
    ICS = 0x9c,
    IECTL = 0xa0,
    IEDATA = 0xa4,
    IEADDR = 0xa8,
    IRTA = 0xb8,
    IVA = 0xf0,
    IOTLB = 0xf8,
    FRCD = 0x220,
};
#define TE 0x80000000u
#define SRTP 0x40000000u
#define QIE 0x04000000u
#define IRE 0x02000000u
#define SIRTP 0x01000000u
#define CFI 0x00800000u

struct fixture {
    struct ram *ram;
    struct bus *mem;
    struct region dram, regs;
    struct vtd *vtd;
    struct dma dma; /* a device's */
    unsigned sent;
    uint64_t addr;
    uint32_t data;
};

static void on_send(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct fixture *f = ctx;
    (void)source;
    f->sent++;
    f->addr = addr;
    f->data = data;
}

static void on_send_x2apic(void *ctx, uint32_t dest, uint32_t addr, uint32_t data)
{
    on_send(ctx, 0, (uint64_t)dest << 32 | addr, data);
}

static int setup_with(void **state, bool x2apic)
{
    struct fixture *f = calloc(1, sizeof(*f));
    uint64_t offset;
    assert_int_equal(ram_new(MIB(4), &f->ram, NULL), 0);
    assert_int_equal(ram_alloc(f->ram, MIB(4), &offset), 0);
    assert_int_equal(bus_new("mem", 1ull << 40, f->ram, &f->mem), 0);
    f->dram = (struct region){.size_bytes = MIB(4), .kind = REGION_RAM, .ram_offset = offset};
    assert_int_equal(bus_add(f->mem, &f->dram), 0);
    const struct vtd_env env = {.mem = f->mem,
                                .msi = {.send = on_send, .ctx = f},
                                .msi_x2apic = x2apic ? on_send_x2apic : NULL,
                                .ctx = f,
                                .phys_bits = 40,
                                .ioapic_source = 0xf0f8};
    assert_int_equal(vtd_new(&env, &f->vtd), 0);
    f->regs = (struct region){
        .base = VTD_BASE, .size_bytes = VTD_BYTES, .priority = 1, .ops = &vtd_io, .dev = f->vtd};
    assert_int_equal(bus_add(f->mem, &f->regs), 0);
    f->dma = (struct dma){.bus = f->mem, .map = vtd_dma_map(f->vtd), .requester = DEVFN};
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, true);
}

static int setup_xapic(void **state)
{
    return setup_with(state, false);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vtd_dev_ops.free(f->vtd);
    bus_free(f->mem);
    ram_free(f->ram);
    free(f);
    return 0;
}

static uint32_t get(struct fixture *f, unsigned reg)
{
    return (uint32_t)bus_read(f->mem, VTD_BASE + reg, 4);
}

static uint64_t get64(struct fixture *f, unsigned reg)
{
    return bus_read(f->mem, VTD_BASE + reg, 8);
}

static void set(struct fixture *f, unsigned reg, uint32_t value)
{
    bus_write(f->mem, VTD_BASE + reg, 4, value);
}

static void set64(struct fixture *f, unsigned reg, uint64_t value)
{
    bus_write(f->mem, VTD_BASE + reg, 8, value);
}

static void put(struct fixture *f, uint64_t gpa, uint64_t value)
{
    bus_write(f->mem, gpa, 8, value);
}

/* A domain of three levels for the device, and translation on. */
static void translation_on(struct fixture *f)
{
    put(f, ROOT, CONTEXTS | 1);
    put(f, CONTEXTS + 16 * DEVFN, TABLE | 1);
    put(f, CONTEXTS + 16 * DEVFN + 8, DOMAIN << 8 | 1);
    put(f, TABLE, (TABLE + 0x1000) | 3);
    put(f, TABLE + 0x1000, (TABLE + 0x2000) | 3);
    set64(f, RTADDR, ROOT);
    set(f, GCMD, SRTP);
    set(f, GCMD, TE);
    assert_int_equal(get(f, GSTS), TE | SRTP);
}

/* Page n of the device's addresses. */
static void map(struct fixture *f, unsigned n, uint64_t pte)
{
    put(f, TABLE + 0x2000 + 8 * n, pte);
}

static bool reads(struct fixture *f, uint64_t addr, uint8_t expected)
{
    uint8_t byte = (uint8_t)~expected;
    return dma_read(&f->dma, addr, &byte, 1) == 0 && byte == expected;
}

static bool writes(struct fixture *f, uint64_t addr)
{
    return dma_write(&f->dma, addr, "w", 1) == 0;
}

/* The fault that is recorded first, and away with it. */
static void assert_fault(struct fixture *f, uint16_t source, uint64_t info, unsigned reason,
                         bool read)
{
    unsigned n = get(f, FSTS) >> 8 & 0xff;
    assert_true(get(f, FSTS) & 2);
    assert_int_equal(get64(f, FRCD + 16 * n), info);
    assert_int_equal(get64(f, FRCD + 16 * n + 8),
                     1ull << 63 | (uint64_t)read << 62 | (uint64_t)reason << 32 | source);
    set(f, FRCD + 16 * n + 12, 0x80000000);
}

static void test_registers(void **state)
{
    struct fixture *f = *state;
    uint64_t cap = get64(f, CAP), ecap = get64(f, ECAP);
    assert_int_equal(get(f, VER), 0x10);
    assert_int_equal(cap >> 8 & 0x1f, 6);
    assert_int_equal(cap >> 34 & 15, 3);
    assert_int_equal((cap >> 24 & 0x3ff) * 16, FRCD);
    assert_int_equal(cap >> 40 & 0xff, 7);
    assert_int_equal((ecap >> 8 & 0x3ff) * 16, IVA);
    assert_int_equal(ecap & 0x1a, 0x1a); /* queue, interrupts, extended mode */
    assert_int_equal(get(f, GSTS), 0);
    assert_int_equal(get(f, FECTL), 0x80000000);
    set64(f, RTADDR, UINT64_MAX);
    assert_int_equal(get64(f, RTADDR), ~0xfffull);
    set(f, VER, 0);
    set64(f, CAP, 0);
    assert_int_equal(get64(f, CAP), cap);
    assert_int_equal(bus_read(f->mem, VTD_BASE + VER, 1), 0x10);
}

static void test_off_is_straight(void **state)
{
    struct fixture *f = *state;
    f->ram->host[0x5123] = 0x42;
    assert_true(reads(f, 0x5123, 0x42));
    assert_true(writes(f, 0x5123));
    vtd_msi(f->vtd, DEVFN, 0xfee01000, 0x41);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee01000);
    vtd_msi(f->vtd, DEVFN, 0x1fee01000, 0x41); /* a write elsewhere */
    assert_int_equal(f->sent, 1);
    assert_int_equal(get(f, FSTS), 0);
}

static void test_pages(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[0x1800];
    translation_on(f);
    map(f, 0, 0x100000 | 3);
    map(f, 1, 0x180000 | 1);
    f->ram->host[0x100fff] = 0x11;
    f->ram->host[0x180000] = 0x22;
    assert_true(reads(f, 0xfff, 0x11) && reads(f, 0x1000, 0x22));
    assert_int_equal(dma_read(&f->dma, 0x800, buf, sizeof(buf)), 0);
    assert_int_equal(buf[0x7ff], 0x11);
    assert_int_equal(buf[0x800], 0x22);
    assert_true(writes(f, 0x10));
    assert_int_equal(f->ram->host[0x100010], 'w');
    assert_int_equal(get(f, FSTS), 0);
    assert_false(writes(f, 0x1234)); /* read-only */
    assert_fault(f, DEVFN, 0x1000, 0x05, false);
    assert_false(reads(f, 0x2000, 0)); /* absent */
    assert_fault(f, DEVFN, 0x2000, 0x06, true);
    assert_false(reads(f, 1ull << 39, 0));
    assert_fault(f, DEVFN, 1ull << 39, 0x04, true);
    map(f, 3, 0x100000 | 1ull << 41 | 3); /* more address than there is */
    assert_false(reads(f, 0x3000, 0));
    assert_fault(f, DEVFN, 0x3000, 0x0c, true);
    /* What is allowed by now needs no invalidation. */
    map(f, 2, 0x100000 | 1);
    assert_true(reads(f, 0x2fff, 0x11));
    map(f, 2, 0x100000 | 3);
    assert_true(writes(f, 0x2fff));
}

static void test_large_pages_and_four_levels(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    put(f, CONTEXTS + 16 * DEVFN + 8, DOMAIN << 8 | 2);
    put(f, TABLE + 0x1000, 1 << 7 | 3); /* 1 GiB at 0 */
    put(f, TABLE + 0x1008, (TABLE + 0x2000) | 3);
    put(f, TABLE + 0x2000 + 8 * 5, 0x200000 | 1 << 7 | 1); /* 2 MiB at 1 GiB + 10 MiB */
    put(f, TABLE + 0x2000 + 8 * 6, 0x201000 | 1 << 7 | 1); /* … that does not lie right */
    put(f, TABLE + 8, (TABLE + 0x1000) | 1 << 7 | 3);      /* 512 GiB: there are no such pages */
    f->ram->host[0x345678] = 0x33;
    assert_true(reads(f, 0x345678, 0x33));
    assert_true(reads(f, GIB(1) + MIB(10) + 0x145678, 0x33));
    assert_false(writes(f, GIB(1) + MIB(10)));
    assert_fault(f, DEVFN, GIB(1) + MIB(10), 0x05, false);
    assert_false(reads(f, GIB(1) + MIB(12), 0));
    assert_fault(f, DEVFN, GIB(1) + MIB(12), 0x0c, true);
    assert_false(reads(f, 1ull << 39, 0));
    assert_fault(f, DEVFN, 1ull << 39, 0x0c, true);
}

static void test_context_faults(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    f->dma.requester = DEVFN + 1;
    assert_false(reads(f, 0, 0));
    assert_fault(f, DEVFN + 1, 0, 0x02, true);
    f->dma.requester = 0x100; /* bus 1 */
    assert_false(reads(f, 0x5000, 0));
    assert_fault(f, 0x100, 0x5000, 0x01, true);
    f->dma.requester = DEVFN;
    static const struct {
        uint64_t low, high;
        unsigned reason;
    } bad[] = {
        {TABLE | 1, DOMAIN << 8 | 3, 0x03},          /* five levels */
        {TABLE | 1 | 1 << 2, DOMAIN << 8 | 1, 0x03}, /* a device TLB */
        {TABLE | 1 | 1 << 4, DOMAIN << 8 | 1, 0x0b}, {TABLE | 1, 1ull << 24 | 1, 0x0b},
        {0xffffff000ull | 1, DOMAIN << 8 | 1, 0x07}, /* tables where nothing is */
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        put(f, CONTEXTS + 16 * DEVFN, bad[i].low);
        put(f, CONTEXTS + 16 * DEVFN + 8, bad[i].high);
        assert_false(reads(f, 0x4000, 0));
        assert_fault(f, DEVFN, 0x4000, bad[i].reason, true);
        set64(f, CCMD, 1ull << 63 | 1ull << 61);
    }
    /* FPD: the access fails, and nobody is told. */
    put(f, CONTEXTS + 16 * DEVFN, TABLE | 3);
    put(f, CONTEXTS + 16 * DEVFN + 8, DOMAIN << 8 | 1);
    set64(f, CCMD, 1ull << 63 | 1ull << 61);
    assert_false(reads(f, 0x4000, 0));
    assert_int_equal(get(f, FSTS), 0);
    /* Pass-through. */
    put(f, CONTEXTS + 16 * DEVFN, 1 | 2 << 2);
    set64(f, CCMD, 1ull << 63 | 1ull << 61);
    f->ram->host[0x5001] = 0x55;
    assert_true(reads(f, 0x5001, 0x55));
    put(f, ROOT, CONTEXTS | 3);
    set64(f, CCMD, 1ull << 63 | 1ull << 61);
    assert_false(reads(f, 0x5001, 0));
    assert_fault(f, DEVFN, 0x5000, 0x0a, true);
    /* Writes to the interrupts' addresses go nowhere and are no fault. */
    assert_false(writes(f, 0xfee00000));
    assert_int_equal(get(f, FSTS), 0);
}

/* Registers: what was taken away is gone once the command is done. */
static void test_invalidation_by_registers(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    map(f, 0, 0x100000 | 3);
    map(f, 1, 0x101000 | 3);
    f->ram->host[0x100000] = 0x11;
    f->ram->host[0x101000] = 0x12;
    assert_true(reads(f, 0, 0x11) && reads(f, 0x1000, 0x12));
    map(f, 0, 0);
    map(f, 1, 0);
    set64(f, IVA, 0x1000);
    set64(f, IOTLB, 1ull << 63 | 3ull << 60 | (uint64_t)DOMAIN << 32);
    assert_int_equal(get64(f, IOTLB) >> 57 & 0x43, 3); /* done, as it was asked */
    assert_true(reads(f, 0, 0x11));                    /* another page: still known */
    assert_false(reads(f, 0x1000, 0));
    assert_fault(f, DEVFN, 0x1000, 0x06, true);
    set64(f, IOTLB, 1ull << 63 | 2ull << 60 | (uint64_t)(DOMAIN + 1) << 32);
    assert_true(reads(f, 0, 0x11)); /* another domain */
    set64(f, IOTLB, 1ull << 63 | 2ull << 60 | (uint64_t)DOMAIN << 32);
    assert_false(reads(f, 0, 0));
    assert_fault(f, DEVFN, 0, 0x06, true);
    map(f, 0, 0x100000 | 3);
    assert_true(reads(f, 0, 0x11));
    map(f, 0, 0);
    set64(f, IVA, 19); /* more than may be asked for */
    set64(f, IOTLB, 1ull << 63 | 3ull << 60 | (uint64_t)DOMAIN << 32);
    assert_int_equal(get64(f, IOTLB) >> 57 & 0x43, 0);
    set64(f, IOTLB, 1ull << 63 | 1ull << 60);
    assert_false(reads(f, 0, 0));
    assert_fault(f, DEVFN, 0, 0x06, true);
    /* A context is remembered until somebody says so. */
    put(f, CONTEXTS + 16 * DEVFN, 0);
    map(f, 0, 0x100000 | 3);
    assert_true(reads(f, 0, 0x11));
    set64(f, CCMD, 1ull << 63 | 3ull << 61 | (uint64_t)(DEVFN + 8) << 16 | DOMAIN);
    assert_true(reads(f, 0, 0x11));
    set64(f, CCMD, 1ull << 63 | 3ull << 61 | 3ull << 32 | (uint64_t)(DEVFN + 5) << 16 | DOMAIN);
    assert_int_equal(get64(f, CCMD) >> 59 & 0x13, 3);
    assert_false(reads(f, 0, 0));
    assert_fault(f, DEVFN, 0, 0x02, true);
}

/* A part of a large page is forgotten when any of the page is. */
static void test_invalidation_of_large_pages(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    put(f, TABLE + 0x1000, 1 << 7 | 3); /* 2 MiB */
    f->ram->host[0x5000] = 0x11;
    assert_true(reads(f, 0x5000, 0x11));
    put(f, TABLE + 0x1000, 0);
    set64(f, IVA, 0x200000);
    set64(f, IOTLB, 1ull << 63 | 3ull << 60 | (uint64_t)DOMAIN << 32);
    assert_true(reads(f, 0x5000, 0x11));
    set64(f, IVA, 0x1ff000);
    set64(f, IOTLB, 1ull << 63 | 3ull << 60 | (uint64_t)DOMAIN << 32);
    assert_false(reads(f, 0x5000, 0));
}

static void queue_on(struct fixture *f)
{
    set64(f, IQA, QUEUE);
    set64(f, IQT, 0);
    set(f, GCMD, (get(f, GSTS) & 0x96ffffff) | QIE);
}

static void submit(struct fixture *f, uint64_t low, uint64_t high)
{
    uint64_t tail = get64(f, IQT);
    put(f, QUEUE + tail, low);
    put(f, QUEUE + tail + 8, high);
    set64(f, IQT, (tail + 16) % 4096);
}

static void test_queue(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    queue_on(f);
    map(f, 0, 0x100000 | 3);
    f->ram->host[0x100000] = 0x11;
    for (unsigned round = 0; round < 300; round++) { /* around the ring */
        assert_true(reads(f, 0, 0x11));
        map(f, 0, 0);
        submit(f, 2 | 3 << 4 | DOMAIN << 16, 0);
        submit(f, 5 | 1 << 5 | (uint64_t)(round + 1) << 32, STATUS);
        assert_int_equal(le32_get(f->ram->host + STATUS), round + 1);
        assert_int_equal(get64(f, IQH), get64(f, IQT));
        assert_false(reads(f, 0, 0));
        assert_fault(f, DEVFN, 0, 0x06, true);
        map(f, 0, 0x100000 | 3);
    }
    submit(f, 4 | 1 << 4 | 5ull << 27, 0); /* interrupt entries */
    assert_int_equal(get64(f, IQH), get64(f, IQT));
    /* The interrupt of a wait descriptor, kept while it is masked. */
    set(f, IEADDR, 0xfee02000);
    set(f, IEDATA, 0x51);
    submit(f, 5 | 1 << 4, 0);
    assert_int_equal(f->sent, 0);
    assert_int_equal(get(f, ICS), 1);
    assert_int_equal(get(f, IECTL), 0xc0000000);
    set(f, IECTL, 0);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->addr, 0xfee02000);
    assert_int_equal(f->data, 0x51);
    submit(f, 5 | 1 << 4, 0); /* not a second time before the first is seen */
    assert_int_equal(f->sent, 1);
    set(f, ICS, 1);
    submit(f, 5 | 1 << 4, 0);
    assert_int_equal(f->sent, 2);
}

/* The queue stops at nonsense, says so, and goes on when it is told to. */
static void test_queue_errors(void **state)
{
    struct fixture *f = *state;
    static const uint64_t bad[][2] = {
        {0, 0},
        {3, 0},                       /* device TLB */
        {2, 0},                       /* no granularity */
        {2 | 3 << 4, 19},             /* too large a mask */
        {1 | 1 << 4 | 1ull << 50, 0}, /* reserved bits */
        {5 | 1 << 5, 0xffffff000ull}, /* a status where nothing is */
        {5, 1},
    };
    queue_on(f);
    set(f, FEADDR, 0xfee01000);
    set(f, FEDATA, 0x61);
    set(f, FECTL, 0);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint64_t at = get64(f, IQT);
        submit(f, bad[i][0], bad[i][1]);
        assert_int_equal(get(f, FSTS), 0x10);
        assert_int_equal(f->sent, i + 1);
        assert_int_equal(get64(f, IQH), at);
        put(f, QUEUE + at, 5 | 1 << 5 | 0x77ull << 32);
        put(f, QUEUE + at + 8, STATUS);
        le32_put(f->ram->host + STATUS, 0);
        set(f, FSTS, 0x10);
        assert_int_equal(get64(f, IQH), get64(f, IQT));
        assert_int_equal(le32_get(f->ram->host + STATUS), 0x77);
    }
    set64(f, IQT, 0x2000); /* beyond the queue */
    assert_int_equal(get(f, FSTS), 0x10);
}

static void test_fault_event_and_overflow(void **state)
{
    struct fixture *f = *state;
    translation_on(f);
    set(f, FEADDR, 0xfee01000);
    set(f, FEDATA, 0x61);
    assert_false(reads(f, 0, 0)); /* masked: kept */
    assert_int_equal(f->sent, 0);
    assert_int_equal(get(f, FECTL), 0xc0000000);
    set(f, FECTL, 0);
    assert_int_equal(f->sent, 1);
    assert_int_equal(f->data, 0x61);
    for (unsigned n = 1; n < 8; n++)
        assert_false(reads(f, 0x1000 * n, 0));
    assert_int_equal(f->sent, 1); /* one event until all is cleared */
    assert_int_equal(get(f, FSTS), 2);
    assert_false(reads(f, 0x8000, 0));
    assert_int_equal(get(f, FSTS), 3);
    for (unsigned n = 0; n < 8; n++)
        assert_fault(f, DEVFN, 0x1000 * n, 0x06, true);
    assert_int_equal(get(f, FSTS), 1);
    assert_false(reads(f, 0x9000, 0)); /* lost */
    set(f, FSTS, 1);
    assert_int_equal(get(f, FSTS), 0);
    assert_false(reads(f, 0xa000, 0));
    assert_fault(f, DEVFN, 0xa000, 0x06, true);
    assert_int_equal(f->sent, 2);
}

static void irte(struct fixture *f, unsigned n, uint64_t low, uint64_t high)
{
    put(f, IRTES + 16 * n, low);
    put(f, IRTES + 16 * n + 8, high);
}

static void interrupts_on(struct fixture *f, bool x2apic)
{
    set64(f, IRTA, IRTES | 7 | (x2apic ? 1 << 11 : 0)); /* 256 entries */
    set(f, GCMD, SIRTP);
    set(f, GCMD, IRE);
    assert_int_equal(get(f, GSTS), IRE | SIRTP);
}

#define MSI(index) (0xfee00010u | ((index)&0x7fff) << 5 | (index) >> 15 << 2)

static void test_interrupts(void **state)
{
    struct fixture *f = *state;
    interrupts_on(f, true);
    /* Logical, lowest priority, level, to an APIC of a high number; from this device alone. */
    irte(f, 5, 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 0x51 << 16 | 0x12345678ull << 32,
         1 << 18 | DEVFN);
    vtd_msi(f->vtd, DEVFN, MSI(5), 0);
    assert_int_equal(f->sent, 1);
    assert_true(f->addr == (0x12345678ull << 32 | 0xfee0000c));
    assert_int_equal(f->data, 0xc151);
    vtd_msi(f->vtd, DEVFN, MSI(2) | 8, 3); /* a handle and a subhandle */
    assert_int_equal(f->sent, 2);
    vtd_msi(f->vtd, DEVFN + 1, MSI(5), 0);
    assert_fault(f, DEVFN + 1, 5ull << 48, 0x26, false);
    vtd_msi(f->vtd, 0xf0f8, MSI(5), 0); /* the IOAPIC: trusted */
    assert_int_equal(f->sent, 3);
    irte(f, 5, 1 | 0x51 << 16, 1 << 18 | 3 << 16 | DEVFN); /* any function */
    vtd_msi(f->vtd, DEVFN + 7, MSI(5), 0);
    assert_int_equal(f->sent, 4);
    irte(f, 5, 1 | 0x51 << 16, 2 << 18 | 0x0103); /* buses 1 to 3 */
    vtd_msi(f->vtd, DEVFN, MSI(5), 0);
    assert_fault(f, DEVFN, 5ull << 48, 0x26, false);
    vtd_msi(f->vtd, 0x3ff, MSI(5), 0);
    assert_int_equal(f->sent, 5);
    vtd_msi(f->vtd, DEVFN, 0xfee00000, 0x41); /* compatibility format */
    assert_fault(f, DEVFN, 0, 0x25, false);
    set(f, GCMD, IRE | CFI);
    vtd_msi(f->vtd, DEVFN, 0xfee00000, 0x41); /* … is never let by in extended mode */
    assert_fault(f, DEVFN, 0, 0x25, false);
    vtd_msi(f->vtd, DEVFN, MSI(256), 0);
    assert_fault(f, DEVFN, 256ull << 48, 0x21, false);
    vtd_msi(f->vtd, DEVFN, MSI(0x8001), 0);
    assert_fault(f, DEVFN, 0x8001ull << 48, 0x21, false);
    vtd_msi(f->vtd, DEVFN, MSI(1), 0);
    assert_fault(f, DEVFN, 1ull << 48, 0x22, false);
    irte(f, 1, 2, 0); /* FPD */
    vtd_msi(f->vtd, DEVFN, MSI(1), 0);
    assert_int_equal(get(f, FSTS), 0);
    irte(f, 1, 1 | 1 << 15, 0); /* posted interrupts are not there */
    vtd_msi(f->vtd, DEVFN, MSI(1), 0);
    assert_fault(f, DEVFN, 1ull << 48, 0x24, false);
    irte(f, 1, 1, 3 << 18);
    vtd_msi(f->vtd, DEVFN, MSI(1), 0);
    assert_fault(f, DEVFN, 1ull << 48, 0x24, false);
    vtd_msi(f->vtd, DEVFN, MSI(1) | 8, 1 << 16);
    assert_fault(f, DEVFN, 1ull << 48, 0x20, false);
    set64(f, IRTA, 0xffffff000ull | 7);
    set(f, GCMD, IRE | SIRTP);
    vtd_msi(f->vtd, DEVFN, MSI(1), 0);
    assert_fault(f, DEVFN, 1ull << 48, 0x23, false);
    assert_int_equal(f->sent, 5);
}

static void test_interrupts_xapic(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(get64(f, ECAP) & 0x10, 0);
    interrupts_on(f, true); /* it is not offered, and does not stick */
    assert_int_equal(get64(f, IRTA), IRTES | 7);
    irte(f, 5, 1 | 0x51 << 16 | 3ull << 40, 0);
    vtd_msi(f->vtd, DEVFN, MSI(5), 0);
    assert_int_equal(f->addr, 0xfee03000);
    assert_int_equal(f->data, 0x51);
    irte(f, 5, 1 | 0x51 << 16 | 3ull << 32, 0);
    vtd_msi(f->vtd, DEVFN, MSI(5), 0);
    assert_fault(f, DEVFN, 5ull << 48, 0x24, false);
    set(f, GCMD, IRE | CFI);
    vtd_msi(f->vtd, DEVFN, 0xfee04000, 0x41);
    assert_int_equal(f->sent, 2);
    assert_int_equal(f->addr, 0xfee04000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_registers),
        T(test_off_is_straight),
        T(test_pages),
        T(test_large_pages_and_four_levels),
        T(test_context_faults),
        T(test_invalidation_by_registers),
        T(test_invalidation_of_large_pages),
        T(test_queue),
        T(test_queue_errors),
        T(test_fault_event_and_overflow),
        T(test_interrupts),
        cmocka_unit_test_setup_teardown(test_interrupts_xapic, setup_xapic, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
