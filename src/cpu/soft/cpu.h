/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One processor of the soft engine, tier T0: its registers as T0 keeps them, its pending events,
 * and the small accessors that every exec_*.c uses. Only rooms of cpu/soft include this.
 *
 * How T0 runs: guest code is decoded into blocks of micro-operations (struct uop, block.h). Each
 * uop has a function that does its work and tail-calls the next one's; returning instead goes
 * back to the loop (loop.c). Within a block cpu->rip stays at the block's start; a uop's own
 * address is cpu->rip + uop->at. Whoever leaves a block sets cpu->rip first.
 *
 * Data instructions run natively: a thunk (thunk.h) loads their registers from this struct, runs
 * the guest's opcode on the host's processor and stores the results. x87 and vector registers
 * stay in the host's own registers while guest code runs (fpu.h), so this room is compiled to
 * use general registers only.
 */
#ifndef CPU_SOFT_CPU_H
#define CPU_SOFT_CPU_H

#include <stdatomic.h>

#include "cpu/engine.h"
#include "cpu/soft/options.h"
#include "cpu/soft/tlb.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/decode.h"
#include "cpu/x86/regs.h"
#include "memory/ahead.h"

/* gpr[] beyond the architectural sixteen */
#define GPR_ZERO 16 /* always 0: no base or index */
#define GPR_RIP 17  /* the block's start: base of RIP-relative operands */
#define GPR_SLOTS 18

/* aflags: AH as LAHF makes it in the high byte, OF as SETO makes it in bit 0. */
#define AF_OF 0x0001u
#define AF_CF 0x0100u
#define AF_PF 0x0400u
#define AF_AF 0x1000u
#define AF_ZF 0x4000u
#define AF_SF 0x8000u

/* Segment slots: the six registers, then one with base 0 and no limit for 64-bit code. */
#define SEG_FLAT X86_SEGS
#define SEG_SLOTS (X86_SEGS + 1)

struct seg {
    uint64_t base;
    uint32_t limit;
    uint16_t selector, attr;
    /* Offsets that may be read or written, inclusive; lo > hi: none. Made by seg_update(). */
    uint32_t lo, hi_r, lo_w, hi_w;
    /* What may be read [0] and written [1] where that begins at offset 0: its bytes; 0: nothing. */
    uint64_t end[2];
};

/*
 * What SYSCALL in 64-bit mode, or SYSRET to it, has left behind, for translated code to do the same
 * (t1_syscall.c). Good until something else changes that it is made of: cpu_shut_gates().
 */
struct cpu_gate {
    struct seg cs, ss;
    uint64_t jump_tag;
    struct jump_slot *jumps;
    struct tlb_table *tlb;
    uint32_t mode;
    /* SYSCALL: of cpu->eflags, ->aflags, ->poll_mask that stay */
    uint32_t eflags_kept, aflags_kept, poll_kept;
    bool open;
};

/* Requests of other threads, in cpu->requests. */
enum cpu_request {
    REQ_KICK = 1, /* leave vcpu_run() */
    REQ_INTR = 2, /* level: INTR is asserted */
    REQ_NMI = 4,
    REQ_INIT = 8,
    REQ_SIPI = 16,
    REQ_REMAP = 32,   /* the address map has changed */
    REQ_FLUSH = 64,   /* drop the soft TLB */
    REQ_CODE = 128,   /* pages of code were written: see code_writes */
    REQ_BLOCKS = 256, /* forget all decoded code */
};

/* What the executing thread notes for itself, in cpu->events: all cheap to test at once. */
enum cpu_event {
    EV_FAULT = 1,     /* exception to deliver: vector, error, cr2 */
    EV_SHADOW = 2,    /* STI: hold interrupts off for one instruction */
    EV_SHADOW_SS = 4, /* MOV SS: hold off debug traps too */
    EV_HALT = 8,
    EV_SHUTDOWN = 16,
    EV_TRAP = 32,   /* #DB trap after this instruction; bits in dr6_pending */
    EV_STEP = 64,   /* TF was set when the instruction began, and no exception took over */
    EV_BREAK = 128, /* leave the block after this instruction */
    EV_ERROR = 256, /* this engine cannot go on */
    EV_INTR = 512,  /* another engine had acknowledged an interrupt: deliver vector */
};

