/* The tests' server and byte by byte peer; see test_peer.h. */
#include "test_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

enum { PATIENCE_MS = 20000 };

const struct net_key test_key = {.bytes = "the right key, thirty-two bytes"};
const struct net_key other_key = {.bytes = "another key, also of 32 bytes.."};
const struct msg_bind test_bind = {
    .scope = SCOPE_PROCESS, .asid = {42}, .run_id = 7, .writable = "/tmp:/home/me"};

/* ---- the server ---- */

static uint8_t pattern(size_t line, size_t at)
{
    return (uint8_t)(line + at);
}

static int fetch(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_line_fetch m;
    if (msg_line_fetch_decode(&m, frame->payload, frame->header.length) < 0 ||
        m.count > FETCH_MAX_LINES)
        return net_refuse(conn, frame, ASH_MALFORMED);
    uint8_t kinds[FETCH_MAX_LINES], *data = malloc(FETCH_MAX_LINES * LINE_SIZE);
    struct iovec bulk[FETCH_MAX_LINES];
    memset(kinds, LINE_DATA, sizeof kinds);
    for (size_t l = 0; l < m.count; l++) {
        for (size_t i = 0; i < LINE_SIZE; i++)
            data[l * LINE_SIZE + i] = pattern(l, i);
        bulk[l] = (struct iovec){.iov_base = data + l * LINE_SIZE, .iov_len = LINE_SIZE};
    }
    struct msg_line_fetch_reply reply = {
        .kinds = kinds, .kinds_size = m.count, .data_size = m.count * LINE_SIZE};
    uint8_t body[256];
    int rc = msg_line_fetch_reply_encode(&reply, body, sizeof body);
    if (rc >= 0)
        rc = net_reply(conn, frame, 0, body, (size_t)rc, bulk, (int)m.count);
    free(data);
    return rc;
}

static int store(struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_line_write m;
    struct msg_line_write_reply reply = {0};
    if (msg_line_write_decode(&m, frame->payload, frame->header.length) < 0 ||
        m.data_size != (size_t)m.lines_count * LINE_SIZE)
        return net_refuse(conn, frame, ASH_MALFORMED);
    for (size_t l = 0; l < m.lines_count; l++) {
        size_t i = 0;
        while (i < LINE_SIZE && m.data[l * LINE_SIZE + i] == pattern(l, i))
            i++;
        reply.stored += i == LINE_SIZE && m.lines[l].page.n == l;
    }
    return NET_REPLY(conn, frame, line_write, &reply);
}

static int send_events(struct net_conn *conn, const struct net_frame *frame)
{
    static const char *const texts[] = {"first", "second"};
    for (int i = 0; i < 2; i++) {
        struct msg_run_event event = {.run_id = 5, .text = texts[i]};
        uint8_t body[64];
        int rc = msg_run_event_encode(&event, body, sizeof body);
        if (rc >= 0)
            rc = net_post(conn, OP_RUN_EVENT, body, (size_t)rc);
        if (rc < 0)
            return rc;
    }
    struct msg_run_close_reply reply = {.ended = 3};
    return NET_REPLY(conn, frame, run_close, &reply);
}

static int request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct test_server *t = self;
    uint8_t body[64];
    int rc;
    switch (frame->header.op) {
    case OP_LINE_FETCH:
        return fetch(conn, frame);
    case OP_LINE_WRITE:
        return store(conn, frame);
    case OP_FILE_OPEN:
        net_answer_later(conn);
        return net_reply(conn, frame, -ENOENT, NULL, 0, NULL, 0);
    case OP_FILE_STAT: {
        struct msg_elsewhere_reply elsewhere = {.path = "/proc/self"};
        rc = msg_elsewhere_reply_encode(&elsewhere, body, sizeof body);
        return net_reply(conn, frame, ASH_ELSEWHERE, body, (size_t)rc, NULL, 0);
    }
    case OP_RUN_SEAT: {
        struct msg_run_seat_reply reply = {.seat = 9};
        int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        rc = msg_run_seat_reply_encode(&reply, body, sizeof body);
        rc = net_reply_fds(conn, frame, body, (size_t)rc, &fd, 1);
        close(fd);
        return rc;
    }
    case OP_RUN_CLOSE:
        return send_events(conn, frame);
    case OP_SPACE_RESET:
        sem_post(&t->entered);
        sem_wait(&t->release);
        return net_reply(conn, frame, 0, NULL, 0, NULL, 0);
    }
    return net_refuse(conn, frame, ASH_UNKNOWN_OP);
}

