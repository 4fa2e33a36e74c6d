/* See test_requests.h. */
#include "test_requests.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"

struct rack rack;
uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE];

int start_rack(void **state)
{
    rack_start(&rack, "32M");
    return 0;
}

int stop_rack(void **state)
{
    rack_stop(&rack);
    return 0;
}

struct net_conn *process_with(struct net_conn *component, uint64_t lines, struct asid *asid)
{
    *asid = ask_create(component);
    struct net_conn *conn = rack_process(&rack, *asid);
    assert_int_equal(ask_grant(conn, *asid, 1, 1), 0);
    assert_int_equal(ask_op(conn, *asid, VM_OP_MAP, FIRST, lines), 0);
    return conn;
}

void expect_line(struct net_conn *conn, struct asid asid, uint64_t line, uint64_t stamp)
{
    assert_int_equal(ask_fetch(conn, asid, line, 1, kinds, data), 1);
    assert_int_equal(kinds[0], stamp ? LINE_DATA : LINE_ZERO);
    assert_true(!stamp || line_is(data, stamp));
}

void expect_nothing_held(struct net_conn *conn, uint64_t within_ms)
{
    uint64_t end = clock_ms() + within_ms;
    while (ask_ping(conn).used_bytes) {
        assert_true(clock_ms() < end);
        usleep(10000);
    }
}

int request_raw(struct net_conn *conn, uint16_t op, const void *payload, size_t size)
{
    struct net_frame frame;
    return net_request(conn, op, payload, size, NULL, 0, RACK_TIMEOUT_MS, &frame);
}

void make_file(char path[128], const char *name, uint32_t pages, uint32_t tail)
{
    uint8_t line[LINE_SIZE];
    snprintf(path, 128, "%s/%s", rack.dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (uint32_t i = 0; i <= pages; i++) {
        line_make(line, 500 + i);
        fwrite(line, 1, i < pages ? LINE_SIZE : tail, f);
    }
    assert_int_equal(fclose(f), 0);
}

void expect_page(struct net_conn *conn, struct asid asid, uint64_t line, uint64_t page)
{
    assert_int_equal(ask_fetch(conn, asid, line, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_DATA);
    assert_true(line_is(data, 500 + page));
}
