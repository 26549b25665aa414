/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of a cgroup: Documentation/admin-guide/cgroup-v2.rst of Linux.
 *
 * cgroup v2 knows weights and maxima of processors, but no reserve. A reserve is a weight that is
 * large enough (share_weights()), counted anew whenever a machine comes, goes or is changed.
 */
#include "server/shares.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "server/files.h"
#include "server/host.h"
#include "server/life.h"

#define LOG_ROOM "shares"
#define CPU_PERIOD_US 100000
#define WEIGHT_MAX 10000u
/* Pages answer while all machines compute: what the server uses is little, and wanted at once. */
#define SERVER_WEIGHT 500u
#define NUMBER_BYTES 32

const struct shares_world shares_host = {.cgroups = "/sys/fs/cgroup", .self = "/proc/self/cgroup"};

/* ---- what each gets ---- */

/*
 * Who has reserved more than its weight brings it is given its reserve, and leaves the others less,
 * which may bring the next one below its own.
 */
void share_weights(const struct share_want *wants, unsigned count, unsigned capacity_percent,
                   unsigned *ret_weights)
{
    double left = capacity_percent, weights = 0, scale, largest = 0;
    bool again = true;

    for (unsigned i = 0; i < count; i++) {
        ret_weights[i] = 0; /* not given its reserve */
        weights += wants[i].weight;
    }
    while (again) {
        again = false;
        for (unsigned i = 0; i < count; i++) {
            if (ret_weights[i] || left * wants[i].weight >= weights * wants[i].reserve_percent)
                continue;
            ret_weights[i] = 1;
            left -= wants[i].reserve_percent;
            weights -= wants[i].weight;
            again = true;
        }
    }
    /* What one percent of a processor weighs; when nothing is left it is as if little were. */
    scale = weights > 0 ? weights / MAX(left, 1.0) : 1;
    for (unsigned i = 0; i < count; i++)
        largest = MAX(largest,
                      ret_weights[i] ? wants[i].reserve_percent * scale : (double)wants[i].weight);
    for (unsigned i = 0; i < count; i++) {
        double weight = ret_weights[i] ? wants[i].reserve_percent * scale : (double)wants[i].weight;

        if (largest > WEIGHT_MAX)
            weight *= WEIGHT_MAX / largest;
        ret_weights[i] = MAX(1u, MIN((unsigned)(weight + 0.999), WEIGHT_MAX));
    }
}

/* ---- files ---- */

static int put(const char *folder, const char *name, const char *text)
{
    AUTO_FREE char *path = files_join(folder, name);
    AUTO_FD int fd = path ? open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) : -1;

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static char *group_named(const struct server *server, const char *name)
{
    return server->cgroup ? files_join(server->cgroup, name) : NULL;
}

char *share_group(const struct machine *m)
{
    char name[32];

    snprintf(name, sizeof(name), "machine-%s", m->id);
    return group_named(m->server, name);
}

/* All groups of the server, its own first. The first thing that fails is what is said. */
static int balance(struct server *server, struct error *err)
{
    unsigned room = server->machine_count + 1, count = 1;
    AUTO_FREE struct share_want *wants = calloc(room, sizeof(*wants));
    AUTO_FREE unsigned *weights = calloc(room, sizeof(*weights));
    AUTO_FREE char *own = group_named(server, "server");
    char text[NUMBER_BYTES];
    int first = 0;

    if (!wants || !weights || !own)
        return -ENOMEM;
    wants[0].weight = SERVER_WEIGHT;
    for (struct machine *m = server->machines; m; m = m->next) {
        if (!m->shared)
            continue;
        wants[count].weight = (unsigned)machine_integer(m, "resources", "cpu-weight");
        wants[count++].reserve_percent =
            (unsigned)machine_integer(m, "resources", "cpu-reserve-percent");
    }
    share_weights(wants, count, host_cpus() * 100, weights);
    snprintf(text, sizeof(text), "%u", weights[0]);
    put(own, "cpu.weight", text);
    count = 1;
    for (struct machine *m = server->machines; m; m = m->next) {
        AUTO_FREE char *group = m->shared ? share_group(m) : NULL;
        int r;

        if (!group)
            continue;
        snprintf(text, sizeof(text), "%u", weights[count++]);
        r = put(group, "cpu.weight", text);
        if (r < 0 && first == 0)
            first = error_set(err, r, "cpu.weight: %s", strerror(-r));
    }
    return first;
}

