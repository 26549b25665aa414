/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Differencing VHDs: what a chain of them reads as, how parents are found, and what a hostile
 * child cannot make us do.
 */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "block/chain.h"
#include "block/utf16.h"
#include "block/vhd.h"

#define DISK_BYTES ((9u << 20) + 1536)

static char folder[64];

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return *seed >> 33;
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

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static int setup(void **ctx)
{
    (void)ctx;
    snprintf(folder, sizeof(folder), "/tmp/yado-chain-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **ctx)
{
    (void)ctx;
    shell("rm -rf %s", folder);
    return 0;
}

static void make(const char *name, const char *parent, uint32_t block_bytes)
{
    struct error err;
    struct vhd_new what = {.kind = parent ? VHD_DIFFERENCING : VHD_DYNAMIC,
                           .size_bytes = parent ? 0 : DISK_BYTES,
                           .block_bytes = block_bytes,
                           .parent_path = parent};
    if (vhd_create(in_folder(name), &what, &err) < 0)
        fail_msg("%s", err.text);
}

static struct blk *must_open(const char *path, bool readonly)
{
    struct blk *blk = NULL;
    struct error err;
    if (blk_open(path, readonly, &blk, &err) < 0)
        fail_msg("%s", err.text);
    return blk;
}

static void refused(const char *path, int want, const char *because)
{
    struct blk *blk;
    struct error err = {""};
    int r = blk_open(path, true, &blk, &err);
    if (r != want || !strstr(err.text, because))
        fail_msg("%d instead of %d: %s", r, want, err.text);
}

static void busy(struct blk *blk, uint8_t *model, uint64_t seed, unsigned steps)
{
    uint8_t *buf = malloc(300000);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t at = next(&seed) % DISK_BYTES;
        uint64_t len = MIN(next(&seed) % 300000, DISK_BYTES - at);
        unsigned kind = (unsigned)(next(&seed) % 4);
        if (kind == 0) {
            assert_int_equal(blk_zero(blk, len, at), 0);
            memset(model + at, 0, len);
        } else if (kind == 1) {
            assert_int_equal(blk_pread(blk, buf, len, at), 0);
            assert_memory_equal(buf, model + at, len);
        } else {
            for (uint64_t k = 0; k < len; k++)
                model[at + k] = (uint8_t)next(&seed);
            assert_int_equal(blk_pwrite(blk, model + at, len, at), 0);
        }
    }
    free(buf);
}

static void compare(struct blk *blk, const uint8_t *model)
{
    uint8_t *buf = malloc(DISK_BYTES);
    assert_int_equal(blk_pread(blk, buf, DISK_BYTES, 0), 0);
    assert_memory_equal(buf, model, DISK_BYTES);
    /* What is said to be zero is, and what is said to be somewhere is there. */
    for (uint64_t at = 0; at < DISK_BYTES;) {
        struct blk_extent e;
        assert_int_equal(blk_map(blk, at, DISK_BYTES - at, &e), 0);
        assert_in_range(e.len_bytes, 1, DISK_BYTES - at);
        if (e.zero)
            memset(buf, 0, e.len_bytes);
        else
            assert_int_equal(file_read(e.file, buf, e.len_bytes, e.file_offset), 0);
        assert_memory_equal(buf, model + at, e.len_bytes);
        at += e.len_bytes;
    }
    free(buf);
}

/* Six disks on each other, of different block sizes: each reads as when it was left. */
static void property(void **ctx)
{
    (void)ctx;
    static const uint32_t blocks[] = {2u << 20, 512u << 10, 4096, 2u << 20, 64u << 10, 4u << 20};
    uint8_t *models[6];
    for (unsigned i = 0; i < 6; i++) {
        char name[16], parent[16];
        snprintf(name, sizeof(name), "%u.vhd", i);
        snprintf(parent, sizeof(parent), "%u.vhd", i - 1);
        make(name, i ? in_folder(parent) : NULL, blocks[i]);
        models[i] = calloc(1, DISK_BYTES);
        if (i)
            memcpy(models[i], models[i - 1], DISK_BYTES);
        for (unsigned round = 0; round < 2; round++) {
            struct blk *blk = must_open(in_folder(name), false);
            assert_string_equal(blk->ops->format, i ? "vhd-differencing" : "vhd-dynamic");
            busy(blk, models[i], i * 7 + round + 1, 40);
            compare(blk, models[i]);
            blk_close(blk);
        }
    }
    bool judge = system("7zz >/dev/null 2>&1") == 0;
    for (unsigned i = 0; i < 6; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%u.vhd", i);
        struct blk *blk = must_open(in_folder(name), true);
        compare(blk, models[i]);
        blk_close(blk);
        if (!judge)
            continue;
        /* The best independent reader of chains. */
        shell("cd %s && 7zz e -so -tVHD %s 2>/dev/null >theirs", folder, name);
        uint8_t *theirs = malloc(DISK_BYTES);
        FILE *f = fopen(in_folder("theirs"), "rb");
        assert_int_equal(fread(theirs, 1, DISK_BYTES, f), DISK_BYTES);
        fclose(f);
        assert_memory_equal(theirs, models[i], DISK_BYTES);
        free(theirs);
    }
    for (unsigned i = 0; i < 6; i++)
        free(models[i]);
}

/* Parents are only read while a child is open: nobody can write to one then. */
static void locks(void **ctx)
{
    (void)ctx;
    struct blk *blk, *other;
    struct error err;
    make("base.vhd", NULL, 0);
    make("child.vhd", in_folder("base.vhd"), 0);
    make("child2.vhd", in_folder("base.vhd"), 0);
    blk = must_open(in_folder("child.vhd"), false);
    assert_int_equal(blk_open(in_folder("base.vhd"), false, &other, &err), -EBUSY);
    other = must_open(in_folder("child2.vhd"), false);
    blk_close(other);
    blk_close(blk);
    blk = must_open(in_folder("base.vhd"), false);
    refused(in_folder("child.vhd"), -EBUSY, "base.vhd");
    blk_close(blk);
}

/* A chain that is moved together is found; so is a parent beside its child. */
static void moved(void **ctx)
{
    (void)ctx;
    shell("mkdir -p %s/a/b %s/c", folder, folder);
    make("a/base.vhd", NULL, 0);
    make("a/b/child.vhd", in_folder("a/base.vhd"), 0);
    /* The folder of the image is allowed, the one above only if somebody says so. */
    refused(in_folder("a/b/child.vhd"), -EACCES, "--parents");
    const char *folders[] = {folder, NULL};
    struct blk_options options = {.readonly = true, .parent_folders = folders};
    struct blk *blk;
    struct error err;
    assert_int_equal(blk_open_with(in_folder("a/b/child.vhd"), &options, &blk, &err), 0);
    blk_close(blk);
    shell("mv %s/a %s/d", folder, folder);
    assert_int_equal(blk_open_with(in_folder("d/b/child.vhd"), &options, &blk, &err), 0);
    blk_close(blk);
    shell("mv %s/d/base.vhd %s/d/b/child.vhd %s/c", folder, folder, folder);
    blk = must_open(in_folder("c/child.vhd"), false);
    blk_close(blk);
    /* Another disk in its place is not taken for it, and nothing is said of what it holds. */
    unlink(in_folder("c/base.vhd"));
    refused(in_folder("c/child.vhd"), -ENOENT, "base.vhd");
    make("c/base.vhd", NULL, 0);
    refused(in_folder("c/child.vhd"), -EMEDIUMTYPE, "unique id");
    shell("head -c 100000 /dev/zero >%s/c/base.vhd", folder);
    refused(in_folder("c/child.vhd"), -EMEDIUMTYPE, "base.vhd");
}

/* Change a child's header, and put its checksum right. */
static void edit_header(const char *path, void (*edit)(struct vhd_header *h, struct blk_file *f))
{
    struct blk_file *file;
    struct error err;
    struct vhd_header header;
    uint8_t raw[VHD_HEADER_BYTES];
    assert_int_equal(file_open(path, false, &file, &err), 0);
    assert_int_equal(file_read(file, raw, sizeof(raw), 512), 0);
    assert_true(vhd_header_get(raw, &header));
    edit(&header, file);
    vhd_header_put(&header, raw);
    assert_int_equal(file_write(file, raw, sizeof(raw), 512), 0);
    file_close(file);
}

static void own_parent(struct vhd_header *h, struct blk_file *f)
{
    uint8_t raw[512];
    struct vhd_footer footer;
    assert_int_equal(file_read(f, raw, 512, 0), 0);
    assert_true(vhd_footer_get(raw, &footer));
    memcpy(h->parent_id, footer.unique_id, 16);
    memset(h->locators, 0, sizeof(h->locators));
    memset(h->parent_name, 0, sizeof(h->parent_name));
    assert_int_not_equal(utf16_from_utf8("child.vhd", true, h->parent_name, 512), 0);
}

static const char *locator_text;
static uint32_t locator_code;

static void one_locator(struct vhd_header *h, struct blk_file *f)
{
    uint8_t data[600] = {0};
    size_t len = strlen(locator_text);
    if (locator_code == VHD_LOCATOR_W2RU || locator_code == VHD_LOCATOR_W2KU)
        len = utf16_from_utf8(locator_text, false, data, sizeof(data));
    else
        memcpy(data, locator_text, len);
    uint64_t at = h->locators[0].data_offset ? h->locators[0].data_offset : 2048;
    assert_int_equal(file_write(f, data, len, at), 0);
    memset(h->locators, 0, sizeof(h->locators));
    memset(h->parent_name, 0, sizeof(h->parent_name));
    h->locators[3] = (struct vhd_locator){
        .code = locator_code, .data_space = 512, .data_length = (uint32_t)len, .data_offset = at};
}

/* Every way to name a parent that tools have written. */
static void locators(void **ctx)
{
    (void)ctx;
    static const struct {
        uint32_t code;
        const char *text;
    } good[] = {
        {VHD_LOCATOR_W2RU, ".\\sub\\b\xc3\xa4se one.vhd"},
        {VHD_LOCATOR_W2RU, "sub\\.\\..\\sub\\b\xc3\xa4se one.vhd"},
        {VHD_LOCATOR_W2KU, ".\\sub\\b\xc3\xa4se one.vhd"}, /* XenServer */
        {VHD_LOCATOR_WI2R, ".\\sub\\b\xc3\xa4se one.vhd"},
        {VHD_LOCATOR_MACX, "file://./sub/b%C3%a4se%20one.vhd"},
    };
    shell("mkdir %s/sub", folder);
    make("sub/b\xc3\xa4se one.vhd", NULL, 0);
    make("child.vhd", in_folder("sub/b\xc3\xa4se one.vhd"), 0);
    for (unsigned i = 0; i < ARRAY_LEN(good); i++) {
        locator_code = good[i].code;
        locator_text = good[i].text;
        edit_header(in_folder("child.vhd"), one_locator);
        blk_close(must_open(in_folder("child.vhd"), true));
    }
    char text[256];
    const char *const formats[] = {
        "%s/sub/b\xc3\xa4se one.vhd", "\\\\?\\%s/sub/b\xc3\xa4se one.vhd",
        "C:%s/sub/b\xc3\xa4se one.vhd", "file://localhost%s/sub/b\xc3\xa4se one.vhd"};
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text, sizeof(text), formats[i], folder);
#pragma GCC diagnostic pop
        locator_code = i < 3 ? VHD_LOCATOR_W2KU : VHD_LOCATOR_MACX;
        locator_text = text;
        edit_header(in_folder("child.vhd"), one_locator);
        blk_close(must_open(in_folder("child.vhd"), true));
    }
}

