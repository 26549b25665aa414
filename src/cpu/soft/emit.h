/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing x86-64 machine code: a cursor into memory that will be run at another address, operands,
 * and the few forms that generated code is made of. Encodings: Intel SDM vol. 2, chapter 2.
 */
#ifndef CPU_SOFT_EMIT_H
#define CPU_SOFT_EMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/util.h"
#include "cpu/x86/decode.h"

/* Registers of the host, by encoding. */
enum {
    H_RAX,
    H_RCX,
    H_RDX,
    H_RBX,
    H_RSP,
    H_RBP,
    H_RSI,
    H_RDI,
    H_R8,
    H_R9,
    H_R10,
    H_R11,
    H_R12,
    H_R13,
    H_R14,
    H_R15,
    H_NONE = 0xff, /* no base, no index */
};

/* Condition codes, bits 3..0 of Jcc (SDM vol. 1, appendix B). */
enum { CC_O, CC_NO, CC_B, CC_AE, CC_E, CC_NE, CC_BE, CC_A };

struct emit {
    uint8_t *at, *end;
    int64_t run;   /* added to `at`: where the byte is run */
    bool overflow; /* it did not fit; at stays within bounds */
};

/* A memory operand of the host: [base + index * 2^scale + disp], or [disp] alone. */
struct host_mem {
    uint8_t base, index, scale;
    int32_t disp;
};

static inline void put8(struct emit *e, unsigned b)
{
    if (LIKELY(e->at < e->end))
        *e->at++ = (uint8_t)b;
    else
        e->overflow = true;
}
void put_le(struct emit *e, uint64_t v, unsigned bytes);
void put_bytes(struct emit *e, const uint8_t *bytes, unsigned n);
#define PUT(e, ...)                                                                                \
    do {                                                                                           \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        put_bytes(e, bytes_, sizeof(bytes_));                                                      \
    } while (0)

static inline uint64_t emit_run(const struct emit *e)
{
    return (uint64_t)e->at + (uint64_t)e->run;
}

/* REX bits of an operand's registers (X and B), and its ModRM, SIB and displacement. */
unsigned mem_rex(const struct host_mem *m);
void put_mem(struct emit *e, unsigned reg, const struct host_mem *m);

/*
 * op reg, mem and op reg, rm with a one-byte opcode (or 0f xx, as 0x0fxx); w: REX.W. A byte form
 * must not name AH..BH.
 */
void put_op_mem(struct emit *e, unsigned opcode, bool w, unsigned reg, const struct host_mem *m);
void put_op_reg(struct emit *e, unsigned opcode, bool w, unsigned reg, unsigned rm);

/* lea reg, mem (32 bits wide without w); the flags stay as they are. */
void put_lea(struct emit *e, bool w, unsigned reg, const struct host_mem *m);
void put_mov_imm(struct emit *e, unsigned reg, uint64_t v);
/* lea reg, target, which is within 2 GiB of the code where that is run. */
void put_lea_near(struct emit *e, unsigned reg, uint64_t target);

/* jmp and jcc with 32-bit displacements; the address of the displacement comes back. */
uint8_t *put_jmp(struct emit *e, uint64_t target);
uint8_t *put_jcc(struct emit *e, unsigned cc, uint64_t target);
/* Aim a displacement at a run address; `run` as in struct emit. */
void patch_rel32(uint8_t *at, int64_t run, uint64_t target);
/* Where it leads. */
uint64_t rel32_target(const uint8_t *at, int64_t run);

/*
 * The guest's instruction once more, with registers of our choice. mem: its memory operand, NULL
 * when it has none; reg, rm, vvvv: numbers to encode in place of its own (16 + n: AH, CH, DH, BH).
 */
struct host_regs {
    unsigned reg, rm, vvvv;
    const struct host_mem *mem;
};
void put_insn(struct emit *e, const struct x86_insn *in, const struct host_regs *r);
/* Does it work on x87, MMX or vector registers, which must then be the guest's? */
bool insn_uses_fpu(const struct x86_insn *in);

#endif
