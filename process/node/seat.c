/* See seat.h. */
#include "seat.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ended.h"
#include "home.h"
#include "host.h"
#include "inotify.h"
#include "limits.h"
#include "locate.h"
#include "members.h"
#include "run.h"
#include "spares.h"
#include "segment.h"
#include "trails.h"
#include "clock.h"
#include "error_text.h"

enum { RETRY_MS = 20 };

/* ---- making and ending ---- */

int seat_open_locked(struct node *node, struct run *run, uint64_t excache_bytes,
                     struct seat_ends *ends)
{
    if (run->ending)
        return ASH_LOST;
    if (run->processes >= RUN_PROCESSES_MAX)
        return -EAGAIN;
    struct process *p = calloc(1, sizeof *p);
    if (!p)
        return -ENOMEM;
    int pair[2] = {-1, -1}, line[2] = {-1, -1};
    int rc = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 || pipe2(line, O_CLOEXEC) < 0)
        rc = -errno;
    if (rc == 0)
        rc = host_speaker_prepare(pair[0]);
    if (rc < 0)
        goto failed;
    *p = (struct process){
        .run = run,
        .seat_fd = pair[0],
        .lifeline_fd = line[1],
        .pidfd = -1,
        .serial = ++node->last_serial,
        .excache_bytes = excache_bytes,
    };
    struct process **last = &node->processes;
    while (*last)
        last = &(*last)->next;
    *last = p;
    run->processes++;
    struct msg_bind bind = {.scope = SCOPE_PROCESS, .run_id = run->id, .writable = ""};
    rc = net_server_adopt(node->seats, pair[0], &bind);
    if (rc < 0) {
        *last = NULL;
        run->processes--;
        goto failed;
    }
    *ends = (struct seat_ends){
        .process = p, .serial = p->serial, .seat_fd = pair[1], .lifeline_fd = line[0]};
    return 0;
failed:
    for (int i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
        if (line[i] >= 0)
            close(line[i]);
    }
    free(p);
    return rc;
}

void seat_ends_close(struct seat_ends *ends)
{
    close(ends->seat_fd);
    close(ends->lifeline_fd);
}

void seat_shut_locked(struct process *p)
{
    if (p->seat_fd >= 0)
        shutdown(p->seat_fd, SHUT_RDWR);
}

bool seat_kill_locked(struct process *p)
{
    bool ran = false;
    if (p->pidfd >= 0) {
        struct pollfd ended = {.fd = p->pidfd, .events = POLLIN};
        ran = poll(&ended, 1, 0) == 0;
        host_pidfd_kill(p->pidfd);
    } else {
        seat_shut_locked(p); /* nobody known to kill: what holds the seat learns it there */
    }
    if (p->lifeline_fd >= 0)
        close(p->lifeline_fd);
    p->lifeline_fd = -1;
    return ran;
}

/* ---- the server's side ---- */

bool seat_opened(struct node *node, struct net_conn *conn)
{
    int fd = net_conn_fd(conn);
    pthread_mutex_lock(&node->lock);
    struct process *p = node->processes;
    while (p && (p->seat_fd != fd || p->conn))
        p = p->next;
    if (p)
        p->conn = conn;
    pthread_mutex_unlock(&node->lock);
    if (!p)
        return false;
    *net_conn_state(conn) = p;
    /* 0 and errors: it said nothing and never will be known; requests are then refused. */
    p->speaker = host_speaker(fd);
    return true;
}

void seat_closed(struct node *node, struct net_conn *conn)
{
    struct process *p = *net_conn_state(conn);
    pthread_mutex_lock(&node->lock);
    p->seat_fd = -1;
    if (p->pidfd >= 0)
        ended_forget(node, p->pidfd);
    pthread_mutex_unlock(&node->lock);

    /* Its memory goes before the process is forgotten: RUN_CLOSE promises that. */
    segments_leave(node, p);
    pthread_mutex_lock(&node->lock);
    struct home *home = p->home;
    p->home = NULL;
    pthread_mutex_unlock(&node->lock);
    if (home) {
        locate_and_destroy(node, home, p->asid);
        home_put(node, home);
    }
    pthread_mutex_lock(&node->lock);
    struct process **at = &node->processes;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    budget_return(&node->budget, p->excache_bytes);
    if (p->lifeline_fd >= 0)
        close(p->lifeline_fd);
    if (p->pidfd >= 0)
        close(p->pidfd);
    run_process_gone_locked(node, p->run);
    pthread_mutex_unlock(&node->lock);
    free(p);
}

