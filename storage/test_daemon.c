/*
 * The daemon as a whole: a volume with a root of its own, few descriptors, an ordinary user,
 * garbage on the wire, and what it reports.
 */
#include "test_rig.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/statvfs.h>

static void assert_alive(struct rig *rig, struct msg_ping_reply *reply)
{
    struct net_conn *conn = rig_connect(rig);
    struct msg_ping request;
    assert_int_equal(NET_CALL(conn, PING, ping, &request, reply, RIG_TIMEOUT_MS), 0);
    net_close(conn);
}

/* ---- a root of its own ---- */

static void test_root(void **state)
{
    struct rig rig = {0};
    struct file_attr attr;
    char out[PATH_LIMIT], buffer[32];

    rig_start(&rig);
    rig_kill_storage(&rig);
    rig_write_file(rig_path(&rig, "secret"), "secret");
    rig_write_file(rig_path(&rig, "ro/inside"), "inside");
    assert_int_equal(mkdir(rig_path(&rig, "ro/open"), 0755), 0);
    assert_int_equal(symlink(rig_path(&rig, "secret"), rig_path(&rig, "ro/absolute")), 0);
    assert_int_equal(symlink("../secret", rig_path(&rig, "ro/relative")), 0);
    assert_int_equal(symlink("../../../../../..", rig_path(&rig, "ro/top")), 0);
    assert_int_equal(symlink("/inside", rig_path(&rig, "ro/here")), 0);
    assert_int_equal(symlink("/../new", rig_path(&rig, "ro/open/new")), 0);
    assert_int_equal(symlink("/proc/self/mounts", rig_path(&rig, "ro/mtab")), 0);
    strcpy(rig.root, rig.ro);
    rig_start_storage(&rig);
    struct net_conn *conn = rig_connect_as(&rig, SCOPE_PROCESS, 1, "/open:/none");

    assert_int_equal(ask_stat(conn, "/secret", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "/../secret", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "/open/../../secret", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "/absolute", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, "/relative", false, NULL), -ENOENT);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "secret"), false, NULL), -ENOENT);
    assert_int_equal(ask_real(conn, "/top", out), 0);
    assert_string_equal(out, "/");
    assert_int_equal(ask_real(conn, "/top/open/..//here", out), 0);
    assert_string_equal(out, "/inside");
    assert_int_equal(ask_open(conn, "/here", O_RDONLY, 0, &attr), 0);
    assert_int_equal(ask_read(conn, &attr.id, 0, buffer, 32), 6);
    assert_int_equal(ask_elsewhere(conn, "/mtab", false, out), 0);
    assert_string_equal(out, "/proc/self/mounts");
    assert_int_equal(ask_open(conn, "/inside", O_RDWR, 0, &attr), -EROFS);
    assert_int_equal(ask_open(conn, "/open/new", O_RDWR | O_CREAT, 0644, &attr), -EROFS);
    assert_int_equal(ask_open(conn, "/open/file", O_RDWR | O_CREAT, 0644, &attr), 0);
    assert_int_equal(access(rig_path(&rig, "ro/open/file"), F_OK), 0);

    /* The root is renamed while it is served: it is the same directory still. */
    assert_int_equal(rename(rig.ro, rig_path(&rig, "renamed")), 0);
    assert_int_equal(ask_open(conn, "/open/more", O_RDWR | O_CREAT, 0644, &attr), 0);
    assert_int_equal(ask_real(conn, "/open/more", out), 0);
    assert_string_equal(out, "/open/more");
    /* A directory is moved out of the root while one of its files is held. */
    assert_int_equal(rename(rig_path(&rig, "renamed/open"), rig_path(&rig, "moved")), 0);
    assert_int_equal(ask_stat(conn, "/open/../secret", false, NULL), -ENOENT);
    assert_int_equal(ask_file_stat(conn, &attr.id, &attr), 0);

    net_close(conn);
    rig_stop(&rig);
}

/* ---- few descriptors ---- */

