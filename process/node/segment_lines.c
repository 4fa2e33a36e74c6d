/*
 * Lines of segments: how they come and how they leave; see segment.h.
 *
 * A run that comes: one request to the store, one pwrite (or fallocate, for lines that are zero).
 * A run that leaves: an ioctl to protect it for each mapping, a pread, at most one request, one
 * fallocate to punch it out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment.h"

enum {
    FILE_RUN_LINES = 16, /* of a file, that come together at least */
    PROTECT_TRIES = 1000,
    HELD_PART = 2, /* one line of so many stays at most because robust lists go through it */
};

static const uint8_t zeros[LINE_SIZE];

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- the table ---- */

static struct segment_line *line_if_any(struct segment *g, uint64_t line)
{
    uint64_t chunk = line / CHUNK_LINES;
    if (chunk >= g->chunk_count || !g->chunks[chunk].lines)
        return NULL;
    return &g->chunks[chunk].lines[line % CHUNK_LINES];
}

static struct segment_line *line_of(struct segment *g, uint64_t line)
{
    uint64_t chunk = line / CHUNK_LINES;
    if (line >= SEGMENT_LINES_MOST)
        return NULL;
    if (chunk >= g->chunk_count) {
        struct chunk *more = realloc(g->chunks, (chunk + 1) * sizeof *more);
        if (!more)
            return NULL;
        memset(more + g->chunk_count, 0, (chunk + 1 - g->chunk_count) * sizeof *more);
        g->chunks = more;
        g->chunk_count = chunk + 1;
    }
    if (!g->chunks[chunk].lines)
        g->chunks[chunk].lines = calloc(CHUNK_LINES, sizeof(struct segment_line));
    return g->chunks[chunk].lines ? &g->chunks[chunk].lines[line % CHUNK_LINES] : NULL;
}

struct resident *segment_resident(struct segment *g, uint64_t line)
{
    const struct segment_line *l = line_if_any(g, line);
    return l ? l->resident : NULL;
}

static void add_resident(struct segments *s, struct resident *r)
{
    r->next = NULL;
    r->previous = s->tail;
    *(s->tail ? &s->tail->next : &s->head) = r;
    s->tail = r;
    s->count++;
}

static void unlink_resident(struct segments *s, const struct resident *r)
{
    *(r->previous ? &r->previous->next : &s->head) = r->next;
    *(r->next ? &r->next->previous : &s->tail) = r->previous;
    s->count--;
}

static void remove_resident(struct segments *s, struct segment_line *l)
{
    struct resident *r = l->resident;
    unlink_resident(s, r);
    l->resident = NULL;
    free(r);
}

/* ---- the host's file ---- */

static int punch(struct segment *g, uint64_t line, uint64_t count)
{
    return fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(line << LINE_SHIFT),
                     (off_t)(count << LINE_SHIFT)) < 0
               ? -errno
               : 0;
}

static int read_lines(struct segment *g, uint64_t line, uint64_t count, uint8_t *to)
{
    size_t size = count << LINE_SHIFT;
    ssize_t n = pread(g->fd, to, size, (off_t)(line << LINE_SHIFT));
    if (n < 0)
        return -errno;
    memset(to + n, 0, size - (size_t)n); /* a file of the host may end within its last line */
    return 0;
}

/* How many bytes lines have in the file: one of the host keeps its size, and may be sealed at it.
 */
static size_t bytes_of(const struct segment *g, uint64_t line, uint64_t count)
{
    size_t size = count << LINE_SHIFT;
    return g->kind == SEGMENT_HOST ? least(size, g->size_bytes - (line << LINE_SHIFT)) : size;
}

/* Only whole lines are ever written to absent ones: they become visible with all their content. */
static int put_lines(struct segment *g, uint64_t line, uint64_t count, const uint8_t *from)
{
    size_t size = bytes_of(g, line, count);
    ssize_t n = pwrite(g->fd, from, size, (off_t)(line << LINE_SHIFT));
    return n < 0 ? -errno : (size_t)n == size ? 0 : -ENOSPC;
}

