/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loops of a single block. Most accesses in one lie around registers that move by the same step
 * each time round: a stream. One check before the loop then serves every access of as many turns
 * as all streams stay in their pages, and what is left of the check in the loop is the counting of
 * turns. When they are used up the block is entered anew: by its poll, and with new checks.
 *
 * A turn that needs two pages, or something that is no plain memory, is T0's, as after any miss.
 * Accesses that belong to no stream are checked one by one. Flags that are dead at the loop's
 * start are not kept where the turns run out.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/t1.h"

#define STEP_MAX 1024  /* bytes by which a stream may move in one turn */
#define RANGE_MAX 1024 /* bytes of a stream that one turn may touch */
#define TURNS_MAX 1024 /* between two polls */

/* What a turn does to a register. */
struct motion {
    bool unknown;
    int64_t step; /* so far, and in the end */
};

static bool is_high_byte(const struct x86_insn *in, const struct x86_operand *op, unsigned n)
{
    return op->kind == K_GPR && op->size == SZ_1 && !in->rex_present && n >= 4 && n < 8;
}

/* Only what the translator does without T0, RSP, or the registers that it needs itself. */
static bool is_plain(struct t1_ctx *x, const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    struct t1_ea ea;

    switch (info->op) {
    case X86_DATA:
    case X86_MOV_R_RM:
    case X86_MOV_RM_R:
    case X86_MOV_RM_I:
    case X86_MOVZX:
    case X86_MOVSX:
    case X86_MOVSXD:
        break;
    case X86_LEA:
        return in->op_bytes != 2 && in->reg < X86_R14 && in->reg != X86_RSP && in->base < X86_R14 &&
               (in->index < X86_R14 || in->index == X86_NO_REG) && in->addr_bytes == 8;
    case X86_MOV_R_I:
        return in->rm < X86_R14 && in->rm != X86_RSP;
    case X86_NOP:
        return true;
    default:
        return false;
    }
    if (uop_refuses(x->c, in) || info->rm.kind == K_X87 || t1_names_spare(in) ||
        t1_writes(in, X86_RSP))
        return false;
    if (!in->mem)
        return true;
    bool high = is_high_byte(in, &info->reg, in->reg);
    return !(info->attrs & ATTR_VM) && !high && t1_ea(x, in, &ea) && ea.seg == X86_NO_REG;
}

/* reg += a number, in all 64 bits */
static bool is_step(const struct x86_insn *in, unsigned reg, int64_t *ret_step)
{
    const struct x86_opinfo *info = in->info;

    if (info->op == X86_LEA) {
        *ret_step = in->disp;
        return in->reg == reg && in->base == reg && in->index == X86_NO_REG && in->op_bytes == 8;
    }
    if (info->op != X86_DATA || info->map != MAP_1 || in->op_bytes != 8)
        return false;
    if (in->opcode == 0x05 || in->opcode == 0x2d) { /* to RAX */
        *ret_step = in->opcode == 0x05 ? (int64_t)in->imm : -(int64_t)in->imm;
        return reg == X86_RAX;
    }
    if (!in->has_modrm || in->mem || in->rm != reg)
        return false;
    switch (in->opcode) {
    case 0x81:
    case 0x83:
        *ret_step = (in->reg & 7) == 5 ? -(int64_t)in->imm : (int64_t)in->imm;
        return (in->reg & 7) == 0 || (in->reg & 7) == 5;
    case 0xff:
        *ret_step = (in->reg & 7) == 0 ? 1 : -1;
        return (in->reg & 7) < 2;
    default:
        return false;
    }
}

static void move_registers(const struct x86_insn *in, struct motion *motion)
{
    const struct x86_opinfo *info = in->info;

    for (unsigned n = 0; n < X86_R14; n++) {
        int64_t step;
        if (is_step(in, n, &step))
            motion[n].step += step;
        else if (info->op == X86_MOV_R_I)
            motion[n].unknown |= in->rm == n || (in->op_bytes == 1 && in->rm == n + 4);
        else
            motion[n].unknown |= t1_writes(in, n);
    }
    if (is_high_byte(in, &info->reg, in->reg))
        motion[in->reg - 4].unknown = true;
    if (!in->mem && is_high_byte(in, &info->rm, in->rm))
        motion[in->rm - 4].unknown = true;
}

static const struct motion still;

static const struct motion *motion_of(const struct motion *motion, unsigned reg)
{
    return reg < X86_R14 ? &motion[reg] : &still;
}

