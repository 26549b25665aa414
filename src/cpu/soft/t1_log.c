/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/t1_log.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_ROOM "soft"
#include "base/log.h"

int t1_log_map_open(int *ret_fd, struct error *err)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    /* In a folder that everybody writes to: never through somebody else's link. */
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_set(err, -errno, "--engine soft,perf-map: %s: %s", path, strerror(errno));
    *ret_fd = fd;
    return 0;
}

void t1_log_map(int fd, uint64_t code, uint64_t code_bytes, uint64_t guest_rip, int user)
{
    char line[96];
    int n = snprintf(line, sizeof(line), "%llx %llx guest_%s_%llx\n", (unsigned long long)code,
                     (unsigned long long)code_bytes, user ? "user" : "kernel",
                     (unsigned long long)guest_rip);
    /* A name that is missing costs nothing but itself. */
    if (n > 0 && write(fd, line, (size_t)n) < 0)
        return;
}

void t1_log_code(const char *title, const uint8_t *host, size_t len_bytes, uint64_t rip,
                 unsigned bits)
{
    ZydisMachineMode mode = bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                         : ZYDIS_MACHINE_MODE_LEGACY_16;
    ZydisDisassembledInstruction in;

    /* At a level that is always shown: somebody has asked for it. */
    for (size_t at = 0; at < len_bytes;) {
        if (!ZYAN_SUCCESS(ZydisDisassembleIntel(mode, rip + at, host + at, len_bytes - at, &in))) {
            log_warning("%s %016llx  (%02x)", title, (unsigned long long)(rip + at), host[at]);
            at++;
            continue;
        }
        log_warning("%s %016llx  %s", title, (unsigned long long)(rip + at), in.text);
        at += in.info.length;
    }
}
