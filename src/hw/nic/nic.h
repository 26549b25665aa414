/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all network cards on the PCI bus are given. The cable is plugged in later, at the port that
 * each shows.
 */
#ifndef HW_NIC_NIC_H
#define HW_NIC_NIC_H

#include "hw/core/pci.h"
#include "net/port.h"

struct nic_env {
    struct pci_bus *pci;
    uint8_t devfn;
    struct clock *clock;
    uint8_t mac[NET_MAC_BYTES];
    const void *rom; /* option ROM for booting from the network; NULL: none. Copied. */
    uint64_t rom_bytes;
};

#endif
