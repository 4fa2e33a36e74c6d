/* /proc as the program reads it: its own memory, arguments, descriptors, signals and limits. */
#include "conformance.h"

#include <dirent.h>
#include <sched.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>

static char text[1 << 20];

/* The whole of a file, and its length. */
static long slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    long n = 0, got;
    if (fd < 0)
        return -1;
    while ((got = read(fd, text + n, sizeof text - 1 - (size_t)n)) > 0)
        n += got;
    text[n] = 0;
    close(fd);
    return n;
}

/* The row of a file that begins with `name`, without that. */
static const char *row(const char *path, const char *name)
{
    static char line[512];
    slurp(path);
    for (char *at = text; at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        if (strncmp(at, name, strlen(name)))
            continue;
        snprintf(line, sizeof line, "%s", at + strlen(name));
        line[strcspn(line, "\n")] = 0;
        return line;
    }
    return "none";
}

static long number(const char *path, const char *name)
{
    return strtol(row(path, name), NULL, 10);
}

/* The line of maps that has an address; its permissions. */
static const char *mapping(const void *at)
{
    static char line[512];
    slurp("/proc/self/maps");
    for (char *p = strtok(text, "\n"); p; p = strtok(NULL, "\n")) {
        unsigned long first, end;
        if (sscanf(p, "%lx-%lx", &first, &end) == 2 && (unsigned long)at >= first &&
            (unsigned long)at < end) {
            snprintf(line, sizeof line, "%s", p);
            return line;
        }
    }
    return "";
}

static void show_mapping(const char *what, const void *at)
{
    char permissions[8] = "none";
    sscanf(mapping(at), "%*s %7s", permissions);
    SHOW("%s: %s", what, permissions);
}

CASE(proc, maps_permissions)
{
    char *p = mmap(NULL, 5 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p + 4096, 4096, PROT_READ);
    mprotect(p + 2 * 4096, 4096, PROT_READ | PROT_WRITE);
    mprotect(p + 3 * 4096, 4096, PROT_READ | PROT_EXEC);
    for (int i = 0; i < 5; i++)
        show_mapping("page", p + i * 4096);
    munmap(p, 5 * 4096);
    show_mapping("gone", p);
}

CASE(proc, maps_names)
{
    int local;
    char *heap = sbrk(4096);
    SHOW("stack %d", strstr(mapping(&local), "[stack]") != NULL);
    SHOW("heap %d", strstr(mapping(heap), "[heap]") != NULL);
    SHOW("program %d", strstr(mapping((void *)slurp), "conformance-proc") != NULL);
    SHOW("libc %d", strstr(mapping((void *)strtok), "libc.so.6") != NULL);
    SHOW("vdso %d", strstr(mapping((void *)getauxval(AT_SYSINFO_EHDR)), "[vdso]") != NULL);
}

CASE(proc, maps_of_a_file)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    ftruncate(fd, 3 * 4096);
    char *p = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 4096);
    unsigned long offset, inode, major, minor;
    struct stat st;
    fstat(fd, &st);
    sscanf(mapping(p), "%*s %*s %lx %lx:%lx %lu", &offset, &major, &minor, &inode);
    SHOW("offset %lx inode %d", offset, inode == st.st_ino);
    SHOW("name %d", strstr(mapping(p), "/f") != NULL);
}

CASE(proc, maps_hides_nothing_else)
{
    slurp("/proc/self/maps");
    SHOW("monitor %d", strstr(text, "ashlar-exec") != NULL);
    SHOW("memfd %d", strstr(text, "memfd") != NULL);
}

CASE(proc, maps_in_small_pieces)
{
    int fd = open("/proc/self/maps", O_RDONLY);
    long n = 0, got, whole = slurp("/proc/self/maps");
    char *all = malloc((size_t)whole + 8192), *copy = strdup(text);
    while ((got = read(fd, all + n, 100)) > 0)
        n += got;
    SHOW("same %d", n == (long)strlen(copy) && n >= 1000);
    SHOW("end %ld", (long)read(fd, all, 100));
    TRY(lseek(fd, 0, SEEK_SET));
    SHOW("again %d", read(fd, all, 100) > 0);
}

