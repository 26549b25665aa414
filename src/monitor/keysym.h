/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys as X11 and RFB number them.
 */
#ifndef MONITOR_KEYSYM_H
#define MONITOR_KEYSYM_H

#include "hw/core/keys.h"

/* The key of a US keyboard that bears keysym, whatever modifiers are down; KEY_NONE: none does. */
enum key keysym_key(uint32_t keysym);

#endif
