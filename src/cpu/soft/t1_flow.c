/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's flags and control flow.
 *
 * A jump within the page becomes a direct jump as soon as its target is translated: the page is
 * the one that runs, whatever its address. Any other jump looks its linear target up in the jump
 * slots, whose tags stand for mode and translations too (block.h).
 */
#include "cpu/soft/t1.h"

#define SLOT_SHIFT 5 /* of struct jump_slot */
_Static_assert(sizeof(struct jump_slot) == 1 << SLOT_SHIFT, "the index is shifted by this");

/* ---- flags ---- */

void t1_put_save(struct emit *e, const struct cpu *c)
{
    struct host_mem aflags = cpu_mem(c, offsetof(struct cpu, aflags));
    put_op_reg(e, 0x8b, true, H_R14, H_RAX);
    PUT(e, 0x9f, 0x0f, 0x90, 0xc0, 0x66); /* lahf; seto al; mov [aflags], ax */
    put_op_mem(e, 0x89, false, H_RAX, &aflags);
    put_op_reg(e, 0x8b, true, H_RAX, H_R14);
}

void t1_put_restore(struct t1_ctx *x)
{
    struct host_mem aflags = CPU_FIELD(x, aflags), rax = CPU_FIELD(x, t1_restore);
    put_op_mem(&x->e, 0x89, true, H_RAX, &rax);
    put_op_mem(&x->e, 0x0fb7, false, H_RAX, &aflags);
    PUT(&x->e, 0x04, 0x7f, 0x9e); /* add al, 0x7f; sahf */
    put_op_mem(&x->e, 0x8b, true, H_RAX, &rax);
}

void t1_want_flags(struct t1_ctx *x)
{
    if (x->flags != F_ENV)
        return;
    t1_put_restore(x);
    x->flags = F_BOTH;
}

void t1_keep_flags(struct t1_ctx *x)
{
    if (!x->live[x->i]) {
        x->flags = F_DEAD;
        return;
    }
    if (x->flags == F_HOST)
        t1_put_save(&x->e, x->c);
    x->flags = F_ENV;
}

/* They will be wanted where only cpu->aflags counts. */
static void flags_to_env(struct t1_ctx *x)
{
    if (x->flags != F_HOST)
        return;
    t1_put_save(&x->e, x->c);
    x->flags = F_BOTH;
}

/* ---- leaving ---- */

static bool in_page(int64_t target)
{
    return target >= 0 && target <= (int64_t)PAGE_MASK;
}

/* `fix` is a displacement by which control goes to an offset from the page's start. */
static void branch(struct t1_ctx *x, uint8_t *fix, int64_t target)
{
    struct t1_cold *cold;

    if (!in_page(target)) {
        cold = t1_add_cold(x, COLD_JUMP, fix);
        if (!cold)
            return;
        cold->target = target;
        cold->save_flags = x->flags == F_HOST;
        return;
    }
    struct t1_link *link = t1_record(x, sizeof(*link));
    cold = t1_add_cold(x, COLD_LINK, fix);
    if (!link || !cold)
        return;
    bool host = x->flags == F_HOST || x->flags == F_BOTH;
    bool after_sti = x->count > 1 && x->insns[x->count - 2].info->op == X86_STI;
    bool back = after_sti || target <= (int64_t)(x->page_offset + x->at[x->i]);
    *link = (struct t1_link){.patch = fix, .from = x->code, .target = (int32_t)target};
    link->entry =
        host ? (back ? T1_POLL_FLAGS : T1_ENTRY_FLAGS) : (back ? T1_POLL_ENV : T1_ENTRY_ENV);
    cold->record = link;
    link->save_flags = cold->save_flags = x->flags == F_HOST;
}

void t1_put_address(struct t1_ctx *x, int64_t offset)
{
    struct host_mem page = CPU_FIELD(x, page);
    put_op_mem(&x->e, 0x8b, true, H_R14, &page);
    put_lea(&x->e, x->code64, H_R14, &(struct host_mem){H_R14, H_NONE, 0, (int32_t)offset});
}

