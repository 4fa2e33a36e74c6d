/* Open files by /proc/self/fd/N, whatever became of their names; and ways that lead into /proc. */
#include "files.h"

#include <linux/openat2.h>
#include <sys/statfs.h>

static const char *by_number(int fd)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

/* The last component of what the descriptor's link says. */
static void show_name(int fd)
{
    char text[PATH_MAX] = "";
    ssize_t size = readlink(by_number(fd), text, sizeof text - 1);
    char *slash = strrchr(text, '/');
    SHOW("%s", size < 0 ? strerrorname_np(errno) : slash ? slash + 1 : text);
}

static void show_content(int fd)
{
    char text[64] = "";
    TRY(pread(fd, text, sizeof text - 1, 0));
    SHOW("[%s]", text);
}

CASE(again, unlinked)
{
    int fd = file_with("f", "content"), path;
    unlink("f");
    show_name(fd);
    OK(path = open(by_number(fd), O_PATH));
    int read_only = open(by_number(path), O_RDONLY);
    show_content(read_only);
    struct stat st;
    TRY(fstat(path, &st));
    SHOW("%ld %ld", (long)st.st_size, (long)st.st_nlink);
    TRY(fcntl(path, F_GETFL) & O_PATH);
    TRY(open(by_number(fd), O_RDWR | O_DIRECTORY));
    TRY(open(by_number(fd), O_PATH | O_DIRECTORY));
    TRY(chmod(by_number(fd), 0600));
    TRY(access(by_number(fd), W_OK));
    TRY(truncate(by_number(fd), 3));
    show_content(fd);
}

CASE(again, renamed)
{
    mkdir("a", 0755);
    int fd = file_with("a/f", "content"), directory = open("a", O_RDONLY);
    rename("a", "b");
    show_name(directory);
    rename("b/f", "b/g");
    file_with("b/f", "another");
    show_name(fd);
    show_content(open(by_number(fd), O_RDONLY));
    OK(openat(open(by_number(directory), O_PATH), "new", O_CREAT | O_RDWR, 0644));
    TRY(access("b/new", F_OK));
    char cwd[PATH_MAX] = "";
    chdir("b");
    rename("../b", "../c");
    TRY(readlink("/proc/self/cwd", cwd, sizeof cwd) > 0);
    SHOW("%s", strrchr(cwd, '/') + 1);
}

CASE(again, temporary)
{
    mkdir("a", 0755);
    int directory = open("a", O_PATH | O_DIRECTORY), fd;
    rename("a", "b");
    OK(fd = open(by_number(directory), O_TMPFILE | O_RDWR, 0600));
    TRY(write(fd, "text", 4));
    struct stat st;
    fstat(fd, &st);
    SHOW("%o %ld %ld", st.st_mode, (long)st.st_size, (long)st.st_nlink);
    char name[PATH_MAX] = "";
    readlink(by_number(fd), name, sizeof name - 1);
    SHOW("%s", strchr(name, '(')); /* the number before it differs */
    show_content(open(by_number(open(by_number(fd), O_PATH)), O_RDONLY));
    TRY(linkat(AT_FDCWD, by_number(fd), AT_FDCWD, "b/named", AT_SYMLINK_FOLLOW));
    show_content(open("b/named", O_RDONLY));
    TRY(open(by_number(fd), O_TMPFILE | O_RDWR, 0600));
}

CASE(again, made_unreadable_later)
{
    int made = creat("f", 0644), path = open("f", O_PATH);
    TRY(write(made, "content", 7));
    close(made);
    int fd = open(by_number(path), O_RDONLY);
    int both = open(by_number(path), O_RDWR);
    chmod(by_number(path), 0);
    show_content(fd);
    show_content(both);
    TRY(pwrite(both, "C", 1, 0));
    TRY(open(by_number(path), O_RDONLY));
    OK(open(by_number(path), O_PATH));
}

CASE(again, links_and_fifos)
{
    struct stat st;
    symlink("nowhere", "link");
    mkfifo("fifo", 0600);
    int link = open("link", O_PATH | O_NOFOLLOW), fifo = open("fifo", O_PATH);
    show_name(link);
    TRY(open(by_number(link), O_RDONLY));
    OK(open(by_number(link), O_PATH));
    OK(open(by_number(fifo), O_RDWR));
    TRY(open(by_number(fifo), O_WRONLY | O_NONBLOCK));
    TRY(stat(by_number(link), &st));
    SHOW("%o", st.st_mode & S_IFMT);
}

