/* Address spaces against plain arrays of lines, under random requests; no frame is lost. */
#include "test_backing.h"

#include "cache.h"
#include "errors.h"
#include "space.h"
#include "spaces.h"
#include "told.h"

enum {
    SPACES = 4,
    LINES = 3000, /* the part of the window that is played in, over a border of vRegions */
    FIRST = 2 * VREGION_LINES - 1300,
    FILE_PAGES = 500,
};
#define FILE_BYTES (FILE_PAGES * (uint64_t)LINE_SIZE - 77)

static const struct component home = {3};

struct cell {
    bool mapped, of_file, stored;
    uint64_t page;  /* of the file */
    uint64_t stamp; /* stored: what; 0 is zero */
};

struct world {
    struct frames frames;
    struct cache cache;
    struct files files;
    struct test_backing backing;
    struct spaces registry;
    struct file *file;
    struct space *spaces[SPACES];
    struct cell cells[SPACES][LINES];
    uint8_t data[WRITE_MAX_LINES * LINE_SIZE];
};

static void grant(struct space *space)
{
    struct vregion_info infos[3];
    assert_int_equal(space_grant(space, FIRST / VREGION_LINES, 2, 0, 10), 0);
    assert_int_equal(space_describe(space, FIRST / VREGION_LINES, 3, infos), 1);
    assert_int_equal(infos[1].index, FIRST / VREGION_LINES + 1);
    assert_int_equal(infos[1].part, 0);
    assert_int_equal(infos[2].part, PART_NONE);
}

static struct world *world_new(uint64_t frame_count)
{
    struct world *w = calloc(1, sizeof *w);
    struct backing backing = test_backing_open(&w->backing, FILE_BYTES);
    assert_int_equal(frames_init(&w->frames, frame_count * LINE_SIZE), 0);
    assert_int_equal(cache_init(&w->cache, &w->frames), 0);
    assert_int_equal(files_init(&w->files, backing), 0);
    assert_int_equal(spaces_init(&w->registry, &w->frames), 0);
    assert_int_equal(files_get(&w->files, (struct file_id){1, 2, 3}, 1, "/f",
                               clock_ms() + BACKING_TIMEOUT_MS, &w->file),
                     0);
    for (int s = 0; s < SPACES; s++) {
        assert_int_equal(spaces_create(&w->registry, home, 1, 1, &w->spaces[s]), 0);
        grant(w->spaces[s]);
    }
    return w;
}

static void world_free(struct world *w)
{
    for (int s = 0; s < SPACES; s++) {
        spaces_destroy(&w->registry, w->spaces[s]);
        space_put(w->spaces[s]);
    }
    assert_int_equal(frames_used(&w->frames), 0);
    assert_int_equal(atomic_load(&w->frames.promised), 0);
    assert_int_equal(atomic_load(&w->file->refs), 1);
    file_put(w->file);
    while (cache_reclaim(&w->cache, UINT32_MAX))
        ;
    assert_int_equal(atomic_load(&w->frames.in_use), 0);
    spaces_free(&w->registry);
    cache_free(&w->cache);
    files_free(&w->files);
    frames_free(&w->frames);
    test_backing_close(&w->backing);
    free(w);
}

static void check_line(struct world *w, int s, uint32_t line, uint8_t kind, const uint8_t *data)
{
    const struct cell *c = &w->cells[s][line];
    if (!c->mapped) {
        assert_int_equal(kind, LINE_UNMAPPED);
    } else if (c->stored ? c->stamp == 0 : !c->of_file) {
        assert_int_equal(kind, LINE_ZERO);
    } else if (c->stored) {
        assert_int_equal(kind, LINE_DATA);
        assert_true(line_is(data, c->stamp));
    } else if (c->page >= FILE_PAGES) {
        assert_int_equal(kind, LINE_PAST_END);
    } else {
        assert_int_equal(kind, LINE_DATA);
        assert_true(page_is(data, c->page, FILE_BYTES));
    }
}