uint8_t *t1_put_slot(struct emit *e, const struct cpu *c)
{
    struct host_mem slot = {H_R15, H_NONE, 0, 0};

    put_op_reg(e, 0x8b, false, H_R15, H_R14);
    PUT(e, 0x41, 0xc1, 0xe7, SLOT_SHIFT, 0x41, 0x81, 0xe7); /* shl r15d; and r15d */
    put_le(e, (JUMP_SLOTS - 1) << SLOT_SHIFT, 4);
    put_field(e, c, 0x03, H_R15, offsetof(struct cpu, jumps));
    put_op_mem(e, 0x3b, true, H_R14, &slot);
    uint8_t *other = put_jcc(e, CC_NE, 0);
    slot.disp = offsetof(struct jump_slot, code);
    put_op_mem(e, 0xff, false, 4, &slot);
    return other;
}

/* Through a jump slot to the linear address in r14; EFLAGS are used, cpu->aflags counts. */
static void put_lookup(struct t1_ctx *x, int32_t undo)
{
    struct t1_access *a = t1_access_record(x);

    a->undo = undo;
    put_field(&x->e, x->c, 0x33, H_R14, offsetof(struct cpu, jump_tag));
    struct t1_cold *cold = t1_add_cold(x, COLD_SLOT, t1_put_slot(&x->e, x->c));
    if (cold)
        cold->record = a;
}

/* To a known offset in another page; EFLAGS are used, cpu->aflags counts. */
static void put_far(struct t1_ctx *x, int64_t target)
{
    struct emit *e = &x->e;
    struct host_mem tag = CPU_FIELD(x, jump_tag), cell = {H_R15, H_NONE, 0, 0};
    struct t1_far *far = t1_record(x, sizeof(*far));

    t1_put_address(x, target);
    put_op_mem(e, 0x33, true, H_R14, &tag);
    put_lea_near(e, H_R15, (uint64_t)far);
    put_op_mem(e, 0x3b, true, H_R14, &cell);
    put_jcc(e, CC_NE, x->t->stubs[T1_STUB_FAR]);
    *far = (struct t1_far){.patch = put_jmp(e, 0),
                           .next = x->t->now->fars,
                           .jump = {.code = x->code, .index = (uint16_t)x->i}};
    x->t->now->fars = far;
}

void t1_put_exit(struct t1_ctx *x, int64_t target)
{
    if (in_page(target)) {
        branch(x, put_jmp(&x->e, 0), target);
    } else {
        flags_to_env(x);
        put_far(x, target);
    }
    x->ended = true;
}

void t1_put_jump(struct t1_ctx *x, int32_t undo)
{
    put_lookup(x, undo);
    x->ended = true;
}

void t1_put_far_branch(struct t1_ctx *x, const struct t1_cold *cold)
{
    if (cold->save_flags)
        t1_put_save(&x->e, x->c);
    put_far(x, cold->target);
}

uint64_t t1_put_slot_jump(struct cpu *c, struct t1_link *link)
{
    static __thread struct t1_ctx x;
    struct t1 *t = c->t1;

    if (!t1_has_room(t))
        return 0;
    x.c = c;
    x.t = t;
    x.code64 = link->from->block->mode & MODE_CODE64;
    x.code = (struct t1_code *)link->from;
    x.i = 0;
    x.e = t1_emit(t, &t->now->hot);
    struct t1_code *code = t1_record(&x, sizeof(*code));
    *code = (struct t1_code){.block = link->from->block, .begin = emit_run(&x.e), .link = link};
    t1_put_far_branch(&x,
                      &(struct t1_cold){.save_flags = link->save_flags, .target = link->target});
    code->end = emit_run(&x.e);
    t->now->codes[t->now->code_count++] = code;
    t1_emitted(t, &t->now->hot, &x.e);
    t->hot_last = NULL;
    return code->begin;
}

/* ---- instructions ---- */

static int64_t next_offset(const struct t1_ctx *x)
{
    return x->page_offset + x->at[x->i + 1];
}

uint32_t t1_rip(const struct t1_ctx *x, int64_t offset)
{
    return (uint32_t)(x->b->lin_page + offset - x->b->cs.base);
}

