/*
 * Where a part of an address space is: asked of the mComponents themselves, which alone know.
 *
 * An mComponent that has the second copy of a part takes its primary's place when it is asked for
 * it and told that the primary is lost; that it is, is the registry's word, or its own, that it
 * does not have the part.
 */
#ifndef ASHLAR_PROCESS_LOCATE_H
#define ASHLAR_PROCESS_LOCATE_H

#include "node.h"

/*
 * Looks for it until deadline_ms (clock_ms()), and once in any case. `was`: where it was last known
 * to be. ASH_NO_SPACE_ID: it is lost, everybody who could have it says so. ASH_TIMEOUT: not
 * everybody who could have it answers. No lock of the node may be held but segments'.
 */
int locate_space(struct node *node, struct asid asid, struct component was, uint64_t deadline_ms,
                 struct component_info *out) NET_CHECKED;

/* Frees a space where it is now; leaves that to the mComponent where it is not to be had. */
void locate_and_destroy(struct node *node, struct home *home, struct asid asid);

#endif
