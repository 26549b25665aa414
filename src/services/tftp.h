/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of a folder by TFTP, for firmware that boots from the network: RFC 1350 (protocol), 2347
 * (options), 2348 (block size), 2349 (time-out, size of the file), 7440 (window). Reading in mode
 * "octet" only; nobody writes.
 */
#ifndef SERVICES_TFTP_H
#define SERVICES_TFTP_H

#include "services/stack.h"

#define TFTP_TRANSFERS_MAX 64u
#define TFTP_TRANSFERS_EACH 8u /* of one adapter */

struct tftp;

/* Serve the folder's files on the stack; both stay the caller's. -ENOMEM. */
int tftp_new(int folder_fd, struct stack *stack, struct clock *clock, struct tftp **ret_tftp);
/* Ends all transfers. NULL is fine. Always returns NULL. */
struct tftp *tftp_free(struct tftp *t);

#endif
