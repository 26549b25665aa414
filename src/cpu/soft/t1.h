/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tier T1: blocks that have run a few times are translated to the host's code, one pass, mostly
 * by copying the guest's instructions.
 *
 * Registers: guest RAX..R13, RSP and RBP are in the host's registers of the same number, R14 and
 * R15 in struct cpu; host r14 and r15 are scratch. struct cpu lies below 2 GiB, so that code
 * reaches it by absolute addresses. Host RSP is the guest's: nothing here pushes for itself, the
 * ways out switch to the host's stack, and signals have a stack of their own.
 *
 * Arithmetic flags are in EFLAGS or, where a check must overwrite them while they are still
 * wanted, in cpu->aflags; which of the two is known at every place (enum t1_flags).
 *
 * Code knows its address by cpu->page, the linear page, and so runs wherever its page is mapped.
 *
 * What cannot be translated, or turns out to be no plain memory, is left to T0: translated code
 * hands over at any instruction, and T0 runs the rest of the block.
 */
#ifndef CPU_SOFT_T1_H
#define CPU_SOFT_T1_H

#include "cpu/soft/block.h"
#include "cpu/soft/emit.h"

/* Where translated code begins, by where the flags are and where it comes from. */
enum t1_entry {
    T1_ENTRY_FLAGS, /* flags in EFLAGS */
    T1_ENTRY_ENV,   /* flags in cpu->aflags */
    T1_POLL_FLAGS,  /* the same, looking at cpu->requests first: from a jump backwards */
    T1_POLL_ENV,
    T1_ENTRY_JUMP, /* from a jump slot or struct t1_far in r15: sets cpu->page, polls */
    T1_ENTRIES,
};

/* A jump from one block to another: to the target's code, or to a stub that asks for it. */
struct t1_link {
    struct t1_link *next; /* of those that lead to the same block */
    uint8_t *patch;       /* its displacement, writable */
    uint64_t stub;        /* run address */
    const struct t1_code *from;
    int32_t target;  /* offset from the page's start */
    uint8_t entry;   /* enum t1_entry */
    bool save_flags; /* they are in EFLAGS, and not in cpu->aflags */
};

/* A memory access of a block, for when it misses; or a jump. */
struct t1_access {
    const struct t1_code *code;
    uint64_t retry; /* run address */
    uint16_t index; /* of the instruction */
    uint16_t size;
    uint16_t hit;   /* behind the check, from `retry` on */
    bool once;      /* the check is for this access alone */
    bool write;     /* what the check asks for */
    bool own_write; /* what this instruction does */
    bool shared;    /* the check is for others too */
    int32_t undo;   /* a jump: what RSP has moved by */
};

/* A jump to another page: good for one linear address, as a jump slot is, whose fields it has. */
struct t1_far {
    uint64_t tag;
    uint8_t *patch; /* displacement of the jump, writable */
    uint64_t page;
    struct t1_far *next; /* of all there are */
    struct t1_access jump;
};
_Static_assert(offsetof(struct t1_far, tag) == offsetof(struct jump_slot, tag) &&
                   offsetof(struct t1_far, page) == offsetof(struct jump_slot, page),
               "code that is jumped to looks into either");

/* An instruction that T0 does in the middle of a block. */
struct t1_call {
    struct uop uops[2]; /* it, and one that stops */
    const struct t1_code *code;
    uint64_t back; /* run address; 0: the instruction ends the block */
    int32_t next;  /* the next instruction's offset from the page's start */
};

/* The translation of one block. */
struct t1_code {
    struct block *block;
    uint64_t entries[T1_ENTRIES]; /* run addresses */
    uint64_t begin, end;          /* run addresses of its code */
    uint64_t cold, cold_end;      /* and of what of it is rarely run */
    const struct t1_link *link;   /* it is no block's, but this jump's way through its slot */
    struct t1_link *fall;         /* a jump whose place `begin` has taken: it falls through */
    struct t1_link *links_in;
    /*
     * For each instruction where its code begins, from `begin`; top bit: the flags are in EFLAGS
     * where the guest's opcode is run, which the host may refuse to do.
     */
    uint32_t at[];
};
#define T1_AT_FLAGS 0x80000000u

