/*
 * Open files, against the real daemon: content, holds, directories, locks, descriptors, restarts.
 */
#include "test_rig.h"

#include <dirent.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdlib.h>

static struct rig rig;
static struct net_conn *conn;

static void test_content(void **state)
{
    struct file_attr attr, again;
    char buffer[64];
    uint64_t at;
    const char *path = rig_path(&rig, "rw/content");
    uint8_t *big = malloc(FILE_IO_MAX), *back = malloc(FILE_IO_MAX);

    assert_int_equal(ask_open(conn, path, O_RDWR | O_CREAT | O_EXCL, 0640, &attr), 0);
    assert_int_equal(attr.mode, S_IFREG | 0640);
    assert_int_equal(attr.writable, 1);
    assert_int_equal(ask_open(conn, path, O_RDWR | O_CREAT | O_EXCL, 0640, NULL), -EEXIST);
    assert_int_equal(ask_write(conn, &attr.id, 0, "hello", 5), 5);
    assert_int_equal(ask_write(conn, &attr.id, 8192, "far", 3), 3);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 64), 64);
    assert_memory_equal(buffer, "hello\0\0", 7);
    assert_int_equal(ask_read(conn, &attr.id, 8190, buffer, 64), 5);
    assert_memory_equal(buffer, "\0\0far", 5);
    assert_int_equal(ask_read(conn, &attr.id, 8195, buffer, 64), 0);
    assert_int_equal(ask_read(conn, &attr.id, UINT64_MAX, buffer, 64), -EINVAL);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, FILE_IO_MAX + 1), ASH_TOO_BIG);
    assert_int_equal(ask_seek(conn, &attr.id, 1, true, &at), 0);
    assert_true(at == 4096 || at == 8195);
    assert_int_equal(ask_seek(conn, &attr.id, 9000, false, &at), -ENXIO);
    assert_int_equal(ask_truncate(conn, &attr.id, 3), 0);
    assert_int_equal(ask_file_stat(conn, &attr.id, &again), 0);
    assert_int_equal(again.size_bytes, 3);
    assert_int_equal(again.writable, 1);
    assert_int_equal(ask_allocate(conn, &attr.id, FALLOC_FL_KEEP_SIZE, 0, 65536), 0);
    assert_int_equal(ask_file_stat(conn, &attr.id, &again), 0);
    assert_int_equal(again.size_bytes, 3);
    assert_int_equal(ask_allocate(conn, &attr.id, 0, 0, 0), -EINVAL);
    assert_int_equal(ask_sync(conn, &attr.id), 0);

    for (size_t i = 0; i < FILE_IO_MAX; i++)
        big[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(ask_write(conn, &attr.id, 1, big, FILE_IO_MAX), FILE_IO_MAX);
    assert_int_equal(ask_read(conn, &attr.id, 1, back, FILE_IO_MAX), FILE_IO_MAX);
    assert_memory_equal(big, back, FILE_IO_MAX);

    assert_int_equal(ask_open(conn, path, O_WRONLY | O_TRUNC, 0, &again), 0);
    assert_memory_equal(&attr.id, &again.id, sizeof attr.id);
    assert_int_equal(again.size_bytes, 0);
    free(big);
    free(back);
}

