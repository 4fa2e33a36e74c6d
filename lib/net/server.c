/*
 * The server: an accepting thread, and a thread for each connection.
 *
 * Invariants: a connection is in `list` from before its thread starts until the thread's end; its
 * descriptor is closed under the lock, so that shutting it down from outside never meets another
 * file. A thread that ends joins the one that ended before it, so at most one ended thread waits to
 * be joined at any time, and net_server_stop() joins that one.
 *
 * What peers can do: connections that have not authenticated hold a thread for
 * HANDSHAKE_TIMEOUT_MS at most, and beyond UNAUTHENTICATED_MAX of them the oldest is dropped, so
 * silent peers cannot keep others out. When descriptors run out, a spare one is given up to accept
 * and close the connection, so that it does not wait for ever.
 */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    UNAUTHENTICATED_MAX = 64,
    STACK_BYTES = 1024 * 1024,
    ACCEPT_PAUSE_MS = 20, /* where even the spare descriptor does not help */
};

struct net_server {
    struct net_key key; /* never changes, as all to the next empty line */
    const struct net_server_ops *ops;
    void *ops_self;
    int listen_fd, stop_fd;
    pthread_t acceptor;
    char address[ADDRESS_LIMIT];

    int spare_fd; /* the acceptor's only */

    pthread_mutex_t lock; /* of all to the next empty line */
    pthread_cond_t emptied;
    struct component self;
    void (*usage)(void *self, struct msg_ping_reply *reply);
    struct net_conn *list, *last; /* oldest first */
    unsigned count, unauthenticated;
    bool stopping, ended_valid;
    pthread_t ended; /* the thread that ended last, to be joined by the next */

    atomic_uint_least64_t requests, refused; /* relaxed: statistics */
};

static void count_refused(struct net_server *server)
{
    atomic_fetch_add_explicit(&server->refused, 1, memory_order_relaxed);
}

/* ---- answers ---- */

void net_answer_later(struct net_conn *conn)
{
    conn->answer_later = true;
}

int net_reply(struct net_conn *conn, const struct net_frame *request, int status,
              const void *payload, size_t size, const struct iovec *bulk, int bulk_count)
{
    struct conn_message message = {.op = request->header.op,
                                   .flags = WIRE_REPLY,
                                   .status = status,
                                   .request_id = request->header.request_id,
                                   .payload = payload,
                                   .size = size,
                                   .bulk = bulk,
                                   .bulk_count = bulk_count,
                                   .later = conn->answer_later};
    return conn_send(conn, &message);
}

int net_reply_fds(struct net_conn *conn, const struct net_frame *request, const void *payload,
                  size_t size, const int *fds, int fd_count)
{
    struct conn_message message = {.op = request->header.op,
                                   .flags = WIRE_REPLY,
                                   .request_id = request->header.request_id,
                                   .payload = payload,
                                   .size = size,
                                   .fds = fds,
                                   .fd_count = fd_count};
    return conn_send(conn, &message);
}

int net_refuse(struct net_conn *conn, const struct net_frame *request, int status)
{
    switch (status) {
    case ASH_VERSION:
    case ASH_MALFORMED:
    case ASH_TOO_BIG:
    case ASH_AUTH:
    case ASH_FORBIDDEN:
    case ASH_UNKNOWN_OP:
    case ASH_CORRUPT:
        if (conn->server)
            count_refused(conn->server);
    }
    return net_reply(conn, request, status, NULL, 0, NULL, 0);
}

/* ---- one connection ---- */

static int answer_ping(struct net_server *server, struct net_conn *conn,
                       const struct net_frame *frame)
{
    struct msg_ping_reply reply = {0};
    pthread_mutex_lock(&server->lock);
    void (*usage)(void *, struct msg_ping_reply *) = server->usage;
    pthread_mutex_unlock(&server->lock);
    if (usage)
        usage(server->ops_self, &reply);
    reply.requests = atomic_load_explicit(&server->requests, memory_order_relaxed);
    reply.refused = atomic_load_explicit(&server->refused, memory_order_relaxed);
    return NET_REPLY(conn, frame, ping, &reply);
}

static int dispatch(struct net_server *server, struct net_conn *conn, const struct net_frame *frame)
{
    atomic_fetch_add_explicit(&server->requests, 1, memory_order_relaxed);
    switch (frame->header.op) {
    case OP_PING:
        if (frame->header.length)
            return net_refuse(conn, frame, ASH_MALFORMED);
        return answer_ping(server, conn, frame);
    case OP_HELLO:
    case OP_PROOF:
    case OP_BIND:
    case OP_ELSEWHERE:
        return net_refuse(conn, frame, ASH_FORBIDDEN); /* a scope is bound once */
    }
    if (wire_op_index(frame->header.op) < 0)
        return net_refuse(conn, frame, ASH_UNKNOWN_OP);
    return server->ops->request(server->ops_self, conn, frame);
}

int net_conn_take_fd(struct net_conn *conn)
{
    return conn->fd_count ? conn->fds[--conn->fd_count] : -1;
}

