/*
 * A process's files state: made, copied, ended. See files.h.
 *
 * What a fork or exec child needs is only the working directory and the umask: descriptors are the
 * host's, and are looked at again (descriptor.h). What it holds at the sComponent it has from the
 * first: a forked process begins with its parent's holds, and an exec leaves them. FILE_KEEP then
 * says which of them its descriptors really stand for.
 */
#include "files.h"

#include <linux/fcntl.h>
#include <linux/poll.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../rpc/node.h"
#include "../rpc/rpc.h"
#include "descriptor.h"
#include "path_text.h"
#include "remote.h"

enum {
    KEEP_BATCH = 200, /* holds in one FILE_KEEP: within RPC_REQUEST_MAX */
    TRIED_AT_ONCE = 256,
    TRIED_MOST = 4 * TRIED_AT_ONCE,
    TABLE_LEAST = 64,
};

static bool id_is_zero(const struct file_id *id)
{
    return !id->device && !id->inode && !id->generation;
}

struct files *files_new(const char *cwd, uint32_t umask)
{
    size_t chunks = ((size_t)fd_numbers.most + ENTRIES_PER_CHUNK - 1) / ENTRIES_PER_CHUNK;
    size_t size = sizeof(struct files) + chunks * sizeof(struct entry *);
    struct files *f = host_alloc(size);
    if (!f)
        return NULL;
    f->holds = holds_new();
    if (!f->holds) {
        host_free(f, size);
        return NULL;
    }
    f->size = size;
    f->chunks_count = (uint32_t)chunks;
    f->table = TABLE_LEAST;
    f->umask = umask & 0777;
    text_copy(f->cwd, sizeof f->cwd, cwd);
    return f;
}

struct files *files_copy(struct files *from)
{
    mutex_lock(&from->lock);
    struct files *f = files_new(from->cwd, from->umask);
    for (struct open_file *file = from->open; f && file; file = file->next)
        file->shared = true;
    mutex_unlock(&from->lock);
    if (f) {
        f->cwd_id = from->cwd_id; /* whose hold is the parent's, until files_adopt() */
        f->cwd_description = from->cwd_description;
        f->any = from->any;
        f->known = from->known;
        f->table = files_table(from);
        holds_free(f->holds);
        f->holds = from->holds;
        holds_share(f->holds);
    }
    return f;
}

/* Empties the table of descriptors; the holds are not released. */
static void forget_all(struct files *f)
{
    for (uint32_t i = 0; i < f->chunks_count; i++) {
        if (f->chunks[i])
            host_free(f->chunks[i], ENTRIES_PER_CHUNK * sizeof *f->chunks[i]);
        f->chunks[i] = NULL;
    }
    pool_end(&f->open_pool);
    pool_end(&f->locked_pool);
    f->open = NULL;
    f->locked = NULL;
}

static struct held held_cwd(const struct files *f)
{
    return (struct held){f->cwd_id, f->cwd_description};
}

void files_free(struct files *f)
{
    const struct held cwd = held_cwd(f);
    while (f->open)
        descriptor_drop(f, f->open);
    if (f->cwd_held)
        holds_put(f->holds, &cwd, false);
    forget_all(f);
    holds_free(f->holds);
    host_free(f, f->size);
}

typedef void each_fd(struct files *, int fd, void *arg);

/* Calls `each` for those of count <= TRIED_AT_ONCE numbers from `first` on that are open, but for
   some that are the host's (O_PATH). */
static void try_numbers(struct files *f, int first, int count, each_fd *each, void *arg)
{
    struct pollfd fds[TRIED_AT_ONCE];
    for (int i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = first + i};
    bool told = host_call(__NR_poll, fds, count, 0) >= 0;
    for (int i = 0; i < count; i++)
        if ((!told || !(fds[i].revents & POLLNVAL)) && !files_hidden(first + i))
            each(f, first + i, arg);
}

