/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's memory accesses: effective address, soft TLB, host operand.
 */
#include "cpu/soft/t1.h"

#define ENTRY_SHIFT 5 /* of struct tlb_entry */
_Static_assert(sizeof(struct tlb_entry) == 1 << ENTRY_SHIFT, "the index is shifted by this");
_Static_assert(offsetof(struct tlb_table, entries) == 0, "cpu->tlb is the entries' address");

static const struct host_mem scratch = {H_R14, H_R15, 0, 0};

bool t1_ea(struct t1_ctx *x, const struct x86_insn *in, struct t1_ea *ret)
{
    *ret = (struct t1_ea){in->base, in->index, in->scale, X86_NO_REG, in->addr_bytes, in->disp};
    if (x->segments) {
        ret->seg = in->seg;
        return true;
    }
    if (in->addr_bytes == 2)
        return false;
    if (in->base == X86_RIP_REG)
        ret->disp += x->page_offset + x->at[x->i] + in->len;
    if (in->seg == X86_FS || in->seg == X86_GS) {
        ret->seg = in->seg;
        return x->code64 || x->b->mode & (in->seg == X86_FS ? MODE_FS_FLAT : MODE_GS_FLAT);
    }
    return x->code64 || in->seg != X86_CS; /* which cannot be written to */
}

static unsigned host_of(struct t1_ctx *x, unsigned guest, unsigned spare)
{
    if (guest == X86_NO_REG)
        return H_NONE;
    if (guest < X86_R14)
        return guest;
    struct host_mem m = cpu_mem(x->c, offsetof(struct cpu, gpr) + 8 * guest);
    put_op_mem(&x->e, 0x8b, true, spare, &m);
    return spare;
}

void t1_put_lea(struct t1_ctx *x, const struct t1_ea *ea, bool with_segment)
{
    bool wide = ea->bytes == 8;

    if (ea->base == X86_RIP_REG) {
        struct host_mem page = CPU_FIELD(x, page);
        put_op_mem(&x->e, 0x8b, true, H_R14, &page);
        put_lea(&x->e, wide, H_R14, &(struct host_mem){H_R14, H_NONE, 0, (int32_t)ea->disp});
    } else if (ea->base == X86_NO_REG && ea->index == X86_NO_REG) {
        put_mov_imm(&x->e, H_R14, wide ? (uint64_t)ea->disp : (uint32_t)ea->disp);
    } else {
        struct host_mem m = {.scale = ea->scale, .disp = (int32_t)ea->disp};
        m.base = (uint8_t)host_of(x, ea->base, H_R14);
        m.index = (uint8_t)host_of(x, ea->index, H_R15);
        put_lea(&x->e, wide, H_R14, &m);
    }
    if (ea->bytes == 2)
        put_op_reg(&x->e, 0x0fb7, false, H_R14, H_R14);
    if (with_segment && ea->seg != X86_NO_REG) {
        struct host_mem base =
            cpu_mem(x->c, offsetof(struct cpu, seg[0].base) + sizeof(struct seg) * ea->seg);
        put_op_mem(&x->e, 0x03, x->code64, H_R14, &base);
    }
}

/* Nothing but a base that is in a host register of its own. */
static bool is_simple(const struct t1_ctx *x, const struct t1_ea *ea)
{
    return x->code64 && ea->bytes == 8 && ea->base < X86_R14 && ea->index == X86_NO_REG &&
           ea->seg == X86_NO_REG;
}

/*
 * r14: an offset. The access lies in its segment, or T0 sees why not, or that the segment is one
 * that does not begin at offset 0 (expand-down: SDM vol. 3, 3.4.5.1).
 */
static void put_limit(struct t1_ctx *x, unsigned seg, unsigned size, bool write)
{
    struct host_mem end = cpu_mem(x->c, offsetof(struct cpu, seg[0].end) +
                                            sizeof(struct seg) * seg + write * sizeof(uint64_t));

    put_lea(&x->e, true, H_R15, &(struct host_mem){H_R14, H_NONE, 0, (int32_t)size});
    put_op_mem(&x->e, 0x3b, true, H_R15, &end);
    t1_hand_over(x, put_jcc(&x->e, CC_A, 0));
}

static void put_linear(struct t1_ctx *x, const struct t1_ea *at, unsigned size, bool write)
{
    struct host_mem base;

    if (!x->segments) {
        t1_put_lea(x, at, true);
        return;
    }
    t1_put_lea(x, at, false);
    put_limit(x, at->seg, size, write);
    base = cpu_mem(x->c, offsetof(struct cpu, seg[0].base) + sizeof(struct seg) * at->seg);
    put_op_mem(&x->e, 0x03, false, H_R14, &base);
}

