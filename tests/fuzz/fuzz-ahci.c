/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_hw */
/*
 * A serial ATA controller with a disk and a CD drive under any driver. Input: a byte of options
 * (1: bad sectors), 1 KiB of guest memory from 0 on (where addresses of a few bits point), and a
 * program of steps: a byte says where (bits 0–5: a register of the ports in use, or one of the
 * controller), bit 6 writes, bit 7 first lets the disks finish.
 */
#include "fuzz/fuzzinput.h"
#include "hw/storage/ahci.h"
#include "unit/hw/memdisk.h"

#define DEVFN PCI_DEVFN(5, 0)
#define ABAR 0xe0000000u
#define STEPS_MAX 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct ram *ram;
    struct bus *mem, *pio;
    struct pci_bus *pci;
    struct ahci *dev;
    uint8_t options = (uint8_t)input_get(&in, 1);
    struct memdisk *disks[2] = {memdisk_new(300 * 2048), memdisk_new(300 * 2048)};
    struct region ram_region = {.size_bytes = 0x20000, .kind = REGION_RAM};
    fuzz_require(ram_new(0x20000, &ram, NULL) == 0);
    fuzz_require(bus_new("mem", 1ULL << 36, ram, &mem) == 0);
    fuzz_require(bus_new("pio", 0x10000, NULL, &pio) == 0);
    fuzz_require(bus_add(mem, &ram_region) == 0);
    const struct pci_env pci_env = {.mem = mem, .pio = pio};
    fuzz_require(pci_bus_new(&pci_env, &pci) == 0);
    const struct ahci_env env = {.pci = pci, .devfn = DEVFN};
    const struct ide_drive_config drives[AHCI_PORTS] = {{.kind = IDE_DISK, .blk = &disks[0]->blk},
                                                        {.kind = IDE_CD, .blk = &disks[1]->blk}};
    fuzz_require(ahci_new(&env, drives, &dev) == 0);
    pci_config_write(pci, 0, DEVFN, 0x24, 4, ABAR);
    pci_config_write(pci, 0, DEVFN, 0x04, 2, 6);
    if (options & 1) {
        disks[0]->bad_from = 4096;
        disks[0]->bad_to = 8192;
    }
    size_t memory = MIN(in.left, (size_t)1024);
    memcpy(ram->host, in.at, memory);
    in.at += memory;
    in.left -= memory;

    for (unsigned i = 0; in.left && i < STEPS_MAX; i++) {
        uint8_t step = (uint8_t)input_get(&in, 1);
        uint32_t at =
            ABAR + ((step & 0x30) == 0x30 ? (step & 15) * 4u
                                          : 0x100u + (step >> 4 & 1) * 0x80u + (step & 15) * 4u);
        if (step & 0x80)
            for (unsigned d = 0; d < 2; d++)
                blk_drain(&disks[d]->blk);
        if (step & 0x40)
            bus_write(mem, at, 4, input_get(&in, step & 0x20 ? 4 : 1));
        else
            (void)bus_read(mem, at, 4);
    }

    /* Saved in whatever state, it can be loaded. */
    struct state *save, *load;
    size_t bytes;
    for (unsigned d = 0; d < 2; d++)
        blk_drain(&disks[d]->blk);
    fuzz_require(state_new_save(&save) == 0);
    fuzz_require(ahci_dev_ops.state(dev, save) == 0);
    const void *saved = state_data(save, &bytes);
    fuzz_require(state_new_load(saved, bytes, &load) == 0);
    fuzz_require(ahci_dev_ops.state(dev, load) == 0);
    state_free(save);
    state_free(load);
    for (unsigned d = 0; d < 2; d++)
        blk_drain(&disks[d]->blk);
    (void)ahci_unplug(dev, 0);
    ahci_dev_ops.reset(dev);
    ahci_dev_ops.free(dev);
    pci_bus_free(pci);
    bus_free(pio);
    bus_free(mem);
    ram_free(ram);
    blk_close(&disks[0]->blk);
    blk_close(&disks[1]->blk);
    return 0;
}
