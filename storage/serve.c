/*
 * The storage monitor's service: decodes a request, checks what the connection may do, has the
 * volume do it, and encodes the answer.
 *
 * A request is handled to its end on its connection's thread. It carries all it needs; what is kept
 * between requests (holds, locks) belongs to the connection and ends with it.
 *
 * Messages: one request and one reply each. Copies of file content: one, between the page cache
 * and the connection's buffer (a reply is sent from where pread put it, a write is taken from where
 * it was received).
 */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "client.h"

struct request {
    struct storage *storage;
    struct client *client;
    struct net_conn *conn;
    const uint8_t *payload;
    size_t length;
    uint8_t body[2 * PATH_LIMIT]; /* the reply, but for its bulk */
    size_t size;
    struct iovec bulk;
    struct volume_path paths[2];
    bool held[2];               /* their bases, by this connection */
    char placed[2][PATH_LIMIT]; /* their texts, where bases are called otherwise now */
};

/* Declares `m` and decodes the request into it. */
#define TAKE(r, name)                                                                              \
    struct msg_##name m;                                                                           \
    if (msg_##name##_decode(&m, (r)->payload, (r)->length) < 0)                                    \
    return ASH_MALFORMED

/* Encodes a reply; an int, as the handlers return it. */
#define GIVE(r, name, ...)                                                                         \
    ({                                                                                             \
        struct msg_##name##_reply reply_ = __VA_ARGS__;                                            \
        encoded((r), msg_##name##_reply_encode(&reply_, (r)->body, sizeof(r)->body));              \
    })

static int encoded(struct request *r, int size)
{
    if (size < 0)
        return -ENAMETOOLONG; /* a path is all that can be too long */
    r->size = (size_t)size;
    return 0;
}

static const struct volume_ops *ops(const struct request *r)
{
    return r->storage->volume->ops;
}

static struct caller *who(const struct request *r)
{
    return &r->client->caller;
}

static bool id_is_zero(const struct file_id *id)
{
    return id->device == 0 && id->inode == 0 && id->generation == 0;
}

/* The file of an operation; for a change, one that the connection may change. */
static int begin(struct request *r, const struct file_id *id, bool change,
                 struct volume_file **file, bool *held)
{
    *file = client_file(r->client, id, held);
    if (!*file)
        return ASH_STALE_FILE;
    if (change && !client_may_write(r->client, *file)) {
        client_done(r->client, *file, *held);
        return -EROFS;
    }
    return 0;
}

/*
 * A path of a request into r->paths[which]: its base, where that is open here, and what it is
 * called now. The base is given back when the request has been served.
 */
static int place(struct request *r, const struct path_base *base, const char *text, int which)
{
    struct volume_path *path = &r->paths[which];
    char *now = r->placed[which];
    size_t length = base->length;

    *path = (struct volume_path){.text = text};
    if (id_is_zero(&base->directory))
        return 0;
    if (length > strlen(text))
        return ASH_MALFORMED;
    path->base_length = (uint32_t)length;
    if (begin(r, &base->directory, false, &path->base, &r->held[which]) < 0)
        return 0;
    int rc = path->base->ops->path(path->base, now);
    if (rc == -ENOENT)
        path->nameless = true;
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    size_t size = strlen(now), rest = strlen(text + length);
    if (size == length && !memcmp(now, text, size))
        return 0;
    if (size + rest >= PATH_LIMIT)
        return -ENAMETOOLONG;
    memcpy(now + size, text + length, rest + 1);
    path->text = now;
    path->base_length = (uint32_t)size;
    return 0;
}

static void unplace(struct request *r)
{
    for (int i = 0; i < 2; i++)
        if (r->paths[i].base)
            client_done(r->client, r->paths[i].base, r->held[i]);
}

/*
 * Does `call` (an expression of `file`, worth an integer) on the file `id`. Worth its result, or
 * the error that kept it from being done.
 */
#define WITH_FILE(r, id, change, call)                                                             \
    ({                                                                                             \
        struct volume_file *file;                                                                  \
        bool held_;                                                                                \
        int64_t rc_ = begin((r), (id), (change), &file, &held_);                                   \
        if (rc_ == 0) {                                                                            \
            rc_ = file->ops->call;                                                                 \
            client_done((r)->client, file, held_);                                                 \
        }                                                                                          \
        rc_;                                                                                       \
    })

static int give_bulk(struct request *r, int64_t size)
{
    r->bulk = (struct iovec){.iov_base = r->client->buffer, .iov_len = (size_t)size};
    return 0;
}

static bool is_watched(const struct request *r)
{
    return atomic_load_explicit(&r->storage->watching, memory_order_relaxed) != 0;
}

/* ---- handles ---- */

/* Holds what was opened for this connection. Returns the attributes' answer. */
static int hold_opened(struct request *r, const struct volume_opened *opened, uint32_t flags)
{
    struct volume_file *file = handles_add(r->storage->handles, opened->file);
    struct client_hold *hold = client_hold(r->client, file);
    if (!hold)
        return -ENOMEM;
    hold->writable |= opened->attr.writable;
    if (!(flags & O_PATH) && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
        client_hold_writes(r->client, hold);
    return 0;
}

/* The first bytes of what was opened, into the connection's buffer; how many, 0 where none come. */
static uint32_t read_first(struct request *r, const struct file_attr *attr, uint32_t wanted)
{
    if (!wanted || !S_ISREG(attr->mode))
        return 0;
    int64_t n = WITH_FILE(r, &attr->id, false, read(file, r->client->buffer, wanted, 0));
    return n > 0 ? (uint32_t)n : 0;
}

static int file_open(struct request *r)
{
    struct volume_opened opened;
    TAKE(r, file_open);
    if (m.first > FILE_IO_MAX)
        return ASH_TOO_BIG;
    int rc = place(r, &m.base, m.path, 0);
    who(r)->resolve = m.resolve;
    if (rc == 0 && m.execute)
        rc = ops(r)->access(r->storage->volume, who(r), &r->paths[0], X_OK, false);
    if (rc == 0)
        rc = ops(r)->open(r->storage->volume, who(r), &r->paths[0], m.flags, m.mode, &opened);
    who(r)->resolve = 0;
    if (rc == 0 && opened.file)
        rc = hold_opened(r, &opened, m.flags);
    if (rc < 0)
        return rc;
    /* Reading ahead would be an event that the program's own read is not. */
    uint32_t first = is_watched(r) ? 0 : read_first(r, &opened.attr, m.first);
    give_bulk(r, first);
    return GIVE(r, file_open,
                {.attr = opened.attr,
                 .created = opened.created,
                 .watched = is_watched(r),
                 .path = opened.path,
                 .first = r->client->buffer,
                 .first_size = first});
}

/* All or none: where one is not known, those before it are let go again. */
static int file_hold(struct request *r)
{
    TAKE(r, file_hold);
    for (uint32_t i = 0; i < m.files_count; i++) {
        struct volume_file *file = handles_get(r->storage->handles, &m.files[i]);
        if (file && client_hold(r->client, file))
            continue;
        while (i-- > 0)
            client_release(r->client, &m.files[i]);
        return file ? -ENOMEM : ASH_STALE_FILE;
    }
    return 0;
}

static int file_release(struct request *r)
{
    TAKE(r, file_release);
    for (uint32_t i = 0; i < m.files_count; i++)
        client_release(r->client, &m.files[i]);
    return 0;
}

/* It is open here for someone: no need of its path, which may be gone. */
static int hold_known(struct request *r, struct volume_file *file, uint32_t flags,
                      struct file_attr *attr)
{
    bool writable = client_may_write(r->client, file);
    bool writes = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
    int rc = writes && !writable ? -EROFS : file->ops->stat(file, attr);
    if (rc == 0 && !(flags & O_PATH))
        rc = file->ops->want(file, flags); /* it may have been opened by O_PATH alone */
    if (rc < 0) {
        handles_put(r->storage->handles, file);
        return rc;
    }
    struct client_hold *hold = client_hold(r->client, file);
    if (!hold)
        return -ENOMEM;
    if (writes)
        client_hold_writes(r->client, hold);
    attr->writable = hold->writable = writable;
    return 0;
}

static int file_reopen(struct request *r)
{
    struct volume_opened opened;
    int rc;
    TAKE(r, file_reopen);
    struct volume_file *file = handles_get(r->storage->handles, &m.file);
    if (file) {
        rc = hold_known(r, file, m.flags, &opened.attr);
    } else {
        rc = ops(r)->reopen(r->storage->volume, who(r), m.path, m.flags, &m.file, &opened);
        if (rc == 0)
            rc = hold_opened(r, &opened, m.flags & ~(uint32_t)O_TRUNC);
    }
    if (rc < 0)
        return rc;
    return GIVE(r, file_reopen, {.attr = opened.attr});
}

/* ---- files ---- */

static int file_read(struct request *r)
{
    TAKE(r, file_read);
    if (m.length > FILE_IO_MAX)
        return ASH_TOO_BIG;
    int64_t n = WITH_FILE(r, &m.file, false, read(file, r->client->buffer, m.length, m.offset));
    if (n < 0)
        return (int)n;
    give_bulk(r, n);
    return GIVE(r, file_read, {.data = r->client->buffer, .data_size = (uint32_t)n});
}

static int file_write(struct request *r)
{
    uint64_t end = 0;
    TAKE(r, file_write);
    if (m.data_size > FILE_IO_MAX)
        return ASH_TOO_BIG;
    int64_t n = WITH_FILE(r, &m.file, true,
                          write(file, m.data, m.data_size, m.offset, m.append, m.sync, &end));
    if (n < 0)
        return (int)n;
    return GIVE(r, file_write, {.written = (uint32_t)n, .watched = is_watched(r), .end = end});
}

static int file_stat(struct request *r)
{
    struct file_attr attr;
    bool held;
    struct volume_file *file;
    TAKE(r, file_stat);
    int rc = begin(r, &m.file, false, &file, &held);
    if (rc < 0)
        return rc;
    rc = file->ops->stat(file, &attr);
    if (rc == 0)
        attr.writable = client_may_write(r->client, file);
    client_done(r->client, file, held);
    if (rc < 0)
        return rc;
    return GIVE(r, file_stat, {.attr = attr});
}

static int file_truncate(struct request *r)
{
    TAKE(r, file_truncate);
    return (int)WITH_FILE(r, &m.file, true, truncate(file, m.size_bytes));
}

static int file_allocate(struct request *r)
{
    TAKE(r, file_allocate);
    return (int)WITH_FILE(r, &m.file, true, allocate(file, m.mode, m.offset, m.length));
}

static int file_sync(struct request *r)
{
    TAKE(r, file_sync);
    return (int)WITH_FILE(r, &m.file, false, sync(file, (enum sync_kind)m.kind));
}

static int file_setattr(struct request *r)
{
    TAKE(r, file_setattr);
    struct volume_setattr change = {
        .what = m.what,
        .mode = m.mode,
        .uid = m.uid,
        .gid = m.gid,
        .atime_s = m.atime_s,
        .mtime_s = m.mtime_s,
        .atime_ns = m.atime_ns,
        .mtime_ns = m.mtime_ns,
    };
    if (id_is_zero(&m.file)) {
        int rc = place(r, &m.base, m.path, 0);
        return rc < 0 ? rc : ops(r)->setattr(r->storage->volume, who(r), &r->paths[0], &change);
    }
    return (int)WITH_FILE(r, &m.file, true, setattr(file, &change));
}

static int file_seek(struct request *r)
{
    uint64_t at = 0;
    TAKE(r, file_seek);
    int rc = (int)WITH_FILE(r, &m.file, false, seek(file, m.offset, m.hole, &at));
    if (rc < 0)
        return rc;
    return GIVE(r, file_seek, {.offset = at});
}

static int file_xattr(struct request *r)
{
    int64_t n;
    TAKE(r, file_xattr);
    bool reads = m.op == XATTR_GET || m.op == XATTR_LIST;
    bool changes = m.op == XATTR_SET || m.op == XATTR_REMOVE;
    struct volume_xattr x = {
        .op = m.op,
        .name = m.name,
        .flags = m.flags,
        .value = m.value,
        .to = m.size ? r->client->buffer : NULL,
        .size = reads ? m.size : m.value_size,
    };
    if (!reads && !changes)
        return ASH_MALFORMED;
    if (m.size > FILE_IO_MAX)
        return ASH_TOO_BIG;
    if (changes && r->client->component)
        return ASH_FORBIDDEN;
    if (id_is_zero(&m.file)) {
        n = place(r, &m.base, m.path, 0);
        if (n == 0)
            n = ops(r)->xattr(r->storage->volume, who(r), &r->paths[0], m.nofollow, &x);
    } else {
        n = WITH_FILE(r, &m.file, changes, xattr(file, &x));
    }
    if (n < 0)
        return (int)n;
    uint32_t size = reads && m.size ? (uint32_t)n : 0;
    give_bulk(r, size);
    return GIVE(r, file_xattr,
                {.size = (uint32_t)n, .value = r->client->buffer, .value_size = size});
}

static int file_lock(struct request *r)
{
    struct msg_file_lock_reply reply = {.kind = LOCK_KIND_NONE};
    int rc;
    TAKE(r, file_lock);
    struct lock_request wish = {
        .client = r->client,
        .run_id = r->client->run_id,
        .owner = m.owner,
        .kind = m.kind,
        .start = m.start,
        .length = m.length,
    };
    if (m.probe) {
        rc = locks_probe(r->storage->locks, &m.file, &wish, &reply);
    } else {
        /* A lock may be given back when the file is no longer held; a new one needs the file. */
        bool unlock = m.kind == LOCK_KIND_NONE || m.kind == LOCK_KIND_FLOCK_NONE;
        if (!unlock && !client_find(r->client, &m.file))
            return ASH_STALE_FILE;
        r->client->has_locks = true;
        rc = locks_set(r->storage->locks, &m.file, &wish);
    }
    if (rc < 0)
        return rc;
    return GIVE(r, file_lock, reply);
}

static int dir_read(struct request *r)
{
    TAKE(r, dir_read);
    if (m.length > DIR_REPLY_MAX)
        return ASH_TOO_BIG;
    int64_t n = WITH_FILE(r, &m.file, false, list(file, m.cookie, r->client->buffer, m.length));
    if (n < 0)
        return (int)n;
    give_bulk(r, n);
    return GIVE(r, dir_read, {.entries = r->client->buffer, .entries_size = (uint32_t)n});
}

/* ---- paths ---- */

static int path_stat(struct request *r)
{
    struct file_attr attr;
    TAKE(r, path_stat);
    int rc = place(r, &m.base, m.path, 0);
    if (rc == 0)
        rc = ops(r)->stat(r->storage->volume, who(r), &r->paths[0], m.nofollow, &attr);
    if (rc < 0)
        return rc;
    return GIVE(r, path_stat, {.attr = attr});
}

static int path_access(struct request *r)
{
    TAKE(r, path_access);
    int rc = place(r, &m.base, m.path, 0);
    return rc < 0 ? rc
                  : ops(r)->access(r->storage->volume, who(r), &r->paths[0], m.mode, m.nofollow);
}

static int path_readlink(struct request *r)
{
    char target[PATH_LIMIT];
    TAKE(r, path_readlink);
    int rc = place(r, &m.base, m.path, 0);
    if (rc == 0)
        rc = ops(r)->readlink(r->storage->volume, who(r), &r->paths[0], target);
    if (rc < 0)
        return rc;
    return GIVE(r, path_readlink, {.target = target});
}

static int path_unlink(struct request *r)
{
    TAKE(r, path_unlink);
    int rc = place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->unlink(r->storage->volume, who(r), &r->paths[0], m.directory);
}

static int path_rename(struct request *r)
{
    TAKE(r, path_rename);
    int rc = place(r, &m.from_base, m.from, 0);
    if (rc == 0)
        rc = place(r, &m.to_base, m.to, 1);
    return rc < 0 ? rc
                  : ops(r)->rename(r->storage->volume, who(r), &r->paths[0], &r->paths[1], m.flags);
}

static int path_link(struct request *r)
{
    struct volume_file *file = NULL;
    bool held = true;
    TAKE(r, path_link);
    if (!id_is_zero(&m.file)) {
        int rc = begin(r, &m.file, false, &file, &held);
        if (rc < 0)
            return rc;
    }
    int rc = file ? 0 : place(r, &m.from_base, m.from, 0);
    if (rc == 0)
        rc = place(r, &m.to_base, m.to, 1);
    if (rc == 0)
        rc = ops(r)->link(r->storage->volume, who(r), file, &r->paths[0], &r->paths[1], m.follow);
    client_done(r->client, file, held);
    return rc;
}

static int path_symlink(struct request *r)
{
    TAKE(r, path_symlink);
    int rc = place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->symlink(r->storage->volume, who(r), m.target, &r->paths[0]);
}

static int path_make(struct request *r)
{
    TAKE(r, path_make);
    int rc = place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->make(r->storage->volume, who(r), &r->paths[0], m.mode);
}

static int file_statfs(struct request *r)
{
    struct msg_file_statfs_reply reply;
    struct volume_file *file;
    bool held;
    int rc;
    TAKE(r, file_statfs);
    if (id_is_zero(&m.file)) {
        rc = place(r, &m.base, m.path, 0);
        if (rc == 0)
            rc = ops(r)->statfs(r->storage->volume, who(r), &r->paths[0], &reply);
    } else if ((rc = begin(r, &m.file, false, &file, &held)) == 0) {
        rc = file->ops->statfs(file, &reply);
        if (!client_may_write(r->client, file))
            reply.flags |= ST_RDONLY;
        client_done(r->client, file, held);
    }
    if (rc < 0)
        return rc;
    return GIVE(r, file_statfs, reply);
}

static int path_real(struct request *r)
{
    char path[PATH_LIMIT];
    struct file_attr attr;
    TAKE(r, path_real);
    int rc = place(r, &m.base, m.path, 0);
    const struct volume_path *at = &r->paths[0];
    if (rc == 0 && at->nameless && !at->text[at->base_length])
        rc = -ENOENT; /* the base itself, which is nowhere now */
    if (rc == 0)
        rc = ops(r)->real(r->storage->volume, who(r), &r->paths[0], path, &attr);
    if (rc < 0)
        return rc;
    return GIVE(r, path_real, {.path = path, .attr = attr});
}

/* ---- watching ---- */

/* The file to be watched, with a reference: as it is open here, or as its path finds it again. */
static int watched_file(struct request *r, const struct msg_watch_add *m, struct volume_file **file)
{
    struct volume_opened opened;
    *file = handles_get(r->storage->handles, &m->file);
    if (*file)
        return 0;
    int rc =
        ops(r)->reopen(r->storage->volume, who(r), m->path, O_PATH | O_NOFOLLOW, &m->file, &opened);
    if (rc == 0)
        *file = handles_add(r->storage->handles, opened.file);
    return rc;
}

static int watch_add(struct request *r)
{
    struct volume_watcher **watcher = &r->client->watcher;
    struct volume_file *file;
    TAKE(r, watch_add);
    int rc = watched_file(r, &m, &file);
    if (rc < 0)
        return rc;
    if (!*watcher) {
        rc = ops(r)->watch(r->storage->volume, watcher);
        if (rc == 0) {
            atomic_fetch_add_explicit(&r->storage->watching, 1, memory_order_relaxed);
            net_conn_listen(r->conn, (*watcher)->fd);
        }
    }
    if (rc == 0)
        rc = (*watcher)->ops->add(*watcher, file, m.mask);
    handles_put(r->storage->handles, file);
    if (rc < 0)
        return rc;
    return GIVE(r, watch_add, {.wd = (uint32_t)rc});
}

static int watch_remove(struct request *r)
{
    struct volume_watcher *watcher = r->client->watcher;
    TAKE(r, watch_remove);
    return watcher && m.wd <= INT_MAX ? watcher->ops->remove(watcher, (int)m.wd) : -EINVAL;
}

static int watch_read(struct request *r)
{
    struct volume_watcher *watcher = r->client->watcher;
    TAKE(r, watch_read);
    (void)m;
    int64_t n = watcher ? watcher->ops->read(watcher, r->client->buffer, WATCH_READ_MAX) : 0;
    if (n < 0)
        return (int)n;
    if (watcher)
        net_conn_listen(r->conn, watcher->fd);
    give_bulk(r, n);
    return GIVE(r, watch_read, {.events = r->client->buffer, .events_size = (uint32_t)n});
}

/* Nothing more is said until WATCH_READ was asked: who does not read is told once. */
static int watch_ready(void *self, struct net_conn *conn)
{
    (void)self;
    return net_post(conn, OP_WATCH_READY, NULL, 0);
}

/* ---- dispatch ---- */

static const struct {
    int (*handle)(struct request *);
    bool changes; /* not for a monitor's own connections */
} table[] = {
    [OP_FILE_OPEN & 0xff] = {file_open},
    [OP_FILE_HOLD & 0xff] = {file_hold},
    [OP_FILE_RELEASE & 0xff] = {file_release},
    [OP_FILE_REOPEN & 0xff] = {file_reopen},
    [OP_FILE_READ & 0xff] = {file_read},
    [OP_FILE_WRITE & 0xff] = {file_write, true},
    [OP_FILE_STAT & 0xff] = {file_stat},
    [OP_FILE_TRUNCATE & 0xff] = {file_truncate, true},
    [OP_FILE_ALLOCATE & 0xff] = {file_allocate, true},
    [OP_FILE_SYNC & 0xff] = {file_sync},
    [OP_FILE_SETATTR & 0xff] = {file_setattr, true},
    [OP_FILE_SEEK & 0xff] = {file_seek},
    [OP_FILE_LOCK & 0xff] = {file_lock, true},
    [OP_DIR_READ & 0xff] = {dir_read},
    [OP_PATH_STAT & 0xff] = {path_stat},
    [OP_PATH_ACCESS & 0xff] = {path_access},
    [OP_PATH_READLINK & 0xff] = {path_readlink},
    [OP_PATH_UNLINK & 0xff] = {path_unlink, true},
    [OP_PATH_RENAME & 0xff] = {path_rename, true},
    [OP_PATH_LINK & 0xff] = {path_link, true},
    [OP_PATH_SYMLINK & 0xff] = {path_symlink, true},
    [OP_PATH_MAKE & 0xff] = {path_make, true},
    [OP_FILE_STATFS & 0xff] = {file_statfs},
    [OP_PATH_REAL & 0xff] = {path_real},
    [OP_FILE_XATTR & 0xff] = {file_xattr},
    [OP_WATCH_ADD & 0xff] = {watch_add},
    [OP_WATCH_REMOVE & 0xff] = {watch_remove},
    [OP_WATCH_READ & 0xff] = {watch_read},
};

static int dispatch(struct request *r, uint16_t op)
{
    size_t index = op & 0xff;

    if (op >> 8 != OP_FILE_OPEN >> 8 || index >= sizeof table / sizeof table[0] ||
        !table[index].handle)
        return ASH_UNKNOWN_OP;
    if (!r->client)
        return -ENOMEM;
    if (table[index].changes && r->client->component)
        return ASH_FORBIDDEN;
    return table[index].handle(r);
}

static int serve_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct request r;
    r.storage = self;
    r.client = *net_conn_state(conn);
    r.conn = conn;
    r.payload = frame->payload;
    r.length = frame->header.length;
    r.size = 0;
    r.bulk = (struct iovec){0};

    r.paths[0].base = r.paths[1].base = NULL;
    int status = dispatch(&r, frame->header.op);
    unplace(&r);
    if (status == ASH_ELSEWHERE) {
        struct msg_elsewhere_reply reply = {.path = r.client->caller.elsewhere};
        int size = msg_elsewhere_reply_encode(&reply, r.body, sizeof r.body);
        if (size >= 0)
            return net_reply(conn, frame, status, r.body, (size_t)size, NULL, 0);
        status = -ENAMETOOLONG;
    }
    if (status < 0)
        return net_refuse(conn, frame, status);
    return net_reply(conn, frame, 0, r.body, r.size, &r.bulk, r.bulk.iov_len > 0);
}

/* ---- connections ---- */

static int canonical(void *self, const char *path, char *out)
{
    struct storage *storage = self;
    struct caller nobody = {0};
    struct file_attr attr;
    const struct volume_path named = {.text = path};
    return storage->volume->ops->real(storage->volume, &nobody, &named, out, &attr);
}

/* Without a client (no memory) every request of the connection is answered with -ENOMEM. */
static void opened(void *self, struct net_conn *conn)
{
    struct storage *storage = self;
    const struct msg_bind *scope = net_conn_scope(conn);
    struct client *client = client_new(storage->handles);

    if (!client)
        return;
    client->run_id = scope->run_id;
    client->component = scope->scope != SCOPE_PROCESS;
    if (!client->component &&
        rights_make(&client->caller.rights, scope->writable, canonical, storage) < 0) {
        client_free(client);
        return;
    }
    *net_conn_state(conn) = client;
}

static void closed(void *self, struct net_conn *conn)
{
    struct storage *storage = self;
    struct client *client = *net_conn_state(conn);

    if (client && client->has_locks)
        locks_forget(storage->locks, client);
    if (client && client->watcher)
        atomic_fetch_sub_explicit(&storage->watching, 1, memory_order_relaxed);
    client_free(client);
}

const struct net_server_ops storage_server_ops = {
    .request = serve_request,
    .opened = opened,
    .closed = closed,
    .ready = watch_ready,
};

/* ---- life ---- */

static const struct volume_ops *const kinds[] = {&dir_volume_ops};

int storage_start(struct storage *storage, const char *volume)
{
    const struct volume_ops *kind = kinds[0];
    const char *source = volume;
    int rc = -ENOMEM;

    *storage = (struct storage){0};
    if (volume[0] != '/') {
        size_t length = strcspn(volume, ":");
        kind = NULL;
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (strlen(kinds[i]->kind) == length && !strncmp(kinds[i]->kind, volume, length))
                kind = kinds[i];
        if (!kind || volume[length] != ':')
            return -EPROTONOSUPPORT;
        source = volume + length + 1;
    }
    storage->handles = handles_new();
    storage->locks = locks_new();
    if (storage->handles && storage->locks)
        rc = kind->start(source, &storage->volume);
    if (rc < 0)
        storage_stop(storage);
    return rc;
}

void storage_stop(struct storage *storage)
{
    handles_free(storage->handles);
    locks_free(storage->locks);
    if (storage->volume)
        storage->volume->ops->stop(storage->volume);
    *storage = (struct storage){0};
}