static void test_open_errors(void **state)
{
    struct file_attr attr;
    char path[PATH_LIMIT];

    assert_int_equal(mkdir(rig_path(&rig, "rw/dir"), 0755), 0);
    assert_int_equal(symlink("dir", rig_path(&rig, "rw/to-dir")), 0);
    assert_int_equal(symlink("made-through", rig_path(&rig, "rw/dangling")), 0);
    assert_int_equal(symlink("loop2", rig_path(&rig, "rw/loop1")), 0);
    assert_int_equal(symlink("loop1", rig_path(&rig, "rw/loop2")), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/dir"), O_WRONLY, 0, NULL), -EISDIR);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/dir"), O_RDONLY | O_CREAT, 0, NULL),
                     -EISDIR);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/new/"), O_RDWR | O_CREAT, 0644, NULL),
                     -EISDIR);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/to-dir"), O_NOFOLLOW, 0, NULL), -ELOOP);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/to-dir"), O_NOFOLLOW | O_DIRECTORY, 0, NULL),
                     -ENOTDIR);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/to-dir"), O_NOFOLLOW | O_PATH, 0, &attr), 0);
    assert_true(S_ISLNK(attr.mode));
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/to-dir/"), O_NOFOLLOW, 0, &attr), 0);
    assert_true(S_ISDIR(attr.mode));
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/none"), O_RDONLY, 0, NULL), -ENOENT);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/none/x"), O_RDWR | O_CREAT, 0, NULL),
                     -ENOENT);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/loop1"), O_RDWR | O_CREAT, 0644, NULL),
                     -ELOOP);
    assert_int_equal(
        ask_open(conn, rig_path(&rig, "rw/dangling"), O_RDWR | O_CREAT | O_EXCL, 0, NULL), -EEXIST);
    assert_int_equal(
        ask_open(conn, rig_path(&rig, "rw/dangling"), O_RDWR | O_CREAT | O_NOFOLLOW, 0, NULL),
        -ELOOP);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/dangling"), O_RDWR | O_CREAT, 0644, &attr),
                     0);
    assert_int_equal(access(rig_path(&rig, "rw/made-through"), F_OK), 0);

    /* The longest chain of links that Linux follows, and one more. */
    strcpy(path, rig_path(&rig, "rw/made-through"));
    for (unsigned i = 1; i <= SYMLINK_MAX + 1; i++) {
        char link[PATH_LIMIT];
        strcpy(link, rig_path(&rig, "rw/chain%u", i));
        assert_int_equal(symlink(path, link), 0);
        strcpy(path, link);
    }
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/chain40"), O_RDWR | O_CREAT, 0644, NULL), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/chain41"), O_RDWR | O_CREAT, 0644, NULL),
                     -ELOOP);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/chain40"), O_RDONLY, 0, NULL), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/chain41"), O_RDONLY, 0, NULL), -ELOOP);
}

static void test_temporary(void **state)
{
    struct file_attr attr;

    assert_int_equal(ask_open(conn, rig.rw, O_TMPFILE, 0600, NULL), -EINVAL);
    assert_int_equal(ask_open(conn, rig.rw, O_TMPFILE | O_RDWR, 0600, &attr), 0);
    assert_int_equal(attr.nlink, 0);
    assert_int_equal(ask_write(conn, &attr.id, 0, "temporary", 9), 9);
    assert_int_equal(ask_link(conn, &attr.id, "", rig_path(&rig, "rw/kept"), false), 0);
    rig_assert_file(rig_path(&rig, "rw/kept"), "temporary");
}

static void test_unlinked(void **state)
{
    struct file_attr attr, again;
    char buffer[16], path[PATH_LIMIT];
    struct net_conn *child = rig_connect(&rig);

    strcpy(path, rig_path(&rig, "rw/unlinked"));
    rig_write_file(path, "still here");
    assert_int_equal(ask_open(conn, path, O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_unlink(conn, path, false), 0);
    rig_write_file(path, "another");
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 16), 10);
    assert_memory_equal(buffer, "still here", 10);
    assert_int_equal(ask_write(conn, &attr.id, 0, "STILL", 5), 5);
    assert_int_equal(ask_file_stat(conn, &attr.id, &again), 0);
    assert_int_equal(again.nlink, 0);

    /* A child takes it over; its parent ends; the child may write, having the same rights. */
    assert_int_equal(ask_hold(child, &attr.id), 0);
    assert_int_equal(ask_hold(child, &attr.id), 0);
    assert_int_equal(ask_release(conn, &attr.id), 0);
    assert_int_equal(ask_read(child, &attr.id, 0, buffer, 16), 10);
    assert_memory_equal(buffer, "STILL here", 10);
    assert_int_equal(ask_write(child, &attr.id, 5, "+", 1), 1);
    /* Held twice: the first release leaves it. */
    assert_int_equal(ask_release(child, &attr.id), 0);
    assert_int_equal(ask_file_stat(child, &attr.id, &again), 0);
    assert_int_equal(ask_release(child, &attr.id), 0);
    assert_int_equal(ask_file_stat(child, &attr.id, &again), ASH_STALE_FILE);
    assert_int_equal(ask_hold(child, &attr.id), ASH_STALE_FILE);
    assert_int_equal(ask_reopen(child, &attr.id, path, O_RDONLY), ASH_STALE_FILE);
    assert_int_equal(ask_release(child, &attr.id), 0);
    net_close(child);
    rig_assert_file(path, "another");
}

