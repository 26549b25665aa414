/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/core/ethernet.h"

#define POLYNOMIAL_REFLECTED 0xedb88320u

/* What four bits do to the register: small enough to be made by the compiler's eyes. */
#define STEP(v) ((v) >> 1 ^ ((v)&1 ? POLYNOMIAL_REFLECTED : 0))
#define NIBBLE(n) STEP(STEP(STEP(STEP((uint32_t)(n)))))

static const uint32_t nibbles[16] = {
    NIBBLE(0), NIBBLE(1), NIBBLE(2),  NIBBLE(3),  NIBBLE(4),  NIBBLE(5),  NIBBLE(6),  NIBBLE(7),
    NIBBLE(8), NIBBLE(9), NIBBLE(10), NIBBLE(11), NIBBLE(12), NIBBLE(13), NIBBLE(14), NIBBLE(15),
};

static uint32_t run(const uint8_t *p, size_t len)
{
    uint32_t v = 0xffffffff;

    for (; len; len--, p++) {
        v ^= *p;
        v = v >> 4 ^ nibbles[v & 15];
        v = v >> 4 ^ nibbles[v & 15];
    }
    return v;
}

uint32_t ethernet_fcs(const void *data, size_t len_bytes)
{
    return ~run(data, len_bytes);
}

uint32_t ethernet_hash(const uint8_t mac[6])
{
    uint32_t v = run(mac, 6), turned = 0;

    for (unsigned i = 0; i < 32; i++)
        turned |= (v >> i & 1) << (31 - i);
    return turned;
}
