/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel VT-d remapping hardware: what PCI devices may read and write, and which interrupts they may
 * send, as tables in guest memory say.
 */
#ifndef HW_IOMMU_VTD_H
#define HW_IOMMU_VTD_H

#include "hw/core/device.h"
#include "hw/core/msi.h"
#include "memory/dma.h"

#define VTD_BASE 0xfed90000u
#define VTD_BYTES 0x1000u

struct vtd;

struct vtd_env {
    struct bus *mem;     /* where the tables lie */
    struct msi_sink msi; /* to the local APICs */
    /* The same with a destination of 32 bits; NULL: extended interrupt mode is not offered. */
    void (*msi_x2apic)(void *ctx, uint32_t dest, uint32_t addr, uint32_t data);
    void *ctx;
    unsigned phys_bits;     /* width of guest physical addresses */
    uint16_t ioapic_source; /* the requester as which the IOAPIC's messages come */
};

extern const struct dev_ops vtd_dev_ops;
/* Registers: VTD_BYTES at VTD_BASE. */
extern const struct io_ops vtd_io;

/* -ENOMEM. */
int vtd_new(const struct vtd_env *env, struct vtd **ret_vtd);
/* The devices' way to memory, for struct dma; it leads straight there until the guest turns
 * remapping on. */
struct dma_map vtd_dma_map(struct vtd *vtd);
/* An interrupt message of a requester, on its way to the local APICs. Fits struct msi_sink. */
void vtd_msi(void *vtd, uint16_t source, uint64_t addr, uint32_t data);

#endif
