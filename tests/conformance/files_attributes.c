/* What files are and how that is changed: stat, statx, access, modes, owners, times, entries. */
#include "files.h"

#include <dirent.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

static void show(const char *name)
{
    struct stat st;
    if (lstat(name, &st) < 0)
        SHOW("%s: %s", name, strerrorname_np(errno));
    else
        SHOW("%s: %o %d %ld", name, st.st_mode, S_ISDIR(st.st_mode) ? 0 : (int)st.st_nlink,
             S_ISDIR(st.st_mode) ? 0 : (long)st.st_size);
}

CASE(stat, kinds)
{
    file_with("f", "hello");
    mkdir("d", 0750);
    symlink("f", "l");
    symlink("none", "dangling");
    mkfifo("p", 0640);
    mknod("s", S_IFSOCK | 0600, 0);
    show("f");
    show("d");
    show("l");
    show("dangling");
    show("p");
    show("s");
    struct stat st;
    TRY(stat("l", &st));
    SHOW("%o", st.st_mode);
    TRY(stat("dangling", &st));
    TRY(stat("/dev/null", &st));
    SHOW("%o %u %u", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
}

CASE(stat, errors)
{
    struct stat st;
    file_with("f", "hello");
    symlink("loop", "loop");
    TRY(stat("none", &st));
    TRY(stat("f/", &st));
    TRY(stat("f/x", &st));
    TRY(stat("", &st));
    TRY(stat("loop", &st));
    TRY(lstat("loop", &st));
    TRY(lstat("loop/", &st));
    TRY(stat(long_name(256), &st));
    TRY(stat(long_path(4096), &st));
    TRY(syscall(SYS_stat, BAD_POINTER, &st));
    TRY(syscall(SYS_stat, "f", BAD_POINTER));
    TRY(syscall(SYS_stat, "none", BAD_POINTER));
    TRY(syscall(SYS_fstat, 99, &st));
    TRY(syscall(SYS_fstat, 0, BAD_POINTER));
    TRY(syscall(SYS_fstat, 99, BAD_POINTER));
}

CASE(stat, search_permission)
{
    struct stat st;
    mkdir("d", 0755);
    file_with("d/f", "");
    chmod("d", 0444);
    TRY(stat("d/f", &st));
    TRY(stat("d/none", &st));
    TRY(stat("d", &st));
    TRY(stat("d/", &st));
    TRY(stat("d/.", &st));
    chmod("d", 0111);
    TRY(stat("d/f", &st));
    OK(open("d/f", O_RDONLY));
    TRY(open("d", O_RDONLY));
    chmod("d", 0755);
}

CASE(stat, identity)
{
    struct stat a, b;
    int fd = file_with("f", "hello");
    link("f", "g");
    stat("f", &a);
    stat("g", &b);
    SHOW("%d", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    fstat(fd, &b);
    SHOW("%d %d", a.st_ino == b.st_ino, a.st_uid == geteuid());
    rename("f", "h");
    stat("h", &b);
    SHOW("%d", a.st_ino == b.st_ino);
    SHOW("%d", a.st_blocks >= 0);
    file_with("other", "");
    stat("other", &b);
    SHOW("%d", a.st_ino == b.st_ino);
}

CASE(fstatat, flags)
{
    struct stat st;
    int fd = file_with("f", "hello"), d = open(".", O_RDONLY);
    symlink("f", "l");
    TRY(fstatat(d, "l", &st, AT_SYMLINK_NOFOLLOW));
    SHOW("%o", st.st_mode);
    TRY(fstatat(fd, "", &st, AT_EMPTY_PATH));
    TRY(fstatat(fd, "", &st, 0));
    TRY(fstatat(AT_FDCWD, "", &st, AT_EMPTY_PATH));
    TRY(S_ISDIR(st.st_mode));
    TRY(fstatat(fd, "x", &st, AT_EMPTY_PATH));
    TRY(fstatat(99, "", &st, AT_EMPTY_PATH));
    TRY(fstatat(99, "f", &st, 0));
    TRY(fstatat(99, "/", &st, 0));
    TRY(fstatat(d, "f", &st, 0x40000));
    TRY(fstatat(d, "f", &st, AT_NO_AUTOMOUNT));
    TRY(fstatat(d, "f", &st, AT_REMOVEDIR));
    TRY(fstatat(0, "", &st, AT_EMPTY_PATH));
}

CASE(statx, masks)
{
    struct statx st;
    int fd = file_with("f", "hello");
    TRY(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &st));
    SHOW("%o %d %d", st.stx_mode, (int)st.stx_size,
         (st.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    TRY(statx(AT_FDCWD, "f", 0, 0, &st));
    TRY(statx(AT_FDCWD, "f", 0, STATX_SIZE, &st));
    SHOW("%d", (int)st.stx_size);
    TRY(statx(AT_FDCWD, "f", 0, STATX_BTIME, &st));
    TRY(statx(AT_FDCWD, "f", 0, 0x80000000, &st));
    TRY(statx(AT_FDCWD, "f", 0x100000, 0, &st));
    TRY(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, 0, &st));
    TRY(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, 0, &st));
    TRY(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &st));
    TRY(statx(fd, "", 0, STATX_BASIC_STATS, &st));
    TRY(statx(AT_FDCWD, "none", 0, STATX_BASIC_STATS, &st));
    TRY(syscall(SYS_statx, AT_FDCWD, "f", 0, 0, BAD_POINTER));
    TRY(syscall(SYS_statx, AT_FDCWD, BAD_POINTER, 0, 0, &st));
    TRY(statx(99, "", AT_EMPTY_PATH, 0, &st));
}

