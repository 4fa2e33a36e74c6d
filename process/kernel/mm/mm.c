/*
 * Changes of the address space; see mm.h.
 *
 * Each change: take mm.lock for writing, check, change the host mapping, the vma array and the line
 * words, post the operation for the home. Messages: none, see changes.h.
 */
#include <linux/mman.h>

#include "../entry/process.h"
#include "../entry/rewrite.h"
#include "../entry/stubs.h"
#include "../entry/thread.h"
#include "../excache/excache.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../rpc/node.h"
#include "../syscalls/memory_calls.h"
#include "changes.h"
#include "shared.h"
#include "vmas.h"

#define MAP_FIXED           0x10
#define MAP_FIXED_NOREPLACE 0x100000
#define MAP_NORESERVE       0x4000
#define MAP_32BIT           0x40
#define HOST_END            0x7ffffffff000ull /* the end of what Linux gives a process */
/* Where MAP_32BIT goes, as on Linux. */
#define LOW_START 0x40000000ull
#define LOW_END   0x80000000ull

/* Dirty lines that a fork leaves as they are: 16 write-backs. */
enum { FORK_DIRTY_MAX = 1024 };

struct mm mm;

/* A page-aligned [first, end) out of bytes; false where it leaves the window or is empty. */
bool mm_range(uint64_t address, uint64_t length, struct vpn *first, struct vpn *end)
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

/* Forgets what is mapped in [first, end) but for the host's mappings, where these are `kept`. */
static void forget_range(struct vpn first, struct vpn end, bool tell, bool kept)
{
    if (vmas_free(first, end))
        return;
    excache_forget(first, end);
    rewrite_forget(first, end);
    if (!kept)
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

void mm_unmap_locked(struct vpn first, struct vpn end, bool tell)
{
    forget_range(first, end, tell, false);
}

/*
 * Where `count` lines go below top. A large mapping ends with a vRegion, so that it shares none
 * with what is there already: each of its vRegions is then placed where there is room for all of
 * it.
 */
static struct vpn gap_for(uint64_t count, struct vpn top)
{
    if (count >= VREGION_LINES) {
        struct vpn low = vmas_gap(count + VREGION_LINES, top);
        uint64_t end = (low.n + count + VREGION_LINES) / VREGION_LINES * VREGION_LINES;
        if (low.n)
            return (struct vpn){end - count};
    }
    return vmas_gap(count, top);
}

int mm_place(uint64_t hint, uint64_t length, int flags, struct vpn *first, struct vpn *end)
{
    uint64_t count = (length + LINE_SIZE - 1) >> LINE_SHIFT;
    if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if (hint & (LINE_SIZE - 1))
            return -EINVAL;
        if (hint < WINDOW_START && count << LINE_SHIFT <= WINDOW_END)
            return -EPERM;
        if (!mm_range(hint, length, first, end))
            return -ENOMEM;
        if (flags & MAP_FIXED_NOREPLACE && !vmas_free(*first, *end))
            return -EEXIST;
        return 0;
    }
    hint &= ~(uint64_t)(LINE_SIZE - 1);
    if (hint && mm_range(hint, length, first, end) && vmas_free(*first, *end) &&
        !(flags & MAP_32BIT && vpn_address(*end) > LOW_END))
        return 0;
    *first = gap_for(count, vpn_of(flags & MAP_32BIT ? LOW_END : mm.mmap_top));
    if (!first->n || (flags & MAP_32BIT && first->n < vpn_of(LOW_START).n))
        return -ENOMEM;
    *end = (struct vpn){first->n + count};
    return stubs_reserved(vpn_address(*first), vpn_address(*end)) ? -ENOMEM : 0;
}

