/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine goes on from any file. The input's first byte says how the rest becomes one: even, it
 * is the file; odd, it is a list of changes to the state of the devices and processors of a good
 * one (4 bytes where, 1 how many, the bytes), so that the fuzzer need not find out about checksums.
 * What is accepted must run, reset and save.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "fuzz/fuzzinput.h"
#include "machine/machine_internal.h"
#include "saved/saved.h"

#define CHANGES_MAX 64
#define RUN_MS 3

static uint8_t *store; /* the memory of the good one */
static size_t store_bytes;
static char folder[] = "/tmp/yado-fuzz-saved-XXXXXX";
static char good[sizeof(folder) + 16], bad[sizeof(folder) + 16];

static struct machine_config config(void)
{
    return (struct machine_config){
        .name = "fuzz", .engine = "soft", .cpus = 2, .memory_bytes = MIB(2), .firmware = "bios"};
}

static bool works(const struct machine *m)
{
    uint64_t done, total;

    return machine_working(m, &done, &total) != MACHINE_IDLE;
}

/* Until the work is done, or for some time. */
static void serve(struct machine *m, int ms)
{
    while (machine_end(m) == MACHINE_RUNS && (ms > 0 || works(m))) {
        struct pollfd fds[2] = {{machine_event_fd(m), POLLIN, 0}, {machine_timer_fd(m), POLLIN, 0}};

        poll(fds, 2, 1);
        ms--;
        machine_poll(m);
    }
}

static void folder_remove(void)
{
    free(store);
    unlink(good);
    unlink(bad);
    rmdir(folder);
}

/* The firmware is caught in the middle of its start. */
static void good_make(void)
{
    struct machine_config c = config();
    struct machine *m = NULL;
    struct error err = {""};

    fuzz_require(mkdtemp(folder) != NULL);
    snprintf(good, sizeof(good), "%s/good", folder);
    snprintf(bad, sizeof(bad), "%s/bad", folder);
    atexit(folder_remove);
    fuzz_require(machine_new(&c, &m, &err) == 0 && machine_start(m, &err) == 0);
    serve(m, 50);
    fuzz_require(machine_save(m, good, false, &err) == 0);
    serve(m, 0);
    fuzz_require(machine_end(m) == MACHINE_SAVED);
    store_bytes = m->ram->used_bytes;
    store = malloc(store_bytes);
    fuzz_require(store != NULL);
    memcpy(store, m->ram->host, store_bytes);
    machine_free(m);
}

static void bad_write(const void *data, size_t size)
{
    int fd = open(bad, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

/* The good file with other devices. */
static void bad_change(struct input *in)
{
    struct saved_part head, state, memory = {store, store_bytes};
    struct saved_out *out;
    struct saved_in *saved;
    struct error err;
    uint8_t *devices;

    fuzz_require(saved_open(good, &saved, &err) == 0);
    head = saved_manifest(saved);
    state = saved_devices(saved);
    devices = malloc(state.len_bytes);
    fuzz_require(devices != NULL);
    memcpy(devices, state.data, state.len_bytes);
    for (unsigned i = 0; in->left && i < CHANGES_MAX; i++) {
        size_t at = input_get(in, 4) % state.len_bytes;

        for (unsigned n = input_get(in, 1) & 15; n && at < state.len_bytes; n--)
            devices[at++] = (uint8_t)input_get(in, 1);
    }
    state.data = devices;
    fuzz_require(saved_create(bad, &out, &err) == 0);
    fuzz_require(saved_write(out, &head, &state, &memory, NULL, &err) == 0);
    fuzz_require(saved_commit(out, &err) == 0);
    saved_out_free(out);
    saved_in_free(saved);
    free(devices);
}

/* It must be a machine like any other. */
static void go_on(void)
{
    struct machine_config c = config();
    struct machine *m = NULL;
    struct error err = {""};

    c.restore = bad;
    if (machine_new(&c, &m, &err) < 0) {
        fuzz_require(*err.text);
        return;
    }
    fuzz_require(machine_start(m, &err) == 0);
    serve(m, RUN_MS);
    if (machine_end(m) == MACHINE_BROKEN)
        fuzz_require(*machine_report(m));
    if (machine_end(m) == MACHINE_RUNS && machine_save(m, bad, true, &err) == 0)
        serve(m, 0);
    machine_reset(m);
    serve(m, RUN_MS);
    machine_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool is_file = !(input_get(&in, 1) & 1);

    if (!store)
        good_make();
    if (is_file)
        bad_write(in.at, in.left);
    else
        bad_change(&in);
    go_on();
    return 0;
}
