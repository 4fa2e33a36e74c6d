/*
 * Requests to the monitors; see rpc.h. Here is which connection has one, and where it leads.
 */
#include <linux/mman.h>
#include <linux/time_types.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "identity.h"
#include "node.h"
#include "rpc_connection.h"
#include "rpc_pool.h"

#define MSG_PEEK     0x02
#define MSG_DONTWAIT 0x40
#define SOL_SOCKET   1
#define SO_RCVTIMEO  20
#define SO_SNDTIMEO  21

enum {
    RETRY_MS = 20,
    GIVE_UP_MS = 10000, /* a part that fails so long is lost, whatever the node says */
    IN_A_ROW_MS = 2000, /* failures that are farther apart are two */
    BUFFER_FIRST =
        6 * LINE_SIZE, /* of it are populated at first: for all but answers of many lines */
};

static struct rpc_pool storage, memory[PARTS_MAX];
static struct process *owner;
static uint64_t serials; /* descriptors ever made; relaxed */
/* Counts connections given back; takers_waiting: who sleeps on it. Partners, both SEQ_CST. */
static uint32_t given_back, takers_waiting;

/* Bounds every wait of the connection, so that waiting takes one system call. */
static void set_timeouts(const struct rpc_connection *c)
{
    unsigned ms = of_memory(c) ? MEMORY_PATIENCE_MS : STORAGE_TIMEOUT_MS;
    struct __kernel_old_timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    host_call(__NR_setsockopt, c->fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    host_call(__NR_setsockopt, c->fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static void pool_init(struct rpc_pool *pool, int kind, uint32_t part, int fd)
{
    pool->kind = kind;
    pool->part = part;
    pool->move_lock = (struct mutex){0};
    for (int i = 0; i < CONNECTIONS; i++) {
        struct rpc_connection *c = &pool->connections[i];
        c->lock = (struct mutex){0};
        c->pool = pool;
        c->fd = i == 0 ? fd : -1;
        c->owes = false;
        c->told = 0;
        c->lent_to = 0;
        c->spin_skip = SPIN_AFTER;
        c->moves = pool->moves;
    }
    if (fd >= 0)
        set_timeouts(&pool->connections[0]);
}

void rpc_was_told(void)
{
    storage.connections[0].told = IDENTITY_UNKNOWN;
}

bool rpc_told(void)
{
    return storage.connections[0].told != 0;
}

void rpc_init(struct process *p, int memory_fd, int storage_fd)
{
    owner = p;
    storage.where = p->storage;
    memory[0].where = p->memory;
    pool_init(&storage, COMPONENT_STORAGE, 0, storage_fd);
    for (uint32_t part = 0; part < PARTS_MAX; part++)
        pool_init(&memory[part], COMPONENT_MEMORY, part, part == 0 ? memory_fd : -1);
    /* What the program before an exec, or a forked process's parent, asked for is another request:
       ids begin anywhere. */
    uint64_t first[CONNECTIONS] = {0};
    host_call(__NR_getrandom, first, sizeof first, 0);
    for (int i = 0; i < CONNECTIONS; i++)
        storage.connections[i].request_id = (first[i] >> (64 - LANE_SHIFT + 1)) | (uint64_t)i
                                                                                      << LANE_SHIFT;
}

/*
 * ---- descriptors ----
 *
 * A vfork child shares the connections, and has a copy of the descriptors as they were when it
 * began. One that it makes is of its own table alone: the connection is lent to it, until its
 * exchange is over, or until its parent takes up what it left under way. Its copies it leaves open,
 * or another descriptor of its could get the number of one.
 */

static void close_descriptor(struct rpc_connection *c)
{
    if (c->fd >= 0)
        host_call(__NR_close, c->fd);
    c->fd = -1;
}

static void lend(struct rpc_connection *c, int pid)
{
    if (!c->lent_to) {
        c->own_fd = c->fd;
        c->own_moves = c->moves;
        c->own_serial = c->serial;
    }
    c->lent_to = pid;
    c->fd = -1;
}

static void take_back(struct rpc_connection *c)
{
    c->fd = c->own_fd;
    c->moves = c->own_moves;
    c->serial = c->own_serial;
    c->lent_to = 0;
}

/* Whether the descriptor is one of the table of who asks. */
static bool is_ours(const struct rpc_connection *c)
{
    const struct process *p = current()->process;
    if (!p->vforked)
        return !c->lent_to;
    return c->lent_to ? c->lent_to == p->pid : c->serial <= p->rpc_limit;
}

static void forget_descriptor(struct rpc_connection *c)
{
    const struct process *p = current()->process;
    if (!p->vforked) {
        if (c->lent_to)
            take_back(c);
        close_descriptor(c);
    } else if (c->lent_to == p->pid) {
        close_descriptor(c);
    } else {
        lend(c, p->pid);
    }
}

static void pool_leave(struct rpc_pool *pool)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        close_descriptor(&pool->connections[i]);
        pool->connections[i].buffer = NULL; /* the parent's alone */
    }
}

void rpc_fork_child(struct process *p, int memory_fd, int storage_fd)
{
    pool_leave(&storage);
    for (uint32_t part = 0; part < PARTS_MAX; part++)
        pool_leave(&memory[part]);
    rpc_init(p, memory_fd, storage_fd);
}

void rpc_part_at(uint32_t part, struct component where)
{
    struct rpc_pool *pool = &memory[part];
    mutex_lock(&pool->move_lock);
    if (pool->where.id.n == 0)
        pool->where.id = where;
    mutex_unlock(&pool->move_lock);
}

bool rpc_part_known(uint32_t part)
{
    return __atomic_load_n(&memory[part].where.id.n, __ATOMIC_RELAXED) != 0;
}

static int connect_to(struct rpc_connection *c);

void rpc_descriptors(int *memory_fd, int *storage_fd)
{
    *memory_fd = memory[0].connections[0].fd;
    *storage_fd = storage.connections[0].fd;
}

static void settle(struct rpc_connection *c);

void rpc_hold_first(void)
{
    struct rpc_connection *c = &memory[0].connections[0];
    mutex_lock(&c->lock);
    mutex_lock(&storage.connections[0].lock);
    settle(&storage.connections[0]);
    (void)connect_to(c); /* what is handed on is to be where the home is now */
}

void rpc_release_first(void)
{
    mutex_unlock(&storage.connections[0].lock);
    mutex_unlock(&memory[0].connections[0].lock);
}

/*
 * The node notices too, and ends every process that had memory there. That is waited for, as long
 * as it takes: else a parent that needs no line just now would see this child end and go on.
 */
static void await_the_end(void)
{
    const unsigned ms = HEARTBEAT_MS + MEMORY_TIMEOUT_MS;
    struct __kernel_timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (host_call(__NR_nanosleep, &left, &left) == -EINTR)
        ;
}

const char *rpc_component(const struct rpc *rpc)
{
    const char *name = rpc->connection->pool->where.name;
    return name[0] ? name : "an mComponent";
}

/* A part of the memory is nowhere any more. */
static void memory_lost(struct rpc *rpc, int why)
{
    struct rpc_connection *c = rpc->connection;
    forget_descriptor(c);
    await_the_end();
    host_die("%s (memory, pid %u) was lost (%s); this program kept its memory there",
             rpc_component(rpc), c->pool->where.pid,
             why == ASH_TIMEOUT ? "no answer" : ash_error_text(why));
}

/*
 * A vfork child takes the connections that its copy of the descriptors has first, and makes one of
 * its own to an mComponent where it finds none. Where storage was lost it gets the first one,
 * without a descriptor, and its call fails.
 */
static bool usable(const struct rpc_connection *c)
{
    if (!current()->process->vforked)
        return true;
    return c->fd < 0 ? c == &storage.connections[0] : is_ours(c);
}

static struct rpc_connection *try_some(struct rpc_pool *pool, bool any)
{
    for (int i = 0; i < CONNECTIONS; i++) {
        struct rpc_connection *c = &pool->connections[i];
        if (!mutex_trylock(&c->lock))
            continue;
        if (any || usable(c))
            return c;
        mutex_unlock(&c->lock);
    }
    return NULL;
}

static struct rpc_connection *try_take(struct rpc_pool *pool)
{
    struct rpc_connection *c = try_some(pool, false);
    bool any = !c && current()->process->vforked && pool->kind == COMPONENT_MEMORY;
    return any ? try_some(pool, true) : c;
}

/*
 * Any free connection, or a sleep until one is given back: never a wait for a certain one, since a
 * write-back in flight keeps its own until the next eviction.
 */
static struct rpc_connection *take(struct rpc_pool *pool)
{
    for (;;) {
        uint32_t before = __atomic_load_n(&given_back, __ATOMIC_SEQ_CST);
        struct rpc_connection *c = try_take(pool);
        if (c)
            return c;
        __atomic_add_fetch(&takers_waiting, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&given_back, __ATOMIC_SEQ_CST) == before)
            futex_wait(&given_back, before, 0);
        __atomic_sub_fetch(&takers_waiting, 1, __ATOMIC_SEQ_CST);
    }
}

