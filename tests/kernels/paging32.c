/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 32-bit paging: SDM vol. 3, 4.3 and 4.6-4.8: 4 KiB and 4 MiB pages, permissions, write
 * protection, accessed and dirty bits, global pages, error codes. Then PAE paging, 4.4.
 *
 * QEMU's TCG (7.2) leaves P out of the error code when a reserved bit is set, and does not check
 * the page-directory pointers when CR3 is loaded.
 */
#include "lib/kernel.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40, PS = 0x80, G = 0x100 };
#define NX (1ULL << 63)
enum { ERR_P = 1, ERR_W = 2, ERR_U = 4, ERR_RSVD = 8, ERR_I = 16 };

#define WINDOW 0x40000000u /* what the tests map and unmap */

static uint32_t *directory, *table, *page, *page2;
static volatile uint32_t *const window = (uint32_t *)WINDOW;

static void flush(void)
{
    cr3_set(cr3_get());
}

static void map(uint32_t entry)
{
    table[0] = entry;
    flush();
}

static void paging_on(void)
{
    directory = page_alloc(1);
    table = page_alloc(1);
    page = page_alloc(1);
    page2 = page_alloc(1);
    for (uint32_t i = 0; i < 1024; i++)
        directory[i] = i << 22 | PS | P | W | U;
    directory[WINDOW >> 22] = (uint32_t)table | P | W | U;
    cr4_set(cr4_get() | CR4_PSE);
    cr3_set((uint32_t)directory);
    cr0_set(cr0_get() | CR0_PG);
}

#define READ() TRY("movl (%0), %%eax", : : "r"(window) : "eax")
#define WRITE() TRY("movl $0x55, (%0)", : : "r"(window) : "memory")

static void supervisor(void)
{
    page[0] = 0x1234;
    map((uint32_t)page | P | W | U);
    READ();
    CHECK_NO_TRAP();
    CHECK_EQ(window[0], 0x1234);
    WRITE();
    CHECK_NO_TRAP();
    CHECK_EQ(page[0], 0x55);
    map(0);
    READ();
    CHECK_TRAP(VEC_PF, 0);
    CHECK_EQ(last_trap.cr2, WINDOW);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_W);
    TRY("movl $1, 0xffe(%0)", : : "r"(window)); /* CR2 is the first byte that faults */
    CHECK_EQ(last_trap.cr2, WINDOW + 0xffe);
    map((uint32_t)page | P | U); /* read-only, WP clear: the kernel may write */
    WRITE();
    CHECK_NO_TRAP();
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W);
    READ();
    CHECK_NO_TRAP();
    cr0_set(cr0_get() & ~(word)CR0_WP);
}

static void user_read(void)
{
    asm volatile("movl (%0), %%eax" : : "r"(window) : "eax");
}

static void user_write(void)
{
    asm volatile("movl $1, (%0)" : : "r"(window));
}

static void user(void)
{
    map((uint32_t)page | P | W);
    user_run(user_read);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_U);
    user_run(user_write);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_U);
    map((uint32_t)page | P | U);
    user_run(user_read);
    CHECK_TRAP(VEC_LEAVE, 0);
    user_run(user_write);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_U);
    map(0);
    user_run(user_write);
    CHECK_TRAP(VEC_PF, ERR_W | ERR_U);
    /* Both levels must allow it. */
    map((uint32_t)page | P | W | U);
    directory[WINDOW >> 22] &= ~(uint32_t)U;
    flush();
    user_run(user_read);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_U);
    directory[WINDOW >> 22] = (uint32_t)table | P | U;
    flush();
    user_run(user_write);
    CHECK_TRAP(VEC_PF, ERR_P | ERR_W | ERR_U);
    directory[WINDOW >> 22] = (uint32_t)table | P | W | U;
    map((uint32_t)page | P | W | U);
    user_run(user_write);
    CHECK_TRAP(VEC_LEAVE, 0);
}

static void accessed_dirty(void)
{
    map((uint32_t)page | P | W | U);
    directory[WINDOW >> 22] &= ~(uint32_t)(A | D);
    flush();
    CHECK_EQ(table[0] & (A | D), 0);
    READ();
    CHECK_EQ(table[0] & (A | D), A);
    CHECK(directory[WINDOW >> 22] & A);
    WRITE();
    CHECK_EQ(table[0] & (A | D), A | D);
    CHECK(!(directory[WINDOW >> 22] & D));
    /* A write that follows a read through a cached translation still sets D. */
    map((uint32_t)page | P | W | U);
    READ();
    WRITE();
    CHECK(table[0] & D);
    /* A fault sets nothing. */
    map((uint32_t)page | P | U);
    cr0_set(cr0_get() | CR0_WP);
    WRITE();
    cr0_set(cr0_get() & ~(word)CR0_WP);
    CHECK_EQ(table[0] & D, 0);
}

