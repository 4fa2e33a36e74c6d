/*
 * What goes on in the background so that each part has its copies, and one place. One thread makes
 * replicas where they are missing, one at a time, and moves parts off this mComponent while it is
 * drained. Another one, which no copy keeps waiting, finds out what became of its parts when this
 * mComponent was taken for lost. A third one finds frames where they run out (pressure.h).
 */
#ifndef ASHLAR_MEMORY_REPLICATOR_H
#define ASHLAR_MEMORY_REPLICATOR_H

#include "memory.h"

int replicator_start(struct memory *memory) __attribute__((warn_unused_result));
void replicator_stop(struct memory *memory);

/* A replica takes its primary's place, which takes its own where it `stays`; false where it is no
   replica of that component's, or not a whole one. Waits for what the primary sent before. */
bool replica_take_over(struct memory *memory, struct space *space, struct component primary,
                       bool stays);

/*
 * The same of one whose primary is lost; unless it was about to be replaced by another, and that
 * one has everything, or has the primary's place: then it goes. While that one does not answer, and
 * is not lost itself: neither.
 */
bool replica_bear_loss(struct memory *memory, struct space *space, struct component primary);

/* Of mComponents that are lost, by the last list: what has its replica here becomes primary, what
   had one there has none. False where a later list is needed to say. */
bool replicas_bear_losses(struct memory *memory);

/*
 * This mComponent had been declared lost. Its replicas have missed changes by now: they go, before
 * this returns. Of its parts that had a replica others may be primary: they answer nobody until it
 * is known.
 */
void replicas_when_fenced(struct memory *memory);

/* Waits until it is known whether this is the primary still; false where that takes too long. */
bool replicator_await_settled(struct memory *memory, struct space *space);

/* Moves a primary to where its replica is, which is made where there is none: the two exchange
   their places. */
bool replicator_move_part(struct memory *memory, struct space *space);

/* Hands parts over to their replicas, as far as that is quick: this mComponent ends. */
void replicas_when_ending(struct memory *memory);

#endif
