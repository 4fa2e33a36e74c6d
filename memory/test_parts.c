/*
 * An address space at several mComponents: where vRegions go, what becomes of parts that have no
 * process, or no home, any more. A real rack, with a small m1 and a larger m2.
 */
#include <errno.h>
#include <unistd.h>

#include "clock.h"
#include "test_rack.h"

enum { M1_LINES = 8 * 256, M2_LINES = 48 * 256, RUN = 64 };

static struct rack rack;
static uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE];

static int start(void **state)
{
    static char *options[] = {"--replica-dram", "all", NULL};
    rack_memory_options = options; /* each frame is counted */
    rack_start(&rack, "8M");
    rack_start_memory(&rack, 1, "48M");
    return 0;
}

static int stop(void **state)
{
    rack_stop(&rack);
    return 0;
}

static uint64_t line_of(uint32_t vregion)
{
    return (uint64_t)vregion * VREGION_LINES;
}

static void expect_nothing_held(uint64_t within_ms)
{
    uint64_t end_ms = clock_ms() + within_ms;
    for (int i = 0; i < 2; i++) {
        if (!rack.memories[i].pid)
            continue;
        struct net_conn *conn = rack_component_at(&rack, i);
        while (ask_ping(conn).used_bytes) {
            assert_true(clock_ms() < end_ms);
            usleep(10000);
        }
        net_close(conn);
    }
}

static void expect_run(struct net_conn *conn, struct asid asid, uint64_t line, uint64_t stamp)
{
    assert_int_equal(ask_fetch(conn, asid, line, RUN, kinds, data), RUN);
    for (int i = 0; i < RUN; i++)
        assert_true(kinds[i] == LINE_DATA && line_is(data + i * LINE_SIZE, stamp + (uint64_t)i));
}

/* A space at m1 whose vRegions 10 and 11 lie there and at m2, with a run of lines in each. */
struct process {
    struct asid asid;
    struct net_conn *home, *further; /* connections of the process, to either */
};

static struct process process_new(struct net_conn *component)
{
    struct process p = {.asid = ask_create(component)};
    struct vregion_info infos[3];
    p.home = rack_process(&rack, p.asid);
    assert_int_equal(ask_grant_lines(p.home, p.asid, 10, 1, 1000, infos), 0);
    assert_int_equal(infos[0].part, 0);
    assert_int_equal(infos[0].owner.n, rack.memories[0].id.n);
    assert_int_equal(ask_grant_lines(p.home, p.asid, 11, 1, 3000, infos), 0);
    assert_int_equal(infos[0].part, 1);
    assert_int_equal(infos[0].owner.n, rack.memories[1].id.n);
    p.further = rack_process_at(&rack, 1, asid_part(p.asid, 1));
    for (uint32_t i = 0; i < 2; i++) {
        struct net_conn *conn = i ? p.further : p.home;
        struct asid asid = asid_part(p.asid, i);
        assert_int_equal(ask_op(conn, asid, VM_OP_MAP, line_of(10 + i), 3000), 0);
        assert_int_equal(ask_write(conn, asid, line_of(10 + i), RUN, 100 + 1000 * i), RUN);
    }
    return p;
}

static void process_end(struct process *p)
{
    net_close(p->further);
    net_close(p->home);
}

