/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Everything at once, for as long as asked, in a guest with several processors:
 *
 *     stress SECONDS [COMMAND [KIND]]
 *
 * Each kind of work is a process of its own and knows what must come out; the first thing that
 * does not is said, and the status is 1. COMMAND is run again and again too, and must succeed. KIND
 * names one to be done alone.
 */
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096u

static struct timespec end;
static const char *command, *kind_now;

static int more(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec);
}

__attribute__((format(printf, 1, 2), noreturn)) static void wrong(const char *format, ...)
{
    va_list args;
    char text[256];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("stress: FAILED: %s: %s\n", kind_now, text);
    fflush(stdout);
    _exit(1);
}

static uint64_t number(uint64_t *seed)
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return *seed * 0x2545f4914f6cdd1dULL;
}

static void *map(size_t bytes, int protection)
{
    void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        wrong("mmap: %s", strerror(errno));
    return p;
}

static void handle(int signal_number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal_number, &action, NULL);
}

static pthread_t thread(void *(*run)(void *), void *arg)
{
    pthread_t t;
    if (pthread_create(&t, NULL, run, arg))
        wrong("no thread");
    return t;
}

/* ---- processes: copies of memory are apart, a program ends as it says ---- */

static void processes(uint64_t n)
{
    static uint64_t kept[3 * PAGE / 8];
    int status;
    for (unsigned i = 0; i < sizeof(kept) / 8; i++)
        kept[i] = n + i;
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < sizeof(kept) / 8; i++) {
            if (kept[i] != n + i)
                _exit(255);
            kept[i] = ~n;
        }
        char text[16];
        snprintf(text, sizeof(text), "%u", (unsigned)n % 100);
        if (n % 4 == 0)
            execl("/proc/self/exe", "stress", "end", text, NULL);
        _exit((int)(n % 100));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        wrong("fork: %s", strerror(errno));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != (int)(n % 100))
        wrong("a child ended with %#x, not %u", status, (unsigned)n % 100);
    for (unsigned i = 0; i < sizeof(kept) / 8; i++)
        if (kept[i] != n + i)
            wrong("a child wrote to its parent's memory");
}

/* ---- code that is written anew ---- */

static unsigned put_function(uint8_t *at, uint32_t value)
{
    at[0] = 0xb8; /* mov eax, value; ret */
    memcpy(at + 1, &value, 4);
    at[5] = 0xc3;
    return 6;
}

static void own_code(uint64_t n)
{
    static uint8_t *page;
    static uint64_t seed = 5;
    if (!page)
        page = map(2 * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (unsigned i = 0; i < 200; i++) {
        uint8_t *at = page + number(&seed) % (2 * PAGE - 32);
        uint32_t value = (uint32_t)(n * 1000 + i);
        put_function(at, value);
        uint32_t got = ((uint32_t(*)(void))at)();
        if (got != value)
            wrong("a function at %p returned %u, not %u", (void *)at, got, value);
        /* It overwrites the number of its own next instruction: mov [rip+1], edi first. */
        static const uint8_t own[] = {0x89, 0x3d, 1, 0, 0, 0};
        memcpy(at, own, sizeof(own));
        put_function(at + sizeof(own), value);
        got = ((uint32_t(*)(uint32_t))at)(value + 7);
        if (got != value + 7)
            wrong("code that changed itself returned %u, not %u", got, value + 7);
    }
}

/* One thread writes, the other runs it (SDM vol. 3, 9.1.3: cross-modifying code). */
static uint8_t *shared_code;
static _Atomic uint32_t written, taken;

__attribute__((noreturn)) static void *code_writer(void *arg)
{
    (void)arg;
    for (uint32_t value = 1;; value++) {
        ((_Atomic uint32_t *)shared_code)[1] = value;
        written = value;
        while (taken != value)
            sched_yield();
    }
}

static void others_code(uint64_t n)
{
    static uint32_t value;
    if (!shared_code) {
        shared_code = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
        put_function(shared_code + 3, 0); /* its number is aligned */
        thread(code_writer, NULL);
    }
    (void)n;
    for (unsigned i = 0; i < 20; i++) {
        uint32_t eax = 0, ecx = 0;
        value++;
        while (written != value)
            sched_yield();
        __asm__ volatile("cpuid" : "+a"(eax), "+c"(ecx) : : "rbx", "rdx", "memory");
        uint32_t got = ((uint32_t(*)(void))(shared_code + 3))();
        if (got != value)
            wrong("another thread's code returned %u, not %u", got, value);
        taken = value;
    }
}

/* ---- signals ---- */

static volatile unsigned ticks, faults;
static volatile double spoiled;

static void on_tick(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)info;
    (void)context;
    ticks++;
    spoiled = spoiled * 1.25 + (double)ticks; /* uses vector registers */
}

