/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VHD images: read and written exactly, by us and by others, whatever the file claims. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "block/vhd.h"
#include "fake-file.h"

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
}

static int try_open(struct fake_file *f, bool readonly, struct blk **ret_blk, struct error *err)
{
    struct vhd_footer footer;
    uint64_t at;
    f->keep = true;
    err->text[0] = '\0';
    int r = vhd_probe(&f->file, &footer, &at, err);
    if (r == 0)
        return -ENOENT;
    return r < 0 ? r : vhd_open(&f->file, &footer, at, readonly, NULL, ret_blk, err);
}

static void drop(struct fake_file *f)
{
    free(f->file.name);
    fake_free(f);
}

/* The table of the specification's rule; MiB sizes are what Windows and VirtualBox write. */
static void geometry(void **ctx)
{
    (void)ctx;
    static const struct {
        uint64_t sectors;
        unsigned c, h, s;
    } rows[] = {
        {6144, 90, 4, 17},           {8192, 120, 4, 17},           {40960, 602, 4, 17},
        {65536, 963, 4, 17},         {81920, 963, 5, 17},          {131072, 963, 8, 17},
        {204800, 1003, 12, 17},      {280576, 565, 16, 31},        {524288, 520, 16, 63},
        {1032192, 1024, 16, 63},     {2097152, 2080, 16, 63},      {16777216, 16644, 16, 63},
        {66059279, 65534, 16, 63},   {66059280, 16191, 16, 255},   {266338304, 65278, 16, 255},
        {267382800, 65535, 16, 255}, {4278190080, 65535, 16, 255},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct vhd_footer f;
        vhd_geometry(rows[i].sectors, &f);
        assert_int_equal(f.cylinders, rows[i].c);
        assert_int_equal(f.heads, rows[i].h);
        assert_int_equal(f.sectors, rows[i].s);
    }
    assert_int_equal(vhd_bitmap_bytes(2u << 20), 512);
    assert_int_equal(vhd_bitmap_bytes(512u << 10), 512);
    assert_int_equal(vhd_bitmap_bytes(4u << 20), 1024);
    assert_int_equal(vhd_bitmap_bytes(512), 512);
}

/* Random work against a plain array, with the image closed and opened again in between. */
static void against_array(uint64_t size_bytes, uint32_t block_bytes, bool no_punch, uint64_t seed)
{
    struct fake_file *f = fake_new(size_bytes * 2 + size_bytes / block_bytes * 8192 + 65536);
    uint8_t *model = calloc(1, size_bytes), *buf = malloc(size_bytes);
    struct blk *blk;
    struct error err;
    f->no_punch = no_punch;
    fake_make_dynamic(f, size_bytes, block_bytes);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    assert_string_equal(blk->ops->format, "vhd-dynamic");
    assert_int_equal(blk->size_bytes, size_bytes);
    for (unsigned step = 0; step < 400; step++) {
        uint64_t at = next(&seed) % size_bytes, len = next(&seed) % (3 * block_bytes);
        if (next(&seed) % 2) {
            at &= ~511ull;
            len = align_up(len, 512);
        }
        len = MIN(len, size_bytes - at);
        /* The list of buffers is cut at random places. */
        struct iovec iov[3];
        uint64_t cut = len ? next(&seed) % len : 0;
        iov[0] = (struct iovec){buf, cut};
        iov[1] = (struct iovec){buf + cut, 0};
        iov[2] = (struct iovec){buf + cut, len - cut};
        struct blk_req req = {.offset_bytes = at, .len_bytes = len, .iov = iov, .iov_count = 3};
        switch (next(&seed) % 8) {
        case 0:
            req.op = BLK_WRITE_ZEROES;
            assert_int_equal(blk->ops->run(blk, &req), 0);
            memset(model + at, 0, len);
            break;
        case 1:
            if (step % 5 == 0) {
                blk_close(blk);
                assert_int_equal(try_open(f, false, &blk, &err), 0);
            }
            break;
        case 2:
        case 3:
            memset(buf, 0xee, size_bytes);
            req.op = BLK_READ;
            assert_int_equal(blk->ops->run(blk, &req), 0);
            assert_memory_equal(buf, model + at, len);
            if (at + len < size_bytes)
                assert_int_equal(buf[len], 0xee);
            break;
        default:
            for (uint64_t i = 0; i < len; i++)
                buf[i] = (uint8_t)next(&seed);
            memcpy(model + at, buf, len);
            req.op = BLK_WRITE;
            req.fua = step % 2;
            assert_int_equal(blk->ops->run(blk, &req), 0);
        }
    }
    assert_int_equal(blk_pread(blk, buf, size_bytes, 0), 0);
    assert_memory_equal(buf, model, size_bytes);
    blk_close(blk);
    assert_int_equal(try_open(f, true, &blk, &err), 0);
    assert_int_equal(blk_pread(blk, buf, size_bytes, 0), 0);
    assert_memory_equal(buf, model, size_bytes);
    assert_int_equal(blk_pwrite(blk, buf, 512, 0), -EROFS);
    blk_close(blk);
    drop(f);
    free(model);
    free(buf);
}

