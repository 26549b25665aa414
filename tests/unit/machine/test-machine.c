/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whole machines on the soft engine: tiny kernels are started, paused, reset and ended; damaged
 * kernels and firmware are refused with a line that names them; the devices save and load.
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
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "block/vhd.h"
#include "machine/machine_internal.h"
#include "machine/pc.h"

#define WAIT_MS 30000

static char folder[] = "/tmp/yado-test-machine-XXXXXX";
static char path[sizeof(folder) + 16];

static void write_file(const char *name, const void *data, size_t len)
{
    int fd;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), len);
    close(fd);
}

static struct machine_config config(void)
{
    return (struct machine_config){.name = "test",
                                   .engine = "soft",
                                   .cpus = 1,
                                   .memory_bytes = MIB(16),
                                   .firmware = "bios",
                                   .kernel = path,
                                   .debug_exit = true,
                                   .stop_on_triple_fault = true};
}

/* A multiboot kernel that says itself where it goes: its header, and code behind it. */
static size_t kernel_image_at(uint8_t *image, uint32_t gpa, const void *code, size_t len)
{
    le32_put(image, 0x1badb002);
    le32_put(image + 4, 0x10000);
    le32_put(image + 8, -(0x1badb002u + 0x10000u));
    le32_put(image + 12, gpa);
    le32_put(image + 16, gpa);
    le32_put(image + 20, (uint32_t)(gpa + 32 + len));
    le32_put(image + 24, gpa + 0x1000);
    le32_put(image + 28, gpa + 32);
    memcpy(image + 32, code, len);
    return 32 + len;
}

static size_t kernel_image(uint8_t *image, const void *code, size_t len)
{
    return kernel_image_at(image, MIB(1), code, len);
}

static void kernel_write(const void *code, size_t len)
{
    uint8_t image[256];

    write_file("kernel", image, kernel_image(image, code, len));
}

static struct machine *start(const struct machine_config *c)
{
    struct machine *m = NULL;
    struct error err = {""};
    int r = machine_new(c, &m, &err);

    if (r < 0)
        print_error("%s\n", err.text);
    assert_int_equal(r, 0);
    assert_int_equal(machine_start(m, &err), 0);
    return m;
}

/* The monitor's loop, until the machine ends or the time is over. */
static enum machine_end serve(struct machine *m, int ms)
{
    while (machine_end(m) == MACHINE_RUNS && ms > 0) {
        struct pollfd fds[2] = {{machine_event_fd(m), POLLIN, 0}, {machine_timer_fd(m), POLLIN, 0}};

        poll(fds, 2, 10);
        ms -= 10;
        machine_poll(m);
    }
    return machine_end(m);
}

static void test_exit_port(void **state)
{
    static const uint8_t code[] = {0xb0, 0x2a, 0xe6, 0xf4, 0xeb, 0xfe}; /* out 0xf4, 42; jmp . */
    struct machine_config c = config();
    struct machine *m;

    (void)state;
    kernel_write(code, sizeof(code));
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_DEBUG_EXITED);
    assert_int_equal(machine_exit_status(m), 0x55);
    machine_free(m);
}

struct watched {
    struct machine *m;
    int fd;
    atomic_uint calls;
    bool by_vcpu;
};

/* What a cable does: take what has come, and interrupt. */
static void on_watched(void *ctx)
{
    struct watched *w = ctx;
    uint64_t count;

    assert_int_equal(read(w->fd, &count, sizeof(count)), sizeof(count));
    w->by_vcpu = pthread_equal(pthread_self(), w->m->cpus[0].thread);
    atomic_fetch_add(&w->calls, 1);
    cpu_nmi(w->m, 0);
}

static void tell(int fd)
{
    assert_int_equal(write(fd, &(uint64_t){1}, sizeof(uint64_t)), sizeof(uint64_t));
}

