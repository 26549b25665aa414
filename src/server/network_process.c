/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/network_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "server/bus.h"
#include "server/files.h"

#define PROGRAM "yado-net"
#define CONNECT_MS 20u
#define CONNECT_TRIES 100u
#define AGAIN_FIRST_MS 500u
#define AGAIN_LAST_MS 30000u
#define STATUS_MS 3000u
#define ANSWER_MS 10000u
#define LOG_MAX KIB(64)

struct network_process {
    struct network *network; /* NULL: nobody is interested any more */
    uv_loop_t *loop;
    uv_timer_t timer;
    uv_process_t child;
    bool is_child, ending;
    unsigned handles;
    int pidfd, run_fd;
    struct channel *channel;
    unsigned tries, again_ms;
    bool asked; /* an answer about its status is awaited */
};

static void try_connect(uv_timer_t *timer);
static void start_again(uv_timer_t *timer);

static void on_handle_closed(uv_handle_t *handle)
{
    struct network_process *p = handle->data;

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

static void set_state(struct network *n, enum network_state state)
{
    struct actor actor = actor_system("networks");
    bool failed = state == NETWORK_STATE_FAILED;

    if (n->state == state)
        return;
    n->state = state;
    if (state == NETWORK_STATE_STARTING)
        return;
    bus_event(
        n->server,
        &(struct event){.kind = failed ? EVENT_KIND_NETWORK_FAILED : EVENT_KIND_NETWORK_STARTED,
                        .severity = failed ? SEVERITY_ERROR : SEVERITY_INFO,
                        .actor = &actor,
                        .about = network_about(n),
                        .cause = EVENT_CAUSE_SERVER},
        failed ? "the network %s does not run: %s" : "the network %s runs%s", n->name,
        failed ? n->problem : "");
}

/* ---- its life ---- */

static void on_status(void *ctx, int r, json_t *value, const char *message)
{
    struct network_process *p = ctx;

    (void)message;
    p->asked = false;
    if (r < 0 || !p->network)
        return;
    json_decref(p->network->status);
    p->network->status = json_incref(value);
    p->again_ms = AGAIN_FIRST_MS;
    p->network->problem[0] = '\0';
    if (p->network->state != NETWORK_STATE_RUNNING)
        network_link_machines(p->network);
    set_state(p->network, NETWORK_STATE_RUNNING);
}

static void ask_status(uv_timer_t *timer)
{
    struct network_process *p = timer->data;

    if (p->channel && !p->asked)
        p->asked = channel_call(p->channel, "status", NULL, ANSWER_MS, on_status, p) == 0;
}

/* The last line that it printed says why it ended. */
static void read_problem(struct network *n)
{
    AUTO_FREE char *path = files_join(n->run, "log");
    AUTO_FREE char *log = NULL;
    const char *line;
    size_t len;

    snprintf(n->problem, sizeof(n->problem), "its yado-net has ended");
    if (!path || files_read(path, LOG_MAX, &log, &len, NULL) < 0)
        return;
    while (len && log[len - 1] == '\n')
        log[--len] = '\0';
    line = strrchr(log, '\n') ? strrchr(log, '\n') + 1 : log;
    if (!strncmp(line, PROGRAM ": ", sizeof(PROGRAM) + 1))
        line += sizeof(PROGRAM) + 1;
    if (*line)
        snprintf(n->problem, sizeof(n->problem), "%.250s", line);
}

static void ended(struct network_process *p)
{
    p->channel = channel_close(p->channel);
    p->asked = false;
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
    if (!p->network)
        return;
    if (!p->ending) {
        read_problem(p->network);
        set_state(p->network, NETWORK_STATE_FAILED);
    }
    uv_timer_start(&p->timer, start_again, p->ending ? 1 : p->again_ms, 0);
    p->again_ms = MIN(p->again_ms * 2, AGAIN_LAST_MS);
    p->ending = false;
}

static void on_child_exit(uv_process_t *child, int64_t status, int sig)
{
    struct network_process *p = child->data;

    (void)status;
    (void)sig;
    p->is_child = false;
    ended(p);
    close_handle((uv_handle_t *)child);
}

/* ---- its control socket ---- */

static void on_open(void *ctx, int status)
{
    struct network_process *p = ctx;
    pid_t pid;

    if (status < 0) {
        p->channel = channel_close(p->channel);
        uv_timer_start(&p->timer,
                       p->is_child && p->tries < CONNECT_TRIES ? try_connect : start_again,
                       CONNECT_MS, 0);
        return;
    }
    if (channel_peer_pid(p->channel, &pid) == 0)
        p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    ask_status(&p->timer);
    uv_timer_start(&p->timer, ask_status, STATUS_MS, STATUS_MS);
}

static void on_event(void *ctx, const char *name, json_t *data)
{
    (void)ctx;
    (void)name;
    (void)data;
}

static void on_closed(void *ctx)
{
    struct network_process *p = ctx;

    if (p->is_child)
        p->channel = channel_close(p->channel); /* its exit comes */
    else
        ended(p);
}

static void try_connect(uv_timer_t *timer)
{
    struct network_process *p = timer->data;
    struct channel_peer peer = {on_open, on_event, on_closed, p};
    char path[64];

    p->tries++;
    /* A UNIX address has 107 characters; the folder's path may have more. */
    snprintf(path, sizeof(path), "/proc/self/fd/%d/control", p->run_fd);
    if (channel_open(p->loop, path, &peer, &p->channel) < 0)
        on_open(p, -ENOMEM);
}

/* ---- its start ---- */

static int write_definition(struct network *n, struct error *err)
{
    AUTO_FREE char *path = files_join(n->run, "net.json");
    json_t *plain = json_deep_copy(n->definition);
    int r = path && plain ? 0 : -ENOMEM;

    json_object_del(plain, "server");
    if (r == 0)
        r = files_replace_json(path, plain, 0600, err);
    json_decref(plain);
    return r;
}

static int spawn(struct network_process *p, struct error *err)
{
    struct network *n = p->network;
    AUTO_FREE char *program = files_join(n->server->programs, PROGRAM);
    AUTO_FREE char *leases = files_join(n->folder, "leases.json");
    AUTO_FREE char *log_path = files_join(n->run, "log");
    AUTO_FD int log =
        log_path ? open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    AUTO_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char *args[] = {program,     "--definition", "net.json", "--listen", "machines",
                    "--control", "unix=control", "--leases", leases,     NULL};
    char *env[] = {"PATH=/usr/bin:/bin", NULL};
    uv_stdio_container_t stdio[] = {{.flags = UV_INHERIT_FD, .data.fd = null},
                                    {.flags = UV_INHERIT_FD, .data.fd = log},
                                    {.flags = UV_INHERIT_FD, .data.fd = log}};
    uv_process_options_t options = {.file = program,
                                    .args = args,
                                    .cwd = n->run,
                                    .env = env,
                                    .flags = UV_PROCESS_DETACHED,
                                    .stdio = stdio,
                                    .stdio_count = ARRAY_LEN(stdio),
                                    .exit_cb = on_child_exit};
    int r;

    if (!program || !leases || log < 0 || null < 0)
        return error_set(err, -EIO, "%s cannot be written", n->run);
    p->child.data = p;
    r = uv_spawn(p->loop, &p->child, &options);
    p->handles++; /* libuv wants the handle closed in any case */
    if (r < 0) {
        close_handle((uv_handle_t *)&p->child);
        return error_set(err, r, "%s cannot be started: %s; install it beside yadod", program,
                         uv_strerror(r));
    }
    p->is_child = true;
    uv_unref((uv_handle_t *)&p->child);
    return 0;
}

static void start_again(uv_timer_t *timer)
{
    struct network_process *p = timer->data;
    struct network *n = p->network;
    struct error err = {"no memory"};

    if (!n || p->is_child || uv_is_closing((uv_handle_t *)timer))
        return;
    p->tries = 0;
    if (n->state != NETWORK_STATE_FAILED)
        set_state(n, NETWORK_STATE_STARTING);
    if (write_definition(n, &err) < 0 || spawn(p, &err) < 0) {
        snprintf(n->problem, sizeof(n->problem), "%.250s", err.text);
        set_state(n, NETWORK_STATE_FAILED);
        uv_timer_start(timer, start_again, p->again_ms, 0);
        p->again_ms = MIN(p->again_ms * 2, AGAIN_LAST_MS);
        return;
    }
    uv_timer_start(timer, try_connect, CONNECT_MS, 0);
}

void network_process_start(struct network *n)
{
    struct network_process *p = calloc(1, sizeof(*p));
    struct error err = {"no memory"};

    n->state = NETWORK_STATE_STARTING;
    if (!p || files_folder(n->run, 0700, &err) < 0) {
        free(p);
        snprintf(n->problem, sizeof(n->problem), "%.250s", err.text);
        set_state(n, NETWORK_STATE_FAILED);
        return;
    }
    p->network = n;
    p->loop = n->server->loop;
    p->pidfd = -1;
    p->run_fd = open(n->run, O_PATH | O_DIRECTORY | O_CLOEXEC);
    p->again_ms = AGAIN_FIRST_MS;
    uv_timer_init(p->loop, &p->timer);
    p->timer.data = p;
    p->handles = 1;
    n->process = p;
    /* It may run since before this server; where nobody answers it is started. */
    try_connect(&p->timer);
}

/* ---- changes ---- */

static void terminate(struct network_process *p)
{
    if (p->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGTERM, NULL, 0);
    else if (p->is_child)
        uv_process_kill(&p->child, SIGTERM);
}

static void on_configured(void *ctx, int r, json_t *value, const char *message)
{
    struct network_process *p = ctx;

    (void)value;
    (void)message;
    if (r == 0 || !p->network)
        return;
    /* The way out is another: begin anew; machines find it again by themselves. */
    p->ending = true;
    terminate(p);
}

void network_process_configure(struct network *n)
{
    json_t *plain = json_deep_copy(n->definition);
    struct network_process *p = n->process;
    struct error err;

    json_object_del(plain, "server");
    if (!p)
        network_process_start(n);
    else if (!p->channel)
        uv_timer_start(&p->timer, p->is_child ? try_connect : start_again, 1, 0);
    else if (write_definition(n, &err) == 0)
        channel_call(p->channel, "configure", json_pack("{s:O}", "definition", plain), ANSWER_MS,
                     on_configured, p);
    json_decref(plain);
}

void network_process_forget(struct network *n)
{
    struct network_process *p = n->process;

    n->process = NULL;
    if (!p)
        return;
    p->network = NULL;
    p->channel = channel_close(p->channel);
    if (p->is_child) {
        p->is_child = false;
        close_handle((uv_handle_t *)&p->child);
    }
    close_handle((uv_handle_t *)&p->timer);
}

void network_process_end(struct network *n)
{
    static const char *const names[] = {"net.json", "log", "machines", "control"};

    if (n->process)
        terminate(n->process);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        AUTO_FREE char *path = files_join(n->run, names[i]);

        if (path)
            unlink(path);
    }
    rmdir(n->run);
}

int network_process_call(struct network *n, const char *command, json_t *arguments,
                         channel_done *done, void *ctx)
{
    if (!n->process || !n->process->channel || n->state != NETWORK_STATE_RUNNING) {
        json_decref(arguments);
        return -EPIPE;
    }
    return channel_call(n->process->channel, command, arguments, ANSWER_MS, done, ctx);
}
