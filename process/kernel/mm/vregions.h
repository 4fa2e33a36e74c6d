/*
 * The copy of the home's vRegion array: in which part of the address space each vRegion lies.
 *
 * A vRegion's part never changes; where a part is may (rpc/rpc.h follows it).
 */
#ifndef ASHLAR_KERNEL_MM_VREGIONS_H
#define ASHLAR_KERNEL_MM_VREGIONS_H

#include "mm.h"

void vregions_init(void);

/*
 * Sees to it that the vRegions of [first, end) are granted; of what is not yet, `writable` says
 * whether it is about to be mapped so. One VREGION_GRANT for each run of new ones. ASH_NO_FRAMES
 * where the rack has no memory for them. mm.ops_lock is held.
 */
int vregions_grant(struct vpn first, struct vpn end, bool writable)
    __attribute__((warn_unused_result));

/* The part of a line whose vRegion was granted. Any thread. */
uint32_t vregions_part(struct vpn page);

/* How many lines from page on, at most `most`, lie in the same part; they are granted. */
uint64_t vregions_run(struct vpn page, uint64_t most);

#endif
