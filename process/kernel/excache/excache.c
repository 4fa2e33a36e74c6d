/* The ExCache as the address space sees it: set up, lines forgotten or moved, forks. */
#include "excache.h"

#include "../entry/process.h"
#include "../host/host.h"
#include "slots.h"

enum { LEAST_LINES = 64, DIRTY_FEW = 64 };

void excache_init(uint64_t budget_bytes, int policy)
{
    uint64_t lines = budget_bytes >> LINE_SHIFT;
    if (lines < LEAST_LINES)
        lines = LEAST_LINES;
    if (lines > LINE_SLOTS_MAX)
        lines = LINE_SLOTS_MAX;
    ex.budget = (uint32_t)lines;
    ex.policy = policy == BOOT_POLICY_FIFO ? &excache_fifo : &excache_lru;
    ex.batch_lines = ex.budget / 32 < BATCH_MAX ? ex.budget / 32 : BATCH_MAX;
    ex.drop_lines = ex.budget / 8 < DROP_MAX ? ex.budget / 8 : DROP_MAX;
    ex.staged_limit = ex.policy->staged_lines(ex.budget);
    ex.batches_limit = ex.staged_limit / STEP_LINES;
    if (ex.batches_limit < 1)
        ex.batches_limit = 1;
    if (ex.batches_limit > BATCHES_MAX)
        ex.batches_limit = BATCHES_MAX;

    uint64_t staging_bytes = (uint64_t)(ex.batches_limit + 1) * ex.batch_lines << LINE_SHIFT;
    ex.slots = host_alloc((lines + 1) * sizeof *ex.slots);
    ex.batches = host_alloc((ex.batches_limit + 1) * sizeof *ex.batches);
    ex.staging = host_alloc(staging_bytes);
    if (!ex.slots || !ex.batches || !ex.staging)
        host_die("out of memory for an ExCache of %lu lines", lines);
    uffd_register((uint64_t)ex.staging, staging_bytes);
    ex.free_count = ex.budget;
    excache_zeros_init();
}

