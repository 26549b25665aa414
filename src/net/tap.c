/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TAP interfaces: Linux, Documentation/networking/tuntap.rst; the header is struct virtio_net_hdr.
 *
 * A thread reads and hands frames to the cable; a frame that is refused is kept, and nothing more
 * is read until there is room, so that the host's own queue decides what is lost.
 */
#define LOG_ROOM "tap"
#include "net/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/bytes.h"
#include "base/log.h"

#define TUN_DEVICE "/dev/net/tun"
#define HEADER_BYTES 10
#define TAG_BYTES 4u
#define ADDRESSES_BYTES (2 * NET_MAC_BYTES)
#define ETHERTYPE_VLAN 0x8100u
/* Frames in one go under the cable's lock. */
#define BATCH 64u
#define DOWN_MS 1000

struct tap {
    int fd, wake_fd;
    enum tap_sort sort;
    struct net_port port;
    struct net_lock cable;
    pthread_t thread;
    bool started;
    atomic_bool quit;
    bool down;    /* a packet socket's interface; the thread's own */
    bool full;    /* the host takes no more: POLLOUT is waited for. Under the cable's lock. */
    bool pending; /* buf holds a frame that was refused. Under the cable's lock. */
    void (*gone)(void *ctx); /* … is told that the interface is. NULL: nobody */
    void *gone_ctx;
    size_t len; /* of buf */
    uint8_t buf[HEADER_BYTES + NET_FRAME_MAX];
};

static void wake(struct tap *tap)
{
    uint64_t one = 1;

    if (write(tap->wake_fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

/* ---- from the card ---- */

static bool tap_receive(void *ctx, const struct net_frame *f)
{
    struct tap *tap = ctx;
    struct iovec iov[NET_IOV_MAX + 1];
    struct net_offload header = f->offload;
    ssize_t n;

    /* To the kernel DATA_VALID is a promise that we cannot give for a guest. */
    header.flags &= NET_NEEDS_CSUM;
    iov[0] = (struct iovec){&header, HEADER_BYTES};
    memcpy(iov + 1, f->iov, f->iov_count * sizeof(*iov));
    do
        n = writev(tap->fd, iov, (int)MIN(f->iov_count + 1, NET_IOV_MAX));
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return true;
    if (errno == EAGAIN || errno == ENOBUFS) {
        tap->full = true;
        wake(tap);
        return false;
    }
    tap->port.received.drops++; /* an interface that is down, or a frame it does not want */
    return true;
}

static void tap_ready(void *ctx)
{
    wake(ctx);
}

static const struct net_port_ops port_ops = {.receive = tap_receive, .ready = tap_ready};

/* ---- from the host ---- */

static bool deliver(struct tap *tap)
{
    struct iovec iov = {tap->buf + HEADER_BYTES, tap->len - HEADER_BYTES};
    struct net_frame f = net_frame_of(&iov);

    memcpy(&f.offload, tap->buf, sizeof(f.offload));
    tap->pending = !net_send(&tap->port, &f);
    return !tap->pending;
}

/* Put the tag back into the frame of n bytes with its header; the new length. */
static size_t put_tag(struct tap *tap, size_t n, uint16_t type, uint16_t tag)
{
    uint8_t *at = tap->buf + HEADER_BYTES + ADDRESSES_BYTES;
    struct net_offload o;

    memmove(at + TAG_BYTES, at, n - HEADER_BYTES - ADDRESSES_BYTES);
    be16_put(at, type);
    be16_put(at + 2, tag);
    memcpy(&o, tap->buf, sizeof(o));
    if (o.flags & NET_NEEDS_CSUM)
        o.csum_start = (uint16_t)(o.csum_start + TAG_BYTES);
    if (o.header)
        o.header = (uint16_t)(o.header + TAG_BYTES);
    memcpy(tap->buf, &o, sizeof(o));
    return n + TAG_BYTES;
}

/* packet(7): what the adapter or the kernel took off the frame. */
static ssize_t read_packet(struct tap *tap)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
    } control;
    struct iovec iov = {tap->buf, sizeof(tap->buf) - TAG_BYTES};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(tap->fd, &msg, 0);
    struct tpacket_auxdata aux;

    if (n < (ssize_t)(HEADER_BYTES + NET_ETHER_BYTES))
        return n;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
            c->cmsg_len < CMSG_LEN(sizeof(aux)))
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if (aux.tp_status & TP_STATUS_VLAN_VALID)
            n = (ssize_t)put_tag(tap, (size_t)n,
                                 aux.tp_status & TP_STATUS_VLAN_TPID_VALID ? aux.tp_vlan_tpid
                                                                           : ETHERTYPE_VLAN,
                                 aux.tp_vlan_tci);
    }
    return n;
}

