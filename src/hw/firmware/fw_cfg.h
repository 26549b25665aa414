/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware configuration device: how firmware learns what machine it runs on, and fetches
 * tables and kernels.
 */
#ifndef HW_FIRMWARE_FW_CFG_H
#define HW_FIRMWARE_FW_CFG_H

#include "hw/core/device.h"

#define FW_CFG_PORTS 12 /* from 0x510 */
#define FW_CFG_NAME_BYTES 56

enum fw_cfg_key {
    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03, /* u64, bytes */
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,     /* u16 */
    FW_CFG_KERNEL_ADDR = 0x07, /* u32, as all addresses and sizes */
    FW_CFG_KERNEL_SIZE = 0x08,
    FW_CFG_INITRD_ADDR = 0x0a,
    FW_CFG_INITRD_SIZE = 0x0b,
    FW_CFG_BOOT_MENU = 0x0e, /* u16 */
    FW_CFG_MAX_CPUS = 0x0f,  /* u16 */
    FW_CFG_KERNEL_ENTRY = 0x10,
    FW_CFG_KERNEL_DATA = 0x11,
    FW_CFG_INITRD_DATA = 0x12,
    FW_CFG_CMDLINE_ADDR = 0x13,
    FW_CFG_CMDLINE_SIZE = 0x14,
    FW_CFG_CMDLINE_DATA = 0x15,
    FW_CFG_SETUP_ADDR = 0x16,
    FW_CFG_SETUP_SIZE = 0x17,
    FW_CFG_SETUP_DATA = 0x18,
    FW_CFG_FILE_DIR = 0x19,
    FW_CFG_FILE_FIRST = 0x20,
    FW_CFG_IRQ0_OVERRIDE = 0x8002, /* u32: 1 when IRQ 0 is wired to pin 2 of the IOAPIC */
};

struct fw_cfg;

struct fw_cfg_env {
    struct bus *mem; /* for the DMA interface */
};

extern const struct dev_ops fw_cfg_dev_ops;
/* FW_CFG_PORTS ports at 0x510. */
extern const struct io_ops fw_cfg_io;

/* With signature, ID and an empty directory. -ENOMEM. */
int fw_cfg_new(const struct fw_cfg_env *env, struct fw_cfg **ret_cfg);

/* Items; one that is added again under the same key or name replaces the old. -ENOMEM, -ENOSPC. */
int fw_cfg_add(struct fw_cfg *cfg, uint16_t key, const void *data, size_t len_bytes);
/* The data are not copied: they stay the caller's, and in place as long as cfg lives. */
int fw_cfg_add_ref(struct fw_cfg *cfg, uint16_t key, const void *data, size_t len_bytes);
int fw_cfg_add_u16(struct fw_cfg *cfg, uint16_t key, uint16_t value);
int fw_cfg_add_u32(struct fw_cfg *cfg, uint16_t key, uint32_t value);
int fw_cfg_add_u64(struct fw_cfg *cfg, uint16_t key, uint64_t value);
/* Files, found by name in the directory. -EINVAL for a name that is too long. */
int fw_cfg_add_file(struct fw_cfg *cfg, const char *name, const void *data, size_t len_bytes);
/* fill(ctx, …) writes the len_bytes of the file each time the guest selects it. */
int fw_cfg_add_file_fn(struct fw_cfg *cfg, const char *name, size_t len_bytes,
                       void (*fill)(void *ctx, uint8_t *buf, size_t len_bytes), void *ctx);

#endif
