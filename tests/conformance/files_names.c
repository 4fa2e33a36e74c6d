/* Calls that change names: mkdir, rmdir, unlink, rename, link, symlink, readlink, mknod. */
#include "files.h"

#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE  2
#define RENAME_WHITEOUT  4
#endif

static void show_mode(const char *name)
{
    struct stat st;
    if (lstat(name, &st) < 0)
        SHOW("%s: %s", name, strerrorname_np(errno));
    else
        SHOW("%s: %o, %d links", name, st.st_mode, S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink);
}

CASE(mkdir, forms)
{
    TRY(mkdir("d", 0777));
    show_mode("d");
    TRY(mkdir("d", 0777));
    TRY(mkdir("d/", 0777));
    TRY(mkdir("e/", 0777));
    TRY(mkdir("d/x/y", 0777));
    TRY(mkdir("", 0777));
    TRY(mkdir(".", 0777));
    TRY(mkdir("..", 0777));
    TRY(mkdir("/", 0777));
    TRY(mkdir("new/.", 0777));
    TRY(mkdir("d/..", 0777));
    TRY(mkdir(BAD_POINTER, 0777));
}

CASE(mkdir, modes)
{
    umask(0);
    TRY(mkdir("a", 07777));
    show_mode("a");
    TRY(mkdir("b", 01700));
    show_mode("b");
    TRY(mkdir("c", 0));
    show_mode("c");
    umask(0777);
    TRY(mkdir("d", 0777));
    show_mode("d");
    TRY(mkdir("e", 0xffff0000 | 0755));
    show_mode("e");
}

CASE(mkdir, lengths)
{
    TRY(mkdir(long_name(255), 0755));
    TRY(mkdir(long_name(256), 0755));
    TRY(mkdir(long_path(4096), 0755));
}

CASE(mkdir, over_links)
{
    symlink("nowhere", "dangling");
    symlink(".", "here");
    TRY(mkdir("dangling", 0755));
    TRY(mkdir("dangling/", 0755));
    TRY(mkdir("here", 0755));
    TRY(mkdir("here/x", 0755));
    show_mode("x");
    show_mode("nowhere");
}

CASE(mkdir, file_in_the_way)
{
    file_with("f", "");
    TRY(mkdir("f", 0755));
    TRY(mkdir("f/", 0755));
    TRY(mkdir("f/d", 0755));
    TRY(mkdirat(open("f", O_RDONLY), "d", 0755));
    TRY(mkdirat(99, "d", 0755));
    TRY(mkdirat(99, "", 0755));
}

CASE(mkdir, rights)
{
    TRY(mkdir("d", 0755));
    TRY(chmod("d", 0555));
    TRY(mkdir("d/x", 0755));
    TRY(chmod("d", 0600));
    TRY(mkdir("d/x", 0755));
    TRY(chmod("d", 0755));
    TRY(mkdir("/usr/x", 0755) < 0);
    TRY(mkdir("/proc/x", 0755) < 0);
}

CASE(rmdir, forms)
{
    TRY(mkdir("d", 0755));
    TRY(mkdir("d/e", 0755));
    file_with("f", "");
    TRY(rmdir("d"));
    TRY(rmdir("d/e/."));
    TRY(rmdir("d/e/.."));
    TRY(rmdir("."));
    TRY(rmdir(".."));
    TRY(rmdir("/"));
    TRY(rmdir("f"));
    TRY(rmdir("f/"));
    TRY(rmdir("none"));
    TRY(rmdir(""));
    TRY(rmdir("d/e/"));
    TRY(rmdir("d"));
    TRY(rmdir("d"));
}

CASE(rmdir, links)
{
    TRY(mkdir("d", 0755));
    symlink("d", "l");
    TRY(rmdir("l"));
    TRY(rmdir("l/"));
    TRY(rmdir("l/."));
    TRY(unlink("l"));
    TRY(rmdir("d"));
}

CASE(rmdir, open_one)
{
    char b[512];
    struct stat st;
    TRY(mkdir("d", 0755));
    int fd = open("d", O_RDONLY);
    TRY(rmdir("d"));
    TRY(fstat(fd, &st));
    TRY((long)st.st_nlink);
    TRY(syscall(SYS_getdents64, fd, b, sizeof b));
    TRY(mkdirat(fd, "x", 0755));
}

