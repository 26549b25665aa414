/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The real-time clock of a PC with its 256 bytes of battery-backed memory.
 */
#ifndef HW_TIMER_MC146818_H
#define HW_TIMER_MC146818_H

#include "hw/core/device.h"

/* CMOS bytes that firmware reads; the machine sets them with mc146818_poke(). */
enum {
    CMOS_FLOPPY_TYPES = 0x10, /* drive A in the high nibble: 0 none, 4: 1.44 MB, 5: 2.88 MB */
    CMOS_DISK_TYPES = 0x12,
    CMOS_EQUIPMENT = 0x14,
    CMOS_BASE_MEM = 0x15, /* word, KiB, at most 640 */
    CMOS_EXT_MEM = 0x17,  /* word, KiB above 1 MiB, at most 63 MiB */
    CMOS_EXT_MEM2 = 0x30, /* the same again */
    CMOS_CENTURY = 0x32,
    CMOS_EXT_MEM_64K = 0x34, /* word, 64 KiB units above 16 MiB, below 4 GiB */
    CMOS_BOOT_FLAG1 = 0x38,  /* SeaBIOS: third boot device, bit 0 skips the floppy check */
    CMOS_BOOT_FLAG2 = 0x3d,  /* SeaBIOS: first and second: 1 floppy, 2 disk, 3 CD, 4 network */
    CMOS_HIGH_MEM = 0x5b,    /* 3 bytes, 64 KiB units above 4 GiB */
    CMOS_SMP_COUNT = 0x5f,   /* processors less one */
};

struct mc146818;

struct mc146818_env {
    struct clock *clock;
    struct line irq; /* IRQ 8 */
    /* What the clock on the wall said, in ns since 1970, when guest time was 0: host time, in UTC
     * or shifted to local time as the guest's system expects. */
    int64_t epoch_ns;
};

extern const struct dev_ops mc146818_dev_ops;
/* Four ports at 0x70: index and data, then index and data of the upper 128 bytes. */
extern const struct io_ops mc146818_io;

/* -ENOMEM. Battery-backed contents survive the reset of dev_ops. */
int mc146818_new(const struct mc146818_env *env, struct mc146818 **ret_rtc);

/* The clock went on by ns while the machine's time stood still: its battery saw to that. */
void mc146818_elapse(struct mc146818 *rtc, uint64_t ns);

/* Contents of the memory, as set-up software would leave them; index 0x0e to 0xff. */
void mc146818_poke(struct mc146818 *rtc, uint8_t index, uint8_t value);
uint8_t mc146818_peek(const struct mc146818 *rtc, uint8_t index);
/* Bit 7 of port 0x70: NMI is masked. */
bool mc146818_nmi_masked(const struct mc146818 *rtc);

#endif
