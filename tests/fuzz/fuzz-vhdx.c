/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_block */
/*
 * A VHDX file from anywhere: its log replayed, its parent looked for, mapped and read all over.
 * The format begins with megabytes of room, so the input is pieces: a place in units of 512
 * bytes, a length, that many bytes. The first byte: 1 put right checksums first.
 */
#include <stdio.h>

#include "base/bytes.h"
#include "block/vhdx.h"
#include "fuzz/fuzzinput.h"
#include "unit/block/fake-file.h"

#define ROOM_BYTES (6u << 20)

static void seal(uint8_t *raw, const char *magic, size_t len)
{
    if (!memcmp(raw, magic, 4))
        le32_put(raw + 4, vhdx_checksum(raw, len, 4));
}

static void repair(uint8_t *raw)
{
    seal(raw + 65536, "head", 4096);
    seal(raw + 131072, "head", 4096);
    seal(raw + 196608, "regi", 65536);
    for (uint32_t at = 1 << 20; at < 1064960; at += 4096)
        if (le32_get(raw + at + 8) <= 65536)
            seal(raw + at, "loge", le32_get(raw + at + 8));
}

static void use(struct blk *blk)
{
    static uint8_t buf[150000];
    for (unsigned i = 0; i < 24; i++) {
        struct blk_extent e;
        uint64_t at = i < 12 ? i * 400000ull : blk->size_bytes / 12 * (i - 12);
        if (at >= blk->size_bytes)
            continue;
        (void)blk_pread(blk, buf, MIN(blk->size_bytes - at, (uint64_t)sizeof(buf)), at);
        if (blk_map(blk, at, MIN(blk->size_bytes - at, 1ull << 24), &e) == 0)
            fuzz_require(e.len_bytes > 0 && e.len_bytes <= blk->size_bytes - at);
    }
}

/* What is written, and then flushed, is there. */
static void change(struct blk *blk)
{
    uint8_t byte[3] = "abc", back[3];
    for (unsigned i = 0; i < 4; i++) {
        uint64_t at = blk->size_bytes / 4 * i;
        if (blk->size_bytes < 16 || blk_pwrite(blk, byte, sizeof(byte), at) < 0)
            continue;
        if (i & 1)
            (void)blk_zero(blk, 1, at + 3);
        (void)blk_flush(blk);
        if (blk_pread(blk, back, sizeof(back), at) == 0)
            fuzz_require(!memcmp(back, byte, sizeof(back)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct vhdx_parent parent = {.wanted = false};
    struct error err = {""};
    struct blk *blk = NULL;
    struct fake_file *f = fake_new(ROOM_BYTES);
    uint8_t options = (uint8_t)input_get(&in, 1);
    f->keep = true;
    while (in.left > 4) {
        uint64_t at = input_get(&in, 2) * 512;
        uint64_t len = MIN(input_get(&in, 2), in.left);
        len = at < ROOM_BYTES ? MIN(len, ROOM_BYTES - at) : 0;
        memcpy(f->now + at, in.at, len);
        f->now_bytes = MAX(f->now_bytes, at + len);
        in.at += len;
        in.left -= len;
    }
    f->now_bytes = align_up(f->now_bytes, 1 << 20);
    if (options & 1)
        repair(f->now);
    int r = vhdx_find_parent(&f->file, "/", &parent, &err);
    fuzz_require(r == 0 || err.text[0]); /* every refusal says why */
    parent_paths_done(&parent.paths);
    /* First only read; then, if it lets us, written to. */
    for (unsigned i = 0; i < 2; i++) {
        unsigned changes = f->changes;
        blk = NULL;
        r = vhdx_open(&f->file, i == 0, NULL, &blk, &err);
        fuzz_require(r == 0 || err.text[0]);
        if (r == 0)
            use(blk);
        fuzz_require(i || f->changes == changes);
        if (r == 0 && i)
            change(blk);
        blk_close(blk);
    }
    free(f->file.name);
    fake_free(f);
    return 0;
}
