/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types on the guest's keyboard at a pace that firmware and kernels keep up with.
 */
#ifndef MONITOR_TYPIST_H
#define MONITOR_TYPIST_H

#include <uv.h>

#include "base/error.h"
#include "machine/machine.h"

#define TYPIST_EVENTS_MAX 16384u
#define TYPIST_CHORD_MAX 8u

struct typist;

/* -ENOMEM. */
int typist_new(uv_loop_t *loop, struct machine *machine, struct typist **ret_typist);
/* What waits is not typed. NULL is fine. Always returns NULL. */
struct typist *typist_free(struct typist *t);
/* Keys pressed together, "ctrl-alt-delete". -EINVAL with text, -EAGAIN when too much waits. */
int typist_chord(struct typist *t, const char *chord, struct error *err);
/* Characters of the US layout; nothing is typed if one cannot be. */
int typist_text(struct typist *t, const char *text, size_t len_bytes, struct error *err);

#endif
