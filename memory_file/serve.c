/*
 * Requests: who may ask for what, and answers.
 *
 * A LINE_FETCH looks its lines up under the lock, takes a reference to each of their blocks, and
 * reads those without it. A LINE_WRITE takes new blocks and writes them first; then the tables are
 * set to these in one go, and what was there before is given up. So no block that anybody can see
 * is ever written to. The lines are on the thread's stack meanwhile, and nowhere after the answer.
 *
 * There are no replicas here: REPLICA_* are not served, and what a space asks for of them is passed
 * over.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cold.h"

enum { FLOOR_SHARE = 64 }; /* as a home it refuses vRegions below 1/64 of its blocks */

struct call {
    struct cold *cold;
    struct net_conn *conn;
    const struct net_frame *frame;
    int sent; /* what sending the answer returned */
};

#define DECODE(call, name, request)                                                                \
    msg_##name##_decode((request), (call)->frame->payload, (call)->frame->header.length)
#define ANSWER(call, name, reply)                                                                  \
    ((call)->sent = NET_REPLY((call)->conn, (call)->frame, name, (reply)), 0)

static bool is_process(const struct call *call)
{
    return net_conn_scope(call->conn)->scope == SCOPE_PROCESS;
}

/* Finds the space that a request names, if the connection may name it. 0: the lock is held. */
static int lock_space(struct call *call, struct asid asid, struct space **out)
{
    if (is_process(call) && asid.n != net_conn_scope(call->conn)->asid.n)
        return ASH_FORBIDDEN;
    pthread_mutex_lock(&call->cold->lock);
    *out = is_process(call) ? *net_conn_state(call->conn) : cold_find(call->cold, asid);
    if (*out && !(*out)->gone)
        return 0;
    pthread_mutex_unlock(&call->cold->lock);
    return ASH_NO_SPACE_ID;
}

static void unlock(struct call *call)
{
    pthread_mutex_unlock(&call->cold->lock);
}

/* With the lock, as the next two. */
static uint64_t free_bytes(const struct cold *cold)
{
    return (uint64_t)blocks_unpromised(&cold->blocks) * LINE_SIZE;
}

/* ---- address spaces ---- */

static int create_space(struct call *call)
{
    struct cold *cold = call->cold;
    struct msg_space_create request;
    struct msg_space_create_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_create, &request);
    if (rc < 0)
        return rc;
    if (is_process(call))
        return ASH_FORBIDDEN;
    pthread_mutex_lock(&cold->lock);
    rc = cold_add(cold, (struct asid){0}, request.run_id, request.replicas, &space);
    if (rc == 0)
        reply = (struct msg_space_create_reply){
            .asid = space->asid,
            .size_bytes = (uint64_t)cold->blocks.count * LINE_SIZE + cold->others_bytes,
            .free_bytes = free_bytes(cold) + cold->others_free_bytes};
    unlock(call);
    return rc < 0 ? rc : ANSWER(call, space_create, &reply);
}

/* A further part, of a space whose first part is at another mComponent. */
static int create_part(struct call *call)
{
    struct msg_space_part request;
    struct msg_space_part_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_part, &request);
    if (rc < 0)
        return rc;
    if (is_process(call))
        return ASH_FORBIDDEN;
    if (request.asid.n % PARTS_MAX == 0)
        return -EINVAL;
    pthread_mutex_lock(&call->cold->lock);
    rc = cold_add(call->cold, request.asid, request.run_id, request.replicas, &space);
    if (rc == -EEXIST && cold_find(call->cold, request.asid)->run_id == request.run_id)
        rc = 0; /* asked again */
    unlock(call);
    return rc < 0 ? rc : ANSWER(call, space_part, &reply);
}

