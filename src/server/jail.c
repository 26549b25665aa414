/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of a cgroup: Documentation/admin-guide/cgroup-v2.rst of Linux.
 */
#include "server/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "server/bus.h"
#include "server/child.h"
#include "server/files.h"
#include "server/networks.h"
#include "server/process.h"

#define LOG_ROOM "jail"
#define JAIL_PROGRAM "yado-jail"
#define REACH_MS 10000
#define CPU_PERIOD_US 100000
#define DEVICE_BYTES 32
/* A machine's user: a number of its own in a range that no account has (see yado-jail(8)). */
#define UID_FIRST 0x59000000u
#define UID_COUNT 0x00ffffffu

/* ---- yado-jail ---- */

static unsigned uid_of(const struct machine *m)
{
    return UID_FIRST + (unsigned)(strtoull(m->id, NULL, 16) % UID_COUNT);
}

static int add(struct jail *jail, const char *text)
{
    if (jail->count + 2 > JAIL_ARGS_MAX)
        return -E2BIG;
    jail->args[jail->count++] = text;
    jail->args[jail->count] = NULL;
    return 0;
}

static int add_owned(struct jail *jail, char *text)
{
    if (!text || jail->owned_count == JAIL_ARGS_MAX) {
        free(text);
        return -ENOMEM;
    }
    jail->owned[jail->owned_count++] = text;
    return add(jail, text);
}

/* A file that the machine may use; "bios" and the like are none. */
static int add_file(struct jail *jail, const char *option, const char *path)
{
    bool file = path && *path == '/';
    int r = file ? add(jail, option) : 0;

    return r < 0 || !file ? r : add_owned(jail, strdup(path));
}

static const char *machine_text(const struct machine *m, const char *name)
{
    return json_string_value(json_object_get(m->started, name));
}

static char *group_of(const struct machine *m)
{
    AUTO_FREE char *name = NULL;

    if (!m->server->cgroup || asprintf(&name, "machine-%s", m->id) < 0)
        return NULL;
    return files_join(m->server->cgroup, name);
}

static int add_disks(struct jail *jail, struct machine *m)
{
    json_t *disk, *disks = json_object_get(m->started, "disk");
    bool undo = json_object_get(m->started, "undo") != NULL;
    size_t i;
    int r = 0;

    json_array_foreach(disks, i, disk)
    {
        bool readonly = json_is_true(json_object_get(disk, "readonly"));
        const char *file = json_string_value(json_object_get(disk, "file"));
        char *path = machine_disk_path(m, file), *slash = path ? strrchr(path, '/') : NULL;

        if (!slash)
            r = -ENOMEM;
        if (r == 0)
            r = add_file(jail, readonly ? "--read" : "--write", path);
        if (r == 0)
            r = add_file(jail, "--disk", path);
        /* An undo disk is made beside its disk. */
        if (r == 0 && undo)
            *slash = '\0', r = add_file(jail, "--folder", path);
        free(path);
        if (r < 0)
            return r;
    }
    return r;
}

/* Where parents may be: what `yado disk` is told, too. */
static int add_parents(struct jail *jail, struct machine *m)
{
    json_t *folder, *folders = json_object_get(m->server->settings, "folders");
    size_t i;
    int r = add_file(jail, "--parents", machine_text(m, "parents"));

    json_array_foreach(folders, i, folder)
    {
        if (r == 0)
            r = add_file(jail, "--parents", json_string_value(json_object_get(folder, "path")));
    }
    return r;
}

/*
 * A machine without adapters reaches nothing at all. The others may be led behind a NAT of their
 * own at any time, whose connections are the host's. Without "net" there is such an adapter. The
 * sockets of networks are linked into the machine's folder (network_adapters.c).
 */
static int add_nets(struct jail *jail, struct machine *m)
{
    json_t *net, *nets = json_object_get(m->started, "net");
    bool none = json_is_string(nets) || (nets && !json_array_size(nets));
    size_t i;
    int r = none ? 0 : add(jail, "--net");

    json_array_foreach(nets, i, net)
    {
        const char *type = json_string_value(json_object_get(net, "type"));

        if (r == 0 && type && !strcmp(type, "tap"))
            r = add(jail, "--wire");
    }
    return r;
}

static int fill(struct jail *jail, struct machine *m, const char *const *args)
{
    static const char *const files[] = {"kernel", "initrd", "cdrom", "floppy", "firmware"};
    AUTO_FREE char *group = group_of(m);
    AUTO_FREE char *definition = files_join(m->run, "vm.json"); /* the server's, as is */
    AUTO_FREE char *links = files_join(m->run, NETWORK_LINKS);
    char uid[16];
    int r = add_owned(jail, files_join(m->server->programs, JAIL_PROGRAM));

    snprintf(uid, sizeof(uid), "%u", uid_of(m));
    if (r == 0)
        r = add(jail, "--uid");
    if (r == 0)
        r = add_owned(jail, strdup(uid));
    if (r == 0)
        r = add_file(jail, "--run", m->run);
    if (r == 0)
        r = definition && links ? add_file(jail, "--write", definition) : -ENOMEM;
    if (r == 0)
        r = add_file(jail, "--folder", links);
    if (r == 0)
        r = add_file(jail, "--folder", m->files);
    if (r == 0)
        r = add_disks(jail, m);
    for (size_t i = 0; i < ARRAY_LEN(files) && r == 0; i++)
        r = add_file(jail, "--read", machine_text(m, files[i]));
    if (r == 0)
        r = add_parents(jail, m);
    if (r == 0)
        r = add_nets(jail, m);
    if (r == 0)
        r = add_file(jail, "--group", group);
    if (r == 0)
        r = add(jail, "--");
    for (size_t i = 0; args[i] && r == 0; i++)
        r = add(jail, args[i]);
    return r;
}

