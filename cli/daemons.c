/* See daemons.h. */
#include "daemons.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cli.h"
#include "error_text.h"

enum {
    READY_MS = 10000, /* a daemon that has not said so by then will not */
    TERM_MS = 2000,   /* from SIGTERM to SIGKILL */
    KILL_MS = 5000,
    ARGS_MAX = 24,
};

struct starting {
    struct daemon_record *record;
    int ready_fd;             /* its address comes here; -1 once it is known or the end */
    char text[ADDRESS_LIMIT]; /* what came so far */
    size_t length;
    bool ready;
};

/* ---- finding programs ---- */

int program_find(const char *program, char *path, size_t size)
{
    static const struct {
        const char *program, *in_build_tree;
    } places[] = {
        {"ashlar-global", "global"},           {"ashlar-memory", "memory"},
        {"ashlar-memory-file", "memory_file"}, {"ashlar-storage", "storage"},
        {"ashlar-process", "process/node"},    {"ashlar-exec", "process/kernel"},
    };
    char dir[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (length < 0)
        return -errno;
    dir[length] = '\0';
    *strrchr(dir, '/') = '\0';
    if (snprintf(path, size, "%s/%s", dir, program) < (int)size && access(path, X_OK) == 0)
        return 0;
    if (snprintf(path, size, "%s/../libexec/ashlar/%s", dir, program) < (int)size &&
        access(path, X_OK) == 0)
        return 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (strcmp(places[i].program, program) == 0 &&
            snprintf(path, size, "%s/../%s/%s", dir, places[i].in_build_tree, program) <
                (int)size &&
            access(path, X_OK) == 0)
            return 0;
    }
    cli_error("%s is not installed: looked beside %s/ashlar and in libexec/ashlar", program, dir);
    return -ENOENT;
}

/* ---- one daemon ---- */

/* In the child: becomes the daemon. Only what is safe after fork in any process. */
static void become(char *const *argv, int log_fd, int ready_fd, int lifeline_fd, mode_t mask)
{
    enum { READY = 3, LIFELINE = 4, HIGH = 10 };
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    umask(mask);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[5] = {null_fd, log_fd, log_fd, ready_fd, lifeline_fd};
    for (int i = 0; i < 5; i++) {
        if (fds[i] >= 0)
            fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH);
    }
    for (int i = 0; i < 5; i++) {
        if (fds[i] >= 0)
            dup2(fds[i], i);
    }
    /* Closed by exec, not before: the rack's lock is among them, and `down`, which waits for it,
       must find a daemon in this process, not a copy of `up`. */
    close_range(lifeline_fd >= 0 ? LIFELINE + 1 : READY + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    if (chdir("/") == 0)
        execv(argv[0], argv);
    dprintf(2, "%s: %s\n", argv[0], strerror(errno));
    _exit(CLI_NOT_EXECUTABLE);
}

