/*
 * Cold frames: lines that were not used for long give their pages to others.
 *
 * What a cold frame holds is in the store (packed.h), and nothing is behind it. Its number, and so
 * every reference to it, stays; so lines that clones share stay shared. A clock's hand over the
 * frames chooses: one that was used since it last came by is passed over once.
 *
 * There are two kinds: lines that are compressed, in DRAM, and those of replicas that are in the
 * log (logged.h).
 */
#ifndef ASHLAR_MEMORY_COLD_H
#define ASHLAR_MEMORY_COLD_H

#include "frames.h"
#include "log.h"
#include "packed.h"

enum { COLD_LOCKS = 64 };

struct cold {
    struct frames *frames; /* never changes */
    struct packed packed;
    bool packs;      /* lines are compressed; never changes, as the next one */
    struct log *log; /* NULL: there is none */
    _Atomic uint32_t hand;
    pthread_mutex_t log_writer; /* held over writing to the log */
    _Atomic uint32_t log_hand;  /* of who does */
    atomic_bool stuck;          /* last time there was nothing to cool, and little room since */
    pthread_mutex_t locks[COLD_LOCKS]; /* of frames that become cold or hot, by number */

    pthread_t cooler; /* never changes */
    pthread_mutex_t cooler_lock;
    pthread_cond_t cooler_wake;
    bool ending; /* protected by cooler_lock */
};

/* Lets `frames` keep within dram_bytes, by compression where `packs`. `log` may be NULL. Before the
   first frame is taken. */
int cold_init(struct cold *cold, struct frames *frames, uint64_t dram_bytes, bool packs,
              struct log *log) __attribute__((warn_unused_result));
/* When all frames are free. */
void cold_free(struct cold *cold);

/* The cooler, a thread that keeps some pages free, so that who stores lines need not. */
int cold_start(struct cold *cold) __attribute__((warn_unused_result));
void cold_stop(struct cold *cold);

/* Makes up to `want` frames cold and returns how many; 0: none can be. No lock of a frame's is
   held. */
uint32_t cold_cool(struct cold *cold, uint32_t want);

/* Makes a frame hot that the caller has pinned. -EIO, ASH_LOST: its bytes are lost. */
int cold_heat(struct cold *cold, struct frame frame) __attribute__((warn_unused_result));
/* The bytes of such a frame, which stays as it is. */
int cold_read(struct cold *cold, struct frame frame, uint8_t *line)
    __attribute__((warn_unused_result));
/* The same for who is going to overwrite it and is alone with it: it may hold anything then. */
void cold_heat_empty(struct cold *cold, struct frame frame);

/* Drops what the store has of a cold frame that nobody refers to. */
void cold_forget(struct cold *cold, struct frame frame);

/* ---- for logged.c ---- */

static inline pthread_mutex_t *cold_lock_of(struct cold *cold, struct frame frame)
{
    return &cold->locks[frame.n % COLD_LOCKS];
}
/* Where the word has none of the flags `not`, and the frame has a reference, no pin, and was not
   used since a hand came by: pins it and marks it COOLING. */
bool cold_begin(struct frames *frames, struct frame frame, uint64_t not );
/* Makes it cold, its bytes being in that slot of the store (`kind` 0) or of the log (FRAME_LOGGED),
   if they still are and nobody else has a pin. The pin stays. */
bool cold_become_cold(struct cold *cold, struct frame frame, uint32_t slot, uint64_t kind);
/* Takes the mark away, with no such end. */
void cold_end(struct frames *frames, struct frame frame, uint64_t instead);
/* Makes a cold frame hot, whose bytes are in its page. The frame's lock is held. */
void cold_become_hot(struct cold *cold, struct frame frame);

static inline uint32_t cold_pages(const struct cold *cold)
{
    return cold->packs ? packed_pages(&cold->packed) : 0;
}

static inline bool cold_is_stuck(const struct cold *cold)
{
    return atomic_load_explicit(&cold->stuck, memory_order_relaxed);
}

#endif