static long map_locked(struct vpn first, struct vpn end, int prot, struct vma_file *file,
                       uint64_t offset, enum vma_name name, unsigned flags)
{
    struct vma v = {.first = first,
                    .end = end,
                    .file = file,
                    .file_line = offset >> LINE_SHIFT,
                    .prot = (uint8_t)(prot & 7),
                    .name = (uint8_t)name,
                    .flags = (uint8_t)flags};
    if (!vmas_room())
        return -ENOMEM;
    /* What the host has there gives way to the new mapping in one step: one flush of the TLB less.
     */
    forget_range(first, end, false, true);
    long rc = uffd_map(first, end, prot);
    if (rc < 0) {
        uffd_unmap(first, end);
        return rc;
    }
    vmas_insert(&v);
    if (file)
        changes_post_file(&v);
    else
        changes_post(VM_OP_MAP, prot & 7, first, end, (struct vpn){0});
    return (long)vpn_address(first);
}

static bool is_of(const struct vma *v, const struct vnode_file *file)
{
    const struct vma_file *f = v->file;
    return f && !f->segment && f->id.inode == file->attr.id.inode &&
           f->id.device == file->attr.id.device && f->version == file_version(&file->attr) &&
           f->size_bytes == file->attr.size_bytes && strcmp(f->path, file->path) == 0;
}

/*
 * A view's file: that of the view which is there now or ends there, if it is the same, for a
 * library's segments are mapped over and beside one another; else a new record. NULL: out of
 * memory.
 */
static struct vma_file *file_at(struct vpn first, const struct vnode_file *file)
{
    uint32_t i = mm_find_index(first);
    if (i < mm.vma_count && mm.vmas[i].first.n <= first.n && is_of(&mm.vmas[i], file))
        return vma_file_get(mm.vmas[i].file);
    if (i > 0 && mm.vmas[i - 1].end.n == first.n && is_of(&mm.vmas[i - 1], file))
        return vma_file_get(mm.vmas[i - 1].file);
    struct vma_file *f = host_alloc(sizeof *f);
    if (!f)
        return NULL;
    f->users = 1;
    f->id = file->attr.id;
    f->version = file_version(&file->attr);
    f->size_bytes = file->attr.size_bytes;
    text_copy(f->path, sizeof f->path, file->path);
    return f;
}

int mm_expect(const struct mm_range *ranges, uint32_t count)
{
    struct vregion_need needs[EXPECTED_MAX];
    host_assert(count <= EXPECTED_MAX);
    for (uint32_t i = 0; i < count; i++)
        needs[i] = (struct vregion_need){vpn_of(ranges[i].from), vpn_of(ranges[i].end), true};
    rwlock_write(&mm.lock);
    int rc = changes_reserve(needs, count);
    rwlock_write_end(&mm.lock);
    return rc;
}

long mm_map(uint64_t hint, uint64_t length, int prot, int flags, const struct vnode_file *file,
            uint64_t offset, enum vma_name name)
{
    unsigned vma_flags = flags & MAP_GROWSDOWN ? VMA_GROWS : 0;
    struct vma_file *f = NULL;
    struct vpn first, end;

    if (length == 0 || offset & (LINE_SIZE - 1))
        return -EINVAL;
    if (length > WINDOW_END)
        return -ENOMEM;
    /* Linux's heuristic overcommit: refuse only what could never fit. */
    if (!file && prot & PROT_WRITE && !(flags & MAP_NORESERVE) && length > mm.memory_bytes)
        return -ENOMEM;
    rwlock_write(&mm.lock);
    long rc = mm_place(hint, length, flags, &first, &end);
    if (rc == 0 && !vmas_allowed_at(first, end, prot & PROT_WRITE && !vma_flags))
        rc = -ENOMEM;
    if (rc == 0 && !file && prot & PROT_WRITE && !(flags & MAP_NORESERVE))
        rc = changes_reserve(&(struct vregion_need){first, end, true}, 1);
    if (rc == 0 && file) {
        f = file_at(first, file);
        rc = f ? 0 : -ENOMEM;
    }
    if (rc == 0)
        rc = map_locked(first, end, prot, f, offset, name,
                        vma_flags | (mm.lock_future ? VMA_LOCKED : 0));
    rwlock_write_end(&mm.lock);
    if (rc < 0)
        vma_file_put(f);
    return rc;
}

