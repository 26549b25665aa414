/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Locks: `lock` guards libslirp, which knows no threads; it is taken under the cable's lock, never
 * the other way round. What libslirp sends is queued, and leaves under the cable's lock: at once
 * when the guest's own frame caused it, else by the thread.
 *
 * libslirp cuts TCP at the segment size that the guest offered in its SYN. Here that is raised, as
 * far as libslirp goes, when the guest offered what an Ethernet takes, and each large segment is
 * sent on as one to be cut by the card: RFC 9293, 3.7.1; RFC 6691.
 */
#define LOG_ROOM "nat"
#include "net/nat.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <slirp/libslirp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/offload.h"
#include "net/queue.h"

#define SLIRP_MTU 65520u
#define SEGMENT_OFFERED 32768u /* libslirp's own limit */
#define SEGMENT_PLAIN 1440u    /* of a guest on an Ethernet: 1460, and 1440 for IPv6 */
#define POLLS_MAX 4096u
#define TIMERS_MAX 4u
#define TCP_SYN 2u

struct nat_timer {
    struct nat *nat;
    SlirpTimerId id;
    void *cb_opaque;
    int64_t at_ms; /* -1: not set */
    bool used;
};

struct nat {
    Slirp *slirp;
    struct net_port port;
    struct net_lock cable;
    pthread_mutex_t lock;
    pthread_t thread;
    bool started;
    atomic_bool quit, waiting;
    atomic_bool stalled; /* the guest takes nothing: sockets are left alone */
    int wake_fd;
    struct net_queue queue; /* to the guest */
    struct pollfd *polls;
    unsigned poll_count;
    struct nat_timer timers[TIMERS_MAX];
    uint8_t flat[NET_FRAME_MAX];
};