static void property(void **ctx)
{
    (void)ctx;
    against_array(100 * 512, 4096, false, 1);
    against_array(100 * 512, 4096, true, 2);
    against_array(61 * 512, 512, false, 3);
    against_array(1000 * 512, 65536, false, 4);
    against_array(7 * 512, 65536, false, 5);
    against_array(5u << 20, 4u << 20, false, 6);
}

/* A tool that does not zero its blocks: sectors whose bit is clear read as zeroes all the same. */
static void stale_bytes(void **ctx)
{
    (void)ctx;
    struct fake_file *f = fake_new(1 << 20);
    struct blk *blk;
    struct error err;
    uint8_t buf[4096], entry[4];
    fake_make_dynamic(f, 8192, 4096);
    /* Block 0 at sector 4, all rubbish, only sector 2 marked as written. */
    memset(buf, 0xaa, sizeof(buf));
    memmove(f->now + 4 * 512 + 512 + 4096, f->now + 4 * 512, 512);
    f->now_bytes = 4 * 512 + 512 + 4096 + 512;
    memset(f->now + 2048, 0, 512);
    f->now[2048] = 0x20;
    memcpy(f->now + 2560, buf, 4096);
    be32_put(entry, 4);
    memcpy(f->now + 1536, entry, 4);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    assert_int_equal(blk_pread(blk, buf, 4096, 0), 0);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(buf[i], i / 512 == 2 ? 0xaa : 0);
    /* A write of part of such a sector must not bring the rubbish to light. */
    assert_int_equal(blk_pwrite(blk, "x", 1, 512 + 100), 0);
    assert_int_equal(blk_pread(blk, buf, 4096, 0), 0);
    for (unsigned i = 0; i < 4096; i++)
        assert_int_equal(buf[i], i / 512 == 2 ? 0xaa : i == 612 ? 'x' : 0);
    blk_close(blk);
    drop(f);
}

/* Footers as old and foreign makers leave them. */
static void footers(void **ctx)
{
    (void)ctx;
    struct fake_file *f = fake_new(1 << 20);
    struct blk *blk;
    struct error err;
    uint8_t b;
    fake_make_dynamic(f, 8192, 4096);
    uint64_t size = f->now_bytes;

    f->now_bytes = size - 1; /* 511 bytes, before Virtual PC 2004 */
    assert_int_equal(try_open(f, true, &blk, &err), 0);
    blk_close(blk);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    assert_int_equal(blk_pwrite(blk, "hello", 5, 4096), 0);
    blk_close(blk);
    assert_int_equal(f->now_bytes % 512, 0);
    assert_int_equal(try_open(f, true, &blk, &err), 0);
    assert_int_equal(blk_pread(blk, &b, 1, 4097), 0);
    assert_int_equal(b, 'e');
    blk_close(blk);
    /* Data on a 4 KiB boundary of the file, as Windows has it. */
    assert_int_equal((be32_get(f->now + 1536 + 4) + 1) % 8, 0);

    /* The end is gone: the copy at the start is used, and the end made whole by a writer. */
    size = f->now_bytes;
    f->now[size - 512 + 20] ^= 1;
    assert_int_equal(try_open(f, true, &blk, &err), 0);
    blk_close(blk);
    assert_int_equal(f->now_bytes, size);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    assert_int_equal(blk_pread(blk, &b, 1, 4097), 0);
    assert_int_equal(b, 'e');
    blk_close(blk);
    struct vhd_footer footer;
    assert_true(vhd_footer_get(f->now + f->now_bytes - 512, &footer));

    /* Both gone: refused, with the remedy; never taken for a raw disk. */
    f->now[f->now_bytes - 512 + 20] ^= 1;
    f->now[20] ^= 1;
    assert_int_equal(try_open(f, true, &blk, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "damaged"));
    drop(f);
}

