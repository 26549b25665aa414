/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 4-level paging: SDM vol. 3, 4.5-4.10: NX, SMEP, SMAP, protection keys, 1 GiB pages,
 * process-context identifiers, and the canonical check.
 *
 * QEMU's TCG (7.2) leaves P out of the error code when a reserved bit is set, faults a jump to a
 * non-canonical address at its target, and takes any CR3.
 */
#include "lib/kernel.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ULL << 63)
enum { ERR_P = 1, ERR_W = 2, ERR_U = 4, ERR_RSVD = 8, ERR_I = 16, ERR_PK = 32 };
#define FLAG_AC_BIT (1ULL << 18)

#define WINDOW 0x8000000000ULL /* the second entry of the top table */

extern uint64_t pml4[512], pdpt[512], pd[2048];
static uint64_t *my_pdpt, *my_pd, *my_pt, *page, *page2;
static volatile uint64_t *const window = (uint64_t *)WINDOW;

static void flush(void)
{
    cr3_set(cr3_get());
}

static void map(uint64_t entry)
{
    my_pt[0] = entry;
    flush();
}

static void window_make(void)
{
    my_pdpt = page_alloc(1);
    my_pd = page_alloc(1);
    my_pt = page_alloc(1);
    page = page_alloc(1);
    page2 = page_alloc(1);
    pml4[1] = (uint64_t)my_pdpt | P | W | U;
    my_pdpt[0] = (uint64_t)my_pd | P | W | U;
    my_pd[0] = (uint64_t)my_pt | P | W | U;
    flush();
}

#define READ() TRY("movq (%0), %%rax", : : "r"(window) : "rax")
#define WRITE() TRY("movq $0x55, (%0)", : : "r"(window) : "memory")
#define EXECUTE() TRY("jmp *%0", : : "r"(window))

static void permissions(void)
{
    page[0] = 0x1234;
    map((uint64_t)page | P | W);
    READ();
    CHECK_NO_TRAP();
    CHECK_EQ(window[0], 0x1234);
    map((uint64_t)page | P);
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W);
    CHECK_EQ(last_trap.cr2, WINDOW);
    cr0_set(cr0_get() & ~(word)CR0_WP);
    WRITE();
    CHECK_NO_TRAP();
    /* A middle level without W denies it too. */
    map((uint64_t)page | P | W);
    my_pdpt[0] &= ~(uint64_t)W;
    flush();
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W);
    cr0_set(cr0_get() & ~(word)CR0_WP);
    my_pdpt[0] |= W;
    map((uint64_t)page | P | W | 1ULL << 51);
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    map(0);
    pml4[1] |= PS; /* reserved in the top level */
    flush();
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    pml4[1] &= ~(uint64_t)PS;
    flush();
}

static void no_execute(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_NXE);
    map((uint64_t)page | P | W | NX);
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    flush();
    READ();
    CHECK_NO_TRAP();
    EXECUTE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_I);
    CHECK_EQ(last_trap.ip, WINDOW);
    map((uint64_t)page | P | W);
    my_pd[0] |= NX;
    flush();
    EXECUTE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_I);
    my_pd[0] &= ~NX;
    flush();
    map(0);
    EXECUTE();
    CHECK_TRAP(VEC_PF, ERR_I);
}

static void user_fetch(void)
{
    ((void (*)(void))WINDOW)();
}

static void user_read(void)
{
    asm volatile("movq (%0), %%rax" : : "r"(window) : "rax");
}

static void user(void)
{
    memcpy(page, "\xcd\x80", 2); /* int $0x80 */
    map((uint64_t)page | P | W | U);
    user_run(user_fetch);
    CHECK_TRAP(VEC_LEAVE, 0);
    map((uint64_t)page | P | W | U | NX);
    user_run(user_fetch);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_U | ERR_I);
    map((uint64_t)page | P | W);
    user_run(user_read);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_U);
    map(0);
    user_run(user_read);
    CHECK_TRAP(VEC_PF, ERR_U);
}

