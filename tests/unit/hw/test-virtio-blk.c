/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio disk, by a modern driver, by a legacy one, and by one that breaks every rule. */
#include "memdisk.h"
#include "virtiotest.h"

#include "hw/virtio/virtio_blk.h"

#define SECTORS 4096u
#define HEADER 0x200000u
#define DATA 0x300000u
#define STATUS 0x210000u
#define ALL 0xffffffffffffull

struct world {
    struct vt t;
    struct memdisk *disk;
    struct virtio_blk *dev;
};

static void world_new(struct world *w, unsigned queues)
{
    struct virtio_blk_env env = {.virtio = vt_new(&w->t), .serial = "abc", .queues = queues};
    w->disk = memdisk_new(SECTORS * 512);
    env.blk = &w->disk->blk;
    assert_int_equal(virtio_blk_new(&env, &w->dev), 0);
    vt_probe(&w->t);
}

static void world_done(struct world *w)
{
    memdisk_release(w->disk);
    w->disk->hold = false;
    virtio_blk_dev_ops.free(w->dev);
    blk_close(&w->disk->blk);
    vt_done(&w->t);
}

/* Header, data in two pieces, status; returns the status byte. */
static void put(struct world *w, unsigned q, unsigned i, uint32_t type, uint64_t sector,
                uint32_t len)
{
    uint8_t *header = w->t.ram->host + HEADER + 16 * i;
    bool in = type == 0 || type == 8;
    le32_put(header, type);
    le32_put(header + 4, 0);
    le64_put(header + 8, sector);
    w->t.ram->host[STATUS + i] = 0xee;
    unsigned d = i * 4;
    uint32_t half = len / 2;
    vt_desc(&w->t, q, d, HEADER + 16 * i, 16, 1, len ? d + 1 : d + 3);
    vt_desc(&w->t, q, d + 1, DATA + 0x10000 * i, half, 1 | (in ? 2 : 0), d + 2);
    vt_desc(&w->t, q, d + 2, DATA + 0x10000 * i + half, len - half, 1 | (in ? 2 : 0), d + 3);
    vt_desc(&w->t, q, d + 3, STATUS + i, 1, 2, 0);
    vt_put(&w->t, q, d);
}

static unsigned request(struct world *w, uint32_t type, uint64_t sector, uint32_t len,
                        uint32_t *ret_len)
{
    unsigned head;
    put(w, 0, 0, type, sector, len);
    vt_kick(&w->t, 0);
    blk_drain(&w->disk->blk);
    assert_true(vt_get(&w->t, 0, &head, ret_len));
    assert_int_equal(head, 0);
    return w->t.ram->host[STATUS];
}

static void modern(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t len;
    world_new(&w, 1);
    assert_int_equal(vt_cfg(&w.t, 0, 4), 0x10011af4);
    uint64_t offered = vt_start(&w.t, ALL, 1);
    assert_true(offered & VIRTIO_F_VERSION_1);
    assert_int_equal(vt_in(&w.t, w.t.config, 4), SECTORS);
    assert_int_equal(vt_in(&w.t, w.t.config + 20, 4), 512);
    assert_int_equal(request(&w, 0, 7, 4096, &len), 0);
    assert_int_equal(len, 4097);
    assert_memory_equal(w.t.ram->host + DATA, w.disk->bytes + 7 * 512, 4096);
    assert_int_equal(*ram_flags(w.t.ram, DATA), RAM_DIRTY_ALL);
    memset(w.t.ram->host + DATA, 0x3c, 1024);
    assert_int_equal(request(&w, 1, 100, 1024, &len), 0);
    assert_int_equal(len, 1);
    assert_int_equal(w.disk->bytes[100 * 512], 0x3c);
    assert_int_equal(w.disk->bytes[102 * 512 - 1], 0x3c);
    assert_int_equal(w.disk->fuas, 0);
    assert_int_equal(request(&w, 4, 0, 0, &len), 0);
    assert_int_equal(w.disk->flushes, 1);
    assert_int_equal(request(&w, 8, 0, 20, &len), 0);
    assert_memory_equal(w.t.ram->host + DATA, "abc\0\0", 5);
    assert_int_equal(len, 21);
    /* Without a cache writes are lasting at once. */
    vt_out(&w.t, w.t.config + 32, 1, 0);
    assert_int_equal(request(&w, 1, 100, 1024, &len), 0);
    assert_int_equal(w.disk->fuas, 1);
    world_done(&w);
}

