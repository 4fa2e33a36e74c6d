/*
 * See peers.h. Cost of a request to a peer: one message and its answer; a connection is made where
 * more threads ask at a time than ever before.
 */
#include "peers.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"

enum {
    REGISTRAR_WAIT_MS = 300, /* what the registrar may have waited for its list */
    ROOM_KEPT_SHARE = 64,    /* of what another has free: for its tables and reserve */
};

void peers_init(struct peers *peers, struct monitor *monitor)
{
    peers->monitor = monitor;
    pthread_mutex_init(&peers->asking, NULL);
    pthread_mutex_init(&peers->lock, NULL);
}

static void close_idle(struct peer *peer)
{
    while (peer->idle_count)
        net_close(peer->idle[--peer->idle_count]);
}

void peers_free(struct peers *peers)
{
    for (unsigned i = 0; i < peers->count; i++)
        close_idle(&peers->peers[i]);
    pthread_mutex_destroy(&peers->lock);
    pthread_mutex_destroy(&peers->asking);
}

static struct peer *find(struct peers *peers, struct component id)
{
    for (unsigned i = 0; i < peers->count; i++)
        if (peers->peers[i].info.id.n == id.n)
            return &peers->peers[i];
    return NULL;
}

/* ---- who there is ---- */

static void take_over(struct peers *peers, const struct component_info *info)
{
    struct peer *peer = find(peers, info->id);
    if (!peer && peers->count == PEERS_MAX)
        return;
    if (!peer)
        *(peer = &peers->peers[peers->count++]) = (struct peer){.info = *info};
    if (peer->info.pid != info->pid || strcmp(peer->info.address, info->address) != 0 ||
        info->state == COMPONENT_DOWN) {
        close_idle(peer);
        peer->keeps_none = false;
    }
    peer->info = *info;
    peer->listed = true;
}

static void take_list_over(struct peers *peers, const struct component_info *list, size_t count,
                           uint64_t asked_ms)
{
    pthread_mutex_lock(&peers->lock);
    bool were_listed[PEERS_MAX];
    for (unsigned i = 0; i < peers->count; i++) {
        were_listed[i] = peers->peers[i].listed;
        peers->peers[i].listed = false;
    }
    unsigned known = peers->count;
    for (size_t i = 0; i < count; i++)
        if (list[i].kind == COMPONENT_MEMORY)
            take_over(peers, &list[i]);
    for (unsigned i = 0; i < known; i++)
        if (were_listed[i] && !peers->peers[i].listed)
            peers->peers[i].unlisted_ms = clock_ms();
    peers->listed_ms = clock_ms();
    peers->asked_ms = asked_ms;
    pthread_mutex_unlock(&peers->lock);
}

void peers_update(struct peers *peers, const struct component_info *list, size_t count)
{
    take_list_over(peers, list, count, clock_ms() - REGISTRAR_WAIT_MS);
}

void peers_learn(struct peers *peers, const struct component_info *info)
{
    pthread_mutex_lock(&peers->lock);
    take_over(peers, info);
    pthread_mutex_unlock(&peers->lock);
}

int peers_refresh(struct peers *peers, uint64_t max_age_ms)
{
    struct component_info list[PEERS_MAX];
    uint64_t wanted_ms = clock_ms();
    pthread_mutex_lock(&peers->asking);
    uint64_t now_ms = clock_ms();
    pthread_mutex_lock(&peers->lock);
    /* One that was waited for is new enough. */
    bool fresh = peers->listed_ms && wanted_ms < peers->asked_ms + max_age_ms;
    pthread_mutex_unlock(&peers->lock);
    int rc = fresh ? 0 : monitor_components(peers->monitor, list, PEERS_MAX);
    if (!fresh && rc >= 0)
        take_list_over(peers, list, (size_t)rc, now_ms);
    pthread_mutex_unlock(&peers->asking);
    return rc < 0 ? rc : 0;
}

static enum peer_state state_of(const struct peer *peer)
{
    if (!peer || !peer->listed)
        return PEER_UNKNOWN;
    switch (peer->info.state) {
    case COMPONENT_UP:
        return PEER_UP;
    case COMPONENT_DRAINING:
        return PEER_DRAINING;
    default:
        return PEER_DOWN;
    }
}

enum peer_state peers_state(struct peers *peers, struct component id)
{
    pthread_mutex_lock(&peers->lock);
    enum peer_state state = state_of(find(peers, id));
    pthread_mutex_unlock(&peers->lock);
    return state;
}

