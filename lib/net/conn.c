/*
 * Frames over a stream socket.
 *
 * One buffer a connection, grown when a larger frame comes, shrunk after seconds of idleness; a
 * frame is parsed where it was received and its payload is handed out in place. Costs of a request
 * and its reply, both small:
 *
 *   each end    1 sendmsg, 1 recv (header and payload together); while spinning, a recv that finds
 *               nothing costs about 0.2 us
 *   copies      none in user space but the encoding: bulk goes from where it lies, and is received
 *               into the buffer that the handler reads
 *
 * Small requests that come one upon another share both: a receive that filled the buffer has the
 * next one take more, and an answer that may wait (net_answer_later()) goes with the next one,
 * where the request to that has arrived whole.
 *
 * A frame larger than what has arrived takes one further recv (MSG_WAITALL), straight to its place.
 * Timeouts are the socket's own (SO_RCVTIMEO, SO_SNDTIMEO), set only when they change: no poll.
 *
 * Spinning: a woken CPU costs tens of microseconds, so a wait whose answer is near begins with up
 * to SPIN_US of trying. Where that did not pay the next 0, 1, 3, 7, ... 63 waits of the connection
 * sleep at once, as do the first SPIN_AFTER of one that was accepted; none spins where the other end
 * waits for this CPU; and at most half of the CPUs spin at a time in one process, none where there
 * is only one.
 */
#include "conn.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../util/clock.h"

enum {
    BUFFER_FIRST = WIRE_HEADER_SIZE + PREAUTH_FRAME_MAX,
    BUFFER_SMALL = 8 * 1024, /* one line and its description */
    BUFFER_MIDDLE = 80 * 1024,
    BUFFER_FULL = WIRE_HEADER_SIZE + FRAME_MAX,
    SPIN_BACKOFF_MAX = 127,
    CLOCK_SLACK_MS = 10, /* a socket's timeout may end a tick early */
    EVENTS_MAX = 64,     /* unsolicited messages kept for net_receive() */
};

int conn_new(int fd, struct net_conn **out)
{
    struct net_conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return -ENOMEM;
    conn->buffer = malloc(BUFFER_FIRST);
    if (!conn->buffer) {
        free(conn);
        return -ENOMEM;
    }
    conn->capacity = BUFFER_FIRST;
    conn->fd = fd;
    conn->listen_fd = -1;
    conn->frame_limit = PREAUTH_FRAME_MAX;
    pthread_mutex_init(&conn->send_lock, NULL);
    atomic_init(&conn->next_id, 1);
    *out = conn;
    return 0;
}

void conn_free(struct net_conn *conn)
{
    for (struct conn_event *event = conn->events, *next; event; event = next) {
        next = event->next;
        free(event);
    }
    free(conn->given);
    pthread_mutex_destroy(&conn->send_lock);
    free(conn->writable);
    free(conn->later);
    free(conn->buffer);
    free(conn);
}

int conn_set_scope(struct net_conn *conn, const struct msg_bind *bind)
{
    char *writable = strdup(bind->writable ? bind->writable : "");
    if (!writable)
        return -ENOMEM;
    free(conn->writable);
    conn->bind = *bind;
    conn->bind.writable = conn->writable = writable;
    return 0;
}

static void set_timeout(int fd, int option, unsigned ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (long)(ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, option, &t, sizeof t);
}

static void set_receive_timeout(struct net_conn *conn, unsigned ms)
{
    if (conn->receive_ms != ms) {
        conn->receive_ms = ms;
        set_timeout(conn->fd, SO_RCVTIMEO, ms);
    }
}

void conn_set_timeout(struct net_conn *conn, unsigned ms)
{
    set_receive_timeout(conn, ms);
    if (conn->send_ms != ms) {
        conn->send_ms = ms;
        set_timeout(conn->fd, SO_SNDTIMEO, ms);
    }
}

/* ---- receiving ---- */

static int lost(int error)
{
    switch (error) {
    case EPIPE:
    case ECONNRESET:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENOTCONN:
        return ASH_LOST;
    }
    return -error;
}

