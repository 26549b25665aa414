/* SPDX-License-Identifier: GPL-2.0-or-later */
#define LOG_ROOM "network"
#include "network/network.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/log.h"
#include "net/link.h"
#include "net/mac.h"
#include "net/packet.h"
#include "net/remote.h"

#define CLIENTS_MAX 256u
#define CAPTURE_BYTES MIB(64)

/* A machine's adapter. Freed when both handles are closed. */
struct client {
    struct network *network;
    struct client *next;
    char name[REMOTE_NAME_BYTES];
    uint8_t mac[NET_MAC_BYTES];
    int fd;
    struct link link;
    struct switch_port *port; /* NULL: it has not said hello */
    uv_poll_t socket_poll, event_poll;
    unsigned open; /* handles */
};

struct network {
    uv_loop_t *loop;
    struct network_definition def;
    pthread_mutex_t lock;
    struct clock *clock;
    struct net_switch *sw;
    struct nat *nat;
    struct tap *tap;
    struct switch_port *uplink;
    struct pcapng *capture;
    char *path;
    int listen_fd;
    uv_poll_t listen_poll;
    uv_timer_t timer;
    uv_async_t timer_moved;
    unsigned open;
    struct client *clients;
    unsigned client_count;
};

static void network_lock(void *ctx)
{
    pthread_mutex_lock(&((struct network *)ctx)->lock);
}

static void network_unlock(void *ctx)
{
    pthread_mutex_unlock(&((struct network *)ctx)->lock);
}

/* ---- timers of the switch ---- */

static void on_timer(uv_timer_t *handle);

static void run_timers(struct network *n)
{
    uint64_t next, now;

    network_lock(n);
    next = clock_run_timers(n->clock);
    now = clock_now_ns(n->clock);
    network_unlock(n);
    if (next != CLOCK_NEVER)
        uv_timer_start(&n->timer, on_timer, next > now ? (next - now) / 1000000 + 1 : 0, 0);
}

static void on_timer(uv_timer_t *handle)
{
    run_timers(handle->data);
}

static void on_timer_moved(uv_async_t *handle)
{
    run_timers(handle->data);
}

/* Maybe by the thread of the way out. */
static void timer_moved(void *ctx)
{
    uv_async_send(&((struct network *)ctx)->timer_moved);
}

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

static void client_close(struct client *c)
{
    struct client **at = &c->network->clients;

    while (*at && *at != c)
        at = &(*at)->next;
    if (!*at)
        return; /* it is being closed */
    *at = c->next;
    network_lock(c->network);
    if (c->port)
        switch_port_remove(c->port);
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

static int plug_in(struct client *c)
{
    struct network *n = c->network;
    struct switch_config config = network_port_config(&n->def, c->mac, c->name);
    struct link_fds fds;
    int r = link_make(&fds);

    if (r < 0)
        return r;
    r = send_welcome(c, &fds, 0, "");
    if (r < 0) {
        link_fds_done(&fds);
        return r;
    }
    network_lock(n);
    r = switch_port_add(n->sw, &config, &c->port);
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
        switch_port_remove(c->port);
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
    else if (plug_in(c) == 0)
        return;
    client_close(c);
}

static void on_connect(uv_poll_t *handle, int status, int events)
{
    struct network *n = handle->data;
    int fd = accept4(n->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c;

    (void)status;
    (void)events;
    if (fd < 0)
        return;
    c = n->client_count < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
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

static int listen_at(const char *path, int *ret_fd, struct error *err)
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
    *ret_fd = take_fd(&fd);
    return 0;
}

/* ---- the way out ---- */

static int uplink_open(struct network *n, struct error *err)
{
    const struct net_lock cable = {network_lock, network_unlock, n};
    const struct network_definition *def = &n->def;
    struct nat_config nat = {.forward_count = def->forward_count,
                             .tftp = def->tftp,
                             .boot_file = def->boot_file,
                             .isolated = def->isolated};

    memcpy(nat.forwards, def->forwards, sizeof(nat.forwards));
    switch (def->kind) {
    case NETWORK_NAT:
        return nat_new(&nat, &cable, &n->nat, err);
    case NETWORK_HOST_ONLY:
        return tap_new(def->interface, &cable, &n->tap, err);
    case NETWORK_EXTERNAL:
        return packet_new(def->interface, &cable, &n->tap, err);
    case NETWORK_INTERNAL:
        break;
    }
    return 0;
}

/* The host's side may use any address; it is in the network's own VLAN, or carries all of them. */
static int uplink_plug(struct network *n, struct error *err)
{
    struct switch_config config = n->def.defaults;
    int r;

    if (!n->nat && !n->tap)
        return 0;
    config.any_source = true;
    config.rate_bytes = 0;
    snprintf(config.name, sizeof(config.name), "uplink");
    r = switch_port_add(n->sw, &config, &n->uplink);
    if (r < 0)
        return r;
    network_lock(n);
    net_connect(n->nat ? nat_port(n->nat) : tap_port(n->tap), switch_port_plug(n->uplink));
    network_unlock(n);
    return n->nat ? nat_start(n->nat, err) : tap_start(n->tap, err);
}

/* ---- life ---- */

int network_new(uv_loop_t *loop, struct network_definition *def, const char *path,
                struct network **ret_network, struct error *err)
{
    struct network *n = calloc(1, sizeof(*n));
    int r;

    if (!n)
        return -ENOMEM;
    n->loop = loop;
    n->def = *def;
    *def = (struct network_definition){0};
    n->listen_fd = -1;
    pthread_mutex_init(&n->lock, NULL);
    if ((r = clock_new(&n->clock)) < 0 || (r = switch_new(n->clock, &n->sw)) < 0)
        goto fail;
    if ((r = uplink_open(n, err)) < 0 || (r = listen_at(path, &n->listen_fd, err)) < 0)
        goto fail;
    n->path = strdup(path);
    uv_timer_init(loop, &n->timer);
    uv_async_init(loop, &n->timer_moved, on_timer_moved);
    n->open = 2;
    n->timer.data = n->timer_moved.data = n;
    clock_set_notify(n->clock, timer_moved, n);
    clock_start(n->clock);
    r = uv_poll_init(loop, &n->listen_poll, n->listen_fd);
    if (r < 0)
        goto fail;
    n->open++;
    n->listen_poll.data = n;
    uv_poll_start(&n->listen_poll, UV_READABLE, on_connect);
    r = n->path ? uplink_plug(n, err) : -ENOMEM;
    if (r < 0)
        goto fail;
    *ret_network = n;
    return 0;
fail:
    network_free(n);
    return r;
}

static void on_closed(uv_handle_t *handle)
{
    ((struct network *)handle->data)->open--;
}

struct network *network_free(struct network *n)
{
    if (!n)
        return NULL;
    while (n->clients)
        client_close(n->clients);
    if (n->open > 2)
        uv_close((uv_handle_t *)&n->listen_poll, on_closed);
    n->nat = nat_free(n->nat);
    n->tap = tap_free(n->tap);
    if (n->open) {
        uv_close((uv_handle_t *)&n->timer, on_closed);
        uv_close((uv_handle_t *)&n->timer_moved, on_closed);
    }
    while (n->open || n->client_count)
        uv_run(n->loop, UV_RUN_NOWAIT);
    switch_free(n->sw);
    pcapng_free(n->capture);
    clock_free(n->clock);
    if (n->listen_fd >= 0)
        close(n->listen_fd);
    if (n->path)
        unlink(n->path);
    free(n->path);
    network_definition_done(&n->def);
    pthread_mutex_destroy(&n->lock);
    free(n);
    return NULL;
}

/* ---- commands ---- */

static json_t *counters(const struct net_counters *c)
{
    return json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)c->frames, "bytes",
                     (json_int_t)c->bytes, "drops", (json_int_t)c->drops);
}

