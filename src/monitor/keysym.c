/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keysyms (X11 keysymdef.h) to key positions. Viewers send Shift apart, so that 'A' and 'a' are
 * the same key.
 */
#include "monitor/keysym.h"

#include "base/util.h"

static const struct {
    uint16_t keysym, key;
} keysyms[] = {
    {0xff08, KEY_backspace},   {0xff09, KEY_tab},        {0xfe20, KEY_tab},
    {0xff0d, KEY_ret},         {0xff13, KEY_pause},      {0xff14, KEY_scroll_lock},
    {0xff15, KEY_print},       {0xff1b, KEY_esc},        {0xff50, KEY_home},
    {0xff51, KEY_left},        {0xff52, KEY_up},         {0xff53, KEY_right},
    {0xff54, KEY_down},        {0xff55, KEY_pgup},       {0xff56, KEY_pgdn},
    {0xff57, KEY_end},         {0xff61, KEY_print},      {0xff63, KEY_insert},
    {0xff67, KEY_menu},        {0xff7e, KEY_alt_r},      {0xff7f, KEY_num_lock},
    {0xff8d, KEY_kp_enter},    {0xff95, KEY_kp_7},       {0xff96, KEY_kp_4},
    {0xff97, KEY_kp_8},        {0xff98, KEY_kp_6},       {0xff99, KEY_kp_2},
    {0xff9a, KEY_kp_9},        {0xff9b, KEY_kp_3},       {0xff9c, KEY_kp_1},
    {0xff9d, KEY_kp_5},        {0xff9e, KEY_kp_0},       {0xff9f, KEY_kp_decimal},
    {0xffaa, KEY_kp_multiply}, {0xffab, KEY_kp_add},     {0xffac, KEY_kp_comma},
    {0xffad, KEY_kp_subtract}, {0xffae, KEY_kp_decimal}, {0xffaf, KEY_kp_divide},
    {0xffb0, KEY_kp_0},        {0xffb1, KEY_kp_1},       {0xffb2, KEY_kp_2},
    {0xffb3, KEY_kp_3},        {0xffb4, KEY_kp_4},       {0xffb5, KEY_kp_5},
    {0xffb6, KEY_kp_6},        {0xffb7, KEY_kp_7},       {0xffb8, KEY_kp_8},
    {0xffb9, KEY_kp_9},        {0xffbd, KEY_kp_equals},  {0xffbe, KEY_f1},
    {0xffbf, KEY_f2},          {0xffc0, KEY_f3},         {0xffc1, KEY_f4},
    {0xffc2, KEY_f5},          {0xffc3, KEY_f6},         {0xffc4, KEY_f7},
    {0xffc5, KEY_f8},          {0xffc6, KEY_f9},         {0xffc7, KEY_f10},
    {0xffc8, KEY_f11},         {0xffc9, KEY_f12},        {0xffe1, KEY_shift},
    {0xffe2, KEY_shift_r},     {0xffe3, KEY_ctrl},       {0xffe4, KEY_ctrl_r},
    {0xffe5, KEY_caps_lock},   {0xffe7, KEY_alt},        {0xffe8, KEY_alt_r},
    {0xffe9, KEY_alt},         {0xffea, KEY_alt_r},      {0xffeb, KEY_meta_l},
    {0xffec, KEY_meta_r},      {0xfe03, KEY_alt_r},      {0xffff, KEY_delete},
};

enum key keysym_key(uint32_t keysym)
{
    int shift;

    if (keysym >= 0x20 && keysym < 0x7f)
        return key_by_char((char)keysym, &shift);
    for (size_t i = 0; i < ARRAY_LEN(keysyms); i++)
        if (keysyms[i].keysym == keysym)
            return (enum key)keysyms[i].key;
    return KEY_NONE;
}