CASE(proc, smaps_counts_pages)
{
    char *p = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(p + 40 * 4096, 4096, PROT_READ);
    for (int i = 0; i < 10; i++)
        p[i * 4096] = 1;
    slurp("/proc/self/smaps");
    char head[32];
    snprintf(head, sizeof head, "%08lx-", (unsigned long)p);
    char *at = strstr(text, head);
    /* A neighbour may have been joined to it. */
    SHOW("head %d", at != NULL || strstr(text, "Rss:") != NULL);
    if (!at)
        return;
    char *rss = strstr(at, "Rss:"), *dirty = strstr(at, "Private_Dirty:");
    SHOW("rss %d dirty %d", atoi(rss + 4) >= 40, atoi(dirty + 14) >= 40);
}

CASE(proc, smaps_rollup)
{
    size_t size = 8 << 20;
    long before = number("/proc/self/smaps_rollup", "Rss:");
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 1, size);
    long after = number("/proc/self/smaps_rollup", "Rss:");
    SHOW("grown %d", labs(after - before - 8192) < 3072);
}

CASE(proc, status_memory_grows)
{
    size_t size = 16 << 20;
    long before = number("/proc/self/status", "VmRSS:"),
         space = number("/proc/self/status", "VmSize:");
    char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long mapped = number("/proc/self/status", "VmSize:");
    SHOW("size %ld", mapped - space);
    memset(p, 1, size);
    long after = number("/proc/self/status", "VmRSS:");
    SHOW("rss %d", labs(after - before - 16384) < 3072);
    munmap(p, size);
    SHOW("back %d", number("/proc/self/status", "VmRSS:") - before < 1024);
    SHOW("size back %ld", number("/proc/self/status", "VmSize:") - space);
}

CASE(proc, status_peak)
{
    size_t size = 32 << 20;
    munmap(mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), size);
    SHOW("peak %d",
         number("/proc/self/status", "VmPeak:") - number("/proc/self/status", "VmSize:") > 30000);
}

CASE(proc, status_name)
{
    prctl(PR_SET_NAME, "a new name");
    SHOW("%s", row("/proc/self/status", "Name:"));
    slurp("/proc/self/comm");
    SHOW("%s", text);
}

CASE(proc, status_signals)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_SETMASK, &set, NULL);
    for (int i = 1; i < 32; i++)
        signal(i, SIG_DFL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGFPE, SIG_IGN);
    signal(SIGUSR2, (void (*)(int))slurp);
    signal(SIGSYS, (void (*)(int))slurp);
    SHOW("blocked %s", row("/proc/self/status", "SigBlk:"));
    SHOW("ignored %s", row("/proc/self/status", "SigIgn:"));
    SHOW("caught %s", row("/proc/self/status", "SigCgt:"));
}

CASE(proc, status_pending)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_SETMASK, &set, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    SHOW("%s", row("/proc/self/status", "SigPnd:"));
    SHOW("%s", row("/proc/self/status", "ShdPnd:"));
}

CASE(proc, status_ids)
{
    SHOW("pid %d", number("/proc/self/status", "Pid:") == getpid());
    SHOW("tgid %d", number("/proc/self/status", "Tgid:") == getpid());
    SHOW("ppid %d", number("/proc/self/status", "PPid:") == getppid());
    SHOW("tracer %s", row("/proc/self/status", "TracerPid:"));
    SHOW("seccomp %s", row("/proc/self/status", "Seccomp:"));
    SHOW("uid %s", row("/proc/self/status", "Uid:"));
}

static void *idle(void *arg)
{
    pause();
    return arg;
}

CASE(proc, status_threads)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++)
        pthread_create(&thread, NULL, idle, NULL);
    SHOW("threads %s", row("/proc/self/status", "Threads:"));
    DIR *d = opendir("/proc/self/task");
    int n = 0;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    SHOW("tasks %d", n);
}

static void *report(void *arg)
{
    char path[64];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
    prctl(PR_SET_NAME, "worker");
    snprintf(path, sizeof path, "/proc/self/task/%d/status", gettid());
    SHOW("task %s", row(path, "SigBlk:"));
    SHOW("name %s", row(path, "Name:"));
    SHOW("thread-self %s", row("/proc/thread-self/status", "SigBlk:"));
    SHOW("pid %d", number("/proc/thread-self/status", "Pid:") == gettid());
    snprintf(path, sizeof path, "/proc/%d/task/%d/comm", getpid(), gettid());
    slurp(path);
    SHOW("comm %s", text);
    return arg;
}

CASE(proc, task_status)
{
    pthread_t thread;
    pthread_create(&thread, NULL, report, NULL);
    pthread_join(thread, NULL);
}

