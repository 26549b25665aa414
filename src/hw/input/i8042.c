/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 8042 keyboard and auxiliary device controller with PS/2 firmware.
 * IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller" (S68X-2330), pages 1 to 26.
 *
 * Left out: the password commands a4 to a6 (no password is installed), the test mode inputs and
 * pulses of output bits other than reset.
 */
#include "hw/input/i8042.h"

#include <errno.h>
#include <string.h>

enum {
    STATUS_OBF = 0x01,
    STATUS_SYSTEM = 0x04,
    STATUS_COMMAND = 0x08,
    STATUS_UNLOCKED = 0x10,
    STATUS_AUX = 0x20,
    CCB_INT_KBD = 0x01,
    CCB_INT_AUX = 0x02,
    CCB_SYSTEM = 0x04,
    CCB_DISABLE_KBD = 0x10,
    CCB_DISABLE_AUX = 0x20,
    CCB_TRANSLATE = 0x40,
    OUT_RESET = 0x01, /* active low */
    OUT_A20 = 0x02,
    OUT_IRQ1 = 0x10,
    OUT_IRQ12 = 0x20,
};

/* A byte takes about a millisecond on the cable. Guests that read twice in one interrupt rely on
 * the next one not being there yet; nobody minds that it comes sooner than on the real wire. */
#define BYTE_NS 250000

struct i8042 {
    struct i8042_env env;
    uint8_t ram[32]; /* byte 0 is the command byte */
    uint8_t status, output, outport;
    uint8_t command;    /* waits for a byte at 0x60; 0: none */
    bool reply_waiting; /* the controller's own answer, until the output buffer is free */
    uint8_t reply;
    bool reply_aux;
    bool break_prefix; /* translation has seen f0 */
    bool busy;         /* the next byte is still on the cable */
    struct timer timer;
};

/* Scan code translation, set 2 to set 1 (table of the reference; codes from 0x80 on that are not
 * listed pass unchanged). */
static const uint8_t translation[0x80] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59,
    0x65, 0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b,
    0x67, 0x2e, 0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d,
    0x69, 0x31, 0x30, 0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f,
    0x6b, 0x33, 0x25, 0x17, 0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61,
    0x6d, 0x73, 0x28, 0x74, 0x1a, 0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76,
    0x55, 0x56, 0x77, 0x78, 0x79, 0x7a, 0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f,
    0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01, 0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54,
};

static void kbc_update(struct i8042 *kbc)
{
    bool full = kbc->status & STATUS_OBF, aux = kbc->status & STATUS_AUX;
    bool irq1 = full && !aux, irq12 = full && aux;
    kbc->outport =
        (kbc->outport & ~(OUT_IRQ1 | OUT_IRQ12)) | (irq1 ? OUT_IRQ1 : 0) | (irq12 ? OUT_IRQ12 : 0);
    line_set(&kbc->env.irq_kbd, irq1 && kbc->ram[0] & CCB_INT_KBD);
    line_set(&kbc->env.irq_aux, irq12 && kbc->ram[0] & CCB_INT_AUX);
}

static void kbc_output(struct i8042 *kbc, uint8_t byte, bool aux)
{
    kbc->output = byte;
    kbc->status = (kbc->status & ~STATUS_AUX) | STATUS_OBF | (aux ? STATUS_AUX : 0);
    kbc_update(kbc);
}

/* False: the byte is a prefix, kept for the next one. */
static bool kbc_translate(struct i8042 *kbc, uint8_t *byte)
{
    if (!(kbc->ram[0] & CCB_TRANSLATE))
        return true;
    if (*byte == 0xf0) {
        kbc->break_prefix = true;
        return false;
    }
    if (*byte < 0x80)
        *byte = translation[*byte];
    else if (*byte == 0x83)
        *byte = 0x41;
    else if (*byte == 0x84)
        *byte = 0x54;
    if (kbc->break_prefix && *byte < 0x80)
        *byte |= 0x80;
    kbc->break_prefix = false;
    return true;
}

/* Fill the output buffer from whoever has something to say. */
static void kbc_pull(struct i8042 *kbc)
{
    uint8_t byte;
    if (kbc->status & STATUS_OBF)
        return;
    if (kbc->reply_waiting) {
        kbc->reply_waiting = false;
        kbc_output(kbc, kbc->reply, kbc->reply_aux);
        return;
    }
    if (kbc->busy)
        return;
    while (!(kbc->ram[0] & CCB_DISABLE_KBD) && kbc->env.kbd &&
           kbc->env.kbd->fetch(kbc->env.kbd->dev, &byte)) {
        if (!kbc_translate(kbc, &byte))
            continue;
        kbc_output(kbc, byte, false);
        return;
    }
    if (!(kbc->ram[0] & CCB_DISABLE_AUX) && kbc->env.aux &&
        kbc->env.aux->fetch(kbc->env.aux->dev, &byte))
        kbc_output(kbc, byte, true);
}

