/*
 * See trails.h. A table of TRAILS_MAX programs; the one that was started longest ago gives way to a
 * new one.
 */
#include "trails.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

enum {
    TRAILS_MAX = 256,
    /* What a trail is trusted: all when it is put down, more with each use, less with each start
       that it did not fit; one that does not fit two thirds of them is forgotten. */
    TRUST_MOST = 16,
    TRUST_USED = 2,
    TRUST_MISFIT = 3,
};

struct trail {
    struct trail_file program;
    uint64_t used; /* trails.clock when it was asked for last, or put down; 0: free */
    int trust;
    uint32_t files_count, runs_count;
    struct trail_file *files;
    struct trail_run *runs;
};

struct trails {
    pthread_mutex_t lock; /* of all that follows; leaf */
    uint64_t clock;
    struct trail table[TRAILS_MAX];
};

struct trails *trails_new(void)
{
    struct trails *t = calloc(1, sizeof *t);
    if (t)
        pthread_mutex_init(&t->lock, NULL);
    return t;
}

static void empty(struct trail *trail)
{
    free(trail->files);
    free(trail->runs);
    *trail = (struct trail){};
}

void trails_free(struct trails *t)
{
    for (int i = 0; i < TRAILS_MAX; i++)
        empty(&t->table[i]);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* With the lock. The program's, or NULL; *oldest is then the one to give way. */
static struct trail *find(struct trails *t, const struct trail_file *program, struct trail **oldest)
{
    *oldest = &t->table[0];
    for (int i = 0; i < TRAILS_MAX; i++) {
        struct trail *trail = &t->table[i];
        if (trail->used && memcmp(&trail->program, program, sizeof *program) == 0)
            return trail;
        if (trail->used < (*oldest)->used)
            *oldest = trail;
    }
    return NULL;
}

static bool makes_sense(const struct msg_process_trail_left *m)
{
    if (m->files_count > TRAIL_FILES_MAX || m->runs_count > TRAIL_RUNS_MAX)
        return false;
    for (uint32_t i = 0; i < m->runs_count; i++)
        if (m->runs[i].file >= m->files_count || m->runs[i].count == 0)
            return false;
    return true;
}

static void *copy(const void *from, size_t size)
{
    void *to = malloc(size + 1); /* none is some memory too */
    if (to && size)
        memcpy(to, from, size);
    return to;
}

static void misfit(struct trails *t, const struct trail_file *program)
{
    struct trail *oldest;
    pthread_mutex_lock(&t->lock);
    struct trail *trail = find(t, program, &oldest);
    if (trail && (trail->trust -= TRUST_MISFIT) <= 0)
        empty(trail);
    pthread_mutex_unlock(&t->lock);
}

int trails_put(struct trails *t, const struct msg_process_trail_left *m)
{
    if (!makes_sense(m))
        return -EINVAL;
    if (!m->files_count) {
        misfit(t, &m->program);
        return 0;
    }
    struct trail *oldest;
    struct trail put = {
        .program = m->program,
        .trust = TRUST_MOST,
        .files_count = m->files_count,
        .runs_count = m->runs_count,
        .files = copy(m->files, m->files_count * sizeof *m->files),
        .runs = copy(m->runs, m->runs_count * sizeof *m->runs),
    };
    if (!put.files || !put.runs) {
        empty(&put);
        return -ENOMEM;
    }
    pthread_mutex_lock(&t->lock);
    struct trail *trail = find(t, &m->program, &oldest);
    if (!trail)
        trail = oldest;
    empty(trail);
    *trail = put;
    trail->used = ++t->clock;
    pthread_mutex_unlock(&t->lock);
    return 0;
}

int trails_get(struct trails *t, const struct trail_file *program, uint8_t *out, size_t size)
{
    struct msg_process_trail_reply reply = {};
    struct trail *oldest;
    pthread_mutex_lock(&t->lock);
    struct trail *trail = find(t, program, &oldest);
    if (trail) {
        trail->used = ++t->clock;
        trail->trust += trail->trust + TRUST_USED <= TRUST_MOST ? TRUST_USED : 0;
        reply = (struct msg_process_trail_reply){.files = trail->files,
                                                 .files_count = trail->files_count,
                                                 .runs = trail->runs,
                                                 .runs_count = trail->runs_count};
    }
    int rc = msg_process_trail_reply_encode(&reply, out, size);
    pthread_mutex_unlock(&t->lock);
    return rc;
}
