/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IDE function with a disk or a CD drive on its first channel, driven by a program of port
 * accesses. Input: a byte of options (2: bad sectors), 32 bytes for a list of DMA buffers, the
 * program. Afterwards a reset must bring the drive back.
 */
#ifndef TESTS_FUZZ_FUZZIDE_H
#define TESTS_FUZZ_FUZZIDE_H

#include "fuzz/fuzzports.h"
#include "hw/storage/ide_pci.h"

static inline void fuzz_ide(struct input *in, bool cd)
{
    static const uint16_t ports[16] = {0x1f0, 0x1f1,  0x1f2,  0x1f3,  0x1f4, 0x1f5, 0x1f6, 0x1f7,
                                       0x3f6, 0xc000, 0xc002, 0xc004, 0x1f0, 0x1f0, 0x1f7, 0x1f2};
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct ide_pci *ide;
    uint8_t options = (uint8_t)input_get(in, 1);
    struct memdisk *disk = memdisk_new(300 * 2048);
    struct region ram_region = {.size_bytes = 0x20000, .kind = REGION_RAM};
    fuzz_require(ram_new(0x20000, &ram, NULL) == 0);
    fuzz_require(bus_new("mem", 1ULL << 36, ram, &mem) == 0);
    fuzz_require(bus_new("pio", 0x10000, NULL, &pio) == 0);
    fuzz_require(bus_add(mem, &ram_region) == 0);
    const struct pci_env pci_env = {.mem = mem, .pio = pio};
    fuzz_require(pci_bus_new(&pci_env, &pci) == 0);
    const struct ide_drive_config drives[4] = {{.kind = cd ? IDE_CD : IDE_DISK, .blk = &disk->blk}};
    const struct ide_pci_env env = {.pci = pci, .devfn = 9};
    fuzz_require(ide_pci_new(&env, drives, &ide) == 0);
    struct region command = {
        .base = 0x1f0, .size_bytes = 8, .ops = &ide_command_io, .dev = ide_pci_channel(ide, 0)};
    struct region control = {
        .base = 0x3f6, .size_bytes = 1, .ops = &ide_control_io, .dev = ide_pci_channel(ide, 0)};
    fuzz_require(bus_add(pio, &command) == 0 && bus_add(pio, &control) == 0);
    pci_config_write(pci, 0, 9, 0x20, 4, 0xc000);
    pci_config_write(pci, 0, 9, 0x04, 2, 5);
    if (options & 2) {
        disk->bad_from = 4096;
        disk->bad_to = 8192;
    }
    /* A list of buffers at 0x100. */
    size_t list = MIN(in->left, (size_t)32);
    memcpy(ram->host + 0x100, in->at, list);
    in->at += list;
    in->left -= list;
    bus_write(pio, 0xc004, 4, 0x100);

    fuzz_ports(in, pio, ports, &disk, 1);

    /* Saved in whatever state, it can be loaded. */
    struct state *save, *load;
    size_t bytes;
    blk_drain(&disk->blk);
    fuzz_require(state_new_save(&save) == 0);
    fuzz_require(ide_pci_dev_ops.state(ide, save) == 0);
    const void *saved = state_data(save, &bytes);
    fuzz_require(state_new_load(saved, bytes, &load) == 0);
    fuzz_require(ide_pci_dev_ops.state(ide, load) == 0);
    state_free(save);
    state_free(load);

    ide_pci_dev_ops.reset(ide);
    fuzz_require((bus_read(pio, 0x1f7, 1) & 0x89) == 0);
    ide_pci_dev_ops.free(ide);
    pci_bus_free(pci);
    bus_free(pio);
    bus_free(mem);
    ram_free(ram);
    blk_close(&disk->blk);
}

#endif
