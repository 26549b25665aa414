/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SCSI disks over virtio: commands, errors, disks that come and go, a driver without manners. */
#include "memdisk.h"
#include "virtiotest.h"

#include "hw/virtio/virtio_scsi.h"

#define SECTORS 4096u
#define REQUEST 0x200000u
#define RESPONSE 0x210000u
#define DATA 0x300000u
#define ALL 0xffffffffffffull

struct world {
    struct vt t;
    struct memdisk *disk;
    struct virtio_scsi *dev;
};

static void world_new(struct world *w)
{
    struct virtio_scsi_env env = {.virtio = vt_new(&w->t), .queues = 1};
    w->disk = memdisk_new(SECTORS * 512);
    assert_int_equal(virtio_scsi_new(&env, &w->dev), 0);
    assert_int_equal(virtio_scsi_plug(w->dev, 2, &w->disk->blk, "abc"), 0);
    vt_probe(&w->t);
}

static void world_done(struct world *w)
{
    virtio_scsi_dev_ops.free(w->dev);
    blk_close(&w->disk->blk);
    vt_done(&w->t);
}

/* One command with len bytes of data; returns the status, or 0x100 and the response. */
static unsigned command(struct world *w, unsigned target, const char *cdb, unsigned cdb_bytes,
                        bool to_device, uint32_t len)
{
    uint8_t *request = w->t.ram->host + REQUEST, *response = w->t.ram->host + RESPONSE;
    unsigned head;
    uint32_t used;
    memset(request, 0, 51);
    memset(response, 0xee, 108);
    request[0] = 1;
    request[1] = (uint8_t)target;
    request[2] = 0x40;
    memcpy(request + 19, cdb, cdb_bytes);
    vt_desc(&w->t, 2, 0, REQUEST, 51, 1, to_device && len ? 1 : 2);
    vt_desc(&w->t, 2, 1, DATA, len, 1, 2);
    vt_desc(&w->t, 2, 2, RESPONSE, 108, !to_device && len ? 3 : 2, 3);
    vt_desc(&w->t, 2, 3, DATA, len, 2, 0);
    vt_put(&w->t, 2, 0);
    vt_kick(&w->t, 2);
    blk_drain(&w->disk->blk);
    assert_true(vt_get(&w->t, 2, &head, &used));
    return response[11] ? 0x100u | response[11] : response[10];
}

#define COMMAND(w, target, cdb, to_device, len)                                                    \
    command(w, target, cdb, sizeof(cdb) - 1, to_device, len)

static void sense_is(struct world *w, unsigned key, unsigned asc)
{
    const uint8_t *sense = w->t.ram->host + RESPONSE + 12;
    assert_int_equal(sense[2], key);
    assert_int_equal(sense[12], asc);
}

static void ready(struct world *w)
{
    vt_start(&w->t, ALL, 3);
    /* The power has come on: that is told once. */
    assert_int_equal(COMMAND(w, 2, "\0\0\0\0\0\0", false, 0), 2);
    sense_is(w, 6, 0x29);
    assert_int_equal(COMMAND(w, 2, "\0\0\0\0\0\0", false, 0), 0);
}

static void what_it_is(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    assert_int_equal(vt_cfg(&w.t, 0, 4), 0x10041af4);
    ready(&w);
    uint8_t *data = w.t.ram->host + DATA;
    assert_int_equal(COMMAND(&w, 2, "\x12\0\0\0\x24\0", false, 36), 0);
    assert_memory_equal(data + 8, "YADO    HARDDISK", 16);
    assert_int_equal(COMMAND(&w, 2, "\x12\1\x80\0\xff\0", false, 255), 0);
    assert_memory_equal(data, "\0\x80\0\3abc", 7);
    assert_int_equal(COMMAND(&w, 2, "\x25\0\0\0\0\0\0\0\0\0", false, 8), 0);
    assert_int_equal(be32_get(data), SECTORS - 1);
    assert_int_equal(COMMAND(&w, 2, "\x9e\x10\0\0\0\0\0\0\0\0\0\0\0\x20\0\0", false, 32), 0);
    assert_int_equal(be64_get(data), SECTORS - 1);
    assert_int_equal(COMMAND(&w, 2, "\xa0\0\0\0\0\0\0\0\0\x10\0\0", false, 16), 0);
    assert_int_equal(be32_get(data), 8);
    assert_int_equal(COMMAND(&w, 2, "\xff\0\0\0\0\0", false, 0), 2);
    sense_is(&w, 5, 0x20);
    /* Nobody there. */
    assert_int_equal(COMMAND(&w, 1, "\x12\0\0\0\x24\0", false, 36), 0x103);
    world_done(&w);
}