/* Fetches a run and returns how many lines came. */
static uint32_t check_run(struct world *w, int s, uint32_t first, uint32_t count)
{
    struct fetch fetch;
    assert_int_equal(space_fetch(w->spaces[s], (struct vpn){FIRST + first}, count, &fetch), 0);
    assert_int_equal(fetch_fill(&fetch, &w->cache), 0);
    assert_in_range(fetch.count, 1, count);
    for (uint32_t i = 0; i < fetch.count; i++)
        check_line(w, s, first + i, fetch.kinds[i], frames_data(&w->frames, fetch.frames[i]));
    uint32_t answered = fetch.count;
    fetch_release(&fetch, &w->frames);
    return answered;
}

static void check_all(struct world *w)
{
    for (int s = 0; s < SPACES; s++)
        for (uint32_t line = 0; line < LINES;) {
            uint32_t count = LINES - line < FETCH_MAX_LINES ? LINES - line : FETCH_MAX_LINES;
            line += check_run(w, s, line, count);
        }
}

static void write_some(struct world *w, int s, struct random *r)
{
    struct line_ref lines[WRITE_MAX_LINES];
    uint32_t count = 1 + (uint32_t)random_below(r, WRITE_MAX_LINES);
    uint32_t start = (uint32_t)random_below(r, LINES), inside = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t line = random_below(r, 4) ? (start + i) % LINES : (uint32_t)random_below(r, LINES);
        uint64_t stamp = random_below(r, 5) ? 1 + random_below(r, 1u << 30) : 0;
        struct cell *c = &w->cells[s][line];
        lines[i].page.n = FIRST + line;
        line_make(w->data + i * LINE_SIZE, stamp);
        inside += c->mapped;
        if (c->mapped) {
            c->stored = true;
            c->stamp = stamp;
        }
    }
    assert_int_equal(space_write(w->spaces[s], lines, count, w->data), inside);
}

static void operate(struct world *w, int s, struct random *r)
{
    struct cell *cells = w->cells[s];
    uint32_t first = (uint32_t)random_below(r, LINES);
    uint32_t count = 1 + (uint32_t)random_below(r, LINES - first);
    struct vm_op op = {.kind = (uint8_t)(VM_OP_MAP + random_below(r, 5)),
                       .prot = (uint8_t)random_below(r, 3),
                       .first = {FIRST + first},
                       .count = count};
    uint32_t to = (uint32_t)random_below(r, LINES - count + 1);
    bool overlap = first < to + count && to < first + count;
    op.to.n = FIRST + to;
    assert_int_equal(space_apply(w->spaces[s], &op),
                     op.kind == VM_OP_REMAP && overlap ? -EINVAL : 0);
    for (uint32_t i = first; i < first + count; i++) {
        switch (op.kind) {
        case VM_OP_MAP:
            cells[i] = (struct cell){.mapped = true};
            break;
        case VM_OP_UNMAP:
            cells[i] = (struct cell){0};
            break;
        case VM_OP_DISCARD:
            cells[i].stored = false;
            break;
        case VM_OP_REMAP:
            if (overlap)
                break;
            cells[to + (i - first)] = cells[i];
            cells[i] = (struct cell){0};
        }
    }
}

static void map_file(struct world *w, int s, struct random *r)
{
    uint32_t first = (uint32_t)random_below(r, LINES);
    uint32_t count = 1 + (uint32_t)random_below(r, LINES - first);
    uint64_t page = random_below(r, FILE_PAGES);
    assert_int_equal(space_map_file(w->spaces[s], (struct vpn){FIRST + first}, count, 1, w->file,
                                    page, FILE_PAGES),
                     0);
    for (uint32_t i = 0; i < count; i++)
        w->cells[s][first + i] = (struct cell){.mapped = true, .of_file = true, .page = page + i};
}

static void clone_into(struct world *w, int from, int to)
{
    spaces_destroy(&w->registry, w->spaces[to]);
    space_put(w->spaces[to]);
    assert_int_equal(spaces_create(&w->registry, home, 1, 1, &w->spaces[to]), 0);
    assert_int_equal(space_clone(w->spaces[from], w->spaces[to]), 0);
    memcpy(w->cells[to], w->cells[from], sizeof w->cells[to]);
}

