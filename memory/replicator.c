/*
 * See replicator.h. Each thread looks at every space a few times in a second, and when it is woken.
 *
 * A part that had a replica when this mComponent was fenced is *doubtful*. Its replica's component
 * says what is: primary there, then it has moved; replica still, then nothing happened but that the
 * registry did not hear of this one for a while. It knows nothing of it: where it is the same
 * process still, it was fenced itself and has dropped it, or has given it away; so all are asked,
 * and where nobody has it this one goes on alone. A new process may have lost what the program
 * wrote there, so the part is lost.
 */
#include "replicator.h"

#include <string.h>

#include "clock.h"
#include "deadline.h"
#include "fault.h"
#include "parts.h"
#include "pressure.h"
#include "replicate.h"
#include "ship.h"

enum {
    SCAN_MS = 200,
    DOUBT_MS = 5000, /* without an answer of the replica's component: the part is lost */
    DOUBT_WAIT_MS = 1000,
};

PEER_DECODE(space_locate)
PEER_DECODE(replica_promote)

/* ---- taking over ---- */

bool replica_take_over(struct memory *memory, struct space *space, struct component primary,
                       bool stays)
{
    struct space_place place;
    if (space_place(space, &place) < 0 || place.role != ROLE_REPLICA)
        return false; /* and changes of a primary may take long */
    fault_point("takeover.begin");
    pthread_rwlock_wrlock(&space->changing);
    bool ok = space_become_primary(space, primary, stays);
    pthread_rwlock_unlock(&space->changing);
    if (ok) {
        fault_point("takeover.done");
        spaces_inherit(&memory->spaces, space);
        memory_wake_replicator(memory);
    }
    return ok;
}

/* What became of who was to replace a replica. ROLE_NONE: it has not got everything. */
static int ask_heir(struct memory *memory, struct space *space, const struct space_place *place,
                    uint8_t *role)
{
    struct msg_space_locate request = {.asid = space->asid, .lost = place->primary};
    struct msg_space_locate_reply reply;
    int rc = PEER_CALL(&memory->peers, place->heir, SPACE_LOCATE, space_locate, &request, &reply);
    if (rc == 0)
        *role = reply.role;
    else if (peers_state(&memory->peers, place->heir) != PEER_DOWN)
        return rc;
    else
        *role = ROLE_PRIMARY; /* for all that is known: two are lost, and this one may be old */
    return 0;
}

bool replica_bear_loss(struct memory *memory, struct space *space, struct component primary)
{
    struct space_place place;
    uint8_t role = ROLE_NONE;
    if (space_place(space, &place) < 0 || place.role != ROLE_REPLICA ||
        place.primary.n != primary.n)
        return false;
    if (!place.ready) {
        spaces_destroy(&memory->spaces, space);
        return false;
    }
    if (place.heir.n && ask_heir(memory, space, &place, &role) < 0)
        return false;
    if (role == ROLE_NONE)
        return replica_take_over(memory, space, primary, false);
    spaces_destroy(&memory->spaces, space);
    return false;
}

struct losses {
    struct memory *memory;
    unsigned taken_over, bereft;
    bool unsure; /* the list is too old for some */
};

static void bear_loss(void *arg, struct space *space)
{
    struct losses *losses = arg;
    struct peers *peers = &losses->memory->peers;
    struct space_place place;
    if (space_place(space, &place) < 0)
        return;
    if (place.doubtful_ms)
        return; /* settle() finds out */
    struct component other = place.role == ROLE_REPLICA ? place.primary : place.replica;
    enum peer_loss loss =
        other.n ? peers_loss(peers, other, place.pid, place.seen_ms) : PEER_NOT_LOST;
    losses->unsure |= loss == PEER_LOSS_UNSURE;
    if (loss != PEER_LOST)
        return;
    if (place.role == ROLE_REPLICA)
        losses->taken_over += replica_bear_loss(losses->memory, space, other);
    else
        losses->bereft += space_lose_replica(space, other);
}