CASE(access, modes)
{
    file_with("f", "");
    chmod("f", 0640);
    TRY(access("f", F_OK));
    TRY(access("f", R_OK | W_OK));
    TRY(access("f", X_OK));
    TRY(access("f", 8));
    TRY(access("f", -1));
    TRY(access("none", F_OK));
    TRY(access("f/", F_OK));
    TRY(access("f/x", F_OK));
    TRY(access("", F_OK));
    TRY(access(BAD_POINTER, F_OK));
    TRY(access(".", R_OK | W_OK | X_OK));
    chmod("f", 0);
    TRY(access("f", F_OK));
    TRY(access("f", R_OK));
    TRY(access("/etc/passwd", W_OK) < 0);
    TRY(access("/etc/passwd", R_OK));
}

CASE(faccessat2, flags)
{
    symlink("none", "l");
    int fd = file_with("f", "");
    TRY(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, 0));
    TRY(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW));
    TRY(syscall(SYS_faccessat2, fd, "", R_OK, AT_EMPTY_PATH));
    TRY(syscall(SYS_faccessat2, fd, "", R_OK, 0));
    TRY(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, AT_EACCESS));
    TRY(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 1));
    TRY(syscall(SYS_faccessat2, 99, "f", R_OK, 0));
    TRY(syscall(SYS_faccessat2, fd, "f", R_OK, 0));
}

CASE(chmod, forms)
{
    int fd = file_with("f", "");
    TRY(chmod("f", 0600));
    show("f");
    TRY(chmod("f", 0107777));
    show("f");
    TRY(fchmod(fd, 0640));
    show("f");
    TRY(fchmodat(AT_FDCWD, "f", 0604, 0));
    show("f");
    TRY(chmod("none", 0600));
    TRY(chmod("f/", 0600));
    TRY(chmod("", 0600));
    TRY(chmod(BAD_POINTER, 0600));
    TRY(fchmod(99, 0600));
    TRY(fchmodat(99, "f", 0600, 0));
    TRY(chmod("/etc/passwd", 0666) < 0);
    symlink("f", "l");
    TRY(chmod("l", 0611));
    show("f");
    show("l");
    mkdir("d", 0755);
    TRY(chmod("d", 02770));
    show("d");
}

