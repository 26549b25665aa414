/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the first vCPU does while it sleeps: wait for whatever may end that, itself. A frame for a
 * guest that waits for one then wakes one thread and not two, one after the other.
 *
 * Others watch the same descriptors for the time when the vCPU runs, with EPOLLEXCLUSIVE, as it is
 * done here: epoll_ctl(2). The kernel then wakes one of those that wait.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "machine/machine_internal.h"

static int add(const struct machine *m, int fd, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.fd = fd};

    return epoll_ctl(m->idle.epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int idle_new(struct machine *m)
{
    m->idle.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    m->idle.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->idle.epoll_fd < 0 || m->idle.wake_fd < 0)
        return -errno;
    return add(m, m->idle.wake_fd, EPOLLIN);
}

void idle_free(struct machine *m)
{
    if (m->idle.epoll_fd >= 0)
        close(m->idle.epoll_fd);
    if (m->idle.wake_fd >= 0)
        close(m->idle.wake_fd);
}

void idle_wake(struct machine *m)
{
    uint64_t one = 1;

    if (write(m->idle.wake_fd, &one, sizeof(one)) < 0)
        return; /* it is readable already */
}

bool idle_wait(struct machine *m, atomic_bool *sleeping)
{
    struct epoll_event events[MACHINE_WATCHES_MAX + 1];
    int n = epoll_wait(m->idle.epoll_fd, events, ARRAY_LEN(events), -1);
    bool woken = false;
    uint64_t count;

    /* Who is awake needs no waking, least of all by what it does next. */
    atomic_store(sleeping, false);
    for (int i = 0; i < n; i++)
        woken |= events[i].data.fd == m->idle.wake_fd;
    if (woken && read(m->idle.wake_fd, &count, sizeof(count)) < 0)
        return true; /* an earlier look has taken it */
    if (n > woken)
        machine_lock(m);
    for (int i = 0; i < n; i++)
        for (unsigned w = 0; w < m->idle.count; w++)
            if (m->idle.watches[w].fd == events[i].data.fd)
                m->idle.watches[w].ready(m->idle.watches[w].ctx);
    if (n > woken)
        machine_unlock(m);
    return woken;
}

bool machine_watch(struct machine *m, int fd, void (*ready)(void *ctx), void *ctx)
{
    if (m->idle.count == MACHINE_WATCHES_MAX || add(m, fd, EPOLLIN | EPOLLEXCLUSIVE) < 0)
        return false;
    m->idle.watches[m->idle.count++] = (struct idle_watch){fd, ready, ctx};
    return true;
}

void machine_unwatch(struct machine *m, int fd)
{
    for (unsigned i = 0; i < m->idle.count; i++) {
        if (m->idle.watches[i].fd != fd)
            continue;
        epoll_ctl(m->idle.epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        m->idle.watches[i] = m->idle.watches[--m->idle.count];
        return;
    }
}
