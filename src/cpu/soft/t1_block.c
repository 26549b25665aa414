/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translating one block: what is known about its instructions beforehand, its entries, the
 * instructions in turn, and the code that is rarely run behind them.
 */
#include "cpu/soft/fpu.h"
#include "cpu/soft/t1.h"
#include "cpu/soft/t1_log.h"

/* ---- records ---- */

void *t1_record(struct t1_ctx *x, unsigned bytes)
{
    struct t1_part *p = x->t->now;
    uint32_t at = (uint32_t)align_up(p->data_used, 8);
    p->data_used = at + bytes;
    return x->t->data + at; /* t1_has_room() has made sure of more than a block can need */
}

/* What was made since so many bytes were used. */
static void drop_records(const struct t1 *t, uint32_t data_used)
{
    struct t1_part *p = t->now;
    p->data_used = data_used;
    while (p->fars && (uint8_t *)p->fars >= t->data + data_used)
        p->fars = p->fars->next;
}

struct t1_access *t1_access_record(struct t1_ctx *x)
{
    struct t1_access *a = t1_record(x, sizeof(*a));
    *a = (struct t1_access){.code = x->code, .index = (uint16_t)x->i};
    return a;
}

struct t1_cold *t1_add_cold(struct t1_ctx *x, enum t1_cold_kind kind, uint8_t *fix)
{
    if (x->cold_count == T1_COLD_MAX) {
        x->overflow = true;
        return NULL;
    }
    struct t1_cold *cold = &x->cold[x->cold_count++];
    cold->kind = kind;
    cold->fix = fix;
    cold->save_flags = false;
    return cold;
}

/* ---- what the instructions do with flags ---- */

/* Own operations that neither look at the arithmetic flags nor show them to anybody. */
static bool is_flag_neutral(unsigned op)
{
    switch (op) {
    case X86_MOV_R_RM:
    case X86_MOV_RM_R:
    case X86_MOV_RM_I:
    case X86_MOV_R_I:
    case X86_MOVZX:
    case X86_MOVSX:
    case X86_MOVSXD:
    case X86_MOV_MOFFS_LD:
    case X86_MOV_MOFFS_ST:
    case X86_LEA:
    case X86_XCHG_RAX:
    case X86_PUSH_R:
    case X86_PUSH_I:
    case X86_PUSH_RM:
    case X86_POP_R:
    case X86_POP_RM:
    case X86_LEAVE:
    case X86_NOP:
    case X86_MOV_RM_SEG:
    case X86_MOV_SEG_RM:
    case X86_PUSH_SEG:
    case X86_POP_SEG:
    case X86_MOVS:
    case X86_STOS:
    case X86_LODS:
    case X86_CLD:
    case X86_STD:
    case X86_CLC:
    case X86_STC:
    case X86_CLI:
    case X86_STI:
    case X86_SWAPGS:
    case X86_CLAC:
    case X86_STAC:
    case X86_LFENCE:
    case X86_MFENCE:
    case X86_MOV_R_CR:
    case X86_RDTSC:
    case X86_RDMSR:
    case X86_CPUID:
    case X86_IN_DX:
    case X86_IN_I:
    case X86_OUT_DX:
    case X86_OUT_I:
        return true;
    default:
        return false;
    }
}

static void find_live_flags(struct t1_ctx *x)
{
    bool live = true; /* whoever comes next may want them */
    x->live[x->count] = true;
    for (unsigned i = x->count; i-- > 0;) {
        const struct x86_opinfo *info = x->insns[i].info;
        if (info->op != X86_DATA)
            live |= !is_flag_neutral(info->op);
        else if (info->flags == FL_R || info->flags == FL_RW)
            live = true;
        else if (info->flags == FL_W)
            live = false;
        x->live[i] = live;
    }
}

/* ---- entries ---- */

static void put_poll(struct t1_ctx *x)
{
    struct host_mem requests = CPU_FIELD(x, requests);
    put_op_mem(&x->e, 0x83, false, 7, &requests); /* cmp dword, 0 */
    put8(&x->e, 0);
    struct t1_cold *cold = t1_add_cold(x, COLD_POLL, put_jcc(&x->e, CC_NE, 0));
    if (cold)
        cold->record = x->code;
}

