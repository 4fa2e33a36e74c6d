/*
 * The parts of an address space, as its home sees them: which vRegion goes to which, where they
 * are, and their end. See docs/architecture.md, "Parts and copies".
 *
 * The functions ask other components and the registry; no lock is held over that.
 */
#ifndef ASHLAR_MEMORY_PARTS_H
#define ASHLAR_MEMORY_PARTS_H

#include "memory.h"

/* What a grant took, for who wants to follow it. */
struct grant_steps {
    bool asked; /* the global managers (steps 2 and 3) */
    bool told;  /* another component (4 and 5) */
};

/*
 * Makes vRegions of the first part `space` active, those that are not, in parts with room for their
 * lines together, and describes all of them; adds to *steps. ASH_NO_FRAMES: nobody has any room.
 */
int parts_grant(struct memory *memory, struct space *space, const struct vregion_run *run,
                struct vregion_info *out, struct grant_steps *steps)
    __attribute__((warn_unused_result));

/* The same at a further part, which takes whatever its home sends it. */
int parts_grant_further(struct memory *memory, struct space *space, const struct vregion_run *run,
                        struct vregion_info *out) __attribute__((warn_unused_result));

/* Ends every other part, wherever it is; those that cannot be reached end by themselves. */
void parts_destroy(struct memory *memory, struct space *space);
/* Ends them and this one, its replica too. Nothing of it is held when this returns, but at
   components that could not be reached. ASH_MOVED: this is not the primary. */
int parts_finish(struct memory *memory, struct space *space) __attribute__((warn_unused_result));

/*
 * What this component has of a part. A replica whose primary is `lost` takes its place first.
 */
void parts_look(struct memory *memory, struct asid asid, struct component lost,
                struct msg_space_locate_reply *out);
/* Where a part's primary is, of all that are up, this one too; `lost` as above. Negative: nowhere
   (ASH_NO_SPACE_ID), or somebody has not answered. */
int parts_locate(struct memory *memory, struct asid asid, struct component lost,
                 struct component *out) __attribute__((warn_unused_result));
/* Of a primary to which nobody is connected, whether a process may come to it yet: to a further
   part while anybody has anything of its first one; to a first one that took a lost primary's
   place, if a node knows of such a process. */
bool parts_are_awaited(struct memory *memory, struct space *space);
/* Whether the primary of a replica here, whose place is this, says that it has no replica here. */
bool parts_is_forgotten(struct memory *memory, struct space *replica,
                        const struct space_place *place);
/* Whether another component is the primary of what is here, under a newer epoch; `unsure` where
   somebody did not say. */
bool parts_is_elsewhere(struct memory *memory, struct space *space, uint32_t epoch, bool *unsure);

#endif
