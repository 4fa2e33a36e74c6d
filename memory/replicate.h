/*
 * How a part gets its second copy: read beside the changes that go on, told to another mComponent
 * in rounds, and then, all changes waiting for a moment, made its replica. See
 * docs/architecture.md, "Parts and copies".
 */
#ifndef ASHLAR_MEMORY_REPLICATE_H
#define ASHLAR_MEMORY_REPLICATE_H

#include "memory.h"

/*
 * Makes a replica of a primary, where it has none or that is at a draining component: then the old
 * one goes. 0 where it has one afterwards. ASH_NO_COMPONENT: there is no component for it. On
 * failure the next try is put off.
 */
int replicate(struct memory *memory, struct space *space) __attribute__((warn_unused_result));

/* The same, when a space has just been made, and then only; a failure is none. */
void replicate_at_first(struct memory *memory, struct space *space);

#endif