CASE(unlink, forms)
{
    file_with("f", "");
    TRY(mkdir("d", 0755));
    TRY(unlink("d"));
    TRY(unlink("d/"));
    TRY(unlink("f/"));
    TRY(unlink("f/x"));
    TRY(unlink("."));
    TRY(unlink(".."));
    TRY(unlink("/"));
    TRY(unlink("none"));
    TRY(unlink("none/"));
    TRY(unlink(""));
    TRY(unlink(BAD_POINTER));
    TRY(unlink(long_name(256)));
    TRY(unlink("f"));
    TRY(unlink("f"));
}

CASE(unlink, links)
{
    file_with("f", "x");
    symlink("f", "l");
    symlink("loop", "loop");
    link("f", "h");
    TRY(unlink("l/"));
    TRY(unlink("l"));
    TRY(unlink("loop"));
    show_mode("f");
    TRY(unlink("h"));
    show_mode("f");
}

CASE(unlink, rights)
{
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    TRY(chmod("d/f", 0));
    TRY(chmod("d", 0555));
    TRY(unlink("d/f"));
    TRY(chmod("d", 0755));
    TRY(unlink("d/f"));
    TRY(unlink("/etc/passwd") < 0);
    TRY(unlink("/proc/self/stat") < 0);
}

CASE(unlinkat, flags)
{
    TRY(mkdir("d", 0755));
    file_with("d/f", "x");
    int d = open("d", O_RDONLY);
    TRY(unlinkat(d, "f", AT_REMOVEDIR));
    TRY(unlinkat(d, "f", 1));
    TRY(unlinkat(d, "f", AT_SYMLINK_NOFOLLOW));
    TRY(unlinkat(d, "f", 0));
    TRY(unlinkat(d, "", AT_REMOVEDIR));
    TRY(unlinkat(AT_FDCWD, "d", 0));
    TRY(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
    TRY(unlinkat(99, "d", AT_REMOVEDIR));
    TRY(unlinkat(d, "../none", 0));
}

CASE(rename, files)
{
    file_with("a", "1");
    file_with("b", "2");
    TRY(rename("a", "c"));
    show_file("c");
    TRY(rename("c", "b"));
    show_file("b");
    TRY(rename("c", "b"));
    TRY(rename("b", "b"));
    TRY(rename("", "b"));
    TRY(rename("b", ""));
    TRY(rename("b", "none/x"));
    TRY(rename("b", "b/x"));
    TRY(rename("b/", "x"));
    TRY(rename("b", "x/"));
    TRY(rename(BAD_POINTER, "x"));
    TRY(rename("b", BAD_POINTER));
}

CASE(rename, directories)
{
    TRY(mkdir("a", 0755));
    TRY(mkdir("b", 0755));
    TRY(mkdir("b/x", 0755));
    file_with("f", "");
    TRY(rename("a", "b"));
    TRY(rename("b", "b/y"));
    TRY(rename("b", "b/x/y"));
    TRY(rename("a", "f"));
    TRY(rename("f", "a"));
    TRY(rename("b", "a"));
    show_mode("a/x");
    TRY(rename("a/x", "n/"));
    TRY(rename("n/", "m"));
    show_mode("m");
}

CASE(rename, dots)
{
    TRY(mkdir("a", 0755));
    TRY(rename(".", "x"));
    TRY(rename("..", "x"));
    TRY(rename("a/.", "x"));
    TRY(rename("a", "."));
    TRY(rename("a", "x/."));
    TRY(rename("a", ".."));
}

CASE(rename, same_file)
{
    file_with("a", "1");
    link("a", "b");
    TRY(rename("a", "b"));
    show_mode("a");
    show_mode("b");
}

CASE(rename, symbolic_links)
{
    file_with("f", "1");
    TRY(mkdir("d", 0755));
    symlink("f", "l");
    symlink("d", "ld");
    TRY(rename("l", "m"));
    show_mode("m");
    TRY(rename("f", "m"));
    show_mode("m");
    TRY(rename("ld/", "x"));
    TRY(rename("ld", "x"));
    show_mode("x");
    TRY(rename("m", "x/in"));
    show_mode("d/in");
}

CASE(rename, rights)
{
    TRY(mkdir("a", 0755));
    TRY(mkdir("b", 0755));
    file_with("a/f", "1");
    TRY(chmod("b", 0555));
    TRY(rename("a/f", "b/f"));
    TRY(chmod("b", 0755));
    TRY(chmod("a", 0555));
    TRY(rename("a/f", "b/f"));
    TRY(chmod("a", 0755));
    TRY(rename("a/f", "/usr/x") < 0);
    TRY(rename("a/f", "/proc/x"));
    TRY(rename("a/f", "/dev/x") < 0);
}

CASE(renameat2, noreplace)
{
    file_with("a", "1");
    file_with("b", "2");
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "c", AT_FDCWD, "c", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "none", AT_FDCWD, "d", RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "none", AT_FDCWD, "b", RENAME_NOREPLACE));
    show_file("c");
}

