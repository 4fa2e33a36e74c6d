/*
 * The handshake: HELLO, PROOF, BIND.
 *
 *   client → HELLO(lowest, highest, client nonce)
 *   server → its nonce, HMAC(key, "ashlar server" | lowest highest version | both nonces)
 *   client → PROOF(HMAC(key, "ashlar client" | the same)), then BIND
 *
 * Each side proves that it holds the key over the other's fresh nonce. The labels keep a proof from
 * being sent back as the other side's (reflection); fresh nonces keep an old one from being of use
 * (replay); the versions in it keep somebody in between from choosing an older one.
 * Compared in constant time. Until PROOF was right, frames are at most PREAUTH_FRAME_MAX. After it
 * the client may take any time until BIND, and may ask for nothing before that.
 */
#include "conn.h"

#include <errno.h>
#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <string.h>
#include <sys/random.h>

#include "../util/clock.h"

_Static_assert(PROOF_SIZE == SHA256_DIGEST_SIZE, "a proof is an HMAC-SHA-256");

struct transcript {
    char label[14];
    uint16_t lowest, highest, version;
    uint8_t client_nonce[NONCE_SIZE], server_nonce[NONCE_SIZE];
} __attribute__((packed));

static const char server_label[] = "ashlar server", client_label[] = "ashlar client";

static void prove(const struct net_key *key, struct transcript *t, const char label[14],
                  uint8_t proof[PROOF_SIZE])
{
    memcpy(t->label, label, sizeof t->label);
    struct hmac_sha256_ctx hmac;
    hmac_sha256_set_key(&hmac, sizeof key->bytes, key->bytes);
    hmac_sha256_update(&hmac, sizeof *t, (const uint8_t *)t);
    hmac_sha256_digest(&hmac, PROOF_SIZE, proof);
    explicit_bzero(&hmac, sizeof hmac);
}

static int check(const struct net_key *key, struct transcript *t, const char label[14],
                 const uint8_t proof[PROOF_SIZE])
{
    uint8_t right[PROOF_SIZE];
    prove(key, t, label, right);
    return memeql_sec(right, proof, PROOF_SIZE) ? 0 : ASH_AUTH;
}

static int make_nonce(uint8_t nonce[NONCE_SIZE])
{
    return getrandom(nonce, NONCE_SIZE, 0) == NONCE_SIZE ? 0 : -EIO;
}

/* What is left of timeout_ms since began_ms; at least 1. */
static unsigned remaining(uint64_t began_ms, unsigned timeout_ms)
{
    uint64_t gone = clock_ms() - began_ms;
    return gone >= timeout_ms ? 1 : timeout_ms - (unsigned)gone;
}

/* ---- the client's side ---- */

int auth_client(struct net_conn *conn, const struct net_key *key, unsigned timeout_ms)
{
    uint64_t began_ms = clock_ms();
    struct transcript t = {.lowest = PROTOCOL_VERSION, .highest = PROTOCOL_VERSION};
    int rc = make_nonce(t.client_nonce);
    if (rc < 0)
        return rc;

    struct msg_hello hello = {.lowest = t.lowest, .highest = t.highest};
    struct msg_hello_reply welcome;
    memcpy(hello.nonce, t.client_nonce, NONCE_SIZE);
    rc = NET_CALL(conn, HELLO, hello, &hello, &welcome, remaining(began_ms, timeout_ms));
    if (rc < 0)
        return rc;
    if (welcome.version < t.lowest || welcome.version > t.highest)
        return ASH_VERSION;
    t.version = welcome.version;
    memcpy(t.server_nonce, welcome.nonce, NONCE_SIZE);
    rc = check(key, &t, server_label, welcome.proof);
    if (rc < 0)
        return rc;

    struct msg_proof proof;
    struct msg_proof_reply accepted;
    prove(key, &t, client_label, proof.proof);
    rc = NET_CALL(conn, PROOF, proof, &proof, &accepted, remaining(began_ms, timeout_ms));
    if (rc == 0)
        conn->frame_limit = FRAME_MAX;
    return rc;
}

static int end_binding(struct net_conn *conn, const struct msg_bind *bind, uint64_t id,
                       unsigned timeout_ms, struct component *server)
{
    struct msg_bind_reply bound;
    int rc = NET_CALL_END(conn, BIND, bind, id, &bound, timeout_ms);
    if (rc == 0 && server)
        *server = bound.server;
    return rc < 0 ? rc : conn_set_scope(conn, bind);
}

