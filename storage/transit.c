/* See transit.h. A queue, oldest first, under one lock; holds are ended without it. */
#include "transit.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"

enum { TRANSIT_MAX = 1024 };

struct sent {
    struct sent *next;
    struct hold *hold;
    uint64_t due_ms;
};

struct transit {
    const struct holding *with; /* never changes */
    pthread_mutex_t lock;       /* of all that follows */
    struct sent *oldest, **end;
    size_t count;
};

struct transit *transit_new(const struct holding *with)
{
    struct transit *transit = calloc(1, sizeof *transit);
    if (!transit)
        return NULL;
    transit->with = with;
    transit->end = &transit->oldest;
    pthread_mutex_init(&transit->lock, NULL);
    return transit;
}

/* Takes out the one at *at. The lock is held. */
static struct sent *take(struct transit *transit, struct sent **at)
{
    struct sent *taken = *at;
    *at = taken->next;
    if (transit->end == &taken->next)
        transit->end = at;
    transit->count--;
    return taken;
}

/* The oldest one, where it is due or must give way; NULL: none. The lock is held. */
static struct sent *take_due(struct transit *transit, size_t most)
{
    struct sent *oldest = transit->oldest;
    if (!oldest || (oldest->due_ms > clock_ms() && transit->count <= most))
        return NULL;
    return take(transit, &transit->oldest);
}

static bool sweep(struct transit *transit, size_t most)
{
    bool any = false;
    for (;;) {
        pthread_mutex_lock(&transit->lock);
        struct sent *due = take_due(transit, most);
        pthread_mutex_unlock(&transit->lock);
        if (!due)
            return any;
        hold_end(transit->with, due->hold);
        free(due);
        any = true;
    }
}

bool transit_sweep(struct transit *transit)
{
    return sweep(transit, TRANSIT_MAX);
}

void transit_free(struct transit *transit)
{
    if (!transit)
        return;
    sweep(transit, 0);
    pthread_mutex_destroy(&transit->lock);
    free(transit);
}

int transit_put(struct transit *transit, struct hold *hold)
{
    struct sent *sent = malloc(sizeof *sent);
    if (!sent) {
        hold_end(transit->with, hold);
        return -ENOMEM;
    }
    *sent = (struct sent){.hold = hold, .due_ms = clock_ms() + TRANSIT_MS};
    pthread_mutex_lock(&transit->lock);
    *transit->end = sent;
    transit->end = &sent->next;
    transit->count++;
    pthread_mutex_unlock(&transit->lock);
    transit_sweep(transit);
    return 0;
}

void transit_received(struct transit *transit, const struct description_id *id)
{
    struct sent *found = NULL;

    pthread_mutex_lock(&transit->lock);
    for (struct sent **at = &transit->oldest; *at; at = &(*at)->next) {
        if (description_id_equal(&(*at)->hold->description->id, id)) {
            found = take(transit, at);
            break;
        }
    }
    pthread_mutex_unlock(&transit->lock);
    if (!found)
        return;
    hold_end(transit->with, found->hold);
    free(found);
}