static int put_zeros(struct segment *g, uint64_t line, uint64_t count)
{
    return fallocate(g->fd, FALLOC_FL_KEEP_SIZE, (off_t)(line << LINE_SHIFT),
                     (off_t)bytes_of(g, line, count)) < 0
               ? -errno
               : 0;
}

/*
 * Write-protects lines wherever they are mapped, or lets them be written again. A process that has
 * ended, or has not mapped yet what it attached, has nothing to protect: errors mean no more.
 */
static void protect(struct segment *g, uint64_t line, uint64_t count, bool on)
{
    for (struct attachment *a = g->attachments; a; a = a->next_of_segment) {
        uint64_t from = a->line > line ? a->line : line;
        uint64_t to = least(a->line + a->count, line + count);
        if (from >= to || a->sharer->uffd < 0)
            continue;
        struct uffdio_writeprotect w = {
            .range = {(a->first.n + (from - a->line)) << LINE_SHIFT, (to - from) << LINE_SHIFT},
            .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
        /* Who has it answer so for ever harms itself alone. */
        for (int tries = 0; tries < PROTECT_TRIES; tries++) {
            if (ioctl(a->sharer->uffd, UFFDIO_WRITEPROTECT, &w) == 0 ||
                (errno != EAGAIN && errno != EINTR))
                break;
            sched_yield();
        }
    }
}

/* ---- out ---- */

static bool changed(const struct resident *r, const uint8_t *content)
{
    return !r->known || !XXH128_isEqual(XXH3_128bits(content, LINE_SIZE), r->digest);
}

static bool is_zero(const uint8_t *content)
{
    return memcmp(content, zeros, LINE_SIZE) == 0;
}

/* How many lines there are of a chunk. */
static uint64_t lines_of_chunk(const struct segment *g, uint64_t chunk)
{
    uint64_t size = (g->size_bytes + LINE_SIZE - 1) >> LINE_SHIFT, before = chunk * CHUNK_LINES;
    return size > before ? least(size - before, CHUNK_LINES) : 0;
}

static int send_to_space(struct segments *s, struct segment *g, uint64_t line, uint32_t count)
{
    struct line_ref refs[RUN_MAX_LINES];
    struct iovec data[RUN_MAX_LINES];
    struct chunk *chunk = &g->chunks[line / CHUNK_LINES];
    uint32_t n = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct segment_line *l = line_if_any(g, line + i);
        uint8_t *content = s->buffer + ((size_t)i << LINE_SHIFT);
        if (l->flags & LINE_STORED ? !changed(l->resident, content) : is_zero(content))
            continue;
        refs[n].page.n = (line + i) % CHUNK_LINES;
        data[n++] = (struct iovec){content, LINE_SIZE};
    }
    if (n == 0)
        return 0;
    if (!chunk->vregion) {
        int rc = store_take_vregion(g->store, lines_of_chunk(g, line / CHUNK_LINES));
        if (rc < 0)
            return rc;
        chunk->vregion = (uint32_t)rc;
    }
    for (uint32_t i = 0; i < n; i++)
        refs[i].page.n += (uint64_t)chunk->vregion * VREGION_LINES;
    int rc = store_write_lines(g->store, refs, n, data);
    for (uint32_t i = 0; i < n && rc == 0; i++)
        line_if_any(g, line - line % CHUNK_LINES + refs[i].page.n % CHUNK_LINES)->flags |=
            LINE_STORED;
    return rc;
}

