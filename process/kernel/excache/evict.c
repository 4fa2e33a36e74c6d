/*
 * Evictions: batches of lines on their way out, and back.
 *
 * A round (under evict_lock): wait for the write-back in flight; drop the oldest batch where its
 * second chance is over; take the next victims. Clean ones that get no second chance (chance.h, and
 * those that cannot be moved) are dropped at once, many in one host call: what a drop costs is the
 * flush of the TLB, once for all of them. The others are moved to the staging region, the dirty
 * among them sent in one LINE_WRITE, whose answer is left for the next round. A line is BUSY until
 * its content is sent and STAGED after; so a rescue never takes a page away under a send.
 *
 * Rounds are done in steps while fetches are under way (evict_ahead), when this CPU would only
 * wait; where that does not keep up, by who finds no free slot (evict_make_room).
 *
 * Why the content is safe: a staged page is neither dropped nor rescued before the batch's
 * LINE_WRITE was answered, so that it can be sent again, to another mComponent, for as long as that
 * takes; one that is rescued and written to again is sent again later.
 */
#include <linux/mman.h>

#include "../entry/life.h"
#include "../entry/process.h"
#include "../host/host.h"
#include "../mm/shared.h"
#include "../mm/vregions.h"
#include "chance.h"
#include "foresight.h"
#include "slots.h"

/* What one round works on. Too large for the kernel stack; protected by evict_lock. */
static struct {
    uint32_t slots[BATCH_MAX];
    uint32_t *words[BATCH_MAX];
    bool dirty[BATCH_MAX], anonymous[BATCH_MAX], movable[BATCH_MAX];
    struct line_ref refs[BATCH_MAX];
    struct rpc_piece pieces[BATCH_MAX];
} round;

/* Clean lines that leave for good in this round. Protected by evict_lock. */
static SPARSE struct {
    uint32_t count;
    uint32_t slots[DROP_MAX];
    uint32_t *words[DROP_MAX];
    struct uffd_piece pieces[DROP_MAX];
} dropped;

static uint64_t staging_address(uint32_t batch, uint32_t place)
{
    return (uint64_t)ex.staging + (((uint64_t)batch * ex.batch_lines + place) << LINE_SHIFT);
}

static uint64_t slot_address(uint32_t slot)
{
    return vpn_address(ex.slots[slot].page);
}

/* Where a staged slot's page is. */
static uint64_t staged_at(uint32_t slot)
{
    const struct slot *s = &ex.slots[slot];
    return s->in_place ? slot_address(slot) : staging_address(s->batch - 1u, s->place);
}

static uint32_t count_free(void)
{
    return __atomic_load_n(&ex.free_count, __ATOMIC_RELAXED);
}

/* ---- the write-back in flight ---- */

void evict_reap(void)
{
    while (ex.in_flight) {
        struct rpc *rpc = &ex.writing[ex.in_flight - 1];
        int rc = rpc_wait(rpc);
        if (rc == ASH_NO_FRAMES)
            host_die(
                "out of memory: %s has no frame left for this program's lines, and nothing there "
                "could be moved away or ended in time",
                rpc_component(rpc));
        rpc_end(rpc);
        ex.in_flight--;
        if (rc < 0)
            host_die("the mComponent refused a write-back (error %d)", -rc);
    }
    __atomic_store_n(&ex.batch_in_flight, 0, __ATOMIC_RELEASE);
}

bool evict_is_leaving(uint32_t slot)
{
    const struct slot *s = &ex.slots[slot];
    uint32_t batch = __atomic_load_n(&ex.batch_in_flight, __ATOMIC_ACQUIRE);
    return batch && !s->clean && __atomic_load_n(&s->batch, __ATOMIC_ACQUIRE) == batch;
}

void evict_settle(void)
{
    mutex_lock(&ex.evict_lock);
    evict_reap();
    mutex_unlock(&ex.evict_lock);
}

static bool write_answered(void)
{
    for (uint32_t i = 0; i < ex.in_flight; i++)
        if (!rpc_answered(&ex.writing[i]))
            return false;
    return true;
}

