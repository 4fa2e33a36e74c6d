/* The process's seat at its node: joining, forking, further connections. One request at a time. */
#ifndef ASHLAR_KERNEL_NODE_H
#define ASHLAR_KERNEL_NODE_H

#include "../entry/process.h"

enum { NODE_FDS_MAX = 4 };

/*
 * Sends one request on the seat and waits for its reply, with the descriptors that came along
 * (close-on-exec, moved to the monitor's own numbers). payload is overwritten by the reply's.
 * Returns the reply's size, or a negative error.
 */
long node_call(struct process *p, uint16_t op, uint8_t *payload, size_t size, size_t room, int *fds,
               int *fd_count) __attribute__((warn_unused_result));

/* Descriptors that a request takes along; they stay the caller's. */
struct node_fds {
    int fds[2];
    int count;
};
/* node_call() that sends some. */
long node_call_sending(struct process *p, uint16_t op, uint8_t *payload, size_t size, size_t room,
                       const struct node_fds *sent, int *fds, int *fd_count)
    __attribute__((warn_unused_result));

/*
 * Its two halves: sends a request, and gets its answer, at most NODE_POSTED_MAX bytes, later. One
 * at a time of a process, by its only thread; other requests may be made in between.
 */
enum { NODE_POSTED_MAX = 4096 };
int node_post(struct process *p, uint16_t op, const uint8_t *payload, size_t size)
    __attribute__((warn_unused_result));
long node_collect(struct process *p, uint8_t *payload, size_t room, int *fds, int *fd_count)
    __attribute__((warn_unused_result));

/*
 * PROCESS_JOIN: a new address space, both connections to it, and the page for shared_init(). 0 or a
 * negative error.
 */
int node_join(struct process *p, struct asid *asid, uint64_t *memory_bytes, int *memory_fd,
              int *storage_fd, int *segments_fd) __attribute__((warn_unused_result));
/* What a forked child starts with. memory_fd and storage_fd are -1 for child.n == 0. */
struct node_child {
    int node_fd, lifeline_fd, memory_fd, storage_fd;
};
int node_fork(struct process *p, struct asid child, struct node_child *out)
    __attribute__((warn_unused_result));
/* The child's first words, and what comes back: the descriptor of the page for shared_init(), or a
   negative error. */
int node_started(struct process *p) __attribute__((warn_unused_result));
int node_started_end(struct process *p) __attribute__((warn_unused_result));
/* A further connection to a component, of an mComponent to what it has of a part of the address
   space; a descriptor or a negative error. */
int node_connect(struct process *p, struct component id, uint32_t part)
    __attribute__((warn_unused_result));
/*
 * Where a part of the address space is that was at `was`: 0, or a negative error where it is lost.
 * *fd is a connection to *now, or -1: `was` has it, and is to be waited for.
 */
int node_locate(struct process *p, uint32_t part, struct component was, uint8_t why,
                struct component_info *now, int *fd) __attribute__((warn_unused_result));

/* The lifeline: from now on the host kills this process when the node ends. */
void node_watch(int lifeline_fd);

/*
 * Numbers of descriptors: the monitor's own, which are hidden from the program, are those from
 * `hidden` on to before hidden_end; the program's are all others below `most`. Set once at start.
 */
extern struct fd_numbers {
    int hidden, hidden_end, most;
} fd_numbers;
static inline bool fd_is_hidden(int fd)
{
    return fd >= fd_numbers.hidden && fd < fd_numbers.hidden_end;
}
/* Moves a descriptor to a hidden number. Returns that. */
int fd_hide(int fd);

#endif
