/*
 * The first code of a host process: finds out what to run, joins the node, loads, goes.
 *
 * Runs on the host's own first stack until stack_switch(), then on the first thread's kernel stack.
 */
#include <linux/auxvec.h>
#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/resource.h>

#include "../excache/excache.h"
#include "../excache/trail.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../loader/loader.h"
#include "../mm/mm.h"
#include "../mm/shared.h"
#include "../rpc/identity.h"
#include "../rpc/node.h"
#include "../rpc/rpc.h"
#include "../rpc/rpc_pool.h"
#include "../signals/signals.h"
#include "../syscalls/host_calls.h"
#include "life.h"
#include "process.h"
#include "rewrite.h"
#include "sigsys.h"
#include "thread.h"

/*
 * Numbers of descriptors. The monitor's lie beyond the usual limit of 1024, and where programs with
 * more seldom name one on purpose; not above all that a program may ever have, for the host copies
 * its table up to the highest one at each fork.
 */
enum { HIDDEN_DESCRIPTORS = 64, HIDDEN_FROM = 1216, DESCRIPTORS_MOST = 65536 };

/* Arguments, and the locks on as many files as there are descriptors. */
#define BOOT_SIZE_MAX (1ull << 27)

uint64_t host_auxv[64];
struct run_stats *stats;

static struct {
    const struct boot *boot;
    const char *program, *named, *cwd, *writable;
    const char **argv, **envp;
} given;

struct process first_process;

static void usage(void)
{
    static const char text[] = "ashlar-exec: started by `ashlar run PROGRAM`, not by hand\n";
    host_call(__NR_write, 2, text, sizeof text - 1);
    host_call(__NR_exit_group, 2);
}

/* Splits the strings after the head; every one ends within the description. */
static bool split_strings(const struct boot *b)
{
    const char *at = (const char *)(b + 1),
               *end = (const char *)b + b->size_bytes - b->examined_bytes - b->locks_bytes;
    uint64_t total = 4ull + b->argc + b->envc;
    const char **table = host_alloc((total + 2) * sizeof *table);
    uint64_t n = 0, out = 0;

    if (!table || end[-1] != 0)
        return false;
    for (; n < total && at < end; n++) {
        if (n == 4ull + b->argc)
            table[out++] = NULL;
        table[out++] = at;
        at += strlen(at) + 1;
    }
    if (n != total)
        return false;
    if (b->envc == 0)
        table[out++] = NULL;
    table[out] = NULL;
    given.boot = b;
    given.program = table[0];
    given.named = table[1];
    given.cwd = table[2];
    given.writable = table[3];
    given.argv = table + 4;
    given.envp = table + 4 + b->argc + 1;
    return true;
}