static void test_descriptor_pressure(void **state)
{
    enum { LIMIT = 96, FILES = 200 };
    struct rig rig = {.descriptor_limit = LIMIT};
    struct file_id ids[FILES];
    struct file_attr attr;
    unsigned held = 0;
    char byte;

    rig_start(&rig);
    struct net_conn *conn = rig_connect(&rig);
    unsigned idle = rig_descriptors(&rig);
    for (unsigned i = 0; i < FILES; i++) {
        char text[16];
        snprintf(text, sizeof text, "%c", 'a' + i % 26);
        rig_write_file(rig_path(&rig, "rw/f%u", i), text);
    }
    /* Held files cost one descriptor each when it comes to it; then it is -ENFILE, cleanly. */
    for (unsigned i = 0; i < FILES; i++) {
        int rc = ask_open(conn, rig_path(&rig, "rw/f%u", i), O_RDWR, 0, &attr);
        if (rc == -ENFILE)
            break;
        assert_int_equal(rc, 0);
        ids[held++] = attr.id;
    }
    assert_true(held >= LIMIT / 4 && held < LIMIT);
    assert_int_equal(
        ask_open(conn, rig_path(&rig, "rw/not-made"), O_RDWR | O_CREAT | O_EXCL, 0644, NULL),
        -ENFILE);
    assert_int_equal(access(rig_path(&rig, "rw/not-made"), F_OK), -1);
    /* Others still connect and ask. */
    struct net_conn *other = rig_connect(&rig);
    assert_int_equal(ask_stat(other, rig.rw, false, NULL), 0);
    net_close(other);

    /* With room for two or three, every file stays readable and writable, in any order. */
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask_release(conn, &ids[--held]), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < held; i++) {
            unsigned n = round == 1 ? held - 1 - i : i;
            assert_int_equal(ask_read(conn, &ids[n], 0, &byte, 1), 1);
            assert_int_equal(byte, 'a' + (int)((n + round) % 26));
            byte = (char)('a' + (n + round + 1) % 26);
            assert_int_equal(ask_write(conn, &ids[n], 0, &byte, 1), 1);
        }
    }
    assert_true(rig_descriptors(&rig) <= LIMIT);
    for (unsigned i = 0; i < held; i++)
        assert_int_equal(ask_release(conn, &ids[i]), 0);
    /* One fewer than at first, perhaps: the daemon had just said that it is ready. */
    for (unsigned i = 0; i < 10000 && rig_descriptors(&rig) > idle; i++)
        ;
    assert_true(rig_descriptors(&rig) <= idle);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/f0"), O_RDWR, 0, &attr), 0);
    net_close(conn);
    rig_stop(&rig);
}

/* ---- an ordinary user ---- */