/* The kernel's own pages are user pages here: they are taken from ring 3 while SMEP is on. */
static void own_pages(bool supervisor)
{
    for (unsigned i = 0; i < 2048; i++)
        pd[i] = supervisor ? pd[i] & ~(uint64_t)U : pd[i] | U;
    flush();
}

static void smep(void)
{
    memcpy(page, "\x0f\x0b", 2); /* ud2 */
    own_pages(true);
    cr4_set(cr4_get() | CR4_SMEP);
    map((uint64_t)page | P | W | U);
    READ();
    CHECK_NO_TRAP();
    EXECUTE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_I);
    my_pd[0] &= ~(uint64_t)U; /* a supervisor page by its middle level */
    flush();
    EXECUTE();
    CHECK_TRAP(VEC_UD, 0);
    my_pd[0] |= U;
    cr4_set(cr4_get() & ~(word)CR4_SMEP);
    flush();
    EXECUTE();
    CHECK_TRAP(VEC_UD, 0);
    own_pages(false);
}

static void smap(void)
{
    own_pages(true);
    cr4_set(cr4_get() | CR4_SMAP);
    map((uint64_t)page | P | W | U);
    TRY("clac; movq (%0), %%rax", : : "r"(window) : "rax");
    CHECK_TRAP(VEC_PF, ERR_P);
    TRY("movq $1, (%0)", : : "r"(window) : "memory");
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W);
    TRY("stac; movq (%0), %%rax; movq $1, (%0); clac", : : "r"(window) : "rax", "memory");
    CHECK_NO_TRAP();
    TRY("movq (%0), %%rax", : : "r"(window) : "rax");
    CHECK_TRAP(VEC_PF, ERR_P);
    cr4_set(cr4_get() & ~(word)CR4_SMAP);
    own_pages(false);
}

/* Rights of key 3: access disabled, write disabled. */
#define KEY_AD 0x40u
#define KEY_WD 0x80u
#define KEY_3 (3ULL << 59)
#define MSR_PKRS 0x6e1

static uint32_t rdpkru(void)
{
    uint32_t rights, high;
    asm volatile("rdpkru" : "=a"(rights), "=d"(high) : "c"(0));
    return rights;
}

static void wrpkru(uint32_t rights)
{
    asm volatile("wrpkru" : : "a"(rights), "c"(0), "d"(0) : "memory");
}

static void user_write(void)
{
    window[0] = 0x55;
}

static void user_keys(void)
{
    TRY("rdpkru", : : "c"(0) : "rax", "rdx");
    CHECK_TRAP(VEC_UD, 0);
    cr4_set(cr4_get() | CR4_PKE);
    CHECK(has_cpuid_bit(7, 2, 4)); /* OSPKE */
    TRY("wrpkru", : : "a"(0), "c"(0), "d"(1));
    CHECK_TRAP(VEC_GP, 0);
    wrpkru(0);
    map((uint64_t)page | P | W | U | KEY_3);
    user_run(user_write);
    CHECK_TRAP(VEC_LEAVE, 0);
    wrpkru(KEY_WD);
    CHECK_EQ(rdpkru(), KEY_WD);
    user_run(user_read);
    CHECK_TRAP(VEC_LEAVE, 0);
    user_run(user_write);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_U | ERR_PK);
    WRITE(); /* the kernel may: WP is clear */
    CHECK_NO_TRAP();
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_PK);
    cr0_set(cr0_get() & ~(word)CR0_WP);
    wrpkru(KEY_AD);
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_PK);
    memcpy(page2, "\xcd\x80", 2); /* fetches know no keys */
    map((uint64_t)page2 | P | U | KEY_3);
    user_run(user_fetch);
    CHECK_TRAP(VEC_LEAVE, 0);
    map((uint64_t)page | P | W | U); /* another key */
    READ();
    CHECK_NO_TRAP();
    wrpkru(0);
    cr4_set(cr4_get() & ~(word)CR4_PKE);
}