static void put_footer(struct fake_file *f, const struct vhd_footer *footer)
{
    vhd_footer_put(footer, f->now + f->now_bytes - 512);
}

/* Fixed disks: the current size rules, 32 or 64 ones in the data offset, sector 0 is data. */
static void fixed(void **ctx)
{
    (void)ctx;
    struct fake_file *f = fake_new(1 << 20);
    struct blk *blk;
    struct error err;
    uint8_t buf[512];
    assert_int_equal(
        vhd_format(&f->file, &(struct vhd_new){.kind = VHD_FIXED, .size_bytes = 64 * 512}, &err),
        0);
    assert_int_equal(f->now_bytes, 65 * 512);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    assert_string_equal(blk->ops->format, "vhd-fixed");
    assert_int_equal(blk->size_bytes, 64 * 512);
    memset(buf, 0, 512);
    memcpy(buf, "conectix", 8);
    assert_int_equal(blk_pwrite(blk, buf, 512, 0), 0);
    assert_int_equal(blk_pwrite(blk, buf, 512, 64 * 512), -EINVAL);
    blk_close(blk);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    blk_close(blk);

    struct vhd_footer footer;
    assert_true(vhd_footer_get(f->now + 64 * 512, &footer));
    footer.data_offset = 0xffffffff;
    put_footer(f, &footer);
    assert_int_equal(try_open(f, true, &blk, &err), 0);
    blk_close(blk);
    footer.current_size_bytes = 65 * 512;
    put_footer(f, &footer);
    assert_int_equal(try_open(f, true, &blk, &err), -EBADMSG);
    drop(f);
}

/*
 * Blocks in any order, at equal distances (one behind the other, or on 4 KiB boundaries) or not: a
 * disk of which two share a sector, and no other, is refused. Each way of finding that out agrees
 * with looking at all pairs.
 */
static void overlaps(void **ctx)
{
    enum { BLOCKS = 12, LENGTH = 1 + 8 }; /* sectors: bitmap, data */
    static const uint32_t distances[] = {LENGTH, 16, 10};
    unsigned refused = 0;
    uint64_t seed = 3;
    (void)ctx;
    for (unsigned round = 0; round < 600; round++) {
        struct fake_file *f = fake_new(1 << 20);
        uint32_t table[BLOCKS], first = 8 + round % 9, distance = distances[round % 3];
        bool apart = true;
        struct blk *blk;
        struct error err;
        fake_make_dynamic(f, BLOCKS * 4096, 4096);
        for (unsigned i = 0; i < BLOCKS; i++) {
            bool unused = next(&seed) % 8 == 0, shifted = next(&seed) % 40 == 0;
            table[i] = first + distance * (uint32_t)(next(&seed) % 110) + shifted;
            if (unused)
                table[i] = VHD_BAT_UNUSED;
            for (unsigned k = 0; k < i && !unused; k++)
                apart &= table[k] == VHD_BAT_UNUSED || table[i] >= table[k] + LENGTH ||
                         table[k] >= table[i] + LENGTH;
            be32_put(f->now + 1536 + 4 * i, table[i]);
        }
        memcpy(f->now + (1 << 20) - 512, f->now, 512); /* the footer behind all of them */
        f->now_bytes = 1 << 20;
        int r = try_open(f, false, &blk, &err);
        assert_int_equal(r, apart ? 0 : -EBADMSG);
        refused += !apart;
        if (r == 0)
            blk_close(blk);
        drop(f);
    }
    assert_in_range(refused, 100, 500);
}

