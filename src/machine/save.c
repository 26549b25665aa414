/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving a machine and going on from what was saved (docs/saved-state.md).
 *
 * The loop's thread brings the machine to a stand and walks its devices into memory; a thread of
 * its own then writes the file, or reads the memory back, while the loop goes on serving. Nothing
 * changes guest memory meanwhile: vCPUs are parked, time stands still, no request is in flight.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "machine/manifest.h"
#include "machine/pc.h"
#include "saved/saved.h"

struct saving {
    struct machine *m;
    machine_work_done *done;
    void *ctx;

    /* Restoring: the file, until it was taken over. */
    struct saved_in *in;
    struct manifest *manifest;

    struct saved_out *reserved; /* for a later save */

    /* What is under way. */
    enum machine_work work;
    pthread_t thread;
    struct saved_progress progress;
    atomic_bool finished;
    int result;
    struct error err;
    struct saved_out *out;
    struct state *head, *devices;
    bool go_on, was_paused, was_reserved;
};

static int manifest_read(struct saving *sv, struct error *err)
{
    struct saved_part part = saved_manifest(sv->in);
    struct state *s = NULL;
    int r = state_new_load(part.data, part.len_bytes, &s);

    sv->manifest = calloc(1, sizeof(*sv->manifest));
    if (r == 0)
        r = sv->manifest ? manifest_walk(sv->manifest, s) : -ENOMEM;
    state_free(s);
    return r < 0 ? error_set(err, r, "it does not say what machine it is of: %s", strerror(-r)) : 0;
}

int saving_new(struct machine *m, const struct machine_config *config, struct error *err)
{
    struct saving *sv = calloc(1, sizeof(*sv));
    int r = 0;

    if (!sv)
        return error_set(err, -ENOMEM, "out of memory");
    sv->m = m;
    m->saving = sv;
    if (!config->restore)
        return 0;
    r = saved_open(config->restore, &sv->in, err);
    if (r < 0)
        return error_prefix(err, r, "--restore");
    r = manifest_read(sv, err);
    if (r == 0)
        r = manifest_check_config(sv->manifest, config, err);
    return r < 0 ? error_prefix(err, r, "--restore: %s", config->restore) : 0;
}

const struct x86_features *saving_features(const struct machine *m)
{
    return m->saving->manifest ? &m->saving->manifest->features : NULL;
}

const char *saving_vendor(const struct machine *m)
{
    return m->saving->manifest ? m->saving->manifest->vendor : NULL;
}

uint64_t saving_tsc_hz(const struct machine *m)
{
    return m->saving->manifest ? m->saving->manifest->tsc_hz : 0;
}

int saving_check(struct machine *m, struct error *err)
{
    int r = m->saving->in ? manifest_check(m->saving->manifest, m, err) : 0;

    return r < 0 ? error_prefix(err, r, "--restore") : 0;
}

/* The work's thread, and the end of the work, back on the loop's. */

static void work_finish(struct saving *sv, int result)
{
    sv->result = result;
    atomic_store(&sv->finished, true);
    machine_wake(sv->m);
}

static int work_begin(struct saving *sv, enum machine_work work, void *(*main)(void *),
                      struct error *err)
{
    int r;

    atomic_store(&sv->progress.done_bytes, 0);
    atomic_store(&sv->progress.cancel, false);
    atomic_store(&sv->finished, false);
    sv->err.text[0] = '\0';
    r = pthread_create(&sv->thread, NULL, main, sv);
    if (r)
        return error_set(err, -r, "starting a thread: %s", strerror(r));
    sv->work = work;
    return 0;
}

void machine_set_work_done(struct machine *m, machine_work_done *done, void *ctx)
{
    m->saving->done = done;
    m->saving->ctx = ctx;
}

enum machine_work machine_working(const struct machine *m, uint64_t *ret_done_bytes,
                                  uint64_t *ret_total_bytes)
{
    if (m->saving->work) {
        *ret_done_bytes = atomic_load(&m->saving->progress.done_bytes);
        *ret_total_bytes = m->ram->used_bytes;
    }
    return m->saving->work;
}

void machine_cancel(struct machine *m)
{
    atomic_store(&m->saving->progress.cancel, true);
}

/* Saving. */

