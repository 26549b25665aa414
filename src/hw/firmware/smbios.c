/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS 2.8: DMTF System Management BIOS Reference Specification (DSP0134) 2.8.0, chapters 5 to
 * 7; structures 0, 1, 3, 4, 16, 17, 19, 32 and 127. The firmware places the tables and completes
 * the entry point.
 */
#include "hw/firmware/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/firmware/aml.h"

#define MAKER "Yado"
#define DIMM_BYTES GIB(16)
#define ENTRY_POINT_BYTES 31

struct builder {
    struct aml out;
    unsigned count;
    size_t largest_bytes;
    size_t start;      /* of the present structure */
    char strings[256]; /* of the present structure, each with its NUL */
    size_t strings_bytes;
    uint8_t string_count;
};

static void begin(struct builder *b, uint8_t type, uint8_t len_bytes, uint16_t handle)
{
    b->start = b->out.len_bytes;
    b->strings_bytes = 0;
    b->string_count = 0;
    aml_u8(&b->out, type);
    aml_u8(&b->out, len_bytes);
    aml_u16(&b->out, handle);
}

/* A field that refers to a string; none for NULL and "". */
static void string(struct builder *b, const char *text)
{
    size_t len_bytes = text ? strlen(text) + 1 : 0;
    if (len_bytes <= 1 || b->strings_bytes + len_bytes > sizeof(b->strings)) {
        aml_u8(&b->out, 0);
        return;
    }
    memcpy(b->strings + b->strings_bytes, text, len_bytes);
    b->strings_bytes += len_bytes;
    aml_u8(&b->out, ++b->string_count);
}

static void end(struct builder *b)
{
    aml_raw(&b->out, b->strings, b->strings_bytes);
    aml_raw(&b->out, "\0", b->string_count ? 1 : 0);
    if (!b->string_count)
        aml_u16(&b->out, 0);
    b->count++;
    b->largest_bytes = MAX(b->largest_bytes, b->out.len_bytes - b->start);
}

static void build_bios(struct builder *b)
{
    begin(b, 0, 24, 0x0000);
    string(b, MAKER);
    string(b, YADO_VERSION);
    aml_u16(&b->out, 0xe800);
    /* A date before 2015: for later boards of Intel's, Linux (rtc-cmos) expects alarms of the RTC
     * as an ACPI event, which this board does not give. */
    string(b, "04/01/2014");
    aml_u8(&b->out, 0);
    aml_u64(&b->out, 0x08); /* characteristics are not given */
    aml_u8(&b->out, 0);
    aml_u8(&b->out, 0x14); /* targeted content distribution; a virtual machine */
    aml_raw(&b->out, "\0\0\xff\xff", 4);
    end(b);
}

static void build_system(struct builder *b, const struct smbios_config *config)
{
    uint8_t uuid[16];
    /* The first three fields are little-endian (7.2.1). */
    memcpy(uuid, config->uuid, sizeof(uuid));
    le32_put(uuid, be32_get(config->uuid));
    le16_put(uuid + 4, be16_get(config->uuid + 4));
    le16_put(uuid + 6, be16_get(config->uuid + 6));
    begin(b, 1, 27, 0x0100);
    string(b, MAKER);
    string(b, "PC (i440FX + PIIX)");
    string(b, YADO_VERSION);
    string(b, config->serial);
    aml_raw(&b->out, uuid, sizeof(uuid));
    aml_u8(&b->out, 6); /* woken by the power switch */
    string(b, NULL);
    string(b, NULL);
    end(b);
}

static void build_chassis(struct builder *b)
{
    begin(b, 3, 22, 0x0300);
    string(b, MAKER);
    aml_u8(&b->out, 1); /* other */
    string(b, YADO_VERSION);
    string(b, NULL);
    string(b, NULL);
    aml_raw(&b->out, "\x03\x03\x03\x02", 4); /* safe, safe, safe, security unknown */
    aml_u32(&b->out, 0);
    aml_u32(&b->out, 0); /* height, power cords, contained elements */
    string(b, NULL);
    end(b);
}

static void build_processor(struct builder *b, unsigned n)
{
    char socket[16];
    snprintf(socket, sizeof(socket), "CPU %u", n);
    begin(b, 4, 42, (uint16_t)(0x0400 + n));
    string(b, socket);
    aml_u8(&b->out, 3); /* central processor */
    aml_u8(&b->out, 1);
    string(b, MAKER);
    aml_u64(&b->out, 0);
    string(b, YADO_VERSION);
    aml_u8(&b->out, 0);
    aml_u16(&b->out, 0);
    aml_u16(&b->out, 2000);
    aml_u16(&b->out, 2000);
    aml_u8(&b->out, 0x41); /* populated, enabled */
    aml_u8(&b->out, 1);
    aml_u16(&b->out, 0xffff);
    aml_u16(&b->out, 0xffff);
    aml_u16(&b->out, 0xffff);
    string(b, NULL);
    string(b, NULL);
    string(b, NULL);
    aml_raw(&b->out, "\x01\x01\x01", 3); /* cores, enabled, threads */
    aml_u16(&b->out, 0x02);
    aml_u16(&b->out, 1);
    end(b);
}

