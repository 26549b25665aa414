/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SMBIOS tables: what a guest's inventory shows of the machine.
 */
#ifndef HW_FIRMWARE_SMBIOS_H
#define HW_FIRMWARE_SMBIOS_H

#include "hw/firmware/fw_cfg.h"

struct smbios_config {
    unsigned cpus;
    uint64_t ram_bytes;     /* all of it */
    uint64_t ram_low_bytes; /* what lies below 4 GiB */
    uint8_t uuid[16];       /* as printed: big-endian fields */
    const char *serial;     /* may be NULL */
};

/* Add etc/smbios/smbios-tables and etc/smbios/smbios-anchor. -EINVAL, -ENOMEM, -ENOSPC. */
int smbios_install(struct fw_cfg *cfg, const struct smbios_config *config);

#endif
