/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's data instructions and moves: the guest's own opcodes, with memory operands
 * replaced, and R14 and R15 brought in and put back.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/t1.h"

#define HIGH_BYTES 16 /* AH..BH for put_insn() */

static struct host_mem gpr(const struct t1_ctx *x, unsigned n)
{
    return cpu_mem(x->c, offsetof(struct cpu, gpr) + 8 * n);
}

void t1_load_gpr(struct t1_ctx *x, unsigned host, unsigned n)
{
    struct host_mem m = gpr(x, n);
    put_op_mem(&x->e, 0x8b, true, host, &m);
}

void t1_store_gpr(struct t1_ctx *x, unsigned host, unsigned n)
{
    struct host_mem m = gpr(x, n);
    put_op_mem(&x->e, 0x89, true, host, &m);
}

/* ---- the operands of one instruction ---- */

struct operand {
    uint8_t guest, host;
    bool used, load, store;
};

static void find_operand(const struct x86_insn *in, const struct x86_operand *op, unsigned n,
                         struct operand *ret)
{
    unsigned bytes = x86_operand_bytes(in, op->size);
    bool small = op->size == SZ_M1 || op->size == SZ_M2;

    *ret = (struct operand){.guest = (uint8_t)n, .host = (uint8_t)n, .used = true};
    ret->store = op->access & A_W;
    ret->load = op->access & A_R || (ret->store && bytes < 4 && !small);
    if (op->size == SZ_1 && !in->rex_present && n >= 4 && n < 8) {
        ret->guest = (uint8_t)(n - 4);
        ret->host = (uint8_t)(HIGH_BYTES + n - 4);
    }
}

void t1_need_vectors(struct t1_ctx *x)
{
    if (x->fpu_known)
        return;
    t1_keep_flags(x);
    struct host_mem live = CPU_FIELD(x, fpu_live);
    put_op_mem(&x->e, 0x80, false, 7, &live); /* cmp byte, 0 */
    put8(&x->e, 0);
    struct t1_cold *cold = t1_add_cold(x, COLD_FPU, put_jcc(&x->e, CC_E, 0));
    if (cold)
        cold->back = emit_run(&x->e);
    x->share_base = X86_NO_REG;
    x->fpu_known = true;
}

/*
 * Guest R14 and R15 get a scratch register: one of them r14, so that r15 keeps what is shared; both
 * their own, where there is no memory. False: too many.
 */
static bool place(const struct x86_insn *in, struct operand *ops, unsigned count)
{
    bool both = t1_names_both(in);
    for (unsigned i = 0; i < count; i++)
        if (ops[i].used && ops[i].guest >= X86_R14)
            ops[i].host = both ? ops[i].guest : H_R14;
    return !both || !in->mem;
}

/* ---- the stack pointer ---- */

void t1_check_rsp(struct t1_ctx *x)
{
    if (!x->code64)
        return;
    put_op_reg(&x->e, 0x8b, true, H_R15, H_R14);
    PUT(&x->e, 0x49, 0xc1, 0xe7, 16, 0x49, 0xc1, 0xff, 16); /* shl r15, 16; sar r15, 16 */
    put_op_reg(&x->e, 0x3b, true, H_R14, H_R15);
    t1_hand_over(x, put_jcc(&x->e, CC_NE, 0));
    x->share_base = X86_NO_REG;
}

enum rsp_write { RSP_KEPT, RSP_NEAR, RSP_COPIED, RSP_LOADED, RSP_ANY };

/* What an instruction does to RSP: nothing, a step or a rounding, MOV from a register or memory, or
 * else. */
