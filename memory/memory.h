/*
 * The memory monitor: what its parts are held together by.
 */
#ifndef ASHLAR_MEMORY_MEMORY_H
#define ASHLAR_MEMORY_MEMORY_H

#include "cache.h"
#include "cold.h"
#include "log_stores.h"
#include "monitor.h"
#include "peers.h"
#include "spaces.h"

/* A thread of the replicator: one settles where parts are, one copies them, one finds frames where
   they run out. */
enum { WORKERS = 3 };
struct worker {
    /* Never change: */
    struct memory *memory;
    pthread_t thread;
    void (*round)(struct memory *memory);
    bool due;
};

/* Of logger.h. */
struct logger {
    pthread_t thread; /* never changes */
    atomic_bool due;  /* there is something to do at once; a hint */
    pthread_mutex_t lock;
    pthread_cond_t wake, left;
    atomic_uint waiting;  /* who wait for `left` */
    bool ending;          /* protected by lock */
    uint64_t recalled_ms; /* the thread's own */
};

/* Frames that run out; see pressure.h. Relaxed atomics: who looks at them looks again. */
struct pressure {
    _Atomic uint32_t wanted;      /* frames that writers wait for */
    _Atomic uint64_t waiting_run; /* that of the last of these */
    _Atomic uint64_t in_vain_ms;  /* when nothing could be done for who waited */
    _Atomic uint64_t full_until_ms;
    uint64_t short_ms; /* when somebody began to wait; the thread's own, as the next */
    uint64_t ended_ms; /* when a run was ended last */
};

struct memory {
    /* Never change after the start, but for the monitor's number, which is set when it registers
       and before anyone is told its address: */
    struct monitor monitor;
    uint64_t size_bytes;
    uint64_t dram_bytes;         /* 0: as much */
    bool compress;               /* cold lines */
    bool all_in_dram;            /* replicas too: there is no log */
    uint64_t replica_dram_bytes; /* 0: a share of size_bytes */
    uint32_t replica_lines;      /* the same, in lines; 0: there is no log */
    pthread_t keeper;

    struct frames frames;
    struct cold cold; /* where lines go that are not used */
    struct log log;
    struct log_stores log_stores;
    struct logger logger;
    struct backing backing;
    struct files files;
    struct cache cache;
    struct spaces spaces;
    struct peers peers;
    struct pressure pressure;

    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool ending;    /* protected by keeper_lock */
    bool usage_set; /* main thread only */

    struct worker workers[WORKERS];
    pthread_mutex_t replicator_lock;
    pthread_cond_t replicator_wake;
    pthread_cond_t replicator_settled; /* some space is doubtful no more */
    bool replicator_ending;            /* protected by replicator_lock, as `due` of the workers */
};

/* There is something to do for its threads. Any thread. */
void memory_wake_replicator(struct memory *memory);

/* Serves the messages 0x04xx; `self` is a struct memory. */
extern const struct net_server_ops serve_ops;

#endif
