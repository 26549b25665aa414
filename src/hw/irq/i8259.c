/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two 8259A programmable interrupt controllers with the edge/level control registers.
 * Intel 8259A datasheet (231468-003); 82371SB (PIIX3) datasheet (290550-002), 2.5.3 and 2.5.6.
 *
 * As in the PIIX3, LTIM of ICW1 is ignored (ELCR decides) and the 8086 mode is assumed. Left out:
 * the 8080 call sequence, buffered mode pins, slave identities other than 2.
 */
#include "hw/irq/i8259.h"

#include <errno.h>

#include "hw/core/statename.h"

enum {
    ICW1_IC4 = 0x01,
    ICW1_SNGL = 0x02,
    ICW1 = 0x10,
    ICW4_AEOI = 0x02,
    ICW4_SFNM = 0x10,
    OCW3 = 0x08,
    OCW3_RIS = 0x01,
    OCW3_RR = 0x02,
    OCW3_POLL = 0x04,
    OCW3_SMM = 0x20,
    OCW3_ESMM = 0x40,
    CASCADE = 2,
};

struct chip {
    struct i8259 *pic;
    bool is_slave;
    uint8_t input; /* levels of IR0..IR7 */
    uint8_t latch; /* edges seen and not yet acknowledged */
    uint8_t imr, isr;
    uint8_t elcr;   /* 1: level-triggered */
    uint8_t base;   /* vector of IR0 */
    uint8_t lowest; /* the input of lowest priority */
    uint8_t icw3;
    uint8_t init_step; /* 0: running; 2, 3, 4: the ICW awaited */
    bool want_icw4, single, auto_eoi, rotate_auto_eoi, sfnm, special_mask, read_isr, poll;
    bool out;
};

struct i8259 {
    struct i8259_env env;
    struct chip chips[2];
};

static const uint8_t elcr_writable[2] = {0xf8, 0xde};

static uint8_t chip_irr(const struct chip *chip)
{
    return (chip->latch & ~chip->elcr) | (chip->input & chip->elcr);
}

/* The bit of mask with the highest priority as a rank (0 highest), 8 if none. */
static unsigned chip_rank(const struct chip *chip, uint8_t mask)
{
    for (unsigned rank = 0; rank < 8; rank++)
        if (mask & 1 << ((chip->lowest + 1 + rank) & 7))
            return rank;
    return 8;
}

static unsigned rank_to_ir(const struct chip *chip, unsigned rank)
{
    return (chip->lowest + 1 + rank) & 7;
}

/* The input to be served next, -1 if none. */
static int chip_next(const struct chip *chip)
{
    if (chip->init_step)
        return -1;
    unsigned request = chip_rank(chip, chip_irr(chip) & ~chip->imr);
    uint8_t isr = chip->isr;
    /* Special mask mode: levels masked by IMR do not hold back lower ones. */
    if (chip->special_mask)
        isr &= ~chip->imr;
    /* Special fully nested mode: the slave may interrupt itself. */
    if (chip->sfnm && !chip->is_slave && !chip->single)
        isr &= ~(chip->icw3 & 1 << CASCADE);
    if (request >= chip_rank(chip, isr))
        return -1;
    return (int)rank_to_ir(chip, request);
}

static void chip_set_input(struct chip *chip, unsigned ir, bool level);

static void chip_drive(struct chip *chip, bool level)
{
    struct i8259 *pic = chip->pic;
    chip->out = level;
    if (chip->is_slave)
        chip_set_input(&pic->chips[0], CASCADE, level);
    else
        line_set(&pic->env.intr, level);
}

static void chip_update(struct chip *chip)
{
    bool level = chip_next(chip) >= 0;
    if (level != chip->out)
        chip_drive(chip, level);
}

static void chip_set_input(struct chip *chip, unsigned ir, bool level)
{
    uint8_t bit = (uint8_t)(1 << ir);
    if (level) {
        if (!(chip->input & bit))
            chip->latch |= bit;
        chip->input |= bit;
    } else {
        /* A request that is withdrawn before INTA is forgotten ("default IR7"). */
        chip->input &= ~bit;
        chip->latch &= ~bit;
    }
    chip_update(chip);
}

