/*
 * See changes.h. Messages: none of its own but where changes.h says so, and one VREGION_GRANT for
 * each new GiB of addresses.
 *
 * mm.ops_lock is held from before the changes are sent until they are answered, and ops_count stays
 * as it was until then: so who fetches a line meanwhile, by another connection, waits for that.
 */
#include "changes.h"

#include "../host/host.h"
#include "../rpc/rpc.h"

enum { PATHS_BYTES = PATH_LIMIT };

/* What mm.ops refers to; protected by mm.ops_lock, the count read without. */
static struct mapped_file files[OPS_FILES_MAX];
static uint32_t files_count;
static uint8_t *paths;
static uint32_t paths_size;

void changes_init(void)
{
    mm.ops = host_alloc(OPS_MAX * sizeof *mm.ops);
    mm.vregions = host_alloc(VREGION_COUNT / 8);
    paths = host_alloc(PATHS_BYTES);
    host_assert(mm.ops && mm.vregions && paths);
}

static void grant(uint32_t first, uint32_t count)
{
    struct rpc rpc;
    struct msg_vregion_grant request = {.asid = mm.asid, .first = first, .count = count};
    struct msg_vregion_grant_reply reply;
    int rc = RPC_CALL(&rpc, MEMORY, VREGION_GRANT, vregion_grant, &request, &reply);
    rpc_end(&rpc);
    if (rc < 0)
        host_die("the home mComponent grants no vRegion %u+%u: out of memory (error %d)", first,
                 count, -rc);
    for (uint32_t i = first; i < first + count; i++)
        mm.vregions[i / 8] |= (uint8_t)(1 << i % 8);
}

/* Asks for the vRegions of [first, end) that are not granted yet. ops_lock is held. */
static void grant_missing(struct vpn first, struct vpn end)
{
    uint32_t at = (uint32_t)(first.n / VREGION_LINES);
    uint32_t last = (uint32_t)((end.n - 1) / VREGION_LINES);
    while (at <= last) {
        uint32_t run = 0;
        while (at + run <= last && run < GRANT_MAX &&
               !(mm.vregions[(at + run) / 8] >> (at + run) % 8 & 1))
            run++;
        if (run)
            grant(at, run);
        at += run ? run : 1;
    }
}

/* What has to be granted before the changes are sent. ops_lock is held. */
static void prepare(void)
{
    for (uint32_t i = 0; i < mm.ops_count; i++) {
        const struct vm_op *op = &mm.ops[i];
        if (op->kind == VM_OP_MAP || op->kind == VM_OP_MAP_FILE)
            grant_missing(op->first, (struct vpn){op->first.n + op->count});
        if (op->kind == VM_OP_REMAP)
            grant_missing(op->to, (struct vpn){op->to.n + op->count});
    }
}

static void forget(void)
{
    __atomic_store_n(&files_count, 0, __ATOMIC_RELEASE);
    paths_size = 0;
    __atomic_store_n(&mm.ops_count, 0, __ATOMIC_RELEASE);
}

static void flush_locked(void)
{
    struct rpc rpc;
    struct msg_space_ops_reply reply;
    prepare();
    struct msg_space_ops request = {.asid = mm.asid,
                                    .ops = mm.ops,
                                    .ops_count = mm.ops_count,
                                    .files = files,
                                    .files_count = files_count,
                                    .paths = paths,
                                    .paths_size = paths_size};
    int rc = RPC_CALL(&rpc, MEMORY, SPACE_OPS, space_ops, &request, &reply);
    rpc_end(&rpc);
    if (rc < 0)
        host_die("the home mComponent refused a change of the address space (error %d)", -rc);
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
    if (!mm.ops_count) {
        mutex_unlock(&mm.ops_lock);
        return false;
    }
    prepare();
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

void changes_post_file(const struct vma *v)
{
    mutex_lock(&mm.ops_lock);
    if (mm.ops_count == OPS_MAX)
        flush_locked();
    append(&(struct vm_op){.kind = VM_OP_MAP_FILE,
                           .prot = v->prot,
                           .file = place_of(v->file),
                           .first = v->first,
                           .count = v->end.n - v->first.n,
                           .to = {v->file_line}});
    mutex_unlock(&mm.ops_lock);
}
