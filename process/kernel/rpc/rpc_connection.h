/*
 * One connection to a monitor: its request and its reply as bytes. rpc.c's own.
 */
#ifndef ASHLAR_KERNEL_RPC_CONNECTION_H
#define ASHLAR_KERNEL_RPC_CONNECTION_H

#include "../host/lock.h"
#include "rpc.h"
#include "wire.h"

enum {
    CONNECTIONS = LANES,
    REPLY_AT = WIRE_HEADER_SIZE + RPC_REQUEST_MAX,
    BUFFER_SIZE = REPLY_AT + WIRE_HEADER_SIZE + FRAME_MAX,
};

struct rpc_connection {
    struct mutex lock;     /* held from rpc_begin to rpc_end; protects the rest */
    struct rpc_pool *pool; /* never changes */
    int fd;                /* -1: none yet, or lost */
    uint32_t moves;        /* pool->moves when that descriptor was made */
    uint64_t serial;       /* of that descriptor, see process->rpc_limit */
    uint64_t told;         /* an sComponent's: the identity.h number of who it was told asks; 0 */
    int lent_to; /* a vfork child, by its pid, that has it: the above is of its table; 0 */
    int own_fd;  /* while it is lent: the three above, of this process */
    uint32_t own_moves;
    uint64_t own_serial;
    uint16_t op; /* of the request under way */
    uint64_t request_id;
    uint32_t sent_size;
    bool owes;       /* an answer that nobody waits for: rpc_leave() */
    size_t received; /* bytes of the reply so far */
    uint64_t
        failing_since_ns; /* when this request met the first failure of those in a row; 0: none */
    uint64_t failed_ns;   /* when the last of them was dealt with */
    /* Request, then reply, each a header and a body: REPLY_AT bytes, header, FRAME_MAX. */
    uint8_t *buffer;
    size_t touched;                   /* bytes of it that are populated */
    uint32_t spin_skip, spin_backoff; /* waits not to spin at; see receive_some() */
};

/* The connections to one component: the sComponent, or where a part of the address space is. */
struct rpc_pool {
    int kind;
    uint32_t part;
    struct mutex move_lock;      /* order: after a connection's lock, before the node's */
    struct component_info where; /* id 0: not known; protected by move_lock */
    uint32_t moves;              /* how often `where` has changed; written under move_lock */
    struct rpc_connection connections[CONNECTIONS];
};

static inline bool of_memory(const struct rpc_connection *c)
{
    return c->pool->kind == COMPONENT_MEMORY;
}

/* Populates the first bytes of its buffer. */
void connection_touch(struct rpc_connection *c, size_t size);

/*
 * Sends the request in its buffer, of c->op and c->sent_size, and the bulk. `again`: what was sent
 * over a connection that broke, with its id. 0, ASH_TIMEOUT, ASH_LOST or ASH_TOO_BIG.
 */
int connection_send(struct rpc_connection *c, const struct rpc_piece *bulk, int bulk_count,
                    bool again) __attribute__((warn_unused_result));

/*
 * Sends FILE_IDENTITY and waits for its answer, whatever request is in the buffer, but for none
 * that is under way. Its status, or an ASH_ code of the connection.
 */
int connection_introduce(struct rpc_connection *c) __attribute__((warn_unused_result));

/*
 * The whole reply into the buffer; its status, or an ASH_ code of the connection. After ASH_TIMEOUT
 * it goes on where it was.
 */
int connection_receive(struct rpc_connection *c, struct rpc *rpc)
    __attribute__((warn_unused_result));

#endif
