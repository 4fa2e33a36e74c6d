/*
 * Data over sockets: send and receive in all their forms.
 *
 * One message at a time goes through the thread's bounce memory, laid out as: data, then the
 * program's vectors, then control messages. More than fits there: a stream goes in pieces, for any
 * other type the message gets memory of its own. Descriptors in control messages are host
 * descriptors on both sides, placeholders included (files.h); the monitor's own are refused.
 */
#include <asm/socket.h>
#include <linux/time_types.h>

#include "../files/descriptor.h"
#include "../mm/mm.h"
#include "../signals/signals.h"
#include "host_calls.h"
#include "socket_abi.h"

enum {
    CONTROL_MAX = 8 * 1024,
    VECTORS_SIZE = VECTORS_MAX * sizeof(struct vector),
    DATA_MAX = BOUNCE_SIZE - VECTORS_SIZE - CONTROL_MAX,
    WHOLE_MAX = 16 * 1024 * 1024, /* bytes of one message that is not a stream's */
};

/* A message on its way, between the program's memory and the host. */
struct transfer {
    struct thread *t;
    int fd;
    const struct vector *vectors; /* the program's memory */
    uint32_t vector_count;
    uint64_t total;
    uint64_t done; /* bytes of it that were transferred */
    uint8_t *data; /* bounce memory, or of its own */
    uint64_t data_size;
    uint8_t *control;
    bool stream;
};

static struct vector *vectors_of(uint8_t *bounce)
{
    return (struct vector *)(bounce + DATA_MAX);
}

static long transfer_begin(struct transfer *x, struct thread *t, int fd,
                           const struct vector *vectors, uint64_t count)
{
    uint8_t *bounce = thread_bounce(t);
    *x = (struct transfer){.t = t, .fd = fd, .vectors = vectors, .vector_count = (uint32_t)count};
    int rc = socket_check(t, fd);
    if (rc < 0)
        return rc;
    if (!bounce)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        if ((int64_t)vectors[i].size < 0)
            return -EINVAL;
        x->total += vectors[i].size;
    }
    x->data = bounce;
    x->data_size = x->total < DATA_MAX ? x->total : DATA_MAX;
    x->control = bounce + DATA_MAX + VECTORS_SIZE;
    if (x->total <= DATA_MAX)
        return 0;
    x->stream = socket_option(fd, SO_TYPE) == STREAM;
    if (x->stream)
        return 0;
    x->data_size = x->total < WHOLE_MAX ? x->total : WHOLE_MAX;
    x->data = host_alloc(x->data_size);
    return x->data ? 0 : -ENOBUFS;
}

static void transfer_end(struct transfer *x)
{
    if (x->data_size > DATA_MAX && x->data)
        host_free(x->data, x->data_size);
}

/* Copies `size` bytes at offset `done` of the program's vectors, in or out. */
static int transfer_copy(struct transfer *x, uint64_t size, bool in)
{
    uint64_t skip = x->done;
    uint8_t *data = x->data;
    for (uint32_t i = 0; i < x->vector_count && size; i++) {
        const struct vector *v = &x->vectors[i];
        if (skip >= v->size) {
            skip -= v->size;
            continue;
        }
        uint64_t n = v->size - skip < size ? v->size - skip : size;
        int rc = in ? user_read(data, v->base + skip, n) : user_write(v->base + skip, data, n);
        if (rc < 0)
            return rc;
        skip = 0;
        data += n;
        size -= n;
    }
    return 0;
}

/* ---- sending ---- */

/* Sends all of it; `m` has the name and control for the host, in monitor memory. */
static long transfer_send(struct transfer *x, struct message *m, int flags)
{
    if (!x->stream && x->total > x->data_size)
        return -EMSGSIZE;
    flags &= ~MESSAGE_ZEROCOPY;
    for (;;) {
        uint64_t left = x->total - x->done;
        struct vector v = {(uint64_t)x->data, left < x->data_size ? left : x->data_size};
        if (transfer_copy(x, v.size, true) < 0)
            return x->done ? (long)x->done : -EFAULT;
        m->vectors = (uint64_t)&v;
        m->vector_count = 1;
        long result = host_call_intr(__NR_sendmsg, x->fd, m, flags);
        if (result < 0)
            return x->done ? (long)x->done : socket_waited(x->t, x->fd, result);
        x->done += (uint64_t)result;
        if ((uint64_t)result < v.size || x->done >= x->total)
            return (long)x->done;
        m->control_size = 0; /* goes with the first byte */
    }
}

