/*
 * Memory that is in parts, and that moves: the node and mComponents that keep nothing but which
 * spaces they have (test_memory.c), killed, frozen, drained.
 *
 * Usage: test-locate ASHLAR TEST-MEMORY
 */
#include "test_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "limits.h"

enum { PATIENCE_MS = 10000, LOCATE_PATIENCE_MS = LOCATE_TIMEOUT_MS + 2000 };

static const char *memory_path;

/* ---- mComponents ---- */

struct mcomponent {
    struct component_info info;
    pid_t pid; /* 0: ended */
    int lifeline_fd;
};

static struct mcomponent x1, x2;

static bool find(const char *name, struct component_info *out)
{
    struct net_conn *conn = connect_to(global.address, SCOPE_COMPONENT);
    struct msg_components request = {};
    struct msg_components_reply reply;
    bool found = false;
    assert_int_equal(NET_CALL(conn, COMPONENTS, components, &request, &reply, GLOBAL_TIMEOUT_MS),
                     0);
    for (uint32_t i = 0; i < reply.components_count && !found; i++) {
        found = strcmp(reply.components[i].name, name) == 0;
        if (found)
            *out = reply.components[i];
    }
    net_close(conn);
    return found;
}

static struct mcomponent start(const char *name)
{
    struct mcomponent m;
    int ready[2], lifeline[2];
    char ready_text[12], lifeline_text[12], address[ADDRESS_LIMIT];
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
    snprintf(ready_text, sizeof ready_text, "%d", ready[1]);
    snprintf(lifeline_text, sizeof lifeline_text, "%d", lifeline[0]);
    m.pid = fork();
    if (m.pid == 0) {
        fcntl(ready[1], F_SETFD, 0);
        fcntl(lifeline[0], F_SETFD, 0);
        execl(memory_path, memory_path, "--name", name, "--rack-dir", rack_dir, "--global",
              global.address, "--ready-fd", ready_text, "--lifeline-fd", lifeline_text,
              "--log-level", "none", NULL);
        _exit(127);
    }
    close(ready[1]);
    close(lifeline[0]);
    m.lifeline_fd = lifeline[1];
    struct pollfd p = {.fd = ready[0], .events = POLLIN};
    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
    assert_true(read(ready[0], address, sizeof address) > 1);
    close(ready[0]);
    assert_true(find(name, &m.info));
    return m;
}

static void end(struct mcomponent *m, int signal)
{
    if (m->pid == 0)
        return;
    kill(m->pid, signal);
    assert_int_equal(waitpid(m->pid, NULL, 0), m->pid);
    close(m->lifeline_fd);
    m->pid = 0;
}

/* A request of a component's to one of them. */
#define TELL(m, OP, name, ...)                                                                     \
    ({                                                                                             \
        struct net_conn *conn_ = connect_to((m)->info.address, SCOPE_COMPONENT);                   \
        struct msg_##name request_ = {__VA_ARGS__};                                                \
        struct msg_##name##_reply reply_;                                                          \
        int told_ = NET_CALL(conn_, OP, name, &request_, &reply_, MEMORY_TIMEOUT_MS);              \
        net_close(conn_);                                                                          \
        told_;                                                                                     \
    })

/* Makes one of them have the second copy of a space of the other. */
static void give_copy(struct mcomponent *to, struct asid asid, struct mcomponent *primary)
{
    assert_int_equal(
        TELL(to, REPLICA_OPEN, replica_open, .asid = asid, .primary = primary->info.id, .epoch = 2),
        0);
}

/* Makes it have a part. */
static void give_part(struct mcomponent *to, struct asid asid)
{
    give_copy(to, asid, to);
    assert_int_equal(TELL(to, REPLICA_PROMOTE, replica_promote, .asid = asid), 0);
}

static uint8_t role_at(struct mcomponent *m, struct asid asid)
{
    struct net_conn *conn = connect_to(m->info.address, SCOPE_COMPONENT);
    struct msg_space_locate request = {.asid = asid};
    struct msg_space_locate_reply reply;
    assert_int_equal(
        NET_CALL(conn, SPACE_LOCATE, space_locate, &request, &reply, MEMORY_TIMEOUT_MS), 0);
    net_close(conn);
    return reply.role;
}

/* ---- what a process asks ---- */

/* A descriptor, or a negative error. */
static int ask_connection(struct process_end *p, struct component id, uint16_t part)
{
    uint8_t body[16];
    struct msg_process_connect request = {.id = id, .part = part};
    struct net_frame frame;
    int fd = -1, count = 1;
    int rc = call_fds(p->seat, OP_PROCESS_CONNECT, body,
                      msg_process_connect_encode(&request, body, sizeof body), &fd, &count, &frame);
    assert_int_equal(count, rc == 0);
    return rc < 0 ? rc : fd;
}

