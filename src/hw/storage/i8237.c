/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 8237A DMA controllers, datasheet 231466-005, two of them as in the IBM AT (Technical
 * Reference, "DMA controller"): channels 0–3 move bytes, 5–7 words, 4 is the cascade. A page
 * register gives address bits 16 up; the 16-bit address counts within its page.
 *
 * Devices move their bytes when they have them, in single, demand and block mode alike. Left out:
 * memory-to-memory transfers and the timing bits, which no PC has wired up.
 */
#include "hw/storage/i8237.h"

#include <errno.h>
#include <string.h>

#include "hw/core/statename.h"

#define CHANNELS 8

enum {
    MODE_TYPE = 0x0c,
    MODE_VERIFY = 0x00,
    MODE_WRITE = 0x04, /* to memory */
    MODE_READ = 0x08,
    MODE_AUTO = 0x10,
    MODE_DOWN = 0x20,
    COMMAND_DISABLE = 0x04,
};

struct channel {
    uint16_t base_address, base_count, address, count;
    uint8_t mode;
};

struct controller {
    uint8_t command, request, mask, status; /* status: terminal counts */
    bool high_byte;                         /* the flip-flop */
};

struct i8237 {
    struct dma memory;
    struct channel channel[CHANNELS];
    struct controller controller[2];
    uint8_t page[16]; /* ports 0x80 to 0x8f, of which some are only storage */
    uint8_t levels;   /* DREQ as the devices drive them */
    struct isa_dma_client client[CHANNELS];
};

/* Which of ports 0x80–0x8f holds the page of a channel. */
static const uint8_t page_of[CHANNELS] = {7, 3, 1, 2, 15, 11, 9, 10};

static bool masked(const struct i8237 *dma, unsigned n)
{
    const struct controller *c = &dma->controller[n / 4];
    return c->mask >> (n & 3) & 1 || c->command & COMMAND_DISABLE;
}

static bool dma_ready(void *ctx, unsigned n, bool to_memory)
{
    const struct i8237 *dma = ctx;
    if (n >= CHANNELS || n == 4 || masked(dma, n))
        return false;
    uint8_t type = dma->channel[n].mode & MODE_TYPE;
    return type == MODE_VERIFY || type == (to_memory ? MODE_WRITE : MODE_READ);
}

/* The next run of bytes that lie one after the other in memory: their address and length. */
static size_t next_run(const struct i8237 *dma, unsigned n, size_t len_bytes, uint64_t *ret_gpa)
{
    const struct channel *ch = &dma->channel[n];
    unsigned shift = n >= 4;
    uint64_t page = dma->page[page_of[n]];
    uint64_t left = (uint64_t)(ch->count + 1) << shift;
    *ret_gpa = (shift ? page & ~1ull : page) << 16 | (uint64_t)ch->address << shift;
    if (ch->mode & MODE_DOWN)
        return MIN(len_bytes, (size_t)1 << shift);
    uint64_t to_wrap = (uint64_t)(0x10000 - ch->address) << shift;
    left = MIN(left, to_wrap);
    return (size_t)MIN((uint64_t)len_bytes, left);
}

/* `units` of the channel have been moved. True at the terminal count. */
static bool count_down(struct i8237 *dma, unsigned n, unsigned units)
{
    struct channel *ch = &dma->channel[n];
    struct controller *c = &dma->controller[n / 4];
    bool tc = units > ch->count;
    ch->address = (uint16_t)(ch->mode & MODE_DOWN ? ch->address - units : ch->address + units);
    ch->count = (uint16_t)(ch->count - units);
    if (!tc)
        return false;
    c->status |= (uint8_t)(1u << (n & 3));
    c->request &= (uint8_t) ~(1u << (n & 3));
    if (ch->mode & MODE_AUTO) {
        ch->address = ch->base_address;
        ch->count = ch->base_count;
    } else {
        c->mask |= (uint8_t)(1u << (n & 3));
    }
    return true;
}

