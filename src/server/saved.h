/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a saved machine was: FOLDER/saved.json, the definition of the machine whose memory lies in
 * SAVED_FILE. The definition may be changed meanwhile; it is this one that the saved machine goes
 * on with, and the changes count from the next start on; but for the engine, which no machine is
 * made of.
 */
#ifndef SERVER_SAVED_H
#define SERVER_SAVED_H

#include "server/machine.h"

/* Write it, from what the machine was started with, before it is saved. -errno with text. */
int saved_keep(struct machine *m, struct error *err);
/* The definition to go on with, owned by the caller: the one kept, else the present one. */
json_t *saved_definition(const struct machine *m);
/* Nothing is saved any more. */
void saved_forget(struct machine *m);

#endif
