/* See watcher.h. */
#include "watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "limits.h"
#include "spares.h"

/* What of a mask is about the asking alone. */
#define MASK_ASKED (IN_MASK_ADD | IN_MASK_CREATE | IN_ONLYDIR | IN_DONT_FOLLOW)

enum {
    PIPE_FILL = 60 * 1024, /* bytes: less than any pipe that was not made smaller takes */
    /* Of WATCH_READ_MAX bytes: what a host queues at most, with the longest names. */
    TURNS_MAX = 80,
};

/* One inode, watched. Its number at its source is another one after a reconnection. */
struct watch {
    struct watch *next, **link; /* in watcher.watches */
    int wd;                     /* the program's; never changes, as local */
    bool local;
    int source_wd; /* -1: watched nowhere just now, and not in watcher.by_source */
    uint32_t mask;
    struct file_id file; /* of the sComponent, as path; never changes */
    char path[];
};

static int compare(const void *a, const void *b)
{
    const struct watch *x = a, *y = b;
    if (x->local != y->local)
        return x->local ? 1 : -1;
    return x->source_wd < y->source_wd ? -1 : x->source_wd > y->source_wd;
}

static struct watch *find(struct watcher *w, bool local, int source_wd)
{
    struct watch key = {.local = local, .source_wd = source_wd};
    struct watch **found = tfind(&key, &w->by_source, compare);
    return found ? *found : NULL;
}

static void count_watches(struct watcher *w, const struct watch *watch, unsigned by)
{
    __atomic_fetch_add(&w->watch_count, by, __ATOMIC_RELAXED);
    if (!watch->local)
        w->remote_count += by;
}

static void unindex(struct watcher *w, struct watch *watch)
{
    if (watch->source_wd >= 0)
        tdelete(watch, &w->by_source, compare);
    watch->source_wd = -1;
}

static int index_watch(struct watcher *w, struct watch *watch, int source_wd)
{
    watch->source_wd = source_wd;
    if (tsearch(watch, &w->by_source, compare))
        return 0;
    watch->source_wd = -1;
    return -ENOMEM;
}

/* The watch has ended, and what it was told last was queued. */
static void drop(struct watcher *w, struct watch *watch)
{
    unindex(w, watch);
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    count_watches(w, watch, -1u);
    free(watch);
}

static void put_plain(struct watcher *w, int wd, uint32_t mask)
{
    struct inotify_event event = {.wd = wd, .mask = mask};
    event_queue_put(&w->events, &event, "");
}

/* ---- events ---- */

/* Takes events as a host's inotify gives them. False: they are no such events. */
static bool take(struct watcher *w, bool local, const void *bytes, size_t size)
{
    const char *at = bytes, *end = at + size;
    while (at < end) {
        struct inotify_event event;
        if ((size_t)(end - at) < sizeof event)
            return false;
        memcpy(&event, at, sizeof event);
        at += sizeof event;
        if (event.len > EVENT_NAME_MAX || event.len > (size_t)(end - at))
            return false;
        if (event.mask & IN_Q_OVERFLOW) {
            put_plain(w, -1, IN_Q_OVERFLOW);
        } else {
            struct watch *watch = find(w, local, event.wd);
            if (watch) {
                event.wd = watch->wd;
                event_queue_put(&w->events, &event, at);
                if (event.mask & IN_IGNORED)
                    drop(w, watch);
            }
        }
        at += event.len;
    }
    return true;
}

/*
 * Of events that are being taken: whether there may be more that were there before. Who makes some
 * all the time keeps nobody here: a queue of the host is read in TURNS_MAX turns.
 */
static bool goes_on(size_t got, size_t room, unsigned *turns)
{
    return got + sizeof(struct inotify_event) + EVENT_NAME_MAX > room && ++*turns < TURNS_MAX;
}

static void fetch_local(struct watcher *w)
{
    _Alignas(struct inotify_event) char bytes[WATCH_READ_MAX];
    unsigned turns = 0;
    ssize_t n;
    if (w->local_fd < 0)
        return;
    do {
        n = read(w->local_fd, bytes, sizeof bytes);
        if (n > 0)
            (void)!take(w, true, bytes, (size_t)n);
    } while (n > 0 && goes_on((size_t)n, sizeof bytes, &turns));
}

/* The connection is of no more use: its thread sees it end, and closes it. */
static void lose(struct watcher *w)
{
    w->lost = true;
    shutdown(net_conn_fd(w->conn), SHUT_RDWR);
}

static bool reaches(const struct watcher *w)
{
    return w->conn && !w->lost;
}

