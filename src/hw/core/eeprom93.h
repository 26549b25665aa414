/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Serial EEPROMs with three wires, as network cards keep their address in: Microchip 93C46 (64
 * words of 16 bits) and 93C66 (256 words), datasheet DS20001749. Programming takes no time here.
 */
#ifndef HW_CORE_EEPROM93_H
#define HW_CORE_EEPROM93_H

#include "base/state.h"

#define EEPROM93_WORDS 256u

struct eeprom93 {
    uint16_t words[EEPROM93_WORDS];
    uint8_t address_bits; /* 6: 93C46, 8: 93C66 */
    bool select, clock, out, writable;
    uint8_t bits;   /* of the command, after its start bit */
    uint8_t phase;  /* enum of eeprom93.c */
    uint8_t op;     /* of the command */
    uint16_t index; /* word that is read or written */
    uint32_t shift;
};

/* Blank but for its kind; fill words[] then. */
void eeprom93_init(struct eeprom93 *e, unsigned address_bits);
/* Idle wires; the words stay, as they do without power. */
void eeprom93_reset(struct eeprom93 *e);
/* The three wires to it: chip select, serial clock, data in. */
void eeprom93_wires(struct eeprom93 *e, bool select, bool clock, bool in);
/* Its data out. */
static inline bool eeprom93_out(const struct eeprom93 *e)
{
    return e->out;
}
void eeprom93_state(struct eeprom93 *e, struct state *s);

#endif
