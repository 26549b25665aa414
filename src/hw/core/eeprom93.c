/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/core/eeprom93.h"

enum phase { PHASE_IDLE, PHASE_COMMAND, PHASE_READ, PHASE_WRITE, PHASE_DONE };
enum op { OP_EXTENDED, OP_WRITE, OP_READ, OP_ERASE };
/* Of OP_EXTENDED: the two highest address bits. */
enum extended { EXT_DISABLE, EXT_WRITE_ALL, EXT_ERASE_ALL, EXT_ENABLE };

#define ALL_WORDS UINT16_MAX

void eeprom93_init(struct eeprom93 *e, unsigned address_bits)
{
    *e = (struct eeprom93){.address_bits = (uint8_t)address_bits};
    eeprom93_reset(e);
}

void eeprom93_reset(struct eeprom93 *e)
{
    e->select = e->clock = e->writable = false;
    e->out = true;
    e->phase = PHASE_IDLE;
    e->bits = e->op = 0;
    e->index = 0;
    e->shift = 0;
}

static unsigned words(const struct eeprom93 *e)
{
    return 1u << e->address_bits;
}

static void store(struct eeprom93 *e, uint16_t value)
{
    if (!e->writable)
        return;
    for (unsigned i = 0; i < words(e); i++)
        if (e->index == ALL_WORDS || e->index == i)
            e->words[i] = value;
}

static void extended(struct eeprom93 *e, unsigned what)
{
    e->phase = PHASE_DONE;
    switch (what) {
    case EXT_ENABLE:
    case EXT_DISABLE:
        e->writable = what == EXT_ENABLE;
        break;
    case EXT_ERASE_ALL:
        e->index = ALL_WORDS;
        store(e, 0xffff);
        break;
    case EXT_WRITE_ALL:
        e->index = ALL_WORDS;
        e->phase = PHASE_WRITE;
        break;
    }
}

/* Opcode and address are complete. */
static void begin(struct eeprom93 *e)
{
    e->op = (uint8_t)(e->shift >> e->address_bits & 3);
    e->index = (uint16_t)(e->shift & (words(e) - 1));
    e->bits = 0;
    switch (e->op) {
    case OP_READ:
        e->phase = PHASE_READ;
        e->shift = e->words[e->index];
        e->out = false; /* a zero comes before the word */
        break;
    case OP_WRITE:
        e->phase = PHASE_WRITE;
        e->shift = 0;
        break;
    case OP_ERASE:
        e->phase = PHASE_DONE;
        store(e, 0xffff);
        break;
    default:
        extended(e, e->index >> (e->address_bits - 2));
        e->shift = 0;
    }
}

static void rising_edge(struct eeprom93 *e, bool in)
{
    switch (e->phase) {
    case PHASE_IDLE:
        if (in) { /* the start bit */
            e->phase = PHASE_COMMAND;
            e->shift = e->bits = 0;
        }
        break;
    case PHASE_COMMAND:
        e->shift = e->shift << 1 | in;
        if (++e->bits == e->address_bits + 2)
            begin(e);
        break;
    case PHASE_READ:
        e->out = e->shift >> 15 & 1;
        e->shift = e->shift << 1 & 0xffff;
        if (++e->bits == 16) { /* reading goes on with the next word */
            e->bits = 0;
            e->index = (uint16_t)((e->index + 1u) & (words(e) - 1));
            e->shift = e->words[e->index];
        }
        break;
    case PHASE_WRITE:
        e->shift = (e->shift << 1 | in) & 0xffff;
        if (++e->bits == 16) {
            store(e, (uint16_t)e->shift);
            e->phase = PHASE_DONE;
        }
        break;
    }
}

void eeprom93_wires(struct eeprom93 *e, bool select, bool clock, bool in)
{
    bool rises = clock && !e->clock;

    e->clock = clock;
    if (!select) {
        /* Selected again it shows that it is ready. */
        e->select = false;
        e->phase = PHASE_IDLE;
        e->out = true;
        return;
    }
    e->select = true;
    if (rises)
        rising_edge(e, in);
}

void eeprom93_state(struct eeprom93 *e, struct state *s)
{
    state_bytes(s, "eeprom.words", e->words, sizeof(e->words));
    state_bool(s, "eeprom.select", &e->select);
    state_bool(s, "eeprom.clock", &e->clock);
    state_bool(s, "eeprom.out", &e->out);
    state_bool(s, "eeprom.writable", &e->writable);
    state_u8(s, "eeprom.bits", &e->bits);
    state_u8(s, "eeprom.phase", &e->phase);
    state_u8(s, "eeprom.op", &e->op);
    state_u16(s, "eeprom.index", &e->index);
    state_u32(s, "eeprom.shift", &e->shift);
    state_check(s, e->phase <= PHASE_DONE && e->bits <= 16 &&
                       (e->index < words(e) || (e->index == ALL_WORDS && e->phase >= PHASE_WRITE)));
}
