/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions and fast system calls of 64-bit mode: SDM vol. 3, 5.8.7, 5.8.8, 6.14; vol. 2,
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS.
 *
 * QEMU's TCG (7.2) does not check MSRs and descriptor tables for canonical addresses, and faults
 * SYSRET's non-canonical target at the target.
 */
#include "lib/kernel.h"

#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SFMASK 0xc0000084u
#define MSR_FS_BASE 0xc0000100u
#define MSR_GS_BASE 0xc0000101u
#define MSR_KERNEL_GS 0xc0000102u
#define NON_CANONICAL 0x800000000000ULL

static volatile uint64_t seen_rcx, seen_r11, seen_rflags, seen_cs, seen_ss;

/* Entered by SYSCALL on the user's stack: record, and go back with SYSRET. */
static void __attribute__((naked)) syscall_entry(void)
{
    asm volatile("movq %rcx, seen_rcx\n\t"
                 "movq %r11, seen_r11\n\t"
                 "pushfq; popq seen_rflags\n\t"
                 "movl %cs, %eax; movq %rax, seen_cs\n\t"
                 "movl %ss, %eax; movq %rax, seen_ss\n\t"
                 "sysretq");
}

static volatile uint64_t user_result, user_cs, user_ss, user_flags;

static void user_syscall(void)
{
    uint64_t flags;

    asm volatile("stc; syscall\n\t"
                 "pushfq; popq %0"
                 : "=r"(flags)
                 :
                 : "rcx", "r11", "rax", "cc", "memory");
    user_flags = flags;
    asm volatile("movl %%cs, %%eax; movq %%rax, %0" : "=m"(user_cs) : : "rax");
    asm volatile("movl %%ss, %%eax; movq %%rax, %0" : "=m"(user_ss) : : "rax");
    user_result = 0x600d;
    USER_LEAVE();
}

static void syscalls(void)
{
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_STAR, (uint64_t)(SEL_UCODE32) << 48 | (uint64_t)SEL_CODE << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    wrmsr(MSR_SFMASK, FLAG_IF | FLAG_DF | FLAG_CF);
    user_result = 0;
    user_run(user_syscall);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(user_result, 0x600d);
    CHECK(seen_r11 & FLAG_CF);
    CHECK(!(seen_rflags & FLAG_CF));
    CHECK_EQ(seen_cs, SEL_CODE);
    CHECK_EQ(seen_ss, SEL_DATA);
    CHECK_EQ(user_cs, SEL_UCODE);
    CHECK_EQ(user_ss, SEL_UDATA);
    CHECK(user_flags & FLAG_CF);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
    user_run(user_syscall);
    CHECK_TRAP(VEC_UD, 0);
    TRY("sysretq", );
    CHECK_TRAP(VEC_UD, 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
}

static volatile uint64_t entered[2], again_flags[8];

#define COUNTING_ENTRY(n)                                                                          \
    static void __attribute__((naked)) counting_entry_##n(void)                                    \
    {                                                                                              \
        asm volatile("pushfq; popq seen_rflags\n\t"                                                \
                     "incq entered + 8 * " #n "\n\t"                                               \
                     "movq %r11, seen_r11\n\t"                                                     \
                     "movl %cs, %eax; movq %rax, seen_cs\n\t"                                      \
                     "sysretq");                                                                   \
    }
COUNTING_ENTRY(0)
COUNTING_ENTRY(1)

/* Several times, as programs do, with other flags each time. */
static void user_again(void)
{
    for (unsigned n = 0; n < 8; n++) {
        uint64_t flags = n & 1 ? FLAG_CF | FLAG_OF : n & 2 ? FLAG_ZF | FLAG_SF : FLAG_AF | FLAG_PF;
        asm volatile("pushfq; andq %2, (%%rsp); orq %1, (%%rsp); popfq\n\t"
                     "syscall\n\t"
                     "pushfq; popq %0"
                     : "=r"(again_flags[n])
                     : "r"(flags), "i"(~0x8d5)
                     : "rcx", "r11", "rax", "cc", "memory");
        again_flags[n] = (again_flags[n] & 0x8d5) == flags;
    }
    USER_LEAVE();
}

static void run_again(uint64_t mask, uint64_t *ret_entered)
{
    uint64_t before[2] = {entered[0], entered[1]};

    wrmsr(MSR_SFMASK, mask);
    user_run(user_again);
    CHECK_TRAP(VEC_LEAVE, 0);
    for (unsigned n = 0; n < 8; n++)
        CHECK_EQ(again_flags[n], 1);
    CHECK_EQ(seen_cs, SEL_CODE);
    CHECK_EQ(seen_r11 & 0x8d5, FLAG_CF | FLAG_OF);
    CHECK_EQ(seen_rflags & 0x8d5, (FLAG_CF | FLAG_OF) & ~mask);
    for (unsigned n = 0; n < 2; n++)
        ret_entered[n] = entered[n] - before[n];
}

/* What one system call was like does not tell what the next one is. */
static void syscalls_again(void)
{
    const uint64_t usual = FLAG_IF | FLAG_DF | FLAG_TF | FLAG_AC;
    uint64_t count[2];

    wrmsr(MSR_LSTAR, (uint64_t)counting_entry_0);
    run_again(usual | FLAG_CF | FLAG_OF | FLAG_ZF | FLAG_SF | FLAG_AF | FLAG_PF, count);
    CHECK(count[0] == 8 && count[1] == 0);
    run_again(usual, count);
    CHECK(count[0] == 8 && count[1] == 0);
    wrmsr(MSR_LSTAR, (uint64_t)counting_entry_1);
    run_again(usual | FLAG_OF, count);
    CHECK(count[0] == 0 && count[1] == 8);
    run_again(FLAG_CF, count); /* TF and AC stay as they are */
    CHECK(count[0] == 0 && count[1] == 8);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~(uint64_t)EFER_SCE);
    user_run(user_again);
    CHECK_TRAP(VEC_UD, 0);
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_entry);
    wrmsr(MSR_SFMASK, FLAG_IF | FLAG_DF | FLAG_CF);
}

