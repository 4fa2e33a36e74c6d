/*
 * execve: everything that can fail is looked at here, in the old image; then the host executes
 * ashlar-exec again, with what it has to know in a boot description (process/contract/boot.h) and
 * the seat, the connections and the address space of this process inherited. A vfork child has none
 * of its own but its seat: it joins the node here, like a run's first process, so that the
 * sComponent knows what it has open before its parent goes on and may close it.
 */
#include <linux/fcntl.h>
#include <linux/resource.h>

#include "../excache/excache.h"
#include "../excache/trail.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../loader/loader.h"
#include "../mm/mm.h"
#include "../mm/uaccess.h"
#include "../rpc/node.h"
#include "../rpc/rpc_pool.h"
#include "../signals/signals.h"
#include "boot_write.h"
#include "life.h"
#include "thread_calls.h"

enum {
    TEXTS_BYTES = 6 << 20, /* of arguments and environment, at most; see texts_room() */
    TEXTS_LEAST = 128 * 1024,
    TEXTS_COUNT = 1 << 19,
    TEXT_MOST = 128 * 1024, /* one of them */
};

/* What the caller passed, copied into monitor memory. */
struct texts {
    char *bytes;
    size_t used, room;
    const char **table; /* argv, NULL, envp, NULL */
    size_t count;
    const char **argv, **envp;
    struct program *program;
    bool plain; /* the program is the file that was named, not a script's interpreter */
    char *prefix_text;
    char path[PATH_LIMIT], named[PATH_LIMIT];
};

/* A vfork child's, from node_join(). */
struct joined {
    struct asid asid;
    uint64_t memory_bytes;
    int memory_fd, storage_fd, segments_fd;
};

static void texts_free(struct texts *x)
{
    if (x->bytes)
        host_free(x->bytes, TEXTS_BYTES);
    if (x->table)
        host_free(x->table, (TEXTS_COUNT + PREFIX_MAX) * sizeof *x->table);
    if (x->program) {
        files_close_exec(&x->program->file);
        files_close_exec(&x->program->interpreter);
        host_free(x->program, sizeof *x->program);
    }
    if (x->prefix_text)
        host_free(x->prefix_text, 8 * PATH_LIMIT);
    host_free(x, sizeof *x);
}

/* As on Linux: a quarter of the stack that the next program gets, within bounds. */
static size_t texts_room(const struct process *p)
{
    uint64_t room = __atomic_load_n(&p->limits[KEPT_STACK].soft, __ATOMIC_RELAXED) / 4;
    return room < TEXTS_LEAST ? TEXTS_LEAST : room > TEXTS_BYTES ? TEXTS_BYTES : room;
}

static struct texts *texts_new(const struct process *p)
{
    struct texts *x = host_alloc(sizeof *x);
    if (!x)
        return NULL;
    x->room = texts_room(p);
    x->bytes = host_alloc(TEXTS_BYTES);
    x->table = host_alloc((TEXTS_COUNT + PREFIX_MAX) * sizeof *x->table);
    x->program = host_alloc(sizeof *x->program);
    x->prefix_text = host_alloc(8 * PATH_LIMIT);
    if (!x->bytes || !x->table || !x->program || !x->prefix_text) {
        texts_free(x);
        return NULL;
    }
    return x;
}

/* Appends a NULL-terminated vector of the application's; address 0 is an empty one. */
static long read_vector(struct texts *x, uint64_t address)
{
    for (; address; address += 8) {
        uint64_t text;
        if (user_read(&text, address, sizeof text) < 0)
            return -EFAULT;
        if (!text)
            break;
        /* Their pointers count as well. */
        size_t taken = x->used + x->count * sizeof(char *);
        size_t room = taken < x->room ? x->room - taken : 0;
        long n = user_read_text(x->bytes + x->used, text, room < TEXT_MOST ? room : TEXT_MOST);
        if (n == -ENAMETOOLONG || x->count >= TEXTS_COUNT - 2)
            return -E2BIG;
        if (n < 0)
            return n;
        x->table[x->count++] = x->bytes + x->used;
        x->used += (size_t)n + 1;
    }
    x->table[x->count++] = NULL;
    return 0;
}

static long examine(struct texts *x)
{
    const char *prefix[PREFIX_MAX + 1];
    struct arguments a = {.prefix = prefix, .text = x->prefix_text, .text_size = 8 * PATH_LIMIT};

    /* A way through /proc (/proc/self/exe) means another file in the next image: the file itself.
     */
    if (text_begins(x->path, "/proc/")) {
        int rc = files_open_exec(x->path, &x->program->file, &x->program->head);
        if (rc < 0)
            return rc;
        text_copy(x->path, sizeof x->path, x->program->file.path);
    }
    int rc = program_examine(x->path, x->named, x->program, &a);
    x->plain = a.prefix_count == 0;
    return rc;
}

