/* /proc of another process: its memory, signals and limits, as it has them itself. */
#include "conformance.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { TEXT = 1 << 18 };

/* What a target and its reader share. */
struct shared {
    char maps[TEXT], limits[TEXT], status[TEXT];
    void *at, *heap;
    pid_t tid;
    volatile int end;
};
static struct shared *shared;
static char text[TEXT];

static long slurp(const char *path, char *to)
{
    int fd = open(path, O_RDONLY);
    long n = 0, got;
    to[0] = 0;
    if (fd < 0)
        return -1;
    while ((got = read(fd, to + n, TEXT - 1 - (size_t)n)) > 0)
        n += got;
    to[n] = 0;
    close(fd);
    return got < 0 ? -1 : n;
}

static long of(pid_t pid, const char *file)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    return slurp(path, text);
}

/* The row of a text that begins with `name`, without that. */
static const char *row_in(const char *from, const char *name)
{
    static char lines[2][512], turn;
    char *line = lines[turn ^= 1];
    for (const char *at = from; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        if (strncmp(at, name, strlen(name)))
            continue;
        snprintf(line, sizeof lines[0], "%s", at + strlen(name));
        line[strcspn(line, "\n")] = 0;
        return line;
    }
    return "none";
}

static const char *row(pid_t pid, const char *name)
{
    of(pid, "status");
    return row_in(text, name);
}

static long kb(pid_t pid, const char *name)
{
    return strtol(row(pid, name), NULL, 10);
}

/* What maps says of an address: permissions, offset, whether the inode is `inode`, the name's end.
 */
static void show_mapping(pid_t pid, const char *what, const void *at, ino_t inode)
{
    of(pid, "maps");
    for (char *p = strtok(text, "\n"); p; p = strtok(NULL, "\n")) {
        unsigned long first, end, offset, ino;
        char permissions[8];
        if (sscanf(p, "%lx-%lx %7s %lx %*s %lu", &first, &end, permissions, &offset, &ino) != 5 ||
            (unsigned long)at < first || (unsigned long)at >= end)
            continue;
        char *name = strchr(p, '/') ? strrchr(p, '/') : strchr(p, '[');
        SHOW("%s: %s %lx %d %s", what, permissions, offset, ino == inode, name ? name : "");
        return;
    }
    SHOW("%s: none", what);
}

