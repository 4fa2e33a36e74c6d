/* For the test of the daemon: the daemons, and a function for each message. See test_rack.h. */
#include "test_rack.h"

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

/* ---- daemons ---- */

enum { ARGS_MAX = 64 };

char *const *rack_memory_options;

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
    const char *argv[ARGS_MAX] = {path,
                                  "--name",
                                  name,
                                  "--rack-dir",
                                  rack->dir,
                                  "--ready-fd",
                                  fd,
                                  "--log-level",
                                  getenv("RACK_LOG") ? "info" : "none",
                                  "--lifeline-fd",
                                  lifeline};
    int argc = 11;
    if (rack->global[0]) {
        argv[argc++] = "--global";
        argv[argc++] = rack->global;
    }
    if (option) {
        argv[argc++] = option;
        argv[argc++] = value;
    }
    bool is_memory = strcmp(program, "ASHLAR_MEMORY") == 0;
    for (int i = 0; is_memory && rack_memory_options && rack_memory_options[i]; i++) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = rack_memory_options[i];
    }
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
    rack_start_memory(rack, 0, memory_size);
}

void rack_start_memory(struct rack *rack, int i, const char *size)
{
    struct rack_memory *memory = &rack->memories[i];
    char name[NAME_LIMIT];
    snprintf(name, sizeof name, "m%d", i + 1);
    memory->pid = spawn(rack, "ASHLAR_MEMORY", name, "--size", size, memory->address);
    struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};
    struct net_conn *conn;
    assert_int_equal(
        net_connect(memory->address, &rack->key, &bind, RACK_TIMEOUT_MS, &conn, &memory->id), 0);
    net_close(conn);
}

void rack_kill_memory(struct rack *rack, int i)
{
    kill(rack->memories[i].pid, SIGKILL);
    waitpid(rack->memories[i].pid, NULL, 0);
    rack->memories[i].pid = 0;
}

void rack_kill_storage(struct rack *rack)
{
    kill(rack->storage_pid, SIGKILL);
    waitpid(rack->storage_pid, NULL, 0);
    rack->storage_pid = 0;
}