static int copy_space(struct cold *cold, struct space *space, struct asid name, struct asid *child)
{
    struct space *copy;
    bool first = space_part(space) == 0;
    if (first ? name.n != 0 : name.n % PARTS_MAX != space_part(space) || name.n == space->asid.n)
        return -EINVAL;
    int rc = cold_add(cold, name, space->run_id, space->replicas, &copy);
    if (rc < 0)
        return rc;
    *child = copy->asid;
    rc = space_clone(space, &cold->blocks, copy);
    if (rc < 0)
        cold_destroy(cold, copy);
    return rc;
}

static int clone_space(struct call *call)
{
    struct msg_space_clone request;
    struct msg_space_clone_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_clone, &request);
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    rc = copy_space(call->cold, space, request.child, &reply.child);
    unlock(call);
    return rc < 0 ? rc : ANSWER(call, space_clone, &reply);
}

static int destroy_space(struct call *call)
{
    struct msg_space_destroy request;
    struct msg_space_destroy_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_destroy, &request);
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    cold_destroy(call->cold, space);
    unlock(call);
    return ANSWER(call, space_destroy, &reply);
}

static int reset_space(struct call *call)
{
    struct msg_space_reset request;
    struct msg_space_reset_reply reply = {};
    struct space *space;
    int rc = DECODE(call, space_reset, &request);
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    space_clear(space, &call->cold->blocks);
    unlock(call);
    return ANSWER(call, space_reset, &reply);
}

static int stat_space(struct call *call)
{
    struct cold *cold = call->cold;
    struct msg_space_stat request;
    struct space *space;
    int rc = DECODE(call, space_stat, &request);
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    struct msg_space_stat_reply reply = {
        .frames = space->block_count,
        .vmas = space->vma_count,
        .vregions = space->vregion_count,
        .bytes = (uint64_t)space->block_count * LINE_SIZE,
        .free_bytes = (uint64_t)(cold->blocks.count - blocks_used(&cold->blocks)) * LINE_SIZE +
                      cold->others_free_bytes};
    unlock(call);
    return ANSWER(call, space_stat, &reply);
}

static int locate_space(struct call *call)
{
    struct msg_space_locate request;
    struct msg_space_locate_reply reply = {.role = ROLE_NONE, .pid = (uint32_t)getpid()};
    int rc = DECODE(call, space_locate, &request);
    if (rc < 0)
        return rc;
    if (is_process(call))
        return ASH_FORBIDDEN;
    pthread_mutex_lock(&call->cold->lock);
    if (cold_find(call->cold, request.asid)) {
        reply.role = ROLE_PRIMARY;
        reply.epoch = 1;
    }
    unlock(call);
    return ANSWER(call, space_locate, &reply);
}

/* ---- vRegions ---- */

/* A home that was filled up refuses; a further part takes what its home says. */
static int grant(struct cold *cold, struct space *space, const struct vregion_run *run)
{
    const struct blocks *blocks = &cold->blocks;
    int missing = space_missing(space, run->first, run->count);
    if (missing <= 0)
        return missing;
    if (!space_part(space) && blocks->count - blocks_used(blocks) <= blocks->count / FLOOR_SHARE)
        return ASH_NO_FRAMES;
    return space_grant(space, &cold->blocks, run->first, run->count, run->lines);
}