/* Mode bits: what code means, and so part of the key of a block. */
enum cpu_mode {
    MODE_CODE64 = 1,
    MODE_CODE32 = 2,
    MODE_STACK32 = 4,  /* SS.B (in 64-bit mode the stack is 64 bits wide) */
    MODE_REAL = 8,     /* real or virtual-8086: no VEX, no protected-mode instructions */
    MODE_USER = 16,    /* CPL 3 */
    MODE_X87_NM = 32,  /* CR0.EM or CR0.TS */
    MODE_WAIT_NM = 64, /* CR0.MP and CR0.TS */
    MODE_SSE_UD = 128, /* CR0.EM, or CR4.OSFXSR clear */
    MODE_TS = 256,
    MODE_AVX_UD = 512, /* CR4.OSXSAVE clear or XCR0 without AVX */
    MODE_EM = 1024,
    MODE_SINGLE = 2048,  /* one instruction a block: single step, breakpoints, shadows */
    MODE_FLAT = 4096,    /* 32-bit code; CS, DS, ES, SS span 4 GiB from 0 */
    MODE_FS_FLAT = 8192, /* so does FS, but for its base */
    MODE_GS_FLAT = 16384,
    MODE_MIDDLE = 32768, /* CPL 1 or 2: a supervisor without its privileges */
};

struct soft_engine;
struct block;
struct uop;

/* CS of segmented code, of which its addresses and limits are made; 0 where is_flat(). */
struct code_seg {
    uint32_t base, limit;
};

/* The name of one mode with the fetch translations of one space (tlb.h): see jump slots. */
struct jump_key {
    uint64_t space, tag;
    uint32_t mode;
    struct code_seg cs;
};
#define JUMP_KEY_SETS 32u
#define JUMP_KEY_WAYS 4u

/* Where the time of the executing thread goes. */
enum cpu_place { IN_T0, IN_T1, IN_TRANSLATOR, IN_DECODER, IN_DEVICES };

/* What happens how often; cheap enough to be counted always. */
enum cpu_stat {
    STAT_T0_BLOCKS, /* run by T0 from their start */
    STAT_T1_RUNS,   /* translated code was entered */
    STAT_EXIT,      /* and left: by enum t1_exit from here on */
    STAT_EXIT_LAST = STAT_EXIT + 3,
    STAT_LINK,       /* jumps that were not aimed at their targets */
    STAT_JUMP,       /* to what no slot had */
    STAT_STALE,      /* by slots of blocks without code */
    STAT_FINDS,      /* jump slots filled */
    STAT_RENEWED,    /* of them those that only had an old name */
    STAT_BUILT,      /* blocks decoded */
    STAT_TRANSLATED, /* blocks */
    STAT_TRANSLATED_INSNS,
    STAT_CODE_BYTES, /* made of them */
    STAT_COLD_BYTES, /* and of what is rarely run */
    STAT_REFILLS,    /* of TLB entries by translated code itself */
    STAT_MISSES,     /* accesses of translated code that the TLB did not have */
    STAT_MISSES_T0,  /* and that T0 had to do */
    STAT_CALLS,      /* instructions that T0 did for translated code */
    STAT_FLUSHES,    /* of all translations of addresses */
    STAT_SWITCHES,   /* of address spaces */
    STAT_PAGES,      /* INVLPG and its like */
    STAT_KEYS,       /* of jump slots */
    STAT_KILLED,     /* blocks whose code was written */
    STAT_EVICTED,    /* parts of what is kept */
    STAT_TIME,       /* spent, by enum cpu_place from here on; in ticks of the host's TSC */
    STAT_TIME_LAST = STAT_TIME + 4,
    CPU_STATS
};

struct code_write {
    uint64_t offset, len_bytes;
};
#define CODE_WRITES_MAX 64

struct cpu {
    /* --- what instructions work on: checkers save and put back all up to state_end --- */
    uint64_t gpr[GPR_SLOTS];
    uint16_t aflags;
    uint8_t fpu_live; /* the host's registers hold the guest's x87 and vector state */
    uint8_t cpl;
    uint32_t mode; /* enum cpu_mode */
    uint64_t rip;
    uint32_t eflags; /* all but the arithmetic flags */
    uint32_t events; /* enum cpu_event */
    struct seg seg[SEG_SLOTS];

    struct x86_segment ldtr, tr;
    struct x86_table gdtr, idtr;
    uint64_t cr0, cr2, cr3, cr4, efer, xcr0;
    uint64_t pdpte[4]; /* PAE: loaded by MOV CR3 (SDM vol. 3, 4.4.1) */
    uint64_t dr[8];
    uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
    uint64_t pat, tsc_offset, tsc_aux, tsc_adjust, misc_enable, spec_ctrl;
    uint64_t mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    uint64_t mcg_status, pkru, pkrs;
    uint64_t a20_mask; /* ~0, or without bit 20 */

    /* pending exception (EV_FAULT) */
    uint8_t vector;
    bool has_error;
    bool nmi_masked;  /* until IRET */
    uint8_t activity; /* enum x86_activity */
    uint32_t error;
    uint64_t dr6_pending;

    /* last x87 instruction, for FSTENV, FSAVE, FXSAVE, XSAVE */
    uint64_t fpu_ip, fpu_dp;
    uint16_t fpu_cs, fpu_ds, fpu_op;

