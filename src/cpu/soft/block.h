/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded code. A block is a run of instructions within one page, at most BLOCK_UOPS of them,
 * ending at the first one that changes control or mode. Blocks are keyed by their place in the
 * store and the mode, so that every mapping of a page shares them; a write to the bytes of a
 * block kills it (block_code_written).
 */
#ifndef CPU_SOFT_BLOCK_H
#define CPU_SOFT_BLOCK_H

#include "cpu/soft/cpu.h"

#define BLOCK_UOPS 48

typedef void uop_fn(struct cpu *c, const struct uop *u);

enum uop_flag {
    U_MEM = 1,       /* rm is memory */
    U_LEGACY = 2,    /* 16- or 32-bit addressing: limits, wrap at 4 GiB */
    U_STACK_SEG = 4, /* the operand lies in SS: #SS instead of #GP */
    U_ALIGN = 8,     /* memory must be aligned to its size */
    U_REX = 16,
    U_LOCK = 32,
    U_WRITE = 64, /* data: memory is written */
    U_READ = 128, /* data: memory is read */
};

/* One instruction, made ready. 64 bytes: the loop walks them in order. */
struct uop {
    uop_fn *fn;
    void *thunk; /* generated code for data: void (cpu, uop, operand's host address) */
    uint64_t imm;
    int64_t disp;       /* of the memory operand; RIP-relative: from the block's start */
    uint64_t addr_mask; /* 16, 32 or 64 ones */
    uint8_t base, index, scale, seg; /* slots of gpr[] and seg[] */
    uint8_t reg, rm;                 /* register numbers */
    uint8_t reg8, rm8;               /* byte offsets into gpr[] for byte operands */
    uint8_t size;                    /* bytes of the memory operand (0: none) */
    uint8_t bytes;                   /* operand size */
    uint8_t len;                     /* of the instruction */
    uint8_t flags;                   /* enum uop_flag */
    uint8_t rep, opcode;
    uint16_t at; /* offset from the block's start */
    uint16_t imm2;
    uint8_t addr_bytes, vvvv, pad[4];
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct uop) == 64, "thunks step by 64");

struct block {
    uint64_t ram_offset; /* of the first byte; NO_RAM: not cached (scratch) */
    uint32_t mode;
    uint16_t len;  /* bytes of code */
    uint8_t count; /* of instructions */
    uint8_t runs;  /* by T0, until it is translated */
    bool dead;
    bool no_share; /* its accesses around one register lie on two pages now and then (t1_share.c) */
    uint8_t crossings;
    struct code_seg cs;     /* of segmented code; */
    uint32_t lin_page;      /* and where its page is seen: so its RIP is known; 0 where is_flat() */
    struct t1_code *code;   /* NULL: not translated */
    uint64_t ram_offset2;   /* where its only instruction goes on in another page; NO_RAM */
    struct block *row_next; /* of those that share a way */
    struct block *page_next[2]; /* by the page of ram_offset, of ram_offset2 */
    struct uop *uops;           /* count, and one that ends; NULL: T0 has not run it yet */
    uint8_t lens[];             /* of the instructions */
};

#define NO_RAM UINT64_MAX
#define RUNS_NEVER UINT8_MAX /* block.runs: it cannot be translated */

/*
 * Where the loop and translated code look first: linear address and mode to block, apart for users
 * and supervisors. A slot's tag is the address XOR cpu->jump_tag, and that is made so that one
 * comparison is enough:
 *   bits 14..0   of the space alone, so that a slot is found again under its space's next name
 *   bits 46..15  random: what a return to an address that is not canonical finds is not to be chosen
 *   bits 62..47  the name's number, from 1: canonical addresses have all of bits 63..47 alike, so
 *                that no two names ever give two of them the same tag, and none gives 0
 */
#define JUMP_SLOT_BITS 15
#define JUMP_SLOTS (1u << JUMP_SLOT_BITS)
struct jump_slot {
    uint64_t tag;  /* 0: empty */
    uint64_t code; /* of the block, or the way to the loop (t1.h) */
    uint64_t page; /* linear, of the address */
    struct block *block;
};

static inline struct jump_slot *jump_slot(const struct cpu *c, uint64_t lin)
{
    return &c->jumps[(lin ^ c->jump_tag) & (JUMP_SLOTS - 1)];
}

/* Name the valid slots after a change of mode or of the fetch space. */
void jumps_update(struct cpu *c);
/* Make every slot invalid. */
void jumps_flush(struct cpu *c);

int block_cache_new(struct cpu *c);
void block_cache_free(struct cpu *c);
/* Forget every block of this CPU. */
void block_flush(struct cpu *c);
/*
 * What is kept fills BLOCK_PARTS parts of its room in turn, blocks, code and records alike; the
 * oldest part is emptied to be filled again. Between two blocks only: what runs may be in it.
 */