static bool write_all(int fd, const void *from, uint64_t size, uint64_t offset)
{
    for (uint64_t done = 0; done < size;) {
        long n =
            host_call(__NR_pwrite64, fd, (const uint8_t *)from + done, size - done, offset + done);
        if (n <= 0)
            return false;
        done += (uint64_t)n;
    }
    return true;
}

_Static_assert(sizeof(struct file_locks) % _Alignof(struct program) == 0, "they lie before it");

static int write_boot(struct process *p, struct thread *t, const struct texts *x)
{
    struct boot_strings strings = {.program = x->path,
                                   .named = x->named,
                                   .cwd = files_cwd(p->files),
                                   .writable = p->writable,
                                   .argv = (char *const *)x->argv,
                                   .envp = (char *const *)x->envp};
    struct boot head = {.excache_bytes = p->excache_bytes,
                        .run_id = p->run_id,
                        .flags = p->boot_flags,
                        .policy = p->policy,
                        .node_fd = p->node_fd,
                        .stats_fd = p->stats_fd,
                        .exec_fd = p->exec_fd,
                        .trace_fd = p->trace_fd,
                        .lifeline_fd = p->lifeline_fd,
                        .memory_fd = -1,
                        .storage_fd = -1,
                        .segments_fd = -1,
                        .sigmask = t->sigmask,
                        .ignored = signals_ignored(p->actions),
                        .umask = files_umask(p->files),
                        .fd_hidden = fd_numbers.hidden,
                        .fd_most = fd_numbers.most,
                        .asid = mm.asid,
                        .memory_bytes = mm.memory_bytes,
                        .cwd = files_cwd_held(p->files),
                        .files_below = files_below(p->files),
                        .files = files_any(p->files),
                        .posix_locks = files_posix_locks(p->files),
                        .limits_known = 1,
                        .memory = p->memory,
                        .storage = p->storage};
    const struct host_rate rate = host_rate();
    head.ticks_begin = rate.begin;
    head.ticks_begin_ns = rate.begin_ns;
    head.ticks_scale = rate.scale;
    memcpy(head.limits, p->limits, sizeof head.limits);
    if (p->joined) {
        head.asid = p->joined->asid;
        head.memory_bytes = p->joined->memory_bytes;
        head.memory_fd = p->joined->memory_fd;
        head.storage_fd = p->joined->storage_fd;
        head.segments_fd = p->joined->segments_fd;
    } else {
        rpc_descriptors(&head.memory_fd, &head.storage_fd);
    }
    if (head.storage_fd < 0)
        head.memory_fd = -1;
    uint32_t locked = files_locks(p->files, NULL, 0);
    head.locks_bytes = locked * sizeof(struct file_locks);
    uint64_t align = _Alignof(struct program);
    uint64_t texts_size = (boot_size(&strings) + align - 1) & ~(align - 1);
    if (x->plain)
        head.examined_bytes = sizeof *x->program;
    uint64_t size = texts_size + head.locks_bytes;
    uint8_t *texts = host_alloc(size);
    long fd = texts ? host_call(__NR_memfd_create, "ashlar-boot", 1 /* MFD_CLOEXEC */) : -ENOMEM;
    if (fd >= 0) {
        boot_fill(texts, &head, &strings);
        ((struct boot *)texts)->size_bytes = size + head.examined_bytes;
        (void)files_locks(p->files, (struct file_locks *)(texts + texts_size), locked);
        fd = fd_hide((int)fd);
        if (!write_all((int)fd, texts, size, 0) ||
            !write_all((int)fd, x->program, head.examined_bytes, size)) {
            host_call(__NR_close, fd);
            fd = -ENOMEM;
        }
    }
    if (texts)
        host_free(texts, size);
    return (int)fd;
}

/* What the next image inherits: close-on-exec off, or on again where the host's execve failed. */
static void hand_on(const struct process *p, int boot_fd, bool on)
{
    int fds[9] = {boot_fd, p->node_fd, p->lifeline_fd, p->stats_fd, p->exec_fd, p->trace_fd, -1,
                  -1,      -1};
    if (p->joined) {
        fds[6] = p->joined->memory_fd;
        fds[7] = p->joined->storage_fd;
        fds[8] = p->joined->segments_fd;
    } else {
        rpc_descriptors(&fds[6], &fds[7]);
    }
    for (int i = 0; i < 9; i++)
        if (fds[i] >= 0)
            host_call(__NR_fcntl, fds[i], F_SETFD, on ? 0 : FD_CLOEXEC);
}

void exec_leftovers_free(struct process *p)
{
    if (p->exec_texts)
        texts_free(p->exec_texts);
    if (p->joined)
        host_free(p->joined, sizeof *p->joined);
}