CASE(renameat2, exchange)
{
    file_with("a", "1");
    TRY(mkdir("d", 0755));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE));
    show_mode("a");
    show_mode("d");
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "a/x", RENAME_EXCHANGE));
}

CASE(renameat2, flags)
{
    file_with("a", "1");
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 8));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
    TRY(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_WHITEOUT));
    TRY(renameat2(99, "a", AT_FDCWD, "b", 0));
    TRY(renameat2(AT_FDCWD, "a", 99, "b", 0));
    TRY(renameat2(99, "/none", 99, "/none2", 0));
}

CASE(link, forms)
{
    file_with("f", "1");
    TRY(mkdir("d", 0755));
    TRY(link("f", "g"));
    show_mode("f");
    TRY(link("f", "g"));
    TRY(link("f", "f"));
    TRY(link("d", "e"));
    TRY(link("none", "e"));
    TRY(link("f", "none/e"));
    TRY(link("f", "d"));
    TRY(link("f", ""));
    TRY(link("", "e"));
    TRY(link("f/", "e"));
    TRY(link("f", "e/"));
    TRY(link("f", "."));
    TRY(link("f", long_name(256)));
    TRY(link(BAD_POINTER, "e"));
    TRY(link("f", BAD_POINTER));
    TRY(link("f", "/dev/x") < 0);
}

CASE(link, of_links)
{
    file_with("f", "1");
    symlink("f", "l");
    TRY(link("l", "a"));
    show_mode("a");
    TRY(linkat(AT_FDCWD, "l", AT_FDCWD, "b", AT_SYMLINK_FOLLOW));
    show_mode("b");
    TRY(linkat(AT_FDCWD, "l", AT_FDCWD, "c", 0));
    show_mode("c");
    symlink("nowhere", "dangling");
    TRY(link("dangling", "d"));
    TRY(linkat(AT_FDCWD, "dangling", AT_FDCWD, "e", AT_SYMLINK_FOLLOW));
    TRY(link("f", "dangling"));
}

CASE(linkat, flags)
{
    int fd = file_with("f", "1");
    TRY(linkat(AT_FDCWD, "f", AT_FDCWD, "a", 1));
    TRY(linkat(99, "f", AT_FDCWD, "a", 0));
    TRY(linkat(AT_FDCWD, "f", 99, "a", 0));
    TRY(linkat(fd, "", AT_FDCWD, "a", 0));
    TRY(linkat(fd, "x", AT_FDCWD, "a", 0));
    TRY(linkat(AT_FDCWD, "f", fd, "a", 0));
}

CASE(linkat, unlinked_file)
{
    char path[32];
    int fd = file_with("f", "1");
    TRY(unlink("f"));
    sprintf(path, "/proc/self/fd/%d", fd);
    TRY(linkat(AT_FDCWD, path, AT_FDCWD, "a", AT_SYMLINK_FOLLOW));
}

