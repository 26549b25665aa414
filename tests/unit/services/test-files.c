/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files for booting, by TFTP and HTTP: whole through losses, and none but those of the folder.
 */
#include "tcpclient.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "services/tcp.h"

#define FILE_BYTES 70001u

static char folder[] = "/tmp/yado-boot-XXXXXX";
static uint8_t content[FILE_BYTES];

static int folder_make(void **state)
{
    char path[128];
    int fd;

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (unsigned i = 0; i < FILE_BYTES; i++)
        content[i] = (uint8_t)(i * 7 + i / 256);
    snprintf(path, sizeof(path), "%s/sub", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/sub/file", folder);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, content, FILE_BYTES), FILE_BYTES);
    close(fd);
    snprintf(path, sizeof(path), "%s/inside", folder);
    assert_int_equal(symlink("sub/file", path), 0);
    snprintf(path, sizeof(path), "%s/outside", folder);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/up", folder);
    assert_int_equal(symlink("../../etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    return 0;
}

static int folder_remove(void **state)
{
    static const char *const names[] = {"/sub/file", "/sub",  "/inside", "/outside",
                                        "/up",       "/fifo", ""};
    char path[128];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s%s", folder, names[i]);
        assert_int_equal(remove(path), 0);
    }
    return 0;
}

static const char *const forbidden[] = {
    "../etc/passwd",
    "/../../etc/passwd",
    "sub/../../etc/passwd",
    "outside",
    "up",
    "fifo",
    "sub",
    "",
    "none",
    "//",
};

/* ---- TFTP ---- */

static void tftp_ask(struct world *w, const char *path, const char *options, size_t options_len)
{
    uint8_t m[600] = {0, 1};
    size_t n = strlen(path) + 1;

    memcpy(m + 2, path, n);
    memcpy(m + 2 + n, "octet", 6);
    memcpy(m + 8 + n, options, options_len);
    w->end->count = 0;
    send_udp(w, guest_mac, "10.1.0.50", 2000, "10.1.0.1", 69, m, 8 + n + options_len);
}

static void tftp_ack(struct world *w, uint16_t port, uint16_t block)
{
    uint8_t m[4] = {0, 4};

    be16_put(m + 2, block);
    w->end->count = 0;
    send_udp(w, guest_mac, "10.1.0.50", 2000, "10.1.0.1", port, m, 4);
}

/* Take a whole file; each 5th answer is lost and asked for again by waiting. */
static void tftp_take(struct world *w, uint16_t port, size_t block_bytes)
{
    static uint8_t got[FILE_BYTES + 2000];
    size_t total = 0, len;
    uint16_t from;

    for (uint16_t block = 1;; block++) {
        const uint8_t *m;

        tftp_ack(w, port, (uint16_t)(block - 1));
        if (block % 5 == 0 || !w->end->count) {
            w->end->count = 0;
            clock_advance(w->clock, 3 * NS_PER_SEC / 2);
        }
        assert_int_equal(w->end->count, 1);
        m = udp_of(w, 0, &len, &from);
        assert_int_equal(from, port);
        assert_int_equal(be16_get(m), 3);
        assert_int_equal(be16_get(m + 2), block);
        memcpy(got + total, m + 4, len - 4);
        total += len - 4;
        if (len - 4 < block_bytes)
            break;
    }
    assert_int_equal(total, FILE_BYTES);
    assert_memory_equal(got, content, FILE_BYTES);
}

static void test_tftp(void **state)
{
    static const char options[] = "blksize\0"
                                  "1400\0tsize\0"
                                  "0\0unknown\0x";
    struct world w = {0};
    struct services_config c = world_config(&w);
    const uint8_t *m;
    uint16_t port;
    size_t len;

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    tftp_ask(&w, "/inside", options, sizeof(options));
    m = udp_of(&w, 0, &len, &port);
    assert_int_equal(be16_get(m), 6);
    assert_int_equal(len, 2 + 13 + 12);
    assert_memory_equal(m + 2,
                        "blksize\0"
                        "1400\0tsize\0"
                        "70001",
                        25);
    tftp_take(&w, port, 1400);
    tftp_ack(&w, port, FILE_BYTES / 1400 + 1);
    assert_int_equal(w.end->count, 0);
    /* It is over: its port knows nothing any more. */
    tftp_ack(&w, port, 3);
    m = udp_of(&w, 0, &len, &port);
    assert_int_equal(be16_get(m), 5);
    world_done(&w);
}

static void test_tftp_window(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint16_t port, from;
    size_t len;

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    tftp_ask(&w, "sub/file",
             "windowsize\0"
             "4",
             13);
    assert_non_null(udp_of(&w, 0, &len, &port));
    tftp_ack(&w, port, 0);
    assert_int_equal(w.end->count, 4);
    tftp_ack(&w, port, 2); /* the other two were lost */
    assert_int_equal(w.end->count, 4);
    assert_int_equal(be16_get(udp_of(&w, 0, &len, &from) + 2), 3);
    world_done(&w);
}

static void test_tftp_refuses(void **state)
{
    static const uint8_t write_request[] = "\0\2file\0octet";
    struct world w = {0};
    struct services_config c = world_config(&w);
    const uint8_t *m;
    uint16_t port;
    size_t len;

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    for (unsigned i = 0; i < ARRAY_LEN(forbidden); i++) {
        tftp_ask(&w, forbidden[i], "", 0);
        assert_int_equal(w.end->count, 1);
        m = udp_of(&w, 0, &len, &port);
        assert_int_equal(be16_get(m), 5);
    }
    w.end->count = 0;
    send_udp(&w, guest_mac, "10.1.0.50", 2000, "10.1.0.1", 69, write_request,
             sizeof(write_request));
    assert_int_equal(be16_get(udp_of(&w, 0, &len, &port)), 5);
    /* A guest that begins and never goes on holds no more than its part, and not for long. */
    for (unsigned i = 0; i < 100; i++)
        tftp_ask(&w, "sub/file", "", 0);
    assert_int_equal(w.end->count, 0);
    clock_advance(w.clock, 60 * NS_PER_SEC);
    tftp_ask(&w, "sub/file", "", 0);
    assert_int_equal(w.end->count, 1);
    world_done(&w);
}

/* ---- HTTP: a client that loses what it likes ---- */

static struct client *http(struct world *w, uint16_t port, unsigned lose, const char *request)
{
    struct client *c = calloc(1, sizeof(*c));

    assert_non_null(c);
    *c = (struct client){.w = w, .port = port, .to = 80, .lose = lose};
    tcp_open(c);
    /* In two parts. */
    tcp_send(c, 16, c->expected, request, 7);
    c->next += 7;
    tcp_send(c, 24, c->expected, request + 7, strlen(request) - 7);
    c->next += (uint32_t)strlen(request) - 7;
    for (unsigned i = 0; i < 300 && !c->fin && !c->reset; i++) {
        tcp_take(c);
        clock_advance(w->clock, NS_PER_SEC / 4);
    }
    return c;
}

static const uint8_t *body_of(const struct client *c, const char *status, size_t len)
{
    const char *end = strstr((const char *)c->got, "\r\n\r\n");

    assert_true(c->fin);
    assert_memory_equal(c->got + 9, status, strlen(status));
    assert_non_null(end);
    assert_int_equal(c->len - (size_t)(end + 4 - (const char *)c->got), len);
    return (const uint8_t *)end + 4;
}

static void test_http(void **state)
{
    static const unsigned losses[] = {0, 4, 7, 20};
    struct world w = {0};
    struct services_config c = world_config(&w);

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    for (unsigned i = 0; i < ARRAY_LEN(losses); i++) {
        struct client *one = http(&w, (uint16_t)(3000 + i), losses[i],
                                  "GET /sub%2ffile?x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_memory_equal(body_of(one, "200", FILE_BYTES), content, FILE_BYTES);
        /* Its own end, and then nothing is there any more. */
        tcp_send(one, 17, one->expected, "", 0);
        w.end->count = 0;
        tcp_send(one, 16, one->expected, "", 0);
        assert_int_equal(w.end->count, 1);
        assert_true(w.end->frames[0].bytes[47] & 4);
        free(one);
    }
    world_done(&w);
}

static void test_http_answers(void **state)
{
    static const struct {
        const char *request, *status;
        size_t from, len;
    } rows[] = {
        {"HEAD /inside HTTP/1.1\r\n\r\n", "200", 0, 0},
        {"GET /sub/file HTTP/1.0\nRange: bytes=10-19\n\n", "206", 10, 10},
        {"GET /sub/file HTTP/1.1\r\nrange: bytes=70000-\r\n\r\n", "206", 70000, 1},
        {"GET /sub/file HTTP/1.1\r\nRange: bytes=-5\r\n\r\n", "206", FILE_BYTES - 5, 5},
        {"GET /sub/file HTTP/1.1\r\nRange: bytes=70001-\r\n\r\n", "416", 0, 0},
        {"POST /sub/file HTTP/1.1\r\n\r\n", "405", 0, 0},
        {"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n\r\n", "403", 0, 0},
        {"GET /%00 HTTP/1.1\r\n\r\n", "400", 0, 0},
        {"GET /%zz HTTP/1.1\r\n\r\n", "400", 0, 0},
        {"NONSENSE\r\n\r\n", "400", 0, 0},
    };
    struct world w = {0};
    struct services_config c = world_config(&w);

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct client *one = http(&w, (uint16_t)(3000 + i), 0, rows[i].request);
        assert_memory_equal(body_of(one, rows[i].status, rows[i].len), content + rows[i].from,
                            rows[i].len);
        tcp_send(one, 4, one->expected, "", 0);
        free(one);
    }
    for (unsigned i = 0; i < ARRAY_LEN(forbidden); i++) {
        char request[100];
        snprintf(request, sizeof(request), "GET /%s HTTP/1.1\r\n\r\n", forbidden[i]);
        struct client *one = http(&w, (uint16_t)(4000 + i), 0, request);
        assert_int_equal(one->got[9], '4');
        tcp_send(one, 4, one->expected, "", 0);
        free(one);
    }
    world_done(&w);
}

/* Half-open connections of one guest leave room for others, and go away. */
static void test_http_flood(void **state)
{
    struct world w = {0};
    struct services_config c = world_config(&w);
    struct client one = {.w = &w, .port = 1, .to = 80, .next = 1};

    (void)state;
    c.folder = folder;
    world_start(&w, &c);
    w.end->room = 1000000;
    for (unsigned i = 0; i < 1000; i++) {
        one.port = (uint16_t)(i + 1);
        w.end->count = 0;
        tcp_send(&one, 2, 0, "", 0);
        assert_int_equal(w.end->count, i < TCP_CONNECTIONS_EACH);
    }
    for (unsigned i = 0; i < 100; i++) {
        w.end->count = 0;
        clock_advance(w.clock, NS_PER_SEC);
    }
    free(http(&w, 5000, 0, "GET /sub/file HTTP/1.1\r\n\r\n"));
    /* A forged reset with a number that is near ends nothing. */
    struct client *two = http(&w, 5001, 0, "GET /sub/file HTTP/1.1\r\n\r\n");
    two->next += 100;
    tcp_send(two, 4, 0, "", 0);
    two->next -= 100;
    w.end->count = 0;
    tcp_send(two, 17, two->expected, "", 0);
    assert_true(w.end->count && !(w.end->frames[0].bytes[47] & 4));
    free(two);
    world_done(&w);
}

static void test_ping(void **state)
{
    static const uint8_t arp[28] = {0,  1, 8, 0,  6, 4, 0, 1, 0x52, 0x54, 0,  0, 0, 1,
                                    10, 1, 0, 50, 0, 0, 0, 0, 0,    0,    10, 1, 0, 1};
    struct world w = {0};
    struct services_config c = world_config(&w);
    uint8_t f[42] = {0}, echo[64] = {8};

    (void)state;
    world_start(&w, &c);
    memset(f, 0xff, 6);
    memcpy(f + 6, guest_mac, 6);
    be16_put(f + 12, 0x0806);
    memcpy(f + 14, arp, 28);
    send_bytes(&w, f, 42);
    assert_int_equal(w.end->count, 1);
    assert_memory_equal(w.end->frames[0].bytes + 20, "\0\2", 2);
    f[41] = 2;
    send_bytes(&w, f, 42);
    assert_int_equal(w.end->count, 1);
    be16_put(echo + 2, offload_sum_end(offload_sum(echo, 64, 0)));
    send_ip4(&w, guest_mac, "10.1.0.50", "10.1.0.1", 1, echo, 64);
    assert_int_equal(w.end->count, 2);
    assert_int_equal(w.end->frames[1].bytes[34], 0);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tftp),         cmocka_unit_test(test_tftp_window),
        cmocka_unit_test(test_tftp_refuses), cmocka_unit_test(test_http),
        cmocka_unit_test(test_http_answers), cmocka_unit_test(test_http_flood),
        cmocka_unit_test(test_ping),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
