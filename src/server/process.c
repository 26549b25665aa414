/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "server/console.h"
#include "server/files.h"
#include "server/host.h"
#include "server/jail.h"
#include "server/life.h"
#include "server/limits.h"
#include "server/networks.h"
#include "server/saved.h"
#include "server/shares.h"
#include "server/stamp.h"

#define VM_PROGRAM "yado-vm"
#define CONNECT_FIRST_MS 4
#define CONNECT_SLOW_MS 250
#define LOG_MAX KIB(64)
#define ANSWER_MS 20000

struct process {
    struct machine *machine; /* NULL: nobody is interested any more */
    uv_process_t child;
    uv_poll_t exit_poll;
    uv_timer_t retry;
    bool exit_open;
    unsigned handles; /* libuv's, still open */
    bool is_child;
    int pidfd, run_fd;
    pid_t pid;
    struct channel *channel;
    unsigned delay_ms, attempts;
    bool ready;
};

static void begin_connect(struct process *p);

static void on_handle_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;

    if (--p->handles)
        return;
    if (p->pidfd >= 0)
        close(p->pidfd);
    if (p->run_fd >= 0)
        close(p->run_fd);
    free(p);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_handle_closed);
}

static struct process *process_new(struct machine *m)
{
    struct process *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->machine = m;
    p->pidfd = -1;
    p->delay_ms = CONNECT_FIRST_MS;
    p->run_fd = open(m->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    uv_timer_init(m->server->loop, &p->retry);
    p->retry.data = p->child.data = p->exit_poll.data = p;
    p->handles = 1;
    return p;
}

/* Let go of the handles; a child's goes by itself once it has been reaped. */
static void process_done(struct process *p)
{
    p->machine = NULL;
    p->channel = channel_close(p->channel);
    if (p->exit_open)
        close_handle((uv_handle_t *)&p->exit_poll);
    p->exit_open = false;
    close_handle((uv_handle_t *)&p->retry);
}

int process_socket(const struct machine *m, const char *name, char *buf, size_t room)
{
    if (!m->process || m->process->run_fd < 0)
        return -ENOENT;
    /* A UNIX address has 107 characters; the folder's path may have more. */
    snprintf(buf, room, "/proc/self/fd/%d/%s", m->process->run_fd, name);
    return 0;
}

/* ---- its end ---- */

/* The last line that it printed, without "yado: ". */
static void last_line(struct machine *m, char *text, size_t room)
{
    AUTO_FREE char *path = files_join(m->run, "log");
    AUTO_FREE char *log = NULL;
    size_t len;
    char *line, *end;

    *text = '\0';
    if (!path || files_read(path, LOG_MAX, &log, &len, NULL) < 0)
        return;
    while (len && log[len - 1] == '\n')
        log[--len] = '\0';
    line = strrchr(log, '\n');
    line = line ? line + 1 : log;
    if (!strncmp(line, "yado: ", 6))
        line += 6;
    snprintf(text, room, "%s", line);
    for (end = text; *end; end++)
        if ((unsigned char)*end < ' ' || (unsigned char)*end > '~')
            *end = '?';
}

static void read_end(struct machine *m, struct process_end *ret)
{
    AUTO_FREE char *path = files_join(m->run, "report.json");
    json_t *report = NULL;
    const char *end, *message;

    *ret = (struct process_end){.status = -1};
    if (path && files_read_json(path, &report, NULL) == 0) {
        end = json_string_value(json_object_get(report, "end"));
        message = json_string_value(json_object_get(report, "message"));
        snprintf(ret->end, sizeof(ret->end), "%s", end ? end : "");
        snprintf(ret->message, sizeof(ret->message), "%s", message ? message : "");
        ret->status = (int)json_integer_value(json_object_get(report, "status"));
    }
    if (!*ret->message)
        last_line(m, ret->message, sizeof(ret->message));
    json_decref(report);
}

static void ended(struct process *p)
{
    struct machine *m = p->machine;
    struct process_end end;

    if (!m)
        return;
    read_end(m, &end);
    p->channel = channel_end(p->channel); /* who waits for an answer gets none */
    console_close(m);
    m->process = NULL;
    process_done(p);
    life_ended(m, &end);
}

static void on_exit_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    uv_poll_stop(poll);
    ended(poll->data);
}

