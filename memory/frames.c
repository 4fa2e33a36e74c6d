/*
 * Frames: two lock-free stacks of free frames and a count of those never used.
 *
 * Both stacks are Treiber's, their heads tagged against ABA; a run of frames is taken or given with
 * one compare-and-swap: a head whose tag has not changed proves that the links read below it were
 * those of the list. Taking prefers warm frames (the host has a page behind them), then bare ones,
 * then fresh ones. Frames that come back in bulk while many warm ones lie about are given back to
 * the host with madvise() in runs and become bare.
 *
 * The reserve: lines may not take the last `reserve` frames, tables not the last half of them. So a
 * full component can still unmap, copy a chunk of a table, and read a file's pages.
 *
 * Pages: a frame in use has one, but for cold ones; the store's are counted with them. Lines keep
 * within `dram` less the reserve, making others cold where they have to; tables and the cache may
 * go beyond it by the reserve, so that reading goes on.
 *
 * Cost: taking and giving are O(1) for each frame; metadata is 8 bytes a frame, touched on use, and 4 more
 * of one that is cold.
 */
#include "frames.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cold.h"

enum {
    RESERVE_MAX = 128,     /* frames */
    WARM_KEEP = 16 * 1024, /* warm free frames (64 MiB) kept from the host */
    BULK = 64,             /* frames in a batch worth giving back */
    RUN_MIN = 8,           /* neighbouring frames worth a system call */
    RECLAIM_MIN = 64,      /* frames to ask the cache for at a time */
};

static void *reserve_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

int frames_init(struct frames *frames, uint64_t size_bytes)
{
    return frames_init_logged(frames, size_bytes, 0);
}

int frames_init_logged(struct frames *frames, uint64_t size_bytes, uint64_t logged_bytes)
{
    uint64_t size = size_bytes / LINE_SIZE, count = size + logged_bytes / LINE_SIZE;
    if (size < 64 || size >= UINT32_MAX - 1 || count < size || count >= UINT32_MAX - 1)
        return -EINVAL;
    *frames = (struct frames){.count = (uint32_t)count, .size = (uint32_t)size};
    frames->reserve = size / 16 < RESERVE_MAX ? (uint32_t)size / 16 : RESERVE_MAX;
    frames->memory = reserve_pages((count + 1) * LINE_SIZE);
    frames->words = reserve_pages((count + 1) * sizeof *frames->words);
    frames->locations = reserve_pages((count + 1) * sizeof *frames->locations);
    frames->dram = frames->size;
    if (frames->memory && frames->words && frames->locations)
        return 0;
    frames_free(frames);
    return -ENOMEM;
}

void frames_free(struct frames *frames)
{
    uint64_t count = frames->count + 1ull;
    if (frames->memory)
        munmap(frames->memory, count * LINE_SIZE);
    if (frames->words)
        munmap((void *)frames->words, count * sizeof *frames->words);
    if (frames->locations)
        munmap((void *)frames->locations, count * sizeof *frames->locations);
    *frames = (struct frames){0};
}

void frames_set_reclaim(struct frames *frames, uint32_t (*reclaim)(void *self, uint32_t want),
                        void *self)
{
    frames->reclaim = reclaim;
    frames->reclaim_self = self;
}

void frames_set_cold(struct frames *frames, struct cold *cold, uint32_t dram)
{
    frames->cold = cold;
    frames->dram = dram;
    /* A huge page would stay whole while lines in it are cold. */
    madvise(frames->memory, (frames->count + 1ull) * LINE_SIZE, MADV_NOHUGEPAGE);
}

static uint64_t with_tag_after(uint64_t old_head, uint32_t frame)
{
    return ((old_head >> 32) + 1) << 32 | frame;
}

