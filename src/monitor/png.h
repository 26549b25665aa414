/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A picture as a PNG file in memory.
 */
#ifndef MONITOR_PNG_H
#define MONITOR_PNG_H

#include "base/util.h"

/* pixels: 0x00RRGGBB, line after line. *ret_data is freed with free(). -ENOMEM. */
int png_encode(const uint32_t *pixels, unsigned width, unsigned height, uint8_t **ret_data,
               size_t *ret_len_bytes);

/*
 * The same picture smaller: each new pixel is the mean of those that it covers. width and height
 * are at most the old ones, and not 0. *ret_pixels is freed with free(). -ENOMEM.
 */
int png_shrink(const uint32_t *pixels, unsigned old_width, unsigned old_height, unsigned width,
               unsigned height, uint32_t **ret_pixels);

#endif
