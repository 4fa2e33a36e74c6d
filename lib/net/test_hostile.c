/*
 * lib/net against peers that mean harm or are broken: everything is refused and counted, the
 * connection closed, and the server serves the others as before. And a client against servers that
 * are not what they say.
 */
#include "test_peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

enum { SOON_MS = 5000 };

static struct test_server server;
static struct net_conn *bystander; /* an honest client that must not notice */

static int start(void **state)
{
    test_server_start(&server, "127.0.0.1:0");
    bystander = test_connect(&server);
    return 0;
}

static int stop(void **state)
{
    assert_int_equal(test_ping(bystander), 0);
    net_close(bystander);
    net_close(test_connect(&server));
    test_server_stop(&server);
    return 0;
}

/* Sends bytes as the first words of a connection: it must be closed, and counted. */
static void refused_at_once(const void *bytes, size_t size)
{
    struct net_server_counters before;
    net_server_counters(server.server, &before);
    int fd = raw_connect(server.address);
    raw_send(fd, bytes, size);
    assert_true(raw_closes(fd, SOON_MS));
    await_refused(&server, before.refused + 1);
}

/* The same within an authenticated connection; answer: the status that it gets, 0 for none. */
static void refused_in_session(const void *bytes, size_t size, int answer)
{
    struct net_server_counters before;
    struct wire_header header;
    uint8_t payload[PREAUTH_FRAME_MAX];
    net_server_counters(server.server, &before);
    int fd = raw_session_open(server.address);
    raw_send(fd, bytes, size);
    if (answer)
        assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), answer);
    assert_true(raw_closes(fd, SOON_MS));
    await_refused(&server, before.refused + 1);
}

static void garbage(void **state)
{
    uint8_t noise[PREAUTH_FRAME_MAX];
    srand(1);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)rand();
        refused_at_once(noise, WIRE_HEADER_SIZE);
        refused_in_session(noise, WIRE_HEADER_SIZE, 0);
    }
    static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    refused_at_once(http, sizeof http - 1);
}

static void wrong_versions(void **state)
{
    uint8_t frame[WIRE_HEADER_SIZE + sizeof(struct msg_hello)], body[64];
    struct msg_hello hello = {.lowest = PROTOCOL_VERSION + 1, .highest = PROTOCOL_VERSION + 7};
    int n = msg_hello_encode(&hello, body, sizeof body);
    refused_at_once(frame, raw_frame(frame, OP_HELLO, 0, body, (size_t)n));

    struct wire_header header;
    uint8_t payload[PREAUTH_FRAME_MAX];
    int fd = raw_connect(server.address);
    raw_send_frame(fd, OP_HELLO, body, (size_t)n);
    assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), ASH_VERSION);
    assert_true(raw_closes(fd, SOON_MS));

    size_t size = raw_frame(frame, OP_PING, 0, NULL, 0);
    frame[4]++; /* the version in the frame itself */
    refused_at_once(frame, size);
    refused_in_session(frame, size, ASH_VERSION);
}

static void too_large(void **state)
{
    uint8_t frame[WIRE_HEADER_SIZE + PREAUTH_FRAME_MAX + 1] = {0},
                                                         body[PREAUTH_FRAME_MAX + 1] = {0};
    struct wire_header header = {.version = PROTOCOL_VERSION, .op = OP_HELLO};
    refused_at_once(frame, raw_frame(frame, OP_HELLO, 0, body, sizeof body));
    header.length = UINT32_MAX;
    wire_header_encode(&header, frame);
    refused_at_once(frame, WIRE_HEADER_SIZE);
    refused_in_session(frame, WIRE_HEADER_SIZE, ASH_TOO_BIG);
    header.length = FRAME_MAX + 1;
    wire_header_encode(&header, frame);
    refused_in_session(frame, WIRE_HEADER_SIZE, ASH_TOO_BIG);
}

