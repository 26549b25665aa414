/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is /dev/kvm worth using? Some hosts (nested ones, or those whose hypervisor keeps its VT-x or
 * AMD-V to itself) offer a KVM that interprets the guest's kernel code at under a million
 * instructions a second. Nothing in the API tells, so a short loop is run and timed.
 */
#include "cpu/kvm/kvm_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#define LOOP_TURNS 1000000u /* two instructions each: 1-2 ms on hardware */
#define LIMIT_NS 50000000L
#define GUEST_BYTES (16 * RAM_PAGE_BYTES)

struct trial {
    int kvm_fd, vm_fd, vcpu_fd;
    struct kvm_run *run;
    size_t run_bytes;
    uint8_t *memory;
    pid_t tid;
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool over;
};

/* mov ecx, LOOP_TURNS; 1: dec ecx; jnz 1b; hlt. */
static const uint8_t loop_code[] = {0xb9,
                                    LOOP_TURNS & 255,
                                    LOOP_TURNS >> 8 & 255,
                                    LOOP_TURNS >> 16 & 255,
                                    LOOP_TURNS >> 24,
                                    0x49,
                                    0x75,
                                    0xfd,
                                    0xf4};

static int trial_setup(struct trial *t, struct error *err)
{
    struct kvm_userspace_memory_region slot = {.memory_size = GUEST_BYTES};
    uint64_t identity_map = 0xfeffc000;
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = 0, .rflags = 2};
    int r;

    if ((r = kvm_ioctl_number(t->kvm_fd, KVM_CREATE_VM, 0)) < 0)
        return error_set(err, r, "KVM_CREATE_VM: %s", strerror(-r));
    t->vm_fd = r;
    kvm_ioctl(t->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map);
    kvm_ioctl_number(t->vm_fd, KVM_SET_TSS_ADDR, identity_map + 0x1000);

    t->memory = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->memory == MAP_FAILED) {
        t->memory = NULL;
        return -ENOMEM;
    }
    memcpy(t->memory, loop_code, sizeof(loop_code));
    slot.userspace_addr = (uintptr_t)t->memory;
    if ((r = kvm_ioctl(t->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot)) < 0 ||
        (r = kvm_ioctl_number(t->vm_fd, KVM_CREATE_VCPU, 0)) < 0)
        return error_set(err, r, "/dev/kvm refuses a small machine: %s", strerror(-r));
    t->vcpu_fd = r;

    r = kvm_ioctl_number(t->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (r < (int)sizeof(struct kvm_run))
        return error_set(err, -EPROTO, "KVM_GET_VCPU_MMAP_SIZE: unusable answer %d", r);
    t->run_bytes = (size_t)r;
    t->run = mmap(NULL, t->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, t->vcpu_fd, 0);
    if (t->run == MAP_FAILED) {
        t->run = NULL;
        return -ENOMEM;
    }

    /* Flat 32-bit protected mode: real mode is emulated even by some fast hosts. */
    if ((r = kvm_ioctl(t->vcpu_fd, KVM_GET_SREGS, &sregs)) < 0)
        return error_set(err, r, "KVM_GET_SREGS: %s", strerror(-r));
    sregs.cs = (struct kvm_segment){
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1};
    sregs.ds = sregs.cs;
    sregs.ds.type = 3;
    sregs.ds.selector = 16;
    sregs.es = sregs.fs = sregs.gs = sregs.ss = sregs.ds;
    sregs.cr0 |= 1;
    if ((r = kvm_ioctl(t->vcpu_fd, KVM_SET_SREGS, &sregs)) < 0 ||
        (r = kvm_ioctl(t->vcpu_fd, KVM_SET_REGS, &regs)) < 0)
        return error_set(err, r, "/dev/kvm refuses protected mode: %s", strerror(-r));
    return 0;
}

static void trial_done(struct trial *t)
{
    if (t->run)
        munmap(t->run, t->run_bytes);
    if (t->memory)
        munmap(t->memory, GUEST_BYTES);
    fd_done(&t->vcpu_fd);
    fd_done(&t->vm_fd);
    fd_done(&t->kvm_fd);
}

/* Ends the trial when its time is up. */
static void *referee(void *arg)
{
    struct trial *t = arg;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LIMIT_NS;
    if (until.tv_nsec >= (long)NS_PER_SEC) {
        until.tv_nsec -= (long)NS_PER_SEC;
        until.tv_sec++;
    }
    pthread_mutex_lock(&t->lock);
    while (!t->over && pthread_cond_timedwait(&t->ended, &t->lock, &until) == 0)
        ;
    if (!t->over) {
        __atomic_store_n(&t->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
        syscall(SYS_tgkill, getpid(), t->tid, KVM_KICK_SIGNAL);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

static int trial_run(struct trial *t, struct error *err)
{
    struct kvm_regs regs;
    pthread_t thread;
    int r, run_error;
    unsigned long long turns;

    t->tid = (pid_t)syscall(SYS_gettid);
    r = pthread_create(&thread, NULL, referee, t);
    if (r)
        return error_set(err, -r, "starting a thread: %s", strerror(r));
    do {
        r = ioctl(t->vcpu_fd, KVM_RUN, 0);
        run_error = r < 0 ? errno : 0;
    } while (run_error == EINTR && !__atomic_load_n(&t->run->immediate_exit, __ATOMIC_SEQ_CST));
    pthread_mutex_lock(&t->lock);
    t->over = true;
    pthread_cond_signal(&t->ended);
    pthread_mutex_unlock(&t->lock);
    pthread_join(thread, NULL);

    if (r == 0 && t->run->exit_reason == KVM_EXIT_HLT)
        return 0;
    if (r == 0)
        return error_set(err, -EIO,
                         "/dev/kvm: a loop of two instructions ended in KVM exit %u; "
                         "use --engine soft",
                         t->run->exit_reason);
    if (run_error != EINTR)
        return error_set(err, -run_error, "/dev/kvm: KVM_RUN: %s; use --engine soft",
                         strerror(run_error));
    turns = kvm_ioctl(t->vcpu_fd, KVM_GET_REGS, &regs) == 0 && (uint32_t)regs.rcx <= LOOP_TURNS
                ? LOOP_TURNS - (uint32_t)regs.rcx
                : 0;
    return error_set(err, -ETIME,
                     "/dev/kvm is too slow: it interprets instructions (%llu thousand a second in "
                     "a trial) instead of running them on the processor; use --engine soft",
                     turns * 2 * 1000 / (LIMIT_NS / 1000));
}

int kvm_probe(struct error *err)
{
    struct trial t = {.kvm_fd = -1, .vm_fd = -1, .vcpu_fd = -1};
    int r;

    pthread_mutex_init(&t.lock, NULL);
    pthread_cond_init(&t.ended, NULL);
    if ((r = kvm_open(&t.kvm_fd, err)) == 0 && (r = kvm_kick_prepare(err)) == 0 &&
        (r = trial_setup(&t, err)) == 0)
        r = trial_run(&t, err);
    trial_done(&t);
    pthread_cond_destroy(&t.ended);
    pthread_mutex_destroy(&t.lock);
    return r;
}
