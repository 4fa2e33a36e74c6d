/*
 * A memory monitor for the test of the node: it keeps no memory, only which spaces it has and in
 * which role. Spaces come by SPACE_CREATE, or by REPLICA_OPEN, as second copies of another's;
 * REPLICA_PROMOTE and SPACE_LOCATE make a copy the primary, SPACE_DESTROY and REPLICA_DROP take a
 * space away. A space that was promoted elsewhere answers ASH_MOVED from SPACE_RESET on.
 */
#include "monitor.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { SPACES_MAX = 64 };

struct space {
    struct asid asid; /* 0: free */
    uint8_t role;     /* ROLE_NONE: it moved */
    struct component primary;
    uint32_t epoch;
};

static struct {
    struct monitor *monitor;
    pthread_mutex_t lock; /* of what follows */
    uint64_t made;
    uint32_t replicas; /* of the last SPACE_CREATE */
    struct space spaces[SPACES_MAX];
} self = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct space *find(struct asid asid)
{
    for (int i = 0; i < SPACES_MAX; i++)
        if (self.spaces[i].asid.n == asid.n)
            return &self.spaces[i];
    return NULL;
}

static struct space *find_or_make(struct asid asid)
{
    struct space *space = find(asid);
    if (!space)
        space = find((struct asid){0});
    if (space)
        space->asid = asid;
    return space;
}

/* 0 where it serves the space. */
static int status_of(struct asid asid)
{
    const struct space *space = find(asid);
    return !space                        ? ASH_NO_SPACE_ID
           : space->role == ROLE_PRIMARY ? 0
           : space->role == ROLE_REPLICA ? ASH_NO_SPACE_ID
                                         : ASH_MOVED;
}

#define DECODE(name, to) (msg_##name##_decode((to), frame->payload, frame->header.length) < 0)
#define EMPTY_REPLY      net_reply(conn, frame, 0, NULL, 0, NULL, 0)

static int create(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_space_create m;
    if (DECODE(space_create, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct asid asid = {(uint64_t)self.monitor->id.n << 48 | ++self.made * PARTS_MAX};
    *find_or_make(asid) = (struct space){.asid = asid, .role = ROLE_PRIMARY, .epoch = 1};
    self.replicas = m.replicas;
    struct msg_space_create_reply reply = {.asid = asid, .size_bytes = 64 << 20};
    return NET_REPLY(conn, frame, space_create, &reply);
}

static int stat_space(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_space_stat m;
    if (DECODE(space_stat, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    const struct msg_bind *bind = net_conn_scope(conn);
    int rc = bind->scope == SCOPE_PROCESS && bind->asid.n != m.asid.n ? ASH_FORBIDDEN
                                                                      : status_of(m.asid);
    struct msg_space_stat_reply reply = {.frames = self.replicas};
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, space_stat, &reply);
}

static int destroy(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_space_destroy m;
    if (DECODE(space_destroy, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = status_of(m.asid);
    if (rc == 0)
        *find(m.asid) = (struct space){0};
    return rc < 0 ? net_refuse(conn, frame, rc) : EMPTY_REPLY;
}

static int move_away(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_space_reset m;
    if (DECODE(space_reset, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    if (find(m.asid))
        find(m.asid)->role = ROLE_NONE;
    return EMPTY_REPLY;
}

static int open_replica(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_replica_open m;
    if (DECODE(replica_open, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    *find_or_make(m.asid) = (struct space){
        .asid = m.asid, .role = ROLE_REPLICA, .primary = m.primary, .epoch = m.epoch};
    struct msg_replica_open_reply reply = {.pid = (uint32_t)getpid()};
    return NET_REPLY(conn, frame, replica_open, &reply);
}

static void promote(struct space *space)
{
    space->role = ROLE_PRIMARY;
    space->epoch++;
}

static int promote_replica(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_replica_promote m;
    if (DECODE(replica_promote, &m) || !find(m.asid))
        return net_refuse(conn, frame, ASH_MALFORMED);
    promote(find(m.asid));
    return EMPTY_REPLY;
}

static int locate(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_space_locate m;
    if (DECODE(space_locate, &m))
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct space *space = find(m.asid);
    struct msg_space_locate_reply reply = {.role = ROLE_NONE};
    if (space) {
        if (space->role == ROLE_REPLICA && space->primary.n == m.lost.n)
            promote(space);
        reply = (struct msg_space_locate_reply){
            .role = space->role, .primary = space->primary, .epoch = space->epoch};
    }
    return NET_REPLY(conn, frame, space_locate, &reply);
}

static int request(void *nobody, struct net_conn *conn, const struct net_frame *frame)
{
    int (*handler)(struct net_conn *, const struct net_frame *) =
        frame->header.op == OP_SPACE_CREATE      ? create
        : frame->header.op == OP_SPACE_STAT      ? stat_space
        : frame->header.op == OP_SPACE_DESTROY   ? destroy
        : frame->header.op == OP_SPACE_RESET     ? move_away
        : frame->header.op == OP_REPLICA_OPEN    ? open_replica
        : frame->header.op == OP_REPLICA_PROMOTE ? promote_replica
        : frame->header.op == OP_SPACE_LOCATE    ? locate
                                                 : NULL;
    if (!handler)
        return net_refuse(conn, frame, ASH_UNKNOWN_OP);
    pthread_mutex_lock(&self.lock);
    int rc = handler(conn, frame);
    pthread_mutex_unlock(&self.lock);
    return rc;
}

static void report(void *nobody, struct component_info *info)
{
    info->size_bytes = 64 << 20;
}

/* As those of the real one: what others have taken over is given up. */
static void fenced(void *nobody)
{
    pthread_mutex_lock(&self.lock);
    memset(self.spaces, 0, sizeof self.spaces);
    pthread_mutex_unlock(&self.lock);
}

int main(int argc, char **argv)
{
    static const struct net_server_ops ops = {.request = request};
    struct monitor monitor = {.program = "test-memory",
                              .summary = "A memory monitor without memory.",
                              .kind = COMPONENT_MEMORY,
                              .ops = &ops,
                              .report = report,
                              .fenced = fenced};
    self.monitor = &monitor;
    return monitor_main(&monitor, argc, argv);
}