/* 0, with *fd -1 where no connection came. */
static int ask_location(struct process_end *p, uint16_t part, struct component was, uint8_t why,
                        struct component_info *now, int *fd)
{
    uint8_t body[16];
    struct msg_process_locate request = {.part = part, .was = was, .why = why};
    struct msg_process_locate_reply reply;
    struct net_frame frame;
    int size = msg_process_locate_encode(&request, body, sizeof body), count = 1;
    *fd = -1;
    int rc = net_request_fds(p->seat, OP_PROCESS_LOCATE, body, (size_t)size, LOCATE_PATIENCE_MS,
                             &frame, fd, &count);
    if (rc == 0)
        rc = msg_process_locate_reply_decode(&reply, frame.payload, frame.header.length);
    if (rc == 0)
        *now = reply.memory;
    return rc;
}

/* Whether a descriptor is a connection to a space, and to no other one. */
static void expect_bound(int fd, struct asid asid)
{
    struct net_conn *conn;
    assert_int_equal(net_adopt(fd, &conn), 0);
    assert_int_equal(stat_space(conn, asid), 0);
    assert_int_equal(stat_space(conn, (struct asid){asid.n ^ 1}), ASH_FORBIDDEN);
    net_close(conn);
}

/* The home of a run's only process, as the node lists it. */
static uint16_t listed_home(void)
{
    struct net_conn *conn = connect_to(process.address, SCOPE_COMPONENT);
    struct msg_process_list request = {};
    struct msg_process_list_reply reply;
    assert_int_equal(NET_CALL(conn, PROCESS_LIST, process_list, &request, &reply, NODE_TIMEOUT_MS),
                     0);
    assert_int_equal(reply.processes_count, 1);
    uint16_t home = reply.processes[0].home.n;
    net_close(conn);
    return home;
}

/* ---- fixtures ---- */

struct world {
    struct net_conn *run;
    uint64_t id;
    struct process_end p;
    struct asid asid;
};

/* Two mComponents, and a process whose home is the first. */
static int begin(void **state)
{
    static struct world w;
    x1 = start("x1");
    x2 = start("x2");
    memory = x1.info;
    w.run = open_run(&w.id);
    w.p = start_first(w.run, w.id);
    w.asid = w.p.joined.asid;
    *state = &w;
    return 0;
}

static int finish(void **state)
{
    struct world *w = *state;
    uint32_t ended;
    assert_int_equal(close_run(w->run, w->id, &ended), 0);
    (void)await_end(&w->p, 1000);
    forget(&w->p);
    net_close(w->run);
    end(&x1, SIGKILL);
    end(&x2, SIGKILL);
    return 0;
}

/* Ends the run, and with it the process; its memory is freed where it is then. */
static void expect_freed(struct world *w, struct mcomponent *at)
{
    uint32_t ended;
    assert_int_equal(role_at(at, w->asid), ROLE_PRIMARY);
    assert_int_equal(close_run(w->run, w->id, &ended), 0);
    assert_int_equal(ended, 1);
    assert_int_equal(role_at(at, w->asid), ROLE_NONE);
    net_close(w->run);
    w->run = open_run(&w->id); /* for finish() */
}

/* ---- tests ---- */

static void parts_are_reached(void **state)
{
    struct world *w = *state;
    struct asid part = asid_part(w->asid, 3);
    give_part(&x2, part);
    int fd = ask_connection(&w->p, x2.info.id, 3);
    assert_true(fd >= 0);
    expect_bound(fd, part);
    fd = ask_connection(&w->p, x1.info.id, 0);
    assert_true(fd >= 0);
    expect_bound(fd, w->asid);
    assert_int_equal(ask_connection(&w->p, x2.info.id, 0), ASH_NO_SPACE_ID);
    assert_int_equal(ask_connection(&w->p, x2.info.id, 4), ASH_NO_SPACE_ID);
    assert_int_equal(ask_connection(&w->p, x2.info.id, PARTS_MAX), ASH_FORBIDDEN);
    assert_int_equal(ask_connection(&w->p, process.id, 0), ASH_FORBIDDEN);
    assert_int_equal(ask_connection(&w->p, (struct component){4711}, 0), ASH_FORBIDDEN);
    end(&x2, SIGKILL);
    assert_true(ask_connection(&w->p, x2.info.id, 3) < 0);
}

