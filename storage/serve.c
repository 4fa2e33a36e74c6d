/*
 * The storage monitor's service: decodes a request, checks what the connection may do, has the
 * volume do it, and encodes the answer.
 *
 * A request is handled to its end on its connection's thread. It carries all it needs; what is kept
 * between requests (holds, locks) belongs to the connection's client: client.h, serve_holds.c.
 *
 * Messages: one request and one reply each. Copies of file content: one, between the page cache
 * and the connection's buffer (a reply is sent from where pread put it, a write is taken from where
 * it was received).
 */
#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "request.h"

/* The file of an operation; for a change, one that the connection may change. */
int request_begin(struct request *r, const struct file_id *id, bool change,
                  struct volume_file **file)
{
    *file = handles_get(r->storage->holding.handles, id);
    if (!*file)
        return ASH_STALE_FILE;
    atomic_store_explicit(&(*file)->recent, true, memory_order_relaxed);
    if (change && !client_may_write(r->session->client, *file, &who(r)->rights)) {
        request_done(r, *file);
        return -EROFS;
    }
    return 0;
}

void request_done(struct request *r, struct volume_file *file)
{
    handles_put(r->storage->holding.handles, file);
}

int request_place(struct request *r, const struct path_base *base, const char *text, int which)
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
    if (request_begin(r, &base->directory, false, &path->base) < 0) {
        path->base = NULL;
        return length ? 0 : -ESTALE;
    }
    int rc = path->base->ops->path(path->base, now);
    size_t size = rc < 0 ? 0 : strlen(now), rest = strlen(text + length);
    bool slash = !length && rest && size > 1;
    if (rc == 0 && size + slash + rest >= PATH_LIMIT)
        rc = -ENAMETOOLONG;
    if (rc == -ENOENT || rc == -ENAMETOOLONG) {
        path->nameless = rc;
        path->text = text + length + strspn(text + length, "/"); /* no path of the root's */
        path->base_length = 0;
        return 0;
    }
    if (rc < 0 || (size == length && !memcmp(now, text, size)))
        return rc;
    if (slash)
        now[size] = '/';
    memcpy(now + size + slash, text + length, rest + 1);
    path->text = now;
    path->base_length = (uint32_t)size;
    return 0;
}

static void unplace(struct request *r)
{
    for (int i = 0; i < 2; i++)
        if (r->paths[i].base)
            request_done(r, r->paths[i].base);
}

/* ---- files ---- */

static int file_read(struct request *r)
{
    TAKE(r, file_read);
    if (m.length > FILE_IO_MAX)
        return ASH_TOO_BIG;
    int64_t n = WITH_FILE(r, &m.file, false, read(file, r->session->buffer, m.length, m.offset));
    if (n < 0)
        return (int)n;
    give_bulk(r, n);
    return GIVE(r, file_read, {.data = r->session->buffer, .data_size = (uint32_t)n});
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
    return GIVE(r, file_write, {.written = (uint32_t)n, .watched = request_is_watched(r), .end = end});
}

static int file_stat(struct request *r)
{
    struct file_attr attr;
    struct volume_file *file;
    TAKE(r, file_stat);
    int rc = request_begin(r, &m.file, false, &file);
    if (rc < 0)
        return rc;
    rc = file->ops->stat(file, &attr);
    if (rc == 0)
        attr.writable = client_may_write(r->session->client, file, &who(r)->rights);
    request_done(r, file);
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
        int rc = request_place(r, &m.base, m.path, 0);
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
        .to = m.size ? r->session->buffer : NULL,
        .size = reads ? m.size : m.value_size,
    };
    if (!reads && !changes)
        return ASH_MALFORMED;
    if (m.size > FILE_IO_MAX)
        return ASH_TOO_BIG;
    if (changes && r->session->client->component)
        return ASH_FORBIDDEN;
    if (id_is_zero(&m.file)) {
        n = request_place(r, &m.base, m.path, 0);
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
                {.size = (uint32_t)n, .value = r->session->buffer, .value_size = size});
}