static void await_stale(const struct file_id *id)
{
    struct file_attr attr;
    /* The daemon closes a lost connection on its own thread: ask until it has. */
    for (int i = 0; i < 100000 && ask_file_stat(conn, id, &attr) == 0; i++)
        ;
    assert_int_equal(ask_file_stat(conn, id, &attr), ASH_STALE_FILE);
}

static void test_lost_connection(void **state)
{
    struct file_attr attr;
    struct net_conn *lost = rig_connect(&rig);

    rig_write_file(rig_path(&rig, "rw/lost"), "x");
    assert_int_equal(ask_open(lost, rig_path(&rig, "rw/lost"), O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_lock(lost, &attr.id, 1, LOCK_KIND_WRITE, 0, 0), 0);
    net_close(lost);
    await_stale(&attr.id);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/lost"), O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_lock(conn, &attr.id, 2, LOCK_KIND_WRITE, 0, 0), 0);
    assert_int_equal(ask_release(conn, &attr.id), 0);
}

/* What was written can be executed by the host at once: no descriptor for writing stays. */
static void test_not_busy(void **state)
{
    struct file_attr attr, held;
    struct net_conn *reader = rig_connect_as(&rig, SCOPE_COMPONENT, 0, "");
    char path[PATH_LIMIT];

    strcpy(path, rig_path(&rig, "rw/program"));
    assert_int_equal(ask_open(conn, path, O_WRONLY | O_CREAT, 0755, &attr), 0);
    assert_int_equal(ask_write(conn, &attr.id, 0, "#!/bin/true\n", 12), 12);
    assert_int_equal(ask_open(reader, path, O_RDONLY, 0, &held), 0);
    assert_int_equal(ask_release(conn, &attr.id), 0);
    assert_int_equal(system(path), 0);
    net_close(reader);
}

static void test_renames(void **state)
{
    struct file_attr attr, dir;
    char buffer[16], out[PATH_LIMIT];

    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/old"), S_IFDIR | 0755), 0);
    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/old/sub"), S_IFDIR | 0755), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/old/sub/f"), O_RDWR | O_CREAT, 0644, &attr),
                     0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/old"), O_DIRECTORY, 0, &dir), 0);
    assert_int_equal(ask_rename(conn, rig_path(&rig, "rw/old"), rig_path(&rig, "rw/new"), 0), 0);
    assert_int_equal(ask_write(conn, &attr.id, 0, "moved", 5), 5);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 16), 5);
    rig_assert_file(rig_path(&rig, "rw/new/sub/f"), "moved");
    assert_int_equal(ask_stat(conn, rig_path(&rig, "rw/old"), false, NULL), -ENOENT);
    assert_int_equal(ask_real(conn, rig_path(&rig, "rw/new/sub/../sub"), out), 0);
    assert_string_equal(out, rig_path(&rig, "rw/new/sub"));
    assert_int_equal(ask_rename(conn, rig_path(&rig, "rw/new"), rig_path(&rig, "rw/new/sub/x"), 0),
                     -EINVAL);
    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/full"), S_IFDIR | 0755), 0);
    assert_int_equal(ask_make(conn, rig_path(&rig, "rw/full/f"), S_IFREG | 0644), 0);
    assert_int_equal(ask_rename(conn, rig_path(&rig, "rw/new"), rig_path(&rig, "rw/full"), 0),
                     -ENOTEMPTY);
    assert_int_equal(
        ask_rename(conn, rig_path(&rig, "rw/new"), rig_path(&rig, "rw/full"), 1 /* noreplace */),
        -EEXIST);
    assert_int_equal(
        ask_rename(conn, rig_path(&rig, "rw/new"), rig_path(&rig, "rw/full"), 2 /* exchange */), 0);
    rig_assert_file(rig_path(&rig, "rw/full/sub/f"), "moved");
    assert_int_equal(
        ask_rename(conn, rig_path(&rig, "rw/new"), rig_path(&rig, "rw/w"), 4 /* whiteout */),
        -EINVAL);
}

/* ---- appends ---- */

enum { APPENDS = 500, RECORD = 16 };