/* ---- a process's connections ---- */

/* Tells the run's user that a component cannot be reached, once until it can be again. */
static void note_reach(struct node *node, struct run *run, const struct component_info *to, int rc)
{
    pthread_mutex_lock(&node->lock);
    bool told = run->unreached;
    run->unreached = rc < 0;
    pthread_mutex_unlock(&node->lock);
    if (rc < 0 && !told)
        run_event(node, run, "%s at %s gave no connection: %s", to->name, to->address,
                  error_text(rc));
}

/*
 * A connection in the making, on a process's behalf: bound to one space and the run. What is asked
 * over it is sent at once, and several are made at a time.
 */
struct link {
    const struct component_info *to;
    unsigned timeout_ms;
    struct msg_bind bind;
    struct net_conn *conn;   /* NULL: there was no spare one */
    uint64_t bound, checked; /* the requests that are under way */
    int rc;                  /* whether they are */
};

/* Asked on the very connection of a process: the mComponent knows whose the space is. */
static int check_begin(struct link *l)
{
    struct msg_space_stat request = {.asid = l->bind.asid};
    return l->to->kind != COMPONENT_MEMORY ? 0
                                           : NET_CALL_BEGIN(l->conn, SPACE_STAT, space_stat,
                                                            &request, l->timeout_ms, &l->checked);
}

static int check_end(struct node *node, struct link *l)
{
    struct msg_space_stat_reply reply;
    struct members_guard guard;
    if (l->to->kind != COMPONENT_MEMORY)
        return 0;
    int rc = members_guard(node->members, &guard, l->to->id, net_conn_fd(l->conn));
    if (rc == 0)
        rc = NET_CALL_END(l->conn, SPACE_STAT, space_stat, l->checked, &reply, MEMORY_TIMEOUT_MS);
    members_unguard(node->members, &guard);
    return rc;
}

static void link_begin(struct node *node, struct process *p, struct asid asid, struct asid parent,
                       const struct component_info *to, unsigned timeout_ms, struct link *l)
{
    *l = (struct link){.to = to,
                       .timeout_ms = timeout_ms,
                       .bind = {.scope = SCOPE_PROCESS,
                                .asid = asid,
                                .parent = parent,
                                .run_id = p->run->id,
                                .writable = p->run->writable}};
    l->conn = spares_take(node->spares, to->address);
    if (!l->conn)
        return;
    l->rc = net_bind_begin(l->conn, &l->bind, timeout_ms, &l->bound);
    if (l->rc == 0)
        l->rc = check_begin(l);
}

/* Where there was no spare connection, or only ones to what the component was before. */
static int link_anew(struct node *node, struct link *l)
{
    int rc = net_connect(l->to->address, &node->monitor->key, &l->bind, l->timeout_ms, &l->conn,
                         NULL);
    if (rc < 0)
        l->conn = NULL;
    return rc < 0 ? rc : check_begin(l);
}

/* Returns the descriptor, with no state of this side left in it, or a negative error. */
static int link_end(struct node *node, struct process *p, struct link *l)
{
    int rc = l->rc;
    if (l->conn && rc == 0)
        rc = net_bind_end(l->conn, &l->bind, l->bound, l->timeout_ms);
    if (l->conn && rc == ASH_LOST) {
        net_close(l->conn);
        l->conn = NULL;
        spares_drop(node->spares, l->to->address);
    }
    if (!l->conn)
        rc = link_anew(node, l);
    if (l->to->kind == COMPONENT_STORAGE) /* memory is looked for elsewhere */
        note_reach(node, p->run, l->to, rc);
    if (rc == 0)
        rc = check_end(node, l);
    if (rc < 0) {
        net_close(l->conn);
        return rc;
    }
    return net_release(l->conn);
}

