/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System control port A at 0x92. IBM Personal System/2 Hardware Interface Technical Reference,
 * "System Control Port A".
 *
 * Left out: the lamps, the watchdog status and the lock of the password bytes.
 */
#include "hw/chipset/port92.h"

#include <errno.h>

enum { FAST_RESET = 0x01, FAST_A20 = 0x02, WRITABLE = 0x03 };

struct port92 {
    struct port92_env env;
    uint8_t value;
};

static uint64_t port92_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct port92 *)dev)->value;
}

static void port92_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset;
    (void)size;
    struct port92 *port = dev;
    bool reset = value & FAST_RESET && !(port->value & FAST_RESET);
    port->value = value & WRITABLE;
    line_set(&port->env.a20, value & FAST_A20);
    if (reset && port->env.reset)
        port->env.reset(port->env.reset_ctx);
}

static void port92_reset(void *dev)
{
    struct port92 *port = dev;
    port->value = 0;
    line_set(&port->env.a20, false);
}

static int port92_state(void *dev, struct state *s)
{
    struct port92 *port = dev;
    state_u8(s, "value", &port->value);
    if (state_loading(s) && !state_error(s))
        line_set(&port->env.a20, port->value & FAST_A20);
    return state_error(s);
}

static void port92_free(void *dev)
{
    free(dev);
}

const struct dev_ops port92_dev_ops = {.name = "port92",
                                       .version = 1,
                                       .reset = port92_reset,
                                       .state = port92_state,
                                       .free = port92_free};

const struct io_ops port92_io = {
    .name = "port92", .min_size = 1, .max_size = 1, .read = port92_read, .write = port92_write};

int port92_new(const struct port92_env *env, struct port92 **ret_port)
{
    struct port92 *port = calloc(1, sizeof(*port));
    if (!port)
        return -ENOMEM;
    port->env = *env;
    port92_reset(port);
    *ret_port = port;
    return 0;
}
