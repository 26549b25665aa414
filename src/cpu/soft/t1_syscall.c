/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL and SYSRET of 64-bit programs, done by translated code once T0 has done one of each kind
 * and noted what it left behind (struct cpu_gate). Intel SDM vol. 2, SYSCALL and SYSRET.
 */
#include "cpu/soft/exec.h"
#include "cpu/soft/t1.h"

#define FIELD(e, c, opcode, reg, field) put_field(e, c, opcode, reg, offsetof(struct cpu, field))
#define SYSRET_FLAGS 0x3c7fd7u /* that SYSRET takes from R11 */
#define LOW_FLAGS (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)

static void put_field32(struct emit *e, const struct cpu *c, unsigned opcode, unsigned reg,
                        size_t at)
{
    struct host_mem m = cpu_mem(c, at);
    put_op_mem(e, opcode, false, reg, &m);
}

/* op r14d or r11d, imm32: group 1 */
static void put_imm32(struct emit *e, unsigned reg, unsigned op, uint32_t value)
{
    put8(e, 0x41);
    put8(e, 0x81);
    put8(e, 0xc0 | op << 3 | (reg & 7));
    put_le(e, value, 4);
}
#define OR 1
#define AND 4

/* To T0 unless the gate is open. */
static void put_is_open(struct emit *e, const struct cpu *c, size_t gate)
{
    struct host_mem open = cpu_mem(c, gate + offsetof(struct cpu_gate, open));
    put_op_mem(e, 0x80, false, 7, &open); /* cmp byte, 0 */
    put8(e, 0);
    put_jcc(e, CC_E, c->t1->stubs[T1_STUB_CALL]);
}

/* An even number of bytes from one place of struct cpu to another. */
static void put_copy(struct emit *e, const struct cpu *c, size_t to, size_t from, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 8) {
        put_field(e, c, 0x8b, H_R14, from + at);
        put_field(e, c, 0x89, H_R14, to + at);
    }
}

static void put_through(struct emit *e, const struct cpu *c, size_t gate, unsigned cpl)
{
    struct host_mem level = cpu_mem(c, offsetof(struct cpu, cpl));

    _Static_assert(sizeof(struct seg) % 8 == 0, "copied by quadwords");
    put_copy(e, c, offsetof(struct cpu, seg[X86_CS]), gate + offsetof(struct cpu_gate, cs),
             sizeof(struct seg));
    put_copy(e, c, offsetof(struct cpu, seg[X86_SS]), gate + offsetof(struct cpu_gate, ss),
             sizeof(struct seg));
    put_copy(e, c, offsetof(struct cpu, jumps), gate + offsetof(struct cpu_gate, jumps), 8);
    put_copy(e, c, offsetof(struct cpu, tlb), gate + offsetof(struct cpu_gate, tlb), 8);
    put_field32(e, c, 0x8b, H_R14, gate + offsetof(struct cpu_gate, mode));
    put_field32(e, c, 0x89, H_R14, offsetof(struct cpu, mode));
    put_op_mem(e, 0xc6, false, 0, &level);
    put8(e, cpl);
    put_field(e, c, 0x8b, H_R15, gate + offsetof(struct cpu_gate, jump_tag));
    FIELD(e, c, 0x89, H_R15, jump_tag);
}

/* On at the linear address in r14; the tag is in r15. */
static void put_go(struct emit *e, const struct cpu *c)
{
    put_op_reg(e, 0x33, true, H_R14, H_R15);
    uint8_t *none = t1_put_slot(e, c);
    patch_rel32(none, e->run, emit_run(e));
    put_mov_imm(e, H_R15, (uint64_t)&c->t1->gate);
    put_jmp(e, c->t1->stubs[T1_STUB_JUMP]);
}

