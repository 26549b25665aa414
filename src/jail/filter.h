/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a virtual machine's process (seccomp(2), libseccomp).
 */
#ifndef JAIL_FILTER_H
#define JAIL_FILTER_H

#include <stdbool.h>

/*
 * From now on this process, and what it executes, may use the calls of a machine. What nothing
 * harmless would try ends the process; what is in neither list is answered ENOSYS, as by an older
 * kernel. wire: packet sockets too. -errno; PR_SET_NO_NEW_PRIVS must be set.
 */
int filter_load(bool wire);

#endif
