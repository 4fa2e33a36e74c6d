/*
 * Requests: decoding, who may ask for what, and answers.
 *
 * A connection of SCOPE_PROCESS may name its own address space only, and create none; its struct
 * space is looked up once, when the connection is bound, and counted as a connection of it.
 *
 * Messages and copies: each request has one reply, sent with one system call. LINE_FETCH sends
 * lines from their frames (no copy, no allocation) and makes a message of its own only where a
 * file's page is not cached; LINE_WRITE copies each line once (space.c). Mapping a file
 * makes one message, see changes.c.
 */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "changes.h"
#include "clock.h"
#include "fault.h"
#include "logger.h"
#include "parts.h"
#include "pressure.h"
#include "replicate.h"
#include "replicator.h"
#include "ship.h"

int call_space(struct call *call, struct asid asid, struct space **out)
{
    if (call_is_process(call)) {
        if (asid.n != net_conn_scope(call->conn)->asid.n)
            return ASH_FORBIDDEN;
        *out = *net_conn_state(call->conn);
        if (*out)
            space_ref(*out);
    } else {
        *out = spaces_find(&call->memory->spaces, asid);
    }
    return *out ? 0 : ASH_NO_SPACE_ID;
}

int call_primary(struct call *call, struct asid asid, struct space **out)
{
    struct space_place place = {.role = ROLE_NONE};
    int rc = call_space(call, asid, out);
    if (rc < 0)
        return rc;
    rc = space_place(*out, &place);
    if (rc == 0 && place.doubtful_ms && !replicator_await_settled(call->memory, *out))
        rc = ASH_MOVED;
    if (rc == 0)
        rc = space_place(*out, &place);
    if (rc == 0 && place.role != ROLE_PRIMARY)
        rc = ASH_MOVED;
    if (rc < 0)
        space_put(*out);
    return rc;
}

/* The request as a change of a space, to be sent on as it came. */
static struct change change_of(struct call *call, struct space *space)
{
    return (struct change){.memory = call->memory,
                           .space = space,
                           .op = call->frame->header.op,
                           .request = call->frame->payload,
                           .request_size = call->frame->header.length};
}

static uint64_t free_bytes(const struct memory *memory)
{
    return (uint64_t)frames_unpromised(&memory->frames) * LINE_SIZE;
}

/* ---- address spaces ---- */

static int space_create(struct call *call)
{
    struct memory *memory = call->memory;
    struct msg_space_create request;
    struct space *space;
    int rc = DECODE(call, space_create, &request);
    if (rc < 0)
        return rc;
    if (call_is_process(call))
        return ASH_FORBIDDEN;
    rc = spaces_create(&memory->spaces, memory->monitor.id, request.run_id, request.replicas,
                       &space);
    if (rc < 0)
        return rc;
    uint64_t others, others_free;
    /* What the process is told now it believes for good, also of who has just come. */
    (void)!peers_refresh(&memory->peers, PEER_FRESH_MS);
    fault_point("create.begin");
    replicate_at_first(memory, space);
    fault_point("create.done");
    peers_totals(&memory->peers, &others, &others_free);
    struct msg_space_create_reply reply = {.asid = space->asid,
                                           .size_bytes = memory->size_bytes + others,
                                           .free_bytes = free_bytes(memory) + others_free};
    space_put(space);
    return ANSWER(call, space_create, &reply);
}

/*
 * Registers what is to be a copy of `space`: under the name that its first part has, where it is a
 * further one. That may have been asked before, of this component or of one that is lost: then it
 * is there.
 */
static int make_child(struct memory *memory, const struct space *space, struct asid asid,
                      struct space **child)
{
    *child = NULL;
    if (space_part(space) == 0 && asid.n == 0)
        return spaces_create(&memory->spaces, memory->monitor.id, space->run_id, space->replicas,
                             child);
    if (space_part(space) == 0 || asid.n % PARTS_MAX != space_part(space) ||
        asid.n == space->asid.n)
        return -EINVAL;
    struct space_birth birth = {.asid = asid,
                                .run_id = space->run_id,
                                .replicas = space->replicas,
                                .role = ROLE_PRIMARY,
                                .epoch = 1};
    int rc = spaces_add(&memory->spaces, &birth, child);
    if (rc == -EEXIST && (*child)->run_id == space->run_id)
        rc = 0;
    if (rc < 0 && *child) {
        space_put(*child);
        *child = NULL;
    }
    return rc;
}

/* Copies a space into its child, which is new, here and at the replica, where the child then has
   its replica too. */
