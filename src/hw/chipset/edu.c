/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The educational device 1234:11e8, as QEMU's "EDU device" (docs/specs/edu) describes it: a
 * liveness check, factorials that take their time, transfers between a buffer of 4 KiB and memory,
 * and interrupts by INTA# or one MSI. Courses and public tests are written for it.
 *
 * Numbers that the description leaves open: a computation or a transfer takes a millisecond. It
 * reaches addresses of 28 bits, as described; a transfer that does not lie within its buffer is not
 * done.
 */
#include "hw/chipset/edu.h"

#include <errno.h>
#include <string.h>

#define BAR_BYTES MIB(1)
#define IDENTITY 0x010000edu
#define BUFFER_BASE 0x40000u
#define BUFFER_BYTES 4096u
#define ADDRESS_MASK 0x0fffffffull
#define BUSY_NS 1000000u

enum {
    REG_IDENTITY = 0x00,
    REG_LIVENESS = 0x04,
    REG_FACTORIAL = 0x08,
    REG_STATUS = 0x20,
    REG_IRQ_STATUS = 0x24,
    REG_IRQ_RAISE = 0x60,
    REG_IRQ_ACK = 0x64,
    REG_DMA_SOURCE = 0x80,
    REG_DMA_TARGET = 0x88,
    REG_DMA_COUNT = 0x90,
    REG_DMA_COMMAND = 0x98,
};
enum { STATUS_COMPUTING = 0x01, STATUS_INTERRUPT = 0x80 };
enum { DMA_START = 1, DMA_TO_MEMORY = 2, DMA_INTERRUPT = 4 };
enum { IRQ_FACTORIAL = 0x001, IRQ_DMA = 0x100 };

struct edu {
    struct pci_dev pci;
    struct region registers;
    struct clock *clock;
    struct timer computing, moving;
    uint32_t liveness, factorial, status, irqs;
    uint64_t source, target, count, command;
    uint8_t buffer[BUFFER_BYTES];
};

static void irq_raise(struct edu *edu, uint32_t bits)
{
    edu->irqs |= bits;
    if (!edu->irqs)
        return;
    if (pci_msi_enabled(&edu->pci))
        pci_msi_notify(&edu->pci, 0);
    else
        pci_set_intx(&edu->pci, true);
}

static void irq_ack(struct edu *edu, uint32_t bits)
{
    edu->irqs &= ~bits;
    if (!edu->irqs)
        pci_set_intx(&edu->pci, false);
}

/* Its registers have 32 bits: from 34! on all of these are zero. */
static uint32_t factorial(uint32_t n)
{
    uint32_t product = 1;

    for (uint32_t i = MIN(n, 34u); i > 1; i--)
        product *= i;
    return product;
}

static void computed(void *ctx)
{
    struct edu *edu = ctx;

    edu->factorial = factorial(edu->factorial);
    edu->status &= ~(uint32_t)STATUS_COMPUTING;
    if (edu->status & STATUS_INTERRUPT)
        irq_raise(edu, IRQ_FACTORIAL);
}

/* Where in the buffer a transfer lies, NULL: not within it. */
static uint8_t *buffer_at(struct edu *edu, uint64_t addr)
{
    uint64_t at = addr - BUFFER_BASE;

    if (at > BUFFER_BYTES || edu->count > BUFFER_BYTES - at)
        return NULL;
    return edu->buffer + at;
}

static void moved(void *ctx)
{
    struct edu *edu = ctx;
    bool to_memory = edu->command & DMA_TO_MEMORY;
    uint8_t *buffer = buffer_at(edu, to_memory ? edu->source : edu->target);

    if (buffer && pci_bus_master(&edu->pci)) {
        if (to_memory)
            dma_write(&edu->pci.dma, edu->target & ADDRESS_MASK, buffer, edu->count);
        else
            dma_read(&edu->pci.dma, edu->source & ADDRESS_MASK, buffer, edu->count);
    }
    edu->command &= ~(uint64_t)DMA_START;
    if (edu->command & DMA_INTERRUPT)
        irq_raise(edu, IRQ_DMA);
}

static uint64_t *dma_register(struct edu *edu, uint64_t offset)
{
    switch (offset) {
    case REG_DMA_SOURCE:
        return &edu->source;
    case REG_DMA_TARGET:
        return &edu->target;
    case REG_DMA_COUNT:
        return &edu->count;
    case REG_DMA_COMMAND:
        return &edu->command;
    default:
        return NULL;
    }
}

/* Below 0x80 accesses have 4 bytes, from there 4 or 8. */
static bool well_sized(uint64_t offset, unsigned size)
{
    return size == 4 || (size == 8 && offset >= REG_DMA_SOURCE && !(offset & 7));
}