/* After a request: one that did not come to its end leaves a connection of no use. */
static int noted(struct watcher *w, int rc)
{
    if (rc == ASH_LOST || rc == ASH_TIMEOUT || rc == ASH_MALFORMED || rc == ASH_CORRUPT)
        lose(w);
    return rc;
}

/* Takes what was said unasked, which is that there are events. Whether anything was. */
static bool hear(struct watcher *w)
{
    struct net_frame frame;
    bool heard = false;
    int rc;
    while ((rc = net_receive(w->conn, 0, &frame)) == 0)
        heard = true;
    if (rc != ASH_TIMEOUT)
        lose(w);
    return heard;
}

static void wait_for(struct watcher *w, uint32_t what)
{
    struct epoll_event event = {.events = what, .data.u32 = WATCHER_STORAGE};
    (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, net_conn_fd(w->conn), &event);
    w->called = what & EPOLLOUT;
}

/*
 * After requests: what was said while their answers were awaited has been taken from the socket,
 * and wakes the thread no more. That the socket can be written to wakes it at once.
 */
static void call_thread(struct watcher *w, bool left)
{
    if (reaches(w) && (hear(w) || left) && !w->lost)
        wait_for(w, EPOLLIN | EPOLLOUT);
}

static void fetch_remote(struct watcher *w)
{
    struct msg_watch_read request = {};
    struct msg_watch_read_reply reply = {};
    unsigned turns = 0;
    if (w->conn && w->called)
        wait_for(w, EPOLLIN);
    if (reaches(w))
        hear(w);
    while (reaches(w)) {
        int rc = noted(
            w, NET_CALL(w->conn, WATCH_READ, watch_read, &request, &reply, BACKING_TIMEOUT_MS));
        if (rc == 0 && !take(w, false, reply.events, reply.events_size))
            lose(w);
        if (rc < 0 || !goes_on(reply.events_size, WATCH_READ_MAX, &turns))
            break;
    }
    call_thread(w, turns == TURNS_MAX);
}

void watcher_fetch(struct watcher *w)
{
    fetch_local(w);
    fetch_remote(w);
}

/* The bytes that the pipe holds are looked at, not remembered: a program can take some itself. */
void watcher_settle(struct watcher *w)
{
    static const char zero[4096];
    int have = 0, want = (int)(w->events.bytes < PIPE_FILL ? w->events.bytes : PIPE_FILL);
    if (ioctl(w->pipe_fd, FIONREAD, &have) < 0)
        return;
    while (have < want) {
        size_t size = (size_t)(want - have) < sizeof zero ? (size_t)(want - have) : sizeof zero;
        ssize_t n = write(w->pipe_fd, zero, size);
        if (n <= 0)
            return;
        have += (int)n;
    }
    if (have == want)
        return;
    char path[32], bytes[4096];
    snprintf(path, sizeof path, "/proc/self/fd/%d", w->pipe_fd);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    while (fd >= 0 && have > want) {
        size_t size = (size_t)(have - want) < sizeof bytes ? (size_t)(have - want) : sizeof bytes;
        ssize_t n = read(fd, bytes, size);
        if (n <= 0)
            break;
        have -= (int)n;
    }
    if (fd >= 0)
        close(fd);
}

/* ---- the sComponent ---- */

static int ask(struct watcher *w, const struct file_id *file, const char *path, uint32_t mask)
{
    struct msg_watch_add request = {.file = *file, .mask = mask, .path = path};
    struct msg_watch_add_reply reply;
    int rc =
        noted(w, NET_CALL(w->conn, WATCH_ADD, watch_add, &request, &reply, BACKING_TIMEOUT_MS));
    if (rc == -EMFILE || rc == -ENFILE)
        return -ENOSPC; /* its host has no inotify left for this user */
    if (rc == 0 && (int)reply.wd <= 0)
        rc = noted(w, ASH_MALFORMED);
    return rc < 0 ? rc : (int)reply.wd;
}

static void disconnect(struct watcher *w)
{
    net_close(w->conn); /* which takes it out of the epoll, too */
    w->conn = NULL;
    w->lost = w->called = false;
}

static int connect_storage(struct watcher *w)
{
    struct msg_bind bind = {.scope = SCOPE_PROCESS, .run_id = w->run_id, .writable = w->writable};
    int rc =
        spares_connect(w->node->spares, w->storage.address, &bind, CONNECT_TIMEOUT_MS, &w->conn);
    if (rc < 0) {
        w->conn = NULL;
        return rc;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = WATCHER_STORAGE};
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, net_conn_fd(w->conn), &event) < 0) {
        rc = -errno;
        disconnect(w);
    }
    return rc;
}

