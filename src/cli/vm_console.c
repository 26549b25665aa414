/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `yado vm serial` and `yado vm screen`: what a machine's serial line and screen show, here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "cli/vm.h"

#define ESCAPE 0x1d /* Ctrl-], as telnet and virsh have it */

/* The path of a machine's console in the API. CLI_OK, or an exit status after saying why. */
static int console_path(struct remote *r, const char *which, char path[96])
{
    char id[17];
    json_t *machine = NULL;
    int status = remote_machine(r, r->args[0], id);

    if (status != CLI_OK)
        return status;
    snprintf(path, 96, "/machines/%s", id);
    status = remote_do(r, "GET", path, NULL, NULL, &machine);
    if (status == CLI_OK) {
        const char *state = remote_text(machine, "state");
        if (strcmp(state, "running") != 0 && strcmp(state, "paused") != 0)
            status = remote_error(r, CLI_FAILED, "%s is %s; start it first", r->args[0], state);
    }
    json_decref(machine);
    snprintf(path, 96, "/machines/%s/%s", id, which);
    return status;
}

static int lead(struct remote *r, const char *path, int in, int out, int escape)
{
    struct error err = {""};

    if (client_stream(r->client, path, in, out, escape, &err) < 0)
        return remote_error(r, CLI_FAILED, "%s", err.text);
    return CLI_OK;
}

int vm_serial(struct remote *r)
{
    struct termios before, raw;
    bool terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    char path[96];
    int status = console_path(r, "serial", path);

    if (status != CLI_OK)
        return status;
    if (terminal) {
        fprintf(stderr, "%s: Ctrl-] ends\n", r->args[0]);
        raw = before;
        cfmakeraw(&raw);
        tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
    }
    status = lead(r, path, STDIN_FILENO, STDOUT_FILENO, terminal ? ESCAPE : -1);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
        fputc('\n', stderr);
    }
    return status;
}

/* A socket of this host's own that listens at a port, 0: any. -errno with its number. */
static int listen_here(unsigned long port, unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    *ret_port = ntohs(at.sin_port);
    return fd;
}

int vm_screen(struct remote *r)
{
    unsigned long wanted = 0;
    unsigned port = 0;
    char path[96], *end = NULL;

    if (r->count > 1) {
        wanted = strtoul(r->args[1], &end, 10);
        if (!*r->args[1] || *end || wanted > 65535)
            return remote_error(r, CLI_USAGE, "'%s' is not a port", r->args[1]);
    }
    int status = console_path(r, "vnc", path);
    if (status != CLI_OK)
        return status;
    AUTO_FD int door = listen_here(wanted, &port);
    if (door < 0)
        return remote_error(r, CLI_FAILED, "port %lu of 127.0.0.1: %s", wanted, strerror(-door));
    printf("127.0.0.1:%u waits for one VNC viewer\n", port);
    fflush(stdout);
    AUTO_FD int viewer = accept4(door, NULL, NULL, SOCK_CLOEXEC);
    if (viewer < 0)
        return remote_error(r, CLI_FAILED, "accept: %s", strerror(errno));
    return lead(r, path, viewer, viewer, -1);
}
