/* See user_iov.h. */
#include "user_iov.h"

#include <stdbool.h>

#include <linux/errno.h>
#include <linux/uio.h>

#include "../mm/uaccess.h"

enum { MAX_RW = 0x7ffff000 }; /* Linux's MAX_RW_COUNT */
#define TASK_SIZE 0x7ffffffff000ull

/* What Linux refuses before it looks: the rest shows when it is touched. */
static bool plausible(uint64_t address, uint64_t size)
{
    return address <= TASK_SIZE && size <= TASK_SIZE - address;
}

int user_iov_one(struct user_iov *v, uint64_t base, uint64_t count)
{
    if (!plausible(base, count))
        return -EFAULT;
    if (count > MAX_RW)
        count = MAX_RW;
    *v = (struct user_iov){.total = count, .base = base, .size = count};
    return 0;
}

int user_iov_many(struct user_iov *v, uint64_t vector, uint64_t count)
{
    struct iovec piece;

    if (count > UIO_MAXIOV)
        return -EINVAL;
    *v = (struct user_iov){.vector = vector, .left = (uint32_t)count};
    for (uint32_t i = 0; i < count; i++) {
        if (user_read(&piece, vector + i * sizeof piece, sizeof piece) < 0)
            return -EFAULT;
        if ((int64_t)piece.iov_len < 0)
            return -EINVAL;
        if (!plausible((uint64_t)piece.iov_base, piece.iov_len))
            return -EFAULT;
        v->total += piece.iov_len;
        if (v->total > MAX_RW)
            v->total = MAX_RW;
    }
    return 0;
}

/* Makes a piece with bytes in it the current one; 0 where the vector cannot be read. */
static size_t next_piece(struct user_iov *v)
{
    while (v->size == 0) {
        struct iovec piece;
        if (!v->left || user_read(&piece, v->vector, sizeof piece) < 0)
            return 0;
        v->left--;
        v->vector += sizeof piece;
        v->base = (uint64_t)piece.iov_base;
        v->size = piece.iov_len;
    }
    return v->size;
}

static size_t copy(struct user_iov *v, uint8_t *to, const uint8_t *from, size_t size)
{
    size_t done = 0;
    while (done < size && v->total) {
        size_t n = next_piece(v);
        if (n > v->total)
            n = v->total;
        if (n > size - done)
            n = size - done;
        size_t got =
            to ? user_read_some(to + done, v->base, n) : user_write_some(v->base, from + done, n);
        v->base += got;
        v->size -= got;
        v->total -= got;
        done += got;
        if (got < n || n == 0)
            break;
    }
    return done;
}

size_t user_iov_get(struct user_iov *v, void *to, size_t size)
{
    return copy(v, to, NULL, size);
}

size_t user_iov_put(struct user_iov *v, const void *from, size_t size)
{
    return copy(v, NULL, from, size);
}
