/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int size_parse(const char *text, uint64_t *ret_bytes)
{
    static const char units[] = "KMGT";
    char *end;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (errno)
        return -EINVAL;
    unsigned shift = 0;
    if (*end) {
        const char *unit = strchr(units, toupper((unsigned char)*end));
        /* "20G", "20GB" and "20GiB" are the same to everybody who types them. */
        if (!unit || (strcmp(end + 1, "") && strcasecmp(end + 1, "b") && strcasecmp(end + 1, "ib")))
            return -EINVAL;
        shift = 10 * (unsigned)(unit - units + 1);
    }
    if (n > UINT64_MAX >> shift)
        return -EINVAL;
    *ret_bytes = n << shift;
    return 0;
}

char *size_format(uint64_t bytes, char *buf, size_t room)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (unit + 1 < ARRAY_LEN(units) && bytes >> (10 * (unit + 1)))
        unit++;
    uint64_t tenths = unit ? (bytes >> (10 * (unit - 1))) * 10 >> 10 : bytes * 10;
    if (tenths % 10)
        snprintf(buf, room, "%llu.%u %s", (unsigned long long)(tenths / 10),
                 (unsigned)(tenths % 10), units[unit]);
    else
        snprintf(buf, room, "%llu %s", (unsigned long long)(tenths / 10), units[unit]);
    return buf;
}