static void test_ordinary_user(void **state)
{
    enum { NOBODY = 65534, LIMIT = 96, MANY = 40 };
    struct rig rig = {.uid = NOBODY, .descriptor_limit = LIMIT};
    struct file_attr attr;
    struct stat st;
    char byte = 'x';

    if (getuid() != 0)
        skip();
    rig_start(&rig);
    struct net_conn *conn = rig_connect_as(&rig, SCOPE_PROCESS, 1, rig.base);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/mine"), O_RDWR | O_CREAT, 0444, &attr), 0);
    assert_int_equal(stat(rig_path(&rig, "rw/mine"), &st), 0);
    assert_int_equal(st.st_uid, NOBODY);
    /* Made unwritable, and open for writing all the same, as on Linux. */
    assert_int_equal(ask_write(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/mine"), O_RDWR, 0, NULL), -EACCES);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/w"), O_RDWR | O_CREAT, 0200, &attr), 0);
    assert_int_equal(ask_write(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_sync(conn, &attr.id), 0);
    /* So it stays when descriptors are short: these two could not be opened again. */
    for (unsigned i = 0; i < MANY; i++)
        assert_true(ask_open(conn, rig_path(&rig, "rw/many%u", i), O_RDWR | O_CREAT, 0644, NULL) ==
                        0 ||
                    i > LIMIT / 4);
    assert_int_equal(ask_write(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    net_close(conn);
    conn = rig_connect_as(&rig, SCOPE_PROCESS, 1, rig.base);
    /* A whole volume's rights do not go beyond the host's own. */
    rig_write_file(rig_path(&rig, "ro/roots"), "root's");
    assert_int_equal(chmod(rig_path(&rig, "ro/roots"), 0600), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "ro/roots"), O_RDONLY, 0, NULL), -EACCES);
    assert_int_equal(ask_open(conn, rig_path(&rig, "ro/roots"), O_WRONLY, 0, NULL), -EACCES);
    assert_int_equal(ask_open(conn, rig_path(&rig, "ro/x"), O_RDWR | O_CREAT, 0644, NULL), -EACCES);
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "ro/roots"), false), -EACCES);
    assert_int_equal(ask_chmod(conn, NULL, rig_path(&rig, "ro/roots"), 0644), -EPERM);
    assert_int_equal(ask_access(conn, rig_path(&rig, "ro/roots"), R_OK), -EACCES);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/roots"), false, &attr), 0);
    assert_int_equal(chmod(rig.ro, 0700), 0);
    assert_int_equal(ask_stat(conn, rig_path(&rig, "ro/roots"), false, &attr), -EACCES);
    net_close(conn);
    rig_stop(&rig);
}

/* ---- the wire ---- */

static int connect_raw(struct rig *rig)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char *colon = strrchr(rig->storage_address, ':');
    assert_non_null(colon);
    address.sin_port = htons((uint16_t)atoi(colon + 1));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void test_garbage(void **state)
{
    struct rig rig = {0};
    struct msg_ping_reply before, after;
    struct net_frame frame;
    uint8_t body[512];
    uint64_t random = 1;
    unsigned malformed = 0;

    rig_start(&rig);
    assert_alive(&rig, &before);

    /* Bytes that are no frame at all. */
    for (unsigned i = 0; i < 20; i++) {
        int fd = connect_raw(&rig);
        memset(body, (int)i * 13, sizeof body);
        (void)!write(fd, body, sizeof body);
        while (read(fd, body, sizeof body) > 0)
            ;
        close(fd);
    }

    /* Frames that are in order, with payloads that are not: every operation, every length. */
    struct net_conn *conn = rig_connect(&rig);
    for (unsigned op = OP_FILE_OPEN - 1; op <= OP_WATCH_READY + 8; op++) {
        for (unsigned size = 0; size < 200; size += 1 + size / 16) {
            for (unsigned i = 0; i < size; i++) {
                random = random * 6364136223846793005ull + 1442695040888963407ull;
                body[i] = size % 2 ? 0xff : (uint8_t)(random >> 56);
            }
            int rc = net_request(conn, (uint16_t)op, body, size, NULL, 0, RIG_TIMEOUT_MS, &frame);
            assert_true(rc != ASH_LOST && rc != ASH_TIMEOUT);
            malformed += rc == ASH_MALFORMED || rc == ASH_UNKNOWN_OP;
        }
    }
    assert_true(malformed > 300);
    assert_int_equal(net_request(conn, OP_SPACE_CREATE, body, 8, NULL, 0, RIG_TIMEOUT_MS, &frame),
                     ASH_UNKNOWN_OP);

    /* In order, and out of bounds. */
    struct file_attr attr;
    struct file_id none = {.device = 1, .inode = 2, .generation = 3};
    assert_int_equal(ask_open(conn, rig.rw, O_DIRECTORY, 0, &attr), 0);
    assert_int_equal(ask_list(conn, &attr.id, UINT64_MAX, 4096, body), -EINVAL);
    assert_int_equal(ask_list(conn, &attr.id, 0, DIR_REPLY_MAX + 1, body), ASH_TOO_BIG);
    assert_int_equal(ask_file_stat(conn, &none, &attr), ASH_STALE_FILE);
    assert_int_equal(ask_lock(conn, &none, 1, LOCK_KIND_WRITE, 0, 0), ASH_STALE_FILE);
    assert_int_equal(ask_lock(conn, &none, 1, 99, 0, 0), ASH_STALE_FILE);
    assert_int_equal(ask_hold(conn, &none), ASH_STALE_FILE);
    assert_int_equal(ask_open(conn, rig.ro, UINT32_MAX & ~(uint32_t)O_PATH, 0, NULL), -EROFS);
    net_close(conn);

    assert_alive(&rig, &after);
    assert_true(after.refused >= before.refused + 20 + malformed);
    rig_stop(&rig);
}

