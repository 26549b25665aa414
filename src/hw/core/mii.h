/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The management registers of an Ethernet transceiver: IEEE 802.3, clause 22.2.4, and the two
 * wires that reach them (22.2.4.5).
 */
#ifndef HW_CORE_MII_H
#define HW_CORE_MII_H

#include "base/state.h"

#define MII_REGS 32u

enum mii_reg {
    MII_CONTROL = 0,
    MII_STATUS = 1,
    MII_ID1 = 2,
    MII_ID2 = 3,
    MII_ADVERTISEMENT = 4,
    MII_PARTNER = 5,
    MII_EXPANSION = 6,
    MII_GIGABIT_CONTROL = 9,
    MII_GIGABIT_STATUS = 10,
};

enum mii_bits {
    MII_CONTROL_RESET = 0x8000,
    MII_CONTROL_AUTO = 0x1000,
    MII_CONTROL_RESTART = 0x0200,
    MII_STATUS_AUTO_DONE = 0x0020,
    MII_STATUS_LINK = 0x0004,
};

struct mii {
    uint16_t regs[MII_REGS];
    uint16_t id1, id2;
    bool gigabit, link;
    /* The wires. */
    bool clock, out;
    uint8_t phase, bits;
    uint32_t shift;
};

/* id: of the transceiver, both registers; gigabit: it also does 1000BASE-T. */
void mii_init(struct mii *m, uint32_t id, bool gigabit);
void mii_reset(struct mii *m);
/* The cable was plugged in or pulled out. */
void mii_set_link(struct mii *m, bool link);
uint16_t mii_read(struct mii *m, unsigned reg);
void mii_write(struct mii *m, unsigned reg, uint16_t value);
/* The wires to transceiver `address`: clock, and data when the station drives it (else reading). */
void mii_wires(struct mii *m, unsigned address, bool clock, bool data, bool reading);
static inline bool mii_out(const struct mii *m)
{
    return m->out;
}
void mii_state(struct mii *m, struct state *s);

#endif
