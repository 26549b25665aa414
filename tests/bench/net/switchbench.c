/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A switch without guests: frames of 64 bytes from one plug to another, for a few seconds.
 *     switchbench yado SOCKET SECONDS    plugs of a yado-net, as machines have them
 *     switchbench vde SOCKET SECONDS     of a vde_switch, by libvdeplug
 *     switchbench packet A,B SECONDS     ends of two veths in one Linux bridge, by packet sockets
 * Prints "bench switch NUMBER": frames that arrived, a second. Built by tools/bench-net.
 */
#include <dlfcn.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "net/remote.h"

#define FRAME_BYTES 60
#define BATCH 64
#define LATE_NS (NS_PER_SEC / 5)

static atomic_bool over;
static atomic_ullong arrived;
static uint8_t frame[FRAME_BYTES] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5};

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "switchbench: %s\n", what);
    exit(1);
}

/* ---- yado-net: the other side's frames come on the remote's thread, under its lock ---- */

static pthread_mutex_t locks[2] = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER};
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;
static bool ready = true;

static void lock(void *ctx)
{
    pthread_mutex_lock(ctx);
}

static void unlock(void *ctx)
{
    pthread_mutex_unlock(ctx);
}

static bool take(void *ctx, const struct net_frame *f)
{
    (void)ctx;
    (void)f;
    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    return true;
}

static void has_room(void *ctx)
{
    (void)ctx;
    ready = true;
    pthread_cond_signal(&room);
}

static const struct net_port_ops plug_ops = {.receive = take, .ready = has_room};

static void yado(const char *path, uint64_t until_ns)
{
    struct remote *ends[2];
    struct net_port cards[2];
    struct iovec iov = {frame, sizeof(frame)};
    struct net_frame f = net_frame_of(&iov);
    struct error err = {""};

    for (unsigned i = 0; i < 2; i++) {
        const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)(i + 1)};
        const struct net_lock cable = {.lock = lock, .unlock = unlock, .ctx = &locks[i]};

        if (remote_new(path, "bench", mac, &cable, 5000, &ends[i], &err) < 0)
            die(err.text);
        net_port_init(&cards[i], &plug_ops, NULL);
        net_connect(&cards[i], remote_port(ends[i]));
        if (remote_start(ends[i], &err) < 0)
            die(err.text);
    }
    /* The switch learns where the second one is. */
    memcpy(frame, "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2", 12);
    pthread_mutex_lock(&locks[1]);
    (void)net_send(&cards[1], &f);
    pthread_mutex_unlock(&locks[1]);
    usleep(100000);
    memcpy(frame, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
    atomic_store(&arrived, 0);
    while (now_ns() < until_ns) {
        pthread_mutex_lock(&locks[0]);
        for (unsigned i = 0; i < BATCH; i++) {
            if (net_send(&cards[0], &f))
                continue;
            ready = false;
            while (!ready && now_ns() < until_ns)
                pthread_cond_wait(&room, &locks[0]);
        }
        pthread_mutex_unlock(&locks[0]);
    }
}

/* ---- VDE ---- */

static void *(*vde_open)(char *, char *, int, void *);
static ssize_t (*vde_send)(void *, const void *, size_t, int);
static ssize_t (*vde_recv)(void *, void *, size_t, int);

static void *vde_taker(void *conn)
{
    uint8_t buf[2048];

    while (!atomic_load(&over))
        if (vde_recv(conn, buf, sizeof(buf), 0) == FRAME_BYTES)
            atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    return NULL;
}

static void vde(const char *path, uint64_t until_ns)
{
    void *lib = dlopen("libvdeplug.so.2", RTLD_NOW), *ends[2];
    pthread_t thread;

    if (!lib)
        die(dlerror());
    *(void **)&vde_open = dlsym(lib, "vde_open_real");
    *(void **)&vde_send = dlsym(lib, "vde_send");
    *(void **)&vde_recv = dlsym(lib, "vde_recv");
    for (unsigned i = 0; i < 2; i++)
        if (!(ends[i] = vde_open((char *)path, "bench", 1, NULL)))
            die("no vde_switch there");
    memcpy(frame, "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2", 12);
    vde_send(ends[1], frame, sizeof(frame), 0);
    memcpy(frame, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
    usleep(100000);
    pthread_create(&thread, NULL, vde_taker, ends[1]);
    while (now_ns() < until_ns)
        vde_send(ends[0], frame, sizeof(frame), 0);
}

/* ---- Linux bridge ---- */

static int packet_open(const char *name)
{
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_ALL),
                            .sll_ifindex = (int)if_nametoindex(name)};
    int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)), bytes = 32 << 20;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        die(strerror(errno));
    return fd;
}

static void *packet_taker(void *ctx)
{
    static uint8_t bytes[BATCH][2048];
    struct iovec iov[BATCH];
    struct mmsghdr batch[BATCH];

    for (unsigned i = 0; i < BATCH; i++)
        iov[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
    while (!atomic_load(&over)) {
        int n;

        memset(batch, 0, sizeof(batch));
        for (unsigned i = 0; i < BATCH; i++)
            batch[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
        n = recvmmsg(*(int *)ctx, batch, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++)
            if (batch[i].msg_len == FRAME_BYTES && bytes[i][5] == 2)
                atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    }
    return NULL;
}

static void packet(const char *names, uint64_t until_ns)
{
    char first[64];
    const char *comma = strchr(names, ',');
    struct iovec iov = {frame, sizeof(frame)};
    struct mmsghdr batch[BATCH] = {0};
    int fds[2];
    pthread_t thread;

    snprintf(first, sizeof(first), "%.*s", (int)(comma - names), names);
    fds[0] = packet_open(first);
    fds[1] = packet_open(comma + 1);
    memcpy(frame, "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\2", 12);
    if (send(fds[1], frame, sizeof(frame), 0) < 0)
        die(strerror(errno));
    memcpy(frame, "\2\0\0\0\0\2\2\0\0\0\0\1", 12);
    usleep(100000);
    pthread_create(&thread, NULL, packet_taker, &fds[1]);
    for (unsigned i = 0; i < BATCH; i++)
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    while (now_ns() < until_ns)
        sendmmsg(fds[0], batch, BATCH, 0);
}

int main(int argc, char **argv)
{
    uint64_t begin = now_ns(), until_ns;
    char *end;
    double seconds = argc == 4 ? strtod(argv[3], &end) : 0;

    if (argc != 4 || *end || !(seconds > 0 && seconds < 3600))
        return 2;
    until_ns = begin + (uint64_t)(seconds * 1e9);
    if (!strcmp(argv[1], "yado"))
        yado(argv[2], until_ns);
    else if (!strcmp(argv[1], "vde"))
        vde(argv[2], until_ns);
    else
        packet(argv[2], until_ns);
    begin = now_ns() - begin;
    poll(NULL, 0, (int)(LATE_NS / 1000000));
    printf("bench switch %.0f\n", (double)atomic_load(&arrived) * 1e9 / (double)begin);
    fflush(stdout);
    _exit(0);
}
