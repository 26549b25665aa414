/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "network"
#include "net/remote.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/link.h"

#define ANSWER_MS 5000
#define AGAIN_MS 500
#define DIAL_MS 50

struct remote {
    char *path;
    struct remote_hello hello;
    struct net_lock cable;
    struct link link;
    int socket, quit_fd, epoll_fd;
    pthread_t thread;
    bool started;
    atomic_bool quit;
};

static int receive_welcome(int fd, struct link_fds *ret_fds, struct error *err)
{
    struct remote_welcome w = {0};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control;
    struct iovec iov = {&w, sizeof(w)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct link_fds fds = {-1, {-1, -1}};
    struct cmsghdr *c;
    ssize_t n;

    if (poll(&p, 1, ANSWER_MS) <= 0)
        return error_set(err, -ETIMEDOUT, "the network does not answer");
    n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
    c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(3 * sizeof(int)))
        memcpy(&fds, CMSG_DATA(c), sizeof(fds));
    w.text[REMOTE_TEXT_BYTES - 1] = '\0';
    if (n != sizeof(w) || w.magic != REMOTE_MAGIC || w.version != REMOTE_VERSION ||
        (w.error == 0 && fds.memory < 0)) {
        link_fds_done(&fds);
        return error_set(err, -EPROTO, "not the socket of a yado-net of this version");
    }
    if (w.error < 0) {
        link_fds_done(&fds);
        return error_set(err, w.error, "%s", w.text);
    }
    *ret_fds = fds;
    return 0;
}

