/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common part of the test kernels: see kernel.h.
 */
#include "kernel.h"

#define COM1 0x3f8
#define DEBUG_EXIT 0xf4

struct trap last_trap = {.vector = VEC_NONE};
word trap_resume;
struct gate idt[256] __attribute__((aligned(16)));
struct table_pointer idt_pointer = {sizeof(idt) - 1, (word)idt};
struct tss tss __attribute__((aligned(16)));
extern char image_end[];

static trap_handler *handlers[256];
static const char *test_name;
static unsigned failures, failed_tests, passed_tests;
static bool in_user;
static uint8_t *page_next;
static uint8_t user_stack[8192] __attribute__((aligned(16)));

void *memset(void *p, int c, size_t n)
{
    for (uint8_t *b = p; n--; b++)
        *(volatile uint8_t *)b = (uint8_t)c;
    return p;
}

void *memcpy(void *d, const void *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((volatile uint8_t *)d)[i] = ((const uint8_t *)s)[i];
    return d;
}

int memcmp(const void *a, const void *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i])
            return ((const uint8_t *)a)[i] < ((const uint8_t *)b)[i] ? -1 : 1;
    return 0;
}

static void put(char c)
{
    for (unsigned spin = 0; spin < 100000 && !(inb(COM1 + 5) & 0x20); spin++)
        ;
    outb(COM1, (uint8_t)c);
}

void print(const char *text)
{
    for (; *text; text++)
        put(*text);
}

void print_hex(word value)
{
    bool some = false;

    print("0x");
    for (int shift = sizeof(word) * 8 - 4; shift >= 0; shift -= 4) {
        unsigned digit = value >> shift & 15;

        some |= digit || !shift;
        if (some)
            put("0123456789abcdef"[digit]);
    }
}

static void print_number(unsigned n)
{
    if (n >= 10)
        print_number(n / 10);
    put((char)('0' + n % 10));
}

static void fail_head(int line)
{
    failures++;
    print("FAIL ");
    print(test_name);
    print(": line ");
    print_number((unsigned)line);
    print(": ");
}

void check_failed(int line, const char *what)
{
    fail_head(line);
    print(what);
    print("\n");
}

void check_eq_failed(int line, const char *what, word have, word want)
{
    fail_head(line);
    print(what);
    print(" is ");
    print_hex(have);
    print(", not ");
    print_hex(want);
    print("\n");
}

static void print_trap(int vector, word error)
{
    if (vector == VEC_NONE) {
        print("no trap");
        return;
    }
    print("vector ");
    print_number((unsigned)vector);
    print(" error ");
    print_hex(error);
}

void check_trap_failed(int line, int vector, word error)
{
    fail_head(line);
    print_trap(last_trap.vector, last_trap.error);
    print(" at ");
    print_hex(last_trap.ip);
    print(", not ");
    print_trap(vector, error);
    print("\n");
}

void test(const char *name, void (*function)(void))
{
    test_name = name;
    failures = 0;
    function();
    if (failures)
        failed_tests++;
    else
        passed_tests++;
    print(failures ? "FAIL " : "PASS ");
    print(name);
    print("\n");
}

void test_skip(const char *name, const char *why)
{
    print("SKIP ");
    print(name);
    print(": ");
    print(why);
    print("\n");
}

void finish(void)
{
    print(failed_tests ? "DONE with failures: " : "DONE: ");
    print_number(passed_tests);
    print(" passed, ");
    print_number(failed_tests);
    print(" failed\n");
    outb(DEBUG_EXIT, failed_tests ? 1 : 0);
    for (;;)
        asm volatile("cli; hlt");
}

void trap_expect(void)
{
    last_trap = (struct trap){.vector = VEC_NONE};
}

void trap_handle(unsigned vector, trap_handler *handler)
{
    handlers[vector] = handler;
}

#ifndef __x86_64__
uint32_t v86_frame[9];
extern uint32_t user_segments[6];

void v86_run(const struct v86_regs *regs)
{
    user_segments[0] = regs->cs;
    user_segments[1] = regs->ss;
    user_segments[2] = regs->es;
    user_segments[3] = regs->ds;
    user_segments[4] = regs->fs;
    user_segments[5] = regs->gs;
    trap_expect();
    in_user = true;
    user_enter(regs->ip, regs->sp, regs->flags | FLAG_VM | 2);
}
#endif

