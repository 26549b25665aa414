/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Architectural state in and out of a KVM vCPU. KVM api.rst 4.11-4.22 (registers), 4.33
 * (debug registers), 4.44 (XSAVE), 4.31 (events). Extended state is kept up to AVX, which is all
 * that kvm_cpuid.c lets the guest see.
 */
#include "cpu/kvm/kvm_internal.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <string.h>

#include "cpu/x86/regs.h"

#define XSTATE_BV 512    /* offset of the header's bitmap */
#define XSTATE_KEPT 7ULL /* x87, SSE, AVX */
#define APIC_ID 0x20
#define APIC_VERSION 0x30
#define APIC_DFR 0xe0
#define APIC_SPURIOUS 0xf0
#define APIC_LVT_CMCI 0x2f0
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_ERROR 0x370
#define APIC_MASKED (1u << 16)
#define APIC_EXTINT 0x700u

struct msr_field {
    uint32_t msr;
    size_t offset;
};

#define FIELD(member) offsetof(struct x86_state, member)

/* Order matters where one write changes another: TSC before TSC_ADJUST. */
static const struct msr_field msr_fields[] = {
    {0x10, FIELD(tsc)},
    {0x3b, FIELD(tsc_adjust)},
    {0x48, FIELD(spec_ctrl)},
    {0x174, FIELD(sysenter_cs)},
    {0x175, FIELD(sysenter_esp)},
    {0x176, FIELD(sysenter_eip)},
    {0x17a, FIELD(mcg_status)},
    {0x1a0, FIELD(misc_enable)},
    {0x277, FIELD(pat)},
    {0xc0000081, FIELD(star)},
    {0xc0000082, FIELD(lstar)},
    {0xc0000083, FIELD(cstar)},
    {0xc0000084, FIELD(sfmask)},
    {0xc0000102, FIELD(kernel_gs_base)},
    {0xc0000103, FIELD(tsc_aux)},
    {0x250, FIELD(mtrr_fixed[0])},
    {0x258, FIELD(mtrr_fixed[1])},
    {0x259, FIELD(mtrr_fixed[2])},
    {0x268, FIELD(mtrr_fixed[3])},
    {0x269, FIELD(mtrr_fixed[4])},
    {0x26a, FIELD(mtrr_fixed[5])},
    {0x26b, FIELD(mtrr_fixed[6])},
    {0x26c, FIELD(mtrr_fixed[7])},
    {0x26d, FIELD(mtrr_fixed[8])},
    {0x26e, FIELD(mtrr_fixed[9])},
    {0x26f, FIELD(mtrr_fixed[10])},
    {0x200, FIELD(mtrr_base[0])},
    {0x201, FIELD(mtrr_mask[0])},
    {0x202, FIELD(mtrr_base[1])},
    {0x203, FIELD(mtrr_mask[1])},
    {0x204, FIELD(mtrr_base[2])},
    {0x205, FIELD(mtrr_mask[2])},
    {0x206, FIELD(mtrr_base[3])},
    {0x207, FIELD(mtrr_mask[3])},
    {0x208, FIELD(mtrr_base[4])},
    {0x209, FIELD(mtrr_mask[4])},
    {0x20a, FIELD(mtrr_base[5])},
    {0x20b, FIELD(mtrr_mask[5])},
    {0x20c, FIELD(mtrr_base[6])},
    {0x20d, FIELD(mtrr_mask[6])},
    {0x20e, FIELD(mtrr_base[7])},
    {0x20f, FIELD(mtrr_mask[7])},
    {0x2ff, FIELD(mtrr_def_type)},
};

static uint64_t *msr_value(struct x86_state *state, const struct msr_field *field)
{
    return (uint64_t *)((uint8_t *)state + field->offset);
}

/* A struct kvm_msrs with room for one entry. */
union one_msr {
    struct kvm_msrs list;
    struct {
        uint32_t count, pad;
        struct kvm_msr_entry entry;
    } one;
};

static int msr_get(int fd, uint32_t msr, uint64_t *ret_value)
{
    union one_msr m = {.one = {.count = 1, .entry.index = msr}};
    int r = kvm_ioctl(fd, KVM_GET_MSRS, &m);

    if (r != 1)
        return r < 0 ? r : -EINVAL;
    *ret_value = m.one.entry.data;
    return 0;
}