void excache_present(int64_t change)
{
    if (!change)
        return;
    uint64_t now = __atomic_add_fetch(&mm.present, (uint64_t)change, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&mm.present_most, __ATOMIC_RELAXED);
    while (change > 0 && now > most &&
           !__atomic_compare_exchange_n(&mm.present_most, &most, now, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

static bool is_dirty(uint32_t slot)
{
    const uint32_t *word = line_word_if_any(ex.slots[slot].page);
    return word && *word >> LINE_SLOT_SHIFT == slot && (*word & LINE_STATE_MASK) == LINE_DIRTY;
}

uint32_t excache_dirty(void)
{
    uint32_t dirty = 0;
    for (uint32_t slot = 1; slot <= ex.ever_used; slot++)
        dirty += is_dirty(slot);
    return dirty;
}

/* True where it had content. */
static bool forget_line(uint32_t *word)
{
    uint32_t w = *word, slot = w >> LINE_SLOT_SHIFT;
    switch (w & LINE_STATE_MASK) {
    case LINE_CLEAN:
    case LINE_DIRTY:
        resident_remove(slot);
        slot_free(slot);
        break;
    case LINE_STAGED:
        evict_forget(slot);
        slot_free(slot);
        break;
    default:
        break;
    }
    *word = LINE_ABSENT;
    return w & (LINE_STATE_MASK | LINE_REMOTE);
}

void excache_forget(struct vpn first, struct vpn end)
{
    int64_t gone = 0;
    evict_reap();
    for (uint64_t n = first.n; n < end.n; n++) {
        uint32_t *word = line_word_if_any((struct vpn){n});
        if (!word)
            n |= VREGION_LINES - 1; /* nothing of this vRegion was ever here */
        else if (*word)
            gone += forget_line(word);
    }
    excache_present(-gone);
}

bool excache_is_clean(struct vpn page)
{
    const uint32_t *word = line_word_if_any(page);
    return word && (*word & LINE_STATE_MASK) == LINE_CLEAN;
}

void excache_drop_clean(struct vpn first, struct vpn end)
{
    int64_t gone = 0;
    evict_reap();
    for (uint64_t n = first.n; n < end.n; n++) {
        uint32_t *word = line_word_if_any((struct vpn){n});
        if (!word) {
            n |= VREGION_LINES - 1; /* nothing of this vRegion was ever here */
            continue;
        }
        uint32_t state = *word & LINE_STATE_MASK, kept = *word & LINE_KEPT;
        if (state != LINE_CLEAN && state != LINE_STAGED)
            continue;
        forget_line(word);
        *word |= kept;
        gone += !(kept & LINE_REMOTE);
        uffd_drop(n << LINE_SHIFT, LINE_SIZE);
    }
    excache_present(-gone);
}

void excache_moved(struct vpn from, struct vpn to, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t *old = line_word_if_any((struct vpn){from.n + i});
        if (!old || !*old)
            continue;
        uint32_t *word = line_word((struct vpn){to.n + i});
        if (!word)
            host_die("out of memory for the ExCache's line table");
        *word = *old;
        *old = LINE_ABSENT;
        if (*word & LINE_STATE_MASK)
            ex.slots[*word >> LINE_SLOT_SHIFT].page = (struct vpn){to.n + i};
    }
}

void excache_quiesce(void)
{
    evict_reap();
}

/* Puts a page into its place among `count` that are in order. */
static void insert(struct vpn *pages, uint32_t count, struct vpn page)
{
    for (; count > 0 && pages[count - 1].n > page.n; count--)
        pages[count] = pages[count - 1];
    pages[count] = page;
}

/* The dirty lines, in order, where they are at most DIRTY_FEW; else 0. */
static uint32_t dirty_few(struct vpn pages[DIRTY_FEW])
{
    uint32_t count = 0;
    for (uint32_t slot = 1; slot <= ex.ever_used; slot++) {
        if (!is_dirty(slot))
            continue;
        if (count == DIRTY_FEW)
            return 0;
        insert(pages, count++, ex.slots[slot].page);
    }
    return count;
}

/*
 * The child's userfaultfd protects all lines, dirty ones too, whose writes nobody needs to notice.
 * A process that is forked to execute a program writes to a few lines of its stack and of libc,
 * which are dirty: they are made writable at once, instead of by a fault of ours each.
 */
static void unprotect_dirty(void)
{
    struct vpn pages[DIRTY_FEW];
    uint32_t count = dirty_few(pages);
    for (uint32_t i = 0, run; i < count; i += run) {
        run = 1;
        while (i + run < count && pages[i + run].n == pages[i].n + run)
            run++;
        uint64_t at = vpn_address(pages[i]), size = (uint64_t)run << LINE_SHIFT;
        if (uffd_write_protect(at, size, false) < 0)
            return; /* the first write to each does it */
    }
}

void excache_fork_child(void)
{
    uint64_t bytes = (uint64_t)(ex.batches_limit + 1) * ex.batch_lines << LINE_SHIFT;
    uffd_register((uint64_t)ex.staging, bytes);
    unprotect_dirty();
}

void excache_give_up(uint32_t lines)
{
    uint32_t slots[STEP_LINES], given = 0;
    while (given < lines) {
        uint32_t step = lines - given < STEP_LINES ? lines - given : STEP_LINES;
        evict_make_room(step);
        given += slots_take(step, slots);
    }
}

bool excache_has(struct vpn page)
{
    const uint32_t *word = line_word_if_any(page);
    return word && *word & LINE_STATE_MASK;
}

void excache_count(const uint32_t *words, uint64_t count, struct line_counts *out)
{
    for (uint64_t i = 0; i < count; i++) {
        uint32_t w = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
        out->present += (w & (LINE_STATE_MASK | LINE_REMOTE)) != 0;
        out->own += w & LINE_REMOTE || (w & LINE_STATE_MASK) == LINE_DIRTY;
    }
}

uint32_t excache_budget(void)
{
    return ex.budget;
}

uint32_t excache_resident(void)
{
    return ex.budget - __atomic_load_n(&ex.free_count, __ATOMIC_RELAXED);
}