bool replicas_bear_losses(struct memory *memory)
{
    struct losses losses = {.memory = memory};
    if (peers_state(&memory->peers, memory->monitor.id) == PEER_DOWN)
        return true; /* then the word is not this one's: it will be fenced */
    spaces_each(&memory->spaces, bear_loss, &losses);
    if (!losses.taken_over && !losses.bereft)
        return !losses.unsure;
    monitor_log("a loss: %u parts are served here now, %u have no second copy until it is made",
                losses.taken_over, losses.bereft);
    memory_wake_replicator(memory);
    return !losses.unsure;
}

/* ---- fenced ---- */

static void doubt(void *arg, struct space *space)
{
    struct space_place place;
    if (space_place(space, &place) < 0)
        return;
    if (place.role == ROLE_REPLICA)
        space_end(space, ASH_NO_SPACE_ID); /* its primary is to hear of it: say_dropped() */
    else if (place.replica.n)
        space_set_doubtful(space, true);
}

void replicas_when_fenced(struct memory *memory)
{
    spaces_each(&memory->spaces, doubt, NULL);
    memory_wake_replicator(memory);
}

static void lose(struct space *space, struct component replica)
{
    monitor_log("%llx is lost: number %u, which may have taken its place, does not have it",
                (unsigned long long)space->asid.n, replica.n);
    space_end(space, ASH_NO_SPACE_ID);
}

/* A replica that was dropped: its primary may not have heard that this mComponent was lost. */
static void say_dropped(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place = space_last_place(space);
    struct msg_space_locate request = {.asid = space->asid, .lost = memory->monitor.id};
    struct msg_space_locate_reply reply;
    if (place.role != ROLE_REPLICA || !space_is_gone_since(space, UINT64_MAX))
        return;
    int rc = PEER_CALL(&memory->peers, place.primary, SPACE_LOCATE, space_locate, &request, &reply);
    if (rc == 0)
        spaces_destroy(&memory->spaces, space); /* else it is told again, until this goes anyway */
}

/*
 * Whether it is the primary still: 0, and whether its replica was dropped. ASH_MOVED, ASH_LOST: it
 * is not. ASH_TIMEOUT: who knows has not said so yet.
 */
static int find_out(struct memory *memory, struct space *space, const struct space_place *place,
                    bool *dropped)
{
    struct msg_space_locate request = {.asid = space->asid};
    struct msg_space_locate_reply reply;
    bool late = clock_ms() - place->doubtful_ms >= DOUBT_MS, unsure;
    *dropped = false;
    if (place->replica.n) {
        int rc =
            PEER_CALL(&memory->peers, place->replica, SPACE_LOCATE, space_locate, &request, &reply);
        if (rc < 0)
            return late ? ASH_LOST : ASH_TIMEOUT;
        if (reply.role == ROLE_REPLICA)
            return 0;
        if (reply.role == ROLE_PRIMARY) /* an older one is about to become this one's replica */
            return reply.epoch > place->epoch ? ASH_MOVED : ASH_TIMEOUT;
        if (reply.pid != place->pid)
            return ASH_LOST;
        *dropped = true;
    }
    /* Who has nothing may have had it, and have given it away. */
    if (parts_is_elsewhere(memory, space, place->epoch, &unsure))
        return ASH_MOVED;
    return unsure && !late ? ASH_TIMEOUT : 0;
}

/* Asks once; it stays doubtful where there is no answer yet. */
static void settle(struct memory *memory, struct space *space, const struct space_place *place)
{
    bool dropped;
    int rc = find_out(memory, space, place, &dropped);
    if (rc == ASH_TIMEOUT)
        return;
    if (rc == ASH_MOVED)
        space_end(space, ASH_MOVED);
    else if (rc < 0)
        lose(space, place->replica);
    else if (dropped)
        space_lose_replica(space, place->replica);
    space_set_doubtful(space, false);
    pthread_mutex_lock(&memory->replicator_lock);
    pthread_cond_broadcast(&memory->replicator_settled);
    pthread_mutex_unlock(&memory->replicator_lock);
}