static void wake(struct nat *nat)
{
    uint64_t one = 1;

    if (!atomic_exchange(&nat->waiting, false))
        return;
    if (write(nat->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

/* ---- what libslirp asks for ---- */

/* A TCP packet larger than a wire takes: to be cut by the card, with the checksum to be made. */
static void offload_large(uint8_t *frame, size_t len, struct net_offload *o)
{
    struct offload_layout l;
    size_t transport_bytes;

    if (len <= NET_MTU + NET_ETHER_BYTES ||
        !offload_parse(frame, MIN(len, (size_t)OFFLOAD_HEADERS_MAX), &l) ||
        l.protocol != IPPROTO_TCP)
        return;
    transport_bytes = len - l.transport;
    be16_put(frame + l.transport + 16,
             (uint16_t)~offload_sum_end(offload_pseudo(frame, &l, transport_bytes)));
    *o = (struct net_offload){
        .flags = NET_NEEDS_CSUM,
        .gso = l.ethertype == 0x0800 ? NET_GSO_TCP4 : NET_GSO_TCP6,
        .header = (uint16_t)l.payload,
        .gso_bytes = (uint16_t)(NET_MTU + NET_ETHER_BYTES - l.payload),
        .csum_start = (uint16_t)l.transport,
        .csum_offset = 16,
    };
}

/* A UDP packet that is larger than the wire takes is sent in fragments: RFC 791, 3.2. */
static void send_fragments(struct nat *nat, uint8_t *frame, size_t len)
{
    uint8_t piece[NET_MTU + NET_ETHER_BYTES];
    unsigned header = (frame[NET_ETHER_BYTES] & 15) * 4u;
    size_t start = NET_ETHER_BYTES + header, step = (NET_MTU - header) & ~7u;
    const struct net_offload none = {0};

    for (size_t at = 0; at < len - start; at += step) {
        size_t n = MIN(step, len - start - at);
        uint8_t *ip = piece + NET_ETHER_BYTES;
        bool more = at + n < len - start;

        memcpy(piece, frame, start);
        memcpy(piece + start, frame + start + at, n);
        be16_put(ip + 2, (uint16_t)(header + n));
        be16_put(ip + 6, (uint16_t)(at / 8 | (more ? 0x2000 : 0)));
        be16_put(ip + 10, 0);
        be16_put(ip + 10, offload_sum_end(offload_sum(ip, header, 0)));
        net_queue_put(&nat->queue, piece, start + n, &none);
    }
}

static bool is_large_ip4(const uint8_t *frame, size_t len)
{
    return len > NET_MTU + NET_ETHER_BYTES && be16_get(frame + 12) == 0x0800 &&
           (frame[NET_ETHER_BYTES] & 15) >= 5 && !(be16_get(frame + 20) & 0x3fff);
}

static ssize_t on_send(const void *buf, size_t len, void *opaque)
{
    struct nat *nat = opaque;
    struct net_offload o = {.flags = NET_DATA_VALID};
    uint8_t *frame = (uint8_t *)(uintptr_t)buf;

    if (len > NET_FRAME_MAX || len < NET_ETHER_BYTES + 20)
        return (ssize_t)len;
    /* The packet lies in a buffer of libslirp's that is not looked at again. */
    offload_large(frame, len, &o);
    if (o.gso == NET_GSO_NONE && is_large_ip4(frame, len))
        send_fragments(nat, frame, len);
    else
        net_queue_put(&nat->queue, frame, len, &o);
    return (ssize_t)len;
}

static void on_guest_error(const char *msg, void *opaque)
{
    (void)opaque;
    log_guest("%s", msg);
}

static int64_t on_clock(void *opaque)
{
    (void)opaque;
    return (int64_t)clock_host_ns();
}

static void *on_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
    struct nat *nat = opaque;

    for (unsigned i = 0; i < TIMERS_MAX; i++) {
        struct nat_timer *t = &nat->timers[i];

        if (t->used)
            continue;
        *t = (struct nat_timer){nat, id, cb_opaque, -1, true};
        return t;
    }
    return NULL;
}

static void on_timer_free(void *timer, void *opaque)
{
    (void)opaque;
    if (timer)
        ((struct nat_timer *)timer)->used = false;
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    (void)opaque;
    if (timer)
        ((struct nat_timer *)timer)->at_ms = expire_ms;
}

static void on_poll_fd(int fd, void *opaque)
{
    (void)fd;
    (void)opaque; /* the set is made anew before each wait */
}

static void on_notify(void *opaque)
{
    wake(opaque);
}

static const SlirpCb callbacks = {
    .send_packet = on_send,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new_opaque = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = on_poll_fd,
    .unregister_poll_fd = on_poll_fd,
    .notify = on_notify,
};

/* ---- from the guest ---- */

/* Raise the segment size that a SYN offers, so that large segments come back. */
static void raise_segment_size(uint8_t *frame, size_t len)
{
    struct offload_layout l;
    uint8_t *tcp;

    if (!offload_parse(frame, MIN(len, (size_t)OFFLOAD_HEADERS_MAX), &l) ||
        l.protocol != IPPROTO_TCP || !(frame[l.transport + 13] & TCP_SYN))
        return;
    tcp = frame + l.transport;
    for (unsigned at = 20; at + 4 <= l.payload - l.transport;) {
        if (tcp[at] == 0)
            return;
        if (tcp[at] == 1) {
            at++;
            continue;
        }
        if (tcp[at] == 2 && tcp[at + 1] == 4) {
            if (be16_get(tcp + at + 2) >= SEGMENT_PLAIN)
                be16_put(tcp + at + 2, SEGMENT_OFFERED);
            break;
        }
        if (tcp[at + 1] < 2)
            return;
        at += tcp[at + 1];
    }
    be16_put(tcp + 16, 0);
    be16_put(tcp + 16, offload_sum_end(offload_sum(tcp, len - l.transport,
                                                   offload_pseudo(frame, &l, len - l.transport))));
}

/* The length of the IP packet, which padding of a short frame is not part of. */
static size_t ip_end(const uint8_t *frame, size_t len)
{
    if (len >= NET_ETHER_BYTES + 20 && be16_get(frame + 12) == 0x0800)
        return MIN(len, (size_t)NET_ETHER_BYTES + be16_get(frame + 16));
    if (len >= NET_ETHER_BYTES + 40 && be16_get(frame + 12) == 0x86dd)
        return MIN(len, (size_t)NET_ETHER_BYTES + 40u + be16_get(frame + 18));
    return len;
}

static bool nat_receive(void *ctx, const struct net_frame *f)
{
    struct nat *nat = ctx;
    size_t len;

    pthread_mutex_lock(&nat->lock);
    len = net_gather(f->iov, f->iov_count, 0, nat->flat, sizeof(nat->flat));
    if (f->offload.flags & NET_NEEDS_CSUM)
        offload_fill(nat->flat, len, &f->offload);
    raise_segment_size(nat->flat, ip_end(nat->flat, len));
    if (len >= NET_ETHER_BYTES)
        slirp_input(nat->slirp, nat->flat, (int)len);
    pthread_mutex_unlock(&nat->lock);
    net_queue_send(&nat->queue, &nat->port);
    wake(nat);
    return true;
}

static void nat_ready(void *ctx)
{
    struct nat *nat = ctx;

    net_queue_send(&nat->queue, &nat->port);
    if (atomic_load(&nat->stalled))
        wake(nat);
}

static const struct net_port_ops port_ops = {.receive = nat_receive, .ready = nat_ready};

/* ---- the thread ---- */

static int add_poll(int fd, int events, void *opaque)
{
    struct nat *nat = opaque;
    struct pollfd *p = &nat->polls[nat->poll_count];

    if (nat->poll_count == POLLS_MAX)
        return 0; /* the wake descriptor's place: never ready for a socket */
    *p = (struct pollfd){.fd = fd};
    if (events & SLIRP_POLL_IN)
        p->events |= POLLIN;
    if (events & SLIRP_POLL_OUT)
        p->events |= POLLOUT;
    if (events & SLIRP_POLL_PRI)
        p->events |= POLLPRI;
    return (int)nat->poll_count++;
}

static int get_revents(int n, void *opaque)
{
    struct nat *nat = opaque;
    short got = n > 0 && (unsigned)n < nat->poll_count ? nat->polls[n].revents : 0;
    int events = 0;

    if (got & POLLIN)
        events |= SLIRP_POLL_IN;
    if (got & POLLOUT)
        events |= SLIRP_POLL_OUT;
    if (got & POLLPRI)
        events |= SLIRP_POLL_PRI;
    if (got & POLLERR)
        events |= SLIRP_POLL_ERR;
    if (got & POLLHUP)
        events |= SLIRP_POLL_HUP;
    return events;
}

/* Timers that are due; returns how long to wait at most. */
static uint32_t run_timers(struct nat *nat, uint32_t timeout_ms)
{
    int64_t now_ms = (int64_t)clock_host_ns() / 1000000;

    for (unsigned i = 0; i < TIMERS_MAX; i++) {
        struct nat_timer *t = &nat->timers[i];

        if (!t->used || t->at_ms < 0)
            continue;
        if (t->at_ms <= now_ms) {
            t->at_ms = -1;
            slirp_handle_timer(nat->slirp, t->id, t->cb_opaque);
        }
        if (t->used && t->at_ms >= now_ms && t->at_ms - now_ms < timeout_ms)
            timeout_ms = (uint32_t)(t->at_ms - now_ms);
    }
    return timeout_ms;
}

/* One round: wait, let libslirp read and write, pass on what it sent. */
static void serve(struct nat *nat)
{
    uint32_t timeout_ms = UINT32_MAX;
    uint64_t count;
    bool stalled;
    int r;

    nat->polls[0] = (struct pollfd){.fd = nat->wake_fd, .events = POLLIN};
    pthread_mutex_lock(&nat->lock);
    nat->poll_count = 1;
    stalled = net_queue_count(&nat->queue) > NET_QUEUE_FRAMES / 2;
    atomic_store(&nat->stalled, stalled);
    /* From here on whoever changes something writes to wake_fd. */
    atomic_store(&nat->waiting, true);
    timeout_ms = run_timers(nat, timeout_ms);
    if (!stalled)
        slirp_pollfds_fill(nat->slirp, &timeout_ms, add_poll, nat);
    pthread_mutex_unlock(&nat->lock);

    r = poll(nat->polls, nat->poll_count, timeout_ms > INT32_MAX ? -1 : (int)timeout_ms);
    atomic_store(&nat->waiting, false);
    if (nat->polls[0].revents && read(nat->wake_fd, &count, sizeof(count)) < 0)
        return;
    if (!stalled) {
        pthread_mutex_lock(&nat->lock);
        slirp_pollfds_poll(nat->slirp, r < 0, get_revents, nat);
        pthread_mutex_unlock(&nat->lock);
    }
    if (net_queue_count(&nat->queue)) {
        net_lock(&nat->cable);
        net_queue_send(&nat->queue, &nat->port);
        net_unlock(&nat->cable);
    }
}

static void *thread_main(void *ctx)
{
    struct nat *nat = ctx;

    while (!atomic_load(&nat->quit))
        serve(nat);
    return NULL;
}

/* ---- forwarded ports ---- */

static bool parse_port(const char *text, uint16_t *ret_port)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end || n < 1 || n > 65535)
        return false;
    *ret_port = (uint16_t)n;
    return true;
}

