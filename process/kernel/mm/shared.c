/* Vmas of segments; see shared.h. */
#include "shared.h"

#include <linux/mman.h>

#include "../entry/life.h"
#include "../excache/excache.h"
#include "../host/host.h"
#include "../rpc/node.h"
#include "../rpc/rpc.h"
#include "vmas.h"

#define MAP_FIXED     0x10
#define MAP_NORESERVE 0x4000

enum { GIVEN_UP_PART = 4 }; /* of the ExCache's slots: one in so many */

static struct process *owner;
static const uint32_t *buckets; /* the node's page; NULL: there is none */
static uint64_t given_up;       /* lines; protected by mm.lock */

void shared_init(struct process *p, int page_fd)
{
    owner = p;
    if (!buckets) {
        long at = host_call(__NR_mmap, 0, SEGMENT_BUCKETS * sizeof *buckets, PROT_READ, MAP_SHARED,
                            page_fd, 0);
        if (at < 0 && at > -4096)
            host_die("the node's page of segments cannot be mapped (error %ld)", -at);
        buckets = (const uint32_t *)at;
    }
    host_call(__NR_close, page_fd);
}

bool shared_any(void)
{
    return __atomic_load_n(&given_up, __ATOMIC_RELAXED) != 0;
}

/* ---- requests ---- */

/* SEGMENT_CALL(FETCH, fetch, &request, &reply): without descriptors. 0 or a negative error. */
#define SEGMENT_CALL(OP, name, request, reply)                                                     \
    ({                                                                                             \
        uint8_t body_[128];                                                                        \
        int fds_[NODE_FDS_MAX], count_ = 0;                                                        \
        long rc_ = msg_segment_##name##_encode((request), body_, sizeof body_);                    \
        if (rc_ >= 0)                                                                              \
            rc_ = node_call(owner, OP_SEGMENT_##OP, body_, (size_t)rc_, sizeof body_, fds_,        \
                            &count_);                                                              \
        if (rc_ >= 0)                                                                              \
            rc_ = msg_segment_##name##_reply_decode((reply), body_, (size_t)rc_);                  \
        rc_;                                                                                       \
    })

static long attach(uint64_t segment, struct vpn first, struct vpn end, uint64_t line)
{
    struct msg_segment_attach request = {
        .segment = segment, .first = first, .count = end.n - first.n, .line = line};
    struct msg_segment_attach_reply reply;
    return SEGMENT_CALL(ATTACH, attach, &request, &reply);
}

void shared_detach(struct vpn first, struct vpn end)
{
    struct msg_segment_detach request = {.first = first, .count = end.n - first.n};
    struct msg_segment_detach_reply reply;
    long rc = SEGMENT_CALL(DETACH, detach, &request, &reply);
    if (rc < 0)
        host_die("the node (ashlar-process) does not unmap shared memory (error %ld)", -rc);
}

/* Opens a segment. Returns a descriptor of its memory, or a negative error. */
static long open_segment(const struct shared_source *source, uint64_t bytes, uint64_t *number)
{
    struct node_fds sent = {.fds = {mm.uffd, source->fd},
                            .count = source->kind == SEGMENT_HOST ? 2 : 1};
    struct msg_segment_open request = {.kind = (uint8_t)source->kind,
                                       .writable = source->may_write,
                                       .size_bytes =
                                           source->kind == SEGMENT_SYSV ? source->id : bytes,
                                       .limit = given_up,
                                       .robust = robust_table_address(),
                                       .path = source->attr ? source->name : ""};
    struct msg_segment_open_reply reply;
    size_t room = PATH_LIMIT + 256;
    int fds[NODE_FDS_MAX], count = 0;
    uint8_t *body = host_alloc(room);

    if (!body)
        return -ENOMEM;
    if (source->attr)
        request.file = source->attr->id;
    long rc = msg_segment_open_encode(&request, body, room);
    if (rc >= 0)
        rc = node_call_sending(owner, OP_SEGMENT_OPEN, body, (size_t)rc, room, &sent, fds, &count);
    if (rc >= 0)
        rc = msg_segment_open_reply_decode(&reply, body, (size_t)rc);
    host_free(body, room);
    if (rc >= 0 && count != 1)
        rc = ASH_MALFORMED;
    if (rc < 0) {
        while (count > 0)
            host_call(__NR_close, fds[--count]);
        return rc;
    }
    *number = reply.segment;
    return fds[0];
}

