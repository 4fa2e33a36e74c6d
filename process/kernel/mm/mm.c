/*
 * Changes of the address space; see mm.h.
 *
 * Each change: take mm.lock for writing, check, change the host mapping, the vma array and the line
 * words, post the operation for the home. Messages: none, see changes.h.
 */
#include <linux/mman.h>

#include "../entry/rewrite.h"
#include "../entry/stubs.h"
#include "../excache/excache.h"
#include "../files/files.h"
#include "../host/host.h"
#include "changes.h"
#include "shared.h"
#include "vmas.h"

#define MAP_FIXED           0x10
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_NORESERVE       0x4000

struct mm mm;

/* A page-aligned [first, end) out of bytes; false where it leaves the window or is empty. */
static bool lines_of(uint64_t address, uint64_t length, struct vpn *first, struct vpn *end)
{
    if (length == 0 || length > WINDOW_END || address & (LINE_SIZE - 1))
        return false;
    length = (length + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    if (address < WINDOW_START || address > WINDOW_END || length > WINDOW_END - address ||
        stubs_reserved(address, address + length))
        return false;
    *first = vpn_of(address);
    *end = vpn_of(address + length);
    return true;
}

void mm_init(struct asid asid, uint64_t memory_bytes, uint64_t excache_bytes, int policy,
             bool no_move)
{
    mm.asid = asid;
    mm.memory_bytes = memory_bytes;
    mm.vmas = host_alloc((VMA_MAX + 2) * sizeof *mm.vmas);
    host_assert(mm.vmas);
    changes_init();
    mm.uffd = uffd_open(&mm.can_move, &mm.can_share);
    mm.can_move = mm.can_move && !no_move;
    excache_init(excache_bytes, policy);
}

/* ---- changes ---- */

static struct vpn later(struct vpn a, struct vpn b)
{
    return a.n > b.n ? a : b;
}

static struct vpn earlier(struct vpn a, struct vpn b)
{
    return a.n < b.n ? a : b;
}

void mm_unmap_locked(struct vpn first, struct vpn end, bool tell)
{
    if (vmas_free(first, end))
        return;
    excache_forget(first, end);
    rewrite_forget(first, end);
    uffd_unmap(first, end);
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        struct vpn low = later(mm.vmas[i].first, first), high = earlier(mm.vmas[i].end, end);
        if (vma_shared(&mm.vmas[i]))
            shared_detach(low, high);
        else if (tell)
            changes_post(VM_OP_UNMAP, 0, low, high, (struct vpn){0});
    }
    vmas_remove(first, end);
}

int mm_place(uint64_t hint, uint64_t length, int flags, struct vpn *first, struct vpn *end)
{
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (hint & (LINE_SIZE - 1))
            return -EINVAL;
        if (!lines_of(hint, length, first, end))
            return -ENOMEM;
        if (flags & MAP_FIXED_NOREPLACE && !vmas_free(*first, *end))
            return -EEXIST;
        return 0;
    }
    hint &= ~(uint64_t)(LINE_SIZE - 1);
    if (hint && lines_of(hint, length, first, end) && vmas_free(*first, *end))
        return 0;
    uint64_t count = (length + LINE_SIZE - 1) >> LINE_SHIFT;
    *first = vmas_gap(count, vpn_of(mm.mmap_top));
    if (!first->n)
        return -ENOMEM;
    *end = (struct vpn){first->n + count};
    return stubs_reserved(vpn_address(*first), vpn_address(*end)) ? -ENOMEM : 0;
}

static long map_locked(struct vpn first, struct vpn end, int prot, struct vma_file *file,
                       uint64_t offset, enum vma_name name)
{
    struct vma v = {.first = first,
                    .end = end,
                    .file = file,
                    .file_line = offset >> LINE_SHIFT,
                    .prot = (uint8_t)(prot & 7),
                    .name = (uint8_t)name};
    if (!vmas_room())
        return -ENOMEM;
    mm_unmap_locked(first, end, false);
    long rc = uffd_map(first, end, prot);
    if (rc < 0)
        return rc;
    vmas_insert(&v);
    if (file)
        changes_post_file(&v);
    else
        changes_post(VM_OP_MAP, prot & 7, first, end, (struct vpn){0});
    return (long)vpn_address(first);
}