static void on_child_exit(uv_process_t *child, int64_t status, int sig)
{
    struct process *p = child->data;

    (void)status;
    (void)sig;
    p->is_child = false;
    ended(p);
    close_handle((uv_handle_t *)child);
}

/* Hear of the end of a process that is not (any more) a child of ours. */
static int watch(struct process *p)
{
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0)
        return -errno;
    uv_poll_init(p->machine->server->loop, &p->exit_poll, p->pidfd);
    uv_poll_start(&p->exit_poll, UV_READABLE, on_exit_poll);
    p->exit_open = true;
    p->handles++;
    return 0;
}

/* ---- its control socket ---- */

/* True while the process lives; it has inherited the file that is locked. */
static bool is_locked(const struct machine *m)
{
    AUTO_FREE char *path = files_join(m->run, "lock");
    AUTO_FD int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void on_retry(uv_timer_t *timer)
{
    struct process *p = timer->data;

    if (!p->machine)
        return;
    /* Without a pidfd nobody else tells us that it has died before it answered. */
    if (!p->is_child && p->pidfd < 0 && !is_locked(p->machine))
        ended(p);
    else
        begin_connect(p);
}

static void retry(struct process *p)
{
    p->channel = channel_close(p->channel);
    uv_timer_start(&p->retry, on_retry, p->delay_ms, 0);
    p->delay_ms = MIN(p->delay_ms * 2, CONNECT_SLOW_MS);
}

static void on_status(void *ctx, int r, json_t *value, const char *message)
{
    struct process *p = ctx;
    const char *engine = json_string_value(json_object_get(value, "engine"));

    (void)message;
    if (r < 0) {
        retry(p);
        return;
    }
    p->ready = true;
    jail_look(p->machine);
    snprintf(p->machine->engine, sizeof(p->machine->engine), "%s", engine ? engine : "");
    console_open(p->machine);
    limits_send(p->machine); /* they may have been changed since it was started */
    life_ready(p->machine, value);
}

static void on_open(void *ctx, int status)
{
    struct process *p = ctx;
    pid_t pid;

    /* A child may be the jail's, which waits for the machine's process. */
    if (status == 0 && channel_peer_pid(p->channel, &pid) == 0) {
        p->pid = pid;
        if (!p->is_child && p->pidfd < 0 && watch(p) < 0)
            status = -ESRCH;
    }
    if (status < 0 || channel_call(p->channel, "status", NULL, ANSWER_MS, on_status, p) < 0)
        retry(p);
}

static void on_event(void *ctx, const char *name, json_t *data)
{
    struct process *p = ctx;

    life_event(p->machine, name, data);
}

/* It is about to exit, or has closed its socket for good; the pidfd or the lock tells. */
static void on_closed(void *ctx)
{
    struct process *p = ctx;

    p->channel = channel_close(p->channel);
    if (!p->is_child && p->pidfd < 0)
        retry(p);
}

static void begin_connect(struct process *p)
{
    struct channel_peer peer = {on_open, on_event, on_closed, p};
    char path[64];

    if (process_socket(p->machine, "control", path, sizeof(path)) < 0 ||
        channel_open(p->machine->server->loop, path, &peer, &p->channel) < 0)
        retry(p);
}

int process_call(struct machine *m, const char *name, json_t *arguments, unsigned timeout_ms,
                 channel_done *done, void *ctx)
{
    if (!m->process || !m->process->channel || !m->process->ready) {
        json_decref(arguments);
        return -EPIPE;
    }
    return channel_call(m->process->channel, name, arguments, timeout_ms, done, ctx);
}

/* ---- its start ---- */

/* The definition as yado-vm is given it: without our part, disks by their full paths. */
static json_t *vm_definition(struct machine *m)
{
    json_t *vm = json_deep_copy(m->started), *disk;
    size_t i;

    json_object_del(vm, "server");
    network_resolve(vm);
    network_put_addresses(m, vm);
    json_array_foreach(json_object_get(vm, "disk"), i, disk)
    {
        AUTO_FREE char *path =
            machine_disk_path(m, json_string_value(json_object_get(disk, "file")));

        limits_add(m, json_string_value(json_object_get(disk, "file")), disk);
        json_object_set_new(disk, "file", json_string(path ? path : ""));
    }
    return vm;
}

/* Beside the machine's folder, which is its user's: the server trusts what it reads here. */
static char *started_path(const struct machine *m)
{
    char *path;

    return asprintf(&path, "%s.json", m->run) < 0 ? NULL : path;
}

static int write_started(struct machine *m, struct error *err)
{
    AUTO_FREE char *path = started_path(m);
    AUTO_FREE char *boot = host_boot_id();
    json_t *started =
        json_pack("{s:O, s:O*, s:s, s:I}", "definition", m->started, "addresses", m->addresses,
                  "boot", boot ? boot : "", "time", (json_int_t)m->started_ms);
    int r = started && path ? files_replace_json(path, started, 0600, err) : -ENOMEM;

    json_decref(started);
    return r;
}

static int write_files(struct machine *m, struct error *err)
{
    AUTO_FREE char *path = files_join(m->run, "vm.json");
    json_t *vm = vm_definition(m);
    int r = vm && path ? files_replace_json(path, vm, 0644, err) : -ENOMEM;

    json_decref(vm);
    return r == 0 ? write_started(m, err) : r;
}

void process_medium(struct machine *m, const char *drive, json_t *file)
{
    if (!m->started)
        return;
    if (json_is_string(file))
        json_object_set(m->started, drive, file);
    else
        json_object_del(m->started, drive);
    write_started(m, NULL);
}

static int open_lock(struct machine *m, int *ret_fd, struct error *err)
{
    AUTO_FREE char *path = files_join(m->run, "lock");
    AUTO_FD int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;

    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return error_set(err, -EBUSY, "a process of this machine still runs");
    *ret_fd = take_fd(&fd);
    return 0;
}

static int spawn(struct machine *m, struct process *p, bool restore, int lock, struct error *err)
{
    AUTO_FREE char *program = files_join(m->server->programs, VM_PROGRAM);
    AUTO_FREE char *log_path = files_join(m->run, "log");
    AUTO_FREE char *saved = files_join(m->files, SAVED_FILE);
    AUTO_FD int log =
        log_path ? open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const char *args[32] = {program,        "--definition", "vm.json",     "--control",
                            "unix=control", "--serial",     "unix=serial", "--display",
                            "vnc=unix:vnc", "--report",     "report.json"};
    size_t count = 11;
    char *env[] = {"PATH=/usr/bin:/bin", NULL};
    uv_stdio_container_t stdio[] = {{.flags = UV_INHERIT_FD, .data.fd = null},
                                    {.flags = UV_INHERIT_FD, .data.fd = log},
                                    {.flags = UV_INHERIT_FD, .data.fd = log},
                                    {.flags = UV_INHERIT_FD, .data.fd = lock}};
    uv_process_options_t options = {.cwd = m->run,
                                    .env = env,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio),
                                    .exit_cb = on_child_exit};
    struct jail jail = {.count = 0};
    int r;

    if (!program || !saved || log < 0 || null < 0)
        return error_set(err, -EIO, "%s cannot be written", m->run);
    if (restore) {
        args[count++] = "--restore";
        args[count++] = saved;
    }
    if (m->keeps_room) {
        args[count++] = "--reserve-state";
        args[count++] = saved;
    }
    args[count] = NULL;
    r = jail_wrap(m, args, &jail, err);
    if (r < 0)
        return r;
    options.args = (char **)(jail.count ? jail.args : args);
    options.file = options.args[0];
    r = uv_spawn(m->server->loop, &p->child, &options);
    p->handles++; /* libuv wants the handle closed in any case */
    if (r < 0) {
        close_handle((uv_handle_t *)&p->child);
        r = error_set(err, r, "%s cannot be started: %s; install it beside yadod", options.file,
                      uv_strerror(r));
    } else {
        p->is_child = true;
        p->pid = p->child.pid;
        uv_unref((uv_handle_t *)&p->child);
    }
    jail_done(&jail);
    return r;
}

