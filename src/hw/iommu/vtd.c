/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel Virtualization Technology for Directed I/O, architecture specification (D51397), revision
 * 2.4: registers of chapter 10. All section numbers in the files of this unit are that revision's.
 *
 * Left out, and not claimed in CAP_REG and ECAP_REG: device TLBs, extended and scalable mode (and
 * with them first-level tables, PASIDs and page requests), nested translation, protected memory
 * regions, the advanced fault log, posted interrupts.
 */
#include "hw/iommu/vtd_priv.h"

#include <errno.h>
#include <string.h>

#include "hw/core/statename.h"

enum {
    REG_VER = 0x00,
    REG_CAP = 0x08,
    REG_ECAP = 0x10,
    REG_GCMD = 0x18,
    REG_GSTS = 0x1c,
    REG_RTADDR = 0x20,
    REG_CCMD = 0x28,
    REG_FSTS = 0x34,
    REG_FECTL = 0x38,
    REG_FEDATA = 0x3c,
    REG_FEADDR = 0x40,
    REG_FEUADDR = 0x44,
    REG_IQH = 0x80,
    REG_IQT = 0x88,
    REG_IQA = 0x90,
    REG_ICS = 0x9c,
    REG_IECTL = 0xa0,
    REG_IEDATA = 0xa4,
    REG_IEADDR = 0xa8,
    REG_IEUADDR = 0xac,
    REG_IRTA = 0xb8,
    REG_IVA = 0xf0, /* ECAP_REG.IRO says where */
    REG_IOTLB = 0xf8,
    REG_FRCD = 0x220, /* CAP_REG.FRO */
    REG_FRCD_END = REG_FRCD + 16 * VTD_FAULTS,
};

#define VERSION 0x10u
#define FAULT_F_HIGH (1u << 31)
#define LEVELS (GSTS_TES | GSTS_QIES | GSTS_IRES | GSTS_CFIS)
#define IRTA_MASK (VTD_PAGE_MASK | 0xf)
#define IQ_MASK 0x7fff0ull

/* 10.4.2 */
#define CAP                                                                                        \
    (6ull /* 64K domains */ | 6ull << 8 /* 3 and 4 levels */ | 47ull << 16 /* width: 48 bits */ |  \
     1ull << 22 /* reads of nothing */ | (uint64_t)(REG_FRCD / 16) << 24 |                         \
     3ull << 34 /* 2 MiB, 1 GiB */ | 1ull << 39 /* invalidation by pages */ |                      \
     (uint64_t)(VTD_FAULTS - 1) << 40 | (uint64_t)VTD_MAMV << 48 | 3ull << 54 /* draining */)
/* 10.4.3 */
#define ECAP                                                                                       \
    (1ull << 0 /* coherent */ | 1ull << 1 /* queue */ | 1ull << 3 /* interrupts */ |               \
     1ull << 6 /* pass-through */ | 1ull << 7 /* snooping */ | (uint64_t)(REG_IVA / 16) << 8 |     \
     15ull << 20 /* any mask of interrupt indices */)
#define ECAP_X2APIC (1ull << 4)

static uint64_t ecap(const struct vtd *vtd)
{
    return ECAP | (vtd->env.msi_x2apic ? ECAP_X2APIC : 0);
}

/* ---- reads ---- */

static uint32_t half(uint64_t value, uint64_t offset)
{
    return (uint32_t)(offset & 4 ? value >> 32 : value);
}

static uint64_t read_wide(const struct vtd *vtd, uint64_t offset)
{
    switch (offset) {
    case REG_CAP:
        return CAP;
    case REG_ECAP:
        return ecap(vtd);
    case REG_RTADDR:
        return vtd->rtaddr;
    case REG_CCMD:
        return vtd->ccmd;
    case REG_IQH:
        return vtd->queue_head;
    case REG_IQT:
        return vtd->queue_tail;
    case REG_IQA:
        return vtd->queue;
    case REG_IRTA:
        return vtd->irta;
    case REG_IVA: /* write-only */
        return 0;
    case REG_IOTLB:
        return vtd->iotlb;
    case REG_FRCD ... REG_FRCD_END - 1: {
        unsigned n = (unsigned)(offset - REG_FRCD) / 16;

        return offset & 8 ? vtd->faults[n].high : vtd->faults[n].low;
    }
    default:
        return 0;
    }
}

static uint32_t event_read(const struct vtd_event *event, unsigned at)
{
    switch (at) {
    case 0:
        return event->control;
    case 4:
        return event->data;
    case 8:
        return event->addr;
    default:
        return event->upper;
    }
}