    _Alignas(64) uint8_t xsave[X86_XSAVE_BYTES + 64];
    uint8_t state_end[0];

    /* --- how it is found and run --- */
    _Atomic uint32_t requests;    /* enum cpu_request */
    uint32_t poll_mask;           /* of translated code: requests that end a run of blocks */
    struct tlb_table *tlb;        /* of the present privilege */
    struct jump_slot *jumps;      /* of the present privilege */
    uint64_t jump_tag;            /* names mode and fetch translations; never 0 */
    struct cpu_gate enter, leave; /* SYSCALL, SYSRET */
    uint64_t saved_rbx;

    /* of translated code alone (t1.h) */
    uint64_t page;       /* linear address of the page that runs */
    uint64_t host_rsp;   /* while the guest's RSP is in the host's */
    uint64_t t1_a, t1_b; /* r14 and r15 at the way out */
    uint64_t t1_keep[2]; /* scratch within one instruction */
    uint64_t t1_fill[2]; /* and within one miss */
    uint64_t t1_target;
    struct tlb_entry t1_once; /* of a store beside code (t1_miss) */
    uint64_t t1_addends[4];   /* of a loop's streams */
    uint32_t t1_turns;        /* of a loop that are left */
    uint64_t t1_restore;      /* RAX while flags are put back */
    bool t1_stopped;          /* the instruction that T0 did has come to its end */
    struct t1 *t1;

    int fault_signal;           /* of a thunk: SIGFPE, SIGILL */
    const struct uop *slow_uop; /* behind thunk_call() */

    /* what the block loop works with */
    const struct block *block; /* under way */
    struct block_cache *blocks;
    struct tlb_state *tlbs;
    struct bus_view *view;
    /* The range of RAM that was looked up last: [ram_gpa, ram_gpa + ram_bytes). */
    uint64_t ram_gpa, ram_bytes;
    uint8_t *ram_host;
    struct soft_engine *soft;
    const struct cpu_host *host;
    struct check *check; /* NULL: both tiers are not compared (check.h) */
    struct jump_key jump_keys[JUMP_KEY_SETS][JUMP_KEY_WAYS];
    uint64_t jump_tags; /* names given out since all slots were empty */
    uint64_t jump_seed;
    struct thunk_arena *thunks;
    void *signal_stack;
    bool thunks_full;
    uint8_t sipi_vector;

    uint64_t stats[CPU_STATS];
    uint64_t place_since; /* host TSC */
    uint8_t place;        /* enum cpu_place; what T1 calls counts as T1 */
    struct vcpu vcpu;
    _Atomic bool in_guest; /* within the block loop: requests are looked at soon */
    bool code_overflow;
    _Atomic unsigned code_lock;
    unsigned code_count;
    struct code_write code_writes[CODE_WRITES_MAX];

    _Alignas(64) uint8_t bounce[1024];
};

struct soft_engine {
    struct engine engine;
    struct x86_model model;
    struct ram *ram;
    struct ram_watcher watcher;
    struct ahead *ahead;        /* NULL: nothing is done ahead of the guest */
    _Atomic uint64_t *granules; /* per page of the store: 64-byte pieces that hold decoded code */
    struct cpu **cpus;
    struct x86_state *scratch_state; /* one for each CPU, for INIT */
    unsigned cpu_count;
    /* Each CPU's room for decoded code, for translated code and for what that refers to. */
    uint64_t cache_bytes;
    uint64_t tsc_stopped;      /* the host's TSC when guest time stood still; 0: it passes */
    _Atomic unsigned bus_lock; /* held while a locked access that cannot be one access is done */
    _Atomic bool a20;
    struct soft_options options;
    int map_fd; /* of perf-map; -1: none */
};

static inline struct cpu *cpu_of(struct vcpu *vcpu)
{
    return CONTAINER_OF(vcpu, struct cpu, vcpu);
}

/* Requests of other threads that can be met at the next instruction boundary. */
static inline uint32_t cpu_poll_mask(const struct cpu *c)
{
    return ~((c->eflags & FL_IF ? 0u : REQ_INTR) | (c->nmi_masked ? REQ_NMI : 0u));
}
static inline uint32_t cpu_wanted(const struct cpu *c)
{
    return atomic_load_explicit(&c->requests, memory_order_relaxed) & cpu_poll_mask(c);
}

/* ---- modes ---- */