long mm_unmap(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (address & (LINE_SIZE - 1) || length == 0 || address > HOST_END ||
        length > HOST_END - address)
        return -EINVAL;
    /* Outside the window nothing of the program's is mapped. */
    uint64_t low = address < WINDOW_START ? WINDOW_START : address;
    uint64_t high = address + length < WINDOW_END ? address + length : WINDOW_END;
    if (low >= high || !mm_range(low, high - low, &first, &end))
        return 0;
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

bool mm_covered(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (length == 0)
        return true;
    if (!mm_range(address, length, &first, &end))
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

/* The end of what is mapped without a hole from `first` on, at most `end`. */
static struct vpn covered_end(struct vpn first, struct vpn end)
{
    uint64_t at = first.n;
    for (uint32_t i = mm_find_index(first);
         at < end.n && i < mm.vma_count && mm.vmas[i].first.n <= at; i++)
        at = mm.vmas[i].end.n;
    return (struct vpn){at < end.n ? at : end.n};
}

/* All of [first, end) is mapped. */
static long protect_locked(struct vpn first, struct vpn end, int prot)
{
    if (!vmas_room())
        return -ENOMEM;
    uint64_t promised = 0, data = 0;
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        const struct vma *v = &mm.vmas[i];
        if (prot & PROT_WRITE && vma_shared(v) && !v->file->may_write)
            return -EACCES;
        if (prot & PROT_WRITE && !(v->prot & PROT_WRITE) && !vma_shared(v)) {
            uint64_t lines = earlier(v->end, end).n - later(v->first, first).n;
            promised += lines;
            data += v->flags & VMA_GROWS ? 0 : lines;
        }
    }
    if (promised << LINE_SHIFT > mm.memory_bytes || !vmas_allowed(0, data))
        return -ENOMEM;
    if (!(prot & (PROT_READ | PROT_WRITE | PROT_EXEC)))
        excache_flush_out(first, end);
    if (prot & PROT_WRITE)
        rewrite_restore(first, end);
    long rc = uffd_protect(first, end, prot);
    if (rc < 0)
        return rc;
    vmas_cut(first);
    vmas_cut(end);
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        mm.vmas[i].prot = (uint8_t)prot;
        if (!vma_shared(&mm.vmas[i]))
            changes_post(VM_OP_PROTECT, prot, mm.vmas[i].first, mm.vmas[i].end, (struct vpn){0});
    }
    vmas_join(first, end);
    return 0;
}

/* As on Linux, what lies before a hole is changed, and the hole is an ENOMEM afterwards. */
long mm_protect(uint64_t address, uint64_t length, int prot)
{
    struct vpn first, end;
    int grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
    prot &= ~grows;
    if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) || address & (LINE_SIZE - 1))
        return -EINVAL;
    if (length == 0)
        return 0;
    if (length > -LINE_SIZE || address + length < address)
        return -ENOMEM;
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
        return -EINVAL;
    if (!mm_range(address, length, &first, &end)) {
        if (address < WINDOW_START || address >= WINDOW_END)
            return -ENOMEM;
        first = vpn_of(address);
        end = vpn_of(WINDOW_END);
        length = 0; /* it ends in a hole */
    }
    prot = mm_prot(prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
    rwlock_write(&mm.lock);
    struct vma *v = mm_find(first);
    struct vpn changed = covered_end(first, end);
    long rc = v ? 0 : -ENOMEM;
    if (v && grows) {
        if (grows == PROT_GROWSDOWN && v->flags & VMA_GROWS)
            first = v->first;
        else
            rc = -EINVAL;
    }
    if (rc == 0)
        rc = protect_locked(first, changed, prot);
    if (rc == 0 && (changed.n < end.n || !length))
        rc = -ENOMEM;
    rwlock_write_end(&mm.lock);
    return rc;
}

static void discard_locked(struct vpn first, struct vpn end)
{
    excache_forget(first, end);
    uffd_drop(vpn_address(first), vpn_address(end) - vpn_address(first));
    changes_post(VM_OP_DISCARD, 0, first, end, (struct vpn){0});
}

