/*
 * See log_stores.h. A request takes an idle connection, or makes one; one that broke is closed with
 * all idle ones, and the request made once more where the connection was an old one.
 */
#include "log_stores.h"

#include <string.h>
#include <unistd.h>

#include "peers.h"

void log_stores_init(struct log_stores *stores, const struct monitor *monitor)
{
    *stores = (struct log_stores){.monitor = monitor};
    pthread_mutex_init(&stores->lock, NULL);
}

static void close_idle(struct known_store *store)
{
    while (store->idle_count)
        net_close(store->idle[--store->idle_count]);
}

void log_stores_free(struct log_stores *stores)
{
    for (unsigned i = 0; i < stores->count; i++)
        close_idle(&stores->stores[i]);
    pthread_mutex_destroy(&stores->lock);
}

static struct known_store *find(struct log_stores *stores, struct component id)
{
    for (unsigned i = 0; i < stores->count; i++)
        if (stores->stores[i].info.id.n == id.n)
            return &stores->stores[i];
    return NULL;
}

void log_stores_update(struct log_stores *stores, const struct component_info *list, size_t count)
{
    pthread_mutex_lock(&stores->lock);
    for (unsigned i = 0; i < stores->count; i++)
        stores->stores[i].info.state = COMPONENT_DOWN; /* those that are listed no more */
    for (size_t i = 0; i < count; i++) {
        struct known_store *store = find(stores, list[i].id);
        if (list[i].kind != COMPONENT_STORAGE || (!store && stores->count == LOG_STORES_KNOWN))
            continue;
        if (!store)
            *(store = &stores->stores[stores->count++]) = (struct known_store){};
        store->info = list[i];
    }
    pthread_mutex_unlock(&stores->lock);
}

static struct component choose(void *self, const struct component * not, unsigned count)
{
    struct log_stores *stores = self;
    struct component found = {0};
    uint64_t most = 0;
    pthread_mutex_lock(&stores->lock);
    for (unsigned i = 0; i < stores->count; i++) {
        const struct component_info *info = &stores->stores[i].info;
        uint64_t left =
            info->size_bytes > info->used_bytes ? info->size_bytes - info->used_bytes : 0;
        bool among = info->state != COMPONENT_UP;
        for (unsigned j = 0; j < count && !among; j++)
            among = not [j].n == info->id.n;
        if (!among && (!found.n || left > most)) {
            found = info->id;
            most = left;
        }
    }
    pthread_mutex_unlock(&stores->lock);
    return found;
}

static bool is_down(void *self, struct component id)
{
    struct log_stores *stores = self;
    pthread_mutex_lock(&stores->lock);
    const struct known_store *store = find(stores, id);
    bool down = !store || store->info.state == COMPONENT_DOWN;
    pthread_mutex_unlock(&stores->lock);
    return down;
}

/* ---- requests ---- */

static int take(struct log_stores *stores, struct component id, bool *old, struct net_conn **conn)
{
    static const struct msg_bind as_component = {.scope = SCOPE_COMPONENT, .writable = ""};
    char address[ADDRESS_LIMIT];
    int rc = 0;
    *conn = NULL;
    pthread_mutex_lock(&stores->lock);
    struct known_store *store = find(stores, id);
    if (!store)
        rc = ASH_LOST;
    else if (store->idle_count)
        *conn = store->idle[--store->idle_count];
    else
        memcpy(address, store->info.address, ADDRESS_LIMIT);
    pthread_mutex_unlock(&stores->lock);
    *old = *conn != NULL;
    if (rc < 0 || *conn)
        return rc;
    return net_connect(address, &stores->monitor->key, &as_component, LOG_TIMEOUT_MS, conn, NULL);
}

static void give(struct log_stores *stores, struct component id, struct net_conn *conn, bool broken)
{
    pthread_mutex_lock(&stores->lock);
    struct known_store *store = find(stores, id);
    if (broken) {
        close_idle(store);
    } else if (store->idle_count < LOG_STORE_IDLE) {
        store->idle[store->idle_count++] = conn;
        conn = NULL;
    }
    pthread_mutex_unlock(&stores->lock);
    net_close(conn);
}

/* `use`, where there is one, gets the reply while it is there. */
static int request(struct log_stores *stores, struct component id, uint16_t op, const void *body,
                   int size, const struct iovec *pieces, int count,
                   int (*use)(void *arg, const struct net_frame *reply), void *arg)
{
    struct net_frame reply;
    struct net_conn *conn;
    bool old, broken;
    if (size < 0)
        return size;
    for (;;) {
        int rc = take(stores, id, &old, &conn);
        if (rc < 0)
            return rc;
        rc = net_request(conn, op, body, (size_t)size, pieces, count, LOG_TIMEOUT_MS, &reply);
        broken = peer_unreached(rc);
        if (rc == 0 && use)
            rc = use(arg, &reply);
        give(stores, id, conn, broken);
        if (!broken || !old || rc == ASH_TIMEOUT)
            return rc;
    }
}

static int write_to(void *self, struct component id, uint64_t offset, const struct iovec *pieces,
                    int count)
{
    struct log_stores *stores = self;
    struct msg_log_write m = {
        .owner = stores->monitor->id, .pid = (uint32_t)getpid(), .offset = offset};
    uint8_t body[64];
    for (int i = 0; i < count; i++)
        m.data_size += (uint32_t)pieces[i].iov_len;
    return request(stores, id, OP_LOG_WRITE, body, msg_log_write_encode(&m, body, sizeof body),
                   pieces, count, NULL, NULL);
}

struct reader {
    void (*use)(void *arg, const uint8_t *data, uint32_t size);
    void *arg;
};

static int use_read(void *arg, const struct net_frame *reply)
{
    const struct reader *reader = arg;
    struct msg_log_read_reply m;
    int rc = msg_log_read_reply_decode(&m, reply->payload, reply->header.length);
    if (rc == 0)
        reader->use(reader->arg, m.data, m.data_size);
    return rc;
}

static int read_from(void *self, struct component id, uint64_t offset, uint32_t length,
                     void (*use)(void *arg, const uint8_t *data, uint32_t size), void *arg)
{
    struct log_stores *stores = self;
    struct reader reader = {use, arg};
    struct msg_log_read m = {.owner = stores->monitor->id,
                             .pid = (uint32_t)getpid(),
                             .offset = offset,
                             .length = length};
    uint8_t body[64];
    return request(stores, id, OP_LOG_READ, body, msg_log_read_encode(&m, body, sizeof body), NULL,
                   0, use_read, &reader);
}

static int discard(void *self, struct component id, uint64_t offset, uint64_t length)
{
    struct log_stores *stores = self;
    struct msg_log_discard m = {.owner = stores->monitor->id,
                                .pid = (uint32_t)getpid(),
                                .offset = offset,
                                .length = length};
    uint8_t body[64];
    return request(stores, id, OP_LOG_DISCARD, body, msg_log_discard_encode(&m, body, sizeof body),
                   NULL, 0, NULL, NULL);
}

const struct log_io log_stores_io = {
    .write = write_to,
    .read = read_from,
    .discard = discard,
    .choose = choose,
    .is_down = is_down,
    .unreached = peer_unreached,
};
