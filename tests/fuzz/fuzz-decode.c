/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_x86 */
/*
 * The instruction decoder on arbitrary bytes: it must stay within them, and what it takes must be
 * an instruction of 1 to 15 bytes with registers that exist. The first byte chooses the mode.
 */
#include <stdlib.h>
#include <string.h>

#include "cpu/x86/decode.h"
#include "cpu/x86/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x86_features features;
    struct x86_insn in;

    if (size < 2)
        return 0;
    memset(&features, 0xff, sizeof(features));
    struct x86_decode_env env = {
        .code = data[0] % 3, .real = data[0] & 0x80, .features = &features};
    /* A copy of just these bytes, so that a read beyond them is seen. */
    uint8_t *bytes = malloc(size - 1);
    if (!bytes)
        return 0;
    memcpy(bytes, data + 1, size - 1);
    if (x86_decode(&env, bytes, size - 1, &in) == X86_DECODE_OK) {
        check(in.len >= 1 && in.len <= X86_INSN_MAX_BYTES && in.len <= size - 1);
        check(in.info && in.reg < 16 && in.rm < 16 && in.vvvv < 16 && in.scale < 4);
        check(in.seg < X86_SEGS && in.addr_bytes >= 2 && in.addr_bytes <= 8);
        check(!in.mem || in.base <= X86_RIP_REG || in.base == X86_NO_REG);
        check(!in.mem || in.index < 16 || in.index == X86_NO_REG);
        check(x86_operand_bytes(&in, in.info->rm.size) <= 512);
    }
    free(bytes);
    return 0;
}
