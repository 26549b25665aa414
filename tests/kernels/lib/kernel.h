/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a test kernel has: output on the first serial port, an end by port 0xf4, traps that it can
 * expect, and descriptor tables that it can change. A kernel defines test_main(), which calls
 * test() and CHECK(); everything is in one address space without protection against itself.
 *
 * Numbers of sections are those of the Intel SDM, volume 3, unless another volume is named.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
typedef uint64_t word;
#define WORD_PUSH "q"
#else
typedef uint32_t word;
#define WORD_PUSH "l"
#endif

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum {
    SEL_CODE = 0x08,
    SEL_DATA = 0x10,
    SEL_UDATA = 0x23,
#ifdef __x86_64__
    SEL_UCODE32 = 0x1b,
    SEL_UCODE = 0x2b,
    SEL_TSS = 0x30,
    SEL_CODE32 = 0x40,
    SEL_FREE = 0x48,
#else
    SEL_UCODE = 0x1b,
    SEL_TSS = 0x28,
    SEL_CODE16 = 0x30,
    SEL_DATA16 = 0x38,
    SEL_FREE = 0x40,
#endif
};

enum {
    VEC_DE = 0,
    VEC_DB = 1,
    VEC_NMI = 2,
    VEC_BP = 3,
    VEC_OF = 4,
    VEC_BR = 5,
    VEC_UD = 6,
    VEC_NM = 7,
    VEC_DF = 8,
    VEC_TS = 10,
    VEC_NP = 11,
    VEC_SS = 12,
    VEC_GP = 13,
    VEC_PF = 14,
    VEC_MF = 16,
    VEC_AC = 17,
    VEC_MC = 18,
    VEC_XM = 19,
    VEC_LEAVE = 0x80, /* ring 3 is done */
    VEC_NONE = -1,
};

enum {
    CR0_PE = 1,
    CR0_MP = 2,
    CR0_EM = 4,
    CR0_TS = 8,
    CR0_NE = 0x20,
    CR0_WP = 0x10000,
    CR0_AM = 0x40000
};
#define CR0_PG 0x80000000u
enum {
    CR4_VME = 1,
    CR4_TSD = 4,
    CR4_DE = 8,
    CR4_PSE = 0x10,
    CR4_PAE = 0x20,
    CR4_PGE = 0x80,
    CR4_OSFXSR = 0x200,
    CR4_OSXMMEXCPT = 0x400,
    CR4_UMIP = 0x800,
    CR4_FSGSBASE = 0x10000,
    CR4_PCIDE = 0x20000,
    CR4_OSXSAVE = 0x40000,
    CR4_SMEP = 0x100000,
    CR4_SMAP = 0x200000,
    CR4_PKE = 0x400000,
    CR4_PKS = 0x1000000
};
enum {
    FLAG_CF = 1,
    FLAG_PF = 4,
    FLAG_AF = 0x10,
    FLAG_ZF = 0x40,
    FLAG_SF = 0x80,
    FLAG_TF = 0x100,
    FLAG_IF = 0x200,
    FLAG_DF = 0x400,
    FLAG_OF = 0x800,
    FLAG_NT = 0x4000,
    FLAG_RF = 0x10000,
    FLAG_VM = 0x20000,
    FLAG_AC = 0x40000,
    FLAG_VIF = 0x80000,
    FLAG_VIP = 0x100000
};
#define MSR_EFER 0xc0000080u
enum { EFER_SCE = 1, EFER_LME = 0x100, EFER_LMA = 0x400, EFER_NXE = 0x800 };

struct trap_frame {
#ifdef __x86_64__
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
#else
    uint32_t gs, fs, es, ds, edi, esi, ebp, pushed_esp, ebx, edx, ecx, eax;
#endif
    word vector, error, ip, cs, flags;
    word sp, ss; /* 32-bit: only from another privilege level */
};

/* The last trap that nobody handled; vector VEC_NONE if none came since trap_expect(). */
struct trap {
    int vector;
    word error, ip, cs, flags, cr2;
    bool from_user;
    unsigned count;
};
extern struct trap last_trap;
extern word trap_resume; /* where to go on after the next trap; 0: it is a failure */
void trap_expect(void);

/*
 * TRY(instructions, constraints…): run them; a trap ends them early. Then look at last_trap.
 * The instructions must not move the stack pointer before the one that traps, nor jump away.
 */
#ifdef __x86_64__
#define TRY(code, ...)                                                                             \
    do {                                                                                           \
        trap_expect();                                                                             \
        asm volatile("movq $9f, trap_resume\n\t" code "\n\t"                                       \
                     "9: movq $0, trap_resume" __VA_ARGS__);                                       \
    } while (0)
#else
#define TRY(code, ...)                                                                             \
    do {                                                                                           \
        trap_expect();                                                                             \
        asm volatile("movl $9f, trap_resume\n\t" code "\n\t"                                       \
                     "9: movl $0, trap_resume" __VA_ARGS__);                                       \
    } while (0)
#endif

/* A handler of a vector: true when it has dealt with the trap (the frame may be changed). */
typedef bool trap_handler(struct trap_frame *frame);
void trap_handle(unsigned vector, trap_handler *handler);

