/*
 * lib/net as its users see it: requests of every shape, scopes, descriptors, events, timeouts,
 * stopping, many connections, running out of descriptors.
 */
#include "test_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

static struct test_server server;

static int start(void **state)
{
    test_server_start(&server, "127.0.0.1:0");
    return 0;
}

static int start_unix(void **state)
{
    char address[ADDRESS_LIMIT];
    snprintf(address, sizeof address, "unix:/tmp/ashlar-test-%d.sock", (int)getpid());
    test_server_start(&server, address);
    return 0;
}

static int stop(void **state)
{
    test_server_stop(&server);
    return 0;
}

static int fetch(struct net_conn *conn, unsigned count)
{
    struct msg_line_fetch request = {.asid = {1}, .count = count};
    struct msg_line_fetch_reply reply;
    int rc = NET_CALL(conn, LINE_FETCH, line_fetch, &request, &reply, 5000);
    if (rc < 0)
        return rc;
    assert_int_equal(reply.kinds_size, count);
    assert_int_equal(reply.data_size, count * LINE_SIZE);
    for (unsigned l = 0; l < count; l++)
        for (unsigned i = 0; i < LINE_SIZE; i++)
            if (reply.data[l * LINE_SIZE + i] != (uint8_t)(l + i))
                fail_msg("line %u differs at %u", l, i);
    return 0;
}

static void lines_come(void **state)
{
    struct net_conn *conn = test_connect(&server);
    static const unsigned counts[] = {0, 1, 64, 2, 64, 17, 1, 33};
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(fetch(conn, counts[i % 8]), 0);
    net_close(conn);
}

static void lines_go(void **state)
{
    struct net_conn *conn = test_connect(&server);
    static uint8_t data[WRITE_MAX_LINES][LINE_SIZE];
    struct line_ref lines[WRITE_MAX_LINES];
    struct iovec bulk[WRITE_MAX_LINES];
    for (unsigned l = 0; l < WRITE_MAX_LINES; l++) {
        lines[l].page.n = l;
        bulk[l] = (struct iovec){.iov_base = data[l], .iov_len = LINE_SIZE};
        for (unsigned i = 0; i < LINE_SIZE; i++)
            data[l][i] = (uint8_t)(l + i);
    }
    for (unsigned count = 1; count <= WRITE_MAX_LINES; count *= 4) {
        struct msg_line_write request = {
            .lines = lines, .lines_count = count, .data_size = count * LINE_SIZE};
        struct msg_line_write_reply reply;
        struct net_frame frame;
        uint8_t body[1024];
        int n = msg_line_write_encode(&request, body, sizeof body);
        assert_true(n > 0);
        assert_int_equal(
            net_request(conn, OP_LINE_WRITE, body, (size_t)n, bulk, (int)count, 5000, &frame), 0);
        assert_int_equal(msg_line_write_reply_decode(&reply, frame.payload, frame.header.length),
                         0);
        assert_int_equal(reply.stored, count);
    }
    net_close(conn);
}

static void statuses_come_back(void **state)
{
    struct net_conn *conn = test_connect(&server);
    struct msg_file_open open_request = {.path = "/nowhere"};
    struct msg_file_open_reply open_reply;
    assert_int_equal(NET_CALL(conn, FILE_OPEN, file_open, &open_request, &open_reply, 5000),
                     -ENOENT);
    struct net_frame frame;
    assert_int_equal(net_request(conn, OP_FILE_STAT, NULL, 0, NULL, 0, 5000, &frame),
                     ASH_ELSEWHERE);
    struct msg_elsewhere_reply where;
    assert_int_equal(msg_elsewhere_reply_decode(&where, frame.payload, frame.header.length), 0);
    assert_string_equal(where.path, "/proc/self");
    assert_int_equal(net_request(conn, 0x7777, NULL, 0, NULL, 0, 5000, &frame), ASH_UNKNOWN_OP);
    assert_int_equal(net_request(conn, OP_BIND, NULL, 0, NULL, 0, 5000, &frame), ASH_FORBIDDEN);
    assert_int_equal(net_request(conn, OP_LINE_FETCH, "x", 1, NULL, 0, 5000, &frame),
                     ASH_MALFORMED);
    static uint8_t large[FRAME_MAX + 1];
    assert_int_equal(net_request(conn, OP_PING, large, sizeof large, NULL, 0, 5000, &frame),
                     ASH_TOO_BIG);
    assert_int_equal(test_ping(conn), 0); /* it is still good */
    await_refused(&server, 3);
    net_close(conn);
}

