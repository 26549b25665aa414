/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power-on values: Intel SDM vol. 3, table 9-1.
 */
#include "cpu/x86/state.h"

#include <string.h>

#include "base/bytes.h"
#include "cpu/x86/regs.h"

void x86_state_reset(struct x86_state *state, int is_bsp)
{
    const struct x86_segment data = {.limit = 0xffff, .attr = SEG_P | SEG_S | SEG_RW | SEG_A};

    memset(state, 0, sizeof(*state));
    state->rip = 0xfff0;
    state->rflags = FL_1;
    state->gpr[X86_RDX] = 0x600;
    for (unsigned i = 0; i < X86_SEGS; i++)
        state->seg[i] = data;
    state->seg[X86_CS].selector = 0xf000;
    state->seg[X86_CS].base = 0xffff0000;
    state->seg[X86_CS].attr |= SEG_CODE;
    state->ldtr = (struct x86_segment){.limit = 0xffff, .attr = SEG_P | SYS_LDT};
    state->tr = (struct x86_segment){.limit = 0xffff, .attr = SEG_P | SYS_TSS_BUSY};
    state->gdtr.limit = state->idtr.limit = 0xffff;
    state->cr0 = CR0_CD | CR0_NW | CR0_ET;
    state->xcr0 = XCR0_X87;
    state->dr[6] = DR6_FIXED;
    state->dr[7] = DR7_FIXED;
    state->pat = 0x0007040600070406;
    state->misc_enable = 1; /* fast strings */
    state->activity = is_bsp ? X86_ACTIVE : X86_WAIT_SIPI;
    le16_put(state->xsave, 0x0040); /* FCW at power-on */
    le32_put(state->xsave + 24, MXCSR_DEFAULT);
    le32_put(state->xsave + 28, MXCSR_MASK);
    le64_put(state->xsave + 512, XCR0_X87 | XCR0_SSE); /* XSTATE_BV */
}
