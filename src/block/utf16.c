/* SPDX-License-Identifier: GPL-2.0-or-later */
/* RFC 3629 (UTF-8) and RFC 2781 (UTF-16). */
#include "block/utf16.h"

#include "base/bytes.h"

static uint32_t unit(const uint8_t *p, bool big_endian)
{
    return big_endian ? be16_get(p) : le16_get(p);
}

static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((0xf00u >> len & 0xf0u) | c);
    return len;
}

char *utf16_to_utf8(const uint8_t *text, size_t len_bytes, bool big_endian)
{
    AUTO_FREE char *out = malloc(len_bytes / 2 * 3 + 1);
    size_t n = 0;
    if (!out)
        return NULL;
    for (size_t i = 0; i + 2 <= len_bytes; i += 2) {
        uint32_t c = unit(text + i, big_endian);
        if (c == 0)
            break;
        if (c >= 0xd800 && c < 0xe000) {
            if (c >= 0xdc00 || i + 4 > len_bytes)
                return NULL;
            uint32_t low = unit(text + i + 2, big_endian);
            if (low < 0xdc00 || low >= 0xe000)
                return NULL;
            c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
            i += 2;
        }
        n += put_utf8(c, out + n);
    }
    out[n] = '\0';
    return TAKE_PTR(out);
}

/* The next character of valid UTF-8 and its length; 0 when it is none. */
static unsigned get_utf8(const unsigned char *p, uint32_t *ret_c)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned len = p[0] < 0x80 ? 1 : p[0] < 0xc0 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (unsigned i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (len == 0 || c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    *ret_c = c;
    return len;
}

size_t utf16_from_utf8(const char *text, bool big_endian, uint8_t *buf, size_t room_bytes)
{
    size_t n = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        uint32_t c = 0;
        unsigned len = get_utf8(p, &c);
        uint16_t units[2] = {(uint16_t)c, 0};
        unsigned count = c >= 0x10000 ? 2 : 1;
        if (count == 2) {
            units[0] = (uint16_t)(0xd800 | (c - 0x10000) >> 10);
            units[1] = (uint16_t)(0xdc00 | (c & 0x3ff));
        }
        if (len == 0 || n + 2 * count > room_bytes)
            return 0;
        for (unsigned i = 0; i < count; i++, n += 2) {
            if (big_endian)
                be16_put(buf + n, units[i]);
            else
                le16_put(buf + n, units[i]);
        }
        p += len;
    }
    return n;
}
