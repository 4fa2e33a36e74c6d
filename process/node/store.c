/* See store.h. */
#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "home.h"
#include "limits.h"

struct store {
    struct node *node; /* never changes, as all to the next empty line */
    uint64_t run_id;
    struct component_info memory_info, storage_info;
    char *writable;

    unsigned refs;
    struct store *next; /* in node->stores */
    struct home *home;  /* where the space is; NULL: there is none yet */
    struct asid asid;
    struct net_conn *memory, *storage; /* NULL: not connected */
    uint32_t vregions;                 /* ever granted, from 1 on */
    uint32_t *free_vregions;           /* of those, given back; room for all */
    uint32_t free_count;
};

struct store *store_get(struct node *node, struct run *run)
{
    for (struct store *known = node->stores; known; known = known->next)
        if (known->run_id == run->id)
            return store_hold(known);
    struct store *store = calloc(1, sizeof *store);
    char *writable = strdup(run->writable);
    if (!store || !writable) {
        free(store);
        free(writable);
        return NULL;
    }
    *store = (struct store){.node = node,
                            .run_id = run->id,
                            .memory_info = run->memory,
                            .storage_info = run->storage,
                            .writable = writable,
                            .refs = 1,
                            .next = node->stores};
    node->stores = store;
    return store;
}

struct store *store_hold(struct store *store)
{
    store->refs++;
    return store;
}

void store_put(struct store *store)
{
    if (!store || --store->refs)
        return;
    struct store **at = &store->node->stores;
    while (*at != store)
        at = &(*at)->next;
    *at = store->next;
    if (store->home) {
        home_destroy_space(store->home, store->asid);
        home_put(store->node, store->home);
    }
    net_close(store->memory);
    net_close(store->storage);
    free(store->free_vregions);
    free(store->writable);
    free(store);
}

static int connect_to(struct store *store, const struct component_info *to, struct net_conn **conn)
{
    struct msg_bind bind = {.scope = SCOPE_PROCESS,
                            .asid = store->asid,
                            .run_id = store->run_id,
                            .writable = store->writable};
    return net_connect(to->address, &store->node->monitor->key, &bind, CONNECT_TIMEOUT_MS, conn,
                       NULL);
}

/* After a request on *conn: one that is of no more use is closed. */
static int noted(struct net_conn **conn, int rc)
{
    if (rc == ASH_LOST || rc == ASH_TIMEOUT || rc == ASH_MALFORMED || rc == ASH_CORRUPT) {
        net_close(*conn);
        *conn = NULL;
    }
    return rc;
}

/* ---- lines of memory ---- */

static int make_space(struct store *store)
{
    struct msg_space_create_reply reply;
    struct home *home;
    int rc = home_get(store->node, &store->memory_info, &home);
    if (rc < 0)
        return rc;
    rc = home_create_space(home, store->run_id, &reply);
    if (rc < 0) {
        home_put(store->node, home);
        return rc;
    }
    store->asid = reply.asid;
    store->home = home;
    rc = connect_to(store, &store->memory_info, &store->memory);
    if (rc < 0) {
        home_destroy_space(home, store->asid);
        home_put(store->node, home);
        store->home = NULL;
    }
    return rc;
}

static int apply(struct store *store, uint8_t kind, uint32_t index)
{
    struct vm_op op = {.kind = kind,
                       .prot = 3,
                       .first = {(uint64_t)index * VREGION_LINES},
                       .count = VREGION_LINES};
    struct msg_space_ops request = {.asid = store->asid, .ops = &op, .ops_count = 1};
    struct msg_space_ops_reply reply;
    if (!store->memory)
        return ASH_LOST;
    return noted(&store->memory, NET_CALL(store->memory, SPACE_OPS, space_ops, &request, &reply,
                                          MEMORY_TIMEOUT_MS));
}

int store_take_vregion(struct store *store)
{
    int rc = store->home ? 0 : make_space(store);
    if (rc < 0)
        return rc;
    if (store->free_count) {
        uint32_t index = store->free_vregions[store->free_count - 1];
        rc = apply(store, VM_OP_MAP, index);
        if (rc < 0)
            return rc;
        store->free_count--;
        return (int)index;
    }
    uint32_t index = store->vregions + 1;
    uint32_t *room = realloc(store->free_vregions, index * sizeof *room);
    if (!room)
        return -ENOMEM;
    store->free_vregions = room;
    if (index >= VREGION_COUNT)
        return -ENOMEM;
    if (!store->memory)
        return ASH_LOST;
    struct msg_vregion_grant request = {.asid = store->asid, .first = index, .count = 1};
    struct msg_vregion_grant_reply reply;
    rc = noted(&store->memory, NET_CALL(store->memory, VREGION_GRANT, vregion_grant, &request,
                                        &reply, MEMORY_TIMEOUT_MS));
    if (rc == 0)
        rc = apply(store, VM_OP_MAP, index);
    if (rc < 0)
        return rc;
    store->vregions = index;
    return (int)index;
}

void store_give_vregion(struct store *store, uint32_t index)
{
    /* One that cannot be cleared now is not given out again: it goes with the space. */
    if (apply(store, VM_OP_UNMAP, index) == 0)
        store->free_vregions[store->free_count++] = index;
}

