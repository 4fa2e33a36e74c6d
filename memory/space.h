/*
 * A part of an address space: its vRegion array, behind one lock, and what requests do to it.
 *
 * Every function that takes a range checks it: -EINVAL outside the window or empty, -EFAULT where
 * it touches a vRegion that was not granted or lies in another part, ASH_NO_SPACE_ID after the
 * space was destroyed, ASH_MOVED after its place was given up. What fails has changed nothing. Work
 * is proportional to what is stored and mapped in a range.
 *
 * None of these functions asks for the space's role: a replica is changed by the same ones.
 */
#ifndef ASHLAR_MEMORY_SPACE_H
#define ASHLAR_MEMORY_SPACE_H

#include <pthread.h>

#include "fetch.h"
#include "messages.h"
#include "place.h"
#include "vregion.h"

/* What a space begins as. */
struct space_birth {
    struct asid asid;
    uint64_t run_id;
    uint32_t replicas; /* copies that are to be kept: 1 or 2 */
    enum space_role role;
    struct component primary; /* of a replica */
    uint32_t primary_pid;
    uint32_t epoch;
};

struct space {
    /* Never change: */
    struct asid asid;
    uint64_t run_id;
    uint32_t replicas;
    uint64_t born_ms;
    struct frames *frames;
    atomic_uint *singles; /* counts the spaces that are to have a replica and have none; or NULL */

    /* Its lines may go to the log: it is a replica, or was one and has lines there. Relaxed: who
       stores a line while that changes may take either. */
    atomic_bool backed;
    atomic_uint refs; /* one of the registry's until it is destroyed, one for each user */

    /* Held for reading while a change is applied here and at the replica, for writing where a
       replica becomes one: see ship.h. */
    pthread_rwlock_t changing;
    pthread_mutex_t replicating; /* held while a replica is made, over requests */
    pthread_mutex_t ops_lock;    /* held over a list of changes, so that none is applied twice */

    pthread_mutex_t lock;
    /* Protected by lock: */
    int gone; /* what requests are refused with: 0 while it lives */
    struct vregion_array vregions;
    struct space_place place;
    uint64_t serial;                   /* of the last list of changes that was applied */
    struct component parts[PARTS_MAX]; /* of a first part: where the others are */
    uint64_t gone_ms;                  /* since when */
    uint64_t replicate_at_ms;          /* when to try next to make a replica; 0: it was not tried */
    uint32_t replicate_wait_ms;        /* how long that was put off last */
    bool single;                       /* it is counted in *singles */
    uint32_t vmas_told; /* of a replica: lines of the present vRegion whose vmas came */

    /* Protected by the registry's lock: */
    struct space *next;
    unsigned connections;
    uint64_t lonely_since_ms; /* while there are no connections */
    bool inherited;           /* took a lost primary's place: nobody has come to it here yet */
};

static inline bool space_is_backed(const struct space *space)
{
    return atomic_load_explicit(&space->backed, memory_order_relaxed);
}

enum { PART_NONE = 0xffff, SPACE_FIRST_EPOCH = 1 };

/* A new, empty space with one reference. NULL: no memory. */
struct space *space_new(const struct space_birth *birth, struct frames *frames);
void space_ref(struct space *space);
void space_put(struct space *space);

static inline uint16_t space_part(const struct space *space)
{
    return (uint16_t)(space->asid.n % PARTS_MAX);
}

/* The number of the last list of changes. */
uint64_t space_serial(struct space *space);

/* Says of each of `count` vRegions which part it lies in, PART_NONE where it is not active, and the
   component of other parts. Returns how many are not active. */
int space_describe(struct space *space, uint32_t first, uint32_t count, struct vregion_info *out)
    __attribute__((warn_unused_result));
/* Makes those active that are not, in `part`; of this part, with frames for `promised` lines each.
 */
int space_grant(struct space *space, uint32_t first, uint32_t count, uint16_t part,
                uint32_t promised) __attribute__((warn_unused_result));