static int fill_child(struct memory *memory, struct space *space, struct space *child)
{
    struct msg_space_clone request = {.asid = space->asid, .child = child->asid};
    struct space_place parent;
    uint8_t body[sizeof request];
    int size = msg_space_clone_encode(&request, body, sizeof body);
    struct change change = {.memory = memory,
                            .space = space,
                            .op = OP_SPACE_CLONE,
                            .request = body,
                            .request_size = (uint32_t)size,
                            .alone = true};
    int rc = change_begin(&change);
    if (rc < 0)
        return rc;
    fault_point("clone.sent");
    rc = change_end(&change, space_clone(space, child));
    if (rc == 0 && space_place(space, &parent) == 0) {
        if (parent.epoch != change.epoch)
            parent.replica.n = 0; /* it was lost meanwhile */
        space_inherit_replica(child, &parent);
    }
    return rc;
}

static int clone_space(struct call *call)
{
    struct memory *memory = call->memory;
    struct msg_space_clone request;
    struct space *space, *child;
    int rc = DECODE(call, space_clone, &request);
    if (rc < 0)
        return rc;
    rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = make_child(memory, space, request.child, &child);
    if (rc == 0) {
        fault_point("clone.begin");
        pthread_mutex_lock(&child->replicating);
        if (space_is_empty(child))
            rc = fill_child(memory, space, child);
        pthread_mutex_unlock(&child->replicating);
        fault_point("clone.done");
        if (rc < 0)
            spaces_destroy(&memory->spaces, child);
    }
    space_put(space);
    if (!child)
        return rc;
    struct msg_space_clone_reply reply = {.child = child->asid};
    space_put(child);
    return rc < 0 ? rc : ANSWER(call, space_clone, &reply);
}

static int destroy_space(struct call *call)
{
    struct msg_space_destroy request;
    struct msg_space_destroy_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_destroy, &request);
    if (rc == 0)
        rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = parts_finish(call->memory, space);
    space_put(space);
    return rc < 0 ? rc : ANSWER(call, space_destroy, &reply);
}

static int reset_space(struct call *call)
{
    struct msg_space_reset request;
    struct msg_space_reset_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_reset, &request);
    if (rc == 0)
        rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    fault_point("reset.begin");
    parts_destroy(call->memory, space);
    fault_point("reset.parts");
    struct change change = change_of(call, space);
    rc = change_begin(&change);
    if (rc == 0) {
        fault_point("reset.sent");
        rc = change_end(&change, space_reset(space));
        fault_point("reset.done");
    }
    space_put(space);
    return rc < 0 ? rc : ANSWER(call, space_reset, &reply);
}

static int stat_space(struct call *call)
{
    struct msg_space_stat request;
    struct msg_space_stat_reply reply;
    struct space *space;
    int rc = DECODE(call, space_stat, &request);
    if (rc == 0)
        rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = space_stat(space, &reply);
    space_put(space);
    uint64_t others, others_free;
    peers_totals(&call->memory->peers, &others, &others_free);
    reply.free_bytes += others_free;
    return rc < 0 ? rc : ANSWER(call, space_stat, &reply);
}

/* ---- their shape ---- */

/* The parts that infos[0..count) mention, each once. Returns how many. */
static uint32_t name_parts(struct memory *memory, const struct vregion_info *infos, uint32_t count,
                           struct part_info parts[PARTS_MAX])
{
    uint32_t named = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t known = 0;
        while (known < named && parts[known].part != infos[i].part)
            known++;
        if (known < named || named == PARTS_MAX)
            continue;
        parts[named] = (struct part_info){.part = infos[i].part, .owner = infos[i].owner};
        peers_name(&memory->peers, infos[i].owner, parts[named++].name);
    }
    return named;
}

static int grant_runs(struct call *call, struct space *space,
                      const struct msg_vregion_grant *request, struct vregion_info *out,
                      struct grant_steps *steps)
{
    struct memory *memory = call->memory;
    int rc = 0;
    if (space_part(space) && call_is_process(call))
        return ASH_FORBIDDEN; /* its home asks */
    for (uint32_t i = 0; i < request->runs_count && rc == 0; i++) {
        const struct vregion_run *run = &request->runs[i];
        rc = space_part(space) ? parts_grant_further(memory, space, run, out)
                               : parts_grant(memory, space, run, out, steps);
        out += run->count;
    }
    return rc;
}

