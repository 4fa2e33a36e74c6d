/*
 * Address spaces.
 *
 * A request's range is walked in pieces, one for each vRegion that it touches. A change goes over
 * its pieces twice: first everything that may fail (vma_prepare, line_table_prepare_*), which no
 * reader can see, then the change itself, which cannot fail. Lines are given up before the vmas
 * that they lie in, so no line outlives its vma.
 */
#include "space_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"
#include "cold.h"
#include "errors.h"

struct space *space_new(const struct space_birth *birth, struct frames *frames)
{
    struct space *space = calloc(1, sizeof *space);
    if (!space)
        return NULL;
    space->asid = birth->asid;
    space->run_id = birth->run_id;
    space->replicas = birth->replicas;
    space->born_ms = clock_ms();
    space->frames = frames;
    space->place = (struct space_place){.role = birth->role,
                                        .epoch = birth->epoch,
                                        .primary = birth->primary,
                                        .pid = birth->primary_pid,
                                        .seen_ms = space->born_ms};
    space->vregions.part = space_part(space);
    atomic_init(&space->refs, 1);
    atomic_init(&space->backed, birth->role == ROLE_REPLICA && frames->cold && frames->cold->log);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Changes without an end must not keep a replica from becoming one. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&space->changing, &attr);
    pthread_rwlockattr_destroy(&attr);
    pthread_mutex_init(&space->replicating, NULL);
    pthread_mutex_init(&space->ops_lock, NULL);
    pthread_mutex_init(&space->lock, NULL);
    return space;
}

void space_ref(struct space *space)
{
    atomic_fetch_add_explicit(&space->refs, 1, memory_order_relaxed);
}

static void free_all(struct space *space)
{
    struct frame_batch batch;
    frame_batch_init(&batch, space->frames);
    vregion_array_free(&space->vregions, &batch);
    frame_batch_flush(&batch);
}

void space_put(struct space *space)
{
    if (atomic_fetch_sub_explicit(&space->refs, 1, memory_order_acq_rel) != 1)
        return;
    free_all(space);
    pthread_mutex_destroy(&space->lock);
    pthread_mutex_destroy(&space->ops_lock);
    pthread_mutex_destroy(&space->replicating);
    pthread_rwlock_destroy(&space->changing);
    free(space);
}

/* ---- ranges ---- */

static int check_range(const struct space *space, uint64_t first, uint64_t count)
{
    const uint64_t lowest = WINDOW_START >> LINE_SHIFT, limit = WINDOW_END >> LINE_SHIFT;
    if (count == 0 || first < lowest || first >= limit || count > limit - first)
        return -EINVAL;
    struct piece piece;
    for (uint64_t at = first; next_piece(space, &at, first + count, &piece);)
        if (!piece.vregion)
            return -EFAULT;
    return 0;
}

/* ---- vRegions ---- */

static bool range_of_vregions(uint32_t first, uint32_t count)
{
    return count && first < VREGION_COUNT && count <= VREGION_COUNT - first;
}

int space_describe(struct space *space, uint32_t first, uint32_t count, struct vregion_info *out)
{
    if (!range_of_vregions(first, count))
        return -EINVAL;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        const struct vregion_entry *entry = vregion_at_or_after(&space->vregions, first + i);
        out[i] = (struct vregion_info){.index = first + i, .part = PART_NONE};
        if (entry && entry->index == first + i) {
            out[i].part = entry->part;
            out[i].owner = space->parts[entry->part];
        } else {
            rc++;
        }
    }
    pthread_mutex_unlock(&space->lock);
    return rc;
}

int space_grant(struct space *space, uint32_t first, uint32_t count, uint16_t part,
                uint32_t promised)
{
    if (!range_of_vregions(first, count) || part >= PARTS_MAX)
        return -EINVAL;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    rc = vregion_grant(&space->vregions, space->frames, first, count, part, promised);
    space_recount(space);
    pthread_mutex_unlock(&space->lock);
    return rc;
}

int space_revoke(struct space *space, uint32_t first, uint32_t count)
{
    struct frame_batch batch;
    if (!range_of_vregions(first, count))
        return -EINVAL;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    frame_batch_init(&batch, space->frames);
    for (uint32_t i = 0; i < count; i++)
        vregion_revoke(&space->vregions, first + i, &batch);
    space_recount(space);
    pthread_mutex_unlock(&space->lock);
    frame_batch_flush(&batch);
    return 0;
}