/* Entered by SYSCALL of 32-bit code: record, and go back with SYSRET. */
static void __attribute__((naked)) compat_entry(void)
{
    asm volatile("movl %ecx, %edx\n\t"
                 "movl %cs, %eax; movq %rax, seen_cs\n\t"
                 "movl %edx, %ecx\n\t"
                 "sysretl");
}

/* To 32-bit code and back, with a SYSCALL there. */
static void user_compat(void)
{
    asm volatile("pushq %0; pushq $1f; lretq\n\t"
                 ".code32\n"
                 "1: syscall\n\t"
                 "movl %%cs, %%edx\n\t"
                 "ljmp %1, $2f\n\t"
                 ".code64\n"
                 "2: movq %%rdx, user_cs"
                 :
                 : "i"(SEL_UCODE32), "i"(SEL_UCODE)
                 : "rax", "rcx", "rdx", "r11", "cc", "memory");
    USER_LEAVE();
}

/* SYSCALL outside 64-bit mode is AMD's (APM vol. 3); Intel has it nowhere else (SDM vol. 2). */
static void compatibility(void)
{
    wrmsr(MSR_CSTAR, (uint64_t)compat_entry);
    seen_cs = user_cs = 0;
    user_run(user_compat);
    if (!is_amd()) {
        CHECK_TRAP(VEC_UD, 0);
        return;
    }
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(seen_cs, SEL_CODE);
    CHECK_EQ(user_cs, SEL_UCODE32);
}

static volatile uint64_t step_ip, steps, step_from;

static bool on_step(struct trap_frame *frame)
{
    step_ip = frame->ip;
    steps++;
    frame->flags &= ~(word)FLAG_TF;
    return true;
}

/* SYSCALL here masks TF; SYSRET brings it back and traps at once, before another instruction. */
static void user_stepped(void)
{
    asm volatile("leaq 1f(%%rip), %%rax; movq %%rax, step_from\n\t"
                 "pushfq; orq %0, (%%rsp); popfq\n\t"
                 "syscall\n"
                 "1: nop"
                 :
                 : "i"(FLAG_TF)
                 : "rax", "rcx", "r11", "cc", "memory");
    USER_LEAVE();
}

static void single_step(void)
{
    wrmsr(MSR_SFMASK, FLAG_TF | FLAG_IF | FLAG_DF | FLAG_CF);
    steps = 0;
    trap_handle(VEC_DB, on_step);
    user_run(user_stepped);
    trap_handle(VEC_DB, NULL);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(steps, 1);
    CHECK_EQ(step_ip, step_from);
}

static void user_sysret(void)
{
    asm volatile("sysretq");
}

static void user_wrmsr(void)
{
    wrmsr(MSR_LSTAR, 0);
}

static void user_swapgs(void)
{
    asm volatile("swapgs");
}