static void build_memory_array(struct builder *b, const struct smbios_config *config,
                               unsigned dimms)
{
    uint64_t kib = config->ram_bytes >> 10;
    begin(b, 16, 23, 0x1000);
    aml_raw(&b->out, "\x01\x03\x06", 3); /* other place, system memory, multi-bit ECC */
    aml_u32(&b->out, kib < 0x80000000 ? (uint32_t)kib : 0x80000000);
    aml_u16(&b->out, 0xfffe);
    aml_u16(&b->out, (uint16_t)dimms);
    aml_u64(&b->out, kib < 0x80000000 ? 0 : config->ram_bytes);
    end(b);
}

static void build_memory_device(struct builder *b, unsigned n, uint64_t bytes)
{
    char locator[16];
    uint64_t mib = bytes >> 20;
    snprintf(locator, sizeof(locator), "DIMM %u", n);
    begin(b, 17, 40, (uint16_t)(0x1100 + n));
    aml_u16(&b->out, 0x1000);
    aml_u16(&b->out, 0xfffe);
    aml_u16(&b->out, 0xffff);
    aml_u16(&b->out, 0xffff);
    aml_u16(&b->out, mib < 0x7fff ? (uint16_t)mib : 0x7fff);
    aml_u8(&b->out, 9); /* DIMM */
    aml_u8(&b->out, 0);
    string(b, locator);
    string(b, NULL);
    aml_u8(&b->out, 7); /* RAM */
    aml_u16(&b->out, 2);
    aml_u16(&b->out, 0);
    string(b, MAKER);
    string(b, NULL);
    string(b, NULL);
    string(b, NULL);
    aml_u8(&b->out, 0);
    aml_u32(&b->out, mib < 0x7fff ? 0 : (uint32_t)mib);
    aml_u64(&b->out, 0); /* clock, minimum, maximum and configured voltage: unknown */
    end(b);
}

static void build_mapping(struct builder *b, unsigned n, uint64_t first, uint64_t bytes)
{
    uint64_t first_kib = first >> 10, last_kib = ((first + bytes) >> 10) - 1;
    bool fits = last_kib < UINT32_MAX;
    begin(b, 19, 31, (uint16_t)(0x1300 + n));
    aml_u32(&b->out, fits ? (uint32_t)first_kib : UINT32_MAX);
    aml_u32(&b->out, fits ? (uint32_t)last_kib : UINT32_MAX);
    aml_u16(&b->out, 0x1000);
    aml_u8(&b->out, 1);
    aml_u64(&b->out, fits ? 0 : first);
    aml_u64(&b->out, fits ? 0 : first + bytes - 1);
    end(b);
}

static uint8_t checksum(const uint8_t *bytes, size_t len_bytes)
{
    uint8_t sum = 0;
    while (len_bytes--)
        sum += *bytes++;
    return (uint8_t)-sum;
}

static int add_files(struct fw_cfg *cfg, const struct builder *b)
{
    uint8_t anchor[ENTRY_POINT_BYTES] = "_SM_";
    if (b->out.failed)
        return -ENOMEM;
    if (b->out.len_bytes > UINT16_MAX)
        return -ENOSPC;
    anchor[5] = ENTRY_POINT_BYTES;
    anchor[6] = 2;
    anchor[7] = 8;
    le16_put(anchor + 8, (uint16_t)b->largest_bytes);
    memcpy(anchor + 16, "_DMI_", 5);
    le16_put(anchor + 22, (uint16_t)b->out.len_bytes);
    le16_put(anchor + 28, (uint16_t)b->count);
    anchor[30] = 0x28;
    anchor[21] = checksum(anchor + 16, 15);
    anchor[4] = checksum(anchor, ENTRY_POINT_BYTES);
    int r = fw_cfg_add_file(cfg, "etc/smbios/smbios-tables", b->out.bytes, b->out.len_bytes);
    return r < 0 ? r : fw_cfg_add_file(cfg, "etc/smbios/smbios-anchor", anchor, sizeof(anchor));
}

int smbios_install(struct fw_cfg *cfg, const struct smbios_config *config)
{
    uint64_t dimms = (config->ram_bytes + DIMM_BYTES - 1) / DIMM_BYTES;
    if (!config->ram_bytes || dimms > 256 || config->ram_low_bytes > config->ram_bytes)
        return -EINVAL;
    struct builder b = {.count = 0};
    build_bios(&b);
    build_system(&b, config);
    build_chassis(&b);
    for (unsigned i = 0; i < config->cpus; i++)
        build_processor(&b, i);
    build_memory_array(&b, config, (unsigned)dimms);
    for (unsigned i = 0; i < dimms; i++)
        build_memory_device(&b, i, MIN(DIMM_BYTES, config->ram_bytes - i * DIMM_BYTES));
    build_mapping(&b, 0, 0, config->ram_low_bytes);
    if (config->ram_bytes > config->ram_low_bytes)
        build_mapping(&b, 1, GIB(4), config->ram_bytes - config->ram_low_bytes);
    begin(&b, 32, 11, 0x2000);
    aml_raw(&b.out, "\0\0\0\0\0\0\0", 7); /* no error at boot */
    end(&b);
    begin(&b, 127, 4, 0x7f00);
    end(&b);
    int r = add_files(cfg, &b);
    aml_done(&b.out);
    return r;
}
