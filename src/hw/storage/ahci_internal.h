/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the AHCI controller share: ahci.c (registers), ahci_port.c (command slots and
 * what the drive answers), ahci_ncq.c (queued reads and writes).
 */
#ifndef HW_STORAGE_AHCI_INTERNAL_H
#define HW_STORAGE_AHCI_INTERNAL_H

#include "hw/storage/ahci.h"
#include "hw/storage/ide_internal.h"

#define AHCI_SLOTS 32u
#define FIS_COMMAND_BYTES 20u

/* PxIS and PxIE, 3.3.5 */
enum {
    IS_DHRS = 1 << 0,  /* a register FIS came from the drive */
    IS_PSS = 1 << 1,   /* … a PIO setup FIS */
    IS_SDBS = 1 << 3,  /* … a set device bits FIS */
    IS_PCS = 1 << 6,   /* PxSERR.DIAG.X */
    IS_PRCS = 1 << 22, /* PxSERR.DIAG.N */
    IS_OFS = 1 << 24,  /* the drive had more than the list of buffers */
    IS_HBFS = 1 << 29, /* guest memory is not where the guest says */
    IS_TFES = 1 << 30, /* the drive reports an error */
};

/* PxCMD, 3.3.7 */
enum {
    CMD_ST = 1 << 0,
    CMD_SUD = 1 << 1,
    CMD_POD = 1 << 2,
    CMD_CLO = 1 << 3,
    CMD_FRE = 1 << 4,
    CMD_FR = 1 << 14,
    CMD_CR = 1 << 15,
    CMD_HPCP = 1 << 18,
    CMD_ATAPI = 1 << 24,
};

enum { SERR_N = 1 << 16, SERR_X = 1 << 26 };

struct ahci_slot {
    struct ahci_port *port;
    unsigned tag;
    struct blk_req req;
    struct slices slices;
    uint64_t lba;
    bool write;
};

struct ahci_port {
    struct ahci *ahci;
    unsigned n;
    struct ide *ide; /* the drive; NULL: nothing is plugged in */
    struct ide_dma dma;

    uint64_t clb, fb; /* command list, received FISes */
    uint32_t is, ie, cmd, sctl, serr, sact, ci, sig;
    uint8_t status, error; /* PxTFD */
    bool halted;           /* by an error, until ST is cleared */
    bool resetting;        /* between the two FISes of a soft reset */

    int current;          /* slot of the command that is not queued; -1: none */
    uint64_t table;       /* its command table */
    uint32_t entries;     /* of its list of buffers */
    uint64_t moved_bytes; /* of the list so far */
    bool pio_in;          /* its end was told by a PIO setup FIS */
    bool running;         /* ahci_port_run() is at work further up the stack */

    struct ahci_slot slots[AHCI_SLOTS];
    uint32_t queued;                      /* slots whose request is at the disk */
    bool cancelled;                       /* their ends are of no more interest */
    uint8_t failed_log[ATA_SECTOR_BYTES]; /* page 10h of the log */
};

struct ahci {
    struct pci_dev pci;
    struct region registers;
    uint32_t ghc, is;
    struct ahci_port ports[AHCI_PORTS];
};

static inline struct ide_drive *ahci_port_drive(const struct ahci_port *port)
{
    return &port->ide->drives[0];
}

/* ahci.c */
/* Something happened on a port. */
void ahci_raise(struct ahci_port *port, uint32_t is);

/* ahci_port.c */
/* Begin and carry on with commands as far as the drive lets us. */
void ahci_port_run(struct ahci_port *port);
/* The guest stops the port: what is under way is forgotten. */
void ahci_port_stop(struct ahci_port *port);
/* A drive has said what it is: after a reset, or after it was plugged in. */
void ahci_port_link_up(struct ahci_port *port);
/*
 * Append the buffers [from, from + want_bytes) of a command table's list, or as much as there is,
 * to be written if to_memory. -EFAULT: it is not all RAM; others as slices_add().
 */
int ahci_buffers(struct ahci_port *port, uint64_t table, uint32_t entries, uint64_t from,
                 uint64_t want_bytes, bool to_memory, struct slices *s);
/* A FIS for the guest, at its place in the area for received ones. */
void ahci_post(struct ahci_port *port, unsigned at, const uint8_t *fis, unsigned len_bytes);
/* The host's memory cannot be used: nothing goes on until the guest has stopped the port. */
void ahci_fatal(struct ahci_port *port, unsigned slot);

/* ahci_ncq.c */
/* Begin the READ or WRITE FPDMA QUEUED in `fis`. */
void ahci_ncq_start(struct ahci_port *port, unsigned slot, const uint8_t *fis, uint64_t table,
                    uint32_t entries);
/* Wait for what is at the disk, and forget it. */
void ahci_ncq_cancel(struct ahci_port *port);
/* READ LOG EXT in `fis`: one page into buf. False: there is no such log. */
bool ahci_read_log(struct ahci_port *port, const uint8_t *fis, uint8_t *buf);

#endif
