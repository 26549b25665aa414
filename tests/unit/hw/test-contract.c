/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every device promises, checked for all of them from one table: a reset restores the
 * power-on state, however often; a saved device loads into an equal one; no guest access and no
 * damaged file does harm; a reset leaves no interrupt behind. A device that breaks this loses a
 * guest its resume, or the host its process.
 */
#include <stdio.h>

#include "base/bytes.h"
#include "hw/chipset/debugcon.h"
#include "hw/chipset/edu.h"
#include "hw/chipset/i440fx.h"
#include "hw/chipset/piix3.h"
#include "hw/chipset/piix4_pm.h"
#include "hw/chipset/port92.h"
#include "hw/chipset/testdev.h"
#include "hw/display/vga.h"
#include "hw/firmware/fw_cfg.h"
#include "hw/input/i8042.h"
#include "hw/input/ps2kbd.h"
#include "hw/input/ps2mouse.h"
#include "hw/iommu/vtd.h"
#include "hw/irq/i8259.h"
#include "hw/irq/ioapic.h"
#include "hw/irq/lapic.h"
#include "hw/nic/dec21140.h"
#include "hw/nic/e1000.h"
#include "hw/nic/rtl8139.h"
#include "hw/serial/ns16550.h"
#include "hw/storage/ahci.h"
#include "hw/storage/fdc.h"
#include "hw/storage/i8237.h"
#include "hw/storage/ide_pci.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i8254.h"
#include "hw/timer/mc146818.h"
#include "hw/virtio/virtio_balloon.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_console.h"
#include "hw/virtio/virtio_net.h"
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/virtio_scsi.h"
#include "hwtest.h"
#include "memdisk.h"

#define RAM_BYTES (1u << 20)
#define STEPS 40000

/* Everything a device can be wired to. */
struct world {
    struct clock *clock;
    struct wires wires;
    struct ram *ram;
    struct bus *mem, *pio;
    struct dma dma;
    struct region dram;
    struct pci_bus *pci;
    struct ps2kbd *kbd;
    struct ps2mouse *mouse;
    struct memdisk *disk; /* of the devices that have one */
    struct net_port wire; /* the far end of a network card's cable */
};

struct io {
    const struct io_ops *ops;
    unsigned bytes;
};

struct row {
    const struct dev_ops *ops;
    void *(*make)(struct world *w);
    struct io io[4];
    uint8_t devfn; /* where its configuration space is poked; 0: none */
    bool battery;  /* something survives the reset */
    void (*stir)(struct world *w, void *dev, uint32_t random); /* what else happens to it */
};

static uint32_t seed;

static uint32_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

/* Numbers such as registers like: small ones, single bits, anything. */
static uint64_t next_value(void)
{
    uint32_t random = next_random();
    switch (random & 3) {
    case 0:
        return random >> 28;
    case 1:
        return random >> 24;
    case 2:
        return 1ull << (random >> 27);
    default:
        return (uint64_t)random << 32 | next_random();
    }
}

static void on_wire(void *ctx, unsigned n, bool level)
{
    wires_set(&((struct world *)ctx)->wires, n & 31, level);
}

static void on_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    (void)devfn;
    on_wire(ctx, 16 + pin, level);
}

static void on_event(void *ctx)
{
    (void)ctx;
}

static void on_cpu(void *ctx, unsigned cpu)
{
    (void)ctx;
    (void)cpu;
}

static void on_cpu_byte(void *ctx, unsigned cpu, uint8_t byte)
{
    (void)ctx;
    (void)cpu;
    (void)byte;
}

static void on_eoi(void *ctx, uint8_t vector)
{
    (void)ctx;
    (void)vector;
}

static int on_pic_ack(void *ctx)
{
    (void)ctx;
    return -1;
}

static uint64_t on_tsc(void *ctx, unsigned cpu, uint64_t tsc)
{
    (void)ctx;
    (void)cpu;
    return tsc / 2;
}

static void on_x2apic(void *ctx, uint32_t dest, uint32_t addr, uint32_t data)
{
    (void)ctx;
    (void)dest;
    (void)addr;
    (void)data;
}

static size_t on_bytes(void *ctx, const uint8_t *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    return len / 2; /* a host that is slow */
}

