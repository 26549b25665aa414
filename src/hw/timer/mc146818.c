/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MC146818A real-time clock with 256 bytes of CMOS memory.
 * Motorola MC146818A datasheet (ADI856R2); 82371AB (PIIX4) datasheet (290562-001), 3.3.7 and 11.2.
 *
 * The time is never counted: an offset says how far the clock on the wall is from guest time, and
 * registers are computed when read. While SET holds the registers or the divider is stopped,
 * they are plain bytes. Flags of past events are found by comparing the time with that of the last
 * look; a timer is set only when an enabled interrupt will come. Left out: the square wave output,
 * daylight saving (DSE is stored), the test modes of the divider.
 */
#include "hw/timer/mc146818.h"

#include <errno.h>
#include <string.h>

enum {
    REG_SEC,
    REG_SEC_ALARM,
    REG_MIN,
    REG_MIN_ALARM,
    REG_HOUR,
    REG_HOUR_ALARM,
    REG_WEEKDAY,
    REG_DAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
};

enum {
    A_UIP = 0x80,
    A_DV = 0x70,
    A_DV_32KHZ = 0x20,
    A_DV_RESET = 0x60, /* and 0x70 */
    A_RS = 0x0f,
    B_SET = 0x80,
    B_PIE = 0x40,
    B_AIE = 0x20,
    B_UIE = 0x10,
    B_SQWE = 0x08,
    B_BINARY = 0x04,
    B_24H = 0x02,
    C_IRQF = 0x80,
    C_PF = 0x40,
    C_AF = 0x20,
    C_UF = 0x10,
    D_VRT = 0x80,
};

/* Update cycle 1984 us, announced by UIP 244 us before (datasheet, table 4). */
#define UIP_NS ((1984 + 244) * 1000)
#define DAY_SEC 86400
/* The first update comes half a second after the divider is released. */
#define DIVIDER_START_NS (NS_PER_SEC / 2)
#define CRYSTAL_HZ 32768

struct mc146818 {
    struct mc146818_env env;
    uint8_t cmos[256];
    uint8_t index, index_high; /* index keeps the NMI mask in bit 7 */
    int64_t offset_sec;        /* time on the wall less guest time, */
    uint32_t offset_sub_ns;    /* 0 to 999,999,999; it is the phase of the divider */
    uint8_t weekday_delta;     /* days that the weekday register is ahead */
    int64_t seen_sec;          /* second up to which alarm and update flags are accounted for */
    uint64_t seen_tick;        /* crystal tick up to which the periodic flag is */
    bool halted;               /* SET or a stopped divider: registers do not move */
    struct timer timer;
};

struct civil {
    int64_t year;
    unsigned month, day, hour, min, sec, weekday; /* month, day from 1; weekday 0 is Sunday */
};

/* Days since 1970-01-01 of a date, and back, in the proleptic Gregorian calendar, by eras of 400
 * years that begin on March 1. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static struct civil civil_from_sec(int64_t sec)
{
    int64_t days = sec / DAY_SEC, rest = sec % DAY_SEC;
    if (rest < 0) {
        rest += DAY_SEC;
        days--;
    }
    int64_t shifted = days + 719468;
    int64_t era = (shifted >= 0 ? shifted : shifted - 146096) / 146097;
    int64_t doe = shifted - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct civil c = {.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1),
                      .month = (unsigned)(mp < 10 ? mp + 3 : mp - 9),
                      .hour = (unsigned)(rest / 3600),
                      .min = (unsigned)(rest / 60 % 60),
                      .sec = (unsigned)(rest % 60),
                      .weekday = (unsigned)(((days + 4) % 7 + 7) % 7)};
    c.year = yoe + era * 400 + (c.month <= 2);
    return c;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static uint8_t to_reg(const struct mc146818 *rtc, unsigned v)
{
    return (uint8_t)(rtc->cmos[REG_B] & B_BINARY ? v : v / 10 % 10 << 4 | v % 10);
}

static unsigned from_reg(const struct mc146818 *rtc, uint8_t v)
{
    return rtc->cmos[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15);
}

static uint8_t hour_to_reg(const struct mc146818 *rtc, unsigned hour)
{
    if (rtc->cmos[REG_B] & B_24H)
        return to_reg(rtc, hour);
    unsigned h12 = hour % 12 ? hour % 12 : 12;
    return to_reg(rtc, h12) | (hour >= 12 ? 0x80 : 0);
}

static unsigned hour_from_reg(const struct mc146818 *rtc, uint8_t v)
{
    if (rtc->cmos[REG_B] & B_24H)
        return from_reg(rtc, v);
    return from_reg(rtc, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

/* The second on the wall, and how far into it. */
static int64_t rtc_wall(const struct mc146818 *rtc, uint32_t *ret_phase_ns)
{
    uint64_t ns = clock_now_ns(rtc->env.clock) + rtc->offset_sub_ns;
    *ret_phase_ns = (uint32_t)(ns % NS_PER_SEC);
    return rtc->offset_sec + (int64_t)(ns / NS_PER_SEC);
}

