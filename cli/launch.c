/* See launch.h. */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot_write.h"
#include "cli.h"
#include "component.h"
#include "daemons.h"
#include "error_text.h"
#include "stats.h"

enum {
    HIGH_FD = 1000, /* the monitor's descriptors start here, out of the program's way */
    HIGH_FD_ROOM = 16,
    STACK_BYTES = 8 << 20, /* where the caller's limit leaves the host no room above the window */
};

/*
 * The directories that a run may change: the caller's current one, and /tmp. A name with the
 * separator in it cannot be said, and must not be taken for two.
 */
static void writable_dirs(const char *cwd, char *text, size_t size)
{
    bool sayable = !strchr(cwd, ':') && strcmp(cwd, "/tmp") != 0;
    snprintf(text, size, "%s%s/tmp", sayable ? cwd : "", sayable ? ":" : "");
}

/* ---- where ---- */

static int ask_place(struct launch *launch, const struct rack *rack, const struct net_key *key)
{
    struct daemon_record *global = rack_first((struct rack *)rack, COMPONENT_GLOBAL);
    struct net_conn *conn;
    int rc = component_connect(global->address, key, &conn);
    if (rc < 0) {
        cli_error("the global managers (%s, pid %d) of rack %s cannot be reached: %s; nothing can "
                  "be placed (ashlar up starts what has ended)",
                  global->name, (int)global->pid, rack->name, error_text(rc));
        return rc;
    }
    struct msg_place request = {};
    rc = NET_CALL(conn, PLACE, place, &request, &launch->place, GLOBAL_TIMEOUT_MS);
    net_close(conn);
    if (rc < 0)
        cli_error("rack %s has no place for a program: %s (ashlar status says why)", rack->name,
                  error_text(rc));
    return rc;
}

/* The node's socket is in the rack's directory, under the component's name. */
static int open_run(struct launch *launch, const struct rack *rack, const struct net_key *key)
{
    char address[ADDRESS_LIMIT], writable[PATH_MAX * 2];
    const struct component_info *node = &launch->place.process;
    /* By way of a descriptor: the directory's path may be longer than a socket's may. */
    int dir_fd = open(rack->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(address, sizeof address, "unix:/proc/self/fd/%d/%.*s.sock", dir_fd,
             (int)sizeof node->name, node->name);
    int rc = dir_fd < 0 ? -errno : component_connect(address, key, &launch->node);
    if (dir_fd >= 0)
        close(dir_fd);
    if (rc < 0) {
        cli_error("%s (process, pid %u) cannot be reached: %s", node->name, node->pid,
                  error_text(rc));
        return rc;
    }
    writable_dirs(launch->cwd, writable, sizeof writable);
    const char *slash = strrchr(launch->program, '/');
    struct msg_run_open request = {
        .excache_bytes = launch->excache_bytes,
        .replicas = launch->replicas,
        .memory = launch->place.memory,
        .storage = launch->place.storage,
        .writable = writable,
        .name = slash ? slash + 1 : launch->program,
    };
    struct msg_run_open_reply reply;
    rc = NET_CALL(launch->node, RUN_OPEN, run_open, &request, &reply, NODE_TIMEOUT_MS);
    if (rc == ASH_LIMIT)
        cli_error("%s has no ExCache left to give (ashlar ps shows who has it)", node->name);
    else if (rc < 0)
        cli_error("%s does not take the run: %s", node->name, error_text(rc));
    launch->run_id = reply.run_id;
    launch->granted_bytes = reply.excache_bytes;
    return rc;
}

int launch_open(struct launch *launch, const struct rack *rack)
{
    struct net_key key;
    int rc = rack_key(rack, &key);
    if (rc < 0) {
        cli_error("%s/key cannot be read: %s", rack->dir, error_text(rc));
        return rc;
    }
    rc = ask_place(launch, rack, &key);
    return rc < 0 ? rc : open_run(launch, rack, &key);
}

/* ---- what the child inherits ---- */

/* A copy of fd out of the program's way, still closed on exec here; fd is closed. */
static int move_high(int fd)
{
    struct rlimit limit;
    int floor = HIGH_FD;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < HIGH_FD + HIGH_FD_ROOM)
        floor = limit.rlim_cur > 2 * HIGH_FD_ROOM ? (int)limit.rlim_cur - HIGH_FD_ROOM : 3;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, floor);
    if (high < 0)
        return fd;
    close(fd);
    return high;
}

