/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/mac.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int mac_parse(const char *text, uint8_t *ret_mac)
{
    uint8_t mac[NET_MAC_BYTES];

    if (strlen(text) != MAC_TEXT_BYTES - 1)
        return -EINVAL;
    for (unsigned i = 0; i < NET_MAC_BYTES; i++, text += 3) {
        char end = text[2];

        if (hex(text[0]) < 0 || hex(text[1]) < 0 ||
            (i + 1 < NET_MAC_BYTES ? end != ':' && end != '-' : end))
            return -EINVAL;
        mac[i] = (uint8_t)(hex(text[0]) << 4 | hex(text[1]));
    }
    memcpy(ret_mac, mac, sizeof(mac));
    return 0;
}

bool mac_is_single(const uint8_t *mac)
{
    static const uint8_t zero[NET_MAC_BYTES];

    return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero));
}

const char *mac_format(const uint8_t *mac, char *buf)
{
    snprintf(buf, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    return buf;
}