/* Pass over ud2, int3's end, or a division by zero (two bytes each but int3). */
static void on_fault(int s, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    (void)info;
    faults++;
    if (s != SIGTRAP)
        u->uc_mcontext.gregs[REG_RIP] += 2;
    u->uc_mcontext.gregs[REG_R10] = 0x1234;
}

static uint64_t mixed(double *ret_sum)
{
    uint64_t seed = 77, hash = 0;
    double sum = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t v = number(&seed);
        hash = (hash << 7 | hash >> 57) ^ v;
        sum += (double)(v >> 40) * 0.5;
    }
    *ret_sum = sum;
    return hash;
}

static void signals(uint64_t n)
{
    static uint64_t hash;
    static double sum;
    double now;
    if (n == 0) {
        static uint8_t stack[65536];
        stack_t alternative = {.ss_sp = stack, .ss_size = sizeof(stack)};
        struct itimerval timer = {{0, 1700}, {0, 1700}};
        sigaltstack(&alternative, NULL);
        handle(SIGALRM, on_tick, SA_ONSTACK | SA_RESTART);
        handle(SIGILL, on_fault, SA_ONSTACK);
        handle(SIGTRAP, on_fault, 0);
        handle(SIGFPE, on_fault, SA_ONSTACK);
        hash = mixed(&sum);
        setitimer(ITIMER_REAL, &timer, NULL);
    }
    if (mixed(&now) != hash || memcmp(&now, &sum, sizeof(now)) != 0)
        wrong("a signal changed what was reckoned: %g, not %g", now, sum);
    for (unsigned i = 0; i < 3; i++) {
        register uint64_t r10 __asm__("r10") = 0;
        unsigned before = faults;
        if (i == 0)
            __asm__ volatile("ud2" : "+r"(r10) : : "memory");
        else if (i == 1)
            __asm__ volatile("int3" : "+r"(r10) : : "memory");
        else
            __asm__ volatile("xor %%ecx, %%ecx; div %%ecx"
                             : "+r"(r10)
                             :
                             : "rax", "rcx", "rdx", "memory");
        if (faults != before + 1 || r10 != 0x1234)
            wrong("fault %u was seen %u times, r10 is %#lx", i, faults - before, r10);
    }
}

/* ---- floating point, its exceptions unmasked ---- */

static sigjmp_buf after_fault;

static void on_float(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)context;
    siglongjmp(after_fault, info->si_code);
}

static double divide(double a, double b)
{
    __asm__ volatile("divsd %1, %0" : "+x"(a) : "x"(b));
    return a;
}

static void divide_x87(void)
{
    double one = 1, zero = 0;
    __asm__ volatile("fldl %0; fdivl %1; fwait; fstp %%st(0)" : : "m"(one), "m"(zero));
}

static void divide_by_zero(int x87)
{
    feclearexcept(FE_ALL_EXCEPT);
    feenableexcept(FE_DIVBYZERO | FE_INVALID);
    int code = sigsetjmp(after_fault, 1);
    if (code == 0) {
        if (x87)
            divide_x87();
        else
            divide(1, 0);
        wrong("a division by zero raised nothing");
    }
    if (code != FPE_FLTDIV)
        wrong("a division by zero came as code %d", code);
    feclearexcept(FE_ALL_EXCEPT);
    fedisableexcept(FE_ALL_EXCEPT);
    __asm__ volatile("fninit");
}

static void floats(uint64_t n)
{
    static long double kept;
    static float kept_float;
    long double sum = 0;
    float small = 0;
    if (n == 0)
        handle(SIGFPE, on_float, SA_NODEFER);
    divide_by_zero(0);
    divide_by_zero(1);
    for (unsigned i = 1; i < 20000; i++) {
        sum += 1.0L / (long double)i;
        small += 1.0f / (float)i;
    }
    if (n == 0) {
        kept = sum;
        kept_float = small;
    }
    if (sum != kept || small != kept_float)
        wrong("sums are %.18Lg and %.9g, not %.18Lg and %.9g", sum, (double)small, kept,
              (double)kept_float);
}

/* ---- rights of pages that other processors have in their TLBs ---- */

static uint64_t *contended;
static _Atomic int allowed = 1;

static void on_protected(int s, siginfo_t *info, void *context)
{
    (void)s;
    (void)context;
    if ((uint8_t *)info->si_addr < (uint8_t *)contended ||
        (uint8_t *)info->si_addr >= (uint8_t *)contended + PAGE)
        wrong("SIGSEGV at %p", info->si_addr);
    while (!allowed)
        sched_yield();
}

__attribute__((noreturn)) static void *page_writer(void *arg)
{
    volatile uint64_t *at = contended + (uintptr_t)arg;
    for (uint64_t i = 0;; i++)
        at[8 * (i % 32)] = i;
}

