/* See holds.h. */
#include "holds.h"

#include "../host/host.h"
#include "../mm/mm.h"
#include "../rpc/rpc.h"

struct holds *holds_new(void)
{
    struct holds *h = host_alloc(sizeof *h);
    if (h)
        h->states = 1;
    return h;
}

void holds_share(struct holds *h)
{
    mutex_lock(&h->lock);
    h->states++;
    mutex_unlock(&h->lock);
}

void holds_free(struct holds *h)
{
    mutex_lock(&h->lock);
    bool last = --h->states == 0;
    mutex_unlock(&h->lock);
    if (!last)
        return;
    pool_end(&h->pool);
    host_free(h, sizeof *h);
}

/* Where the hold is linked, or the end of its chain. The lock is held. */
static struct hold **find(struct holds *h, const struct held *held)
{
    struct hold **at = &h->buckets[held->description.low % HOLD_BUCKETS];
    while (*at && !same_description(&(*at)->held.description, &held->description))
        at = &(*at)->next;
    return at;
}

/* It waits to be let go of, and is wanted after all. */
static bool take_back(struct holds *h, const struct held *held)
{
    for (uint32_t i = 0; i < h->waiting_count; i++) {
        if (same_description(&h->waiting[i].description, &held->description)) {
            h->waiting[i] = h->waiting[--h->waiting_count];
            return true;
        }
    }
    return false;
}

bool holds_take(struct holds *h, const struct held *held)
{
    bool fresh = false;

    mutex_lock(&h->lock);
    struct hold **at = find(h, held), *hold = *at;
    if (!hold && (hold = pool_get(&h->pool, sizeof *hold))) {
        fresh = !take_back(h, held);
        hold->held = *held;
        *at = hold;
        h->held++;
    }
    /* Without memory it is a hold that nobody lets go of before the process ends. */
    if (hold)
        hold->users++;
    mutex_unlock(&h->lock);
    return fresh;
}

/* An sComponent that cannot be told has let go already, or will when the process ends. */
static void send(const struct held *held, uint32_t count)
{
    struct msg_file_release request = {.files = held, .files_count = count};
    struct msg_file_release_reply reply;
    struct rpc rpc;
    mm_flush_files(); /* the home is to have what it maps open before this process lets go */
    (void)!RPC_CALL(&rpc, STORAGE, FILE_RELEASE, file_release, &request, &reply);
    rpc_end(&rpc);
}

/* Takes what waits. The lock is held. */
static uint32_t take_waiting(struct holds *h, struct held held[RELEASE_BATCH])
{
    uint32_t count = h->waiting_count;
    memcpy(held, h->waiting, count * sizeof *held);
    h->waiting_count = 0;
    return count;
}

void holds_put(struct holds *h, const struct held *held, bool prompt)
{
    struct held gone[RELEASE_BATCH];
    uint32_t count = 0;

    mutex_lock(&h->lock);
    struct hold **at = find(h, held), *hold = *at;
    if (hold && --hold->users == 0) {
        *at = hold->next;
        pool_put(&h->pool, hold);
        h->held--;
        h->waiting[h->waiting_count++] = *held;
        prompt |= h->at_once > 0 || __atomic_load_n(&h->watched, __ATOMIC_RELAXED);
        h->at_once -= h->at_once > 0;
        if (prompt || h->waiting_count == RELEASE_BATCH)
            count = take_waiting(h, gone);
    }
    mutex_unlock(&h->lock);
    if (count)
        send(gone, count);
}

/* Sends what waits. */
static void flush(struct holds *h, bool unlinked)
{
    struct held gone[RELEASE_BATCH];

    mutex_lock(&h->lock);
    if (unlinked)
        h->at_once = h->held;
    uint32_t count = take_waiting(h, gone);
    mutex_unlock(&h->lock);
    if (count)
        send(gone, count);
}

void holds_unlinked(struct holds *h)
{
    flush(h, true);
}

void holds_watched(struct holds *h, bool watched)
{
    if (__atomic_exchange_n(&h->watched, watched, __ATOMIC_RELAXED) != watched && watched)
        flush(h, false);
}

void holds_ask(const struct held *held)
{
    struct msg_file_hold request = {.files = held, .files_count = 1};
    struct msg_file_hold_reply reply;
    struct rpc rpc;
    (void)!RPC_CALL(&rpc, STORAGE, FILE_HOLD, file_hold, &request, &reply);
    rpc_end(&rpc);
}

struct description_id description_new(void)
{
    struct description_id id = {0};
    while (!id.low && !id.high)
        host_call(__NR_getrandom, &id, sizeof id, 0);
    return id;
}
