/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A disk with limits does as much as it may, in order, and nothing is lost when somebody cannot wait. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../hw/memdisk.h"
#include "block/throttle.h"

#define BYTES MIB(8)
#define REQUESTS 400u

struct world {
    struct clock *clock;
    struct memdisk *disk;
    struct blk *blk;
    struct blk_req reqs[REQUESTS];
    struct iovec iov;
    unsigned done, failed;
    unsigned order[REQUESTS];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_int_equal(clock_new_manual(&w->clock), 0);
    w->disk = memdisk_new(BYTES);
    w->blk = &w->disk->blk;
    w->iov = (struct iovec){malloc(BYTES), BYTES};
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    blk_close(w->blk);
    clock_free(w->clock);
    free(w->iov.iov_base);
    free(w);
    return 0;
}

static void on_done(struct blk_req *req, int result)
{
    struct world *w = req->ctx;

    w->failed += result < 0;
    w->order[w->done++] = (unsigned)(req - w->reqs);
}

static void submit(struct world *w, unsigned n, enum blk_op op, uint64_t len_bytes)
{
    w->iov.iov_len = len_bytes;
    w->reqs[n] = (struct blk_req){.op = op,
                                  .len_bytes = op == BLK_FLUSH ? 0 : len_bytes,
                                  .iov = &w->iov,
                                  .iov_count = op == BLK_READ || op == BLK_WRITE,
                                  .done = on_done,
                                  .ctx = w};
    blk_submit(w->blk, &w->reqs[n]);
}

static void limit(struct world *w, struct blk_limits limits)
{
    assert_int_equal(blk_set_limits(w->blk, w->clock, &limits), 0);
}

/* What is done after so many milliseconds more. */
static unsigned after(struct world *w, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        clock_advance(w->clock, NS_PER_SEC / 1000);
        blk_poll(w->blk);
    }
    return w->done;
}

static void bytes_come_at_their_rate_and_in_order(void **state)
{
    struct world *w = *state;

    limit(w, (struct blk_limits){.read_bytes = 1000000});
    for (unsigned i = 0; i < 100; i++)
        submit(w, i, BLK_READ, 20000);
    /* A tenth of a second is had in advance: five, and the one that they are paid for with. */
    blk_poll(w->blk);
    assert_int_equal(w->done, 6);
    assert_in_range(after(w, 500), 30, 31);
    assert_in_range(after(w, 500), 55, 56);
    assert_in_range(after(w, 1000), 100, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(w->order[i], i);
    assert_int_equal(w->failed, 0);
    /* Rest is not saved up beyond that tenth. */
    clock_advance(w->clock, 3600 * NS_PER_SEC);
    w->done = 0;
    for (unsigned i = 0; i < 100; i++)
        submit(w, i, BLK_READ, 20000);
    assert_in_range(after(w, 1), 5, 7);
    limit(w, (struct blk_limits){0});
    blk_poll(w->blk);
    assert_int_equal(w->done, 100);
}

static void requests_are_counted_however_large(void **state)
{
    struct world *w = *state;

    limit(w, (struct blk_limits){.writes = 50});
    for (unsigned i = 0; i < 200; i++)
        submit(w, i, i & 1 ? BLK_WRITE : BLK_DISCARD, 512);
    assert_in_range(after(w, 1000), 50, 57);
    assert_in_range(after(w, 2000), 150, 157);
    assert_in_range(after(w, 1000), 200, 200);
}

/* Neither makes the other wait; flushes wait for none. */
static void reads_writes_and_flushes_are_apart(void **state)
{
    struct world *w = *state;

    limit(w, (struct blk_limits){.write_bytes = 4096, .reads = 1000});
    submit(w, 0, BLK_WRITE, MIB(1));
    submit(w, 1, BLK_WRITE, 512);
    for (unsigned i = 2; i < 22; i++)
        submit(w, i, BLK_READ, 512);
    submit(w, 22, BLK_FLUSH, 0);
    assert_int_equal(after(w, 100), 22);
    /* A request larger than a second's worth goes; what comes behind it waits for as long as it takes. */
    assert_int_equal(after(w, 1000), 22);
    clock_advance(w->clock, MIB(1) / 4096 * NS_PER_SEC);
    assert_int_equal(after(w, 1), 23);
}

static void what_is_changed_counts_for_those_that_wait(void **state)
{
    struct world *w = *state;
    struct blk_limits now;

    limit(w, (struct blk_limits){.read_bytes = 4096});
    for (unsigned i = 0; i < 100; i++)
        submit(w, i, BLK_READ, 100000);
    assert_in_range(after(w, 1000), 1, 1); /* the first has to be paid for: 24 seconds */
    limit(w, (struct blk_limits){.read_bytes = 10000000});
    assert_in_range(after(w, 500), 40, 62);
    blk_get_limits(w->blk, &now);
    assert_int_equal(now.read_bytes, 10000000);
    assert_int_equal(now.writes, 0);
    limit(w, (struct blk_limits){.reads = 1});
    assert_in_range(after(w, 1000), 41, 65);
    limit(w, (struct blk_limits){0});
    blk_poll(w->blk);
    assert_int_equal(w->done, 100);
}

/* A machine that is saved, or ends, does not wait for hours. */
static void who_cannot_wait_does_not(void **state)
{
    struct world *w = *state;

    limit(w, (struct blk_limits){.writes = 1});
    for (unsigned i = 0; i < 50; i++)
        submit(w, i, BLK_WRITE, 4096);
    assert_int_equal(after(w, 1), 1);
    assert_int_equal(blk_quiesce(w->blk), 0);
    assert_int_equal(w->done, 50);
    for (unsigned i = 0; i < 50; i++)
        submit(w, i, BLK_WRITE, 4096);
    w->done = 0;
    blk_drain(w->blk);
    assert_int_equal(w->done, 50);
    assert_int_equal(w->failed, 0);
    /* It is paid for all the same. */
    submit(w, 0, BLK_WRITE, 4096);
    assert_int_equal(after(w, 1000), 50);
    clock_advance(w->clock, 101 * NS_PER_SEC);
    assert_int_equal(after(w, 1), 51);
}

/* Whoever is refused is told at once, limit or not. */
static void wrong_requests_do_not_wait(void **state)
{
    struct world *w = *state;

    limit(w, (struct blk_limits){.reads = 1, .read_bytes = 4096});
    for (unsigned i = 0; i < 10; i++) {
        w->reqs[i] = (struct blk_req){
            .op = BLK_READ, .offset_bytes = BYTES, .len_bytes = 1, .done = on_done, .ctx = w};
        blk_submit(w->blk, &w->reqs[i]);
    }
    assert_int_equal(w->failed, 10);
    limit(w, (struct blk_limits){.reads = UINT64_MAX, .read_bytes = UINT64_MAX});
    w->done = 0;
    for (unsigned i = 0; i < 100; i++)
        submit(w, i, BLK_READ, MIB(1));
    blk_poll(w->blk);
    assert_int_equal(w->done, 100);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bytes_come_at_their_rate_and_in_order),
        TEST(requests_are_counted_however_large),
        TEST(reads_writes_and_flushes_are_apart),
        TEST(what_is_changed_counts_for_those_that_wait),
        TEST(who_cannot_wait_does_not),
        TEST(wrong_requests_do_not_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
