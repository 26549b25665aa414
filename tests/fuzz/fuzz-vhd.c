/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_block */
/*
 * A VHD file from anywhere: opened, read, written, closed, opened again. Input: a byte of
 * options, then the file. Options: 1 open for writing; 2 put right checksums first, so that the
 * fuzzer gets past them; 4 an odd end (511-byte footer).
 */
#include <stdio.h>

#include "base/bytes.h"
#include "block/vhd.h"
#include "fuzz/fuzzinput.h"
#include "unit/block/fake-file.h"

#define ROOM_BYTES (2u << 20)

static void repair(uint8_t *raw, uint64_t size)
{
    const uint64_t ends[2] = {0, size - 512};
    for (unsigned i = 0; size >= 512 && i < 2; i++) {
        uint8_t *f = raw + ends[i];
        uint32_t sum = 0;
        memset(f + 64, 0, 4);
        for (unsigned k = 0; k < 512; k++)
            sum += f[k];
        be32_put(f + 64, ~sum);
        uint64_t at = be64_get(f + 16);
        if (!vhd_footer_cookie(f) || at > size || size - at < 1024 || at < 512)
            continue;
        sum = 0;
        memset(raw + at + 36, 0, 4);
        for (unsigned k = 0; k < 1024; k++)
            sum += raw[at + k];
        be32_put(raw + at + 36, ~sum);
    }
}

static void use(struct blk *blk, struct input in)
{
    uint8_t buf[3000];
    for (unsigned i = 0; i < 8; i++) {
        uint64_t at = input_get(&in, 8) % blk->size_bytes;
        uint64_t len = MIN(blk->size_bytes - at, sizeof(buf));
        struct iovec iov = {buf, len};
        struct blk_req req = {.op = (enum blk_op)(i % 5),
                              .offset_bytes = at,
                              .len_bytes = len,
                              .iov = &iov,
                              .iov_count = 1};
        memset(buf, (int)i, sizeof(buf));
        if (req.op == BLK_READ || !blk->readonly)
            (void)blk->ops->run(blk, &req);
    }
    (void)blk_pread(blk, buf, MIN(sizeof(buf), blk->size_bytes), 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t options = (uint8_t)input_get(&in, 1);
    if (in.left > ROOM_BYTES / 2)
        return 0;
    struct fake_file *f = fake_new(ROOM_BYTES);
    f->keep = true;
    memcpy(f->now, in.at, in.left);
    f->now_bytes = in.left;
    if (options & 2)
        repair(f->now, f->now_bytes);
    if (options & 4 && f->now_bytes)
        f->now_bytes--;

    for (unsigned round = 0; round < 2; round++) {
        struct vhd_footer footer;
        uint64_t at;
        struct blk *blk;
        struct error err = {""};
        int r = vhd_probe(&f->file, &footer, &at, &err);
        if (r == 1)
            r = vhd_open(&f->file, &footer, at, !(options & 1), NULL, &blk, &err) == 0 ? 1 : -1;
        fuzz_require(r >= 0 || err.text[0]); /* every refusal says why */
        if (r != 1)
            break;
        use(blk, in);
        blk_close(blk);
    }
    free(f->file.name);
    fake_free(f);
    return 0;
}
