/*
 * See space.h. A vma is cut where a change begins and ends, so that changes are made to whole ones;
 * afterwards neighbours that say the same are one again. A change begins with all that can fail:
 * room for the vmas that it may add, tables that lines are moved to.
 */
#include "space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "clock.h"

enum {
    VMAS_MAX = 64 * 1024, /* as Linux */
    VMAS_ADDED = 5,       /* by one change at most, but for those that it moves */
};

/* ---- vRegions ---- */

/* The first vRegion at or after an index: its place in the array. */
static uint32_t vregion_place(const struct space *space, uint64_t index)
{
    uint32_t low = 0, high = space->vregion_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (space->vregions[middle].index < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct vregion *vregion_of(const struct space *space, uint64_t line)
{
    uint32_t at = vregion_place(space, line / VREGION_LINES);
    bool found = at < space->vregion_count && space->vregions[at].index == line / VREGION_LINES;
    return found ? &space->vregions[at] : NULL;
}

int space_missing(const struct space *space, uint32_t first, uint32_t count)
{
    if (!count || first >= VREGION_COUNT || count > VREGION_COUNT - first)
        return -EINVAL;
    return (int)(count -
                 (vregion_place(space, (uint64_t)first + count) - vregion_place(space, first)));
}

static int check_range(const struct space *space, uint64_t first, uint64_t count)
{
    const uint64_t lowest = WINDOW_START >> LINE_SHIFT, limit = WINDOW_END >> LINE_SHIFT;
    if (count == 0 || first < lowest || first >= limit || count > limit - first)
        return -EINVAL;
    uint64_t index = first / VREGION_LINES, end = (first + count - 1) / VREGION_LINES + 1;
    return vregion_place(space, end) - vregion_place(space, index) == end - index ? 0 : -EFAULT;
}

int space_grant(struct space *space, struct blocks *blocks, uint32_t first, uint32_t count,
                uint64_t lines)
{
    uint32_t wanted = space->vregion_count + count;
    if (wanted > space->vregion_room) {
        void *more = realloc(space->vregions, 2 * wanted * sizeof *space->vregions);
        if (!more)
            return -ENOMEM;
        space->vregions = more;
        space->vregion_room = 2 * wanted;
    }
    uint32_t missing = 0;
    for (uint32_t index = first; index < first + count; index++) {
        uint32_t at = vregion_place(space, index);
        struct vregion *v = &space->vregions[at];
        if (at < space->vregion_count && v->index == index)
            continue;
        memmove(v + 1, v, (space->vregion_count++ - at) * sizeof *v);
        *v = (struct vregion){.index = index};
        missing++;
    }
    uint64_t most = (uint64_t)missing * VREGION_LINES;
    uint32_t promised = (uint32_t)(lines < most ? lines : most);
    space->promised += promised;
    blocks->promised += promised;
    return 0;
}

static void keep_promise(struct space *space, struct blocks *blocks, uint64_t lines)
{
    uint32_t kept = lines < space->promised ? (uint32_t)lines : space->promised;
    space->promised -= kept;
    blocks->promised -= kept;
}

/* ---- lines ---- */

static bool is_block(uint32_t entry)
{
    return entry != LINE_ABSENT && entry != LINE_STORED_ZERO;
}

bool space_granted(const struct space *space, uint64_t line)
{
    return vregion_of(space, line) != NULL;
}

uint32_t space_entry(const struct space *space, uint64_t line)
{
    const struct vregion *v = vregion_of(space, line);
    return v && v->table ? v->table[line % VREGION_LINES] : LINE_ABSENT;
}

int space_prepare(struct space *space, uint64_t line)
{
    struct vregion *v = vregion_of(space, line);
    if (!v->table)
        v->table = calloc(VREGION_LINES, sizeof *v->table);
    return v->table ? 0 : -ENOMEM;
}

static void set(struct space *space, struct blocks *blocks, struct vregion *v, uint32_t at,
                uint32_t entry)
{
    uint32_t old = v->table[at];
    v->table[at] = entry;
    v->stored += (entry != LINE_ABSENT) - (old != LINE_ABSENT);
    space->block_count += is_block(entry) - is_block(old);
    if (is_block(old))
        blocks_drop(blocks, old);
}

void space_set(struct space *space, struct blocks *blocks, uint64_t line, uint32_t entry)
{
    struct vregion *v = vregion_of(space, line);
    if (is_block(entry) && !is_block(v->table[line % VREGION_LINES]))
        keep_promise(space, blocks, 1);
    set(space, blocks, v, line % VREGION_LINES, entry);
}

/* The pieces of a range, one for each vRegion: whether there are more; then [*line, *stop) is next.
 */
static bool next_piece(uint64_t *line, uint64_t *stop, uint64_t end)
{
    *line = *stop;
    *stop = (*line / VREGION_LINES + 1) * VREGION_LINES;
    *stop = *stop < end ? *stop : end;
    return *line < end;
}

static void clear_lines(struct space *space, struct blocks *blocks, uint64_t first, uint64_t end)
{
    for (uint64_t line, stop = first; next_piece(&line, &stop, end);) {
        struct vregion *v = vregion_of(space, line);
        for (; line < stop && v->stored; line++)
            if (v->table[line % VREGION_LINES] != LINE_ABSENT)
                set(space, blocks, v, line % VREGION_LINES, LINE_ABSENT);
    }
}

/* Frees the tables that say nothing any more. */
static void trim_tables(struct space *space, uint64_t first, uint64_t end)
{
    for (uint64_t line, stop = first; next_piece(&line, &stop, end);) {
        struct vregion *v = vregion_of(space, line);
        if (v->stored)
            continue;
        free(v->table);
        v->table = NULL;
    }
}

/* ---- vmas ---- */

/* The first vma that ends after a line: its place in the array. */
static uint32_t vma_place(const struct space *space, uint64_t line)
{
    uint32_t low = 0, high = space->vma_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (space->vmas[middle].end <= line)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct vma *space_vma(const struct space *space, uint64_t line)
{
    uint32_t at = vma_place(space, line);
    return at < space->vma_count && space->vmas[at].first <= line ? &space->vmas[at] : NULL;
}

static int reserve_vmas(struct space *space, uint32_t more)
{
    uint32_t wanted = space->vma_count + more;
    if (wanted > VMAS_MAX)
        return -ENOMEM;
    if (wanted <= space->vma_room)
        return 0;
    void *grown = realloc(space->vmas, 2 * wanted * sizeof *space->vmas);
    if (!grown)
        return -ENOMEM;
    space->vmas = grown;
    space->vma_room = 2 * wanted;
    return 0;
}

/* Moves those from `at` on by `by` places. */
static void shift(struct space *space, uint32_t at, int32_t by)
{
    memmove(space->vmas + at + by, space->vmas + at, (space->vma_count - at) * sizeof *space->vmas);
    space->vma_count += (uint32_t)by;
}

/* What a vma says of its lines from `line` on. */
static struct vma rest_of(const struct vma *vma, uint64_t line)
{
    struct vma rest = *vma;
    rest.file_page += line - vma->first;
    rest.first = line;
    return rest;
}

/* From here on no vma goes across `line`. Returns the place of the first one from it on. */
static uint32_t cut(struct space *space, uint64_t line)
{
    uint32_t at = vma_place(space, line);
    if (at == space->vma_count || space->vmas[at].first >= line)
        return at;
    shift(space, at, 1);
    space->vmas[at].end = line;
    space->vmas[at + 1] = rest_of(&space->vmas[at + 1], line);
    if (space->vmas[at].file)
        space->vmas[at].file->refs++;
    return at + 1;
}

static bool one_goes_on(const struct vma *a, const struct vma *b)
{
    return a->end == b->first && a->prot == b->prot && a->file == b->file &&
           (!a->file ||
            (a->file_page + (a->end - a->first) == b->file_page && a->file_end == b->file_end));
}

/* Makes neighbours in and around a range one, where they say the same. */
static void mend(struct space *space, uint64_t first, uint64_t end)
{
    for (uint32_t at = vma_place(space, first ? first - 1 : 0);
         at + 1 < space->vma_count && space->vmas[at].end <= end;) {
        struct vma *vma = &space->vmas[at];
        if (!one_goes_on(vma, vma + 1)) {
            at++;
            continue;
        }
        vma->end = vma[1].end;
        if (vma->file)
            mapped_put(vma->file);
        shift(space, at + 2, -1);
    }
}

/* Takes the vmas of a range out, which is cut at both ends; returns where they were. */
static uint32_t take_out(struct space *space, uint64_t first, uint64_t end)
{
    uint32_t from = cut(space, first), to = cut(space, end);
    for (uint32_t i = from; i < to; i++)
        if (space->vmas[i].file)
            mapped_put(space->vmas[i].file);
    shift(space, to, -(int32_t)(to - from));
    return from;
}

/* ---- changes ---- */

/* Of the vmas of a range, which is cut at both ends, the lines that may be written back. */
static uint64_t writable_lines(const struct space *space, uint64_t first, uint64_t end)
{
    uint64_t lines = 0;
    for (uint32_t i = vma_place(space, first); i < space->vma_count; i++) {
        const struct vma *vma = &space->vmas[i];
        if (vma->first >= end)
            break;
        lines += vma->prot & PROT_WRITE ? vma->end - vma->first : 0;
    }
    return lines;
}

static int unmap(struct space *space, struct blocks *blocks, uint64_t first, uint64_t end)
{
    int rc = reserve_vmas(space, VMAS_ADDED);
    if (rc < 0)
        return rc;
    uint32_t had = space->block_count;
    clear_lines(space, blocks, first, end);
    trim_tables(space, first, end);
    cut(space, first);
    cut(space, end);
    uint64_t lines = writable_lines(space, first, end);
    take_out(space, first, end);
    had -= space->block_count;
    keep_promise(space, blocks, lines > had ? lines - had : 0);
    return 0;
}

static int map(struct space *space, struct blocks *blocks, const struct vma *vma)
{
    int rc = reserve_vmas(space, VMAS_ADDED);
    if (rc < 0)
        return rc;
    clear_lines(space, blocks, vma->first, vma->end);
    trim_tables(space, vma->first, vma->end);
    uint32_t at = take_out(space, vma->first, vma->end);
    shift(space, at, 1);
    space->vmas[at] = *vma;
    if (vma->file)
        vma->file->refs++;
    mend(space, vma->first, vma->end);
    return 0;
}

static int protect(struct space *space, uint64_t first, uint64_t end, uint8_t prot)
{
    int rc = reserve_vmas(space, VMAS_ADDED);
    if (rc < 0)
        return rc;
    uint32_t from = cut(space, first), to = cut(space, end);
    for (uint32_t i = from; i < to; i++)
        space->vmas[i].prot = prot;
    mend(space, first, end);
    return 0;
}

/* A part of a move that lies in one vRegion on either side. */
struct step {
    struct vregion *from, *to;
    uint32_t first, to_first, count; /* lines of these */
};

static bool next_step(const struct space *space, const struct vm_op *op, uint64_t *done,
                      struct step *step)
{
    uint64_t from = op->first.n + *done, to = op->to.n + *done, count = op->count - *done;
    uint64_t from_left = VREGION_LINES - from % VREGION_LINES;
    uint64_t to_left = VREGION_LINES - to % VREGION_LINES;
    if (!count)
        return false;
    count = count < from_left ? count : from_left;
    count = count < to_left ? count : to_left;
    *step = (struct step){vregion_of(space, from), vregion_of(space, to), from % VREGION_LINES,
                          to % VREGION_LINES, (uint32_t)count};
    *done += count;
    return true;
}

/* To where there are none, and where there is a table if one is needed. */
static void move_lines(const struct step *s)
{
    for (uint32_t i = 0; i < s->count && s->from->stored; i++) {
        uint32_t *entry = &s->from->table[s->first + i];
        if (*entry == LINE_ABSENT)
            continue;
        s->to->table[s->to_first + i] = *entry;
        s->to->stored++;
        *entry = LINE_ABSENT;
        s->from->stored--;
    }
}

/* To where there are none. */
static void move_vmas(struct space *space, const struct vm_op *op)
{
    uint32_t from = cut(space, op->first.n), moved = cut(space, op->first.n + op->count) - from;
    uint32_t at = cut(space, op->to.n);
    shift(space, at, (int32_t)moved);
    from += at <= from ? moved : 0;
    for (uint32_t i = 0; i < moved; i++) {
        struct vma vma = space->vmas[from + i];
        vma.first += op->to.n - op->first.n;
        vma.end += op->to.n - op->first.n;
        space->vmas[at + i] = vma;
    }
    shift(space, from + moved, -(int32_t)moved);
}

static int move(struct space *space, struct blocks *blocks, const struct vm_op *op)
{
    uint64_t first = op->first.n, end = first + op->count, to = op->to.n, to_end = to + op->count;
    struct step step;
    int rc = check_range(space, to, op->count);
    if (rc == 0 && first < to_end && to < end)
        rc = -EINVAL;
    if (rc == 0)
        rc = reserve_vmas(space,
                          vma_place(space, end - 1) - vma_place(space, first) + 1 + VMAS_ADDED);
    for (uint64_t done = 0; rc == 0 && next_step(space, op, &done, &step);)
        if (step.from->stored)
            rc = space_prepare(space, to + done - step.count);
    if (rc < 0)
        return rc;
    clear_lines(space, blocks, to, to_end);
    take_out(space, to, to_end);
    for (uint64_t done = 0; next_step(space, op, &done, &step);)
        move_lines(&step);
    move_vmas(space, op);
    mend(space, to, to_end);
    trim_tables(space, to, to_end);
    trim_tables(space, first, end);
    return 0;
}

int space_apply(struct space *space, struct blocks *blocks, const struct vm_op *op,
                struct mapped *file, uint64_t file_end)
{
    uint64_t first = op->first.n, end = first + op->count;
    int rc = check_range(space, first, op->count);
    if (rc < 0)
        return rc;
    switch (op->kind) {
    case VM_OP_MAP:
        return map(space, blocks, &(struct vma){.first = first, .end = end, .prot = op->prot});
    case VM_OP_MAP_FILE:
        return map(space, blocks,
                   &(struct vma){.first = first,
                                 .end = end,
                                 .prot = op->prot,
                                 .file = file,
                                 .file_page = op->to.n,
                                 .file_end = file_end});
    case VM_OP_UNMAP:
        return unmap(space, blocks, first, end);
    case VM_OP_PROTECT:
        return protect(space, first, end, op->prot);
    case VM_OP_REMAP:
        return move(space, blocks, op);
    case VM_OP_DISCARD:
        clear_lines(space, blocks, first, end);
        trim_tables(space, first, end);
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- whole spaces ---- */

static int clone_vregion(const struct vregion *v, struct blocks *blocks, struct vregion *copy)
{
    *copy = *v;
    if (!v->table)
        return 0;
    copy->table = malloc(VREGION_LINES * sizeof *copy->table);
    if (!copy->table) {
        copy->stored = 0;
        return -ENOMEM;
    }
    memcpy(copy->table, v->table, VREGION_LINES * sizeof *copy->table);
    for (uint32_t i = 0; i < VREGION_LINES; i++)
        if (is_block(copy->table[i]))
            blocks_ref(blocks, copy->table[i]);
    return 0;
}

int space_clone(const struct space *space, struct blocks *blocks, struct space *child)
{
    int rc = reserve_vmas(child, space->vma_count);
    child->vregions = malloc((space->vregion_count + 1) * sizeof *child->vregions);
    if (rc < 0 || !child->vregions)
        return -ENOMEM;
    child->vregion_room = space->vregion_count + 1;
    child->block_count = space->block_count;
    for (uint32_t i = 0; i < space->vregion_count && rc == 0; i++)
        rc = clone_vregion(&space->vregions[i], blocks, &child->vregions[child->vregion_count++]);
    if (rc < 0)
        return rc;
    child->vma_count = space->vma_count;
    for (uint32_t i = 0; i < child->vma_count; i++) {
        child->vmas[i] = space->vmas[i];
        if (child->vmas[i].file)
            child->vmas[i].file->refs++;
    }
    return 0;
}

void space_clear(struct space *space, struct blocks *blocks)
{
    for (uint32_t i = 0; i < space->vma_count; i++)
        if (space->vmas[i].file)
            mapped_put(space->vmas[i].file);
    for (uint32_t i = 0; i < space->vregion_count; i++) {
        struct vregion *v = &space->vregions[i];
        for (uint32_t at = 0; at < VREGION_LINES && v->stored; at++)
            if (v->table[at] != LINE_ABSENT)
                set(space, blocks, v, at, LINE_ABSENT);
        free(v->table);
    }
    keep_promise(space, blocks, UINT32_MAX);
    free(space->vmas);
    free(space->vregions);
    space->vmas = NULL;
    space->vregions = NULL;
    space->vma_count = space->vma_room = space->vregion_count = space->vregion_room = 0;
    space->block_count = 0;
    space->serial = 0;
}
