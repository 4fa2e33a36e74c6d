/*
 * What the replica that is being made of a space has been told, and what it has not.
 *
 * While it is made, the line tables of the space are watched (line_table.h), and the vRegions and
 * vmas that were told are kept here. What has changed since is asked for piece by piece, under the
 * space's lock, counts as told then, and is sent without it. So nothing is kept from being
 * overwritten but the lines on their way, and a piece that changes again is told again.
 */
#ifndef ASHLAR_MEMORY_TOLD_H
#define ASHLAR_MEMORY_TOLD_H

#include "space.h"

struct told_vregion {
    uint32_t index;
    uint16_t part;
    struct vma_tree vmas; /* of this part */
};

/* Of one thread. */
struct told {
    struct space *space;
    struct told_vregion *vregions; /* in order of index */
    uint32_t count;
    uint32_t vmas; /* in all of them */
    struct component parts[PARTS_MAX];
};

/* Lines on their way: the first frames_count of `frames` are pinned, in the order of the lines that
   have one; told_lines_sent() is owed. */
struct told_lines {
    struct line_source lines[WRITE_MAX_LINES];
    struct frame frames[WRITE_MAX_LINES];
    bool cold[WRITE_MAX_LINES]; /* of a frame: its bytes are not in DRAM */
    uint32_t count, frames_count;
};

/* Begins. `like` is what the replica has already, and nobody else's; NULL: nothing. told_end() is
   owed in every case. 0, -ENOMEM, or what became of the space. */
int told_begin(struct told *told, struct space *space, const struct space *like)
    __attribute__((warn_unused_result));
void told_end(struct told *told);

/* What is to be said of further parts, at most PARTS_MAX of them. Returns how many. */
uint32_t told_parts(struct told *told, struct part_owner *out);
/*
 * What is to be said of vRegions, those that are active no more first (PART_NONE): *count of them
 * in *out, which the caller frees. Then told->vregions are those that the space has.
 */
int told_vregions(struct told *told, struct vregion_info **out, uint32_t *count)
    __attribute__((warn_unused_result));
/* Whether the vmas of told->vregions[i] are to be said: 1, and they are in its `vmas`; 0. */
int told_vmas(struct told *told, uint32_t i) __attribute__((warn_unused_result));
/* Up to WRITE_MAX_LINES of its lines that are to be said, from *line on, which then is behind them;
   those whose vma was not told yet are left for the next round. Returns how many. */
int told_lines(struct told *told, uint32_t i, uint32_t *line, struct told_lines *out)
    __attribute__((warn_unused_result));
void told_lines_sent(const struct told *told, const struct told_lines *lines);

#endif
