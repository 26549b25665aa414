/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The picture of the machine for the monitor.
 */
#include "machine/pc.h"

void machine_screen_size(struct machine *m, unsigned *ret_width, unsigned *ret_height)
{
    (void)m;
    *ret_width = *ret_height = 0;
}

bool machine_screen_draw(struct machine *m, uint32_t *pixels, unsigned width, unsigned height,
                         bool full)
{
    (void)m;
    (void)pixels;
    (void)width;
    (void)height;
    (void)full;
    return false;
}

void machine_text_size(struct machine *m, unsigned *ret_columns, unsigned *ret_rows)
{
    (void)m;
    *ret_columns = *ret_rows = 0;
}

void machine_text_row(struct machine *m, unsigned row, uint8_t *codes, unsigned columns)
{
    (void)m;
    (void)row;
    (void)codes;
    (void)columns;
}
