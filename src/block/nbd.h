/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk for others, by the NBD protocol
 * (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md): fixed newstyle
 * negotiation, simple replies. Left out: TLS, structured replies, block status, resize.
 */
#ifndef BLOCK_NBD_H
#define BLOCK_NBD_H

#include "block/blk.h"

/*
 * Serve one client on a connected socket until it leaves; several threads may serve one disk.
 * 0 when it said goodbye, else -errno. A client may be hostile: what it asks for is checked, and
 * who breaks the protocol is left.
 */
int nbd_serve(struct blk *blk, int fd);

#endif
