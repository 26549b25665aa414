/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * NS16550A universal asynchronous receiver/transmitter with FIFOs.
 * National Semiconductor PC16550D datasheet (TL/C/8652), sections 4 to 8.
 *
 * Bytes leave at once unless the host refuses them, whatever the baud rate; the receiver takes no
 * more than it has room for, so the line never overruns (only loopback can). The interrupt is
 * gated by OUT2, as on every PC. Left out: parity and framing errors, DMA mode of the FIFOs.
 */
#include "hw/serial/ns16550.h"

#include <errno.h>
#include <string.h>

#define FIFO_BYTES 16
#define BASE_BAUD 115200

enum { REG_DATA, REG_IER, REG_IIR_FCR, REG_LCR, REG_MCR, REG_LSR, REG_MSR, REG_SCR };

enum {
    IER_RDA = 0x01,
    IER_THRE = 0x02,
    IER_RLS = 0x04,
    IER_MS = 0x08,
    IIR_NONE = 0x01,
    IIR_RLS = 0x06,
    IIR_RDA = 0x04,
    IIR_TIMEOUT = 0x0c,
    IIR_THRE = 0x02,
    IIR_MS = 0x00,
    IIR_FIFOS = 0xc0,
    FCR_ENABLE = 0x01,
    FCR_CLEAR_RX = 0x02,
    FCR_CLEAR_TX = 0x04,
    FCR_TRIGGER = 0xc0,
    LCR_STOP2 = 0x04,
    LCR_PARITY = 0x08,
    LCR_BREAK = 0x40,
    LCR_DLAB = 0x80,
    MCR_DTR = 0x01,
    MCR_RTS = 0x02,
    MCR_OUT1 = 0x04,
    MCR_OUT2 = 0x08,
    MCR_LOOP = 0x10,
    LSR_DR = 0x01,
    LSR_OE = 0x02,
    LSR_BI = 0x10,
    LSR_ERRORS = 0x1e,
    LSR_THRE = 0x20,
    LSR_TEMT = 0x40,
    LSR_FIFO_ERROR = 0x80,
    MSR_DELTAS = 0x0f,
    MSR_TERI = 0x04,
    MSR_CTS = 0x10,
    MSR_DSR = 0x20,
    MSR_RI = 0x40,
    MSR_DCD = 0x80,
};

struct fifo {
    uint8_t bytes[FIFO_BYTES], errors[FIFO_BYTES]; /* errors: LSR bits of each byte */
    uint8_t head, count;
};

struct ns16550 {
    struct ns16550_env env;
    uint8_t ier, fcr, lcr, mcr, msr, scr;
    uint16_t divisor;
    struct fifo rx, tx;
    uint8_t rbr; /* what is read from an empty receiver */
    bool overrun;
    uint8_t line_error; /* LSR bits of the byte at the head, until LSR is read */
    bool thre_pending, timeout_pending;
    bool rx_refused;
    struct timer timeout;
};

static void fifo_put(struct fifo *fifo, uint8_t byte, uint8_t error)
{
    unsigned at = (fifo->head + fifo->count) % FIFO_BYTES;
    fifo->bytes[at] = byte;
    fifo->errors[at] = error;
    fifo->count++;
}

static void fifo_drop(struct fifo *fifo, unsigned count)
{
    fifo->head = (uint8_t)((fifo->head + count) % FIFO_BYTES);
    fifo->count -= (uint8_t)count;
}

static bool fifos_on(const struct ns16550 *uart)
{
    return uart->fcr & FCR_ENABLE;
}

static unsigned rx_trigger(const struct ns16550 *uart)
{
    static const uint8_t levels[4] = {1, 4, 8, 14};
    return fifos_on(uart) ? levels[uart->fcr >> 6] : 1;
}

/* The highest interrupt that is pending and enabled (table IV of the datasheet). */
static uint8_t uart_iir(const struct ns16550 *uart)
{
    if (uart->ier & IER_RLS && (uart->overrun || uart->line_error))
        return IIR_RLS;
    if (uart->ier & IER_RDA && uart->rx.count >= rx_trigger(uart))
        return IIR_RDA;
    if (uart->ier & IER_RDA && uart->timeout_pending)
        return IIR_TIMEOUT;
    if (uart->ier & IER_THRE && uart->thre_pending)
        return IIR_THRE;
    if (uart->ier & IER_MS && uart->msr & MSR_DELTAS)
        return IIR_MS;
    return IIR_NONE;
}

