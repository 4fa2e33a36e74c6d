/*
 * The trail of a program's start: which lines of files it touches, so that a later start of the same
 * program fetches them together and nothing else (docs/decisions/0027-trails.md).
 *
 * A program that no trail is known of leaves one: its misses of files bring one line each, and are
 * noted, until there are enough or it ends. The node keeps it. One that has a trail fetches, at
 * the first miss of a file, what the trail has of that file.
 */
#ifndef ASHLAR_KERNEL_TRAIL_H
#define ASHLAR_KERNEL_TRAIL_H

#include "../entry/process.h"
#include "../mm/mm.h"

/* At the start of a program: asks for its trail; the answer is got when a file is missed first. */
void trail_begin(struct process *p, const struct file_attr *program);
/* A forked child leaves none: it is no start. */
void trail_fork_child(void);
/* At an end of the program, and when the trail is complete: tells the node. */
void trail_leave(struct process *p);
bool trail_complete(void);

/* mm.lock is held for the following. A line of a private view of a file is missed: whether it is
   noted, and to be fetched alone. */
bool trail_note(const struct vma *vma, struct vpn page, bool write);
/* It is written to as well. */
void trail_note_write(const struct vma *vma, struct vpn page);

/* Lines of the same file and part that are to be fetched with a miss, in order of address, all absent;
   how many, at most `most`. With the first of all, which comes before the program runs, those of
   what it is begun with: the program and its interpreter, which are mapped whole by then. */
struct trail_line {
    struct vpn page;
    bool written;
};
uint32_t trail_ahead(const struct vma *vma, struct vpn page, struct trail_line *out, uint32_t most);

#endif
