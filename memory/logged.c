/*
 * See logged.h.
 *
 * A frame is logged in the three steps of cold.c, the second of which is the writing of up to 64.
 * Reading it back takes its lock to look where it is, not to read, and again to make it hot: a pin
 * keeps others from overwriting it meanwhile, so its bytes are the same wherever they are read.
 * Its slot may change meanwhile, as the segment is emptied, and hold another frame's line by then,
 * which a record says; then it is looked for again. Emptying reads a segment whole, writes what is
 * alive again, and changes the slots of those that are where they were.
 */
#include "logged.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "errors.h"
#include "fault.h"

enum {
    HAND_STEP = 64, /* frames */
    ROOM_TRIES = 4, /* to make room for what is read */
    RETRY_MS = 10,  /* while the sComponent does not answer */
    TRIES = 3,      /* of what is not as it was written, and was not moved */
};

/* ---- to the log ---- */

/* The writer's lock is held. */
static uint32_t choose(struct cold *cold, struct log_line *lines)
{
    struct frames *frames = cold->frames;
    uint32_t last = atomic_load_explicit(&frames->fresh, memory_order_relaxed), count = 0;
    uint32_t n = atomic_load_explicit(&cold->log_hand, memory_order_relaxed);
    /* Twice round: the first time all may be marked as used. */
    for (uint64_t i = 0; i < 2ull * last && count < LOG_LINES; i++) {
        n = n < last ? n + 1 : 1;
        uint64_t word = atomic_load_explicit(&frames->words[n], memory_order_relaxed);
        if (!(word & FRAME_BACKED) || !cold_begin(frames, (struct frame){n}, 0))
            continue;
        lines[count++] = (struct log_line){n, frames_data(frames, (struct frame){n})};
    }
    atomic_store_explicit(&cold->log_hand, n, memory_order_relaxed);
    return count;
}

uint32_t logged_put_some(struct cold *cold)
{
    struct log_line lines[LOG_LINES];
    uint32_t slots[LOG_LINES], done = 0;
    struct frame_batch batch;
    pthread_mutex_lock(&cold->log_writer);
    uint32_t count = log_is_usable(cold->log) ? choose(cold, lines) : 0;
    int rc = count ? log_put(cold->log, lines, count, slots) : 0;
    pthread_mutex_unlock(&cold->log_writer);
    if (!count)
        return 0;
    frame_batch_init(&batch, cold->frames);
    for (uint32_t i = 0; i < count; i++) {
        struct frame frame = {lines[i].frame};
        bool logged = rc == 0 && cold_become_cold(cold, frame, slots[i], FRAME_LOGGED);
        if (!logged)
            cold_end(cold->frames, frame, 0);
        if (rc == 0 && !logged)
            log_drop(cold->log, slots[i]);
        frame_batch_unpin(&batch, frame);
        done += logged;
    }
    frame_batch_flush(&batch);
    frames_trim(cold->frames);
    return done;
}

/* ---- from the log ---- */

/* Those of some frames that are logged. */
struct logged {
    struct log_place places[FETCH_MAX_LINES];
    uint16_t which[FETCH_MAX_LINES];
    uint32_t count;
    unsigned tries; /* to read these, of which some were not there as they were written */
};

/* Looks for them, again or, with nothing in it, for the first time. Returns how many there are. */
static uint32_t find_logged(struct cold *cold, const struct frame *frames, uint32_t count,
                            struct logged *logged)
{
    uint32_t found = 0;
    bool same = true;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = frames[i].n;
        pthread_mutex_lock(cold_lock_of(cold, frames[i]));
        if (atomic_load_explicit(&cold->frames->words[n], memory_order_relaxed) & FRAME_LOGGED) {
            uint32_t slot = atomic_load_explicit(&cold->frames->locations[n], memory_order_relaxed);
            same &= found < logged->count && logged->places[found].slot == slot;
            logged->places[found] = (struct log_place){slot, n};
            logged->which[found++] = (uint16_t)i;
        }
        pthread_mutex_unlock(cold_lock_of(cold, frames[i]));
    }
    if (!same || found != logged->count)
        logged->tries = 0;
    logged->count = found;
    return found;
}

struct arrival {
    struct cold *cold;
    const struct frame *frames;
    const uint16_t *which;
    uint8_t *lines; /* where they are to go; NULL: to their frames, which become hot */
};

static void arrive(void *arg, uint32_t index, const uint8_t *line)
{
    struct arrival *a = arg;
    uint32_t i = a->which[index];
    struct frame frame = a->frames[i];
    if (a->lines) {
        memcpy(a->lines + (size_t)i * LINE_SIZE, line, LINE_SIZE);
        return;
    }
    pthread_mutex_lock(cold_lock_of(a->cold, frame));
    if (atomic_load_explicit(&a->cold->frames->words[frame.n], memory_order_relaxed) &
        FRAME_LOGGED) {
        memcpy(frames_data(a->cold->frames, frame), line, LINE_SIZE);
        cold_become_hot(a->cold, frame);
    }
    pthread_mutex_unlock(cold_lock_of(a->cold, frame));
}

/* Whether it is worth trying again. */
static bool wait_or_give_up(int rc, struct logged *logged)
{
    if (rc == -EAGAIN) {
        nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000l}, NULL);
        return true;
    }
    return rc == -EIO && ++logged->tries < TRIES;
}

