/*
 * What a program says about ranges of its memory: attributes of vmas, lines wanted or not.
 *
 * Attributes cut the vmas at the range's ends and join them again. As on Linux, what is mapped of a
 * range gets the advice, and a hole in it is an ENOMEM afterwards.
 *
 * Locking makes lines resident, and they stay (excache/evict.c), as far as half of the ExCache.
 */
#include "../entry/thread.h"
#include "../excache/excache.h"
#include "../host/host.h"
#include "uaccess.h"
#include "vmas.h"

long mm_set_flags(uint64_t address, uint64_t length, unsigned set, unsigned clear)
{
    struct vpn first, end;
    if (!mm_range(address, length, &first, &end))
        return -ENOMEM;
    rwlock_write(&mm.lock);
    long rc = vmas_room() ? 0 : -ENOMEM;
    if (rc == 0) {
        vmas_cut(first);
        vmas_cut(end);
        uint64_t at = first.n;
        for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n;
             i++) {
            struct vma *v = &mm.vmas[i];
            if (v->first.n > at)
                rc = -ENOMEM;
            at = v->end.n;
            if (set & VMA_WIPE && v->file) {
                rc = -EINVAL;
                break;
            }
            vma_set_flags(v, set, clear);
        }
        if (rc == 0 && at < end.n)
            rc = -ENOMEM;
        vmas_join(first, end);
    }
    rwlock_write_end(&mm.lock);
    return rc;
}

void mm_set_all_flags(unsigned set, unsigned clear)
{
    rwlock_write(&mm.lock);
    for (uint32_t i = 0; i < mm.vma_count; i++)
        vma_set_flags(&mm.vmas[i], set, clear);
    vmas_join(vpn_of(WINDOW_START), vpn_of(WINDOW_END));
    rwlock_write_end(&mm.lock);
}

long mm_check(uint64_t address, uint64_t length, unsigned refused, bool anonymous)
{
    struct vpn first, end;
    long rc = 0;
    if (!mm_range(address, length, &first, &end))
        return -ENOMEM;
    rwlock_read(&mm.lock);
    uint64_t at = first.n;
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        const struct vma *v = &mm.vmas[i];
        if (v->flags & refused || (anonymous && v->file)) {
            rc = -EINVAL;
            break;
        }
        if (v->first.n > at)
            rc = -ENOMEM;
        at = v->end.n;
    }
    if (rc == 0 && at < end.n)
        rc = -ENOMEM;
    rwlock_read_end(&mm.lock);
    return rc;
}

/* What a touch of a line would be: 0, -ENOMEM (no vma) or -EINVAL (its protection). */
static int may_touch(struct vpn page, bool write)
{
    rwlock_read(&mm.lock);
    const struct vma *v = mm_find(page);
    int rc = !v ? -ENOMEM : (write ? v->prot & 2 : v->prot) ? 0 : -EINVAL;
    rwlock_read_end(&mm.lock);
    return rc;
}

long mm_populate(uint64_t address, uint64_t length, bool write)
{
    struct vpn first, end;
    uint8_t byte;
    if (!mm_range(address, length, &first, &end))
        return -ENOMEM;
    uint64_t most = excache_budget() / 2;
    for (uint64_t n = first.n; n < end.n && n - first.n < most; n++) {
        uint64_t at = n << LINE_SHIFT;
        int rc = may_touch((struct vpn){n}, write);
        if (rc < 0)
            return rc;
        if (write ? user_touch_write(at) < 0 : user_read_some(&byte, at, 1) == 0)
            return -EFAULT;
    }
    return 0;
}

void mm_populate_all(void)
{
    struct vpn at = vpn_of(WINDOW_START), first;
    while (mm_locked_lines() <= excache_budget() / 2) {
        rwlock_read(&mm.lock);
        uint32_t i = mm_find_index(at);
        bool found = i < mm.vma_count;
        if (found) {
            first = mm.vmas[i].first;
            at = mm.vmas[i].end;
        }
        rwlock_read_end(&mm.lock);
        if (!found)
            break;
        (void)mm_populate(vpn_address(first), vpn_address(at) - vpn_address(first), false);
    }
}

uint64_t mm_writable(uint64_t address, uint64_t length)
{
    uint64_t end = address + length < address ? ~0ull : address + length, at = address;
    rwlock_read(&mm.lock);
    if (length && !mm_find(vpn_of(address))) { /* as the access would */
        rwlock_read_end(&mm.lock);
        (void)mm_grow(address);
        rwlock_read(&mm.lock);
    }
    for (uint32_t i = mm_find_index(vpn_of(address)); at < end && i < mm.vma_count; i++) {
        const struct vma *v = &mm.vmas[i];
        if (vpn_address(v->first) > at || !(v->prot & 2))
            break;
        at = vpn_address(v->end);
    }
    rwlock_read_end(&mm.lock);
    return (at < end ? at : end) - address;
}

uint64_t mm_lines(void)
{
    rwlock_read(&mm.lock);
    uint64_t lines = mm.lines;
    rwlock_read_end(&mm.lock);
    return lines;
}

void mm_set_lock_future(bool on)
{
    rwlock_write(&mm.lock);
    mm.lock_future = on;
    rwlock_write_end(&mm.lock);
}

uint64_t mm_locked_lines(void)
{
    return __atomic_load_n(&mm.locked_lines, __ATOMIC_RELAXED);
}

uint64_t mm_locked_within(uint64_t address, uint64_t length)
{
    struct vpn first, end;
    uint64_t lines = 0;
    if (!mm_range(address, length, &first, &end))
        return 0;
    rwlock_read(&mm.lock);
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++) {
        const struct vma *v = &mm.vmas[i];
        uint64_t low = v->first.n > first.n ? v->first.n : first.n;
        uint64_t high = v->end.n < end.n ? v->end.n : end.n;
        if (v->flags & VMA_LOCKED)
            lines += high - low;
    }
    rwlock_read_end(&mm.lock);
    return lines;
}
