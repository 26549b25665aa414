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

#include "cpu/soft/fpu.h"

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

enum { H_RAX, H_RCX, H_RDX, H_RBX, H_R8 = 8, H_R9, H_R10, H_R11 };

struct emit {
    uint8_t code[THUNK_MAX_BYTES];
    unsigned len;
};

static void put8(struct emit *e, uint8_t b)
{
    if (e->len < THUNK_MAX_BYTES)
        e->code[e->len] = b;
    e->len++;
}

static void put_le(struct emit *e, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        put8(e, (uint8_t)(v >> (8 * i)));
}

static void put_bytes(struct emit *e, const uint8_t *bytes, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        put8(e, bytes[i]);
}
#define PUT(e, ...)                                                                                \
    do {                                                                                           \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        put_bytes(e, bytes_, sizeof(bytes_));                                                      \
    } while (0)

/* op reg, [rdi + offset] (or the store form); offsets are those of struct cpu. */
static void put_cpu_op(struct emit *e, const char *opcode, unsigned n, unsigned rex_w, unsigned reg,
                       unsigned offset)
{
    unsigned rex = 0x40 | rex_w << 3 | (reg & 8) >> 1;
    if (rex != 0x40 || reg >= 4)
        put8(e, (uint8_t)rex);
    put_bytes(e, (const uint8_t *)opcode, n);
    put8(e, (uint8_t)(0x87 | (reg & 7) << 3)); /* mod 2, rm rdi */
    put_le(e, offset, 4);
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
        put_cpu_op(e, "\x8b", 1, 1, m->host[slot], offsetof(struct cpu, gpr) + 8 * slot);
    else
        put_cpu_op(e, "\x0f\xb6", 2, 0, m->host[slot],
                   offsetof(struct cpu, gpr) + 8 * (slot - SLOT_HIGH) + 1);
}

static void put_store(struct emit *e, const struct regmap *m, unsigned slot)
{
    if (slot < SLOT_HIGH)
        put_cpu_op(e, "\x89", 1, 1, m->host[slot], offsetof(struct cpu, gpr) + 8 * slot);
    else
        put_cpu_op(e, "\x88", 1, 0, m->host[slot],
                   offsetof(struct cpu, gpr) + 8 * (slot - SLOT_HIGH) + 1);
}

/* ---- the instruction itself, with its registers renamed ---- */

struct fields {
    unsigned reg, rm, vvvv; /* numbers to encode */
    bool mem;
};

static void put_modrm(struct emit *e, const struct fields *f)
{
    if (f->mem)
        put8(e, (uint8_t)((f->reg & 7) << 3)); /* [r8] */
    else
        put8(e, (uint8_t)(0xc0 | (f->reg & 7) << 3 | (f->rm & 7)));
}

static void put_vex(struct emit *e, const struct x86_insn *in, const struct fields *f)
{
    static const uint8_t pp[] = {0, 0, 1, 2, 3};
    unsigned r = !(f->reg & 8), b = f->mem ? 0 : !(f->rm & 8);
    put8(e, 0xc4);
    put8(e, (uint8_t)(r << 7 | 1 << 6 | b << 5 | (in->info->map - MAP_V0F + 1)));
    put8(e, (uint8_t)((in->rex & 8) << 4 | (~f->vvvv & 15) << 3 | in->vex_l << 2 |
                      pp[in->info->prefix]));
    put8(e, in->opcode);
    put_modrm(e, f);
}

static bool is_general(const struct x86_opinfo *info)
{
    return info->rm.kind <= K_MEM && info->reg.kind <= K_MEM;
}

static void put_legacy(struct emit *e, const struct x86_insn *in, const struct fields *f)
{
    const struct x86_opinfo *info = in->info;
    uint8_t opcode = in->opcode;
    unsigned rex = 0x40 | (in->rex & 8);

    if (in->lock)
        put8(e, 0xf0);
    if (info->prefix == 2 || (in->op_bytes == 2 && is_general(info) && info->rm.size != SZ_Y))
        put8(e, 0x66);
    if (info->prefix >= 3)
        put8(e, info->prefix == 3 ? 0xf3 : 0xf2);
    rex |= (f->reg & 8) >> 1 | (f->mem ? 1 : (f->rm & 8) >> 3);
    if (rex != 0x40)
        put8(e, (uint8_t)rex);
    if (info->map != MAP_1)
        put8(e, 0x0f);
    if (info->map >= MAP_38)
        put8(e, info->map == MAP_38 ? 0x38 : 0x3a);
    if (info->as_opcode)
        opcode = info->as_opcode;
    if (info->attrs & ATTR_Z && !info->as_opcode) {
        put8(e, (uint8_t)((opcode & 0xf8) | (f->rm & 7)));
        return;
    }
    put8(e, opcode);
    if (in->has_modrm || info->attrs & ATTR_Z)
        put_modrm(e, f);
}

