/*
 * Events of one inotify descriptor that nobody has read yet, as Linux queues them: one that equals
 * the last is merged into it, one for which there is no room is dropped, and IN_Q_OVERFLOW says so,
 * once while it is unread. Not locked.
 */
#ifndef ASHLAR_PROCESS_EVENT_QUEUE_H
#define ASHLAR_PROCESS_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/inotify.h>

enum {
    EVENT_QUEUE_MAX = 16384, /* as fs.inotify.max_queued_events */
    EVENT_NAME_MAX = 256,    /* a name and its padding, as the host's events have them */
};

struct queued_event;

struct event_queue {
    struct queued_event *first, *newest; /* newest: only where there is a first */
    uint32_t count;
    uint32_t bytes; /* as they will be read */
    bool overflowed;
};

/* event->len bytes of name, at most EVENT_NAME_MAX. Without memory it is dropped, as if full. */
void event_queue_put(struct event_queue *q, const struct inotify_event *event, const char *name);
/* Takes the oldest events, as many whole ones as there is room for. Returns bytes. */
uint32_t event_queue_take(struct event_queue *q, void *to, uint32_t size);
void event_queue_free(struct event_queue *q);

#endif
