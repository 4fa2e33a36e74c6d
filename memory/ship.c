/*
 * See ship.h. One message to the replica and its answer for each change, under way while the change
 * is applied here.
 *
 * Repeating what may have arrived already does no harm: a list of changes has its number, lines are
 * the same lines, and what was destroyed is not there.
 */
#include "ship.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "fault.h"

enum {
    STEP_MS = 100,   /* that an answer is awaited before the registry is asked what it knows */
    PAUSE_MS = 10,   /* before a peer that could not be reached is tried again */
    ALONE_MS = 2000, /* without a word of the registry; then the primary goes on alone */
};

/* ---- a message that must be answered ---- */

static int send_apply(struct change *c)
{
    struct msg_replica_apply head = {
        .asid = c->space->asid, .epoch = c->epoch, .op = c->op, .request_size = c->request_size};
    struct iovec request = {(void *)c->request, c->request_size};
    uint8_t body[64];
    int size = msg_replica_apply_encode(&head, body, sizeof body);
    return peer_begin(&c->memory->peers, c->replica, OP_REPLICA_APPLY, body, (size_t)size, &request,
                      1, &c->call);
}

static int send_vregions(struct change *c)
{
    struct msg_replica_vregions head = {.asid = c->space->asid,
                                        .epoch = c->epoch,
                                        .parts = c->parts,
                                        .parts_count = c->parts_count,
                                        .vregions = c->vregions,
                                        .vregions_count = c->vregions_count};
    uint8_t body[GRANT_MAX * sizeof *c->vregions + PARTS_MAX * sizeof *c->parts + 64];
    int size = msg_replica_vregions_encode(&head, body, sizeof body);
    return size < 0 ? size
                    : peer_begin(&c->memory->peers, c->replica, OP_REPLICA_VREGIONS, body,
                                 (size_t)size, NULL, 0, &c->call);
}

/* What says little more than which replica it is about. */
static int send_name(struct change *c)
{
    struct msg_replica_drop drop = {.asid = c->space->asid, .epoch = c->epoch};
    struct msg_replica_yield yield = {.asid = c->space->asid, .epoch = c->epoch, .to = c->to};
    struct msg_replica_promote promote = {.asid = c->space->asid, .epoch = c->epoch, .stays = true};
    uint8_t body[64];
    int size;
    if (c->op == OP_REPLICA_DROP)
        size = msg_replica_drop_encode(&drop, body, sizeof body);
    else if (c->op == OP_REPLICA_YIELD)
        size = msg_replica_yield_encode(&yield, body, sizeof body);
    else
        size = msg_replica_promote_encode(&promote, body, sizeof body);
    return peer_begin(&c->memory->peers, c->replica, c->op, body, (size_t)size, NULL, 0, &c->call);
}

static bool send(struct change *c)
{
    int rc;
    switch (c->op) {
    case OP_REPLICA_VREGIONS:
        rc = send_vregions(c);
        break;
    case OP_REPLICA_DROP:
    case OP_REPLICA_YIELD:
    case OP_REPLICA_PROMOTE:
        rc = send_name(c);
        break;
    default:
        rc = send_apply(c);
    }
    return rc == 0;
}

/* Whether the registry has given the replica's process up; or nothing was heard of either for so
   long that this one goes on alone. */
static bool is_lost(const struct change *c)
{
    struct peers *peers = &c->memory->peers;
    int rc = peers_refresh(peers, PEER_FRESH_MS);
    if (rc == 0 && peers_state(peers, c->memory->monitor.id) == PEER_DOWN)
        return false; /* it is this one that is taken for lost: the replica will say */
    if (space_last_place(c->space).doubtful_ms)
        return false; /* it was, and that is being found out */
    if (rc == 0 && peers_loss(peers, c->replica, c->pid, c->seen_ms) == PEER_LOST)
        return true;
    if ((rc == 0 && peers_state(peers, c->replica) != PEER_UNKNOWN) ||
        clock_ms() - c->began_ms < ALONE_MS)
        return false;
    monitor_log("number %u does not answer, nor the registry: going on without it", c->replica.n);
    return true;
}