/* ---- mapping ---- */

static int host_prot(int prot)
{
    return prot & PROT_EXEC ? prot | PROT_READ : prot;
}

/*
 * Nobody touches the range before the node knows of it, or a line could leave while it is being
 * written to: it becomes accessible last.
 */
static long map_segment(int fd, uint64_t number, struct vpn first, struct vpn end, uint64_t line,
                        int prot)
{
    uint64_t address = vpn_address(first), size = vpn_address(end) - address;
    long rc = host_call(__NR_mmap, address, size, PROT_NONE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
                        fd, line << LINE_SHIFT);
    if (rc < 0 && rc > -4096)
        return rc;
    uffd_register(address, size);
    rc = attach(number, first, end, line);
    if (rc < 0)
        uffd_unmap(first, end);
    else if (host_prot(prot))
        rc = host_call(__NR_mprotect, address, size, host_prot(prot));
    return rc;
}

static long map_new(struct vpn first, struct vpn end, int prot, const struct shared_source *source,
                    uint64_t offset)
{
    struct vma_file *f = host_alloc(sizeof *f);
    if (!f || !vmas_room()) {
        if (f)
            host_free(f, sizeof *f);
        return -ENOMEM;
    }
    f->users = 1;
    f->may_write = source->may_write;
    f->of_storage = source->kind == SEGMENT_FILE;
    f->sysv = source->kind == SEGMENT_SYSV;
    if (source->attr) {
        f->id = source->attr->id;
        f->size_bytes = source->attr->size_bytes;
    }
    text_copy(f->path, sizeof f->path, source->name);

    mm_unmap_locked(first, end, true);
    if (!given_up) {
        __atomic_store_n(&given_up, excache_budget() / GIVEN_UP_PART, __ATOMIC_RELAXED);
        excache_give_up((uint32_t)given_up);
    }
    struct vma v = {.first = first,
                    .end = end,
                    .file = f,
                    .file_line = offset >> LINE_SHIFT,
                    .prot = (uint8_t)(prot & 7)};
    long rc = open_segment(source, (end.n - first.n) << LINE_SHIFT, &f->segment);
    if (rc >= 0) {
        int fd = (int)rc;
        rc = map_segment(fd, f->segment, first, end, v.file_line, prot);
        host_call(__NR_close, fd);
    }
    if (rc < 0) {
        vma_file_put(f);
        return rpc_errno((int)rc);
    }
    vmas_insert(&v);
    return (long)vpn_address(first);
}

long shared_map(uint64_t hint, uint64_t length, int prot, int flags,
                const struct shared_source *source, uint64_t offset)
{
    struct vpn first, end;

    if (length == 0 || offset & (LINE_SIZE - 1))
        return -EINVAL;
    if (length > WINDOW_END ||
        (source->kind == SEGMENT_ANONYMOUS && !(flags & MAP_NORESERVE) && length > mm.memory_bytes))
        return -ENOMEM;
    if (!mm.can_share)
        return -ENODEV;
    rwlock_write(&mm.lock);
    long rc = mm_place(hint, length, flags, &first, &end);
    if (rc == 0 && !vmas_allowed_at(first, end, false))
        rc = -ENOMEM;
    if (rc == 0)
        rc = map_new(first, end, prot, source, offset);
    rwlock_write_end(&mm.lock);
    return rc;
}

long shared_relocate(const struct vma *vma, struct vpn first, struct vpn end, struct vpn to)
{
    uint64_t size = vpn_address(end) - vpn_address(first), line = vma->file_line;
    struct vpn to_end = {to.n + (end.n - first.n)};
    int prot = host_prot(vma->prot);
    uint64_t number = vma->file->segment;
    line += first.n - vma->first.n;

    host_call(__NR_mprotect, vpn_address(first), size, PROT_NONE);
    long rc = host_call(__NR_mremap, vpn_address(first), size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                        vpn_address(to));
    if (rc < 0 && rc > -4096) {
        host_call(__NR_mprotect, vpn_address(first), size, prot);
        return rc;
    }
    uffd_register(vpn_address(to), size);
    rc = attach(number, to, to_end, line);
    if (rc < 0)
        host_die("the node (ashlar-process) does not move shared memory (error %ld)", -rc);
    shared_detach(first, end);
    return prot ? host_call(__NR_mprotect, vpn_address(to), size, prot) : 0;
}