static void data(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    ready(&w);
    uint8_t *data = w.t.ram->host + DATA;
    assert_int_equal(COMMAND(&w, 2, "\x28\0\0\0\0\7\0\0\x10\0", false, 8192), 0);
    assert_memory_equal(data, w.disk->bytes + 7 * 512, 8192);
    memset(data, 0x5a, 4096);
    assert_int_equal(COMMAND(&w, 2, "\x8a\x08\0\0\0\0\0\0\1\0\0\0\0\x08\0\0", true, 4096), 0);
    assert_memory_equal(w.disk->bytes + 256 * 512, data, 4096);
    assert_int_equal(w.disk->fuas, 1);
    assert_int_equal(COMMAND(&w, 2, "\x35\0\0\0\0\0\0\0\0\0", false, 0), 0);
    assert_int_equal(w.disk->flushes, 1);
    /* Beyond the end, and with too small a buffer. */
    assert_int_equal(COMMAND(&w, 2, "\x28\0\0\0\x0f\xff\0\0\2\0", false, 1024), 2);
    sense_is(&w, 5, 0x21);
    assert_int_equal(COMMAND(&w, 2, "\x28\0\0\0\0\0\0\0\x10\0", false, 512), 0x101);
    /* Two ranges given back, and one written with zeroes. */
    memset(data, 0, 64);
    be16_put(data, 38);
    be16_put(data + 2, 32);
    be64_put(data + 8, 8);
    be32_put(data + 16, 8);
    be64_put(data + 24, 64);
    be32_put(data + 32, 16);
    assert_int_equal(COMMAND(&w, 2, "\x42\0\0\0\0\0\0\0\x28\0", true, 40), 0);
    assert_int_equal(w.disk->discards, 2);
    be64_put(data + 24, SECTORS);
    assert_int_equal(COMMAND(&w, 2, "\x42\0\0\0\0\0\0\0\x28\0", true, 40), 2);
    assert_int_equal(w.disk->discards, 2);
    memset(data, 0, 512);
    assert_int_equal(COMMAND(&w, 2, "\x93\0\0\0\0\0\0\0\0\1\0\0\0\4\0\0", true, 512), 0);
    assert_int_equal(w.disk->zeroes, 1);
    /* A bad sector. */
    w.disk->bad_from = 512;
    w.disk->bad_to = 1024;
    assert_int_equal(COMMAND(&w, 2, "\x28\0\0\0\0\0\0\0\x10\0", false, 8192), 2);
    sense_is(&w, 3, 0x11);
    world_done(&w);
}

static void read_only(void **ctx)
{
    struct world w;
    (void)ctx;
    world_new(&w);
    ready(&w);
    w.disk->blk.readonly = true;
    assert_int_equal(COMMAND(&w, 2, "\x2a\0\0\0\0\0\0\0\x08\0", true, 4096), 2);
    sense_is(&w, 7, 0x27);
    assert_int_equal(COMMAND(&w, 2, "\x1a\0\x3f\0\xff\0", false, 255), 0);
    assert_true(w.t.ram->host[DATA + 2] & 0x80);
    world_done(&w);
}

static void come_and_go(void **ctx)
{
    struct world w;
    struct memdisk *second = memdisk_new(1 << 20);
    unsigned head;
    uint32_t len;
    (void)ctx;
    world_new(&w);
    ready(&w);
    assert_int_equal(virtio_scsi_plug(w.dev, 2, &second->blk, "x"), -EBUSY);
    assert_int_equal(virtio_scsi_plug(w.dev, VIRTIO_SCSI_TARGETS, &second->blk, "x"), -ENODEV);
    /* Without room for it the event waits. */
    assert_int_equal(virtio_scsi_plug(w.dev, 5, &second->blk, "x"), 0);
    assert_false(vt_get(&w.t, 1, &head, &len));
    vt_desc(&w.t, 1, 0, DATA, 16, 2, 0);
    vt_put(&w.t, 1, 0);
    vt_kick(&w.t, 1);
    assert_true(vt_get(&w.t, 1, &head, &len));
    assert_int_equal(len, 16);
    assert_memory_equal(w.t.ram->host + DATA, "\1\0\0\0\1\5\x40\0\0\0\0\0\1\0\0\0", 16);
    assert_int_equal(COMMAND(&w, 5, "\x12\0\0\0\x24\0", false, 36), 0);
    vt_put(&w.t, 1, 0);
    vt_kick(&w.t, 1);
    assert_int_equal(virtio_scsi_unplug(w.dev, 5), 0);
    assert_true(vt_get(&w.t, 1, &head, &len));
    assert_memory_equal(w.t.ram->host + DATA, "\1\0\0\0\1\5\x40\0\0\0\0\0\2\0\0\0", 16);
    assert_int_equal(COMMAND(&w, 5, "\x12\0\0\0\x24\0", false, 36), 0x103);
    assert_int_equal(virtio_scsi_unplug(w.dev, 5), -ENODEV);
    blk_close(&second->blk);
    world_done(&w);
}

static void management(void **ctx)
{
    struct world w;
    unsigned head;
    uint32_t len;
    (void)ctx;
    world_new(&w);
    ready(&w);
    uint8_t *request = w.t.ram->host + REQUEST;
    memset(request, 0, 24);
    le32_put(request + 4, 5); /* LOGICAL UNIT RESET */
    request[8] = 1;
    request[9] = 2;
    vt_desc(&w.t, 0, 0, REQUEST, 24, 1, 1);
    vt_desc(&w.t, 0, 1, RESPONSE, 1, 2, 0);
    w.t.ram->host[RESPONSE] = 0xee;
    vt_put(&w.t, 0, 0);
    vt_kick(&w.t, 0);
    assert_true(vt_get(&w.t, 0, &head, &len));
    assert_int_equal(w.t.ram->host[RESPONSE], 0);
    assert_int_equal(COMMAND(&w, 2, "\0\0\0\0\0\0", false, 0), 2);
    sense_is(&w, 6, 0x29);
    /* What cannot be answered stops the device until it is reset. */
    vt_desc(&w.t, 2, 0, REQUEST, 10, 1, 1);
    vt_desc(&w.t, 2, 1, RESPONSE, 108, 2, 0);
    vt_put(&w.t, 2, 0);
    vt_kick(&w.t, 2);
    assert_true(vt_get_status(&w.t) & VIRTIO_NEEDS_RESET);
    ready(&w);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_is),  cmocka_unit_test(data),       cmocka_unit_test(read_only),
        cmocka_unit_test(come_and_go), cmocka_unit_test(management),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
