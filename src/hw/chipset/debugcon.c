/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The debug console of Bochs and QEMU and QEMU's exit port; no hardware has them. A read of the
 * console gives 0xe9, by which firmware knows that somebody listens. A host that refuses bytes
 * loses them: nobody waits for a debug port.
 */
#include "hw/chipset/debugcon.h"

#include <errno.h>

struct debugcon {
    struct debugcon_env env;
};

static uint64_t con_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)offset;
    (void)size;
    return 0xe9;
}

static void con_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct debugcon *con = dev;
    uint8_t byte = (uint8_t)value;
    (void)offset;
    (void)size;
    chardev_write(&con->env.chr, &byte, 1);
}

static uint64_t exit_read(void *dev, uint64_t offset, unsigned size)
{
    (void)dev;
    (void)offset;
    (void)size;
    return 0;
}

static void exit_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct debugcon *con = dev;
    (void)offset;
    (void)size;
    if (con->env.exit)
        con->env.exit(con->env.exit_ctx, (uint32_t)value);
}

static void con_reset(void *dev)
{
    (void)dev;
}

static int con_state(void *dev, struct state *s)
{
    (void)dev;
    return state_error(s);
}

static void con_free(void *dev)
{
    free(dev);
}

const struct dev_ops debugcon_dev_ops = {
    .name = "debugcon", .version = 1, .reset = con_reset, .state = con_state, .free = con_free};

const struct io_ops debugcon_io = {
    .name = "debugcon", .min_size = 1, .max_size = 1, .read = con_read, .write = con_write};
const struct io_ops debugcon_exit_io = {
    .name = "debug-exit", .min_size = 1, .max_size = 4, .read = exit_read, .write = exit_write};

int debugcon_new(const struct debugcon_env *env, struct debugcon **ret_con)
{
    struct debugcon *con = calloc(1, sizeof(*con));
    if (!con)
        return -ENOMEM;
    con->env = *env;
    *ret_con = con;
    return 0;
}
