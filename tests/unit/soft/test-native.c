/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random data instructions on the soft engine and on the host's own processor, from the same
 * registers and memory: what comes out must be the same bit for bit, undefined flags included.
 * Code that fails here computes something else in a guest than on hardware.
 *
 *     unit-soft-native [CASES [SEED]]
 *
 * The instruction is put at the same address in a child's view and in the guest, and so is the
 * data it works on; the guest runs 64-bit code on identity-mapped pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/bytes.h"
#include "cpu/x86/decode.h"
#include "rig.h"

#define CODE_AT 0x20000000UL
#define DATA_AT 0x21000000UL
#define DATA_BYTES 8192u
#define REGS_AT 0x22000000UL
#define MIDDLE (DATA_AT + DATA_BYTES / 2)

static unsigned long cases = 6000;
static uint64_t seed = 1;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * 0x2545f4914f6cdd1dULL;
}

static unsigned pick(unsigned n)
{
    return (unsigned)(next_random() >> 33) % n;
}

/* What an instruction starts from and what it leaves. */
struct image {
    uint64_t gpr[16];
    uint64_t flags;
    uint64_t vector; /* of the exception, or 0xff */
    uint64_t host_rsp;
    _Alignas(64) uint8_t xsave[832];
    uint8_t data[DATA_BYTES];
};

/* ---- natively ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
    memcpy(at, bytes, n);
    return at + n;
}

/* op reg, [absolute address] with the given opcode */
static uint8_t *put_absolute(uint8_t *at, uint8_t opcode, unsigned reg, uint64_t address)
{
    uint8_t code[8] = {(uint8_t)(0x48 | (reg & 8) >> 1), opcode, (uint8_t)((reg & 7) << 3 | 4),
                       0x25};
    le32_put(code + 4, (uint32_t)address);
    return put(at, code, 8);
}

static struct image *const native = (struct image *)REGS_AT;
static uint8_t *native_exit;

/*
 * CODE_AT: the instruction under test, then a jump to the second half. The first half, at + 256,
 * loads the image and jumps here.
 */
static void make_trampoline(void)
{
    uint8_t *at = (uint8_t *)CODE_AT + 256;
    /* save what C wants kept; mov [host_rsp], rsp */
    at = put(at, "\x53\x55\x41\x54\x41\x55\x41\x56\x41\x57", 10);
    at = put_absolute(at, 0x89, X86_RSP, REGS_AT + offsetof(struct image, host_rsp));
    at = put(at, "\xb8\x07\0\0\0\x31\xd2", 7); /* mov eax, 7; xor edx, edx */
    at = put(at, "\x48\x0f\xae\x2c\x25", 5);   /* xrstor64 [abs] */
    le32_put(at, (uint32_t)(REGS_AT + offsetof(struct image, xsave)));
    at += 4;
    at = put(at, "\xff\x34\x25", 3); /* push [flags]; popf */
    le32_put(at, (uint32_t)(REGS_AT + offsetof(struct image, flags)));
    at += 4;
    at = put(at, "\x9d", 1);
    for (unsigned i = 0; i < 16; i++)
        at = put_absolute(at, 0x8b, i, REGS_AT + 8 * i);
    *at++ = 0xe9;
    le32_put(at, (uint32_t)(CODE_AT - ((uint64_t)at + 4)));
    at += 4;

    native_exit = at;
    for (unsigned i = 0; i < 16; i++)
        at = put_absolute(at, 0x89, i, REGS_AT + 8 * i);
    at = put_absolute(at, 0x8b, X86_RSP, REGS_AT + offsetof(struct image, host_rsp));
    at = put(at, "\x9c\x8f\x04\x25", 4); /* pushf; pop [flags] */
    le32_put(at, (uint32_t)(REGS_AT + offsetof(struct image, flags)));
    at += 4;
    at = put(at, "\xb8\x07\0\0\0\x31\xd2", 7);
    at = put(at, "\x48\x0f\xae\x24\x25", 5); /* xsave64 [abs] */
    le32_put(at, (uint32_t)(REGS_AT + offsetof(struct image, xsave)));
    at += 4;
    at = put(at, "\xdb\xe3", 2);                                     /* fninit */
    put(at, "\xfc\x41\x5f\x41\x5e\x41\x5d\x41\x5c\x5d\x5b\xc3", 12); /* cld; pops; ret */
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    if ((uint64_t)regs[REG_RIP] != CODE_AT)
        abort();
    native->vector = number == SIGILL                       ? VEC_UD
                     : number == SIGSEGV                    ? VEC_GP
                     : info->si_code == FPE_INTDIV          ? VEC_DE
                     : (uint64_t)regs[REG_TRAPNO] == VEC_DE ? VEC_DE
                                                            : (uint64_t)regs[REG_TRAPNO];
    regs[REG_RIP] = (greg_t)native_exit;
}

