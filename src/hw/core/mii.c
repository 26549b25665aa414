/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/core/mii.h"

#include <string.h>

enum phase { PHASE_IDLE, PHASE_HEADER, PHASE_READ, PHASE_WRITE };

/* 10 and 100 Mbit/s, half and full duplex; extended capabilities; and that there is a register 15. */
#define STATUS_ABILITIES 0x7849u
#define STATUS_EXTENDED 0x0100u
#define ADVERTISE_ALL 0x01e1u
#define PARTNER_ALL 0x45e1u
#define CONTROL_WRITABLE 0x3d80u
#define CONTROL_GIGABIT 0x0140u
#define CONTROL_100 0x2100u

void mii_init(struct mii *m, uint32_t id, bool gigabit)
{
    *m = (struct mii){.id1 = (uint16_t)(id >> 16), .id2 = (uint16_t)id, .gigabit = gigabit};
    mii_reset(m);
}

static void negotiate(struct mii *m)
{
    uint16_t done = MII_STATUS_LINK | MII_STATUS_AUTO_DONE;

    m->regs[MII_STATUS] &= (uint16_t)~done;
    m->regs[MII_PARTNER] = 0;
    m->regs[MII_EXPANSION] = 0;
    if (m->gigabit)
        m->regs[MII_GIGABIT_STATUS] = 0;
    if (!m->link)
        return;
    m->regs[MII_STATUS] |= MII_STATUS_LINK;
    if (!(m->regs[MII_CONTROL] & MII_CONTROL_AUTO))
        return;
    m->regs[MII_STATUS] |= MII_STATUS_AUTO_DONE;
    m->regs[MII_PARTNER] = PARTNER_ALL;
    m->regs[MII_EXPANSION] = 0x0003;
    if (m->gigabit)
        m->regs[MII_GIGABIT_STATUS] = 0x3c00;
}

static void registers_reset(struct mii *m)
{
    memset(m->regs, 0, sizeof(m->regs));
    m->regs[MII_CONTROL] = MII_CONTROL_AUTO | (m->gigabit ? CONTROL_GIGABIT : CONTROL_100);
    m->regs[MII_STATUS] = STATUS_ABILITIES | (m->gigabit ? STATUS_EXTENDED : 0);
    m->regs[MII_ID1] = m->id1;
    m->regs[MII_ID2] = m->id2;
    m->regs[MII_ADVERTISEMENT] = ADVERTISE_ALL;
    if (m->gigabit) {
        m->regs[MII_GIGABIT_CONTROL] = 0x0300;
        m->regs[15] = 0x3000; /* 1000BASE-T, full and half duplex */
    }
    negotiate(m);
}

void mii_reset(struct mii *m)
{
    registers_reset(m);
    m->clock = false;
    m->out = true;
    m->phase = PHASE_IDLE;
    m->bits = 0;
    m->shift = 0;
}

void mii_set_link(struct mii *m, bool link)
{
    m->link = link;
    negotiate(m);
}

uint16_t mii_read(struct mii *m, unsigned reg)
{
    return m->regs[reg % MII_REGS];
}

void mii_write(struct mii *m, unsigned reg, uint16_t value)
{
    switch (reg % MII_REGS) {
    case MII_CONTROL:
        if (value & MII_CONTROL_RESET) {
            registers_reset(m);
            break;
        }
        m->regs[MII_CONTROL] = value & (CONTROL_WRITABLE | (m->gigabit ? 0x0040 : 0));
        m->regs[MII_CONTROL] &= (uint16_t)~MII_CONTROL_RESTART;
        negotiate(m);
        break;
    case MII_STATUS:
    case MII_ID1:
    case MII_ID2:
    case MII_PARTNER:
    case MII_EXPANSION:
    case MII_GIGABIT_STATUS:
    case 15:
        break;
    default:
        m->regs[reg % MII_REGS] = value;
    }
}

/*
 * After a preamble of ones come 14 bits: start 01, operation 10 (read) or 01 (write), transceiver,
 * register. Then a turnaround of two bits and 16 bits of data.
 */
static void rising_edge(struct mii *m, unsigned address, bool data, bool reading)
{
    switch (m->phase) {
    case PHASE_IDLE:
        if (!data && !reading) {
            m->phase = PHASE_HEADER;
            m->bits = 1;
            m->shift = 0;
        }
        break;
    case PHASE_HEADER:
        m->shift = m->shift << 1 | data;
        if (m->bits == 1 && !data) { /* no start: 01 begins one */
            m->phase = PHASE_IDLE;
            break;
        }
        if (++m->bits < 14)
            break;
        m->phase = PHASE_IDLE;
        m->bits = 0;
        if ((m->shift >> 5 & 31) != address)
            break;
        if ((m->shift >> 10 & 3) == 2) {
            m->phase = PHASE_READ;
            m->shift = mii_read(m, m->shift & 31);
        } else if ((m->shift >> 10 & 3) == 1) {
            m->phase = PHASE_WRITE;
            m->shift = (m->shift & 31) << 16;
        }
        break;
    case PHASE_READ:
        /* The second bit of the turnaround is a zero, then the highest bit comes first. */
        m->out = m->bits == 0 ? false : m->shift >> (16 - m->bits) & 1;
        if (++m->bits > 16)
            m->phase = PHASE_IDLE;
        break;
    case PHASE_WRITE:
        if (m->bits >= 2)
            m->shift = (m->shift & 0x1f0000) | ((m->shift << 1 | data) & 0xffff);
        if (++m->bits < 18)
            break;
        m->phase = PHASE_IDLE;
        mii_write(m, m->shift >> 16, (uint16_t)m->shift);
        break;
    }
}

void mii_wires(struct mii *m, unsigned address, bool clock, bool data, bool reading)
{
    if (clock && !m->clock) {
        m->out = true;
        rising_edge(m, address, data, reading);
    }
    m->clock = clock;
}

void mii_state(struct mii *m, struct state *s)
{
    state_bytes(s, "mii.regs", m->regs, sizeof(m->regs));
    state_bool(s, "mii.clock", &m->clock);
    state_bool(s, "mii.out", &m->out);
    state_u8(s, "mii.phase", &m->phase);
    state_u8(s, "mii.bits", &m->bits);
    state_u32(s, "mii.shift", &m->shift);
    state_check(s, m->phase <= PHASE_WRITE && m->bits <= 18 &&
                       (m->phase != PHASE_READ || m->bits <= 16));
}
