/*
 * See log.h.
 *
 * A segment is LOG_LINES records, at a place in the store's log that its number says; a record is a
 * line, the number of its frame, and a checksum of both, of the slot and of the segment's serial
 * number, so what an earlier use of the segment left is not taken for a line. The number of the
 * frame is there for the writer, who empties a segment by reading it and asking of each record
 * whether its frame is there still.
 *
 * A segment whose writing was not answered is not used again: the request may be carried out yet.
 *
 * Memory: 12 bytes a segment. Cost: one message for up to 64 lines written; one for each run of
 * neighbours read.
 */
#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "errors.h"
#include "fault.h"
#include "wire.h"

enum {
    RECORD_SIZE = LINE_SIZE + 2 * sizeof(uint32_t),
    SEGMENT_SIZE = LOG_LINES * RECORD_SIZE,
    SPARE_SEGMENTS = 8,    /* that may be wasted besides */
    EMPTIED_KEPT = 8,      /* segments at the store, unused, that are not discarded */
    EMPTIED_SHARE = 16,    /* and of those in use, one in so many */
    DISCARDED_AT_ONCE = 8, /* in a tick */
    PROBE_MS = 1000,       /* between two questions to a store that has nothing, and is silent */
    PAUSE_MS = 1000,       /* after a write that failed, as for lack of space */
};
_Static_assert(SEGMENT_SIZE <= LOG_IO_MAX, "a segment is written in one message");

