/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sub-verbs of `yado server` that have files of their own. Each returns an exit status.
 */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include "cli/remote.h"

/* ---- server_disks.c ---- */

int server_files(struct remote *r);
int server_disks(struct remote *r);
int server_disk_create(struct remote *r);
int server_disk_info(struct remote *r);
int server_disk_check(struct remote *r);
int server_disk_convert(struct remote *r);
int server_disk_resize(struct remote *r);
int server_disk_compact(struct remote *r);
int server_disk_merge(struct remote *r);
int server_disk_delete(struct remote *r);

/* ---- server_automation.c ---- */

int server_scripts(struct remote *r);
int server_script_add(struct remote *r);
int server_script_set(struct remote *r);
int server_script_remove(struct remote *r);
int server_webhooks(struct remote *r);
int server_webhook_add(struct remote *r);
int server_webhook_set(struct remote *r);
int server_webhook_remove(struct remote *r);

#endif