struct t1_access *t1_put_check(struct t1_ctx *x, const struct t1_ea *at, struct t1_range range,
                               bool own_write, bool shared)
{
    struct emit *e = &x->e;
    uint32_t range_bytes = (uint32_t)(range.hi - range.lo);
    struct t1_access *a = t1_access_record(x);

    a->retry = emit_run(e);
    a->size = (uint16_t)range_bytes;
    a->write = range.write;
    a->own_write = own_write;
    a->shared = shared;
    put_linear(x, at, range_bytes, range.write);
    put_op_reg(e, 0x8b, false, H_R15, H_R14);
    PUT(e, 0x41, 0xc1, 0xef, 12 - ENTRY_SHIFT); /* shr r15d */
    PUT(e, 0x41, 0x81, 0xe7);                   /* and r15d */
    put_le(e, (TLB_ENTRIES - 1) << ENTRY_SHIFT, 4);
    struct host_mem tlb = CPU_FIELD(x, tlb);
    put_op_mem(e, 0x03, true, H_R15, &tlb);
    put_op_mem(e, 0x33, true, H_R14,
               &(struct host_mem){H_R15, H_NONE, 0, range.write ? (int32_t)sizeof(uint64_t) : 0});
    PUT(e, 0x49, 0x81, 0xfe); /* cmp r14, 4096 - size */
    put_le(e, PAGE_MASK + 1 - range_bytes, 4);
    struct t1_cold *cold = t1_add_cold(x, COLD_MISS, put_jcc(e, CC_A, 0));
    if (cold) {
        cold->ea = *at;
        cold->record = a;
    }
    a->hit = (uint16_t)(emit_run(e) - a->retry);
    return a;
}

bool t1_mem(struct t1_ctx *x, const struct t1_ea *ea, unsigned size, bool write,
            struct host_mem *ret)
{
    struct emit *e = &x->e;
    bool simple = is_simple(x, ea);
    int32_t disp = (int32_t)ea->disp;

    if (!size || size > 64)
        return false;
    if (x->loop.count && x->loop.of[x->i] != T1_NO_STREAM) {
        t1_loop_mem(x, ea, ret);
        return true;
    }
    if (simple && x->share_base == ea->base && disp >= x->share_lo &&
        disp + (int32_t)size <= x->share_hi && (!write || x->share_write)) {
        *ret = (struct host_mem){ea->base, H_R15, 0, disp};
        return true;
    }
    struct t1_range range = {disp, disp + (int32_t)size, write};
    struct t1_ea at = *ea;
    if (simple) {
        t1_share(x, ea->base, &range);
        at.disp = range.lo;
    }
    t1_keep_flags(x);
    struct t1_access *a = t1_put_check(x, &at, range, write, range.hi - range.lo > (int64_t)size);
    a->once = !a->shared;
    size_t field = simple ? offsetof(struct tlb_entry, addend) : offsetof(struct tlb_entry, page);
    put_op_mem(e, 0x8b, true, H_R15, &(struct host_mem){H_R15, H_NONE, 0, (int32_t)field});
    x->share_base = simple && !x->c->soft->options.no_share ? ea->base : X86_NO_REG;
    x->share_write = range.write;
    x->share_lo = range.lo;
    x->share_hi = range.hi;
    *ret = simple ? (struct host_mem){ea->base, H_R15, 0, disp} : scratch;
    return true;
}

#define KNOWN_SHIFT 5 /* of struct tlb_known */
_Static_assert(sizeof(struct tlb_known) == 1 << KNOWN_SHIFT, "the index is shifted by this");

static void put_at(struct emit *e, unsigned opcode, unsigned reg, unsigned base, size_t at)
{
    put_op_mem(e, opcode, true, reg, &(struct host_mem){(uint8_t)base, H_NONE, 0, (int32_t)at});
}