/* Makes room for a frame of `need` bytes at conn->start. */
static int make_room(struct net_conn *conn, size_t need)
{
    if (conn->capacity - conn->start >= need && conn->capacity > BUFFER_FIRST)
        return 0;
    memmove(conn->buffer, conn->buffer + conn->start, conn->end - conn->start);
    conn->end -= conn->start;
    conn->start = 0;
    size_t capacity = conn->frame_limit == PREAUTH_FRAME_MAX  ? (size_t)BUFFER_FIRST
                      : need <= BUFFER_SMALL && !conn->filled ? (size_t)BUFFER_SMALL
                      : need <= BUFFER_MIDDLE                 ? (size_t)BUFFER_MIDDLE
                                                              : (size_t)BUFFER_FULL;
    if (conn->capacity >= capacity)
        return 0;
    uint8_t *buffer = realloc(conn->buffer, capacity);
    if (!buffer)
        return -ENOMEM;
    conn->buffer = buffer;
    conn->capacity = capacity;
    return 0;
}

static void keep_descriptors(struct msghdr *header, struct conn_descriptors *out)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (out->count < out->limit)
                out->fds[out->count++] = fd;
            else
                close(fd);
        }
    }
}

/* recv(), taking descriptors where they are wanted. Returns bytes, or a negative errno. */
static ssize_t receive(struct net_conn *conn, size_t size, int flags,
                       struct conn_descriptors *descriptors)
{
    uint8_t *to = conn->buffer + conn->end;
    ssize_t n;
    if (!descriptors) {
        n = recv(conn->fd, to, size, flags);
    } else {
        /* A seat's socket says who writes as well. */
        _Alignas(struct cmsghdr) char
            control[CMSG_SPACE(CONN_FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
        struct iovec iov = {.iov_base = to, .iov_len = size};
        struct msghdr header = {.msg_iov = &iov,
                                .msg_iovlen = 1,
                                .msg_control = control,
                                .msg_controllen = sizeof control};
        n = recvmsg(conn->fd, &header, flags | MSG_CMSG_CLOEXEC);
        if (n >= 0)
            keep_descriptors(&header, descriptors);
    }
    return n < 0 ? -errno : n;
}

static atomic_int spinning;

static bool may_spin(void)
{
    static atomic_int limit = -1;
    int most = atomic_load_explicit(&limit, memory_order_relaxed);
    if (most < 0) {
        most = (int)sysconf(_SC_NPROCESSORS_ONLN) / 2;
        atomic_store_explicit(&limit, most, memory_order_relaxed);
    }
    if (atomic_fetch_add_explicit(&spinning, 1, memory_order_relaxed) < most)
        return true;
    atomic_fetch_sub_explicit(&spinning, 1, memory_order_relaxed);
    return false;
}

/*
 * Whether the other end was on this CPU when it sent last (over the loopback interface it is the
 * sender that delivers): then it waits for us to leave that, and nothing comes while we try.
 */
static bool shares_cpu(int fd)
{
    int cpu = -1;
    socklen_t size = sizeof cpu;
    return getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &size) == 0 && cpu == sched_getcpu();
}

/* Tries for up to SPIN_US. Returns like receive(); -EAGAIN where nothing came. */
static ssize_t spin(struct net_conn *conn, size_t size, struct conn_descriptors *descriptors)
{
    if (conn->spin_skip) {
        conn->spin_skip--;
        return -EAGAIN;
    }
    if (shares_cpu(conn->fd) || !may_spin())
        return -EAGAIN;
    ssize_t n;
    uint64_t until = clock_ns() + SPIN_US * 1000;
    while ((n = receive(conn, size, MSG_DONTWAIT, descriptors)) == -EAGAIN && clock_ns() < until)
        for (unsigned i = 0; i < SPIN_PAUSES; i++)
            __builtin_ia32_pause();
    atomic_fetch_sub_explicit(&spinning, 1, memory_order_relaxed);
    if (n == -EAGAIN) {
        unsigned more = conn->spin_backoff * 2 + 1;
        conn->spin_backoff = more < SPIN_BACKOFF_MAX ? more : SPIN_BACKOFF_MAX;
        conn->spin_skip = conn->spin_backoff / 2; /* one that did not pay is no reason yet */
    } else {
        conn->spin_backoff = 0;
    }
    return n;
}

/*
 * One step: at least one byte more, of `missing` that the frame wants. 0 or a negative error.
 * *began_ms (0: not yet) is when the time that is bounded began.
 */
static int receive_more(struct net_conn *conn, size_t missing, const struct conn_wait *wait,
                        uint64_t *began_ms)
{
    bool first = conn->start == conn->end;
    size_t size = first ? conn->capacity - conn->end : missing;
    ssize_t n = -EAGAIN;

    if (first && wait->spin)
        n = spin(conn, size, wait->descriptors);
    if (n == -EAGAIN) {
        int flags = first ? 0 : MSG_WAITALL;
        unsigned limit = wait->timeout_ms > 0 ? (unsigned)wait->timeout_ms : CONN_STALL_MS;
        if (wait->timeout_ms == 0) {
            flags = MSG_DONTWAIT;
        } else if (*began_ms == 0 && first) {
            set_receive_timeout(conn, limit);
            *began_ms = wait->timeout_ms > 0 ? clock_ms() : 0;
        } else {
            uint64_t now = clock_ms();
            if (*began_ms == 0)
                *began_ms = now;
            uint64_t gone = now - *began_ms;
            if (gone >= limit)
                return ASH_TIMEOUT;
            /* What is left matters only once a good part is gone: spares setting it anew. */
            set_receive_timeout(conn, gone > limit / 4 ? limit - (unsigned)gone : limit);
        }
        n = receive(conn, size, flags, wait->descriptors);
    }
    if (n > 0) {
        conn->filled = first && (size_t)n == size;
        conn->end += (size_t)n;
        return 0;
    }
    if (n == 0) {
        conn->closed = true;
        return ASH_LOST;
    }
    if (n == -EINTR)
        return 0;
    if (n != -EAGAIN)
        return lost((int)-n);
    if (wait->timeout_ms >= 0 || !first)
        return ASH_TIMEOUT;
    /* Idle: it may stay so, and needs no large buffer for that. */
    if (conn->capacity > BUFFER_SMALL) {
        uint8_t *buffer = realloc(conn->buffer, BUFFER_SMALL);
        if (buffer) {
            conn->buffer = buffer;
            conn->capacity = BUFFER_SMALL;
        }
    }
    struct pollfd p = {.fd = conn->fd, .events = POLLIN};
    return poll(&p, 1, -1) < 0 && errno != EINTR ? -errno : 0;
}

int conn_receive(struct net_conn *conn, const struct conn_wait *wait, struct net_frame *frame)
{
    uint64_t began_ms = 0;
    bool known = false;

    conn->start += conn->handed;
    conn->handed = 0;
    if (conn->start == conn->end)
        conn->start = conn->end = 0;

    for (;;) {
        size_t have = conn->end - conn->start, need = WIRE_HEADER_SIZE;
        if (have >= WIRE_HEADER_SIZE) {
            if (!known) {
                int rc = wire_header_decode(&frame->header, conn->buffer + conn->start,
                                            conn->frame_limit);
                if (rc < 0)
                    return rc;
                known = true;
            }
            need += frame->header.length;
            if (have >= need)
                break;
        }
        int rc = make_room(conn, need);
        if (rc == 0)
            rc = receive_more(conn, need - have, wait, &began_ms);
        if (rc < 0)
            return rc;
    }
    frame->payload = conn->buffer + conn->start + WIRE_HEADER_SIZE;
    conn->handed = WIRE_HEADER_SIZE + frame->header.length;
    return wire_crc_ok(&frame->header, frame->payload) ? 0 : ASH_CORRUPT;
}

bool conn_is_drained(const struct net_conn *conn)
{
    return conn->start + conn->handed == conn->end;
}

static int keep_event(struct net_conn *conn, const struct net_frame *frame)
{
    if (conn->event_count >= EVENTS_MAX)
        return ASH_LIMIT;
    struct conn_event *event = malloc(sizeof *event + frame->header.length);
    if (!event)
        return -ENOMEM;
    event->next = NULL;
    event->frame.header = frame->header;
    event->frame.payload = event->payload;
    memcpy(event->payload, frame->payload, frame->header.length);
    struct conn_event **last = &conn->events;
    while (*last)
        last = &(*last)->next;
    *last = event;
    conn->event_count++;
    return 0;
}

int conn_await_reply(struct net_conn *conn, uint16_t op, uint64_t id, const struct conn_wait *wait,
                     struct net_frame *reply)
{
    for (;;) {
        int rc = conn_receive(conn, wait, reply);
        if (rc < 0)
            return rc;
        if (!(reply->header.flags & WIRE_REPLY)) {
            rc = keep_event(conn, reply);
            if (rc < 0)
                return rc;
            continue;
        }
        if (reply->header.request_id != id || reply->header.op != op || reply->header.status > 0)
            return ASH_MALFORMED;
        return reply->header.status;
    }
}

/* ---- sending ---- */

static int send_all(struct net_conn *conn, struct msghdr *message, size_t size)
{
    uint64_t began_ms = clock_ms();
    unsigned limit_ms = conn->send_ms ? conn->send_ms : CONN_STALL_MS;
    while (size) {
        ssize_t n = sendmsg(conn->fd, message, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return ASH_TIMEOUT;
        if (n < 0 && errno != EINTR)
            return lost(errno);
        if (n < 0)
            continue;
        size -= (size_t)n;
        if (size == 0)
            break;
        /* Part of it: the timeout ran out within, or a signal came. */
        if (clock_ms() - began_ms + CLOCK_SLACK_MS >= limit_ms)
            return ASH_TIMEOUT;
        message->msg_control = NULL;
        message->msg_controllen = 0;
        while ((size_t)n >= message->msg_iov->iov_len) {
            n -= (ssize_t)message->msg_iov->iov_len;
            message->msg_iov++;
            message->msg_iovlen--;
        }
        message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + n;
        message->msg_iov->iov_len -= (size_t)n;
    }
    return 0;
}

int conn_flush(struct net_conn *conn)
{
    int rc = 0;
    pthread_mutex_lock(&conn->send_lock);
    struct iovec iov = {.iov_base = conn->later, .iov_len = conn->later_size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (conn->later_size)
        rc = send_all(conn, &message, iov.iov_len);
    conn->later_size = 0;
    pthread_mutex_unlock(&conn->send_lock);
    return rc;
}

/* Whether the request after the one that is handled has arrived whole. */
static bool has_next(const struct net_conn *conn)
{
    const uint8_t *next = conn->buffer + conn->start + conn->handed;
    size_t have = conn->end - conn->start - conn->handed;
    struct wire_header header;
    return have >= WIRE_HEADER_SIZE && wire_header_decode(&header, next, conn->frame_limit) == 0 &&
           have - WIRE_HEADER_SIZE >= header.length;
}

/* Has a message wait for the next one. False: it is to be sent. send_lock is held. */
static bool keep_for_later(struct net_conn *conn, const struct iovec *iov, int count, size_t size)
{
    if (conn->later_size + size > CONN_LATER_MAX || !has_next(conn))
        return false;
    if (!conn->later)
        conn->later = malloc(CONN_LATER_MAX);
    if (!conn->later)
        return false;
    for (int i = 0; i < count; i++) {
        memcpy(conn->later + conn->later_size, iov[i].iov_base, iov[i].iov_len);
        conn->later_size += iov[i].iov_len;
    }
    return true;
}

int conn_send(struct net_conn *conn, const struct conn_message *m)
{
    if (m->bulk_count > CONN_BULK_MAX || m->fd_count > CONN_FDS_MAX)
        return -EINVAL;
    size_t length = m->size;
    for (int i = 0; i < m->bulk_count; i++)
        length += m->bulk[i].iov_len;
    if (length > FRAME_MAX)
        return ASH_TOO_BIG;

    struct wire_header header = {.version = PROTOCOL_VERSION,
                                 .flags = m->flags,
                                 .op = m->op,
                                 .length = (uint32_t)length,
                                 .status = m->status,
                                 .request_id = m->request_id};
    header.crc = wire_crc(wire_header_crc(&header), m->payload, m->size);
    for (int i = 0; i < m->bulk_count; i++)
        header.crc = wire_crc(header.crc, m->bulk[i].iov_base, m->bulk[i].iov_len);
    uint8_t head[WIRE_HEADER_SIZE];
    wire_header_encode(&header, head);

    struct iovec all[3 + CONN_BULK_MAX], *iov = all + 1; /* all[0]: what waited for it */
    int count = 0;
    iov[count++] = (struct iovec){.iov_base = head, .iov_len = sizeof head};
    if (m->size)
        iov[count++] = (struct iovec){.iov_base = (void *)m->payload, .iov_len = m->size};
    for (int i = 0; i < m->bulk_count; i++)
        if (m->bulk[i].iov_len)
            iov[count++] = m->bulk[i];
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)count};

    _Alignas(struct cmsghdr) char control[CMSG_SPACE(CONN_FDS_MAX * sizeof(int))];
    if (m->fd_count) {
        size_t bytes = (size_t)m->fd_count * sizeof(int);
        memset(control, 0, sizeof control);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(bytes);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), m->fds, bytes);
    }
    pthread_mutex_lock(&conn->send_lock);
    int rc = 0;
    if (!m->later || m->fd_count || !keep_for_later(conn, iov, count, sizeof head + length)) {
        size_t size = sizeof head + length + conn->later_size;
        if (conn->later_size) {
            all[0] = (struct iovec){.iov_base = conn->later, .iov_len = conn->later_size};
            message.msg_iov = all;
            message.msg_iovlen++;
            conn->later_size = 0;
        }
        rc = send_all(conn, &message, size);
    }
    pthread_mutex_unlock(&conn->send_lock);
    return rc;
}