/*
 * Maps [first, end) as line `line` and what follows of the segment of `like`. `source` is where the
 * host has `skip` lines of it before that one: mapping them once more, and longer, is the host's
 * way to get at the same file.
 */
static long map_again(const struct vma *like, uint64_t source, uint64_t skip, struct vpn first,
                      struct vpn end, uint64_t line)
{
    uint64_t size = (end.n - first.n) << LINE_SHIFT, before = skip << LINE_SHIFT;
    struct vma v = {
        .first = first, .end = end, .file = like->file, .file_line = line, .prot = like->prot};
    long rc = host_call(__NR_mremap, source, 0, before + size, MREMAP_MAYMOVE);
    if (rc < 0 && rc > -4096)
        return rc;
    uint64_t at = (uint64_t)rc;
    host_call(__NR_mprotect, at, before + size, PROT_NONE);
    if (before)
        host_call(__NR_munmap, at, before);
    rc = host_call(__NR_mremap, at + before, size, size, MREMAP_MAYMOVE | MREMAP_FIXED,
                   vpn_address(first));
    if (rc < 0 && rc > -4096)
        return rc;
    uffd_register(vpn_address(first), size);
    rc = attach(like->file->segment, first, end, line);
    if (rc < 0) {
        uffd_unmap(first, end);
        return rpc_errno((int)rc);
    }
    if (host_prot(v.prot))
        rc = host_call(__NR_mprotect, vpn_address(first), size, host_prot(v.prot));
    vma_file_get(v.file);
    vmas_insert(&v);
    return rc;
}

long shared_extend(const struct vma *like, struct vpn first, struct vpn end)
{
    return map_again(like, vpn_address(first) - LINE_SIZE, 1, first, end,
                     like->file_line + (first.n - like->first.n));
}

long shared_view(struct vpn page, uint64_t count, int flags, uint64_t to)
{
    struct vpn first, end;
    const struct vma *found = mm_find(page);
    if (!found)
        return -EFAULT;
    if (!vma_shared(found))
        return -EINVAL;
    if (!(flags & MREMAP_MAYMOVE) || !vmas_room())
        return -ENOMEM;
    struct vma like = *found;
    long rc = mm_place(to, count << LINE_SHIFT, flags & MREMAP_FIXED ? MAP_FIXED : 0, &first, &end);
    if (rc == 0 && flags & MREMAP_FIXED && first.n <= page.n && page.n < end.n)
        rc = -EINVAL;
    if (rc == 0 && !vmas_allowed_at(first, end, false))
        rc = -ENOMEM;
    if (rc < 0)
        return rc;
    vma_file_get(like.file);
    mm_unmap_locked(first, end, true);
    rc = map_again(&like, vpn_address(page), 0, first, end,
                   like.file_line + (page.n - like.first.n));
    vma_file_put(like.file);
    return rc < 0 ? rc : (long)vpn_address(first);
}

/* ---- faults ---- */

int shared_fault(const struct vma *vma, struct vpn page, bool write)
{
    struct msg_segment_fetch request = {.segment = vma->file->segment,
                                        .line = vma->file_line + (page.n - vma->first.n),
                                        .write = write};
    struct msg_segment_fetch_reply reply;
    long rc = SEGMENT_CALL(FETCH, fetch, &request, &reply);
    STAT_ADD(misses, 1);
    if (rc == ASH_NO_FRAMES)
        host_die("out of memory: the mComponent has no frame left for shared lines");
    if (rc < 0)
        host_die("the node (ashlar-process) did not bring shared memory at %lx (error %ld)",
                 vpn_address(page), -rc);
    switch (reply.result) {
    case LINE_DATA:
        return EXCACHE_OK;
    case LINE_IO_ERROR:
        return SHARED_AWAY;
    }
    return EXCACHE_BUSERR;
}

void shared_fork_child(void)
{
    struct node_fds sent = {.fds = {mm.uffd}, .count = 1};
    uint8_t body[16];
    int fds[NODE_FDS_MAX], count = 0;
    bool any = false;

    for (uint32_t i = 0; i < mm.vma_count; i++)
        any |= vma_shared(&mm.vmas[i]);
    if (!any)
        return;
    long rc = node_call_sending(owner, OP_SEGMENT_FORKED, body, 0, sizeof body, &sent, fds, &count);
    if (rc < 0)
        host_die("the node (ashlar-process) does not share memory with this fork (error %ld)", -rc);
}