static void check_stat(struct world *w, int s)
{
    struct msg_space_stat_reply stat;
    uint64_t frames = 0;
    for (uint32_t i = 0; i < LINES; i++)
        frames += w->cells[s][i].stored && w->cells[s][i].stamp;
    assert_int_equal(space_stat(w->spaces[s], &stat), 0);
    assert_int_equal(stat.frames, frames);
    assert_int_equal(stat.bytes, frames * LINE_SIZE);
    assert_int_equal(stat.vregions, 2);
}

static void as_arrays_of_lines(void **state)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct random random = {seed};
        struct world *w = world_new(16 * 1024);
        for (int i = 0; i < 300; i++) {
            int s = (int)random_below(&random, SPACES);
            switch (random_below(&random, 12)) {
            case 0:
                map_file(w, s, &random);
                break;
            case 1:
                clone_into(w, s, (s + 1 + (int)random_below(&random, SPACES - 1)) % SPACES);
                break;
            case 2:
                if (random_below(&random, 4))
                    break;
                assert_int_equal(space_reset(w->spaces[s]), 0);
                memset(w->cells[s], 0, sizeof w->cells[s]);
                grant(w->spaces[s]);
                break;
            case 3:
            case 4:
            case 5:
                operate(w, s, &random);
                break;
            default:
                write_some(w, s, &random);
            }
            check_stat(w, s);
            if (i % 20 == 0)
                check_all(w);
        }
        check_all(w);
        world_free(w);
    }
}

/* ---- a copy that is told ---- */

enum { COPIED = 0, COPY = SPACES - 1, EXTRA = FIRST / VREGION_LINES + 7 };

static void tell_vmas(const struct told_vregion *vregion, struct space *to)
{
    static struct vma vmas[LINES];
    uint32_t count = 0;
    const struct vma *vma = vma_at_or_after(&vregion->vmas, 0);
    for (; vma; vma = vma_at_or_after(&vregion->vmas, vma->end))
        vmas[count++] = *vma;
    assert_int_equal(space_set_vmas(to, vregion->index, 0, VREGION_LINES, vmas, count), 0);
}

static void tell_lines(struct world *w, struct told *told, uint32_t i, struct space *to)
{
    struct told_lines lines;
    uint32_t line = 0;
    int rc;
    while ((rc = told_lines(told, i, &line, &lines)) > 0) {
        for (uint32_t j = 0; j < lines.frames_count; j++)
            memcpy(w->data + j * LINE_SIZE, frames_data(&w->frames, lines.frames[j]), LINE_SIZE);
        told_lines_sent(told, &lines);
        assert_int_equal(
            space_set_lines(to, told->vregions[i].index, lines.lines, lines.count, w->data), 0);
    }
    assert_int_equal(rc, 0);
}

static void change_copied(struct world *w, struct random *r)
{
    if (random_below(r, 3) == 0)
        map_file(w, COPIED, r);
    else if (random_below(r, 2))
        operate(w, COPIED, r);
    write_some(w, COPIED, r);
}

/* All that COPY has not been told of COPIED, which may change meanwhile, where there is a random.
 */
static void tell(struct world *w, struct told *told, struct random *r)
{
    struct space *to = w->spaces[COPY];
    struct vregion_info *infos;
    uint32_t count;
    assert_int_equal(told_vregions(told, &infos, &count), 0);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(infos[i].part == PART_NONE
                             ? space_revoke(to, infos[i].index, 1)
                             : space_grant(to, infos[i].index, 1, infos[i].part, 0),
                         0);
    free(infos);
    for (uint32_t i = 0; i < told->count; i++) {
        int rc = told_vmas(told, i);
        assert_in_range(rc, 0, 1);
        if (rc)
            tell_vmas(&told->vregions[i], to);
        for (int j = 0; r && j < 3; j++)
            change_copied(w, r);
        tell_lines(w, told, i, to);
    }
    if (r)
        return;
    memcpy(w->cells[COPY], w->cells[COPIED], sizeof w->cells[COPY]);
    check_stat(w, COPY);
    check_all(w);
}

