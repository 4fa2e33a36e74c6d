/* What the files of a space share: its lock, and the pieces of a range. */
#ifndef ASHLAR_MEMORY_SPACE_INSIDE_H
#define ASHLAR_MEMORY_SPACE_INSIDE_H

#include "space.h"

/* Locks one that lives; else says what became of it. */
static inline int lock_live(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    int gone = space->gone;
    if (gone)
        pthread_mutex_unlock(&space->lock);
    return gone;
}

struct piece {
    struct vregion *vregion;
    uint32_t first, end; /* lines of it */
};

/* Whether there are more pieces; then *piece is the next and *at the line after it. */
static inline bool next_piece(const struct space *space, uint64_t *at, uint64_t end,
                              struct piece *piece)
{
    if (*at >= end)
        return false;
    uint64_t stop = (*at / VREGION_LINES + 1) * VREGION_LINES;
    if (stop > end)
        stop = end;
    piece->vregion = vregion_at(&space->vregions, *at / VREGION_LINES);
    piece->first = (uint32_t)(*at % VREGION_LINES);
    piece->end = piece->first + (uint32_t)(stop - *at);
    *at = stop;
    return true;
}

#endif
