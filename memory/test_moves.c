/*
 * mComponents that are frozen, and go on: others have their place by then, and they find it so. And
 * such as are drained, while programs go on.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "test_process.h"

static int start(void **state)
{
    rack_start(&rack, "64M");
    start_missing();
    return 0;
}

static int stop(void **state)
{
    rack_stop(&rack);
    return 0;
}

/* One that was frozen for too long is of the rack again. */
static void await_return(int i)
{
    rack_await_state(&rack, i, COMPONENT_UP);
}

/* The old primary answers nobody any more, keeps nothing, and what had no replica stays. */
static void a_frozen_primary_has_moved(void **state)
{
    static struct process p, old, alone;
    struct random random = {1};
    struct vm_op map = {.kind = VM_OP_MAP, .prot = 3, .first = {FIRST}, .count = 1};
    uint8_t kind, line[LINE_SIZE];
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    int replica = await_role(p.asid, ROLE_REPLICA);
    begin(&alone, 0, 1);
    change(&alone, VM_OP_MAP, 0, LINES, 0);
    live(&alone, &random, 20);

    freeze(0);
    rack_await_state(&rack, 0, COMPONENT_DOWN);
    old = p;
    p.conn = NULL;
    connect_to(&p, await_role(p.asid, ROLE_PRIMARY)); /* without being asked for it */
    assert_int_equal(p.at, replica);
    expect_all(&p, p.conn, p.asid);
    live(&p, &random, 50);
    thaw(0);
    await_return(0);
    assert_int_equal(ask_fetch(old.conn, old.asid, FIRST, 1, &kind, line), ASH_MOVED);
    assert_int_equal(ask_write(old.conn, old.asid, FIRST, 1, 7), ASH_MOVED);
    assert_int_equal(ask_serial(old.conn, old.asid, old.serial + 1, &map), ASH_MOVED);
    await_role(p.asid, ROLE_REPLICA);
    expect_all(&p, p.conn, p.asid);
    live(&p, &random, 50);
    expect_all(&alone, alone.conn, alone.asid);
    end(&alone);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    net_close(old.conn);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* The first thing that an old primary hears of after it was frozen is a change. */
static void a_change_at_a_frozen_primary(void **state)
{
    static struct process p, old;
    struct random random = {6};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    await_role(p.asid, ROLE_REPLICA);
    freeze(0);
    rack_await_state(&rack, 0, COMPONENT_DOWN);
    old = p;
    p.conn = NULL;
    connect_to(&p, await_role(p.asid, ROLE_PRIMARY));
    thaw(0);
    assert_int_equal(ask_write(old.conn, old.asid, FIRST, 1, 7), ASH_MOVED);
    expect_all(&p, p.conn, p.asid);
    await_return(0);
    expect_nothing_held_at(0, 1000);
    net_close(old.conn);
    end(&p);
    expect_nothing_held();
}

/* Frozen, but not for long enough to be lost: it is waited for. */
static void a_short_stop_is_none(void **state)
{
    static struct process p;
    struct random random = {2};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 20);
    int replica = await_role(p.asid, ROLE_REPLICA);
    uint32_t epoch = locate(replica, p.asid, nobody).epoch;
    pid_t pid = fork();
    if (pid == 0) {
        freeze(replica);
        usleep(250000);
        thaw(replica);
        _exit(0);
    }
    for (uint64_t end_ms = clock_ms() + 400; clock_ms() < end_ms;)
        live(&p, &random, 1);
    waitpid(pid, NULL, 0);
    assert_int_equal(locate(replica, p.asid, nobody).epoch, epoch);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

static void *live_on(void *process)
{
    struct random random = {7};
    live(process, &random, 20);
    return NULL;
}

/* A frozen replica holds up who waits for it until it is lost, and nobody else; what it had is
   dropped when it is back. */
static void a_frozen_replica_is_given_up(void **state)
{
    static struct process p, other;
    struct random random = {3};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    int replica = await_role(p.asid, ROLE_REPLICA);
    begin(&other, 0, 1);
    change(&other, VM_OP_MAP, 0, 10, 0);

    freeze(replica);
    pthread_t thread; /* waits for the replica, while the other process goes on */
    uint64_t began_ms = clock_ms(), longest_ms = 0;
    assert_int_equal(pthread_create(&thread, NULL, live_on, &p), 0);
    while (clock_ms() - began_ms < 400) {
        uint64_t before_ms = clock_ms();
        store(&other, 0, 5, 5);
        if (clock_ms() - before_ms > longest_ms)
            longest_ms = clock_ms() - before_ms;
    }
    pthread_join(thread, NULL);
    assert_true(clock_ms() - began_ms < MEMORY_TIMEOUT_MS);
    assert_true(longest_ms < 200);
    int next = await_role(p.asid, ROLE_REPLICA);
    assert_int_not_equal(next, replica);
    thaw(replica);
    await_return(replica);
    expect_nothing_held_at(replica, 2000);
    live(&p, &random, 20);
    end(&other);
    lose_primary(&p);
    assert_int_equal(p.at, next);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* All are frozen together, as a machine is that stops for a while: nobody has lost anything. */
static void all_are_frozen_together(void **state)
{
    static struct process p;
    struct random random = {4};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    await_role(p.asid, ROLE_REPLICA);
    for (int i = 0; i < MEMORIES; i++)
        freeze(i);
    for (int i = 0; i < MEMORIES; i++)
        rack_await_state(&rack, i, COMPONENT_DOWN);
    for (int i = 0; i < MEMORIES; i++)
        thaw(i);
    for (int i = 0; i < MEMORIES; i++)
        await_return(i);
    connect_to(&p, await_role(p.asid, ROLE_PRIMARY));
    live(&p, &random, 50);
    expect_all(&p, p.conn, p.asid);
    await_role(p.asid, ROLE_REPLICA);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* ---- drains ---- */

struct writer {
    pthread_t thread;
    struct process process;
    uint32_t replicas;
    atomic_bool ending;
    atomic_uint moved; /* times that its memory was elsewhere */
    unsigned written;
};

/* Where it is now, as the node of a process would find out. */
static void follow(struct process *p)
{
    for (uint64_t end_ms = clock_ms() + WAIT_MS; clock_ms() < end_ms;) {
        for (int i = 0; i < MEMORIES; i++) {
            if (locate(i, p->asid, nobody).role != ROLE_PRIMARY)
                continue;
            connect_to(p, i);
            return;
        }
    }
    abort();
}

/* Stores its lines, over and over; a request that was not answered is repeated. */
static void *write_on(void *argument)
{
    struct writer *w = argument;
    struct process *p = &w->process;
    struct random random = {w->replicas};
    while (!atomic_load(&w->ending)) {
        uint32_t line = (uint32_t)random_below(&random, LINES - 16);
        uint64_t stamp = 1 + random_below(&random, 1u << 30);
        while (ask_write(p->conn, p->asid, FIRST + line, 16, stamp) == ASH_MOVED) {
            follow(p);
            atomic_fetch_add(&w->moved, 1);
        }
        for (uint32_t i = 0; i < 16; i++)
            p->cells[line + i].stamp = stamp + i;
        w->written++;
    }
    return NULL;
}

static void begin_writer(struct writer *w, uint32_t replicas)
{
    *w = (struct writer){.replicas = replicas};
    begin(&w->process, 0, replicas);
    change(&w->process, VM_OP_MAP, 0, LINES, 0);
    assert_int_equal(pthread_create(&w->thread, NULL, write_on, w), 0);
}

static void end_writer(struct writer *w)
{
    atomic_store(&w->ending, true);
    pthread_join(w->thread, NULL);
    assert_true(w->written > 10);
    expect_all(&w->process, w->process.conn, w->process.asid);
    end(&w->process);
}

/* Empty, and its report says that nothing is left. */
static void await_drained(int i)
{
    uint64_t end_ms = clock_ms() + WAIT_MS;
    expect_nothing_held_at(i, WAIT_MS);
    while (rack_processes(&rack, i)) {
        assert_true(clock_ms() < end_ms);
        usleep(5000);
    }
}

static void drained_while_programs_write(void **state)
{
    static struct writer two, one;
    static struct process idle;
    begin_writer(&two, 2);
    begin_writer(&one, 1);
    begin(&idle, 0, 2);
    change(&idle, VM_OP_MAP, 0, 20, 0);
    await_role(two.process.asid, ROLE_REPLICA);
    assert_int_equal(rack_drain(&rack, 0, true), 0);
    await_drained(0);
    uint64_t end_ms = clock_ms() + WAIT_MS; /* they are at it still */
    while (!atomic_load(&two.moved) || !atomic_load(&one.moved)) {
        assert_true(clock_ms() < end_ms);
        usleep(1000);
    }
    /* What has two copies still has, and what has one has one. */
    await_role(two.process.asid, ROLE_REPLICA);
    int there = await_role(idle.asid, ROLE_PRIMARY), replica = await_role(idle.asid, ROLE_REPLICA);
    for (int i = 0; i < MEMORIES; i++)
        assert_int_equal(locate(i, one.process.asid, nobody).role,
                         i == one.process.at ? ROLE_PRIMARY : ROLE_NONE);
    /* A component with replicas is drained as well: they go where there is room, or nowhere. */
    assert_int_equal(rack_drain(&rack, replica, true), 0);
    await_drained(replica);
    assert_int_equal(rack_drain(&rack, 0, false), 0);
    assert_int_equal(await_role(idle.asid, ROLE_REPLICA), 0);
    assert_int_equal(await_role(idle.asid, ROLE_PRIMARY), there);
    assert_int_equal(rack_drain(&rack, replica, false), 0);
    connect_to(&idle, there);
    expect_all(&idle, idle.conn, idle.asid);
    end(&idle);
    end_writer(&two);
    end_writer(&one);
    expect_nothing_held();
}

/* One that is told to end hands its parts over. */
static void an_orderly_end(void **state)
{
    static struct process p;
    struct random random = {5};
    begin(&p, 1, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    int status, replica = await_role(p.asid, ROLE_REPLICA);
    kill(rack.memories[1].pid, SIGTERM);
    assert_int_equal(waitpid(rack.memories[1].pid, &status, 0), rack.memories[1].pid);
    assert_int_equal(status, 0);
    rack.memories[1].pid = 0;
    assert_int_equal(locate(replica, p.asid, nobody).role, ROLE_PRIMARY);
    connect_to(&p, replica);
    live(&p, &random, 20);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* Nobody says that the replica is lost: the primary waits for a while, then goes on alone, and has
   another one made by what it knows. The last test: the rack has no registry afterwards. */
static void without_the_global_managers(void **state)
{
    static struct process p;
    struct random random = {8};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    int replica = await_role(p.asid, ROLE_REPLICA);
    rack_kill_global(&rack);
    live(&p, &random, 20); /* nobody misses them so far */
    rack_kill_memory(&rack, replica);
    uint64_t began_ms = clock_ms();
    live(&p, &random, 20);
    assert_in_range(clock_ms() - began_ms, 1500, 3500);
    await_role(p.asid, ROLE_REPLICA);
    live(&p, &random, 20);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    expect_nothing_held();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frozen_primary_has_moved),
        cmocka_unit_test(a_change_at_a_frozen_primary),
        cmocka_unit_test(a_short_stop_is_none),
        cmocka_unit_test(a_frozen_replica_is_given_up),
        cmocka_unit_test(all_are_frozen_together),
        cmocka_unit_test(an_orderly_end),
        cmocka_unit_test(drained_while_programs_write),
        cmocka_unit_test(without_the_global_managers),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
