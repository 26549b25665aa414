/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Task switches and call gates: SDM vol. 3, chapter 8, and 5.8.
 *
 * QEMU's TCG (7.2) loses CF when a far CALL switches tasks.
 */
#include "lib/kernel.h"

enum {
    SEL_TASK = SEL_FREE,
    SEL_TASK_GATE = SEL_FREE + 8,
    SEL_CALL_GATE = SEL_FREE + 16,
    SEL_TASK2 = SEL_FREE + 24,
    SEL_LDT = SEL_FREE + 32,
    SEL_RING1_CODE = SEL_FREE + 40,
    SEL_RING1_DATA = SEL_FREE + 48
};

static struct tss task;
static uint8_t task_stack[4096] __attribute__((aligned(16)));
static volatile uint32_t task_runs, task_link, task_flags, task_tr, task_cr0;

static uint16_t str(void)
{
    uint16_t tr;
    asm volatile("str %0" : "=r"(tr));
    return tr;
}

static bool busy(uint16_t selector)
{
    return gdt[selector / 8] >> 41 & 1;
}

static void task_setup(void (*entry)(void))
{
    memset(&task, 0, offsetof(struct tss, bitmap));
    task.cs = SEL_CODE;
    task.ss = task.ds = task.es = task.fs = task.gs = SEL_DATA;
    task.esp = (uint32_t)(task_stack + sizeof(task_stack));
    task.eip = (uint32_t)entry;
    task.eflags = 2;
    task.cr3 = cr3_get();
    task.iomap = sizeof(task);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x67, 0x89, 0);
    gdt[SEL_TASK_GATE / 8] = (uint64_t)SEL_TASK << 16 | 0x0000850000000000ULL;
}

/* Entered by CALL or an interrupt; IRET goes back, and the next switch resumes behind it. */
static void __attribute__((naked)) nested_task(void)
{
    asm volatile("1: incl task_runs\n\t"
                 "pushf; popl task_flags\n\t"
                 "str %ax; movzwl %ax, %eax; movl %eax, task_tr\n\t"
                 "movl %cr0, %eax; movl %eax, task_cr0\n\t"
                 "iret\n\t"
                 "jmp 1b");
}

static void call_and_return(void)
{
    uint32_t flags;

    task_setup(nested_task);
    task_runs = 0;
    TRY("movl $0x11223344, %%ebx; stc; lcall %1, $0; pushf; popl %0; cmpl $0x11223344, %%ebx; je "
        "1f; ud2; 1:",
        : "=m"(flags)
        : "i"(SEL_TASK)
        : "ebx", "cc");
    CHECK_NO_TRAP();
    CHECK_EQ(task_runs, 1);
    CHECK(flags & FLAG_CF);
    CHECK(!(flags & FLAG_NT));
    CHECK(task_flags & FLAG_NT);
    CHECK_EQ(task_tr, SEL_TASK);
    CHECK(task_cr0 & CR0_TS);
    CHECK_EQ(task.link, SEL_TSS);
    CHECK_EQ(str(), SEL_TSS);
    CHECK(busy(SEL_TSS));
    CHECK(!busy(SEL_TASK));
    CHECK(cr0_get() & CR0_TS);
    asm volatile("clts");
    /* The state of the nested task was saved: it goes on behind its IRET. */
    TRY("lcall %0, $0", : : "i"(SEL_TASK_GATE));
    CHECK_NO_TRAP();
    CHECK_EQ(task_runs, 2);
    asm volatile("clts");
    /* The offset of the far pointer is ignored; NT of the outgoing task is kept. */
    TRY("lcall %0, $0x12345678", : : "i"(SEL_TASK));
    CHECK_EQ(task_runs, 3);
    asm volatile("clts");
}

static void by_interrupt(void)
{
    task_setup(nested_task);
    task_runs = 0;
    idt[0x40] = (struct gate){.selector = SEL_TASK, .attr = 0x85};
    TRY("int $0x40", );
    CHECK_NO_TRAP();
    CHECK_EQ(task_runs, 1);
    CHECK(!busy(SEL_TASK));
    idt[0x40].attr = 0x05;
    TRY("int $0x40", );
    CHECK_TRAP(VEC_NP, 0x40 * 8 + 2);
    gate_set(0x40, (word)trap_stubs[0x40], SEL_CODE, 0x8e);
    asm volatile("clts");
}

static volatile uint32_t error_seen;