/* XSAVE keeps PKRU as component 9, where CPUID says; XRSTOR of an image without it clears it. */
static void saved_keys(void)
{
    static _Alignas(64) uint8_t area[4096];
    uint32_t size, offset, c = 9, d;

    asm volatile("cpuid" : "=a"(size), "=b"(offset), "+c"(c), "=d"(d) : "a"(0xd));
    CHECK_EQ(size, 8);
    CHECK(offset >= 576 && offset + size <= sizeof(area));
    cr4_set(cr4_get() | CR4_PKE | CR4_OSFXSR | CR4_OSXSAVE);
    asm volatile("xsetbv" : : "a"(0x201), "c"(0), "d"(0));
    wrpkru(KEY_WD);
    asm volatile("xsave %0" : "+m"(area) : "a"(0x200), "d"(0));
    CHECK_EQ(*(uint32_t *)(area + offset), KEY_WD);
    CHECK_EQ(*(uint64_t *)(area + 512), 0x200);
    wrpkru(KEY_AD);
    asm volatile("xrstor %0" : : "m"(area), "a"(0x200), "d"(0) : "memory");
    CHECK_EQ(rdpkru(), KEY_WD);
    *(uint64_t *)(area + 512) = 0;
    asm volatile("xrstor %0" : : "m"(area), "a"(0x200), "d"(0) : "memory");
    CHECK_EQ(rdpkru(), 0);
    asm volatile("xsetbv" : : "a"(1), "c"(0), "d"(0));
    cr4_set(cr4_get() & ~(word)(CR4_PKE | CR4_OSXSAVE));
}

static void supervisor_keys(void)
{
    own_pages(true);
    cr4_set(cr4_get() | CR4_PKS);
    map((uint64_t)page | P | W | KEY_3);
    wrmsr(MSR_PKRS, KEY_WD);
    CHECK_EQ(rdmsr(MSR_PKRS), KEY_WD);
    READ();
    CHECK_NO_TRAP();
    WRITE(); /* WP is clear */
    CHECK_NO_TRAP();
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_PK);
    cr0_set(cr0_get() & ~(word)CR0_WP);
    wrmsr(MSR_PKRS, KEY_AD);
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_PK);
    map((uint64_t)page | P | W | U | KEY_3); /* a user's page: not IA32_PKRS but PKRU */
    READ();
    CHECK_NO_TRAP();
    wrmsr(MSR_PKRS, 0);
    cr4_set(cr4_get() & ~(word)CR4_PKS);
    own_pages(false);
}

/* A pointer that is NULL leads nowhere, whatever was done with the page that it could be taken for. */
static void page_zero(void)
{
    static volatile uint64_t *const other = (uint64_t *)(WINDOW + 0x10000);
    uint64_t *low = page_alloc(1), saved = pd[0];

    for (uint64_t i = 1; i < 512; i++)
        low[i] = i << 12 | P | W | U;
    pd[0] = (uint64_t)low | P | W | U;
    page[0] = 0x1234;
    my_pt[16] = (uint64_t)page | P | W;
    flush();
    CHECK_EQ(other[0], 0x1234);
    invlpg((void *)other);
    TRY("movq (%0), %%rax", : : "r"(0ULL) : "rax");
    CHECK_TRAP(VEC_PF, 0);
    TRY("movq $1, (%0)", : : "r"(0ULL) : "memory");
    CHECK_TRAP(VEC_PF, ERR_W);
    my_pt[16] = (uint64_t)page | P;
    flush();
    CHECK_EQ(other[0], 0x1234);
    TRY("movq $1, (%0)", : : "r"(0ULL) : "memory");
    CHECK_TRAP(VEC_PF, ERR_W);
    CHECK_EQ(page[0], 0x1234);
    my_pt[16] = 0;
    pd[0] = saved;
    flush();
}

static void giga_page(void)
{
    uint64_t saved = my_pdpt[0];

    my_pdpt[0] = PS | P | W | U;
    flush();
    *(volatile uint64_t *)0x345678 = 0x99;
    CHECK_EQ(*(volatile uint64_t *)(WINDOW + 0x345678), 0x99);
    CHECK(my_pdpt[0] & A);
    CHECK(!(my_pdpt[0] & D));
    *(volatile uint64_t *)(WINDOW + 0x345678) = 0x9a;
    CHECK(my_pdpt[0] & D);
    my_pdpt[0] |= 1 << 13; /* reserved: part of the offset */
    flush();
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    my_pdpt[0] = saved;
    flush();
}

