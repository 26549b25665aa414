/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control protocol's answers, without a socket: a script that talks to a machine relies on
 * their form, and a hostile one must get an error and nothing else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "wire/control.h"

static unsigned calls;

static int execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                   struct error *err)
{
    (void)ctx;
    calls++;
    if (!strcmp(name, "echo")) {
        *ret_value = json_incref(arguments);
        return 0;
    }
    if (!strcmp(name, "nothing"))
        return 0;
    return error_set(err, -ENOSYS, "'%s' is not a command", name);
}

static void expect(const char *line, const char *answer)
{
    char *text = control_answer(line, strlen(line), execute, NULL);

    assert_non_null(text);
    assert_string_equal(text, answer);
    free(text);
}

static void expect_error(const char *line, size_t len, const char *code)
{
    char *text = control_answer(line, len, execute, NULL);

    assert_non_null(text);
    assert_non_null(strstr(text, code));
    assert_non_null(strstr(text, "\"error\""));
    assert_int_equal(text[strlen(text) - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    free(text);
}

static void test_answers(void **state)
{
    (void)state;
    expect("{\"execute\":\"nothing\"}", "{\"return\":{}}\n");
    expect("{\"execute\":\"nothing\",\"id\":7}", "{\"return\":{},\"id\":7}\n");
    expect("{\"execute\":\"nothing\",\"id\":\"a\"}", "{\"return\":{},\"id\":\"a\"}\n");
    expect("{\"execute\":\"echo\",\"arguments\":{\"x\":[1,2]},\"id\":null}",
           "{\"return\":{\"x\":[1,2]},\"id\":null}\n");
}

static void test_errors(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "null",
        "7",
        "{}",
        "{\"execute\":5}",
        "{\"execute\":\"nothing\"} x",
        "{\"execute\":\"nothing\",\"arguments\":[]}",
        "{\"execute\":\"nothing\",\"extra\":1}",
        "{\"execute\":\"nothing\",\"execute\":\"echo\"}",
        "\xff\xfe",
    };
    char deep[5000];

    (void)state;
    calls = 0;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        expect_error(bad[i], strlen(bad[i]), "\"invalid\"");
    memset(deep, '[', sizeof(deep));
    expect_error(deep, sizeof(deep), "\"invalid\"");
    assert_int_equal(calls, 0);
    expect_error("{\"execute\":\"format\"}", 20, "\"unknown-command\"");
}

/* A dead machine's socket does not stand in the way of the next; a living one's does. */
static void test_stale_socket(void **state)
{
    char path[] = "/tmp/yado-test-control-XXXXXX";
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct control *first = NULL, *second = NULL;
    struct error err = {""};
    uv_loop_t loop;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(path));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    close(fd);
    uv_loop_init(&loop);
    assert_int_equal(control_new(&loop, addr.sun_path, execute, NULL, &first, &err), 0);
    assert_int_equal(control_new(&loop, addr.sun_path, execute, NULL, &second, &err), -EADDRINUSE);
    assert_non_null(strstr(err.text, addr.sun_path));
    assert_int_equal(access(addr.sun_path, F_OK), 0);
    control_free(first);
    assert_int_equal(access(addr.sun_path, F_OK), -1);
    /* A plain file is nobody's socket: it stays. */
    fd = open(addr.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    assert_true(control_new(&loop, addr.sun_path, execute, NULL, &second, &err) < 0);
    assert_int_equal(access(addr.sun_path, F_OK), 0);
    unlink(addr.sun_path);
    rmdir(path);
    uv_loop_close(&loop);
}

/* Whole requests, requests in pieces, an endless line: over a real socket. */
static void test_socket(void **state)
{
    char path[] = "/tmp/yado-test-control-XXXXXX";
    static char junk[65536];
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct control *control = NULL;
    struct error err = {""};
    char answer[256];
    uv_loop_t loop;
    ssize_t n = -1;
    int fd;

    (void)state;
    assert_non_null(mkdtemp(path));
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/s", path);
    uv_loop_init(&loop);
    assert_int_equal(control_new(&loop, addr.sun_path, execute, NULL, &control, &err), 0);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, "{\"execute\":\"noth", 16), 16);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(write(fd, "ing\"}\n{\"execute\":\"nothing\",\"id\":2}\n", 35), 35);
    for (unsigned i = 0; i < 10; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    n = read(fd, answer, sizeof(answer) - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_string_equal(answer, "{\"return\":{}}\n{\"return\":{},\"id\":2}\n");
    memset(junk, 'x', sizeof(junk));
    for (unsigned i = 0; i < 1000; i++) {
        if (write(fd, junk, sizeof(junk)) < 0 && errno == EPIPE)
            break;
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    while ((n = read(fd, junk, sizeof(junk))) > 0)
        ;
    assert_true(n == 0 || errno == ECONNRESET); /* it was cut off */
    close(fd);
    control_free(control);
    rmdir(path);
    uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_stale_socket),
        cmocka_unit_test(test_socket),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
