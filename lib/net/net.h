/*
 * Authenticated, framed request and reply between monitors: client and server side.
 *
 * Addresses are "HOST:PORT" (TCP, port 0: any free one) or "unix:PATH". A connection belongs to
 * one thread at a time and has at most one request outstanding, unless its user says otherwise.
 * Every connection starts with HELLO, PROOF and BIND (proto/messages.def): both ends prove with an
 * HMAC-SHA-256 over both nonces that they hold the rack's key, and BIND fixes what the connection
 * may ask for. Errors are negative: errno values or enum ash_error.
 *
 * Not used by ashlar-exec, which is handed connections that are already bound (process/node).
 */
#ifndef ASHLAR_LIB_NET_H
#define ASHLAR_LIB_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errors.h"
#include "limits.h"
#include "messages.h"

#define NET_CHECKED __attribute__((warn_unused_result))

/* ---- the cluster key ---- */

struct net_key {
    uint8_t bytes[KEY_SIZE];
};

/* Makes a random key in a new file of mode 0600. Fails with -EEXIST where there is one. */
int net_key_create(const char *path) NET_CHECKED;
/* Reads it; refuses (-EPERM) a file that others than its owner may read. */
int net_key_load(const char *path, struct net_key *key) NET_CHECKED;

/* ---- frames ---- */

struct net_frame {
    struct wire_header header;
    uint8_t *payload; /* header.length bytes, in the connection's buffer until its next receive */
};

struct net_conn; /* opaque; see net_conn_* */

int net_conn_fd(const struct net_conn *conn);
/* The peer's scope, as bound. Strings live as long as the connection. */
const struct msg_bind *net_conn_scope(const struct net_conn *conn);
/* A slot for the server's own state of this connection; it frees it in `closed`. */
void **net_conn_state(struct net_conn *conn);

/* Whether it ended because the peer closed it, and did not break. */
bool net_conn_closed(const struct net_conn *conn);

/*
 * The next descriptor (close-on-exec) that came with the request being handled, now the caller's;
 * -1: no more. Those that the handler does not take are closed after it.
 */
int net_conn_take_fd(struct net_conn *conn);

/*
 * From now on a served connection waits for `fd` to become readable too, while it waits for its
 * next request: the server's `ready` is then called, once. -1: no more. Of the connection's own
 * thread.
 */
void net_conn_listen(struct net_conn *conn, int fd);

/* ---- clients ---- */

/*
 * Connects, authenticates both ways and binds, all within timeout_ms. `server`, where not NULL,
 * gets the component that answered.
 */
int net_connect(const char *address, const struct net_key *key, const struct msg_bind *bind,
                unsigned timeout_ms, struct net_conn **out, struct component *server) NET_CHECKED;
/*
 * The two halves of it. A connection that is authenticated and not bound may stay so for any time,
 * and may ask for nothing but BIND, once: no connection is ever bound anew.
 */
int net_connect_unbound(const char *address, const struct net_key *key, unsigned timeout_ms,
                        struct net_conn **out) NET_CHECKED;
int net_bind(struct net_conn *conn, const struct msg_bind *bind, unsigned timeout_ms,
             struct component *server) NET_CHECKED;
/* The two halves of net_bind(). What is asked for in between is answered after it, if it was bound.
 */
int net_bind_begin(struct net_conn *conn, const struct msg_bind *bind, unsigned timeout_ms,
                   uint64_t *id) NET_CHECKED;
int net_bind_end(struct net_conn *conn, const struct msg_bind *bind, uint64_t id,
                 unsigned timeout_ms) NET_CHECKED;
/* Closes it and frees everything; NULL is fine. */
void net_close(struct net_conn *conn);
/* Frees the structure but leaves the descriptor open, and returns it: to be handed on. Between
   requests only: what has been received and not handed out is lost. */
int net_release(struct net_conn *conn);
/* Wraps a descriptor that is already authenticated (a socket handed over by a monitor), and owns it
   on success. */
int net_adopt(int fd, struct net_conn **out) NET_CHECKED;

/*
 * Sends one request and waits for its reply. payload is an encoded body, bulk (may be NULL) what
 * its bulk field announced. On success returns 0 and fills *reply. A reply with a negative status
 * is returned as that status (reply->payload then serves for ASH_ELSEWHERE). ASH_TIMEOUT and
 * ASH_LOST leave the connection useless: close it. At most 256 pieces of bulk. Messages that are no
 * replies and come first are kept for net_receive().
 */
int net_request(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                const struct iovec *bulk, int bulk_count, unsigned timeout_ms,
                struct net_frame *reply) NET_CHECKED;
/*
 * Its two halves, for who has something to do meanwhile: sends, and waits for the reply to `id`.
 * After ASH_TIMEOUT net_request_end() may be called again, to wait for longer.
 */
int net_request_begin(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                      const struct iovec *bulk, int bulk_count, unsigned timeout_ms,
                      uint64_t *id) NET_CHECKED;
int net_request_end(struct net_conn *conn, uint16_t op, uint64_t id, unsigned timeout_ms,
                    struct net_frame *reply) NET_CHECKED;
/* net_request(), receiving up to *fd_count descriptors (close-on-exec) that came with the reply. */
int net_request_fds(struct net_conn *conn, uint16_t op, const void *payload, size_t size,
                    unsigned timeout_ms, struct net_frame *reply, int *fds,
                    int *fd_count) NET_CHECKED;
/* Sends a message to which no reply is wanted. Any thread, also on a server's connection while its
   own thread serves it; it is the caller's to know that the connection still exists. */
int net_post(struct net_conn *conn, uint16_t op, const void *payload, size_t size) NET_CHECKED;
/* Waits for a message that is no reply (RUN_EVENT). timeout_ms -1: for ever. */
int net_receive(struct net_conn *conn, int timeout_ms, struct net_frame *frame) NET_CHECKED;