/* Makes those active no more that are; what was in them goes. */
int space_revoke(struct space *space, uint32_t first, uint32_t count)
    __attribute__((warn_unused_result));
/* Where another part is; 0: there is none any more. */
void space_set_part(struct space *space, uint16_t part, struct component owner);
/* Whether any vRegion lies in that part. */
bool space_has_part(struct space *space, uint16_t part);
void space_parts(struct space *space, struct component out[PARTS_MAX]);

/* Whether the list of changes of this number was applied already; 0 is none's number. */
bool space_has_applied(struct space *space, uint64_t serial);
void space_applied(struct space *space, uint64_t serial);

/* Applies one operation. */
int space_apply(struct space *space, const struct vm_op *op) __attribute__((warn_unused_result));

/* Maps `count` lines to a file's pages from file_page on; the file has file_end pages. */
int space_map_file(struct space *space, struct vpn first, uint64_t count, uint8_t prot,
                   struct file *file, uint64_t file_page, uint64_t file_end)
    __attribute__((warn_unused_result));

/* Looks up a run of lines, as far as it is granted; fetch_fill() and fetch_release() are owed. */
int space_fetch(struct space *space, struct vpn first, uint32_t count, struct fetch *fetch)
    __attribute__((warn_unused_result));
/* Looks up further runs for the same answer, until one is not granted whole or makes no sense. */
void space_fetch_more(struct space *space, const struct line_run *runs, uint32_t count,
                      struct fetch *fetch);

/* How many frames storing them would take. */
uint32_t space_frames_wanted(struct space *space, const struct line_ref *lines, uint32_t count,
                             const uint8_t *data);
/* The frames of its lines that are not in `seen` yet, which they are then: see line_table_count().
 */
uint64_t space_count_frames(struct space *space, uint8_t *seen);

/* Stores lines, count of LINE_SIZE in data: all that lie in some vma, or none. At most
   WRITE_MAX_LINES. Returns how many were stored. */
int space_write(struct space *space, const struct line_ref *lines, uint32_t count,
                const uint8_t *data) __attribute__((warn_unused_result));

/*
 * For a copy that is told what another one has. Lines [first, end) of vRegion `index` are to have
 * these vmas, in order, and no others; lines that lie in none of them go.
 */
int space_set_vmas(struct space *space, uint32_t index, uint32_t first, uint32_t end,
                   const struct vma *vmas, uint32_t count) __attribute__((warn_unused_result));
/* Lines of vRegion `index`, each to be absent, zero, or what the next LINE_SIZE bytes of data say.
 */
int space_set_lines(struct space *space, uint32_t index, const struct line_source *lines,
                    uint32_t count, const uint8_t *data) __attribute__((warn_unused_result));

/*
 * Of a vRegion's lines from *line on: those whose frames are BACKED are to be so no more, but for
 * up to FETCH_MAX_LINES that are logged, which are pinned and put out. Returns how many; *index is
 * the next vRegion where *line is 0 again, UINT32_MAX after the last one.
 */
uint32_t space_adopt(struct space *space, uint32_t *index, uint32_t *line, struct frame *out);
/* Whether a line of it is lost with the log. */
bool space_has_lost_lines(struct space *space);

/* Makes `child`, which is new, a copy of it as it is at one moment. It may have ended already. */
int space_clone(struct space *space, struct space *child) __attribute__((warn_unused_result));

/* Whether it has no vRegion. */
bool space_is_empty(struct space *space);
int space_stat(struct space *space, struct msg_space_stat_reply *stat)
    __attribute__((warn_unused_result));

/* Frees everything in it and forgets the other parts. */
int space_reset(struct space *space) __attribute__((warn_unused_result));
/* Whether it ended at that time or before. */
bool space_is_gone_since(struct space *space, uint64_t ms);
/* Frees everything in it; it refuses every request with `status` from now on. */
void space_end(struct space *space, int status);

#endif