static inline bool is_code64(const struct cpu *c)
{
    return c->mode & MODE_CODE64;
}
/* Code of this mode has its linear addresses in RIP, and no limits. */
static inline bool is_flat(uint32_t mode)
{
    return mode & (MODE_CODE64 | MODE_FLAT);
}
static inline struct code_seg code_seg(const struct cpu *c)
{
    const struct seg *cs = &c->seg[X86_CS];
    return is_flat(c->mode) ? (struct code_seg){0}
                            : (struct code_seg){(uint32_t)cs->base, cs->limit};
}
static inline bool same_code_seg(struct code_seg a, struct code_seg b)
{
    return a.base == b.base && a.limit == b.limit;
}
/* The linear address of an instruction, and its RIP. */
static inline uint64_t rip_to_lin(const struct cpu *c, uint64_t rip)
{
    return c->mode & MODE_CODE64 ? rip : (uint32_t)(rip + c->seg[X86_CS].base);
}
static inline uint64_t lin_to_rip(const struct cpu *c, uint64_t lin)
{
    return c->mode & MODE_CODE64 ? lin : (uint32_t)(lin - c->seg[X86_CS].base);
}
static inline bool is_long(const struct cpu *c)
{
    return c->efer & EFER_LMA;
}
static inline bool is_protected(const struct cpu *c)
{
    return (c->cr0 & CR0_PE) && !(c->eflags & FL_VM);
}
static inline bool is_v86(const struct cpu *c)
{
    return c->eflags & FL_VM;
}
static inline unsigned iopl(const struct cpu *c)
{
    return (c->eflags & FL_IOPL) >> FL_IOPL_SHIFT;
}

/* ---- flags ---- */

static inline uint32_t flags_arith(const struct cpu *c)
{
    return ((c->aflags >> 8) & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) | (c->aflags & AF_OF) << 11;
}
static inline void flags_set_arith(struct cpu *c, uint32_t fl)
{
    c->aflags =
        (uint16_t)((fl & (FL_CF | FL_PF | FL_AF | FL_ZF | FL_SF)) << 8 | 0x200 | ((fl >> 11) & 1));
}
static inline uint32_t flags_get(const struct cpu *c)
{
    return flags_arith(c) | c->eflags | FL_1;
}

static inline void cpu_shut_gates(struct cpu *c)
{
    c->enter.open = c->leave.open = false;
}

/* Recompute cpu->mode and the TLB set after a change of CR0, CR4, EFER, XCR0, CPL, VM, CS, SS. */
void cpu_update_mode(struct cpu *c);
/* Set EFLAGS bits under mask (the caller has checked privileges); updates mode when needed. */
void cpu_set_flags(struct cpu *c, uint32_t value, uint32_t mask);
/* Recompute the limits of a segment register after its hidden part changed. */
void seg_update(struct seg *s, bool real);
void cpu_set_cpl(struct cpu *c, unsigned cpl);

/* ---- exceptions ---- */

/*
 * Note an exception of the present instruction; the caller returns to the loop at once, having
 * changed nothing that restarting the instruction would not change again.
 */
void raise_fault(struct cpu *c, unsigned vector, uint32_t error);
/* The same for a page fault. */
void raise_pf(struct cpu *c, uint64_t lin, uint32_t error);

static inline bool has_fault(const struct cpu *c)
{
    return c->events & EV_FAULT;
}

/* Deliver an exception, interrupt or INT n through the IDT or IVT (exec_int.c). */
enum int_kind { INT_EXTERNAL, INT_FAULT, INT_TRAP, INT_SOFT, INT_ICEBP };
void deliver(struct cpu *c, unsigned vector, enum int_kind kind, bool has_error, uint32_t error,
             uint64_t return_rip);

/* ---- guest time ---- */
static inline uint64_t host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

/* Time goes to another place from here on; the place where it went before comes back. */
static inline enum cpu_place cpu_place(struct cpu *c, enum cpu_place to)
{
    enum cpu_place from = (enum cpu_place)c->place;
    uint64_t now = host_tsc();
    c->stats[STAT_TIME + from] += now - c->place_since;
    c->place_since = now;
    c->place = (uint8_t)to;
    return from;
}

/* The host's slow ways out: save the guest's vector state first (fpu.c), then call upward. */
uint64_t out_mmio_read(struct cpu *c, uint64_t gpa, unsigned size);
void out_mmio_write(struct cpu *c, uint64_t gpa, unsigned size, uint64_t value);
uint32_t out_pio_read(struct cpu *c, uint16_t port, unsigned size);
void out_pio_write(struct cpu *c, uint16_t port, unsigned size, uint32_t value);
bool out_apic_msr(struct cpu *c, uint32_t msr, uint64_t *value, bool write);
int out_intr_ack(struct cpu *c);
uint8_t out_tpr_get(struct cpu *c);
void out_tpr_set(struct cpu *c, uint8_t tpr);
void out_ferr(struct cpu *c, bool level);
uint64_t out_tsc(struct cpu *c); /* the host's */
struct x86_cpuid_regs out_cpuid(struct cpu *c, uint32_t leaf, uint32_t subleaf);

/* This room must not call the C library's copy functions: they use vector registers. */
static inline void copy_bytes(void *to, const void *from, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}
static inline void zero_bytes(void *to, size_t n)
{
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory");
}

#endif
