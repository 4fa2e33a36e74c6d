/*
 * See replicate.h. Rounds:
 *
 *   0  REPLICA_OPEN, under the epoch to come, at the component where the copy of a relative is
 *      (relatives.h), as a copy of that; or empty, at the component with the most room
 *   1  a snapshot of the space, which costs a reference for each chunk of a line table; sent is
 *      what it says otherwise than the snapshot before (at first the relative's, or none):
 *      vRegions, vmas, lines. A chunk that both share is passed over, so a round costs what was
 *      changed meanwhile
 *   2  again, until a round sent little
 *   3  changes are kept out (space->changing), the last difference is sent, REPLICA_READY; from
 *      here on changes go there too
 *
 * A snapshot keeps what it shares with the space from being overwritten, so frames can be sent as
 * they lie, and an entry that is the same in two snapshots is the same line.
 */
#include "replicate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fault.h"
#include "logged.h"
#include "relatives.h"
#include "ship.h"

enum {
    ROUNDS_MAX = 4,
    ROUND_SMALL = 1024, /* lines: the rest is sent while changes wait */
    TARGETS = 2,        /* components to try */
    LEFT_SHARE = 16,    /* of the frames that are left, 1/16 stays */
    WAIT_MIN_MS = 500,  /* before the next try; doubled each time */
    WAIT_MAX_MS = 60000,
    WAIT_FRAMES_MS = 4000, /* the same where frames ran short: a program writes more, then less */
    VMAS_MAX_SENT = 256,   /* in one message */
    PATHS_MAX = OPS_FILES_MAX * PATH_LIMIT,
};

PEER_DECODE(replica_open)
PEER_DECODE(replica_ready)

struct copy {
    struct memory *memory;
    struct space *space; /* what is copied */
    struct component to;
    uint32_t pid; /* its process; 0: it has not answered yet */
    uint64_t began_ms;
    uint32_t epoch;
    struct space *last, *now; /* snapshots, of nobody else: they need no lock. `last` may be NULL */
    uint32_t sent;            /* lines */
    uint32_t least;           /* frames that are to be left for what is stored meanwhile */
    uint8_t *bytes;           /* of cold lines; NULL: there were none yet */
};

static const struct vregion_array *last_vregions(const struct copy *c)
{
    static const struct vregion_array none;
    return c->last ? &c->last->vregions : &none;
}

static int ask(struct copy *c, uint16_t op, const uint8_t *body, int size,
               const struct iovec *pieces, int count)
{
    struct space_place place;
    if (size < 0)
        return size;
    int rc = space_place(c->space, &place); /* it may have ended meanwhile: then all this is vain */
    /* What is overwritten stays in the snapshots: before nothing is left for it, they go. */
    if (rc == 0 && frames_available(&c->memory->frames) < c->least)
        rc = ASH_NO_FRAMES;
    return rc < 0 ? rc
                  : peer_request(&c->memory->peers, c->to, op, body, (size_t)size, pieces, count,
                                 NULL, NULL);
}

/* ---- vRegions ---- */

static int send_vregions(struct copy *c, const struct vregion_info *infos, uint32_t count)
{
    struct msg_replica_vregions m = {
        .asid = c->space->asid, .epoch = c->epoch, .vregions = infos, .vregions_count = count};
    uint8_t body[GRANT_MAX * sizeof *infos + 64];
    return ask(c, OP_REPLICA_VREGIONS, body, msg_replica_vregions_encode(&m, body, sizeof body),
               NULL, 0);
}

/* What is to be told of vRegions, on its way. */
struct vregion_list {
    struct copy *copy;
    struct vregion_info infos[GRANT_MAX];
    uint32_t count;
    int rc;
};

static void flush_vregions(struct vregion_list *list)
{
    if (list->rc == 0 && list->count)
        list->rc = send_vregions(list->copy, list->infos, list->count);
    list->count = 0;
}

static void tell_vregion(struct vregion_list *list, uint32_t index, uint16_t part)
{
    struct component owner = {0};
    if (part != PART_NONE)
        owner = list->copy->now->parts[part];
    list->infos[list->count++] = (struct vregion_info){index, part, owner};
    if (list->count == GRANT_MAX)
        flush_vregions(list);
}

