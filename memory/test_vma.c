/* The vma tree against a plain array of lines, under random changes. */
#include "test_support.h"

#include "clock.h"
#include "file.h"
#include "vma.h"

enum { LINES = 300, TREES = 2, FILE_COUNT = 3 };

/* What the array says of a line. */
struct cell {
    bool mapped;
    uint8_t prot;
    struct file *file;
    uint64_t page;
};

struct world {
    struct vma_tree trees[TREES];
    struct cell cells[TREES][LINES];
    uint32_t total;
    struct file files[FILE_COUNT];
    struct files registry;
};

static int no_message(void *self, struct file *file, uint64_t deadline_ms)
{
    return 0;
}

static const struct backing_ops quiet = {.hold = no_message};

static void check(struct world *w)
{
    unsigned refs[FILE_COUNT] = {0};
    assert_int_equal(w->total, w->trees[0].count + w->trees[1].count);
    for (int t = 0; t < TREES; t++) {
        uint32_t count = 0, line = 0;
        const struct vma *before = NULL;
        for (const struct vma *v; (v = vma_at_or_after(&w->trees[t], line)); line = v->end) {
            assert_true(v->first < v->end && v->first >= line);
            for (; line < v->first; line++)
                assert_false(w->cells[t][line].mapped);
            for (; line < v->end; line++) {
                const struct cell *c = &w->cells[t][line];
                assert_true(c->mapped);
                assert_int_equal(c->prot, v->prot);
                assert_ptr_equal(c->file, v->file);
                if (v->file)
                    assert_int_equal(c->page, vma_file_page(v, line));
                assert_ptr_equal(vma_at_or_after(&w->trees[t], line), v);
            }
            /* Neighbours that say the same are one. */
            if (before && before->end == v->first && before->prot == v->prot)
                assert_false(before->file == v->file &&
                             (!v->file || vma_file_page(before, v->first) == v->file_page));
            if (v->file)
                refs[v->file - w->files]++;
            before = v;
            count++;
        }
        for (; line < LINES; line++)
            assert_false(w->cells[t][line].mapped);
        assert_int_equal(w->trees[t].count, count);
    }
    for (int f = 0; f < FILE_COUNT; f++)
        assert_int_equal(atomic_load(&w->files[f].refs), 1 + refs[f]);
}

static void change(struct world *w, struct random *r)
{
    int t = (int)random_below(r, TREES);
    uint32_t first = (uint32_t)random_below(r, LINES);
    uint32_t end = first + 1 + (uint32_t)random_below(r, LINES - first);
    uint8_t prot = (uint8_t)random_below(r, 3);
    struct cell *cells = w->cells[t];
    assert_int_equal(vma_prepare(&w->trees[t], first, end), 0);
    switch (random_below(r, 5)) {
    case 0:
    case 1: {
        struct vma what = {.first = first, .end = end, .prot = prot};
        if (random_below(r, 2)) {
            what.file = &w->files[random_below(r, FILE_COUNT)];
            what.file_page = random_below(r, 2) ? first : random_below(r, 5);
            what.file_end = 1000;
        }
        vma_map(&w->trees[t], &what);
        for (uint32_t i = first; i < end; i++)
            cells[i] = (struct cell){true, prot, what.file, what.file_page + (i - first)};
        break;
    }
    case 2:
        vma_unmap(&w->trees[t], first, end);
        for (uint32_t i = first; i < end; i++)
            cells[i].mapped = false;
        break;
    case 3:
        vma_protect(&w->trees[t], first, end, prot);
        for (uint32_t i = first; i < end; i++)
            cells[i].prot = prot;
        break;
    case 4: {
        int u = (int)random_below(r, TREES);
        uint32_t to = (uint32_t)random_below(r, LINES - (end - first) + 1),
                 to_end = to + end - first;
        if (t == u && first < to_end && to < end)
            break;
        assert_int_equal(vma_prepare(&w->trees[u], to, to_end), 0);
        vma_unmap(&w->trees[u], to, to_end);
        vma_move(&w->trees[t], first, end, &w->trees[u], to);
        for (uint32_t i = 0; i < end - first; i++) {
            w->cells[u][to + i] = cells[first + i];
            cells[first + i].mapped = false;
        }
        vma_mend(&w->trees[u], to);
        vma_mend(&w->trees[u], to_end);
        break;
    }
    }
    /* A change that was prepared and not made may leave a boundary. */
    vma_mend(&w->trees[t], first);
    vma_mend(&w->trees[t], end);
}

static void as_an_array_of_lines(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct random random = {seed};
        struct world *w = calloc(1, sizeof *w);
        assert_int_equal(files_init(&w->registry, (struct backing){&quiet, NULL}), 0);
        for (int t = 0; t < TREES; t++)
            w->trees[t].total = &w->total;
        for (int f = 0; f < FILE_COUNT; f++) {
            w->files[f].files = &w->registry;
            atomic_init(&w->files[f].refs, 1);
        }
        for (int i = 0; i < 400; i++) {
            change(w, &random);
            check(w);
        }
        struct vma_tree copy;
        assert_int_equal(vma_tree_clone(&w->trees[0], &copy, &w->total), 0);
        struct vma_tree original = w->trees[0];
        vma_tree_free(&original);
        w->trees[0] = copy;
        check(w);
        for (int t = 0; t < TREES; t++)
            vma_tree_free(&w->trees[t]);
        assert_int_equal(w->total, 0);
        for (int f = 0; f < FILE_COUNT; f++)
            assert_int_equal(atomic_load(&w->files[f].refs), 1);
        files_free(&w->registry);
        free(w);
    }
}

static uint32_t depth(const struct vma *v)
{
    if (!v)
        return 0;
    uint32_t left = depth(v->left), right = depth(v->right);
    return 1 + (left > right ? left : right);
}

/* Ascending inserts, the worst order for a tree that does not balance. */
static void stays_shallow(void **state)
{
    enum { VMAS = 100000 };
    uint32_t total = 0;
    struct vma_tree tree = {.total = &total};
    for (uint32_t i = 0; i < VMAS; i++) {
        assert_int_equal(vma_prepare(&tree, i, i + 1), 0);
        vma_map(&tree, &(struct vma){.first = i, .end = i + 1, .prot = i % 2});
    }
    assert_int_equal(tree.count, VMAS);
    assert_true(depth(tree.root) < 80); /* 17 is the least; more than 60 is not to be expected */
    assert_int_equal(vma_prepare(&tree, 0, VMAS), 0);
    vma_protect(&tree, 0, VMAS, 7);
    assert_int_equal(tree.count, 1);
    vma_tree_free(&tree);
}

/* Whoever protects every second line of a wide range is stopped, and can still unmap. */
static void no_more_than_the_limit(void **state)
{
    uint32_t total = VMAS_MAX - 10, made = 0;
    struct vma_tree tree = {.total = &total};
    assert_int_equal(vma_prepare(&tree, 0, 1000), 0);
    vma_map(&tree, &(struct vma){.end = 1000});
    for (uint32_t line = 1; vma_prepare(&tree, line, line + 1) == 0; line += 2, made++)
        vma_protect(&tree, line, line + 1, 1);
    assert_in_range(made, 4, 5);
    assert_true(total <= VMAS_MAX);
    assert_int_equal(vma_prepare(&tree, 0, 1000), 0);
    vma_unmap(&tree, 0, 1000);
    assert_int_equal(total, VMAS_MAX - 10);
    vma_tree_free(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_an_array_of_lines),
        cmocka_unit_test(stays_shallow),
        cmocka_unit_test(no_more_than_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
