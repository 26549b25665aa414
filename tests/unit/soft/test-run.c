/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a program run at all, in each mode? Whoever breaks this has no guests left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <pthread.h>
#include <unistd.h>

#include "rig.h"

static void sums_numbers_in_every_mode(void **unused)
{
    /* mov cx, 100; xor ax, ax; L: add ax, cx; loop L; hlt */
    static const uint8_t code16[] = {0xb9, 100, 0, 0x31, 0xc0, 0x01, 0xc8, 0xe2, 0xfc, 0xf4};
    /* mov ecx, 100; xor eax, eax; L: add eax, ecx; dec ecx; jnz L; hlt */
    static const uint8_t code64[] = {0xb9, 100,  0,    0,    0,    0x31, 0xc0,
                                     0x01, 0xc8, 0xff, 0xc9, 0x75, 0xfa, 0xf4};
    (void)unused;
    for (unsigned bits = 16; bits <= 64; bits *= 2) {
        struct rig rig;
        rig_open(&rig, MIB(16));
        rig_mode(&rig, bits);
        rig.state->rip = 0x7000;
        if (bits == 16)
            rig_poke(&rig, 0x7000, code16, sizeof(code16));
        else
            rig_poke(&rig, 0x7000, code64, sizeof(code64));
        assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
        assert_int_equal(rig.state->gpr[X86_RAX] & 0xffff, 5050);
        rig_close(&rig);
    }
}

/* Stores into the very block that runs must be seen by its next instruction. */
static void sees_its_own_code_change(void **unused)
{
    /* mov byte [0x700a], 0x42 (inc edx); nop…; at 0x700a: inc ecx (0x41); hlt — 32-bit */
    static const uint8_t code[] = {0xc6, 0x05, 0x0a, 0x70, 0,    0,
                                   0x42, 0x90, 0x90, 0x90, 0x41, 0xf4};
    struct rig rig;
    (void)unused;
    rig_open(&rig, MIB(16));
    rig_mode(&rig, 32);
    rig_poke(&rig, 0x7000, code, sizeof(code));
    rig.state->rip = 0x7000;
    rig.state->gpr[X86_RDX] = 0;
    assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
    assert_int_equal(rig.state->gpr[X86_RDX], 1);
    assert_int_equal(rig.state->gpr[X86_RCX], 0);
    rig_close(&rig);
}

static void computes_with_x87_and_vectors(void **unused)
{
    /* mov eax,7; cvtsi2sd xmm1,eax; mulsd xmm1,xmm1; cvttsd2si ebx,xmm1; fld1; fadd st0,st0;
       fistp dword [0x9000]; vpxor ymm0,ymm0,ymm0; hlt */
    static const uint8_t code[] = {0xb8, 7,    0,    0,    0,    0xf2, 0x0f, 0x2a, 0xc8,
                                   0xf2, 0x0f, 0x59, 0xc9, 0xf2, 0x0f, 0x2c, 0xd9, 0xd9,
                                   0xe8, 0xd8, 0xc0, 0xdb, 0x1c, 0x25, 0x00, 0x90, 0,
                                   0,    0xc5, 0xfd, 0xef, 0xc0, 0xf4};
    struct rig rig;
    (void)unused;
    rig_open(&rig, MIB(16));
    rig_mode(&rig, 64);
    rig_poke(&rig, 0x7000, code, sizeof(code));
    rig.state->rip = 0x7000;
    assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
    assert_int_equal(rig.state->gpr[X86_RBX], 49);
    assert_int_equal(rig.mem[0x9000], 2);
    rig_close(&rig);
}

/*
 * A stack pointer that is no address must neither be changed nor end the machine: some hosts
 * refuse to return to code that has one in RSP, at whatever instruction an interrupt finds it.
 */
static void keeps_a_wild_stack_pointer(void **unused)
{
    /* add rsp, 0x100; dec ecx; jnz back; hlt */
    static const uint8_t code[] = {0x48, 0x81, 0xc4, 0, 1, 0, 0, 0xff, 0xc9, 0x75, 0xf5, 0xf4};
    static const uint32_t turns = 3000000;
    struct rig rig;
    (void)unused;
    rig_open(&rig, MIB(16));
    rig_mode(&rig, 64);
    rig_poke(&rig, 0x7000, code, sizeof(code));
    rig.state->rip = 0x7000;
    rig.state->gpr[X86_RSP] = 0x00007fffffff0000;
    rig.state->gpr[X86_RCX] = turns;
    assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
    assert_int_equal(rig.state->gpr[X86_RSP], 0x00007fffffff0000 + turns * 0x100ull);
    assert_int_equal(rig.state->gpr[X86_RCX], 0);
    rig_close(&rig);
}

