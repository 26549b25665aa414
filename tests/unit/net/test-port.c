/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cables: what passes, what waits, what is dropped; sums and segments made in software. */
#include "nettest.h"

static struct net_frame frame_of(struct iovec *iov, void *bytes, size_t len)
{
    *iov = (struct iovec){bytes, len};
    return net_frame_of(iov);
}

/* A refused frame is announced as soon as there is room; a held end takes nothing. */
static void backpressure(void **ctx)
{
    (void)ctx;
    struct end *a = end_new(), *b = end_new();
    uint8_t bytes[60] = {1};
    struct iovec iov;
    struct net_frame f = frame_of(&iov, bytes, sizeof(bytes));

    assert_true(net_send(&a->port, &f)); /* a loose cable swallows */
    assert_int_equal(a->port.sent.drops, 1);
    net_connect(&a->port, &b->port);
    assert_int_equal(a->links, 1);
    assert_int_equal(b->links, 1);
    b->room = 1;
    assert_true(net_send(&a->port, &f));
    assert_false(net_send(&a->port, &f));
    net_ready(&b->port);
    assert_int_equal(a->readies, 1);
    net_ready(&b->port); /* nobody waits any more */
    assert_int_equal(a->readies, 1);
    b->room = 10;
    net_hold(&b->port, true);
    assert_false(net_send(&a->port, &f));
    net_ready(&b->port);
    assert_int_equal(a->readies, 1);
    net_hold(&b->port, false);
    assert_int_equal(a->readies, 2);
    assert_true(net_send(&a->port, &f));
    assert_int_equal(b->count, 2);
    assert_int_equal(b->port.received.frames, 2);
    assert_int_equal(a->port.sent.bytes, 120);

    net_unplug(&b->port, true);
    assert_int_equal(a->links, 0);
    assert_true(net_send(&a->port, &f));
    assert_int_equal(b->count, 2);
    net_unplug(&a->port, true); /* both out: still one change */
    net_unplug(&b->port, false);
    assert_int_equal(a->links, 0);
    net_unplug(&a->port, false);
    assert_int_equal(a->links, 1);
    b->room = 0;
    assert_false(net_send(&a->port, &f));
    net_disconnect(&b->port); /* who waits is told */
    assert_int_equal(a->readies, 3);
    assert_int_equal(a->links, 0);
    assert_int_equal(b->links, 0);
    assert_false(net_link_up(&a->port));
    free(a);
    free(b);
}

/* What is no frame does not reach the far end. */
static void hostile(void **ctx)
{
    (void)ctx;
    struct end *a = end_new(), *b = end_new();
    uint8_t *bytes = calloc(1, NET_FRAME_MAX + 1);
    struct iovec iov, many[NET_IOV_MAX + 1];
    struct net_frame f = frame_of(&iov, bytes, 13);

    b->port.accepts = ~0u;
    net_connect(&a->port, &b->port);
    assert_true(net_send(&a->port, &f));
    f = frame_of(&iov, bytes, NET_FRAME_MAX + 1);
    assert_true(net_send(&a->port, &f));
    for (unsigned i = 0; i <= NET_IOV_MAX; i++)
        many[i] = (struct iovec){bytes, 1};
    f = (struct net_frame){.iov = many, .iov_count = NET_IOV_MAX + 1, .len_bytes = NET_IOV_MAX + 1};
    assert_true(net_send(&a->port, &f));

    size_t len = tcp_frame(bytes, false, 4000, 0x10);
    static const struct net_offload bad[] = {
        {.flags = NET_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535},
        {.flags = NET_NEEDS_CSUM, .csum_start = 4053, .csum_offset = 0},
        {.gso = NET_GSO_TCP4, .gso_bytes = 1460},
        {.flags = NET_NEEDS_CSUM, .gso = NET_GSO_TCP4, .csum_start = 34, .csum_offset = 16},
        {.flags = NET_NEEDS_CSUM,
         .gso = NET_GSO_TCP4,
         .gso_bytes = 1,
         .csum_start = 34,
         .csum_offset = 16},
        {.flags = NET_NEEDS_CSUM,
         .gso = NET_GSO_TCP6,
         .gso_bytes = 1460,
         .csum_start = 34,
         .csum_offset = 16},
        {.flags = NET_NEEDS_CSUM, .gso = 3, .gso_bytes = 1460, .csum_start = 34, .csum_offset = 6},
        {.flags = NET_NEEDS_CSUM,
         .gso = NET_GSO_TCP4,
         .gso_bytes = 1460,
         .csum_start = 38,
         .csum_offset = 16},
        {.flags = NET_NEEDS_CSUM,
         .gso = NET_GSO_ECN,
         .gso_bytes = 1460,
         .csum_start = 34,
         .csum_offset = 16},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        f = frame_of(&iov, bytes, len);
        f.offload = bad[i];
        assert_true(net_send(&a->port, &f));
    }
    assert_int_equal(b->count, 0);
    assert_int_equal(a->port.sent.drops, 3 + ARRAY_LEN(bad));
    /* Headers that end in the middle, a length of TCP's that is none. */
    for (size_t cut = 14; cut < 54; cut++) {
        struct offload_layout l;
        assert_false(offload_parse(bytes, cut, &l));
    }
    struct offload_layout l;
    bytes[46] = 0x40;
    assert_false(offload_parse(bytes, len, &l));
    bytes[46] = 0xf0;
    assert_false(offload_parse(bytes, 60, &l));
    free(bytes);
    free(a);
    free(b);
}