/* Code that is made once: the way in, and the ways out, for which r14 and r15 say more. */
enum t1_stub {
    T1_STUB_ENTER,     /* unsigned (struct cpu *, uint64_t run_address) */
    T1_STUB_LINK_SAVE, /* the flags are in EFLAGS; as T1_STUB_LINK else */
    T1_STUB_LINK,      /* r15: struct t1_link */
    T1_STUB_JUMP,      /* r14: tag, r15: struct t1_access */
    T1_STUB_FAR,       /* r14: tag, r15: struct t1_far */
    T1_STUB_LOOP,      /* where slots of blocks without code lead; r14: tag, r15: the slot */
    T1_STUB_SIDE_SAVE, /* the same for T1_STUB_SIDE */
    T1_STUB_SIDE,      /* r15: struct t1_access */
    T1_STUB_POLL,    /* r15: struct t1_code; back to it when nothing that is wanted was requested */
    T1_STUB_MISS,    /* r14: linear address, r15: struct t1_access */
    T1_STUB_CALL,    /* r15: struct t1_call */
    T1_STUB_SYSCALL, /* the same, when it is SYSCALL in 64-bit mode, or */
    T1_STUB_SYSRET,  /* SYSRET to it */
    T1_STUB_FPU,     /* make the vector state live; back to r15 */
    T1_STUB_FAULT,   /* on the host's stack */
    T1_STUBS,
};

/* A part of the code arena that fills from its start: offsets in the arena. */
struct t1_area {
    uint32_t begin, used, end;
    uint32_t populated; /* up to here both mappings have their pages */
};

/* What is thrown away at once (block_evict). */
struct t1_part {
    /* What is run, and what is rarely run: apart, so that caches hold more of the former. */
    struct t1_area hot, cold;
    uint32_t data_begin, data_used, data_end;
    struct t1_code **codes; /* by address of what is in `hot` */
    uint32_t code_count;
    struct t1_far *fars; /* all there are */
};

struct t1 {
    uint8_t *rw, *rx; /* the two mappings of the code arena */
    uint64_t room;    /* bytes of the arena, and as many again for data */
    struct t1_part parts[BLOCK_PARTS];
    struct t1_part *now;     /* is filled */
    const uint8_t *hot_last; /* behind the last block's code in `hot`; writable, NULL: another's */
    uint32_t stubs_end;
    bool full; /* the part that is filled */
    /* Behind rx, so that code can name it by distance. */
    uint8_t *data;            /* links, accesses, struct t1_code: writable, never run */
    struct t1_code **codes;   /* of all parts */
    uint32_t codes_max;       /* of each */
    uint64_t stubs[T1_STUBS]; /* run addresses */
    uint64_t tails[T1_STUBS]; /* where the guest's registers are saved; 0: nowhere */
    struct t1_access fault;   /* the instruction that the host's processor refused */
    struct t1_access gate;    /* a jump that no block makes */
    struct t1_far *pending_far;
    struct t1_link *pending; /* the jump that was left by, to be linked when its target is known */
};

/* Why translated code came back; in EAX. */
enum t1_exit {
    T1_EXIT_SIDE,  /* t1_b: struct t1_access of the instruction T0 goes on with */
    T1_EXIT_POLL,  /* t1_b: struct t1_code at whose begin it stopped */
    T1_EXIT_DONE,  /* cpu->rip is set, and something is to be looked at */
    T1_EXIT_FAULT, /* the host's processor refused; t1_b: struct t1_access */
};

/* -ENOMEM or another errno of memfd_create or mmap. */
int t1_new(struct cpu *c);
void t1_free(struct cpu *c);
/* Forget all translations. */
void t1_reset(struct cpu *c);
/* Fill a part from now on. What is in it is of blocks that are dead, and so thrown away. */
void t1_begin_part(struct cpu *c, unsigned part);

/* Translate a block; false when there is no room (flush) or nothing in it to translate. */
bool t1_translate(struct cpu *c, struct block *b);
/* Has the block at cpu->rip code? A block that runs again and again is worth translating. */
bool t1_ready(struct cpu *c, struct block *b);
/* The block dies: nothing may jump to it any more. */
void t1_forget(struct cpu *c, struct block *b);