static enum rsp_write rsp_write(const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    bool by_reg = info->reg.kind == K_GPR && info->reg.access & A_W && in->reg == X86_RSP;
    bool by_rm = info->rm.kind == K_GPR && !in->mem && info->rm.access & A_W && in->rm == X86_RSP;

    if (info->reg.size == SZ_1 && !in->rex_present)
        by_reg = false; /* AH */
    if (info->rm.size == SZ_1 && !in->rex_present)
        by_rm = false;
    if (!by_reg && !by_rm && !(info->vvvv.kind == K_GPR && in->vvvv == X86_RSP))
        return RSP_KEPT;
    if (by_rm && (in->opcode == 0x83 || in->opcode == 0x81) && info->map == MAP_1 &&
        ((in->reg & 7) == 0 || (in->reg & 7) == 4 || (in->reg & 7) == 5))
        return RSP_NEAR;
    if (in->mem && in->op_bytes == 8 && info->op == X86_MOV_R_RM)
        return RSP_LOADED;
    if (!in->mem && in->op_bytes >= 4 && (info->op == X86_MOV_R_RM || info->op == X86_MOV_RM_R))
        return RSP_COPIED;
    return RSP_ANY;
}

/* What FNSTENV and its like tell of the last x87 instruction: as x_x87_reg() and x_x87_mem() do. */
static void note_x87(struct t1_ctx *x, const struct x86_insn *in, const struct t1_ea *ea)
{
    struct host_mem page = CPU_FIELD(x, page), ip = CPU_FIELD(x, fpu_ip);
    struct host_mem dp = CPU_FIELD(x, fpu_dp), op = CPU_FIELD(x, fpu_op);
    int32_t at = (int32_t)(x->page_offset + x->at[x->i]);
    unsigned code = (in->opcode & 7u) << 8 | (in->reg & 7u) << 3;

    if (x->segments) {
        put_mov_imm(&x->e, H_R14, t1_rip(x, at));
    } else {
        put_op_mem(&x->e, 0x8b, true, H_R14, &page);
        put_lea(&x->e, x->code64, H_R14, &(struct host_mem){H_R14, H_NONE, 0, at});
    }
    put_op_mem(&x->e, 0x89, true, H_R14, &ip);
    t1_put_selector(x, X86_CS, offsetof(struct cpu, fpu_cs));
    if (!ea)
        code |= 0xc0 | (in->rm & 7u);
    put8(&x->e, 0x66);
    put_op_mem(&x->e, 0xc7, false, 0, &op);
    put_le(&x->e, code, 2);
    if (!ea)
        return;
    if (ea->base >= X86_R14 || (ea->index >= X86_R14 && ea->index != X86_NO_REG))
        x->share_base = X86_NO_REG; /* r15 is used */
    t1_put_lea(x, ea, false);
    put_op_mem(&x->e, 0x89, true, H_R14, &dp);
    t1_put_selector(x, x->code64 && in->seg < X86_FS ? X86_DS : in->seg,
                    offsetof(struct cpu, fpu_ds));
}