static void uart_update(struct ns16550 *uart)
{
    line_set(&uart->env.irq, uart->mcr & MCR_OUT2 && uart_iir(uart) != IIR_NONE);
}

/* Four character times without receiver activity, with bytes below the trigger level. */
static void uart_arm_timeout(struct ns16550 *uart)
{
    if (!fifos_on(uart) || !uart->rx.count) {
        timer_cancel(&uart->timeout);
        uart->timeout_pending = false;
        return;
    }
    unsigned bits = 1 + 5 + (uart->lcr & 3) + (uart->lcr & LCR_PARITY ? 1 : 0) +
                    (uart->lcr & LCR_STOP2 ? 2 : 1);
    uint64_t divisor = uart->divisor ? uart->divisor : 1;
    timer_set(&uart->timeout,
              clock_now_ns(uart->env.clock) + 4 * bits * divisor * NS_PER_SEC / BASE_BAUD);
}

static void uart_timeout(void *ctx)
{
    struct ns16550 *uart = ctx;
    uart->timeout_pending = uart->rx.count > 0;
    uart_update(uart);
}

static size_t rx_room(const struct ns16550 *uart)
{
    unsigned depth = fifos_on(uart) ? FIFO_BYTES : 1;
    return uart->rx.count < depth ? depth - uart->rx.count : 0;
}

/* The errors of a byte show in LSR when it comes to the head of the FIFO. */
static void rx_reveal(struct ns16550 *uart)
{
    if (uart->rx.count)
        uart->line_error |= uart->rx.errors[uart->rx.head];
}

static void rx_put(struct ns16550 *uart, uint8_t byte, uint8_t error)
{
    if (!rx_room(uart)) {
        uart->overrun = true;
        if (!fifos_on(uart)) /* the new character takes the place of the old */
            uart->rx.bytes[uart->rx.head] = byte;
        return;
    }
    fifo_put(&uart->rx, byte, error);
    if (uart->rx.count == 1)
        rx_reveal(uart);
    uart_arm_timeout(uart);
}

static void rx_offer(struct ns16550 *uart)
{
    if (uart->rx_refused && ns16550_can_receive(uart)) {
        uart->rx_refused = false;
        chardev_rx_ready(&uart->env.chr);
    }
}

/* Send what the transmitter holds, as far as the host takes it. */
static void tx_flush(struct ns16550 *uart)
{
    if (!uart->tx.count)
        return;
    while (uart->tx.count) {
        unsigned run = MIN((unsigned)uart->tx.count, (unsigned)(FIFO_BYTES - uart->tx.head));
        const uint8_t *bytes = uart->tx.bytes + uart->tx.head;
        size_t taken = run;
        if (uart->mcr & MCR_LOOP) {
            for (unsigned i = 0; i < run; i++)
                rx_put(uart, bytes[i], 0);
        } else {
            taken = MIN(chardev_write(&uart->env.chr, bytes, run), (size_t)run);
        }
        fifo_drop(&uart->tx, (unsigned)taken);
        if (taken < run)
            break;
    }
    if (!uart->tx.count)
        uart->thre_pending = true;
}

static void uart_set_msr(struct ns16550 *uart)
{
    uint8_t inputs = MSR_CTS | MSR_DSR | MSR_DCD;
    if (uart->mcr & MCR_LOOP)
        inputs = (uart->mcr & MCR_RTS ? MSR_CTS : 0) | (uart->mcr & MCR_DTR ? MSR_DSR : 0) |
                 (uart->mcr & MCR_OUT1 ? MSR_RI : 0) | (uart->mcr & MCR_OUT2 ? MSR_DCD : 0);
    uint8_t changed = (uart->msr ^ inputs) & 0xf0;
    uint8_t deltas = changed >> 4;
    if (deltas & MSR_TERI && inputs & MSR_RI)
        deltas &= ~MSR_TERI; /* only the trailing edge of RI counts */
    uart->msr = inputs | (uart->msr & MSR_DELTAS) | deltas;
}

static uint8_t uart_lsr(const struct ns16550 *uart)
{
    uint8_t lsr = uart->line_error | (uart->overrun ? LSR_OE : 0);
    if (uart->rx.count)
        lsr |= LSR_DR;
    if (!uart->tx.count)
        lsr |= LSR_THRE | LSR_TEMT;
    for (unsigned i = 0; fifos_on(uart) && i < uart->rx.count; i++)
        if (uart->rx.errors[(uart->rx.head + i) % FIFO_BYTES])
            lsr |= LSR_FIFO_ERROR;
    return lsr;
}

