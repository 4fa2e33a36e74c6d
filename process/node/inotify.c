/* See inotify.h. */
#include "inotify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "limits.h"
#include "watcher.h"

enum { STACK_BYTES = 256 * 1024 };

struct inotify {
    int stop_fd; /* never changes */
    pthread_mutex_t lock;
    pthread_cond_t emptied;
    struct watcher *list; /* lock */
    unsigned count;       /* lock: watchers that are not freed yet */
};

/* ---- the list ---- */

static void put(struct watcher *w)
{
    struct inotify *all = w->node->inotify;
    pthread_mutex_lock(&all->lock);
    bool last = --w->refs == 0;
    pthread_mutex_unlock(&all->lock);
    if (!last)
        return;
    watcher_empty(w);
    pthread_mutex_destroy(&w->lock);
    free(w);
    pthread_mutex_lock(&all->lock);
    if (--all->count == 0)
        pthread_cond_signal(&all->emptied);
    pthread_mutex_unlock(&all->lock);
}

static void take_out(struct watcher *w)
{
    struct inotify *all = w->node->inotify;
    pthread_mutex_lock(&all->lock);
    struct watcher **at = &all->list;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    pthread_mutex_unlock(&all->lock);
}

/*
 * The watcher of a descriptor, with one more reference; NULL: it is none. Who has it may use it,
 * whichever process it was made for.
 */
static struct watcher *find(struct node *node, int fd)
{
    struct inotify *all = node->inotify;
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    pthread_mutex_lock(&all->lock);
    struct watcher *w = all->list;
    while (w && (w->inode != st.st_ino || w->device != st.st_dev))
        w = w->next;
    if (w)
        w->refs++;
    pthread_mutex_unlock(&all->lock);
    return w;
}

struct usage {
    unsigned descriptors, watches;
};

static struct usage usage_locked(const struct inotify *all, uint64_t run_id)
{
    struct usage usage = {0};
    for (struct watcher *w = all->list; w; w = w->next) {
        if (w->run_id != run_id)
            continue;
        usage.descriptors++;
        usage.watches += __atomic_load_n(&w->watch_count, __ATOMIC_RELAXED);
    }
    return usage;
}

static bool may_watch(struct inotify *all, uint64_t run_id)
{
    pthread_mutex_lock(&all->lock);
    bool may = usage_locked(all, run_id).watches < RUN_WATCHES_MAX;
    pthread_mutex_unlock(&all->lock);
    return may;
}

/* ---- a watcher's thread ---- */

/* What woke it: whether the watcher is to end. */
static bool is_over(const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++)
        if (events[i].data.u32 == WATCHER_STOP || events[i].data.u32 == WATCHER_PROGRAM)
            return true;
    return false;
}

static void *serve(void *argument)
{
    struct watcher *w = argument;
    bool whole = true; /* all that is to be watched is */
    for (;;) {
        struct epoll_event events[4];
        int count = epoll_wait(w->epoll_fd, events, 4, whole ? -1 : INOTIFY_RETRY_MS);
        if (is_over(events, count))
            break;
        pthread_mutex_lock(&w->lock);
        watcher_fetch(w);
        whole = watcher_restore(w);
        watcher_settle(w);
        pthread_mutex_unlock(&w->lock);
    }
    take_out(w);
    put(w);
    return NULL;
}

static int start_thread(struct watcher *w)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int rc = -pthread_create(&thread, &attributes, serve, w);
    pthread_attr_destroy(&attributes);
    return rc;
}

/* ---- making one ---- */

/* The pipe: fills what the watcher has of it, and returns the program's end. */
static int make_pipe(struct watcher *w, bool nonblock)
{
    char path[32];
    struct stat st;
    int pair[2];
    if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    snprintf(path, sizeof path, "/proc/self/fd/%d", pair[0]);
    int fd = open(path, O_RDONLY | O_SYNC | O_CLOEXEC | (nonblock ? O_NONBLOCK : 0));
    if (fd < 0 || fstat(fd, &st) < 0) {
        int rc = -errno;
        close(pair[1]);
        if (fd >= 0)
            close(fd);
        fd = rc;
    } else {
        w->pipe_fd = pair[1];
        w->device = st.st_dev;
        w->inode = st.st_ino;
    }
    close(pair[0]);
    return fd;
}

static int watch_ends(struct watcher *w)
{
    /* A pipe without readers is an error that is told whether asked for or not. */
    struct epoll_event program = {.data.u32 = WATCHER_PROGRAM};
    struct epoll_event stop = {.events = EPOLLIN, .data.u32 = WATCHER_STOP};
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->pipe_fd, &program) < 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->node->inotify->stop_fd, &stop) < 0)
        return -errno;
    return 0;
}

static struct watcher *watcher_new(struct node *node, const struct run *run)
{
    struct watcher *w = calloc(1, sizeof *w);
    char *writable = strdup(run->writable);
    if (!w || !writable) {
        free(w);
        free(writable);
        return NULL;
    }
    *w = (struct watcher){.refs = 1,
                          .node = node,
                          .run_id = run->id,
                          .storage = run->storage,
                          .writable = writable,
                          .pipe_fd = -1,
                          .epoll_fd = -1,
                          .local_fd = -1};
    pthread_mutex_init(&w->lock, NULL);
    return w;
}

