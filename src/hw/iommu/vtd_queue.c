/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Invalidation: by registers (6.5.1, 10.4.7, 10.4.8) and by the queue (6.5.2; registers 10.4.21 to
 * 10.4.28). Everything is carried out at once, so a wait descriptor never waits. A request to a
 * disk that is under way keeps the pages that it was given (memory/dma.h); the guest has to end it
 * before it takes them back, as on hardware.
 */
#include "base/bytes.h"
#include "hw/iommu/vtd_priv.h"

#define DESC_BYTES 16u
#define QUEUE_BYTES(vtd) (0x1000ull << ((vtd)->queue & 7))
#define BUSY (1ull << 63)

enum { GLOBAL = 1, DOMAIN, DEVICE_OR_PAGE };
enum { DESC_CONTEXT = 1, DESC_IOTLB, DESC_DEVICE_TLB, DESC_INTERRUPT, DESC_WAIT };
enum { WAIT_INTERRUPT = 1 << 4, WAIT_WRITE = 1 << 5, WAIT_FENCE = 1 << 6 };

/* FM, 10.4.7: how many function bits of a source are not looked at. */
static uint16_t function_mask(unsigned fm)
{
    static const uint16_t masks[4] = {0, 4, 6, 7};

    return masks[fm & 3];
}

static bool contexts_invalidate(struct vtd *vtd, unsigned granularity, uint16_t domain,
                                uint16_t source, unsigned fm)
{
    switch (granularity) {
    case GLOBAL:
        vtd_forget_contexts(vtd);
        return true;
    case DOMAIN:
        vtd_forget_domain_contexts(vtd, domain);
        return true;
    case DEVICE_OR_PAGE:
        vtd_forget_device(vtd, source, function_mask(fm));
        return true;
    default:
        return false;
    }
}

static bool pages_invalidate(struct vtd *vtd, unsigned granularity, uint16_t domain, uint64_t addr)
{
    unsigned shift = addr & 63;

    switch (granularity) {
    case GLOBAL:
        vtd_forget_all_pages(vtd);
        return true;
    case DOMAIN:
        vtd_forget_domain(vtd, domain);
        return true;
    case DEVICE_OR_PAGE:
        if (shift > VTD_MAMV)
            return false;
        vtd_forget_pages(vtd, domain, addr, shift);
        return true;
    default:
        return false;
    }
}

void vtd_context_command(struct vtd *vtd)
{
    unsigned granularity = vtd->ccmd >> 61 & 3;

    if (!(vtd->ccmd & BUSY))
        return;
    if (!contexts_invalidate(vtd, granularity, (uint16_t)vtd->ccmd, (uint16_t)(vtd->ccmd >> 16),
                             vtd->ccmd >> 32 & 3))
        granularity = 0;
    vtd->ccmd &= ~(BUSY | 3ull << 59);
    vtd->ccmd |= (uint64_t)granularity << 59;
}

void vtd_iotlb_command(struct vtd *vtd)
{
    unsigned granularity = vtd->iotlb >> 60 & 3;

    if (!(vtd->iotlb & BUSY))
        return;
    if (!pages_invalidate(vtd, granularity, (uint16_t)(vtd->iotlb >> 32), vtd->iva))
        granularity = 0;
    vtd->iotlb &= ~(BUSY | 3ull << 57);
    vtd->iotlb |= (uint64_t)granularity << 57;
}

/* 6.5.2.8 */
static bool wait_done(struct vtd *vtd, uint64_t low, uint64_t high)
{
    uint8_t data[4];

    if (low & ~(0xffffffff00000000ull | WAIT_INTERRUPT | WAIT_WRITE | WAIT_FENCE | DESC_WAIT) ||
        high & 3)
        return false;
    if (low & WAIT_WRITE) {
        le32_put(data, (uint32_t)(low >> 32));
        if (dma_write(&vtd->dma, high, data, sizeof(data)) < 0)
            return false;
    }
    if (low & WAIT_INTERRUPT && !(vtd->completion & ICS_IWC)) {
        vtd->completion |= ICS_IWC;
        vtd_event_raise(vtd, &vtd->completion_event);
    }
    return true;
}

static bool execute(struct vtd *vtd, uint64_t low, uint64_t high)
{
    unsigned granularity = low >> 4 & 3;

    switch (low & 15) {
    case DESC_CONTEXT:
        return !(low & 0xfffc00000000ffc0ull) && !high &&
               contexts_invalidate(vtd, granularity, (uint16_t)(low >> 16), (uint16_t)(low >> 32),
                                   low >> 48 & 3);
    case DESC_IOTLB:
        return !(low & 0xffffffff0000ff00ull) && !(high & 0xf80) &&
               pages_invalidate(vtd, granularity, (uint16_t)(low >> 16), high);
    case DESC_INTERRUPT:
        return !(low & 0xffff000007ffffe0ull) && !high; /* nothing is cached: vtd_irq.c */
    case DESC_WAIT:
        return wait_done(vtd, low, high);
    default: /* there are no device TLBs (ECAP_REG.DT) */
        return false;
    }
}

void vtd_queue_run(struct vtd *vtd)
{
    uint64_t end = QUEUE_BYTES(vtd);
    uint8_t raw[DESC_BYTES];

    if (!vtd_on(vtd, GSTS_QIES) || vtd->fault_status & FSTS_IQE)
        return;
    if (vtd->queue_tail >= end || vtd->queue_head >= end) {
        vtd_queue_error(vtd);
        return;
    }
    while (vtd->queue_head != vtd->queue_tail) {
        if (dma_read(&vtd->dma, (vtd->queue & VTD_PAGE_MASK) + vtd->queue_head, raw, sizeof(raw)) <
                0 ||
            !execute(vtd, le64_get(raw), le64_get(raw + 8))) {
            vtd_queue_error(vtd); /* 6.5.2.10: the head stays at the descriptor in error */
            return;
        }
        vtd->queue_head = (vtd->queue_head + DESC_BYTES) % end;
    }
}