int logged_heat(struct cold *cold, const struct frame *frames, uint32_t count, bool wait)
{
    struct logged logged;
    struct arrival arrival = {cold, frames, logged.which, NULL};
    logged.count = 0;
    for (int i = 0; i < ROOM_TRIES && frames_room(cold->frames) < count; i++)
        if (logged_put_some(cold) == 0)
            break;
    while (find_logged(cold, frames, count, &logged)) {
        int rc = log_get(cold->log, logged.places, logged.count, arrive, &arrival);
        if (rc == -EAGAIN && !wait)
            return rc;
        if (rc < 0 && !wait_or_give_up(rc, &logged))
            return rc;
    }
    frames_trim(cold->frames);
    return 0;
}

/* One that others make hot meanwhile has arrived all the same, or is counted as not logged. */
int logged_read(struct cold *cold, const struct frame *frames, uint32_t count, uint8_t *lines)
{
    struct logged logged;
    struct arrival arrival = {cold, frames, logged.which, lines};
    logged.count = 0;
    for (;;) {
        uint32_t found = find_logged(cold, frames, count, &logged);
        int rc = found ? log_get(cold->log, logged.places, found, arrive, &arrival) : 0;
        if (rc == 0)
            return (int)(count - found);
        if (!wait_or_give_up(rc, &logged))
            return rc;
    }
}

/* ---- emptying segments ---- */

struct moving {
    struct cold *cold;
    uint8_t *bytes; /* LOG_LINES lines */
    struct log_line lines[LOG_LINES];
    uint32_t from[LOG_LINES], count;
};

/* Whether the frame's bytes are in that slot; then, with `to`, they are in that one from now on. */
static bool is_there(struct cold *cold, uint32_t n, uint32_t slot, uint32_t to)
{
    struct frames *frames = cold->frames;
    if (n == 0 || n > frames->count)
        return false;
    pthread_mutex_lock(cold_lock_of(cold, (struct frame){n}));
    bool there = atomic_load_explicit(&frames->words[n], memory_order_relaxed) & FRAME_LOGGED &&
                 atomic_load_explicit(&frames->locations[n], memory_order_relaxed) == slot;
    if (there && to != LOG_SLOT_NONE)
        atomic_store_explicit(&frames->locations[n], to, memory_order_relaxed);
    pthread_mutex_unlock(cold_lock_of(cold, (struct frame){n}));
    return there;
}

static void gather(void *arg, uint32_t slot, uint32_t frame, const uint8_t *line)
{
    struct moving *m = arg;
    if (m->count == LOG_LINES || !is_there(m->cold, frame, slot, LOG_SLOT_NONE))
        return;
    uint8_t *bytes = m->bytes + (size_t)m->count * LINE_SIZE;
    memcpy(bytes, line, LINE_SIZE);
    m->lines[m->count] = (struct log_line){frame, bytes};
    m->from[m->count++] = slot;
}

/* Writes what was gathered again, and has the frames lie there. */
static int settle(struct moving *m)
{
    uint32_t to[LOG_LINES];
    int rc = log_put(m->cold->log, m->lines, m->count, to);
    fault_point("log.moved");
    for (uint32_t i = 0; i < m->count && rc == 0; i++) {
        bool moved = is_there(m->cold, m->lines[i].frame, m->from[i], to[i]);
        log_drop(m->cold->log, moved ? m->from[i] : to[i]);
    }
    m->count = 0;
    return rc;
}

/* Several segments make one. The writer's lock is held: while they are read and written again,
   nobody writes to one that has become free. */
static bool compact(struct cold *cold)
{
    struct moving m = {.cold = cold};
    uint32_t segments[LOG_EMPTIED_MAX], count = log_wasteful(cold->log, segments);
    int rc = 0;
    if (!count || !(m.bytes = malloc((size_t)LOG_LINES * LINE_SIZE)))
        return false;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint32_t before = m.count;
        rc = log_scan(cold->log, segments[i], gather, &m);
        if (rc == 0 && m.count == before)
            log_keep(cold->log, segments[i]);
    }
    bool moved = rc == 0 && m.count && settle(&m) == 0;
    free(m.bytes);
    return moved;
}

bool logged_compact(struct cold *cold)
{
    pthread_mutex_lock(&cold->log_writer);
    bool moved = compact(cold);
    pthread_mutex_unlock(&cold->log_writer);
    return moved;
}

void logged_tidy(struct cold *cold)
{
    pthread_mutex_lock(&cold->log_writer);
    log_tidy(cold->log);
    pthread_mutex_unlock(&cold->log_writer);
}

bool logged_is_lost(struct cold *cold, struct frame frame)
{
    struct frames *frames = cold->frames;
    if (!(atomic_load_explicit(&frames->words[frame.n], memory_order_relaxed) & FRAME_LOGGED))
        return false;
    pthread_mutex_lock(cold_lock_of(cold, frame));
    bool lost =
        atomic_load_explicit(&frames->words[frame.n], memory_order_relaxed) & FRAME_LOGGED &&
        log_is_lost(cold->log,
                    atomic_load_explicit(&frames->locations[frame.n], memory_order_relaxed));
    pthread_mutex_unlock(cold_lock_of(cold, frame));
    return lost;
}
