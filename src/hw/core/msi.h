/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way of interrupt messages to the local APICs: a 32-bit write of data to an address in
 * 0xfee00000–0xfeefffff (Intel SDM vol. 3, 11.11 "Message Signalled Interrupts"). PCI devices,
 * the HPET and the IOAPIC all speak it.
 */
#ifndef HW_CORE_MSI_H
#define HW_CORE_MSI_H

#include <stdint.h>

struct msi_sink {
    /* source: who sends it, as bus, device and function of PCI; chips of the platform have one
     * beyond the buses that there are. */
    void (*send)(void *ctx, uint16_t source, uint64_t addr, uint32_t data);
    void *ctx;
};

static inline void msi_send(const struct msi_sink *sink, uint16_t source, uint64_t addr,
                            uint32_t data)
{
    if (sink->send)
        sink->send(sink->ctx, source, addr, data);
}

#endif