/* hlt: the vCPU that sleeps looks after a descriptor itself, and is woken by what comes of it. */
static void test_watch(void **state)
{
    static const uint8_t code[] = {0xf4, 0xeb, 0xfd};
    struct machine_config c = config();
    struct watched w = {.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    kernel_write(code, sizeof(code));
    w.m = start(&c);
    for (int ms = 0; !atomic_load(&w.m->cpus[0].sleeping) && ms < WAIT_MS; ms += 10)
        assert_int_equal(serve(w.m, 10), MACHINE_RUNS);
    machine_lock(w.m);
    assert_true(machine_watch(w.m, other, on_watched, &w));
    assert_true(machine_watch(w.m, w.fd, on_watched, &w));
    assert_false(machine_watch(w.m, -1, on_watched, &w));
    machine_unwatch(w.m, other);
    machine_unwatch(w.m, other);
    machine_unlock(w.m);
    tell(other);
    assert_int_equal(serve(w.m, 50), MACHINE_RUNS);
    assert_int_equal(atomic_load(&w.calls), 0);
    /* Without a table of interrupts the NMI is the guest's end. */
    tell(w.fd);
    assert_int_equal(serve(w.m, WAIT_MS), MACHINE_TRIPLE_FAULT);
    assert_int_equal(atomic_load(&w.calls), 1);
    assert_true(w.by_vcpu);
    machine_free(w.m);
    close(w.fd);
    close(other);
}

static void test_power_off(void **state)
{
    static const uint8_t code[] = {0x66, 0xba, 0x04, 0x06, 0x66, 0xb8,
                                   0x00, 0x20, 0x66, 0xef, 0xeb, 0xfe}; /* out 0x604, 0x2000 */
    struct machine_config c = config();
    struct machine *m;

    (void)state;
    kernel_write(code, sizeof(code));
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_POWERED_OFF);
    machine_free(m);
}

/* lidt [limit 0]; int3: the definition decides between the report and a reset. */
static void test_triple_fault(void **state)
{
    static const uint8_t code[] = {
        0xb0, 0x20, 0xe6, 0x70,                   /* CMOS byte 0x20 counts the starts */
        0xe4, 0x71, 0x3c, 0x01,                   /* in al, 71; cmp al, 1 */
        0x74, 0x11,                               /* je second */
        0xb0, 0x01, 0xe6, 0x71,                   /* out 71, 1 */
        0x0f, 0x01, 0x1d, 0x31, 0x00, 0x10, 0x00, /* lidt [0x100031] */
        0xcc, 0xeb, 0xfe, 0x00, 0x00, 0x00, 0xb0,
        0x05, 0xe6, 0xf4, 0xeb, 0xfe, /* second: out f4, 5 */
    };
    struct machine_config c = config();
    struct machine *m;

    (void)state;
    kernel_write(code, sizeof(code));
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_TRIPLE_FAULT);
    assert_string_not_equal(machine_report(m), "");
    machine_free(m);
    c.stop_on_triple_fault = false;
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_DEBUG_EXITED);
    assert_int_equal(machine_exit_status(m), 11);
    machine_free(m);
}

/* A kernel that goes back to real mode and waits there is woken by the clock. */
static void test_real_mode_clock(void **state)
{
    static const uint8_t code[] = {
        0x0f, 0x01, 0x15, 0x52, 0x80, 0x00, 0x00,       /* lgdt [gdtr] */
        0x0f, 0x01, 0x1d, 0x58, 0x80, 0x00, 0x00,       /* lidt [idtr] */
        0xea, 0x35, 0x80, 0x00, 0x00, 0x08, 0x00,       /* jmp 8:0x8035, 16 bits */
        0x66, 0xb8, 0x10, 0x00, 0x00, 0x00,             /* mov eax, 0x10 */
        0x0f, 0x22, 0xc0,                               /* mov cr0, eax */
        0xea, 0x43, 0x80, 0x00, 0x00,                   /* jmp 0:0x8043 */
        0x31, 0xc0, 0x8e, 0xd0,                         /* xor ax, ax; mov ss, ax */
        0xbc, 0x00, 0x70, 0xfb, 0xf4,                   /* mov sp, 0x7000; sti; hlt */
        0xb0, 0x05, 0xe6, 0xf4, 0xeb, 0xfe,             /* out 0xf4, 5; jmp . */
        0x0f, 0x00, 0x5e, 0x80, 0x00, 0x00,             /* gdtr */
        0xff, 0x03, 0x00, 0x00, 0x00, 0x00,             /* idtr */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* null */
        0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0x00, 0x00, /* 16-bit code */
    };
    struct machine_config c = config();
    uint8_t image[256];
    struct machine *m;

    (void)state;
    write_file("kernel", image, kernel_image_at(image, 0x8000, code, sizeof(code)));
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_DEBUG_EXITED);
    assert_int_equal(machine_exit_status(m), 11);
    machine_free(m);
}

