/*
 * The vma tree of one vRegion: which of its lines are mapped, how, and to what file.
 *
 * Lines are counted from the vRegion's start; ranges are half-open. Protected by the lock of the
 * address space that the tree belongs to. A vma with a file holds a reference to it.
 */
#ifndef ASHLAR_MEMORY_VMA_H
#define ASHLAR_MEMORY_VMA_H

#include <stdbool.h>
#include <stdint.h>

struct file;

struct vma {
    uint32_t first, end;
    uint8_t prot;
    struct file *file;  /* NULL: anonymous */
    uint64_t file_page; /* of the first line */
    uint64_t file_end;  /* pages that the file had when it was mapped */

    /* The tree's own: */
    struct vma *left, *right;
    uint64_t priority;
};

/* In one address space; Linux's own bound is 65530, but its vmas do not end at every GiB. */
enum { VMAS_MAX = 1 << 20 };

struct vma_tree {
    struct vma *root;
    struct vma *spare; /* for the next vma_map(), so that it cannot fail */
    uint32_t count;
    uint32_t *total; /* of all trees of the address space, which it belongs to */
};

/* The vma that holds `line`, or else the next one after it, or NULL. */
const struct vma *vma_at_or_after(const struct vma_tree *tree, uint32_t line);

/* What `vma` maps at `line`, as a vma of its own would say it. */
static inline uint64_t vma_file_page(const struct vma *vma, uint32_t line)
{
    return vma->file_page + (line - vma->first);
}

/*
 * What every change owes: vma_prepare() of each range that it names, since the last change. It may
 * fail (-ENOMEM; also where there would be more than VMAS_MAX) and changes nothing that a reader
 * could see; the change itself cannot fail.
 */
int vma_prepare(struct vma_tree *tree, uint32_t first, uint32_t end)
    __attribute__((warn_unused_result));

/* Replaces what [what->first, what->end) maps; takes a reference of its own to what->file. */
void vma_map(struct vma_tree *tree, const struct vma *what);
void vma_unmap(struct vma_tree *tree, uint32_t first, uint32_t end);
void vma_protect(struct vma_tree *tree, uint32_t first, uint32_t end, uint8_t prot);
/* Moves the vmas of a range to one that is unmapped. Mends nothing, so that several moves can be
   prepared together; vma_mend() of the new range's two ends is owed after the last of them. */
void vma_move(struct vma_tree *from, uint32_t first, uint32_t end, struct vma_tree *to,
              uint32_t to_first);
/* Makes the vmas on both sides of `at` one where they say the same. */
void vma_mend(struct vma_tree *tree, uint32_t at);

/* Whether they say the same of every line. */
bool vma_tree_equal(const struct vma_tree *a, const struct vma_tree *b);

/* `copy` counts into `total`. */
int vma_tree_clone(const struct vma_tree *tree, struct vma_tree *copy, uint32_t *total)
    __attribute__((warn_unused_result));
void vma_tree_free(struct vma_tree *tree);

#endif
