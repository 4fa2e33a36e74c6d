/*
 * Segments of the host's own memory files: memfds and files of /dev/shm that programs map shared.
 *
 * The file itself holds the resident lines, so what has a descriptor of it finds them there; lines
 * that have left are holes in it. So what is done by descriptor comes here while the segment lives
 * (SEGMENT_PULL, SEGMENT_PUSH, SEGMENT_HOST_CALL), and everything is put back into the file when
 * its last mapping goes.
 *
 * A file with F_SEAL_FUTURE_WRITE takes no holes: no line could leave, and none come back. So that
 * seal, and those that are to be the last ones, are kept here (segment.seals), where all who would
 * write come by, and are the file's when it has no mapping any more.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "segment.h"

enum { TMPFS = 0x01021994, SEAL_EXEC = 0x20 /* Linux 6.3 */ };

int segment_host_identify(int fd, struct stat *st)
{
    struct statfs fs;
    if (fstat(fd, st) < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    return S_ISREG(st->st_mode) && fs.f_type == TMPFS ? 0 : -ENODEV;
}

struct segment *segment_host_find(struct segments *s, int fd)
{
    struct stat st;
    if (fd < 0 || segment_host_identify(fd, &st) < 0)
        return NULL;
    struct segment *g = s->list;
    while (g && (g->kind != SEGMENT_HOST || g->device != st.st_dev || g->inode != st.st_ino))
        g = g->next;
    return g;
}

int segment_host_open(struct segment *g, int fd)
{
    struct stat st;
    char path[64];
    int rc = segment_host_identify(fd, &st);
    if (rc < 0)
        return rc;
    g->device = st.st_dev;
    g->inode = st.st_ino;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    g->fd = open(path, O_RDWR | O_CLOEXEC);
    return g->fd < 0 ? -errno : 0;
}

int segment_host_adopt(struct segments *s, struct segment *g, uint64_t offset, uint64_t length)
{
    off_t end = (off_t)(offset + length), at = (off_t)offset;
    while (at < end && (at = lseek(g->fd, at, SEEK_DATA)) >= 0 && at < end) {
        int rc = segment_add(s, g, (uint64_t)at >> LINE_SHIFT);
        if (rc < 0)
            return rc;
        at = (off_t)((((uint64_t)at >> LINE_SHIFT) + 1) << LINE_SHIFT);
    }
    return segments_shrink(s, s->limit);
}

int segment_host_restore(struct segments *s, struct segment *g)
{
    for (uint64_t c = 0; c < g->chunk_count; c++) {
        if (!g->chunks[c].vregion)
            continue;
        for (uint64_t i = 0; i < CHUNK_LINES; i++) {
            int rc = segment_put_back(s, g, c * CHUNK_LINES + i);
            if (rc < 0)
                return rc;
        }
    }
    return g->seals && fcntl(g->fd, F_ADD_SEALS, g->seals) < 0 ? -errno : 0;
}

int segment_host_read(struct segments *s, struct segment *g, uint64_t offset, uint32_t length,
                      uint8_t *to)
{
    if (segment_size_lines(g) < 0)
        return -EIO;
    if (offset >= g->size_bytes)
        return 0;
    if (length > g->size_bytes - offset)
        length = (uint32_t)(g->size_bytes - offset);
    for (uint32_t done = 0; done < length;) {
        uint64_t at = offset + done, line = at >> LINE_SHIFT;
        uint32_t in_line = (uint32_t)(at & (LINE_SIZE - 1)), n = LINE_SIZE - in_line;
        if (n > length - done)
            n = length - done;
        int rc = segment_line_content(s, g, line, s->buffer);
        if (rc < 0)
            return rc;
        memcpy(to + done, s->buffer + in_line, n);
        done += n;
    }
    return (int)length;
}

int segment_host_write(struct segments *s, struct segment *g, uint64_t offset, const void *from,
                       uint32_t length)
{
    if (g->seals & F_SEAL_FUTURE_WRITE)
        return -EPERM;
    for (uint32_t done = 0; done < length;) {
        uint64_t at = offset + done;
        uint32_t n = LINE_SIZE - (uint32_t)(at & (LINE_SIZE - 1));
        if (n > length - done)
            n = length - done;
        if (at >> LINE_SHIFT >= SEGMENT_LINES_MOST)
            return -EFBIG;
        int rc = segment_put_back(s, g, at >> LINE_SHIFT);
        if (rc == 0 && pwrite(g->fd, (const uint8_t *)from + done, n, (off_t)at) < 0)
            rc = -errno;
        if (rc == 0)
            rc = segment_add(s, g, at >> LINE_SHIFT);
        if (rc < 0)
            return rc;
        done += n;
    }
    return segments_shrink(s, s->limit);
}

static int cut(struct segments *s, struct segment *g, int fd, uint64_t size_bytes)
{
    uint64_t tail = size_bytes >> LINE_SHIFT;
    int rc = size_bytes & (LINE_SIZE - 1) ? segment_bring_back(s, g, tail) : 0;
    if (rc == 0 && ftruncate(fd, (off_t)size_bytes) < 0)
        rc = -errno;
    if (rc == 0)
        segment_resized(s, g, size_bytes);
    return rc;
}

/* What is allocated may leave at once: only the last line is, for the errors and the size of it. */
static int allocate(struct segments *s, struct segment *g, int fd, uint32_t mode, uint64_t offset,
                    uint64_t length)
{
    uint64_t end = offset + length, last = (end - 1) >> LINE_SHIFT, from = last << LINE_SHIFT;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        return g->seals & F_SEAL_FUTURE_WRITE ? -EPERM : segment_punch(s, g, offset, length);
    if (last >= SEGMENT_LINES_MOST)
        return -EFBIG;
    int rc = segment_bring_back(s, g, last);
    if (rc == 0 && offset > from)
        from = offset;
    if (rc == 0 && fallocate(fd, (int)mode, (off_t)from, (off_t)(end - from)) < 0)
        rc = -errno;
    return rc < 0 ? rc : segment_add(s, g, last);
}

static int64_t seek_data(struct segment *g, uint64_t offset)
{
    off_t there = lseek(g->fd, (off_t)offset, SEEK_DATA);
    uint64_t end = there < 0 ? g->size_bytes : (uint64_t)there, line = offset >> LINE_SHIFT;
    uint64_t at = segment_next_away(g, line, (end + LINE_SIZE - 1) >> LINE_SHIFT) << LINE_SHIFT;
    if (at >= end)
        return there < 0 ? -ENXIO : there;
    return (int64_t)(at < offset ? offset : at);
}

static int64_t seek_hole(struct segment *g, uint64_t offset)
{
    while (offset < g->size_bytes) {
        uint64_t line = offset >> LINE_SHIFT;
        if (segment_next_away(g, line, line + 1) == line) {
            offset = (line + 1) << LINE_SHIFT;
            continue;
        }
        off_t there = lseek(g->fd, (off_t)offset, SEEK_HOLE);
        if (there < 0 || (uint64_t)there == offset)
            return there < 0 ? -errno : there;
        offset = (uint64_t)there;
    }
    return (int64_t)g->size_bytes;
}

static int64_t seek(struct segment *g, uint64_t offset, bool hole)
{
    int64_t lines = segment_size_lines(g);
    if (lines < 0 || offset >= g->size_bytes)
        return lines < 0 ? lines : -ENXIO;
    return hole ? seek_hole(g, offset) : seek_data(g, offset);
}

static int add_seals(struct segment *g, int fd, uint32_t seals)
{
    uint32_t kept =
        (seals | g->seals) & F_SEAL_FUTURE_WRITE ? F_SEAL_FUTURE_WRITE | F_SEAL_SEAL : 0;
    struct stat st;
    if (g->seals & F_SEAL_SEAL)
        return -EPERM;
    /* Of a file that may be executed this one seals writing too, which cannot be while it is
       mapped: some hosts do it all the same. */
    if (seals & SEAL_EXEC && (fstat(fd, &st) < 0 || st.st_mode & 0111))
        return -EBUSY;
    if (fcntl(fd, F_ADD_SEALS, seals & ~kept) < 0)
        return -errno;
    g->seals |= seals & kept;
    return 0;
}

/* What was brought back stays where the call failed, too. */
static int shrink_after(struct segments *s, int rc)
{
    int shrunk = segments_shrink(s, s->limit);
    return rc < 0 ? rc : shrunk;
}

int64_t segment_host_call(struct segments *s, struct segment *g, int fd,
                          const struct msg_segment_host_call *m)
{
    int64_t rc = -EINVAL;
    switch (m->call) {
    case SEGMENT_TRUNCATE:
        return shrink_after(s, cut(s, g, fd, m->offset));
    case SEGMENT_ALLOCATE:
        if (m->length && m->offset <= INT64_MAX && m->length <= INT64_MAX - m->offset)
            rc = shrink_after(s, allocate(s, g, fd, m->mode, m->offset, m->length));
        return rc;
    case SEGMENT_SEEK:
        return seek(g, m->offset, m->mode);
    case SEGMENT_ADD_SEALS:
        return add_seals(g, fd, m->mode);
    case SEGMENT_GET_SEALS:
        rc = fcntl(fd, F_GET_SEALS);
        return rc < 0 ? -errno : rc | g->seals;
    }
    return rc;
}
