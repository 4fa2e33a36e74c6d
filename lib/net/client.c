/*
 * The client's side of a connection: connect, request, post, receive.
 */
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "../util/clock.h"

int net_conn_fd(const struct net_conn *conn)
{
    return conn->fd;
}

bool net_conn_closed(const struct net_conn *conn)
{
    return conn->closed;
}

const struct msg_bind *net_conn_scope(const struct net_conn *conn)
{
    return &conn->bind;
}

void **net_conn_state(struct net_conn *conn)
{
    return &conn->state;
}

int net_adopt(int fd, struct net_conn **out)
{
    int rc = conn_new(fd, out);
    if (rc == 0)
        (*out)->frame_limit = FRAME_MAX;
    return rc;
}

int net_connect_unbound(const char *address, const struct net_key *key, unsigned timeout_ms,
                        struct net_conn **out)
{
    int fd = address_connect(address, timeout_ms);
    if (fd < 0)
        return fd;
    struct net_conn *conn;
    int rc = conn_new(fd, &conn);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    conn->spin_skip = 2; /* both of its answers come from a thread that is yet to be made */
    rc = auth_client(conn, key, timeout_ms);
    if (rc < 0) {
        net_close(conn);
        return rc;
    }
    *out = conn;
    return 0;
}

int net_connect(const char *address, const struct net_key *key, const struct msg_bind *bind,
                unsigned timeout_ms, struct net_conn **out, struct component *server)
{
    uint64_t until_ms = clock_ms() + timeout_ms;
    struct net_conn *conn;
    int rc = net_connect_unbound(address, key, timeout_ms, &conn);
    if (rc < 0)
        return rc;
    uint64_t now_ms = clock_ms();
    rc = net_bind(conn, bind, now_ms < until_ms ? (unsigned)(until_ms - now_ms) : 1, server);
    if (rc < 0) {
        net_close(conn);
        return rc;
    }
    *out = conn;
    return 0;
}

void net_close(struct net_conn *conn)
{
    if (conn)
        close(net_release(conn));
}

int net_release(struct net_conn *conn)
{
    int fd = conn->fd;
    conn_set_timeout(conn, 0); /* the next owner sets its own */
    conn_free(conn);
    return fd;
}

static int request(struct net_conn *conn, struct conn_message *message, unsigned timeout_ms,
                   struct conn_descriptors *descriptors, struct net_frame *reply)
{
    message->request_id = atomic_fetch_add_explicit(&conn->next_id, 1, memory_order_relaxed);
    conn_set_timeout(conn, timeout_ms);
    int rc = conn_send(conn, message);
    if (rc < 0)
        return rc;
    struct conn_wait wait = {
        .timeout_ms = (int)timeout_ms, .spin = true, .descriptors = descriptors};
    return conn_await_reply(conn, message->op, message->request_id, &wait, reply);
}

int net_request(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                const struct iovec *bulk, int bulk_count, unsigned timeout_ms,
                struct net_frame *reply)
{
    struct conn_message message = {
        .op = op, .payload = payload, .size = size, .bulk = bulk, .bulk_count = bulk_count};
    return request(conn, &message, timeout_ms, NULL, reply);
}

int net_request_begin(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                      const struct iovec *bulk, int bulk_count, unsigned timeout_ms, uint64_t *id)
{
    *id = atomic_fetch_add_explicit(&conn->next_id, 1, memory_order_relaxed);
    struct conn_message message = {.op = op,
                                   .payload = payload,
                                   .size = size,
                                   .bulk = bulk,
                                   .bulk_count = bulk_count,
                                   .request_id = *id};
    conn_set_timeout(conn, timeout_ms);
    return conn_send(conn, &message);
}

int net_request_end(struct net_conn *conn, uint16_t op, uint64_t id, unsigned timeout_ms,
                    struct net_frame *reply)
{
    struct conn_wait wait = {.timeout_ms = (int)timeout_ms, .spin = true};
    return conn_await_reply(conn, op, id, &wait, reply);
}

int net_request_fds(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                    unsigned timeout_ms, struct net_frame *reply, int *fds, int *fd_count)
{
    struct conn_message message = {.op = op, .payload = payload, .size = size};
    struct conn_descriptors descriptors = {.fds = fds, .limit = *fd_count};
    int rc = request(conn, &message, timeout_ms, &descriptors, reply);
    if (rc < 0) {
        for (int i = 0; i < descriptors.count; i++)
            close(fds[i]);
        descriptors.count = 0;
    }
    *fd_count = descriptors.count;
    return rc;
}

int net_post(struct net_conn *conn, uint16_t op, const void *payload, size_t size)
{
    struct conn_message message = {
        .op = op,
        .payload = payload,
        .size = size,
        .request_id = atomic_fetch_add_explicit(&conn->next_id, 1, memory_order_relaxed)};
    return conn_send(conn, &message);
}

int net_receive(struct net_conn *conn, int timeout_ms, struct net_frame *frame)
{
    free(conn->given);
    conn->given = conn->events;
    if (conn->given) {
        conn->events = conn->given->next;
        conn->event_count--;
        *frame = conn->given->frame;
        return 0;
    }
    struct conn_wait wait = {.timeout_ms = timeout_ms};
    int rc = conn_receive(conn, &wait, frame);
    if (rc == 0 && (frame->header.flags & WIRE_REPLY))
        rc = ASH_MALFORMED;
    return rc;
}