static void set_descriptor(struct rpc_connection *c, int fd)
{
    c->fd = fd;
    c->moves = __atomic_load_n(&c->pool->moves, __ATOMIC_ACQUIRE);
    set_timeouts(c);
    c->serial = __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED);
    c->told = 0;
}

/* Sees to it that an sComponent's connection was told who asks. */
static int introduce(struct rpc_connection *c)
{
    uint64_t who = current()->identity;
    if (c->told == who)
        return 0;
    c->told = IDENTITY_UNKNOWN;
    STAT_ADD(messages[wire_op_index(OP_FILE_IDENTITY)], 1);
    current()->to_storage++;
    int rc = connection_introduce(c);
    if (rc == 0)
        c->told = who;
    else
        forget_descriptor(c); /* nothing may be asked for by somebody else's rights */
    return rc;
}

/*
 * Sees to it that the connection has a descriptor, to where its component is now; to the sComponent
 * not in a vfork child, whose hold of what it has open is that connection's; and that who asks
 * there is known. 0 or a negative error.
 */
static int connect_to(struct rpc_connection *c)
{
    struct rpc_pool *pool = c->pool;
    if (current()->process->vforked && !of_memory(c))
        return c->fd < 0 ? ASH_LOST : introduce(c);
    if (c->fd >= 0 && is_ours(c) && c->moves == __atomic_load_n(&pool->moves, __ATOMIC_ACQUIRE))
        return of_memory(c) ? 0 : introduce(c);
    forget_descriptor(c);
    int fd = node_connect(owner, pool->where.id, pool->part);
    if (fd < 0)
        return fd;
    set_descriptor(c, fd);
    return of_memory(c) ? 0 : introduce(c);
}