long mm_map(uint64_t hint, uint64_t length, int prot, int flags, const struct vnode_file *file,
            uint64_t offset, enum vma_name name)
{
    struct vma_file *f = NULL;
    struct vpn first, end;

    if (length == 0 || offset & (LINE_SIZE - 1))
        return -EINVAL;
    if (length > WINDOW_END)
        return -ENOMEM;
    /* Linux's heuristic overcommit: refuse only what could never fit. */
    if (!file && prot & PROT_WRITE && !(flags & MAP_NORESERVE) && length > mm.memory_bytes)
        return -ENOMEM;
    if (file) {
        f = host_alloc(sizeof *f);
        if (!f)
            return -ENOMEM;
        f->users = 1;
        f->id = file->attr.id;
        f->version = file_version(&file->attr);
        f->size_bytes = file->attr.size_bytes;
        text_copy(f->path, sizeof f->path, file->path);
    }
    rwlock_write(&mm.lock);
    long rc = mm_place(hint, length, flags, &first, &end);
    if (rc == 0)
        rc = map_locked(first, end, prot, f, offset, name);
    rwlock_write_end(&mm.lock);
    if (rc < 0)
        vma_file_put(f);
    return rc;
}

long mm_unmap(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (address & (LINE_SIZE - 1) || length == 0)
        return -EINVAL;
    if (!lines_of(address, length, &first, &end))
        return -EINVAL;
    rwlock_write(&mm.lock);
    long rc = vmas_room() ? 0 : -ENOMEM;
    if (rc == 0)
        mm_unmap_locked(first, end, true);
    rwlock_write_end(&mm.lock);
    return rc;
}

/* Whether [first, end) is mapped without a hole. */
static bool covered(struct vpn first, struct vpn end)
{
    uint32_t i = mm_find_index(first);
    for (uint64_t at = first.n; at < end.n; at = mm.vmas[i++].end.n)
        if (i == mm.vma_count || mm.vmas[i].first.n > at)
            return false;
    return true;
}

void mm_usage(uint64_t *lines, uint64_t *data_lines)
{
    *lines = *data_lines = 0;
    rwlock_read(&mm.lock);
    for (uint32_t i = 0; i < mm.vma_count; i++) {
        const struct vma *v = &mm.vmas[i];
        *lines += v->end.n - v->first.n;
        if (v->prot & PROT_WRITE && v->name != VMA_STACK)
            *data_lines += v->end.n - v->first.n;
    }
    rwlock_read_end(&mm.lock);
}

bool mm_covered(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (length == 0)
        return true;
    if (!lines_of(address, length, &first, &end))
        return false;
    rwlock_read(&mm.lock);
    bool yes = covered(first, end);
    rwlock_read_end(&mm.lock);
    return yes;
}

long mm_resident(struct vpn first, uint64_t count, uint8_t *out)
{
    rwlock_read(&mm.lock);
    long rc = covered(first, (struct vpn){first.n + count}) ? 0 : -ENOMEM;
    for (uint64_t i = 0; rc == 0 && i < count; i++)
        out[i] = vma_shared(mm_find((struct vpn){first.n + i}))
                     ? host_call(__NR_mincore, vpn_address(first) + (i << LINE_SHIFT), LINE_SIZE,
                                 &out[i]) == 0 &&
                           out[i] & 1
                     : excache_has((struct vpn){first.n + i});
    rwlock_read_end(&mm.lock);
    return rc;
}