/* Calls `each` for every descriptor of the program. */
static void list_numbers(struct files *f, each_fd *each, void *arg)
{
    struct {
        uint64_t ino, off;
        uint16_t length;
        uint8_t type;
        char name[];
    } __attribute__((packed)) const *entry;
    uint8_t buffer[2048];

    long list = host_call(__NR_open, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (list < 0)
        return;
    long got;
    while ((got = host_call(__NR_getdents64, list, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < got; at += entry->length) {
            entry = (const void *)(buffer + at);
            int fd = 0;
            for (const char *c = entry->name; *c >= '0' && *c <= '9'; c++)
                fd = fd * 10 + (*c - '0');
            if (entry->name[0] != '.' && fd != list && !files_hidden(fd))
                each(f, fd, arg);
        }
    }
    host_call(__NR_close, list);
}

/* Calls `each` for every descriptor of the program that may be of an sComponent's file. Each of
   them was looked at before, but by a run's first program; few numbers are tried faster than the
   host lists what there is. */
static void each_descriptor(struct files *f, each_fd *each, void *arg)
{
    int table = (int)files_table(f);
    if (!f->known || table > TRIED_MOST) {
        list_numbers(f, each, arg);
        return;
    }
    for (int first = 0; first < table; first += TRIED_AT_ONCE)
        try_numbers(f, first, table - first < TRIED_AT_ONCE ? table - first : TRIED_AT_ONCE, each,
                    arg);
}

/* What FILE_KEEP is to say, a message at a time. */
struct keeping {
    struct msg_file_keep request;
    struct held held[KEEP_BATCH];
};

static void send_kept(struct keeping *k, bool last)
{
    struct rpc rpc;
    k->request.last = last;
    k->request.files = k->held;
    int rc = rpc_begin(&rpc, COMPONENT_STORAGE);
    if (rc == 0)
        rc = msg_file_keep_encode(&k->request, rpc.request, RPC_REQUEST_MAX);
    /* What the sComponent does not know any more is opened again when it is used. */
    if (rc >= 0)
        rpc_leave(&rpc, OP_FILE_KEEP, rc);
    else
        rpc_end(&rpc);
    k->request.files_count = 0;
}

static void keep(struct keeping *k, const struct held *held)
{
    if (!held->file.inode)
        return;
    if (k->request.files_count == KEEP_BATCH)
        send_kept(k, false);
    k->held[k->request.files_count++] = *held;
}

/* Looking at a descriptor puts down what it refers to. */
static void look_at(struct files *f, int fd, void *arg)
{
    struct descriptor d;
    if (descriptor_get(f, fd, &d) == 0)
        descriptor_put(&d);
}

void files_adopt(struct files *f, const struct held *program, const struct held *interpreter)
{
    struct keeping k = {.request.program = *program};
    const struct held cwd = held_cwd(f);

    f->adopting = true;
    if (f->any)
        each_descriptor(f, look_at, NULL);
    f->known = true;
    f->adopting = false;
    if (!f->cwd_held && !id_is_zero(&f->cwd_id)) {
        f->cwd_held = true;
        (void)holds_take(f->holds, &cwd);
    }
    keep(&k, &cwd);
    keep(&k, interpreter);
    for (struct open_file *file = f->open; file; file = file->next) {
        const struct held held = held_of(file);
        keep(&k, &held);
    }
    send_kept(&k, true);
}

void files_fork_child(struct files *f, const struct held *program)
{
    const struct held none = {0};
    struct holds *own = holds_new();
    if (!own)
        host_die("out of memory for the files of a new process");
    /* What was inherited belongs to the parent, and its locks may be in any state. */
    memset(&f->lock, 0, sizeof f->lock);
    forget_all(f);
    f->holds = own;
    files_adopt(f, program, &none);
}

static void unlock_posix(const struct file_id *id, int pid)
{
    struct msg_file_lock request = {.file = *id, .pid = (uint32_t)pid, .kind = LOCK_KIND_NONE};
    struct msg_file_lock_reply reply;
    struct rpc rpc;
    (void)!RPC_CALL(&rpc, STORAGE, FILE_LOCK, file_lock, &request, &reply);
    rpc_end(&rpc);
}

/* What close-on-exec closes, takes the POSIX locks of its file along. */
static void unlock_at_exec(struct files *f, int fd, void *arg)
{
    struct descriptor d;
    long flags = host_call(__NR_fcntl, fd, F_GETFD);
    if (flags < 0 || !(flags & FD_CLOEXEC) || descriptor_get(f, fd, &d) < 0)
        return;
    if (d.file && descriptor_take_lock_note(f, &d.file->id))
        unlock_posix(&d.file->id, *(int *)arg);
    descriptor_put(&d);
}

void files_exec(struct files *f, int pid)
{
    if (descriptor_may_have_locks(f))
        each_descriptor(f, unlock_at_exec, &pid);
}

bool files_any(const struct files *f)
{
    return f->any;
}

bool files_posix_locks(const struct files *f)
{
    return descriptor_may_have_locks(f);
}

uint32_t files_locks(struct files *f, struct file_locks *out, uint32_t room)
{
    return descriptor_lock_notes(f, out, room);
}

void files_after_exec(struct files *f, bool any, uint32_t below, bool posix_locks,
                      const struct file_locks *locks, uint64_t count)
{
    f->any = any;
    f->known = below != 0;
    if (below)
        files_table_grow(f, (int)below - 1);
    f->locked_before = posix_locks;
    for (uint64_t i = 0; i < count; i++)
        descriptor_put_lock_note(f, &locks[i]);
}

void files_exit(struct files *f, int pid, bool vforked)
{
    struct msg_file_end request = {};
    struct msg_file_end_reply reply;
    struct file_id id;
    struct rpc rpc;
    if (vforked) { /* the holds are its parent's as well, who does files_free() */
        while (descriptor_next_lock_note(f, &id))
            unlock_posix(&id, pid);
        return;
    }
    (void)!RPC_CALL(&rpc, STORAGE, FILE_END, file_end, &request, &reply);
    rpc_end(&rpc);
}

void files_set_cwd(struct files *f, const char *path, const struct held *held)
{
    mutex_lock(&f->lock);
    const struct held old = held_cwd(f);
    bool old_held = f->cwd_held;
    text_copy(f->cwd, sizeof f->cwd, path);
    f->cwd_id = held->file;
    f->cwd_description = held->description;
    f->cwd_held = !id_is_zero(&held->file);
    mutex_unlock(&f->lock);
    if (!id_is_zero(&held->file))
        (void)holds_take(f->holds, held);
    if (old_held)
        holds_put(f->holds, &old, false);
}

struct held files_cwd_held(struct files *f)
{
    mutex_lock(&f->lock);
    struct held held = held_cwd(f);
    mutex_unlock(&f->lock);
    return held;
}

void files_find_cwd(struct files *f)
{
    struct msg_file_open request = {
        .flags = O_PATH | O_DIRECTORY, .description = description_new(), .path = f->cwd};
    struct msg_file_open_reply reply;
    struct rpc rpc;
    int rc = path_is_local(f->cwd)
                 ? -ENOENT
                 : RPC_CALL(&rpc, STORAGE, FILE_OPEN, file_open, &request, &reply);
    const struct held held = {reply.attr.id, request.description};
    if (rc == 0)
        files_set_cwd(f, reply.path[0] ? reply.path : f->cwd, &held);
    rpc_end(&rpc);
}

const char *files_cwd(const struct files *f)
{
    return f->cwd;
}

uint32_t files_umask(const struct files *f)
{
    return __atomic_load_n(&f->umask, __ATOMIC_RELAXED);
}

bool files_hidden(int fd)
{
    return fd_is_hidden(fd) || fd >= fd_numbers.most;
}

bool files_closed(struct files *f, int fd)
{
    struct descriptor d;
    if (files_hidden(fd))
        return true;
    if (descriptor_get(f, fd, &d) < 0)
        return false;
    bool closed = d.file && d.file->flags & O_PATH;
    descriptor_put(&d);
    return closed;
}

uint32_t files_table(const struct files *f)
{
    return __atomic_load_n(&f->table, __ATOMIC_RELAXED);
}

void files_table_grow(struct files *f, int fd)
{
    uint32_t size = files_table(f);
    while (size <= (uint32_t)fd)
        size *= 2;
    /* Of two threads one may win with the smaller size: a hint that the next use corrects. */
    __atomic_store_n(&f->table, size, __ATOMIC_RELAXED);
}

uint32_t files_below(const struct files *f)
{
    return f->known ? files_table(f) : 0;
}

bool files_beyond(int fd)
{
    const struct limit *l = &current()->process->limits[KEPT_NOFILE];
    return files_hidden(fd) || (uint32_t)fd >= __atomic_load_n(&l->soft, __ATOMIC_RELAXED);
}

long files_number(long fd)
{
    if (fd >= 0 && fd_is_hidden((int)fd)) { /* one that the monitor has not taken */
        bool cloexec = host_call(__NR_fcntl, fd, F_GETFD) & FD_CLOEXEC;
        long high =
            host_call(__NR_fcntl, fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, fd_numbers.hidden_end);
        host_call(__NR_close, fd);
        fd = high == -EINVAL ? -EMFILE : high; /* beyond all that the host allows */
    }
    if (fd < 0 || !files_beyond((int)fd))
        return fd;
    host_call(__NR_close, fd);
    return -EMFILE;
}

long files_new_host(struct files *f, long fd)
{
    fd = files_number(fd);
    if (fd >= 0)
        descriptor_install_host(f, (int)fd, ENTRY_HOST);
    return fd;
}

void files_sent(struct files *f, int fd)
{
    struct descriptor d;
    if (descriptor_get(f, fd, &d) < 0)
        return;
    if (d.file) {
        struct msg_file_send request = {.file = held_of(d.file)};
        struct msg_file_send_reply reply;
        struct rpc rpc;
        d.file->shared = true;
        (void)REMOTE_CALL(&d, &rpc, FILE_SEND, file_send, &request, &reply);
        rpc_end(&rpc);
    }
    descriptor_put(&d);
}
