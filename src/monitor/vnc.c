/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * RFB by libvncserver (RFC 6143). A thread of its own serves the viewers, so that a slow one
 * delays pictures only: it holds the machine lock while it draws and while it passes input on,
 * never while it talks to a socket.
 */
#include "monitor/vnc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <rfb/rfb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "monitor/keysym.h"
#include "wire/unixsock.h"

#define POLL_US 20000
#define SLOW_CLIENT_MS 1000
#define CLIENTS_MAX 16
#define SIZE_MAX_PIXELS 4096u
#define FIRST_WIDTH 720u
#define FIRST_HEIGHT 400u

struct vnc {
    rfbScreenInfoPtr screen;
    struct machine *machine;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    unsigned width, height;
    uint32_t *pixels; /* the picture; the library reads it in the same thread */
    int clients;
    bool refresh; /* draw all, whether it changed or not */
    int mouse_x, mouse_y;
    bool mouse_known;
    char *socket_path; /* of a UNIX socket, to be removed */
};

static void no_log(const char *format, ...)
{
    (void)format;
}

static void on_key(rfbBool down, rfbKeySym keysym, rfbClientPtr client)
{
    struct vnc *vnc = client->screen->screenData;
    enum key key = keysym_key(keysym);

    if (!key || !vnc->machine)
        return;
    machine_lock(vnc->machine);
    machine_key(vnc->machine, key, down);
    machine_unlock(vnc->machine);
}

/* RFB buttons: 1 left, 2 middle, 4 right, 8 and 16 the wheel up and down. */
static void on_pointer(int mask, int x, int y, rfbClientPtr client)
{
    struct vnc *vnc = client->screen->screenData;
    int dx = vnc->mouse_known ? x - vnc->mouse_x : 0, dy = vnc->mouse_known ? y - vnc->mouse_y : 0;
    int dz = (mask & 16 ? 1 : 0) - (mask & 8 ? 1 : 0);
    unsigned buttons = (mask & 1 ? 1u : 0) | (mask & 4 ? 2u : 0) | (mask & 2 ? 4u : 0);

    vnc->mouse_x = x;
    vnc->mouse_y = y;
    vnc->mouse_known = true;
    if (!vnc->machine)
        return;
    machine_lock(vnc->machine);
    machine_mouse(vnc->machine, dx, dy, dz, buttons);
    machine_unlock(vnc->machine);
}

static void on_gone(rfbClientPtr client)
{
    struct vnc *vnc = client->screen->screenData;

    vnc->clients--;
}

static enum rfbNewClientAction on_client(rfbClientPtr client)
{
    struct vnc *vnc = client->screen->screenData;

    if (vnc->clients >= CLIENTS_MAX)
        return RFB_CLIENT_REFUSE;
    client->clientGoneHook = on_gone;
    vnc->clients++;
    vnc->refresh = true;
    return RFB_CLIENT_ACCEPT;
}

static int picture_resize(struct vnc *vnc, unsigned width, unsigned height)
{
    uint32_t *pixels = calloc((size_t)width * height, sizeof(*pixels));
    uint32_t *old = vnc->pixels;

    if (!pixels)
        return -ENOMEM;
    rfbNewFramebuffer(vnc->screen, (char *)pixels, (int)width, (int)height, 8, 3, 4);
    vnc->screen->serverFormat.redShift = 16;
    vnc->screen->serverFormat.greenShift = 8;
    vnc->screen->serverFormat.blueShift = 0;
    vnc->pixels = pixels;
    vnc->width = width;
    vnc->height = height;
    vnc->refresh = true;
    free(old);
    return 0;
}

static void picture_update(struct vnc *vnc)
{
    unsigned width, height;
    bool changed = false;

    machine_lock(vnc->machine);
    machine_screen_size(vnc->machine, &width, &height);
    if (width == vnc->width && height == vnc->height)
        changed = machine_screen_draw(vnc->machine, vnc->pixels, width, height, vnc->refresh);
    machine_unlock(vnc->machine);
    if (width != vnc->width || height != vnc->height) {
        if (width && height && width <= SIZE_MAX_PIXELS && height <= SIZE_MAX_PIXELS)
            picture_resize(vnc, width, height); /* drawn next time */
        return;
    }
    vnc->refresh = false;
    if (changed)
        rfbMarkRectAsModified(vnc->screen, 0, 0, (int)width, (int)height);
}

static void *serve(void *arg)
{
    struct vnc *vnc = arg;

    while (!atomic_load(&vnc->stop)) {
        rfbProcessEvents(vnc->screen, POLL_US);
        if (vnc->clients > 0)
            picture_update(vnc);
    }
    return NULL;
}

/* "ADDR:PORT" or "[ADDR6]:PORT" apart. */
static int split_address(const char *address, char *ret_host, size_t host_bytes, int *ret_port,
                         bool *ret_ipv6, struct error *err)
{
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    unsigned char binary[16];
    unsigned long port;
    char *end;

    if (!len || len >= host_bytes)
        return error_set(err, -EINVAL, "--display: '%s' is not vnc=ADDR:PORT", address);
    *ret_ipv6 = address[0] == '[' && address[len - 1] == ']';
    memcpy(ret_host, address + *ret_ipv6, len - 2 * *ret_ipv6);
    ret_host[len - 2 * *ret_ipv6] = '\0';
    if (!strcmp(ret_host, "localhost"))
        snprintf(ret_host, host_bytes, "127.0.0.1");
    if (inet_pton(*ret_ipv6 ? AF_INET6 : AF_INET, ret_host, binary) != 1)
        return error_set(err, -EINVAL, "--display: '%s' is not an address; write 127.0.0.1",
                         ret_host);
    port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '0' || colon[1] > '9' || *end || port < 1 || port > 65535)
        return error_set(err, -EINVAL, "--display: '%s' is not a port from 1 to 65535", colon + 1);
    *ret_port = (int)port;
    return 0;
}

