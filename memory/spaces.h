/*
 * The registry of address spaces, or parts of them: by ASID, with the connections bound to each.
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

    atomic_uint singles; /* spaces that are to have a replica and have none; relaxed */
};

int spaces_init(struct spaces *spaces, struct frames *frames) __attribute__((warn_unused_result));
/* Destroys every space. */
void spaces_free(struct spaces *spaces);

/* Registers a new space under a new ASID of component `home`, that of a first part. The reference
   is the caller's. */
int spaces_create(struct spaces *spaces, struct component home, uint64_t run_id, uint32_t replicas,
                  struct space **out) __attribute__((warn_unused_result));
/* The same under an ASID that is known. -EEXIST: there is one of that name, and *out is it. */
int spaces_add(struct spaces *spaces, const struct space_birth *birth, struct space **out)
    __attribute__((warn_unused_result));

/* The same in the place of one of that name, whose users are told ASH_MOVED. */
int spaces_replace(struct spaces *spaces, const struct space_birth *birth, struct space **out)
    __attribute__((warn_unused_result));

/* With a reference, or NULL. */
struct space *spaces_find(struct spaces *spaces, struct asid asid);

/*
 * The same for a space of run run_id (NULL: it is another run's), and counts a connection to it
 * until spaces_unbind(), which drops the reference too.
 */
struct space *spaces_bind(struct spaces *spaces, struct asid asid, uint64_t run_id);
void spaces_unbind(struct spaces *spaces, struct space *space);

/* Takes it out and frees all that is in it; the caller's reference stays. */
void spaces_destroy(struct spaces *spaces, struct space *space);

/*
 * Calls `visit` for each space, in no order, with a reference and no lock held. Those that come or
 * go meanwhile may be visited or not; where very many are here, some are visited twice.
 */
void spaces_each(struct spaces *spaces, void (*visit)(void *arg, struct space *space), void *arg);

/* Whether nobody has been connected to it for grace_ms. */
bool spaces_is_lonely(struct spaces *spaces, struct space *space, uint64_t now_ms,
                      uint64_t grace_ms);
/* Its grace begins anew. */
void spaces_touch(struct spaces *spaces, struct space *space);
/* It took a lost primary's place; whether it has, and its process has not come: that may sleep for
   long. */
void spaces_inherit(struct spaces *spaces, struct space *space);
bool spaces_is_inherited(struct spaces *spaces, struct space *space);

unsigned spaces_count(struct spaces *spaces);

#endif