static void ping_tells(void **state)
{
    struct net_conn *conn = test_connect(&server);
    struct msg_ping ping = {};
    struct msg_ping_reply reply;
    assert_int_equal(fetch(conn, 1), 0);
    assert_int_equal(NET_CALL(conn, PING, ping, &ping, &reply, 5000), 0);
    assert_int_equal(reply.requests, 2);
    assert_int_equal(reply.refused, 0);
    assert_int_equal(reply.used_bytes, 4096);
    net_close(conn);
}

static void scopes_are_kept(void **state)
{
    struct net_conn *conn;
    char *writable = malloc(3001);
    memset(writable, 'w', 3000);
    writable[3000] = 0;
    struct msg_bind bind = {.scope = SCOPE_PROCESS, .writable = writable};
    assert_int_equal(net_connect(server.address, &test_key, &bind, 5000, &conn, NULL), 0);
    free(writable);
    assert_int_equal(strlen(net_conn_scope(conn)->writable), 3000);
    net_close(conn);
    await_connections(&server, 0);
    assert_int_equal(strlen(server.last_writable), 3000);
}

/* A connection that is kept for later may ask for nothing until BIND, and is bound once. */
static void binding_comes_late_and_once(void **state)
{
    struct msg_bind mine = {
        .scope = SCOPE_PROCESS, .asid = {7}, .run_id = 3, .writable = "/tmp/late"};
    struct msg_bind wider = {.scope = SCOPE_COMPONENT, .writable = ""};
    struct net_conn *conn, *eager;
    struct component who = {0};
    assert_int_equal(net_connect_unbound(server.address, &test_key, 5000, &conn), 0);
    assert_int_equal(net_connect_unbound(server.address, &test_key, 5000, &eager), 0);
    assert_int_equal(test_ping(eager), ASH_AUTH);
    assert_int_equal(test_ping(eager), ASH_LOST);
    net_close(eager);

    usleep((HANDSHAKE_TIMEOUT_MS + 300) * 1000);
    assert_int_equal(net_bind(conn, &mine, 5000, &who), 0);
    assert_int_equal(who.n, 11);
    assert_int_equal(test_ping(conn), 0);
    assert_int_equal(net_bind(conn, &wider, 5000, NULL), ASH_FORBIDDEN);
    assert_int_equal(net_bind(conn, &mine, 5000, NULL), ASH_FORBIDDEN);
    assert_int_equal(net_conn_scope(conn)->scope, SCOPE_PROCESS);
    assert_int_equal(test_ping(conn), 0);
    net_close(conn);
    await_connections(&server, 0);
    pthread_mutex_lock(&server.lock);
    assert_string_equal(server.last_writable, "/tmp/late"); /* what it was bound to at its end */
    pthread_mutex_unlock(&server.lock);
}

static void await_answers(int fd, unsigned count)
{
    struct wire_header header;
    uint8_t payload[64];
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), -ENOENT);
}

