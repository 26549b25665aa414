/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC: i440FX and PIIX3/4 with the chips of an AT and its successors. One table says which
 * chips there are, how each is made and where its registers lie; making, mapping, resetting,
 * saving, loading and freeing all walk its rows.
 *
 * Interrupts: line n of 0-15 is input n of the 8259s and pin n of the IOAPIC, but for the 8254,
 * which has pin 2 (ACPI's override says so). PCI interrupts come through the PIIX3's router.
 */
#include "machine/pc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cpu/x86/cpuid.h"
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
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/virtio_scsi.h"

#define SLOT_SOUTH_BRIDGE 1
#define SLOT_VGA 2
#define SLOT_RNG 16
#define SLOT_BALLOON 17
#define SLOT_CONSOLE 18
#define SLOT_EDU 28
#define FDC_DMA_CHANNEL 2

static void ask_reset(void *ctx)
{
    machine_ask(((struct pc *)ctx)->m, REQUEST_RESET);
}

static void ask_power_off(void *ctx)
{
    machine_ask(((struct pc *)ctx)->m, REQUEST_POWER_OFF);
}

static void ask_debug_exit(void *ctx, uint32_t value)
{
    struct machine *m = ((struct pc *)ctx)->m;

    m->exit_status = (int)((value << 1 | 1) & 0xff);
    machine_ask(m, REQUEST_DEBUG_EXIT);
}

static void pic_intr(void *ctx, unsigned n, bool level)
{
    struct pc *pc = ctx;

    (void)n;
    if (pc->lapic)
        lapic_lint(pc->lapic, 0, level);
    else
        cpu_intr(pc->m, 0, level);
}

static int make_pic(struct pc *pc, struct error *err)
{
    struct i8259_env env = {.intr = {.set = pic_intr, .ctx = pc}};

    (void)err;
    return i8259_new(&env, &pc->pic);
}

static int make_ioapic(struct pc *pc, struct error *err)
{
    struct ioapic_env env = {.msi = pc_msi(pc), .source = PC_IOAPIC_SOURCE};

    (void)err;
    return ioapic_new(&env, &pc->ioapic);
}

static void lapic_out_intr(void *ctx, unsigned cpu, bool level)
{
    cpu_intr(((struct pc *)ctx)->m, cpu, level);
}

static void lapic_out_nmi(void *ctx, unsigned cpu)
{
    cpu_nmi(((struct pc *)ctx)->m, cpu);
}

static void lapic_out_init(void *ctx, unsigned cpu)
{
    cpu_init(((struct pc *)ctx)->m, cpu);
}

static void lapic_out_sipi(void *ctx, unsigned cpu, uint8_t vector)
{
    cpu_sipi(((struct pc *)ctx)->m, cpu, vector);
}

static void lapic_out_eoi(void *ctx, uint8_t vector)
{
    ioapic_eoi(((struct pc *)ctx)->ioapic, vector);
}

static uint64_t lapic_tsc_to_ns(void *ctx, unsigned cpu, uint64_t tsc)
{
    struct machine *m = ((struct pc *)ctx)->m;
    uint64_t now = clock_now_ns(m->clock), hz = m->engine->config.tsc_hz;
    uint64_t tsc_now = m->engine->ops->vcpu_tsc(m->cpus[cpu].vcpu);

    if (tsc <= tsc_now || !hz)
        return now;
    return now + clock_scale(tsc - tsc_now, NS_PER_SEC, hz);
}

static int make_lapic(struct pc *pc, struct error *err)
{
    struct lapic_env env = {
        .cpus = pc->m->config.cpus,
        .phys_bits = PHYS_BITS,
        .tick_ns = (unsigned)(NS_PER_SEC / X86_CRYSTAL_HZ),
        .clock = pc->m->clock,
        .intr = lapic_out_intr,
        .nmi = lapic_out_nmi,
        .init = lapic_out_init,
        .sipi = lapic_out_sipi,
        .ioapic_eoi = lapic_out_eoi,
        .pic_ack = pc_pic_ack,
        .tsc_to_ns = lapic_tsc_to_ns,
        .ctx = pc,
    };

    (void)err;
    return lapic_new(&env, &pc->lapic);
}

static bool want_lapic(const struct pc *pc)
{
    return !pc->m->engine->ops->msi;
}

static void pit_out(void *ctx, unsigned n, bool level)
{
    struct pc *pc = ctx;

    (void)n;
    hpet_legacy_in(pc->hpet, 0, level);
}

static void rtc_out(void *ctx, unsigned n, bool level)
{
    struct pc *pc = ctx;

    (void)n;
    hpet_legacy_in(pc->hpet, 8, level);
}

static int make_pit(struct pc *pc, struct error *err)
{
    struct i8254_env env = {.clock = pc->m->clock, .out0 = {.set = pit_out, .ctx = pc}};

    (void)err;
    return i8254_new(&env, &pc->pit);
}

static int make_rtc(struct pc *pc, struct error *err)
{
    struct mc146818_env env = {.clock = pc->m->clock, .irq = {.set = rtc_out, .ctx = pc}};
    struct timespec now;
    int r;

    (void)err;
    clock_gettime(CLOCK_REALTIME, &now);
    env.epoch_ns = (int64_t)now.tv_sec * (int64_t)NS_PER_SEC + now.tv_nsec -
                   (int64_t)clock_now_ns(pc->m->clock);
    r = mc146818_new(&env, &pc->rtc);
    if (r == 0)
        firmware_cmos(pc);
    return r;
}

static void hpet_pin(void *ctx, unsigned n, bool level)
{
    pc_irq(ctx, IRQ_FROM_HPET, n, level);
}

static int make_hpet(struct pc *pc, struct error *err)
{
    struct hpet_env env = {
        .clock = pc->m->clock,
        .irq0 = pc_line(pc, IRQ_FROM_ISA, 0),
        .irq8 = pc_line(pc, IRQ_FROM_ISA, 8),
        .pin = hpet_pin,
        .ctx = pc,
        .msi = pc_msi(pc),
        .source = PC_HPET_SOURCE,
    };

    (void)err;
    return hpet_new(&env, &pc->hpet);
}

/* Devices on the bus are made after the bridge that routes their interrupts. */
static void pci_intx(void *ctx, unsigned devfn, unsigned pin, bool level)
{
    struct pc *pc = ctx;

    if (pc->isa)
        piix3_intx(pc->isa, devfn, pin, level);
}

static int make_bridge(struct pc *pc, struct error *err)
{
    struct pci_env pci = {.mem = pc->m->mem,
                          .pio = pc->m->pio,
                          .intx = pci_intx,
                          .intx_ctx = pc,
                          .msi = pc_msi(pc),
                          .iommu = iommu_map(pc)};
    struct i440fx_env env = {.mem = pc->m->mem, .reset = ask_reset, .reset_ctx = pc};
    int r = pci_bus_new(&pci, &pc->pci);

    (void)err;
    if (r < 0)
        return r;
    env.pci = pc->pci;
    env.ram_offset = pc->ram_low.ram_offset;
    env.bios_bytes = MIN(pc->rom_bytes, KIB(128)) & ~(KIB(16) - 1);
    env.bios_offset = pc->rom_offset + pc->rom_bytes - env.bios_bytes;
    return i440fx_new(&env, &pc->bridge);
}

static void isa_irq(void *ctx, unsigned n, bool level)
{
    pc_irq(ctx, IRQ_FROM_PCI, n, level);
}

static int make_isa(struct pc *pc, struct error *err)
{
    struct piix3_env env = {
        .pci = pc->pci, .devfn = PCI_DEVFN(SLOT_SOUTH_BRIDGE, 0), .irq = isa_irq, .ctx = pc};

    (void)err;
    return piix3_new(&env, &pc->isa);
}

static int make_ide(struct pc *pc, struct error *err)
{
    struct ide_pci_env env = {
        .pci = pc->pci,
        .devfn = PCI_DEVFN(SLOT_SOUTH_BRIDGE, 1),
        .irq = {pc_line(pc, IRQ_FROM_ISA, 14), pc_line(pc, IRQ_FROM_ISA, 15)},
    };
    struct ide_drive_config drives[PC_IDE_DRIVES];
    int r;

    (void)err;
    drives_ide(pc, drives);
    r = ide_pci_new(&env, drives, &pc->ide);
    if (r < 0)
        return r;
    pc->ide_primary = ide_pci_channel(pc->ide, 0);
    pc->ide_secondary = ide_pci_channel(pc->ide, 1);
    return 0;
}

static int make_pm(struct pc *pc, struct error *err)
{
    struct piix4_pm_env env = {
        .pci = pc->pci,
        .devfn = PCI_DEVFN(SLOT_SOUTH_BRIDGE, 3),
        .clock = pc->m->clock,
        .sci = pc_line(pc, IRQ_FROM_SCI, 9),
        .soft_off = ask_power_off,
        .ctx = pc,
    };

    (void)err;
    return piix4_pm_new(&env, &pc->pm);
}

static void a20_out(void *ctx, unsigned n, bool level)
{
    struct engine *engine = ((struct pc *)ctx)->m->engine;

    (void)n;
    if (engine->ops->set_a20)
        engine->ops->set_a20(engine, level);
}

static int make_port92(struct pc *pc, struct error *err)
{
    struct port92_env env = {
        .a20 = wire_or_input(&pc->a20, 0), .reset = ask_reset, .reset_ctx = pc};

    (void)err;
    return port92_new(&env, &pc->port92);
}

static int make_kbd(struct pc *pc, struct error *err)
{
    struct ps2kbd_env env = {0};

    (void)err;
    return ps2kbd_new(&env, &pc->kbd);
}

static int make_mouse(struct pc *pc, struct error *err)
{
    (void)err;
    return ps2mouse_new(&pc->mouse);
}

static int make_kbc(struct pc *pc, struct error *err)
{
    struct i8042_env env = {
        .clock = pc->m->clock,
        .irq_kbd = pc_line(pc, IRQ_FROM_ISA, 1),
        .irq_aux = pc_line(pc, IRQ_FROM_ISA, 12),
        .a20 = wire_or_input(&pc->a20, 1),
        .reset = ask_reset,
        .reset_ctx = pc,
        .kbd = ps2kbd_port(pc->kbd),
        .aux = ps2mouse_port(pc->mouse),
    };

    (void)err;
    return i8042_new(&env, &pc->kbc);
}

static int make_com1(struct pc *pc, struct error *err)
{
    struct ns16550_env env = {
        .clock = pc->m->clock, .irq = pc_line(pc, IRQ_FROM_ISA, 4), .chr = pc->config->serial};

    (void)err;
    return ns16550_new(&env, &pc->com1);
}

static int make_com2(struct pc *pc, struct error *err)
{
    struct ns16550_env env = {.clock = pc->m->clock, .irq = pc_line(pc, IRQ_FROM_ISA, 3)};

    (void)err;
    return ns16550_new(&env, &pc->com2);
}

/* It is a part of the bridge to ISA, as which its accesses come. */
static int make_dma(struct pc *pc, struct error *err)
{
    const struct dma memory = {
        .bus = pc->m->mem, .map = iommu_map(pc), .requester = PCI_DEVFN(SLOT_SOUTH_BRIDGE, 0)};

    (void)err;
    return i8237_new(&memory, &pc->dma);
}

/* Drive A is there whether it has a disk or not, so that one can be inserted later. */
static int make_fdc(struct pc *pc, struct error *err)
{
    struct fdc_env env = {.irq = pc_line(pc, IRQ_FROM_ISA, 6),
                          .dma = i8237_isa_dma(pc->dma),
                          .channel = FDC_DMA_CHANNEL,
                          .drives = 1};
    struct isa_dma_client client;
    int r = fdc_new(&env, &pc->fdc);

    if (r < 0)
        return r;
    client = fdc_dma_client(pc->fdc);
    i8237_attach(pc->dma, FDC_DMA_CHANNEL, &client);
    if (pc->floppy && (r = fdc_insert(pc->fdc, 0, pc->floppy)) < 0)
        return error_set(err, r, "--floppy: %s: larger than a floppy disk (2.88 MB)",
                         pc->config->floppy);
    mc146818_poke(pc->rtc, CMOS_FLOPPY_TYPES, (uint8_t)(fdc_cmos_type(pc->fdc, 0) << 4));
    return 0;
}

static int make_fw_cfg(struct pc *pc, struct error *err)
{
    struct fw_cfg_env env = {.mem = pc->m->mem};

    (void)err;
    return fw_cfg_new(&env, &pc->fw_cfg);
}

static int make_vga(struct pc *pc, struct error *err)
{
    struct vga_env env = {.pci = pc->pci,
                          .devfn = PCI_DEVFN(SLOT_VGA, 0),
                          .clock = pc->m->clock,
                          .rom = pc->vga_rom.data,
                          .rom_bytes = pc->vga_rom.len_bytes};

    (void)err;
    return vga_new(&env, &pc->vga);
}

static struct virtio_env virtio_slot(struct pc *pc, unsigned slot)
{
    return (struct virtio_env){.pci = pc->pci, .devfn = PCI_DEVFN(slot, 0), .clock = pc->m->clock};
}

/* One for each processor, so that none waits for another's; more than eight gain nothing. */
#define VIRTIO_BLK_QUEUES 8u

static int make_virtio_blk(struct pc *pc, unsigned n)
{
    struct virtio_blk_env env = {.virtio = virtio_slot(pc, PC_VIRTIO_BLK_SLOT + n),
                                 .blk = drives_virtio(pc, n),
                                 .queues = MIN(pc->m->config.cpus, VIRTIO_BLK_QUEUES)};

    return virtio_blk_new(&env, &pc->virtio_blk[n]);
}

#define VIRTIO_BLK(n)                                                                              \
    static bool want_virtio_blk_##n(const struct pc *pc)                                           \
    {                                                                                              \
        return drives_virtio(pc, n) != NULL;                                                       \
    }                                                                                              \
    static int make_virtio_blk_##n(struct pc *pc, struct error *err)                               \
    {                                                                                              \
        (void)err;                                                                                 \
        return make_virtio_blk(pc, n);                                                             \
    }
VIRTIO_BLK(0)
VIRTIO_BLK(1)
VIRTIO_BLK(2)
VIRTIO_BLK(3)
VIRTIO_BLK(4)
VIRTIO_BLK(5)
VIRTIO_BLK(6)
VIRTIO_BLK(7)
_Static_assert(MACHINE_DISKS_MAX == 8, "a row for each disk");

static int make_rng(struct pc *pc, struct error *err)
{
    struct virtio_env env = virtio_slot(pc, SLOT_RNG);

    (void)err;
    return virtio_rng_new(&env, &pc->rng);
}

static int make_balloon(struct pc *pc, struct error *err)
{
    struct virtio_env env = virtio_slot(pc, SLOT_BALLOON);

    (void)err;
    return virtio_balloon_new(&env, &pc->balloon);
}

/* Nobody is at its far end yet: what the guest writes to hvc0 is swallowed. */
static int make_console(struct pc *pc, struct error *err)
{
    struct virtio_console_env env = {.virtio = virtio_slot(pc, SLOT_CONSOLE)};

    (void)err;
    return virtio_console_new(&env, &pc->console);
}

#define NIC(n)                                                                                     \
    static bool want_nic_##n(const struct pc *pc)                                                  \
    {                                                                                              \
        return n < pc->config->net_count;                                                          \
    }                                                                                              \
    static int make_nic_##n(struct pc *pc, struct error *err)                                      \
    {                                                                                              \
        return pc_nic_make(pc, n, err);                                                            \
    }
NIC(0)
NIC(1)
NIC(2)
NIC(3)
NIC(4)
NIC(5)
NIC(6)
NIC(7)
_Static_assert(MACHINE_NETS_MAX == 8, "a row for each card");

static bool want_debug(const struct pc *pc)
{
    return pc->config->debug.write;
}

static int make_debug_bochs(struct pc *pc, struct error *err)
{
    struct debugcon_env env = {.chr = pc->config->debug};

    (void)err;
    return debugcon_new(&env, &pc->debug_bochs);
}

static int make_debug_bios(struct pc *pc, struct error *err)
{
    struct debugcon_env env = {.chr = pc->config->debug};

    (void)err;
    return debugcon_new(&env, &pc->debug_bios);
}

static bool want_debug_exit(const struct pc *pc)
{
    return pc->config->debug_exit;
}

static int make_debug_exit(struct pc *pc, struct error *err)
{
    struct debugcon_env env = {.exit = ask_debug_exit, .exit_ctx = pc};

    (void)err;
    return debugcon_new(&env, &pc->debug_exit);
}

static void testdev_irq(void *ctx, unsigned n, bool level)
{
    pc_irq(ctx, IRQ_FROM_TEST, n, level);
}

static bool want_edu(const struct pc *pc)
{
    return pc->config->edu;
}

static int make_edu(struct pc *pc, struct error *err)
{
    struct edu_env env = {.pci = pc->pci, .devfn = PCI_DEVFN(SLOT_EDU, 0), .clock = pc->m->clock};

    (void)err;
    return edu_new(&env, &pc->edu);
}

static int make_testdev(struct pc *pc, struct error *err)
{
    struct testdev_env env = {.irq = testdev_irq, .ctx = pc};

    (void)err;
    return testdev_new(&env, &pc->testdev);
}

/* WIRE_MEM_OVER: hides what the host bridge lays there. */
enum wire_space { WIRE_NONE, WIRE_PIO, WIRE_MEM, WIRE_MEM_OVER };

struct wire {
    const char *name;          /* of this instance, in saved state */
    const struct dev_ops *ops; /* NULL: part of the row before it, only mapped */
    size_t dev;                /* offset in struct pc of the pointer to the device */
    int (*make)(struct pc *pc, struct error *err);
    bool (*want)(const struct pc *pc); /* NULL: always */
    struct wire_map {
        enum wire_space space;
        uint64_t base, size_bytes;
        const struct io_ops *io;
    } maps[4];
};

#define DEV(member) offsetof(struct pc, member)

/* A chip whose outputs move when it is made or reset comes after those that its lines lead to. */
static const struct wire wiring[] = {
    {"lapic", &lapic_dev_ops, DEV(lapic), make_lapic, want_lapic, {{0}}},
    {"vtd",
     &vtd_dev_ops,
     DEV(vtd),
     iommu_make,
     iommu_wanted,
     {{WIRE_MEM, VTD_BASE, VTD_BYTES, &vtd_io}}},
    {"ioapic",
     &ioapic_dev_ops,
     DEV(ioapic),
     make_ioapic,
     NULL,
     {{WIRE_MEM, IOAPIC_BASE, IOAPIC_BYTES, &ioapic_io}}},
    {"i8259",
     &i8259_dev_ops,
     DEV(pic),
     make_pic,
     NULL,
     {{WIRE_PIO, 0x20, 2, &i8259_master_io},
      {WIRE_PIO, 0xa0, 2, &i8259_slave_io},
      {WIRE_PIO, 0x4d0, 2, &i8259_elcr_io}}},
    {"hpet",
     &hpet_dev_ops,
     DEV(hpet),
     make_hpet,
     NULL,
     {{WIRE_MEM, HPET_BASE, HPET_BYTES, &hpet_io}}},
    {"i8254",
     &i8254_dev_ops,
     DEV(pit),
     make_pit,
     NULL,
     {{WIRE_PIO, 0x40, 4, &i8254_io}, {WIRE_PIO, 0x61, 1, &i8254_port61_io}}},
    {"mc146818", &mc146818_dev_ops, DEV(rtc), make_rtc, NULL, {{WIRE_PIO, 0x70, 4, &mc146818_io}}},
    {"i440fx",
     &i440fx_dev_ops,
     DEV(bridge),
     make_bridge,
     NULL,
     {{WIRE_PIO, 0xcf8, 8, &i440fx_config_io}}},
    {"piix3", &piix3_dev_ops, DEV(isa), make_isa, NULL, {{0}}},
    {"ide", &ide_pci_dev_ops, DEV(ide), make_ide, NULL, {{0}}},
    {"ide-primary",
     NULL,
     DEV(ide_primary),
     NULL,
     NULL,
     {{WIRE_PIO, 0x1f0, 8, &ide_command_io}, {WIRE_PIO, 0x3f6, 1, &ide_control_io}}},
    {"ide-secondary",
     NULL,
     DEV(ide_secondary),
     NULL,
     NULL,
     {{WIRE_PIO, 0x170, 8, &ide_command_io}, {WIRE_PIO, 0x376, 1, &ide_control_io}}},
    {"piix4-pm", &piix4_pm_dev_ops, DEV(pm), make_pm, NULL, {{WIRE_PIO, 0xb2, 2, &piix4_apm_io}}},
    {"port92", &port92_dev_ops, DEV(port92), make_port92, NULL, {{WIRE_PIO, 0x92, 1, &port92_io}}},
    {"ps2kbd", &ps2kbd_dev_ops, DEV(kbd), make_kbd, NULL, {{0}}},
    {"ps2mouse", &ps2mouse_dev_ops, DEV(mouse), make_mouse, NULL, {{0}}},
    {"i8042",
     &i8042_dev_ops,
     DEV(kbc),
     make_kbc,
     NULL,
     {{WIRE_PIO, 0x60, 1, &i8042_data_io}, {WIRE_PIO, 0x64, 1, &i8042_command_io}}},
    {"com1", &ns16550_dev_ops, DEV(com1), make_com1, NULL, {{WIRE_PIO, 0x3f8, 8, &ns16550_io}}},
    {"com2", &ns16550_dev_ops, DEV(com2), make_com2, NULL, {{WIRE_PIO, 0x2f8, 8, &ns16550_io}}},
    {"i8237",
     &i8237_dev_ops,
     DEV(dma),
     make_dma,
     NULL,
     {{WIRE_PIO, 0x00, 16, &i8237_first_io},
      {WIRE_PIO, 0xc0, 32, &i8237_second_io},
      {WIRE_PIO, 0x80, 16, &i8237_page_io}}},
    {"fdc",
     &fdc_dev_ops,
     DEV(fdc),
     make_fdc,
     NULL,
     {{WIRE_PIO, 0x3f0, 6, &fdc_io}, {WIRE_PIO, 0x3f7, 1, &fdc_dir_io}}},
    {"fw-cfg",
     &fw_cfg_dev_ops,
     DEV(fw_cfg),
     make_fw_cfg,
     NULL,
     {{WIRE_PIO, 0x510, FW_CFG_PORTS, &fw_cfg_io}}},
    {"vga",
     &vga_dev_ops,
     DEV(vga),
     make_vga,
     NULL,
     {{WIRE_PIO, VGA_PORTS_BASE, VGA_PORTS, &vga_port_io},
      {WIRE_PIO, VGA_VBE_BASE, VGA_VBE_PORTS, &vga_vbe_io},
      {WIRE_MEM_OVER, VGA_WINDOW_BASE, VGA_WINDOW_BYTES, &vga_window_io}}},
    {"virtio-blk.0",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[0]),
     make_virtio_blk_0,
     want_virtio_blk_0,
     {{0}}},
    {"virtio-blk.1",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[1]),
     make_virtio_blk_1,
     want_virtio_blk_1,
     {{0}}},
    {"virtio-blk.2",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[2]),
     make_virtio_blk_2,
     want_virtio_blk_2,
     {{0}}},
    {"virtio-blk.3",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[3]),
     make_virtio_blk_3,
     want_virtio_blk_3,
     {{0}}},
    {"virtio-blk.4",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[4]),
     make_virtio_blk_4,
     want_virtio_blk_4,
     {{0}}},
    {"virtio-blk.5",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[5]),
     make_virtio_blk_5,
     want_virtio_blk_5,
     {{0}}},
    {"virtio-blk.6",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[6]),
     make_virtio_blk_6,
     want_virtio_blk_6,
     {{0}}},
    {"virtio-blk.7",
     &virtio_blk_dev_ops,
     DEV(virtio_blk[7]),
     make_virtio_blk_7,
     want_virtio_blk_7,
     {{0}}},
    {"ahci", &ahci_dev_ops, DEV(ahci), storage_make_ahci, storage_wants_ahci, {{0}}},
    {"virtio-scsi", &virtio_scsi_dev_ops, DEV(scsi), storage_make_scsi, storage_wants_scsi, {{0}}},
    {"virtio-rng", &virtio_rng_dev_ops, DEV(rng), make_rng, NULL, {{0}}},
    {"virtio-balloon", &virtio_balloon_dev_ops, DEV(balloon), make_balloon, NULL, {{0}}},
    {"virtio-console", &virtio_console_dev_ops, DEV(console), make_console, NULL, {{0}}},
    {"net.0", &pc_nic_dev_ops, DEV(nics[0]), make_nic_0, want_nic_0, {{0}}},
    {"net.1", &pc_nic_dev_ops, DEV(nics[1]), make_nic_1, want_nic_1, {{0}}},
    {"net.2", &pc_nic_dev_ops, DEV(nics[2]), make_nic_2, want_nic_2, {{0}}},
    {"net.3", &pc_nic_dev_ops, DEV(nics[3]), make_nic_3, want_nic_3, {{0}}},
    {"net.4", &pc_nic_dev_ops, DEV(nics[4]), make_nic_4, want_nic_4, {{0}}},
    {"net.5", &pc_nic_dev_ops, DEV(nics[5]), make_nic_5, want_nic_5, {{0}}},
    {"net.6", &pc_nic_dev_ops, DEV(nics[6]), make_nic_6, want_nic_6, {{0}}},
    {"net.7", &pc_nic_dev_ops, DEV(nics[7]), make_nic_7, want_nic_7, {{0}}},
    {"edu", &edu_dev_ops, DEV(edu), make_edu, want_edu, {{0}}},
    {"debug-bochs",
     &debugcon_dev_ops,
     DEV(debug_bochs),
     make_debug_bochs,
     want_debug,
     {{WIRE_PIO, 0xe9, 1, &debugcon_io}}},
    {"debug-bios",
     &debugcon_dev_ops,
     DEV(debug_bios),
     make_debug_bios,
     want_debug,
     {{WIRE_PIO, 0x402, 1, &debugcon_io}}},
    {"debug-exit",
     &debugcon_dev_ops,
     DEV(debug_exit),
     make_debug_exit,
     want_debug_exit,
     {{WIRE_PIO, 0xf4, 4, &debugcon_exit_io}}},
    {"testdev",
     &testdev_dev_ops,
     DEV(testdev),
     make_testdev,
     want_debug_exit,
     {{WIRE_PIO, 0xe0, 4, &testdev_latch_io},
      {WIRE_PIO, 0x2000, TESTDEV_IRQS, &testdev_irq_io},
      {WIRE_MEM, TESTDEV_MEM_BASE, TESTDEV_MEM_BYTES, &testdev_mem_io}}},
};

