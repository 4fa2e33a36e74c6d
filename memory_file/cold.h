/*
 * The memory monitor of a file: what its parts are held together by, and its address spaces.
 *
 * There is one lock. It is held over what is looked up or changed in tables, never over a message
 * or over what is read or written of the file; who does that has references to the blocks instead.
 */
#ifndef ASHLAR_MEMORY_FILE_COLD_H
#define ASHLAR_MEMORY_FILE_COLD_H

#include "space.h"

enum { SPACE_BUCKETS = 1024, SPACES_MAX = 64 * 1024 };

struct cold {
    /* Never change after the start, but for the monitor's number, which is set when it registers:
     */
    struct monitor monitor;
    const char *path;
    uint64_t size_bytes;
    bool buffered;
    uint32_t asid_base; /* drawn at the start: asids of one that ran before are not given again */

    /* Held over a whole LINE_WRITE for which there are hardly any blocks; taken before `lock`. */
    pthread_mutex_t scarce_lock;

    pthread_mutex_t lock;
    /* Protected by lock, but for what says otherwise there: */
    struct blocks blocks;
    struct source source;
    struct space *buckets[SPACE_BUCKETS];
    uint32_t space_count;
    uint32_t counter;                         /* asids given */
    uint64_t others_bytes, others_free_bytes; /* of the other mComponents, as the registry said */

    pthread_t keeper;
    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool ending;    /* protected by keeper_lock */
    bool usage_set; /* main thread only */
};

/* With the lock: an address space by its name, or NULL. */
struct space *cold_find(struct cold *cold, struct asid asid);
/* Makes one of that name, or where that is 0 of a new one. ASH_LIMIT, -EEXIST, -ENOMEM. */
int cold_add(struct cold *cold, struct asid asid, uint64_t run_id, uint32_t replicas,
             struct space **out) __attribute__((warn_unused_result));
/* Frees all that it has. It is a name to its connections until the last of them goes. */
void cold_destroy(struct cold *cold, struct space *space);
/* Counts a connection of run run_id; NULL where there is no such space. */
struct space *cold_bind(struct cold *cold, struct asid asid, uint64_t run_id);
void cold_unbind(struct space *space);

/* Serves the messages 0x04xx; `self` is a struct cold. */
extern const struct net_server_ops cold_ops;

#endif
