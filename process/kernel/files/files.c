/*
 * A process's files state: made, copied, ended. See files.h.
 *
 * What a fork or exec child needs is only the working directory and the umask: descriptors are the
 * host's, and are looked at again (descriptor.h).
 */
#include "files.h"

#include <linux/fcntl.h>

#include "../host/host.h"
#include "../rpc/rpc.h"
#include "descriptor.h"
#include "path_text.h"

static bool id_is_zero(const struct file_id *id)
{
    return !id->device && !id->inode && !id->generation;
}

struct files *files_new(const char *cwd, uint32_t umask, int floor)
{
    size_t chunks = ((size_t)floor + ENTRIES_PER_CHUNK - 1) / ENTRIES_PER_CHUNK;
    size_t size = sizeof(struct files) + chunks * sizeof(struct entry *);
    struct files *f = host_alloc(size);
    if (!f)
        return NULL;
    f->releases = releases_new();
    if (!f->releases) {
        host_free(f, size);
        return NULL;
    }
    f->size = size;
    f->floor = floor;
    f->limit = (uint32_t)floor;
    f->umask = umask & 0777;
    text_copy(f->cwd, sizeof f->cwd, cwd);
    return f;
}

struct files *files_copy(struct files *from)
{
    mutex_lock(&from->lock);
    struct files *f = files_new(from->cwd, from->umask, from->floor);
    for (struct open_file *file = from->open; f && file; file = file->next)
        file->shared = true;
    mutex_unlock(&from->lock);
    if (f) {
        f->limit = from->limit;
        f->cwd_id = from->cwd_id; /* whose hold is the parent's, until files_hold_all() */
        releases_free(f->releases);
        f->releases = from->releases;
        releases_share(f->releases);
    }
    return f;
}

/* Empties the table of descriptors; the holds are not released. */
static void forget_all(struct files *f)
{
    for (int i = 0; i * ENTRIES_PER_CHUNK < f->floor; i++) {
        if (f->chunks[i])
            host_free(f->chunks[i], ENTRIES_PER_CHUNK * sizeof *f->chunks[i]);
        f->chunks[i] = NULL;
    }
    pool_end(&f->open_pool);
    pool_end(&f->locked_pool);
    f->open = NULL;
    f->locked = NULL;
}

void files_free(struct files *f)
{
    for (struct open_file *file = f->open; file; file = file->next)
        releases_put(f->releases, &file->id, true);
    if (f->cwd_held)
        releases_put(f->releases, &f->cwd_id, false);
    forget_all(f);
    releases_free(f->releases);
    host_free(f, f->size);
}

/* Calls `each` for every descriptor of the program, lowest first or not. */
static void each_descriptor(struct files *f, void (*each)(struct files *, int fd, void *),
                            void *arg)
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
            if (entry->name[0] != '.' && fd != list && fd < f->floor)
                each(f, fd, arg);
        }
    }
    host_call(__NR_close, list);
}

/* Looking at a descriptor holds what it refers to. */
static void look_at(struct files *f, int fd, void *arg)
{
    struct descriptor d;
    if (descriptor_get(f, fd, &d) == 0)
        descriptor_put(&d);
}

void files_hold_all(struct files *f)
{
    struct releases *own = releases_new();
    if (!own)
        host_die("out of memory for the files of a new process");
    /* What was inherited belongs to the parent, and its locks may be in any state. */
    memset(&f->lock, 0, sizeof f->lock);
    forget_all(f);
    f->last_description = 0;
    f->releases = own;
    f->cwd_held = !id_is_zero(&f->cwd_id);
    if (f->cwd_held)
        descriptor_hold(f, &f->cwd_id);
    each_descriptor(f, look_at, NULL);
}

static void let_go_at_exec(struct files *f, int fd, void *arg)
{
    long flags = host_call(__NR_fcntl, fd, F_GETFD);
    if (flags >= 0 && flags & FD_CLOEXEC)
        descriptor_forget(f, fd);
}

void files_exec(struct files *f)
{
    mutex_lock(&f->lock);
    bool any = f->open;
    mutex_unlock(&f->lock);
    if (any)
        each_descriptor(f, let_go_at_exec, NULL);
    releases_send(f->releases);
}

void files_exit(struct files *f, int pid)
{
    descriptor_end_locks(f, pid);
}

void files_set_cwd(struct files *f, const char *path, const struct file_id *id, bool held)
{
    mutex_lock(&f->lock);
    struct file_id old = f->cwd_id;
    bool old_held = f->cwd_held;
    text_copy(f->cwd, sizeof f->cwd, path);
    f->cwd_id = *id;
    f->cwd_held = held;
    mutex_unlock(&f->lock);
    if (held)
        releases_held(f->releases);
    if (old_held)
        releases_put(f->releases, &old, false);
}

struct file_id files_cwd_id(struct files *f)
{
    mutex_lock(&f->lock);
    struct file_id id = f->cwd_id;
    mutex_unlock(&f->lock);
    return id;
}

void files_find_cwd(struct files *f)
{
    struct msg_file_open request = {.flags = O_PATH | O_DIRECTORY, .path = f->cwd};
    struct msg_file_open_reply reply;
    struct rpc rpc;
    int rc = path_is_local(f->cwd)
                 ? -ENOENT
                 : RPC_CALL(&rpc, STORAGE, FILE_OPEN, file_open, &request, &reply);
    if (rc == 0)
        files_set_cwd(f, reply.path[0] ? reply.path : f->cwd, &reply.attr.id, true);
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

bool files_hidden(const struct files *f, int fd)
{
    return fd >= f->floor;
}

bool files_closed(struct files *f, int fd)
{
    struct descriptor d;
    if (files_hidden(f, fd))
        return true;
    if (descriptor_get(f, fd, &d) < 0)
        return false;
    bool closed = d.file && d.file->flags & O_PATH;
    descriptor_put(&d);
    return closed;
}

int files_floor(const struct files *f)
{
    return f->floor;
}

bool files_beyond(const struct files *f, int fd)
{
    return (uint32_t)fd >= __atomic_load_n(&f->limit, __ATOMIC_RELAXED);
}

void files_set_limit(struct files *f, uint64_t limit)
{
    uint32_t most = (uint32_t)f->floor;
    __atomic_store_n(&f->limit, limit < most ? (uint32_t)limit : most, __ATOMIC_RELAXED);
}

long files_new_host(struct files *f, long fd)
{
    if (fd < 0)
        return fd;
    if (files_beyond(f, (int)fd)) {
        host_call(__NR_close, fd);
        return -EMFILE;
    }
    descriptor_install_host(f, (int)fd, ENTRY_HOST);
    return fd;
}

void files_sent(struct files *f, int fd)
{
    struct descriptor d;
    if (descriptor_get(f, fd, &d) < 0)
        return;
    if (d.file) {
        d.file->shared = true;
        releases_sent(f->releases);
    }
    descriptor_put(&d);
}
