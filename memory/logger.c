/*
 * See logger.h. It wakes when the budget is nearly used up, and a few times in a second.
 *
 * A part that has taken a lost primary's place serves its lines out of the log at once. Its lines
 * that are in DRAM are made to stay there; those in the log are read back while enough of DRAM is
 * left, in the order of their addresses. Where it is not, the part goes on as it is: what it
 * fetches and stores is within the replicas' budget, and goes to the log again.
 *
 * Where lines are lost with an sComponent, a replica that has some is dropped, and made anew by its
 * primary. A primary that has some gives its place to its replica; without one its memory is lost.
 */
#include "logger.h"

#include <string.h>

#include "clock.h"
#include "deadline.h"
#include "fault.h"
#include "logged.h"
#include "replicator.h"
#include "ship.h"

enum {
    TICK_MS = 100,
    COMPACT_MAX = 64,                /* segments made of wasteful ones in a round */
    ENTER_MS = 1000,                 /* how long lines wait for room */
    AGAIN_MS = 5,                    /* before they look again, whoever has left */
    FULL_SHARE = 8,                  /* with less than 1/8 of the budget left it begins, */
    ENOUGH_SHARE = 4,                /* with 1/4 it stops */
    LEAST_SHARE = 4,                 /* a quarter of it is left to replicas by others */
    LEAST = 256,                     /* or 1 MiB, which every budget has */
    MEANWHILE = 2 * WRITE_MAX_LINES, /* lines that others may store at the same moment */
    RECALL_SHARE = 8,                /* lines come back while more than 1/8 of DRAM is left; */
    RECALL_AT_ONCE_SHARE = 2,        /* before there is a second copy, 1/2 */
};

/* ---- the budget ---- */

static uint32_t limit_of(const struct memory *memory)
{
    return memory->replica_lines;
}

/* What others leave replicas, however much of DRAM they take. */
static uint32_t least_of(const struct memory *memory)
{
    uint32_t share = limit_of(memory) / LEAST_SHARE;
    return share > LEAST ? share : LEAST;
}

static bool is_full(const struct memory *memory)
{
    uint32_t backed = frames_backed(&memory->frames), least = least_of(memory);
    return backed > limit_of(memory) - limit_of(memory) / FULL_SHARE ||
           (backed > least / 2 && frames_replica_room(&memory->frames) < least / 2);
}

static bool has_enough(const struct memory *memory)
{
    uint32_t least = least_of(memory);
    return frames_backed(&memory->frames) <= limit_of(memory) - limit_of(memory) / ENOUGH_SHARE &&
           frames_replica_room(&memory->frames) >= least - least / ENOUGH_SHARE;
}

static void wake(struct memory *memory)
{
    struct logger *l = &memory->logger;
    if (atomic_exchange_explicit(&l->due, true, memory_order_relaxed))
        return;
    pthread_mutex_lock(&l->lock);
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
}

static bool reserve(struct memory *memory, uint32_t lines)
{
    _Atomic uint32_t *backed = &memory->frames.backed;
    uint32_t now = atomic_load_explicit(backed, memory_order_relaxed);
    do
        if (now + lines > limit_of(memory) ||
            frames_replica_room(&memory->frames) < lines + MEANWHILE)
            return false;
    while (!atomic_compare_exchange_weak_explicit(backed, &now, now + lines, memory_order_relaxed,
                                                  memory_order_relaxed));
    return true;
}

/* What there is is others' who are about to store lines, or is being logged: waits for one of them.
   False: not any more, or the log cannot be written to. */
static bool await_leaving(struct memory *memory, uint64_t until_ms)
{
    struct logger *l = &memory->logger;
    uint64_t now_ms = clock_ms();
    if (!log_is_usable(&memory->log) || now_ms >= until_ms)
        return false;
    struct timespec next = deadline_timespec(now_ms + AGAIN_MS);
    pthread_mutex_lock(&l->lock);
    atomic_fetch_add_explicit(&l->waiting, 1, memory_order_seq_cst);
    pthread_cond_timedwait(&l->left, &l->lock, &next);
    atomic_fetch_sub_explicit(&l->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&l->lock);
    return true;
}

uint32_t logger_enter(struct memory *memory, uint32_t lines)
{
    if (!memory->frames.cold || !memory->cold.log || !log_is_usable(&memory->log))
        return 0;
    uint64_t until_ms = clock_ms() + ENTER_MS;
    while (!reserve(memory, lines))
        if (logged_put_some(&memory->cold) == 0 && !await_leaving(memory, until_ms))
            return 0;
    if (is_full(memory))
        wake(memory);
    return lines;
}

void logger_leave(struct memory *memory, uint32_t entered)
{
    struct logger *l = &memory->logger;
    if (!entered)
        return;
    atomic_fetch_sub_explicit(&memory->frames.backed, entered, memory_order_relaxed);
    /* Pairs with await_leaving(): either it is seen to wait, or it sees what was left. */
    if (!atomic_load_explicit(&l->waiting, memory_order_seq_cst))
        return;
    pthread_mutex_lock(&l->lock);
    pthread_cond_broadcast(&l->left);
    pthread_mutex_unlock(&l->lock);
}

static bool is_ending(struct logger *l)
{
    pthread_mutex_lock(&l->lock);
    bool ending = l->ending;
    pthread_mutex_unlock(&l->lock);
    return ending;
}