static void privileges(void)
{
    user_run(user_sysret);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_wrmsr);
    CHECK_TRAP(VEC_GP, 0);
    user_run(user_swapgs);
    CHECK_TRAP(VEC_GP, 0);
}

/* SYSENTER to a stub that leaves by SYSEXIT: RDX is the new RIP, RCX the new RSP. */
static void __attribute__((naked)) sysenter_entry(void)
{
    asm volatile("movl %cs, %eax; movq %rax, seen_cs\n\t"
                 "movl %ss, %eax; movq %rax, seen_ss\n\t"
                 "rex.w sysexit");
}

static void user_sysenter(void)
{
    asm volatile("leaq 1f(%%rip), %%rdx; movq %%rsp, %%rcx; sysenter; 1:"
                 :
                 :
                 : "rcx", "rdx", "rax", "memory");
    asm volatile("movl %%cs, %%eax; movq %%rax, %0" : "=m"(user_cs) : : "rax");
    USER_LEAVE();
}

static void sysenters(void)
{
    uint64_t code = descriptor(0, 0xfffff, 0x9a, 0xa);

    /* CS, SS = CS + 8 for SYSENTER; + 32 and + 40, with RPL 3, for a 64-bit SYSEXIT. */
    gdt[0x80 / 8] = code;
    gdt[0x88 / 8] = descriptor(0, 0xfffff, 0x92, 0xc);
    gdt[0xa0 / 8] = descriptor(0, 0xfffff, 0xfa, 0xa);
    gdt[0xa8 / 8] = descriptor(0, 0xfffff, 0xf2, 0xc);
    wrmsr(0x174, 0);
    user_run(user_sysenter);
    if (is_amd()) { /* which has it in legacy mode alone */
        CHECK_TRAP(VEC_UD, 0);
        return;
    }
    CHECK_TRAP(VEC_GP, 0);
    wrmsr(0x174, 0x80);
    wrmsr(0x175, (uint64_t)trap_stack_top - 4096);
    wrmsr(0x176, (uint64_t)sysenter_entry);
    user_run(user_sysenter);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(seen_cs, 0x80);
    CHECK_EQ(seen_ss, 0x88);
    CHECK_EQ(user_cs, 0xa3);
}

static void gs_bases(void)
{
    static uint64_t one = 0x1111, two = 0x2222;
    uint64_t v;

    wrmsr(MSR_GS_BASE, (uint64_t)&one);
    wrmsr(MSR_KERNEL_GS, (uint64_t)&two);
    asm volatile("movq %%gs:0, %0" : "=r"(v));
    CHECK_EQ(v, 0x1111);
    asm volatile("swapgs; movq %%gs:0, %0" : "=r"(v));
    CHECK_EQ(v, 0x2222);
    CHECK_EQ(rdmsr(MSR_GS_BASE), (uint64_t)&two);
    asm volatile("swapgs");
    /* A load of FS with a selector sets the base from the descriptor. */
    wrmsr(MSR_FS_BASE, 0x12345678);
    asm volatile("movw %w0, %%fs" : : "r"(SEL_DATA));
    CHECK_EQ(rdmsr(MSR_FS_BASE), 0);
    /* Only FS and GS have a base here; DS and SS do not. */
    gdt[0xb0 / 8] = descriptor(0x1000, 0xfffff, 0x92, 0xc);
    asm volatile("movw %w0, %%ds" : : "r"(0xb0));
    v = one;
    asm volatile("movw %w0, %%ds" : : "r"(SEL_DATA));
    CHECK_EQ(v, 0x1111);
    if (has_cpuid_bit(7, 1, 0)) {
        TRY("rdfsbase %%rax", : : : "rax");
        CHECK_TRAP(VEC_UD, 0);
        cr4_set(cr4_get() | CR4_FSGSBASE);
        TRY("wrfsbase %0", : : "r"((uint64_t)&two));
        CHECK_NO_TRAP();
        asm volatile("movq %%fs:0, %0" : "=r"(v));
        CHECK_EQ(v, 0x2222);
        TRY("wrgsbase %0", : : "r"(NON_CANONICAL));
        CHECK_TRAP(VEC_GP, 0);
    }
}

/* Faults of 64-bit mode have SS and RSP on the stack always, and the stack is aligned. */
static void exceptions(void)
{
    TRY("movq %0, %%rax; movq (%%rax), %%rax", : : "r"(NON_CANONICAL) : "rax");
    CHECK_TRAP(VEC_GP, 0);
}