static bool read_boot(int fd)
{
    struct boot head;
    if (host_call(__NR_pread64, fd, &head, sizeof head, 0) != sizeof head ||
        head.magic != BOOT_MAGIC || head.size_bytes <= sizeof head ||
        head.size_bytes > BOOT_SIZE_MAX ||
        (head.examined_bytes && head.examined_bytes != sizeof(struct program)) ||
        head.locks_bytes % sizeof(struct file_locks) || head.locks_bytes > BOOT_SIZE_MAX ||
        head.examined_bytes + head.locks_bytes >= head.size_bytes - sizeof head)
        return false;
    if (host_call(__NR_lseek, fd, 0, 2 /* SEEK_END */) < (long)head.size_bytes)
        return false;
    long at = host_call(__NR_mmap, 0, head.size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    host_call(__NR_close, fd);
    return (at >= 0 || at <= -4096) && split_strings((const struct boot *)at);
}

static int find_boot_fd(char **envp)
{
    for (; *envp; envp++) {
        if (!text_begins(*envp, BOOT_ENV "="))
            continue;
        int fd = 0;
        for (const char *c = *envp + sizeof BOOT_ENV; *c >= '0' && *c <= '9'; c++)
            fd = fd * 10 + (*c - '0');
        return fd;
    }
    return -1;
}

/* Where the host's limit ends before the hidden numbers would, they are the last ones. */
static void choose_numbers(const struct boot *b)
{
    struct fd_numbers n = {.hidden = b->fd_hidden, .most = b->fd_most};
    if (!n.hidden) {
        struct rlimit64 l;
        host_call(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &l);
        if (l.rlim_max < 3 * HIDDEN_DESCRIPTORS)
            host_die("the limit on open files (%lu) leaves no room for the monitor",
                     (unsigned long)l.rlim_max);
        l.rlim_cur = l.rlim_max < DESCRIPTORS_MOST ? l.rlim_max : DESCRIPTORS_MOST;
        host_call(__NR_prlimit64, 0, RLIMIT_NOFILE, &l, NULL);
        n.most = (int)l.rlim_cur;
        n.hidden = HIDDEN_FROM;
        if (n.most < HIDDEN_FROM + 2 * HIDDEN_DESCRIPTORS)
            n.most = n.hidden = n.most - HIDDEN_DESCRIPTORS;
    }
    n.hidden_end = n.hidden + HIDDEN_DESCRIPTORS;
    fd_numbers = n;
}

static int hidden(int fd)
{
    return fd < 0 || fd_is_hidden(fd) ? fd : fd_hide(fd);
}

static void map_stats(int fd)
{
    long at =
        fd < 0 ? -1
               : host_call(__NR_mmap, 0, sizeof *stats, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    stats = at < 0 && at > -4096 ? host_alloc(sizeof *stats) : (struct run_stats *)at;
    host_assert(stats);
}

static struct process *make_process(const struct boot *b)
{
    struct process *p = &first_process;
    limits_begin(p, b);
    choose_numbers(b);
    if (!b->limits_known)
        limits_fit(p, fd_numbers.most);
    p->pid = (int)host_call(__NR_getpid);
    p->node_fd = hidden(b->node_fd);
    p->lifeline_fd = hidden(b->lifeline_fd);
    p->stats_fd = hidden(b->stats_fd);
    p->exec_fd = hidden(b->exec_fd);
    p->trace_fd = hidden(b->trace_fd);
    /* Hidden from exec too, but for ours. */
    host_call(__NR_close_range, fd_numbers.hidden, fd_numbers.hidden_end - 1, CLOSE_RANGE_CLOEXEC);
    p->run_id = b->run_id;
    p->excache_bytes = b->excache_bytes;
    p->boot_flags = b->flags;
    p->policy = b->policy;
    p->memory = b->memory;
    p->storage = b->storage;
    text_copy(p->writable, sizeof p->writable, given.writable);
    const char *slash = strrchr(given.program, '/');
    text_copy(p->name, sizeof p->name, slash ? slash + 1 : given.program);
    host_call(__NR_prctl, PR_SET_NAME, p->name);
    map_stats(p->stats_fd);
    return p;
}

/* An exec: the home and the node are told that the old program is gone. Both work on that while
   this process sets itself up. */
static void renew_begin(struct process *p, struct asid asid, struct rpc *reset)
{
    struct msg_space_reset request = {.asid = asid};
    int rc = rpc_begin(reset, COMPONENT_MEMORY);
    if (rc == 0)
        rc = msg_space_reset_encode(&request, reset->request, RPC_REQUEST_MAX);
    if (rc >= 0)
        rc = rpc_post(reset, OP_SPACE_RESET, rc, NULL, 0);
    if (rc < 0)
        host_die("the home mComponent was not told of a new program (error %d)", -rc);
    rc = node_started(p); /* its new name */
    if (rc < 0)
        host_die("the node (ashlar-process) was not told of this program (error %d)", -rc);
}

static int renew_end(struct process *p, struct rpc *reset)
{
    int rc = rpc_wait(reset);
    rpc_end(reset);
    if (rc < 0)
        host_die("the home mComponent did not clear the address space (error %d)", -rc);
    int segments_fd = node_started_end(p);
    if (segments_fd < 0)
        host_die("the node (ashlar-process) does not know this program (error %d)", -segments_fd);
    return segments_fd;
}

/* The address space and the connections: new ones from the node, or what the last image left. */
static void attach(struct process *p, const struct boot *b)
{
    struct asid asid = b->asid;
    uint64_t memory_bytes = b->memory_bytes;
    int memory_fd = hidden(b->memory_fd), storage_fd = hidden(b->storage_fd);
    bool joined = memory_fd >= 0;
    int segments_fd = hidden(b->segments_fd);

    if (!joined) {
        node_watch(p->lifeline_fd); /* else the last image did */
        int rc = node_join(p, &asid, &memory_bytes, &memory_fd, &storage_fd, &segments_fd);
        if (rc < 0)
            host_die("the node (ashlar-process) did not admit this program (error %d)", -rc);
    }
    if (segments_fd >= 0)
        STAT_ADD(processes, 1);
    rpc_init(p, memory_fd, storage_fd);
    if (b->told)
        rpc_was_told();
    struct rpc reset;
    bool used = segments_fd < 0;
    if (used)
        renew_begin(p, asid, &reset);
    mm_init(asid, memory_bytes, p->excache_bytes, (int)p->policy, p->boot_flags & BOOT_NO_MOVE);
    mm.uffd = fd_hide(mm.uffd);
    shared_init(p, used ? renew_end(p, &reset) : segments_fd);
}

static const char *reason(int rc)
{
    switch (rc) {
    case -ENOENT:
        return "No such file or directory";
    case -EACCES:
        return "Permission denied";
    case -ENOEXEC:
        return "Exec format error";
    case -EIO:
        return "the sComponent does not answer";
    }
    return "cannot be executed";
}

static void start_program(struct thread *t)
{
    const struct boot *b = given.boot;
    struct process *p = t->process;
    const char *prefix[PREFIX_MAX + 1];
    struct program *program;
    struct arguments arguments = {.prefix = prefix, .text_size = 8 * PATH_LIMIT};

    thread_arm(t);
    attach(p, b);
    p->files = files_new(given.cwd, b->umask);
    p->actions = signals_new(b->ignored, b->limits_known);
    if (!p->files || !p->actions)
        host_die("out of memory");
    signals_init(p);
    files_set_cwd(p->files, given.cwd, &b->cwd);
    const char *locks = (const char *)b + b->size_bytes - b->examined_bytes - b->locks_bytes;
    files_after_exec(p->files, b->memory_fd < 0 || b->files, b->files_below, b->posix_locks,
                     (const struct file_locks *)locks, b->locks_bytes / sizeof(struct file_locks));
    if (!b->cwd.file.inode)
        files_find_cwd(p->files);
    if (b->examined_bytes) {
        program = (struct program *)((char *)b + b->size_bytes - b->examined_bytes);
    } else {
        program = host_alloc(sizeof *program);
        arguments.text = host_alloc(arguments.text_size);
        if (!program || !arguments.text)
            host_die("out of memory");
        int rc = program_examine(given.program, given.named, program, &arguments);
        if (rc < 0) {
            host_message("%s: %s", given.program, reason(rc));
            host_call(__NR_exit_group, rc == -ENOENT ? 127 : 126);
        }
    }
    trail_begin(p, &program->file.attr);
    p->text = program->file.held;
    files_adopt(p->files, &p->text, &program->interpreter.held);
    const char **argv = given.argv;
    if (arguments.prefix_count) { /* a script: argv[0] gives way */
        uint32_t rest = b->argc ? b->argc - 1 : 0;
        argv = host_alloc((arguments.prefix_count + rest + 1) * sizeof *argv);
        host_assert(argv);
        memcpy(argv, prefix, (size_t)arguments.prefix_count * sizeof *argv);
        memcpy(argv + arguments.prefix_count, given.argv + 1, rest * sizeof *argv);
    }
    program_load(t, program, given.named, argv, given.envp);
    files_close_exec(&program->interpreter); /* the home has it open when that is sent */
    if (arguments.text) {
        host_free(arguments.text, arguments.text_size);
        host_free(program, sizeof *program);
    }
    t->sigmask = b->sigmask;
    host_pages_free((void *)b, b->size_bytes);
    signals_thread_begin(t);
    thread_return(t);
}

void start(uint64_t *stack) __attribute__((used));
void start(uint64_t *stack)
{
    host_populate_image();
    char **envp = (char **)(stack + 1 + stack[0] + 1), **end = envp;
    while (*end)
        end++;
    for (const uint64_t *a = (const uint64_t *)(end + 1); a[0] != AT_NULL; a += 2)
        if (a[0] < 64)
            host_auxv[a[0]] = a[1];
    int fd = find_boot_fd(envp);
    if (fd < 0 || !read_boot(fd))
        usage();
    host_rate_known(&(struct host_rate){given.boot->ticks_begin, given.boot->ticks_begin_ns,
                                        given.boot->ticks_scale});
    struct process *p = make_process(given.boot);
    rewrite_init(!(p->boot_flags & BOOT_NO_REWRITE));
    struct thread *t = thread_new(p, &mm);
    host_assert(t);
    thread_populate(t);
    t->tid = p->pid;
    t->main = true;
    t->identity = identity_at_start(p);
    thread_link(t);
    stack_switch(t, start_program);
}
