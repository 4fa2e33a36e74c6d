/*
 * Files that are mapped, and the sComponent that their pages come from.
 *
 * Nothing of a file is kept: a line of one is read when it is asked for. Kept is the file itself,
 * open at the sComponent for as long as a vma refers to it, so that it can be read though its path
 * be gone. All of that goes over one connection, which one thread has at a time.
 */
#ifndef ASHLAR_MEMORY_FILE_SOURCE_H
#define ASHLAR_MEMORY_FILE_SOURCE_H

#include <pthread.h>

#include "monitor.h"

struct mapped {
    /* Never change: */
    struct file_id id;
    char *path; /* a hint for the sComponent */

    /* Protected by the lock of struct cold: */
    unsigned refs;
    uint64_t idle_since_ms; /* while refs is 0 */
    struct mapped *next;

    uint64_t held_over; /* the number of the connection that it is held open over; as `conn` */
};

struct source {
    struct monitor *monitor; /* never changes */
    struct mapped *files;    /* protected by the lock of struct cold */

    pthread_mutex_t turn_lock;
    pthread_cond_t turn_over;
    bool busy; /* a thread has the connection; protected by turn_lock */

    /* Of the thread that made it busy: */
    struct net_conn *conn; /* NULL: to be made */
    uint64_t conn_number;  /* counts connections */
    char address[ADDRESS_LIMIT];
};

void source_init(struct source *source, struct monitor *monitor);
void source_free(struct source *source);

/* With the lock of struct cold. Finds or makes a file, with a reference; NULL: no memory. */
struct mapped *source_find(struct source *source, struct file_id id, const char *path);
void mapped_put(struct mapped *file);
/* One that nobody has referred to for IDLE_MS before now_ms, taken out of the list; NULL. */
struct mapped *source_take_idle(struct source *source, uint64_t now_ms);

/*
 * Without that lock; until a deadline on the clock of clock_ms(). Has a file held open, if it can
 * be had in time: else reading it tries again. Reads `size` bytes: returns how many, fewer at the
 * end of the file only, or a negative error. Lets an idle file go and frees it.
 */
void source_hold(struct source *source, struct mapped *file, uint64_t deadline_ms);
int source_read(struct source *source, struct mapped *file, uint64_t offset, uint32_t size,
                uint8_t *out, uint64_t deadline_ms) __attribute__((warn_unused_result));
void source_release(struct source *source, struct mapped *file, uint64_t deadline_ms);

#endif
