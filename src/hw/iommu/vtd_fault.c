/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of the VT-d unit: chapter 7, registers 10.4.9 to 10.4.14. Primary fault logging; the
 * advanced log is not there (CAP_REG.AFL).
 */
#include "hw/iommu/vtd_priv.h"

#define FAULT_F (1ull << 63)
#define FAULT_READ (1ull << 62)

static bool pending(const struct vtd *vtd, unsigned *ret_first)
{
    /* The oldest is the one behind those that were written last. */
    for (unsigned i = 0; i < VTD_FAULTS; i++) {
        unsigned n = (vtd->next_fault + i) % VTD_FAULTS;

        if (!(vtd->faults[n].high & FAULT_F))
            continue;
        *ret_first = n;
        return true;
    }
    return false;
}

uint32_t vtd_fault_status(const struct vtd *vtd)
{
    unsigned first;

    return vtd->fault_status | (pending(vtd, &first) ? FSTS_PPF | first << 8 : 0);
}

/* 7.3: an event is sent when there was no condition before. */
static void condition(struct vtd *vtd, uint32_t before)
{
    if (!(before & (FSTS_PFO | FSTS_PPF | FSTS_IQE)))
        vtd_event_raise(vtd, &vtd->fault_event);
}

void vtd_fault(struct vtd *vtd, uint16_t source, uint64_t info, enum vtd_reason reason, bool read)
{
    uint32_t before = vtd_fault_status(vtd);
    unsigned n = vtd->next_fault;

    if (before & FSTS_PFO)
        return; /* 7.2.1: nothing is recorded until the overflow is cleared */
    if (vtd->faults[n].high & FAULT_F) {
        vtd->fault_status |= FSTS_PFO;
        return;
    }
    vtd->faults[n].low = info & VTD_PAGE_MASK;
    vtd->faults[n].high =
        FAULT_F | (read ? FAULT_READ : 0) | (uint64_t)reason << 32 | (uint64_t)source;
    vtd->next_fault = (uint8_t)((n + 1) % VTD_FAULTS);
    condition(vtd, before);
}

void vtd_queue_error(struct vtd *vtd)
{
    uint32_t before = vtd_fault_status(vtd);

    vtd->fault_status |= FSTS_IQE;
    condition(vtd, before);
}

void vtd_fault_cleared(struct vtd *vtd)
{
    /* 10.4.10: nothing is left to be told. */
    if (!(vtd_fault_status(vtd) & (FSTS_PFO | FSTS_PPF | FSTS_IQE)))
        vtd->fault_event.control &= ~EVENT_PENDING;
}

/* 5.1.5: what the unit itself sends is not remapped. */
static void event_send(struct vtd *vtd, const struct vtd_event *event)
{
    if (vtd_extended(vtd)) /* FEUADDR_REG: bits 31:8 of the destination */
        vtd->env.msi_x2apic(vtd->env.ctx, event->upper | (event->addr >> 12 & 0xff), event->addr,
                            event->data);
    else
        msi_send(&vtd->env.msi, 0, event->addr, event->data);
}

void vtd_event_raise(struct vtd *vtd, struct vtd_event *event)
{
    if (event->control & EVENT_MASKED)
        event->control |= EVENT_PENDING;
    else
        event_send(vtd, event);
}

void vtd_event_control(struct vtd *vtd, struct vtd_event *event, uint32_t value)
{
    event->control = (event->control & EVENT_PENDING) | (value & EVENT_MASKED);
    if (event->control == EVENT_PENDING) {
        event->control = 0;
        event_send(vtd, event);
    }
}