static uint64_t edu_read(void *dev, uint64_t offset, unsigned size)
{
    struct edu *edu = dev;
    const uint64_t *wide = dma_register(edu, offset & ~4ull);

    if (!well_sized(offset, size))
        return UINT64_MAX;
    if (wide)
        return offset & 4 ? *wide >> 32 : *wide;
    switch (offset) {
    case REG_IDENTITY:
        return IDENTITY;
    case REG_LIVENESS:
        return edu->liveness;
    case REG_FACTORIAL:
        return edu->factorial;
    case REG_STATUS:
        return edu->status;
    case REG_IRQ_STATUS:
        return edu->irqs;
    default:
        return UINT64_MAX;
    }
}

static void dma_write_register(struct edu *edu, uint64_t offset, unsigned size, uint64_t value)
{
    uint64_t *wide = dma_register(edu, offset & ~4ull);

    if (!wide || edu->command & DMA_START)
        return; /* one that is under way is not changed */
    if (size == 8)
        *wide = value;
    else if (offset & 4)
        *wide = (*wide & 0xffffffff) | value << 32;
    else
        *wide = (*wide & ~0xffffffffull) | value;
    if (wide == &edu->command && edu->command & DMA_START)
        timer_set(&edu->moving, clock_now_ns(edu->clock) + BUSY_NS);
}

static void edu_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct edu *edu = dev;

    if (!well_sized(offset, size))
        return;
    switch (offset) {
    case REG_LIVENESS:
        edu->liveness = ~(uint32_t)value;
        break;
    case REG_FACTORIAL:
        if (edu->status & STATUS_COMPUTING)
            break;
        edu->factorial = (uint32_t)value;
        edu->status |= STATUS_COMPUTING;
        timer_set(&edu->computing, clock_now_ns(edu->clock) + BUSY_NS);
        break;
    case REG_STATUS:
        edu->status =
            (edu->status & STATUS_COMPUTING) | ((uint32_t)value & (uint32_t)STATUS_INTERRUPT);
        break;
    case REG_IRQ_RAISE:
        irq_raise(edu, (uint32_t)value);
        break;
    case REG_IRQ_ACK:
        irq_ack(edu, (uint32_t)value);
        break;
    default:
        dma_write_register(edu, offset, size, value);
        break;
    }
}

static const struct io_ops edu_io = {
    .name = "edu", .min_size = 1, .max_size = 8, .read = edu_read, .write = edu_write};

static void edu_reset(void *dev)
{
    struct edu *edu = dev;

    timer_cancel(&edu->computing);
    timer_cancel(&edu->moving);
    edu->liveness = edu->factorial = edu->status = edu->irqs = 0;
    edu->source = edu->target = edu->count = edu->command = 0;
    memset(edu->buffer, 0, sizeof(edu->buffer));
    pci_dev_reset(&edu->pci);
}

static int edu_state(void *dev, struct state *s)
{
    struct edu *edu = dev;

    pci_dev_state(&edu->pci, s);
    state_u32(s, "liveness", &edu->liveness);
    state_u32(s, "factorial", &edu->factorial);
    state_u32(s, "status", &edu->status);
    state_u32(s, "irqs", &edu->irqs);
    state_u64(s, "source", &edu->source);
    state_u64(s, "target", &edu->target);
    state_u64(s, "count", &edu->count);
    state_u64(s, "command", &edu->command);
    state_bytes(s, "buffer", edu->buffer, sizeof(edu->buffer));
    state_timer(s, "computing", &edu->computing);
    state_timer(s, "moving", &edu->moving);
    return state_error(s);
}

static void edu_free(void *dev)
{
    struct edu *edu = dev;

    timer_cancel(&edu->computing);
    timer_cancel(&edu->moving);
    pci_dev_done(&edu->pci);
    free(edu);
}

const struct dev_ops edu_dev_ops = {
    .name = "edu", .version = 1, .reset = edu_reset, .state = edu_state, .free = edu_free};

int edu_new(const struct edu_env *env, struct edu **ret_edu)
{
    static const struct pci_ids ids = {
        .vendor = 0x1234, .device = 0x11e8, .class_code = 0x00ff00, .revision = 0x10};
    struct edu *edu = calloc(1, sizeof(*edu));

    if (!edu)
        return -ENOMEM;
    edu->clock = env->clock;
    int r = pci_dev_init(&edu->pci, env->pci, env->devfn, "edu", &ids, 1);
    if (r < 0) {
        free(edu);
        return r;
    }
    timer_init(&edu->computing, env->clock, computed, edu);
    timer_init(&edu->moving, env->clock, moved, edu);
    edu->registers = (struct region){.name = "edu",
                                     .size_bytes = BAR_BYTES,
                                     .priority = 1,
                                     .kind = REGION_IO,
                                     .ops = &edu_io,
                                     .dev = edu};
    pci_add_bar(&edu->pci, 0, &edu->registers, false, false, false);
    pci_add_msi(&edu->pci);
    *ret_edu = edu;
    return 0;
}
