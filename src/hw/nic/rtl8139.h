/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Realtek RTL8139C.
 */
#ifndef HW_NIC_RTL8139_H
#define HW_NIC_RTL8139_H

#include "hw/nic/nic.h"

struct rtl8139;

extern const struct dev_ops rtl8139_dev_ops;

/* -ENOMEM, -EBUSY. */
int rtl8139_new(const struct nic_env *env, struct rtl8139 **ret_dev);
/* The card's plug. */
struct net_port *rtl8139_port(struct rtl8139 *dev);

#endif
