/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "block/nbd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/bytes.h"

#define OPTION_MAGIC 0x49484156454f5054ull /* "IHAVEOPT" */
#define REPLY_MAGIC 0x0003e889045565a9ull
#define REQUEST_MAGIC 0x25609513u
#define ANSWER_MAGIC 0x67446698u
#define OPTION_BYTES_MAX 8192u
#define REQUEST_BYTES_MAX (32u << 20)
#define OPTIONS_MAX 64u /* that a client may try before it goes on */

enum { SERVER_FIXED = 1, SERVER_NO_ZEROES = 2 };
enum { OPT_EXPORT_NAME = 1, OPT_ABORT = 2, OPT_LIST = 3, OPT_INFO = 6, OPT_GO = 7 };
enum { REP_ACK = 1, REP_SERVER = 2, REP_INFO = 3 };
#define REP_UNSUPPORTED 0x80000001u
#define REP_INVALID 0x80000003u
enum { INFO_EXPORT = 0, INFO_BLOCK_SIZE = 3 };
enum { CMD_READ = 0, CMD_WRITE = 1, CMD_LEAVE = 2, CMD_FLUSH = 3, CMD_TRIM = 4, CMD_ZERO = 6 };
enum { CMD_FLAG_FUA = 1, CMD_FLAG_NO_HOLE = 2 };
enum {
    HAS_FLAGS = 1,
    READ_ONLY = 2,
    SEND_FLUSH = 4,
    SEND_FUA = 8,
    SEND_TRIM = 32,
    SEND_WRITE_ZEROES = 64,
    CAN_MULTI_CONN = 256,
};

struct client {
    struct blk *blk;
    int fd;
    bool no_zeroes;
    uint8_t *buf;
};

static int get(const struct client *c, void *buf, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = recv(c->fd, (char *)buf + done, len - done, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EPIPE;
        done += (size_t)n;
    }
    return 0;
}

