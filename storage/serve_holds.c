/*
 * Requests about what is held: opening files, descriptions that are handed on, locks.
 *
 * Something of a client that is gone may be in the way of a lock or of a writer. Before anybody is
 * refused, those clients and descriptions are ended that nobody came for in time.
 */
#include "request.h"

#include <fcntl.h>
#include <sys/stat.h>

static bool sweep(struct storage *storage)
{
    bool transit = transit_sweep(storage->transit);
    return clients_sweep(storage->clients) || transit;
}

/* ---- opening ---- */

static int hold(struct request *r, struct volume_file *file, const struct description_id *id,
                unsigned flags)
{
    struct handles *handles = r->storage->holding.handles;
    struct file_id file_id = file->id;
    int rc = client_hold(r->session->client, file, id, flags);
    if (rc != -ETXTBSY || !sweep(r->storage) || !(file = handles_get(handles, &file_id)))
        return rc;
    return client_hold(r->session->client, file, id, flags);
}

static unsigned hold_flags(const struct file_attr *attr, uint32_t flags)
{
    bool writes = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
    return (attr->writable ? HOLD_WRITABLE : 0) | (writes ? HOLD_WRITES : 0);
}

/* To nothing, for an open; who truncates writes, for as long as that takes. */
static int truncate_opened(struct request *r, struct file_attr *attr)
{
    struct volume_file *file;
    int rc = request_begin(r, &attr->id, false, &file);
    if (rc < 0)
        return rc;
    rc = handles_writer_came(r->storage->holding.handles, file);
    if (rc == 0) {
        rc = file->ops->truncate(file, 0);
        handles_writer_goes(r->storage->holding.handles, file);
    }
    if (rc == 0) {
        uint32_t writable = attr->writable;
        rc = file->ops->stat(file, attr);
        attr->writable = writable;
    }
    request_done(r, file);
    return rc;
}

/* Holds what was opened for this connection. */
static int hold_opened(struct request *r, struct volume_opened *opened, uint32_t flags,
                       const struct description_id *id)
{
    struct volume_file *file = handles_add(r->storage->holding.handles, opened->file);
    int rc = hold(r, file, id, hold_flags(&opened->attr, flags));
    if (rc < 0 || !(flags & O_TRUNC) || flags & O_PATH || opened->created ||
        !S_ISREG(opened->attr.mode))
        return rc;
    rc = truncate_opened(r, &opened->attr);
    if (rc < 0)
        client_release(r->session->client, &(struct held){opened->attr.id, *id});
    return rc;
}

/* The first bytes of what was opened, into the connection's buffer; how many, 0 where none come. */
static uint32_t read_first(struct request *r, const struct file_attr *attr, uint32_t wanted)
{
    if (!wanted || !S_ISREG(attr->mode))
        return 0;
    int64_t n = WITH_FILE(r, &attr->id, false, read(file, r->session->buffer, wanted, 0));
    return n > 0 ? (uint32_t)n : 0;
}

/* Of an open that is to be executed: nobody may have it open for writing. */
static int executable(struct request *r, const struct file_attr *attr)
{
    struct handles *handles = r->storage->holding.handles;
    bool written = handles_written(handles, &attr->id);
    if (written && sweep(r->storage))
        written = handles_written(handles, &attr->id);
    return written ? -ETXTBSY : 0;
}

int serve_file_open(struct request *r)
{
    struct volume_opened opened;
    TAKE(r, file_open);
    if (m.first > FILE_IO_MAX)
        return ASH_TOO_BIG;
    int rc = request_place(r, &m.base, m.path, 0);
    who(r)->resolve = m.resolve;
    who(r)->execute = m.execute;
    if (rc == 0)
        rc = ops(r)->open(r->storage->volume, who(r), &r->paths[0], m.flags, m.mode, &opened);
    who(r)->resolve = 0;
    who(r)->execute = false;
    if (rc == 0 && opened.file)
        rc = hold_opened(r, &opened, m.flags, &m.description);
    if (rc == 0 && opened.file && m.execute) {
        rc = executable(r, &opened.attr);
        if (rc < 0)
            client_release(r->session->client, &(struct held){opened.attr.id, m.description});
    }
    if (rc < 0)
        return rc;
    /* Reading ahead would be an event that the program's own read is not. */
    uint32_t first = request_is_watched(r) ? 0 : read_first(r, &opened.attr, m.first);
    give_bulk(r, first);
    return GIVE(r, file_open,
                {.attr = opened.attr,
                 .created = opened.created,
                 .watched = request_is_watched(r),
                 .path = opened.path,
                 .first = r->session->buffer,
                 .first_size = first});
}

