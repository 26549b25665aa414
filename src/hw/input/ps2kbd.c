/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PS/2 keyboard, 105 keys and the multimedia ones, scan code sets 1 and 2.
 * IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)".
 *
 * Left out: scan code set 3 (a request for it is refused with Resend) and typematic repeat, which
 * is the business of whoever injects keys: a held key on a host repeats by itself.
 */
#include "hw/input/ps2kbd.h"

#include <errno.h>

enum {
    REPLY_ACK = 0xfa,
    REPLY_RESEND = 0xfe,
    REPLY_BAT_OK = 0xaa,
    REPLY_ECHO = 0xee,
    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SCAN_SET = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_TYPEMATIC = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_ALL_FIRST = 0xf7, /* to 0xfa: typematic and make/break for all keys (set 3) */
    CMD_ALL_LAST = 0xfa,
    CMD_KEY_FIRST = 0xfb, /* to 0xfd: the same for one key, named by the next byte */
    CMD_KEY_LAST = 0xfd,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,
};

/* Room kept for replies to commands: keys may fill the rest of the queue. */
#define REPLY_ROOM 8

struct ps2kbd {
    struct ps2kbd_env env;
    struct ps2_port port;
    struct ps2_queue queue;
    bool scanning;
    uint8_t scan_set;
    uint8_t leds;
    uint8_t pending; /* command that waits for its argument, 0: none */
    uint8_t last;    /* last byte sent, for Resend */
    uint8_t modifiers;
};

enum { MOD_ALT = 1, MOD_ALT_R = 2, MOD_CTRL = 4, MOD_CTRL_R = 8 };

/* Set 2 to set 1: make codes of the plain keys. 0: none. */
static const uint8_t set1_codes[0x84] = {
    [0x01] = 0x43, [0x03] = 0x3f, [0x04] = 0x3d, [0x05] = 0x3b, [0x06] = 0x3c, [0x07] = 0x58,
    [0x09] = 0x44, [0x0a] = 0x42, [0x0b] = 0x40, [0x0c] = 0x3e, [0x0d] = 0x0f, [0x0e] = 0x29,
    [0x0f] = 0x59, [0x11] = 0x38, [0x12] = 0x2a, [0x13] = 0x70, [0x14] = 0x1d, [0x15] = 0x10,
    [0x16] = 0x02, [0x1a] = 0x2c, [0x1b] = 0x1f, [0x1c] = 0x1e, [0x1d] = 0x11, [0x1e] = 0x03,
    [0x1f] = 0x5b, [0x21] = 0x2e, [0x22] = 0x2d, [0x23] = 0x20, [0x24] = 0x12, [0x25] = 0x05,
    [0x26] = 0x04, [0x27] = 0x5c, [0x29] = 0x39, [0x2a] = 0x2f, [0x2b] = 0x21, [0x2c] = 0x14,
    [0x2d] = 0x13, [0x2e] = 0x06, [0x2f] = 0x5d, [0x31] = 0x31, [0x32] = 0x30, [0x33] = 0x23,
    [0x34] = 0x22, [0x35] = 0x15, [0x36] = 0x07, [0x37] = 0x5e, [0x3a] = 0x32, [0x3b] = 0x24,
    [0x3c] = 0x16, [0x3d] = 0x08, [0x3e] = 0x09, [0x3f] = 0x5f, [0x41] = 0x33, [0x42] = 0x25,
    [0x43] = 0x17, [0x44] = 0x18, [0x45] = 0x0b, [0x46] = 0x0a, [0x49] = 0x34, [0x4a] = 0x35,
    [0x4b] = 0x26, [0x4c] = 0x27, [0x4d] = 0x19, [0x4e] = 0x0c, [0x51] = 0x73, [0x52] = 0x28,
    [0x54] = 0x1a, [0x55] = 0x0d, [0x58] = 0x3a, [0x59] = 0x36, [0x5a] = 0x1c, [0x5b] = 0x1b,
    [0x5d] = 0x2b, [0x5e] = 0x63, [0x61] = 0x56, [0x64] = 0x79, [0x66] = 0x0e, [0x67] = 0x7b,
    [0x69] = 0x4f, [0x6a] = 0x7d, [0x6b] = 0x4b, [0x6c] = 0x47, [0x6d] = 0x7e, [0x70] = 0x52,
    [0x71] = 0x53, [0x72] = 0x50, [0x73] = 0x4c, [0x74] = 0x4d, [0x75] = 0x48, [0x76] = 0x01,
    [0x77] = 0x45, [0x78] = 0x57, [0x79] = 0x4e, [0x7a] = 0x51, [0x7b] = 0x4a, [0x7c] = 0x37,
    [0x7d] = 0x49, [0x7e] = 0x46, [0x83] = 0x41,
};