static uint64_t vtd_read(void *dev, uint64_t offset, unsigned size)
{
    const struct vtd *vtd = dev;

    (void)size;
    offset &= ~3ull;
    switch (offset) {
    case REG_VER:
        return VERSION;
    case REG_GCMD: /* write-only */
        return 0;
    case REG_GSTS:
        return vtd->status;
    case REG_FSTS:
        return vtd_fault_status(vtd);
    case REG_FECTL ... REG_FEUADDR:
        return event_read(&vtd->fault_event, (unsigned)offset - REG_FECTL);
    case REG_ICS:
        return vtd->completion;
    case REG_IECTL ... REG_IEUADDR:
        return event_read(&vtd->completion_event, (unsigned)offset - REG_IECTL);
    default:
        return half(read_wide(vtd, offset & ~7ull), offset);
    }
}

/* ---- writes ---- */

/* 10.4.4: bits that are levels are compared with the status, the others are commands. */
static void command(struct vtd *vtd, uint32_t value)
{
    uint32_t changed = (value ^ vtd->status) & LEVELS;

    if (value & GSTS_RTPS) {
        vtd->root = vtd->rtaddr & VTD_PAGE_MASK;
        vtd->status |= GSTS_RTPS;
    }
    if (value & GSTS_IRTPS) {
        vtd->ir_table = vtd->irta;
        vtd->status |= GSTS_IRTPS;
    }
    vtd->status ^= changed;
    if (changed & GSTS_QIES) {
        vtd->queue_head = 0;
        vtd_queue_run(vtd);
    }
    /* WBF has nothing to do: no write is buffered (CAP_REG.RWBF). */
}

static void merge(uint64_t *reg, uint64_t offset, uint32_t value, uint64_t mask)
{
    uint64_t shift = offset & 4 ? 32 : 0, part = 0xffffffffull << shift;

    *reg = ((*reg & ~part) | (uint64_t)value << shift) & mask;
}

static void event_write(struct vtd *vtd, struct vtd_event *event, unsigned at, uint32_t value)
{
    switch (at) {
    case 0:
        vtd_event_control(vtd, event, value);
        break;
    case 4:
        event->data = value & 0xffff;
        break;
    case 8:
        event->addr = value & ~3u;
        break;
    default:
        event->upper = vtd->env.msi_x2apic ? value & ~0xffu : 0;
        break;
    }
}

static void fault_write(struct vtd *vtd, uint64_t offset, uint32_t value)
{
    /* 10.4.14: only F can be written, to clear it. */
    if ((offset & 15) == 12 && value & FAULT_F_HIGH) {
        vtd->faults[(offset - REG_FRCD) / 16].high &= ~((uint64_t)FAULT_F_HIGH << 32);
        vtd_fault_cleared(vtd);
    }
}

static void wide_write(struct vtd *vtd, uint64_t offset, uint32_t value)
{
    switch (offset & ~7ull) {
    case REG_RTADDR:
        merge(&vtd->rtaddr, offset, value, VTD_PAGE_MASK);
        break;
    case REG_CCMD:
        merge(&vtd->ccmd, offset, value, ~0ull);
        vtd_context_command(vtd);
        break;
    case REG_IQT:
        merge(&vtd->queue_tail, offset, value, IQ_MASK);
        if (!(offset & 4))
            vtd_queue_run(vtd);
        break;
    case REG_IQA:
        merge(&vtd->queue, offset, value, VTD_PAGE_MASK | 7);
        break;
    case REG_IRTA:
        merge(&vtd->irta, offset, value, IRTA_MASK | (vtd->env.msi_x2apic ? VTD_IRTA_X2APIC : 0));
        break;
    case REG_IVA:
        merge(&vtd->iva, offset, value, VTD_PAGE_MASK | 0x7f);
        break;
    case REG_IOTLB:
        merge(&vtd->iotlb, offset, value, ~0ull);
        vtd_iotlb_command(vtd);
        break;
    case REG_FRCD ... REG_FRCD_END - 1:
        fault_write(vtd, offset, value);
        break;
    default: /* read-only, or nothing */
        break;
    }
}