_Static_assert(ARRAY_LEN(wiring) <= PC_ROWS_MAX, "rows");

static void *wire_dev(const struct pc *pc, const struct wire *wire)
{
    return *(void *const *)((const char *)pc + wire->dev);
}

static int wire_map(struct pc *pc, const struct wire *wire)
{
    for (size_t i = 0; i < ARRAY_LEN(wire->maps) && wire->maps[i].space; i++) {
        const struct wire_map *map = &wire->maps[i];
        struct region *region;
        int r;

        if (pc->region_count == PC_REGIONS_MAX)
            return -ENOSPC;
        pc->region_is_port[pc->region_count] = map->space == WIRE_PIO;
        region = &pc->regions[pc->region_count++];
        *region = (struct region){.name = wire->name,
                                  .base = map->base,
                                  .size_bytes = map->size_bytes,
                                  .priority = map->space == WIRE_MEM_OVER ? 2 : 1,
                                  .kind = REGION_IO,
                                  .ops = map->io,
                                  .dev = wire_dev(pc, wire)};
        r = bus_add(map->space == WIRE_PIO ? pc->m->pio : pc->m->mem, region);
        if (r < 0)
            return r;
    }
    return 0;
}

static int wires_make(struct pc *pc, struct error *err)
{
    for (size_t i = 0; i < ARRAY_LEN(wiring); i++) {
        const struct wire *wire = &wiring[i];
        int r = 0;

        pc->rows_made = (unsigned)i + 1;
        if (wire->want && !wire->want(pc))
            continue;
        if (wire->make)
            r = wire->make(pc, err);
        if (r == 0)
            r = wire_map(pc, wire);
        if (r < 0)
            return *err->text ? r : error_set(err, r, "%s: %s", wire->name, strerror(-r));
    }
    return 0;
}