/* COPY is empty, or what another space is. */
static void begin_telling(struct world *w, struct told *told, int like)
{
    struct space_birth birth = {.asid = {1}};
    struct space *snapshot = space_new(&birth, &w->frames);
    clone_into(w, like, COPY);
    assert_int_equal(space_clone(w->spaces[like], snapshot), 0);
    if (like == COPIED)
        assert_int_equal(space_reset(w->spaces[COPY]), 0);
    assert_int_equal(told_begin(told, w->spaces[COPIED], like == COPIED ? NULL : snapshot), 0);
    space_put(snapshot);
}

static void live(struct world *w, struct random *r)
{
    int s = (int)random_below(r, COPY);
    switch (random_below(r, 12)) {
    case 0:
        map_file(w, s, r);
        break;
    case 1:
        if (random_below(r, 4))
            break;
        assert_int_equal(space_reset(w->spaces[s]), 0); /* exec */
        memset(w->cells[s], 0, sizeof w->cells[s]);
        grant(w->spaces[s]);
        if (s != COPIED)
            assert_int_equal(space_grant(w->spaces[s], EXTRA, 1, 0, 0), 0);
        break;
    case 2:
    case 3:
    case 4:
        operate(w, s, r);
        break;
    default:
        write_some(w, s, r);
    }
}

static void what_a_copy_is_told(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct random random = {seed};
        struct world *w = world_new(16 * 1024);
        struct told told;
        for (int i = 0; i < 20; i++)
            live(w, &random);
        clone_into(w, COPIED, 1);
        for (int copy = 0; copy < 6; copy++) {
            begin_telling(w, &told, copy % 3);
            for (int i = 0; i < 60; i++) {
                if (i % 10 == 5)
                    tell(w, &told, i % 20 == 5 ? &random : NULL);
                live(w, &random);
            }
            tell(w, &told, NULL);
            told_end(&told);
        }
        world_free(w);
    }
}

static int apply(struct world *w, uint8_t kind, uint64_t first, uint64_t count, uint64_t to)
{
    struct vm_op op = {.kind = kind, .first = {first}, .count = count, .to = {to}};
    return space_apply(w->spaces[0], &op);
}

static void ranges_that_make_no_sense(void **state)
{
    struct world *w = world_new(1024);
    struct fetch fetch;
    const uint64_t limit = WINDOW_END >> LINE_SHIFT;
    for (uint8_t kind = VM_OP_MAP; kind <= VM_OP_DISCARD; kind++) {
        assert_int_equal(apply(w, kind, FIRST, 0, FIRST + 9), -EINVAL);
        assert_int_equal(apply(w, kind, 15, 1, FIRST), -EINVAL);
        assert_int_equal(apply(w, kind, limit, 1, FIRST), -EINVAL);
        assert_int_equal(apply(w, kind, FIRST, limit, FIRST), -EINVAL);
        assert_int_equal(apply(w, kind, FIRST, UINT64_MAX, FIRST), -EINVAL);
        assert_int_equal(apply(w, kind, UINT64_MAX, 2, FIRST), -EINVAL);
        assert_int_equal(apply(w, kind, FIRST, limit - FIRST, 16), -EFAULT);
        assert_int_equal(apply(w, kind, 16, 1, FIRST), -EFAULT);
    }
    assert_int_equal(apply(w, VM_OP_REMAP, FIRST, 5, limit - 4), -EINVAL);
    assert_int_equal(apply(w, VM_OP_REMAP, FIRST, 5, UINT64_MAX), -EINVAL);
    assert_int_equal(apply(w, VM_OP_REMAP, FIRST, 5, 16), -EFAULT);
    assert_int_equal(apply(w, 0, FIRST, 1, FIRST), -EINVAL);
    assert_int_equal(apply(w, 99, FIRST, 1, FIRST), -EINVAL);
    assert_int_equal(space_grant(w->spaces[0], VREGION_COUNT, 1, 0, 0), -EINVAL);
    assert_int_equal(space_grant(w->spaces[0], VREGION_COUNT - 1, 2, 0, 0), -EINVAL);
    assert_int_equal(space_grant(w->spaces[0], 1, UINT32_MAX, 0, 0), -EINVAL);
    assert_int_equal(space_grant(w->spaces[0], VREGION_COUNT - 1, 1, 0, 0), 0);
    assert_int_equal(space_fetch(w->spaces[0], (struct vpn){UINT64_MAX}, 2, &fetch), -EINVAL);
    assert_int_equal(space_fetch(w->spaces[0], (struct vpn){limit}, 1, &fetch), -EINVAL);
    assert_int_equal(space_fetch(w->spaces[0], (struct vpn){16}, 1, &fetch), -EFAULT);
    /* A run ends at the last granted line. */
    assert_int_equal(space_fetch(w->spaces[0], (struct vpn){limit - 2}, 9, &fetch), 0);
    assert_int_equal(fetch.count, 2);
    fetch_release(&fetch, &w->frames);
    struct line_ref far[2] = {{{FIRST}}, {{UINT64_MAX}}};
    assert_int_equal(apply(w, VM_OP_MAP, FIRST, 1, 0), 0);
    line_make(w->data, 5);
    line_make(w->data + LINE_SIZE, 5);
    assert_int_equal(space_write(w->spaces[0], far, 2, w->data), -EFAULT);
    w->cells[0][0].mapped = true;
    check_run(w, 0, 0, 1); /* still zero: all or nothing */
    world_free(w);
}