void t1_put_syscall(struct emit *e, const struct cpu *c)
{
    const size_t gate = offsetof(struct cpu, enter);
    struct host_mem next = {H_R15, H_NONE, 0, offsetof(struct t1_call, next)};
    struct host_mem aflags = cpu_mem(c, offsetof(struct cpu, aflags));

    put_is_open(e, c, gate);
    put_op_mem(e, 0x63, true, H_RCX, &next); /* movsxd */
    FIELD(e, c, 0x03, H_RCX, page);

    /* flags_get() */
    put_op_mem(e, 0x0fb7, false, H_R14, &aflags);
    put_op_reg(e, 0x8b, false, H_R11, H_R14);
    PUT(e, 0x41, 0xc1, 0xeb, 8); /* shr r11d, 8 */
    put_imm32(e, H_R11, AND, LOW_FLAGS);
    PUT(e, 0x41, 0x83, 0xe6, 1, 0x41, 0xc1, 0xe6, 11); /* and r14d, 1; shl r14d, 11 */
    put_op_reg(e, 0x0b, false, H_R11, H_R14);
    put_field32(e, c, 0x0b, H_R11, offsetof(struct cpu, eflags));
    put_imm32(e, H_R11, OR, FL_1);
    put_imm32(e, H_R11, AND, ~(uint32_t)FL_RF);

    put_field32(e, c, 0x8b, H_R14, gate + offsetof(struct cpu_gate, eflags_kept));
    put_field32(e, c, 0x21, H_R14, offsetof(struct cpu, eflags));
    put_field32(e, c, 0x8b, H_R14, gate + offsetof(struct cpu_gate, poll_kept));
    put_field32(e, c, 0x21, H_R14, offsetof(struct cpu, poll_mask));
    put_field32(e, c, 0x8b, H_R14, gate + offsetof(struct cpu_gate, aflags_kept));
    put8(e, 0x66);
    put_field32(e, c, 0x21, H_R14, offsetof(struct cpu, aflags));

    put_through(e, c, gate, 0);
    FIELD(e, c, 0x8b, H_R14, lstar);
    put_go(e, c);
}

void t1_put_sysret(struct emit *e, const struct cpu *c)
{
    const size_t gate = offsetof(struct cpu, leave);
    struct host_mem low = cpu_mem(c, offsetof(struct cpu, aflags) + 1);
    struct host_mem overflow = cpu_mem(c, offsetof(struct cpu, aflags));
    struct host_mem mask = cpu_mem(c, offsetof(struct cpu, poll_mask));

    put_is_open(e, c, gate);
    /* Where RCX is not canonical or TF comes back T0 knows more. */
    put_op_reg(e, 0x8b, true, H_R14, H_RCX);
    PUT(e, 0x49, 0xc1, 0xe6, 16, 0x49, 0xc1, 0xfe, 16); /* shl r14, 16; sar r14, 16 */
    put_op_reg(e, 0x3b, true, H_R14, H_RCX);
    put_jcc(e, CC_NE, c->t1->stubs[T1_STUB_CALL]);
    PUT(e, 0x41, 0xf7, 0xc3); /* test r11d, imm32 */
    put_le(e, FL_TF, 4);
    put_jcc(e, CC_NE, c->t1->stubs[T1_STUB_CALL]);

    /* set_flags() */
    put_op_reg(e, 0x8b, false, H_R14, H_R11);
    put_imm32(e, H_R14, AND, SYSRET_FLAGS & ~(uint32_t)(FL_ARITH | FL_1 | FL_RF | FL_VM));
    put_field32(e, c, 0x89, H_R14, offsetof(struct cpu, eflags));
    put_op_reg(e, 0x8b, false, H_R14, H_R11);
    put_imm32(e, H_R14, AND, LOW_FLAGS);
    put_imm32(e, H_R14, OR, FL_1);
    put_op_mem(e, 0x88, false, H_R14, &low);
    put_op_reg(e, 0x8b, false, H_R14, H_R11);
    PUT(e, 0x41, 0xc1, 0xee, 11, 0x41, 0x83, 0xe6, 1); /* shr r14d, 11; and r14d, 1 */
    put_op_mem(e, 0x88, false, H_R14, &overflow);
    _Static_assert(FL_IF >> 8 == REQ_INTR, "one becomes the other");
    put_op_reg(e, 0x8b, false, H_R14, H_R11);
    PUT(e, 0x41, 0xc1, 0xee, 8, 0x41, 0x83, 0xe6, REQ_INTR); /* shr r14d, 8; and r14d, imm8 */
    put_op_mem(e, 0x81, false, AND, &mask);
    put_le(e, ~(uint32_t)REQ_INTR, 4);
    put_op_mem(e, 0x09, false, H_R14, &mask);

    put_through(e, c, gate, 3);
    put_op_reg(e, 0x8b, true, H_R14, H_RCX);
    put_go(e, c);
}
