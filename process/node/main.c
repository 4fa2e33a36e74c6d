/*
 * ashlar-process: the node part of the process monitor.
 *
 * It listens twice. On TCP, as every monitor: PING, PROCESS_LIST, PROCESS_KNOWN and RUN_EXCEEDS. On
 * the UNIX socket NAME.sock of the rack's directory: the ashlar command (RUN_OPEN, RUN_SEAT,
 * RUN_CLOSE), which must be the same user's and hold the cluster key; the seats of the processes
 * are served by this server too.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deadline.h"
#include "ended.h"
#include "home.h"
#include "host.h"
#include "inotify.h"
#include "members.h"
#include "node.h"
#include "run.h"
#include "seat.h"
#include "spares.h"
#include "trails.h"
#include "segment.h"
#include "error_text.h"
#include "size.h"

enum {
    LIST_MAX = FRAME_MAX / sizeof(struct process_info) - 1,
    RUN_ID_COUNTER = 0xffffff, /* the bits of a run id that count; the others are random */
};

/* ---- the UNIX socket ---- */

static bool same_user(struct net_conn *conn)
{
    struct ucred who;
    socklen_t size = sizeof who;
    return getsockopt(net_conn_fd(conn), SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
           who.uid == geteuid();
}

/* A connection's state: its process where it is a seat, the node itself where it is a command. */
static void local_opened(void *self, struct net_conn *conn)
{
    struct node *node = self;
    if (net_conn_scope(conn)->scope == SCOPE_COMPONENT && same_user(conn))
        *net_conn_state(conn) = node;
    else if (net_conn_scope(conn)->scope != SCOPE_PROCESS || !seat_opened(node, conn))
        monitor_log("refused a connection that is neither a command's nor a seat");
}

static int local_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct node *node = self;
    void *state = *net_conn_state(conn);
    if (!state)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    if (state != node)
        return seat_request(node, conn, frame);
    switch (frame->header.op) {
    case OP_RUN_OPEN:
        return run_open(node, conn, frame);
    case OP_RUN_SEAT:
        return run_seat(node, conn, frame);
    case OP_RUN_CLOSE:
        return run_close(node, conn, frame);
    default:
        return net_refuse(conn, frame, ASH_UNKNOWN_OP);
    }
}

static void local_closed(void *self, struct net_conn *conn)
{
    void *state = *net_conn_state(conn);
    if (state == self)
        run_owner_gone(self, conn);
    else if (state)
        seat_closed(self, conn);
}

static const struct net_server_ops local_ops = {
    .request = local_request,
    .opened = local_opened,
    .closed = local_closed,
    .descriptors = true,
};

static int listen_locally(struct node *node)
{
    const struct monitor *monitor = node->monitor;
    char address[ADDRESS_LIMIT];
    /* By way of a descriptor: the path of a rack's directory may be longer than a socket's may. */
    int dir_fd = open(monitor->rack_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    snprintf(address, sizeof address, "unix:/proc/self/fd/%d/%s.sock", dir_fd, monitor->name);
    int rc = net_server_start(address, &monitor->key, monitor->id, &local_ops, node, &node->seats);
    if (rc == 0 && chmod(address + strlen("unix:"), 0600) < 0)
        rc = -errno;
    return rc; /* the descriptor stays: the server removes the socket by it when it stops */
}

/* ---- TCP ---- */

static int process_list(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct process_info *list = calloc(LIST_MAX, sizeof *list);
    uint8_t *body = malloc(FRAME_MAX);
    struct msg_process_list_reply reply = {.processes = list};
    int rc = -ENOMEM;
    if (!list || !body)
        goto out;
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p && reply.processes_count < LIST_MAX; p = p->next) {
        if (p->pid == 0)
            continue;
        struct process_info *info = &list[reply.processes_count++];
        *info = (struct process_info){
            .pid = (uint32_t)p->pid,
            .asid = p->asid,
            .home = p->home ? home_info(p->home)->id : (struct component){0},
            .run_id = p->run->id,
            .excache_bytes = p->excache_bytes,
            .started_ms = p->started_ms,
        };
        memcpy(info->name, p->name, sizeof info->name);
    }
    pthread_mutex_unlock(&node->lock);
    for (uint32_t i = 0; i < reply.processes_count; i++)
        list[i].threads = host_threads((pid_t)list[i].pid);
    rc = msg_process_list_reply_encode(&reply, body, FRAME_MAX);
    if (rc >= 0)
        rc = net_reply(conn, frame, 0, body, (size_t)rc, NULL, 0);
out:
    free(list);
    free(body);
    return rc;
}

