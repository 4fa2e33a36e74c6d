/*
 * See description.h. SHARDS hash tables of chains, each with its lock, held over pointer work
 * alone. Ids are random bits, so they are their own hash.
 */
#include "description.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "handles.h"

enum {
    SHARDS = 64,
    FIRST_BUCKETS = 16, /* of each shard; doubled when they are full */
};

struct shard {
    pthread_mutex_t lock;
    struct description **buckets; /* protected by lock, as all here */
    size_t bucket_count, count;
};

struct descriptions {
    struct shard shards[SHARDS];
};

bool description_id_is_zero(const struct description_id *id)
{
    return id->high == 0 && id->low == 0;
}

bool description_id_equal(const struct description_id *a, const struct description_id *b)
{
    return a->low == b->low && a->high == b->high;
}

static struct shard *shard_of(struct descriptions *all, const struct description_id *id)
{
    return &all->shards[id->low % SHARDS];
}

static struct description **bucket_of(struct shard *shard, const struct description_id *id)
{
    return &shard->buckets[id->low / SHARDS % shard->bucket_count];
}

/* Longer chains are only slower: without memory for more buckets it goes on with what it has. */
static void grow(struct shard *shard)
{
    struct shard bigger = {.bucket_count = shard->bucket_count * 2};
    bigger.buckets = calloc(bigger.bucket_count, sizeof *bigger.buckets);
    if (!bigger.buckets)
        return;
    for (size_t i = 0; i < shard->bucket_count; i++) {
        for (struct description *d = shard->buckets[i], *next; d; d = next) {
            struct description **to = bucket_of(&bigger, &d->id);
            next = d->next;
            d->next = *to;
            *to = d;
        }
    }
    free(shard->buckets);
    shard->buckets = bigger.buckets;
    shard->bucket_count = bigger.bucket_count;
}

struct descriptions *descriptions_new(void)
{
    struct descriptions *all = calloc(1, sizeof *all);
    for (size_t i = 0; all && i < SHARDS; i++) {
        struct shard *shard = &all->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->bucket_count = FIRST_BUCKETS;
        shard->buckets = calloc(FIRST_BUCKETS, sizeof *shard->buckets);
        if (!shard->buckets) {
            descriptions_free(all);
            return NULL;
        }
    }
    return all;
}

void descriptions_free(struct descriptions *all)
{
    for (size_t i = 0; all && i < SHARDS; i++) {
        struct shard *shard = &all->shards[i];
        for (size_t b = 0; shard->buckets && b < shard->bucket_count; b++) {
            for (struct description *d = shard->buckets[b], *next; d; d = next) {
                next = d->next;
                free(d);
            }
        }
        free(shard->buckets);
        pthread_mutex_destroy(&shard->lock);
    }
    free(all);
}

int description_hold(struct descriptions *all, const struct description_id *id,
                     const struct file_id *file, struct description **out)
{
    struct shard *shard = shard_of(all, id);
    int rc = 0;

    pthread_mutex_lock(&shard->lock);
    struct description **bucket = bucket_of(shard, id), *d = *bucket;
    while (d && !description_id_equal(&d->id, id))
        d = d->next;
    if (d && !file_id_equal(&d->file, file)) {
        rc = ASH_FORBIDDEN;
    } else if (d) {
        d->holders++;
    } else if ((d = calloc(1, sizeof *d))) {
        if (shard->count++ >= shard->bucket_count) {
            grow(shard);
            bucket = bucket_of(shard, id);
        }
        d->id = *id;
        d->file = *file;
        d->holders = 1;
        d->next = *bucket;
        *bucket = d;
    } else {
        rc = -ENOMEM;
    }
    pthread_mutex_unlock(&shard->lock);
    *out = rc < 0 ? NULL : d;
    return rc;
}

bool description_let_go(struct descriptions *all, struct description *d)
{
    struct shard *shard = shard_of(all, &d->id);

    pthread_mutex_lock(&shard->lock);
    bool last = --d->holders == 0;
    if (last) {
        struct description **at = bucket_of(shard, &d->id);
        while (*at != d)
            at = &(*at)->next;
        *at = d->next;
        shard->count--;
    }
    pthread_mutex_unlock(&shard->lock);
    return last;
}

size_t descriptions_count(struct descriptions *all)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&all->shards[i].lock);
        count += all->shards[i].count;
        pthread_mutex_unlock(&all->shards[i].lock);
    }
    return count;
}