static int64_t rtc_wall_sec(const struct mc146818 *rtc)
{
    uint32_t phase_ns;
    return rtc_wall(rtc, &phase_ns);
}

/* The present second is called `sec`; the phase is left alone. */
static void rtc_set_sec(struct mc146818 *rtc, int64_t sec)
{
    rtc->offset_sec += sec - rtc_wall_sec(rtc);
    rtc->seen_sec = sec;
}

static uint64_t rtc_crystal_tick(const struct mc146818 *rtc)
{
    return clock_scale(clock_now_ns(rtc->env.clock), CRYSTAL_HZ, NS_PER_SEC);
}

/* Periodic interrupt in crystal ticks, 0: none (datasheet table 5, 32.768 kHz). */
static uint32_t rtc_period(const struct mc146818 *rtc)
{
    unsigned rs = rtc->cmos[REG_A] & A_RS;
    if (!rs || (rtc->cmos[REG_A] & A_DV) >= A_DV_RESET)
        return 0;
    return 1u << ((rs <= 2 ? rs + 7 : rs) - 1);
}

/* Write the time of `sec` into the registers. */
static void rtc_put_time(struct mc146818 *rtc, int64_t sec)
{
    struct civil c = civil_from_sec(sec);
    rtc->cmos[REG_SEC] = to_reg(rtc, c.sec);
    rtc->cmos[REG_MIN] = to_reg(rtc, c.min);
    rtc->cmos[REG_HOUR] = hour_to_reg(rtc, c.hour);
    rtc->cmos[REG_WEEKDAY] = to_reg(rtc, (c.weekday + rtc->weekday_delta) % 7 + 1);
    rtc->cmos[REG_DAY] = to_reg(rtc, c.day);
    rtc->cmos[REG_MONTH] = to_reg(rtc, c.month);
    rtc->cmos[REG_YEAR] = to_reg(rtc, (unsigned)(((c.year % 100) + 100) % 100));
    unsigned century = (unsigned)(((c.year / 100) % 100 + 100) % 100);
    rtc->cmos[CMOS_CENTURY] = (uint8_t)(century / 10 << 4 | century % 10); /* BCD always */
}

/* The second that the registers name. Registers hold anything a guest wrote: 31 February and hour
 * 99 carry over into the next higher unit. */
static int64_t rtc_get_time(struct mc146818 *rtc)
{
    const uint8_t *r = rtc->cmos;
    int64_t century = (r[CMOS_CENTURY] >> 4) * 10 + (r[CMOS_CENTURY] & 15);
    int64_t year = century * 100 + from_reg(rtc, r[REG_YEAR]);
    unsigned month = from_reg(rtc, r[REG_MONTH]);
    month = month ? month - 1 : 0;
    year += month / 12;
    int64_t days = days_from_date(year, month % 12 + 1, 1) + from_reg(rtc, r[REG_DAY]) - 1;
    int64_t sec = days * DAY_SEC + hour_from_reg(rtc, r[REG_HOUR]) * 3600 +
                  from_reg(rtc, r[REG_MIN]) * 60 + from_reg(rtc, r[REG_SEC]);
    struct civil c = civil_from_sec(sec);
    rtc->weekday_delta = (from_reg(rtc, r[REG_WEEKDAY]) + 6 + 7 - c.weekday) % 7;
    return sec;
}

