/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs of `yado vm` that have files of their own.
 */
#ifndef CLI_VM_H
#define CLI_VM_H

#include "cli/remote.h"

/* Until Ctrl-] is typed, the input ends or the machine does. */
int vm_serial(struct remote *r);
/* For one VNC viewer on this host, until it goes. */
int vm_screen(struct remote *r);

#endif
