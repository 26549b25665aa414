/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Files of /proc are short, and have no size to ask for. */
static size_t read_text(const char *path, char *buf, size_t room)
{
    AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    ssize_t n = 0;

    while (fd >= 0 && len + 1 < room && (n = read(fd, buf + len, room - 1 - len)) > 0)
        len += (size_t)n;
    buf[len] = '\0';
    return len;
}

unsigned host_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? (unsigned)n : 1;
}

static uint64_t field_kib(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

uint64_t host_memory_bytes(void)
{
    char text[4096];

    read_text("/proc/meminfo", text, sizeof(text));
    return KIB(field_kib(text, "MemTotal:"));
}

uint64_t host_memory_available_bytes(void)
{
    char text[4096];

    read_text("/proc/meminfo", text, sizeof(text));
    return KIB(field_kib(text, "MemAvailable:"));
}

char *host_boot_id(void)
{
    char text[64];

    read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text));
    text[strcspn(text, "\n")] = '\0';
    return *text ? strdup(text) : NULL;
}

void host_cpu_model(char *buf, size_t room)
{
    char text[4096];
    const char *at;

    *buf = '\0';
    read_text("/proc/cpuinfo", text, sizeof(text));
    at = strstr(text, "model name");
    at = at ? strchr(at, ':') : NULL;
    if (!at)
        return;
    at += strspn(at, ": \t");
    snprintf(buf, room, "%.*s", (int)strcspn(at, "\n"), at);
}

void host_cpu_times(uint64_t *ret_busy, uint64_t *ret_total)
{
    char text[512];
    unsigned long long t[8] = {0};

    *ret_busy = *ret_total = 0;
    read_text("/proc/stat", text, sizeof(text));
    if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3],
               &t[4], &t[5], &t[6], &t[7]) < 4)
        return;
    for (unsigned i = 0; i < 8; i++)
        *ret_total += t[i];
    *ret_busy = *ret_total - t[3] - t[4];
}

bool host_has_kvm(void)
{
    AUTO_FD int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    return fd >= 0;
}

bool host_process_read(pid_t pid, struct host_process *ret)
{
    unsigned long long utime, stime;
    long long pages;
    char path[64], text[2048];
    const char *at;

    *ret = (struct host_process){0};
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_text(path, text, sizeof(text)))
        return false;
    at = strrchr(text, ')'); /* the name before it may hold anything */
    if (!at || sscanf(at + 2,
                      "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
                      "%*d %*u %*u %lld",
                      &utime, &stime, &pages) != 3)
        return false;
    ret->cpu_seconds = (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
    ret->memory_bytes = (uint64_t)MAX(pages, 0LL) * (uint64_t)sysconf(_SC_PAGESIZE);
    snprintf(path, sizeof(path), "/proc/%d/io", (int)pid);
    read_text(path, text, sizeof(text));
    at = strstr(text, "\nread_bytes: ");
    if (at)
        ret->disk_read_bytes = strtoull(at + 13, NULL, 10);
    at = strstr(text, "\nwrite_bytes: ");
    if (at)
        ret->disk_write_bytes = strtoull(at + 14, NULL, 10);
    return true;
}
