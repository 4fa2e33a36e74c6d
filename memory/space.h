/*
 * An address space: its vRegion array, behind one lock, and what requests do to it.
 *
 * Every function that takes a range checks it: -EINVAL outside the window or empty, -EFAULT where
 * it touches a vRegion that was not granted, ASH_NO_SPACE_ID after the space was destroyed. What
 * fails has changed nothing. Work is proportional to what is stored and mapped in a range.
 */
#ifndef ASHLAR_MEMORY_SPACE_H
#define ASHLAR_MEMORY_SPACE_H

#include <pthread.h>

#include "fetch.h"
#include "messages.h"
#include "vregion.h"

struct space {
    /* Never change: */
    struct asid asid;
    uint64_t run_id;
    struct frames *frames;

    atomic_uint refs; /* one of the registry's until it is destroyed, one for each user */

    pthread_mutex_t lock;
    /* Protected by lock: */
    bool destroyed;
    struct vregion_array vregions;

    /* Protected by the registry's lock: */
    struct space *next;
    unsigned connections;
    uint64_t lonely_since_ms; /* while there are no connections */
};

/* A new, empty space with one reference. NULL: no memory. */
struct space *space_new(struct asid asid, uint64_t run_id, struct frames *frames);
void space_ref(struct space *space);
void space_put(struct space *space);

/* Makes vRegions active and describes each of them in out[0..count). ASH_NO_FRAMES where frames
   are nearly used up. */
int space_grant(struct space *space, uint32_t first, uint32_t count, struct component owner,
                struct vregion_info *out) __attribute__((warn_unused_result));

/* Applies one operation. */
int space_apply(struct space *space, const struct vm_op *op) __attribute__((warn_unused_result));

/* Maps `count` lines to a file's pages from file_page on; the file has file_end pages. */
int space_map_file(struct space *space, struct vpn first, uint64_t count, uint8_t prot,
                   struct file *file, uint64_t file_page, uint64_t file_end)
    __attribute__((warn_unused_result));

/* Looks up a run of lines, as far as it is granted; fetch_fill() and fetch_release() are owed. */
int space_fetch(struct space *space, struct vpn first, uint32_t count, struct fetch *fetch)
    __attribute__((warn_unused_result));

/* Stores lines, count of LINE_SIZE in data: all that lie in some vma, or none. At most
   WRITE_MAX_LINES. Returns how many were stored. */
int space_write(struct space *space, const struct line_ref *lines, uint32_t count,
                const uint8_t *data) __attribute__((warn_unused_result));

/* Makes `child`, which is new, a copy of it as it is at one moment. */
int space_clone(struct space *space, struct space *child) __attribute__((warn_unused_result));

int space_stat(struct space *space, struct msg_space_stat_reply *stat)
    __attribute__((warn_unused_result));

/* Frees everything in it. After space_destroy() it refuses every request. */
int space_reset(struct space *space) __attribute__((warn_unused_result));
void space_destroy(struct space *space);

#endif