static void damaged(void **state)
{
    uint8_t frame[64];
    uint64_t asid = 5;
    size_t size = raw_frame(frame, OP_SPACE_STAT, 0, &asid, sizeof asid);
    for (size_t at = 6; at < size; at++) {
        if (at >= 8 && at < 12)
            continue; /* the length: then it waits for more, or is too large */
        frame[at] ^= 0x10;
        refused_in_session(frame, size, ASH_CORRUPT);
        frame[at] ^= 0x10;
    }
    size = raw_frame(frame, OP_PING, WIRE_REPLY, NULL, 0); /* the answer to nothing */
    refused_in_session(frame, size, 0);
}

static void truncated(void **state)
{
    uint8_t frame[64];
    uint64_t asid = 5;
    size_t size = raw_frame(frame, OP_SPACE_STAT, 0, &asid, sizeof asid);
    for (size_t cut = 0; cut < size; cut++) {
        int fd = raw_session_open(server.address);
        raw_send(fd, frame, cut);
        shutdown(fd, SHUT_WR);
        assert_true(raw_closes(fd, SOON_MS));
    }
    await_connections(&server, 1);
}

static void requests_before_authentication(void **state)
{
    uint8_t frame[256], body[64];
    refused_at_once(frame, raw_frame(frame, OP_PING, 0, NULL, 0));
    int n = msg_bind_encode(&test_bind, body, sizeof body);
    refused_at_once(frame, raw_frame(frame, OP_BIND, 0, body, (size_t)n));
    memset(body, 0, PROOF_SIZE);
    refused_at_once(frame, raw_frame(frame, OP_PROOF, 0, body, PROOF_SIZE));

    /* After HELLO, but without a proof. */
    struct raw_session session;
    struct wire_header header;
    uint8_t payload[PREAUTH_FRAME_MAX];
    int fd = raw_connect(server.address);
    raw_hello(fd, &session);
    raw_send_frame(fd, OP_BIND, body, (size_t)msg_bind_encode(&test_bind, body, sizeof body));
    assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), ASH_AUTH);
    assert_true(raw_closes(fd, SOON_MS));
    await_refused(&server, 4);
}

/* Sends a proof over a new HELLO and returns the answer. */
static int try_proof(int fd, const uint8_t proof[PROOF_SIZE])
{
    struct wire_header header;
    uint8_t payload[PREAUTH_FRAME_MAX];
    raw_send_frame(fd, OP_PROOF, proof, PROOF_SIZE);
    int status = raw_receive(fd, &header, payload, sizeof payload);
    assert_true(status == 0 || raw_closes(fd, SOON_MS));
    return status;
}

static void wrong_proofs(void **state)
{
    struct raw_session session, later;
    uint8_t proof[PROOF_SIZE];
    struct net_conn *conn;

    /* Another key; the client notices first, so its own proof is tried here by hand. */
    assert_int_equal(net_connect(server.address, &other_key, &test_bind, SOON_MS, &conn, NULL),
                     ASH_AUTH);
    int fd = raw_connect(server.address);
    raw_hello(fd, &session);
    raw_prove(&other_key, "ashlar client", &session, proof);
    assert_int_equal(try_proof(fd, proof), ASH_AUTH);

    /* The server proves itself over both nonces and its own label. */
    fd = raw_connect(server.address);
    raw_hello(fd, &session);
    raw_prove(&test_key, "ashlar server", &session, proof);
    assert_memory_equal(proof, session.server_proof, PROOF_SIZE);

    /* Reflected: the server's own proof sent back. */
    assert_int_equal(try_proof(fd, session.server_proof), ASH_AUTH);

    /* Right, and the same one replayed: the nonce of the server differs. */
    fd = raw_connect(server.address);
    raw_hello(fd, &session);
    raw_prove(&test_key, "ashlar client", &session, proof);
    assert_int_equal(try_proof(fd, proof), 0);
    close(fd);
    fd = raw_connect(server.address);
    raw_hello(fd, &later);
    assert_memory_not_equal(session.server_nonce, later.server_nonce, NONCE_SIZE);
    assert_int_equal(try_proof(fd, proof), ASH_AUTH);

    /* Each bit of it counts. */
    fd = raw_connect(server.address);
    raw_hello(fd, &session);
    raw_prove(&test_key, "ashlar client", &session, proof);
    proof[PROOF_SIZE - 1] ^= 1;
    assert_int_equal(try_proof(fd, proof), ASH_AUTH);
    await_refused(&server, 6);
}