enum peer_loss peers_loss(struct peers *peers, struct component id, uint32_t pid, uint64_t since_ms)
{
    pthread_mutex_lock(&peers->lock);
    const struct peer *peer = find(peers, id);
    bool lost = peer && peer->listed && (peer->info.pid != pid || state_of(peer) == PEER_DOWN);
    bool sure = peers->asked_ms > since_ms;
    pthread_mutex_unlock(&peers->lock);
    return !lost ? PEER_NOT_LOST : sure ? PEER_LOST : PEER_LOSS_UNSURE;
}

unsigned peers_up(struct peers *peers, struct component out[])
{
    unsigned count = 0;
    pthread_mutex_lock(&peers->lock);
    for (unsigned i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->peers[i];
        enum peer_state state = state_of(peer);
        if ((state == PEER_UP || state == PEER_DRAINING) && peer->info.id.n != peers->monitor->id.n)
            out[count++] = peer->info.id;
    }
    pthread_mutex_unlock(&peers->lock);
    return count;
}

bool peers_may_be_more(struct peers *peers)
{
    bool more = false;
    pthread_mutex_lock(&peers->lock);
    for (unsigned i = 0; i < peers->count; i++)
        more |=
            !peers->peers[i].listed && clock_ms() - peers->peers[i].unlisted_ms < PEER_ABSENT_MS;
    pthread_mutex_unlock(&peers->lock);
    return more;
}

/* ---- room ---- */

static uint64_t free_of(const struct peer *peer)
{
    if (state_of(peer) != PEER_UP || peer->info.used_bytes > peer->info.size_bytes)
        return 0;
    return peer->info.size_bytes - peer->info.used_bytes;
}

/* What its log can take besides. */
static uint64_t log_of(const struct peer *peer)
{
    return state_of(peer) == PEER_UP ? peer->info.log_free_bytes : 0;
}

static uint64_t room_of(const struct peer *peer)
{
    uint64_t room = free_of(peer);
    if (!room)
        return 0;
    room -= room / ROOM_KEPT_SHARE;
    bool said = peer->said_ms && clock_ms() - peer->said_ms < PEER_SAID_FREE_MS;
    return said && peer->said_free < room ? peer->said_free : room;
}

void peers_keeps_none(struct peers *peers, struct component id)
{
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, id);
    if (peer)
        peer->keeps_none = true;
    pthread_mutex_unlock(&peers->lock);
}

struct component peers_choose(struct peers *peers, struct component except, bool for_replica)
{
    struct component best = {0};
    uint64_t most = 0;
    pthread_mutex_lock(&peers->lock);
    for (unsigned i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->peers[i];
        uint64_t room = room_of(peer) + (for_replica ? log_of(peer) : 0);
        if ((for_replica && peer->keeps_none) || peer->info.id.n == peers->monitor->id.n ||
            peer->info.id.n == except.n || room <= most)
            continue;
        best = peer->info.id;
        most = room;
    }
    pthread_mutex_unlock(&peers->lock);
    return best;
}

uint64_t peers_room(struct peers *peers, struct component id)
{
    pthread_mutex_lock(&peers->lock);
    uint64_t room = room_of(find(peers, id));
    pthread_mutex_unlock(&peers->lock);
    return room;
}

uint64_t peers_free_bytes(struct peers *peers, struct component id)
{
    pthread_mutex_lock(&peers->lock);
    uint64_t bytes = free_of(find(peers, id));
    pthread_mutex_unlock(&peers->lock);
    return bytes;
}

uint64_t peers_replica_room(struct peers *peers, struct component id)
{
    pthread_mutex_lock(&peers->lock);
    const struct peer *peer = find(peers, id);
    uint64_t bytes = free_of(peer) + log_of(peer);
    pthread_mutex_unlock(&peers->lock);
    return bytes;
}

void peers_totals(struct peers *peers, uint64_t *size_bytes, uint64_t *free_bytes)
{
    *size_bytes = *free_bytes = 0;
    pthread_mutex_lock(&peers->lock);
    for (unsigned i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->peers[i];
        if (state_of(peer) != PEER_UP || peer->info.id.n == peers->monitor->id.n)
            continue;
        *size_bytes += peer->info.size_bytes;
        *free_bytes += free_of(peer);
    }
    pthread_mutex_unlock(&peers->lock);
}

void peers_name(struct peers *peers, struct component id, char out[NAME_LIMIT])
{
    pthread_mutex_lock(&peers->lock);
    const struct peer *peer = find(peers, id);
    memset(out, 0, NAME_LIMIT);
    if (peer)
        memcpy(out, peer->info.name, NAME_LIMIT);
    pthread_mutex_unlock(&peers->lock);
}