int nat_parse_forward(const char *text, struct nat_forward *ret_forward, struct error *err)
{
    static const char form[] = "write tcp:127.0.0.1:2222:22, or with the guest's address "
                               "tcp:127.0.0.1:2222:10.0.2.15:22";
    struct nat_forward f = {.host.s_addr = htonl(INADDR_LOOPBACK)};
    AUTO_FREE char *copy = strdup(text);
    char *words[5], *rest = copy;
    unsigned n = 0;

    if (!copy)
        return -ENOMEM;
    while (rest && n < ARRAY_LEN(words))
        words[n++] = strsep(&rest, ":");
    if (rest || n < 4)
        return error_set(err, -EINVAL, "'%s' is no forwarded port; %s", text, form);
    if (strcmp(words[0], "tcp") && strcmp(words[0], "udp"))
        return error_set(err, -EINVAL, "'%s': it begins with tcp or udp; %s", text, form);
    f.udp = !strcmp(words[0], "udp");
    if (*words[1] && inet_pton(AF_INET, words[1], &f.host) != 1)
        return error_set(err, -EINVAL, "'%s': '%s' is no IPv4 address of the host; %s", text,
                         words[1], form);
    if (n == 5 && *words[3] && inet_pton(AF_INET, words[3], &f.guest) != 1)
        return error_set(err, -EINVAL, "'%s': '%s' is no IPv4 address; %s", text, words[3], form);
    if (!parse_port(words[2], &f.host_port) || !parse_port(words[n - 1], &f.guest_port))
        return error_set(err, -EINVAL, "'%s': a port is a number from 1 to 65535; %s", text, form);
    *ret_forward = f;
    return 0;
}