static void *append_many(void *argument)
{
    struct net_conn *mine = rig_connect(&rig);
    struct file_attr attr;
    uint64_t end, last = 0;
    char record[RECORD];

    memset(record, *(char *)argument, sizeof record);
    assert_int_equal(ask_open(mine, rig_path(&rig, "rw/log"), O_WRONLY | O_CREAT, 0644, &attr), 0);
    for (int i = 0; i < APPENDS; i++) {
        assert_int_equal(ask_append(mine, &attr.id, record, RECORD, &end), RECORD);
        assert_true(end > last && end % RECORD == 0);
        last = end;
    }
    net_close(mine);
    return NULL;
}

static void test_appends(void **state)
{
    pthread_t threads[2];
    struct file_attr attr;
    char names[2] = {'a', 'b'}, record[RECORD];
    unsigned counts[2] = {0};
    uint64_t end;

    for (int i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, append_many, &names[i]);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/log"), O_RDWR, 0, &attr), 0);
    assert_int_equal(attr.size_bytes, 2 * APPENDS * RECORD);
    for (int i = 0; i < 2 * APPENDS; i++) {
        assert_int_equal(ask_read(conn, &attr.id, (uint64_t)i * RECORD, record, RECORD), RECORD);
        for (int j = 1; j < RECORD; j++)
            assert_int_equal(record[j], record[0]);
        counts[record[0] == 'b']++;
    }
    assert_int_equal(counts[0], APPENDS);
    assert_int_equal(counts[1], APPENDS);
    assert_int_equal(ask_append(conn, &attr.id, "", 0, &end), 0);
    assert_int_equal(end, 2 * APPENDS * RECORD);
    /* The end is the file's own, whoever moved it. */
    assert_int_equal(ask_write(conn, &attr.id, end + 100, "x", 1), 1);
    assert_int_equal(ask_append(conn, &attr.id, "y", 1, &end), 1);
    assert_int_equal(end, 2 * APPENDS * RECORD + 102);
    assert_int_equal(truncate(rig_path(&rig, "rw/log"), 10), 0);
    assert_int_equal(ask_append(conn, &attr.id, "z", 1, &end), 1);
    assert_int_equal(end, 11);
}

/* ---- directories ---- */

enum { ENTRIES = 20000 };

struct entry {
    uint64_t inode, next;
    uint16_t length;
    uint8_t type;
    char name[];
} __attribute__((packed));

/* Counts the names f0 .. f19999 in one reply. Returns the last cookie. */
static uint64_t count_names(const uint8_t *data, int64_t size, uint8_t *seen)
{
    uint64_t cookie = 0;
    for (int64_t at = 0; at < size;) {
        const struct entry *e = (const void *)(data + at);
        unsigned n;
        if (sscanf(e->name, "f%u", &n) == 1 && n < ENTRIES)
            seen[n]++;
        cookie = e->next;
        at += e->length;
    }
    return cookie;
}

static void test_directory(void **state)
{
    static uint8_t seen[ENTRIES], data[DIR_REPLY_MAX];
    struct file_attr attr;
    uint64_t cookie = 0, middle = 0;
    int64_t n;
    char first[256] = "", second[256] = "";
    unsigned rounds = 0;

    assert_int_equal(mkdir(rig_path(&rig, "rw/many"), 0755), 0);
    int dir = open(rig_path(&rig, "rw/many"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (unsigned i = 0; i < ENTRIES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        assert_int_equal(mknodat(dir, name, S_IFREG | 0644, 0), 0);
    }
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/many"), O_DIRECTORY, 0, &attr), 0);

    /* Others come and go meanwhile: what stays is seen exactly once. Two lists at a time. */
    while ((n = ask_list(conn, &attr.id, cookie, DIR_REPLY_MAX, data)) > 0) {
        char name[32];
        cookie = count_names(data, n, seen);
        snprintf(name, sizeof name, "extra%u", rounds++);
        assert_int_equal(mknodat(dir, name, S_IFREG | 0644, 0), 0);
        if (rounds == 2) {
            middle = cookie;
            assert_true(ask_list(conn, &attr.id, middle, 4096, data) > 0);
            strcpy(first, ((struct entry *)(void *)data)->name);
        }
        assert_true(ask_list(conn, &attr.id, 0, 4096, data) > 0);
        snprintf(name, sizeof name, "extra%u", rounds / 2);
        unlinkat(dir, name, 0);
    }
    assert_int_equal(n, 0);
    for (unsigned i = 0; i < ENTRIES; i++)
        assert_int_equal(seen[i], 1);
    /* Back to a remembered place (seekdir). */
    assert_true(ask_list(conn, &attr.id, middle, 4096, data) > 0);
    strcpy(second, ((struct entry *)(void *)data)->name);
    assert_string_equal(first, second);

    /* rm -r: what has been read is removed before the next is read. */
    unsigned removed = 0;
    cookie = 0;
    while ((n = ask_list(conn, &attr.id, cookie, DIR_REPLY_MAX, data)) > 0) {
        for (int64_t at = 0; at < n;) {
            const struct entry *e = (const void *)(data + at);
            if (e->name[0] != '.') {
                assert_int_equal(unlinkat(dir, e->name, 0), 0);
                removed++;
            }
            cookie = e->next;
            at += e->length;
        }
    }
    assert_true(removed >= ENTRIES);
    close(dir);
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "rw/many"), true), 0);
    assert_int_equal(ask_list(conn, &attr.id, 0, 4096, data), -ENOENT);
    assert_int_equal(ask_write(conn, &attr.id, 0, "x", 1), -EISDIR);
    assert_int_equal(ask_read(conn, &attr.id, 0, data, 1), -EISDIR);
    assert_int_equal(ask_open(conn, rig.rw, O_DIRECTORY, 0, &attr), 0);
    assert_int_equal(ask_list(conn, &attr.id, 0, 1, data), -EINVAL);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/content"), O_RDONLY, 0, &attr), 0);
    assert_int_equal(ask_list(conn, &attr.id, 0, 4096, data), -ENOTDIR);
}