int jail_wrap(struct machine *m, const char *const *args, struct jail *ret_jail, struct error *err)
{
    int r;

    *ret_jail = (struct jail){.count = 0};
    if (m->server->jail_missing)
        return 0;
    r = fill(ret_jail, m, args);
    if (r < 0) {
        jail_done(ret_jail);
        return error_set(err, r, "the machine has too many files");
    }
    return 0;
}

void jail_done(struct jail *jail)
{
    for (unsigned i = 0; i < jail->owned_count; i++)
        free(jail->owned[i]);
    *jail = (struct jail){.count = 0};
}

struct reach {
    void (*done)(void *ctx, const struct problem *p);
    void *ctx;
};

static void on_reached(void *ctx, const struct child_result *child)
{
    struct reach *reach = ctx;
    struct problem p;

    if (child->status != 0)
        problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%.400s",
                    *child->errors ? child->errors : "the machine's jail cannot be opened");
    reach->done(reach->ctx, child->status != 0 ? &p : NULL);
    free(reach);
}

void jail_reach(struct machine *m, const char *path,
                void (*done)(void *ctx, const struct problem *p), void *ctx)
{
    AUTO_FREE char *program = files_join(m->server->programs, JAIL_PROGRAM);
    struct reach *reach;
    char uid[16], pid[16];
    const char *args[] = {program, "--uid", uid, "--into", pid, "--read", path, NULL};
    struct child_request request = {.args = args, .timeout_ms = REACH_MS, .on_end = on_reached};
    struct error err = {"no memory"};
    struct problem p;

    if (m->server->jail_missing || !process_pid(m)) {
        done(ctx, NULL);
        return;
    }
    snprintf(uid, sizeof(uid), "%u", uid_of(m));
    snprintf(pid, sizeof(pid), "%d", (int)process_pid(m));
    request.ctx = reach = malloc(sizeof(*reach));
    if (program && reach) {
        *reach = (struct reach){done, ctx};
        if (child_start(m->server->loop, &request, NULL, &err) == 0)
            return;
    }
    free(reach);
    problem_set(&p, PROBLEM_CODE_FAILED, NULL, "%s", err.text);
    done(ctx, &p);
}

/* What jail.json says that the host refuses, in one text; NULL: nothing, or nothing is known. */
static char *missing_parts(json_t *report)
{
    json_t *part, *parts = json_object_get(report, "missing");
    char *text = NULL;
    size_t i;

    json_array_foreach(parts, i, part)
    {
        AUTO_FREE char *before = TAKE_PTR(text);

        if (asprintf(&text, "%s%s%s", before ? before : "", before ? ", " : "",
                     json_string_value(part)) < 0)
            text = NULL;
    }
    return text;
}

void jail_look(struct machine *m)
{
    AUTO_FREE char *path = files_join(m->run, "jail.json");
    AUTO_FREE char *missing = NULL;
    struct actor actor = actor_system("server");
    json_t *report = NULL;

    if (!path || files_read_json(path, &report, NULL) < 0) {
        m->jailed = false;
        return;
    }
    missing = missing_parts(report);
    json_decref(report);
    m->jailed = !missing;
    if (!missing || (m->server->jail_said && !strcmp(m->server->jail_said, missing)))
        return;
    bus_event(m->server,
              &(struct event){.kind = EVENT_KIND_MACHINE_JAIL_INCOMPLETE,
                              .severity = SEVERITY_WARNING,
                              .actor = &actor,
                              .about = machine_about(m),
                              .cause = EVENT_CAUSE_HOST},
              "%s runs without %s: the host refuses it", m->name, missing);
    free(m->server->jail_said);
    m->server->jail_said = TAKE_PTR(missing);
}

/* ---- cgroup ---- */