static int msr_set(int fd, uint32_t msr, uint64_t value)
{
    union one_msr m = {.one = {.count = 1, .entry = {.index = msr, .data = value}}};
    int r = kvm_ioctl(fd, KVM_SET_MSRS, &m);

    return r == 1 ? 0 : r < 0 ? r : -EINVAL;
}

static void seg_to_kvm(const struct x86_segment *seg, struct kvm_segment *ret)
{
    *ret = (struct kvm_segment){
        .base = seg->base,
        .limit = seg->limit,
        .selector = seg->selector,
        .type = seg->attr & 15,
        .s = seg->attr >> 4 & 1,
        .dpl = seg->attr >> 5 & 3,
        .present = seg->attr >> 7 & 1,
        .avl = seg->attr >> 12 & 1,
        .l = seg->attr >> 13 & 1,
        .db = seg->attr >> 14 & 1,
        .g = seg->attr >> 15 & 1,
        .unusable = !(seg->attr >> 7 & 1),
    };
}

static void seg_from_kvm(const struct kvm_segment *seg, struct x86_segment *ret)
{
    ret->base = seg->base;
    ret->limit = seg->limit;
    ret->selector = seg->selector;
    ret->attr = seg->unusable
                    ? 0
                    : (uint16_t)(seg->type | seg->s << 4 | seg->dpl << 5 | seg->present << 7 |
                                 seg->avl << 12 | seg->l << 13 | seg->db << 14 | seg->g << 15);
}

static void table_to_kvm(const struct x86_table *table, struct kvm_dtable *ret)
{
    *ret = (struct kvm_dtable){.base = table->base, .limit = table->limit};
}

static void table_from_kvm(const struct kvm_dtable *table, struct x86_table *ret)
{
    ret->base = table->base;
    ret->limit = table->limit;
}

/* In the kernel's order rax rbx rcx rdx rsi rdi rsp rbp r8…; ours is the encoding's. */
static void regs_copy(struct x86_state *state, struct kvm_regs *regs, bool to_kvm)
{
    __u64 *kernel[X86_GPRS] = {
        &regs->rax, &regs->rcx, &regs->rdx, &regs->rbx, &regs->rsp, &regs->rbp,
        &regs->rsi, &regs->rdi, &regs->r8,  &regs->r9,  &regs->r10, &regs->r11,
        &regs->r12, &regs->r13, &regs->r14, &regs->r15,
    };

    for (unsigned i = 0; i < X86_GPRS; i++) {
        if (to_kvm)
            *kernel[i] = state->gpr[i];
        else
            state->gpr[i] = *kernel[i];
    }
    if (to_kvm) {
        regs->rip = state->rip;
        regs->rflags = state->rflags | 2;
    } else {
        state->rip = regs->rip;
        state->rflags = regs->rflags;
    }
}

static int sregs_set(int fd, const struct x86_state *state)
{
    struct kvm_sregs sregs;
    int r = kvm_ioctl(fd, KVM_GET_SREGS, &sregs); /* for the APIC base, which stays */

    if (r < 0)
        return r;
    seg_to_kvm(&state->seg[X86_ES], &sregs.es);
    seg_to_kvm(&state->seg[X86_CS], &sregs.cs);
    seg_to_kvm(&state->seg[X86_SS], &sregs.ss);
    seg_to_kvm(&state->seg[X86_DS], &sregs.ds);
    seg_to_kvm(&state->seg[X86_FS], &sregs.fs);
    seg_to_kvm(&state->seg[X86_GS], &sregs.gs);
    seg_to_kvm(&state->ldtr, &sregs.ldt);
    seg_to_kvm(&state->tr, &sregs.tr);
    table_to_kvm(&state->gdtr, &sregs.gdt);
    table_to_kvm(&state->idtr, &sregs.idt);
    sregs.cr0 = state->cr0;
    sregs.cr2 = state->cr2;
    sregs.cr3 = state->cr3;
    sregs.cr4 = state->cr4;
    sregs.cr8 = state->cr8;
    sregs.efer = state->efer;
    memset(sregs.interrupt_bitmap, 0, sizeof(sregs.interrupt_bitmap));
    return kvm_ioctl(fd, KVM_SET_SREGS, &sregs);
}

