/* See chance.h. */
#include "chance.h"

enum {
    WINDOW = 128,        /* lines whose chance is over, between two decisions */
    SAMPLE = 4,          /* where chances do not pay, one round in so many gives them */
    RECENT_LINES = 1024, /* fetches older than about these are forgotten */
};

static struct {
    bool do_not_pay; /* these three: protected by evict_lock */
    uint32_t rounds, over;
    uint64_t spent_ns; /* on moving and rescuing; this and what follows: relaxed atomics */
    uint64_t taken;
    uint64_t fetched_lines, fetched_ns;
} chances;

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

static void add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* What is recent counts most. An addition that another thread makes at this moment may be lost. */
static void halve(uint64_t *counter)
{
    __atomic_store_n(counter, load(counter) / 2, __ATOMIC_RELAXED);
}

static void decide(void)
{
    uint64_t lines = load(&chances.fetched_lines);
    uint64_t fetch_ns = lines ? load(&chances.fetched_ns) / lines : 0;
    chances.do_not_pay = load(&chances.taken) * fetch_ns < load(&chances.spent_ns);
    chances.over /= 2;
    halve(&chances.taken);
    halve(&chances.spent_ns);
}

bool chance_pays(void)
{
    if (chances.over >= WINDOW)
        decide();
    return !chances.do_not_pay || ++chances.rounds % SAMPLE == 0;
}

void chance_given(uint64_t ns)
{
    add(&chances.spent_ns, ns);
}

void chance_over(uint32_t lines)
{
    chances.over += lines;
}

void chance_taken(uint64_t ns)
{
    add(&chances.taken, 1);
    add(&chances.spent_ns, ns);
}

void chance_fetched(uint32_t lines, uint64_t ns)
{
    if (load(&chances.fetched_lines) >= RECENT_LINES) {
        halve(&chances.fetched_lines);
        halve(&chances.fetched_ns);
    }
    add(&chances.fetched_lines, lines);
    add(&chances.fetched_ns, ns);
}
