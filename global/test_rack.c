/*
 * A rack of real daemons over TCP: ashlar-global and bare monitors (lib/monitor/test_daemon.c).
 * Registration, placement, ends of every kind, and a global daemon that dies and comes back.
 *
 * Usage: test-rack ASHLAR-GLOBAL TEST-DAEMON
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "net.h"

enum { PATIENCE_MS = 15000, ARGUMENTS_MAX = 24 };

static const char *global_path, *daemon_path;

struct child {
    pid_t pid; /* 0: ended and reaped */
    int ready_fd, lifeline_fd;
    char address[ADDRESS_LIMIT];
};

static struct rack {
    char directory[32];
    struct net_key key;
    struct child global;
} rack;

/* ---- processes ---- */

/* Starts a daemon; `options` is ended by NULL. Its readiness is not awaited. */
static struct child spawn(const char *path, const char *name, const char *global,
                          const char *const options[])
{
    struct child child;
    int ready[2], lifeline[2];
    char ready_text[12], lifeline_text[12];
    const char *argv[ARGUMENTS_MAX] = {path, "--name", name, "--rack-dir", rack.directory};
    int argc = 5;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    assert_int_equal(pipe2(lifeline, O_CLOEXEC), 0);
    snprintf(ready_text, sizeof ready_text, "%d", ready[1]);
    snprintf(lifeline_text, sizeof lifeline_text, "%d", lifeline[0]);
    argv[argc++] = "--ready-fd";
    argv[argc++] = ready_text;
    argv[argc++] = "--lifeline-fd";
    argv[argc++] = lifeline_text;
    if (global) {
        argv[argc++] = "--global";
        argv[argc++] = global;
    }
    for (int i = 0; options && options[i]; i++)
        argv[argc++] = options[i];

    child.pid = fork();
    if (child.pid == 0) {
        fcntl(ready[1], F_SETFD, 0);
        fcntl(lifeline[0], F_SETFD, 0);
        execv(path, (char **)argv);
        _exit(127);
    }
    close(ready[1]);
    close(lifeline[0]);
    child.ready_fd = ready[0];
    child.lifeline_fd = lifeline[1];
    return child;
}

/* Whether it says that it is ready within timeout_ms; fills its address. */
static bool ready(struct child *child, int timeout_ms)
{
    struct pollfd p = {.fd = child->ready_fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) != 1)
        return false;
    ssize_t n = read(child->ready_fd, child->address, sizeof child->address - 1);
    if (n <= 1 || child->address[n - 1] != '\n')
        return false;
    child->address[n - 1] = 0;
    return true;
}

static struct child start(const char *path, const char *name, const char *global,
                          const char *const options[])
{
    struct child child = spawn(path, name, global, options);
    assert_true(ready(&child, PATIENCE_MS));
    return child;
}

static struct child component(const char *name, const char *kind, const char *size,
                              const char *used)
{
    const char *const options[] = {"--kind", kind, "--size", size, "--used", used, NULL};
    return start(daemon_path, name, rack.global.address, options);
}

/* Waits for its end; returns its wait status. */
static int await_end(struct child *child, int timeout_ms)
{
    uint64_t until = clock_ms() + (uint64_t)timeout_ms;
    int status;
    while (waitpid(child->pid, &status, WNOHANG) == 0) {
        if (clock_ms() > until)
            fail_msg("process %d does not end", (int)child->pid);
        poll(NULL, 0, 2);
    }
    close(child->ready_fd);
    if (child->lifeline_fd >= 0)
        close(child->lifeline_fd);
    child->pid = 0;
    return status;
}

static int end(struct child *child, int signal)
{
    kill(child->pid, signal);
    return await_end(child, PATIENCE_MS);
}

/* ---- the registry, asked over the wire ---- */

static struct net_conn *connect_as(enum bind_scope scope)
{
    struct msg_bind bind = {.scope = (uint8_t)scope, .writable = ""};
    struct net_conn *conn;
    assert_int_equal(net_connect(rack.global.address, &rack.key, &bind, PATIENCE_MS, &conn, NULL),
                     0);
    return conn;
}

/* Fills *out with the component of a name; false where it is not listed. */
static bool find(const char *name, struct component_info *out)
{
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_components request = {};
    struct msg_components_reply reply;
    bool found = false;
    assert_int_equal(NET_CALL(conn, COMPONENTS, components, &request, &reply, PATIENCE_MS), 0);
    for (uint32_t i = 0; i < reply.components_count && !found; i++) {
        found = strcmp(reply.components[i].name, name) == 0;
        if (found)
            *out = reply.components[i];
    }
    net_close(conn);
    return found;
}