/* Put the present instruction's access into a stream, where it fits one. */
static bool join_stream(struct t1_ctx *x, const struct x86_insn *in, const struct motion *now,
                        const struct motion *turn)
{
    struct t1_loop *l = &x->loop;
    unsigned size = x86_operand_bytes(in, in->info->rm.size);
    struct t1_ea ea;

    if (!t1_ea(x, in, &ea) || ea.bytes != 8 || !size || size > 64 ||
        (ea.base >= X86_R14 && ea.base != X86_RIP_REG && ea.base != X86_NO_REG) ||
        (ea.index >= X86_R14 && ea.index != X86_NO_REG) || motion_of(turn, ea.base)->unknown ||
        motion_of(turn, ea.index)->unknown)
        return false;
    int64_t step =
        motion_of(turn, ea.base)->step + motion_of(turn, ea.index)->step * (1 << ea.scale);
    int64_t lo =
        ea.disp + motion_of(now, ea.base)->step + motion_of(now, ea.index)->step * (1 << ea.scale);
    int64_t hi = lo + size;
    if (step > STEP_MAX || step < -STEP_MAX || lo < INT32_MIN || hi > INT32_MAX)
        return false;
    for (unsigned k = 0; k < l->count; k++) {
        struct t1_stream *s = &l->streams[k];
        int64_t all_lo = MIN(lo, (int64_t)s->lo), all_hi = MAX(hi, (int64_t)s->hi);
        if (s->base != ea.base || s->index != ea.index || s->scale != ea.scale ||
            all_hi - all_lo > RANGE_MAX)
            continue;
        s->lo = (int32_t)all_lo;
        s->hi = (int32_t)all_hi;
        s->write |= in->info->rm.access & A_W;
        l->of[x->i] = (uint8_t)k;
        return true;
    }
    if (l->count == T1_STREAMS_MAX)
        return false;
    l->of[x->i] = (uint8_t)l->count;
    l->streams[l->count++] = (struct t1_stream){
        .base = ea.base,
        .index = ea.index,
        .scale = ea.scale,
        .write = in->info->rm.access & A_W,
        .lo = (int32_t)lo,
        .hi = (int32_t)hi,
        .step = (int32_t)step,
    };
    return true;
}

static bool accesses_memory(const struct x86_insn *in)
{
    return in->mem && in->info->op != X86_LEA && in->info->op != X86_NOP;
}

void t1_loop_find(struct t1_ctx *x)
{
    struct t1_loop *l = &x->loop;
    struct motion now[X86_R14] = {{0}}, turn[X86_R14] = {{0}};
    const struct x86_insn *last = &x->insns[x->count - 1];
    bool all = true;

    l->count = 0;
    if (x->c->soft->options.no_loop || !x->code64 || x->live[0] || x->b->ram_offset2 != NO_RAM ||
        last->info->op != X86_JCC || x->at[x->count] + (int64_t)last->imm != 0)
        return;
    for (x->i = 0; x->i + 1u < x->count; x->i++) {
        if (!is_plain(x, &x->insns[x->i]))
            return;
        move_registers(&x->insns[x->i], turn);
    }
    for (x->i = 0; x->i + 1u < x->count; x->i++) {
        const struct x86_insn *in = &x->insns[x->i];
        l->of[x->i] = T1_NO_STREAM;
        if (accesses_memory(in))
            all &= join_stream(x, in, now, turn);
        move_registers(in, now);
    }
    l->of[x->i] = T1_NO_STREAM;
    l->pure = all;
}

/* ---- code ---- */

static struct host_mem addend(const struct t1_ctx *x, unsigned k)
{
    return cpu_mem(x->c, offsetof(struct cpu, t1_addends) + k * sizeof(uint64_t));
}

static bool is_fixed(const struct t1_stream *s)
{
    return s->base >= X86_R14 && s->index == X86_NO_REG;
}

/* Base and index: r15 must be added to one of them for each access. */
static bool is_sum(const struct t1_stream *s)
{
    return s->base < X86_R14 && s->index != X86_NO_REG;
}

