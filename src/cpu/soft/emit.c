/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/soft/emit.h"

typedef uint64_t __attribute__((aligned(1), may_alias)) code64;

void put_le(struct emit *e, uint64_t v, unsigned bytes)
{
    if (LIKELY(e->end - e->at >= 8)) { /* what is behind is written later, if at all */
        *(code64 *)e->at = v;
        e->at += bytes;
        return;
    }
    for (unsigned i = 0; i < bytes; i++)
        put8(e, (unsigned)(v >> (8 * i)) & 0xff);
}

void put_bytes(struct emit *e, const uint8_t *bytes, unsigned n)
{
    if (LIKELY(e->end - e->at >= n)) {
        for (unsigned i = 0; i < n; i++)
            e->at[i] = bytes[i];
        e->at += n;
        return;
    }
    for (unsigned i = 0; i < n; i++)
        put8(e, bytes[i]);
}

unsigned mem_rex(const struct host_mem *m)
{
    unsigned b = m->base == H_NONE ? 0 : m->base >> 3 & 1;
    unsigned x = m->index == H_NONE ? 0 : m->index >> 3 & 1;
    return x << 1 | b;
}

void put_mem(struct emit *e, unsigned reg, const struct host_mem *m)
{
    unsigned r = (reg & 7) << 3;

    if (m->base == H_NONE) {
        unsigned index = m->index == H_NONE ? 4 : m->index & 7;
        put8(e, r | 4);
        put8(e, (unsigned)m->scale << 6 | index << 3 | 5);
        put_le(e, (uint32_t)m->disp, 4);
        return;
    }
    unsigned base = m->base & 7, mod = 2;
    if (m->disp == 0 && base != 5)
        mod = 0;
    else if (m->disp == (int8_t)m->disp)
        mod = 1;
    if (m->index != H_NONE || base == 4) {
        unsigned index = m->index == H_NONE ? 4 : m->index & 7;
        put8(e, mod << 6 | r | 4);
        put8(e, (unsigned)m->scale << 6 | index << 3 | base);
    } else {
        put8(e, mod << 6 | r | base);
    }
    if (mod)
        put_le(e, (uint32_t)m->disp, mod == 1 ? 1 : 4);
}

static void put_rex_opcode(struct emit *e, unsigned opcode, unsigned rex, bool byte_regs)
{
    if (rex || byte_regs)
        put8(e, 0x40 | rex);
    if (opcode > 0xff)
        put8(e, opcode >> 8);
    put8(e, opcode & 0xff);
}

static bool is_byte_store(unsigned opcode)
{
    return opcode == 0x88 || opcode == 0x8a || opcode == 0x80 || opcode == 0xc6;
}

void put_op_mem(struct emit *e, unsigned opcode, bool w, unsigned reg, const struct host_mem *m)
{
    unsigned rex = (unsigned)w << 3 | (reg & 8) >> 1 | mem_rex(m);
    put_rex_opcode(e, opcode, rex, is_byte_store(opcode) && reg >= 4);
    put_mem(e, reg, m);
}

void put_op_reg(struct emit *e, unsigned opcode, bool w, unsigned reg, unsigned rm)
{
    put_rex_opcode(e, opcode, (unsigned)w << 3 | (reg & 8) >> 1 | (rm & 8) >> 3, false);
    put8(e, 0xc0 | (reg & 7) << 3 | (rm & 7));
}

void put_lea(struct emit *e, bool w, unsigned reg, const struct host_mem *m)
{
    if (m->disp == 0 && m->index == H_NONE && m->base != H_NONE)
        put_op_reg(e, 0x8b, w, reg, m->base);
    else
        put_op_mem(e, 0x8d, w, reg, m);
}

void put_mov_imm(struct emit *e, unsigned reg, uint64_t v)
{
    if (v == (uint32_t)v) {
        put_rex_opcode(e, 0xb8 | (reg & 7), (reg & 8) >> 3, false);
        put_le(e, v, 4);
    } else if (v == (uint64_t)(int32_t)v) {
        put_op_reg(e, 0xc7, true, 0, reg);
        put_le(e, (uint32_t)v, 4);
    } else {
        put_rex_opcode(e, 0xb8 | (reg & 7), 8 | (reg & 8) >> 3, false);
        put_le(e, v, 8);
    }
}

void put_lea_near(struct emit *e, unsigned reg, uint64_t target)
{
    put8(e, 0x48 | (reg & 8) >> 1);
    put8(e, 0x8d);
    put8(e, 5 | (reg & 7) << 3);
    put_le(e, target - (emit_run(e) + 4), 4);
}

static uint8_t *put_rel32(struct emit *e, uint64_t target)
{
    uint8_t *at = e->at;
    put_le(e, target - (emit_run(e) + 4), 4);
    return at;
}

uint8_t *put_jmp(struct emit *e, uint64_t target)
{
    put8(e, 0xe9);
    return put_rel32(e, target);
}

uint8_t *put_jcc(struct emit *e, unsigned cc, uint64_t target)
{
    put8(e, 0x0f);
    put8(e, 0x80 | cc);
    return put_rel32(e, target);
}