CASE(symlink, forms)
{
    TRY(symlink("anything at all", "l"));
    TRY(symlink("x", "l"));
    TRY(symlink("", "m"));
    TRY(symlink("x", ""));
    TRY(symlink("x", "none/l"));
    TRY(symlink("x", "m/"));
    TRY(symlink("x", "."));
    TRY(symlink(BAD_POINTER, "m"));
    TRY(symlink("x", BAD_POINTER));
    TRY(symlink(long_path(4095), "long"));
    TRY(symlink(long_path(4096), "longer"));
    TRY(symlinkat("x", 99, "m"));
    TRY(symlinkat("x", 99, "/usr/m") < 0);
    show_mode("l");
}

CASE(readlink, sizes)
{
    char b[64] = "................";
    symlink("0123456789", "l");
    TRY(readlink("l", b, 64));
    show_bytes("whole", b, 12);
    TRY(readlink("l", b, 4));
    TRY(readlink("l", b, 10));
    TRY(readlink("l", b, 0));
    TRY(syscall(SYS_readlink, "l", b, -1));
    TRY(readlink("l", BAD_POINTER, 10));
    TRY(readlink("l", before_a_hole(4), 10));
    TRY(readlink("l", before_a_hole(4), 4));
}

CASE(readlink, what_is_none)
{
    char b[64];
    file_with("f", "");
    TRY(readlink("f", b, 64));
    TRY(readlink(".", b, 64));
    TRY(readlink("none", b, 64));
    TRY(readlink("f/x", b, 64));
    TRY(readlink("", b, 64));
    TRY(readlink(BAD_POINTER, b, 64));
    TRY(readlink(long_name(256), b, 64));
    symlink(".", "l");
    TRY(readlink("l/", b, 64));
    TRY(readlinkat(open("f", O_RDONLY), "", b, 64));
    TRY(readlinkat(99, "l", b, 64));
    TRY(readlinkat(open(".", O_RDONLY), "", b, 64));
}

CASE(readlink, long_target)
{
    static char b[8192];
    symlink(long_path(4095), "l");
    TRY(readlink("l", b, sizeof b));
}

CASE(mknod, kinds)
{
    TRY(mknod("a", 0644, 0));
    show_mode("a");
    TRY(mknod("b", S_IFREG | 0600, 0));
    show_mode("b");
    TRY(mknod("c", S_IFIFO | 0666, 0));
    show_mode("c");
    TRY(mknod("d", S_IFSOCK | 0666, 0));
    show_mode("d");
    TRY(mknod("e", S_IFDIR | 0755, 0));
    TRY(mknod("f", S_IFLNK | 0777, 0));
    TRY(mknod("g", S_IFCHR | 0644, makedev(1, 3)));
    TRY(mknod("h", S_IFBLK | 0644, makedev(1, 3)));
    TRY(mknod("i", 0150000 | 0644, 0));
}

CASE(mknod, errors)
{
    file_with("f", "");
    TRY(mknod("f", S_IFREG | 0644, 0));
    TRY(mknod("f/", S_IFREG | 0644, 0));
    TRY(mknod("n/", S_IFREG | 0644, 0));
    TRY(mknod("none/x", S_IFIFO | 0644, 0));
    TRY(mknod("", S_IFREG | 0644, 0));
    TRY(mknod(BAD_POINTER, S_IFREG | 0644, 0));
    TRY(mknodat(99, "x", S_IFREG | 0644, 0));
    symlink("nowhere", "l");
    TRY(mknod("l", S_IFREG | 0644, 0));
    TRY(mkfifo("/proc/x", 0644) < 0);
}

CASE(fifo, through_it)
{
    char b[8];
    TRY(mkfifo("p", 0644));
    if (fork() == 0) {
        int fd = open("p", O_WRONLY);
        if (write(fd, "hello", 5) != 5)
            _exit(1);
        _exit(0);
    }
    int fd = OK(open("p", O_RDONLY));
    TRY(read(fd, b, 8));
    TRY(read(fd, b, 8));
    wait(NULL);
    struct stat st;
    TRY(fstat(fd, &st));
    TRY(S_ISFIFO(st.st_mode));
}