static int connect_as(struct node *node, struct process *p, struct asid asid, struct asid parent,
                      const struct component_info *to, unsigned timeout_ms)
{
    struct link l;
    link_begin(node, p, asid, parent, to, timeout_ms, &l);
    return link_end(node, p, &l);
}

/* The first connections of a process: to its home, and to the sComponent, where it begins with what
   its parent has open. */
static void links_begin(struct node *node, struct process *p, struct asid asid, struct asid parent,
                        const struct component_info *memory, struct link *to_memory,
                        struct link *to_storage)
{
    const struct asid none = {0};
    link_begin(node, p, asid, none, memory, CONNECT_TIMEOUT_MS, to_memory);
    link_begin(node, p, asid, parent, &p->run->storage, CONNECT_TIMEOUT_MS, to_storage);
}

/* Both or none. */
static int both(int out[2])
{
    int rc = out[0] < 0 ? out[0] : out[1] < 0 ? out[1] : 0;
    for (int i = 0; i < 2 && rc < 0; i++)
        if (out[i] >= 0)
            close(out[i]);
    return rc;
}

/* The home as it is now, a counted reference; NULL before the process joined. */
static struct home *home_of(struct node *node, struct process *p)
{
    pthread_mutex_lock(&node->lock);
    struct home *home = p->home ? home_hold(node, p->home) : NULL;
    pthread_mutex_unlock(&node->lock);
    return home;
}

static bool has_home(struct node *node, struct process *p)
{
    pthread_mutex_lock(&node->lock);
    bool has = p->home;
    pthread_mutex_unlock(&node->lock);
    return has;
}

/*
 * Looks for a space of the process and connects it there: *fd; -1 where `was` has it, and that is
 * all that was to be known (`stay`).
 */
static int find_space(struct node *node, struct process *p, struct asid asid, struct component was,
                      bool stay, struct component_info *now, int *fd)
{
    const struct asid none = {0};
    uint64_t deadline_ms = clock_ms() + LOCATE_TIMEOUT_MS;
    for (;;) {
        int rc = locate_space(node, asid, was, deadline_ms, now);
        if (rc < 0)
            return rc;
        stay &= now->id.n == was.n;
        rc = *fd = stay ? -1 : connect_as(node, p, asid, none, now, MEMORY_PATIENCE_MS);
        if (stay || rc >= 0)
            return 0;
        if (clock_ms() >= deadline_ms)
            return rc;
        poll(NULL, 0, RETRY_MS); /* what had it a moment ago may be lost in its turn */
    }
}

/* The space is not at *home, where it was: that becomes where it is now. */
static int find_home(struct node *node, struct process *p, struct asid asid, struct home **home,
                     int *fd)
{
    struct component_info now;
    struct home *there;
    int rc = find_space(node, p, asid, home_info(*home)->id, false, &now, fd);
    if (rc < 0)
        return rc;
    rc = home_get(node, &now, &there);
    if (rc < 0) {
        close(*fd);
        return rc;
    }
    home_put(node, *home);
    *home = there;
    return 0;
}

/*
 * The first connections of a process, to its space, which is at *home or has followed its second
 * copy since, and to the sComponent, where it begins with what its parent has open; both or none.
 */
static int connect_both(struct node *node, struct process *p, struct asid asid, struct asid parent,
                        struct home **home, int out[2])
{
    struct link to_memory, to_storage;
    links_begin(node, p, asid, parent, home_info(*home), &to_memory, &to_storage);
    out[0] = link_end(node, p, &to_memory);
    out[1] = link_end(node, p, &to_storage);
    if (out[0] < 0 && out[0] != ASH_NO_SPACE_ID && out[1] >= 0) { /* else it never was there */
        int rc = find_home(node, p, asid, home, &out[0]);
        if (rc < 0)
            out[0] = rc;
    }
    return both(out);
}