CASE(proc, comm_is_writable)
{
    char name[16];
    int fd = open("/proc/self/comm", O_WRONLY);
    TRY(write(fd, "renamed", 7));
    prctl(PR_GET_NAME, name);
    SHOW("%s", name);
}

CASE(proc, stat_fields)
{
    slurp("/proc/self/stat");
    char *at = strrchr(text, ')') + 2, state;
    int ppid, group;
    unsigned long vsize, code, end, stack, ignored, caught;
    long rss;
    sscanf(at,
           "%c %d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %lu %ld "
           "%*u %lu %lu %lu %*u %*u %*u %*u %lu %lu",
           &state, &ppid, &group, &vsize, &rss, &code, &end, &stack, &ignored, &caught);
    SHOW("%c %d %d", state, ppid == getppid(), group == getpgrp());
    SHOW("text %d", (unsigned long)slurp >= code && (unsigned long)slurp < end);
    SHOW("stack %d", stack > (unsigned long)&at && stack < (unsigned long)&at + (8 << 20));
    SHOW("signals %lx %lx", ignored, caught & 0x40000000);
    SHOW("size %d", vsize > 1 << 20 && vsize < 64 << 20 && rss > 100 && rss < 4000);
    int spaces = 0;
    for (char *c = at; *c; c++)
        spaces += *c == ' ';
    SHOW("fields %d", spaces + 3);
}

CASE(proc, statm_fields)
{
    unsigned long size, resident, shared, code, lib, data, dirty;
    slurp("/proc/self/statm");
    TRY(sscanf(text, "%lu %lu %lu %lu %lu %lu %lu", &size, &resident, &shared, &code, &lib, &data,
               &dirty));
    SHOW("%d %lu %lu", size > resident && resident > shared && shared > 0, lib, dirty);
    SHOW("%d", size * 4 == (unsigned long)number("/proc/self/status", "VmSize:"));
}

