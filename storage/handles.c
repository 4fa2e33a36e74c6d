/*
 * The files that are open here, by file_id.
 *
 * SHARDS hash tables of chains, each with its lock, which is held over pointer work only, never
 * over I/O: a file leaves its chain under the lock and is closed after it. A lock of a file (the
 * volume's) may be held when a shard's is taken, so no blocking call into a file is made with a
 * shard locked; the sweep only calls relax, which does not block.
 *
 * When descriptors are short the sweep goes round the table like a clock's hand: a file used since
 * its last visit is passed over once, another one gives up what it can have again. So it is an
 * approximate LRU that costs a relaxed store for each use and nothing else.
 */
#include "handles.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "descriptors.h"

enum {
    SHARDS = 64,
    FIRST_BUCKETS = 16, /* of each shard; doubled when they are full */
};

struct shard {
    pthread_mutex_t lock;
    struct volume_file **buckets; /* protected by lock, as all here */
    size_t bucket_count, file_count;
};

struct handles {
    struct shard shards[SHARDS];
    atomic_uint hand; /* the shard that the sweep begins with; relaxed */
};

bool file_id_equal(const struct file_id *a, const struct file_id *b)
{
    return a->inode == b->inode && a->device == b->device && a->generation == b->generation;
}

/* A multiply-and-fold of the three numbers (splitmix64's finisher). */
static uint64_t hash(const struct file_id *id)
{
    uint64_t h = id->inode + id->device * 0x9e3779b97f4a7c15ull + (id->generation << 1);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return h ^ (h >> 31);
}

static struct shard *shard_of(struct handles *handles, const struct file_id *id)
{
    return &handles->shards[hash(id) % SHARDS];
}

static struct volume_file **bucket_of(struct shard *shard, const struct file_id *id)
{
    return &shard->buckets[(hash(id) / SHARDS) % shard->bucket_count];
}

static struct volume_file *find(struct shard *shard, const struct file_id *id)
{
    struct volume_file *file = *bucket_of(shard, id);
    while (file && !file_id_equal(&file->id, id))
        file = file->next;
    return file;
}

/* Longer chains are only slower: without memory for more buckets it goes on with what it has. */
static void grow(struct shard *shard)
{
    struct shard bigger = {.bucket_count = shard->bucket_count * 2};
    bigger.buckets = calloc(bigger.bucket_count, sizeof *bigger.buckets);
    if (!bigger.buckets)
        return;
    for (size_t i = 0; i < shard->bucket_count; i++) {
        for (struct volume_file *file = shard->buckets[i], *next; file; file = next) {
            struct volume_file **to = bucket_of(&bigger, &file->id);
            next = file->next;
            file->next = *to;
            *to = file;
        }
    }
    free(shard->buckets);
    shard->buckets = bigger.buckets;
    shard->bucket_count = bigger.bucket_count;
}

static unsigned relax_shard(struct shard *shard, unsigned wanted)
{
    unsigned got = 0;

    pthread_mutex_lock(&shard->lock);
    for (size_t i = 0; i < shard->bucket_count && got < wanted; i++)
        for (struct volume_file *file = shard->buckets[i]; file; file = file->next)
            if (!atomic_exchange_explicit(&file->recent, false, memory_order_relaxed))
                got += file->ops->relax(file);
    pthread_mutex_unlock(&shard->lock);
    return got;
}

/* Twice round: the first visit of a file in use only takes its mark. */
static unsigned sweep(void *self, unsigned wanted)
{
    struct handles *handles = self;
    unsigned got = 0;

    for (unsigned i = 0; i < 2 * SHARDS && got < wanted; i++) {
        unsigned at = atomic_fetch_add_explicit(&handles->hand, 1, memory_order_relaxed);
        got += relax_shard(&handles->shards[at % SHARDS], wanted - got);
    }
    return got;
}