/*
 * The descriptors in control messages, one after the other: `at` begins at 0 and is moved on;
 * false: no more. *fd points into the control memory, *head to the message that it is in.
 */
struct control_walk {
    uint8_t *control;
    uint64_t size, head, fd; /* head, fd: offsets; fd 0: the message was not looked into yet */
};

static bool control_next_fd(struct control_walk *w, int *fd)
{
    while (w->size - w->head >= sizeof(struct control_head)) {
        struct control_head head;
        memcpy(&head, w->control + w->head, sizeof head);
        if (head.size < sizeof head || head.size > w->size - w->head)
            return false; /* the host says so too */
        w->fd = w->fd ? w->fd + sizeof *fd : w->head + sizeof head;
        if (head.level == SOL_SOCKET && head.type == RIGHTS &&
            w->fd + sizeof *fd <= w->head + head.size) {
            memcpy(fd, w->control + w->fd, sizeof *fd);
            return true;
        }
        uint64_t step = (head.size + 7) & ~7ull;
        if (step > w->size - w->head)
            return false;
        w->head += step;
        w->fd = 0;
    }
    return false;
}

/* No descriptor of the monitor leaves; files that do have a shared offset from now on. */
static int check_sent(struct thread *t, uint8_t *control, uint64_t size)
{
    struct control_walk w = {.control = control, .size = size};
    int fd;
    while (control_next_fd(&w, &fd)) {
        if (files_hidden(fd))
            return -EBADF;
        files_sent(t->process->files, fd);
    }
    return 0;
}

/* Descriptors that came in are held; where the program has no number left: cut off, as Linux does.
 */
static void check_received(struct thread *t, struct message *m)
{
    struct control_walk w = {.control = (uint8_t *)m->control, .size = m->control_size};
    int fd;
    while (control_next_fd(&w, &fd)) {
        long number = files_number(fd);
        if (number >= 0) {
            fd = (int)number;
            memcpy(w.control + w.fd, &fd, sizeof fd);
            descriptor_received(t->process->files, fd);
            continue;
        }
        uint64_t size, cut = w.fd - w.head;
        memcpy(&size, w.control + w.head, sizeof size);
        for (uint64_t i = cut + sizeof fd; i + sizeof fd <= size; i += sizeof fd) {
            memcpy(&fd, w.control + w.head + i, sizeof fd);
            host_call(__NR_close, fd);
        }
        memcpy(w.control + w.head, &cut, sizeof cut);
        m->control_size = w.fd;
        m->flags |= MESSAGE_CTRUNC;
        return;
    }
}

/* Descriptors that came for nobody. */
static void close_received(const struct message *m)
{
    struct control_walk w = {.control = (uint8_t *)m->control, .size = m->control_size};
    int fd;
    while (control_next_fd(&w, &fd))
        host_call(__NR_close, fd);
}

/* What is wrong with a descriptor comes before what is wrong with a message. */
static long not_a_socket(int fd, long otherwise)
{
    int type;
    uint32_t size = sizeof type;
    long rc = host_call(__NR_getsockopt, fd, SOL_SOCKET, SO_TYPE, &type, &size);
    return rc < 0 ? rc : otherwise;
}

static long send_message(struct thread *t, int fd, const struct message *from, int flags)
{
    struct host_address name = {.dir_fd = -1};
    struct transfer x;
    struct message m = {0};
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    if (from->vector_count > VECTORS_MAX)
        return not_a_socket(fd, -EMSGSIZE);
    struct vector *vectors = vectors_of(bounce);
    if (user_read(vectors, from->vectors, from->vector_count * sizeof *vectors) < 0)
        return not_a_socket(fd, -EFAULT);
    long result = transfer_begin(&x, t, fd, vectors, from->vector_count);
    if (result < 0)
        goto out;
    if (from->name && from->name_size) {
        result = address_read(t, &name, from->name, (uint32_t)from->name_size, false);
        if (result < 0)
            goto out;
        m.name = (uint64_t)name.bytes;
        m.name_size = (int32_t)name.size;
    }
    if (from->control && from->control_size) {
        result = -ENOBUFS;
        if (from->control_size > CONTROL_MAX)
            goto out;
        result = user_read(x.control, from->control, from->control_size);
        if (result == 0)
            result = check_sent(t, x.control, from->control_size);
        if (result < 0)
            goto out;
        m.control = (uint64_t)x.control;
        m.control_size = from->control_size;
    }
    result = transfer_send(&x, &m, flags);
out:
    address_free(&name);
    transfer_end(&x);
    return result;
}