/* Read until there is nothing, or no room. Locked. */
static void pump(struct tap *tap)
{
    if (tap->pending && !deliver(tap))
        return;
    for (unsigned i = 0; i < BATCH; i++) {
        ssize_t n =
            tap->sort == TAP_PACKET ? read_packet(tap) : read(tap->fd, tap->buf, sizeof(tap->buf));

        if (n < (ssize_t)(HEADER_BYTES + NET_ETHER_BYTES))
            return;
        tap->len = (size_t)n;
        if (!deliver(tap))
            return;
    }
}

/* A packet socket has an error when its interface goes down, too, and serves on when that is up
 * again; one whose interface is removed then is bound to none, without another error. */
static bool is_gone(struct tap *tap, short events)
{
    struct sockaddr_ll at = {0};
    socklen_t len = sizeof(at);
    bool error = events & (POLLERR | POLLHUP | POLLNVAL);

    if (tap->sort != TAP_PACKET || (!error && !tap->down))
        return error;
    tap->down = error || !(events & POLLIN);
    return getsockname(tap->fd, (struct sockaddr *)&at, &len) < 0 || at.sll_ifindex <= 0;
}

/* Whoever is at the cable sees that it leads nowhere. */
static void interface_gone(struct tap *tap)
{
    log_warning("the host's interface is gone");
    net_lock(&tap->cable);
    net_unplug(&tap->port, true);
    net_unlock(&tap->cable);
    if (tap->gone)
        tap->gone(tap->gone_ctx);
}

static void *thread_main(void *ctx)
{
    struct tap *tap = ctx;
    uint64_t count;

    while (!atomic_load(&tap->quit)) {
        struct pollfd fds[2] = {{.fd = tap->wake_fd, .events = POLLIN}, {.fd = tap->fd}};

        net_lock(&tap->cable);
        fds[1].events = (short)((tap->pending ? 0 : POLLIN) | (tap->full ? POLLOUT : 0));
        net_unlock(&tap->cable);
        if (poll(fds, 2, tap->down ? DOWN_MS : -1) < 0)
            continue;
        if (fds[0].revents && read(tap->wake_fd, &count, sizeof(count)) < 0)
            continue;
        net_lock(&tap->cable);
        if (fds[1].revents & (POLLOUT | POLLERR) && tap->full) {
            tap->full = false;
            net_ready(&tap->port);
        }
        pump(tap);
        net_unlock(&tap->cable);
        if (is_gone(tap, fds[1].revents)) {
            interface_gone(tap);
            break;
        }
    }
    return NULL;
}

/* ---- life ---- */

int tap_new_fd(int fd, enum tap_sort sort, const struct net_lock *lock, struct tap **ret_tap,
               struct error *err)
{
    struct tap *tap = calloc(1, sizeof(*tap));

    if (!tap) {
        close(fd);
        return -ENOMEM;
    }
    tap->fd = fd;
    tap->sort = sort;
    tap->cable = *lock;
    tap->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    net_port_init(&tap->port, &port_ops, tap);
    tap->port.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4 | NET_ACCEPTS_TSO6 | NET_ACCEPTS_ECN;
    if (tap->wake_fd < 0) {
        int r = error_set(err, -errno, "%s", strerror(errno));
        tap_free(tap);
        return r;
    }
    *ret_tap = tap;
    return 0;
}

