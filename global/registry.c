/*
 * The registry; see registry.h.
 *
 * A table of entries, unordered but for their numbers, searched in line: a rack has tens of
 * components and they are touched a few times a second. Leases are looked at when somebody asks
 * (every heartbeat does), so there is no timer. Where nobody has for long, it may be this daemon
 * that did not run: who could not be heard then is not taken for lost.
 *
 * Placements that a report may not show yet: those since the last heartbeat, and those of the
 * period before it, since a heartbeat may have been on its way while a program was starting.
 */
#include "registry.h"

#include <ctype.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"

/* What a program of unknown need is taken to need, until its mComponent reports. */
#define NEED_GUESS (64ull << 20)

/* Two heartbeats of any component in a row have not come: this daemon did not run, or is alone. */
enum { SWEEP_GAP_MS = 2 * HEARTBEAT_MS };

enum presence {
    FREE,
    ABSENT, /* its name and number are known, but it is not of the rack now */
    LISTED,
};

struct placed {
    uint64_t count, bytes;
};

struct entry {
    enum presence presence;
    struct component_info info;
    uint32_t epoch;
    bool draining; /* is kept while it is down or away */
    uint64_t lease_end_ms;
    const void *session;
    struct placed since, before; /* the last heartbeat; the one before it */
    uint64_t turn;               /* when it was last chosen: ties go to the longest ago */
};

struct registry {
    struct store store;
    pthread_mutex_t lock; /* of all that follows, and of the store */
    uint32_t epoch;       /* the last given */
    uint16_t last_id;     /* the highest given */
    uint32_t changes;     /* of who is in the rack, and of their states */
    uint64_t turn;
    uint64_t swept_ms; /* when the leases were last looked at */
    unsigned count;    /* entries in use, from the first */
    struct entry entries[REGISTRY_MAX];
};

static bool name_valid(const char *name)
{
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
            return false;
    return *name;
}

static struct entry *find_name(struct registry *r, const char *name)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->entries[i].presence != FREE && strcmp(r->entries[i].info.name, name) == 0)
            return &r->entries[i];
    return NULL;
}

static struct entry *find_id(struct registry *r, struct component id)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->entries[i].presence != FREE && r->entries[i].info.id.n == id.n)
            return &r->entries[i];
    return NULL;
}

/* A place for a new entry: an unused one, else that of the absent one with the oldest epoch. */
static struct entry *find_room(struct registry *r)
{
    if (r->count < REGISTRY_MAX)
        return &r->entries[r->count++];
    struct entry *oldest = NULL;
    for (unsigned i = 0; i < r->count; i++)
        if (r->entries[i].presence == ABSENT && (!oldest || r->entries[i].epoch < oldest->epoch))
            oldest = &r->entries[i];
    return oldest;
}

/* The entry of a name, made where there is none: under the wanted number if that is free. */
static int find_or_make(struct registry *r, const char *name, uint8_t kind, struct component wanted,
                        struct entry **out)
{
    *out = find_name(r, name);
    if (*out) {
        (*out)->info.kind = kind;
        return 0;
    }
    if (wanted.n == 0 || find_id(r, wanted)) {
        if (r->last_id == UINT16_MAX)
            return ASH_LIMIT;
        wanted.n = (uint16_t)(r->last_id + 1);
    }
    struct entry *e = find_room(r);
    if (!e)
        return ASH_LIMIT;
    *e = (struct entry){.presence = ABSENT, .info = {.id = wanted, .kind = kind}};
    strcpy(e->info.name, name);
    if (wanted.n > r->last_id)
        r->last_id = wanted.n;
    *out = e;
    return 0;
}

static void record_epoch(struct registry *r, struct entry *e)
{
    e->epoch = ++r->epoch;
    struct store_record record = {.id = e->info.id, .kind = e->info.kind, .epoch = e->epoch};
    strcpy(record.name, e->info.name);
    if (r->store.ops->put(r->store.self, &record) < 0)
        monitor_log("cannot keep the number of %s over a restart", e->info.name);
}

static void declare(struct registry *r, struct entry *e, enum component_state state,
                    const char *why)
{
    static const char *const texts[] = {
        [COMPONENT_UP] = "up", [COMPONENT_DOWN] = "down", [COMPONENT_DRAINING] = "draining"};
    if (e->info.state == state)
        return;
    e->info.state = (uint8_t)state;
    r->changes++;
    monitor_log("%s (number %u) is %s: %s", e->info.name, e->info.id.n, texts[state], why);
}