CASE(chdir, forms)
{
    char b[4096];
    file_with("f", "");
    TRY(mkdir("d", 0755));
    symlink("d", "l");
    TRY(chdir("f"));
    TRY(chdir("none"));
    TRY(chdir(""));
    TRY(chdir(BAD_POINTER));
    TRY(chdir(long_name(256)));
    TRY(chdir("l"));
    SHOW("%s", strrchr(getcwd(b, sizeof b), '/'));
    TRY(chdir(".."));
    TRY(mkdir("x", 0644));
    TRY(chdir("x"));
    TRY(chdir("/proc"));
    SHOW("%s", getcwd(b, sizeof b));
    TRY(chdir("/"));
    TRY(chdir(".."));
    SHOW("%s", getcwd(b, sizeof b));
}

CASE(fchdir, forms)
{
    char b[4096];
    int f = file_with("f", "");
    TRY(mkdir("d", 0755));
    TRY(fchdir(f));
    TRY(fchdir(-1));
    TRY(fchdir(99));
    TRY(fchdir(AT_FDCWD));
    TRY(fchdir(open("d", O_PATH)));
    SHOW("%s", strrchr(getcwd(b, sizeof b), '/'));
    TRY(fchdir(open("/proc", O_RDONLY)));
    SHOW("%s", getcwd(b, sizeof b));
    TRY(fchdir(open("/dev/null", O_RDONLY)));
}

CASE(getcwd, sizes)
{
    char b[4096];
    TRY(chdir("/usr/bin"));
    TRY(syscall(SYS_getcwd, b, sizeof b));
    TRY(syscall(SYS_getcwd, b, 9));
    TRY(syscall(SYS_getcwd, b, 8));
    TRY(syscall(SYS_getcwd, b, 0));
    TRY(syscall(SYS_getcwd, BAD_POINTER, 100));
    TRY(syscall(SYS_getcwd, NULL, 100));
    TRY(syscall(SYS_getcwd, BAD_POINTER, 2));
}

CASE(getcwd, renamed)
{
    char b[4096];
    TRY(mkdir("d", 0755));
    TRY(chdir("d"));
    file_with("f", "x");
    TRY(rename("../d", "../e"));
    OK(open("f", O_RDONLY));
    SHOW("%s", strrchr(getcwd(b, sizeof b), '/'));
    OK(open("g", O_CREAT | O_WRONLY, 0644));
    TRY(size_of("../e/g"));
    TRY(mkdir("../d", 0755));
    OK(open("f", O_RDONLY));
}

CASE(getcwd, removed)
{
    char b[4096];
    TRY(mkdir("d", 0755));
    TRY(chdir("d"));
    TRY(rmdir("../d"));
    TRY(syscall(SYS_getcwd, b, sizeof b));
    TRY(open("f", O_CREAT | O_WRONLY, 0644));
    TRY(open("f", O_RDONLY));
    TRY(mkdir("x", 0755));
    TRY(unlink("x"));
}

CASE(chdir, inherited)
{
    TRY(mkdir("d", 0755));
    TRY(chdir("d"));
    TRY(rename("../d", "../e"));
    fflush(stdout);
    if (fork() == 0) {
        execlp("sh", "sh", "-c", "basename \"$(/bin/pwd)\"; echo x > made", NULL);
        _exit(1);
    }
    wait(NULL);
    TRY(size_of("../e/made"));
}

CASE(umask, values)
{
    TRY(umask(027));
    TRY(umask(07777));
    TRY(umask(-1));
    TRY(umask(0));
}

CASE(chdir, renamed_then_used)
{
    TRY(mkdir("d", 0755));
    TRY(chdir("d"));
    TRY(rename("../d", "../e"));
    int script = open("run", O_CREAT | O_WRONLY, 0755);
    dprintf(script, "#!/bin/sh\necho ran\n");
    close(script);
    fflush(stdout);
    if (fork() == 0) {
        execl("./run", "run", NULL);
        SHOW("%s", strerrorname_np(errno));
        fflush(stdout);
        _exit(1);
    }
    wait(NULL);
    TRY(mkfifo("p", 0600));
    OK(open("p", O_RDWR));
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "s"};
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a));
    TRY(size_of("../e/s"));
}
