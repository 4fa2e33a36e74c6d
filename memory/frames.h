/*
 * The frames of this mComponent: a fixed budget of pages of LINE_SIZE, with reference counts.
 *
 * A frame holds one line's bytes, one page of the storage buffer cache, or one chunk of a line
 * table. Who holds a frame holds a reference; who uses its bytes while others may hold it, too, a
 * pin. A frame with more than one reference, or with a pin of another, is never written to: that is
 * what copy-on-write and sending without a copy rest on.
 *
 * A line's frame may be cold (cold.h): then the host has no page behind it, and its bytes are in
 * the cold store or, beyond the budget, in the log (log.h), at its location. One that is pinned
 * does not become cold; who pins a cold one owes cold_heat() before it looks at the bytes. All that
 * is asked of a hot one is in the word that the pin changes.
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

/* Who asks: the last frames are kept back, so that the cache and the tables can always work, and
   some for replicas whose lines go to the log. */
enum frame_use {
    FRAME_FOR_LINE,
    FRAME_FOR_REPLICA,
    FRAME_FOR_TABLE,
    FRAME_FOR_CACHE,
};

/* A frame's word: its references and pins, and beside these what it is. Of a free frame: the one
   below it in its list. */
#define FRAME_REF     1ull
#define FRAME_PIN     (1ull << 32)
#define FRAME_LINE    (1ull << 56) /* it holds a line, and may become cold */
#define FRAME_USED    (1ull << 57) /* it was fetched or written since the cooler came by */
#define FRAME_COOLING (1ull << 58) /* the cooler, which has a pin, reads it */
#define FRAME_COLD    (1ull << 59)
#define FRAME_HARD    (1ull << 60) /* what it holds does not get small */
#define FRAME_LOGGED  (1ull << 61) /* beside COLD: its bytes are in the log */
#define FRAME_BACKED  (1ull << 62) /* a replica's: its bytes may go to the log */
#define FRAME_PINS    (FRAME_LINE - FRAME_PIN)
#define FRAME_COUNTS  (FRAME_LINE - 1)

struct cold;

struct frames {
    /* Never change after frames_init(): */
    uint8_t *memory; /* (count + 1) pages; frame 0's is never touched */
    _Atomic uint64_t *words;
    _Atomic uint32_t *locations; /* of a cold frame: its slot in the store, or in the log */
    uint32_t count, reserve;     /* count: the highest number */
    uint32_t size;               /* how many may be in use and not logged */
    uint32_t (*reclaim)(void *self, uint32_t want);
    void *reclaim_self;
    uint32_t dram;     /* pages that may be behind frames; count, but with a cold store */
    struct cold *cold; /* NULL: no frame becomes cold */

    /* Free frames: the host has a page behind a warm one, none behind a bare one. A list head is
       the frame's number and, above it, a tag that every change increments. */
    _Alignas(64) _Atomic uint64_t warm;
    _Alignas(64) _Atomic uint64_t bare;
    _Alignas(64) _Atomic uint32_t fresh; /* frames above this one were never used */
    _Atomic uint32_t warm_count;
    _Atomic uint32_t in_use, cached, cooled;
    _Atomic uint32_t logged;  /* of those cooled */
    _Atomic uint32_t backed;  /* BACKED ones that are hot, and what is reserved for such */
    _Atomic uint32_t keep;    /* for BACKED ones: what others leave them */
    _Atomic int64_t promised; /* to lines that are not stored yet */
};

/* Reserves size_bytes of address space (rounded down to frames); pages come with their first use.
 */
int frames_init(struct frames *frames, uint64_t size_bytes) __attribute__((warn_unused_result));
/* The same with numbers for logged_bytes more, in the log. */
int frames_init_logged(struct frames *frames, uint64_t size_bytes, uint64_t logged_bytes)
    __attribute__((warn_unused_result));
void frames_free(struct frames *frames);

/*
 * Called when frames are short, with no lock of this module held: gives back up to `want` frames
 * and returns how many. Set before the first frames_take().
 */
void frames_set_reclaim(struct frames *frames, uint32_t (*reclaim)(void *self, uint32_t want),
                        void *self);

/* From now on lines' frames may become cold, and at most `dram` pages be behind frames and in the
   store, but for `reserve` more and what is pinned. Before the first frames_take(). */
