/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's IOMMU, if it has one: what devices' accesses go through (their messages: pc_irq.c).
 */
#include "hw/iommu/vtd.h"

#include "hw/irq/lapic.h"
#include "machine/pc.h"

bool iommu_wanted(const struct pc *pc)
{
    return pc->config->iommu == MACHINE_IOMMU_INTEL;
}

static void msi_x2apic(void *ctx, uint32_t dest, uint32_t addr, uint32_t data)
{
    lapic_msi_x2apic(((struct pc *)ctx)->lapic, dest, addr, data);
}

int iommu_make(struct pc *pc, struct error *err)
{
    struct vtd_env env = {.mem = pc->m->mem,
                          .msi = {.send = pc_msi_deliver, .ctx = pc},
                          /* A kernel's local APICs take destinations of 8 bits from us. */
                          .msi_x2apic = pc->lapic ? msi_x2apic : NULL,
                          .ctx = pc,
                          .phys_bits = PHYS_BITS,
                          .ioapic_source = PC_IOAPIC_SOURCE};

    (void)err;
    return vtd_new(&env, &pc->vtd);
}

struct dma_map iommu_map(const struct pc *pc)
{
    return pc->vtd ? vtd_dma_map(pc->vtd) : (struct dma_map){.translate = NULL};
}
