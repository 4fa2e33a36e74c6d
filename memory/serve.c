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

#include "changes.h"

/* A request being answered. A handler returns a negative status to refuse it with; else it has
   answered, with `sent` what the answer's sending returned. */
struct call {
    struct memory *memory;
    struct net_conn *conn;
    const struct net_frame *frame;
    int sent;
};

#define DECODE(call, name, request)                                                                \
    msg_##name##_decode((request), (call)->frame->payload, (call)->frame->header.length)
#define ANSWER(call, name, reply)                                                                  \
    ((call)->sent = NET_REPLY((call)->conn, (call)->frame, name, (reply)), 0)

static bool is_process(struct net_conn *conn)
{
    return net_conn_scope(conn)->scope == SCOPE_PROCESS;
}

/* Finds the space that a request names, with a reference, if the connection may name it. */
static int find_space(struct call *call, struct asid asid, struct space **out)
{
    if (is_process(call->conn)) {
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

static uint64_t free_bytes(const struct memory *memory)
{
    return (uint64_t)frames_available(&memory->frames) * LINE_SIZE;
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
    if (is_process(call->conn))
        return ASH_FORBIDDEN;
    rc = spaces_create(&memory->spaces, memory->monitor.id, request.run_id, &space);
    if (rc < 0)
        return rc;
    struct msg_space_create_reply reply = {
        .asid = space->asid, .size_bytes = memory->size_bytes, .free_bytes = free_bytes(memory)};
    space_put(space);
    return ANSWER(call, space_create, &reply);
}

static int clone_space(struct call *call)
{
    struct memory *memory = call->memory;
    struct msg_space_clone request;
    struct space *space, *child;
    int rc = DECODE(call, space_clone, &request);
    if (rc < 0)
        return rc;
    rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = spaces_create(&memory->spaces, memory->monitor.id, space->run_id, &child);
    if (rc == 0) {
        rc = space_clone(space, child);
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
        rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    spaces_destroy(&call->memory->spaces, space);
    space_put(space);
    return ANSWER(call, space_destroy, &reply);
}

static int reset_space(struct call *call)
{
    struct msg_space_reset request;
    struct msg_space_reset_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_reset, &request);
    if (rc == 0)
        rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = space_reset(space);
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
        rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = space_stat(space, &reply);
    space_put(space);
    return rc < 0 ? rc : ANSWER(call, space_stat, &reply);
}

/* ---- their shape ---- */

static int grant_vregions(struct call *call)
{
    struct msg_vregion_grant request;
    struct vregion_info infos[GRANT_MAX];
    uint8_t body[sizeof infos + 64];
    struct space *space;
    int rc = DECODE(call, vregion_grant, &request);
    if (rc < 0)
        return rc;
    if (request.count > GRANT_MAX)
        return ASH_TOO_BIG;
    rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    /* This home owns every vRegion of its processes. */
    rc = space_grant(space, request.first, request.count, call->memory->monitor.id, infos);
    space_put(space);
    if (rc < 0)
        return rc;
    struct msg_vregion_grant_reply reply = {
        .free_bytes = free_bytes(call->memory), .vregions = infos, .vregions_count = request.count};
    rc = msg_vregion_grant_reply_encode(&reply, body, sizeof body);
    if (rc >= 0)
        call->sent = net_reply(call->conn, call->frame, 0, body, (size_t)rc, NULL, 0);
    return rc < 0 ? rc : 0;
}

#define CHANGES(request)                                                                           \
    {                                                                                              \
        .ops = (request).ops, .ops_count = (request).ops_count, .files = (request).files,          \
        .files_count = (request).files_count, .paths = (request).paths,                            \
        .paths_size = (request).paths_size                                                         \
    }

static int apply_ops(struct call *call)
{
    struct msg_space_ops request;
    struct space *space;
    int rc = DECODE(call, space_ops, &request);
    if (rc < 0)
        return rc;
    rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    struct changes changes = CHANGES(request);
    rc = changes_apply(call->memory, space, &changes);
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

static int fetch_lines(struct call *call)
{
    struct msg_line_fetch request;
    struct space *space;
    struct fetch fetch;
    int rc = DECODE(call, line_fetch, &request);
    if (rc < 0)
        return rc;
    if (request.count > FETCH_MAX_LINES)
        return ASH_TOO_BIG;
    rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    struct changes changes = CHANGES(request);
    if (changes.ops_count)
        rc = changes_apply(call->memory, space, &changes);
    if (rc == 0)
        rc = space_fetch(space, request.first, request.count, &fetch);
    space_put(space);
    if (rc < 0)
        return rc;
    rc = fetch_fill(&fetch, &call->memory->cache);
    if (rc == 0)
        rc = send_lines(call, &fetch);
    fetch_release(&fetch, &call->memory->frames);
    return rc;
}

static int write_lines(struct call *call)
{
    struct msg_line_write request;
    struct space *space;
    int rc = DECODE(call, line_write, &request);
    if (rc < 0)
        return rc;
    if (request.lines_count > WRITE_MAX_LINES)
        return ASH_TOO_BIG;
    if (request.data_size != request.lines_count * LINE_SIZE)
        return ASH_MALFORMED;
    rc = find_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = space_write(space, request.lines, request.lines_count, request.data);
    space_put(space);
    struct msg_line_write_reply reply = {.stored = (uint32_t)rc};
    return rc < 0 ? rc : ANSWER(call, line_write, &reply);
}

/* ---- the table ---- */

enum { FIRST_OP = OP_SPACE_CREATE };

static int (*const handlers[])(struct call *) = {
    [OP_SPACE_CREATE - FIRST_OP] = space_create,    [OP_SPACE_CLONE - FIRST_OP] = clone_space,
    [OP_SPACE_DESTROY - FIRST_OP] = destroy_space,  [OP_SPACE_RESET - FIRST_OP] = reset_space,
    [OP_VREGION_GRANT - FIRST_OP] = grant_vregions, [OP_SPACE_OPS - FIRST_OP] = apply_ops,
    [OP_LINE_FETCH - FIRST_OP] = fetch_lines,       [OP_LINE_WRITE - FIRST_OP] = write_lines,
    [OP_SPACE_STAT - FIRST_OP] = stat_space,
};

static int serve_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct call call = {.memory = self, .conn = conn, .frame = frame};
    unsigned index = (unsigned)frame->header.op - FIRST_OP;
    int rc = ASH_UNKNOWN_OP;
    if (index < sizeof handlers / sizeof handlers[0])
        rc = handlers[index](&call);
    return rc < 0 ? net_refuse(conn, frame, rc) : call.sent;
}

static void serve_opened(void *self, struct net_conn *conn)
{
    struct memory *memory = self;
    const struct msg_bind *scope = net_conn_scope(conn);
    *net_conn_state(conn) =
        is_process(conn) ? spaces_bind(&memory->spaces, scope->asid, scope->run_id) : NULL;
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
