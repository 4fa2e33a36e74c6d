/* Replicas whose lines go to a log at an sComponent: bounded in DRAM and in the log, right bit for
   bit when they take the primary's place, and through losses of the sComponent. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "test_process.h"

enum {
    MANY = 4000, /* lines: 15.6 MiB */
    STEP = 50,
    BUDGET = 1 << 20,
    PATIENCE_MS = COPY_MS,
    LOST_MS = LOG_PATIENCE_MS + 5000,
};

static uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE];

static int start(void **state)
{
    static char *options[] = {"--replica-dram", "1M", NULL};
    rack_memory_options = options;
    rack_start(&rack, "48M");
    rack_start_memory(&rack, 1, "48M");
    return 0;
}

static int stop(void **state)
{
    rack_stop(&rack);
    return 0;
}

static struct msg_ping_reply ping_at(int i)
{
    struct net_conn *conn = rack_component_at(&rack, i);
    struct msg_ping_reply reply = ask_ping(conn);
    net_close(conn);
    return reply;
}

/* What the log of one takes at the sComponent. */
static uint64_t log_bytes(int i)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "%s/.ashlar-logs-s1/%u-%d", rack.dir, rack.memories[i].id.n,
             rack.memories[i].pid);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static unsigned logs(void)
{
    char path[300];
    unsigned count = 0;
    snprintf(path, sizeof path, "%s/.ashlar-logs-s1", rack.dir);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return count;
}

/* Those of processes that were killed go in the end, too. */
static void expect_no_logs(void)
{
    uint64_t end_ms = clock_ms() + LOG_GONE_MS + PATIENCE_MS;
    while (logs()) {
        assert_true(clock_ms() < end_ms);
        usleep(10000);
    }
}

static void expect_stamps(struct net_conn *conn, struct asid asid, uint64_t stamp)
{
    for (uint64_t at = 0; at < MANY; at += STEP) {
        assert_int_equal(ask_fetch(conn, asid, FIRST + at, STEP, kinds, data), STEP);
        for (uint32_t i = 0; i < STEP; i++) {
            assert_int_equal(kinds[i], LINE_DATA);
            if (!line_is(data + i * LINE_SIZE, stamp + at + i))
                fail_msg("line %lu of %lx holds %lu", at + i, asid.n,
                         *(const uint64_t *)(data + i * LINE_SIZE));
        }
    }
}

/* Waits until all that its budget does not hold is in the log. */
static void await_logged(int i)
{
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    struct msg_ping_reply reply;
    do {
        if (clock_ms() >= end_ms)
            fail_msg("m%d: %lu in DRAM, %lu logged", i + 1, reply.replica_bytes,
                     reply.logged_bytes);
        reply = ping_at(i);
    } while (reply.logged_bytes < MANY * (uint64_t)LINE_SIZE - BUDGET);
    assert_true(reply.replica_bytes <= BUDGET);
}

static void await_recalled(int i)
{
    uint64_t end_ms = clock_ms() + PATIENCE_MS;
    while (ping_at(i).logged_bytes) {
        assert_true(clock_ms() < end_ms);
        usleep(10000);
    }
}

/* A process with all its lines written, whose replica is at the other mComponent. */
static void begin_many(struct process *p, int at_first)
{
    begin(p, at_first, 2);
    assert_int_equal(ask_op(p->conn, p->asid, VM_OP_MAP, FIRST, MANY), 0);
    for (uint64_t at = 0; at < MANY; at += STEP) {
        assert_int_equal(ask_write(p->conn, p->asid, FIRST + at, STEP, 1000 + at), STEP);
        assert_true(ping_at(1 - at_first).replica_bytes <= BUDGET);
    }
    await_logged(await_role(p->asid, ROLE_REPLICA));
    assert_true(ping_at(1 - at_first).used_bytes < 2 * BUDGET);
}

static void end_all(struct process *p)
{
    end(p);
    for (int i = 0; i < 2; i++)
        if (rack.memories[i].pid)
            expect_nothing_held_at(i, PATIENCE_MS);
}