static void send_to(uint32_t part, uint32_t from, uint32_t count)
{
    int rc = rpc_post_lines(&ex.writing[ex.in_flight], mm.asid, part, round.refs + from,
                            round.pieces + from, count);
    if (rc < 0)
        host_die("lines cannot be sent to the mComponent (error %d)", -rc);
    ex.in_flight++;
}

/* Brings the lines of one part among [from, count) to the front of these. Returns their end. */
static uint32_t gather(uint32_t part, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < count; i++) {
        if (vregions_part(round.refs[i].page) != part)
            continue;
        struct line_ref ref = round.refs[i];
        struct rpc_piece piece = round.pieces[i];
        round.refs[i] = round.refs[from];
        round.pieces[i] = round.pieces[from];
        round.refs[from] = ref;
        round.pieces[from++] = piece;
    }
    return from;
}

/* Sends refs and pieces [0, count), to each part its own, without waiting for the answers. */
static void send_lines(uint32_t count)
{
    mm_flush();
    for (uint32_t from = 0, end; from < count; from = end) {
        uint32_t part = vregions_part(round.refs[from].page);
        end = gather(part, from, count);
        send_to(part, from, end - from);
    }
    STAT_ADD(lines_written_back, count);
}

/* ---- out: victims ---- */

/* Lines that robust lists go through, looked for once a round. Protected by evict_lock. */
static struct {
    struct vpn pages[ROBUST_MAX];
    uint32_t count;
} robust;

static void find_robust(void)
{
    uint32_t most = ex.budget / ROBUST_PART < ROBUST_MAX ? ex.budget / ROBUST_PART : ROBUST_MAX;
    robust.count = shared_any() ? robust_lines(robust.pages, most) : 0;
}

/*
 * Whether a line of that vma is to stay. What is locked stays while all of it is at most half of
 * the budget: of more nothing is held, so that there are always lines that can leave.
 */
static bool held(const struct vma *vma, struct vpn page)
{
    for (uint32_t i = 0; i < robust.count; i++)
        if (robust.pages[i].n == page.n)
            return true;
    return vma->flags & VMA_LOCKED && mm_locked_lines() <= ex.budget / 2;
}

/* Victim n: a slot, claimed from the resident list. False: it is in use just now, or held. */
static bool claim_victim(uint32_t n, uint32_t slot)
{
    struct vpn page = ex.slots[slot].page;
    const struct vma *vma = mm_find(page);
    host_assert(vma);
    if (held(vma, page))
        return false;
    uint32_t *word = line_word_if_any(ex.slots[slot].page);
    bool dirty = line_claim(word, LINE_DIRTY);
    if (!dirty && !line_claim(word, LINE_CLEAN))
        return false;
    round.slots[n] = slot;
    round.words[n] = word;
    round.dirty[n] = dirty;
    round.anonymous[n] = !vma->file;
    round.movable[n] = mm.can_move && vma->prot == (PROT_READ | PROT_WRITE);
    return true;
}

/*
 * Claims victims from the head of the resident list: up to `most` that are to be staged, which are
 * counted, and up to ex.drop_lines clean ones that get no second chance, in `dropped`.
 */
static uint32_t claim_victims(uint32_t most)
{
    uint32_t n = 0;
    bool chance = ex.policy->second_chance();
    dropped.count = 0;
    mutex_lock(&ex.lock);
    for (uint32_t tries = 2 * ex.drop_lines; tries && n < most; tries--) {
        uint32_t slot = resident_first();
        if (!slot || dropped.count == ex.drop_lines)
            break;
        resident_remove(slot);
        if (!claim_victim(n, slot)) {
            resident_append(slot);
        } else if (round.dirty[n] || (chance && round.movable[n])) {
            n++;
        } else {
            dropped.slots[dropped.count] = slot;
            dropped.words[dropped.count++] = round.words[n];
        }
    }
    mutex_unlock(&ex.lock);
    return n;
}

/* Ends BUSY for a line whose slot is free; `clean`: nobody wrote to it. */
static void line_left(uint32_t *word, bool clean)
{
    uint32_t kept = *word & LINE_KEPT;
    if (clean && kept & LINE_WRITTEN) {
        foresight_learn(false);
        kept &= LINE_REMOTE;
    }
    if (!(kept & LINE_REMOTE))
        excache_present(-1);
    line_release(word, LINE_ABSENT | kept);
}

