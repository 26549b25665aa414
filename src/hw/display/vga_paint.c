/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of the display adapter. VGA modes are painted as the CRT controller scans them, line
 * by line, so that split screens, smooth scrolling and odd modes come out as on a monitor: a line
 * shown twice is two rows. VBE modes are copied.
 *
 * FreeVGA project, "CRT Controller registers" and "Attribute Controller registers"; IBM PS/2
 * Hardware Interface Technical Reference, "Video Subsystem".
 */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "hw/display/vga_priv.h"

#define CHARS_MAX 256
#define BLINK_NS 266666667u /* 16 frames of 60 Hz */
#define LINE_PIXELS ((CHARS_MAX + 2) * 18)

struct painter {
    struct vga *vga;
    uint32_t palette[256]; /* of the DAC, as pixels */
    uint8_t attr[16];      /* attribute palette: indices into it */
    unsigned columns;      /* characters in a line */
    unsigned dots;         /* pixels of one character */
    bool doubled;          /* each dot is two pixels wide */
    bool text;
    bool blink; /* phase: what blinks is shown */
    uint32_t line[LINE_PIXELS];
};

static void make_palette(const struct vga *vga, uint32_t palette[256])
{
    bool wide = vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC;
    for (unsigned i = 0; i < 256; i++) {
        uint32_t pixel = 0;
        for (unsigned c = 0; c < 3; c++) {
            uint32_t v = vga->dac[i][c];
            if (!wide)
                v = (v & 0x3f) << 2 | (v & 0x3f) >> 4;
            pixel = pixel << 8 | v;
        }
        palette[i] = pixel;
    }
}

/* Each colour of four bits becomes an index into the DAC. */
static void make_attributes(struct painter *p)
{
    const uint8_t *attr = p->vga->attr;
    for (unsigned i = 0; i < 16; i++) {
        uint8_t index = attr[i] & 0x3f;
        if (attr[ATTR_MODE] & ATTR_MODE_P54)
            index = (index & 0x0f) | (attr[ATTR_COLOR_SELECT] & 3) << 4;
        index |= (attr[ATTR_COLOR_SELECT] & 0x0c) << 4;
        p->attr[i] = index & p->vga->dac_mask;
    }
}

/* The bytes of the four planes that the CRT controller's address counter points to. */
static uint32_t fetch(const struct vga *vga, uint32_t counter, unsigned row_scan)
{
    const uint8_t *crtc = vga->crtc;
    uint32_t at;
    if (vbe_on(vga)) /* planes of a 4-bit VBE mode: bytes in a row */
        return le32_get(vga->vram + 4ull * (counter % (VGA_MEMORY_BYTES / 4)));
    if (crtc[0x14] & 0x40) /* doubleword */
        at = counter << 2 | (counter >> 12 & 3);
    else if (crtc[0x17] & 0x40) /* byte */
        at = counter;
    else /* word */
        at = counter << 1 | (counter >> (crtc[0x17] & 0x20 ? 15 : 13) & 1);
    if (!(crtc[0x17] & 1))
        at = (at & ~(1u << 13)) | (row_scan & 1) << 13;
    if (!(crtc[0x17] & 2))
        at = (at & ~(1u << 14)) | (row_scan >> 1 & 1) << 14;
    return le32_get(vga->vram + 4ull * (at & (PLANE_BYTES - 1)));
}

static uint32_t *put_dots(const struct painter *p, uint32_t *to, uint32_t pixel)
{
    *to++ = pixel;
    if (p->doubled)
        *to++ = pixel;
    return to;
}

static uint32_t *paint_planar(const struct painter *p, uint32_t *to, uint32_t planes)
{
    unsigned enabled = p->vga->attr[ATTR_PLANES] & 15;
    for (int bit = 7; bit >= 0; bit--) {
        unsigned colour = (planes >> bit & 1) | (planes >> (8 + bit) & 1) << 1 |
                          (planes >> (16 + bit) & 1) << 2 | (planes >> (24 + bit) & 1) << 3;
        to = put_dots(p, to, p->palette[p->attr[colour & enabled]]);
    }
    return to;
}

/* Two bits a pixel (CGA): four pixels of planes 0 and 2, then four of planes 1 and 3. */
static uint32_t *paint_shift2(const struct painter *p, uint32_t *to, uint32_t planes)
{
    unsigned enabled = p->vga->attr[ATTR_PLANES] & 15;
    for (unsigned half = 0; half < 2; half++)
        for (int bit = 6; bit >= 0; bit -= 2) {
            unsigned colour = (planes >> (8 * half + (unsigned)bit) & 3) |
                              (planes >> (16 + 8 * half + (unsigned)bit) & 3) << 2;
            to = put_dots(p, to, p->palette[p->attr[colour & enabled]]);
        }
    return to;
}

