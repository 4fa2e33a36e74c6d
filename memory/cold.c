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
#include <sys/mman.h>

#include "clock.h"
#include "deadline.h"

enum {
    HAND_STEP = 64,      /* frames that a thread looks at before another may */
    COOL_BATCH = 64,     /* frames cooled at a time */
    COOLER_MS = 50,      /* how often the cooler looks */
    COOLER_REST = 20,    /* times that it does not after it found nothing */
    ROOM_LOW_SHARE = 16, /* of the pages: with fewer free ones it begins, */
    ROOM_HIGH_SHARE = 8, /* with as many it stops */
};

int cold_init(struct cold *cold, struct frames *frames, uint64_t dram_bytes)
{
    uint64_t dram = dram_bytes / LINE_SIZE;
    if (dram < 2ull * frames->reserve || dram > frames->count)
        return -EINVAL;
    *cold = (struct cold){.frames = frames};
    int rc = packed_init(&cold->packed, dram_bytes);
    if (rc < 0)
        return rc;
    for (int i = 0; i < COLD_LOCKS; i++)
        pthread_mutex_init(&cold->locks[i], NULL);
    frames_set_cold(frames, cold, (uint32_t)dram);
    return 0;
}

void cold_free(struct cold *cold)
{
    for (int i = 0; i < COLD_LOCKS; i++)
        pthread_mutex_destroy(&cold->locks[i]);
    packed_free(&cold->packed);
}

static pthread_mutex_t *lock_of(struct cold *cold, struct frame frame)
{
    return &cold->locks[frame.n % COLD_LOCKS];
}

/* ---- cooling ---- */

/* Pins a frame that is to be cooled: one that is not used, and by nobody now. */
static bool begin(struct frames *frames, struct frame frame)
{
    _Atomic uint64_t *word = &frames->words[frame.n];
    uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
    if (!(old & FRAME_LINE) || old & (FRAME_PINS | FRAME_COLD | FRAME_HARD) ||
        !(old & FRAME_COUNTS))
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
   the caller's pin is the only one, if that is asked for. */
static bool end(struct frames *frames, struct frame frame, uint64_t instead, bool alone)
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
    return true;
}

static bool become_cold(struct cold *cold, struct frame frame, uint32_t slot)
{
    struct frames *frames = cold->frames;
    pthread_mutex_lock(lock_of(cold, frame));
    bool ok = end(frames, frame, FRAME_COLD, true);
    if (ok) {
        /* Before the pin is dropped, which releases it to who frees the frame. */
        atomic_store_explicit(&frames->locations[frame.n], slot, memory_order_relaxed);
        atomic_fetch_add_explicit(&frames->cooled, 1, memory_order_relaxed);
        madvise(frames_data(frames, frame), LINE_SIZE, MADV_DONTNEED);
    }
    pthread_mutex_unlock(lock_of(cold, frame));
    return ok;
}

static bool cool_one(struct cold *cold, struct frame frame, struct frame_batch *batch)
{
    struct frames *frames = cold->frames;
    if (!begin(frames, frame))
        return false;
    uint32_t slot = packed_put(&cold->packed, frames_data(frames, frame));
    bool put = slot != PACKED_NONE && slot != PACKED_HARD;
    bool cooled = put && become_cold(cold, frame, slot);
    if (!cooled)
        (void)end(frames, frame, slot == PACKED_HARD ? FRAME_HARD : 0, false);
    if (put && !cooled)
        packed_drop(&cold->packed, slot);
    frame_batch_unpin(batch, frame);
    return cooled;
}

/* Twice round: the first time all may be marked as used. */
uint32_t cold_cool(struct cold *cold, uint32_t want)
{
    struct frames *frames = cold->frames;
    struct frame_batch batch;
    uint32_t last = atomic_load_explicit(&frames->fresh, memory_order_relaxed);
    uint32_t steps = 2 * (last / HAND_STEP + 1), done = 0;
    frame_batch_init(&batch, frames);
    for (uint32_t i = 0; i < steps && done < want; i++) {
        uint32_t step = atomic_fetch_add_explicit(&cold->hand, 1, memory_order_relaxed);
        uint32_t n = 1 + step % (last / HAND_STEP + 1) * HAND_STEP;
        for (uint32_t end = n + HAND_STEP; n < end && n <= last; n++)
            done += cool_one(cold, (struct frame){n}, &batch);
    }
    frame_batch_flush(&batch);
    frames_trim(frames);
    atomic_store_explicit(&cold->stuck, done == 0, memory_order_relaxed);
    return done;
}

/* ---- heating ---- */

/* `line` NULL: the bytes are not wanted. */
static int heat(struct cold *cold, struct frame frame, uint8_t *line)
{
    struct frames *frames = cold->frames;
    int rc = 0;
    pthread_mutex_lock(lock_of(cold, frame));
    if (atomic_load_explicit(&frames->words[frame.n], memory_order_relaxed) & FRAME_COLD) {
        uint32_t slot = atomic_load_explicit(&frames->locations[frame.n], memory_order_relaxed);
        if (line)
            rc = packed_get(&cold->packed, slot, line);
        if (rc == 0) {
            /* Release: the bytes come before it, for who pins the frame and finds it hot. */
            atomic_fetch_and_explicit(&frames->words[frame.n], ~FRAME_COLD, memory_order_release);
            atomic_fetch_sub_explicit(&frames->cooled, 1, memory_order_relaxed);
            packed_drop(&cold->packed, slot);
        }
    }
    pthread_mutex_unlock(lock_of(cold, frame));
    return rc;
}

int cold_heat(struct cold *cold, struct frame frame)
{
    if (frames_room(cold->frames) == 0)
        (void)cold_cool(cold, COOL_BATCH);
    return heat(cold, frame, frames_data(cold->frames, frame));
}

void cold_heat_empty(struct cold *cold, struct frame frame)
{
    (void)heat(cold, frame, NULL);
}

void cold_forget(struct cold *cold, struct frame frame)
{
    packed_drop(&cold->packed,
                atomic_load_explicit(&cold->frames->locations[frame.n], memory_order_relaxed));
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
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&cold->cooler_lock, NULL);
    pthread_cond_init(&cold->cooler_wake, &attr);
    pthread_condattr_destroy(&attr);
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