/* Clean lines that get no second chance: their pages go at once, all in one host call. */
static void drop_claimed(void)
{
    for (uint32_t i = 0; i < dropped.count; i++)
        dropped.pieces[i] = (struct uffd_piece){slot_address(dropped.slots[i]), LINE_SIZE};
    uffd_drop_all(dropped.pieces, dropped.count);
    for (uint32_t i = 0; i < dropped.count; i++) {
        slot_free(dropped.slots[i]);
        line_left(dropped.words[i], true);
    }
    STAT_ADD(evictions, dropped.count);
}

/* How many victims from i on are neighbours in memory, in order, and of the same kind. */
static uint32_t neighbours(uint32_t i, uint32_t n)
{
    uint32_t run = 1;
    while (i + run < n && round.movable[i + run] == round.movable[i] &&
           ex.slots[round.slots[i + run]].page.n == ex.slots[round.slots[i]].page.n + run)
        run++;
    return run;
}

/* Moves victims [i, i + run) to their places in the staging region; what can't stays in place. */
static void move_out(uint32_t batch, uint32_t i, uint32_t run)
{
    uint64_t from = slot_address(round.slots[i]), to = staging_address(batch, i);
    bool whole = uffd_move(to, from, (uint64_t)run << LINE_SHIFT) == 0;
    for (uint32_t j = 0; j < run; j++) {
        struct slot *s = &ex.slots[round.slots[i + j]];
        uint64_t offset = (uint64_t)j << LINE_SHIFT;
        /* A run that fails may have moved in part: a line already there answers EEXIST or ENOENT.
         */
        int rc = whole ? 0 : uffd_move(to + offset, from + offset, LINE_SIZE);
        s->in_place = rc != 0 && rc != -EEXIST;
        ex.batches[batch].moved |= !s->in_place;
    }
}

/* Write-protects the dirty ones among [i, i + run) where the application has them. */
static void protect_in_place(uint32_t i, uint32_t run)
{
    for (uint32_t j = i; j < i + run; j++) {
        if (!ex.slots[round.slots[j]].in_place)
            continue;
        if (round.dirty[j] && uffd_write_protect(slot_address(round.slots[j]), LINE_SIZE, true) < 0)
            host_die("the host cannot write-protect %lx", slot_address(round.slots[j]));
    }
}

/* Whether victim j's content has to be sent. One that is zero and never left needs no frame. */
static bool to_be_sent(uint32_t j)
{
    if (!round.dirty[j])
        return false;
    return !round.anonymous[j] || *round.words[j] & LINE_REMOTE ||
           !page_is_zero((const void *)staged_at(round.slots[j]));
}

static void stage(uint32_t most)
{
    uint32_t batch = (ex.oldest + ex.staged) % (ex.batches_limit + 1);
    uint32_t n = claim_victims(most), count = 0, clean = 0;
    drop_claimed();
    ex.left += dropped.count;
    if (!n)
        return;
    for (uint32_t i = 0; i < n; i++) {
        struct slot *s = &ex.slots[round.slots[i]];
        s->place = (uint8_t)i;
        s->in_place = true;
        s->clean = !round.dirty[i];
        clean += s->clean;
        __atomic_store_n(&s->batch, (uint16_t)(batch + 1), __ATOMIC_RELAXED);
        ex.batches[batch].slots[i] = round.slots[i];
    }
    ex.batches[batch].count = n;
    ex.batches[batch].moved = false;
    ex.batches[batch].clean = clean;
    ex.batches[batch].left_before = ex.left;
    uint64_t since = host_ticks_ns();
    for (uint32_t i = 0, run; i < n; i += run) {
        run = neighbours(i, n);
        if (round.movable[i])
            move_out(batch, i, run);
        protect_in_place(i, run);
    }
    chance_given((host_ticks_ns() - since) * clean / n);
    for (uint32_t i = 0; i < n; i++) {
        round.dirty[i] = to_be_sent(i);
        if (round.dirty[i]) {
            round.refs[count].page = ex.slots[round.slots[i]].page;
            round.pieces[count++] =
                (struct rpc_piece){(const void *)staged_at(round.slots[i]), LINE_SIZE};
        }
    }
    if (count) {
        __atomic_store_n(&ex.batch_in_flight, batch + 1, __ATOMIC_RELEASE);
        send_lines(count);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t kept = *round.words[i] & LINE_KEPT;
        if (round.dirty[i])
            kept |= LINE_REMOTE | LINE_WRITTEN;
        line_release(round.words[i], LINE_STAGED | kept | round.slots[i] << LINE_SLOT_SHIFT);
    }
    ex.staged++;
    ex.left += n;
}

