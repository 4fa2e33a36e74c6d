/*
 * What is ashlar-memory's own: pages of files that are kept, and second copies. What every memory
 * monitor owes its clients is in tests/contract.
 */
#include <unistd.h>

#include "clock.h"
#include "test_requests.h"

/* What a replica is told, by one that has lost its mind: refused, or in that replica alone. */
static void rubbish_for_a_replica(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid, replica;
    struct net_conn *conn = process_with(component, 10, &asid);
    struct random random = {3};
    uint8_t body[2048];
    replica.n = asid.n + PARTS_MAX * 1000;
    assert_int_equal(ask_write(conn, asid, FIRST, 10, 5), 10);
    for (int i = 0; i < 4000; i++) {
        if (i % 100 == 0) {
            struct msg_replica_open open = {.asid = replica,
                                            .run_id = 1,
                                            .replicas = 2,
                                            .primary = {77},
                                            .epoch = (uint32_t)(2 + i)};
            struct msg_replica_open_reply reply;
            assert_int_equal(
                NET_CALL(component, REPLICA_OPEN, replica_open, &open, &reply, RACK_TIMEOUT_MS), 0);
            struct vregion_info info = {.index = 1, .part = 0};
            struct msg_replica_vregions vregions = {
                .asid = replica, .epoch = open.epoch, .vregions = &info, .vregions_count = 1};
            struct msg_replica_vregions_reply learnt;
            assert_int_equal(NET_CALL(component, REPLICA_VREGIONS, replica_vregions, &vregions,
                                      &learnt, RACK_TIMEOUT_MS),
                             0);
        }
        /* Its name, and mostly its epoch, then words that are small more often than not. */
        uint32_t epoch = (uint32_t)(2 + i / 100 * 100), size = (uint32_t)random_below(&random, 400);
        for (uint32_t j = 0; j < size; j++)
            body[j] = random_below(&random, 3) ? 0 : (uint8_t)random_below(&random, 8);
        memcpy(body, &replica, sizeof replica);
        memcpy(body + sizeof replica, &epoch, sizeof epoch);
        uint16_t op = (uint16_t)(OP_REPLICA_VREGIONS + random_below(&random, 7));
        (void)!request_raw(component, op, body, 12 + size);
        if (i % 2) { /* vmas that are well made, but for what they say */
            struct vma_info vmas[3];
            for (int j = 0; j < 3; j++)
                vmas[j] = (struct vma_info){.first = (uint32_t)random_below(&random, 20),
                                            .end = (uint32_t)random_below(&random, 40) *
                                                   (uint32_t)random_below(&random, 900),
                                            .file = random_below(&random, 9) == 0};
            struct msg_replica_vmas m = {.asid = replica,
                                         .epoch = epoch,
                                         .index = (uint32_t)random_below(&random, 3),
                                         .more = (uint8_t)random_below(&random, 2),
                                         .vmas = vmas,
                                         .vmas_count = (uint32_t)random_below(&random, 4)};
            int made = msg_replica_vmas_encode(&m, body, sizeof body);
            (void)!request_raw(component, OP_REPLICA_VMAS, body, (size_t)made);
        }
    }
    expect_line(conn, asid, FIRST + 9, 14);
    struct msg_replica_drop drop = {.asid = replica, .epoch = UINT32_MAX};
    struct msg_replica_drop_reply dropped;
    assert_int_equal(
        NET_CALL(component, REPLICA_DROP, replica_drop, &drop, &dropped, RACK_TIMEOUT_MS), 0);
    ask_destroy(component, replica);
    ask_destroy(component, asid);
    expect_nothing_held(component, 1000);
    net_close(conn);
    net_close(component);
}

/* What was read of a file stays, counted as a cache, when the file is unlinked and the sComponent
   is gone. */
static void pages_are_kept(void **state)
{
    enum { PAGES = 300 };
    char path[128];
    struct file_attr attr;
    struct asid asid;
    struct net_conn *component = rack_component(&rack), *storage = rack_storage(&rack);
    struct net_conn *conn = process_with(component, 1, &asid);
    make_file(path, "kept", PAGES, 0);
    assert_int_equal(ask_open(storage, path, &attr), 0);
    assert_int_equal(ask_map_file(conn, asid, FIRST, PAGES, &attr, 0, path), 0);
    for (uint64_t page = 0; page < PAGES; page++)
        expect_page(conn, asid, FIRST + page, page);
    struct msg_ping_reply ping = ask_ping(component);
    assert_true(ping.cached_bytes >= PAGES * LINE_SIZE);
    assert_int_equal(ping.used_bytes, 0);

    rack_kill_storage(&rack);
    net_close(storage);
    uint64_t start_ms = clock_ms();
    for (uint64_t page = 0; page < PAGES; page++)
        expect_page(conn, asid, FIRST + page, page);
    assert_true(clock_ms() - start_ms < BACKING_TIMEOUT_MS);
    rack_start_storage(&rack);
    ask_destroy(component, asid);
    net_close(conn);
    net_close(component);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rubbish_for_a_replica),
        cmocka_unit_test(pages_are_kept),
    };
    return cmocka_run_group_tests(tests, start_rack, stop_rack);
}
