/* Beginnings and ends of threads and processes. */
#ifndef ASHLAR_KERNEL_LIFE_H
#define ASHLAR_KERNEL_LIFE_H

#include <stdint.h>

#include "types.h"

struct process;
struct thread;

/* entry.S: goes on in fn(t) on t's kernel stack. */
void stack_switch(struct thread *t, void (*fn)(struct thread *t)) __attribute__((noreturn));
/* entry.S: clone; a child that shares memory begins in thread_begin() on stack_top's block. */
long host_clone(uint64_t flags, void *stack_top, int *parent_tid, uint32_t *child_tid,
                uint64_t tls);
/* clone.c: the first thing that a new thread or vfork child does. */
void thread_begin(struct thread *t) __attribute__((noreturn));

enum { ROBUST_HEAD_SIZE = 24 }; /* as Linux wants it */

/* robust.c: marks what this thread has locked; at an end of the process, what any of them has. */
void robust_end(struct thread *t);
void robust_end_all(struct thread *t);
/* Sets the list of the calling thread. 0 or a negative errno. */
long robust_set(struct thread *t, uint64_t list);
/* In a forked child, whose only thread has no list yet. */
void robust_fork_child(struct thread *t);
/* Where the table of lists is, for the node to read it (contract/robust_list.h). */
uint64_t robust_table_address(void);
/* The lines that the lists of all threads go through, up to `most`; returns how many. */
uint32_t robust_lines(struct vpn *out, uint32_t most);
/* The list of a thread of the process: 0, -ESRCH, or -EPERM where it is another process's. */
long robust_of(struct process *p, int tid, uint64_t *list) __attribute__((warn_unused_result));

#endif