/* ---- gone: the oldest batch ---- */

/* Claims a slot of a batch for good; false where it was rescued or forgotten. */
static bool claim_staged(uint32_t slot, uint32_t batch, uint32_t **word)
{
    struct slot *s = &ex.slots[slot];
    for (;;) {
        if (__atomic_load_n(&s->batch, __ATOMIC_ACQUIRE) != batch + 1)
            return false;
        *word = line_word_if_any(s->page);
        uint32_t w = __atomic_load_n(*word, __ATOMIC_ACQUIRE);
        if (w >> LINE_SLOT_SHIFT != slot)
            return false;
        if ((w & LINE_STATE_MASK) == LINE_BUSY)
            line_wait(*word); /* being rescued: then its batch changes */
        else if (line_claim(*word, LINE_STAGED))
            break;
    }
    if (*(*word) >> LINE_SLOT_SHIFT == slot && s->batch == batch + 1)
        return true;
    line_release(*word, (*(*word) & ~(uint32_t)(LINE_STATE_MASK | LINE_WAITED)) | LINE_STAGED);
    return false;
}

/* Drops the oldest batch's pages, but for what is held by now; its write-back has been answered. */
static void reclaim(void)
{
    uint32_t batch = ex.oldest, n = 0;
    struct batch *b = &ex.batches[batch];

    for (uint32_t i = 0; i < b->count; i++) {
        uint32_t *word;
        if (!claim_staged(b->slots[i], batch, &word))
            continue;
        struct vpn page = ex.slots[b->slots[i]].page;
        if (held(mm_find(page), page)) {
            evict_rescue(word, b->slots[i], false);
            continue;
        }
        round.slots[n] = b->slots[i];
        round.words[n++] = word;
    }
    if (b->moved)
        uffd_drop(staging_address(batch, 0), (uint64_t)b->count << LINE_SHIFT);
    for (uint32_t i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && ex.slots[round.slots[i]].in_place &&
                      ex.slots[round.slots[i + run]].in_place &&
                      slot_address(round.slots[i + run]) ==
                          slot_address(round.slots[i]) + ((uint64_t)run << LINE_SHIFT);
             run++)
            ;
        if (ex.slots[round.slots[i]].in_place)
            uffd_drop(slot_address(round.slots[i]), (uint64_t)run << LINE_SHIFT);
    }
    for (uint32_t i = 0; i < n; i++) {
        bool clean = ex.slots[round.slots[i]].clean;
        slot_free(round.slots[i]);
        line_left(round.words[i], clean);
    }
    ex.oldest = (ex.oldest + 1) % (ex.batches_limit + 1);
    ex.staged--;
    chance_over(b->clean);
    STAT_ADD(evictions, n);
}

/* Whether a batch has to go before `more` lines leave: its second chance is over. */
static bool staged_full(uint32_t more)
{
    return ex.staged && (ex.staged >= ex.batches_limit ||
                         ex.left - ex.batches[ex.oldest].left_before + more > ex.staged_limit);
}

void evict_make_room(uint32_t wanted)
{
    if (count_free() >= wanted)
        return;
    mutex_lock(&ex.evict_lock);
    while (count_free() < wanted + ex.batch_lines / 2) {
        evict_reap();
        find_robust();
        if (ex.staged && (staged_full(ex.batch_lines) || count_free() < wanted))
            reclaim();
        uint32_t before = ex.staged;
        if (!staged_full(ex.batch_lines))
            stage(ex.batch_lines);
        if (count_free() >= wanted)
            break;
        if (ex.staged == before && !ex.staged)
            host_call(__NR_sched_yield); /* all lines are in other threads' hands just now */
    }
    mutex_unlock(&ex.evict_lock);
}