static void checksum(void **ctx)
{
    (void)ctx;
    struct end *a = end_new(), *b = end_new();
    uint8_t bytes[2000];
    struct iovec iov[3];

    net_connect(&a->port, &b->port);
    for (unsigned ip6 = 0; ip6 < 2; ip6++) {
        size_t len = tcp_frame(bytes, ip6, 501, 0x10);
        unsigned tcp = ip6 ? 54 : 34;
        struct offload_layout l;
        assert_true(offload_parse(bytes, len, &l));
        be16_put(bytes + tcp + 16,
                 (uint16_t)~offload_sum_end(offload_pseudo(bytes, &l, len - tcp)));
        iov[0] = (struct iovec){bytes, 3};
        iov[1] = (struct iovec){bytes + 3, 400};
        iov[2] = (struct iovec){bytes + 403, len - 403};
        struct net_frame f = {
            .iov = iov,
            .iov_count = 3,
            .len_bytes = len,
            .offload = {.flags = NET_NEEDS_CSUM, .csum_start = (uint16_t)tcp, .csum_offset = 16}};
        if (!ip6)
            be16_put(bytes + 24, offload_sum_end(offload_sum(bytes + 14, 20, 0)));
        b->port.accepts = 0;
        assert_true(net_send(&a->port, &f));
        assert_int_equal(b->count, 1);
        assert_true(sums_right(b->frames[0].bytes, len));
        assert_int_equal(b->frames[0].offload.flags, NET_DATA_VALID);
        b->port.accepts = NET_ACCEPTS_CSUM; /* and as it is for who does it himself */
        assert_true(net_send(&a->port, &f));
        assert_int_equal(b->frames[1].offload.flags, NET_NEEDS_CSUM);
        assert_memory_equal(b->frames[1].bytes, bytes, len);
        b->count = 0;
    }
    free(a);
    free(b);
}

/* Segments: numbers go on, lengths and sums are right, flags are where they belong. */
static void segments(void **ctx)
{
    (void)ctx;
    struct end *a = end_new(), *b = end_new();
    uint8_t *bytes = malloc(NET_FRAME_MAX);
    struct iovec iov;

    net_connect(&a->port, &b->port);
    for (unsigned ip6 = 0; ip6 < 2; ip6++) {
        size_t len = tcp_frame(bytes, ip6, 10000, 0x99 /* CWR ACK PSH FIN */), at = 0;
        unsigned ip = ip6 ? 40 : 20, head = 14 + ip + 20;
        struct net_frame f = frame_of(&iov, bytes, len);
        f.offload = (struct net_offload){
            .flags = NET_NEEDS_CSUM,
            .gso = (uint8_t)((ip6 ? NET_GSO_TCP6 : NET_GSO_TCP4) | NET_GSO_ECN),
            .gso_bytes = 1400,
            .csum_start = (uint16_t)(14 + ip),
            .csum_offset = 16};
        b->port.accepts = NET_ACCEPTS_CSUM;
        assert_true(net_send(&a->port, &f));
        assert_int_equal(b->count, 8);
        for (unsigned i = 0; i < b->count; i++) {
            const uint8_t *s = b->frames[i].bytes;
            size_t n = b->frames[i].len - head;
            assert_int_equal(n, i < 7 ? 1400 : 200);
            assert_true(sums_right(s, b->frames[i].len));
            assert_int_equal(be32_get(s + 14 + ip + 4), (uint32_t)(0xfffff000 + at));
            assert_int_equal(s[14 + ip + 13], i == 0 ? 0x90 : i < 7 ? 0x10 : 0x19);
            assert_memory_equal(s + head, bytes + head + at, n);
            if (!ip6) {
                assert_int_equal(be16_get(s + 16), 40 + n);
                assert_int_equal(be16_get(s + 18), 0x1234 + i);
            } else {
                assert_int_equal(be16_get(s + 18), 20 + n);
            }
            at += n;
        }
        b->count = 0;
        b->room = 3; /* the rest waits, and nothing overtakes it */
        unsigned readies = a->readies;
        assert_true(net_send(&a->port, &f));
        assert_int_equal(b->count, 3);
        assert_false(net_send(&a->port, &f));
        struct iovec small = {bytes, 60};
        struct net_frame plain = net_frame_of(&small);
        assert_false(net_send(&a->port, &plain));
        b->room = 2;
        net_ready(&b->port);
        assert_int_equal(b->count, 5);
        assert_int_equal(a->readies, readies);
        b->room = 3;
        net_ready(&b->port);
        assert_int_equal(b->count, 8);
        assert_int_equal(a->readies, readies + 1);
        assert_int_equal(be32_get(b->frames[7].bytes + 14 + ip + 4), (uint32_t)(0xfffff000 + 9800));
        b->count = 0;
        b->room = 0;
        assert_false(net_send(&a->port, &f));
        b->room = 1000;
        b->port.accepts = NET_ACCEPTS_CSUM | NET_ACCEPTS_TSO4 | NET_ACCEPTS_TSO6 | NET_ACCEPTS_ECN;
        assert_true(net_send(&a->port, &f));
        assert_int_equal(b->count, 1);
        assert_int_equal(b->frames[0].offload.gso_bytes, 1400);
        b->count = 0;
    }
    /* A packet without payload is a segment, too. */
    size_t len = tcp_frame(bytes, false, 0, 0x10);
    struct net_frame f = frame_of(&iov, bytes, len);
    f.offload = (struct net_offload){.flags = NET_NEEDS_CSUM,
                                     .gso = NET_GSO_TCP4,
                                     .gso_bytes = 1400,
                                     .csum_start = 34,
                                     .csum_offset = 16};
    b->port.accepts = 0;
    assert_true(net_send(&a->port, &f));
    assert_int_equal(b->count, 1);
    free(bytes);
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(backpressure), cmocka_unit_test(hostile),
                                       cmocka_unit_test(checksum), cmocka_unit_test(segments)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
