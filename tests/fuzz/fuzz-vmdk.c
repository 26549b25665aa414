/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_block */
/*
 * A vmdk file from anywhere: opened, mapped and read all over.
 */
#include <stdio.h>

#include "block/vmdk.h"
#include "fuzz/fuzzinput.h"
#include "unit/block/fake-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blk *blk = NULL;
    struct error err = {""};
    if (size > 1u << 20)
        return 0;
    struct fake_file *f = fake_new(MAX(size, (size_t)512));
    f->keep = true;
    if (size)
        memcpy(f->now, data, size);
    f->now_bytes = size;
    if (size >= 512 && vmdk_probe(data)) {
        int r = vmdk_open(&f->file, &blk, &err);
        fuzz_require(r == 0 || err.text[0]); /* every refusal says why */
    }
    for (unsigned i = 0; blk && i < 32; i++) {
        static uint8_t buf[150000];
        struct blk_extent e;
        uint64_t at = i < 16 ? i * 65536ull : blk->size_bytes / 16 * (i - 16);
        if (at >= blk->size_bytes)
            continue;
        (void)blk_pread(blk, buf, MIN(blk->size_bytes - at, (uint64_t)sizeof(buf)), at);
        if (blk_map(blk, at, MIN(blk->size_bytes - at, 1ull << 24), &e) == 0)
            fuzz_require(e.len_bytes > 0 && e.len_bytes <= blk->size_bytes - at);
    }
    blk_close(blk);
    free(f->file.name);
    fake_free(f);
    return 0;
}