static bool has_entry(const struct vregion_array *array, const struct vregion_entry *entry)
{
    const struct vregion_entry *found = vregion_at_or_after(array, entry->index);
    return found && found->index == entry->index && found->part == entry->part;
}

/* Those that are no more come first, for their places may be others' now. */
static int differ_in_vregions(struct copy *c)
{
    const struct vregion_array *now = &c->now->vregions, *last = last_vregions(c);
    struct vregion_list list = {.copy = c};
    for (uint32_t i = 0; i < last->count; i++)
        if (!has_entry(now, &last->entries[i]))
            tell_vregion(&list, last->entries[i].index, PART_NONE);
    for (uint32_t i = 0; i < now->count; i++) {
        const struct vregion_entry *entry = &now->entries[i];
        if (!has_entry(last, entry) ||
            c->last->parts[entry->part].n != c->now->parts[entry->part].n)
            tell_vregion(&list, entry->index, entry->part);
    }
    flush_vregions(&list);
    return list.rc;
}

/* ---- vmas ---- */

struct vma_list {
    struct vma_info vmas[VMAS_MAX_SENT];
    struct mapped_file files[OPS_FILES_MAX];
    const struct file *of[OPS_FILES_MAX];
    uint8_t paths[PATHS_MAX];
    uint32_t count, files_count, paths_size;
    uint8_t body[PATHS_MAX + VMAS_MAX_SENT * sizeof(struct vma_info) + 1024];
};

/* The place of a file in the list, from 1 on; 0: there is no room for it. */
static uint32_t place_of_file(struct vma_list *list, const struct file *file)
{
    for (uint32_t i = 0; i < list->files_count; i++)
        if (list->of[i] == file)
            return i + 1;
    if (list->files_count == OPS_FILES_MAX)
        return 0;
    size_t size = strlen(file->path) + 1;
    list->of[list->files_count] = file;
    list->files[list->files_count++] =
        (struct mapped_file){.id = file->id, .version = file->version, .path = list->paths_size};
    memcpy(list->paths + list->paths_size, file->path, size);
    list->paths_size += (uint32_t)size;
    return list->files_count;
}

static bool add_vma(struct vma_list *list, const struct vma *vma)
{
    uint32_t file = 0;
    if (list->count == VMAS_MAX_SENT || (vma->file && !(file = place_of_file(list, vma->file))))
        return false;
    list->vmas[list->count++] = (struct vma_info){.first = vma->first,
                                                  .end = vma->end,
                                                  .prot = vma->prot,
                                                  .file_page = vma->file_page,
                                                  .file_end = vma->file_end,
                                                  .file = file};
    return true;
}

static int send_vmas(struct copy *c, uint32_t index, const struct vregion *vregion)
{
    struct vma_list list;
    const struct vma *vma = vma_at_or_after(&vregion->vmas, 0);
    int rc = 0;
    do {
        list.count = list.files_count = list.paths_size = 0;
        while (vma && add_vma(&list, vma))
            vma = vma_at_or_after(&vregion->vmas, vma->end);
        struct msg_replica_vmas m = {.asid = c->space->asid,
                                     .epoch = c->epoch,
                                     .index = index,
                                     .more = vma != NULL,
                                     .vmas = list.vmas,
                                     .vmas_count = list.count,
                                     .files = list.files,
                                     .files_count = list.files_count,
                                     .paths = list.paths,
                                     .paths_size = list.paths_size};
        rc = ask(c, OP_REPLICA_VMAS, list.body,
                 msg_replica_vmas_encode(&m, list.body, sizeof list.body), NULL, 0);
    } while (rc == 0 && vma);
    return rc;
}

/* ---- lines ---- */

/* Reads those of the frames that are cold, which stay so: a part may be larger than DRAM is. */
static int read_cold(struct copy *c, const struct frame *cold, const int *which, uint32_t count,
                     struct iovec *pieces)
{
    struct cold *store = c->memory->frames.cold;
    if (count && !c->bytes && !(c->bytes = malloc((size_t)WRITE_MAX_LINES * LINE_SIZE)))
        return -ENOMEM;
    /* Those that are logged together; any that is not meanwhile is read again by itself. */
    int rc = count && store->log ? logged_read(store, cold, count, c->bytes) : (int)count;
    for (uint32_t i = 0; i < count && rc >= 0; i++) {
        uint8_t *line = c->bytes + (size_t)i * LINE_SIZE;
        pieces[which[i]].iov_base = line;
        if (rc > 0) {
            int one = cold_read(store, cold[i], line);
            rc = one < 0 ? one : rc;
        }
    }
    return rc < 0 ? rc : 0;
}