/* Call function() in ring 3, until it traps or executes `int $0x80`; see last_trap. */
void user_run(void (*function)(void));
void user_enter(word ip, word sp, word flags);
void user_leave(void) __attribute__((noreturn));
#define USER_LEAVE() asm volatile("int $0x80")
#ifndef __x86_64__
/* Virtual-8086 mode at cs:ip with the given stack, until it traps; see v86_frame. */
struct v86_regs {
    uint16_t cs, ip, ss, sp, ds, es, fs, gs;
    uint32_t flags;
};
void v86_run(const struct v86_regs *regs);
extern uint32_t v86_frame[9]; /* EIP CS EFLAGS ESP SS ES DS FS GS as pushed by the last trap */
#endif

/* Run a group of checks; prints PASS or FAIL with its name. */
void test(const char *name, void (*function)(void));
void test_skip(const char *name, const char *why);
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            check_failed(__LINE__, #cond);                                                         \
    } while (0)
#define CHECK_TRAP(vec, err)                                                                       \
    do {                                                                                           \
        if (last_trap.vector != (int)(vec) || last_trap.error != (word)(err))                      \
            check_trap_failed(__LINE__, (int)(vec), (word)(err));                                  \
    } while (0)
#define CHECK_NO_TRAP() CHECK_TRAP(VEC_NONE, 0)
#define CHECK_EQ(a, b)                                                                             \
    do {                                                                                           \
        word check_a_ = (word)(a), check_b_ = (word)(b);                                           \
        if (check_a_ != check_b_)                                                                  \
            check_eq_failed(__LINE__, #a, check_a_, check_b_);                                     \
    } while (0)
void check_failed(int line, const char *what);
void check_trap_failed(int line, int vector, word error);
void check_eq_failed(int line, const char *what, word have, word want);
void finish(void) __attribute__((noreturn));
void print(const char *text);
void print_hex(word value);

/* To be written by each kernel. */
void test_main(void);

/* Descriptors. */
extern uint64_t gdt[256];
extern struct table_pointer {
    uint16_t limit;
    word base;
} __attribute__((packed)) gdt_pointer, idt_pointer;
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, attr;
    uint16_t offset_mid;
#ifdef __x86_64__
    uint32_t offset_high, zero;
#endif
};
extern struct gate idt[256];
extern uint8_t trap_stubs[256][16];
/* access: bits 40–47 of the descriptor; flags: bits 52–55 (G 8, D 4, L 2). */
uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags);
void gate_set(unsigned vector, word offset, uint16_t selector, uint8_t attr);

struct tss {
#ifdef __x86_64__
    uint32_t zero;
    uint64_t rsp[3], zero2, ist[7], zero3;
    uint16_t zero4, iomap;
#else
    uint16_t link, zero0;
    uint32_t esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi,
        edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
    uint8_t bitmap[8193];
#endif
} __attribute__((packed));
extern struct tss tss;
extern char trap_stack_top[];

/* Memory from image_end + some, page by page; never freed, zeroed. */
void *page_alloc(unsigned pages);
void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);

static inline void outb(uint16_t port, uint8_t v)
{
    asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;
    asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline void outl(uint16_t port, uint32_t v)
{
    asm volatile("outl %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;
    asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
    return v;
}

#define CONTROL_REGISTER(n)                                                                        \
    static inline word cr##n##_get(void)                                                           \
    {                                                                                              \
        word v;                                                                                    \
        asm volatile("mov %%cr" #n ", %0" : "=r"(v) : : "memory");                                 \
        return v;                                                                                  \
    }                                                                                              \
    static inline void cr##n##_set(word v)                                                         \
    {                                                                                              \
        asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                                     \
    }
CONTROL_REGISTER(0)
CONTROL_REGISTER(2)
CONTROL_REGISTER(3)
CONTROL_REGISTER(4)

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;
    asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    asm volatile("cpuid"
                 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
                 : "a"(leaf), "c"(subleaf));
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}

static inline word flags_get(void)
{
    word v;
    asm volatile("pushf; pop %0" : "=r"(v));
    return v;
}

static inline void sti(void)
{
    asm volatile("sti" : : : "memory");
}

static inline void cli(void)
{
    asm volatile("cli" : : : "memory");
}

static inline void invlpg(const void *p)
{
    asm volatile("invlpg (%0)" : : "r"(p) : "memory");
}

static inline bool has_cpuid_bit(uint32_t leaf, unsigned reg, unsigned bit)
{
    uint32_t r[4];
    cpuid(leaf & 0x80000000, 0, r);
    if (r[0] < leaf)
        return false;
    cpuid(leaf, 0, r);
    return r[reg] >> bit & 1;
}

static inline bool is_amd(void)
{
    uint32_t r[4];
    cpuid(0, 0, r);
    return r[1] == 0x68747541; /* "Auth" of AuthenticAMD */
}

/* Run by Linux' KVM, with what it does not do as the processor would? cpuid.rst. */
static inline bool is_kvm(void)
{
    uint32_t r[4];
    cpuid(0x40000000, 0, r);
    return r[1] == 0x4b4d564b && r[2] == 0x564b4d56 && r[3] == 0x4d; /* KVMKVMKVM */
}

#endif
