/* See spares.h. */
#include "spares.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    SPARES_TARGET = 4,
    ADDRESSES_MAX = 64, /* components that spares are kept for */
};

struct shelf {
    char address[ADDRESS_LIMIT];
    struct net_conn *conns[SPARES_TARGET];
    unsigned count;
    bool wanted; /* one was asked for since the last attempt to fill up */
};

struct spares {
    struct net_key key; /* never changes */
    pthread_t filler;
    pthread_mutex_t lock; /* of all that follows; held over no request */
    pthread_cond_t wake;
    struct shelf shelves[ADDRESSES_MAX];
    unsigned shelf_count;
    bool stopping;
};

/* ---- filling ---- */

/* A shelf to be filled up; waits for one. NULL: the end. */
static struct shelf *await_wanted(struct spares *s)
{
    while (!s->stopping) {
        for (unsigned i = 0; i < s->shelf_count; i++)
            if (s->shelves[i].wanted)
                return &s->shelves[i];
        pthread_cond_wait(&s->wake, &s->lock);
    }
    return NULL;
}

static void *fill(void *argument)
{
    struct spares *s = argument;
    struct shelf *shelf;
    pthread_mutex_lock(&s->lock);
    while ((shelf = await_wanted(s))) {
        shelf->wanted = false;
        while (shelf->count < SPARES_TARGET && !s->stopping) {
            struct net_conn *conn;
            pthread_mutex_unlock(&s->lock);
            int rc = net_connect_unbound(shelf->address, &s->key, CONNECT_TIMEOUT_MS, &conn);
            pthread_mutex_lock(&s->lock);
            if (rc < 0)
                break;
            shelf->conns[shelf->count++] = conn;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- taking ---- */

/* The shelf of an address, made where there is room for one more; lock held. */
static struct shelf *shelf_of(struct spares *s, const char *address)
{
    for (unsigned i = 0; i < s->shelf_count; i++)
        if (strncmp(s->shelves[i].address, address, ADDRESS_LIMIT) == 0)
            return &s->shelves[i];
    if (s->shelf_count == ADDRESSES_MAX)
        return NULL;
    struct shelf *shelf = &s->shelves[s->shelf_count++];
    strncpy(shelf->address, address, ADDRESS_LIMIT - 1);
    return shelf;
}

struct net_conn *spares_take(struct spares *s, const char *address)
{
    struct net_conn *conn = NULL;
    pthread_mutex_lock(&s->lock);
    struct shelf *shelf = shelf_of(s, address);
    if (shelf) {
        if (shelf->count) { /* the one that has waited longest */
            conn = shelf->conns[0];
            shelf->count--;
            memmove(shelf->conns, shelf->conns + 1, shelf->count * sizeof *shelf->conns);
        }
        shelf->wanted = true;
    }
    pthread_mutex_unlock(&s->lock);
    return conn;
}

void spares_refill(struct spares *s)
{
    bool wanted = false;
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->shelf_count; i++)
        wanted |= s->shelves[i].wanted;
    if (wanted)
        pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

void spares_drop(struct spares *s, const char *address)
{
    struct net_conn *conn;
    while ((conn = spares_take(s, address)))
        net_close(conn);
}

int spares_connect(struct spares *s, const char *address, const struct msg_bind *bind,
                   unsigned timeout_ms, struct net_conn **out)
{
    struct net_conn *conn = spares_take(s, address);
    spares_refill(s);
    if (conn) {
        int rc = net_bind(conn, bind, timeout_ms, NULL);
        if (rc == 0) {
            *out = conn;
            return 0;
        }
        net_close(conn);
        if (rc != ASH_LOST)
            return rc;
        spares_drop(s, address);
    }
    return net_connect(address, &s->key, bind, timeout_ms, out, NULL);
}

/* ---- life ---- */

int spares_start(const struct net_key *key, struct spares **out)
{
    struct spares *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->key = *key;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    int rc = -pthread_create(&s->filler, NULL, fill, s);
    if (rc < 0)
        free(s);
    else
        *out = s;
    return rc;
}

void spares_stop(struct spares *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->filler, NULL);
    for (unsigned i = 0; i < s->shelf_count; i++)
        while (s->shelves[i].count)
            net_close(s->shelves[i].conns[--s->shelves[i].count]);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    explicit_bzero(&s->key, sizeof s->key);
    free(s);
}
