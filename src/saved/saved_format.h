/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a saved machine (docs/saved-state.md): a head, then records, each a frame and a
 * payload. All numbers are little-endian.
 */
#ifndef SAVED_SAVED_FORMAT_H
#define SAVED_SAVED_FORMAT_H

#include <pthread.h>
#include <string.h>

#include "base/bytes.h"
#include "base/util.h"
#include "saved/saved.h"

#define SAVED_MAGIC "YADOSAVE"
#define SAVED_VERSION 1u
#define SAVED_HEAD_BYTES 16u  /* magic, version, bytes of a chunk of memory */
#define SAVED_FRAME_BYTES 32u /* type, flags, offset, raw length, stored length, two CRC-32s */
#define SAVED_WORKERS_MAX 8u

enum saved_type { SAVED_MANIFEST = 1, SAVED_DEVICES, SAVED_MEMORY, SAVED_END };

enum { SAVED_ZSTD = 1 }; /* flags */

struct saved_frame {
    uint32_t type, flags;
    uint64_t offset; /* SAVED_MEMORY: of the chunk; SAVED_END: number of the records before */
    uint32_t raw_bytes, stored_bytes;
    uint32_t crc; /* of the payload as stored */
};

void saved_frame_put(const struct saved_frame *frame, uint8_t buf[SAVED_FRAME_BYTES]);
/* -EBADMSG when its own checksum is wrong. */
int saved_frame_get(const uint8_t buf[SAVED_FRAME_BYTES], struct saved_frame *ret_frame);
uint32_t saved_crc(const void *data, size_t len_bytes);

/*
 * Run work(ctx) by as many threads as the host has processors, this one included; returns when
 * all are back.
 */
void saved_work(void (*work)(void *ctx), void *ctx);

#endif
