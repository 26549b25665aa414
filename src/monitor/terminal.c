/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw mode of a terminal, termios(3). The saved settings are this file's only state and the one
 * thing in the program that belongs to the process and not to a machine: a signal handler has to
 * find them.
 */
#include "monitor/terminal.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

static struct termios saved;
static volatile sig_atomic_t raw_fd = -1;

static const int deadly[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT, SIGSYS};

void terminal_restore(void)
{
    int fd = raw_fd;

    if (fd < 0)
        return;
    raw_fd = -1;
    tcsetattr(fd, TCSANOW, &saved);
}

/*
 * The disposition is the default again by SA_RESETHAND, and ends us; but nobody's default ends the
 * first process of a PID namespace, which a machine is in its jail.
 */
static void die(int sig)
{
    terminal_restore();
    raise(sig);
    _exit(128 + sig);
}

void terminal_prepare(void)
{
    struct sigaction sa = {.sa_handler = die, .sa_flags = SA_RESETHAND | SA_NODEFER};

    sigemptyset(&sa.sa_mask);
    for (size_t i = 0; i < ARRAY_LEN(deadly); i++)
        sigaction(deadly[i], &sa, NULL);
}

bool terminal_raw(int fd)
{
    struct termios raw;

    if (!isatty(fd) || tcgetpgrp(fd) != getpgrp() || tcgetattr(fd, &saved) < 0)
        return false;
    raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag |= OPOST; /* lines of our own end in a bare newline */
    if (tcsetattr(fd, TCSANOW, &raw) < 0)
        return false;
    raw_fd = fd;
    return true;
}
