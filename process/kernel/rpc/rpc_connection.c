/*
 * See rpc_connection.h. Per exchange: one sendto (sendmsg where there is bulk: header, body and
 * bulk together) and one recv, which sleeps; or recvs that find nothing while spinning; more only
 * for replies beyond the socket's buffer. No clock call: timeouts are the socket's own, spinning
 * reads the counter.
 */
#include "rpc_connection.h"

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "identity.h"
#include "wire.h"

#define MSG_NOSIGNAL 0x4000
#define MSG_DONTWAIT 0x40

enum {
    PIECES_MAX = WRITE_MAX_LINES + 1,
    SPIN_BACKOFF_MAX = 127,
    CPU_WORDS = 128, /* of a CPU mask: 8192 CPUs, the most that Linux has */
};

void connection_touch(struct rpc_connection *c, size_t size)
{
    if (c->touched >= size)
        return;
    host_populate(c->buffer + c->touched, size - c->touched);
    c->touched = size;
}

struct io_vector {
    const void *base;
    size_t size;
};

struct io_message {
    void *name;
    uint64_t name_size;
    struct io_vector *pieces;
    size_t piece_count;
    void *control;
    size_t control_size;
    uint64_t flags;
};

/*
 * A call that the host's own timeout bounds was interrupted: whether to go on. The bound is of the
 * whole wait from the first interruption.
 */
static bool goes_on(const struct rpc_connection *c, uint64_t *deadline)
{
    uint64_t now = host_now_ns();
    if (!*deadline)
        *deadline = now + (of_memory(c) ? MEMORY_PATIENCE_MS : STORAGE_TIMEOUT_MS) * 1000000ull;
    return now < *deadline;
}

/* One system call, and more only where the socket's buffer stays full or a signal comes. */
static int send_pieces(struct rpc_connection *c, struct io_vector *v, int count)
{
    uint64_t deadline = 0;
    while (count) {
        struct io_message m = {.pieces = v, .piece_count = (size_t)count};
        long n = count == 1 ? host_call(__NR_sendto, c->fd, v->base, v->size, MSG_NOSIGNAL, NULL, 0)
                            : host_call(__NR_sendmsg, c->fd, &m, MSG_NOSIGNAL);
        if (n == -EAGAIN || (n == -EINTR && !goes_on(c, &deadline)))
            return ASH_TIMEOUT;
        if (n == -EINTR)
            continue;
        if (n < 0)
            return ASH_LOST;
        while (count && (size_t)n >= v->size) {
            n -= (long)v->size;
            v++;
            count--;
        }
        if (count) {
            v->base = (const uint8_t *)v->base + n;
            v->size -= (size_t)n;
        }
    }
    return 0;
}

int connection_send(struct rpc_connection *c, const struct rpc_piece *bulk, int bulk_count,
                    bool again)
{
    struct io_vector v[PIECES_MAX];
    if (!again)
        c->request_id++;
    c->received = 0;
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .flags = again ? WIRE_AGAIN : 0,
                            .op = c->op,
                            .length = c->sent_size,
                            .request_id = c->request_id};

    if (bulk_count > PIECES_MAX - 1)
        return ASH_TOO_BIG;
    v[0] = (struct io_vector){c->buffer, WIRE_HEADER_SIZE + c->sent_size};
    for (int i = 0; i < bulk_count; i++) {
        v[i + 1] = (struct io_vector){bulk[i].base, bulk[i].size};
        h.length += (uint32_t)bulk[i].size;
    }
    uint32_t crc = wire_crc(wire_header_crc(&h), c->buffer + WIRE_HEADER_SIZE, c->sent_size);
    for (int i = 1; i <= bulk_count; i++)
        crc = wire_crc(crc, v[i].base, v[i].size);
    h.crc = crc;
    wire_header_encode(&h, c->buffer);
    return send_pieces(c, v, bulk_count + 1);
}

int connection_introduce(struct rpc_connection *c)
{
    uint8_t frame[WIRE_HEADER_SIZE + IDENTITY_BYTES];
    struct rpc rpc;
    int size = identity_encode(frame + WIRE_HEADER_SIZE);
    if (size < 0)
        return size;
    /* The id of the request before: the next one may be sent again, and has to keep its own. */
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .op = OP_FILE_IDENTITY,
                            .length = (uint32_t)size,
                            .request_id = c->request_id};
    h.crc = wire_crc(wire_header_crc(&h), frame + WIRE_HEADER_SIZE, (size_t)size);
    wire_header_encode(&h, frame);
    struct io_vector v = {frame, WIRE_HEADER_SIZE + (size_t)size};
    c->received = 0;
    int rc = send_pieces(c, &v, 1);
    return rc < 0 ? rc : connection_receive(c, &rpc);
}