static int put(const char *folder, const char *name, const char *text)
{
    AUTO_FREE char *path = files_join(folder, name);
    AUTO_FD int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* "MAJOR:MINOR" of the disk that a file lies on: io.max knows no partitions. */
static int find_device(const char *file, char *text, size_t room)
{
    AUTO_FD int fd = -1;
    char path[64];
    struct stat st;
    ssize_t n;

    if (stat(file, &st) < 0)
        return -errno;
    snprintf(text, room, "%u:%u", major(st.st_dev), minor(st.st_dev));
    snprintf(path, sizeof(path), "/sys/dev/block/%.31s/partition", text);
    if (access(path, F_OK) < 0)
        return 0;
    snprintf(path, sizeof(path), "/sys/dev/block/%.31s/../dev", text);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 ? -1 : read(fd, text, room - 1);
    if (n < 0)
        return -errno;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return 0;
}

/* io.max: "MAJOR:MINOR rbps=N …". */
static int set_io(const char *group, struct machine *m, json_t *limit)
{
    static const char *const names[][2] = {{"read-bytes-per-second", "rbps"},
                                           {"write-bytes-per-second", "wbps"},
                                           {"reads-per-second", "riops"},
                                           {"writes-per-second", "wiops"}};
    AUTO_FREE char *path = machine_disk_path(m, json_string_value(json_object_get(limit, "file")));
    char text[256];
    size_t used;
    int r = path ? find_device(path, text, DEVICE_BYTES) : -ENOMEM;

    if (r < 0)
        return r;
    used = strlen(text);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(limit, names[i][0]);
        char number[32] = "max";

        if (value)
            snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
        used += (size_t)snprintf(text + used, sizeof(text) - used, " %s=%s", names[i][1], number);
    }
    return put(group, "io.max", text);
}

/* The first thing that fails is what is said; the others are set all the same. */
static int configure(const char *group, struct machine *m, struct error *err)
{
    json_t *resources = machine_part(m, "resources"), *limit;
    json_t *cpu_max = json_object_get(resources, "cpu-max-percent");
    json_t *memory_max = json_object_get(resources, "memory-max-bytes");
    char text[64];
    int first = 0;
    size_t i;

#define SET(file, ...)                                                                             \
    do {                                                                                           \
        int r_;                                                                                    \
        snprintf(text, sizeof(text), __VA_ARGS__);                                                 \
        r_ = put(group, file, text);                                                               \
        if (r_ < 0 && first == 0)                                                                  \
            first = error_set(err, r_, "%s: %s", file, strerror(-r_));                             \
    } while (0)
    SET("cpu.weight", "%lld", machine_integer(m, "resources", "cpu-weight"));
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
    json_array_foreach(json_object_get(resources, "disks"), i, limit)
    {
        int r = set_io(group, m, limit);

        if (r < 0 && first == 0)
            first = error_set(err, r, "io.max: %s", strerror(-r));
    }
    return first;
}

void jail_share(struct machine *m)
{
    AUTO_FREE char *group = group_of(m);
    struct error err = {""};

    if (!group)
        return;
    if (mkdir(group, 0755) < 0 && errno != EEXIST) {
        log_warning("%s: %s", group, strerror(errno));
        return;
    }
    if (configure(group, m, &err) < 0)
        log_warning("%s: %s", m->name, err.text);
}

void jail_join(struct machine *m, pid_t pid)
{
    AUTO_FREE char *group = group_of(m);
    char text[16];
    int r;

    if (!group)
        return;
    snprintf(text, sizeof(text), "%d", (int)pid);
    r = put(group, "cgroup.procs", text);
    if (r < 0)
        log_warning("%s: cgroup.procs: %s", group, strerror(-r));
}

int jail_change(struct machine *m, struct error *err)
{
    AUTO_FREE char *group = group_of(m);

    return group && m->process ? configure(group, m, err) : 0;
}

void jail_unshare(struct machine *m)
{
    AUTO_FREE char *group = group_of(m);

    if (group)
        rmdir(group);
}

/* The cgroup that this process is in: "0::/PATH" of /proc/self/cgroup. */
static char *own_group(void)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[1024], *path = NULL;

    while (file && !path && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!strncmp(line, "0::", 3) && asprintf(&path, "/sys/fs/cgroup%s", line + 3) < 0)
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
static const char *init_group(struct server *server)
{
    AUTO_FREE char *group = own_group();
    AUTO_FREE char *leaf = group ? files_join(group, "server") : NULL;
    char pid[16];

    if (!group || !leaf || access("/sys/fs/cgroup/cgroup.controllers", R_OK) < 0)
        return "the host has no cgroup v2 at /sys/fs/cgroup";
    if (access(group, W_OK) < 0 || !strcmp(group, "/sys/fs/cgroup/"))
        return "the server's cgroup is not its own; run it as the service yadod";
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    if ((mkdir(leaf, 0755) < 0 && errno != EEXIST) || put(leaf, "cgroup.procs", pid) < 0 ||
        put(group, "cgroup.subtree_control", "+cpu +memory +io") < 0)
        return "the server's cgroup cannot be divided; is Delegate=yes in its unit?";
    server->cgroup = TAKE_PTR(group);
    return NULL;
}

void jail_init(struct server *server)
{
    AUTO_FREE char *program = files_join(server->programs, JAIL_PROGRAM);

    server->cgroup_missing = init_group(server);
    if (geteuid() != 0)
        server->jail_missing = "the server does not run as root: machines run as its own user, "
                               "without namespaces of their own";
    else if (!program || access(program, X_OK) < 0)
        server->jail_missing = "yado-jail is not installed beside yadod";
    else
        server->jail_missing = NULL;
}
