/*
 * See changes.h. Messages: none of its own but where changes.h says so, one VREGION_GRANT for each
 * run of new vRegions, and one SPACE_OPS for each part of the address space that is concerned.
 *
 * mm.ops_lock is held from before the changes are sent until they are answered, and ops_count stays
 * as it was until then: so who fetches a line meanwhile, by another connection, waits for that.
 */
#include <linux/mman.h>

#include "changes.h"

#include "../host/host.h"
#include "../rpc/rpc.h"
#include "vregions.h"

enum { PATHS_BYTES = PATH_LIMIT };

/* What mm.ops refers to; protected by mm.ops_lock, the count read without. */
static struct mapped_file files[OPS_FILES_MAX];
static uint32_t files_count;
static uint8_t *paths;
static uint32_t paths_size;
static uint64_t serial;      /* of the last list of changes */
static struct vm_op *pieces; /* what one part is told of changes that concern several */

void changes_init(void)
{
    mm.ops = host_alloc(OPS_MAX * sizeof *mm.ops);
    pieces = host_alloc(OPS_MAX * sizeof *pieces);
    paths = host_alloc(PATHS_BYTES);
    host_assert(mm.ops && pieces && paths);
    vregions_init();
}

static struct vpn end_of(struct vpn first, uint64_t count)
{
    return (struct vpn){first.n + count};
}

/* What cannot be refused any more. ops_lock is held. */
static void grant_or_die(struct vpn first, struct vpn end, bool writable)
{
    int rc = vregions_grant(&(struct vregion_need){first, end, writable}, 1);
    if (rc < 0)
        host_die("the home mComponent grants no memory at %lx (error %d)", vpn_address(first), -rc);
}

int changes_reserve(const struct vregion_need *needs, uint32_t count)
{
    mutex_lock(&mm.ops_lock);
    int rc = vregions_grant(needs, count);
    mutex_unlock(&mm.ops_lock);
    return rc < 0 ? -ENOMEM : 0;
}

/* What has to be granted before the changes are sent. ops_lock is held. */
static void prepare(void)
{
    for (uint32_t i = 0; i < mm.ops_count; i++) {
        const struct vm_op *op = &mm.ops[i];
        if (op->kind == VM_OP_MAP || op->kind == VM_OP_MAP_FILE)
            grant_or_die(op->first, end_of(op->first, op->count), op->prot & PROT_WRITE);
    }
}

/* Whether all changes concern the part of `page` alone. */
static bool all_in_part_of(struct vpn page)
{
    uint32_t part = vregions_part(page);
    for (uint32_t i = 0; i < mm.ops_count; i++) {
        const struct vm_op *op = &mm.ops[i];
        if (vregions_part(op->first) != part || vregions_run(op->first, op->count) != op->count)
            return false;
    }
    return true;
}

static void forget(void)
{
    __atomic_store_n(&files_count, 0, __ATOMIC_RELEASE);
    paths_size = 0;
    __atomic_store_n(&mm.ops_count, 0, __ATOMIC_RELEASE);
}

static void send_ops(uint32_t part, const struct vm_op *ops, uint32_t count)
{
    struct rpc rpc;
    struct msg_space_ops_reply reply;
    struct msg_space_ops request = {.asid = asid_part(mm.asid, part),
                                    .serial = ++serial,
                                    .ops = ops,
                                    .ops_count = count,
                                    .files = files,
                                    .files_count = files_count,
                                    .paths = paths,
                                    .paths_size = paths_size};
    int rc = RPC_CALL_PART(&rpc, part, SPACE_OPS, space_ops, &request, &reply);
    if (rc == ASH_NO_FRAMES)
        host_die("out of memory: %s has no frame left for this program's tables",
                 rpc_component(&rpc));
    rpc_end(&rpc);
    if (rc < 0)
        host_die("an mComponent refused a change of the address space (error %d)", -rc);
}

