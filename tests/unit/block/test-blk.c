/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Disks as devices use them: opened by contents, locked, asynchronous, checked. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "block/blk.h"
#include "block/pool.h"
#include "block/vhd.h"
#include "fake-file.h"

static char path[64];

static int setup(void **ctx)
{
    (void)ctx;
    snprintf(path, sizeof(path), "/tmp/yado-blk-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int teardown(void **ctx)
{
    (void)ctx;
    return unlink(path);
}

static void fill(const void *bytes, size_t len, uint64_t size)
{
    FILE *f = fopen(path, "wb");
    if (len)
        assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, (off_t)size), 0);
}

/* An ISO or floppy image that is not whole sectors: its last bytes are there, padded. */
static void raw_odd_size(void **ctx)
{
    (void)ctx;
    struct blk *blk;
    struct error err;
    uint8_t buf[1024];
    fill("hello", 5, 700);
    assert_int_equal(blk_open(path, true, &blk, &err), 0);
    assert_string_equal(blk->ops->format, "raw");
    assert_int_equal(blk->size_bytes, 1024);
    memset(buf, 0xff, sizeof(buf));
    assert_int_equal(blk_pread(blk, buf, 1024, 0), 0);
    assert_memory_equal(buf, "hello\0", 6);
    assert_int_equal(buf[1023], 0);
    assert_int_equal(blk_pread(blk, buf, 1, 1024), -EINVAL);
    assert_int_equal(blk_pread(blk, buf, 2, UINT64_MAX), -EINVAL);
    assert_int_equal(blk_pwrite(blk, buf, 1, 0), -EROFS);
    blk_close(blk);
}

