/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/pcapng.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"

enum {
    BLOCK_SECTION = 0x0a0d0d0a,
    BLOCK_INTERFACE = 1,
    BLOCK_PACKET = 6,
    OPTION_END = 0,
    OPTION_NAME = 2,
    OPTION_FLAGS = 2,
    OPTION_RESOLUTION = 9,
    LINK_ETHERNET = 1,
    INBOUND = 1,
    OUTBOUND = 2,
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define NAME_BYTES_MAX 255u
#define PACKET_HEADER_BYTES 28u
#define PACKET_TRAILER_BYTES 16u /* an option of 4 bytes, the end of options, the length */

struct pcapng {
    int fd;
    unsigned interfaces;
    unsigned snap_bytes;
    uint64_t limit_bytes, written_bytes, missed;
    bool broken; /* a block was written in part: nothing may follow it */
};

/* All of it, or nothing that a reader would stumble over. */
static int write_block(struct pcapng *c, struct iovec *iov, int count)
{
    size_t total = 0, done = 0;

    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    if (c->broken || (c->limit_bytes && c->written_bytes + total > c->limit_bytes))
        return -ENOSPC;
    while (done < total) {
        ssize_t n = writev(c->fd, iov, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            c->broken = done > 0;
            return n < 0 ? -errno : -EIO;
        }
        done += (size_t)n;
        c->written_bytes += (size_t)n;
        while (count && (size_t)n >= iov->iov_len) {
            n -= (ssize_t)iov->iov_len;
            iov++;
            count--;
        }
        if (count) {
            iov->iov_base = (char *)iov->iov_base + n;
            iov->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int pcapng_new(int fd, uint64_t limit_bytes, unsigned snap_bytes, struct pcapng **ret_capture)
{
    struct pcapng *c = calloc(1, sizeof(*c));
    uint8_t block[28];
    struct iovec iov = {block, sizeof(block)};
    int r;

    if (!c) {
        close(fd);
        return -ENOMEM;
    }
    c->fd = fd;
    c->limit_bytes = limit_bytes;
    c->snap_bytes = snap_bytes ? snap_bytes : NET_FRAME_MAX;
    le32_put(block, BLOCK_SECTION);
    le32_put(block + 4, sizeof(block));
    le32_put(block + 8, BYTE_ORDER_MAGIC);
    le16_put(block + 12, 1);
    le16_put(block + 14, 0);
    le64_put(block + 16, UINT64_MAX); /* length not known */
    le32_put(block + 24, sizeof(block));
    r = write_block(c, &iov, 1);
    if (r < 0)
        pcapng_free(c);
    else
        *ret_capture = c;
    return r;
}

struct pcapng *pcapng_free(struct pcapng *c)
{
    if (c) {
        close(c->fd);
        free(c);
    }
    return NULL;
}

int pcapng_interface(struct pcapng *c, const char *name)
{
    uint8_t block[44 + NAME_BYTES_MAX] = {0};
    size_t len = strnlen(name, NAME_BYTES_MAX), at = 16;
    struct iovec iov = {block, 0};
    int r;

    if (c->interfaces == PCAPNG_INTERFACES_MAX)
        return -ENOSPC;
    le32_put(block, BLOCK_INTERFACE);
    le16_put(block + 8, LINK_ETHERNET);
    le32_put(block + 12, c->snap_bytes);
    le16_put(block + at, OPTION_NAME);
    le16_put(block + at + 2, (uint16_t)len);
    memcpy(block + at + 4, name, len);
    at += 4 + align_up(len, 4);
    le16_put(block + at, OPTION_RESOLUTION);
    le16_put(block + at + 2, 1);
    block[at + 4] = 9; /* nanoseconds */
    at += 8;
    le16_put(block + at, OPTION_END);
    at += 4;
    le32_put(block + 4, (uint32_t)at + 4);
    le32_put(block + at, (uint32_t)at + 4);
    iov.iov_len = at + 4;
    r = write_block(c, &iov, 1);
    return r < 0 ? r : (int)c->interfaces++;
}

void pcapng_frame(struct pcapng *c, unsigned interface, bool inbound, uint64_t time_ns,
                  const struct net_frame *f)
{
    size_t kept = MIN(f->len_bytes, (size_t)c->snap_bytes), pad = align_up(kept, 4) - kept;
    uint8_t header[PACKET_HEADER_BYTES], trailer[4 + PACKET_TRAILER_BYTES] = {0};
    uint32_t total = (uint32_t)(PACKET_HEADER_BYTES + kept + pad + PACKET_TRAILER_BYTES);
    struct iovec iov[NET_IOV_MAX + 2];
    unsigned count = 1;
    size_t left = kept;

    if (f->iov_count > NET_IOV_MAX - 2) {
        c->missed++;
        return;
    }
    le32_put(header, BLOCK_PACKET);
    le32_put(header + 4, total);
    le32_put(header + 8, interface);
    le32_put(header + 12, (uint32_t)(time_ns >> 32));
    le32_put(header + 16, (uint32_t)time_ns);
    le32_put(header + 20, (uint32_t)kept);
    le32_put(header + 24, (uint32_t)f->len_bytes);
    iov[0] = (struct iovec){header, sizeof(header)};
    for (unsigned i = 0; i < f->iov_count && left; i++) {
        iov[count] = f->iov[i];
        iov[count].iov_len = MIN(iov[count].iov_len, left);
        left -= iov[count++].iov_len;
    }
    le16_put(trailer + pad, OPTION_FLAGS);
    le16_put(trailer + pad + 2, 4);
    le32_put(trailer + pad + 4, inbound ? INBOUND : OUTBOUND);
    le32_put(trailer + pad + 12, total);
    iov[count++] = (struct iovec){trailer, pad + PACKET_TRAILER_BYTES};
    if (write_block(c, iov, (int)count) < 0)
        c->missed++;
}

uint64_t pcapng_missed(const struct pcapng *c)
{
    return c->missed;
}
