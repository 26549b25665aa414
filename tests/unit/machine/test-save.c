/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole machines on the soft engine, saved in the middle of their work: a new one goes on where
 * the old one was, in registers, memory and devices; other machines and changed disks are refused
 * with the difference named, and what is cancelled or fails leaves the machine running.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "base/bytes.h"
#include "machine/machine_internal.h"
#include "machine/pc.h"
#include "saved/saved.h"

#define WAIT_MS 60000
#define COUNT_AT MIB(2)
#define STOP_AT (COUNT_AT + 4)
#define WELL_DONE 7 /* the guest writes 3 */

static char folder[] = "/tmp/yado-test-save-XXXXXX";
static char kernel[sizeof(folder) + 16], saved[sizeof(folder) + 16], disk[sizeof(folder) + 16];
static struct error err;

/* Counts in EAX, XMM0 and memory; they must always agree. Ends when told to. */
static const uint8_t counting[] = {
    0x0f, 0x20, 0xe0,                         /* mov eax, cr4 */
    0x0d, 0x00, 0x02, 0x00, 0x00,             /* or eax, OSFXSR */
    0x0f, 0x22, 0xe0,                         /* mov cr4, eax */
    0x0f, 0x20, 0xc0,                         /* mov eax, cr0 */
    0x83, 0xe0, 0xfb,                         /* and eax, ~EM */
    0x83, 0xc8, 0x02,                         /* or eax, MP */
    0x0f, 0x22, 0xc0,                         /* mov cr0, eax */
    0xba, 0x01, 0x00, 0x00, 0x00,             /* mov edx, 1 */
    0x66, 0x0f, 0x6e, 0xca,                   /* movd xmm1, edx */
    0x31, 0xc0,                               /* xor eax, eax */
    0x66, 0x0f, 0x6e, 0xc0,                   /* movd xmm0, eax */
    0xd9, 0xee,                               /* fldz */
    0x40,                                     /* loop: inc eax */
    0x66, 0x0f, 0xfe, 0xc1,                   /* paddd xmm0, xmm1 */
    0xff, 0x05, 0x00, 0x00, 0x20, 0x00,       /* inc [COUNT_AT] */
    0x66, 0x0f, 0x7e, 0xc2,                   /* movd edx, xmm0 */
    0x39, 0xc2,                               /* cmp edx, eax */
    0x75, 0x17,                               /* jne bad */
    0x39, 0x05, 0x00, 0x00, 0x20, 0x00,       /* cmp [COUNT_AT], eax */
    0x75, 0x0f,                               /* jne bad */
    0x80, 0x3d, 0x04, 0x00, 0x20, 0x00, 0x00, /* cmp byte [STOP_AT], 0 */
    0x74, 0xdc,                               /* je loop */
    0xb0, 0x03, 0xe6, 0xf4, 0xeb, 0xfe,       /* out 0xf4, 3; jmp . */
    0xb0, 0x01, 0xe6, 0xf4, 0xeb, 0xfe,       /* bad: out 0xf4, 1; jmp . */
};

static void write_file(const char *name, const void *data, size_t len)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

/* A multiboot kernel that says itself where it goes. */
static void kernel_write(const void *code, size_t len)
{
    const uint32_t gpa = MIB(1);
    uint8_t image[256];

    le32_put(image, 0x1badb002);
    le32_put(image + 4, 0x10000);
    le32_put(image + 8, -(0x1badb002u + 0x10000u));
    le32_put(image + 12, gpa);
    le32_put(image + 16, gpa);
    le32_put(image + 20, (uint32_t)(gpa + 32 + len));
    le32_put(image + 24, gpa + 0x1000);
    le32_put(image + 28, gpa + 32);
    memcpy(image + 32, code, len);
    write_file(kernel, image, 32 + len);
}

static struct machine_config config(void)
{
    return (struct machine_config){.name = "test",
                                   .engine = "soft",
                                   .cpus = 2,
                                   .memory_bytes = MIB(16),
                                   .firmware = "bios",
                                   .kernel = kernel,
                                   .debug_exit = true,
                                   .stop_on_triple_fault = true};
}

