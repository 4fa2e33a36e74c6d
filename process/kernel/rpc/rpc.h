/*
 * Requests of this process to the monitors: pooled connections, one request outstanding on each.
 *
 * A connection comes authenticated and bound from the node (process/node); it is taken for one
 * exchange and given back. Where an mComponent does not answer, or says that a part is not there
 * any more, the node is asked where it is now and the request is repeated there; the process ends
 * where it is nowhere. A lost storage connection is renewed through the node until
 * STORAGE_TIMEOUT_MS is over, then -EIO. Receives spin for SPIN_US before they sleep. Per exchange:
 * one send and one recv, more of these while spinning.
 */
#ifndef ASHLAR_KERNEL_RPC_H
#define ASHLAR_KERNEL_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errors.h"
#include "limits.h"
#include "messages.h"

struct rpc_piece { /* as struct iovec */
    const void *base;
    size_t size;
};

/*
 * An exchange: rpc_begin() takes a connection to a component; the caller encodes its request into
 * request[], calls rpc_exchange(), decodes from reply, which stays good until rpc_end().
 */
struct rpc {
    struct rpc_connection *connection;
    uint8_t *request; /* RPC_REQUEST_MAX bytes */
    const uint8_t *reply;
    uint32_t reply_size;
    const struct rpc_piece *bulk; /* as posted: it stays until the answer is there */
    int bulk_count;
};

enum { RPC_REQUEST_MAX = 12 * 1024 };

/* kind: COMPONENT_MEMORY (the home) or COMPONENT_STORAGE. Returns 0 or a negative errno. */
int rpc_begin(struct rpc *rpc, int kind) __attribute__((warn_unused_result));
/* The mComponent that has a part of the address space. */
int rpc_begin_part(struct rpc *rpc, uint32_t part) __attribute__((warn_unused_result));
/*
 * Sends request[0..size) and the bulk pieces (monitor memory or lines that cannot leave), waits for
 * the reply. Returns its status (negative errno or enum ash_error; rpc->reply is then empty but for
 * ASH_ELSEWHERE), -EIO where storage stays lost; does not return where memory is lost.
 */
int rpc_exchange(struct rpc *rpc, uint16_t op, int size, const struct rpc_piece *bulk, int count)
    __attribute__((warn_unused_result));
/* The two halves of rpc_exchange. Between them the connection stays taken, by any thread, and the
   bulk as it is. */
int rpc_post(struct rpc *rpc, uint16_t op, int size, const struct rpc_piece *bulk, int count)
    __attribute__((warn_unused_result));
int rpc_wait(struct rpc *rpc) __attribute__((warn_unused_result));
/*
 * Sends a request to the sComponent and gives the connection back: nobody is told of the answer,
 * which is waited for before the connection is used again. What this thread asks for next comes
 * after it.
 */
void rpc_leave(struct rpc *rpc, uint16_t op, int size);
/* A LINE_WRITE to where a part of the space is, which rpc_wait() and rpc_end() are owed for. */
int rpc_post_lines(struct rpc *rpc, struct asid space, uint32_t part, const struct line_ref *lines,
                   const struct rpc_piece *data, uint32_t count)
    __attribute__((warn_unused_result));
/* Whether the answer to what was posted has begun to come. */
bool rpc_answered(const struct rpc *rpc);
void rpc_end(struct rpc *rpc);

/*
 * RPC_CALL(&rpc, STORAGE, PATH_STAT, path_stat, &request, &reply): begin, encode, exchange, decode.
 * Returns 0 or a negative error; the caller must rpc_end(&rpc) in every case, after it has used
 * what the reply points to.
 */
#define RPC_CALL(rpc_, KIND, OP, name, request_, reply_)                                           \
    RPC_CALL_BEGUN(rpc_, rpc_begin((rpc_), COMPONENT_##KIND), OP, name, request_, reply_)
/* The same to the mComponent that has a part. */
#define RPC_CALL_PART(rpc_, part_, OP, name, request_, reply_)                                     \
    RPC_CALL_BEGUN(rpc_, rpc_begin_part((rpc_), (part_)), OP, name, request_, reply_)

#define RPC_CALL_BEGUN(rpc_, begin_, OP, name, request_, reply_)                                   \
    ({                                                                                             \
        int rc_ = (begin_);                                                                        \
        if (rc_ == 0)                                                                              \
            rc_ = msg_##name##_encode((request_), (rpc_)->request, RPC_REQUEST_MAX);               \
        if (rc_ >= 0)                                                                              \
            rc_ = rpc_exchange((rpc_), OP_##OP, rc_, NULL, 0);                                     \
        if (rc_ == 0)                                                                              \
            rc_ = msg_##name##_reply_decode((reply_), (rpc_)->reply, (rpc_)->reply_size);          \
        rc_;                                                                                       \
    })

/* The name of the component that it goes to, as far as it is known. */
const char *rpc_component(const struct rpc *rpc);

/* Turns an Ashlar code that has no better meaning for a program into an errno. */
long rpc_errno(int status);

#endif