/* It is open here for someone: no need of its path, which may be gone. `again`: as it was for this
   client. */
static int hold_known(struct request *r, struct volume_file *file, uint32_t flags, bool again,
                      const struct description_id *id, struct file_attr *attr)
{
    bool writes = !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY;
    int rc = again || flags & O_PATH ? 0 : file->ops->permits(file, flags);
    if (rc == 0)
        rc = file->ops->stat(file, attr);
    attr->writable = client_may_write(r->session->client, file, &who(r)->rights);
    if (rc == 0 && writes && !attr->writable)
        rc = -EROFS;
    if (rc == 0 && !(flags & O_PATH))
        rc = file->ops->want(file, flags); /* it may have been opened by O_PATH alone */
    if (rc < 0) {
        request_done(r, file);
        return rc;
    }
    return hold(r, file, id, hold_flags(attr, flags));
}

/* An flock that the description had before the monitor was restarted. */
static int lock_again(struct request *r, const struct held *held, uint8_t kind)
{
    const struct holding *with = &r->storage->holding;
    struct description *d = client_description(r->session->client, held);
    if (!d)
        return ASH_MALFORMED;
    struct lock_request wish = {.owner = {d, LOCK_NO_PID}, .kind = kind};
    atomic_store_explicit(&d->locks, true, memory_order_relaxed);
    int rc = locks_set(with->locks, &held->file, &wish);
    description_done(with, d);
    return rc;
}

int serve_file_reopen(struct request *r)
{
    struct volume_opened opened;
    int rc;
    TAKE(r, file_reopen);
    struct held held = {m.file, m.description};
    struct volume_file *file = handles_get(r->storage->holding.handles, &m.file);
    rc = m.again ? identity_rights(IDENTITY_MONITOR) : 0;
    if (file && rc < 0) {
        request_done(r, file);
    } else if (file) {
        rc = hold_known(r, file, m.flags, m.again, &m.description, &opened.attr);
    } else if (rc == 0) {
        rc = ops(r)->reopen(r->storage->volume, who(r), m.path, m.flags, &m.file, &opened);
        if (rc == 0)
            rc = hold_opened(r, &opened, m.flags & ~(uint32_t)O_TRUNC, &m.description);
    }
    if (rc == 0 && (m.flock == LOCK_KIND_FLOCK_SHARED || m.flock == LOCK_KIND_FLOCK_EXCLUSIVE)) {
        rc = lock_again(r, &held, m.flock);
        if (rc < 0)
            client_release(r->session->client, &held);
    }
    if (rc < 0)
        return rc;
    return GIVE(r, file_reopen, {.attr = opened.attr});
}

/* ---- descriptions that are handed on ---- */

/* The hold of a mapping is had once: a node that has connected again asks for it again. */
static int hold_mapped(struct request *r, const struct held *held, struct component mapper)
{
    struct client *client = r->session->client;
    int rc = client_map(client, held, mapper);
    if (rc == -EBUSY && sweep(r->storage))
        rc = client_map(client, held, mapper);
    if (rc != 0)
        client_release(client, held);
    return rc < 0 ? rc : 0;
}

/* All or none: where one is not known, those before it are let go again. */
int serve_file_hold(struct request *r)
{
    TAKE(r, file_hold);
    for (uint32_t i = 0; i < m.files_count; i++)
        if (m.mapper.n && !description_id_is_zero(&m.files[i].description))
            return ASH_MALFORMED;
    for (uint32_t i = 0; i < m.files_count; i++) {
        const struct held *held = &m.files[i];
        struct volume_file *file = handles_get(r->storage->holding.handles, &held->file);
        int rc =
            file ? client_hold(r->session->client, file, &held->description, 0) : ASH_STALE_FILE;
        if (rc == 0 && m.mapper.n)
            rc = hold_mapped(r, held, m.mapper);
        if (rc < 0) {
            while (i-- > 0)
                client_release(r->session->client, &m.files[i]);
            return rc;
        }
        if (!description_id_is_zero(&held->description))
            transit_received(r->storage->transit, &held->description);
    }
    return 0;
}

