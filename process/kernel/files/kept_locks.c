/* See kept_locks.h. */
#include "kept_locks.h"

#include "types.h"

static void put(struct kept_locks *k, uint64_t first, uint64_t last, uint64_t kind)
{
    if (first > last)
        return;
    if (k->count == KEPT_LOCKS_MAX) {
        k->lost = 1;
        return;
    }
    k->locks[k->count++] = (struct kept_lock){first, last, kind};
}

/* Takes one out that continues [*first, *last] and is like it, and widens that. */
static bool take_neighbour(struct kept_locks *k, uint64_t *first, uint64_t *last, uint64_t kind)
{
    for (uint32_t i = 0; i < k->count; i++) {
        struct kept_lock l = k->locks[i];
        if (l.kind != kind || (l.last + 1 != *first && *last + 1 != l.first))
            continue;
        *first = l.first < *first ? l.first : *first;
        *last = l.last > *last ? l.last : *last;
        k->locks[i] = k->locks[--k->count];
        return true;
    }
    return false;
}

void kept_locks_set(struct kept_locks *k, uint64_t first, uint64_t last, uint8_t kind)
{
    uint32_t before = k->count;
    for (uint32_t i = 0; i < before;) {
        struct kept_lock l = k->locks[i];
        if (l.last < first || last < l.first) {
            i++;
            continue;
        }
        /* What is left of it goes to the end, where it is looked at no more. */
        k->locks[i] = k->locks[--before];
        k->locks[before] = k->locks[--k->count];
        if (l.first < first)
            put(k, l.first, first - 1, l.kind);
        if (l.last > last)
            put(k, last + 1, l.last, l.kind);
    }
    if (kind == LOCK_KIND_NONE) {
        if (k->count == 0)
            k->lost = 0;
        return;
    }
    while (take_neighbour(k, &first, &last, kind))
        ;
    put(k, first, last, kind);
}