long sys_sendto(struct thread *t, const uint64_t a[6])
{
    struct host_address name = {.dir_fd = -1};
    struct transfer x;
    struct message m = {0};
    struct vector v = {a[1], a[2]};
    long result = transfer_begin(&x, t, (int)a[0], &v, 1);
    if (result == 0 && a[4] && a[5]) {
        result = address_read(t, &name, a[4], a[5], false);
        m.name = (uint64_t)name.bytes;
        m.name_size = (int32_t)name.size;
    }
    if (result == 0)
        result = transfer_send(&x, &m, (int)a[3]);
    address_free(&name);
    transfer_end(&x);
    return result;
}

long sys_sendmsg(struct thread *t, const uint64_t a[6])
{
    struct message m;
    if (user_read(&m, a[1], sizeof m) < 0)
        return not_a_socket((int)a[0], -EFAULT);
    return send_message(t, (int)a[0], &m, (int)a[2]);
}

long sys_sendmmsg(struct thread *t, const uint64_t a[6])
{
    uint32_t count = (uint32_t)a[2];
    uint32_t done = 0;
    if (count > VECTORS_MAX)
        count = VECTORS_MAX;
    for (; done < count; done++) {
        struct counted_message m;
        uint64_t at = a[1] + done * sizeof m;
        if (user_read(&m, at, sizeof m) < 0)
            return done ? (long)done : not_a_socket((int)a[0], -EFAULT);
        long result = send_message(t, (int)a[0], &m.message, (int)a[3]);
        if (result < 0)
            return done ? (long)done : result;
        m.size = (uint32_t)result;
        if (user_write(at + offsetof(struct counted_message, size), &m.size, sizeof m.size) < 0)
            return -EFAULT;
    }
    return done;
}

/* ---- receiving ---- */

/* x->stream is known for long transfers alone: short ones ask where it matters. */
static bool is_stream(const struct transfer *x)
{
    return x->stream || socket_option(x->fd, SO_TYPE) == STREAM;
}

/* TCP drops the data of a receive with MSG_TRUNC: nothing is there to copy. */
static bool drops_data(int fd, int flags)
{
    return (flags & MESSAGE_TRUNC) && socket_option(fd, SO_PROTOCOL) == PROTOCOL_TCP;
}

/*
 * How many bytes from x->done on can be written where the program wants them, by the protection of
 * its mappings: what a stream delivers must not be taken from it for nothing.
 */
static uint64_t writable_bytes(const struct transfer *x, uint64_t most)
{
    uint64_t skip = x->done, bytes = 0;
    for (uint32_t i = 0; i < x->vector_count && bytes < most; i++) {
        const struct vector *v = &x->vectors[i];
        if (skip >= v->size) {
            skip -= v->size;
            continue;
        }
        uint64_t got = mm_writable(v->base + skip, v->size - skip);
        bytes += got;
        if (got < v->size - skip)
            break;
        skip = 0;
    }
    return bytes < most ? bytes : most;
}

/* The result of receiving into memory that is not there: a fault only where there is something. */
static long receive_for_nothing(struct transfer *x, int flags)
{
    uint8_t byte;
    long result = host_call_intr(__NR_recvfrom, x->fd, &byte, 1, flags | MESSAGE_PEEK, NULL, NULL);
    return result > 0 ? -EFAULT : socket_waited(x->t, x->fd, result);
}

