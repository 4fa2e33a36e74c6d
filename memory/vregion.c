/*
 * The vRegion array. Cloning copies the vma trees and shares the chunks of the line tables.
 */
#include "vregion.h"

#include <errno.h>
#include <stdlib.h>

static int slot(struct vregion_array *array, uint32_t index, struct vregion ***out)
{
    struct vregion ***leaf = &array->leaves[index / VREGION_LEAF];
    if (!*leaf && !(*leaf = calloc(VREGION_LEAF, sizeof **leaf)))
        return -ENOMEM;
    *out = &(*leaf)[index % VREGION_LEAF];
    return 0;
}

int vregion_grant(struct vregion_array *array, uint32_t index, struct component owner)
{
    struct vregion **at;
    int rc = slot(array, index, &at);
    if (rc < 0 || *at)
        return rc;
    struct vregion *vregion = calloc(1, sizeof *vregion);
    if (!vregion)
        return -ENOMEM;
    *vregion = (struct vregion){.owner = owner, .epoch = 1, .vmas.total = &array->vmas};
    *at = vregion;
    array->count++;
    return 0;
}

static int clone_one(const struct vregion *vregion, struct vregion **out, struct frames *frames,
                     uint32_t *vmas)
{
    struct vregion *copy = calloc(1, sizeof *copy);
    if (!copy)
        return -ENOMEM;
    copy->owner = vregion->owner;
    copy->epoch = vregion->epoch;
    copy->vmas.total = vmas;
    *out = copy; /* whatever follows, the array's owner frees it */
    int rc = vma_tree_clone(&vregion->vmas, &copy->vmas, vmas);
    return rc < 0 ? rc : line_table_clone(&vregion->lines, &copy->lines, frames);
}

int vregion_array_clone(const struct vregion_array *array, struct vregion_array *copy,
                        struct frame_batch *batch)
{
    *copy = (struct vregion_array){.count = array->count};
    int rc = 0;
    for (uint32_t i = 0; i < VREGION_LEAVES && rc == 0; i++) {
        if (!array->leaves[i])
            continue;
        struct vregion **at;
        rc = slot(copy, i * VREGION_LEAF, &at);
        for (uint32_t j = 0; j < VREGION_LEAF && rc == 0; j++)
            if (array->leaves[i][j])
                rc = clone_one(array->leaves[i][j], &at[j], batch->frames, &copy->vmas);
    }
    if (rc < 0)
        vregion_array_free(copy, batch);
    return rc;
}

void vregion_array_free(struct vregion_array *array, struct frame_batch *batch)
{
    for (uint32_t i = 0; i < VREGION_LEAVES; i++) {
        for (uint32_t j = 0; array->leaves[i] && j < VREGION_LEAF; j++) {
            struct vregion *vregion = array->leaves[i][j];
            if (!vregion)
                continue;
            vma_tree_free(&vregion->vmas);
            line_table_free(&vregion->lines, batch);
            free(vregion);
        }
        free(array->leaves[i]);
    }
    *array = (struct vregion_array){0};
}

void vregion_each(const struct vregion_array *array,
                  void (*visit)(void *arg, const struct vregion *vregion), void *arg)
{
    for (uint32_t i = 0; i < VREGION_LEAVES; i++)
        for (uint32_t j = 0; array->leaves[i] && j < VREGION_LEAF; j++)
            if (array->leaves[i][j])
                visit(arg, array->leaves[i][j]);
}
