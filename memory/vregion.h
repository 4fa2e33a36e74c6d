/*
 * The vRegion array of an address space: who owns each vRegion, and of those owned here the vma
 * tree and the line table.
 *
 * A table by address >> VREGION_SHIFT in two levels, so that an address space pays for what it was
 * granted. Protected by the lock of its address space.
 */
#ifndef ASHLAR_MEMORY_VREGION_H
#define ASHLAR_MEMORY_VREGION_H

#include "line_table.h"
#include "types.h"
#include "vma.h"

enum {
    VREGION_LEAF = 256, /* vRegions in a leaf of the table */
    VREGION_LEAVES = VREGION_COUNT / VREGION_LEAF,
};

struct vregion {
    struct component owner;
    uint32_t epoch; /* of the ownership; changes of owner count up from 1 */
    struct vma_tree vmas;
    struct line_table lines;
};

struct vregion_array {
    struct vregion **leaves[VREGION_LEAVES];
    uint32_t count;
    uint32_t vmas; /* in all of them */
};

/* NULL where it was not granted, or lies outside the window. */
static inline struct vregion *vregion_at(const struct vregion_array *array, uint64_t index)
{
    struct vregion **leaf =
        index < VREGION_COUNT ? array->leaves[index / VREGION_LEAF] : (struct vregion **)0;
    return leaf ? leaf[index % VREGION_LEAF] : (struct vregion *)0;
}

/* Makes it active, owned by `owner` at epoch 1; one that is active already stays as it is. */
int vregion_grant(struct vregion_array *array, uint32_t index, struct component owner)
    __attribute__((warn_unused_result));

/* Makes `copy` (empty) share everything. On failure the copy is empty again. */
int vregion_array_clone(const struct vregion_array *array, struct vregion_array *copy,
                        struct frame_batch *batch) __attribute__((warn_unused_result));

void vregion_array_free(struct vregion_array *array, struct frame_batch *batch);

/* Calls `visit` for each active vRegion, in order of address. */
void vregion_each(const struct vregion_array *array,
                  void (*visit)(void *arg, const struct vregion *vregion), void *arg);

#endif