int log_init(struct log *log, const struct log_io *io, void *self, uint32_t slots)
{
    /* Twice as many as hold them, so that there is always one to be emptied. */
    uint64_t segments = 2ull * (slots / LOG_LINES + 1) + SPARE_SEGMENTS;
    if (segments * LOG_LINES >= UINT32_MAX)
        return -EINVAL;
    *log = (struct log){.io = io, .self = self, .segments_max = (uint32_t)segments};
    void *memory = mmap(NULL, (segments + 1) * sizeof *log->segments, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -ENOMEM;
    log->segments = memory;
    return -pthread_mutex_init(&log->lock, NULL);
}

void log_free(struct log *log)
{
    munmap(log->segments, (log->segments_max + 1ull) * sizeof *log->segments);
    pthread_mutex_destroy(&log->lock);
    *log = (struct log){0};
}

static uint64_t offset_of(uint32_t segment)
{
    return (uint64_t)segment * SEGMENT_SIZE;
}

/* ---- stores ---- */

/* The store answered, or not: `rc` is what became of a request to it. */
static void heard(struct log *log, unsigned at, int rc)
{
    pthread_mutex_lock(&log->lock);
    struct log_store *store = &log->stores[at];
    bool reached = rc >= 0 || !log->io->unreached(rc);
    if (store->state == LOG_GOOD && !reached) {
        store->state = LOG_SILENT;
        store->silent_ms = clock_ms();
        atomic_store_explicit(&log->usable, false, memory_order_relaxed);
    } else if (store->state == LOG_SILENT && reached) {
        store->state = LOG_GOOD;
    }
    pthread_mutex_unlock(&log->lock);
}

/* The lock is held. The store that is to be written to, or NULL. */
static struct log_store *current_store(struct log *log)
{
    struct log_store *store = &log->stores[log->current];
    struct component known[LOG_STORES];
    unsigned count = 0, place = LOG_STORES;
    if (store->state == LOG_GOOD)
        return store;
    if (store->state == LOG_SILENT && store->segments)
        return NULL; /* it may come back; else it is lost soon */
    for (unsigned i = 0; i < LOG_STORES; i++) {
        store = &log->stores[i];
        if (store->state == LOG_GOOD) {
            log->current = i;
            return store;
        }
        if (store->state == LOG_UNUSED)
            place = i;
        else if (store->state == LOG_SILENT && !store->segments && place == LOG_STORES)
            place = i; /* if there is no other */
        if (store->state != LOG_UNUSED)
            known[count++] = store->id;
    }
    struct component id = {0};
    if (place < LOG_STORES)
        id = log->io->choose(log->self, known, count);
    if (!id.n)
        return NULL;
    log->current = place;
    log->stores[place] = (struct log_store){.id = id, .state = LOG_GOOD};
    return &log->stores[place];
}

/* One that is lost, and nothing is missed of it any more: what it has is to be discarded, if it
   ever comes back. */
static void forget_store(struct log_store *store)
{
    if (store->state != LOG_LOST || store->segments)
        return;
    store->state = LOG_SILENT;
    store->silent_ms = clock_ms();
}

/* ---- segments; the lock is held ---- */

static uint32_t take_segment(struct log *log, unsigned store)
{
    uint32_t *list =
        log->emptied && log->segments[log->emptied].store == store ? &log->emptied : &log->bare;
    uint32_t segment = *list;
    if (segment) {
        *list = log->segments[segment].next;
        log->emptied_count -= list == &log->emptied;
    } else if (log->fresh < log->segments_max) {
        segment = ++log->fresh;
    } else if ((segment = log->emptied)) { /* of a store that was used before */
        log->emptied = log->segments[segment].next;
        log->emptied_count--;
    }
    if (!segment)
        return 0;
    log->segments[segment] =
        (struct log_segment){.serial = ++log->serial, .store = (uint8_t)store, .filled = true};
    log->filled++;
    log->stores[store].segments++;
    log->stores[store].written = true;
    return segment;
}

static void free_segment(struct log *log, uint32_t segment)
{
    struct log_segment *s = &log->segments[segment];
    struct log_store *store = &log->stores[s->store];
    s->filled = false;
    s->next = log->emptied;
    log->emptied = segment;
    log->emptied_count++;
    log->filled--;
    store->segments--;
    forget_store(store);
}

/* Its writing was not answered, and may be carried out at any time: nobody uses it again. */
static void abandon_segment(struct log *log, uint32_t segment)
{
    struct log_segment *s = &log->segments[segment];
    s->filled = false;
    log->filled--;
    log->stores[s->store].segments--;
}

void log_drop(struct log *log, uint32_t slot)
{
    uint32_t segment = slot / LOG_LINES;
    pthread_mutex_lock(&log->lock);
    log->live--;
    if (--log->segments[segment].live == 0)
        free_segment(log, segment);
    pthread_mutex_unlock(&log->lock);
}

/* ---- records ---- */

struct record_end {
    uint32_t frame, check;
};

static uint32_t check_of(const uint8_t *line, uint32_t frame, uint32_t slot, uint32_t serial)
{
    const uint32_t head[3] = {frame, slot, serial};
    return wire_crc(wire_crc(0, head, sizeof head), line, LINE_SIZE);
}

static bool record_is_right(const uint8_t *record, uint32_t slot, uint32_t serial, uint32_t *frame)
{
    struct record_end end;
    memcpy(&end, record + LINE_SIZE, sizeof end);
    *frame = end.frame;
    return end.check == check_of(record, end.frame, slot, serial);
}

/* ---- writing ---- */

static int begin_segment(struct log *log, uint32_t *segment, struct log_segment *as,
                         struct component *to)
{
    int rc = -EAGAIN;
    pthread_mutex_lock(&log->lock);
    struct log_store *store = clock_ms() < log->pause_ms ? NULL : current_store(log);
    if (store) {
        *segment = take_segment(log, (unsigned)(store - log->stores));
        *as = log->segments[*segment];
        *to = store->id;
        rc = *segment ? 0 : -ENOSPC;
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

int log_put(struct log *log, const struct log_line *lines, uint32_t count, uint32_t *slots)
{
    struct iovec pieces[2 * LOG_LINES];
    struct record_end ends[LOG_LINES];
    struct log_segment as;
    struct component to;
    uint32_t segment;
    int rc = begin_segment(log, &segment, &as, &to);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = segment * LOG_LINES + i;
        ends[i].frame = lines[i].frame;
        ends[i].check = check_of(lines[i].bytes, lines[i].frame, slots[i], as.serial);
        pieces[2 * i] = (struct iovec){(void *)lines[i].bytes, LINE_SIZE};
        pieces[2 * i + 1] = (struct iovec){&ends[i], sizeof ends[i]};
    }
    fault_point("log.write");
    rc = log->io->write(log->self, to, offset_of(segment), pieces, (int)(2 * count));
    fault_point("log.written");
    heard(log, as.store, rc);
    pthread_mutex_lock(&log->lock);
    if (rc == 0) {
        log->segments[segment].live = (uint8_t)count;
        log->live += count;
    } else if (log->io->unreached(rc)) {
        abandon_segment(log, segment);
    } else {
        free_segment(log, segment);
        log->pause_ms = clock_ms() + PAUSE_MS;
        atomic_store_explicit(&log->usable, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&log->lock);
    return rc;
}

/* ---- reading ---- */

struct reading {
    const struct log *log;
    const struct log_place *places; /* NULL: all of a segment */
    const uint16_t *order;
    uint32_t first, count, serial;
    void (*take)(void *arg, uint32_t index, const uint8_t *line);
    void (*scan)(void *arg, uint32_t slot, uint32_t frame, const uint8_t *line);
    void *arg;
    uint32_t right;
};

static void use(void *arg, const uint8_t *data, uint32_t size)
{
    struct reading *r = arg;
    uint32_t frame;
    for (uint32_t i = 0; i < r->count && (i + 1) * RECORD_SIZE <= size; i++) {
        const uint8_t *record = data + (size_t)i * RECORD_SIZE;
        if (!record_is_right(record, r->first + i, r->serial, &frame) ||
            (r->places && r->places[r->order[i]].frame != frame))
            continue;
        r->right++;
        if (r->places)
            r->take(r->arg, r->order[i], record);
        else
            r->scan(r->arg, r->first + i, frame, record);
    }
}

/* The store is there, and nothing of what was written. -EIO where that was dropped meanwhile. */
static int vanished(struct log *log, uint32_t segment, uint32_t serial)
{
    pthread_mutex_lock(&log->lock);
    const struct log_segment *s = &log->segments[segment];
    bool lost = s->filled && s->serial == serial;
    if (lost) {
        log->stores[s->store].state = LOG_LOST;
        atomic_store_explicit(&log->usable, false, memory_order_relaxed);
    }
    pthread_mutex_unlock(&log->lock);
    return lost ? ASH_LOST : -EIO;
}

/* Reads `r->count` slots of one segment from r->first on. */
static int read_run(struct log *log, struct reading *r)
{
    uint32_t segment = r->first / LOG_LINES;
    pthread_mutex_lock(&log->lock);
    struct log_segment s = log->segments[segment];
    struct log_store store = log->stores[s.store];
    pthread_mutex_unlock(&log->lock);
    if (!s.filled)
        return -EIO; /* it was dropped meanwhile */
    if (store.state == LOG_LOST)
        return ASH_LOST;
    if (store.state == LOG_SILENT)
        return -EAGAIN; /* probe() asks it */
    r->serial = s.serial;
    r->right = 0;
    int rc = log->io->read(log->self, store.id,
                           offset_of(segment) + r->first % LOG_LINES * (uint64_t)RECORD_SIZE,
                           r->count * RECORD_SIZE, use, r);
    heard(log, s.store, rc);
    if (rc == -ENOENT)
        return vanished(log, segment, s.serial);
    if (rc < 0)
        return -EAGAIN;
    return r->right == r->count ? 0 : -EIO;
}

/* Indices of places, in order of the slots. */
static void sort(const struct log_place *places, uint32_t count, uint16_t *order)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        for (; at && places[order[at - 1]].slot > places[i].slot; at--)
            order[at] = order[at - 1];
        order[at] = (uint16_t)i;
    }
}

int log_get(struct log *log, const struct log_place *places, uint32_t count,
            void (*take)(void *arg, uint32_t index, const uint8_t *line), void *arg)
{
    uint16_t order[FETCH_MAX_LINES];
    int rc = 0;
    sort(places, count, order);
    for (uint32_t i = 0, end; i < count; i = end) {
        uint32_t first = places[order[i]].slot;
        for (end = i + 1; end < count && places[order[end]].slot == first + (end - i) &&
                          places[order[end]].slot / LOG_LINES == first / LOG_LINES;)
            end++;
        struct reading r = {.log = log,
                            .places = places,
                            .order = order + i,
                            .first = first,
                            .count = end - i,
                            .take = take,
                            .arg = arg};
        fault_point("log.read");
        int run = read_run(log, &r);
        if (rc == 0)
            rc = run;
    }
    return rc;
}

bool log_is_lost(struct log *log, uint32_t slot)
{
    pthread_mutex_lock(&log->lock);
    bool lost = log->stores[log->segments[slot / LOG_LINES].store].state == LOG_LOST;
    pthread_mutex_unlock(&log->lock);
    return lost;
}

/* ---- keeping it small ---- */

uint32_t log_wasteful(struct log *log, uint32_t *segments)
{
    uint32_t count = 0, lines = 0;
    pthread_mutex_lock(&log->lock);
    bool wasted =
        log->filled > SPARE_SEGMENTS &&
        (uint64_t)(log->filled - SPARE_SEGMENTS) * LOG_LINES > (uint64_t)LOG_WASTE * log->live;
    for (uint32_t i = 0; wasted && i < log->fresh && count < LOG_EMPTIED_MAX; i++) {
        uint32_t segment = log->hand = log->hand % log->fresh + 1;
        const struct log_segment *s = &log->segments[segment];
        if (!s->filled || s->stuck || !s->live || s->live > LOG_LINES / LOG_WASTE ||
            lines + s->live > LOG_LINES || log->stores[s->store].state != LOG_GOOD)
            continue;
        segments[count++] = segment;
        lines += s->live;
    }
    pthread_mutex_unlock(&log->lock);
    return count > 1 ? count : 0;
}

void log_keep(struct log *log, uint32_t segment)
{
    pthread_mutex_lock(&log->lock);
    log->segments[segment].stuck = true;
    pthread_mutex_unlock(&log->lock);
}

int log_scan(struct log *log, uint32_t segment,
             void (*take)(void *arg, uint32_t slot, uint32_t frame, const uint8_t *line), void *arg)
{
    struct reading r = {
        .log = log, .first = segment * LOG_LINES, .count = LOG_LINES, .scan = take, .arg = arg};
    int rc = read_run(log, &r);
    return rc == -EIO && r.right ? 0 : rc; /* one that was not written in full */
}

/* Gives back what emptied segments take of the store, where that is much. Returns how many. */
static unsigned discard_some(struct log *log)
{
    uint32_t taken[DISCARDED_AT_ONCE];
    struct component ids[DISCARDED_AT_ONCE];
    unsigned count = 0;
    pthread_mutex_lock(&log->lock);
    while (count < DISCARDED_AT_ONCE &&
           log->emptied_count > EMPTIED_KEPT + log->filled / EMPTIED_SHARE) {
        uint32_t segment = log->emptied;
        log->emptied = log->segments[segment].next;
        log->emptied_count--;
        const struct log_store *store = &log->stores[log->segments[segment].store];
        ids[count] = store->written ? store->id : (struct component){0};
        taken[count++] = segment;
    }
    pthread_mutex_unlock(&log->lock);
    for (unsigned i = 0; i < count; i++)
        if (ids[i].n)
            (void)!log->io->discard(log->self, ids[i], offset_of(taken[i]), SEGMENT_SIZE);
    pthread_mutex_lock(&log->lock);
    for (unsigned i = 0; i < count; i++) {
        log->segments[taken[i]].next = log->bare;
        log->bare = taken[i];
    }
    pthread_mutex_unlock(&log->lock);
    return count;
}

/* Where nothing is in a store's log, though something was, that goes. */
static void discard_store(struct log *log, unsigned at)
{
    pthread_mutex_lock(&log->lock);
    struct log_store *store = &log->stores[at];
    struct component id = store->id;
    bool unused = store->written && !store->segments && store->state == LOG_GOOD;
    if (unused)
        store->written = false;
    pthread_mutex_unlock(&log->lock);
    if (!unused)
        return;
    int rc = log->io->discard(log->self, id, 0, 0);
    if (rc == 0)
        return;
    heard(log, at, rc);
    pthread_mutex_lock(&log->lock);
    store->written = true;
    pthread_mutex_unlock(&log->lock);
}

void log_tidy(struct log *log)
{
    for (unsigned i = 0; i < LOG_STORES; i++)
        discard_store(log, i);
    while (discard_some(log) == DISCARDED_AT_ONCE)
        ;
}

/* ---- silence ---- */

static void use_nothing(void *arg, const uint8_t *data, uint32_t size)
{
}

/* Asks a store that did not answer, or that may not. */
static void probe(struct log *log, unsigned at)
{
    pthread_mutex_lock(&log->lock);
    struct log_store store = log->stores[at];
    bool silent = store.state == LOG_SILENT ||
                  (store.state == LOG_GOOD && log->io->is_down(log->self, store.id));
    bool due = silent && (store.segments || clock_ms() - store.asked_ms > PROBE_MS);
    if (due)
        log->stores[at].asked_ms = clock_ms();
    pthread_mutex_unlock(&log->lock);
    if (due)
        heard(log, at, log->io->read(log->self, store.id, 0, 0, use_nothing, NULL));
    pthread_mutex_lock(&log->lock);
    struct log_store *now = &log->stores[at];
    if (now->state == LOG_SILENT && clock_ms() - now->silent_ms >= LOG_PATIENCE_MS) {
        now->state = LOG_LOST;
        forget_store(now);
    }
    pthread_mutex_unlock(&log->lock);
}

void log_look(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    bool usable = clock_ms() >= log->pause_ms && current_store(log);
    atomic_store_explicit(&log->usable, usable, memory_order_relaxed);
    pthread_mutex_unlock(&log->lock);
}

bool log_tick(struct log *log)
{
    bool lost = false;
    for (unsigned i = 0; i < LOG_STORES; i++)
        probe(log, i);
    log_look(log);
    pthread_mutex_lock(&log->lock);
    for (unsigned i = 0; i < LOG_STORES; i++)
        lost |= log->stores[i].state == LOG_LOST;
    pthread_mutex_unlock(&log->lock);
    return lost;
}