static void canonical(void)
{
    TRY("movq (%0), %%rax", : : "r"(0x800000000000ULL) : "rax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movq %0, %%rax; jmp *%%rax", : : "r"(0x800000000000ULL) : "rax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("movq 0x7fff(%0), %%rax", : : "r"(0x7fffffffffffULL) : "rax");
    CHECK_TRAP(VEC_GP, 0);
    TRY("invlpg (%0)", : : "r"(0x800000000000ULL)); /* no check, no effect */
    CHECK_NO_TRAP();
}

static void contexts(void)
{
    uint64_t root = cr3_get();
    struct {
        uint64_t pcid, address;
    } single = {1, WINDOW};

    page[0] = 1;
    page2[0] = 2;
    map((uint64_t)page | P | W);
    cr4_set(cr4_get() | CR4_PCIDE);
    CHECK_EQ(window[0], 1);
    cr3_set(root | 1);
    my_pt[0] = (uint64_t)page2 | P | W;
    invlpg((void *)window);
    CHECK_EQ(window[0], 2);
    /* Bit 63: the translations of the new context are kept; without it they are dropped. */
    my_pt[0] = (uint64_t)page | P | W;
    cr3_set(root | 1);
    CHECK_EQ(window[0], 1);
    cr3_set(root);
    CHECK_EQ(window[0], 1);
    if (has_cpuid_bit(7, 1, 10)) {
        my_pt[0] = (uint64_t)page2 | P | W;
        single.pcid = 0;
        asm volatile("invpcid %0, %1" : : "m"(single), "r"(0ULL) : "memory");
        CHECK_EQ(window[0], 2);
        single.pcid = 0x1000;
        TRY("invpcid %0, %1", : : "m"(single), "r"(0ULL));
        CHECK_TRAP(VEC_GP, 0);
        single.pcid = 0;
        TRY("invpcid %0, %1", : : "m"(single), "r"(4ULL));
        CHECK_TRAP(VEC_GP, 0);
    }
    cr4_set(cr4_get() & ~(word)CR4_PCIDE);
    cr3_set(root | 1);
    TRY("movq %0, %%cr4", : : "r"(cr4_get() | CR4_PCIDE)); /* CR3's low bits must be 0 */
    CHECK_TRAP(VEC_GP, 0);
    cr3_set(root);
}

static void reserved_cr3(void)
{
    TRY("movq %0, %%cr3", : : "r"(1ULL << 52 | cr3_get()));
    CHECK_TRAP(VEC_GP, 0);
}

void test_main(void)
{
    window_make();
    test("permissions", permissions);
    test("no-execute", no_execute);
    test("page-zero", page_zero);
    test("user", user);
    test("canonical", canonical);
    if (has_cpuid_bit(7, 1, 7))
        test("smep", smep);
    else
        test_skip("smep", "the processor has none");
    if (has_cpuid_bit(7, 1, 20))
        test("smap", smap);
    else
        test_skip("smap", "the processor has none");
    if (has_cpuid_bit(7, 2, 3)) {
        test("user-keys", user_keys);
        test("saved-keys", saved_keys);
    } else {
        test_skip("user-keys", "the processor has none");
    }
    if (has_cpuid_bit(7, 2, 31))
        test("supervisor-keys", supervisor_keys);
    else
        test_skip("supervisor-keys", "the processor has none");
    if (has_cpuid_bit(0x80000001, 3, 26))
        test("giga-page", giga_page);
    else
        test_skip("giga-page", "the processor has none");
    if (has_cpuid_bit(1, 2, 17))
        test("contexts", contexts);
    else
        test_skip("contexts", "the processor has no PCID");
    test("reserved-cr3", reserved_cr3);
}