/* Receives one message, or of a stream what there is (all, with MSG_WAITALL). */
static long transfer_receive(struct transfer *x, struct message *m, int flags)
{
    bool drops = drops_data(x->fd, flags);
    bool again = x->stream && (flags & MESSAGE_WAITALL) && !(flags & MESSAGE_PEEK);
    for (;;) {
        uint64_t left = x->total - x->done;
        struct vector v = {(uint64_t)x->data, left < x->data_size ? left : x->data_size};
        uint64_t fits = writable_bytes(x, v.size);
        if (fits < v.size && !drops && is_stream(x)) {
            v.size = fits;
            if (!fits)
                return x->done ? (long)x->done : receive_for_nothing(x, flags);
        }
        m->vectors = (uint64_t)&v;
        m->vector_count = 1;
        long result = host_call_intr(__NR_recvmsg, x->fd, m, flags);
        if (result < 0)
            return x->done ? (long)x->done : socket_waited(x->t, x->fd, result);
        uint64_t got = (uint64_t)result < v.size ? (uint64_t)result : v.size;
        if (!drops && transfer_copy(x, got, false) < 0) {
            close_received(m); /* Linux installs none then */
            return x->done ? (long)x->done : -EFAULT;
        }
        if (!again)
            return result; /* with MSG_TRUNC more than there was room for */
        x->done += (uint64_t)result;
        if (got < v.size || x->done >= x->total)
            return (long)x->done;
        m->control_size = 0;
    }
}

/* What came besides the data goes to the program, whose message *to at `at` is. 0 or -EFAULT. */
static int message_out(struct thread *t, uint64_t at, struct message *to, struct message *m)
{
    check_received(t, m);
    if (to->name) {
        uint32_t n = (uint32_t)m->name_size < ADDRESS_MAX ? (uint32_t)m->name_size : ADDRESS_MAX;
        if (n > (uint32_t)to->name_size)
            n = (uint32_t)to->name_size;
        if (n && user_write(to->name, (const void *)m->name, n) < 0)
            return -EFAULT;
    }
    if (m->control_size && user_write(to->control, (const void *)m->control, m->control_size) < 0)
        return -EFAULT;
    if (to->name)
        to->name_size = m->name_size;
    to->control_size = m->control_size;
    to->flags = m->flags;
    /* All but the pointers and the vectors, which Linux leaves alone. */
    return user_write(at, to, sizeof *to);
}

/* Receives into the message that the program gave at `at`, and writes back what it says there. */
static long receive_message(struct thread *t, int fd, uint64_t at, int flags)
{
    struct message to;
    struct transfer x;
    uint8_t name[ADDRESS_MAX];
    uint8_t *bounce = thread_bounce(t);
    if (user_read(&to, at, sizeof to) < 0)
        return not_a_socket(fd, -EFAULT);
    if (!bounce)
        return -ENOMEM;
    if (to.vector_count > VECTORS_MAX)
        return not_a_socket(fd, -EMSGSIZE);
    if (to.name && to.name_size < 0)
        return not_a_socket(fd, -EINVAL);
    struct vector *vectors = vectors_of(bounce);
    if (user_read(vectors, to.vectors, to.vector_count * sizeof *vectors) < 0)
        return not_a_socket(fd, -EFAULT);
    struct message m = {0};
    long result = transfer_begin(&x, t, fd, vectors, to.vector_count);
    if (result < 0)
        goto out;
    uint64_t control_size = to.control_size < CONTROL_MAX ? to.control_size : CONTROL_MAX;
    if (to.name) {
        m.name = (uint64_t)name;
        m.name_size = sizeof name;
    }
    if (to.control && control_size) {
        m.control = (uint64_t)x.control;
        m.control_size = control_size;
    }
    result = transfer_receive(&x, &m, flags);
    if (result >= 0 && message_out(t, at, &to, &m) < 0)
        result = -EFAULT;
out:
    transfer_end(&x);
    return result;
}

long sys_recvfrom(struct thread *t, const uint64_t a[6])
{
    struct transfer x;
    struct message m = {0};
    struct vector v = {a[1], a[2]};
    uint8_t name[ADDRESS_MAX];
    long result = transfer_begin(&x, t, (int)a[0], &v, 1);
    if (result == 0) {
        if (a[4]) {
            m.name = (uint64_t)name;
            m.name_size = sizeof name;
        }
        result = transfer_receive(&x, &m, (int)a[3]);
    }
    transfer_end(&x);
    if (result >= 0 && a[4]) {
        int rc = address_write(name, (uint32_t)m.name_size, a[4], a[5]);
        if (rc < 0)
            return rc;
    }
    return result;
}