static size_t dma_transfer(void *ctx, unsigned n, uint8_t *buf, size_t len_bytes, bool to_memory,
                           bool *ret_tc)
{
    struct i8237 *dma = ctx;
    size_t done = 0;
    *ret_tc = false;
    if (!dma_ready(dma, n, to_memory))
        return 0;
    unsigned shift = n >= 4;
    len_bytes &= ~(size_t)shift;
    while (done < len_bytes && !*ret_tc) {
        uint64_t gpa;
        size_t run = next_run(dma, n, len_bytes - done, &gpa);
        bool verify = (dma->channel[n].mode & MODE_TYPE) == MODE_VERIFY;
        /* Where there is no memory bytes are lost, and read as ones, as on the bus. */
        if (verify && !to_memory)
            memset(buf + done, 0xff, run);
        else if (!verify && to_memory)
            (void)dma_write(&dma->memory, gpa, buf + done, run);
        else if (!verify && dma_read(&dma->memory, gpa, buf + done, run) < 0)
            memset(buf + done, 0xff, run);
        done += run;
        *ret_tc = count_down(dma, n, (unsigned)(run >> shift));
    }
    return done;
}

static void dma_request(void *ctx, unsigned n, bool level)
{
    struct i8237 *dma = ctx;
    if (n < CHANNELS)
        dma->levels = (uint8_t)(level ? dma->levels | 1u << n : dma->levels & ~(1u << n));
}

/* A write may have made channels ready: their devices try again. */
static void tell_clients(struct i8237 *dma, unsigned controller)
{
    for (unsigned n = controller * 4; n < controller * 4 + 4; n++)
        if (dma->client[n].channel_ready && !masked(dma, n))
            dma->client[n].channel_ready(dma->client[n].dev);
}

static void clear_controller(struct controller *c)
{
    *c = (struct controller){.mask = 0x0f};
}

static uint8_t half(const struct controller *c, uint16_t v)
{
    return (uint8_t)(c->high_byte ? v >> 8 : v);
}

static uint16_t with_half(const struct controller *c, uint16_t old, uint8_t v)
{
    return (uint16_t)(c->high_byte ? (old & 0x00ff) | v << 8 : (old & 0xff00) | v);
}

static uint8_t register_read(struct i8237 *dma, unsigned k, unsigned reg)
{
    struct controller *c = &dma->controller[k];
    uint8_t v;
    if (reg < 8) {
        const struct channel *ch = &dma->channel[k * 4 + reg / 2];
        v = half(c, reg & 1 ? ch->count : ch->address);
        c->high_byte = !c->high_byte;
        return v;
    }
    switch (reg) {
    case 8: /* requests above, terminal counts below; reading clears these */
        v = (uint8_t)(c->status | ((dma->levels >> (4 * k) & 15) | c->request) << 4);
        c->status = 0;
        return v;
    case 15:
        return c->mask | 0xf0;
    }
    return 0; /* the temporary register, unused without memory-to-memory */
}

static void register_write(struct i8237 *dma, unsigned k, unsigned reg, uint8_t v)
{
    struct controller *c = &dma->controller[k];
    uint8_t bit = (uint8_t)(1u << (v & 3));
    if (reg < 8) {
        struct channel *ch = &dma->channel[k * 4 + reg / 2];
        if (reg & 1)
            ch->base_count = ch->count = with_half(c, ch->base_count, v);
        else
            ch->base_address = ch->address = with_half(c, ch->base_address, v);
        c->high_byte = !c->high_byte;
        return;
    }
    switch (reg) {
    case 8:
        c->command = v;
        break;
    case 9:
        c->request = v & 4 ? c->request | bit : c->request & (uint8_t)~bit;
        break;
    case 10:
        c->mask = v & 4 ? c->mask | bit : c->mask & (uint8_t)~bit;
        break;
    case 11:
        dma->channel[k * 4 + (v & 3)].mode = v;
        break;
    case 12:
        c->high_byte = false;
        return;
    case 13:
        clear_controller(c);
        return;
    case 14:
        c->mask = 0;
        break;
    case 15:
        c->mask = v & 0x0f;
        break;
    }
    tell_clients(dma, k);
}

