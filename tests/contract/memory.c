/*
 * What every memory monitor owes its clients: a real rack over TCP whose mComponents are those of
 * the program that is named. What lines are after every kind of change, what a connection may not
 * do, what becomes of memory when its process dies, of requests when memory or the sComponent are
 * short, of parts, and of peers that send rubbish.
 *
 * usage: memory-contract PROGRAM [OPTION...]
 * PROGRAM is given these options, --size and the common ones. ASHLAR_GLOBAL and ASHLAR_STORAGE name
 * the other daemons; RACK_LOG shows their messages; CONTRACT_TEST names the tests to run, such as
 * "*file*". docs/write-a-monitor.md has more.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "test_requests.h"

static void lines_live_here(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid, child = {0};
    struct net_conn *conn = process_with(component, 100, &asid);
    struct msg_space_stat_reply stat;
    assert_int_equal(ask_ping(component).size_bytes, MEMORY_BYTES);
    assert_int_equal(ask_fetch(conn, asid, FIRST - 1, 1, kinds, data), -EFAULT);
    assert_int_equal(ask_write(conn, asid, FIRST + 2, 60, 1000), 60);
    assert_int_equal(ask_fetch(conn, asid, FIRST, 64, kinds, data), 64);
    for (int i = 0; i < 64; i++) {
        bool stored = i >= 2 && i < 62;
        assert_int_equal(kinds[i], stored ? LINE_DATA : LINE_ZERO);
        assert_true(!stored || line_is(data + i * LINE_SIZE, 1000 + i - 2));
    }
    assert_int_equal(ask_write(conn, asid, FIRST + 98, 4, 5000), 2); /* two lie in no vma */
    assert_int_equal(ask_stat(conn, asid, &stat), 0);
    assert_int_equal(stat.frames, 62);
    assert_int_equal(stat.vmas, 1);

    /* A child, which the process names no more than it may, but the node may. */
    assert_int_equal(ask_clone(conn, asid, &child), 0);
    struct net_conn *of_child = rack_process(&rack, child);
    assert_int_equal(ask_write(conn, asid, FIRST + 2, 1, 77), 1);
    expect_line(of_child, child, FIRST + 2, 1000);
    expect_line(conn, asid, FIRST + 2, 77);
    assert_int_equal(ask_op(conn, asid, VM_OP_DISCARD, FIRST, 100), 0);
    expect_line(conn, asid, FIRST + 3, 0);
    expect_line(of_child, child, FIRST + 3, 1001);
    assert_int_equal(ask_reset(of_child, child), 0);
    assert_int_equal(ask_fetch(of_child, child, FIRST, 1, kinds, data), -EFAULT);

    assert_int_equal(ask_destroy(component, child), 0);
    assert_int_equal(ask_fetch(of_child, child, FIRST, 1, kinds, data), ASH_NO_SPACE_ID);
    assert_int_equal(ask_destroy(conn, asid), 0);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    net_close(of_child);
    net_close(conn);
    net_close(component);
}

/* Further runs of a fetch: answered in order, as far as the monitor goes. */
static void several_runs(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid;
    struct net_conn *conn = process_with(component, 64, &asid);
    struct line_run more[] = {{{FIRST + 40}, 3}, {{FIRST + 10}, 1}, {{FIRST + 60}, 2}};
    const uint64_t lines[] = {0, 1, 40, 41, 42, 10, 60, 61};
    struct msg_line_fetch fetch = {
        .asid = asid, .first = {FIRST}, .count = 2, .more = more, .more_count = 3};
    struct msg_line_fetch_reply reply;
    assert_int_equal(ask_write(conn, asid, FIRST, 64, 200), 64);
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS), 0);
    assert_in_range(reply.kinds_size, 2, 8);
    assert_int_equal(reply.data_size, reply.kinds_size * LINE_SIZE);
    for (uint32_t i = 0; i < reply.kinds_size; i++) {
        assert_int_equal(reply.kinds[i], LINE_DATA);
        assert_true(line_is(reply.data + i * LINE_SIZE, 200 + lines[i]));
    }
    more[1].count = FETCH_MAX_LINES;
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS),
                     ASH_TOO_BIG);
    more[1].count = UINT32_MAX;
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS),
                     ASH_TOO_BIG);
    /* Where one makes no sense the answer ends before it. */
    more[1] = (struct line_run){{UINT64_MAX}, 2};
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS), 0);
    assert_in_range(reply.kinds_size, 2, 5);
    more[0].count = 0;
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS), 0);
    assert_int_equal(reply.kinds_size, 2);
    ask_destroy(component, asid);
    net_close(conn);
    net_close(component);
}