/* Are the flags that come in wanted in EFLAGS before something has to keep them in memory? */
static bool reads_flags_first(const struct t1_ctx *x)
{
    for (unsigned i = 0; i < x->count && x->live[i]; i++) {
        const struct x86_insn *in = &x->insns[i];
        unsigned op = in->info->op;
        if (op == X86_JCC || op == X86_CLC || op == X86_STC || op == X86_CMC || op == X86_SAHF ||
            op == X86_LAHF)
            return true;
        if ((in->mem && op != X86_LEA && op != X86_NOP) || op == X86_PUSH_R || op == X86_POP_R ||
            op == X86_PUSH_I || op == X86_PUSH_SEG || op == X86_LEAVE)
            return false;
        if (op == X86_DATA && in->info->flags != FL_NONE && in->info->flags != FL_W)
            return true;
    }
    return false;
}

/* cpu->page from the jump slot or struct t1_far in r15. */
static void put_page(struct t1_ctx *x)
{
    struct host_mem page = CPU_FIELD(x, page);

    put_op_mem(&x->e, 0x8b, true, H_R14,
               &(struct host_mem){H_R15, H_NONE, 0, offsetof(struct jump_slot, page)});
    put_op_mem(&x->e, 0x89, true, H_R14, &page);
}

/*
 * The block begins with the entry it is translated for, which runs on into its first instruction;
 * T1_ENTRY_JUMP, T1_POLL_ENV and T1_ENTRY_ENV run on into each other. What is left of them is with
 * what is rarely run: put_other_entries().
 */
static void put_entries(struct t1_ctx *x)
{
    struct emit *e = &x->e;
    uint64_t *entries = x->code->entries;
    bool live = x->live[0], in_env = live && !reads_flags_first(x);

    zero_bytes(entries, sizeof(x->code->entries));
    if (x->top == T1_ENTRY_FLAGS) {
        entries[T1_ENTRY_FLAGS] = emit_run(e);
        if (in_env)
            t1_put_save(e, x->c);
    } else {
        if (x->top == T1_ENTRY_JUMP) {
            entries[T1_ENTRY_JUMP] = emit_run(e);
            put_page(x);
        }
        if (x->top != T1_ENTRY_ENV) {
            entries[T1_POLL_ENV] = emit_run(e);
            put_poll(x);
        }
        entries[T1_ENTRY_ENV] = emit_run(e);
        if (live && !in_env)
            t1_put_restore(x);
    }
    x->body = emit_run(e);
    x->flags = in_env ? F_ENV : live ? F_HOST : F_DEAD;
    x->first_flags = x->flags;
}

static void put_other_entries(struct t1_ctx *x)
{
    struct emit *e = &x->e;
    uint64_t *entries = x->code->entries;
    bool in_env = x->first_flags == F_ENV, restores = x->first_flags == F_HOST;

    if (!entries[T1_ENTRY_JUMP]) {
        entries[T1_ENTRY_JUMP] = emit_run(e);
        put_page(x);
        if (entries[T1_POLL_ENV]) {
            put_jmp(e, entries[T1_POLL_ENV]);
        } else {
            entries[T1_POLL_ENV] = emit_run(e);
            put_poll(x);
            if (restores && !entries[T1_ENTRY_ENV]) {
                entries[T1_ENTRY_ENV] = emit_run(e);
                t1_put_restore(x);
                put_jmp(e, x->body);
            } else {
                put_jmp(e, entries[T1_ENTRY_ENV] ? entries[T1_ENTRY_ENV] : x->body);
            }
        }
    }
    if (!entries[T1_ENTRY_ENV])
        entries[T1_ENTRY_ENV] = x->body;
    if (!entries[T1_ENTRY_FLAGS] && in_env) {
        entries[T1_ENTRY_FLAGS] = emit_run(e);
        t1_put_save(e, x->c);
        put_jmp(e, x->body);
    } else if (!entries[T1_ENTRY_FLAGS]) {
        entries[T1_ENTRY_FLAGS] = x->body;
    }
    entries[T1_POLL_FLAGS] = entries[T1_POLL_ENV];
    if (!x->live[0])
        return;
    entries[T1_POLL_FLAGS] = emit_run(e);
    t1_put_save(e, x->c);
    put_jmp(e, entries[T1_POLL_ENV]);
}

/* ---- what is rarely run ---- */

