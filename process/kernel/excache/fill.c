/*
 * Misses: from the fault to the line.
 *
 * The thread that claims a line's word (ABSENT to BUSY) fills it; others sleep on the word. A fill
 * claims further absent lines after it where the thread's misses are sequential (the run doubles up
 * to FETCH_MAX_LINES) or the vma maps a file, so that one message brings them all.
 */
#include <linux/mman.h>
#include <linux/time_types.h>

#include "../entry/process.h"
#include "../entry/rewrite.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/changes.h"
#include "../mm/shared.h"
#include "../mm/vregions.h"
#include "chance.h"
#include "slots.h"

enum {
    FILE_RUN = 16,             /* lines fetched at once of a mapped file */
    WINDOW_LINES = 32,         /* of such a file, fetched at once: text is touched in clusters */
    WINDOWED_BYTES = 16 << 20, /* size of the largest file that is fetched by windows */
    ZERO_RUN_MAX = 16,         /* p-local lines made at once */
    FILL_AGAIN = 1,          /* beside enum excache_result: the line itself did not come, repeat */
    FILL_AWAY = SHARED_AWAY, /* the sComponent behind a mapped file did not answer */
    RETRY_MS = 20,
};

/* Zero lines to copy from: never written, so the host's own zero page is behind all of it. */
static uint8_t zeros[ZERO_RUN_MAX * LINE_SIZE] __attribute__((aligned(LINE_SIZE)));

/* The lines that one fill has claimed, in one line table, all BUSY, each with a slot. */
struct run {
    struct vpn first;
    uint32_t count;
    uint32_t fault;  /* index of the line that was missed */
    uint32_t *words; /* of the first line; the others' follow */
    uint32_t slots[FETCH_MAX_LINES];
};

/* Ends BUSY for a line that is resident now. */
static void line_filled(struct run *run, uint32_t i, enum line_state state, bool remote)
{
    uint32_t slot = run->slots[i];
    ex.slots[slot].page = (struct vpn){run->first.n + i};
    mutex_lock(&ex.lock);
    ex.policy->filled(slot);
    mutex_unlock(&ex.lock);
    line_release(&run->words[i], state | (remote ? LINE_REMOTE : 0) | slot << LINE_SLOT_SHIFT);
}

/* Ends BUSY for a line that is absent still. */
static void line_not_filled(struct run *run, uint32_t i)
{
    slot_free(run->slots[i]);
    line_release(&run->words[i], LINE_ABSENT | (run->words[i] & LINE_REMOTE));
}

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/*
 * The stream that a miss continues, its run doubled, or the least recently followed one, started
 * anew. A program goes through several arrays at once, so a thread has several.
 */
static struct miss_stream *stream_of(struct thread *t, struct vpn page, bool *down)
{
    struct miss_stream *oldest = &t->streams[0];
    for (int i = 0; i < MISS_STREAMS; i++) {
        struct miss_stream *s = &t->streams[i];
        if (s->run && (s->above == page.n || s->below == page.n)) {
            *down = s->below == page.n;
            s->run = least(s->run * 2ull, FETCH_MAX_LINES);
            s->used = ++t->stream_clock;
            return s;
        }
        if (t->stream_clock - s->used > t->stream_clock - oldest->used)
            oldest = s;
    }
    *down = false;
    oldest->run = 1;
    oldest->used = ++t->stream_clock;
    return oldest;
}

/* How many lines to ask for, at most `most`. */
static uint32_t run_wanted(uint32_t n, const struct vma *vma, uint32_t most)
{
    if (vma->file && n < FILE_RUN)
        n = FILE_RUN;
    n = least(n, most);
    n = least(n, ex.budget / 16);
    return n ? n : 1;
}

