/* See client.h. Holds are ended, which may close files, without the client's lock. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIRST_BUCKETS = 16,
};

/* ---- holds by themselves ---- */

static int count_in(const struct holding *with, struct hold *hold, unsigned flags)
{
    int rc = 0;
    if (flags & ~hold->flags & HOLD_WRITES)
        rc = handles_writer_came(with->handles, hold->file);
    if (rc == 0 && flags & ~hold->flags & HOLD_EXECUTES)
        rc = handles_executor_came(with->handles, hold->file);
    if (rc == 0)
        hold->flags |= (uint8_t)flags;
    return rc;
}

int hold_new(const struct holding *with, struct volume_file *file, const struct description_id *id,
             unsigned flags, struct hold **out)
{
    struct hold *hold = calloc(1, sizeof *hold);
    int rc = hold ? 0 : -ENOMEM;

    if (rc == 0 && !description_id_is_zero(id))
        rc = description_hold(with->descriptions, id, &file->id, &hold->description);
    if (rc < 0) {
        free(hold);
        handles_put(with->handles, file);
        return rc;
    }
    hold->file = file;
    hold->count = 1;
    /* Who is handed a description may do with it what its opener might. */
    if (hold->description && flags & HOLD_WRITES)
        atomic_store_explicit(&hold->description->writes, true, memory_order_relaxed);
    else if (hold->description &&
             atomic_load_explicit(&hold->description->writes, memory_order_relaxed))
        flags |= HOLD_WRITES | HOLD_WRITABLE;
    rc = count_in(with, hold, flags);
    if (rc < 0) {
        hold_end(with, hold);
        return rc;
    }
    *out = hold;
    return 0;
}

void description_done(const struct holding *with, struct description *d)
{
    if (!description_let_go(with->descriptions, d))
        return;
    if (atomic_load_explicit(&d->locks, memory_order_relaxed))
        locks_forget(with->locks, &d->file, d);
    free(d);
}

void hold_end(const struct holding *with, struct hold *hold)
{
    struct description *d = hold->description;

    if (hold->flags & HOLD_WRITES)
        handles_writer_goes(with->handles, hold->file);
    if (hold->flags & HOLD_EXECUTES)
        handles_executor_goes(with->handles, hold->file);
    if (hold->flags & HOLD_MAPS)
        handles_mapper_goes(with->handles, hold->file);
    if (d)
        description_done(with, d);
    handles_put(with->handles, hold->file);
    free(hold);
}

static void end_list(const struct holding *with, struct hold *list)
{
    for (struct hold *hold = list, *next; hold; hold = next) {
        next = hold->next;
        hold_end(with, hold);
    }
}

/* ---- a client's holds ---- */

static struct hold **bucket_of(const struct client *client, const struct file_id *id)
{
    uint64_t h = (id->inode ^ id->device << 40) * 0x9e3779b97f4a7c15ull;
    return &client->buckets[(h >> 20) & (client->bucket_count - 1)];
}

struct client *client_new(const struct holding *with)
{
    struct client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->with = with;
    client->bucket_count = FIRST_BUCKETS;
    client->buckets = calloc(FIRST_BUCKETS, sizeof(struct hold *));
    pthread_mutex_init(&client->lock, NULL);
    answers_init(&client->answers);
    if (!client->buckets) {
        client_free(client);
        return NULL;
    }
    return client;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    if (client->buckets)
        client_release_all(client);
    answers_free(&client->answers);
    pthread_mutex_destroy(&client->lock);
    free(client->buckets);
    free(client);
}

/* Longer chains are only slower: without memory for more buckets it goes on with what it has. */
static void grow(struct client *client)
{
    struct client bigger = {.bucket_count = client->bucket_count * 2};
    bigger.buckets = calloc(bigger.bucket_count, sizeof(struct hold *));
    if (!bigger.buckets)
        return;
    for (size_t i = 0; i < client->bucket_count; i++) {
        for (struct hold *hold = client->buckets[i], *next; hold; hold = next) {
            struct hold **to = bucket_of(&bigger, &hold->file->id);
            next = hold->next;
            hold->next = *to;
            *to = hold;
        }
    }
    free(client->buckets);
    client->buckets = bigger.buckets;
    client->bucket_count = bigger.bucket_count;
}

static bool is_of(const struct hold *hold, const struct description_id *id)
{
    return hold->description ? description_id_equal(&hold->description->id, id)
                             : description_id_is_zero(id);
}

/* Where the hold is linked, or the end of its chain. The lock is held, here and in insert(). */
static struct hold **find(const struct client *client, const struct file_id *file,
                          const struct description_id *id)
{
    struct hold **at = bucket_of(client, file);
    while (*at && !(file_id_equal(&(*at)->file->id, file) && is_of(*at, id)))
        at = &(*at)->next;
    return at;
}

static void insert(struct client *client, struct hold *hold)
{
    if (client->hold_count++ >= client->bucket_count)
        grow(client);
    struct hold **bucket = bucket_of(client, &hold->file->id);
    hold->next = *bucket;
    *bucket = hold;
}

