/*
 * Misses: from the fault to the line.
 *
 * The thread that claims a line's word (ABSENT to BUSY) fills it; others sleep on the word. A fill
 * claims further absent lines after it where the thread's misses are sequential (the run doubles up
 * to FETCH_MAX_LINES) or the vma maps a file, so that one message brings them all; and wherever
 * they lie, what the program's start is known to touch of that file (trail.h).
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
#include "foresight.h"
#include "slots.h"
#include "trail.h"

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
static SPARSE uint8_t zeros[ZERO_RUN_MAX * LINE_SIZE] __attribute__((aligned(LINE_SIZE)));

void excache_zeros_init(void)
{
    host_populate_read(zeros, sizeof zeros);
}

/* The lines that one fill has claimed, all BUSY, each with a slot. */
struct run {
    uint32_t count;
    uint32_t fault; /* index of the line that was missed */
    struct vpn pages[FETCH_MAX_LINES];
    uint32_t *words[FETCH_MAX_LINES];
    uint32_t slots[FETCH_MAX_LINES]; /* more of them while lines are being claimed */
    bool writable[FETCH_MAX_LINES];  /* is to be, and so counts as dirty */
};

/* Adds a line whose word is claimed. */
static void run_add(struct run *run, struct vpn page, uint32_t *word, bool writable)
{
    run->pages[run->count] = page;
    run->words[run->count] = word;
    run->writable[run->count++] = writable;
}

/* How many lines from i on are neighbours. */
static uint32_t neighbours(const struct run *run, uint32_t i)
{
    uint32_t n = 1;
    while (i + n < run->count && run->pages[i + n].n == run->pages[i].n + n)
        n++;
    return n;
}

/* Ends BUSY for a line that is resident now. */
static void line_filled(struct run *run, uint32_t i, enum line_state state)
{
    uint32_t slot = run->slots[i];
    ex.slots[slot].page = run->pages[i];
    mutex_lock(&ex.lock);
    ex.policy->filled(slot);
    mutex_unlock(&ex.lock);
    if (!(*run->words[i] & LINE_REMOTE))
        excache_present(1);
    line_release(run->words[i], state | (*run->words[i] & LINE_KEPT) | slot << LINE_SLOT_SHIFT);
}

