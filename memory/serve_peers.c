/*
 * What mComponents ask of each other: further parts, where a part is, and all that a replica is
 * told. Only a component's connection may.
 *
 * A replica is changed under `changing`, for reading, and takes its primary's place under the same
 * lock for writing: what an old primary sends is done before that, or refused.
 */
#include <errno.h>
#include <unistd.h>

#include "call.h"
#include "changes.h"
#include "clock.h"
#include "fault.h"
#include "logger.h"
#include "parts.h"
#include "pressure.h"
#include "replicator.h"

int call_space_part(struct call *call)
{
    struct msg_space_part request;
    struct msg_space_part_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_part, &request);
    if (rc < 0)
        return rc;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    struct space_birth birth = {.asid = request.asid,
                                .run_id = request.run_id,
                                .replicas = request.replicas,
                                .role = ROLE_PRIMARY,
                                .epoch = SPACE_FIRST_EPOCH};
    if (request.asid.n % PARTS_MAX == 0)
        return -EINVAL;
    rc = spaces_add(&call->memory->spaces, &birth, &space);
    if (rc == -EEXIST && space->run_id == request.run_id)
        rc = 0; /* asked again */
    if (space)
        space_put(space);
    fault_point("part.made");
    return rc < 0 ? rc : ANSWER(call, space_part, &reply);
}

int call_space_locate(struct call *call)
{
    struct msg_space_locate request;
    struct msg_space_locate_reply reply;
    int rc = DECODE(call, space_locate, &request);
    if (rc < 0)
        return rc;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    if (!call->memory->monitor.id.n)
        return ASH_NO_COMPONENT; /* whose word it is would not be known */
    fault_point("locate.asked");
    parts_look(call->memory, request.asid, request.lost, &reply);
    return ANSWER(call, space_locate, &reply);
}

/* ---- what a replica is told ---- */

/*
 * Finds the replica that a message means, of that epoch, and keeps its place as it is until
 * end_telling(). ASH_STALE_EPOCH: who sent it is primary no more. ASH_NO_SPACE_ID: there is none.
 */
static int begin_telling(struct call *call, struct asid asid, uint32_t epoch, struct space **out)
{
    struct space_place place;
    *out = NULL;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    struct space *space = spaces_find(&call->memory->spaces, asid);
    if (!space)
        return ASH_NO_SPACE_ID;
    /* Who changes its place may be waiting for him who sent this: what is too old does not wait. */
    if (space_place(space, &place) == 0 && epoch < place.epoch) {
        space_put(space);
        return ASH_STALE_EPOCH;
    }
    pthread_rwlock_rdlock(&space->changing);
    int rc = space_place(space, &place);
    if (rc == ASH_MOVED) /* it was the primary, and has moved on */
        rc = epoch <= space_last_place(space).epoch ? ASH_STALE_EPOCH : ASH_NO_SPACE_ID;
    else if (rc == 0 && epoch < place.epoch)
        rc = ASH_STALE_EPOCH;
    else if (rc == 0 && (epoch > place.epoch || place.role != ROLE_REPLICA))
        rc = ASH_NO_SPACE_ID;
    *out = space;
    if (rc == 0 && !place.ready)
        spaces_touch(&call->memory->spaces, space); /* it is being made: see main.c, expire() */
    if (rc == 0)
        return 0;
    pthread_rwlock_unlock(&space->changing);
    space_put(space);
    return rc;
}

static void end_telling(struct space *space)
{
    pthread_rwlock_unlock(&space->changing);
    space_put(space);
}

/* Before lines of that many bytes are stored; logger_leave() is owed. */
static uint32_t enter(struct call *call, uint32_t bytes)
{
    uint32_t lines = bytes / LINE_SIZE;
    return call_is_process(call) || lines > WRITE_MAX_LINES ? 0 : logger_enter(call->memory, lines);
}