/* The bytes of lines that have a frame, which is pinned; unpin_lines() is owed for as many. */
static int pin_lines(struct copy *c, const struct line_source *lines, uint32_t count,
                     struct frame *pinned, struct iovec *pieces, int *pieces_count)
{
    struct frames *frames = &c->memory->frames;
    struct frame cold[WRITE_MAX_LINES];
    int which[WRITE_MAX_LINES];
    uint32_t colds = 0;
    *pieces_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!line_has_frame(lines[i].source))
            continue;
        struct frame frame = {lines[i].source};
        pinned[*pieces_count] = frame;
        pieces[*pieces_count] = (struct iovec){frames_data(frames, frame), LINE_SIZE};
        if (!frames_pin(frames, frame)) {
            cold[colds] = frame;
            which[colds++] = *pieces_count;
        }
        ++*pieces_count;
    }
    return read_cold(c, cold, which, colds, pieces);
}

static void unpin_lines(struct copy *c, const struct frame *pinned, int count)
{
    struct frame_batch batch;
    frame_batch_init(&batch, &c->memory->frames);
    while (count)
        frame_batch_unpin(&batch, pinned[--count]);
    frame_batch_flush(&batch);
}

static int send_lines(struct copy *c, uint32_t index, const struct line_source *lines,
                      uint32_t count)
{
    struct frame pinned[WRITE_MAX_LINES];
    struct iovec pieces[WRITE_MAX_LINES];
    uint8_t body[WRITE_MAX_LINES * sizeof *lines + 64];
    int pieces_count;
    int rc = pin_lines(c, lines, count, pinned, pieces, &pieces_count);
    struct msg_replica_lines m = {.asid = c->space->asid,
                                  .epoch = c->epoch,
                                  .index = index,
                                  .lines = lines,
                                  .lines_count = count,
                                  .data_size = (uint32_t)pieces_count * LINE_SIZE};
    c->sent += count;
    fault_point("copy.lines");
    if (rc == 0)
        rc = ask(c, OP_REPLICA_LINES, body, msg_replica_lines_encode(&m, body, sizeof body), pieces,
                 pieces_count);
    unpin_lines(c, pinned, pieces_count);
    return rc;
}

static int differ_in_lines(struct copy *c, uint32_t index, const struct line_table *before,
                           const struct line_table *now)
{
    const struct frames *frames = &c->memory->frames;
    struct line_source lines[WRITE_MAX_LINES];
    uint32_t count = 0, line = 0;
    int rc = 0;
    while (rc == 0 && (line = line_table_differ(before, now, frames, line)) < VREGION_LINES) {
        lines[count++] = (struct line_source){line, line_table_get(now, frames, line)};
        line++;
        if (count == WRITE_MAX_LINES) {
            rc = send_lines(c, index, lines, count);
            count = 0;
        }
    }
    return rc == 0 && count ? send_lines(c, index, lines, count) : rc;
}

/* ---- rounds ---- */

static int send_difference(struct copy *c)
{
    static const struct vregion nothing;
    const struct vregion_array *now = &c->now->vregions;
    int rc = differ_in_vregions(c);
    for (uint32_t i = 0; i < now->count && rc == 0; i++) {
        const struct vregion *vregion = now->entries[i].vregion;
        if (!vregion)
            continue;
        uint32_t index = now->entries[i].index;
        const struct vregion *before = vregion_at(last_vregions(c), index);
        if (!before)
            before = &nothing;
        if (!vma_tree_equal(&before->vmas, &vregion->vmas))
            rc = send_vmas(c, index, vregion);
        if (rc == 0)
            rc = differ_in_lines(c, index, &before->lines, &vregion->lines);
    }
    return rc;
}