static void kbc_ready(void *controller)
{
    kbc_pull(controller);
}

static void kbc_byte_arrived(void *ctx)
{
    struct i8042 *kbc = ctx;
    kbc->busy = false;
    kbc_pull(kbc);
}

static void kbc_reply(struct i8042 *kbc, uint8_t byte, bool aux)
{
    kbc->reply = byte;
    kbc->reply_aux = aux;
    kbc->reply_waiting = true;
    kbc_pull(kbc);
}

static void kbc_pull_reset(struct i8042 *kbc)
{
    if (kbc->env.reset)
        kbc->env.reset(kbc->env.reset_ctx);
}

static void kbc_set_outport(struct i8042 *kbc, uint8_t value)
{
    kbc->outport = (kbc->outport & (OUT_IRQ1 | OUT_IRQ12)) | (value & ~(OUT_IRQ1 | OUT_IRQ12));
    line_set(&kbc->env.a20, value & OUT_A20);
    if (!(value & OUT_RESET))
        kbc_pull_reset(kbc);
}

static void kbc_set_ram(struct i8042 *kbc, unsigned index, uint8_t value)
{
    kbc->ram[index] = value;
    if (index)
        return;
    kbc->status = (kbc->status & ~STATUS_SYSTEM) | (value & CCB_SYSTEM ? STATUS_SYSTEM : 0);
    kbc_update(kbc);
    kbc_pull(kbc); /* a device may have been enabled */
}

static void kbc_command(struct i8042 *kbc, uint8_t command)
{
    kbc->command = 0;
    switch (command) {
    case 0x20 ... 0x3f:
        kbc_reply(kbc, kbc->ram[command & 0x1f], false);
        break;
    case 0x60 ... 0x7f:
    case 0xd1: /* write output port */
    case 0xd2: /* write keyboard output buffer */
    case 0xd3: /* write auxiliary output buffer */
    case 0xd4: /* write to the auxiliary device */
        kbc->command = command;
        break;
    case 0xa4: /* password installed? no */
        kbc_reply(kbc, 0xf1, false);
        break;
    case 0xa7:
        kbc_set_ram(kbc, 0, kbc->ram[0] | CCB_DISABLE_AUX);
        break;
    case 0xa8:
        kbc_set_ram(kbc, 0, kbc->ram[0] & ~CCB_DISABLE_AUX);
        break;
    case 0xa9: /* interface tests: no error */
    case 0xab:
        kbc_reply(kbc, 0x00, false);
        break;
    case 0xaa: /* self-test */
        kbc_set_ram(kbc, 0, kbc->ram[0] | CCB_SYSTEM);
        kbc_reply(kbc, 0x55, false);
        break;
    case 0xad:
        kbc_set_ram(kbc, 0, kbc->ram[0] | CCB_DISABLE_KBD);
        break;
    case 0xae:
        kbc_set_ram(kbc, 0, kbc->ram[0] & ~CCB_DISABLE_KBD);
        break;
    case 0xc0: /* input port: not locked, colour display, jumper not installed */
        kbc_reply(kbc, 0xa0, false);
        break;
    case 0xd0:
        kbc_reply(kbc, kbc->outport, false);
        break;
    case 0xdd: /* not IBM's, but HIMEM's and Linux's: A20 off, on */
        kbc_set_outport(kbc, kbc->outport & ~OUT_A20);
        break;
    case 0xdf:
        kbc_set_outport(kbc, kbc->outport | OUT_A20);
        break;
    case 0xe0: /* test inputs: both clocks high unless held by a disabled interface */
        kbc_reply(kbc,
                  (kbc->ram[0] & CCB_DISABLE_KBD ? 0 : 1) | (kbc->ram[0] & CCB_DISABLE_AUX ? 0 : 2),
                  false);
        break;
    case 0xf0 ... 0xff: /* pulse output bits low */
        if (!(command & OUT_RESET))
            kbc_pull_reset(kbc);
        break;
    default:
        break;
    }
}

