/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cable to an interface of the host: what the card sends arrives at the host's TAP interface,
 * and what the host sends through that comes out here.
 */
#ifndef NET_TAP_H
#define NET_TAP_H

#include "base/error.h"
#include "net/lock.h"
#include "net/port.h"

struct tap;

/*
 * Attach to the TAP interface `name`, which is made when there is none and we may. lock is that of
 * the cable. -EPERM, -ENOENT, -EBUSY… with text.
 */
int tap_new(const char *name, const struct net_lock *lock, struct tap **ret_tap, struct error *err);
/*
 * The descriptor of such an interface alone; a name with %d gets a number. ret_name (IF_NAMESIZE
 * bytes) is what it is called then.
 */
int tap_open(const char *name, char *ret_name, int *ret_fd, struct error *err);
/* The descriptor of a macvtap interface, whose device is /dev/tap and its index. */
int tap_open_macvtap(const char *name, unsigned index, int *ret_fd, struct error *err);

enum tap_sort {
    TAP_DEVICE, /* TAP and macvtap: VLAN tags are in the frames */
    TAP_PACKET, /* a packet socket: the tag of a frame may lie beside it (PACKET_AUXDATA) */
};
/*
 * The same on a descriptor that speaks as a TAP does, with a header of 10 bytes before each frame
 * (TUNSETVNETHDRSZ; packet sockets have it, too): takes fd over.
 */
int tap_new_fd(int fd, enum tap_sort sort, const struct net_lock *lock, struct tap **ret_tap,
               struct error *err);
/* End its thread and close. Not under the cable's lock. NULL is fine. */
struct tap *tap_free(struct tap *tap);
/* Before it starts: who is told, by its thread and without the cable's lock, that the host's interface
 * has been removed. The cable is out then. */
void tap_on_gone(struct tap *tap, void (*gone)(void *ctx), void *ctx);
/* Begin to pass frames. */
int tap_start(struct tap *tap, struct error *err);
struct net_port *tap_port(struct tap *tap);

#endif