/* A replica that is to be, in place of an older one of its part; a copy of `like`, or empty. */
static int make_replica(struct spaces *spaces, const struct space_birth *birth, struct space *like)
{
    struct space *space = spaces_find(spaces, birth->asid);
    int rc = space && space_last_place(space).epoch >= birth->epoch ? ASH_STALE_EPOCH : 0;
    if (space)
        space_put(space);
    if (rc == 0)
        rc = spaces_replace(spaces, birth, &space);
    if (rc < 0)
        return rc;
    if (like)
        rc = space_clone(like, space);
    if (rc < 0)
        spaces_destroy(spaces, space);
    space_put(space);
    return rc;
}

/* Whether a new replica may begin as a copy of this one. */
static bool is_complete(struct space *like, const struct msg_replica_open *request)
{
    struct space_place place;
    return space_place(like, &place) == 0 && place.ready && like->run_id == request->run_id &&
           place.primary.n == request->primary.n && place.pid == request->pid;
}

int call_replica_open(struct call *call)
{
    struct msg_replica_open request;
    struct msg_replica_open_reply reply = {.pid = (uint32_t)getpid()};
    struct space *like = NULL;
    int rc = DECODE(call, replica_open, &request);
    if (rc < 0)
        return rc;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    if (!call->memory->monitor.id.n)
        return ASH_NO_COMPONENT; /* the registry's list would not say that this process has it */
    if (pressure_is_full(call->memory))
        return ASH_NO_FRAMES;
    struct space_birth birth = {.asid = request.asid,
                                .run_id = request.run_id,
                                .replicas = request.replicas,
                                .role = ROLE_REPLICA,
                                .primary = request.primary,
                                .primary_pid = request.pid,
                                .epoch = request.epoch};
    if (request.like.n == request.asid.n)
        return ASH_MALFORMED;
    if (request.like.n)
        rc = begin_telling(call, request.like, request.like_epoch, &like);
    if (rc < 0)
        return rc;
    rc = like && !is_complete(like, &request) ? ASH_NO_SPACE_ID
                                              : make_replica(&call->memory->spaces, &birth, like);
    if (like)
        end_telling(like);
    fault_point("replica.opened");
    return rc < 0 ? rc : ANSWER(call, replica_open, &reply);
}

/* Those of one part that stand in a row. */
static int learn_run(struct space *space, const struct vregion_info *run, uint32_t count)
{
    return run->part == PART_NONE ? space_revoke(space, run->index, count)
                                  : space_grant(space, run->index, count, run->part, 0);
}

static int learn_part(struct space *space, const struct part_owner *told)
{
    if (told->part >= PARTS_MAX || told->part == space_part(space))
        return -EINVAL;
    space_set_part(space, told->part, told->owner);
    return 0;
}

int call_replica_vregions(struct call *call)
{
    struct msg_replica_vregions request;
    struct msg_replica_vregions_reply reply = {};
    struct space *space = NULL;
    int rc = DECODE(call, replica_vregions, &request);
    if (rc == 0)
        rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0)
        return rc;
    const struct vregion_info *infos = request.vregions;
    for (uint32_t i = 0; i < request.parts_count && rc == 0; i++)
        rc = learn_part(space, &request.parts[i]);
    for (uint32_t i = 0, end; i < request.vregions_count && rc == 0; i = end) {
        end = i + 1;
        while (end < request.vregions_count && infos[end].part == infos[i].part &&
               infos[end].index == infos[i].index + (end - i))
            end++;
        rc = learn_run(space, &infos[i], end - i);
    }
    end_telling(space);
    fault_point("replica.vregions");
    return rc < 0 ? rc : ANSWER(call, replica_vregions, &reply);
}

/* The vmas of a message, whose files are files[]. */
static int learn_vmas(struct space *space, const struct msg_replica_vmas *m,
                      struct file *const *files)
{
    struct vma vmas[OPS_MAX];
    if (m->vmas_count > OPS_MAX || (m->more && !m->vmas_count))
        return ASH_MALFORMED;
    for (uint32_t i = 0; i < m->vmas_count; i++) {
        const struct vma_info *info = &m->vmas[i];
        if (info->file > m->files_count)
            return ASH_MALFORMED;
        vmas[i] = (struct vma){.first = info->first,
                               .end = info->end,
                               .prot = info->prot,
                               .file = info->file ? files[info->file - 1] : NULL,
                               .file_page = info->file_page,
                               .file_end = info->file_end};
    }
    /* Only the one thread that makes the replica tells vmas, so vmas_told is its own. */
    uint32_t end = m->more ? vmas[m->vmas_count - 1].end : VREGION_LINES;
    int rc = space_set_vmas(space, m->index, space->vmas_told, end, vmas, m->vmas_count);
    space->vmas_told = rc == 0 && m->more ? end : 0;
    return rc;
}