/* Its component was taken for lost for a while, and may have dropped it; or had this one's place,
   and may not know yet that this one has taken it. */
static void ask_for_replica(struct memory *memory, struct space *space,
                            const struct space_place *place)
{
    struct msg_space_locate request = {.asid = space->asid};
    struct msg_space_locate_reply reply;
    space_doubt_replica(space, place->replica, false);
    int rc =
        PEER_CALL(&memory->peers, place->replica, SPACE_LOCATE, space_locate, &request, &reply);
    if (rc == 0 && reply.role == ROLE_PRIMARY && reply.epoch > place->epoch)
        space_end(space, ASH_MOVED);
    else if (rc < 0 || reply.role == ROLE_PRIMARY)
        space_doubt_replica(space, place->replica, true); /* again */
    else if (reply.role == ROLE_REPLICA)
        space_replica_knows(space, place->replica);
    else if (space_lose_replica(space, place->replica))
        memory_wake_replicator(memory);
}

static bool is_doubtful(struct space *space)
{
    struct space_place place;
    return space_place(space, &place) == 0 && place.doubtful_ms;
}

bool replicator_await_settled(struct memory *memory, struct space *space)
{
    struct timespec deadline = deadline_timespec(clock_ms() + DOUBT_WAIT_MS);
    int rc = 0;
    pthread_mutex_lock(&memory->replicator_lock);
    while (rc == 0 && is_doubtful(space))
        rc = pthread_cond_timedwait(&memory->replicator_settled, &memory->replicator_lock,
                                    &deadline);
    pthread_mutex_unlock(&memory->replicator_lock);
    return rc == 0;
}

/* ---- the rounds of the threads ---- */

static bool is_ending(struct memory *memory)
{
    pthread_mutex_lock(&memory->replicator_lock);
    bool ending = memory->replicator_ending;
    pthread_mutex_unlock(&memory->replicator_lock);
    return ending;
}

static void settle_one(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place;
    if (is_ending(memory) || space_place(space, &place) < 0)
        return;
    if (place.doubtful_ms)
        settle(memory, space, &place);
    else if (place.role == ROLE_PRIMARY && place.replica.n &&
             (place.replica_in_doubt || place.replica_unaware))
        ask_for_replica(memory, space, &place);
}

static void copy_one(void *arg, struct space *space)
{
    struct memory *memory = arg;
    if (!is_ending(memory) && space_wants_replica(space, clock_ms(), SCAN_MS))
        (void)!replicate(memory, space); /* tried again later */
}

/* Its replica is where it may not stay: made elsewhere, or given up where there is nobody else. */
static void move_replica(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place;
    if (is_ending(memory) || space_place(space, &place) < 0 || place.role != ROLE_PRIMARY ||
        place.doubtful_ms || place.replica_unaware)
        return;
    if (!place.replica_to_go && (peers_state(&memory->peers, place.replica) != PEER_DRAINING ||
                                 replicate(memory, space) != ASH_NO_COMPONENT))
        return;
    pthread_rwlock_wrlock(&space->changing);
    if (space_place(space, &place) == 0 && place.role == ROLE_PRIMARY && place.replica.n) {
        replica_drop(memory, space, &place);
        space_lose_replica(space, place.replica);
    }
    pthread_rwlock_unlock(&space->changing);
}

bool replicator_move_part(struct memory *memory, struct space *space)
{
    struct space_place place;
    bool moved = false;
    if (is_ending(memory) || space_place(space, &place) < 0 || place.role != ROLE_PRIMARY ||
        place.doubtful_ms || !space_may_try(space, clock_ms()) || replicate(memory, space) < 0)
        return false;
    pthread_rwlock_wrlock(&space->changing);
    if (space_place(space, &place) == 0 && place.role == ROLE_PRIMARY && place.replica.n)
        moved = replica_promote(memory, space) == 0; /* else it has lost that one: again */
    pthread_rwlock_unlock(&space->changing);
    return moved;
}