/* Starts one daemon at `listen`; its address is awaited by await_ready(). */
static int start_one(struct rack *rack, struct starting *s, const char *listen, int lifeline_fd)
{
    struct daemon_record *d = s->record;
    char program[32], path[PATH_MAX], log_path[RACK_DIR_MAX + 24], size[24];
    snprintf(program, sizeof program, "ashlar-%s%s", rack_kind_name(d->kind),
             d->file.size_bytes ? "-file" : "");
    int rc = program_find(program, path, sizeof path);
    if (rc < 0)
        return rc;
    char *argv[ARGS_MAX] = {path,       "--name",       d->name,      "--rack-dir", rack->dir,
                            "--listen", (char *)listen, "--ready-fd", "3"};
    int argc = 9;
    if (lifeline_fd >= 0) {
        argv[argc++] = "--lifeline-fd";
        argv[argc++] = "4";
    }
    if (d->kind != COMPONENT_GLOBAL) {
        argv[argc++] = "--global";
        argv[argc++] = rack_first(rack, COMPONENT_GLOBAL)->address;
    }
    if (d->file.size_bytes) {
        argv[argc++] = "--file";
        argv[argc++] = d->file.path;
    }
    uint64_t bytes = d->file.size_bytes             ? d->file.size_bytes
                     : d->kind == COMPONENT_MEMORY  ? rack->memory_size_bytes
                     : d->kind == COMPONENT_PROCESS ? rack->excache_total_bytes
                                                    : 0;
    if (bytes) {
        snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
        argv[argc++] = d->kind == COMPONENT_MEMORY ? "--size" : "--excache-total";
        argv[argc++] = size;
    }
    if (d->kind == COMPONENT_MEMORY && !d->file.size_bytes && rack->replica_dram[0]) {
        argv[argc++] = "--replica-dram";
        argv[argc++] = rack->replica_dram;
    }
    if (d->kind == COMPONENT_STORAGE && rack->log_dir[0]) {
        argv[argc++] = "--log-dir";
        argv[argc++] = rack->log_dir;
    }
    snprintf(log_path, sizeof log_path, "%s/%s.log", rack->dir, d->name);
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int ready[2];
    if (log_fd < 0 || pipe2(ready, O_CLOEXEC) < 0) {
        rc = -errno;
        if (log_fd >= 0)
            close(log_fd);
        return rc;
    }
    /* The sComponent makes files for its clients, who have applied their own masks. */
    mode_t mask = d->kind == COMPONENT_STORAGE ? 0 : 077;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, log_fd, ready[1], lifeline_fd, mask);
    rc = pid < 0 ? -errno : 0;
    close(log_fd);
    close(ready[1]);
    if (rc < 0) {
        close(ready[0]);
        return rc;
    }
    d->pid = pid;
    d->started = daemon_start_time(pid);
    s->ready_fd = ready[0];
    s->length = 0;
    s->ready = false;
    return 0;
}

/* Takes what a daemon has said; at its newline or end the descriptor is closed. */
static void hear(struct starting *s)
{
    ssize_t got = read(s->ready_fd, s->text + s->length, sizeof s->text - 1 - s->length);
    if (got < 0 && errno == EINTR)
        return;
    if (got > 0)
        s->length += (size_t)got;
    s->text[s->length] = '\0';
    char *newline = strchr(s->text, '\n');
    if (got > 0 && !newline && s->length < sizeof s->text - 1)
        return;
    if (newline) {
        *newline = '\0';
        strcpy(s->record->address, s->text);
        s->ready = true;
    }
    close(s->ready_fd);
    s->ready_fd = -1;
}

/* Waits until each has said its address, has ended, or time is up. */
static void await_ready(struct starting *list, unsigned count)
{
    uint64_t until = clock_ms() + READY_MS;
    for (;;) {
        struct pollfd fds[RACK_DAEMONS_MAX];
        unsigned waiting = 0;
        for (unsigned i = 0; i < count; i++) {
            fds[i] = (struct pollfd){.fd = list[i].ready_fd, .events = POLLIN};
            waiting += list[i].ready_fd >= 0;
        }
        uint64_t now = clock_ms();
        if (waiting == 0 || now >= until)
            break;
        if (poll(fds, count, (int)(until - now)) <= 0)
            continue;
        for (unsigned i = 0; i < count; i++) {
            if (fds[i].revents)
                hear(&list[i]);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        if (list[i].ready_fd >= 0)
            close(list[i].ready_fd);
        list[i].ready_fd = -1;
    }
}

/* Says what a daemon that did not start wrote last. */
static void complain(const struct rack *rack, const struct daemon_record *d)
{
    char path[RACK_DIR_MAX + 24], text[512];
    snprintf(path, sizeof path, "%s/%s.log", rack->dir, d->name);
    FILE *log = fopen(path, "re");
    const char *last = "";
    if (log) {
        fseek(log, -(long)(sizeof text - 1), SEEK_END);
        size_t got = fread(text, 1, sizeof text - 1, log);
        while (got > 0 && text[got - 1] == '\n')
            got--;
        text[got] = '\0';
        const char *line = strrchr(text, '\n');
        last = line ? line + 1 : text;
        fclose(log);
    }
    cli_error("%s (%s) did not start%s%s", d->name, rack_kind_name(d->kind), *last ? ": " : "",
              last);
}

/* ---- all of them ---- */

/* Starts every daemon in the list together. On failure those that did start are left to end. */
static int start_all(struct rack *rack, struct starting *list, unsigned count, bool old_address,
                     int lifeline_fd)
{
    int rc = 0;
    unsigned begun = 0;
    for (; begun < count && rc == 0; begun++) {
        const char *address = list[begun].record->address;
        rc = start_one(rack, &list[begun], old_address && *address ? address : "127.0.0.1:0",
                       lifeline_fd);
        if (rc < 0) {
            list[begun].ready_fd = -1;
            if (rc != -ENOENT)
                cli_error("%s cannot be started: %s", list[begun].record->name, strerror(-rc));
        }
    }
    /* Recorded before they are ready, so that `down` finds them if this process is killed now. */
    if (rack_save(rack) < 0 && rc == 0)
        rc = -EIO;
    await_ready(list, begun);
    for (unsigned i = 0; i < begun && rc == 0; i++) {
        if (!list[i].ready) {
            complain(rack, list[i].record);
            rc = -EIO;
        }
    }
    return rc;
}

static void add(struct rack *rack, const char *prefix, enum component_kind kind, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct daemon_record *d = &rack->daemons[rack->count++];
        *d = (struct daemon_record){.kind = kind};
        snprintf(d->name, sizeof d->name, "%s%u", prefix, i + 1);
    }
}

