/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON values put together and compared.
 */
#ifndef SERVER_MERGE_H
#define SERVER_MERGE_H

#include <jansson.h>

/* target changed as a merge patch says (RFC 7396): a new value; NULL: no memory. */
json_t *merge_patch(json_t *target, json_t *patch);
/* Append JSON pointers of the members in which two objects differ, as deep as objects go. */
void merge_differences(json_t *a, json_t *b, const char *prefix, json_t *list);

#endif