static void put_insn(struct emit *e, const struct x86_insn *in, struct regmap *m)
{
    const struct x86_opinfo *info = in->info;
    struct fields f = {.reg = in->reg, .rm = in->rm, .vvvv = in->vvvv, .mem = in->mem};

    if (info->attrs & ATTR_Z)
        f.reg = info->as_reg;
    if (info->reg.kind == K_GPR)
        f.reg = m->host[slot_of(in, &info->reg, in->reg)];
    else if (info->reg.kind == K_NONE && in->has_modrm)
        f.reg = in->reg & 7;
    if (info->rm.kind == K_GPR && !in->mem)
        f.rm = m->host[slot_of(in, &info->rm, in->rm)];
    else if (info->rm.kind != K_XMM && !in->mem)
        f.rm = in->rm & 7;
    if (info->reg.kind == K_MMX)
        f.reg &= 7;
    if (info->vvvv.kind == K_GPR)
        f.vvvv = m->host[in->vvvv];
    if (in->vex && in->has_modrm) {
        put_vex(e, in, &f);
    } else if (in->vex) {
        put8(e, 0xc5); /* VZEROUPPER, VZEROALL: no ModRM */
        put8(e, (uint8_t)(0x80 | (~in->vvvv & 15) << 3 | in->vex_l << 2));
        put8(e, in->opcode);
    } else {
        put_legacy(e, in, &f);
    }
    if (info->imm == IMM_IB)
        put_le(e, in->imm, 1);
    else if (info->imm == IMM_IZ)
        put_le(e, in->imm, in->op_bytes == 2 ? 2 : 4);
}

static bool uses_fpu(const struct x86_insn *in)
{
    const struct x86_opinfo *info = in->info;
    return info->rm.kind >= K_XMM || info->reg.kind >= K_XMM || info->vvvv.kind >= K_XMM ||
           info->attrs & ATTR_EMMS || (in->vex && !in->has_modrm);
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

    if (uses_fpu(in)) {
        PUT(e, 0x80, 0xbf); /* cmp byte [rdi + fpu_live], 0; jne +12; mov rax, load; call rax */
        put_le(e, offsetof(struct cpu, fpu_live), 4);
        PUT(e, 0x00, 0x75, 12, 0x48, 0xb8);
        put_le(e, (uint64_t)fpu_load_from_thunk, 8);
        PUT(e, 0xff, 0xd0);
    }
    PUT(e, 0x49, 0x89, 0xd0); /* mov r8, rdx */
    bool rbx = (info->implied_r | info->implied_w) & 8;
    if (rbx)
        put_cpu_op(e, "\x89", 1, 1, H_RBX, offsetof(struct cpu, saved_rbx));
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
    if (info->flags == FL_R || info->flags == FL_RW) {
        put_cpu_op(e, "\x0f\xb7", 2, 0, H_RAX, offsetof(struct cpu, aflags));
        PUT(e, 0x04, 0x7f, 0x9e); /* add al, 0x7f; sahf */
    }
    if (m.load & 1 && m.host[0] == H_RAX)
        put_load(e, &m, 0);

    put_insn(e, in, &m);

    for (unsigned slot = 0; slot < SLOT_HIGH + 4; slot++)
        if (m.store >> slot & 1)
            put_store(e, &m, slot);
    if (info->flags == FL_W || info->flags == FL_RW) {
        PUT(e, 0x9f, 0x0f, 0x90, 0xc0); /* lahf; seto al */
        put8(e, 0x66);
        put_cpu_op(e, "\x89", 1, 0, H_RAX, offsetof(struct cpu, aflags));
    }
    if (rbx)
        put_cpu_op(e, "\x8b", 1, 1, H_RBX, offsetof(struct cpu, saved_rbx));
    PUT(e, 0x48, 0x83, 0xc6, 64, 0xff, 0x26); /* add rsi, 64; jmp [rsi] */
}

void *thunk_make(struct thunk_arena *a, const struct x86_insn *insn)
{
    struct emit e;
    e.len = 0;
    generate(&e, insn);

    uint32_t hash = 2166136261u;
    for (unsigned i = 0; i < e.len; i++)
        hash = (hash ^ e.code[i]) * 16777619u;
    for (unsigned slot = hash % HASH_SLOTS;; slot = (slot + 1) % HASH_SLOTS) {
        if (!a->hash[slot]) {
            if (e.len > THUNK_MAX_BYTES || a->used + THUNK_MAX_BYTES + 16 > ARENA_BYTES)
                return NULL;
            if (a->used > ARENA_BYTES / 2 && a->hash[(slot + 1) % HASH_SLOTS] &&
                a->hash[(slot + 64) % HASH_SLOTS] && a->hash[(slot + 128) % HASH_SLOTS])
                return NULL; /* the hash is crowded: start anew */
            uint8_t *at = a->rw + a->used;
            at[0] = (uint8_t)e.len;
            copy_bytes(at + 1, e.code, e.len);
            a->hash[slot] = a->used + 1;
            a->used += (uint32_t)align_up(e.len + 1, 16);
            return a->rx + a->hash[slot];
        }
        const uint8_t *known = a->rw + a->hash[slot] - 1;
        if (known[0] != (uint8_t)e.len)
            continue;
        unsigned same = 0;
        while (same < e.len && known[1 + same] == e.code[same])
            same++;
        if (same == e.len)
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
static struct sigaction old_fpe, old_ill, old_segv;

void thunk_signals_enter(struct cpu *c)
{
    signal_cpu = c;
}

void thunk_signals_leave(void)
{
    signal_cpu = NULL;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    greg_t *regs = uc->uc_mcontext.gregs;
    uint64_t rip = (uint64_t)regs[REG_RIP];
    struct cpu *c = signal_cpu;
    const struct sigaction *old = number == SIGFPE   ? &old_fpe
                                  : number == SIGILL ? &old_ill
                                                     : &old_segv;

    if (c && rip >= (uint64_t)c->thunks->rx && rip < (uint64_t)c->thunks->rx + ARENA_BYTES) {
        /* A thunk has nothing on the stack: go on as if it had tail-called thunk_fault(). */
        c->fault_signal = number;
        regs[REG_RIP] = (greg_t)thunk_fault;
        return;
    }
    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(number, info, context);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(number);
    else
        sigaction(number, old, NULL); /* the instruction faults again, and that ends the process */
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