/*
 * NET_CALL(conn, PING, ping, &request, &reply, timeout_ms): encodes msg_ping, sends it, decodes
 * msg_ping_reply, whose pointers are good until the connection's next use. An int.
 */
#define NET_CALL(conn, OP, name, request, reply, timeout_ms)                                       \
    ({                                                                                             \
        uint8_t body_[PATH_LIMIT * 3];                                                             \
        struct net_frame frame_;                                                                   \
        int rc_ = msg_##name##_encode((request), body_, sizeof body_);                             \
        if (rc_ >= 0)                                                                              \
            rc_ =                                                                                  \
                net_request((conn), OP_##OP, body_, (size_t)rc_, NULL, 0, (timeout_ms), &frame_);  \
        if (rc_ == 0)                                                                              \
            rc_ = msg_##name##_reply_decode((reply), frame_.payload, frame_.header.length);        \
        rc_;                                                                                       \
    })

/* Its halves, as those of net_request(). */
#define NET_CALL_BEGIN(conn, OP, name, request, timeout_ms, id)                                    \
    ({                                                                                             \
        uint8_t body_[PATH_LIMIT * 3];                                                             \
        int rc_ = msg_##name##_encode((request), body_, sizeof body_);                             \
        if (rc_ >= 0)                                                                              \
            rc_ = net_request_begin((conn), OP_##OP, body_, (size_t)rc_, NULL, 0, (timeout_ms),    \
                                    (id));                                                         \
        rc_;                                                                                       \
    })
#define NET_CALL_END(conn, OP, name, id, reply, timeout_ms)                                        \
    ({                                                                                             \
        struct net_frame frame_;                                                                   \
        int rc_ = net_request_end((conn), OP_##OP, (id), (timeout_ms), &frame_);                   \
        if (rc_ == 0)                                                                              \
            rc_ = msg_##name##_reply_decode((reply), frame_.payload, frame_.header.length);        \
        rc_;                                                                                       \
    })

/* ---- servers ---- */

struct net_server;

struct net_server_ops {
    /* Handles one request on the connection's own thread (1 MiB of stack) and answers it with
       net_reply*. Returns 0, or a negative error that closes the connection. Requests outside the
       peer's scope and malformed ones are the handler's to refuse: net_refuse(). */
    int (*request)(void *self, struct net_conn *conn, const struct net_frame *frame);
    void (*opened)(void *self, struct net_conn *conn); /* at BIND, before its answer; may be NULL */
    void (*closed)(void *self, struct net_conn *conn); /* after opened; may be NULL */
    /* What net_conn_listen() asked for came, on the connection's own thread, between requests.
       Negative closes the connection. */
    int (*ready)(void *self, struct net_conn *conn);
    bool descriptors; /* requests may bring descriptors: net_conn_take_fd() */
};

struct net_server_counters {
    uint64_t requests, refused; /* since start */
    uint64_t connections;       /* open now */
};

/*
 * Listens and serves, a thread for each connection, until net_server_stop(). PING, HELLO, PROOF and
 * BIND are answered by the server itself. Never ends because of a peer: what is malformed,
 * oversized, of a wrong version or unauthenticated is refused, counted, and the connection closed;
 * a silent peer is dropped after HANDSHAKE_TIMEOUT_MS; over CONNECTIONS_MAX new ones are refused.
 * A peer that stops within a message, or does not read its answers, is dropped after 5 seconds.
 * *out is set before the first request is handled.
 */
int net_server_start(const char *address, const struct net_key *key, struct component self,
                     const struct net_server_ops *ops, void *ops_self,
                     struct net_server **out) NET_CHECKED;
void net_server_set_component(struct net_server *server, struct component self);
/* Where it really listens, such as 127.0.0.1:40123. Lives as long as the server. */
const char *net_server_address(const struct net_server *server);
void net_server_counters(const struct net_server *server, struct net_server_counters *out);
/* Fills a PING reply's memory figures; where it is not set they are zero. */
void net_server_set_usage(struct net_server *server,
                          void (*usage)(void *self, struct msg_ping_reply *reply));
/* Ends every connection, joins every thread, frees. */
void net_server_stop(struct net_server *server);
/* Serves a descriptor that needs no authentication (one end of a socketpair), as bound by `bind`.
 */
int net_server_adopt(struct net_server *server, int fd, const struct msg_bind *bind) NET_CHECKED;

/*
 * The answer to the request that is being handled is not urgent: where the next request is there
 * already, it goes with the answer to that one.
 */
void net_answer_later(struct net_conn *conn);

/* Answers a request. status 0 with a payload, or a negative status without one. */
int net_reply(struct net_conn *conn, const struct net_frame *request, int status,
              const void *payload, size_t size, const struct iovec *bulk,
              int bulk_count) NET_CHECKED;
int net_reply_fds(struct net_conn *conn, const struct net_frame *request, const void *payload,
                  size_t size, const int *fds, int fd_count) NET_CHECKED;
/* net_reply of a negative status that counts as refused where the peer is at fault. */
int net_refuse(struct net_conn *conn, const struct net_frame *request, int status) NET_CHECKED;

/* NET_REPLY(conn, frame, ping, &reply): encodes msg_ping_reply and sends it. An int. */
#define NET_REPLY(conn, frame, name, reply)                                                        \
    ({                                                                                             \
        uint8_t body_[PATH_LIMIT * 2];                                                             \
        int rc_ = msg_##name##_reply_encode((reply), body_, sizeof body_);                         \
        if (rc_ >= 0)                                                                              \
            rc_ = net_reply((conn), (frame), 0, body_, (size_t)rc_, NULL, 0);                      \
        rc_;                                                                                       \
    })

#endif
