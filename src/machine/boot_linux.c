/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux by the x86 boot protocol (Documentation/arch/x86/boot.rst), versions 2.00 and later. The
 * parts go into fw_cfg under the keys that OVMF knows too; under a BIOS the option ROM of
 * linux_rom.S loads them and enters the setup code in real mode.
 */
#include "machine/boot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/firmware/fw_cfg.h"

#define SETUP_SECTS 0x1f1
#define VID_MODE 0x1fa
#define BOOT_FLAG 0x1fe
#define HEADER 0x202
#define VERSION 0x206
#define TYPE_OF_LOADER 0x210
#define LOADFLAGS 0x211
#define RAMDISK_IMAGE 0x218
#define RAMDISK_SIZE 0x21c
#define HEAP_END_PTR 0x224
#define CMD_LINE_PTR 0x228
#define INITRD_ADDR_MAX 0x22c
#define CMDLINE_SIZE 0x238
#define SETUP_MIN 0x240

#define LOADED_HIGH 0x01
#define CAN_USE_HEAP 0x80
#define LOADER_UNDEFINED 0xff
#define SETUP_GPA 0x10000u
#define CMDLINE_GPA 0x20000u
#define CMDLINE_MAX 0x8000u
#define OLD_SETUP_GPA 0x90000u
#define OLD_CMDLINE_GPA 0x9a000u
#define INITRD_MAX_OLD 0x37ffffffu
/* Kept free at the end of low RAM: the firmware puts its tables there. */
#define FIRMWARE_BYTES MIB(2)
#define ROM_FILE "genroms/yado-linux.bin"

enum part { PART_SETUP, PART_KERNEL, PART_CMDLINE, PART_INITRD, PART_ROM };

extern const uint8_t boot_linux_rom[], boot_linux_rom_end[];

static int part_set(struct pc *pc, enum part part, const void *data, size_t len)
{
    uint8_t *copy = blob_alloc(len);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, data, len);
    copy[len] = 0;
    pc->linux_parts[part] = (struct blob){copy, len};
    return 0;
}

/* "vga=" is the boot loader's to read: normal, ext, ask or a number. */
static void video_mode(uint8_t *setup, const char *cmdline)
{
    const char *vga = strstr(cmdline, "vga=");
    uint16_t mode;

    if (!vga)
        return;
    vga += 4;
    if (!strncmp(vga, "normal", 6))
        mode = 0xffff;
    else if (!strncmp(vga, "ext", 3))
        mode = 0xfffe;
    else if (!strncmp(vga, "ask", 3))
        mode = 0xfffd;
    else
        mode = (uint16_t)strtoul(vga, NULL, 0);
    le16_put(setup + VID_MODE, mode);
}

static int initrd_open(struct pc *pc, uint8_t *setup, uint16_t version, struct error *err)
{
    const char *path = pc->config->initrd;
    uint64_t max = INITRD_MAX_OLD, low = pc->m->low_ram_bytes;
    struct blob *initrd = &pc->linux_parts[PART_INITRD];
    uint64_t kernel_end = pc->linux_kernel_gpa + pc->linux_parts[PART_KERNEL].len_bytes;
    int r;

    if (!path)
        return 0;
    r = blob_read(initrd, path, GIB(2), err);
    if (r < 0)
        return error_prefix(err, r, "--initrd");
    if (version >= 0x203)
        max = le32_get(setup + INITRD_ADDR_MAX);
    max = MIN(max + 1, low > FIRMWARE_BYTES ? low - FIRMWARE_BYTES : 0);
    if (initrd->len_bytes > max || ((max - initrd->len_bytes) & ~4095ULL) < kernel_end)
        return error_set(err, -ENOSPC,
                         "--initrd: %s: does not fit beside the kernel; give more "
                         "--memory",
                         path);
    pc->linux_initrd_gpa = (uint32_t)((max - initrd->len_bytes) & ~4095ULL);
    le32_put(setup + RAMDISK_IMAGE, pc->linux_initrd_gpa);
    le32_put(setup + RAMDISK_SIZE, (uint32_t)initrd->len_bytes);
    return 0;
}

/* A ROM's bytes add up to nothing. */
static int rom_make(struct pc *pc)
{
    size_t len = (size_t)(boot_linux_rom_end - boot_linux_rom);
    uint8_t sum = 0, *rom;
    int r = part_set(pc, PART_ROM, boot_linux_rom, len);

    if (r < 0)
        return r;
    rom = pc->linux_parts[PART_ROM].data;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + rom[i]);
    rom[len - 1] = (uint8_t)(rom[len - 1] - sum);
    return 0;
}