/* What a hostile child may try. */
static void hostile(void **ctx)
{
    (void)ctx;
    make("base.vhd", NULL, 0);
    make("child.vhd", in_folder("base.vhd"), 0);
    edit_header(in_folder("child.vhd"), own_parent);
    refused(in_folder("child.vhd"), -ELOOP, "itself");

    static const char *const outside[] = {"\\etc\\hostname", "..\\..\\..\\..\\..\\etc\\hostname",
                                          "\\\\?\\C:\\etc\\passwd", "/proc/self/mem"};
    for (unsigned i = 0; i < ARRAY_LEN(outside); i++) {
        locator_code = VHD_LOCATOR_W2RU;
        locator_text = outside[i];
        edit_header(in_folder("child.vhd"), one_locator);
        refused(in_folder("child.vhd"), -EACCES, "outside");
    }
    /* A link within the folder does not lead out of it. */
    assert_int_equal(symlink("/etc", in_folder("inside")), 0);
    locator_text = ".\\inside\\passwd";
    edit_header(in_folder("child.vhd"), one_locator);
    refused(in_folder("child.vhd"), -EACCES, "outside");
    /* A folder, a FIFO: no file. */
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    locator_text = "fifo";
    edit_header(in_folder("child.vhd"), one_locator);
    refused(in_folder("child.vhd"), -EINVAL, "fifo");
}