static int grant_vregions(struct call *call)
{
    struct cold *cold = call->cold;
    struct msg_vregion_grant request;
    struct vregion_info infos[GRANT_MAX];
    uint8_t body[sizeof infos + sizeof(struct part_info) + 64];
    struct space *space;
    uint32_t count = 0;
    int rc = DECODE(call, vregion_grant, &request);
    for (uint32_t i = 0; rc == 0 && i < request.runs_count; i++) {
        rc = request.runs[i].count > GRANT_MAX - count ? ASH_TOO_BIG : 0;
        count += request.runs[i].count;
    }
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    struct part_info part = {.part = (uint16_t)space_part(space), .owner = cold->monitor.id};
    memcpy(part.name, cold->monitor.name, sizeof part.name);
    /* Further vRegions of a further part are its home's to ask for. */
    rc = part.part && is_process(call) ? ASH_FORBIDDEN : 0;
    for (uint32_t i = 0; rc == 0 && i < request.runs_count; i++)
        rc = grant(cold, space, &request.runs[i]);
    struct msg_vregion_grant_reply reply = {.free_bytes = free_bytes(cold),
                                            .parts = &part,
                                            .parts_count = 1,
                                            .vregions = infos,
                                            .vregions_count = count};
    unlock(call);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0, at = 0; i < request.runs_count; i++)
        for (uint32_t j = 0; j < request.runs[i].count; j++)
            infos[at++] =
                (struct vregion_info){request.runs[i].first + j, part.part, part.owner};
    rc = msg_vregion_grant_reply_encode(&reply, body, sizeof body);
    if (rc >= 0)
        call->sent = net_reply(call->conn, call->frame, 0, body, (size_t)rc, NULL, 0);
    return rc < 0 ? rc : 0;
}

/* ---- changes ---- */

struct changes {
    uint64_t serial; /* 0: not numbered */
    const struct vm_op *ops;
    const struct mapped_file *files;
    const uint8_t *paths;
    uint32_t ops_count, files_count, paths_size;
};

/* Those of a SPACE_OPS or a LINE_FETCH. */
#define CHANGES_OF(request)                                                                        \
    {                                                                                              \
        (request).serial, (request).ops, (request).files, (request).paths, (request).ops_count,    \
            (request).files_count, (request).paths_size                                            \
    }

/* The path of a file, or NULL where it does not end within the request. */
static const char *path_of(const struct changes *c, const struct mapped_file *file)
{
    const char *path = (const char *)c->paths + file->path;
    bool whole = file->path < c->paths_size && memchr(path, 0, c->paths_size - file->path);
    return whole && strlen(path) < PATH_LIMIT ? path : NULL;
}

static int check_changes(const struct changes *c)
{
    if (c->ops_count > OPS_MAX || c->files_count > OPS_FILES_MAX)
        return ASH_TOO_BIG;
    for (uint32_t i = 0; i < c->ops_count; i++)
        if (c->ops[i].kind == VM_OP_MAP_FILE && c->ops[i].file >= c->files_count)
            return ASH_MALFORMED;
    for (uint32_t i = 0; i < c->files_count; i++)
        if (!path_of(c, &c->files[i]))
            return ASH_MALFORMED;
    return 0;
}

/* With the lock: puts the references of files[0..count) again. */
static void let_go(struct mapped *const *files, uint32_t count)
{
    while (count)
        mapped_put(files[--count]);
}

/* Has the files that are mapped held by the sComponent, with a reference to each. One that cannot
   be had is an error of its lines, not of the change. */
static int hold_files(struct cold *cold, const struct changes *c, struct mapped **files)
{
    uint64_t deadline_ms = clock_ms() + HOLD_TIMEOUT_MS;
    uint32_t found = 0;
    pthread_mutex_lock(&cold->lock);
    while (found < c->files_count) {
        const struct mapped_file *file = &c->files[found];
        files[found] = source_find(&cold->source, file->id, path_of(c, file));
        if (!files[found])
            break;
        found++;
    }
    if (found < c->files_count)
        let_go(files, found);
    pthread_mutex_unlock(&cold->lock);
    if (found < c->files_count)
        return -ENOMEM;
    for (uint32_t i = 0; i < found; i++)
        source_hold(&cold->source, files[i], deadline_ms);
    return 0;
}

