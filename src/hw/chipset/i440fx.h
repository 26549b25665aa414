/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host bridge: memory below 1 MiB, and the way to PCI configuration space.
 */
#ifndef HW_CHIPSET_I440FX_H
#define HW_CHIPSET_I440FX_H

#include "hw/core/pci.h"

struct i440fx;

struct i440fx_env {
    struct pci_bus *pci; /* the bridge takes slot 0 */
    struct bus *mem;
    uint64_t ram_offset; /* in the store: DRAM of guest address 0 */
    /* The end of the firmware's ROM shows below 1 MiB: bios_bytes (a multiple of 16 KiB, at most
     * 128 KiB, may be 0) that lie in the store at bios_offset. */
    uint64_t bios_offset, bios_bytes;
    /* The guest wrote a reset request to port 0xcf9. */
    void (*reset)(void *ctx);
    void *reset_ctx;
};

extern const struct dev_ops i440fx_dev_ops;
/* Eight ports at 0xcf8: CONFADD, CONFDATA and the reset control register between them. */
extern const struct io_ops i440fx_config_io;

/*
 * Lays regions over 0xa0000–0xfffff of mem with priority 1 (the machine lays its RAM from 0 with
 * priority 0; video memory is laid over the hole at 0xa0000 with priority 2). -ENOMEM, -EINVAL.
 */
int i440fx_new(const struct i440fx_env *env, struct i440fx **ret_bridge);

#endif
