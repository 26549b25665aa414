/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_block */
/*
 * A client of the NBD server that says anything, to a small disk in memory. The first byte: 1 the
 * disk is read-only. What the server answers is thrown away.
 */
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "block/nbd.h"
#include "block/raw.h"
#include "fuzz/fuzzinput.h"
#include "unit/block/fake-file.h"

#define DISK_BYTES 65536u

struct speech {
    const uint8_t *bytes;
    size_t len;
    int fd;
};

static void *listen_main(void *arg)
{
    const struct speech *speech = arg;
    uint8_t buf[65536];
    while (read(speech->fd, buf, sizeof(buf)) > 0)
        continue;
    return NULL;
}

static void *speak_main(void *arg)
{
    const struct speech *speech = arg;
    size_t done = 0;
    while (done < speech->len) {
        ssize_t n = send(speech->fd, speech->bytes + done, speech->len - done, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    shutdown(speech->fd, SHUT_WR);
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_file *f;
    struct blk *blk;
    pthread_t listener, speaker;
    int fds[2];
    if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
        return 0;
    f = fake_new(DISK_BYTES);
    f->now_bytes = DISK_BYTES;
    if (raw_new(&f->file, DISK_BYTES, data[0] & 1, RAW_PLAIN, &blk) < 0)
        abort();
    struct speech speech = {data + 1, size - 1, fds[1]};
    if (pthread_create(&listener, NULL, listen_main, &speech) ||
        pthread_create(&speaker, NULL, speak_main, &speech))
        abort();
    (void)nbd_serve(blk, fds[0]);
    close(fds[0]);
    pthread_join(speaker, NULL);
    pthread_join(listener, NULL);
    close(fds[1]);
    blk_close(blk);
    return 0;
}