static void vtd_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    struct vtd *vtd = dev;
    bool stuck = vtd->fault_status & FSTS_IQE;

    (void)size;
    offset &= ~3ull;
    switch (offset) {
    case REG_GCMD:
        command(vtd, (uint32_t)value);
        break;
    case REG_FSTS:
        vtd->fault_status &= ~((uint32_t)value & (FSTS_PFO | FSTS_IQE));
        vtd_fault_cleared(vtd);
        if (stuck)
            vtd_queue_run(vtd);
        break;
    case REG_FECTL ... REG_FEUADDR:
        event_write(vtd, &vtd->fault_event, (unsigned)offset - REG_FECTL, (uint32_t)value);
        break;
    case REG_ICS:
        vtd->completion &= ~((uint32_t)value & ICS_IWC);
        if (!vtd->completion)
            vtd->completion_event.control &= ~EVENT_PENDING; /* 10.4.25 */
        break;
    case REG_IECTL ... REG_IEUADDR:
        event_write(vtd, &vtd->completion_event, (unsigned)offset - REG_IECTL, (uint32_t)value);
        break;
    default:
        wide_write(vtd, offset, (uint32_t)value);
        break;
    }
}

/* A wide register is written low half first (memory/bus.h), and its commands are in the high. */
const struct io_ops vtd_io = {
    .name = "vtd", .min_size = 4, .max_size = 4, .read = vtd_read, .write = vtd_write};

/* ---- the device ---- */

static void vtd_reset(void *dev)
{
    struct vtd *vtd = dev;

    *vtd = (struct vtd){.env = vtd->env, .dma = vtd->dma};
    vtd->fault_event.control = vtd->completion_event.control = EVENT_MASKED;
}

static void event_state(struct state *s, struct vtd_event *event, unsigned n)
{
    state_u32(s, STATE_NAME("event.control", n), &event->control);
    state_u32(s, STATE_NAME("event.data", n), &event->data);
    state_u32(s, STATE_NAME("event.addr", n), &event->addr);
    state_u32(s, STATE_NAME("event.upper", n), &event->upper);
    event->control &= EVENT_MASKED | EVENT_PENDING;
}

static int vtd_state(void *dev, struct state *s)
{
    struct vtd *vtd = dev;

    state_u32(s, "status", &vtd->status);
    state_u64(s, "rtaddr", &vtd->rtaddr);
    state_u64(s, "irta", &vtd->irta);
    state_u64(s, "root", &vtd->root);
    state_u64(s, "ir_table", &vtd->ir_table);
    state_u64(s, "ccmd", &vtd->ccmd);
    state_u64(s, "iva", &vtd->iva);
    state_u64(s, "iotlb", &vtd->iotlb);
    state_u32(s, "fault_status", &vtd->fault_status);
    state_u32(s, "completion", &vtd->completion);
    event_state(s, &vtd->fault_event, 0);
    event_state(s, &vtd->completion_event, 1);
    state_u64(s, "queue_head", &vtd->queue_head);
    state_u64(s, "queue_tail", &vtd->queue_tail);
    state_u64(s, "queue", &vtd->queue);
    for (unsigned n = 0; n < VTD_FAULTS; n++) {
        state_u64(s, STATE_NAME("fault.low", n), &vtd->faults[n].low);
        state_u64(s, STATE_NAME("fault.high", n), &vtd->faults[n].high);
    }
    state_u8(s, "next_fault", &vtd->next_fault);
    /* Tables of extended mode would be read wrongly where there is none. */
    state_check(s, vtd->env.msi_x2apic || !(vtd->ir_table & VTD_IRTA_X2APIC));
    state_check(s, !(vtd->queue_head & ~IQ_MASK) && !(vtd->queue_tail & ~IQ_MASK));
    state_check(s, vtd->next_fault < VTD_FAULTS);
    vtd->next_fault %= VTD_FAULTS;
    vtd_forget_contexts(vtd);
    vtd_forget_all_pages(vtd);
    return state_error(s);
}

static void vtd_free(void *dev)
{
    free(dev);
}

const struct dev_ops vtd_dev_ops = {
    .name = "vtd", .version = 1, .reset = vtd_reset, .state = vtd_state, .free = vtd_free};

int vtd_new(const struct vtd_env *env, struct vtd **ret_vtd)
{
    struct vtd *vtd = calloc(1, sizeof(*vtd));

    if (!vtd)
        return -ENOMEM;
    vtd->env = *env;
    vtd->dma = (struct dma){.bus = env->mem};
    vtd_reset(vtd);
    *ret_vtd = vtd;
    return 0;
}

struct dma_map vtd_dma_map(struct vtd *vtd)
{
    return (struct dma_map){.translate = vtd_translate, .ctx = vtd};
}