static int dir_read(struct request *r)
{
    TAKE(r, dir_read);
    if (m.length > DIR_REPLY_MAX)
        return ASH_TOO_BIG;
    int64_t n = WITH_FILE(r, &m.file, false, list(file, m.cookie, r->session->buffer, m.length));
    if (n < 0)
        return (int)n;
    give_bulk(r, n);
    return GIVE(r, dir_read, {.entries = r->session->buffer, .entries_size = (uint32_t)n});
}

/* ---- paths ---- */

static int path_stat(struct request *r)
{
    struct file_attr attr;
    TAKE(r, path_stat);
    int rc = request_place(r, &m.base, m.path, 0);
    if (rc == 0)
        rc = ops(r)->stat(r->storage->volume, who(r), &r->paths[0], m.nofollow, &attr);
    if (rc < 0)
        return rc;
    return GIVE(r, path_stat, {.attr = attr});
}

static int path_access(struct request *r)
{
    TAKE(r, path_access);
    int rc = request_place(r, &m.base, m.path, 0);
    if (rc == 0 && m.real)
        rc = identity_rights(IDENTITY_REAL);
    return rc < 0 ? rc : ops(r)->access(r->storage->volume, who(r), &r->paths[0], m.mode, m.nofollow);
}

static int path_readlink(struct request *r)
{
    char target[PATH_LIMIT];
    TAKE(r, path_readlink);
    int rc = request_place(r, &m.base, m.path, 0);
    if (rc == 0)
        rc = ops(r)->readlink(r->storage->volume, who(r), &r->paths[0], target);
    if (rc < 0)
        return rc;
    return GIVE(r, path_readlink, {.target = target});
}

static int path_unlink(struct request *r)
{
    TAKE(r, path_unlink);
    int rc = request_place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->unlink(r->storage->volume, who(r), &r->paths[0], m.directory);
}

static int path_rename(struct request *r)
{
    TAKE(r, path_rename);
    int rc = request_place(r, &m.from_base, m.from, 0);
    if (rc == 0)
        rc = request_place(r, &m.to_base, m.to, 1);
    return rc < 0 ? rc : ops(r)->rename(r->storage->volume, who(r), &r->paths[0], &r->paths[1], m.flags);
}

static int path_link(struct request *r)
{
    struct volume_file *file = NULL;
    TAKE(r, path_link);
    if (!id_is_zero(&m.file)) {
        int rc = request_begin(r, &m.file, false, &file);
        if (rc < 0)
            return rc;
    }
    int rc = file ? 0 : request_place(r, &m.from_base, m.from, 0);
    if (rc == 0)
        rc = request_place(r, &m.to_base, m.to, 1);
    if (rc == 0)
        rc = ops(r)->link(r->storage->volume, who(r), file, &r->paths[0], &r->paths[1], m.follow);
    if (file)
        request_done(r, file);
    return rc;
}

static int path_symlink(struct request *r)
{
    TAKE(r, path_symlink);
    int rc = request_place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->symlink(r->storage->volume, who(r), m.target, &r->paths[0]);
}

static int path_make(struct request *r)
{
    TAKE(r, path_make);
    int rc = request_place(r, &m.base, m.path, 0);
    return rc < 0 ? rc : ops(r)->make(r->storage->volume, who(r), &r->paths[0], m.mode);
}