CASE(chmod, open_descriptor_stays)
{
    char b[8];
    int fd = file_with("f", "hello");
    TRY(fchmod(fd, 0));
    TRY(read(fd, b, 8));
    TRY(write(fd, "x", 1));
    TRY(open("f", O_RDONLY));
}

CASE(chown, forms)
{
    int fd = file_with("f", "");
    symlink("none", "dangling");
    TRY(chown("f", -1, -1));
    TRY(chown("f", getuid(), getgid()));
    TRY(fchown(fd, -1, getgid()));
    TRY(lchown("dangling", -1, -1));
    TRY(chown("dangling", -1, -1));
    TRY(chown("f", 0, -1));
    TRY(chown("none", -1, -1));
    TRY(chown("", -1, -1));
    TRY(chown(BAD_POINTER, -1, -1));
    TRY(fchown(99, -1, -1));
    TRY(fchownat(fd, "", -1, -1, AT_EMPTY_PATH));
    TRY(fchownat(fd, "", -1, -1, 0));
    TRY(fchownat(AT_FDCWD, "f", -1, -1, 0x40));
    TRY(chown("/etc/passwd", getuid(), -1) < 0);
}

CASE(chown, takes_set_id_bits)
{
    file_with("f", "");
    chmod("f", 06755);
    TRY(chown("f", getuid(), getgid()));
    show("f");
    chmod("f", 06755);
    int fd = open("f", O_WRONLY);
    TRY(write(fd, "x", 1));
    show("f");
}

static void show_times(const char *name)
{
    struct stat st;
    lstat(name, &st);
    bool recent_a = st.st_atime > 1700000000, recent_m = st.st_mtime > 1700000000;
    SHOW("%ld.%ld %ld.%ld", recent_a ? -1 : (long)st.st_atime,
         recent_a ? 0 : (long)st.st_atim.tv_nsec, recent_m ? -1 : (long)st.st_mtime,
         recent_m ? 0 : (long)st.st_mtim.tv_nsec);
}

CASE(utimensat, forms)
{
    struct timespec t[2] = {{100, 1}, {200, 2}};
    int fd = file_with("f", "");
    TRY(utimensat(AT_FDCWD, "f", t, 0));
    show_times("f");
    t[0].tv_nsec = UTIME_OMIT;
    t[1].tv_sec = 300;
    TRY(utimensat(AT_FDCWD, "f", t, 0));
    show_times("f");
    t[1].tv_nsec = UTIME_NOW;
    TRY(utimensat(AT_FDCWD, "f", t, 0));
    show_times("f");
    t[0] = t[1] = (struct timespec){0, UTIME_OMIT};
    TRY(utimensat(AT_FDCWD, "none", t, 0));
    TRY(futimens(fd, t));
    TRY(futimens(fd, NULL));
    show_times("f");
    t[0] = (struct timespec){-100, 0};
    t[1] = (struct timespec){1l << 31, 999999999};
    TRY(futimens(fd, t));
}

