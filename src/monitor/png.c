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

static uint32_t mean(const uint32_t *pixels, unsigned stride, unsigned x0, unsigned x1, unsigned y0,
                     unsigned y1)
{
    uint64_t red = 0, green = 0, blue = 0, count = (uint64_t)(x1 - x0) * (y1 - y0);

    for (unsigned y = y0; y < y1; y++) {
        for (unsigned x = x0; x < x1; x++) {
            uint32_t v = pixels[(size_t)y * stride + x];

            red += v >> 16 & 0xff;
            green += v >> 8 & 0xff;
            blue += v & 0xff;
        }
    }
    return (uint32_t)(red / count << 16 | green / count << 8 | blue / count);
}

int png_shrink(const uint32_t *pixels, unsigned old_width, unsigned old_height, unsigned width,
               unsigned height, uint32_t **ret_pixels)
{
    uint32_t *small = calloc((size_t)width * height, sizeof(*small));

    if (!small)
        return -ENOMEM;
    for (unsigned y = 0; y < height; y++)
        for (unsigned x = 0; x < width; x++)
            small[(size_t)y * width + x] =
                mean(pixels, old_width, (unsigned)((uint64_t)x * old_width / width),
                     (unsigned)((uint64_t)(x + 1) * old_width / width),
                     (unsigned)((uint64_t)y * old_height / height),
                     (unsigned)((uint64_t)(y + 1) * old_height / height));
    *ret_pixels = small;
    return 0;
}
