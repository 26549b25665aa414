/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O interrupt controller: 24 pins become interrupt messages.
 */
#ifndef HW_IRQ_IOAPIC_H
#define HW_IRQ_IOAPIC_H

#include "hw/core/device.h"
#include "hw/core/msi.h"

#define IOAPIC_PINS 24
#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_BYTES 0x1000u

struct ioapic;

struct ioapic_env {
    struct msi_sink msi;
    uint16_t source; /* as which its messages come */
};

extern const struct dev_ops ioapic_dev_ops;
/* Registers: IOAPIC_BYTES at IOAPIC_BASE. */
extern const struct io_ops ioapic_io;

/* -ENOMEM. */
int ioapic_new(const struct ioapic_env *env, struct ioapic **ret_ioapic);
/* Level of pin n, 0..23. Fits struct line. */
void ioapic_set_pin(void *ioapic, unsigned n, bool level);
/* A local APIC has ended a level-triggered interrupt with this vector. */
void ioapic_eoi(struct ioapic *ioapic, uint8_t vector);

#endif