static uint64_t half_of_memory(unsigned shares)
{
    struct sysinfo info;
    sysinfo(&info);
    uint64_t bytes = (uint64_t)info.totalram * info.mem_unit / 2 / shares;
    return bytes & ~((1ull << 20) - 1);
}

int daemons_start(struct rack *rack, const struct rack_plan *plan)
{
    char path[RACK_DIR_MAX + 8];
    snprintf(path, sizeof path, "%s/key", rack->dir);
    int rc = net_key_create(path);
    if (rc < 0 && rc != -EEXIST) {
        cli_error("%s cannot be made: %s", path, error_text(rc));
        return rc;
    }
    rack->count = 0;
    rack->memory_size_bytes = plan->memory_size_bytes ? plan->memory_size_bytes
                              : plan->memory          ? half_of_memory(plan->memory)
                                                      : 0;
    rack->excache_total_bytes = plan->excache_total_bytes;
    memcpy(rack->replica_dram, plan->replica_dram, sizeof rack->replica_dram);
    if (plan->log_dir[0] && (rc = rack_make_log_dir(rack, plan->log_dir)) < 0)
        return rc;
    add(rack, "g", COMPONENT_GLOBAL, 1);
    add(rack, "m", COMPONENT_MEMORY, plan->memory + plan->files_count);
    for (unsigned i = 0; i < plan->files_count; i++)
        rack->daemons[rack->count - plan->files_count + i].file = plan->files[i];
    add(rack, "s", COMPONENT_STORAGE, plan->storage);
    add(rack, "p", COMPONENT_PROCESS, plan->process);

    struct starting list[RACK_DAEMONS_MAX];
    for (unsigned i = 0; i < rack->count; i++)
        list[i] = (struct starting){.record = &rack->daemons[i], .ready_fd = -1};
    rc = start_all(rack, list, 1, false, plan->lifeline_fd);
    if (rc == 0)
        rc = start_all(rack, list + 1, rack->count - 1, false, plan->lifeline_fd);
    if (rc == 0 && (rc = rack_save(rack)) < 0)
        cli_error("%s/rack.json cannot be written", rack->dir);
    if (rc < 0)
        daemons_end(rack);
    return rc;
}

