/*
 * Lines of a space: fetched, stored, and told to a replica.
 *
 * Cost: LINE_WRITE copies each line once, out of the connection's buffer into a fresh frame and
 * before the lock is taken; under the lock entries are exchanged. LINE_FETCH copies nothing.
 */
#include <errno.h>
#include <string.h>

#include "cold.h"
#include "errors.h"
#include "space_inside.h"

/* ---- fetching ---- */

/* What one line is; takes the pin that the answer needs. */
static uint8_t look_up(const struct space *space, const struct vregion *vregion,
                       const struct vma *vma, uint32_t line, struct fetch *fetch, uint32_t i)
{
    if (!vma || line < vma->first)
        return LINE_UNMAPPED;
    uint32_t entry = line_table_get(&vregion->lines, space->frames, line);
    if (entry == LINE_STORED_ZERO)
        return LINE_ZERO;
    if (entry != LINE_ABSENT) {
        fetch->frames[i].n = entry;
        return frames_pin_used(space->frames, fetch->frames[i]) ? LINE_DATA : FETCH_COLD;
    }
    if (!vma->file)
        return LINE_ZERO;
    file_ref(vma->file);
    fetch->files[i] = (struct fetch_file){vma->file, vma_file_page(vma, line), vma->file_end};
    return FETCH_OF_FILE;
}

/* Appends lines [first, first + count) to a fetch, as far as they are granted. With the lock. */
static uint32_t fetch_run(struct space *space, struct vpn first, uint32_t count,
                          struct fetch *fetch)
{
    struct piece p;
    uint32_t i = fetch->count;
    for (uint64_t at = first.n; next_piece(space, &at, first.n + count, &p) && p.vregion;) {
        const struct vma *vma = vma_at_or_after(&p.vregion->vmas, p.first);
        for (uint32_t line = p.first; line < p.end; line++, i++) {
            if (vma && line >= vma->end)
                vma = vma_at_or_after(&p.vregion->vmas, line);
            fetch->kinds[i] = look_up(space, p.vregion, vma, line, fetch, i);
        }
    }
    uint32_t got = i - fetch->count;
    fetch->count = i;
    return got;
}

static bool is_fetchable(struct vpn first, uint32_t count, uint32_t room)
{
    return count && count <= room && first.n < WINDOW_END >> LINE_SHIFT;
}

int space_fetch(struct space *space, struct vpn first, uint32_t count, struct fetch *fetch)
{
    fetch->count = 0;
    if (!is_fetchable(first, count, FETCH_MAX_LINES))
        return -EINVAL;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    uint32_t got = fetch_run(space, first, count, fetch);
    pthread_mutex_unlock(&space->lock);
    return got ? 0 : -EFAULT;
}