/* It takes the primary's place, serves at once, and is brought back; and the next one. */
static void a_replica_in_the_log_takes_the_place(void **state)
{
    static struct process p;
    struct asid child = {0};
    begin_many(&p, 0);
    assert_int_equal(ask_clone(p.conn, p.asid, &child), 0);
    struct net_conn *of_child = rack_process(&rack, child);
    assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 7), STEP);
    await_logged(1);
    net_close(of_child);

    struct component lost = rack.memories[0].id;
    lose_primary(&p);
    assert_int_equal(locate(1, child, lost).role, ROLE_PRIMARY);
    assert_int_equal(ask_fetch(p.conn, p.asid, FIRST, STEP, kinds, data), STEP);
    assert_true(line_is(data, 7));
    assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 1000), STEP);
    expect_stamps(p.conn, p.asid, 1000);
    of_child = rack_process_at(&rack, 1, child);
    expect_stamps(of_child, child, 1000);
    await_recalled(1);
    assert_int_equal(ask_destroy(of_child, child), 0);
    net_close(of_child);

    rack_start_memory(&rack, 0, "48M");
    await_logged(await_role(p.asid, ROLE_REPLICA));
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    rack_start_memory(&rack, 1, "48M");
    end_all(&p);
}

/* What is overwritten and unmapped leaves the log: it takes at most some twice what is in it. */
static void the_log_stays_small(void **state)
{
    static struct process p;
    struct random r = {1};
    begin_many(&p, 0);
    for (int i = 0; i < 400; i++) {
        uint64_t at = random_below(&r, MANY / STEP) * STEP;
        assert_int_equal(ask_write(p.conn, p.asid, FIRST + at, STEP, 1000 + at), STEP);
    }
    await_logged(1);
    /* Three of four lines go, so few segments are empty by themselves. */
    for (uint64_t at = 0; at < MANY; at += 4)
        assert_int_equal(ask_op(p.conn, p.asid, VM_OP_DISCARD, FIRST + at, 3), 0);
    uint64_t end_ms = clock_ms() + PATIENCE_MS, takes, logged;
    do {
        usleep(10000);
        takes = log_bytes(1);
        logged = ping_at(1).logged_bytes;
        if (clock_ms() > end_ms)
            fail_msg("%lu KiB logged take %lu KiB", logged >> 10, takes >> 10);
    } while (takes > 2 * logged + 20 * (260 << 10) + logged / 4);
    assert_true(takes);
    lose_primary(&p);
    for (uint64_t at = 0; at < MANY; at += STEP) {
        assert_int_equal(ask_fetch(p.conn, p.asid, FIRST + at, STEP, kinds, data), STEP);
        for (uint32_t i = 0; i < STEP; i++) {
            assert_int_equal(kinds[i], (at + i) % 4 == 3 ? LINE_DATA : LINE_ZERO);
            if (kinds[i] == LINE_DATA)
                assert_true(line_is(data + i * LINE_SIZE, 1000 + at + i));
        }
    }
    rack_start_memory(&rack, 0, "48M");
    end_all(&p);
}

/* The sComponent's process is killed and started again while lines are in its log. */
static void a_restarted_scomponent_has_its_logs(void **state)
{
    static struct process p;
    begin_many(&p, 0);
    rack_kill_storage(&rack);
    assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 1000), STEP); /* goes on */
    rack_start_storage(&rack);
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    rack_start_memory(&rack, 0, "48M");
    await_logged(await_role(p.asid, ROLE_REPLICA));
    end_all(&p);
}

/* The sComponent does not come back: the replica is made anew, in DRAM. */
static void a_lost_scomponent_costs_no_memory(void **state)
{
    static struct process p;
    begin_many(&p, 0);
    rack_kill_storage(&rack);
    uint64_t end_ms = clock_ms() + LOST_MS;
    while (ping_at(1).logged_bytes || ping_at(1).replica_bytes < MANY * (uint64_t)LINE_SIZE) {
        assert_true(clock_ms() < end_ms);
        assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 1000), STEP);
    }
    await_role(p.asid, ROLE_REPLICA);
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    rack_start_storage(&rack);
    rack_start_memory(&rack, 0, "48M");
    await_logged(await_role(p.asid, ROLE_REPLICA));
    end_all(&p);
}