static void map_fixed(uint64_t at, size_t bytes, int protection)
{
    if (mmap((void *)at, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
             0) != (void *)at)
        abort();
}

static void native_setup(void)
{
    static uint8_t stack[65536];
    stack_t alt = {.ss_sp = stack, .ss_size = sizeof(stack)};

    map_fixed(CODE_AT, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
    map_fixed(DATA_AT, DATA_BYTES, PROT_READ | PROT_WRITE);
    map_fixed(REGS_AT, 65536, PROT_READ | PROT_WRITE);
    sigaltstack(&alt, NULL);
    make_trampoline();
}

/* In each test, for cmocka puts its own in place; before the engine, which hands on what is not its. */
static void native_signals(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigaction(SIGILL, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGFPE, &action, NULL);
}

static void run_native(const struct image *start, const uint8_t *code, unsigned len,
                       struct image *ret)
{
    uint8_t *at = (uint8_t *)CODE_AT;
    memcpy(native, start, offsetof(struct image, data));
    memcpy((void *)DATA_AT, start->data, DATA_BYTES);
    at = put(at, code, len);
    *at++ = 0xe9;
    le32_put(at, (uint32_t)((uint64_t)native_exit - ((uint64_t)at + 4)));
    native->vector = 0xff;
    ((void (*)(void))(CODE_AT + 256))();
    memcpy(ret, native, offsetof(struct image, data));
    memcpy(ret->data, (void *)DATA_AT, DATA_BYTES);
}

/* ---- on the engine ---- */

/* An IDT whose every gate leads to HLT at 0x5000 + vector. */
static void guest_idt(struct rig *rig)
{
    uint8_t hlt[64];
    uint64_t gdt[3] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};

    memset(hlt, 0xf4, sizeof(hlt));
    rig_poke(rig, 0x5000, hlt, sizeof(hlt));
    rig_poke(rig, 0x6800, gdt, sizeof(gdt));
    for (unsigned v = 0; v < 32; v++) {
        uint64_t gate[2] = {(0x5000 + v) | 8 << 16 | 0x8eULL << 40, 0};
        rig_poke(rig, 0x6000 + 16 * v, gate, 16);
    }
    rig->state->idtr = (struct x86_table){.base = 0x6000, .limit = 511};
    rig->state->gdtr = (struct x86_table){.base = 0x6800, .limit = 23};
}

static void put_guest(struct rig *rig, const struct image *start, const uint8_t *code, unsigned len)
{
    static uint8_t padded[1024];
    struct x86_state *s = rig->state;

    rig_mode(rig, 64);
    guest_idt(rig);
    memcpy(s->gpr, start->gpr, sizeof(s->gpr));
    s->rflags = start->flags & ~0x200ULL;
    s->rip = CODE_AT;
    memcpy(s->xsave, start->xsave, sizeof(s->xsave));
    memset(padded, 0xf4, sizeof(padded));
    memcpy(padded, code, len);
    rig_poke(rig, CODE_AT, padded, sizeof(padded));
    rig_poke(rig, DATA_AT, start->data, DATA_BYTES);
}

static void fail_with_report(struct rig *rig, const uint8_t *code, unsigned len)
{
    char report[2048], text[2048] = "";
    engine_soft.vcpu_report(rig->vcpu, report, sizeof(report));
    for (unsigned i = 0; i < len; i++)
        snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", code[i]);
    fail_msg("%s: does not come to its end:\n%s", text, report);
}

static void run_guest(struct rig *rig, const struct image *start, const uint8_t *code, unsigned len,
                      struct image *ret)
{
    struct x86_state *s = rig->state;