long mm_protect(uint64_t address, uint64_t length, int prot)
{
    struct vpn first, end;
    if (address & (LINE_SIZE - 1) || prot & ~(7 | PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!lines_of(address, length, &first, &end))
        return -ENOMEM;
    prot &= 7;
    rwlock_write(&mm.lock);
    long rc = covered(first, end) && vmas_room() ? 0 : -ENOMEM;
    for (uint32_t i = mm_find_index(first);
         rc == 0 && prot & PROT_WRITE && i < mm.vma_count && mm.vmas[i].first.n < end.n; i++)
        if (vma_shared(&mm.vmas[i]) && !mm.vmas[i].file->may_write)
            rc = -EACCES;
    if (rc == 0 && !(prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
        excache_flush_out(first, end);
    if (rc == 0 && prot & PROT_WRITE)
        rewrite_restore(first, end);
    if (rc == 0)
        rc = uffd_protect(first, end, prot);
    if (rc == 0) {
        vmas_cut(first);
        vmas_cut(end);
        for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n;
             i++) {
            mm.vmas[i].prot = (uint8_t)prot;
            if (!vma_shared(&mm.vmas[i]))
                changes_post(VM_OP_PROTECT, prot, mm.vmas[i].first, mm.vmas[i].end, (struct vpn){0});
        }
        vmas_join(first, end);
    }
    rwlock_write_end(&mm.lock);
    return rc;
}

long mm_discard(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (address & (LINE_SIZE - 1))
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!lines_of(address, length, &first, &end))
        return -ENOMEM;
    rwlock_write(&mm.lock);
    long rc = covered(first, end) ? 0 : -ENOMEM;
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        struct vpn low = later(mm.vmas[i].first, first), high = earlier(mm.vmas[i].end, end);
        if (vma_shared(&mm.vmas[i]))
            continue; /* the content is the segment's, and stays */
        excache_forget(low, high);
        uffd_drop(vpn_address(low), vpn_address(high) - vpn_address(low));
        changes_post(VM_OP_DISCARD, 0, low, high, (struct vpn){0});
    }
    rwlock_write_end(&mm.lock);
    return rc;
}

/* Moves the lines of one vma's part to a free place. */
static long relocate(struct vpn first, struct vpn end, struct vpn to)
{
    const struct vma *found = mm_find(first);
    uint64_t count = end.n - first.n;
    struct vma v = *found;

    if (vma_shared(found)) {
        long rc = shared_relocate(found, first, end, to);
        if (rc < 0)
            return rc;
    } else {
        excache_quiesce();
        rewrite_restore(first, end);
        long rc = uffd_relocate(vpn_address(first), count << LINE_SHIFT, vpn_address(to));
        if (rc < 0)
            return rc;
        excache_moved(first, to, count);
    }
    v.file_line += first.n - v.first.n;
    vma_file_get(v.file);
    vmas_remove(first, end);
    v.first = to;
    v.end = (struct vpn){to.n + count};
    vmas_insert(&v);
    if (!vma_shared(&v))
        changes_post(VM_OP_REMAP, v.prot, first, end, to);
    return 0;
}

/* Maps [first, end) as the continuation of the vma that ends or ended before it. */
static long extend(const struct vma *like, struct vpn first, struct vpn end)
{
    uint64_t line = like->file_line + (first.n - like->first.n);
    if (vma_shared(like))
        return shared_extend(like, first, end);
    long rc = map_locked(first, end, like->prot, vma_file_get(like->file), line << LINE_SHIFT,
                         like->name);
    if (rc < 0)
        vma_file_put(like->file);
    return rc < 0 ? rc : 0;
}

