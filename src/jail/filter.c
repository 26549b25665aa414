/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lists were made from what real guests caused (both engines, every disk format and network,
 * saving and restoring) and from what glibc may use for the same.
 */
#include "jail/filter.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/util.h"

static const char *const allowed[] = {
    /* Start of a program, threads (one a vCPU, a few a disk) and their ends. */
    "execve",
    "arch_prctl",
    "set_tid_address",
    "set_robust_list",
    "rseq",
    "prlimit64",
    "clone",
    "clone3",
    "exit",
    "exit_group",
    "futex",
    "futex_waitv",
    "sched_yield",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "getcpu",
    "prctl",
    "gettid",
    "getpid",
    "getppid",
    "tgkill",
    "tkill",
    "membarrier",
    "wait4",
    /* Guest memory, generated code: one mapping to write it, one to run it. */
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "mincore",
    "mlock",
    "mlock2",
    "munlock",
    "memfd_create",
    "msync",
    "pkey_mprotect",
    "pkey_alloc",
    "pkey_free",
    "mbind",
    "get_mempolicy",
    "set_mempolicy",
    /* Files: images, what is saved, sockets in the folder of the machine. */
    "openat",
    "open",
    "close",
    "close_range",
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "lseek",
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "statx",
    "fstatfs",
    "statfs",
    "access",
    "faccessat",
    "faccessat2",
    "readlink",
    "readlinkat",
    "getcwd",
    "getdents64",
    "ftruncate",
    "truncate",
    "fallocate",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "fadvise64",
    "copy_file_range",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fchmod",
    "chmod",
    "fchmodat",
    "umask",
    "flock",
    "fcntl",
    "dup",
    "dup2",
    "dup3",
    "utimensat",
    "chdir",
    "fchdir",
    "linkat",
    "splice",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    /* The loop: libuv, timers, events between threads. */
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "eventfd2",
    "pipe2",
    "pipe",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "signalfd4",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    /* Time: the guest's is made of the host's. */
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "timer_create",
    "timer_settime",
    "timer_delete",
    "timer_gettime",
    "timer_getoverrun",
    "setitimer",
    "getrusage",
    /* Signals: faults in generated code are the guest's exceptions. */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "rt_sigpending",
    "rt_sigsuspend",
    "rt_sigqueueinfo",
    "rt_tgsigqueueinfo",
    "sigaltstack",
    "restart_syscall",
    /* Sockets: control, screen, serial line, the guest's connections behind NAT. */
    "socketpair",
    "bind",
    "listen",
    "accept",
    "accept4",
    "connect",
    "getsockname",
    "getpeername",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendmmsg",
    "recvmmsg",
    "shutdown",
    "setsockopt",
    "getsockopt",
    /* Who and where it is; tables of CPUID name the host's processor. */
    "uname",
    "sysinfo",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getgroups",
    "getrandom",
    "getpgrp",
    "getpgid",
    "getsid",
    "capget",
    "getrlimit",
    "getpriority",
    "setpriority",
};

/* Nothing that a machine does comes near these: whoever calls them is not the machine's program. */
static const char *const deadly[] = {
    /* Other processes, other roots, other namespaces. */
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_open",
    "pidfd_getfd",
    "kcmp",
    "unshare",
    "setns",
    "chroot",
    "pivot_root",
    "mount",
    "umount2",
    "move_mount",
    "open_tree",
    "fsopen",
    "fsmount",
    "fspick",
    "mount_setattr",
    "open_by_handle_at",
    "name_to_handle_at",
    /* Other users. */
    "setuid",
    "setgid",
    "setreuid",
    "setregid",
    "setresuid",
    "setresgid",
    "setfsuid",
    "setfsgid",
    "setgroups",
    "capset",
    /* The kernel itself. */
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "iopl",
    "ioperm",
    "modify_ldt",
    "add_key",
    "request_key",
    "keyctl",
    "swapon",
    "swapoff",
    "reboot",
    "acct",
    "quotactl",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "syslog",
    "vhangup",
    "mknod",
    "mknodat",
};

static int add(scmp_filter_ctx ctx, uint32_t action, const char *name)
{
    int call = seccomp_syscall_resolve_name(name);

    /* A call that this libseccomp does not know is answered like all others. */
    return call == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(ctx, action, call, 0);
}

static int add_all(scmp_filter_ctx ctx, uint32_t action, const char *const *names, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = add(ctx, action, names[i]);
    return r;
}

static int add_checked(scmp_filter_ctx ctx, bool wire)
{
    static const int families[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    /* By the kind in bits 8 to 15, and a part of the number: not TIOCSTI, the way out of a tty. */
    static const struct {
        unsigned mask, value;
    } ioctls[] = {
        {0xff00, 0xae00}, /* KVM */
        {0xffc0, 0x54c0}, /* TUN */
        {0xff00, 0x8900}, /* sockets: names and numbers of interfaces */
        {0xff00, 0x9400}, /* files that share blocks */
        {0xff00, 0x6600}, /* where the blocks of a file lie */
        {0xff00, 0x1200}, /* sizes of block devices */
        {0xffff, FIONBIO & 0xffff}, {0xffff, FIONREAD & 0xffff},   {0xffff, FIOCLEX & 0xffff},
        {0xffff, TCGETS & 0xffff},  {0xffff, TIOCGWINSZ & 0xffff},
    };
    int r = 0;

    for (size_t i = 0; i < ARRAY_LEN(families) && r == 0; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    if (r == 0 && wire)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, AF_PACKET, 0));
    for (size_t i = 0; i < ARRAY_LEN(ioctls) && r == 0; i++)
        r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_MASKED_EQ, ioctls[i].mask, ioctls[i].value));
    return r;
}

#ifdef JAIL_SANITIZED
/* A sanitizer looks for leaks by ptrace(2), at the end of the process. */
int filter_load(bool wire)
{
    (void)add_all;
    (void)add_checked;
    (void)wire;
    (void)allowed;
    (void)deadly;
    return 0;
}
#else
int filter_load(bool wire)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int r = ctx ? 0 : -ENOMEM;

    if (r == 0)
        r = add_all(ctx, SCMP_ACT_ALLOW, allowed, ARRAY_LEN(allowed));
    if (r == 0)
        r = add_all(ctx, SCMP_ACT_KILL_PROCESS, deadly, ARRAY_LEN(deadly));
    if (r == 0)
        r = add_checked(ctx, wire);
    if (r == 0)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree: calls are many */
    if (r == 0)
        r = seccomp_load(ctx);
    if (ctx)
        seccomp_release(ctx);
    return r;
}
#endif