CASE(utimensat, errors)
{
    struct timespec t[2] = {{100, 1000000000}, {200, 2}};
    file_with("f", "");
    TRY(utimensat(AT_FDCWD, "f", t, 0));
    t[0].tv_nsec = -1;
    TRY(utimensat(AT_FDCWD, "f", t, 0));
    t[0].tv_nsec = 0;
    TRY(utimensat(AT_FDCWD, "none", t, 0));
    TRY(utimensat(AT_FDCWD, "", t, 0));
    TRY(utimensat(AT_FDCWD, "f", t, 0x8000));
    TRY(utimensat(99, "f", t, 0));
    TRY(syscall(SYS_utimensat, AT_FDCWD, "f", BAD_POINTER, 0));
    TRY(syscall(SYS_utimensat, AT_FDCWD, NULL, t, 0));
    TRY(syscall(SYS_utimensat, 99, NULL, t, 0));
    TRY(utimensat(AT_FDCWD, "/etc/passwd", t, 0) < 0);
    TRY(utimensat(AT_FDCWD, "f/", t, 0));
    symlink("f", "l");
    TRY(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
    show_times("l");
    TRY(utimensat(open("f", O_RDWR), "", t, AT_EMPTY_PATH));
}

CASE(utime, forms)
{
    struct utimbuf u = {100, 200};
    struct timeval v[2] = {{300, 5}, {400, 6}};
    file_with("f", "");
    TRY(utime("f", &u));
    show_times("f");
    TRY(utimes("f", v));
    show_times("f");
    v[0].tv_usec = 1000000;
    TRY(utimes("f", v));
    TRY(utime("f", NULL));
    show_times("f");
    TRY(syscall(SYS_utime, "f", BAD_POINTER));
    TRY(syscall(SYS_utimes, "f", BAD_POINTER));
    TRY(futimesat(AT_FDCWD, "none", NULL));
}

CASE(times, move)
{
    struct stat a, b;
    struct timespec t[2] = {{100, 1}, {200, 2}};
    char c;
    int fd = file_with("f", "hello");
    futimens(fd, t);
    TRY(write(fd, "x", 1));
    show_times("f");
    futimens(fd, t);
    TRY(ftruncate(fd, 3));
    show_times("f");
    futimens(fd, t);
    TRY(fchmod(fd, 0600));
    show_times("f");
    TRY(fstat(fd, &a));
    SHOW("%d", a.st_ctime > 1700000000);
    mkdir("d", 0755);
    utimensat(AT_FDCWD, "d", t, 0);
    file_with("d/f", "");
    show_times("d");
    (void)b;
    (void)c;
}

CASE(statfs, forms)
{
    struct statfs a, b;
    int ends[2], fd = file_with("f", "");
    TRY(statfs(".", &a));
    TRY(fstatfs(fd, &b));
    SHOW("%d %d", a.f_type == b.f_type, a.f_bsize == b.f_bsize);
    TRY(a.f_namelen);
    TRY(statfs("none", &a));
    TRY(statfs("", &a));
    TRY(statfs("f/x", &a));
    TRY(syscall(SYS_statfs, BAD_POINTER, &a));
    TRY(syscall(SYS_statfs, ".", BAD_POINTER));
    TRY(fstatfs(99, &a));
    TRY(statfs("/proc", &a));
    SHOW("%lx", (long)a.f_type);
    pipe(ends);
    TRY(fstatfs(ends[0], &a));
    SHOW("%lx", (long)a.f_type);
}

/* ---- directories ---- */

static int make_entries(int count)
{
    char name[32];
    mkdir("d", 0755);
    for (int i = 0; i < count; i++) {
        sprintf(name, "d/entry-%03d", i);
        close(open(name, O_CREAT | O_WRONLY, 0644));
    }
    return open("d", O_RDONLY);
}

/* Reads all entries with buffers of that size: how many, and whether each came once. */
static void count_entries(int fd, size_t size)
{
    char b[8192], seen[1000] = "";
    long n;
    int dots = 0, entries = 0, twice = 0;
    while ((n = syscall(SYS_getdents64, fd, b, size)) > 0) {
        for (long at = 0; at < n; at += ((struct dirent64 *)(b + at))->d_reclen) {
            struct dirent64 *e = (struct dirent64 *)(b + at);
            if (e->d_name[0] == '.') {
                dots++;
                continue;
            }
            int i = atoi(e->d_name + 6);
            twice += seen[i]++;
            entries++;
        }
    }
    SHOW("%ld: %d entries, %d dots, %d twice", n, entries, dots, twice);
}

CASE(getdents, sizes)
{
    char b[64];
    int fd = make_entries(100);
    count_entries(fd, 8192);
    TRY(syscall(SYS_getdents64, fd, b, sizeof b));
    TRY(lseek(fd, 0, SEEK_SET));
    count_entries(fd, 40);
    lseek(fd, 0, SEEK_SET);
    count_entries(fd, 77);
    lseek(fd, 0, SEEK_SET);
    TRY(syscall(SYS_getdents64, fd, b, 10));
    TRY(syscall(SYS_getdents64, fd, b, 0));
    TRY(syscall(SYS_getdents64, fd, BAD_POINTER, 4096));
    lseek(fd, 0, SEEK_SET);
    TRY(syscall(SYS_getdents, fd, b, 10));
}

CASE(getdents, what_is_none)
{
    char b[512];
    int ends[2];
    pipe(ends);
    TRY(syscall(SYS_getdents64, file_with("f", ""), b, sizeof b));
    TRY(syscall(SYS_getdents64, ends[0], b, sizeof b));
    TRY(syscall(SYS_getdents64, 99, b, sizeof b));
    TRY(syscall(SYS_getdents64, open(".", O_PATH), b, sizeof b));
}

CASE(getdents, types)
{
    mkdir("d", 0755);
    mkdir("d/d", 0755);
    file_with("d/f", "");
    symlink("x", "d/l");
    mkfifo("d/p", 0644);
    struct dirent **list;
    int n = scandir("d", &list, NULL, alphasort);
    for (int i = 0; i < n; i++)
        SHOW("%s %d", list[i]->d_name, list[i]->d_type);
}

CASE(getdents, old_form)
{
    char b[512];
    mkdir("d", 0755);
    file_with("d/file", "");
    int fd = open("d", O_RDONLY), found = 0;
    long n = syscall(SYS_getdents, fd, b, sizeof b);
    for (long at = 0; at < n;) {
        unsigned short size = *(unsigned short *)(b + at + 16);
        if (!strcmp(b + at + 18, "file"))
            found = b[at + size - 1];
        at += size;
    }
    TRY(found);
    TRY(syscall(SYS_getdents, fd, b, sizeof b));
}

CASE(getdents, seek_and_go_on)
{
    int fd = make_entries(50);
    DIR *d = fdopendir(fd);
    char first[256];
    struct dirent *e;
    for (int i = 0; i < 10; i++)
        e = readdir(d);
    long at = telldir(d);
    strcpy(first, readdir(d)->d_name);
    while (readdir(d))
        ;
    seekdir(d, at);
    SHOW("%d", !strcmp(first, readdir(d)->d_name));
    rewinddir(d);
    int count = 0;
    while ((e = readdir(d)))
        count++;
    TRY(count);
}

CASE(getdents, changes_meanwhile)
{
    int fd = make_entries(20), count = 0;
    DIR *d = fdopendir(fd);
    struct dirent *e;
    char path[300];
    while ((e = readdir(d))) {
        if (e->d_name[0] == '.')
            continue;
        sprintf(path, "d/%s", e->d_name);
        count += unlink(path) == 0;
    }
    TRY(count);
    TRY(rmdir("d"));
}

CASE(getdents, shared_position)
{
    char b[8192];
    int fd = make_entries(5), copy = dup(fd);
    TRY(syscall(SYS_getdents64, fd, b, sizeof b) > 0);
    TRY(syscall(SYS_getdents64, copy, b, sizeof b));
}

/* ---- extended attributes ---- */

CASE(xattr, set_and_get)
{
    char b[64];
    int fd = file_with("f", "");
    TRY(setxattr("f", "user.one", "value", 5, 0));
    TRY(getxattr("f", "user.one", b, sizeof b));
    show_bytes("value", b, 5);
    TRY(getxattr("f", "user.one", b, 0));
    TRY(getxattr("f", "user.one", b, 3));
    TRY(setxattr("f", "user.one", "longer value", 12, 0));
    TRY(fgetxattr(fd, "user.one", b, sizeof b));
    TRY(fsetxattr(fd, "user.two", "", 0, 0));
    TRY(getxattr("f", "user.two", b, sizeof b));
    TRY(getxattr("f", "user.none", b, sizeof b));
    TRY(removexattr("f", "user.one"));
    TRY(removexattr("f", "user.one"));
    TRY(fremovexattr(fd, "user.two"));
    TRY(getxattr("f", "user.one", b, sizeof b));
}

CASE(xattr, flags)
{
    file_with("f", "");
    TRY(setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
    TRY(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
    TRY(setxattr("f", "user.a", "2", 1, XATTR_CREATE));
    TRY(setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
    TRY(setxattr("f", "user.a", "2", 1, 4));
}

CASE(xattr, list)
{
    char b[64];
    file_with("f", "");
    TRY(listxattr("f", b, sizeof b));
    TRY(setxattr("f", "user.a", "1", 1, 0));
    TRY(setxattr("f", "user.bb", "2", 1, 0));
    TRY(listxattr("f", b, sizeof b));
    TRY(listxattr("f", NULL, 0));
    TRY(listxattr("f", b, 4));
    TRY(flistxattr(open("f", O_RDONLY), b, sizeof b));
    TRY(flistxattr(open("f", O_PATH), b, sizeof b));
    TRY(flistxattr(99, b, sizeof b));
    TRY(listxattr("none", b, sizeof b));
    TRY(listxattr("f", BAD_POINTER, 64));
}

CASE(xattr, errors)
{
    char b[64];
    file_with("f", "");
    TRY(setxattr("f", "user.", "1", 1, 0));
    TRY(setxattr("f", "", "1", 1, 0));
    TRY(setxattr("f", "nospace.x", "1", 1, 0));
    TRY(setxattr("f", "user", "1", 1, 0));
    TRY(setxattr("f", "trusted.x", "1", 1, 0));
    TRY(getxattr("f", "trusted.x", b, sizeof b));
    TRY(setxattr("f", BAD_POINTER, "1", 1, 0));
    TRY(setxattr("f", "user.x", BAD_POINTER, 1, 0));
    TRY(setxattr("f", "user.x", b, 65537, 0));
    TRY(setxattr("none", "user.x", b, 1, 0));
    TRY(getxattr("f", "user.x", BAD_POINTER, 10));
    TRY(setxattr("f", long_name(256), "1", 1, 0));
    TRY(fsetxattr(99, "user.x", "1", 1, 0));
    TRY(fsetxattr(open("f", O_PATH), "user.x", "1", 1, 0));
    TRY(getxattr("/etc/passwd", "user.x", b, sizeof b));
    TRY(setxattr("/etc/passwd", "user.x", "1", 1, 0) < 0);
}

CASE(xattr, kinds_of_files)
{
    char b[64];
    mkdir("d", 0755);
    symlink("d", "l");
    mkfifo("p", 0644);
    TRY(setxattr("d", "user.x", "1", 1, 0));
    TRY(getxattr("l", "user.x", b, sizeof b));
    TRY(lsetxattr("l", "user.x", "1", 1, 0));
    TRY(lgetxattr("l", "user.x", b, sizeof b));
    TRY(llistxattr("l", b, sizeof b));
    TRY(lremovexattr("l", "user.x"));
    TRY(setxattr("p", "user.x", "1", 1, 0));
    TRY(fsetxattr(open("d", O_RDONLY), "user.x", "22", 2, 0));
    TRY(getxattr("d", "user.x", b, sizeof b));
}

CASE(xattr, large)
{
    static char value[4000], back[4000];
    file_with("f", "");
    memset(value, 'v', sizeof value);
    TRY(setxattr("f", "user.large", value, 2000, 0));
    TRY(getxattr("f", "user.large", back, sizeof back));
    TRY(memcmp(value, back, 2000));
}

CASE(name_to_handle_at, errors)
{
    char b[256] = "";
    int mount;
    struct file_handle *h = (void *)b;
    file_with("f", "");
    h->handle_bytes = 200;
    TRY(name_to_handle_at(AT_FDCWD, "none", h, &mount, 0) < 0);
    TRY(name_to_handle_at(99, "f", h, &mount, 0) < 0);
    TRY(open_by_handle_at(AT_FDCWD, h, O_RDONLY) < 0);
}