long mm_discard(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    if (address & (LINE_SIZE - 1))
        return -EINVAL;
    if (length == 0)
        return 0;
    if (!mm_range(address, length, &first, &end))
        return -ENOMEM;
    rwlock_write(&mm.lock);
    long rc = covered(first, end) ? 0 : -ENOMEM;
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        if (vma_shared(&mm.vmas[i]))
            continue; /* the content is the segment's, and stays */
        discard_locked(later(mm.vmas[i].first, first), earlier(mm.vmas[i].end, end));
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
        changes_post_move(&v, first);
    return 0;
}

/* Maps [first, end) as the continuation of the vma that ends or ended before it. */
static long extend(const struct vma *like, struct vpn first, struct vpn end)
{
    uint64_t line = like->file_line + (first.n - like->first.n);
    if (vma_shared(like))
        return shared_extend(like, first, end);
    long rc = map_locked(first, end, like->prot, vma_file_get(like->file), line << LINE_SHIFT,
                         like->name, like->flags);
    if (rc < 0)
        vma_file_put(like->file);
    return rc < 0 ? rc : 0;
}

/* MREMAP_DONTUNMAP: what moved to like->first leaves an empty mapping of the same kind behind. */
static long leave_behind(const struct vma *like, struct vpn first, struct vpn end)
{
    long rc =
        map_locked(first, end, like->prot, vma_file_get(like->file), like->file_line << LINE_SHIFT,
                   like->name, like->flags & ~(unsigned)VMA_LOCKED);
    if (rc < 0)
        vma_file_put(like->file);
    return rc < 0 ? rc : 0;
}