static bool data(struct t1_ctx *x, const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    struct operand ops[3] = {{0}};
    struct host_regs r = {in->reg, in->rm, in->vvvv, NULL};
    struct host_mem m;
    struct t1_ea ea;
    bool high = false, extra = false;
    int32_t step;

    if (uop_refuses(x->c, in) || (info->attrs & ATTR_VM && in->mem))
        return false;
    if (info->reg.kind == K_GPR)
        find_operand(in, &info->reg, in->reg, &ops[0]);
    if (info->rm.kind == K_GPR && !in->mem)
        find_operand(in, &info->rm, in->rm, &ops[1]);
    if (info->vvvv.kind == K_GPR)
        find_operand(in, &info->vvvv, in->vvvv, &ops[2]);
    if (!place(in, ops, 3))
        return false;
    for (unsigned i = 0; i < 3; i++) {
        high |= ops[i].used && ops[i].host >= HIGH_BYTES;
        extra |= ops[i].used && ops[i].guest >= X86_R14;
    }
    if (in->mem && (high || !t1_ea(x, in, &ea)))
        return false;
    switch (rsp_write(in)) {
    case RSP_COPIED: {
        unsigned from = info->op == X86_MOV_R_RM ? in->rm : in->reg;
        if (from >= X86_R14)
            return false;
        t1_keep_flags(x);
        put_op_reg(&x->e, 0x8b, in->op_bytes == 8, H_R14, from);
        t1_check_rsp(x);
        break;
    }
    case RSP_LOADED:
        t1_keep_flags(x);
        if (!t1_mem(x, &ea, 8, false, &m))
            return false;
        put_op_mem(&x->e, 0x8b, true, H_R14, &m);
        t1_check_rsp(x);
        put_op_reg(&x->e, 0x8b, true, H_RSP, H_R14);
        t1_wrote(x, X86_RSP);
        return true;
    case RSP_ANY:
        if (x->code64)
            return false;
        break;
    case RSP_KEPT:
    case RSP_NEAR:
        break;
    }

    if (info->rm.kind == K_X87 && !(info->attrs & ATTR_CTL))
        note_x87(x, in, in->mem ? &ea : NULL);
    if (insn_uses_fpu(in))
        t1_need_vectors(x);
    if (in->mem) {
        if (!t1_mem(x, &ea, x86_operand_bytes(in, info->rm.size), info->rm.access & A_W, &m))
            return false;
        if (extra)
            t1_collapse(x, &m);
        r.mem = &m;
    } else if (t1_names_both(in)) {
        x->share_base = X86_NO_REG;
    }
    if (info->flags == FL_R || info->flags == FL_RW || (info->flags == FL_P && x->live[x->i + 1]))
        t1_want_flags(x);
    for (unsigned i = 0; i < 3; i++)
        if (ops[i].used && ops[i].guest >= X86_R14 && ops[i].load)
            t1_load_gpr(x, ops[i].host, ops[i].guest);

    if (info->attrs & ATTR_Z)
        r.reg = info->as_reg;
    if (ops[0].used)
        r.reg = ops[0].host;
    else if (info->reg.kind == K_NONE && in->has_modrm)
        r.reg = in->reg & 7;
    if (ops[1].used)
        r.rm = ops[1].host;
    else if (info->rm.kind != K_XMM && !in->mem)
        r.rm = in->rm & 7;
    if (info->reg.kind == K_MMX)
        r.reg &= 7;
    if (ops[2].used)
        r.vvvv = ops[2].host;
    if (x->flags == F_HOST || x->flags == F_BOTH)
        x->code->at[x->i] |= T1_AT_FLAGS;
    put_insn(&x->e, in, &r);

    if (info->flags != FL_NONE && info->flags != FL_R)
        x->flags = F_HOST;
    for (unsigned i = 0; i < 3; i++) {
        if (!ops[i].used || !ops[i].store)
            continue;
        if (ops[i].guest >= X86_R14)
            t1_store_gpr(x, ops[i].host, ops[i].guest);
        if (ops[i].guest == X86_RSP && t1_rsp_step(in, &step))
            t1_rsp_moved(x, step);
        else
            t1_wrote(x, ops[i].guest);
    }
    for (unsigned n = 0; n < 4; n++)
        if (info->implied_w >> n & 1)
            t1_wrote(x, n);
    return true;
}

/* ---- moves that are not data in the table ---- */

static bool move_immediate(struct t1_ctx *x, const struct x86_insn *in)
{
    struct emit *e = &x->e;
    unsigned n = in->rm, bytes = in->op_bytes;

    if (n == X86_RSP && x->code64 && (bytes > 1 || in->rex_present))
        return false;
    if (n >= X86_R14) {
        struct host_mem m = gpr(x, n);
        put_mov_imm(e, H_R14, bytes == 8 ? in->imm : (uint32_t)in->imm);
        if (bytes == 2)
            put8(e, 0x66);
        put_op_mem(e, bytes == 1 ? 0x88 : 0x89, bytes >= 4, H_R14, &m);
        return true;
    }
    t1_wrote(x, n);
    if (bytes >= 4) {
        put_mov_imm(e, n, bytes == 8 ? in->imm : (uint32_t)in->imm);
        return true;
    }
    /* mov r8 or r16, imm: as it is */
    if (bytes == 2)
        put8(e, 0x66);
    if (in->rex_present || n >= 8)
        put8(e, 0x40 | n >> 3);
    put8(e, (bytes == 1 ? 0xb0 : 0xb8) | (n & 7));
    put_le(e, in->imm, bytes);
    return true;
}