void space_fetch_more(struct space *space, const struct line_run *runs, uint32_t count,
                      struct fetch *fetch)
{
    if (count == 0 || lock_live(space) < 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        if (!is_fetchable(runs[i].first, runs[i].count, FETCH_MAX_LINES - fetch->count) ||
            fetch_run(space, runs[i].first, runs[i].count, fetch) < runs[i].count)
            break;
    pthread_mutex_unlock(&space->lock);
}

/* ---- storing ---- */

/* A line to store: where, and what its table will say. */
struct store {
    struct vpn page;
    struct vregion *vregion; /* NULL: the line lies in no vma */
    uint32_t line;
    uint32_t entry; /* a frame with the bytes, LINE_STORED_ZERO, or LINE_ABSENT: no frame */
    uint32_t over;  /* no frame: the one to overwrite, with a pin; or 0 */
    const uint8_t *data;
};

static bool all_zero(const uint8_t *data)
{
    for (uint32_t i = 0; i < LINE_SIZE; i += 64) {
        uint64_t w[8], any = 0;
        memcpy(w, data + i, sizeof w);
        for (int j = 0; j < 8; j++)
            any |= w[j];
        if (any)
            return false;
    }
    return true;
}

/* Copies the lines that are not zero into frames, as far as there are frames. */
static void fill_frames(struct frames *frames, enum frame_use use, struct store *stores,
                        uint32_t count)
{
    struct frame own[WRITE_MAX_LINES];
    uint32_t want = 0, used = 0;
    for (uint32_t i = 0; i < count; i++) {
        stores[i].entry = all_zero(stores[i].data) ? LINE_STORED_ZERO : LINE_ABSENT;
        stores[i].over = 0;
        want += stores[i].entry == LINE_ABSENT;
    }
    uint32_t got = frames_take(frames, use, own, want);
    for (uint32_t i = 0; i < count && used < got; i++) {
        if (stores[i].entry != LINE_ABSENT)
            continue;
        memcpy(frames_data(frames, own[used]), stores[i].data, LINE_SIZE);
        stores[i].entry = own[used++].n;
    }
}

/* Whether another store of the request is to the same line. */
static bool repeated(const struct store *stores, uint32_t count, uint32_t at)
{
    for (uint32_t i = 0; i < count; i++)
        if (i != at && stores[i].page.n == stores[at].page.n)
            return true;
    return false;
}

/*
 * Finds a store's place and makes its chunk ready. A line for which there was no frame may still
 * overwrite the frame that it has, where nobody else refers to that.
 */
static int prepare_store(struct space *space, struct frame_batch *batch, struct store *stores,
                         uint32_t count, uint32_t at)
{
    struct store *s = &stores[at];
    struct vregion *vregion = vregion_at(&space->vregions, s->page.n / VREGION_LINES);
    if (!vregion)
        return -EFAULT;
    s->vregion = NULL;
    s->line = (uint32_t)(s->page.n % VREGION_LINES);
    const struct vma *vma = vma_at_or_after(&vregion->vmas, s->line);
    if (!vma || s->line < vma->first)
        return 0;
    s->vregion = vregion;
    if (line_table_get(&vregion->lines, space->frames, s->line) == LINE_ABSENT &&
        s->entry == LINE_STORED_ZERO && !vma->file)
        return 0;
    int rc = line_table_own(&vregion->lines, batch, s->line);
    if (rc == 0 && s->entry == LINE_ABSENT) {
        uint32_t old = line_table_get(&vregion->lines, space->frames, s->line);
        if (!line_has_frame(old) || repeated(stores, count, at) ||
            !frames_pin_alone(space->frames, (struct frame){old}))
            rc = ASH_NO_FRAMES;
        else
            s->over = old;
    }
    return rc;
}

static void commit_store(struct space *space, struct frame_batch *batch, struct store *s,
                         bool backed)
{
    struct line_table *lines = &s->vregion->lines;
    uint32_t old = line_table_get(lines, space->frames, s->line);
    if (s->entry == LINE_ABSENT) {
        frames_empty(space->frames, (struct frame){s->over});
        memcpy(frames_data(space->frames, (struct frame){s->over}), s->data, LINE_SIZE);
        line_table_touch(lines, s->line);
        return;
    }
    if (s->entry == LINE_STORED_ZERO && old == LINE_ABSENT)
        if (!vma_at_or_after(&s->vregion->vmas, s->line)->file)
            return; /* an anonymous line is zero as it is */
    /* A replica's lines are not looked at: they become cold first. What may be logged instead is
       passed over once, as it may be overwritten soon. */
    if (line_has_frame(s->entry))
        frames_fill(space->frames, (struct frame){s->entry},
                    backed || space->place.role == ROLE_PRIMARY, backed);
    line_table_set(lines, space->frames, s->line, s->entry);
    if (line_has_frame(s->entry) && !line_has_frame(old))
        vregion_keep_promise(s->vregion, space->frames, 1);
    s->entry = old; /* its reference, or the lack of one, is ours now */
}

/* Stores all of them that lie in some vma, or none; returns how many do. */
static int store_all(struct space *space, struct store *stores, uint32_t count)
{
    struct frame_batch batch;
    bool backed = space_is_backed(space);
    int stored = 0;
    fill_frames(space->frames, backed ? FRAME_FOR_REPLICA : FRAME_FOR_LINE, stores, count);
    frame_batch_init(&batch, space->frames);

    int rc = lock_live(space);
    if (rc == 0) {
        for (uint32_t i = 0; i < count && rc == 0; i++)
            rc = prepare_store(space, &batch, stores, count, i);
        for (uint32_t i = 0; i < count && rc == 0; i++) {
            if (!stores[i].vregion)
                continue;
            commit_store(space, &batch, &stores[i], backed);
            stored++;
        }
        pthread_mutex_unlock(&space->lock);
    }
    /* What the tables did not take, or gave back in exchange. */
    for (uint32_t i = 0; i < count; i++) {
        if (line_has_frame(stores[i].entry))
            frame_batch_drop(&batch, (struct frame){stores[i].entry});
        if (stores[i].over)
            frame_batch_unpin(&batch, (struct frame){stores[i].over});
    }
    frame_batch_flush(&batch);
    return rc < 0 ? rc : stored;
}

/* Whether a line has a frame of its own, to be overwritten. */
static bool has_own_frame(struct space *space, struct vpn page)
{
    struct vregion *vregion = vregion_at(&space->vregions, page.n / VREGION_LINES);
    uint32_t entry =
        vregion ? line_table_get(&vregion->lines, space->frames, (uint32_t)(page.n % VREGION_LINES))
                : LINE_ABSENT;
    return line_has_frame(entry) && frames_exclusive(space->frames, (struct frame){entry});
}

uint32_t space_frames_wanted(struct space *space, const struct line_ref *lines, uint32_t count,
                             const uint8_t *data)
{
    uint32_t wanted = 0;
    pthread_mutex_lock(&space->lock);
    for (uint32_t i = 0; i < count; i++)
        wanted += !has_own_frame(space, lines[i].page) && !all_zero(data + (size_t)i * LINE_SIZE);
    pthread_mutex_unlock(&space->lock);
    return wanted;
}

int space_write(struct space *space, const struct line_ref *lines, uint32_t count,
                const uint8_t *data)
{
    struct store stores[WRITE_MAX_LINES];
    if (count == 0 || count > WRITE_MAX_LINES)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        stores[i].page = lines[i].page;
        stores[i].data = data + (size_t)i * LINE_SIZE;
    }
    return store_all(space, stores, count);
}

int space_set_lines(struct space *space, uint32_t index, const struct line_source *lines,
                    uint32_t count, const uint8_t *data)
{
    static const uint8_t zero[LINE_SIZE];
    struct store stores[WRITE_MAX_LINES];
    uint32_t present = 0;
    int rc = 0;
    if (count == 0 || count > WRITE_MAX_LINES)
        return -EINVAL;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        struct vpn page = {(uint64_t)index * VREGION_LINES + lines[i].line};
        if (lines[i].line >= VREGION_LINES) {
            rc = -EINVAL;
        } else if (lines[i].source == LINE_ABSENT) {
            struct vm_op discard = {.kind = VM_OP_DISCARD, .first = page, .count = 1};
            rc = space_apply(space, &discard);
        } else {
            bool zeros = lines[i].source == LINE_STORED_ZERO;
            stores[present++] = (struct store){.page = page, .data = zeros ? zero : data};
            data += zeros ? 0 : LINE_SIZE;
        }
    }
    if (rc == 0 && present)
        rc = store_all(space, stores, present);
    return rc < 0 ? rc : 0;
}
