/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/disk.h"

#define CELLS 40

static volatile sig_atomic_t stopped;

static void stop(int sig)
{
    (void)sig;
    stopped = 1;
}

static bool bar_step(void *ctx, uint64_t done, uint64_t total)
{
    struct bar *bar = ctx;
    int percent = total ? (int)(done * 100.0 / (double)total) : 100;
    if (bar->shown && percent != bar->percent) {
        char cells[CELLS + 1];
        for (int i = 0; i < CELLS; i++)
            cells[i] = i < percent * CELLS / 100 ? '#' : ' ';
        cells[CELLS] = '\0';
        fprintf(stderr, "\r%s [%s] %3d%%", bar->what, cells, percent);
        bar->percent = percent;
    }
    return !stopped;
}

void bar_begin(struct bar *bar, const char *what)
{
    struct sigaction action = {.sa_handler = stop};
    stopped = 0;
    *bar = (struct bar){.progress = {bar_step, bar},
                        .what = what,
                        .shown = isatty(STDERR_FILENO) == 1,
                        .percent = -1};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

void bar_end(struct bar *bar)
{
    if (bar->shown && bar->percent >= 0)
        fprintf(stderr, "\r%*s\r", CELLS + 10 + 20, "");
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}
