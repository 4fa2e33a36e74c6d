/*
 * See told.h. A vRegion of this part that is not watched is another one than that which was told
 * under its number: the program was replaced (exec), and the old one is to go first.
 */
#include "told.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "space_inside.h"

static struct vregion *watched(const struct told *told, uint32_t index)
{
    struct vregion *vregion = vregion_at(&told->space->vregions, index);
    return vregion && vregion->lines.changed ? vregion : NULL;
}

/* ---- beginning and end ---- */

/* A replica that was told of zeros where nothing was has nothing: right for an anonymous vma, not
   for another one's file. */
static void touch_zeros(struct vregion *vregion, const struct frames *frames)
{
    for (uint32_t line = 0; line < VREGION_LINES; line++)
        if (line_table_get(&vregion->lines, frames, line) == LINE_STORED_ZERO)
            line_table_touch(&vregion->lines, line);
}

/* What the replica has already of one vRegion. */
static int know(struct told *told, const struct vregion_entry *entry)
{
    struct told_vregion *known = &told->vregions[told->count++];
    *known = (struct told_vregion){
        .index = entry->index, .part = entry->part, .vmas.total = &told->vmas};
    if (!entry->vregion)
        return 0;
    int rc = vma_tree_clone(&entry->vregion->vmas, &known->vmas, &told->vmas);
    struct vregion *now = vregion_at(&told->space->vregions, entry->index);
    if (rc == 0 && now)
        rc = line_table_watch(&now->lines, &entry->vregion->lines, told->space->frames);
    if (rc == 0 && now)
        touch_zeros(now, told->space->frames);
    return rc;
}

int told_begin(struct told *told, struct space *space, const struct space *like)
{
    *told = (struct told){.space = space};
    if (!like)
        return 0;
    memcpy(told->parts, like->parts, sizeof told->parts);
    const struct vregion_array *known = &like->vregions;
    told->vregions = calloc(known->count + 1, sizeof *told->vregions);
    if (!told->vregions)
        return -ENOMEM;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < known->count && rc == 0; i++)
        rc = know(told, &known->entries[i]);
    pthread_mutex_unlock(&space->lock);
    return rc;
}

void told_end(struct told *told)
{
    struct vregion_array *array = &told->space->vregions;
    pthread_mutex_lock(&told->space->lock);
    for (uint32_t i = 0; i < array->count; i++)
        if (array->entries[i].vregion)
            line_table_unwatch(&array->entries[i].vregion->lines);
    pthread_mutex_unlock(&told->space->lock);
    while (told->count)
        vma_tree_free(&told->vregions[--told->count].vmas);
    free(told->vregions);
}

/* ---- vRegions ---- */

/* Whether what was told under this number is there still. With the lock. */
static bool is_there(const struct told *told, const struct told_vregion *known)
{
    const struct vregion_array *array = &told->space->vregions;
    const struct vregion_entry *entry = vregion_at_or_after(array, known->index);
    return entry && entry->index == known->index && entry->part == known->part &&
           (!entry->vregion || entry->vregion->lines.changed);
}

/* Leaves only those told that are there still; says the others in out[]. Returns how many. */
static uint32_t forget_gone(struct told *told, struct vregion_info *out)
{
    uint32_t kept = 0, gone = 0;
    for (uint32_t i = 0; i < told->count; i++) {
        struct told_vregion *known = &told->vregions[i];
        if (is_there(told, known)) {
            told->vregions[kept++] = *known;
        } else {
            vma_tree_free(&known->vmas);
            out[gone++] = (struct vregion_info){.index = known->index, .part = PART_NONE};
        }
    }
    told->count = kept;
    return gone;
}

/* Takes the space's vRegions over into `now`, those that were told as they are; says what is new or
   elsewhere in out[], *count of them already. */
static int take_over(struct told *told, struct told_vregion *now, struct vregion_info *out,
                     uint32_t *count)
{
    const struct space *space = told->space;
    uint32_t next = 0; /* of those told */
    int rc = 0;
    for (uint32_t i = 0; i < space->vregions.count; i++) {
        const struct vregion_entry *entry = &space->vregions.entries[i];
        bool known = next < told->count && told->vregions[next].index == entry->index;
        if (known)
            now[i] = told->vregions[next++];
        else
            now[i] = (struct told_vregion){
                .index = entry->index, .part = entry->part, .vmas.total = &told->vmas};
        if (!known)
            out[(*count)++] = (struct vregion_info){.index = entry->index, .part = entry->part};
        if (!known && entry->vregion && rc == 0)
            rc = line_table_watch(&entry->vregion->lines, NULL, space->frames);
    }
    return rc;
}