static void translations(void)
{
    page[0] = 1;
    page2[0] = 2;
    map((uint32_t)page | P | W | U);
    CHECK_EQ(window[0], 1);
    table[0] = (uint32_t)page2 | P | W | U;
    invlpg((void *)window);
    CHECK_EQ(window[0], 2);
    /* Global pages outlive CR3 but not INVLPG, nor a change of CR4.PGE. */
    cr4_set(cr4_get() | CR4_PGE);
    map((uint32_t)page | P | W | U | G);
    invlpg((void *)window);
    CHECK_EQ(window[0], 1);
    table[0] = (uint32_t)page2 | P | W | U;
    invlpg((void *)window);
    CHECK_EQ(window[0], 2);
    map((uint32_t)page | P | W | U | G);
    cr4_set(cr4_get() & ~(word)CR4_PGE);
    CHECK_EQ(window[0], 1);
    /* Two pages in one access. */
    table[0] = (uint32_t)page | P | W | U;
    table[1] = (uint32_t)page2 | P | W | U;
    flush();
    *(volatile uint32_t *)(WINDOW + 0xffe) = 0xaabbccdd;
    CHECK_EQ(*(uint16_t *)((uint8_t *)page + 0xffe), 0xccdd);
    CHECK_EQ(*(uint16_t *)page2, 0xaabb);
    /* When the second faults, the first is not written, and CR2 is the second's start. */
    table[1] = 0;
    flush();
    TRY("movl $0x11111111, 0xffe(%0)", : : "r"(window));
    CHECK_TRAP(VEC_PF, ERR_W);
    CHECK_EQ(last_trap.cr2, WINDOW + 0x1000);
    CHECK_EQ(*(uint16_t *)((uint8_t *)page + 0xffe), 0xccdd);
}

static void instruction_fetch(void)
{
    map(0);
    TRY("movl $1f, %%eax; jmp *%0; 1:", : : "r"(window) : "eax");
    CHECK_TRAP(VEC_PF, 0); /* no NX: the bit for fetches stays clear */
    CHECK_EQ(last_trap.ip, WINDOW);
    CHECK_EQ(last_trap.cr2, WINDOW);
}

/* 4.8: bit 21..13 of a 4 MiB entry are reserved but for PSE-36's. */
static void big_pages(void)
{
    uint32_t saved = directory[WINDOW >> 22];
    uint32_t *far = (uint32_t *)(WINDOW + 0x123458);

    directory[WINDOW >> 22] = PS | P | W | U; /* guest memory from 0 */
    flush();
    *(volatile uint32_t *)0x123458 = 0x77;
    CHECK_EQ(*(volatile uint32_t *)far, 0x77);
    CHECK(directory[WINDOW >> 22] & A);
    *(volatile uint32_t *)far = 0x78;
    CHECK(directory[WINDOW >> 22] & D);
    CHECK_EQ(*(volatile uint32_t *)0x123458, 0x78);
    directory[WINDOW >> 22] = 0x200000 | PS | P | W | U;
    flush();
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    directory[WINDOW >> 22] = saved;
    flush();
}

static uint64_t *pae_pointers, *pae_tables, *pae_table;

static void pae_map(uint64_t entry)
{
    pae_table[0] = entry;
    flush();
}

static void pae_on(void)
{
    pae_pointers = page_alloc(1);
    pae_tables = page_alloc(4);
    pae_table = page_alloc(1);
    for (uint32_t i = 0; i < 2048; i++)
        pae_tables[i] = (uint64_t)i << 21 | PS | P | W | U;
    pae_tables[WINDOW >> 21] = (uint32_t)pae_table | P | W | U;
    for (uint32_t i = 0; i < 4; i++)
        pae_pointers[i] = (uint32_t)(pae_tables + i * 512) | P;
    cr0_set(cr0_get() & ~(word)CR0_PG);
    cr4_set(cr4_get() | CR4_PAE);
    cr3_set((uint32_t)pae_pointers);
    cr0_set(cr0_get() | CR0_PG);
}

static void pae(void)
{
    uint64_t saved;

    page[0] = 0xabc;
    pae_map((uint32_t)page | P | W | U);
    READ();
    CHECK_NO_TRAP();
    CHECK_EQ(window[0], 0xabc);
    pae_map((uint32_t)page | P | W | U | 1ULL << 51); /* above the physical width */
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    pae_map((uint32_t)page | P | W | U | NX); /* NXE clear: reserved */
    READ();
    CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    READ();
    CHECK_NO_TRAP();
    TRY("movl $1f, %%eax; jmp *%0; 1:", : : "r"(window) : "eax");
    CHECK_TRAP(VEC_PF, ERR_P | ERR_I);
    pae_map(0);
    TRY("movl $1f, %%eax; jmp *%0; 1:", : : "r"(window) : "eax");
    CHECK_TRAP(VEC_PF, ERR_I);
    /*
     * The four pointers are loaded with CR3; reserved bits in one are #GP there. AMD's processors
     * with nested paging read a pointer when they need it (APM vol. 2, 15.25.10).
     */
    saved = pae_pointers[3];
    pae_pointers[3] = saved | 2;
    TRY("movl %%cr3, %%eax; movl %%eax, %%cr3", : : : "eax");
    if (is_kvm() && is_amd() && last_trap.vector == VEC_NONE) {
        TRY("movb 0xfec00000, %%al", : : : "eax");
        CHECK_TRAP(VEC_PF, ERR_P | ERR_RSVD);
    } else {
        CHECK_TRAP(VEC_GP, 0);
    }
    pae_pointers[3] = 0;
    TRY("movl %%cr3, %%eax; movl %%eax, %%cr3", : : : "eax");
    CHECK_NO_TRAP();
    TRY("movb 0xfec00000, %%al", : : : "eax");
    CHECK_TRAP(VEC_PF, 0);
    pae_pointers[3] = saved;
    flush();
}

void test_main(void)
{
    paging_on();
    test("supervisor", supervisor);
    test("user", user);
    test("accessed-dirty", accessed_dirty);
    test("translations", translations);
    test("instruction-fetch", instruction_fetch);
    test("big-pages", big_pages);
    pae_on();
    test("pae", pae);
}
