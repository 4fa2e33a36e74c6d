/*
 * What the log is asked of a space: which of its lines are to come back, and whether some are lost.
 * Both walk the line tables under the space's lock, a vRegion of them at a time or, after a loss,
 * all.
 */
#include "logged.h"
#include "space.h"

/* Whether it is logged; else it is made to stay. */
static bool is_logged(struct frames *frames, struct frame frame)
{
    uint64_t word = atomic_load_explicit(&frames->words[frame.n], memory_order_relaxed);
    if (word & FRAME_BACKED && !(word & FRAME_LOGGED))
        frames_adopt(frames, frame);
    return word & FRAME_LOGGED;
}

uint32_t space_adopt(struct space *space, uint32_t *index, uint32_t *line, struct frame *out)
{
    struct frames *frames = space->frames;
    uint32_t count = 0;
    pthread_mutex_lock(&space->lock);
    const struct vregion_entry *at = vregion_at_or_after(&space->vregions, *index);
    if (!at || at->index != *index)
        *line = 0;
    for (; at && at->vregion && *line < VREGION_LINES && count < FETCH_MAX_LINES; ++*line) {
        uint32_t entry = line_table_get(&at->vregion->lines, frames, *line);
        if (!line_has_frame(entry) || !is_logged(frames, (struct frame){entry}))
            continue;
        out[count].n = entry;
        (void)frames_pin(frames, out[count++]);
    }
    if (!at)
        *index = UINT32_MAX;
    else if (!at->vregion || *line == VREGION_LINES)
        *index = at->index + 1;
    else
        *index = at->index;
    if (!at || *index != at->index)
        *line = 0;
    pthread_mutex_unlock(&space->lock);
    return count;
}

bool space_has_lost_lines(struct space *space)
{
    bool lost = false;
    pthread_mutex_lock(&space->lock);
    for (uint32_t i = 0; i < space->vregions.count && !lost; i++) {
        const struct vregion *vregion = space->vregions.entries[i].vregion;
        for (uint32_t line = 0; vregion && line < VREGION_LINES && !lost; line++) {
            uint32_t entry = line_table_get(&vregion->lines, space->frames, line);
            lost =
                line_has_frame(entry) && logged_is_lost(space->frames->cold, (struct frame){entry});
        }
    }
    pthread_mutex_unlock(&space->lock);
    return lost;
}
