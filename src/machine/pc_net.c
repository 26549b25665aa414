/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network cards of a PC. Which kind of chip a card is, the wiring table does not know: a card
 * here forwards to its chip, and its saved state says which that is.
 */
#define LOG_ROOM "machine"
#include "machine/pc.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "hw/nic/dec21140.h"
#include "hw/nic/e1000.h"
#include "hw/nic/rtl8139.h"
#include "hw/virtio/virtio_net.h"

#define ROM_FOLDER "/usr/lib/ipxe/qemu/"
#define NIC_ROM_BYTES_MAX MIB(1)
/* The first card is where a PC's card is expected; the others, seven at most, lie behind the rest. */
#define NIC_SLOT_FIRST 3u
#define NIC_SLOT_MORE 20u

struct pc_nic {
    uint8_t kind; /* enum machine_nic */
    const struct dev_ops *ops;
    void *dev;
    struct net_port *port;
};

/* A kind of card: its chip, and the option ROM that boots from it. */
struct nic_kind {
    const char *rom;
    const struct dev_ops *ops;
    int (*make)(struct pc *pc, const struct nic_env *env, struct pc_nic *nic);
};

static int make_virtio(struct pc *pc, const struct nic_env *env, struct pc_nic *nic)
{
    struct virtio_net_env v = {
        .virtio = {.pci = env->pci, .devfn = env->devfn, .clock = env->clock},
        .pairs = pc->m->config.cpus,
        .rom = env->rom,
        .rom_bytes = env->rom_bytes,
    };
    struct virtio_net *dev = NULL;
    int r;

    memcpy(v.mac, env->mac, sizeof(v.mac));
    r = virtio_net_new(&v, &dev);
    if (r == 0) {
        nic->dev = dev;
        nic->port = virtio_net_port(dev);
    }
    return r;
}

#define MAKE(type)                                                                                 \
    static int make_##type(struct pc *pc, const struct nic_env *env, struct pc_nic *nic)           \
    {                                                                                              \
        struct type *dev = NULL;                                                                   \
        int r = type##_new(env, &dev);                                                             \
                                                                                                   \
        (void)pc;                                                                                  \
        if (r == 0) {                                                                              \
            nic->dev = dev;                                                                        \
            nic->port = type##_port(dev);                                                          \
        }                                                                                          \
        return r;                                                                                  \
    }
MAKE(e1000)
MAKE(dec21140)
MAKE(rtl8139)

/* iPXE's package for QEMU has no ROM for the 21140. */
static const struct nic_kind kinds[] = {
    [MACHINE_NIC_VIRTIO] = {ROM_FOLDER "efi-virtio.rom", &virtio_net_dev_ops, make_virtio},
    [MACHINE_NIC_E1000] = {ROM_FOLDER "efi-e1000.rom", &e1000_dev_ops, make_e1000},
    [MACHINE_NIC_21140] = {NULL, &dec21140_dev_ops, make_dec21140},
    [MACHINE_NIC_RTL8139] = {ROM_FOLDER "efi-rtl8139.rom", &rtl8139_dev_ops, make_rtl8139},
};

unsigned pc_nic_slot(unsigned n)
{
    return n == 0 ? NIC_SLOT_FIRST : NIC_SLOT_MORE + n - 1;
}

/* Without its ROM a card works all the same, but nothing boots from it. */
static int rom_open(struct pc *pc, enum machine_nic kind, const struct blob **ret_rom,
                    struct error *err)
{
    struct blob *rom = &pc->nic_roms[kind];
    struct error why = {""};
    int r;

    *ret_rom = NULL;
    if (!kinds[kind].rom)
        return 0;
    r = rom->data ? 0 : blob_read(rom, kinds[kind].rom, NIC_ROM_BYTES_MAX, &why);
    if (r < 0 && pc->config->boot == MACHINE_BOOT_NETWORK)
        return error_set(err, r, "--boot network: %s; install the package ipxe-qemu", why.text);
    if (r < 0)
        log_info("no booting from the network: %s", why.text);
    else
        *ret_rom = rom;
    return 0;
}

