/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The Bochs VBE extensions (DISPI interface, ID 5) and the register block in memory that QEMU's
 * standard VGA adds. Bochs "VBE Display API" documentation; QEMU documentation, "stdvga".
 *
 * Left out: EDID in the register block (reads as zeros: none).
 */
#include <string.h>

#include "base/bytes.h"
#include "hw/display/vga_priv.h"

enum {
    DISPI_ID0 = 0xb0c0,
    DISPI_ID5 = 0xb0c5,
    MMIO_VGA = 0x400,  /* ports 0x3c0 to 0x3df */
    MMIO_VBE = 0x500,  /* two bytes for each register */
    MMIO_QEXT = 0x600, /* size of this block; byte order */
    QEXT_BYTES = 8,
};

#define QEXT_LITTLE_ENDIAN 0x1e1e1e1eu

uint64_t vbe_line_bytes(const struct vga *vga)
{
    unsigned bpp = vga->vbe[VBE_BPP] == 15 ? 16 : vga->vbe[VBE_BPP];
    return (uint64_t)vga->vbe[VBE_VIRT_WIDTH] * bpp / 8;
}

static bool bpp_valid(uint16_t bpp)
{
    return bpp == 4 || bpp == 8 || bpp == 15 || bpp == 16 || bpp == 24 || bpp == 32;
}

void vbe_reset(struct vga *vga)
{
    memset(vga->vbe, 0, sizeof(vga->vbe));
    vga->vbe_index = 0;
    vga->vbe[VBE_ID] = DISPI_ID5;
    vga->vbe[VBE_XRES] = vga->vbe[VBE_VIRT_WIDTH] = 640;
    vga->vbe[VBE_YRES] = vga->vbe[VBE_VIRT_HEIGHT] = 480;
    vga->vbe[VBE_BPP] = 8;
}

bool vbe_valid(const struct vga *vga)
{
    const uint16_t *r = vga->vbe;
    return bpp_valid(r[VBE_BPP]) && r[VBE_XRES] >= 8 && r[VBE_XRES] <= SURFACE_WIDTH_MAX &&
           r[VBE_YRES] >= 1 && r[VBE_YRES] <= SURFACE_HEIGHT_MAX;
}

uint16_t vbe_read(const struct vga *vga, unsigned index)
{
    if (index == VBE_MEMORY_64K)
        return VGA_MEMORY_BYTES >> 16;
    if (index >= VBE_REGS)
        return 0;
    if (vga->vbe[VBE_ENABLE] & VBE_GET_CAPS) {
        if (index == VBE_XRES)
            return SURFACE_WIDTH_MAX;
        if (index == VBE_YRES)
            return SURFACE_HEIGHT_MAX;
        if (index == VBE_BPP)
            return 32;
    }
    return vga->vbe[index];
}

static void vbe_set_virt_width(struct vga *vga, uint16_t width)
{
    uint16_t *r = vga->vbe;
    r[VBE_VIRT_WIDTH] = MAX(width & ~7u, r[VBE_XRES]);
    uint64_t lines = VGA_MEMORY_BYTES / MAX(vbe_line_bytes(vga), (uint64_t)1);
    r[VBE_VIRT_HEIGHT] = (uint16_t)MIN(lines, (uint64_t)UINT16_MAX);
}

static void vbe_enable(struct vga *vga, uint16_t value)
{
    uint16_t *r = vga->vbe;
    bool was = r[VBE_ENABLE] & VBE_ENABLED;
    r[VBE_ENABLE] = value;
    r[VBE_BANK] = 0;
    if (!(value & VBE_ENABLED) || was)
        return;
    r[VBE_X_OFFSET] = r[VBE_Y_OFFSET] = 0;
    vbe_set_virt_width(vga, r[VBE_XRES]);
    /* A mode that does not fit is cut at the end of memory. */
    r[VBE_YRES] = MAX(1, MIN(r[VBE_YRES], r[VBE_VIRT_HEIGHT]));
    if (value & VBE_NO_CLEAR)
        return;
    uint64_t bytes = MIN(vbe_line_bytes(vga) * r[VBE_YRES], (uint64_t)VGA_MEMORY_BYTES);
    memset(vga->vram, 0, bytes);
    ram_wrote(vga->ram, vga->vram_offset, bytes);
}