/* A person's mistakes: each is one line that names the file and what to do. */
static void refused(void **ctx)
{
    (void)ctx;
    struct blk *blk;
    struct error err;
    fill("", 0, 0);
    assert_int_equal(blk_open(path, false, &blk, &err), -EINVAL);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(blk_open("/nowhere/disk", false, &blk, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/disk"));
    assert_int_equal(blk_open("/tmp", true, &blk, &err), -EINVAL);
    static const struct {
        unsigned at;
        const char *magic;
        unsigned len;
    } foreign[] = {{0, "QFI\xfb", 4}, {0, "KDMV", 4}, {64, "\x7f\x10\xda\xbe", 4}};
    for (unsigned i = 0; i < ARRAY_LEN(foreign); i++) {
        uint8_t head[128] = {0};
        memcpy(head + foreign[i].at, foreign[i].magic, foreign[i].len);
        fill(head, sizeof(head), 65536);
        assert_int_equal(blk_open(path, false, &blk, &err), -EMEDIUMTYPE);
        assert_non_null(strstr(err.text, "convert"));
    }
}

/* Two machines on one disk would destroy it: the second is refused, readers may share. */
static void locks(void **ctx)
{
    (void)ctx;
    struct blk *a, *b;
    struct error err;
    fill("", 0, 65536);
    assert_int_equal(blk_open(path, false, &a, &err), 0);
    assert_int_equal(blk_open(path, false, &b, &err), -EBUSY);
    assert_non_null(strstr(err.text, "in use"));
    assert_int_equal(blk_open(path, true, &b, &err), -EBUSY);
    blk_close(a);
    assert_int_equal(blk_open(path, true, &a, &err), 0);
    assert_int_equal(blk_open(path, true, &b, &err), 0);
    blk_close(b);
    assert_int_equal(blk_open(path, false, &b, &err), -EBUSY);
    blk_close(a);
    assert_int_equal(blk_open(path, false, &b, &err), 0);
    blk_close(b);
}

#define JOBS 200
#define JOB_BYTES 3072

struct job {
    struct blk_req req;
    struct iovec iov;
    uint8_t bytes[JOB_BYTES];
    int result;
    unsigned done;
};

static void job_done(struct blk_req *req, int result)
{
    struct job *job = CONTAINER_OF(req, struct job, req);
    job->result = result;
    job->done++;
}

static void wake(void *ctx)
{
    uint64_t one = 1;
    if (write(*(int *)ctx, &one, 8) != 8)
        abort();
}

static void start(struct blk *blk, struct job *job, unsigned i, enum blk_op op)
{
    job->done = 0;
    job->iov = (struct iovec){job->bytes, JOB_BYTES};
    job->req = (struct blk_req){.op = op,
                                .offset_bytes = i * JOB_BYTES,
                                .len_bytes = JOB_BYTES,
                                .iov = &job->iov,
                                .iov_count = 1,
                                .done = job_done};
    blk_submit(blk, &job->req);
}

static void wait_all(struct blk *blk, int fd)
{
    while (blk->in_flight) {
        struct pollfd pfd = {.fd = fd, .events = POLLIN};
        uint64_t n;
        assert_int_equal(poll(&pfd, 1, 20000), 1); /* a lost wake-up would end here */
        assert_int_equal(read(fd, &n, 8), 8);
        blk_poll(blk);
    }
}

/* Many requests at once, woken through the notify: all end, once each, with the right bytes. */
static void asynchronous(struct blk *blk)
{
    static struct job jobs[JOBS];
    int fd = eventfd(0, EFD_CLOEXEC);
    blk_set_notify(blk, wake, &fd);
    for (unsigned round = 0; round < 3; round++) {
        /* What an owner who polls at once gets at once, and what comes later, is the same. */
        if (round)
            blk_plug_polled(blk);
        for (unsigned i = 0; i < JOBS; i++) {
            memset(jobs[i].bytes, (int)(i + round), JOB_BYTES);
            start(blk, &jobs[i], i, BLK_WRITE);
        }
        if (round) {
            blk_unplug(blk);
            blk_poll_now(blk);
        }
        wait_all(blk, fd);
        if (round)
            blk_plug_polled(blk);
        for (unsigned i = 0; i < JOBS; i++) {
            assert_true(jobs[i].done == 1 && jobs[i].result == 0);
            memset(jobs[i].bytes, 0, JOB_BYTES);
            start(blk, &jobs[i], i, BLK_READ);
        }
        if (round) {
            blk_unplug(blk);
            blk_poll_now(blk);
        }
        struct job flush = {.req = {.op = BLK_FLUSH, .done = job_done}};
        blk_submit(blk, &flush.req);
        blk_drain(blk);
        assert_true(flush.done == 1 && flush.result == 0);
        for (unsigned i = 0; i < JOBS; i++)
            for (unsigned k = 0; k < JOB_BYTES; k++)
                assert_int_equal(jobs[i].bytes[k], (uint8_t)(i + round));
    }
    /* Refused requests come back at once. */
    start(blk, &jobs[0], 1 << 20, BLK_READ);
    assert_true(jobs[0].done == 1 && jobs[0].result == -EINVAL);
    jobs[0].req.len_bytes = JOB_BYTES - 1; /* not what the list of buffers holds */
    jobs[0].req.offset_bytes = 0;
    blk_submit(blk, &jobs[0].req);
    assert_true(jobs[0].done == 2 && jobs[0].result == -EINVAL);
    assert_int_equal(blk->in_flight, 0);
    blk_close(blk);
    close(fd);
}

static void asynchronous_raw(void **ctx)
{
    (void)ctx;
    struct blk *blk;
    struct error err;
    fill("", 0, JOBS * JOB_BYTES);
    assert_int_equal(blk_open(path, false, &blk, &err), 0);
    asynchronous(blk);
}

static void asynchronous_vhd(void **ctx)
{
    (void)ctx;
    struct blk *blk;
    struct error err;
    unlink(path);
    assert_int_equal(
        vhd_create(path, &(struct vhd_new){.kind = VHD_DYNAMIC, .size_bytes = 16u << 20}, &err), 0);
    assert_int_equal(blk_open(path, false, &blk, &err), 0);
    asynchronous(blk);
}

/* Discard and write-zeroes give the host its storage back. */
static void zeroes(void **ctx)
{
    (void)ctx;
    struct blk *blk;
    struct error err;
    struct job job;
    static uint8_t buf[1 << 20];
    struct stat st;
    fill("", 0, sizeof(buf));
    assert_int_equal(blk_open(path, false, &blk, &err), 0);
    memset(buf, 0x77, sizeof(buf));
    assert_int_equal(blk_pwrite(blk, buf, sizeof(buf), 0), 0);
    assert_int_equal(blk_flush(blk), 0);
    job.req = (struct blk_req){.op = BLK_WRITE_ZEROES,
                               .offset_bytes = 4096,
                               .len_bytes = sizeof(buf) - 8192,
                               .done = job_done};
    blk_submit(blk, &job.req);
    blk_drain(blk);
    assert_int_equal(job.result, 0);
    job.req = (struct blk_req){.op = BLK_DISCARD, .len_bytes = 4096, .done = job_done};
    blk_submit(blk, &job.req);
    blk_drain(blk);
    assert_int_equal(job.result, 0);
    assert_int_equal(blk_pread(blk, buf, sizeof(buf), 0), 0);
    assert_int_equal(buf[4096], 0);
    assert_int_equal(buf[sizeof(buf) - 4097], 0);
    assert_int_equal(buf[sizeof(buf) - 4096], 0x77);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 < 512 << 10);
    blk_close(blk);
    assert_null(blk_close(NULL));
}

static void full_called(void *ctx)
{
    ++*(unsigned *)ctx;
}

/* The host's disk is full: nothing fails, the owner is told once, and all goes on with room. */
static void host_full(void **ctx)
{
    (void)ctx;
    struct fake_file *f = fake_new(1 << 20);
    struct vhd_footer footer;
    struct blk *blk;
    struct error err;
    struct job jobs[8];
    uint64_t at;
    unsigned told = 0;
    f->keep = true;
    fake_make_dynamic(f, 64 * 4096, 4096);
    assert_int_equal(vhd_probe(&f->file, &footer, &at, &err), 1);
    assert_int_equal(vhd_open(&f->file, &footer, at, false, NULL, &blk, &err), 0);
    blk_set_full(blk, full_called, &told);
    f->full_bytes = f->now_bytes + 3 * 8192;
    for (unsigned i = 0; i < 8; i++) {
        memset(jobs[i].bytes, (int)i + 1, JOB_BYTES);
        start(blk, &jobs[i], i * 2, BLK_WRITE);
    }
    unsigned tries = 0;
    while (told == 0) {
        assert_true(++tries < 10);
        blk_wait(blk);
    }
    while (pool_ready(blk->pool))
        blk_poll(blk);
    assert_true(blk_is_full(blk));
    assert_int_equal(blk_quiesce(blk), -ENOSPC); /* and what waits goes on waiting */
    assert_true(blk_is_full(blk));
    for (unsigned i = 0; i < 8; i++)
        assert_true(!jobs[i].done || jobs[i].result == 0);
    f->full_bytes = 0;
    blk_retry(blk);
    assert_int_equal(blk_quiesce(blk), 0);
    assert_int_equal(blk->in_flight, 0);
    assert_false(blk_is_full(blk));
    for (unsigned i = 0; i < 8; i++) {
        uint8_t byte;
        assert_true(jobs[i].done == 1 && jobs[i].result == 0);
        assert_int_equal(blk_pread(blk, &byte, 1, i * 2 * JOB_BYTES), 0);
        assert_int_equal(byte, i + 1);
    }
    /* A machine that ends while it waits gets its requests back. */
    f->full_bytes = 1;
    start(blk, &jobs[0], 80, BLK_WRITE);
    while (!blk_is_full(blk))
        blk_wait(blk);
    blk_drain(blk);
    assert_true(jobs[0].done == 1 && jobs[0].result == -ENOSPC);
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_full),
        cmocka_unit_test_setup_teardown(raw_odd_size, setup, teardown),
        cmocka_unit_test_setup_teardown(refused, setup, teardown),
        cmocka_unit_test_setup_teardown(locks, setup, teardown),
        cmocka_unit_test_setup_teardown(asynchronous_raw, setup, teardown),
        cmocka_unit_test_setup_teardown(asynchronous_vhd, setup, teardown),
        cmocka_unit_test_setup_teardown(zeroes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
