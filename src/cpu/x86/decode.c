/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prefixes, escape bytes, ModRM, SIB, immediates. Intel SDM vol. 2, 2.1 to 2.3.
 */
#include "cpu/x86/decode.h"

#include <string.h>

#include "cpu/x86/state.h"

struct cursor {
    const uint8_t *at, *end;
    size_t taken;
    bool short_of;
};

static uint8_t next_byte(struct cursor *c)
{
    if (c->at == c->end) {
        c->short_of = true;
        return 0;
    }
    c->taken++;
    return *c->at++;
}

static uint64_t next_le(struct cursor *c, unsigned size)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (uint64_t)next_byte(c) << (8 * i);
    return v;
}

static int64_t next_signed(struct cursor *c, unsigned size)
{
    uint64_t v = next_le(c, size);
    unsigned shift = 64 - 8 * size;
    return (int64_t)(v << shift) >> shift;
}

/* Legacy prefixes and REX; returns the first byte that is neither. */
static uint8_t take_prefixes(struct cursor *c, struct x86_insn *in, enum x86_code code,
                             bool *ret_addr_prefix, uint8_t *ret_seg)
{
    for (;;) {
        uint8_t b = next_byte(c);
        if (c->short_of || c->taken > X86_INSN_MAX_BYTES)
            return b;
        switch (b) {
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            if (code != X86_CODE64)
                *ret_seg = (b >> 3) & 3;
            break;
        case 0x64:
        case 0x65:
            *ret_seg = b - 0x64 + X86_FS;
            break;
        case 0x66:
            in->opsize_prefix = true;
            break;
        case 0x67:
            *ret_addr_prefix = true;
            break;
        case 0xf0:
            in->lock = true;
            break;
        case 0xf2:
        case 0xf3:
            in->rep = b;
            break;
        default:
            if (code == X86_CODE64 && (b & 0xf0) == 0x40) {
                in->rex = b & 15;
                in->rex_present = true;
                continue;
            }
            return b;
        }
        in->rex = 0;
        in->rex_present = false;
    }
}

/* VEX prefix (C4, C5): the second byte has been looked at by the caller. SDM vol. 2, 2.3.5. */
static bool take_vex(struct cursor *c, struct x86_insn *in, bool three, enum x86_code code,
                     uint8_t *ret_map, uint8_t *ret_prefix)
{
    static const uint8_t prefixes[] = {1, 2, 3, 4};
    uint8_t b = next_byte(c);

    if (in->rex_present || in->lock || in->opsize_prefix || in->rep)
        return false;
    in->rex = (~b >> 5) & 4; /* R */
    if (three) {
        uint8_t map = b & 0x1f;
        in->rex |= ((~b >> 5) & 2) | ((~b >> 5) & 1); /* X, B */
        if (map < 1 || map > 3)
            return false;
        *ret_map = MAP_V0F + map - 1;
        b = next_byte(c);
        in->rex |= (b >> 4) & 8; /* W */
    } else {
        *ret_map = MAP_V0F;
    }
    if (code != X86_CODE64)
        in->rex &= 8;
    in->vex = true;
    in->vvvv = (~b >> 3) & 15;
    if (code != X86_CODE64)
        in->vvvv &= 7;
    in->vex_l = b & 4;
    *ret_prefix = prefixes[b & 3];
    return true;
}

/* ModRM and what follows it. SDM vol. 2, tables 2-1 to 2-3. */
static void take_modrm(struct cursor *c, struct x86_insn *in, enum x86_code code, uint8_t modrm)
{
    static const uint8_t base16[] = {X86_RBX, X86_RBX, X86_RBP, X86_RBP,
                                     X86_RSI, X86_RDI, X86_RBP, X86_RBX};
    static const uint8_t index16[] = {X86_RSI,    X86_RDI,    X86_RSI,    X86_RDI,
                                      X86_NO_REG, X86_NO_REG, X86_NO_REG, X86_NO_REG};
    unsigned disp_bytes = 0;
    uint8_t rm = modrm & 7;

    in->mod = modrm >> 6;
    in->reg = ((modrm >> 3) & 7) | (in->rex & 4) << 1;
    in->rm = rm | (in->rex & 1) << 3;
    if (in->mod == 3)
        return;
    in->mem = true;
    if (in->addr_bytes == 2) {
        in->base = base16[rm];
        in->index = index16[rm];
        disp_bytes = in->mod == 1 ? 1 : in->mod == 2 ? 2 : 0;
        if (rm == 6 && in->mod == 0) {
            in->base = X86_NO_REG;
            disp_bytes = 2;
        }
    } else {
        disp_bytes = in->mod == 1 ? 1 : in->mod == 2 ? 4 : 0;
        if (rm == 4) {
            uint8_t sib = next_byte(c);
            in->scale = sib >> 6;
            in->index = ((sib >> 3) & 7) | (in->rex & 2) << 2;
            if (in->index == 4 && !(in->info->attrs & ATTR_VSIB))
                in->index = X86_NO_REG;
            in->base = (sib & 7) | (in->rex & 1) << 3;
            if ((sib & 7) == 5 && in->mod == 0) {
                in->base = X86_NO_REG;
                disp_bytes = 4;
            }
        } else if (rm == 5 && in->mod == 0) {
            in->base = code == X86_CODE64 ? X86_RIP_REG : X86_NO_REG;
            disp_bytes = 4;
        } else {
            in->base = in->rm;
        }
    }
    if (disp_bytes)
        in->disp = next_signed(c, disp_bytes);
}