static int make_stats(void)
{
    struct run_stats head = {.size_bytes = sizeof head};
    int fd = memfd_create("ashlar-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    /* Sealed in size: a program that gets at it cannot take it away under its readers. */
    if (ftruncate(fd, sizeof head) < 0 ||
        pwrite(fd, &head.size_bytes, sizeof head.size_bytes, 0) != sizeof head.size_bytes ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return move_high(fd);
}

static int make_boot(const struct boot *head, const struct boot_strings *strings)
{
    uint64_t size = boot_size(strings);
    int fd = memfd_create("ashlar-boot", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    void *map = ftruncate(fd, (off_t)size) < 0
                    ? MAP_FAILED
                    : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    boot_fill(map, head, strings);
    munmap(map, size);
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return move_high(fd);
}

static uint64_t mask_bits(const sigset_t *mask)
{
    uint64_t bits = 0;
    for (int s = 1; s <= 64; s++)
        bits |= sigismember(mask, s) == 1 ? 1ull << (s - 1) : 0;
    return bits;
}

static mode_t current_umask(void)
{
    mode_t mask = umask(0);
    umask(mask);
    return mask;
}

/* Takes the first process's seat. fds: the seat, its lifeline. */
static int take_seat(struct launch *launch, int fds[2])
{
    uint8_t body[16];
    struct msg_run_seat request = {.run_id = launch->run_id};
    struct net_frame reply;
    int count = 2;
    int rc = msg_run_seat_encode(&request, body, sizeof body);
    if (rc >= 0)
        rc = net_request_fds(launch->node, OP_RUN_SEAT, body, (size_t)rc, NODE_TIMEOUT_MS, &reply,
                             fds, &count);
    if (rc == 0 && count != 2) {
        for (int i = 0; i < count; i++)
            close(fds[i]);
        rc = ASH_MALFORMED;
    }
    if (rc < 0) {
        cli_error("%s gave no seat: %s", launch->place.process.name, error_text(rc));
        return rc;
    }
    fds[0] = move_high(fds[0]);
    fds[1] = move_high(fds[1]);
    return 0;
}

/* ---- the child ---- */

/* A limit of the stack beyond which the host may put mappings in the program's window. */
#define STACK_FAR (1ull << 40)

/*
 * ashlar-exec must not lie in the program's window, which is where the host would put it to leave
 * room for an infinite stack, or with its legacy layout of address spaces.
 */
static void keep_usual_layout(void)
{
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur > STACK_FAR) {
        stack.rlim_cur = STACK_BYTES;
        (void)setrlimit(RLIMIT_STACK, &stack);
    }
    int now = personality(0xffffffff);
    if (now >= 0 && (now & ADDR_COMPAT_LAYOUT))
        (void)personality((unsigned)now & ~(unsigned)ADDR_COMPAT_LAYOUT);
}

static void become(const struct launch *launch, const char *exec_path, const int *keep, int count,
                   const sigset_t *mask, pid_t parent)
{
    char boot_variable[32];
    char *environment[] = {boot_variable, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(CLI_RUN_FAILED); /* it died before that took effect */
    for (int i = 0; i < count; i++) {
        if (keep[i] >= 0)
            (void)fcntl(keep[i], F_SETFD, 0);
    }
    keep_usual_layout();
    snprintf(boot_variable, sizeof boot_variable, BOOT_ENV "=%d", keep[0]);
    sigprocmask(SIG_SETMASK, mask, NULL);
    execve(exec_path, launch->argv, environment);
    int error = errno;
    cli_error("%s: %s", exec_path, strerror(error));
    _exit(error == E2BIG ? CLI_NOT_EXECUTABLE : CLI_RUN_FAILED);
}

/* Where the trace goes: NULL is standard error. */
static int open_trace(const char *name)
{
    if (!name)
        return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        cli_error("%s: %s", name, strerror(errno));
    return fd;
}

int launch_start(struct launch *launch, const sigset_t *mask)
{
    enum { BOOT, STATS, SEAT, LIFELINE, EXEC, TRACE, COUNT };
    extern char **environ;
    int fds[COUNT] = {-1, -1, -1, -1, -1, -1};
    char exec_path[PATH_MAX], writable[PATH_MAX * 2];
    launch->stats_fd = -1;
    int rc = program_find("ashlar-exec", exec_path, sizeof exec_path);
    if (rc < 0)
        return rc;
    rc = take_seat(launch, &fds[SEAT]);
    if (rc < 0)
        return rc;
    fds[EXEC] = open(exec_path, O_RDONLY | O_CLOEXEC);
    fds[EXEC] = fds[EXEC] < 0 ? fds[EXEC] : move_high(fds[EXEC]);
    fds[STATS] = make_stats();
    if (launch->flags & (BOOT_TRACE | BOOT_TRACE_ALLOC) &&
        (fds[TRACE] = open_trace(launch->trace_name)) < 0)
        return -EINVAL;
    if (fds[TRACE] >= 0)
        fds[TRACE] = move_high(fds[TRACE]);

    writable_dirs(launch->cwd, writable, sizeof writable);
    struct boot_strings strings = {
        .program = launch->program,
        .named = strchr(launch->argv[0], '/') ? launch->argv[0] : launch->program,
        .cwd = launch->cwd,
        .writable = writable,
        .argv = launch->argv,
        .envp = environ,
    };
    struct boot head = {
        .excache_bytes = launch->granted_bytes,
        .run_id = launch->run_id,
        .flags = launch->flags,
        .policy = launch->policy,
        .node_fd = fds[SEAT],
        .stats_fd = fds[STATS],
        .exec_fd = fds[EXEC],
        .trace_fd = fds[TRACE],
        .lifeline_fd = fds[LIFELINE],
        .memory_fd = -1,
        .storage_fd = -1,
        .segments_fd = -1,
        .sigmask = mask_bits(mask),
        .umask = current_umask(),
        .memory = launch->place.memory,
        .storage = launch->place.storage,
    };
    fds[BOOT] = make_boot(&head, &strings);
    if (fds[BOOT] < 0 || fds[STATS] < 0 || fds[EXEC] < 0) {
        cli_error("no descriptors or memory to start the program with: %s", strerror(errno));
        rc = -EMFILE;
    } else {
        pid_t parent = getpid();
        launch->pid = fork();
        if (launch->pid == 0)
            become(launch, exec_path, fds, COUNT, mask, parent);
        if (launch->pid < 0) {
            rc = -errno;
            cli_error("cannot fork: %s", strerror(-rc));
        }
    }
    launch->stats_fd = fds[STATS];
    for (int i = 0; i < COUNT; i++) {
        if (i != STATS && fds[i] >= 0)
            close(fds[i]);
    }
    return rc;
}
