/*
 * The registry of address spaces: by ASID, with the connections bound to each.
 *
 * An address space without a connection is freed after its grace: that is how the memory of a
 * process goes, however the process ends.
 */
#ifndef ASHLAR_MEMORY_SPACES_H
#define ASHLAR_MEMORY_SPACES_H

#include "space.h"

enum { SPACE_BUCKETS = 1024, SPACES_MAX = 64 * 1024 };

struct spaces {
    struct frames *frames; /* never changes */
    uint64_t asid_base;    /* never changes: drawn at start, so that ASIDs outlive no restart */

    pthread_mutex_t lock;
    /* Protected by lock: */
    struct space *buckets[SPACE_BUCKETS];
    unsigned count;
    uint64_t counter; /* ASIDs given */
};

int spaces_init(struct spaces *spaces, struct frames *frames) __attribute__((warn_unused_result));
/* Destroys every space. */
void spaces_free(struct spaces *spaces);

/* Registers a new space under a new ASID of component `home`. The reference is the caller's. */
int spaces_create(struct spaces *spaces, struct component home, uint64_t run_id, struct space **out)
    __attribute__((warn_unused_result));

/* With a reference, or NULL. */
struct space *spaces_find(struct spaces *spaces, struct asid asid);

/*
 * The same for a space of run run_id (NULL: it is another run's), and counts a connection to it until
 * spaces_unbind(), which drops the reference too.
 */
struct space *spaces_bind(struct spaces *spaces, struct asid asid, uint64_t run_id);
void spaces_unbind(struct spaces *spaces, struct space *space);

/* Takes it out and frees all that is in it; the caller's reference stays. */
void spaces_destroy(struct spaces *spaces, struct space *space);

/* Destroys spaces that have been without a connection for grace_ms. */
void spaces_expire(struct spaces *spaces, uint64_t now_ms, uint64_t grace_ms);

unsigned spaces_count(struct spaces *spaces);

#endif
