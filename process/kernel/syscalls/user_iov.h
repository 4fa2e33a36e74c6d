/*
 * A program's buffers, one or many, as a stream of bytes: for read, write and their vectors.
 *
 * The vector itself is read piece by piece, so it needs no room on the kernel stack.
 */
#ifndef ASHLAR_KERNEL_USER_IOV_H
#define ASHLAR_KERNEL_USER_IOV_H

#include <stddef.h>
#include <stdint.h>

struct user_iov {
    uint64_t total;      /* bytes that are left */
    uint64_t base, size; /* of the current piece */
    uint64_t vector;     /* address of the next struct iovec */
    uint32_t left;       /* pieces after the current one */
};

/* 0 or -EFAULT; count is cut to what Linux does at a time. */
int user_iov_one(struct user_iov *v, uint64_t base, uint64_t count)
    __attribute__((warn_unused_result));
/* 0, -EINVAL or -EFAULT. */
int user_iov_many(struct user_iov *v, uint64_t vector, uint64_t count)
    __attribute__((warn_unused_result));

/* Copy from and to the program; return the bytes before the first fault. */
size_t user_iov_get(struct user_iov *v, void *to, size_t size);
size_t user_iov_put(struct user_iov *v, const void *from, size_t size);

#endif
