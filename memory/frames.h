/*
 * The frames of this mComponent: a fixed budget of pages of LINE_SIZE, with reference counts.
 *
 * A frame holds one line's bytes, one page of the storage buffer cache, or one chunk of a line
 * table. Who holds a frame holds a reference. A frame with more than one reference is never
 * written to: that is what copy-on-write and sending without a copy rest on.
 */
#ifndef ASHLAR_MEMORY_FRAMES_H
#define ASHLAR_MEMORY_FRAMES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

/* A frame's number; 0 is none. */
struct frame {
    uint32_t n;
};

/* Who asks: the last frames are kept back, so that the cache and the tables can always work. */
enum frame_use {
    FRAME_FOR_LINE,
    FRAME_FOR_TABLE,
    FRAME_FOR_CACHE,
};

struct frames {
    /* Never change after frames_init(): */
    uint8_t *memory; /* (count + 1) pages; frame 0's is never touched */
    _Atomic uint32_t *refs;
    _Atomic uint32_t *next; /* of a free frame: the one below it in its list */
    uint32_t count, reserve;
    uint32_t (*reclaim)(void *self, uint32_t want);
    void *reclaim_self;

    /* Free frames: the host has a page behind a warm one, none behind a cold one. A list head is
       the frame's number and, above it, a tag that every change increments. */
    _Alignas(64) _Atomic uint64_t warm;
    _Alignas(64) _Atomic uint64_t cold;
    _Alignas(64) _Atomic uint32_t fresh; /* frames above this one were never used */
    _Atomic uint32_t warm_count;
    _Atomic uint32_t in_use, cached;
};

/* Reserves size_bytes of address space (rounded down to frames); pages come with their first use.
 */
int frames_init(struct frames *frames, uint64_t size_bytes) __attribute__((warn_unused_result));
void frames_free(struct frames *frames);

/*
 * Called when frames are short, with no lock of this module held: gives back up to `want` frames
 * and returns how many. Set before the first frames_take().
 */
void frames_set_reclaim(struct frames *frames, uint32_t (*reclaim)(void *self, uint32_t want),
                        void *self);

/* Takes up to `want` frames, each with one reference and any content. Returns how many. */
uint32_t frames_take(struct frames *frames, enum frame_use use, struct frame *out, uint32_t want)
    __attribute__((warn_unused_result));

/* Frames that line data may still take, those of the cache included. */
uint32_t frames_available(const struct frames *frames);

/* Frames held by address spaces: all in use but the cache's. */
uint32_t frames_used(const struct frames *frames);

static inline uint32_t frames_cached(const struct frames *frames)
{
    return atomic_load_explicit(&frames->cached, memory_order_relaxed);
}
/* Tells that `change` frames more belong to the cache. */
void frames_count_cached(struct frames *frames, int change);

static inline void *frames_data(const struct frames *frames, struct frame frame)
{
    return frames->memory + (uint64_t)frame.n * LINE_SIZE;
}

/* The caller's existing reference makes the count at least 1, so no order is needed. */
static inline void frames_ref(struct frames *frames, struct frame frame)
{
    atomic_fetch_add_explicit(&frames->refs[frame.n], 1, memory_order_relaxed);
}

/* Whether the caller's reference is the only one; pairs with the release in frame_batch_drop(). */
static inline bool frames_exclusive(const struct frames *frames, struct frame frame)
{
    return atomic_load_explicit(&frames->refs[frame.n], memory_order_acquire) == 1;
}

/* Frames on their way back to the free lists, many at a time. Used by one thread. */
enum { FRAME_BATCH = 512 };
struct frame_batch {
    struct frames *frames;
    uint32_t count;
    uint32_t freed[FRAME_BATCH];
};

static inline void frame_batch_init(struct frame_batch *batch, struct frames *frames)
{
    batch->frames = frames;
    batch->count = 0;
}
/* Drops a reference; the last one frees the frame. True where it was the last. */
bool frame_batch_drop(struct frame_batch *batch, struct frame frame);
/* The same in two steps, for a frame whose content names further references. */
bool frame_batch_unref(struct frame_batch *batch, struct frame frame);
void frame_batch_add(struct frame_batch *batch, struct frame frame);
/* Gives them back. Owed before the batch goes out of scope. */
void frame_batch_flush(struct frame_batch *batch);

#endif
