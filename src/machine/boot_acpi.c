/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables for kernels that start without firmware: the machine carries out the script that
 * it hands to firmware otherwise ("etc/table-loader"; commands as SeaBIOS's romfile_loader and
 * OVMF's QemuLoader.h define them), fetching the files through the configuration device as a
 * guest does.
 */
#include "machine/boot.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/firmware/fw_cfg.h"
#include "memory/dma.h"

#define SELECT_PORT 0x510
#define DATA_PORT 0x511
#define DIR_ENTRY_BYTES 64
#define COMMAND_BYTES 128
#define FILES_MAX 4
#define FSEG_GPA 0xf0000u
#define FSEG_BYTES 0xff00u /* the rest is boot_platform.c's */
#define ZONE_FSEG 2

enum { COMMAND_ALLOCATE = 1, COMMAND_ADD_POINTER = 2, COMMAND_ADD_CHECKSUM = 3 };

struct placed {
    char name[FW_CFG_NAME_BYTES + 1];
    struct blob blob;
    uint64_t gpa;
};

struct loader {
    struct pc *pc;
    struct placed files[FILES_MAX];
    unsigned count;
    uint64_t high_next, high_end, fseg_next;
};

static void fetch(struct pc *pc, uint16_t key, uint8_t *buf, size_t len)
{
    bus_write(pc->m->pio, SELECT_PORT, 2, key);
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)bus_read(pc->m->pio, DATA_PORT, 1);
}

static int file_read(struct pc *pc, const char *name, struct blob *ret_blob)
{
    uint8_t count[4], entry[DIR_ENTRY_BYTES];
    uint32_t n;

    fetch(pc, FW_CFG_FILE_DIR, count, sizeof(count));
    n = be32_get(count);
    for (uint32_t i = 0; i < n; i++) {
        for (size_t j = 0; j < sizeof(entry); j++)
            entry[j] = (uint8_t)bus_read(pc->m->pio, DATA_PORT, 1);
        if (strncmp((const char *)entry + 8, name, FW_CFG_NAME_BYTES))
            continue;
        ret_blob->len_bytes = be32_get(entry);
        ret_blob->data = malloc(ret_blob->len_bytes + 1);
        if (!ret_blob->data)
            return -ENOMEM;
        fetch(pc, be16_get(entry + 4), ret_blob->data, ret_blob->len_bytes);
        return 0;
    }
    return -ENOENT;
}

static struct placed *file_find(struct loader *l, const uint8_t *name)
{
    for (unsigned i = 0; i < l->count; i++)
        if (!strncmp(l->files[i].name, (const char *)name, FW_CFG_NAME_BYTES))
            return &l->files[i];
    return NULL;
}

static int allocate(struct loader *l, const uint8_t *c)
{
    struct placed *file = &l->files[l->count];
    uint32_t align = le32_get(c + 60);
    bool fseg = c[64] == ZONE_FSEG;
    uint64_t *next = fseg ? &l->fseg_next : &l->high_next;
    uint64_t end = fseg ? FSEG_GPA + FSEG_BYTES : l->high_end;
    int r;

    if (l->count == FILES_MAX || !align || (align & (align - 1)))
        return -EINVAL;
    memcpy(file->name, c + 4, FW_CFG_NAME_BYTES);
    r = file_read(l->pc, file->name, &file->blob);
    if (r < 0)
        return r;
    l->count++;
    file->gpa = align_up(*next, align);
    if (file->gpa > end || file->blob.len_bytes > end - file->gpa)
        return -ENOSPC;
    *next = file->gpa + file->blob.len_bytes;
    return 0;
}

static int add_pointer(struct loader *l, const uint8_t *c)
{
    struct placed *in = file_find(l, c + 4), *to = file_find(l, c + 60);
    uint32_t offset = le32_get(c + 116);
    unsigned size = c[120];
    uint64_t value = 0;

    if (!in || !to || size > 8 || offset > in->blob.len_bytes || size > in->blob.len_bytes - offset)
        return -EINVAL;
    memcpy(&value, in->blob.data + offset, size);
    value += to->gpa;
    memcpy(in->blob.data + offset, &value, size);
    return 0;
}

static int add_checksum(struct loader *l, const uint8_t *c)
{
    struct placed *in = file_find(l, c + 4);
    uint32_t at = le32_get(c + 60), start = le32_get(c + 64), len = le32_get(c + 68);
    uint8_t sum = 0;

    if (!in || at >= in->blob.len_bytes || start > in->blob.len_bytes ||
        len > in->blob.len_bytes - start)
        return -EINVAL;
    for (uint32_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + in->blob.data[start + i]);
    in->blob.data[at] = (uint8_t)(in->blob.data[at] - sum);
    return 0;
}

static int run_script(struct loader *l, const struct blob *script)
{
    int r = 0;

    for (size_t at = 0; at + COMMAND_BYTES <= script->len_bytes && r == 0; at += COMMAND_BYTES) {
        const uint8_t *c = script->data + at;

        switch (le32_get(c)) {
        case COMMAND_ALLOCATE:
            r = allocate(l, c);
            break;
        case COMMAND_ADD_POINTER:
            r = add_pointer(l, c);
            break;
        case COMMAND_ADD_CHECKSUM:
            r = add_checksum(l, c);
            break;
        default:
            break;
        }
    }
    return r;
}

int boot_acpi(struct pc *pc)
{
    uint64_t end = pc->m->low_ram_bytes;
    struct loader l = {
        .pc = pc, .high_next = end - BOOT_ACPI_BYTES, .high_end = end, .fseg_next = BOOT_RSDP_GPA};
    const struct dma dma = {.bus = pc->m->mem};
    struct blob script = {0};
    int r = file_read(pc, "etc/table-loader", &script);

    if (r == 0)
        r = run_script(&l, &script);
    for (unsigned i = 0; i < l.count; i++) {
        if (r == 0)
            r = dma_write(&dma, l.files[i].gpa, l.files[i].blob.data, l.files[i].blob.len_bytes);
        blob_done(&l.files[i].blob);
    }
    blob_done(&script);
    return r;
}
