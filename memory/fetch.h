/*
 * The answer to a LINE_FETCH in the making: what each line is, and the frames to send.
 *
 * space_fetch() fills one under the space's lock, pinning frames and taking references to files;
 * fetch_fill() turns file lines into cached pages and heats cold frames without that lock;
 * fetch_release() drops the pins when the answer is sent. No line's bytes are copied.
 */
#ifndef ASHLAR_MEMORY_FETCH_H
#define ASHLAR_MEMORY_FETCH_H

#include <sys/uio.h>

#include "cache.h"

struct fetch_file {
    struct file *file; /* a reference */
    uint64_t page, file_end;
};

/* Kinds of lines that fetch_fill() replaces. */
enum { FETCH_OF_FILE = 0xff, FETCH_COLD = 0xfe };

struct fetch {
    uint32_t count;                           /* lines to answer */
    uint8_t kinds[FETCH_MAX_LINES];           /* enum line_kind, or one of the above */
    struct frame frames[FETCH_MAX_LINES];     /* of LINE_DATA and FETCH_COLD: a pin */
    struct fetch_file files[FETCH_MAX_LINES]; /* of FETCH_OF_FILE */
};

/*
 * Resolves cold lines and the lines of files. Waits for the sComponent for the first line only: the
 * run ends before a later line that is not in the cache. ASH_NO_FRAMES, or ASH_LOST: the line went
 * with the log; fetch_release() is owed all the same.
 */
int fetch_fill(struct fetch *fetch, struct cache *cache) __attribute__((warn_unused_result));

/* The data lines as pieces to send; returns how many, at most FETCH_MAX_LINES. */
int fetch_pieces(const struct fetch *fetch, const struct frames *frames, struct iovec *pieces,
                 uint32_t *bytes);

void fetch_release(struct fetch *fetch, struct frames *frames);

#endif
