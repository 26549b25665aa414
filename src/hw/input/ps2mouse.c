/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 mouse: the standard protocol of three bytes, and the IntelliMouse extensions (wheel; wheel
 * and five buttons) that a host unlocks by a sequence of sample rates.
 * IBM Personal System/2 Mouse Technical Reference (S68X-2229); Microsoft IntelliMouse.
 *
 * Left out: the sample rate as a limit of packets (the controller's pace is the limit).
 */
#include "hw/input/ps2mouse.h"

#include <errno.h>

enum {
    REPLY_ACK = 0xfa,
    REPLY_ERROR = 0xfc,
    REPLY_RESEND = 0xfe,
    REPLY_BAT_OK = 0xaa,
    CMD_SCALE1 = 0xe6,
    CMD_SCALE2 = 0xe7,
    CMD_RESOLUTION = 0xe8,
    CMD_STATUS = 0xe9,
    CMD_STREAM = 0xea,
    CMD_READ = 0xeb,
    CMD_WRAP_RESET = 0xec,
    CMD_WRAP = 0xee,
    CMD_REMOTE = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,
    STATUS_SCALE2 = 0x10,
    STATUS_ENABLED = 0x20,
    STATUS_REMOTE = 0x40,
    ID_STANDARD = 0,
    ID_WHEEL = 3,
    ID_FIVE_BUTTONS = 4,
};

#define MOTION_MAX 4096 /* what adds up while nobody fetches */

struct ps2mouse {
    struct ps2_port port;
    struct ps2_queue queue;
    uint8_t id, rate, resolution;
    bool enabled, remote, wrap, scale2;
    uint8_t pending;
    uint8_t magic; /* sample rates of the unlocking sequences seen: see mouse_set_rate() */
    uint8_t magic_middle;
    uint8_t last;
    uint8_t buttons, reported;
    int32_t dx, dy, dz;
};

static int32_t clamp(int64_t v, int32_t limit)
{
    return (int32_t)(v > limit ? limit : v < -limit ? -limit : v);
}

/* 2:1 scaling, stream mode only: 1 2 3 4 5 counts become 1 1 3 6 9, above they double. */
static int32_t scale(int32_t v)
{
    static const uint8_t small[6] = {0, 1, 1, 3, 6, 9};
    int32_t magnitude = v < 0 ? -v : v;
    magnitude = magnitude < 6 ? small[magnitude] : magnitude * 2;
    return v < 0 ? -magnitude : magnitude;
}

static bool mouse_has_news(const struct ps2mouse *m)
{
    return m->dx || m->dy || (m->dz && m->id != ID_STANDARD) || m->buttons != m->reported;
}

/* Queue one packet of the motion since the last. */
static void mouse_packet(struct ps2mouse *m)
{
    /* Nine-bit two's complement, and y counts upwards. */
    int32_t dx = clamp(m->dx, 255), dy = clamp(-m->dy, 255), dz = 0;
    m->dx -= dx;
    m->dy += dy;
    if (m->scale2 && !m->remote) {
        dx = clamp(scale(dx), 255);
        dy = clamp(scale(dy), 255);
    }
    ps2_queue_put(&m->queue,
                  (uint8_t)(0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0)));
    ps2_queue_put(&m->queue, (uint8_t)dx);
    ps2_queue_put(&m->queue, (uint8_t)dy);
    if (m->id == ID_WHEEL) {
        dz = clamp(m->dz, 127);
        ps2_queue_put(&m->queue, (uint8_t)dz);
    } else if (m->id == ID_FIVE_BUTTONS) {
        dz = clamp(m->dz, 7);
        ps2_queue_put(&m->queue, (uint8_t)((dz & 15) | (m->buttons & 0x18) << 1));
    }
    m->dz = m->id == ID_STANDARD ? 0 : m->dz - dz;
    m->reported = m->buttons;
}

static bool mouse_streams(const struct ps2mouse *m)
{
    return m->enabled && !m->remote && !m->wrap;
}

