/*
 * Places: which of the copies of a part a space is, and where the other one is.
 *
 * A change of place does nothing, and says false, where the space's place is not what the caller
 * takes it for.
 */
#ifndef ASHLAR_MEMORY_PLACE_H
#define ASHLAR_MEMORY_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

struct space;

struct space_place {
    enum space_role role;
    uint32_t epoch;           /* counts the changes of place of this part */
    struct component replica; /* of a primary: 0 is none */
    struct component primary; /* of a replica */
    uint32_t pid;             /* the process that has the other copy, */
    uint64_t seen_ms;         /* and when it was there */
    bool ready;               /* of a replica: it has everything */
    struct component heir;    /* of a replica: who is about to replace it; 0: nobody */
    uint64_t doubtful_ms;     /* of a primary: since when it is not known to be that still; or 0 */
    bool replica_in_doubt;    /* of a primary: its replica may have been dropped */
    bool replica_unaware;     /* of a primary: its replica may not know yet that it is one */
    bool replica_to_go;       /* of a primary: its replica is one more than is wanted */
};

/* Whether a primary's replica is one and is to stay. */
static inline bool place_has_replica(const struct space_place *place)
{
    return place->role == ROLE_PRIMARY && place->replica.n && !place->doubtful_ms &&
           !place->replica_in_doubt && !place->replica_unaware && !place->replica_to_go;
}

/* After a change of its place, of whether it lives, or of whether there is anything in it; with its
   lock, which no other function here is called with. */
void space_recount(struct space *space);

int space_place(struct space *space, struct space_place *out) __attribute__((warn_unused_result));
/* The same of one that may have ended: its last one. */
struct space_place space_last_place(struct space *space);

/* A primary gets a replica, under a new epoch, or loses it; a replica has everything, or goes, its
   place being `place` still. The callers hold `changing` for writing for the first. */
bool space_gain_replica(struct space *space, struct component replica, uint32_t pid,
                        uint32_t epoch);
bool space_lose_replica(struct space *space, struct component replica);
bool space_become_ready(struct space *space, uint32_t epoch, uint64_t serial);
bool space_forget_replica(struct space *space, const struct space_place *place);
/* Who replaces a replica; nobody any more. */
void space_set_heir(struct space *space, struct component heir);

/*
 * A replica takes its primary's place: of one that is lost, or, where it `stays`, in exchange. The
 * primary takes its replica's then; or, where that was lost before it said so, has its own back,
 * under an epoch that refuses what the other may yet send. `changing` is held for writing.
 */
bool space_become_primary(struct space *space, struct component primary, bool stays);
bool space_become_replica(struct space *space);
void space_take_back(struct space *space);

/* A child's replica was made along with it, where its parent's is; `parent` is its parent's place.
 */
void space_inherit_replica(struct space *space, const struct space_place *parent);
void space_set_doubtful(struct space *space, bool doubtful);
/* Somebody says that `replica` was lost; or what became of it is being asked. */
void space_doubt_replica(struct space *space, struct component replica, bool doubt);
/* It says that it is the replica. */
void space_replica_knows(struct space *space, struct component replica);

/* Whether it is to have a replica and has none, has something to be copied since age_ms, and it is
   time to try. */
bool space_wants_replica(struct space *space, uint64_t now_ms, uint64_t age_ms);
bool space_may_try(struct space *space, uint64_t now_ms);

#endif