static void errors(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t len;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 1);
    assert_int_equal(request(&w, 0, SECTORS, 512, &len), 1);
    assert_int_equal(request(&w, 0, SECTORS - 1, 1024, &len), 1);
    assert_int_equal(request(&w, 0, UINT64_MAX, 512, &len), 1);
    assert_int_equal(request(&w, 0, UINT64_MAX / 512, 512, &len), 1);
    assert_int_equal(request(&w, 0, 0, 100, &len), 1);
    assert_int_equal(request(&w, 99, 0, 512, &len), 2);
    w.disk->bad_to = 512;
    assert_int_equal(request(&w, 0, 0, 512, &len), 1);
    w.disk->bad_to = 0;
    w.disk->blk.readonly = true;
    assert_int_equal(request(&w, 1, 0, 512, &len), 1);
    assert_int_equal(request(&w, 0, 0, 512, &len), 0); /* and it goes on */
    world_done(&w);
}

static void discard(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t len;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 1);
    uint8_t *seg = w.t.ram->host + DATA;
    memset(seg, 0, 64);
    for (unsigned i = 0; i < 3; i++) {
        le64_put(seg + 16 * i, 10 + 20 * i);
        le32_put(seg + 16 * i + 8, 5);
    }
    assert_int_equal(request(&w, 13, 0, 48, &len), 0);
    assert_int_equal(w.disk->zeroes, 3);
    assert_int_equal(w.disk->bytes[54 * 512 + 5], 0);
    assert_int_not_equal(w.disk->bytes[55 * 512 + 5], 0);
    assert_int_equal(request(&w, 11, 0, 48, &len), 0);
    assert_int_equal(w.disk->discards, 3);
    le32_put(seg + 12, 2);
    assert_int_equal(request(&w, 13, 0, 48, &len), 2);
    le32_put(seg + 12, 1);
    assert_int_equal(request(&w, 11, 0, 48, &len), 2);
    le32_put(seg + 12, 0);
    le64_put(seg + 16, SECTORS - 2);
    assert_int_equal(request(&w, 13, 0, 48, &len), 1);
    assert_int_equal(request(&w, 13, 0, 40, &len), 1);
    assert_int_equal(request(&w, 13, 0, 0, &len), 1);
    world_done(&w);
}

/* Interrupts: INTx with its status, MSI-X by vector, and none where the driver wants none. */
static void interrupts(void **ctx)
{
    (void)ctx;
    struct world w;
    uint32_t len;
    world_new(&w, 1);
    vt_start(&w.t, 1 << 9, 1);
    request(&w, 0, 0, 512, &len);
    assert_true(w.t.intx);
    assert_int_equal(vt_in(&w.t, w.t.isr, 1), 1);
    assert_false(w.t.intx);
    assert_int_equal(vt_in(&w.t, w.t.isr, 1), 0);
    le16_put(w.t.ram->host + VT_QUEUE(0) + 0x4000, 1); /* NO_INTERRUPT */
    request(&w, 0, 0, 512, &len);
    assert_false(w.t.intx);
    le16_put(w.t.ram->host + VT_QUEUE(0) + 0x4000, 0);

    unsigned msix = 0;
    for (unsigned at = vt_cfg(&w.t, 0x34, 1); at; at = vt_cfg(&w.t, at + 1, 1))
        if (vt_cfg(&w.t, at, 1) == 0x11)
            msix = at;
    assert_int_equal(vt_cfg(&w.t, msix + 2, 2) & 0x7ff, 1);
    for (unsigned i = 0; i < 2; i++) {
        vt_out(&w.t, VT_MSIX + 16 * i, 4, 0xfee00000);
        vt_out(&w.t, VT_MSIX + 16 * i + 8, 4, 0x40 + i);
        vt_out(&w.t, VT_MSIX + 16 * i + 12, 4, 0);
    }
    pci_config_write(w.t.pci, 0, VT_DEVFN, msix + 2, 2, 0x8000);
    request(&w, 0, 0, 512, &len);
    assert_int_equal(w.t.msis, 1);
    assert_int_equal(w.t.last_msi, 0x41);
    assert_false(w.t.intx);
    /* A vector that does not exist is refused visibly. */
    vt_out(&w.t, w.t.common + 0x1a, 2, 5);
    assert_int_equal(vt_in(&w.t, w.t.common + 0x1a, 2), 0xffff);
    request(&w, 0, 0, 512, &len);
    assert_int_equal(w.t.msis, 1);

    /* Event indices: an interrupt only when the third buffer is used. */
    pci_config_write(w.t.pci, 0, VT_DEVFN, msix + 2, 2, 0);
    vt_start(&w.t, ALL, 1);
    request(&w, 0, 0, 512, &len); /* the first tells in any case */
    vt_in(&w.t, w.t.isr, 1);
    le16_put(w.t.ram->host + VT_QUEUE(0) + 0x4000 + 4 + 2 * VT_SIZE, 2);
    request(&w, 0, 0, 512, &len);
    assert_false(w.t.intx);
    request(&w, 0, 0, 512, &len);
    assert_true(w.t.intx);
    assert_int_equal(le16_get(w.t.ram->host + VT_QUEUE(0) + 0x6000 + 4 + 8 * VT_SIZE), 3);
    world_done(&w);
}

