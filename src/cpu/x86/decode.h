/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The instruction decoder: bytes to struct x86_insn, for 16-, 32- and 64-bit code. What is known
 * about each opcode is written once, in opcodes.tab; the decoder walks prefixes, finds the row
 * and cuts out ModRM, SIB, displacement and immediates. Intel SDM vol. 2, chapter 2.
 */
#ifndef CPU_X86_DECODE_H
#define CPU_X86_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/x86/features.h"
#include "opcodes.h"

#define X86_INSN_MAX_BYTES 15
#define X86_MAPS 7

enum x86_map { MAP_1, MAP_0F, MAP_38, MAP_3A, MAP_V0F, MAP_V38, MAP_V3A };

enum x86_kind { K_NONE, K_GPR, K_MEM, K_XMM, K_MMX, K_X87, K_SEG, K_CR, K_DR };
enum x86_access { A_R = 1, A_W = 2, A_RW = 3 };
/* Operand sizes as the table names them; x86_operand_bytes() makes a number of them. */
enum x86_size {
    SZ_0,
    SZ_1,
    SZ_2,
    SZ_4,
    SZ_8,
    SZ_10,
    SZ_16,
    SZ_512,
    SZ_V, /* 2, 4 or 8 by operand size */
    SZ_Y, /* 4, or 8 with REX.W */
    SZ_M1,
    SZ_M2,
    SZ_M4, /* that much memory, or a 32-bit register */
    SZ_X,
    SZ_XH,
    SZ_XQ,
    SZ_XE, /* a vector by VEX.L; its half, quarter, eighth */
    SZ_S,  /* 4 or 8 by VEX.W */
    SZ_D,  /* 8, or 32 with VEX.L */
    SZ_F,  /* far pointer: operand size + 2 */
    SZ_A,  /* BOUND: twice the operand size */
    SZ_T,  /* descriptor table register: 6 or 10 */
    SZ_P,  /* CMPXCHG8B/16B: 8 or 16 */
    SZ_ENV,
    SZ_SAVE, /* x87 environment and state */
};
enum x86_imm { IMM_NONE, IMM_IB, IMM_IW, IMM_IZ, IMM_IV, IMM_I2, IMM_JB, IMM_JZ, IMM_O, IMM_A };
enum x86_flag_use { FL_NONE, FL_R, FL_W, FL_RW, FL_P };
enum x86_attr {
    ATTR_MODRM = 1 << 0,
    ATTR_LOCK = 1 << 1,
    ATTR_AL = 1 << 2,
    ATTR_I64 = 1 << 3,
    ATTR_O64 = 1 << 4,
    ATTR_D64 = 1 << 5,
    ATTR_F64 = 1 << 6,
    ATTR_END = 1 << 7,
    ATTR_VM = 1 << 8,
    ATTR_CTL = 1 << 9,
    ATTR_B = 1 << 10,
    ATTR_Z = 1 << 11,
    ATTR_L0 = 1 << 12,
    ATTR_VSIB = 1 << 13,
    ATTR_EMMS = 1 << 14,
    ATTR_W0 = 1 << 15,
};

struct x86_operand {
    uint8_t kind, size, access;
};

/* One row of the table. */
struct x86_opinfo {
    uint8_t map, opcode;
    uint8_t prefix; /* 0 any, 1 none, 2 66, 3 F3, 4 F2 */
    uint8_t form;   /* 0 any, 1 memory, 2 register, 16 + n register with rm = n */
    uint8_t regs;   /* bit n: ModRM.reg = n is allowed */
    uint8_t op;     /* enum x86_op */
    struct x86_operand rm, reg, vvvv;
    uint8_t imm;                  /* enum x86_imm */
    uint8_t implied_r, implied_w; /* bit 0 RAX, 1 RCX, 2 RDX, 3 RBX */
    uint8_t flags;                /* enum x86_flag_use */
    uint8_t feature;              /* enum x86_feature */
    uint8_t as_opcode, as_reg; /* 0, or the opcode (and /reg) that does the same in 64-bit code */
    uint16_t attrs;            /* enum x86_attr */
};

struct x86_opindex {
    uint16_t first, count;
};

extern const struct x86_opinfo x86_opinfos[];
extern const struct x86_opindex x86_opindex[X86_MAPS][256];

/* How the bytes are to be read. */
enum x86_code { X86_CODE16, X86_CODE32, X86_CODE64 };

struct x86_decode_env {
    enum x86_code code;
    bool real;                           /* real or virtual-8086 mode: VEX does not exist */
    const struct x86_features *features; /* of the guest's processor */
};

#define X86_NO_REG 0xff
#define X86_RIP_REG 0x10

struct x86_insn {
    const struct x86_opinfo *info;
    int64_t disp;
    uint64_t imm;       /* sign-extended where the instruction does so; offset of a far pointer */
    uint16_t imm2;      /* selector of a far pointer; nesting level of ENTER */
    uint8_t len;        /* in bytes */
    uint8_t op_bytes;   /* operand size 2, 4, 8 (1 for byte forms) */
    uint8_t addr_bytes; /* address size 2, 4, 8 */
    uint8_t seg;        /* enum x86_seg of the memory operand, overrides applied */
    uint8_t opcode;     /* last opcode byte */
    uint8_t rep;        /* 0, 0xf2 or 0xf3 */
    bool lock, opsize_prefix, rex_present;
    uint8_t rex; /* W R X B as bits 3..0, from REX or VEX */
    bool vex, vex_l;
    uint8_t vvvv;
    bool has_modrm, mem;  /* mem: ModRM names memory */
    uint8_t mod, reg, rm; /* reg and rm with REX bits; for ATTR_Z rm is the opcode's register */
    uint8_t base, index;  /* X86_NO_REG, X86_RIP_REG for RIP-relative */
    uint8_t scale;        /* log2 */
};

enum x86_decode_result {
    X86_DECODE_OK = 0,
    X86_DECODE_MORE = -1, /* the bytes end within the instruction */
    X86_DECODE_UD = -2,   /* #UD; ret_insn->len is not set */
    X86_DECODE_LONG = -3, /* more than 15 bytes: #GP(0) */
};

/* Decode one instruction from at most avail bytes. */
enum x86_decode_result x86_decode(const struct x86_decode_env *env, const uint8_t *bytes,
                                  size_t avail, struct x86_insn *ret_insn);

/* Bytes of memory (or of register) that an operand of this instruction has. */
unsigned x86_operand_bytes(const struct x86_insn *insn, uint8_t size);

#endif