static int memory_lay(struct pc *pc)
{
    struct machine *m = pc->m;
    uint64_t offset;
    int r = ram_alloc(m->ram, m->low_ram_bytes + m->high_ram_bytes, &offset);

    if (r < 0)
        return r;
    pc->ram_low = (struct region){
        .name = "ram", .size_bytes = m->low_ram_bytes, .kind = REGION_RAM, .ram_offset = offset};
    r = bus_add(m->mem, &pc->ram_low);
    if (r < 0 || !m->high_ram_bytes)
        return r;
    pc->ram_high = (struct region){.name = "ram-high",
                                   .base = HIGH_RAM_BASE,
                                   .size_bytes = m->high_ram_bytes,
                                   .kind = REGION_RAM,
                                   .ram_offset = offset + m->low_ram_bytes};
    return bus_add(m->mem, &pc->ram_high);
}

int pc_new(struct machine *m, const struct machine_config *config, struct error *err)
{
    struct pc *pc = calloc(1, sizeof(*pc));
    int r;

    if (!pc)
        return -ENOMEM;
    m->pc = pc;
    pc->m = m;
    pc->config = config;
    pc->a20.out = (struct line){.set = a20_out, .ctx = pc};
    for (unsigned n = 0; n < PC_IRQS; n++)
        pc->irqs[n].out = pc_irq_input(pc, n);
    bus_begin(m->mem);
    bus_begin(m->pio);
    r = memory_lay(pc);
    if (r < 0)
        error_set(err, r, "the guest's memory: %s", strerror(-r));
    if (r == 0)
        r = drives_open(pc, err);
    if (r == 0)
        r = firmware_open(pc, err);
    if (r == 0)
        r = boot_open(pc, err);
    if (r == 0)
        r = wires_make(pc, err);
    if (r == 0)
        r = firmware_fw_cfg(pc, err);
    bus_commit(m->pio);
    bus_commit(m->mem);
    pc_nic_roms_done(pc);
    pc->config = NULL;
    return r;
}