#define MAKE(type, ...)                                                                            \
    static void *make_##type(struct world *w)                                                      \
    {                                                                                              \
        struct type *dev;                                                                          \
        struct type##_env env = {__VA_ARGS__};                                                     \
        assert_int_equal(type##_new(&env, &dev), 0);                                               \
        (void)w;                                                                                   \
        return dev;                                                                                \
    }

MAKE(i8259, .intr = wire(&w->wires, 0))
MAKE(ioapic, .msi = {.send = NULL})
MAKE(lapic, .cpus = 3, .clock = w->clock, .intr = on_wire, .nmi = on_cpu, .init = on_cpu,
     .sipi = on_cpu_byte, .ioapic_eoi = on_eoi, .pic_ack = on_pic_ack, .tsc_to_ns = on_tsc,
     .ctx = w)
MAKE(i8254, .clock = w->clock, .out0 = wire(&w->wires, 0))
MAKE(mc146818, .clock = w->clock, .irq = wire(&w->wires, 8), .epoch_ns = 1700000000000000123)
MAKE(hpet, .clock = w->clock, .irq0 = wire(&w->wires, 0), .irq8 = wire(&w->wires, 8),
     .pin = on_wire, .ctx = w)
MAKE(ns16550, .clock = w->clock, .irq = wire(&w->wires, 4), .chr = {.write = on_bytes})
MAKE(ps2kbd, .leds = NULL)
MAKE(i8042, .clock = w->clock, .irq_kbd = wire(&w->wires, 1), .irq_aux = wire(&w->wires, 12),
     .kbd = ps2kbd_port(w->kbd), .aux = ps2mouse_port(w->mouse))
MAKE(i440fx, .pci = w->pci, .mem = w->mem)
MAKE(piix3, .pci = w->pci, .devfn = PCI_DEVFN(1, 0), .irq = on_wire, .ctx = w)
MAKE(piix4_pm, .pci = w->pci, .devfn = PCI_DEVFN(1, 3), .clock = w->clock,
     .sci = wire(&w->wires, 9))
MAKE(port92, .reset = on_event)
MAKE(debugcon, .chr = {.write = on_bytes})
MAKE(testdev, .irq = on_wire, .ctx = w)
MAKE(fw_cfg, .mem = w->mem)
MAKE(vtd, .mem = w->mem, .msi_x2apic = on_x2apic, .phys_bits = 40)
MAKE(edu, .pci = w->pci, .devfn = PCI_DEVFN(6, 0), .clock = w->clock)
MAKE(vga, .pci = w->pci, .devfn = PCI_DEVFN(2, 0), .clock = w->clock)

#define VIRTIO_ENV                                                                                 \
    {                                                                                              \
        .pci = w->pci, .devfn = PCI_DEVFN(4, 0), .clock = w->clock                                 \
    }
#define DISK_BYTES 163840 /* also a floppy disk */

static bool limited; /* the disks */
static struct blk *new_disk(struct world *w)
{
    w->disk = memdisk_new_limited(DISK_BYTES, limited ? w->clock : NULL);
    return &w->disk->blk;
}

MAKE(virtio_blk, .virtio = VIRTIO_ENV, .blk = new_disk(w), .queues = 2)
MAKE(virtio_console, .virtio = VIRTIO_ENV, .chr = {.write = on_bytes})

static bool on_frame(void *ctx, const struct net_frame *f)
{
    uint8_t bytes[64];
    (void)ctx;
    net_gather(f->iov, f->iov_count, 0, bytes, sizeof(bytes));
    return bytes[20] & 3; /* a far end that is full now and then */
}

static const struct net_port_ops wire_ops = {.receive = on_frame};

static void plug_in(struct world *w, struct net_port *port)
{
    net_port_init(&w->wire, &wire_ops, w);
    net_connect(port, &w->wire);
}

static void *make_virtio_net(struct world *w)
{
    const struct virtio_net_env env = {
        .virtio = VIRTIO_ENV, .mac = {0x52, 0x54, 0, 1, 2, 3}, .pairs = 2};
    struct virtio_net *dev;
    assert_int_equal(virtio_net_new(&env, &dev), 0);
    plug_in(w, virtio_net_port(dev));
    return dev;
}

#define NIC_DEVFN PCI_DEVFN(3, 0)
#define MAKE_NIC(type)                                                                             \
    static void *make_##type(struct world *w)                                                      \
    {                                                                                              \
        const struct nic_env env = {.pci = w->pci,                                                 \
                                    .devfn = NIC_DEVFN,                                            \
                                    .clock = w->clock,                                             \
                                    .mac = {0x52, 0x54, 0, 1, 2, 3}};                              \
        struct type *dev;                                                                          \
        assert_int_equal(type##_new(&env, &dev), 0);                                               \
        plug_in(w, type##_port(dev));                                                              \
        return dev;                                                                                \
    }
MAKE_NIC(e1000)
MAKE_NIC(dec21140)
MAKE_NIC(rtl8139)

static void *make_virtio_rng(struct world *w)
{
    const struct virtio_env env = VIRTIO_ENV;
    struct virtio_rng *dev;
    assert_int_equal(virtio_rng_new(&env, &dev), 0);
    return dev;
}

static void *make_virtio_balloon(struct world *w)
{
    const struct virtio_env env = VIRTIO_ENV;
    struct virtio_balloon *dev;
    assert_int_equal(virtio_balloon_new(&env, &dev), 0);
    return dev;
}

static void *make_i8237(struct world *w)
{
    struct i8237 *dev;
    assert_int_equal(i8237_new(&(const struct dma){.bus = w->mem}, &dev), 0);
    return dev;
}

static void *make_fdc(struct world *w)
{
    const struct fdc_env env = {.irq = wire(&w->wires, 6), .drives = 2};
    struct fdc *dev;
    assert_int_equal(fdc_new(&env, &dev), 0);
    assert_int_equal(fdc_insert(dev, 0, new_disk(w)), 0);
    return dev;
}

static void *make_ide(struct world *w)
{
    const struct ide_env env = {.irq = wire(&w->wires, 14), .mem = &w->dma};
    const struct ide_drive_config drives[2] = {{.kind = IDE_DISK, .blk = new_disk(w)},
                                               {.kind = IDE_CD, .blk = &w->disk->blk}};
    struct ide *dev;
    assert_int_equal(ide_new(&env, drives, &dev), 0);
    return dev;
}

static void *make_ide_pci(struct world *w)
{
    const struct ide_pci_env env = {
        .pci = w->pci, .devfn = PCI_DEVFN(1, 1), .irq = {wire(&w->wires, 14), wire(&w->wires, 15)}};
    const struct ide_drive_config drives[4] = {{.kind = IDE_DISK, .blk = new_disk(w)},
                                               {.kind = IDE_NONE},
                                               {.kind = IDE_CD, .blk = &w->disk->blk}};
    struct ide_pci *dev;
    assert_int_equal(ide_pci_new(&env, drives, &dev), 0);
    return dev;
}

#define AHCI_DEVFN PCI_DEVFN(5, 0)
static void *make_ahci(struct world *w)
{
    const struct ahci_env env = {.pci = w->pci, .devfn = AHCI_DEVFN};
    const struct ide_drive_config drives[AHCI_PORTS] = {{.kind = IDE_DISK, .blk = new_disk(w)},
                                                        {.kind = IDE_CD, .blk = &w->disk->blk}};
    struct ahci *dev;
    assert_int_equal(ahci_new(&env, drives, &dev), 0);
    return dev;
}

static void *make_virtio_scsi(struct world *w)
{
    const struct virtio_scsi_env env = {.virtio = VIRTIO_ENV, .queues = 2};
    struct virtio_scsi *dev;
    assert_int_equal(virtio_scsi_new(&env, &dev), 0);
    assert_int_equal(virtio_scsi_plug(dev, 1, new_disk(w), "abc"), 0);
    return dev;
}

static void *make_ps2mouse(struct world *w)
{
    struct ps2mouse *mouse;
    (void)w;
    assert_int_equal(ps2mouse_new(&mouse), 0);
    return mouse;
}

static void stir_i8259(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    i8259_set_irq(dev, random & 15, random & 16);
    if (random & 32)
        i8259_ack(dev);
    for (unsigned n = 0; random >> 31 && n < 16; n++)
        i8259_set_irq(dev, n, false);
}

static void stir_ioapic(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    ioapic_set_pin(dev, random & 31, random & 32);
    ioapic_eoi(dev, (uint8_t)(random >> 8));
}

static void stir_lapic(struct world *w, void *dev, uint32_t random)
{
    uint64_t value = next_random() & (random & 1 ? UINT32_MAX : 0xff);
    unsigned cpu = (random >> 1) % 3;
    (void)w;
    static const uint32_t msrs[] = {0x1b, 0x6e0};
    uint32_t msr = random & 16 ? msrs[random >> 5 & 1] : 0x800 + (random >> 8 & 0xff);
    lapic_mmio_write(dev, cpu, random >> 12 & 0xff0, 4, value);
    lapic_mmio_read(dev, cpu, random >> 12 & 0xfff, 1u << (random & 3));
    if (msr != 0x1b || random & 64)
        lapic_msr(dev, cpu, msr, &value, random & 128);
    lapic_msi(dev, 0xfee00000 | (random & 0xfffff), next_random());
    lapic_msi_x2apic(dev, (uint32_t)next_value(), random & 0xfffff, next_random());
    lapic_intr_ack(dev, cpu);
}

static void stir_hpet(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    if (random & 1)
        hpet_legacy_in(dev, random & 2 ? 8 : 0, true);
    hpet_legacy_in(dev, random & 2 ? 8 : 0, false);
}

static void stir_uart(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    if (random & 1)
        ns16550_receive(dev, (const uint8_t *)"abcdefgh", random >> 1 & 7);
    if (random & 16)
        ns16550_receive_break(dev);
    if (random & 32)
        ns16550_tx_ready(dev);
}

static void stir_kbd(struct world *w, void *dev, uint32_t random)
{
    uint8_t byte;
    const struct ps2_port *port = ps2kbd_port(dev);
    (void)w;
    ps2kbd_key(dev, random & 127, random & 128);
    if (random & 256)
        port->send(port->dev, (uint8_t)(random >> 16 | (random & 512 ? 0xe0 : 0)));
    if (random & 1024)
        port->fetch(port->dev, &byte);
}

static void stir_mouse(struct world *w, void *dev, uint32_t random)
{
    uint8_t byte;
    const struct ps2_port *port = ps2mouse_port(dev);
    (void)w;
    ps2mouse_move(dev, (int)random, (int)next_random(), (int)(random & 15) - 8);
    ps2mouse_buttons(dev, (uint8_t)random);
    if (random & 256)
        port->send(port->dev, (uint8_t)(random >> 16 | (random & 512 ? 0xe0 : 0)));
    if (random & 1024)
        port->fetch(port->dev, &byte);
}

static void stir_kbc(struct world *w, void *dev, uint32_t random)
{
    (void)dev;
    stir_kbd(w, w->kbd, random);
    stir_mouse(w, w->mouse, next_random());
}

static void stir_piix3(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    piix3_intx(dev, random & 0xff, random >> 8 & 3, random & 1024);
    if (random >> 30 == 0)
        for (unsigned i = 0; i < 1024; i++)
            piix3_intx(dev, i & 0xff, i >> 8, false);
}

static void stir_pm(struct world *w, void *dev, uint32_t random)
{
    unsigned size = 1u << (random & 1);
    uint16_t base = piix4_pm_base(dev);
    if (random & 64)
        piix4_pm_power_button(dev);
    if (random & 128)
        piix4_pm_gpe(dev, random >> 8);
    if (base)
        bus_write(w->pio, base + (random >> 8 & 63), size, next_random());
    if (base)
        bus_read(w->pio, base + (random >> 16 & 63), size);
}

static void stir_vga(struct world *w, void *dev, uint32_t random)
{
    (void)w;
    if (random % 64 == 0)
        vga_refresh(dev);
}

/* A machine saves only with its disks at rest. */
static void stir_disk(struct world *w, void *dev, uint32_t random)
{
    (void)dev;
    (void)random;
    blk_drain(&w->disk->blk);
}

/* Commands and, now and then, the bus master over a list of buffers at 0x1000. */
static void stir_ide(struct world *w, void *dev, uint32_t random)
{
    static const uint8_t commands[] = {0xc8, 0xca, 0x20, 0x30, 0xec, 0xa0, 0xe7, 0xef};
    struct region ports = {.name = "ide",
                           .size_bytes = 8,
                           .ops = &ide_command_io,
                           .dev = ide_pci_channel(dev, random & 1)};
    uint8_t *prd = w->ram->host + 0x1000;
    memcpy(prd, "\0\x20\0\0\0\x01\0\0\0\x30\0\0\0\x10\0\x80", 16);
    if (random & 2)
        region_write(&ports, random >> 8 & 7, 1u << (random >> 4 & 1), next_value());
    if (random >> 29 == 0)
        region_write(&ports, 7, 1, commands[random >> 12 & 7]);
    if (random >> 30 == 1) {
        pci_config_write(w->pci, 0, PCI_DEVFN(1, 1), 0x20, 4, 0xc000);
        pci_config_write(w->pci, 0, PCI_DEVFN(1, 1), 0x04, 2, 5);
        bus_write(w->pio, 0xc004 + 8 * (random & 1), 4, 0x1000);
        bus_write(w->pio, 0xc000 + 8 * (random & 1), 1, random >> 16 & 9);
    }
    blk_drain(&w->disk->blk);
}

#define VIRTIO_BAR 0xe0000000u

/* Two queues, at 0 and 0x8000, whose buffers all have something to read and something to write. */
static void start_virtio(struct world *w)
{
    static const struct {
        unsigned offset, size;
        uint32_t value;
    } steps[] = {
        {0x14, 1, 0},      {0x14, 1, 3},      {0x08, 4, 0}, {0x0c, 4, ~0u}, {0x08, 4, 1},
        {0x0c, 4, 1},      {0x14, 1, 11},     {0x16, 2, 0}, {0x18, 2, 16},  {0x28, 4, 0x800},
        {0x30, 4, 0xc00},  {0x1c, 2, 1},      {0x16, 2, 1}, {0x18, 2, 16},  {0x20, 4, 0x8000},
        {0x28, 4, 0x8800}, {0x30, 4, 0x8c00}, {0x1c, 2, 1}, {0x14, 1, 15},
    };
    pci_config_write(w->pci, 0, PCI_DEVFN(4, 0), 0x20, 4, VIRTIO_BAR);
    pci_config_write(w->pci, 0, PCI_DEVFN(4, 0), 0x04, 2, 7);
    memset(w->ram->host, 0, 0x10000);
    for (unsigned i = 0; i < 32; i++) {
        uint8_t *desc = w->ram->host + i / 16 * 0x8000 + i % 16 * 16;
        desc[1] = (uint8_t)(0x10 + i); /* at 0x1000, 0x1100, … */
        desc[8] = i & 1 ? 33 : 16;
        desc[12] = i & 1 ? 2 : 1;
        desc[14] = (uint8_t)(i % 16 + 1);
        if (!(i & 1))
            w->ram->host[desc[1] << 8] = "\0\1\4\10\13\15\0\1"[i / 2 % 8];
    }
    for (unsigned i = 0; i < ARRAY_LEN(steps); i++)
        bus_write(w->mem, VIRTIO_BAR + steps[i].offset, steps[i].size, steps[i].value);
}

/* A driver that goes by the rules, until it does not. */
static void stir_virtio(struct world *w, void *dev, uint32_t random)
{
    uint8_t *avail = w->ram->host + (random & 1 ? 0x8800 : 0x800);
    (void)dev;
    if (random >> 25 == 0)
        start_virtio(w);
    avail[4 + 2 * (avail[2] & 15)] = (uint8_t)(random >> 8 & 14);
    if (random & 2 && ++avail[2] == 0)
        avail[3]++;
    if (random & 4)
        bus_write(w->mem, VIRTIO_BAR + 0x3000 + 4 * (random & 1), 2, 0);
    if (random & 8)
        bus_read(w->mem, VIRTIO_BAR + 0x1000, 1);
    if (random >> 24 == 1)
        w->ram->host[next_random() & 0x8fff] = (uint8_t)next_random();
    if (random >> 24 == 2)
        bus_write(w->mem, VIRTIO_BAR + (random >> 8 & 0x203f), 1u << (random >> 4 & 3) % 3,
                  next_value());
    if (w->disk)
        blk_drain(&w->disk->blk);
}

/* Frames come in, with and without offloads, and what was refused is asked for again. */
static void stir_wire(struct world *w, uint32_t random)
{
    static uint8_t bytes[9000] = "\x52\x54\0\1\2\3\x52\x54\0\1\2\4\x08\0\x45\0";
    struct iovec iov = {bytes, 14 + (random >> 8) % (random & 64 ? 8000 : 1500)};
    struct net_frame f = net_frame_of(&iov);
    if (random & 32)
        f.offload.flags = NET_DATA_VALID;
    bytes[0] = random & 16 ? 0x52 : 0xff;
    if (random & 1)
        net_send(&w->wire, &f);
    w->wire.refused = true;
    if (random & 2)
        net_ready(&w->wire);
}

static void stir_virtio_net(struct world *w, void *dev, uint32_t random)
{
    stir_virtio(w, dev, random);
    stir_wire(w, next_random());
}

#define NIC_BAR 0xe0100000u

/* Registers that a driver would write, of one card or another, over memory that is anything. */
static void stir_nic(struct world *w, void *dev, uint32_t random)
{
    static const uint16_t offsets[] = {0x08,   0x10,   0x18,   0x20,   0x28,   0x30,   0x37,
                                       0x38,   0x3c,   0x3e,   0x44,   0x48,   0x50,   0x54,
                                       0xc4,   0xd0,   0x100,  0x400,  0x2800, 0x2808, 0x2810,
                                       0x2818, 0x3800, 0x3808, 0x3810, 0x3818, 0x5000, 0x0};
    uint32_t at = offsets[(random >> 8) % ARRAY_LEN(offsets)];
    (void)dev;
    if (random >> 26 == 0) {
        pci_config_write(w->pci, 0, NIC_DEVFN, 0x10, 4, NIC_BAR);
        pci_config_write(w->pci, 0, NIC_DEVFN, 0x14, 4, NIC_BAR + 0x100000);
        pci_config_write(w->pci, 0, NIC_DEVFN, 0x04, 2, 7);
    }
    at += NIC_BAR + (random & 8 ? 0x100000 : 0);
    if (random & 1)
        bus_write(w->mem, at, random & 2 ? 4 : 1,
                  random & 4 ? next_value() & 0xffff0 : next_value());
    else
        bus_read(w->mem, at, 4);
    if (random >> 24 == 1)
        for (unsigned i = 0; i < 64; i++)
            le32_put(w->ram->host + (next_random() & 0xffffc), (uint32_t)next_value());
    stir_wire(w, next_random());
}

/* Devices ask it for memory and send interrupts, over tables that are anything. */
static void stir_vtd(struct world *w, void *dev, uint32_t random)
{
    const struct dma dma = {
        .bus = w->mem, .map = vtd_dma_map(dev), .requester = (uint16_t)(random >> 8)};
    uint64_t addr = next_value() & (random & 2 ? 0xffff : UINT64_MAX);
    uint8_t buf[64] = {0};
    (void)(random & 1 ? dma_read(&dma, addr, buf, 64) : dma_write(&dma, addr, buf, 1));
    vtd_msi(dev, (uint16_t)next_random(), 0xfee00000 | (addr & 0xfffff), (uint32_t)next_value());
    /* Tables low in memory, with entries that lead on and some that do not. */
    if (random >> 26 == 1)
        for (unsigned i = 0; i < 64; i++)
            le64_put(w->ram->host + (next_random() & 0xfff8),
                     (next_value() & ~0xf87cull & 0xffffffffffff) | 3);
}

#define EDU_BAR 0xe0400000u
static void stir_edu(struct world *w, void *dev, uint32_t random)
{
    static const uint8_t offsets[] = {0x04, 0x08, 0x20, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, 0x24};
    uint64_t at = EDU_BAR + offsets[random % ARRAY_LEN(offsets)];
    (void)dev;
    pci_config_write(w->pci, 0, PCI_DEVFN(6, 0), 0x10, 4, EDU_BAR);
    pci_config_write(w->pci, 0, PCI_DEVFN(6, 0), 0x04, 2, random >> 26 ? 7 : 0);
    bus_write(w->mem, at, random & 256 ? 4 : 8,
              random & 512 ? 0x40000 + (next_random() & 0x1fff) : next_value());
    bus_read(w->mem, at, random & 256 ? 4 : 8);
}

static const struct row rows[] = {
    {.ops = &vtd_dev_ops, .make = make_vtd, .io = {{&vtd_io, VTD_BYTES}}, .stir = stir_vtd},
    {.ops = &edu_dev_ops, .make = make_edu, .devfn = PCI_DEVFN(6, 0), .stir = stir_edu},
    {.ops = &e1000_dev_ops, .make = make_e1000, .devfn = NIC_DEVFN, .stir = stir_nic},
    {.ops = &dec21140_dev_ops, .make = make_dec21140, .devfn = NIC_DEVFN, .stir = stir_nic},
    {.ops = &rtl8139_dev_ops, .make = make_rtl8139, .devfn = NIC_DEVFN, .stir = stir_nic},
    {.ops = &virtio_net_dev_ops,
     .make = make_virtio_net,
     .devfn = PCI_DEVFN(4, 0),
     .stir = stir_virtio_net},
    {.ops = &i8237_dev_ops,
     .make = make_i8237,
     .io = {{&i8237_first_io, 16}, {&i8237_second_io, 32}, {&i8237_page_io, 16}}},
    {.ops = &fdc_dev_ops,
     .make = make_fdc,
     .io = {{&fdc_io, 6}, {&fdc_dir_io, 1}},
     .stir = stir_disk},
    {.ops = &ide_dev_ops,
     .make = make_ide,
     .io = {{&ide_command_io, 8}, {&ide_control_io, 1}},
     .stir = stir_disk,
     .battery = true /* the tray of the CD drive */},
    {.ops = &ide_pci_dev_ops,
     .make = make_ide_pci,
     .devfn = PCI_DEVFN(1, 1),
     .stir = stir_ide,
     .battery = true /* likewise */},
    {.ops = &virtio_blk_dev_ops,
     .make = make_virtio_blk,
     .devfn = PCI_DEVFN(4, 0),
     .stir = stir_virtio},
    {.ops = &virtio_scsi_dev_ops,
     .make = make_virtio_scsi,
     .devfn = PCI_DEVFN(4, 0),
     .stir = stir_virtio},
    {.ops = &ahci_dev_ops,
     .make = make_ahci,
     .devfn = AHCI_DEVFN,
     .stir = stir_disk,
     .battery = true /* the tray of the CD drive */},
    {.ops = &virtio_console_dev_ops,
     .make = make_virtio_console,
     .devfn = PCI_DEVFN(4, 0),
     .stir = stir_virtio},
    {.ops = &virtio_rng_dev_ops, .make = make_virtio_rng, .devfn = PCI_DEVFN(4, 0)},
    {.ops = &virtio_balloon_dev_ops,
     .make = make_virtio_balloon,
     .devfn = PCI_DEVFN(4, 0),
     .stir = stir_virtio},
    {.ops = &i8259_dev_ops,
     .make = make_i8259,
     .io = {{&i8259_master_io, 2}, {&i8259_slave_io, 2}, {&i8259_elcr_io, 2}},
     .stir = stir_i8259,
     .battery = true /* the lines from outside keep their levels */},
    {.ops = &ioapic_dev_ops,
     .make = make_ioapic,
     .io = {{&ioapic_io, IOAPIC_BYTES}},
     .stir = stir_ioapic,
     .battery = true /* likewise */},
    {.ops = &lapic_dev_ops, .make = make_lapic, .stir = stir_lapic},
    {.ops = &i8254_dev_ops, .make = make_i8254, .io = {{&i8254_io, 4}, {&i8254_port61_io, 1}}},
    {.ops = &mc146818_dev_ops, .make = make_mc146818, .io = {{&mc146818_io, 4}}, .battery = true},
    {.ops = &hpet_dev_ops, .make = make_hpet, .io = {{&hpet_io, HPET_BYTES}}, .stir = stir_hpet},
    {.ops = &ns16550_dev_ops, .make = make_ns16550, .io = {{&ns16550_io, 8}}, .stir = stir_uart},
    {.ops = &ps2kbd_dev_ops, .make = make_ps2kbd, .stir = stir_kbd},
    {.ops = &ps2mouse_dev_ops, .make = make_ps2mouse, .stir = stir_mouse},
    {.ops = &i8042_dev_ops,
     .make = make_i8042,
     .io = {{&i8042_data_io, 1}, {&i8042_command_io, 1}},
     .stir = stir_kbc},
    {.ops = &i440fx_dev_ops, .make = make_i440fx, .io = {{&i440fx_config_io, 8}}},
    {.ops = &piix3_dev_ops,
     .make = make_piix3,
     .devfn = PCI_DEVFN(1, 0),
     .stir = stir_piix3,
     .battery = true /* lines of PCI interrupts */},
    {.ops = &piix4_pm_dev_ops,
     .make = make_piix4_pm,
     .io = {{&piix4_apm_io, 2}},
     .devfn = PCI_DEVFN(1, 3),
     .stir = stir_pm},
    {.ops = &port92_dev_ops, .make = make_port92, .io = {{&port92_io, 1}}},
    {.ops = &debugcon_dev_ops,
     .make = make_debugcon,
     .io = {{&debugcon_io, 1}, {&debugcon_exit_io, 4}}},
    {.ops = &testdev_dev_ops,
     .make = make_testdev,
     .io = {{&testdev_latch_io, 4}, {&testdev_irq_io, 24}, {&testdev_mem_io, 0x100}}},
    {.ops = &fw_cfg_dev_ops, .make = make_fw_cfg, .io = {{&fw_cfg_io, FW_CFG_PORTS}}},
    {.ops = &vga_dev_ops,
     .make = make_vga,
     .io = {{&vga_port_io, VGA_PORTS}, {&vga_vbe_io, VGA_VBE_PORTS}, {&vga_window_io, 0x1000}},
     .devfn = PCI_DEVFN(2, 0),
     .stir = stir_vga},
};

static void world_make(struct world *w, uint64_t now_ns)
{
    uint64_t offset;
    *w = (struct world){.clock = test_clock()};
    clock_set_ns(w->clock, now_ns);
    assert_int_equal(ram_new(32 << 20, &w->ram, NULL), 0);
    assert_int_equal(ram_alloc(w->ram, RAM_BYTES, &offset), 0);
    assert_int_equal(bus_new("mem", 1ull << 40, w->ram, &w->mem), 0);
    assert_int_equal(bus_new("pio", 0x10000, NULL, &w->pio), 0);
    w->dram = (struct region){
        .name = "dram", .size_bytes = RAM_BYTES, .kind = REGION_RAM, .ram_offset = offset};
    assert_int_equal(bus_add(w->mem, &w->dram), 0);
    w->dma = (struct dma){.bus = w->mem};
    struct pci_env env = {.mem = w->mem, .pio = w->pio, .intx = on_intx, .intx_ctx = w};
    assert_int_equal(pci_bus_new(&env, &w->pci), 0);
    assert_int_equal(ps2kbd_new(NULL, &w->kbd), 0);
    assert_int_equal(ps2mouse_new(&w->mouse), 0);
}

static void world_end(struct world *w)
{
    ps2kbd_dev_ops.free(w->kbd);
    ps2mouse_dev_ops.free(w->mouse);
    pci_bus_free(w->pci);
    bus_free(w->mem);
    bus_free(w->pio);
    ram_free(w->ram);
    if (w->disk)
        blk_close(&w->disk->blk);
    clock_free(w->clock);
}

/* Bytes of the device's saved state; free them. */
static uint8_t *save(const struct row *row, void *dev, size_t *ret_len)
{
    struct state *s;
    uint32_t version = row->ops->version;
    assert_int_equal(state_new_save(&s), 0);
    assert_int_equal(state_section(s, row->ops->name, &version), 0);
    assert_int_equal(row->ops->state(dev, s), 0);
    const void *data = state_data(s, ret_len);
    uint8_t *copy = malloc(*ret_len);
    memcpy(copy, data, *ret_len);
    state_free(s);
    return copy;
}

static int load(const struct row *row, void *dev, const uint8_t *data, size_t len)
{
    struct state *s;
    uint32_t version;
    int r = state_new_load(data, len, &s);
    if (r < 0)
        return r;
    r = state_section(s, row->ops->name, &version);
    if (!r)
        r = row->ops->state(dev, s);
    state_free(s);
    return r;
}

/* Whatever a guest might do, for a while. */
static void use(const struct row *row, struct world *w, void *dev, unsigned steps)
{
    static const uint64_t times_ns[] = {0, 100, US(3), US(250), MS(2), MS(700)};
    for (unsigned i = 0; i < steps; i++) {
        uint32_t random = next_random();
        unsigned blocks = 0;
        while (blocks < ARRAY_LEN(row->io) && row->io[blocks].ops)
            blocks++;
        const struct io *io = &row->io[blocks ? random % blocks : 0];
        if (io->ops) {
            struct region region = {
                .name = "io", .size_bytes = io->bytes, .ops = io->ops, .dev = dev};
            unsigned size = 1u << (random >> 4 & 3);
            uint64_t offset = next_random() % io->bytes;
            if (io->bytes > 64 && random & 128)
                offset &= 0x1f8; /* where most registers are */
            if (offset + size <= io->bytes && random & 64)
                region_write(&region, offset, size, next_value());
            else if (offset + size <= io->bytes)
                region_read(&region, offset, size);
        }
        if (row->devfn && random >> 28 == 0)
            pci_config_write(w->pci, 0, row->devfn, random >> 8 & 0xfc, 4, (uint32_t)next_value());
        if (row->stir)
            row->stir(w, dev, next_random());
        if (random >> 28 == 3)
            clock_advance(w->clock, times_ns[(random >> 16) % ARRAY_LEN(times_ns)]);
    }
}

static void assert_same_state(const struct row *row, void *a, void *b, const char *what)
{
    size_t len_a, len_b;
    uint8_t *data_a = save(row, a, &len_a), *data_b = save(row, b, &len_b);
    if (len_a != len_b || memcmp(data_a, data_b, len_a) != 0) {
        size_t at = 0;
        while (at < len_a && at < len_b && data_a[at] == data_b[at])
            at++;
        size_t from = at > 40 ? at - 40 : 0;
        fprintf(stderr, "%s: at byte %zu, after \"", row->ops->name, at);
        for (size_t i = from; i < at; i++)
            fputc(data_a[i] >= ' ' && data_a[i] < 0x7f ? data_a[i] : '.', stderr);
        fprintf(stderr, "\"\n");
        fail_msg("%s: %s", row->ops->name, what);
    }
    free(data_a);
    free(data_b);
}

static void check_reset(const struct row *row)
{
    struct world w, fresh_world;
    world_make(&w, NS_PER_SEC);
    void *dev = row->make(&w);
    use(row, &w, dev, STEPS);
    row->ops->reset(dev);
    if (w.wires.levels && !row->battery)
        fail_msg("%s: lines %#x are high after a reset", row->ops->name, w.wires.levels);
    size_t len_once, len_twice;
    uint8_t *once = save(row, dev, &len_once);
    row->ops->reset(dev);
    uint8_t *twice = save(row, dev, &len_twice);
    if (len_once != len_twice || memcmp(once, twice, len_once) != 0)
        fail_msg("%s: a second reset differs from the first", row->ops->name);
    free(once);
    free(twice);
    world_make(&fresh_world, clock_now_ns(w.clock));
    void *fresh = row->make(&fresh_world);
    if (!row->battery)
        assert_same_state(row, dev, fresh, "a reset is not like power-on");
    row->ops->free(fresh);
    world_end(&fresh_world);
    row->ops->free(dev);
    world_end(&w);
}

/* What surrounds the device is the same in both worlds. */
static void copy_world(struct world *to, const struct world *from)
{
    static const struct row kbd_row = {.ops = &ps2kbd_dev_ops};
    static const struct row mouse_row = {.ops = &ps2mouse_dev_ops};
    size_t len;
    uint8_t *data = save(&kbd_row, from->kbd, &len);
    assert_int_equal(load(&kbd_row, to->kbd, data, len), 0);
    free(data);
    data = save(&mouse_row, from->mouse, &len);
    assert_int_equal(load(&mouse_row, to->mouse, data, len), 0);
    free(data);
    memcpy(to->ram->host, from->ram->host, from->ram->used_bytes);
    if (from->disk)
        memcpy(to->disk->bytes, from->disk->bytes, DISK_BYTES);
}

/* From equal states equal things happen: something that was not saved shows here. */
static void check_same_future(const struct row *row, struct world *w, void *dev,
                              struct world *other_world, void *other)
{
    copy_world(other_world, w);
    /* Looked at often, before a difference is overwritten. */
    for (unsigned i = 0; i < 40; i++) {
        uint32_t start = next_random();
        seed = start;
        use(row, w, dev, 10);
        seed = start;
        use(row, other_world, other, 10);
        assert_same_state(row, dev, other, "after loading it does not behave as before");
        if (w->wires.levels != other_world->wires.levels)
            fail_msg("%s: lines %#x are %#x some time after loading", row->ops->name,
                     w->wires.levels, other_world->wires.levels);
    }
}

static void check_save_and_load(const struct row *row)
{
    struct world w, other_world;
    world_make(&w, NS_PER_SEC);
    void *dev = row->make(&w);
    for (unsigned round = 0; round < 40; round++) {
        use(row, &w, dev, STEPS / 40);
        world_make(&other_world, clock_now_ns(w.clock));
        void *other = row->make(&other_world);
        size_t len;
        uint8_t *data = save(row, dev, &len);
        int r = load(row, other, data, len);
        if (r < 0)
            fail_msg("%s: its own state does not load: %d", row->ops->name, r);
        assert_same_state(row, dev, other, "what was loaded differs from what was saved");
        if (w.wires.levels != other_world.wires.levels)
            fail_msg("%s: lines %#x are %#x after loading", row->ops->name, w.wires.levels,
                     other_world.wires.levels);
        free(data);
        check_same_future(row, &w, dev, &other_world, other);
        row->ops->free(other);
        world_end(&other_world);
    }
    row->ops->free(dev);
    world_end(&w);
}

static void check_damaged_state(const struct row *row)
{
    struct world w;
    size_t len;
    world_make(&w, NS_PER_SEC);
    void *dev = row->make(&w);
    use(row, &w, dev, STEPS / 8);
    uint8_t *data = save(row, dev, &len);
    row->ops->free(dev);
    world_end(&w);
    for (unsigned round = 0; round < 60; round++) {
        world_make(&w, NS_PER_SEC);
        dev = row->make(&w);
        uint8_t *damaged = malloc(len);
        memcpy(damaged, data, len);
        for (unsigned i = 0; i <= round % 20; i++)
            damaged[next_random() % len] = (uint8_t)next_random();
        if (load(row, dev, damaged, len) < 0)
            row->ops->reset(dev); /* as the machine does */
        use(row, &w, dev, 100);
        free(damaged);
        row->ops->free(dev);
        world_end(&w);
    }
    free(data);
}

static void check_accesses(const struct row *row)
{
    static const uint64_t values[] = {0, UINT64_MAX, 0x5555555555555555, 0x0102030405060708};
    struct world w;
    world_make(&w, NS_PER_SEC);
    void *dev = row->make(&w);
    for (unsigned n = 0; n < ARRAY_LEN(row->io) && row->io[n].ops; n++) {
        const struct io *io = &row->io[n];
        struct region region = {.name = "io", .size_bytes = io->bytes, .ops = io->ops, .dev = dev};
        for (uint64_t offset = 0; offset < io->bytes; offset++)
            for (unsigned size = 1; size <= 8; size *= 2)
                for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
                    if (offset + size > io->bytes)
                        continue;
                    region_write(&region, offset, size, values[i]);
                    region_read(&region, offset, size);
                    if (!(offset & 15))
                        clock_advance(w.clock, 1000);
                }
    }
    for (unsigned offset = 0; row->devfn && offset < PCI_CONFIG_BYTES; offset++)
        for (unsigned size = 1; size <= 4; size *= 2)
            if ((offset & 3) + size <= 4) {
                pci_config_write(w.pci, 0, row->devfn, offset, size, UINT32_MAX);
                pci_config_read(w.pci, 0, row->devfn, offset, size);
            }
    row->ops->free(dev);
    world_end(&w);
}

#define FOR_ALL(name)                                                                              \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {                                           \
            seed = 0x9e3779b9 + i;                                                                 \
            check_##name(&rows[i]);                                                                \
        }                                                                                          \
    }

FOR_ALL(reset)
FOR_ALL(save_and_load)
FOR_ALL(damaged_state)
FOR_ALL(accesses)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_save_and_load),
        cmocka_unit_test(test_damaged_state),
        cmocka_unit_test(test_accesses),
    };
    limited = cmocka_run_group_tests(tests, NULL, NULL) == 0;
    return !limited || cmocka_run_group_tests_name("limited disks", tests, NULL, NULL);
}