int machine_reserve(struct machine *m, const char *path, struct error *err)
{
    struct saving *sv = m->saving;
    struct saved_out *out;
    int r = saved_create(path, &out, err);

    if (r < 0)
        return r;
    r = saved_reserve(out, saved_bytes_max(m->ram->used_bytes), err);
    if (r < 0) {
        saved_out_free(out);
        return r;
    }
    saved_out_free(sv->reserved);
    sv->reserved = out;
    return 0;
}

static int devices_save(struct machine *m, struct state *s, struct error *err)
{
    uint64_t now_ns = clock_now_ns(m->clock);
    uint32_t version = 1;
    const char *where = "";
    int r = state_section(s, "clock", &version);

    if (r == 0)
        state_u64(s, "now_ns", &now_ns);
    if (r == 0)
        r = cpus_state(m, s, err);
    if (r == 0 && (r = pc_state(m, s, &where)) < 0)
        error_set(err, r, "the device %s cannot be saved: %s", where, strerror(-r));
    return r;
}

/* Locked, standing still: what is not memory, into memory. */
static int snapshot(struct saving *sv, struct error *err)
{
    AUTO_FREE struct manifest *manifest = NULL;
    int r = pc_quiesce(sv->m, err);

    if (r < 0 || (r = manifest_of(sv->m, &manifest, err)) < 0)
        return r;
    if (state_new_save(&sv->head) < 0 || state_new_save(&sv->devices) < 0 ||
        manifest_walk(manifest, sv->head) < 0)
        return error_set(err, -ENOMEM, "out of memory");
    return devices_save(sv->m, sv->devices, err);
}

static void snapshot_done(struct saving *sv)
{
    sv->head = state_free(sv->head);
    sv->devices = state_free(sv->devices);
}

static void *save_main(void *arg)
{
    struct saving *sv = arg;
    struct saved_part head = {0}, devices = {0};
    struct saved_part memory = {sv->m->ram->host, sv->m->ram->used_bytes};
    int r;

    head.data = state_data(sv->head, &head.len_bytes);
    devices.data = state_data(sv->devices, &devices.len_bytes);
    r = saved_write(sv->out, &head, &devices, &memory, &sv->progress, &sv->err);
    work_finish(sv, r);
    return NULL;
}

/* Where to: the file that was reserved, or a new one. */
static int save_open(struct saving *sv, const char *path, struct error *err)
{
    if (!path && !sv->reserved)
        return error_set(err, -EINVAL, "path: say where to save to");
    sv->was_reserved = sv->reserved && (!path || !strcmp(path, saved_path(sv->reserved)));
    if (sv->was_reserved) {
        sv->out = TAKE_PTR(sv->reserved);
        return 0;
    }
    return saved_create(path, &sv->out, err);
}

static int save_allowed(struct machine *m, bool go_on, struct error *err)
{
    if (m->end != MACHINE_RUNS || !m->started)
        return error_set(err, -EINVAL, "the machine does not run");
    if (m->saving->work)
        return error_set(err, -EAGAIN, "the machine is being %s",
                         m->saving->work == MACHINE_SAVING ? "saved" : "restored");
    if (m->disk_full)
        return error_set(err, -ENOSPC,
                         "the host has no room for what the guest writes; make room, "
                         "resume the machine, then save it");
    if (go_on && m->config.undo != UNDO_OFF && m->config.undo != UNDO_KEEP)
        return error_set(
            err, -EINVAL,
            "the machine would go on and then %s its undo disks, which the saved state "
            "needs; choose undo \"keep\" first",
            m->config.undo == UNDO_COMMIT ? "commit" : "discard");
    return 0;
}

int machine_save(struct machine *m, const char *path, bool go_on, struct error *err)
{
    struct saving *sv = m->saving;
    int r = save_allowed(m, go_on, err);

    if (r < 0 || (r = save_open(sv, path, err)) < 0)
        return r;
    sv->was_paused = m->paused;
    sv->go_on = go_on;
    machine_pause(m);
    if (m->stuck)
        r = error_set(err, -EIO, "%s", m->report);
    machine_lock(m);
    if (r == 0)
        r = snapshot(sv, err);
    machine_unlock(m);
    if (r == 0)
        r = work_begin(sv, MACHINE_SAVING, save_main, err);
    if (r < 0) {
        snapshot_done(sv);
        if (sv->was_reserved)
            sv->reserved = TAKE_PTR(sv->out);
        sv->out = saved_out_free(sv->out);
        if (!sv->was_paused && !m->stuck)
            machine_resume(m);
    }
    return r;
}