static int write_one(struct world *w, int s, uint32_t line, uint64_t stamp)
{
    struct line_ref ref = {{FIRST + line}};
    line_make(w->data, stamp);
    int rc = space_write(w->spaces[s], &ref, 1, w->data);
    if (rc > 0) {
        w->cells[s][line].stored = true;
        w->cells[s][line].stamp = stamp;
    }
    return rc;
}

/* Takes note of all that is to be told; returns how many lines. */
static uint32_t tell_all(struct told *told)
{
    struct told_lines lines;
    struct vregion_info *infos;
    uint32_t count, total = 0;
    assert_int_equal(told_vregions(told, &infos, &count), 0);
    free(infos);
    for (uint32_t i = 0; i < told->count; i++) {
        assert_in_range(told_vmas(told, i), 0, 1);
        for (uint32_t line = 0; told_lines(told, i, &line, &lines) > 0; total += lines.count)
            told_lines_sent(told, &lines);
    }
    return total;
}

static void when_frames_run_out(void **state)
{
    struct world *w = world_new(1024);
    uint32_t line = 0;
    int rc;
    assert_int_equal(apply(w, VM_OP_MAP, FIRST, LINES, 0), 0);
    for (uint32_t i = 0; i < LINES; i++)
        w->cells[0][i].mapped = true;
    while ((rc = write_one(w, 0, line, 100 + line)) == 1)
        line++;
    assert_int_equal(rc, ASH_NO_FRAMES);
    assert_true(line > 900);
    uint32_t used = frames_used(&w->frames);
    /* A request that does not fit changes nothing, and costs nothing. */
    struct line_ref refs[WRITE_MAX_LINES];
    for (uint32_t i = 0; i < WRITE_MAX_LINES; i++) {
        refs[i].page.n = FIRST + line - 1 + i;
        line_make(w->data + i * LINE_SIZE, 7);
    }
    assert_int_equal(space_write(w->spaces[0], refs, WRITE_MAX_LINES, w->data), ASH_NO_FRAMES);
    assert_int_equal(frames_used(&w->frames), used);
    check_run(w, 0, 0, FETCH_MAX_LINES);
    check_run(w, 0, line - 1, 2);
    /* Nor does one that names a line twice. */
    line_make(w->data, 0);
    line_make(w->data + LINE_SIZE, 8);
    refs[0].page.n = refs[1].page.n = FIRST + 2;
    assert_int_equal(space_write(w->spaces[0], refs, 2, w->data), ASH_NO_FRAMES);
    /* What has a frame can still be written, and file pages be read; a copy is told of the former.
     */
    struct told told;
    begin_telling(w, &told, COPIED);
    tell_all(&told);
    assert_int_equal(write_one(w, 0, 3, 4711), 1);
    check_run(w, 0, 0, 8);
    assert_int_equal(tell_all(&told), 1);
    told_end(&told);
    assert_int_equal(space_map_file(w->spaces[1], (struct vpn){FIRST}, 4, 1, w->file, 9, 500), 0);
    for (uint32_t i = 0; i < 4; i++)
        w->cells[1][i] = (struct cell){.mapped = true, .of_file = true, .page = 9 + i};
    check_run(w, 1, 0, 4);
    /* A full parent and child: shared lines cannot be written until something goes. */
    clone_into(w, 0, 2);
    assert_int_equal(write_one(w, 2, 5, 9), ASH_NO_FRAMES);
    check_run(w, 2, 0, 64);
    assert_int_equal(apply(w, VM_OP_UNMAP, FIRST, LINES / 2, 0), 0);
    assert_int_equal(write_one(w, 2, 5, 9), 1); /* now it is the child's alone */
    check_run(w, 2, 0, 64);
    world_free(w);
}

