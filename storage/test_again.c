/*
 * What a process has at the sComponent over its connections' ends: holds, locks, and requests whose
 * answers were lost. Connections are broken, not closed, by a reset.
 */
#include "test_rig.h"

#include <sys/socket.h>

#include "wire.h"

static struct rig rig;
static const struct description_id one = {11, 12}, two = {21, 22};

static struct net_conn *connect_process(uint64_t asid, uint64_t parent)
{
    struct msg_bind bind = {.scope = SCOPE_PROCESS,
                            .asid = {asid},
                            .run_id = 1,
                            .parent = {parent},
                            .writable = rig.rw};
    struct net_conn *conn;
    assert_int_equal(net_connect(rig.storage_address, &rig.key, &bind, RIG_TIMEOUT_MS, &conn, NULL),
                     0);
    return conn;
}

static void break_connection(struct net_conn *conn)
{
    struct linger hard = {.l_onoff = 1};
    setsockopt(net_conn_fd(conn), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    net_close(conn);
}

static int open_as(struct net_conn *conn, const char *path, const struct description_id *id,
                   struct file_id *file)
{
    struct msg_file_open request = {
        .path = path, .flags = O_RDWR | O_CREAT, .mode = 0755, .description = *id};
    struct msg_file_open_reply reply;
    int rc = NET_CALL(conn, FILE_OPEN, file_open, &request, &reply, RIG_TIMEOUT_MS);
    if (rc == 0)
        *file = reply.attr.id;
    return rc;
}

static int flock_as(struct net_conn *conn, const struct file_id *file,
                    const struct description_id *id)
{
    struct msg_file_lock request = {
        .file = *file, .description = *id, .kind = LOCK_KIND_FLOCK_EXCLUSIVE};
    struct msg_file_lock_reply reply;
    return NET_CALL(conn, FILE_LOCK, file_lock, &request, &reply, RIG_TIMEOUT_MS);
}

static int await_lock(struct net_conn *conn, const struct file_id *file,
                      const struct description_id *id)
{
    int rc = -EAGAIN;
    for (int i = 0; i < 1000000 && rc == -EAGAIN; i++)
        rc = flock_as(conn, file, id);
    return rc;
}

/* A lock outlives a broken connection, and ends with one that is closed. */
static void test_broken(void **state)
{
    struct net_conn *process = connect_process(100, 0), *other = connect_process(200, 0);
    struct file_id file, again;
    const char *path = rig_path(&rig, "rw/broken");

    assert_int_equal(open_as(process, path, &one, &file), 0);
    assert_int_equal(open_as(other, path, &two, &again), 0);
    assert_int_equal(flock_as(process, &file, &one), 0);
    break_connection(process);
    for (int i = 0; i < 100; i++)
        assert_int_equal(flock_as(other, &file, &two), -EAGAIN);
    process = connect_process(100, 0);
    assert_int_equal(flock_as(process, &file, &one), 0); /* it holds the file still */
    /* Any one of several may break, or close. */
    struct net_conn *second = connect_process(100, 0);
    net_close(process);
    for (int i = 0; i < 100; i++)
        assert_int_equal(flock_as(other, &file, &two), -EAGAIN);
    net_close(second);
    assert_int_equal(await_lock(other, &file, &two), 0);
    /* Who does not come again in time has lost it. */
    break_connection(other);
    process = connect_process(100, 0);
    assert_int_equal(open_as(process, path, &one, &file), 0);
    uint64_t asked = 0;
    int rc;
    while ((rc = flock_as(process, &file, &one)) == -EAGAIN)
        asked++;
    assert_int_equal(rc, 0);
    assert_true(asked > 100);
    net_close(process);
}

/* A forked process begins with what its parent has, whatever becomes of that. */
static void test_parent(void **state)
{
    struct net_conn *parent = connect_process(300, 0), *other = connect_process(400, 0);
    struct file_id file;
    const char *path = rig_path(&rig, "rw/parent");

    assert_int_equal(open_as(parent, path, &one, &file), 0);
    assert_int_equal(flock_as(parent, &file, &one), 0);
    struct net_conn *child = connect_process(301, 300);
    struct msg_file_end end = {};
    struct msg_file_end_reply reply;
    assert_int_equal(NET_CALL(parent, FILE_END, file_end, &end, &reply, RIG_TIMEOUT_MS), 0);
    assert_int_equal(open_as(other, path, &two, &file), 0);
    assert_int_equal(flock_as(other, &file, &two), -EAGAIN);
    assert_int_equal(flock_as(parent, &file, &one), ASH_STALE_FILE);
    assert_int_equal(NET_CALL(child, FILE_END, file_end, &end, &reply, RIG_TIMEOUT_MS), 0);
    assert_int_equal(flock_as(other, &file, &two), 0);
    net_close(child);
    net_close(other);
    net_close(parent);
}

/* ---- answers that were lost ---- */

static void send_raw(struct net_conn *conn, uint16_t op, uint64_t id, bool again, const void *body,
                     size_t size)
{
    uint8_t frame[WIRE_HEADER_SIZE + 1024];
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .flags = again ? WIRE_AGAIN : 0,
                            .op = op,
                            .length = (uint32_t)size,
                            .request_id = id};
    assert_true(size <= 1024);
    memcpy(frame + WIRE_HEADER_SIZE, body, size);
    h.crc = wire_crc(wire_header_crc(&h), body, size);
    wire_header_encode(&h, frame);
    assert_int_equal(write(net_conn_fd(conn), frame, WIRE_HEADER_SIZE + size),
                     WIRE_HEADER_SIZE + size);
}

