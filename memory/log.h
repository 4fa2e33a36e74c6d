/*
 * The log of this mComponent: lines of replicas, at an sComponent.
 *
 * Lines are written many at a time, one after the other, into segments; each has a slot, which is
 * its own until it is dropped. A segment of which no slot is left is written to again. What is read
 * is checked: a line comes back as it was written, or not at all.
 *
 * An sComponent that does not answer is asked again for LOG_PATIENCE_MS; it may be restarted. Then
 * what is in it is lost, and what is written from then on goes to another one.
 */
#ifndef ASHLAR_MEMORY_LOG_H
#define ASHLAR_MEMORY_LOG_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "limits.h"
#include "types.h"

enum {
    LOG_LINES = 64,       /* in a segment: what is written at a time */
    LOG_STORES = 4,       /* sComponents that have something of it */
    LOG_SLOT_NONE = 0,    /* no slot's number */
    LOG_WASTE = 2,        /* segments are emptied while fewer than 1/2 of the slots are in use */
    LOG_EMPTIED_MAX = 16, /* segments, at a time */
};

/* What it is written to; calls may take LOG_TIMEOUT_MS, and no lock is held over one. */
struct log_io {
    int (*write)(void *self, struct component store, uint64_t offset, const struct iovec *pieces,
                 int count);
    /* Hands what was read to `use`, which may be fewer bytes at the log's end only. */
    int (*read)(void *self, struct component store, uint64_t offset, uint32_t length,
                void (*use)(void *arg, const uint8_t *data, uint32_t size), void *arg);
    /* length 0: all of it */
    int (*discard)(void *self, struct component store, uint64_t offset, uint64_t length);
    /* One that is up, and not among not[0..count); 0: there is none. */
    struct component (*choose)(void *self, const struct component * not, unsigned count);
    /* Whether it is said to be down, and so worth being asked. */
    bool (*is_down)(void *self, struct component store);
    /* Whether an error says that the store was not reached. */
    bool (*unreached)(int rc);
};

enum log_state {
    LOG_UNUSED,
    LOG_GOOD,
    LOG_SILENT, /* it does not answer, since silent_ms */
    LOG_LOST,   /* and is given up */
};

struct log_store {
    struct component id;
    enum log_state state;
    uint64_t silent_ms, asked_ms;
    uint32_t segments; /* that are written to it */
    bool written;      /* something is there that may be discarded */
};

struct log_segment {
    uint32_t next;   /* of free ones */
    uint32_t serial; /* tells what it holds from what it held before */
    uint8_t live;    /* slots in use */
    uint8_t store;
    bool filled; /* it is in use, by slots or by the one writer */
    bool stuck;  /* it could not be emptied */
};

struct log {
    /* Never change after log_init(): */
    const struct log_io *io;
    void *self;
    struct log_segment *segments; /* from 1 on */
    uint32_t segments_max;

    atomic_bool usable; /* there is something to write to; a hint */

    pthread_mutex_t lock;
    /* Protected by lock: */
    struct log_store stores[LOG_STORES];
    unsigned current;       /* the store that is written to */
    uint32_t fresh;         /* segments above this one were never used */
    uint32_t emptied, bare; /* free ones: with something at the store, and without; 0 ends a list */
    uint32_t emptied_count;
    uint32_t filled;   /* segments */
    uint32_t live;     /* slots */
    uint32_t serial;   /* of the segment written last */
    uint64_t pause_ms; /* nothing is written before this: it failed */
    /* The one writer's: */
    uint32_t hand; /* where the next segment to be emptied is looked for */
};

/* A line to write: of which frame, for who empties the segment later. */
struct log_line {
    uint32_t frame;
    const uint8_t *bytes;
};

/* For up to `slots` lines at a time. */
int log_init(struct log *log, const struct log_io *io, void *self, uint32_t slots)
    __attribute__((warn_unused_result));
void log_free(struct log *log);

static inline bool log_is_usable(const struct log *log)
{
    return atomic_load_explicit(&log->usable, memory_order_relaxed);
}

/* ---- of one thread at a time, the writer ---- */

/* Writes up to LOG_LINES lines, which may change meanwhile: then what is kept is either one.
   Negative: nothing was kept. */
int log_put(struct log *log, const struct log_line *lines, uint32_t count, uint32_t *slots)
    __attribute__((warn_unused_result));

/* Segments that are to be emptied into one, LOG_EMPTIED_MAX at most; 0: none need be. */
uint32_t log_wasteful(struct log *log, uint32_t *segments);
/* It could not be emptied, and is not to be named again. */
void log_keep(struct log *log, uint32_t segment);
/* All that was written to a segment: calls `take` for each line that is whole. */
int log_scan(struct log *log, uint32_t segment,
             void (*take)(void *arg, uint32_t slot, uint32_t frame, const uint8_t *line), void *arg)
    __attribute__((warn_unused_result));

/* Discards what is not in use any more, where that can be reached and is much, or all. */
void log_tidy(struct log *log);

/* ---- any thread ---- */

/* Finds out whether there is something to write to: other stores may be there. */
void log_look(struct log *log);
/* Asks stores that are silent, a few times in a second. True: something that was written is lost.
 */
bool log_tick(struct log *log);

/* Where a frame's line is. */
struct log_place {
    uint32_t slot, frame;
};

/*
 * Reads the lines of `count` places, at most FETCH_MAX_LINES, neighbours in one request; `take`
 * gets the index and the bytes of each. -EAGAIN: the store does not answer, just now. -EIO: some
 * are not there as they were written; or their slots have been dropped, and may be other frames'
 * by now. ASH_LOST: they are lost.
 */
int log_get(struct log *log, const struct log_place *places, uint32_t count,
            void (*take)(void *arg, uint32_t index, const uint8_t *line), void *arg)
    __attribute__((warn_unused_result));
void log_drop(struct log *log, uint32_t slot);
bool log_is_lost(struct log *log, uint32_t slot);

#endif
