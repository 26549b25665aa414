/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot Specification version 0.6.96 (multiboot 1): ELF32 kernels and those with addresses in
 * their header, modules, command line, memory map. Left out: video modes, symbols, boot device.
 */
#include "machine/boot.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

#define SEARCH_BYTES 8192u
#define HEADER_MAGIC 0x1badb002u
#define LOADER_MAGIC 0x2badb002u
#define HAS_ADDRESSES 0x00010000u
#define UNKNOWN_NEEDS 0x0000fff8u /* required features that we do not have; video is bit 2 */
#define MODULES_MAX 16

enum { INFO_MEMORY = 1, INFO_CMDLINE = 4, INFO_MODS = 8, INFO_MMAP = 64, INFO_LOADER = 512 };

/* Offsets in the information structure, 3.3. */
enum {
    MBI_FLAGS = 0,
    MBI_MEM_LOWER = 4,
    MBI_MEM_UPPER = 8,
    MBI_CMDLINE = 16,
    MBI_MODS_COUNT = 20,
    MBI_MODS_ADDR = 24,
    MBI_MMAP_LENGTH = 44,
    MBI_MMAP_ADDR = 48,
    MBI_LOADER = 64,
    MBI_BYTES = 88
};

struct info {
    uint8_t *data;
    size_t len;
};

/* Room in the information block; NULL when it is full. */
static uint8_t *info_room(struct info *info, size_t len, uint32_t *ret_gpa)
{
    uint8_t *p = info->data + info->len;

    if (len > BOOT_INFO_BYTES - info->len)
        return NULL;
    *ret_gpa = BOOT_INFO_GPA + (uint32_t)info->len;
    info->len = MIN(align_up(info->len + len, 4), (uint64_t)BOOT_INFO_BYTES);
    return p;
}

static int info_string(struct info *info, const char *a, const char *b, uint32_t *ret_gpa)
{
    size_t len = strlen(a) + (b ? strlen(b) + 1 : 0) + 1;
    uint8_t *p = info_room(info, len, ret_gpa);

    if (!p)
        return -E2BIG;
    snprintf((char *)p, len, b ? "%s %s" : "%s", a, b);
    return 0;
}

static size_t header_find(const struct blob *kernel)
{
    for (size_t at = 0; at + 12 <= MIN(kernel->len_bytes, (size_t)SEARCH_BYTES); at += 4) {
        const uint8_t *h = kernel->data + at;

        if (le32_get(h) == HEADER_MAGIC && le32_get(h) + le32_get(h + 4) + le32_get(h + 8) == 0)
            return at;
    }
    return SIZE_MAX;
}

/* 3.1.3: the header says where the file's bytes go. */
static int load_by_header(struct pc *pc, const struct blob *kernel, size_t at, uint64_t *ret_end,
                          struct error *err)
{
    const uint8_t *h = kernel->data + at;
    uint32_t header_addr, load_addr, load_end, bss_end;
    uint64_t start, file_bytes, end;
    uint8_t *image;

    if (at + 32 > kernel->len_bytes)
        return error_set(err, -ENOEXEC, "--kernel: %s: its multiboot header is cut short",
                         pc->config->kernel);
    header_addr = le32_get(h + 12);
    load_addr = le32_get(h + 16);
    load_end = le32_get(h + 20);
    bss_end = le32_get(h + 24);
    start = at - ((uint64_t)header_addr - load_addr);
    if (header_addr < load_addr || start > at)
        return error_set(err, -ENOEXEC, "--kernel: %s: its multiboot header makes no sense",
                         pc->config->kernel);
    file_bytes = load_end ? (uint64_t)load_end - load_addr : kernel->len_bytes - start;
    end = MAX(load_addr + file_bytes, (uint64_t)bss_end);
    if ((load_end && load_end < load_addr) || file_bytes > kernel->len_bytes - start ||
        end > pc->m->low_ram_bytes)
        return error_set(err, -ENOSPC,
                         "--kernel: %s: damaged, or it does not fit; give more --memory",
                         pc->config->kernel);
    image = calloc(1, end - load_addr + 1);
    if (!image)
        return -ENOMEM;
    memcpy(image, kernel->data + start, file_bytes);
    pc->boot.eip = le32_get(h + 28);
    *ret_end = end;
    return boot_add_piece(pc, load_addr, image, end - load_addr);
}

static int load(struct pc *pc, const struct blob *kernel, size_t at, uint64_t *ret_end,
                struct error *err)
{
    int r;

    if (le32_get(kernel->data + at + 4) & HAS_ADDRESSES)
        return load_by_header(pc, kernel, at, ret_end, err);
    r = boot_add_elf(pc, kernel, ret_end, err);
    if (r < 0)
        return r;
    if (kernel->data[EI_CLASS] != ELFCLASS32)
        return error_set(err, -ENOEXEC,
                         "--kernel: %s: multiboot kernels are 32-bit ELF files; convert it with "
                         "objcopy -O elf32-i386",
                         pc->config->kernel);
    pc->boot.eip = ((const Elf32_Ehdr *)kernel->data)->e_entry;
    return 0;
}

