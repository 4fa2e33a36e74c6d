/* See release.h. */
#include "release.h"

#include "../host/host.h"
#include "../mm/mm.h"
#include "../rpc/rpc.h"

struct releases *releases_new(void)
{
    struct releases *r = host_alloc(sizeof *r);
    if (r)
        r->users = 1;
    return r;
}

void releases_share(struct releases *r)
{
    mutex_lock(&r->lock);
    r->users++;
    mutex_unlock(&r->lock);
}

void releases_free(struct releases *r)
{
    mutex_lock(&r->lock);
    bool last = --r->users == 0;
    mutex_unlock(&r->lock);
    if (last)
        host_free(r, sizeof *r);
}

void releases_held(struct releases *r)
{
    mutex_lock(&r->lock);
    r->held++;
    mutex_unlock(&r->lock);
}

/* An sComponent that cannot be told has let go already, or will when the process ends. */
static void send(const struct file_id *files, uint32_t count)
{
    struct msg_file_release request = {.files = files, .files_count = count};
    struct msg_file_release_reply reply;
    struct rpc rpc;
    mm_flush_files(); /* the home is to have what it maps open before this process lets go */
    (void)!RPC_CALL(&rpc, STORAGE, FILE_RELEASE, file_release, &request, &reply);
    rpc_end(&rpc);
}

/* Adds one to what waits. r->lock is held; there is room. */
static void queue(struct releases *r, const struct file_id *file)
{
    r->files[r->count++] = *file;
}

/* Moves the oldest of the shared ones over where it is due, or where its place is wanted. */
static bool shared_due(struct releases *r, uint64_t now)
{
    struct shared_release *oldest = &r->shared[r->shared_first];
    if (!r->shared_count || r->count == RELEASE_BATCH ||
        (oldest->due_ns > now && r->shared_count < RELEASE_SHARED))
        return false;
    queue(r, &oldest->file);
    r->shared_first = (r->shared_first + 1) % RELEASE_SHARED;
    r->shared_count--;
    return true;
}

static void queue_shared(struct releases *r, const struct file_id *file, uint64_t now)
{
    uint32_t at = (r->shared_first + r->shared_count++) % RELEASE_SHARED;
    r->shared[at] = (struct shared_release){*file, now + RELEASE_SHARED_MS * 1000000ull};
}

/* Takes what waits. r->lock is held. */
static uint32_t take(struct releases *r, struct file_id files[RELEASE_BATCH])
{
    uint32_t count = r->count;
    memcpy(files, r->files, count * sizeof *files);
    r->count = 0;
    return count;
}

void releases_put(struct releases *r, const struct file_id *file, bool shared)
{
    struct file_id files[RELEASE_BATCH];
    uint32_t count = 0;

    mutex_lock(&r->lock);
    r->held--;
    if (shared || r->shared_count) {
        uint64_t now = host_now_ns();
        while (shared_due(r, now))
            ;
        if (shared)
            queue_shared(r, file, now);
    }
    if (!shared && r->count < RELEASE_BATCH)
        queue(r, file);
    bool counted = !shared && r->at_once;
    bool at_once = counted || (!shared && releases_are_watched(r));
    r->at_once -= counted;
    if (r->count == RELEASE_BATCH || at_once)
        count = take(r, files);
    mutex_unlock(&r->lock);
    if (count)
        send(files, count);
}

void releases_watched(struct releases *r, bool watched)
{
    __atomic_store_n(&r->watched, watched, __ATOMIC_RELAXED);
}

bool releases_are_watched(const struct releases *r)
{
    return __atomic_load_n(&r->watched, __ATOMIC_RELAXED);
}

void releases_sent(struct releases *r)
{
    mutex_lock(&r->lock);
    r->sent = true;
    mutex_unlock(&r->lock);
}

bool releases_are_due(struct releases *r)
{
    mutex_lock(&r->lock);
    bool due = !r->sent;
    for (uint32_t i = 0; due && i < r->shared_count; i++)
        r->shared[(r->shared_first + i) % RELEASE_SHARED].due_ns = 0;
    mutex_unlock(&r->lock);
    return due;
}

void releases_unlinked(struct releases *r)
{
    mutex_lock(&r->lock);
    r->at_once = r->held;
    mutex_unlock(&r->lock);
    releases_send(r);
}

void releases_send(struct releases *r)
{
    struct file_id files[RELEASE_BATCH];

    mutex_lock(&r->lock);
    uint32_t count = take(r, files);
    mutex_unlock(&r->lock);
    if (count)
        send(files, count);
}
