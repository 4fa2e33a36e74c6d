/*
 * The storage buffer cache: a hash of (file, page), cut into shards by cluster.
 *
 * A page's descriptor lies at its frame's number, so nothing is allocated but frames. A shard's
 * pages are in a list by age with a second chance: a page that was used since it was last looked
 * at goes back to the young end instead of out.
 *
 * A miss puts descriptors marked `filling` for the missing pages around it, lets go of the lock,
 * reads them with one message, and marks them valid or takes them out again. Others who want one of
 * them wait for that one read. A page that is filling is not evicted, and its frame is written to
 * by the filling thread alone; a valid page's frame is never written to.
 *
 * Cost: a hit takes one lock of 16 and no copy; a miss one message and one copy (out of the
 * connection's buffer) for up to CACHE_CLUSTER pages.
 */
#include "cache.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "clock.h"
#include "deadline.h"
#include "errors.h"
#include "limits.h"

struct cache_page {
    struct file *file;
    uint64_t index;
    uint32_t next; /* in its bucket */
    uint32_t younger, older;
    bool filling, used;
};

_Static_assert(CACHE_CLUSTER *LINE_SIZE <= FILE_IO_MAX, "a cluster is one FILE_READ");

static void *zero_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static size_t pages_bytes(const struct cache *cache)
{
    return (cache->frames->count + 1ull) * sizeof *cache->pages;
}

int cache_init(struct cache *cache, struct frames *frames)
{
    *cache = (struct cache){.frames = frames, .bucket_count = CACHE_SHARDS * CACHE_CLUSTER};
    while (cache->bucket_count < frames->size / 2)
        cache->bucket_count *= 2;
    cache->pages = zero_pages(pages_bytes(cache));
    cache->buckets = zero_pages(cache->bucket_count * sizeof *cache->buckets);
    if (!cache->pages || !cache->buckets) {
        cache_free(cache);
        return -ENOMEM;
    }
    int rc = 0;
    for (int i = 0; i < CACHE_SHARDS && rc == 0; i++) {
        rc = -pthread_mutex_init(&cache->shards[i].lock, NULL);
        if (rc == 0)
            rc = deadline_cond_init(&cache->shards[i].filled);
    }
    if (rc == 0)
        frames_set_reclaim(frames, cache_reclaim, cache);
    return rc;
}

void cache_free(struct cache *cache)
{
    if (!cache->frames)
        return;
    while (cache->pages && cache->buckets && cache_reclaim(cache, UINT32_MAX))
        ;
    if (cache->pages)
        munmap(cache->pages, pages_bytes(cache));
    if (cache->buckets)
        munmap(cache->buckets, cache->bucket_count * sizeof *cache->buckets);
    *cache = (struct cache){0};
}

/* ---- finding: a cluster's pages lie in neighbouring buckets, which one shard protects ---- */

static uint64_t bucket_index(const struct cache *cache, const struct file *file, uint64_t page)
{
    uint64_t h = ((uintptr_t)file >> 4) * 0x9e3779b97f4a7c15ull + page / CACHE_CLUSTER;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h ^= h >> 31;
    return (h * CACHE_CLUSTER + page % CACHE_CLUSTER) & (cache->bucket_count - 1);
}

static struct cache_shard *shard_at(struct cache *cache, uint64_t bucket)
{
    return &cache->shards[bucket / CACHE_CLUSTER % CACHE_SHARDS];
}

static uint32_t find(const struct cache *cache, const struct file *file, uint64_t page)
{
    uint32_t n = cache->buckets[bucket_index(cache, file, page)];
    while (n && (cache->pages[n].file != file || cache->pages[n].index != page))
        n = cache->pages[n].next;
    return n;
}

/* ---- the list by age ---- */

static void make_youngest(struct cache *cache, struct cache_shard *shard, uint32_t n)
{
    struct cache_page *p = &cache->pages[n];
    p->younger = 0;
    p->older = shard->newest;
    if (shard->newest)
        cache->pages[shard->newest].younger = n;
    else
        shard->oldest = n;
    shard->newest = n;
}

static void unlink_page(struct cache *cache, struct cache_shard *shard, uint32_t n)
{
    struct cache_page *p = &cache->pages[n];
    *(p->younger ? &cache->pages[p->younger].older : &shard->newest) = p->older;
    *(p->older ? &cache->pages[p->older].younger : &shard->oldest) = p->younger;
}

