/*
 * What file-backed lines are filled from: the interface, and its sComponent.
 *
 * Calls may take until their deadline (on the clock of clock_ms()), so no lock is held over one.
 * Any thread may make one at any time.
 */
#ifndef ASHLAR_MEMORY_BACKING_H
#define ASHLAR_MEMORY_BACKING_H

#include <stdint.h>
#include <sys/uio.h>

struct file;
struct monitor;

struct backing_ops {
    /* Reads `length` bytes at `offset` into pieces that hold as many; returns the bytes read, fewer
       only at the end of the file, or a negative error. */
    int (*read)(void *self, struct file *file, uint64_t offset, uint32_t length,
                const struct iovec *to, int count, uint64_t deadline_ms);
    /* Keeps the file readable, though it be unlinked, until release(). */
    int (*hold)(void *self, struct file *file, uint64_t deadline_ms);
    void (*release)(void *self, struct file *file, uint64_t deadline_ms);
};

struct backing {
    const struct backing_ops *ops;
    void *self;
};

/* The sComponent that the global managers name. `monitor` must outlive it. */
int backing_open_storage(struct backing *backing, const struct monitor *monitor)
    __attribute__((warn_unused_result));
void backing_close_storage(struct backing *backing);

#endif
