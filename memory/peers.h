/*
 * The other mComponents: who they are, as the registry says, and connections to them.
 *
 * A request to one takes a connection of its own out of a pool, or a new one, so no thread waits
 * for another's; what serves such requests there asks no third component, but for an sComponent. So
 * two that ask each other do not wait for each other. No lock is held over a request.
 */
#ifndef ASHLAR_MEMORY_PEERS_H
#define ASHLAR_MEMORY_PEERS_H

#include <pthread.h>

#include "monitor.h"

enum {
    PEERS_MAX = 256,
    PEER_IDLE_MAX = 16,            /* connections kept to each */
    PEER_TIMEOUT_MS = 800,         /* for one that is up to answer: by then it is down, or slow */
    PEER_ABSENT_MS = 5000,         /* for who is not listed, though not down, to be listed again */
    PEER_FRESH_MS = 10,            /* a list that is as new need not be asked for again, */
    PEER_RECENT_MS = HEARTBEAT_MS, /* and where figures matter that come by heartbeats */
    PEER_SAID_FREE_MS = 5000 /* how long what it said of its room counts, beside the registry */
};

enum peer_state {
    PEER_UNKNOWN, /* not in the registry's list: left, or the registry has just begun */
    PEER_UP,
    PEER_DRAINING,
    PEER_DOWN,
};

enum peer_loss {
    PEER_NOT_LOST,
    PEER_LOSS_UNSURE,
    PEER_LOST,
};

struct peer {
    struct component_info info;
    bool listed;          /* in the registry's last list */
    bool keeps_none;      /* of replicas: it said so */
    uint64_t unlisted_ms; /* since when it is not */
    struct net_conn *idle[PEER_IDLE_MAX];
    unsigned idle_count;
    uint64_t said_free, said_ms; /* bytes that it had promised to nobody, as it said, and when */
};

struct peers {
    struct monitor *monitor; /* its key and address never change */

    pthread_mutex_t asking; /* held while the registry is asked; outer to lock */

    pthread_mutex_t lock;
    /* Protected by lock: */
    struct peer peers[PEERS_MAX]; /* mComponents, this one among them */
    unsigned count;
    uint64_t listed_ms; /* when the list came; 0: never */
    uint64_t asked_ms;  /* when it was asked for, at the earliest */
};

void peers_init(struct peers *peers, struct monitor *monitor);
void peers_free(struct peers *peers);

/* Takes over a list that the registry has sent to the registrar. */
void peers_update(struct peers *peers, const struct component_info *list, size_t count);
/* Takes over what the registry says of one, which may have come just now. */
void peers_learn(struct peers *peers, const struct component_info *info);
/* Asks the registry, where the list was not asked for in the last max_age_ms. Negative: it is as
   old as it was. */
int peers_refresh(struct peers *peers, uint64_t max_age_ms) NET_CHECKED;

/*
 * Whether the process that had this number is lost: declared down, or another one has the number. A
 * list that may be from before since_ms, when the process was seen to be there, does not say:
 * PEER_LOSS_UNSURE.
 */
enum peer_loss peers_loss(struct peers *peers, struct component id, uint32_t pid,
                          uint64_t since_ms);
enum peer_state peers_state(struct peers *peers, struct component id);
/* The other mComponents that are up, draining ones too; at most PEERS_MAX. */
unsigned peers_up(struct peers *peers, struct component out[]);
/* Whether there may be others: the registry is away, or has just begun and not heard of all. */
bool peers_may_be_more(struct peers *peers);
/* The one with the most room that gets something new, and is neither this one nor `except`; 0:
   there is none. */
struct component peers_choose(struct peers *peers, struct component except, bool for_replica);
/* It does not serve REPLICA_*, as long as it is the same process: it is not chosen for a replica.
 */
void peers_keeps_none(struct peers *peers, struct component id);

/* What room it has, in bytes: as it said lately, else as the registry says; 0 where it gets nothing
   new. */