CASE(proc, statm_kept_open)
{
    unsigned long first, second;
    char line[200];
    int fd = open("/proc/self/statm", O_RDONLY);
    TRY(pread(fd, line, sizeof line, 0) > 10);
    sscanf(line, "%lu", &first);
    mmap(NULL, 10 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(pread(fd, line, sizeof line, 0) > 10);
    sscanf(line, "%lu", &second);
    SHOW("%lu", second - first);
}

CASE(proc, cmdline)
{
    long n = slurp("/proc/self/cmdline");
    SHOW("%d %d", n > 10, text[n - 1]);
    SHOW("%d", strstr(text, "conformance-proc") != NULL);
}

extern char **environ;

CASE(proc, environ)
{
    long n = slurp("/proc/self/environ");
    SHOW("%d %d", n > 10, text[n - 1]);
    SHOW("%d", !strcmp(text, environ[0]) || n > 0);
    SHOW("monitor %d", memmem(text, (size_t)n, "ASHLAR_BOOT", 11) != NULL);
}

CASE(proc, auxv)
{
    unsigned long pair[2];
    int fd = open("/proc/self/auxv", O_RDONLY), seen = 0, n = 0;
    while (read(fd, pair, sizeof pair) == sizeof pair && pair[0]) {
        n++;
        if (pair[0] == AT_ENTRY || pair[0] == AT_PHDR || pair[0] == AT_BASE || pair[0] == AT_RANDOM)
            seen += getauxval(pair[0]) == pair[1];
    }
    SHOW("%d %d", seen, n > 10);
}

CASE(proc, exe)
{
    char path[4096], again[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    SHOW("%d", n > 16 && !memcmp(path + n - 16, "conformance-proc", 16));
    TRY(readlink("/proc/self/exe", again, 4));
    struct stat a, b;
    path[n] = 0;
    TRY(stat("/proc/self/exe", &a));
    stat(path, &b);
    SHOW("same %d", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    TRY(lstat("/proc/self/exe", &a));
    SHOW("link %d", S_ISLNK(a.st_mode));
    OK(open("/proc/self/exe", O_RDONLY));
    TRY(open("/proc/self/exe", O_RDONLY | O_NOFOLLOW));
}

CASE(proc, cwd_follows_chdir)
{
    char path[4096];
    mkdir("d", 0755);
    TRY(chdir("d"));
    ssize_t n = readlink("/proc/self/cwd", path, sizeof path);
    SHOW("%d", n > 2 && !memcmp(path + n - 2, "/d", 2));
    close(open("/proc/self/cwd/x", O_WRONLY | O_CREAT, 0600));
    TRY(access("x", F_OK));
    n = readlink("/proc/self/root", path, sizeof path);
    SHOW("%.*s", (int)n, path);
}

static int entries(const char *path)
{
    DIR *d = opendir(path);
    int n = 0;
    if (!d)
        return -1;
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

CASE(proc, fd_lists_ours_only)
{
    closefrom(3);
    open("f", O_RDWR | O_CREAT, 0644);
    SHOW("%d", entries("/proc/self/fd"));
    SHOW("%d", entries("/proc/self/fdinfo"));
    SHOW("%d", entries("/proc/thread-self/fd"));
    SHOW("%d", entries("/dev/fd/"));
}

CASE(proc, fd_numbers_after_fork)
{
    closefrom(3);
    SHOW("%d", open("f", O_RDWR | O_CREAT, 0644));
    fflush(stdout);
    if (fork() == 0) {
        SHOW("%d", entries("/proc/self/fd"));
        SHOW("%d", dup(0));
        closefrom(3);
        char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, 1 << 20);
        SHOW("%d", p[5000]);
        _exit(0);
    }
    wait(NULL);
}

CASE(proc, fd_links)
{
    char path[4096], link[64];
    int fd = open("f", O_RDWR | O_CREAT, 0644), ends[2];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path);
    SHOW("%d", n > 2 && !memcmp(path + n - 2, "/f", 2));
    unlink("f");
    n = readlink(link, path, sizeof path);
    SHOW("%d", n > 12 && !memcmp(path + n - 12, "/f (deleted)", 12));
    pipe(ends);
    snprintf(link, sizeof link, "/proc/self/fd/%d", ends[0]);
    n = readlink(link, path, sizeof path);
    SHOW("%.6s", path);
    TRY(readlink("/proc/self/fd/999", path, sizeof path));
    TRY(readlink("/proc/self/fd/65000", path, sizeof path));
}

CASE(proc, fd_opened_again)
{
    char link[64], byte;
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    write(fd, "hello", 5);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, O_RDONLY);
    TRY(read(again, &byte, 1));
    SHOW("%c", byte);
    TRY(write(again, "x", 1));
    TRY(lseek(fd, 0, SEEK_CUR));
    int append = open(link, O_WRONLY | O_APPEND);
    TRY(write(append, "!", 1));
    TRY(lseek(fd, 0, SEEK_END));
}

CASE(proc, fdinfo)
{
    char path[64];
    int fd = open("f", O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0644);
    struct stat st;
    write(fd, "12345", 5);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    SHOW("%s", row(path, "pos:"));
    SHOW("%s", row(path, "flags:"));
    fstat(fd, &st);
    SHOW("%d", number(path, "ino:") == (long)st.st_ino);
    fcntl(fd, F_SETFD, 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    lseek(fd, 2, SEEK_SET);
    SHOW("%s", row(path, "pos:"));
    SHOW("%s", row(path, "flags:"));
}

CASE(proc, limits)
{
    struct rlimit l = {100, 200};
    TRY(setrlimit(RLIMIT_NOFILE, &l));
    SHOW("%s", row("/proc/self/limits", "Max open files"));
    l.rlim_cur = l.rlim_max = 1 << 30;
    TRY(setrlimit(RLIMIT_FSIZE, &l));
    SHOW("%s", row("/proc/self/limits", "Max file size"));
    l.rlim_cur = l.rlim_max = 0;
    TRY(setrlimit(RLIMIT_CORE, &l));
    SHOW("%s", row("/proc/self/limits", "Max core file size"));
    SHOW("%s", row("/proc/self/limits", "Limit"));
}

CASE(proc, mem_read)
{
    char secret[] = "in memory", out[16] = "";
    int fd = open("/proc/self/mem", O_RDONLY);
    TRY(pread(fd, out, sizeof secret, (off_t)(uintptr_t)secret));
    SHOW("%s", out);
    TRY(pread(fd, out, 4, 0x1000));
    TRY(write(fd, out, 4));
    TRY(lseek(fd, 0x1000, SEEK_SET));
    TRY(read(fd, out, 4));
}

CASE(proc, mem_write)
{
    volatile char target[] = "xxxx";
    int fd = open("/proc/self/mem", O_RDWR);
    TRY(pwrite(fd, "abcd", 4, (off_t)(uintptr_t)target));
    SHOW("%s", (char *)target);
}

CASE(proc, mem_half_mapped)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 4096, 4096);
    char out[64];
    int fd = open("/proc/self/mem", O_RDONLY);
    TRY(pread(fd, out, 64, (off_t)(uintptr_t)p + 4096 - 10));
}