/* Waits until a component is in a state (0: not listed); returns how long that took, in ms. */
static uint64_t await_state(const char *name, int state)
{
    uint64_t began = clock_ms();
    for (;;) {
        struct component_info info;
        int now = find(name, &info) ? info.state : 0;
        if (now == state)
            return clock_ms() - began;
        if (clock_ms() - began > PATIENCE_MS)
            fail_msg("%s is in state %d, not %d", name, now, state);
        poll(NULL, 0, 5);
    }
}

static int place(struct msg_place_reply *reply)
{
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_place request = {0};
    int rc = NET_CALL(conn, PLACE, place, &request, reply, PATIENCE_MS);
    net_close(conn);
    return rc;
}

/* Waits until a component has been told of so many members of the rack. */
static void await_members(const char *name, uint32_t members)
{
    uint64_t began = clock_ms();
    struct component_info info;
    while (!find(name, &info) || info.processes != members) {
        if (clock_ms() - began > PATIENCE_MS)
            fail_msg("%s knows of %u members, not %u", name, info.processes, members);
        poll(NULL, 0, 5);
    }
}

static int drain(struct component id, bool on)
{
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_drain request = {.id = id, .on = on};
    struct msg_drain_reply reply;
    int rc = NET_CALL(conn, DRAIN, drain, &request, &reply, PATIENCE_MS);
    net_close(conn);
    return rc;
}

/* ---- fixtures ---- */

static int setup(void **state)
{
    char path[64];
    strcpy(rack.directory, "/tmp/ashlar-test-XXXXXX");
    assert_non_null(mkdtemp(rack.directory));
    snprintf(path, sizeof path, "%s/key", rack.directory);
    assert_int_equal(net_key_create(path), 0);
    assert_int_equal(net_key_load(path, &rack.key), 0);
    rack.global = start(global_path, "g1", NULL, NULL);
    return 0;
}