uint64_t rpc_two_of_each(void)
{
    struct rpc first, second, store;
    for (uint32_t part = 0; part < PARTS_MAX; part++) {
        if (!rpc_part_known(part))
            continue;
        if (rpc_begin_part(&first, part) == 0) {
            (void)!rpc_begin_part(&second, part);
            rpc_end(&second);
        }
        rpc_end(&first);
    }
    int rc = rpc_begin(&store, COMPONENT_STORAGE);
    rpc_end(&store);
    (void)rc; /* a storage monitor that is away is the next file call's matter */
    return __atomic_load_n(&serials, __ATOMIC_RELAXED);
}

static int begin(struct rpc *rpc, struct rpc_pool *pool)
{
    struct rpc_connection *c = take(pool);
    settle(c);
    rpc->connection = c;
    rpc->bulk_count = 0;
    if (!c->buffer) {
        c->buffer = host_alloc(BUFFER_SIZE);
        if (!c->buffer)
            return -ENOMEM;
        /* A child gets its own: neither is to pay for a copy of these pages. */
        host_call(__NR_madvise, c->buffer, BUFFER_SIZE, MADV_DONTFORK);
        c->touched = 0;
        connection_touch(c, BUFFER_FIRST);
    }
    rpc->request = c->buffer + WIRE_HEADER_SIZE;
    c->failing_since_ns = 0;
    /* Where that fails, posting the request finds out, and does what can be done. */
    (void)connect_to(c);
    return 0;
}

int rpc_begin_part(struct rpc *rpc, uint32_t part)
{
    return begin(rpc, &memory[part]);
}

int rpc_begin(struct rpc *rpc, int kind)
{
    return begin(rpc, kind == COMPONENT_MEMORY ? &memory[0] : &storage);
}

