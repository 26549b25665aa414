/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cable between a PS/2 device (keyboard, mouse) and its controller. The device keeps its bytes
 * until the controller fetches them.
 */
#ifndef HW_CORE_PS2_H
#define HW_CORE_PS2_H

#include <stdbool.h>
#include <stdint.h>

struct ps2_port {
    /* Controller to device. */
    void (*send)(void *dev, uint8_t byte);
    /* The next byte of the device, false when it has none. */
    bool (*fetch)(void *dev, uint8_t *ret_byte);
    void *dev;
    /* Device to controller: there is something to fetch. Set by the controller. */
    void (*ready)(void *controller);
    void *controller;
};

static inline void ps2_ready(const struct ps2_port *port)
{
    if (port->ready)
        port->ready(port->controller);
}

/* A bounded queue of bytes on their way to the controller. */
#define PS2_QUEUE_BYTES 64

struct ps2_queue {
    uint8_t bytes[PS2_QUEUE_BYTES];
    uint8_t head, count;
};

static inline unsigned ps2_queue_room(const struct ps2_queue *q)
{
    return PS2_QUEUE_BYTES - q->count;
}

static inline void ps2_queue_put(struct ps2_queue *q, uint8_t byte)
{
    if (q->count < PS2_QUEUE_BYTES)
        q->bytes[(q->head + q->count++) % PS2_QUEUE_BYTES] = byte;
}

static inline bool ps2_queue_get(struct ps2_queue *q, uint8_t *ret_byte)
{
    if (!q->count)
        return false;
    *ret_byte = q->bytes[q->head];
    q->head = (uint8_t)((q->head + 1) % PS2_QUEUE_BYTES);
    q->count--;
    return true;
}

static inline void ps2_queue_clear(struct ps2_queue *q)
{
    *q = (struct ps2_queue){.count = 0};
}

#endif