CASE(proc, pagemap_is_there)
{
    char entry[8];
    int fd = OK(open("/proc/self/pagemap", O_RDONLY));
    TRY(read(fd, entry, 8));
}

CASE(proc, of_a_child)
{
    char path[64], link[4096], own[4096];
    int ends[2];
    pipe(ends);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "the child");
        mkdir("d", 0755);
        chdir("d");
        write(ends[1], "", 1);
        pause();
    }
    read(ends[0], link, 1);
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    slurp(path);
    SHOW("comm %s", text);
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t n = readlink(path, link, sizeof link), m = readlink("/proc/self/exe", own, sizeof own);
    SHOW("exe %d", n == m && !memcmp(link, own, (size_t)n));
    snprintf(path, sizeof path, "/proc/%d/cwd", pid);
    n = readlink(path, link, sizeof link);
    SHOW("cwd %d", n > 2 && !memcmp(link + n - 2, "/d", 2));
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    slurp(path);
    SHOW("cmdline %d", strstr(text, "conformance-proc") != NULL);
    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    slurp(path);
    SHOW("maps %d %d", strstr(text, "[stack]") != NULL, strstr(text, "memfd") != NULL);
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    SHOW("ppid %d", number(path, "PPid:") == getpid());
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    int ours = entries("/proc/self/fd") - 1; /* the list itself */
    SHOW("fd %d", entries(path) - ours);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    TRY(access(path, F_OK));
}

CASE(proc, self_after_fork)
{
    char link[64];
    if (fork() == 0) {
        ssize_t n = readlink("/proc/self", link, sizeof link - 1);
        link[n] = 0;
        SHOW("%d", atoi(link) == getpid());
        char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        show_mapping("new", p);
        _exit(0);
    }
    wait(NULL);
}

CASE(proc, meminfo_and_sysinfo)
{
    struct sysinfo info;
    long total = number("/proc/meminfo", "MemTotal:"), free = number("/proc/meminfo", "MemFree:");
    TRY(sysinfo(&info));
    SHOW("%d %d", total > 100000, free > 0 && free <= total);
    SHOW("%d", total == (long)(info.totalram * info.mem_unit / 1024));
    SHOW("%d", sysconf(_SC_PHYS_PAGES) * 4 == total);
    SHOW("%d", info.procs > 0 && info.uptime > 0);
    TRY(syscall(SYS_sysinfo, BAD_POINTER));
}

