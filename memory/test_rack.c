/* For the test of the daemon: the daemons, and a function for each message. See test_rack.h. */
#include "test_rack.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- daemons ---- */

/* Starts a daemon, whose program the environment names, and waits until it says its address. */
static int spawn(struct rack *rack, const char *program, const char *name, const char *option,
                 const char *value, char address[ADDRESS_LIMIT])
{
    int ready[2];
    char fd[16], lifeline[16];
    assert_int_equal(pipe(ready), 0);
    snprintf(fd, sizeof fd, "%d", ready[1]);
    snprintf(lifeline, sizeof lifeline, "%d", rack->lifeline[0]);
    const char *path = getenv(program);
    if (!path)
        fail_msg("%s must name a daemon", program);
    const char *argv[] = {path,
                          "--name",
                          name,
                          "--rack-dir",
                          rack->dir,
                          "--ready-fd",
                          fd,
                          "--lifeline-fd",
                          lifeline,
                          "--log-level",
                          getenv("RACK_LOG") ? "info" : "none",
                          option,
                          value,
                          rack->global[0] ? "--global" : NULL,
                          rack->global,
                          NULL};
    int pid = fork();
    if (pid == 0) {
        close(ready[0]);
        close(rack->lifeline[1]);
        execv(path, (char *const *)argv);
        _exit(127);
    }
    close(ready[1]);
    ssize_t length = read(ready[0], address, ADDRESS_LIMIT - 1);
    close(ready[0]);
    if (length < 2)
        fail_msg("%s did not start", path);
    address[length - 1] = 0; /* the newline */
    return pid;
}

void rack_start_storage(struct rack *rack)
{
    rack->storage_pid = spawn(rack, "ASHLAR_STORAGE", "s1", "--root", "/", rack->storage);
}

void rack_start(struct rack *rack, const char *memory_size)
{
    char path[128];
    *rack = (struct rack){.dir = "/tmp/ashlar-XXXXXX"};
    assert_non_null(mkdtemp(rack->dir));
    snprintf(path, sizeof path, "%s/key", rack->dir);
    assert_int_equal(net_key_create(path), 0);
    assert_int_equal(net_key_load(path, &rack->key), 0);
    assert_int_equal(pipe2(rack->lifeline, 0), 0);
    rack->global_pid = spawn(rack, "ASHLAR_GLOBAL", "g1", NULL, NULL, rack->global);
    rack_start_storage(rack);
    rack->memory_pid = spawn(rack, "ASHLAR_MEMORY", "m1", "--size", memory_size, rack->memory);
}

