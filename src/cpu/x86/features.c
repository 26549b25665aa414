/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/features.h"

const struct x86_feature_place x86_feature_places[X86_FEATURES] = {[X86_FEAT_NONE] = {"none", 0, 0},
#define X(name, word, bit) [X86_FEAT_##name] = {#name, word, bit},
                                                                   X86_FEATURE_LIST(X)
#undef X
};
