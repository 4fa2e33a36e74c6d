/*
 * Two copies: what was answered is read back bit for bit when either mComponent is killed. A real
 * rack of three mComponents, killed and started again.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "test_process.h"

static int start(void **state)
{
    rack_start(&rack, "64M");
    return 0;
}

static int stop(void **state)
{
    rack_stop(&rack);
    return 0;
}

/* How many parts at m1 are to have a second copy and have none. */
static uint32_t singles(void)
{
    struct net_conn *conn = rack_component_at(&rack, 0);
    uint32_t single = ask_ping(conn).single;
    net_close(conn);
    return single;
}

/* m1 is alone at first: what is written then is copied when m2 comes, what is written later at
   once. */
static void what_was_answered_is_in_two_places(void **state)
{
    static struct process p;
    struct random random = {1};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES - 100, 0);
    live(&p, &random, 100);
    assert_int_equal(singles(), 1);
    rack_start_memory(&rack, 1, "64M");
    live(&p, &random, 100); /* while the copy is made */
    await_role(p.asid, ROLE_REPLICA);
    live(&p, &random, 100);
    assert_int_equal(singles(), 0);
    expect_all(&p, p.conn, p.asid);
    lose_primary(&p);
    assert_int_equal(p.at, 1);
    expect_all(&p, p.conn, p.asid);
    /* The last list that was answered is not applied again; new ones are. */
    const struct vm_op unmap = {.kind = VM_OP_UNMAP, .first = {FIRST}, .count = LINES};
    assert_int_equal(ask_serial(p.conn, p.asid, p.serial, &unmap), 0);
    expect_all(&p, p.conn, p.asid);
    live(&p, &random, 50);
    expect_all(&p, p.conn, p.asid);
    /* Nobody else is there; then somebody is, and all begins anew. */
    start_missing();
    await_role(p.asid, ROLE_REPLICA);
    live(&p, &random, 50);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    expect_nothing_held();
    start_missing();
}

/* Where the replica is of a part whose primary was m1, and was killed: it has taken the place. */
static int lone_replica_of(struct asid asid)
{
    for (int i = 1; i < MEMORIES; i++)
        if (locate(i, asid, rack.memories[0].id).role == ROLE_PRIMARY)
            return i;
    fail_msg("there is no replica");
    return 0;
}

/* A space is in two places before it is known of. */
static void from_the_first_line_on(void **state)
{
    static struct process p, q;
    begin(&p, 0, 2);
    rack_kill_memory(&rack, 0);
    connect_to(&p, lone_replica_of(p.asid));
    change(&p, VM_OP_MAP, 0, LINES, 0);
    store(&p, 0, 1, 42);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();

    begin(&q, 0, 2);
    change(&q, VM_OP_MAP, 0, 10, 0);
    rack_kill_memory(&rack, 0);
    connect_to(&q, lone_replica_of(q.asid));
    expect_all(&q, q.conn, q.asid);
    end(&q);

    /* One that wants no copy has none. */
    begin(&q, 1, 1);
    change(&q, VM_OP_MAP, 0, 10, 0);
    store(&q, 0, 5, 42);
    usleep(500000);
    for (int i = 0; i < MEMORIES; i++)
        if (rack.memories[i].pid)
            assert_int_equal(locate(i, q.asid, nobody).role, i == 1 ? ROLE_PRIMARY : ROLE_NONE);
    end(&q);
    start_missing();
    expect_nothing_held();
}

static void a_lost_replica_is_made_again(void **state)
{
    static struct process p;
    struct random random = {2};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 50);
    int first = await_role(p.asid, ROLE_REPLICA);
    rack_kill_memory(&rack, first);
    live(&p, &random, 100);
    int second = await_role(p.asid, ROLE_REPLICA);
    assert_int_equal(second, 3 - first); /* m2 and m3 */
    live(&p, &random, 50);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    start_missing();
    await_role(p.asid, ROLE_REPLICA);
    end(&p);
    expect_nothing_held();
}

