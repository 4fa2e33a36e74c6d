/* The line words; see lines.h. */
#include <stdbool.h>

#include "../host/host.h"
#include "../host/lock.h"
#include "limits.h"
#include "lines.h"

/* Only ever grows; entries are published with release and read with acquire. */
static SPARSE uint32_t *tables[VREGION_COUNT];

uint32_t *line_word_if_any(struct vpn page)
{
    uint32_t *table = __atomic_load_n(&tables[page.n / VREGION_LINES], __ATOMIC_ACQUIRE);
    return table ? &table[page.n % VREGION_LINES] : NULL;
}

uint32_t **line_table(uint64_t vregion)
{
    return &tables[vregion];
}

uint32_t *line_word(struct vpn page)
{
    uint32_t **at = line_table(page.n / VREGION_LINES);
    uint32_t *table = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (!table) {
        uint32_t *made = host_alloc(VREGION_LINES * sizeof *made);
        if (!made)
            return NULL;
        if (__atomic_compare_exchange_n(at, &table, made, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            table = made;
        else
            host_free(made, VREGION_LINES * sizeof *made);
    }
    return &table[page.n % VREGION_LINES];
}

bool line_claim(uint32_t *word, uint32_t from_state)
{
    uint32_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    while ((w & LINE_STATE_MASK) == from_state)
        if (__atomic_compare_exchange_n(word, &w, (w & ~(uint32_t)LINE_STATE_MASK) | LINE_BUSY,
                                        false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            return true;
    return false;
}

void line_release(uint32_t *word, uint32_t value)
{
    if (__atomic_exchange_n(word, value, __ATOMIC_RELEASE) & LINE_WAITED)
        futex_wake(word, INT32_MAX);
}

void line_wait(uint32_t *word)
{
    for (;;) {
        uint32_t w = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        if ((w & LINE_STATE_MASK) != LINE_BUSY)
            return;
        if (!(w & LINE_WAITED) && !__atomic_compare_exchange_n(word, &w, w | LINE_WAITED, false,
                                                               __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        futex_wait(word, w | LINE_WAITED, 0);
    }
}
