/*
 * The vma tree: a treap by first line, worked on by splitting and joining (Seidel and Aragon,
 * Randomized Search Trees, 1996).
 *
 * Every change of a range is the same three steps: cut the vmas that stick out of the range at its
 * ends (vma_prepare), take the range's vmas out of the tree as a tree of their own, put back what
 * should be there, and mend cuts where both sides say the same again. Only the cuts allocate, and
 * they change nothing that a reader could see; so no change fails half way.
 *
 * Invariants: vmas do not overlap and are not empty; a node's priority is not below its children's.
 * A priority is a hash of the node's address under a secret, so no peer can choose the tree's
 * shape; the expected depth is O(log n) whatever the order of changes. O(log n + k) a change of k
 * vmas.
 */
#include "vma.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "file.h"

static uint64_t secret;

__attribute__((constructor)) static void draw_secret(void)
{
    if (getrandom(&secret, sizeof secret, 0) != sizeof secret)
        secret = (uintptr_t)&secret;
}

/* The finalizer of splitmix64. */
static uint64_t scatter(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static struct vma *fill(struct vma *v, const struct vma *what)
{
    *v = *what;
    v->left = v->right = NULL;
    v->priority = scatter((uintptr_t)v ^ secret);
    if (v->file)
        file_ref(v->file);
    return v;
}

static struct vma *make(const struct vma *what)
{
    struct vma *v = malloc(sizeof *v);
    return v ? fill(v, what) : NULL;
}

static void discard(struct vma *v)
{
    if (v->file)
        file_put(v->file);
    free(v);
}

/* Frees a whole tree and returns how many vmas it had. */
static uint32_t discard_all(struct vma *root)
{
    if (!root)
        return 0;
    uint32_t count = 1 + discard_all(root->left) + discard_all(root->right);
    discard(root);
    return count;
}

/* Parts a tree into the vmas that start below `at` and the others. */
static void split(struct vma *root, uint32_t at, struct vma **below, struct vma **rest)
{
    if (!root) {
        *below = *rest = NULL;
    } else if (root->first < at) {
        *below = root;
        split(root->right, at, &root->right, rest);
    } else {
        *rest = root;
        split(root->left, at, below, &root->left);
    }
}

static struct vma *join(struct vma *a, struct vma *b)
{
    if (!a)
        return b;
    if (!b)
        return a;
    if (a->priority > b->priority) {
        a->right = join(a->right, b);
        return a;
    }
    b->left = join(a, b->left);
    return b;
}

static void count(struct vma_tree *tree, uint32_t change)
{
    tree->count += change; /* modulo 2^32: also downwards */
    *tree->total += change;
}

static void insert(struct vma_tree *tree, struct vma *v)
{
    struct vma *below, *rest;
    split(tree->root, v->first, &below, &rest);
    tree->root = join(join(below, v), rest);
    count(tree, 1);
}

static struct vma *find_at_or_after(struct vma *root, uint32_t line)
{
    struct vma *best = NULL;
    while (root) {
        if (line < root->end) {
            best = root;
            if (line >= root->first)
                break;
            root = root->left;
        } else {
            root = root->right;
        }
    }
    return best;
}

const struct vma *vma_at_or_after(const struct vma_tree *tree, uint32_t line)
{
    return find_at_or_after(tree->root, line);
}

/* Makes `at` a boundary between vmas. */
static int cut(struct vma_tree *tree, uint32_t at)
{
    struct vma *v = find_at_or_after(tree->root, at);
    if (!v || v->first >= at)
        return 0;
    struct vma *upper = *tree->total < VMAS_MAX ? make(v) : NULL;
    if (!upper)
        return -ENOMEM;
    upper->file_page = vma_file_page(v, at);
    upper->first = at;
    v->end = at;
    insert(tree, upper);
    return 0;
}

/* Takes the vmas of a range whose ends are boundaries out of the tree; they still count. */
static struct vma *take(struct vma_tree *tree, uint32_t first, uint32_t end)
{
    struct vma *below, *middle, *rest;
    split(tree->root, first, &below, &rest);
    split(rest, end, &middle, &rest);
    tree->root = join(below, rest);
    return middle;
}

static void take_and_discard(struct vma_tree *tree, uint32_t first, uint32_t end)
{
    count(tree, -discard_all(take(tree, first, end)));
}

/* Whether b, which starts where a ends, continues it. */
static bool continues(const struct vma *a, const struct vma *b)
{
    return a->end == b->first && a->prot == b->prot && a->file == b->file &&
           (!a->file || (a->file_end == b->file_end && vma_file_page(a, a->end) == b->file_page));
}

void vma_mend(struct vma_tree *tree, uint32_t at)
{
    struct vma *before = at ? find_at_or_after(tree->root, at - 1) : NULL;
    struct vma *after = find_at_or_after(tree->root, at);
    if (!before || !after || before == after || !continues(before, after))
        return;
    uint32_t end = after->end;
    take_and_discard(tree, at, end);
    before->end = end;
}

int vma_prepare(struct vma_tree *tree, uint32_t first, uint32_t end)
{
    if (!tree->spare && !(tree->spare = malloc(sizeof *tree->spare)))
        return -ENOMEM;
    int rc = cut(tree, first);
    return rc < 0 ? rc : cut(tree, end);
}

void vma_map(struct vma_tree *tree, const struct vma *what)
{
    take_and_discard(tree, what->first, what->end);
    insert(tree, fill(tree->spare, what));
    tree->spare = NULL;
    vma_mend(tree, what->first);
    vma_mend(tree, what->end);
}

void vma_unmap(struct vma_tree *tree, uint32_t first, uint32_t end)
{
    take_and_discard(tree, first, end);
}

/* Puts back, in order, the vmas of a tree that was taken out; they count already. */
static void protect_all(struct vma_tree *tree, struct vma *root, uint8_t prot)
{
    if (!root)
        return;
    struct vma *right = root->right;
    protect_all(tree, root->left, prot);
    root->left = root->right = NULL;
    root->prot = prot;
    uint32_t first = root->first;
    count(tree, -1u);
    insert(tree, root);
    vma_mend(tree, first);
    protect_all(tree, right, prot);
}

void vma_protect(struct vma_tree *tree, uint32_t first, uint32_t end, uint8_t prot)
{
    protect_all(tree, take(tree, first, end), prot);
    vma_mend(tree, end);
}

static uint32_t shift_all(struct vma *root, uint32_t by)
{
    if (!root)
        return 0;
    root->first += by; /* modulo 2^32: also downwards */
    root->end += by;
    return 1 + shift_all(root->left, by) + shift_all(root->right, by);
}

void vma_move(struct vma_tree *from, uint32_t first, uint32_t end, struct vma_tree *to,
              uint32_t to_first)
{
    struct vma *moving = take(from, first, end), *below, *rest;
    uint32_t moved = shift_all(moving, to_first - first);
    count(from, -moved);
    count(to, moved);
    split(to->root, to_first, &below, &rest);
    to->root = join(join(below, moving), rest);
}

static bool same(const struct vma *a, const struct vma *b)
{
    return a->first == b->first && a->end == b->end && a->prot == b->prot && a->file == b->file &&
           (!a->file || (a->file_page == b->file_page && a->file_end == b->file_end));
}

bool vma_tree_equal(const struct vma_tree *a, const struct vma_tree *b)
{
    const struct vma *x = vma_at_or_after(a, 0), *y = vma_at_or_after(b, 0);
    if (a->count != b->count)
        return false;
    for (; x && y && same(x, y); y = vma_at_or_after(b, y->end))
        x = vma_at_or_after(a, x->end);
    return !x && !y;
}

static int copy_all(const struct vma *root, struct vma **copy)
{
    *copy = NULL;
    if (!root)
        return 0;
    struct vma *v = make(root);
    if (!v)
        return -ENOMEM;
    /* The copy keeps the shape, so it must keep the priorities too. */
    v->priority = root->priority;
    *copy = v;
    int rc = copy_all(root->left, &v->left);
    return rc < 0 ? rc : copy_all(root->right, &v->right);
}

int vma_tree_clone(const struct vma_tree *tree, struct vma_tree *copy, uint32_t *total)
{
    *copy = (struct vma_tree){.total = total};
    count(copy, tree->count);
    int rc = copy_all(tree->root, &copy->root);
    if (rc < 0)
        vma_tree_free(copy);
    return rc;
}

void vma_tree_free(struct vma_tree *tree)
{
    discard_all(tree->root);
    free(tree->spare);
    count(tree, -tree->count);
    *tree = (struct vma_tree){.total = tree->total};
}
