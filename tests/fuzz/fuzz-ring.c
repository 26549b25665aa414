/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_net */
/*
 * A ring in shared memory whose other side is hostile: it writes indices, lengths and headers as it
 * likes between our looks. Input: steps of a byte, then what each needs.
 */
#include "fuzz/fuzzinput.h"
#include "net/link.h"
#include "net/offload.h"

static unsigned received;

static bool card_receive(void *ctx, const struct net_frame *f)
{
    static uint8_t bytes[NET_FRAME_MAX];

    (void)ctx;
    fuzz_require(f->len_bytes <= NET_FRAME_MAX);
    net_gather(f->iov, f->iov_count, 0, bytes, sizeof(bytes));
    return received++ % 5 != 4;
}

static const struct net_port_ops card_ops = {.receive = card_receive};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[NET_FRAME_MAX];
    struct input in = {data, size};
    struct net_port card;
    struct link_fds fds;
    struct link l;

    received = 0;
    fuzz_require(link_make(&fds) == 0);
    link_init(&l);
    net_port_init(&card, &card_ops, NULL);
    net_connect(&card, &l.port);
    fuzz_require(link_attach(&l, &fds, 1) == 0);
    for (unsigned step = 0; in.left && step < 3000 && l.map; step++) {
        uint8_t what = (uint8_t)input_get(&in, 1);
        struct ring_shared *s = what & 8 ? l.in.shared : l.out.shared;
        struct iovec iov = {bytes, 0};
        struct net_frame f = {.iov = &iov, .iov_count = 1};

        switch (what & 7) {
        case 0:
            atomic_store(&s->tail, (unsigned)input_get(&in, 4));
            break;
        case 1:
            atomic_store(&s->head, (unsigned)input_get(&in, 4));
            break;
        case 2: /* a record, as it should be or not */
            for (unsigned i = 0, at = (unsigned)input_get(&in, 3) * 16; i < 16; i++)
                l.in.data[(at + i) % RING_BYTES] = (uint8_t)input_get(&in, 1);
            break;
        case 3: /* one more record is there */
            atomic_store(&l.in.shared->tail, l.in.at + 16 * (unsigned)input_get(&in, 2));
            break;
        case 4:
            atomic_store(&s->accepts, (unsigned)input_get(&in, 1));
            atomic_store(&s->taker_waits, what >> 4 & 1);
            atomic_store(&s->putter_waits, what >> 5 & 1);
            if (what >> 6 & 1)
                atomic_store(&s->base, (unsigned)input_get(&in, 4));
            break;
        case 5:
            iov.iov_len = f.len_bytes = 14 + input_get(&in, 2) % (NET_FRAME_MAX - 14);
            (void)net_send(&card, &f);
            break;
        case 6:
            net_ready(&card);
            break;
        default:
            if (link_pump(&l) < 0)
                link_detach(&l);
        }
    }
    net_disconnect(&card);
    link_detach(&l);
    return 0;
}
