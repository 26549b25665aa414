/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "network/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Each with its reason. */
static const int always[] = {
    /* Frames, events and answers: rings' eventfds, TAP, packet and control sockets. */
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendmmsg),
    /* Waiting: libuv's loop, the thread of the way out. */
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(futex),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    /* Time and chance. */
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    /* A machine plugs in: accept it, look who it is, make its rings and events. */
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(eventfd2),
    SCMP_SYS(close),
    SCMP_SYS(shutdown),
    SCMP_SYS(dup),
    SCMP_SYS(fcntl),
    /* Memory of malloc and of rings; mmap and mprotect are below. */
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    /* Files that guests boot, leases, captures, the host's resolv.conf, the socket at the end. */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(openat2),
    SCMP_SYS(pread64),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fdatasync),
    SCMP_SYS(rename),
    SCMP_SYS(unlink),
    /* Signals that end it, and its own end; the C library's bookkeeping of threads. */
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(tgkill),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),
};

/* NAT makes connections and listens at forwarded ports; questions to name servers are connected. */
static const int with_sockets[] = {
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
    SCMP_SYS(setsockopt),
};

static int add_list(scmp_filter_ctx f, const int *calls, size_t count)
{
    int r = 0;

    for (size_t i = 0; i < count && r == 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
    return r;
}

static int add_rules(scmp_filter_ctx f, const struct sandbox_needs *needs)
{
    static const unsigned long ioctls[] = {FIONREAD, FIONBIO, FIOCLEX};
    static const int families[] = {AF_INET, AF_INET6};
    int r = add_list(f, always, ARRAY_LEN(always));

    /* Memory that can be written never becomes code. */
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    /* libuv and libslirp ask how much there is to read, and make sockets not block. */
    for (size_t i = 0; i < ARRAY_LEN(ioctls) && r == 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1(SCMP_CMP_EQ, ioctls[i], 0));
    /* At its end it waits until what it made on the host is gone. */
    if (needs->keeper && r == 0)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(wait4), 0);
    if (needs->sockets && r == 0)
        r = add_list(f, with_sockets, ARRAY_LEN(with_sockets));
    for (size_t i = 0; i < ARRAY_LEN(families) && needs->sockets && r == 0; i++)
        r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
    return r;
}

/* All that this process was given, but for low ports if it forwards. */
static int drop_capabilities(const struct sandbox_needs *needs)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[2], keep[2] = {0};
    uint32_t low_ports = needs->forwarding ? 1u << CAP_NET_BIND_SERVICE : 0;

    if (syscall(SYS_capget, &header, have) < 0)
        return -errno;
    keep[0].effective = keep[0].permitted = have[0].permitted & low_ports;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return syscall(SYS_capset, &header, keep) < 0 ? -errno : 0;
}

int sandbox_enter(const struct sandbox_needs *needs, struct error *err)
{
    scmp_filter_ctx f;
    int r = drop_capabilities(needs);

    if (r < 0)
        return error_set(err, r, "capabilities cannot be given up: %s", strerror(-r));
    f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!f)
        return -ENOMEM;
    /* The thread of the way out runs already. */
    r = seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1);
    if (r == 0)
        r = add_rules(f, needs);
    if (r == 0)
        r = seccomp_load(f);
    seccomp_release(f);
    return r < 0 ? error_set(err, r, "the kernel takes no system call filter: %s", strerror(-r))
                 : 0;
}