static void the_same_line_twice(void **state)
{
    struct world *w = world_new(1024);
    struct line_ref refs[3] = {{{FIRST}}, {{FIRST}}, {{FIRST}}};
    uint64_t stamps[][3] = {{5, 0, 6}, {0, 7, 0}, {8, 9, 0}, {0, 0, 3}};
    assert_int_equal(apply(w, VM_OP_MAP, FIRST, 1, 0), 0);
    w->cells[0][0] = (struct cell){.mapped = true, .stored = true};
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 3; j++)
            line_make(w->data + j * LINE_SIZE, stamps[i][j]);
        assert_int_equal(space_write(w->spaces[0], refs, 3, w->data), 3);
        w->cells[0][0].stamp = stamps[i][2];
        check_run(w, 0, 0, 1);
    }
    world_free(w);
}

static void a_destroyed_space_refuses(void **state)
{
    struct world *w = world_new(1024);
    struct msg_space_stat_reply stat;
    struct fetch fetch;
    spaces_destroy(&w->registry, w->spaces[0]);
    assert_null(spaces_find(&w->registry, w->spaces[0]->asid));
    assert_int_equal(apply(w, VM_OP_MAP, FIRST, 1, 0), ASH_NO_SPACE_ID);
    assert_int_equal(space_fetch(w->spaces[0], (struct vpn){FIRST}, 1, &fetch), ASH_NO_SPACE_ID);
    assert_int_equal(write_one(w, 0, 0, 1), ASH_NO_SPACE_ID);
    assert_int_equal(space_reset(w->spaces[0]), ASH_NO_SPACE_ID);
    assert_int_equal(space_stat(w->spaces[0], &stat), ASH_NO_SPACE_ID);
    world_free(w);
}

/* vRegions of several parts, granted in any order; an array says the same. */
static void vregions_of_many_parts(void **state)
{
    enum { VREGIONS = 400 };
    const uint32_t first = VREGION_COUNT - VREGIONS;
    struct random random = {5};
    struct world *w = world_new(1024);
    struct vregion_info infos[VREGIONS];
    uint16_t parts[VREGIONS];
    int missing = VREGIONS;
    memset(parts, 0xff, sizeof parts);
    while (missing) {
        uint32_t at = (uint32_t)random_below(&random, VREGIONS);
        uint32_t count = 1 + (uint32_t)random_below(&random, VREGIONS - at < 9 ? VREGIONS - at : 9);
        uint16_t part = (uint16_t)random_below(&random, 3);
        assert_int_equal(space_grant(w->spaces[0], first + at, count, part, 7), 0);
        for (uint32_t i = at; i < at + count; i++) {
            missing -= parts[i] == PART_NONE;
            parts[i] = parts[i] == PART_NONE ? part : parts[i];
        }
        assert_int_equal(space_describe(w->spaces[0], first, VREGIONS, infos), missing);
        for (uint32_t i = 0; i < VREGIONS; i++)
            assert_int_equal(infos[i].part, parts[i]);
    }
    int64_t promised = 0;
    for (uint32_t i = 0; i < VREGIONS; i++) {
        promised += parts[i] == 0 ? 7 : 0;
        assert_int_equal(apply(w, VM_OP_MAP, (first + i) * (uint64_t)VREGION_LINES, 5, 0),
                         parts[i] == 0 ? 0 : -EFAULT);
    }
    /* world_new() granted two for each space, with ten lines each. */
    assert_int_equal(atomic_load(&w->frames.promised), promised + SPACES * 20);
    space_set_part(w->spaces[0], 2, (struct component){9});
    assert_int_equal(space_describe(w->spaces[0], first, VREGIONS, infos), 0);
    for (uint32_t i = 0; i < VREGIONS; i++)
        assert_int_equal(infos[i].owner.n, parts[i] == 2 ? 9 : 0);
    /* A clone knows the same ones, and is promised nothing. */
    clone_into(w, 0, 1);
    assert_int_equal(space_describe(w->spaces[1], first, VREGIONS, infos), 0);
    for (uint32_t i = 0; i < VREGIONS; i++)
        assert_true(infos[i].part == parts[i] && infos[i].owner.n == (parts[i] == 2 ? 9 : 0));
    assert_int_equal(atomic_load(&w->frames.promised), promised + (SPACES - 1) * 20);
    world_free(w);
}

