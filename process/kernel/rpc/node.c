/*
 * The process's seat at its node; see node.h. A UNIX socket, so that connections can be handed
 * over.
 */
#include <linux/fcntl.h>
#include <linux/socket.h>
#include <linux/time_types.h>

#include "../host/host.h"
#include "errors.h"
#include "node.h"
#include "wire.h"

#define SOL_SOCKET       1
#define SCM_RIGHTS       1
#define MSG_NOSIGNAL     0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define SIGKILL          9
#define O_ASYNC          020000

struct fd_numbers fd_numbers;

struct io_piece {
    void *base;
    size_t size;
};

struct message {
    void *name;
    uint32_t name_size;
    struct io_piece *pieces;
    size_t piece_count;
    void *control;
    size_t control_size;
    uint32_t flags;
};

struct control {
    size_t size;
    int level, type;
    int fds[NODE_FDS_MAX];
};

int fd_hide(int fd)
{
    long high = host_call(__NR_fcntl, fd, F_DUPFD_CLOEXEC, fd_numbers.hidden);
    if (high >= 0 && !fd_is_hidden((int)high))
        high = -EMFILE;
    if (high < 0)
        host_die("no descriptor left for the monitor (error %ld)", -high);
    host_call(__NR_close, fd);
    return (int)high;
}

/* Sends a message, header and payload, and descriptors with it. */
static bool send_all(int fd, struct io_piece pieces[2], const struct node_fds *sent)
{
    struct control c = {.size = offsetof(struct control, fds) + (size_t)sent->count * sizeof(int),
                        .level = SOL_SOCKET,
                        .type = SCM_RIGHTS};
    struct message m = {.pieces = pieces, .piece_count = 2};
    if (sent->count) {
        memcpy(c.fds, sent->fds, (size_t)sent->count * sizeof(int));
        m.control = &c;
        m.control_size = (c.size + 7) & ~(size_t)7;
    }
    while (m.piece_count) {
        long n = host_call(__NR_sendmsg, fd, &m, MSG_NOSIGNAL);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            return false;
        m.control = NULL;
        m.control_size = 0;
        while (m.piece_count && (size_t)n >= m.pieces->size) {
            n -= (long)m.pieces->size;
            m.pieces++;
            m.piece_count--;
        }
        if (m.piece_count) {
            m.pieces->base = (uint8_t *)m.pieces->base + n;
            m.pieces->size -= (size_t)n;
        }
    }
    return true;
}

