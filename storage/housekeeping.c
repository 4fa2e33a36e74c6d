/* See housekeeping.h. */
#include "housekeeping.h"

#include "clock.h"

/* With the lock, which is given up meanwhile. */
static void look(struct housekeeping *h)
{
    struct housekeeping_figures seen;
    uint64_t listed_ms = h->listed_ms;
    pthread_mutex_unlock(&h->lock);
    logs_tidy(h->logs, clock_ms(), listed_ms);
    bool known = h->volume->ops->usage(h->volume, &seen.size, &seen.used) == 0;
    pthread_mutex_lock(&h->lock);
    if (known)
        h->seen = seen;
}

static void *keep_house(void *self)
{
    struct housekeeping *h = self;
    pthread_mutex_lock(&h->lock);
    while (!h->ending) {
        if (h->wanted) {
            h->wanted = false;
            look(h);
        } else {
            pthread_cond_wait(&h->asked, &h->lock);
        }
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

int housekeeping_start(struct housekeeping *h, struct volume *volume, struct logs *logs)
{
    *h = (struct housekeeping){.volume = volume, .logs = logs};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->asked, NULL);
    pthread_mutex_lock(&h->lock);
    look(h);
    pthread_mutex_unlock(&h->lock);
    int rc = pthread_create(&h->thread, NULL, keep_house, h);
    if (rc)
        h->volume = NULL;
    return -rc;
}

void housekeeping_stop(struct housekeeping *h)
{
    if (!h->volume)
        return;
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    pthread_cond_signal(&h->asked);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    pthread_cond_destroy(&h->asked);
    pthread_mutex_destroy(&h->lock);
}

struct housekeeping_figures housekeeping_beat(struct housekeeping *h, uint64_t listed_ms)
{
    pthread_mutex_lock(&h->lock);
    h->listed_ms = listed_ms;
    h->wanted = true;
    pthread_cond_signal(&h->asked);
    struct housekeeping_figures seen = h->seen;
    pthread_mutex_unlock(&h->lock);
    return seen;
}