/*
 * Where a jump leads, as an offset from the page's start. False: T0 jumps, because the operand size
 * cuts the target of flat code, or it lies outside CS.
 */
static bool find_target(const struct t1_ctx *x, const struct x86_insn *in, int64_t *ret)
{
    *ret = next_offset(x) + (int64_t)in->imm;
    if (!x->segments)
        return x->code64 || in->op_bytes == 4;
    uint32_t rip = t1_rip(x, *ret);
    if (in->op_bytes == 2)
        rip = (uint16_t)rip;
    *ret = (int64_t)(uint32_t)(rip + x->b->cs.base) - x->b->lin_page;
    return rip <= x->b->cs.limit;
}

/* The jump that closes a loop: out of it, round again, or back through the block's entry. */
static bool close_loop(struct t1_ctx *x, const struct x86_insn *in)
{
    t1_want_flags(x);
    branch(x, put_jcc(&x->e, (in->opcode & 15) ^ 1, 0), next_offset(x));
    t1_put_turn(x);
    t1_put_exit(x, x->page_offset);
    return true;
}

static bool conditional(struct t1_ctx *x, const struct x86_insn *in)
{
    int64_t target;

    if (!find_target(x, in, &target))
        return false;
    if (x->loop.count)
        return close_loop(x, in);
    t1_want_flags(x);
    branch(x, put_jcc(&x->e, in->opcode & 15, 0), target);
    t1_put_exit(x, next_offset(x));
    return true;
}

static bool jump(struct t1_ctx *x, const struct x86_insn *in)
{
    int64_t target;

    if (!find_target(x, in, &target))
        return false;
    t1_put_exit(x, target);
    return true;
}

static bool call(struct t1_ctx *x, const struct x86_insn *in)
{
    int64_t target;

    if (!t1_stack_size(x, in) || !find_target(x, in, &target) ||
        !t1_push_address(x, in->op_bytes, next_offset(x)))
        return false;
    t1_put_exit(x, target);
    return true;
}

/* mov r14, operand of an indirect jump */
static void put_load_target(struct t1_ctx *x, unsigned bytes, const struct host_mem *m)
{
    put_op_mem(&x->e, bytes == 2 ? 0x0fb7 : 0x8b, bytes == 8, H_R14, m);
}

/* r14: RIP. Its linear address; T0 jumps where CS ends before. */
static void put_linear_target(struct t1_ctx *x, unsigned bytes)
{
    uint32_t limit = x->b->cs.limit;

    if (!x->segments)
        return;
    if (limit < (bytes == 2 ? UINT16_MAX : UINT32_MAX)) {
        PUT(&x->e, 0x41, 0x81, 0xfe); /* cmp r14d, imm32 */
        put_le(&x->e, limit, 4);
        t1_hand_over(x, put_jcc(&x->e, CC_A, 0));
    }
    if (x->b->cs.base)
        put_lea(&x->e, false, H_R14, &(struct host_mem){H_R14, H_NONE, 0, (int32_t)x->b->cs.base});
}

/* The linear address that an indirect jump or call leads to, to r14. */
static bool load_target(struct t1_ctx *x, const struct x86_insn *in)
{
    struct host_mem m;
    struct t1_ea ea;

    if (in->mem) {
        if (!t1_ea(x, in, &ea) || !t1_mem(x, &ea, in->op_bytes, false, &m))
            return false;
        put_load_target(x, in->op_bytes, &m);
    } else if (in->rm >= X86_R14) {
        m = cpu_mem(x->c, offsetof(struct cpu, gpr) + 8 * in->rm);
        put_op_mem(&x->e, 0x8b, true, H_R14, &m);
    } else {
        put_op_reg(&x->e, in->op_bytes == 2 ? 0x0fb7 : 0x8b, x->code64, H_R14, in->rm);
    }
    put_linear_target(x, in->op_bytes);
    return true;
}

static bool jump_indirect(struct t1_ctx *x, const struct x86_insn *in)
{
    if (!t1_stack_size(x, in))
        return false;
    flags_to_env(x);
    if (!load_target(x, in))
        return false;
    t1_put_jump(x, 0);
    return true;
}

