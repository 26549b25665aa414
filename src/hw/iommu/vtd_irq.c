/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupt remapping: chapter 5; table entries 9.9. Entries are read anew for each message, so
 * that there is no entry cache to invalidate. Posted interrupts are left out (CAP_REG.PI).
 *
 * The IOAPIC's messages are not held against an entry's source: they come from a chip of the
 * platform by a way that no device has, and systems exist that name the device whose pin it is
 * (docs/decisions/0025).
 */
#include "base/bytes.h"
#include "hw/iommu/vtd_priv.h"

#define MSI_REMAPPABLE (1u << 4)
#define MSI_SUBHANDLE (1u << 3)
#define ENTRY_BYTES 16u

/* The low half of an entry. */
#define IRTE_PRESENT (1ull << 0)
#define IRTE_FPD (1ull << 1)
#define IRTE_LOGICAL (1ull << 2)
#define IRTE_HINT (1ull << 3)
#define IRTE_LEVEL (1ull << 4)
#define IRTE_RESERVED 0xff00f000ull
#define IRTE_RESERVED_XAPIC 0xffff00ff00000000ull
#define IRTE_RESERVED_HIGH (~0xfffffull)

static bool source_ok(const struct vtd *vtd, uint16_t source, uint64_t high)
{
    static const uint16_t ignored[4] = {0, 4, 6, 7}; /* function bits, by SQ */
    uint16_t sid = (uint16_t)high;

    if (source == vtd->env.ioapic_source)
        return true;
    switch (high >> 18 & 3) {
    case 0:
        return true;
    case 1:
        return !((source ^ sid) & ~ignored[high >> 16 & 3] & 0xffff);
    default: /* 2: a range of buses */
        return source >> 8 >= sid >> 8 && source >> 8 <= (sid & 0xff);
    }
}

/* What an entry makes of a message of source's; 0 or a reason. */
static int entry_look(const struct vtd *vtd, uint16_t source, uint32_t index, uint64_t *ret_low)
{
    uint8_t raw[ENTRY_BYTES];
    uint64_t low, high;

    *ret_low = 0;
    if (index >= 2u << (vtd->ir_table & 15))
        return VTD_IR_BEYOND_TABLE;
    if (dma_read(&vtd->dma, (vtd->ir_table & VTD_PAGE_MASK) + (uint64_t)ENTRY_BYTES * index, raw,
                 sizeof(raw)) < 0)
        return VTD_IR_UNREACHABLE;
    *ret_low = low = le64_get(raw);
    high = le64_get(raw + 8);
    if (!(low & IRTE_PRESENT))
        return VTD_IR_ABSENT;
    if (low & IRTE_RESERVED || high & IRTE_RESERVED_HIGH || (high >> 18 & 3) == 3 ||
        (!vtd_extended(vtd) && low & IRTE_RESERVED_XAPIC))
        return VTD_IR_RESERVED;
    return source_ok(vtd, source, high) ? 0 : VTD_IR_SOURCE;
}

static void remap(struct vtd *vtd, uint16_t source, uint32_t addr, uint32_t data)
{
    uint32_t index = (addr >> 5 & 0x7fff) | (addr >> 2 & 1) << 15, dest, out;
    uint64_t entry;
    int reason;

    if (addr & MSI_SUBHANDLE && data >> 16) {
        vtd_fault(vtd, source, (uint64_t)index << 48, VTD_IR_REQUEST_RESERVED, false);
        return;
    }
    if (addr & MSI_SUBHANDLE)
        index += data & 0xffff;
    reason = entry_look(vtd, source, index, &entry);
    if (reason) {
        if (!(entry & IRTE_FPD))
            vtd_fault(vtd, source, (uint64_t)index << 48, (enum vtd_reason)reason, false);
        return;
    }
    dest = (uint32_t)(entry >> 32);
    out = 0xfee00000u | (entry & IRTE_HINT ? 1u << 3 : 0) | (entry & IRTE_LOGICAL ? 1u << 2 : 0);
    data = (uint32_t)(entry >> 16 & 0xff) | (uint32_t)(entry >> 5 & 7) << 8 |
           (entry & IRTE_LEVEL ? 1u << 15 | 1u << 14 : 0);
    if (vtd_extended(vtd))
        vtd->env.msi_x2apic(vtd->env.ctx, dest, out, data);
    else
        msi_send(&vtd->env.msi, source, out | (dest >> 8 & 0xff) << 12, data);
}

void vtd_msi(void *ctx, uint16_t source, uint64_t addr, uint32_t data)
{
    struct vtd *vtd = ctx;

    if (addr >> 20 != 0xfee)
        return; /* a write to memory, which no device of ours makes in this way */
    if (!vtd_on(vtd, GSTS_IRES))
        msi_send(&vtd->env.msi, source, addr, data);
    else if (addr & MSI_REMAPPABLE)
        remap(vtd, source, (uint32_t)addr, data);
    else if (vtd_on(vtd, GSTS_CFIS) && !vtd_extended(vtd)) /* 5.1.2.1 */
        msi_send(&vtd->env.msi, source, addr, data);
    else
        vtd_fault(vtd, source, 0, VTD_IR_COMPATIBILITY, false);
}
