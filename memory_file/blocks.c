/*
 * See blocks.h. Free blocks are found in a bitmap, from where the last one was found: what is
 * written together then lies together, as long as the file is not nearly full.
 */
#include "blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { WORD_BITS = 64 };

static uint32_t total(const struct blocks *blocks)
{
    return blocks->count + BLOCKS_RESERVE;
}

static off_t place(uint32_t block)
{
    return (off_t)(block - 1) * LINE_SIZE;
}

/* ---- the file ---- */

/* Space for all of it, so that no write finds the disk full; file systems that cannot promise that
   give it as it is written. */
static int allocate(int fd, uint64_t bytes)
{
    if (fallocate(fd, 0, 0, (off_t)bytes) == 0)
        return 0;
    if (errno != EOPNOTSUPP)
        return -errno;
    return ftruncate(fd, (off_t)bytes) < 0 ? -errno : 0;
}

/* Whether a block can be written and read back in the way that was asked for. */
static int probe(const struct blocks *blocks)
{
    _Alignas(LINE_SIZE) uint8_t line[LINE_SIZE] = {1, 2, 3};
    const uint32_t first = 1;
    int rc = blocks_write(blocks, &first, 1, line);
    return rc < 0 ? rc : blocks_read(blocks, &first, 1, line);
}

/* Whether its file system is memory itself, whatever that says of O_DIRECT. */
static bool is_in_memory(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

int blocks_open(struct blocks *blocks, const char *path, uint64_t size_bytes, bool buffered)
{
    uint64_t count = size_bytes / LINE_SIZE;
    *blocks = (struct blocks){.fd = -1};
    if (!count || count > UINT32_MAX - 2 * BLOCKS_RESERVE)
        return -EINVAL;
    blocks->count = (uint32_t)count;
    blocks->free = total(blocks);
    blocks->refs = calloc((size_t)total(blocks) + 1, sizeof *blocks->refs);
    blocks->taken = calloc(total(blocks) / WORD_BITS + 1, sizeof *blocks->taken);
    if (!blocks->refs || !blocks->taken)
        return -ENOMEM;
    /* O_EXCL: whatever was there before is not this monitor's to overwrite. */
    blocks->fd =
        open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | (buffered ? 0 : O_DIRECT), 0600);
    if (blocks->fd < 0) {
        int rc = -errno;
        if (rc == -EINVAL)
            (void)unlink(path); /* it is made before O_DIRECT is refused */
        return rc;
    }
    (void)unlink(path);
    if (!buffered && is_in_memory(blocks->fd))
        return -EINVAL;
    int rc = allocate(blocks->fd, (uint64_t)total(blocks) * LINE_SIZE);
    return rc < 0 ? rc : probe(blocks);
}

void blocks_close(struct blocks *blocks)
{
    if (blocks->fd >= 0)
        close(blocks->fd);
    free(blocks->refs);
    free(blocks->taken);
}

/* ---- which are taken ---- */

/* A free block at or after the cursor, and around the end; there is one. */
static uint32_t next_free(const struct blocks *blocks)
{
    uint32_t words = total(blocks) / WORD_BITS + 1;
    uint32_t word = blocks->cursor / WORD_BITS;
    uint64_t open = ~blocks->taken[word] & ~0ull << blocks->cursor % WORD_BITS;
    for (;;) {
        if (open) {
            uint32_t at = word * WORD_BITS + (uint32_t)__builtin_ctzll(open);
            if (at < total(blocks))
                return at + 1;
        }
        word = (word + 1) % words;
        open = ~blocks->taken[word];
    }
}

bool blocks_take(struct blocks *blocks, uint32_t *out, uint32_t want, bool reserve)
{
    if (blocks->free < want + (reserve ? 0u : BLOCKS_RESERVE))
        return false;
    for (uint32_t i = 0; i < want; i++) {
        uint32_t block = next_free(blocks);
        blocks->taken[(block - 1) / WORD_BITS] |= 1ull << (block - 1) % WORD_BITS;
        blocks->refs[block] = 1;
        blocks->cursor = block % total(blocks);
        out[i] = block;
    }
    blocks->free -= want;
    return true;
}

void blocks_ref(struct blocks *blocks, uint32_t block)
{
    blocks->refs[block]++;
}

void blocks_drop(struct blocks *blocks, uint32_t block)
{
    if (--blocks->refs[block])
        return;
    blocks->taken[(block - 1) / WORD_BITS] &= ~(1ull << (block - 1) % WORD_BITS);
    blocks->free++;
}

/* ---- what is in them ---- */

/* All of one piece. The file has as many bytes: an end within it is an error of the device. */
static int transfer(int fd, bool write, uint8_t *at, size_t size, off_t offset)
{
    while (size) {
        ssize_t done = write ? pwrite(fd, at, size, offset) : pread(fd, at, size, offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        at += done;
        offset += done;
        size -= (size_t)done;
    }
    return 0;
}

static int transfer_list(const struct blocks *blocks, bool write, const uint32_t *list,
                         uint32_t count, uint8_t *lines)
{
    int rc = 0;
    for (uint32_t i = 0, end; i < count && rc == 0; i = end) {
        end = i + 1;
        while (end < count && list[end] == list[end - 1] + 1)
            end++;
        rc = transfer(blocks->fd, write, lines + (size_t)i * LINE_SIZE,
                      (size_t)(end - i) * LINE_SIZE, place(list[i]));
    }
    return rc;
}

int blocks_read(const struct blocks *blocks, const uint32_t *list, uint32_t count, uint8_t *lines)
{
    return transfer_list(blocks, false, list, count, lines);
}

int blocks_write(const struct blocks *blocks, const uint32_t *list, uint32_t count,
                 const uint8_t *lines)
{
    return transfer_list(blocks, true, list, count, (uint8_t *)lines);
}