/* Awaits the answer, sending again what was lost on the way. ASH_LOST: the replica is. */
static int await(struct change *c)
{
    for (;;) {
        struct net_frame reply;
        if (c->sent) {
            int rc = peer_await(&c->call, STEP_MS, &reply);
            if (rc == ASH_TIMEOUT && !is_lost(c))
                continue;
            peer_end(&c->call, rc);
            c->sent = false;
            if (!peer_unreached(rc))
                return rc;
        }
        if (is_lost(c))
            return ASH_LOST;
        c->sent = send(c);
        if (!c->sent)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000l}, NULL);
    }
}

static int tell_name(struct memory *memory, struct space *space, uint16_t op,
                     const struct space_place *place, struct component to)
{
    struct change c = {.memory = memory,
                       .space = space,
                       .op = op,
                       .replica = place->replica,
                       .pid = place->pid,
                       .seen_ms = place->seen_ms,
                       .epoch = place->epoch,
                       .to = to,
                       .began_ms = clock_ms()};
    c.sent = send(&c);
    return await(&c);
}

/* ---- changes ---- */

int change_begin(struct change *c)
{
    struct space_place place;
    if (c->alone)
        pthread_rwlock_wrlock(&c->space->changing);
    else
        pthread_rwlock_rdlock(&c->space->changing);
    int rc = space_place(c->space, &place);
    if (rc == 0 && place.role != ROLE_PRIMARY)
        rc = ASH_MOVED;
    if (rc < 0) {
        pthread_rwlock_unlock(&c->space->changing);
        return rc;
    }
    c->replica = place.replica;
    c->pid = place.pid;
    c->seen_ms = place.seen_ms;
    c->epoch = place.epoch;
    c->began_ms = clock_ms();
    c->sent = c->replica.n && send(c);
    return 0;
}

/* Whether both copies may be the same after this: what ran out in the middle of a list of changes
   ran out anywhere in it. */
static bool agree(const struct change *c, int here, int there)
{
    if (c->op == OP_SPACE_OPS && (here == ASH_NO_FRAMES || here == -ENOMEM))
        return false;
    return there == (here < 0 ? here : 0);
}

int change_end(struct change *c, int rc)
{
    if (c->replica.n) {
        int there = await(c);
        if (there == ASH_STALE_EPOCH) {
            space_end(c->space, ASH_MOVED);
            rc = ASH_MOVED;
        } else if (there == ASH_LOST || there == ASH_NO_SPACE_ID) {
            struct space_place place;
            if (space_lose_replica(c->space, c->replica))
                memory_wake_replicator(c->memory);
            int gone = space_place(c->space, &place);
            if (gone < 0 && c->op != OP_SPACE_DESTROY)
                rc = gone;
        } else if (!agree(c, rc, there)) {
            monitor_log("the copy of %llx at number %u is given up: status %d there, %d here",
                        (unsigned long long)c->space->asid.n, c->replica.n, there, rc);
            replica_drop(c->memory, c->space,
                         &(struct space_place){.replica = c->replica,
                                               .pid = c->pid,
                                               .seen_ms = c->seen_ms,
                                               .epoch = c->epoch});
            if (space_lose_replica(c->space, c->replica))
                memory_wake_replicator(c->memory);
        }
    }
    pthread_rwlock_unlock(&c->space->changing);
    return rc;
}

/* ---- the end of a replica, or its beginning as a primary ---- */

void replica_drop(struct memory *memory, struct space *space, const struct space_place *place)
{
    /* There is none, whatever the answer. */
    (void)!tell_name(memory, space, OP_REPLICA_DROP, place, (struct component){0});
}

int replica_yield(struct memory *memory, struct space *space, const struct space_place *place,
                  struct component to)
{
    return tell_name(memory, space, OP_REPLICA_YIELD, place, to);
}

int replica_promote(struct memory *memory, struct space *space)
{
    struct space_place place;
    int rc = space_place(space, &place);
    if (rc < 0)
        return rc;
    fault_point("promote.begin");
    rc = tell_name(memory, space, OP_REPLICA_PROMOTE, &place, (struct component){0});
    fault_point("promote.done");
    if (rc == 0 && space_become_replica(space))
        return 0;
    if (rc == 0 ||
        rc == ASH_STALE_EPOCH) { /* it was taken for lost meanwhile, and has missed changes */
        space_end(space, ASH_MOVED);
        return 0;
    }
    /* Nothing that it was told as primary was answered: that would have waited for this copy. But
       it may have given the place away in its turn. */
    space_take_back(space);
    memory_wake_replicator(memory);
    return rc;
}
