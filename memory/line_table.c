/*
 * Line tables: a directory of chunks, each chunk itself a frame of CHUNK_LINES entries.
 *
 * Invariants:
 *  - an entry holds one reference to its frame, and a chunk's frame has one reference for each
 *    table that it is in; so cloning a table costs one reference a chunk, not one a line;
 *  - a chunk with more than one reference is never changed. The first change of one copies it and
 *    takes a reference to each frame in it. Two clones that do so at once both copy, and the last
 *    to let go of the old chunk frees it: no lock is shared between clones.
 *
 * Chunks come out of the frame budget, so no peer can make the tables outgrow it. Work is
 * proportional to the chunks that are there, whatever the range.
 */
#include "line_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

static uint32_t *entries(const struct frames *frames, struct frame chunk)
{
    return frames_data(frames, chunk);
}

uint32_t line_table_get(const struct line_table *table, const struct frames *frames, uint32_t line)
{
    if (!table->chunks)
        return LINE_ABSENT;
    struct frame chunk = table->chunks[line / CHUNK_LINES];
    return chunk.n ? entries(frames, chunk)[line % CHUNK_LINES] : LINE_ABSENT;
}

/* Lets go of a chunk and, with its last reference, of the frames in it. */
static void drop_chunk(struct frame_batch *batch, struct frame chunk)
{
    if (!frame_batch_unref(batch, chunk))
        return;
    const uint32_t *e = entries(batch->frames, chunk);
    for (uint32_t i = 0; i < CHUNK_LINES; i++)
        if (line_has_frame(e[i]))
            frame_batch_drop(batch, (struct frame){e[i]});
    frame_batch_add(batch, chunk);
}

static uint32_t frames_in(const struct frames *frames, struct frame chunk)
{
    const uint32_t *e = entries(frames, chunk);
    uint32_t count = 0;
    for (uint32_t i = 0; i < CHUNK_LINES; i++)
        count += line_has_frame(e[i]);
    return count;
}

int line_table_own(struct line_table *table, struct frame_batch *batch, uint32_t line)
{
    struct frames *frames = batch->frames;
    if (!table->chunks) {
        table->chunks = calloc(CHUNK_COUNT, sizeof *table->chunks);
        if (!table->chunks)
            return -ENOMEM;
    }
    struct frame *chunk = &table->chunks[line / CHUNK_LINES];
    if (chunk->n && frames_exclusive(frames, *chunk))
        return 0;

    struct frame own;
    if (frames_take(frames, FRAME_FOR_TABLE, &own, 1) == 0)
        return ASH_NO_FRAMES;
    uint32_t *e = entries(frames, own);
    if (chunk->n) {
        memcpy(e, entries(frames, *chunk), LINE_SIZE);
        for (uint32_t i = 0; i < CHUNK_LINES; i++)
            if (line_has_frame(e[i]))
                frames_ref(frames, (struct frame){e[i]});
        drop_chunk(batch, *chunk);
    } else {
        memset(e, 0, LINE_SIZE);
    }
    *chunk = own;
    return 0;
}

uint32_t line_table_set(struct line_table *table, const struct frames *frames, uint32_t line,
                        uint32_t entry)
{
    uint32_t *e = &entries(frames, table->chunks[line / CHUNK_LINES])[line % CHUNK_LINES];
    uint32_t old = *e;
    *e = entry;
    line_table_touch(table, line);
    table->frames += (uint32_t)line_has_frame(entry) - (uint32_t)line_has_frame(old);
    return old;
}

static bool any_stored(const uint32_t *e, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (e[i] != LINE_ABSENT)
            return true;
    return false;
}

/* The lines of a chunk that goes. */
static void touch_stored(struct line_table *table, const uint32_t *e, uint32_t first)
{
    for (uint32_t i = 0; table->changed && i < CHUNK_LINES; i++)
        if (e[i] != LINE_ABSENT)
            line_table_touch(table, first + i);
}