/* A child that does something, says so, and stays. */
static pid_t target(void (*prepare)(void))
{
    int ends[2];
    char byte;
    pipe(ends);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        prepare();
        write(ends[1], "", 1);
        for (;;)
            pause();
    }
    read(ends[0], &byte, 1);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static void finish(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static void map_things(void)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 4 * 4096);
    char *p = mmap(NULL, 8 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mmap(p + 4096, 8192, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 4096);
    mmap(p + 4 * 4096, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    mprotect(p + 6 * 4096, 4096, PROT_READ | PROT_EXEC);
    shared->at = p;
    shared->heap = sbrk(4096);
}

static void show_things(pid_t pid)
{
    struct stat st;
    int local;
    char *p = shared->at;
    stat("f", &st);
    show_mapping(pid, "nothing", p, 0);
    show_mapping(pid, "private", p + 4096, st.st_ino);
    show_mapping(pid, "its second page", p + 2 * 4096, st.st_ino);
    show_mapping(pid, "shared", p + 4 * 4096, st.st_ino);
    show_mapping(pid, "executable", p + 6 * 4096, 0);
    show_mapping(pid, "stack", &local, 0);
    show_mapping(pid, "heap", shared->heap, 0);
    of(pid, "maps");
    SHOW("program %d libc %d vdso %d", strstr(text, "conformance-proc_others") != NULL,
         strstr(text, "/libc.so.6\n") != NULL, strstr(text, "[vdso]") != NULL);
    SHOW("monitor %d %d", strstr(text, "memfd") != NULL, strstr(text, "ashlar-exec") != NULL);
}

CASE(others, maps)
{
    share();
    pid_t pid = target(map_things);
    show_things(pid);
    finish(pid);
}

CASE(others, maps_of_a_parent)
{
    share();
    map_things();
    pid_t parent = getpid();
    fflush(stdout);
    if (fork() == 0) {
        munmap(shared->at, 8 * 4096);
        show_things(parent);
        _exit(0);
    }
    wait(NULL);
}

static void tell_itself(void)
{
    struct rlimit files = {100, 200}, size = {1 << 30, RLIM_INFINITY}, none = {0, 0};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (int i = 1; i < 32; i++)
        signal(i, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGFPE, SIG_IGN);
    signal(SIGUSR1, (void (*)(int))tell_itself);
    signal(SIGBUS, (void (*)(int))tell_itself);
    setrlimit(RLIMIT_NOFILE, &files);
    setrlimit(RLIMIT_FSIZE, &size);
    setrlimit(RLIMIT_AS, &size);
    setrlimit(RLIMIT_CORE, &none);
    map_things();
    slurp("/proc/self/maps", shared->maps);
    slurp("/proc/self/limits", shared->limits);
    slurp("/proc/self/status", shared->status);
}

static void show_as_itself(pid_t pid)
{
    static const char *const sizes[] = {"VmSize:", "VmData:", "VmStk:", "VmExe:", "VmLib:"};
    static const char *const sets[] = {"SigBlk:", "SigIgn:", "SigCgt:", "Threads:"};
    SHOW("maps %d", of(pid, "maps") > 500 && !strcmp(text, shared->maps));
    SHOW("limits %d", of(pid, "limits") > 500 && !strcmp(text, shared->limits));
    SHOW("files %s", row_in(text, "Max open files"));
    SHOW("size %s", row_in(text, "Max file size"));
    SHOW("space %s", row_in(text, "Max address space"));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        SHOW("%s %d", sizes[i], !strcmp(row(pid, sizes[i]), row_in(shared->status, sizes[i])));
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        SHOW("%s %s", sets[i], row(pid, sets[i]));
    long rss = kb(pid, "VmRSS:"), own = strtol(row_in(shared->status, "VmRSS:"), NULL, 10);
    SHOW("VmRSS: %d", labs(rss - own) < 512);
}

CASE(others, as_it_sees_itself)
{
    share();
    pid_t pid = target(tell_itself);
    show_as_itself(pid);
    finish(pid);
}

CASE(others, stopped)
{
    int status;
    share();
    pid_t pid = target(tell_itself);
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    SHOW("state %s", row(pid, "State:"));
    show_as_itself(pid);
    finish(pid);
}

CASE(others, stat_and_statm)
{
    share();
    pid_t pid = target(tell_itself);
    unsigned long size, resident, files, code, lib, data, vsize, start, end, stack, sp, ip;
    unsigned long blocked, ignored, caught, data_start = 0, data_end = 0;
    static int some_data = 1;
    long rss;
    of(pid, "statm");
    TRY(sscanf(text, "%lu %lu %lu %lu %lu %lu", &size, &resident, &files, &code, &lib, &data));
    SHOW("%d %d %lu", size > resident, resident > files && files > 0, lib);
    SHOW("size %d", (long)size * 4 == kb(pid, "VmSize:"));
    SHOW("resident %d", labs((long)resident * 4 - kb(pid, "VmRSS:")) < 512);
    SHOW("data %d", (long)data * 4 == kb(pid, "VmData:") + kb(pid, "VmStk:"));
    of(pid, "stat");
    char *at = strrchr(text, ')') + 2;
    TRY(sscanf(at,
               "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u "
               "%lu %ld %*u %lu %lu %lu %lu %lu %*u %lu %lu %lu",
               &vsize, &rss, &start, &end, &stack, &sp, &ip, &blocked, &ignored, &caught));
    SHOW("%d %d", vsize == size * 4096, labs(rss - (long)resident) < 128);
    SHOW("text %d", (unsigned long)show_as_itself >= start && (unsigned long)slurp < end);
    SHOW("stack %d", stack > (unsigned long)&rss && stack < (unsigned long)&rss + (8 << 20));
    for (int field = 3; at && field < 45; field++)
        at = strchr(at, ' ') + 1;
    sscanf(at, "%lu %lu", &data_start, &data_end);
    SHOW("data %d",
         (unsigned long)&some_data >= data_start && (unsigned long)&some_data < data_end);
    SHOW("now %lu %lu", sp, ip);
    SHOW("signals %lx %lx %lx", blocked, ignored, caught);
    finish(pid);
}

static void *waits(void *arg)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGILL);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    prctl(PR_SET_NAME, "waits");
    shared->tid = gettid();
    pause();
    return arg;
}