/* A list of changes that comes again was applied, and is not applied again. */
static void a_list_that_comes_again(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid, child = {0};
    struct net_conn *conn = process_with(component, 10, &asid);
    const struct vm_op move = {
        .kind = VM_OP_REMAP, .first = {FIRST}, .count = 4, .to = {FIRST + 100}};
    const struct vm_op wrong = {.kind = VM_OP_MAP, .first = {1}, .count = 1};
    assert_int_equal(ask_write(conn, asid, FIRST, 4, 9), 4);
    assert_int_equal(ask_serial(conn, asid, 7, &wrong), -EINVAL);
    assert_int_equal(ask_serial(conn, asid, 7, &move), 0); /* one that failed does not count */
    assert_int_equal(ask_serial(conn, asid, 7, &move), 0);
    assert_int_equal(ask_serial(conn, asid, 6, &move), 0);
    expect_line(conn, asid, FIRST + 103, 12);
    assert_int_equal(ask_serial(conn, asid, 8, &move), 0); /* an empty range takes its place */
    assert_int_equal(ask_fetch(conn, asid, FIRST + 103, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_UNMAPPED);
    /* A child's lists are counted from the beginning, and those of the program after exec. */
    const struct vm_op map = {.kind = VM_OP_MAP, .first = {FIRST}, .count = 1};
    assert_int_equal(ask_clone(conn, asid, &child), 0);
    assert_int_equal(ask_serial(component, child, 1, &map), 0);
    expect_line(component, child, FIRST, 0);
    assert_int_equal(ask_reset(conn, asid), 0);
    assert_int_equal(ask_grant(conn, asid, 1, 1), 0);
    assert_int_equal(ask_serial(conn, asid, 1, &map), 0);
    expect_line(conn, asid, FIRST, 0);
    ask_destroy(component, asid);
    ask_destroy(component, child);
    net_close(conn);
    net_close(component);
}

static void a_process_reaches_its_own_space_only(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid mine, other, out = {0};
    struct msg_space_stat_reply stat;
    struct net_conn *conn = process_with(component, 10, &mine);
    struct net_conn *victim = process_with(component, 10, &other);
    uint64_t refused = ask_ping(component).refused;
    assert_int_equal(ask_write(victim, other, FIRST, 1, 42), 1);

    assert_int_equal(ask_fetch(conn, other, FIRST, 1, kinds, data), ASH_FORBIDDEN);
    assert_int_equal(ask_write(conn, other, FIRST, 1, 9), ASH_FORBIDDEN);
    assert_int_equal(ask_op(conn, other, VM_OP_UNMAP, FIRST, 10), ASH_FORBIDDEN);
    assert_int_equal(ask_grant(conn, other, 2, 1), ASH_FORBIDDEN);
    assert_int_equal(ask_clone(conn, other, &out), ASH_FORBIDDEN);
    assert_int_equal(ask_reset(conn, other), ASH_FORBIDDEN);
    assert_int_equal(ask_destroy(conn, other), ASH_FORBIDDEN);
    assert_int_equal(ask_stat(conn, other, &stat), ASH_FORBIDDEN);
    struct msg_space_create create = {.run_id = 1};
    struct msg_space_create_reply created;
    assert_int_equal(NET_CALL(conn, SPACE_CREATE, space_create, &create, &created, RACK_TIMEOUT_MS),
                     ASH_FORBIDDEN);
    assert_int_equal(ask_ping(component).refused, refused + 9);
    expect_line(victim, other, FIRST, 42);

    /* A connection for a space that is not there. */
    struct net_conn *nobody = rack_process(&rack, (struct asid){12345});
    assert_int_equal(ask_fetch(nobody, (struct asid){12345}, FIRST, 1, kinds, data),
                     ASH_NO_SPACE_ID);
    net_close(nobody);
    ask_destroy(component, mine);
    ask_destroy(component, other);
    net_close(conn);
    net_close(victim);
    net_close(component);
}

/* Requests in good frames whose content makes no sense. */
static void requests_that_make_no_sense(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid;
    struct net_conn *conn = process_with(component, 10, &asid);
    struct random random = {1};
    uint8_t body[4096];
    uint64_t refused = ask_ping(component).refused;
    assert_int_equal(request_raw(conn, OP_REGISTER, NULL, 0), ASH_UNKNOWN_OP);
    assert_int_equal(request_raw(conn, 0x04ff, NULL, 0), ASH_UNKNOWN_OP);
    assert_int_equal(request_raw(conn, OP_LINE_FETCH, body, 3), ASH_MALFORMED);
    struct msg_line_fetch fetch = {.asid = asid, .first = {FIRST}, .count = FETCH_MAX_LINES + 1};
    struct msg_line_fetch_reply reply;
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &reply, RACK_TIMEOUT_MS),
                     ASH_TOO_BIG);
    struct line_ref line = {{FIRST}};
    struct msg_line_write write = {
        .asid = asid, .lines = &line, .lines_count = 1, .data_size = 100};
    struct iovec bulk = {body, 100};
    int size = msg_line_write_encode(&write, body, sizeof body);
    struct net_frame frame;
    assert_int_equal(
        net_request(conn, OP_LINE_WRITE, body, (size_t)size, &bulk, 1, RACK_TIMEOUT_MS, &frame),
        ASH_MALFORMED);
    assert_int_equal(ask_grant(conn, asid, 0, GRANT_MAX + 1), ASH_TOO_BIG);
    assert_int_equal(ask_ping(component).refused, refused + 6);
    assert_int_equal(ask_op(conn, asid, VM_OP_MAP, FIRST, UINT64_MAX), -EINVAL);
    assert_int_equal(ask_op(conn, asid, VM_OP_MAP, FIRST + VREGION_LINES - 1, 2), -EFAULT);
    for (int i = 0; i < 3000; i++) {
        size = (int)random_below(&random, 200);
        for (int j = 0; j < size; j++)
            body[j] = (uint8_t)random_next(&random);
        uint16_t op = (uint16_t)(OP_SPACE_CREATE + random_below(&random, 24));
        if (op == OP_SPACE_CREATE)
            continue;
        memcpy(body, &asid, sizeof asid);
        (void)!request_raw(conn, op, body, (size_t)size);
    }
    ask_destroy(component, asid);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    net_close(conn);
    net_close(component);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port =
                                 htons((uint16_t)atoi(strchr(rack.memories[0].address, ':') + 1))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* Bytes that are no frames, from peers that have not authenticated and from one that has. */
