/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One virtual PC: made from a configuration, run by threads of its own, and steered by the one
 * thread that called machine_new() (the monitor's loop). That thread polls machine_event_fd() and
 * machine_timer_fd() and calls machine_poll() when either is readable.
 *
 * The machine lock guards every device. Functions here take it themselves, except those that say
 * "locked", which are called between machine_lock() and machine_unlock(), from any thread.
 */
#ifndef MACHINE_MACHINE_H
#define MACHINE_MACHINE_H

#include "base/error.h"
#include "block/blk.h"
#include "block/undo.h"
#include "hw/core/chardev.h"
#include "hw/core/keys.h"
#include "net/port.h"

#define MACHINE_DISKS_MAX 8
#define MACHINE_CPUS_MAX 64
#define MACHINE_WATCHES_MAX 16u
#define MACHINE_PARENTS_MAX 8
#define MACHINE_NETS_MAX 8
#define MACHINE_MEMORY_MIN MIB(1)
#define MACHINE_MEMORY_MAX GIB(512)

enum machine_bus { MACHINE_BUS_IDE, MACHINE_BUS_VIRTIO, MACHINE_BUS_SATA, MACHINE_BUS_SCSI };
enum machine_boot {
    MACHINE_BOOT_DISK,
    MACHINE_BOOT_CDROM,
    MACHINE_BOOT_FLOPPY,
    MACHINE_BOOT_NETWORK
};

enum machine_iommu { MACHINE_IOMMU_NONE, MACHINE_IOMMU_INTEL };

struct machine_disk {
    const char *path;
    enum machine_bus bus;
    bool readonly;
    struct blk_limits limits; /* counted in guest time */
};

enum machine_nic { MACHINE_NIC_VIRTIO, MACHINE_NIC_E1000, MACHINE_NIC_21140, MACHINE_NIC_RTL8139 };

/* A network adapter; what its cable leads to is said later, by machine_net_connect(). */
struct machine_net {
    enum machine_nic nic;
    uint8_t mac[NET_MAC_BYTES];
};

/* Strings may be NULL where the thing is absent; all are copied or used within machine_new(). */
struct machine_config {
    const char *name;
    const char *engine; /* "auto", "kvm", "soft", or "soft," and options (cpu/engine.h) */
    unsigned cpus;
    uint64_t memory_bytes;
    const char *firmware; /* "bios", "uefi" or a file */
    const char *kernel, *initrd, *append;
    struct machine_disk disks[MACHINE_DISKS_MAX];
    unsigned disk_count;
    const char *parents[MACHINE_PARENTS_MAX + 1]; /* folders for disks' parents; ends with NULL */
    enum undo undo;                               /* of all writable disks; they are VHDs then */
    const char *cdrom, *floppy;
    bool cdrom_sata; /* the CD drive is on the SATA controller */
    bool sata, scsi; /* have these controllers, though no disk is on them yet */
    enum machine_boot boot;
    struct machine_net nets[MACHINE_NETS_MAX];
    unsigned net_count;
    enum machine_iommu iommu;
    bool edu;           /* the device for teaching, hw/chipset/edu.h */
    bool debug_exit;    /* port 0xf4, and the test devices that go with it */
    bool stop_on_reset; /* the guest's reset ends the machine */
    bool stop_on_triple_fault;
    struct chardev serial; /* the far end of the first serial port */
    struct chardev debug;  /* … of the debug ports 0x402 and 0xe9 */
    const char *restore;   /* a saved machine that this one goes on from */
};

/* How a machine came to its end. */
enum machine_end {
    MACHINE_RUNS,         /* not at all yet */
    MACHINE_POWERED_OFF,  /* by the guest */
    MACHINE_SAVED,        /* into a file, from which it goes on later */
    MACHINE_WAS_RESET,    /* stop_on_reset */
    MACHINE_DEBUG_EXITED, /* port 0xf4; machine_exit_status() has the status */
    MACHINE_TRIPLE_FAULT, /* stop_on_triple_fault; machine_report() says where */
    MACHINE_BROKEN,       /* the engine cannot go on; machine_report() says why */
};

struct machine;

/*
 * Open every file, make every device. Errors name the thing and the remedy, and leave nothing
 * behind; nothing is written to any file before machine_start().
 */
int machine_new(const struct machine_config *config, struct machine **ret_machine,
                struct error *err);
/* Stop, flush and close disks, free. NULL is fine. Always returns NULL. */
struct machine *machine_free(struct machine *m);
/* A line about the choice that "auto" made, or NULL. */
const char *machine_engine_note(const struct machine *m);
/* "kvm" or "soft". */
const char *machine_engine_name(const struct machine *m);
/* How the engine has run a vCPU, for people; empty when it does not tell. After the machine's end. */
void machine_stats(struct machine *m, unsigned cpu, char *buf, size_t buf_bytes);

/*
 * Make the vCPU threads and let them run. Once. A machine that is to go on from a file first
 * works on that (machine_working()).
 */
int machine_start(struct machine *m, struct error *err);
/* Stand still: no vCPU runs, no time passes. Harmless when it does already. */
void machine_pause(struct machine *m);
void machine_resume(struct machine *m);
bool machine_is_paused(const struct machine *m);
/*
 * Paused because the host has no room for what a disk is to write. Nothing is lost: after room
 * was made, machine_resume() goes on with it.
 */
bool machine_disk_is_full(const struct machine *m);
/* Press reset, the power button (ACPI), the NMI button. */
void machine_reset(struct machine *m);
void machine_powerdown(struct machine *m);
void machine_nmi(struct machine *m);

/*
 * Saving and restoring take their time, on threads of their own, while the machine stands still.
 * The end is told from machine_poll(): result is 0, -ECANCELED, or another -errno with text.
 */
enum machine_work { MACHINE_IDLE, MACHINE_SAVING, MACHINE_RESTORING };
typedef void machine_work_done(void *ctx, enum machine_work work, int result, const char *text);
void machine_set_work_done(struct machine *m, machine_work_done *done, void *ctx);
/* What is under way, and how much of the memory it has behind it. */
enum machine_work machine_working(const struct machine *m, uint64_t *ret_done_bytes,
                                  uint64_t *ret_total_bytes);
/* Ask it to end early. A save that is cancelled leaves no file, and the machine goes on. */
void machine_cancel(struct machine *m);

/* Take the disk space of a later machine_save(m, NULL, …) into path. -ENOSPC and others with text. */
int machine_reserve(struct machine *m, const char *path, struct error *err);
/*
 * Begin to save into a file at path (NULL: the reserved one), which it gets only when it is whole.
 * Then the machine ends (MACHINE_SAVED), or goes on as it was. Refused with text: -EAGAIN while
 * there is other work, -ENOSPC while a disk waits for room, -EINVAL where undo disks would not
 * survive what is asked for.
 */
int machine_save(struct machine *m, const char *path, bool go_on, struct error *err);

int machine_event_fd(const struct machine *m);
int machine_timer_fd(const struct machine *m);
/* Timers that are due, finished disk requests, what vCPU threads asked for. */
void machine_poll(struct machine *m);

enum machine_end machine_end(const struct machine *m);
/* MACHINE_DEBUG_EXITED: (value << 1) | 1, cut to 8 bits. */
int machine_exit_status(const struct machine *m);
/* MACHINE_TRIPLE_FAULT, MACHINE_BROKEN: one or more lines without a last newline. */
const char *machine_report(const struct machine *m);
/* Guest nanoseconds since the machine was started. */
uint64_t machine_time_ns(const struct machine *m);

/*
 * How often a processor that slept had a reason to go on. Whose guest has crashed with interrupts off
 * counts no more, and all of its processors are asleep; only NMI and reset wake them. An engine that
 * lets processors sleep within itself (kvm) always says that they are awake. Any thread.
 */
uint64_t machine_beats(const struct machine *m, bool *ret_asleep);

void machine_lock(struct machine *m);
void machine_unlock(struct machine *m);

/*
 * Locked: while the first vCPU sleeps it waits for fd, too, and calls ready(), locked, when that can be
 * read. Who watches fd besides does it with EPOLLEXCLUSIVE, added after this. False: no room, or a
 * descriptor that cannot be waited for.
 */
bool machine_watch(struct machine *m, int fd, void (*ready)(void *ctx), void *ctx);
/* Locked, before fd is closed. ready() is not called any more. Harmless when it is not watched. */
void machine_unwatch(struct machine *m, int fd);

/* First serial port, locked: bytes for the guest; how many it took. More when rx_ready comes. */
size_t machine_serial_receive(struct machine *m, const uint8_t *buf, size_t len_bytes);
/* Locked: the far end has room again. */
void machine_serial_tx_ready(struct machine *m);

/* Locked. -EINVAL: no such key; -EAGAIN: the guest must read first, nothing was done. */
int machine_key(struct machine *m, enum key key, bool down);
/* Locked: movement right and down, wheel towards the user; buttons bit 0 left, 1 right, 2 middle. */
void machine_mouse(struct machine *m, int dx, int dy, int dz, unsigned buttons);

/* Locked: size of the picture now. */
void machine_screen_size(struct machine *m, unsigned *ret_width, unsigned *ret_height);
/*
 * Locked: draw it as 0x00RRGGBB, line after line; width and height are what machine_screen_size()
 * said under the same lock. Without full only what has changed since the last such call is drawn;
 * returns false when that is nothing (pixels are then untouched).
 */
bool machine_screen_draw(struct machine *m, uint32_t *pixels, unsigned width, unsigned height,
                         bool full);
/*
 * Locked: the screen's character codes (code page 437), row by row. False in a graphics mode, or
 * when there are more than room.
 */
bool machine_screen_text(struct machine *m, uint8_t *chars, size_t room, unsigned *ret_columns,
                         unsigned *ret_rows);

/* Choose again what becomes of the changes; -EINVAL when the machine has no undo disks. */
int machine_set_undo(struct machine *m, enum undo undo, struct error *err);

/*
 * Removable drives: "cdrom" or "floppy". Insert checks the file before it takes the old medium
 * out; -ENODEV for another drive, -EBUSY when the guest has locked the door and !force.
 */
int machine_eject(struct machine *m, const char *drive, bool force, struct error *err);
int machine_insert(struct machine *m, const char *drive, const char *path, struct error *err);

/*
 * Plug in a disk, on SCSI or SATA, or pull one out; what the guest has not written by then is lost.
 * Names are "scsi.0", "sata.2". -ENODEV: there is no such controller, -ENOSPC: nor room; those of
 * opening an image; all with text.
 */
int machine_disk_add(struct machine *m, const struct machine_disk *disk, char ret_name[16],
                     struct error *err);
int machine_disk_remove(struct machine *m, const char *name, struct error *err);

struct machine_disk_info {
    char name[16], path[4096], format[32];
    uint64_t size_bytes;
    bool readonly;
    struct blk_limits limits;
};
/* The n-th disk. False: there are not so many. */
bool machine_disk_get(struct machine *m, unsigned n, struct machine_disk_info *ret_info);
/* Let it do more or less in a second, from now on. -ENOENT: there are not so many; -ENOMEM. */
int machine_disk_limit(struct machine *m, unsigned n, const struct blk_limits *limits);

/*
 * Adapter n (of net_count): lead its cable to the far end of a network (NULL: nowhere), pull it
 * out or plug it in, look at its counters. The far end stays the caller's, who takes it off before
 * it goes away. From any thread that does not hold the lock.
 */
void machine_net_connect(struct machine *m, unsigned n, struct net_port *far_end);
void machine_net_unplug(struct machine *m, unsigned n, bool unplugged);
void machine_net_counters(struct machine *m, unsigned n, struct net_counters *ret_sent,
                          struct net_counters *ret_received);
/* Is the cable in at both ends? */
bool machine_net_link(struct machine *m, unsigned n);

#endif