static uint32_t *paint_256(const struct painter *p, uint32_t *to, uint32_t planes)
{
    for (unsigned plane = 0; plane < 4; plane++) {
        uint32_t pixel = p->palette[(planes >> 8 * plane & 0xff) & p->vga->dac_mask];
        to = put_dots(p, to, pixel);
        to = put_dots(p, to, pixel);
    }
    return to;
}

/* Where in plane 2 the glyphs of a character begin. */
static uint32_t font_offset(const struct vga *vga, bool bright)
{
    unsigned select = vga->seq[SEQ_FONTS];
    unsigned map =
        bright ? (select >> 2 & 3) | (select >> 3 & 4) : (select & 3) | (select >> 2 & 4);
    return (map & 3) * 0x4000 + (map & 4 ? 0x2000 : 0);
}

static bool is_cursor(const struct vga *vga, uint32_t counter, unsigned row_scan, bool blink)
{
    uint32_t at = (uint32_t)vga->crtc[0x0e] << 8 | vga->crtc[0x0f];
    return blink && counter == at && !(vga->crtc[0x0a] & 0x20) &&
           row_scan >= (vga->crtc[0x0a] & 31) && row_scan <= (vga->crtc[0x0b] & 31);
}

static uint32_t *paint_char(const struct painter *p, uint32_t *to, uint32_t planes,
                            uint32_t counter, unsigned row_scan)
{
    const struct vga *vga = p->vga;
    uint8_t ch = (uint8_t)planes, attr = (uint8_t)(planes >> 8);
    unsigned fore = attr & 15, back = attr >> 4;
    uint8_t glyph = vga->vram[4ull * (font_offset(vga, attr & 8) + ch * 32u + row_scan) + 2];
    bool hidden = false;
    if (vga->attr[ATTR_MODE] & ATTR_MODE_BLINK) {
        hidden = attr & 0x80 && !p->blink;
        back &= 7;
    }
    if ((attr & 7) == 1 && row_scan == (vga->crtc[0x14] & 31u)) /* underline, monochrome */
        glyph = vga->misc & MISC_COLOR ? glyph : 0xff;
    if (hidden)
        glyph = 0;
    bool cursor = is_cursor(vga, counter, row_scan, p->blink);
    if (cursor)
        glyph = 0xff;
    uint32_t fg = p->palette[p->attr[fore]], bg = p->palette[p->attr[back]];
    for (int bit = 7; bit >= 0; bit--)
        to = put_dots(p, to, glyph >> bit & 1 ? fg : bg);
    if (p->dots == 9) {
        bool line = ch >= 0xc0 && ch <= 0xdf && vga->attr[ATTR_MODE] & ATTR_MODE_LINE_GRAPHICS;
        to = put_dots(p, to, cursor || (line && glyph & 1) ? fg : bg);
    }
    return to;
}

/* One scan line from `counter` on, panned by `pan` dots. */
static const uint32_t *paint_line(struct painter *p, uint32_t counter, unsigned row_scan,
                                  unsigned pan)
{
    struct vga *vga = p->vga;
    uint32_t *to = p->line;
    for (unsigned i = 0; i <= p->columns; i++) {
        uint32_t planes = fetch(vga, counter + i, row_scan);
        if (p->text)
            to = paint_char(p, to, planes, (counter + i) & 0xffff, row_scan);
        else if (vga->gfx[GFX_MODE] & GFX_MODE_SHIFT256)
            to = paint_256(p, to, planes);
        else if (vga->gfx[GFX_MODE] & GFX_MODE_SHIFT2)
            to = paint_shift2(p, to, planes);
        else
            to = paint_planar(p, to, planes);
    }
    return p->line + pan * (p->doubled ? 2 : 1);
}

/* Horizontal panning in dots (attribute register 0x13 counts otherwise in nine-dot modes). */
static unsigned pan_dots(const struct painter *p)
{
    unsigned pan = p->vga->attr[ATTR_PAN] & 15;
    if (p->dots == 9)
        return pan >= 8 ? 0 : pan + 1;
    if (p->vga->gfx[GFX_MODE] & GFX_MODE_SHIFT256 && !p->text)
        return pan & 6;
    return pan & 7;
}