/* What a hostile or broken file may claim. */
static void hostile(void **ctx)
{
    (void)ctx;
    struct fake_file *f = fake_new(1 << 20);
    struct blk *blk;
    struct error err;
    struct vhd_footer good, footer;
    struct vhd_header good_header, header;
    uint8_t buf[512];
    fake_make_dynamic(f, 64 * 512, 4096);
    assert_int_equal(try_open(f, false, &blk, &err), 0);
    memset(buf, 1, 512);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(blk_pwrite(blk, buf, 512, 4096 * i), 0);
    blk_close(blk);
    assert_true(vhd_footer_get(f->now + f->now_bytes - 512, &good));
    assert_true(vhd_header_get(f->now + 512, &good_header));

    static const struct {
        uint64_t size, data_offset;
        uint32_t type, version;
        int want;
    } feet[] = {
        {64 * 512, 512, VHD_DIFFERENCING, 0x10000, -EINVAL},
        {64 * 512, 512, 7, 0x10000, -EOPNOTSUPP},
        {64 * 512, 512, VHD_DYNAMIC, 0x20000, -EOPNOTSUPP},
        {64 * 512 + 1, 512, VHD_DYNAMIC, 0x10000, -EBADMSG},
        {0, 512, VHD_DYNAMIC, 0x10000, -EBADMSG},
        {65 * 512, 512, VHD_DYNAMIC, 0x10000, -EBADMSG}, /* more than the table has */
        {VHD_MAX_BYTES + 512, 512, VHD_DYNAMIC, 0x10000, -EFBIG},
        {UINT64_MAX & ~511ull, 512, VHD_FIXED, 0x10000, -EFBIG},
        {64 * 512, UINT64_MAX, VHD_DYNAMIC, 0x10000, -EBADMSG},
        {64 * 512, UINT64_MAX - 600, VHD_DYNAMIC, 0x10000, -EBADMSG},
        {64 * 512, 513, VHD_DYNAMIC, 0x10000, -EBADMSG},
    };
    for (unsigned i = 0; i < ARRAY_LEN(feet); i++) {
        footer = good;
        footer.current_size_bytes = feet[i].size;
        footer.data_offset = feet[i].data_offset;
        footer.type = feet[i].type;
        footer.version = feet[i].version;
        put_footer(f, &footer);
        assert_int_equal(try_open(f, false, &blk, &err), feet[i].want);
        assert_non_null(strstr(err.text, "fake"));
    }
    put_footer(f, &good);

    static const struct {
        uint64_t table;
        uint32_t entries, block, version;
        int want;
    } heads[] = {
        {1536, 7, 4096, 0x10000, -EBADMSG},
        {1536, 8, 4095, 0x10000, -EBADMSG},
        {1536, 8, 0, 0x10000, -EBADMSG},
        {1536, 8, 256, 0x10000, -EBADMSG},
        {1536, 8, 1u << 31, 0x10000, -EBADMSG},
        {UINT64_MAX, 8, 4096, 0x10000, -EBADMSG},
        {UINT64_MAX - 8, 8, 4096, 0x10000, -EBADMSG},
        {1 << 30, 8, 4096, 0x10000, -EBADMSG},
        {1536, 8, 4096, 0x20000, -EOPNOTSUPP},
        {1536, UINT32_MAX, 4096, 0x10000, 0},
    };
    for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
        header = good_header;
        header.table_offset = heads[i].table;
        header.max_table_entries = heads[i].entries;
        header.block_bytes = heads[i].block;
        header.version = heads[i].version;
        vhd_header_put(&header, f->now + 512);
        int r = try_open(f, false, &blk, &err);
        assert_int_equal(r, heads[i].want);
        if (r == 0)
            blk_close(blk);
    }
    vhd_header_put(&good_header, f->now + 512);

    /* Two thousand GiB in blocks of 512 bytes would want 16 GiB of table. */
    footer = good;
    footer.current_size_bytes = VHD_MAX_BYTES;
    put_footer(f, &footer);
    header = good_header;
    header.max_table_entries = UINT32_MAX;
    header.block_bytes = 512;
    vhd_header_put(&header, f->now + 512);
    assert_int_equal(try_open(f, false, &blk, &err), -EFBIG);
    put_footer(f, &good);
    vhd_header_put(&good_header, f->now + 512);

    /* Blocks beyond the file, in the footer, in the header, in the table, in each other. */
    uint32_t footer_sector = (uint32_t)(f->now_bytes / 512 - 1);
    uint32_t first = be32_get(f->now + 1536);
    const uint32_t bad[] = {
        0xfffffffe, footer_sector + 100, footer_sector, footer_sector - 8, 0, 1, 3, first + 1};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        uint32_t second = be32_get(f->now + 1536 + 4);
        be32_put(f->now + 1536 + 4, bad[i]);
        assert_int_equal(try_open(f, false, &blk, &err), -EBADMSG);
        assert_non_null(strstr(err.text, "read-only"));
        assert_int_equal(try_open(f, true, &blk, &err), 0);
        assert_int_equal(blk_pread(blk, buf, 512, 0), 0);
        assert_int_equal(buf[0], 1);
        int r = blk_pread(blk, buf, 512, 4096);
        assert_true(r == -EIO || bad[i] == first + 1);
        assert_int_equal(blk_pread(blk, buf, 512, 8192), 0);
        blk_close(blk);
        be32_put(f->now + 1536 + 4, second);
    }
    drop(f);
}