static enum component_state state_alive(const struct entry *e)
{
    return e->draining ? COMPONENT_DRAINING : COMPONENT_UP;
}

/* Others may have taken the place of an mComponent that was declared down: it is to hear of it. */
static bool is_fenced(const struct entry *e)
{
    return e->presence == LISTED && e->info.kind == COMPONENT_MEMORY &&
           e->info.state == COMPONENT_DOWN;
}

static void sweep(struct registry *r, uint64_t now_ms)
{
    bool was_away = now_ms - r->swept_ms > SWEEP_GAP_MS;
    r->swept_ms = now_ms;
    for (unsigned i = 0; i < r->count; i++) {
        struct entry *e = &r->entries[i];
        if (was_away && e->lease_end_ms < now_ms + LEASE_MS)
            e->lease_end_ms = now_ms + LEASE_MS;
        if (e->presence == LISTED && now_ms >= e->lease_end_ms)
            declare(r, e, COMPONENT_DOWN, "its lease ran out");
    }
}

/* ---- life ---- */

static void restore(void *to, const struct store_record *record)
{
    struct registry *r = to;
    struct entry *e;
    if (find_or_make(r, record->name, record->kind, record->id, &e) < 0)
        return;
    e->epoch = record->epoch;
    if (record->epoch > r->epoch)
        r->epoch = record->epoch;
}

int registry_new(const struct store *store, struct registry **out)
{
    struct registry *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    int rc = store->ops->load(store->self, restore, r);
    if (rc < 0) {
        free(r);
        return rc;
    }
    r->store = *store;
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return 0;
}

