/* Each call that takes a path, on each kind of path. */
#include "files.h"

#include <sys/statfs.h>
#include <sys/xattr.h>

static bool begins(const char *path, const char *name)
{
    return strncmp(path, name, strlen(name)) == 0;
}

static int start;

/* What the path needs, and little else: there are many cases. */
static void tree(const char *path)
{
    start = open(".", O_RDONLY);
    close(open("other", O_CREAT | O_WRONLY, 0644));
    if (begins(path, "file") || !strcmp(path, "link") || !strcmp(path, "link/"))
        close(file_with("file", "hello"));
    if (begins(path, "empty"))
        mkdir("empty", 0755);
    if (begins(path, "full") || begins(path, "link-")) {
        mkdir("full", 0755);
        close(file_with("full/file", "x"));
    }
    if (begins(path, "link-"))
        symlink("full", "link-to-full");
    else if (begins(path, "link"))
        symlink("file", "link");
    if (begins(path, "dangling"))
        symlink("nowhere", "dangling");
    if (begins(path, "loop"))
        symlink("loop", "loop");
    if (begins(path, "fifo"))
        mkfifo("fifo", 0644);
    if (begins(path, "closed") || begins(path, "fixed")) {
        char directory[8] = "closed";
        if (begins(path, "fixed"))
            strcpy(directory, "fixed");
        mkdir(directory, 0755);
        close(file_with(path, "x"));
        chmod(directory, begins(path, "closed") ? 0 : 0555);
    }
}

static void untie(const char *path)
{
    fchdir(start);
    if (begins(path, "closed") || begins(path, "fixed"))
        chmod(begins(path, "closed") ? "closed" : "fixed", 0755);
}

#define ON(call, kind, text, ...)                                                                  \
    CASE(call, of_##kind)                                                                          \
    {                                                                                              \
        const char *path = text;                                                                   \
        tree(path);                                                                                \
        __VA_ARGS__;                                                                               \
        untie(path);                                                                               \
    }

#define ON_ALL(call, ...)                                                                          \
    ON(call, file, "file", __VA_ARGS__)                                                            \
    ON(call, file_slash, "file/", __VA_ARGS__)                                                     \
    ON(call, below_a_file, "file/x", __VA_ARGS__)                                                  \
    ON(call, empty_directory, "empty", __VA_ARGS__)                                                \
    ON(call, directory_slash, "empty/", __VA_ARGS__)                                               \
    ON(call, full_directory, "full", __VA_ARGS__)                                                  \
    ON(call, dot, "full/.", __VA_ARGS__)                                                           \
    ON(call, dot_dot, "full/..", __VA_ARGS__)                                                      \
    ON(call, link, "link", __VA_ARGS__)                                                            \
    ON(call, link_slash, "link/", __VA_ARGS__)                                                     \
    ON(call, link_to_a_directory_slash, "link-to-full/", __VA_ARGS__)                              \
    ON(call, through_a_link, "link-to-full/file", __VA_ARGS__)                                     \
    ON(call, dangling, "dangling", __VA_ARGS__)                                                    \
    ON(call, dangling_slash, "dangling/", __VA_ARGS__)                                             \
    ON(call, loop, "loop", __VA_ARGS__)                                                            \
    ON(call, fifo, "fifo", __VA_ARGS__)                                                            \
    ON(call, missing, "missing", __VA_ARGS__)                                                      \
    ON(call, missing_slash, "missing/", __VA_ARGS__)                                               \
    ON(call, below_missing, "missing/x", __VA_ARGS__)                                              \
    ON(call, below_closed, "closed/file", __VA_ARGS__)                                             \
    ON(call, below_fixed, "fixed/file", __VA_ARGS__)                                               \
    ON(call, nothing, "", __VA_ARGS__)                                                             \
    ON(call, long_name, long_name(256), __VA_ARGS__)

static struct stat st;
static struct statfs fs;
static char b[64];

ON_ALL(stat, TRY(stat(path, &st)))
ON_ALL(lstat, TRY(lstat(path, &st)))
ON_ALL(open_read, OK(open(path, O_RDONLY | O_NONBLOCK)))
ON_ALL(open_write, OK(open(path, O_RDWR | O_NONBLOCK)))
ON_ALL(open_create, OK(open(path, O_RDWR | O_CREAT | O_NONBLOCK, 0644)))
ON_ALL(open_exclusive, OK(open(path, O_WRONLY | O_CREAT | O_EXCL, 0644)))
ON_ALL(open_nofollow, OK(open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)))
ON_ALL(open_path, OK(open(path, O_PATH | O_NOFOLLOW)))
ON_ALL(open_directory, OK(open(path, O_RDONLY | O_DIRECTORY)))
ON_ALL(access, TRY(access(path, R_OK | W_OK)))
ON_ALL(readlink, TRY(readlink(path, b, sizeof b)))
ON_ALL(unlink, TRY(unlink(path)))
ON_ALL(rmdir, TRY(rmdir(path)))
ON_ALL(mkdir, TRY(mkdir(path, 0755)))
ON_ALL(mknod, TRY(mknod(path, S_IFREG | 0644, 0)))
ON_ALL(symlink, TRY(symlink("x", path)))
ON_ALL(rename_from, TRY(rename(path, "new")))
ON_ALL(rename_to, TRY(rename("other", path)))
ON_ALL(link_from, TRY(link(path, "new")))
ON_ALL(link_to, TRY(link("other", path)))
ON_ALL(truncate, TRY(truncate(path, 2)))
ON_ALL(chmod, TRY(chmod(path, 0711)))
ON_ALL(chown, TRY(chown(path, -1, -1)))
ON_ALL(utimensat, TRY(utimensat(AT_FDCWD, path, NULL, 0)))
ON_ALL(chdir, TRY(chdir(path)))
ON_ALL(statfs, TRY(statfs(path, &fs)))
ON_ALL(getxattr, TRY(getxattr(path, "user.none", b, 4)))
ON_ALL(execve, char *none[] = {NULL}; TRY(execve(path, none, none)))