static bool load_address(struct t1_ctx *x, const struct x86_insn *in)
{
    struct t1_ea ea;
    unsigned n = in->reg;

    if ((in->op_bytes == 2 && (n == X86_RSP || n >= X86_R14)) || !t1_ea(x, in, &ea))
        return false;
    ea.seg = X86_NO_REG;
    bool stays = ea.base == X86_RSP && ea.index == X86_NO_REG;
    if ((n != X86_RSP || stays) && n < X86_R14 && in->op_bytes != 2 &&
        in->addr_bytes == (x->code64 ? 8 : 4) && ea.base < X86_R14 &&
        (ea.index < X86_R14 || ea.index == X86_NO_REG)) {
        put_lea(&x->e, in->op_bytes == 8, n,
                &(struct host_mem){ea.base, ea.index == X86_NO_REG ? H_NONE : ea.index, ea.scale,
                                   (int32_t)ea.disp});
        t1_wrote(x, n);
        return true;
    }
    x->share_base = X86_NO_REG; /* r14 and r15 may be used */
    if (n == X86_RSP)
        t1_keep_flags(x);
    t1_put_lea(x, &ea, false);
    if (n >= X86_R14) {
        if (in->op_bytes == 4)
            put_op_reg(&x->e, 0x8b, false, H_R14, H_R14);
        t1_store_gpr(x, H_R14, n);
        return true;
    }
    if (n == X86_RSP)
        t1_check_rsp(x);
    if (in->op_bytes == 2)
        put8(&x->e, 0x66);
    put_op_reg(&x->e, 0x8b, in->op_bytes == 8, n, H_R14);
    t1_wrote(x, n);
    return true;
}

static bool exchange_rax(struct t1_ctx *x, const struct x86_insn *in)
{
    unsigned n = in->rm, host = n;

    if (n == X86_RAX || n == X86_RSP)
        return n == X86_RAX;
    if (n >= X86_R14) {
        host = H_R14;
        t1_load_gpr(x, host, n);
    }
    if (in->op_bytes == 2)
        put8(&x->e, 0x66);
    put_op_reg(&x->e, 0x87, in->op_bytes == 8, X86_RAX, host);
    if (n >= X86_R14)
        t1_store_gpr(x, host, n);
    t1_wrote(x, X86_RAX);
    t1_wrote(x, n);
    return true;
}

/* MOV between RAX and an absolute address. */
static bool move_offset(struct t1_ctx *x, const struct x86_insn *in, bool store)
{
    struct host_mem m;
    struct t1_ea ea;

    if (!t1_ea(x, in, &ea) || !t1_mem(x, &ea, in->op_bytes, store, &m))
        return false;
    if (in->op_bytes == 2)
        put8(&x->e, 0x66);
    unsigned opcode = (store ? 0x88 : 0x8a) | (in->op_bytes > 1);
    put_op_mem(&x->e, opcode, in->op_bytes == 8, X86_RAX, &m);
    if (!store)
        t1_wrote(x, X86_RAX);
    return true;
}

bool t1_move(struct t1_ctx *x, const struct x86_insn *in)
{
    switch (in->info->op) {
    case X86_DATA:
    case X86_MOV_R_RM:
    case X86_MOV_RM_R:
    case X86_MOV_RM_I:
    case X86_MOVZX:
    case X86_MOVSX:
    case X86_MOVSXD:
        return data(x, in);
    case X86_MOV_R_I:
        return move_immediate(x, in);
    case X86_MOV_MOFFS_LD:
        return move_offset(x, in, false);
    case X86_MOV_MOFFS_ST:
        return move_offset(x, in, true);
    case X86_LEA:
        return load_address(x, in);
    case X86_XCHG_RAX:
        return exchange_rax(x, in);
    case X86_NOP:
        return true;
    default:
        return t1_stack(x, in);
    }
}
