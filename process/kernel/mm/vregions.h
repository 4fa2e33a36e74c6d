/*
 * The copy of the home's vRegion array: in which part of the address space each vRegion lies.
 *
 * A vRegion's part never changes; where a part is may (rpc/rpc.h follows it).
 */
#ifndef ASHLAR_KERNEL_MM_VREGIONS_H
#define ASHLAR_KERNEL_MM_VREGIONS_H

#include "mm.h"

void vregions_init(void);

struct vregion_need {
    struct vpn first, end; /* not empty */
    bool writable;         /* it is about to be mapped so */
};

/*
 * Sees to it that the vRegions of all these are granted: one VREGION_GRANT for what is new of them,
 * or more where that is GRANT_MAX vRegions. ASH_NO_FRAMES where the rack has no memory for them.
 * mm.ops_lock is held.
 */
int vregions_grant(const struct vregion_need *needs, uint32_t count)
    __attribute__((warn_unused_result));

/* The part of a line whose vRegion was granted. Any thread. */
uint32_t vregions_part(struct vpn page);

/* Whether both lie in the same part, as far as they were granted. Any thread. */
bool vregions_together(struct vpn a, struct vpn b);

/* How many lines from page on, at most `most`, lie in the same part; they are granted. */
uint64_t vregions_run(struct vpn page, uint64_t most);

#endif