/* --initrd FILE[ ARGUMENTS],FILE[ ARGUMENTS]…: each becomes a module on pages of its own. */
static int modules_load(struct pc *pc, struct info *info, uint64_t end, struct error *err)
{
    AUTO_FREE char *list = pc->config->initrd ? strdup(pc->config->initrd) : NULL;
    uint64_t limit = pc->m->low_ram_bytes - BOOT_ACPI_BYTES;
    uint32_t entries_gpa, count = 0;
    char *save = NULL;
    uint8_t *entries;

    if (!list)
        return 0;
    entries = info_room(info, MODULES_MAX * 16, &entries_gpa);
    if (!entries)
        return -E2BIG;
    for (char *one = strtok_r(list, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
        struct blob file = {0};
        uint32_t string_gpa;
        uint64_t at = align_up(end, 4096);
        char *space;
        int r;

        if (count == MODULES_MAX || info_string(info, one, NULL, &string_gpa) < 0)
            return error_set(err, -E2BIG, "--initrd: at most %u modules", MODULES_MAX);
        space = strchr(one, ' ');
        if (space)
            *space = '\0';
        r = blob_read(&file, one, GIB(2), err);
        if (r < 0)
            return error_prefix(err, r, "--initrd");
        if (at > limit || file.len_bytes > limit - at) {
            blob_done(&file);
            return error_set(err, -ENOSPC, "--initrd: %s: does not fit; give more --memory", one);
        }
        le32_put(entries + 16 * count, (uint32_t)at);
        le32_put(entries + 16 * count + 4, (uint32_t)(at + file.len_bytes));
        le32_put(entries + 16 * count + 8, string_gpa);
        end = at + file.len_bytes;
        count++;
        r = boot_add_piece(pc, at, file.data, file.len_bytes);
        if (r < 0)
            return r;
    }
    le32_put(info->data + MBI_MODS_COUNT, count);
    le32_put(info->data + MBI_MODS_ADDR, entries_gpa);
    le32_put(info->data + MBI_FLAGS, le32_get(info->data + MBI_FLAGS) | INFO_MODS);
    return 0;
}

static int info_fill(struct pc *pc, struct info *info, struct error *err)
{
    struct boot_range ranges[BOOT_RANGES_MAX];
    unsigned count = boot_memory_map(pc, ranges);
    uint32_t mmap_gpa = 0, string_gpa = 0, mbi_gpa = 0;
    uint8_t *mbi = info_room(info, MBI_BYTES, &mbi_gpa), *mmap;

    pc->boot.ebx = mbi_gpa;
    le32_put(mbi + MBI_FLAGS, INFO_MEMORY | INFO_CMDLINE | INFO_MMAP | INFO_LOADER);
    le32_put(mbi + MBI_MEM_LOWER, 639);
    le32_put(mbi + MBI_MEM_UPPER,
             (uint32_t)((pc->m->low_ram_bytes - BOOT_ACPI_BYTES - MIB(1)) / 1024));
    mmap = info_room(info, count * 24, &mmap_gpa);
    for (unsigned i = 0; i < count; i++) {
        le32_put(mmap + 24 * i, 20);
        le64_put(mmap + 24 * i + 4, ranges[i].base);
        le64_put(mmap + 24 * i + 12, ranges[i].len_bytes);
        le32_put(mmap + 24 * i + 20, ranges[i].type);
    }
    le32_put(mbi + MBI_MMAP_LENGTH, count * 24);
    le32_put(mbi + MBI_MMAP_ADDR, mmap_gpa);
    info_string(info, "yado", NULL, &string_gpa);
    le32_put(mbi + MBI_LOADER, string_gpa);
    if (info_string(info, pc->config->kernel, pc->config->append, &string_gpa) < 0)
        return error_set(err, -E2BIG, "--append: too long");
    le32_put(mbi + MBI_CMDLINE, string_gpa);
    return 0;
}

int boot_multiboot_open(struct pc *pc, const struct blob *kernel, struct error *err)
{
    size_t at = header_find(kernel);
    struct info info = {0};
    uint64_t end = 0;
    int r;

    if (at == SIZE_MAX)
        return 0;
    if (le32_get(kernel->data + at + 4) & UNKNOWN_NEEDS)
        return error_set(err, -EOPNOTSUPP,
                         "--kernel: %s: needs a multiboot feature that is not known (flags %#x)",
                         pc->config->kernel, le32_get(kernel->data + at + 4));
    if (pc->m->low_ram_bytes < MIB(2))
        return error_set(err, -ENOSPC, "--memory: a multiboot kernel needs 2M at least");
    info.data = calloc(1, BOOT_INFO_BYTES);
    if (!info.data)
        return -ENOMEM;
    if ((r = load(pc, kernel, at, &end, err)) < 0 || (r = info_fill(pc, &info, err)) < 0 ||
        (r = modules_load(pc, &info, MAX(end, MIB(1)), err)) < 0) {
        free(info.data);
        return r;
    }
    r = boot_add_piece(pc, BOOT_INFO_GPA, info.data, info.len);
    if (r < 0)
        return r;
    pc->boot.eax = LOADER_MAGIC;
    pc->boot.used = true;
    return 1;
}
