/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of JSON against the schemas of api/openapi.yaml, which tools/gen-api writes as tables
 * (api_tables.h). What is checked: JSON Schema 2020-12, the keywords that tools/gen-api lets pass.
 */
#ifndef SERVER_SCHEMA_H
#define SERVER_SCHEMA_H

#include <jansson.h>

#include "base/error.h"

enum {
    SCHEMA_NULL = 1,
    SCHEMA_BOOLEAN = 2,
    SCHEMA_INTEGER = 4,
    SCHEMA_NUMBER = 8,
    SCHEMA_STRING = 16,
    SCHEMA_ARRAY = 32,
    SCHEMA_OBJECT = 64,
};

struct schema_property {
    const char *name;
    const struct schema *schema;
};

/* A member that is zero does not restrict. Lists end with NULL or a row without a name. */
struct schema {
    unsigned types;                  /* SCHEMA_…; 0: all */
    const char *const *choices;      /* of a string */
    const char *pattern;             /* POSIX extended regular expression */
    bool date_time;                  /* an RFC 3339 time */
    unsigned length_min, length_max; /* characters */
    unsigned items_min, items_max;
    bool has_minimum, has_maximum;
    long long minimum, maximum;
    const struct schema *items;
    const struct schema *const *one_of;
    const struct schema_property *properties;
    const char *const *required;
    const struct schema *additional; /* of members that properties does not name */
    bool closed;                     /* … which are refused */
    const char *default_value;       /* JSON text */
};

/* Where in the value something is wrong: a JSON pointer (RFC 6901). */
struct schema_fault {
    char field[256];
    struct error error;
};

/* 0, or -EINVAL with *ret_fault: the first thing that is wrong. value may be hostile. */
int schema_check(const struct schema *schema, json_t *value, struct schema_fault *ret_fault);

/* A member as it counts: what object has, else the schema's default; a new reference or NULL. */
json_t *schema_member(const struct schema *schema, json_t *object, const char *name);
/* The same for kinds that C has; 0 or false where there is neither. */
long long schema_integer(const struct schema *schema, json_t *object, const char *name);
bool schema_boolean(const struct schema *schema, json_t *object, const char *name);
/* The place of a member's text in its schema's choices; -1: it has no value. */
int schema_choice(const struct schema *schema, json_t *object, const char *name);

/*
 * A parameter, which comes as text: 0 with *ret_value, a new reference to what the schema says the
 * text is, or -EINVAL with *ret_fault.
 */
int schema_check_text(const struct schema *schema, const char *text, json_t **ret_value,
                      struct schema_fault *ret_fault);

#endif