static void many(void **ctx)
{
    (void)ctx;
    struct world w;
    unsigned head, seen = 0;
    uint32_t len;
    world_new(&w, 4);
    assert_int_equal(vt_in(&w.t, w.t.common + 0x12, 2), 4);
    vt_start(&w.t, ALL, 4);
    assert_int_equal(vt_in(&w.t, w.t.config + 34, 2), 4);
    w.disk->hold = true;
    for (unsigned q = 0; q < 4; q++) {
        for (unsigned i = 4 * q; i < 4 * q + 4; i++)
            put(&w, q, i, 0, i * 16, 8192);
        vt_kick(&w.t, q);
    }
    assert_int_equal(w.disk->blk.in_flight, 16);
    memdisk_release(w.disk);
    blk_poll(&w.disk->blk);
    for (unsigned q = 0; q < 4; q++)
        while (vt_get(&w.t, q, &head, &len)) {
            assert_int_equal(len, 8193);
            assert_int_equal(w.t.ram->host[STATUS + head / 4], 0);
            assert_memory_equal(w.t.ram->host + DATA + 0x10000 * (head / 4),
                                w.disk->bytes + head / 4 * 8192, 8192);
            seen++;
        }
    assert_int_equal(seen, 16);
    world_done(&w);
}

/* The layout of before 1.0: ports, page numbers, and no agreement on features. */
static void legacy(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    struct bus *pio = w.t.pio;
    bus_write(pio, VT_PIO + 18, 1, 0);
    bus_write(pio, VT_PIO + 18, 1, 3);
    uint32_t features = (uint32_t)bus_read(pio, VT_PIO, 4);
    bus_write(pio, VT_PIO + 4, 4, features & ~(uint32_t)VIRTIO_F_EVENT_IDX);
    bus_write(pio, VT_PIO + 14, 2, 0);
    unsigned size = (unsigned)bus_read(pio, VT_PIO + 12, 2);
    assert_int_equal(size, 256);
    bus_write(pio, VT_PIO + 8, 4, 0x400);
    assert_int_equal(bus_read(pio, VT_PIO + 8, 4), 0x400);
    bus_write(pio, VT_PIO + 18, 1, 7);
    assert_int_equal(bus_read(pio, VT_PIO + 20, 4), SECTORS);
    uint8_t *d = w.t.ram->host + 0x400000, *avail = d + 4096, *used = d + 8192;
    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t addr[] = {HEADER, DATA, STATUS}, len[] = {16, 512, 1};
        le64_put(d + 16 * i, addr[i]);
        le32_put(d + 16 * i + 8, len[i]);
        le16_put(d + 16 * i + 12, (uint16_t)((i < 2) | (i ? 2 : 0)));
        le16_put(d + 16 * i + 14, (uint16_t)(i + 1));
    }
    memset(w.t.ram->host + HEADER, 0, 16);
    w.t.ram->host[HEADER + 8] = 33;
    le16_put(avail + 2, 1);
    bus_write(pio, VT_PIO + 16, 2, 0);
    blk_drain(&w.disk->blk);
    assert_int_equal(le16_get(used + 2), 1);
    assert_int_equal(le32_get(used + 8), 513);
    assert_memory_equal(w.t.ram->host + DATA, w.disk->bytes + 33 * 512, 512);
    assert_true(w.t.intx);
    assert_int_equal(bus_read(pio, VT_PIO + 19, 1), 1);
    assert_false(w.t.intx);
    bus_write(pio, VT_PIO + 8, 4, 0);
    assert_int_equal(bus_read(pio, VT_PIO + 8, 4), 0);
    world_done(&w);
}

