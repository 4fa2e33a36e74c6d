/* See members.h. */
#include "members.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "clock.h"

enum { HEARD_MAX = 1025 }; /* components of all kinds, the global managers among them */

struct members {
    struct monitor *monitor;      /* never changes */
    pthread_mutex_t ask_lock;     /* of the two that follow; held while asking */
    struct component_info *heard; /* HEARD_MAX */
    uint64_t asked_ms;            /* when the last asking ended */
    pthread_mutex_t lock;         /* of all that follows; taken last */
    struct component_info known[MEMBERS_MAX];
    size_t count;
    uint64_t tellings; /* by the registrar: these are never older than what was asked before */
    struct members_guard *guards;
};

bool member_is_up(const struct component_info *info)
{
    return info->state == COMPONENT_UP || info->state == COMPONENT_DRAINING;
}

static const struct component_info *find_locked(const struct members *m, struct component id)
{
    for (size_t i = 0; i < m->count; i++)
        if (m->known[i].id.n == id.n)
            return &m->known[i];
    return NULL;
}

static bool is_down_locked(const struct members *m, struct component id)
{
    const struct component_info *info = find_locked(m, id);
    return info && !member_is_up(info);
}

static void set_locked(struct members *m, const struct component_info *list, size_t count)
{
    m->count = 0;
    for (size_t i = 0; i < count && m->count < MEMBERS_MAX; i++)
        if (list[i].kind == COMPONENT_MEMORY)
            m->known[m->count++] = list[i];
    for (struct members_guard *g = m->guards; g; g = g->next)
        if (is_down_locked(m, g->id))
            shutdown(g->fd, SHUT_RDWR);
}

void members_told(struct members *m, const struct component_info *list, size_t count)
{
    pthread_mutex_lock(&m->lock);
    m->tellings++;
    set_locked(m, list, count);
    pthread_mutex_unlock(&m->lock);
}

/* With ask_lock. Where the registry is away, what is known stays. */
static void ask(struct members *m)
{
    pthread_mutex_lock(&m->lock);
    uint64_t tellings = m->tellings;
    pthread_mutex_unlock(&m->lock);
    int count = monitor_components(m->monitor, m->heard, HEARD_MAX);
    pthread_mutex_lock(&m->lock);
    if (count >= 0 && m->tellings == tellings)
        set_locked(m, m->heard, (size_t)count);
    pthread_mutex_unlock(&m->lock);
    m->asked_ms = clock_ms();
}

static void refresh(struct members *m, uint64_t max_age_ms)
{
    uint64_t wanted_ms = clock_ms();
    pthread_mutex_lock(&m->ask_lock);
    if (m->asked_ms + max_age_ms < wanted_ms) /* an answer that was waited for is new enough */
        ask(m);
    pthread_mutex_unlock(&m->ask_lock);
}

size_t members_get(struct members *m, uint64_t max_age_ms, struct component_info *out, size_t limit)
{
    refresh(m, max_age_ms);
    pthread_mutex_lock(&m->lock);
    size_t count = m->count < limit ? m->count : limit;
    memcpy(out, m->known, count * sizeof *out);
    pthread_mutex_unlock(&m->lock);
    return count;
}

bool members_known(struct members *m, struct component id, struct component_info *out)
{
    pthread_mutex_lock(&m->lock);
    const struct component_info *info = find_locked(m, id);
    if (info)
        *out = *info;
    pthread_mutex_unlock(&m->lock);
    return info;
}

bool members_find(struct members *m, struct component id, uint64_t max_age_ms,
                  struct component_info *out)
{
    if (members_known(m, id, out) && member_is_up(out))
        return true;
    refresh(m, max_age_ms);
    return members_known(m, id, out);
}

static uint64_t free_bytes(const struct component_info *info)
{
    return info->used_bytes < info->size_bytes ? info->size_bytes - info->used_bytes : 0;
}

bool members_best(struct members *m, struct component except, struct component_info *out)
{
    const struct component_info *best = NULL;
    refresh(m, HEARTBEAT_MS);
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->count; i++) {
        const struct component_info *info = &m->known[i];
        if (info->state == COMPONENT_UP && info->id.n != except.n &&
            (!best || free_bytes(info) > free_bytes(best)))
            best = info;
    }
    if (best)
        *out = *best;
    pthread_mutex_unlock(&m->lock);
    return best;
}

/* ---- requests under way ---- */

int members_guard(struct members *m, struct members_guard *guard, struct component id, int fd)
{
    *guard = (struct members_guard){.id = id, .fd = fd};
    pthread_mutex_lock(&m->lock);
    guard->next = m->guards;
    m->guards = guard;
    bool down = is_down_locked(m, id);
    pthread_mutex_unlock(&m->lock);
    return down ? ASH_LOST : 0;
}

void members_unguard(struct members *m, struct members_guard *guard)
{
    pthread_mutex_lock(&m->lock);
    struct members_guard **at = &m->guards;
    while (*at != guard)
        at = &(*at)->next;
    *at = guard->next;
    pthread_mutex_unlock(&m->lock);
}

/* ---- life ---- */

int members_start(struct monitor *monitor, struct members **out)
{
    struct members *m = calloc(1, sizeof *m);
    struct component_info *heard = calloc(HEARD_MAX, sizeof *heard);
    if (!m || !heard) {
        free(m);
        free(heard);
        return -ENOMEM;
    }
    m->monitor = monitor;
    m->heard = heard;
    pthread_mutex_init(&m->ask_lock, NULL);
    pthread_mutex_init(&m->lock, NULL);
    *out = m;
    return 0;
}

void members_stop(struct members *m)
{
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->ask_lock);
    free(m->heard);
    free(m);
}