void frames_set_cold(struct frames *frames, struct cold *cold, uint32_t dram);

/* Takes up to `want` frames, each with one reference and any content. Returns how many. */
uint32_t frames_take(struct frames *frames, enum frame_use use, struct frame *out, uint32_t want)
    __attribute__((warn_unused_result));

/* The line's bytes are in it: from now on it may become cold, at the first occasion where nobody
   is expected to use it; and be logged, where it is `backed`. The caller has the only reference. */
static inline void frames_fill(struct frames *frames, struct frame frame, bool used, bool backed)
{
    atomic_store_explicit(&frames->words[frame.n],
                          FRAME_REF | FRAME_LINE | (used ? FRAME_USED : 0) |
                              (backed ? FRAME_BACKED : 0),
                          memory_order_release);
    if (backed)
        atomic_fetch_add_explicit(&frames->backed, 1, memory_order_relaxed);
}

/* A frame is to be logged no more. What is logged stays so until it is heated. */
void frames_adopt(struct frames *frames, struct frame frame);

/* Frames that line data may still take, those of the cache included. */
uint32_t frames_available(const struct frames *frames);

/* Frames that replicas' lines may still take. */
uint32_t frames_replica_room(const struct frames *frames);

/* Pages of DRAM that lines may still take, those of the cache included. */
uint32_t frames_room(const struct frames *frames);
/* Gives pages behind free frames back to the host where there are more than `dram` in all. */
void frames_trim(struct frames *frames);

/* Promises `change` frames more to lines that are going to be stored. */
static inline void frames_promise(struct frames *frames, int64_t change)
{
    atomic_fetch_add_explicit(&frames->promised, change, memory_order_relaxed);
}

/* Frames that are available and promised to nobody. */
uint32_t frames_unpromised(const struct frames *frames);

/* Frames held by address spaces: all in use but the cache's and logged ones. */
uint32_t frames_used(const struct frames *frames);

static inline uint32_t frames_logged(const struct frames *frames)
{
    return atomic_load_explicit(&frames->logged, memory_order_relaxed);
}
static inline uint32_t frames_backed(const struct frames *frames)
{
    return atomic_load_explicit(&frames->backed, memory_order_relaxed);
}

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
    atomic_fetch_add_explicit(&frames->words[frame.n], FRAME_REF, memory_order_relaxed);
}

/*
 * Pins a frame that is kept by a reference or a lock; it then lives until frame_batch_unpin().
 * False: it is cold, and cold_heat() is owed. Acquire: pairs with the release in cold_heat().
 */
static inline bool frames_pin(struct frames *frames, struct frame frame)
{
    return !(atomic_fetch_add_explicit(&frames->words[frame.n], FRAME_PIN, memory_order_acquire) &
             FRAME_COLD);
}

/* The same for who uses the line: it was used last now. */
static inline bool frames_pin_used(struct frames *frames, struct frame frame)
{
    uint64_t word =
        atomic_fetch_add_explicit(&frames->words[frame.n], FRAME_PIN, memory_order_acquire);
    if (!(word & FRAME_USED))
        atomic_fetch_or_explicit(&frames->words[frame.n], FRAME_USED, memory_order_relaxed);
    return !(word & FRAME_COLD);
}

/* Whether the caller's reference is the only one; pairs with the release in frame_batch_drop(). */
static inline bool frames_exclusive(const struct frames *frames, struct frame frame)
{
    return (atomic_load_explicit(&frames->words[frame.n], memory_order_acquire) & FRAME_COUNTS) ==
           FRAME_REF;
}

/*
 * Pins a line's frame to be overwritten: only where the caller's reference is the only one, nobody
 * but the cooler, whose work is then void, has a pin, and where there is a page for it. The caller
 * keeps others from pinning it. It holds what it did until frames_empty().
 */
bool frames_pin_alone(struct frames *frames, struct frame frame);
/* Makes such a frame hot; where it was cold, it holds anything. */
void frames_empty(struct frames *frames, struct frame frame);

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
/* Drops a pin; with the last one of a frame without references the frame is freed. */
void frame_batch_unpin(struct frame_batch *batch, struct frame frame);
/* Gives them back. Owed before the batch goes out of scope. */
void frame_batch_flush(struct frame_batch *batch);

#endif
