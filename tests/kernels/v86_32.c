/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual-8086 mode: SDM vol. 3, chapter 21.
 *
 * QEMU's TCG (7.2) checks no segment limits, so offsets beyond 64 KiB do not fault there.
 */
#include "lib/kernel.h"

#define CODE 0x20000u /* the 8086 program: segment 0x2000 */
#define STACK_SEG 0x3000
#define IOPL3 0x3000u

static uint8_t *code = (uint8_t *)CODE;

static void run(const void *program, size_t len, uint32_t flags)
{
    struct v86_regs regs = {.cs = CODE >> 4,
                            .ss = STACK_SEG,
                            .sp = 0x1000,
                            .ds = 0x2000,
                            .es = 0x1111,
                            .fs = 0x2222,
                            .gs = 0x3333,
                            .flags = flags};

    memcpy(code, program, len);
    v86_run(&regs);
}

#define RUN(flags, ...)                                                                            \
    do {                                                                                           \
        static const uint8_t program[] = {__VA_ARGS__};                                            \
        run(program, sizeof(program), flags);                                                      \
    } while (0)

#define FRAME_EIP v86_frame[0]
#define FRAME_FLAGS v86_frame[2]
#define FRAME_ESP v86_frame[3]

/* Everything is pushed, and the program's data segments are null while the kernel runs. */
static void frame(void)
{
    RUN(0, 0xb8, 0x34, 0x12, /* mov ax, 1234 */ 0x0f, 0x0b /* ud2 */);
    CHECK_TRAP(VEC_UD, 0);
    CHECK_EQ(FRAME_EIP, 3);
    CHECK_EQ(v86_frame[1] & 0xffff, CODE >> 4);
    CHECK(FRAME_FLAGS & FLAG_VM);
    CHECK_EQ(FRAME_ESP & 0xffff, 0x1000);
    CHECK_EQ(v86_frame[4] & 0xffff, STACK_SEG);
    CHECK_EQ(v86_frame[5] & 0xffff, 0x1111);
    CHECK_EQ(v86_frame[6] & 0xffff, 0x2000);
    CHECK_EQ(v86_frame[7] & 0xffff, 0x2222);
    CHECK_EQ(v86_frame[8] & 0xffff, 0x3333);
}

static void addressing(void)
{
    static const uint8_t program[] = {
        0xb8, 0x00, 0x40,             /* mov ax, 4000 */
        0x8e, 0xd8,                   /* mov ds, ax: any value goes, base is 16 times it */
        0xc6, 0x06, 0x10, 0x00, 0x5a, /* mov byte [10], 5a */
        0xcd, 0x80,                   /* int 80 */
    };

    *(volatile uint8_t *)0x40010 = 0;
    run(program, sizeof(program), IOPL3);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(*(volatile uint8_t *)0x40010, 0x5a);
}

/* Instructions that IOPL guards trap with IOPL below 3, and the address is their own. */
static void guarded(void)
{
    RUN(0, 0xfa); /* cli */
    CHECK_TRAP(VEC_GP, 0);
    CHECK_EQ(FRAME_EIP, 0);
    RUN(0, 0xfb); /* sti */
    CHECK_TRAP(VEC_GP, 0);
    RUN(0, 0x9c); /* pushf */
    CHECK_TRAP(VEC_GP, 0);
    RUN(0, 0x9d); /* popf */
    CHECK_TRAP(VEC_GP, 0);
    RUN(0, 0xcd, 0x80); /* int n */
    CHECK_TRAP(VEC_GP, 0);
    RUN(0, 0xcf); /* iret */
    CHECK_TRAP(VEC_GP, 0);
    RUN(0, 0xcc); /* int3 is not guarded, but its gate's DPL is */
    CHECK_TRAP(VEC_BP, 0);
    CHECK_EQ(FRAME_EIP, 1);
    RUN(IOPL3, 0xcd, 0x80);
    CHECK_TRAP(VEC_LEAVE, 0);
    RUN(IOPL3, 0xfa, 0xfb, 0x9c, 0x9d, 0xfa, 0xcd, 0x80);
    CHECK_TRAP(VEC_LEAVE, 0);
    RUN(IOPL3, 0xf4); /* hlt is never allowed */
    CHECK_TRAP(VEC_GP, 0);
    RUN(IOPL3, 0x0f, 0x20, 0xc0); /* mov eax, cr0 */
    CHECK_TRAP(VEC_GP, 0);
    RUN(IOPL3, 0x0f, 0x00, 0xc8); /* str ax: no such instruction here */
    CHECK_TRAP(VEC_UD, 0);
    RUN(IOPL3, 0x63, 0xc0); /* arpl */
    CHECK_TRAP(VEC_UD, 0);
}

/* POPF with IOPL 3 changes IF but neither IOPL nor VM. */
static void flags(void)
{
    RUN(IOPL3, 0x68, 0x00, 0x02, /* push 0200 */ 0x9d, /* popf */ 0xcd, 0x80);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK(FRAME_FLAGS & FLAG_IF);
    CHECK_EQ(FRAME_FLAGS & 0x3000, 0x3000);
    CHECK(FRAME_FLAGS & FLAG_VM);
}

/* The I/O bitmap alone decides about ports, whatever IOPL is. */
static void ports(void)
{
    RUN(IOPL3, 0xe4, 0x80, 0xcd, 0x80); /* in al, 80 */
    CHECK_TRAP(VEC_GP, 0);
    tss.iomap = offsetof(struct tss, bitmap);
    tss.bitmap[0x80 / 8] = 0;
    tss.bitmap[0x80 / 8 + 1] = 0;
    gdt[SEL_TSS / 8] = descriptor((uint32_t)&tss, sizeof(tss) - 1, 0x89, 0);
    asm volatile("ltr %w0" : : "r"(SEL_TSS));
    RUN(IOPL3, 0xe4, 0x80, 0xcd, 0x80);
    CHECK_TRAP(VEC_LEAVE, 0);
    tss.bitmap[0x80 / 8] = 2;
    RUN(IOPL3, 0xe4, 0x80, 0xcd, 0x80);
    CHECK_TRAP(VEC_LEAVE, 0);
    RUN(IOPL3, 0xe5, 0x80, 0xcd, 0x80); /* in ax, 80 needs the bit of 81 too */
    CHECK_TRAP(VEC_GP, 0);
    tss.bitmap[0x80 / 8] = 0;
}

static void limits(void)
{
    RUN(IOPL3, 0x66, 0xb8, 0x00, 0x00, 0x01, 0x00, /* mov eax, 10000 */
        0x67, 0x8a, 0x00 /* mov al, [eax] */);
    CHECK_TRAP(VEC_GP, 0);
    RUN(IOPL3, 0xa1, 0xff, 0xff); /* mov ax, [ffff] */
    CHECK_TRAP(VEC_GP, 0);
}

void test_main(void)
{
    test("frame", frame);
    test("addressing", addressing);
    test("guarded", guarded);
    test("flags", flags);
    test("ports", ports);
    test("limits", limits);
}