/* jmp .: the machine is ours to stop, at any time. */
static void test_pause(void **state)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    struct machine_config c = config();
    struct machine *m;
    uint64_t then;

    (void)state;
    kernel_write(code, sizeof(code));
    m = start(&c);
    serve(m, 50);
    machine_pause(m);
    assert_true(machine_is_paused(m));
    then = machine_time_ns(m);
    serve(m, 50);
    assert_int_equal(machine_time_ns(m), then);
    machine_resume(m);
    serve(m, 50);
    assert_true(machine_time_ns(m) > then);
    machine_reset(m);
    machine_pause(m);
    machine_reset(m);
    machine_resume(m);
    serve(m, 50);
    assert_int_equal(machine_end(m), MACHINE_RUNS);
    machine_free(m);
}

/* Every file that is wrong is named; nothing is left running or open. */
static void test_refused(void **state)
{
    struct machine_config c = config();
    struct error err = {""};
    struct machine *m = NULL;
    uint8_t junk[8192] = {0};

    (void)state;
    snprintf(path, sizeof(path), "%s/absent", folder);
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_non_null(strstr(err.text, path));
    write_file("junk", junk, sizeof(junk));
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_non_null(strstr(err.text, path));
    c.kernel = NULL;
    c.firmware = path;
    write_file("rom", junk, 1000);
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_non_null(strstr(err.text, path));
    c.firmware = "bios";
    c.append = "quiet";
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_non_null(strstr(err.text, "--kernel"));
    c.append = NULL;
    c.cdrom = "/nonexistent.iso";
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_non_null(strstr(err.text, "/nonexistent.iso"));
    c.cdrom = NULL;
    c.engine = "hard";
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_null(m);
}

static uint32_t random_next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

/* Kernels with damaged headers of each format: refused or loaded, never a crash. */
static void test_damaged_kernels(void **state)
{
    static const uint8_t elf[] = {0x7f, 'E', 'L', 'F', 1, 1, 1};
    uint8_t image[4096];
    uint32_t seed = 1;

    (void)state;
    for (unsigned turn = 0; turn < 300; turn++) {
        struct machine_config c = config();
        struct error err = {""};
        struct machine *m = NULL;

        memset(image, 0, sizeof(image));
        switch (turn % 4) {
        case 0:
            kernel_image(image, "\xeb\xfe", 2);
            le32_put(image + 12 + 4 * (random_next(&seed) % 5), random_next(&seed) << 8);
            break;
        case 1:
        case 2:
            memcpy(image, elf, sizeof(elf));
            image[4] = turn % 4 == 1 ? 1 : 2;
            le32_put(image + 0x1c, 0x34);
            le64_put(image + 0x20, turn % 4 == 1 ? 0x00200034u : 0x40u);
            le16_put(image + 0x2a, 0x20);
            le16_put(image + 0x2c, 2);
            le16_put(image + 0x36, 0x38);
            le16_put(image + 0x38, 2);
            le32_put(image + 0x100, 0x1badb002);
            le32_put(image + 0x108, -0x1badb002u);
            for (unsigned at = 0x34; at < 0xb0; at += 4)
                if (random_next(&seed) % 2)
                    le32_put(image + at, random_next(&seed) % 3 ? random_next(&seed) % 8
                                                                : random_next(&seed) << 8);
            le16_put(image + 0x38, 2);
            break;
        default:
            memcpy(image + 0x202, "HdrS", 4);
            le16_put(image + 0x1fe, 0xaa55);
            for (unsigned at = 0x1f1; at < 0x240; at++)
                if (at != 0x1fe && at != 0x1ff && (at < 0x202 || at > 0x205))
                    image[at] = (uint8_t)random_next(&seed);
            image[0x1f1] = random_next(&seed) % 12;
        }
        write_file("damaged", image, sizeof(image));
        if (machine_new(&c, &m, &err) < 0)
            assert_non_null(strstr(err.text, "--"));
        machine_free(m);
    }
}

