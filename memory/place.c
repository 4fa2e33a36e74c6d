/* See place.h. */
#include "clock.h"
#include "errors.h"
#include "space.h"

/* Whether it is to have a replica and has none. With its lock. */
static bool is_single(const struct space *space)
{
    return !space->gone && space->replicas > 1 && space->place.role == ROLE_PRIMARY &&
           !space->place.replica.n && space->vregions.count;
}

void space_recount(struct space *space)
{
    bool single = is_single(space);
    if (single == space->single || !space->singles)
        return;
    space->single = single;
    if (single)
        atomic_fetch_add_explicit(space->singles, 1, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(space->singles, 1, memory_order_relaxed);
}

static void unlock_changed(struct space *space)
{
    space_recount(space);
    pthread_mutex_unlock(&space->lock);
}

int space_place(struct space *space, struct space_place *out)
{
    pthread_mutex_lock(&space->lock);
    int gone = space->gone;
    if (!gone)
        *out = space->place;
    pthread_mutex_unlock(&space->lock);
    return gone;
}

struct space_place space_last_place(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    struct space_place place = space->place;
    pthread_mutex_unlock(&space->lock);
    return place;
}

bool space_gain_replica(struct space *space, struct component replica, uint32_t pid, uint32_t epoch)
{
    pthread_mutex_lock(&space->lock);
    bool ok = !space->gone && space->place.role == ROLE_PRIMARY && space->place.epoch < epoch;
    if (ok) {
        space->place.replica = replica;
        space->place.replica_in_doubt = space->place.replica_unaware = false;
        space->place.replica_to_go = false;
        space->place.pid = pid;
        space->place.seen_ms = clock_ms();
        space->place.epoch = epoch;
        space->replicate_wait_ms = 0;
    }
    unlock_changed(space);
    return ok;
}

bool space_lose_replica(struct space *space, struct component replica)
{
    pthread_mutex_lock(&space->lock);
    bool ok = !space->gone && space->place.role == ROLE_PRIMARY && replica.n &&
              space->place.replica.n == replica.n;
    if (ok) {
        space->place.replica.n = 0;
        space->place.epoch++;
        space->replicate_at_ms = clock_ms();
    }
    unlock_changed(space);
    return ok;
}

bool space_become_ready(struct space *space, uint32_t epoch, uint64_t serial)
{
    pthread_mutex_lock(&space->lock);
    bool ok = !space->gone && space->place.role == ROLE_REPLICA && space->place.epoch == epoch;
    if (ok) {
        space->place.ready = true;
        space->serial = serial;
    }
    pthread_mutex_unlock(&space->lock);
    return ok;
}

void space_set_heir(struct space *space, struct component heir)
{
    pthread_mutex_lock(&space->lock);
    if (space->place.role == ROLE_REPLICA)
        space->place.heir = heir;
    pthread_mutex_unlock(&space->lock);
}

bool space_forget_replica(struct space *space, const struct space_place *place)
{
    pthread_mutex_lock(&space->lock);
    bool ok = !space->gone && space->place.role == ROLE_REPLICA &&
              space->place.epoch == place->epoch && space->place.ready == place->ready;
    if (ok) {
        space->gone = ASH_NO_SPACE_ID;
        space->gone_ms = clock_ms();
    }
    unlock_changed(space);
    return ok;
}

bool space_become_primary(struct space *space, struct component primary, bool stays)
{
    pthread_mutex_lock(&space->lock);
    struct space_place was = space->place;
    bool ok = !space->gone && was.role == ROLE_REPLICA && was.ready && was.primary.n == primary.n;
    if (ok) {
        space->place = (struct space_place){.role = ROLE_PRIMARY, .epoch = was.epoch + 1};
        space->replicate_at_ms = clock_ms();
    }
    if (ok && stays) {
        space->place.replica = primary;
        space->place.pid = was.pid;
        space->place.seen_ms = was.seen_ms;
        space->place.replica_unaware = true;
        space->place.replica_to_go = space->replicas < 2;
    }
    unlock_changed(space);
    return ok;
}

bool space_become_replica(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    struct space_place was = space->place;
    bool ok = !space->gone && was.role == ROLE_PRIMARY && was.replica.n && !was.doubtful_ms;
    if (ok)
        space->place = (struct space_place){.role = ROLE_REPLICA,
                                            .epoch = was.epoch + 1,
                                            .primary = was.replica,
                                            .pid = was.pid,
                                            .seen_ms = was.seen_ms,
                                            .ready = true};
    unlock_changed(space);
    return ok;
}

void space_take_back(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    if (!space->gone && space->place.role == ROLE_PRIMARY) {
        space->place.replica.n = 0;
        space->place.epoch += 2; /* the other one may have counted one */
        space->place.doubtful_ms = clock_ms();
        space->replicate_at_ms = clock_ms();
    }
    unlock_changed(space);
}

void space_inherit_replica(struct space *space, const struct space_place *parent)
{
    pthread_mutex_lock(&space->lock);
    space->place.replica = parent->replica;
    space->place.pid = parent->pid;
    space->place.seen_ms = parent->seen_ms;
    space->replicate_at_ms = clock_ms(); /* it may have much to copy: not at its first lines */
    unlock_changed(space);
}

void space_set_doubtful(struct space *space, bool doubtful)
{
    pthread_mutex_lock(&space->lock);
    space->place.doubtful_ms = doubtful ? clock_ms() : 0;
    pthread_mutex_unlock(&space->lock);
}

bool space_wants_replica(struct space *space, uint64_t now_ms, uint64_t age_ms)
{
    pthread_mutex_lock(&space->lock);
    bool wants =
        is_single(space) && space->born_ms + age_ms <= now_ms && space->replicate_at_ms <= now_ms;
    pthread_mutex_unlock(&space->lock);
    return wants;
}

bool space_may_try(struct space *space, uint64_t now_ms)
{
    pthread_mutex_lock(&space->lock);
    bool may = space->replicate_at_ms <= now_ms;
    pthread_mutex_unlock(&space->lock);
    return may;
}

void space_doubt_replica(struct space *space, struct component replica, bool doubt)
{
    pthread_mutex_lock(&space->lock);
    if (space->place.role == ROLE_PRIMARY && space->place.replica.n == replica.n)
        space->place.replica_in_doubt = doubt;
    pthread_mutex_unlock(&space->lock);
}

void space_replica_knows(struct space *space, struct component replica)
{
    pthread_mutex_lock(&space->lock);
    if (space->place.role == ROLE_PRIMARY && space->place.replica.n == replica.n)
        space->place.replica_unaware = false;
    pthread_mutex_unlock(&space->lock);
}