/* Run a block that has code, and what it leads to, until something is to be looked at. */
void t1_run(struct cpu *c, struct block *b);
/* For code: a memory access missed. Where to go on, or 0 to leave. */
uint64_t t1_miss(struct cpu *c, const struct t1_access *access, uint64_t lin);
/* For code: T0 does one instruction. Where to go on, or 0 to leave. */
uint64_t t1_call(struct cpu *c, const struct t1_call *call);
/*
 * For code: a jump that is not aimed at its target; one by a slot whose block has no code now, or
 * a struct t1_far, which begins as a slot does; one to a linear address that no slot has. Where to
 * go on, or 0 to leave. tag: of the address, as a slot would have it.
 */
uint64_t t1_follow_link(struct cpu *c, struct t1_link *link);
uint64_t t1_follow_slot(struct cpu *c, struct jump_slot *slot, uint64_t tag);
uint64_t t1_follow_far(struct cpu *c, struct t1_far *far, uint64_t tag);
uint64_t t1_follow_jump(struct cpu *c, const struct t1_access *jump, uint64_t tag);
/* Names of jump slots begin anew: no struct t1_far is good. */
void t1_forget_fars(struct cpu *c);
/* Where a jump slot of a block leads. */
uint64_t t1_slot_code(const struct cpu *c, const struct block *b);
/* It does not lead anywhere known: something came between. */
void t1_no_link(struct cpu *c);
/* The block that the last jump led to is known now. */
void t1_link(struct cpu *c, struct block *b);

/* A signal in translated code at rip: true when it is ours, with the context changed. */
bool t1_signal(struct cpu *c, int number, void *context);

/* ---- between the files of the translator ---- */

#define JMP_BYTES 5

enum t1_flags {
    F_HOST, /* in EFLAGS */
    F_ENV,  /* in cpu->aflags; EFLAGS holds anything */
    F_BOTH,
    F_DEAD, /* nobody wants them */
};

enum t1_cold_kind { COLD_MISS, COLD_SIDE, COLD_POLL, COLD_FPU, COLD_LINK, COLD_JUMP, COLD_SLOT };

struct t1_cold {
    uint8_t kind;
    bool save_flags;
    uint8_t index; /* of the instruction */
    uint8_t *fix;  /* displacement that leads here */
    uint8_t *fix2; /* a second one: where r14 is not the target, but [r15] is */
    void *record;
    uint64_t back;
    int64_t target;
    struct t1_ea {
        uint8_t base, index, scale, seg; /* guest registers, X86_NO_REG, X86_RIP_REG */
        uint8_t bytes;                   /* address size */
        int64_t disp;                    /* RIP-relative: from the page's start */
    } ea;
};

#define T1_COLD_MAX 256

/* Accesses of a loop that move with the same registers (t1_loop.c). */
struct t1_stream {
    uint8_t base, index, scale;
    bool write;
    int32_t lo, hi; /* the bytes of one turn: displacements as the turn begins */
    int32_t step;   /* of each turn */
};
#define T1_STREAMS_MAX 4
#define T1_NO_STREAM 0xff

struct t1_loop {
    unsigned count; /* streams; 0: the block is no loop that is treated as one */
    bool pure;      /* all accesses are in streams: r14 counts turns */
    uint8_t held;   /* the stream whose addend is in r15, or T1_NO_STREAM */
    uint64_t top;   /* run address */
    struct t1_stream streams[T1_STREAMS_MAX];
    uint8_t of[BLOCK_UOPS]; /* the stream of an instruction's access */
};

