/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PS/2 mouse with wheel and five buttons.
 */
#ifndef HW_INPUT_PS2MOUSE_H
#define HW_INPUT_PS2MOUSE_H

#include "hw/core/device.h"
#include "hw/core/ps2.h"

struct ps2mouse;

enum { MOUSE_LEFT = 1, MOUSE_RIGHT = 2, MOUSE_MIDDLE = 4, MOUSE_SIDE = 8, MOUSE_EXTRA = 16 };

extern const struct dev_ops ps2mouse_dev_ops;

/* -ENOMEM. */
int ps2mouse_new(struct ps2mouse **ret_mouse);
/* The plug for i8042_new(). */
struct ps2_port *ps2mouse_port(struct ps2mouse *mouse);

/* Moved right by dx, down by dy (as screens count), wheel towards the user by dz. Motion that the
 * guest has not fetched yet adds up. */
void ps2mouse_move(struct ps2mouse *mouse, int dx, int dy, int dz);
/* The buttons that are down now. */
void ps2mouse_buttons(struct ps2mouse *mouse, uint8_t buttons);

#endif