static int take_snapshot(struct copy *c, struct space *space)
{
    struct space_birth birth = {.asid = space->asid};
    struct space *now = space_new(&birth, &c->memory->frames);
    if (!now)
        return -ENOMEM;
    int rc = space_clone(space, now);
    if (rc < 0) {
        space_put(now);
        return rc;
    }
    if (c->last)
        space_put(c->last);
    c->last = c->now;
    c->now = now;
    return 0;
}

/* One snapshot more, and what it says otherwise. */
static int next_round(struct copy *c)
{
    int rc = take_snapshot(c, c->space);
    c->sent = 0;
    return rc < 0 ? rc : send_difference(c);
}

/* As a copy of the one of `like`, whose place is `place`; NULL: empty. */
static int open_replica(struct copy *c, const struct space *like, const struct space_place *place)
{
    struct msg_replica_open request = {.asid = c->space->asid,
                                       .run_id = c->space->run_id,
                                       .replicas = c->space->replicas,
                                       .primary = c->memory->monitor.id,
                                       .pid = (uint32_t)getpid(),
                                       .epoch = c->epoch};
    struct msg_replica_open_reply reply;
    if (like) {
        request.like = like->asid;
        request.like_epoch = place->epoch;
    }
    int rc = PEER_CALL(&c->memory->peers, c->to, REPLICA_OPEN, replica_open, &request, &reply);
    if (rc == 0)
        c->pid = reply.pid;
    return rc;
}

/* The relative's changes wait meanwhile, so that the snapshot of it is what its replica is. */
static int open_as_relative(struct copy *c, struct space *relative)
{
    struct space_place place;
    pthread_rwlock_wrlock(&relative->changing);
    int rc = space_place(relative, &place);
    if (rc == 0 && (!place_has_replica(&place) || place.replica.n != c->to.n))
        rc = ASH_MOVED;
    if (rc == 0)
        rc = take_snapshot(c, relative);
    if (rc == 0)
        rc = open_replica(c, relative, &place);
    pthread_rwlock_unlock(&relative->changing);
    return rc;
}

/* What was begun does not become a replica. */
static void drop(struct copy *c)
{
    struct space_place begun = {
        .replica = c->to, .pid = c->pid, .seen_ms = c->began_ms, .epoch = c->epoch};
    replica_drop(c->memory, c->space, &begun);
}

/* The replica that there is, where there is one, yields to the new one: two may both hear that
   their primary is lost. */
static int have_yield(struct copy *c, struct component to)
{
    struct space_place place;
    int rc = space_place(c->space, &place);
    if (rc == 0 && place.role == ROLE_PRIMARY && place.replica.n)
        rc = replica_yield(c->memory, c->space, &place, to);
    return rc == ASH_LOST || rc == ASH_NO_SPACE_ID ? 0 : rc;
}

/* Changes wait for this. */
static int make_ready(struct copy *c)
{
    pthread_rwlock_wrlock(&c->space->changing);
    int rc = next_round(c);
    if (rc == 0)
        rc = have_yield(c, c->to);
    if (rc == 0) {
        struct msg_replica_ready request = {
            .asid = c->space->asid, .epoch = c->epoch, .serial = space_serial(c->space)};
        struct msg_replica_ready_reply reply;
        fault_point("copy.last");
        rc = PEER_CALL(&c->memory->peers, c->to, REPLICA_READY, replica_ready, &request, &reply);
    }
    fault_point("copy.ready");
    if (rc == 0 && !space_gain_replica(c->space, c->to, c->pid, c->epoch))
        rc = ASH_NO_SPACE_ID;
    /* It may take itself for ready all the same: before anything is changed without it, it goes. */
    if (rc < 0) {
        drop(c);
        (void)!have_yield(c, (struct component){0});
    }
    pthread_rwlock_unlock(&c->space->changing);
    return rc;
}

/* `relative`: whose copy it begins as; NULL: it begins empty. */
static int copy_to(struct memory *memory, struct space *space, struct component to,
                   struct space *relative, uint32_t epoch)
{
    struct copy c = {
        .memory = memory, .space = space, .to = to, .began_ms = clock_ms(), .epoch = epoch};
    c.least = frames_available(&memory->frames) / LEFT_SHARE;
    int rc = relative ? open_as_relative(&c, relative) : open_replica(&c, NULL, NULL);
    fault_point("copy.opened");
    for (int i = 0; i < ROUNDS_MAX && rc == 0; i++) {
        rc = next_round(&c);
        if (c.sent < ROUND_SMALL)
            break;
    }
    if (rc == 0)
        rc = make_ready(&c);
    else if (rc != ASH_UNKNOWN_OP)
        drop(&c);
    if (c.last)
        space_put(c.last);
    if (c.now)
        space_put(c.now);
    free(c.bytes);
    return rc;
}