static void make_threads(void)
{
    pthread_t thread;
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, waits, NULL);
    while (!shared->tid)
        usleep(1000);
}

CASE(others, threads)
{
    char path[64];
    share();
    pid_t pid = target(make_threads);
    snprintf(path, sizeof path, "task/%d/status", shared->tid);
    of(pid, path);
    SHOW("%s %s", row_in(text, "Name:"), row_in(text, "SigBlk:"));
    SHOW("threads %s", row_in(text, "Threads:"));
    of(shared->tid, "status");
    SHOW("%s %s", row_in(text, "Name:"), row_in(text, "SigBlk:"));
    SHOW("size %d", strcmp(row_in(text, "VmSize:"), row(pid, "VmSize:")) == 0);
    SHOW("first %s", row(pid, "SigBlk:"));
    snprintf(path, sizeof path, "task/%d/maps", shared->tid);
    SHOW("maps %d", of(pid, path) > 500 && strstr(text, "/libc.so.6\n") != NULL);
    finish(pid);
}

static void touch(void)
{
    size_t size = 8 << 20;
    char *gone = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(gone, 1, size);
    munmap(gone, size);
    char *p = mmap(NULL, size + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096;
    mprotect(p, size, PROT_READ | PROT_WRITE);
    memset(p, 2, size / 2);
    shared->at = p;
}

CASE(others, what_is_resident)
{
    char head[32];
    share();
    pid_t pid = target(touch);
    SHOW("peak %d", labs(kb(pid, "VmHWM:") - kb(pid, "VmRSS:") - 4096) < 1024);
    SHOW("rss %d", kb(pid, "VmRSS:") > 4096 && kb(pid, "VmRSS:") < 8192);
    of(pid, "smaps");
    snprintf(head, sizeof head, "%lx-", (unsigned long)shared->at);
    char *at = strstr(text, head);
    SHOW("%d", at != NULL);
    if (at) {
        long rss = atol(row_in(at, "Rss:"));
        SHOW("%s %d", row_in(at, "Size:"), rss >= 4096 && rss <= 4096 + 64);
    }
    of(pid, "smaps_rollup");
    long rollup = atol(row_in(text, "Rss:"));
    SHOW("rollup %d", labs(rollup - kb(pid, "VmRSS:")) < 512);
    finish(pid);
}

CASE(others, peak_of_itself)
{
    share();
    touch();
    SHOW("%d", labs(kb(getpid(), "VmHWM:") - kb(getpid(), "VmRSS:") - 4096) < 1024);
    fflush(stdout);
    if (fork() == 0) {
        SHOW("after fork %d", kb(getpid(), "VmHWM:") - kb(getpid(), "VmRSS:") < 1024);
        _exit(0);
    }
    wait(NULL);
}

CASE(others, peak_begins_anew)
{
    share();
    touch();
    int fd = open("/proc/self/clear_refs", O_WRONLY);
    TRY(write(fd, "1", 1));
    SHOW("%d", kb(getpid(), "VmHWM:") - kb(getpid(), "VmRSS:") < 1024);
    TRY(write(fd, "5\n", 2));
    SHOW("%d", kb(getpid(), "VmHWM:") - kb(getpid(), "VmRSS:") < 1024);
    TRY(write(fd, "9", 1));
    TRY(write(fd, BAD_POINTER, 1));
    TRY(write(fd, "", 0));
}

static void take_a_title(void)
{
    extern char *program_invocation_name;
    memset(program_invocation_name, 0, strlen(program_invocation_name));
    memcpy(program_invocation_name, "a title", 7);
}

CASE(others, title)
{
    pid_t pid = target(take_a_title);
    of(pid, "cmdline");
    SHOW("%s", text);
    finish(pid);
}

static void nothing(void)
{
}

CASE(others, ended)
{
    siginfo_t info;
    pid_t pid = target(nothing);
    kill(pid, SIGKILL);
    waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
    SHOW("state %s", row(pid, "State:"));
    SHOW("size %s", row(pid, "VmSize:"));
    TRY(of(pid, "maps"));
    of(pid, "statm");
    SHOW("%s", text);
    waitpid(pid, NULL, 0);
    TRY(of(pid, "maps"));
}

/* Reads everything of processes that end meanwhile; each reading has to come to an end. */
CASE(others, end_while_they_are_read)
{
    static const char *const files[] = {"maps",  "smaps",  "status", "stat",
                                        "statm", "limits", "cmdline"};
    int cut = 0;
    for (int i = 0; i < 40; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            usleep((useconds_t)i * 50);
            _exit(0);
        }
        siginfo_t info = {0};
        do {
            for (int j = 0; j < 7; j++) {
                long n = of(pid, files[j]);
                cut += n > 0 && j != 6 && text[n - 1] != '\n';
            }
            waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG);
        } while (!info.si_pid);
        waitpid(pid, NULL, 0);
    }
    SHOW("cut %d", cut);
}