struct handles *handles_new(void)
{
    struct handles *handles = calloc(1, sizeof *handles);
    if (!handles)
        return NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &handles->shards[i];
        pthread_mutex_init(&shard->lock, NULL);
        shard->bucket_count = FIRST_BUCKETS;
        shard->buckets = calloc(FIRST_BUCKETS, sizeof *shard->buckets);
        if (!shard->buckets) {
            handles_free(handles);
            return NULL;
        }
    }
    descriptors_relieve_by(sweep, handles);
    return handles;
}

void handles_free(struct handles *handles)
{
    if (!handles)
        return;
    descriptors_relieve_by(NULL, NULL);
    for (size_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &handles->shards[i];
        for (size_t b = 0; shard->buckets && b < shard->bucket_count; b++) {
            for (struct volume_file *file = shard->buckets[b], *next; file; file = next) {
                next = file->next;
                file->ops->close(file);
            }
        }
        free(shard->buckets);
        pthread_mutex_destroy(&shard->lock);
    }
    free(handles);
}

struct volume_file *handles_add(struct handles *handles, struct volume_file *fresh)
{
    struct shard *shard = shard_of(handles, &fresh->id);

    pthread_mutex_lock(&shard->lock);
    struct volume_file *file = find(shard, &fresh->id);
    if (file) {
        file->references++;
    } else {
        if (shard->file_count >= shard->bucket_count)
            grow(shard);
        struct volume_file **bucket = bucket_of(shard, &fresh->id);
        fresh->references = 1;
        fresh->next = *bucket;
        *bucket = fresh;
        shard->file_count++;
    }
    pthread_mutex_unlock(&shard->lock);

    if (!file)
        return fresh;
    file->ops->absorb(file, fresh);
    return file;
}

struct volume_file *handles_get(struct handles *handles, const struct file_id *id)
{
    struct shard *shard = shard_of(handles, id);

    pthread_mutex_lock(&shard->lock);
    struct volume_file *file = find(shard, id);
    if (file)
        file->references++;
    pthread_mutex_unlock(&shard->lock);
    return file;
}

void handles_put(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    bool last = --file->references == 0;
    if (last) {
        struct volume_file **at = bucket_of(shard, &file->id);
        while (*at != file)
            at = &(*at)->next;
        *at = file->next;
        shard->file_count--;
    }
    pthread_mutex_unlock(&shard->lock);
    if (last)
        file->ops->close(file);
}

int handles_writer_came(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    int rc = file->executors ? -ETXTBSY : 0;
    file->writers += rc == 0;
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

int handles_executor_came(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    int rc = file->writers ? -ETXTBSY : 0;
    file->executors += rc == 0;
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

void handles_executor_goes(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    file->executors--;
    pthread_mutex_unlock(&shard->lock);
}

int handles_mapper_came(struct handles *handles, struct volume_file *file, struct component mapper)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    int rc = file->mappings && file->mapper.n != mapper.n ? -EBUSY : 0;
    if (rc == 0) {
        file->mapper = mapper;
        file->mappings++;
    }
    pthread_mutex_unlock(&shard->lock);
    return rc;
}

void handles_mapper_goes(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    file->mappings--;
    pthread_mutex_unlock(&shard->lock);
}

bool handles_written(struct handles *handles, const struct file_id *id)
{
    struct shard *shard = shard_of(handles, id);

    pthread_mutex_lock(&shard->lock);
    struct volume_file *file = find(shard, id);
    bool written = file && file->writers;
    pthread_mutex_unlock(&shard->lock);
    return written;
}

void handles_writer_goes(struct handles *handles, struct volume_file *file)
{
    struct shard *shard = shard_of(handles, &file->id);

    pthread_mutex_lock(&shard->lock);
    bool last = --file->writers == 0;
    pthread_mutex_unlock(&shard->lock);
    /* Another writer may have come since: it then opens its descriptor again, no harm done. */
    if (last)
        file->ops->rest(file);
}

size_t handles_count(struct handles *handles)
{
    size_t count = 0;
    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&handles->shards[i].lock);
        count += handles->shards[i].file_count;
        pthread_mutex_unlock(&handles->shards[i].lock);
    }
    return count;
}