static void rubbish(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct random random = {2};
    uint8_t bytes[300];
    uint64_t refused = ask_ping(component).refused;
    for (int i = 0; i < 100; i++) {
        int fd = dial();
        size_t size = 1 + random_below(&random, sizeof bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)random_next(&random);
        if (i % 3 == 0) { /* a header that promises far too much */
            struct wire_header h = {
                .version = PROTOCOL_VERSION, .op = OP_LINE_WRITE, .length = UINT32_MAX};
            h.crc = wire_header_crc(&h);
            wire_header_encode(&h, bytes);
        }
        (void)!send(fd, bytes, size, MSG_NOSIGNAL);
        close(fd);
    }
    for (int i = 0; i < 20; i++) {
        struct net_conn *conn = rack_component(&rack);
        struct wire_header h = {.version = PROTOCOL_VERSION,
                                .op = OP_LINE_FETCH,
                                .length = i % 2 ? 20 : UINT32_MAX,
                                .crc = 1234};
        wire_header_encode(&h, bytes);
        (void)!send(net_conn_fd(conn), bytes, sizeof bytes, MSG_NOSIGNAL);
        net_close(conn);
    }
    uint64_t end = clock_ms() + 3000;
    while (ask_ping(component).refused < refused + 100) {
        assert_true(clock_ms() < end);
        usleep(10000);
    }
    struct asid asid;
    struct net_conn *conn = process_with(component, 1, &asid);
    expect_line(conn, asid, FIRST, 0);
    ask_destroy(component, asid);
    net_close(conn);
    net_close(component);
}