int net_bind_begin(struct net_conn *conn, const struct msg_bind *bind, unsigned timeout_ms,
                   uint64_t *id)
{
    return NET_CALL_BEGIN(conn, BIND, bind, bind, timeout_ms, id);
}

int net_bind_end(struct net_conn *conn, const struct msg_bind *bind, uint64_t id,
                 unsigned timeout_ms)
{
    return end_binding(conn, bind, id, timeout_ms, NULL);
}

int net_bind(struct net_conn *conn, const struct msg_bind *bind, unsigned timeout_ms,
             struct component *server)
{
    uint64_t id;
    int rc = net_bind_begin(conn, bind, timeout_ms, &id);
    return rc < 0 ? rc : end_binding(conn, bind, id, timeout_ms, server);
}

/* ---- the server's side ---- */

/*
 * The next handshake message, which must be `op`. What is wrong with it is answered, if anything.
 * timeout_ms -1: it may begin at any time.
 */
static int expect(struct net_conn *conn, int timeout_ms, uint16_t op, struct net_frame *frame)
{
    struct conn_wait wait = {.timeout_ms = timeout_ms};
    int rc = conn_receive(conn, &wait, frame);
    if (rc == 0 && (frame->header.op != op || frame->header.flags))
        rc = ASH_AUTH;
    if (rc == ASH_AUTH || rc == ASH_VERSION || rc == ASH_TOO_BIG || rc == ASH_CORRUPT) {
        int sent = net_reply(conn, frame, rc, NULL, 0, NULL, 0);
        (void)sent; /* it is dropped either way */
    }
    return rc;
}

static int give_up(struct net_conn *conn, const struct net_frame *frame, int rc)
{
    int sent = net_reply(conn, frame, rc, NULL, 0, NULL, 0);
    (void)sent;
    return rc;
}

int auth_server(struct net_conn *conn, const struct net_key *key, struct component self,
                void (*authenticated)(struct net_conn *conn), void (*opened)(struct net_conn *conn))
{
    uint64_t began_ms = clock_ms();
    struct net_frame frame;
    struct msg_hello hello;
    int rc = expect(conn, HANDSHAKE_TIMEOUT_MS, OP_HELLO, &frame);
    if (rc < 0)
        return rc;
    if (msg_hello_decode(&hello, frame.payload, frame.header.length) < 0)
        return give_up(conn, &frame, ASH_MALFORMED);
    if (hello.lowest > PROTOCOL_VERSION || hello.highest < PROTOCOL_VERSION)
        return give_up(conn, &frame, ASH_VERSION);

    struct transcript t = {
        .lowest = hello.lowest, .highest = hello.highest, .version = PROTOCOL_VERSION};
    struct msg_hello_reply welcome = {.version = t.version};
    memcpy(t.client_nonce, hello.nonce, NONCE_SIZE);
    rc = make_nonce(t.server_nonce);
    if (rc < 0)
        return rc;
    prove(key, &t, server_label, welcome.proof);
    memcpy(welcome.nonce, t.server_nonce, NONCE_SIZE);
    rc = NET_REPLY(conn, &frame, hello, &welcome);
    if (rc < 0)
        return rc;

    struct msg_proof proof;
    rc = expect(conn, (int)remaining(began_ms, HANDSHAKE_TIMEOUT_MS), OP_PROOF, &frame);
    if (rc < 0)
        return rc;
    if (msg_proof_decode(&proof, frame.payload, frame.header.length) < 0)
        return give_up(conn, &frame, ASH_MALFORMED);
    rc = check(key, &t, client_label, proof.proof);
    if (rc < 0)
        return give_up(conn, &frame, rc);
    conn->frame_limit = FRAME_MAX;
    authenticated(conn);
    rc = net_reply(conn, &frame, 0, NULL, 0, NULL, 0);
    if (rc < 0)
        return rc;

    /* It holds the key: it may keep the connection for later (process/node/spares.h). */
    struct msg_bind bind;
    rc = expect(conn, -1, OP_BIND, &frame);
    if (rc < 0)
        return rc;
    if (msg_bind_decode(&bind, frame.payload, frame.header.length) < 0 ||
        (bind.scope != SCOPE_COMPONENT && bind.scope != SCOPE_PROCESS))
        return give_up(conn, &frame, ASH_MALFORMED);
    rc = conn_set_scope(conn, &bind);
    if (rc < 0)
        return give_up(conn, &frame, rc);
    opened(conn);
    struct msg_bind_reply bound = {.server = self};
    return NET_REPLY(conn, &frame, bind, &bound);
}