static int grant_vregions(struct call *call)
{
    struct memory *memory = call->memory;
    struct msg_vregion_grant request;
    struct vregion_info infos[GRANT_MAX];
    struct part_info parts[PARTS_MAX];
    uint8_t body[sizeof infos + sizeof parts + 64];
    struct grant_steps steps = {};
    struct space *space;
    uint32_t count = 0;
    int rc = DECODE(call, vregion_grant, &request);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < request.runs_count; i++) {
        if (request.runs[i].count > GRANT_MAX - count)
            return ASH_TOO_BIG;
        count += request.runs[i].count;
    }
    rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    fault_point("grant.begin");
    rc = grant_runs(call, space, &request, infos, &steps);
    fault_point(space_part(space) == 0 ? "grant.done" : "part.granted");
    space_put(space);
    if (rc < 0)
        return rc;
    struct msg_vregion_grant_reply reply = {
        .free_bytes = free_bytes(memory),
        .asked = steps.asked,
        .told = steps.told,
        .parts = parts,
        .parts_count = name_parts(memory, infos, count, parts),
        .vregions = infos,
        .vregions_count = count,
    };
    rc = msg_vregion_grant_reply_encode(&reply, body, sizeof body);
    if (rc >= 0)
        call->sent = net_reply(call->conn, call->frame, 0, body, (size_t)rc, NULL, 0);
    return rc < 0 ? rc : 0;
}

static int apply_ops(struct call *call)
{
    struct msg_space_ops request;
    struct space *space;
    int rc = DECODE(call, space_ops, &request);
    if (rc < 0)
        return rc;
    rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    struct changes changes = CALL_CHANGES(request);
    struct change change = change_of(call, space);
    rc = changes_check(&changes);
    if (rc == 0)
        rc = change_begin(&change);
    if (rc == 0) {
        fault_point("ops.sent");
        rc = change_end(&change, changes_apply(call->memory, space, &changes));
        fault_point("ops.done");
    }
    space_put(space);
    struct msg_space_ops_reply reply = {.free_bytes = free_bytes(call->memory)};
    return rc < 0 ? rc : ANSWER(call, space_ops, &reply);
}

/* ---- lines ---- */

static int send_lines(struct call *call, const struct fetch *fetch)
{
    struct iovec pieces[FETCH_MAX_LINES];
    uint8_t body[FETCH_MAX_LINES + 16];
    struct msg_line_fetch_reply reply = {.kinds = fetch->kinds, .kinds_size = fetch->count};
    int count = fetch_pieces(fetch, &call->memory->frames, pieces, &reply.data_size);
    int rc = msg_line_fetch_reply_encode(&reply, body, sizeof body);
    if (rc < 0)
        return rc;
    call->sent = net_reply(call->conn, call->frame, 0, body, (size_t)rc, pieces, count);
    return 0;
}

/* The changes that a LINE_FETCH brings along, sent on as a list of their own. */
static int apply_fetch_ops(struct call *call, struct space *space,
                           const struct msg_line_fetch *request)
{
    struct changes changes = CALL_CHANGES(*request);
    struct msg_space_ops ops = {.asid = request->asid,
                                .serial = request->serial,
                                .ops = request->ops,
                                .ops_count = request->ops_count,
                                .files = request->files,
                                .files_count = request->files_count,
                                .paths = request->paths,
                                .paths_size = request->paths_size};
    uint8_t body[OPS_MAX * sizeof *ops.ops + OPS_FILES_MAX * (sizeof *ops.files + PATH_LIMIT) + 64];
    int rc = changes_check(&changes);
    if (rc == 0)
        rc = msg_space_ops_encode(&ops, body, sizeof body);
    if (rc < 0)
        return rc;
    struct change change = {.memory = call->memory,
                            .space = space,
                            .op = OP_SPACE_OPS,
                            .request = body,
                            .request_size = (uint32_t)rc};
    rc = change_begin(&change);
    if (rc < 0)
        return rc;
    fault_point("ops.sent");
    rc = change_end(&change, changes_apply(call->memory, space, &changes));
    fault_point("ops.done");
    return rc;
}

static bool too_many_lines(const struct msg_line_fetch *request)
{
    uint64_t lines = request->count;
    for (uint32_t i = 0; i < request->more_count; i++)
        lines += request->more[i].count;
    return lines > FETCH_MAX_LINES;
}

static int fetch_lines(struct call *call)
{
    struct msg_line_fetch request;
    struct space *space;
    struct fetch fetch;
    int rc = DECODE(call, line_fetch, &request);
    if (rc < 0)
        return rc;
    if (too_many_lines(&request))
        return ASH_TOO_BIG;
    rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    if (request.ops_count)
        rc = apply_fetch_ops(call, space, &request);
    if (rc == 0)
        rc = space_fetch(space, request.first, request.count, &fetch);
    if (rc == 0 && fetch.count == request.count)
        space_fetch_more(space, request.more, request.more_count, &fetch);
    space_put(space);
    if (rc < 0)
        return rc;
    rc = fetch_fill(&fetch, &call->memory->cache);
    if (rc == 0)
        rc = send_lines(call, &fetch);
    fetch_release(&fetch, &call->memory->frames);
    return rc == ASH_LOST ? ASH_MOVED : rc; /* it is elsewhere, or nowhere: logger.h */
}

