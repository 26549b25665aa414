/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado disk serve`: a disk as an NBD server on a UNIX socket, so that the host can look into it
 * (nbdfuse, nbd-client, qemu-img, …); with its changes kept apart if that is wished.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "block/nbd.h"
#include "cli/disk.h"

#define CLIENTS_MAX 16

struct client {
    struct server *server;
    pthread_t thread;
    int fd; /* -1: nobody */
    bool joinable, done;
};

struct server {
    struct session session;
    const char *socket;
    bool once;
    int listener, wake[2];
    pthread_mutex_t lock;
    struct client clients[CLIENTS_MAX];
};

static void *client_main(void *arg)
{
    struct client *client = arg;
    struct server *s = client->server;
    nbd_serve(s->session.blk, client->fd);
    pthread_mutex_lock(&s->lock);
    close(client->fd);
    client->fd = -1;
    client->done = true;
    pthread_mutex_unlock(&s->lock);
    if (write(s->wake[1], "", 1) < 0)
        fprintf(stderr, "yado disk serve: %s\n", strerror(errno));
    return NULL;
}

/* Take what has left out of the table; true when there was one. */
static bool collect(struct server *s)
{
    bool any = false;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &s->clients[i];
        pthread_mutex_lock(&s->lock);
        bool done = client->joinable && client->done;
        pthread_mutex_unlock(&s->lock);
        if (!done)
            continue;
        pthread_join(client->thread, NULL);
        client->joinable = false;
        any = true;
    }
    return any;
}

static void take_client(struct server *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    for (unsigned i = 0; fd >= 0 && i < CLIENTS_MAX; i++) {
        struct client *client = &s->clients[i];
        if (client->joinable)
            continue;
        *client = (struct client){.server = s, .fd = fd};
        client->joinable = pthread_create(&client->thread, NULL, client_main, client) == 0;
        if (client->joinable)
            return;
        break;
    }
    if (fd >= 0)
        close(fd);
}

/* Until a signal comes, or with --once the first client has left. */
static void loop(struct server *s, int signals)
{
    struct pollfd fds[3] = {
        {s->listener, POLLIN, 0}, {signals, POLLIN, 0}, {s->wake[0], POLLIN, 0}};
    for (;;) {
        char byte;
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return;
        if (fds[1].revents)
            return;
        if (fds[2].revents && read(s->wake[0], &byte, 1) == 1 && collect(s) && s->once)
            return;
        if (fds[0].revents)
            take_client(s);
    }
}

static void end_clients(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (s->clients[i].joinable && s->clients[i].fd >= 0)
            shutdown(s->clients[i].fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (s->clients[i].joinable)
            pthread_join(s->clients[i].thread, NULL);
}

static int listen_at(struct server *s, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(s->socket) >= sizeof(address.sun_path))
        return error_set(err, -ENAMETOOLONG, "%s: the name is too long for a socket", s->socket);
    memcpy(address.sun_path, s->socket, strlen(s->socket) + 1);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(s->listener, CLIENTS_MAX) < 0)
        return error_set(err, -errno, "%s: %s", s->socket, strerror(errno));
    return 0;
}

static int serve(struct server *s, struct error *err)
{
    sigset_t set;
    AUTO_FD int signals = -1;
    int r = session_open(&s->session, err);
    if (r < 0)
        return r;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (signals < 0 || pipe2(s->wake, O_CLOEXEC) < 0)
        r = error_set(err, -errno, "%s", strerror(errno));
    if (r == 0)
        r = listen_at(s, err);
    if (r == 0) {
        printf("nbd+unix:///?socket=%s\n", s->socket);
        fflush(stdout);
        loop(s, signals);
        end_clients(s);
        unlink(s->socket);
    }
    struct error more = {""};
    int r2 = session_close(&s->session, r < 0 ? &more : err);
    return r < 0 ? r : r2;
}

int disk_serve(int argc, char **argv)
{
    static const struct option options[] = {{"readonly", no_argument, NULL, 'r'},
                                            {"once", no_argument, NULL, 'o'},
                                            {"undo", required_argument, NULL, 'u'},
                                            {"parents", required_argument, NULL, 'p'},
                                            {0}};
    struct server s = {.listener = -1, .wake = {-1, -1}};
    struct error err = {""};
    int c, status = CLI_OK;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1 && status == CLI_OK) {
        if (c == 'r')
            s.session.readonly = true;
        else if (c == 'o')
            s.once = true;
        else if (c == 'u')
            status = session_undo("serve", &s.session, optarg);
        else if (c == 'p')
            status = disk_add_parents("serve", &s.session.folders, optarg);
        else
            return disk_bad_option("serve", argv);
    }
    if (status != CLI_OK)
        return status;
    if (optind + 2 != argc)
        return disk_usage("serve", "give the image and the name of a socket");
    if (s.session.readonly && s.session.undo != UNDO_OFF)
        return disk_usage("serve", "with --readonly there is nothing to undo");
    s.session.path = argv[optind];
    s.socket = argv[optind + 1];
    pthread_mutex_init(&s.lock, NULL);
    int r = serve(&s, &err);
    pthread_mutex_destroy(&s.lock);
    fd_done(&s.listener);
    fd_done(&s.wake[0]);
    fd_done(&s.wake[1]);
    return r < 0 ? disk_error("serve", r, &err) : CLI_OK;
}
