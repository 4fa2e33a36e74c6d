/*
 * The sComponent as backing: a pool of connections to read over, and one on which files are held.
 *
 * Holds are counted there, and live as long as the connection that asked for them; so REOPEN (which
 * holds, too) and RELEASE all go over the same one, the holder, which one thread has at a time.
 * When the sComponent was restarted, it answers a read with ASH_STALE_FILE: the file is opened
 * again by the path that it was mapped under.
 *
 * The sComponent's address comes from the global managers, and is asked for again when it does not
 * answer there. Whatever is lost is tried again until the call's deadline.
 */
#include "backing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "deadline.h"
#include "file.h"
#include "monitor.h"

enum {
    IDLE_MAX = 8, /* connections kept */
    RETRY_PAUSE_MS = 20,
};

struct storage {
    const struct monitor *monitor; /* its key and address never change */

    pthread_mutex_t lock;
    pthread_cond_t holder_free;
    /* Protected by lock: */
    struct net_conn *idle[IDLE_MAX];
    unsigned idle_count;
    char address[ADDRESS_LIMIT]; /* "": to be asked for */
    bool holder_busy;            /* a thread has the holder */

    /* Of the thread that made the holder busy, as every file's held_by: */
    struct net_conn *holder; /* NULL: to be connected */
    uint64_t holder_serial;  /* counts the connections that were the holder */
};

/* ---- connecting ---- */

static unsigned left_ms(uint64_t deadline_ms)
{
    uint64_t now = clock_ms();
    return deadline_ms > now ? (unsigned)(deadline_ms - now) : 0;
}

static const struct msg_bind as_component = {.scope = SCOPE_COMPONENT, .writable = ""};

static int ask_address(const struct monitor *monitor, uint64_t deadline_ms,
                       char address[ADDRESS_LIMIT])
{
    struct net_conn *conn;
    struct msg_components request = {};
    struct msg_components_reply reply;
    int rc = net_connect(monitor->global_address, &monitor->key, &as_component,
                         left_ms(deadline_ms), &conn, NULL);
    if (rc < 0)
        return rc;
    rc = NET_CALL(conn, COMPONENTS, components, &request, &reply, left_ms(deadline_ms));
    if (rc == 0) {
        rc = ASH_NO_COMPONENT;
        for (uint32_t i = 0; i < reply.components_count && rc < 0; i++) {
            const struct component_info *info = &reply.components[i];
            if (info->kind != COMPONENT_STORAGE || info->state != COMPONENT_UP)
                continue;
            memcpy(address, info->address, ADDRESS_LIMIT);
            rc = 0;
        }
    }
    net_close(conn);
    return rc;
}