/* Stores the lines here and at the replica; how many, or a negative error. */
static int store_lines(struct call *call, struct space *space, const struct msg_line_write *request)
{
    fault_point("write.begin");
    struct change change = change_of(call, space);
    int rc = change_begin(&change);
    if (rc < 0)
        return rc;
    fault_point("write.sent");
    int stored = space_write(space, request->lines, request->lines_count, request->data);
    fault_point("write.stored");
    rc = change_end(&change, stored);
    fault_point("write.done");
    return rc;
}

static int write_lines(struct call *call)
{
    struct memory *memory = call->memory;
    struct msg_line_write request;
    struct space *space;
    uint64_t deadline_ms = clock_ms() + PRESSURE_WAIT_MS;
    int rc = DECODE(call, line_write, &request);
    if (rc < 0)
        return rc;
    if (request.lines_count > WRITE_MAX_LINES)
        return ASH_TOO_BIG;
    if (request.data_size != request.lines_count * LINE_SIZE)
        return ASH_MALFORMED;
    rc = call_primary(call, request.asid, &space);
    if (rc < 0)
        return rc;
    uint32_t entered = space_is_backed(space) ? logger_enter(memory, request.lines_count) : 0;
    do {
        rc = pressure_await(memory, space, request.lines, request.lines_count, request.data,
                            deadline_ms);
        if (rc < 0)
            break;
        rc = store_lines(call, space, &request);
        /* Another writer may have been faster. */
    } while (rc == ASH_NO_FRAMES && clock_ms() < deadline_ms);
    logger_leave(memory, entered);
    space_put(space);
    struct msg_line_write_reply reply = {.stored = (uint32_t)rc};
    net_answer_later(call->conn); /* the process asks for the next lines meanwhile */
    return rc < 0 ? rc : ANSWER(call, line_write, &reply);
}

/* ---- the table ---- */

enum { FIRST_OP = OP_SPACE_CREATE };

static int (*const handlers[])(struct call *) = {
    [OP_SPACE_CREATE - FIRST_OP] = space_create,
    [OP_SPACE_CLONE - FIRST_OP] = clone_space,
    [OP_SPACE_DESTROY - FIRST_OP] = destroy_space,
    [OP_SPACE_RESET - FIRST_OP] = reset_space,
    [OP_VREGION_GRANT - FIRST_OP] = grant_vregions,
    [OP_SPACE_OPS - FIRST_OP] = apply_ops,
    [OP_LINE_FETCH - FIRST_OP] = fetch_lines,
    [OP_LINE_WRITE - FIRST_OP] = write_lines,
    [OP_SPACE_STAT - FIRST_OP] = stat_space,
    [OP_SPACE_PART - FIRST_OP] = call_space_part,
    [OP_SPACE_LOCATE - FIRST_OP] = call_space_locate,
    [OP_REPLICA_OPEN - FIRST_OP] = call_replica_open,
    [OP_REPLICA_VREGIONS - FIRST_OP] = call_replica_vregions,
    [OP_REPLICA_VMAS - FIRST_OP] = call_replica_vmas,
    [OP_REPLICA_LINES - FIRST_OP] = call_replica_lines,
    [OP_REPLICA_READY - FIRST_OP] = call_replica_ready,
    [OP_REPLICA_DROP - FIRST_OP] = call_replica_drop,
    [OP_REPLICA_YIELD - FIRST_OP] = call_replica_yield,
    [OP_REPLICA_APPLY - FIRST_OP] = call_replica_apply,
    [OP_REPLICA_PROMOTE - FIRST_OP] = call_replica_promote,
};

static int serve_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct call call = {.memory = self, .conn = conn, .frame = frame};
    unsigned index = (unsigned)frame->header.op - FIRST_OP;
    int rc = ASH_UNKNOWN_OP;
    if (index < sizeof handlers / sizeof handlers[0] && handlers[index])
        rc = handlers[index](&call);
    return rc < 0 ? net_refuse(conn, frame, rc) : call.sent;
}

static void serve_opened(void *self, struct net_conn *conn)
{
    struct memory *memory = self;
    const struct msg_bind *scope = net_conn_scope(conn);
    *net_conn_state(conn) = scope->scope == SCOPE_PROCESS
                                ? spaces_bind(&memory->spaces, scope->asid, scope->run_id)
                                : NULL;
}

static void serve_closed(void *self, struct net_conn *conn)
{
    struct memory *memory = self;
    struct space *space = *net_conn_state(conn);
    if (space)
        spaces_unbind(&memory->spaces, space);
}

const struct net_server_ops serve_ops = {
    .request = serve_request,
    .opened = serve_opened,
    .closed = serve_closed,
};