/* ---- logs of mComponents ---- */

static int ask_log_write(struct net_conn *conn, uint64_t offset, const char *text)
{
    struct msg_log_write m = {.owner = {9}, .pid = 1, .offset = offset};
    struct iovec piece = {(void *)text, strlen(text)};
    struct net_frame reply;
    uint8_t body[64];
    m.data_size = (uint32_t)piece.iov_len;
    return net_request(conn, OP_LOG_WRITE, body,
                       (size_t)msg_log_write_encode(&m, body, sizeof body), &piece, 1,
                       RIG_TIMEOUT_MS, &reply);
}

/* Reads up to 64 bytes as text. Returns bytes. */
static int ask_log_read(struct net_conn *conn, uint64_t offset, uint32_t length, char text[65])
{
    struct msg_log_read m = {.owner = {9}, .pid = 1, .offset = offset, .length = length};
    struct msg_log_read_reply reply;
    int rc = NET_CALL(conn, LOG_READ, log_read, &m, &reply, RIG_TIMEOUT_MS);
    if (rc < 0)
        return rc;
    assert_true(reply.data_size <= 64);
    memcpy(text, reply.data, reply.data_size);
    text[reply.data_size] = 0;
    return (int)reply.data_size;
}

static int ask_log_discard(struct net_conn *conn, uint64_t offset, uint64_t length)
{
    struct msg_log_discard m = {.owner = {9}, .pid = 1, .offset = offset, .length = length};
    struct msg_log_discard_reply reply;
    return NET_CALL(conn, LOG_DISCARD, log_discard, &m, &reply, RIG_TIMEOUT_MS);
}