/* ---- files ---- */

long shared_sync(uint64_t address, uint64_t length, bool durable)
{
    uint64_t end = vpn_of(address + length + LINE_SIZE - 1).n;
    long result = 0;

    rwlock_read(&mm.lock);
    for (uint32_t i = mm_find_index(vpn_of(address));
         i < mm.vma_count && mm.vmas[i].first.n < end && result == 0; i++) {
        const struct vma *v = &mm.vmas[i];
        if (!vma_shared(v) || !v->file->of_storage)
            continue;
        uint64_t from = vpn_of(address).n > v->first.n ? vpn_of(address).n : v->first.n;
        uint64_t to = end < v->end.n ? end : v->end.n;
        struct msg_segment_sync request = {.segment = v->file->segment,
                                           .line = v->file_line + (from - v->first.n),
                                           .count = to - from,
                                           .durable = durable};
        struct msg_segment_sync_reply reply;
        result = SEGMENT_CALL(SYNC, sync, &request, &reply);
    }
    rwlock_read_end(&mm.lock);
    return result < 0 ? rpc_errno((int)result) : 0;
}

/* Of a part of a vma; the error that Linux has for one that is none of a file that may be changed.
 */
static long remove_part(const struct vma *v, uint64_t first, uint64_t end)
{
    if (v->flags & VMA_LOCKED || !v->file)
        return -EINVAL;
    if (!vma_shared(v) || !v->file->may_write)
        return -EACCES;
    struct msg_segment_remove request = {.segment = v->file->segment,
                                         .line = v->file_line + (first - v->first.n),
                                         .count = end - first};
    struct msg_segment_remove_reply reply;
    return rpc_errno((int)SEGMENT_CALL(REMOVE, remove, &request, &reply));
}

long shared_remove(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    long rc = 0, gap = 0;
    if (!mm_range(address, length, &first, &end))
        return -ENOMEM;
    rwlock_read(&mm.lock);
    uint64_t at = first.n;
    for (uint32_t i = mm_find_index(first); at < end.n && rc == 0; i++) {
        const struct vma *v = i < mm.vma_count ? &mm.vmas[i] : NULL;
        if (!v || v->first.n > at)
            gap = -ENOMEM;
        if (!v || v->first.n >= end.n)
            break;
        at = v->first.n > at ? v->first.n : at;
        uint64_t to = v->end.n < end.n ? v->end.n : end.n;
        rc = remove_part(v, at, to);
        at = to;
    }
    rwlock_read_end(&mm.lock);
    return rc < 0 ? rc : gap;
}

bool shared_file(const struct file_id *id)
{
    return __atomic_load_n(&buckets[segment_bucket(id->device, id->inode)], __ATOMIC_ACQUIRE) != 0;
}

int shared_change(const struct file_id *id, enum segment_change what, uint64_t offset,
                  uint64_t length)
{
    if (!shared_file(id))
        return 0;
    struct msg_segment_change request = {
        .file = *id, .what = (uint8_t)what, .offset = offset, .length = length};
    struct msg_segment_change_reply reply;
    long rc = SEGMENT_CALL(CHANGE, change, &request, &reply);
    return rc < 0 ? (int)rpc_errno((int)rc) : 0;
}

/* ---- the host's memory files ---- */

bool shared_host_files(void)
{
    return __atomic_load_n(&buckets[SEGMENT_HOST_BUCKET], __ATOMIC_ACQUIRE) != 0;
}

/* Sends a request that is in body, with the file's descriptor. Returns the reply's size. */
static long call_about(int fd, uint16_t op, uint8_t *body, long size, size_t room)
{
    struct node_fds sent = {.fds = {fd}, .count = 1};
    int fds[NODE_FDS_MAX], count = 0;
    if (size < 0)
        return size;
    return node_call_sending(owner, op, body, (size_t)size, room, &sent, fds, &count);
}

enum { IO_ROOM = SEGMENT_IO_MAX + 64 };

