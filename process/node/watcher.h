/*
 * One inotify descriptor of a program: what it watches, and the events that it has not read yet.
 * See inotify.h. Everything here is called with the watcher's lock held, which is held over
 * requests to the sComponent and over connecting to it.
 */
#ifndef ASHLAR_PROCESS_WATCHER_H
#define ASHLAR_PROCESS_WATCHER_H

#include <sys/stat.h>

#include "event_queue.h"
#include "node.h"

struct watch;

/* What happens to a watcher's descriptors, as its epoll says it. */
enum watcher_source {
    WATCHER_STOP,    /* the node's: all are to end */
    WATCHER_PROGRAM, /* the pipe has no reader any more */
    WATCHER_LOCAL,
    WATCHER_STORAGE,
};

struct watcher {
    struct watcher *next; /* inotify.lock */
    unsigned refs;        /* inotify.lock: its thread, and requests that use it */

    struct node *node; /* never changes, as all to the next empty line */
    uint64_t run_id;
    struct component_info storage;
    char *writable;
    dev_t device; /* of the pipe */
    ino_t inode;
    int pipe_fd; /* its write end */
    int epoll_fd;

    pthread_mutex_t lock;  /* of all that follows */
    struct net_conn *conn; /* to the sComponent; NULL: none */
    bool lost;             /* conn is of no more use: the thread is to close it */
    bool called;           /* the thread is, to look at conn */
    int local_fd;          /* -1: none yet */
    struct watch *watches; /* newest first */
    void *by_source;       /* the same, as a tree (tsearch) */
    unsigned watch_count;  /* relaxed atomic: other watchers' requests add them up */
    unsigned remote_count; /* of them, watched at the sComponent */
    int last_wd;
    struct event_queue events;
};

/* What is asked to be watched. */
struct watcher_wish {
    uint32_t mask;
    int local_fd; /* of a file of the pComponent; -1: the sComponent's `file` */
    struct file_id file;
    const char *path;
};

/* Returns the watch descriptor, or a negative error. */
int watcher_add(struct watcher *w, const struct watcher_wish *wish) NET_CHECKED;
int watcher_remove(struct watcher *w, int wd) NET_CHECKED;
/* Fetches what has happened so far, everywhere. Who cannot be reached now is passed over. */
void watcher_fetch(struct watcher *w);
/* Closes what was lost, connects again where something is watched there. Whether that succeeded,
   or was not needed. */
bool watcher_restore(struct watcher *w);
/* Makes the pipe hold as many bytes as there are of events. */
void watcher_settle(struct watcher *w);
/* Of its last user: frees what it has, but for the structure. */
void watcher_empty(struct watcher *w);

#endif
