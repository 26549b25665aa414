/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which frames a virtio network card lets in: VIRTIO 1.2, 5.1.6.5.1 to 5.1.6.5.3.
 */
#ifndef HW_VIRTIO_VIRTIO_NETFILTER_H
#define HW_VIRTIO_VIRTIO_NETFILTER_H

#include "base/state.h"
#include "net/port.h"

#define VIRTIO_NETFILTER_MACS 64u
/* The longest list that a driver may send: two counts and as many addresses as it likes to name. */
#define VIRTIO_NETFILTER_TABLE_BYTES 2048u

struct virtio_netfilter {
    bool promiscuous, all_multicast, all_unicast, no_multicast, no_unicast, no_broadcast;
    bool multicast_overflow; /* more than the table holds: all are let in */
    uint8_t unicast_count, multicast_count;
    uint8_t macs[VIRTIO_NETFILTER_MACS][NET_MAC_BYTES]; /* unicast first */
    uint8_t vlans[4096 / 8];
};

/* Let in what is sent to the card's own address, and everything sent to all. */
void virtio_netfilter_reset(struct virtio_netfilter *filter);
/* Does a frame that begins with these 18 bytes come in? vlan: VLANs are filtered. */
bool virtio_netfilter_wants(const struct virtio_netfilter *filter, const uint8_t *mac,
                            const uint8_t *start, bool vlan);
/* Commands of the control queue; false when it is none. */
bool virtio_netfilter_mode(struct virtio_netfilter *filter, uint8_t command, bool on);
bool virtio_netfilter_table(struct virtio_netfilter *filter, const uint8_t *data, size_t len_bytes);
bool virtio_netfilter_vlan(struct virtio_netfilter *filter, uint8_t command, uint16_t vlan);
void virtio_netfilter_state(struct virtio_netfilter *filter, struct state *s);

#endif
