/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A yado-net that was taken over: what it does not need kills it. Each row is done in a child.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "network/sandbox.h"

static void run_program(void)
{
    execl("/bin/true", "true", (char *)NULL);
}

static void make_process(void)
{
    syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void trace(void)
{
    ptrace(PTRACE_TRACEME, 0, 0, 0);
}

static void open_inet(void)
{
    socket(AF_INET, SOCK_STREAM, 0);
}

static void open_packet(void)
{
    socket(AF_PACKET, SOCK_RAW, 0);
}

static void make_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void mount_something(void)
{
    syscall(SYS_mount, "none", "/", "tmpfs", 0, 0);
}

static void work(void)
{
    char *memory = malloc(1 << 20);
    int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

    memory[1000] = 1;
    if (fd >= 0)
        close(fd);
    free(memory);
}

/* Sanitizers have threads and signal handlers of their own, and programs built with them do without
 * the sandbox. */
static void skip_with_sanitizers(void)
{
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
}

/* The signal that ended it, 0: none. */
static int ended_by(void (*act)(void), bool sockets)
{
    const struct sandbox_needs needs = {.sockets = sockets};
    struct error err;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (sandbox_enter(&needs, &err) < 0)
            _exit(3);
        act();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_forbidden(void **state)
{
    static void (*const acts[])(void) = {run_program, make_process, trace,
                                         open_packet, make_code,    mount_something};

    (void)state;
    skip_with_sanitizers();
    for (unsigned i = 0; i < ARRAY_LEN(acts); i++) {
        assert_int_equal(ended_by(acts[i], false), SIGSYS);
        assert_int_equal(ended_by(acts[i], true), SIGSYS);
    }
}

static void test_allowed(void **state)
{
    (void)state;
    skip_with_sanitizers();
    assert_int_equal(ended_by(work, false), 0);
    assert_int_equal(ended_by(open_inet, true), 0);
    /* A network that leads nowhere has no way to make one. */
    assert_int_equal(ended_by(open_inet, false), SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
