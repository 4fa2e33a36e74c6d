/*
 * Files: a hash by id and version, references, and the hold at the sComponent.
 *
 * A file's hold changes with a message, which no lock may be held over: who changes it marks the
 * file FILE_CHANGING, so that a hold and a release of one file never overtake each other. Release
 * is late by FILE_IDLE_MS because programs that are started again and again map the same files.
 */
#include "file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "deadline.h"
#include "limits.h"

int files_init(struct files *files, struct backing backing)
{
    *files = (struct files){.backing = backing};
    int rc = -pthread_mutex_init(&files->lock, NULL);
    if (rc < 0)
        return rc;
    return deadline_cond_init(&files->changed);
}

static void free_file(struct file *file)
{
    free(file->path);
    free(file);
}

void files_free(struct files *files)
{
    for (unsigned i = 0; i < FILE_BUCKETS; i++) {
        for (struct file *f = files->buckets[i], *next; f; f = next) {
            next = f->next;
            free_file(f);
        }
    }
    pthread_cond_destroy(&files->changed);
    pthread_mutex_destroy(&files->lock);
}

static struct file **bucket_of(struct files *files, struct file_id id, uint64_t version)
{
    uint64_t h = (id.inode ^ id.device << 32 ^ id.generation << 16) * 0x9e3779b97f4a7c15ull;
    h = (h ^ version) * 0xbf58476d1ce4e5b9ull;
    return &files->buckets[(h >> 32) % FILE_BUCKETS];
}

static bool is(const struct file *f, struct file_id id, uint64_t version)
{
    return f->id.inode == id.inode && f->id.device == id.device &&
           f->id.generation == id.generation && f->version == version;
}

static struct file *find_or_make(struct files *files, struct file_id id, uint64_t version,
                                 const char *path)
{
    struct file **bucket = bucket_of(files, id, version);
    for (struct file *f = *bucket; f; f = f->next)
        if (is(f, id, version))
            return f;
    struct file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    *f = (struct file){
        .files = files, .id = id, .version = version, .path = strdup(path), .next = *bucket};
    if (!f->path) {
        free(f);
        return NULL;
    }
    *bucket = f;
    files->count++;
    return f;
}

/* Drops a reference, the lock being held. */
static void put_locked(struct file *file)
{
    if (atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) == 1)
        file->idle_since_ms = clock_ms();
}

int files_get(struct files *files, struct file_id id, uint64_t version, const char *path,
              uint64_t deadline_ms, struct file **out)
{
    struct timespec deadline = deadline_timespec(deadline_ms);
    int rc = 0;
    pthread_mutex_lock(&files->lock);
    struct file *f = find_or_make(files, id, version, path);
    if (!f) {
        pthread_mutex_unlock(&files->lock);
        return -ENOMEM;
    }
    file_ref(f);
    while (f->hold == FILE_CHANGING && rc == 0)
        rc = -pthread_cond_timedwait(&files->changed, &files->lock, &deadline);
    if (f->hold == FILE_FREE) {
        f->hold = FILE_CHANGING;
        pthread_mutex_unlock(&files->lock);
        rc = files->backing.ops->hold(files->backing.self, f, deadline_ms);
        pthread_mutex_lock(&files->lock);
        f->hold = rc == 0 ? FILE_HELD : FILE_FREE;
        pthread_cond_broadcast(&files->changed);
    }
    pthread_mutex_unlock(&files->lock);
    *out = f;
    return 0;
}

void file_put(struct file *file)
{
    unsigned refs = atomic_load_explicit(&file->refs, memory_order_relaxed);
    while (refs > 1)
        if (atomic_compare_exchange_weak_explicit(&file->refs, &refs, refs - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    struct files *files = file->files;
    pthread_mutex_lock(&files->lock);
    put_locked(file);
    pthread_mutex_unlock(&files->lock);
}

static bool idle(const struct file *f, uint64_t now_ms)
{
    return atomic_load_explicit(&f->refs, memory_order_acquire) == 0 &&
           f->idle_since_ms + FILE_IDLE_MS <= now_ms;
}

/* Forgets idle, free files without pages in a bucket; returns one that is to be released. */
static struct file *sweep(struct files *files, struct file **bucket, uint64_t now_ms)
{
    for (struct file **at = bucket, *f; (f = *at);) {
        if (idle(f, now_ms) && f->hold == FILE_HELD)
            return f;
        /* Acquire: pairs with the release of the page that named this file last. */
        if (idle(f, now_ms) && f->hold == FILE_FREE &&
            atomic_load_explicit(&f->pages, memory_order_acquire) == 0) {
            *at = f->next;
            files->count--;
            free_file(f);
        } else {
            at = &f->next;
        }
    }
    return NULL;
}

void files_tidy(struct files *files, uint64_t now_ms)
{
    struct file *f;
    pthread_mutex_lock(&files->lock);
    for (unsigned i = 0; i < FILE_BUCKETS; i++) {
        while ((f = sweep(files, &files->buckets[i], now_ms))) {
            f->hold = FILE_CHANGING;
            pthread_mutex_unlock(&files->lock);
            files->backing.ops->release(files->backing.self, f, clock_ms() + BACKING_TIMEOUT_MS);
            pthread_mutex_lock(&files->lock);
            f->hold = FILE_FREE;
            pthread_cond_broadcast(&files->changed);
        }
    }
    pthread_mutex_unlock(&files->lock);
}