static uint64_t first_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return register_read(dev, 0, offset & 15);
}

static void first_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    register_write(dev, 0, offset & 15, (uint8_t)value);
}

/* The second controller sits on the word bus: its registers are two ports apart. */
static uint64_t second_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return register_read(dev, 1, offset / 2 & 15);
}

static void second_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    register_write(dev, 1, offset / 2 & 15, (uint8_t)value);
}

static uint64_t page_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct i8237 *)dev)->page[offset & 15];
}

static void page_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    ((struct i8237 *)dev)->page[offset & 15] = (uint8_t)value;
}

const struct io_ops i8237_first_io = {
    .name = "dma1", .min_size = 1, .max_size = 1, .read = first_read, .write = first_write};
const struct io_ops i8237_second_io = {
    .name = "dma2", .min_size = 1, .max_size = 1, .read = second_read, .write = second_write};
const struct io_ops i8237_page_io = {
    .name = "dma-page", .min_size = 1, .max_size = 1, .read = page_read, .write = page_write};

static void i8237_reset(void *dev)
{
    struct i8237 *dma = dev;
    clear_controller(&dma->controller[0]);
    clear_controller(&dma->controller[1]);
    memset(dma->channel, 0, sizeof(dma->channel));
    memset(dma->page, 0, sizeof(dma->page));
}

static int i8237_state(void *dev, struct state *s)
{
    struct i8237 *dma = dev;
    for (unsigned n = 0; n < CHANNELS; n++) {
        struct channel *ch = &dma->channel[n];
        state_u16(s, STATE_NAME("base_address", n), &ch->base_address);
        state_u16(s, STATE_NAME("base_count", n), &ch->base_count);
        state_u16(s, STATE_NAME("address", n), &ch->address);
        state_u16(s, STATE_NAME("count", n), &ch->count);
        state_u8(s, STATE_NAME("mode", n), &ch->mode);
    }
    for (unsigned k = 0; k < 2; k++) {
        struct controller *c = &dma->controller[k];
        state_u8(s, STATE_NAME("command", k), &c->command);
        state_u8(s, STATE_NAME("request", k), &c->request);
        state_u8(s, STATE_NAME("mask", k), &c->mask);
        state_u8(s, STATE_NAME("status", k), &c->status);
        state_bool(s, STATE_NAME("high_byte", k), &c->high_byte);
        state_check(s, c->mask < 16 && c->request < 16 && c->status < 16);
    }
    state_bytes(s, "page", dma->page, sizeof(dma->page));
    state_u8(s, "levels", &dma->levels);
    return state_error(s);
}

static void i8237_free(void *dev)
{
    free(dev);
}

const struct dev_ops i8237_dev_ops = {
    .name = "i8237",
    .version = 1,
    .reset = i8237_reset,
    .state = i8237_state,
    .free = i8237_free,
};

int i8237_new(const struct dma *memory, struct i8237 **ret_dma)
{
    struct i8237 *dma = calloc(1, sizeof(*dma));
    if (!dma)
        return -ENOMEM;
    dma->memory = *memory;
    i8237_reset(dma);
    *ret_dma = dma;
    return 0;
}

struct isa_dma i8237_isa_dma(struct i8237 *dma)
{
    return (struct isa_dma){
        .transfer = dma_transfer, .ready = dma_ready, .request = dma_request, .ctx = dma};
}

void i8237_attach(struct i8237 *dma, unsigned channel, const struct isa_dma_client *client)
{
    if (channel < CHANNELS)
        dma->client[channel] = *client;
}