/* This mComponent is drained. */
static void drain_one(void *arg, struct space *space)
{
    (void)replicator_move_part(arg, space);
}

/* Whatever is being copied meanwhile: programs wait for what this finds out. */
static void settle_round(struct memory *memory)
{
    spaces_each(&memory->spaces, say_dropped, memory);
    spaces_each(&memory->spaces, settle_one, memory);
    if (!replicas_bear_losses(memory) && peers_refresh(&memory->peers, PEER_FRESH_MS) == 0)
        (void)!replicas_bear_losses(memory);
}

static void copy_round(struct memory *memory)
{
    spaces_each(&memory->spaces, copy_one, memory);
    spaces_each(&memory->spaces, move_replica, memory);
    if (peers_state(&memory->peers, memory->monitor.id) == PEER_DRAINING)
        spaces_each(&memory->spaces, drain_one, memory);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct memory *memory = worker->memory;
    pthread_mutex_lock(&memory->replicator_lock);
    while (!memory->replicator_ending) {
        struct timespec next = deadline_timespec(clock_ms() + SCAN_MS);
        if (!worker->due)
            pthread_cond_timedwait(&memory->replicator_wake, &memory->replicator_lock, &next);
        worker->due = false;
        pthread_mutex_unlock(&memory->replicator_lock);
        worker->round(memory);
        pthread_mutex_lock(&memory->replicator_lock);
    }
    pthread_mutex_unlock(&memory->replicator_lock);
    return NULL;
}

/* ---- life ---- */

void memory_wake_replicator(struct memory *memory)
{
    pthread_mutex_lock(&memory->replicator_lock);
    for (int i = 0; i < WORKERS; i++)
        memory->workers[i].due = true;
    pthread_cond_broadcast(&memory->replicator_wake);
    pthread_mutex_unlock(&memory->replicator_lock);
}

int replicator_start(struct memory *memory)
{
    static void (*const rounds[WORKERS])(struct memory *) = {settle_round, copy_round,
                                                             pressure_round};
    int rc = 0;
    pthread_mutex_init(&memory->replicator_lock, NULL);
    deadline_cond_init(&memory->replicator_wake);
    deadline_cond_init(&memory->replicator_settled);
    for (int i = 0; i < WORKERS && rc == 0; i++) {
        memory->workers[i] = (struct worker){.memory = memory, .round = rounds[i]};
        rc = -pthread_create(&memory->workers[i].thread, NULL, work, &memory->workers[i]);
    }
    return rc;
}

void replicator_stop(struct memory *memory)
{
    pthread_mutex_lock(&memory->replicator_lock);
    memory->replicator_ending = true;
    pthread_cond_broadcast(&memory->replicator_wake);
    pthread_mutex_unlock(&memory->replicator_lock);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(memory->workers[i].thread, NULL);
    pthread_cond_destroy(&memory->replicator_settled);
    pthread_cond_destroy(&memory->replicator_wake);
    pthread_mutex_destroy(&memory->replicator_lock);
}

static void hand_over(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place;
    struct msg_replica_promote_reply reply;
    if (space_place(space, &place) < 0 || place.role != ROLE_PRIMARY || !place.replica.n ||
        peers_state(&memory->peers, place.replica) == PEER_DOWN)
        return;
    struct msg_replica_promote request = {.asid = space->asid, .epoch = place.epoch};
    int rc = PEER_CALL(&memory->peers, place.replica, REPLICA_PROMOTE, replica_promote, &request,
                       &reply);
    if (peer_unreached(rc))
        monitor_log("%llx was not handed over to number %u", (unsigned long long)space->asid.n,
                    place.replica.n);
}

void replicas_when_ending(struct memory *memory)
{
    spaces_each(&memory->spaces, hand_over, memory);
}
