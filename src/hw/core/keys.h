/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys of a PC keyboard by position, with the names that QEMU's monitor gives them.
 */
#ifndef HW_CORE_KEYS_H
#define HW_CORE_KEYS_H

#include <stdint.h>

/* KEY(name, set 2 code); 0xe0xx is a code after the prefix e0. Pause and Print Screen have
 * sequences of their own. */
/* clang-format off */
#define KEYS(KEY) \
    KEY(esc, 0x76) KEY(1, 0x16) KEY(2, 0x1e) KEY(3, 0x26) KEY(4, 0x25) KEY(5, 0x2e) KEY(6, 0x36) \
    KEY(7, 0x3d) KEY(8, 0x3e) KEY(9, 0x46) KEY(0, 0x45) KEY(minus, 0x4e) KEY(equal, 0x55) \
    KEY(backspace, 0x66) KEY(tab, 0x0d) KEY(q, 0x15) KEY(w, 0x1d) KEY(e, 0x24) KEY(r, 0x2d) \
    KEY(t, 0x2c) KEY(y, 0x35) KEY(u, 0x3c) KEY(i, 0x43) KEY(o, 0x44) KEY(p, 0x4d) \
    KEY(bracket_left, 0x54) KEY(bracket_right, 0x5b) KEY(ret, 0x5a) KEY(ctrl, 0x14) KEY(a, 0x1c) \
    KEY(s, 0x1b) KEY(d, 0x23) KEY(f, 0x2b) KEY(g, 0x34) KEY(h, 0x33) KEY(j, 0x3b) KEY(k, 0x42) \
    KEY(l, 0x4b) KEY(semicolon, 0x4c) KEY(apostrophe, 0x52) KEY(grave_accent, 0x0e) \
    KEY(shift, 0x12) KEY(backslash, 0x5d) KEY(z, 0x1a) KEY(x, 0x22) KEY(c, 0x21) KEY(v, 0x2a) \
    KEY(b, 0x32) KEY(n, 0x31) KEY(m, 0x3a) KEY(comma, 0x41) KEY(dot, 0x49) KEY(slash, 0x4a) \
    KEY(shift_r, 0x59) KEY(kp_multiply, 0x7c) KEY(alt, 0x11) KEY(spc, 0x29) KEY(caps_lock, 0x58) \
    KEY(f1, 0x05) KEY(f2, 0x06) KEY(f3, 0x04) KEY(f4, 0x0c) KEY(f5, 0x03) KEY(f6, 0x0b) \
    KEY(f7, 0x83) KEY(f8, 0x0a) KEY(f9, 0x01) KEY(f10, 0x09) KEY(f11, 0x78) KEY(f12, 0x07) \
    KEY(num_lock, 0x77) KEY(scroll_lock, 0x7e) KEY(kp_7, 0x6c) KEY(kp_8, 0x75) KEY(kp_9, 0x7d) \
    KEY(kp_subtract, 0x7b) KEY(kp_4, 0x6b) KEY(kp_5, 0x73) KEY(kp_6, 0x74) KEY(kp_add, 0x79) \
    KEY(kp_1, 0x69) KEY(kp_2, 0x72) KEY(kp_3, 0x7a) KEY(kp_0, 0x70) KEY(kp_decimal, 0x71) \
    KEY(less, 0x61) KEY(kp_enter, 0xe05a) KEY(ctrl_r, 0xe014) KEY(kp_divide, 0xe04a) \
    KEY(alt_r, 0xe011) KEY(home, 0xe06c) KEY(up, 0xe075) KEY(pgup, 0xe07d) KEY(left, 0xe06b) \
    KEY(right, 0xe074) KEY(end, 0xe069) KEY(down, 0xe072) KEY(pgdn, 0xe07a) KEY(insert, 0xe070) \
    KEY(delete, 0xe071) KEY(meta_l, 0xe01f) KEY(meta_r, 0xe027) KEY(menu, 0xe02f) \
    KEY(power, 0xe037) KEY(sleep, 0xe03f) KEY(wake, 0xe05e) KEY(volumeup, 0xe032) \
    KEY(volumedown, 0xe021) KEY(audiomute, 0xe023) KEY(audioplay, 0xe034) KEY(audiostop, 0xe03b) \
    KEY(audionext, 0xe04d) KEY(audioprev, 0xe015) KEY(ro, 0x51) KEY(yen, 0x6a) \
    KEY(katakanahiragana, 0x13) KEY(henkan, 0x64) KEY(muhenkan, 0x67) KEY(kp_equals, 0x0f) \
    KEY(kp_comma, 0x6d) KEY(pause, 0xffff) KEY(print, 0xfffe)
/* clang-format on */

#define KEYS_ENUM(name, code) KEY_##name,
enum key { KEY_NONE, KEYS(KEYS_ENUM) KEY_COUNT };
#undef KEYS_ENUM

/* By name ("ret", "f1", "bracket_left"; "sysrq" is "print"); KEY_NONE if there is none such. */
enum key key_by_name(const char *name);
/* "" for a number that is no key. */
const char *key_name(enum key key);
/* The set 2 code as in the list above, 0 for a number that is no key. */
uint16_t key_set2(enum key key);

/* How a US keyboard types an ASCII character: the key, and whether shift is held. KEY_NONE if it
 * cannot. */
enum key key_by_char(char ch, int *ret_shift);

#endif
