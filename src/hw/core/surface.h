/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture that a display device paints and others look at (RFB server, screenshots).
 */
#ifndef HW_CORE_SURFACE_H
#define HW_CORE_SURFACE_H

#include "base/util.h"

#define SURFACE_WIDTH_MAX 4096u
#define SURFACE_HEIGHT_MAX 4096u

struct surface {
    unsigned width, height;             /* 0: nothing was painted yet */
    unsigned stride;                    /* pixels from one row to the next */
    uint32_t *pixels;                   /* 0x00RRGGBB */
    unsigned damage_top, damage_bottom; /* rows [top, bottom) painted since surface_take_damage() */
    unsigned generation;                /* counts changes of size: pixels has moved */
};

/* Give it another size, black, all damaged. -EINVAL beyond the limits, -ENOMEM (unchanged). */
int surface_resize(struct surface *surface, unsigned width, unsigned height);
/* Free the pixels. */
void surface_done(struct surface *surface);

static inline uint32_t *surface_row(const struct surface *surface, unsigned y)
{
    return surface->pixels + (size_t)y * surface->stride;
}

/* Row y was painted. */
static inline void surface_damage(struct surface *surface, unsigned y)
{
    if (surface->damage_top >= surface->damage_bottom) {
        surface->damage_top = y;
        surface->damage_bottom = y + 1;
        return;
    }
    surface->damage_top = MIN(surface->damage_top, y);
    surface->damage_bottom = MAX(surface->damage_bottom, y + 1);
}

/* The damaged rows, and none from now on. False if there are none. */
static inline bool surface_take_damage(struct surface *surface, unsigned *ret_top,
                                       unsigned *ret_bottom)
{
    if (surface->damage_top >= surface->damage_bottom)
        return false;
    *ret_top = surface->damage_top;
    *ret_bottom = surface->damage_bottom;
    surface->damage_top = surface->damage_bottom = 0;
    return true;
}

#endif