void pc_free(struct machine *m)
{
    struct pc *pc = m->pc;

    if (!pc)
        return;
    bus_begin(m->mem);
    bus_begin(m->pio);
    for (unsigned i = 0; i < pc->region_count; i++)
        bus_remove(pc->region_is_port[i] ? m->pio : m->mem, &pc->regions[i]);
    while (pc->rows_made) {
        const struct wire *wire = &wiring[--pc->rows_made];
        void *dev = wire_dev(pc, wire);

        if (wire->ops && dev)
            wire->ops->free(dev);
    }
    pci_bus_free(pc->pci);
    bus_remove(m->mem, &pc->rom);
    bus_remove(m->mem, &pc->ram_high);
    bus_remove(m->mem, &pc->ram_low);
    bus_commit(m->pio);
    bus_commit(m->mem);
    drives_close(pc);
    boot_close(pc);
    firmware_close(pc);
    free(pc);
    m->pc = NULL;
}

int pc_reset(struct machine *m)
{
    struct pc *pc = m->pc;
    int r = cpus_reset(m);

    if (r < 0)
        return r;
    bus_begin(m->mem);
    bus_begin(m->pio);
    for (unsigned i = 0; i < pc->rows_made; i++) {
        void *dev = wire_dev(pc, &wiring[i]);

        if (wiring[i].ops && dev)
            wiring[i].ops->reset(dev);
    }
    bus_commit(m->pio);
    bus_commit(m->mem);
    return boot_apply(pc);
}