static void insert(struct cache *cache, struct cache_shard *shard, struct file *file, uint64_t page,
                   struct frame frame)
{
    uint32_t *bucket = &cache->buckets[bucket_index(cache, file, page)];
    cache->pages[frame.n] =
        (struct cache_page){.file = file, .index = page, .next = *bucket, .filling = true};
    *bucket = frame.n;
    make_youngest(cache, shard, frame.n);
    atomic_fetch_add_explicit(&file->pages, 1, memory_order_relaxed);
}

/* Takes a page out and drops the cache's reference. True where that freed its frame. */
static bool remove_page(struct cache *cache, struct cache_shard *shard, uint32_t n,
                        struct frame_batch *batch)
{
    struct cache_page *p = &cache->pages[n];
    uint32_t *at = &cache->buckets[bucket_index(cache, p->file, p->index)];
    while (*at != n)
        at = &cache->pages[*at].next;
    *at = p->next;
    unlink_page(cache, shard, n);
    /* Release: the last access to the file; files_tidy() may free it after this. */
    atomic_fetch_sub_explicit(&p->file->pages, 1, memory_order_release);
    frames_count_cached(cache->frames, -1);
    return frame_batch_drop(batch, (struct frame){n});
}

/* ---- filling ---- */

struct gap {
    uint64_t first;
    uint32_t count;
};

/* The missing pages around a missing one, within its cluster and the file. */
static struct gap gap_around(const struct cache *cache, const struct file *file, uint64_t page,
                             uint64_t file_end)
{
    uint64_t start = page - page % CACHE_CLUSTER, end = start + CACHE_CLUSTER;
    uint64_t first = page, last = page;
    if (end > file_end)
        end = file_end;
    while (first > start && !find(cache, file, first - 1))
        first--;
    while (last + 1 < end && !find(cache, file, last + 1))
        last++;
    return (struct gap){first, (uint32_t)(last - first + 1)};
}

/* Reads the gap into its frames, the rest of the last page zeroed. Returns bytes or an error. */
static int read_gap(struct cache *cache, struct file *file, struct gap gap,
                    const struct frame *frames, uint64_t deadline_ms)
{
    struct iovec to[CACHE_CLUSTER];
    for (uint32_t i = 0; i < gap.count; i++)
        to[i] = (struct iovec){frames_data(cache->frames, frames[i]), LINE_SIZE};
    const struct backing *backing = &file->files->backing;
    int got = backing->ops->read(backing->self, file, gap.first * LINE_SIZE, gap.count * LINE_SIZE,
                                 to, (int)gap.count, deadline_ms);
    if (got > 0 && got % LINE_SIZE)
        memset((uint8_t *)to[got / LINE_SIZE].iov_base + got % LINE_SIZE, 0,
               LINE_SIZE - got % LINE_SIZE);
    return got;
}

/* Ends a read: pages that it reached are valid, the others go. */
static void settle_gap(struct cache *cache, struct cache_shard *shard, struct gap gap,
                       const struct frame *frames, int got)
{
    uint32_t valid = got > 0 ? ((uint32_t)got + LINE_SIZE - 1) / LINE_SIZE : 0;
    struct frame_batch batch;
    frame_batch_init(&batch, cache->frames);
    pthread_mutex_lock(&shard->lock);
    for (uint32_t i = 0; i < gap.count; i++) {
        if (i < valid)
            cache->pages[frames[i].n].filling = false;
        else
            remove_page(cache, shard, frames[i].n, &batch);
    }
    pthread_cond_broadcast(&shard->filled);
    pthread_mutex_unlock(&shard->lock);
    frame_batch_flush(&batch);
}

/* Reads a page that was missing, with its neighbours. 0: look again; -EAGAIN: no frame is free at
   the moment; LINE_*: that. */