static size_t received; /* bytes of the body that came last */

/* The status of the answer; its body into `body`. */
static int receive_raw(struct net_conn *conn, uint64_t id, uint8_t body[1024])
{
    uint8_t head[WIRE_HEADER_SIZE];
    struct wire_header h;
    assert_int_equal(recv(net_conn_fd(conn), head, sizeof head, MSG_WAITALL), sizeof head);
    assert_int_equal(wire_header_decode(&h, head, 1024), 0);
    if (h.length) /* a receive of nothing would wait for something */
        assert_int_equal(recv(net_conn_fd(conn), body, h.length, MSG_WAITALL), h.length);
    assert_int_equal(h.request_id, id);
    received = h.length;
    return h.status;
}

/* Sends a request, breaks its connection unread, and asks again over another one. */
static int ask_again(uint64_t asid, uint16_t op, uint64_t id, const void *body, size_t size,
                     uint8_t answer[1024])
{
    uint8_t nothing;
    struct net_conn *conn = connect_process(asid, 0);
    send_raw(conn, op, id, false, body, size);
    /* It has been answered, so it was done. */
    assert_int_equal(recv(net_conn_fd(conn), &nothing, 1, MSG_PEEK), 1);
    break_connection(conn);
    conn = connect_process(asid, 0);
    send_raw(conn, op, id, true, body, size);
    int status = receive_raw(conn, id, answer);
    net_close(conn);
    return status;
}

static void test_once(void **state)
{
    uint8_t body[1024], answer[1024];
    const char *path = rig_path(&rig, "rw/once");

    struct msg_path_make make = {.mode = S_IFDIR | 0755, .path = path};
    int size = msg_path_make_encode(&make, body, sizeof body);
    assert_int_equal(ask_again(500, OP_PATH_MAKE, 77, body, (size_t)size, answer), 0);
    struct msg_path_unlink gone = {.directory = 1, .path = path};
    size = msg_path_unlink_encode(&gone, body, sizeof body);
    assert_int_equal(ask_again(500, OP_PATH_UNLINK, 78, body, (size_t)size, answer), 0);
    /* The same answer, an error as well. */
    assert_int_equal(ask_again(500, OP_PATH_UNLINK, 79, body, (size_t)size, answer), -ENOENT);

    /* An open that made its file; another client's lane, of the same number, is another one. */
    struct msg_file_open exclusive = {
        .path = path, .flags = O_RDWR | O_CREAT | O_EXCL, .mode = 0644, .description = one};
    struct msg_file_open_reply opened;
    size = msg_file_open_encode(&exclusive, body, sizeof body);
    struct net_conn *process = connect_process(600, 0);
    assert_int_equal(
        ask_again(600, OP_FILE_OPEN, 3ull << LANE_SHIFT | 5, body, (size_t)size, answer), 0);
    send_raw(process, OP_FILE_OPEN, 2ull << LANE_SHIFT | 5, true, body, (size_t)size);
    assert_int_equal(receive_raw(process, 2ull << LANE_SHIFT | 5, answer), -EEXIST);
    send_raw(process, OP_FILE_OPEN, 3ull << LANE_SHIFT | 5, true, body, (size_t)size);
    assert_int_equal(receive_raw(process, 3ull << LANE_SHIFT | 5, answer), 0);
    assert_int_equal(msg_file_open_reply_decode(&opened, answer, received), 0);

    /* An append is in the file once; asked for with another id it is another one. */
    struct msg_file_write append = {
        .file = opened.attr.id, .append = 1, .data = (const uint8_t *)"x", .data_size = 1};
    size = msg_file_write_encode(&append, body, sizeof body);
    body[size++] = 'x';
    assert_int_equal(ask_again(600, OP_FILE_WRITE, 9, body, (size_t)size, answer), 0);
    rig_assert_file(path, "x");
    assert_int_equal(ask_again(600, OP_FILE_WRITE, 10, body, (size_t)size, answer), 0);
    rig_assert_file(path, "xx");
    /* The first one, read from a broken connection's buffer after it was done at the second try. */
    send_raw(process, OP_FILE_WRITE, 11, true, body, (size_t)size);
    assert_int_equal(receive_raw(process, 11, answer), 0);
    send_raw(process, OP_FILE_WRITE, 11, false, body, (size_t)size);
    assert_int_equal(receive_raw(process, 11, answer), -EIO);
    rig_assert_file(path, "xxx");
    net_close(process);
}

static int setup(void **state)
{
    rig_start(&rig);
    return 0;
}

static int teardown(void **state)
{
    rig_stop(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_parent),
        cmocka_unit_test(test_once),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