void vbe_write(struct vga *vga, unsigned index, uint16_t value)
{
    uint16_t *r = vga->vbe;
    bool on = vbe_on(vga);
    vga->changed = true;
    switch (index) {
    case VBE_ID:
        if (value >= DISPI_ID0 && value <= DISPI_ID5)
            r[VBE_ID] = value;
        break;
    case VBE_XRES:
        if (!on && value >= 8 && value <= SURFACE_WIDTH_MAX)
            r[VBE_XRES] = value & ~7u;
        break;
    case VBE_YRES:
        if (!on && value && value <= SURFACE_HEIGHT_MAX)
            r[VBE_YRES] = value;
        break;
    case VBE_BPP:
        if (!value)
            value = 8;
        if (!on && bpp_valid(value))
            r[VBE_BPP] = value;
        break;
    case VBE_ENABLE:
        vbe_enable(vga, value);
        break;
    case VBE_BANK:
        r[VBE_BANK] = value & ((VGA_MEMORY_BYTES >> 16) - 1);
        break;
    case VBE_VIRT_WIDTH:
        vbe_set_virt_width(vga, value);
        break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
        r[index] = value;
        break;
    default: /* virtual height and memory size follow from the rest */
        break;
    }
}

static uint64_t vbe_port_read(void *dev, uint64_t offset, unsigned size)
{
    struct vga *vga = dev;
    uint16_t value = offset ? vbe_read(vga, vga->vbe_index) : vga->vbe_index;
    return bytes_mask(value, size);
}

static void vbe_port_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = dev;
    (void)size;
    if (offset)
        vbe_write(vga, vga->vbe_index, (uint16_t)value);
    else
        vga->vbe_index = (uint16_t)value;
}

static uint64_t mmio_read(void *dev, uint64_t offset, unsigned size)
{
    struct vga *vga = dev;
    if (offset >= MMIO_VGA && offset < MMIO_VGA + 0x20) {
        uint64_t value = 0;
        for (unsigned i = 0; i < size; i++)
            value |= (uint64_t)vga_port_read(vga, 0x3c0 + (unsigned)(offset - MMIO_VGA) + i)
                     << 8 * i;
        return value;
    }
    if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGS) {
        unsigned index = (unsigned)(offset - MMIO_VBE) / 2;
        uint32_t pair = vbe_read(vga, index) | (uint32_t)vbe_read(vga, index + 1) << 16;
        return bytes_mask(pair >> 8 * (offset & 1), size);
    }
    if (offset == MMIO_QEXT)
        return bytes_mask(QEXT_BYTES, size);
    if (offset == MMIO_QEXT + 4)
        return bytes_mask(QEXT_LITTLE_ENDIAN, size);
    return 0;
}

static void mmio_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = dev;
    if (offset >= MMIO_VGA && offset < MMIO_VGA + 0x20) {
        for (unsigned i = 0; i < size; i++)
            vga_port_write(vga, 0x3c0 + (unsigned)(offset - MMIO_VGA) + i,
                           (uint8_t)(value >> 8 * i));
    } else if (offset >= MMIO_VBE && offset < MMIO_VBE + 2 * VBE_REGS && !(offset & 1)) {
        vbe_write(vga, (unsigned)(offset - MMIO_VBE) / 2, (uint16_t)value);
        if (size == 4)
            vbe_write(vga, (unsigned)(offset - MMIO_VBE) / 2 + 1, (uint16_t)(value >> 16));
    }
}

const struct io_ops vga_vbe_io = {.name = "vga-vbe",
                                  .min_size = 1,
                                  .max_size = 2,
                                  .read = vbe_port_read,
                                  .write = vbe_port_write};
const struct io_ops vga_mmio_io = {
    .name = "vga-mmio", .min_size = 1, .max_size = 4, .read = mmio_read, .write = mmio_write};