/* Saved, loaded into another machine of the same kind, saved again: the same bytes. */
static void test_state(void **state)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    struct machine_config c = config();
    struct machine *one, *two;
    struct state *first, *load, *second;
    const char *where = "";
    const void *a, *b;
    size_t a_len, b_len;

    (void)state;
    kernel_write(code, sizeof(code));
    one = start(&c);
    serve(one, 50);
    machine_pause(one);
    two = start(&c);
    machine_pause(two);
    assert_int_equal(state_new_save(&first), 0);
    assert_int_equal(pc_state(one, first, &where), 0);
    a = state_data(first, &a_len);
    assert_int_equal(state_new_load(a, a_len, &load), 0);
    assert_int_equal(pc_state(two, load, &where), 0);
    assert_int_equal(state_new_save(&second), 0);
    assert_int_equal(pc_state(two, second, &where), 0);
    b = state_data(second, &b_len);
    assert_int_equal(a_len, b_len);
    assert_memory_equal(a, b, a_len);
    state_free(first);
    state_free(load);
    state_free(second);
    machine_free(one);
    machine_free(two);
}

/* Everything that a machine can have has room in one. */
static void test_everything(void **state)
{
    static const uint8_t code[] = {0xeb, 0xfe};
    struct machine_config c = config();
    struct error err = {""};
    struct machine *m = NULL;

    (void)state;
    kernel_write(code, sizeof(code));
    c.sata = c.scsi = c.edu = true;
    c.iommu = MACHINE_IOMMU_INTEL;
    c.net_count = MACHINE_NETS_MAX;
    for (unsigned n = 0; n < c.net_count; n++)
        c.nets[n] = (struct machine_net){.nic = n % 4, .mac = {0x52, 0x54, 0, 0, 0, (uint8_t)n}};
    if (machine_new(&c, &m, &err) < 0)
        fail_msg("%s", err.text);
    machine_free(m);
}

/* Two processors: the second sleeps until it is called, and stops as the first does. */
static void test_processors(void **state)
{
    static const uint8_t code[] = {
        0xa1, 0x20, 0x00, 0xe0, 0xfe,                               /* mov eax, [apic id] */
        0xc7, 0x05, 0x10, 0x03, 0xe0, 0xfe, 0x00, 0x00, 0x00, 0x01, /* ICR high: 1 */
        0xb9, 0xe9, 0x90, 0x90, 0x90,                               /* mov ecx, … */
        0xc7, 0x05, 0x00, 0x80, 0x00, 0x00, 0xb0, 0x07, 0xe6, 0xf4, /* [8000]: mov al, 7; out */
        0xc7, 0x05, 0xf0, 0x00, 0xe0, 0xfe, 0xff, 0x01, 0x00, 0x00, /* SVR */
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x00, 0x45, 0x00, 0x00, /* INIT */
        0xc7, 0x05, 0x00, 0x03, 0xe0, 0xfe, 0x08, 0x46, 0x00, 0x00, /* SIPI, page 8 */
        0xf4, 0xeb, 0xfd,                                           /* hlt; jmp . */
    };
    struct machine_config c = config();
    struct machine *m;

    (void)state;
    c.cpus = 2;
    kernel_write(code, sizeof(code));
    m = start(&c);
    assert_int_equal(serve(m, WAIT_MS), MACHINE_DEBUG_EXITED);
    assert_int_equal(machine_exit_status(m), 15);
    machine_free(m);
}

