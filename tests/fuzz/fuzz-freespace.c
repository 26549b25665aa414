/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_block */
/*
 * The free space of file systems that contradict themselves. Input: pieces of a disk of 4 MiB, each
 * 2 bytes of place (in sectors), 2 of length, and its bytes. Whatever it says, what is called free
 * lies on the disk.
 */
#include "block/freespace.h"
#include "fuzz/fuzzinput.h"
#include "unit/hw/memdisk.h"

#define DISK_BYTES (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct memdisk *disk = memdisk_new(DISK_BYTES);
    struct freespace f;
    uint8_t buf[8192];
    memset(disk->bytes, 0, DISK_BYTES);
    while (in.left > 4) {
        uint64_t at = input_get(&in, 2) * 512, len = input_get(&in, 2);
        len = MIN(len, (uint64_t)in.left);
        len = at < DISK_BYTES ? MIN(len, DISK_BYTES - at) : 0;
        memcpy(disk->bytes + at, in.at, len);
        in.at += len;
        in.left -= len;
    }
    if (freespace_find(&disk->blk, &f) == 0) {
        uint64_t free_bytes = 0;
        for (uint64_t at = 0; at < DISK_BYTES; at += FREESPACE_GRAIN_BYTES)
            free_bytes += freespace_covers(&f, at, 1) ? FREESPACE_GRAIN_BYTES : 0;
        fuzz_require(free_bytes == f.free_bytes && free_bytes <= DISK_BYTES);
        fuzz_require(!freespace_covers(&f, DISK_BYTES - 1, 2));
        memset(buf, 1, sizeof(buf));
        freespace_clear(&f, buf, DISK_BYTES - 5000, 5000);
        fuzz_require(buf[5000] == 1);
        freespace_done(&f);
    }
    blk_close(&disk->blk);
    return 0;
}