int store_write_lines(struct store *store, const struct line_ref *lines, uint32_t count,
                      const struct iovec *data)
{
    uint8_t body[WRITE_MAX_LINES * sizeof *lines + 64];
    struct msg_line_write request = {.asid = store->asid,
                                     .lines = lines,
                                     .lines_count = count,
                                     .data_size = count << LINE_SHIFT};
    struct msg_line_write_reply reply;
    struct net_frame frame;
    int rc = msg_line_write_encode(&request, body, sizeof body);
    if (rc < 0)
        return rc;
    if (!store->memory)
        return ASH_LOST;
    rc = noted(&store->memory, net_request(store->memory, OP_LINE_WRITE, body, (size_t)rc, data,
                                           (int)count, MEMORY_TIMEOUT_MS, &frame));
    if (rc == 0)
        rc = msg_line_write_reply_decode(&reply, frame.payload, frame.header.length);
    return rc < 0 ? rc : reply.stored == count ? 0 : ASH_LOST;
}

int store_read_lines(struct store *store, struct vpn first, uint32_t count, void *to)
{
    for (uint32_t done = 0; done < count;) {
        struct msg_line_fetch request = {
            .asid = store->asid, .first = {first.n + done}, .count = count - done};
        struct msg_line_fetch_reply reply;
        if (!store->memory)
            return ASH_LOST;
        int rc = noted(&store->memory, NET_CALL(store->memory, LINE_FETCH, line_fetch, &request,
                                                &reply, MEMORY_TIMEOUT_MS));
        if (rc < 0)
            return rc;
        const uint8_t *data = reply.data;
        uint32_t left = reply.data_size;
        if (reply.kinds_size == 0 || reply.kinds_size > count - done)
            return ASH_MALFORMED;
        for (uint32_t i = 0; i < reply.kinds_size; i++, done++) {
            uint8_t *line = (uint8_t *)to + ((size_t)done << LINE_SHIFT);
            if (reply.kinds[i] == LINE_ZERO) {
                memset(line, 0, LINE_SIZE);
                continue;
            }
            if (reply.kinds[i] != LINE_DATA || left < LINE_SIZE)
                return ASH_MALFORMED;
            memcpy(line, data, LINE_SIZE);
            data += LINE_SIZE;
            left -= LINE_SIZE;
        }
    }
    return 0;
}

/* ---- lines of files ---- */

static int reach_storage(struct store *store)
{
    return store->storage ? 0 : connect_to(store, &store->storage_info, &store->storage);
}

/* STORAGE_CALL(store, FILE_STAT, file_stat, &request, &reply): NET_CALL, connected where need be.
 */
#define STORAGE_CALL(store, OP, name, request, reply)                                              \
    ({                                                                                             \
        int reached_ = reach_storage(store);                                                       \
        if (reached_ == 0)                                                                         \
            reached_ = noted(&(store)->storage, NET_CALL((store)->storage, OP, name, (request),    \
                                                         (reply), BACKING_TIMEOUT_MS));            \
        reached_;                                                                                  \
    })

int store_hold_file(struct store *store, const struct file_id *file, const char *path)
{
    struct held held = {.file = *file};
    struct msg_file_hold request = {.files = &held, .files_count = 1};
    struct msg_file_hold_reply reply;
    int rc = STORAGE_CALL(store, FILE_HOLD, file_hold, &request, &reply);
    if (rc != ASH_STALE_FILE)
        return rc;
    struct msg_file_reopen again = {.file = *file, .flags = 0 /* O_RDONLY */, .path = path};
    struct msg_file_reopen_reply again_reply;
    return STORAGE_CALL(store, FILE_REOPEN, file_reopen, &again, &again_reply);
}

void store_release_file(struct store *store, const struct file_id *file)
{
    struct held held = {.file = *file};
    struct msg_file_release request = {.files = &held, .files_count = 1};
    struct msg_file_release_reply reply;
    if (store->storage) /* a hold ends with the connection too */
        (void)!STORAGE_CALL(store, FILE_RELEASE, file_release, &request, &reply);
}

int store_stat_file(struct store *store, const struct file_id *file, struct file_attr *attr)
{
    struct msg_file_stat request = {.file = *file};
    struct msg_file_stat_reply reply;
    int rc = STORAGE_CALL(store, FILE_STAT, file_stat, &request, &reply);
    if (rc == 0)
        *attr = reply.attr;
    return rc;
}

int store_read_file(struct store *store, const struct file_id *file, uint64_t offset, void *to,
                    uint32_t size)
{
    struct msg_file_read request = {.file = *file, .offset = offset, .length = size};
    struct msg_file_read_reply reply;
    int rc = STORAGE_CALL(store, FILE_READ, file_read, &request, &reply);
    if (rc < 0)
        return rc;
    if (reply.data_size > size)
        return ASH_MALFORMED;
    memcpy(to, reply.data, reply.data_size);
    return (int)reply.data_size;
}

int store_write_file(struct store *store, const struct file_id *file, uint64_t offset,
                     const void *from, uint32_t size)
{
    struct msg_file_write request = {.file = *file, .offset = offset, .data_size = size};
    struct msg_file_write_reply reply;
    struct iovec data = {.iov_base = (void *)from, .iov_len = size};
    struct net_frame frame;
    uint8_t body[128];
    int length = msg_file_write_encode(&request, body, sizeof body);
    int rc = length < 0 ? length : reach_storage(store);
    if (rc < 0)
        return rc;
    rc = noted(&store->storage, net_request(store->storage, OP_FILE_WRITE, body, (size_t)length,
                                            &data, 1, BACKING_TIMEOUT_MS, &frame));
    if (rc == 0)
        rc = msg_file_write_reply_decode(&reply, frame.payload, frame.header.length);
    return rc < 0 ? rc : reply.written == size ? 0 : -ENOSPC;
}

int store_sync_file(struct store *store, const struct file_id *file)
{
    struct msg_file_sync request = {.file = *file, .kind = SYNC_DATA};
    struct msg_file_sync_reply reply;
    return STORAGE_CALL(store, FILE_SYNC, file_sync, &request, &reply);
}