static int process_known(struct node *node, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_process_known m;
    struct msg_process_known_reply reply = {};
    if (msg_process_known_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    bool known = run_has_space(node, m.asid) || segments_have_space(node, m.asid);
    return known ? NET_REPLY(conn, frame, process_known, &reply) : net_refuse(conn, frame, -ENOENT);
}

static int tcp_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_process_list m;
    if (net_conn_scope(conn)->scope != SCOPE_COMPONENT)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    if (frame->header.op == OP_RUN_EXCEEDS)
        return run_exceeds(self, conn, frame);
    if (frame->header.op == OP_PROCESS_KNOWN)
        return process_known(self, conn, frame);
    if (frame->header.op != OP_PROCESS_LIST)
        return net_refuse(conn, frame, ASH_UNKNOWN_OP);
    if (msg_process_list_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    return process_list(self, conn, frame);
}

static const struct net_server_ops tcp_ops = {.request = tcp_request};

/* ---- the monitor ---- */

static void usage(void *self, struct msg_ping_reply *reply)
{
    struct node *node = self;
    pthread_mutex_lock(&node->lock);
    reply->size_bytes = node->budget.total_bytes;
    reply->used_bytes = node->budget.used_bytes;
    pthread_mutex_unlock(&node->lock);
}

static void report(void *self, struct component_info *info)
{
    struct node *node = self;
    uint32_t threads = 0, processes = 0;
    pid_t pids[RUN_PROCESSES_MAX];
    pthread_mutex_lock(&node->lock);
    info->size_bytes = node->budget.total_bytes;
    info->used_bytes = node->budget.used_bytes;
    for (struct process *p = node->processes; p && processes < RUN_PROCESSES_MAX; p = p->next) {
        if (p->pid)
            pids[processes++] = p->pid;
    }
    pthread_mutex_unlock(&node->lock);
    for (uint32_t i = 0; i < processes; i++)
        threads += host_threads(pids[i]);
    info->load = threads;
    info->processes = processes;
    /* The server does not exist before the first report. */
    net_server_set_usage(node->monitor->server, usage);
}

static void members(void *self, const struct component_info *list, size_t count)
{
    members_told(((struct node *)self)->members, list, count);
}

static int start(void *self, struct monitor *monitor)
{
    struct node *node = self;
    node->monitor = monitor;
    deadline_cond_init(&node->emptied);
    pthread_mutex_init(&node->lock, NULL);
    node->budget.total_bytes = node->asked_total_bytes ?: host_memory_bytes() / 4;
    /* Run ids are no other node's, and do not come again after a restart: a home may still know
       the spaces of an older run. */
    if (getrandom(&node->last_run_id, sizeof node->last_run_id, 0) != sizeof node->last_run_id)
        return -EIO;
    node->last_run_id &= ~(uint64_t)RUN_ID_COUNTER;
    node->trails = trails_new();
    int rc = node->trails ? members_start(monitor, &node->members) : -ENOMEM;
    if (rc == 0)
        rc = homes_init(node);
    if (rc == 0)
        rc = segments_start(node);
    if (rc == 0)
        rc = ended_start(node);
    if (rc == 0)
        rc = spares_start(&monitor->key, &node->spares);
    if (rc == 0)
        rc = inotify_start(node);
    if (rc == 0)
        rc = listen_locally(node);
    if (rc < 0)
        monitor_log("cannot serve %s/%s.sock: %s", monitor->rack_dir, monitor->name,
                    error_text(rc));
    return rc;
}

static void stop(void *self)
{
    struct node *node = self;
    run_end_all(node);
    net_server_stop(node->seats);
    ended_stop(node);
    inotify_stop(node);
    segments_stop(node);
    homes_stop(node);
    spares_stop(node->spares);
    members_stop(node->members);
    trails_free(node->trails);
}

static int set_excache_total(void *self, const char *value)
{
    struct node *node = self;
    return size_parse(value, &node->asked_total_bytes);
}

static const struct monitor_option options[] = {
    {"excache-total", "SIZE",
     "ExCache of all processes together (default: a quarter of the memory)", set_excache_total},
    {},
};

int main(int argc, char **argv)
{
    static struct node node;
    struct monitor monitor = {
        .program = "ashlar-process",
        .summary = "the process monitor of one pComponent",
        .kind = COMPONENT_PROCESS,
        .options = options,
        .ops = &tcp_ops,
        .self = &node,
        .start = start,
        .report = report,
        .members = members,
        .stop = stop,
    };
    return monitor_main(&monitor, argc, argv);
}
