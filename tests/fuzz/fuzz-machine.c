/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every device of the machine under any guest: the input is a program of steps against the rows
 * of the wiring table, PCI configuration and the windows that base addresses were given, local
 * APICs, guest memory, time, keys, the serial line, and resets in between. No processor runs; time
 * moves only when a step says so. At the end the machine must still save, load what it saved, and
 * save the same again.
 *
 * A first byte of 0xff gives the machine an IOMMU. A step is a byte: bits 0–3 say what (enum step), bit 4 writes, bits 5–6 are the size 1, 2, 4, 8.
 */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzzinput.h"
#include "machine/boot.h"

#define STEPS_MAX 4096
#define DISK_BYTES MIB(1)
#define FLOPPY_BYTES 1474560u
#define MEM_WINDOW 0xe0000000u /* where boot_platform() puts base addresses */
#define IO_WINDOW 0xc000u
#define APIC_MSR 0x800u
#define MEMORY_BYTES MIB(16)

enum step {
    STEP_ROW, /* and all values without a name below */
    STEP_CONFIG = 8,
    STEP_MEM_WINDOW,
    STEP_IO_WINDOW,
    STEP_APIC,
    STEP_RAM,
    STEP_TIME,
    STEP_PORT,
    STEP_OTHER,
};

/* An image of zeroes that goes away with its descriptor. */
static void image_open(int *ret_fd, char path[32], off_t len_bytes)
{
    *ret_fd = memfd_create("disk", MFD_CLOEXEC);
    fuzz_require(*ret_fd >= 0 && ftruncate(*ret_fd, len_bytes) == 0);
    snprintf(path, 32, "/proc/self/fd/%d", *ret_fd);
}

static void access_bus(struct input *in, struct bus *bus, uint64_t at, unsigned size, bool write)
{
    if (write)
        bus_write(bus, at, size, input_get(in, size));
    else
        (void)bus_read(bus, at, size);
}

static void step_row(struct input *in, struct pc *pc, unsigned size, bool write)
{
    unsigned n = (unsigned)input_get(in, 1) % pc->region_count;
    const struct region *region = &pc->regions[n];
    uint64_t offset = input_get(in, region->size_bytes > 256 ? 4 : 1) % region->size_bytes;

    access_bus(in, pc->region_is_port[n] ? pc->m->pio : pc->m->mem, region->base + offset,
               pc->region_is_port[n] ? MIN(size, 4u) : size, write);
}

static void step_apic(struct input *in, struct machine *m, unsigned size, bool write)
{
    uint64_t at = input_get(in, 2), value = write ? input_get(in, 8) : 0;

    if (at & 0x8000)
        (void)pc_apic_msr(m, at & 1, APIC_MSR + (at & 0xff), &value, write);
    else
        (void)pc_apic_mmio(m, at & 1, 0xfee00000 + (at & 0xfff), size, &value, write);
    if (at & 0x4000)
        (void)pc_intr_ack(m, at & 1);
}

static void step_other(struct input *in, struct machine *m)
{
    static const uint8_t bytes[4] = "abc";
    uint8_t what = (uint8_t)input_get(in, 1);

    switch (what & 3) {
    case 0:
        fuzz_require(pc_reset(m) == 0);
        fuzz_require(boot_platform(m->pc) == 0);
        break;
    case 1:
        (void)machine_key(m, what >> 2, input_get(in, 1) & 1);
        break;
    case 2:
        machine_mouse(m, (int)input_get(in, 1), 1 - (what >> 4), what >> 2 & 1, what >> 5);
        break;
    default:
        (void)machine_serial_receive(m, bytes, sizeof(bytes));
        break;
    }
}

