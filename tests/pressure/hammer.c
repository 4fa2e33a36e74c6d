/*
 * Threads that change the same lines at the same time, over more lines than fit: every update that
 * an eviction loses, or a stale line brings back, shows in a sum.
 *
 * usage: hammer THREADS LINES ROUNDS
 *
 * Each line holds a counter that all threads add to atomically, one that is guarded by a mutex
 * (the mutexes lie in lines that come and go as well), and one for each thread that only it writes
 * and whose value it remembers elsewhere. Prints totals that depend on the arguments alone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE = 4096, THREADS_MAX = 64, LOCKED_EVERY = 16 };

struct line {
    atomic_uint_least64_t shared;
    pthread_mutex_t lock;
    uint64_t guarded;
    uint64_t own[THREADS_MAX];
    uint64_t tag; /* its own number, never changed again */
    char rest[LINE - 8 - sizeof(pthread_mutex_t) - 8 - 8 * THREADS_MAX - 8];
};
_Static_assert(sizeof(struct line) == LINE, "one line each");

static struct line *lines;
static unsigned thread_count, line_count;
static uint64_t rounds;
static pthread_barrier_t start;
static atomic_uint_least64_t wrong;

struct hammer {
    pthread_t thread;
    unsigned index;
    uint64_t locked;    /* additions under a mutex */
    uint32_t *expected; /* what own[index] of each line must hold */
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static void *hammer(void *argument)
{
    struct hammer *h = argument;
    uint64_t state = 0x9e3779b97f4a7c15u * (h->index + 1);
    pthread_barrier_wait(&start);
    for (uint64_t r = 0; r < rounds; r++) {
        /* Half of the time among few lines, so that threads meet there. */
        uint64_t random = next_random(&state);
        unsigned n = (unsigned)((random >> 8) % ((random & 1) ? line_count : line_count / 64 + 1));
        struct line *line = &lines[n];
        atomic_fetch_add_explicit(&line->shared, 1, memory_order_relaxed);
        if (line->own[h->index]++ != h->expected[n]++ || line->tag != n)
            atomic_fetch_add(&wrong, 1);
        if (r % LOCKED_EVERY == 0) {
            pthread_mutex_lock(&line->lock);
            line->guarded++;
            pthread_mutex_unlock(&line->lock);
            h->locked++;
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    thread_count = (unsigned)atoi(argv[1]);
    line_count = (unsigned)atoi(argv[2]);
    rounds = strtoull(argv[3], NULL, 10);
    lines = aligned_alloc(LINE, (size_t)line_count * LINE);
    struct hammer *hammers = calloc(thread_count, sizeof *hammers);
    if (thread_count > THREADS_MAX || !lines || !hammers)
        return 2;
    for (unsigned n = 0; n < line_count; n++) {
        lines[n] = (struct line){.tag = n};
        pthread_mutex_init(&lines[n].lock, NULL);
    }
    pthread_barrier_init(&start, NULL, thread_count);
    for (unsigned i = 0; i < thread_count; i++) {
        hammers[i] = (struct hammer){.index = i, .expected = calloc(line_count, sizeof(uint32_t))};
        if (!hammers[i].expected ||
            pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]) != 0)
            return 2;
    }
    uint64_t locked = 0, shared = 0, guarded = 0, own = 0;
    for (unsigned i = 0; i < thread_count; i++) {
        pthread_join(hammers[i].thread, NULL);
        locked += hammers[i].locked;
    }
    for (unsigned n = 0; n < line_count; n++) {
        shared += atomic_load(&lines[n].shared);
        guarded += lines[n].guarded;
        for (unsigned i = 0; i < thread_count; i++)
            own += lines[n].own[i];
    }
    printf("shared %llu own %llu guarded %lld wrong %llu\n", (unsigned long long)shared,
           (unsigned long long)own, (long long)(guarded - locked),
           (unsigned long long)atomic_load(&wrong));
    return shared == thread_count * rounds && own == shared && guarded == locked && !wrong ? 0 : 1;
}
