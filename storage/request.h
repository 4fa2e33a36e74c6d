/*
 * What the handlers of requests share (serve.c, serve_holds.c): the request under way, and how it
 * is decoded and answered.
 */
#ifndef ASHLAR_STORAGE_REQUEST_H
#define ASHLAR_STORAGE_REQUEST_H

#include <errno.h>
#include <sys/uio.h>

#include "identity.h"
#include "serve.h"

/* A connection, served by its own thread. */
struct session {
    struct client *client; /* whose connection it is */
    struct caller caller;
    uint8_t *buffer;                /* LOG_IO_MAX bytes for what a reply carries */
    struct volume_watcher *watcher; /* what it watches; NULL: nothing ever */
    struct identity identity;       /* whose rights it has: its thread's, where that was told */
};

struct request {
    struct storage *storage;
    struct session *session;
    struct net_conn *conn;
    const uint8_t *payload;
    size_t length;
    uint8_t body[2 * PATH_LIMIT]; /* the reply, but for its bulk */
    size_t size;
    struct iovec bulk;
    struct volume_path paths[2];
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

static inline int encoded(struct request *r, int size)
{
    if (size < 0)
        return -ENAMETOOLONG; /* a path is all that can be too long */
    r->size = (size_t)size;
    return 0;
}

static inline const struct volume_ops *ops(const struct request *r)
{
    return r->storage->volume->ops;
}

static inline struct caller *who(const struct request *r)
{
    return &r->session->caller;
}

static inline bool id_is_zero(const struct file_id *id)
{
    return id->device == 0 && id->inode == 0 && id->generation == 0;
}

/* The file of an operation, with a reference; for a change, one that the connection may change. */
int request_begin(struct request *r, const struct file_id *id, bool change,
                  struct volume_file **file) CHECKED;
void request_done(struct request *r, struct volume_file *file);
/*
 * A path of a request into r->paths[which]: its base, where that is open here, and what it is
 * called now. The base is given back when the request has been served.
 */
int request_place(struct request *r, const struct path_base *base, const char *text,
                  int which) CHECKED;

/*
 * Does `call` (an expression of `file`, worth an integer) on the file `id`. Worth its result, or
 * the error that kept it from being done.
 */
#define WITH_FILE(r, id, change, call)                                                             \
    ({                                                                                             \
        struct volume_file *file;                                                                  \
        int64_t rc_ = request_begin((r), (id), (change), &file);                                   \
        if (rc_ == 0) {                                                                            \
            rc_ = file->ops->call;                                                                 \
            request_done((r), file);                                                               \
        }                                                                                          \
        rc_;                                                                                       \
    })

static inline int give_bulk(struct request *r, int64_t size)
{
    r->bulk = (struct iovec){.iov_base = r->session->buffer, .iov_len = (size_t)size};
    return 0;
}

/* Whether anybody watches: then closing is told at once, and nothing is read ahead. */
static inline bool request_is_watched(const struct request *r)
{
    return atomic_load_explicit(&r->storage->watching, memory_order_relaxed) != 0;
}

/* ---- serve_watch.c ---- */

int serve_watch_add(struct request *r) CHECKED;
int serve_watch_remove(struct request *r) CHECKED;
int serve_watch_read(struct request *r) CHECKED;
/* As net_server_ops.ready. */
int serve_watch_ready(void *self, struct net_conn *conn);
/* The session ends. */
void serve_watch_end(struct storage *storage, struct session *session);

/* ---- serve_logs.c ---- */

int serve_log_write(struct request *r) CHECKED;
int serve_log_read(struct request *r) CHECKED;
int serve_log_discard(struct request *r) CHECKED;

/* ---- serve_holds.c ---- */

int serve_file_open(struct request *r) CHECKED;
int serve_file_hold(struct request *r) CHECKED;
int serve_file_release(struct request *r) CHECKED;
int serve_file_reopen(struct request *r) CHECKED;
int serve_file_keep(struct request *r) CHECKED;
int serve_file_send(struct request *r) CHECKED;
int serve_file_end(struct request *r) CHECKED;
int serve_file_lock(struct request *r) CHECKED;

#endif