/* Answers that may wait go together, but for none that is still to come, nor for the end. */
static void answers_go_together(void **state)
{
    enum { COUNT = 50 };
    static uint8_t requests[COUNT * 64 + WIRE_HEADER_SIZE];
    uint8_t answers[COUNT * WIRE_HEADER_SIZE];
    size_t size = 0, one;
    int fd = raw_session_open(server.address);
    for (int i = 0; i < COUNT; i++)
        size += raw_frame(requests + size, OP_FILE_OPEN, 0, "1234567", 7);
    one = size / COUNT;

    raw_send(fd, requests, size);
    size_t got = (size_t)recv(fd, answers, sizeof answers, MSG_PEEK);
    assert_int_equal(got, COUNT * WIRE_HEADER_SIZE);
    await_answers(fd, COUNT);

    raw_send(fd, requests, 3 * one + one / 2);
    await_answers(fd, 3);
    raw_send(fd, requests + one / 2, one - one / 2);
    await_answers(fd, 1);

    size = raw_frame(requests + 2 * one, OP_FILE_OPEN, WIRE_REPLY, NULL, 0); /* to nothing */
    raw_send(fd, requests, 2 * one + size);
    await_answers(fd, 2);
    assert_true(raw_closes(fd, 5000));
}

static void descriptors_pass(void **state)
{
    struct net_conn *conn = test_connect(&server);
    struct net_frame frame;
    int fds[2], count = 2;
    uint64_t run = 1;
    assert_int_equal(
        net_request_fds(conn, OP_RUN_SEAT, &run, sizeof run, 5000, &frame, fds, &count), 0);
    assert_int_equal(count, 1);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    close(fds[0]);
    count = 0;                            /* none wanted: none leaks */
    assert_int_equal(test_ping(conn), 0); /* the server has closed its first copy */
    int before = dup(0);
    assert_int_equal(
        net_request_fds(conn, OP_RUN_SEAT, &run, sizeof run, 5000, &frame, fds, &count), 0);
    assert_int_equal(net_request(conn, OP_RUN_SEAT, &run, sizeof run, NULL, 0, 5000, &frame), 0);
    assert_int_equal(count, 0);
    assert_int_equal(test_ping(conn), 0); /* the server has closed its copy by now */
    int after = dup(0);
    assert_int_equal(after, before + 1);
    close(before);
    close(after);
    net_close(conn);
}

static void events_wait_for_their_reader(void **state)
{
    struct net_conn *conn = test_connect(&server);
    struct msg_run_close request = {.run_id = 5};
    struct msg_run_close_reply reply;
    struct net_frame frame;
    struct msg_run_event event;
    assert_int_equal(NET_CALL(conn, RUN_CLOSE, run_close, &request, &reply, 5000), 0);
    assert_int_equal(reply.ended, 3);
    static const char *const texts[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_receive(conn, 0, &frame), 0);
        assert_int_equal(frame.header.op, OP_RUN_EVENT);
        assert_int_equal(msg_run_event_decode(&event, frame.payload, frame.header.length), 0);
        assert_string_equal(event.text, texts[i]);
    }
    assert_int_equal(net_receive(conn, 0, &frame), ASH_TIMEOUT);
    assert_int_equal(net_receive(conn, 20, &frame), ASH_TIMEOUT);
    assert_int_equal(test_ping(conn), 0);
    net_close(conn);
}

static void requests_time_out(void **state)
{
    struct net_conn *conn = test_connect(&server);
    struct msg_space_reset request = {.asid = {1}};
    struct msg_space_reset_reply reply;
    uint64_t began = clock_ms();
    assert_int_equal(NET_CALL(conn, SPACE_RESET, space_reset, &request, &reply, 80), ASH_TIMEOUT);
    assert_in_range(clock_ms() - began, 70, 3000);
    sem_post(&server.release);
    net_close(conn);
}

static void adopted_sockets_serve(void **state)
{
    int pair[2];
    struct net_conn *conn;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(net_server_adopt(server.server, pair[0], &test_bind), 0);
    assert_int_equal(net_adopt(pair[1], &conn), 0);
    assert_int_equal(fetch(conn, 64), 0);
    /* A connection handed on works where it goes, with no timeout left behind. */
    int fd = net_release(conn);
    assert_int_equal(fd, pair[1]);
    assert_int_equal(net_adopt(fd, &conn), 0);
    assert_int_equal(fetch(conn, 64), 0);
    net_close(conn);
    await_connections(&server, 0);
    assert_string_equal(server.last_writable, test_bind.writable);
}

