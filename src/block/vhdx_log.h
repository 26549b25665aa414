/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of a VHDX: changes of its structures that may not have reached them.
 */
#ifndef BLOCK_VHDX_LOG_H
#define BLOCK_VHDX_LOG_H

#include "block/vhdx_format.h"

/*
 * What the file is once its log has been replayed, without writing to it: a file that reads so.
 * The given one then belongs to it. With an empty log it is returned itself.
 */
int vhdx_log_replay(struct blk_file *file, const struct vhdx_header *header,
                    struct blk_file **ret_file, struct error *err);
/* Write what such a file shows to the one beneath. Can be repeated. 0 or -errno. */
int vhdx_log_apply(struct blk_file *replayed);
/* Free such a file, but not the one beneath. */
void vhdx_log_release(struct blk_file *replayed);

#endif