/* The serial line, which was kept waiting, both ways. */
static void serial_again(struct machine *m)
{
    machine_lock(m);
    chardev_rx_ready(&m->config.serial);
    machine_serial_tx_ready(m);
    machine_unlock(m);
}

static void save_end(struct saving *sv)
{
    struct machine *m = sv->m;

    snapshot_done(sv);
    if (sv->result == 0)
        sv->result = saved_commit(sv->out, &sv->err);
    if (sv->result < 0 && sv->was_reserved)
        sv->reserved = TAKE_PTR(sv->out); /* for the next attempt */
    sv->out = saved_out_free(sv->out);
    if (sv->result == 0 && !sv->go_on) {
        m->end = MACHINE_SAVED;
        return;
    }
    if (!sv->was_paused)
        machine_resume(m);
    serial_again(m);
}

/* Restoring. */

static void *restore_main(void *arg)
{
    struct saving *sv = arg;
    struct ram *ram = sv->m->ram;

    work_finish(sv, saved_read_memory(sv->in, ram->host, ram->used_bytes, &sv->progress, &sv->err));
    return NULL;
}

int saving_start(struct machine *m, struct error *err)
{
    return m->saving->in ? work_begin(m->saving, MACHINE_RESTORING, restore_main, err) : 0;
}

static uint64_t elapsed_ns(const struct manifest *manifest)
{
    struct timespec now;
    uint64_t now_ns;

    clock_gettime(CLOCK_REALTIME, &now);
    now_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
    return now_ns > manifest->saved_at_ns ? now_ns - manifest->saved_at_ns : 0;
}

/* A century of guest time: far from any overflow of sums of times. */
#define CLOCK_MAX_NS (100 * 366 * 86400ULL * NS_PER_SEC)

static int devices_load(struct machine *m, struct state *s, struct error *err)
{
    uint64_t now_ns = 0;
    uint32_t version = 1;
    const char *where = "";
    int r = state_section(s, "clock", &version);

    if (r == 0)
        state_u64(s, "now_ns", &now_ns);
    state_check(s, now_ns < CLOCK_MAX_NS);
    if (r < 0 || (r = state_error(s)) < 0)
        return error_set(err, r, "the clock cannot be taken from the file");
    clock_set_ns(m->clock, now_ns);
    r = cpus_state(m, s, err);
    if (r == 0 && (r = pc_state(m, s, &where)) < 0)
        error_set(err, r, "the device %s cannot take its state from the file: %s", where,
                  strerror(-r));
    return r;
}

static int restore_load(struct saving *sv)
{
    struct saved_part part = saved_devices(sv->in);
    struct machine *m = sv->m;
    struct state *s = NULL;
    int r = state_new_load(part.data, part.len_bytes, &s);

    if (r < 0)
        return error_set(&sv->err, r, "the state of the devices is damaged");
    machine_lock(m);
    ram_wrote(m->ram, 0, m->ram->used_bytes);
    r = devices_load(m, s, &sv->err);
    if (r == 0)
        pc_elapse(m, elapsed_ns(sv->manifest));
    machine_unlock(m);
    state_free(s);
    return r;
}

static void restore_end(struct saving *sv)
{
    struct machine *m = sv->m;

    if (sv->result == 0)
        sv->result = restore_load(sv);
    sv->in = saved_in_free(sv->in);
    free(sv->manifest);
    sv->manifest = NULL;
    if (sv->result < 0) {
        m->end = MACHINE_BROKEN;
        snprintf(m->report, sizeof(m->report), "the machine cannot go on from its saved state: %s",
                 sv->err.text);
    } else {
        machine_resume(m);
        serial_again(m);
    }
}

void saving_poll(struct machine *m)
{
    struct saving *sv = m->saving;
    enum machine_work work = sv->work;

    if (!work || !atomic_load(&sv->finished))
        return;
    pthread_join(sv->thread, NULL);
    sv->work = MACHINE_IDLE;
    if (work == MACHINE_SAVING)
        save_end(sv);
    else
        restore_end(sv);
    if (sv->done)
        sv->done(sv->ctx, work, sv->result, sv->err.text);
}

void saving_free(struct machine *m)
{
    struct saving *sv = m->saving;

    if (!sv)
        return;
    if (sv->work) {
        machine_cancel(m);
        pthread_join(sv->thread, NULL);
    }
    snapshot_done(sv);
    saved_out_free(sv->out);
    saved_out_free(sv->reserved);
    saved_in_free(sv->in);
    free(sv->manifest);
    free(sv);
    m->saving = NULL;
}