static void *block(void *argument)
{
    struct net_conn *conn = argument;
    struct msg_space_reset request = {.asid = {1}};
    struct msg_space_reset_reply reply;
    return (void *)(intptr_t)NET_CALL(conn, SPACE_RESET, space_reset, &request, &reply, 60000);
}

/* Starts and stops by itself. */
static void stopping_ends_live_connections(void **state)
{
    enum { IDLE = 20 };
    struct net_conn *idle[IDLE], *busy;
    start(NULL);
    for (int i = 0; i < IDLE; i++)
        idle[i] = test_connect(&server);
    busy = test_connect(&server);
    int silent = raw_connect(server.address);
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, block, busy);
    sem_wait(&server.entered);
    sem_post(&server.release); /* its answer and the stop race; both are right */
    stop(NULL);
    pthread_join(thread, &result);
    assert_true((intptr_t)result == 0 || (intptr_t)result == ASH_LOST);
    for (int i = 0; i < IDLE; i++) {
        assert_int_equal(test_ping(idle[i]), ASH_LOST);
        net_close(idle[i]);
    }
    net_close(busy);
    assert_true(raw_closes(silent, 5000));
}

struct hammer {
    pthread_t thread;
    unsigned seed;
    int rc;
};

static void *hammer(void *argument)
{
    struct hammer *h = argument;
    for (int round = 0; round < 8 && h->rc == 0; round++) {
        struct net_conn *conn;
        h->rc = net_connect(server.address, &test_key, &test_bind, 10000, &conn, NULL);
        if (h->rc < 0)
            break;
        for (int i = 0; i < 40 && h->rc == 0; i++)
            h->rc = fetch(conn, (h->seed + (unsigned)i) % 9);
        net_close(conn);
    }
    return NULL;
}

static void many_at_once(void **state)
{
    struct hammer hammers[16] = {0};
    for (unsigned i = 0; i < 16; i++) {
        hammers[i].seed = i;
        pthread_create(&hammers[i].thread, NULL, hammer, &hammers[i]);
    }
    for (unsigned i = 0; i < 16; i++) {
        pthread_join(hammers[i].thread, NULL);
        assert_int_equal(hammers[i].rc, 0);
    }
    await_connections(&server, 0);
}

static void connections_have_a_limit(void **state)
{
    struct rlimit limit;
    static struct net_conn *conns[CONNECTIONS_MAX];
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * CONNECTIONS_MAX + 64)
        skip();
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        conns[i] = test_connect(&server);
    await_connections(&server, CONNECTIONS_MAX);
    struct net_conn *more;
    assert_int_equal(net_connect(server.address, &test_key, &test_bind, 5000, &more, NULL),
                     ASH_LOST);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i += 100)
        assert_int_equal(test_ping(conns[i]), 0);
    net_close(conns[0]);
    await_connections(&server, CONNECTIONS_MAX - 1);
    conns[0] = test_connect(&server);
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
        net_close(conns[i]);
    await_connections(&server, 0);
}

static void descriptors_run_out(void **state)
{
    struct rlimit limit, was;
    struct net_conn *conn = test_connect(&server);
    enum { MOST = 100 };
    int waiting[4], hoard[MOST], hoarded = 0;
    getrlimit(RLIMIT_NOFILE, &was);
    limit = was;
    limit.rlim_cur = MOST;
    /* The peers' sockets first, so that only the server's accept() is short of descriptors. */
    for (int i = 0; i < 4; i++)
        waiting[i] = socket(AF_INET, SOCK_STREAM, 0);
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int fd; hoarded < MOST && (fd = dup(0)) >= 0;)
        hoard[hoarded++] = fd;
    for (int i = 0; i < 4; i++) {
        int fd = waiting[i];
        struct sockaddr_storage at;
        socklen_t size = sizeof at;
        getpeername(net_conn_fd(conn), (struct sockaddr *)&at, &size);
        assert_int_equal(connect(fd, (struct sockaddr *)&at, size), 0);
        assert_true(raw_closes(fd, 5000)); /* turned away, not left waiting */
        hoard[hoarded++] = dup(0);
    }
    assert_int_equal(fetch(conn, 3), 0); /* the others are served on */
    for (int i = 0; i < hoarded; i++)
        close(hoard[i]);
    setrlimit(RLIMIT_NOFILE, &was);
    net_close(test_connect(&server));
    net_close(conn);
}

