/*
 * Fetches. Cost of one: a pin taken and dropped for each data line, a cache look-up for each
 * file line; frames that are neighbours are sent as one piece. No allocation.
 */
#include "fetch.h"

#include "errors.h"
#include "logged.h"
#include "types.h"

/* Drops what the lines from `first` on refer to: they are not answered. */
static void truncate_at(struct fetch *fetch, uint32_t first, struct frames *frames)
{
    struct frame_batch batch;
    frame_batch_init(&batch, frames);
    for (uint32_t i = first; i < fetch->count; i++) {
        if (fetch->kinds[i] == LINE_DATA || fetch->kinds[i] == FETCH_COLD)
            frame_batch_unpin(&batch, fetch->frames[i]);
        else if (fetch->kinds[i] == FETCH_OF_FILE)
            file_put(fetch->files[i].file);
    }
    frame_batch_flush(&batch);
    fetch->count = first;
}

/* Its pin goes where it cannot be had. */
static int heat(struct frames *frames, struct frame frame, uint8_t *kind)
{
    struct frame_batch batch;
    int rc = cold_heat(frames->cold, frame);
    *kind = rc == 0 ? LINE_DATA : LINE_IO_ERROR;
    if (rc == 0)
        return 0;
    frame_batch_init(&batch, frames);
    frame_batch_unpin(&batch, frame);
    frame_batch_flush(&batch);
    return rc == ASH_LOST ? rc : 0;
}

/* Those that are logged are read back together. One that cannot be is met again below. */
static void heat_logged(struct fetch *fetch, struct frames *frames)
{
    struct frame cold[FETCH_MAX_LINES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < fetch->count; i++)
        if (fetch->kinds[i] == FETCH_COLD)
            cold[count++] = fetch->frames[i];
    if (count && frames->cold->log)
        (void)!logged_heat(frames->cold, cold, count, true);
}

int fetch_fill(struct fetch *fetch, struct cache *cache)
{
    heat_logged(fetch, cache->frames);
    for (uint32_t i = 0; i < fetch->count; i++) {
        if (fetch->kinds[i] == FETCH_COLD &&
            heat(cache->frames, fetch->frames[i], &fetch->kinds[i]) < 0) {
            truncate_at(fetch, i, cache->frames);
            return i == 0 ? ASH_LOST : 0;
        }
        if (fetch->kinds[i] != FETCH_OF_FILE)
            continue;
        const struct fetch_file *of = &fetch->files[i];
        int rc = cache_get(cache, of->file, of->page, of->file_end, i == 0, &fetch->frames[i]);
        if (rc < 0) {
            truncate_at(fetch, i, cache->frames);
            return i == 0 ? rc : 0;
        }
        file_put(of->file);
        fetch->kinds[i] = (uint8_t)rc;
    }
    return 0;
}

int fetch_pieces(const struct fetch *fetch, const struct frames *frames, struct iovec *pieces,
                 uint32_t *bytes)
{
    int count = 0;
    uint32_t last = 0;
    *bytes = 0;
    for (uint32_t i = 0; i < fetch->count; i++) {
        if (fetch->kinds[i] != LINE_DATA)
            continue;
        if (count && fetch->frames[i].n == last + 1)
            pieces[count - 1].iov_len += LINE_SIZE;
        else
            pieces[count++] = (struct iovec){frames_data(frames, fetch->frames[i]), LINE_SIZE};
        last = fetch->frames[i].n;
        *bytes += LINE_SIZE;
    }
    return count;
}

void fetch_release(struct fetch *fetch, struct frames *frames)
{
    truncate_at(fetch, 0, frames);
}