void rpc_end(struct rpc *rpc)
{
    struct rpc_connection *c = rpc->connection;
    if (!c)
        return;
    if (c->lent_to) {
        if (is_ours(c))
            close_descriptor(c);
        take_back(c);
    }
    mutex_unlock(&c->lock);
    rpc->connection = NULL;
    __atomic_add_fetch(&given_back, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&takers_waiting, __ATOMIC_SEQ_CST))
        futex_wake(&given_back, INT32_MAX);
}

static int post(struct rpc *rpc, uint16_t op, int size, const struct rpc_piece *bulk, int count,
                bool again)
{
    struct rpc_connection *c = rpc->connection;
    int index = wire_op_index(op);
    c->op = op;
    c->sent_size = (uint32_t)size;
    rpc->bulk = bulk;
    rpc->bulk_count = count;
    if (index >= 0)
        STAT_ADD(messages[index], 1);
    *(of_memory(c) ? &current()->to_memory : &current()->to_storage) += 1;
    return c->fd < 0 ? ASH_LOST : connection_send(c, bulk, count, again);
}

/* ---- a part of the memory that does not answer ---- */

/* Asks the node where it is. 1: there, and the connection stands: to be waited on. */
static int locate(struct rpc_pool *pool, struct rpc_connection *c, uint8_t why)
{
    struct component_info now;
    int fd;
    int rc = node_locate(owner, pool->part, pool->where.id, why, &now, &fd);
    if (rc < 0)
        return rc;
    if (fd < 0)
        return 1;
    if (now.id.n != pool->where.id.n) {
        pool->where = now;
        __atomic_store_n(&pool->moves, pool->moves + 1, __ATOMIC_RELEASE);
        if (pool->part == 0)
            owner->memory = now;
    }
    forget_descriptor(c);
    set_descriptor(c, fd);
    return 0;
}

static uint8_t why_of(const struct rpc_connection *c, int error)
{
    return error == ASH_TIMEOUT && c->fd >= 0          ? LOCATE_SILENT
           : error == ASH_TIMEOUT || error == ASH_LOST ? LOCATE_BROKEN
                                                       : LOCATE_MOVED;
}

/* Finds the part again, by this thread or one that was faster. As locate(). */
static int follow(struct rpc_connection *c, int error)
{
    struct rpc_pool *pool = c->pool;
    uint8_t why = why_of(c, error);
    if (why == LOCATE_BROKEN)
        forget_descriptor(c);
    mutex_lock(&pool->move_lock);
    bool followed = c->moves != pool->moves; /* by another request: it is there, or was until now */
    int rc = followed ? connect_to(c) : locate(pool, c, why);
    if (followed && rc < 0)
        rc = locate(pool, c, LOCATE_BROKEN);
    mutex_unlock(&pool->move_lock);
    return rc;
}

/*
 * A request to an mComponent failed so. Returns when it was repeated, or is to be waited for; does
 * not return where that part of the memory is lost.
 */
static void recover(struct rpc *rpc, int error)
{
    struct rpc_connection *c = rpc->connection;
    uint64_t now = host_now_ns();
    /* What is under way may be waited for long after it was sent. */
    if (!c->failing_since_ns || now - c->failed_ns > IN_A_ROW_MS * 1000000ull)
        c->failing_since_ns = now;
    for (;; now = host_now_ns()) {
        int rc = now - c->failing_since_ns < GIVE_UP_MS * 1000000ull ? follow(c, error) : error;
        if (rc < 0)
            memory_lost(rpc, error);
        c->failed_ns = host_now_ns();
        if (rc == 1)
            return;
        error = connection_send(c, rpc->bulk, rpc->bulk_count, false);
        if (error == 0)
            return;
        forget_descriptor(c); /* part of it may have been sent */
    }
}

/* Whether an answer, or that there was none, says that the part is to be looked for. */
static bool is_lost(int status)
{
    return status == ASH_LOST || status == ASH_TIMEOUT || status == ASH_MOVED ||
           status == ASH_STALE_EPOCH || status == ASH_NO_SPACE_ID;
}