static int sregs_get(int fd, struct x86_state *state)
{
    struct kvm_sregs sregs;
    int r = kvm_ioctl(fd, KVM_GET_SREGS, &sregs);

    if (r < 0)
        return r;
    seg_from_kvm(&sregs.es, &state->seg[X86_ES]);
    seg_from_kvm(&sregs.cs, &state->seg[X86_CS]);
    seg_from_kvm(&sregs.ss, &state->seg[X86_SS]);
    seg_from_kvm(&sregs.ds, &state->seg[X86_DS]);
    seg_from_kvm(&sregs.fs, &state->seg[X86_FS]);
    seg_from_kvm(&sregs.gs, &state->seg[X86_GS]);
    seg_from_kvm(&sregs.ldt, &state->ldtr);
    seg_from_kvm(&sregs.tr, &state->tr);
    table_from_kvm(&sregs.gdt, &state->gdtr);
    table_from_kvm(&sregs.idt, &state->idtr);
    state->cr0 = sregs.cr0;
    state->cr2 = sregs.cr2;
    state->cr3 = sregs.cr3;
    state->cr4 = sregs.cr4;
    state->cr8 = sregs.cr8;
    state->efer = sregs.efer;
    return 0;
}

/*
 * Processors before XSAVE (Nehalem, Westmere) have no XCR0: KVM lists none, and takes and gives the
 * FXSAVE part of the area.
 */
static int xsave_set(int fd, const struct x86_state *state)
{
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs;
    uint64_t present;
    int r;

    memset(&xsave, 0, sizeof(xsave));
    memcpy(xsave.region, state->xsave, X86_XSAVE_BYTES);
    memcpy(&present, (uint8_t *)xsave.region + XSTATE_BV, sizeof(present));
    present &= XSTATE_KEPT;
    memcpy((uint8_t *)xsave.region + XSTATE_BV, &present, sizeof(present));
    memset((uint8_t *)xsave.region + XSTATE_BV + 8, 0, 56);
    if ((r = kvm_ioctl(fd, KVM_SET_XSAVE, &xsave)) < 0 ||
        (r = kvm_ioctl(fd, KVM_GET_XCRS, &xcrs)) < 0 || xcrs.nr_xcrs == 0)
        return r;
    xcrs = (struct kvm_xcrs){.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = state->xcr0}};
    return kvm_ioctl(fd, KVM_SET_XCRS, &xcrs);
}

static int xsave_get(int fd, struct x86_state *state)
{
    struct kvm_xsave xsave;
    struct kvm_xcrs xcrs;
    int r = kvm_ioctl(fd, KVM_GET_XSAVE, &xsave);

    if (r < 0 || (r = kvm_ioctl(fd, KVM_GET_XCRS, &xcrs)) < 0)
        return r;
    memcpy(state->xsave, xsave.region, X86_XSAVE_BYTES);
    state->xcr0 = 1; /* x87 */
    for (unsigned i = 0; i < MIN(xcrs.nr_xcrs, (__u32)KVM_MAX_XCRS); i++)
        if (xcrs.xcrs[i].xcr == 0)
            state->xcr0 = xcrs.xcrs[i].value;
    return 0;
}

static int debugregs_set(int fd, const struct x86_state *state)
{
    struct kvm_debugregs debug = {.dr6 = state->dr[6] | state->trap_dr6, .dr7 = state->dr[7]};

    for (unsigned i = 0; i < 4; i++)
        debug.db[i] = state->dr[i];
    return kvm_ioctl(fd, KVM_SET_DEBUGREGS, &debug);
}

static int debugregs_get(int fd, struct x86_state *state)
{
    struct kvm_debugregs debug;
    int r = kvm_ioctl(fd, KVM_GET_DEBUGREGS, &debug);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < 4; i++)
        state->dr[i] = debug.db[i];
    state->dr[6] = debug.dr6;
    state->dr[7] = debug.dr7;
    return 0;
}