void evict_ahead(uint32_t wanted)
{
    uint32_t lines = wanted > STEP_LINES ? wanted : STEP_LINES;
    if (lines > ex.batch_lines)
        lines = ex.batch_lines;
    if (count_free() >= wanted + ex.batch_lines / 2 || !mutex_trylock(&ex.evict_lock))
        return;
    if (!ex.in_flight || write_answered()) {
        evict_reap();
        find_robust();
        bool full = staged_full(lines);
        if (full)
            reclaim();
        /* One half of a round for one line; the other half is the next fetch's. */
        if ((!full || wanted > 1) && !staged_full(lines))
            stage(lines);
    }
    mutex_unlock(&ex.evict_lock);
}

/* ---- back: rescues ---- */

void evict_rescue(uint32_t *word, uint32_t slot, bool writable)
{
    struct slot *s = &ex.slots[slot];
    uint64_t app = slot_address(slot), staged = staged_at(slot), since = host_ticks_ns();
    int rc = 0;

    if (s->in_place) {
        if (writable)
            rc = uffd_write_protect(app, LINE_SIZE, false);
    } else if (!writable || uffd_move(app, staged, LINE_SIZE) < 0) {
        /* Write-protected from the first moment, which UFFDIO_MOVE cannot do. */
        rc = uffd_copy(app, (const void *)staged, LINE_SIZE, !writable);
        uffd_drop(staged, LINE_SIZE);
    }
    if (rc < 0)
        host_die("a line cannot be taken back at %lx (error %d)", app, -rc);
    __atomic_store_n(&s->batch, 0, __ATOMIC_RELEASE);
    mutex_lock(&ex.lock);
    ex.policy->rescued(slot);
    mutex_unlock(&ex.lock);
    line_release(word, (writable ? LINE_DIRTY : LINE_CLEAN) | (*word & LINE_KEPT) |
                           slot << LINE_SLOT_SHIFT);
    if (s->clean)
        chance_taken(host_ticks_ns() - since);
    STAT_ADD(rescued, 1);
}

void evict_forget(uint32_t slot)
{
    struct slot *s = &ex.slots[slot];
    if (!s->in_place)
        uffd_drop(staged_at(slot), LINE_SIZE);
    __atomic_store_n(&s->batch, 0, __ATOMIC_RELEASE);
}

/* ---- lines that are about to become unreadable ---- */

/* Protects the lines [0, count) of the round, in order of address, then sends them; they stay,
 * clean. */
static void write_back(uint32_t count)
{
    for (uint32_t i = 0, run; i < count; i += run) {
        run = 1;
        while (i + run < count && round.refs[i + run].page.n == round.refs[i].page.n + run)
            run++;
        if (uffd_write_protect(vpn_address(round.refs[i].page), (uint64_t)run << LINE_SHIFT, true) <
            0)
            host_die("the host cannot write-protect %lx", vpn_address(round.refs[i].page));
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *word = round.words[i];
        *word = (*word & ~(uint32_t)LINE_STATE_MASK) | LINE_CLEAN | LINE_REMOTE | LINE_WRITTEN;
    }
    if (count)
        send_lines(count);
    evict_reap();
}

void excache_flush_out(struct vpn first, struct vpn end)
{
    uint32_t count = 0;
    evict_reap();
    for (uint64_t n = first.n; n < end.n; n++) {
        uint32_t *word = line_word_if_any((struct vpn){n});
        if (!word) {
            n |= VREGION_LINES - 1; /* nothing of this vRegion was ever here */
            continue;
        }
        if ((*word & LINE_STATE_MASK) != LINE_DIRTY)
            continue;
        round.words[count] = word;
        round.refs[count].page.n = n;
        round.pieces[count++] = (struct rpc_piece){(const void *)(n << LINE_SHIFT), LINE_SIZE};
        if (count == BATCH_MAX) {
            write_back(count);
            count = 0;
        }
    }
    write_back(count);
}