int call_replica_vmas(struct call *call)
{
    struct msg_replica_vmas request;
    struct msg_replica_vmas_reply reply = {};
    struct file *files[OPS_FILES_MAX];
    struct space *space;
    int rc = DECODE(call, replica_vmas, &request);
    if (rc < 0)
        return rc;
    struct changes changes = {.files = request.files,
                              .files_count = request.files_count,
                              .paths = request.paths,
                              .paths_size = request.paths_size};
    rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0)
        return rc;
    rc = changes_hold_files(call->memory, &changes, files);
    if (rc == 0) {
        rc = learn_vmas(space, &request, files);
        changes_let_files_go(&changes, files);
    }
    end_telling(space);
    return rc < 0 ? rc : ANSWER(call, replica_vmas, &reply);
}

static uint32_t count_data(const struct line_source *lines, uint32_t count)
{
    uint32_t data = 0;
    for (uint32_t i = 0; i < count; i++)
        data += lines[i].source != LINE_ABSENT && lines[i].source != LINE_STORED_ZERO;
    return data;
}

int call_replica_lines(struct call *call)
{
    struct msg_replica_lines request;
    struct msg_replica_lines_reply reply = {};
    struct space *space;
    int rc = DECODE(call, replica_lines, &request);
    if (rc < 0)
        return rc;
    if (request.lines_count > WRITE_MAX_LINES)
        return ASH_TOO_BIG;
    if (request.data_size != count_data(request.lines, request.lines_count) * LINE_SIZE)
        return ASH_MALFORMED;
    uint32_t entered = enter(call, request.data_size);
    rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc == 0) {
        rc =
            space_set_lines(space, request.index, request.lines, request.lines_count, request.data);
        end_telling(space);
    }
    logger_leave(call->memory, entered);
    if (rc < 0)
        return rc;
    fault_point("replica.lines");
    return rc < 0 ? rc : ANSWER(call, replica_lines, &reply);
}

int call_replica_ready(struct call *call)
{
    struct msg_replica_ready request;
    struct msg_replica_ready_reply reply = {};
    struct space *space;
    int rc = DECODE(call, replica_ready, &request);
    if (rc == 0)
        rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0)
        return rc;
    fault_point("replica.last");
    if (!space_become_ready(space, request.epoch, request.serial))
        rc = ASH_NO_SPACE_ID;
    end_telling(space);
    fault_point("replica.ready");
    return rc < 0 ? rc : ANSWER(call, replica_ready, &reply);
}

int call_replica_drop(struct call *call)
{
    struct msg_replica_drop request;
    struct msg_replica_drop_reply reply = {};
    struct space_place place;
    int rc = DECODE(call, replica_drop, &request);
    if (rc < 0)
        return rc;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    struct space *space = spaces_find(&call->memory->spaces, request.asid);
    if (space && space_place(space, &place) == 0 && place.role == ROLE_REPLICA &&
        place.epoch <= request.epoch)
        spaces_destroy(&call->memory->spaces, space);
    if (space)
        space_put(space);
    fault_point("replica.dropped");
    return ANSWER(call, replica_drop, &reply);
}

int call_replica_yield(struct call *call)
{
    struct msg_replica_yield request;
    struct msg_replica_yield_reply reply = {};
    struct space *space;
    int rc = DECODE(call, replica_yield, &request);
    if (rc == 0)
        rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0)
        return rc;
    space_set_heir(space, request.to);
    end_telling(space);
    fault_point("replica.yielded");
    return ANSWER(call, replica_yield, &reply);
}

