/* open, openat, openat2, creat, O_TMPFILE, O_PATH: flags, errors, what a description remembers. */
#include "files.h"

#include <linux/openat2.h>
#include <sys/sysmacros.h>

static long openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return syscall(SYS_openat2, dirfd, path, &how, sizeof how);
}

static long mode_of(const char *name)
{
    struct stat st;
    return lstat(name, &st) < 0 ? -errno : (long)st.st_mode;
}

/* The flags of an open description, as F_GETFL has them. */
#define FLAGS(fd) SHOW("flags %#lx", (long)fcntl((fd), F_GETFL))

CASE(open, not_there)
{
    TRY(open("none", O_RDONLY));
    TRY(open("none/x", O_RDONLY));
    TRY(open("", O_RDONLY));
    TRY(open("", O_RDONLY | O_CREAT, 0644));
    TRY(open("none/x", O_RDONLY | O_CREAT, 0644));
    TRY(open("none/", O_RDONLY | O_CREAT, 0644));
}

CASE(open, bad_pointer)
{
    TRY(open(BAD_POINTER, O_RDONLY));
    TRY(open(NULL, O_RDONLY));
    char *p = before_a_hole(2);
    p[0] = p[1] = 'x';
    TRY(open(p, O_RDONLY));
}

CASE(open, lengths)
{
    TRY(open(long_name(255), O_RDONLY));
    TRY(open(long_name(256), O_RDONLY));
    TRY(open(long_name(256), O_WRONLY | O_CREAT, 0644));
    TRY(open(long_path(4096), O_RDONLY));
    TRY(open(long_path(5000), O_RDONLY));
    OK(open(long_name(255), O_RDWR | O_CREAT, 0644));
}

CASE(open, lowest_number)
{
    int a = open(".", O_RDONLY), b = open(".", O_RDONLY);
    TRY(b - a);
    TRY(close(a));
    int c = open(".", O_RDONLY);
    TRY(c - a);
}

CASE(open, exclusive)
{
    OK(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644));
    TRY(open("f", O_CREAT | O_EXCL | O_WRONLY, 0644));
    TRY(symlink("nowhere", "l"));
    TRY(open("l", O_CREAT | O_EXCL | O_WRONLY, 0644));
    TRY(open(".", O_CREAT | O_EXCL | O_RDONLY, 0644));
    OK(open("f", O_EXCL | O_RDONLY));
    TRY(size_of("nowhere"));
}

CASE(open, truncates)
{
    file_with("f", "hello");
    OK(open("f", O_WRONLY | O_TRUNC));
    TRY(size_of("f"));
    file_with("f", "hello");
    OK(open("f", O_RDONLY | O_TRUNC));
    TRY(size_of("f"));
    file_with("f", "hello");
    OK(open("f", O_WRONLY | O_CREAT, 0644));
    TRY(size_of("f"));
    TRY(open(".", O_RDONLY | O_TRUNC));
}

CASE(open, directory)
{
    file_with("f", "");
    OK(open(".", O_RDONLY));
    OK(open(".", O_DIRECTORY));
    TRY(open(".", O_WRONLY));
    TRY(open(".", O_RDWR));
    TRY(open(".", O_RDONLY | O_CREAT, 0644));
    TRY(open("f", O_DIRECTORY));
    TRY(open("f/", O_RDONLY));
    TRY(open("f/.", O_RDONLY));
    TRY(open("f/..", O_RDONLY));
    TRY(open("new", O_DIRECTORY | O_CREAT, 0644));
    TRY(open("new/", O_CREAT | O_RDONLY, 0644));
    TRY(size_of("new"));
}