static long remap_locked(struct vpn first, struct vpn old_end, struct vpn new_end, int flags,
                         uint64_t to)
{
    uint32_t i = mm_find_index(first);
    if (i == mm.vma_count || mm.vmas[i].first.n > first.n || mm.vmas[i].end.n < old_end.n)
        return -EFAULT;
    if (!vmas_room())
        return -ENOMEM;
    uint64_t count = new_end.n - first.n;
    struct vma like = mm.vmas[i];

    if (flags & MREMAP_FIXED) {
        struct vpn target, target_end;
        if (!lines_of(to, count << LINE_SHIFT, &target, &target_end) ||
            (target.n < old_end.n && first.n < target_end.n))
            return -EINVAL;
        mm_unmap_locked(target, target_end, true);
        if (new_end.n < old_end.n) {
            mm_unmap_locked(new_end, old_end, true);
            old_end = new_end;
        }
        long rc = relocate(first, old_end, target);
        like.file_line += first.n - like.first.n;
        like.first = target;
        if (rc == 0 && new_end.n > old_end.n)
            rc = extend(&like, (struct vpn){target.n + (old_end.n - first.n)}, target_end);
        return rc < 0 ? rc : (long)to;
    }
    if (new_end.n <= old_end.n) {
        if (new_end.n < old_end.n)
            mm_unmap_locked(new_end, old_end, true);
        return (long)vpn_address(first);
    }
    if (like.end.n == old_end.n && new_end.n <= vpn_of(WINDOW_END).n &&
        vmas_free(old_end, new_end)) {
        long rc = extend(&like, old_end, new_end);
        return rc < 0 ? rc : (long)vpn_address(first);
    }
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    struct vpn target = vmas_gap(count, vpn_of(mm.mmap_top));
    if (!target.n)
        return -ENOMEM;
    long rc = relocate(first, old_end, target);
    like.file_line += first.n - like.first.n;
    like.first = target;
    if (rc == 0)
        rc = extend(&like, (struct vpn){target.n + (old_end.n - first.n)},
                    (struct vpn){target.n + count});
    return rc < 0 ? rc : (long)vpn_address(target);
}

long mm_remap(uint64_t from, uint64_t old_length, uint64_t new_length, int flags, uint64_t to)
{
    struct vpn first, old_end, new_end;
    if (from & (LINE_SIZE - 1) || flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED) || new_length == 0 ||
        (flags & MREMAP_FIXED && !(flags & MREMAP_MAYMOVE)))
        return -EINVAL;
    if (old_length == 0) /* a second view of a shared mapping: there are none */
        return -EINVAL;
    if (!lines_of(from, old_length, &first, &old_end))
        return -EFAULT;
    if (new_length > WINDOW_END || new_length > mm.memory_bytes)
        return -ENOMEM;
    new_end = (struct vpn){first.n + ((new_length + LINE_SIZE - 1) >> LINE_SHIFT)};
    rwlock_write(&mm.lock);
    long rc = remap_locked(first, old_end, new_end, flags, to);
    rwlock_write_end(&mm.lock);
    return rc;
}

long mm_brk(uint64_t to)
{
    rwlock_write(&mm.lock);
    uint64_t old_end = (mm.brk + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    uint64_t new_end = (to + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    if (to >= mm.brk_start && to <= WINDOW_END) {
        long rc = 0;
        if (new_end > old_end) {
            rc = new_end - mm.brk_start <= mm.memory_bytes &&
                         vmas_free(vpn_of(old_end), (struct vpn){vpn_of(new_end).n + 1})
                     ? map_locked(vpn_of(old_end), vpn_of(new_end), PROT_READ | PROT_WRITE, NULL, 0,
                                  VMA_HEAP)
                     : -ENOMEM;
        } else if (new_end < old_end) {
            mm_unmap_locked(vpn_of(new_end), vpn_of(old_end), true);
        }
        if (rc >= 0)
            mm.brk = to;
    }
    long result = (long)mm.brk;
    rwlock_write_end(&mm.lock);
    return result;
}

/* ---- fork ---- */

void mm_fork_prepare(void)
{
    rwlock_write(&mm.lock);
    excache_quiesce();
    mm_flush();
    changes_hold();
}

void mm_fork_parent(void)
{
    changes_release();
    rwlock_write_end(&mm.lock);
}

void mm_fork_child(struct asid child)
{
    bool can_move, can_share;
    mm.asid = child;
    host_call(__NR_close, mm.uffd);
    mm.uffd = uffd_open(&can_move, &can_share);
    for (uint32_t i = 0; i < mm.vma_count; i++) {
        uint64_t address = vpn_address(mm.vmas[i].first);
        uint64_t size = vpn_address(mm.vmas[i].end) - address;
        uffd_register(address, size);
        if (!vma_shared(&mm.vmas[i]))
            uffd_write_protect(address, size, true);
    }
    excache_fork_child();
    changes_release();
    rwlock_write_end(&mm.lock);
}