static void steps(struct input *in, struct machine *m)
{
    struct pc *pc = m->pc;
    uint64_t now_ns = 0;

    for (unsigned i = 0; in->left && i < STEPS_MAX; i++) {
        uint8_t step = (uint8_t)input_get(in, 1);
        unsigned size = 1u << (step >> 5 & 3);
        bool write = step & 0x10;

        switch (step & 15) {
        case STEP_CONFIG: {
            uint8_t devfn = (uint8_t)input_get(in, 1), reg = (uint8_t)input_get(in, 1);
            if (write)
                pci_config_write(pc->pci, 0, devfn, reg, MIN(size, 4u), (uint32_t)input_get(in, 4));
            else
                (void)pci_config_read(pc->pci, 0, devfn, reg, MIN(size, 4u));
            break;
        }
        case STEP_MEM_WINDOW:
            access_bus(in, m->mem, MEM_WINDOW + input_get(in, 4) % MIB(64), size, write);
            break;
        case STEP_IO_WINDOW:
            access_bus(in, m->pio, IO_WINDOW + input_get(in, 2) % 0x800, MIN(size, 4u), write);
            break;
        case STEP_APIC:
            step_apic(in, m, size, write);
            break;
        case STEP_RAM: /* what descriptors and tables are made of */
            access_bus(in, m->mem, input_get(in, 2) * 16 + 0x1000, size, true);
            break;
        case STEP_TIME:
            now_ns += input_get(in, 2) << (step >> 4);
            clock_set_ns(m->clock, now_ns);
            (void)clock_run_timers(m->clock);
            pc_poll(m);
            break;
        case STEP_PORT:
            access_bus(in, m->pio, input_get(in, 2), MIN(size, 4u), write);
            break;
        case STEP_OTHER:
            step_other(in, m);
            break;
        default:
            step_row(in, pc, size, write);
            break;
        }
    }
}

static struct state *save(struct machine *m, const void **ret_data, size_t *ret_len_bytes)
{
    const char *where;
    struct state *s;

    fuzz_require(state_new_save(&s) == 0 && pc_state(m, s, &where) == 0);
    *ret_data = state_data(s, ret_len_bytes);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    bool vtd = size && data[0] == 0xff;
    struct machine *m = NULL;
    struct error err = {""};
    char paths[4][32];
    const char *where;
    const void *first, *second;
    size_t first_bytes, second_bytes;
    int fds[4];

    if (vtd)
        input_get(&in, 1);
    for (unsigned i = 0; i < 4; i++)
        image_open(&fds[i], paths[i], i == 3 ? FLOPPY_BYTES : DISK_BYTES);
    struct machine_config config = {.name = "fuzz",
                                    .engine = "soft",
                                    .cpus = 2,
                                    .memory_bytes = MEMORY_BYTES,
                                    .firmware = "bios",
                                    .disks = {{.path = paths[0], .bus = MACHINE_BUS_IDE},
                                              {.path = paths[1], .bus = MACHINE_BUS_VIRTIO}},
                                    .disk_count = 2,
                                    .cdrom = paths[2],
                                    .floppy = paths[3],
                                    .nets = {{.nic = MACHINE_NIC_VIRTIO, .mac = {0x52}},
                                             {.nic = MACHINE_NIC_E1000, .mac = {0x52, 1}},
                                             {.nic = MACHINE_NIC_21140, .mac = {0x52, 2}},
                                             {.nic = MACHINE_NIC_RTL8139, .mac = {0x52, 3}}},
                                    .net_count = 4,
                                    .iommu = vtd ? MACHINE_IOMMU_INTEL : MACHINE_IOMMU_NONE,
                                    .edu = true,
                                    .debug_exit = true};
    if (machine_new(&config, &m, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    machine_lock(m);
    fuzz_require(boot_platform(m->pc) == 0);
    steps(&in, m);

    struct state *saved = save(m, &first, &first_bytes), *load, *again;
    fuzz_require(state_new_load(first, first_bytes, &load) == 0 && pc_state(m, load, &where) == 0);
    again = save(m, &second, &second_bytes);
    fuzz_require(first_bytes == second_bytes && !memcmp(first, second, first_bytes));
    state_free(saved);
    state_free(load);
    state_free(again);
    fuzz_require(pc_reset(m) == 0);
    machine_unlock(m);
    machine_free(m);
    for (unsigned i = 0; i < 4; i++)
        close(fds[i]);
    return 0;
}