/* The library's own listening says too little when it fails: try first. */
static int port_is_free(const char *host, int port, bool ipv6, struct error *err)
{
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    AUTO_FD int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1, r;

    inet_pton(AF_INET6, host, &in6.sin6_addr);
    inet_pton(AF_INET, host, &in.sin_addr);
    if (fd < 0)
        return error_set(err, -errno, "--display: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    r = ipv6 ? bind(fd, (struct sockaddr *)&in6, sizeof(in6))
             : bind(fd, (struct sockaddr *)&in, sizeof(in));
    if (r == 0)
        r = listen(fd, 1);
    if (r < 0)
        return error_set(err, -errno, "--display: %s port %d: %s; choose another", host, port,
                         strerror(errno));
    return 0;
}

static void screen_setup(struct vnc *vnc, const char *name)
{
    rfbScreenInfoPtr screen = vnc->screen;

    screen->frameBuffer = (char *)vnc->pixels;
    screen->screenData = vnc;
    screen->desktopName = name;
    screen->serverFormat.redShift = 16;
    screen->serverFormat.greenShift = 8;
    screen->serverFormat.blueShift = 0;
    screen->kbdAddEvent = on_key;
    screen->ptrAddEvent = on_pointer;
    screen->newClientHook = on_client;
    screen->alwaysShared = TRUE;
    screen->autoPort = FALSE;
    screen->maxClientWait = SLOW_CLIENT_MS;
    screen->cursor = NULL;
    screen->port = 0;
    screen->ipv6port = 0;
    screen->permitFileTransfer = FALSE;
}

static int listen_tcp(struct vnc *vnc, const char *host, int port, bool ipv6, struct error *err)
{
    if (ipv6) {
        vnc->screen->ipv6port = port;
        vnc->screen->listen6Interface = strdup(host);
        vnc->screen->listenInterface = htonl(INADDR_LOOPBACK);
    } else {
        vnc->screen->port = port;
        rfbStringToAddr((char *)host, &vnc->screen->listenInterface);
    }
    rfbInitServer(vnc->screen);
    if ((ipv6 ? vnc->screen->listen6Sock : vnc->screen->listenSock) < 0)
        return error_set(err, -EADDRINUSE, "--display: %s port %d cannot be used; choose another",
                         host, port);
    return 0;
}

/* The library takes any listening socket that is among those that it waits for. */
static int listen_unix(struct vnc *vnc, const char *path, struct error *err)
{
    int fd = -1, r = unixsock_listen(path, "--display", &fd, err);

    if (r < 0)
        return r;
    vnc->socket_path = strdup(path);
    rfbInitServer(vnc->screen);
    vnc->screen->listenSock = fd;
    FD_SET(fd, &vnc->screen->allFds);
    vnc->screen->maxFd = MAX(vnc->screen->maxFd, fd);
    return 0;
}

int vnc_new(const char *address, const char *name, struct vnc **ret_vnc, struct error *err)
{
    bool ipv6 = false, local = !strncmp(address, "unix:", 5);
    struct vnc *vnc;
    char host[64];
    int port = 0, r = 0;

    if (!local)
        r = split_address(address, host, sizeof(host), &port, &ipv6, err);
    if (r == 0 && !local)
        r = port_is_free(host, port, ipv6, err);
    if (r < 0)
        return r;
    vnc = calloc(1, sizeof(*vnc));
    if (!vnc)
        return -ENOMEM;
    rfbLog = no_log;
    rfbErr = no_log;
    vnc->width = FIRST_WIDTH;
    vnc->height = FIRST_HEIGHT;
    vnc->pixels = calloc((size_t)vnc->width * vnc->height, sizeof(*vnc->pixels));
    vnc->screen = rfbGetScreen(NULL, NULL, (int)vnc->width, (int)vnc->height, 8, 3, 4);
    if (!vnc->pixels || !vnc->screen) {
        vnc_free(vnc);
        return -ENOMEM;
    }
    screen_setup(vnc, name);
    r = local ? listen_unix(vnc, address + 5, err) : listen_tcp(vnc, host, port, ipv6, err);
    if (r < 0) {
        vnc_free(vnc);
        return r;
    }
    *ret_vnc = vnc;
    return 0;
}

int vnc_start(struct vnc *vnc, struct machine *machine, struct error *err)
{
    int r;

    vnc->machine = machine;
    r = pthread_create(&vnc->thread, NULL, serve, vnc);
    if (r)
        return error_set(err, -r, "--display: starting a thread: %s", strerror(r));
    vnc->running = true;
    return 0;
}

struct vnc *vnc_free(struct vnc *vnc)
{
    if (!vnc)
        return NULL;
    if (vnc->running) {
        atomic_store(&vnc->stop, true);
        pthread_join(vnc->thread, NULL);
    }
    if (vnc->screen) {
        char *listen6 = vnc->screen->listen6Interface;

        rfbShutdownServer(vnc->screen, TRUE);
        vnc->screen->frameBuffer = NULL;
        vnc->screen->listen6Interface = NULL;
        rfbScreenCleanup(vnc->screen);
        free(listen6);
    }
    if (vnc->socket_path)
        unlink(vnc->socket_path);
    free(vnc->socket_path);
    free(vnc->pixels);
    free(vnc);
    return NULL;
}
