/*
 * The node against real components: a rack, a run's command and its processes, honest and hostile
 * ones; see test_run.h.
 *
 * Usage: test-node ASHLAR
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "limits.h"
#include "test_run.h"

/* ---- the tests ---- */

static void joins_and_is_freed(void **state)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id), *control = connect_to(memory.address, SCOPE_COMPONENT);
    struct process_end p = start_first(run, id);
    assert_int_equal(p.joined.memory_bytes, 64 << 20);
    assert_string_equal(p.joined.memory.name, memory.name);
    assert_int_equal(stat_space(p.memory, p.joined.asid), 0);
    assert_int_equal(used_budget(), 64 << 20);

    /* Its connection is its own space's alone. */
    struct msg_space_create create = {.run_id = id};
    struct msg_space_create_reply created;
    assert_int_equal(
        NET_CALL(p.memory, SPACE_CREATE, space_create, &create, &created, MEMORY_TIMEOUT_MS),
        ASH_FORBIDDEN);
    struct asid other = {p.joined.asid.n - 1};
    assert_int_equal(stat_space(p.memory, other), ASH_FORBIDDEN);

    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(ended, 1);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    assert_int_equal(stat_space(control, p.joined.asid), ASH_NO_SPACE_ID);
    assert_int_equal(used_budget(), 0);
    forget(&p);
    net_close(control);
    net_close(run);
}

static void lists_its_processes(void **state)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id);
    struct process_end p = start_first(run, id);
    struct net_conn *conn = connect_to(process.address, SCOPE_COMPONENT);
    struct msg_process_list request = {};
    struct msg_process_list_reply reply;
    assert_int_equal(NET_CALL(conn, PROCESS_LIST, process_list, &request, &reply, NODE_TIMEOUT_MS),
                     0);
    assert_int_equal(reply.processes_count, 1);
    assert_int_equal(reply.processes[0].pid, p.pid);
    assert_int_equal(reply.processes[0].threads, 1);
    assert_int_equal(reply.processes[0].asid.n, p.joined.asid.n);
    net_close(conn);
    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    forget(&p);
    net_close(run);
}

static void a_dead_process_is_freed_at_once(void **state)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id), *control = connect_to(memory.address, SCOPE_COMPONENT);
    struct process_end p = start_first(run, id);
    /* The test holds the seat too: the pidfd is what tells the node. */
    kill(p.pid, SIGKILL);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    struct pollfd seat = {.fd = net_conn_fd(p.seat), .events = POLLIN};
    assert_int_equal(poll(&seat, 1, 1000), 1);
    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(ended, 0);
    assert_int_equal(stat_space(control, p.joined.asid), ASH_NO_SPACE_ID);
    forget(&p);
    net_close(control);
    net_close(run);
}

static void a_lost_command_ends_its_run(void **state)
{
    uint64_t id;
    struct net_conn *run = open_run(&id), *control = connect_to(memory.address, SCOPE_COMPONENT);
    struct process_end p = start_first(run, id);
    net_close(run);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    /* Its lifeline closed as well. */
    struct pollfd line = {.fd = p.lifeline_fd, .events = POLLIN};
    assert_int_equal(poll(&line, 1, 1000), 1);
    assert_true(line.revents & POLLHUP);
    struct pollfd seat = {.fd = net_conn_fd(p.seat), .events = POLLIN};
    assert_int_equal(poll(&seat, 1, 1000), 1);
    /* The space goes before the seat is forgotten: until then asking again finds the lock taken. */
    uint64_t until = clock_ms() + 1000;
    int rc;
    while ((rc = stat_space(control, p.joined.asid)) == 0 && clock_ms() < until)
        ;
    assert_int_equal(rc, ASH_NO_SPACE_ID);
    forget(&p);
    net_close(control);
}

