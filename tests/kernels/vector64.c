/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vector loads and stores: every width that memory copies use, at every offset, across lines and
 * pages, and their faults. SDM vol. 1, chapters 10-14.
 */
#include "lib/kernel.h"

enum { P = 1, W = 2 };
#define WINDOW 0x8000000000ULL

extern uint64_t pml4[512];
static uint8_t *source, *target;
static uint64_t *pt;

static void vectors_on(void)
{
    cr0_set((cr0_get() & ~(word)(CR0_EM | CR0_TS)) | CR0_MP);
    cr4_set(cr4_get() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    if (has_cpuid_bit(1, 2, 26)) {
        cr4_set(cr4_get() | 0x40000);
        asm volatile("xsetbv" : : "a"(has_cpuid_bit(1, 2, 28) ? 7 : 3), "d"(0), "c"(0));
    }
}

static void fill(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        source[i] = (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
        target[i] = 0xee;
    }
}

static void prepare(void)
{
    fill(0, 8192);
}

static bool copied(unsigned from, unsigned to, unsigned len)
{
    return !memcmp(source + from, target + to, len) && target[to - 1] == 0xee &&
           target[to + len] == 0xee;
}

#define MOVE(name, load, store, len)                                                               \
    static void name(void)                                                                         \
    {                                                                                              \
        for (unsigned at = 0; at < 130; at++) {                                                    \
            unsigned from = 4000 + at, to = 4060 + (at * 5) % 131;                                 \
                                                                                                   \
            fill(3990, 4240);                                                                      \
            asm volatile(load "\n\t" store                                                         \
                         :                                                                         \
                         : "r"(source + from), "r"(target + to)                                    \
                         : "memory", "rax");                                                       \
            CHECK(copied(from, to, len));                                                          \
        }                                                                                          \
    }

MOVE(move_rax, "movq (%0), %%rax", "movq %%rax, (%1)", 8)
MOVE(movups, "movups (%0), %%xmm0", "movups %%xmm0, (%1)", 16)
MOVE(movdqu, "movdqu (%0), %%xmm0", "movdqu %%xmm0, (%1)", 16)
MOVE(movq_xmm, "movq (%0), %%xmm0", "movq %%xmm0, (%1)", 8)
MOVE(movd_xmm, "movd (%0), %%xmm0", "movd %%xmm0, (%1)", 4)
MOVE(movlps, "movlps (%0), %%xmm0", "movlps %%xmm0, (%1)", 8)
MOVE(movhps, "movhps (%0), %%xmm0", "movhps %%xmm0, (%1)", 8)
MOVE(lddqu, "lddqu (%0), %%xmm0", "movups %%xmm0, (%1)", 16)
MOVE(vmovdqu128, "vmovdqu (%0), %%xmm0", "vmovdqu %%xmm0, (%1)", 16)
MOVE(vmovdqu256, "vmovdqu (%0), %%ymm0", "vmovdqu %%ymm0, (%1)", 32)
MOVE(vmovups256, "vmovups (%0), %%ymm0", "vmovups %%ymm0, (%1)", 32)
MOVE(movbe, "movbe (%0), %%rax; bswap %%rax", "movq %%rax, (%1)", 8)

static void high_registers(void)
{
    prepare();
    asm volatile("movups (%0), %%xmm8; movups 16(%0), %%xmm15; movdqa %%xmm8, %%xmm9;"
                 "movups %%xmm9, (%1); movups %%xmm15, 16(%1)"
                 :
                 : "r"(source), "r"(target + 64)
                 : "memory");
    CHECK(copied(0, 64, 32));
    prepare();
    asm volatile("leaq -64(%1), %%r13; movq $8, %%r12;"
                 "movups (%0), %%xmm3; movups %%xmm3, (%%r13, %%r12, 8)"
                 :
                 : "r"(source), "r"(target + 64)
                 : "memory", "r12", "r13");
    CHECK(copied(0, 64, 16));
}

static void aligned(void)
{
    TRY("movaps (%0), %%xmm0", : : "r"(source + 1));
    CHECK_TRAP(VEC_GP, 0);
    TRY("movaps %%xmm0, (%0)", : : "r"(target + 8) : "memory");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movaps (%0), %%xmm0", : : "r"(source + 16));
    CHECK_NO_TRAP();
    TRY("addps (%0), %%xmm0", : : "r"(source + 4));
    CHECK_TRAP(VEC_GP, 0);
}

static void repeated(void)
{
    for (unsigned len = 0; len < 300; len += 7) {
        uint8_t *to = target + 4000, *from = source + 3990;
        uint64_t count = len;

        fill(3980, 4400);
        asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        CHECK_EQ(count, 0);
        CHECK_EQ(to - target, 4000 + len);
        CHECK(len == 0 || copied(3990, 4000, len));
    }
    prepare();
    memcpy(target, source, 4096);
    {
        uint8_t *to = target + 8, *from = target;
        uint64_t count = 100;

        /* An overlapping copy goes byte by byte. */
        asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
        for (unsigned i = 0; i < 108; i++)
            CHECK_EQ(target[i], source[i % 8]);
    }
}

/* A vector that crosses into a page that is not there changes nothing and tells its address. */
static void faults(void)
{
    uint8_t *edge = (uint8_t *)WINDOW + 4096;

    prepare();
    TRY("movups (%0), %%xmm0", : : "r"(edge - 8));
    CHECK_TRAP(VEC_PF, 0);
    CHECK_EQ(last_trap.cr2, edge);
    TRY("movups (%1), %%xmm0; movups %%xmm0, (%0)", : : "r"(edge - 8), "r"(source) : "memory");
    CHECK_TRAP(VEC_PF, 2);
    CHECK_EQ(last_trap.cr2, edge);
    CHECK_EQ(target[4095], 0xee);
    TRY("movups (%0), %%xmm0", : : "r"(edge - 16));
    CHECK_NO_TRAP();
}

static void save_area(void)
{
    static uint8_t area[1024] __attribute__((aligned(64))), back[32];

    prepare();
    memset(area, 0, sizeof(area));
    asm volatile("vmovdqu (%0), %%ymm5; xsave (%1); vpxor %%ymm5, %%ymm5, %%ymm5;"
                 "xrstor (%1); vmovdqu %%ymm5, (%2)"
                 :
                 : "r"(source), "r"(area), "r"(back), "a"(7), "d"(0)
                 : "memory");
    CHECK(!memcmp(back, source, 32));
    CHECK(!memcmp(area + 160 + 5 * 16, source, 16));
    CHECK(!memcmp(area + 576 + 5 * 16, source + 16, 16));
    CHECK(area[512] & 4);
    TRY("xsave (%0)", : : "r"(area + 8), "a"(7), "d"(0) : "memory");
    CHECK_TRAP(VEC_GP, 0);
    TRY("xsetbv", : : "a"(6), "d"(0), "c"(0)); /* x87 cannot be left out */
    CHECK_TRAP(VEC_GP, 0);
    TRY("xsetbv", : : "a"(5), "d"(0), "c"(0)); /* AVX without SSE */
    CHECK_TRAP(VEC_GP, 0);
}

void test_main(void)
{
    uint64_t *my_pdpt = page_alloc(1), *my_pd = page_alloc(1);

    pt = page_alloc(1);
    source = page_alloc(3);
    target = page_alloc(3);
    pml4[1] = (uint64_t)my_pdpt | P | W;
    my_pdpt[0] = (uint64_t)my_pd | P | W;
    my_pd[0] = (uint64_t)pt | P | W;
    pt[0] = (uint64_t)target | P | W;
    cr3_set(cr3_get());
    vectors_on();
    test("mov", move_rax);
    test("movups", movups);
    test("movdqu", movdqu);
    test("movq", movq_xmm);
    test("movd", movd_xmm);
    test("movlps", movlps);
    test("movhps", movhps);
    test("lddqu", lddqu);
    test("high-registers", high_registers);
    test("aligned", aligned);
    test("rep-movsb", repeated);
    test("faults", faults);
    if (has_cpuid_bit(1, 2, 22))
        test("movbe", movbe);
    else
        test_skip("movbe", "the processor has none");
    if (has_cpuid_bit(1, 2, 28)) {
        test("vmovdqu-128", vmovdqu128);
        test("vmovdqu-256", vmovdqu256);
        test("vmovups-256", vmovups256);
        test("save-area", save_area);
    } else {
        test_skip("avx", "the processor has none");
    }
}
