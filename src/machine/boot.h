/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernels given by --kernel, by their format. Each *_open() looks at the file: 1 it is of this
 * format and ready, 0 it is another, negative errno with text.
 *
 * Linux goes through the firmware: its setup code wants BIOS services (E820, VBE), and so do
 * images that only look like Linux (memtest86+). Multiboot and PVH kernels start at once, without
 * firmware: see docs/decisions/0008-kernel-boot.md.
 */
#ifndef MACHINE_BOOT_H
#define MACHINE_BOOT_H

#include "machine/pc.h"

#define BOOT_INFO_GPA 0x10000u   /* what a directly started kernel is told lies from here … */
#define BOOT_INFO_BYTES 0x70000u /* … this many bytes at most */
#define BOOT_GDT_GPA 0x0f000u

struct boot_range {
    uint64_t base, len_bytes;
    uint32_t type; /* of E820: 1 RAM, 2 reserved, 3 ACPI */
};
#define BOOT_RANGES_MAX 8

int boot_linux_open(struct pc *pc, const struct blob *kernel, struct error *err);
int boot_multiboot_open(struct pc *pc, const struct blob *kernel, struct error *err);
int boot_pvh_open(struct pc *pc, const struct blob *kernel, struct error *err);

/* Take over data as a piece to be loaded. -ENOSPC. */
int boot_add_piece(struct pc *pc, uint64_t gpa, uint8_t *data, size_t len_bytes);
/* fw_cfg items and the option ROM of a Linux kernel; nothing without one. */
int boot_linux_fw_cfg(struct pc *pc);
/* The loadable segments of an ELF32 or ELF64 file as one piece. ret_end: behind its last byte. */
int boot_add_elf(struct pc *pc, const struct blob *file, uint64_t *ret_end, struct error *err);
/* Memory as a directly started kernel is told. */
unsigned boot_memory_map(const struct pc *pc, struct boot_range ret_ranges[BOOT_RANGES_MAX]);
/* ACPI tables for a directly started kernel, at every reset; their root is at BOOT_RSDP_GPA. */
int boot_acpi(struct pc *pc);
#define BOOT_RSDP_GPA 0xf0000u
/* boot_platform.c: what firmware would have set up in the chips and in low memory. */
int boot_platform(struct pc *pc);
#define BOOT_ACPI_BYTES 0x40000u /* at the end of low RAM */

#endif
