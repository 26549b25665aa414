/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Test device: a latch of 32 bits in ports, ports that set interrupt lines, and registers in
 * memory that behave like RAM but are no RAM. Interface of QEMU's pc-testdev, as kvm-unit-tests
 * use it. Left out: the page flush port, which they write and never look at.
 */
#include "hw/chipset/testdev.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

struct testdev {
    struct testdev_env env;
    uint8_t latch[4];
    uint8_t mem[TESTDEV_MEM_BYTES];
    uint32_t irqs;
};

static uint64_t bytes_read(const uint8_t *bytes, uint64_t len, uint64_t offset, unsigned size)
{
    uint8_t buf[8] = {0};
    for (unsigned i = 0; i < size && offset + i < len; i++)
        buf[i] = bytes[offset + i];
    return le64_get(buf);
}

static void bytes_write(uint8_t *bytes, uint64_t len, uint64_t offset, unsigned size,
                        uint64_t value)
{
    for (unsigned i = 0; i < size && offset + i < len; i++)
        bytes[offset + i] = (uint8_t)(value >> 8 * i);
}

static uint64_t latch_read(void *dev, uint64_t offset, unsigned size)
{
    return bytes_read(((struct testdev *)dev)->latch, 4, offset, size);
}

static void latch_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    bytes_write(((struct testdev *)dev)->latch, 4, offset, size, value);
}

static uint64_t mem_read(void *dev, uint64_t offset, unsigned size)
{
    return bytes_read(((struct testdev *)dev)->mem, TESTDEV_MEM_BYTES, offset, size);
}

static void mem_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    bytes_write(((struct testdev *)dev)->mem, TESTDEV_MEM_BYTES, offset, size, value);
}

static uint64_t irq_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    return ((struct testdev *)dev)->irqs >> (offset & 31) & 1;
}

static void irq_set(struct testdev *td, unsigned n, bool level)
{
    td->irqs = (td->irqs & ~(1u << n)) | (uint32_t)level << n;
    td->env.irq(td->env.ctx, n, level);
}

static void irq_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    if (offset < TESTDEV_IRQS)
        irq_set(dev, (unsigned)offset, value != 0);
}

static void testdev_reset(void *dev)
{
    struct testdev *td = dev;
    memset(td->latch, 0, sizeof(td->latch));
    memset(td->mem, 0, sizeof(td->mem));
    for (unsigned n = 0; n < TESTDEV_IRQS; n++)
        if (td->irqs >> n & 1)
            irq_set(td, n, false);
}

static int testdev_state(void *dev, struct state *s)
{
    struct testdev *td = dev;
    state_bytes(s, "latch", td->latch, sizeof(td->latch));
    state_bytes(s, "mem", td->mem, sizeof(td->mem));
    uint32_t irqs = td->irqs;
    state_u32(s, "irqs", &irqs);
    if (state_loading(s) && !state_error(s))
        for (unsigned n = 0; n < TESTDEV_IRQS; n++)
            if ((irqs ^ td->irqs) >> n & 1)
                irq_set(td, n, irqs >> n & 1);
    return state_error(s);
}

static void testdev_free(void *dev)
{
    free(dev);
}

const struct dev_ops testdev_dev_ops = {.name = "testdev",
                                        .version = 1,
                                        .reset = testdev_reset,
                                        .state = testdev_state,
                                        .free = testdev_free};

const struct io_ops testdev_latch_io = {
    .name = "test-latch", .min_size = 1, .max_size = 4, .read = latch_read, .write = latch_write};
const struct io_ops testdev_irq_io = {
    .name = "test-irq", .min_size = 1, .max_size = 4, .read = irq_read, .write = irq_write};
const struct io_ops testdev_mem_io = {
    .name = "test-mem", .min_size = 1, .max_size = 8, .read = mem_read, .write = mem_write};

int testdev_new(const struct testdev_env *env, struct testdev **ret_dev)
{
    struct testdev *td = calloc(1, sizeof(*td));
    if (!td)
        return -ENOMEM;
    td->env = *env;
    *ret_dev = td;
    return 0;
}