/* A child may be larger than its parent: zeroes are behind it. */
static void larger(void **ctx)
{
    (void)ctx;
    uint8_t *model = malloc(DISK_BYTES), *buf = malloc(4u << 20);
    struct error err;
    make("base.vhd", NULL, 0);
    struct blk *blk = must_open(in_folder("base.vhd"), false);
    memset(model, 7, DISK_BYTES);
    assert_int_equal(blk_pwrite(blk, model, DISK_BYTES, 0), 0);
    blk_close(blk);
    char parent[128];
    snprintf(parent, sizeof(parent), "%s", in_folder("base.vhd"));
    struct vhd_new what = {
        .kind = VHD_DIFFERENCING, .size_bytes = DISK_BYTES + (2u << 20), .parent_path = parent};
    assert_int_equal(vhd_create(in_folder("child.vhd"), &what, &err), 0);
    blk = must_open(in_folder("child.vhd"), false);
    assert_int_equal(blk_pread(blk, buf, 3u << 20, DISK_BYTES - (1u << 20)), 0);
    assert_int_equal(buf[(1u << 20) - 1], 7);
    assert_int_equal(buf[1u << 20], 0);
    assert_int_equal(buf[(3u << 20) - 1], 0);
    assert_int_equal(blk_pwrite(blk, "x", 1, DISK_BYTES + 3), 0);
    assert_int_equal(blk_pread(blk, buf, 8, DISK_BYTES - 2), 0);
    assert_memory_equal(buf, "\7\7\0\0\0x\0\0", 8);
    blk_close(blk);
    free(model);
    free(buf);
}

int main(void)
{
    if (!freopen("/dev/null", "w", stderr))
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(property, setup, teardown),
        cmocka_unit_test_setup_teardown(locks, setup, teardown),
        cmocka_unit_test_setup_teardown(moved, setup, teardown),
        cmocka_unit_test_setup_teardown(locators, setup, teardown),
        cmocka_unit_test_setup_teardown(hostile, setup, teardown),
        cmocka_unit_test_setup_teardown(larger, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