static void rights(uint64_t n)
{
    uint64_t before[PAGE / 8];
    if (n == 0) {
        contended = map(PAGE, PROT_READ | PROT_WRITE);
        handle(SIGSEGV, on_protected, 0);
        for (uintptr_t i = 0; i < 2; i++)
            thread(page_writer, (void *)i);
    }
    allowed = 0;
    mprotect(contended, PAGE, PROT_READ);
    memcpy(before, contended, sizeof(before));
    for (unsigned i = 0; i < 20; i++)
        sched_yield();
    if (memcmp(before, contended, sizeof(before)) != 0)
        wrong("a page was written to after it had been made read-only");
    mprotect(contended, PAGE, PROT_READ | PROT_WRITE);
    allowed = 1;
    for (unsigned i = 0; i < 20; i++)
        sched_yield();
}

/* ---- locked instructions, and the order of stores ---- */

static uint8_t *counters; /* aligned; across two cache lines; across two pages */
static const unsigned counter_at[] = {64, 256 - 4, PAGE - 4};
static pthread_barrier_t barrier;
static _Atomic uint64_t message, flag;
#define COUNTS 3000u
#define COUNTERS 3u

__attribute__((noreturn)) static void *counter(void *arg)
{
    (void)arg;
    for (;;) {
        pthread_barrier_wait(&barrier);
        for (unsigned i = 0; i < COUNTS; i++)
            for (unsigned k = 0; k < COUNTERS; k++)
                __asm__ volatile("lock addq $1, %0"
                                 : "+m"(*(uint64_t *)(counters + counter_at[k])));
        pthread_barrier_wait(&barrier);
    }
}

__attribute__((noreturn)) static void *sender(void *arg)
{
    (void)arg;
    for (uint64_t i = 1;; i++) {
        atomic_store_explicit(&message, i, memory_order_relaxed);
        atomic_store_explicit(&flag, i, memory_order_release);
    }
}

static void locks(uint64_t n)
{
    if (n == 0) {
        counters = map(2 * PAGE, PROT_READ | PROT_WRITE);
        pthread_barrier_init(&barrier, NULL, 4);
        for (unsigned i = 0; i < 3; i++)
            thread(counter, NULL);
        thread(sender, NULL);
    }
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    for (unsigned k = 0; k < COUNTERS; k++) {
        uint64_t count;
        memcpy(&count, counters + counter_at[k], 8);
        if (count != (n + 1) * 3 * COUNTS)
            wrong("counter %u is %lu, not %lu", k, count, (n + 1) * 3 * COUNTS);
    }
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t seen = atomic_load_explicit(&flag, memory_order_acquire);
        uint64_t got = atomic_load_explicit(&message, memory_order_relaxed);
        if (got < seen)
            wrong("message %lu was flagged, %lu is there", seen, got);
    }
}

/* ---- pipes ---- */

static void pipes(uint64_t n)
{
    static int to[2], from[2];
    uint32_t sent = (uint32_t)n, got = 0;
    if (n == 0) {
        if (pipe(to) || pipe(from))
            wrong("no pipe");
        if (fork() == 0) {
            close(to[1]);
            close(from[0]);
            while (read(to[0], &got, 4) == 4) {
                got = ~got;
                if (write(from[1], &got, 4) != 4)
                    break;
            }
            _exit(0);
        }
        close(to[0]);
        close(from[1]);
    }
    if (write(to[1], &sent, 4) != 4 || read(from[0], &got, 4) != 4 || got != ~sent)
        wrong("%u came back as %u", sent, got);
}

static void commands(uint64_t n)
{
    int status = system(command);
    if (status != 0)
        wrong("run %lu of '%s' ended with %#x", n, command, status);
}

static const struct kind {
    const char *name;
    void (*once)(uint64_t n);
} kinds[] = {
    {"processes", processes}, {"own code", own_code}, {"others' code", others_code},
    {"signals", signals},     {"floats", floats},     {"rights", rights},
    {"locks", locks},         {"pipes", pipes},       {"command", commands},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void work(const struct kind *kind)
{
    uint64_t n = 0;
    kind_now = kind->name;
    while (more())
        kind->once(n++);
    printf("stress: %s: %lu times\n", kind->name, n);
    fflush(stdout);
    _exit(0);
}

static long parse(const char *text)
{
    char *rest;
    long n = strtol(text, &rest, 10);
    if (rest == text || *rest || n < 0) {
        fprintf(stderr, "stress: '%s' is not a number\n", text);
        exit(2);
    }
    return n;
}

int main(int argc, char **argv)
{
    int status, failed = 0;
    if (argc == 3 && !strcmp(argv[1], "end"))
        return (int)parse(argv[2]);
    if (argc < 2)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += parse(argv[1]);
    command = argc > 2 ? argv[2] : NULL;
    for (unsigned i = 0; i < KINDS - !command; i++)
        if ((argc < 4 || !strcmp(argv[3], kinds[i].name)) && fork() == 0)
            work(&kinds[i]);
    while (wait(&status) > 0)
        failed |= status != 0;
    puts(failed ? "stress: failed" : "stress: passed");
    return failed;
}
