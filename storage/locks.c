/*
 * Advisory locks on files: POSIX record locks, OFD locks and flock.
 *
 * A hash table of the files that have locks; a file has one list of record locks and one of flocks.
 * Invariant of a list: the intervals of one owner do not overlap. Setting an interval cuts it out
 * of the owner's others first (fcntl's rule: the last call decides, byte by byte), then puts it in,
 * joined with neighbours of its own kind. A flock is one interval over everything. Lists are short,
 * so each operation is a scan, and one mutex over them all is held for less time than the request
 * takes to be received.
 *
 * Deadlocks: who will ask again and again for a POSIX lock is put down as waiting, with what it
 * wants. A wait that would lead back to its own owner, from each lock in the way to what its owner
 * waits for, is refused. What is in the way is looked up anew each time, so a wait that could end
 * by now leads nowhere.
 */
#include "locks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "handles.h"

enum {
    BUCKETS = 256,
    LOCKS_PER_FILE_MAX = 65536,
    WAITING_MAX = 4096,
    DEADLOCK_DEPTH = 10,    /* owners on the way round, as Linux */
    DEADLOCK_STEPS = 65536, /* locks looked at, then it counts as none */
};

#define LOCK_END ((uint64_t)INT64_MAX)

struct lock {
    struct lock *next;
    struct lock_owner owner;
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

/* Somebody who will ask again for a POSIX lock. */
struct waiting {
    struct waiting *next;
    struct file_id id;
    struct lock wanted;
    uint64_t search; /* the last one that came by */
};

struct locks {
    pthread_mutex_t lock; /* of all that follows */
    struct locked_file *buckets[BUCKETS];
    struct waiting *waiting;
    size_t waiting_count;
    uint64_t searches;
};

/* A request, checked and put as an interval. */
struct wish {
    struct lock lock;
    bool unlock, flock;
};

static int wish_make(struct wish *wish, const struct lock_request *request)
{
    *wish = (struct wish){.lock = {.owner = request->owner, .first = request->start}};
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
    return a->owner.of == b->owner.of && a->owner.pid == b->owner.pid;
}

static bool in_the_way(const struct lock *l, const struct lock *wanted)
{
    return l->first <= wanted->last && wanted->first <= l->last &&
           (l->exclusive || wanted->exclusive) && !same_owner(l, wanted);
}

static const struct lock *conflict(const struct lock_list *list, const struct lock *wanted)
{
    const struct lock *l = list->first;
    while (l && !in_the_way(l, wanted))
        l = l->next;
    return l;
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
        if (same_owner(other, l) && other->exclusive == l->exclusive &&
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

static struct locked_file **bucket_of(struct locks *locks, const struct file_id *id)
{
    uint64_t hash = (id->inode ^ id->device << 40) * 0x9e3779b97f4a7c15ull;
    return &locks->buckets[hash >> 56];
}
_Static_assert(BUCKETS == 256, "bucket_of() takes the eight top bits");

/* The file's lists; with `make`, new ones where it has none. */
static struct locked_file *file_find(struct locks *locks, const struct file_id *id, bool make)
{
    struct locked_file **bucket = bucket_of(locks, id);

    for (struct locked_file *file = *bucket; file; file = file->next)
        if (file_id_equal(&file->id, id))
            return file;
    if (!make)
        return NULL;
    struct locked_file *file = calloc(1, sizeof *file);
    if (file) {
        file->id = *id;
        file->next = *bucket;
        *bucket = file;
    }
    return file;
}

static void drop_empty(struct locked_file **bucket)
{
    for (struct locked_file **at = bucket; *at;) {
        struct locked_file *file = *at;
        if (file->records.count + file->flocks.count == 0) {
            *at = file->next;
            free(file);
        } else {
            at = &file->next;
        }
    }
}

/* ---- who waits for whom ---- */

/* Whether what `from` waits for is, on some way, what `to` has. No waiter is passed twice. */
static bool leads_to(struct locks *locks, const struct lock *from, const struct lock *to,
                     unsigned depth, unsigned *steps)
{
    for (struct waiting *w = locks->waiting; w; w = w->next) {
        if (w->search == locks->searches || !same_owner(&w->wanted, from))
            continue;
        w->search = locks->searches;
        struct locked_file *file = file_find(locks, &w->id, false);
        for (const struct lock *l = file ? file->records.first : NULL; l && *steps; l = l->next) {
            --*steps;
            if (!in_the_way(l, &w->wanted))
                continue;
            if (same_owner(l, to) || (depth && leads_to(locks, l, to, depth - 1, steps)))
                return true;
        }
    }
    return false;
}

static bool deadlock(struct locks *locks, const struct lock *wanted)
{
    unsigned steps = DEADLOCK_STEPS;
    locks->searches++;
    return leads_to(locks, wanted, wanted, DEADLOCK_DEPTH, &steps);
}

static void no_longer_waits(struct locks *locks, const struct file_id *id,
                            const struct lock *wanted)
{
    for (struct waiting **at = &locks->waiting; *at; at = &(*at)->next) {
        struct waiting *w = *at;
        if (!file_id_equal(&w->id, id) || !same_owner(&w->wanted, wanted) ||
            w->wanted.first != wanted->first || w->wanted.last != wanted->last)
            continue;
        *at = w->next;
        free(w);
        locks->waiting_count--;
        return;
    }
}

/* -EAGAIN where it may wait, -EDEADLK where that would never end. */
static int waits(struct locks *locks, const struct file_id *id, const struct lock *wanted)
{
    no_longer_waits(locks, id, wanted);
    struct waiting *w = locks->waiting_count < WAITING_MAX ? calloc(1, sizeof *w) : NULL;
    if (!w)
        return -ENOLCK;
    *w = (struct waiting){.next = locks->waiting, .id = *id, .wanted = *wanted};
    locks->waiting = w;
    locks->waiting_count++;
    if (!deadlock(locks, wanted))
        return -EAGAIN;
    no_longer_waits(locks, id, wanted);
    return -EDEADLK;
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
    bool posix = !wish.flock && request->owner.pid != LOCK_NO_PID;
    pthread_mutex_lock(&locks->lock);
    if (posix)
        no_longer_waits(locks, file, &wish.lock);
    struct locked_file *at = NULL;
    if (request->wait == LOCK_WAIT_END)
        rc = 0;
    else if ((at = file_find(locks, file, !wish.unlock)))
        rc = apply(wish.flock ? &at->flocks : &at->records, &wish, &fresh, &spare);
    else
        rc = wish.unlock ? 0 : -ENOMEM;
    if (rc == -EAGAIN && posix && request->wait == LOCK_WAIT_BEGIN)
        rc = waits(locks, file, &wish.lock);
    drop_empty(bucket_of(locks, file));
    pthread_mutex_unlock(&locks->lock);
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
    pthread_mutex_lock(&locks->lock);
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
        reply->pid = found->owner.pid;
    }
    pthread_mutex_unlock(&locks->lock);
    return 0;
}

static void forget_in(struct lock_list *list, const void *of)
{
    for (struct lock **at = &list->first; *at;) {
        if ((*at)->owner.of == of)
            remove_at(list, at);
        else
            at = &(*at)->next;
    }
}

void locks_forget(struct locks *locks, const struct file_id *file, const void *of)
{
    pthread_mutex_lock(&locks->lock);
    struct locked_file *at = file_find(locks, file, false);
    if (at) {
        forget_in(&at->records, of);
        forget_in(&at->flocks, of);
    }
    drop_empty(bucket_of(locks, file));
    pthread_mutex_unlock(&locks->lock);
}

void locks_forget_all(struct locks *locks, const void *of)
{
    pthread_mutex_lock(&locks->lock);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct locked_file *file = locks->buckets[i]; file; file = file->next) {
            forget_in(&file->records, of);
            forget_in(&file->flocks, of);
        }
        drop_empty(&locks->buckets[i]);
    }
    for (struct waiting **at = &locks->waiting; *at;) {
        struct waiting *w = *at;
        if (w->wanted.owner.of == of) {
            *at = w->next;
            free(w);
            locks->waiting_count--;
        } else {
            at = &w->next;
        }
    }
    pthread_mutex_unlock(&locks->lock);
}

size_t locks_count(struct locks *locks)
{
    size_t count = 0;
    pthread_mutex_lock(&locks->lock);
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct locked_file *file = locks->buckets[i]; file; file = file->next)
            count += file->records.count + file->flocks.count;
    pthread_mutex_unlock(&locks->lock);
    return count;
}

struct locks *locks_new(void)
{
    struct locks *locks = calloc(1, sizeof *locks);
    if (locks)
        pthread_mutex_init(&locks->lock, NULL);
    return locks;
}

static void empty(struct lock_list *list)
{
    while (list->first)
        remove_at(list, &list->first);
}

void locks_free(struct locks *locks)
{
    for (size_t i = 0; locks && i < BUCKETS; i++) {
        for (struct locked_file *file = locks->buckets[i], *next; file; file = next) {
            next = file->next;
            empty(&file->records);
            empty(&file->flocks);
            free(file);
        }
    }
    for (struct waiting *w = locks ? locks->waiting : NULL, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    if (locks)
        pthread_mutex_destroy(&locks->lock);
    free(locks);
}
