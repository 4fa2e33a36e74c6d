/*
 * Advisory locks on files: POSIX record locks and flock.
 *
 * A hash table of the files that have locks, in SHARDS parts with a lock each; a file has one list
 * of record locks and one of flocks. Invariant of a list: the intervals of one owner do not
 * overlap. Setting an interval cuts it out of the owner's others first (fcntl's rule: the last call
 * decides, byte by byte), then puts it in, joined with neighbours of its own kind. A flock is one
 * interval over everything. Lists are short, so each operation is a scan.
 */
#include "locks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "handles.h"

enum {
    SHARDS = 64,
    LOCKS_PER_FILE_MAX = 65536,
};

#define LOCK_END ((uint64_t)INT64_MAX)

struct lock {
    struct lock *next;
    const void *client;
    uint64_t run_id, owner;
    uint64_t first, last; /* bytes, both within */
    bool exclusive;
};

struct lock_list {
    struct lock *first;
    size_t count;
};

struct locked_file {
    struct locked_file *next;
    struct file_id id;
    struct lock_list records, flocks;
};

struct locks {
    struct {
        pthread_mutex_t lock;
        struct locked_file *files; /* protected by lock, with all that hangs on it */
    } shards[SHARDS];
};

/* A request, checked and put as an interval. */
struct wish {
    struct lock lock;
    bool unlock, flock;
};

static int wish_make(struct wish *wish, const struct lock_request *request)
{
    *wish = (struct wish){.lock = {.client = request->client,
                                   .run_id = request->run_id,
                                   .owner = request->owner,
                                   .first = request->start}};
    switch (request->kind) {
    case LOCK_KIND_NONE:
        wish->unlock = true;
        break;
    case LOCK_KIND_READ:
        break;
    case LOCK_KIND_WRITE:
        wish->lock.exclusive = true;
        break;
    case LOCK_KIND_FLOCK_NONE:
        wish->unlock = wish->flock = true;
        break;
    case LOCK_KIND_FLOCK_SHARED:
        wish->flock = true;
        break;
    case LOCK_KIND_FLOCK_EXCLUSIVE:
        wish->flock = wish->lock.exclusive = true;
        break;
    default:
        return -EINVAL;
    }
    if (wish->flock) {
        wish->lock.first = 0;
        wish->lock.last = LOCK_END;
        return 0;
    }
    if (request->start > LOCK_END)
        return -EINVAL;
    if (request->length > LOCK_END || request->length > LOCK_END - request->start + 1)
        return -EOVERFLOW;
    wish->lock.last = request->length ? request->start + request->length - 1 : LOCK_END;
    return 0;
}

static bool same_owner(const struct lock *a, const struct lock *b)
{
    return a->owner == b->owner && a->run_id == b->run_id;
}

static const struct lock *conflict(const struct lock_list *list, const struct lock *wanted)
{
    for (const struct lock *l = list->first; l; l = l->next)
        if (l->first <= wanted->last && wanted->first <= l->last &&
            (l->exclusive || wanted->exclusive) && !same_owner(l, wanted))
            return l;
    return NULL;
}

static void remove_at(struct lock_list *list, struct lock **at)
{
    struct lock *gone = *at;
    *at = gone->next;
    free(gone);
    list->count--;
}

/*
 * Cuts [first, last] out of the owner's locks. At most one of them is cut in two: `spare` is for
 * its second half, and NULL on return where it was used.
 */
static void cut(struct lock_list *list, const struct lock *hole, struct lock **spare)
{
    for (struct lock **at = &list->first; *at;) {
        struct lock *l = *at;
        if (!same_owner(l, hole) || l->last < hole->first || hole->last < l->first) {
            at = &l->next;
        } else if (l->first >= hole->first && l->last <= hole->last) {
            remove_at(list, at);
        } else if (l->first < hole->first && l->last > hole->last) {
            struct lock *tail = *spare;
            *spare = NULL;
            *tail = *l;
            tail->first = hole->last + 1;
            l->last = hole->first - 1;
            l->next = tail;
            list->count++;
            return;
        } else {
            if (l->first < hole->first)
                l->last = hole->first - 1;
            else
                l->first = hole->last + 1;
            at = &l->next;
        }
    }
}

/* Widens `l`, which overlaps none of its owner's, by those that touch it and are like it. */
static void join(struct lock_list *list, struct lock *l)
{
    for (struct lock **at = &list->first; *at;) {
        struct lock *other = *at;
        if (same_owner(other, l) && other->client == l->client &&
            other->exclusive == l->exclusive &&
            (other->last + 1 == l->first || l->last + 1 == other->first)) {
            if (other->first < l->first)
                l->first = other->first;
            else
                l->last = other->last;
            remove_at(list, at);
        } else {
            at = &other->next;
        }
    }
}

static size_t shard_of(const struct file_id *id)
{
    return ((id->inode ^ id->device) * 0x9e3779b97f4a7c15ull) >> 58;
}
_Static_assert(SHARDS == 64, "shard_of() takes the six top bits");

/* The file's lists; with `make`, new ones where it has none. Shard locked. */
static struct locked_file *file_find(struct locks *locks, const struct file_id *id, bool make)
{
    struct locked_file **files = &locks->shards[shard_of(id)].files;