/* Puts it on the list and has it served: its thread is its first user. */
static int begin(struct watcher *w)
{
    struct inotify *all = w->node->inotify;
    pthread_mutex_lock(&all->lock);
    int rc = usage_locked(all, w->run_id).descriptors < RUN_INOTIFY_MAX ? 0 : -EMFILE;
    if (rc == 0)
        rc = start_thread(w);
    if (rc == 0) {
        w->next = all->list;
        all->list = w;
        all->count++;
    }
    pthread_mutex_unlock(&all->lock);
    return rc;
}

/* Returns the program's descriptor, or a negative error. */
static int make(struct node *node, const struct run *run, bool nonblock)
{
    struct watcher *w = watcher_new(node, run);
    if (!w)
        return -ENOMEM;
    int fd = make_pipe(w, nonblock);
    int rc = fd < 0 ? fd : watch_ends(w);
    if (rc == 0)
        rc = begin(w);
    if (rc == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    watcher_empty(w);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return rc;
}

/* ---- requests ---- */

static int open_one(struct node *node, struct process *p, struct net_conn *conn,
                    const struct net_frame *frame)
{
    struct msg_inotify_open m;
    struct msg_inotify_open_reply reply = {.number = p->serial};
    uint8_t body[16];
    if (msg_inotify_open_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int fd = make(node, p->run, m.nonblock);
    if (fd < 0)
        return net_refuse(conn, frame, fd);
    int size = msg_inotify_open_reply_encode(&reply, body, sizeof body);
    int rc = net_reply_fds(conn, frame, body, (size_t)size, &fd, 1);
    close(fd);
    return rc;
}

static int add(struct watcher *w, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_inotify_add m;
    if (msg_inotify_add_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    bool local = !m.file.device && !m.file.inode && !m.file.generation;
    struct watcher_wish wish = {.mask = m.mask,
                                .local_fd = local ? net_conn_take_fd(conn) : -1,
                                .file = m.file,
                                .path = local ? "" : m.path};
    int rc = local && wish.local_fd < 0                ? ASH_MALFORMED
             : strlen(wish.path) >= PATH_LIMIT         ? ASH_MALFORMED
             : !may_watch(w->node->inotify, w->run_id) ? -ENOSPC
                                                       : 0;
    if (rc == 0) {
        pthread_mutex_lock(&w->lock);
        rc = watcher_add(w, &wish);
        watcher_settle(w);
        pthread_mutex_unlock(&w->lock);
    }
    if (wish.local_fd >= 0)
        close(wish.local_fd);
    if (rc < 0)
        return net_refuse(conn, frame, rc);
    struct msg_inotify_add_reply reply = {.wd = (uint32_t)rc};
    return NET_REPLY(conn, frame, inotify_add, &reply);
}

static int remove_one(struct watcher *w, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_inotify_remove m;
    struct msg_inotify_remove_reply reply = {};
    if (msg_inotify_remove_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    pthread_mutex_lock(&w->lock);
    int rc = watcher_remove(w, (int)m.wd);
    watcher_settle(w);
    pthread_mutex_unlock(&w->lock);
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, inotify_remove, &reply);
}

static int read_some(struct watcher *w, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_inotify_read m;
    uint8_t body[16], events[WATCH_READ_MAX];
    if (msg_inotify_read_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    uint32_t room = m.size < sizeof events ? m.size : (uint32_t)sizeof events;
    pthread_mutex_lock(&w->lock);
    watcher_fetch(w);
    uint32_t n = event_queue_take(&w->events, events, room);
    struct msg_inotify_read_reply reply = {
        .left = w->events.bytes, .events = events, .events_size = n};
    watcher_settle(w);
    pthread_mutex_unlock(&w->lock);
    struct iovec bulk = {.iov_base = events, .iov_len = n};
    int size = msg_inotify_read_reply_encode(&reply, body, sizeof body);
    return net_reply(conn, frame, 0, body, (size_t)size, &bulk, n > 0);
}

int inotify_request(struct node *node, struct process *p, struct net_conn *conn,
                    const struct net_frame *frame)
{
    if (frame->header.op == OP_INOTIFY_OPEN)
        return open_one(node, p, conn, frame);
    int fd = net_conn_take_fd(conn);
    struct watcher *w = find(node, fd);
    if (fd >= 0)
        close(fd);
    if (!w)
        return net_refuse(conn, frame, -EINVAL);
    int rc = frame->header.op == OP_INOTIFY_ADD      ? add(w, conn, frame)
             : frame->header.op == OP_INOTIFY_REMOVE ? remove_one(w, conn, frame)
                                                     : read_some(w, conn, frame);
    put(w);
    return rc;
}

/* ---- life ---- */

int inotify_start(struct node *node)
{
    struct inotify *all = calloc(1, sizeof *all);
    if (!all)
        return -ENOMEM;
    all->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (all->stop_fd < 0) {
        int rc = -errno;
        free(all);
        return rc;
    }
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->emptied, NULL);
    node->inotify = all;
    return 0;
}

void inotify_stop(struct node *node)
{
    struct inotify *all = node->inotify;
    (void)eventfd_write(all->stop_fd, 1);
    pthread_mutex_lock(&all->lock);
    while (all->count)
        pthread_cond_wait(&all->emptied, &all->lock);
    pthread_mutex_unlock(&all->lock);
    pthread_cond_destroy(&all->emptied);
    pthread_mutex_destroy(&all->lock);
    close(all->stop_fd);
    free(all);
}
