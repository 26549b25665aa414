/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small virtio devices: console, random numbers, balloon. */
#include "virtiotest.h"

#include <errno.h>
#include <sys/mman.h>

#include "hw/virtio/virtio_balloon.h"
#include "hw/virtio/virtio_console.h"
#include "hw/virtio/virtio_rng.h"

#define BUF 0x300000u
#define ALL 0xffffffffffffull

struct host {
    uint8_t bytes[65536];
    size_t len, room;
    unsigned rx_ready;
};

static size_t host_write(void *ctx, const uint8_t *buf, size_t len_bytes)
{
    struct host *h = ctx;
    size_t n = MIN(len_bytes, h->room);
    memcpy(h->bytes + h->len, buf, n);
    h->len += n;
    h->room -= n;
    return n;
}

static void host_rx_ready(void *ctx)
{
    ((struct host *)ctx)->rx_ready++;
}

static struct virtio_console *console_new(struct vt *t, struct host *h)
{
    struct virtio_console_env env = {
        .virtio = vt_new(t), .chr = {.write = host_write, .rx_ready = host_rx_ready, .ctx = h}};
    struct virtio_console *con;
    memset(h, 0, sizeof(*h));
    h->room = sizeof(h->bytes);
    assert_int_equal(virtio_console_new(&env, &con), 0);
    vt_probe(t);
    return con;
}

/* Text goes out in order, waits while the terminal is full, and none of it is lost. */
static void console_out(void **ctx)
{
    (void)ctx;
    struct vt t;
    static struct host h;
    unsigned head;
    uint32_t len;
    struct virtio_console *con = console_new(&t, &h);
    vt_start(&t, ALL, 2);
    for (unsigned i = 0; i < 10000; i++)
        t.ram->host[BUF + i] = (uint8_t)(i % 251);
    h.room = 5000;
    vt_desc(&t, 1, 0, BUF, 4500, 0, 0);
    vt_desc(&t, 1, 1, BUF + 4500, 5500, 0, 0);
    vt_put(&t, 1, 0);
    vt_put(&t, 1, 1);
    vt_kick(&t, 1);
    assert_int_equal(h.len, 5000);
    assert_true(vt_get(&t, 1, &head, &len));
    assert_int_equal(head, 0);
    assert_false(vt_get(&t, 1, &head, &len));
    vt_kick(&t, 1);
    assert_int_equal(h.len, 5000);

    /* Saved and loaded while waiting, it goes on where it was. */
    struct state *save, *load;
    assert_int_equal(state_new_save(&save), 0);
    assert_int_equal(virtio_console_dev_ops.state(con, save), 0);
    size_t bytes;
    const void *data = state_data(save, &bytes);
    assert_int_equal(state_new_load(data, bytes, &load), 0);
    assert_int_equal(virtio_console_dev_ops.state(con, load), 0);
    h.room = 60000;
    virtio_console_tx_ready(con);
    assert_int_equal(h.len, 10000);
    assert_memory_equal(h.bytes, t.ram->host + BUF, 10000);
    assert_true(vt_get(&t, 1, &head, &len));
    assert_int_equal(head, 1);
    state_free(save);
    state_free(load);
    vt_out(&t, t.config + 8, 4, 'E'); /* before any queue works */
    assert_int_equal(h.bytes[10000], 'E');
    virtio_console_dev_ops.free(con);
    vt_done(&t);
}

/* Keys typed before the guest listens are not taken, so the host can keep them. */
static void console_in(void **ctx)
{
    (void)ctx;
    struct vt t;
    static struct host h;
    unsigned head;
    uint32_t len;
    struct virtio_console *con = console_new(&t, &h);
    assert_int_equal(virtio_console_receive(con, (const uint8_t *)"abc", 3), 0);
    vt_start(&t, ALL, 2);
    vt_desc(&t, 0, 0, BUF, 4, 2, 0);
    vt_desc(&t, 0, 1, BUF + 100, 4, 2, 0);
    vt_put(&t, 0, 0);
    vt_put(&t, 0, 1);
    vt_kick(&t, 0);
    assert_int_equal(h.rx_ready, 1);
    assert_int_equal(virtio_console_receive(con, (const uint8_t *)"abcdefghij", 10), 8);
    assert_memory_equal(t.ram->host + BUF, "abcd", 4);
    assert_memory_equal(t.ram->host + BUF + 100, "efgh", 4);
    assert_true(vt_get(&t, 0, &head, &len));
    assert_int_equal(len, 4);
    vt_put(&t, 0, 0);
    vt_kick(&t, 0);
    assert_int_equal(h.rx_ready, 2);
    assert_int_equal(virtio_console_receive(con, (const uint8_t *)"ij", 2), 2);
    /* A buffer without room would make us spin: it is against the rules. */
    vt_desc(&t, 0, 2, BUF, 4, 0, 0);
    vt_put(&t, 0, 2);
    vt_kick(&t, 0);
    assert_int_equal(virtio_console_receive(con, (const uint8_t *)"k", 1), 0);
    assert_int_equal(vt_get_status(&t), 0x4f);
    virtio_console_dev_ops.free(con);
    vt_done(&t);
}