/* ---- locks ---- */

static void test_locks(void **state)
{
    struct file_attr attr;
    struct net_conn *other = rig_connect(&rig);
    const char *path = rig_path(&rig, "rw/locked");

    rig_write_file(path, "");
    assert_int_equal(ask_open(conn, path, O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_lock(other, &attr.id, 2, LOCK_KIND_READ, 0, 10), ASH_STALE_FILE);
    assert_int_equal(ask_open(other, path, O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_lock(conn, &attr.id, 1, LOCK_KIND_WRITE, 0, 10), 0);
    assert_int_equal(ask_lock(other, &attr.id, 2, LOCK_KIND_READ, 5, 1), -EAGAIN);
    assert_int_equal(ask_lock(other, &attr.id, 2, LOCK_KIND_WRITE, 10, 0), 0);
    assert_int_equal(ask_lock(conn, &attr.id, 1, LOCK_KIND_WRITE, 5, 0), -EAGAIN);
    /* An flock is a description's, and a POSIX lock has a process. */
    assert_int_equal(ask_lock(conn, &attr.id, 7, LOCK_KIND_FLOCK_EXCLUSIVE, 0, 0), ASH_MALFORMED);
    assert_int_equal(ask_lock(conn, &attr.id, UINT32_MAX, LOCK_KIND_WRITE, 0, 0), ASH_MALFORMED);

    struct msg_file_lock probe = {
        .file = attr.id, .pid = 1, .kind = LOCK_KIND_READ, .probe = 1, .start = 20, .length = 1};
    struct msg_file_lock_reply reply;
    assert_int_equal(NET_CALL(conn, FILE_LOCK, file_lock, &probe, &reply, RIG_TIMEOUT_MS), 0);
    assert_int_equal(reply.kind, LOCK_KIND_WRITE);
    assert_int_equal(reply.start, 10);
    assert_int_equal(reply.length, 0);
    assert_int_equal(reply.pid, 2);

    net_close(other);
    /* Its end is seen to by the daemon on its own time. */
    int rc = -EAGAIN;
    for (int i = 0; i < 100000 && rc == -EAGAIN; i++)
        rc = ask_lock(conn, &attr.id, 1, LOCK_KIND_WRITE, 5, 0);
    assert_int_equal(rc, 0);
}

/* ---- attributes ---- */

static void test_attributes(void **state)
{
    struct file_attr attr;
    struct stat st;
    const char *path = rig_path(&rig, "rw/attributes");

    rig_write_file(path, "");
    assert_int_equal(symlink("attributes", rig_path(&rig, "rw/attr-link")), 0);
    assert_int_equal(ask_chmod(conn, NULL, path, 04711), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 04711);
    struct msg_file_setattr request = {.what = SETATTR_TIMES,
                                       .atime_s = 1000,
                                       .atime_ns = 1,
                                       .mtime_s = -5,
                                       .mtime_ns = UTIME_OMIT,
                                       .path = path};
    assert_int_equal(ask_setattr(conn, &request), 0);
    assert_int_equal(ask_stat(conn, path, false, &attr), 0);
    assert_int_equal(attr.atime_s, 1000);
    assert_int_equal(attr.atime_ns, 1);
    assert_int_equal(attr.mtime_s, st.st_mtim.tv_sec);
    request = (struct msg_file_setattr){.what = SETATTR_TIMES | SETATTR_NOFOLLOW,
                                        .atime_s = 7,
                                        .mtime_s = 8,
                                        .path = rig_path(&rig, "rw/attr-link")};
    assert_int_equal(ask_setattr(conn, &request), 0);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "rw/attr-link"), true, &attr), 0);
    assert_int_equal(attr.mtime_s, 8);
    request = (struct msg_file_setattr){.what = SETATTR_MODE | SETATTR_NOFOLLOW,
                                        .mode = 0600,
                                        .path = rig_path(&rig, "rw/attr-link")};
    assert_int_equal(ask_setattr(conn, &request), -EOPNOTSUPP);

    assert_int_equal(ask_open(conn, path, O_RDWR, 0, &attr), 0);
    request = (struct msg_file_setattr){
        .file = attr.id, .what = SETATTR_OWNER, .uid = getuid(), .gid = (uint32_t)-1, .path = ""};
    assert_int_equal(ask_setattr(conn, &request), 0);
    /* Opened before it was made unreadable: stays readable and writable. */
    assert_int_equal(ask_chmod(conn, &attr.id, "", 0), 0);
    char byte;
    assert_int_equal(ask_write(conn, &attr.id, 0, "z", 1), 1);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(byte, 'z');
}