static void forks(void **state)
{
    uint64_t id, budget;
    uint32_t ended;
    int fds[4], count;
    struct net_conn *run = open_run(&id), *control = connect_to(memory.address, SCOPE_COMPONENT);
    struct process_end p = start_first(run, id);
    struct asid child = clone_space(&p);
    assert_int_equal(fork_process(&p, child, fds, &count, &budget), 0);
    assert_int_equal(count, 4);
    assert_int_equal(budget, 64 << 20);
    struct net_conn *bound;
    assert_int_equal(net_adopt(fds[2], &bound), 0);
    assert_int_equal(stat_space(bound, child), 0);
    assert_int_equal(stat_space(bound, p.joined.asid), ASH_FORBIDDEN);
    assert_int_equal(used_budget(), 128 << 20);

    /* A child that never comes to life: its seat closes, its space goes. */
    net_close(bound);
    close(fds[0]);
    close(fds[1]);
    close(fds[3]);
    uint64_t until = clock_ms() + 1000;
    while (stat_space(control, child) == 0 && clock_ms() < until)
        ;
    assert_int_equal(stat_space(control, child), ASH_NO_SPACE_ID);

    /* One that shares memory until exec: a seat alone, which joins later. */
    assert_int_equal(fork_process(&p, (struct asid){0}, fds, &count, &budget), 0);
    assert_int_equal(count, 2);
    struct process_end second = start_process(fds[0], fds[1], 0);
    assert_int_equal(second.join_rc, 0);
    assert_true(second.joined.asid.n != p.joined.asid.n);
    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(ended, 2);
    assert_int_equal(await_end(&second, 1000), SIGKILL);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    forget(&second);
    forget(&p);
    net_close(control);
    net_close(run);
}

static void what_is_not_its_own_is_refused(void **state)
{
    uint64_t id, other_id, budget;
    uint32_t ended;
    int fds[4], count;
    struct net_conn *run = open_run(&id), *other_run = open_run(&other_id);
    struct process_end p = start_first(run, id), q = start_first(other_run, other_id);
    struct net_conn *before = connect_to(process.address, SCOPE_COMPONENT);

    /* Spaces: its own, another process's, one that does not exist. */
    assert_int_equal(fork_process(&p, p.joined.asid, fds, &count, &budget), ASH_FORBIDDEN);
    assert_true(fork_process(&p, q.joined.asid, fds, &count, &budget) < 0);
    assert_true(fork_process(&p, clone_space(&q), fds, &count, &budget) < 0);
    assert_true(fork_process(&p, (struct asid){12345}, fds, &count, &budget) < 0);

    /* Requests that are a command's, or no process's. */
    struct msg_run_close close_request = {.run_id = other_id};
    struct msg_run_close_reply close_reply;
    assert_int_equal(
        NET_CALL(p.seat, RUN_CLOSE, run_close, &close_request, &close_reply, NODE_TIMEOUT_MS),
        ASH_FORBIDDEN);
    struct msg_process_connect connect_request = {.id = process.id};
    struct msg_process_connect_reply connect_reply;
    assert_int_equal(NET_CALL(p.seat, PROCESS_CONNECT, process_connect, &connect_request,
                              &connect_reply, NODE_TIMEOUT_MS),
                     ASH_FORBIDDEN);
    struct net_frame frame;
    assert_int_equal(
        net_request(p.seat, OP_PROCESS_FORK, "abc", 3, NULL, 0, NODE_TIMEOUT_MS, &frame),
        ASH_MALFORMED);
    struct msg_process_join_reply joined;
    assert_int_equal(join(p.seat, (uint32_t)p.pid, &joined, fds), -EALREADY);

    /* None of it did any harm. */
    assert_int_equal(stat_space(p.memory, p.joined.asid), 0);
    assert_int_equal(stat_space(q.memory, q.joined.asid), 0);
    net_close(before);
    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(close_run(other_run, other_id, &ended), 0);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    assert_int_equal(await_end(&q, 1000), SIGKILL);
    forget(&p);
    forget(&q);
    net_close(run);
    net_close(other_run);
}

static int open_inotify(struct process_end *p, int *fd)
{
    uint8_t body[16];
    struct msg_inotify_open request = {.nonblock = 1};
    struct net_frame frame;
    int count = 1;
    int rc = call_fds(p->seat, OP_INOTIFY_OPEN, body,
                      msg_inotify_open_encode(&request, body, sizeof body), fd, &count, &frame);
    if (rc == 0)
        assert_int_equal(count, 1);
    return rc;
}