static void remove_old(struct machine *m)
{
    static const char *const names[] = {"control", "vnc",     "serial",   "report.json",
                                        "log",     "vm.json", "jail.json"};
    AUTO_FREE char *started = started_path(m);

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = files_join(m->run, names[i]);

        if (path)
            unlink(path);
    }
    if (started)
        unlink(started);
}

int process_start(struct machine *m, bool restore, struct error *err)
{
    AUTO_FD int lock = -1;
    struct process *p;
    int r = files_folder(m->run, 0711, err);

    if (r == 0)
        r = open_lock(m, &lock, err);
    if (r < 0)
        return r;
    remove_old(m);
    json_decref(m->started);
    m->started = restore ? saved_definition(m) : json_deep_copy(m->definition);
    m->started_ms = stamp_now_ms();
    m->jailed = false; /* until it answers */
    share_make(m);
    network_link(m);
    r = m->started ? network_addresses(m, err) : -ENOMEM;
    if (r == 0)
        r = write_files(m, err);
    p = r == 0 ? process_new(m) : NULL;
    if (r == 0)
        r = p ? spawn(m, p, restore, lock, err) : -ENOMEM;
    if (r < 0) {
        if (p)
            process_done(p);
        remove_old(m);
        share_remove(m);
        json_decref(TAKE_PTR(m->started));
        return r;
    }
    m->process = p;
    if (m->server->jail_missing)
        share_join(m, p->pid);
    uv_timer_start(&p->retry, on_retry, p->delay_ms, 0);
    return 0;
}