/* Receives exactly size bytes, and any descriptors that come with them. */
static bool receive_all(int fd, void *data, size_t size, int *fds, int *fd_count)
{
    uint8_t *at = data;
    while (size) {
        struct control c = {0};
        struct io_piece piece = {at, size};
        struct message m = {
            .pieces = &piece, .piece_count = 1, .control = &c, .control_size = sizeof c};
        long n = host_call(__NR_recvmsg, fd, &m, MSG_CMSG_CLOEXEC);
        if (n == -EINTR || n == -EAGAIN)
            continue;
        if (n <= 0)
            return false;
        if (m.control_size && c.level == SOL_SOCKET && c.type == SCM_RIGHTS) {
            int count = (int)((c.size - offsetof(struct control, fds)) / sizeof(int));
            for (int i = 0; i < count; i++) {
                if (*fd_count < NODE_FDS_MAX)
                    fds[(*fd_count)++] = fd_hide(c.fds[i]);
                else
                    host_call(__NR_close, c.fds[i]);
            }
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

/* Sends a request. Returns its serial number, or a negative error. */
static long send_request(int fd, uint16_t op, const uint8_t *payload, size_t size,
                         const struct node_fds *sent)
{
    static uint64_t serials; /* of all seats: a vfork child has one of its own */
    uint64_t serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct wire_header h = {
        .version = PROTOCOL_VERSION, .op = op, .length = (uint32_t)size, .request_id = serial};

    h.crc = wire_crc(wire_header_crc(&h), payload, size);
    wire_header_encode(&h, bytes);
    struct io_piece pieces[2] = {{bytes, sizeof bytes}, {(void *)payload, size}};
    return send_all(fd, pieces, sent) ? (long)serial : ASH_LOST;
}

static long receive_reply(int fd, uint64_t serial, uint8_t *payload, size_t room, int *fds,
                          int *fd_count)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    struct wire_header h;

    *fd_count = 0;
    if (!receive_all(fd, bytes, sizeof bytes, fds, fd_count))
        return ASH_LOST;
    int rc = wire_header_decode(&h, bytes, room);
    if (rc < 0)
        return rc;
    if (!receive_all(fd, payload, h.length, fds, fd_count))
        return ASH_LOST;
    if (!wire_crc_ok(&h, payload))
        return ASH_CORRUPT;
    if (h.request_id != serial)
        return ASH_MALFORMED;
    return h.status < 0 ? h.status : (long)h.length;
}

static void close_all(int *fds, int *count)
{
    for (; *count > 0; (*count)--)
        host_call(__NR_close, fds[*count - 1]);
}

/* The answer to what was posted, where another request came before it was collected. Of one
   process: vfork children post nothing. */
static bool early_here;
static SPARSE struct {
    long rc;
    int fds[NODE_FDS_MAX], fd_count;
    uint8_t payload[NODE_POSTED_MAX];
} early;

/* The node answers in order. node_lock is held. */
static void receive_early(struct process *p)
{
    if (!p->node_posted)
        return;
    early.rc = receive_reply(p->node_fd, p->node_posted, early.payload, sizeof early.payload,
                             early.fds, &early.fd_count);
    early_here = true;
    p->node_posted = 0;
}

int node_post(struct process *p, uint16_t op, const uint8_t *payload, size_t size)
{
    static const struct node_fds none;
    mutex_lock(&p->node_lock);
    long serial = send_request(p->node_fd, op, payload, size, &none);
    p->node_posted = serial < 0 ? 0 : (uint64_t)serial;
    mutex_unlock(&p->node_lock);
    return serial < 0 ? (int)serial : 0;
}

long node_collect(struct process *p, uint8_t *payload, size_t room, int *fds, int *fd_count)
{
    long rc = ASH_LOST;
    mutex_lock(&p->node_lock);
    *fd_count = 0;
    if (p->node_posted) {
        rc = receive_reply(p->node_fd, p->node_posted, payload, room, fds, fd_count);
    } else if (early_here) {
        rc = early.rc > (long)room ? ASH_TOO_BIG : early.rc;
        if (rc > 0)
            memcpy(payload, early.payload, (size_t)rc);
        memcpy(fds, early.fds, sizeof early.fds);
        *fd_count = early.fd_count;
    }
    p->node_posted = 0;
    early_here = false;
    mutex_unlock(&p->node_lock);
    if (rc < 0)
        close_all(fds, fd_count);
    return rc;
}

long node_call_sending(struct process *p, uint16_t op, uint8_t *payload, size_t size, size_t room,
                       const struct node_fds *sent, int *fds, int *fd_count)
{
    mutex_lock(&p->node_lock);
    *fd_count = 0;
    receive_early(p);
    long rc = send_request(p->node_fd, op, payload, size, sent);
    if (rc >= 0)
        rc = receive_reply(p->node_fd, (uint64_t)rc, payload, room, fds, fd_count);
    mutex_unlock(&p->node_lock);
    if (rc < 0)
        close_all(fds, fd_count);
    return rc;
}

long node_call(struct process *p, uint16_t op, uint8_t *payload, size_t size, size_t room, int *fds,
               int *fd_count)
{
    static const struct node_fds none;
    return node_call_sending(p, op, payload, size, room, &none, fds, fd_count);
}

/* node_call that must bring exactly `wanted` descriptors. */
static long call_for_fds(struct process *p, uint16_t op, uint8_t *payload, int size, size_t room,
                         int *fds, int wanted)
{
    int count = 0;
    if (size < 0)
        return size;
    long rc = node_call(p, op, payload, (size_t)size, room, fds, &count);
    if (rc >= 0 && count != wanted) {
        close_all(fds, &count);
        return ASH_MALFORMED;
    }
    return rc;
}

int node_join(struct process *p, struct asid *asid, uint64_t *memory_bytes, int *memory_fd,
              int *storage_fd, int *segments_fd)
{
    uint8_t body[512];
    int fds[NODE_FDS_MAX];
    struct msg_process_join request = {.pid = (uint32_t)p->pid};
    struct msg_process_join_reply reply;

    text_copy(request.name, sizeof request.name, p->name);
    long rc =
        call_for_fds(p, OP_PROCESS_JOIN, body, msg_process_join_encode(&request, body, sizeof body),
                     sizeof body, fds, 3);
    if (rc >= 0)
        rc = msg_process_join_reply_decode(&reply, body, (size_t)rc);
    if (rc < 0)
        return (int)rc;
    *asid = reply.asid;
    *memory_bytes = reply.memory_bytes;
    p->memory = reply.memory;
    p->storage = reply.storage;
    *memory_fd = fds[0];
    *storage_fd = fds[1];
    *segments_fd = fds[2];
    return 0;
}

int node_fork(struct process *p, struct asid child, struct node_child *out)
{
    uint8_t body[64];
    int fds[NODE_FDS_MAX];
    struct msg_process_fork request = {.child = child};
    long rc =
        call_for_fds(p, OP_PROCESS_FORK, body, msg_process_fork_encode(&request, body, sizeof body),
                     sizeof body, fds, child.n ? 4 : 2);
    if (rc < 0)
        return (int)rc;
    *out = (struct node_child){fds[0], fds[1], child.n ? fds[2] : -1, child.n ? fds[3] : -1};
    return 0;
}

int node_started(struct process *p)
{
    uint8_t body[64];
    struct msg_process_started request = {.pid = (uint32_t)p->pid};
    text_copy(request.name, sizeof request.name, p->name);
    int size = msg_process_started_encode(&request, body, sizeof body);
    return size < 0 ? size : node_post(p, OP_PROCESS_STARTED, body, (size_t)size);
}

int node_started_end(struct process *p)
{
    uint8_t body[64];
    int fds[NODE_FDS_MAX], count;
    long rc = node_collect(p, body, sizeof body, fds, &count);
    if (rc < 0 || count == 1)
        return rc < 0 ? (int)rc : fds[0];
    close_all(fds, &count);
    return ASH_MALFORMED;
}

int node_connect(struct process *p, struct component id, uint32_t part)
{
    uint8_t body[64];
    int fds[NODE_FDS_MAX];
    struct msg_process_connect request = {.id = id, .part = (uint16_t)part};
    long rc =
        call_for_fds(p, OP_PROCESS_CONNECT, body,
                     msg_process_connect_encode(&request, body, sizeof body), sizeof body, fds, 1);
    return rc < 0 ? (int)rc : fds[0];
}

int node_locate(struct process *p, uint32_t part, struct component was, uint8_t why,
                struct component_info *now, int *fd)
{
    uint8_t body[256];
    int fds[NODE_FDS_MAX], count = 0;
    struct msg_process_locate request = {.part = (uint16_t)part, .was = was, .why = why};
    struct msg_process_locate_reply reply;
    int size = msg_process_locate_encode(&request, body, sizeof body);
    long rc = node_call(p, OP_PROCESS_LOCATE, body, (size_t)size, sizeof body, fds, &count);
    if (rc >= 0)
        rc = msg_process_locate_reply_decode(&reply, body, (size_t)rc);
    if (rc < 0)
        return (int)rc;
    *now = reply.memory;
    *fd = count ? fds[0] : -1;
    return 0;
}

void node_watch(int lifeline_fd)
{
    if (lifeline_fd < 0)
        return;
    host_call(__NR_fcntl, lifeline_fd, F_SETOWN, host_call(__NR_getpid));
    host_call(__NR_fcntl, lifeline_fd, F_SETSIG, SIGKILL);
    host_call(__NR_fcntl, lifeline_fd, F_SETFL,
              host_call(__NR_fcntl, lifeline_fd, F_GETFL) | O_ASYNC);
    /* It may have closed before it was watched. */
    uint8_t byte;
    long n = host_call(__NR_recvfrom, lifeline_fd, &byte, 1, 0x40 /* MSG_DONTWAIT */, 0, 0);
    if (n == -ENOTSOCK) {
        struct {
            int fd;
            short events, revents;
        } poll = {lifeline_fd, 0, 0};
        n = host_call(__NR_poll, &poll, 1, 0) > 0 ? 0 : -EAGAIN;
    }
    if (n == 0)
        host_die("the node (ashlar-process) has ended");
}