void space_set_part(struct space *space, uint16_t part, struct component owner)
{
    pthread_mutex_lock(&space->lock);
    space->parts[part] = owner;
    pthread_mutex_unlock(&space->lock);
}

bool space_has_part(struct space *space, uint16_t part)
{
    bool found = false;
    pthread_mutex_lock(&space->lock);
    for (uint32_t i = 0; i < space->vregions.count && !found; i++)
        found = space->vregions.entries[i].part == part;
    pthread_mutex_unlock(&space->lock);
    return found;
}

void space_parts(struct space *space, struct component out[PARTS_MAX])
{
    pthread_mutex_lock(&space->lock);
    memcpy(out, space->parts, sizeof space->parts);
    pthread_mutex_unlock(&space->lock);
}

/* ---- operations ---- */

/* Prepares every piece for giving up its lines and, with `vmas`, for a change of its vmas. */
static int prepare(struct space *space, struct frame_batch *batch, uint64_t first, uint64_t count,
                   bool lines, bool vmas)
{
    struct piece p;
    for (uint64_t at = first; next_piece(space, &at, first + count, &p);) {
        int rc = 0;
        if (lines)
            rc = line_table_prepare_clear(&p.vregion->lines, batch, p.first, p.end);
        if (rc == 0 && vmas)
            rc = vma_prepare(&p.vregion->vmas, p.first, p.end);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int map(struct space *space, struct frame_batch *batch, uint64_t first, uint64_t count,
               const struct vma *what)
{
    struct piece p;
    if (space->vregions.vmas + count / VREGION_LINES + 2 > VMAS_MAX)
        return -ENOMEM;
    int rc = prepare(space, batch, first, count, true, true);
    if (rc < 0)
        return rc;
    for (uint64_t at = first, start = at; next_piece(space, &at, first + count, &p); start = at) {
        struct vma vma = *what;
        vma.first = p.first;
        vma.end = p.end;
        vma.file_page += start - first;
        line_table_clear(&p.vregion->lines, batch, p.first, p.end);
        vma_map(&p.vregion->vmas, &vma);
        vregion_expect_less(p.vregion, p.end - p.first);        /* what was there before */
        if (what->prot & PROT_WRITE && !space_is_backed(space)) /* they go to the log */
            vregion_expect(p.vregion, space->frames, p.end - p.first);
    }
    return 0;
}

static int unmap(struct space *space, struct frame_batch *batch, uint64_t first, uint64_t count)
{
    struct piece p;
    int rc = prepare(space, batch, first, count, true, true);
    if (rc < 0)
        return rc;
    for (uint64_t at = first; next_piece(space, &at, first + count, &p);) {
        line_table_clear(&p.vregion->lines, batch, p.first, p.end);
        vma_unmap(&p.vregion->vmas, p.first, p.end);
        vregion_expect_less(p.vregion, p.end - p.first);
        if (p.vregion->vmas.count == 0)
            vregion_keep_promise(p.vregion, space->frames, UINT32_MAX);
    }
    return 0;
}

static int protect(struct space *space, struct frame_batch *batch, uint64_t first, uint64_t count,
                   uint8_t prot)
{
    struct piece p;
    int rc = prepare(space, batch, first, count, false, true);
    if (rc < 0)
        return rc;
    for (uint64_t at = first; next_piece(space, &at, first + count, &p);)
        vma_protect(&p.vregion->vmas, p.first, p.end, prot);
    return 0;
}

static int discard(struct space *space, struct frame_batch *batch, uint64_t first, uint64_t count)
{
    struct piece p;
    int rc = prepare(space, batch, first, count, true, false);
    if (rc < 0)
        return rc;
    for (uint64_t at = first; next_piece(space, &at, first + count, &p);)
        line_table_clear(&p.vregion->lines, batch, p.first, p.end);
    return 0;
}

/* A part of a move that lies in one vRegion on either side. */
struct step {
    struct vregion *from, *to;
    uint32_t first, to_first, count;
};

static bool next_step(const struct space *space, const struct vm_op *op, uint64_t *done,
                      struct step *step)
{
    if (*done >= op->count)
        return false;
    uint64_t from = op->first.n + *done, to = op->to.n + *done, count = op->count - *done;
    uint64_t from_left = VREGION_LINES - from % VREGION_LINES;
    uint64_t to_left = VREGION_LINES - to % VREGION_LINES;
    count = count < from_left ? count : from_left;
    count = count < to_left ? count : to_left;
    *step = (struct step){
        .from = vregion_at(&space->vregions, from / VREGION_LINES),
        .to = vregion_at(&space->vregions, to / VREGION_LINES),
        .first = (uint32_t)(from % VREGION_LINES),
        .to_first = (uint32_t)(to % VREGION_LINES),
        .count = (uint32_t)count,
    };
    *done += count;
    return true;
}

static int prepare_step(const struct step *s, struct frame_batch *batch)
{
    int rc = vma_prepare(&s->from->vmas, s->first, s->first + s->count);
    if (rc == 0)
        rc = vma_prepare(&s->to->vmas, s->to_first, s->to_first + s->count);
    if (rc == 0)
        rc = line_table_prepare_move(&s->from->lines, s->first, &s->to->lines, s->to_first,
                                     s->count, batch);
    return rc;
}

/* Each sweep over the steps ends before the next begins: a vma that is merged by one step would
   lose the boundary that another prepared. */
static int move(struct space *space, struct frame_batch *batch, const struct vm_op *op)
{
    struct step s;
    int rc = check_range(space, op->to.n, op->count);
    if (rc < 0)
        return rc;
    if (op->first.n < op->to.n + op->count && op->to.n < op->first.n + op->count)
        return -EINVAL;
    for (uint64_t done = 0; next_step(space, op, &done, &s);)
        if ((rc = prepare_step(&s, batch)) < 0)
            return rc;
    for (uint64_t done = 0; next_step(space, op, &done, &s);)
        vma_unmap(&s.to->vmas, s.to_first, s.to_first + s.count);
    for (uint64_t done = 0; next_step(space, op, &done, &s);) {
        line_table_move(&s.from->lines, s.first, &s.to->lines, s.to_first, s.count, batch);
        vma_move(&s.from->vmas, s.first, s.first + s.count, &s.to->vmas, s.to_first);
    }
    for (uint64_t done = 0; next_step(space, op, &done, &s);) {
        vma_mend(&s.to->vmas, s.to_first);
        vma_mend(&s.to->vmas, s.to_first + s.count);
    }
    return 0;
}

uint64_t space_serial(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    uint64_t serial = space->serial;
    pthread_mutex_unlock(&space->lock);
    return serial;
}

bool space_has_applied(struct space *space, uint64_t serial)
{
    pthread_mutex_lock(&space->lock);
    bool applied = serial && serial <= space->serial;
    pthread_mutex_unlock(&space->lock);
    return applied;
}

void space_applied(struct space *space, uint64_t serial)
{
    pthread_mutex_lock(&space->lock);
    if (serial)
        space->serial = serial;
    pthread_mutex_unlock(&space->lock);
}

static int apply(struct space *space, struct frame_batch *batch, const struct vm_op *op)
{
    int rc = check_range(space, op->first.n, op->count);
    if (rc < 0)
        return rc;
    switch (op->kind) {
    case VM_OP_MAP:
        return map(space, batch, op->first.n, op->count, &(struct vma){.prot = op->prot});
    case VM_OP_UNMAP:
        return unmap(space, batch, op->first.n, op->count);
    case VM_OP_PROTECT:
        return protect(space, batch, op->first.n, op->count, op->prot);
    case VM_OP_REMAP:
        return move(space, batch, op);
    case VM_OP_DISCARD:
        return discard(space, batch, op->first.n, op->count);
    default:
        return -EINVAL;
    }
}

int space_apply(struct space *space, const struct vm_op *op)
{
    struct frame_batch batch;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    frame_batch_init(&batch, space->frames);
    rc = apply(space, &batch, op);
    pthread_mutex_unlock(&space->lock);
    frame_batch_flush(&batch);
    return rc;
}

int space_map_file(struct space *space, struct vpn first, uint64_t count, uint8_t prot,
                   struct file *file, uint64_t file_page, uint64_t file_end)
{
    struct frame_batch batch;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    frame_batch_init(&batch, space->frames);
    rc = check_range(space, first.n, count);
    if (rc == 0)
        rc = map(space, &batch, first.n, count,
                 &(struct vma){
                     .prot = prot, .file = file, .file_page = file_page, .file_end = file_end});
    pthread_mutex_unlock(&space->lock);
    frame_batch_flush(&batch);
    return rc;
}

/* ---- copies that are told ---- */

static int set_vma(struct space *space, struct vregion *vregion, const struct vma *vma)
{
    if (space->vregions.vmas + 2 > VMAS_MAX)
        return -ENOMEM;
    int rc = vma_prepare(&vregion->vmas, vma->first, vma->end);
    if (rc == 0)
        vma_map(&vregion->vmas, vma);
    return rc;
}

int space_set_vmas(struct space *space, uint32_t index, uint32_t first, uint32_t end,
                   const struct vma *vmas, uint32_t count)
{
    struct frame_batch batch;
    uint64_t base = (uint64_t)index * VREGION_LINES;
    if (first > end || end > VREGION_LINES)
        return -EINVAL;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    frame_batch_init(&batch, space->frames);
    struct vregion *vregion = vregion_at(&space->vregions, index);
    rc = vregion ? 0 : -EFAULT;
    for (uint32_t i = 0, at = first; i <= count && rc == 0; i++) {
        uint32_t gap_end = i < count ? vmas[i].first : end;
        if (gap_end < at || (i < count && (vmas[i].end <= gap_end || vmas[i].end > end)))
            rc = -EINVAL;
        else if (gap_end > at)
            rc = unmap(space, &batch, base + at, gap_end - at);
        if (rc == 0 && i < count)
            rc = set_vma(space, vregion, &vmas[i]);
        at = i < count ? vmas[i].end : end;
    }
    pthread_mutex_unlock(&space->lock);
    frame_batch_flush(&batch);
    return rc;
}

/* ---- whole spaces ---- */

int space_clone(struct space *space, struct space *child)
{
    struct frame_batch batch;
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    frame_batch_init(&batch, space->frames);
    rc = lock_live(child);
    if (rc == 0) {
        rc = vregion_array_clone(&space->vregions, &child->vregions, &batch);
        memcpy(child->parts, space->parts, sizeof child->parts);
        if (space_is_backed(space))
            atomic_store_explicit(&child->backed, true, memory_order_relaxed);
        pthread_mutex_unlock(&child->lock);
    }
    pthread_mutex_unlock(&space->lock);
    frame_batch_flush(&batch);
    return rc;
}

bool space_is_empty(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    bool empty = !space->vregions.count;
    pthread_mutex_unlock(&space->lock);
    return empty;
}

uint64_t space_count_frames(struct space *space, uint8_t *seen)
{
    uint64_t count = 0;
    pthread_mutex_lock(&space->lock);
    for (uint32_t i = 0; i < space->vregions.count; i++) {
        const struct vregion *vregion = space->vregions.entries[i].vregion;
        if (vregion)
            count += line_table_count(&vregion->lines, space->frames, seen);
    }
    pthread_mutex_unlock(&space->lock);
    return count;
}

static void add_to_stat(void *arg, const struct vregion *vregion)
{
    struct msg_space_stat_reply *stat = arg;
    stat->frames += vregion->lines.frames;
    stat->vmas += vregion->vmas.count;
    stat->vregions++;
}

int space_stat(struct space *space, struct msg_space_stat_reply *stat)
{
    *stat = (struct msg_space_stat_reply){0};
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    vregion_each(&space->vregions, add_to_stat, stat);
    pthread_mutex_unlock(&space->lock);
    stat->bytes = stat->frames * LINE_SIZE;
    uint32_t used = frames_used(space->frames), count = space->frames->size;
    stat->free_bytes = used < count ? (uint64_t)(count - used) * LINE_SIZE : 0;
    return 0;
}

int space_reset(struct space *space)
{
    int rc = lock_live(space);
    if (rc < 0)
        return rc;
    free_all(space);
    memset(space->parts, 0, sizeof space->parts);
    space->serial = 0; /* the program that comes counts anew */
    space_recount(space);
    pthread_mutex_unlock(&space->lock);
    return 0;
}

bool space_is_gone_since(struct space *space, uint64_t ms)
{
    pthread_mutex_lock(&space->lock);
    bool gone = space->gone && space->gone_ms <= ms;
    pthread_mutex_unlock(&space->lock);
    return gone;
}

void space_end(struct space *space, int status)
{
    pthread_mutex_lock(&space->lock);
    if (!space->gone) {
        space->gone = status;
        space->gone_ms = clock_ms();
    }
    free_all(space);
    space_recount(space);
    pthread_mutex_unlock(&space->lock);
}
