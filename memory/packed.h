/*
 * Compressed lines in DRAM: the store that the cold frames' bytes are in.
 *
 * A line is compressed by itself (lz4) into a place of its own. Any thread may call any of these at
 * any time; a slot belongs to who put it until it is dropped.
 */
#ifndef ASHLAR_MEMORY_PACKED_H
#define ASHLAR_MEMORY_PACKED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "limits.h"

enum { PACKED_CLASSES = 14 };

struct packed_slab;

struct packed {
    /* Never change after packed_init(): */
    uint8_t *memory;
    struct packed_slab *slabs;
    uint32_t count;

    pthread_mutex_t lock;
    /* Protected by lock: */
    uint32_t fresh;                  /* slabs from this one on were never used */
    uint32_t empty;                  /* slabs that hold nothing; 0 ends each list */
    uint32_t partly[PACKED_CLASSES]; /* slabs of a class that have places left */

    _Atomic uint32_t pages; /* of DRAM that it takes */
};

/* What packed_put() says of a line that it did not take. */
enum {
    PACKED_NONE = 0,          /* there is no room */
    PACKED_HARD = UINT32_MAX, /* it does not get small enough */
};

/* Reserves address space for size_bytes of compressed lines; pages come with their use. */
int packed_init(struct packed *packed, uint64_t size_bytes) __attribute__((warn_unused_result));
void packed_free(struct packed *packed);

/* Compresses a line. Returns its slot, or one of the above. */
uint32_t packed_put(struct packed *packed, const uint8_t *line);
/* -EIO: what lies there is no line. */
int packed_get(const struct packed *packed, uint32_t slot, uint8_t *line)
    __attribute__((warn_unused_result));
void packed_drop(struct packed *packed, uint32_t slot);

static inline uint32_t packed_pages(const struct packed *packed)
{
    return atomic_load_explicit(&packed->pages, memory_order_relaxed);
}

#endif
