/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "saved/saved_format.h"

#include <errno.h>
#include <zlib.h>

uint32_t saved_crc(const void *data, size_t len_bytes)
{
    return (uint32_t)crc32_z(0, data, len_bytes);
}

void saved_frame_put(const struct saved_frame *frame, uint8_t buf[SAVED_FRAME_BYTES])
{
    le32_put(buf, frame->type);
    le32_put(buf + 4, frame->flags);
    le64_put(buf + 8, frame->offset);
    le32_put(buf + 16, frame->raw_bytes);
    le32_put(buf + 20, frame->stored_bytes);
    le32_put(buf + 24, frame->crc);
    le32_put(buf + 28, saved_crc(buf, 28));
}

int saved_frame_get(const uint8_t buf[SAVED_FRAME_BYTES], struct saved_frame *ret_frame)
{
    if (le32_get(buf + 28) != saved_crc(buf, 28))
        return -EBADMSG;
    *ret_frame = (struct saved_frame){.type = le32_get(buf),
                                      .flags = le32_get(buf + 4),
                                      .offset = le64_get(buf + 8),
                                      .raw_bytes = le32_get(buf + 16),
                                      .stored_bytes = le32_get(buf + 20),
                                      .crc = le32_get(buf + 24)};
    return 0;
}

struct crew {
    void (*work)(void *ctx);
    void *ctx;
};

static void *crew_main(void *arg)
{
    struct crew *crew = arg;

    crew->work(crew->ctx);
    return NULL;
}

void saved_work(void (*work)(void *ctx), void *ctx)
{
    struct crew crew = {work, ctx};
    pthread_t threads[SAVED_WORKERS_MAX];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned wanted = cpus > 1 ? MIN((unsigned)cpus, SAVED_WORKERS_MAX) - 1 : 0, made = 0;

    /* Fewer threads than wanted only take longer. */
    while (made < wanted && pthread_create(&threads[made], NULL, crew_main, &crew) == 0)
        made++;
    work(ctx);
    while (made)
        pthread_join(threads[--made], NULL);
}
