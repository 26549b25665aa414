/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The display adapter: a VGA with the Bochs VBE extensions, as a PCI device.
 */
#ifndef HW_DISPLAY_VGA_H
#define HW_DISPLAY_VGA_H

#include "hw/core/pci.h"
#include "hw/core/surface.h"

#define VGA_PORTS_BASE 0x3b0
#define VGA_PORTS 0x30
#define VGA_VBE_BASE 0x1ce
#define VGA_VBE_PORTS 3
#define VGA_WINDOW_BASE 0xa0000u
#define VGA_WINDOW_BYTES 0x20000u
#define VGA_MEMORY_BYTES (16u << 20)

struct vga;

struct vga_env {
    struct pci_bus *pci;
    uint8_t devfn;
    struct clock *clock;
    /* The video BIOS for the ROM BAR, at most 64 KiB; copied. NULL: none. */
    const void *rom;
    size_t rom_bytes;
};

extern const struct dev_ops vga_dev_ops;
extern const struct io_ops vga_port_io;   /* VGA_PORTS at VGA_PORTS_BASE */
extern const struct io_ops vga_vbe_io;    /* VGA_VBE_PORTS at VGA_VBE_BASE */
extern const struct io_ops vga_window_io; /* the window in memory, above the bridge's hole */

/* Video memory and ROM are taken from the store of the PCI bus's memory. -EINVAL, -EBUSY, -ENOMEM,
 * -ENOSPC. */
int vga_new(const struct vga_env *env, struct vga **ret_vga);

/*
 * Bring the picture up to date and return it; it stays the adapter's, and is valid until the next
 * call or change of its generation. Never NULL. Rows that changed are added to its damage.
 */
struct surface *vga_refresh(struct vga *vga);

struct vga_text {
    unsigned columns, rows;
    int cursor_column, cursor_row; /* -1: not shown */
};

/*
 * The screen as text: character codes (of the font's code page, 437 as a rule) row by row into
 * chars, and attributes into attributes (may be NULL), up to room cells. -EINVAL in a graphics
 * mode.
 */
int vga_read_text(const struct vga *vga, uint8_t *chars, uint8_t *attributes, size_t room,
                  struct vga_text *ret_text);

#endif