static uint8_t uart_read_data(struct ns16550 *uart)
{
    if (uart->rx.count) {
        uart->rbr = uart->rx.bytes[uart->rx.head];
        uart->rx.errors[uart->rx.head] = 0;
        fifo_drop(&uart->rx, 1);
        rx_reveal(uart);
    }
    uart->timeout_pending = false;
    uart_arm_timeout(uart);
    return uart->rbr;
}

static uint8_t uart_read_reg(struct ns16550 *uart, unsigned reg)
{
    bool dlab = uart->lcr & LCR_DLAB;
    uint8_t value;
    switch (reg) {
    case REG_DATA:
        return dlab ? uart->divisor & 0xff : uart_read_data(uart);
    case REG_IER:
        return dlab ? uart->divisor >> 8 : uart->ier;
    case REG_IIR_FCR:
        value = uart_iir(uart);
        if (value == IIR_THRE)
            uart->thre_pending = false;
        return value | (fifos_on(uart) ? IIR_FIFOS : 0);
    case REG_LCR:
        return uart->lcr;
    case REG_MCR:
        return uart->mcr;
    case REG_LSR:
        value = uart_lsr(uart);
        uart->overrun = false;
        uart->line_error = 0;
        if (uart->rx.count)
            uart->rx.errors[uart->rx.head] = 0;
        return value;
    case REG_MSR:
        value = uart->msr;
        uart->msr &= ~MSR_DELTAS;
        return value;
    default:
        return uart->scr;
    }
}

static void uart_write_data(struct ns16550 *uart, uint8_t value)
{
    unsigned depth = fifos_on(uart) ? FIFO_BYTES : 1;
    uart->thre_pending = false;
    if (uart->tx.count < depth)
        fifo_put(&uart->tx, value, 0);
    else if (!fifos_on(uart))
        uart->tx.bytes[uart->tx.head] = value; /* THR is overwritten; a full FIFO keeps its own */
    tx_flush(uart);
}

static void uart_write_fcr(struct ns16550 *uart, uint8_t value)
{
    /* Turning the FIFOs on or off empties them. */
    if ((value ^ uart->fcr) & FCR_ENABLE)
        value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
    else if (!(value & FCR_ENABLE))
        value = 0; /* other bits are not programmed without the enable bit */
    if (value & FCR_CLEAR_RX) {
        memset(&uart->rx, 0, sizeof(uart->rx));
        uart->timeout_pending = false;
        uart->line_error = 0;
        timer_cancel(&uart->timeout);
    }
    if (value & FCR_CLEAR_TX) {
        uart->thre_pending |= uart->tx.count > 0;
        memset(&uart->tx, 0, sizeof(uart->tx));
    }
    uart->fcr = value & FCR_ENABLE ? value & (FCR_ENABLE | FCR_TRIGGER) : 0;
}

static void uart_write_reg(struct ns16550 *uart, unsigned reg, uint8_t value)
{
    bool dlab = uart->lcr & LCR_DLAB;
    switch (reg) {
    case REG_DATA:
        if (dlab)
            uart->divisor = (uart->divisor & 0xff00) | value;
        else
            uart_write_data(uart, value);
        break;
    case REG_IER:
        if (dlab) {
            uart->divisor = (uint16_t)(value << 8 | (uart->divisor & 0xff));
            break;
        }
        /* Enabling the transmitter interrupt raises it at once when THR is empty. */
        if (value & IER_THRE && !(uart->ier & IER_THRE) && !uart->tx.count)
            uart->thre_pending = true;
        uart->ier = value & 0x0f;
        break;
    case REG_IIR_FCR:
        uart_write_fcr(uart, value);
        break;
    case REG_LCR:
        if (value & LCR_BREAK && !(uart->lcr & LCR_BREAK) && uart->mcr & MCR_LOOP)
            rx_put(uart, 0, LSR_BI);
        uart->lcr = value;
        break;
    case REG_MCR:
        uart->mcr = value & 0x1f;
        uart_set_msr(uart);
        tx_flush(uart);
        break;
    case REG_SCR:
        uart->scr = value;
        break;
    default: /* LSR and MSR are read-only here ("factory testing") */
        break;
    }
}

static uint64_t uart_read(void *dev, uint64_t offset, unsigned size)
{
    (void)size;
    struct ns16550 *uart = dev;
    uint8_t value = uart_read_reg(uart, offset & 7);
    uart_update(uart);
    rx_offer(uart);
    return value;
}

