/*
 * Segments of the host's own memory files: memfds and files of /dev/shm that programs map shared.
 *
 * The file itself holds the resident lines, so what has a descriptor of it finds them there; lines
 * that have left are holes in it. So reads, writes and truncations by descriptor come here while
 * the segment lives (SEGMENT_PULL, SEGMENT_PUSH, SEGMENT_CUT), and everything is put back into the
 * file when its last mapping goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "segment.h"

enum { TMPFS = 0x01021994 };

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
    return 0;
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
    for (uint32_t done = 0; done < length;) {
        uint64_t at = offset + done;
        uint32_t n = LINE_SIZE - (uint32_t)(at & (LINE_SIZE - 1));
        if (n > length - done)
            n = length - done;
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

int segment_host_cut(struct segments *s, struct segment *g, int fd, uint64_t size_bytes)
{
    uint64_t tail = size_bytes >> LINE_SHIFT;
    int rc = size_bytes & (LINE_SIZE - 1) ? segment_put_back(s, g, tail) : 0;
    if (rc == 0 && ftruncate(fd, (off_t)size_bytes) < 0)
        rc = -errno;
    if (rc == 0)
        segment_resized(s, g, size_bytes);
    return rc;
}
