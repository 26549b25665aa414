/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See surface.h. */
#include "hw/core/surface.h"

#include <errno.h>

int surface_resize(struct surface *surface, unsigned width, unsigned height)
{
    if (!width || !height || width > SURFACE_WIDTH_MAX || height > SURFACE_HEIGHT_MAX)
        return -EINVAL;
    uint32_t *pixels = calloc((size_t)width * height, sizeof(*pixels));
    if (!pixels)
        return -ENOMEM;
    free(surface->pixels);
    *surface = (struct surface){.width = width,
                                .height = height,
                                .stride = width,
                                .pixels = pixels,
                                .damage_bottom = height,
                                .generation = surface->generation + 1};
    return 0;
}

void surface_done(struct surface *surface)
{
    free(surface->pixels);
    *surface = (struct surface){.generation = surface->generation + 1};
}