/* A driver that keeps its queue full lets go of the machine now and then, and is served on. */
static void console_flood(void **ctx)
{
    (void)ctx;
    struct vt t;
    static struct host h;
    unsigned head, seen = 0;
    uint32_t len;
    struct virtio_console *con = console_new(&t, &h);
    virtio_console_connect(con, &(struct chardev){0}); /* takes everything */
    vt_start(&t, ALL, 2);
    for (unsigned i = 0; i < 40; i++) {
        vt_desc(&t, 1, i, BUF, 8192, 0, 0);
        vt_put(&t, 1, i);
    }
    vt_kick(&t, 1);
    while (vt_get(&t, 1, &head, &len))
        seen++;
    assert_true(seen > 0 && seen < 40);
    for (unsigned i = 0; i < 20; i++)
        clock_advance(t.clock, MS(1));
    while (vt_get(&t, 1, &head, &len))
        seen++;
    assert_int_equal(seen, 40);
    virtio_console_dev_ops.free(con);
    vt_done(&t);
}

static void rng(void **ctx)
{
    (void)ctx;
    struct vt t;
    struct virtio_rng *dev;
    unsigned head, set = 0;
    uint32_t len = 0;
    struct virtio_env env = vt_new(&t);
    assert_int_equal(virtio_rng_new(&env, &dev), 0);
    vt_probe(&t);
    vt_start(&t, ALL, 1);
    vt_desc(&t, 0, 0, BUF, 64, 3, 1);
    vt_desc(&t, 0, 1, BUF + 4096, 64, 2, 0);
    vt_put(&t, 0, 0);
    vt_kick(&t, 0);
    assert_true(vt_get(&t, 0, &head, &len));
    assert_int_equal(len, 128);
    for (unsigned i = 0; i < 64; i++)
        set += (t.ram->host[BUF + i] != 0) + (t.ram->host[BUF + 4096 + i] != 0);
    assert_true(set > 100);
    assert_int_equal(t.ram->host[BUF + 64], 0);
    /* Megabytes at once get a part, which is allowed. */
    vt_desc(&t, 0, 0, 0, MIB(15), 2, 0);
    vt_desc(&t, 0, 0, BUF, MIB(10), 2, 0);
    vt_put(&t, 0, 0);
    vt_kick(&t, 0);
    assert_true(vt_get(&t, 0, &head, &len));
    assert_true(len > 0 && len < 65536);
    virtio_rng_dev_ops.free(dev);
    vt_done(&t);
}

static bool present(struct vt *t, uint64_t offset)
{
    unsigned char v = 0;
    assert_int_equal(mincore(t->ram->host + offset, 4096, &v), 0);
    return v & 1;
}