static int setup_patch(struct pc *pc, uint16_t version, const char *cmdline, struct error *err)
{
    uint8_t *setup = pc->linux_parts[PART_SETUP].data;
    size_t cmdline_max = CMDLINE_MAX - 1;
    bool high = setup[LOADFLAGS] & LOADED_HIGH;

    if (version >= 0x206 && le32_get(setup + CMDLINE_SIZE))
        cmdline_max = MIN(cmdline_max, (size_t)le32_get(setup + CMDLINE_SIZE));
    if (strlen(cmdline) > cmdline_max)
        return error_set(err, -E2BIG, "--append: longer than the %zu characters the kernel takes",
                         cmdline_max);
    pc->linux_setup_gpa = high ? SETUP_GPA : OLD_SETUP_GPA;
    pc->linux_cmdline_gpa = high ? CMDLINE_GPA : OLD_CMDLINE_GPA;
    pc->linux_kernel_gpa = high ? 0x100000 : 0x10000;
    setup[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    if (version >= 0x201) {
        setup[LOADFLAGS] |= CAN_USE_HEAP;
        le16_put(setup + HEAP_END_PTR,
                 (uint16_t)(pc->linux_cmdline_gpa - pc->linux_setup_gpa - 0x200));
    }
    if (version >= 0x202) {
        le32_put(setup + CMD_LINE_PTR, pc->linux_cmdline_gpa);
    } else {
        le16_put(setup + 0x20, 0xa33f);
        le16_put(setup + 0x22, (uint16_t)(pc->linux_cmdline_gpa - pc->linux_setup_gpa));
    }
    video_mode(setup, cmdline);
    return 0;
}

int boot_linux_open(struct pc *pc, const struct blob *kernel, struct error *err)
{
    const char *cmdline = pc->config->append ? pc->config->append : "";
    size_t setup_bytes;
    uint16_t version;
    int r;

    if (kernel->len_bytes < SETUP_MIN || le16_get(kernel->data + BOOT_FLAG) != 0xaa55 ||
        memcmp(kernel->data + HEADER, "HdrS", 4))
        return 0;
    version = le16_get(kernel->data + VERSION);
    setup_bytes = ((kernel->data[SETUP_SECTS] ? kernel->data[SETUP_SECTS] : 4) + 1) * 512u;
    if (setup_bytes >= kernel->len_bytes)
        return error_set(err, -ENOEXEC, "--kernel: %s: damaged: it ends within its setup code",
                         pc->config->kernel);
    if (kernel->len_bytes - setup_bytes + MIB(4) > pc->m->low_ram_bytes)
        return error_set(err, -ENOSPC, "--kernel: %s: does not fit; give more --memory",
                         pc->config->kernel);
    if ((r = part_set(pc, PART_SETUP, kernel->data, setup_bytes)) < 0 ||
        (r = part_set(pc, PART_KERNEL, kernel->data + setup_bytes,
                      kernel->len_bytes - setup_bytes)) < 0 ||
        (r = part_set(pc, PART_CMDLINE, cmdline, strlen(cmdline))) < 0 ||
        (r = setup_patch(pc, version, cmdline, err)) < 0 ||
        (r = initrd_open(pc, pc->linux_parts[PART_SETUP].data, version, err)) < 0 ||
        (r = rom_make(pc)) < 0)
        return r;
    return 1;
}

int boot_linux_fw_cfg(struct pc *pc)
{
    const struct blob *parts = pc->linux_parts;
    const struct {
        uint16_t addr_key, size_key, data_key;
        uint32_t gpa;
        const struct blob *part;
        size_t extra; /* the terminating zero is part of a command line */
    } items[] = {
        {FW_CFG_SETUP_ADDR, FW_CFG_SETUP_SIZE, FW_CFG_SETUP_DATA, pc->linux_setup_gpa,
         &parts[PART_SETUP], 0},
        {FW_CFG_KERNEL_ADDR, FW_CFG_KERNEL_SIZE, FW_CFG_KERNEL_DATA, pc->linux_kernel_gpa,
         &parts[PART_KERNEL], 0},
        {FW_CFG_CMDLINE_ADDR, FW_CFG_CMDLINE_SIZE, FW_CFG_CMDLINE_DATA, pc->linux_cmdline_gpa,
         &parts[PART_CMDLINE], 1},
        {FW_CFG_INITRD_ADDR, FW_CFG_INITRD_SIZE, FW_CFG_INITRD_DATA, pc->linux_initrd_gpa,
         &parts[PART_INITRD], 0},
    };

    if (!parts[PART_KERNEL].data)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        size_t len = items[i].part->data ? items[i].part->len_bytes + items[i].extra : 0;
        int r;

        if ((r = fw_cfg_add_u32(pc->fw_cfg, items[i].addr_key, items[i].gpa)) < 0 ||
            (r = fw_cfg_add_u32(pc->fw_cfg, items[i].size_key, (uint32_t)len)) < 0 ||
            (len &&
             (r = fw_cfg_add_ref(pc->fw_cfg, items[i].data_key, items[i].part->data, len)) < 0))
            return r;
    }
    return fw_cfg_add_file(pc->fw_cfg, ROM_FILE, parts[PART_ROM].data, parts[PART_ROM].len_bytes);
}