/* Watches again, on a new connection, what was watched on the one before. */
static void watch_again(struct watcher *w)
{
    put_plain(w, -1, IN_Q_OVERFLOW);
    for (struct watch *watch = w->watches, *next; watch; watch = next) {
        next = watch->next;
        if (watch->local)
            continue;
        int rc = ask(w, &watch->file, watch->path, watch->mask);
        if (w->lost)
            return;
        if (rc >= 0)
            rc = index_watch(w, watch, rc);
        if (rc < 0) {
            put_plain(w, watch->wd, IN_IGNORED);
            drop(w, watch);
        }
    }
}

bool watcher_restore(struct watcher *w)
{
    if (w->lost)
        disconnect(w);
    if (w->conn || !w->remote_count)
        return true;
    if (connect_storage(w) < 0)
        return false;
    for (struct watch *watch = w->watches; watch; watch = watch->next)
        if (!watch->local)
            unindex(w, watch); /* all of them, before numbers are given anew */
    watch_again(w);
    call_thread(w, false);
    return !w->lost;
}

static int reach(struct watcher *w)
{
    if (!watcher_restore(w))
        return ASH_LOST;
    return w->conn ? 0 : connect_storage(w);
}

/* ---- watches ---- */

static int add_remote(struct watcher *w, const struct watcher_wish *wish)
{
    int rc = reach(w);
    return rc < 0 ? rc : ask(w, &wish->file, wish->path, wish->mask);
}

static int add_local(struct watcher *w, const struct watcher_wish *wish)
{
    char path[32];
    if (w->local_fd < 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = WATCHER_LOCAL};
        int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (fd < 0)
            return errno == EMFILE || errno == ENFILE ? -ENOSPC : -errno;
        if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
            int rc = -errno;
            close(fd);
            return rc;
        }
        w->local_fd = fd;
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", wish->local_fd);
    int wd = inotify_add_watch(w->local_fd, path, wish->mask & ~IN_DONT_FOLLOW);
    return wd < 0 ? -errno : wd;
}

static int remove_at_source(struct watcher *w, bool local, int source_wd)
{
    struct msg_watch_remove request = {.wd = (uint32_t)source_wd};
    struct msg_watch_remove_reply reply;
    if (local)
        return inotify_rm_watch(w->local_fd, source_wd) < 0 ? -errno : 0;
    return noted(
        w, NET_CALL(w->conn, WATCH_REMOVE, watch_remove, &request, &reply, BACKING_TIMEOUT_MS));
}

static struct watch *watch_new(struct watcher *w, const struct watcher_wish *wish, int source_wd)
{
    size_t size = strlen(wish->path) + 1;
    struct watch *watch = malloc(sizeof *watch + size);
    if (!watch)
        return NULL;
    *watch = (struct watch){.wd = w->last_wd + 1,
                            .local = wish->local_fd >= 0,
                            .file = wish->file,
                            .next = w->watches,
                            .link = &w->watches};
    memcpy(watch->path, wish->path, size);
    if (index_watch(w, watch, source_wd) < 0) {
        free(watch);
        return NULL;
    }
    if (w->watches)
        w->watches->link = &watch->next;
    w->watches = watch;
    w->last_wd++;
    count_watches(w, watch, 1);
    return watch;
}

int watcher_add(struct watcher *w, const struct watcher_wish *wish)
{
    bool local = wish->local_fd >= 0;
    int source_wd = local ? add_local(w, wish) : add_remote(w, wish);
    if (source_wd < 0)
        return source_wd;
    struct watch *watch = find(w, local, source_wd);
    uint32_t mask = wish->mask & ~MASK_ASKED;
    if (watch && wish->mask & IN_MASK_ADD)
        mask |= watch->mask;
    if (!watch)
        watch = watch_new(w, wish, source_wd);
    if (!watch) {
        (void)!remove_at_source(w, local, source_wd);
        return -ENOMEM;
    }
    watch->mask = mask;
    call_thread(w, false);
    return watch->wd;
}

int watcher_remove(struct watcher *w, int wd)
{
    struct watch *watch = w->watches;
    while (watch && watch->wd != wd)
        watch = watch->next;
    if (!watch)
        return -EINVAL;
    if (watch->local || reaches(w)) {
        int rc = remove_at_source(w, watch->local, watch->source_wd);
        if (watch->local || !w->lost) {
            watcher_fetch(w); /* that it is ignored from now on can be read at once */
            return rc;
        }
    }
    put_plain(w, wd, IN_IGNORED);
    drop(w, watch);
    return 0;
}

void watcher_empty(struct watcher *w)
{
    while (w->watches)
        drop(w, w->watches);
    event_queue_free(&w->events);
    net_close(w->conn);
    if (w->local_fd >= 0)
        close(w->local_fd);
    if (w->pipe_fd >= 0)
        close(w->pipe_fd);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    free(w->writable);
}