int daemons_restart(struct rack *rack)
{
    struct starting list[RACK_DAEMONS_MAX];
    unsigned count = 0;
    int rc = 0;
    /* The global daemon is the first of a rack: the others look for it where it was. */
    for (unsigned i = 0; i < rack->count && rc == 0; i++) {
        struct daemon_record *d = &rack->daemons[i];
        if (daemon_alive(d))
            continue;
        list[count] = (struct starting){.record = d, .ready_fd = -1};
        if (d->kind == COMPONENT_GLOBAL)
            rc = start_all(rack, list, 1, true, -1);
        count++;
    }
    if (rc == 0 && count > 0) {
        unsigned first = list[0].record->kind == COMPONENT_GLOBAL;
        rc = start_all(rack, list + first, count - first, true, -1);
    }
    /* Saved even where some failed: those that did start are to be found by `down`. */
    int saved = rack_save(rack);
    if (saved < 0)
        cli_error("%s/rack.json cannot be written", rack->dir);
    return rc < 0 ? rc : saved < 0 ? saved : (int)count;
}

struct ending {
    pid_t pid;
    int pidfd; /* -1 once it is gone */
};

/* Waits until all are gone. */
static bool await_gone(struct ending *list, unsigned count, unsigned wait_ms)
{
    uint64_t until = clock_ms() + wait_ms;
    for (;;) {
        struct pollfd fds[RACK_DAEMONS_MAX];
        unsigned left = 0;
        for (unsigned i = 0; i < count; i++) {
            fds[i] = (struct pollfd){.fd = list[i].pidfd, .events = POLLIN};
            left += list[i].pidfd >= 0;
        }
        uint64_t now = clock_ms();
        if (left == 0 || now >= until)
            return left == 0;
        if (poll(fds, count, (int)(until - now)) <= 0)
            continue;
        for (unsigned i = 0; i < count; i++) {
            if (fds[i].revents) {
                close(list[i].pidfd);
                list[i].pidfd = -1;
            }
        }
    }
}

static void signal_all(const struct ending *list, unsigned count, int signal)
{
    for (unsigned i = 0; i < count; i++) {
        if (list[i].pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, list[i].pidfd, signal, NULL, 0);
    }
}

/* Whether a process was started as a daemon of the rack: its command line says --rack-dir DIR. */
static bool belongs_to(const struct rack *rack, const char *pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct stat st;
    ssize_t got = fstat(fd, &st) == 0 && st.st_uid == geteuid() ? read(fd, text, sizeof text) : 0;
    close(fd);
    char wanted[RACK_DIR_MAX + 16];
    int length = snprintf(wanted, sizeof wanted, "--rack-dir%c%s", '\0', rack->dir) + 1;
    return got > 0 && memmem(text, (size_t)got, wanted, (size_t)length) != NULL;
}

/*
 * Every daemon of the rack: not from rack.json, which may be spoilt, or older than a daemon that
 * was started just before its `up` was killed, but from the host's processes.
 */
static unsigned find_all(const struct rack *rack, struct ending *list)
{
    unsigned count = 0;
    DIR *proc = opendir("/proc");
    if (!proc)
        return 0;
    for (struct dirent *e; (e = readdir(proc)) && count < RACK_DAEMONS_MAX;) {
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || !belongs_to(rack, e->d_name))
            continue;
        pid_t pid = atoi(e->d_name);
        int fd = (int)syscall(SYS_pidfd_open, pid, 0);
        /* Asked again: where it is still so, the descriptor is that process's. */
        if (fd >= 0 && belongs_to(rack, e->d_name))
            list[count++] = (struct ending){.pid = pid, .pidfd = fd};
        else if (fd >= 0)
            close(fd);
    }
    closedir(proc);
    return count;
}

void daemons_end(struct rack *rack)
{
    struct ending list[RACK_DAEMONS_MAX];
    unsigned count = find_all(rack, list);
    signal_all(list, count, SIGTERM);
    if (!await_gone(list, count, TERM_MS)) {
        signal_all(list, count, SIGKILL);
        if (!await_gone(list, count, KILL_MS))
            cli_error("some daemons of rack %s do not end", rack->name);
    }
    for (unsigned i = 0; i < count; i++) {
        if (list[i].pidfd >= 0)
            close(list[i].pidfd);
        /* Where they are this process's own children, they wait to be reaped. */
        (void)waitpid(list[i].pid, NULL, WNOHANG);
    }
}