/* ---- a machine's ---- */

/* The first thing that fails is what is said; the others are set all the same. */
static int configure(const char *group, struct machine *m, struct error *err)
{
    json_t *resources = machine_part(m, "resources");
    json_t *cpu_max = json_object_get(resources, "cpu-max-percent");
    json_t *memory_max = json_object_get(resources, "memory-max-bytes");
    char text[64];
    int first = 0, r;

#define SET(file, ...)                                                                             \
    do {                                                                                           \
        int r_;                                                                                    \
        snprintf(text, sizeof(text), __VA_ARGS__);                                                 \
        r_ = put(group, file, text);                                                               \
        if (r_ < 0 && first == 0)                                                                  \
            first = error_set(err, r_, "%s: %s", file, strerror(-r_));                             \
    } while (0)
    if (cpu_max)
        SET("cpu.max", "%lld %d", (long long)json_integer_value(cpu_max) * (CPU_PERIOD_US / 100),
            CPU_PERIOD_US);
    else
        SET("cpu.max", "max");
    if (memory_max)
        SET("memory.max", "%lld", (long long)json_integer_value(memory_max));
    else
        SET("memory.max", "max");
    SET("io.weight", "%lld", machine_integer(m, "resources", "io-weight"));
#undef SET
    r = balance(m->server, first == 0 ? err : NULL);
    return first == 0 ? r : first;
}

void share_make(struct machine *m)
{
    AUTO_FREE char *group = share_group(m);
    struct error err = {""};

    if (!group)
        return;
    if (mkdir(group, 0755) < 0 && errno != EEXIST) {
        log_warning("%s: %s", group, strerror(errno));
        return;
    }
    m->shared = true;
    if (configure(group, m, &err) < 0)
        log_warning("%s: %s", m->name, err.text);
}

void share_join(struct machine *m, pid_t pid)
{
    AUTO_FREE char *group = share_group(m);
    char text[16];
    int r;

    if (!group)
        return;
    snprintf(text, sizeof(text), "%d", (int)pid);
    r = put(group, "cgroup.procs", text);
    if (r < 0)
        log_warning("%s: cgroup.procs: %s", group, strerror(-r));
}

int share_change(struct machine *m, struct error *err)
{
    AUTO_FREE char *group = m->shared ? share_group(m) : NULL;

    return group ? configure(group, m, err) : 0;
}

void share_remove(struct machine *m)
{
    AUTO_FREE char *group = m->shared ? share_group(m) : NULL;

    if (!group)
        return;
    m->shared = false;
    rmdir(group);
    balance(m->server, NULL); /* the others' reserves weigh less now */
}

/* ---- the server's ---- */

/* The cgroup that this process is in: "0::/PATH" of /proc/self/cgroup. */
static char *own_group(const struct shares_world *world)
{
    FILE *file = fopen(world->self, "re");
    char line[1024], *path = NULL;

    while (file && !path && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, "0::", 3) && asprintf(&path, "%s%s", world->cgroups, line + 3) < 0)
            path = NULL;
    }
    if (file)
        fclose(file);
    return path;
}

/*
 * A group with processes cannot hand controllers on, so the server moves into a leaf of its own
 * first. That is allowed where systemd has delegated the group (Delegate=yes), or to root.
 */
static const char *init_group(struct server *server, const struct shares_world *world)
{
    AUTO_FREE char *group = own_group(world);
    AUTO_FREE char *leaf = group ? files_join(group, "server") : NULL;
    AUTO_FREE char *controllers = files_join(world->cgroups, "cgroup.controllers");
    char pid[16];

    if (!group || !leaf || !controllers || access(controllers, R_OK) < 0)
        return "the host has no cgroup v2 at /sys/fs/cgroup";
    if (access(group, W_OK) < 0 || group[strlen(world->cgroups) + 1] == '\0')
        return "the server's cgroup is not its own; run it as the service yadod";
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if ((mkdir(leaf, 0755) < 0 && errno != EEXIST) || put(leaf, "cgroup.procs", pid) < 0 ||
        put(group, "cgroup.subtree_control", "+cpu +memory +io") < 0)
        return "the server's cgroup cannot be divided; is Delegate=yes in its unit?";
    server->cgroup = TAKE_PTR(group);
    return NULL;
}

void shares_init(struct server *server, const struct shares_world *world)
{
    server->shares = world;
    server->cgroup_missing = init_group(server, world);
    if (server->cgroup)
        balance(server, NULL);
}