static void wrong_scopes(void **state)
{
    for (int scope = 0; scope < 256; scope += scope < 4 ? 1 : 63) {
        struct msg_bind bind = {.scope = (uint8_t)scope};
        struct net_conn *conn;
        int rc = net_connect(server.address, &test_key, &bind, SOON_MS, &conn, NULL);
        bool known = scope == SCOPE_COMPONENT || scope == SCOPE_PROCESS;
        assert_int_equal(rc, known ? 0 : ASH_MALFORMED);
        if (known)
            net_close(conn);
    }
}

/* A peer that sends its HELLO byte by byte is dropped when the handshake's time is over. */
static void slowloris(void **state)
{
    uint8_t frame[128], body[64] = {0};
    size_t size = raw_frame(frame, OP_HELLO, 0, body, 36), sent = 0;
    int slow = raw_connect(server.address), silent = raw_connect(server.address);
    uint64_t began = clock_ms();
    struct pollfd p = {.fd = slow, .events = POLLIN};
    while (sent < size && poll(&p, 1, 50) == 0)
        raw_send(slow, frame + sent++, 1);
    assert_true(sent < size);
    assert_true(raw_closes(slow, SOON_MS));
    assert_true(raw_closes(silent, SOON_MS));
    assert_in_range(clock_ms() - began, HANDSHAKE_TIMEOUT_MS - 100, HANDSHAKE_TIMEOUT_MS + 3000);
    await_connections(&server, 1);
    await_refused(&server, 2);
}

/* However many do not speak: who does is served at once. */
static void silent_crowd(void **state)
{
    enum { CROWD = 200 };
    static int fds[CROWD];
    for (int i = 0; i < CROWD; i++)
        fds[i] = raw_connect(server.address);
    uint64_t began = clock_ms();
    assert_true(raw_closes(fds[0], HANDSHAKE_TIMEOUT_MS / 2)); /* the oldest had to give way */
    struct net_conn *conn = test_connect(&server);
    assert_int_equal(test_ping(conn), 0);
    assert_true(clock_ms() - began < HANDSHAKE_TIMEOUT_MS);
    net_close(conn);
    for (int i = 1; i < CROWD; i++)
        close(fds[i]);
}

/* A peer that asks and never reads does not hold its thread for ever. */
static void never_reads(void **state)
{
    uint8_t frame[128], body[64];
    struct msg_line_fetch request = {.asid = {1}, .count = FETCH_MAX_LINES};
    int n = msg_line_fetch_encode(&request, body, sizeof body);
    size_t size = raw_frame(frame, OP_LINE_FETCH, 0, body, (size_t)n);
    /* Meanwhile the bystander is idle, after a large message. */
    static uint8_t large[FRAME_MAX];
    struct net_frame reply;
    assert_int_equal(net_request(bystander, OP_PING, large, sizeof large, NULL, 0, SOON_MS, &reply),
                     ASH_MALFORMED);
    int fd = raw_session_open(server.address);
    uint64_t began = clock_ms();
    for (int i = 0; i < 100; i++) /* 25 MiB of answers: no socket holds that */
        raw_send(fd, frame, size);
    await_connections(&server, 1);
    assert_in_range(clock_ms() - began, 1000, 9000); /* it waits a while, but once only */
    close(fd);
    assert_int_equal(net_request(bystander, OP_PING, large, sizeof large, NULL, 0, SOON_MS, &reply),
                     ASH_MALFORMED);
}

/* ---- clients and false servers ---- */

struct false_server {
    int listen_fd;
    char address[ADDRESS_LIMIT];
    uint8_t answer[1024];
    size_t size;
    pthread_t thread;
};

