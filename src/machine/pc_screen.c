/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of the machine for the monitor.
 */
#include "machine/pc.h"

#include <string.h>

#include "hw/display/vga.h"

void machine_screen_size(struct machine *m, unsigned *ret_width, unsigned *ret_height)
{
    const struct surface *surface = vga_refresh(m->pc->vga);

    *ret_width = surface->width;
    *ret_height = surface->height;
}

/* The damage belongs to the viewers; a screenshot (full) leaves it to them. */
bool machine_screen_draw(struct machine *m, uint32_t *pixels, unsigned width, unsigned height,
                         bool full)
{
    struct surface *surface = vga_refresh(m->pc->vga);
    unsigned top = 0, bottom = height;

    if (width != surface->width || height != surface->height)
        return false;
    if (!full && !surface_take_damage(surface, &top, &bottom))
        return false;
    for (unsigned y = top; y < bottom && y < height; y++)
        memcpy(pixels + (size_t)y * width, surface_row(surface, y), width * sizeof(*pixels));
    return true;
}

bool machine_screen_text(struct machine *m, uint8_t *chars, size_t room, unsigned *ret_columns,
                         unsigned *ret_rows)
{
    struct vga_text text;

    if (vga_read_text(m->pc->vga, chars, NULL, room, &text) < 0 || !text.columns ||
        room / text.columns < text.rows)
        return false;
    *ret_columns = text.columns;
    *ret_rows = text.rows;
    return true;
}
