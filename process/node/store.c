/* See store.h. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "error_text.h"
#include "home.h"
#include "limits.h"
#include "locate.h"
#include "members.h"
#include "run.h"

enum {
    /* For an answer: one that is lost is known to be well before. Who is only slow is not asked
       again, or its answer to the first request could come after that to a later one. */
    PATIENCE_MS = 2 * MEMORY_TIMEOUT_MS,
    GIVE_UP_MS = 10000, /* a part that fails for so long, wherever it is looked for */
};

/* A file that is held at the sComponent, for as long as it is mapped shared. */
struct held_file {
    struct held_file *next;
    struct file_id id;
    char path[];
};

/* A part of the space: where it is, and how it is reached. */
struct store_part {
    struct component_info where; /* id 0: nothing of the space is in it */
    struct net_conn *conn;       /* NULL: not connected */
    uint64_t serial;             /* of its last changes */
};

struct store {
    struct node *node; /* never changes, as all to the next empty line */
    uint64_t run_id;
    struct component_info storage_info;
    char *writable;

    unsigned refs;
    struct store *next; /* in node->stores */
    struct home *home;  /* of the space; NULL: there is none yet */
    struct asid asid;
    struct store_part parts[PARTS_MAX];
    struct net_conn *storage; /* NULL: not connected */
    struct held_file *held;
    uint32_t vregions;       /* ever granted, from 1 on */
    uint8_t *vregion_parts;  /* of those: in which part each lies; by its index */
    uint32_t *free_vregions; /* of those, given back; room for all */
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
                            .storage_info = run->storage,
                            .writable = writable,
                            .refs = 1,
                            .next = node->stores};
    node->stores = store;
    return store;
}

bool store_exists(const struct node *node, struct asid asid)
{
    const struct store *store = node->stores;
    while (store && store->asid.n != asid.n)
        store = store->next;
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
        locate_and_destroy(store->node, store->home, store->asid);
        home_put(store->node, store->home);
    }
    for (uint32_t part = 0; part < PARTS_MAX; part++)
        net_close(store->parts[part].conn);
    net_close(store->storage);
    while (store->held) {
        struct held_file *next = store->held->next;
        free(store->held);
        store->held = next;
    }
    free(store->vregion_parts);
    free(store->free_vregions);
    free(store->writable);
    free(store);
}