static int events_set(int fd, const struct x86_state *state)
{
    struct kvm_vcpu_events events;
    int r;

    memset(&events, 0, sizeof(events));
    events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    events.nmi.pending = state->nmi_pending;
    events.nmi.masked = state->nmi_masked;
    events.interrupt.shadow = (state->shadow_sti ? KVM_X86_SHADOW_INT_STI : 0) |
                              (state->shadow_mov_ss ? KVM_X86_SHADOW_INT_MOV_SS : 0);
    events.exception.injected = state->fault_pending || state->trap_dr6;
    events.exception.nr = state->fault_pending ? state->fault_vector : 1 /* #DB */;
    events.exception.has_error_code = state->fault_has_error;
    events.exception.error_code = state->fault_error;
    events.interrupt.injected = state->intr_pending && !events.exception.injected;
    events.interrupt.nr = state->intr_vector;
    r = kvm_ioctl(fd, KVM_SET_VCPU_EVENTS, &events);
    return r;
}

static int events_get(int fd, struct x86_state *state)
{
    struct kvm_vcpu_events events;
    int r = kvm_ioctl(fd, KVM_GET_VCPU_EVENTS, &events);

    if (r < 0)
        return r;
    state->nmi_pending = events.nmi.pending || events.nmi.injected;
    state->nmi_masked = events.nmi.masked;
    state->fault_pending = !!events.exception.injected;
    if (state->fault_pending) {
        state->fault_vector = events.exception.nr;
        state->fault_has_error = !!events.exception.has_error_code;
        state->fault_error = events.exception.error_code;
    }
    /* An INT n is executed again: its RIP has not moved. */
    state->intr_pending = events.interrupt.injected && !events.interrupt.soft;
    if (state->intr_pending)
        state->intr_vector = events.interrupt.nr;
    state->shadow_sti = !!(events.interrupt.shadow & KVM_X86_SHADOW_INT_STI);
    state->shadow_mov_ss = !!(events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS);
    return 0;
}

static int activity_set(int fd, const struct x86_state *state)
{
    struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_RUNNABLE};

    if (state->activity == X86_HALTED)
        mp.mp_state = KVM_MP_STATE_HALTED;
    else if (state->activity == X86_WAIT_SIPI)
        mp.mp_state = KVM_MP_STATE_UNINITIALIZED;
    return kvm_ioctl(fd, KVM_SET_MP_STATE, &mp);
}

static int activity_get(int fd, struct x86_state *state)
{
    struct kvm_mp_state mp;
    int r = kvm_ioctl(fd, KVM_GET_MP_STATE, &mp);

    if (r < 0)
        return r;
    switch (mp.mp_state) {
    case KVM_MP_STATE_HALTED:
        state->activity = X86_HALTED;
        break;
    case KVM_MP_STATE_UNINITIALIZED:
    case KVM_MP_STATE_INIT_RECEIVED:
        state->activity = X86_WAIT_SIPI;
        break;
    default:
        state->activity = X86_ACTIVE;
    }
    return 0;
}

int kvm_vcpu_get_state(struct vcpu *vcpu, struct x86_state *ret_state)
{
    int fd = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->fd;
    struct x86_state state;
    struct kvm_regs regs;
    int r;

    memset(&state, 0, sizeof(state));
    if ((r = kvm_ioctl(fd, KVM_GET_REGS, &regs)) < 0 || (r = sregs_get(fd, &state)) < 0 ||
        (r = xsave_get(fd, &state)) < 0 || (r = debugregs_get(fd, &state)) < 0 ||
        (r = events_get(fd, &state)) < 0 || (r = activity_get(fd, &state)) < 0)
        return r;
    regs_copy(&state, &regs, false);
    state.nmi_pending |= atomic_load(&CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->nmi);
    /* A register that this host's KVM does not have stays zero. */
    for (size_t i = 0; i < ARRAY_LEN(msr_fields); i++)
        msr_get(fd, msr_fields[i].msr, msr_value(&state, &msr_fields[i]));
    *ret_state = state;
    return 0;
}