static int put(const struct client *c, const void *buf, size_t len, bool more)
{
    for (size_t done = 0; done < len;) {
        ssize_t n =
            send(c->fd, (const char *)buf + done, len - done, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

/* ---- negotiation ---- */

static uint16_t disk_flags(const struct blk *blk)
{
    return HAS_FLAGS | CAN_MULTI_CONN |
           (blk->readonly ? READ_ONLY : SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES);
}

static int reply(const struct client *c, uint32_t option, uint32_t type, const void *data,
                 uint32_t len)
{
    uint8_t head[20];
    be64_put(head, REPLY_MAGIC);
    be32_put(head + 8, option);
    be32_put(head + 12, type);
    be32_put(head + 16, len);
    int r = put(c, head, sizeof(head), len > 0);
    return r < 0 ? r : put(c, data, len, false);
}

/* Under any name there is the one disk. */
static int send_info(const struct client *c, uint32_t option, uint32_t len)
{
    uint8_t export[12], sizes[14];
    if (len < 6)
        return reply(c, option, REP_INVALID, NULL, 0);
    be16_put(export, INFO_EXPORT);
    be64_put(export + 2, c->blk->size_bytes);
    be16_put(export + 10, disk_flags(c->blk));
    be16_put(sizes, INFO_BLOCK_SIZE);
    be32_put(sizes + 2, 1);
    be32_put(sizes + 6, 4096);
    be32_put(sizes + 10, REQUEST_BYTES_MAX);
    int r = reply(c, option, REP_INFO, export, sizeof(export));
    if (r == 0)
        r = reply(c, option, REP_INFO, sizes, sizeof(sizes));
    return r == 0 ? reply(c, option, REP_ACK, NULL, 0) : r;
}

static int send_old_export(const struct client *c)
{
    uint8_t export[134] = {0};
    be64_put(export, c->blk->size_bytes);
    be16_put(export + 8, disk_flags(c->blk));
    return put(c, export, c->no_zeroes ? 10 : sizeof(export), false);
}

/* One option. 1: the client wants the disk now. */
static int answer_option(struct client *c, uint32_t option, uint32_t len)
{
    static const uint8_t no_name[4];
    int r;
    switch (option) {
    case OPT_EXPORT_NAME:
        r = send_old_export(c);
        return r < 0 ? r : 1;
    case OPT_GO:
        r = send_info(c, option, len);
        return r < 0 || len < 6 ? r : 1;
    case OPT_INFO:
        return send_info(c, option, len);
    case OPT_LIST:
        r = reply(c, option, REP_SERVER, no_name, sizeof(no_name));
        return r < 0 ? r : reply(c, option, REP_ACK, NULL, 0);
    case OPT_ABORT:
        reply(c, option, REP_ACK, NULL, 0);
        return -ECONNRESET;
    default:
        return reply(c, option, REP_UNSUPPORTED, NULL, 0);
    }
}

static int negotiate(struct client *c)
{
    uint8_t hello[18] = "NBDMAGICIHAVEOPT", flags[4], head[16];
    be16_put(hello + 16, SERVER_FIXED | SERVER_NO_ZEROES);
    int r = put(c, hello, sizeof(hello), false);
    if (r == 0)
        r = get(c, flags, sizeof(flags));
    c->no_zeroes = be32_get(flags) & SERVER_NO_ZEROES;
    for (unsigned i = 0; r == 0 && i < OPTIONS_MAX; i++) {
        r = get(c, head, sizeof(head));
        uint32_t len = be32_get(head + 12);
        if (r == 0 && (be64_get(head) != OPTION_MAGIC || len > OPTION_BYTES_MAX))
            r = -EPROTO;
        if (r == 0)
            r = get(c, c->buf, len);
        if (r == 0)
            r = answer_option(c, be32_get(head + 8), len);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return r < 0 ? r : -EPROTO;
}

/* ---- requests ---- */

static uint32_t error_number(int r)
{
    switch (r) {
    case 0:
        return 0;
    case -EROFS:
        return 1; /* EPERM */
    case -EINVAL:
    case -ENOSPC:
    case -ENOMEM:
        return (uint32_t)-r;
    case -EDQUOT:
        return ENOSPC;
    default:
        return EIO;
    }
}

/* Checked here, for ops->run() expects it; this is a thread of its own. */
static int run(struct client *c, enum blk_op op, uint64_t at, uint32_t len, bool fua)
{
    struct blk *blk = c->blk;
    struct iovec iov = {c->buf, len};
    struct blk_req req = {.op = op,
                          .fua = fua,
                          .offset_bytes = at,
                          .len_bytes = len,
                          .iov = &iov,
                          .iov_count = op == BLK_READ || op == BLK_WRITE};
    if (op == BLK_FLUSH)
        return blk->readonly ? 0 : blk->ops->run(blk, &req);
    if (op != BLK_READ && blk->readonly)
        return -EROFS;
    if (at > blk->size_bytes || len > blk->size_bytes - at)
        return op == BLK_WRITE ? -ENOSPC : -EINVAL;
    return len ? blk->ops->run(blk, &req) : 0;
}

static int answer(const struct client *c, const uint8_t *head, int result, uint32_t data_bytes)
{
    uint8_t reply_head[16];
    be32_put(reply_head, ANSWER_MAGIC);
    be32_put(reply_head + 4, error_number(result));
    memcpy(reply_head + 8, head + 8, 8);
    int r = put(c, reply_head, sizeof(reply_head), data_bytes > 0);
    return r < 0 ? r : put(c, c->buf, data_bytes, false);
}

/* 1: the client leaves. */
static int answer_request(struct client *c)
{
    uint8_t head[28];
    int r = get(c, head, sizeof(head)), result = -EINVAL;
    if (r < 0)
        return r;
    uint16_t flags = be16_get(head + 4), type = be16_get(head + 6);
    uint64_t at = be64_get(head + 16);
    uint32_t len = be32_get(head + 24), data = 0;
    bool fua = flags & CMD_FLAG_FUA;
    if (be32_get(head) != REQUEST_MAGIC)
        return -EPROTO;
    if (type == CMD_LEAVE)
        return 1;
    if (type == CMD_WRITE && len > REQUEST_BYTES_MAX)
        return -EPROTO; /* its data cannot be passed over */
    if (type == CMD_WRITE) {
        r = get(c, c->buf, len);
        if (r < 0)
            return r;
    }
    if (flags & ~(CMD_FLAG_FUA | CMD_FLAG_NO_HOLE) || (type == CMD_READ && len > REQUEST_BYTES_MAX))
        return answer(c, head, -EINVAL, 0);
    switch (type) {
    case CMD_READ:
        result = run(c, BLK_READ, at, len, false);
        data = result == 0 ? len : 0;
        break;
    case CMD_WRITE:
        result = run(c, BLK_WRITE, at, len, fua);
        break;
    case CMD_FLUSH:
        result = run(c, BLK_FLUSH, 0, 0, false);
        break;
    case CMD_TRIM:
        result = run(c, BLK_DISCARD, at, len, false);
        break;
    case CMD_ZERO:
        result = run(c, BLK_WRITE_ZEROES, at, len, fua);
        break;
    }
    return answer(c, head, result, data);
}

int nbd_serve(struct blk *blk, int fd)
{
    struct client c = {.blk = blk, .fd = fd, .buf = malloc(REQUEST_BYTES_MAX)};
    int r = c.buf ? negotiate(&c) : -ENOMEM;
    while (r == 0)
        r = answer_request(&c);
    free(c.buf);
    return r > 0 ? 0 : r;
}
