/*
 * Holds that are let go of: FILE_RELEASE in batches.
 *
 * Every open description of a process is one hold at the sComponent (FILE_OPEN, FILE_HOLD), which
 * keeps the file though it be unlinked. A release is put off until RELEASE_BATCH wait. But a file
 * that may have been unlinked is to give its space back at once, so an unlink sends what waits, and
 * as many releases after it as files were open then are sent without waiting. And where somebody
 * watches files at the sComponent (inotify), none waits: closing a file is an event.
 *
 * A file that another process may be about to hold for itself (a forked child that starts, a
 * program after exec, the receiver of a message) is held RELEASE_SHARED_MS longer; where somebody
 * watches, only while there may be such a process.
 *
 * A vfork child shares its parent's queue, as it shares its connections.
 */
#ifndef ASHLAR_KERNEL_RELEASE_H
#define ASHLAR_KERNEL_RELEASE_H

#include "../host/lock.h"
#include "messages.h"

enum { RELEASE_BATCH = 32, RELEASE_SHARED = 64, RELEASE_SHARED_MS = 5000 };

struct shared_release {
    struct file_id file;
    uint64_t due_ns;
};

struct releases {
    struct mutex lock;
    uint32_t users;   /* files states that share it; protected by lock, as the rest */
    uint32_t held;    /* holds that are not yet let go of */
    bool watched;     /* somebody watches files: none is put off; relaxed atomic */
    bool sent;        /* descriptors were, over a socket; only ever set */
    uint32_t at_once; /* so many of the next releases are not put off */
    uint32_t count;
    struct file_id files[RELEASE_BATCH];
    uint32_t shared_first, shared_count; /* of the ring below, oldest first */
    struct shared_release shared[RELEASE_SHARED];
};

struct releases *releases_new(void); /* one user; NULL: out of memory */
void releases_share(struct releases *r);
void releases_free(struct releases *r); /* one user less */

/* A hold was taken. */
void releases_held(struct releases *r);
/* A hold is no longer wanted; may send. `shared`: see above. */
void releases_put(struct releases *r, const struct file_id *file, bool shared);
/* The sComponent says whether closes are to be told at once. */
void releases_watched(struct releases *r, bool watched);
bool releases_are_watched(const struct releases *r);
/* Something was sent to another process, which may be slow to receive it. */
void releases_sent(struct releases *r);
/* No process is starting: what is held for such is no longer put off. False: it is, being sent. */
bool releases_are_due(struct releases *r);
/* A name was taken from a file: see above. */
void releases_unlinked(struct releases *r);
/* Sends what waits. */
void releases_send(struct releases *r);

#endif