void t1_put_refill(struct emit *e, const struct cpu *c)
{
    const size_t knowns = offsetof(struct tlb_table, known);
    const size_t tag = knowns + offsetof(struct tlb_known, tag);
    const size_t keep = offsetof(struct cpu, t1_fill), tlb = offsetof(struct cpu, tlb);
    struct host_mem fills = cpu_mem(c, offsetof(struct cpu, stats) + 8 * STAT_REFILLS);

    put_field(e, c, 0x89, H_RAX, keep);
    put_field(e, c, 0x89, H_RCX, keep + 8);

    /* Both ends of the access lie in one page. */
    put_op_mem(e, 0x0fb7, false, H_RAX,
               &(struct host_mem){H_R15, H_NONE, 0, offsetof(struct t1_access, size)});
    put_op_reg(e, 0x8b, false, H_RCX, H_R14);
    PUT(e, 0x81, 0xe1, 0xff, 0x0f, 0, 0); /* and ecx, 0xfff */
    put_op_reg(e, 0x03, false, H_RAX, H_RCX);
    PUT(e, 0x3d, 0x00, 0x10, 0, 0); /* cmp eax, 0x1000 */
    uint8_t *crosses = put_jcc(e, CC_A, 0);

    /* tlb_known_index() */
    put_op_reg(e, 0x8b, true, H_RAX, H_R14);
    PUT(e, 0x48, 0xc1, 0xe8, 12); /* shr rax, 12 */
    put_op_reg(e, 0x8b, true, H_RCX, H_RAX);
    PUT(e, 0x48, 0xc1, 0xe9, TLB_INDEX_BITS); /* shr rcx */
    put_op_reg(e, 0x33, false, H_RAX, H_RCX);
    PUT(e, 0x48, 0xc1, 0xe9, TLB_INDEX_BITS + 1);
    put_op_reg(e, 0x33, false, H_RAX, H_RCX);
    put8(e, 0x25); /* and eax */
    put_le(e, TLB_KNOWN - 1, 4);
    PUT(e, 0xc1, 0xe0, KNOWN_SHIFT); /* shl eax */
    put_field(e, c, 0x03, H_RAX, tlb);

    put_op_mem(e, 0x0fb6, false, H_RCX,
               &(struct host_mem){H_R15, H_NONE, 0, offsetof(struct t1_access, write)});
    put_op_mem(e, 0x8b, true, H_RCX, &(struct host_mem){H_RAX, H_RCX, 3, (int32_t)tag});
    put_op_reg(e, 0x33, true, H_RCX, H_R14);
    PUT(e, 0x48, 0x81, 0xf9, 0xff, 0x0f, 0, 0); /* cmp rcx, 0xfff */
    uint8_t *unknown = put_jcc(e, CC_A, 0);

    put_op_reg(e, 0x8b, false, H_RCX, H_R14);
    PUT(e, 0xc1, 0xe9, 12 - ENTRY_SHIFT); /* shr ecx */
    PUT(e, 0x81, 0xe1);                   /* and ecx */
    put_le(e, (TLB_ENTRIES - 1) << ENTRY_SHIFT, 4);
    put_field(e, c, 0x03, H_RCX, tlb);
    put_at(e, 0x8b, H_R14, H_RAX, tag + 8);
    put_at(e, 0x89, H_R14, H_RCX, offsetof(struct tlb_entry, tag) + 8);
    put_at(e, 0x8b, H_R14, H_RAX, tag);
    put_at(e, 0x89, H_R14, H_RCX, offsetof(struct tlb_entry, tag));
    put_at(e, 0x8b, H_RAX, H_RAX, knowns + offsetof(struct tlb_known, where));
    put_at(e, 0x89, H_RAX, H_RCX, offsetof(struct tlb_entry, page));
    put_op_reg(e, 0x2b, true, H_RAX, H_R14);
    put_at(e, 0x89, H_RAX, H_RCX, offsetof(struct tlb_entry, addend));
    put_op_mem(e, 0xff, true, 0, &fills); /* inc */
    put_field(e, c, 0x8b, H_RAX, keep);
    put_field(e, c, 0x8b, H_RCX, keep + 8);
    put_at(e, 0xff, 4, H_R15, offsetof(struct t1_access, retry));

    patch_rel32(crosses, e->run, emit_run(e));
    patch_rel32(unknown, e->run, emit_run(e));
    put_field(e, c, 0x8b, H_RAX, keep);
    put_field(e, c, 0x8b, H_RCX, keep + 8);
}

void t1_collapse(struct t1_ctx *x, struct host_mem *m)
{
    put_lea(&x->e, true, H_R15, m);
    *m = (struct host_mem){H_R15, H_NONE, 0, 0};
    x->share_base = X86_NO_REG;
}

void t1_wrote(struct t1_ctx *x, unsigned reg)
{
    if (x->share_base == reg)
        x->share_base = X86_NO_REG;
}
