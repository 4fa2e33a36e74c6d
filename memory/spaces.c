/*
 * The registry. An ASID is the home's component number (16 bits), a number drawn at its start (16)
 * and a counter (32): unique in the rack without asking anyone, so forking needs no global manager.
 * The registry's own reference goes with spaces_destroy(). A space's lock is never taken under the
 * registry's.
 */
#include "spaces.h"

#include <errno.h>
#include <sys/random.h>

#include "clock.h"
#include "errors.h"

int spaces_init(struct spaces *spaces, struct frames *frames)
{
    uint16_t drawn = 0;
    *spaces = (struct spaces){.frames = frames};
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return -EIO;
    spaces->asid_base = (uint64_t)drawn << 32;
    return -pthread_mutex_init(&spaces->lock, NULL);
}

static struct space **bucket_of(struct spaces *spaces, struct asid asid)
{
    return &spaces->buckets[asid.n % SPACE_BUCKETS]; /* neighbouring ASIDs, neighbouring buckets */
}

static struct space *find_locked(struct spaces *spaces, struct asid asid)
{
    struct space *space = *bucket_of(spaces, asid);
    while (space && space->asid.n != asid.n)
        space = space->next;
    return space;
}

int spaces_create(struct spaces *spaces, struct component home, uint64_t run_id, struct space **out)
{
    int rc = 0;
    pthread_mutex_lock(&spaces->lock);
    struct asid asid = {(uint64_t)home.n << 48 | spaces->asid_base |
                        (++spaces->counter & UINT32_MAX)};
    struct space *space = NULL;
    if (spaces->count >= SPACES_MAX)
        rc = ASH_LIMIT;
    else if (!(space = space_new(asid, run_id, spaces->frames)))
        rc = -ENOMEM;
    if (space) {
        space_ref(space);
        space->lonely_since_ms = clock_ms();
        space->next = *bucket_of(spaces, asid);
        *bucket_of(spaces, asid) = space;
        spaces->count++;
    }
    pthread_mutex_unlock(&spaces->lock);
    *out = space;
    return rc;
}

struct space *spaces_find(struct spaces *spaces, struct asid asid)
{
    pthread_mutex_lock(&spaces->lock);
    struct space *space = find_locked(spaces, asid);
    if (space)
        space_ref(space);
    pthread_mutex_unlock(&spaces->lock);
    return space;
}

struct space *spaces_bind(struct spaces *spaces, struct asid asid, uint64_t run_id)
{
    pthread_mutex_lock(&spaces->lock);
    struct space *space = find_locked(spaces, asid);
    if (space && space->run_id != run_id)
        space = NULL;
    if (space) {
        space_ref(space);
        space->connections++;
    }
    pthread_mutex_unlock(&spaces->lock);
    return space;
}

void spaces_unbind(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    if (--space->connections == 0)
        space->lonely_since_ms = clock_ms();
    pthread_mutex_unlock(&spaces->lock);
    space_put(space);
}

/* Takes a space out of its bucket; false where it is out already. */
static bool take_out(struct spaces *spaces, struct space *space)
{
    struct space **at = bucket_of(spaces, space->asid);
    while (*at && *at != space)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = space->next;
    spaces->count--;
    return true;
}

void spaces_destroy(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    bool ours = take_out(spaces, space);
    pthread_mutex_unlock(&spaces->lock);
    space_destroy(space);
    if (ours)
        space_put(space);
}

void spaces_expire(struct spaces *spaces, uint64_t now_ms, uint64_t grace_ms)
{
    struct space *expired = NULL;
    pthread_mutex_lock(&spaces->lock);
    for (unsigned i = 0; i < SPACE_BUCKETS; i++) {
        for (struct space *s = spaces->buckets[i], *next; s; s = next) {
            next = s->next;
            if (s->connections || s->lonely_since_ms + grace_ms > now_ms)
                continue;
            take_out(spaces, s);
            s->next = expired;
            expired = s;
        }
    }
    pthread_mutex_unlock(&spaces->lock);
    while (expired) {
        struct space *s = expired;
        expired = s->next;
        space_destroy(s);
        space_put(s);
    }
}

void spaces_free(struct spaces *spaces)
{
    for (unsigned i = 0; i < SPACE_BUCKETS; i++)
        while (spaces->buckets[i])
            spaces_destroy(spaces, spaces->buckets[i]);
    pthread_mutex_destroy(&spaces->lock);
}

unsigned spaces_count(struct spaces *spaces)
{
    pthread_mutex_lock(&spaces->lock);
    unsigned count = spaces->count;
    pthread_mutex_unlock(&spaces->lock);
    return count;
}
