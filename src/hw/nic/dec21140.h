/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Digital (later Intel) 21140A: the card of Virtual Server's machines, "tulip" of Linux.
 */
#ifndef HW_NIC_DEC21140_H
#define HW_NIC_DEC21140_H

#include "hw/nic/nic.h"

struct dec21140;

extern const struct dev_ops dec21140_dev_ops;

/* -ENOMEM, -EBUSY. */
int dec21140_new(const struct nic_env *env, struct dec21140 **ret_dev);
/* The card's plug. */
struct net_port *dec21140_port(struct dec21140 *dev);

#endif