static void put_row(struct surface *surface, unsigned y, const uint32_t *pixels)
{
    uint32_t *row = surface_row(surface, y);
    if (!memcmp(row, pixels, surface->width * sizeof(*row)))
        return;
    memcpy(row, pixels, surface->width * sizeof(*row));
    surface_damage(surface, y);
}

static void put_black(struct surface *surface)
{
    for (unsigned y = 0; y < surface->height; y++) {
        uint32_t *row = surface_row(surface, y);
        for (unsigned x = 0; x < surface->width; x++)
            if (row[x]) {
                memset(row, 0, surface->width * sizeof(*row));
                surface_damage(surface, y);
                break;
            }
    }
}

/* The CRT controller's way over the lines. */
static void scan_picture(struct painter *p, struct surface *surface)
{
    struct vga *vga = p->vga;
    const uint8_t *crtc = vga->crtc;
    bool vbe = vbe_on(vga);
    unsigned compare = crtc[0x18] | (crtc[7] & 0x10u) << 4 | (crtc[9] & 0x40u) << 3;
    unsigned last_scan = vbe ? 0 : crtc[9] & 31;
    unsigned row_scan = vbe ? 0 : crtc[8] & 31, pan = vbe ? 0 : pan_dots(p);
    uint32_t step = vbe ? vga->vbe[VBE_VIRT_WIDTH] / 8u : crtc[0x13] * 2u;
    uint32_t counter = ((uint32_t)crtc[0x0c] << 8 | crtc[0x0d]) + (crtc[8] >> 5 & 3u);
    bool twice = !vbe && crtc[9] & 0x80, second = false;
    if (vbe) {
        counter = vga->vbe[VBE_Y_OFFSET] * step + vga->vbe[VBE_X_OFFSET] / 8u;
        compare = UINT32_MAX;
    }
    for (unsigned y = 0; y < surface->height; y++) {
        put_row(surface, y, paint_line(p, counter, row_scan, pan));
        if (y == compare) { /* the lower part of a split screen begins at address 0 */
            counter = 0;
            row_scan = 0;
            second = false;
            if (vga->attr[ATTR_MODE] & ATTR_MODE_PAN_COMPAT)
                pan = 0;
            continue;
        }
        if (twice && !second) {
            second = true;
            continue;
        }
        second = false;
        if (row_scan++ == last_scan) {
            row_scan = 0;
            counter += step;
        }
        row_scan &= 31;
    }
}

static void paint_vga(struct vga *vga)
{
    static const unsigned max_columns = CHARS_MAX;
    struct surface *surface = &vga->surface;
    struct painter p = {.vga = vga, .text = !(vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS)};
    bool vbe = vbe_on(vga);
    if (vbe)
        p.text = false;
    p.columns = vbe ? vga->vbe[VBE_XRES] / 8u : vga->crtc[1] + 1u;
    p.dots = p.text && !(vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_8DOT) ? 9 : 8;
    p.doubled = !vbe && vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_HALF;
    p.blink = vga->blink;
    if (p.columns > max_columns)
        p.columns = max_columns;
    unsigned width = p.columns * p.dots * (p.doubled ? 2 : 1);
    unsigned height = vbe ? vga->vbe[VBE_YRES] : vga_lines(vga);
    if ((surface->width != width || surface->height != height) &&
        surface_resize(surface, width, height) < 0)
        return;
    bool off = !(vga->attr_index & ATTR_PAS) || vga->seq[SEQ_CLOCKING] & SEQ_CLOCKING_OFF ||
               (!vbe && !(vga->crtc[0x17] & 0x80));
    if (off) {
        put_black(surface);
        return;
    }
    make_palette(vga, p.palette);
    make_attributes(&p);
    scan_picture(&p, surface);
}

static void convert_row(const struct vga *vga, const uint32_t palette[256], const uint8_t *from,
                        uint32_t *to, unsigned width)
{
    for (unsigned x = 0; x < width; x++) {
        uint32_t v;
        switch (vga->vbe[VBE_BPP]) {
        case 8:
            to[x] = palette[from[x] & vga->dac_mask];
            break;
        case 15:
            v = le16_get(from + 2 * x);
            to[x] = (v & 0x7c00) << 9 | (v & 0x7000) << 4 | (v & 0x03e0) << 6 | (v & 0x0380) << 1 |
                    (v & 0x001f) << 3 | (v & 0x001c) >> 2;
            break;
        case 16:
            v = le16_get(from + 2 * x);
            to[x] = (v & 0xf800) << 8 | (v & 0xe000) << 3 | (v & 0x07e0) << 5 | (v & 0x0600) >> 1 |
                    (v & 0x001f) << 3 | (v & 0x001c) >> 2;
            break;
        case 24:
            to[x] = from[3 * x] | (uint32_t)from[3 * x + 1] << 8 | (uint32_t)from[3 * x + 2] << 16;
            break;
        default:
            to[x] = le32_get(from + 4 * x) & 0xffffff;
            break;
        }
    }
}

