/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "net/packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>

static int packet_error(const char *interface, int code, struct error *err)
{
    return error_set(err, -code, "interface %s: %s%s", interface, strerror(code),
                     code == EPERM ? "; packet sockets need CAP_NET_RAW" : "");
}

int packet_new(const char *interface, const struct net_lock *lock, struct tap **ret_tap,
               struct error *err)
{
    AUTO_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unsigned index = if_nametoindex(interface);
    struct sockaddr_ll addr = {
        .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)index};
    struct packet_mreq all = {.mr_ifindex = (int)index, .mr_type = PACKET_MR_PROMISC};
    int on = 1;

    if (!index)
        return packet_error(interface, ENODEV, err);
    /* Headers with offloads before each frame, VLAN tags beside it; not what this host sends. */
    if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return packet_error(interface, errno, err);
    return tap_new_fd(take_fd(&fd), TAP_PACKET, lock, ret_tap, err);
}