/* What is promised is what is not stored yet, and not given up. */
static void promises_are_kept(void **state)
{
    struct world *w = world_new(1024);
    const int64_t others = SPACES * 20 - 10;
    assert_int_equal(apply(w, VM_OP_MAP, FIRST, LINES, 0), 0);
    for (uint32_t i = 0; i < LINES; i++)
        w->cells[0][i].mapped = true;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(write_one(w, 0, i, 5 + i), 1);
    assert_int_equal(write_one(w, 0, 3, 50), 1); /* it has a frame already */
    assert_int_equal(write_one(w, 0, 9, 0), 1);  /* takes none */
    assert_int_equal(atomic_load(&w->frames.promised), others + 6);
    assert_int_equal(frames_unpromised(&w->frames), frames_available(&w->frames) - others - 6);
    assert_int_equal(apply(w, VM_OP_UNMAP, FIRST, LINES, 0), 0);
    assert_int_equal(atomic_load(&w->frames.promised), others - 10);
    world_free(w);
}

static void a_space_nobody_comes_to_goes(void **state)
{
    struct world *w = world_new(1024);
    struct asid asid = w->spaces[0]->asid;
    assert_int_equal(asid.n >> 48, home.n);
    assert_int_not_equal(asid.n, w->spaces[1]->asid.n);
    struct space *bound = spaces_bind(&w->registry, asid, w->spaces[0]->run_id);
    assert_ptr_equal(bound, w->spaces[0]);
    assert_null(spaces_bind(&w->registry, (struct asid){0}, w->spaces[0]->run_id));
    assert_null(spaces_bind(&w->registry, asid, w->spaces[0]->run_id + 1));
    assert_false(spaces_is_lonely(&w->registry, bound, clock_ms() + 100000, 3000));
    struct space *found = spaces_find(&w->registry, asid);
    assert_ptr_equal(found, w->spaces[0]);
    space_put(found);
    spaces_unbind(&w->registry, bound);
    assert_false(spaces_is_lonely(&w->registry, bound, clock_ms() + 2000, 3000));
    assert_true(spaces_is_lonely(&w->registry, bound, clock_ms() + 3001, 3000));
    /* One that took another's place, until its process comes. */
    spaces_inherit(&w->registry, bound);
    assert_true(spaces_is_inherited(&w->registry, bound));
    spaces_unbind(&w->registry, spaces_bind(&w->registry, asid, w->spaces[0]->run_id));
    assert_false(spaces_is_inherited(&w->registry, bound));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_arrays_of_lines),
        cmocka_unit_test(what_a_copy_is_told),
        cmocka_unit_test(ranges_that_make_no_sense),
        cmocka_unit_test(when_frames_run_out),
        cmocka_unit_test(the_same_line_twice),
        cmocka_unit_test(a_destroyed_space_refuses),
        cmocka_unit_test(a_space_nobody_comes_to_goes),
        cmocka_unit_test(vregions_of_many_parts),
        cmocka_unit_test(promises_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
