/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API's description as JSON, made by tools/gen-api.
 */
#ifndef SERVER_REST_DOCUMENT_H
#define SERVER_REST_DOCUMENT_H

#include <stddef.h>

extern const unsigned char api_document[];
extern const size_t api_document_bytes;

#endif