static int tap_error(const char *name, int code, struct error *err)
{
    const char *remedy = "";

    if (code == EPERM || code == EACCES)
        remedy = "; have it made for you: ip tuntap add NAME mode tap user YOU";
    else if (code == ENOENT || code == ENODEV)
        remedy = "; load the kernel's tun module";
    else if (code == EBUSY)
        remedy = "; another program is attached to it";
    return error_set(err, -code, "tap=%s: %s%s", name, strerror(code), remedy);
}

/* Headers of 10 bytes before each frame, and what the host may leave to us. */
static int prepare(int fd, struct ifreq *ifr)
{
    unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    int header_bytes = HEADER_BYTES;

    ifr->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(fd, TUNSETIFF, ifr) < 0 || ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
        return -errno;
    /* What cannot be had is made plain by the host. */
    if (ioctl(fd, TUNSETOFFLOAD, offload) < 0)
        log_info("tap=%s: no offloads: %s", ifr->ifr_name, strerror(errno));
    return 0;
}

int tap_open(const char *name, char *ret_name, int *ret_fd, struct error *err)
{
    AUTO_FD int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    struct ifreq ifr = {0};
    int r;

    if (fd < 0)
        return tap_error(name, errno, err);
    strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
    r = prepare(fd, &ifr);
    if (r < 0)
        return tap_error(name, -r, err);
    memcpy(ret_name, ifr.ifr_name, IF_NAMESIZE);
    *ret_fd = take_fd(&fd);
    return 0;
}

int tap_open_macvtap(const char *name, unsigned index, int *ret_fd, struct error *err)
{
    char path[32];
    struct ifreq ifr = {0}, is = {0};
    AUTO_FD int fd = -1;
    int r;

    snprintf(path, sizeof(path), "/dev/tap%u", index);
    fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return error_set(err, -errno, "%s: %s", path, strerror(errno));
    strncpy(ifr.ifr_name, name, sizeof(ifr.ifr_name) - 1);
    r = prepare(fd, &ifr);
    if (r < 0)
        return error_set(err, r, "%s: %s", path, strerror(-r));
    /* Another network namespace may have an interface of this index, and its device. */
    if (ioctl(fd, TUNGETIFF, &is) < 0 || strcmp(is.ifr_name, name))
        return error_set(err, -ENODEV, "%s is the device of another interface", path);
    *ret_fd = take_fd(&fd);
    return 0;
}

int tap_new(const char *name, const struct net_lock *lock, struct tap **ret_tap, struct error *err)
{
    char is[IF_NAMESIZE];
    int fd = -1, r = tap_open(name, is, &fd, err);

    return r < 0 ? r : tap_new_fd(fd, TAP_DEVICE, lock, ret_tap, err);
}

struct tap *tap_free(struct tap *tap)
{
    if (!tap)
        return NULL;
    atomic_store(&tap->quit, true);
    if (tap->started) {
        wake(tap);
        pthread_join(tap->thread, NULL);
    }
    net_lock(&tap->cable);
    net_disconnect(&tap->port);
    net_unlock(&tap->cable);
    if (tap->wake_fd >= 0)
        close(tap->wake_fd);
    close(tap->fd);
    free(tap);
    return NULL;
}

int tap_start(struct tap *tap, struct error *err)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&tap->thread, NULL, thread_main, tap);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r)
        return error_set(err, -r, "no thread for the network: %s", strerror(r));
    tap->started = true;
    return 0;
}

void tap_on_gone(struct tap *tap, void (*gone)(void *ctx), void *ctx)
{
    tap->gone = gone;
    tap->gone_ctx = ctx;
}

struct net_port *tap_port(struct tap *tap)
{
    return &tap->port;
}