static void log_lines(struct memory *memory)
{
    if (!is_full(memory))
        return;
    while (!has_enough(memory) && !is_ending(&memory->logger))
        if (logged_put_some(&memory->cold) == 0)
            break;
}

/* ---- back from the log ---- */

/* Room for lines that come back is what nobody else is about to need: a part of which a second copy
   is being made needs some for what is stored meanwhile. */
static bool has_room(struct memory *memory, bool copied)
{
    return frames_available(&memory->frames) >
           memory->frames.size / (copied ? RECALL_SHARE : RECALL_AT_ONCE_SHARE);
}

/* Returns whether all of it is in DRAM. */
static bool recall_lines(struct memory *memory, struct space *space, bool copied)
{
    struct frame frames[FETCH_MAX_LINES];
    struct frame_batch batch;
    uint32_t index = 0, line = 0;
    bool all = true;
    frame_batch_init(&batch, &memory->frames);
    while (index != UINT32_MAX && all && !is_ending(&memory->logger)) {
        uint32_t count = space_adopt(space, &index, &line, frames);
        fault_point("log.recall");
        all = !count ||
              (has_room(memory, copied) && logged_heat(&memory->cold, frames, count, false) == 0);
        for (uint32_t i = 0; i < count; i++) {
            if (all)
                frames_adopt(&memory->frames, frames[i]);
            frame_batch_unpin(&batch, frames[i]);
        }
    }
    frame_batch_flush(&batch);
    return all && index == UINT32_MAX;
}

static void recall(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place;
    if (!space_is_backed(space) || space_place(space, &place) < 0 || place.role != ROLE_PRIMARY ||
        is_ending(&memory->logger))
        return;
    bool copied = place.replica.n || space->replicas < 2;
    if (!has_room(memory, copied))
        return;
    /* First, so that nothing is stored behind its back that may be logged. */
    atomic_store_explicit(&space->backed, false, memory_order_relaxed);
    if (!recall_lines(memory, space, copied))
        atomic_store_explicit(&space->backed, true, memory_order_relaxed);
}

/* ---- a loss ---- */

static void bear_loss(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct space_place place;
    if (space_place(space, &place) < 0 || !space_has_lost_lines(space))
        return;
    if (place.role == ROLE_REPLICA) {
        monitor_log("the replica of %llx is dropped: lines of it were in a log that is lost",
                    (unsigned long long)space->asid.n);
        space_end(space, ASH_NO_SPACE_ID); /* its primary is told by the replicator */
        return;
    }
    pthread_rwlock_wrlock(&space->changing);
    if (space_place(space, &place) == 0) {
        if (place.replica.n && replica_promote(memory, space) == 0) {
            monitor_log("%llx goes to its replica: lines of it were in a log that is lost",
                        (unsigned long long)space->asid.n);
        } else {
            monitor_log("%llx is lost: lines of it were in a log that is lost, and nowhere else",
                        (unsigned long long)space->asid.n);
            space_end(space, ASH_NO_SPACE_ID);
        }
    }
    pthread_rwlock_unlock(&space->changing);
}

/* ---- rounds ---- */

/* Where there may be replicas, others leave them some. */
static void keep_room(struct memory *memory)
{
    struct frames *frames = &memory->frames;
    struct component others[PEERS_MAX];
    bool any = frames_backed(frames) || frames_logged(frames) || peers_up(&memory->peers, others);
    atomic_store_explicit(&frames->keep, any && log_is_usable(&memory->log) ? least_of(memory) : 0,
                          memory_order_relaxed);
}

static void work_once(struct memory *memory)
{
    struct logger *l = &memory->logger;
    if (log_tick(&memory->log)) {
        spaces_each(&memory->spaces, bear_loss, memory);
        memory_wake_replicator(memory);
    }
    keep_room(memory);
    log_lines(memory);
    for (int i = 0; i < COMPACT_MAX && !is_ending(l) && logged_compact(&memory->cold); i++)
        ;
    logged_tidy(&memory->cold);
    if (clock_ms() - l->recalled_ms < TICK_MS)
        return;
    spaces_each(&memory->spaces, recall, memory);
    l->recalled_ms = clock_ms();
}

static void *work(void *argument)
{
    struct memory *memory = argument;
    struct logger *l = &memory->logger;
    pthread_mutex_lock(&l->lock);
    while (!l->ending) {
        struct timespec next = deadline_timespec(clock_ms() + TICK_MS);
        if (!atomic_load_explicit(&l->due, memory_order_relaxed))
            pthread_cond_timedwait(&l->wake, &l->lock, &next);
        pthread_mutex_unlock(&l->lock);
        atomic_store_explicit(&l->due, false, memory_order_relaxed);
        work_once(memory);
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int logger_start(struct memory *memory)
{
    struct logger *l = &memory->logger;
    pthread_mutex_init(&l->lock, NULL);
    deadline_cond_init(&l->wake);
    deadline_cond_init(&l->left);
    return -pthread_create(&l->thread, NULL, work, memory);
}

void logger_stop(struct memory *memory)
{
    struct logger *l = &memory->logger;
    pthread_mutex_lock(&l->lock);
    l->ending = true;
    pthread_cond_signal(&l->wake);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    pthread_cond_destroy(&l->left);
    pthread_cond_destroy(&l->wake);
    pthread_mutex_destroy(&l->lock);
}
