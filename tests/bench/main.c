/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench list           names of the workloads
 * bench run NAME       measure one: prints "bench NAME NANOSECONDS-PER-UNIT"
 * bench command ARG…   measure a program run again and again, its output thrown away
 * bench text BYTES     print a text that is the same everywhere
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

/* A measurement has to last this long to be believed; the best of ROUNDS is printed. */
#define ENOUGH_NS 150000000ULL
#define ROUNDS 3

static const struct bench *const GROUPS[] = {bench_integer, bench_float, bench_memory,
                                             bench_system};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

static uint64_t measure_ns(bench_function *run, uint64_t count)
{
    static volatile uint64_t sink;
    uint64_t begin = now_ns();

    sink += run(count);
    return now_ns() - begin;
}

/* Find a count that takes long enough, whatever the machine's speed, then take the best round. */
static int report(const char *name, bench_function *run)
{
    uint64_t count = 1, best, ns;

    if (run(0) == BENCH_UNSUPPORTED) {
        printf("bench %s unsupported\n", name);
        return 0;
    }
    for (;;) {
        best = measure_ns(run, count);
        if (best >= ENOUGH_NS)
            break;
        /* Towards the goal, by at most a hundred times, for the first ones are the least sure. */
        ns = best ? best : 1;
        if (ns * 100 < ENOUGH_NS)
            count *= 100;
        else
            count = count * (ENOUGH_NS + ENOUGH_NS / 5) / ns + 1;
    }
    for (int round = 1; round < ROUNDS; round++) {
        ns = measure_ns(run, count);
        if (ns < best)
            best = ns;
    }
    printf("bench %s %.3f\n", name, (double)best / (double)count);
    return 0;
}

static char **command_argv;

static uint64_t run_command(uint64_t count)
{
    uint64_t failures = 0;

    for (uint64_t i = 0; i < count; i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

            if (null >= 0)
                dup2(null, STDOUT_FILENO);
            execv(command_argv[0], command_argv);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
            failures++;
    }
    if (failures) {
        fprintf(stderr, "bench: %s failed\n", command_argv[0]);
        exit(1);
    }
    return failures;
}

static int print_text(uint64_t bytes)
{
    static const char *const WORDS[] = {"guest",  "machine", "disk",   "memory", "clock", "page",
                                        "signal", "window",  "number", "letter", "time",  "of",
                                        "the",    "a",       "and",    "every"};
    uint64_t state = 42, done = 0;

    while (done < bytes) {
        uint64_t r = bench_random(&state);
        int n = (r & 7) == 7 ? printf("%u\n", (unsigned)(r >> 40))
                             : printf("%s ", WORDS[(r >> 20) % 16]);

        if (n < 0)
            return 1;
        done += (uint64_t)n;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "nothing"))
        return 0;
    if (argc == 3 && !strcmp(argv[1], "text"))
        return print_text(strtoull(argv[2], NULL, 0));
    if (argc >= 3 && !strcmp(argv[1], "command")) {
        command_argv = argv + 2;
        return report("command", run_command);
    }
    for (unsigned g = 0; g < sizeof(GROUPS) / sizeof(GROUPS[0]); g++) {
        for (const struct bench *b = GROUPS[g]; b->name; b++) {
            if (argc == 2 && !strcmp(argv[1], "list"))
                printf("%s\t%s\n", b->name, b->what);
            if (argc == 3 && !strcmp(argv[1], "run") && !strcmp(argv[2], b->name))
                return report(b->name, b->run);
        }
    }
    if (argc == 2 && !strcmp(argv[1], "list"))
        return 0;
    fprintf(stderr, "usage: bench list | run NAME | command PROGRAM… | text BYTES\n");
    return 2;
}