/* A child's replica is where its parent's is, and shares frames with that. */
static void a_forked_process_has_two_copies(void **state)
{
    static struct process parent, child;
    struct random random = {3};
    begin(&parent, 0, 2);
    change(&parent, VM_OP_MAP, 0, LINES, 0);
    for (uint32_t line = 0; line + 64 <= LINES; line += 64)
        store(&parent, line, 64, 1000 + line);
    int replica = await_role(parent.asid, ROLE_REPLICA);
    struct net_conn *there = rack_component_at(&rack, replica);
    uint64_t used = ask_ping(there).used_bytes;
    child = parent;
    child.conn = NULL;
    child.asid.n = 0;
    child.serial = 0;
    assert_int_equal(ask_clone(parent.conn, parent.asid, &child.asid), 0);
    assert_int_equal(locate(replica, child.asid, nobody).role, ROLE_REPLICA);
    assert_true(ask_ping(there).used_bytes - used < 64 * LINE_SIZE);
    net_close(there);
    connect_to(&child, 0);
    live(&child, &random, 100);
    live(&parent, &random, 100);
    expect_all(&child, child.conn, child.asid);
    lose_primary(&parent);
    connect_to(&child, await_role(child.asid, ROLE_PRIMARY));
    assert_int_equal(child.at, parent.at);
    expect_all(&parent, parent.conn, parent.asid);
    expect_all(&child, child.conn, child.asid);
    end(&parent);
    expect_all(&child, child.conn, child.asid);
    end(&child);
    expect_nothing_held();
    start_missing();
}

/* In DRAM and in the log. */
static uint64_t held_at(int i)
{
    struct net_conn *there = rack_component_at(&rack, i);
    struct msg_ping_reply ping = ask_ping(there);
    net_close(there);
    return ping.used_bytes + ping.logged_bytes;
}

/* Copies that are made anew share frames as what they are copies of does, whoever comes first, and
   though each has vRegions that the other has not. */
static void relatives_share_their_new_copies(void **state)
{
    enum { CHILDREN = 6, OWN = 64 };
    static struct process family[CHILDREN + 1];
    struct process *parent = &family[0];
    struct random random = {11};
    begin(parent, 0, 2);
    change(parent, VM_OP_MAP, 0, LINES, 0);
    for (uint32_t line = 0; line + OWN <= LINES; line += OWN)
        store(parent, line, OWN, 1000 + line);
    await_role(parent->asid, ROLE_REPLICA);
    for (int i = 1; i <= CHILDREN; i++) {
        family[i] = *parent;
        family[i].asid.n = family[i].serial = 0;
        assert_int_equal(ask_clone(parent->conn, parent->asid, &family[i].asid), 0);
        family[i].conn = NULL;
        connect_to(&family[i], 0);
        store(&family[i], (uint32_t)i * OWN, OWN, 90000 * (uint64_t)i);
        assert_int_equal(ask_grant(family[i].conn, family[i].asid, 40 + (uint32_t)i, 1), 0);
    }
    assert_int_equal(ask_grant(parent->conn, parent->asid, 90, 3), 0);
    rack_kill_memory(&rack, 0);
    int primary = -1, other = -1;
    for (int i = 0; i <= CHILDREN; i++) {
        other = await_role(family[i].asid, ROLE_REPLICA);
        primary = await_role(family[i].asid, ROLE_PRIMARY);
        connect_to(&family[i], primary);
        live(&family[i], &random, 10);
    }
    print_message("held: %llu and %llu KiB\n", (unsigned long long)held_at(primary) >> 10,
                  (unsigned long long)held_at(other) >> 10);
    assert_true(held_at(other) < held_at(primary) + LINES / 2 * LINE_SIZE);
    rack_kill_memory(&rack, primary);
    for (int i = 0; i <= CHILDREN; i++) {
        connect_to(&family[i], await_role(family[i].asid, ROLE_PRIMARY));
        assert_int_equal(family[i].at, other);
        expect_all(&family[i], family[i].conn, family[i].asid);
        for (int j = 1; j <= CHILDREN; j++) {
            uint64_t line = (40 + (uint64_t)j) * VREGION_LINES;
            int rc = ask_op(family[i].conn, family[i].asid, VM_OP_MAP, line, 1);
            assert_int_equal(rc, i == j ? 0 : -EFAULT);
        }
        end(&family[i]);
    }
    start_missing();
    expect_nothing_held();
}

