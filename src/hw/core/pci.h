/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conventional PCI: configuration space, base address registers, INTx, MSI and MSI-X.
 * PCI Local Bus Specification 3.0.
 *
 * A device embeds a struct pci_dev, fills its identity, adds BARs and capabilities in its
 * constructor, and answers for its registers through the regions it gave to pci_add_bar(). The
 * core maps and unmaps these as the guest programs BARs and the command register.
 */
#ifndef HW_CORE_PCI_H
#define HW_CORE_PCI_H

#include "hw/core/device.h"
#include "hw/core/msi.h"
#include "memory/dma.h"

#define PCI_BARS 6
#define PCI_ROM_BAR 6
#define PCI_CONFIG_BYTES 256
#define PCI_DEVFN(slot, fn) ((uint8_t)((slot) << 3 | (fn)))

struct pci_bus;

struct pci_env {
    struct bus *mem, *pio;
    /* Level of INTx pin 0..3 (A..D) of a slot changed; the bridge swizzles and routes it. */
    void (*intx)(void *ctx, unsigned devfn, unsigned pin, bool level);
    void *intx_ctx;
    struct msi_sink msi;
    struct dma_map iommu; /* what devices' accesses to memory go through */
};

struct pci_ids {
    uint16_t vendor, device, subsys_vendor, subsys;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
};

struct pci_bar {
    struct region *region; /* NULL: not implemented */
    bool io, is64, prefetchable;
    bool mapped;
};

struct pci_msix_vector {
    uint64_t addr;
    uint32_t data;
    uint32_t control; /* bit 0: masked */
};

struct pci_dev {
    const char *name;
    struct pci_bus *bus;
    struct dma dma; /* its way to memory, through the IOMMU if there is one */
    uint8_t devfn;
    uint8_t config[PCI_CONFIG_BYTES];
    uint8_t wmask[PCI_CONFIG_BYTES];   /* bits the guest may write */
    uint8_t w1cmask[PCI_CONFIG_BYTES]; /* status bits cleared by writing 1 */
    struct pci_bar bars[PCI_BARS + 1];
    uint8_t cap_end; /* next free byte for capabilities, from 0x40 */
    uint8_t msi_cap; /* offset of the capability, 0: none */
    uint8_t msix_cap;
    bool intx_level;
    struct region msix_region; /* the table and pending bits, inside a BAR of their own */
    struct pci_msix_vector *msix;
    unsigned msix_count;
    uint8_t *msix_pending;
    /* After a configuration write was stored (may be NULL). */
    void (*config_written)(void *dev, unsigned offset, unsigned size);
    /* Instead of config[] for some offsets (may be NULL); return true if handled. */
    bool (*config_read)(void *dev, unsigned offset, unsigned size, uint32_t *ret);
    void *dev;
};

/* A root bus; env is copied. -ENOMEM. */
int pci_bus_new(const struct pci_env *env, struct pci_bus **ret_bus);
/* Free (devices free themselves first). NULL is fine. Always returns NULL. */
struct pci_bus *pci_bus_free(struct pci_bus *bus);
struct bus *pci_bus_mem(struct pci_bus *bus);
struct bus *pci_bus_pio(struct pci_bus *bus);

/* Configuration access by a bridge: 1, 2 or 4 bytes within one doubleword; absent device: ones. */
uint32_t pci_config_read(struct pci_bus *bus, uint8_t busno, uint8_t devfn, unsigned offset,
                         unsigned size);
void pci_config_write(struct pci_bus *bus, uint8_t busno, uint8_t devfn, unsigned offset,
                      unsigned size, uint32_t value);

/*
 * Set up identity and masks and put the device on the bus. pin: 0 none, 1..4 INTA..INTD.
 * -EBUSY when the slot is taken, -ENOMEM.
 */
int pci_dev_init(struct pci_dev *pd, struct pci_bus *bus, uint8_t devfn, const char *name,
                 const struct pci_ids *ids, unsigned pin);
/* Unmap everything, take it off the bus and free what the core allocated. */
void pci_dev_done(struct pci_dev *pd);

/* BAR n (PCI_ROM_BAR: expansion ROM) decodes region; its size is a power of two ≥ 16 (4 for I/O). */
void pci_add_bar(struct pci_dev *pd, unsigned n, struct region *region, bool io, bool is64,
                 bool prefetchable);
/*
 * An expansion ROM with these contents, of which the store gets a copy whose header names this
 * device; *region is the caller's.
 * -EINVAL for nothing or more than 16 MiB, -ENOSPC.
 */
int pci_add_rom(struct pci_dev *pd, struct region *region, const void *data, uint64_t len_bytes);
/* Append a capability of len bytes (header included); returns its offset; bytes start zero. */
unsigned pci_add_cap(struct pci_dev *pd, uint8_t id, unsigned len);
/* MSI with 64-bit address and one vector. */
void pci_add_msi(struct pci_dev *pd);
/* MSI-X with count vectors, its table and pending bits filling BAR n (4 KiB per 128). -ENOMEM. */
int pci_add_msix(struct pci_dev *pd, unsigned n, unsigned count);

/* Drive the INTx pin (unless the command register disables it). */
void pci_set_intx(struct pci_dev *pd, bool level);
bool pci_msi_enabled(const struct pci_dev *pd);
bool pci_msix_enabled(const struct pci_dev *pd);
/* Send vector n if its capability is enabled and unmasked, else remember it as pending. */
void pci_msi_notify(struct pci_dev *pd, unsigned n);
void pci_msix_notify(struct pci_dev *pd, unsigned n);
/* True when the guest has set bus-master enable. */
bool pci_bus_master(const struct pci_dev *pd);

/* Back to power-on: command, BARs, MSI off. Devices call it in their reset. */
void pci_dev_reset(struct pci_dev *pd);
/* Save or load configuration space, BARs and MSI-X; devices call it in their state walk. */
void pci_dev_state(struct pci_dev *pd, struct state *s);

#endif