static void take_immediate(struct cursor *c, struct x86_insn *in)
{
    unsigned z = in->op_bytes == 2 ? 2 : 4;

    switch (in->info->imm) {
    case IMM_IB:
    case IMM_JB:
        in->imm = (uint64_t)next_signed(c, 1);
        break;
    case IMM_IW:
        in->imm = next_le(c, 2);
        break;
    case IMM_IZ:
    case IMM_JZ:
        in->imm = (uint64_t)next_signed(c, z);
        break;
    case IMM_IV:
        in->imm = (uint64_t)next_signed(c, in->op_bytes);
        break;
    case IMM_I2:
        in->imm = next_le(c, 2);
        in->imm2 = next_byte(c);
        break;
    case IMM_O:
        in->disp = (int64_t)next_le(c, in->addr_bytes);
        break;
    case IMM_A:
        in->imm = next_le(c, z);
        in->imm2 = (uint16_t)next_le(c, 2);
        break;
    default:
        break;
    }
}

static const struct x86_opinfo *find_row(const struct x86_decode_env *env, uint8_t map,
                                         uint8_t opcode, uint8_t prefix, const uint8_t *modrm)
{
    const struct x86_opindex *index = &x86_opindex[map][opcode];
    const struct x86_opinfo *row = &x86_opinfos[index->first];

    for (unsigned i = 0; i < index->count; i++, row++) {
        if (row->prefix && row->prefix != prefix)
            continue;
        if (row->attrs & (env->code == X86_CODE64 ? ATTR_I64 : ATTR_O64))
            continue;
        if (row->attrs & ATTR_MODRM) {
            if (!modrm)
                return row; /* the caller asks again with the byte, or is short of it */
            if (!(row->regs & 1 << ((*modrm >> 3) & 7)))
                continue;
            bool is_reg = *modrm >= 0xc0;
            if ((row->form == 1 && is_reg) || (row->form >= 2 && !is_reg))
                continue;
            if (row->form >= 16 && (*modrm & 7) != row->form - 16)
                continue;
        }
        if (!x86_has(env->features, row->feature))
            continue;
        return row;
    }
    return NULL;
}

static uint8_t operand_size(const struct x86_insn *in, const struct x86_decode_env *env)
{
    const struct x86_opinfo *info = in->info;

    if (info->attrs & ATTR_B || info->rm.size == SZ_1 || info->reg.size == SZ_1)
        if (info->op != X86_MOVZX && info->op != X86_MOVSX && info->map != MAP_38)
            return 1;
    if (env->code == X86_CODE64) {
        if (in->rex & 8 || info->attrs & ATTR_F64)
            return 8;
        if (in->opsize_prefix)
            return 2;
        return info->attrs & ATTR_D64 ? 8 : 4;
    }
    return (env->code == X86_CODE32) != in->opsize_prefix ? 4 : 2;
}

static bool lock_is_valid(const struct x86_insn *in)
{
    if (!in->lock)
        return true;
    return in->info->attrs & ATTR_LOCK && in->mem && in->info->rm.access == A_RW;
}

