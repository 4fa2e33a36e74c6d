/*
 * The vRegion array of an address space: which part each vRegion lies in, and of those of this part
 * the vma tree and the line table.
 *
 * Sorted by address, so that an address space pays for what it was granted and no more: 16 bytes
 * for one that lies elsewhere. Protected by the lock of its address space.
 */
#ifndef ASHLAR_MEMORY_VREGION_H
#define ASHLAR_MEMORY_VREGION_H

#include "line_table.h"
#include "types.h"
#include "vma.h"

struct vregion {
    struct vma_tree vmas;
    struct line_table lines;
    uint32_t promised; /* lines that are to be stored here and are not yet */
    uint32_t expected; /* lines that were ever promised at a time */
    uint32_t mapped;   /* lines that may be written to */
};

struct vregion_entry {
    uint32_t index; /* address >> VREGION_SHIFT */
    uint16_t part;
    struct vregion *vregion; /* NULL: it lies in another part */
};

struct vregion_array {
    struct vregion_entry *entries; /* in order of index */
    uint32_t count, capacity;
    uint32_t vmas; /* in all of them */
    uint16_t part; /* which one this is */
};

/* The first entry at or after `index`, or NULL. */
const struct vregion_entry *vregion_at_or_after(const struct vregion_array *array, uint64_t index);

/* NULL where it was not granted, lies in another part, or outside the window. */
static inline struct vregion *vregion_at(const struct vregion_array *array, uint64_t index)
{
    const struct vregion_entry *entry = vregion_at_or_after(array, index);
    return entry && entry->index == index ? entry->vregion : (struct vregion *)0;
}

/* Makes `count` of them active, in `part`; those that are active already stay as they are. Frames
   for `promised` lines of each are to be kept, as far as it is this part. */
int vregion_grant(struct vregion_array *array, struct frames *frames, uint32_t first,
                  uint32_t count, uint16_t part, uint32_t promised)
    __attribute__((warn_unused_result));

/* It is active no more, and what was in it goes; nothing where it is not active. */
void vregion_revoke(struct vregion_array *array, uint32_t index, struct frame_batch *batch);

/* `lines` more may be written to; what was promised so far counts for them first. */
void vregion_expect(struct vregion *vregion, struct frames *frames, uint32_t lines);
/* `lines` are mapped no more. */
void vregion_expect_less(struct vregion *vregion, uint32_t lines);
/* Of what was promised, `lines` are kept, or not wanted any more. */
void vregion_keep_promise(struct vregion *vregion, struct frames *frames, uint32_t lines);

/* Makes `copy` (empty) share everything; nothing is promised to it. On failure it is empty again.
 */
int vregion_array_clone(const struct vregion_array *array, struct vregion_array *copy,
                        struct frame_batch *batch) __attribute__((warn_unused_result));

void vregion_array_free(struct vregion_array *array, struct frame_batch *batch);

/* Calls `visit` for each vRegion of this part, in order of address. */
void vregion_each(const struct vregion_array *array,
                  void (*visit)(void *arg, const struct vregion *vregion), void *arg);

#endif