void rack_kill_storage(struct rack *rack)
{
    kill(rack->storage_pid, SIGKILL);
    waitpid(rack->storage_pid, NULL, 0);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void rack_stop(struct rack *rack)
{
    int status;
    kill(rack->memory_pid, SIGTERM);
    assert_int_equal(waitpid(rack->memory_pid, &status, 0), rack->memory_pid);
    assert_int_equal(status, 0);
    kill(rack->storage_pid, SIGTERM);
    kill(rack->global_pid, SIGTERM);
    waitpid(rack->storage_pid, NULL, 0);
    waitpid(rack->global_pid, NULL, 0);
    close(rack->lifeline[0]);
    close(rack->lifeline[1]);
    nftw(rack->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct net_conn *connect_to(struct rack *rack, const char *address,
                                   const struct msg_bind *bind)
{
    struct net_conn *conn;
    assert_int_equal(net_connect(address, &rack->key, bind, RACK_TIMEOUT_MS, &conn, NULL), 0);
    return conn;
}

struct net_conn *rack_component(struct rack *rack)
{
    return connect_to(rack, rack->memory,
                      &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

struct net_conn *rack_process(struct rack *rack, struct asid asid)
{
    return connect_to(
        rack, rack->memory,
        &(struct msg_bind){.scope = SCOPE_PROCESS, .asid = asid, .run_id = 1, .writable = ""});
}

struct net_conn *rack_storage(struct rack *rack)
{
    return connect_to(rack, rack->storage,
                      &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

/* ---- messages ---- */

struct asid ask_create(struct net_conn *conn)
{
    struct msg_space_create request = {.run_id = 1};
    struct msg_space_create_reply reply;
    assert_int_equal(NET_CALL(conn, SPACE_CREATE, space_create, &request, &reply, RACK_TIMEOUT_MS),
                     0);
    assert_int_not_equal(reply.asid.n, 0);
    return reply.asid;
}

int ask_clone(struct net_conn *conn, struct asid asid, struct asid *child)
{
    struct msg_space_clone request = {.asid = asid};
    struct msg_space_clone_reply reply;
    int rc = NET_CALL(conn, SPACE_CLONE, space_clone, &request, &reply, RACK_TIMEOUT_MS);
    if (rc == 0)
        *child = reply.child;
    return rc;
}

int ask_destroy(struct net_conn *conn, struct asid asid)
{
    struct msg_space_destroy request = {.asid = asid};
    struct msg_space_destroy_reply reply;
    return NET_CALL(conn, SPACE_DESTROY, space_destroy, &request, &reply, RACK_TIMEOUT_MS);
}

int ask_reset(struct net_conn *conn, struct asid asid)
{
    struct msg_space_reset request = {.asid = asid};
    struct msg_space_reset_reply reply;
    return NET_CALL(conn, SPACE_RESET, space_reset, &request, &reply, RACK_TIMEOUT_MS);
}

int ask_stat(struct net_conn *conn, struct asid asid, struct msg_space_stat_reply *reply)
{
    struct msg_space_stat request = {.asid = asid};
    return NET_CALL(conn, SPACE_STAT, space_stat, &request, reply, RACK_TIMEOUT_MS);
}

int ask_grant(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count)
{
    struct msg_vregion_grant request = {.asid = asid, .first = first, .count = count};
    struct msg_vregion_grant_reply reply;
    int rc = NET_CALL(conn, VREGION_GRANT, vregion_grant, &request, &reply, RACK_TIMEOUT_MS);
    if (rc < 0)
        return rc;
    assert_int_equal(reply.vregions_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(reply.vregions[i].index, first + i);
        assert_int_equal(reply.vregions[i].owner.n, asid.n >> 48);
        assert_int_equal(reply.vregions[i].epoch, 1);
    }
    return 0;
}

int ask_op(struct net_conn *conn, struct asid asid, uint8_t kind, uint64_t first, uint64_t count)
{
    struct vm_op op = {.kind = kind, .first = {first}, .count = count};
    struct msg_space_ops request = {.asid = asid, .ops = &op, .ops_count = 1};
    struct msg_space_ops_reply reply;
    return NET_CALL(conn, SPACE_OPS, space_ops, &request, &reply, RACK_TIMEOUT_MS);
}

int ask_map_file(struct net_conn *conn, struct asid asid, uint64_t first, uint64_t count,
                 const struct file_attr *attr, uint64_t file_line, const char *path)
{
    struct vm_op op = {
        .kind = VM_OP_MAP_FILE, .prot = 1, .first = {first}, .count = count, .to = {file_line}};
    struct mapped_file file = {
        .id = attr->id, .version = (uint64_t)attr->mtime_s, .size_bytes = attr->size_bytes};
    struct msg_space_ops request = {.asid = asid,
                                    .ops = &op,
                                    .ops_count = 1,
                                    .files = &file,
                                    .files_count = 1,
                                    .paths = (const uint8_t *)path,
                                    .paths_size = (uint32_t)strlen(path) + 1};
    struct msg_space_ops_reply reply;
    return NET_CALL(conn, SPACE_OPS, space_ops, &request, &reply, RACK_TIMEOUT_MS);
}

int ask_write(struct net_conn *conn, struct asid asid, uint64_t first, uint32_t count,
              uint64_t stamp)
{
    struct line_ref lines[WRITE_MAX_LINES];
    uint8_t data[WRITE_MAX_LINES * LINE_SIZE], body[1024];
    for (uint32_t i = 0; i < count; i++) {
        lines[i].page.n = first + i;
        line_make(data + (size_t)i * LINE_SIZE, stamp + i);
    }
    struct msg_line_write request = {
        .asid = asid, .lines = lines, .lines_count = count, .data_size = count * LINE_SIZE};
    struct msg_line_write_reply reply;
    struct net_frame frame;
    struct iovec bulk = {data, count * LINE_SIZE};
    int rc = msg_line_write_encode(&request, body, sizeof body);
    assert_true(rc > 0);
    rc = net_request(conn, OP_LINE_WRITE, body, (size_t)rc, &bulk, 1, RACK_TIMEOUT_MS, &frame);
    if (rc < 0)
        return rc;
    assert_int_equal(msg_line_write_reply_decode(&reply, frame.payload, frame.header.length), 0);
    return (int)reply.stored;
}

int ask_fetch(struct net_conn *conn, struct asid asid, uint64_t first, uint32_t count,
              uint8_t *kinds, uint8_t *data)
{
    struct msg_line_fetch request = {.asid = asid, .first = {first}, .count = count};
    struct msg_line_fetch_reply reply;
    int rc = NET_CALL(conn, LINE_FETCH, line_fetch, &request, &reply, RACK_TIMEOUT_MS);
    if (rc < 0)
        return rc;
    assert_in_range(reply.kinds_size, 1, count);
    uint32_t used = 0;
    for (uint32_t i = 0; i < reply.kinds_size; i++) {
        kinds[i] = reply.kinds[i];
        if (kinds[i] != LINE_DATA)
            continue;
        assert_true(used + LINE_SIZE <= reply.data_size);
        memcpy(data + (size_t)i * LINE_SIZE, reply.data + used, LINE_SIZE);
        used += LINE_SIZE;
    }
    assert_int_equal(used, reply.data_size);
    return (int)reply.kinds_size;
}

struct msg_ping_reply ask_ping(struct net_conn *conn)
{
    struct msg_ping request = {};
    struct msg_ping_reply reply;
    assert_int_equal(NET_CALL(conn, PING, ping, &request, &reply, RACK_TIMEOUT_MS), 0);
    return reply;
}

int ask_open(struct net_conn *storage, const char *path, struct file_attr *attr)
{
    struct msg_file_open request = {.flags = O_RDONLY, .path = path};
    struct msg_file_open_reply reply;
    int rc = NET_CALL(storage, FILE_OPEN, file_open, &request, &reply, RACK_TIMEOUT_MS);
    if (rc == 0)
        *attr = reply.attr;
    return rc;
}