static int wire_state(struct pc *pc, const struct wire *wire, struct state *s)
{
    uint32_t version = wire->ops->version;
    int r = state_section(s, wire->name, &version);

    if (r < 0 || (state_loading(s) && version != wire->ops->version))
        return r < 0 ? r : -EBADMSG;
    if (wire->ops == &lapic_dev_ops && !pc->lapic)
        return apics_state(pc->m, s);
    return wire->ops->state(wire_dev(pc, wire), s);
}

/* The local APICs are there, even if the engine has them. */
static bool wire_has_state(const struct pc *pc, const struct wire *wire)
{
    return wire->ops && (wire_dev(pc, wire) || wire->ops == &lapic_dev_ops);
}

int pc_state(struct machine *m, struct state *s, const char **ret_where)
{
    struct pc *pc = m->pc;
    int r = 0;

    drives_flush(pc);
    bus_begin(m->mem);
    bus_begin(m->pio);
    for (unsigned i = 0; i < pc->rows_made && r == 0; i++) {
        if (wire_has_state(pc, &wiring[i]))
            r = wire_state(pc, &wiring[i], s);
        if (r < 0)
            *ret_where = wiring[i].name;
    }
    if (r == 0 && (r = pc_wires_state(pc, s)) < 0)
        *ret_where = "wires";
    bus_commit(m->pio);
    bus_commit(m->mem);
    return r;
}

void pc_rows(const struct machine *m, char *buf, size_t buf_bytes)
{
    size_t at = 0;

    buf[0] = '\0';
    for (unsigned i = 0; i < m->pc->rows_made && at < buf_bytes; i++)
        if (wire_has_state(m->pc, &wiring[i]))
            at += (size_t)snprintf(buf + at, buf_bytes - at, "%s\n", wiring[i].name);
}

void pc_elapse(struct machine *m, uint64_t ns)
{
    mc146818_elapse(m->pc->rtc, ns);
}

void pc_poll(struct machine *m)
{
    drives_poll(m->pc);
}

void pc_retry(struct machine *m)
{
    drives_retry(m->pc);
}

int pc_quiesce(struct machine *m, struct error *err)
{
    return drives_quiesce(m->pc, err);
}

void pc_flush(struct machine *m)
{
    drives_flush(m->pc);
}
