/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the 82540EM share. Section numbers are those of Intel's "PCI/PCI-X Family of
 * Gigabit Ethernet Controllers Software Developer's Manual" (317453), chapter 13 for registers.
 */
#ifndef HW_NIC_E1000_PRIV_H
#define HW_NIC_E1000_PRIV_H

#include "hw/core/eeprom93.h"
#include "hw/core/mii.h"
#include "hw/nic/e1000.h"
#include "memory/dma.h"

#define E1000_REGS_BYTES 0x20000u
/* Behind these is the packet buffer, which drivers leave alone. */
#define E1000_REGS (0x8000u / 4)
#define E1000_PORTS 64u
#define E1000_DESC_BYTES 16u
/* 14.4: the largest packet with long packets enabled. */
#define E1000_FRAME_MAX 16384u

enum e1000_reg {
    REG_CTRL = 0x0000,
    REG_CTRL_DUP = 0x0004,
    REG_STATUS = 0x0008,
    REG_EECD = 0x0010,
    REG_EERD = 0x0014,
    REG_CTRL_EXT = 0x0018,
    REG_MDIC = 0x0020,
    REG_FCAL = 0x0028,
    REG_FCAH = 0x002c,
    REG_FCT = 0x0030,
    REG_VET = 0x0038,
    REG_ICR = 0x00c0,
    REG_ITR = 0x00c4,
    REG_ICS = 0x00c8,
    REG_IMS = 0x00d0,
    REG_IMC = 0x00d8,
    REG_RCTL = 0x0100,
    REG_FCTTV = 0x0170,
    REG_TXCW = 0x0178,
    REG_TCTL = 0x0400,
    REG_TIPG = 0x0410,
    REG_AIT = 0x0458,
    REG_LEDCTL = 0x0e00,
    REG_PBA = 0x1000,
    REG_FCRTL = 0x2160,
    REG_FCRTH = 0x2168,
    REG_RDBAL = 0x2800,
    REG_RDBAH = 0x2804,
    REG_RDLEN = 0x2808,
    REG_RDH = 0x2810,
    REG_RDT = 0x2818,
    REG_RDTR = 0x2820,
    REG_RXDCTL = 0x2828,
    REG_RADV = 0x282c,
    REG_TDBAL = 0x3800,
    REG_TDBAH = 0x3804,
    REG_TDLEN = 0x3808,
    REG_TDH = 0x3810,
    REG_TDT = 0x3818,
    REG_TIDV = 0x3820,
    REG_TXDCTL = 0x3828,
    REG_TADV = 0x382c,
    REG_TSPMT = 0x3830,
    REG_STATS = 0x4000,
    REG_MPC = 0x4010,
    REG_GPRC = 0x4074,
    REG_BPRC = 0x4078,
    REG_MPRC = 0x407c,
    REG_GPTC = 0x4080,
    REG_GORCL = 0x4088,
    REG_GORCH = 0x408c,
    REG_GOTCL = 0x4090,
    REG_GOTCH = 0x4094,
    REG_RNBC = 0x40a0,
    REG_TORL = 0x40c0,
    REG_TORH = 0x40c4,
    REG_TOTL = 0x40c8,
    REG_TOTH = 0x40cc,
    REG_TPR = 0x40d0,
    REG_TPT = 0x40d4,
    REG_MPTC = 0x40f0,
    REG_BPTC = 0x40f4,
    REG_STATS_END = 0x4128,
    REG_RXCSUM = 0x5000,
    REG_MTA = 0x5200,
    REG_RA = 0x5400,
    REG_VFTA = 0x5600,
    REG_WUC = 0x5800,
    REG_MANC = 0x5820,
};

enum e1000_bits {
    CTRL_SLU = 1u << 6,
    CTRL_RST = 1u << 26,
    CTRL_VME = 1u << 30,
    CTRL_PHY_RST = 1u << 31,
    STATUS_FD = 1u << 0,
    STATUS_LU = 1u << 1,
    ICR_TXDW = 1u << 0,
    ICR_TXQE = 1u << 1,
    ICR_LSC = 1u << 2,
    ICR_RXDMT0 = 1u << 4,
    ICR_RXO = 1u << 6,
    ICR_RXT0 = 1u << 7,
    ICR_MDAC = 1u << 9,
    ICR_ALL = 0x1ffff,
    RCTL_EN = 1u << 1,
    RCTL_UPE = 1u << 3,
    RCTL_MPE = 1u << 4,
    RCTL_LPE = 1u << 5,
    RCTL_BAM = 1u << 15,
    RCTL_VFE = 1u << 18,
    RCTL_BSEX = 1u << 25,
    RCTL_SECRC = 1u << 26,
    TCTL_EN = 1u << 1,
    TCTL_PSP = 1u << 3,
    RXCSUM_IP = 1u << 8,
    RXCSUM_TU = 1u << 9,
};

/* A context descriptor (3.3.6), as it was last loaded. */
struct e1000_context {
    uint8_t ipcss, ipcso, tucss, tucso, hdrlen, tucmd;
    uint16_t ipcse, tucse, mss;
    uint32_t paylen;
};

struct e1000 {
    struct pci_dev pci;
    struct region mmio, ports, rom;
    struct net_port port;
    struct clock *clock;
    uint8_t mac[NET_MAC_BYTES];
    uint32_t regs[E1000_REGS];
    uint32_t io_address;
    uint32_t icr, ims;
    uint64_t quiet_until_ns; /* no interrupt before: ITR */
    struct timer quiet;
    struct timer again; /* the transmitter goes on: a busy driver does not hold up all others */
    struct eeprom93 eeprom;
    struct mii phy;
    struct e1000_context context, tso; /* of checksums, of segmentation: 3.3.6.1 */
    uint8_t tx[NET_FRAME_MAX + 4];
    uint8_t rx[E1000_FRAME_MAX + 4];
};

static inline uint32_t *e1000_reg(struct e1000 *e, enum e1000_reg reg)
{
    return &e->regs[reg / 4];
}

/* e1000.c */
void e1000_interrupt(struct e1000 *e, uint32_t cause);
/* A statistics register and, when wide, the one behind it; they stop at their ends. */
void e1000_count(struct e1000 *e, enum e1000_reg reg, uint64_t n, bool wide);
/* e1000_rx.c: net_port_ops.receive */
bool e1000_receive(void *ctx, const struct net_frame *f);
/* e1000_tx.c: send what is complete between head and tail. */
void e1000_transmit(struct e1000 *e);

#endif
