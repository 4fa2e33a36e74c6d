/*
 * The registry. An ASID is the home's component number (16 bits), a number drawn at its start (16),
 * a counter (28) and the number of a part (4): unique in the rack without asking anyone, so forking
 * needs no global manager.
 * The registry's own reference goes with spaces_destroy(). A space's lock is never taken under the
 * registry's.
 */
#include "spaces.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "clock.h"
#include "errors.h"

enum { BUCKET_USUAL = 64 }; /* spaces in one bucket, unless very many are here */

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
    /* Neighbouring ASIDs, neighbouring buckets; the parts of one far from each other. */
    return &spaces->buckets[(asid.n / PARTS_MAX + asid.n % PARTS_MAX * 61) % SPACE_BUCKETS];
}

static struct space *find_locked(struct spaces *spaces, struct asid asid)
{
    struct space *space = *bucket_of(spaces, asid);
    while (space && space->asid.n != asid.n)
        space = space->next;
    return space;
}

/* Makes a space and registers it; the caller has the lock, and knows that there is none of its
 * name.
 */
static int add_locked(struct spaces *spaces, const struct space_birth *birth, struct space **out)
{
    *out = NULL;
    if (spaces->count >= SPACES_MAX)
        return ASH_LIMIT;
    struct space *space = space_new(birth, spaces->frames);
    if (!space)
        return -ENOMEM;
    space->singles = &spaces->singles;
    space_ref(space);
    space->lonely_since_ms = clock_ms();
    space->next = *bucket_of(spaces, birth->asid);
    *bucket_of(spaces, birth->asid) = space;
    spaces->count++;
    *out = space;
    return 0;
}

int spaces_create(struct spaces *spaces, struct component home, uint64_t run_id, uint32_t replicas,
                  struct space **out)
{
    struct space_birth birth = {
        .run_id = run_id, .replicas = replicas, .role = ROLE_PRIMARY, .epoch = SPACE_FIRST_EPOCH};
    pthread_mutex_lock(&spaces->lock);
    do
        birth.asid.n = (uint64_t)home.n << 48 | spaces->asid_base |
                       (++spaces->counter * PARTS_MAX & UINT32_MAX);
    while (find_locked(spaces, birth.asid));
    int rc = add_locked(spaces, &birth, out);
    pthread_mutex_unlock(&spaces->lock);
    return rc;
}

int spaces_add(struct spaces *spaces, const struct space_birth *birth, struct space **out)
{
    pthread_mutex_lock(&spaces->lock);
    *out = find_locked(spaces, birth->asid);
    int rc = *out ? -EEXIST : add_locked(spaces, birth, out);
    if (rc == -EEXIST)
        space_ref(*out);
    pthread_mutex_unlock(&spaces->lock);
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
        space->inherited = false;
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

int spaces_replace(struct spaces *spaces, const struct space_birth *birth, struct space **out)
{
    pthread_mutex_lock(&spaces->lock);
    struct space *old = find_locked(spaces, birth->asid);
    if (old)
        take_out(spaces, old);
    int rc = add_locked(spaces, birth, out);
    pthread_mutex_unlock(&spaces->lock);
    if (old) {
        space_end(old, ASH_MOVED);
        space_put(old);
    }
    return rc;
}

void spaces_destroy(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    bool ours = take_out(spaces, space);
    pthread_mutex_unlock(&spaces->lock);
    space_end(space, ASH_NO_SPACE_ID);
    if (ours)
        space_put(space);
}

/* References to the spaces of one bucket, as many as `limit`; returns how many there are. */
static unsigned collect(struct spaces *spaces, unsigned bucket, struct space **out, unsigned limit)
{
    unsigned count = 0;
    pthread_mutex_lock(&spaces->lock);
    for (struct space *s = spaces->buckets[bucket]; s; s = s->next, count++) {
        if (count >= limit)
            continue;
        space_ref(s);
        out[count] = s;
    }
    pthread_mutex_unlock(&spaces->lock);
    return count;
}

void spaces_each(struct spaces *spaces, void (*visit)(void *arg, struct space *space), void *arg)
{
    struct space *few[BUCKET_USUAL], **found = few;
    unsigned limit = BUCKET_USUAL;
    for (unsigned i = 0; i < SPACE_BUCKETS; i++) {
        unsigned count = collect(spaces, i, found, limit);
        for (unsigned j = 0; j < count && j < limit; j++) {
            visit(arg, found[j]);
            space_put(found[j]);
        }
        if (count <= limit)
            continue;
        /* Again, with room for all; some are visited twice. */
        struct space **more = realloc(found == few ? NULL : found, count * sizeof *more);
        if (!more)
            continue;
        found = more;
        limit = count;
        i--;
    }
    if (found != few)
        free(found);
}

bool spaces_is_lonely(struct spaces *spaces, struct space *space, uint64_t now_ms,
                      uint64_t grace_ms)
{
    pthread_mutex_lock(&spaces->lock);
    bool lonely = !space->connections && space->lonely_since_ms + grace_ms <= now_ms;
    pthread_mutex_unlock(&spaces->lock);
    return lonely;
}

void spaces_touch(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    space->lonely_since_ms = clock_ms();
    pthread_mutex_unlock(&spaces->lock);
}

void spaces_inherit(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    space->inherited = space->connections == 0;
    space->lonely_since_ms = clock_ms();
    pthread_mutex_unlock(&spaces->lock);
}

bool spaces_is_inherited(struct spaces *spaces, struct space *space)
{
    pthread_mutex_lock(&spaces->lock);
    bool inherited = space->inherited;
    pthread_mutex_unlock(&spaces->lock);
    return inherited;
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
