/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AML and resource descriptors: ACPI specification 3.0b, 17.2 (grammar), 6.4 (resources).
 */
#include "hw/firmware/aml.h"

#include <string.h>

#include "base/bytes.h"

enum {
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_METHOD = 0x14,
    OP_DUAL_NAME = 0x2e,
    OP_MULTI_NAME = 0x2f,
    OP_EXT = 0x5b,
    OP_IF = 0xa0,
    EXT_DEVICE = 0x82,
    EXT_PROCESSOR = 0x83,
    PKG_LENGTH_BYTES = 3,
};

void aml_done(struct aml *aml)
{
    free(aml->bytes);
    *aml = (struct aml){.bytes = NULL};
}

void aml_raw(struct aml *aml, const void *bytes, size_t len_bytes)
{
    if (aml->failed || !len_bytes)
        return;
    if (aml->len_bytes + len_bytes > aml->room_bytes) {
        size_t room_bytes = MAX(aml->room_bytes * 2, aml->len_bytes + len_bytes + 256);
        uint8_t *bigger = realloc(aml->bytes, room_bytes);
        if (!bigger) {
            aml->failed = true;
            return;
        }
        aml->bytes = bigger;
        aml->room_bytes = room_bytes;
    }
    memcpy(aml->bytes + aml->len_bytes, bytes, len_bytes);
    aml->len_bytes += len_bytes;
}

void aml_u8(struct aml *aml, uint8_t v)
{
    aml_raw(aml, &v, 1);
}

void aml_u16(struct aml *aml, uint16_t v)
{
    uint8_t bytes[2];
    le16_put(bytes, v);
    aml_raw(aml, bytes, sizeof(bytes));
}

void aml_u32(struct aml *aml, uint32_t v)
{
    uint8_t bytes[4];
    le32_put(bytes, v);
    aml_raw(aml, bytes, sizeof(bytes));
}

void aml_u64(struct aml *aml, uint64_t v)
{
    uint8_t bytes[8];
    le64_put(bytes, v);
    aml_raw(aml, bytes, sizeof(bytes));
}

void aml_name(struct aml *aml, const char *path)
{
    unsigned segments = 1;
    if (*path == '\\') {
        aml_u8(aml, '\\');
        path++;
    }
    for (const char *p = path; *p; p++)
        segments += *p == '.';
    if (segments == 2)
        aml_u8(aml, OP_DUAL_NAME);
    if (segments > 2) {
        aml_u8(aml, OP_MULTI_NAME);
        aml_u8(aml, (uint8_t)segments);
    }
    while (segments--) {
        for (unsigned i = 0; i < 4; i++)
            aml_u8(aml, *path && *path != '.' ? (uint8_t)*path++ : '_');
        path += *path == '.';
    }
}

void aml_int(struct aml *aml, uint64_t v)
{
    if (v <= 1) {
        aml_u8(aml, (uint8_t)v);
    } else if (v <= UINT8_MAX) {
        aml_u8(aml, OP_BYTE);
        aml_u8(aml, (uint8_t)v);
    } else if (v <= UINT16_MAX) {
        aml_u8(aml, OP_WORD);
        aml_u16(aml, (uint16_t)v);
    } else if (v <= UINT32_MAX) {
        aml_u8(aml, OP_DWORD);
        aml_u32(aml, (uint32_t)v);
    } else {
        aml_u8(aml, OP_QWORD);
        aml_u64(aml, v);
    }
}

void aml_string(struct aml *aml, const char *text)
{
    aml_u8(aml, OP_STRING);
    aml_raw(aml, text, strlen(text) + 1);
}

static unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10;
}

void aml_eisa_id(struct aml *aml, const char *id)
{
    /* Three letters of five bits, four hexadecimal digits; big-endian. */
    uint32_t v = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
                 (uint32_t)(id[2] - '@') << 16 | hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 |
                 hex_digit(id[5]) << 4 | hex_digit(id[6]);
    aml_u8(aml, OP_DWORD);
    aml_u32(aml, __builtin_bswap32(v));
}

/* Room for a package length of three bytes, filled in by aml_end(). */
static size_t begin_length(struct aml *aml)
{
    size_t mark = aml->len_bytes;
    aml_raw(aml, "\0\0\0", PKG_LENGTH_BYTES);
    return mark;
}

void aml_end(struct aml *aml, size_t mark)
{
    size_t len = aml->len_bytes - mark;
    if (len >= 1 << 20)
        aml->failed = true;
    if (aml->failed)
        return;
    aml->bytes[mark] = (uint8_t)((PKG_LENGTH_BYTES - 1) << 6 | (len & 15));
    aml->bytes[mark + 1] = (uint8_t)(len >> 4);
    aml->bytes[mark + 2] = (uint8_t)(len >> 12);
}

size_t aml_begin_scope(struct aml *aml, const char *path)
{
    aml_u8(aml, OP_SCOPE);
    size_t mark = begin_length(aml);
    aml_name(aml, path);
    return mark;
}

size_t aml_begin_device(struct aml *aml, const char *name)
{
    aml_u8(aml, OP_EXT);
    aml_u8(aml, EXT_DEVICE);
    size_t mark = begin_length(aml);
    aml_name(aml, name);
    return mark;
}