static void opened(void *self, struct net_conn *conn)
{
    struct test_server *t = self;
    *net_conn_state(conn) = t;
    __atomic_fetch_add(&t->opened, 1, __ATOMIC_SEQ_CST);
}

static void closed(void *self, struct net_conn *conn)
{
    struct test_server *t = self;
    if (*net_conn_state(conn) == t)
        __atomic_fetch_add(&t->closed, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&t->lock);
    snprintf(t->last_writable, sizeof t->last_writable, "%s", net_conn_scope(conn)->writable);
    pthread_mutex_unlock(&t->lock);
}

static void usage(void *self, struct msg_ping_reply *reply)
{
    reply->used_bytes = 4096;
}

void test_server_start(struct test_server *t, const char *address)
{
    static const struct net_server_ops ops = {
        .request = request, .opened = opened, .closed = closed};
    memset(t, 0, sizeof *t);
    pthread_mutex_init(&t->lock, NULL);
    sem_init(&t->entered, 0, 0);
    sem_init(&t->release, 0, 0);
    assert_int_equal(
        net_server_start(address, &test_key, (struct component){11}, &ops, t, &t->server), 0);
    net_server_set_usage(t->server, usage);
    t->address = net_server_address(t->server);
}

void test_server_stop(struct test_server *t)
{
    net_server_stop(t->server);
    assert_int_equal(t->opened, t->closed);
    sem_destroy(&t->entered);
    sem_destroy(&t->release);
}

static void await(struct test_server *t, uint64_t *of, struct net_server_counters *counters,
                  uint64_t wanted, const char *what)
{
    uint64_t until = clock_ms() + PATIENCE_MS;
    do {
        net_server_counters(t->server, counters);
        if (*of == wanted)
            return;
        poll(NULL, 0, 1); /* nothing announces it */
    } while (clock_ms() < until);
    fail_msg("%s: %d, not %d", what, (int)*of, (int)wanted);
}

void await_refused(struct test_server *t, uint64_t refused)
{
    struct net_server_counters counters;
    await(t, &counters.refused, &counters, refused, "refused");
}

void await_connections(struct test_server *t, uint64_t connections)
{
    struct net_server_counters counters;
    await(t, &counters.connections, &counters, connections, "connections");
}

struct net_conn *test_connect(struct test_server *t)
{
    struct net_conn *conn;
    struct component server;
    assert_int_equal(net_connect(t->address, &test_key, &test_bind, 5000, &conn, &server), 0);
    assert_int_equal(server.n, 11);
    return conn;
}

int test_ping(struct net_conn *conn)
{
    struct msg_ping ping = {};
    struct msg_ping_reply reply;
    return NET_CALL(conn, PING, ping, &ping, &reply, 5000);
}

/* ---- the peer ---- */

int raw_connect(const char *address)
{
    int fd, rc;
    if (strncmp(address, "unix:", 5) == 0) {
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        strcpy(at.sun_path, address + 5);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *)&at, sizeof at);
    } else {
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)atoi(strchr(address, ':') + 1)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = socket(AF_INET, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *)&at, sizeof at);
    }
    assert_int_equal(rc, 0);
    return fd;
}

void raw_send(int fd, const void *data, size_t size)
{
    assert_int_equal(send(fd, data, size, MSG_NOSIGNAL), size);
}

