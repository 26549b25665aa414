/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Has somebody this address already? RFC 5227, 2.1.1: ARP probes, which say nothing of ourselves and
 * change nobody's tables; whoever sends an ARP packet with the address as its own has it. Fewer and
 * sooner than a host sends for itself: a client waits, and what is probed is one switch.
 */
#ifndef SERVICES_PROBE_H
#define SERVICES_PROBE_H

#include "services/stack.h"

#define PROBES_MAX 32u
/* From the first probe to the answer that nobody has it. */
#define PROBE_NS (300 * NS_PER_SEC / 1000)

struct probe;

/* The question in this slot is answered. */
typedef void probe_done(void *ctx, unsigned slot, bool taken);

/* One for a stack, which stays the caller's, as the clock. -ENOMEM. */
int probe_new(struct stack *stack, struct clock *clock, probe_done *done, void *ctx,
              struct probe **ret_probe);
/* NULL is fine. Always returns NULL. */
struct probe *probe_free(struct probe *p);
/* Ask in a slot (below PROBES_MAX), in place of what was asked there. The adapter `whom` may have the
 * address. */
void probe_start(struct probe *p, unsigned slot, struct in_addr address, const uint8_t *whom);

#endif
