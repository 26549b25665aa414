/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/manifest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cpu/x86/cpuid.h"
#include "hw/core/statename.h"
#include "machine/pc.h"

#define OLD_WORDS 8 /* of struct x86_features, at first */
#define CD_DRIVE MACHINE_DISKS_MAX
#define FLOPPY_DRIVE (MACHINE_DISKS_MAX + 1)

static int drive_of(const struct blk *blk, struct manifest_drive *drive, struct error *err)
{
    drive->present = true;
    drive->readonly = blk->readonly;
    snprintf(drive->path, sizeof(drive->path), "%s", blk->name);
    for (; blk; blk = blk->parent) {
        int r;

        if (drive->files == MANIFEST_CHAIN_MAX)
            return error_set(err, -ELOOP,
                             "%s: more than %u images differ from each other; merge some",
                             drive->path, MANIFEST_CHAIN_MAX);
        r = blk_identify(blk, &drive->file[drive->files++], err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int drives_of(const struct pc *pc, struct manifest *manifest, struct error *err)
{
    int r = 0;

    for (unsigned i = 0; i < pc->disk_count && r == 0; i++) {
        manifest->drive[i].bus = (uint8_t)pc->disks[i].bus;
        r = drive_of(pc->disks[i].blk, &manifest->drive[i], err);
    }
    if (r == 0 && pc->cdrom)
        r = drive_of(pc->cdrom, &manifest->drive[CD_DRIVE], err);
    if (r == 0 && pc->floppy)
        r = drive_of(pc->floppy, &manifest->drive[FLOPPY_DRIVE], err);
    return r;
}

int manifest_of(const struct machine *m, struct manifest **ret_manifest, struct error *err)
{
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    struct timespec now;
    int r;

    if (!manifest)
        return error_set(err, -ENOMEM, "out of memory");
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(manifest->program, sizeof(manifest->program), "%s", YADO_VERSION);
    snprintf(manifest->engine, sizeof(manifest->engine), "%s", m->engine->ops->name);
    manifest->saved_at_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec;
    manifest->cpus = m->cpu_count;
    manifest->memory_bytes = m->low_ram_bytes + m->high_ram_bytes;
    manifest->store_bytes = m->ram->used_bytes;
    manifest->kernel = m->pc->boot.used || m->pc->linux_parts[0].data;
    memcpy(manifest->vendor, m->engine->vendor, sizeof(manifest->vendor));
    manifest->features = m->engine->features;
    manifest->tsc_hz = m->engine->config.tsc_hz;
    pc_rows(m, manifest->rows, sizeof(manifest->rows));
    r = drives_of(m->pc, manifest, err);
    if (r < 0) {
        free(manifest);
        return r;
    }
    *ret_manifest = manifest;
    return 0;
}

static void drive_walk(struct manifest_drive *drive, unsigned n, struct state *s)
{
    state_bool(s, STATE_NAME("drive", n), &drive->present);
    if (!drive->present)
        return;
    state_string(s, STATE_NAME("path", n), drive->path, sizeof(drive->path));
    state_u8(s, STATE_NAME("bus", n), &drive->bus);
    state_bool(s, STATE_NAME("readonly", n), &drive->readonly);
    state_u32(s, STATE_NAME("files", n), &drive->files);
    state_check(s, drive->files >= 1 && drive->files <= MANIFEST_CHAIN_MAX);
    if (state_error(s))
        return;
    for (unsigned i = 0; i < drive->files; i++) {
        char name[40];

        snprintf(name, sizeof(name), "size.%u.%u", n, i);
        state_u64(s, name, &drive->file[i].size_bytes);
        snprintf(name, sizeof(name), "mtime.%u.%u", n, i);
        state_u64(s, name, &drive->file[i].mtime_ns);
        snprintf(name, sizeof(name), "digest.%u.%u", n, i);
        state_u32(s, name, &drive->file[i].digest);
    }
}

int manifest_walk(struct manifest *manifest, struct state *s)
{
    uint32_t version = 1;
    int r = state_section(s, "machine", &version);

    if (r < 0 || (state_loading(s) && version != 1))
        return -EBADMSG;
    state_string(s, "program", manifest->program, sizeof(manifest->program));
    state_string(s, "engine", manifest->engine, sizeof(manifest->engine));
    state_u64(s, "saved-at", &manifest->saved_at_ns);
    state_u32(s, "cpus", &manifest->cpus);
    state_u64(s, "memory", &manifest->memory_bytes);
    state_u64(s, "store", &manifest->store_bytes);
    state_bool(s, "kernel", &manifest->kernel);
    state_string(s, "cpu.vendor", manifest->vendor, sizeof(manifest->vendor));
    state_bytes(s, "cpu.features", manifest->features.words, OLD_WORDS * sizeof(uint32_t));
    /* A file of before 2026-12 says nothing of these, and a guest of it does without. */
    state_bytes(s, "cpu.features.more", manifest->features.words + OLD_WORDS,
                (X86_CPUID_WORDS - OLD_WORDS) * sizeof(uint32_t));
    state_u64(s, "cpu.tsc-hz", &manifest->tsc_hz);
    state_string(s, "rows", manifest->rows, sizeof(manifest->rows));
    for (unsigned i = 0; i < MANIFEST_DRIVES; i++)
        drive_walk(&manifest->drive[i], i, s);
    return state_error(s);
}

int manifest_check_config(const struct manifest *manifest, const struct machine_config *config,
                          struct error *err)
{
    if (manifest->cpus != config->cpus)
        return error_set(err, -EINVAL,
                         "the saved machine has %u processors, this one %u; give "
                         "--cpus %u",
                         manifest->cpus, config->cpus, manifest->cpus);
    if (manifest->memory_bytes != config->memory_bytes)
        return error_set(err, -EINVAL,
                         "the saved machine has %llu KiB of memory, this one %llu; give --memory "
                         "%lluK",
                         (unsigned long long)(manifest->memory_bytes >> 10),
                         (unsigned long long)(config->memory_bytes >> 10),
                         (unsigned long long)(manifest->memory_bytes >> 10));
    if (manifest->kernel != (config->kernel != NULL))
        return error_set(err, -EINVAL, "the saved machine was started %s --kernel, this one %s",
                         manifest->kernel ? "with" : "without",
                         config->kernel ? "with it" : "without it");
    return 0;
}

static bool has_line(const char *lines, const char *line, size_t len)
{
    for (const char *p = lines; *p; p = strchr(p, '\n') + 1) {
        const char *end = strchr(p, '\n');

        if (!end)
            return false;
        if ((size_t)(end - p) == len && !memcmp(p, line, len))
            return true;
    }
    return false;
}

/* A line of `lines` that `others` has not, to ret_line; false: there is none. */
static bool lacking_line(const char *lines, const char *others, char *ret_line, size_t room)
{
    for (const char *p = lines, *end; (end = strchr(p, '\n')); p = end + 1) {
        size_t len = (size_t)(end - p);

        if (has_line(others, p, len))
            continue;
        snprintf(ret_line, room, "%.*s", (int)MIN(len, 60u), p);
        return true;
    }
    return false;
}

static int check_rows(const struct manifest *saved, const struct manifest *now, struct error *err)
{
    char name[64];

    if (lacking_line(saved->rows, now->rows, name, sizeof(name)))
        return error_set(err, -EINVAL,
                         "the saved machine has a device %s, this one has not; start "
                         "it with the options that the saved one had",
                         name);
    if (lacking_line(now->rows, saved->rows, name, sizeof(name)))
        return error_set(err, -EINVAL,
                         "this machine has a device %s, the saved one has not; start "
                         "it with the options that the saved one had",
                         name);
    return 0;
}

static void drive_name(unsigned n, char *buf, size_t buf_bytes)
{
    if (n == CD_DRIVE)
        snprintf(buf, buf_bytes, "the CD drive");
    else if (n == FLOPPY_DRIVE)
        snprintf(buf, buf_bytes, "the floppy drive");
    else
        snprintf(buf, buf_bytes, "disk %u", n + 1);
}

static int check_drive(const struct manifest_drive *saved, const struct manifest_drive *now,
                       unsigned n, struct error *err)
{
    char name[32];

    drive_name(n, name, sizeof(name));
    if (!saved->present && !now->present)
        return 0;
    if (!now->present)
        return error_set(err, -EINVAL,
                         "the saved machine has %.200s in %s, this one has nothing "
                         "there",
                         saved->path, name);
    if (!saved->present)
        return error_set(err, -EINVAL, "%s has %.200s, the saved machine had nothing there", name,
                         now->path);
    if (saved->bus != now->bus || saved->readonly != now->readonly)
        return error_set(err, -EINVAL,
                         "%s (%.200s) is connected in another way than in the saved "
                         "machine; mind bus= and readonly",
                         name, now->path);
    if (saved->files != now->files)
        return error_set(err, -ESTALE,
                         "%s: %.200s has %u images in its chain, %u when the machine "
                         "was saved",
                         name, now->path, now->files, saved->files);
    for (unsigned i = 0; i < saved->files; i++)
        if (memcmp(&saved->file[i], &now->file[i], sizeof(saved->file[i])))
            return error_set(err, -ESTALE,
                             "%s: %s%.200s has changed since the machine was saved (with "
                             "%.200s); going on would damage what is on it. Put the image back, or "
                             "start the machine without the saved state",
                             name, i ? "a parent of " : "", now->path, saved->path);
    return 0;
}

/* Rates that were measured differ a little each time. */
static bool same_rate(uint64_t a, uint64_t b)
{
    uint64_t apart = a > b ? a - b : b - a;

    return apart <= a / 1000;
}

static int check_tsc(const struct manifest *saved, const struct machine *m, struct error *err)
{
    uint64_t host = x86_host_tsc_hz();

    /* An engine that can scale has set the rate, or refused. */
    if (m->engine->ops->msi || !saved->tsc_hz || same_rate(saved->tsc_hz, host))
        return 0;
    return error_set(err, -ENOTSUP,
                     "the guest's TSC ran at %llu MHz, this host's runs at %llu: the guest's clock "
                     "would be wrong; use the host that it comes from, or --engine kvm",
                     (unsigned long long)(saved->tsc_hz / 1000000),
                     (unsigned long long)(host / 1000000));
}

int manifest_check(const struct manifest *saved, const struct machine *m, struct error *err)
{
    AUTO_FREE struct manifest *now = NULL;
    int r = manifest_of(m, &now, err);

    if (r < 0 || (r = check_rows(saved, now, err)) < 0)
        return r;
    if (strcmp(saved->vendor, now->vendor))
        return error_set(err, -ENOTSUP,
                         "the guest's processor was a %s, here it is a %s; use the host or the "
                         "engine that it comes from",
                         saved->vendor, now->vendor);
    if (saved->store_bytes != now->store_bytes)
        return error_set(err, -EINVAL,
                         "the saved machine has other firmware than this one; give the same "
                         "--firmware, of the same version");
    for (unsigned i = 0; i < MANIFEST_DRIVES; i++)
        if ((r = check_drive(&saved->drive[i], &now->drive[i], i, err)) < 0)
            return r;
    return check_tsc(saved, m, err);
}
