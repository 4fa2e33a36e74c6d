/* See test_run.h. */
#include "test_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits.h"

char rack_dir[128];
struct net_key key;
struct component_info memory, storage, process, global;
static const char *ashlar;
static char runtime_dir[] = "/tmp/ashlar-node-XXXXXX"; /* the rack's own, removed at the end */

/* ---- the rack ---- */

static int command(const char *arguments)
{
    char line[512];
    snprintf(line, sizeof line, "%s %s --rack node >/dev/null", ashlar, arguments);
    return system(line);
}

struct net_conn *connect_to(const char *address, uint8_t scope)
{
    struct msg_bind bind = {.scope = scope, .writable = ""};
    struct net_conn *conn;
    assert_int_equal(net_connect(address, &key, &bind, CONNECT_TIMEOUT_MS, &conn, NULL), 0);
    return conn;
}

struct net_conn *connect_local(uint8_t scope)
{
    char address[160];
    snprintf(address, sizeof address, "unix:%s/p1.sock", rack_dir);
    return connect_to(address, scope);
}

/* The global daemon's address, from rack.json: its record is the first. */
static void find_global(char address[ADDRESS_LIMIT])
{
    char path[160], text[4096];
    snprintf(path, sizeof path, "%s/rack.json", rack_dir);
    int fd = open(path, O_RDONLY);
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    assert_true(size > 0);
    text[size] = '\0';
    char *at = strstr(text, "\"address\": \"");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "\"address\": \"%63[^\"]", address), 1);
}

static void find_components(void)
{
    find_global(global.address);
    struct net_conn *conn = connect_to(global.address, SCOPE_COMPONENT);
    struct msg_components request = {};
    struct msg_components_reply reply;
    assert_int_equal(NET_CALL(conn, COMPONENTS, components, &request, &reply, GLOBAL_TIMEOUT_MS),
                     0);
    for (uint32_t i = 0; i < reply.components_count; i++) {
        const struct component_info *c = &reply.components[i];
        if (c->state != COMPONENT_UP)
            continue;
        *(c->kind == COMPONENT_MEMORY    ? &memory
          : c->kind == COMPONENT_STORAGE ? &storage
          : c->kind == COMPONENT_PROCESS ? &process
                                         : &global) = *c;
    }
    net_close(conn);
}

int rack_up(void **state)
{
    if (command("up --memory 1 --memory-size 64M") != 0)
        return -1;
    char path[160];
    snprintf(path, sizeof path, "%s/key", rack_dir);
    if (net_key_load(path, &key) < 0)
        return -1;
    find_components();
    return 0;
}

int rack_down(void **state)
{
    return command("down");
}

/* ---- a run and its processes ---- */

struct net_conn *open_run(uint64_t *id)
{
    struct net_conn *conn = connect_local(SCOPE_COMPONENT);
    struct msg_run_open request = {
        .replicas = 2, .memory = memory, .storage = storage, .writable = "/tmp", .name = "test"};
    struct msg_run_open_reply reply;
    assert_int_equal(NET_CALL(conn, RUN_OPEN, run_open, &request, &reply, NODE_TIMEOUT_MS), 0);
    assert_int_equal(reply.excache_bytes, 64 << 20);
    *id = reply.run_id;
    return conn;
}

int call_fds(struct net_conn *conn, uint16_t op, const void *body, int size, int *fds, int *count,
             struct net_frame *frame)
{
    assert_true(size >= 0);
    return net_request_fds(conn, op, body, (size_t)size, NODE_TIMEOUT_MS, frame, fds, count);
}

void take_seat(struct net_conn *run, uint64_t id, int fds[2])
{
    uint8_t body[16];
    struct msg_run_seat request = {.run_id = id};
    struct net_frame frame;
    int count = 2;
    assert_int_equal(call_fds(run, OP_RUN_SEAT, body,
                              msg_run_seat_encode(&request, body, sizeof body), fds, &count,
                              &frame),
                     0);
    assert_int_equal(count, 2);
}

int join(struct net_conn *seat, uint32_t pid, struct msg_process_join_reply *reply, int fds[2])
{
    uint8_t body[64];
    struct msg_process_join request = {.pid = pid, .name = "test"};
    struct net_frame frame;
    int got[3], count = 3;
    int rc = call_fds(seat, OP_PROCESS_JOIN, body,
                      msg_process_join_encode(&request, body, sizeof body), got, &count, &frame);
    if (rc == 0 && (count != 3 ||
                    msg_process_join_reply_decode(reply, frame.payload, frame.header.length) < 0))
        rc = -EBADMSG;
    if (rc == 0) {
        fds[0] = got[0];
        fds[1] = got[1];
        close(got[2]); /* the page of segments */
    }
    return rc;
}

struct join_result {
    int rc;
    struct msg_process_join_reply reply;
};

/* In the child: joins, hands the result and the two descriptors to the test, waits for its end. */
static void child_main(int seat_fd, int to_test, uint32_t claimed_pid)
{
    struct join_result result = {0};
    struct net_conn *seat;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test does not leave it behind */
    int fds[2] = {-1, -1};
    if (net_adopt(seat_fd, &seat) < 0)
        _exit(1);
    result.rc = join(seat, claimed_pid ? claimed_pid : (uint32_t)getpid(), &result.reply, fds);
    struct iovec iov = {.iov_base = &result, .iov_len = sizeof result};
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control = {};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (result.rc == 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fds);
        memcpy(CMSG_DATA(c), fds, sizeof fds);
    }
    if (sendmsg(to_test, &msg, 0) < 0)
        _exit(1);
    for (;;)
        pause();
}