static void close_untaken(struct net_conn *conn)
{
    int fd;
    while ((fd = net_conn_take_fd(conn)) >= 0)
        close(fd);
}

/* The order in which they were sent is the order in which they are taken. */
static void reverse(int *fds, int count)
{
    for (int i = 0; i < count / 2; i++) {
        int fd = fds[i];
        fds[i] = fds[count - 1 - i];
        fds[count - 1 - i] = fd;
    }
}

void net_conn_listen(struct net_conn *conn, int fd)
{
    conn->listen_fd = fd;
}

/* Waits for a request, or for what the connection listens to besides. */
static int await_either(struct net_server *server, struct net_conn *conn)
{
    while (conn->listen_fd >= 0 && conn_is_drained(conn)) {
        struct pollfd p[2] = {{.fd = conn->fd, .events = POLLIN},
                              {.fd = conn->listen_fd, .events = POLLIN}};
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return -errno;
        if (p[0].revents)
            break;
        if (!p[1].revents)
            continue;
        conn->listen_fd = -1;
        int rc = server->ops->ready(server->ops_self, conn);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void serve_requests(struct net_server *server, struct net_conn *conn)
{
    struct conn_descriptors descriptors = {.fds = conn->fds, .limit = CONN_FDS_MAX};
    struct conn_wait wait = {.timeout_ms = -1};
    if (server->ops->descriptors)
        wait.descriptors = &descriptors;
    for (;;) {
        struct net_frame frame;
        close_untaken(conn);
        descriptors.count = 0;
        int rc = await_either(server, conn);
        if (rc == 0)
            rc = conn_receive(conn, &wait, &frame);
        conn->fd_count = descriptors.count;
        reverse(conn->fds, conn->fd_count);
        if (rc == 0 && frame.header.flags & ~WIRE_AGAIN)
            rc = ASH_MALFORMED; /* a reply to nothing, or who knows what */
        if (rc == ASH_VERSION || rc == ASH_TOO_BIG || rc == ASH_CORRUPT)
            (void)!net_refuse(conn, &frame, rc);
        else if (rc == ASH_MALFORMED)
            count_refused(server);
        if (rc < 0 || dispatch(server, conn, &frame) < 0) {
            (void)!conn_flush(conn);
            close_untaken(conn);
            return;
        }
        conn->answer_later = false;
        wait.spin = true; /* who has just asked may ask again at once */
    }
}

static void mark_authenticated(struct net_conn *conn)
{
    struct net_server *server = conn->server;
    pthread_mutex_lock(&server->lock);
    conn->authenticated = true;
    server->unauthenticated--;
    pthread_mutex_unlock(&server->lock);
}

static void open_conn(struct net_conn *conn)
{
    struct net_server *server = conn->server;
    if (server->ops->opened)
        server->ops->opened(server->ops_self, conn);
    conn->opened = true;
}

/* Takes it out of the list; lock held. */
static void unlink_conn(struct net_server *server, struct net_conn *conn)
{
    *(conn->previous ? &conn->previous->next : &server->list) = conn->next;
    *(conn->next ? &conn->next->previous : &server->last) = conn->previous;
    server->count--;
    server->unauthenticated -= !conn->authenticated;
}

static void *serve(void *argument)
{
    struct net_conn *conn = argument;
    struct net_server *server = conn->server;

    pthread_mutex_lock(&server->lock);
    bool authenticated = conn->authenticated;
    struct component self = server->self;
    pthread_mutex_unlock(&server->lock);

    conn_set_timeout(conn, CONN_STALL_MS);
    if (authenticated)
        open_conn(conn);
    if (!authenticated && auth_server(conn, &server->key, self, mark_authenticated, open_conn) < 0)
        count_refused(server);
    else
        serve_requests(server, conn);
    if (conn->opened && server->ops->closed)
        server->ops->closed(server->ops_self, conn);

    pthread_mutex_lock(&server->lock);
    unlink_conn(server, conn);
    close(conn->fd);
    bool join = server->ended_valid;
    pthread_t before = server->ended;
    server->ended = pthread_self();
    server->ended_valid = true;
    if (server->count == 0)
        pthread_cond_signal(&server->emptied);
    pthread_mutex_unlock(&server->lock);
    conn_free(conn);
    if (join)
        pthread_join(before, NULL);
    return NULL;
}

static void drop_oldest_unauthenticated(struct net_server *server)
{
    for (struct net_conn *c = server->list; c; c = c->next) {
        if (!c->authenticated) {
            shutdown(c->fd, SHUT_RDWR);
            return;
        }
    }
}

/* Starts serving conn; on failure its descriptor is still the caller's. */
static int start_conn(struct net_server *server, struct net_conn *conn)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    conn->server = server;
    conn->spin_skip = SPIN_AFTER;

    pthread_mutex_lock(&server->lock);
    int rc = server->stopping ? -ESHUTDOWN : server->count >= CONNECTIONS_MAX ? ASH_LIMIT : 0;
    pthread_t thread;
    if (rc == 0) {
        conn->previous = server->last;
        *(server->last ? &server->last->next : &server->list) = conn;
        server->last = conn;
        server->count++;
        server->unauthenticated += !conn->authenticated;
        rc = -pthread_create(&thread, &attributes, serve, conn);
        if (rc < 0)
            unlink_conn(server, conn);
        else if (server->unauthenticated > UNAUTHENTICATED_MAX)
            drop_oldest_unauthenticated(server);
    }
    pthread_mutex_unlock(&server->lock);
    pthread_attr_destroy(&attributes);
    return rc;
}

int net_server_adopt(struct net_server *server, int fd, const struct msg_bind *bind)
{
    struct net_conn *conn;
    int rc = net_adopt(fd, &conn);
    if (rc < 0)
        return rc;
    conn->authenticated = true;
    rc = conn_set_scope(conn, bind);
    if (rc == 0)
        rc = start_conn(server, conn);
    if (rc < 0)
        conn_free(conn);
    return rc;
}

/* ---- accepting ---- */

static void refuse_fd(struct net_server *server, int fd)
{
    count_refused(server);
    close(fd);
}

static void welcome(struct net_server *server, int fd)
{
    struct net_conn *conn;
    address_tune(fd);
    if (conn_new(fd, &conn) < 0) {
        refuse_fd(server, fd);
    } else if (start_conn(server, conn) < 0) {
        conn_free(conn);
        refuse_fd(server, fd);
    }
}

/* No descriptor was left: gives up the spare one to turn the connection away. */
static void turn_away(struct net_server *server)
{
    if (server->spare_fd >= 0) {
        close(server->spare_fd);
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            refuse_fd(server, fd);
    }
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server->spare_fd < 0) {
        struct pollfd p = {.fd = server->stop_fd, .events = POLLIN};
        poll(&p, 1, ACCEPT_PAUSE_MS);
    }
}

