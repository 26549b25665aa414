/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packet captures for Wireshark and tcpdump: PCAP Next Generation, draft-ietf-opsawg-pcapng,
 * sections 4.1 (section header), 4.2 (interface), 4.3 (enhanced packet).
 */
#ifndef NET_PCAPNG_H
#define NET_PCAPNG_H

#include "net/port.h"

#define PCAPNG_INTERFACES_MAX 4096u

struct pcapng;

/*
 * Write to fd, which is taken over, at most limit_bytes (0: no limit; what comes after is counted
 * only). Of each frame the first snap_bytes (0: all). -ENOMEM, or what writing said.
 */
int pcapng_new(int fd, uint64_t limit_bytes, unsigned snap_bytes, struct pcapng **ret_capture);
/* Close the file. NULL is fine. Always returns NULL. */
struct pcapng *pcapng_free(struct pcapng *capture);
/* Name another source of frames; its number. -ENOSPC, or what writing said. */
int pcapng_interface(struct pcapng *capture, const char *name);
/* A frame that source `interface` has sent (inbound) or was sent, at a time since 1970. */
void pcapng_frame(struct pcapng *capture, unsigned interface, bool inbound, uint64_t time_ns,
                  const struct net_frame *frame);
/* Frames that are not in the file: no room, or an error. */
uint64_t pcapng_missed(const struct pcapng *capture);

#endif
