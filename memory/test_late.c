/*
 * Threads that are late, as on a machine that is starved of CPUs: what was answered stays, whoever
 * comes too late with what he believes. Each test has a rack of m1 and of m2, a thread of which is
 * late at one point (fault.h).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "test_process.h"

static struct process p;

/* A process at m1 whose replica is at m2. */
static void set_up(const char *fault)
{
    struct random random = {11};
    rack_start(&rack, "64M");
    setenv("ASHLAR_FAULT", fault, 1);
    rack_start_memory(&rack, 1, "64M");
    unsetenv("ASHLAR_FAULT");
    begin(&p, 0, 2);
    assert_int_equal(locate(1, p.asid, nobody).role, ROLE_REPLICA);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
}

static void await_primary(int i)
{
    for (uint64_t end_ms = clock_ms() + WAIT_MS; locate(i, p.asid, nobody).role != ROLE_PRIMARY;) {
        assert_true(clock_ms() < end_ms);
        usleep(2000);
    }
}

static void *store_at_m2(void *rc)
{
    struct net_conn *conn = rack_process_at(&rack, 1, p.asid);
    *(int *)rc = ask_write(conn, p.asid, FIRST, 16, 4000);
    net_close(conn);
    return NULL;
}

/* m1 is drained. m2 has taken its place, and dies before m1 hears that: what m2 was told meanwhile,
   and answered, is at m1. */
static void the_new_primary_dies_before_it_says_so(void **state)
{
    enum { LATE_MS = 2500, STORE_MS = 400 };
    pthread_t thread;
    int rc = 0;
    set_up("m2:promote.taken:1:2500");
    change(&p, VM_OP_MAP, 0, 16, 0);
    assert_int_equal(rack_drain(&rack, 0, true), 0);
    await_primary(1);
    assert_int_equal(pthread_create(&thread, NULL, store_at_m2, &rc), 0);
    usleep(STORE_MS * 1000); /* as long as it usually takes, many times over */
    rack_kill_memory(&rack, 1);
    pthread_join(thread, NULL);
    for (uint32_t i = 0; rc > 0 && i < 16; i++)
        p.cells[i].stamp = 4000 + i;
    assert_int_equal(rack_drain(&rack, 0, false), 0);
    expect_all(&p, p.conn, p.asid);
    store(&p, 0, 16, 5000);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    rack_stop(&rack);
}

/* m2's keeper asks m1, the primary of a replica, whether that is one; it has become the primary by
   the time that m1 says that it knows of none. */
static void a_replica_that_nobody_comes_to(void **state)
{
    set_up("m2:forgotten.ask:1:2500");
    uint64_t began_ms = clock_ms();
    usleep((SPACE_GRACE_MS + 300) * 1000); /* it asks when nobody has come for so long */
    assert_int_equal(rack_drain(&rack, 0, true), 0);
    await_primary(1);
    while (clock_ms() - began_ms < SPACE_GRACE_MS + 3500)
        usleep(10000);
    expect_nothing_held_at(0, 0);
    connect_to(&p, 1);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    rack_stop(&rack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_new_primary_dies_before_it_says_so),
        cmocka_unit_test(a_replica_that_nobody_comes_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
