/*
 * The memory monitor: what its parts are held together by.
 */
#ifndef ASHLAR_MEMORY_MEMORY_H
#define ASHLAR_MEMORY_MEMORY_H

#include "cache.h"
#include "cold.h"
#include "monitor.h"
#include "peers.h"
#include "spaces.h"

/* A thread of the replicator: one settles where parts are, the other one copies them. */
enum { WORKERS = 2 };
struct worker {
    /* Never change: */
    struct memory *memory;
    pthread_t thread;
    void (*round)(struct memory *memory);
    bool due;
};

struct memory {
    /* Never change after the start, but for the monitor's number, which is set when it registers
       and before anyone is told its address: */
    struct monitor monitor;
    uint64_t size_bytes;
    uint64_t dram_bytes; /* 0: as much */
    bool compress;       /* cold lines */
    pthread_t keeper;

    struct frames frames;
    struct cold cold; /* where cold lines are compressed */
    struct backing backing;
    struct files files;
    struct cache cache;
    struct spaces spaces;
    struct peers peers;

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