void rack_kill_global(struct rack *rack)
{
    kill(rack->global_pid, SIGKILL);
    waitpid(rack->global_pid, NULL, 0);
    rack->global_pid = 0;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void rack_stop(struct rack *rack)
{
    for (int i = 0; i < RACK_MEMORIES; i++) {
        int status, pid = rack->memories[i].pid;
        if (!pid)
            continue;
        kill(pid, SIGTERM);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    /* Where the setup failed, some of it is not there. */
    if (rack->storage_pid) {
        kill(rack->storage_pid, SIGTERM);
        waitpid(rack->storage_pid, NULL, 0);
    }
    if (rack->global_pid) {
        kill(rack->global_pid, SIGTERM);
        waitpid(rack->global_pid, NULL, 0);
    }
    if (rack->lifeline[1]) {
        close(rack->lifeline[0]);
        close(rack->lifeline[1]);
    }
    nftw(rack->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static struct net_conn *connect_to(struct rack *rack, const char *address,
                                   const struct msg_bind *bind)
{
    struct net_conn *conn;
    assert_int_equal(net_connect(address, &rack->key, bind, RACK_TIMEOUT_MS, &conn, NULL), 0);
    return conn;
}

struct net_conn *rack_component_at(struct rack *rack, int i)
{
    return connect_to(rack, rack->memories[i].address,
                      &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

struct net_conn *rack_process_at(struct rack *rack, int i, struct asid asid)
{
    return connect_to(
        rack, rack->memories[i].address,
        &(struct msg_bind){.scope = SCOPE_PROCESS, .asid = asid, .run_id = 1, .writable = ""});
}

struct net_conn *rack_component(struct rack *rack)
{
    return rack_component_at(rack, 0);
}

struct net_conn *rack_process(struct rack *rack, struct asid asid)
{
    return rack_process_at(rack, 0, asid);
}

static struct net_conn *connect_global(struct rack *rack)
{
    return connect_to(rack, rack->global,
                      &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

int rack_drain(struct rack *rack, int i, bool on)
{
    struct msg_drain request = {.id = rack->memories[i].id, .on = on};
    struct msg_drain_reply reply;
    struct net_conn *conn = connect_global(rack);
    int rc = NET_CALL(conn, DRAIN, drain, &request, &reply, RACK_TIMEOUT_MS);
    net_close(conn);
    return rc;
}

/* What the registry says of a component; all zero: it is not there. */
static struct component_info info_of(struct net_conn *global, struct component id)
{
    struct msg_components request = {};
    struct msg_components_reply reply;
    assert_int_equal(NET_CALL(global, COMPONENTS, components, &request, &reply, RACK_TIMEOUT_MS),
                     0);
    for (uint32_t i = 0; i < reply.components_count; i++)
        if (reply.components[i].id.n == id.n)
            return reply.components[i];
    return (struct component_info){0};
}

void rack_await_state(struct rack *rack, int i, uint8_t state)
{
    struct net_conn *conn = connect_global(rack);
    uint64_t end_ms = clock_ms() + RACK_TIMEOUT_MS;
    while (info_of(conn, rack->memories[i].id).state != state) {
        assert_true(clock_ms() < end_ms);
        usleep(5000);
    }
    net_close(conn);
}

uint32_t rack_processes(struct rack *rack, int i)
{
    struct net_conn *conn = connect_global(rack);
    uint32_t processes = info_of(conn, rack->memories[i].id).processes;
    net_close(conn);
    return processes;
}

struct net_conn *rack_storage(struct rack *rack)
{
    return connect_to(rack, rack->storage,
                      &(struct msg_bind){.scope = SCOPE_COMPONENT, .writable = ""});
}

/* ---- messages ---- */

struct asid ask_create(struct net_conn *conn)
{
    return ask_create_with(conn, 1);
}

struct asid ask_create_with(struct net_conn *conn, uint32_t replicas)
{
    struct msg_space_create request = {.run_id = 1, .replicas = replicas};
    struct msg_space_create_reply reply;
    assert_int_equal(NET_CALL(conn, SPACE_CREATE, space_create, &request, &reply, RACK_TIMEOUT_MS),
                     0);
    assert_int_not_equal(reply.asid.n, 0);
    return reply.asid;
}

int ask_clone(struct net_conn *conn, struct asid asid, struct asid *child)
{
    struct msg_space_clone request = {.asid = asid, .child = *child};
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

int ask_grant_lines(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count,
                    uint64_t lines, struct vregion_info *out)
{
    struct vregion_run run = {.first = first, .count = count, .lines = lines};
    struct msg_vregion_grant request = {.asid = asid, .runs = &run, .runs_count = 1};
    struct msg_vregion_grant_reply reply;
    int rc = NET_CALL(conn, VREGION_GRANT, vregion_grant, &request, &reply, RACK_TIMEOUT_MS);
    if (rc < 0)
        return rc;
    assert_int_equal(reply.vregions_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(reply.vregions[i].index, first + i);
        out[i] = reply.vregions[i];
    }
    return 0;
}

int ask_grant(struct net_conn *conn, struct asid asid, uint32_t first, uint32_t count)
{
    struct vregion_info infos[GRANT_MAX];
    int rc = ask_grant_lines(conn, asid, first, count, 0, infos);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        assert_int_equal(infos[i].part, 0);
    return rc;
}

int ask_locate(struct net_conn *conn, struct asid asid, struct component lost,
               struct msg_space_locate_reply *reply)
{
    struct msg_space_locate request = {.asid = asid, .lost = lost};
    return NET_CALL(conn, SPACE_LOCATE, space_locate, &request, reply, RACK_TIMEOUT_MS);
}

int ask_serial(struct net_conn *conn, struct asid asid, uint64_t serial, const struct vm_op *op)
{
    struct msg_space_ops request = {.asid = asid, .serial = serial, .ops = op, .ops_count = 1};
    struct msg_space_ops_reply reply;
    return NET_CALL(conn, SPACE_OPS, space_ops, &request, &reply, RACK_TIMEOUT_MS);
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
