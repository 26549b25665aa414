/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process may ask the kernel for once everything is open: seccomp(2), through libseccomp.
 * Whoever takes it over by a frame may do what a virtual network does and nothing else.
 */
#ifndef NETWORK_SANDBOX_H
#define NETWORK_SANDBOX_H

#include "base/error.h"

struct sandbox_needs {
    bool sockets;    /* of its own in the host's network: NAT, questions to name servers */
    bool keeper;     /* wait for the process that cleans up to end */
    bool forwarding; /* ports of the host, also those below 1024 if it may have them now */
};

/*
 * For all threads of the process, for good: give up capabilities, and be killed (SIGSYS) at a
 * system call that is not in the list. -errno with text when the kernel cannot.
 */
int sandbox_enter(const struct sandbox_needs *needs, struct error *err);

#endif
