/* What files are: stat, access, modes, owners, times, extended attributes, file systems. */
#include "show.h"

#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <utime.h>

static void stats(void)
{
    struct stat st, other;
    struct statx x;
    umask(022);
    make_file("f", "some text");
    R(symlink("f", "l"));
    R(stat("f", &st));
    SHOW("mode %o links %ld size %ld own %d", st.st_mode, (long)st.st_nlink, (long)st.st_size,
         st.st_uid == geteuid() && st.st_gid == getegid());
    R(stat("l", &other));
    SHOW("same %d", st.st_ino == other.st_ino && st.st_dev == other.st_dev);
    R(lstat("l", &other));
    SHOW("mode %o size %ld", other.st_mode, (long)other.st_size);
    int fd = R(open("f", O_RDONLY));
    R(fstat(fd, &other));
    SHOW("same %d", st.st_ino == other.st_ino && !memcmp(&st.st_mtim, &other.st_mtim, 16));
    R(fstatat(fd, "", &other, AT_EMPTY_PATH));
    SHOW("same %d", st.st_ino == other.st_ino);
    R(fstatat(fd, "", &other, 0));
    R(fstatat(AT_FDCWD, "", &other, AT_EMPTY_PATH));
    SHOW("mode %o", other.st_mode);
    R(fstatat(AT_FDCWD, "l", &other, AT_SYMLINK_NOFOLLOW));
    SHOW("mode %o", other.st_mode);
    R(fstatat(AT_FDCWD, "f", &other, 0x40000000));
    R(fstat(99, &other));
    R(stat("missing", &other));
    R(stat("f/x", &other));
    R(stat("f", BAD));
    R(fstat(fd, BAD));
    R(statx(AT_FDCWD, "f", 0, STATX_ALL, &x));
    SHOW("mode %o links %d size %ld same %d btime %d", x.stx_mode, x.stx_nlink, (long)x.stx_size,
         x.stx_ino == st.st_ino && makedev(x.stx_dev_major, x.stx_dev_minor) == st.st_dev,
         (x.stx_mask & STATX_BTIME) != 0);
    R(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
    SHOW("size %ld", (long)x.stx_size);
    R(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &x));
    SHOW("mode %o", x.stx_mode);
    R(statx(AT_FDCWD, "f", 0, STATX__RESERVED, &x));
    R(statx(AT_FDCWD, "f", 0x6000, 0, &x));
    R(stat("/dev/null", &st));
    SHOW("mode %o rdev %d:%d", st.st_mode, major(st.st_rdev), minor(st.st_rdev));
    int pair[2];
    MUST(pipe(pair));
    R(fstat(pair[0], &st));
    SHOW("type %o", st.st_mode & S_IFMT);
    R(statx(pair[0], "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x));
    SHOW("type %o", x.stx_mode & S_IFMT);
    R(stat("/", &st));
    SHOW("mode %o inode same %d", st.st_mode,
         stat("/..", &other) == 0 && st.st_ino == other.st_ino);
    R(close(fd));
}

static void accesses(void)
{
    R(access("f", F_OK));
    R(access("f", R_OK | W_OK));
    R(access("f", X_OK));
    R(access("f", 99));
    R(access("missing", F_OK));
    R(access("", F_OK));
    R(faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
    R(faccessat(AT_FDCWD, "l", R_OK, AT_SYMLINK_NOFOLLOW));
    R(syscall(SYS_faccessat2, AT_FDCWD, "f", R_OK, 0x8000));
    R(access("/bin/sh", X_OK));
    R(access("/dev/null", W_OK));
    R(access("/etc/passwd", R_OK));
}

static unsigned mode_of(const char *name)
{
    struct stat st;
    return lstat(name, &st) < 0 ? 0 : st.st_mode;
}

static void modes(void)
{
    R(chmod("f", 0601));
    SHOW("%o", mode_of("f"));
    R(chmod("l", 0640));
    SHOW("%o %o", mode_of("f"), mode_of("l"));
    R(chmod("missing", 0600));
    int fd = R(open("f", O_RDONLY));
    R(fchmod(fd, 04755));
    SHOW("%o", mode_of("f"));
    R(close(fd));
    fd = R(open("f", O_PATH));
    R(fchmod(fd, 0600));
    R(fchown(fd, -1, -1));
    R(close(fd));
    R(fchmod(99, 0600));
    R(fchmodat(AT_FDCWD, "f", 0600, 0));
    SHOW("%o", mode_of("f"));
    R(mkdir("d", 0700));
    R(chmod("d", 01777));
    SHOW("%o", mode_of("d"));
    R(chown("f", -1, getegid()));
    R(chown("f", geteuid(), -1));
    R(lchown("l", geteuid(), getegid()));
    R(chown("missing", -1, -1));
    fd = R(open("f", O_RDONLY));
    R(fchown(fd, geteuid(), getegid()));
    R(fchownat(fd, "", -1, -1, AT_EMPTY_PATH));
    R(fchownat(AT_FDCWD, "f", -1, -1, 0x4000));
    R(close(fd));
}

static void show_times(const char *name)
{
    struct stat st;
    lstat(name, &st);
    SHOW("%s: %ld.%09ld %ld.%09ld", name, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
         (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void times(void)
{
    struct timespec ts[2] = {{1000000, 123456789}, {2000000, 987654321}};
    struct timespec omit[2] = {{0, UTIME_OMIT}, {7, 0}}, bad[2] = {{0, 1000000000}, {0, 0}};
    struct timespec neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    struct timeval tv[2] = {{3000000, 500000}, {4000000, 0}}, wrong[2] = {{0, 1000000}, {0, 0}};
    struct utimbuf old = {5000000, 6000000};
    R(utimensat(AT_FDCWD, "f", ts, 0));
    show_times("f");
    R(utimensat(AT_FDCWD, "f", omit, 0));
    show_times("f");
    R(utimensat(AT_FDCWD, "f", bad, 0));
    R(utimensat(AT_FDCWD, "missing", neither, 0));
    R(utimensat(AT_FDCWD, "l", ts, AT_SYMLINK_NOFOLLOW));
    show_times("l");
    show_times("f");
    R(utimensat(AT_FDCWD, "f", ts, 0x8000));
    R(utimensat(AT_FDCWD, "missing", ts, 0));
    int fd = R(open("f", O_RDONLY));
    R(futimens(fd, ts));
    show_times("f");
    R(close(fd));
    R(futimens(99, ts));
    R(utimes("f", tv));
    show_times("f");
    R(utimes("f", wrong));
    R(syscall(SYS_utime, "f", &old));
    show_times("f");
    R(syscall(SYS_futimesat, AT_FDCWD, "f", tv));
    show_times("f");
    R(utimensat(AT_FDCWD, "f", BAD, 0));
    R(utime("f", NULL));
    struct stat st;
    stat("f", &st);
    SHOW("recent %d", time(NULL) - st.st_mtim.tv_sec < 100);
    R(utimes("d", tv));
    make_file("d/x", "x");
    stat("d", &st);
    SHOW("recent %d", time(NULL) - st.st_mtim.tv_sec < 100);
}

static void extended(void)
{
    char b[64];
    int fd = R(open("f", O_RDWR));
    R(getxattr("missing", "user.a", b, 64));
    R(listxattr("missing", b, 64));
    R(fgetxattr(99, "user.a", b, 64));
    R(listxattr("f", b, 64));
    R(llistxattr("l", b, 64));
    R(flistxattr(fd, b, 64));
    R(getxattr("f", BAD, b, 64));
    R(getxattr("f", "", b, 64));
    R(close(fd));
}

static void systems(void)
{
    struct statfs a, b;
    R(statfs(".", &a));
    int fd = R(open("f", O_RDONLY));
    R(fstatfs(fd, &b));
    SHOW("same %d", a.f_type == b.f_type && a.f_bsize == b.f_bsize && a.f_namelen == b.f_namelen);
    R(unlink("f"));
    R(fstatfs(fd, &b));
    R(fstatfs(99, &b));
    R(statfs("missing", &a));
    R(statfs("/proc", &a));
    SHOW("type %lx", (long)a.f_type);
    R(close(fd));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    stats();
    accesses();
    modes();
    times();
    extended();
    systems();
    return 0;
}