void registry_free(struct registry *r)
{
    r->store.ops->close(r->store.self);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- components ---- */

int registry_reserve(struct registry *r, const char *name, struct component *id)
{
    struct entry *e;
    if (!name_valid(name))
        return -EINVAL;
    pthread_mutex_lock(&r->lock);
    int rc = find_or_make(r, name, COMPONENT_GLOBAL, (struct component){0}, &e);
    if (rc == 0) {
        record_epoch(r, e);
        *id = e->info.id;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_register(struct registry *r, const struct component_info *self, const void *session,
                      uint64_t now_ms, struct component *id, uint32_t *epoch)
{
    if (!name_valid(self->name) || self->kind < COMPONENT_PROCESS || self->kind > COMPONENT_STORAGE)
        return ASH_MALFORMED;
    struct entry *e;
    pthread_mutex_lock(&r->lock);
    sweep(r, now_ms);
    int rc = find_or_make(r, self->name, self->kind, self->id, &e);
    if (rc == 0 && is_fenced(e) && self->id.n == e->info.id.n)
        rc = ASH_FENCED;
    if (rc == 0) {
        struct component number = e->info.id;
        uint8_t state = e->presence == LISTED ? e->info.state : 0;
        /* It was drained before this daemon was started. */
        e->draining |= e->presence == ABSENT && self->state == COMPONENT_DRAINING;
        e->info = *self;
        e->info.id = number;
        e->info.state = state;
        e->presence = LISTED;
        e->session = session;
        e->since = e->before = (struct placed){0};
        e->lease_end_ms = now_ms + LEASE_MS;
        record_epoch(r, e);
        r->changes++; /* though it may have been up: it is another process, or lost its connection
                       */
        declare(r, e, state_alive(e), "it registered");
        *id = number;
        *epoch = e->epoch;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_heartbeat(struct registry *r, const struct component_info *self, uint64_t now_ms,
                       uint32_t *epoch, uint32_t *changes)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    struct entry *e = find_id(r, self->id);
    if (!e || e->presence != LISTED || strcmp(e->info.name, self->name) != 0) {
        rc = ASH_NO_COMPONENT;
    } else if (e->info.pid != self->pid || strcmp(e->info.address, self->address) != 0) {
        rc = ASH_STALE_EPOCH;
    } else if (is_fenced(e)) {
        rc = ASH_FENCED;
    } else {
        e->info.size_bytes = self->size_bytes;
        e->info.used_bytes = self->used_bytes;
        e->info.cached_bytes = self->cached_bytes;
        e->info.log_free_bytes = self->log_free_bytes;
        e->info.load = self->load;
        e->info.processes = self->processes;
        e->before = e->since;
        e->since = (struct placed){0};
        e->lease_end_ms = now_ms + LEASE_MS;
        declare(r, e, state_alive(e), "it is heard again");
        *epoch = e->epoch;
    }
    sweep(r, now_ms);
    *changes = r->changes;
    pthread_mutex_unlock(&r->lock);
    return rc;
}

static bool another_takes(const struct registry *r, const struct entry *than)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct entry *e = &r->entries[i];
        if (e != than && e->presence == LISTED && e->info.kind == than->info.kind &&
            e->info.state == COMPONENT_UP)
            return true;
    }
    return false;
}

int registry_drain(struct registry *r, struct component id, bool on, uint64_t now_ms)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    sweep(r, now_ms);
    struct entry *e = find_id(r, id);
    if (!e || e->presence != LISTED) {
        rc = ASH_NO_COMPONENT;
    } else if (e->info.kind != COMPONENT_MEMORY) {
        rc = -EINVAL;
    } else if (on && !another_takes(r, e)) {
        rc = -EBUSY;
    } else {
        e->draining = on;
        if (e->info.state != COMPONENT_DOWN)
            declare(r, e, state_alive(e), "asked to");
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int registry_leave(struct registry *r, struct component id, const void *session)
{
    int rc = 0;
    pthread_mutex_lock(&r->lock);
    struct entry *e = find_id(r, id);
    if (!e || e->presence != LISTED) {
        rc = ASH_NO_COMPONENT;
    } else if (e->session != session) {
        rc = ASH_FORBIDDEN;
    } else {
        e->presence = ABSENT;
        e->session = NULL;
        r->changes++;
        monitor_log("%s (number %u) left", e->info.name, e->info.id.n);
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void registry_session_closed(struct registry *r, const void *session)
{
    pthread_mutex_lock(&r->lock);
    for (unsigned i = 0; i < r->count; i++) {
        struct entry *e = &r->entries[i];
        if (e->session == session) { /* so it is listed */
            e->session = NULL;
            declare(r, e, COMPONENT_DOWN, "its connection closed");
        }
    }
    pthread_mutex_unlock(&r->lock);
}

static int by_id(const void *a, const void *b)
{
    const struct component_info *x = a, *y = b;
    return (int)x->id.n - (int)y->id.n;
}

size_t registry_list(struct registry *r, uint64_t now_ms, struct component_info *out, size_t limit,
                     uint32_t *changes)
{
    size_t count = 0;
    pthread_mutex_lock(&r->lock);
    sweep(r, now_ms);
    *changes = r->changes;
    for (unsigned i = 0; i < r->count && count < limit; i++)
        if (r->entries[i].presence == LISTED)
            out[count++] = r->entries[i].info;
    pthread_mutex_unlock(&r->lock);
    qsort(out, count, sizeof *out, by_id);
    return count;
}

/* ---- placement ---- */

static bool better(const struct entry *a, uint64_t a_score, const struct entry *b, uint64_t b_score)
{
    if (!b)
        return true;
    if (a_score != b_score)
        return a_score > b_score;
    if (a->turn != b->turn)
        return a->turn < b->turn;
    return a->info.id.n < b->info.id.n;
}

static struct entry *best(struct registry *r, const struct manager *manager,
                          struct component except, struct component also)
{
    struct entry *chosen = NULL;
    uint64_t chosen_score = 0;
    for (unsigned i = 0; i < r->count; i++) {
        struct entry *e = &r->entries[i];
        if (e->presence != LISTED || e->info.state != COMPONENT_UP ||
            e->info.kind != manager->kind || e->info.id.n == except.n || e->info.id.n == also.n)
            continue;
        struct manager_view view = {.info = &e->info,
                                    .placed = e->since.count + e->before.count,
                                    .placed_bytes = e->since.bytes + e->before.bytes};
        uint64_t score = manager->score(&view);
        if (better(e, score, chosen, chosen_score)) {
            chosen = e;
            chosen_score = score;
        }
    }
    return chosen;
}

int registry_choose(struct registry *r, const struct manager *manager, struct component except,
                    struct component also, uint64_t need_bytes, uint64_t now_ms,
                    struct component_info *out)
{
    struct component nobody = {0};
    pthread_mutex_lock(&r->lock);
    sweep(r, now_ms);
    struct entry *e = best(r, manager, except, also);
    if (!e)
        e = best(r, manager, nobody, nobody);
    if (e) {
        e->turn = ++r->turn;
        e->since.count++;
        e->since.bytes += need_bytes ? need_bytes : NEED_GUESS;
        *out = e->info;
    }
    pthread_mutex_unlock(&r->lock);
    return e ? 0 : ASH_NO_COMPONENT;
}