static int connect_to(struct store *store, struct asid asid, const struct component_info *to,
                      struct net_conn **conn)
{
    struct msg_bind bind = {
        .scope = SCOPE_PROCESS, .asid = asid, .run_id = store->run_id, .writable = store->writable};
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

/* ---- a part of the space ---- */

static int make_space(struct store *store)
{
    struct msg_space_create_reply reply;
    int rc = run_create_store(store->node, store->run_id, &store->home, &reply);
    if (rc < 0)
        return rc;
    store->asid = reply.asid;
    store->parts[0].where = *home_info(store->home);
    return 0;
}

/* Sends a request to where the part was last known to be. */
static int try_request(struct store *store, uint32_t part, uint16_t op, const void *body,
                       size_t size, const struct iovec *data, int count, struct net_frame *reply)
{
    struct store_part *at = &store->parts[part];
    struct members *members = store->node->members;
    struct members_guard guard;
    if (!at->conn && connect_to(store, asid_part(store->asid, part), &at->where, &at->conn) < 0)
        return ASH_LOST;
    int rc = members_guard(members, &guard, at->where.id, net_conn_fd(at->conn));
    if (rc == 0)
        rc = net_request(at->conn, op, body, size, data, count, PATIENCE_MS, reply);
    members_unguard(members, &guard);
    return noted(&at->conn, rc);
}

/* Whether an answer, or that there was none, says that the part is to be looked for. */
static bool is_away(int rc)
{
    return rc == ASH_LOST || rc == ASH_TIMEOUT || rc == ASH_MOVED || rc == ASH_STALE_EPOCH ||
           rc == ASH_NO_SPACE_ID;
}

/* Finds the part again; where it is lost, so is the run. */
static int find_part(struct store *store, uint32_t part)
{
    struct store_part *at = &store->parts[part];
    struct component_info now;
    struct home *home;
    int rc = locate_space(store->node, asid_part(store->asid, part), at->where.id,
                          clock_ms() + LOCATE_TIMEOUT_MS, &now);
    if (rc < 0) {
        run_lost(store->node, store->run_id, &at->where);
        return rc;
    }
    net_close(at->conn);
    at->conn = NULL;
    at->where = now;
    if (part == 0 && home_get(store->node, &now, &home) == 0) {
        home_put(store->node, store->home);
        store->home = home;
    }
    return 0;
}

/*
 * net_request() to a part, wherever it is by now. What is repeated is the same request, and does no
 * harm where the first one was heard: changes have a serial number, the others are what they are.
 */
static int request(struct store *store, uint32_t part, uint16_t op, const void *body, size_t size,
                   const struct iovec *data, int count, struct net_frame *reply)
{
    uint64_t began_ms = clock_ms();
    int rc = try_request(store, part, op, body, size, data, count, reply);
    while (is_away(rc) && clock_ms() - began_ms < GIVE_UP_MS) {
        rc = find_part(store, part);
        if (rc == 0)
            rc = try_request(store, part, op, body, size, data, count, reply);
        else
            break;
    }
    return rc;
}

/* PART_CALL(store, part, SPACE_OPS, space_ops, &request, &reply): NET_CALL to a part. */
#define PART_CALL(store, part, OP, name, message, reply)                                           \
    ({                                                                                             \
        uint8_t body_[PATH_LIMIT];                                                                 \
        struct net_frame frame_;                                                                   \
        int rc_ = msg_##name##_encode((message), body_, sizeof body_);                             \
        if (rc_ >= 0)                                                                              \
            rc_ = request((store), (part), OP_##OP, body_, (size_t)rc_, NULL, 0, &frame_);         \
        if (rc_ == 0)                                                                              \
            rc_ = msg_##name##_reply_decode((reply), frame_.payload, frame_.header.length);        \
        rc_;                                                                                       \
    })

/* ---- lines of memory ---- */

static uint32_t part_of(const struct store *store, uint64_t vregion)
{
    return store->vregion_parts[vregion];
}

static int apply(struct store *store, uint8_t kind, uint32_t index)
{
    uint32_t part = part_of(store, index);
    struct vm_op op = {.kind = kind,
                       .prot = 3,
                       .first = {(uint64_t)index * VREGION_LINES},
                       .count = VREGION_LINES};
    struct msg_space_ops changes = {.asid = asid_part(store->asid, part),
                                    .serial = ++store->parts[part].serial,
                                    .ops = &op,
                                    .ops_count = 1};
    struct msg_space_ops_reply reply;
    return PART_CALL(store, part, SPACE_OPS, space_ops, &changes, &reply);
}

/* Room in the tables for the vRegions up to `index`. */
static int make_room(struct store *store, uint32_t index)
{
    uint32_t *free_vregions = realloc(store->free_vregions, index * sizeof *free_vregions);
    if (free_vregions)
        store->free_vregions = free_vregions;
    uint8_t *parts = realloc(store->vregion_parts, index + 1);
    if (parts)
        store->vregion_parts = parts;
    return free_vregions && parts ? 0 : -ENOMEM;
}

/* A new vRegion, in the part that the home chooses. */
static int ask_grant(struct store *store, uint32_t index, uint64_t lines)
{
    struct vregion_run run = {.first = index, .count = 1, .lines = lines};
    struct msg_vregion_grant wanted = {.asid = store->asid, .runs = &run, .runs_count = 1};
    struct msg_vregion_grant_reply reply;
    int rc = PART_CALL(store, 0, VREGION_GRANT, vregion_grant, &wanted, &reply);
    if (rc < 0)
        return rc;
    const struct vregion_info *info = reply.vregions;
    if (reply.vregions_count != 1 || info->index != index || info->part >= PARTS_MAX)
        return ASH_MALFORMED;
    store->vregion_parts[index] = (uint8_t)info->part;
    struct store_part *at = &store->parts[info->part];
    if (at->where.id.n == 0 && !members_find(store->node->members, info->owner, 0, &at->where))
        return ASH_NO_COMPONENT;
    return 0;
}

int store_take_vregion(struct store *store, uint64_t lines)
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
    rc = index < VREGION_COUNT ? make_room(store, index) : -ENOMEM;
    if (rc == 0)
        rc = ask_grant(store, index, lines);
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
    uint32_t part = part_of(store, lines[0].page.n / VREGION_LINES);
    struct msg_line_write wanted = {.asid = asid_part(store->asid, part),
                                    .lines = lines,
                                    .lines_count = count,
                                    .data_size = count << LINE_SHIFT};
    struct msg_line_write_reply reply;
    struct net_frame frame;
    int rc = msg_line_write_encode(&wanted, body, sizeof body);
    if (rc >= 0)
        rc = request(store, part, OP_LINE_WRITE, body, (size_t)rc, data, (int)count, &frame);
    if (rc == 0)
        rc = msg_line_write_reply_decode(&reply, frame.payload, frame.header.length);
    return rc < 0 ? rc : reply.stored == count ? 0 : ASH_LOST;
}

/* Into `to` what came of the lines; how many, or a negative error. */
static int unpack_lines(const struct msg_line_fetch_reply *reply, uint32_t most, uint8_t *to)
{
    const uint8_t *data = reply->data;
    uint32_t left = reply->data_size;
    if (reply->kinds_size == 0 || reply->kinds_size > most)
        return ASH_MALFORMED;
    for (uint32_t i = 0; i < reply->kinds_size; i++) {
        uint8_t *line = to + ((size_t)i << LINE_SHIFT);
        if (reply->kinds[i] == LINE_ZERO) {
            memset(line, 0, LINE_SIZE);
            continue;
        }
        if (reply->kinds[i] != LINE_DATA || left < LINE_SIZE)
            return ASH_MALFORMED;
        memcpy(line, data, LINE_SIZE);
        data += LINE_SIZE;
        left -= LINE_SIZE;
    }
    return (int)reply->kinds_size;
}

int store_read_lines(struct store *store, struct vpn first, uint32_t count, void *to)
{
    uint32_t part = part_of(store, first.n / VREGION_LINES);
    for (uint32_t done = 0; done < count;) {
        struct msg_line_fetch wanted = {
            .asid = asid_part(store->asid, part), .first = {first.n + done}, .count = count - done};
        struct msg_line_fetch_reply reply;
        int rc = PART_CALL(store, part, LINE_FETCH, line_fetch, &wanted, &reply);
        if (rc == 0)
            rc = unpack_lines(&reply, count - done, (uint8_t *)to + ((size_t)done << LINE_SHIFT));
        if (rc < 0)
            return rc;
        done += (uint32_t)rc;
    }
    return 0;
}

/* ---- lines of files ---- */

/* STORED_CALL(store, FILE_HOLD, file_hold, &request, &reply): NET_CALL, where it is connected. */
#define STORED_CALL(store, OP, name, request, reply)                                               \
    ({                                                                                             \
        (store)->storage                                                                           \
            ? noted(&(store)->storage,                                                             \
                    NET_CALL((store)->storage, OP, name, (request), (reply), BACKING_TIMEOUT_MS))  \
            : ASH_LOST;                                                                            \
    })

static void let_go(struct store *store, const struct file_id *file)
{
    struct held held = {.file = *file};
    struct msg_file_release request = {.files = &held, .files_count = 1};
    struct msg_file_release_reply reply;
    (void)!STORED_CALL(store, FILE_RELEASE, file_release, &request, &reply);
}

static int hold(struct store *store, const struct file_id *file, const char *path)
{
    struct held held = {.file = *file};
    struct msg_file_hold request = {
        .files = &held, .files_count = 1, .mapper = store->node->monitor->id};
    struct msg_file_hold_reply reply;
    int rc = STORED_CALL(store, FILE_HOLD, file_hold, &request, &reply);
    if (rc != ASH_STALE_FILE)
        return rc;
    struct msg_file_reopen again = {
        .file = *file, .again = 1, .flags = 0 /* O_RDONLY */, .path = path};
    struct msg_file_reopen_reply again_reply;
    rc = STORED_CALL(store, FILE_REOPEN, file_reopen, &again, &again_reply);
    if (rc < 0)
        return rc;
    rc = STORED_CALL(store, FILE_HOLD, file_hold, &request, &reply);
    let_go(store, file); /* one of the two, or the only one */
    return rc;
}

/* Connected, and holding again what it held before: holds end with the connection. */
static int reach_storage(struct store *store)
{
    if (store->storage)
        return 0;
    int rc = connect_to(store, store->asid, &store->storage_info, &store->storage);
    for (const struct held_file *f = store->held; f && rc == 0; f = f->next) {
        int held = hold(store, &f->id, f->path);
        if (held < 0)
            monitor_log("%s, mapped shared here, is not held any more: %s", f->path,
                        error_text(held));
        if (!store->storage)
            rc = held;
    }
    return rc;
}

/*
 * STORAGE_CALL(store, FILE_STAT, file_stat, &request, &reply): STORED_CALL, connected where need
 * be; once more where an older connection turns out to be broken. All that is asked here may be
 * done twice.
 */
#define STORAGE_CALL(store, OP, name, request, reply)                                              \
    STORAGE_TRY(store, STORED_CALL(store, OP, name, request, reply))
#define STORAGE_TRY(store, call)                                                                   \
    ({                                                                                             \
        bool older_ = (store)->storage;                                                            \
        int rc_ = reach_storage(store);                                                            \
        if (rc_ == 0)                                                                              \
            rc_ = (call);                                                                          \
        if (rc_ == ASH_LOST && older_ && (rc_ = reach_storage(store)) == 0)                        \
            rc_ = (call);                                                                          \
        rc_;                                                                                       \
    })

int store_hold_file(struct store *store, const struct file_id *file, const char *path)
{
    size_t size = strlen(path) + 1;
    struct held_file *held = malloc(sizeof *held + size);
    if (!held)
        return -ENOMEM;
    held->id = *file;
    memcpy(held->path, path, size);
    int rc = STORAGE_TRY(store, hold(store, file, path));
    if (rc < 0) {
        free(held);
        return rc;
    }
    held->next = store->held;
    store->held = held;
    return 0;
}

void store_release_file(struct store *store, const struct file_id *file)
{
    struct held_file **at = &store->held;
    while (*at && memcmp(&(*at)->id, file, sizeof *file) != 0)
        at = &(*at)->next;
    struct held_file *held = *at;
    if (held)
        *at = held->next;
    free(held);
    let_go(store, file);
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
    if (length < 0)
        return length;
    int rc = STORAGE_TRY(store, noted(&store->storage, net_request(store->storage, OP_FILE_WRITE,
                                                                   body, (size_t)length, &data, 1,
                                                                   BACKING_TIMEOUT_MS, &frame)));
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

int store_punch_file(struct store *store, const struct file_id *file, uint64_t offset,
                     uint64_t length)
{
    struct msg_file_allocate request = {.file = *file,
                                        .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        .offset = offset,
                                        .length = length};
    struct msg_file_allocate_reply reply;
    return STORAGE_CALL(store, FILE_ALLOCATE, file_allocate, &request, &reply);
}