/* Of all changes those, or the pieces of them, that concern one part. A move lies in one part. */
static void send_pieces(uint32_t part)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < mm.ops_count; i++) {
        const struct vm_op *op = &mm.ops[i];
        for (uint64_t done = 0, run; done < op->count; done += run) {
            struct vm_op piece = *op;
            piece.first.n += done;
            run = vregions_run(piece.first, op->count - done);
            if (vregions_part(piece.first) != part)
                continue;
            piece.count = run;
            if (op->kind == VM_OP_MAP_FILE || op->kind == VM_OP_REMAP)
                piece.to.n += done;
            pieces[count++] = piece;
            if (count == OPS_MAX) {
                send_ops(part, pieces, count);
                count = 0;
            }
        }
    }
    if (count)
        send_ops(part, pieces, count);
}

static void flush_locked(void)
{
    prepare();
    if (all_in_part_of(mm.ops[0].first)) {
        send_ops(vregions_part(mm.ops[0].first), mm.ops, mm.ops_count);
    } else {
        for (uint32_t part = 0; part < PARTS_MAX; part++)
            send_pieces(part);
    }
    forget();
}

void mm_flush(void)
{
    if (!__atomic_load_n(&mm.ops_count, __ATOMIC_ACQUIRE))
        return;
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count)
        flush_locked();
    mutex_unlock(&mm.ops_lock);
}

void mm_flush_files(void)
{
    if (__atomic_load_n(&files_count, __ATOMIC_ACQUIRE))
        mm_flush();
}

bool changes_send_with(struct msg_line_fetch *request)
{
    if (!__atomic_load_n(&mm.ops_count, __ATOMIC_ACQUIRE))
        return false;
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count)
        prepare();
    if (mm.ops_count && !all_in_part_of(request->first))
        flush_locked();
    if (!mm.ops_count) {
        mutex_unlock(&mm.ops_lock);
        return false;
    }
    request->serial = ++serial;
    request->ops = mm.ops;
    request->ops_count = mm.ops_count;
    request->files = files;
    request->files_count = files_count;
    request->paths = paths;
    request->paths_size = paths_size;
    return true;
}

void changes_sent(void)
{
    forget();
    mutex_unlock(&mm.ops_lock);
}

void changes_hold(void)
{
    mutex_lock(&mm.ops_lock);
}

void changes_release(void)
{
    mutex_unlock(&mm.ops_lock);
}

/* Appends one; ops_lock is held. */
static void append(const struct vm_op *op)
{
    mm.ops[mm.ops_count] = *op;
    __atomic_store_n(&mm.ops_count, mm.ops_count + 1, __ATOMIC_RELEASE);
}

void changes_post(uint8_t kind, int prot, struct vpn first, struct vpn end, struct vpn to)
{
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count == OPS_MAX)
        flush_locked();
    append(&(struct vm_op){
        .kind = kind, .prot = (uint8_t)prot, .first = first, .count = end.n - first.n, .to = to});
    mutex_unlock(&mm.ops_lock);
}

/* ---- moves ---- */

/* Copies what a part has of lines to others, in another part; absent ones stay so. */
static void copy_lines(const struct vma *v, struct vpn from, struct vpn to, uint32_t count)
{
    struct rpc fetched, written;
    uint32_t part = vregions_part(from), to_part = vregions_part(to), n = 0;
    struct msg_line_fetch request = {
        .asid = asid_part(mm.asid, part), .first = from, .count = count};
    struct msg_line_fetch_reply reply;
    struct line_ref refs[FETCH_MAX_LINES];
    struct rpc_piece lines[FETCH_MAX_LINES];
    static const uint8_t zeros[LINE_SIZE];

    int rc = RPC_CALL_PART(&fetched, part, LINE_FETCH, line_fetch, &request, &reply);
    if (rc == 0 && reply.kinds_size != count)
        rc = ASH_MALFORMED;
    const uint8_t *data = rc == 0 ? reply.data : NULL;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        bool stored = reply.kinds[i] == LINE_DATA;
        if (!stored && !(v->file && reply.kinds[i] == LINE_ZERO))
            continue;
        refs[n].page.n = to.n + i;
        lines[n++] = (struct rpc_piece){stored ? data : zeros, LINE_SIZE};
        data += stored ? LINE_SIZE : 0;
    }
    written.connection = NULL;
    if (rc == 0 && n) {
        rc = rpc_post_lines(&written, mm.asid, to_part, refs, lines, n);
        if (rc == 0)
            rc = rpc_wait(&written);
    }
    rpc_end(&written);
    rpc_end(&fetched);
    if (rc < 0)
        host_die("lines cannot be moved between mComponents (error %d)", -rc);
}