static int apply_list(struct cold *cold, struct space *space, const struct changes *c,
                      struct mapped *const *files)
{
    int rc = 0;
    if (c->serial && c->serial <= space->serial)
        return 0; /* it comes again */
    for (uint32_t i = 0; rc == 0 && i < c->ops_count; i++) {
        const struct vm_op *op = &c->ops[i];
        bool maps = op->kind == VM_OP_MAP_FILE;
        uint64_t bytes = maps ? c->files[op->file].size_bytes : 0;
        rc = space_apply(space, &cold->blocks, op, maps ? files[op->file] : NULL,
                         bytes / LINE_SIZE + (bytes % LINE_SIZE != 0));
    }
    if (rc == 0 && c->serial)
        space->serial = c->serial;
    return rc;
}

static int apply_changes(struct call *call, struct asid asid, const struct changes *c,
                         uint64_t *free_now)
{
    struct cold *cold = call->cold;
    struct mapped *files[OPS_FILES_MAX];
    struct space *space;
    int rc = lock_space(call, asid, &space); /* nobody has files held for a space that is not his */
    if (rc < 0)
        return rc;
    unlock(call);
    rc = check_changes(c);
    if (rc == 0)
        rc = hold_files(cold, c, files);
    if (rc < 0)
        return rc;
    rc = lock_space(call, asid, &space);
    if (rc == 0)
        rc = apply_list(cold, space, c, files);
    else
        pthread_mutex_lock(&cold->lock);
    let_go(files, c->files_count);
    *free_now = free_bytes(cold);
    pthread_mutex_unlock(&cold->lock);
    return rc;
}

static int apply_ops(struct call *call)
{
    struct msg_space_ops request;
    struct msg_space_ops_reply reply;
    int rc = DECODE(call, space_ops, &request);
    if (rc < 0)
        return rc;
    struct changes changes = CHANGES_OF(request);
    rc = apply_changes(call, request.asid, &changes, &reply.free_bytes);
    return rc < 0 ? rc : ANSWER(call, space_ops, &reply);
}

/* ---- fetching ---- */

/*
 * An answer in the making. Lines of a file come at its beginning only: where the first line is one,
 * those that follow in the same vma are read along; the answer ends before any later one.
 */
struct fetch {
    uint8_t kinds[FETCH_MAX_LINES];
    uint32_t count;
    uint32_t blocks[FETCH_MAX_LINES]; /* of LINE_DATA from file_count on, in order */
    uint32_t block_count;
    struct mapped *file; /* of the first file_count lines; a reference */
    uint64_t file_page;
    uint32_t file_count;
    uint32_t data_count; /* lines read */
};

/* With the lock. Adds a line; false where the answer ends before it. */
static bool look_up(struct cold *cold, const struct space *space, uint64_t line, struct fetch *f)
{
    if (!space_granted(space, line))
        return false;
    const struct vma *vma = space_vma(space, line);
    uint32_t entry = space_entry(space, line);
    uint8_t kind = LINE_ZERO;
    if (!vma) {
        kind = LINE_UNMAPPED;
    } else if (entry != LINE_ABSENT && entry != LINE_STORED_ZERO) {
        kind = LINE_DATA;
        blocks_ref(&cold->blocks, entry);
        f->blocks[f->block_count++] = entry;
    } else if (entry == LINE_ABSENT && vma->file) {
        uint64_t page = vma->file_page + (line - vma->first);
        kind = page < vma->file_end ? LINE_DATA : LINE_PAST_END;
        if (kind == LINE_DATA && f->count != f->file_count)
            return false;
        if (kind == LINE_DATA && !f->file) {
            f->file = vma->file;
            f->file->refs++;
            f->file_page = page;
        } else if (kind == LINE_DATA && (vma->file != f->file || page != f->file_page + f->count)) {
            return false;
        }
        f->file_count += kind == LINE_DATA;
    }
    f->kinds[f->count++] = kind;
    return true;
}