/* dirty: a bit for each page of video memory; NULL: everything is to be painted. */
static void paint_linear(struct vga *vga, const uint8_t *dirty)
{
    struct surface *surface = &vga->surface;
    unsigned width = vga->vbe[VBE_XRES], height = vga->vbe[VBE_YRES];
    unsigned bpp = vga->vbe[VBE_BPP] == 15 ? 16 : vga->vbe[VBE_BPP];
    uint64_t stride = vbe_line_bytes(vga), bytes = (uint64_t)width * bpp / 8;
    uint32_t palette[256], row[SURFACE_WIDTH_MAX];
    if (surface->width != width || surface->height != height) {
        if (surface_resize(surface, width, height) < 0)
            return;
        dirty = NULL;
    }
    make_palette(vga, palette);
    uint64_t at = vga->vbe[VBE_Y_OFFSET] * stride + vga->vbe[VBE_X_OFFSET] * (uint64_t)bpp / 8;
    for (unsigned y = 0; y < height; y++, at += stride) {
        bool painted = !dirty;
        if (at + bytes > VGA_MEMORY_BYTES)
            break; /* past the end of memory */
        uint64_t last = (at + bytes - 1) / RAM_PAGE_BYTES;
        for (uint64_t page = at / RAM_PAGE_BYTES; !painted && page <= last; page++)
            painted = dirty[page / 8] >> page % 8 & 1;
        if (!painted)
            continue;
        convert_row(vga, palette, vga->vram + at, row, width);
        put_row(surface, y, row);
    }
}

struct surface *vga_refresh(struct vga *vga)
{
    uint8_t dirty[VGA_MEMORY_BYTES / RAM_PAGE_BYTES / 8];
    bool linear = vbe_linear(vga);
    /* Planes of the VGA end at 256 KiB. */
    uint64_t bytes = linear || vbe_on(vga) ? VGA_MEMORY_BYTES : 4 * PLANE_BYTES;
    bool written = ram_clean(vga->ram, RAM_DIRTY_DISPLAY, vga->vram_offset, bytes, dirty);
    bool text = !linear && !(vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS);
    bool blink = !(clock_now_ns(vga->env.clock) / BLINK_NS & 1);
    bool changed = vga->changed || (text && blink != vga->blink);
    vga->blink = blink;
    vga->changed = false;
    if (!changed && !written)
        return &vga->surface;
    if (linear)
        paint_linear(vga, changed ? NULL : dirty);
    else
        paint_vga(vga);
    return &vga->surface;
}

int vga_read_text(const struct vga *vga, uint8_t *chars, uint8_t *attributes, size_t room,
                  struct vga_text *ret_text)
{
    const uint8_t *crtc = vga->crtc;
    if (vbe_on(vga) || vga->gfx[GFX_MISC] & GFX_MISC_GRAPHICS)
        return -EINVAL;
    unsigned height = ((crtc[9] & 31u) + 1) * (crtc[9] & 0x80 ? 2 : 1);
    struct vga_text text = {.columns = crtc[1] + 1u,
                            .rows = MAX(vga_lines(vga) / height, 1u),
                            .cursor_column = -1,
                            .cursor_row = -1};
    uint32_t start = (uint32_t)crtc[0x0c] << 8 | crtc[0x0d];
    uint32_t cursor = (uint32_t)crtc[0x0e] << 8 | crtc[0x0f];
    for (unsigned row = 0; row < text.rows; row++)
        for (unsigned column = 0; column < text.columns; column++) {
            uint32_t counter = (start + row * crtc[0x13] * 2u + column) & 0xffff;
            uint32_t planes = fetch(vga, counter, 0);
            size_t cell = (size_t)row * text.columns + column;
            if (counter == cursor && !(crtc[0x0a] & 0x20)) {
                text.cursor_column = (int)column;
                text.cursor_row = (int)row;
            }
            if (cell >= room)
                continue;
            chars[cell] = (uint8_t)planes;
            if (attributes)
                attributes[cell] = (uint8_t)(planes >> 8);
        }
    *ret_text = text;
    return 0;
}
