/*
 * Paths, against the real daemon: what they reach, what they must not reach, what may be changed.
 */
#include "test_rig.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/un.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static struct rig rig;
static struct net_conn *conn;

static void test_elsewhere(void **state)
{
    char out[PATH_LIMIT];
    struct {
        const char *path, *at;
    } direct[] = {
        {"/proc/self/status", "/proc/self/status"},
        {"/proc", "/proc"},
        {"//dev//null", "//dev//null"},
        {"/./dev/stdin", "/./dev/stdin"},
        {"/sys/kernel", "/sys/kernel"},
        {"/usr/../proc/self/exe", "/proc/self/exe"},
        {"/../dev/null", "/dev/null"},
        {"/dev/shm/a", "/dev/shm/a"},
        {"/proc/self/no-such", "/proc/self/no-such"},
        {"/dev/pts/../null", "/dev/pts/../null"},
    };
    for (size_t i = 0; i < sizeof direct / sizeof direct[0]; i++) {
        assert_int_equal(ask_elsewhere(conn, direct[i].path, false, out), 0);
        assert_string_equal(out, direct[i].at);
    }

    struct {
        const char *name, *target, *path, *at;
    } links[] = {
        {"mtab", "/proc/self/mounts", "mtab", "/proc/self/mounts"},
        {"relative", "../../../../../../proc/self/mounts", "relative", "/proc/self/mounts"},
        {"to-link", "mtab", "to-link", "/proc/self/mounts"},
        {"fd", "/proc/self/fd", "fd/12345", "/proc/self/fd/12345"},
        {"devices", "/dev", "devices/null", "/dev/null"},
        {"dangling", "/proc/no-such/x", "dangling", "/proc/no-such/x"},
        {"magic", "/proc/self/cwd", "magic/etc/passwd", "/proc/self/cwd/etc/passwd"},
    };
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        assert_int_equal(symlink(links[i].target, rig_path(&rig, "rw/%s", links[i].name)), 0);
        assert_int_equal(ask_elsewhere(conn, rig_path(&rig, "rw/%s", links[i].path), false, out),
                         0);
        assert_string_equal(out, links[i].at);
    }
    /* The link itself is in the volume. */
    assert_int_equal(ask_elsewhere(conn, rig_path(&rig, "rw/mtab"), true, out), -EISNAM);
    assert_int_equal(ask_readlink(conn, rig_path(&rig, "rw/mtab"), out), 0);
    assert_string_equal(out, "/proc/self/mounts");
    /* Opening to write through one ends there as well, and so does a name in one. */
    assert_int_equal(
        ask_open(conn, rig_path(&rig, "rw/devices/null"), O_WRONLY | O_CREAT, 0644, NULL),
        ASH_ELSEWHERE);
    assert_int_equal(ask_open(conn, "/dev/null", O_RDWR | O_CREAT | O_TRUNC, 0644, NULL),
                     ASH_ELSEWHERE);
    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/devices/x"), S_IFDIR | 0755), ASH_ELSEWHERE);
    /* Out of them again it is the volume's, not the pComponent's. */
    assert_int_equal(ask_stat(conn, "/dev/../etc", false, NULL), 0);
    assert_int_equal(ask_stat(conn, "/proc/self/../../etc", false, NULL), 0);
    assert_int_equal(ask_stat(conn, "/dev/../no-such", false, NULL), -ENOENT);
    /* Names that only begin alike. */
    assert_int_equal(ask_stat(conn, "/process", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "/device/x", false, NULL), -ENOENT);
}

