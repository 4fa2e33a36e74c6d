/*
 * Cold frames.
 *
 * A frame is cooled in three steps, in which others may fetch and free it:
 *  1. where it has no pin, one compare-and-swap pins it and marks it COOLING;
 *  2. its bytes, which nobody changes, are put into the store;
 *  3. where the cooler's pin is still the only one and the mark is there, another makes it COLD;
 * its page is given back, and the pin dropped. Else it stays hot, and the store's copy is dropped.
 * So who pins a frame and finds it hot may use it at once: step 3 fails. Who overwrites it takes
 * the mark away, which voids a copy that was made before. Who pins a cold one takes the frame's
 * lock, under which step 3 was made, and reads it back; as long as it is COLD nobody else looks at
 * its page.
 *
 * A line that does not get small is marked HARD and not tried again: what a frame holds changes
 * only where it is overwritten.
 *
 * Cost: nothing for hot frames beyond the word that a pin changes anyway; some 10 us for a line
 * that is cooled (lz4, one madvise), less for one that is heated (a fault, lz4).
 */
#include "cold.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "deadline.h"
#include "logged.h"

enum {
    HAND_STEP = 64,      /* frames that a thread looks at before another may */
    COOL_BATCH = 64,     /* frames cooled at a time */
    COOLER_MS = 50,      /* how often the cooler looks */
    COOLER_REST = 20,    /* times that it does not after it found nothing */
    ROOM_LOW_SHARE = 16, /* of the pages: with fewer free ones it begins, */
    ROOM_HIGH_SHARE = 8, /* with as many it stops */
};

int cold_init(struct cold *cold, struct frames *frames, uint64_t dram_bytes, bool packs,
              struct log *log)
{
    uint64_t dram = dram_bytes / LINE_SIZE;
    if (dram < 2ull * frames->reserve || dram > frames->size)
        return -EINVAL;
    *cold = (struct cold){.frames = frames, .packs = packs, .log = log};
    int rc = packs ? packed_init(&cold->packed, dram_bytes) : 0;
    if (rc < 0)
        return rc;
    for (int i = 0; i < COLD_LOCKS; i++)
        pthread_mutex_init(&cold->locks[i], NULL);
    pthread_mutex_init(&cold->log_writer, NULL);
    frames_set_cold(frames, cold, (uint32_t)dram);
    return 0;
}

void cold_free(struct cold *cold)
{
    for (int i = 0; i < COLD_LOCKS; i++)
        pthread_mutex_destroy(&cold->locks[i]);
    pthread_mutex_destroy(&cold->log_writer);
    if (cold->packs)
        packed_free(&cold->packed);
}

/* ---- cooling ---- */

