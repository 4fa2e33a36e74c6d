/* The application's memory, as the monitor reads and writes it; see uaccess.h. */
#include "uaccess.h"

#include "../host/host.h"
#include "limits.h"

size_t user_copy(void *to, const void *from, size_t size); /* entry.S: bytes not copied */

long user_or_zero(uint32_t *word); /* entry.S: atomically ors nothing in; 0, or 1 on a fault */

long user_compare_swap(uint32_t *word, uint32_t is,
                       uint32_t to); /* entry.S: 0; 1: fault; 2: not so */

int user_range_ok(uint64_t address, uint64_t size)
{
    return address >= WINDOW_START && address <= WINDOW_END && size <= WINDOW_END - address;
}

size_t user_read_some(void *to, uint64_t from, size_t size)
{
    if (!user_range_ok(from, size))
        return 0;
    return size - user_copy(to, (const void *)from, size);
}

size_t user_write_some(uint64_t to, const void *from, size_t size)
{
    if (!user_range_ok(to, size))
        return 0;
    return size - user_copy((void *)to, from, size);
}

int user_read(void *to, uint64_t from, size_t size)
{
    return user_read_some(to, from, size) == size ? 0 : -EFAULT;
}

int user_write(uint64_t to, const void *from, size_t size)
{
    return user_write_some(to, from, size) == size ? 0 : -EFAULT;
}

int user_zero(uint64_t to, size_t size)
{
    static const uint8_t zeros[512];
    while (size) {
        size_t n = size < sizeof zeros ? size : sizeof zeros;
        if (user_write(to, zeros, n) < 0)
            return -EFAULT;
        to += n;
        size -= n;
    }
    return 0;
}

long user_read_text(char *to, uint64_t from, size_t size)
{
    for (size_t done = 0; done < size;) {
        /* Not across a page that may not exist. */
        size_t n = LINE_SIZE - ((from + done) & (LINE_SIZE - 1));
        if (n > size - done)
            n = size - done;
        size_t got = user_read_some(to + done, from + done, n);
        for (size_t i = 0; i < got; i++)
            if (!to[done + i])
                return (long)(done + i);
        if (got < n)
            return -EFAULT;
        done += n;
    }
    return -ENAMETOOLONG;
}

int user_touch_write(uint64_t address)
{
    if (!user_range_ok(address, 4))
        return -EFAULT;
    return user_or_zero((uint32_t *)address) == 0 ? 0 : -EFAULT;
}

int user_exchange(uint64_t address, uint32_t is, uint32_t to)
{
    if (!user_range_ok(address, 4))
        return -EFAULT;
    long rc = user_compare_swap((uint32_t *)address, is, to);
    return rc == 1 ? -EFAULT : rc == 2;
}
