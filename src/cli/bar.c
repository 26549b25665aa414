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
    if (stopped)
        return false;
    int percent = total ? (int)(done * 100.0 / (double)total) : 100;
    if (bar->shown && percent != bar->percent) {
        char cells[CELLS + 1];
        for (int i = 0; i < CELLS; i++)
            cells[i] = i < percent * CELLS / 100 ? '#' : ' ';
        cells[CELLS] = '\0';
        fprintf(stderr, "\r%s [%s] %3d%%", bar->what, cells, percent);
        bar->percent = percent;
    } else if (bar->progress_fd >= 0 && percent != bar->percent) {
        dprintf(bar->progress_fd, "%d\n", percent);
        bar->percent = percent;
    }
    return !stopped;
}

/* YADO_PROGRESS_FD: who has started us wants to know, a percentage a line. */
static int progress_fd(void)
{
    const char *text = getenv("YADO_PROGRESS_FD");
    char *end;
    long fd = text ? strtol(text, &end, 10) : -1;

    return text && *text && !*end && fd > 2 && fd < 1024 ? (int)fd : -1;
}

void bar_begin(struct bar *bar, const char *what)
{
    struct sigaction action = {.sa_handler = stop};
    stopped = 0;
    *bar = (struct bar){.progress = {bar_step, bar},
                        .what = what,
                        .shown = isatty(STDERR_FILENO) == 1,
                        .progress_fd = progress_fd(),
                        .percent = -1};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    /* From here on it can be stopped. */
    if (bar->progress_fd >= 0 && !bar->shown)
        bar_step(bar, 0, 1);
}

void bar_end(struct bar *bar)
{
    if (bar->shown && bar->percent >= 0)
        fprintf(stderr, "\r%*s\r", CELLS + 10 + 20, "");
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
}