/* INTA: move the request into service; returns the input, or 7 when there is none any more. */
static unsigned chip_ack(struct chip *chip, bool *ret_real)
{
    int ir = chip_next(chip);
    *ret_real = ir >= 0;
    if (ir < 0)
        return 7;
    chip->latch &= ~(1 << ir);
    if (!chip->auto_eoi)
        chip->isr |= 1 << ir;
    else if (chip->rotate_auto_eoi)
        chip->lowest = (uint8_t)ir;
    /* INT falls with the first INTA and rises again if something more urgent waits: the master
     * sees an edge. */
    chip_drive(chip, false);
    return (unsigned)ir;
}

uint8_t i8259_ack(struct i8259 *pic)
{
    struct chip *master = &pic->chips[0], *slave = &pic->chips[1];
    bool real;
    unsigned ir = chip_ack(master, &real);
    uint8_t vector = master->base + ir;
    if (real && ir == CASCADE && !master->single && master->icw3 & 1 << CASCADE) {
        ir = chip_ack(slave, &real);
        vector = slave->base + ir;
        chip_update(slave);
    }
    chip_update(master);
    return vector;
}

bool i8259_pending(const struct i8259 *pic)
{
    return pic->chips[0].out;
}

void i8259_set_irq(void *dev, unsigned n, bool level)
{
    struct i8259 *pic = dev;
    if (n > 15 || n == CASCADE)
        return;
    chip_set_input(&pic->chips[n >> 3], n & 7, level);
}

static void chip_eoi(struct chip *chip, unsigned ir, bool rotate)
{
    chip->isr &= ~(1 << ir);
    if (rotate)
        chip->lowest = (uint8_t)ir;
}

static void chip_ocw2(struct chip *chip, uint8_t value)
{
    bool rotate = value & 0x80;
    unsigned ir = value & 7;
    switch (value >> 5) {
    case 0: /* rotate in automatic EOI mode: clear, set */
    case 4:
        chip->rotate_auto_eoi = rotate;
        break;
    case 1: /* non-specific EOI */
    case 5: {
        uint8_t isr = chip->special_mask ? chip->isr & ~chip->imr : chip->isr;
        unsigned rank = chip_rank(chip, isr);
        if (rank < 8)
            chip_eoi(chip, rank_to_ir(chip, rank), rotate);
        break;
    }
    case 3: /* specific EOI */
    case 7:
        chip_eoi(chip, ir, rotate);
        break;
    case 6: /* set priority */
        chip->lowest = (uint8_t)ir;
        break;
    default: /* 2: no operation */
        break;
    }
}

static void chip_icw1(struct chip *chip, uint8_t value)
{
    /* The edge sense circuit is reset: an input must rise anew to be seen. */
    chip->latch = 0;
    chip->imr = 0;
    chip->isr = 0;
    chip->lowest = 7;
    chip->special_mask = chip->read_isr = chip->poll = false;
    chip->auto_eoi = chip->rotate_auto_eoi = chip->sfnm = false;
    chip->single = value & ICW1_SNGL;
    chip->want_icw4 = value & ICW1_IC4;
    chip->init_step = 2;
}

static void chip_write_command(struct chip *chip, uint8_t value)
{
    if (value & ICW1) {
        chip_icw1(chip, value);
    } else if (value & OCW3) {
        if (value & OCW3_ESMM)
            chip->special_mask = value & OCW3_SMM;
        if (value & OCW3_POLL)
            chip->poll = true;
        else if (value & OCW3_RR)
            chip->read_isr = value & OCW3_RIS;
    } else {
        chip_ocw2(chip, value);
    }
}

static void chip_write_data(struct chip *chip, uint8_t value)
{
    switch (chip->init_step) {
    case 2:
        chip->base = value & 0xf8;
        chip->init_step = !chip->single ? 3 : chip->want_icw4 ? 4 : 0;
        break;
    case 3:
        chip->icw3 = value;
        chip->init_step = chip->want_icw4 ? 4 : 0;
        break;
    case 4:
        chip->auto_eoi = value & ICW4_AEOI;
        chip->sfnm = value & ICW4_SFNM;
        chip->init_step = 0;
        break;
    default:
        chip->imr = value;
        break;
    }
}

static void chip_write(struct chip *chip, uint64_t offset, uint8_t value)
{
    if (offset & 1)
        chip_write_data(chip, value);
    else
        chip_write_command(chip, value);
    chip_update(chip);
}

