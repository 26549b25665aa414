/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The commands of the control socket.
 */
#ifndef MONITOR_COMMANDS_H
#define MONITOR_COMMANDS_H

#include <jansson.h>

#include "base/error.h"
#include "machine/machine.h"
#include "monitor/networks.h"
#include "monitor/typist.h"
#include "monitor/work.h"

struct commands {
    const char *name; /* of the machine */
    struct machine *machine;
    struct typist *typist;
    struct work *work;
    struct networks *networks;
    void (*quit)(void *ctx); /* end the program soon */
    void *ctx;
};

/* Put data in the place of the file path, whole or not at all. -errno with text. */
int commands_write_file(const char *path, const uint8_t *data, size_t len_bytes, struct error *err);

/* A control_execute(); ctx is a struct commands. -ENOSYS: there is no such command. */
int commands_execute(void *ctx, const char *name, json_t *arguments, json_t **ret_value,
                     struct error *err);

/* commands_disk.c: the commands about disks that come and go. */
int commands_disk_list(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_disk_add(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_disk_remove(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_disk_limit(struct commands *c, json_t *args, json_t **ret_value, struct error *err);

/* commands_net.c: the commands about network adapters. */
int commands_net_list(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_net_link(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_net_connect(struct commands *c, json_t *args, json_t **ret_value, struct error *err);
int commands_net_forward(struct commands *c, json_t *args, json_t **ret_value, struct error *err);

#endif
