/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The yado-net of a network: found by its control socket when it runs already, started when it does
 * not, and started again when it ends. A network whose process ends at once is tried again ever
 * more seldom, and says why.
 */
#ifndef SERVER_NETWORK_PROCESS_H
#define SERVER_NETWORK_PROCESS_H

#include "server/networks.h"

/* Find or start it; what goes wrong stands in n->problem. */
void network_process_start(struct network *n);
/* Its definition is another: it is told, or started again where it cannot change so. */
void network_process_configure(struct network *n);
/* End it for good. */
void network_process_end(struct network *n);
/* Let go of it; it goes on. */
void network_process_forget(struct network *n);
int network_process_call(struct network *n, const char *command, json_t *arguments,
                         channel_done *done, void *ctx);

#endif