int kvm_vcpu_set_state(struct vcpu *vcpu, const struct x86_state *state)
{
    int fd = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->fd;
    struct x86_state copy = *state;
    struct kvm_regs regs;
    int r;

    regs_copy(&copy, &regs, true);
    if ((r = activity_set(fd, state)) < 0 || (r = sregs_set(fd, state)) < 0 ||
        (r = kvm_ioctl(fd, KVM_SET_REGS, &regs)) < 0 || (r = xsave_set(fd, state)) < 0 ||
        (r = debugregs_set(fd, state)) < 0 || (r = events_set(fd, state)) < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LEN(msr_fields); i++) {
        uint64_t value = *msr_value(&copy, &msr_fields[i]), now;

        /* One that the host lacks or holds already need not be written. */
        if (msr_get(fd, msr_fields[i].msr, &now) < 0 || now == value)
            continue;
        r = msr_set(fd, msr_fields[i].msr, value);
        if (r < 0)
            return r;
    }
    /* From a reset on no page is the clock's any more, into which the kernel would go on writing. */
    msr_set(fd, MSR_KVM_SYSTEM_TIME_NEW, 0);
    return 0;
}

/* SDM vol. 3, 11.4.7.1: local APIC state after power-up. LVT0 passes the 8259 as on a PC's BSP. */
int kvm_apic_reset(struct kvm_vcpu *kv)
{
    struct kvm_lapic_state lapic;
    struct kvm_sregs sregs;
    uint32_t masked = APIC_MASKED, id = kv->vcpu.index << 24, dfr = 0xffffffff, spurious = 0xff;
    int r;

    r = kvm_ioctl(kv->fd, KVM_GET_SREGS, &sregs);
    if (r < 0)
        return r;
    sregs.apic_base = 0xfee00800 | (kv->vcpu.index == 0 ? 0x100 : 0);
    r = kvm_ioctl(kv->fd, KVM_SET_SREGS, &sregs);
    if (r < 0 || (r = kvm_ioctl(kv->fd, KVM_GET_LAPIC, &lapic)) < 0)
        return r;
    for (unsigned reg = 0; reg < sizeof(lapic.regs); reg += 0x10)
        if (reg != APIC_VERSION)
            memset(lapic.regs + reg, 0, 4);
    memcpy(lapic.regs + APIC_ID, &id, 4);
    memcpy(lapic.regs + APIC_DFR, &dfr, 4);
    memcpy(lapic.regs + APIC_SPURIOUS, &spurious, 4);
    memcpy(lapic.regs + APIC_LVT_CMCI, &masked, 4);
    for (unsigned reg = APIC_LVT_TIMER; reg <= APIC_LVT_ERROR; reg += 0x10)
        memcpy(lapic.regs + reg, &masked, 4);
    if (kv->vcpu.index == 0) {
        uint32_t extint = APIC_EXTINT;
        memcpy(lapic.regs + 0x350, &extint, 4);
    }
    return kvm_ioctl(kv->fd, KVM_SET_LAPIC, &lapic);
}

int kvm_vcpu_get_apic(struct vcpu *vcpu, struct x86_apic *ret_apic)
{
    int fd = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->fd;
    struct kvm_lapic_state lapic;
    struct kvm_sregs sregs;
    int r;

    if ((r = kvm_ioctl(fd, KVM_GET_SREGS, &sregs)) < 0 ||
        (r = kvm_ioctl(fd, KVM_GET_LAPIC, &lapic)) < 0)
        return r;
    *ret_apic = (struct x86_apic){.base = sregs.apic_base};
    memcpy(ret_apic->page, lapic.regs, sizeof(ret_apic->page));
    msr_get(fd, MSR_TSC_DEADLINE, &ret_apic->tsc_deadline);
    return 0;
}

/* The mode first, for it says what the page means; the deadline last, for the timer has a mode. */
int kvm_vcpu_set_apic(struct vcpu *vcpu, const struct x86_apic *apic)
{
    int fd = CONTAINER_OF(vcpu, struct kvm_vcpu, vcpu)->fd;
    struct kvm_lapic_state lapic;
    struct kvm_sregs sregs;
    int r = kvm_ioctl(fd, KVM_GET_SREGS, &sregs);

    if (r < 0)
        return r;
    sregs.apic_base = apic->base;
    r = kvm_ioctl(fd, KVM_SET_SREGS, &sregs);
    memcpy(lapic.regs, apic->page, sizeof(apic->page));
    if (r < 0 || (r = kvm_ioctl(fd, KVM_SET_LAPIC, &lapic)) < 0)
        return r;
    return apic->tsc_deadline ? msr_set(fd, MSR_TSC_DEADLINE, apic->tsc_deadline) : 0;
}