CASE(fstatfs, of_what_is_open)
{
    struct statfs here, s;
    int fd = file_with("f", "");
    symlink("/proc/self/mounts", "link");
    int link = open("link", O_PATH | O_NOFOLLOW);
    statfs(".", &here);
    TRY(fstatfs(link, &s));
    SHOW("%d", s.f_type == here.f_type);
    unlink("f");
    unlink("link");
    TRY(fstatfs(fd, &s));
    SHOW("%d", s.f_type == here.f_type);
    TRY(fstatfs(link, &s));
    TRY(fstatfs(open("/proc/self/mounts", O_PATH), &s));
    SHOW("%lx", (long)s.f_type);
    TRY(fstatfs(open("/dev/null", O_PATH), &s));
    TRY(fstatfs(fd, BAD_POINTER));
    TRY(fstatfs(-1, &s));
}

static int openat2(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

/* Whether it is the /proc of this process. */
static void show_status(int fd)
{
    char text[256] = "", *pid;
    if (fd < 0) {
        SHOW("-1 %s", strerrorname_np(errno));
        return;
    }
    read(fd, text, sizeof text - 1);
    pid = strstr(text, "comm") ? strchr(text, ' ') : text;
    SHOW("%d", pid && atoi(pid) == getpid());
    close(fd);
}

CASE(openat2, into_proc)
{
    int root = open("/", O_PATH | O_DIRECTORY), here = open(".", O_PATH | O_DIRECTORY);
    char up[PATH_MAX] = "";
    symlink("/proc/self/stat", "link");
    for (int i = 0; i < 40; i++)
        strcat(up, "../");
    strcat(up, "proc/self/stat");
    const uint64_t ways[] = {RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_XDEV,
                             RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS};
    for (int i = 0; i < 5; i++) {
        show_status(openat2(root, "proc/self/stat", O_RDONLY, ways[i]));
        show_status(openat2(root, "/proc/self/stat", O_RDONLY, ways[i]));
        show_status(openat2(root, "/../proc/self/stat", O_RDONLY, ways[i]));
        show_status(openat2(here, "link", O_RDONLY, ways[i]));
        show_status(openat2(here, up, O_RDONLY, ways[i]));
        show_status(openat2(AT_FDCWD, "/proc/self/cwd/link", O_RDONLY, ways[i]));
        TRY(openat2(root, "proc/self/fd/0", O_RDONLY, ways[i]) < 0);
        TRY(openat2(root, "proc/self/none", O_RDONLY, ways[i]));
        TRY(openat2(root, "/dev/null", O_RDONLY, ways[i]) < 0);
        TRY(openat2(root, "/dev/fd/0", O_PATH, ways[i]) < 0);
    }
    SHOW("%d", openat2(root, "proc", O_PATH, RESOLVE_BENEATH) - here);
}

CASE(openat2, from_a_root_of_its_own)
{
    mkdir("top", 0755);
    mkdir("top/in", 0755);
    int top = open("top", O_PATH | O_DIRECTORY);
    close(file_with("top/in/f", ""));
    symlink("/in/f", "top/absolute");
    symlink("../../../in/f", "top/in/up");
    const char *const paths[] = {"/in/f", "in/f", "absolute", "in/up", "/", "//", ".", "/proc"};
    for (int i = 0; i < 8; i++) {
        OK(openat2(top, paths[i], O_PATH, RESOLVE_IN_ROOT));
        OK(openat2(top, paths[i], O_PATH, RESOLVE_BENEATH));
    }
}

CASE(openat2, as_long_as_can_be)
{
    char path[PATH_MAX];
    int root = open("/", O_PATH | O_DIRECTORY);
    for (int i = 0; i < PATH_MAX - 1; i++)
        path[i] = i % 2 ? 'a' : '/';
    path[PATH_MAX - 1] = 0;
    TRY(openat2(root, path, O_PATH, RESOLVE_IN_ROOT));
    TRY(openat2(root, path + 1, O_PATH, RESOLVE_IN_ROOT));
    TRY(open(path, O_PATH));
}
