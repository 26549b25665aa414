/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window of a VGA at 0xa0000: planes, latches, write and read modes.
 * IBM Personal System/2 Hardware Interface Technical Reference, "Video Subsystem"; FreeVGA
 * project, "Accessing the VGA display memory".
 *
 * Byte n of plane p lies at 4 n + p of video memory.
 */
#include "base/bytes.h"
#include "hw/display/vga_priv.h"

/* The planes of a mask of four bits, as bytes of a word. */
static uint32_t planes(unsigned mask)
{
    return (mask & 1 ? 0x000000ffu : 0) | (mask & 2 ? 0x0000ff00u : 0) |
           (mask & 4 ? 0x00ff0000u : 0) | (mask & 8 ? 0xff000000u : 0);
}

static uint32_t in_all_planes(uint8_t byte)
{
    return byte * 0x01010101u;
}

/* Offset in the window to an address; false when the window does not reach that far. */
static bool window_address(const struct vga *vga, uint64_t offset, uint32_t *ret_addr)
{
    static const struct {
        uint32_t first, bytes;
    } maps[4] = {{0, 0x20000}, {0, 0x10000}, {0x10000, 0x8000}, {0x18000, 0x8000}};
    unsigned map = vga->gfx[GFX_MISC] >> 2 & 3;
    if (offset < maps[map].first || offset - maps[map].first >= maps[map].bytes)
        return false;
    *ret_addr = (uint32_t)offset - maps[map].first;
    return true;
}

/* Odd/even addressing: A0 selects the plane; the plane's bit 0 comes from elsewhere. */
static uint32_t odd_even_address(const struct vga *vga, uint32_t addr)
{
    uint32_t low = 0;
    if (vga->gfx[GFX_MISC] & GFX_MISC_CHAIN)
        low = (vga->gfx[GFX_MISC] >> 2 & 3) == 0 ? addr >> 16 & 1 : !(vga->misc & MISC_PAGE);
    else
        low = addr & 1;
    return ((addr & ~1u) | low) & (PLANE_BYTES - 1);
}

/* Chain 4: A1 and A0 select the plane, A15 and A14 take their place in the plane's address (as
 * MA13 and MA12 do when the CRT controller counts doublewords). */
static uint32_t chain4_address(uint32_t addr)
{
    return (addr & (PLANE_BYTES - 4)) | (addr >> 14 & 3);
}

/* VBE modes of 4 bits have planes longer than the window: the bank says which part it shows. */
static uint32_t plane_address(const struct vga *vga, uint32_t at)
{
    at &= PLANE_BYTES - 1;
    return vbe_on(vga) ? (at + ((uint32_t)vga->vbe[VBE_BANK] << 16)) % (VGA_MEMORY_BYTES / 4) : at;
}

/* The data path of a write: rotation, set/reset, logical function, bit mask. */
static uint32_t written_planes(const struct vga *vga, uint8_t value)
{
    const uint8_t *gfx = vga->gfx;
    unsigned rotate = gfx[GFX_ROTATE] & 7;
    uint8_t rotated = (uint8_t)(value >> rotate | value << (8 - rotate));
    uint32_t bits = in_all_planes(gfx[GFX_BIT_MASK]), set = planes(gfx[GFX_SET_RESET]), v;
    switch (gfx[GFX_MODE] & 3) {
    case 0: {
        uint32_t enabled = planes(gfx[GFX_ENABLE_SET_RESET]);
        v = (in_all_planes(rotated) & ~enabled) | (set & enabled);
        break;
    }
    case 1:
        return vga->latch;
    case 2:
        v = planes(value);
        break;
    default:
        v = set;
        bits &= in_all_planes(rotated);
        break;
    }
    switch (gfx[GFX_ROTATE] >> 3 & 3) {
    case 1:
        v &= vga->latch;
        break;
    case 2:
        v |= vga->latch;
        break;
    case 3:
        v ^= vga->latch;
        break;
    default:
        break;
    }
    return (v & bits) | (vga->latch & ~bits);
}

static void window_write_byte(struct vga *vga, uint32_t addr, uint8_t value)
{
    unsigned mask = vga->seq[SEQ_MAP_MASK];
    uint32_t at;
    if (vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4) {
        mask &= 1u << (addr & 3);
        at = chain4_address(addr);
    } else if (!(vga->seq[SEQ_MEMORY] & SEQ_MEMORY_NO_ODD_EVEN)) {
        mask &= addr & 1 ? 0x0a : 0x05;
        at = odd_even_address(vga, addr);
    } else {
        at = plane_address(vga, addr);
    }
    uint8_t *bytes = vga->vram + 4 * at;
    uint32_t keep = ~planes(mask), old = le32_get(bytes);
    uint32_t v = (old & keep) | (written_planes(vga, value) & ~keep);
    if (v == old)
        return;
    le32_put(bytes, v);
    ram_wrote(vga->ram, vga->vram_offset + 4 * at, 4);
}

static uint8_t window_read_byte(struct vga *vga, uint32_t addr)
{
    const uint8_t *gfx = vga->gfx;
    unsigned plane = gfx[GFX_READ_MAP] & 3;
    uint32_t at;
    if (vga->seq[SEQ_MEMORY] & SEQ_MEMORY_CHAIN4) {
        plane = addr & 3;
        at = chain4_address(addr);
    } else if (gfx[GFX_MODE] & GFX_MODE_ODD_EVEN) {
        plane = (plane & 2) | (addr & 1);
        at = odd_even_address(vga, addr);
    } else {
        at = plane_address(vga, addr);
    }
    vga->latch = le32_get(vga->vram + 4 * at);
    if (!(gfx[GFX_MODE] & GFX_MODE_READ1))
        return (uint8_t)(vga->latch >> 8 * plane);
    /* Bits where all planes that matter have the colour asked for. */
    uint32_t differ = (vga->latch ^ planes(gfx[GFX_COMPARE])) & planes(gfx[GFX_DONT_CARE]);
    differ |= differ >> 16;
    return (uint8_t) ~(differ | differ >> 8);
}

/* VBE modes show one bank of linear memory. */
static uint8_t *bank_byte(struct vga *vga, uint32_t addr)
{
    uint64_t at = ((uint64_t)vga->vbe[VBE_BANK] << 16) + addr;
    return at < VGA_MEMORY_BYTES ? vga->vram + at : NULL;
}

static uint64_t window_read(void *dev, uint64_t offset, unsigned size)
{
    struct vga *vga = dev;
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        uint32_t addr;
        uint8_t byte = 0xff;
        if (window_address(vga, offset + i, &addr)) {
            const uint8_t *linear = vbe_linear(vga) ? bank_byte(vga, addr) : NULL;
            if (linear)
                byte = *linear;
            else if (!vbe_linear(vga))
                byte = window_read_byte(vga, addr);
        }
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static void window_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct vga *vga = dev;
    for (unsigned i = 0; i < size; i++) {
        uint32_t addr;
        if (!window_address(vga, offset + i, &addr))
            continue;
        uint8_t byte = (uint8_t)(value >> 8 * i);
        uint8_t *linear = vbe_linear(vga) ? bank_byte(vga, addr) : NULL;
        if (linear) {
            *linear = byte;
            ram_wrote(vga->ram, vga->vram_offset + (uint64_t)(linear - vga->vram), 1);
        } else if (!vbe_linear(vga)) {
            window_write_byte(vga, addr, byte);
        }
    }
}

const struct io_ops vga_window_io = {
    .name = "vga-window", .min_size = 1, .max_size = 8, .read = window_read, .write = window_write};