static uint32_t pop(struct frames *frames, _Atomic uint64_t *list, struct frame *out, uint32_t want)
{
    /* Acquire: pairs with the release in push(), whose links are read here. */
    uint64_t head = atomic_load_explicit(list, memory_order_acquire);
    for (;;) {
        uint32_t got = 0, at = (uint32_t)head;
        /* One that another takes meanwhile may say anything, and the tag has changed then. */
        for (; at && at <= frames->count && got < want; got++) {
            out[got].n = at;
            at = (uint32_t)atomic_load_explicit(&frames->words[at], memory_order_relaxed);
        }
        if (got == 0)
            return 0;
        if (atomic_compare_exchange_weak_explicit(list, &head, with_tag_after(head, at),
                                                  memory_order_acq_rel, memory_order_acquire))
            return got;
    }
}

/* Pushes frames that are not yet linked to each other. */
static void push(struct frames *frames, _Atomic uint64_t *list, const uint32_t *freed,
                 uint32_t count)
{
    if (count == 0)
        return;
    for (uint32_t i = 0; i + 1 < count; i++)
        atomic_store_explicit(&frames->words[freed[i]], freed[i + 1], memory_order_relaxed);
    uint64_t head = atomic_load_explicit(list, memory_order_relaxed);
    do
        atomic_store_explicit(&frames->words[freed[count - 1]], (uint32_t)head,
                              memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(list, &head, with_tag_after(head, freed[0]),
                                                  memory_order_release, memory_order_relaxed));
}

static uint32_t take_fresh(struct frames *frames, struct frame *out, uint32_t want)
{
    uint32_t last = atomic_load_explicit(&frames->fresh, memory_order_relaxed);
    uint32_t got;
    do {
        got = frames->count - last < want ? frames->count - last : want;
        if (got == 0)
            return 0;
    } while (!atomic_compare_exchange_weak_explicit(&frames->fresh, &last, last + got,
                                                    memory_order_relaxed, memory_order_relaxed));
    for (uint32_t i = 0; i < got; i++)
        out[i].n = last + 1 + i;
    return got;
}

static uint32_t take_free(struct frames *frames, struct frame *out, uint32_t want)
{
    uint32_t got = pop(frames, &frames->warm, out, want);
    if (got)
        atomic_fetch_sub_explicit(&frames->warm_count, got, memory_order_relaxed);
    if (got < want)
        got += pop(frames, &frames->bare, out + got, want - got);
    if (got < want)
        got += take_fresh(frames, out + got, want - got);
    atomic_fetch_add_explicit(&frames->in_use, got, memory_order_relaxed);
    for (uint32_t i = 0; i < got; i++)
        atomic_store_explicit(&frames->words[out[i].n], FRAME_REF, memory_order_relaxed);
    return got;
}

/* What is left of `limit` when `used` are. */
static uint32_t left_of(uint32_t limit, uint32_t used)
{
    return used < limit ? limit - used : 0;
}

static uint32_t kept_from(const struct frames *frames, enum frame_use use)
{
    if (use == FRAME_FOR_LINE)
        return frames->reserve + left_of(atomic_load_explicit(&frames->keep, memory_order_relaxed),
                                         frames_backed(frames));
    return use == FRAME_FOR_REPLICA ? frames->reserve : frames->reserve / 2;
}

/* Frames that this use may still take. Racing takers may overshoot by a few: the reserve is soft,
   the free lists are the hard bound. */
static uint32_t allowance(const struct frames *frames, enum frame_use use)
{
    if (use == FRAME_FOR_CACHE)
        return UINT32_MAX;
    uint32_t kept = kept_from(frames, use);
    return left_of(frames->size, frames_used(frames) + kept);
}

/* Pages of DRAM in use: behind frames, and the store's. */
static uint32_t pages(const struct frames *frames)
{
    uint32_t in_use = atomic_load_explicit(&frames->in_use, memory_order_relaxed);
    uint32_t cooled = atomic_load_explicit(&frames->cooled, memory_order_relaxed);
    return (in_use > cooled ? in_use - cooled : 0) + (frames->cold ? cold_pages(frames->cold) : 0);
}

uint32_t frames_room(const struct frames *frames)
{
    uint32_t used = pages(frames), cached = frames_cached(frames);
    return left_of(frames->dram - frames->reserve, used > cached ? used - cached : 0);
}