    put_guest(rig, start, code, len);
    if (rig_run(rig) != VCPU_EXIT_HALTED)
        fail_with_report(rig, code, len);
    memcpy(ret->gpr, s->gpr, sizeof(ret->gpr));
    memcpy(ret->xsave, s->xsave, sizeof(ret->xsave));
    memcpy(ret->data, rig->mem + DATA_AT, DATA_BYTES);
    ret->flags = s->rflags;
    ret->vector = 0xff;
    if (s->rip < 0x5100) {
        /* The frame: error code for #GP and its like, then RIP, CS, RFLAGS, RSP. */
        uint64_t frame[6];
        memcpy(frame, rig->mem + s->gpr[X86_RSP], sizeof(frame));
        ret->vector = s->rip - 1 - 0x5000;
        unsigned at = ret->vector == VEC_GP || ret->vector == VEC_SS || ret->vector == VEC_PF;
        ret->flags = frame[at + 2];
        ret->gpr[X86_RSP] = frame[at + 3];
        memcpy(ret->data + (s->gpr[X86_RSP] - DATA_AT), start->data + (s->gpr[X86_RSP] - DATA_AT),
               8 * (5 + at));
        if (ret->vector == VEC_PF || ret->vector == VEC_SS)
            ret->vector = VEC_GP; /* a signal does not tell them apart */
    }
}

/* ---- cases ---- */

static const uint8_t wanted_ops[] = {
    X86_DATA,    X86_MOV_RM_R, X86_MOV_R_RM, X86_MOV_R_I,  X86_MOV_RM_I, X86_MOVZX,
    X86_MOVSX,   X86_MOVSXD,   X86_LEA,      X86_XCHG_RAX, X86_PUSH_R,   X86_POP_R,
    X86_PUSH_I,  X86_PUSH_RM,  X86_POP_RM,   X86_CLC,      X86_STC,      X86_CMC,
    X86_SAHF,    X86_LAHF,     X86_MOVS,     X86_CMPS,     X86_STOS,     X86_LODS,
    X86_SCAS,    X86_ENTER,    X86_LEAVE,    X86_MASKMOV,  X86_VMASKLD,  X86_VMASKST,
    X86_LDMXCSR, X86_STMXCSR,  X86_XLAT,     X86_FLDENV,   X86_FRSTOR,   X86_NOP,
};

static bool is_wanted(const struct x86_insn *in)
{
    uint8_t feature = in->info->feature;
    if (feature == X86_FEAT_RDRAND || feature == X86_FEAT_RDSEED)
        return false;
    /* Waiting forms of state loads may leave exceptions pending for the test's own code. */
    if (in->info->op == X86_FLDENV || in->info->op == X86_FRSTOR)
        return false;
    /* The bit offset would be an address; the frame would leave the mapped data. */
    if ((in->info->attrs & ATTR_VM && in->mem && in->reg == X86_RSI) ||
        (in->info->op == X86_ENTER && in->imm > 256) || (in->info->op == X86_NOP && !in->mem) ||
        in->seg >= X86_FS)
        return false;
    for (unsigned i = 0; i < sizeof(wanted_ops); i++)
        if (wanted_ops[i] == in->info->op)
            return true;
    return false;
}

/* A random instruction whose memory operand, if any, is [rsi + disp8]. */
static unsigned random_insn(const struct x86_decode_env *env, uint8_t *code, struct x86_insn *in)
{
    static const uint8_t legacy[] = {0x66, 0xf2, 0xf3};
    for (;;) {
        unsigned n = 0;
        uint8_t modrm = (uint8_t)next_random();
        if (modrm < 0xc0)
            modrm = (uint8_t)(0x46 | (modrm & 0x38));
        for (unsigned i = 0; i < 3; i++)
            if (!pick(4))
                code[n++] = legacy[i];
        unsigned kind = pick(8);
        if (kind < 2) {
            code[n++] = 0xc4;
            code[n++] = (uint8_t)((next_random() & 0x80) | 0x60 | (1 + pick(3)));
            code[n++] = (uint8_t)next_random();
        } else {
            if (!pick(20))
                code[n++] = 0xf0;
            if (pick(2))
                code[n++] = (uint8_t)(0x40 | (next_random() & (modrm < 0xc0 ? 0xc : 0xd)));
            if (kind > 4)
                code[n++] = 0x0f;
            if (kind == 7)
                code[n++] = pick(2) ? 0x38 : 0x3a;
        }
        code[n++] = (uint8_t)next_random();
        code[n++] = modrm;
        code[n++] = (uint8_t)(pick(4) ? pick(8) * 32 - 128 : next_random());
        for (unsigned i = 0; i < 8; i++)
            code[n++] = (uint8_t)next_random();
        if (x86_decode(env, code, n, in) == X86_DECODE_OK && is_wanted(in) &&
            (!in->mem || (in->base == X86_RSI && in->index == X86_NO_REG && in->disp >= -128 &&
                          in->disp < 128)))
            return in->len;
    }
}

