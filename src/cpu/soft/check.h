/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lockstep: each translated block is run by T0, undone, run by T1, and what they did is compared:
 * registers, stores, faults, and what they asked of devices. Devices are asked once, by T0; T1
 * is given the same answers. The first difference stops the machine with a report.
 */
#ifndef CPU_SOFT_CHECK_H
#define CPU_SOFT_CHECK_H

#include "cpu/soft/block.h"

struct check;

/* -ENOMEM. */
int check_new(uint64_t seed, struct check **ret_check);
void check_free(struct check *check);

/* Run a block that has code, on both tiers. */
void check_block(struct cpu *c, struct block *b);
/* The report of a difference; NULL when there was none. */
const char *check_report(const struct check *check);

/* ---- what the memory and device paths of both tiers tell and ask ---- */

/* May this entry of the TLB give out the page for stores? */
bool check_may_store(struct check *k, struct tlb_entry *entry, const uint8_t *host_page);
/* T0 is about to store. */
void check_store(struct check *k, uint8_t *host, unsigned size);

/* A question to the world outside the CPU. */
enum check_ask {
    ASK_MMIO_READ,
    ASK_MMIO_WRITE,
    ASK_PIO_READ,
    ASK_PIO_WRITE,
    ASK_APIC_READ,
    ASK_APIC_WRITE,
    ASK_TPR,
    ASK_FERR,
    ASK_TSC,
};
/*
 * True: T1 asks, and *value (in: what is written, out: the answer) has been given what T0 got.
 * False: ask yourself, and then tell by check_answer().
 */
bool check_ask(struct check *k, enum check_ask what, uint64_t at, uint64_t *value);
void check_answer(struct check *k, enum check_ask what, uint64_t at, uint64_t in, uint64_t out);

#endif