int client_hold(struct client *client, struct volume_file *file, const struct description_id *id,
                unsigned flags)
{
    struct hold *fresh;
    int rc;

    pthread_mutex_lock(&client->lock);
    struct hold *hold = *find(client, &file->id, id);
    if (hold) {
        rc = count_in(client->with, hold, flags);
        hold->count += rc == 0 && !hold->description;
        /* Not the last reference: the hold has one. */
        handles_put(client->with->handles, file);
    } else {
        rc = hold_new(client->with, file, id, flags, &fresh);
        if (rc == 0)
            insert(client, fresh);
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}

void client_release(struct client *client, const struct held *held)
{
    pthread_mutex_lock(&client->lock);
    struct hold **at = find(client, &held->file, &held->description), *hold = *at;
    if (hold && --hold->count == 0) {
        *at = hold->next;
        client->hold_count--;
    } else {
        hold = NULL;
    }
    pthread_mutex_unlock(&client->lock);
    if (hold)
        hold_end(client->with, hold);
}

/* Takes out all holds, or all that were not named to be kept. */
static struct hold *take(struct client *client, bool all)
{
    struct hold *taken = NULL;

    pthread_mutex_lock(&client->lock);
    for (size_t i = 0; i < client->bucket_count; i++) {
        for (struct hold **at = &client->buckets[i]; *at;) {
            struct hold *hold = *at;
            bool kept = hold->kept;
            hold->kept = false;
            if (kept && !all) {
                at = &hold->next;
                continue;
            }
            *at = hold->next;
            client->hold_count--;
            hold->next = taken;
            taken = hold;
        }
    }
    pthread_mutex_unlock(&client->lock);
    return taken;
}

void client_release_all(struct client *client)
{
    end_list(client->with, take(client, true));
    if (atomic_load_explicit(&client->has_locks, memory_order_relaxed))
        locks_forget_all(client->with->locks, client);
}

int client_inherit(struct client *child, struct client *parent)
{
    struct hold *copies = NULL;
    int rc = 0;

    pthread_mutex_lock(&parent->lock);
    for (size_t i = 0; i < parent->bucket_count && rc == 0; i++) {
        for (struct hold *hold = parent->buckets[i]; hold && rc == 0; hold = hold->next) {
            struct hold *copy;
            if (!hold->description)
                continue;
            struct volume_file *file = handles_get(parent->with->handles, &hold->file->id);
            rc = hold_new(parent->with, file, &hold->description->id,
                          hold->flags & ~(unsigned)HOLD_MAPS, &copy);
            if (rc < 0)
                break;
            copy->next = copies;
            copies = copy;
        }
    }
    pthread_mutex_unlock(&parent->lock);
    if (rc < 0) {
        end_list(parent->with, copies);
        return rc;
    }
    pthread_mutex_lock(&child->lock);
    for (struct hold *hold = copies, *next; hold; hold = next) {
        next = hold->next;
        insert(child, hold);
    }
    pthread_mutex_unlock(&child->lock);
    return 0;
}

int client_keep(struct client *client, const struct held *held)
{
    struct hold *fresh;
    int rc = 0;

    pthread_mutex_lock(&client->lock);
    struct hold *hold = *find(client, &held->file, &held->description);
    if (!hold) {
        struct volume_file *file = handles_get(client->with->handles, &held->file);
        rc = file ? hold_new(client->with, file, &held->description, 0, &fresh) : ASH_STALE_FILE;
        if (rc == 0) {
            hold = fresh;
            insert(client, hold);
        }
    }
    if (hold)
        hold->kept = true;
    pthread_mutex_unlock(&client->lock);
    return rc;
}

void client_keep_only(struct client *client)
{
    end_list(client->with, take(client, false));
}

int client_execute(struct client *client, const struct held *held)
{
    pthread_mutex_lock(&client->lock);
    struct hold *hold = *find(client, &held->file, &held->description);
    int rc = hold ? count_in(client->with, hold, HOLD_EXECUTES) : ASH_STALE_FILE;
    pthread_mutex_unlock(&client->lock);
    return rc;
}

int client_map(struct client *client, const struct held *held, struct component mapper)
{
    int rc = 0;

    pthread_mutex_lock(&client->lock);
    struct hold *hold = *find(client, &held->file, &held->description);
    if (!hold)
        rc = ASH_STALE_FILE;
    else if (hold->flags & HOLD_MAPS)
        rc = 1;
    else
        rc = handles_mapper_came(client->with->handles, hold->file, mapper);
    if (rc == 0)
        hold->flags |= HOLD_MAPS;
    pthread_mutex_unlock(&client->lock);
    return rc;
}

/* ---- questions ---- */

/* The flags of all holds of a file together; *any: there is one. */
static unsigned flags_of(struct client *client, const struct file_id *id, bool *any)
{
    unsigned flags = 0;

    *any = false;
    pthread_mutex_lock(&client->lock);
    for (const struct hold *hold = *bucket_of(client, id); hold; hold = hold->next) {
        if (!file_id_equal(&hold->file->id, id))
            continue;
        flags |= hold->flags;
        *any = true;
    }
    pthread_mutex_unlock(&client->lock);
    return flags;
}

bool client_holds(struct client *client, const struct file_id *id)
{
    bool any;
    (void)flags_of(client, id, &any);
    return any;
}

bool client_may_write(struct client *client, struct volume_file *file, const struct rights *rights)
{
    bool any;
    return flags_of(client, &file->id, &any) & HOLD_WRITABLE || file->ops->writable(file, rights);
}

struct description *client_description(struct client *client, const struct held *held)
{
    pthread_mutex_lock(&client->lock);
    struct hold *hold = *find(client, &held->file, &held->description);
    struct description *d = NULL;
    if (hold && hold->description &&
        description_hold(client->with->descriptions, &held->description, &held->file, &d) < 0)
        d = NULL;
    pthread_mutex_unlock(&client->lock);
    return d;
}
