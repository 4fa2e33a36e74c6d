/*
 * The sorted array of vmas.
 *
 * An array, not a tree: programs have tens to hundreds of vmas, a lookup is a binary search in one
 * or two cache lines' reach, and a change moves a few kilobytes.
 */
#include "vmas.h"

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"

uint32_t mm_find_index(struct vpn page)
{
    uint32_t low = 0, high = mm.vma_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (mm.vmas[middle].end.n > page.n)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

struct vma *mm_find(struct vpn page)
{
    uint32_t i = mm_find_index(page);
    return i < mm.vma_count && mm.vmas[i].first.n <= page.n ? &mm.vmas[i] : NULL;
}

struct vma_file *vma_file_get(struct vma_file *file)
{
    if (file)
        __atomic_add_fetch(&file->users, 1, __ATOMIC_RELAXED);
    return file;
}

void vma_file_put(struct vma_file *file)
{
    if (file && __atomic_sub_fetch(&file->users, 1, __ATOMIC_ACQ_REL) == 0)
        host_free(file, sizeof *file);
}

bool vmas_room(void)
{
    return mm.vma_count + 2 <= VMA_MAX;
}

/* The lines [first, end) of a vma. */
static uint64_t within(const struct vma *v, struct vpn first, struct vpn end)
{
    uint64_t low = v->first.n > first.n ? v->first.n : first.n;
    uint64_t high = v->end.n < end.n ? v->end.n : end.n;
    return high - low;
}

static uint64_t data_lines(void)
{
    uint64_t lines = 0;
    for (uint32_t i = 0; i < mm.vma_count; i++)
        lines += vma_data(&mm.vmas[i]) ? mm.vmas[i].end.n - mm.vmas[i].first.n : 0;
    return lines;
}

bool vmas_allowed(uint64_t lines, uint64_t data)
{
    const struct limit *limits = current()->process->limits, *l = &limits[KEPT_DATA];
    uint64_t space = __atomic_load_n(&limits[KEPT_AS].soft, __ATOMIC_RELAXED);
    uint64_t most = __atomic_load_n(&l->soft, __ATOMIC_RELAXED);
    if (!most) /* the hard one counts then, as on Linux: valgrind's way to see every brk fail */
        most = __atomic_load_n(&l->hard, __ATOMIC_RELAXED);
    return (!lines || mm.lines + lines <= space >> LINE_SHIFT) &&
           (!data || most == ~0ull || data_lines() + data <= most >> LINE_SHIFT);
}

bool vmas_allowed_at(struct vpn first, struct vpn end, bool data)
{
    uint64_t lines = end.n - first.n;
    for (uint32_t i = mm_find_index(first); i < mm.vma_count && mm.vmas[i].first.n < end.n; i++)
        lines -= within(&mm.vmas[i], first, end);
    return vmas_allowed(lines, data ? lines : 0);
}

/* Read without the lock, too. */
static void count_locked(int64_t lines)
{
    __atomic_store_n(&mm.locked_lines, mm.locked_lines + (uint64_t)lines, __ATOMIC_RELAXED);
}

void vma_set_flags(struct vma *v, unsigned set, unsigned clear)
{
    uint8_t flags = (uint8_t)((v->flags | set) & ~clear);
    int64_t lines = (int64_t)(v->end.n - v->first.n);
    if ((v->flags ^ flags) & VMA_LOCKED)
        count_locked(flags & VMA_LOCKED ? lines : -lines);
    v->flags = flags;
}

static void open_at(uint32_t i)
{
    memmove(&mm.vmas[i + 1], &mm.vmas[i], (mm.vma_count - i) * sizeof mm.vmas[0]);
    mm.vma_count++;
}

static void close_at(uint32_t i, uint32_t count)
{
    memmove(&mm.vmas[i], &mm.vmas[i + count], (mm.vma_count - i - count) * sizeof mm.vmas[0]);
    mm.vma_count -= count;
}

void vmas_cut(struct vpn page)
{
    uint32_t i = mm_find_index(page);
    if (i == mm.vma_count || mm.vmas[i].first.n >= page.n)
        return;
    open_at(i);
    struct vma *low = &mm.vmas[i], *high = &mm.vmas[i + 1];
    low->end = page;
    high->file_line += page.n - low->first.n;
    high->first = page;
    vma_file_get(high->file);
}

void vmas_remove(struct vpn first, struct vpn end)
{
    vmas_cut(first);
    vmas_cut(end);
    uint32_t from = mm_find_index(first), to = from;
    for (; to < mm.vma_count && mm.vmas[to].first.n < end.n; to++) {
        mm.lines -= mm.vmas[to].end.n - mm.vmas[to].first.n;
        vma_set_flags(&mm.vmas[to], 0, VMA_LOCKED);
        vma_file_put(mm.vmas[to].file);
    }
    close_at(from, to - from);
}

static bool continues(const struct vma *a, const struct vma *b)
{
    return a->end.n == b->first.n && a->file == b->file && a->prot == b->prot &&
           a->name == b->name && a->flags == b->flags &&
           (!a->file || a->file_line + (a->end.n - a->first.n) == b->file_line);
}

void vmas_join(struct vpn first, struct vpn end)
{
    uint32_t i = mm_find_index(first);
    i = i ? i - 1 : 0;
    while (i + 1 < mm.vma_count && mm.vmas[i].first.n <= end.n) {
        if (!continues(&mm.vmas[i], &mm.vmas[i + 1])) {
            i++;
            continue;
        }
        mm.vmas[i].end = mm.vmas[i + 1].end;
        vma_file_put(mm.vmas[i + 1].file);
        close_at(i + 1, 1);
    }
}

void vmas_insert(const struct vma *vma)
{
    uint32_t i = mm_find_index(vma->first);
    open_at(i);
    mm.vmas[i] = *vma;
    mm.lines += vma->end.n - vma->first.n;
    if (vma->flags & VMA_LOCKED)
        count_locked((int64_t)(vma->end.n - vma->first.n));
    if (mm.lines > mm.lines_most)
        mm.lines_most = mm.lines;
    vmas_join(vma->first, vma->end);
}

bool vmas_free(struct vpn first, struct vpn end)
{
    uint32_t i = mm_find_index(first);
    return i == mm.vma_count || mm.vmas[i].first.n >= end.n;
}

struct vpn vmas_gap(uint64_t count, struct vpn top)
{
    const uint64_t lowest = vpn_of(WINDOW_START).n;
    uint64_t end = top.n;

    /* Walk down from the highest vma that begins below top. */
    for (uint32_t i = mm_find_index((struct vpn){top.n - 1}) + 1; i-- > 0;) {
        if (i == mm.vma_count || mm.vmas[i].first.n >= top.n)
            continue;
        uint64_t floor = mm.vmas[i].end.n;
        if (floor < end && end - floor >= count)
            return (struct vpn){end - count};
        end = mm.vmas[i].first.n;
    }
    return (struct vpn){end >= lowest + count ? end - count : 0};
}