static bool readable(const struct vma *vma)
{
    return !vma_shared(vma) && vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Whether a view of the same file goes on from a to b. */
static bool goes_on(const struct vma *a, const struct vma *b)
{
    return a->end.n == b->first.n && readable(b) && b->file && a->file &&
           a->file->id.inode == b->file->id.inode && a->file->id.device == b->file->id.device &&
           a->file->version == b->file->version;
}

/*
 * A program or library is a row of views of one file, of which little is sequential: while half of
 * the cache is free, a miss there brings the whole window of WINDOW_LINES around it, across the
 * views. Not of a large file: more of that would be left unused.
 */
static bool window_of(const struct vma *vma, struct vpn page, struct vpn *low, struct vpn *high)
{
    const struct vma *from = vma, *to = vma;
    if (!vma->file || vma->file->size_bytes > WINDOWED_BYTES ||
        __atomic_load_n(&ex.free_count, __ATOMIC_RELAXED) < ex.budget / 2 ||
        ex.budget / 16 < WINDOW_LINES)
        return false;
    while (from > mm.vmas && readable(from - 1) && goes_on(from - 1, from))
        from--;
    while (to + 1 < mm.vmas + mm.vma_count && goes_on(to, to + 1))
        to++;
    uint64_t start = page.n - (page.n - from->first.n) % WINDOW_LINES;
    uint64_t end = start + WINDOW_LINES;
    uint64_t table = page.n / VREGION_LINES * VREGION_LINES;
    *low = (struct vpn){start > table ? start : table};
    *high = (struct vpn){end < to->end.n ? end : to->end.n};
    if (high->n > table + VREGION_LINES)
        high->n = table + VREGION_LINES;
    return true;
}

/* The `wanted` lines from a miss on, upwards or downwards, within its vma and line table. */
static void span_of(const struct vma *vma, struct vpn page, uint32_t wanted, bool down,
                    struct vpn *low, struct vpn *high)
{
    uint64_t in_table = page.n % VREGION_LINES;
    *low = page;
    *high = (struct vpn){page.n + 1};
    if (down)
        low->n -= least(wanted - 1, least(page.n - vma->first.n, in_table));
    else
        high->n = page.n + least(wanted, least(vma->end.n - page.n, VREGION_LINES - in_table));
}

/* Claims one more line for a run; it must be in the same condition: absent, and remote or not. */
static bool claim_like(uint32_t *word, uint32_t remote)
{
    if ((__atomic_load_n(word, __ATOMIC_RELAXED) & LINE_REMOTE) != remote ||
        !line_claim(word, LINE_ABSENT))
        return false;
    if ((*word & LINE_REMOTE) == remote)
        return true;
    line_release(word, LINE_ABSENT | (*word & LINE_REMOTE));
    return false;
}

/*
 * Extends the run, whose one line is claimed, to [low, high) as far as lines can be claimed, first
 * downwards, and gets a slot for each; the run is cut to the slots there are.
 */
static void run_extend(struct run *run, struct vpn low, struct vpn high)
{
    uint32_t remote = run->words[0] & LINE_REMOTE, wanted = (uint32_t)(high.n - low.n), got;

    evict_make_room(wanted);
    while ((got = slots_take(wanted, run->slots)) == 0)
        evict_make_room(1);
    run->count = 1;
    while (run->count < got && run->first.n > low.n && claim_like(run->words - 1, remote)) {
        run->words--;
        run->first.n--;
        run->fault++;
        run->count++;
    }
    while (run->count < got && run->first.n + run->count < high.n &&
           claim_like(run->words + run->count, remote))
        run->count++;
    for (uint32_t i = run->count; i < got; i++)
        slot_free(run->slots[i]);
}

static void fill_failed(struct run *run, int rc)
{
    host_die("the host gives no memory for the ExCache at %lx (error %d)", vpn_address(run->first),
             -rc);
}

/*
 * Lines that begin as zero: no message. For a write they are real pages; for a read the host's zero
 * page, which a later write replaces without our notice: so they count as dirty from the start.
 */
static void fill_p_local(struct run *run, bool write)
{
    uint64_t at = vpn_address(run->first), size = (uint64_t)run->count << LINE_SHIFT;
    int rc = write ? uffd_copy(at, zeros, size, false) : uffd_zero(at, size);
    if (rc < 0)
        fill_failed(run, rc);
    for (uint32_t i = run->count; i-- > 0;)
        line_filled(run, i, LINE_DIRTY, false);
    STAT_ADD(p_local_fills, run->count);
}

static void note_miss(uint64_t since_ns)
{
    uint64_t ns = host_ticks_ns() - since_ns;
    unsigned bucket = 0;
    if (ns >= 8) { /* eight buckets to an octave */
        unsigned octave = 63 - (unsigned)__builtin_clzll(ns);
        bucket = octave * 8 + (unsigned)(ns >> (octave - 3) & 7);
    }
    if (bucket >= STATS_MISS_BUCKETS)
        bucket = STATS_MISS_BUCKETS - 1;
    STAT_ADD(miss_ns[bucket], 1);
    STAT_ADD(misses, 1);
}

/* What the owner answered for the faulting line itself. */
static int result_of(uint8_t kind)
{
    switch (kind) {
    case LINE_DATA:
    case LINE_ZERO:
        return EXCACHE_OK;
    case LINE_UNMAPPED:
        return EXCACHE_MAPERR;
    case LINE_IO_ERROR:
        return FILL_AWAY;
    }
    return EXCACHE_BUSERR;
}

/*
 * Installs what a LINE_FETCH brought: the line that is being written to writable, all others
 * write-protected.
 */
static int install(struct run *run, const struct msg_line_fetch_reply *reply, bool write)
{
    uint8_t *data = (uint8_t *)reply->data; /* in the connection's buffer: ours until rpc_end */
    uint32_t n = least(run->count, reply->kinds_size);
    int rc = 0;

    for (uint32_t i = 0; i < n && rc == 0;) {
        uint32_t same = 1;
        uint8_t kind = reply->kinds[i];
        bool writable = write && i == run->fault;
        uint64_t at = vpn_address(run->first) + ((uint64_t)i << LINE_SHIFT);
        /* The host copies into one mapping at a time. */
        uint64_t room = mm_find((struct vpn){run->first.n + i})->end.n - (run->first.n + i);
        while (i + same < n && same < room && reply->kinds[i + same] == kind && kind == LINE_DATA &&
               !writable && !(write && i + same == run->fault))
            same++;
        if (kind == LINE_DATA) {
            for (uint32_t j = 0; j < same && !writable; j++)
                rewrite_apply((struct vpn){run->first.n + i + j}, data + ((size_t)j << LINE_SHIFT));
            rc = uffd_copy(at, data, (uint64_t)same << LINE_SHIFT, !writable);
            data += (size_t)same << LINE_SHIFT;
        } else if (kind == LINE_ZERO) {
            rc = uffd_copy(at, zeros, LINE_SIZE, !writable);
        }
        if (rc < 0)
            fill_failed(run, rc);
        for (uint32_t j = i; j < i + same; j++) {
            if (kind == LINE_DATA || kind == LINE_ZERO)
                line_filled(run, j, writable ? LINE_DIRTY : LINE_CLEAN,
                            run->words[j] & LINE_REMOTE);
            else
                line_not_filled(run, j);
        }
        i += same;
    }
    for (uint32_t i = n; i < run->count; i++)
        line_not_filled(run, i);
    return n > run->fault ? result_of(reply->kinds[run->fault]) : FILL_AGAIN;
}

static bool reply_is_whole(const struct msg_line_fetch_reply *reply)
{
    uint64_t lines = 0;
    for (uint32_t i = 0; i < reply->kinds_size; i++)
        lines += reply->kinds[i] == LINE_DATA;
    return reply->data_size == lines << LINE_SHIFT;
}

static int fill_fetch(struct run *run, bool write)
{
    uint64_t since = host_ticks_ns();
    struct rpc rpc;
    struct msg_line_fetch request = {.first = run->first, .count = run->count};
    struct msg_line_fetch_reply reply;

    bool changes = changes_send_with(&request);
    uint32_t part = vregions_part(run->first);
    request.asid = asid_part(mm.asid, part);
    int rc = rpc_begin_part(&rpc, part);
    if (rc == 0)
        rc = msg_line_fetch_encode(&request, rpc.request, RPC_REQUEST_MAX);
    if (rc >= 0)
        rc = rpc_post(&rpc, OP_LINE_FETCH, rc, NULL, 0);
    if (rc == 0) {
        if (!changes)
            evict_ahead(run->count);
        rc = rpc_wait(&rpc);
    }
    if (rc == 0)
        rc = msg_line_fetch_reply_decode(&reply, rpc.reply, rpc.reply_size);
    if (rc == 0 && !reply_is_whole(&reply))
        rc = ASH_MALFORMED;
    if (rc < 0)
        host_die("the mComponent did not deliver the line at %lx (error %d)",
                 vpn_address(run->first), -rc);
    if (changes)
        changes_sent();
    STAT_ADD(lines_fetched, least(run->count, reply.kinds_size));
    rc = install(run, &reply, write);
    rpc_end(&rpc);
    chance_fetched(run->count, host_ticks_ns() - since);
    note_miss(since);
    return rc;
}

static int fill(struct thread *t, const struct vma *vma, struct vpn page, uint32_t *word,
                bool write)
{
    struct run run = {.first = page, .words = word};
    struct vpn low, high;
    bool fetch = vma->file || *word & LINE_REMOTE, down;
    int rc = EXCACHE_OK;

    struct miss_stream *stream = stream_of(t, page, &down);
    uint32_t most = fetch ? FETCH_MAX_LINES : ZERO_RUN_MAX;
    if (!fetch || page.n == t->unanswered || !window_of(vma, page, &low, &high))
        span_of(vma, page, run_wanted(stream->run, vma, most), down, &low, &high);
    run_extend(&run, low, high);
    stream->above = run.first.n + run.count;
    stream->below = run.first.n - 1;
    if (fetch)
        rc = fill_fetch(&run, write);
    else
        fill_p_local(&run, write);
    if (rc == FILL_AGAIN) { /* the run was answered in part: next, this line is asked for first */
        stream->run = 0;
        t->unanswered = page.n;
    }
    return rc == FILL_AGAIN ? EXCACHE_OK : rc;
}

/* A first write to a line that was clean, or that a fork or a move protected again. */
static void unprotect(uint32_t *word, struct vpn page)
{
    uint32_t rest = *word & ~(uint32_t)(LINE_STATE_MASK | LINE_WAITED);
    int rc = uffd_write_protect(vpn_address(page), LINE_SIZE, false);
    if (rc < 0)
        host_die("the host keeps %lx write-protected (error %d)", vpn_address(page), -rc);
    mutex_lock(&ex.lock);
    ex.policy->used(rest >> LINE_SLOT_SHIFT);
    mutex_unlock(&ex.lock);
    line_release(word, rest | LINE_DIRTY);
    STAT_ADD(write_protect_faults, 1);
}

static int serve(struct thread *t, struct vpn page, bool write)
{
    const struct vma *vma = mm_find(page);
    if (!vma)
        return EXCACHE_MAPERR;
    if (write ? !(vma->prot & PROT_WRITE) : !(vma->prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
        return EXCACHE_ACCERR;
    if (vma_shared(vma))
        return shared_fault(vma, page, write);
    uint32_t *word = line_word(page);
    if (!word)
        host_die("out of memory for the ExCache's line table");
    for (;;) {
        uint32_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        switch (w & LINE_STATE_MASK) {
        case LINE_BUSY:
            line_wait(word);
            break;
        case LINE_CLEAN:
        case LINE_DIRTY:
            if (!write)
                return EXCACHE_OK;
            if (line_claim(word, w & LINE_STATE_MASK)) {
                unprotect(word, page);
                return EXCACHE_OK;
            }
            break;
        case LINE_STAGED:
            if (evict_is_leaving(w >> LINE_SLOT_SHIFT)) {
                evict_settle();
            } else if (line_claim(word, LINE_STAGED)) {
                uint64_t since = host_ticks_ns();
                evict_rescue(word, *word >> LINE_SLOT_SHIFT, write);
                note_miss(since);
                return EXCACHE_OK;
            }
            break;
        default:
            if (line_claim(word, LINE_ABSENT))
                return fill(t, vma, page, word, write);
        }
    }
}

/*
 * A mapped file whose sComponent is away is waited for as long as a read would be, then it is an
 * error of the mapping. No lock is held meanwhile, and the access is simply repeated.
 */
static int wait_for_storage(struct thread *t)
{
    static const struct __kernel_timespec pause = {.tv_nsec = RETRY_MS * 1000000};
    uint64_t now = host_now_ns();
    if (!t->away_since_ns)
        t->away_since_ns = now;
    if (now - t->away_since_ns >= STORAGE_TIMEOUT_MS * 1000000ull) {
        t->away_since_ns = 0;
        return EXCACHE_BUSERR;
    }
    host_call(__NR_nanosleep, &pause, NULL);
    return EXCACHE_OK;
}

int excache_fault(uint64_t address, bool write, struct thread *t)
{
    if (address < WINDOW_START || address >= WINDOW_END)
        return EXCACHE_MAPERR;
    rwlock_read(&mm.lock);
    int rc = serve(t, vpn_of(address), write);
    rwlock_read_end(&mm.lock);
    if (rc == EXCACHE_MAPERR && mm_grow(address))
        return EXCACHE_OK;
    if (rc == FILL_AWAY)
        return wait_for_storage(t);
    t->away_since_ns = 0;
    return rc;
}