/* Reset with requests under way: the driver's memory is not touched any more. */
static void reset_busy(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 1);
    w.disk->hold = true;
    put(&w, 0, 0, 0, 3, 512);
    vt_kick(&w.t, 0);
    assert_int_equal(w.disk->blk.in_flight, 1);
    memdisk_release(w.disk);
    vt_status(&w.t, 0);
    assert_int_equal(w.disk->blk.in_flight, 0);
    assert_int_equal(w.t.ram->host[STATUS], 0xee);
    assert_int_equal(le16_get(w.t.ram->host + VT_QUEUE(0) + 0x6002), 0);
    assert_int_equal(vt_get_status(&w.t), 0);
    w.disk->hold = false;
    vt_start(&w.t, ALL, 1);
    uint32_t len;
    assert_int_equal(request(&w, 0, 3, 512, &len), 0);
    world_done(&w);
}

static void indirect(void **ctx)
{
    (void)ctx;
    struct world w;
    unsigned head;
    uint32_t len;
    world_new(&w, 1);
    vt_start(&w.t, ALL, 1);
    put(&w, 0, 0, 0, 9, 1024);
    memcpy(w.t.ram->host + 0x500000, w.t.ram->host + VT_QUEUE(0), 64);
    memset(w.t.ram->host + VT_QUEUE(0), 0, 64);
    vt_desc(&w.t, 0, 0, 0x500000, 64, 4, 0);
    vt_kick(&w.t, 0);
    blk_drain(&w.disk->blk);
    assert_true(vt_get(&w.t, 0, &head, &len));
    assert_int_equal(len, 1025);
    assert_memory_equal(w.t.ram->host + DATA, w.disk->bytes + 9 * 512, 1024);
    world_done(&w);
}

/* Each breach of the rules stops the device until it is reset; nothing hangs or crashes. */
static void hostile(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    for (unsigned i = 0; i < 17; i++) {
        vt_start(&w.t, i == 12 ? 0 : ALL, 1);
        vt_in(&w.t, w.t.isr, 1);
        put(&w, 0, 0, 0, 0, 512);
        uint8_t *table = w.t.ram->host + 0x500000;
        memcpy(table, w.t.ram->host + VT_QUEUE(0), 64);
        switch (i) {
        case 0: /* a loop */
            vt_desc(&w.t, 0, 2, DATA, 100, 3, 1);
            break;
        case 1: /* next beyond the queue */
            vt_desc(&w.t, 0, 1, DATA, 100, 3, VT_SIZE);
            break;
        case 2: /* head beyond the queue */
            vt_put(&w.t, 0, VT_SIZE);
            break;
        case 3: /* more available than there are entries */
            le16_put(w.t.ram->host + VT_QUEUE(0) + 0x4002, 1000);
            break;
        case 4: /* readable after writable */
            vt_desc(&w.t, 0, 2, DATA, 100, 1, 3);
            break;
        case 5: /* not memory */
            vt_desc(&w.t, 0, 1, 0xf0000000, 512, 3, 2);
            break;
        case 6: /* over the end of all addresses */
            vt_desc(&w.t, 0, 1, UINT64_MAX - 10, 512, 3, 2);
            break;
        case 7: /* no place for the status */
            vt_desc(&w.t, 0, 0, HEADER, 16, 0, 0);
            break;
        case 8: /* half a header */
            vt_desc(&w.t, 0, 0, HEADER, 8, 1, 1);
            break;
        case 9: /* an indirect table of an odd size */
            vt_desc(&w.t, 0, 0, 0x500000, 63, 4, 0);
            break;
        case 10: /* … of no size */
            vt_desc(&w.t, 0, 0, 0x500000, 0, 4, 0);
            break;
        case 11: /* … with a table in it */
            le16_put(table + 12, 4);
            vt_desc(&w.t, 0, 0, 0x500000, 64, 4, 0);
            break;
        case 12: /* … that was not agreed on */
            vt_desc(&w.t, 0, 0, 0x500000, 64, 4, 0);
            break;
        case 13: /* … with a loop */
            le16_put(table + 2 * 16 + 14, 1);
            vt_desc(&w.t, 0, 0, 0x500000, 64, 4, 0);
            break;
        case 14: /* … that leaves itself */
            le16_put(table + 14, 4);
            vt_desc(&w.t, 0, 0, 0x500000, 64, 4, 0);
            break;
        case 15: /* … outside memory, of four gigabytes */
            vt_desc(&w.t, 0, 0, 0xf0000000, 0xfffffff0, 4, 0);
            break;
        case 16: /* … and a chain */
            vt_desc(&w.t, 0, 0, 0x500000, 64, 5, 1);
            break;
        }
        unsigned rises = w.t.intx_rises;
        vt_kick(&w.t, 0);
        blk_drain(&w.disk->blk);
        assert_int_equal(vt_get_status(&w.t), 0x4f);
        assert_int_equal(w.t.intx_rises, rises + 1); /* and the driver is told */
        vt_kick(&w.t, 0);
        assert_int_equal(w.disk->blk.in_flight, 0);
    }
    /* Queues that cannot be: odd size, outside memory, not aligned. */
    vt_start(&w.t, ALL, 0);
    vt_out(&w.t, w.t.common + 0x18, 2, 48);
    vt_out(&w.t, w.t.common + 0x1c, 2, 1);
    assert_int_equal(vt_in(&w.t, w.t.common + 0x1c, 2), 0);
    vt_start(&w.t, ALL, 0);
    vt_out(&w.t, w.t.common + 0x20, 4, 0xfffffff0);
    vt_out(&w.t, w.t.common + 0x1c, 2, 1);
    assert_int_equal(vt_in(&w.t, w.t.common + 0x1c, 2), 0);
    vt_out(&w.t, w.t.common + 0x20, 4, 8);
    vt_out(&w.t, w.t.common + 0x1c, 2, 1);
    assert_int_equal(vt_in(&w.t, w.t.common + 0x1c, 2), 0);
    vt_start(&w.t, ALL, 1);
    uint32_t len;
    assert_int_equal(request(&w, 0, 0, 512, &len), 0);
    world_done(&w);
}