/* A connected socket and the link's descriptors. */
static int dial(struct remote *remote, int *ret_socket, struct link_fds *ret_fds, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int r;

    if (strlen(remote->path) >= sizeof(addr.sun_path))
        return error_set(err, -ENAMETOOLONG, "the path is longer than %zu bytes",
                         sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, remote->path, strlen(remote->path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return error_set(err, -errno, "%s; is yado-net running there?", strerror(errno));
    if (send(fd, &remote->hello, sizeof(remote->hello), MSG_NOSIGNAL) < 0)
        return error_set(err, -errno, "%s", strerror(errno));
    r = receive_welcome(fd, ret_fds, err);
    if (r == 0)
        *ret_socket = take_fd(&fd);
    return r;
}

/* What is about to start makes its socket soon, or listens at the one that is there. */
static int dial_patiently(struct remote *remote, unsigned wait_ms, int *ret_socket,
                          struct link_fds *ret_fds, struct error *err)
{
    int r = dial(remote, ret_socket, ret_fds, err);

    while ((r == -ENOENT || r == -ECONNREFUSED) && wait_ms >= DIAL_MS) {
        poll(NULL, 0, DIAL_MS);
        wait_ms -= DIAL_MS;
        r = dial(remote, ret_socket, ret_fds, err);
    }
    return r;
}

/* ---- what is waited for ---- */

static int add(const struct remote *remote, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    return epoll_ctl(remote->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

/* By who sleeps under the lock; a link that is broken is left to the thread, which sees it, too. */
static void on_ready(void *ctx)
{
    struct remote *remote = ctx;

    if (link_pump(&remote->link) < 0)
        shutdown(remote->socket, SHUT_RDWR);
}

/* Locked. Before the thread runs, or by it. */
static int listen_all(struct remote *remote)
{
    int event = link_event_fd(&remote->link);
    int r = add(remote, remote->socket, EPOLLIN);

    if (remote->cable.watch)
        remote->cable.watch(remote->cable.ctx, event, on_ready, remote);
    return r < 0 ? r : add(remote, event, EPOLLIN | EPOLLEXCLUSIVE);
}

/* The other process has the same events: closing takes them from no list. Locked. */
static void listen_end(struct remote *remote)
{
    int event = link_event_fd(&remote->link);

    if (event < 0)
        return;
    if (remote->cable.unwatch)
        remote->cable.unwatch(remote->cable.ctx, event);
    epoll_ctl(remote->epoll_fd, EPOLL_CTL_DEL, event, NULL);
    epoll_ctl(remote->epoll_fd, EPOLL_CTL_DEL, remote->socket, NULL);
}

static int attach(struct remote *remote, int fd, const struct link_fds *fds)
{
    int r;

    net_lock(&remote->cable);
    r = link_attach(&remote->link, fds, 1);
    net_unlock(&remote->cable);
    if (r < 0)
        close(fd);
    else
        remote->socket = fd;
    return r;
}

static void detach(struct remote *remote)
{
    net_lock(&remote->cable);
    listen_end(remote);
    link_detach(&remote->link);
    net_unlock(&remote->cable);
    if (remote->socket >= 0)
        close(remote->socket);
    remote->socket = -1;
}

static int listen_locked(struct remote *remote)
{
    int r;

    net_lock(&remote->cable);
    r = listen_all(remote);
    net_unlock(&remote->cable);
    return r;
}

/* Wait for the next try; then try. */
static void again(struct remote *remote)
{
    struct pollfd p = {.fd = remote->quit_fd, .events = POLLIN};
    struct link_fds fds;
    struct error err;
    int fd = -1;

    if (poll(&p, 1, AGAIN_MS) != 0 || dial(remote, &fd, &fds, &err) < 0 ||
        attach(remote, fd, &fds) < 0)
        return;
    if (listen_locked(remote) < 0)
        detach(remote);
    else
        log_info("%s: connected again", remote->path);
}

static void serve(struct remote *remote)
{
    struct epoll_event events[3];
    int n = epoll_wait(remote->epoll_fd, events, ARRAY_LEN(events), -1), r = 0;
    bool gone = false;

    for (int i = 0; i < n; i++) {
        int fd = events[i].data.fd;

        /* Nothing is said on the socket: when it can be read, it is closed. */
        gone |= fd == remote->socket;
        if (fd == remote->quit_fd || fd == remote->socket)
            continue;
        net_lock(&remote->cable);
        r = link_pump(&remote->link);
        net_unlock(&remote->cable);
    }
    if (gone || r < 0) {
        log_warning("%s: the network is gone", remote->path);
        detach(remote);
    }
}

static void *thread_main(void *ctx)
{
    struct remote *remote = ctx;

    while (!atomic_load(&remote->quit)) {
        if (remote->socket < 0)
            again(remote);
        else
            serve(remote);
    }
    return NULL;
}

int remote_new(const char *path, const char *name, const uint8_t *mac, const struct net_lock *lock,
               unsigned wait_ms, struct remote **ret_remote, struct error *err)
{
    struct remote *remote = calloc(1, sizeof(*remote));
    struct link_fds fds;
    int fd = -1, r;

    if (!remote)
        return -ENOMEM;
    remote->socket = -1;
    remote->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    remote->cable = *lock;
    link_init(&remote->link);
    remote->hello = (struct remote_hello){.magic = REMOTE_MAGIC, .version = REMOTE_VERSION};
    memcpy(remote->hello.mac, mac, NET_MAC_BYTES);
    strncpy(remote->hello.name, name, REMOTE_NAME_BYTES - 1);
    remote->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    remote->path = strdup(path);
    r = remote->path && remote->quit_fd >= 0 && remote->epoll_fd >= 0 ? 0 : -ENOMEM;
    if (r == 0)
        r = add(remote, remote->quit_fd, EPOLLIN);
    if (r == 0)
        r = dial_patiently(remote, wait_ms, &fd, &fds, err);
    if (r == 0)
        r = attach(remote, fd, &fds);
    if (r < 0) {
        remote_free(remote);
        return error_prefix(err, r, "network=%s", path);
    }
    *ret_remote = remote;
    return 0;
}

struct remote *remote_free(struct remote *remote)
{
    uint64_t one = 1;

    if (!remote)
        return NULL;
    atomic_store(&remote->quit, true);
    if (remote->started && write(remote->quit_fd, &one, sizeof(one)) == sizeof(one))
        pthread_join(remote->thread, NULL);
    net_lock(&remote->cable);
    net_disconnect(&remote->link.port);
    net_unlock(&remote->cable);
    detach(remote);
    if (remote->quit_fd >= 0)
        close(remote->quit_fd);
    if (remote->epoll_fd >= 0)
        close(remote->epoll_fd);
    free(remote->path);
    free(remote);
    return NULL;
}

int remote_start(struct remote *remote, struct error *err)
{
    sigset_t all, before;
    int r = listen_locked(remote);

    if (r < 0)
        return error_set(err, r, "events of the network: %s", strerror(-r));
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&remote->thread, NULL, thread_main, remote);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return error_set(err, -r, "no thread for the network: %s", strerror(r));
    remote->started = true;
    return 0;
}

struct net_port *remote_port(struct remote *remote)
{
    return &remote->link.port;
}