/* Starts a process on a seat; fds (seat, lifeline) are taken over. */
struct process_end start_process(int seat_fd, int lifeline_fd, uint32_t claimed_pid)
{
    struct process_end p = {.lifeline_fd = lifeline_fd, .storage_fd = -1};
    int pair[2], fds[2] = {-1, -1};
    struct join_result result;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    p.pid = fork();
    if (p.pid == 0) {
        close_range(3, (unsigned)(seat_fd < pair[1] ? seat_fd : pair[1]) - 1, 0);
        child_main(seat_fd, pair[1], claimed_pid);
    }
    close(pair[1]);
    p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
    union {
        char bytes[CMSG_SPACE(sizeof fds)];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = &result, .iov_len = sizeof result};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    assert_int_equal(recvmsg(pair[0], &msg, MSG_CMSG_CLOEXEC), sizeof result);
    close(pair[0]);
    p.join_rc = result.rc;
    p.joined = result.reply;
    assert_int_equal(net_adopt(seat_fd, &p.seat), 0);
    if (result.rc == 0) {
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fds);
        assert_int_equal(net_adopt(fds[0], &p.memory), 0);
        p.storage_fd = fds[1];
    }
    return p;
}

struct process_end start_first(struct net_conn *run, uint64_t id)
{
    int fds[2];
    take_seat(run, id, fds);
    struct process_end p = start_process(fds[0], fds[1], 0);
    assert_int_equal(p.join_rc, 0);
    return p;
}

void forget(struct process_end *p)
{
    net_close(p->seat);
    net_close(p->memory);
    if (p->storage_fd >= 0)
        close(p->storage_fd);
    close(p->lifeline_fd);
    close(p->pidfd);
}

/* Waits for its end and says how it ended; -1 where it has not within wait_ms. */
int await_end(struct process_end *p, int wait_ms)
{
    struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};
    int status = 0;
    if (poll(&fd, 1, wait_ms) != 1 || waitpid(p->pid, &status, 0) != p->pid)
        return -1;
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int stat_space(struct net_conn *conn, struct asid asid)
{
    struct msg_space_stat request = {.asid = asid};
    struct msg_space_stat_reply reply;
    return NET_CALL(conn, SPACE_STAT, space_stat, &request, &reply, MEMORY_TIMEOUT_MS);
}

int close_run(struct net_conn *run, uint64_t id, uint32_t *ended)
{
    struct msg_run_close request = {.run_id = id};
    struct msg_run_close_reply reply;
    int rc = NET_CALL(run, RUN_CLOSE, run_close, &request, &reply, 2 * NODE_TIMEOUT_MS);
    *ended = reply.ended;
    return rc;
}

int fork_process(struct process_end *p, struct asid child, int fds[4], int *count, uint64_t *budget)
{
    uint8_t body[16];
    struct msg_process_fork request = {.child = child};
    struct msg_process_fork_reply reply;
    struct net_frame frame;
    *count = 4;
    int rc = call_fds(p->seat, OP_PROCESS_FORK, body,
                      msg_process_fork_encode(&request, body, sizeof body), fds, count, &frame);
    if (rc == 0)
        rc = msg_process_fork_reply_decode(&reply, frame.payload, frame.header.length);
    *budget = reply.excache_bytes;
    return rc;
}

struct asid clone_space(struct process_end *p)
{
    struct msg_space_clone request = {.asid = p->joined.asid};
    struct msg_space_clone_reply reply;
    assert_int_equal(
        NET_CALL(p->memory, SPACE_CLONE, space_clone, &request, &reply, MEMORY_TIMEOUT_MS), 0);
    return reply.child;
}

uint64_t used_budget(void)
{
    struct net_conn *conn = connect_to(process.address, SCOPE_COMPONENT);
    struct msg_ping request = {};
    struct msg_ping_reply reply;
    assert_int_equal(NET_CALL(conn, PING, ping, &request, &reply, NODE_TIMEOUT_MS), 0);
    net_close(conn);
    return reply.used_bytes;
}

void await_event(struct net_conn *run, const char *wanted)
{
    struct net_frame frame;
    struct msg_run_event event;
    assert_int_equal(net_receive(run, 3000, &frame), 0);
    assert_int_equal(frame.header.op, OP_RUN_EVENT);
    assert_int_equal(msg_run_event_decode(&event, frame.payload, frame.header.length), 0);
    if (!strstr(event.text, wanted))
        fail_msg("event: %s", event.text);
}

/* ---- the program ---- */

bool test_begin(const char *command_path)
{
    if (!mkdtemp(runtime_dir))
        return false;
    ashlar = command_path;
    setenv("XDG_RUNTIME_DIR", runtime_dir, 1);
    snprintf(rack_dir, sizeof rack_dir, "%s/ashlar/node", runtime_dir);
    return true;
}

int test_end(int failed)
{
    char left[160];
    snprintf(left, sizeof left, "%s/ashlar", runtime_dir);
    if (rmdir(left) < 0 || rmdir(runtime_dir) < 0) {
        fprintf(stderr, "%s is not empty: %s\n", left, strerror(errno));
        failed++;
    }
    return failed;
}
