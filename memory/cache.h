/*
 * The storage buffer cache: pages of files, one frame a page, shared by every address space.
 *
 * A cached page is not copied to be fetched: cache_get() hands out a reference to its frame. Any
 * thread may call; a miss may take a message to the sComponent.
 */
#ifndef ASHLAR_MEMORY_CACHE_H
#define ASHLAR_MEMORY_CACHE_H

#include <pthread.h>

#include "file.h"
#include "frames.h"

enum {
    CACHE_SHARDS = 16,
    CACHE_CLUSTER = 32, /* pages that are read together, aligned */
};

struct cache_shard {
    _Alignas(64) pthread_mutex_t lock;
    pthread_cond_t filled; /* a read of one of its clusters has ended */
    /* Protected by lock, with the pages themselves; frame numbers, 0 is none: */
    uint32_t newest, oldest;
};

struct cache_page;

struct cache {
    /* Never change: */
    struct frames *frames;
    struct cache_page *pages; /* by frame number; touched for frames of the cache only */
    uint32_t *buckets;        /* each protected by the lock of its shard */
    uint64_t bucket_count;    /* a power of two */
    struct cache_shard shards[CACHE_SHARDS];

    atomic_uint next_victim; /* shard to look for victims in */
};

int cache_init(struct cache *cache, struct frames *frames) __attribute__((warn_unused_result));
void cache_free(struct cache *cache);

/*
 * Finds page `page` of a file that the caller has a reference to and that has file_end pages; on
 * LINE_DATA *out has a reference for the caller. With `wait` a miss reads it, and neighbours, from
 * the sComponent; without, a miss is -EAGAIN. Returns LINE_DATA, LINE_PAST_END, LINE_IO_ERROR,
 * -EAGAIN or ASH_NO_FRAMES.
 */
int cache_get(struct cache *cache, struct file *file, uint64_t page, uint64_t file_end, bool wait,
              struct frame *out) __attribute__((warn_unused_result));

/* Gives up to `want` of the least recently used pages; returns how many frames became free. */
uint32_t cache_reclaim(void *cache, uint32_t want);

#endif