bool process_find(struct machine *m)
{
    AUTO_FREE char *path = started_path(m);
    AUTO_FREE char *boot = host_boot_id();
    struct process_end end;
    json_t *started = NULL, *definition;
    const char *started_boot;

    if (!path || files_read_json(path, &started, NULL) < 0)
        return false;
    definition = json_object_get(started, "definition");
    started_boot = json_string_value(json_object_get(started, "boot"));
    m->started = json_is_object(definition) ? json_incref(definition) : json_object();
    m->started_ms = (int64_t)json_integer_value(json_object_get(started, "time"));
    m->addresses = json_incref(json_object_get(started, "addresses"));
    if (is_locked(m)) {
        share_make(m); /* which systemd takes back while there is no server (yadod.service) */
        m->process = process_new(m);
        if (m->process)
            begin_connect(m->process);
    } else {
        read_end(m, &end);
        if (!boot || !started_boot || strcmp(boot, started_boot) != 0)
            snprintf(end.end, sizeof(end.end), "host-crash");
        remove_old(m);
        life_ended(m, &end);
    }
    json_decref(started);
    return true;
}

void process_kill(struct machine *m)
{
    struct process *p = m->process;

    if (p && p->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
    else if (p && p->is_child)
        kill(p->child.pid, SIGKILL); /* and what waits for its end with it */
}

pid_t process_pid(const struct machine *m)
{
    return m->process ? m->process->pid : 0;
}

void process_forget(struct machine *m)
{
    struct process *p = m->process;

    m->process = NULL;
    if (!p)
        return;
    if (p->is_child) {
        p->is_child = false;
        close_handle((uv_handle_t *)&p->child);
    }
    process_done(p);
}

void process_clean(struct machine *m)
{
    AUTO_FREE char *lock = files_join(m->run, "lock");

    remove_old(m);
    network_unlink(m);
    if (lock)
        unlink(lock);
    rmdir(m->run);
}