long shared_pull(int fd, uint64_t offset, void *to, uint32_t size, bool *found)
{
    struct msg_segment_pull request = {.offset = offset, .length = size};
    struct msg_segment_pull_reply reply = {0};
    uint8_t *body = host_alloc(IO_ROOM);
    if (!body)
        return -ENOMEM;
    long rc = call_about(fd, OP_SEGMENT_PULL, body,
                         msg_segment_pull_encode(&request, body, IO_ROOM), IO_ROOM);
    if (rc >= 0)
        rc = msg_segment_pull_reply_decode(&reply, body, (size_t)rc);
    *found = rc < 0 || reply.found;
    if (rc == 0) {
        rc = reply.data_size < size ? reply.data_size : size;
        memcpy(to, reply.data, (size_t)rc);
    }
    host_free(body, IO_ROOM);
    return rc < 0 ? rpc_errno((int)rc) : rc;
}

long shared_push(int fd, uint64_t offset, const void *from, uint32_t size, bool *found)
{
    struct msg_segment_push request = {.offset = offset, .data_size = size};
    struct msg_segment_push_reply reply = {0};
    uint8_t *body = host_alloc(IO_ROOM);
    if (!body)
        return -ENOMEM;
    long rc = msg_segment_push_encode(&request, body, 64);
    if (rc >= 0) {
        memcpy(body + rc, from, size);
        rc = call_about(fd, OP_SEGMENT_PUSH, body, rc + size, IO_ROOM);
    }
    if (rc >= 0)
        rc = msg_segment_push_reply_decode(&reply, body, (size_t)rc);
    *found = rc < 0 || reply.found;
    host_free(body, IO_ROOM);
    return rc < 0 ? rpc_errno((int)rc) : size;
}

long shared_host_call(int fd, enum segment_host_call call, uint32_t mode, uint64_t offset,
                      uint64_t length, bool *found)
{
    struct msg_segment_host_call request = {
        .call = (uint8_t)call, .mode = mode, .offset = offset, .length = length};
    struct msg_segment_host_call_reply reply = {0};
    uint8_t body[64];
    *found = false;
    if (!shared_host_files())
        return 0;
    long rc = call_about(fd, OP_SEGMENT_HOST_CALL, body,
                         msg_segment_host_call_encode(&request, body, sizeof body), sizeof body);
    if (rc >= 0)
        rc = msg_segment_host_call_reply_decode(&reply, body, (size_t)rc);
    *found = rc < 0 || reply.found;
    return rc < 0 ? rpc_errno((int)rc) : (long)reply.result;
}

/* ---- System V ---- */

static long ask(uint16_t op, uint8_t *body, long size, size_t room)
{
    int fds[NODE_FDS_MAX], count = 0;
    return size < 0 ? size : node_call(owner, op, body, (size_t)size, room, fds, &count);
}

long shared_shm_get(const struct msg_shm_get *request, uint32_t *id)
{
    struct msg_shm_get_reply reply;
    uint8_t body[64];
    long rc = ask(OP_SHM_GET, body, msg_shm_get_encode(request, body, sizeof body), sizeof body);
    if (rc >= 0)
        rc = msg_shm_get_reply_decode(&reply, body, (size_t)rc);
    if (rc == 0)
        *id = reply.id;
    return rc < 0 ? rpc_errno((int)rc) : 0;
}

long shared_shm_control(const struct msg_shm_control *request, struct msg_shm_control_reply *reply)
{
    uint8_t body[128];
    long rc =
        ask(OP_SHM_CONTROL, body, msg_shm_control_encode(request, body, sizeof body), sizeof body);
    if (rc >= 0)
        rc = msg_shm_control_reply_decode(reply, body, (size_t)rc);
    return rc < 0 ? rpc_errno((int)rc) : 0;
}

long shared_shm_unmap(uint64_t address)
{
    rwlock_write(&mm.lock);
    uint64_t at = vpn_of(address).n, number = 0;
    for (uint32_t i = mm_find_index(vpn_of(address)); i < mm.vma_count;) {
        const struct vma v = mm.vmas[i];
        /* Of a mapping that was cut into pieces, each is where it was from the address given. */
        bool its = vma_shared(&v) && v.file->sysv && v.first.n >= at &&
                   v.first.n - at == v.file_line && (!number || v.file->segment == number);
        if (!its) {
            if (number && v.first.n - at > mm.memory_bytes >> LINE_SHIFT)
                break;
            i++;
            continue;
        }
        number = v.file->segment;
        mm_unmap_locked(v.first, v.end, true);
        i = mm_find_index(v.first);
    }
    rwlock_write_end(&mm.lock);
    return number ? 0 : -EINVAL;
}