/*
 * Spinning, as lib/net does it: a sleep and its wake-up cost tens of microseconds, so a wait begins
 * with up to SPIN_US of trying, which is longer than the other end takes to wake up; where that did
 * not pay the next 0, 1, 3, 7, ... SPIN_BACKOFF_MAX / 2 waits of the connection sleep at once, as do
 * the first SPIN_AFTER of a new program. At most half of the CPUs that this process may use spin at
 * a time; one where it may use only one, for the other end may be on another.
 */
static uint32_t spinners;

static uint32_t spinners_most(void)
{
    static uint32_t most = UINT32_MAX; /* relaxed: every thread finds the same */
    uint32_t n = __atomic_load_n(&most, __ATOMIC_RELAXED);
    if (n == UINT32_MAX) {
        uint64_t cpus[CPU_WORDS];
        long size = host_call(__NR_sched_getaffinity, 0, sizeof cpus, cpus);
        n = 0;
        for (long i = 0; i < size / (long)sizeof cpus[0]; i++)
            for (uint64_t bits = cpus[i]; bits; bits &= bits - 1)
                n++;
        n = n < 4 ? 1 : n / 2;
        __atomic_store_n(&most, n, __ATOMIC_RELAXED);
    }
    return n;
}

static bool spin_begin(struct rpc_connection *c)
{
    if (c->spin_skip) {
        c->spin_skip--;
        return false;
    }
    if (__atomic_fetch_add(&spinners, 1, __ATOMIC_RELAXED) < spinners_most())
        return true;
    __atomic_fetch_sub(&spinners, 1, __ATOMIC_RELAXED);
    return false;
}

static void spin_end(struct rpc_connection *c, bool paid)
{
    __atomic_fetch_sub(&spinners, 1, __ATOMIC_RELAXED);
    if (!paid && c->spin_backoff < SPIN_BACKOFF_MAX)
        c->spin_backoff = c->spin_backoff * 2 + 1;
    if (paid)
        c->spin_backoff = 0;
    c->spin_skip = c->spin_backoff / 2; /* one that did not pay is no reason yet */
}

/* -EAGAIN: nothing came, or this is no time to spin. */
static long receive_spinning(struct rpc_connection *c, uint8_t *to, size_t room)
{
    if (!spin_begin(c))
        return -EAGAIN;
    uint64_t until = host_ticks_ns() + SPIN_US * 1000;
    long n;
    while ((n = host_call(__NR_recvfrom, c->fd, to, room, MSG_DONTWAIT, NULL, 0)) == -EAGAIN &&
           host_ticks_ns() < until)
        for (unsigned i = 0; i < SPIN_PAUSES; i++)
            __builtin_ia32_pause();
    spin_end(c, n != -EAGAIN);
    return n;
}

/* Receives some bytes, spinning or asleep. */
static long receive_some(struct rpc_connection *c, uint8_t *to, size_t room, uint64_t *deadline)
{
    long n = receive_spinning(c, to, room);
    if (n == -EAGAIN)
        n = host_call(__NR_recvfrom, c->fd, to, room, 0, NULL, 0);
    while (n == -EINTR && goes_on(c, deadline))
        n = host_call(__NR_recvfrom, c->fd, to, room, 0, NULL, 0);
    if (n > 0)
        return n;
    return n == -EAGAIN || n == -EINTR ? ASH_TIMEOUT : ASH_LOST;
}

int connection_receive(struct rpc_connection *c, struct rpc *rpc)
{
    uint8_t *base = c->buffer + REPLY_AT;
    size_t want = WIRE_HEADER_SIZE;
    struct wire_header h;
    uint64_t deadline = 0;
    bool decoded = false;

    for (;;) {
        if (!decoded && c->received >= WIRE_HEADER_SIZE) {
            if (wire_header_decode(&h, base, FRAME_MAX) < 0)
                return ASH_LOST;
            want = WIRE_HEADER_SIZE + h.length;
            connection_touch(c, REPLY_AT + want);
            decoded = true;
        }
        if (c->received >= want)
            break;
        long n =
            receive_some(c, base + c->received, c->touched - REPLY_AT - c->received, &deadline);
        if (n < 0)
            return (int)n;
        c->received += (size_t)n;
    }
    if (c->received != want || h.request_id != c->request_id ||
        !wire_crc_ok(&h, base + WIRE_HEADER_SIZE))
        return ASH_LOST;
    rpc->reply = base + WIRE_HEADER_SIZE;
    rpc->reply_size = h.length;
    return h.status;
}
