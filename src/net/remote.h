/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cable to a network that is a process of its own (yado-net), by the socket that it listens on.
 *
 * The talk on the socket (SOCK_SEQPACKET), once at the start: a struct remote_hello; its answer is
 * a struct remote_welcome, with the memory and the two events of a link (net/link.h) as
 * descriptors when it is one, the client being side 1. Who closes the socket pulls the cable out.
 */
#ifndef NET_REMOTE_H
#define NET_REMOTE_H

#include "base/error.h"
#include "net/lock.h"
#include "net/port.h"

#define REMOTE_MAGIC 0x4f444159u /* "YADO" */
#define REMOTE_VERSION 2u
#define REMOTE_NAME_BYTES 64u
#define REMOTE_TEXT_BYTES 200u

struct remote_hello {
    uint32_t magic, version;
    uint8_t mac[NET_MAC_BYTES];
    uint8_t reserved[2];
    char name[REMOTE_NAME_BYTES]; /* of the machine; ends with a zero */
};

struct remote_welcome {
    uint32_t magic, version;
    int32_t error; /* 0, or a negative errno with a text */
    char text[REMOTE_TEXT_BYTES];
};

struct remote;

/*
 * Connect to the network at path, as adapter `mac` of machine `name`. When the network goes away
 * the cable is out; once it is back the cable is in again. lock is that of the cable. A network that
 * is not there, but may be about to start, is waited for, at most wait_ms.
 */
int remote_new(const char *path, const char *name, const uint8_t *mac, const struct net_lock *lock,
               unsigned wait_ms, struct remote **ret_remote, struct error *err);
/* Not under the cable's lock. NULL is fine. Always returns NULL. */
struct remote *remote_free(struct remote *remote);
int remote_start(struct remote *remote, struct error *err);
struct net_port *remote_port(struct remote *remote);

#endif