/* The registers can also be reached by configuration space alone. */
static void window(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    unsigned at = vt_cfg(&w.t, 0x34, 1);
    while (at && !(vt_cfg(&w.t, at, 1) == 9 && vt_cfg(&w.t, at + 3, 1) == 5))
        at = vt_cfg(&w.t, at + 1, 1);
    assert_true(at);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 8, 4, 0x14);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 12, 4, 1);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 16, 1, 3);
    assert_int_equal(vt_get_status(&w.t), 3);
    assert_int_equal(vt_cfg(&w.t, at + 16, 1), 3);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 8, 4, 0x2000);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 12, 4, 4);
    assert_int_equal(vt_cfg(&w.t, at + 16, 4), SECTORS);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 8, 4, 0xfffffffc);
    vt_cfg(&w.t, at + 16, 4);
    pci_config_write(w.t.pci, 0, VT_DEVFN, at + 16, 4, 0xffffffff);
    world_done(&w);
}

static void negotiation(void **ctx)
{
    (void)ctx;
    struct world w;
    world_new(&w, 1);
    vt_status(&w.t, 0);
    vt_status(&w.t, 3);
    vt_status(&w.t, 11); /* without VERSION_1 */
    assert_int_equal(vt_get_status(&w.t), 3);
    w.disk->blk.readonly = true;
    vt_start(&w.t, 0, 1);
    /* After FEATURES_OK the features are fixed. */
    vt_out(&w.t, w.t.common + 8, 4, 0);
    vt_out(&w.t, w.t.common + 12, 4, 0xffffffff);
    assert_int_equal(vt_in(&w.t, w.t.common + 12, 4), 0);
    world_done(&w);
}

static void saved(void **ctx)
{
    (void)ctx;
    struct world a, b;
    struct state *save, *load;
    uint32_t len;
    world_new(&a, 1);
    world_new(&b, 1);
    vt_start(&a.t, ALL, 1);
    request(&a, 0, 1, 512, &len);
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(virtio_blk_dev_ops.state(a.dev, save), 0);
    memcpy(b.t.ram->host, a.t.ram->host, MIB(16));
    size_t bytes;
    const void *data = state_data(save, &bytes);
    assert_int_equal(state_new_load(data, bytes, &load), 0);
    assert_int_equal(virtio_blk_dev_ops.state(b.dev, load), 0);
    memcpy(b.t.avail, a.t.avail, sizeof(a.t.avail));
    memcpy(b.t.used, a.t.used, sizeof(a.t.used));
    assert_int_equal(request(&b, 0, 77, 2048, &len), 0);
    assert_memory_equal(b.t.ram->host + DATA, b.disk->bytes + 77 * 512, 2048);
    state_free(save);
    state_free(load);
    world_done(&a);
    world_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modern),     cmocka_unit_test(errors),      cmocka_unit_test(discard),
        cmocka_unit_test(interrupts), cmocka_unit_test(many),        cmocka_unit_test(legacy),
        cmocka_unit_test(reset_busy), cmocka_unit_test(indirect),    cmocka_unit_test(hostile),
        cmocka_unit_test(window),     cmocka_unit_test(negotiation), cmocka_unit_test(saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