/* Ends BUSY for a line that is absent still. */
static void line_not_filled(struct run *run, uint32_t i)
{
    slot_free(run->slots[i]);
    line_release(run->words[i], LINE_ABSENT | (*run->words[i] & LINE_KEPT));
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

/* Whether lines may be fetched that nobody has asked for. */
static bool has_room(void)
{
    return __atomic_load_n(&ex.free_count, __ATOMIC_RELAXED) >= ex.budget / 2 &&
           ex.budget / 16 >= WINDOW_LINES;
}

/*
 * A program or library is a row of views of one file, of which little is sequential: while half of
 * the cache is free, a miss there brings the whole window of WINDOW_LINES around it, across the
 * views. Not of a large file: more of that would be left unused.
 */
static bool window_of(const struct vma *vma, struct vpn page, struct vpn *low, struct vpn *high)
{
    const struct vma *from = vma, *to = vma;
    if (!vma->file || vma->file->size_bytes > WINDOWED_BYTES || !has_room())
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

/* The zeros after a library's data: few, and touched here and there. All of them are made at once.
 */
static bool tail_of_file(const struct vma *vma, struct vpn page, struct vpn *low, struct vpn *high)
{
    if (vma == mm.vmas || !vma[-1].file || vma[-1].end.n != vma->first.n || !has_room() ||
        vma->end.n - vma->first.n > ZERO_RUN_MAX ||
        vma->first.n / VREGION_LINES != (vma->end.n - 1) / VREGION_LINES)
        return false;
    *low = vma->first;
    *high = vma->end;
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
    line_release(word, LINE_ABSENT | (*word & LINE_KEPT));
    return false;
}

/* Gets up to `wanted` slots, at least one. */
static uint32_t take_slots(struct run *run, uint32_t wanted)
{
    uint32_t got;
    evict_make_room(wanted);
    while ((got = slots_take(wanted, run->slots)) == 0)
        evict_make_room(1);
    return got;
}

static void give_back(struct run *run, uint32_t got)
{
    for (uint32_t i = run->count; i < got; i++)
        slot_free(run->slots[i]);
}

/*
 * The run of a miss, whose word is claimed, and of the lines of [low, high) around it, in the same
 * line table, as far as lines can be claimed, first downwards; cut to the slots there are.
 */
static void run_around(struct run *run, struct vpn page, uint32_t *word, struct vpn low,
                       struct vpn high, bool write)
{
    uint32_t remote = *word & LINE_REMOTE, below = 0, above = 1;
    uint32_t got = take_slots(run, (uint32_t)(high.n - low.n));
    while (below + 1 < got && page.n - below > low.n && claim_like(word - below - 1, remote))
        below++;
    for (uint32_t i = below; i > 0; i--)
        run_add(run, (struct vpn){page.n - i}, word - i, false);
    run->fault = run->count;
    run_add(run, page, word, write);
    for (; run->count < got && page.n + above < high.n && claim_like(word + above, remote); above++)
        run_add(run, (struct vpn){page.n + above}, word + above, false);
    give_back(run, got);
}

/* Adds a line of the trail that can be claimed. */
static void add_ahead(struct run *run, const struct trail_line *line)
{
    uint32_t *word = line_word(line->page);
    if (word && claim_like(word, 0))
        run_add(run, line->page, word, line->written);
}

/*
 * The run of a miss, whose word is claimed, and of what else the start of the program touches of
 * that file. The neighbours of the miss come first, for an mComponent may answer these alone.
 * False: there is nothing.
 */
static bool run_of_trail(struct run *run, const struct vma *vma, struct vpn page, uint32_t *word,
                         bool write)
{
    struct trail_line ahead[FETCH_MAX_LINES - 1];
    uint32_t count = has_room() ? trail_ahead(vma, page, ahead, FETCH_MAX_LINES - 1) : 0, at = 0;
    if (!count)
        return false;
    uint32_t got = take_slots(run, count + 1), first;
    while (at < count && ahead[at].page.n < page.n)
        at++;
    for (first = at; first > 0 && ahead[first - 1].page.n == page.n - (at - first) - 1; first--)
        ;
    for (uint32_t i = first; i < at && run->count + 1 < got; i++)
        add_ahead(run, &ahead[i]);
    run->fault = run->count;
    run_add(run, page, word, write);
    for (uint32_t i = at; i < count && run->count < got; i++)
        if (ahead[i].page.n != page.n)
            add_ahead(run, &ahead[i]);
    for (uint32_t i = 0; i < first && run->count < got; i++)
        add_ahead(run, &ahead[i]);
    give_back(run, got);
    return true;
}

static void fill_failed(struct run *run, int rc)
{
    host_die("the host gives no memory for the ExCache at %lx (error %d)",
             vpn_address(run->pages[0]), -rc);
}

/*
 * Lines that begin as zero: no message. For a write they are real pages; for a read the host's zero
 * page, which a later write replaces without our notice: so they count as dirty from the start.
 */
static void fill_p_local(struct run *run, bool write)
{
    uint64_t at = vpn_address(run->pages[0]), size = (uint64_t)run->count << LINE_SHIFT;
    int rc = write ? uffd_copy(at, zeros, size, false) : uffd_zero(at, size);
    if (rc < 0)
        fill_failed(run, rc);
    for (uint32_t i = run->count; i-- > 0;)
        line_filled(run, i, LINE_DIRTY);
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

/* How many lines from i on, of `count`, the host takes in one call: it copies into one mapping at a
   time, and protects all or none. */
static uint32_t copied_together(const struct run *run, const struct msg_line_fetch_reply *reply,
                                uint32_t i, uint32_t count)
{
    uint64_t room = mm_find(run->pages[i])->end.n - run->pages[i].n;
    uint32_t n = 1, most = neighbours(run, i);
    while (i + n < count && n < most && n < room && reply->kinds[i + n] == LINE_DATA &&
           run->writable[i + n] == run->writable[i])
        n++;
    return n;
}

/* Whether those lines of a vma come writable now that were written to the last times. Text is
   written to by its rewriting alone (entry/rewrite.h), and that is to be seen. */
static bool foreseen(const struct vma *vma)
{
    return (vma->prot & (PROT_WRITE | PROT_EXEC)) == PROT_WRITE && foresee_writes();
}

/* Lines that were written to the last times are to be writable, where that is foreseen. */
static void foresee(struct run *run)
{
    for (uint32_t i = 0, n; i < run->count; i += n) {
        const struct vma *vma = mm_find(run->pages[i]);
        bool again = foreseen(vma);
        n = least(neighbours(run, i), vma->end.n - run->pages[i].n);
        for (uint32_t j = i; again && j < i + n; j++)
            run->writable[j] |= (*run->words[j] & LINE_AGAIN) != 0;
    }
}

/* Installs what a LINE_FETCH brought: write-protected, but for what is to be writable. */
static int install(struct run *run, const struct msg_line_fetch_reply *reply)
{
    uint8_t *data = (uint8_t *)reply->data; /* in the connection's buffer: ours until rpc_end */
    uint32_t n = least(run->count, reply->kinds_size);
    int rc = 0;

    for (uint32_t i = 0, same; i < n && rc == 0; i += same) {
        uint8_t kind = reply->kinds[i];
        bool writable = run->writable[i];
        uint64_t at = vpn_address(run->pages[i]);
        same = kind == LINE_DATA ? copied_together(run, reply, i, n) : 1;
        if (kind == LINE_DATA) {
            for (uint32_t j = 0; j < same && !writable; j++)
                rewrite_apply(run->pages[i + j], data + ((size_t)j << LINE_SHIFT));
            rc = uffd_copy(at, data, (uint64_t)same << LINE_SHIFT, !writable);
            data += (size_t)same << LINE_SHIFT;
        } else if (kind == LINE_ZERO) {
            rc = uffd_copy(at, zeros, LINE_SIZE, !writable);
        }
        if (rc < 0)
            fill_failed(run, rc);
        for (uint32_t j = i; j < i + same; j++) {
            if (kind == LINE_DATA || kind == LINE_ZERO)
                line_filled(run, j, writable ? LINE_DIRTY : LINE_CLEAN);
            else
                line_not_filled(run, j);
        }
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

static int fill_fetch(struct run *run)
{
    uint64_t since = host_ticks_ns();
    struct rpc rpc;
    struct line_run more[FETCH_MAX_LINES];
    struct msg_line_fetch request = {
        .first = run->pages[0], .count = neighbours(run, 0), .more = more};
    struct msg_line_fetch_reply reply;

    for (uint32_t i = request.count; i < run->count; i += more[request.more_count++].count)
        more[request.more_count] = (struct line_run){run->pages[i], neighbours(run, i)};
    bool changes = changes_send_with(&request);
    uint32_t part = vregions_part(request.first);
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
                 vpn_address(request.first), -rc);
    if (changes)
        changes_sent();
    STAT_ADD(lines_fetched, least(run->count, reply.kinds_size));
    foresee(run);
    rc = install(run, &reply);
    rpc_end(&rpc);
    chance_fetched(run->count, host_ticks_ns() - since);
    note_miss(since);
    return rc;
}

static void choose_lines(struct thread *t, const struct vma *vma, struct vpn page, uint32_t *word,
                         bool write, bool fetch, struct run *run)
{
    struct vpn low = page, high = {page.n + 1};
    bool down;
    struct miss_stream *stream = stream_of(t, page, &down);
    uint32_t most = fetch ? FETCH_MAX_LINES : ZERO_RUN_MAX;
    bool noted = vma->file && trail_note(vma, page, write);

    if (!noted && vma->file && page.n != t->unanswered &&
        run_of_trail(run, vma, page, word, write)) {
        stream->run = 0;
        return;
    }
    if (!noted && !(fetch ? page.n != t->unanswered && window_of(vma, page, &low, &high)
                          : tail_of_file(vma, page, &low, &high)))
        span_of(vma, page, run_wanted(stream->run, vma, most), down, &low, &high);
    run_around(run, page, word, low, high, write);
    stream->above = run->pages[run->count - 1].n + 1;
    stream->below = run->pages[0].n - 1;
}

static int fill(struct thread *t, const struct vma *vma, struct vpn page, uint32_t *word,
                bool write)
{
    struct run run = {};
    bool fetch = vma->file || *word & LINE_REMOTE;
    int rc = EXCACHE_OK;

    choose_lines(t, vma, page, word, write, fetch, &run);
    if (fetch)
        rc = fill_fetch(&run);
    else
        fill_p_local(&run, write);
    if (rc == FILL_AGAIN) /* the run was answered in part: next, this line is asked for first */
        t->unanswered = page.n;
    return rc == FILL_AGAIN ? EXCACHE_OK : rc;
}

/* A first write to a line that was clean, or that a fork or a move protected again. */
static void unprotect(uint32_t *word, struct vpn page, bool clean)
{
    uint32_t rest = *word & ~(uint32_t)(LINE_STATE_MASK | LINE_WAITED);
    int rc = uffd_write_protect(vpn_address(page), LINE_SIZE, false);
    if (rc < 0)
        host_die("the host keeps %lx write-protected (error %d)", vpn_address(page), -rc);
    if (mm.copied) /* the page may be another process's too: the host's copy without a fault */
        host_populate((void *)vpn_address(page), LINE_SIZE);
    mutex_lock(&ex.lock);
    ex.policy->used(rest >> LINE_SLOT_SHIFT);
    mutex_unlock(&ex.lock);
    if (clean && rest & LINE_WRITTEN) {
        foresight_learn(true);
        rest |= LINE_AGAIN;
    }
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
                unprotect(word, page, (w & LINE_STATE_MASK) == LINE_CLEAN);
                if (vma->file)
                    trail_note_write(vma, page);
                return EXCACHE_OK;
            }
            break;
        case LINE_STAGED:
            if (evict_is_leaving(w >> LINE_SLOT_SHIFT)) {
                evict_settle();
            } else if (line_claim(word, LINE_STAGED)) {
                uint64_t since = host_ticks_ns();
                evict_rescue(word, *word >> LINE_SLOT_SHIFT,
                             write || (*word & LINE_AGAIN && foreseen(vma)));
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
    if (trail_complete())
        trail_leave(t->process);
    return rc;
}
