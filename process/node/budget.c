/* See budget.h. */
#include "budget.h"

#include <assert.h>

#include "limits.h"

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t take(struct budget *b, uint64_t wanted, uint64_t bound)
{
    uint64_t grant = smaller(wanted, bound) & ~(uint64_t)(LINE_SIZE - 1);
    uint64_t least = smaller(wanted, BUDGET_LEAST);
    if (grant < (least & ~(uint64_t)(LINE_SIZE - 1)) || grant == 0)
        return 0;
    b->used_bytes += grant;
    return grant;
}

uint64_t budget_grant(struct budget *b, uint64_t asked_bytes)
{
    return take(b, asked_bytes, b->total_bytes - b->used_bytes);
}

uint64_t budget_grant_child(struct budget *b, uint64_t asked_bytes)
{
    uint64_t left = b->total_bytes - b->used_bytes;
    uint64_t quarter = left / 4;
    return take(b, asked_bytes, quarter < BUDGET_LEAST ? smaller(left, BUDGET_LEAST) : quarter);
}

void budget_return(struct budget *b, uint64_t bytes)
{
    assert(bytes <= b->used_bytes);
    b->used_bytes -= bytes;
}
