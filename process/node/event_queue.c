/* See event_queue.h. */
#include "event_queue.h"

#include <stdlib.h>
#include <string.h>

struct queued_event {
    struct queued_event *next;
    struct inotify_event event; /* its name behind it */
};

static uint32_t size_of(const struct queued_event *e)
{
    return (uint32_t)sizeof e->event + e->event.len;
}

/* Linux compares no cookies. */
static bool equals_newest(const struct event_queue *q, const struct inotify_event *event,
                          const char *name)
{
    if (!q->first || event->mask & IN_IGNORED)
        return false;
    const struct inotify_event *newest = &q->newest->event;
    return newest->wd == event->wd && newest->mask == event->mask && newest->len == event->len &&
           !memcmp(newest->name, name, event->len);
}

static bool append(struct event_queue *q, const struct inotify_event *event, const char *name)
{
    struct queued_event *e = malloc(sizeof *e + event->len);
    if (!e)
        return false;
    e->next = NULL;
    e->event = *event;
    memcpy(e->event.name, name, event->len);
    if (q->first)
        q->newest->next = e;
    else
        q->first = e;
    q->newest = e;
    q->count++;
    q->bytes += size_of(e);
    return true;
}

void event_queue_put(struct event_queue *q, const struct inotify_event *event, const char *name)
{
    static const struct inotify_event overflow = {.wd = -1, .mask = IN_Q_OVERFLOW};
    if (q->count < EVENT_QUEUE_MAX && !(event->mask & IN_Q_OVERFLOW) &&
        (equals_newest(q, event, name) || append(q, event, name)))
        return;
    if (!q->overflowed)
        q->overflowed = append(q, &overflow, "");
}

uint32_t event_queue_take(struct event_queue *q, void *to, uint32_t size)
{
    uint32_t done = 0;
    while (q->first && size_of(q->first) <= size - done) {
        struct queued_event *e = q->first;
        memcpy((char *)to + done, &e->event, size_of(e));
        done += size_of(e);
        if (e->event.mask & IN_Q_OVERFLOW)
            q->overflowed = false;
        q->first = e->next;
        q->count--;
        q->bytes -= size_of(e);
        free(e);
    }
    return done;
}

void event_queue_free(struct event_queue *q)
{
    for (struct queued_event *e = q->first, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    *q = (struct event_queue){0};
}