CASE(proc, meminfo_has_its_rows)
{
    static const char *const names[] = {
        "MemAvailable:", "Buffers:",         "Cached:",       "SwapTotal:",
        "SwapFree:",     "Shmem:",           "SReclaimable:", "Committed_AS:",
        "CommitLimit:",  "HugePages_Total:", "Hugepagesize:"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        SHOW("%s %d", names[i], strcmp(row("/proc/meminfo", names[i]), "none") != 0);
}

CASE(proc, machine_files)
{
    static const char *const paths[] = {"/proc/cpuinfo",
                                        "/proc/stat",
                                        "/proc/uptime",
                                        "/proc/loadavg",
                                        "/proc/version",
                                        "/proc/filesystems",
                                        "/proc/mounts",
                                        "/proc/self/mountinfo",
                                        "/proc/net/tcp",
                                        "/proc/net/unix",
                                        "/proc/net/dev",
                                        "/proc/net/route",
                                        "/proc/self/cgroup",
                                        "/proc/self/oom_score_adj",
                                        "/proc/self/io",
                                        "/proc/self/sched",
                                        "/proc/self/wchan",
                                        "/proc/self/personality",
                                        "/proc/sys/kernel/pid_max",
                                        "/proc/sys/kernel/osrelease",
                                        "/proc/sys/kernel/hostname",
                                        "/proc/sys/kernel/threads-max",
                                        "/proc/sys/kernel/cap_last_cap",
                                        "/proc/sys/kernel/random/uuid",
                                        "/proc/sys/kernel/random/boot_id",
                                        "/proc/sys/vm/overcommit_memory",
                                        "/proc/sys/vm/max_map_count",
                                        "/sys/devices/system/cpu/online",
                                        "/sys/devices/system/cpu/possible",
                                        "/sys/devices/system/cpu/cpu0/topology/core_id"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        struct stat st;
        int rc = stat(paths[i], &st);
        SHOW("%s %d %d", paths[i], rc, rc == 0 && slurp(paths[i]) > 0);
    }
}

CASE(proc, processors)
{
    cpu_set_t set;
    TRY(sched_getaffinity(0, sizeof set, &set));
    SHOW("%d %d", CPU_COUNT(&set), get_nprocs());
    SHOW("%ld %ld", sysconf(_SC_NPROCESSORS_ONLN), sysconf(_SC_NPROCESSORS_CONF));
    SHOW("%s", row("/proc/self/status", "Cpus_allowed_list:"));
}

CASE(proc, uuid_differs)
{
    char first[64];
    slurp("/proc/sys/kernel/random/uuid");
    snprintf(first, sizeof first, "%s", text);
    slurp("/proc/sys/kernel/random/uuid");
    SHOW("%d %zu", strcmp(first, text) != 0, strlen(first));
}

CASE(proc, refuses_writes)
{
    TRY(open("/proc/self/maps", O_WRONLY));
    TRY(open("/proc/self/nothing", O_RDONLY));
    TRY(mkdir("/proc/x", 0755));
    TRY(unlink("/proc/self/maps"));
    TRY(open("/proc/99999999/status", O_RDONLY));
    TRY(rename("/proc/self/maps", "/proc/self/spam"));
}

CASE(proc, vectored_and_efault)
{
    char a[8], b[8];
    struct iovec v[] = {{a, 5}, {b, 2}};
    int fd = open("/proc/self/status", O_RDONLY);
    TRY(readv(fd, v, 2));
    SHOW("%.5s", a);
    TRY(read(fd, BAD_POINTER, 10));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(pread(fd, a, 5, -1));
    TRY(write(fd, a, 1));
}

CASE(proc, descriptor_shared_by_fork)
{
    char line[16];
    int fd = open("/proc/self/limits", O_RDONLY);
    TRY(read(fd, line, 6));
    if (fork() == 0) {
        TRY(read(fd, line, 5));
        SHOW("%.4s", line + 1);
        _exit(0);
    }
    wait(NULL);
    TRY(lseek(fd, 0, SEEK_CUR));
    int copy = dup(fd);
    TRY(read(copy, line, 4) > 0);
    TRY(lseek(fd, 0, SEEK_CUR) > 11);
}

CASE(dev, null_zero_full)
{
    char b[16] = "123456789012345";
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR),
        full = open("/dev/full", O_RDWR);
    TRY(write(null, b, 10));
    TRY(read(null, b, 10));
    TRY(read(zero, b, 10));
    SHOW("%d %c", b[9], b[10]);
    TRY(write(zero, b, 10));
    TRY(read(full, b, 4));
    TRY(write(full, b, 4));
    TRY(lseek(null, 100, SEEK_SET));
}

CASE(dev, random)
{
    char b[16];
    TRY(read(open("/dev/urandom", O_RDONLY), b, 16));
    TRY(read(open("/dev/random", O_RDONLY), b, 16));
}

CASE(dev, tty_without_terminal)
{
    setsid();
    TRY(open("/dev/tty", O_RDWR));
}

CASE(dev, pseudo_terminal)
{
    char name[64], b[16];
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    TRY(grantpt(master));
    TRY(unlockpt(master));
    TRY(ptsname_r(master, name, sizeof name));
    SHOW("%.9s", name);
    int slave = OK(open(name, O_RDWR | O_NOCTTY));
    TRY(isatty(slave));
    TRY(write(slave, "x\n", 2));
    TRY(read(master, b, sizeof b));
    SHOW("%d %d %d", b[0], b[1], b[2]);
    close(slave);
    TRY(read(master, b, sizeof b));
}

CASE(dev, fd_and_stdin)
{
    char link[64], path[4096];
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    write(fd, "abc", 3);
    lseek(fd, 0, SEEK_SET);
    dup2(fd, 0);
    int in = OK(open("/dev/stdin", O_RDONLY));
    TRY(read(in, link, 8));
    snprintf(link, sizeof link, "/dev/fd/%d", fd);
    OK(open(link, O_RDONLY));
    TRY(readlink("/dev/stdin", path, sizeof path));
    TRY(access("/dev/fd/77", F_OK));
}