/* One that has taken a lost primary's place has lines there alone: its memory is lost, and it says
   so. */
static void what_was_nowhere_else_is_lost(void **state)
{
    static struct process p;
    begin_many(&p, 1); /* the other one may not know yet that its log's sComponent is back */
    rack_kill_storage(&rack);
    lose_primary(&p);
    uint64_t began_ms = clock_ms();
    int rc;
    while ((rc = ask_fetch(p.conn, p.asid, FIRST, 1, kinds, data)) > 0)
        assert_true(clock_ms() - began_ms < LOST_MS);
    assert_true(rc == ASH_MOVED || rc == ASH_NO_SPACE_ID || rc == ASH_TIMEOUT);
    while (locate(0, p.asid, nobody).role != ROLE_NONE) {
        assert_true(clock_ms() - began_ms < LOST_MS);
        usleep(10000);
    }
    net_close(p.conn);
    rack_start_storage(&rack);
    rack_start_memory(&rack, 1, "48M");
    expect_nothing_held_at(0, PATIENCE_MS);
    expect_no_logs();
}

/* m2, started anew, is to die at a point. */
static void arm(const char *fault)
{
    setenv("ASHLAR_FAULT", fault, 1);
    if (rack.memories[1].pid)
        rack_kill_memory(&rack, 1);
    rack_start_memory(&rack, 1, "48M");
    unsetenv("ASHLAR_FAULT");
}

static bool is_dead(int i)
{
    if (waitpid(rack.memories[i].pid, NULL, WNOHANG) <= 0)
        return false;
    rack.memories[i].pid = 0;
    return true;
}

/* The replica dies when segments were written again, before their frames know it. */
static void a_death_while_segments_are_emptied(void **state)
{
    static struct process p;
    struct random r = {1};
    arm("m2:log.moved:1");
    begin_many(&p, 0);
    for (uint64_t end_ms = clock_ms() + PATIENCE_MS; !is_dead(1);) {
        uint64_t at = random_below(&r, MANY);
        assert_int_equal(ask_write(p.conn, p.asid, FIRST + at, 1, 1000 + at), 1);
        assert_true(clock_ms() < end_ms);
    }
    rack_start_memory(&rack, 1, "48M");
    await_logged(await_role(p.asid, ROLE_REPLICA));
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    rack_start_memory(&rack, 0, "48M");
    end_all(&p);
}

/* One that has taken its primary's place dies while its lines come back: both are lost. */
static void a_death_while_lines_come_back(void **state)
{
    static const char *const faults[] = {"m2:log.read:8", "m2:log.recall:8"};
    static struct process p;
    for (int i = 0; i < 2; i++) {
        arm(faults[i]);
        begin_many(&p, 0);
        lose_primary(&p);
        uint64_t at = 0;
        for (uint64_t end_ms = clock_ms() + PATIENCE_MS; !is_dead(1); at = (at + STEP) % MANY) {
            int rc = ask_fetch(p.conn, p.asid, FIRST + at, STEP, kinds, data);
            assert_true(rc == STEP || rc == ASH_LOST);
            for (int j = 0; j < rc; j++)
                assert_true(line_is(data + j * LINE_SIZE, 1000 + at + (uint64_t)j));
            assert_true(clock_ms() < end_ms);
        }
        net_close(p.conn);
        rack_start_memory(&rack, 0, "48M");
        rack_start_memory(&rack, 1, "48M");
        for (int j = 0; j < 2; j++) {
            assert_int_equal(locate(j, p.asid, nobody).role, ROLE_NONE);
            expect_nothing_held_at(j, PATIENCE_MS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replica_in_the_log_takes_the_place),
        cmocka_unit_test(the_log_stays_small),
        cmocka_unit_test(a_restarted_scomponent_has_its_logs),
        cmocka_unit_test(a_lost_scomponent_costs_no_memory),
        cmocka_unit_test(a_death_while_segments_are_emptied),
        cmocka_unit_test(a_death_while_lines_come_back),
        cmocka_unit_test(what_was_nowhere_else_is_lost),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