/* The lines of the file; the first of them must be answered, whatever it is. */
static void read_file_lines(struct cold *cold, struct fetch *f, uint8_t *lines)
{
    uint32_t size = f->file_count * LINE_SIZE;
    int got = source_read(&cold->source, f->file, f->file_page * LINE_SIZE, size, lines,
                          clock_ms() + BACKING_TIMEOUT_MS);
    if (got < 0) {
        f->kinds[0] = LINE_IO_ERROR;
        f->count = 1;
        f->block_count = 0;
        return;
    }
    memset(lines + got, 0, size - (uint32_t)got);
    f->data_count = ((uint32_t)got + LINE_SIZE - 1) / LINE_SIZE;
    for (uint32_t i = f->data_count; i < f->file_count; i++)
        f->kinds[i] = LINE_PAST_END; /* it was made shorter since */
}

/* Where the device fails, one line is read at a time, so that it is known which it is. */
static void read_block_lines(struct cold *cold, struct fetch *f, uint8_t *lines)
{
    uint8_t *to = lines + (size_t)f->data_count * LINE_SIZE;
    if (blocks_read(&cold->blocks, f->blocks, f->block_count, to) == 0) {
        f->data_count += f->block_count;
        return;
    }
    uint32_t first = f->file_count;
    while (f->kinds[first] != LINE_DATA)
        first++;
    f->count = first + 1;
    int rc = blocks_read(&cold->blocks, f->blocks, 1, to);
    if (rc < 0) {
        monitor_log("block %u cannot be read: %s", f->blocks[0], strerror(-rc));
        f->kinds[first] = LINE_IO_ERROR;
    } else {
        f->data_count++;
    }
}

static void read_lines(struct cold *cold, struct fetch *f, uint8_t *lines)
{
    uint32_t taken = f->block_count;
    if (f->file)
        read_file_lines(cold, f, lines);
    if (f->block_count)
        read_block_lines(cold, f, lines);
    pthread_mutex_lock(&cold->lock);
    for (uint32_t i = 0; i < taken; i++)
        blocks_drop(&cold->blocks, f->blocks[i]);
    if (f->file)
        mapped_put(f->file);
    pthread_mutex_unlock(&cold->lock);
}

static bool too_many_lines(const struct msg_line_fetch *request)
{
    uint64_t lines = request->count;
    for (uint32_t i = 0; i < request->more_count; i++)
        lines += request->more[i].count;
    return lines > FETCH_MAX_LINES;
}

/* The first run alone is answered: what lies elsewhere is another place of the file. */
static int fetch_lines(struct call *call)
{
    _Alignas(LINE_SIZE) uint8_t lines[FETCH_MAX_LINES * LINE_SIZE];
    uint8_t body[FETCH_MAX_LINES + 16];
    struct msg_line_fetch request;
    struct fetch f = {};
    struct space *space;
    uint64_t ignored;
    int rc = DECODE(call, line_fetch, &request);
    if (rc < 0)
        return rc;
    if (too_many_lines(&request))
        return ASH_TOO_BIG;
    struct changes changes = CHANGES_OF(request);
    if (request.ops_count)
        rc = apply_changes(call, request.asid, &changes, &ignored);
    if (rc == 0)
        rc = lock_space(call, request.asid, &space);
    if (rc < 0)
        return rc;
    bool sense = request.count && request.first.n < WINDOW_END >> LINE_SHIFT;
    while (sense && f.count < request.count &&
           look_up(call->cold, space, request.first.n + f.count, &f))
        ;
    unlock(call);
    if (!f.count)
        return sense ? -EFAULT : -EINVAL;
    read_lines(call->cold, &f, lines);
    struct msg_line_fetch_reply reply = {
        .kinds = f.kinds, .kinds_size = f.count, .data_size = f.data_count * LINE_SIZE};
    struct iovec data = {lines, reply.data_size};
    rc = msg_line_fetch_reply_encode(&reply, body, sizeof body);
    if (rc >= 0)
        call->sent =
            net_reply(call->conn, call->frame, 0, body, (size_t)rc, &data, f.data_count > 0);
    return rc < 0 ? rc : 0;
}

/* ---- writing ---- */