static bool call_indirect(struct t1_ctx *x, const struct x86_insn *in)
{
    struct host_mem target = CPU_FIELD(x, t1_keep[1]);

    if (!t1_stack_size(x, in))
        return false;
    flags_to_env(x);
    if (!load_target(x, in))
        return false;
    put_op_mem(&x->e, 0x89, true, H_R14, &target);
    if (!t1_push_address(x, in->op_bytes, next_offset(x)))
        return false;
    put_op_mem(&x->e, 0x8b, true, H_R14, &target);
    t1_put_jump(x, -(int32_t)in->op_bytes);
    return true;
}

static bool ret(struct t1_ctx *x, const struct x86_insn *in)
{
    int32_t by = in->op_bytes + (int32_t)in->imm;
    struct host_mem m;

    if (!t1_stack_size(x, in))
        return false;
    flags_to_env(x);
    if (!t1_stack_mem(x, 0, in->op_bytes, false, &m))
        return false;
    put_load_target(x, in->op_bytes, &m);
    put_linear_target(x, in->op_bytes);
    t1_move_rsp(x, by);
    t1_put_jump(x, by);
    return true;
}

/* JCXZ, or LOOP that counts with CX. */
static void count_branch16(struct t1_ctx *x, int64_t target, bool loop)
{
    struct emit *e = &x->e;

    t1_keep_flags(x);
    if (loop) {
        put_lea(e, false, H_R14, &(struct host_mem){H_RCX, H_NONE, 0, -1});
        put8(e, 0x66);
        put_op_reg(e, 0x8b, false, H_RCX, H_R14);
    }
    put8(e, 0x66);
    put_op_reg(e, 0x85, false, H_RCX, H_RCX); /* test */
    branch(x, put_jcc(e, loop ? CC_NE : CC_E, 0), target);
}

/* JRCXZ or JECXZ over a jump, or LOOP: no flags are used. */
static bool count_branch(struct t1_ctx *x, const struct x86_insn *in, bool loop)
{
    struct emit *e = &x->e;
    int64_t target;

    if (!find_target(x, in, &target))
        return false;
    if (in->addr_bytes == 2) {
        count_branch16(x, target, loop);
        t1_put_exit(x, next_offset(x));
        return true;
    }
    if (loop)
        put_op_mem(e, 0x8d, in->addr_bytes == 8, H_RCX, &(struct host_mem){H_RCX, H_NONE, 0, -1});
    if (in->addr_bytes == 4)
        put8(e, 0x67);
    put8(e, 0xe3);
    put8(e, loop ? 5 : 2);
    if (!loop)
        PUT(e, 0xeb, 5); /* jmp over the next */
    branch(x, put_jmp(e, 0), target);
    t1_put_exit(x, next_offset(x));
    return true;
}

/* CLC, STC, CMC, SAHF, LAHF work on the host's flags as they do on the guest's. */
static bool flag_operation(struct t1_ctx *x, const struct x86_insn *in)
{
    t1_want_flags(x);
    put8(&x->e, in->opcode);
    if (in->info->op == X86_LAHF)
        t1_wrote(x, X86_RAX);
    else
        x->flags = F_HOST;
    return true;
}

bool t1_flow(struct t1_ctx *x, const struct x86_insn *in)
{
    switch (in->info->op) {
    case X86_JCC:
        return conditional(x, in);
    case X86_JMP:
        return jump(x, in);
    case X86_CALL:
        return call(x, in);
    case X86_JMP_RM:
        return jump_indirect(x, in);
    case X86_CALL_RM:
        return call_indirect(x, in);
    case X86_RET:
        return ret(x, in);
    case X86_JCXZ:
        return count_branch(x, in, false);
    case X86_LOOP:
        return count_branch(x, in, true);
    case X86_CLC:
    case X86_STC:
    case X86_CMC:
    case X86_SAHF:
    case X86_LAHF:
        return flag_operation(x, in);
    default:
        return t1_system(x, in);
    }
}
