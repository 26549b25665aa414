/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The DHCP server of a virtual network: RFC 2131 (protocol), RFC 2132 (options), RFC 4578 (PXE),
 * UEFI 2.10 24.7 (HTTP boot). It serves machines that are on the network's switch, by their
 * Ethernet address: a message that speaks for another adapter than the one that sent it is not
 * answered, nor are relays.
 *
 * An address that the client does not have already is looked for with ARP before it is offered (2131,
 * 3.1 and 4.4.1); who answers for all of them delays others a little, and keeps them from nothing.
 *
 * Not here: BOOTP clients (RFC 1534), authentication.
 */
#ifndef SERVICES_DHCP_H
#define SERVICES_DHCP_H

#include "services/leases.h"
#include "services/stack.h"

#define DHCP_SERVERS_MAX 4u

struct dhcp_config {
    struct in_addr gateway; /* 0.0.0.0: none */
    struct in_addr dns[DHCP_SERVERS_MAX], wins[DHCP_SERVERS_MAX];
    unsigned dns_count, wins_count;
    uint32_t lease_s, renewal_s, rebinding_s;
    const char *domain;      /* may be NULL */
    const char *boot_file;   /* for PXE of a BIOS, may be NULL */
    const char *boot_efi;    /* for UEFI on x86-64; may be NULL: boot_file */
    const char *boot_script; /* for iPXE, by HTTP; may be NULL: as the firmware */
    /* Seconds since 1970. */
    uint64_t (*now_s)(void *ctx);
    /* The name of the machine with this adapter, to be told to it; NULL: none. */
    const char *(*name_of)(void *ctx, const uint8_t *mac);
    void *ctx;
};

struct dhcp;

/* Serve on the stack. The strings of config, leases, stack and clock stay the caller's. -ENOMEM. */
int dhcp_new(const struct dhcp_config *config, struct stack *stack, struct leases *leases,
             struct clock *clock, struct dhcp **ret_dhcp);
/* Before the stack is free. NULL is fine. Always returns NULL. */
struct dhcp *dhcp_free(struct dhcp *d);

#endif