static long remap_locked(struct vpn first, struct vpn old_end, struct vpn new_end, int flags,
                         uint64_t to)
{
    uint32_t i = mm_find_index(first);
    if (i == mm.vma_count || mm.vmas[i].first.n > first.n)
        return -EFAULT;
    if (!vmas_room())
        return -ENOMEM;
    if (!(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && new_end.n <= old_end.n) {
        mm_unmap_locked(new_end, old_end, true);
        return (long)vpn_address(first);
    }
    if (mm.vmas[i].end.n < old_end.n)
        return -EFAULT;
    uint64_t count = new_end.n - first.n;
    uint64_t more = flags & MREMAP_DONTUNMAP ? count
                    : new_end.n > old_end.n  ? new_end.n - old_end.n
                                             : 0;
    struct vma like = mm.vmas[i];

    if (flags & MREMAP_DONTUNMAP && vma_shared(&like))
        return -EINVAL;
    if (!(flags & MREMAP_FIXED) && !vmas_allowed(more, vma_data(&like) ? more : 0))
        return -ENOMEM;
    if (like.flags & VMA_LOCKED && new_end.n > old_end.n && !lock_allowed(new_end.n - old_end.n))
        return -EAGAIN;
    if (flags & MREMAP_FIXED) {
        struct vpn target, target_end;
        if (!mm_range(to, count << LINE_SHIFT, &target, &target_end) ||
            (target.n < old_end.n && first.n < target_end.n))
            return -EINVAL;
        bool data = vma_data(&like);
        mm_unmap_locked(target, target_end, true);
        if (!vmas_allowed(more, data ? more : 0))
            return -ENOMEM;
        if (new_end.n < old_end.n) {
            mm_unmap_locked(new_end, old_end, true);
            old_end = new_end;
        }
        long rc = relocate(first, old_end, target);
        like.file_line += first.n - like.first.n;
        like.first = target;
        if (rc == 0 && new_end.n > old_end.n)
            rc = extend(&like, (struct vpn){target.n + (old_end.n - first.n)}, target_end);
        if (rc == 0 && flags & MREMAP_DONTUNMAP)
            rc = leave_behind(&like, first, old_end);
        return rc < 0 ? rc : (long)to;
    }
    if (!(flags & MREMAP_DONTUNMAP) && like.end.n == old_end.n &&
        new_end.n <= vpn_of(WINDOW_END).n && vmas_free(old_end, new_end)) {
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
    if (rc == 0 && flags & MREMAP_DONTUNMAP)
        rc = leave_behind(&like, first, old_end);
    else if (rc == 0)
        rc = extend(&like, (struct vpn){target.n + (old_end.n - first.n)},
                    (struct vpn){target.n + count});
    return rc < 0 ? rc : (long)vpn_address(target);
}

long mm_remap(uint64_t from, uint64_t old_length, uint64_t new_length, int flags, uint64_t to)
{
    struct vpn first, old_end, new_end;
    if (from & (LINE_SIZE - 1) || flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) ||
        new_length == 0 ||
        (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP) && !(flags & MREMAP_MAYMOVE)) ||
        new_length > WINDOW_END || old_length > WINDOW_END)
        return -EINVAL;
    old_length = (old_length + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    new_length = (new_length + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    if (flags & MREMAP_DONTUNMAP && old_length != new_length)
        return -EINVAL;
    if (!mm_range(from, old_length ? old_length : LINE_SIZE, &first, &old_end))
        return -EFAULT;
    if (old_length == 0) {
        rwlock_write(&mm.lock);
        long view = shared_view(first, new_length >> LINE_SHIFT, flags, to);
        rwlock_write_end(&mm.lock);
        return view;
    }
    if (new_length > mm.memory_bytes && new_length > old_length)
        return -ENOMEM;
    new_end = (struct vpn){first.n + (new_length >> LINE_SHIFT)};
    rwlock_write(&mm.lock);
    long rc = remap_locked(first, old_end, new_end, flags, to);
    rwlock_write_end(&mm.lock);
    return rc;
}

/*
 * Extends vma i down to a page, by Linux's rules: not further than RLIMIT_STACK from its end, and
 * 256 pages stay free below it where something that can be accessed is mapped, but another one that
 * grows.
 */
static bool grow_to(struct vpn page, uint32_t i)
{
    enum { GUARD_LINES = 256 };
    const struct vma like = mm.vmas[i], *below = i > 0 ? &mm.vmas[i - 1] : NULL;
    uint64_t limit =
        __atomic_load_n(&current()->process->limits[KEPT_STACK].soft, __ATOMIC_RELAXED);
    uint64_t lines = like.first.n - page.n;
    struct vpn first, end;
    if (!mm_range(vpn_address(page), lines << LINE_SHIFT, &first, &end) ||
        (like.end.n - page.n) << LINE_SHIFT > limit ||
        (below && (below->end.n > page.n || (below->prot && !(below->flags & VMA_GROWS) &&
                                             below->end.n + GUARD_LINES > page.n))))
        return false;
    return vmas_allowed(lines, 0) && !(like.flags & VMA_LOCKED && !lock_allowed(lines)) &&
           changes_reserve(&(struct vregion_need){first, end, true}, 1) == 0 &&
           map_locked(first, end, like.prot, NULL, 0, like.name, like.flags) >= 0;
}

/* The program's stack grows by steps where it may, which are fewer faults. */
bool mm_grow(uint64_t address)
{
    enum { STEP_LINES = 32 };
    struct vpn page = vpn_of(address);
    bool grown = false;
    rwlock_write(&mm.lock);
    uint32_t i = mm_find_index(page);
    if (i < mm.vma_count && mm.vmas[i].first.n <= page.n)
        grown = true; /* by another thread */
    else if (i < mm.vma_count && mm.vmas[i].flags & VMA_GROWS)
        grown =
            (mm.vmas[i].name == VMA_STACK && grow_to((struct vpn){page.n - (STEP_LINES - 1)}, i)) ||
            grow_to(page, i);
    rwlock_write_end(&mm.lock);
    return grown;
}

/* Linux's own rule of RLIMIT_DATA for this call, of the heap alone; a limit of 0 is one. */
static bool brk_allowed(uint64_t end)
{
    return end - mm.brk_start <=
           __atomic_load_n(&current()->process->limits[KEPT_DATA].soft, __ATOMIC_RELAXED);
}

long mm_brk(uint64_t to)
{
    rwlock_write(&mm.lock);
    uint64_t old_end = (mm.brk + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    uint64_t new_end = (to + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    if (to >= mm.brk_start && to <= WINDOW_END) {
        long rc = 0;
        if (new_end > old_end) {
            uint64_t lines = (new_end - old_end) >> LINE_SHIFT;
            rc = new_end - mm.brk_start <= mm.memory_bytes && brk_allowed(new_end) &&
                         vmas_allowed(lines, lines) && (!mm.lock_future || lock_allowed(lines)) &&
                         vmas_free(vpn_of(old_end), (struct vpn){vpn_of(new_end).n + 1})
                     ? map_locked(vpn_of(old_end), vpn_of(new_end), mm_prot(PROT_READ | PROT_WRITE),
                                  NULL, 0, VMA_HEAP, mm.lock_future ? VMA_LOCKED : 0)
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

/*
 * Dirty lines are copied by the host, and either process writes its own back: at the home they
 * would be two. Many of them are written back first, so that parent and child share them there.
 */
static void share_dirty_lines(void)
{
    if (excache_dirty() <= FORK_DIRTY_MAX)
        return;
    for (uint32_t i = 0; i < mm.vma_count; i++)
        if (!vma_shared(&mm.vmas[i]) && mm.vmas[i].prot & (PROT_READ | PROT_WRITE | PROT_EXEC))
            excache_flush_out(mm.vmas[i].first, mm.vmas[i].end);
}

void mm_fork_prepare(void)
{
    rwlock_write(&mm.lock);
    excache_quiesce();
    share_dirty_lines();
    mm_flush();
    mm.copied = true;
    changes_hold();
}

void mm_fork_parent(void)
{
    changes_release();
    rwlock_write_end(&mm.lock);
}

/* In a child: what is not to be inherited, or only empty; locks of memory are not. */
static void apply_fork_advice(void)
{
    mm.lock_future = false;
    for (uint32_t i = 0; i < mm.vma_count;) {
        struct vma *v = &mm.vmas[i];
        vma_set_flags(v, 0, VMA_LOCKED);
        if (v->flags & VMA_NO_FORK) {
            mm_unmap_locked(v->first, v->end, true);
            continue;
        }
        if (v->flags & VMA_WIPE && !vma_shared(v))
            discard_locked(v->first, v->end);
        i++;
    }
}

/*
 * Registers vmas [from, to), none of them shared, with a fork child's own userfaultfd: all at once,
 * with whatever lies between them. Hosts before Linux 6.4 protect one mapping at a time.
 */
static void register_again(uint32_t from, uint32_t to)
{
    uint64_t start = vpn_address(mm.vmas[from].first);
    uint64_t size = vpn_address(mm.vmas[to - 1].end) - start;
    uffd_register(start, size);
    if (uffd_write_protect(start, size, true) == 0)
        return;
    for (uint32_t i = from; i < to; i++) {
        start = vpn_address(mm.vmas[i].first);
        uffd_write_protect(start, vpn_address(mm.vmas[i].end) - start, true);
    }
}

void mm_fork_child(struct asid child)
{
    bool can_move, can_share;
    mm.asid = child;
    host_call(__NR_close, mm.uffd);
    mm.uffd = fd_hide(uffd_open(&can_move, &can_share));
    for (uint32_t i = 0, to; i < mm.vma_count; i = to) {
        to = i + 1;
        if (vma_shared(&mm.vmas[i])) {
            uint64_t address = vpn_address(mm.vmas[i].first);
            uffd_register(address, vpn_address(mm.vmas[i].end) - address);
            continue;
        }
        while (to < mm.vma_count && !vma_shared(&mm.vmas[to]))
            to++;
        register_again(i, to);
    }
    excache_fork_child();
    changes_release();
    apply_fork_advice();
    mm.lines_most = mm.lines;
    mm.present_most = mm.present;
    rwlock_write_end(&mm.lock);
}
