/*
 * A pool of small objects of one size, carved from blocks of the monitor's own memory.
 *
 * An object that is put back is given out again; blocks go back to the host with the pool. The
 * caller has a lock over it. Objects come zeroed.
 */
#ifndef ASHLAR_KERNEL_POOL_H
#define ASHLAR_KERNEL_POOL_H

#include "../host/host.h"

enum { POOL_BLOCK = 4 * 1024 };

struct pool_link {
    struct pool_link *next;
};

struct pool {
    struct pool_link *spare, *blocks;
};

/* NULL: out of memory. size is the same at every call, at least that of a pool_link. */
static inline void *pool_get(struct pool *p, size_t size)
{
    if (!p->spare) {
        struct pool_link *block = host_alloc(POOL_BLOCK);
        if (!block)
            return NULL;
        block->next = p->blocks;
        p->blocks = block;
        for (size_t at = 64; at + size <= POOL_BLOCK; at += size) {
            struct pool_link *object = (struct pool_link *)((uint8_t *)block + at);
            object->next = p->spare;
            p->spare = object;
        }
    }
    struct pool_link *object = p->spare;
    p->spare = object->next;
    memset(object, 0, size);
    return object;
}

static inline void pool_put(struct pool *p, void *object)
{
    struct pool_link *link = object;
    link->next = p->spare;
    p->spare = link;
}

static inline void pool_end(struct pool *p)
{
    while (p->blocks) {
        struct pool_link *block = p->blocks;
        p->blocks = block->next;
        host_free(block, POOL_BLOCK);
    }
    p->spare = NULL;
}

#endif
