/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PNG by libpng's simplified interface.
 */
#include "monitor/png.h"

#include <errno.h>
#include <png.h>
#include <string.h>

int png_encode(const uint32_t *pixels, unsigned width, unsigned height, uint8_t **ret_data,
               size_t *ret_len_bytes)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    AUTO_FREE uint8_t *rgb = malloc((size_t)width * height * 3);
    AUTO_FREE uint8_t *data = NULL;
    png_alloc_size_t len;

    if (!rgb)
        return -ENOMEM;
    for (size_t i = 0; i < (size_t)width * height; i++) {
        rgb[3 * i] = (uint8_t)(pixels[i] >> 16);
        rgb[3 * i + 1] = (uint8_t)(pixels[i] >> 8);
        rgb[3 * i + 2] = (uint8_t)pixels[i];
    }
    len = PNG_IMAGE_PNG_SIZE_MAX(image);
    data = malloc(len);
    if (!data || !png_image_write_to_memory(&image, data, &len, 0, rgb, 0, NULL))
        return -ENOMEM;
    *ret_data = TAKE_PTR(data);
    *ret_len_bytes = len;
    return 0;
}
