/*
 * For the tests of lib/net: a server with a known behaviour, and a peer that speaks the wire byte
 * by byte, from the protocol's description and not through lib/net's own code.
 */
#ifndef ASHLAR_LIB_NET_TEST_PEER_H
#define ASHLAR_LIB_NET_TEST_PEER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "net.h"

extern const struct net_key test_key, other_key;
extern const struct msg_bind test_bind;

/*
 * What the test server does: LINE_FETCH answers `count` lines, byte i of line l being l + i;
 * LINE_WRITE stores as many lines as are so; FILE_OPEN fails with -ENOENT, and is answered later;
 * FILE_STAT is elsewhere, at /proc/self; RUN_SEAT sends a descriptor of /dev/null; RUN_CLOSE first
 * sends two RUN_EVENTs; SPACE_RESET waits for `release`.
 */
struct test_server {
    struct net_server *server;
    const char *address;
    sem_t entered, release;
    pthread_mutex_t lock;           /* of last_writable */
    char last_writable[PATH_LIMIT]; /* of the connection that closed last */
    int opened, closed;             /* atomic */
};

void test_server_start(struct test_server *t, const char *address);
void test_server_stop(struct test_server *t);
/* Waits until `refused` requests were refused; fails after some seconds. */
void await_refused(struct test_server *t, uint64_t refused);
void await_connections(struct test_server *t, uint64_t connections);
struct net_conn *test_connect(struct test_server *t);
int test_ping(struct net_conn *conn);

/* ---- the byte by byte peer ---- */

int raw_connect(const char *address);
void raw_send(int fd, const void *data, size_t size);
/* Makes a frame as it should be; returns its bytes. */
size_t raw_frame(uint8_t *out, uint16_t op, uint8_t flags, const void *payload, size_t size);
void raw_send_frame(int fd, uint16_t op, const void *payload, size_t size);
/* Receives a frame; returns its status. Fails where none comes. */
int raw_receive(int fd, struct wire_header *header, uint8_t *payload, size_t room);
/* Whether the other end closes within timeout_ms, whatever it still sends. Closes fd. */
bool raw_closes(int fd, int timeout_ms);

struct raw_session {
    uint8_t client_nonce[NONCE_SIZE], server_nonce[NONCE_SIZE];
    uint8_t server_proof[PROOF_SIZE];
};
/* HELLO and its answer. */
void raw_hello(int fd, struct raw_session *session);
void raw_prove(const struct net_key *key, const char *label, const struct raw_session *session,
               uint8_t proof[PROOF_SIZE]);
/* The whole handshake, with the right key. */
int raw_session_open(const char *address);

#endif
