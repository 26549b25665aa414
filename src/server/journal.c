/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/journal.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>
/* Its headers use names that syslog.h's priorities have too; ours are not needed here. */
#include <systemd/sd-journal.h>

/* One MESSAGE_ID for all events: YADO_KIND tells them apart (systemd.journal-fields(7)). */
#define MESSAGE_ID "MESSAGE_ID=5a1d3f2c7c5e4b0f9a0d6f3b8c2e4719"

static const char *member(json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text ? text : "";
}

/* JOURNAL_STREAM is "device:inode" of the stream that systemd gave us. */
static bool to_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void journal_event(json_t *event)
{
    json_t *actor = json_object_get(event, "actor"), *object = json_object_get(event, "object");
    const char *severity = member(event, "severity");
    int priority = !strcmp(severity, "error")     ? LOG_ERR
                   : !strcmp(severity, "warning") ? LOG_WARNING
                                                  : LOG_INFO;

    if (to_journal())
        sd_journal_send("MESSAGE=%s", member(event, "message"), "PRIORITY=%i", priority, MESSAGE_ID,
                        "YADO_KIND=%s", member(event, "kind"), "YADO_ACTOR=%s",
                        member(actor, "name"), "YADO_ACTOR_TYPE=%s", member(actor, "type"),
                        "YADO_OBJECT=%s", member(object, "id"), "YADO_OBJECT_TYPE=%s",
                        member(object, "type"), "YADO_OBJECT_NAME=%s", member(object, "name"),
                        "YADO_CAUSE=%s", member(event, "cause"), NULL);
    else
        dprintf(STDERR_FILENO, "%s %s: %s [%s]\n", member(event, "time"), member(event, "kind"),
                member(event, "message"), member(actor, "name"));
}