/* ---- restarts ---- */

static void test_restart(void **state)
{
    static uint8_t data[DIR_REPLY_MAX];
    struct file_attr attr, dir, gone;
    char buffer[16], path[PATH_LIMIT];

    strcpy(path, rig_path(&rig, "rw/survives"));
    rig_write_file(path, "before");
    assert_int_equal(ask_open(conn, path, O_RDWR, 0, &attr), 0);
    assert_int_equal(ask_open(conn, rig.rw, O_DIRECTORY, 0, &dir), 0);
    rig_write_file(rig_path(&rig, "rw/goes"), "x");
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/goes"), O_RDWR, 0, &gone), 0);
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "rw/goes"), false), 0);
    rig_write_file(rig_path(&rig, "rw/goes"), "another");
    int64_t n = ask_list(conn, &dir.id, 0, 512, data);
    assert_true(n > 0);
    uint64_t cookie = 0;
    for (int64_t at = 0; at < n; at += ((struct entry *)(void *)(data + at))->length)
        cookie = ((struct entry *)(void *)(data + at))->next;

    rig_kill_storage(&rig);
    int64_t rc = ask_read(conn, &attr.id, 0, buffer, 16);
    assert_true(rc == ASH_LOST);
    net_close(conn);
    rig_start_storage(&rig);
    conn = rig_connect(&rig);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 16), ASH_STALE_FILE);
    assert_int_equal(ask_reopen(conn, &attr.id, path, O_RDWR), 0);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 16), 6);
    assert_int_equal(ask_write(conn, &attr.id, 0, "after!", 6), 6);
    rig_assert_file(path, "after!");
    assert_int_equal(ask_reopen(conn, &dir.id, rig.rw, O_DIRECTORY), 0);
    assert_true(ask_list(conn, &dir.id, cookie, 512, data) > 0);
    assert_int_equal(ask_reopen(conn, &gone.id, rig_path(&rig, "rw/goes"), O_RDWR), ASH_STALE_FILE);
    assert_int_equal(ask_reopen(conn, &gone.id, rig_path(&rig, "rw/never"), O_RDWR),
                     ASH_STALE_FILE);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_content),         cmocka_unit_test(test_open_errors),
        cmocka_unit_test(test_temporary),       cmocka_unit_test(test_unlinked),
        cmocka_unit_test(test_lost_connection), cmocka_unit_test(test_not_busy),
        cmocka_unit_test(test_renames),         cmocka_unit_test(test_appends),
        cmocka_unit_test(test_directory),       cmocka_unit_test(test_locks),
        cmocka_unit_test(test_attributes),      cmocka_unit_test(test_restart),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