static void *accept_all(void *argument)
{
    struct net_server *server = argument;
    for (;;) {
        struct pollfd p[2] = {{.fd = server->listen_fd, .events = POLLIN},
                              {.fd = server->stop_fd, .events = POLLIN}};
        poll(p, 2, -1);
        if (p[1].revents)
            return NULL;
        int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            welcome(server, fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            turn_away(server);
    }
}

/* ---- life ---- */

static void free_server(struct net_server *server)
{
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    if (server->spare_fd >= 0)
        close(server->spare_fd);
    pthread_cond_destroy(&server->emptied);
    pthread_mutex_destroy(&server->lock);
    explicit_bzero(&server->key, sizeof server->key);
    free(server);
}

int net_server_start(const char *address, const struct net_key *key, struct component self,
                     const struct net_server_ops *ops, void *ops_self, struct net_server **out)
{
    struct net_server *server = calloc(1, sizeof *server);
    if (!server)
        return -ENOMEM;
    server->key = *key;
    server->self = self;
    server->ops = ops;
    server->ops_self = ops_self;
    server->stop_fd = server->spare_fd = -1;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->emptied, NULL);

    int rc = server->listen_fd = address_listen(address);
    if (rc < 0)
        goto fail;
    rc = address_of(server->listen_fd, address, server->address, sizeof server->address);
    if (rc < 0)
        goto fail;
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (server->stop_fd < 0 || server->spare_fd < 0) {
        rc = -errno;
        goto fail;
    }
    *out = server; /* before the first request: handlers may look at it */
    rc = -pthread_create(&server->acceptor, NULL, accept_all, server);
    if (rc < 0)
        goto fail;
    return 0;
fail:
    *out = NULL;
    free_server(server);
    return rc;
}

void net_server_stop(struct net_server *server)
{
    eventfd_write(server->stop_fd, 1);
    pthread_join(server->acceptor, NULL);
    if (strncmp(server->address, "unix:", 5) == 0)
        unlink(server->address + 5);

    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    for (struct net_conn *c = server->list; c; c = c->next)
        shutdown(c->fd, SHUT_RDWR);
    while (server->count)
        pthread_cond_wait(&server->emptied, &server->lock);
    bool join = server->ended_valid;
    pthread_mutex_unlock(&server->lock);
    if (join)
        pthread_join(server->ended, NULL);
    free_server(server);
}

void net_server_set_component(struct net_server *server, struct component self)
{
    pthread_mutex_lock(&server->lock);
    server->self = self;
    pthread_mutex_unlock(&server->lock);
}

void net_server_set_usage(struct net_server *server,
                          void (*usage)(void *self, struct msg_ping_reply *reply))
{
    pthread_mutex_lock(&server->lock);
    server->usage = usage;
    pthread_mutex_unlock(&server->lock);
}

const char *net_server_address(const struct net_server *server)
{
    return server->address;
}

void net_server_counters(const struct net_server *server, struct net_server_counters *out)
{
    struct net_server *s = (struct net_server *)server; /* for its lock */
    out->requests = atomic_load_explicit(&s->requests, memory_order_relaxed);
    out->refused = atomic_load_explicit(&s->refused, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    out->connections = s->count;
    pthread_mutex_unlock(&s->lock);
}