/* No request of another thread may be under way on the connections that the next image gets. */
static void stand_still(struct process *p)
{
    rwlock_write(&mm.lock);
    excache_quiesce();
    rpc_hold_first();
    mutex_lock(&p->node_lock); /* the seat is handed on as well */
}

/* What the next image is to know of the connection to the sComponent, which is at rest now. */
static bool put_told(int boot_fd)
{
    const uint8_t told = 1;
    return !rpc_told() || write_all(boot_fd, &told, sizeof told, offsetof(struct boot, told));
}

static void go_on(struct process *p)
{
    mutex_unlock(&p->node_lock);
    rpc_release_first();
    rwlock_write_end(&mm.lock);
}

/* A vfork child's place at the node, which stays its own if the host's execve fails. */
static int join(struct process *p, const char *path)
{
    if (p->joined)
        return 0;
    struct joined *j = host_alloc(sizeof *j);
    if (!j)
        return -ENOMEM;
    const char *slash = strrchr(path, '/');
    text_copy(p->name, sizeof p->name, slash ? slash + 1 : path);
    int rc =
        node_join(p, &j->asid, &j->memory_bytes, &j->memory_fd, &j->storage_fd, &j->segments_fd);
    if (rc < 0) {
        host_free(j, sizeof *j);
        return rc < -4095 ? -EAGAIN : rc;
    }
    p->joined = j;
    return 0;
}

static long execute(struct thread *t, struct texts *x)
{
    struct process *p = t->process;
    char variable[64];
    const char *environment[] = {variable, NULL};
    static const char *const nameless[] = {"", NULL};

    int fd = p->vforked ? join(p, x->path) : 0;
    if (fd < 0)
        return fd;
    files_exec(p->files, p->pid); /* the locks that this ends are not handed on */
    fd = write_boot(p, t, x);
    if (fd < 0)
        return fd;
    text_format(variable, sizeof variable, BOOT_ENV "=%d", fd);
    trail_leave(p);
    if (!p->vforked)
        robust_end_all(t);
    signals_thread_end(t);
    if (p->vforked)
        p->exec_texts = x;
    else
        stand_still(p);
    long rc = -ENOMEM;
    if (p->vforked || put_told(fd)) {
        hand_on(p, fd, true);
        /* As they are by now: others may set them, and wait for the next image from here on. */
        __atomic_store_n(&p->executing, true, __ATOMIC_SEQ_CST);
        host_call(__NR_pwrite64, fd, p->limits, sizeof p->limits, offsetof(struct boot, limits));
        rc = host_call(__NR_execveat, p->exec_fd, "",
                       x->argv[0] ? x->argv : (const char **)nameless, environment, AT_EMPTY_PATH);
        __atomic_store_n(&p->executing, false, __ATOMIC_RELAXED);
        hand_on(p, fd, false);
    }
    if (p->vforked)
        p->exec_texts = NULL;
    else
        go_on(p);
    host_call(__NR_close, fd);
    signals_thread_begin(t);
    return rc;
}

/* What a descriptor refers to (AT_EMPTY_PATH, fexecve). */
static int path_of(struct files *files, int fd, char out[PATH_LIMIT])
{
    struct vnode_file file;
    int rc = files_mappable(files, fd, &file);
    if (rc == 0)
        text_copy(out, PATH_LIMIT, file.path);
    return rc == -ENODEV ? -EACCES : rc;
}

static long exec_path(struct thread *t, int dirfd, uint64_t path, uint64_t argv, uint64_t envp,
                      int flags)
{
    struct texts *x = texts_new(t->process);
    if (!x)
        return -ENOMEM;
    char *given = (char *)thread_bounce(t);
    long rc = given ? user_read_text(given, path, PATH_LIMIT) : -ENOMEM;
    if (rc > 0)
        text_copy(x->named, sizeof x->named, given);
    if (rc == 0 && flags & AT_EMPTY_PATH)
        rc = path_of(t->process->files, dirfd, x->path);
    else if (rc == 0)
        rc = -ENOENT;
    else if (rc > 0)
        rc = files_absolute(t->process->files, dirfd, given, x->path);
    if (!x->named[0])
        text_copy(x->named, sizeof x->named, x->path);
    if (rc >= 0)
        rc = read_vector(x, argv);
    size_t argc = x->count;
    if (rc == 0)
        rc = read_vector(x, envp);
    x->argv = x->table;
    x->envp = x->table + argc;
    if (rc == 0)
        rc = examine(x);
    if (rc == 0)
        rc = execute(t, x);
    texts_free(x);
    return rc;
}

long sys_execve(struct thread *t, const uint64_t a[6])
{
    return exec_path(t, AT_FDCWD, a[0], a[1], a[2], 0);
}

long sys_execveat(struct thread *t, const uint64_t a[6])
{
    if (a[4] & ~(uint64_t)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    return exec_path(t, (int)a[0], a[1], a[2], a[3], (int)a[4]);
}
