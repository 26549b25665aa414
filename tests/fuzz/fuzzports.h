/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program of port accesses as the input of a fuzz target. Each step is a byte: bits 0–3 choose
 * a port of a list, bit 4 writes (the value follows, one byte for each of the size), bits 5–6 are
 * the size, bit 7 first lets the disks finish; until then their requests are under way.
 */
#ifndef TESTS_FUZZ_FUZZPORTS_H
#define TESTS_FUZZ_FUZZPORTS_H

#include "fuzz/fuzzinput.h"
#include "memory/bus.h"
#include "unit/hw/memdisk.h"

#define FUZZ_STEPS_MAX 4096

static inline void fuzz_ports(struct input *in, struct bus *pio, const uint16_t *ports,
                              struct memdisk *const *disks, unsigned disk_count)
{
    for (unsigned i = 0; in->left && i < FUZZ_STEPS_MAX; i++) {
        uint8_t step = (uint8_t)input_get(in, 1);
        unsigned size = 1u << (step >> 5 & 3) % 3;
        for (unsigned d = 0; step & 0x80 && d < disk_count; d++)
            blk_drain(&disks[d]->blk);
        if (step & 0x10)
            bus_write(pio, ports[step & 15], size, input_get(in, size));
        else
            (void)bus_read(pio, ports[step & 15], size);
    }
}

#endif
