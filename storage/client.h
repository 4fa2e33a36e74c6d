/*
 * A client: a process, or a connection of a monitor. Which files it holds.
 *
 * All connections of a process are one client, found by its address space (clients_enter), so it
 * does not matter over which of them a file was opened and over which it is let go. A hold is a
 * reference on a file in the handle table and on a description; a process has a description or has
 * it not, however many numbers it has for it. Monitors hold files without descriptions, counted.
 *
 * A client ends with its last connection, and its holds and locks with it; where that connection
 * broke, and was not closed, LINGER_MS later, for the process may live on and come again.
 */
#ifndef ASHLAR_STORAGE_CLIENT_H
#define ASHLAR_STORAGE_CLIENT_H

#include <pthread.h>

#include "answers.h"
#include "description.h"
#include "handles.h"
#include "locks.h"

/* What holds are made of; never changes while there are any. */
struct holding {
    struct handles *handles;
    struct descriptions *descriptions;
    struct locks *locks;
};

enum hold_flags {
    HOLD_WRITABLE = 1, /* opened through a place that its client may change */
    HOLD_WRITES = 2,   /* counted among the file's writers */
    HOLD_EXECUTES = 4, /* and among those who execute it */
    HOLD_MAPS = 8,     /* for a shared mapping of a pComponent */
};

struct hold {
    struct hold *next; /* of its chain; protected by the client's lock, as the rest */
    struct volume_file *file;
    struct description *description; /* NULL: of none, and counted */
    uint32_t count;
    uint8_t flags; /* enum hold_flags */
    bool kept;     /* see client_keep() */
};

struct client {
    const struct holding *with;
    struct answers answers; /* has a lock of its own */
    uint64_t run_id;
    struct asid asid;      /* 0: a connection's own, found by nobody */
    bool component;        /* a monitor: it may read and hold, and change nothing */
    atomic_bool has_locks; /* it has had POSIX locks; relaxed, only ever set */

    /* Of clients.c, protected by its lock: */
    struct client *next;
    unsigned connections;
    uint64_t ends_ms; /* without connections: when it is over */

    pthread_mutex_t lock;  /* of what follows, and of every hold */
    struct hold **buckets; /* chains, by file; a power of two of them */
    size_t bucket_count, hold_count;
};

/* NULL: out of memory. */
struct client *client_new(const struct holding *with);
/* Ends it, with all that it holds and has locked. NULL is fine. */
void client_free(struct client *client);

/*
 * Holds a file, of which the caller's reference is consumed in any case. `id` all zero: of no
 * description. 0, -ENOMEM, ASH_FORBIDDEN (another file's description), -ETXTBSY (HOLD_WRITES of a
 * file that is executed).
 */
int client_hold(struct client *client, struct volume_file *file, const struct description_id *id,
                unsigned flags) CHECKED;
/* Lets go; what is not held is no error: the monitor may have been restarted. */
void client_release(struct client *client, const struct held *held);
/* Lets go of everything, with its locks. */
void client_release_all(struct client *client);
/* A new process has what the one that forked it has. */
int client_inherit(struct client *child, struct client *parent) CHECKED;

/* What it names is held, and stays at client_keep_only(), which lets go of the rest. */
int client_keep(struct client *client, const struct held *held) CHECKED;
void client_keep_only(struct client *client);
/* What it holds there is what it executes: 0, ASH_STALE_FILE, -ETXTBSY. */
int client_execute(struct client *client, const struct held *held) CHECKED;

/* What it holds there its pComponent maps shared, until it lets go: 0; 1: it did already;
   ASH_STALE_FILE, -EBUSY. */
int client_map(struct client *client, const struct held *held, struct component mapper) CHECKED;

/* Whether it holds the file, and may change it for that. */
bool client_holds(struct client *client, const struct file_id *id);
bool client_may_write(struct client *client, struct volume_file *file, const struct rights *rights);
/* The description that it holds, with one holder more, for description_done(); NULL: it does not.
 */
struct description *client_description(struct client *client, const struct held *held);

/* ---- holds by themselves ---- */

/* As client_hold(), of no client. */
int hold_new(const struct holding *with, struct volume_file *file, const struct description_id *id,
             unsigned flags, struct hold **out) CHECKED;
void hold_end(const struct holding *with, struct hold *hold);
/* One holder less of a description; the last one's end is that of its locks. */
void description_done(const struct holding *with, struct description *d);

#endif