static bool alarm_matches(const struct mc146818 *rtc, int64_t sec)
{
    int64_t of_day = ((sec % DAY_SEC) + DAY_SEC) % DAY_SEC;
    const uint8_t *r = rtc->cmos;
    /* Two leading ones mean any. */
    return (r[REG_SEC_ALARM] >= 0xc0 || r[REG_SEC_ALARM] == to_reg(rtc, of_day % 60)) &&
           (r[REG_MIN_ALARM] >= 0xc0 || r[REG_MIN_ALARM] == to_reg(rtc, of_day / 60 % 60)) &&
           (r[REG_HOUR_ALARM] >= 0xc0 ||
            r[REG_HOUR_ALARM] == hour_to_reg(rtc, (unsigned)(of_day / 3600)));
}

/* The first second after `sec` at which the alarm matches, within a day; else -1 in *found. */
static bool alarm_next(const struct mc146818 *rtc, int64_t sec, int64_t limit, int64_t *ret_sec)
{
    for (int64_t i = 1; i <= MIN(limit, (int64_t)DAY_SEC); i++)
        if (alarm_matches(rtc, sec + i)) {
            *ret_sec = sec + i;
            return true;
        }
    return false;
}

static void rtc_drive(struct mc146818 *rtc)
{
    bool level = rtc->cmos[REG_C] & rtc->cmos[REG_B] & (C_PF | C_AF | C_UF);
    rtc->cmos[REG_C] = (rtc->cmos[REG_C] & ~C_IRQF) | (level ? C_IRQF : 0);
    line_set(&rtc->env.irq, level);
}

/* Account for everything that happened since the last look. */
static void rtc_sync(struct mc146818 *rtc)
{
    uint32_t period = rtc_period(rtc);
    uint64_t tick = rtc_crystal_tick(rtc);
    if (period && tick / period != rtc->seen_tick / period)
        rtc->cmos[REG_C] |= C_PF;
    rtc->seen_tick = tick;
    if (!rtc->halted) {
        int64_t sec = rtc_wall_sec(rtc), at;
        if (sec > rtc->seen_sec) {
            rtc->cmos[REG_C] |= C_UF;
            if (!(rtc->cmos[REG_C] & C_AF) &&
                alarm_next(rtc, rtc->seen_sec, sec - rtc->seen_sec, &at))
                rtc->cmos[REG_C] |= C_AF;
        }
        rtc->seen_sec = sec;
        rtc_put_time(rtc, sec);
    }
    rtc_drive(rtc);
}

/* Set the timer for the next interrupt that is enabled and not already flagged. */
static void rtc_arm(struct mc146818 *rtc)
{
    uint64_t now_ns = clock_now_ns(rtc->env.clock), next_ns = CLOCK_NEVER;
    uint8_t waiting = rtc->cmos[REG_B] & ~rtc->cmos[REG_C] & (C_PF | C_AF | C_UF);
    uint32_t period = rtc_period(rtc);
    if (waiting & C_PF && period) {
        uint64_t tick = (rtc->seen_tick / period + 1) * period;
        next_ns = clock_scale(tick, NS_PER_SEC, CRYSTAL_HZ) + 1;
    }
    if (!rtc->halted && waiting & (C_AF | C_UF)) {
        int64_t at = rtc->seen_sec + 1;
        if (waiting & C_UF || alarm_next(rtc, rtc->seen_sec, DAY_SEC, &at)) {
            uint32_t phase_ns;
            int64_t sec = rtc_wall(rtc, &phase_ns);
            uint64_t in_ns = (uint64_t)(at - sec) * NS_PER_SEC - phase_ns;
            next_ns = MIN(next_ns, at > sec ? now_ns + in_ns : now_ns);
        }
    }
    if (next_ns == CLOCK_NEVER)
        timer_cancel(&rtc->timer);
    else
        timer_set(&rtc->timer, next_ns);
}

static void rtc_fire(void *ctx)
{
    struct mc146818 *rtc = ctx;
    rtc_sync(rtc);
    rtc_arm(rtc);
}

/* The clock stops or runs on as SET and the divider say. SET stops the registers only: the divider
 * goes on, and with it the phase. */