long sys_recvmsg(struct thread *t, const uint64_t a[6])
{
    return receive_message(t, (int)a[0], a[1], (int)a[2]);
}

/* ---- receiving several ---- */

/*
 * The host receives them all in one call: an error that ends it after some messages is left with
 * the socket for the next call, and only the host can leave it there. So that it meets the
 * program's own errors too, what is wrong with a message is as wrong with the one that the host
 * gets, and memory that cannot be written to is NOWHERE.
 *
 * Bounce memory is laid out as: the host's messages, their vectors, the vectors of one message as
 * the program has them, and the room for names, control messages and data, which is elsewhere where
 * there is more of these.
 */
enum {
    NOWHERE = 0x1000, /* nobody has anything mapped there */
    SEVERAL_MAX = 1024,
};
#define ADDRESSES_END 0x7ffffffff000ull /* what lies beyond is refused before anything comes */

/* Where the data of one message goes. */
struct incoming {
    struct vector vectors[2]; /* what can be written to, and what cannot */
};

struct several {
    struct thread *t;
    uint64_t at;              /* of the program's array */
    uint32_t count, writable; /* messages, and how many of them from the first on can be answered */
    struct counted_message *messages;
    struct incoming *incoming;
    struct vector *scratch; /* VECTORS_MAX */
    uint8_t *room;          /* what is left of it */
};

_Static_assert(SEVERAL_MAX *(sizeof(struct counted_message) + sizeof(struct incoming)) +
                       VECTORS_SIZE <
                   BOUNCE_SIZE,
               "the room may begin there");

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t room_for(uint64_t size)
{
    return (size + 7) & ~7ull;
}

/* The program's vectors become the host's, but for where the data goes; `lost`: it may not go
   anywhere. Returns the room for it. */
static uint64_t vectors_in(struct several *s, struct message *m, struct incoming *in, bool lost)
{
    uint64_t at = m->vectors, total = 0, fits = 0;
    bool refused = false;
    m->vectors = NOWHERE;
    if (m->vector_count > VECTORS_MAX ||
        user_read(s->scratch, at, m->vector_count * sizeof *s->scratch) < 0)
        return 0;
    for (uint32_t i = 0; i < m->vector_count; i++) {
        const struct vector *v = &s->scratch[i];
        uint64_t size = smaller(v->size, WHOLE_MAX);
        if ((int64_t)v->size < 0) {
            in->vectors[0] = *v;
            m->vectors = (uint64_t)in->vectors;
            m->vector_count = 1;
            return 0;
        }
        refused |= v->base > ADDRESSES_END || v->size > ADDRESSES_END - v->base;
        if (fits == total && !lost)
            fits += mm_writable(v->base, size);
        total += size;
    }
    if (refused)
        return 0;
    total += lost;
    fits = smaller(fits, WHOLE_MAX);
    in->vectors[0] = (struct vector){NOWHERE, fits};
    in->vectors[1] = (struct vector){NOWHERE, smaller(total, WHOLE_MAX) - fits};
    m->vectors = (uint64_t)in->vectors;
    m->vector_count = in->vectors[1].size ? 2 : 1;
    return room_for(fits);
}

/* The same for all of one message; addresses that are not NOWHERE are to get their place. */
static uint64_t message_in(struct several *s, uint32_t i)
{
    struct message *m = &s->messages[i].message;
    uint64_t room = vectors_in(s, m, &s->incoming[i], i >= s->writable);
    if (m->name && m->name_size > 0 && !mm_writable(m->name, 1))
        m->name = NOWHERE;
    uint64_t control =
        m->control ? mm_writable(m->control, smaller(m->control_size, CONTROL_MAX)) : 0;
    if (!m->control_size)
        m->control = 0;
    else if (m->control && !control)
        m->control = NOWHERE;
    m->control_size = control ? control : smaller(m->control_size, CONTROL_MAX);
    return room + (m->name ? ADDRESS_MAX : 0) + room_for(m->control_size);
}

