/*
 * The blocks: LINE_SIZE bytes each of one file, with a count of references.
 *
 * Which are taken, and how often, is protected by the lock of struct cold; what is in one is read
 * and written without it, by who has a reference. A block with more than one is never written to.
 * The file has RESERVE blocks more than are served: see blocks_take().
 */
#ifndef ASHLAR_MEMORY_FILE_BLOCKS_H
#define ASHLAR_MEMORY_FILE_BLOCKS_H

#include <stdbool.h>
#include <stdint.h>

#include "limits.h"

enum {
    BLOCK_NONE = 0, /* no number of a block: those begin at 1 */
    BLOCKS_RESERVE = WRITE_MAX_LINES,
};

struct blocks {
    /* Never change: */
    int fd;
    uint32_t count; /* served; the reserve comes on top */

    /* Protected by the lock: */
    uint32_t *refs;   /* of each, by its number */
    uint64_t *taken;  /* a bit for each that has references */
    uint32_t free;    /* with the reserve */
    uint32_t cursor;  /* where to look for the next: neighbours are written and read at once */
    int64_t promised; /* that are to be taken for lines to come */
};

/*
 * Makes the file, which may not exist, and unlinks it: nothing is left, however this process ends.
 * Without `buffered` the host caches nothing of it (O_DIRECT); -EINVAL or -EOPNOTSUPP where its
 * file system cannot do that. -EINVAL also where it has no block, or too many.
 */
int blocks_open(struct blocks *blocks, const char *path, uint64_t size_bytes, bool buffered)
    __attribute__((warn_unused_result));
void blocks_close(struct blocks *blocks);

/*
 * With the lock. Takes `want` blocks with a reference each, side by side where that is easy; all of
 * them, or none (false). The reserve is touched where `reserve` says so alone: by one thread at a
 * time, which has filled it up again when it is done.
 */
bool blocks_take(struct blocks *blocks, uint32_t *out, uint32_t want, bool reserve);
void blocks_ref(struct blocks *blocks, uint32_t block);
void blocks_drop(struct blocks *blocks, uint32_t block);

static inline uint32_t blocks_used(const struct blocks *blocks)
{
    uint32_t used = blocks->count + BLOCKS_RESERVE - blocks->free;
    return used < blocks->count ? used : blocks->count;
}

/* Not taken, nor promised to anybody. */
static inline uint32_t blocks_unpromised(const struct blocks *blocks)
{
    int64_t left = (int64_t)(blocks->count - blocks_used(blocks)) - blocks->promised;
    return left > 0 ? (uint32_t)left : 0;
}

/* Without the lock. Reads or writes the blocks of a list, in order; `lines`, aligned to LINE_SIZE,
   has one for each. Neighbours cost one system call together. 0 or a negative errno. */
int blocks_read(const struct blocks *blocks, const uint32_t *list, uint32_t count, uint8_t *lines)
    __attribute__((warn_unused_result));
int blocks_write(const struct blocks *blocks, const uint32_t *list, uint32_t count,
                 const uint8_t *lines) __attribute__((warn_unused_result));

#endif
