/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_net */
/*
 * Frames of any kind, with any offload header, into a switch with an access port, a trunk, a port
 * with a rate and one that hears everything; each frame that comes out must be whole, and one that
 * was cut must have right sums. Input: steps of a byte (port, kind), an offload header for some, a
 * length and the frame's first bytes.
 */
#include "fuzz/fuzzinput.h"
#include "net/offload.h"
#include "net/switch.h"

#define PORTS 4u
#define STEPS_MAX 2000u

struct far {
    struct net_port port;
    unsigned refusals;
};

static bool far_receive(void *ctx, const struct net_frame *f)
{
    static uint8_t bytes[NET_FRAME_MAX];
    struct far *far = ctx;

    fuzz_require(f->len_bytes <= NET_FRAME_MAX);
    fuzz_require(net_gather(f->iov, f->iov_count, 0, bytes, sizeof(bytes)) == f->len_bytes);
    fuzz_require(offload_is_plain(&f->offload) || offload_accepted(&f->offload, far->port.accepts));
    fuzz_require(offload_check(f) == 0);
    return far->refusals++ % 7 != 3;
}

static const struct net_port_ops far_ops = {.receive = far_receive};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    static uint8_t bytes[NET_FRAME_MAX + 64];
    struct far ends[PORTS] = {0};
    struct switch_port *ports[PORTS];
    struct net_switch *sw;
    struct clock *clock;

    fuzz_require(clock_new_manual(&clock) == 0 && switch_new(clock, &sw) == 0);
    for (unsigned i = 0; i < PORTS; i++) {
        struct switch_config c = {.any_source = i != 0,
                                  .vlan = (uint16_t)(i == 1 ? 0 : 5),
                                  .trunk = i == 1,
                                  .promiscuous = i == 3,
                                  .rate_bytes = i == 2 ? 100000 : 0};
        memset(c.vlans, 0x55, sizeof(c.vlans));
        net_port_init(&ends[i].port, &far_ops, &ends[i]);
        ends[i].port.accepts = i * 5;
        fuzz_require(switch_port_add(sw, &c, &ports[i]) == 0);
        net_connect(&ends[i].port, switch_port_plug(ports[i]));
    }
    for (unsigned step = 0; in.left && step < STEPS_MAX; step++) {
        unsigned what = (unsigned)input_get(&in, 1), n = what % PORTS;
        size_t given = input_get(&in, 1) % 80;
        struct iovec iov[2];
        struct net_frame f = {.iov = iov, .iov_count = 2};

        if (what & 4)
            for (unsigned i = 0; i < sizeof(f.offload); i++)
                ((uint8_t *)&f.offload)[i] = (uint8_t)input_get(&in, 1);
        for (size_t i = 0; i < given && in.left; i++)
            bytes[i] = (uint8_t)input_get(&in, 1);
        f.len_bytes = given + (what & 8 ? input_get(&in, 2) : 20);
        f.len_bytes = f.len_bytes < sizeof(bytes) ? f.len_bytes : sizeof(bytes);
        iov[0] = (struct iovec){bytes, f.len_bytes / 3};
        iov[1] = (struct iovec){bytes + f.len_bytes / 3, f.len_bytes - f.len_bytes / 3};
        (void)net_send(&ends[n].port, &f);
        if (what & 16)
            clock_advance(clock, input_get(&in, 1) << 20);
        if (what & 32)
            net_ready(&ends[(n + 1) % PORTS].port);
        if ((what & 0xc0) == 0xc0)
            net_unplug(&ends[n].port, !ends[n].port.unplugged);
    }
    (void)switch_addresses(sw);
    switch_free(sw);
    clock_free(clock);
    return 0;
}