/* What one holds outlives the daemon's process, is monitors' alone, and no path leads there. */
static void test_logs(void **state)
{
    struct rig rig = {0};
    char text[65], path[300];

    rig_start(&rig);
    struct net_conn *monitor = rig_connect_as(&rig, SCOPE_COMPONENT, 0, "");
    struct net_conn *program = rig_connect(&rig);
    assert_int_equal(ask_log_read(monitor, 0, 1, text), -ENOENT);
    assert_int_equal(ask_log_discard(monitor, 0, 4096), -ENOENT);
    assert_int_equal(ask_log_discard(monitor, 0, 0), 0);
    assert_int_equal(ask_log_write(program, 0, "no"), ASH_FORBIDDEN);
    assert_int_equal(ask_log_read(program, 0, 1, text), ASH_FORBIDDEN);
    assert_int_equal(ask_log_discard(program, 0, 0), ASH_FORBIDDEN);

    assert_int_equal(ask_log_write(monitor, 5000, "second"), 0);
    assert_int_equal(ask_log_write(monitor, 0, "first"), 0);
    assert_int_equal(ask_log_read(monitor, 5000, 64, text), 6);
    assert_string_equal(text, "second");
    assert_int_equal(ask_log_read(monitor, 6000, 64, text), 0);
    assert_int_equal(ask_log_write(monitor, LOG_SIZE_MAX - 1, "too far"), -EFBIG);
    assert_int_equal(ask_log_write(monitor, UINT64_MAX, "too far"), -EFBIG);
    assert_int_equal(ask_log_read(monitor, LOG_SIZE_MAX, 1, text), -EFBIG);
    assert_int_equal(ask_log_read(monitor, 0, LOG_IO_MAX + 1, text), ASH_TOO_BIG);
    assert_int_equal(ask_log_discard(monitor, 1, UINT64_MAX), -EFBIG);
    assert_int_equal(ask_log_discard(monitor, 0, 4096), 0);
    assert_int_equal(ask_log_read(monitor, 0, 5, text), 5);
    assert_memory_equal(text, "\0\0\0\0\0", 5);

    snprintf(path, sizeof path, "%s/.ashlar-logs-s1", rig.base);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ask_stat(program, path, false, NULL), -ENOENT);
    assert_int_equal(ask_open(program, path, O_DIRECTORY, 0, NULL), -ENOENT);
    snprintf(path, sizeof path, "%s/.ashlar-logs-s1/9-1", rig.base);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(ask_stat(program, path, true, NULL), -ENOENT);
    assert_int_equal(ask_open(program, path, O_RDONLY, 0, NULL), -ENOENT);
    assert_int_equal(ask_unlink(program, path, false), -ENOENT);
    assert_int_equal(symlink(path, rig_path(&rig, "rw/link")), 0);
    assert_int_equal(ask_open(program, rig_path(&rig, "rw/link"), O_RDONLY, 0, NULL), -ENOENT);
    net_close(monitor);
    net_close(program);

    rig_kill_storage(&rig);
    rig_start_storage(&rig);
    monitor = rig_connect_as(&rig, SCOPE_COMPONENT, 0, "");
    assert_int_equal(ask_log_read(monitor, 5000, 64, text), 6);
    assert_string_equal(text, "second");
    assert_int_equal(ask_log_discard(monitor, 0, 0), 0);
    assert_int_equal(ask_log_read(monitor, 5000, 64, text), -ENOENT);
    /* That of a process which nobody is goes by itself. */
    assert_int_equal(ask_log_write(monitor, 0, "left"), 0);
    for (int i = 0; access(path, F_OK) == 0; i++) {
        assert_true(i < (int)LOG_GONE_MS / 100 + 100);
        usleep(100000);
    }
    net_close(monitor);
    rig_stop(&rig);
}

static void test_report(void **state)
{
    struct rig rig = {0};
    struct statvfs fs;
    struct msg_ping_reply ping;
    struct msg_components request;
    struct msg_components_reply reply;
    struct net_conn *global;
    struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};

    rig_start(&rig);
    assert_int_equal(statvfs("/", &fs), 0);
    assert_int_equal(
        net_connect(rig.global_address, &rig.key, &bind, RIG_TIMEOUT_MS, &global, NULL), 0);
    assert_int_equal(NET_CALL(global, COMPONENTS, components, &request, &reply, RIG_TIMEOUT_MS), 0);
    const struct component_info *found = NULL;
    for (uint32_t i = 0; i < reply.components_count; i++)
        if (reply.components[i].kind == COMPONENT_STORAGE)
            found = &reply.components[i];
    assert_non_null(found);
    assert_int_equal(found->size_bytes, (uint64_t)fs.f_blocks * fs.f_frsize);
    assert_true(found->used_bytes > 0 && found->used_bytes < found->size_bytes);
    assert_string_equal(found->address, rig.storage_address);
    net_close(global);
    assert_alive(&rig, &ping);
    assert_int_equal(ping.size_bytes, (uint64_t)fs.f_blocks * fs.f_frsize);
    rig_stop(&rig);
}

/* ---- root's daemon, for others ---- */

static int ask_identity(struct net_conn *conn, uint32_t uid, uint32_t gid, uint32_t real_uid,
                        uint32_t group_count)
{
    struct group_id groups[GROUPS_MAX + 1];
    for (uint32_t i = 0; i < group_count; i++)
        groups[i].id = 20000 + i;
    struct msg_file_identity request = {.uid = uid,
                                        .gid = gid,
                                        .real_uid = real_uid,
                                        .real_gid = gid,
                                        .groups = groups,
                                        .groups_count = group_count};
    struct msg_file_identity_reply reply;
    return NET_CALL(conn, FILE_IDENTITY, file_identity, &request, &reply, RIG_TIMEOUT_MS);
}

