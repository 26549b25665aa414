/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM (PRO/1000 MT Desktop), which nearly every system has a driver for.
 */
#ifndef HW_NIC_E1000_H
#define HW_NIC_E1000_H

#include "hw/nic/nic.h"

struct e1000;

extern const struct dev_ops e1000_dev_ops;

/* -ENOMEM, -EBUSY. */
int e1000_new(const struct nic_env *env, struct e1000 **ret_dev);
/* The card's plug. */
struct net_port *e1000_port(struct e1000 *dev);

#endif