enum x86_decode_result x86_decode(const struct x86_decode_env *env, const uint8_t *bytes,
                                  size_t avail, struct x86_insn *ret_insn)
{
    struct cursor c = {bytes, bytes + avail, 0, false};
    struct x86_insn in = {.base = X86_NO_REG, .index = X86_NO_REG};
    bool addr_prefix = false;
    uint8_t seg = X86_NO_REG;
    uint8_t map = MAP_1;
    uint8_t opcode = take_prefixes(&c, &in, env->code, &addr_prefix, &seg);
    uint8_t prefix = in.rep == 0xf3 ? 3 : in.rep == 0xf2 ? 4 : in.opsize_prefix ? 2 : 1;

    if (c.taken > X86_INSN_MAX_BYTES)
        return X86_DECODE_LONG;
    if ((opcode == 0xc4 || opcode == 0xc5) && !c.short_of && !env->real) {
        if (c.at == c.end)
            return X86_DECODE_MORE;
        if (env->code == X86_CODE64 || *c.at >= 0xc0) {
            if (!take_vex(&c, &in, opcode == 0xc4, env->code, &map, &prefix))
                return c.short_of ? X86_DECODE_MORE : X86_DECODE_UD;
            opcode = next_byte(&c);
        }
    } else if (opcode == 0x0f && !c.short_of) {
        opcode = next_byte(&c);
        map = MAP_0F;
        if (opcode == 0x38 || opcode == 0x3a) {
            map = opcode == 0x38 ? MAP_38 : MAP_3A;
            opcode = next_byte(&c);
        }
    }
    if (c.short_of)
        return X86_DECODE_MORE;

    in.info = find_row(env, map, opcode, prefix, NULL);
    uint8_t modrm = 0;
    if (in.info && in.info->attrs & ATTR_MODRM) {
        modrm = next_byte(&c);
        if (c.short_of)
            return X86_DECODE_MORE;
        /* MOV to and from control and debug registers ignores mod (SDM vol. 2, MOV). */
        if (in.info->reg.kind == K_CR || in.info->reg.kind == K_DR)
            modrm |= 0xc0;
        in.info = find_row(env, map, opcode, prefix, &modrm);
        in.has_modrm = true;
    }
    if (!in.info)
        return X86_DECODE_UD;
    in.opcode = opcode;
    in.op_bytes = operand_size(&in, env);
    if (env->code == X86_CODE64)
        in.addr_bytes = addr_prefix ? 4 : 8;
    else
        in.addr_bytes = (env->code == X86_CODE32) != addr_prefix ? 4 : 2;
    if (in.has_modrm)
        take_modrm(&c, &in, env->code, modrm);
    if (in.info->attrs & ATTR_Z)
        in.rm = (opcode & 7) | (in.rex & 1) << 3;
    take_immediate(&c, &in);
    if (c.taken > X86_INSN_MAX_BYTES)
        return X86_DECODE_LONG;
    if (c.short_of)
        return X86_DECODE_MORE;
    if (!lock_is_valid(&in))
        return X86_DECODE_UD;
    if ((in.info->attrs & ATTR_L0 && in.vex_l) || (in.info->attrs & ATTR_W0 && in.rex & 8) ||
        (in.info->attrs & ATTR_VSIB && ((modrm & 7) != 4 || in.addr_bytes == 2)))
        return X86_DECODE_UD;
    if (in.vex && in.info->vvvv.kind == K_NONE && in.vvvv)
        return X86_DECODE_UD;
    in.seg = seg != X86_NO_REG                                      ? seg
             : in.mem && (in.base == X86_RSP || in.base == X86_RBP) ? X86_SS
                                                                    : X86_DS;
    in.len = (uint8_t)c.taken;
    *ret_insn = in;
    return X86_DECODE_OK;
}

unsigned x86_operand_bytes(const struct x86_insn *in, uint8_t size)
{
    static const uint16_t plain[] = {0, 1, 2, 4, 8, 10, 16, 512};
    unsigned vector = in->vex_l ? 32 : 16;

    switch (size) {
    case SZ_V:
        return in->op_bytes;
    case SZ_Y:
        return in->rex & 8 ? 8 : 4;
    case SZ_M1:
        return 1;
    case SZ_M2:
        return 2;
    case SZ_M4:
        return 4;
    case SZ_X:
        return vector;
    case SZ_XH:
        return vector / 2;
    case SZ_XQ:
        return vector / 4;
    case SZ_XE:
        return vector / 8;
    case SZ_S:
        return in->rex & 8 ? 8 : 4;
    case SZ_D:
        return in->vex_l ? 32 : 8;
    case SZ_F:
        return in->op_bytes + 2u;
    case SZ_A:
        return 2u * in->op_bytes;
    case SZ_T:
        return in->addr_bytes == 8 ? 10 : 6;
    case SZ_P:
        return in->rex & 8 ? 16 : 8;
    case SZ_ENV:
        return in->op_bytes == 2 ? 14 : 28;
    case SZ_SAVE:
        return in->op_bytes == 2 ? 94 : 108;
    default:
        return size <= SZ_512 ? plain[size] : 0;
    }
}