static void copies_are_asked_for(void **state)
{
    struct world *w = *state;
    struct net_conn *conn = connect_to(x1.info.address, SCOPE_COMPONENT);
    struct msg_space_stat request = {.asid = w->asid};
    struct msg_space_stat_reply reply;
    assert_int_equal(NET_CALL(conn, SPACE_STAT, space_stat, &request, &reply, MEMORY_TIMEOUT_MS),
                     0);
    assert_int_equal(reply.frames, 2); /* replicas, as this mComponent says it */
    net_close(conn);
    struct msg_run_open wrong = {
        .memory = memory, .storage = storage, .replicas = 3, .writable = "", .name = "x"};
    struct msg_run_open_reply opened;
    conn = connect_local(SCOPE_COMPONENT);
    assert_int_equal(NET_CALL(conn, RUN_OPEN, run_open, &wrong, &opened, NODE_TIMEOUT_MS), -EINVAL);
    wrong.replicas = 0;
    assert_int_equal(NET_CALL(conn, RUN_OPEN, run_open, &wrong, &opened, NODE_TIMEOUT_MS), -EINVAL);
    net_close(conn);
}

/* One that is there and only slow is to be waited for; a broken connection is replaced. */
static void what_is_not_lost_stays(void **state)
{
    struct world *w = *state;
    struct component_info now;
    int fd;
    give_copy(&x2, w->asid, &x1);
    assert_int_equal(ask_location(&w->p, 0, x1.info.id, LOCATE_SILENT, &now, &fd), 0);
    assert_int_equal(fd, -1);
    assert_int_equal(now.id.n, x1.info.id.n);
    assert_int_equal(ask_location(&w->p, 0, x1.info.id, LOCATE_BROKEN, &now, &fd), 0);
    assert_int_equal(now.id.n, x1.info.id.n);
    expect_bound(fd, w->asid);
    assert_int_equal(role_at(&x2, w->asid), ROLE_REPLICA);
    struct msg_process_locate request = {.part = PARTS_MAX, .was = x1.info.id};
    struct msg_process_locate_reply reply;
    assert_int_equal(
        NET_CALL(w->p.seat, PROCESS_LOCATE, process_locate, &request, &reply, NODE_TIMEOUT_MS),
        ASH_FORBIDDEN);
    expect_freed(w, &x1);
}

static void a_killed_home_is_replaced(void **state)
{
    struct world *w = *state;
    struct component_info now;
    int fd;
    give_copy(&x2, w->asid, &x1);
    end(&x1, SIGKILL);
    uint64_t began = clock_ms();
    assert_int_equal(ask_location(&w->p, 0, x1.info.id, LOCATE_BROKEN, &now, &fd), 0);
    assert_true(clock_ms() - began < 500);
    assert_int_equal(now.id.n, x2.info.id.n);
    assert_string_equal(now.address, x2.info.address);
    expect_bound(fd, w->asid);
    assert_int_equal(await_end(&w->p, 0), -1);
    assert_int_equal(listed_home(), x2.info.id.n);
    expect_freed(w, &x2);
}

static void await_home(uint16_t home)
{
    uint64_t until = clock_ms() + PATIENCE_MS;
    while (listed_home() != home && clock_ms() < until)
        poll(NULL, 0, 5);
    assert_int_equal(listed_home(), home);
}

/* The node sees it by itself. */
static void a_process_that_asks_for_nothing_is_kept(void **state)
{
    struct world *w = *state;
    give_copy(&x2, w->asid, &x1);
    end(&x1, SIGKILL);
    await_home(x2.info.id.n);
    expect_freed(w, &x2);
}

static void a_frozen_home_is_replaced(void **state)
{
    struct world *w = *state;
    struct component_info now;
    int fd;
    give_copy(&x2, w->asid, &x1);
    kill(x1.pid, SIGSTOP);
    uint64_t began = clock_ms();
    assert_int_equal(ask_location(&w->p, 0, x1.info.id, LOCATE_SILENT, &now, &fd), 0);
    print_message("found after %llu ms\n", (unsigned long long)(clock_ms() - began));
    assert_in_range(clock_ms() - began, LEASE_MS - HEARTBEAT_MS - 50, LEASE_MS + 1000);
    assert_int_equal(now.id.n, x2.info.id.n);
    expect_bound(fd, w->asid);
    await_home(x2.info.id.n);
    assert_int_equal(await_end(&w->p, 0), -1);
    expect_freed(w, &x2);
}

static void a_part_that_moved_is_followed(void **state)
{
    struct world *w = *state;
    struct component_info now;
    int fd;
    give_part(&x2, w->asid);
    assert_int_equal(TELL(&x1, SPACE_RESET, space_reset, .asid = w->asid), 0);
    assert_int_equal(ask_location(&w->p, 0, x1.info.id, LOCATE_MOVED, &now, &fd), 0);
    assert_int_equal(now.id.n, x2.info.id.n);
    expect_bound(fd, w->asid);
    assert_int_equal(listed_home(), x2.info.id.n);
    expect_freed(w, &x2);
}

/* The process did not ask since it moved. */
static void what_moved_is_freed(void **state)
{
    struct world *w = *state;
    give_part(&x2, w->asid);
    assert_int_equal(TELL(&x1, SPACE_RESET, space_reset, .asid = w->asid), 0);
    expect_freed(w, &x2);
}