static void rtc_update_halt(struct mc146818 *rtc, bool divider_released)
{
    bool halt = rtc->cmos[REG_B] & B_SET || (rtc->cmos[REG_A] & A_DV) >= A_DV_RESET;
    int64_t sec = rtc->halted ? rtc_get_time(rtc) : rtc_wall_sec(rtc);
    if (divider_released) {
        uint64_t sub_ns = clock_now_ns(rtc->env.clock) % NS_PER_SEC;
        rtc->offset_sub_ns = (uint32_t)((DIVIDER_START_NS + NS_PER_SEC - sub_ns) % NS_PER_SEC);
    }
    if (!halt && rtc->halted)
        rtc_set_sec(rtc, sec);
    rtc->halted = halt;
}

static bool rtc_uip(const struct mc146818 *rtc)
{
    uint32_t phase_ns;
    rtc_wall(rtc, &phase_ns);
    return !rtc->halted && phase_ns >= NS_PER_SEC - UIP_NS;
}

static bool is_time(uint8_t index)
{
    return index == REG_SEC || index == REG_MIN || index == REG_HOUR ||
           (index >= REG_WEEKDAY && index <= REG_YEAR) || index == CMOS_CENTURY;
}

static uint8_t rtc_read_data(struct mc146818 *rtc, uint8_t index)
{
    if (index > REG_D && index != CMOS_CENTURY)
        return rtc->cmos[index];
    rtc_sync(rtc);
    uint8_t value = rtc->cmos[index];
    if (index == REG_A && rtc_uip(rtc))
        value |= A_UIP;
    if (index == REG_C) {
        rtc->cmos[REG_C] = 0;
        rtc_drive(rtc);
    }
    rtc_arm(rtc);
    return value;
}

static void rtc_write_data(struct mc146818 *rtc, uint8_t index, uint8_t value)
{
    if (index == REG_C || index == REG_D)
        return;
    if (index > REG_D && index != CMOS_CENTURY) {
        rtc->cmos[index] = value;
        return;
    }
    rtc_sync(rtc);
    if (is_time(index)) {
        rtc->cmos[index] = value;
        if (!rtc->halted)
            rtc_set_sec(rtc, rtc_get_time(rtc));
    } else if (index == REG_A) {
        bool was_reset = (rtc->cmos[REG_A] & A_DV) >= A_DV_RESET;
        rtc->cmos[REG_A] = value & ~A_UIP;
        rtc_update_halt(rtc, was_reset && (value & A_DV) < A_DV_RESET);
    } else if (index == REG_B) {
        if (value & B_SET)
            value &= ~B_UIE; /* setting SET clears UIE */
        uint8_t old = rtc->cmos[REG_B];
        /* A change of format does not convert the registers; while they run they are computed
         * anew in the new format by the next rtc_sync(). */
        if (old & B_SET && !(value & B_SET)) {
            rtc->cmos[REG_B] = value;
            rtc_update_halt(rtc, false);
        } else {
            rtc->cmos[REG_B] = (old & (B_BINARY | B_24H)) | (value & ~(B_BINARY | B_24H));
            rtc_update_halt(rtc, false);
            rtc->cmos[REG_B] = value;
        }
    } else {
        rtc->cmos[index] = value;
    }
    rtc_sync(rtc);
    rtc_arm(rtc);
}

static uint64_t rtc_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    struct mc146818 *rtc = dev;
    switch (offset & 3) {
    case 1:
        return rtc_read_data(rtc, rtc->index & 0x7f);
    case 3:
        return rtc->cmos[0x80 | rtc->index_high];
    case 2:
        return rtc->index_high;
    default: /* the index at 0x70 is write-only */
        return 0xff;
    }
}

static void rtc_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    struct mc146818 *rtc = dev;
    switch (offset & 3) {
    case 0:
        rtc->index = (uint8_t)value;
        break;
    case 1:
        rtc_write_data(rtc, rtc->index & 0x7f, (uint8_t)value);
        break;
    case 2:
        rtc->index_high = value & 0x7f;
        break;
    default:
        rtc->cmos[0x80 | rtc->index_high] = (uint8_t)value;
        break;
    }
}

