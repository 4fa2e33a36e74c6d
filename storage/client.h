/*
 * One connection: what it may change and which files it holds.
 *
 * Owned by the connection's thread: nothing here is locked. A hold is a reference on a file in the
 * handle table, counted, so that every open and every inherited descriptor of the program has its
 * own release. When the connection ends, all its holds and locks end with it.
 */
#ifndef ASHLAR_STORAGE_CLIENT_H
#define ASHLAR_STORAGE_CLIENT_H

#include "handles.h"

struct client_hold {
    struct volume_file *file; /* NULL: a free slot */
    uint32_t count;
    bool writable; /* opened through a place that this connection may change */
    bool writes;   /* counted among the file's writers */
};

struct client {
    struct caller caller;
    struct handles *handles;
    uint64_t run_id;
    bool component;                 /* a monitor: it may read and hold, and change nothing */
    bool has_locks;                 /* has ever locked: its end must look through the lock table */
    uint8_t *buffer;                /* FILE_IO_MAX bytes for what a reply carries */
    struct volume_watcher *watcher; /* what it watches; NULL: nothing ever */
    struct client_hold *holds;      /* open addressing; a power of two of slots */
    size_t slot_count, hold_count;
};

/* NULL: out of memory. */
struct client *client_new(struct handles *handles);
/* Lets go of everything. NULL is fine. */
void client_free(struct client *client);

/* The connection's hold, or NULL. Valid until the next hold or release. */
struct client_hold *client_find(struct client *client, const struct file_id *id);
/*
 * Adds one to the connection's hold of a file, consuming the caller's reference on it. NULL: out of
 * memory (the reference is given back all the same).
 */
struct client_hold *client_hold(struct client *client, struct volume_file *file);
/* From now on the hold counts as a writer's. */
void client_hold_writes(struct client *client, struct client_hold *hold);
/* Takes one off; one that is not held is no error: the monitor may have been restarted. */
void client_release(struct client *client, const struct file_id *id);

/*
 * The file for one operation: held by this connection (free of locks), or by another one. NULL:
 * not known here. client_done() after the operation.
 */
struct volume_file *client_file(struct client *client, const struct file_id *id, bool *held);
void client_done(struct client *client, struct volume_file *file, bool held);
/* Whether this connection may change the file. */
bool client_may_write(struct client *client, struct volume_file *file);

#endif