static void uart_write(void *dev, uint64_t offset, unsigned size, uint64_t value)
{
    (void)size;
    struct ns16550 *uart = dev;
    uart_write_reg(uart, offset & 7, (uint8_t)value);
    uart_update(uart);
    rx_offer(uart);
}

size_t ns16550_can_receive(const struct ns16550 *uart)
{
    return uart->mcr & MCR_LOOP ? 0 : rx_room(uart);
}

size_t ns16550_receive(struct ns16550 *uart, const uint8_t *buf, size_t len_bytes)
{
    size_t taken = MIN(len_bytes, ns16550_can_receive(uart));
    for (size_t i = 0; i < taken; i++)
        rx_put(uart, buf[i], 0);
    uart->rx_refused = taken < len_bytes;
    uart_update(uart);
    return taken;
}

void ns16550_receive_break(struct ns16550 *uart)
{
    if (ns16550_can_receive(uart))
        rx_put(uart, 0, LSR_BI);
    uart_update(uart);
}

void ns16550_tx_ready(struct ns16550 *uart)
{
    tx_flush(uart);
    uart_update(uart);
}

void ns16550_connect(struct ns16550 *uart, const struct chardev *chr)
{
    uart->env.chr = *chr;
    tx_flush(uart);
    uart_update(uart);
}

static void uart_reset(void *dev)
{
    struct ns16550 *uart = dev;
    timer_cancel(&uart->timeout);
    uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->scr = uart->rbr = 0;
    uart->divisor = 12; /* undefined by the datasheet; 9600 baud as a PC's BIOS leaves it */
    memset(&uart->rx, 0, sizeof(uart->rx));
    memset(&uart->tx, 0, sizeof(uart->tx));
    uart->overrun = uart->thre_pending = uart->timeout_pending = false;
    uart->line_error = 0;
    uart->msr = MSR_CTS | MSR_DSR | MSR_DCD;
    uart_update(uart);
    rx_offer(uart);
}

static void fifo_state(struct fifo *fifo, struct state *s, const char *const names[4])
{
    state_bytes(s, names[0], fifo->bytes, FIFO_BYTES);
    state_bytes(s, names[1], fifo->errors, FIFO_BYTES);
    state_u8(s, names[2], &fifo->head);
    state_u8(s, names[3], &fifo->count);
    state_check(s, fifo->head < FIFO_BYTES && fifo->count <= FIFO_BYTES);
}

static int uart_state(void *dev, struct state *s)
{
    struct ns16550 *uart = dev;
    state_u8(s, "ier", &uart->ier);
    state_u8(s, "fcr", &uart->fcr);
    state_u8(s, "lcr", &uart->lcr);
    state_u8(s, "mcr", &uart->mcr);
    state_u8(s, "msr", &uart->msr);
    state_u8(s, "scr", &uart->scr);
    state_u8(s, "rbr", &uart->rbr);
    state_u16(s, "divisor", &uart->divisor);
    fifo_state(&uart->rx, s, (const char *const[]){"rx", "rx_errors", "rx_head", "rx_count"});
    fifo_state(&uart->tx, s, (const char *const[]){"tx", "tx_errors", "tx_head", "tx_count"});
    state_bool(s, "overrun", &uart->overrun);
    state_u8(s, "line_error", &uart->line_error);
    state_bool(s, "thre_pending", &uart->thre_pending);
    state_bool(s, "timeout_pending", &uart->timeout_pending);
    state_timer(s, "timeout", &uart->timeout);
    if (state_loading(s) && !state_error(s)) {
        uart_update(uart);
        uart->rx_refused = true; /* tell the host that there may be room */
        rx_offer(uart);
    }
    return state_error(s);
}

static void uart_free(void *dev)
{
    struct ns16550 *uart = dev;
    timer_cancel(&uart->timeout);
    free(uart);
}

const struct dev_ops ns16550_dev_ops = {
    .name = "ns16550", .version = 1, .reset = uart_reset, .state = uart_state, .free = uart_free};

const struct io_ops ns16550_io = {
    .name = "ns16550", .min_size = 1, .max_size = 1, .read = uart_read, .write = uart_write};

int ns16550_new(const struct ns16550_env *env, struct ns16550 **ret_uart)
{
    struct ns16550 *uart = calloc(1, sizeof(*uart));
    if (!uart)
        return -ENOMEM;
    uart->env = *env;
    timer_init(&uart->timeout, env->clock, uart_timeout, uart);
    uart_reset(uart);
    *ret_uart = uart;
    return 0;
}