static void test_identity(void **state)
{
    enum { NOBODY = 65534, LIMIT = 96 };
    struct rig rig = {.descriptor_limit = LIMIT};
    struct file_attr attr, again;
    char byte;

    rig_start(&rig);
    struct net_conn *conn = rig_connect(&rig), *other = rig_connect(&rig);
    assert_int_equal(ask_identity(conn, UINT32_MAX, 0, 0, 0), ASH_MALFORMED);
    assert_int_equal(ask_identity(conn, 0, UINT32_MAX, 0, 0), ASH_MALFORMED);
    assert_int_equal(ask_identity(conn, 0, 0, UINT32_MAX, 0), ASH_MALFORMED);
    assert_int_equal(ask_identity(conn, 0, 0, 0, GROUPS_MAX + 1), ASH_MALFORMED);
    struct net_conn *monitor = rig_connect_as(&rig, SCOPE_COMPONENT, 0, "");
    assert_int_equal(ask_identity(monitor, 0, 0, 0, 0), ASH_FORBIDDEN);
    net_close(monitor);
    assert_int_equal(chmod(rig.base, 0755), 0);
    assert_int_equal(chmod(rig.rw, 01777), 0);
    rig_write_file(rig_path(&rig, "rw/roots"), "root's");
    assert_int_equal(chmod(rig_path(&rig, "rw/roots"), 0600), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/roots"), O_RDWR, 0, &attr), 0);

    assert_int_equal(ask_identity(conn, NOBODY, NOBODY, 0, GROUPS_MAX), 0);
    bool root = getuid() == 0; /* else nothing changes */
    int refused = root ? -EACCES : 0;
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/roots"), O_RDONLY, 0, NULL), refused);
    assert_int_equal(ask_access(conn, rig_path(&rig, "rw/roots"), R_OK), refused);
    assert_int_equal(ask_open(other, rig_path(&rig, "rw/roots"), O_RDONLY, 0, NULL), 0);
    assert_int_equal(ask_open(conn, rig_path(&rig, "rw/his"), O_RDWR | O_CREAT, 0600, &again), 0);
    assert_int_equal(again.uid, root ? NOBODY : getuid());
    /* What was open stays so, though others needed its descriptors, and over the daemon's end. */
    unsigned many = 0;
    while (ask_open(conn, rig_path(&rig, "rw/many%u", many), O_RDWR | O_CREAT, 0644, NULL) == 0)
        many++;
    assert_true(many > LIMIT / 4 && many < LIMIT);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(ask_write(conn, &attr.id, 0, "R", 1), 1);
    net_close(conn);
    net_close(other);
    rig_kill_storage(&rig);
    rig_start_storage(&rig);
    conn = rig_connect(&rig);
    assert_int_equal(ask_identity(conn, NOBODY, NOBODY, NOBODY, 0), 0);
    assert_int_equal(ask_reopen(conn, &attr.id, rig_path(&rig, "rw/roots"), O_RDWR), 0);
    assert_int_equal(ask_read(conn, &attr.id, 0, &byte, 1), 1);
    assert_int_equal(byte, 'R');
    assert_int_equal(ask_unlink(conn, rig_path(&rig, "rw/roots"), false), root ? -EPERM : 0);
    assert_int_equal(ask_identity(conn, 0, 0, 0, 0), 0);
    if (root)
        assert_int_equal(ask_unlink(conn, rig_path(&rig, "rw/roots"), false), 0);
    net_close(conn);
    rig_stop(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_root),          cmocka_unit_test(test_descriptor_pressure),
        cmocka_unit_test(test_ordinary_user), cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_report),        cmocka_unit_test(test_logs),
        cmocka_unit_test(test_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
