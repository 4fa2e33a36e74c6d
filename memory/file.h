/*
 * Files: what vmas and cached pages refer to, one object for each (file_id, version).
 *
 * Who has a `struct file *` for longer than a call holds a reference. While there are references
 * the file is held open at the sComponent, if that could be asked; some time after the last one
 * went it is released there.
 */
#ifndef ASHLAR_MEMORY_FILE_H
#define ASHLAR_MEMORY_FILE_H

#include <pthread.h>
#include <stdatomic.h>

#include "backing.h"
#include "messages.h"

enum { FILE_BUCKETS = 1024, FILE_IDLE_MS = 1000 };

struct files;

enum file_hold {
    FILE_FREE,
    FILE_HELD,
    FILE_CHANGING, /* a thread is asking the sComponent; others wait */
};

struct file {
    /* Never change: */
    struct files *files;
    struct file_id id;
    uint64_t version;
    char *path; /* a hint for the sComponent */

    atomic_uint refs;  /* becomes 0, and 1 again, only under the lock of files */
    atomic_uint pages; /* in the cache, each naming this file */

    uint64_t held_by; /* the backing's own */

    /* Protected by the lock of files: */
    enum file_hold hold;
    struct file *next;      /* in its bucket */
    uint64_t idle_since_ms; /* while refs is 0 */
};

struct files {
    struct backing backing; /* never changes */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* some file's `hold` */
    /* Protected by lock: */
    struct file *buckets[FILE_BUCKETS];
    unsigned count;
};

int files_init(struct files *files, struct backing backing) __attribute__((warn_unused_result));
/* No references are left then. */
void files_free(struct files *files);

/*
 * Finds or makes the file, with a reference, and has it held at the sComponent (which may take a
 * message). Where that does not succeed by the deadline the file is there all the same, and the
 * next files_get() tries again; reading it opens it too. -ENOMEM.
 */
int files_get(struct files *files, struct file_id id, uint64_t version, const char *path,
              uint64_t deadline_ms, struct file **out) __attribute__((warn_unused_result));

/* For who has a reference already. */
static inline void file_ref(struct file *file)
{
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
}

/* Drops a reference. Sends nothing and takes no lock but that of files. */
void file_put(struct file *file);

/* Releases what has been idle since FILE_IDLE_MS before now_ms; forgets what has no pages either.
   Sends messages. */
void files_tidy(struct files *files, uint64_t now_ms);

#endif