static int file_statfs(struct request *r)
{
    struct msg_file_statfs_reply reply;
    struct volume_file *file;
    int rc;
    TAKE(r, file_statfs);
    if (id_is_zero(&m.file)) {
        rc = request_place(r, &m.base, m.path, 0);
        if (rc == 0)
            rc = ops(r)->statfs(r->storage->volume, who(r), &r->paths[0], &reply);
    } else if ((rc = request_begin(r, &m.file, false, &file)) == 0) {
        rc = file->ops->statfs(file, &reply);
        if (!client_may_write(r->session->client, file, &who(r)->rights))
            reply.flags |= ST_RDONLY;
        request_done(r, file);
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
    int rc = request_place(r, &m.base, m.path, 0);
    const struct volume_path *at = &r->paths[0];
    if (rc == 0 && at->nameless && !at->text[0])
        rc = at->nameless; /* the base itself */
    if (rc == 0)
        rc = ops(r)->real(r->storage->volume, who(r), at, path, &attr);
    if (rc < 0)
        return rc;
    return GIVE(r, path_real, {.path = path, .attr = attr});
}

static int file_identity(struct request *r)
{
    TAKE(r, file_identity);
    return identity_take(&r->session->identity, &m);
}

/* ---- dispatch ---- */

enum {
    CHANGES = 1, /* not for a monitor's own connections */
    ONCE = 2,    /* makes a difference when it is done twice: see answers.h */
    MONITORS = 4, /* for a monitor's own connections alone */
};

static const struct {
    int (*handle)(struct request *);
    unsigned is;
} table[] = {
    [OP_FILE_OPEN & 0xff] = {serve_file_open, ONCE},
    [OP_FILE_HOLD & 0xff] = {serve_file_hold},
    [OP_FILE_RELEASE & 0xff] = {serve_file_release},
    [OP_FILE_REOPEN & 0xff] = {serve_file_reopen},
    [OP_FILE_READ & 0xff] = {file_read},
    [OP_FILE_WRITE & 0xff] = {file_write, CHANGES | ONCE},
    [OP_FILE_STAT & 0xff] = {file_stat},
    [OP_FILE_TRUNCATE & 0xff] = {file_truncate, CHANGES},
    [OP_FILE_ALLOCATE & 0xff] = {file_allocate, CHANGES | ONCE},
    [OP_FILE_SYNC & 0xff] = {file_sync},
    [OP_FILE_SETATTR & 0xff] = {file_setattr, CHANGES},
    [OP_FILE_SEEK & 0xff] = {file_seek},
    [OP_FILE_LOCK & 0xff] = {serve_file_lock, CHANGES},
    [OP_DIR_READ & 0xff] = {dir_read},
    [OP_PATH_STAT & 0xff] = {path_stat},
    [OP_PATH_ACCESS & 0xff] = {path_access},
    [OP_PATH_READLINK & 0xff] = {path_readlink},
    [OP_PATH_UNLINK & 0xff] = {path_unlink, CHANGES | ONCE},
    [OP_PATH_RENAME & 0xff] = {path_rename, CHANGES | ONCE},
    [OP_PATH_LINK & 0xff] = {path_link, CHANGES | ONCE},
    [OP_PATH_SYMLINK & 0xff] = {path_symlink, CHANGES | ONCE},
    [OP_PATH_MAKE & 0xff] = {path_make, CHANGES | ONCE},
    [OP_FILE_STATFS & 0xff] = {file_statfs},
    [OP_PATH_REAL & 0xff] = {path_real},
    [OP_FILE_XATTR & 0xff] = {file_xattr, ONCE},
    [OP_FILE_KEEP & 0xff] = {serve_file_keep, CHANGES},
    [OP_FILE_SEND & 0xff] = {serve_file_send, CHANGES | ONCE},
    [OP_FILE_END & 0xff] = {serve_file_end, CHANGES},
    [OP_FILE_IDENTITY & 0xff] = {file_identity, CHANGES},
    [OP_WATCH_ADD & 0xff] = {serve_watch_add},
    [OP_WATCH_REMOVE & 0xff] = {serve_watch_remove},
    [OP_WATCH_READ & 0xff] = {serve_watch_read},
    [OP_LOG_WRITE & 0xff] = {serve_log_write, MONITORS},
    [OP_LOG_READ & 0xff] = {serve_log_read, MONITORS},
    [OP_LOG_DISCARD & 0xff] = {serve_log_discard, MONITORS},
};

static int handle(struct request *r, size_t index, const struct wire_header *header)
{
    struct answers *answers = &r->session->client->answers;
    int status;

    if (!(table[index].is & ONCE) || r->session->client->component)
        return table[index].handle(r);
    if (answers_begin(answers, header->request_id, header->flags & WIRE_AGAIN, &status, r->body,
                      sizeof r->body, &r->size))
        return status;
    status = table[index].handle(r);
    /* What reads, or leads elsewhere, has changed nothing. */
    bool keep = !r->bulk.iov_len && status != ASH_ELSEWHERE;
    answers_end(answers, header->request_id, keep, status, r->body, status < 0 ? 0 : r->size);
    return status;
}

static int dispatch(struct request *r, const struct wire_header *header)
{
    size_t index = header->op & 0xff;

    if (header->op >> 8 != OP_FILE_OPEN >> 8 || index >= sizeof table / sizeof table[0] ||
        !table[index].handle)
        return ASH_UNKNOWN_OP;
    if (!r->session)
        return -ENOMEM;
    if (table[index].is & (r->session->client->component ? CHANGES : MONITORS))
        return ASH_FORBIDDEN;
    int rc = identity_rights(IDENTITY_OF_FILES); /* the request before may have left others */
    return rc < 0 ? rc : handle(r, index, header);
}

static int serve_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct request r;
    r.storage = self;
    r.session = *net_conn_state(conn);
    r.conn = conn;
    r.payload = frame->payload;
    r.length = frame->header.length;
    r.size = 0;
    r.bulk = (struct iovec){0};

    r.paths[0].base = r.paths[1].base = NULL;
    int status = dispatch(&r, &frame->header);
    unplace(&r);
    if (status == ASH_ELSEWHERE) {
        struct msg_elsewhere_reply reply = {.path = r.session->caller.elsewhere};
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

static void session_free(struct session *session)
{
    if (!session)
        return;
    rights_free(&session->caller.rights);
    free(session->buffer);
    free(session);
}

/* Without a session (no memory) every request of the connection is answered with -ENOMEM. */
static void opened(void *self, struct net_conn *conn)
{
    struct storage *storage = self;
    const struct msg_bind *scope = net_conn_scope(conn);
    struct session *session = calloc(1, sizeof *session);

    if (!session)
        return;
    session->buffer = malloc(LOG_IO_MAX);
    _Static_assert(LOG_IO_MAX >= FILE_IO_MAX, "one buffer for both");
    int rc = session->buffer ? 0 : -ENOMEM;
    if (rc == 0 && scope->scope == SCOPE_PROCESS)
        rc = rights_make(&session->caller.rights, scope->writable, canonical, storage);
    if (rc == 0)
        rc = clients_enter(storage->clients, scope, &session->client);
    if (rc < 0)
        session_free(session);
    else
        *net_conn_state(conn) = session;
}

static void closed(void *self, struct net_conn *conn)
{
    struct storage *storage = self;
    struct session *session = *net_conn_state(conn);

    if (session) {
        serve_watch_end(storage, session);
        clients_leave(storage->clients, session->client, net_conn_closed(conn));
    }
    session_free(session);
}

const struct net_server_ops storage_server_ops = {
    .request = serve_request,
    .opened = opened,
    .closed = closed,
    .ready = serve_watch_ready,
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
    struct holding *holding = &storage->holding;
    holding->handles = handles_new();
    holding->descriptions = descriptions_new();
    holding->locks = locks_new();
    storage->clients = clients_new(holding);
    storage->transit = transit_new(holding);
    if (holding->handles && holding->descriptions && holding->locks && storage->clients &&
        storage->transit)
        rc = kind->start(source, &storage->volume);
    if (rc < 0)
        storage_stop(storage);
    return rc;
}

void storage_stop(struct storage *storage)
{
    transit_free(storage->transit);
    clients_free(storage->clients);
    descriptions_free(storage->holding.descriptions);
    handles_free(storage->holding.handles);
    locks_free(storage->holding.locks);
    if (storage->volume)
        storage->volume->ops->stop(storage->volume);
    *storage = (struct storage){0};
}
