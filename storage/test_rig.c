/*
 * For the tests: the daemons, and one function for each message. See test_rig.h.
 */
#include "test_rig.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- daemons ---- */

static void limit_descriptors(unsigned limit)
{
    struct rlimit r = {.rlim_cur = limit, .rlim_max = limit};
    if (limit && setrlimit(RLIMIT_NOFILE, &r) < 0)
        _exit(126);
}

/* Starts a daemon and waits until it says its address. */
static int spawn(struct rig *rig, char *const argv[], unsigned limit, int uid, char *address)
{
    int ready[2];
    char fd_text[16], lifeline_text[16];
    char *full[24];
    size_t n = 0;

    assert_int_equal(pipe(ready), 0);
    snprintf(fd_text, sizeof fd_text, "%d", ready[1]);
    snprintf(lifeline_text, sizeof lifeline_text, "%d", rig->lifeline[0]);
    for (; argv[n]; n++)
        full[n] = argv[n];
    full[n++] = "--ready-fd";
    full[n++] = fd_text;
    full[n++] = "--lifeline-fd";
    full[n++] = lifeline_text;
    full[n++] = "--rack-dir";
    full[n++] = rig->base;
    full[n++] = "--log-level";
    full[n++] = getenv("RIG_LOG") ? "info" : "none";
    full[n] = NULL;

    int pid = fork();
    if (pid == 0) {
        close(ready[0]);
        close(rig->lifeline[1]);
        limit_descriptors(limit);
        if (uid && (setgid((gid_t)uid) < 0 || setuid((uid_t)uid) < 0))
            _exit(126);
        execv(full[0], full);
        _exit(127);
    }
    close(ready[1]);
    ssize_t length = read(ready[0], address, ADDRESS_LIMIT - 1);
    close(ready[0]);
    assert_true(length > 1);
    address[length - 1] = 0; /* the newline */
    return pid;
}

