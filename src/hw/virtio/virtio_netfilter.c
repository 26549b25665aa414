/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hw/virtio/virtio_netfilter.h"

#include <string.h>

#include "base/bytes.h"

static const uint8_t broadcast[NET_MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* A card whose driver has no control queue lets everything in: 5.1.6.5.1. */
void virtio_netfilter_reset(struct virtio_netfilter *filter)
{
    *filter = (struct virtio_netfilter){.promiscuous = true};
}

static bool vlan_wanted(const struct virtio_netfilter *filter, const uint8_t *start)
{
    uint16_t vlan = be16_get(start + 14) & 0xfff;

    return be16_get(start + 12) != 0x8100 || filter->vlans[vlan / 8] >> (vlan % 8) & 1;
}

static bool in_table(const struct virtio_netfilter *filter, unsigned from, unsigned count,
                     const uint8_t *mac)
{
    for (unsigned i = from; i < from + count; i++)
        if (!memcmp(filter->macs[i], mac, NET_MAC_BYTES))
            return true;
    return false;
}

bool virtio_netfilter_wants(const struct virtio_netfilter *filter, const uint8_t *mac,
                            const uint8_t *start, bool vlan)
{
    if (filter->promiscuous)
        return true;
    if (vlan && !vlan_wanted(filter, start))
        return false;
    if (!memcmp(start, broadcast, NET_MAC_BYTES))
        return !filter->no_broadcast;
    if (start[0] & 1)
        return !filter->no_multicast &&
               (filter->all_multicast || filter->multicast_overflow ||
                in_table(filter, filter->unicast_count, filter->multicast_count, start));
    if (filter->no_unicast)
        return false;
    return filter->all_unicast || !memcmp(start, mac, NET_MAC_BYTES) ||
           in_table(filter, 0, filter->unicast_count, start);
}

bool virtio_netfilter_mode(struct virtio_netfilter *filter, uint8_t command, bool on)
{
    bool *const modes[] = {&filter->promiscuous,  &filter->all_multicast, &filter->all_unicast,
                           &filter->no_multicast, &filter->no_unicast,    &filter->no_broadcast};

    if (command >= ARRAY_LEN(modes))
        return false;
    *modes[command] = on;
    return true;
}

/* A count and as many addresses, at *at; false when the list is cut short. */
static bool list(const uint8_t *data, size_t len, size_t *at, const uint8_t **ret_macs,
                 uint32_t *ret_count)
{
    if (len - *at < 4)
        return false;
    *ret_count = le32_get(data + *at);
    *ret_macs = data + *at + 4;
    if (*ret_count > (len - *at - 4) / NET_MAC_BYTES)
        return false;
    *at += 4 + (size_t)*ret_count * NET_MAC_BYTES;
    return true;
}

bool virtio_netfilter_table(struct virtio_netfilter *filter, const uint8_t *data, size_t len_bytes)
{
    const uint8_t *unicast, *multicast;
    uint32_t unicasts, multicasts;
    size_t at = 0;

    if (!list(data, len_bytes, &at, &unicast, &unicasts) ||
        !list(data, len_bytes, &at, &multicast, &multicasts) || at != len_bytes)
        return false;
    /* What does not fit is let in altogether, as 5.1.6.5.2.1 allows. */
    if (unicasts > VIRTIO_NETFILTER_MACS) {
        filter->promiscuous = true;
        return true;
    }
    filter->multicast_overflow = multicasts > VIRTIO_NETFILTER_MACS - unicasts;
    filter->unicast_count = (uint8_t)unicasts;
    filter->multicast_count = filter->multicast_overflow ? 0 : (uint8_t)multicasts;
    memcpy(filter->macs, unicast, (size_t)unicasts * NET_MAC_BYTES);
    memcpy(filter->macs[unicasts], multicast, (size_t)filter->multicast_count * NET_MAC_BYTES);
    return true;
}

bool virtio_netfilter_vlan(struct virtio_netfilter *filter, uint8_t command, uint16_t vlan)
{
    uint8_t bit = (uint8_t)(1u << (vlan % 8));

    if (command > 1 || vlan > 0xfff)
        return false;
    if (command == 0)
        filter->vlans[vlan / 8] |= bit;
    else
        filter->vlans[vlan / 8] &= (uint8_t)~bit;
    return true;
}

void virtio_netfilter_state(struct virtio_netfilter *filter, struct state *s)
{
    state_bool(s, "filter.promiscuous", &filter->promiscuous);
    state_bool(s, "filter.all_multicast", &filter->all_multicast);
    state_bool(s, "filter.all_unicast", &filter->all_unicast);
    state_bool(s, "filter.no_multicast", &filter->no_multicast);
    state_bool(s, "filter.no_unicast", &filter->no_unicast);
    state_bool(s, "filter.no_broadcast", &filter->no_broadcast);
    state_bool(s, "filter.multicast_overflow", &filter->multicast_overflow);
    state_u8(s, "filter.unicast_count", &filter->unicast_count);
    state_u8(s, "filter.multicast_count", &filter->multicast_count);
    state_bytes(s, "filter.macs", filter->macs, sizeof(filter->macs));
    state_bytes(s, "filter.vlans", filter->vlans, sizeof(filter->vlans));
    state_check(s, filter->unicast_count + filter->multicast_count <= VIRTIO_NETFILTER_MACS);
}
