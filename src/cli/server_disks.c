/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images in the server's folders. `yado disk` works on files without a server.
 */
#include "cli/server.h"

int server_files(struct remote *r)
{
    static const struct remote_list list = {"entries",
                                            {{"NAME", "name", 32},
                                             {"TYPE", "type", 6},
                                             {"SIZE", "size-bytes", 10},
                                             {"PATH", "path", 0}}};
    static const char *const paths[] = {"/files", "/files?folder={}", "/files?folder={}&kind={}"};

    return remote_ask(r, "GET", paths[r->count], NULL, &list);
}

int server_disks(struct remote *r)
{
    static const struct remote_list list = {"disks",
                                            {{"KIND", "kind", 6},
                                             {"SIZE", "file-size-bytes", 10},
                                             {"ON HOST", "on-host-bytes", 10},
                                             {"USED BY", "used-by", 20},
                                             {"FILE", "file", 0}}};

    return remote_ask(r, "GET", "/disks", NULL, &list);
}

/* The file that the first argument names, and the other arguments' options. */
static int work(struct remote *r, const char *path, json_t *body, const struct remote_list *list)
{
    int status = body ? remote_options(r, 1, body) : CLI_USAGE;

    if (status == CLI_OK)
        return remote_ask(r, "POST", path, body, list);
    json_decref(body);
    return status;
}

static json_t *file_of(struct remote *r)
{
    json_t *body = json_pack("{s:s}", "file", r->args[0]);

    if (!body)
        remote_error(r, CLI_USAGE, "'%s' is not UTF-8", r->args[0]);
    return body;
}

int server_disk_create(struct remote *r)
{
    json_t *body = file_of(r);
    int status = body ? remote_options(r, 1, body) : CLI_USAGE;

    if (status == CLI_OK && json_object_get(body, "parent") && !json_object_get(body, "kind"))
        json_object_set_new(body, "kind", json_string("differencing"));
    if (status == CLI_OK)
        return remote_ask(r, "POST", "/disks", body, &remote_quiet);
    json_decref(body);
    return status;
}

int server_disk_info(struct remote *r)
{
    return remote_ask(r, "GET", "/disks/inspect?file={}", NULL, NULL);
}

int server_disk_check(struct remote *r)
{
    return work(r, "/disks/check", file_of(r), NULL); /* what was found */
}

int server_disk_convert(struct remote *r)
{
    return work(r, "/disks/convert", file_of(r), &remote_quiet);
}

int server_disk_resize(struct remote *r)
{
    return work(r, "/disks/resize", file_of(r), &remote_quiet);
}

int server_disk_compact(struct remote *r)
{
    return work(r, "/disks/compact", file_of(r), &remote_quiet);
}

int server_disk_merge(struct remote *r)
{
    return work(r, "/disks/merge", file_of(r), &remote_quiet);
}

int server_disk_delete(struct remote *r)
{
    return remote_ask(r, "DELETE", "/disks?file={}", NULL, NULL);
}