static void a_killed_process_gives_its_memory_back(void **state)
{
    struct net_conn *component = rack_component(&rack);
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    int pid = fork();
    if (pid == 0) {
        struct asid asid, child = {0};
        struct net_conn *own = rack_component(&rack);
        struct net_conn *conn = process_with(own, 100, &asid);
        if (ask_write(conn, asid, FIRST, 64, 5) != 64 || ask_clone(conn, asid, &child) < 0)
            _exit(1);
        (void)!write(ready[1], "r", 1);
        pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    assert_true(ask_ping(component).used_bytes >= 64 * LINE_SIZE);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    expect_nothing_held(component, SPACE_GRACE_MS + 1000);
    net_close(component);
}

/* A connection that is lost and comes back in time finds everything. */
static void a_process_may_come_back(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid;
    struct net_conn *conn = process_with(component, 10, &asid);
    assert_int_equal(ask_write(conn, asid, FIRST, 5, 5), 5);
    uint64_t start_ms = clock_ms();
    for (int i = 0; i < 4; i++) {
        net_close(conn);
        usleep(SPACE_GRACE_MS * 1000 / 3);
        conn = rack_process(&rack, asid);
    }
    assert_true(clock_ms() - start_ms > SPACE_GRACE_MS);
    expect_line(conn, asid, FIRST, 5);
    assert_int_equal(ask_destroy(conn, asid), 0);
    net_close(conn);
    net_close(component);
}

static void when_frames_run_out(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct asid asid, small, child = {0};
    struct net_conn *conn = process_with(component, VREGION_LINES, &asid);
    struct net_conn *other = process_with(component, 10, &small);
    uint64_t line = FIRST;
    int rc;
    assert_int_equal(ask_write(other, small, FIRST, 10, 70), 10);
    while ((rc = ask_write(conn, asid, line, 64, line)) == 64)
        line += 64;
    assert_int_equal(rc, ASH_NO_FRAMES);
    while ((rc = ask_write(conn, asid, line, 1, line)) == 1)
        line++;
    assert_int_equal(rc, ASH_NO_FRAMES);
    assert_true((line - FIRST) * LINE_SIZE > MEMORY_BYTES * 9ull / 10);
    assert_int_equal(ask_grant(conn, asid, 7, 1), ASH_NO_FRAMES);
    for (uint64_t at = FIRST; at + 64 <= line; at += 64) {
        assert_int_equal(ask_fetch(conn, asid, at, 64, kinds, data), 64);
        for (int i = 0; i < 64; i++)
            assert_true(kinds[i] == LINE_DATA && line_is(data + i * LINE_SIZE, at + i));
    }
    expect_line(other, small, FIRST + 9, 79);
    /* Over what it has, as often as it likes; not over what a clone has as well. */
    assert_int_equal(ask_write(other, small, FIRST, 10, 90), 10);
    for (uint64_t stamp = 1; stamp < 4; stamp++)
        assert_int_equal(ask_write(conn, asid, FIRST, 64, stamp), 64);
    expect_line(conn, asid, FIRST + 63, 66);
    assert_int_equal(ask_clone(conn, asid, &child), 0);
    assert_int_equal(ask_write(conn, asid, FIRST, 64, 9), ASH_NO_FRAMES);
    expect_line(conn, asid, FIRST + 63, 66);
    assert_int_equal(ask_destroy(component, child), 0);
    assert_int_equal(ask_write(conn, asid, FIRST, 64, 9), 64);
    assert_int_equal(ask_op(conn, asid, VM_OP_UNMAP, FIRST, VREGION_LINES), 0);
    assert_int_equal(ask_grant(conn, asid, 7, 1), 0);
    ask_destroy(component, asid);
    ask_destroy(component, small);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    net_close(conn);
    net_close(other);
    net_close(component);
}

/* ---- files ---- */

static void pages_of_files(void **state)
{
    enum { PAGES = 300 };
    char path[128], gone[128];
    struct file_attr attr, gone_attr;
    struct asid asid, child = {0};
    struct net_conn *component = rack_component(&rack), *storage = rack_storage(&rack);
    struct net_conn *conn = process_with(component, 1, &asid);
    make_file(path, "text", PAGES, 100);
    assert_int_equal(ask_open(storage, path, &attr), 0);
    assert_int_equal(ask_map_file(conn, asid, FIRST + 10, PAGES + 5, &attr, 2, path), 0);
    for (uint64_t page = 2; page < PAGES; page++)
        expect_page(conn, asid, FIRST + 10 + page - 2, page);
    /* The last page ends in zeros; what is past it does not exist. */
    assert_int_equal(ask_fetch(conn, asid, FIRST + 10 + PAGES - 2, 3, kinds, data), 3);
    assert_int_equal(kinds[0], LINE_DATA);
    assert_int_equal(data[100], 0);
    assert_int_equal(data[LINE_SIZE - 1], 0);
    assert_int_equal(kinds[1], LINE_PAST_END);
    assert_int_equal(kinds[2], LINE_PAST_END);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    /* Written lines are the process's own. */
    assert_int_equal(ask_write(conn, asid, FIRST + 10, 1, 9), 1);
    assert_int_equal(ask_clone(conn, asid, &child), 0);
    expect_line(conn, asid, FIRST + 10, 9);
    assert_int_equal(ask_write(conn, asid, FIRST + 10, 1, 0), 1);
    expect_line(conn, asid, FIRST + 10, 0);
    expect_line(component, child, FIRST + 10, 9);
    assert_int_equal(ask_op(conn, asid, VM_OP_DISCARD, FIRST, 300), 0);
    expect_page(conn, asid, FIRST + 10, 2);

    /* A file that is unlinked, and closed by its opener, is read on. */
    make_file(gone, "gone", 200, 0);
    assert_int_equal(ask_open(storage, gone, &gone_attr), 0);
    assert_int_equal(ask_map_file(conn, asid, FIRST + 1000, 200, &gone_attr, 0, gone), 0);
    assert_int_equal(unlink(gone), 0);
    net_close(storage);
    for (uint64_t page = 0; page < 200; page++)
        expect_page(conn, asid, FIRST + 1000 + page, page);

    struct file_attr nothing = {.id = {1, 2, 3}};
    assert_int_equal(ask_map_file(conn, asid, FIRST, 1, &nothing, 0, "/nothing"), 0);
    assert_int_equal(ask_fetch(conn, asid, FIRST, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_PAST_END); /* it has no byte */
    nothing.size_bytes = 1;
    assert_int_equal(ask_map_file(conn, asid, FIRST, 1, &nothing, 0, "/nothing"), 0);
    assert_int_equal(ask_fetch(conn, asid, FIRST, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_IO_ERROR);
    assert_int_equal(ask_map_file(conn, asid, 20, 1, &attr, 0, path), -EFAULT);
    ask_destroy(component, asid);
    ask_destroy(component, child);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    net_close(conn);
    net_close(component);
}

/* Files and paths that are not in the request that maps them, or not whole; nothing is applied. */
static void files_that_a_request_does_not_have(void **state)
{
    enum { UNMAPPED = FIRST + VREGION_LINES / 2 };
    struct asid asid;
    struct net_conn *component = rack_component(&rack);
    struct net_conn *conn = process_with(component, 1, &asid);
    struct vm_op ops[2] = {{.kind = VM_OP_MAP, .prot = 1, .first = {UNMAPPED}, .count = 1},
                           {.kind = VM_OP_MAP_FILE, .first = {UNMAPPED + 1}, .count = 1}};
    struct mapped_file files[OPS_FILES_MAX + 1] = {};
    struct msg_space_ops request = {.asid = asid,
                                    .ops = ops,
                                    .ops_count = 2,
                                    .files = files,
                                    .paths = (const uint8_t *)"/a\0/b",
                                    .paths_size = 5};
    struct msg_space_ops_reply reply;
    struct msg_line_fetch fetch = {.asid = asid, .first = {UNMAPPED}, .count = 1, .ops = ops};
    struct msg_line_fetch_reply lines;
    const struct {
        uint32_t files, path;
        uint16_t file;
        int error;
    } wrong[] = {
        {0, 0, 0, ASH_MALFORMED},
        {1, 0, 1, ASH_MALFORMED},
        {1, 0, 65535, ASH_MALFORMED},
        {1, 3, 0, ASH_MALFORMED},
        {1, 5, 0, ASH_MALFORMED},
        {1, UINT32_MAX, 0, ASH_MALFORMED},
        {OPS_FILES_MAX + 1, 0, 0, ASH_TOO_BIG},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        request.files_count = wrong[i].files;
        files[0].path = wrong[i].path;
        ops[1].file = wrong[i].file;
        assert_int_equal(NET_CALL(conn, SPACE_OPS, space_ops, &request, &reply, RACK_TIMEOUT_MS),
                         wrong[i].error);
        fetch.files = files;
        fetch.files_count = request.files_count;
        fetch.paths = request.paths;
        fetch.paths_size = request.paths_size;
        fetch.ops_count = 2;
        assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &lines, RACK_TIMEOUT_MS),
                         wrong[i].error);
    }
    assert_int_equal(ask_fetch(conn, asid, UNMAPPED, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_UNMAPPED);
    /* The changes of a fetch come before its lines. */
    fetch.ops_count = 1;
    fetch.files_count = 0;
    assert_int_equal(NET_CALL(conn, LINE_FETCH, line_fetch, &fetch, &lines, RACK_TIMEOUT_MS), 0);
    assert_int_equal(lines.kinds[0], LINE_ZERO);
    ask_destroy(component, asid);
    net_close(conn);
    net_close(component);
}

static void when_the_storage_component_dies(void **state)
{
    enum { PAGES = 400 };
    char path[128];
    struct file_attr attr;
    struct asid asid;
    struct net_conn *component = rack_component(&rack), *storage = rack_storage(&rack);
    struct net_conn *conn = process_with(component, 1, &asid);
    make_file(path, "more", PAGES, 0);
    assert_int_equal(ask_open(storage, path, &attr), 0);
    assert_int_equal(ask_map_file(conn, asid, FIRST, PAGES, &attr, 0, path), 0);
    expect_page(conn, asid, FIRST, 0);

    rack_kill_storage(&rack);
    net_close(storage);
    uint64_t start_ms = clock_ms();
    assert_int_equal(ask_fetch(conn, asid, FIRST + 200, 3, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_IO_ERROR);
    assert_true(clock_ms() - start_ms < MEMORY_TIMEOUT_MS);
    start_ms = clock_ms();
    struct file_attr other = attr;
    other.mtime_s++;
    /* A mapping waits for nobody: its lines are read when there is somebody to read them from. */
    assert_int_equal(ask_map_file(conn, asid, FIRST + 600, 1, &other, 0, path), 0);
    assert_true(clock_ms() - start_ms < MEMORY_TIMEOUT_MS - BACKING_TIMEOUT_MS);
    assert_int_equal(ask_fetch(conn, asid, FIRST + 600, 1, kinds, data), 1);
    assert_int_equal(kinds[0], LINE_IO_ERROR);

    rack_start_storage(&rack);
    expect_page(conn, asid, FIRST + 600, 0);
    expect_page(conn, asid, FIRST + 200, 200);
    expect_page(conn, asid, FIRST + PAGES - 1, PAGES - 1);
    ask_destroy(component, asid);
    net_close(conn);
    net_close(component);
}

/* ---- parts ---- */

static int ask_part(struct net_conn *conn, struct asid asid, uint64_t run_id)
{
    struct msg_space_part request = {.asid = asid, .run_id = run_id, .replicas = 1};
    struct msg_space_part_reply reply;
    return NET_CALL(conn, SPACE_PART, space_part, &request, &reply, RACK_TIMEOUT_MS);
}

static uint8_t role_at(struct net_conn *conn, struct asid asid)
{
    struct msg_space_locate_reply reply;
    assert_int_equal(ask_locate(conn, asid, (struct component){0}, &reply), 0);
    return reply.role;
}

/* A space whose first part is at m1, and a further one at m2, which is told as a home tells it. */
static void further_parts(void **state)
{
    rack_start_memory(&rack, 1, "32M");
    struct net_conn *first = rack_component(&rack), *second = rack_component_at(&rack, 1);
    struct asid asid = ask_create(first), part = asid_part(asid, 3), child = {0};
    struct vregion_info infos[2];
    assert_int_equal(role_at(first, asid), ROLE_PRIMARY);
    assert_int_equal(role_at(second, part), ROLE_NONE);
    assert_int_equal(ask_part(second, asid, 1), -EINVAL); /* the name of a first part */
    assert_int_equal(ask_part(second, part, 1), 0);
    assert_int_equal(ask_part(second, part, 1), 0); /* asked again */
    assert_int_equal(ask_part(second, part, 2), -EEXIST);
    assert_int_equal(role_at(second, part), ROLE_PRIMARY);
    assert_int_equal(ask_grant_lines(second, part, 1, 2, 100, infos), 0);
    assert_int_equal(infos[1].part, 3);
    assert_int_equal(infos[1].owner.n, rack.memories[1].id.n);

    struct net_conn *conn = rack_process_at(&rack, 1, part);
    struct msg_space_locate_reply located;
    assert_int_equal(ask_grant_lines(conn, part, 3, 1, 1, infos), ASH_FORBIDDEN); /* its home's */
    assert_int_equal(ask_part(conn, part, 1), ASH_FORBIDDEN);
    assert_int_equal(ask_locate(conn, part, (struct component){0}, &located), ASH_FORBIDDEN);
    assert_int_equal(ask_op(conn, part, VM_OP_MAP, FIRST, 100), 0);
    assert_int_equal(ask_write(conn, part, FIRST, 64, 30), 64);

    /* The child's name is known from its first part. */
    assert_int_equal(ask_clone(first, asid, &child), 0);
    assert_int_equal(child.n % PARTS_MAX, 0);
    struct asid wrong = asid_part(child, 2), further = asid_part(child, 3);
    assert_int_equal(ask_clone(conn, part, &wrong), -EINVAL);
    assert_int_equal(ask_clone(conn, part, &further), 0);
    assert_int_equal(ask_write(conn, part, FIRST, 1, 99), 1);
    expect_line(second, further, FIRST, 30);
    assert_int_equal(ask_destroy(second, further), 0);
    assert_int_equal(ask_destroy(first, child), 0);

    /* It lives as long as its first part, whether its process comes to it or not. */
    net_close(conn);
    conn = rack_process(&rack, asid);
    usleep((SPACE_GRACE_MS + 600) * 1000);
    expect_line(second, part, FIRST + 1, 31);
    assert_int_equal(ask_destroy(first, asid), 0);
    expect_nothing_held(second, 2 * SPACE_GRACE_MS);
    assert_int_equal(role_at(second, part), ROLE_NONE);
    net_close(conn);
    net_close(second);
    net_close(first);
}

/* ---- every kind of change ---- */

enum { CELLS = 600, CELLS_FIRST = 2 * VREGION_LINES - CELLS / 2 };

/* What lines are to be, over a border of vRegions. */
struct model {
    bool mapped[CELLS];
    uint64_t stamps[CELLS];
};

static void expect_model(struct net_conn *conn, struct asid asid, const struct model *m)
{
    for (uint32_t at = 0; at < CELLS;) {
        uint32_t want = CELLS - at < FETCH_MAX_LINES ? CELLS - at : FETCH_MAX_LINES;
        int got = ask_fetch(conn, asid, CELLS_FIRST + at, want, kinds, data);
        assert_int_equal(got, want); /* no line of a file is among them */
        for (int i = 0; i < got; i++, at++) {
            uint8_t kind = !m->mapped[at] ? LINE_UNMAPPED : m->stamps[at] ? LINE_DATA : LINE_ZERO;
            assert_int_equal(kinds[i], kind);
            assert_true(kind != LINE_DATA || line_is(data + i * LINE_SIZE, m->stamps[at]));
        }
    }
}

static void change_model(struct model *m, const struct vm_op *op)
{
    uint32_t first = (uint32_t)(op->first.n - CELLS_FIRST);
    uint32_t to = (uint32_t)(op->to.n - CELLS_FIRST);
    for (uint32_t i = first; i < first + op->count; i++, to++) {
        if (op->kind == VM_OP_PROTECT)
            continue;
        if (op->kind == VM_OP_REMAP) {
            m->mapped[to] = m->mapped[i];
            m->stamps[to] = m->stamps[i];
        }
        if (op->kind != VM_OP_DISCARD)
            m->mapped[i] = op->kind == VM_OP_MAP;
        m->stamps[i] = 0;
    }
}

static void write_model(struct net_conn *conn, struct asid asid, struct model *m, uint32_t first,
                        uint32_t count, uint64_t stamp)
{
    int stored = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!m->mapped[first + i])
            continue;
        m->stamps[first + i] = stamp + i;
        stored++;
    }
    assert_int_equal(ask_write(conn, asid, CELLS_FIRST + first, count, stamp), stored);
}

static void every_kind_of_change(void **state)
{
    struct net_conn *component = rack_component(&rack);
    struct random r = {7};
    struct model m = {0}, of_child;
    struct asid asid = ask_create(component), child = {0};
    struct net_conn *conn = rack_process(&rack, asid);
    assert_int_equal(ask_grant(conn, asid, 1, 2), 0);
    for (uint64_t step = 1; step <= 1500; step++) {
        uint64_t count = 1 + random_below(&r, random_below(&r, 4) ? 60 : CELLS / 2);
        struct vm_op op = {.kind = (uint8_t)(1 + random_below(&r, 5)),
                           .prot = (uint8_t)random_below(&r, 4),
                           .first.n = CELLS_FIRST + random_below(&r, CELLS - count + 1),
                           .count = count,
                           .to.n = CELLS_FIRST + random_below(&r, CELLS - count + 1)};
        if (random_below(&r, 2)) {
            write_model(conn, asid, &m, (uint32_t)(op.first.n - CELLS_FIRST),
                        count < 64 ? (uint32_t)count : 64,
                        random_below(&r, 5) ? 1 + random_below(&r, 1 << 20) : 0);
        } else {
            bool apart = op.to.n + count <= op.first.n || op.first.n + count <= op.to.n;
            bool wrong = op.kind == VM_OP_REMAP && !apart;
            assert_int_equal(ask_serial(conn, asid, step, &op), wrong ? -EINVAL : 0);
            if (!wrong)
                change_model(&m, &op);
        }
        if (step % 50 == 0)
            expect_model(conn, asid, &m);
        if (step % 100 == 0) {
            if (child.n) {
                expect_model(component, child, &of_child);
                assert_int_equal(ask_destroy(component, child), 0);
            }
            child.n = 0;
            assert_int_equal(ask_clone(conn, asid, &child), 0);
            of_child = m;
            write_model(component, child, &of_child, 0, 50, step * 1000);
        }
    }
    assert_int_equal(ask_destroy(component, child), 0);
    assert_int_equal(ask_destroy(component, asid), 0);
    assert_int_equal(ask_ping(component).used_bytes, 0);
    net_close(conn);
    net_close(component);
}

/* ---- many at a time ---- */

struct hammer {
    pthread_t thread;
    struct asid asid;
    uint64_t first, seed;
    const char *wrong;
};

/* Its own lines of a space that others use, too: what it wrote is what it finds. */
static void *hammer_lines(void *argument)
{
    enum { LINES = 200 };
    struct hammer *h = argument;
    struct random random = {h->seed};
    uint64_t stamps[LINES] = {0};
    uint8_t own_kinds[FETCH_MAX_LINES], *own = malloc(FETCH_MAX_LINES * LINE_SIZE);
    struct net_conn *conn = rack_process(&rack, h->asid);
    for (int i = 0; i < 400 && !h->wrong; i++) {
        uint32_t line = (uint32_t)random_below(&random, LINES);
        uint32_t count = 1 + (uint32_t)random_below(&random, LINES - line < 40 ? LINES - line : 40);
        if (random_below(&random, 2)) {
            uint64_t stamp = random_below(&random, 4) ? 1 + random_below(&random, 1 << 20) : 0;
            if (ask_write(conn, h->asid, h->first + line, count, stamp) != (int)count)
                h->wrong = "write";
            for (uint32_t j = 0; j < count; j++)
                stamps[line + j] = stamp + j;
        } else {
            int got = ask_fetch(conn, h->asid, h->first + line, count, own_kinds, own);
            for (int j = 0; j < got; j++)
                if (own_kinds[j] != (stamps[line + j] ? LINE_DATA : LINE_ZERO) ||
                    (stamps[line + j] && !line_is(own + j * LINE_SIZE, stamps[line + j])))
                    h->wrong = "content";
            if (got != (int)count)
                h->wrong = "count";
        }
    }
    net_close(conn);
    free(own);
    return NULL;
}

static void many_at_a_time(void **state)
{
    enum { THREADS = 8 };
    struct hammer hammers[THREADS] = {0};
    struct net_conn *component = rack_component(&rack);
    struct asid spaces[2], child;
    for (int i = 0; i < 2; i++)
        net_close(process_with(component, VREGION_LINES, &spaces[i]));
    for (int i = 0; i < THREADS; i++) {
        hammers[i].asid = spaces[i % 2];
        hammers[i].first = FIRST + 300 * (uint64_t)i;
        hammers[i].seed = (uint64_t)i;
        assert_int_equal(pthread_create(&hammers[i].thread, NULL, hammer_lines, &hammers[i]), 0);
    }
    /* And the spaces are cloned all the while. */
    for (int i = 0; i < 60; i++) {
        child.n = 0;
        assert_int_equal(ask_clone(component, spaces[i % 2], &child), 0);
        assert_true(ask_fetch(component, child, FIRST, 64, kinds, data) > 0);
        assert_int_equal(ask_write(component, child, FIRST + 300 * (i % 8), 64, 1), 64);
        assert_int_equal(ask_destroy(component, child), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(hammers[i].thread, NULL);
        if (hammers[i].wrong)
            fail_msg("thread %d: wrong %s", i, hammers[i].wrong);
    }
    for (int i = 0; i < 2; i++)
        ask_destroy(component, spaces[i]);
    expect_nothing_held(component, 1000);
    net_close(component);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: %s PROGRAM [OPTION...]\n", argv[0]);
        return 2;
    }
    setenv("ASHLAR_MEMORY", argv[1], 1);
    rack_memory_options = argv + 2;
    cmocka_set_test_filter(getenv("CONTRACT_TEST"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_live_here),
        cmocka_unit_test(several_runs),
        cmocka_unit_test(a_list_that_comes_again),
        cmocka_unit_test(a_process_reaches_its_own_space_only),
        cmocka_unit_test(requests_that_make_no_sense),
        cmocka_unit_test(rubbish),
        cmocka_unit_test(a_killed_process_gives_its_memory_back),
        cmocka_unit_test(a_process_may_come_back),
        cmocka_unit_test(when_frames_run_out),
        cmocka_unit_test(pages_of_files),
        cmocka_unit_test(files_that_a_request_does_not_have),
        cmocka_unit_test(when_the_storage_component_dies),
        cmocka_unit_test(further_parts),
        cmocka_unit_test(every_kind_of_change),
        cmocka_unit_test(many_at_a_time),
    };
    return cmocka_run_group_tests(tests, start_rack, stop_rack);
}