int pc_nic_make(struct pc *pc, unsigned n, struct error *err)
{
    const struct machine_net *net = &pc->config->nets[n];
    struct nic_env env = {
        .pci = pc->pci, .devfn = PCI_DEVFN(pc_nic_slot(n), 0), .clock = pc->m->clock};
    const struct blob *rom = NULL;
    struct pc_nic *nic;
    int r = rom_open(pc, net->nic, &rom, err);

    if (r < 0)
        return r;
    nic = calloc(1, sizeof(*nic));
    if (!nic)
        return -ENOMEM;
    memcpy(env.mac, net->mac, sizeof(env.mac));
    if (rom) {
        env.rom = rom->data;
        env.rom_bytes = rom->len_bytes;
    }
    nic->kind = (uint8_t)net->nic;
    nic->ops = kinds[net->nic].ops;
    r = kinds[net->nic].make(pc, &env, nic);
    if (r < 0) {
        free(nic);
        return r;
    }
    nic->port->held = true; /* until the machine runs */
    pc->nics[n] = nic;
    return 0;
}

void pc_nic_roms_done(struct pc *pc)
{
    for (size_t i = 0; i < ARRAY_LEN(pc->nic_roms); i++)
        blob_done(&pc->nic_roms[i]);
}

static void nic_reset(void *dev)
{
    struct pc_nic *nic = dev;

    nic->ops->reset(nic->dev);
}

static int nic_state(void *dev, struct state *s)
{
    struct pc_nic *nic = dev;
    uint8_t kind = nic->kind;
    uint32_t version = nic->ops->version;

    state_u8(s, "kind", &kind);
    state_u32(s, "version", &version);
    state_check(s, kind == nic->kind && version == nic->ops->version);
    return state_error(s) < 0 ? state_error(s) : nic->ops->state(nic->dev, s);
}

static void nic_free(void *dev)
{
    struct pc_nic *nic = dev;

    nic->ops->free(nic->dev);
    free(nic);
}

const struct dev_ops pc_nic_dev_ops = {
    .name = "net", .version = 1, .reset = nic_reset, .state = nic_state, .free = nic_free};

void pc_net_hold(struct machine *m, bool held)
{
    for (unsigned n = 0; n < MACHINE_NETS_MAX; n++)
        if (m->pc->nics[n])
            net_hold(m->pc->nics[n]->port, held);
}

static struct net_port *port_of(struct machine *m, unsigned n)
{
    return n < MACHINE_NETS_MAX && m->pc->nics[n] ? m->pc->nics[n]->port : NULL;
}

void machine_net_connect(struct machine *m, unsigned n, struct net_port *far_end)
{
    struct net_port *port;

    machine_lock(m);
    port = port_of(m, n);
    if (port) {
        net_disconnect(port);
        if (far_end)
            net_connect(port, far_end);
    }
    machine_unlock(m);
}

void machine_net_unplug(struct machine *m, unsigned n, bool unplugged)
{
    struct net_port *port;

    machine_lock(m);
    port = port_of(m, n);
    if (port)
        net_unplug(port, unplugged);
    machine_unlock(m);
}

bool machine_net_link(struct machine *m, unsigned n)
{
    struct net_port *port;
    bool up;

    machine_lock(m);
    port = port_of(m, n);
    up = port && net_link_up(port);
    machine_unlock(m);
    return up;
}

void machine_net_counters(struct machine *m, unsigned n, struct net_counters *ret_sent,
                          struct net_counters *ret_received)
{
    struct net_port *port;

    machine_lock(m);
    port = port_of(m, n);
    *ret_sent = port ? port->sent : (struct net_counters){0};
    *ret_received = port ? port->received : (struct net_counters){0};
    machine_unlock(m);
}
