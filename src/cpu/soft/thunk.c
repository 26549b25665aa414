/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making thunks. Host register use: rdi the cpu, rsi the uop, r8 the memory operand; explicit
 * guest registers go to r9, r10, r11, implied ones (RAX, RCX, RDX, RBX) to themselves. Encodings:
 * Intel SDM vol. 2, chapter 2.
 */
#include "cpu/soft/thunk.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "cpu/soft/emit.h"
#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"

#define ARENA_BYTES MIB(16)
#define THUNK_MAX_BYTES 256
#define HASH_SLOTS 65536u

struct thunk_arena {
    uint8_t *rw, *rx;
    uint32_t used;
    uint32_t hash[HASH_SLOTS]; /* offset + 1 of a thunk */
};

int thunk_arena_new(struct thunk_arena **ret_arena)
{
    struct thunk_arena *a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    AUTO_FD int fd = memfd_create("yado-thunks", MFD_CLOEXEC);
    int error = 0;
    if (fd < 0 || ftruncate(fd, ARENA_BYTES) < 0)
        error = -errno;
    if (!error) {
        a->rw = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        a->rx = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
        if (a->rw == MAP_FAILED || a->rx == MAP_FAILED)
            error = -errno;
    }
    if (error) {
        thunk_arena_free(a);
        return error;
    }
    *ret_arena = a;
    return 0;
}

void thunk_arena_free(struct thunk_arena *a)
{
    if (!a)
        return;
    if (a->rw && a->rw != MAP_FAILED)
        munmap(a->rw, ARENA_BYTES);
    if (a->rx && a->rx != MAP_FAILED)
        munmap(a->rx, ARENA_BYTES);
    free(a);
}

void thunk_reset(struct thunk_arena *a)
{
    a->used = 0;
    for (unsigned i = 0; i < HASH_SLOTS; i++)
        a->hash[i] = 0;
}

/* ---- emitting ---- */

/* op reg, [rdi + offset] (or the store form); offsets are those of struct cpu. */
static void put_cpu_op(struct emit *e, unsigned opcode, bool w, unsigned reg, unsigned offset)
{
    put_op_mem(e, opcode, w, reg, &(struct host_mem){H_RDI, H_NONE, 0, (int32_t)offset});
}

/* ---- the register map of one instruction ---- */

#define SLOT_HIGH 16 /* AH, CH, DH, BH are slots 16–19 */
#define NO_HOST 0xff

struct regmap {
    uint8_t host[SLOT_HIGH + 4];
    uint32_t load, store; /* bits by slot */
    uint8_t next;
};

static unsigned slot_of(const struct x86_insn *in, const struct x86_operand *op, unsigned n)
{
    bool is_byte = op->size == SZ_1;
    if (is_byte && !in->rex_present && n >= 4 && n < 8)
        return SLOT_HIGH + n - 4;
    return n;
}

static unsigned map_slot(struct regmap *m, unsigned slot, bool load, bool store)
{
    if (m->host[slot] == NO_HOST)
        m->host[slot] = m->next++;
    m->load |= (uint32_t)load << slot;
    m->store |= (uint32_t)store << slot;
    return m->host[slot];
}

static unsigned map_operand(struct regmap *m, const struct x86_insn *in,
                            const struct x86_operand *op, unsigned n)
{
    unsigned bytes = x86_operand_bytes(in, op->size);
    /* A byte or word write keeps the rest of the register. */
    bool partial = op->access & A_W && bytes < 4 && op->size != SZ_M1 && op->size != SZ_M2;
    return map_slot(m, slot_of(in, op, n), op->access & A_R || partial, op->access & A_W);
}

static void put_load(struct emit *e, const struct regmap *m, unsigned slot)
{
    if (slot < SLOT_HIGH)
        put_cpu_op(e, 0x8b, true, m->host[slot], offsetof(struct cpu, gpr) + 8 * slot);
    else
        put_cpu_op(e, 0x0fb6, false, m->host[slot],
                   offsetof(struct cpu, gpr) + 8 * (slot - SLOT_HIGH) + 1);
}

static void put_store(struct emit *e, const struct regmap *m, unsigned slot)
{
    if (slot < SLOT_HIGH)
        put_cpu_op(e, 0x89, true, m->host[slot], offsetof(struct cpu, gpr) + 8 * slot);
    else
        put_cpu_op(e, 0x88, false, m->host[slot],
                   offsetof(struct cpu, gpr) + 8 * (slot - SLOT_HIGH) + 1);
}