static void put_cold(struct t1_ctx *x, const struct t1_cold *cold)
{
    struct emit *e = &x->e;

    if (cold->fix)
        patch_rel32(cold->fix, e->run, emit_run(e));
    switch ((enum t1_cold_kind)cold->kind) {
    case COLD_MISS:
        t1_put_lea(x, &cold->ea, true);
        put_lea_near(e, H_R15, (uint64_t)cold->record);
        put_jmp(e, x->t->stubs[T1_STUB_MISS]);
        break;
    case COLD_SIDE:
        put_lea_near(e, H_R15, (uint64_t)cold->record);
        put_jmp(e, x->t->stubs[cold->save_flags ? T1_STUB_SIDE_SAVE : T1_STUB_SIDE]);
        break;
    case COLD_POLL:
        put_lea_near(e, H_R15, (uint64_t)cold->record);
        put_jmp(e, x->t->stubs[T1_STUB_POLL]);
        break;
    case COLD_FPU:
        put_lea_near(e, H_R15, cold->back);
        put_jmp(e, x->t->stubs[T1_STUB_FPU]);
        break;
    case COLD_LINK:
        ((struct t1_link *)cold->record)->stub = emit_run(e);
        put_lea_near(e, H_R15, (uint64_t)cold->record);
        put_jmp(e, x->t->stubs[cold->save_flags ? T1_STUB_LINK_SAVE : T1_STUB_LINK]);
        break;
    case COLD_SLOT:
        put_lea_near(e, H_R15, (uint64_t)cold->record);
        put_jmp(e, x->t->stubs[T1_STUB_JUMP]);
        break;
    case COLD_JUMP:
        t1_put_far_branch(x, cold);
        break;
    }
}

void t1_hand_over(struct t1_ctx *x, uint8_t *fix)
{
    struct t1_cold *cold = t1_add_cold(x, COLD_SIDE, fix);
    if (!cold)
        return;
    cold->record = t1_access_record(x);
    cold->save_flags = x->flags == F_HOST;
}

/* Who does an instruction that is not translated. */
static enum t1_stub stub_of(const struct t1_ctx *x)
{
    const struct x86_insn *in = &x->insns[x->i];
    bool user = x->b->mode & MODE_USER;

    if (x->c->check || x->c->soft->options.no_syscall || !x->code64)
        return T1_STUB_CALL;
    if (in->info->op == X86_SYSCALL && user)
        return T1_STUB_SYSCALL;
    if (in->info->op == X86_SYSRET && in->op_bytes == 8 && !user)
        return T1_STUB_SYSRET;
    return T1_STUB_CALL;
}

/* T0 does this instruction and comes back. */
static void put_call(struct t1_ctx *x)
{
    x->t->now->data_used = (uint32_t)align_up(x->t->now->data_used, 64);
    struct t1_call *call = t1_record(x, sizeof(*call));

    if (!uop_build(x->c, &x->insns[x->i], &call->uops[0], x->at[x->i])) {
        x->c->thunks_full = x->overflow = true;
        return;
    }
    call->uops[1] = t1_stop;
    if (x->flags == F_HOST)
        t1_put_save(&x->e, x->c);
    put_lea_near(&x->e, H_R15, (uint64_t)call);
    put_jmp(&x->e, x->t->stubs[stub_of(x)]);
    call->code = x->code;
    call->next = (int32_t)(x->page_offset + x->at[x->i + 1]);
    call->back = x->insns[x->i].info->attrs & ATTR_END ? 0 : emit_run(&x->e);
    x->flags = F_ENV; /* it may have changed them there */
    x->fpu_known = false;
    x->share_base = X86_NO_REG;
}

/* ---- the block ---- */

/* The block's instructions; false: its bytes are no longer what they were. */
static bool decode(struct t1_ctx *x)
{
    const struct block *b = x->b;
    unsigned at = 0;

    x->insns = block_decode(x->c, b);
    if (!x->insns)
        return false;
    for (x->count = 0; x->count < b->count; x->count++) {
        const struct x86_insn *in = &x->insns[x->count];
        /* Lockstep cannot compare what is random. */
        if (x->c->check &&
            (in->info->feature == X86_FEAT_RDRAND || in->info->feature == X86_FEAT_RDSEED))
            return false;
        x->at[x->count] = (uint16_t)at;
        at += in->len;
    }
    x->at[x->count] = (uint16_t)at;
    return true;
}

/* The block as the guest has it, and as the host runs it, for whoever asked. */
static void tell(const struct t1_ctx *x)
{
    const struct soft_engine *soft = x->c->soft;
    const struct t1_code *code = x->code;
    uint64_t rip = x->c->rip;
    unsigned bits = x->code64 ? 64 : x->b->mode & MODE_CODE32 ? 32 : 16;
    uint8_t buf[16];

    if (soft->map_fd >= 0) {
        t1_log_map(soft->map_fd, code->begin, code->end - code->begin, rip, x->b->mode & MODE_USER);
        t1_log_map(soft->map_fd, code->cold, code->cold_end - code->cold, rip,
                   x->b->mode & MODE_USER);
    }
    if (!soft->options.dump || soft->options.dump_lin != rip_to_lin(x->c, rip))
        return;
    t1_log_code("guest", block_bytes(x->c, x->b, buf), x->b->len, rip, bits);
    t1_log_code("host ", (const uint8_t *)code->begin, code->end - code->begin, code->begin, 64);
    t1_log_code("cold ", (const uint8_t *)code->cold, code->cold_end - code->cold, code->cold, 64);
}

