/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The high precision event timer.
 */
#ifndef HW_TIMER_HPET_H
#define HW_TIMER_HPET_H

#include "hw/core/device.h"
#include "hw/core/msi.h"

#define HPET_BASE 0xfed00000u
#define HPET_BYTES 0x400u
#define HPET_TIMERS 3
#define HPET_TICK_NS 10
#define HPET_ID 0x8086a201u /* low half of the capabilities, for the ACPI table */

struct hpet;

struct hpet_env {
    struct clock *clock;
    /* With legacy replacement the HPET drives IRQ 0 and IRQ 8; else it passes on what the 8254
     * and the RTC say (hpet_legacy_in()). */
    struct line irq0, irq8;
    /* Pins 20 to 23 of the IOAPIC. */
    void (*pin)(void *ctx, unsigned n, bool level);
    void *ctx;
    struct msi_sink msi;
    uint16_t source; /* as which its messages come */
};

extern const struct dev_ops hpet_dev_ops;
/* Registers: HPET_BYTES at HPET_BASE. */
extern const struct io_ops hpet_io;

/* -ENOMEM. */
int hpet_new(const struct hpet_env *env, struct hpet **ret_hpet);
/* n 0: OUT0 of the 8254; 8: the RTC's interrupt. Fits struct line. */
void hpet_legacy_in(void *hpet, unsigned n, bool level);

#endif
