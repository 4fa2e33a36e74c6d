/*
 * A connection: the framed, buffered socket that clients and servers share. Inside lib/net only.
 */
#ifndef ASHLAR_LIB_NET_CONN_H
#define ASHLAR_LIB_NET_CONN_H

#include <pthread.h>
#include <stdatomic.h>

#include "net.h"

enum {
    CONN_FDS_MAX = 4,      /* descriptors in one message */
    CONN_BULK_MAX = 256,   /* pieces of one bulk */
    CONN_STALL_MS = 5000,  /* a peer that stops within a message, or does not read, is dropped */
    CONN_LATER_MAX = 2048, /* bytes of answers that wait for others */
};

/* Messages that arrived while a reply was awaited; net_receive() hands them out. */
struct conn_event {
    struct conn_event *next;
    struct net_frame frame;
    uint8_t payload[];
};

struct net_conn {
    int fd;                    /* never changes */
    struct net_server *server; /* never changes; NULL at a client */
    struct msg_bind bind;      /* set before the first request; writable points to `writable` */
    char *writable;
    void *state;        /* the server user's */
    size_t frame_limit; /* PREAUTH_FRAME_MAX until authenticated; owner thread only */

    /* The receive buffer: unread bytes are [start, end); the frame handed out last is the first
       `handed` of them and goes at the next receive. Owner thread only. */
    uint8_t *buffer;
    size_t capacity, start, end, handed;
    bool filled;       /* the last receive took all that it had room for: there is more */
    bool answer_later; /* net_answer_later() was said of the request that is handled */

    unsigned receive_ms, send_ms;     /* as set on the socket; 0: none. Owner thread only */
    unsigned spin_skip, spin_backoff; /* waits not to spin at, see conn.c. Owner thread only */

    pthread_mutex_t send_lock; /* keeps messages whole: net_post() may come from any thread */
    uint8_t *later;            /* answers that go with the next message:
                                  CONN_LATER_MAX bytes, made on first use by the owner thread */
    size_t later_size;         /* protected by send_lock */
    atomic_uint_least64_t next_id;
    struct conn_event *events; /* oldest first; owner thread only */
    struct conn_event *given;  /* the one that net_receive() handed out last */
    unsigned event_count;

    int fds[CONN_FDS_MAX]; /* that came with the request being handled; owner thread only */
    int fd_count;
    int listen_fd; /* net_conn_listen(); -1: none. Owner thread only */

    /* The server's: under its lock. */
    struct net_conn *previous, *next;
    bool authenticated;

    /* Owner thread only. */
    bool opened; /* the server's user was told of it, and will be of its end */
    bool closed; /* the peer closed it */
};

/* Wraps fd, which it owns from then on; on failure (-ENOMEM) it does not. */
int conn_new(int fd, struct net_conn **out) NET_CHECKED;
/* Frees it, without closing its descriptor. */
void conn_free(struct net_conn *conn);
/* Copies a scope, its text included. */
int conn_set_scope(struct net_conn *conn, const struct msg_bind *bind) NET_CHECKED;
/* Bounds every wait of the socket from now on. */
void conn_set_timeout(struct net_conn *conn, unsigned ms);

struct conn_descriptors {
    int *fds;
    int count, limit;
};

struct conn_wait {
    int timeout_ms; /* for the whole frame; -1: its first byte may take for ever */
    bool spin;      /* an answer is expected soon */
    struct conn_descriptors *descriptors; /* may be NULL: then none are received */
};

/*
 * Receives the next frame and checks its CRC. ASH_TIMEOUT keeps what came so far; ASH_LOST: the
 * other end is gone; ASH_MALFORMED, ASH_VERSION, ASH_TOO_BIG, ASH_CORRUPT: no further receive makes
 * sense. frame->header is filled but for ASH_MALFORMED, ASH_LOST and ASH_TIMEOUT.
 */
int conn_receive(struct net_conn *conn, const struct conn_wait *wait,
                 struct net_frame *frame) NET_CHECKED;

/* Whether nothing has arrived that was not handed out: the next receive has to wait. */
bool conn_is_drained(const struct net_conn *conn);

struct conn_message {
    uint16_t op;
    uint8_t flags;
    int32_t status;
    uint64_t request_id;
    const void *payload;
    size_t size;
    const struct iovec *bulk;
    int bulk_count;
    const int *fds;
    int fd_count;
    bool later; /* it may wait, where another request has arrived already. Owner thread only */
};

/* Sends one message whole. ASH_TIMEOUT, ASH_LOST: the connection is useless. Any thread. */
int conn_send(struct net_conn *conn, const struct conn_message *message) NET_CHECKED;

/* Sends what waits for another message, where none follows. */
int conn_flush(struct net_conn *conn) NET_CHECKED;

/* Waits for the reply to (op, id), keeping other messages for net_receive(). Returns its status. */
int conn_await_reply(struct net_conn *conn, uint16_t op, uint64_t id, const struct conn_wait *wait,
                     struct net_frame *reply) NET_CHECKED;

/* ---- addresses (address.c) ---- */

int address_connect(const char *address, unsigned timeout_ms) NET_CHECKED;
int address_listen(const char *address) NET_CHECKED; /* a non-blocking listening socket */
/* Where a listening socket listens, in the form that address_connect() takes. */
int address_of(int fd, const char *asked, char out[], size_t size) NET_CHECKED;
/* Options of every connected socket: no Nagle delay, keepalive. */
void address_tune(int fd);

/* ---- the handshake (auth.c) ---- */

int auth_client(struct net_conn *conn, const struct net_key *key, unsigned timeout_ms) NET_CHECKED;
/* Fills conn's scope. Negative: the peer is to be dropped (it has been told, where it helps). */
int auth_server(struct net_conn *conn, const struct net_key *key, struct component self,
                void (*authenticated)(struct net_conn *conn),
                void (*opened)(struct net_conn *conn)) NET_CHECKED;

#endif
