/* The sorted array of vmas: cutting, removing, inserting. mm.lock is held for writing. */
#ifndef ASHLAR_KERNEL_VMAS_H
#define ASHLAR_KERNEL_VMAS_H

#include "mm.h"

/* Whether two more vmas fit: what a change of a range may need at most. */
bool vmas_room(void);
/*
 * Whether RLIMIT_AS and RLIMIT_DATA let so many lines more be mapped, and so many more be data.
 * Asked under the lock under which they become it, so that threads do not pass a limit together.
 */
bool vmas_allowed(uint64_t lines, uint64_t data_lines);
/* The same for a mapping of [first, end), where something may be mapped that it replaces. */
bool vmas_allowed_at(struct vpn first, struct vpn end, bool data);
/* Whether RLIMIT_DATA is for it: private, writable, and no stack. */
static inline bool vma_data(const struct vma *v)
{
    return v->prot & PROT_WRITE && !vma_shared(v) && !(v->flags & VMA_GROWS);
}
/* Sets and clears enum vma_flags. */
void vma_set_flags(struct vma *v, unsigned set, unsigned clear);
/* Makes page a border: cuts the vma that spans it. */
void vmas_cut(struct vpn page);
/* Takes everything in [first, end) out of the array (the host mappings are the caller's). */
void vmas_remove(struct vpn first, struct vpn end);
/* Puts in a vma whose range is free; joins it with neighbours that it continues. */
void vmas_insert(const struct vma *vma);
/* Joins what can be joined around the vmas of [first, end). */
void vmas_join(struct vpn first, struct vpn end);
/* Whether [first, end) is free. */
bool vmas_free(struct vpn first, struct vpn end);
/* The highest free run of `count` lines that ends at or below `top`; page 0: none. */
struct vpn vmas_gap(uint64_t count, struct vpn top);

/* mm.c: where a new mapping goes: 0 with *first and *end set, or a negative errno. */
int mm_place(uint64_t hint, uint64_t length, int flags, struct vpn *first, struct vpn *end);
/* Unmaps everything in a range, here and (tell, or shared) where its lines are kept. */
void mm_unmap_locked(struct vpn first, struct vpn end, bool tell);

struct vma_file *vma_file_get(struct vma_file *file);
void vma_file_put(struct vma_file *file);

#endif