void mc146818_poke(struct mc146818 *rtc, uint8_t index, uint8_t value)
{
    if (index > REG_D)
        rtc->cmos[index] = value;
}

uint8_t mc146818_peek(const struct mc146818 *rtc, uint8_t index)
{
    return rtc->cmos[index];
}

bool mc146818_nmi_masked(const struct mc146818 *rtc)
{
    return rtc->index & 0x80;
}

/* The RESET pin: interrupts off, flags clear; time and memory live on the battery. */
static void rtc_reset(void *dev)
{
    struct mc146818 *rtc = dev;
    rtc_sync(rtc);
    rtc->cmos[REG_B] &= ~(B_PIE | B_AIE | B_UIE | B_SQWE);
    rtc->cmos[REG_C] = 0;
    rtc->index = rtc->index_high = 0;
    rtc_drive(rtc);
    rtc_arm(rtc);
}

static int rtc_state(void *dev, struct state *s)
{
    struct mc146818 *rtc = dev;
    state_bytes(s, "cmos", rtc->cmos, sizeof(rtc->cmos));
    state_u8(s, "index", &rtc->index);
    state_u8(s, "index_high", &rtc->index_high);
    state_u64(s, "offset_sec", (uint64_t *)&rtc->offset_sec);
    state_u32(s, "offset_sub_ns", &rtc->offset_sub_ns);
    state_u8(s, "weekday_delta", &rtc->weekday_delta);
    state_u64(s, "seen_sec", (uint64_t *)&rtc->seen_sec);
    state_u64(s, "seen_tick", &rtc->seen_tick);
    state_bool(s, "halted", &rtc->halted);
    state_timer(s, "timer", &rtc->timer);
    /* A hundred thousand years either way keep all sums far from overflow. */
    const int64_t far_sec = 100000LL * 366 * DAY_SEC;
    state_check(s, rtc->index_high < 0x80 && rtc->weekday_delta < 7 && rtc->seen_sec > -far_sec &&
                       rtc->seen_sec < far_sec && rtc->offset_sec > -far_sec &&
                       rtc->offset_sec < far_sec && rtc->offset_sub_ns < NS_PER_SEC);
    if (state_loading(s) && !state_error(s))
        line_set(&rtc->env.irq, rtc->cmos[REG_C] & C_IRQF);
    return state_error(s);
}

static void rtc_free(void *dev)
{
    struct mc146818 *rtc = dev;
    timer_cancel(&rtc->timer);
    free(rtc);
}

const struct dev_ops mc146818_dev_ops = {
    .name = "mc146818", .version = 1, .reset = rtc_reset, .state = rtc_state, .free = rtc_free};

const struct io_ops mc146818_io = {
    .name = "mc146818", .min_size = 1, .max_size = 1, .read = rtc_read, .write = rtc_write};

int mc146818_new(const struct mc146818_env *env, struct mc146818 **ret_rtc)
{
    struct mc146818 *rtc = calloc(1, sizeof(*rtc));
    if (!rtc)
        return -ENOMEM;
    rtc->env = *env;
    rtc->offset_sec = floor_div(env->epoch_ns, (int64_t)NS_PER_SEC);
    rtc->offset_sub_ns = (uint32_t)(env->epoch_ns - rtc->offset_sec * (int64_t)NS_PER_SEC);
    rtc->cmos[REG_A] = A_DV_32KHZ | 6; /* 1024 Hz, as every BIOS sets it */
    rtc->cmos[REG_B] = B_24H;
    rtc->cmos[REG_D] = D_VRT;
    rtc->seen_sec = rtc_wall_sec(rtc);
    rtc->seen_tick = rtc_crystal_tick(rtc);
    timer_init(&rtc->timer, env->clock, rtc_fire, rtc);
    rtc_reset(rtc);
    *ret_rtc = rtc;
    return 0;
}

void mc146818_elapse(struct mc146818 *rtc, uint64_t ns)
{
    ns += rtc->offset_sub_ns;
    rtc->offset_sec += (int64_t)(ns / NS_PER_SEC);
    rtc->offset_sub_ns = (uint32_t)(ns % NS_PER_SEC);
    rtc_sync(rtc);
    rtc_arm(rtc);
}