/* ---- where to ---- */

/* A component with room for all that the space has, or for what it has of its own beside a relative
   whose copy is there, which has a reference then; 0: none. */
static struct component choose(struct memory *memory, struct space *space, struct component failed,
                               struct space **relative)
{
    struct msg_space_stat_reply stat;
    *relative = NULL;
    if (space_stat(space, &stat) < 0)
        return (struct component){0};
    struct relative near = relative_of(memory, space, failed);
    if (near.space &&
        peers_replica_room(&memory->peers, near.at) >= stat.bytes / 100 * near.own_percent) {
        *relative = near.space;
        return near.at;
    }
    if (near.space)
        space_put(near.space);
    struct component to = peers_choose(&memory->peers, failed, true);
    if (peers_replica_room(&memory->peers, to) < stat.bytes)
        to.n = 0;
    return to;
}

/* That there is nobody costs nothing to find out again; a copy that failed half way does. */
static void put_off(struct space *space, int rc)
{
    uint32_t most_ms = rc == ASH_NO_FRAMES ? WAIT_FRAMES_MS : WAIT_MAX_MS;
    pthread_mutex_lock(&space->lock);
    uint32_t wait_ms = rc == ASH_NO_COMPONENT ? 0 : space->replicate_wait_ms * 2;
    wait_ms = wait_ms < WAIT_MIN_MS ? WAIT_MIN_MS : wait_ms > most_ms ? most_ms : wait_ms;
    space->replicate_wait_ms = wait_ms;
    space->replicate_at_ms = clock_ms() + wait_ms;
    pthread_mutex_unlock(&space->lock);
}

/* `replicating` is held. */
static int replicate_locked(struct memory *memory, struct space *space)
{
    struct component failed = {0};
    struct space_place place;
    int rc = space_place(space, &place);
    if (rc == 0 && place.role != ROLE_PRIMARY)
        rc = ASH_MOVED;
    if (rc < 0)
        return rc;
    if (place.replica.n && peers_state(&memory->peers, place.replica) != PEER_DRAINING)
        return 0;
    rc = ASH_NO_COMPONENT;
    (void)!peers_refresh(&memory->peers, PEER_RECENT_MS); /* who has room by now */
    for (int i = 0; i < TARGETS;) {
        struct space *relative;
        struct component to = choose(memory, space, failed, &relative);
        if (!to.n)
            break;
        rc = copy_to(memory, space, to, relative, place.epoch + 1);
        if (relative)
            space_put(relative);
        if (rc == ASH_UNKNOWN_OP) { /* it keeps no replicas, and was not tried */
            peers_keeps_none(&memory->peers, to);
            rc = ASH_NO_COMPONENT;
            continue;
        }
        i++;
        if (rc == 0 && place.replica.n) {
            fault_point("drain.copied");
            replica_drop(memory, space, &place);
        }
        if (rc == 0 || space_place(space, &place) < 0)
            return rc;
        failed = to;
    }
    put_off(space, rc);
    return rc;
}

int replicate(struct memory *memory, struct space *space)
{
    pthread_mutex_lock(&space->replicating);
    int rc = replicate_locked(memory, space);
    pthread_mutex_unlock(&space->replicating);
    return rc;
}

static bool is_first(struct space *space)
{
    pthread_mutex_lock(&space->lock);
    bool first = space->replicas > 1 && space->replicate_at_ms == 0 &&
                 space->place.role == ROLE_PRIMARY && !space->place.replica.n && !space->gone;
    pthread_mutex_unlock(&space->lock);
    return first;
}

void replicate_at_first(struct memory *memory, struct space *space)
{
    if (!is_first(space))
        return;
    pthread_mutex_lock(&space->replicating);
    if (is_first(space))
        (void)!replicate_locked(memory, space); /* the replicator will try again */
    pthread_mutex_unlock(&space->replicating);
}