static void kbc_write_data(struct i8042 *kbc, uint8_t value)
{
    uint8_t command = kbc->command;
    kbc->command = 0;
    switch (command) {
    case 0x60 ... 0x7f:
        kbc_set_ram(kbc, command & 0x1f, value);
        break;
    case 0xd1:
        kbc_set_outport(kbc, value);
        break;
    case 0xd2:
        kbc_reply(kbc, value, false);
        break;
    case 0xd3:
        kbc_reply(kbc, value, true);
        break;
    case 0xd4:
        kbc_set_ram(kbc, 0, kbc->ram[0] & ~CCB_DISABLE_AUX);
        if (kbc->env.aux)
            kbc->env.aux->send(kbc->env.aux->dev, value);
        break;
    default: /* to the keyboard, which enables its interface */
        kbc->break_prefix = false;
        kbc_set_ram(kbc, 0, kbc->ram[0] & ~CCB_DISABLE_KBD);
        if (kbc->env.kbd)
            kbc->env.kbd->send(kbc->env.kbd->dev, value);
        break;
    }
}

static uint64_t data_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    struct i8042 *kbc = dev;
    uint8_t value = kbc->output;
    if (kbc->status & STATUS_OBF) {
        kbc->status &= ~(STATUS_OBF | STATUS_AUX);
        kbc_update(kbc);
        if (!kbc->reply_waiting) {
            kbc->busy = true;
            timer_set(&kbc->timer, clock_now_ns(kbc->env.clock) + BYTE_NS);
        }
        kbc_pull(kbc);
    }
    return value;
}

static void data_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset;
    (void)size;
    struct i8042 *kbc = dev;
    kbc->status &= ~STATUS_COMMAND;
    kbc_write_data(kbc, (uint8_t)value);
}

static uint64_t command_read(void *dev, uint64_t offset, unsigned size)
{
    (void)offset;
    (void)size;
    return ((struct i8042 *)dev)->status | STATUS_UNLOCKED;
}

static void command_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)offset;
    (void)size;
    struct i8042 *kbc = dev;
    kbc->status |= STATUS_COMMAND;
    kbc_command(kbc, (uint8_t)value);
}

static void kbc_reset(void *dev)
{
    struct i8042 *kbc = dev;
    timer_cancel(&kbc->timer);
    memset(kbc->ram, 0, sizeof(kbc->ram));
    kbc->ram[0] = CCB_INT_KBD | CCB_INT_AUX;
    kbc->status = 0;
    kbc->output = kbc->reply = kbc->command = 0;
    kbc->reply_waiting = kbc->reply_aux = kbc->break_prefix = kbc->busy = false;
    kbc->outport = OUT_RESET | OUT_A20; /* inputs are pulled up */
    kbc_update(kbc);
    line_set(&kbc->env.a20, true);
}

static int kbc_state(void *dev, struct state *s)
{
    struct i8042 *kbc = dev;
    state_bytes(s, "ram", kbc->ram, sizeof(kbc->ram));
    state_u8(s, "status", &kbc->status);
    state_u8(s, "output", &kbc->output);
    state_u8(s, "outport", &kbc->outport);
    state_u8(s, "command", &kbc->command);
    state_bool(s, "reply_waiting", &kbc->reply_waiting);
    state_u8(s, "reply", &kbc->reply);
    state_bool(s, "reply_aux", &kbc->reply_aux);
    state_bool(s, "break_prefix", &kbc->break_prefix);
    state_bool(s, "busy", &kbc->busy);
    state_timer(s, "timer", &kbc->timer);
    if (state_loading(s) && !state_error(s)) {
        line_set(&kbc->env.a20, kbc->outport & OUT_A20);
        kbc_update(kbc);
    }
    return state_error(s);
}

static void kbc_free(void *dev)
{
    struct i8042 *kbc = dev;
    timer_cancel(&kbc->timer);
    free(kbc);
}

const struct dev_ops i8042_dev_ops = {
    .name = "i8042", .version = 1, .reset = kbc_reset, .state = kbc_state, .free = kbc_free};

const struct io_ops i8042_data_io = {
    .name = "i8042-data", .min_size = 1, .max_size = 1, .read = data_read, .write = data_write};
const struct io_ops i8042_command_io = {.name = "i8042-command",
                                        .min_size = 1,
                                        .max_size = 1,
                                        .read = command_read,
                                        .write = command_write};

int i8042_new(const struct i8042_env *env, struct i8042 **ret_kbc)
{
    struct i8042 *kbc = calloc(1, sizeof(*kbc));
    if (!kbc)
        return -ENOMEM;
    kbc->env = *env;
    timer_init(&kbc->timer, env->clock, kbc_byte_arrived, kbc);
    struct ps2_port *ports[] = {env->kbd, env->aux};
    for (int i = 0; i < 2; i++)
        if (ports[i]) {
            ports[i]->ready = kbc_ready;
            ports[i]->controller = kbc;
        }
    kbc_reset(kbc);
    *ret_kbc = kbc;
    return 0;
}