struct store {
    const struct msg_line_write *request;
    uint32_t blocks[WRITE_MAX_LINES]; /* of those that are not zero, in order */
    uint32_t block_count;
    bool zero[WRITE_MAX_LINES];
    bool kept[WRITE_MAX_LINES]; /* lies in some vma */
};

static bool is_zero(const uint8_t *line)
{
    return line[0] == 0 && memcmp(line, line + 1, LINE_SIZE - 1) == 0;
}

/* Puts the lines that are not zero side by side, aligned as the file wants them. */
static void gather(struct store *s, uint8_t *lines)
{
    for (uint32_t i = 0; i < s->request->lines_count; i++) {
        const uint8_t *line = s->request->data + (size_t)i * LINE_SIZE;
        s->zero[i] = is_zero(line);
        if (!s->zero[i])
            memcpy(lines + (size_t)s->block_count++ * LINE_SIZE, line, LINE_SIZE);
    }
}

/* With the lock: whether a line stays without an entry, being what it would be anyway. */
static bool stays_absent(const struct space *space, const struct store *s, uint32_t i)
{
    uint64_t line = s->request->lines[i].page.n;
    return s->zero[i] && space_entry(space, line) == LINE_ABSENT && !space_vma(space, line)->file;
}

/*
 * With the lock: all that may fail. Lines in no vma are passed over. Where the reserve was touched,
 * it must be full again when what was there before is given up.
 */
static int check_store(const struct cold *cold, struct space *space, struct store *s)
{
    const struct blocks *blocks = &cold->blocks;
    uint32_t given_up = 0, at = 0;
    for (uint32_t i = 0; i < s->request->lines_count; i++) {
        uint64_t line = s->request->lines[i].page.n;
        if (!space_granted(space, line))
            return -EFAULT;
        s->kept[i] = space_vma(space, line) != NULL;
        uint32_t old = space_entry(space, line);
        if (!s->kept[i])
            given_up += !s->zero[i];
        else if (old != LINE_ABSENT && old != LINE_STORED_ZERO)
            given_up += blocks->refs[old] == 1;
        at += !s->zero[i];
        if (s->kept[i] && !stays_absent(space, s, i) && space_prepare(space, line) < 0)
            return -ENOMEM;
    }
    return at && blocks->free + given_up < BLOCKS_RESERVE ? ASH_NO_FRAMES : 0;
}

static uint32_t commit_store(struct cold *cold, struct space *space, const struct store *s)
{
    uint32_t stored = 0, at = 0;
    for (uint32_t i = 0; i < s->request->lines_count; i++) {
        uint64_t line = s->request->lines[i].page.n;
        uint32_t entry = s->zero[i] ? LINE_STORED_ZERO : s->blocks[at++];
        if (!s->kept[i]) {
            if (!s->zero[i])
                blocks_drop(&cold->blocks, entry);
            continue;
        }
        if (!stays_absent(space, s, i))
            space_set(space, &cold->blocks, line, entry);
        stored++;
    }
    return stored;
}

/* Writes to new blocks, then has the tables name these. */
static int store_lines(struct call *call, struct store *s, const uint8_t *lines, bool reserve)
{
    struct cold *cold = call->cold;
    struct space *space;
    pthread_mutex_lock(&cold->lock);
    bool taken = blocks_take(&cold->blocks, s->blocks, s->block_count, reserve);
    pthread_mutex_unlock(&cold->lock);
    if (!taken)
        return ASH_NO_FRAMES;
    int rc = blocks_write(&cold->blocks, s->blocks, s->block_count, lines);
    if (rc < 0)
        monitor_log("%u blocks cannot be written: %s", s->block_count, strerror(-rc));
    if (rc == 0)
        rc = lock_space(call, s->request->asid, &space);
    if (rc < 0)
        pthread_mutex_lock(&cold->lock);
    if (rc == 0)
        rc = check_store(cold, space, s);
    if (rc == 0)
        rc = (int)commit_store(cold, space, s);
    else
        for (uint32_t i = 0; i < s->block_count; i++)
            blocks_drop(&cold->blocks, s->blocks[i]);
    pthread_mutex_unlock(&cold->lock);
    return rc;
}

