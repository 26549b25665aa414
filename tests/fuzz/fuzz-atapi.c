/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_hw */
/* A CD drive under any driver (fuzzide.h). */
#include "fuzz/fuzzide.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    fuzz_ide(&in, true);
    return 0;
}