uint64_t peers_room(struct peers *peers, struct component id);
/* What the registry says that it has free, promised or not. */
uint64_t peers_free_bytes(struct peers *peers, struct component id);
/* What the registry says that it can take of replicas: in what it has free, promised or not, and in
   its log. */
uint64_t peers_replica_room(struct peers *peers, struct component id);
/* The same of all the others together, and how large they are. */
void peers_totals(struct peers *peers, uint64_t *size_bytes, uint64_t *free_bytes);
/* The name of any mComponent; "" where it is not known. */
void peers_name(struct peers *peers, struct component id, char out[NAME_LIMIT]);
void peers_said_room(struct peers *peers, struct component id, uint64_t free_bytes);

/* Connects to a component of whatever kind, as a component. */
int peers_connect(struct peers *peers, const char *address, uint32_t timeout_ms,
                  struct net_conn **conn) NET_CHECKED;
/* CALL_ONCE(peers, address, timeout_ms, RUN_EXCEEDS, run_exceeds, &request, &reply): NET_CALL to
   one that is asked seldom, on a connection of its own. The reply has no pointers. */
#define CALL_ONCE(peers, address, timeout_ms, OP, name, request, reply)                            \
    ({                                                                                             \
        struct net_conn *once_;                                                                    \
        int rc_ = peers_connect((peers), (address), (timeout_ms), &once_);                         \
        if (rc_ == 0) {                                                                            \
            rc_ = NET_CALL(once_, OP, name, (request), (reply), (timeout_ms));                     \
            net_close(once_);                                                                      \
        }                                                                                          \
        rc_;                                                                                       \
    })
#define NODE_WAIT_MS 500 /* for a node's answer */

/* ---- requests ---- */

struct peer_call {
    struct peers *peers;
    struct component to;
    uint16_t op;
    bool pooled; /* an older connection: it may have broken since */
    struct net_conn *conn;
    uint64_t id;
};

/* Sends a request. 0: peer_end() is owed. */
int peer_begin(struct peers *peers, struct component to, uint16_t op, const void *payload,
               size_t size, const struct iovec *bulk, int bulk_count,
               struct peer_call *call) NET_CHECKED;
/* Waits for its answer: the answer's status, or ASH_TIMEOUT: it may come yet. */
int peer_await(struct peer_call *call, unsigned timeout_ms, struct net_frame *reply) NET_CHECKED;
/* Gives the connection back; `rc` is what peer_await() returned last. */
void peer_end(struct peer_call *call, int rc);

/* All of it, once more where a pooled connection turns out to be broken. The answer is decoded by
   `decode`, which may be NULL. */
int peer_request(struct peers *peers, struct component to, uint16_t op, const void *payload,
                 size_t size, const struct iovec *bulk, int bulk_count,
                 int (*decode)(void *out, const uint8_t *payload, size_t size),
                 void *out) NET_CHECKED;

/* Whether this error says nothing of the request, but that the peer was not reached. */
bool peer_unreached(int rc);

/* PEER_CALL(peers, to, SPACE_PART, space_part, &request, &reply): the reply has no pointers. */
#define PEER_CALL(peers, to, OP, name, request, reply)                                             \
    ({                                                                                             \
        uint8_t body_[1024];                                                                       \
        int rc_ = msg_##name##_encode((request), body_, sizeof body_);                             \
        if (rc_ >= 0)                                                                              \
            rc_ = peer_request((peers), (to), OP_##OP, body_, (size_t)rc_, NULL, 0,                \
                               peer_decode_##name, (reply));                                       \
        rc_;                                                                                       \
    })
/* For each message that PEER_CALL() is used with. */
#define PEER_DECODE(name)                                                                          \
    static int peer_decode_##name(void *out, const uint8_t *payload, size_t size)                  \
    {                                                                                              \
        return msg_##name##_reply_decode(out, payload, size);                                      \
    }

#endif