static int fill(struct cache *cache, struct cache_shard *shard, struct file *file, uint64_t page,
                uint64_t file_end, struct gap gap, uint64_t deadline_ms)
{
    struct frame frames[CACHE_CLUSTER];
    /* Without the lock: taking frames may have to reclaim some from this very shard. */
    uint32_t got = frames_take(cache->frames, FRAME_FOR_CACHE, frames, gap.count);
    if (got == 0)
        return -EAGAIN;
    struct frame_batch surplus;
    frame_batch_init(&surplus, cache->frames);

    pthread_mutex_lock(&shard->lock);
    bool missing = !find(cache, file, page);
    uint32_t used = 0;
    if (missing) {
        gap = gap_around(cache, file, page, file_end);
        if (gap.count > got) {
            uint64_t end = gap.first + gap.count;
            gap.first = end - page > got ? page : end - got;
            gap.count = got;
        }
        for (; used < gap.count; used++)
            insert(cache, shard, file, gap.first + used, frames[used]);
        frames_count_cached(cache->frames, (int)used);
    }
    pthread_mutex_unlock(&shard->lock);
    for (uint32_t i = used; i < got; i++)
        frame_batch_drop(&surplus, frames[i]);
    frame_batch_flush(&surplus);
    if (!missing)
        return 0;

    int bytes = read_gap(cache, file, gap, frames, deadline_ms);
    settle_gap(cache, shard, gap, frames, bytes);
    if (bytes < 0)
        return LINE_IO_ERROR;
    return (uint64_t)bytes > (page - gap.first) * LINE_SIZE ? 0 : LINE_PAST_END;
}

/* ---- what others call ---- */

/* All that the cache may have are being filled by others, or sent: some will be free soon. */
static bool wait_for_frames(uint64_t deadline_ms)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return clock_ms() < deadline_ms;
}

int cache_get(struct cache *cache, struct file *file, uint64_t page, uint64_t file_end, bool wait,
              struct frame *out)
{
    if (page >= file_end)
        return LINE_PAST_END;
    struct cache_shard *shard = shard_at(cache, bucket_index(cache, file, page));
    uint64_t deadline_ms = 0;
    for (;;) {
        pthread_mutex_lock(&shard->lock);
        uint32_t n = find(cache, file, page);
        if (n && !cache->pages[n].filling) {
            cache->pages[n].used = true;
            out->n = n;
            (void)frames_pin(cache->frames, *out); /* it is never cold */
            pthread_mutex_unlock(&shard->lock);
            return LINE_DATA;
        }
        if (!wait) {
            pthread_mutex_unlock(&shard->lock);
            return -EAGAIN;
        }
        if (!deadline_ms) {
            deadline_ms = clock_ms() + BACKING_TIMEOUT_MS;
        } else if (clock_ms() >= deadline_ms) {
            pthread_mutex_unlock(&shard->lock);
            return LINE_IO_ERROR;
        }
        if (n) {
            struct timespec end = deadline_timespec(deadline_ms);
            pthread_cond_timedwait(&shard->filled, &shard->lock, &end);
            pthread_mutex_unlock(&shard->lock);
            continue;
        }
        struct gap gap = gap_around(cache, file, page, file_end);
        pthread_mutex_unlock(&shard->lock);
        int rc = fill(cache, shard, file, page, file_end, gap, deadline_ms);
        if (rc > 0)
            return rc;
        if (rc == -EAGAIN && !wait_for_frames(deadline_ms))
            return ASH_NO_FRAMES;
    }
}

static uint32_t reclaim_from(struct cache *cache, struct cache_shard *shard, uint32_t want,
                             struct frame_batch *batch)
{
    uint32_t freed = 0, first_kept = 0;
    pthread_mutex_lock(&shard->lock);
    while (freed < want) {
        uint32_t n = shard->oldest;
        if (n == 0 || n == first_kept)
            break;
        struct cache_page *p = &cache->pages[n];
        if (!p->filling && !p->used) {
            freed += remove_page(cache, shard, n, batch);
            continue;
        }
        /* Twice around at most: what is merely used has lost its mark by then. */
        if (!first_kept && !p->used)
            first_kept = n;
        p->used = false;
        unlink_page(cache, shard, n);
        make_youngest(cache, shard, n);
    }
    pthread_mutex_unlock(&shard->lock);
    return freed;
}

uint32_t cache_reclaim(void *self, uint32_t want)
{
    struct cache *cache = self;
    struct frame_batch batch;
    frame_batch_init(&batch, cache->frames);
    unsigned start = atomic_fetch_add_explicit(&cache->next_victim, 1, memory_order_relaxed);
    uint32_t freed = 0;
    for (unsigned i = 0; i < CACHE_SHARDS && freed < want; i++)
        freed +=
            reclaim_from(cache, &cache->shards[(start + i) % CACHE_SHARDS], want - freed, &batch);
    frame_batch_flush(&batch);
    return freed;
}
