/*
 * Changes of a part, made here and at its replica: what every request that changes one goes
 * through.
 *
 *   change_begin()   takes space->changing for reading, sends the request to the replica
 *   ...              applies it here
 *   change_end()     awaits the replica's answer, lets go
 *
 * What was answered to a process is so in two places. A replica that is lost, or that answers
 * otherwise than this copy, is given up, and a new one made later. Only the registry's word makes a
 * silent replica a lost one; a primary that is taken for lost itself finds it so, by
 * ASH_STALE_EPOCH, and gives its place up: ASH_MOVED.
 */
#ifndef ASHLAR_MEMORY_SHIP_H
#define ASHLAR_MEMORY_SHIP_H

#include "memory.h"

struct change {
    /* The caller's: a request and its payload; or, op being OP_REPLICA_VREGIONS, vRegions
       and parts. */
    struct memory *memory;
    struct space *space;
    uint16_t op;
    const void *request;
    uint32_t request_size;
    const struct vregion_info *vregions;
    const struct part_owner *parts;
    uint32_t vregions_count, parts_count;
    bool alone; /* no other change of this space is to be under way */

    /* Filled by change_begin(): */
    struct component replica; /* 0: there is none */
    uint32_t pid;             /* its process, and when that was there */
    uint64_t seen_ms;
    uint32_t epoch;
    /* The module's own: */
    struct component to; /* of REPLICA_YIELD */
    struct peer_call call;
    bool sent;
    uint64_t began_ms;
};

/* 0: change_end() is owed. ASH_MOVED: it is no primary. */
int change_begin(struct change *change) __attribute__((warn_unused_result));
/* `rc` is what became of it here. Returns that, or ASH_MOVED. */
int change_end(struct change *change, int rc) __attribute__((warn_unused_result));

/* Has a replica, or what is to become one, forgotten: answered, or its component is lost. `place`
   says which it is: its component, process and epoch. */
void replica_drop(struct memory *memory, struct space *space, const struct space_place *place);

/* Has a replica know who is about to replace it; 0: nobody. ASH_LOST, ASH_NO_SPACE_ID: there is
   none any more. */
int replica_yield(struct memory *memory, struct space *space, const struct space_place *place,
                  struct component to) __attribute__((warn_unused_result));

/*
 * Gives the place of a primary up to its replica, and takes that one's; or ends the space here,
 * where the other one was primary already: 0. Else the replica is lost. `changing` is held for
 * writing, so that what the new primary is told is applied, and answered, when this copy is its
 * replica, and not before.
 */
int replica_promote(struct memory *memory, struct space *space) __attribute__((warn_unused_result));

#endif
