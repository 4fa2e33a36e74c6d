/* Relative paths that fit where their absolute names do not, and directories that have no such
 * name. */
#include "files.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "children.h"

static struct stat st;
static struct statfs fs;
static char b[64];

enum { NAME = 200, DEPTH = 25 }; /* 5000 bytes, more than PATH_MAX */

static const char *deep_name(void)
{
    static char name[NAME + 1];
    memset(name, 'd', NAME);
    return name;
}

/* Goes down to where a name has more than PATH_MAX bytes. */
static void go_down(int depth)
{
    for (int i = 0; i < depth; i++)
        if (mkdir(deep_name(), 0755) < 0 || chdir(deep_name()) < 0)
            perror("go down");
}

/* A relative path of so many bytes to a name here. */
static const char *padded(const char *name, size_t size)
{
    static char path[2 * PATH_MAX];
    size_t end = strlen(name), at = 0;
    if ((size - end) % 2)
        path[at++] = '.', path[at++] = '/', path[at++] = '/';
    while (at < size - end)
        path[at++] = '.', path[at++] = '/';
    strcpy(path + at, name);
    return path;
}

static void show_content(int fd)
{
    char text[64] = {0};
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    SHOW("%zd '%s'", n, text);
}

CASE(deep, files)
{
    go_down(DEPTH);
    int fd = OK(open("f", O_RDWR | O_CREAT, 0644));
    TRY(write(fd, "deep", 4));
    show_content(fd);
    close(fd);
    show_content(OK(open("f", O_RDONLY)));
    TRY(pwrite(OK(open("f", O_RDWR)), "D", 1, 0));
    TRY(write(OK(open("f", O_WRONLY | O_APPEND | O_CREAT, 0600)), "er", 2));
    TRY(stat("f", &st));
    SHOW("%ld %o", (long)st.st_size, st.st_mode);
    OK(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
    TRY(truncate("f", 3));
    show_content(OK(open("f", O_RDONLY)));
    OK(open("f", O_RDWR | O_TRUNC));
    TRY(stat("f", &st));
    SHOW("%ld", (long)st.st_size);
    TRY(access("f", R_OK | W_OK));
    TRY(chmod("f", 0600));
    TRY(utimensat(AT_FDCWD, "f", NULL, 0));
    TRY(setxattr("f", "user.a", "1", 1, 0));
    TRY(getxattr("f", "user.a", b, 4));
    TRY(statfs("f", &fs));
    OK(open("missing", O_RDONLY));
    OK(open("f/x", O_RDONLY));
    int temporary = OK(open(".", O_RDWR | O_TMPFILE, 0600));
    TRY(write(temporary, "x", 1));
}
CASE(deep, names)
{
    go_down(DEPTH);
    close(file_with("f", "content"));
    TRY(mkdir("d", 0755));
    TRY(rename("f", "d/g"));
    TRY(link("d/g", "h"));
    TRY(symlink("h", "s"));
    TRY(readlink("s", b, sizeof b));
    TRY(lstat("s", &st));
    show_content(OK(open("s", O_RDONLY)));
    TRY(mkfifo("p", 0644));
    TRY(rmdir("d"));
    TRY(unlink("d/g"));
    TRY(rmdir("d"));
    TRY(rename("h", "../up"));
    TRY(stat("s", &st));
    TRY(stat("../up", &st));
    TRY(unlink("s"));
    TRY(unlink("p"));
    TRY(mkdir("../up", 0755));
}
CASE(deep, directories)
{
    go_down(DEPTH);
    close(file_with("f", "content"));
    int here = OK(open(".", O_RDONLY | O_DIRECTORY)), path = OK(open(".", O_PATH));
    DIR *list = opendir(".");
    struct dirent *e;
    int count = 0;
    while ((e = readdir(list)))
        count++;
    SHOW("%d", count);
    TRY(chdir(".."));
    TRY(stat("f", &st));
    show_content(OK(openat(here, "f", O_RDONLY)));
    TRY(fstatat(path, "f", &st, 0));
    TRY(fstatat(path, "", &st, AT_EMPTY_PATH));
    TRY(mkdirat(path, "d", 0755));
    TRY(fchdir(here));
    TRY(stat("f", &st));
    TRY(chdir("d"));
    TRY(faccessat(AT_FDCWD, "../f", R_OK, 0));
    show_content(OK(open("../f", O_RDONLY)));
    TRY(fchdir(path));
    OK(dup(here));
    IN_CHILD(close(file_with("child", "x")); chdir("d"));
    TRY(stat("child", &st));
    IN_CHILD(execl("/bin/cat", "cat", "f", NULL));
    IN_CHILD(
        execl("/bin/sh", "sh", "-c", "echo more >> f; cat f; cd d && cat ../f; ls -1 ..", NULL));
    struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
    OK(syscall(SYS_openat2, here, "f", &how, sizeof how));
    OK(syscall(SYS_openat2, here, "../f", &how, sizeof how));
    how.resolve = RESOLVE_NO_SYMLINKS;
    OK(syscall(SYS_openat2, AT_FDCWD, "d/../f", &how, sizeof how));
}
CASE(deep, own_name)
{
    char path[2 * PATH_MAX], link[64];
    go_down(DEPTH);
    TRY(syscall(SYS_getcwd, path, sizeof path));
    OK(getcwd(path, sizeof path));
    SHOW("%d", strlen(path) > DEPTH * NAME);
    sprintf(link, "/proc/self/fd/%d", open(".", O_RDONLY));
    TRY(readlink(link, path, sizeof path));
    TRY(stat(link, &st));
    TRY(readlink("/proc/self/cwd", path, sizeof path));
    TRY(stat("/proc/self/cwd", &st));
    close(file_with("f", "content"));
    show_content(OK(open("/proc/self/cwd/f", O_RDONLY)));
    strcat(link, "/f");
    show_content(OK(open(link, O_RDONLY)));
    sprintf(link, "/proc/self/fd/%d", open("f", O_RDONLY));
    show_content(OK(open(link, O_RDWR)));
    for (int i = 0; i < DEPTH - 10; i++)
        chdir("..");
    OK(getcwd(path, sizeof path));
    SHOW("%d", strlen(path) > 10 * NAME);
    TRY(syscall(SYS_getcwd, path, 100));
}
CASE(deep, not_writable)
{
    mkdir("closed", 0755);
    chdir("closed");
    go_down(DEPTH);
    close(file_with("f", "content"));
    chmod(".", 0555);
    TRY(mkdir("x", 0755));
    OK(open("new", O_RDWR | O_CREAT, 0644));
    TRY(unlink("f"));
    chmod("f", 0444);
    OK(open("f", O_RDWR));
    chmod(".", 0755);
}
CASE(deep, long_relative_paths)
{
    close(file_with("f", "content"));
    int here = open(".", O_RDONLY);
    SHOW("%zu", strlen(padded("f", PATH_MAX - 1)));
    TRY(stat(padded("f", PATH_MAX - 1), &st));
    TRY(stat(padded("f", PATH_MAX), &st));
    show_content(OK(openat(here, padded("f", PATH_MAX - 1), O_RDWR)));
    show_content(OK(openat(here, padded("f", PATH_MAX - 2), O_RDONLY)));
    TRY(mkdir(padded("d", PATH_MAX - 1), 0755));
    TRY(rename(padded("f", PATH_MAX - 1), "g"));
    OK(open(padded("new", PATH_MAX - 1), O_RDWR | O_CREAT, 0644));
    TRY(stat(padded("none", PATH_MAX - 1), &st));
    TRY(chdir(padded("d", PATH_MAX - 1)));
    TRY(stat("../new", &st));
    go_down(15);
    close(file_with("f", "far"));
    for (int i = 0; i < 15; i++)
        chdir("..");
    chdir("..");
    /* From here its path fits, and with the name of this directory it does not. */
    char path[PATH_MAX + 1] = "d/";
    for (int i = 0; i < 15; i++)
        strcat(strcat(path, deep_name()), "/");
    size_t size = strlen(path);
    memset(path + size, '/', PATH_MAX - 2 - size);
    strcpy(path + PATH_MAX - 2, "f");
    TRY(stat(path, &st));
    show_content(OK(openat(here, path, O_RDWR)));
    TRY(unlink(path));
    TRY(unlink(path));
}