/* ---- the instruction itself, with its registers renamed ---- */

static void put_renamed(struct emit *e, const struct x86_insn *in, const struct regmap *m)
{
    static const struct host_mem operand = {H_R8, H_NONE, 0, 0};
    const struct x86_opinfo *info = in->info;
    struct host_regs r = {in->reg, in->rm, in->vvvv, in->mem ? &operand : NULL};

    if (info->attrs & ATTR_Z)
        r.reg = info->as_reg;
    if (info->reg.kind == K_GPR)
        r.reg = m->host[slot_of(in, &info->reg, in->reg)];
    else if (info->reg.kind == K_NONE && in->has_modrm)
        r.reg = in->reg & 7;
    if (info->rm.kind == K_GPR && !in->mem)
        r.rm = m->host[slot_of(in, &info->rm, in->rm)];
    else if (info->rm.kind != K_XMM && !in->mem)
        r.rm = in->rm & 7;
    if (info->reg.kind == K_MMX)
        r.reg &= 7;
    if (info->vvvv.kind == K_GPR)
        r.vvvv = m->host[in->vvvv];
    put_insn(e, in, &r);
}

static void generate(struct emit *e, const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    struct regmap m = {.next = H_R9};

    for (unsigned i = 0; i < sizeof(m.host); i++)
        m.host[i] = NO_HOST;
    for (unsigned n = 0; n < 4; n++) {
        bool r = info->implied_r >> n & 1, w = info->implied_w >> n & 1;
        if (!r && !w)
            continue;
        m.host[n] = (uint8_t)n;
        map_slot(&m, n, true, w);
    }
    if (info->reg.kind == K_GPR)
        map_operand(&m, in, &info->reg, in->reg);
    if (info->rm.kind == K_GPR && !in->mem)
        map_operand(&m, in, &info->rm, in->rm);
    if (info->vvvv.kind == K_GPR)
        map_operand(&m, in, &info->vvvv, in->vvvv);

    if (insn_uses_fpu(in)) {
        PUT(e, 0x80, 0xbf); /* cmp byte [rdi + fpu_live], 0; jne +12; mov rax, load; call rax */
        put_le(e, offsetof(struct cpu, fpu_live), 4);
        PUT(e, 0x00, 0x75, 12, 0x48, 0xb8);
        put_le(e, (uint64_t)fpu_load_from_thunk, 8);
        PUT(e, 0xff, 0xd0);
    }
    PUT(e, 0x49, 0x89, 0xd0); /* mov r8, rdx */
    bool rbx = (info->implied_r | info->implied_w) & 8;
    if (rbx)
        put_cpu_op(e, 0x89, true, H_RBX, offsetof(struct cpu, saved_rbx));
    for (unsigned slot = 1; slot < SLOT_HIGH + 4; slot++)
        if (m.load >> slot & 1)
            put_load(e, &m, slot);
    /* RAX as an explicit operand has a register of its own; only the implied one waits. */
    if (m.load & 1 && m.host[0] != H_RAX)
        put_load(e, &m, 0);
    if (info->attrs & ATTR_VM && in->mem) {
        /* The bit's offset beyond the operand is in its address already: and reg, size - 1. */
        unsigned reg = m.host[in->reg];
        if (reg & 8)
            put8(e, 0x41);
        put8(e, 0x83);
        put8(e, (uint8_t)(0xe0 | (reg & 7)));
        put8(e, (uint8_t)(in->op_bytes * 8 - 1));
    }
    if (info->flags != FL_NONE && info->flags != FL_W) {
        put_cpu_op(e, 0x0fb7, false, H_RAX, offsetof(struct cpu, aflags));
        PUT(e, 0x04, 0x7f, 0x9e); /* add al, 0x7f; sahf */
    }
    if (m.load & 1 && m.host[0] == H_RAX)
        put_load(e, &m, 0);

    put_renamed(e, in, &m);

    for (unsigned slot = 0; slot < SLOT_HIGH + 4; slot++)
        if (m.store >> slot & 1)
            put_store(e, &m, slot);
    if (info->flags != FL_NONE && info->flags != FL_R) {
        PUT(e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
        put8(e, 0x66);
        put_cpu_op(e, 0x89, false, H_RAX, offsetof(struct cpu, aflags));
    }
    if (rbx)
        put_cpu_op(e, 0x8b, true, H_RBX, offsetof(struct cpu, saved_rbx));
    PUT(e, 0x48, 0x83, 0xc6, 64, 0xff, 0x26); /* add rsi, 64; jmp [rsi] */
}

void *thunk_make(struct thunk_arena *a, const struct x86_insn *insn)
{
    uint8_t code[THUNK_MAX_BYTES];
    struct emit e = {.at = code, .end = code + sizeof(code)};
    generate(&e, insn);
    unsigned len = (unsigned)(e.at - code);

    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < len; i++)
        hash = (hash ^ code[i]) * 16777619u;
    for (unsigned slot = hash % HASH_SLOTS;; slot = (slot + 1) % HASH_SLOTS) {
        if (!a->hash[slot]) {
            if (e.overflow || a->used + THUNK_MAX_BYTES + 16 > ARENA_BYTES)
                return NULL;
            if (a->used > ARENA_BYTES / 2 && a->hash[(slot + 1) % HASH_SLOTS] &&
                a->hash[(slot + 64) % HASH_SLOTS] && a->hash[(slot + 128) % HASH_SLOTS])
                return NULL; /* the hash is crowded: start anew */
            uint8_t *at = a->rw + a->used;
            at[0] = (uint8_t)len;
            copy_bytes(at + 1, code, len);
            a->hash[slot] = a->used + 1;
            a->used += (uint32_t)align_up(len + 1, 16);
            return a->rx + a->hash[slot];
        }
        const uint8_t *known = a->rw + a->hash[slot] - 1;
        if (known[0] != (uint8_t)len)
            continue;
        unsigned same = 0;
        while (same < len && known[1 + same] == code[same])
            same++;
        if (same == len)
            return a->rx + a->hash[slot];
    }
}