static json_t *port_status(const char *name, const char *mac, const struct switch_port *port)
{
    struct switch_counters c;

    switch_port_counters(port, &c);
    return json_pack("{s:s, s:s*, s:o, s:o, s:I, s:I, s:I}", "name", name, "mac", mac, "in",
                     counters(&c.in), "out", counters(&c.out), "spoofed", (json_int_t)c.spoofed,
                     "vlan-drops", (json_int_t)c.vlan_drops, "full-drops",
                     (json_int_t)c.full_drops);
}

static int cmd_status(struct network *n, json_t **ret_value)
{
    json_t *ports = json_array();
    char mac[MAC_TEXT_BYTES];

    if (n->uplink)
        json_array_append_new(ports, port_status("uplink", NULL, n->uplink));
    for (const struct client *c = n->clients; c; c = c->next)
        if (c->port)
            json_array_append_new(ports, port_status(c->name, mac_format(c->mac, mac), c->port));
    *ret_value = json_pack("{s:s, s:s, s:I, s:o}", "name", n->def.name, "kind",
                           network_kind_name(n->def.kind), "addresses",
                           (json_int_t)switch_addresses(n->sw), "ports", ports);
    return 0;
}

static int cmd_port(struct network *n, json_t *arguments, struct error *err)
{
    struct switch_config config = {0};
    const char *text = json_string_value(json_object_get(arguments, "mac"));
    uint8_t mac[NET_MAC_BYTES];
    int r = -ENOENT;

    if (!text || mac_parse(text, mac) < 0)
        return error_set(err, -EINVAL, "mac: give the address of the adapter");
    for (struct client *c = n->clients; c; c = c->next) {
        if (!c->port || memcmp(c->mac, mac, sizeof(mac)))
            continue;
        config = network_port_config(&n->def, c->mac, c->name);
        r = network_port_parse(arguments, &config, err);
        if (r < 0 || (r = switch_port_configure(c->port, &config)) < 0)
            return r;
    }
    return r < 0 ? error_set(err, r, "mac: %s is not plugged in", text) : 0;
}

static int cmd_capture(struct network *n, json_t *arguments, struct error *err)
{
    const char *path = json_string_value(json_object_get(arguments, "path"));
    struct pcapng *file = NULL;
    int fd, r;

    if (!path)
        return error_set(err, -EINVAL, "path: name a file that is not there yet");
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    r = pcapng_new(fd, CAPTURE_BYTES, 0, &file);
    if (r < 0)
        return error_set(err, r, "%s: %s", path, strerror(-r));
    switch_capture(n->sw, NULL, file);
    pcapng_free(n->capture);
    n->capture = file;
    return 0;
}

static int cmd_capture_stop(struct network *n, json_t **ret_value)
{
    uint64_t missed = n->capture ? pcapng_missed(n->capture) : 0;

    switch_capture(n->sw, NULL, NULL);
    n->capture = pcapng_free(n->capture);
    *ret_value = json_pack("{s:I}", "missed", (json_int_t)missed);
    return 0;
}

int network_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                    struct error *err)
{
    struct network *n = ctx;
    int r = -ENOSYS;

    network_lock(n);
    if (!strcmp(name, "status"))
        r = cmd_status(n, ret_value);
    else if (!strcmp(name, "port"))
        r = cmd_port(n, arguments, err);
    else if (!strcmp(name, "capture"))
        r = cmd_capture(n, arguments, err);
    else if (!strcmp(name, "capture-stop"))
        r = cmd_capture_stop(n, ret_value);
    network_unlock(n);
    if (r == -ENOSYS)
        error_set(err, r, "'%.64s' is not a command; yado-net(1) lists them", name);
    return r;
}