void rig_start(struct rig *rig)
{
    char path[128];
    const char *tmp = getenv("TMPDIR");

    snprintf(rig->base, sizeof rig->base, "%s/storage-test-XXXXXX",
             tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    assert_non_null(mkdtemp(rig->base));
    if (rig->uid)
        assert_int_equal(chown(rig->base, (uid_t)rig->uid, (gid_t)rig->uid), 0);
    snprintf(path, sizeof path, "%s/key", rig->base);
    assert_int_equal(net_key_create(path), 0);
    assert_int_equal(net_key_load(path, &rig->key), 0);
    if (rig->uid)
        assert_int_equal(chown(path, (uid_t)rig->uid, (gid_t)rig->uid), 0);
    snprintf(rig->rw, sizeof rig->rw, "%s/rw", rig->base);
    snprintf(rig->ro, sizeof rig->ro, "%s/ro", rig->base);
    assert_int_equal(mkdir(rig->rw, 0755), 0);
    assert_int_equal(mkdir(rig->ro, 0755), 0);
    if (rig->uid)
        assert_int_equal(chown(rig->rw, (uid_t)rig->uid, (gid_t)rig->uid), 0);

    assert_int_equal(pipe(rig->lifeline), 0);
    char *global[] = {getenv("ASHLAR_GLOBAL"), "--name", "global", NULL};
    assert_non_null(global[0]);
    rig->global_pid = spawn(rig, global, 0, rig->uid, rig->global_address);
    rig_start_storage(rig);
}

void rig_start_storage(struct rig *rig)
{
    char *storage[] = {
        getenv("ASHLAR_STORAGE"),       "--name",  "s1", "--global", rig->global_address,
        rig->root[0] ? "--root" : NULL, rig->root, NULL};
    assert_non_null(storage[0]);
    rig->storage_pid = spawn(rig, storage, rig->descriptor_limit, rig->uid, rig->storage_address);
}

void rig_kill_storage(struct rig *rig)
{
    kill(rig->storage_pid, SIGKILL);
    assert_int_equal(waitpid(rig->storage_pid, NULL, 0), rig->storage_pid);
    rig->storage_pid = 0;
}

static void end_well(int pid)
{
    int status;
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

void rig_stop(struct rig *rig)
{
    end_well(rig->storage_pid);
    end_well(rig->global_pid);
    close(rig->lifeline[0]);
    close(rig->lifeline[1]);
    nftw(rig->base, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

struct net_conn *rig_connect_as(struct rig *rig, uint8_t scope, uint64_t run_id,
                                const char *writable)
{
    struct msg_bind bind = {.scope = scope, .run_id = run_id, .writable = writable};
    struct net_conn *conn;
    int rc = net_connect(rig->storage_address, &rig->key, &bind, RIG_TIMEOUT_MS, &conn, NULL);
    assert_int_equal(rc, 0);
    return conn;
}

struct net_conn *rig_connect(struct rig *rig)
{
    return rig_connect_as(rig, SCOPE_PROCESS, 1, rig->rw);
}

const char *rig_path(struct rig *rig, const char *format, ...)
{
    static char buffers[4][PATH_LIMIT];
    static unsigned next;
    char *path = buffers[next++ % 4];
    va_list list;

    int length = snprintf(path, PATH_LIMIT, "%s/", rig->base);
    va_start(list, format);
    vsnprintf(path + length, PATH_LIMIT - (size_t)length, format, list);
    va_end(list);
    return path;
}

void rig_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

void rig_assert_file(const char *path, const char *text)
{
    char buffer[4096] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, buffer, sizeof buffer - 1) >= 0);
    close(fd);
    assert_string_equal(buffer, text);
}

unsigned rig_descriptors(struct rig *rig)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", rig->storage_pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

/* ---- messages ---- */

#define ASK(conn, OP, name, ...)                                                                   \
    ({                                                                                             \
        struct msg_##name request_ = __VA_ARGS__;                                                  \
        struct msg_##name##_reply reply_;                                                          \
        int status_ = NET_CALL(conn, OP, name, &request_, &reply_, RIG_TIMEOUT_MS);                \
        if (status_ == 0)                                                                          \
            memcpy(&reply, &reply_, sizeof reply_);                                                \
        status_;                                                                                   \
    })

#define ASK_NOTHING(conn, OP, name, ...)                                                           \
    ({                                                                                             \
        struct msg_##name##_reply reply;                                                           \
        ASK(conn, OP, name, __VA_ARGS__);                                                          \
    })

int ask_open(struct net_conn *conn, const char *path, uint32_t flags, uint32_t mode,
             struct file_attr *attr)
{
    struct msg_file_open_reply reply;
    int rc = ASK(conn, FILE_OPEN, file_open, {.path = path, .flags = flags, .mode = mode});
    if (rc == 0 && attr)
        *attr = reply.attr;
    return rc;
}

int ask_reopen(struct net_conn *conn, const struct file_id *id, const char *path, uint32_t flags)
{
    return ASK_NOTHING(conn, FILE_REOPEN, file_reopen,
                       {.file = *id, .again = 1, .path = path, .flags = flags});
}

int ask_hold(struct net_conn *conn, const struct file_id *id)
{
    struct held held = {.file = *id};
    return ASK_NOTHING(conn, FILE_HOLD, file_hold, {.files = &held, .files_count = 1});
}

int ask_release(struct net_conn *conn, const struct file_id *id)
{
    struct held held = {.file = *id};
    return ASK_NOTHING(conn, FILE_RELEASE, file_release, {.files = &held, .files_count = 1});
}

int64_t ask_read(struct net_conn *conn, const struct file_id *id, uint64_t offset, void *to,
                 uint32_t size)
{
    struct msg_file_read_reply reply;
    int rc = ASK(conn, FILE_READ, file_read, {.file = *id, .offset = offset, .length = size});
    if (rc < 0)
        return rc;
    assert_true(reply.data_size <= size);
    memcpy(to, reply.data, reply.data_size);
    return reply.data_size;
}

static int64_t write_frame(struct net_conn *conn, const struct msg_file_write *request,
                           uint64_t *end)
{
    uint8_t body[128];
    struct iovec bulk = {.iov_base = (void *)request->data, .iov_len = request->data_size};
    struct net_frame frame;
    struct msg_file_write_reply reply;

    int rc = msg_file_write_encode(request, body, sizeof body);
    assert_true(rc > 0);
    rc = net_request(conn, OP_FILE_WRITE, body, (size_t)rc, &bulk, 1, RIG_TIMEOUT_MS, &frame);
    if (rc < 0)
        return rc;
    assert_int_equal(msg_file_write_reply_decode(&reply, frame.payload, frame.header.length), 0);
    if (end)
        *end = reply.end;
    return reply.written;
}

int64_t ask_write(struct net_conn *conn, const struct file_id *id, uint64_t offset,
                  const void *from, uint32_t size)
{
    struct msg_file_write request = {
        .file = *id, .offset = offset, .data = from, .data_size = size};
    return write_frame(conn, &request, NULL);
}

int64_t ask_append(struct net_conn *conn, const struct file_id *id, const void *from, uint32_t size,
                   uint64_t *end)
{
    struct msg_file_write request = {.file = *id, .append = 1, .data = from, .data_size = size};
    return write_frame(conn, &request, end);
}

int ask_file_stat(struct net_conn *conn, const struct file_id *id, struct file_attr *attr)
{
    struct msg_file_stat_reply reply;
    int rc = ASK(conn, FILE_STAT, file_stat, {.file = *id});
    if (rc == 0)
        *attr = reply.attr;
    return rc;
}

int ask_truncate(struct net_conn *conn, const struct file_id *id, uint64_t size)
{
    return ASK_NOTHING(conn, FILE_TRUNCATE, file_truncate, {.file = *id, .size_bytes = size});
}

int ask_allocate(struct net_conn *conn, const struct file_id *id, uint32_t mode, uint64_t offset,
                 uint64_t length)
{
    return ASK_NOTHING(conn, FILE_ALLOCATE, file_allocate,
                       {.file = *id, .mode = mode, .offset = offset, .length = length});
}

int ask_seek(struct net_conn *conn, const struct file_id *id, uint64_t offset, bool hole,
             uint64_t *out)
{
    struct msg_file_seek_reply reply;
    int rc = ASK(conn, FILE_SEEK, file_seek, {.file = *id, .offset = offset, .hole = hole});
    if (rc == 0)
        *out = reply.offset;
    return rc;
}

int ask_sync(struct net_conn *conn, const struct file_id *id)
{
    return ASK_NOTHING(conn, FILE_SYNC, file_sync, {.file = *id, .kind = SYNC_DATA});
}

int ask_setattr(struct net_conn *conn, const struct msg_file_setattr *request)
{
    struct msg_file_setattr_reply reply;
    return NET_CALL(conn, FILE_SETATTR, file_setattr, request, &reply, RIG_TIMEOUT_MS);
}

int ask_chmod(struct net_conn *conn, const struct file_id *id, const char *path, uint32_t mode)
{
    struct msg_file_setattr request = {.what = SETATTR_MODE, .mode = mode, .path = path};
    if (id)
        request.file = *id;
    return ask_setattr(conn, &request);
}

int ask_lock(struct net_conn *conn, const struct file_id *id, uint32_t pid, uint8_t kind,
             uint64_t start, uint64_t length)
{
    return ASK_NOTHING(conn, FILE_LOCK, file_lock,
                       {.file = *id, .pid = pid, .kind = kind, .start = start, .length = length});
}

int64_t ask_list(struct net_conn *conn, const struct file_id *id, uint64_t cookie, uint32_t size,
                 uint8_t *out)
{
    struct msg_dir_read_reply reply;
    int rc = ASK(conn, DIR_READ, dir_read, {.file = *id, .cookie = cookie, .length = size});
    if (rc < 0)
        return rc;
    memcpy(out, reply.entries, reply.entries_size);
    return reply.entries_size;
}

int ask_stat(struct net_conn *conn, const char *path, bool nofollow, struct file_attr *attr)
{
    struct msg_path_stat_reply reply;
    int rc = ASK(conn, PATH_STAT, path_stat, {.path = path, .nofollow = nofollow});
    if (rc == 0 && attr)
        *attr = reply.attr;
    return rc;
}

int ask_access(struct net_conn *conn, const char *path, uint32_t mode)
{
    return ASK_NOTHING(conn, PATH_ACCESS, path_access, {.path = path, .mode = mode});
}

int ask_readlink(struct net_conn *conn, const char *path, char *out)
{
    struct msg_path_readlink_reply reply;
    int rc = ASK(conn, PATH_READLINK, path_readlink, {.path = path});
    if (rc == 0)
        strcpy(out, reply.target);
    return rc;
}

int ask_real(struct net_conn *conn, const char *path, char *out)
{
    struct msg_path_real_reply reply;
    int rc = ASK(conn, PATH_REAL, path_real, {.path = path});
    if (rc == 0)
        strcpy(out, reply.path);
    return rc;
}

int ask_unlink(struct net_conn *conn, const char *path, bool directory)
{
    return ASK_NOTHING(conn, PATH_UNLINK, path_unlink, {.path = path, .directory = directory});
}

int ask_rename(struct net_conn *conn, const char *from, const char *to, uint32_t flags)
{
    return ASK_NOTHING(conn, PATH_RENAME, path_rename, {.from = from, .to = to, .flags = flags});
}

int ask_link(struct net_conn *conn, const struct file_id *id, const char *from, const char *to,
             bool follow)
{
    struct msg_path_link request = {.from = from, .to = to, .follow = follow};
    struct msg_path_link_reply reply;
    if (id)
        request.file = *id;
    return NET_CALL(conn, PATH_LINK, path_link, &request, &reply, RIG_TIMEOUT_MS);
}

int ask_symlink(struct net_conn *conn, const char *target, const char *path)
{
    return ASK_NOTHING(conn, PATH_SYMLINK, path_symlink, {.target = target, .path = path});
}

int ask_make(struct net_conn *conn, const char *path, uint32_t mode)
{
    return ASK_NOTHING(conn, PATH_MAKE, path_make, {.path = path, .mode = mode});
}

int ask_elsewhere(struct net_conn *conn, const char *path, bool nofollow, char *out)
{
    uint8_t body[PATH_LIMIT * 2];
    struct msg_path_stat request = {.path = path, .nofollow = nofollow};
    struct msg_elsewhere_reply reply;
    struct net_frame frame;

    int rc = msg_path_stat_encode(&request, body, sizeof body);
    assert_true(rc > 0);
    rc = net_request(conn, OP_PATH_STAT, body, (size_t)rc, NULL, 0, RIG_TIMEOUT_MS, &frame);
    if (rc != ASH_ELSEWHERE)
        return rc == 0 ? -EISNAM : rc;
    assert_int_equal(msg_elsewhere_reply_decode(&reply, frame.payload, frame.header.length), 0);
    strcpy(out, reply.path);
    return 0;
}

int ask_open_at(struct net_conn *conn, const struct file_id *base, uint32_t length,
                const char *path, uint32_t flags, uint32_t resolve, struct file_attr *attr)
{
    struct msg_file_open_reply reply;
    int rc = ASK(conn, FILE_OPEN, file_open,
                 {.path = path,
                  .flags = flags,
                  .mode = 0644,
                  .resolve = resolve,
                  .base = {.directory = *base, .length = length}});
    if (rc == 0 && attr)
        *attr = reply.attr;
    return rc;
}

int ask_real_at(struct net_conn *conn, const struct file_id *base, uint32_t length,
                const char *path, char *out)
{
    struct msg_path_real_reply reply;
    int rc = ASK(conn, PATH_REAL, path_real,
                 {.path = path, .base = {.directory = *base, .length = length}});
    if (rc == 0)
        strcpy(out, reply.path);
    return rc;
}
