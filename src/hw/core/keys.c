/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names and codes of keys: IBM Personal System/2 Hardware Interface Technical Reference, "Keyboard
 * (101- and 102-key)", scan code set 2; Microsoft Keyboard Scan Code Specification 1.3a for the
 * keys that came later.
 */
#include "hw/core/keys.h"

#include <string.h>

#include "base/util.h"

#define NAME(name, code) [KEY_##name] = #name,
#define CODE(name, code) [KEY_##name] = code,

static const char *const names[KEY_COUNT] = {[KEY_NONE] = "", KEYS(NAME)};
static const uint16_t codes[KEY_COUNT] = {KEYS(CODE)};

enum key key_by_name(const char *name)
{
    static const struct {
        const char *name;
        enum key key;
    } aliases[] = {
        {"sysrq", KEY_print}, {"enter", KEY_ret},    {"return", KEY_ret}, {"space", KEY_spc},
        {"meta", KEY_meta_l}, {"compose", KEY_menu}, {"escape", KEY_esc}, {"del", KEY_delete},
    };
    for (unsigned i = KEY_NONE + 1; i < KEY_COUNT; i++)
        if (!strcmp(names[i], name))
            return (enum key)i;
    for (unsigned i = 0; i < ARRAY_LEN(aliases); i++)
        if (!strcmp(aliases[i].name, name))
            return aliases[i].key;
    return KEY_NONE;
}

const char *key_name(enum key key)
{
    return (unsigned)key < KEY_COUNT ? names[key] : "";
}

uint16_t key_set2(enum key key)
{
    return (unsigned)key < KEY_COUNT ? codes[key] : 0;
}

enum key key_by_char(char ch, int *ret_shift)
{
    static const char plain[] = "1234567890-=\b\tqwertyuiop[]\nasdfghjkl;'`\\zxcvbnm,./ \033";
    static const char shifted[] = "!@#$%^&*()_+\0\0QWERTYUIOP{}\0ASDFGHJKL:\"~|ZXCVBNM<>?";
    static const uint8_t keys[] = {
        KEY_1,
        KEY_2,
        KEY_3,
        KEY_4,
        KEY_5,
        KEY_6,
        KEY_7,
        KEY_8,
        KEY_9,
        KEY_0,
        KEY_minus,
        KEY_equal,
        KEY_backspace,
        KEY_tab,
        KEY_q,
        KEY_w,
        KEY_e,
        KEY_r,
        KEY_t,
        KEY_y,
        KEY_u,
        KEY_i,
        KEY_o,
        KEY_p,
        KEY_bracket_left,
        KEY_bracket_right,
        KEY_ret,
        KEY_a,
        KEY_s,
        KEY_d,
        KEY_f,
        KEY_g,
        KEY_h,
        KEY_j,
        KEY_k,
        KEY_l,
        KEY_semicolon,
        KEY_apostrophe,
        KEY_grave_accent,
        KEY_backslash,
        KEY_z,
        KEY_x,
        KEY_c,
        KEY_v,
        KEY_b,
        KEY_n,
        KEY_m,
        KEY_comma,
        KEY_dot,
        KEY_slash,
        KEY_spc,
        KEY_esc,
    };
    _Static_assert(sizeof(plain) - 1 == sizeof(keys), "one key for each character");
    if (ch == '\r')
        ch = '\n';
    const char *at = ch ? memchr(plain, ch, sizeof(plain) - 1) : NULL;
    if (at) {
        *ret_shift = 0;
        return (enum key)keys[at - plain];
    }
    at = ch ? memchr(shifted, ch, sizeof(shifted) - 1) : NULL;
    if (!at)
        return KEY_NONE;
    *ret_shift = 1;
    return (enum key)keys[at - shifted];
}
