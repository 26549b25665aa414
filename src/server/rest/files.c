/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/rest/files.h"

#include <stdio.h>
#include <string.h>

#include "api_routes.h"
#include "server/rest/document.h"

/* ---- the page about the API ---- */

static void page_head(FILE *page)
{
    fputs("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width\"><title>Yado API</title><style>"
          "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
          "color-scheme:light dark}code,b{font-family:ui-monospace,monospace}dt{margin-top:1rem}"
          "dd{margin-left:1.5rem}</style><h1>Yado API</h1><p>All paths begin with "
          "<code>/api/v1</code>. <a href=\"/api/openapi.json\">openapi.json</a> has the "
          "whole description.</p>",
          page);
}

static void escape(FILE *page, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '<')
            fputs("&lt;", page);
        else if (text[i] == '&')
            fputs("&amp;", page);
        else
            fputc(text[i], page);
    }
}

static void describe(FILE *page, json_t *paths, const struct route *route)
{
    char method[8] = "";
    json_t *operation;
    const char *summary, *description;

    for (size_t i = 0; route->method[i] && i < sizeof(method) - 1; i++)
        method[i] = (char)(route->method[i] | 32);
    operation = json_object_get(json_object_get(paths, route->path), method);
    summary = json_string_value(json_object_get(operation, "summary"));
    description = json_string_value(json_object_get(operation, "description"));
    fprintf(page, "<dt id=\"%s\"><b>%s</b> <code>%s</code></dt><dd>", route->id, route->method,
            route->path);
    if (summary)
        escape(page, summary, strlen(summary));
    if (description) {
        fputs("<br>", page);
        escape(page, description, strlen(description));
    }
    for (const struct parameter *p = route->parameters; p->name; p++)
        fprintf(page, "<br><code>%s</code> (%s%s)", p->name,
                p->in == PARAMETER_PATH    ? "path"
                : p->in == PARAMETER_QUERY ? "query"
                                           : "header",
                p->required ? ", required" : "");
    fputs("</dd>", page);
}

static void answer_page(struct connection *c)
{
    json_t *document = json_loadb((const char *)api_document, api_document_bytes, 0, NULL);
    char *text = NULL;
    size_t len = 0;
    FILE *page = open_memstream(&text, &len);

    if (page) {
        page_head(page);
        fputs("<dl>", page);
        for (const struct route *route = api_routes; route->method; route++)
            describe(page, json_object_get(document, "paths"), route);
        fputs("</dl>", page);
        fclose(page);
    }
    json_decref(document);
    connection_answer(c, &(struct answer){.status = text ? 200 : 503,
                                          .type = "text/html; charset=utf-8",
                                          .data = text,
                                          .bytes = len,
                                          .page = true,
                                          .cache = true});
    free(text);
}

static const struct web_file *find(const char *path)
{
    for (const struct web_file *f = web_files; f->path; f++)
        if (!strcmp(f->path, path))
            return f;
    return NULL;
}

static void answer_file(struct connection *c, const struct web_file *f, const char *if_none_match)
{
    bool same = if_none_match && strstr(if_none_match, f->etag);

    connection_answer(c, &(struct answer){.status = same ? 304 : 200,
                                          .type = same ? NULL : f->type,
                                          .data = f->data,
                                          .bytes = same ? 0 : f->bytes,
                                          .etag = f->etag,
                                          .page = true,
                                          .cache = true});
}

void files_answer(struct server *server, struct connection *c, const char *method, const char *path,
                  const char *if_none_match)
{
    static const char none[] = "there is nothing here\n";
    const char *name = strrchr(path, '/');
    const struct web_file *f;

    (void)server;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        connection_answer(c, &(struct answer){.status = 405});
        return;
    }
    if (!strcmp(path, "/api/openapi.json")) {
        connection_answer(c, &(struct answer){.status = 200,
                                              .type = "application/json",
                                              .data = api_document,
                                              .bytes = api_document_bytes,
                                              .cache = true});
        return;
    }
    if (!strcmp(path, "/api/") || !strcmp(path, "/api") || (!strcmp(path, "/") && !find("/"))) {
        answer_page(c);
        return;
    }
    f = find(path);
    /* The site has addresses of its own within one page: whatever looks like no file is that. */
    if (!f && strncmp(path, "/api/", 5) != 0 && name && !strchr(name, '.'))
        f = find("/");
    if (f)
        answer_file(c, f, if_none_match);
    else
        connection_answer(
            c, &(struct answer){
                   .status = 404, .type = "text/plain", .data = none, .bytes = sizeof(none) - 1});
}