/* Sends the changed ones of the lines in the buffer, each run of them in one request. */
static int send_to_file(struct segments *s, struct segment *g, uint64_t line, uint32_t count)
{
    for (uint32_t i = 0; i < count;) {
        const struct resident *r = line_if_any(g, line + i)->resident;
        if (!r || !changed(r, s->buffer + ((size_t)i << LINE_SHIFT))) {
            i++;
            continue;
        }
        uint32_t run = 1;
        while (i + run < count && (r = line_if_any(g, line + i + run)->resident) &&
               changed(r, s->buffer + ((size_t)(i + run) << LINE_SHIFT)))
            run++;
        uint64_t offset = (line + i) << LINE_SHIFT;
        if (offset < g->size_bytes) {
            uint64_t size = least((uint64_t)run << LINE_SHIFT, g->size_bytes - offset);
            int rc = store_write_file(g->store, &g->file, offset,
                                      s->buffer + ((size_t)i << LINE_SHIFT), (uint32_t)size);
            if (rc < 0)
                return rc;
        }
        for (uint32_t j = i; j < i + run; j++) {
            struct resident *sent = line_if_any(g, line + j)->resident;
            sent->digest = XXH3_128bits(s->buffer + ((size_t)j << LINE_SHIFT), LINE_SIZE);
            sent->known = true;
        }
        i += run;
    }
    return 0;
}

/*
 * The oldest lines that are held go to the end, which are the last to leave then; up to `most` in
 * all. Only those that are marked: finding others takes a look.
 */
static void keep_held(struct segments *s, uint64_t most)
{
    while (s->kept < most && s->head->held == s->shrinks) {
        struct resident *r = s->head;
        unlink_resident(s, r);
        add_resident(s, r);
        r->held = 0; /* so that the list is not gone round */
        s->kept++;
    }
}

/*
 * The oldest line leaves, with those after it that are resident as well, `most` at most; fewer, or
 * none of them, where one is held.
 */
static int leave(struct segments *s, uint32_t most)
{
    uint64_t may_keep = s->limit / HELD_PART;
    keep_held(s, may_keep);
    struct segment *g = s->head->segment;
    uint64_t line = s->head->line;
    uint32_t count = 1;
    while (count < most && (line + count) % CHUNK_LINES && line_if_any(g, line + count)->resident)
        count++;
    protect(g, line, count, true);
    if (s->kept < may_keep) {
        uint32_t before = 0;
        segment_mark_held(s, g);
        while (before < count && line_if_any(g, line + before)->resident->held != s->shrinks)
            before++;
        protect(g, line + before, count - before, false);
        count = before;
        if (!count)
            return 0;
    }
    int rc = read_lines(g, line, count, s->buffer);
    if (rc == 0)
        rc = g->kind == SEGMENT_FILE ? send_to_file(s, g, line, count)
                                     : send_to_space(s, g, line, count);
    if (rc == 0)
        rc = punch(g, line, count);
    bool sealed = rc == -EPERM && g->kind == SEGMENT_HOST; /* its lines are the host's for good */
    if (rc < 0)
        protect(g, line, count, false);
    if (rc < 0 && !sealed)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        struct segment_line *l = line_if_any(g, line + i);
        l->flags |= sealed ? 0 : LINE_MARKED;
        remove_resident(s, l);
    }
    return 0;
}

