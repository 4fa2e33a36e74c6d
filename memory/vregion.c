/*
 * The vRegion array. Cloning copies the vma trees and shares the chunks of the line tables.
 *
 * Looked up by halving; a run of vRegions is put in with one move of what lies behind it.
 */
#include "vregion.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_MIN = 8 };

/* The place of the first entry at or after `index`. */
static uint32_t place_of(const struct vregion_array *array, uint64_t index)
{
    uint32_t low = 0, high = array->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (array->entries[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct vregion_entry *vregion_at_or_after(const struct vregion_array *array, uint64_t index)
{
    uint32_t at = place_of(array, index);
    return at < array->count ? &array->entries[at] : NULL;
}

static int reserve(struct vregion_array *array, uint32_t more)
{
    uint32_t capacity = array->capacity ? array->capacity : CAPACITY_MIN;
    while (capacity < array->count + more)
        capacity *= 2;
    if (capacity == array->capacity)
        return 0;
    struct vregion_entry *entries = realloc(array->entries, capacity * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    array->entries = entries;
    array->capacity = capacity;
    return 0;
}

static void free_all(struct vregion **vregions, uint32_t count)
{
    while (count)
        free(vregions[--count]);
    free(vregions);
}

/* vRegions for entries to come: NULL where there was no memory. */
static struct vregion **make(struct vregion_array *array, uint32_t count, uint32_t promised)
{
    struct vregion **made = calloc(count, sizeof *made);
    for (uint32_t i = 0; made && i < count; i++) {
        made[i] = calloc(1, sizeof **made);
        if (!made[i]) {
            free_all(made, i);
            return NULL;
        }
        *made[i] = (struct vregion){
            .vmas.total = &array->vmas, .promised = promised, .expected = promised};
    }
    return made;
}

int vregion_grant(struct vregion_array *array, struct frames *frames, uint32_t first,
                  uint32_t count, uint16_t part, uint32_t promised)
{
    uint32_t at = place_of(array, first);
    uint32_t have = place_of(array, (uint64_t)first + count) - at, missing = count - have;
    struct vregion **made = NULL;
    if (!missing)
        return 0;
    int rc = reserve(array, missing);
    if (rc < 0)
        return rc;
    if (part == array->part && !(made = make(array, missing, promised)))
        return -ENOMEM;
    struct vregion_entry *run = array->entries + at;
    memmove(run + count, run + have, (array->count - at - have) * sizeof *run);
    array->count += missing;
    /* Those that there are stand at the run's beginning: spread from its end. */
    for (uint32_t i = count, next = missing; i-- > 0;) {
        if (have && run[have - 1].index == first + i)
            run[i] = run[--have];
        else
            run[i] = (struct vregion_entry){first + i, part, made ? made[--next] : NULL};
    }
    if (made)
        frames_promise(frames, (int64_t)missing * promised);
    free(made);
    return 0;
}

void vregion_expect(struct vregion *vregion, struct frames *frames, uint32_t lines)
{
    vregion->mapped += lines;
    if (vregion->mapped <= vregion->expected)
        return;
    uint32_t more = vregion->mapped - vregion->expected;
    vregion->expected = vregion->mapped;
    vregion->promised += more;
    frames_promise(frames, more);
}

void vregion_expect_less(struct vregion *vregion, uint32_t lines)
{
    vregion->mapped -= lines < vregion->mapped ? lines : vregion->mapped;
}

void vregion_keep_promise(struct vregion *vregion, struct frames *frames, uint32_t lines)
{
    if (lines > vregion->promised)
        lines = vregion->promised;
    if (!lines)
        return;
    vregion->promised -= lines;
    frames_promise(frames, -(int64_t)lines);
}

static int clone_one(const struct vregion *vregion, struct vregion **out, struct frames *frames,
                     uint32_t *vmas)
{
    struct vregion *copy = calloc(1, sizeof *copy);
    if (!copy)
        return -ENOMEM;
    copy->vmas.total = vmas;
    *out = copy; /* whatever follows, the array's owner frees it */
    int rc = vma_tree_clone(&vregion->vmas, &copy->vmas, vmas);
    return rc < 0 ? rc : line_table_clone(&vregion->lines, &copy->lines, frames);
}

int vregion_array_clone(const struct vregion_array *array, struct vregion_array *copy,
                        struct frame_batch *batch)
{
    *copy = (struct vregion_array){.part = array->part};
    int rc = reserve(copy, array->count);
    for (uint32_t i = 0; i < array->count && rc == 0; i++) {
        const struct vregion_entry *entry = &array->entries[i];
        copy->entries[copy->count++] = (struct vregion_entry){entry->index, entry->part, NULL};
        if (entry->vregion)
            rc = clone_one(entry->vregion, &copy->entries[i].vregion, batch->frames, &copy->vmas);
    }
    if (rc < 0)
        vregion_array_free(copy, batch);
    return rc;
}

static void free_one(struct vregion *vregion, struct frame_batch *batch)
{
    if (!vregion)
        return;
    vregion_keep_promise(vregion, batch->frames, UINT32_MAX);
    vma_tree_free(&vregion->vmas);
    line_table_free(&vregion->lines, batch);
    free(vregion);
}

void vregion_revoke(struct vregion_array *array, uint32_t index, struct frame_batch *batch)
{
    uint32_t at = place_of(array, index);
    if (at == array->count || array->entries[at].index != index)
        return;
    free_one(array->entries[at].vregion, batch);
    array->count--;
    memmove(&array->entries[at], &array->entries[at + 1],
            (array->count - at) * sizeof *array->entries);
}

void vregion_array_free(struct vregion_array *array, struct frame_batch *batch)
{
    for (uint32_t i = 0; i < array->count; i++)
        free_one(array->entries[i].vregion, batch);
    free(array->entries);
    *array = (struct vregion_array){.part = array->part};
}

void vregion_each(const struct vregion_array *array,
                  void (*visit)(void *arg, const struct vregion *vregion), void *arg)
{
    for (uint32_t i = 0; i < array->count; i++)
        if (array->entries[i].vregion)
            visit(arg, array->entries[i].vregion);
}
