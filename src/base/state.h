/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving and loading by one walk. A device lists its state once:
 *
 *     static int pit_state(void *dev, struct state *s)
 *     {
 *         struct pit *pit = dev;
 *         state_u16(s, "count", &pit->count);
 *         state_bool(s, "gate", &pit->gate);
 *         return state_error(s);
 *     }
 *
 * and the same function writes the fields when saving and reads them when loading. Fields are
 * found by name within their section, so that a newer version may add some; a field that is
 * missing in the file keeps its present value. Errors stick: the first is returned by
 * state_error(), later calls do nothing.
 *
 * A loaded number is as hostile as a guest's: a device checks it (state_check()) before using it
 * as an index or a size.
 */
#ifndef BASE_STATE_H
#define BASE_STATE_H

#include "base/util.h"

struct state;

/* A walk that saves into a growing buffer. -ENOMEM. */
int state_new_save(struct state **ret_state);
/* A walk that loads from a copy of data. -ENOMEM; -EBADMSG if the framing is damaged. */
int state_new_load(const void *data, size_t len_bytes, struct state **ret_state);
/* Free. NULL is fine. Always returns NULL. */
struct state *state_free(struct state *s);
/* What a saving walk has written so far; valid until the next call on s. */
const void *state_data(const struct state *s, size_t *ret_len_bytes);

bool state_loading(const struct state *s);
/* 0 or the first error of this walk. */
int state_error(const struct state *s);

/*
 * Enter a section (a device); sections do not nest. When loading, *version is set to the file's
 * version; -ENOENT is returned (and does not stick) when the file has no such section.
 */
int state_section(struct state *s, const char *name, uint32_t *version);

void state_bool(struct state *s, const char *name, bool *v);
void state_u8(struct state *s, const char *name, uint8_t *v);
void state_u16(struct state *s, const char *name, uint16_t *v);
void state_u32(struct state *s, const char *name, uint32_t *v);
void state_u64(struct state *s, const char *name, uint64_t *v);
/* A fixed-length run of bytes; loading a field of another length is -EBADMSG. */
void state_bytes(struct state *s, const char *name, void *v, size_t len_bytes);
/* A string; loading one that has not room_bytes, its end included, or has a zero in it, is -EBADMSG. */
void state_string(struct state *s, const char *name, char *v, size_t room_bytes);
/* When loading and ok is false: the walk fails with -EBADMSG. */
void state_check(struct state *s, bool ok);

struct timer;
/* The deadline of a timer; loading sets or cancels the timer. */
void state_timer(struct state *s, const char *name, struct timer *timer);

#endif