int call_replica_promote(struct call *call)
{
    struct msg_replica_promote request;
    struct msg_replica_promote_reply reply = {};
    struct space_place place;
    struct space *space;
    int rc = DECODE(call, replica_promote, &request);
    if (rc == 0)
        rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0)
        return rc;
    rc = space_place(space, &place);
    pthread_rwlock_unlock(&space->changing);
    if (rc == 0 && !replica_take_over(call->memory, space, place.primary, request.stays)) {
        rc = space_place(space, &place);
        if (rc == 0) /* it has, meanwhile */
            rc = place.role == ROLE_PRIMARY ? ASH_STALE_EPOCH : ASH_NO_SPACE_ID;
    }
    space_put(space);
    fault_point("promote.taken");
    return rc < 0 ? rc : ANSWER(call, replica_promote, &reply);
}

/* ---- changes that a primary sends on ---- */

static int apply_ops(struct call *call, struct space *space, const uint8_t *payload, uint32_t size)
{
    struct msg_space_ops request;
    int rc = msg_space_ops_decode(&request, payload, size);
    if (rc < 0)
        return rc;
    struct changes changes = CALL_CHANGES(request);
    return changes_apply(call->memory, space, &changes);
}

static int apply_write(struct space *space, const uint8_t *payload, uint32_t size)
{
    struct msg_line_write request;
    int rc = msg_line_write_decode(&request, payload, size);
    if (rc == 0 && (request.lines_count > WRITE_MAX_LINES ||
                    request.data_size != request.lines_count * LINE_SIZE))
        rc = ASH_MALFORMED;
    return rc < 0 ? rc : space_write(space, request.lines, request.lines_count, request.data);
}

/* The child's replica is here too, and shares the frames. */
static int apply_clone(struct call *call, struct space *space, const uint8_t *payload,
                       uint32_t size)
{
    struct msg_space_clone request;
    struct space_place place;
    struct space *child;
    int rc = msg_space_clone_decode(&request, payload, size);
    if (rc == 0)
        rc = space_place(space, &place);
    if (rc < 0)
        return rc;
    struct space_birth birth = {.asid = request.child,
                                .run_id = space->run_id,
                                .replicas = space->replicas,
                                .role = ROLE_REPLICA,
                                .primary = place.primary,
                                .primary_pid = place.pid,
                                .epoch = SPACE_FIRST_EPOCH};
    rc = spaces_add(&call->memory->spaces, &birth, &child);
    if (rc == 0) {
        rc = space_clone(space, child);
        if (rc < 0 || !space_become_ready(child, birth.epoch, 0))
            spaces_destroy(&call->memory->spaces, child);
    }
    if (child)
        space_put(child);
    return rc == -EEXIST ? 0 : rc; /* the message came twice */
}

int call_replica_apply(struct call *call)
{
    struct msg_replica_apply request;
    struct msg_replica_apply_reply reply = {};
    struct space *space;
    int rc = DECODE(call, replica_apply, &request);
    if (rc < 0)
        return rc;
    uint32_t entered = enter(call, request.op == OP_LINE_WRITE ? request.request_size : 0);
    rc = begin_telling(call, request.asid, request.epoch, &space);
    if (rc < 0) {
        logger_leave(call->memory, entered);
        return rc;
    }
    switch (request.op) {
    case OP_SPACE_OPS:
        rc = apply_ops(call, space, request.request, request.request_size);
        fault_point("ops.copied");
        break;
    case OP_LINE_WRITE:
        rc = apply_write(space, request.request, request.request_size);
        fault_point("write.copied");
        break;
    case OP_SPACE_CLONE:
        rc = apply_clone(call, space, request.request, request.request_size);
        fault_point("clone.copied");
        break;
    case OP_SPACE_RESET:
        rc = space_reset(space);
        fault_point("reset.copied");
        break;
    case OP_SPACE_DESTROY:
        spaces_destroy(&call->memory->spaces, space);
        fault_point("destroy.copied");
        break;
    default:
        rc = ASH_MALFORMED;
    }
    end_telling(space);
    logger_leave(call->memory, entered);
    return rc < 0 ? rc : ANSWER(call, replica_apply, &reply);
}
