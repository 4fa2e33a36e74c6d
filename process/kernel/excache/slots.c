/* Slots, the resident list, and the two policies; see slots.h. */
#include "slots.h"

#include "../entry/process.h"
#include "../host/host.h"
#include "chance.h"

struct excache ex;

static void note_peak(uint32_t resident)
{
    uint64_t peak = __atomic_load_n(&stats->peak_lines, __ATOMIC_RELAXED);
    while (peak < resident &&
           !__atomic_compare_exchange_n(&stats->peak_lines, &peak, resident, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

uint32_t slots_take(uint32_t wanted, uint32_t *out)
{
    uint32_t n = 0;
    mutex_lock(&ex.lock);
    for (; n < wanted && ex.free_head; n++) {
        out[n] = ex.free_head;
        ex.free_head = ex.slots[ex.free_head].next;
    }
    while (n < wanted && ex.ever_used < ex.budget)
        out[n++] = ++ex.ever_used;
    __atomic_store_n(&ex.free_count, ex.free_count - n, __ATOMIC_RELAXED);
    uint32_t resident = ex.budget - ex.free_count;
    mutex_unlock(&ex.lock);
    note_peak(resident);
    return n;
}

void slot_free(uint32_t slot)
{
    mutex_lock(&ex.lock);
    ex.slots[slot].next = ex.free_head;
    ex.slots[slot].batch = 0;
    ex.free_head = slot;
    __atomic_store_n(&ex.free_count, ex.free_count + 1, __ATOMIC_RELAXED);
    mutex_unlock(&ex.lock);
}

void resident_append(uint32_t slot)
{
    struct slot *s = &ex.slots[slot];
    s->next = 0;
    s->previous = ex.tail;
    if (ex.tail)
        ex.slots[ex.tail].next = slot;
    else
        ex.head = slot;
    ex.tail = slot;
}

void resident_remove(uint32_t slot)
{
    struct slot *s = &ex.slots[slot];
    if (s->previous)
        ex.slots[s->previous].next = s->next;
    else
        ex.head = s->next;
    if (s->next)
        ex.slots[s->next].previous = s->previous;
    else
        ex.tail = s->previous;
}

uint32_t resident_first(void)
{
    return ex.head;
}

/* ---- FIFO: in the order of arrival, and no second chance beyond the write-back in flight ---- */

static void keep_place(uint32_t slot)
{
    (void)slot;
}

static uint32_t fifo_staged(uint32_t budget)
{
    (void)budget;
    return 0;
}

static bool never(void)
{
    return false;
}

const struct excache_policy excache_fifo = {
    .name = "fifo",
    .filled = resident_append,
    .used = keep_place,
    .rescued = resident_append,
    .staged_lines = fifo_staged,
    .second_chance = never,
};

/*
 * LRU, approximately: an eighth of the budget is a second-chance list (segmented FIFO, as VMS had
 * it: Turner and Levy, 1981). A first write and a rescue are the uses that user space can see.
 */

static void to_the_end(uint32_t slot)
{
    resident_remove(slot);
    resident_append(slot);
}

static uint32_t lru_staged(uint32_t budget)
{
    return budget / 8;
}

const struct excache_policy excache_lru = {
    .name = "lru",
    .filled = resident_append,
    .used = to_the_end,
    .rescued = resident_append,
    .staged_lines = lru_staged,
    .second_chance = chance_pays,
};
