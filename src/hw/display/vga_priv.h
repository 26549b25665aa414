/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the display adapter share: vga.c (registers), vga_memory.c (planes),
 * vga_vbe.c (Bochs extensions), vga_paint.c (the picture).
 */
#ifndef HW_DISPLAY_VGA_PRIV_H
#define HW_DISPLAY_VGA_PRIV_H

#include "hw/display/vga.h"

#define SEQ_REGS 8
#define GFX_REGS 16
#define CRTC_REGS 32
#define ATTR_REGS 32
#define PLANE_BYTES 0x10000u

enum {
    SEQ_CLOCKING = 1,
    SEQ_MAP_MASK = 2,
    SEQ_FONTS = 3,
    SEQ_MEMORY = 4,
    SEQ_CLOCKING_8DOT = 0x01,
    SEQ_CLOCKING_HALF = 0x08,
    SEQ_CLOCKING_OFF = 0x20,
    SEQ_MEMORY_NO_ODD_EVEN = 0x04,
    SEQ_MEMORY_CHAIN4 = 0x08,
    GFX_SET_RESET = 0,
    GFX_ENABLE_SET_RESET = 1,
    GFX_COMPARE = 2,
    GFX_ROTATE = 3,
    GFX_READ_MAP = 4,
    GFX_MODE = 5,
    GFX_MISC = 6,
    GFX_DONT_CARE = 7,
    GFX_BIT_MASK = 8,
    GFX_MODE_READ1 = 0x08,
    GFX_MODE_ODD_EVEN = 0x10,
    GFX_MODE_SHIFT2 = 0x20,
    GFX_MODE_SHIFT256 = 0x40,
    GFX_MISC_GRAPHICS = 0x01,
    GFX_MISC_CHAIN = 0x02,
    ATTR_MODE = 0x10,
    ATTR_PLANES = 0x12,
    ATTR_PAN = 0x13,
    ATTR_COLOR_SELECT = 0x14,
    ATTR_MODE_LINE_GRAPHICS = 0x04,
    ATTR_MODE_BLINK = 0x08,
    ATTR_MODE_PAN_COMPAT = 0x20,
    ATTR_MODE_P54 = 0x80,
    ATTR_PAS = 0x20,
    MISC_COLOR = 0x01,
    MISC_PAGE = 0x20,
};

enum {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_MEMORY_64K,
    VBE_REGS,
    VBE_ENABLED = 0x01,
    VBE_GET_CAPS = 0x02,
    VBE_8BIT_DAC = 0x20,
    VBE_NO_CLEAR = 0x80,
};

struct vga {
    struct vga_env env;
    struct pci_dev pd;
    struct bus *mem;
    struct ram *ram;
    uint64_t vram_offset; /* in the store */
    uint8_t *vram;
    struct region lfb, mmio, rom;

    uint8_t misc, feature;
    uint8_t seq_index, seq[SEQ_REGS];
    uint8_t gfx_index, gfx[GFX_REGS];
    uint8_t crtc_index, crtc[CRTC_REGS];
    uint8_t attr_index, attr[ATTR_REGS];
    bool attr_data; /* the flip-flop: the next write to 0x3c0 is data */
    uint8_t dac_mask, dac_read, dac_write, dac_at;
    bool dac_reading;
    uint8_t dac_latch[3];
    uint8_t dac[256][3];
    uint32_t latch;
    uint16_t vbe_index, vbe[VBE_REGS];

    struct surface surface;
    bool changed; /* registers were written since the last picture */
    bool blink;   /* phase of the last picture */
};

static inline bool vbe_on(const struct vga *vga)
{
    return vga->vbe[VBE_ENABLE] & VBE_ENABLED;
}

/* Linear frame buffer modes; VBE modes of 4 bits are planar. */
static inline bool vbe_linear(const struct vga *vga)
{
    return vbe_on(vga) && vga->vbe[VBE_BPP] > 4;
}

/* vga_vbe.c */
void vbe_reset(struct vga *vga);
uint16_t vbe_read(const struct vga *vga, unsigned index);
void vbe_write(struct vga *vga, unsigned index, uint16_t value);
/* After loading: true if the registers can be what the guest has set. */
bool vbe_valid(const struct vga *vga);
uint64_t vbe_line_bytes(const struct vga *vga);
extern const struct io_ops vga_mmio_io;

/* vga.c */
uint8_t vga_port_read(struct vga *vga, unsigned port);
void vga_port_write(struct vga *vga, unsigned port, uint8_t value);

/* vga_paint.c */
unsigned vga_lines(const struct vga *vga);

#endif