static void test_resolution(void **state)
{
    char out[PATH_LIMIT], expect[PATH_LIMIT];
    struct file_attr attr, again;
    struct stat st;

    rig_write_file(rig_path(&rig, "ro/file"), "content");
    assert_int_equal(mkdir(rig_path(&rig, "ro/d"), 0755), 0);
    assert_int_equal(symlink("../../rw", rig_path(&rig, "ro/d/up")), 0);
    assert_int_equal(symlink("loop", rig_path(&rig, "ro/loop")), 0);

    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/file"), false, &attr), 0);
    assert_int_equal(stat(rig_path(&rig, "ro/file"), &st), 0);
    assert_int_equal(attr.id.inode, st.st_ino);
    assert_int_equal(attr.id.device, st.st_dev);
    assert_int_equal(attr.size_bytes, 7);
    assert_int_equal(attr.mode, st.st_mode);
    assert_int_equal(attr.mtime_s, st.st_mtim.tv_sec);
    assert_int_equal(attr.mtime_ns, st.st_mtim.tv_nsec);
    assert_int_equal(attr.blocks, st.st_blocks);
    assert_int_equal(attr.writable, 0);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/d/up/../ro/file"), false, &again), 0);
    assert_memory_equal(&attr.id, &again.id, sizeof attr.id);
    assert_int_equal(ask_stat(conn, rig.rw, false, &attr), 0);
    assert_int_equal(attr.writable, 1);

    assert_int_equal(ask_real(conn, rig_path(&rig, "ro/d/up/.././/ro/d"), out), 0);
    snprintf(expect, sizeof expect, "%s/d", rig.ro);
    assert_string_equal(out, expect);
    assert_int_equal(ask_real(conn, "/..", out), 0);
    assert_string_equal(out, "/");

    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/loop"), false, NULL), -ELOOP);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/file/x"), false, NULL), -ENOTDIR);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/file/"), false, NULL), -ENOTDIR);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/none"), false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "relative", false, NULL), -EINVAL);
    assert_int_equal(ask_readlink(conn, rig_path(&rig, "ro/file"), out), -EINVAL);
    memset(out, 'a', sizeof out);
    out[0] = '/';
    out[300] = 0;
    assert_int_equal(ask_stat(conn, out, false, NULL), -ENAMETOOLONG);
    for (size_t i = 0; i < sizeof out - 1; i++)
        out[i] = i % 2 ? 'a' : '/';
    out[sizeof out - 1] = 0;
    assert_int_equal(ask_stat(conn, out, false, NULL), -ENOENT);

    assert_int_equal(ask_access(conn, rig_path(&rig, "ro/file"), R_OK), 0);
    assert_int_equal(ask_access(conn, rig_path(&rig, "ro/file"), W_OK), -EROFS);
    assert_int_equal(ask_access(conn, rig.rw, W_OK | X_OK), 0);
    assert_int_equal(ask_access(conn, rig_path(&rig, "ro/file"), X_OK), -EACCES);
}

