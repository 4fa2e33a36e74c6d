/*
 * See clients.h. A table of chains under one lock, which is held over pointer work, and over the
 * copying of holds at a fork, so that the parent cannot end meanwhile; clients are freed without
 * it. Nobody waits for those that linger: whoever comes or goes, or finds something of theirs in
 * the way, sees to those that are due.
 */
#include "clients.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"

enum { BUCKETS = 256 };

struct clients {
    const struct holding *with; /* never changes */
    pthread_mutex_t lock;       /* of all that follows */
    struct client *buckets[BUCKETS];
    size_t lingering;
};

struct clients *clients_new(const struct holding *with)
{
    struct clients *all = calloc(1, sizeof *all);
    if (!all)
        return NULL;
    all->with = with;
    pthread_mutex_init(&all->lock, NULL);
    return all;
}

static struct client **bucket_of(struct clients *all, struct asid asid)
{
    return &all->buckets[(asid.n * 0x9e3779b97f4a7c15ull) >> 56];
}
_Static_assert(BUCKETS == 256, "bucket_of() takes the eight top bits");

static struct client *find(struct clients *all, const struct msg_bind *bind, struct asid asid)
{
    struct client *client = *bucket_of(all, asid);
    while (client && (client->asid.n != asid.n || client->run_id != bind->run_id))
        client = client->next;
    return client;
}

static void free_list(struct client *list)
{
    for (struct client *client = list, *next; client; client = next) {
        next = client->next;
        client_free(client);
    }
}

/* Takes out the lingering ones, all of them or those that are due. The lock is held. */
static struct client *take_lingering(struct clients *all, bool every)
{
    struct client *taken = NULL;
    uint64_t now = clock_ms();

    for (size_t i = 0; i < BUCKETS && all->lingering; i++) {
        for (struct client **at = &all->buckets[i]; *at;) {
            struct client *client = *at;
            if (client->connections || (!every && client->ends_ms > now)) {
                at = &client->next;
                continue;
            }
            *at = client->next;
            client->next = taken;
            taken = client;
            all->lingering--;
        }
    }
    return taken;
}

void clients_free(struct clients *all)
{
    if (!all)
        return;
    free_list(take_lingering(all, true));
    pthread_mutex_destroy(&all->lock);
    free(all);
}

bool clients_sweep(struct clients *all)
{
    pthread_mutex_lock(&all->lock);
    struct client *due = take_lingering(all, false);
    pthread_mutex_unlock(&all->lock);
    bool any = due;
    free_list(due);
    return any;
}

static struct client *make(struct clients *all, const struct msg_bind *bind, bool process)
{
    struct client *client = client_new(all->with);
    if (!client)
        return NULL;
    client->run_id = bind->run_id;
    client->asid = process ? bind->asid : (struct asid){0};
    client->component = bind->scope != SCOPE_PROCESS;
    return client;
}

int clients_enter(struct clients *all, const struct msg_bind *bind, struct client **out)
{
    bool process = bind->scope == SCOPE_PROCESS && bind->asid.n;
    int rc = 0;

    pthread_mutex_lock(&all->lock);
    struct client *due = take_lingering(all, false);
    struct client *client = process ? find(all, bind, bind->asid) : NULL;
    if (!client && (client = make(all, bind, process))) {
        struct client *parent = bind->parent.n ? find(all, bind, bind->parent) : NULL;
        rc = process && parent ? client_inherit(client, parent) : 0;
        struct client **bucket = bucket_of(all, client->asid);
        client->next = *bucket;
        *bucket = client;
    } else if (client && !client->connections) {
        all->lingering--;
    }
    if (client)
        client->connections++;
    pthread_mutex_unlock(&all->lock);
    free_list(due);
    if (!client)
        return -ENOMEM;
    if (rc < 0) {
        clients_leave(all, client, true);
        return rc;
    }
    *out = client;
    return 0;
}

void clients_leave(struct clients *all, struct client *client, bool closed)
{
    pthread_mutex_lock(&all->lock);
    struct client *due = take_lingering(all, false);
    if (--client->connections == 0) {
        if (closed || !client->asid.n) {
            struct client **at = bucket_of(all, client->asid);
            while (*at != client)
                at = &(*at)->next;
            *at = client->next;
            client->next = due;
            due = client;
        } else {
            client->ends_ms = clock_ms() + LINGER_MS;
            all->lingering++;
        }
    }
    pthread_mutex_unlock(&all->lock);
    free_list(due);
}