static void *kick_soon(void *vcpu)
{
    usleep(50000);
    engine_soft.vcpu_kick(vcpu);
    return NULL;
}

/* A guest whose #DE handler divides by zero never gets anywhere, but can still be paused. */
static void stops_between_faults(void **unused)
{
    static const uint8_t code[] = {0x31, 0xc9, 0xf7, 0xf1}; /* xor cx, cx; div cx */
    struct rig rig;
    pthread_t thread;
    (void)unused;
    rig_open(&rig, MIB(16));
    rig_mode(&rig, 16);
    rig_poke(&rig, 0x7000, code, sizeof(code));
    rig_poke(&rig, 0, (const uint8_t[]){0x02, 0x70, 0, 0}, 4);
    rig.state->rip = 0x7000;
    rig.state->seg[X86_SS].base = MIB(1); /* its frames hit neither code nor table */
    assert_int_equal(pthread_create(&thread, NULL, kick_soon, rig.vcpu), 0);
    assert_int_equal(rig_run(&rig), VCPU_EXIT_KICKED);
    pthread_join(thread, NULL);
    rig_close(&rig);
}

/* CLI is for CPL 1 and 2 what IOPL says, though they are no users. */
static void keeps_interrupts_from_the_middle_rings(void **unused)
{
    static const uint8_t code[] = {0xfa, 0x90, 0xf4}; /* cli; nop; hlt */
    struct rig rig;
    (void)unused;
    rig_open(&rig, MIB(16));
    for (unsigned cpl = 0; cpl < 4; cpl++) {
        rig_mode(&rig, 32);
        rig.state->idtr.limit = 0;
        for (unsigned i = 0; i < X86_SEGS; i++)
            rig.state->seg[i].attr |= (uint16_t)(cpl << SEG_DPL_SHIFT);
        rig_poke(&rig, 0x7000, code, sizeof(code));
        rig.state->rip = 0x7000;
        enum vcpu_exit why = rig_run(&rig);
        assert_int_equal(why, cpl ? VCPU_EXIT_SHUTDOWN : VCPU_EXIT_HALTED);
        assert_int_equal(rig.state->rip, cpl ? 0x7000 : 0x7003);
    }
    rig_close(&rig);
}

/* Whoever profiles a guest finds its code by name. */
static void names_code_for_perf(void **unused)
{
    static const uint8_t code[] = {0xff, 0xc0, 0xf4}; /* inc eax; hlt */
    char path[64], line[128], name[64] = "";
    unsigned long long at, bytes;
    struct rig rig;
    (void)unused;
    rig_options = "runs=0,perf-map";
    rig_open(&rig, MIB(16));
    rig_mode(&rig, 64);
    rig_poke(&rig, 0x7000, code, sizeof(code));
    rig.state->rip = 0x7000;
    assert_int_equal(rig_run(&rig), VCPU_EXIT_HALTED);
    rig_close(&rig);
    (void)snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    FILE *map = fopen(path, "r");
    assert_non_null(map);
    assert_non_null(fgets(line, sizeof(line), map));
    (void)fclose(map);
    (void)unlink(path);
    assert_int_equal(sscanf(line, "%llx %llx %63s", &at, &bytes, name), 3);
    assert_string_equal(name, "guest_kernel_7000");
    assert_true(bytes > 0);
}

int main(void)
{
    static const char *const options[] = {"t0", "runs=0", "check,runs=0"};
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_numbers_in_every_mode),
        cmocka_unit_test(sees_its_own_code_change),
        cmocka_unit_test(computes_with_x87_and_vectors),
        cmocka_unit_test(stops_between_faults),
        cmocka_unit_test(keeps_a_wild_stack_pointer),
        cmocka_unit_test(keeps_interrupts_from_the_middle_rings),
    };
    for (unsigned i = 0; i < ARRAY_LEN(options); i++) {
        rig_options = options[i];
        failed += cmocka_run_group_tests_name(options[i], tests, NULL, NULL);
    }
    const struct CMUnitTest once[] = {cmocka_unit_test(names_code_for_perf)};
    return failed + cmocka_run_group_tests(once, NULL, NULL);
}