    for (struct locked_file *file = *files; file; file = file->next)
        if (file_id_equal(&file->id, id))
            return file;
    if (!make)
        return NULL;
    struct locked_file *file = calloc(1, sizeof *file);
    if (file) {
        file->id = *id;
        file->next = *files;
        *files = file;
    }
    return file;
}

static void drop_empty(struct locked_file **files)
{
    for (struct locked_file **at = files; *at;) {
        struct locked_file *file = *at;
        if (file->records.count + file->flocks.count == 0) {
            *at = file->next;
            free(file);
        } else {
            at = &file->next;
        }
    }
}

/* The change itself. fresh and spare are blank; what is used of them becomes NULL. */
static int apply(struct lock_list *list, const struct wish *wish, struct lock **fresh,
                 struct lock **spare)
{
    if (wish->flock) {
        /* A conversion gives up what it had before it asks, as flock(2) says. */
        for (const struct lock *l = list->first; l; l = l->next)
            if (!wish->unlock && same_owner(l, &wish->lock) && l->exclusive == wish->lock.exclusive)
                return 0;
        cut(list, &wish->lock, spare);
    }
    if (!wish->unlock && conflict(list, &wish->lock))
        return -EAGAIN;
    if (!wish->unlock && list->count >= LOCKS_PER_FILE_MAX)
        return -ENOLCK;
    if (!wish->flock)
        cut(list, &wish->lock, spare);
    if (wish->unlock)
        return 0;
    struct lock *l = *fresh;
    *fresh = NULL;
    *l = wish->lock;
    join(list, l);
    l->next = list->first;
    list->first = l;
    list->count++;
    return 0;
}

int locks_set(struct locks *locks, const struct file_id *file, const struct lock_request *request)
{
    struct wish wish;
    int rc = wish_make(&wish, request);
    if (rc < 0)
        return rc;

    /* Had before anything changes, so that a set is all or nothing. */
    struct lock *fresh = calloc(1, sizeof *fresh), *spare = calloc(1, sizeof *spare);
    if (!fresh || !spare) {
        rc = -ENOMEM;
        goto out;
    }
    size_t shard = shard_of(file);
    pthread_mutex_lock(&locks->shards[shard].lock);
    struct locked_file *at = file_find(locks, file, !wish.unlock);
    if (at)
        rc = apply(wish.flock ? &at->flocks : &at->records, &wish, &fresh, &spare);
    else
        rc = wish.unlock ? 0 : -ENOMEM;
    drop_empty(&locks->shards[shard].files);
    pthread_mutex_unlock(&locks->shards[shard].lock);
out:
    free(fresh);
    free(spare);
    return rc;
}

int locks_probe(struct locks *locks, const struct file_id *file, const struct lock_request *request,
                struct msg_file_lock_reply *reply)
{
    struct wish wish;
    const struct lock *found = NULL;
    int rc = wish_make(&wish, request);

    *reply = (struct msg_file_lock_reply){.kind = LOCK_KIND_NONE};
    if (rc < 0 || wish.unlock)
        return rc < 0 ? rc : -EINVAL;
    size_t shard = shard_of(file);
    pthread_mutex_lock(&locks->shards[shard].lock);
    struct locked_file *at = file_find(locks, file, false);
    if (at)
        found = conflict(wish.flock ? &at->flocks : &at->records, &wish.lock);
    if (found) {
        if (wish.flock)
            reply->kind = found->exclusive ? LOCK_KIND_FLOCK_EXCLUSIVE : LOCK_KIND_FLOCK_SHARED;
        else
            reply->kind = found->exclusive ? LOCK_KIND_WRITE : LOCK_KIND_READ;
        reply->start = found->first;
        reply->length = found->last == LOCK_END ? 0 : found->last - found->first + 1;
        reply->pid = (uint32_t)found->owner;
    }
    pthread_mutex_unlock(&locks->shards[shard].lock);
    return 0;
}

static void forget_in(struct lock_list *list, const void *client)
{
    for (struct lock **at = &list->first; *at;) {
        if ((*at)->client == client)
            remove_at(list, at);
        else
            at = &(*at)->next;
    }
}

void locks_forget(struct locks *locks, const void *client)
{
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&locks->shards[i].lock);
        for (struct locked_file *file = locks->shards[i].files; file; file = file->next) {
            forget_in(&file->records, client);
            forget_in(&file->flocks, client);
        }
        drop_empty(&locks->shards[i].files);
        pthread_mutex_unlock(&locks->shards[i].lock);
    }
}

size_t locks_count(struct locks *locks)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&locks->shards[i].lock);
        for (struct locked_file *file = locks->shards[i].files; file; file = file->next)
            count += file->records.count + file->flocks.count;
        pthread_mutex_unlock(&locks->shards[i].lock);
    }
    return count;
}

struct locks *locks_new(void)
{
    struct locks *locks = calloc(1, sizeof *locks);
    for (size_t i = 0; locks && i < SHARDS; i++)
        pthread_mutex_init(&locks->shards[i].lock, NULL);
    return locks;
}

void locks_free(struct locks *locks)
{
    for (size_t i = 0; locks && i < SHARDS; i++) {
        for (struct locked_file *file = locks->shards[i].files, *next; file; file = next) {
            next = file->next;
            while (file->records.first)
                remove_at(&file->records, &file->records.first);
            while (file->flocks.first)
                remove_at(&file->flocks, &file->flocks.first);
            free(file);
        }
        pthread_mutex_destroy(&locks->shards[i].lock);
    }
    free(locks);
}