static int group_setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int group_teardown(void **state)
{
    static const char *const names[] = {"kernel", "junk", "rom", "damaged"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static struct blk *open_vhd(const char *name)
{
    struct blk *blk = NULL;
    struct error err;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    assert_int_equal(blk_open(path, true, &blk, &err), 0);
    return blk;
}

/* What becomes of what a guest wrote: the disk has it, or not, or it waits beside the disk. */
static void test_undo(void **state)
{
    static const uint8_t code[] = {0xb0, 0x2a, 0xe6, 0xf4, 0xeb, 0xfe};
    static const enum undo rounds[] = {UNDO_DISCARD, UNDO_KEEP, UNDO_OFF, UNDO_COMMIT, UNDO_OFF};
    struct machine_config c = config();
    struct vhd_new what = {.kind = VHD_DYNAMIC, .size_bytes = 8 << 20};
    char disk[sizeof(path)], undo[sizeof(path) + 8];
    struct error err = {""};
    struct machine *m;

    (void)state;
    snprintf(disk, sizeof(disk), "%s/d.vhd", folder);
    snprintf(undo, sizeof(undo), "%s.vud", disk);
    assert_int_equal(vhd_create(disk, &what, &err), 0);
    for (unsigned i = 0; i < ARRAY_LEN(rounds); i++) {
        uint8_t byte = 0xff;
        struct blk *blk;

        kernel_write(code, sizeof(code));
        c.disks[0].path = disk;
        c.disk_count = 1;
        c.undo = rounds[i];
        if (i == 2) { /* changes are kept: not without them */
            assert_int_equal(machine_new(&c, &m, &err), -EEXIST);
            assert_non_null(strstr(err.text, "--undo"));
            continue;
        }
        m = start(&c);
        assert_int_equal(access(undo, F_OK), c.undo == UNDO_OFF ? -1 : 0);
        byte = (uint8_t)(i + 1);
        if (i != 3)
            assert_int_equal(blk_pwrite(m->pc->disks[0].blk, &byte, 1, 5000 + i), 0);
        assert_int_equal(serve(m, WAIT_MS), MACHINE_DEBUG_EXITED);
        assert_int_equal(machine_set_undo(m, c.undo, &err), c.undo == UNDO_OFF ? -EINVAL : 0);
        machine_free(m);
        assert_int_equal(access(undo, F_OK), c.undo == UNDO_KEEP ? 0 : -1);
        blk = open_vhd("d.vhd");
        assert_int_equal(blk_pread(blk, &byte, 1, 5000), 0); /* discarded */
        assert_int_equal(byte, 0);
        assert_int_equal(blk_pread(blk, &byte, 1, 5001), 0); /* kept, then committed */
        assert_int_equal(byte, i >= 3 ? 2 : 0);
        blk_close(blk);
    }
    /* A machine that never ran leaves nothing. */
    c.undo = UNDO_COMMIT;
    c.cdrom = "/nowhere";
    assert_true(machine_new(&c, &m, &err) < 0);
    assert_int_equal(access(undo, F_OK), -1);
    unlink(disk);
}

/* The host's disk is full: the machine stands still, says so, and goes on when it is told to. */
static void test_disk_full(void **state)
{
    static const uint8_t code[] = {0xeb, 0xfe}; /* jmp . */
    struct machine_config c = config();
    struct vhd_new what = {.kind = VHD_DYNAMIC, .size_bytes = 8 << 20};
    char disk[sizeof(path)];
    struct error err = {""};
    struct machine *m;
    struct blk *blk;

    (void)state;
    snprintf(disk, sizeof(disk), "%s/full.vhd", folder);
    assert_int_equal(vhd_create(disk, &what, &err), 0);
    kernel_write(code, sizeof(code));
    c.disks[0].path = disk;
    c.disk_count = 1;
    m = start(&c);
    blk = m->pc->disks[0].blk;
    for (unsigned round = 0; round < 2; round++) {
        assert_false(machine_disk_is_full(m));
        blk->full(blk->full_ctx);
        serve(m, 20);
        for (unsigned wait = 0; !machine_is_paused(m) && wait < 1000; wait++)
            serve(m, 10);
        assert_true(machine_is_paused(m));
        assert_true(machine_disk_is_full(m));
        machine_resume(m);
        assert_false(machine_is_paused(m));
        assert_int_equal(serve(m, 20), MACHINE_RUNS);
    }
    machine_free(m);
    unlink(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_undo),
        cmocka_unit_test(test_disk_full),
        cmocka_unit_test(test_exit_port),
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_power_off),
        cmocka_unit_test(test_triple_fault),
        cmocka_unit_test(test_real_mode_clock),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_damaged_kernels),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_processors),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