/* Whoever may change rw alone must not change ro, by any message and any detour. */
static void test_read_only(void **state)
{
    struct file_attr file, dir;
    struct stat before, after;
    const char *const ro = rig.ro;
    char path[PATH_LIMIT];

    snprintf(path, sizeof path, "%s/precious", ro);
    rig_write_file(path, "precious");
    assert_int_equal(mkdir(rig_path(&rig, "ro/empty"), 0755), 0);
    assert_int_equal(symlink("../ro/precious", rig_path(&rig, "rw/link")), 0);
    assert_int_equal(symlink("../ro", rig_path(&rig, "rw/dir")), 0);
    assert_int_equal(symlink("../ro/new", rig_path(&rig, "rw/new")), 0);
    rig_write_file(rig_path(&rig, "rw/mine"), "mine");
    assert_int_equal(stat(path, &before), 0);

    const uint32_t writing[] = {O_WRONLY,           O_RDWR,           O_RDONLY | O_TRUNC,
                                O_WRONLY | O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_APPEND};
    const char *const ways[] = {path, rig_path(&rig, "rw/link"), rig_path(&rig, "rw/dir/precious"),
                                rig_path(&rig, "rw/../ro/precious")};
    char kept[4][PATH_LIMIT];
    for (size_t w = 0; w < 4; w++)
        strcpy(kept[w], ways[w]);
    for (size_t w = 0; w < 4; w++)
        for (size_t i = 0; i < sizeof writing / sizeof writing[0]; i++)
            assert_int_equal(ask_open(conn, kept[w], writing[i], 0644, NULL), -EROFS);
    assert_int_equal(ask_open(conn, path, O_RDWR | O_CREAT | O_EXCL, 0644, NULL), -EEXIST);
    assert_int_equal(ask_open(conn, path, O_RDONLY | O_CREAT, 0644, NULL), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/new"), O_RDWR | O_CREAT, 0644, NULL),
                     -EROFS);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/dir/x"), O_RDWR | O_CREAT, 0644, NULL),
                     -EROFS);
    assert_int_equal(ask_open(conn, ro, O_RDWR | O_TMPFILE, 0644, NULL), -EROFS);

    assert_int_equal(ask_open(conn, path, O_RDONLY, 0, &file), 0);
    assert_int_equal(ask_open(conn, ro, O_RDONLY | O_DIRECTORY, 0, &dir), 0);
    assert_int_equal(file.writable, 0);
    assert_int_equal(ask_write(conn, &file.id, 0, "x", 1), -EROFS);
    assert_int_equal(ask_append(conn, &file.id, "x", 1, NULL), -EROFS);
    assert_int_equal(ask_truncate(conn, &file.id, 0), -EROFS);
    assert_int_equal(ask_allocate(conn, &file.id, 0, 0, 4096), -EROFS);
    assert_int_equal(ask_chmod(conn, &file.id, "", 0600), -EROFS);
    assert_int_equal(ask_chmod(conn, NULL, path, 0600), -EROFS);
    assert_int_equal(ask_chmod(conn, NULL, rig_path(&rig, "rw/link"), 0600), -EROFS);
    assert_int_equal(ask_chmod(conn, &dir.id, "", 0700), -EROFS);
    struct msg_file_setattr touch = {.what = SETATTR_TIMES, .mtime_s = 1, .path = path};
    assert_int_equal(ask_setattr(conn, &touch), -EROFS);
    struct msg_file_setattr chown_it = {
        .what = SETATTR_OWNER, .uid = getuid(), .gid = getgid(), .path = path};
    assert_int_equal(ask_setattr(conn, &chown_it), -EROFS);
    assert_int_equal(ask_reopen(conn, &file.id, path, O_RDWR), -EROFS);

    assert_int_equal(ask_unlink(conn, path, false), -EROFS);
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "rw/dir/precious"), false), -EROFS);
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "ro/empty"), true), -EROFS);
    assert_int_equal(ask_unlink(conn, rig.rw, true), -EROFS);
    assert_int_equal(ask_rename(conn, path, rig_path(&rig, "rw/stolen"), 0), -EROFS);
    assert_int_equal(ask_rename(conn, rig_path(&rig, "rw/mine"), path, 0), -EROFS);
    assert_int_equal(ask_rename(conn, path, rig_path(&rig, "ro/other"), 0), -EROFS);
    assert_int_equal(ask_rename(conn, rig.rw, rig_path(&rig, "elsewhere"), 0), -EROFS);
    assert_int_equal(ask_link(conn, NULL, path, rig_path(&rig, "rw/hard"), false), -EXDEV);
    assert_int_equal(
        ask_link(conn, NULL, rig_path(&rig, "rw/link"), rig_path(&rig, "rw/hard"), true), -EXDEV);
    assert_int_equal(ask_link(conn, &file.id, "", rig_path(&rig, "rw/hard"), false), -EXDEV);
    assert_int_equal(
        ask_link(conn, NULL, rig_path(&rig, "rw/mine"), rig_path(&rig, "ro/hard"), false), -EROFS);
    assert_int_equal(ask_symlink(conn, "x", rig_path(&rig, "ro/sym")), -EROFS);
    assert_int_equal(ask_make(conn, rig_path(&rig, "ro/made"), S_IFDIR | 0755), -EROFS);
    assert_int_equal(ask_make(conn, rig_path(&rig, "ro/made"), S_IFREG | 0644), -EROFS);
    assert_int_equal(ask_make(conn, rig_path(&rig, "ro/made"), S_IFIFO | 0644), -EROFS);
    assert_int_equal(ask_make(conn, rig_path(&rig, "ro/empty"), S_IFDIR | 0755), -EEXIST);
    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/blk"), S_IFBLK | 0644), -EPERM);

    assert_int_equal(stat(path, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    assert_memory_equal(&before.st_ctim, &after.st_ctim, sizeof before.st_ctim);
    assert_int_equal(before.st_mode, after.st_mode);
    assert_int_equal(after.st_nlink, 1);
    rig_assert_file(path, "precious");
    rig_assert_file(rig_path(&rig, "rw/mine"), "mine");
    assert_int_equal(access(rig_path(&rig, "ro/made"), F_OK), -1);
    assert_int_equal(access(rig_path(&rig, "ro/new"), F_OK), -1);

    /* A monitor's connection changes nothing anywhere, whatever its list says. */
    struct net_conn *monitor = rig_connect_as(&rig, SCOPE_COMPONENT, 0, rig.rw);
    struct file_attr mine;
    assert_int_equal(ask_open(monitor, rig_path(&rig, "rw/mine"), O_RDWR, 0, NULL), -EROFS);
    assert_int_equal(ask_open(monitor, rig_path(&rig, "rw/mine"), O_RDONLY, 0, &mine), 0);
    assert_int_equal(ask_write(monitor, &mine.id, 0, "x", 1), ASH_FORBIDDEN);
    assert_int_equal(ask_unlink(monitor, rig_path(&rig, "rw/mine"), false), ASH_FORBIDDEN);
    net_close(monitor);
    rig_assert_file(rig_path(&rig, "rw/mine"), "mine");
}

/* A hard link that the host made: each opener has the rights of the name it came by. */
static void test_two_names(void **state)
{
    struct file_attr a, b;

    rig_write_file(rig_path(&rig, "ro/two"), "both");
    assert_int_equal(link(rig_path(&rig, "ro/two"), rig_path(&rig, "rw/two")), 0);
    struct net_conn *other = rig_connect_as(&rig, SCOPE_PROCESS, 2, "");
    assert_int_equal(ask_open(other, rig_path(&rig, "ro/two"), O_RDONLY, 0, &a), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/two"), O_RDWR, 0, &b), 0);
    assert_memory_equal(&a.id, &b.id, sizeof a.id);
    assert_int_equal(ask_write(conn, &b.id, 0, "B", 1), 1);
    assert_int_equal(ask_write(other, &b.id, 0, "A", 1), -EROFS);
    net_close(other);
    rig_assert_file(rig_path(&rig, "ro/two"), "Both");
}

static void test_special_files(void **state)
{
    struct file_attr attr;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;

    assert_int_equal(mkfifo(rig_path(&rig, "rw/fifo"), 0644), 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/sock", rig.rw);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    /* Each would block for ever if the daemon opened it. */
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/fifo"), O_RDONLY, 0, &attr), 0);
    assert_true(S_ISFIFO(attr.mode));
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/fifo"), O_WRONLY | O_CREAT, 0644, &attr), 0);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), ASH_STALE_FILE);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/fifo"), O_PATH, 0, &attr), 0);
    assert_int_equal(ask_file_stat(conn, &attr.id, &attr), 0);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), -EBADF);
    assert_int_equal(ask_write(conn, &attr.id, 0, "x", 1), -EBADF);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/sock"), O_RDWR, 0, &attr), 0);
    assert_true(S_ISSOCK(attr.mode));
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/fifo"), O_DIRECTORY, 0, NULL), -ENOTDIR);
}

