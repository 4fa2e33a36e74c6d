/*
 * A part of an address space: sorted vmas, and for each vRegion that was granted a table from its
 * lines to blocks.
 *
 * Everything here wants the lock of struct cold, and none of it waits for anything: what is in the
 * blocks is read and written elsewhere. A change that fails has changed nothing. Ranges are lines
 * of the address space: -EINVAL outside the window or empty, -EFAULT where a vRegion was not
 * granted.
 */
#ifndef ASHLAR_MEMORY_FILE_SPACE_H
#define ASHLAR_MEMORY_FILE_SPACE_H

#include "blocks.h"
#include "messages.h"
#include "source.h"

struct vma {
    uint64_t first, end;
    struct mapped *file; /* a reference; NULL: anonymous */
    uint64_t file_page;  /* of the line `first` */
    uint64_t file_end;   /* pages that the file had when it was mapped */
    uint8_t prot;
};

/* What a table says of a line: the number of its block, or one of these. */
enum { LINE_ABSENT = 0 };
#define LINE_STORED_ZERO UINT32_MAX /* was written, all zero */

struct vregion {
    uint32_t index;
    uint32_t stored; /* lines that are not absent */
    uint32_t *table; /* VREGION_LINES entries; NULL while stored is 0 */
};

struct space {
    struct asid asid;
    uint64_t run_id;
    uint32_t replicas;  /* copies that were asked for; there is one */
    struct space *next; /* of its bucket */

    bool gone;            /* its connections alone know it still */
    unsigned connections; /* bound to it */
    uint64_t lonely_since_ms;

    uint64_t serial; /* of the last list of changes that was applied */
    struct vma *vmas;
    uint32_t vma_count, vma_room;
    struct vregion *vregions;
    uint32_t vregion_count, vregion_room;
    uint32_t block_count; /* references that its tables hold */
    uint32_t promised;    /* blocks for lines to come */
};

static inline uint32_t space_part(const struct space *space)
{
    return (uint32_t)(space->asid.n % PARTS_MAX);
}

/* How many of the vRegions are not granted; -EINVAL. */
int space_missing(const struct space *space, uint32_t first, uint32_t count);
/* Grants those that are not, and promises blocks for `lines` of them together. */
int space_grant(struct space *space, struct blocks *blocks, uint32_t first, uint32_t count,
                uint64_t lines) __attribute__((warn_unused_result));

/* Applies one change; `file` and the pages that it has matter for VM_OP_MAP_FILE alone. */
int space_apply(struct space *space, struct blocks *blocks, const struct vm_op *op,
                struct mapped *file, uint64_t file_end) __attribute__((warn_unused_result));

/* The vma of a line, or NULL; and whether the line's vRegion was granted. */
const struct vma *space_vma(const struct space *space, uint64_t line);
bool space_granted(const struct space *space, uint64_t line);
uint32_t space_entry(const struct space *space, uint64_t line);
/* Makes room to set a line, whose vRegion is granted; -ENOMEM. Sets it: the reference of what was
   there goes, that of a block passes to the table. */
int space_prepare(struct space *space, uint64_t line) __attribute__((warn_unused_result));
void space_set(struct space *space, struct blocks *blocks, uint64_t line, uint32_t entry);

/* Makes `child`, which is empty, a copy: what either writes from now on goes to blocks of its own.
   Where that fails it is to be cleared. */
int space_clone(const struct space *space, struct blocks *blocks, struct space *child)
    __attribute__((warn_unused_result));
/* Gives everything in it up. */
void space_clear(struct space *space, struct blocks *blocks);

#endif