/* Reads the first frame, sends the answer, and waits for the client to go. */
static void *play_server(void *argument)
{
    struct false_server *f = argument;
    char bytes[1024];
    int fd = accept(f->listen_fd, NULL, NULL);
    (void)!recv(fd, bytes, sizeof bytes, 0);
    if (f->size)
        (void)!send(fd, f->answer, f->size, MSG_NOSIGNAL);
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
    close(fd);
    return NULL;
}

static int connect_to_false(const void *answer, size_t size, unsigned timeout_ms)
{
    struct false_server f = {.size = size};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t at_size = sizeof at;
    struct net_conn *conn;
    if (size)
        memcpy(f.answer, answer, size);
    f.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(f.listen_fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(f.listen_fd, 1), 0);
    getsockname(f.listen_fd, (struct sockaddr *)&at, &at_size);
    snprintf(f.address, sizeof f.address, "127.0.0.1:%d", ntohs(at.sin_port));
    pthread_create(&f.thread, NULL, play_server, &f);
    int rc = net_connect(f.address, &test_key, &test_bind, timeout_ms, &conn, NULL);
    pthread_join(f.thread, NULL);
    close(f.listen_fd);
    return rc;
}

static void false_servers(void **state)
{
    uint8_t frame[512], body[256];
    struct msg_hello_reply reply = {.version = PROTOCOL_VERSION};
    static const char noise[WIRE_HEADER_SIZE] = "220 smtp.example.com ESMTP ready";

    assert_int_equal(connect_to_false(noise, sizeof noise, SOON_MS), ASH_MALFORMED);

    /* One that does not hold the key. */
    size_t n = (size_t)msg_hello_reply_encode(&reply, body, sizeof body);
    size_t size = raw_frame(frame, OP_HELLO, WIRE_REPLY, body, n);
    struct wire_header h;
    assert_int_equal(wire_header_decode(&h, frame, sizeof body), 0);
    h.request_id = 1; /* the client's first */
    h.crc = wire_crc(wire_header_crc(&h), body, n);
    wire_header_encode(&h, frame);
    assert_int_equal(connect_to_false(frame, size, SOON_MS), ASH_AUTH);

    /* One that answers another request; that chooses another version; that damages its answer. */
    size = raw_frame(frame, OP_HELLO, WIRE_REPLY, body, n);
    assert_int_equal(connect_to_false(frame, size, SOON_MS), ASH_MALFORMED);
    reply.version++;
    n = (size_t)msg_hello_reply_encode(&reply, body, sizeof body);
    raw_frame(frame, OP_HELLO, WIRE_REPLY, body, n);
    h.crc = wire_crc(wire_header_crc(&h), body, n);
    wire_header_encode(&h, frame);
    assert_int_equal(connect_to_false(frame, size, SOON_MS), ASH_VERSION);
    frame[size - 1] ^= 1;
    assert_int_equal(connect_to_false(frame, size, SOON_MS), ASH_CORRUPT);

    /* One that would have it take in more than a handshake needs; one that says nothing. */
    h.length = PREAUTH_FRAME_MAX + 1;
    wire_header_encode(&h, frame);
    assert_int_equal(connect_to_false(frame, WIRE_HEADER_SIZE, SOON_MS), ASH_TOO_BIG);
    uint64_t began = clock_ms();
    assert_int_equal(connect_to_false(NULL, 0, 100), ASH_TIMEOUT);
    assert_in_range(clock_ms() - began, 90, 3000);
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(garbage),      WITH_SERVER(wrong_versions),
        WITH_SERVER(too_large),    WITH_SERVER(damaged),
        WITH_SERVER(truncated),    WITH_SERVER(requests_before_authentication),
        WITH_SERVER(wrong_proofs), WITH_SERVER(wrong_scopes),
        WITH_SERVER(slowloris),    WITH_SERVER(silent_crowd),
        WITH_SERVER(never_reads),  cmocka_unit_test(false_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
