/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before a machine is turned on: has the host what it wants? Reserves of processors are added up,
 * memory is added up, and there must be room on the disk for saving it, which its process then keeps,
 * so that saving cannot fail for lack of it later.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "server/files.h"
#include "server/host.h"
#include "server/life.h"
#include "server/saved.h"
#include "server/settings.h"

/* Besides the guest's memory: devices, screens, and what compressing may add. */
#define SAVED_EXTRA_BYTES MIB(24)
#define PROBE_FILE "saved.room"

/* What it has, or will have: a changed definition counts from the next start on. */
static uint64_t memory_of(const struct machine *m)
{
    json_t *saved;
    uint64_t bytes;

    if (m->started)
        return definition_memory_bytes(m->started);
    if (m->state != MACHINE_STATE_SAVED)
        return m->memory_bytes;
    saved = saved_definition(m);
    bytes = saved ? definition_memory_bytes(saved) : m->memory_bytes;
    json_decref(saved);
    return bytes;
}

static int check_cpu(struct machine *m, struct problem *p)
{
    long long wanted = machine_integer(m, "resources", "cpu-reserve-percent"), taken = 0;
    long long all = (long long)host_cpus() * settings_integer(m->server, "cpu-reservable-percent");

    if (!wanted)
        return 0;
    for (struct machine *other = m->server->machines; other; other = other->next)
        if (other != m && life_is_on(other))
            taken += machine_integer(other, "resources", "cpu-reserve-percent");
    if (taken + wanted > all)
        return problem_set(p, PROBLEM_CODE_ADMISSION, NULL,
                           "%s reserves %lld%% of a processor, %lld%% of %lld%% are reserved by "
                           "others; turn one off or lower a reserve",
                           m->name, wanted, taken, all);
    return 0;
}

static int check_memory(struct machine *m, struct problem *p)
{
    uint64_t kept = (uint64_t)settings_integer(m->server, "memory-reserve-bytes");
    uint64_t total = host_memory_bytes(), taken = 0, own = memory_of(m);
    char want[32], left[32];

    if (!kept || !total)
        return 0;
    for (struct machine *other = m->server->machines; other; other = other->next)
        if (other != m && life_is_on(other))
            taken += memory_of(other);
    if (own > total || taken + own + kept > total)
        return problem_set(
            p, PROBLEM_CODE_ADMISSION, NULL,
            "%s wants %s of memory, the host has %s left for machines", m->name,
            size_format(own, want, sizeof(want)),
            size_format(total > taken + kept ? total - taken - kept : 0, left, sizeof(left)));
    return 0;
}

int admission_check(struct machine *m, struct problem *p)
{
    int r = check_cpu(m, p);

    return r < 0 ? r : check_memory(m, p);
}

/* Taken for a moment, to see whether it is there; the machine's process takes it for good. */
int admission_room(struct machine *m, struct problem *p)
{
    AUTO_FREE char *path = files_join(m->files, PROBE_FILE);
    AUTO_FD int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    off_t bytes = (off_t)(memory_of(m) + SAVED_EXTRA_BYTES);
    char size[32];
    int r;

    m->keeps_room = false;
    if (fd < 0)
        return problem_set(p, PROBLEM_CODE_FAILED, NULL, "%s: room for saving cannot be reserved",
                           m->files);
    do
        r = fallocate(fd, 0, 0, bytes) < 0 ? errno : 0;
    while (r == EINTR);
    unlink(path);
    m->keeps_room = r == 0;
    /* A file system that cannot promise room (NFS before 4.2, for one) leaves it to luck. */
    if (r == 0 || r == EOPNOTSUPP || r == ENOSYS)
        return 0;
    return problem_set(p, PROBLEM_CODE_ADMISSION, NULL,
                       "%s has no room for saving %s, which takes up to %s; make room", m->files,
                       m->name, size_format((uint64_t)bytes, size, sizeof(size)));
}

uint64_t admission_reserved_bytes(struct server *server)
{
    uint64_t bytes = 0;

    for (struct machine *m = server->machines; m; m = m->next)
        if (life_is_on(m))
            bytes += memory_of(m) + SAVED_EXTRA_BYTES;
    return bytes;
}