/* r14: where in its page the stream begins. Turns until it leaves the page, to where they count. */
static void put_turns(struct t1_ctx *x, const struct t1_stream *s, bool *limited)
{
    struct emit *e = &x->e;
    struct host_mem turns = CPU_FIELD(x, t1_turns);
    unsigned step = (unsigned)(s->step < 0 ? -s->step : s->step), shift = 0;

    if (s->step > 0) {
        PUT(e, 0x49, 0xf7, 0xde, 0x49, 0x81, 0xc6); /* neg r14; add r14, imm32 */
        put_le(e, PAGE_MASK + 1 - (uint64_t)(s->hi - s->lo), 4);
    }
    while (1u << shift < step)
        shift++;
    if (shift) {
        PUT(e, 0x41, 0xc1, 0xee); /* shr r14d, imm8 */
        put8(e, shift);
    }
    put_lea(e, false, H_R14, &(struct host_mem){H_R14, H_NONE, 0, 1});
    uint8_t *over = NULL;
    if (*limited) {
        put_op_mem(e, 0x3b, false, H_R14, &turns);
        over = put_jcc(e, CC_AE, 0);
    }
    put_op_mem(e, 0x89, false, H_R14, &turns);
    if (over)
        patch_rel32(over, e->run, emit_run(e));
    *limited = true;
}

static void put_stream(struct t1_ctx *x, unsigned k, bool *limited)
{
    struct emit *e = &x->e;
    const struct t1_stream *s = &x->loop.streams[k];
    struct t1_ea ea = {s->base, s->index, s->scale, X86_NO_REG, 8, s->lo};
    struct host_mem keep = addend(x, k);

    t1_put_check(x, &ea, (struct t1_range){s->lo, s->hi, s->write}, s->write, false);
    if (s->step)
        put_turns(x, s, limited);
    size_t field =
        is_fixed(s) ? offsetof(struct tlb_entry, page) : offsetof(struct tlb_entry, addend);
    put_op_mem(e, 0x8b, true, H_R15, &(struct host_mem){H_R15, H_NONE, 0, (int32_t)field});
    if (is_fixed(s))
        put_op_reg(e, 0x03, true, H_R15, H_R14);
    put_op_mem(e, 0x89, true, H_R15, &keep);
}

void t1_loop_begin(struct t1_ctx *x)
{
    struct emit *e = &x->e;
    struct t1_loop *l = &x->loop;
    struct host_mem turns = CPU_FIELD(x, t1_turns);
    bool limited = false;

    x->i = 0;
    for (unsigned i = 0; i < x->count; i++)
        if (x->insns[i].info->op == X86_DATA && insn_uses_fpu(&x->insns[i]))
            t1_need_vectors(x);
    for (unsigned k = 0; k < l->count; k++)
        put_stream(x, k, &limited);
    if (!limited || x->c->check) { /* lockstep compares turn by turn */
        put_op_mem(e, 0xc7, false, 0, &turns);
        put_le(e, x->c->check ? 1 : TURNS_MAX, 4);
    }
    if (l->pure)
        put_op_mem(e, 0x8b, false, H_R14, &turns);
    l->held = l->pure && l->count == 1 && !is_sum(&l->streams[0]) ? 0 : T1_NO_STREAM;
    l->top = emit_run(e);
}

void t1_loop_mem(struct t1_ctx *x, const struct t1_ea *ea, struct host_mem *ret)
{
    struct t1_loop *l = &x->loop;
    uint8_t k = l->of[x->i];
    const struct t1_stream *s = &l->streams[k];
    struct host_mem keep = addend(x, k);
    int32_t disp = (int32_t)ea->disp;

    x->share_base = X86_NO_REG;
    if (l->held != k)
        put_op_mem(&x->e, 0x8b, true, H_R15, &keep);
    l->held = l->pure && !is_sum(s) ? k : T1_NO_STREAM;
    if (is_fixed(s)) {
        *ret = (struct host_mem){H_R15, H_NONE, 0, disp - s->lo};
    } else if (ea->index == X86_NO_REG) {
        *ret = (struct host_mem){ea->base, H_R15, 0, disp};
    } else {
        if (is_sum(s))
            put_lea(&x->e, true, H_R15, &(struct host_mem){ea->base, H_R15, 0, 0});
        *ret = (struct host_mem){H_R15, ea->index, ea->scale, disp};
    }
}

void t1_put_turn(struct t1_ctx *x)
{
    struct host_mem turns = CPU_FIELD(x, t1_turns);

    if (x->c->check) {
        t1_keep_flags(x);
        put_op_mem(&x->e, 0x8b, false, H_R14, &turns);
    } else {
        x->flags = F_DEAD;
    }
    if (x->loop.pure)
        PUT(&x->e, 0x41, 0x83, 0xee); /* sub r14d, 1 */
    else
        put_op_mem(&x->e, 0x83, false, 5, &turns);
    put8(&x->e, 1);
    put_jcc(&x->e, CC_NE, x->loop.top);
}
