/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VIRTIO 1.2, section 5.3: console device with one port and emergency write. Left out: multiple
 * ports, and the size of the terminal, which a byte stream does not tell us.
 */
#include "hw/virtio/virtio_console.h"

#include <errno.h>

#include "base/bytes.h"

#define QUEUE_SIZE 64
#define RX 0
#define TX 1
#define CHUNK_BYTES 4096u
/* In one visit: a driver that prints without end does not keep the others waiting. */
#define VISIT_BYTES (64 * 1024u)

enum { F_EMERG_WRITE = 1 << 2, CFG_EMERG_WRITE = 8, CFG_BYTES = 12 };

struct virtio_console {
    struct virtio virtio;
    struct chardev chr;
    struct vq_chain chain;
    uint64_t tx_done; /* bytes of the first buffer in the transmit queue that have left */
    bool rx_refused;  /* the other end waits for rx_ready */
};

/* Write the buffer that was just popped; false when the other end is full. */
static bool write_chain(struct virtio_console *con)
{
    while (con->tx_done < con->chain.out.len_bytes) {
        uint8_t bytes[CHUNK_BYTES];
        size_t len = slices_get(&con->chain.out, con->tx_done, bytes, sizeof(bytes));
        size_t n = chardev_write(&con->chr, bytes, len);
        con->tx_done += n;
        if (n < len)
            return false;
    }
    return true;
}

static void transmit(struct virtio_console *con)
{
    struct virtqueue *vq = &con->virtio.queues[TX];
    uint64_t visit = 0;
    bool pushed = false, full = false;
    do {
        while (!full && visit < VISIT_BYTES && virtio_pop(&con->virtio, TX, &con->chain)) {
            uint64_t before = con->tx_done;
            if (!write_chain(con)) {
                /* It stays in the queue, and is taken up again where we stopped. */
                vq_unpop(vq);
                full = true;
                break;
            }
            visit += con->tx_done - MIN(before, con->tx_done) + 64;
            con->tx_done = 0;
            vq_push(vq, con->chain.head, 0);
            pushed = true;
        }
        if (visit >= VISIT_BYTES) {
            virtio_again(&con->virtio, TX);
            break;
        }
    } while (!full && virtio_running(&con->virtio) && vq_arm(vq));
    if (pushed)
        virtio_signal(&con->virtio, TX);
}

static void console_notify(void *dev, unsigned n)
{
    struct virtio_console *con = dev;
    if (n == TX) {
        transmit(con);
    } else if (con->rx_refused) {
        con->rx_refused = false;
        chardev_rx_ready(&con->chr);
    }
}

static void console_config_written(void *dev, unsigned offset, unsigned size)
{
    struct virtio_console *con = dev;
    if (offset <= CFG_EMERG_WRITE && offset + size > CFG_EMERG_WRITE)
        chardev_write(&con->chr, con->virtio.config + CFG_EMERG_WRITE, 1);
}

void virtio_console_connect(struct virtio_console *con, const struct chardev *chr)
{
    con->chr = *chr;
    virtio_console_tx_ready(con);
}

size_t virtio_console_receive(struct virtio_console *con, const uint8_t *buf, size_t len_bytes)
{
    struct virtqueue *vq = &con->virtio.queues[RX];
    size_t done = 0;
    while (done < len_bytes) {
        if (!virtio_pop(&con->virtio, RX, &con->chain)) {
            /* Ask to be told of buffers; look once more, for one may have come meanwhile. */
            if (virtio_running(&con->virtio) && vq_arm(vq))
                continue;
            con->rx_refused = true;
            break;
        }
        uint64_t n = slices_put(&con->chain.in, 0, buf + done, len_bytes - done);
        slices_wrote(&con->chain.in, &vq->dma, n);
        vq_push(vq, con->chain.head, (uint32_t)n);
        done += n;
        if (n == 0) { /* a buffer without room is against the rules */
            virtio_broken(&con->virtio, -EPROTO);
            con->rx_refused = true;
            break;
        }
    }
    if (done)
        virtio_signal(&con->virtio, RX);
    return done;
}

void virtio_console_tx_ready(struct virtio_console *con)
{
    if (virtio_running(&con->virtio))
        transmit(con);
}

static void console_reset(void *dev)
{
    struct virtio_console *con = dev;
    con->tx_done = 0;
}

static void virtio_console_reset(void *dev)
{
    struct virtio_console *con = dev;
    virtio_reset(&con->virtio);
    le32_put(con->virtio.config + CFG_EMERG_WRITE, 0);
}

static int virtio_console_state(void *dev, struct state *s)
{
    struct virtio_console *con = dev;
    virtio_state(&con->virtio, s);
    state_u64(s, "tx_done", &con->tx_done);
    if (state_loading(s))
        con->rx_refused = true; /* the other end is a new one, and may have something to say */
    return state_error(s);
}

static void virtio_console_free(void *dev)
{
    struct virtio_console *con = dev;
    virtio_done(&con->virtio);
    vq_chain_done(&con->chain);
    free(con);
}

const struct dev_ops virtio_console_dev_ops = {
    .name = "virtio-console",
    .version = 1,
    .reset = virtio_console_reset,
    .state = virtio_console_state,
    .free = virtio_console_free,
};

static const struct virtio_ops console_virtio_ops = {
    .id = 3,
    .class_code = 0x078000,
    .notify = console_notify,
    .config_written = console_config_written,
    .reset = console_reset,
};

int virtio_console_new(const struct virtio_console_env *env, struct virtio_console **ret_dev)
{
    struct virtio_console *con = calloc(1, sizeof(*con));
    if (!con)
        return -ENOMEM;
    con->chr = env->chr;
    int r = virtio_init(&con->virtio, &env->virtio, "virtio-console", &console_virtio_ops, con,
                        F_EMERG_WRITE, 2, QUEUE_SIZE, CFG_BYTES);
    if (r < 0) {
        virtio_console_free(con);
        return r;
    }
    le32_put(con->virtio.config + 4, 1); /* max_nr_ports */
    le32_put(con->virtio.config_wmask + CFG_EMERG_WRITE, 0xffffffff);
    *ret_dev = con;
    return 0;
}
