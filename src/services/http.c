/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "services/http.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "services/folder.h"

#define HEADER_MAX 512u

struct http {
    int folder_fd;
};

/* One request and its answer. */
struct exchange {
    struct http *http;
    struct tcp_connection *connection;
    char request[HTTP_REQUEST_MAX + 1];
    size_t len;
    bool answered;
    char header[HEADER_MAX];
    size_t header_len;
    int fd;
    uint64_t from; /* the body's first byte in the file */
};

/* ---- answering ---- */

static void answer(struct exchange *x, const char *status, uint64_t len, bool body,
                   const char *range)
{
    int n = snprintf(x->header, sizeof(x->header),
                     "HTTP/1.1 %s\r\n"
                     "Content-Length: %llu\r\n"
                     "Content-Type: application/octet-stream\r\n"
                     "Accept-Ranges: bytes\r\n"
                     "%s"
                     "Connection: close\r\n\r\n",
                     status, (unsigned long long)len, range);

    x->answered = true;
    x->header_len = (size_t)n;
    tcp_answer(x->connection, x->header_len + (body ? len : 0));
    tcp_close(x->connection);
}

static void refuse(struct exchange *x, const char *status)
{
    answer(x, status, 0, false, "");
}

/* RFC 9110, 14.1.2: one range of bytes. 1: there is none that we serve, the file is sent whole;
 * -ERANGE: it lies behind the end. */
static int parse_range(const char *text, uint64_t size, uint64_t *ret_from, uint64_t *ret_len)
{
    unsigned long long first = 0, last = 0;
    char rest;

    if (!text || strncasecmp(text, "bytes=", 6))
        return 1;
    text += 6;
    if (sscanf(text, "-%llu%c", &last, &rest) == 1) {
        *ret_len = MIN((uint64_t)last, size);
        *ret_from = size - *ret_len;
        return *ret_len ? 0 : -ERANGE;
    }
    if (*text < '0' || *text > '9')
        return 1;
    if (sscanf(text, "%llu-%llu%c", &first, &last, &rest) == 2) {
        if (last < first)
            return 1;
    } else if (sscanf(text, "%llu-%c", &first, &rest) == 1 && text[strlen(text) - 1] == '-') {
        last = size;
    } else {
        return 1;
    }
    if (first >= size)
        return -ERANGE;
    *ret_from = first;
    *ret_len = MIN((uint64_t)last, size - 1) - first + 1;
    return 0;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986, 2.1, in place; false: a byte that is in no path. */
static bool decode(char *path)
{
    char *out = path;

    for (; *path && *path != '?' && *path != '#'; path++) {
        char c = *path;

        if (c == '%') {
            int high = hex(path[1]), low = high < 0 ? -1 : hex(path[2]);

            if (low < 0 || !(high | low))
                return false;
            c = (char)(high << 4 | low);
            path += 2;
        }
        *out++ = c;
    }
    *out = '\0';
    return true;
}

static void serve(struct exchange *x, char *path, bool body, const char *range_text)
{
    uint64_t size, from = 0, len;
    char range[96] = "";
    int r;

    /* 3.2.2 of RFC 9112: a proxy's form names the host, too. */
    if (!strncasecmp(path, "http://", 7)) {
        path = strchr(path + 7, '/');
        if (!path) {
            refuse(x, "404 Not Found");
            return;
        }
    }
    if (!decode(path)) {
        refuse(x, "400 Bad Request");
        return;
    }
    r = folder_file(x->http->folder_fd, path, &x->fd, &size);
    if (r < 0) {
        refuse(x, r == -EACCES ? "403 Forbidden" : "404 Not Found");
        return;
    }
    len = size;
    r = parse_range(range_text, size, &from, &len);
    if (r < 0) {
        snprintf(range, sizeof(range), "Content-Range: bytes */%llu\r\n", (unsigned long long)size);
        answer(x, "416 Range Not Satisfiable", 0, false, range);
        return;
    }
    if (r == 0)
        snprintf(range, sizeof(range), "Content-Range: bytes %llu-%llu/%llu\r\n",
                 (unsigned long long)from, (unsigned long long)(from + len - 1),
                 (unsigned long long)size);
    x->from = from;
    answer(x, r == 0 ? "206 Partial Content" : "200 OK", len, body, range);
}

/* ---- the request ---- */

/* The value of a header field, at the start of the rest of the request; NULL: it is not there. */
static const char *field(char *lines, const char *name)
{
    size_t n = strlen(name);
    char *save, *line;

    for (line = strtok_r(lines, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
        if (!strncasecmp(line, name, n) && line[n] == ':')
            return line + n + 1 + strspn(line + n + 1, " \t");
    return NULL;
}

static void on_request(struct exchange *x)
{
    char *line_end = strpbrk(x->request, "\r\n"), *save;
    char *method, *path, *version;

    *line_end++ = '\0';
    method = strtok_r(x->request, " ", &save);
    path = strtok_r(NULL, " ", &save);
    version = strtok_r(NULL, " ", &save);
    if (!method || !path || !version || strncmp(version, "HTTP/1.", 7))
        refuse(x, "400 Bad Request");
    else if (strcmp(method, "GET") && strcmp(method, "HEAD"))
        refuse(x, "405 Method Not Allowed");
    else
        serve(x, path, !strcmp(method, "GET"), field(line_end, "Range"));
}

static void on_receive(void *conn, const uint8_t *data, size_t len)
{
    struct exchange *x = conn;

    if (x->answered)
        return;
    len = MIN(len, HTTP_REQUEST_MAX - x->len);
    memcpy(x->request + x->len, data, len);
    x->len += len;
    x->request[x->len] = '\0';
    if (memchr(x->request, 0, x->len))
        refuse(x, "400 Bad Request");
    else if (strstr(x->request, "\r\n\r\n") || strstr(x->request, "\n\n"))
        on_request(x);
    else if (x->len == HTTP_REQUEST_MAX)
        refuse(x, "431 Request Header Fields Too Large");
}

static size_t on_read(void *conn, uint64_t at, void *buf, size_t len)
{
    struct exchange *x = conn;
    size_t done = 0;
    ssize_t n;

    if (at < x->header_len) {
        done = MIN(len, x->header_len - (size_t)at);
        memcpy(buf, x->header + at, done);
    }
    if (done == len)
        return done;
    n = pread(x->fd, (char *)buf + done, len - done, (off_t)(x->from + at + done - x->header_len));
    return n < 0 ? done : done + (size_t)n;
}

static void *on_opened(void *ctx, struct tcp_connection *c)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (!x)
        return NULL;
    x->http = ctx;
    x->connection = c;
    x->fd = -1;
    return x;
}

static void on_closed(void *conn)
{
    struct exchange *x = conn;

    if (x->fd >= 0)
        close(x->fd);
    free(x);
}

static const struct tcp_ops ops = {
    .opened = on_opened, .receive = on_receive, .read = on_read, .closed = on_closed};

int http_new(int folder_fd, struct tcp *tcp, struct http **ret_http)
{
    struct http *h = calloc(1, sizeof(*h));
    int r;

    if (!h)
        return -ENOMEM;
    h->folder_fd = folder_fd;
    r = tcp_listen(tcp, HTTP_PORT, &ops, h);
    if (r < 0) {
        free(h);
        return r;
    }
    *ret_http = h;
    return 0;
}

struct http *http_free(struct http *h)
{
    free(h);
    return NULL;
}