void ps2mouse_move(struct ps2mouse *m, int dx, int dy, int dz)
{
    m->dx = clamp((int64_t)m->dx + dx, MOTION_MAX);
    m->dy = clamp((int64_t)m->dy + dy, MOTION_MAX);
    m->dz = clamp((int64_t)m->dz + dz, MOTION_MAX);
    if (mouse_streams(m) && mouse_has_news(m))
        ps2_ready(&m->port);
}

void ps2mouse_buttons(struct ps2mouse *m, uint8_t buttons)
{
    /* A click shorter than the guest's attention: the press gets a packet of its own. */
    if (mouse_streams(m) && m->buttons != m->reported && ps2_queue_room(&m->queue) >= 16)
        mouse_packet(m);
    m->buttons = buttons & 0x1f;
    if (mouse_streams(m) && mouse_has_news(m))
        ps2_ready(&m->port);
}

static void mouse_forget_motion(struct ps2mouse *m)
{
    m->dx = m->dy = m->dz = 0;
    m->reported = m->buttons;
}

static void mouse_defaults(struct ps2mouse *m)
{
    m->rate = 100;
    m->resolution = 2;
    m->scale2 = m->remote = m->enabled = false;
    mouse_forget_motion(m);
}

/* 200, 100, 80 unlocks the wheel; then 200, 200, 80 the five buttons. */
static void mouse_set_rate(struct ps2mouse *m, uint8_t rate)
{
    m->rate = rate;
    if (m->magic == 2 && rate == 80) {
        if (m->magic_middle == 100)
            m->id = ID_WHEEL;
        else if (m->id == ID_WHEEL)
            m->id = ID_FIVE_BUTTONS;
        m->magic = 0;
    } else if (m->magic == 1 && (rate == 100 || rate == 200)) {
        m->magic_middle = rate;
        m->magic = 2;
    } else {
        m->magic = rate == 200;
    }
}

static void mouse_status(struct ps2mouse *m)
{
    ps2_queue_put(&m->queue,
                  (uint8_t)((m->buttons & 1) << 2 | (m->buttons & 4) >> 1 | (m->buttons & 2) >> 1 |
                            (m->scale2 ? STATUS_SCALE2 : 0) | (m->enabled ? STATUS_ENABLED : 0) |
                            (m->remote ? STATUS_REMOTE : 0)));
    ps2_queue_put(&m->queue, m->resolution);
    ps2_queue_put(&m->queue, m->rate);
}

static void mouse_command(struct ps2mouse *m, uint8_t command)
{
    if (command != CMD_RESEND) {
        ps2_queue_clear(&m->queue);
        ps2_queue_put(&m->queue, REPLY_ACK);
    }
    switch (command) {
    case CMD_SCALE1:
    case CMD_SCALE2:
        m->scale2 = command == CMD_SCALE2;
        break;
    case CMD_RESOLUTION:
    case CMD_RATE:
        m->pending = command;
        break;
    case CMD_STATUS:
        mouse_status(m);
        break;
    case CMD_STREAM:
        m->remote = false;
        mouse_forget_motion(m);
        break;
    case CMD_READ:
        mouse_packet(m);
        break;
    case CMD_WRAP_RESET:
        m->wrap = false;
        break;
    case CMD_WRAP:
        m->wrap = true;
        break;
    case CMD_REMOTE:
        m->remote = true;
        mouse_forget_motion(m);
        break;
    case CMD_IDENTIFY:
        ps2_queue_put(&m->queue, m->id);
        break;
    case CMD_ENABLE:
        m->enabled = true;
        mouse_forget_motion(m);
        break;
    case CMD_DISABLE:
        m->enabled = false;
        break;
    case CMD_DEFAULTS:
        mouse_defaults(m);
        break;
    case CMD_RESEND:
        ps2_queue_put(&m->queue, m->last);
        break;
    case CMD_RESET:
        mouse_defaults(m);
        m->id = ID_STANDARD;
        m->magic = 0;
        m->wrap = false;
        ps2_queue_put(&m->queue, REPLY_BAT_OK);
        ps2_queue_put(&m->queue, m->id);
        break;
    default:
        ps2_queue_clear(&m->queue);
        ps2_queue_put(&m->queue, REPLY_RESEND);
        break;
    }
}

