/* Segments: which there are, who has them mapped, and the requests about them. See segment.h. */
#include "segment.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error_text.h"
#include "run.h"

/* Pages of no file reach this far: more than any file's lines do. */
#define SPARSE_BYTES ((off_t)1 << 46)

/* ---- which files have segments ---- */

static uint32_t bucket_of(const struct segment *g)
{
    return g->kind == SEGMENT_FILE ? segment_bucket(g->file.device, g->file.inode)
                                   : (uint32_t)SEGMENT_HOST_BUCKET;
}

static void count_bucket(struct segments *s, const struct segment *g, int change)
{
    if (g->kind == SEGMENT_FILE || g->kind == SEGMENT_HOST)
        __atomic_add_fetch(&s->buckets[bucket_of(g)], (uint32_t)change, __ATOMIC_RELEASE);
}

int segments_start(struct node *node)
{
    struct segments *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    size_t size = SEGMENT_BUCKETS * sizeof *s->buckets;
    char path[64];
    int rc = 0;
    pthread_mutex_init(&s->lock, NULL);
    s->node = node;
    s->buffer = malloc(RUN_MAX_LINES * LINE_SIZE);
    int fd = memfd_create("ashlar-segments", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (!s->buffer || fd < 0 || ftruncate(fd, (off_t)size) < 0)
        rc = -errno;
    s->buckets_fd = rc == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    s->buckets = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (rc == 0 && (s->buckets_fd < 0 || s->buckets == MAP_FAILED))
        rc = -errno;
    if (fd >= 0)
        close(fd);
    node->segments = s; /* on failure the daemon ends */
    return rc;
}

void segments_stop(struct node *node)
{
    struct segments *s = node->segments;
    munmap(s->buckets, SEGMENT_BUCKETS * sizeof *s->buckets);
    close(s->buckets_fd);
    pthread_mutex_destroy(&s->lock);
    free(s->buffer);
    free(s);
    node->segments = NULL;
}

int segments_buckets_fd(const struct node *node)
{
    return node->segments->buckets_fd;
}

/* ---- life of a segment ---- */

static struct segment *find(struct segments *s, uint64_t number)
{
    struct segment *g = s->list;
    while (g && g->number != number)
        g = g->next;
    return g;
}

static struct segment *find_file(struct segments *s, const struct file_id *id)
{
    struct segment *g = s->list;
    while (g && (g->kind != SEGMENT_FILE || g->file.device != id->device ||
                 g->file.inode != id->inode || g->file.generation != id->generation))
        g = g->next;
    return g;
}

static struct segment *new_segment(struct segments *s, struct run *run, enum segment_kind kind)
{
    struct segment *g = calloc(1, sizeof *g);
    struct store *store = store_get(s->node, run);
    if (!g || !store) {
        free(g);
        store_put(store);
        return NULL;
    }
    *g = (struct segment){
        .next = s->list, .number = ++s->last_number, .kind = kind, .fd = -1, .store = store};
    s->list = g;
    return g;
}

static void free_segment(struct segments *s, struct segment *g)
{
    struct segment **at = &s->list;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    segment_empty(s, g);
    store_put(g->store);
    if (g->fd >= 0)
        close(g->fd);
    free(g);
}

/* The last one lets go: what was changed of a file goes to it. */
void segment_put(struct segments *s, struct segment *g)
{
    if (--g->refs)
        return;
    if (g->kind == SEGMENT_FILE) {
        int rc = segment_flush(s, g, 0, UINT64_MAX);
        if (rc < 0)
            monitor_log("what was changed of a shared mapping is lost: %s", error_text(rc));
        store_release_file(g->store, &g->file);
    } else if (g->kind == SEGMENT_HOST) {
        int rc = segment_host_restore(s, g);
        if (rc < 0)
            monitor_log("a memory file of the host has lost content: %s", error_text(rc));
    }
    count_bucket(s, g, -1);
    free_segment(s, g);
}

static int make_memory(struct segment *g, off_t bytes)
{
    g->fd = memfd_create("ashlar-shared", MFD_CLOEXEC);
    return g->fd < 0 || ftruncate(g->fd, bytes) < 0 ? -errno : 0;
}

int segment_new_anonymous(struct segments *s, struct run *run, uint64_t bytes, struct segment **out)
{
    struct segment *g = new_segment(s, run, SEGMENT_ANONYMOUS);
    if (!g)
        return -ENOMEM;
    g->size_bytes = (bytes + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    int rc = bytes > WINDOW_END ? -ENOMEM : make_memory(g, (off_t)g->size_bytes);
    if (rc < 0)
        free_segment(s, g);
    *out = g;
    return rc;
}

/* Its lines are this node's alone: where another one has them, mmap says that it cannot be. */
static int hold_file(struct store *store, const struct msg_segment_open *m)
{
    int rc = store_hold_file(store, &m->file, m->path);
    if (rc != -EBUSY)
        return rc;
    monitor_log("%s is mapped shared on another pComponent, and cannot be here", m->path);
    return -ENODEV;
}

static int open_file(struct segments *s, struct run *run, const struct msg_segment_open *m,
                     struct segment **out)
{
    struct segment *g = find_file(s, &m->file);
    if (g && m->writable) {
        /* What this run may write another may only read. */
        struct store *store = store_get(s->node, run);
        int rc = !store ? -ENOMEM : store == g->store ? 0 : hold_file(store, m);
        if (rc < 0) {
            store_put(store);
            return rc;
        }
        if (store != g->store)
            store_release_file(g->store, &g->file);
        store_put(g->store);
        g->store = store;
    }
    *out = g;
    if (g)
        return 0;
    g = new_segment(s, run, SEGMENT_FILE);
    if (!g)
        return -ENOMEM;
    g->file = m->file;
    int rc = hold_file(g->store, m);
    bool held = rc == 0;
    if (rc == 0)
        rc = segment_size_lines(g) < 0 ? -EIO : 0;
    if (rc == 0)
        rc = make_memory(g, SPARSE_BYTES);
    if (rc < 0) {
        if (held)
            store_release_file(g->store, &g->file);
        free_segment(s, g);
        return rc;
    }
    count_bucket(s, g, 1);
    *out = g;
    return 0;
}

static int open_host(struct segments *s, struct run *run, int fd, bool writable,
                     struct segment **out)
{
    struct segment *g = segment_host_find(s, fd);
    *out = g;
    if (g)
        return writable && g->seals & F_SEAL_FUTURE_WRITE ? -EPERM : 0;
    g = new_segment(s, run, SEGMENT_HOST);
    if (!g)
        return -ENOMEM;
    int rc = segment_host_open(g, fd);
    if (rc == 0)
        rc = segment_size_lines(g) < 0 ? -EIO : 0;
    if (rc == 0)
        rc = segment_host_adopt(s, g, 0, g->size_bytes);
    if (rc < 0) {
        if (g->fd >= 0)
            (void)!segment_host_restore(s, g);
        free_segment(s, g);
        return rc;
    }
    count_bucket(s, g, 1);
    *out = g;
    return 0;
}

/* ---- sharers ---- */

static void count_limit(struct segments *s)
{
    s->limit = 0;
    for (const struct sharer *h = s->sharers; h; h = h->next)
        if (!s->limit || h->limit < s->limit)
            s->limit = h->limit;
}

static struct sharer *sharer_of(struct segments *s, struct process *p)
{
    if (p->sharer)
        return p->sharer;
    struct sharer *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    *h = (struct sharer){.next = s->sharers, .uffd = -1, .process = p};
    s->sharers = h;
    p->sharer = h;
    return h;
}

static void set_uffd(struct sharer *h, int fd)
{
    if (fd < 0)
        return;
    if (h->uffd >= 0)
        close(h->uffd);
    h->uffd = fd;
}

static int add_attachment(struct sharer *h, struct segment *g, struct vpn first, uint64_t count,
                          uint64_t line)
{
    struct attachment *a = malloc(sizeof *a);
    if (!a)
        return -ENOMEM;
    *a = (struct attachment){.next_of_segment = g->attachments,
                             .next_of_sharer = h->attachments,
                             .segment = g,
                             .sharer = h,
                             .first = first,
                             .count = count,
                             .line = line};
    g->attachments = h->attachments = a;
    g->attachment_count++;
    g->refs++;
    return 0;
}

static void remove_attachment(struct segments *s, struct attachment *a)
{
    struct attachment **at = &a->segment->attachments;
    while (*at != a)
        at = &(*at)->next_of_segment;
    *at = a->next_of_segment;
    at = &a->sharer->attachments;
    while (*at != a)
        at = &(*at)->next_of_sharer;
    *at = a->next_of_sharer;
    a->segment->attachment_count--;
    if (a->segment->shm)
        shm_attached(s, a->segment, (uint32_t)a->sharer->process->pid, false);
    segment_put(s, a->segment);
    free(a);
}

static void set_opened(struct segments *s, struct sharer *h, struct segment *g)
{
    struct segment *before = h->opened;
    if (g)
        g->refs++;
    h->opened = g;
    if (before)
        segment_put(s, before);
}

/* Whether a process has ended, and with it all of its run. segments' lock is held: of several that
   end together one is the last. */
static bool is_last_of_run(struct node *node, struct process *p)
{
    bool last;
    pthread_mutex_lock(&node->lock);
    p->left = last = p->seat_fd < 0;
    for (const struct process *other = node->processes; other && last; other = other->next)
        last = other->run != p->run || other->left;
    pthread_mutex_unlock(&node->lock);
    return last;
}

void segments_leave(struct node *node, struct process *p)
{
    struct segments *s = node->segments;
    pthread_mutex_lock(&s->lock);
    struct sharer *h = p->sharer;
    p->sharer = NULL;
    if (h) {
        while (h->attachments)
            remove_attachment(s, h->attachments);
        set_opened(s, h, NULL);
        struct sharer **at = &s->sharers;
        while (*at != h)
            at = &(*at)->next;
        *at = h->next;
        if (h->uffd >= 0)
            close(h->uffd);
        free(h);
        count_limit(s);
    }
    if (is_last_of_run(node, p))
        shm_run_gone(s, p->run);
    pthread_mutex_unlock(&s->lock);
}

bool segments_have_space(struct node *node, struct asid asid)
{
    pthread_mutex_lock(&node->segments->lock);
    bool have = store_exists(node, asid);
    pthread_mutex_unlock(&node->segments->lock);
    return have;
}

/* What has ended has nothing attached, though its seat may close a moment later. */
static void drop_ended(struct segments *s)
{
    for (struct sharer *h = s->sharers; h; h = h->next) {
        pthread_mutex_lock(&s->node->lock);
        struct pollfd ended = {.fd = h->process->pidfd, .events = POLLIN};
        bool gone = ended.fd >= 0 && poll(&ended, 1, 0) > 0;
        pthread_mutex_unlock(&s->node->lock);
        while (gone && h->attachments)
            remove_attachment(s, h->attachments);
    }
}

int segments_fork(struct node *node, struct process *parent, struct process *child)
{
    struct segments *s = node->segments;
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    struct sharer *from = parent->sharer, *h = from ? sharer_of(s, child) : NULL;
    if (from && !h)
        rc = -ENOMEM;
    if (h) {
        h->limit = from->limit;
        h->robust = from->robust;
        for (const struct attachment *a = from->attachments; a && rc == 0; a = a->next_of_sharer)
            rc = add_attachment(h, a->segment, a->first, a->count, a->line);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* ---- requests ---- */

static int answer_open(struct segments *s, struct sharer *h, struct segment *g,
                       struct net_conn *conn, const struct net_frame *frame)
{
    set_opened(s, h, g);
    uint8_t body[16];
    struct msg_segment_open_reply reply = {.segment = g->number};
    int size = msg_segment_open_reply_encode(&reply, body, sizeof body);
    return net_reply_fds(conn, frame, body, (size_t)size, &g->fd, 1);
}

static int segment_open(struct segments *s, struct process *p, struct net_conn *conn,
                        const struct net_frame *frame)
{
    struct msg_segment_open m;
    struct segment *g = NULL;
    if (msg_segment_open_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct sharer *h = sharer_of(s, p);
    if (!h)
        return net_refuse(conn, frame, -ENOMEM);
    set_uffd(h, net_conn_take_fd(conn));
    int host_fd = net_conn_take_fd(conn);
    h->limit = m.limit ? m.limit : 1;
    h->robust = m.robust;
    count_limit(s);
    int rc = segments_shrink(s, s->limit);
    if (rc == 0 && m.kind == SEGMENT_ANONYMOUS)
        rc = segment_new_anonymous(s, p->run, m.size_bytes, &g);
    else if (rc == 0 && m.kind == SEGMENT_FILE)
        rc = open_file(s, p->run, &m, &g);
    else if (rc == 0 && m.kind == SEGMENT_HOST)
        rc = open_host(s, p->run, host_fd, m.writable, &g);
    else if (rc == 0 && m.kind == SEGMENT_SYSV)
        rc = (g = shm_segment(s, p->run, m.size_bytes)) ? 0 : -EINVAL;
    else if (rc == 0)
        rc = ASH_MALFORMED;
    if (host_fd >= 0)
        close(host_fd);
    return rc < 0 ? net_refuse(conn, frame, rc) : answer_open(s, h, g, conn, frame);
}

static int segment_attach(struct segments *s, struct process *p, struct net_conn *conn,
                          const struct net_frame *frame)
{
    struct msg_segment_attach m;
    if (msg_segment_attach_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct sharer *h = p->sharer;
    struct segment *g = find(s, m.segment);
    bool known = h && g && h->opened == g;
    for (struct attachment *a = h ? h->attachments : NULL; a && !known; a = a->next_of_sharer)
        known = a->segment == g;
    const uint64_t most = WINDOW_END >> LINE_SHIFT;
    if (!g || !known || m.first.n >= most || m.count == 0 || m.count > most - m.first.n ||
        m.line > most)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    int rc = add_attachment(h, g, m.first, m.count, m.line);
    if (rc < 0)
        return net_refuse(conn, frame, rc);
    if (g->shm)
        shm_attached(s, g, (uint32_t)p->pid, true);
    set_opened(s, h, NULL);
    struct msg_segment_attach_reply reply = {};
    return NET_REPLY(conn, frame, segment_attach, &reply);
}

/* Cuts [first, end) out of what a sharer has attached. */
static int cut(struct segments *s, struct sharer *h, uint64_t first, uint64_t end)
{
    for (struct attachment *a = h->attachments, *next; a; a = next) {
        next = a->next_of_sharer;
        uint64_t a_end = a->first.n + a->count;
        if (a->first.n >= end || a_end <= first)
            continue;
        if (a_end > end) {
            int rc = add_attachment(h, a->segment, (struct vpn){end}, a_end - end,
                                    a->line + (end - a->first.n));
            if (rc < 0)
                return rc;
        }
        if (a->first.n < first)
            a->count = first - a->first.n;
        else
            remove_attachment(s, a);
    }
    return 0;
}

static int segment_detach(struct segments *s, struct process *p, struct net_conn *conn,
                          const struct net_frame *frame)
{
    struct msg_segment_detach m;
    struct msg_segment_detach_reply reply = {};
    if (msg_segment_detach_decode(&m, frame->payload, frame->header.length) < 0 ||
        m.count > WINDOW_END >> LINE_SHIFT)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = p->sharer ? cut(s, p->sharer, m.first.n, m.first.n + m.count) : 0;
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, segment_detach, &reply);
}

static int segment_forked(struct process *p, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_segment_forked m;
    struct msg_segment_forked_reply reply = {};
    if (msg_segment_forked_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    if (p->sharer)
        set_uffd(p->sharer, net_conn_take_fd(conn));
    return NET_REPLY(conn, frame, segment_forked, &reply);
}

/* A segment that the process has mapped; NULL: none. */
static struct segment *mapped_by(struct segments *s, const struct process *p, uint64_t number)
{
    struct segment *g = find(s, number);
    for (const struct attachment *a = g ? g->attachments : NULL; a; a = a->next_of_segment)
        if (a->sharer == p->sharer)
            return g;
    return NULL;
}

static int fetch(struct segments *s, struct process *p, struct net_conn *conn,
                 const struct net_frame *frame)
{
    struct msg_segment_fetch m;
    struct msg_segment_fetch_reply reply;
    if (msg_segment_fetch_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct segment *g = mapped_by(s, p, m.segment);
    if (!g)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    int rc = segment_fetch(s, g, m.line, m.write);
    if (rc < 0 && g->kind == SEGMENT_FILE)
        rc = rc == -ENOMEM ? rc : LINE_IO_ERROR;
    if ((rc == -EPERM || rc == -ENOSPC) && g->kind == SEGMENT_HOST)
        rc = LINE_PAST_END; /* sealed, or its file system is full: SIGBUS, as on Linux */
    if (rc < 0)
        return net_refuse(conn, frame, rc);
    reply.result = (uint8_t)rc;
    return NET_REPLY(conn, frame, segment_fetch, &reply);
}

static int sync_lines(struct segments *s, struct process *p, struct net_conn *conn,
                      const struct net_frame *frame)
{
    struct msg_segment_sync m;
    struct msg_segment_sync_reply reply = {};
    if (msg_segment_sync_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct segment *g = mapped_by(s, p, m.segment);
    if (!g)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    int rc = segment_flush(s, g, m.line, m.count);
    if (rc == 0 && m.durable && g->kind == SEGMENT_FILE)
        rc = store_sync_file(g->store, &g->file);
    return rc < 0 ? net_refuse(conn, frame, -EIO) : NET_REPLY(conn, frame, segment_sync, &reply);
}

static int remove_lines(struct segments *s, struct process *p, struct net_conn *conn,
                        const struct net_frame *frame)
{
    struct msg_segment_remove m;
    struct msg_segment_remove_reply reply = {};
    const uint64_t most = WINDOW_END >> LINE_SHIFT;
    if (msg_segment_remove_decode(&m, frame->payload, frame->header.length) < 0 || m.line > most ||
        m.count > most || m.count == 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct segment *g = mapped_by(s, p, m.segment);
    if (!g)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    int rc = g->seals & F_SEAL_FUTURE_WRITE
                 ? -EPERM
                 : segment_punch(s, g, m.line << LINE_SHIFT, m.count << LINE_SHIFT);
    return rc < 0 ? net_refuse(conn, frame, rc < -4095 ? -EIO : rc)
                  : NET_REPLY(conn, frame, segment_remove, &reply);
}

static int change(struct segments *s, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_segment_change m;
    struct msg_segment_change_reply reply = {};
    if (msg_segment_change_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    struct segment *g = find_file(s, &m.file);
    uint64_t line = m.offset >> LINE_SHIFT;
    int rc = 0;
    if (g && m.what == SEGMENT_READ)
        rc = segment_flush(s, g, line, (m.length >> LINE_SHIFT) + 2);
    else if (g && m.what == SEGMENT_WRITTEN)
        rc = segment_refresh(s, g, m.offset, m.length);
    else if (g && segment_size_lines(g) >= 0)
        segment_resized(s, g, g->size_bytes);
    return rc < 0 ? net_refuse(conn, frame, -EIO) : NET_REPLY(conn, frame, segment_change, &reply);
}

/* ---- the host's memory files, by descriptor ---- */

static int pull(struct segments *s, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_segment_pull m;
    if (msg_segment_pull_decode(&m, frame->payload, frame->header.length) < 0 ||
        m.length > SEGMENT_IO_MAX)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int fd = net_conn_take_fd(conn);
    struct segment *g = segment_host_find(s, fd);
    uint8_t *data = g ? malloc(SEGMENT_IO_MAX) : NULL, body[16];
    int rc = !g ? 0 : data ? segment_host_read(s, g, m.offset, m.length, data) : -ENOMEM;
    if (fd >= 0)
        close(fd);
    if (rc >= 0) {
        struct msg_segment_pull_reply reply = {.found = g != NULL, .data_size = (uint32_t)rc};
        struct iovec bulk = {.iov_base = data, .iov_len = (size_t)rc};
        int size = msg_segment_pull_reply_encode(&reply, body, sizeof body);
        rc = net_reply(conn, frame, 0, body, (size_t)size, &bulk, rc ? 1 : 0);
    } else {
        rc = net_refuse(conn, frame, rc < -4095 ? -EIO : rc);
    }
    free(data);
    return rc;
}

static int push(struct segments *s, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_segment_push m;
    if (msg_segment_push_decode(&m, frame->payload, frame->header.length) < 0 ||
        m.data_size > SEGMENT_IO_MAX)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int fd = net_conn_take_fd(conn);
    struct segment *g = segment_host_find(s, fd);
    struct msg_segment_push_reply reply = {.found = g != NULL};
    int rc = g ? segment_host_write(s, g, m.offset, m.data, m.data_size) : 0;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? net_refuse(conn, frame, rc < -4095 ? -EIO : rc)
                  : NET_REPLY(conn, frame, segment_push, &reply);
}

static int call_host(struct segments *s, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_segment_host_call m;
    if (msg_segment_host_call_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int fd = net_conn_take_fd(conn);
    struct segment *g = segment_host_find(s, fd);
    int64_t rc = g ? segment_host_call(s, g, fd, &m) : 0;
    struct msg_segment_host_call_reply reply = {.found = g != NULL, .result = (uint64_t)rc};
    if (fd >= 0)
        close(fd);
    return rc < 0 ? net_refuse(conn, frame, rc < -4095 ? -EIO : (int)rc)
                  : NET_REPLY(conn, frame, segment_host_call, &reply);
}

int segments_request(struct node *node, struct process *p, struct net_conn *conn,
                     const struct net_frame *frame)
{
    struct segments *s = node->segments;
    int rc;
    if (!p->home)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    pthread_mutex_lock(&s->lock);
    switch (frame->header.op) {
    case OP_SEGMENT_OPEN:
        rc = segment_open(s, p, conn, frame);
        break;
    case OP_SEGMENT_ATTACH:
        rc = segment_attach(s, p, conn, frame);
        break;
    case OP_SEGMENT_DETACH:
        rc = segment_detach(s, p, conn, frame);
        break;
    case OP_SEGMENT_FORKED:
        rc = segment_forked(p, conn, frame);
        break;
    case OP_SEGMENT_FETCH:
        rc = fetch(s, p, conn, frame);
        break;
    case OP_SEGMENT_SYNC:
        rc = sync_lines(s, p, conn, frame);
        break;
    case OP_SEGMENT_CHANGE:
        rc = change(s, conn, frame);
        break;
    case OP_SEGMENT_PULL:
        rc = pull(s, conn, frame);
        break;
    case OP_SEGMENT_PUSH:
        rc = push(s, conn, frame);
        break;
    case OP_SEGMENT_HOST_CALL:
        rc = call_host(s, conn, frame);
        break;
    case OP_SEGMENT_REMOVE:
        rc = remove_lines(s, p, conn, frame);
        break;
    case OP_SHM_GET:
    case OP_SHM_CONTROL:
        drop_ended(s); /* who counts attachments has seen them end */
        rc = shm_request(s, p, conn, frame);
        break;
    default:
        rc = net_refuse(conn, frame, ASH_FORBIDDEN);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}
