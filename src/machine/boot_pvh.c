/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PVH entry of an ELF kernel: Xen's docs/misc/pvh.pandoc and public/arch-x86/hvm/start_info.h
 * (version 1), as Linux (CONFIG_PVH) and small test systems have it.
 */
#include "machine/boot.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"

#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u
#define START_BYTES 56
#define MODULE_BYTES 32
#define RANGE_BYTES 24

/* The entry in the notes of one PT_NOTE segment; 0: none. */
static uint32_t entry_in_notes(const uint8_t *notes, uint64_t len)
{
    uint64_t at = 0;

    while (len - at >= 12 && at <= len) {
        uint64_t name = le32_get(notes + at), desc = le32_get(notes + at + 4);
        uint32_t type = le32_get(notes + at + 8);
        uint64_t name_at = at + 12, desc_at = name_at + align_up(name, 4);

        if (name > len || desc > len || desc_at > len || desc > len - desc_at)
            return 0;
        if (type == NOTE_PHYS32_ENTRY && name == 4 && !memcmp(notes + name_at, "Xen", 4) &&
            desc >= 4)
            return le32_get(notes + desc_at);
        at = desc_at + align_up(desc, 4);
        if (at > len)
            return 0;
    }
    return 0;
}

static uint32_t entry_find(const struct blob *kernel)
{
    bool wide = kernel->data[EI_CLASS] == ELFCLASS64;
    const Elf64_Ehdr *e64 = (const Elf64_Ehdr *)kernel->data;
    const Elf32_Ehdr *e32 = (const Elf32_Ehdr *)kernel->data;
    unsigned count = wide ? e64->e_phnum : e32->e_phnum;
    uint64_t first = wide ? e64->e_phoff : e32->e_phoff;
    size_t size = wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

    for (unsigned n = 0; n < count; n++) {
        uint64_t at = first + (uint64_t)n * size, offset, len;
        Elf64_Phdr p64;
        Elf32_Phdr p32;
        uint32_t type, entry;

        if (at > kernel->len_bytes || size > kernel->len_bytes - at)
            return 0;
        memcpy(&p32, kernel->data + at, sizeof(p32));
        memcpy(&p64, kernel->data + at, wide ? sizeof(p64) : sizeof(p32));
        type = wide ? p64.p_type : p32.p_type;
        offset = wide ? p64.p_offset : p32.p_offset;
        len = wide ? p64.p_filesz : p32.p_filesz;
        if (type != PT_NOTE || offset > kernel->len_bytes || len > kernel->len_bytes - offset)
            continue;
        entry = entry_in_notes(kernel->data + offset, len);
        if (entry)
            return entry;
    }
    return 0;
}

/* The RAM disk, as the one module; after the kernel. */
static int module_load(struct pc *pc, uint8_t *info, uint64_t end, struct error *err)
{
    uint64_t at = align_up(MAX(end, MIB(1)), 4096);
    uint64_t limit = pc->m->low_ram_bytes - BOOT_ACPI_BYTES;
    struct blob file = {0};
    int r;

    if (!pc->config->initrd)
        return 0;
    r = blob_read(&file, pc->config->initrd, GIB(2), err);
    if (r < 0)
        return error_prefix(err, r, "--initrd");
    if (at > limit || file.len_bytes > limit - at) {
        blob_done(&file);
        return error_set(err, -ENOSPC, "--initrd: %s: does not fit; give more --memory",
                         pc->config->initrd);
    }
    le32_put(info + 12, 1);
    le64_put(info + 16, BOOT_INFO_GPA + START_BYTES);
    le64_put(info + START_BYTES, at);
    le64_put(info + START_BYTES + 8, file.len_bytes);
    return boot_add_piece(pc, at, file.data, file.len_bytes);
}

int boot_pvh_open(struct pc *pc, const struct blob *kernel, struct error *err)
{
    const char *cmdline = pc->config->append ? pc->config->append : "";
    struct boot_range ranges[BOOT_RANGES_MAX];
    const size_t ranges_at = START_BYTES + MODULE_BYTES;
    size_t cmdline_at;
    uint64_t end;
    uint8_t *info;
    unsigned count;
    int r;

    if (kernel->len_bytes < sizeof(Elf64_Ehdr) || memcmp(kernel->data, ELFMAG, SELFMAG))
        return 0;
    pc->boot.eip = entry_find(kernel);
    if (!pc->boot.eip)
        return 0;
    if (pc->m->low_ram_bytes < MIB(2))
        return error_set(err, -ENOSPC, "--memory: a PVH kernel needs 2M at least");
    if (strlen(cmdline) > BOOT_INFO_BYTES / 2)
        return error_set(err, -E2BIG, "--append: too long");
    r = boot_add_elf(pc, kernel, &end, err);
    if (r < 0)
        return r;
    info = calloc(1, BOOT_INFO_BYTES);
    if (!info)
        return -ENOMEM;
    count = boot_memory_map(pc, ranges);
    cmdline_at = ranges_at + count * RANGE_BYTES;
    memcpy(info + cmdline_at, cmdline, strlen(cmdline) + 1);
    r = module_load(pc, info, end, err);
    if (r < 0) {
        free(info);
        return r;
    }
    le32_put(info, START_MAGIC);
    le32_put(info + 4, 1);
    le64_put(info + 24, BOOT_INFO_GPA + cmdline_at);
    le64_put(info + 32, BOOT_RSDP_GPA);
    le64_put(info + 40, BOOT_INFO_GPA + ranges_at);
    le32_put(info + 48, count);
    for (unsigned i = 0; i < count; i++) {
        le64_put(info + ranges_at + i * RANGE_BYTES, ranges[i].base);
        le64_put(info + ranges_at + i * RANGE_BYTES + 8, ranges[i].len_bytes);
        le32_put(info + ranges_at + i * RANGE_BYTES + 16, ranges[i].type);
    }
    pc->boot.ebx = BOOT_INFO_GPA;
    pc->boot.used = true;
    r = boot_add_piece(pc, BOOT_INFO_GPA, info, cmdline_at + strlen(cmdline) + 1);
    return r < 0 ? r : 1;
}