/* With the lock. */
static int compare_vregions(struct told *told, struct vregion_info **out, uint32_t *count)
{
    uint32_t there = told->space->vregions.count;
    struct told_vregion *now = calloc(there + 1, sizeof *now);
    *out = malloc((there + told->count + 1) * sizeof **out);
    *count = 0;
    if (!now || !*out) {
        free(now);
        return -ENOMEM;
    }
    *count = forget_gone(told, *out);
    int rc = take_over(told, now, *out, count);
    free(told->vregions);
    told->vregions = now;
    told->count = there;
    return rc;
}

uint32_t told_parts(struct told *told, struct part_owner *out)
{
    struct component now[PARTS_MAX];
    uint32_t count = 0;
    space_parts(told->space, now);
    for (uint16_t part = 0; part < PARTS_MAX; part++)
        if (now[part].n != told->parts[part].n)
            out[count++] = (struct part_owner){.part = part, .owner = now[part]};
    memcpy(told->parts, now, sizeof now);
    return count;
}

int told_vregions(struct told *told, struct vregion_info **out, uint32_t *count)
{
    *out = NULL;
    int rc = lock_live(told->space);
    if (rc < 0)
        return rc;
    rc = compare_vregions(told, out, count);
    pthread_mutex_unlock(&told->space->lock);
    if (rc < 0) {
        free(*out);
        *out = NULL;
    }
    return rc;
}

/* ---- vmas and lines ---- */

int told_vmas(struct told *told, uint32_t i)
{
    struct told_vregion *known = &told->vregions[i];
    int rc = lock_live(told->space);
    if (rc < 0)
        return rc;
    const struct vregion *vregion = watched(told, known->index);
    if (vregion && !vma_tree_equal(&known->vmas, &vregion->vmas)) {
        vma_tree_free(&known->vmas);
        rc = vma_tree_clone(&vregion->vmas, &known->vmas, &told->vmas);
        rc = rc < 0 ? rc : 1;
    }
    pthread_mutex_unlock(&told->space->lock);
    return rc;
}

/* Whether the replica can take a line of the vRegion: not where its vma came after those that were
   told, nor zeros for a file's that it takes for nobody's. */
static bool is_said(const struct told_vregion *known, const struct vregion *vregion, uint32_t line)
{
    const struct vma *told = vma_at_or_after(&known->vmas, line);
    const struct vma *now = vma_at_or_after(&vregion->vmas, line);
    return told && told->first <= line && now && now->first <= line && !told->file == !now->file;
}

int told_lines(struct told *told, uint32_t i, uint32_t *line, struct told_lines *out)
{
    struct frames *frames = told->space->frames;
    const struct told_vregion *known = &told->vregions[i];
    out->count = out->frames_count = 0;
    int rc = lock_live(told->space);
    if (rc < 0)
        return rc;
    struct vregion *vregion = watched(told, known->index);
    while (vregion && out->count < WRITE_MAX_LINES &&
           (*line = line_table_take_changed(&vregion->lines, *line)) < VREGION_LINES) {
        uint32_t entry = line_table_get(&vregion->lines, frames, *line);
        if (entry != LINE_ABSENT && !is_said(known, vregion, *line)) {
            line_table_touch(&vregion->lines, (*line)++); /* in the next round */
            continue;
        }
        out->lines[out->count++] = (struct line_source){(*line)++, entry};
        if (!line_has_frame(entry))
            continue;
        out->frames[out->frames_count].n = entry;
        out->cold[out->frames_count] = !frames_pin(frames, (struct frame){entry});
        out->frames_count++;
    }
    pthread_mutex_unlock(&told->space->lock);
    return (int)out->count;
}

void told_lines_sent(const struct told *told, const struct told_lines *lines)
{
    struct frame_batch batch;
    frame_batch_init(&batch, told->space->frames);
    for (uint32_t i = 0; i < lines->frames_count; i++)
        frame_batch_unpin(&batch, lines->frames[i]);
    frame_batch_flush(&batch);
}
