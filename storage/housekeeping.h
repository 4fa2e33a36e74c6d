/*
 * What the storage monitor does beside serving: deletes logs that nobody has, and looks how full
 * the volume is.
 *
 * On a thread of its own, because a disk may take longer than a lease, and who sends the heartbeats
 * is not to wait for one.
 */
#ifndef ASHLAR_STORAGE_HOUSEKEEPING_H
#define ASHLAR_STORAGE_HOUSEKEEPING_H

#include <pthread.h>

#include "logs.h"
#include "volume.h"

/* Of the volume, in bytes. */
struct housekeeping_figures {
    uint64_t size, used;
};

struct housekeeping {
    struct volume *volume; /* NULL: not started */
    struct logs *logs;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows; leaf */
    pthread_cond_t asked;
    bool wanted, ending;
    uint64_t listed_ms;
    struct housekeeping_figures seen;
};

/* Looks once before it returns. 0 or a negative errno. */
int housekeeping_start(struct housekeeping *h, struct volume *volume,
                       struct logs *logs) LOGS_CHECKED;
/* Waits for what is under way. */
void housekeeping_stop(struct housekeeping *h);

/* Has it look again, without waiting; listed_ms: see logs_tidy(). Returns what was seen last. */
struct housekeeping_figures housekeeping_beat(struct housekeeping *h, uint64_t listed_ms);

#endif
