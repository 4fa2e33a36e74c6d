/* A backing for tests: a real file, unlinked, whose pages are lines with a stamp. */
#ifndef ASHLAR_MEMORY_TEST_BACKING_H
#define ASHLAR_MEMORY_TEST_BACKING_H

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "file.h"
#include "test_support.h"

struct test_backing {
    int fd;
    uint64_t size_bytes;
    atomic_int reads, holds, releases;
    atomic_int gate;    /* reads wait while it is 1 */
    atomic_int failing; /* calls fail with this error while it is not 0 */
};

static inline uint64_t page_stamp(uint64_t page)
{
    return 1000000 + page;
}

/* What page `page` of the file holds; the last one may be short. */
static inline int page_is(const uint8_t *data, uint64_t page, uint64_t size_bytes)
{
    uint8_t expected[LINE_SIZE];
    line_make(expected, page_stamp(page));
    uint64_t left = size_bytes - page * LINE_SIZE;
    if (left < LINE_SIZE)
        memset(expected + left, 0, LINE_SIZE - left);
    return memcmp(data, expected, LINE_SIZE) == 0;
}

static inline int test_read(void *self, struct file *file, uint64_t offset, uint32_t length,
                            const struct iovec *to, int count, uint64_t deadline_ms)
{
    struct test_backing *b = self;
    atomic_fetch_add(&b->reads, 1);
    while (atomic_load(&b->gate))
        usleep(100);
    if (atomic_load(&b->failing))
        return atomic_load(&b->failing);
    ssize_t got = preadv(b->fd, to, count, (off_t)offset);
    return got < 0 ? -errno : (int)got;
}

static inline int test_hold(void *self, struct file *file, uint64_t deadline_ms)
{
    struct test_backing *b = self;
    atomic_fetch_add(&b->holds, 1);
    return atomic_load(&b->failing);
}

static inline void test_release(void *self, struct file *file, uint64_t deadline_ms)
{
    struct test_backing *b = self;
    atomic_fetch_add(&b->releases, 1);
}

static const struct backing_ops test_backing_ops = {
    .read = test_read,
    .hold = test_hold,
    .release = test_release,
};

static inline struct backing test_backing_open(struct test_backing *b, uint64_t size_bytes)
{
    uint8_t line[LINE_SIZE];
    *b = (struct test_backing){.size_bytes = size_bytes};
    FILE *f = tmpfile();
    assert_non_null(f);
    for (uint64_t page = 0; page * LINE_SIZE < size_bytes; page++) {
        line_make(line, page_stamp(page));
        assert_int_equal(fwrite(line, 1, LINE_SIZE, f), LINE_SIZE);
    }
    assert_int_equal(fflush(f), 0);
    b->fd = dup(fileno(f));
    fclose(f);
    assert_int_equal(ftruncate(b->fd, (off_t)size_bytes), 0);
    return (struct backing){&test_backing_ops, b};
}

static inline void test_backing_close(struct test_backing *b)
{
    close(b->fd);
}

#endif