/* A fault through a task gate pushes its error code on the new task's stack. */
static void __attribute__((naked)) fault_task(void)
{
    asm volatile("1: incl task_runs\n\t"
                 "popl error_seen\n\t"
                 "movl trap_resume, %eax\n\t"
                 "movl %eax, tss+32\n\t" /* EIP of the interrupted task */
                 "iret\n\t"
                 "jmp 1b");
}

static void fault_by_gate(void)
{
    task_setup(fault_task);
    task_runs = 0;
    error_seen = 0;
    idt[VEC_GP] = (struct gate){.selector = SEL_TASK, .attr = 0x85};
    TRY("movw $0x1238, %%ax; movw %%ax, %%es", : : : "eax");
    gate_set(VEC_GP, (word)trap_stubs[VEC_GP], SEL_CODE, 0x8e);
    asm volatile("clts");
    CHECK_EQ(task_runs, 1);
    CHECK_EQ(error_seen, 0x1238);
}

static void __attribute__((naked)) jump_back(void)
{
    asm volatile("1: incl task_runs\n\t"
                 "pushf; popl task_flags\n\t"
                 "ljmp $0x28, $0\n\t"
                 "jmp 1b");
}

static void jump(void)
{
    task_setup(jump_back);
    task_runs = 0;
    TRY("ljmp %0, $0", : : "i"(SEL_TASK));
    CHECK_NO_TRAP();
    CHECK_EQ(task_runs, 1);
    CHECK(!(task_flags & FLAG_NT));
    CHECK(!busy(SEL_TASK));
    CHECK(busy(SEL_TSS));
    asm volatile("clts");
}

static void errors(void)
{
    task_setup(nested_task);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x67, 0x8b, 0); /* busy */
    TRY("lcall %0, $0", : : "i"(SEL_TASK));
    CHECK_TRAP(VEC_GP, SEL_TASK);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x67, 0x09, 0); /* not present */
    TRY("lcall %0, $0", : : "i"(SEL_TASK));
    CHECK_TRAP(VEC_NP, SEL_TASK);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x66, 0x89, 0); /* too small */
    TRY("lcall %0, $0", : : "i"(SEL_TASK));
    CHECK_TRAP(VEC_TS, SEL_TASK);
    gdt[SEL_TASK / 8] = descriptor((uint32_t)&task, 0x67, 0x89, 0);
    gdt[SEL_TASK_GATE / 8] = (uint64_t)SEL_DATA << 16 | 0x0000850000000000ULL;
    TRY("lcall %0, $0", : : "i"(SEL_TASK_GATE));
    CHECK_TRAP(VEC_GP, SEL_DATA);
    /* NT set, and the link leads to a task that is not busy. */
    tss.link = SEL_TASK;
    TRY("pushf; orl $0x4000, (%%esp); popf; iret", : : : "cc");
    CHECK_TRAP(VEC_TS, SEL_TASK);
}

static volatile uint32_t gate_args[2], gate_cs;

/* Called through a gate with two parameters, from ring 3. */
static void __attribute__((naked)) gate_target(void)
{
    asm volatile("movl 8(%esp), %eax\n\t"
                 "movl %eax, gate_args\n\t"
                 "movl 12(%esp), %eax\n\t"
                 "movl %eax, gate_args+4\n\t"
                 "movl %cs, %eax\n\t"
                 "movl %eax, gate_cs\n\t"
                 "lret $8");
}

static void user_call_gate(void)
{
    uint32_t before, after;

    asm volatile("movl %%esp, %0\n\t"
                 "pushl $0x2222\n\t"
                 "pushl $0x1111\n\t"
                 "lcall %2, $0\n\t"
                 "movl %%esp, %1"
                 : "=&r"(before), "=&r"(after)
                 : "i"(SEL_CALL_GATE | 3)
                 : "eax", "memory");
    if (before == after)
        USER_LEAVE();
    asm volatile("ud2");
}

static void user_far_jump_gate(void)
{
    asm volatile("ljmp %0, $0" : : "i"(SEL_CALL_GATE | 3));
}