static void mouse_send(void *dev, uint8_t byte)
{
    struct ps2mouse *m = dev;
    uint8_t pending = m->pending;
    m->pending = 0;
    if (m->wrap && byte != CMD_WRAP_RESET && byte != CMD_RESET) {
        ps2_queue_put(&m->queue, byte);
    } else if (pending == CMD_RATE && byte && byte <= 200) {
        mouse_set_rate(m, byte);
        ps2_queue_put(&m->queue, REPLY_ACK);
    } else if (pending == CMD_RESOLUTION && byte < 4) {
        m->resolution = byte;
        ps2_queue_put(&m->queue, REPLY_ACK);
    } else if (pending) {
        ps2_queue_put(&m->queue, REPLY_RESEND);
    } else {
        mouse_command(m, byte);
    }
    ps2_ready(&m->port);
}

static bool mouse_fetch(void *dev, uint8_t *ret_byte)
{
    struct ps2mouse *m = dev;
    if (!m->queue.count && mouse_streams(m) && mouse_has_news(m))
        mouse_packet(m);
    if (!ps2_queue_get(&m->queue, ret_byte))
        return false;
    m->last = *ret_byte;
    return true;
}

struct ps2_port *ps2mouse_port(struct ps2mouse *mouse)
{
    return &mouse->port;
}

static void mouse_reset(void *dev)
{
    struct ps2mouse *m = dev;
    m->buttons = m->reported = 0;
    mouse_defaults(m);
    m->id = ID_STANDARD;
    m->wrap = false;
    m->pending = m->magic = m->magic_middle = m->last = 0;
    ps2_queue_clear(&m->queue);
}

static int mouse_state(void *dev, struct state *s)
{
    struct ps2mouse *m = dev;
    state_bytes(s, "queue", m->queue.bytes, PS2_QUEUE_BYTES);
    state_u8(s, "queue_head", &m->queue.head);
    state_u8(s, "queue_count", &m->queue.count);
    state_u8(s, "id", &m->id);
    state_u8(s, "rate", &m->rate);
    state_u8(s, "resolution", &m->resolution);
    state_bool(s, "enabled", &m->enabled);
    state_bool(s, "remote", &m->remote);
    state_bool(s, "wrap", &m->wrap);
    state_bool(s, "scale2", &m->scale2);
    state_u8(s, "pending", &m->pending);
    state_u8(s, "magic", &m->magic);
    state_u8(s, "magic_middle", &m->magic_middle);
    state_u8(s, "last", &m->last);
    state_u8(s, "buttons", &m->buttons);
    state_u8(s, "reported", &m->reported);
    state_u32(s, "dx", (uint32_t *)&m->dx);
    state_u32(s, "dy", (uint32_t *)&m->dy);
    state_u32(s, "dz", (uint32_t *)&m->dz);
    state_check(s, m->queue.head < PS2_QUEUE_BYTES && m->queue.count <= PS2_QUEUE_BYTES &&
                       m->dx == clamp(m->dx, MOTION_MAX) && m->dy == clamp(m->dy, MOTION_MAX) &&
                       m->dz == clamp(m->dz, MOTION_MAX));
    return state_error(s);
}

static void mouse_free(void *dev)
{
    free(dev);
}

const struct dev_ops ps2mouse_dev_ops = {.name = "ps2mouse",
                                         .version = 1,
                                         .reset = mouse_reset,
                                         .state = mouse_state,
                                         .free = mouse_free};

int ps2mouse_new(struct ps2mouse **ret_mouse)
{
    struct ps2mouse *m = calloc(1, sizeof(*m));
    if (!m)
        return -ENOMEM;
    m->port = (struct ps2_port){.send = mouse_send, .fetch = mouse_fetch, .dev = m};
    mouse_reset(m);
    *ret_mouse = m;
    return 0;
}
