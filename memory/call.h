/*
 * A request being answered, and what its handlers share. A handler returns a negative status to
 * refuse it with; else it has answered, with `sent` what the answer's sending returned.
 */
#ifndef ASHLAR_MEMORY_CALL_H
#define ASHLAR_MEMORY_CALL_H

#include "memory.h"

struct call {
    struct memory *memory;
    struct net_conn *conn;
    const struct net_frame *frame;
    int sent;
};

#define DECODE(call, name, request)                                                                \
    msg_##name##_decode((request), (call)->frame->payload, (call)->frame->header.length)
#define ANSWER(call, name, reply)                                                                  \
    ((call)->sent = NET_REPLY((call)->conn, (call)->frame, name, (reply)), 0)

static inline bool call_is_process(const struct call *call)
{
    return net_conn_scope(call->conn)->scope == SCOPE_PROCESS;
}

/* Finds the space that a request names, with a reference, if the connection may name it. */
int call_space(struct call *call, struct asid asid, struct space **out)
    __attribute__((warn_unused_result));

/* The same for a primary: ASH_MOVED where it is none. Waits while it is not known whether another
   has taken its place. */
int call_primary(struct call *call, struct asid asid, struct space **out)
    __attribute__((warn_unused_result));

/* The messages' lists of changes as a struct changes. */
#define CALL_CHANGES(request)                                                                      \
    {                                                                                              \
        .serial = (request).serial, .ops = (request).ops, .ops_count = (request).ops_count,        \
        .files = (request).files, .files_count = (request).files_count, .paths = (request).paths,  \
        .paths_size = (request).paths_size                                                         \
    }

/* Between mComponents: handlers of serve_peers.c. */
int call_space_part(struct call *call);
int call_space_locate(struct call *call);
int call_replica_open(struct call *call);
int call_replica_vregions(struct call *call);
int call_replica_vmas(struct call *call);
int call_replica_lines(struct call *call);
int call_replica_ready(struct call *call);
int call_replica_drop(struct call *call);
int call_replica_yield(struct call *call);
int call_replica_apply(struct call *call);
int call_replica_promote(struct call *call);

#endif