/* ---- against QEMU's tools ---- */

#define MIB_BYTES (1u << 20)

static bool have_qemu(void)
{
    return system("qemu-img --version >/dev/null 2>&1") == 0;
}

static void PRINTF_LIKE(1, 2) shell(const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (system(line) != 0)
        fail_msg("failed: %s", line);
}

static void compare_with_file(struct blk *blk, const char *path, uint64_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *a = malloc(size), *b = malloc(size);
    assert_non_null(file);
    assert_int_equal(fread(a, 1, size, file), size);
    fclose(file);
    assert_int_equal(blk_pread(blk, b, size, 0), 0);
    assert_memory_equal(a, b, size);
    free(a);
    free(b);
}

static void interchange(const char *subformat, enum vhd_type kind)
{
    char dir[] = "/tmp/yado-vhd-XXXXXX", raw[64], vhd[64], ours[64];
    struct blk *blk;
    struct error err;
    uint64_t size = 9 * MIB_BYTES + 512 * 3, seed = 7;
    assert_non_null(mkdtemp(dir));
    snprintf(raw, sizeof(raw), "%s/raw", dir);
    snprintf(vhd, sizeof(vhd), "%s/theirs.vhd", dir);
    snprintf(ours, sizeof(ours), "%s/ours.vhd", dir);

    /* Theirs, read and changed by us, read back by them. */
    FILE *file = fopen(raw, "wb");
    uint8_t *bytes = calloc(1, size);
    for (uint64_t i = 0; i < size; i++)
        if ((i >> 18) % 3 != 1)
            bytes[i] = (uint8_t)next(&seed);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    shell("qemu-img convert -f raw -O vpc -o force_size=on,subformat=%s %s %s", subformat, raw,
          vhd);
    assert_int_equal(blk_open(vhd, false, &blk, &err), 0);
    assert_string_equal(blk->ops->format, kind == VHD_FIXED ? "vhd-fixed" : "vhd-dynamic");
    assert_int_equal(blk->size_bytes, size);
    compare_with_file(blk, raw, size);
    for (unsigned i = 0; i < 30; i++) {
        uint64_t at = next(&seed) % (size - 70000), len = next(&seed) % 70000;
        for (uint64_t k = 0; k < len; k++)
            bytes[at + k] = (uint8_t)(next(&seed) >> 3);
        assert_int_equal(blk_pwrite(blk, bytes + at, len, at), 0);
    }
    blk_close(blk);
    shell("qemu-img convert -f vpc -O raw %s %s", vhd, raw);
    assert_int_equal(blk_open(vhd, true, &blk, &err), 0);
    compare_with_file(blk, raw, size);
    blk_close(blk);

    /* Ours, read by them, changed by them, read back by us. */
    assert_int_equal(vhd_create(ours, &(struct vhd_new){.kind = kind, .size_bytes = size}, &err),
                     0);
    assert_int_equal(vhd_create(ours, &(struct vhd_new){.kind = kind, .size_bytes = size}, &err),
                     -EEXIST);
    assert_int_equal(blk_open(ours, false, &blk, &err), 0);
    assert_int_equal(blk_pwrite(blk, bytes + 5 * MIB_BYTES, 3 * MIB_BYTES, 5 * MIB_BYTES), 0);
    blk_close(blk);
    shell("qemu-io -f vpc -c 'write -P 0x5a 1M 64k' -c 'write -P 0xa5 6M 3k' %s >/dev/null", ours);
    shell("qemu-img convert -f vpc -O raw %s %s", ours, raw);
    assert_int_equal(blk_open(ours, false, &blk, &err), 0);
    compare_with_file(blk, raw, size);
    memcpy(bytes, "\x5a\x5a", 2);
    uint8_t back[2];
    assert_int_equal(blk_pread(blk, back, 2, MIB_BYTES + 65534), 0);
    assert_memory_equal(back, "\x5a\x5a", 2);
    assert_int_equal(blk_pwrite(blk, bytes, MIB_BYTES, 3 * MIB_BYTES), 0);
    blk_close(blk);
    shell("qemu-img convert -f vpc -O raw %s %s", ours, raw);
    assert_int_equal(blk_open(ours, true, &blk, &err), 0);
    compare_with_file(blk, raw, size);
    blk_close(blk);
    unlink(raw);
    unlink(vhd);
    unlink(ours);
    rmdir(dir);
    free(bytes);
}