static uint64_t place(struct several *s, uint64_t size)
{
    uint8_t *at = s->room;
    s->room += room_for(size);
    return (uint64_t)at;
}

static void message_place(struct several *s, uint32_t i)
{
    struct message *m = &s->messages[i].message;
    struct vector *data = &s->incoming[i].vectors[0];
    if (m->name && m->name != NOWHERE)
        m->name = place(s, ADDRESS_MAX);
    if (m->control && m->control != NOWHERE)
        m->control = place(s, m->control_size);
    if (m->vectors != NOWHERE && (int64_t)data->size > 0)
        data->base = place(s, data->size);
}

static int several_begin(struct several *s, struct thread *t, uint64_t at, uint32_t count)
{
    enum { SIZE = sizeof(struct counted_message) };
    uint64_t size = 0;
    uint8_t *bounce = thread_bounce(t);
    *s = (struct several){.t = t, .at = at, .messages = (struct counted_message *)bounce};
    if (!bounce)
        return -ENOMEM;
    s->incoming = (struct incoming *)(s->messages + count);
    s->scratch = (struct vector *)(s->incoming + count);
    s->room = (uint8_t *)(s->scratch + VECTORS_MAX);
    memset(s->messages, 0, count * (sizeof *s->messages + sizeof *s->incoming));
    s->count = (uint32_t)(user_read_some(s->messages, at, count * SIZE) / SIZE);
    s->writable = (uint32_t)(mm_writable(at, count * SIZE) / SIZE);
    for (uint32_t i = 0; i < s->count; i++)
        size += message_in(s, i);
    if (s->count < count) /* the next one cannot be read: an error of that one */
        s->messages[s->count++].message = (struct message){.vectors = NOWHERE, .vector_count = 1};
    if (size > (uint64_t)(bounce + BOUNCE_SIZE - s->room))
        s->room = thread_room(t, size);
    if (!s->room)
        return -ENOBUFS;
    for (uint32_t i = 0; i < s->count; i++)
        message_place(s, i);
    return 0;
}

/* One message that came goes to the program. */
static int several_out(struct several *s, uint32_t i, bool drops)
{
    struct counted_message to, *m = &s->messages[i];
    const struct vector *data = &s->incoming[i].vectors[0];
    uint64_t at = s->at + i * sizeof to;
    bool good = user_read(&to, at, sizeof to) == 0 && to.message.vector_count <= VECTORS_MAX &&
                user_read(s->scratch, to.message.vectors,
                          to.message.vector_count * sizeof *s->scratch) == 0;
    struct transfer x = {.vectors = s->scratch,
                         .vector_count = (uint32_t)to.message.vector_count,
                         .data = (uint8_t *)data->base};
    if (!good || (!drops && transfer_copy(&x, smaller(m->size, data->size), false) < 0)) {
        close_received(&m->message);
        return -EFAULT;
    }
    if (message_out(s->t, at, &to.message, &m->message) < 0)
        return -EFAULT;
    return user_write(at + offsetof(struct counted_message, size), &m->size, sizeof m->size);
}

long sys_recvmmsg(struct thread *t, const uint64_t a[6])
{
    struct __kernel_timespec timeout;
    struct several s;
    int fd = (int)a[0], flags = (int)a[3];
    uint32_t done = 0;
    if (a[4] && user_read(&timeout, a[4], sizeof timeout) < 0)
        return -EFAULT;
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    result = several_begin(&s, t, a[1], (uint32_t)smaller((uint32_t)a[2], SEVERAL_MAX));
    if (result == 0)
        result = socket_waited(
            t, fd,
            host_call_intr(__NR_recvmmsg, fd, s.messages, s.count, flags, a[4] ? &timeout : NULL));
    bool drops = result > 0 && drops_data(fd, flags);
    while (done < result && several_out(&s, done, drops) == 0)
        done++;
    /* What the program unmapped while they came is lost, with those that came after. */
    for (uint32_t i = done + 1; i < result; i++)
        close_received(&s.messages[i].message);
    thread_room_end(t);
    if (done < result)
        return done ? done : -EFAULT;
    if (result > 0 && a[4] && user_write(a[4], &timeout, sizeof timeout) < 0)
        return -EFAULT;
    return result;
}