/* Pages that the guest gives up leave the host's memory; numbers that are no pages do nothing. */
static void balloon(void **ctx)
{
    (void)ctx;
    struct vt t;
    struct virtio_balloon *b;
    unsigned head;
    uint32_t len;
    struct virtio_env env = vt_new(&t);
    assert_int_equal(virtio_balloon_new(&env, &b), 0);
    vt_probe(&t);
    vt_start(&t, ALL, 3);
    virtio_balloon_set_target(b, MIB(2));
    assert_int_equal(vt_in(&t, t.isr, 1), 3);
    assert_int_equal(vt_in(&t, t.config, 4), 512);
    madvise(t.ram->host, MIB(16), MADV_NOHUGEPAGE);
    memset(t.ram->host + MIB(8), 0x77, 3 * 4096);
    le32_put(t.ram->host + BUF, 0x800);
    le32_put(t.ram->host + BUF + 4, 0x802);
    le32_put(t.ram->host + BUF + 8, 0xffffffff);
    le32_put(t.ram->host + BUF + 12, 0x1000); /* just past memory */
    vt_desc(&t, 0, 0, BUF, 16, 0, 0);
    vt_put(&t, 0, 0);
    vt_kick(&t, 0);
    assert_true(vt_get(&t, 0, &head, &len));
    assert_false(present(&t, MIB(8)));
    assert_true(present(&t, MIB(8) + 4096));
    assert_false(present(&t, MIB(8) + 8192));
    assert_int_equal(t.ram->host[MIB(8)], 0);
    assert_int_equal(*ram_flags(t.ram, MIB(8)), RAM_DIRTY_ALL);
    vt_out(&t, t.config + 4, 4, 2);
    assert_int_equal(virtio_balloon_actual_bytes(b), 8192);
    vt_desc(&t, 1, 0, BUF, 4, 0, 0);
    vt_put(&t, 1, 0);
    vt_kick(&t, 1);
    assert_true(vt_get(&t, 1, &head, &len));

    /* Statistics: one buffer goes to and fro. */
    assert_int_equal(virtio_balloon_request_stats(b), -EAGAIN);
    assert_true(virtio_balloon_stats(b)->free_bytes == UINT64_MAX);
    le16_put(t.ram->host + BUF, 4);
    le64_put(t.ram->host + BUF + 2, 123456);
    le16_put(t.ram->host + BUF + 10, 999);
    vt_desc(&t, 2, 0, BUF, 20, 0, 0);
    vt_put(&t, 2, 0);
    vt_kick(&t, 2);
    assert_true(virtio_balloon_stats(b)->free_bytes == 123456);
    assert_false(vt_get(&t, 2, &head, &len));
    assert_int_equal(virtio_balloon_request_stats(b), 0);
    assert_true(vt_get(&t, 2, &head, &len));
    assert_int_equal(virtio_balloon_request_stats(b), -EAGAIN);

    virtio_balloon_dev_ops.reset(b);
    assert_int_equal(virtio_balloon_actual_bytes(b), 0);
    virtio_balloon_dev_ops.free(b);
    vt_done(&t);
}

/* Any access of any size to any register of any device. */
static void garbage(void **ctx)
{
    (void)ctx;
    for (unsigned kind = 0; kind < 3; kind++) {
        struct vt t;
        struct virtio_rng *r = NULL;
        struct virtio_balloon *b = NULL;
        struct virtio_console *con = NULL;
        static struct host h;
        uint64_t seed = kind + 1;
        struct virtio_env env;
        if (kind == 2) {
            con = console_new(&t, &h);
            virtio_console_connect(con, &(struct chardev){0});
        } else {
            env = vt_new(&t);
            assert_int_equal(kind ? virtio_balloon_new(&env, &b) : virtio_rng_new(&env, &r), 0);
            vt_probe(&t);
        }
        for (unsigned i = 0; i < 100000; i++) {
            if (i % 1000 == 0)
                vt_start(&t, ALL, kind == 0 ? 1 : kind == 1 ? 3 : 2);
            seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
            unsigned size = 1u << (seed >> 60 & 3) % 3;
            uint32_t at = (uint32_t)(seed >> 32) & 0x3fff;
            if (seed >> 59 & 1)
                at &= 0xf03f;
            uint64_t v = seed >> 12;
            if (seed >> 58 & 1) {
                uint32_t q = VT_QUEUE(seed >> 56 & 3) + ((uint32_t)(seed >> 20) & 0x60ff);
                t.ram->host[q] = (uint8_t)(v & 7);
            } else if (seed >> 57 & 1) {
                bus_read(t.mem, VT_MMIO + at, size);
                bus_read(t.pio, VT_PIO + (at & 127), size);
            } else {
                bus_write(t.mem, VT_MMIO + at, size, v);
                if (seed >> 30 & 1)
                    bus_write(t.pio, VT_PIO + (at & 127), size, v & 0xff);
            }
            if (i % 50 == 0)
                clock_advance(t.clock, MS(1));
        }
        if (r)
            virtio_rng_dev_ops.free(r);
        if (b)
            virtio_balloon_dev_ops.free(b);
        if (con)
            virtio_console_dev_ops.free(con);
        vt_done(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(console_out),   cmocka_unit_test(console_in),
        cmocka_unit_test(console_flood), cmocka_unit_test(rng),
        cmocka_unit_test(balloon),       cmocka_unit_test(garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