/* A run has so many, gets them back, and may use none that it does not hold. */
static void inotify_descriptors_are_bounded(void **state)
{
    enum { MOST = 128 };
    uint64_t id, other_id;
    uint32_t ended;
    int fds[MOST], fd;
    struct net_conn *run = open_run(&id), *other_run = open_run(&other_id);
    struct process_end p = start_first(run, id), q = start_first(other_run, other_id);
    struct net_frame frame;

    for (int i = 0; i < MOST; i++)
        assert_int_equal(open_inotify(&p, &fds[i]), 0);
    assert_int_equal(open_inotify(&p, &fd), -EMFILE);
    assert_int_equal(open_inotify(&q, &fd), 0);
    close(fd);
    for (uint16_t op = OP_INOTIFY_ADD; op <= OP_INOTIFY_READ; op++)
        assert_int_equal(net_request(p.seat, op, "abcd", 4, NULL, 0, NODE_TIMEOUT_MS, &frame),
                         -EINVAL);
    assert_int_equal(
        net_request(p.seat, OP_INOTIFY_OPEN, "abc", 3, NULL, 0, NODE_TIMEOUT_MS, &frame),
        ASH_MALFORMED);
    close(fds[0]);
    uint64_t until = clock_ms() + 5000;
    int rc;
    while ((rc = open_inotify(&p, &fds[0])) == -EMFILE && clock_ms() < until)
        ;
    assert_int_equal(rc, 0);

    /* The run's end leaves them to whoever has them: they are never readable, and no error. */
    assert_int_equal(close_run(run, id, &ended), 0);
    assert_int_equal(close_run(other_run, other_id, &ended), 0);
    struct pollfd still = {.fd = fds[0], .events = POLLIN};
    assert_int_equal(poll(&still, 1, 0), 0);
    for (int i = 0; i < MOST; i++)
        close(fds[i]);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    assert_int_equal(await_end(&q, 1000), SIGKILL);
    forget(&p);
    forget(&q);
    net_close(run);
    net_close(other_run);
}

static void a_pid_must_be_the_speaker_s(void **state)
{
    uint64_t id;
    uint32_t ended;
    int fds[2];
    struct net_conn *run = open_run(&id);
    take_seat(run, id, fds);
    /* It claims to be this test: were that believed, the run's end would kill it. */
    struct process_end p = start_process(fds[0], fds[1], (uint32_t)getpid());
    assert_int_equal(p.join_rc, ASH_FORBIDDEN);
    assert_int_equal(close_run(run, id, &ended), 0);
    kill(p.pid, SIGKILL);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    forget(&p);
    net_close(run);
}

static void garbage_on_a_seat_costs_only_that_seat(void **state)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id), *control = connect_to(memory.address, SCOPE_COMPONENT);
    struct process_end p = start_first(run, id), q;
    int fds[2];
    take_seat(run, id, fds);
    q = start_process(fds[0], fds[1], 0);
    assert_int_equal(q.join_rc, 0);
    char garbage[4096];
    memset(garbage, 0xa5, sizeof garbage);
    (void)!send(net_conn_fd(p.seat), garbage, sizeof garbage, MSG_NOSIGNAL);
    struct pollfd seat = {.fd = net_conn_fd(p.seat), .events = POLLRDHUP};
    assert_int_equal(poll(&seat, 1, 1000), 1);
    uint64_t until = clock_ms() + 1000;
    while (stat_space(control, p.joined.asid) == 0 && clock_ms() < until)
        ;
    assert_int_equal(stat_space(control, p.joined.asid), ASH_NO_SPACE_ID);
    assert_int_equal(stat_space(q.memory, q.joined.asid), 0);
    assert_int_equal(close_run(run, id, &ended), 0);
    kill(p.pid, SIGKILL);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    assert_int_equal(await_end(&q, 1000), SIGKILL);
    forget(&p);
    forget(&q);
    net_close(control);
    net_close(run);
}