/* One translation under way. */
struct t1_ctx {
    struct cpu *c;
    struct t1 *t;
    struct block *b;
    struct t1_code *code;
    struct emit e, cold_e;
    enum t1_entry top;         /* the entry that comes first in hot code */
    struct t1_link *fall;      /* the jump that falls into it, or NULL */
    uint64_t body;             /* run address of the first instruction */
    enum t1_flags first_flags; /* as it wants them */
    unsigned count, i;         /* instructions; the present one */
    unsigned page_offset;
    bool code64;
    bool segments; /* accesses go through them; RIP of the code is known: t1_rip() */
    enum t1_flags flags;
    bool fpu_known;     /* the guest's vector state is live */
    bool ended;         /* control does not reach what follows */
    bool overflow;      /* of records */
    uint8_t share_base; /* r15 holds the addend of the page around this register */
    bool share_write;
    int32_t share_lo, share_hi; /* displacements [lo, hi) that it is good for */
    struct t1_loop loop;
    unsigned cold_count;
    struct t1_cold cold[T1_COLD_MAX];
    const struct x86_insn *insns;
    uint16_t at[BLOCK_UOPS + 1]; /* from the block's start */
    bool live[BLOCK_UOPS + 1];   /* the flags before instruction i matter */
};

/* Absolute operand: a field of struct cpu. */
#define CPU_FIELD(x, field) cpu_mem((x)->c, offsetof(struct cpu, field))
static inline struct host_mem cpu_mem(const struct cpu *c, size_t offset)
{
    return (struct host_mem){H_NONE, H_NONE, 0, (int32_t)((uintptr_t)c + offset)};
}
/* An instruction on a register and the 64 bits at an offset of struct cpu. */
static inline void put_field(struct emit *e, const struct cpu *c, unsigned opcode, unsigned reg,
                             size_t at)
{
    struct host_mem m = cpu_mem(c, at);
    put_op_mem(e, opcode, true, reg, &m);
}

extern const struct uop t1_stop; /* behind the one uop of a struct t1_call */

/* Through a jump slot to the tag in r14; what comes back is the jump for when there is none. */
uint8_t *t1_put_slot(struct emit *e, const struct cpu *c);
/* T1_STUB_SYSCALL, T1_STUB_SYSRET (t1_syscall.c). */
void t1_put_syscall(struct emit *e, const struct cpu *c);
void t1_put_sysret(struct emit *e, const struct cpu *c);

void *t1_record(struct t1_ctx *x, unsigned bytes);
struct t1_cold *t1_add_cold(struct t1_ctx *x, enum t1_cold_kind kind, uint8_t *fix);
struct t1_access *t1_access_record(struct t1_ctx *x);

/* Flags: make them be in EFLAGS; keep them while something overwrites EFLAGS (t1_flow.c). */
void t1_want_flags(struct t1_ctx *x);
void t1_keep_flags(struct t1_ctx *x);
void t1_put_save(struct emit *e, const struct cpu *c); /* uses r14 */
void t1_put_restore(struct t1_ctx *x);

/*
 * Memory (t1_mem.c): check an access and say where it is on the host. False: it cannot be done
 * here. After it r14 and r15 belong to the operand. collapse: use r15 alone, so that r14 is free.
 */
bool t1_mem(struct t1_ctx *x, const struct t1_ea *ea, unsigned size, bool write,
            struct host_mem *ret);
void t1_collapse(struct t1_ctx *x, struct host_mem *m);
bool t1_ea(struct t1_ctx *x, const struct x86_insn *in, struct t1_ea *ret);
void t1_put_lea(struct t1_ctx *x, const struct t1_ea *ea, bool with_segment);
/* The guest wrote a register (or RSP moved by a known amount): what is shared with it ends. */
void t1_wrote(struct t1_ctx *x, unsigned reg);

/* Bytes around a base register, from its present value, that a check is to cover. */
struct t1_range {
    int32_t lo, hi;
    bool write;
};
/* Widen it by what the next instructions access around the same register (t1_share.c). */
void t1_share(const struct t1_ctx *x, unsigned base, struct t1_range *range);
/* Check an access, at.disp on, and leave its TLB entry in r15; r14: the offset in its page. */
struct t1_access *t1_put_check(struct t1_ctx *x, const struct t1_ea *at, struct t1_range range,
                               bool own_write, bool shared);

/* A guest register between the host's and its place in struct cpu. */
void t1_load_gpr(struct t1_ctx *x, unsigned host, unsigned n);
void t1_store_gpr(struct t1_ctx *x, unsigned host, unsigned n);
/* A selector to 16 bits at an offset of struct cpu; uses r14. */
void t1_put_selector(struct t1_ctx *x, unsigned seg, size_t to);