static uint64_t random_value(void)
{
    switch (pick(6)) {
    case 0:
        return pick(64);
    case 1:
        return (uint64_t) - (int64_t)pick(64);
    case 2:
        return 1ULL << pick(64);
    default:
        return next_random();
    }
}

static void random_image(struct image *im, const struct x86_insn *in)
{
    static const uint32_t floats[] = {0,          0x80000000, 0x3f800000, 0x7f800000, 0xff800000,
                                      0x7fc00000, 0x7f800001, 0x00000001, 0x4b000000, 0xc2f00000};
    memset(im, 0, sizeof(*im));
    for (unsigned i = 0; i < 16; i++)
        im->gpr[i] = random_value();
    im->gpr[X86_RSP] = MIDDLE + 1024 + 8 * pick(16);
    im->gpr[X86_RSI] = MIDDLE;
    im->gpr[X86_RDI] = MIDDLE + 2048 - 64 * pick(80);
    if (in->info->op == X86_LEAVE || in->info->op == X86_ENTER)
        im->gpr[X86_RBP] = MIDDLE + 512;
    if (in->info->op == X86_XLAT)
        im->gpr[X86_RBX] = MIDDLE;
    if (in->info->op >= X86_MOVS && in->info->op <= X86_SCAS)
        im->gpr[X86_RCX] = pick(40);
    if (in->info->attrs & ATTR_VM && in->mem && in->reg != X86_RSI)
        im->gpr[in->reg] = (uint64_t)((int64_t)pick(1024) - 512);
    im->flags = 0x202 | (next_random() & 0x8d5) | (pick(8) ? 0 : FL_DF);
    for (unsigned i = 0; i < DATA_BYTES; i += 8)
        le64_put(im->data + i, random_value());
    for (unsigned i = 0; i < DATA_BYTES; i += 4)
        if (!pick(3))
            le32_put(im->data + i, floats[pick(ARRAY_LEN(floats))]);
    le16_put(im->xsave, 0x37f);
    for (unsigned i = 0; i < 8; i++) {
        le64_put(im->xsave + 32 + 16 * i, random_value() | 1ULL << 63);
        le16_put(im->xsave + 40 + 16 * i, (uint16_t)(0x3fff + pick(40) - 20));
    }
    im->xsave[4] = (uint8_t)next_random(); /* which x87 registers are in use */
    le16_put(im->xsave + 2, (uint16_t)(pick(8) << 11));
    le32_put(im->xsave + 24, 0x1f80 | (uint32_t)(pick(4) << 13));
    for (unsigned i = 160; i < 416; i += 4)
        le32_put(im->xsave + i, pick(2) ? floats[pick(10)] : (uint32_t)next_random());
    for (unsigned i = 576; i < 832; i += 8)
        le64_put(im->xsave + i, random_value());
    le64_put(im->xsave + 512, 7);
}

static bool same_fpu(const uint8_t *a, const uint8_t *b)
{
    /* FCW FSW FTW, then not the last instruction's addresses, then MXCSR, registers. */
    return !memcmp(a, b, 5) && !memcmp(a + 24, b + 24, 4) && !memcmp(a + 160, b + 160, 256) &&
           !memcmp(a + 576, b + 576, 256);
}

static bool same_x87(const uint8_t *a, const uint8_t *b)
{
    for (unsigned i = 0; i < 8; i++)
        if (memcmp(a + 32 + 16 * i, b + 32 + 16 * i, 10))
            return false;
    return true;
}

static void describe(const uint8_t *code, unsigned len, const struct image *start,
                     const struct image *n, const struct image *g)
{
    char text[64] = "";
    for (unsigned i = 0; i < len; i++)
        snprintf(text + 3 * i, sizeof(text) - 3 * i, "%02x ", code[i]);
    print_error("%s: vector %#lx native, %#lx here; flags %#lx native, %#lx here, %#lx before\n",
                text, n->vector, g->vector, n->flags & 0xcd5, g->flags & 0xcd5,
                start->flags & 0xcd5);
    for (unsigned i = 0; i < 16; i++)
        if (n->gpr[i] != g->gpr[i])
            print_error("  r%u: %#lx native, %#lx here, %#lx before\n", i, n->gpr[i], g->gpr[i],
                        start->gpr[i]);
    if (!same_fpu(n->xsave, g->xsave) || !same_x87(n->xsave, g->xsave))
        for (unsigned i = 0; i < 832; i += 8)
            if (memcmp(n->xsave + i, g->xsave + i, 8))
                print_error("  vector image at %u: %#lx native, %#lx here\n", i,
                            le64_get(n->xsave + i), le64_get(g->xsave + i));
    for (unsigned i = 0; i < DATA_BYTES; i += 8)
        if (memcmp(n->data + i, g->data + i, 8))
            print_error("  memory at %+d: %#lx native, %#lx here\n", (int)i - (int)DATA_BYTES / 2,
                        le64_get(n->data + i), le64_get(g->data + i));
}