static int forward_error(const struct nat_forward *f, int code, struct error *err)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &f->host, host, sizeof(host));
    return error_set(err, code, "%s port %s:%u of the host: %s%s", f->udp ? "UDP" : "TCP", host,
                     f->host_port, strerror(-code), code == -EADDRINUSE ? "; choose another" : "");
}

int nat_forward_add(struct nat *nat, const struct nat_forward *f, struct error *err)
{
    int r;

    pthread_mutex_lock(&nat->lock);
    errno = 0;
    r = slirp_add_hostfwd(nat->slirp, f->udp, f->host, f->host_port, f->guest, f->guest_port);
    r = r < 0 ? (errno ? -errno : -EADDRINUSE) : 0;
    pthread_mutex_unlock(&nat->lock);
    wake(nat);
    return r < 0 ? forward_error(f, r, err) : 0;
}

int nat_forward_remove(struct nat *nat, const struct nat_forward *f, struct error *err)
{
    int r;

    pthread_mutex_lock(&nat->lock);
    r = slirp_remove_hostfwd(nat->slirp, f->udp, f->host, f->host_port);
    pthread_mutex_unlock(&nat->lock);
    wake(nat);
    return r < 0 ? forward_error(f, -ENOENT, err) : 0;
}

/* ---- life ---- */