static void with_qemu(void **ctx)
{
    (void)ctx;
    if (!have_qemu())
        skip();
    interchange("dynamic", VHD_DYNAMIC);
    interchange("fixed", VHD_FIXED);
}

static void create_refused(void **ctx)
{
    (void)ctx;
    struct error err;
    char path[] = "/tmp/yado-vhd-new-XXXXXX";
    struct stat st;
    assert_true(close(mkstemp(path)) == 0);
    unlink(path);
    assert_int_equal(
        vhd_create(path, &(struct vhd_new){.kind = VHD_DYNAMIC, .size_bytes = 1000}, &err),
        -EINVAL);
    assert_int_equal(stat(path, &st), -1); /* nothing left behind */
    assert_int_equal(
        vhd_create(path, &(struct vhd_new){.kind = VHD_DYNAMIC, .size_bytes = VHD_MAX_BYTES + 512},
                   &err),
        -EFBIG);
    assert_int_equal(
        vhd_create(path, &(struct vhd_new){.kind = VHD_DIFFERENCING, .size_bytes = 1 << 20}, &err),
        -EINVAL);
    assert_int_equal(vhd_create("/nowhere/x.vhd",
                                &(struct vhd_new){.kind = VHD_DYNAMIC, .size_bytes = 1 << 20},
                                &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "/nowhere/x.vhd"));
    struct blk *blk;
    assert_int_equal(
        vhd_create(path, &(struct vhd_new){.kind = VHD_DYNAMIC, .size_bytes = VHD_MAX_BYTES}, &err),
        0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size < 5 << 20);
    assert_int_equal(blk_open(path, false, &blk, &err), 0);
    assert_true(blk->size_bytes == VHD_MAX_BYTES);
    uint8_t b = 7;
    assert_int_equal(blk_pwrite(blk, &b, 1, VHD_MAX_BYTES - 1), 0);
    blk_close(blk);
    unlink(path);
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr)) /* warnings about the images that we break */
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geometry), cmocka_unit_test(property),  cmocka_unit_test(stale_bytes),
        cmocka_unit_test(footers),  cmocka_unit_test(fixed),     cmocka_unit_test(overlaps),
        cmocka_unit_test(hostile),  cmocka_unit_test(with_qemu), cmocka_unit_test(create_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