static struct machine *start(const struct machine_config *c)
{
    struct machine *m = NULL;
    int r = machine_new(c, &m, &err);

    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    assert_int_equal(machine_start(m, &err), 0);
    return m;
}

static bool works(const struct machine *m)
{
    uint64_t done, total;

    return machine_working(m, &done, &total) != MACHINE_IDLE;
}

/* The monitor's loop, until the machine ends, or the time is over (with until_idle: the work is). */
static enum machine_end serve(struct machine *m, int ms, bool until_idle)
{
    while (machine_end(m) == MACHINE_RUNS && ms > 0 && !(until_idle && !works(m))) {
        struct pollfd fds[2] = {{machine_event_fd(m), POLLIN, 0}, {machine_timer_fd(m), POLLIN, 0}};

        poll(fds, 2, 5);
        ms -= 5;
        machine_poll(m);
    }
    return machine_end(m);
}

static uint32_t counted(struct machine *m)
{
    return le32_get(m->ram->host + COUNT_AT);
}

static void save_to_the_end(struct machine *m)
{
    assert_int_equal(machine_save(m, saved, false, &err), 0);
    assert_int_equal(serve(m, WAIT_MS, false), MACHINE_SAVED);
    machine_free(m);
}

static struct machine *restore(struct machine_config c)
{
    struct machine *m;

    c.restore = saved;
    m = start(&c);
    serve(m, WAIT_MS, true);
    if (machine_end(m) != MACHINE_RUNS)
        print_error("%s\n", machine_report(m));
    assert_int_equal(machine_end(m), MACHINE_RUNS);
    return m;
}

/* Through many machines, each on another tier of the engine. */
static void test_goes_on(void **state)
{
    static const char *const engines[] = {"soft", "soft,t0", "soft,runs=0"};
    struct machine_config c = config();
    struct machine *m;
    uint32_t before = 0;

    (void)state;
    kernel_write(counting, sizeof(counting));
    m = start(&c);
    for (unsigned i = 0; i < 9; i++) {
        while (counted(m) <= before + 1000)
            assert_int_equal(serve(m, 10, false), MACHINE_RUNS);
        before = counted(m);
        save_to_the_end(m);
        c.engine = engines[i % 3];
        m = restore(c);
        assert_true(counted(m) >= before);
    }
    m->ram->host[STOP_AT] = 1;
    assert_int_equal(serve(m, WAIT_MS, false), MACHINE_DEBUG_EXITED);
    assert_int_equal(machine_exit_status(m), WELL_DONE);
    machine_free(m);
}

static struct state *snapshot(struct machine *m, const void **ret_data, size_t *ret_len)
{
    const char *where = "";
    struct state *s;

    assert_int_equal(state_new_save(&s), 0);
    assert_int_equal(cpus_state(m, s, &err), 0);
    assert_int_equal(pc_state(m, s, &where), 0);
    *ret_data = state_data(s, ret_len);
    return s;
}

/*
 * A machine that stands still is saved, goes on as it was (not at all), and a new one that is held
 * before its first step has the same state to the last byte, memory included.
 */
static void test_same_bytes(void **state)
{
    struct machine_config c = config();
    struct machine *one, *two;
    struct state *a, *b;
    const void *a_data, *b_data;
    size_t a_len, b_len;
    uint64_t time_ns;

    (void)state;
    kernel_write(counting, sizeof(counting));
    one = start(&c);
    serve(one, 50, false);
    machine_pause(one);
    assert_int_equal(machine_save(one, saved, true, &err), 0);
    serve(one, WAIT_MS, true);
    assert_true(machine_is_paused(one));
    time_ns = machine_time_ns(one);

    c.restore = saved;
    two = start(&c);
    machine_ask(two, REQUEST_DISK_FULL); /* paused as soon as it could run */
    serve(two, WAIT_MS, true);
    assert_true(machine_is_paused(two) && machine_end(two) == MACHINE_RUNS);
    clock_set_ns(two->clock, time_ns);
    a = snapshot(one, &a_data, &a_len);
    b = snapshot(two, &b_data, &b_len);
    assert_int_equal(a_len, b_len);
    assert_int_equal(one->ram->used_bytes, two->ram->used_bytes);
    assert_memory_equal(one->ram->host, two->ram->host, one->ram->used_bytes);
    /* All but the TSC, which went on for a moment, and the wall's clock. */
    for (size_t at = 0, differ = 0; at < a_len; at++) {
        differ += ((const uint8_t *)a_data)[at] != ((const uint8_t *)b_data)[at];
        assert_true(differ <= 2 * 8 + 40);
    }
    state_free(a);
    state_free(b);
    machine_free(one);
    machine_free(two);
}

