/*
 * Slots: the right to keep a line resident. The insides of the ExCache, shared by its files.
 *
 * Slot numbers run from 1 to `budget`; 0 is none. A slot is free, on the resident list (in the
 * order in which the policy wants lines to leave), or in a batch on its way out.
 */
#ifndef ASHLAR_KERNEL_SLOTS_H
#define ASHLAR_KERNEL_SLOTS_H

#include "../rpc/rpc.h"
#include "excache.h"
#include "lines.h"

enum {
    BATCH_MAX = WRITE_MAX_LINES,
    BATCHES_MAX = 1024,
    STEP_LINES = 16,  /* leave while one line is fetched: about as long as its answer takes */
    DROP_MAX = 512,   /* clean lines that are dropped by one host call */
    ROBUST_MAX = 128, /* lines that stay because robust lists go through them, at most */
    ROBUST_PART = 16, /* ... and at most one in so many */
};

struct slot {
    struct vpn page;
    uint32_t previous, next; /* on the resident list, or next alone on the free list */
    uint16_t batch; /* 1 + its index in batches; 0: not staged. Owner of BUSY, evict_lock */
    uint8_t place;  /* in the batch */
    bool in_place;  /* staged where the application has it, write-protected */
    bool clean;     /* was when it was staged */
};

/* Lines that left together. Protected by evict_lock. */
struct batch {
    uint32_t slots[BATCH_MAX]; /* 0: rescued or forgotten since */
    uint32_t count;
    uint32_t clean;       /* of these: staged for a second chance alone */
    bool moved;           /* some of them lie in the staging region */
    uint64_t left_before; /* ex.left when they left */
};

/*
 * Which line leaves next. `filled`: a line has come. `used`: a resident line was seen in use (a
 * first write). `rescued`: a line was taken back from staging. All called with ex.lock held; the
 * resident list leaves at its head. staged_lines: how many lines leave before a staged one's second
 * chance is over. second_chance: whether the clean lines of the next round get one; called with
 * evict_lock held.
 */
struct excache_policy {
    const char *name;
    void (*filled)(uint32_t slot);
    void (*used)(uint32_t slot);
    void (*rescued)(uint32_t slot);
    uint32_t (*staged_lines)(uint32_t budget);
    bool (*second_chance)(void);
};
extern const struct excache_policy excache_lru, excache_fifo;

struct excache {
    uint32_t budget;       /* slots; never changes */
    uint32_t batch_lines;  /* most lines that leave together; never changes */
    uint32_t staged_limit; /* a line stays staged until as many have left after it; never changes */
    uint32_t drop_lines;   /* most clean lines that are dropped together; never changes */
    uint32_t batches_limit; /* batches at most; never changes */
    uint8_t *staging;       /* batches_limit + 1 regions of batch_lines lines */
    const struct excache_policy *policy;

    struct mutex lock; /* order: last; nothing is called with it held */
    struct slot *slots;
    uint32_t free_head, free_count; /* protected by lock; free_count read without */
    uint32_t ever_used;  /* slots 1 to this; those above are free too, and untouched: most programs
                            are small, and the list of a large budget is pages. Protected by lock */
    uint32_t head, tail; /* the resident list; protected by lock */

    struct mutex evict_lock;       /* order: after mm.lock, before ops_lock */
    struct batch *batches;         /* a ring of batches_limit + 1; protected by evict_lock */
    uint32_t oldest, staged;       /* the ring's first batch and their number */
    uint64_t left;                 /* lines that have left so far; protected by evict_lock */
    struct rpc writing[PARTS_MAX]; /* the write-back in flight, a request for each part that is
                                      concerned; protected by evict_lock */
    uint32_t in_flight;            /* how many */
    uint32_t batch_in_flight;      /* 1 + its index in batches; 0: none. Read without the lock */
};
extern struct excache ex;

/* excache.c: lines have got content, or (negative) have none any more. */
void excache_present(int64_t change);

/* fill.c */
void excache_zeros_init(void);

/* slots.c */
/* Takes up to `wanted` free slots into out[]; returns how many (0: none is free). */
uint32_t slots_take(uint32_t wanted, uint32_t *out);
void slot_free(uint32_t slot);
/* The resident list. ex.lock is held for these three. */
void resident_append(uint32_t slot);
void resident_remove(uint32_t slot);
uint32_t resident_first(void);

/* evict.c: mm.lock is held for reading or writing. */
/* Sees to it that at least `wanted` (at most a quarter of the budget) slots are free. */
void evict_make_room(uint32_t wanted);
/*
 * Makes some room ahead of demand, without waiting for anything: to be called while the answer to a
 * fetch of `wanted` lines is under way. The caller may hold one connection and its run's lines.
 */
void evict_ahead(uint32_t wanted);
/*
 * Whether a staged line's content is being written back and was not answered yet: it has to stay as
 * it is until then, for it may have to be sent again, to another mComponent.
 */
bool evict_is_leaving(uint32_t slot);
/* Waits until no write-back is in flight. No lock but mm.lock is held, and no line. */
void evict_settle(void);
/* Takes back a staged line whose word the caller has claimed, writable and so dirty, or protected
   and clean; releases the word. */
void evict_rescue(uint32_t *word, uint32_t slot, bool writable);
/* A staged line that is to be forgotten: leaves its batch. mm.lock is held for writing. */
void evict_forget(uint32_t slot);
/* Waits for the write-back in flight. */
void evict_reap(void);

#endif
