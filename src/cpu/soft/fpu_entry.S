/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Called by a thunk whose cpu (rdi), uop (rsi) and operand (rdx) must survive; the stack is
 * aligned here, for a thunk starts as a C function does and pushes nothing.
 */
    .text
    .globl fpu_load_from_thunk
    .type fpu_load_from_thunk, @function
fpu_load_from_thunk:
    push %rdi
    push %rsi
    push %rdx
    sub $8, %rsp
    call fpu_load
    add $8, %rsp
    pop %rdx
    pop %rsi
    pop %rdi
    ret
    .size fpu_load_from_thunk, . - fpu_load_from_thunk
    .section .note.GNU-stack, "", @progbits