int serve_file_release(struct request *r)
{
    TAKE(r, file_release);
    for (uint32_t i = 0; i < m.files_count; i++)
        client_release(r->session->client, &m.files[i]);
    return 0;
}

/* What cannot be held any more is opened again when it is used: no error here. */
int serve_file_keep(struct request *r)
{
    int rc = 0;
    TAKE(r, file_keep);
    for (uint32_t i = 0; i < m.files_count; i++)
        (void)!client_keep(r->session->client, &m.files[i]);
    if (!id_is_zero(&m.program.file))
        rc = client_keep(r->session->client, &m.program);
    if (rc == 0 && !id_is_zero(&m.program.file))
        rc = client_execute(r->session->client, &m.program);
    if (m.last)
        client_keep_only(r->session->client);
    return rc;
}

int serve_file_send(struct request *r)
{
    struct hold *sent;
    TAKE(r, file_send);
    struct description *d = client_description(r->session->client, &m.file);
    if (!d)
        return ASH_STALE_FILE;
    struct volume_file *file = handles_get(r->storage->holding.handles, &d->file);
    int rc = file ? hold_new(&r->storage->holding, file, &d->id, 0, &sent) : ASH_STALE_FILE;
    description_done(&r->storage->holding, d);
    return rc < 0 ? rc : transit_put(r->storage->transit, sent);
}

int serve_file_end(struct request *r)
{
    TAKE(r, file_end);
    client_release_all(r->session->client);
    return 0;
}

/* ---- locks ---- */

static int take_lock(struct request *r, const struct msg_file_lock *m, struct lock_request *wish)
{
    const struct holding *with = &r->storage->holding;
    struct client *client = r->session->client;
    struct description *d = NULL;

    if (description_id_is_zero(&m->description)) {
        /* It may be given back when the file is no longer held; a new one needs the file. */
        if (m->kind != LOCK_KIND_NONE && !client_holds(client, &m->file))
            return ASH_STALE_FILE;
        atomic_store_explicit(&client->has_locks, true, memory_order_relaxed);
        wish->owner = (struct lock_owner){client, m->pid};
    } else {
        d = client_description(client, &(struct held){m->file, m->description});
        if (!d)
            return ASH_STALE_FILE;
        atomic_store_explicit(&d->locks, true, memory_order_relaxed);
        wish->owner = (struct lock_owner){d, LOCK_NO_PID};
    }
    int rc = locks_set(with->locks, &m->file, wish);
    if (rc == -EAGAIN && sweep(r->storage))
        rc = locks_set(with->locks, &m->file, wish);
    if (d)
        description_done(with, d);
    return rc;
}

/* Who asks is an owner here too: his own locks are not in his way. */
static int probe_lock(struct request *r, const struct msg_file_lock *m, struct lock_request *wish,
                      struct msg_file_lock_reply *reply)
{
    const struct holding *with = &r->storage->holding;
    struct description *d = NULL;

    wish->owner = (struct lock_owner){r->session->client, m->pid};
    if (!description_id_is_zero(&m->description)) {
        d = client_description(r->session->client, &(struct held){m->file, m->description});
        if (!d)
            return ASH_STALE_FILE;
        wish->owner = (struct lock_owner){d, LOCK_NO_PID};
    }
    sweep(r->storage);
    int rc = locks_probe(with->locks, &m->file, wish, reply);
    if (d)
        description_done(with, d);
    return rc;
}

int serve_file_lock(struct request *r)
{
    struct msg_file_lock_reply reply = {.kind = LOCK_KIND_NONE};
    TAKE(r, file_lock);
    struct lock_request wish = {
        .kind = m.kind, .wait = m.wait, .start = m.start, .length = m.length};
    bool flock = m.kind == LOCK_KIND_FLOCK_SHARED || m.kind == LOCK_KIND_FLOCK_EXCLUSIVE ||
                 m.kind == LOCK_KIND_FLOCK_NONE;
    if (m.wait > LOCK_WAIT_END || (flock && description_id_is_zero(&m.description)) ||
        (m.pid == LOCK_NO_PID && description_id_is_zero(&m.description)))
        return ASH_MALFORMED;
    int rc = m.probe ? probe_lock(r, &m, &wish, &reply) : take_lock(r, &m, &wish);
    if (rc < 0)
        return rc;
    return GIVE(r, file_lock, reply);
}