static void drain_x1(bool on)
{
    struct net_conn *conn = connect_to(global.address, SCOPE_COMPONENT);
    struct msg_drain request = {.id = x1.info.id, .on = on};
    struct msg_drain_reply reply;
    assert_int_equal(NET_CALL(conn, DRAIN, drain, &request, &reply, GLOBAL_TIMEOUT_MS), 0);
    net_close(conn);
}

/* The node follows what a drained mComponent has given away. */
static void a_drained_home_is_left(void **state)
{
    struct world *w = *state;
    drain_x1(true);
    give_part(&x2, w->asid);
    assert_int_equal(listed_home(), x1.info.id.n);
    assert_int_equal(TELL(&x1, SPACE_RESET, space_reset, .asid = w->asid), 0);
    await_home(x2.info.id.n);
    drain_x1(false);
    expect_freed(w, &x2);
}

static void a_lost_part_ends_the_run(void **state)
{
    struct world *w = *state;
    struct component_info now;
    char text[96];
    int fd;
    give_part(&x2, asid_part(w->asid, 5));
    end(&x2, SIGKILL);
    assert_true(ask_location(&w->p, 5, x2.info.id, LOCATE_BROKEN, &now, &fd) < 0);
    assert_int_equal(await_end(&w->p, 1000), SIGKILL);
    snprintf(text, sizeof text, "x2 (memory, pid %u) was lost; ended 1 process that", x2.info.pid);
    await_event(w->run, text);
    struct msg_run_close request = {.run_id = w->id};
    struct msg_run_close_reply reply;
    assert_int_equal(NET_CALL(w->run, RUN_CLOSE, run_close, &request, &reply, 2 * NODE_TIMEOUT_MS),
                     0);
    assert_int_equal(reply.lost, 1);
    net_close(w->run);
    w->run = open_run(&w->id);
}

/* Its parent's home is lost between the copy of its memory and its first connection. */
static void a_child_follows_its_memory(void **state)
{
    struct world *w = *state;
    struct asid child = {w->asid.n + 20 * PARTS_MAX};
    uint64_t budget;
    int fds[4], count;
    give_part(&x1, child);
    give_copy(&x2, w->asid, &x1);
    give_copy(&x2, child, &x1);
    end(&x1, SIGKILL);
    assert_int_equal(fork_process(&w->p, child, fds, &count, &budget), 0);
    assert_int_equal(count, 4);
    expect_bound(fds[2], child);
    close(fds[0]);
    close(fds[1]);
    close(fds[3]);
    uint64_t until = clock_ms() + 5000;
    while (role_at(&x2, child) != ROLE_NONE && clock_ms() < until)
        poll(NULL, 0, 5);
    assert_int_equal(role_at(&x2, child), ROLE_NONE);
    await_home(x2.info.id.n);
    expect_freed(w, &x2);
}

/* What a process of the run executes next has its memory where there is some to be had. */
static void new_memory_is_elsewhere(void **state)
{
    struct world *w = *state;
    uint64_t budget;
    int fds[4], count;
    drain_x1(true);
    /* The node hears of it with its next heartbeat. */
    uint64_t until = clock_ms() + 5000;
    uint16_t home;
    do {
        assert_int_equal(fork_process(&w->p, (struct asid){0}, fds, &count, &budget), 0);
        struct process_end child = start_process(fds[0], fds[1], 0);
        assert_int_equal(child.join_rc, 0);
        home = child.joined.memory.id.n;
        kill(child.pid, SIGKILL);
        assert_int_equal(await_end(&child, 1000), SIGKILL);
        forget(&child);
    } while (home == x1.info.id.n && clock_ms() < until);
    assert_int_not_equal(home, x1.info.id.n);
    drain_x1(false);
}

int main(int argc, char **argv)
{
#define WITH_TWO(test) cmocka_unit_test_setup_teardown(test, begin, finish)
    const struct CMUnitTest tests[] = {
        WITH_TWO(parts_are_reached),
        WITH_TWO(copies_are_asked_for),
        WITH_TWO(what_is_not_lost_stays),
        WITH_TWO(a_killed_home_is_replaced),
        WITH_TWO(a_process_that_asks_for_nothing_is_kept),
        WITH_TWO(a_frozen_home_is_replaced),
        WITH_TWO(a_part_that_moved_is_followed),
        WITH_TWO(what_moved_is_freed),
        WITH_TWO(a_drained_home_is_left),
        WITH_TWO(a_lost_part_ends_the_run),
        WITH_TWO(a_child_follows_its_memory),
        WITH_TWO(new_memory_is_elsewhere),
    };
    if (argc < 3 || !test_begin(argv[1]))
        return 2;
    memory_path = argv[2];
    return test_end(cmocka_run_group_tests(tests, rack_up, rack_down));
}