/* Owns the chunks that the range covers only in part and has lines in. */
int line_table_prepare_clear(struct line_table *table, struct frame_batch *batch, uint32_t first,
                             uint32_t end)
{
    if (!table->chunks || first >= end)
        return 0;
    uint32_t edges[2] = {first / CHUNK_LINES, (end - 1) / CHUNK_LINES};
    for (int i = 0; i < 2; i++) {
        uint32_t start = edges[i] * CHUNK_LINES;
        uint32_t from = first > start ? first - start : 0;
        uint32_t to = end < start + CHUNK_LINES ? end - start : CHUNK_LINES;
        struct frame chunk = table->chunks[edges[i]];
        if (!chunk.n || to - from == CHUNK_LINES ||
            !any_stored(entries(batch->frames, chunk) + from, to - from))
            continue;
        int rc = line_table_own(table, batch, start);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void forget(struct line_table *table, struct frame_batch *batch, uint32_t line)
{
    uint32_t old = line_table_set(table, batch->frames, line, LINE_ABSENT);
    if (line_has_frame(old))
        frame_batch_drop(batch, (struct frame){old});
}

void line_table_clear(struct line_table *table, struct frame_batch *batch, uint32_t first,
                      uint32_t end)
{
    struct frames *frames = batch->frames;
    if (!table->chunks)
        return;
    for (uint32_t line = first, stop; line < end; line = stop) {
        struct frame *chunk = &table->chunks[line / CHUNK_LINES];
        stop = (line / CHUNK_LINES + 1) * CHUNK_LINES;
        if (stop > end)
            stop = end;
        if (!chunk->n)
            continue;
        if (stop - line == CHUNK_LINES) {
            touch_stored(table, entries(frames, *chunk), line);
            table->frames -= frames_in(frames, *chunk);
            drop_chunk(batch, *chunk);
            chunk->n = 0;
            continue;
        }
        if (!any_stored(entries(frames, *chunk) + line % CHUNK_LINES, stop - line))
            continue;
        for (; line < stop; line++)
            forget(table, batch, line);
    }
}

/* The first line at or after `line` that is stored, or `end`. */
static uint32_t next_stored(const struct line_table *table, const struct frames *frames,
                            uint32_t line, uint32_t end)
{
    while (table->chunks && line < end) {
        struct frame chunk = table->chunks[line / CHUNK_LINES];
        if (!chunk.n)
            line = (line / CHUNK_LINES + 1) * CHUNK_LINES;
        else if (entries(frames, chunk)[line % CHUNK_LINES] != LINE_ABSENT)
            return line;
        else
            line++;
    }
    return end;
}

int line_table_prepare_move(struct line_table *from, uint32_t first, struct line_table *to,
                            uint32_t to_first, uint32_t count, struct frame_batch *batch)
{
    struct frames *frames = batch->frames;
    uint32_t end = first + count, to_end = to_first + count;
    for (uint32_t line = first; (line = next_stored(from, frames, line, end)) < end; line++) {
        int rc = line_table_own(from, batch, line);
        if (rc == 0)
            rc = line_table_own(to, batch, to_first + (line - first));
        if (rc < 0)
            return rc;
    }
    for (uint32_t line = to_first; (line = next_stored(to, frames, line, to_end)) < to_end;
         line++) {
        int rc = line_table_own(to, batch, line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void line_table_move(struct line_table *from, uint32_t first, struct line_table *to,
                     uint32_t to_first, uint32_t count, struct frame_batch *batch)
{
    struct frames *frames = batch->frames;
    uint32_t end = first + count, to_end = to_first + count;
    for (uint32_t line = to_first; (line = next_stored(to, frames, line, to_end)) < to_end; line++)
        forget(to, batch, line);
    for (uint32_t line = first; (line = next_stored(from, frames, line, end)) < end; line++) {
        uint32_t entry = line_table_set(from, frames, line, LINE_ABSENT);
        line_table_set(to, frames, to_first + (line - first), entry);
    }
    line_table_clear(from, batch, first, end); /* gives the emptied chunks back */
}

int line_table_clone(const struct line_table *table, struct line_table *copy, struct frames *frames)
{
    *copy = (struct line_table){0};
    if (!table->chunks)
        return 0;
    copy->chunks = malloc(CHUNK_COUNT * sizeof *copy->chunks);
    if (!copy->chunks)
        return -ENOMEM;
    memcpy(copy->chunks, table->chunks, CHUNK_COUNT * sizeof *copy->chunks);
    copy->frames = table->frames;
    for (uint32_t i = 0; i < CHUNK_COUNT; i++)
        if (copy->chunks[i].n)
            frames_ref(frames, copy->chunks[i]);
    return 0;
}

static uint32_t entry_of(const struct frames *frames, struct frame chunk, uint32_t line)
{
    return chunk.n ? entries(frames, chunk)[line % CHUNK_LINES] : LINE_ABSENT;
}

/* The first line at or after `line` whose entry differs, or VREGION_LINES. A chunk that both share
   holds the same in both: O(chunks) where little was changed. */
static uint32_t next_difference(const struct line_table *a, const struct line_table *b,
                                const struct frames *frames, uint32_t line)
{
    const struct frame none = {0};
    for (uint32_t stop; line < VREGION_LINES; line = stop) {
        struct frame x = a->chunks ? a->chunks[line / CHUNK_LINES] : none;
        struct frame y = b->chunks ? b->chunks[line / CHUNK_LINES] : none;
        stop = (line / CHUNK_LINES + 1) * CHUNK_LINES;
        for (; x.n != y.n && line < stop; line++)
            if (entry_of(frames, x, line) != entry_of(frames, y, line))
                return line;
    }
    return VREGION_LINES;
}

int line_table_watch(struct line_table *table, const struct line_table *known,
                     const struct frames *frames)
{
    static const struct line_table nothing;
    table->changed = calloc(VREGION_LINES / 64, sizeof *table->changed);
    if (!table->changed)
        return -ENOMEM;
    known = known ? known : &nothing;
    for (uint32_t line = 0; (line = next_difference(known, table, frames, line)) < VREGION_LINES;
         line++)
        line_table_touch(table, line);
    return 0;
}

void line_table_unwatch(struct line_table *table)
{
    free(table->changed);
    table->changed = NULL;
}

uint32_t line_table_take_changed(struct line_table *table, uint32_t line)
{
    for (uint32_t stop; line < VREGION_LINES; line = stop) {
        uint64_t bits = table->changed[line / 64] & ~0ull << line % 64;
        stop = (line / 64 + 1) * 64;
        if (!bits)
            continue;
        line = line / 64 * 64 + (uint32_t)__builtin_ctzll(bits);
        table->changed[line / 64] &= ~(1ull << line % 64);
        return line;
    }
    return VREGION_LINES;
}

static bool see(uint8_t *seen, uint32_t frame)
{
    uint8_t bit = (uint8_t)(1 << frame % 8);
    bool before = seen[frame / 8] & bit;
    seen[frame / 8] |= bit;
    return before;
}

uint32_t line_table_count(const struct line_table *table, const struct frames *frames,
                          uint8_t *seen)
{
    uint32_t count = 0;
    for (uint32_t i = 0; table->chunks && i < CHUNK_COUNT; i++) {
        struct frame chunk = table->chunks[i];
        if (!chunk.n || see(seen, chunk.n)) /* one that was seen has been counted through */
            continue;
        const uint32_t *e = entries(frames, chunk);
        for (uint32_t j = 0; j < CHUNK_LINES; j++)
            count += line_has_frame(e[j]) && !see(seen, e[j]);
    }
    return count;
}

void line_table_free(struct line_table *table, struct frame_batch *batch)
{
    for (uint32_t i = 0; table->chunks && i < CHUNK_COUNT; i++)
        if (table->chunks[i].n)
            drop_chunk(batch, table->chunks[i]);
    line_table_unwatch(table);
    free(table->chunks);
    *table = (struct line_table){0};
}