/* Does the instruction write to a register of this number (AH..BH are not seen)? */
bool t1_writes(const struct x86_insn *in, unsigned reg);
/* Does it work on R14 or R15, which the translator uses itself? */
bool t1_names_spare(const struct x86_insn *in);
bool t1_names_both(const struct x86_insn *in);
/* Make the guest's vector registers live. */
void t1_need_vectors(struct t1_ctx *x);

/* Loops (t1_loop.c). Fills x->loop: is the block one, and with which streams? */
void t1_loop_find(struct t1_ctx *x);
/* What goes before the first turn. */
void t1_loop_begin(struct t1_ctx *x);
/* The operand of an access that belongs to a stream. */
void t1_loop_mem(struct t1_ctx *x, const struct t1_ea *ea, struct host_mem *ret);
/* One turn more, if any is left. */
void t1_put_turn(struct t1_ctx *x);

/* ADD or SUB of a number to RSP. */
bool t1_rsp_step(const struct x86_insn *in, int32_t *ret_step);

/* Instructions; false: leave this one to T0. */
bool t1_move(struct t1_ctx *x, const struct x86_insn *in);
bool t1_stack(struct t1_ctx *x, const struct x86_insn *in);
bool t1_segment(struct t1_ctx *x, const struct x86_insn *in);
bool t1_flow(struct t1_ctx *x, const struct x86_insn *in);
bool t1_system(struct t1_ctx *x, const struct x86_insn *in);
bool t1_string(struct t1_ctx *x, const struct x86_insn *in);
/* By the displacement `fix` T0 takes over at this instruction. */
void t1_hand_over(struct t1_ctx *x, uint8_t *fix);
/* The operand size is the stack's own. */
bool t1_stack_size(const struct t1_ctx *x, const struct x86_insn *in);
/* Memory around the stack pointer (t1_stack.c); RSP moves; what is shared around it does not. */
bool t1_stack_mem(struct t1_ctx *x, int32_t disp, unsigned size, bool write, struct host_mem *ret);
void t1_move_rsp(struct t1_ctx *x, int32_t by); /* uses r15 */
void t1_rsp_moved(struct t1_ctx *x, int32_t by);
/*
 * RSP holds the guest's, and a host may refuse to return to code whose RSP is not canonical: such
 * a value is T0's. r14 holds what is about to become RSP; the flags have been kept.
 */
void t1_check_rsp(struct t1_ctx *x);
/* Push so many bytes of r14, RSP moving by `step`; the address of an offset from the page's start. */
bool t1_push_scratch(struct t1_ctx *x, unsigned bytes, int32_t step);
bool t1_push_address(struct t1_ctx *x, unsigned size, int64_t offset);
/* RIP at an offset from the page's start: of segmented code. */
uint32_t t1_rip(const struct t1_ctx *x, int64_t offset);
/* The address of an offset from the page's start to r14: linear where there are segments. */
void t1_put_address(struct t1_ctx *x, int64_t offset);
bool t1_has_room(struct t1 *t);
/* A cursor at the end of an area, in which there is room for a block; and what it has written. */
struct emit t1_emit(const struct t1 *t, const struct t1_area *area);
void t1_emitted(const struct t1 *t, struct t1_area *area, const struct emit *e);
/*
 * The jump that the block is translated for, when that is the last thing that was written: the
 * block can begin in its place. NULL: there is none.
 */
struct t1_link *t1_falls_into(struct cpu *c, const struct block *b);
/*
 * The head of T1_STUB_MISS: an entry that only another page had taken is filled from what the
 * table knows, and the access tried again; else on, with r14 and r15 as they came.
 */
void t1_put_refill(struct emit *e, const struct cpu *c);

/* Code that goes to a link's target through its jump slot: run address, 0 when there is no room. */
uint64_t t1_put_slot_jump(struct cpu *c, struct t1_link *link);
/* Control goes to an offset of this page, or anywhere else by a linear address in r14. */
void t1_put_exit(struct t1_ctx *x, int64_t target);
/* The same from COLD_JUMP. */
void t1_put_far_branch(struct t1_ctx *x, const struct t1_cold *cold);
/* undo: what RSP moved by since the instruction began. */
void t1_put_jump(struct t1_ctx *x, int32_t undo);

#endif