static void keys(void **state)
{
    char path[] = "/tmp/ashlar-test-key-XXXXXX";
    struct net_key key, again;
    struct stat st;
    int fd = mkstemp(path);
    close(fd);
    assert_int_equal(net_key_create(path), -EEXIST);
    assert_int_equal(net_key_load(path, &key), -EINVAL); /* empty */
    unlink(path);
    mode_t mask = umask(0);
    assert_int_equal(net_key_create(path), 0);
    umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(net_key_load(path, &key), 0);
    assert_int_equal(net_key_load(path, &again), 0);
    assert_memory_equal(&key, &again, sizeof key);
    chmod(path, 0640);
    assert_int_equal(net_key_load(path, &key), -EPERM);
    unlink(path);
    assert_int_equal(net_key_load(path, &key), -ENOENT);
}

static void addresses(void **state)
{
    struct net_conn *conn;
    static const struct {
        const char *address;
        int rc;
    } wrong[] = {
        {"", -EINVAL},
        {"localhost", -EINVAL},
        {":80", -EINVAL},
        {"unix:", -ENAMETOOLONG},
        {"unix:/nonexistent/x", -ENOENT},
        {"127.0.0.1:1", -ECONNREFUSED},
        {"127.0.0.1:http", -EADDRNOTAVAIL},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(net_connect(wrong[i].address, &test_key, &test_bind, 500, &conn, NULL),
                         wrong[i].rc);
}

/* A socket file that a killed server left is replaced; that of a live one is not. */
static void stale_socket_files(void **state)
{
    char path[ADDRESS_LIMIT];
    strcpy(path, server.address);
    struct net_server *second;
    static const struct net_server_ops ops = {0};
    assert_int_equal(net_server_start(path, &test_key, (struct component){1}, &ops, NULL, &second),
                     -EADDRINUSE);
    net_close(test_connect(&server));
    stop(NULL);
    assert_int_equal(access(path + 5, F_OK), -1);

    struct sockaddr_storage at = {.ss_family = AF_UNIX};
    strcpy((char *)&at + sizeof(sa_family_t), path + 5);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, 110), 0);
    close(fd);
    test_server_start(&server, path);
    net_close(test_connect(&server));
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, start, stop)
#define WITH_UNIX(test)   cmocka_unit_test_setup_teardown(test, start_unix, stop)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(lines_come),
        WITH_UNIX(lines_come),
        WITH_SERVER(lines_go),
        WITH_UNIX(lines_go),
        WITH_SERVER(statuses_come_back),
        WITH_SERVER(ping_tells),
        WITH_SERVER(scopes_are_kept),
        WITH_SERVER(binding_comes_late_and_once),
        WITH_SERVER(answers_go_together),
        WITH_UNIX(descriptors_pass),
        WITH_SERVER(events_wait_for_their_reader),
        WITH_SERVER(requests_time_out),
        WITH_SERVER(adopted_sockets_serve),
        cmocka_unit_test(stopping_ends_live_connections),
        WITH_SERVER(many_at_once),
        WITH_SERVER(connections_have_a_limit),
        WITH_SERVER(descriptors_run_out),
        cmocka_unit_test(keys),
        cmocka_unit_test(addresses),
        WITH_UNIX(stale_socket_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