static bool stays_in_part(struct vpn first, struct vpn to, uint64_t count)
{
    return vregions_part(first) == vregions_part(to) && vregions_run(first, count) == count &&
           vregions_run(to, count) == count;
}

static void append_mapping(const struct vma *v);

void changes_post_move(const struct vma *v, struct vpn first)
{
    uint64_t count = v->end.n - v->first.n;
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count)
        prepare();
    grant_or_die(v->first, v->end, v->prot & PROT_WRITE);
    if (mm.ops_count == OPS_MAX)
        flush_locked();
    if (stays_in_part(first, v->first, count)) {
        append(&(struct vm_op){
            .kind = VM_OP_REMAP, .prot = v->prot, .first = first, .count = count, .to = v->first});
    } else {
        append_mapping(v);
        flush_locked();
        for (uint64_t done = 0, run; done < count; done += run) {
            struct vpn from = {first.n + done}, to = {v->first.n + done};
            run = count - done < FETCH_MAX_LINES ? count - done : FETCH_MAX_LINES;
            run = vregions_run(from, run) < run ? vregions_run(from, run) : run;
            run = vregions_run(to, run) < run ? vregions_run(to, run) : run;
            copy_lines(v, from, to, (uint32_t)run);
        }
        append(&(struct vm_op){.kind = VM_OP_UNMAP, .first = first, .count = count});
    }
    mutex_unlock(&mm.ops_lock);
}

/* ---- mappings of files ---- */

static bool same_file(const struct mapped_file *a, const struct vma_file *b)
{
    return a->id.device == b->id.device && a->id.inode == b->id.inode &&
           a->id.generation == b->id.generation && a->version == b->version &&
           a->size_bytes == b->size_bytes;
}

/* The file's place among those of the changes, which it gets where it has none. ops_lock is held;
   what waits may be sent to make room. */
static uint16_t place_of(const struct vma_file *file)
{
    uint32_t i = 0, size = (uint32_t)strlen(file->path) + 1;
    while (i < files_count && !same_file(&files[i], file))
        i++;
    if (i < files_count)
        return (uint16_t)i;
    if (files_count == OPS_FILES_MAX || size > PATHS_BYTES - paths_size) {
        flush_locked();
        i = 0;
    }
    files[i] = (struct mapped_file){.id = file->id,
                                    .version = file->version,
                                    .size_bytes = file->size_bytes,
                                    .path = paths_size};
    memcpy(paths + paths_size, file->path, size);
    paths_size += size;
    __atomic_store_n(&files_count, i + 1, __ATOMIC_RELEASE);
    return (uint16_t)i;
}

/* Appends the mapping of a vma; ops_lock is held, there is room for two. */
static void append_mapping(const struct vma *v)
{
    struct vm_op op = {.kind = v->file ? VM_OP_MAP_FILE : VM_OP_MAP,
                       .prot = v->prot,
                       .first = v->first,
                       .count = v->end.n - v->first.n};
    if (v->file) {
        op.file = place_of(v->file);
        op.to.n = v->file_line;
    }
    append(&op);
}

void changes_post_file(const struct vma *v)
{
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count == OPS_MAX)
        flush_locked();
    append_mapping(v);
    mutex_unlock(&mm.ops_lock);
}
