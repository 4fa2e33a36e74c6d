/*
 * Requests about what a connection watches (messages WATCH_*). What it watches ends with it; its
 * events wait with the volume until they are asked for.
 */
#include <fcntl.h>
#include <limits.h>

#include "request.h"

/* The file to be watched, with a reference: as it is open here, or as its path finds it again. */
static int watched_file(struct request *r, const struct msg_watch_add *m, struct volume_file **file)
{
    struct handles *handles = r->storage->holding.handles;
    struct volume_opened opened;
    *file = handles_get(handles, &m->file);
    if (*file)
        return 0;
    int rc =
        ops(r)->reopen(r->storage->volume, who(r), m->path, O_PATH | O_NOFOLLOW, &m->file, &opened);
    if (rc == 0)
        *file = handles_add(handles, opened.file);
    return rc;
}

int serve_watch_add(struct request *r)
{
    struct volume_watcher **watcher = &r->session->watcher;
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
    request_done(r, file);
    if (rc < 0)
        return rc;
    return GIVE(r, watch_add, {.wd = (uint32_t)rc});
}

int serve_watch_remove(struct request *r)
{
    struct volume_watcher *watcher = r->session->watcher;
    TAKE(r, watch_remove);
    return watcher && m.wd <= INT_MAX ? watcher->ops->remove(watcher, (int)m.wd) : -EINVAL;
}

int serve_watch_read(struct request *r)
{
    struct volume_watcher *watcher = r->session->watcher;
    TAKE(r, watch_read);
    (void)m;
    int64_t n = watcher ? watcher->ops->read(watcher, r->session->buffer, WATCH_READ_MAX) : 0;
    if (n < 0)
        return (int)n;
    if (watcher)
        net_conn_listen(r->conn, watcher->fd);
    give_bulk(r, n);
    return GIVE(r, watch_read, {.events = r->session->buffer, .events_size = (uint32_t)n});
}

/* Nothing more is said until WATCH_READ was asked: who does not read is told once. */
int serve_watch_ready(void *self, struct net_conn *conn)
{
    (void)self;
    return net_post(conn, OP_WATCH_READY, NULL, 0);
}

void serve_watch_end(struct storage *storage, struct session *session)
{
    if (!session->watcher)
        return;
    atomic_fetch_sub_explicit(&storage->watching, 1, memory_order_relaxed);
    session->watcher->ops->close(session->watcher);
}
