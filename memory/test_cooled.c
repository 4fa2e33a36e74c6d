/* More lines than DRAM: what was stored is read back bit for bit, after a loss of the primary and
   by a child, too; and the daemons stay small. */
#include <stdio.h>
#include <unistd.h>

#include "test_process.h"

enum {
    MANY = 7980, /* lines: 31 MiB, of which lz4 makes some 21 */
    STEP = 60,
    RESIDENT_MAX_KIB = 32 * 1024, /* DRAM, and the program */
};

/* Sanitizers take memory of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE];

static int start(void **state)
{
    static char *options[] = {"--dram", "26M", "--compress", "on", NULL};
    rack_memory_options = options;
    rack_start(&rack, "64M");
    rack_start_memory(&rack, 1, "64M");
    return 0;
}

static int stop(void **state)
{
    rack_stop(&rack);
    return 0;
}

static uint64_t resident_kib(int i)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof path, "/proc/%d/statm", rack.memories[i].pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

static void expect_small(int i)
{
    uint64_t kib = resident_kib(i);
    if (kib > RESIDENT_MAX_KIB && !sanitized)
        fail_msg("m%d takes %lu KiB", i + 1, (unsigned long)kib);
}

static void expect_stamps(struct net_conn *conn, struct asid asid, uint64_t stamp)
{
    for (uint64_t at = 0; at < MANY; at += STEP) {
        assert_int_equal(ask_fetch(conn, asid, FIRST + at, STEP, kinds, data), STEP);
        for (uint32_t i = 0; i < STEP; i++)
            assert_true(kinds[i] == LINE_DATA && line_is(data + i * LINE_SIZE, stamp + at + i));
    }
}

static void more_lines_than_dram(void **state)
{
    static struct process p;
    struct asid child = {0};
    begin(&p, 0, 2);
    assert_int_equal(ask_op(p.conn, p.asid, VM_OP_MAP, FIRST, MANY), 0);
    for (uint64_t at = 0; at < MANY; at += STEP)
        assert_int_equal(ask_write(p.conn, p.asid, FIRST + at, STEP, 1000 + at), STEP);
    await_role(p.asid, ROLE_REPLICA);
    expect_small(0);
    expect_small(1);
    expect_stamps(p.conn, p.asid, 1000);
    expect_small(0);

    /* A child shares what is cold; a change of the parent's is not the child's. */
    assert_int_equal(ask_clone(p.conn, p.asid, &child), 0);
    assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 7), STEP);
    struct net_conn *of_child = rack_process(&rack, child);
    expect_stamps(of_child, child, 1000);
    expect_small(0);
    assert_int_equal(ask_destroy(of_child, child), 0);
    net_close(of_child);

    /* The replica, most of whose lines are cold, takes the primary's place. */
    assert_int_equal(ask_write(p.conn, p.asid, FIRST, STEP, 1000), STEP);
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    expect_small(1);

    /* And a copy is made of it, for which it is read back. */
    rack_start_memory(&rack, 0, "64M");
    await_role(p.asid, ROLE_REPLICA);
    lose_primary(&p);
    expect_stamps(p.conn, p.asid, 1000);
    expect_small(0);
    end(&p);
    struct net_conn *conn = rack_component_at(&rack, 0);
    assert_int_equal(ask_ping(conn).used_bytes, 0);
    net_close(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(more_lines_than_dram)};
    return cmocka_run_group_tests(tests, start, stop);
}