/* Pages that this use may take at once. */
static uint32_t free_pages(const struct frames *frames, enum frame_use use)
{
    if (!frames->cold)
        return UINT32_MAX; /* the free lists are the bound */
    bool line = use == FRAME_FOR_LINE || use == FRAME_FOR_REPLICA;
    return left_of(line ? frames->dram : frames->dram + frames->reserve, pages(frames));
}

/* Makes frames cold until `want` lines have room, as far as that can be. Returns how many have. */
static uint32_t make_room(struct frames *frames, uint32_t want)
{
    uint32_t room;
    while ((room = frames_room(frames)) < want)
        if (cold_cool(frames->cold, want - room) == 0)
            return frames_room(frames);
    return want;
}

static uint32_t take_some(struct frames *frames, enum frame_use use, struct frame *out,
                          uint32_t want)
{
    uint32_t can = free_pages(frames, use);
    return take_free(frames, out, want < can ? want : can);
}

uint32_t frames_take(struct frames *frames, enum frame_use use, struct frame *out, uint32_t want)
{
    uint32_t allowed = allowance(frames, use);
    if (want > allowed)
        want = allowed;
    if (use != FRAME_FOR_CACHE && frames->cold) {
        uint32_t room = make_room(frames, want);
        if (use == FRAME_FOR_LINE || use == FRAME_FOR_REPLICA)
            want = room;
    }
    uint32_t got = take_some(frames, use, out, want);
    while (got < want && frames->reclaim) {
        uint32_t missing = want - got;
        if (frames->reclaim(frames->reclaim_self, missing > RECLAIM_MIN ? missing : RECLAIM_MIN) ==
            0)
            break;
        got += take_some(frames, use, out + got, missing);
    }
    return got;
}

uint32_t frames_available(const struct frames *frames)
{
    uint32_t available = allowance(frames, FRAME_FOR_LINE), room;
    if (frames->cold && cold_is_stuck(frames->cold) && (room = frames_room(frames)) < available)
        return room;
    return available;
}

uint32_t frames_replica_room(const struct frames *frames)
{
    return allowance(frames, FRAME_FOR_REPLICA);
}

uint32_t frames_unpromised(const struct frames *frames)
{
    int64_t promised = atomic_load_explicit(&frames->promised, memory_order_relaxed);
    int64_t left = (int64_t)frames_available(frames) - promised;
    return left > 0 ? (uint32_t)left : 0;
}

uint32_t frames_used(const struct frames *frames)
{
    uint32_t in_use = atomic_load_explicit(&frames->in_use, memory_order_relaxed);
    uint32_t other = atomic_load_explicit(&frames->cached, memory_order_relaxed) +
                     atomic_load_explicit(&frames->logged, memory_order_relaxed);
    return in_use > other ? in_use - other : 0;
}

void frames_count_cached(struct frames *frames, int change)
{
    atomic_fetch_add_explicit(&frames->cached, (uint32_t)change, memory_order_relaxed);
}

bool frames_pin_alone(struct frames *frames, struct frame frame)
{
    _Atomic uint64_t *word = &frames->words[frame.n];
    uint64_t old = atomic_load_explicit(word, memory_order_acquire);
    if (old & FRAME_COLD && make_room(frames, 1) == 0)
        return false;
    do {
        uint64_t coolers = old & FRAME_COOLING ? FRAME_PIN : 0;
        if ((old & FRAME_COUNTS) != FRAME_REF + coolers)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
        word, &old, ((old & ~(FRAME_COOLING | FRAME_HARD)) | FRAME_USED) + FRAME_PIN,
        memory_order_acquire, memory_order_acquire));
    return true;
}

void frames_empty(struct frames *frames, struct frame frame)
{
    if (atomic_load_explicit(&frames->words[frame.n], memory_order_relaxed) & FRAME_COLD)
        cold_heat_empty(frames->cold, frame);
}

bool frame_batch_unref(struct frame_batch *batch, struct frame frame)
{
    /* Release: what we read of the frame comes before another's writing to it; acquire: for the
       last one, the other way round. */
    return (atomic_fetch_sub_explicit(&batch->frames->words[frame.n], FRAME_REF,
                                      memory_order_acq_rel) &
            FRAME_COUNTS) == FRAME_REF;
}