typedef uint32_t __attribute__((aligned(1), may_alias)) rel32;

/* One aligned store where the place allows it; only this thread runs the code. */
void patch_rel32(uint8_t *at, int64_t run, uint64_t target)
{
    uint32_t v = (uint32_t)(target - ((uint64_t)at + (uint64_t)run + 4));
    if (*(rel32 *)at != v) /* the processor fetches anew what it has, wherever code is written */
        *(rel32 *)at = v;
}

uint64_t rel32_target(const uint8_t *at, int64_t run)
{
    return (uint64_t)at + (uint64_t)run + 4 + (uint64_t)(int64_t)(int32_t) * (const rel32 *)at;
}

/* ---- the guest's instruction ---- */

static unsigned x_b_bits(const struct host_regs *r)
{
    return r->mem ? mem_rex(r->mem) : (r->rm & 8) >> 3;
}

static void put_modrm(struct emit *e, const struct host_regs *r)
{
    if (r->mem)
        put_mem(e, r->reg, r->mem);
    else
        put8(e, 0xc0 | (r->reg & 7) << 3 | (r->rm & 7));
}

static void put_vex(struct emit *e, const struct x86_insn *in, const struct host_regs *r)
{
    static const uint8_t pp[] = {0, 0, 1, 2, 3};
    unsigned xb = x_b_bits(r);
    put8(e, 0xc4);
    put8(e, (unsigned)!(r->reg & 8) << 7 | (~xb & 3) << 5 | (in->info->map - MAP_V0F + 1u));
    put8(e, (in->rex & 8u) << 4 | (~r->vvvv & 15) << 3 | (unsigned)in->vex_l << 2 |
                pp[in->info->prefix]);
    put8(e, in->opcode);
    put_modrm(e, r);
}

static bool is_general(const struct x86_opinfo *info)
{
    return info->rm.kind <= K_MEM && info->reg.kind <= K_MEM;
}

/* Byte registers 4–7 mean SPL..DIL only behind a REX prefix. */
static bool needs_rex(const struct x86_insn *in, const struct host_regs *r)
{
    const struct x86_opinfo *info = in->info;
    if (info->reg.kind == K_GPR && info->reg.size == SZ_1 && r->reg >= 4 && r->reg < 8)
        return true;
    return info->rm.kind == K_GPR && info->rm.size == SZ_1 && !r->mem && r->rm >= 4 && r->rm < 8;
}

/* AH..BH as 16–19: encodings 4–7 without REX. */
static unsigned plain(unsigned reg)
{
    return reg >= 16 ? reg - 12 : reg;
}

static void put_legacy(struct emit *e, const struct x86_insn *in, const struct host_regs *given)
{
    const struct x86_opinfo *info = in->info;
    struct host_regs r = {plain(given->reg), plain(given->rm), given->vvvv, given->mem};
    uint8_t opcode = in->opcode;
    unsigned rex = (in->rex & 8u) | (r.reg & 8) >> 1 | x_b_bits(&r);

    if (in->lock)
        put8(e, 0xf0);
    if (info->prefix == 2 || (in->op_bytes == 2 && is_general(info) && info->rm.size != SZ_Y))
        put8(e, 0x66);
    if (info->prefix >= 3)
        put8(e, info->prefix == 3 ? 0xf3 : 0xf2);
    if (rex || needs_rex(in, given))
        put8(e, 0x40 | rex);
    if (info->map != MAP_1)
        put8(e, 0x0f);
    if (info->map >= MAP_38)
        put8(e, info->map == MAP_38 ? 0x38 : 0x3a);
    if (info->as_opcode)
        opcode = info->as_opcode;
    if (info->attrs & ATTR_Z && !info->as_opcode) {
        put8(e, (opcode & 0xf8u) | (r.rm & 7));
        return;
    }
    put8(e, opcode);
    if (in->has_modrm || info->attrs & ATTR_Z)
        put_modrm(e, &r);
}

void put_insn(struct emit *e, const struct x86_insn *in, const struct host_regs *r)
{
    const struct x86_opinfo *info = in->info;

    if (in->vex && in->has_modrm) {
        put_vex(e, in, r);
    } else if (in->vex) {
        put8(e, 0xc5); /* VZEROUPPER, VZEROALL: no ModRM */
        put8(e, 0x80 | (~in->vvvv & 15u) << 3 | (unsigned)in->vex_l << 2);
        put8(e, in->opcode);
    } else {
        put_legacy(e, in, r);
    }
    if (info->imm == IMM_IB)
        put_le(e, in->imm, 1);
    else if (info->imm == IMM_IZ)
        put_le(e, in->imm, in->op_bytes == 2 ? 2 : 4);
}

bool insn_uses_fpu(const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    return info->rm.kind >= K_XMM || info->reg.kind >= K_XMM || info->vvvv.kind >= K_XMM ||
           info->attrs & ATTR_EMMS || (in->vex && !in->has_modrm);
}