int segments_shrink(struct segments *s, uint64_t most)
{
    s->shrinks++;
    s->kept = 0;
    while (s->count > most) {
        uint64_t run = s->limit / 8;
        int rc = leave(s, (uint32_t)least(run ? run : 1, RUN_MAX_LINES));
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- in ---- */

int64_t segment_size_lines(struct segment *g)
{
    if (g->kind == SEGMENT_HOST) {
        struct stat st;
        if (fstat(g->fd, &st) < 0)
            return -errno;
        g->size_bytes = (uint64_t)st.st_size;
    } else if (g->kind == SEGMENT_FILE) {
        struct file_attr attr;
        int rc = store_stat_file(g->store, &g->file, &attr);
        if (rc < 0)
            return rc;
        g->size_bytes = attr.size_bytes;
    }
    return (int64_t)((g->size_bytes + LINE_SIZE - 1) >> LINE_SHIFT);
}

/* How many lines come together with the absent one at `line`. */
static uint32_t run_of(struct segments *s, struct segment *g, uint64_t line, uint64_t size)
{
    g->run = line == g->expected && g->run ? (uint32_t)least(g->run * 2ull, RUN_MAX_LINES) : 1;
    uint64_t most = g->kind == SEGMENT_FILE && g->run < FILE_RUN_LINES ? FILE_RUN_LINES : g->run;
    most = least(least(most, s->limit / 8 ? s->limit / 8 : 1), size - line);
    most = least(most, CHUNK_LINES - line % CHUNK_LINES);
    const struct segment_line *first = line_if_any(g, line);
    uint32_t n = 1;
    while (n < most && !first[n].resident &&
           (first[n].flags & LINE_STORED) == (first->flags & LINE_STORED))
        n++;
    g->expected = line + n;
    return n;
}

/* The content of absent lines into the buffer, or *all_zero. Returns how many lines came. */
static int get_lines(struct segments *s, struct segment *g, uint64_t line, uint32_t count,
                     bool *all_zero)
{
    *all_zero = false;
    if (g->kind == SEGMENT_FILE) {
        int n =
            store_read_file(g->store, &g->file, line << LINE_SHIFT, s->buffer, count << LINE_SHIFT);
        if (n <= 0)
            return n;
        count = ((uint32_t)n + LINE_SIZE - 1) >> LINE_SHIFT;
        memset(s->buffer + n, 0, ((size_t)count << LINE_SHIFT) - (size_t)n);
        return (int)count;
    }
    *all_zero = !(line_if_any(g, line)->flags & LINE_STORED);
    if (*all_zero)
        return (int)count;
    struct vpn first = {(uint64_t)g->chunks[line / CHUNK_LINES].vregion * VREGION_LINES +
                        line % CHUNK_LINES};
    int rc = store_read_lines(g->store, first, count, s->buffer);
    return rc < 0 ? rc : (int)count;
}

static int bring(struct segments *s, struct segment *g, uint64_t line, uint32_t count)
{
    struct resident *made[RUN_MAX_LINES];
    bool all_zero = false, marked = false;
    int rc = segments_shrink(s, s->limit > count ? s->limit - count : 0);
    if (rc == 0)
        rc = get_lines(s, g, line, count, &all_zero);
    if (rc <= 0)
        return rc < 0 ? rc : LINE_PAST_END;
    count = (uint32_t)rc;
    for (uint32_t i = 0; i < count; i++) {
        made[i] = malloc(sizeof *made[i]);
        if (!made[i]) {
            count = i;
            break;
        }
    }
    if (count == 0)
        return -ENOMEM;
    rc = all_zero ? put_zeros(g, line, count) : put_lines(g, line, count, s->buffer);
    for (uint32_t i = 0; i < count; i++) {
        struct segment_line *l = line_if_any(g, line + i);
        if (rc < 0) {
            free(made[i]);
            continue;
        }
        const uint8_t *content = all_zero ? zeros : s->buffer + ((size_t)i << LINE_SHIFT);
        *made[i] = (struct resident){.segment = g,
                                     .line = line + i,
                                     .known = true,
                                     .digest = XXH3_128bits(content, LINE_SIZE)};
        l->resident = made[i];
        add_resident(s, made[i]);
        marked |= l->flags & LINE_MARKED;
        l->flags &= (uint8_t)~LINE_MARKED;
    }
    if (rc < 0) {
        (void)!punch(g, line, count); /* what was written of it before it failed */
        return rc;
    }
    if (marked)
        protect(g, line, count, false);
    return LINE_DATA;
}

int segment_fetch(struct segments *s, struct segment *g, uint64_t line, bool write)
{
    struct segment_line *l = line_if_any(g, line);
    if (l && l->resident && g->kind == SEGMENT_HOST &&
        lseek(g->fd, (off_t)(line << LINE_SHIFT), SEEK_DATA) != (off_t)(line << LINE_SHIFT)) {
        remove_resident(s, l); /* somebody else took it out of the file: it is zero now */
        l->flags &= (uint8_t)~LINE_STORED;
    }
    if (l && l->resident) {
        /* Brought by another's miss; or protected when it was about to leave, and then could not.
         */
        if (write)
            protect(g, line, 1, false);
        return LINE_DATA;
    }
    uint64_t size = (g->size_bytes + LINE_SIZE - 1) >> LINE_SHIFT;
    if (line >= size || g->kind == SEGMENT_HOST) {
        int64_t now = segment_size_lines(g); /* it may have grown */
        if (now < 0)
            return (int)now;
        size = (uint64_t)now;
    }
    if (line >= size)
        return LINE_PAST_END;
    if (!line_of(g, line))
        return -ENOMEM;
    return bring(s, g, line, run_of(s, g, line, size));
}

/* ---- files, as read() and write() see them ---- */

int segment_flush(struct segments *s, struct segment *g, uint64_t line, uint64_t count)
{
    if (g->kind != SEGMENT_FILE)
        return 0;
    uint64_t end =
        least((g->size_bytes + LINE_SIZE - 1) >> LINE_SHIFT, g->chunk_count * CHUNK_LINES);
    if (count < end - least(end, line))
        end = line + count;
    while (line < end) {
        const struct segment_line *l = line_if_any(g, line);
        if (!l) {
            line = (line / CHUNK_LINES + 1) * CHUNK_LINES;
            continue;
        }
        uint32_t n = 0;
        while (n < RUN_MAX_LINES && line + n < end &&
               (line + n) / CHUNK_LINES == line / CHUNK_LINES && l[n].resident)
            n++;
        int rc = n ? read_lines(g, line, n, s->buffer) : 0;
        if (rc == 0 && n)
            rc = send_to_file(s, g, line, n);
        if (rc < 0)
            return rc;
        line += n ? n : 1;
    }
    return 0;
}

int segment_refresh(struct segments *s, struct segment *g, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;
    if (end < offset)
        end = UINT64_MAX & ~(uint64_t)(LINE_SIZE - 1);
    if (end > g->size_bytes && segment_size_lines(g) < 0)
        return -EIO;
    uint64_t last = least((end + LINE_SIZE - 1) >> LINE_SHIFT, g->chunk_count * CHUNK_LINES);
    for (uint64_t line = offset >> LINE_SHIFT; line < last; line++) {
        const struct segment_line *l = line_if_any(g, line);
        if (!l) {
            line |= CHUNK_LINES - 1;
            continue;
        }
        if (!l->resident)
            continue;
        uint64_t at = line << LINE_SHIFT;
        int n = store_read_file(g->store, &g->file, at, s->buffer, LINE_SIZE);
        if (n < 0)
            return n;
        memset(s->buffer + n, 0, LINE_SIZE - (size_t)n);
        uint64_t from = offset > at ? offset - at : 0, to = least(end - at, LINE_SIZE);
        if (pwrite(g->fd, s->buffer + from, to - from, (off_t)(at + from)) < 0)
            return -errno;
        l->resident->digest = XXH3_128bits(s->buffer, LINE_SIZE);
        l->resident->known = true;
    }
    return 0;
}

/* Lines [first, end) have no content any more; those of memory are not in the file either. */
static void forget(struct segments *s, struct segment *g, uint64_t first, uint64_t end)
{
    for (struct resident *r = s->head, *next; r; r = next) {
        next = r->next;
        if (r->segment != g || r->line < first || r->line >= end)
            continue;
        struct segment_line *l = line_if_any(g, r->line);
        if (g->kind == SEGMENT_FILE)
            (void)!punch(g, r->line, 1);
        remove_resident(s, l);
    }
    end = least(end, g->chunk_count * CHUNK_LINES);
    while (first < end) {
        uint64_t next = least((first / CHUNK_LINES + 1) * CHUNK_LINES, end);
        if (g->chunks[first / CHUNK_LINES].vregion)
            for (uint64_t i = first; i < next; i++)
                line_if_any(g, i)->flags &= (uint8_t)~LINE_STORED;
        first = next;
    }
}

void segment_resized(struct segments *s, struct segment *g, uint64_t size_bytes)
{
    g->size_bytes = size_bytes;
    uint64_t first = (size_bytes + LINE_SIZE - 1) >> LINE_SHIFT;
    forget(s, g, first, UINT64_MAX);
    /* The rest of the last line reads as zero, whatever was written there past the end. */
    const struct segment_line *last = line_if_any(g, first ? first - 1 : 0);
    uint64_t tail = size_bytes & (LINE_SIZE - 1);
    if (last && last->resident && tail && g->kind == SEGMENT_FILE)
        (void)!pwrite(g->fd, zeros, LINE_SIZE - tail, (off_t)size_bytes);
}

int segment_add(struct segments *s, struct segment *g, uint64_t line)
{
    struct segment_line *l = line_of(g, line);
    if (!l)
        return -ENOMEM;
    if (l->resident)
        return 0;
    struct resident *r = malloc(sizeof *r);
    if (!r)
        return -ENOMEM;
    *r = (struct resident){.segment = g, .line = line};
    l->resident = r;
    add_resident(s, r);
    return 0;
}

static bool is_away(struct segment *g, uint64_t line)
{
    const struct segment_line *l = line_if_any(g, line);
    return l && !l->resident && l->flags & LINE_STORED;
}

uint64_t segment_next_away(struct segment *g, uint64_t line, uint64_t end)
{
    uint64_t most = least(end, g->chunk_count * CHUNK_LINES);
    while (line < most && !is_away(g, line))
        line = line_if_any(g, line) ? line + 1 : (line / CHUNK_LINES + 1) * CHUNK_LINES;
    return line < most ? line : end;
}

int segment_put_back(struct segments *s, struct segment *g, uint64_t line)
{
    if (!is_away(g, line))
        return 0;
    if (segment_size_lines(g) <= (int64_t)line)
        return 0;
    int rc = segment_line_content(s, g, line, s->buffer);
    return rc < 0 ? rc : put_lines(g, line, 1, s->buffer);
}

int segment_bring_back(struct segments *s, struct segment *g, uint64_t line)
{
    bool away = is_away(g, line);
    int rc = segment_put_back(s, g, line);
    return rc == 0 && away ? segment_add(s, g, line) : rc;
}

int segment_punch(struct segments *s, struct segment *g, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length, last = end >> LINE_SHIFT;
    int rc;
    if (g->kind == SEGMENT_FILE) {
        rc = store_punch_file(g->store, &g->file, offset, length);
    } else {
        /* What is hit in part is to be in the file. */
        rc = offset & (LINE_SIZE - 1) ? segment_bring_back(s, g, offset >> LINE_SHIFT) : 0;
        if (rc == 0 && end & (LINE_SIZE - 1))
            rc = segment_bring_back(s, g, last);
        if (rc == 0 && fallocate(g->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                                 (off_t)length) < 0)
            rc = -errno;
    }
    if (rc == 0)
        forget(s, g, (offset + LINE_SIZE - 1) >> LINE_SHIFT, last);
    return rc;
}

int segment_line_content(struct segments *s, struct segment *g, uint64_t line, uint8_t *to)
{
    if (!is_away(g, line))
        return read_lines(g, line, 1, to);
    (void)s;
    struct vpn at = {(uint64_t)g->chunks[line / CHUNK_LINES].vregion * VREGION_LINES +
                     line % CHUNK_LINES};
    return store_read_lines(g->store, at, 1, to);
}

void segment_empty(struct segments *s, struct segment *g)
{
    for (struct resident *r = s->head, *next; r; r = next) {
        next = r->next;
        if (r->segment == g)
            remove_resident(s, line_if_any(g, r->line));
    }
    for (uint64_t c = 0; c < g->chunk_count; c++) {
        struct chunk *chunk = &g->chunks[c];
        free(chunk->lines);
        if (chunk->vregion)
            store_give_vregion(g->store, chunk->vregion);
    }
    free(g->chunks);
    g->chunks = NULL;
    g->chunk_count = 0;
}
