/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the VT-d unit share: vtd.c (registers), vtd_walk.c (addresses), vtd_irq.c
 * (interrupts), vtd_queue.c (invalidation), vtd_fault.c.
 */
#ifndef HW_IOMMU_VTD_PRIV_H
#define HW_IOMMU_VTD_PRIV_H

#include "hw/iommu/vtd.h"

#define VTD_FAULTS 8u
#define VTD_CONTEXTS 256u
#define VTD_IOTLB 512u
#define VTD_PAGE_SHIFT 12
#define VTD_PAGE_MASK (~0xfffull)
#define VTD_MAMV 18u /* largest address mask of an invalidation: 2^18 pages */

/* GCMD_REG and GSTS_REG: 10.4.4, 10.4.5. */
#define GSTS_TES (1u << 31)
#define GSTS_RTPS (1u << 30)
#define GSTS_QIES (1u << 26)
#define GSTS_IRES (1u << 25)
#define GSTS_IRTPS (1u << 24)
#define GSTS_CFIS (1u << 23)

/* FSTS_REG, 10.4.9; FECTL_REG and IECTL_REG, 10.4.10. */
#define FSTS_PFO (1u << 0)
#define FSTS_PPF (1u << 1)
#define FSTS_IQE (1u << 4)
#define EVENT_MASKED (1u << 31)
#define EVENT_PENDING (1u << 30)
#define ICS_IWC (1u << 0)
#define VTD_IRTA_X2APIC (1u << 11) /* EIME: extended interrupt mode */

/* 7.1.3 and 5.1.4.1: fault reasons. */
enum vtd_reason {
    VTD_ROOT_ABSENT = 0x01,
    VTD_CONTEXT_ABSENT = 0x02,
    VTD_CONTEXT_INVALID = 0x03,
    VTD_BEYOND_WIDTH = 0x04,
    VTD_NO_WRITE = 0x05,
    VTD_NO_READ = 0x06,
    VTD_TABLE_UNREACHABLE = 0x07,
    VTD_ROOT_UNREACHABLE = 0x08,
    VTD_CONTEXT_UNREACHABLE = 0x09,
    VTD_ROOT_RESERVED = 0x0a,
    VTD_CONTEXT_RESERVED = 0x0b,
    VTD_TABLE_RESERVED = 0x0c,
    VTD_IR_REQUEST_RESERVED = 0x20,
    VTD_IR_BEYOND_TABLE = 0x21,
    VTD_IR_ABSENT = 0x22,
    VTD_IR_UNREACHABLE = 0x23,
    VTD_IR_RESERVED = 0x24,
    VTD_IR_COMPATIBILITY = 0x25,
    VTD_IR_SOURCE = 0x26,
};

/* A context entry that was found good (9.3). */
struct vtd_context {
    bool valid, quiet; /* quiet: faults are not to be recorded (FPD) */
    bool pass;         /* pass-through */
    uint8_t levels;    /* of the page tables: 3 or 4 */
    uint16_t domain;
    uint64_t table;
};

/* A page of 4 KiB as a domain's tables map it. */
struct vtd_page {
    bool valid, read, write;
    uint8_t level; /* of the entry that maps it: 1 4 KiB, 2 2 MiB, 3 1 GiB */
    uint16_t domain;
    uint64_t page; /* number of the input page */
    uint64_t gpa;  /* of that page */
};

/* An event of the unit itself: its control, and the message it sends. */
struct vtd_event {
    uint32_t control, data, addr, upper;
};

struct vtd {
    struct vtd_env env;
    struct dma dma; /* the unit's own accesses */
    uint32_t status;
    uint64_t rtaddr, irta; /* as written */
    uint64_t root;         /* taken over by "set root table pointer" */
    uint64_t ir_table;     /* by "set interrupt remap table pointer", size and mode included */
    uint64_t ccmd, iva, iotlb;
    uint32_t fault_status; /* without what is computed: PPF and FRI */
    uint32_t completion;   /* ICS_REG */
    struct vtd_event fault_event, completion_event;
    uint64_t queue_head, queue_tail, queue;
    struct {
        uint64_t low, high;
    } faults[VTD_FAULTS];
    uint8_t next_fault; /* the register that the next fault goes to */
    /* Caches; not saved. Every requester that there is lies on bus 0. */
    struct vtd_context contexts[VTD_CONTEXTS];
    struct vtd_page pages[VTD_IOTLB];
};

static inline bool vtd_on(const struct vtd *vtd, uint32_t bit)
{
    return vtd->status & bit;
}

/* Are destinations of 32 bits? */
static inline bool vtd_extended(const struct vtd *vtd)
{
    return vtd->env.msi_x2apic && vtd->ir_table & VTD_IRTA_X2APIC;
}

/* An address beyond what the guest has: reserved in every table. */
static inline uint64_t vtd_beyond(const struct vtd *vtd)
{
    return ~0ull << vtd->env.phys_bits;
}

/* vtd_walk.c: struct dma_map, and forgetting. */
int vtd_translate(void *ctx, uint16_t requester, uint64_t addr, bool write, uint64_t *ret_gpa,
                  uint64_t *ret_len_bytes);
/* Contexts of the requester, but for the function bits in mask; and all. */
void vtd_forget_device(struct vtd *vtd, uint16_t source, uint16_t mask);
void vtd_forget_contexts(struct vtd *vtd);
/* Contexts and pages of a domain; its pages that lie in 2^shift pages from addr; all pages. */
void vtd_forget_domain_contexts(struct vtd *vtd, uint16_t domain);
void vtd_forget_domain(struct vtd *vtd, uint16_t domain);
void vtd_forget_pages(struct vtd *vtd, uint16_t domain, uint64_t addr, unsigned shift);
void vtd_forget_all_pages(struct vtd *vtd);

/* vtd_queue.c: carry out what is in the queue; the register-based commands. */
void vtd_queue_run(struct vtd *vtd);
void vtd_context_command(struct vtd *vtd);
void vtd_iotlb_command(struct vtd *vtd);

/* vtd_fault.c */
/* info: the page's address, or the interrupt's index << 48. */
void vtd_fault(struct vtd *vtd, uint16_t source, uint64_t info, enum vtd_reason reason, bool read);
/* The queue cannot go on. */
void vtd_queue_error(struct vtd *vtd);
/* FSTS_REG as it reads. */
uint32_t vtd_fault_status(const struct vtd *vtd);
/* After the guest has cleared something. */
void vtd_fault_cleared(struct vtd *vtd);
/* Send the message of an event, or keep it while it is masked. */
void vtd_event_raise(struct vtd *vtd, struct vtd_event *event);
/* A write to its control register. */
void vtd_event_control(struct vtd *vtd, struct vtd_event *event, uint32_t value);

#endif