void frame_batch_unpin(struct frame_batch *batch, struct frame frame)
{
    /* As above. */
    uint64_t old =
        atomic_fetch_sub_explicit(&batch->frames->words[frame.n], FRAME_PIN, memory_order_acq_rel);
    if ((old & FRAME_COUNTS) == FRAME_PIN)
        frame_batch_add(batch, frame);
}

/* Its bytes in the store go, and it becomes bare. */
static void free_cold(struct frames *frames, struct frame frame)
{
    cold_forget(frames->cold, frame);
    push(frames, &frames->bare, &frame.n, 1);
    atomic_fetch_sub_explicit(&frames->in_use, 1, memory_order_relaxed);
}

void frames_adopt(struct frames *frames, struct frame frame)
{
    uint64_t old =
        atomic_fetch_and_explicit(&frames->words[frame.n], ~FRAME_BACKED, memory_order_relaxed);
    if (old & FRAME_BACKED && !(old & FRAME_COLD))
        atomic_fetch_sub_explicit(&frames->backed, 1, memory_order_relaxed);
}

void frame_batch_add(struct frame_batch *batch, struct frame frame)
{
    uint64_t word = atomic_load_explicit(&batch->frames->words[frame.n], memory_order_relaxed);
    if (word & FRAME_COLD) {
        free_cold(batch->frames, frame);
        return;
    }
    if (word & FRAME_BACKED)
        atomic_fetch_sub_explicit(&batch->frames->backed, 1, memory_order_relaxed);
    batch->freed[batch->count++] = frame.n;
    if (batch->count == FRAME_BATCH)
        frame_batch_flush(batch);
}

bool frame_batch_drop(struct frame_batch *batch, struct frame frame)
{
    if (!frame_batch_unref(batch, frame))
        return false;
    frame_batch_add(batch, frame);
    return true;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Gives runs of neighbouring frames back to the host; the others stay warm. */
static void give_back(struct frames *frames, uint32_t *freed, uint32_t count)
{
    qsort(freed, count, sizeof *freed, by_number);
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && freed[end] == freed[end - 1] + 1;)
            end++;
        bool given =
            end - i >= RUN_MIN && madvise(frames_data(frames, (struct frame){freed[i]}),
                                          (size_t)(end - i) * LINE_SIZE, MADV_DONTNEED) == 0;
        push(frames, given ? &frames->bare : &frames->warm, freed + i, end - i);
        if (!given)
            atomic_fetch_add_explicit(&frames->warm_count, end - i, memory_order_relaxed);
    }
}

void frames_trim(struct frames *frames)
{
    struct frame taken[FRAME_BATCH];
    uint32_t freed[FRAME_BATCH];
    uint32_t over =
        left_of(pages(frames) + atomic_load_explicit(&frames->warm_count, memory_order_relaxed),
                frames->dram);
    uint32_t count = pop(frames, &frames->warm, taken, over < FRAME_BATCH ? over : FRAME_BATCH);
    if (count == 0)
        return;
    atomic_fetch_sub_explicit(&frames->warm_count, count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        madvise(frames_data(frames, taken[i]), LINE_SIZE, MADV_DONTNEED);
        freed[i] = taken[i].n;
    }
    push(frames, &frames->bare, freed, count);
}

void frame_batch_flush(struct frame_batch *batch)
{
    struct frames *frames = batch->frames;
    uint32_t count = batch->count;
    if (count == 0)
        return;
    if (count >= BULK &&
        atomic_load_explicit(&frames->warm_count, memory_order_relaxed) >= WARM_KEEP) {
        give_back(frames, batch->freed, count);
    } else {
        push(frames, &frames->warm, batch->freed, count);
        atomic_fetch_add_explicit(&frames->warm_count, count, memory_order_relaxed);
    }
    atomic_fetch_sub_explicit(&frames->in_use, count, memory_order_relaxed);
    batch->count = 0;
}