/* A directory and a link to `ro` change places for as long as the test writes through the name. */
static struct {
    char inside[PATH_LIMIT], outside[PATH_LIMIT], name[PATH_LIMIT];
    atomic_bool stop;
    atomic_ulong swaps;
} race;

static void *swap(void *argument)
{
    while (!atomic_load(&race.stop)) {
        assert_int_equal(
            syscall(SYS_renameat2, AT_FDCWD, race.name, AT_FDCWD, race.outside, 2 /* exchange */),
            0);
        atomic_fetch_add(&race.swaps, 1);
    }
    return NULL;
}

static void test_races(void **state)
{
    enum { ROUNDS = 4000 };
    pthread_t thread;
    unsigned refused = 0, done = 0;
    struct file_attr attr;

    assert_int_equal(mkdir(rig_path(&rig, "ro/target"), 0755), 0);
    rig_write_file(rig_path(&rig, "ro/target/victim"), "victim");
    strcpy(race.name, rig_path(&rig, "rw/place"));
    strcpy(race.outside, rig_path(&rig, "rw/trap"));
    assert_int_equal(mkdir(race.name, 0755), 0);
    rig_write_file(rig_path(&rig, "rw/place/victim"), "decoy");
    assert_int_equal(symlink("../ro/target", race.outside), 0);
    pthread_create(&thread, NULL, swap, NULL);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char path[PATH_LIMIT];
        int rc = 0;
        snprintf(path, sizeof path, "%s/victim", race.name);
        switch (i % 6) {
        case 0:
            rc = ask_open(conn, path, O_WRONLY | O_TRUNC, 0, &attr);
            if (rc == 0) {
                rc = (int)ask_write(conn, &attr.id, 0, "hit", 3);
                assert_int_equal(rc, 3);
                assert_int_equal(ask_release(conn, &attr.id), 0);
                rc = 0;
            }
            break;
        case 1:
            rc = ask_open(conn, path, O_RDWR | O_CREAT, 0644, &attr);
            if (rc == 0)
                assert_int_equal(ask_release(conn, &attr.id), 0);
            break;
        case 2:
            rc = ask_unlink(conn, path, false);
            rc = rc == -ENOENT ? 0 : rc;
            break;
        case 3:
            rc = ask_chmod(conn, NULL, path, 0600);
            rc = rc == -ENOENT ? 0 : rc;
            break;
        case 4:
            snprintf(path, sizeof path, "%s/new", race.name);
            rc = ask_make(conn, path, S_IFDIR | 0755);
            rc = rc == -EEXIST ? 0 : rc;
            break;
        case 5:
            snprintf(path, sizeof path, "%s/new", race.name);
            rc = ask_unlink(conn, path, true);
            rc = rc == -ENOENT ? 0 : rc;
            break;
        }
        if (rc == -ENOENT)
            continue; /* removed two rounds ago */
        assert_true(rc == 0 || rc == -EROFS);
        *(rc == 0 ? &done : &refused) += 1;
    }
    atomic_store(&race.stop, true);
    pthread_join(thread, NULL);
    assert_true(race.swaps > 100);
    assert_true(refused > 0 && done > 0); /* both sides of the race were met */
    rig_assert_file(rig_path(&rig, "ro/target/victim"), "victim");
    struct stat st;
    assert_int_equal(stat(rig_path(&rig, "ro/target/victim"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);
    assert_int_equal(access(rig_path(&rig, "ro/target/new"), F_OK), -1);
}

static int setup(void **state)
{
    rig_start(&rig);
    conn = rig_connect(&rig);
    return 0;
}

static int teardown(void **state)
{
    net_close(conn);
    rig_stop(&rig);
    return 0;
}

/* A directory that is open leads the way, whatever it is called by now. */
static void test_bases(void **state)
{
    char out[PATH_LIMIT];
    struct file_attr directory, file;
    struct file_id nobody = {.device = 1, .inode = 2, .generation = 3};
    const char *was = rig_path(&rig, "rw/base"), *path = rig_path(&rig, "rw/base/f");
    uint32_t length = (uint32_t)strlen(was);

    assert_int_equal(ask_make(conn, was, S_IFDIR | 0755), 0);
    assert_int_equal(ask_open(conn, was, O_PATH | O_DIRECTORY, 0, &directory), 0);
    assert_int_equal(rename(was, rig_path(&rig, "rw/moved")), 0);
    assert_int_equal(ask_open_at(conn, &directory.id, length, path, O_RDWR | O_CREAT, 0, &file), 0);
    rig_assert_file(rig_path(&rig, "rw/moved/f"), "");
    assert_int_equal(ask_real_at(conn, &directory.id, length, was, out), 0);
    assert_string_equal(out, rig_path(&rig, "rw/moved"));
    /* Not known here: the path stands as it is. */
    assert_int_equal(ask_open_at(conn, &nobody, length, path, O_RDONLY, 0, NULL), -ENOENT);
    /* More than the path has, with and without a directory that is known. */
    assert_int_equal(ask_real_at(conn, &directory.id, length + 100, was, out), ASH_MALFORMED);
    assert_int_equal(ask_real_at(conn, &directory.id, UINT32_MAX, was, out), ASH_MALFORMED);
    nobody = (struct file_id){0};
    assert_int_equal(
        ask_open_at(conn, &nobody, UINT32_MAX, path, O_RDONLY, RESOLVE_NO_SYMLINKS, NULL), -ENOENT);
    /* A base in another place gives no right to change it. */
    assert_int_equal(ask_open(conn, rig.ro, O_PATH | O_DIRECTORY, 0, &directory), 0);
    assert_int_equal(ask_open_at(conn, &directory.id, length, path, O_RDWR | O_CREAT, 0, NULL),
                     -EROFS);
}

/* What has taken its name is not gone through, and what it was is still there when it is removed.
 */
static void test_bases_without_a_name(void **state)
{
    char out[PATH_LIMIT], path[PATH_LIMIT];
    struct file_attr directory, other;
    const char *was = rig_path(&rig, "rw/named");
    uint32_t length = (uint32_t)strlen(was);

    assert_int_equal(ask_make(conn, was, S_IFDIR | 0755), 0);
    assert_int_equal(ask_open(conn, was, O_PATH | O_DIRECTORY, 0, &directory), 0);
    assert_int_equal(rmdir(was), 0);
    assert_int_equal(symlink(rig.rw, was), 0);
    snprintf(path, sizeof path, "%s/new", was);
    assert_int_equal(ask_open_at(conn, &directory.id, length, path, O_RDWR | O_CREAT, 0, NULL),
                     -ENOENT);
    assert_int_equal(access(rig_path(&rig, "rw/new"), F_OK), -1);
    snprintf(path, sizeof path, "%s/.", was);
    assert_int_equal(ask_open_at(conn, &directory.id, length, path, O_RDONLY, 0, &other), 0);
    assert_memory_equal(&other.id, &directory.id, sizeof other.id);
    assert_int_equal(ask_open_at(conn, &directory.id, length, was, O_PATH, 0, &other), 0);
    assert_memory_equal(&other.id, &directory.id, sizeof other.id);
    assert_int_equal(ask_real_at(conn, &directory.id, length, was, out), -ENOENT);
    snprintf(path, sizeof path, "%s/..", was);
    assert_int_equal(ask_real_at(conn, &directory.id, length, path, out), 0);
    assert_string_equal(out, rig.rw);
}

static void test_resolve(void **state)
{
    struct file_attr directory;
    char path[PATH_LIMIT];
    const char *root = rig_path(&rig, "rw/cage");
    uint32_t length = (uint32_t)strlen(root);
    struct {
        const char *rest;
        uint32_t flags, resolve;
        int result;
    } tries[] = {
        {"/in", O_RDONLY, RESOLVE_BENEATH, 0},
        {"/../cage/in", O_RDONLY, RESOLVE_BENEATH, -EXDEV},
        {"/out", O_RDONLY, RESOLVE_BENEATH, -EXDEV},
        {"/out", O_RDONLY, RESOLVE_NO_SYMLINKS, -ELOOP},
        {"/out", O_RDONLY, RESOLVE_IN_ROOT, -ENOENT},
        {"/../../in", O_RDONLY, RESOLVE_IN_ROOT, 0},
        {"/../escaped", O_RDWR | O_CREAT, RESOLVE_BENEATH, -EXDEV},
        {"/../../made", O_RDWR | O_CREAT, RESOLVE_IN_ROOT, 0},
        {"/out", O_RDWR | O_CREAT, RESOLVE_BENEATH, -EXDEV},
        {"/proc-link/self/status", O_RDONLY, RESOLVE_BENEATH, -EXDEV},
        {"", O_RDWR | O_CREAT, RESOLVE_IN_ROOT, -EISDIR},
    };

    assert_int_equal(ask_make(conn, root, S_IFDIR | 0755), 0);
    rig_write_file(rig_path(&rig, "rw/cage/in"), "x");
    assert_int_equal(symlink("/etc/passwd", rig_path(&rig, "rw/cage/out")), 0);
    assert_int_equal(symlink("/proc", rig_path(&rig, "rw/cage/proc-link")), 0);
    assert_int_equal(ask_open(conn, root, O_PATH | O_DIRECTORY, 0, &directory), 0);
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        snprintf(path, sizeof path, "%s%s", root, tries[i].rest);
        int rc =
            ask_open_at(conn, &directory.id, length, path, tries[i].flags, tries[i].resolve, NULL);
        if (rc != tries[i].result)
            print_error("%s: %d, not %d\n", tries[i].rest, rc, tries[i].result);
        assert_int_equal(rc, tries[i].result);
    }
    assert_int_equal(access(rig_path(&rig, "rw/cage/made"), F_OK), 0);
    assert_int_equal(access(rig_path(&rig, "rw/escaped"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elsewhere),     cmocka_unit_test(test_resolution),
        cmocka_unit_test(test_read_only),     cmocka_unit_test(test_two_names),
        cmocka_unit_test(test_special_files), cmocka_unit_test(test_races),
        cmocka_unit_test(test_bases),         cmocka_unit_test(test_bases_without_a_name),
        cmocka_unit_test(test_resolve),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