static void *changes(void *arg)
{
    int fd = open(arg, O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 16 * 4096);
    for (unsigned i = 1; !shared->end; i++) {
        size_t pages = 1 + i % 7;
        char *p = i % 2 ? mmap(NULL, pages * 4096, PROT_READ, MAP_PRIVATE, fd, i % 5 * 4096)
                        : mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (pages > 3)
            mprotect(p + 4096, 4096, PROT_READ | PROT_EXEC);
        if (i % 3 == 0)
            mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
        munmap(p, pages * 4096);
    }
    return arg;
}

static void change_all_the_time(void)
{
    static char names[3][8] = {"one", "two", "three"};
    pthread_t thread;
    map_things();
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, changes, names[i]);
}

/* Lines that are not whole, or with names that there are not. As on Linux, what is read in pieces
   while it changes may overlap. */
static int garbage(void)
{
    static const char *const names[] = {"/f",     "/zero (deleted)", "/one",          "/two",
                                        "/three", "/libc.so.6",      "[heap]",        "[stack]",
                                        "[vdso]", "[vvar]",          "[vvar_vclock]", "[vsyscall]"};
    int bad = 0;
    for (char *p = strtok(text, "\n"); p; p = strtok(NULL, "\n")) {
        unsigned long first, end;
        char permissions[8];
        char *name = strchr(p, '/') ? strrchr(p, '/') : strchr(p, '[');
        bool known = !name || strstr(name, "conformance-proc_others") || strstr(name, "ld-linux");
        for (size_t i = 0; !known && i < sizeof names / sizeof *names; i++)
            known = !strcmp(name, names[i]);
        bad += sscanf(p, "%lx-%lx %7s ", &first, &end, permissions) != 3 || end <= first ||
               strlen(permissions) != 4 || !known;
    }
    return bad;
}

CASE(others, change_while_they_are_read)
{
    int bad = 0, missing = 0, sizes = 0;
    char head[32];
    share();
    pid_t pid = target(change_all_the_time);
    snprintf(head, sizeof head, "%lx-", (unsigned long)shared->at + 4096);
    for (int i = 0; i < 300; i++) {
        of(pid, "maps");
        char *line = strstr(text, head);
        missing += !line || strstr(row_in(line, head), "/f") == NULL;
        bad += garbage();
        sizes += kb(pid, "VmSize:") > 1000;
    }
    SHOW("garbage %d missing %d sizes %d", bad, missing, sizes);
    kill(pid, SIGSTOP); /* in the middle of a change, perhaps */
    SHOW("%d", of(pid, "maps") > 500 && garbage() == 0);
    finish(pid);
}
