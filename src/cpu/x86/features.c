/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cpu/x86/features.h"

#include <errno.h>

const struct x86_feature_place x86_feature_places[X86_FEATURES] = {[X86_FEAT_NONE] = {"none", 0, 0},
#define X(name, word, bit) [X86_FEAT_##name] = {#name, word, bit},
                                                                   X86_FEATURE_LIST(X)
#undef X
};

int x86_features_limit(struct x86_features *have, const struct x86_features *wanted,
                       struct error *err)
{
    for (unsigned w = 0; w < X86_CPUID_WORDS; w++) {
        uint32_t lacking = wanted->words[w] & ~have->words[w];
        const char *name = "a feature without a name here";

        if (!lacking)
            continue;
        for (unsigned i = 1; i < X86_FEATURES; i++)
            if (x86_feature_places[i].word == w && lacking >> x86_feature_places[i].bit & 1)
                name = x86_feature_places[i].name;
        return error_set(err, -ENOTSUP,
                         "the guest's processor had %s (CPUID word %u, bits %#x), which is not to "
                         "be had here; use the host or the engine that it comes from, or start it "
                         "with a processor that both engines have (--engine kvm,portable)",
                         name, w, lacking);
    }
    *have = *wanted;
    return 0;
}
