/*
 * The monitor's budget of host descriptors for files, out of RLIMIT_NOFILE.
 *
 * A counter; the limit itself is never run into by files. Relief is asked for in batches, so that a
 * monitor at its limit does not sweep its handles for every open.
 */
#include "descriptors.h"

#include <stdatomic.h>
#include <sys/resource.h>

#include "limits.h"

enum {
    RELIEF_BATCH = 32,
};

static struct {
    unsigned limit;   /* never changes after start */
    atomic_uint used; /* relaxed: a count, it orders nothing */
    unsigned (*relieve)(void *self, unsigned wanted);
    void *self;
} budget = {.limit = 256};

unsigned descriptors_start(void)
{
    struct rlimit limit;
    rlim_t reserve = CONNECTIONS_MAX * 2; /* a socket each, and look-ups under way */

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur > 1u << 20)
            limit.rlim_cur = 1u << 20;
        if (reserve > limit.rlim_cur / 2)
            reserve = limit.rlim_cur / 2;
        budget.limit = (unsigned)(limit.rlim_cur - reserve);
    }
    return budget.limit;
}

void descriptors_relieve_by(unsigned (*relieve)(void *self, unsigned wanted), void *self)
{
    budget.relieve = relieve;
    budget.self = self;
}

bool descriptors_take(unsigned count)
{
    for (int i = 0; i < 2; i++) {
        if (atomic_fetch_add_explicit(&budget.used, count, memory_order_relaxed) + count <=
            budget.limit)
            return true;
        atomic_fetch_sub_explicit(&budget.used, count, memory_order_relaxed);
        if (!budget.relieve || budget.relieve(budget.self, RELIEF_BATCH) == 0)
            break;
    }
    return false;
}

void descriptors_give(void)
{
    atomic_fetch_sub_explicit(&budget.used, 1, memory_order_relaxed);
}

unsigned descriptors_used(void)
{
    return atomic_load_explicit(&budget.used, memory_order_relaxed);
}