static uint8_t chip_read(struct chip *chip, uint64_t offset)
{
    if (chip->poll) {
        /* The read pulse serves as INTA (either address, as A0 is not decoded here). */
        bool real;
        chip->poll = false;
        unsigned ir = chip_ack(chip, &real);
        chip_update(chip);
        return real ? 0x80 | ir : 0;
    }
    if (offset & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip_irr(chip);
}

static uint64_t master_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return chip_read(&((struct i8259 *)dev)->chips[0], offset);
}

static void master_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    chip_write(&((struct i8259 *)dev)->chips[0], offset, (uint8_t)value);
}

static uint64_t slave_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return chip_read(&((struct i8259 *)dev)->chips[1], offset);
}

static void slave_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    chip_write(&((struct i8259 *)dev)->chips[1], offset, (uint8_t)value);
}

static uint64_t elcr_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct i8259 *)dev)->chips[offset & 1].elcr;
}

static void elcr_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    struct chip *chip = &((struct i8259 *)dev)->chips[offset & 1];
    chip->elcr = (uint8_t)value & elcr_writable[offset & 1];
    chip_update(chip);
}

static void i8259_reset(void *dev)
{
    struct i8259 *pic = dev;
    for (int i = 0; i < 2; i++) {
        struct chip *chip = &pic->chips[i];
        *chip = (struct chip){.pic = pic,
                              .is_slave = i == 1,
                              .lowest = 7,
                              .icw3 = 4,
                              /* Lines from outside keep their levels through a reset. */
                              .input = i ? chip->input : chip->input & ~(1 << CASCADE)};
    }
    line_set(&pic->env.intr, false);
}

static int i8259_state(void *dev, struct state *s)
{
    struct i8259 *pic = dev;
    for (unsigned i = 0; i < 2; i++) {
        struct chip *chip = &pic->chips[i];
        state_u8(s, STATE_NAME("input", i), &chip->input);
        state_u8(s, STATE_NAME("latch", i), &chip->latch);
        state_u8(s, STATE_NAME("imr", i), &chip->imr);
        state_u8(s, STATE_NAME("isr", i), &chip->isr);
        state_u8(s, STATE_NAME("elcr", i), &chip->elcr);
        state_u8(s, STATE_NAME("base", i), &chip->base);
        state_u8(s, STATE_NAME("lowest", i), &chip->lowest);
        state_u8(s, STATE_NAME("icw3", i), &chip->icw3);
        state_u8(s, STATE_NAME("init_step", i), &chip->init_step);
        state_bool(s, STATE_NAME("want_icw4", i), &chip->want_icw4);
        state_bool(s, STATE_NAME("single", i), &chip->single);
        state_bool(s, STATE_NAME("auto_eoi", i), &chip->auto_eoi);
        state_bool(s, STATE_NAME("rotate_auto_eoi", i), &chip->rotate_auto_eoi);
        state_bool(s, STATE_NAME("sfnm", i), &chip->sfnm);
        state_bool(s, STATE_NAME("special_mask", i), &chip->special_mask);
        state_bool(s, STATE_NAME("read_isr", i), &chip->read_isr);
        state_bool(s, STATE_NAME("poll", i), &chip->poll);
        state_check(s, chip->lowest < 8 && chip->init_step <= 4);
    }
    if (state_loading(s) && !state_error(s)) {
        for (unsigned i = 0; i < 2; i++)
            pic->chips[i].out = chip_next(&pic->chips[i]) >= 0;
        line_set(&pic->env.intr, pic->chips[0].out);
    }
    return state_error(s);
}

static void i8259_free(void *dev)
{
    free(dev);
}

const struct dev_ops i8259_dev_ops = {
    .name = "i8259", .version = 1, .reset = i8259_reset, .state = i8259_state, .free = i8259_free};

const struct io_ops i8259_master_io = {.name = "i8259-master",
                                       .min_size = 1,
                                       .max_size = 1,
                                       .read = master_read,
                                       .write = master_write};
const struct io_ops i8259_slave_io = {
    .name = "i8259-slave", .min_size = 1, .max_size = 1, .read = slave_read, .write = slave_write};
const struct io_ops i8259_elcr_io = {
    .name = "i8259-elcr", .min_size = 1, .max_size = 1, .read = elcr_read, .write = elcr_write};

int i8259_new(const struct i8259_env *env, struct i8259 **ret_pic)
{
    struct i8259 *pic = calloc(1, sizeof(*pic));
    if (!pic)
        return -ENOMEM;
    pic->env = *env;
    i8259_reset(pic);
    *ret_pic = pic;
    return 0;
}