CASE(open, links)
{
    file_with("f", "hello");
    TRY(symlink("f", "l"));
    TRY(symlink("loop", "loop"));
    TRY(symlink("made", "dangling"));
    OK(open("l", O_RDONLY));
    TRY(open("l", O_RDONLY | O_NOFOLLOW));
    TRY(open("loop", O_RDONLY));
    TRY(open("loop", O_RDONLY | O_CREAT, 0644));
    TRY(open("loop/x", O_RDONLY));
    TRY(open("dangling", O_RDONLY));
    OK(open("dangling", O_RDWR | O_CREAT, 0644));
    TRY(size_of("made"));
    TRY(open("l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    TRY(open("l/", O_RDONLY));
}

CASE(open, many_links)
{
    char from[16], to[16];
    file_with("0", "x");
    for (int i = 0; i < 41; i++) {
        sprintf(from, "%d", i);
        sprintf(to, "%d", i + 1);
        symlink(from, to);
    }
    OK(open("40", O_RDONLY));
    TRY(open("41", O_RDONLY));
    TRY(open("41", O_RDONLY | O_CREAT, 0644));
    TRY(size_of("41"));
}

CASE(open, nofollow_in_the_middle)
{
    TRY(mkdir("d", 0755));
    TRY(symlink("d", "l"));
    file_with("d/f", "x");
    OK(open("l/f", O_RDONLY | O_NOFOLLOW));
    OK(open("l/", O_RDONLY | O_NOFOLLOW));
    OK(open("l/.", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
}

CASE(open, mode_and_umask)
{
    OK(open("a", O_CREAT | O_WRONLY, 0777));
    SHOW("%o", (int)mode_of("a"));
    umask(077);
    OK(open("b", O_CREAT | O_WRONLY, 0777));
    SHOW("%o", (int)mode_of("b"));
    umask(0);
    OK(open("c", O_CREAT | O_WRONLY, 06777));
    SHOW("%o", (int)mode_of("c"));
    OK(open("d", O_CREAT | O_WRONLY, 01644));
    SHOW("%o", (int)mode_of("d"));
    OK(creat("e", 0600));
    SHOW("%o", (int)mode_of("e"));
}

CASE(open, made_without_rights)
{
    int fd = open("f", O_CREAT | O_RDWR, 0);
    char b[4];
    TRY(write(fd, "abc", 3));
    TRY(pread(fd, b, 3, 0));
    TRY(open("f", O_RDONLY));
    TRY(open("f", O_WRONLY));
    OK(open("f", O_PATH));
    TRY(open("f", O_CREAT | O_RDWR, 0777));
}

CASE(open, rights)
{
    file_with("f", "hello");
    TRY(chmod("f", 0444));
    OK(open("f", O_RDONLY));
    TRY(open("f", O_WRONLY));
    TRY(open("f", O_RDONLY | O_TRUNC));
    TRY(chmod("f", 0222));
    TRY(open("f", O_RDONLY));
    OK(open("f", O_WRONLY));
    TRY(open("f", O_RDWR));
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    TRY(chmod("d", 0666));
    TRY(open("d/f", O_RDONLY));
    TRY(open("d/none", O_RDONLY));
    OK(open("d", O_RDONLY));
    TRY(chmod("d", 0555));
    TRY(open("d/new", O_WRONLY | O_CREAT, 0644));
    TRY(chmod("d", 0755));
}

CASE(open, access_mode_three)
{
    file_with("f", "hello");
    char b[4];
    int fd = OK(open("f", O_ACCMODE));
    TRY(read(fd, b, 4));
    TRY(write(fd, b, 4));
    FLAGS(fd);
    TRY(chmod("f", 0444));
    TRY(open("f", O_ACCMODE));
}

CASE(open, flags_that_stay)
{
    file_with("f", "");
    FLAGS(open("f", O_RDONLY));
    FLAGS(open("f", O_RDWR | O_APPEND));
    FLAGS(open("f", O_WRONLY | O_NONBLOCK));
    FLAGS(open("f", O_RDWR | O_SYNC));
    FLAGS(open("f", O_RDWR | O_DSYNC));
    FLAGS(open("f", O_RDONLY | O_CREAT | O_NOCTTY | O_CLOEXEC, 0644));
    FLAGS(open("f", O_RDONLY | O_NOFOLLOW));
    FLAGS(open(".", O_RDONLY | O_DIRECTORY));
    FLAGS(open("f", O_RDONLY | O_NOATIME));
    FLAGS(open("f", O_PATH));
    FLAGS(open("f", O_PATH | O_NOFOLLOW | O_CLOEXEC));
    FLAGS(open("f", O_RDWR | O_TRUNC));
}

CASE(open, direct)
{
    file_with("f", "hello");
    OK(open("f", O_RDONLY | O_DIRECT));
    FLAGS(open("f", O_RDONLY | O_DIRECT));
}

CASE(open, close_on_exec)
{
    file_with("f", "");
    TRY(fcntl(open("f", O_RDONLY | O_CLOEXEC), F_GETFD));
    TRY(fcntl(open("f", O_RDONLY), F_GETFD));
}

CASE(open, unknown_flags)
{
    file_with("f", "");
    OK(open("f", O_RDONLY | 0x40000000));
    OK(open("f", O_RDONLY | 0x80000000));
    TRY(openat2(AT_FDCWD, "f", O_RDONLY | 0x40000000, 0, 0));
}

CASE(open, no_atime_of_others)
{
    TRY(open("/etc/passwd", O_RDONLY | O_NOATIME));
    TRY(open("/etc/passwd", O_WRONLY) < 0);
    OK(open("/etc/passwd", O_RDONLY));
}

CASE(open, special)
{
    TRY(mkfifo("p", 0644));
    TRY(open("p", O_WRONLY | O_NONBLOCK));
    int fd = OK(open("p", O_RDONLY | O_NONBLOCK));
    OK(open("p", O_WRONLY | O_NONBLOCK));
    TRY(open("p", O_RDONLY | O_DIRECTORY));
    FLAGS(fd);
    OK(open("/dev/null", O_RDWR | O_TRUNC));
    TRY(open("/dev/tty-none", O_RDONLY));
    TRY(open("/dev/null/x", O_RDONLY));
    TRY(open("/dev/null", O_DIRECTORY));
}

CASE(open, socket)
{
    TRY(mknod("s", S_IFSOCK | 0644, 0));
    TRY(open("s", O_RDONLY));
    TRY(open("s", O_RDWR | O_NONBLOCK));
    OK(open("s", O_PATH));
}

CASE(openat, bases)
{
    TRY(mkdir("d", 0755));
    int d = open("d", O_RDONLY), p = open("d", O_PATH);
    int f = OK(openat(d, "f", O_CREAT | O_RDWR, 0644));
    OK(openat(p, "f", O_RDONLY));
    TRY(openat(f, "x", O_RDONLY));
    TRY(openat(-1, "x", O_RDONLY));
    TRY(openat(99, "x", O_RDONLY));
    OK(openat(-1, "/etc/passwd", O_RDONLY));
    OK(openat(99, "/etc/passwd", O_RDONLY));
    TRY(openat(d, "", O_RDONLY));
    TRY(openat(99, "", O_RDONLY));
    OK(openat(d, ".", O_RDONLY));
    OK(openat(d, "..", O_RDONLY));
    OK(openat(d, "../d/f", O_RDONLY));
    TRY(openat(f, "..", O_RDONLY));
}

CASE(openat, directory_renamed)
{
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    int d = open("d", O_RDONLY);
    TRY(rename("d", "e"));
    OK(openat(d, "f", O_RDONLY));
    OK(openat(d, "g", O_CREAT | O_WRONLY, 0644));
    TRY(size_of("e/g"));
    OK(openat(d, "../e", O_RDONLY));
    TRY(mkdir("d", 0755));
    OK(openat(d, "f", O_RDONLY));
    TRY(unlinkat(d, "f", 0));
    TRY(size_of("e/f"));
}

CASE(openat, directory_removed)
{
    TRY(mkdir("d", 0755));
    int d = open("d", O_RDONLY);
    TRY(rmdir("d"));
    TRY(openat(d, "f", O_CREAT | O_WRONLY, 0644));
    TRY(openat(d, "f", O_RDONLY));
    TRY(mkdir("d", 0755));
    TRY(openat(d, "f", O_CREAT | O_WRONLY, 0644));
}

CASE(openat, directory_without_search)
{
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    int d = open("d", O_RDONLY);
    TRY(chmod("d", 0444));
    TRY(openat(d, "f", O_RDONLY));
    OK(openat(d, "", O_PATH) < 0);
    TRY(chmod("d", 0755));
}

CASE(openat2, checks)
{
    struct open_how how = {.flags = O_RDONLY};
    file_with("f", "");
    TRY(syscall(SYS_openat2, AT_FDCWD, "f", &how, 0));
    TRY(syscall(SYS_openat2, AT_FDCWD, "f", &how, 23));
    OK(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    TRY(syscall(SYS_openat2, AT_FDCWD, "f", BAD_POINTER, sizeof how));
    struct {
        struct open_how how;
        uint64_t more;
    } longer = {{.flags = O_RDONLY}, 0};
    OK(syscall(SYS_openat2, AT_FDCWD, "f", &longer, sizeof longer));
    longer.more = 1;
    TRY(syscall(SYS_openat2, AT_FDCWD, "f", &longer, sizeof longer));
    TRY(syscall(SYS_openat2, AT_FDCWD, "f", &longer, 5000));
}

CASE(openat2, values)
{
    file_with("f", "");
    TRY(openat2(AT_FDCWD, "f", O_RDONLY, 0644, 0));
    TRY(openat2(AT_FDCWD, "f", O_CREAT | O_RDWR, 010000, 0));
    OK(openat2(AT_FDCWD, "g", O_CREAT | O_RDWR, 0644, 0));
    TRY(openat2(AT_FDCWD, "f", 1ull << 40, 0, 0));
    TRY(openat2(AT_FDCWD, "f", O_RDONLY, 0, 1ull << 40));
    TRY(openat2(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0));
    OK(openat2(AT_FDCWD, "f", O_PATH | O_CLOEXEC, 0, 0));
    TRY(openat2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
    TRY(openat2(AT_FDCWD, "new", O_DIRECTORY | O_CREAT | O_RDONLY, 0644, 0));
}

CASE(openat2, beneath)
{
    TRY(mkdir("d", 0755));
    TRY(mkdir("d/e", 0755));
    file_with("f", "");
    file_with("d/g", "");
    symlink("../f", "d/out");
    symlink("/etc/passwd", "d/absolute");
    symlink("g", "d/in");
    int d = open("d", O_RDONLY);
    OK(openat2(d, "g", O_RDONLY, 0, RESOLVE_BENEATH));
    OK(openat2(d, "e/../g", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "../f", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "..", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "out", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "absolute", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "/etc/passwd", O_RDONLY, 0, RESOLVE_BENEATH));
    OK(openat2(d, "in", O_RDONLY, 0, RESOLVE_BENEATH));
    TRY(openat2(d, "none", O_RDONLY, 0, RESOLVE_BENEATH));
    OK(openat2(d, "new", O_CREAT | O_RDWR, 0644, RESOLVE_BENEATH));
    TRY(openat2(d, "../new", O_CREAT | O_RDWR, 0644, RESOLVE_BENEATH));
    TRY(size_of("d/new"));
    TRY(size_of("new"));
}

CASE(openat2, in_root)
{
    TRY(mkdir("d", 0755));
    file_with("d/g", "");
    symlink("/g", "d/absolute");
    symlink("/etc/passwd", "d/outside");
    int d = open("d", O_RDONLY);
    OK(openat2(d, "/g", O_RDONLY, 0, RESOLVE_IN_ROOT));
    OK(openat2(d, "../../g", O_RDONLY, 0, RESOLVE_IN_ROOT));
    OK(openat2(d, "absolute", O_RDONLY, 0, RESOLVE_IN_ROOT));
    TRY(openat2(d, "outside", O_RDONLY, 0, RESOLVE_IN_ROOT));
    TRY(openat2(d, "/etc/passwd", O_RDONLY, 0, RESOLVE_IN_ROOT));
    OK(openat2(d, "/new", O_CREAT | O_RDWR, 0644, RESOLVE_IN_ROOT));
    TRY(size_of("d/new"));
}

CASE(openat2, no_symlinks)
{
    TRY(mkdir("d", 0755));
    file_with("d/g", "");
    symlink("d", "l");
    symlink("d/g", "m");
    OK(openat2(AT_FDCWD, "d/g", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    TRY(openat2(AT_FDCWD, "l/g", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    TRY(openat2(AT_FDCWD, "m", O_RDONLY, 0, RESOLVE_NO_SYMLINKS));
    TRY(openat2(AT_FDCWD, "m", O_RDONLY | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
    OK(openat2(AT_FDCWD, "m", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS));
}

CASE(openat2, no_magic)
{
    int fd = file_with("f", "");
    char link[32];
    sprintf(link, "/proc/self/fd/%d", fd);
    OK(openat2(AT_FDCWD, link, O_RDONLY, 0, 0));
    TRY(openat2(AT_FDCWD, link, O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
    OK(openat2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS));
    OK(openat2(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_NO_XDEV));
    TRY(openat2(AT_FDCWD, "/proc/cpuinfo", O_RDONLY, 0, RESOLVE_NO_XDEV));
}

CASE(openat2, cached)
{
    TRY(openat2(AT_FDCWD, "f", O_RDWR | O_CREAT, 0644, RESOLVE_CACHED));
    TRY(openat2(AT_FDCWD, "f", O_RDWR | O_TRUNC, 0, RESOLVE_CACHED));
}

CASE(tmpfile, lives_without_a_name)
{
    char b[8];
    int fd = OK(open(".", O_TMPFILE | O_RDWR, 0640));
    struct stat st;
    TRY(write(fd, "hello", 5));
    TRY(pread(fd, b, 8, 0));
    TRY(fstat(fd, &st));
    SHOW("%o %d %d", st.st_mode, (int)st.st_nlink, (int)st.st_size);
    FLAGS(fd);
    TRY(size_of("hello"));
}

CASE(tmpfile, errors)
{
    file_with("f", "");
    TRY(open(".", O_TMPFILE | O_RDONLY, 0600));
    TRY(open("f", O_TMPFILE | O_RDWR, 0600));
    TRY(open("none", O_TMPFILE | O_RDWR, 0600));
    TRY(open(".", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600));
    TRY(open(".", O_TMPFILE | O_RDWR | O_CREAT, 0600));
    TRY(open("/usr", O_TMPFILE | O_RDWR, 0600) < 0);
}

CASE(tmpfile, gets_a_name)
{
    char link[32];
    int fd = open(".", O_TMPFILE | O_RDWR, 0644);
    TRY(write(fd, "hello", 5));
    sprintf(link, "/proc/self/fd/%d", fd);
    TRY(linkat(AT_FDCWD, link, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    show_file("named");
    int closed = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0644);
    sprintf(link, "/proc/self/fd/%d", closed);
    TRY(linkat(AT_FDCWD, link, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
}

CASE(o_path, what_works)
{
    struct stat st;
    file_with("f", "hello");
    int fd = OK(open("f", O_PATH));
    TRY(fstat(fd, &st));
    TRY(st.st_size);
    TRY(close(dup(fd)));
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
    TRY(fstatat(fd, "", &st, AT_EMPTY_PATH));
    OK(fcntl(fd, F_DUPFD, 0));
    TRY(faccessat(fd, "", R_OK, AT_EMPTY_PATH));
}

CASE(o_path, what_does_not)
{
    char b[4];
    struct iovec v = {b, 4};
    file_with("f", "hello");
    int fd = open("f", O_PATH);
    TRY(readv(fd, &v, 1));
    TRY(writev(fd, &v, 1));
    TRY(fchmod(fd, 0600));
    TRY(fchown(fd, -1, -1));
    TRY(fcntl(fd, F_SETFL, O_APPEND));
    struct flock lock = {.l_type = F_RDLCK};
    TRY(fcntl(fd, F_SETLK, &lock));
    TRY(fcntl(fd, F_GETLK, &lock));
    TRY(syscall(SYS_ioctl, fd, 0x541B, BAD_POINTER));
    TRY(futimens(fd, NULL));
    TRY(fdatasync(fd));
    TRY(syscall(SYS_getdents64, open(".", O_PATH), b, 4));
    TRY(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
}

CASE(o_path, link_itself)
{
    struct stat st;
    char b[16];
    symlink("target", "l");
    int fd = OK(open("l", O_PATH | O_NOFOLLOW));
    TRY(fstat(fd, &st));
    TRY(S_ISLNK(st.st_mode));
    TRY(readlinkat(fd, "", b, sizeof b));
    TRY(openat(fd, "x", O_RDONLY));
    TRY(open("l", O_PATH));
}

CASE(o_path, opened_again)
{
    char link[32], b[8];
    file_with("f", "hello");
    int fd = open("f", O_PATH);
    sprintf(link, "/proc/self/fd/%d", fd);
    int again = OK(open(link, O_RDONLY));
    TRY(read(again, b, 8));
    AT(fd);
    TRY(chmod(link, 0600));
    SHOW("%o", (int)mode_of("f"));
}

CASE(o_path, other_flags_ignored)
{
    file_with("f", "hello");
    OK(open("f", O_PATH | O_RDWR | O_TRUNC));
    TRY(size_of("f"));
    TRY(open("none", O_PATH | O_CREAT, 0644));
    TRY(open("f", O_PATH | O_DIRECTORY));
    TRY(chmod("f", 0));
    OK(open("f", O_PATH));
}

CASE(creat, forms)
{
    file_with("f", "hello");
    int fd = OK(creat("f", 0));
    TRY(size_of("f"));
    FLAGS(fd);
    TRY(creat(".", 0644));
    TRY(creat("none/x", 0644));
}

CASE(open, unlinked_file_lives)
{
    char b[8];
    struct stat st;
    int fd = file_with("f", "hello");
    TRY(unlink("f"));
    TRY(read(fd, b, 8));
    TRY(write(fd, " you", 4));
    TRY(fstat(fd, &st));
    SHOW("%d links, %d bytes", (int)st.st_nlink, (int)st.st_size);
    TRY(open("f", O_RDONLY));
    char link[32];
    sprintf(link, "/proc/self/fd/%d", fd);
    int again = OK(open(link, O_RDONLY));
    TRY(read(again, b, 8));
}

CASE(open, replaced_file)
{
    char b[8];
    int fd = file_with("f", "old");
    file_with("g", "newer");
    TRY(rename("g", "f"));
    TRY(read(fd, b, 8));
    show_file("f");
}

CASE(open, proc_self_fd)
{
    char link[32], b[8];
    int fd = file_with("f", "hello");
    TRY(read(fd, b, 2));
    sprintf(link, "/proc/self/fd/%d", fd);
    int again = OK(open(link, O_RDWR));
    AT(again);
    TRY(open("/proc/self/fd/99", O_RDONLY));
    TRY(open("/proc/self/fd/x", O_RDONLY));
    TRY(open(link, O_RDONLY | O_NOFOLLOW));
    TRY(open(link, O_RDONLY | O_DIRECTORY));
    TRY(open(link, O_CREAT | O_EXCL | O_RDWR, 0644));
    sprintf(link, "/dev/fd/%d", fd);
    OK(open(link, O_RDONLY));
}

CASE(open, slashes_and_dots)
{
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    OK(open("d//f", O_RDONLY));
    OK(open("./d/./f", O_RDONLY));
    OK(open("d/../d/f", O_RDONLY));
    TRY(open("none/../d/f", O_RDONLY));
    TRY(open("d/f/../f", O_RDONLY));
    OK(open("/../../..", O_RDONLY));
    OK(open("//etc//passwd", O_RDONLY));
    TRY(open("d/f/", O_RDONLY));
    OK(open("d/", O_RDONLY));
    OK(open("d/.", O_RDONLY));
}

CASE(open, again_without_rights)
{
    char link[32];
    int fd = file_with("f", "hello");
    sprintf(link, "/proc/self/fd/%d", fd);
    TRY(fchmod(fd, 0));
    TRY(open(link, O_RDWR));
    TRY(open(link, O_RDONLY));
    OK(open(link, O_PATH));
    TRY(fchmod(fd, 0400));
    OK(open(link, O_RDONLY));
    TRY(open(link, O_WRONLY));
}

CASE(tmpfile, by_descriptor)
{
    struct stat st;
    char link[32];
    sprintf(link, "/proc/self/fd/%d", open(".", O_RDONLY));
    int fd = OK(open(link, O_TMPFILE | O_RDWR, 0600));
    TRY(fstat(fd, &st));
    SHOW("%o %d", st.st_mode, (int)st.st_nlink);
    TRY(write(fd, "x", 1));
}