static int check_folder(const struct nat_config *config, struct error *err)
{
    struct stat st;

    if (!config->tftp)
        return config->boot_file
                   ? error_set(err, -EINVAL, "bootfile needs tftp=FOLDER, where it lies")
                   : 0;
    if (stat(config->tftp, &st) < 0)
        return error_set(err, -errno, "tftp: %s: %s", config->tftp, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return error_set(err, -ENOTDIR, "tftp: %s: not a folder", config->tftp);
    return 0;
}

static struct in_addr above(struct in_addr network, uint32_t n)
{
    return (struct in_addr){htonl(ntohl(network.s_addr) + n)};
}

struct in_addr nat_router(struct in_addr network)
{
    return above(network, 2);
}

static Slirp *slirp_make(struct nat *nat, const struct nat_config *config)
{
    SlirpConfig c = {
        .version = 4,
        .restricted = config->isolated,
        .in_enabled = true,
        .in6_enabled = true,
        .vprefix_len = 64,
        .vhostname = config->host_name,
        .tftp_path = config->tftp,
        .bootfile = config->boot_file,
        .if_mtu = SLIRP_MTU,
        .if_mru = SLIRP_MTU,
        .vnetwork = config->network,
        .vnetmask = config->mask,
        .disable_dhcp = config->no_dhcp,
    };

    if (!c.vnetwork.s_addr) {
        inet_pton(AF_INET, "10.0.2.0", &c.vnetwork);
        inet_pton(AF_INET, "255.255.255.0", &c.vnetmask);
    }
    c.vhost = nat_router(c.vnetwork);
    c.vnameserver = above(c.vnetwork, 3);
    c.vdhcp_start = above(c.vnetwork, 15);
    inet_pton(AF_INET6, "fec0::", &c.vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &c.vhost6);
    inet_pton(AF_INET6, "fec0::3", &c.vnameserver6);
    return slirp_new(&c, &callbacks, nat);
}

int nat_new(const struct nat_config *config, const struct net_lock *lock, struct nat **ret_nat,
            struct error *err)
{
    struct nat *nat;
    int r = check_folder(config, err);

    if (r < 0)
        return r;
    nat = calloc(1, sizeof(*nat));
    if (!nat)
        return -ENOMEM;
    pthread_mutex_init(&nat->lock, NULL);
    nat->cable = *lock;
    net_port_init(&nat->port, &port_ops, nat);
    nat->port.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4 | NET_ACCEPTS_TSO6 | NET_ACCEPTS_ECN;
    nat->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    nat->polls = calloc(POLLS_MAX, sizeof(*nat->polls));
    if (nat->polls && nat->wake_fd >= 0)
        nat->slirp = slirp_make(nat, config);
    r = nat->slirp ? 0 : -ENOMEM;
    for (unsigned i = 0; i < config->forward_count && r == 0; i++)
        r = nat_forward_add(nat, &config->forwards[i], err);
    if (r < 0)
        nat_free(nat);
    else
        *ret_nat = nat;
    return r;
}

struct nat *nat_free(struct nat *nat)
{
    if (!nat)
        return NULL;
    atomic_store(&nat->quit, true);
    if (nat->started) {
        atomic_store(&nat->waiting, true);
        wake(nat);
        pthread_join(nat->thread, NULL);
    }
    net_lock(&nat->cable);
    net_disconnect(&nat->port);
    net_unlock(&nat->cable);
    if (nat->slirp)
        slirp_cleanup(nat->slirp);
    net_queue_done(&nat->queue);
    if (nat->wake_fd >= 0)
        close(nat->wake_fd);
    free(nat->polls);
    pthread_mutex_destroy(&nat->lock);
    free(nat);
    return NULL;
}

int nat_start(struct nat *nat, struct error *err)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&nat->thread, NULL, thread_main, nat);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return error_set(err, -r, "no thread for the network: %s", strerror(r));
    nat->started = true;
    return 0;
}

struct net_port *nat_port(struct nat *nat)
{
    return &nat->port;
}
