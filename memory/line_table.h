/*
 * The line table of one vRegion: for each line the frame that holds it, 4 bytes a line.
 *
 * Protected by the lock of the address space that it belongs to. Chunks are shared between clones
 * of an address space; the table copies a shared one before it changes it.
 */
#ifndef ASHLAR_MEMORY_LINE_TABLE_H
#define ASHLAR_MEMORY_LINE_TABLE_H

#include "frames.h"

/* What a table says of a line: nothing was stored, zeros were stored, or the frame's number. */
enum { LINE_ABSENT = 0 };
#define LINE_STORED_ZERO UINT32_MAX

static inline bool line_has_frame(uint32_t entry)
{
    return entry != LINE_ABSENT && entry != LINE_STORED_ZERO;
}

enum {
    CHUNK_LINES = LINE_SIZE / sizeof(uint32_t),
    CHUNK_COUNT = VREGION_LINES / CHUNK_LINES,
};

struct line_table {
    struct frame *chunks; /* CHUNK_COUNT of them; NULL while nothing was stored */
    uint32_t frames;      /* lines that have a frame */
    uint64_t *changed;    /* a bit for each line, while it is watched; else NULL */
};

uint32_t line_table_get(const struct line_table *table, const struct frames *frames, uint32_t line);

/*
 * Makes the chunk of a line present and this table's own, so that line_table_set() can follow.
 * What the lines hold stays. -ENOMEM or ASH_NO_FRAMES.
 */
int line_table_own(struct line_table *table, struct frame_batch *batch, uint32_t line)
    __attribute__((warn_unused_result));

/* Replaces an entry whose chunk is owned; the caller's reference goes in, the old one comes out. */
uint32_t line_table_set(struct line_table *table, const struct frames *frames, uint32_t line,
                        uint32_t entry);

/*
 * Changes of ranges come in two steps: one that may fail (ASH_NO_FRAMES, -ENOMEM: a shared chunk
 * could not be copied) and changes nothing that a reader could see, and one that cannot fail.
 */
int line_table_prepare_clear(struct line_table *table, struct frame_batch *batch, uint32_t first,
                             uint32_t end) __attribute__((warn_unused_result));
/* Makes lines absent. */
void line_table_clear(struct line_table *table, struct frame_batch *batch, uint32_t first,
                      uint32_t end);

int line_table_prepare_move(struct line_table *from, uint32_t first, struct line_table *to,
                            uint32_t to_first, uint32_t count, struct frame_batch *batch)
    __attribute__((warn_unused_result));
/* Moves `count` lines, replacing what was stored at `to`. The two ranges do not overlap. */
void line_table_move(struct line_table *from, uint32_t first, struct line_table *to,
                     uint32_t to_first, uint32_t count, struct frame_batch *batch);

/* Makes `copy` (empty) share everything of `table`. */
int line_table_clone(const struct line_table *table, struct line_table *copy, struct frames *frames)
    __attribute__((warn_unused_result));

/*
 * From now on it is known which lines have changed: those that are not what `known` says (NULL:
 * that nothing was stored), and whatever is changed from here on. Who overwrites a frame in place
 * says so with line_table_touch(). -ENOMEM.
 */
int line_table_watch(struct line_table *table, const struct line_table *known,
                     const struct frames *frames) __attribute__((warn_unused_result));
void line_table_unwatch(struct line_table *table);
static inline void line_table_touch(struct line_table *table, uint32_t line)
{
    if (table->changed)
        table->changed[line / 64] |= 1ull << line % 64;
}
/* The next changed line of a watched table at or after `line`, which counts as changed no more; or
   VREGION_LINES. */
uint32_t line_table_take_changed(struct line_table *table, uint32_t line);

/* Counts the frames that its lines have and that are not in `seen` yet, a bit for each frame, and
   puts them there. */
uint32_t line_table_count(const struct line_table *table, const struct frames *frames,
                          uint8_t *seen);

void line_table_free(struct line_table *table, struct frame_batch *batch);

#endif