size_t raw_frame(uint8_t *out, uint16_t op, uint8_t flags, const void *payload, size_t size)
{
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .flags = flags,
                            .op = op,
                            .length = (uint32_t)size,
                            .request_id = 77};
    h.crc = wire_crc(wire_header_crc(&h), payload, size);
    wire_header_encode(&h, out);
    if (size)
        memcpy(out + WIRE_HEADER_SIZE, payload, size);
    return WIRE_HEADER_SIZE + size;
}

void raw_send_frame(int fd, uint16_t op, const void *payload, size_t size)
{
    uint8_t frame[1024];
    assert_true(size <= sizeof frame - WIRE_HEADER_SIZE);
    raw_send(fd, frame, raw_frame(frame, op, 0, payload, size));
}

static void raw_read(int fd, void *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
        ssize_t n = recv(fd, (char *)to + got, size - got, 0);
        assert_true(n > 0);
        got += (size_t)n;
    }
}

int raw_receive(int fd, struct wire_header *header, uint8_t *payload, size_t room)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    raw_read(fd, bytes, sizeof bytes);
    assert_int_equal(wire_header_decode(header, bytes, room), 0);
    raw_read(fd, payload, header->length);
    assert_true(wire_crc_ok(header, payload));
    return header->status;
}

bool raw_closes(int fd, int timeout_ms)
{
    uint64_t until = clock_ms() + (uint64_t)timeout_ms;
    for (;;) {
        uint64_t now = clock_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char bytes[512];
        if (now >= until || poll(&p, 1, (int)(until - now)) == 0) {
            close(fd);
            return false;
        }
        if (recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0) {
            close(fd);
            return true;
        }
    }
}

void raw_hello(int fd, struct raw_session *session)
{
    struct msg_hello hello = {.lowest = PROTOCOL_VERSION, .highest = PROTOCOL_VERSION};
    struct msg_hello_reply reply;
    struct wire_header header;
    uint8_t payload[PREAUTH_FRAME_MAX], body[64];
    for (int i = 0; i < NONCE_SIZE; i++)
        hello.nonce[i] = session->client_nonce[i] = (uint8_t)(i * 3);
    raw_send_frame(fd, OP_HELLO, body, (size_t)msg_hello_encode(&hello, body, sizeof body));
    assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), 0);
    assert_int_equal(msg_hello_reply_decode(&reply, payload, header.length), 0);
    memcpy(session->server_nonce, reply.nonce, NONCE_SIZE);
    memcpy(session->server_proof, reply.proof, PROOF_SIZE);
}

void raw_prove(const struct net_key *key, const char *label, const struct raw_session *session,
               uint8_t proof[PROOF_SIZE])
{
    /* label with its NUL, lowest, highest, version (each u16), client nonce, server nonce */
    uint8_t text[14 + 6 + 2 * NONCE_SIZE] = {0};
    strcpy((char *)text, label);
    for (int i = 0; i < 3; i++)
        text[14 + 2 * i] = PROTOCOL_VERSION;
    memcpy(text + 20, session->client_nonce, NONCE_SIZE);
    memcpy(text + 20 + NONCE_SIZE, session->server_nonce, NONCE_SIZE);
    assert_non_null(HMAC(EVP_sha256(), key->bytes, KEY_SIZE, text, sizeof text, proof, NULL));
}

int raw_session_open(const char *address)
{
    struct raw_session session;
    struct wire_header header;
    uint8_t proof[PROOF_SIZE], payload[PREAUTH_FRAME_MAX], body[64];
    int fd = raw_connect(address);
    raw_hello(fd, &session);
    raw_prove(&test_key, "ashlar client", &session, proof);
    raw_send_frame(fd, OP_PROOF, proof, sizeof proof);
    assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), 0);
    raw_send_frame(fd, OP_BIND, body, (size_t)msg_bind_encode(&test_bind, body, sizeof body));
    assert_int_equal(raw_receive(fd, &header, payload, sizeof payload), 0);
    return fd;
}