static int connect_storage(struct storage *st, uint64_t deadline_ms, struct net_conn **conn)
{
    char address[ADDRESS_LIMIT];
    pthread_mutex_lock(&st->lock);
    memcpy(address, st->address, sizeof address);
    pthread_mutex_unlock(&st->lock);
    if (!address[0]) {
        int rc = ask_address(st->monitor, deadline_ms, address);
        if (rc < 0)
            return rc;
    }
    int rc =
        net_connect(address, &st->monitor->key, &as_component, left_ms(deadline_ms), conn, NULL);
    pthread_mutex_lock(&st->lock);
    if (rc < 0)
        st->address[0] = 0;
    else
        memcpy(st->address, address, sizeof address);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

/* ---- the pool ---- */

static int take(struct storage *st, uint64_t deadline_ms, struct net_conn **conn)
{
    *conn = NULL;
    pthread_mutex_lock(&st->lock);
    if (st->idle_count)
        *conn = st->idle[--st->idle_count];
    pthread_mutex_unlock(&st->lock);
    return *conn ? 0 : connect_storage(st, deadline_ms, conn);
}

static void give(struct storage *st, struct net_conn *conn)
{
    pthread_mutex_lock(&st->lock);
    if (st->idle_count < IDLE_MAX) {
        st->idle[st->idle_count++] = conn;
        conn = NULL;
    }
    pthread_mutex_unlock(&st->lock);
    net_close(conn);
}

/* One connection is lost, so the idle ones are no better. */
static void drop_idle(struct storage *st)
{
    struct net_conn *lost[IDLE_MAX];
    pthread_mutex_lock(&st->lock);
    unsigned count = st->idle_count;
    memcpy(lost, st->idle, sizeof lost);
    st->idle_count = 0;
    pthread_mutex_unlock(&st->lock);
    while (count)
        net_close(lost[--count]);
}

/* Whether the connection is useless after this error of net_request(). */
static bool is_lost(int rc)
{
    switch (rc) {
    case ASH_LOST:
    case ASH_TIMEOUT:
    case ASH_MALFORMED:
    case ASH_CORRUPT:
    case ASH_VERSION:
    case ASH_TOO_BIG:
        return true;
    }
    return false;
}

/* Waits a little; false where the deadline is over. */
static bool try_again(uint64_t deadline_ms)
{
    if (left_ms(deadline_ms) <= RETRY_PAUSE_MS)
        return false;
    nanosleep(&(struct timespec){.tv_nsec = RETRY_PAUSE_MS * 1000000l}, NULL);
    return true;
}

/* ---- holding ---- */

static int take_holder(struct storage *st, uint64_t deadline_ms)
{
    struct timespec deadline = deadline_timespec(deadline_ms);
    int rc = 0;
    pthread_mutex_lock(&st->lock);
    while (st->holder_busy && rc == 0)
        rc = -pthread_cond_timedwait(&st->holder_free, &st->lock, &deadline);
    if (!st->holder_busy) {
        st->holder_busy = true;
        rc = 0;
    }
    pthread_mutex_unlock(&st->lock);
    return rc;
}

static void give_holder(struct storage *st)
{
    pthread_mutex_lock(&st->lock);
    st->holder_busy = false;
    pthread_cond_signal(&st->holder_free);
    pthread_mutex_unlock(&st->lock);
}

static int send_release(struct net_conn *conn, const struct file *file, uint64_t deadline_ms)
{
    struct held held = {.file = file->id};
    struct msg_file_release request = {.files = &held, .files_count = 1};
    struct msg_file_release_reply reply;
    return NET_CALL(conn, FILE_RELEASE, file_release, &request, &reply, left_ms(deadline_ms));
}

/* Opens the file where it is not open there, and holds it once for this holder's life. */
static int send_reopen(struct storage *st, struct file *file, uint64_t deadline_ms)
{
    struct msg_file_reopen request = {
        .file = file->id, .again = 1, .flags = O_RDONLY, .path = file->path};
    struct msg_file_reopen_reply reply;
    int rc = NET_CALL(st->holder, FILE_REOPEN, file_reopen, &request, &reply, left_ms(deadline_ms));
    if (rc == 0 && file->held_by == st->holder_serial)
        rc = send_release(st->holder, file, deadline_ms); /* held already: holds are counted */
    if (rc == 0)
        file->held_by = st->holder_serial;
    return rc;
}

static int storage_hold(void *self, struct file *file, uint64_t deadline_ms)
{
    struct storage *st = self;
    int rc = take_holder(st, deadline_ms);
    if (rc < 0)
        return rc;
    do {
        if (!st->holder) {
            rc = connect_storage(st, deadline_ms, &st->holder);
            if (rc < 0)
                continue;
            st->holder_serial++;
        }
        rc = send_reopen(st, file, deadline_ms);
        if (!is_lost(rc))
            break;
        net_close(st->holder);
        st->holder = NULL;
    } while (try_again(deadline_ms));
    give_holder(st);
    return rc;
}

static void storage_release(void *self, struct file *file, uint64_t deadline_ms)
{
    struct storage *st = self;
    if (take_holder(st, deadline_ms) < 0)
        return; /* it stays held until the holder is lost */
    if (st->holder && file->held_by == st->holder_serial &&
        is_lost(send_release(st->holder, file, deadline_ms))) {
        net_close(st->holder);
        st->holder = NULL;
    }
    file->held_by = 0;
    give_holder(st);
}

/* ---- reading ---- */

static int read_once(struct net_conn *conn, const struct file *file, uint64_t offset,
                     uint32_t length, const struct iovec *to, uint64_t deadline_ms)
{
    struct msg_file_read request = {.file = file->id, .offset = offset, .length = length};
    struct msg_file_read_reply reply;
    int rc = NET_CALL(conn, FILE_READ, file_read, &request, &reply, left_ms(deadline_ms));
    if (rc < 0)
        return rc;
    if (reply.data_size > length)
        return ASH_MALFORMED;
    for (uint32_t done = 0; done < reply.data_size; to++) {
        size_t part = reply.data_size - done;
        if (part > to->iov_len)
            part = to->iov_len;
        memcpy(to->iov_base, reply.data + done, part);
        done += part;
    }
    return (int)reply.data_size;
}

static int storage_read(void *self, struct file *file, uint64_t offset, uint32_t length,
                        const struct iovec *to, int count, uint64_t deadline_ms)
{
    struct storage *st = self;
    bool reopened = false;
    int rc;
    do {
        struct net_conn *conn;
        rc = take(st, deadline_ms, &conn);
        if (rc < 0)
            continue;
        rc = read_once(conn, file, offset, length, to, deadline_ms);
        if (is_lost(rc)) {
            net_close(conn);
            drop_idle(st);
            continue;
        }
        give(st, conn);
        if (rc != ASH_STALE_FILE || reopened)
            break;
        reopened = true;
        rc = storage_hold(st, file, deadline_ms);
        if (rc < 0)
            break;
    } while (try_again(deadline_ms));
    return rc;
}

/* ---- life ---- */

static const struct backing_ops storage_ops = {
    .read = storage_read,
    .hold = storage_hold,
    .release = storage_release,
};

int backing_open_storage(struct backing *backing, const struct monitor *monitor)
{
    struct storage *st = calloc(1, sizeof *st);
    if (!st)
        return -ENOMEM;
    st->monitor = monitor;
    pthread_mutex_init(&st->lock, NULL);
    deadline_cond_init(&st->holder_free);
    *backing = (struct backing){&storage_ops, st};
    return 0;
}

void backing_close_storage(struct backing *backing)
{
    struct storage *st = backing->self;
    drop_idle(st);
    net_close(st->holder);
    pthread_cond_destroy(&st->holder_free);
    pthread_mutex_destroy(&st->lock);
    free(st);
}
