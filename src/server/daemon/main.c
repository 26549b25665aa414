/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yadod: the server. See yadod(8).
 *
 * Exit status: 0 ended by a signal; 1 it cannot run; 2 wrong options.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"
#include "server/daemon/https.h"
#include "server/files.h"
#include "server/rest/http.h"

#define STATE_FOLDER "/var/lib/yado"
#define RUN_FOLDER "/run/yado"
#define KEPT_MEMORY_BYTES (8 << 20)

struct daemon {
    uv_loop_t loop;
    struct server server;
    struct http *http;
    char *socket;
    uv_signal_t signals[2];
};

static void help(void)
{
    puts("Usage: yadod [OPTIONS]\n"
         "\n"
         "Serves the virtual machines of this host.\n"
         "\n"
         "  --foreground       for trying out, as any user: everything lies in --state\n"
         "  --state FOLDER     machines, events and settings (" STATE_FOLDER ")\n"
         "  --run FOLDER       sockets (" RUN_FOLDER "; with --foreground STATE/run)\n"
         "  --verbose          say more on standard error\n"
         "  --version          the version\n"
         "\n"
         "The manual is yadod(8).");
}

/* The folder that this program lies in; yado and yado-vm are beside it. */
static char *program_folder(void)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    char *slash;

    if (len <= 0)
        return NULL;
    path[len] = '\0';
    slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return strdup(path);
}

/* For the server's user, and for the group yado where there is one. */
static int listen_unix(const char *path, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct group *group = geteuid() == 0 ? getgrnam("yado") : NULL;

    if (fd < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, -ENAMETOOLONG, "%s: a socket's path has at most %zu characters", path,
                         sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    unlink(path); /* the lock of the state says that nobody listens there */
    fchmod(fd, 0600);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 128) < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    /* Its mode at bind() is less the umask, which leaves a group nothing. */
    if (group && (chown(path, (uid_t)-1, group->gr_gid) < 0 || chmod(path, 0660) < 0))
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    return take_fd(&fd);
}

/* A socket that systemd has made (sd_listen_fds(3)), or our own. */
static int open_socket(struct daemon *d, struct error *err)
{
    int fd;

    if (sd_listen_fds(1) >= 1)
        fd = SD_LISTEN_FDS_START;
    else
        fd = listen_unix(d->socket, err);
    return fd < 0 ? fd : http_add_unix(d->http, fd, err);
}

static void on_signal(uv_signal_t *handle, int sig)
{
    (void)sig;
    uv_stop(handle->loop);
}

static void apply_https(void *ctx)
{
    struct daemon *d = ctx;

    https_restart(&d->server, d->http);
}

static int run(struct daemon *d, struct error *err)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    int r;

    umask(0077);
    signal(SIGPIPE, SIG_IGN);
    /* Long lists come and go: their memory is not fetched from the kernel and given back each time. */
    mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY_BYTES);
    mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY_BYTES);
    r = server_open(&d->server, err);
    if (r == 0)
        r = http_new(&d->server, &d->http, err);
    if (r == 0)
        r = open_socket(d, err);
    if (r < 0)
        return r;
    https_start(&d->server, d->http);
    d->server.https_apply = apply_https;
    d->server.https_ctx = d;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        uv_signal_init(&d->loop, &d->signals[i]);
        uv_signal_start(&d->signals[i], on_signal, numbers[i]);
    }
    server_start(&d->server);
    sd_notifyf(0, "READY=1\nSTATUS=%u machines", d->server.machine_count);
    uv_run(&d->loop, UV_RUN_DEFAULT);
    sd_notify(0, "STOPPING=1");
    return 0;
}

static void close_handle(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void finish(struct daemon *d)
{
    d->http = http_free(d->http);
    server_close(&d->server);
    for (size_t i = 0; i < ARRAY_LEN(d->signals); i++)
        if (d->signals[i].loop)
            close_handle((uv_handle_t *)&d->signals[i], NULL);
    for (int i = 0; i < 50; i++)
        uv_run(&d->loop, UV_RUN_NOWAIT);
    free(d->server.https_url);
    free(d->server.https_fingerprint);
    free(d->server.https_problem);
    free(d->server.state);
    free(d->server.run);
    free(d->server.programs);
    free(d->socket);
}

static int absolute(char **where, const char *path)
{
    char *copy = NULL, cwd[PATH_MAX];

    if (*path == '/')
        copy = strdup(path);
    else if (!getcwd(cwd, sizeof(cwd)) || asprintf(&copy, "%s/%s", cwd, path) < 0)
        copy = NULL;
    if (!copy)
        return -ENOMEM;
    free(*where);
    *where = copy;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"foreground", no_argument, NULL, 'f'},
                                            {"state", required_argument, NULL, 's'},
                                            {"run", required_argument, NULL, 'r'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct daemon d;
    struct error err = {""};
    bool foreground = false;
    int c, r = 0;

    while ((c = getopt_long(argc, argv, "hV", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            foreground = true;
            break;
        case 's':
            r = absolute(&d.server.state, optarg);
            break;
        case 'r':
            r = absolute(&d.server.run, optarg);
            break;
        case 'v':
            log_set_level(LOG_INFO);
            break;
        case 'V':
            puts("yadod " YADO_VERSION);
            return 0;
        case 'h':
            help();
            return 0;
        default:
            return 2;
        }
    }
    if (optind != argc || (foreground && !d.server.state)) {
        fprintf(stderr,
                optind != argc ? "yadod: '%s' is not an option; see 'yadod --help'\n"
                               : "yadod: --foreground needs --state FOLDER%s\n",
                optind != argc ? argv[optind] : "");
        return 2;
    }
    if (!d.server.state)
        r = absolute(&d.server.state, STATE_FOLDER);
    if (!d.server.run && foreground)
        d.server.run = files_join(d.server.state, "run");
    else if (!d.server.run)
        r = absolute(&d.server.run, RUN_FOLDER);
    d.server.programs = program_folder();
    d.socket = d.server.run ? files_join(d.server.run, "api") : NULL;
    d.server.lock_fd = -1;
    if (r < 0 || !d.socket || !d.server.programs || uv_loop_init(&d.loop) < 0) {
        fputs("yadod: no memory\n", stderr);
        return 1;
    }
    d.server.loop = &d.loop;
    r = run(&d, &err);
    finish(&d);
    if (r < 0)
        fprintf(stderr, "yadod: %s\n", *err.text ? err.text : strerror(-r));
    return r < 0;
}