static void call_gates(void)
{
    uint32_t target = (uint32_t)gate_target;

    gdt[SEL_CALL_GATE / 8] = (target & 0xffff) | (uint64_t)SEL_CODE << 16 | 0x0000ec0200000000ULL |
                             (uint64_t)(target >> 16) << 48;
    gate_args[0] = gate_args[1] = 0;
    user_run(user_call_gate);
    CHECK_TRAP(VEC_LEAVE, 0);
    CHECK_EQ(gate_args[0], 0x1111);
    CHECK_EQ(gate_args[1], 0x2222);
    CHECK_EQ(gate_cs, SEL_CODE);
    user_run(user_far_jump_gate); /* JMP does not change the privilege level */
    CHECK_TRAP(VEC_GP, SEL_CODE);
    gdt[SEL_CALL_GATE / 8] &= ~0x0000600000000000ULL; /* DPL 0 */
    user_run(user_call_gate);
    CHECK_TRAP(VEC_GP, SEL_CALL_GATE);
    gdt[SEL_CALL_GATE / 8] |= 0x0000600000000000ULL;
    gdt[SEL_CALL_GATE / 8] &= ~0x0000800000000000ULL;
    user_run(user_call_gate);
    CHECK_TRAP(VEC_NP, SEL_CALL_GATE);
    gdt[SEL_CALL_GATE / 8] |= 0x0000800000000000ULL;
}

static void inspect(void)
{
    uint32_t limit, rights;
    bool zf;

    gdt[SEL_FREE / 8] = descriptor(0, 0x12345, 0x92, 0x8);
    asm volatile("lsl %2, %0; setz %1" : "=r"(limit), "=q"(zf) : "r"(SEL_FREE));
    CHECK(zf);
    CHECK_EQ(limit, 0x12345fff);
    asm volatile("lar %2, %0; setz %1" : "=r"(rights), "=q"(zf) : "r"(SEL_FREE));
    CHECK(zf);
    CHECK_EQ(rights & 0xf0ff00, 0x809200);
    asm volatile("lar %2, %0; setz %1" : "=r"(rights), "=q"(zf) : "r"(0x1ff8));
    CHECK(!zf);
    asm volatile("verw %w1; setz %0" : "=q"(zf) : "r"(SEL_FREE));
    CHECK(zf);
    asm volatile("verw %w1; setz %0" : "=q"(zf) : "r"(SEL_CODE));
    CHECK(!zf);
    asm volatile("verr %w1; setz %0" : "=q"(zf) : "r"(SEL_CODE));
    CHECK(zf);
    gdt[SEL_FREE / 8] = descriptor(0, 0, 0x8e, 0); /* an interrupt gate has no rights to show */
    asm volatile("lar %2, %0; setz %1" : "=r"(rights), "=q"(zf) : "r"(SEL_FREE));
    CHECK(!zf);
    asm volatile("arpl %w2, %w0; setz %1" : "=r"(rights), "=q"(zf) : "r"(3), "0"(0x10));
    CHECK(zf);
    CHECK_EQ(rights & 0xffff, 0x13);
    asm volatile("arpl %w2, %w0; setz %1" : "=r"(rights), "=q"(zf) : "r"(1), "0"(0x12));
    CHECK(!zf);
}

static void local_table(void)
{
    static uint64_t ldt[2];
    uint16_t sel;
    uint32_t value;

    ldt[1] = descriptor((uint32_t)&task_runs, 3, 0x92, 4);
    gdt[SEL_LDT / 8] = descriptor((uint32_t)ldt, sizeof(ldt) - 1, 0x82, 0);
    asm volatile("lldt %w0" : : "r"(SEL_LDT));
    asm volatile("sldt %0" : "=r"(sel));
    CHECK_EQ(sel, SEL_LDT);
    task_runs = 0x5a5a;
    TRY("movl $0x0c, %%eax; movw %%ax, %%gs; movl %%gs:0, %0", : "=r"(value) : : "eax");
    CHECK_NO_TRAP();
    CHECK_EQ(value, 0x5a5a);
    CHECK(ldt[1] >> 40 & 1); /* accessed */
    TRY("movl $0x14, %%eax; movw %%ax, %%gs", : : : "eax");
    CHECK_TRAP(VEC_GP, 0x14);
    asm volatile("movw %w0, %%gs; lldt %w1" : : "r"(SEL_DATA), "r"(0));
}

void test_main(void)
{
    test("call-and-return", call_and_return);
    test("task-by-interrupt", by_interrupt);
    test("fault-by-task-gate", fault_by_gate);
    test("jump", jump);
    test("task-errors", errors);
    test("call-gates", call_gates);
    test("inspect", inspect);
    test("local-table", local_table);
}