static int write_lines(struct call *call)
{
    _Alignas(LINE_SIZE) uint8_t lines[WRITE_MAX_LINES * LINE_SIZE];
    struct msg_line_write request;
    struct store store = {.request = &request};
    struct space *space;
    int rc = DECODE(call, line_write, &request);
    if (rc == 0 && request.lines_count > WRITE_MAX_LINES)
        rc = ASH_TOO_BIG;
    if (rc == 0 && request.data_size != request.lines_count * LINE_SIZE)
        rc = ASH_MALFORMED;
    if (rc == 0)
        rc = lock_space(call, request.asid, &space); /* before anything is written for it */
    if (rc < 0)
        return rc;
    unlock(call);
    if (!request.lines_count)
        return -EINVAL;
    gather(&store, lines);
    rc = store_lines(call, &store, lines, false);
    if (rc == ASH_NO_FRAMES) {
        /* One at a time may use the reserve, to write over what it has. */
        pthread_mutex_lock(&call->cold->scarce_lock);
        rc = store_lines(call, &store, lines, true);
        pthread_mutex_unlock(&call->cold->scarce_lock);
    }
    struct msg_line_write_reply reply = {.stored = (uint32_t)rc};
    net_answer_later(call->conn); /* the process asks for the next lines meanwhile */
    return rc < 0 ? rc : ANSWER(call, line_write, &reply);
}

/* ---- the table ---- */

enum { FIRST_OP = OP_SPACE_CREATE };

static int (*const handlers[])(struct call *) = {
    [OP_SPACE_CREATE - FIRST_OP] = create_space,    [OP_SPACE_CLONE - FIRST_OP] = clone_space,
    [OP_SPACE_DESTROY - FIRST_OP] = destroy_space,  [OP_SPACE_RESET - FIRST_OP] = reset_space,
    [OP_VREGION_GRANT - FIRST_OP] = grant_vregions, [OP_SPACE_OPS - FIRST_OP] = apply_ops,
    [OP_LINE_FETCH - FIRST_OP] = fetch_lines,       [OP_LINE_WRITE - FIRST_OP] = write_lines,
    [OP_SPACE_STAT - FIRST_OP] = stat_space,        [OP_SPACE_PART - FIRST_OP] = create_part,
    [OP_SPACE_LOCATE - FIRST_OP] = locate_space,
};

static int serve_request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct call call = {.cold = self, .conn = conn, .frame = frame};
    unsigned index = (unsigned)frame->header.op - FIRST_OP;
    int rc = ASH_UNKNOWN_OP;
    if (index < sizeof handlers / sizeof handlers[0] && handlers[index])
        rc = handlers[index](&call);
    return rc < 0 ? net_refuse(conn, frame, rc) : call.sent;
}

static void serve_opened(void *self, struct net_conn *conn)
{
    struct cold *cold = self;
    const struct msg_bind *scope = net_conn_scope(conn);
    if (scope->scope != SCOPE_PROCESS)
        return;
    pthread_mutex_lock(&cold->lock);
    *net_conn_state(conn) = cold_bind(cold, scope->asid, scope->run_id);
    pthread_mutex_unlock(&cold->lock);
}

static void serve_closed(void *self, struct net_conn *conn)
{
    struct cold *cold = self;
    struct space *space = *net_conn_state(conn);
    pthread_mutex_lock(&cold->lock);
    if (space)
        cold_unbind(space);
    pthread_mutex_unlock(&cold->lock);
}

const struct net_server_ops cold_ops = {
    .request = serve_request,
    .opened = serve_opened,
    .closed = serve_closed,
};