/* exec: what was before is in neither copy, what comes is in both. */
static void a_new_program_has_two_copies(void **state)
{
    static struct process p;
    struct random random = {4};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 30);
    int replica = await_role(p.asid, ROLE_REPLICA);
    assert_int_equal(ask_reset(p.conn, p.asid), 0);
    expect_nothing_held_at(replica, 0);
    memset(p.cells, 0, sizeof p.cells);
    p.serial = 0;
    assert_int_equal(ask_grant(p.conn, p.asid, 0, 2), 0);
    change(&p, VM_OP_MAP, 10, 500, 0);
    live(&p, &random, 30);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    expect_nothing_held();
    start_missing();
}

/* The home's array is in two places too: a lost home's further parts are found, and ended. */
static void a_lost_home_with_further_parts(void **state)
{
    enum { FURTHER = 50, ALL = 64 << 8 };
    static struct process p;
    struct vregion_info infos[2];
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    store(&p, 0, 10, 5);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER - 1, 1, ALL - 3000, infos), 0);
    assert_int_equal(infos[0].part, 0);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER, 1, 3000, infos), 0);
    assert_int_equal(infos[0].part, 1);
    struct asid further = asid_part(p.asid, 1);
    int where = await_role(further, ROLE_PRIMARY);
    struct net_conn *conn = rack_process_at(&rack, where, further);
    assert_int_equal(ask_op(conn, further, VM_OP_MAP, FURTHER * (uint64_t)VREGION_LINES, 64), 0);
    assert_int_equal(ask_write(conn, further, FURTHER * (uint64_t)VREGION_LINES, 64, 1), 64);
    net_close(conn);
    lose_primary(&p);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER, 1, 0, infos), 0);
    assert_int_equal(infos[0].part, 1);
    assert_int_equal(infos[0].owner.n, rack.memories[where].id.n);
    start_missing();
    /* And a lost further part is found when it is asked for something. */
    await_role(further, ROLE_REPLICA);
    if (where != p.at) {
        rack_kill_memory(&rack, where);
        assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER + 1, 1, ALL, infos), 0);
        where = await_role(further, ROLE_PRIMARY);
    }
    end(&p);
    expect_nothing_held();
    start_missing();
}

static int count_primaries(struct asid asid)
{
    int count = 0;
    for (int i = 0; i < MEMORIES; i++)
        count += rack.memories[i].pid && locate(i, asid, nobody).role == ROLE_PRIMARY;
    return count;
}

/* Where a further part is, is known to the replica before that part is. */
static void a_home_lost_while_a_part_begins(void **state)
{
    enum { FURTHER = 50, ALL = 64 << 8 };
    static struct process p;
    struct vregion_info info;
    rack_kill_memory(&rack, 0);
    setenv("ASHLAR_FAULT", "m1:grant.told:1", 1);
    start_missing();
    unsetenv("ASHLAR_FAULT");
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    for (uint32_t line = 0; line + WRITE_MAX_LINES <= LINES; line += WRITE_MAX_LINES)
        store(&p, line, WRITE_MAX_LINES, 1 + line);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER - 1, 1, ALL - 5000, &info), 0);
    assert_int_equal(info.part, 0);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER, 1, 5000, &info), ASH_LOST);
    struct asid further = asid_part(p.asid, 1);
    rack_kill_memory(&rack, 0); /* it has */
    int heir = await_role(p.asid, ROLE_REPLICA);
    assert_int_equal(locate(heir, p.asid, rack.memories[0].id).role, ROLE_PRIMARY);
    connect_to(&p, heir);
    start_missing(); /* with more room than anybody */
    assert_int_equal(ask_grant_lines(p.conn, p.asid, FURTHER, 1, ALL - 1000, &info), 0);
    assert_true(info.part > 0);
    assert_int_equal(count_primaries(further), 1);
    end(&p);
    expect_nothing_held();
}

/* A file's pages, of which line `first` of the part that is played in has the first; `zero` and
   `own` are lines that the process has written. */