/* ---- running one and coming back ---- */

static void stop(struct cpu *c, const struct uop *u)
{
    (void)c;
    (void)u;
}

const struct uop thunk_stop[2] = {{.fn = stop}, {.fn = stop}};

void thunk_call(struct cpu *c, void *thunk, void *operand)
{
    ((thunk_fn *)thunk)(c, thunk_stop, operand);
}

/* ---- faults of the host's processor ---- */

static __thread struct cpu *signal_cpu;
static __thread stack_t old_stack;
static struct sigaction old_fpe, old_ill, old_segv;

/* Linux 4.7: the stack is off while a handler runs; wherever RSP points, the frame goes there. */
#define SS_AUTODISARM_FLAG (1u << 31)
#define SIGNAL_STACK_BYTES KIB(64)

int thunk_signals_new(struct cpu *c)
{
    c->signal_stack = malloc(SIGNAL_STACK_BYTES);
    return c->signal_stack ? 0 : -ENOMEM;
}

void thunk_signals_enter(struct cpu *c)
{
    stack_t own = {.ss_sp = c->signal_stack,
                   .ss_size = SIGNAL_STACK_BYTES,
                   .ss_flags = (int)SS_AUTODISARM_FLAG};
    signal_cpu = c;
    sigaltstack(&own, &old_stack);
}

void thunk_signals_leave(void)
{
    sigaltstack(&old_stack, NULL);
    signal_cpu = NULL;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    bool sent = info->si_code <= 0; /* by somebody's kill(): no fault of the guest's */
    struct cpu *c = sent ? NULL : signal_cpu;
    const struct sigaction *old = number == SIGFPE   ? &old_fpe
                                  : number == SIGILL ? &old_ill
                                                     : &old_segv;

    if (c && t1_signal(c, number, context))
        return;
    if (c && rip >= (uint64_t)c->thunks->rx && rip < (uint64_t)c->thunks->rx + ARENA_BYTES) {
        /* A thunk has nothing on the stack: go on as if it had tail-called thunk_fault(). */
        c->fault_signal = number;
        regs[REG_RIP] = (greg_t)thunk_fault;
        return;
    }
    if (!sent && old->sa_flags & SA_SIGINFO) { /* it may go on, and so do we */
        old->sa_sigaction(number, info, context);
        return;
    }
    /* Whoever had the signal before has it when the instruction faults again. */
    sigaction(number, old, NULL);
    if (sent)
        raise(number);
}

int thunk_signals_install(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    struct sigaction now;

    if (sigaction(SIGFPE, NULL, &now) < 0)
        return -errno;
    if (now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_signal)
        return 0;
    if (sigaction(SIGFPE, &action, &old_fpe) < 0 || sigaction(SIGILL, &action, &old_ill) < 0 ||
        sigaction(SIGSEGV, &action, &old_segv) < 0)
        return -errno;
    return 0;
}
