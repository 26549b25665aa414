/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel does for programs: calls, faults, signals, processes, and the disk. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static uint64_t system_call(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count * 10; i++)
        sum += (uint64_t)syscall(SYS_getppid);
    return sum;
}

static uint64_t page_fault(uint64_t count)
{
    const size_t size = 64 * 4096;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        uint8_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
            return BENCH_UNSUPPORTED;
        for (size_t at = 0; at < size; at += 4096)
            p[at] = 1;
        sum += p[4096];
        munmap(p, size);
    }
    return sum;
}

static void on_signal(int number)
{
    (void)number;
}

static uint64_t signals(uint64_t count)
{
    struct sigaction action = {.sa_handler = on_signal};

    if (sigaction(SIGUSR1, &action, NULL) < 0)
        return BENCH_UNSUPPORTED;
    for (uint64_t i = 0; i < count; i++)
        raise(SIGUSR1);
    return count;
}

/* A byte to another process and back. */
static uint64_t ping_pong(uint64_t count)
{
    int there[2], back[2];
    uint64_t sum = 0;
    uint8_t byte = 1;
    pid_t pid;

    if (!count)
        return 0;
    if (pipe2(there, O_CLOEXEC) < 0)
        return BENCH_UNSUPPORTED;
    if (pipe2(back, O_CLOEXEC) < 0) {
        close(there[0]);
        close(there[1]);
        return BENCH_UNSUPPORTED;
    }
    pid = fork();
    if (pid == 0) {
        close(there[1]);
        while (read(there[0], &byte, 1) == 1) {
            if (write(back[1], &byte, 1) != 1)
                break;
        }
        _exit(0);
    }
    close(there[0]);
    for (uint64_t i = 0; pid > 0 && i < count; i++) {
        if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
            break;
        sum += byte;
    }
    close(there[1]);
    close(back[0]);
    close(back[1]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return sum;
}

static uint64_t fork_wait(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
            _exit(0);
        if (pid < 0 || waitpid(pid, &status, 0) < 0)
            return BENCH_UNSUPPORTED;
        sum += (uint64_t)status;
    }
    return sum;
}

static uint64_t fork_exec(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            execl("/proc/self/exe", "bench", "nothing", (char *)NULL);
            _exit(127);
        }
        if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
            return BENCH_UNSUPPORTED;
        sum += (uint64_t)status;
    }
    return sum;
}

/* The disk in BENCH_DISK (a block device, or a file natively), past the page cache. */
#define DISK_BYTES (32u << 20)

static int disk_open(void)
{
    const char *path = getenv("BENCH_DISK");

    return path ? open(path, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
}

static void *disk_buffer(void)
{
    static void *buffer;

    if (!buffer && posix_memalign(&buffer, 4096, 1u << 20) != 0)
        buffer = NULL;
    return buffer;
}

static uint64_t disk_work(uint64_t count, size_t size, int random, int writing)
{
    uint8_t *buffer = disk_buffer();
    uint64_t state = 11, at = 0, sum = 0;
    int fd = disk_open();

    if (fd < 0 || !buffer) {
        if (fd >= 0)
            close(fd);
        return BENCH_UNSUPPORTED;
    }
    for (uint64_t i = 0; i < count; i++) {
        ssize_t n;

        at = random ? bench_random(&state) % (DISK_BYTES / size) * size : (at + size) % DISK_BYTES;
        buffer[0] = (uint8_t)i;
        n = writing ? pwrite(fd, buffer, size, (off_t)at) : pread(fd, buffer, size, (off_t)at);
        if (n != (ssize_t)size) {
            perror("bench: disk");
            exit(1);
        }
        sum += buffer[0];
    }
    close(fd);
    return sum;
}

static uint64_t disk_write(uint64_t count)
{
    return disk_work(count, 1u << 20, 0, 1);
}

static uint64_t disk_read(uint64_t count)
{
    return disk_work(count, 1u << 20, 0, 0);
}

static uint64_t disk_read_4k(uint64_t count)
{
    return disk_work(count, 4096, 1, 0);
}

const struct bench bench_system[] = {
    {"system-call", system_call, "10 getppid"},
    {"page-fault", page_fault, "64 pages"},
    {"signal", signals, "one to itself"},
    {"pipe-ping-pong", ping_pong, "a byte there and back"},
    {"fork", fork_wait, "one child"},
    {"fork-exec", fork_exec, "one small program"},
    {"disk-write", disk_write, "1 MiB in order"},
    {"disk-read", disk_read, "1 MiB in order"},
    {"disk-read-4k", disk_read_4k, "4 KiB anywhere"},
    {NULL, NULL, NULL},
};