#define BLOCK_PARTS 8u
void block_evict(struct cpu *c);
/* The block at cpu->rip in the present mode; NULL: a fault is pending. */
struct block *block_find(struct cpu *c);
/*
 * The block with its uops made. Another block of the same code when all had to be forgotten to
 * make room; NULL when its bytes have changed: it is killed.
 */
struct block *block_make_uops(struct cpu *c, struct block *b);
static inline struct block *block_ready(struct cpu *c, struct block *b)
{
    return LIKELY(b->uops != NULL) ? b : block_make_uops(c, b);
}
/* Where an instruction of the block begins, from the block's start. */
static inline unsigned block_offset(const struct block *b, unsigned index)
{
    unsigned at = 0;
    for (unsigned i = 0; i < index; i++)
        at += b->lens[i];
    return at;
}
/*
 * Its instructions, decoded; good until another block's are. NULL: its bytes have changed. The
 * guest's vector state is saved (fpu_save).
 */
const struct x86_insn *block_decode(struct cpu *c, const struct block *b);
/* Its code bytes, at most 15 when it lies on two pages; buf is used when they do. */
const uint8_t *block_bytes(const struct cpu *c, const struct block *b, uint8_t buf[16]);

/*
 * This CPU wrote bytes of the store that lie in a page flagged RAM_CODE. Kills what is hit here,
 * tells the other CPUs, and notes EV_BREAK when the present block is among it.
 */
void block_code_written(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes);
/* Has some CPU decoded code in a piece of 64 bytes that these lie in? */
bool block_hits_code(struct soft_engine *soft, uint64_t ram_offset, uint64_t len_bytes);
/* Kill blocks for a write reported by another CPU or a device. */
void block_kill_range(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes);
/* Queue that for a CPU; any thread. */
void block_post_write(struct cpu *c, uint64_t ram_offset, uint64_t len_bytes);
/* Work off what other threads queued. */
void block_take_writes(struct cpu *c);

/* Make the uop of one instruction (build.c). False: no thunk space. */
bool uop_build(struct cpu *c, const struct x86_insn *insn, struct uop *u, unsigned at);
/* Does the instruction raise an exception before it does anything, whatever its operands are? */
bool uop_refuses(const struct cpu *c, const struct x86_insn *insn);
/* A uop that raises an exception at its place; ends a block. */
void uop_build_fault(struct uop *u, unsigned vector, unsigned at);
/* The uop after the last instruction of a block that does not end by itself. */
void uop_build_end(struct uop *u, unsigned at);

/* uops end by calling the next one's function. */
#define NEXT(c, u) return (u)[1].fn((c), (u) + 1)

/* The address of this instruction, and of the one after it. */
static inline uint64_t uop_rip(const struct cpu *c, const struct uop *u)
{
    return c->rip + u->at;
}
static inline uint64_t uop_next_rip(const struct cpu *c, const struct uop *u)
{
    return c->rip + u->at + u->len;
}

/* T0 begins the block at cpu->rip, whose uops are made. */
static inline void block_start(struct cpu *c, struct block *b)
{
    c->block = b;
    c->gpr[GPR_RIP] = c->rip;
    b->uops[0].fn(c, b->uops);
}

/* Leave the block with RIP after (or at) this instruction. IP wraps as its width says. */
static inline uint64_t rip_wrap(const struct cpu *c, uint64_t rip)
{
    return c->mode & MODE_CODE64 ? rip : (uint32_t)rip;
}
static inline void leave_after(struct cpu *c, const struct uop *u)
{
    c->rip = rip_wrap(c, uop_next_rip(c, u));
}
static inline void leave_at(struct cpu *c, const struct uop *u)
{
    c->rip = uop_rip(c, u);
}

/* A uop has found a fault pending: back to the loop with RIP at the instruction. */
#define FAULT(c, u)                                                                                \
    do {                                                                                           \
        leave_at(c, u);                                                                            \
        return;                                                                                    \
    } while (0)
#define RAISE(c, u, vector, error)                                                                 \
    do {                                                                                           \
        raise_fault(c, vector, error);                                                             \
        FAULT(c, u);                                                                               \
    } while (0)

/* After an access that may have gone the slow way: go on, or leave if something wants it. */
#define NEXT_OR_LEAVE(c, u)                                                                        \
    do {                                                                                           \
        if (UNLIKELY((c)->events)) {                                                               \
            leave_after(c, u);                                                                     \
            return;                                                                                \
        }                                                                                          \
        NEXT(c, u);                                                                                \
    } while (0)

#endif