static void grants_spill_over(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct process p = process_new(component);
    struct vregion_info infos[8];
    expect_run(p.home, p.asid, line_of(10), 100);
    expect_run(p.further, asid_part(p.asid, 1), line_of(11), 1100);
    /* Neither component has what the other has, nor may the process mix them up. */
    assert_int_equal(ask_fetch(p.home, p.asid, line_of(11), 1, kinds, data), -EFAULT);
    assert_int_equal(ask_op(p.home, p.asid, VM_OP_MAP, line_of(11), 1), -EFAULT);
    assert_int_equal(ask_fetch(p.further, p.asid, line_of(11), 1, kinds, data), ASH_FORBIDDEN);
    assert_int_equal(ask_grant_lines(p.further, asid_part(p.asid, 1), 12, 1, 1, infos),
                     ASH_FORBIDDEN);
    /* What is only reserved stays at home; what there is room for, too; what is active stays. */
    assert_int_equal(ask_grant_lines(p.home, p.asid, 20, 3, 0, infos), 0);
    assert_int_equal(infos[2].part, 0);
    assert_int_equal(ask_grant_lines(p.home, p.asid, 23, 1, 500, infos), 0);
    assert_int_equal(infos[0].part, 0);
    assert_int_equal(ask_grant_lines(p.home, p.asid, 10, 2, 9, infos), 0);
    assert_int_equal(infos[0].part, 0);
    assert_int_equal(infos[1].part, 1);
    assert_int_equal(infos[1].owner.n, rack.memories[1].id.n);
    /* Several at once: the share of each is what counts, and the part that is there is used. */
    assert_int_equal(ask_grant_lines(p.home, p.asid, 30, 4, 4 * 2000, infos), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(infos[i].part, 1);
    /* m2 has promised 3000 + 8000 of its 12288 lines: more goes where most is free. */
    assert_int_equal(ask_grant_lines(p.home, p.asid, 40, 1, 8000, infos), 0);
    assert_int_equal(infos[0].part, 1);
    assert_int_equal(ask_grant_lines(p.home, p.asid, 41, 1, 300, infos), 0);
    assert_int_equal(infos[0].part, 0);

    assert_int_equal(ask_destroy(component, p.asid), 0);
    expect_nothing_held(0);
    assert_int_equal(ask_fetch(p.further, asid_part(p.asid, 1), line_of(11), 1, kinds, data),
                     ASH_NO_SPACE_ID);
    process_end(&p);
    net_close(component);
}

/* Promises end with the lines that they were made for. */
static void promises_are_not_for_ever(void **state)
{
    struct net_conn *component = rack_component(&rack);
    for (int i = 0; i < 3; i++) {
        struct process p = process_new(component);
        assert_int_equal(i % 2 ? ask_reset(p.home, p.asid) : ask_destroy(component, p.asid), 0);
        expect_nothing_held(0);
        if (i % 2)
            assert_int_equal(ask_destroy(component, p.asid), 0);
        process_end(&p);
    }
    net_close(component);
}

static void a_forked_process_has_the_same_parts(void **state)
{
    struct net_conn *component = rack_component(&rack), *second = rack_component_at(&rack, 1);
    struct process p = process_new(component);
    struct asid child = {0}, further = {0};
    struct vregion_info infos[2];
    assert_int_equal(ask_clone(p.home, p.asid, &child), 0);
    assert_int_equal(child.n % PARTS_MAX, 0);
    further = child; /* not a name of a further part */
    assert_int_equal(ask_clone(p.further, asid_part(p.asid, 1), &further), -EINVAL);
    further = asid_part(child, 1);
    assert_int_equal(ask_clone(p.further, asid_part(p.asid, 1), &further), 0);
    assert_int_equal(ask_write(p.further, asid_part(p.asid, 1), line_of(11), RUN, 7000), RUN);
    expect_run(second, further, line_of(11), 1100);
    expect_run(component, child, line_of(10), 100);
    assert_int_equal(ask_grant_lines(component, child, 10, 2, 0, infos), 0);
    assert_int_equal(infos[1].part, 1);
    assert_int_equal(infos[1].owner.n, rack.memories[1].id.n);
    assert_int_equal(ask_destroy(component, child), 0);
    assert_int_equal(ask_fetch(second, further, line_of(11), 1, kinds, data), ASH_NO_SPACE_ID);
    expect_run(p.further, asid_part(p.asid, 1), line_of(11), 7000);
    assert_int_equal(ask_destroy(component, p.asid), 0);
    expect_nothing_held(0);
    process_end(&p);
    net_close(second);
    net_close(component);
}

/* A further part lives as long as its process, whether that comes to it or not. */
static void parts_live_as_long_as_their_process(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct process p = process_new(component);
    net_close(p.further);
    usleep((SPACE_GRACE_MS + 600) * 1000); /* for as long as a forgotten one would live */
    p.further = rack_process_at(&rack, 1, asid_part(p.asid, 1));
    expect_run(p.further, asid_part(p.asid, 1), line_of(11), 1100);
    process_end(&p);
    expect_nothing_held(SPACE_GRACE_MS + 1000);
    net_close(component);
}

static void parts_end_without_their_home(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct process p = process_new(component);
    process_end(&p);
    net_close(component);
    rack_kill_memory(&rack, 0);
    expect_nothing_held(SPACE_GRACE_MS + 2000);
    rack_start_memory(&rack, 0, "8M");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_spill_over),
        cmocka_unit_test(promises_are_not_for_ever),
        cmocka_unit_test(a_forked_process_has_the_same_parts),
        cmocka_unit_test(parts_live_as_long_as_their_process),
        cmocka_unit_test(parts_end_without_their_home),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
