/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest that goes through its memory finds the next huge page there already, up or down; one that
 * touches a page here and there is given no more than that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/mman.h>
#include <unistd.h>

#include "memory/ahead.h"

#define HUGE_BYTES (1u << AHEAD_SHIFT)
#define COUNT 16u
#define PATIENCE_MS 5000

struct rig {
    struct ram *ram;
    struct ahead *ahead;
    uint64_t first; /* the first huge page that is the store's as a whole */
};

static void rig_open(struct rig *rig)
{
    struct error err = {0};

    assert_int_equal(ram_new((COUNT + 1) * (uint64_t)HUGE_BYTES, &rig->ram, &err), 0);
    assert_int_equal(ahead_new(rig->ram, &rig->ahead), 0);
    rig->first = ahead_number(rig->ahead, rig->ram->host + HUGE_BYTES - 1);
}

static void rig_close(struct rig *rig)
{
    ahead_free(rig->ahead);
    ram_free(rig->ram);
}

static uint8_t *place(const struct rig *rig, unsigned n)
{
    return (uint8_t *)((rig->ahead->first + rig->first + n) << AHEAD_SHIFT);
}

/* As the engine does it: said first, then done. */
static void touch(struct rig *rig, unsigned n)
{
    uint64_t number = rig->first + n;
    if (ahead_is_new(rig->ahead, number))
        ahead_touch(rig->ahead, number);
    *place(rig, n) = 1;
}

static unsigned pages_there(const struct rig *rig, unsigned n)
{
    unsigned char pages[HUGE_BYTES / RAM_PAGE_BYTES];
    unsigned there = 0;

    assert_int_equal(mincore(place(rig, n), HUGE_BYTES, pages), 0);
    for (unsigned i = 0; i < sizeof(pages); i++)
        there += pages[i] & 1;
    return there;
}

static bool comes(const struct rig *rig, unsigned n)
{
    for (unsigned ms = 0; ms < PATIENCE_MS; ms++) {
        if (pages_there(rig, n) == HUGE_BYTES / RAM_PAGE_BYTES)
            return true;
        usleep(1000);
    }
    return false;
}

/* The host has none, or has run out of them: then there is nothing to do ahead. */
static bool host_has_huge_pages(const struct rig *rig, unsigned touched)
{
    return pages_there(rig, touched) > 1;
}

static void runs_ahead_up_and_down(void **unused)
{
    struct rig rig;
    (void)unused;
    rig_open(&rig);
    touch(&rig, 0);
    touch(&rig, 15);
    bool huge = host_has_huge_pages(&rig, 0) && host_has_huge_pages(&rig, 15);
    if (huge) {
        for (unsigned n = 1; n < 4; n++) {
            touch(&rig, n);
            assert_true(comes(&rig, n + 1));
            touch(&rig, 15 - n);
            assert_true(comes(&rig, 15 - n - 1));
        }
        assert_int_equal(pages_there(&rig, 6), 0); /* one step, not two */
    }
    rig_close(&rig);
    if (!huge) {
        print_message("no huge pages on this host\n");
        skip();
    }
}

static void leaves_alone_what_is_touched_here_and_there(void **unused)
{
    struct rig rig;
    (void)unused;
    rig_open(&rig);
    for (unsigned n = 0; n < COUNT; n += 3)
        touch(&rig, n);
    touch(&rig, 5); /* beside 6: goes down to 4 */
    bool huge = host_has_huge_pages(&rig, 6);
    assert_true(!huge || comes(&rig, 4)); /* by then everything before it has been looked at */
    for (unsigned n = 0; n < COUNT; n++)
        if (n % 3 && n != 4 && n != 5)
            assert_int_equal(pages_there(&rig, n), 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_ahead_up_and_down),
        cmocka_unit_test(leaves_alone_what_is_touched_here_and_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
