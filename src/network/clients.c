/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "network"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/mac.h"
#include "network/network_priv.h"

#define CLIENTS_MAX 256u
/* Of one process: a machine has eight adapters, each twice while its cable is moved. */
#define CLIENTS_PROCESS_MAX 24u

/* ---- machines ---- */

static void on_client_closed(uv_handle_t *handle)
{
    struct client *c = handle->data;

    if (--c->open)
        return;
    network_lock(c->network);
    link_detach(&c->link);
    network_unlock(c->network);
    close(c->fd);
    c->network->client_count--;
    free(c);
}

/* How many are plugged in with this address. */
static unsigned clients_same(const struct network *n, const uint8_t *mac)
{
    unsigned count = 0;

    for (const struct client *c = n->clients; c; c = c->next)
        count += c->port && !memcmp(c->mac, mac, NET_MAC_BYTES);
    return count;
}

/* Its port goes; what it has sent and was sent stays in the network's sum. */
static void leave(struct client *c)
{
    struct network *n = c->network;
    struct switch_counters counters;

    switch_port_counters(c->port, &counters);
    network_sum(&n->gone, &counters);
    switch_port_remove(c->port);
    if (n->services && !clients_same(n, c->mac))
        services_machine_gone(n->services, c->mac);
}

void client_close(struct client *c)
{
    struct client **at = &c->network->clients;

    while (*at && *at != c)
        at = &(*at)->next;
    if (!*at)
        return; /* it is being closed */
    *at = c->next;
    network_lock(c->network);
    if (c->port)
        leave(c);
    network_unlock(c->network);
    if (c->port)
        uv_close((uv_handle_t *)&c->event_poll, on_client_closed);
    c->port = NULL;
    uv_close((uv_handle_t *)&c->socket_poll, on_client_closed);
}

static void on_event(uv_poll_t *handle, int status, int events)
{
    struct client *c = handle->data;
    int r;

    (void)status;
    (void)events;
    network_lock(c->network);
    r = link_pump(&c->link);
    network_unlock(c->network);
    if (r < 0) {
        log_warning("%s: the machine breaks the rules of its cable", c->name);
        client_close(c);
    }
}

static int send_welcome(struct client *c, const struct link_fds *fds, int error, const char *text)
{
    struct remote_welcome w = {.magic = REMOTE_MAGIC, .version = REMOTE_VERSION, .error = error};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(3 * sizeof(int))];
    } control = {0};
    struct iovec iov = {&w, sizeof(w)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    strncpy(w.text, text, sizeof(w.text) - 1);
    if (fds) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(3 * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, sizeof(*fds));
    }
    return sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static bool same_process(int a, int b)
{
    struct ucred x = {0}, y = {0};
    socklen_t len = sizeof(x);

    return getsockopt(a, SOL_SOCKET, SO_PEERCRED, &x, &len) == 0 &&
           getsockopt(b, SOL_SOCKET, SO_PEERCRED, &y, &len) == 0 && x.pid == y.pid;
}

/* Is there a place for who connects at fd? One process does not take those of all others. */
static bool has_place(const struct network *n, int fd)
{
    unsigned own = 0;

    if (n->client_count >= CLIENTS_MAX)
        return false;
    for (const struct client *c = n->clients; c; c = c->next)
        own += same_process(c->fd, fd);
    return own < CLIENTS_PROCESS_MAX;
}

/*
 * One address, one machine: a process that a guest has taken over does not become another's machine.
 * The same process may have two, while it moves a cable; one that has ended has none.
 */
static bool is_taken(const struct client *c)
{
    struct client *following;

    for (struct client *other = c->network->clients; other; other = following) {
        char byte;

        following = other->next;
        if (other == c || !other->port || memcmp(other->mac, c->mac, NET_MAC_BYTES) ||
            same_process(other->fd, c->fd))
            continue;
        if (recv(other->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
            return true;
        client_close(other);
    }
    return false;
}

static int plug_in(struct client *c)
{
    struct network *n = c->network;
    struct link_fds fds;
    int r = link_make(&fds);

    if (r < 0)
        return r;
    r = send_welcome(c, &fds, 0, "");
    if (r < 0) {
        link_fds_done(&fds);
        return r;
    }
    c->config = network_port_config(&n->def, c->mac, c->name);
    network_lock(n);
    r = switch_port_add(n->sw, &c->config, &c->port);
    if (r == 0 && n->services)
        services_machine(n->services, c->mac, c->name);
    if (r == 0)
        net_connect(&c->link.port, switch_port_plug(c->port));
    if (r == 0)
        r = link_attach(&c->link, &fds, 0);
    else
        link_fds_done(&fds);
    network_unlock(n);
    if (r == 0 && (r = uv_poll_init(n->loop, &c->event_poll, link_event_fd(&c->link))) == 0) {
        c->open++;
        c->event_poll.data = c;
        uv_poll_start(&c->event_poll, UV_READABLE, on_event);
    } else if (c->port) {
        network_lock(n);
        leave(c);
        network_unlock(n);
        c->port = NULL;
    }
    return r;
}

/* The hello, or the end. */
static void on_client(uv_poll_t *handle, int status, int events)
{
    struct client *c = handle->data;
    struct remote_hello hello;
    ssize_t n = recv(c->fd, &hello, sizeof(hello), MSG_DONTWAIT);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && status >= 0)
        return;
    if (c->port || n != sizeof(hello) || hello.magic != REMOTE_MAGIC) {
        client_close(c);
        return;
    }
    hello.name[sizeof(hello.name) - 1] = '\0';
    memcpy(c->name, hello.name, sizeof(c->name));
    memcpy(c->mac, hello.mac, sizeof(c->mac));
    if (hello.version != REMOTE_VERSION)
        send_welcome(c, NULL, -EPROTO, "this yado-net is of another version");
    else if (!mac_is_single(c->mac))
        send_welcome(c, NULL, -EINVAL, "the adapter's address is not one of an adapter");
    else if (is_taken(c))
        send_welcome(c, NULL, -EADDRINUSE, "another machine is plugged in with this address");
    else if (plug_in(c) == 0)
        return;
    client_close(c);
}

void clients_accept(uv_poll_t *handle, int status, int events)
{
    struct network *n = handle->data;
    int fd = accept4(n->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c;

    (void)status;
    (void)events;
    if (fd < 0)
        return;
    c = has_place(n, fd) ? calloc(1, sizeof(*c)) : NULL;
    if (!c || uv_poll_init(n->loop, &c->socket_poll, fd) < 0) {
        log_warning("%s: a machine is turned away: no room", n->def.name);
        close(fd);
        free(c);
        return;
    }
    c->network = n;
    c->fd = fd;
    c->open = 1;
    c->socket_poll.data = c;
    link_init(&c->link);
    c->next = n->clients;
    n->clients = c;
    n->client_count++;
    uv_poll_start(&c->socket_poll, UV_READABLE, on_client);
}

int clients_listen(struct network *n, const char *path, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    AUTO_FD int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int probe;

    if (strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, -ENAMETOOLONG, "--listen: %s: longer than %zu bytes", path,
                         sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    /* What a dead program left there is removed; one that answers stays. */
    probe = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&addr, sizeof(addr));
    if (probe == 0)
        return error_set(err, -EADDRINUSE, "--listen: %s: a network is there already", path);
    if (fd >= 0 && errno == ECONNREFUSED)
        unlink(path);
    if (fd < 0 || fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        listen(fd, 16) < 0)
        return error_set(err, -errno, "--listen: %s: %s", path, strerror(errno));
    n->listen_fd = take_fd(&fd);
    return 0;
}