static void strangers_are_refused(void **state)
{
    struct msg_run_open request = {
        .replicas = 2, .memory = memory, .storage = storage, .writable = "", .name = "x"};
    struct msg_run_open_reply reply;
    struct net_conn *conn = connect_to(process.address, SCOPE_COMPONENT);
    assert_int_equal(NET_CALL(conn, RUN_OPEN, run_open, &request, &reply, NODE_TIMEOUT_MS),
                     ASH_UNKNOWN_OP);
    net_close(conn);
    conn = connect_local(SCOPE_PROCESS);
    assert_int_equal(NET_CALL(conn, RUN_OPEN, run_open, &request, &reply, NODE_TIMEOUT_MS),
                     ASH_FORBIDDEN);
    struct msg_process_join_reply joined;
    int fds[2];
    assert_int_equal(join(conn, (uint32_t)getpid(), &joined, fds), ASH_FORBIDDEN);
    net_close(conn);
    /* A run is its own command's to close. */
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id), *other = connect_local(SCOPE_COMPONENT);
    assert_int_equal(close_run(other, id, &ended), -ENOENT);
    assert_int_equal(close_run(run, id, &ended), 0);
    net_close(other);
    net_close(run);
}

static void a_failure_is_told(void **state)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id);
    struct process_end p = start_first(run, id);
    struct msg_process_failed request = {.text = "no \x1b[31mcolours\n"};
    struct msg_process_failed_reply reply;
    for (int i = 0; i < 200; i++)
        assert_int_equal(
            NET_CALL(p.seat, PROCESS_FAILED, process_failed, &request, &reply, NODE_TIMEOUT_MS), 0);
    await_event(run, "no ?[31mcolours?");
    assert_int_equal(close_run(run, id, &ended), 0);
    int events = 1;
    struct net_frame frame;
    while (net_receive(run, 0, &frame) == 0)
        events++;
    assert_int_equal(events, 64);
    assert_int_equal(await_end(&p, 1000), SIGKILL);
    forget(&p);
    net_close(run);
}

/* Takes the mComponent away in one of two ways; the processes must end within so long. */
static void lose_memory(int signal, int within_ms)
{
    uint64_t id;
    uint32_t ended;
    struct net_conn *run = open_run(&id);
    struct process_end p = start_first(run, id), q = {0};
    int fds[2];
    take_seat(run, id, fds);
    q = start_process(fds[0], fds[1], 0);
    uint64_t began = clock_ms();
    kill((pid_t)memory.pid, signal);
    assert_int_equal(await_end(&p, within_ms), SIGKILL);
    assert_int_equal(await_end(&q, within_ms), SIGKILL);
    print_message("lost by signal %d, ended after %llu ms\n", signal,
                  (unsigned long long)(clock_ms() - began));
    char text[96];
    snprintf(text, sizeof text, "%s (memory, pid %u) was lost; ended 2 processes", memory.name,
             memory.pid);
    await_event(run, text);
    assert_int_equal(close_run(run, id, &ended), 0);
    forget(&p);
    forget(&q);
    net_close(run);
}

static void a_killed_home_ends_its_processes(void **state)
{
    lose_memory(SIGKILL, 2000);
}

static void a_frozen_home_ends_its_processes(void **state)
{
    lose_memory(SIGSTOP, 2000 + (int)LOCATE_TIMEOUT_MS); /* it may be late only */
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_and_is_freed),
        cmocka_unit_test(lists_its_processes),
        cmocka_unit_test(a_dead_process_is_freed_at_once),
        cmocka_unit_test(a_lost_command_ends_its_run),
        cmocka_unit_test(forks),
        cmocka_unit_test(what_is_not_its_own_is_refused),
        cmocka_unit_test(inotify_descriptors_are_bounded),
        cmocka_unit_test(a_pid_must_be_the_speaker_s),
        cmocka_unit_test(garbage_on_a_seat_costs_only_that_seat),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(a_failure_is_told),
        cmocka_unit_test_setup_teardown(a_killed_home_ends_its_processes, NULL, NULL),
    };
    const struct CMUnitTest frozen[] = {
        cmocka_unit_test(a_frozen_home_ends_its_processes),
    };
    if (argc < 2 || !test_begin(argv[1]))
        return 2;
    int failed = cmocka_run_group_tests(tests, rack_up, rack_down);
    failed += cmocka_run_group_tests(frozen, rack_up, rack_down);
    return test_end(failed);
}