/* Codes of set 1 that are no translation of set 2 of the same row (the media keys). */
static uint8_t set1_code(uint16_t set2)
{
    switch (set2) {
    case 0xe032:
        return 0x30;
    case 0xe021:
        return 0x2e;
    case 0xe023:
        return 0x20;
    case 0xe034:
        return 0x22;
    case 0xe03b:
        return 0x24;
    case 0xe04d:
        return 0x19;
    case 0xe015:
        return 0x10;
    case 0x84:
        return 0x54;
    default:
        return set1_codes[(set2 & 0xff) % sizeof(set1_codes)];
    }
}

static void kbd_put(struct ps2kbd *kbd, uint8_t byte)
{
    ps2_queue_put(&kbd->queue, byte);
}

/* One make or break code in the present set. */
static void kbd_code(struct ps2kbd *kbd, uint16_t set2, bool down)
{
    if (set2 >> 8 == 0xe0)
        kbd_put(kbd, 0xe0);
    if (kbd->scan_set == 1) {
        kbd_put(kbd, set1_code(set2) | (down ? 0 : 0x80));
        return;
    }
    if (!down)
        kbd_put(kbd, 0xf0);
    kbd_put(kbd, set2 & 0xff);
}

static void kbd_pause(struct ps2kbd *kbd)
{
    static const uint8_t set1[] = {0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5};
    static const uint8_t set2[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    if (kbd->modifiers & (MOD_CTRL | MOD_CTRL_R)) { /* Break */
        kbd_code(kbd, 0xe07e, true);
        kbd_code(kbd, 0xe07e, false);
    } else if (kbd->scan_set == 1) {
        for (unsigned i = 0; i < sizeof(set1); i++)
            kbd_put(kbd, set1[i]);
    } else {
        for (unsigned i = 0; i < sizeof(set2); i++)
            kbd_put(kbd, set2[i]);
    }
}

static void kbd_print(struct ps2kbd *kbd, bool down)
{
    if (kbd->modifiers & (MOD_ALT | MOD_ALT_R)) { /* SysRq */
        kbd_code(kbd, 0x84, down);
    } else if (down) {
        kbd_code(kbd, 0xe012, true);
        kbd_code(kbd, 0xe07c, true);
    } else {
        kbd_code(kbd, 0xe07c, false);
        kbd_code(kbd, 0xe012, false);
    }
}

static void kbd_modifier(struct ps2kbd *kbd, enum key key, bool down)
{
    uint8_t bit = key == KEY_alt      ? MOD_ALT
                  : key == KEY_alt_r  ? MOD_ALT_R
                  : key == KEY_ctrl   ? MOD_CTRL
                  : key == KEY_ctrl_r ? MOD_CTRL_R
                                      : 0;
    kbd->modifiers = down ? kbd->modifiers | bit : kbd->modifiers & ~bit;
}

int ps2kbd_key(struct ps2kbd *kbd, enum key key, bool down)
{
    uint16_t code = key_set2(key);
    if (!code)
        return -EINVAL;
    if (kbd->scanning && ps2_queue_room(&kbd->queue) < REPLY_ROOM + 8)
        return -EAGAIN;
    kbd_modifier(kbd, key, down);
    if (!kbd->scanning)
        return 0;
    if (key == KEY_print)
        kbd_print(kbd, down);
    else if (key != KEY_pause)
        kbd_code(kbd, code, down);
    else if (down) /* it has no break code */
        kbd_pause(kbd);
    ps2_ready(&kbd->port);
    return 0;
}

uint8_t ps2kbd_leds(const struct ps2kbd *kbd)
{
    return kbd->leds;
}

static void kbd_set_leds(struct ps2kbd *kbd, uint8_t leds)
{
    kbd->leds = leds & 7;
    if (kbd->env.leds)
        kbd->env.leds(kbd->env.ctx, kbd->leds);
}

static void kbd_defaults(struct ps2kbd *kbd)
{
    kbd->scan_set = 2;
    kbd->pending = 0;
}

/* The byte after a command that takes one. */
static void kbd_argument(struct ps2kbd *kbd, uint8_t command, uint8_t byte)
{
    switch (command) {
    case CMD_LEDS:
        kbd_set_leds(kbd, byte);
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_SCAN_SET:
        if (byte > 2) {
            kbd_put(kbd, REPLY_RESEND);
            break;
        }
        kbd_put(kbd, REPLY_ACK);
        if (byte)
            kbd->scan_set = byte;
        else
            kbd_put(kbd, kbd->scan_set);
        break;
    default: /* typematic rate; a key of set 3 */
        kbd_put(kbd, REPLY_ACK);
        break;
    }
}

static void kbd_command(struct ps2kbd *kbd, uint8_t command)
{
    if (command != CMD_RESEND)
        ps2_queue_clear(&kbd->queue); /* a command ends what was being sent */
    switch (command) {
    case CMD_LEDS:
    case CMD_SCAN_SET:
    case CMD_TYPEMATIC:
    case CMD_KEY_FIRST ... CMD_KEY_LAST:
        kbd->pending = command;
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_ECHO:
        kbd_put(kbd, REPLY_ECHO);
        break;
    case CMD_IDENTIFY:
        kbd_put(kbd, REPLY_ACK);
        kbd_put(kbd, 0xab);
        kbd_put(kbd, 0x83);
        break;
    case CMD_ENABLE:
        kbd->scanning = true;
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_DISABLE:
        kbd_defaults(kbd);
        kbd->scanning = false;
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_DEFAULTS:
        kbd_defaults(kbd);
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_ALL_FIRST ... CMD_ALL_LAST:
        kbd_put(kbd, REPLY_ACK);
        break;
    case CMD_RESEND:
        kbd_put(kbd, kbd->last);
        break;
    case CMD_RESET:
        kbd_defaults(kbd);
        kbd_set_leds(kbd, 0);
        kbd->scanning = true;
        kbd_put(kbd, REPLY_ACK);
        kbd_put(kbd, REPLY_BAT_OK);
        break;
    default:
        kbd_put(kbd, REPLY_RESEND);
        break;
    }
}

static void kbd_send(void *dev, uint8_t byte)
{
    struct ps2kbd *kbd = dev;
    uint8_t pending = kbd->pending;
    kbd->pending = 0;
    /* A command in place of an argument is taken as a command (LEDs: reference, "Set/Reset
     * Status Indicators"). */
    if (pending && byte < CMD_LEDS)
        kbd_argument(kbd, pending, byte);
    else
        kbd_command(kbd, byte);
    ps2_ready(&kbd->port);
}

static bool kbd_fetch(void *dev, uint8_t *ret_byte)
{
    struct ps2kbd *kbd = dev;
    if (!ps2_queue_get(&kbd->queue, ret_byte))
        return false;
    if (*ret_byte != REPLY_RESEND)
        kbd->last = *ret_byte;
    return true;
}

struct ps2_port *ps2kbd_port(struct ps2kbd *kbd)
{
    return &kbd->port;
}

static void kbd_reset(void *dev)
{
    struct ps2kbd *kbd = dev;
    kbd_defaults(kbd);
    kbd->scanning = true;
    kbd->last = 0;
    kbd->modifiers = 0;
    ps2_queue_clear(&kbd->queue);
    kbd_set_leds(kbd, 0);
}

static int kbd_state(void *dev, struct state *s)
{
    struct ps2kbd *kbd = dev;
    state_bytes(s, "queue", kbd->queue.bytes, PS2_QUEUE_BYTES);
    state_u8(s, "queue_head", &kbd->queue.head);
    state_u8(s, "queue_count", &kbd->queue.count);
    state_bool(s, "scanning", &kbd->scanning);
    state_u8(s, "scan_set", &kbd->scan_set);
    state_u8(s, "leds", &kbd->leds);
    state_u8(s, "pending", &kbd->pending);
    state_u8(s, "last", &kbd->last);
    state_u8(s, "modifiers", &kbd->modifiers);
    state_check(s, kbd->queue.head < PS2_QUEUE_BYTES && kbd->queue.count <= PS2_QUEUE_BYTES &&
                       (kbd->scan_set == 1 || kbd->scan_set == 2));
    if (state_loading(s) && !state_error(s))
        kbd_set_leds(kbd, kbd->leds);
    return state_error(s);
}

static void kbd_free(void *dev)
{
    free(dev);
}

const struct dev_ops ps2kbd_dev_ops = {
    .name = "ps2kbd", .version = 1, .reset = kbd_reset, .state = kbd_state, .free = kbd_free};

int ps2kbd_new(const struct ps2kbd_env *env, struct ps2kbd **ret_kbd)
{
    struct ps2kbd *kbd = calloc(1, sizeof(*kbd));
    if (!kbd)
        return -ENOMEM;
    if (env)
        kbd->env = *env;
    kbd->port = (struct ps2_port){.send = kbd_send, .fetch = kbd_fetch, .dev = kbd};
    kbd_reset(kbd);
    *ret_kbd = kbd;
    return 0;
}
