/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ethernet addresses as people write them.
 */
#ifndef NET_MAC_H
#define NET_MAC_H

#include "net/port.h"

#define MAC_TEXT_BYTES 18u

/* "52:54:00:12:34:56", or with dashes: the address of one adapter. -EINVAL. */
int mac_parse(const char *text, uint8_t *ret_mac);
/* Can it be that? A group's and all zeroes cannot. */
bool mac_is_single(const uint8_t *mac);
/* Into buf, of MAC_TEXT_BYTES; returns it. */
const char *mac_format(const uint8_t *mac, char *buf);

#endif