/* The guest's clocks: its own time stands still, the battery-backed one went on. */
static void test_time(void **state)
{
    struct machine_config c = config();
    uint64_t before_ns, tsc;
    struct x86_state cpu;
    struct machine *m;

    (void)state;
    kernel_write(counting, sizeof(counting));
    m = start(&c);
    serve(m, 30, false);
    machine_pause(m);
    before_ns = machine_time_ns(m);
    assert_int_equal(m->engine->ops->vcpu_get_state(m->cpus[0].vcpu, &cpu), 0);
    tsc = cpu.tsc;
    save_to_the_end(m);
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    m = restore(c);
    machine_pause(m);
    assert_true(machine_time_ns(m) >= before_ns);
    assert_true(machine_time_ns(m) < before_ns + 1900000000);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(m->engine->ops->vcpu_get_state(m->cpus[i].vcpu, &cpu), 0);
        assert_true(cpu.tsc >= tsc && cpu.tsc < tsc + 19 * (m->engine->config.tsc_hz / 10));
        tsc = cpu.tsc; /* of both the same, for no time passes */
    }
    /* RTC: the second of now, as the host has it (registers 0 to 9 are UTC in BCD). */
    struct tm now;
    time_t host = time(NULL);
    bus_write(m->pio, 0x70, 1, 4);
    uint8_t hour = (uint8_t)bus_read(m->pio, 0x71, 1);
    bus_write(m->pio, 0x70, 1, 2);
    uint8_t minute = (uint8_t)bus_read(m->pio, 0x71, 1);
    bus_write(m->pio, 0x70, 1, 0);
    uint8_t second = (uint8_t)bus_read(m->pio, 0x71, 1);
    gmtime_r(&host, &now);
    int rtc = (hour >> 4) * 36000 + (hour & 15) * 3600 + (minute >> 4) * 600 + (minute & 15) * 60 +
              (second >> 4) * 10 + (second & 15);
    int apart = (now.tm_hour * 3600 + now.tm_min * 60 + now.tm_sec - rtc + 86400) % 86400;
    assert_true(apart <= 1 || apart == 86399);
    machine_free(m);
}

static void refused(const struct machine_config *c, const char *why)
{
    struct machine *m = NULL;

    assert_true(machine_new(c, &m, &err) < 0);
    if (!strstr(err.text, "--restore") || !strstr(err.text, why))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, "--restore"));
    assert_non_null(strstr(err.text, why));
}

static void test_refusals(void **state)
{
    static const uint8_t zeroes[65536];
    struct machine_config c = config(), other;

    (void)state;
    kernel_write(counting, sizeof(counting));
    write_file(disk, zeroes, sizeof(zeroes));
    c.disks[0].path = disk;
    c.disks[0].bus = MACHINE_BUS_VIRTIO;
    c.disk_count = 1;
    struct machine *m = start(&c);
    serve(m, 20, false);
    save_to_the_end(m);

    c.restore = saved;
    other = c;
    other.cpus = 3;
    refused(&other, "give --cpus 2");
    other = c;
    other.memory_bytes = MIB(24);
    refused(&other, "give --memory 16384K");
    other = c;
    other.kernel = NULL;
    refused(&other, "with --kernel");
    other = c;
    other.disk_count = 0;
    refused(&other, "has a device virtio-blk.0");
    other = c;
    other.disks[0].bus = MACHINE_BUS_IDE;
    refused(&other, "has a device virtio-blk.0");
    other = c;
    other.disks[0].readonly = true;
    refused(&other, "mind bus= and readonly");
    other = c;
    other.debug_exit = false;
    refused(&other, "has a device debug-exit");
    other = c;
    other.cdrom = kernel;
    refused(&other, "had nothing there");
    other = c;
    other.restore = kernel;
    refused(&other, "is not a saved machine");

    /* The disk as it was: fine. With one byte written to it: not. */
    machine_free(restore(c));
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    int fd = open(disk, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 40000), 1);
    close(fd);
    refused(&c, "has changed since the machine was saved");
    write_file(disk, zeroes, 32768);
    refused(&c, "has changed since the machine was saved");
    unlink(disk);
}