static void expect_pages(const struct process *p, uint32_t first, uint32_t pages, uint32_t zero,
                         uint32_t own)
{
    uint8_t kind, data[LINE_SIZE];
    for (uint32_t i = 0; i < pages; i++) {
        assert_int_equal(ask_fetch(p->conn, p->asid, FIRST + first + i, 1, &kind, data), 1);
        assert_int_equal(kind, i == zero ? LINE_ZERO : LINE_DATA);
        assert_true(kind == LINE_ZERO || line_is(data, i == own ? 99 : 500 + i));
    }
}

/* Both copies have a mapped file held open: it is read on when it was unlinked, and its first user
   is gone. */
static void mapped_files(void **state)
{
    enum { PAGES = 40, ONE = 100, OTHER = 300 };
    static struct process p;
    char path[128];
    struct file_attr attr;
    uint8_t line[LINE_SIZE];
    snprintf(path, sizeof path, "%s/text", rack.dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (uint32_t i = 0; i < PAGES; i++) {
        line_make(line, 500 + i);
        fwrite(line, 1, LINE_SIZE, f);
    }
    assert_int_equal(fclose(f), 0);
    struct net_conn *storage = rack_storage(&rack);
    assert_int_equal(ask_open(storage, path, &attr), 0);
    begin(&p, 0, 2);
    /* One view before there is a copy, the other one after. */
    assert_int_equal(ask_map_file(p.conn, p.asid, FIRST + ONE, PAGES, &attr, 0, path), 0);
    assert_int_equal(ask_write(p.conn, p.asid, FIRST + ONE + 7, 1, 0), 1);
    int first = await_role(p.asid, ROLE_REPLICA);
    assert_int_equal(ask_map_file(p.conn, p.asid, FIRST + OTHER, PAGES, &attr, 0, path), 0);
    assert_int_equal(ask_write(p.conn, p.asid, FIRST + OTHER + 8, 1, 99), 1);
    assert_int_equal(unlink(path), 0);
    net_close(storage);
    expect_pages(&p, ONE, PAGES, 7, PAGES);
    expect_pages(&p, OTHER, PAGES, PAGES, 8);
    lose_primary(&p);
    assert_int_equal(p.at, first);
    expect_pages(&p, ONE, PAGES, 7, PAGES);
    expect_pages(&p, OTHER, PAGES, PAGES, 8);
    /* And once more, told as a whole. */
    lose_primary(&p);
    expect_pages(&p, ONE, PAGES, 7, PAGES);
    expect_pages(&p, OTHER, PAGES, PAGES, 8);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* More vmas in a vRegion than one message tells. */
static void very_many_vmas(void **state)
{
    static struct process p;
    begin(&p, 0, 2);
    for (uint32_t line = 0; line < LINES; line += 2)
        change(&p, VM_OP_MAP, line, 1, 0);
    store(&p, 0, 60, 1000);
    for (uint32_t line = 600; line < LINES; line += 4)
        change(&p, VM_OP_UNMAP, line, 1, 0);
    int first = await_role(p.asid, ROLE_REPLICA);
    rack_kill_memory(&rack, first);
    store(&p, 700, 60, 2000);
    await_role(p.asid, ROLE_REPLICA);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

/* It is back at once, and has nothing; nobody says that it was lost. */
static void another_process_under_the_name(void **state)
{
    static struct process p;
    struct random random = {9};
    begin(&p, 0, 2);
    change(&p, VM_OP_MAP, 0, LINES, 0);
    live(&p, &random, 30);
    int replica = await_role(p.asid, ROLE_REPLICA);
    rack_kill_memory(&rack, 0);
    rack_start_memory(&rack, 0, "64M");
    assert_int_equal(await_role(p.asid, ROLE_PRIMARY), replica);
    connect_to(&p, replica);
    expect_all(&p, p.conn, p.asid);
    int second = await_role(p.asid, ROLE_REPLICA);
    rack_kill_memory(&rack, second);
    rack_start_memory(&rack, second, "64M");
    live(&p, &random, 30);
    await_role(p.asid, ROLE_REPLICA);
    lose_primary(&p);
    expect_all(&p, p.conn, p.asid);
    end(&p);
    start_missing();
    expect_nothing_held();
}

struct busy {
    pthread_t thread;
    struct process process;
    struct random random;
};

static void *be_busy(void *argument)
{
    struct busy *b = argument;
    for (int i = 0; i < 6; i++) {
        struct asid child = {0};
        live(&b->process, &b->random, 20);
        if (ask_clone(b->process.conn, b->process.asid, &child) < 0)
            abort();
        struct net_conn *component = rack_component_at(&rack, b->process.at);
        if (ask_destroy(component, child) < 0)
            abort();
        net_close(component);
    }
    return NULL;
}

/* Each of two has the replicas of the other, and all are at it together. */
static void two_that_copy_to_each_other(void **state)
{
    enum { PROCESSES = 6 };
    static struct busy busy[PROCESSES];
    rack_kill_memory(&rack, 2);
    rack_await_state(&rack, 2, COMPONENT_DOWN);
    for (int i = 0; i < PROCESSES; i++) {
        begin(&busy[i].process, i % 2, 2);
        busy[i].random.state = (uint64_t)i;
        change(&busy[i].process, VM_OP_MAP, 0, LINES, 0);
    }
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(pthread_create(&busy[i].thread, NULL, be_busy, &busy[i]), 0);
    for (int i = 0; i < PROCESSES; i++)
        pthread_join(busy[i].thread, NULL);
    struct component lost = rack.memories[0].id;
    for (int i = 0; i < PROCESSES; i++)
        assert_int_equal(locate(1 - i % 2, busy[i].process.asid, nobody).role, ROLE_REPLICA);
    rack_kill_memory(&rack, 0);
    for (int i = 0; i < PROCESSES; i++) {
        assert_int_equal(locate(1, busy[i].process.asid, lost).role, ROLE_PRIMARY);
        connect_to(&busy[i].process, 1);
        expect_all(&busy[i].process, busy[i].process.conn, busy[i].process.asid);
        end(&busy[i].process);
    }
    start_missing();
    expect_nothing_held();
}

/* The component that is to have a further part does not answer: another one gets one, under another
   number. */
static void a_part_at_a_frozen_mcomponent(void **state)
{
    enum { ALL = 64 << 8, VREGION = 90 };
    static struct process p;
    struct vregion_info infos[2];
    begin(&p, 0, 1);
    assert_int_equal(ask_grant_lines(p.conn, p.asid, VREGION, 1, ALL - 1000, infos), 0);
    assert_int_equal(infos[0].part, 0);
    freeze(1);
    freeze(2);
    /* Neither of them: more is promised at home than there is. */
    assert_int_equal(ask_grant_lines(p.conn, p.asid, VREGION + 1, 1, 4000, infos), 0);
    assert_int_equal(infos[0].part, 0);
    thaw(1);
    thaw(2);
    for (int i = 1; i < MEMORIES; i++)
        rack_await_state(&rack, i, COMPONENT_UP);
    uint32_t used = 0;
    for (uint32_t i = 2; i < 8; i++) {
        assert_int_equal(ask_grant_lines(p.conn, p.asid, VREGION + i, 1, 5000, infos), 0);
        if (infos[0].part == 0)
            continue;
        int at = infos[0].owner.n == rack.memories[1].id.n ? 1 : 2;
        assert_int_equal(locate(at, asid_part(p.asid, infos[0].part), nobody).role, ROLE_PRIMARY);
        assert_int_equal(locate(3 - at, asid_part(p.asid, infos[0].part), nobody).role, ROLE_NONE);
        used |= 1u << at;
    }
    assert_int_not_equal(used, 0);
    end(&p);
    expect_nothing_held();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_answered_is_in_two_places),
        cmocka_unit_test(from_the_first_line_on),
        cmocka_unit_test(a_lost_replica_is_made_again),
        cmocka_unit_test(a_forked_process_has_two_copies),
        cmocka_unit_test(relatives_share_their_new_copies),
        cmocka_unit_test(a_new_program_has_two_copies),
        cmocka_unit_test(a_lost_home_with_further_parts),
        cmocka_unit_test(a_home_lost_while_a_part_begins),
        cmocka_unit_test(mapped_files),
        cmocka_unit_test(very_many_vmas),
        cmocka_unit_test(another_process_under_the_name),
        cmocka_unit_test(two_that_copy_to_each_other),
        cmocka_unit_test(a_part_at_a_frozen_mcomponent),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
