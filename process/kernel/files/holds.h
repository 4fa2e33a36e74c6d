/*
 * What this process holds at the sComponent: one hold for every open file description that it has,
 * and for the working directory. A hold keeps the file though it be unlinked, keeps who would
 * execute a file that is being written from doing so, and keeps the description's locks.
 *
 * A process holds a description once, however it got it (FILE_OPEN, FILE_HOLD, from the process
 * that forked it), and lets go of it once (FILE_RELEASE): so its users are counted here, which are
 * the files states that have it, a vfork child's along with its parent's, since they are one
 * process to the sComponent and share their connections.
 *
 * Where nobody can tell the difference a release is put off until RELEASE_BATCH wait. It is sent at
 * once (`prompt`) where the file was open for writing, or the description may have locks. A file
 * that may have been unlinked is to give its space back, so an unlink sends what waits, and as many
 * releases after it as files were open then are sent without waiting. And where somebody watches files
 * at the sComponent (inotify), none waits: closing a file is an event.
 */
#ifndef ASHLAR_KERNEL_HOLDS_H
#define ASHLAR_KERNEL_HOLDS_H

#include "../host/lock.h"
#include "messages.h"
#include "pool.h"

enum { RELEASE_BATCH = 32, HOLD_BUCKETS = 64 };

struct hold {
    struct hold *next;
    struct held held;
    uint32_t users;
};

struct holds {
    struct mutex lock;
    uint32_t states;  /* files states that share it; protected by lock, as the rest */
    uint32_t held;    /* holds that are not yet let go of */
    uint32_t at_once; /* so many of the next releases are not put off */
    bool watched;     /* somebody watches files: none is put off; relaxed atomic */
    uint32_t waiting_count;
    struct held waiting[RELEASE_BATCH]; /* to be released */
    struct hold *buckets[HOLD_BUCKETS];
    struct pool pool;
};

struct holds *holds_new(void); /* one state; NULL: out of memory */
void holds_share(struct holds *h);
void holds_free(struct holds *h); /* one state less */

/* One more user. True where there was none: the process does not hold it yet, as far as is known.
 */
bool holds_take(struct holds *h, const struct held *held);
/* One user less; the last one's end is the hold's, and may send. */
void holds_put(struct holds *h, const struct held *held, bool prompt);
/* The sComponent says whether closes are to be told at once; may send. */
void holds_watched(struct holds *h, bool watched);
/* A name was taken from a file: see above. */
void holds_unlinked(struct holds *h);

/* Asks for a hold, by FILE_HOLD. One that the monitor does not know is opened again on use. */
void holds_ask(const struct held *held);
/* Fresh random bits. */
struct description_id description_new(void);

static inline bool same_description(const struct description_id *a, const struct description_id *b)
{
    return a->low == b->low && a->high == b->high;
}

#endif
