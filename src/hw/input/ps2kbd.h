/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 keyboard.
 */
#ifndef HW_INPUT_PS2KBD_H
#define HW_INPUT_PS2KBD_H

#include "hw/core/device.h"
#include "hw/core/keys.h"
#include "hw/core/ps2.h"

struct ps2kbd;

struct ps2kbd_env {
    /* The guest set the lights: bit 0 scroll lock, 1 num lock, 2 caps lock. May be NULL. */
    void (*leds)(void *ctx, uint8_t leds);
    void *ctx;
};

extern const struct dev_ops ps2kbd_dev_ops;

/* -ENOMEM. */
int ps2kbd_new(const struct ps2kbd_env *env, struct ps2kbd **ret_kbd);
/* The plug for i8042_new(); the controller fills in its half. */
struct ps2_port *ps2kbd_port(struct ps2kbd *kbd);

/* A key goes down or up. -EINVAL: no such key; -EAGAIN: the guest has not read what was typed
 * before, try again later (nothing was done). */
int ps2kbd_key(struct ps2kbd *kbd, enum key key, bool down);
uint8_t ps2kbd_leds(const struct ps2kbd *kbd);

#endif