static void stack_fault(void)
{
    /* Through RBP the fault is #SS; it is put back from RDX. */
    trap_expect();
    asm volatile("movq %%rbp, %%rdx; movq $1f, trap_resume; movq %0, %%rbp; movq (%%rbp), %%rax;"
                 "1: movq %%rdx, %%rbp; movq $0, trap_resume"
                 :
                 : "r"(NON_CANONICAL)
                 : "rax", "rdx", "memory");
    CHECK_TRAP(VEC_SS, 0);
}

static void removed(void)
{
    TRY(".byte 0x06", ); /* PUSH ES */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0x37", ); /* AAA */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0xce", ); /* INTO */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0x9a, 0, 0, 0, 0, 0, 0", ); /* CALL ptr */
    CHECK_TRAP(VEC_UD, 0);
    TRY(".byte 0xd6", ); /* SALC */
    CHECK_TRAP(VEC_UD, 0);
    TRY("movq %0, %%cr8", : : "r"(0ULL));
    CHECK_NO_TRAP();
    TRY("movq %0, %%cr8", : : "r"(16ULL));
    CHECK_TRAP(VEC_GP, 0);
    TRY("movq %0, %%cr0", : : "r"(cr0_get() & ~(word)CR0_PG)); /* not from 64-bit code */
    CHECK_TRAP(VEC_GP, 0);
    TRY("movq %0, %%cr4", : : "r"(cr4_get() & ~(word)CR4_PAE));
    CHECK_TRAP(VEC_GP, 0);
}

static uint8_t ist_stack[4096] __attribute__((aligned(16)));
static volatile uint64_t ist_rsp, old_rsp;

static bool on_ist(struct trap_frame *frame)
{
    ist_rsp = (uint64_t)frame;
    old_rsp = frame->sp;
    return true;
}

static void interrupt_stacks(void)
{
    uint64_t rsp;

    trap_handle(0x45, on_ist);
    tss.ist[0] = (uint64_t)(ist_stack + sizeof(ist_stack) - 8); /* is aligned down to 16 */
    idt[0x45].ist = 1;
    asm volatile("movq %%rsp, %0; int $0x45" : "=r"(rsp) : : "memory");
    idt[0x45].ist = 0;
    CHECK(ist_rsp > (uint64_t)ist_stack && ist_rsp < (uint64_t)ist_stack + sizeof(ist_stack));
    CHECK_EQ(ist_rsp + sizeof(struct trap_frame), (uint64_t)ist_stack + sizeof(ist_stack) - 16);
    CHECK_EQ(old_rsp, rsp);
    /* Without IST the frame is put on a 16-byte boundary. */
    asm volatile("subq $8, %%rsp; int $0x45; addq $8, %%rsp" : : : "memory", "cc");
    CHECK_EQ((ist_rsp + sizeof(struct trap_frame)) & 15, 0);
    trap_handle(0x45, NULL);
}

static void canonical_registers(void)
{
    struct table_pointer bad = {0xff, NON_CANONICAL};

    TRY("wrmsr", : : "c"(MSR_LSTAR), "a"(0), "d"(0x8000));
    CHECK_TRAP(VEC_GP, 0);
    TRY("wrmsr", : : "c"(MSR_KERNEL_GS), "a"(0), "d"(0x8000));
    CHECK_TRAP(VEC_GP, 0);
    TRY("lgdt %0", : : "m"(bad));
    CHECK_TRAP(VEC_GP, 0);
    TRY("lidt %0", : : "m"(bad));
    CHECK_TRAP(VEC_GP, 0);
    TRY("wrmsr", : : "c"(MSR_EFER), "a"((uint32_t)rdmsr(MSR_EFER) | 0x2), "d"(0));
    CHECK_TRAP(VEC_GP, 0);
    TRY("wrmsr", : : "c"(MSR_EFER), "a"((uint32_t)rdmsr(MSR_EFER) & ~(uint32_t)EFER_LME), "d"(0));
    CHECK_TRAP(VEC_GP, 0); /* LME cannot change while paging is on */
}

void test_main(void)
{
    test("syscall", syscalls);
    test("syscall-again", syscalls_again);
    test("compatibility", compatibility);
    test("single-step", single_step);
    test("privileges", privileges);
    test("sysenter", sysenters);
    test("gs-bases", gs_bases);
    test("exceptions", exceptions);
    test("stack-fault", stack_fault);
    test("removed", removed);
    test("interrupt-stacks", interrupt_stacks);
    test("canonical-registers", canonical_registers);
}