/* ---- requests ---- */

/* The process says who it is: its pid must be what the host says of who wrote to the seat. */
static int identify(struct node *node, struct process *p, uint32_t pid, const char *name)
{
    if (p->speaker <= 0 || (pid_t)pid != p->speaker)
        return ASH_FORBIDDEN;
    int pidfd = p->pidfd < 0 ? host_pidfd(p->speaker) : p->pidfd;
    if (pidfd < 0)
        return pidfd;
    pthread_mutex_lock(&node->lock);
    bool first = p->pidfd < 0;
    p->pid = p->speaker;
    p->pidfd = pidfd;
    snprintf(p->name, sizeof p->name, "%s", name);
    if (first) {
        p->started_ms = host_now_ms();
        ended_watch(node, p);
        if (p->run->ending)
            seat_kill_locked(p);
    }
    pthread_mutex_unlock(&node->lock);
    return 0;
}

static int process_join(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_join m;
    if (msg_process_join_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    if (has_home(node, p))
        return net_refuse(p->conn, frame, -EALREADY);
    int rc = identify(node, p, m.pid, m.name);
    if (rc < 0)
        return net_refuse(p->conn, frame, rc);

    struct home *home;
    struct msg_space_create_reply space;
    rc = run_create_space(node, p->run, &home, &space);
    if (rc < 0)
        return net_refuse(p->conn, frame, rc);
    int fds[3];
    rc = connect_both(node, p, space.asid, p->parent, &home, fds);
    if (rc < 0) {
        locate_and_destroy(node, home, space.asid);
        home_put(node, home);
        return net_refuse(p->conn, frame, rc);
    }
    struct component_info memory = *home_info(home);
    pthread_mutex_lock(&node->lock);
    p->home = home; /* from here on seat_closed() frees the space */
    p->asid = space.asid;
    pthread_mutex_unlock(&node->lock);

    uint8_t body[512];
    struct msg_process_join_reply reply = {
        .asid = space.asid,
        .memory_bytes = space.size_bytes,
        .memory = memory,
        .storage = p->run->storage,
    };
    int size = msg_process_join_reply_encode(&reply, body, sizeof body);
    fds[2] = segments_buckets_fd(node);
    rc = net_reply_fds(p->conn, frame, body, (size_t)size, fds, 3);
    close(fds[0]);
    close(fds[1]);
    return rc;
}

static bool asid_taken_locked(struct node *node, struct asid asid)
{
    for (struct process *p = node->processes; p; p = p->next) {
        if (p->asid.n == asid.n)
            return true;
    }
    return false;
}

/* Makes the child's seat, with its address space where it has one already. */
static int open_child(struct node *node, struct process *p, struct asid asid, struct home *home,
                      struct seat_ends *ends, uint64_t *budget, struct process **out)
{
    pthread_mutex_lock(&node->lock);
    *budget = budget_grant_child(&node->budget, p->run->excache_bytes);
    int rc = *budget == 0                                   ? -EAGAIN
             : asid.n != 0 && asid_taken_locked(node, asid) ? ASH_FORBIDDEN
                                                            : 0;
    if (rc == 0)
        rc = seat_open_locked(node, p->run, *budget, ends);
    if (rc < 0) {
        budget_return(&node->budget, *budget);
    } else {
        struct process *child = ends->process;
        child->parent = p->asid;
        if (asid.n != 0) {
            child->asid = asid;
            child->home = home_hold(node, home);
            *out = child; /* stays while the caller has its seat */
        }
    }
    pthread_mutex_unlock(&node->lock);
    return rc;
}

static int process_fork(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_fork m;
    if (msg_process_fork_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    struct home *home = m.child.n ? home_of(node, p) : NULL;
    if (p->pidfd < 0 || (m.child.n && !home)) {
        if (home)
            home_put(node, home);
        return net_refuse(p->conn, frame, ASH_FORBIDDEN);
    }
    /* The mComponent serves a connection for a space of this very run alone: what it serves is the
       process's to give away. */
    int fds[4];
    int rc = home ? connect_both(node, p, m.child, p->asid, &home, &fds[2]) : 0;
    if (rc < 0) {
        home_put(node, home);
        return net_refuse(p->conn, frame, rc);
    }
    struct seat_ends ends;
    struct msg_process_fork_reply reply;
    struct process *child = NULL;
    rc = open_child(node, p, m.child, home, &ends, &reply.excache_bytes, &child);
    if (rc == 0 && child) {
        rc = segments_fork(node, p, child);
        if (rc < 0)
            seat_ends_close(&ends);
    }
    if (rc < 0) {
        rc = net_refuse(p->conn, frame, rc);
    } else {
        uint8_t body[16];
        int size = msg_process_fork_reply_encode(&reply, body, sizeof body);
        fds[0] = ends.seat_fd;
        fds[1] = ends.lifeline_fd;
        rc = net_reply_fds(p->conn, frame, body, (size_t)size, fds, m.child.n ? 4 : 2);
        seat_ends_close(&ends);
    }
    if (home) {
        close(fds[2]);
        close(fds[3]);
        home_put(node, home);
    }
    return rc;
}

static int process_started(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_started m;
    if (msg_process_started_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    if (p->pidfd >= 0)
        segments_leave(node, p); /* by exec: nothing of the old program is mapped any more */
    int rc = identify(node, p, m.pid, m.name);
    if (rc < 0)
        return net_refuse(p->conn, frame, rc);
    int fd = segments_buckets_fd(node);
    return net_reply_fds(p->conn, frame, NULL, 0, &fd, 1);
}

/* Where a connection of the process goes to: the sComponent of its run, or an mComponent. */
static int find_component(struct node *node, struct process *p, const struct msg_process_connect *m,
                          struct component_info *to)
{
    struct home *home = home_of(node, p);
    if (!home)
        return ASH_FORBIDDEN;
    int rc = 0;
    if (m->id.n == p->run->storage.id.n)
        *to = p->run->storage;
    else if (m->part >= PARTS_MAX)
        rc = ASH_FORBIDDEN;
    else if (members_find(node->members, m->id, HEARTBEAT_MS, to))
        rc = member_is_up(to) ? 0 : ASH_LOST;
    else if (m->id.n == home_info(home)->id.n) /* the global managers are away */
        *to = *home_info(home);
    else
        rc = ASH_FORBIDDEN;
    home_put(node, home);
    return rc;
}

static int process_connect(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_connect m;
    struct component_info to;
    if (msg_process_connect_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    int rc = find_component(node, p, &m, &to);
    if (rc < 0)
        return net_refuse(p->conn, frame, rc);
    const struct asid none = {0};
    bool memory = to.kind == COMPONENT_MEMORY;
    /* An mComponent that does not take it soon is looked after: the process asks where its part is,
       on this same seat. */
    int fd = connect_as(node, p, memory ? asid_part(p->asid, m.part) : p->asid, none, &to,
                        memory ? MEMORY_PATIENCE_MS : CONNECT_TIMEOUT_MS);
    if (fd < 0)
        return net_refuse(p->conn, frame, fd);
    uint8_t body[16];
    struct msg_process_connect_reply reply = {.serial = p->serial};
    int size = msg_process_connect_reply_encode(&reply, body, sizeof body);
    rc = net_reply_fds(p->conn, frame, body, (size_t)size, &fd, 1);
    close(fd);
    return rc;
}

/* What is known of an mComponent that was lost, for who is told of it. */
static void describe(struct node *node, struct home *home, struct component id,
                     struct component_info *out)
{
    if (id.n == home_info(home)->id.n)
        *out = *home_info(home);
    else if (!members_find(node->members, id, HEARTBEAT_MS, out))
        *out = (struct component_info){.id = id, .name = "an mComponent"};
}

static int process_locate(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_locate m;
    struct msg_process_locate_reply reply;
    if (msg_process_locate_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    struct home *home = m.part < PARTS_MAX ? home_of(node, p) : NULL, *there;
    if (!home)
        return net_refuse(p->conn, frame, ASH_FORBIDDEN);
    int fd;
    int rc = find_space(node, p, asid_part(p->asid, m.part), m.was, m.why == LOCATE_SILENT,
                        &reply.memory, &fd);
    if (rc < 0) {
        struct component_info was;
        describe(node, home, m.was, &was);
        run_lost(node, p->run->id, &was);
        home_put(node, home);
        return net_refuse(p->conn, frame, rc);
    }
    if (m.part == 0 && fd >= 0 && home_get(node, &reply.memory, &there) == 0)
        run_move_home(node, p->serial, home, there);
    home_put(node, home);
    uint8_t body[256];
    int size = msg_process_locate_reply_encode(&reply, body, sizeof body);
    rc = net_reply_fds(p->conn, frame, body, (size_t)size, &fd, fd >= 0);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What a program may make its user read: printable, one line. */
static void clean(char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
    }
}

static int process_failed(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_failed m;
    if (msg_process_failed_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    char text[RUN_EVENT_TEXT_MAX];
    snprintf(text, sizeof text, "%s", m.text);
    clean(text);
    run_event(node, p->run, "%s", text);
    struct msg_process_failed_reply reply = {};
    return NET_REPLY(p->conn, frame, process_failed, &reply);
}

static int process_trail(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_trail m;
    if (msg_process_trail_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    uint8_t body[TRAIL_FILES_MAX * sizeof(struct trail_file) +
                 TRAIL_RUNS_MAX * sizeof(struct trail_run) + 16];
    int size = trails_get(node->trails, &m.program, body, sizeof body);
    return size < 0 ? net_refuse(p->conn, frame, size)
                    : net_reply(p->conn, frame, 0, body, (size_t)size, NULL, 0);
}

static int process_trail_left(struct node *node, struct process *p, const struct net_frame *frame)
{
    struct msg_process_trail_left m;
    struct msg_process_trail_left_reply reply = {};
    if (msg_process_trail_left_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(p->conn, frame, ASH_MALFORMED);
    int rc = trails_put(node->trails, &m);
    return rc < 0 ? net_refuse(p->conn, frame, rc)
                  : NET_REPLY(p->conn, frame, process_trail_left, &reply);
}

static int serve(struct node *node, struct process *p, struct net_conn *conn,
                 const struct net_frame *frame)
{
    switch (frame->header.op) {
    case OP_PROCESS_JOIN:
        return process_join(node, p, frame);
    case OP_PROCESS_FORK:
        return process_fork(node, p, frame);
    case OP_PROCESS_STARTED:
        return process_started(node, p, frame);
    case OP_PROCESS_CONNECT:
        return process_connect(node, p, frame);
    case OP_PROCESS_LOCATE:
        return process_locate(node, p, frame);
    case OP_PROCESS_TRAIL:
        return process_trail(node, p, frame);
    case OP_PROCESS_TRAIL_LEFT:
        return process_trail_left(node, p, frame);
    case OP_PROCESS_FAILED:
        return process_failed(node, p, frame);
    case OP_SEGMENT_OPEN:
    case OP_SEGMENT_ATTACH:
    case OP_SEGMENT_DETACH:
    case OP_SEGMENT_FORKED:
    case OP_SEGMENT_FETCH:
    case OP_SEGMENT_SYNC:
    case OP_SEGMENT_CHANGE:
    case OP_SEGMENT_PULL:
    case OP_SEGMENT_PUSH:
    case OP_SEGMENT_HOST_CALL:
    case OP_SEGMENT_REMOVE:
    case OP_SHM_GET:
    case OP_SHM_CONTROL:
        return segments_request(node, p, conn, frame);
    case OP_INOTIFY_OPEN:
    case OP_INOTIFY_ADD:
    case OP_INOTIFY_REMOVE:
    case OP_INOTIFY_READ:
        return inotify_request(node, p, conn, frame);
    default:
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    }
}

int seat_request(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    int rc = serve(node, *net_conn_state(conn), conn, frame);
    spares_refill(node->spares); /* the process has its answer, and does not wait for that */
    return rc;
}