size_t aml_begin_method(struct aml *aml, const char *name, unsigned args, bool serialized)
{
    aml_u8(aml, OP_METHOD);
    size_t mark = begin_length(aml);
    aml_name(aml, name);
    aml_u8(aml, (uint8_t)(args | (serialized ? 8 : 0)));
    return mark;
}

size_t aml_begin_package(struct aml *aml, unsigned count)
{
    aml_u8(aml, OP_PACKAGE);
    size_t mark = begin_length(aml);
    aml_u8(aml, (uint8_t)count);
    return mark;
}

size_t aml_begin_if(struct aml *aml)
{
    aml_u8(aml, OP_IF);
    return begin_length(aml);
}

void aml_def_name(struct aml *aml, const char *name)
{
    aml_u8(aml, OP_NAME);
    aml_name(aml, name);
}

void aml_def_int(struct aml *aml, const char *name, uint64_t v)
{
    aml_def_name(aml, name);
    aml_int(aml, v);
}

void aml_def_eisa_id(struct aml *aml, const char *name, const char *id)
{
    aml_def_name(aml, name);
    aml_eisa_id(aml, id);
}

void aml_buffer(struct aml *aml, const void *bytes, size_t len_bytes)
{
    aml_u8(aml, OP_BUFFER);
    size_t mark = begin_length(aml);
    aml_int(aml, len_bytes);
    aml_raw(aml, bytes, len_bytes);
    aml_end(aml, mark);
}

void aml_def_resources(struct aml *aml, const char *name, const struct aml *resources)
{
    static const uint8_t end_tag[2] = {0x79, 0};
    aml_def_name(aml, name);
    aml_u8(aml, OP_BUFFER);
    size_t mark = begin_length(aml);
    aml_int(aml, resources->len_bytes + sizeof(end_tag));
    aml_raw(aml, resources->bytes, resources->len_bytes);
    aml_raw(aml, end_tag, sizeof(end_tag));
    aml_end(aml, mark);
    aml->failed |= resources->failed;
}

void aml_processor(struct aml *aml, const char *name, uint8_t id)
{
    aml_u8(aml, OP_EXT);
    aml_u8(aml, EXT_PROCESSOR);
    size_t mark = begin_length(aml);
    aml_name(aml, name);
    aml_u8(aml, id);
    aml_u32(aml, 0); /* no P_BLK */
    aml_u8(aml, 0);
    aml_end(aml, mark);
}

void res_io(struct aml *res, uint16_t first, uint8_t count)
{
    aml_u8(res, 0x47);
    aml_u8(res, 1); /* 16-bit decode */
    aml_u16(res, first);
    aml_u16(res, first);
    aml_u8(res, 1);
    aml_u8(res, count);
}

void res_irq(struct aml *res, unsigned irq)
{
    aml_u8(res, 0x22);
    aml_u16(res, (uint16_t)(1u << irq));
}

void res_dma(struct aml *res, unsigned channel)
{
    aml_u8(res, 0x2a);
    aml_u8(res, (uint8_t)(1u << channel));
    aml_u8(res, 0); /* compatibility speed, 8 bits */
}

void res_memory32(struct aml *res, uint32_t base, uint32_t len_bytes)
{
    aml_u8(res, 0x86);
    aml_u16(res, 9);
    aml_u8(res, 1); /* writable */
    aml_u32(res, base);
    aml_u32(res, len_bytes);
}

void res_interrupt(struct aml *res, const uint32_t *irqs, unsigned count)
{
    aml_u8(res, 0x89);
    aml_u16(res, (uint16_t)(2 + 4 * count));
    aml_u8(res, 0x09); /* consumer, level, active high, shared */
    aml_u8(res, (uint8_t)count);
    for (unsigned i = 0; i < count; i++)
        aml_u32(res, irqs[i]);
}

/* Address space descriptor of a window: fixed at both ends, decoded positively. */
static void res_window(struct aml *res, uint8_t tag, unsigned width, uint8_t type, uint8_t specific,
                       uint64_t first, uint64_t last)
{
    const uint64_t values[5] = {0, first, last, 0, last - first + 1};
    aml_u8(res, tag);
    aml_u16(res, (uint16_t)(3 + 5 * width));
    aml_u8(res, type);
    aml_u8(res, 0x0c);
    aml_u8(res, specific);
    for (unsigned i = 0; i < 5; i++) {
        uint8_t bytes[8];
        le64_put(bytes, values[i]);
        aml_raw(res, bytes, width);
    }
}

void res_bus_numbers(struct aml *res, uint16_t first, uint16_t last)
{
    res_window(res, 0x88, 2, 2, 0, first, last);
}

void res_io_window(struct aml *res, uint16_t first, uint16_t last)
{
    res_window(res, 0x88, 2, 1, 3, first, last);
}

void res_memory_window(struct aml *res, uint32_t first, uint32_t last, bool cacheable)
{
    res_window(res, 0x87, 4, 0, cacheable ? 3 : 1, first, last);
}

void res_memory_window64(struct aml *res, uint64_t first, uint64_t last)
{
    res_window(res, 0x8a, 8, 0, 3, first, last);
}
