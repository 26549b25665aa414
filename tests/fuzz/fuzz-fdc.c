/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LINK: yado_hw */
/*
 * The floppy and DMA controllers under any driver: a byte of options (2: bad sectors;
 * 4: read-only), then a program of port accesses (fuzzports.h).
 */
#include "fuzz/fuzzports.h"
#include "hw/storage/fdc.h"
#include "hw/storage/i8237.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint16_t ports[16] = {0x3f2, 0x3f4, 0x3f5, 0x3f7, 0x3f5, 0x3f5, 0x3f5, 0x04,
                                       0x05,  0x08,  0x0a,  0x0b,  0x0c,  0x81,  0x3f5, 0x0f};
    struct input in = {data, size};
    struct ram *ram;
    struct bus *mem, *pio;
    struct i8237 *dma;
    struct fdc *fdc;
    uint8_t options = (uint8_t)input_get(&in, 1);
    struct memdisk *disk = memdisk_new(368640);
    struct region ram_region = {.size_bytes = 0x20000, .kind = REGION_RAM};
    fuzz_require(ram_new(0x20000, &ram, NULL) == 0);
    fuzz_require(bus_new("mem", 1ULL << 36, ram, &mem) == 0);
    fuzz_require(bus_new("pio", 0x10000, NULL, &pio) == 0);
    fuzz_require(bus_add(mem, &ram_region) == 0);
    fuzz_require(i8237_new(&(const struct dma){.bus = mem}, &dma) == 0);
    const struct fdc_env env = {.dma = i8237_isa_dma(dma), .channel = 2, .drives = 1};
    fuzz_require(fdc_new(&env, &fdc) == 0);
    struct isa_dma_client client = fdc_dma_client(fdc);
    i8237_attach(dma, 2, &client);
    fuzz_require(fdc_insert(fdc, 0, &disk->blk) == 0);
    struct region regions[4] = {
        {.base = 0, .size_bytes = 16, .ops = &i8237_first_io, .dev = dma},
        {.base = 0x80, .size_bytes = 16, .ops = &i8237_page_io, .dev = dma},
        {.base = 0x3f0, .size_bytes = 6, .ops = &fdc_io, .dev = fdc},
        {.base = 0x3f7, .size_bytes = 1, .ops = &fdc_dir_io, .dev = fdc},
    };
    for (unsigned i = 0; i < 4; i++)
        fuzz_require(bus_add(pio, &regions[i]) == 0);
    if (options & 2)
        disk->bad_to = 1024;
    disk->blk.readonly = options & 4;
    bus_write(pio, 0x3f2, 1, 0x1c);

    fuzz_ports(&in, pio, ports, &disk, 1);

    blk_drain(&disk->blk);
    struct state *save, *load;
    size_t bytes;
    fuzz_require(state_new_save(&save) == 0);
    fuzz_require(fdc_dev_ops.state(fdc, save) == 0);
    const void *saved = state_data(save, &bytes);
    fuzz_require(state_new_load(saved, bytes, &load) == 0);
    fuzz_require(fdc_dev_ops.state(fdc, load) == 0);
    state_free(save);
    state_free(load);
    fdc_dev_ops.reset(fdc);
    bus_write(pio, 0x3f2, 1, 0x1c);
    fuzz_require(bus_read(pio, 0x3f4, 1) == 0x80);
    fdc_dev_ops.free(fdc);
    i8237_dev_ops.free(dma);
    bus_free(pio);
    bus_free(mem);
    ram_free(ram);
    blk_close(&disk->blk);
    return 0;
}