/* What is cancelled, or has nowhere to go, leaves no file, and the machine runs on. */
static void test_no_harm(void **state)
{
    struct machine_config c = config();
    struct machine *m;
    uint32_t before;

    (void)state;
    unlink(saved);
    kernel_write(counting, sizeof(counting));
    m = start(&c);
    serve(m, 20, false);
    assert_int_equal(machine_save(m, "/nowhere/at/all", false, &err), -ENOENT);
    assert_int_equal(machine_save(m, NULL, false, &err), -EINVAL);
    assert_int_equal(machine_save(m, saved, false, &err), 0);
    assert_int_equal(machine_save(m, saved, false, &err), -EAGAIN);
    assert_true(machine_insert(m, "cdrom", kernel, &err) == -EAGAIN);
    machine_resume(m); /* not while it is written */
    machine_reset(m);
    assert_true(machine_is_paused(m));
    machine_cancel(m);
    serve(m, WAIT_MS, true);
    if (machine_end(m) == MACHINE_RUNS) { /* else it was done before it could be cancelled */
        assert_int_equal(access(saved, F_OK), -1);
        assert_false(machine_is_paused(m));
        before = counted(m);
        while (counted(m) == before)
            assert_int_equal(serve(m, 10, false), MACHINE_RUNS);
    }
    machine_free(m);
}

/* Room that was reserved is used, and given back when it was not needed. */
static void test_reserved(void **state)
{
    char part[sizeof(saved) + 8];
    struct machine_config c = config();
    struct machine *m;
    struct stat st;

    (void)state;
    snprintf(part, sizeof(part), "%s.part", saved);
    unlink(saved);
    kernel_write(counting, sizeof(counting));
    m = start(&c);
    assert_int_equal(machine_reserve(m, saved, &err), 0);
    assert_int_equal(stat(part, &st), 0);
    assert_true(st.st_blocks * 512 >= (off_t)MIB(16));
    machine_free(m);
    assert_int_equal(access(part, F_OK), -1);

    m = start(&c);
    assert_int_equal(machine_reserve(m, saved, &err), 0);
    assert_int_equal(machine_save(m, NULL, false, &err), 0);
    assert_int_equal(serve(m, WAIT_MS, false), MACHINE_SAVED);
    machine_free(m);
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(stat(saved, &st), 0);
    assert_true(st.st_size < (off_t)MIB(8));
    machine_free(restore(c));
}

/* Damage that only shows on the way ends the machine with a line that says so. */
static void test_late_damage(void **state)
{
    struct machine_config c = config();
    struct machine *m;
    struct stat st;

    (void)state;
    kernel_write(counting, sizeof(counting));
    m = start(&c);
    save_to_the_end(m);
    assert_int_equal(stat(saved, &st), 0);
    assert_int_equal(truncate(saved, st.st_size - 100), 0);
    c.restore = saved;
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS, false), MACHINE_BROKEN);
    assert_non_null(strstr(machine_report(m), "damaged or cut off"));
    machine_free(m);
}

static int group_setup(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(kernel, sizeof(kernel), "%s/kernel", folder);
    snprintf(saved, sizeof(saved), "%s/saved", folder);
    snprintf(disk, sizeof(disk), "%s/disk", folder);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    unlink(kernel);
    unlink(saved);
    unlink(disk);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goes_on),     cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_time),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_no_harm),     cmocka_unit_test(test_reserved),
        cmocka_unit_test(test_late_damage),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
