/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tools/bench-net runs in guests and on the host, static:
 *     netbench serve PORT                   answer the others, until killed
 *     netbench rr ADDRESS PORT SECONDS      one byte there and back by TCP: mean microseconds
 *     netbench small ADDRESS PORT SECONDS   UDP in frames of 64 bytes: how many arrive a second
 * Prints one line, "bench NAME NUMBER".
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SMALL_BYTES 18 /* a frame of 60 bytes and its checksum: 64 on a wire */
#define BATCH 32

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* A number from 0 to most; anything else ends the program. */
static double number(const char *text, double most)
{
    char *end;
    double n = strtod(text, &end);

    if (!*text || *end || !(n >= 0 && n <= most))
        die(text);
    return n;
}

static struct sockaddr_in address(const char *host, const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)number(port, 65535))};

    if (host && inet_pton(AF_INET, host, &a.sin_addr) != 1)
        die(host);
    return a;
}

static void echo(int fd)
{
    int one = 1;
    char byte;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    while (read(fd, &byte, 1) == 1)
        if (write(fd, &byte, 1) != 1)
            break;
    close(fd);
}

/* What comes is counted; who sends "?" is told, and the count begins again. */
static void count(int fd, uint64_t *counted)
{
    char buf[64];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;

    while ((n = recvfrom(fd, buf, sizeof(buf), MSG_DONTWAIT, (struct sockaddr *)&from, &len)) > 0) {
        if (buf[0] != '?') {
            ++*counted;
            continue;
        }
        sendto(fd, counted, sizeof(*counted), 0, (struct sockaddr *)&from, len);
        *counted = 0;
    }
}

static int serve(const char *port)
{
    struct sockaddr_in a = address(NULL, port);
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0), one = 1;
    struct pollfd fds[2] = {{.fd = tcp, .events = POLLIN}, {.fd = udp, .events = POLLIN}};
    uint64_t counted = 0;

    setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(tcp, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(tcp, 4) < 0 ||
        bind(udp, (struct sockaddr *)&a, sizeof(a)) < 0)
        die("serve");
    puts("serving");
    fflush(stdout);
    while (poll(fds, 2, -1) > 0) {
        if (fds[0].revents)
            echo(accept(tcp, NULL, NULL));
        if (fds[1].revents)
            count(udp, &counted);
    }
    return 1;
}

static int request_response(struct sockaddr_in *a, double seconds)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    double begin, end;
    unsigned turns = 0;
    char byte = 'x';

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)a, sizeof(*a)) < 0)
        die("connect");
    begin = now();
    do {
        if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
            die("rr");
        turns++;
        end = now();
    } while (end - begin < seconds);
    printf("bench rr %.2f\n", (end - begin) * 1e6 / turns);
    return 0;
}

static int small(struct sockaddr_in *a, double seconds)
{
    static char data[SMALL_BYTES] = "!";
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct iovec iov = {data, sizeof(data)};
    struct mmsghdr batch[BATCH];
    struct timeval patience = {1, 0};
    uint64_t counted = 0;
    double begin = now(), end;

    memset(batch, 0, sizeof(batch));
    for (unsigned i = 0; i < BATCH; i++)
        batch[i].msg_hdr = (struct msghdr){.msg_iov = &iov, .msg_iovlen = 1};
    if (connect(fd, (struct sockaddr *)a, sizeof(*a)) < 0)
        die("connect");
    do {
        sendmmsg(fd, batch, BATCH, 0);
        end = now();
    } while (end - begin < seconds);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    for (unsigned tries = 0; tries < 20 && !counted; tries++) {
        usleep(200000);
        if (send(fd, "?", 1, 0) != 1 || recv(fd, &counted, sizeof(counted), 0) < 0)
            continue;
    }
    printf("bench small %.0f\n", (double)counted / (end - begin));
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in a;
    double seconds;

    if (argc == 3 && !strcmp(argv[1], "serve"))
        return serve(argv[2]);
    if (argc != 5)
        return 2;
    a = address(argv[2], argv[3]);
    seconds = number(argv[4], 3600);
    return !strcmp(argv[1], "rr") ? request_response(&a, seconds) : small(&a, seconds);
}