bool cold_begin(struct frames *frames, struct frame frame, uint64_t not )
{
    _Atomic uint64_t *word = &frames->words[frame.n];
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    if (!(old & FRAME_LINE) || old & (FRAME_PINS | FRAME_COLD | not ) || !(old & FRAME_COUNTS))
        return false;
    if (old & FRAME_USED) {
        atomic_fetch_and_explicit(word, ~FRAME_USED, memory_order_relaxed);
        return false;
    }
    /* Acquire: pairs with frames_fill() and with the unpinning of who overwrote it. */
    return atomic_compare_exchange_strong_explicit(word, &old, (old | FRAME_COOLING) + FRAME_PIN,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Takes the mark away, and says so in `instead`, unless who overwrites the frame has. True where
   the caller's pin is the only one, if that is asked for; then *was is the word before. */
static bool end(struct frames *frames, struct frame frame, uint64_t instead, bool alone,
                uint64_t *was)
{
    _Atomic uint64_t *word = &frames->words[frame.n];
    uint64_t old = atomic_load_explicit(word, memory_order_acquire);
    do {
        if (!(old & FRAME_COOLING))
            return false;
        if (alone && (old & FRAME_PINS) != FRAME_PIN)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(word, &old, (old & ~FRAME_COOLING) | instead,
                                                    memory_order_acq_rel, memory_order_acquire));
    *was = old;
    return true;
}

void cold_end(struct frames *frames, struct frame frame, uint64_t instead)
{
    uint64_t was;
    (void)end(frames, frame, instead, false, &was);
}

bool cold_become_cold(struct cold *cold, struct frame frame, uint32_t slot, uint64_t kind)
{
    struct frames *frames = cold->frames;
    uint64_t was;
    pthread_mutex_lock(cold_lock_of(cold, frame));
    bool ok = end(frames, frame, FRAME_COLD | kind, true, &was);
    if (ok) {
        /* Before the pin is dropped, which releases it to who frees the frame. */
        atomic_store_explicit(&frames->locations[frame.n], slot, memory_order_relaxed);
        atomic_fetch_add_explicit(&frames->cooled, 1, memory_order_relaxed);
        if (kind)
            atomic_fetch_add_explicit(&frames->logged, 1, memory_order_relaxed);
        if (was & FRAME_BACKED)
            atomic_fetch_sub_explicit(&frames->backed, 1, memory_order_relaxed);
        madvise(frames_data(frames, frame), LINE_SIZE, MADV_DONTNEED);
    }
    pthread_mutex_unlock(cold_lock_of(cold, frame));
    return ok;
}

static bool cool_one(struct cold *cold, struct frame frame, uint64_t not, struct frame_batch *batch)
{
    struct frames *frames = cold->frames;
    if (!cold_begin(frames, frame, not ))
        return false;
    uint32_t slot = packed_put(&cold->packed, frames_data(frames, frame));
    bool put = slot != PACKED_NONE && slot != PACKED_HARD;
    bool cooled = put && cold_become_cold(cold, frame, slot, 0);
    if (!cooled)
        cold_end(frames, frame, slot == PACKED_HARD ? FRAME_HARD : 0);
    if (put && !cooled)
        packed_drop(&cold->packed, slot);
    frame_batch_unpin(batch, frame);
    return cooled;
}

/* Twice round: the first time all may be marked as used. What may be logged is left to the log. */
uint32_t cold_cool(struct cold *cold, uint32_t want)
{
    struct frames *frames = cold->frames;
    struct frame_batch batch;
    if (!cold->packs)
        return 0;
    uint32_t last = atomic_load_explicit(&frames->fresh, memory_order_relaxed);
    uint32_t steps = 2 * (last / HAND_STEP + 1), done = 0;
    uint64_t not = FRAME_HARD | (cold->log && log_is_usable(cold->log) ? FRAME_BACKED : 0);
    frame_batch_init(&batch, frames);
    for (uint32_t i = 0; i < steps && done < want; i++) {
        uint32_t step = atomic_fetch_add_explicit(&cold->hand, 1, memory_order_relaxed);
        uint32_t n = 1 + step % (last / HAND_STEP + 1) * HAND_STEP;
        for (uint32_t end = n + HAND_STEP; n < end && n <= last; n++)
            done += cool_one(cold, (struct frame){n}, not, &batch);
    }
    frame_batch_flush(&batch);
    frames_trim(frames);
    atomic_store_explicit(&cold->stuck, done == 0, memory_order_relaxed);
    return done;
}

/* ---- heating ---- */

static void drop_slot(struct cold *cold, uint32_t slot, uint64_t word)
{
    if (word & FRAME_LOGGED)
        log_drop(cold->log, slot);
    else
        packed_drop(&cold->packed, slot);
}

static void count_out(struct frames *frames, uint64_t word)
{
    atomic_fetch_sub_explicit(&frames->cooled, 1, memory_order_relaxed);
    if (word & FRAME_LOGGED)
        atomic_fetch_sub_explicit(&frames->logged, 1, memory_order_relaxed);
}

void cold_become_hot(struct cold *cold, struct frame frame)
{
    struct frames *frames = cold->frames;
    uint32_t slot = atomic_load_explicit(&frames->locations[frame.n], memory_order_relaxed);
    /* Release: the bytes come before it, for who pins the frame and finds it hot. */
    uint64_t old = atomic_fetch_and_explicit(&frames->words[frame.n], ~(FRAME_COLD | FRAME_LOGGED),
                                             memory_order_release);
    count_out(frames, old);
    if (old & FRAME_BACKED)
        atomic_fetch_add_explicit(&frames->backed, 1, memory_order_relaxed);
    drop_slot(cold, slot, old);
}

static uint64_t word_of(const struct cold *cold, struct frame frame)
{
    return atomic_load_explicit(&cold->frames->words[frame.n], memory_order_relaxed);
}

static uint32_t location_of(const struct cold *cold, struct frame frame)
{
    return atomic_load_explicit(&cold->frames->locations[frame.n], memory_order_relaxed);
}

/* Of one that is not logged; one that is says -EAGAIN. */
static int unpack(struct cold *cold, struct frame frame, uint8_t *line, bool stays)
{
    int rc = 0;
    pthread_mutex_lock(cold_lock_of(cold, frame));
    uint64_t word = word_of(cold, frame);
    if (word & FRAME_LOGGED)
        rc = -EAGAIN;
    else if (word & FRAME_COLD)
        rc = packed_get(&cold->packed, location_of(cold, frame), line);
    else if (stays)
        memcpy(line, frames_data(cold->frames, frame), LINE_SIZE);
    if (rc == 0 && word & FRAME_COLD && !stays)
        cold_become_hot(cold, frame);
    pthread_mutex_unlock(cold_lock_of(cold, frame));
    return rc;
}

int cold_heat(struct cold *cold, struct frame frame)
{
    int rc;
    if (frames_room(cold->frames) == 0)
        (void)cold_cool(cold, COOL_BATCH);
    while ((rc = unpack(cold, frame, frames_data(cold->frames, frame), false)) == -EAGAIN) {
        rc = logged_heat(cold, &frame, 1, true);
        if (rc < 0)
            return rc;
    }
    return rc;
}

int cold_read(struct cold *cold, struct frame frame, uint8_t *line)
{
    int rc;
    while ((rc = unpack(cold, frame, line, true)) == -EAGAIN) {
        rc = logged_read(cold, &frame, 1, line);
        if (rc <= 0)
            return rc;
    }
    return rc;
}

void cold_heat_empty(struct cold *cold, struct frame frame)
{
    pthread_mutex_lock(cold_lock_of(cold, frame));
    if (word_of(cold, frame) & FRAME_COLD)
        cold_become_hot(cold, frame);
    pthread_mutex_unlock(cold_lock_of(cold, frame));
}

void cold_forget(struct cold *cold, struct frame frame)
{
    /* Under the lock, as the log may be moving it to another slot. */
    pthread_mutex_lock(cold_lock_of(cold, frame));
    uint64_t word = word_of(cold, frame);
    uint32_t slot = location_of(cold, frame);
    atomic_store_explicit(&cold->frames->words[frame.n], 0, memory_order_relaxed);
    pthread_mutex_unlock(cold_lock_of(cold, frame));
    count_out(cold->frames, word);
    drop_slot(cold, slot, word);
}

/* ---- the cooler ---- */

/* False where there was nothing that could be cooled. */
static bool keep_room(struct cold *cold)
{
    const struct frames *frames = cold->frames;
    bool some = true;
    if (frames_room(frames) >= frames->dram / ROOM_HIGH_SHARE)
        atomic_store_explicit(&cold->stuck, false, memory_order_relaxed);
    if (frames_room(frames) < frames->dram / ROOM_LOW_SHARE)
        while (some && frames_room(frames) < frames->dram / ROOM_HIGH_SHARE)
            some = cold_cool(cold, COOL_BATCH) != 0;
    return some;
}

static void *cooler(void *argument)
{
    struct cold *cold = argument;
    unsigned rest = 0;
    pthread_mutex_lock(&cold->cooler_lock);
    while (!cold->ending) {
        struct timespec next = deadline_timespec(clock_ms() + COOLER_MS);
        pthread_cond_timedwait(&cold->cooler_wake, &cold->cooler_lock, &next);
        pthread_mutex_unlock(&cold->cooler_lock);
        if (rest)
            rest--;
        else if (!keep_room(cold))
            rest = COOLER_REST;
        pthread_mutex_lock(&cold->cooler_lock);
    }
    pthread_mutex_unlock(&cold->cooler_lock);
    return NULL;
}

int cold_start(struct cold *cold)
{
    pthread_mutex_init(&cold->cooler_lock, NULL);
    deadline_cond_init(&cold->cooler_wake);
    return -pthread_create(&cold->cooler, NULL, cooler, cold);
}

void cold_stop(struct cold *cold)
{
    pthread_mutex_lock(&cold->cooler_lock);
    cold->ending = true;
    pthread_cond_signal(&cold->cooler_wake);
    pthread_mutex_unlock(&cold->cooler_lock);
    pthread_join(cold->cooler, NULL);
    pthread_cond_destroy(&cold->cooler_wake);
    pthread_mutex_destroy(&cold->cooler_lock);
}