static void begin(struct t1_ctx *x, uint32_t data_used)
{
    struct t1 *t = x->t;

    drop_records(t, data_used);
    x->cold_count = 0;
    x->overflow = x->ended = x->fpu_known = false;
    x->share_base = X86_NO_REG;
    x->flags = F_HOST;
    x->e = t1_emit(t, &t->now->hot);
    x->top = T1_ENTRY_JUMP;
    if (x->fall) {
        x->e.at = x->fall->patch + 4 - JMP_BYTES;
        x->top = x->fall->entry;
    }
    x->code = t1_record(x, (unsigned)(sizeof(struct t1_code) + x->count * sizeof(uint32_t)));
    *x->code = (struct t1_code){.block = x->b, .begin = emit_run(&x->e), .fall = x->fall};
}

/* False: it was to be a loop, but T0 is needed in the middle. */
static bool put_block(struct t1_ctx *x)
{
    put_entries(x);
    if (x->loop.count)
        t1_loop_begin(x);
    for (x->i = 0; x->i < x->count && !x->ended; x->i++) {
        x->code->at[x->i] = (uint32_t)(emit_run(&x->e) - x->code->begin);
        const struct x86_insn *in = &x->insns[x->i];
        if (t1_move(x, in))
            continue;
        if (x->loop.count)
            return false;
        put_call(x);
        x->ended = in->info->attrs & ATTR_END;
    }
    for (unsigned i = x->i; i < x->count; i++)
        x->code->at[i] = (uint32_t)(emit_run(&x->e) - x->code->begin);
    if (!x->ended) {
        x->i = x->count - 1;
        t1_put_exit(x, x->page_offset + x->b->len);
    }
    x->code->end = emit_run(&x->e);
    struct emit hot = x->e;
    x->e = t1_emit(x->t, &x->t->now->cold);
    x->code->cold = emit_run(&x->e);
    put_other_entries(x);
    for (unsigned i = 0; i < x->cold_count; i++)
        put_cold(x, &x->cold[i]);
    x->code->cold_end = emit_run(&x->e);
    x->cold_e = x->e;
    x->e = hot;
    return true;
}

/* The block was not made after all: the jump is to be there as before. */
static void undo_fall(struct t1_ctx *x)
{
    if (!x->fall)
        return;
    x->e.at = x->fall->patch + 4 - JMP_BYTES;
    x->e.overflow = false;
    put_jmp(&x->e, x->fall->stub);
}

bool t1_translate(struct cpu *c, struct block *b)
{
    static __thread struct t1_ctx ctx;
    struct t1_ctx *x = &ctx;
    struct t1 *t = c->t1;
    uint32_t data_used = t->now->data_used;

    bool segments = !is_flat(b->mode);

    if ((segments && c->soft->options.no_segments) || b->mode & MODE_SINGLE ||
        b->ram_offset == NO_RAM || !t1_has_room(t))
        return false;
    fpu_save(c); /* the decoder is ordinary code: it may use vector registers */
    x->c = c;
    x->t = t;
    x->b = b;
    x->code64 = b->mode & MODE_CODE64;
    x->segments = segments;
    x->page_offset = (unsigned)(b->ram_offset & PAGE_MASK);
    if (!decode(x))
        return false;
    find_live_flags(x);
    t1_loop_find(x);
    x->fall = t1_falls_into(c, b);
    begin(x, data_used);
    if (!put_block(x)) {
        x->loop.count = 0;
        begin(x, data_used);
        put_block(x);
    }
    if (x->overflow || x->e.overflow || x->cold_e.overflow) {
        drop_records(t, data_used);
        undo_fall(x);
        return false;
    }
    c->stats[STAT_TRANSLATED]++;
    c->stats[STAT_TRANSLATED_INSNS] += x->count;
    c->stats[STAT_CODE_BYTES] += x->code->end - x->code->begin;
    c->stats[STAT_COLD_BYTES] += x->code->cold_end - x->code->cold;
    t->now->codes[t->now->code_count++] = x->code;
    t1_emitted(t, &t->now->hot, &x->e);
    t1_emitted(t, &t->now->cold, &x->cold_e);
    t->hot_last = x->e.at;
    if (x->fall)
        t1_no_link(c); /* it leads here */
    b->code = x->code;
    tell(x);
    return true;
}