static int teardown(void **state)
{
    char path[64];
    if (rack.global.pid)
        assert_int_equal(end(&rack.global, SIGTERM), 0);
    static const char *const files[] = {"key", "registry"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", rack.directory, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(rack.directory), 0); /* nothing else was left there */
    return 0;
}

/* ---- tests ---- */

static void components_are_listed(void **state)
{
    struct component_info g1, m1;
    struct child m = component("m1", "memory", "64M", "1M");
    assert_true(find("g1", &g1));
    assert_int_equal(g1.kind, COMPONENT_GLOBAL);
    assert_int_equal(g1.state, COMPONENT_UP);
    assert_int_equal(g1.pid, rack.global.pid);
    assert_string_equal(g1.address, rack.global.address);
    assert_true(find("m1", &m1));
    assert_int_equal(m1.kind, COMPONENT_MEMORY);
    assert_int_equal(m1.state, COMPONENT_UP);
    assert_int_equal(m1.pid, m.pid);
    assert_string_equal(m1.address, m.address);
    assert_int_equal(m1.size_bytes, 64 << 20);
    assert_int_equal(m1.used_bytes, 1 << 20);
    assert_int_not_equal(m1.id.n, g1.id.n);

    /* It answers by the number that it was given. */
    struct net_conn *conn;
    struct component server;
    struct msg_bind bind = {.scope = SCOPE_COMPONENT};
    assert_int_equal(net_connect(m.address, &rack.key, &bind, PATIENCE_MS, &conn, &server), 0);
    assert_int_equal(server.n, m1.id.n);
    net_close(conn);

    /* An orderly end: within a second, with code 0, and out of the list. */
    uint64_t began = clock_ms();
    assert_int_equal(end(&m, SIGTERM), 0);
    assert_true(clock_ms() - began < 1000);
    assert_false(find("m1", &m1));
}

static void placement(void **state)
{
    struct msg_place_reply reply;
    assert_int_equal(place(&reply), ASH_NO_COMPONENT);
    struct child m1 = component("m1", "memory", "64M", "60M");
    struct child m2 = component("m2", "memory", "2G", "1M");
    struct child s1 = component("s1", "storage", "1G", "1M");
    assert_int_equal(place(&reply), ASH_NO_COMPONENT); /* still no pComponent */
    struct child p1 = component("p1", "process", "0", "0");
    assert_int_equal(place(&reply), 0);
    assert_string_equal(reply.process.name, "p1");
    assert_string_equal(reply.memory.name, "m2");
    assert_string_equal(reply.storage.name, "s1");
    assert_string_equal(reply.memory.address, m2.address);

    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_place_vregion wanted = {.home = reply.memory.id};
    struct msg_place_vregion_reply owner;
    assert_int_equal(NET_CALL(conn, PLACE_VREGION, place_vregion, &wanted, &owner, PATIENCE_MS), 0);
    assert_string_equal(owner.owner.name, "m1");
    assert_int_equal(end(&m1, SIGTERM), 0);
    assert_int_equal(NET_CALL(conn, PLACE_VREGION, place_vregion, &wanted, &owner, PATIENCE_MS),
                     ASH_NO_FRAMES);
    net_close(conn);
    end(&m2, SIGTERM);
    end(&s1, SIGTERM);
    end(&p1, SIGTERM);
}

static void the_killed_are_down(void **state)
{
    struct component_info before, after;
    struct child m1 = component("m1", "memory", "64M", "3M");
    assert_true(find("m1", &before));
    end(&m1, SIGKILL);
    await_state("m1", COMPONENT_DOWN);
    assert_true(find("m1", &after)); /* listed, with its last figures */
    assert_int_equal(after.used_bytes, 3 << 20);
    /* It comes back under its name: the same number. */
    m1 = component("m1", "memory", "64M", "0");
    assert_true(find("m1", &after));
    assert_int_equal(after.state, COMPONENT_UP);
    assert_int_equal(after.id.n, before.id.n);
    end(&m1, SIGTERM);
}

static void the_silent_are_down(void **state)
{
    struct child m1 = component("m1", "memory", "64M", "0");
    kill(m1.pid, SIGSTOP);
    assert_in_range(await_state("m1", COMPONENT_DOWN), 500, LEASE_MS + 2000);
    kill(m1.pid, SIGCONT);
    await_state("m1", COMPONENT_UP);
    /* It has heard that it was lost, once, and stays. */
    struct component_info info;
    uint64_t began = clock_ms();
    while (find("m1", &info) && info.cached_bytes != 1 && clock_ms() - began < PATIENCE_MS)
        poll(NULL, 0, 5);
    assert_int_equal(info.cached_bytes, 1);
    assert_int_equal(info.state, COMPONENT_UP);
    end(&m1, SIGTERM);
}

/* Each component follows who is in the rack, by its heartbeats. */
static void members_are_told(void **state)
{
    struct child m1 = component("m1", "memory", "64M", "0");
    await_members("m1", 2); /* with the global managers */
    struct child m2 = component("m2", "memory", "64M", "0");
    await_members("m1", 3);
    await_members("m2", 3);
    end(&m2, SIGTERM);
    await_members("m1", 2);

    struct net_conn *conn;
    struct msg_bind bind = {.scope = SCOPE_COMPONENT};
    struct msg_components request = {};
    struct msg_components_reply reply;
    assert_int_equal(net_connect(m1.address, &rack.key, &bind, PATIENCE_MS, &conn, NULL), 0);
    assert_int_equal(NET_CALL(conn, COMPONENTS, components, &request, &reply, PATIENCE_MS), 0);
    assert_int_equal(reply.components_count, 2);
    assert_string_equal(reply.components[0].name, "g1");
    assert_string_equal(reply.components[1].name, "m1");
    /* Who is there after a restart of the global managers, whatever they count from. */
    end(&rack.global, SIGKILL);
    assert_in_range(-NET_CALL(conn, COMPONENTS, components, &request, &reply, PATIENCE_MS), 1,
                    6000);
    net_close(conn);
    m2 = spawn(daemon_path, "m2", rack.global.address, NULL);
    const char *const options[] = {"--listen", rack.global.address, NULL};
    rack.global = start(global_path, "g1", NULL, options);
    assert_true(ready(&m2, PATIENCE_MS));
    await_members("m1", 3);
    await_members("m2", 3);
    end(&m1, SIGTERM);
    end(&m2, SIGTERM);
}

static void drained_ones_are_not_chosen(void **state)
{
    struct component_info m1_info, m2_info;
    struct msg_place_reply reply;
    struct child m1 = component("m1", "memory", "2G", "0");
    assert_true(find("m1", &m1_info));
    assert_int_equal(drain(m1_info.id, true), -EBUSY); /* the only one */
    struct child m2 = component("m2", "memory", "64M", "0");
    struct child s1 = component("s1", "storage", "1G", "0");
    struct child p1 = component("p1", "process", "0", "0");
    assert_true(find("m2", &m2_info));
    assert_int_equal(drain(m1_info.id, true), 0);
    await_state("m1", COMPONENT_DRAINING);
    assert_int_equal(place(&reply), 0);
    assert_string_equal(reply.memory.name, "m2");
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_place_vregion wanted = {.home = m2_info.id};
    struct msg_place_vregion_reply owner;
    assert_int_equal(NET_CALL(conn, PLACE_VREGION, place_vregion, &wanted, &owner, PATIENCE_MS),
                     ASH_NO_FRAMES);
    /* Also when the global managers are started again. */
    await_members("m1", 5 + 100);
    net_close(conn);
    end(&rack.global, SIGKILL);
    const char *const options[] = {"--listen", rack.global.address, NULL};
    rack.global = start(global_path, "g1", NULL, options);
    await_state("m1", COMPONENT_DRAINING);
    await_state("m2", COMPONENT_UP);
    conn = connect_as(SCOPE_COMPONENT);
    assert_int_equal(drain(m1_info.id, false), 0);
    assert_int_equal(NET_CALL(conn, PLACE_VREGION, place_vregion, &wanted, &owner, PATIENCE_MS), 0);
    assert_string_equal(owner.owner.name, "m1");
    wanted.also = m1_info.id;
    assert_int_equal(NET_CALL(conn, PLACE_VREGION, place_vregion, &wanted, &owner, PATIENCE_MS),
                     ASH_NO_FRAMES);
    net_close(conn);
    end(&m1, SIGTERM);
    end(&m2, SIGTERM);
    end(&s1, SIGTERM);
    end(&p1, SIGTERM);
}

/* The newer process of a name wins, and the older one ends. */
static void one_of_each_name(void **state)
{
    struct component_info info;
    struct child old = component("m1", "memory", "64M", "0");
    struct child young = component("m1", "memory", "64M", "0");
    assert_int_equal(WEXITSTATUS(await_end(&old, PATIENCE_MS)), 1);
    assert_true(find("m1", &info));
    assert_int_equal(info.pid, young.pid);
    assert_int_equal(info.state, COMPONENT_UP);
    end(&young, SIGTERM);
}

static void global_dies_and_returns(void **state)
{
    struct component_info m1_before, m2_before, m1_after, m2_after, m3_info;
    struct child m1 = component("m1", "memory", "64M", "0");
    struct child m2 = component("m2", "memory", "64M", "0");
    char address[ADDRESS_LIMIT];
    assert_true(find("m1", &m1_before));
    assert_true(find("m2", &m2_before));
    strcpy(address, rack.global.address);
    end(&rack.global, SIGKILL);

    /* They serve on. */
    struct net_conn *conn;
    struct component server;
    struct msg_bind bind = {.scope = SCOPE_COMPONENT};
    assert_int_equal(net_connect(m1.address, &rack.key, &bind, PATIENCE_MS, &conn, &server), 0);
    assert_int_equal(server.n, m1_before.id.n);
    net_close(conn);
    /* One that ends meanwhile does so in time. */
    uint64_t began = clock_ms();
    assert_int_equal(end(&m2, SIGTERM), 0);
    assert_true(clock_ms() - began < 1000);
    /* One that starts meanwhile is not ready, but waits. */
    struct child m3 = spawn(daemon_path, "m3", address, NULL);
    assert_false(ready(&m3, 400));

    const char *const options[] = {"--listen", address, NULL};
    rack.global = start(global_path, "g1", NULL, options);
    assert_string_equal(rack.global.address, address);
    assert_true(ready(&m3, PATIENCE_MS));
    await_state("m1", COMPONENT_UP);
    m2 = component("m2", "memory", "64M", "0");
    assert_true(find("m1", &m1_after));
    assert_true(find("m2", &m2_after));
    assert_true(find("m3", &m3_info));
    assert_int_equal(m1_after.pid, m1_before.pid);
    assert_int_equal(m1_after.id.n, m1_before.id.n);
    assert_int_equal(m2_after.id.n, m2_before.id.n);
    assert_int_not_equal(m3_info.id.n, m1_after.id.n);
    assert_int_not_equal(m3_info.id.n, m2_after.id.n);
    end(&m1, SIGTERM);
    end(&m2, SIGTERM);
    end(&m3, SIGTERM);
}

static void lifelines(void **state)
{
    struct child m1 = component("m1", "memory", "64M", "0");
    close(m1.lifeline_fd);
    m1.lifeline_fd = -1;
    assert_int_equal(await_end(&m1, 1000), 0);
    await_state("m1", 0);
    close(rack.global.lifeline_fd);
    rack.global.lifeline_fd = -1;
    assert_int_equal(await_end(&rack.global, 1000), 0);
}

static void interrupts(void **state)
{
    struct child m1 = component("m1", "memory", "64M", "0");
    assert_int_equal(end(&m1, SIGINT), 0);
    await_state("m1", 0);
}

static void processes_may_only_ping(void **state)
{
    struct net_conn *conn = connect_as(SCOPE_PROCESS);
    struct net_frame frame;
    uint8_t body[256] = {0};
    for (int i = 0; i < OP_COUNT; i++) {
        uint16_t op = (uint16_t)(0x0200 + i);
        int rc = net_request(conn, op, body, sizeof body, NULL, 0, PATIENCE_MS, &frame);
        assert_true(rc == ASH_FORBIDDEN || rc == ASH_UNKNOWN_OP);
        if (wire_op_index(op) >= 0)
            assert_int_equal(rc, ASH_FORBIDDEN);
    }
    struct msg_ping ping = {};
    struct msg_ping_reply reply;
    assert_int_equal(NET_CALL(conn, PING, ping, &ping, &reply, PATIENCE_MS), 0);
    assert_int_equal(reply.refused, OP_COUNT);
    net_close(conn);
}

static void malformed_requests(void **state)
{
    static const uint16_t ops[] = {OP_REGISTER,      OP_HEARTBEAT,  OP_LEAVE, OP_PLACE,
                                   OP_PLACE_VREGION, OP_COMPONENTS, OP_DRAIN};
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct net_frame frame;
    uint8_t body[300];
    memset(body, 0xff, sizeof body);
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (size_t size = 1; size <= sizeof body; size += 23)
            assert_int_equal(net_request(conn, ops[i], body, size, NULL, 0, PATIENCE_MS, &frame),
                             ASH_MALFORMED);
    assert_int_equal(net_request(conn, OP_LINE_FETCH, body, 8, NULL, 0, PATIENCE_MS, &frame),
                     ASH_UNKNOWN_OP);
    net_close(conn);
}

static void keys_are_checked(void **state)
{
    char path[64], other[64];
    snprintf(path, sizeof path, "%s/key", rack.directory);
    snprintf(other, sizeof other, "%s/other", rack.directory);
    /* A key that others may read. */
    chmod(path, 0644);
    struct child m1 = spawn(daemon_path, "m1", rack.global.address, NULL);
    assert_int_equal(WEXITSTATUS(await_end(&m1, PATIENCE_MS)), 1);
    chmod(path, 0600);
    /* Another rack's key. */
    rename(path, other);
    assert_int_equal(net_key_create(path), 0);
    m1 = spawn(daemon_path, "m1", rack.global.address, NULL);
    assert_int_equal(WEXITSTATUS(await_end(&m1, PATIENCE_MS)), 1);
    rename(other, path);
    struct component_info info;
    assert_false(find("m1", &info));
    struct net_conn *conn = connect_as(SCOPE_COMPONENT);
    struct msg_ping ping = {};
    struct msg_ping_reply reply;
    assert_int_equal(NET_CALL(conn, PING, ping, &ping, &reply, PATIENCE_MS), 0);
    assert_true(reply.refused >= 1);
    net_close(conn);
}

static void wrong_options(void **state)
{
    static const char *const wrong[][3] = {{"--size", "12Q"},
                                           {"--kind", "toaster"},
                                           {"--ready-fd", "x"},
                                           {"--log-level", "loud"},
                                           {"--nonsense", "1"},
                                           {"argument"},
                                           {"--name", "far-too-long-a-name"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct child m1 = spawn(daemon_path, "m1", rack.global.address, wrong[i]);
        assert_int_equal(WEXITSTATUS(await_end(&m1, PATIENCE_MS)), 2);
    }
    struct child m1 = spawn(daemon_path, "m1", NULL, NULL); /* --global is missing */
    assert_int_equal(WEXITSTATUS(await_end(&m1, PATIENCE_MS)), 2);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    global_path = argv[1];
    daemon_path = argv[2];
#define WITH_RACK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_RACK(components_are_listed),
        WITH_RACK(placement),
        WITH_RACK(the_killed_are_down),
        WITH_RACK(the_silent_are_down),
        WITH_RACK(members_are_told),
        WITH_RACK(drained_ones_are_not_chosen),
        WITH_RACK(one_of_each_name),
        WITH_RACK(global_dies_and_returns),
        WITH_RACK(lifelines),
        WITH_RACK(interrupts),
        WITH_RACK(processes_may_only_ping),
        WITH_RACK(malformed_requests),
        WITH_RACK(keys_are_checked),
        WITH_RACK(wrong_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