static void user_returned(void)
{
    USER_LEAVE();
}

void user_run(void (*function)(void))
{
    word *stack = (word *)(user_stack + sizeof(user_stack) - 64);

    *--stack = (word)user_returned; /* as if it had been called */
    trap_expect();
    in_user = true;
    user_enter((word)function, (word)stack, 2);
}

void trap_entry(struct trap_frame *frame);
void trap_entry(struct trap_frame *frame)
{
    bool from_user = (frame->cs & 3) == 3;

#ifndef __x86_64__
    if (frame->flags & FLAG_VM) {
        from_user = true;
        memcpy(v86_frame, &frame->ip, sizeof(v86_frame));
    }
#endif
    if (handlers[frame->vector] && handlers[frame->vector](frame))
        return;
    last_trap.vector = (int)frame->vector;
    last_trap.error = frame->error;
    last_trap.ip = frame->ip;
    last_trap.cs = frame->cs;
    last_trap.flags = frame->flags;
    last_trap.from_user = from_user;
    last_trap.cr2 = frame->vector == VEC_PF ? cr2_get() : 0;
    last_trap.count++;
    if (in_user && from_user) {
        in_user = false;
        user_leave();
    }
    if (trap_resume) {
        frame->ip = trap_resume;
        frame->flags &= ~(word)(FLAG_TF | FLAG_RF | FLAG_NT);
        trap_resume = 0;
        return;
    }
    print("FAIL ");
    print(test_name ? test_name : "start");
    print(": unexpected ");
    print_trap((int)frame->vector, frame->error);
    print(" at ");
    print_hex(frame->ip);
    print(" cr2 ");
    print_hex(cr2_get());
    print("\n");
    failed_tests++;
    finish();
}

uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 |
           (uint64_t)(base >> 24) << 56;
}

void gate_set(unsigned vector, word offset, uint16_t selector, uint8_t attr)
{
    idt[vector] = (struct gate){.offset_low = (uint16_t)offset,
                                .selector = selector,
                                .attr = attr,
                                .offset_mid = (uint16_t)(offset >> 16)};
#ifdef __x86_64__
    idt[vector].offset_high = (uint32_t)(offset >> 32);
#endif
}

void *page_alloc(unsigned pages)
{
    uint8_t *p;

    if (!page_next)
        page_next = (uint8_t *)(((word)image_end + 0xfffff) & ~(word)0xfffff);
    p = page_next;
    page_next += pages * 4096;
    return memset(p, 0, pages * 4096);
}

static void tables_setup(void)
{
    for (unsigned i = 0; i < 256; i++)
        gate_set(i, (word)trap_stubs[i], SEL_CODE, 0x8e);
    idt[VEC_LEAVE].attr = 0xee;
    idt[VEC_BP].attr = 0xee;
    idt[VEC_OF].attr = 0xee;
    asm volatile("lidt %0" : : "m"(idt_pointer));
    tss.iomap = sizeof(tss);
#ifdef __x86_64__
    tss.rsp[0] = (word)trap_stack_top;
    gdt[SEL_TSS / 8] = descriptor((uint32_t)(word)&tss, sizeof(tss) - 1, 0x89, 0);
    gdt[SEL_TSS / 8 + 1] = (word)&tss >> 32;
#else
    tss.esp0 = (word)trap_stack_top;
    tss.ss0 = SEL_DATA;
    tss.bitmap[8192] = 0xff;
    tss.iomap = offsetof(struct tss, bitmap) + 8192; /* the byte of ones: no port allowed */
    gdt[SEL_TSS / 8] = descriptor((uint32_t)(word)&tss, sizeof(tss) - 1, 0x89, 0);
#endif
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

void kernel_main(void);
void kernel_main(void)
{
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 0x80);
    outb(COM1 + 0, 1);
    outb(COM1 + 1, 0);
    outb(COM1 + 3, 3);
    outb(COM1 + 2, 7);
    outb(COM1 + 4, 3);
    outb(0x21, 0xff); /* every line of both 8259s is masked until a test wants it */
    outb(0xa1, 0xff);
    tables_setup();
    test_main();
    finish();
}
