/*
 * See replicate.h. Rounds:
 *
 *   0  REPLICA_OPEN, under the epoch to come, at the component where the copy of a relative is
 *      (relatives.h), as a copy of that; or empty, at the component with the most room
 *   1  what the space has and the replica has not been told (told.h): vRegions, vmas, lines. What
 *      changes meanwhile is told in a later round
 *   2  again, until a round sent little
 *   3  changes are kept out (space->changing), the rest is sent, REPLICA_READY; from here on they
 *      go there too
 *
 * Lines are sent as they lie in their frames, which are pinned until they are sent.
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
#include "told.h"

enum {
    ROUNDS_MIN = 4, /* then, where a round sends no less than the one before, that is all */
    ROUNDS_MAX = 16,
    ROUND_SMALL = 256, /* lines: the rest is sent while changes wait */
    TARGETS = 2,       /* components to try */
    WAIT_MIN_MS = 500, /* before the next try; doubled each time */
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
    struct told told;
    uint32_t sent;  /* lines of this round */
    uint8_t *bytes; /* of cold lines; NULL: there were none yet */
};

static int ask(struct copy *c, uint16_t op, const uint8_t *body, int size,
               const struct iovec *pieces, int count)
{
    struct space_place place;
    if (size < 0)
        return size;
    int rc = space_place(c->space, &place); /* it may have ended meanwhile: then all this is vain */
    return rc < 0 ? rc
                  : peer_request(&c->memory->peers, c->to, op, body, (size_t)size, pieces, count,
                                 NULL, NULL);
}

/* ---- vRegions ---- */

static int send_vregions(struct copy *c, const struct vregion_info *infos, uint32_t count,
                         const struct part_owner *parts, uint32_t parts_count)
{
    struct msg_replica_vregions m = {.asid = c->space->asid,
                                     .epoch = c->epoch,
                                     .parts = parts,
                                     .parts_count = parts_count,
                                     .vregions = infos,
                                     .vregions_count = count};
    uint8_t body[GRANT_MAX * sizeof *infos + PARTS_MAX * sizeof *parts + 64];
    return ask(c, OP_REPLICA_VREGIONS, body, msg_replica_vregions_encode(&m, body, sizeof body),
               NULL, 0);
}

static int tell_vregions(struct copy *c)
{
    struct part_owner parts[PARTS_MAX];
    struct vregion_info *infos;
    uint32_t count;
    uint32_t parts_count = told_parts(&c->told, parts);
    int rc = told_vregions(&c->told, &infos, &count);
    for (uint32_t at = 0, n; rc == 0 && (at < count || parts_count); at += n) {
        n = count - at < GRANT_MAX ? count - at : GRANT_MAX;
        rc = send_vregions(c, infos + at, n, parts, parts_count);
        parts_count = 0;
    }
    free(infos);
    return rc;
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

static int send_vmas(struct copy *c, const struct told_vregion *vregion)
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
                                     .index = vregion->index,
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
static int read_cold(struct copy *c, const struct told_lines *lines, struct iovec *pieces)
{
    struct cold *store = c->memory->frames.cold;
    struct frame cold[WRITE_MAX_LINES];
    uint32_t which[WRITE_MAX_LINES], count = 0;
    for (uint32_t i = 0; i < lines->frames_count; i++) {
        which[count] = i;
        cold[count] = lines->frames[i];
        count += lines->cold[i];
    }
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

static int send_lines(struct copy *c, uint32_t index, const struct told_lines *lines)
{
    struct iovec pieces[WRITE_MAX_LINES];
    uint8_t body[WRITE_MAX_LINES * sizeof *lines->lines + 64];
    struct msg_replica_lines m = {.asid = c->space->asid,
                                  .epoch = c->epoch,
                                  .index = index,
                                  .lines = lines->lines,
                                  .lines_count = lines->count,
                                  .data_size = lines->frames_count * LINE_SIZE};
    for (uint32_t i = 0; i < lines->frames_count; i++)
        pieces[i] = (struct iovec){frames_data(&c->memory->frames, lines->frames[i]), LINE_SIZE};
    int rc = read_cold(c, lines, pieces);
    fault_point("copy.lines");
    if (rc == 0)
        rc = ask(c, OP_REPLICA_LINES, body, msg_replica_lines_encode(&m, body, sizeof body), pieces,
                 (int)lines->frames_count);
    return rc;
}

static int tell_lines(struct copy *c, uint32_t i)
{
    struct told_lines lines;
    uint32_t line = 0;
    int rc;
    while ((rc = told_lines(&c->told, i, &line, &lines)) > 0) {
        rc = send_lines(c, c->told.vregions[i].index, &lines);
        told_lines_sent(&c->told, &lines);
        if (rc < 0)
            return rc;
        c->sent += lines.count;
    }
    return rc;
}

/* ---- rounds ---- */

/* All that was not told. */
static int next_round(struct copy *c)
{
    c->sent = 0;
    int rc = tell_vregions(c);
    for (uint32_t i = 0; i < c->told.count && rc == 0; i++) {
        if (c->told.vregions[i].part != space_part(c->space))
            continue;
        rc = told_vmas(&c->told, i);
        if (rc > 0)
            rc = send_vmas(c, &c->told.vregions[i]);
        if (rc == 0)
            rc = tell_lines(c, i);
    }
    return rc;
}

static struct space *snapshot(struct copy *c, struct space *space, int *rc)
{
    struct space_birth birth = {.asid = space->asid};
    struct space *now = space_new(&birth, &c->memory->frames);
    *rc = now ? space_clone(space, now) : -ENOMEM;
    if (*rc == 0 || !now)
        return now;
    space_put(now);
    return NULL;
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
    struct space *like = NULL;
    pthread_rwlock_wrlock(&relative->changing);
    int rc = space_place(relative, &place);
    if (rc == 0 && (!place_has_replica(&place) || place.replica.n != c->to.n))
        rc = ASH_MOVED;
    if (rc == 0)
        like = snapshot(c, relative, &rc);
    if (rc == 0)
        rc = open_replica(c, relative, &place);
    pthread_rwlock_unlock(&relative->changing);
    if (rc == 0)
        rc = told_begin(&c->told, c->space, like);
    if (like)
        space_put(like);
    return rc;
}

static int open_empty(struct copy *c)
{
    int rc = open_replica(c, NULL, NULL);
    return rc < 0 ? rc : told_begin(&c->told, c->space, NULL);
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
    struct copy c = {.memory = memory,
                     .space = space,
                     .to = to,
                     .began_ms = clock_ms(),
                     .epoch = epoch,
                     .told.space = space};
    int rc = relative ? open_as_relative(&c, relative) : open_empty(&c);
    fault_point("copy.opened");
    uint32_t before = UINT32_MAX;
    for (int i = 0; i < ROUNDS_MAX && rc == 0; i++, before = c.sent) {
        rc = next_round(&c);
        if (c.sent < ROUND_SMALL || (i >= ROUNDS_MIN && c.sent > before / 8 * 7))
            break;
    }
    if (rc == 0)
        rc = make_ready(&c);
    else if (rc != ASH_UNKNOWN_OP)
        drop(&c);
    told_end(&c.told);
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
    struct relative near = relative_of(memory, space, stat.frames, failed);
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
            failed = to;
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
