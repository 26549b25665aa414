/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files that SeaBIOS and OVMF look for in the configuration device.
 */
#ifndef HW_FIRMWARE_FW_FILES_H
#define HW_FIRMWARE_FW_FILES_H

#include "hw/firmware/fw_cfg.h"

/* etc/e820: RAM from 0, and from 4 GiB on (high_bytes may be 0). */
int fw_files_e820(struct fw_cfg *cfg, uint64_t low_bytes, uint64_t high_bytes);
/*
 * bootorder: Open Firmware paths in the order in which they are to be tried, as SeaBIOS and OVMF
 * know them. Examples: "/pci@i0cf8/ide@1,1/drive@0/disk@0" (IDE: channel, then unit),
 * "/pci@i0cf8/scsi@4/disk@0,0" (virtio-blk in slot 4), "/pci@i0cf8/isa@1/fdc@03f0/floppy@0",
 * "/pci@i0cf8/ethernet@3". halt: nothing else is tried.
 */
int fw_files_boot_order(struct fw_cfg *cfg, const char *const *paths, unsigned count, bool halt);
/* The boot menu: shown for wait_ms (0: not at all). */
int fw_files_boot_menu(struct fw_cfg *cfg, uint16_t wait_ms);
/* etc/system-states: soft-off only, no sleep. */
int fw_files_system_states(struct fw_cfg *cfg);

#endif