static void decoder_env(struct x86_model *model, struct x86_decode_env *ret_env)
{
    uint8_t all[X86_FEATURES];
    unsigned count = 0;

    for (unsigned f = 1; f < X86_FEATURES; f++)
        if (f != X86_FEAT_OSXSAVE)
            all[count++] = (uint8_t)f;
    all[count] = X86_FEATURES;
    x86_model_init(model, all, 1000000000, 1);
    *ret_env = (struct x86_decode_env){.code = X86_CODE64, .features = &model->features};
}

static void equals_the_host(const char *options)
{
    static struct image start, n, g;
    struct rig rig;
    struct x86_model model;
    unsigned wrong = 0;
    unsigned long ran = 0;

    native_signals();
    rig_options = options;
    rig_open(&rig, MIB(600));
    struct x86_decode_env env;
    decoder_env(&model, &env);

    for (unsigned long i = 0; i < cases && wrong < 20; i++) {
        struct x86_insn in;
        uint8_t code[32];
        unsigned len = random_insn(&env, code, &in);
        random_image(&start, &in);
        run_native(&start, code, len, &n);
        run_guest(&rig, &start, code, len, &g);
        bool faulted = n.vector != 0xff;
        ran += !faulted;
        /* After a fault only what restarts the instruction counts. */
        if (n.vector == g.vector && !memcmp(n.gpr, g.gpr, sizeof(n.gpr)) &&
            (faulted || (n.flags & 0xcd5) == (g.flags & 0xcd5)) &&
            (faulted || (same_fpu(n.xsave, g.xsave) && same_x87(n.xsave, g.xsave))) &&
            !memcmp(n.data, g.data, DATA_BYTES))
            continue;
        wrong++;
        describe(code, len, &start, &n, &g);
    }
    rig_close(&rig);
    print_message("%lu of %lu instructions ran without a fault\n", ran, cases);
    assert_int_equal(wrong, 0);
    assert_true(ran > cases / 2);
}

static void interpreted_equals_the_host(void **unused)
{
    (void)unused;
    equals_the_host("t0");
}

static void translated_equals_the_host(void **unused)
{
    (void)unused;
    equals_the_host("runs=0");
}

/*
 * Runs of random instructions on both tiers in lockstep: flags that live across instructions,
 * faults in the middle, branches on what came out. What differs here differs in guests.
 */
static void tiers_agree_on_sequences(void **unused)
{
    static struct image start;
    struct x86_model model;
    struct x86_decode_env env;
    struct rig rig;

    (void)unused;
    rig_options = "check,runs=0";
    rig_open(&rig, MIB(600));
    decoder_env(&model, &env);
    for (unsigned long i = 0; i < cases / 8; i++) {
        uint8_t code[512];
        struct x86_insn in;
        unsigned len = 0;
        for (unsigned n = 2 + pick(20); n; n--) {
            do /* a repeated string instruction would find RCX anywhere */
                random_insn(&env, code + len, &in);
            while (in.info->op >= X86_MOVS && in.info->op <= X86_SCAS);
            len += in.len;
            if (!pick(5)) { /* Jcc to the next instruction: ends a block, and reads flags */
                code[len++] = (uint8_t)(0x70 | pick(16));
                code[len++] = 0;
            }
            if (!pick(5)) { /* SETcc BL */
                code[len++] = 0x0f;
                code[len++] = (uint8_t)(0x90 | pick(16));
                code[len++] = 0xc3;
            }
        }
        random_image(&start, &in);
        put_guest(&rig, &start, code, len);
        /* Exceptions may find no stack and end in shutdown: on both tiers, or it is an error. */
        if (rig_run(&rig) == VCPU_EXIT_ERROR)
            fail_with_report(&rig, code, len);
    }
    rig_close(&rig);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpreted_equals_the_host),
        cmocka_unit_test(translated_equals_the_host),
        cmocka_unit_test(tiers_agree_on_sequences),
    };
    native_setup();
    if (argc > 1)
        cases = strtoul(argv[1], NULL, 0);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 0);
    print_message("seed %lu\n", seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