int rpc_post(struct rpc *rpc, uint16_t op, int size, const struct rpc_piece *bulk, int count)
{
    struct rpc_connection *c = rpc->connection;
    int rc = post(rpc, op, size, bulk, count, false);
    if (rc == ASH_LOST || rc == ASH_TIMEOUT)
        forget_descriptor(c);
    if (of_memory(c) && is_lost(rc)) {
        recover(rpc, rc);
        rc = 0;
    }
    return rc;
}

int rpc_post_lines(struct rpc *rpc, struct asid space, uint32_t part, const struct line_ref *lines,
                   const struct rpc_piece *data, uint32_t count)
{
    struct msg_line_write request = {.asid = asid_part(space, part),
                                     .lines = lines,
                                     .lines_count = count,
                                     .data_size = count << LINE_SHIFT};
    int rc = rpc_begin_part(rpc, part);
    if (rc == 0)
        rc = msg_line_write_encode(&request, rpc->request, RPC_REQUEST_MAX);
    return rc < 0 ? rc : rpc_post(rpc, OP_LINE_WRITE, rc, data, (int)count);
}

bool rpc_answered(const struct rpc *rpc)
{
    uint8_t byte;
    if (!is_ours(rpc->connection))
        return true; /* rpc_wait() will see to it */
    return host_call(__NR_recvfrom, rpc->connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT, NULL,
                     0) != -EAGAIN;
}

int rpc_wait(struct rpc *rpc)
{
    struct rpc_connection *c = rpc->connection;
    for (;;) {
        /* Another process may have sent it, over a descriptor of its own. */
        int rc = is_ours(c) ? connection_receive(c, rpc) : ASH_LOST;
        if (!is_lost(rc))
            return rc;
        if (of_memory(c)) {
            recover(rpc, rc);
        } else {
            if (rc == ASH_LOST || rc == ASH_TIMEOUT)
                forget_descriptor(c);
            return rc;
        }
    }
}

/* Sleeps RETRY_MS; there is no event to wait for when a component is away. */
static void pause_before_retry(void)
{
    struct __kernel_timespec ts = {0, RETRY_MS * 1000000};
    host_call(__NR_nanosleep, &ts, NULL);
}

/* Waits for the answer to what was posted as rc says, and sends it again where need be. */
static int finish(struct rpc *rpc, int rc)
{
    struct rpc_connection *c = rpc->connection;
    uint64_t deadline = 0;
    for (;;) {
        if (rc == 0)
            rc = rpc_wait(rpc);
        if (rc != ASH_LOST && rc != ASH_TIMEOUT)
            return rc;
        /* Only storage comes here: renew the connection until its deadline. */
        uint64_t now = host_now_ns();
        if (!deadline)
            deadline = now + STORAGE_TIMEOUT_MS * 1000000ull;
        if (now >= deadline || rc == ASH_TIMEOUT || current()->process->vforked)
            return -EIO;
        forget_descriptor(c);
        if (connect_to(c) < 0)
            pause_before_retry();
        rc = post(rpc, c->op, (int)c->sent_size, rpc->bulk, rpc->bulk_count, true);
    }
}

int rpc_exchange(struct rpc *rpc, uint16_t op, int size, const struct rpc_piece *bulk, int count)
{
    return finish(rpc, rpc_post(rpc, op, size, bulk, count));
}

void rpc_leave(struct rpc *rpc, uint16_t op, int size)
{
    struct rpc_connection *c = rpc->connection;
    int rc = rpc_post(rpc, op, size, NULL, 0);
    if (rc == 0)
        c->owes = true;
    else
        (void)finish(rpc, rc);
    rpc_end(rpc);
}

/* Gets the answer that the connection owes; its lock is held. */
static void settle(struct rpc_connection *c)
{
    struct rpc rpc = {.connection = c, .request = c->buffer + WIRE_HEADER_SIZE};
    if (!c->owes)
        return;
    c->owes = false;
    (void)finish(&rpc, 0);
}

long rpc_errno(int status)
{
    if (status >= -4095)
        return status;
    switch (status) {
    case ASH_NO_FRAMES:
    case ASH_LIMIT:
        return -ENOMEM;
    case ASH_FORBIDDEN:
        return -EACCES;
    case ASH_STALE_FILE:
        return -ESTALE;
    case ASH_TOO_BIG:
        return -E2BIG;
    }
    return -EIO;
}
