/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Single step and debug registers: SDM vol. 3, chapter 18.
 *
 * QEMU's TCG (7.2) has no general-detect fault.
 */
#include "lib/kernel.h"

enum { DR6_B0 = 1, DR6_B1 = 2, DR6_BD = 0x2000, DR6_BS = 0x4000, DR6_BT = 0x8000 };
#define DR6_INIT 0xffff0ff0u
#define DR7_INIT 0x400u

#define DEBUG_REGISTER(n)                                                                          \
    static inline uint32_t dr##n##_get(void)                                                       \
    {                                                                                              \
        uint32_t v;                                                                                \
        asm volatile("mov %%dr" #n ", %0" : "=r"(v));                                              \
        return v;                                                                                  \
    }                                                                                              \
    static inline void dr##n##_set(uint32_t v)                                                     \
    {                                                                                              \
        asm volatile("mov %0, %%dr" #n : : "r"(v));                                                \
    }
DEBUG_REGISTER(0)
DEBUG_REGISTER(1)
DEBUG_REGISTER(6)
DEBUG_REGISTER(7)

static uint32_t step_ips[64], steps;
static volatile uint32_t watched[4] __attribute__((aligned(16)));

static bool on_step(struct trap_frame *frame)
{
    if (steps < ARRAY_LEN(step_ips))
        step_ips[steps] = frame->ip;
    steps++;
    return true;
}

/* The trap comes behind each instruction, and not behind the POPF that sets TF. */
static void single_step(void)
{
    uint32_t first, end;

    trap_handle(VEC_DB, on_step);
    steps = 0;
    dr6_set(DR6_INIT);
    asm volatile("movl $1f, %0; movl $2f, %1\n\t"
                 "pushf; orl $0x100, (%%esp); popf\n\t"
                 "1: nop\n\t"
                 "incl %%eax\n\t"
                 "nop\n\t"
                 "pushf; andl $~0x100, (%%esp); popf\n\t"
                 "2: nop"
                 : "=&r"(first), "=&r"(end)
                 :
                 : "eax", "cc", "memory");
    CHECK_EQ(steps, 6);
    CHECK_EQ(step_ips[0], first + 1);
    CHECK_EQ(step_ips[1], first + 2);
    CHECK_EQ(step_ips[5], end);
    CHECK(dr6_get() & DR6_BS);
    trap_handle(VEC_DB, NULL);
}

/* A repeated string instruction traps after each turn. */
static void step_string(void)
{
    static uint8_t from[4], to[4];
    uint8_t *d = to, *s = from;
    uint32_t count = 3;

    trap_handle(VEC_DB, on_step);
    steps = 0;
    asm volatile("pushf; orl $0x100, (%%esp); popf\n\t"
                 "rep movsb\n\t"
                 "pushf; andl $~0x100, (%%esp); popf"
                 : "+D"(d), "+S"(s), "+c"(count)
                 :
                 : "cc", "memory");
    CHECK_EQ(steps, 6);
    CHECK_EQ(step_ips[0], step_ips[1]);
    CHECK(step_ips[2] == step_ips[1] + 2);
    trap_handle(VEC_DB, NULL);
}

/* INT n clears TF in the handler and puts the old flags on the stack. */
static bool on_plain(struct trap_frame *frame)
{
    if (steps < ARRAY_LEN(step_ips))
        step_ips[steps] = 0xffffffff;
    steps++;
    CHECK(frame->flags & FLAG_TF);
    CHECK(!(flags_get() & FLAG_TF));
    return true;
}

static void step_interrupt(void)
{
    trap_handle(VEC_DB, on_step);
    trap_handle(0x44, on_plain);
    steps = 0;
    asm volatile("pushf; orl $0x100, (%%esp); popf\n\t"
                 "int $0x44\n\t"
                 "nop\n\t"
                 "pushf; andl $~0x100, (%%esp); popf"
                 :
                 :
                 : "cc", "memory");
    CHECK_EQ(step_ips[0], 0xffffffff);
    CHECK(steps >= 5);
    trap_handle(0x44, NULL);
    trap_handle(VEC_DB, NULL);
}

static void watch(uint32_t address, uint32_t type, uint32_t length)
{
    dr6_set(DR6_INIT);
    dr0_set(address);
    dr7_set(DR7_INIT | 2 | type << 16 | length << 18);
}

static void data_breakpoints(void)
{
    watch((uint32_t)&watched[1], 1, 3); /* writes of 4 bytes */
    TRY("movl $1, %0", : "=m"(watched[1]));
    CHECK_TRAP(VEC_DB, 0);
    CHECK_EQ(dr6_get() & 0xf, DR6_B0);
    CHECK_EQ(watched[1], 1); /* a trap: the write is done */
    dr6_set(DR6_INIT);
    TRY("movl %0, %%eax", : : "m"(watched[1]) : "eax");
    CHECK_NO_TRAP();
    TRY("movb $1, %0", : "=m"(*((volatile uint8_t *)&watched[1] + 3)));
    CHECK_TRAP(VEC_DB, 0);
    TRY("movl $1, %0", : "=m"(watched[2]));
    CHECK_NO_TRAP();
    TRY("movl $1, 2(%0)", : : "r"(&watched[0]) : "memory"); /* reaches into it */
    CHECK_TRAP(VEC_DB, 0);
    watch((uint32_t)&watched[1], 3, 0); /* reads and writes of 1 byte */
    TRY("movl %0, %%eax", : : "m"(watched[1]) : "eax");
    CHECK_TRAP(VEC_DB, 0);
    TRY("movb %0, %%al", : : "m"(*((volatile uint8_t *)&watched[1] + 1)) : "eax");
    CHECK_NO_TRAP();
    watch((uint32_t)&watched[1], 1, 1); /* 2 bytes */
    TRY("movb $1, %0", : "=m"(*((volatile uint8_t *)&watched[1] + 1)));
    CHECK_TRAP(VEC_DB, 0);
    TRY("movb $1, %0", : "=m"(*((volatile uint8_t *)&watched[1] + 2)));
    CHECK_NO_TRAP();
    dr7_set(DR7_INIT);
    TRY("movl $1, %0", : "=m"(watched[1]));
    CHECK_NO_TRAP();
}

/* Instruction breakpoints are faults: before the instruction; RF lets it through. */
static uint32_t fetch_hits;

static bool on_fetch(struct trap_frame *frame)
{
    fetch_hits++;
    step_ips[0] = frame->ip;
    frame->flags |= FLAG_RF;
    return true;
}

static void code_breakpoints(void)
{
    uint32_t value = 0;

    trap_handle(VEC_DB, on_fetch);
    fetch_hits = 0;
    asm volatile("movl $1f, %%edx; movl %%edx, %%dr0\n\t"
                 "movl $0x402, %%edx; movl %%edx, %%dr7\n\t"
                 "nop\n\t"
                 "1: incl %0\n\t"
                 "movl $0x400, %%edx; movl %%edx, %%dr7"
                 : "+r"(value)
                 :
                 : "edx", "memory", "cc");
    CHECK_EQ(fetch_hits, 1);
    CHECK_EQ(value, 1);
    CHECK_EQ(step_ips[0], dr0_get());
    CHECK_EQ(dr6_get() & 0xf, DR6_B0);
    trap_handle(VEC_DB, NULL);
}

static void general_detect(void)
{
    dr6_set(DR6_INIT);
    dr7_set(DR7_INIT | 0x2000);
    TRY("movl %%dr0, %%eax", : : : "eax");
    CHECK_TRAP(VEC_DB, 0);
    CHECK(dr6_get() & DR6_BD); /* GD was cleared on the way in */
    dr7_set(DR7_INIT);
    cr4_set(cr4_get() & ~(word)CR4_DE);
    TRY("movl %%dr4, %%eax", : : : "eax"); /* the same as DR6 */
    CHECK_NO_TRAP();
    cr4_set(cr4_get() | CR4_DE);
    TRY("movl %%dr4, %%eax", : : : "eax");
    CHECK_TRAP(VEC_UD, 0);
    cr4_set(cr4_get() & ~(word)CR4_DE);
    dr6_set(0);
    CHECK_EQ(dr6_get() & 0xffff1ff0, 0xffff0ff0);
    dr7_set(0);
    CHECK_EQ(dr7_get(), 0x400);
}

/* MOV SS holds back the trap of the step, and of a watched stack load, by one instruction. */
static void behind_mov_ss(void)
{
    uint32_t first;

    trap_handle(VEC_DB, on_step);
    steps = 0;
    dr6_set(DR6_INIT);
    asm volatile("movl $1f, %0\n\t"
                 "movl %%ss, %%edx\n\t"
                 "pushf; orl $0x100, (%%esp); popf\n\t"
                 "movl %%edx, %%ss\n\t"
                 "1: nop\n\t"
                 "pushf; andl $~0x100, (%%esp); popf"
                 : "=&r"(first)
                 :
                 : "edx", "cc", "memory");
    CHECK_EQ(step_ips[0], first + 1);
    trap_handle(VEC_DB, NULL);
}

void test_main(void)
{
    test("single-step", single_step);
    test("step-string", step_string);
    test("step-interrupt", step_interrupt);
    test("data-breakpoints", data_breakpoints);
    test("code-breakpoints", code_breakpoints);
    test("general-detect", general_detect);
    test("behind-mov-ss", behind_mov_ss);
}
