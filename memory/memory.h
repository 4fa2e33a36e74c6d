/*
 * The memory monitor: what its parts are held together by.
 */
#ifndef ASHLAR_MEMORY_MEMORY_H
#define ASHLAR_MEMORY_MEMORY_H

#include "cache.h"
#include "monitor.h"
#include "spaces.h"

struct memory {
    /* Never change after the start, but for the monitor's number, which is set when it registers
       and before anyone is told its address: */
    struct monitor monitor;
    uint64_t size_bytes;
    pthread_t keeper;

    struct frames frames;
    struct backing backing;
    struct files files;
    struct cache cache;
    struct spaces spaces;

    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool ending;    /* protected by keeper_lock */
    bool usage_set; /* main thread only */
};

/* Serves the messages 0x04xx; `self` is a struct memory. */
extern const struct net_server_ops serve_ops;

#endif
