/*
 * Changes of the address space that were made here and wait to be told to where its parts are.
 *
 * They are posted in the order in which they were made and go, up to OPS_MAX together, with the
 * LINE_FETCH that needs them (no message of their own), or in a SPACE_OPS: before a write-back or a
 * fork, when there are too many, and before the sComponent is told to let go of a file that one of
 * them maps (mm_flush*, in mm.h).
 */
#ifndef ASHLAR_KERNEL_MM_CHANGES_H
#define ASHLAR_KERNEL_MM_CHANGES_H

#include "mm.h"
#include "vregions.h"

void changes_init(void);
/* Before memory is promised to the program: its vRegions, so that this is where it is refused.
   -ENOMEM. mm.lock is held for writing. One message where any of them is new. */
int changes_reserve(const struct vregion_need *needs, uint32_t count)
    __attribute__((warn_unused_result));
/* mm.lock is held for writing for these two. A file's mapping is posted too: the home reports what
   is wrong with a file when its lines are fetched. */
void changes_post(uint8_t kind, int prot, struct vpn first, struct vpn end, struct vpn to);
void changes_post_file(const struct vma *v);
/* A vma has moved to where it is now, from `first` on; nothing of it is on its way out. Between two
   parts of the address space its lines are copied, which takes two messages for each 64. */
void changes_post_move(const struct vma *v, struct vpn first);

/*
 * Puts what waits into a LINE_FETCH, whose `first` is filled. False: nothing waits (any more). Else
 * nobody else can send or post until changes_sent(), which the caller calls once the fetch was
 * answered; it may not evict meanwhile.
 */
bool changes_send_with(struct msg_line_fetch *request);
void changes_sent(void);

/* Around a fork, with mm.lock held: nobody else is sending. */
void changes_hold(void);
void changes_release(void);

#endif
