/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What network cards share: the frame check sequence of IEEE 802.3 (3.2.9), which their multicast
 * filters use, too.
 */
#ifndef HW_CORE_ETHERNET_H
#define HW_CORE_ETHERNET_H

#include <stddef.h>
#include <stdint.h>

/* The check sequence as it follows a frame: as a little-endian number. */
uint32_t ethernet_fcs(const void *data, size_t len_bytes);
/* The register before it is inverted, with its bits in the order of the polynomial: hash filters
 * take its upper or lower bits. */
uint32_t ethernet_hash(const uint8_t mac[6]);

#endif