void peers_said_room(struct peers *peers, struct component id, uint64_t free_bytes)
{
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, id);
    if (peer) {
        peer->said_free = free_bytes;
        peer->said_ms = clock_ms();
    }
    pthread_mutex_unlock(&peers->lock);
}

/* ---- connections ---- */

/* Takes an idle connection, or says where to connect to. */
static int take(struct peers *peers, struct component to, struct net_conn **conn,
                char address[ADDRESS_LIMIT])
{
    int rc = 0;
    *conn = NULL;
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, to);
    enum peer_state state = state_of(peer);
    if (state == PEER_UNKNOWN || state == PEER_DOWN)
        rc = ASH_LOST;
    else if (peer->idle_count)
        *conn = peer->idle[--peer->idle_count];
    else
        memcpy(address, peer->info.address, ADDRESS_LIMIT);
    pthread_mutex_unlock(&peers->lock);
    return rc;
}

int peers_connect(struct peers *peers, const char *address, uint32_t timeout_ms,
                  struct net_conn **conn)
{
    static const struct msg_bind as_component = {.scope = SCOPE_COMPONENT, .writable = ""};
    return net_connect(address, &peers->monitor->key, &as_component, timeout_ms, conn, NULL);
}

static int obtain(struct peers *peers, struct component to, bool *pooled, struct net_conn **conn)
{
    char address[ADDRESS_LIMIT];
    int rc = take(peers, to, conn, address);
    if (rc == ASH_LOST && peers_state(peers, to) == PEER_UNKNOWN &&
        peers_refresh(peers, PEER_FRESH_MS) == 0)
        rc = take(peers, to, conn, address); /* it may have come just now */
    if (rc < 0)
        return rc;
    *pooled = *conn != NULL;
    if (*conn)
        return 0;
    return peers_connect(peers, address, PEER_TIMEOUT_MS, conn);
}

static void give_back(struct peers *peers, struct component to, struct net_conn *conn)
{
    pthread_mutex_lock(&peers->lock);
    struct peer *peer = find(peers, to);
    if (state_of(peer) != PEER_UNKNOWN && state_of(peer) != PEER_DOWN &&
        peer->idle_count < PEER_IDLE_MAX) {
        peer->idle[peer->idle_count++] = conn;
        conn = NULL;
    }
    pthread_mutex_unlock(&peers->lock);
    net_close(conn);
}

/* ---- requests ---- */

bool peer_unreached(int rc)
{
    switch (rc) {
    case ASH_LOST:
    case ASH_TIMEOUT:
    case ASH_MALFORMED:
    case ASH_CORRUPT:
    case ASH_VERSION:
    case ASH_AUTH:
    case -ECONNREFUSED:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -ETIMEDOUT:
        return true;
    }
    return false;
}

int peer_begin(struct peers *peers, struct component to, uint16_t op, const void *payload,
               size_t size, const struct iovec *bulk, int bulk_count, struct peer_call *call)
{
    *call = (struct peer_call){.peers = peers, .to = to, .op = op};
    int rc = obtain(peers, to, &call->pooled, &call->conn);
    if (rc < 0)
        return rc;
    rc = net_request_begin(call->conn, op, payload, size, bulk, bulk_count, PEER_TIMEOUT_MS,
                           &call->id);
    if (rc < 0)
        net_close(call->conn);
    return rc;
}

int peer_await(struct peer_call *call, unsigned timeout_ms, struct net_frame *reply)
{
    return net_request_end(call->conn, call->op, call->id, timeout_ms, reply);
}

void peer_end(struct peer_call *call, int rc)
{
    if (peer_unreached(rc))
        net_close(call->conn);
    else
        give_back(call->peers, call->to, call->conn);
}

int peer_request(struct peers *peers, struct component to, uint16_t op, const void *payload,
                 size_t size, const struct iovec *bulk, int bulk_count,
                 int (*decode)(void *out, const uint8_t *payload, size_t size), void *out)
{
    for (bool again = true;;) {
        struct peer_call call;
        struct net_frame reply;
        int rc = peer_begin(peers, to, op, payload, size, bulk, bulk_count, &call);
        if (rc == 0) {
            rc = peer_await(&call, PEER_TIMEOUT_MS, &reply);
            if (rc == 0 && decode)
                rc = decode(out, reply.payload, reply.header.length);
            peer_end(&call, rc);
        }
        again = again && rc == ASH_LOST && call.pooled;
        if (!again)
            return rc;
    }
}
